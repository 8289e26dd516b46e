package embedded

import (
	"context"
	"errors"
	"io"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

func TestALateRowWaitsForTheRemoteStoreAloneAndIsJudgedAgainstIt(t *testing.T) {
	t.Parallel()
	far := &silent{faraway: newFaraway(), asked: make(chan struct{}, 1000)}
	clk := clock.Manual(benchStart)
	o := far.options(vfs.NewMem(), clk)
	o.Remote.Store, o.Remote.CacheBytes, o.CacheBytes = far, 1, 1 // nothing is kept
	s := open(t, o)
	defer s.Close()
	table := fill(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	offloadNow(t, s)
	s.stop() // the background asks too
	s.workers.Wait()
	write := func(ctx context.Context, at time.Time, version, n int64) (storage.Receipt, error) {
		var b storagetest.Batch
		b.Add(storagetest.Point{Measure: "m", Dims: []string{"sensor", "3"}, TimeNs: at.UnixNano(), Version: version, Values: []storagetest.NamedValue{storagetest.I("n", n)}})
		return table.Write(ctx, &b.Rows)
	}
	late := benchStart.Add(-time.Hour) // where n is 1

	far.quiet.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := write(ctx, late, 1, 2)
		done <- err
	}()
	select {
	case <-far.asked:
	case err := <-done:
		t.Fatalf("late write: %v, and nobody asked the store", err)
	}
	if r, err := write(t.Context(), clk.Now(), 1, 7); err != nil || r.Memory != 1 {
		t.Errorf("a write while a late one waits: %+v, %v", r, err)
	}
	cancel()
	if err := <-done; !fault.Is(err, fault.Cancelled) {
		t.Errorf("late write: %v, want cancelled", err)
	}
	wantStored := func(rows int) {
		t.Helper()
		far.quiet.Store(false)
		wantRows(t, s, benchID, rows)
	}
	wantStored(1001) // the one that was cancelled is not among them

	check := func(what string, version, n int64, superseded int) {
		t.Helper()
		r, err := write(t.Context(), late, version, n)
		if err != nil || r.Magnetic != 1 || len(r.Superseded) != superseded {
			t.Errorf("%s: %+v, %v; want %d superseded", what, r, err, superseded)
		}
	}
	check("the same version with another value", 1, 2, 1)
	check("a repeat", 1, 1, 0)
	check("a higher version", 5, 3, 0)
	check("a lower version than that", 4, 4, 1)
	wantStored(1001)
}

// lateStore is a store whose filled table is remote, on a disk that can crash, and the options to open it again; the background stands still.
func lateStore(t *testing.T, wrap func(*vfs.Mem) vfs.FS) (s *Store, mem *vfs.Mem, far *faraway, again func(vfs.FS) Options) {
	t.Helper()
	far, mem = newFaraway(), vfs.NewMem()
	clk := clock.Manual(benchStart)
	again = func(fsys vfs.FS) Options {
		o := far.options(fsys, clk)
		o.Remote.CacheBytes, o.CacheBytes = 1, 1 // nothing is kept
		return o
	}
	s = open(t, again(wrap(mem)))
	fill(t, s)
	clk.Set(benchStart.Add(7 * 24 * time.Hour))
	s.stop() // the background moves segments too
	s.workers.Wait()
	return s, mem, far, again
}

func asIs(mem *vfs.Mem) vfs.FS { return mem }

// writeLate writes a row of version 1 where fill has one with n = 1.
func writeLate(s *Store, n int64) (storage.Receipt, error) {
	var b storagetest.Batch
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"sensor", "3"}, TimeNs: benchStart.Add(-time.Hour).UnixNano(), Values: []storagetest.NamedValue{storagetest.I("n", n)}})
	return s.lookup(benchID).Write(context.Background(), &b.Rows)
}

func TestALateRowThatCouldNotBeJudgedIsNotRefusedByAReplay(t *testing.T) {
	t.Parallel()
	s, mem, far, again := lateStore(t, asIs)
	offloadNow(t, s)
	far.isDown.Store(true)
	if r, err := writeLate(s, 2); err != nil || r.Magnetic != 1 || len(r.Superseded) > 0 {
		t.Fatalf("a late row while nobody answers: %+v, %v", r, err)
	}
	far.isDown.Store(false)
	rows := s.lookup(benchID).Stats().Rows
	left := mem.Crash(nil)
	s.Close()
	s = open(t, again(left))
	defer s.Close()
	if got := s.lookup(benchID).Stats().Rows; got != rows {
		t.Errorf("%d rows after a replay, %d before", got, rows)
	}
}

