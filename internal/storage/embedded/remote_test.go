package embedded

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

// faraway is a remote store in memory that can be down.
type faraway struct {
	objstore.Store
	isDown atomic.Bool
	puts   atomic.Int64
	failIn atomic.Int64 // the call that many from now is the last that works; 0: all work
}

func newFaraway() *faraway { return &faraway{Store: objstore.NewMem()} }

func (f *faraway) trouble() error {
	if n := f.failIn.Load(); n > 0 && f.failIn.Add(-1) == 0 {
		f.isDown.Store(true)
	}
	if f.isDown.Load() {
		return fault.New(fault.Unavailable, "nobody answers")
	}
	return nil
}

func (f *faraway) Put(ctx context.Context, key string, r io.Reader) error {
	if err := f.trouble(); err != nil {
		return err
	}
	if !strings.HasSuffix(key, "/"+ownerKey) {
		f.puts.Add(1)
	}
	return f.Store.Put(ctx, key, r)
}

func (f *faraway) Open(ctx context.Context, key string) (objstore.Object, error) {
	if err := f.trouble(); err != nil {
		return nil, err
	}
	return f.Store.Open(ctx, key)
}

func (f *faraway) List(ctx context.Context, prefix string) ([]string, error) {
	if err := f.trouble(); err != nil {
		return nil, err
	}
	return f.Store.List(ctx, prefix)
}

func (f *faraway) Delete(ctx context.Context, key string) error {
	if err := f.trouble(); err != nil {
		return err
	}
	return f.Store.Delete(ctx, key)
}

func (f *faraway) keys(t *testing.T) []string {
	t.Helper()
	keys, err := f.Store.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return strings.HasSuffix(k, "/"+ownerKey) })
}

func (f *faraway) options(fsys vfs.FS, clk *clock.Clock) Options {
	return Options{FS: fsys, Clock: clk, Remote: &Remote{Store: f, Name: "s3://test", CacheBytes: 1 << 20}, LogFileBytes: 256 << 10}
}

// offloadNow does all that the background would do in time.
func offloadNow(t *testing.T, s *Store) {
	t.Helper()
	mergeNow(t, s)
	if err := errors.Join(s.sweepRemote(context.Background()), s.offload(context.Background()), s.offload(context.Background())); err != nil {
		t.Errorf("offload: %v", err)
	}
}

func remoteCount(s *Store) (remote, local int) {
	for _, f := range s.lookup(benchID).view.Load().segments {
		if f.meta.Remote {
			remote++
		} else {
			local++
		}
	}
	return remote, local
}

// The suite's clock stands on a day that has not passed, but rows of earlier days are moved.
func TestStoreWithARemoteStorePassesTheSuite(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	stores := map[*clock.Clock]*faraway{}
	of := func(clk *clock.Clock) *faraway {
		mu.Lock()
		defer mu.Unlock()
		if stores[clk] == nil {
			stores[clk] = newFaraway()
		}
		return stores[clk]
	}
	storagetest.Suite{
		Open: func(t *testing.T, clk *clock.Clock) storage.Backend {
			return open(t, of(clk).options(vfs.NewMem(), clk))
		},
		Disturb: func(t *testing.T, b storage.Backend) { offloadNow(t, b.(*Store)) },
		Reopen: func(t *testing.T, clk *clock.Clock, b storage.Backend) storage.Backend {
			return open(t, of(clk).options(crashed(t, b.(*Store)), clk))
		},
	}.Run(t)
}