// TestASegmentThatIsMovedMeanwhileIsJudgedAgainstByTheReplayToo writes a late row that is logged, and not judged, when its segment is to be moved.
func TestASegmentThatIsMovedMeanwhileIsJudgedAgainstByTheReplayToo(t *testing.T) {
	t.Parallel()
	var hold atomic.Bool
	held, release := make(chan struct{}, 1), make(chan struct{})
	s, mem, _, again := lateStore(t, func(mem *vfs.Mem) vfs.FS {
		return vfs.Inject(mem, func(op vfs.Op, name string) error {
			if op == vfs.OpSync && strings.HasSuffix(name, ".wal") && hold.CompareAndSwap(true, false) {
				held <- struct{}{}
				<-release
			}
			return nil
		})
	})
	mergeNow(t, s)
	hold.Store(true)
	written := make(chan error, 1)
	var receipt storage.Receipt
	go func() {
		var err error
		receipt, err = writeLate(s, 2)
		written <- err
	}()
	<-held
	moved := make(chan error, 1)
	go func() { moved <- s.offload(context.Background()) }()
	table := s.lookup(benchID)
	for len(moved) == 0 && table.late.TryRLock() { // until it waits for the write, or is done
		table.late.RUnlock()
		runtime.Gosched()
	}
	close(release)
	if err := errors.Join(<-written, <-moved); err != nil {
		t.Fatal(err)
	}
	if remote, local := remoteCount(s); remote == 0 || local > 0 {
		t.Fatalf("%d remote and %d local segments", remote, local)
	}
	rows := table.Stats().Rows
	left := mem.Crash(nil)
	s.Close()
	s = open(t, again(left))
	defer s.Close()
	if got := s.lookup(benchID).Stats().Rows; got != rows || len(receipt.Superseded) != 1 {
		t.Errorf("%d rows after a replay, %d before; the row that is there with another value: %+v", got, rows, receipt)
	}
}

// TestWhatNobodyAnsweredIsNotAskedAgainOnceMerged has the segment that gave no answer merged before the crash.
func TestWhatNobodyAnsweredIsNotAskedAgainOnceMerged(t *testing.T) {
	t.Parallel()
	s, mem, far, again := lateStore(t, asIs)
	offloadNow(t, s)
	far.isDown.Store(true)
	if r, err := writeLate(s, 2); err != nil || len(r.Superseded) > 0 {
		t.Fatalf("a late row while nobody answers: %+v, %v", r, err)
	}
	far.isDown.Store(false)
	s.remote.guarded.mu.Lock()
	s.remote.retryAt = time.Time{}
	s.remote.guarded.mu.Unlock()
	table := s.lookup(benchID)
	for _, f := range table.view.Load().segments {
		if err := s.mergeLocked(t.Context(), table, []*segmentFile{f}); err != nil {
			t.Fatal(err)
		}
	}
	if _, local := remoteCount(s); local == 0 {
		t.Fatal("nothing was merged")
	}
	rows := table.Stats().Rows
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	copied := vfs.NewMem()
	if err := snap.Each(t.Context(), func(name string, _ int64, content io.Reader) error { return save(copied, name, content) }); err != nil {
		t.Fatal(err)
	}
	snap.Close()
	left := mem.Crash(nil)
	s.Close()
	for _, o := range []Options{again(left), {FS: copied, Clock: clock.Manual(benchStart)}} {
		s = open(t, o)
		if got := s.lookup(benchID).Stats().Rows; got != rows {
			t.Errorf("%d rows after a replay, %d before", got, rows)
		}
		s.Close()
	}
}

func save(to vfs.FS, name string, content io.Reader) error {
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if err := vfs.MakeDir(to, path.Dir(name)); err != nil {
		return err
	}
	f, err := to.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Sync(), f.Close(), to.SyncDir(path.Dir(name)))
}

func TestALateRowThatWasRefusedIsRefusedByAReplayWithoutTheRemoteStore(t *testing.T) {
	t.Parallel()
	s, mem, far, again := lateStore(t, asIs)
	offloadNow(t, s)
	if r, err := writeLate(s, 2); err != nil || len(r.Superseded) != 1 {
		t.Fatalf("a late row: %+v, %v", r, err)
	}
	rows := s.lookup(benchID).Stats().Rows
	left := mem.Crash(nil)
	s.Close()
	far.isDown.Store(true)
	s = open(t, again(left))
	defer s.Close()
	if got := s.lookup(benchID).Stats().Rows; got != rows {
		t.Errorf("%d rows after a replay, %d before", got, rows)
	}
}