func TestSettledSegmentsMoveToTheRemoteStore(t *testing.T) {
	t.Parallel()
	away, clk := newFaraway(), clock.Manual(benchStart)
	s := open(t, away.options(vfs.NewMem(), clk))
	fill(t, s)
	want := everything(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	if remote, local := remoteCount(s); remote == 0 || local != 0 {
		t.Errorf("%d remote and %d local segments", remote, local)
	}
	if keys, _ := s.objects.List(context.Background(), ""); len(keys) != 0 {
		t.Errorf("files stay: %v", keys)
	}
	if got := everything(t, s); got != want {
		t.Error("other rows than before")
	}
	fsys := closed(t, s)

	// The cache, which lasts, has all of it.
	away.isDown.Store(true)
	s = open(t, away.options(fsys, clk))
	if got := everything(t, s); got != want {
		t.Error("other rows than before with the store down")
	}
	s.Close()
	if _, err := Open(context.Background(), Options{FS: fsys, Clock: clk}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--magnetic-store") {
		t.Errorf("open without the remote store: %v", err)
	}
	away.isDown.Store(false)
	var out strings.Builder
	if _, err := Check(context.Background(), &out, fsys, &Remote{Store: away}); err != nil {
		t.Errorf("check: %v", err)
	}
	if _, err := Check(context.Background(), &out, fsys, nil); err != nil || !strings.Contains(out.String(), "s3://test and were not read") {
		t.Errorf("check without the store: %v\n%s", err, out.String())
	}
}

func TestAnUnreachableStoreIsAClearErrorAndStopsNothingElse(t *testing.T) {
	t.Parallel()
	away, clk := newFaraway(), clock.Manual(benchStart)
	fsys := vfs.NewMem()
	s := open(t, away.options(fsys, clk))
	fill(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	closed(t, s)
	away.isDown.Store(true)
	o := away.options(fsys, clk)
	o.Remote.CacheBytes = 1 // nothing fits
	s = open(t, o)
	defer s.Close()
	for _, name := range []string{"cache"} {
		names, _ := fsys.List(name)
		for _, n := range names {
			fsys.Remove(name + "/" + n)
		}
	}
	table, _ := s.Table(benchID)
	var b storagetest.Batch
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"sensor", "new"}, TimeNs: clk.Now().UnixNano(), Values: []storagetest.NamedValue{storagetest.I("n", 1)}})
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"sensor", "1"}, TimeNs: benchStart.Add(time.Minute).UnixNano(), Values: []storagetest.NamedValue{storagetest.I("n", 2)}})
	if r, err := table.Write(context.Background(), &b.Rows); err != nil || len(r.Rejections) != 0 {
		t.Errorf("write: %+v, %v", r, err)
	}
	recent := storage.ScanSpec{From: clk.Now().Add(-time.Hour).UnixNano(), To: storage.AllTime.To, Columns: []string{"n"}}
	if got := storagetest.Text(storagetest.Answer(t, table, recent)); got != "1\n" {
		t.Errorf("recent rows: %q", got)
	}
	_, err := table.Scan(context.Background(), storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"n"}})
	if message := fault.MessageOf(err); !fault.Is(err, fault.Unavailable) || !strings.Contains(message, "Rows of ") || !strings.Contains(message, "s3://test cannot be reached") || !strings.Contains(message, "nobody answers") {
		t.Errorf("scan: %v", err)
	}
	if st := s.RemoteStatus(); st.Err == nil || st.RemoteBytes == 0 || st.Name != "s3://test" {
		t.Errorf("status %+v", st)
	}
	if err := s.maintain(context.Background()); err != nil {
		t.Errorf("maintenance: %v", err)
	}
}

func TestKilledWhileMovingLosesNothing(t *testing.T) {
	t.Parallel()
	for n := 0; n < 40; n++ {
		clk := clock.Manual(benchStart)
		away, mem := newFaraway(), vfs.NewMem()
		s := open(t, away.options(mem, clk))
		fill(t, s)
		want := everything(t, s)
		clk.Set(benchStart.Add(7 * 24 * time.Hour))
		flushNow(t, s)
		s.stop() // the background would move too
		s.workers.Wait()
		var crashedFS *vfs.Mem
		left := n
		s.fs = vfs.Inject(mem, func(op vfs.Op, _ string) error {
			if op == vfs.OpRead {
				return nil
			}
			if left--; left < 0 {
				if crashedFS == nil {
					crashedFS = mem.Crash(rand.New(rand.NewPCG(uint64(n), 0)))
				}
				return errors.New("power cut")
			}
			return nil
		})
		objects, err := objstore.Local(s.fs, "segments")
		if err == nil {
			s.objects = objects
			s.mergeAll(context.Background())
			s.offload(context.Background())
		}
		done := crashedFS == nil
		if done {
			crashedFS = mem.Crash(nil)
		}
		s = open(t, away.options(crashedFS, clk))
		if got := everything(t, s); got != want {
			t.Fatalf("cut after %d operations: got\n%s", n, got)
		}
		offloadNow(t, s)
		if got := everything(t, s); got != want {
			t.Fatalf("cut after %d operations, then moved: got\n%s", n, got)
		}
		if remote, local := remoteCount(s); local != 0 || len(away.keys(t)) != remote {
			t.Fatalf("cut after %d operations: %d objects for %d segments, %d on the disk", n, len(away.keys(t)), remote, local)
		}
		s.Close()
		if done {
			return
		}
	}
}

func TestABackupHoldsWhatIsRemote(t *testing.T) {
	t.Parallel()
	away, clk := newFaraway(), clock.Manual(benchStart)
	s := open(t, away.options(vfs.NewMem(), clk))
	defer s.Close()
	fill(t, s)
	want := everything(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	copied := vfs.NewMem()
	if err := snap.Each(context.Background(), func(name string, size int64, content io.Reader) error {
		if dir, _, ok := strings.Cut(name, "/"); ok {
			copied.MkdirAll(dir)
			if i := strings.LastIndex(name, "/"); i > 0 {
				copied.MkdirAll(name[:i])
			}
		}
		b, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		f, err := copied.Create(name)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(b, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	restored := open(t, Options{FS: copied, Clock: clk})
	defer restored.Close()
	if got := everything(t, restored); got != want {
		t.Errorf("restored\n%s\nwant\n%s", got, want)
	}
}

// hungUp is a remote store whose connections are cut.
type hungUp struct {
	*faraway
	cut atomic.Bool
}

func (h *hungUp) Open(ctx context.Context, key string) (objstore.Object, error) {
	if h.cut.Load() {
		return nil, fault.Wrap(fault.Unavailable, &url.Error{Op: "Get", URL: "http://far", Err: io.EOF}, "nobody answers")
	}
	return h.faraway.Open(ctx, key)
}

func TestACutConnectionIsNoDamage(t *testing.T) {
	t.Parallel()
	far := &hungUp{faraway: newFaraway()}
	clk := clock.Manual(benchStart)
	o := far.options(vfs.NewMem(), clk)
	o.Remote.Store = far
	s := open(t, o)
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lookup(benchID).Write(t.Context(), sensorRows(0, 50, benchStart, 2)); err != nil {
		t.Fatal(err)
	}
	clk.Set(benchStart.Add(5 * 24 * time.Hour))
	offloadNow(t, s)
	if remote, _ := remoteCount(s); remote != 1 {
		t.Fatal("nothing was moved")
	}
	f := s.lookup(benchID).view.Load().segments[0]
	f.close()
	s.remote.cache.Forget(f.meta.Name, f.meta.Bytes)
	far.cut.Store(true)
	_, err := f.load(t.Context(), s.lookup(benchID), nil)
	if !fault.Is(err, fault.Unavailable) || f.suspect(err) {
		t.Errorf("error %v, kind %v, suspect %v", err, fault.KindOf(err), f.suspect(err))
	}
}

// TestASweepLeavesWhatAScanReads sweeps for the first time while a scan reads a segment that was merged after the start.
func TestASweepLeavesWhatAScanReads(t *testing.T) {
	t.Parallel()
	away, clk := newFaraway(), clock.Manual(benchStart)
	s := open(t, away.options(vfs.NewMem(), clk))
	fill(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	left := closed(t, s)
	names, _ := left.List("cache")
	for _, n := range names {
		left.Remove("cache/" + n)
	}
	o := away.options(left, clk)
	o.CacheBytes, o.Remote.CacheBytes = 1, 1 // nothing fits
	away.isDown.Store(true)                  // so that the background does not sweep
	s = open(t, o)
	defer s.Close()
	s.stop()
	s.workers.Wait()
	away.isDown.Store(false)
	s.remote.forgive()
	if err := s.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	var late storagetest.Batch
	for i := range 50 {
		late.Add(storagetest.Point{Measure: "m", Dims: []string{"sensor", "1"}, TimeNs: benchStart.Add(-time.Duration(i)*time.Hour).UnixNano() + 1, Values: []storagetest.NamedValue{storagetest.I("n", 1)}})
	}
	table := s.lookup(benchID)
	if _, err := table.Write(t.Context(), &late.Rows); err != nil {
		t.Fatal(err)
	}
	scan, err := table.Scan(t.Context(), storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"n"}})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	mergeNow(t, s)
	if err := s.sweepRemote(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		b, err := scan.Next(t.Context())
		if err != nil {
			t.Fatalf("the scan ends after %d rows: %v", rows, err)
		}
		if b == nil {
			break
		}
		rows += b.Len
	}
	if rows != 1050 {
		t.Errorf("%d rows, want 1050", rows)
	}
}

// forgive has the next call try the store again, whatever happened before.
func (g *guarded) forgive() {
	g.mu.Lock()
	g.err = nil
	g.mu.Unlock()
}

func TestTwoCopiesOfAFolderDoNotShareABucket(t *testing.T) {
	t.Parallel()
	away, clk := newFaraway(), clock.Manual(benchStart)
	mem := vfs.NewMem()
	s := open(t, away.options(mem, clk))
	fill(t, s)
	want := everything(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	closed(t, s)
	other := mem.Crash(nil) // a copy

	// The copy that starts first goes on; the other is refused, and after it is told how to, it may take over.
	s = open(t, away.options(mem, clk))
	closed(t, s)
	if _, err := Open(t.Context(), away.options(other, clk)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "weir backup") {
		t.Errorf("the second copy: %v", err)
	}
	keys := len(away.keys(t))

	// One that could not know, because the store was down, neither puts nor deletes.
	away.isDown.Store(true)
	s = open(t, away.options(other, clk))
	away.isDown.Store(false)
	s.remote.forgive()
	for s.remote.lost.Load() == nil {
		signal(s.remote.wanted)
		time.Sleep(time.Millisecond)
	}
	if st := s.RemoteStatus(); !fault.Is(st.Err, fault.Conflict) {
		t.Errorf("status: %v", st.Err)
	}
	if err := s.sweepRemote(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Errorf("sweep: %v", err)
	}
	if got := everything(t, s); got != want { // what is there can be read
		t.Error("other rows than before")
	}
	s.Close()

	// One that runs while another takes over sees it.
	s = open(t, away.options(mem, clk))
	copied := mem.Crash(nil)
	second := open(t, away.options(copied, clk))
	defer second.Close()
	if err := s.sweepRemote(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Errorf("sweep of the first after the second started: %v", err)
	}
	s.Close()
	if n := len(away.keys(t)); n != keys {
		t.Errorf("%d objects, %d before", n, keys)
	}
}

// TestADamagedFileOfTheCacheIsFetchedAgain flips bits in the cache's files, before a start and after they were verified.
func TestADamagedFileOfTheCacheIsFetchedAgain(t *testing.T) {
	t.Parallel()
	away, clk, mem := newFaraway(), clock.Manual(benchStart), vfs.NewMem()
	options := func() Options {
		o := away.options(mem, clk)
		o.CacheBytes = 1 // blocks come from the files
		return o
	}
	s := open(t, options())
	fill(t, s)
	want := everything(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	everything(t, s)
	flip := func(at func(size int64) int64) (n int64) {
		for _, name := range files(t, mem, "cache") {
			info, err := mem.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := mem.OpenReadWrite(name)
			if err != nil {
				t.Fatal(err)
			}
			var b [1]byte
			f.ReadAt(b[:], at(info.Size()))
			b[0] ^= 4
			f.WriteAt(b[:], at(info.Size()))
			f.Close()
			n++
		}
		return n
	}
	damaged := int64(0)
	for name, at := range map[string]func(size int64) int64{
		"data":     func(int64) int64 { return 3 },
		"series":   func(size int64) int64 { return size / 2 },
		"index":    func(size int64) int64 { return size - 100 },
		"trailer":  func(size int64) int64 { return size - 4 - 2 },
		"checksum": func(size int64) int64 { return size - 1 },
	} {
		for _, f := range s.lookup(benchID).view.Load().segments {
			f.close()
		}
		if flip(at) == 0 {
			t.Fatal("the cache has no files")
		}
		if got, err := all(s); err != nil || got != want {
			t.Errorf("%s damaged while it runs: %v, other rows: %v", name, err, got != want)
		}
		if n := s.RemoteStatus().Cache.Damaged; n == damaged && name != "checksum" { // nobody looks at that one again
			t.Errorf("%s: nobody has seen it", name)
		} else {
			damaged = n
		}
	}
	closed(t, s)
	n := flip(func(size int64) int64 { return size / 3 })
	s = open(t, options())
	defer s.Close()
	if got, err := all(s); err != nil || got != want {
		t.Errorf("damaged before the start: %v, other rows: %v", err, got != want)
	}
	if got := s.RemoteStatus().Cache.Damaged; got != n {
		t.Errorf("%d files were found damaged, %d are", got, n)
	}
}
