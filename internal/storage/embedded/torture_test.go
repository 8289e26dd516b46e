package embedded

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

var tortureSeed = flag.Uint64("torture.seed", 0, "seed of the random tests of the store; 0 picks one")

// seeds returns seeds for n rounds of a test, and says how to repeat one.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if *tortureSeed != 0 {
		return []uint64{*tortureSeed}
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = rand.Uint64()
	}
	t.Logf("seeds %d, replay one with -torture.seed", out)
	return out
}

// TestRandomOperationsUnderRandomOptions compares the store with the model, at limits from far too small to
// ample, with a remote store or without, disturbed and reopened in random ways.
func TestRandomOperationsUnderRandomOptions(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, 6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 3))
			away := newFaraway()
			with := func(fsys vfs.FS, clk *clock.Clock) Options {
				o := Options{FS: fsys, Clock: clk, MemoryLimitBytes: 1 << (15 + r.IntN(12)), LogLimitBytes: 1 << (16 + r.IntN(6)),
					LogFileBytes: 1 << (13 + r.IntN(7)), CacheBytes: 1 << (8 + r.IntN(12)), stretchRows: 1 + r.IntN(100), mixedRows: 1 + r.IntN(100)}
				if seed%2 == 0 {
					o.Remote = &Remote{Store: away, Name: "s3://test", CacheBytes: 1 << (10 + r.IntN(12))}
				}
				return o
			}
			storagetest.Suite{
				Rounds: 300,
				Open:   func(t *testing.T, clk *clock.Clock) storage.Backend { return open(t, with(vfs.NewMem(), clk)) },
				Disturb: func(t *testing.T, b storage.Backend) {
					s := b.(*Store)
					switch r.IntN(5) {
					case 0:
						flushNow(t, s)
					case 1:
						purgeNow(t, s)
					case 2:
						mergeNow(t, s)
					case 3:
						if err := s.maintain(context.Background()); err != nil {
							t.Errorf("maintain: %v", err)
						}
					default:
						if s.remote != nil {
							offloadNow(t, s)
						}
					}
				},
				Reopen: func(t *testing.T, clk *clock.Clock, b storage.Backend) storage.Backend {
					s := b.(*Store)
					if r.IntN(2) == 0 {
						return open(t, with(closed(t, s), clk))
					}
					if s.remote != nil { // what it deletes there after the crash would be missing
						s.stop()
						s.workers.Wait()
					}
					left := s.fs.(*vfs.Mem).Crash(rand.New(rand.NewPCG(r.Uint64(), 0)))
					s.Close()
					return open(t, with(left, clk))
				},
			}.RunRandom(t)
		})
	}
}

// TestACallThatFailsOnceLosesNothing fails one operation of the disk, each in turn, and goes on. What was
// acknowledged must be there, before and after a restart; what failed may be.
func TestACallThatFailsOnceLosesNothing(t *testing.T) {
	t.Parallel()
	step := 41
	if *everyOperation {
		step = 1
	}
	for _, err := range []error{syscall.EIO, vfs.DiskFull} {
		total := failAt(t, -1, err)
		for k := step / 3; k < total; k += step {
			failAt(t, k, err)
		}
	}
}

// failAt fails operation k with err and returns how many there were.
func failAt(t *testing.T, k int, failure error) int {
	h := newHistory(11)
	mem := vfs.NewMem()
	var mu sync.Mutex // guards ops
	ops := 0
	fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
		if op == vfs.OpRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		ops++
		if ops-1 == k {
			return failure
		}
		return nil
	})
	o := Options{FS: fsys, Clock: h.clock, LogFileBytes: 4 << 10}
	s, err := Open(context.Background(), o)
	if err != nil {
		if s, err = Open(context.Background(), o); err != nil {
			t.Fatalf("operation %d failed: the second open: %v", k, err)
		}
	}
	// The step that fails first may have happened; those that the log refuses after it have not.
	certain, maybe := storagetest.NewNaive(h.clock), storagetest.NewNaive(h.clock)
	failures := 0
	for _, step := range h.steps {
		err := step(s)
		if fault.Is(err, fault.NotFound) && fault.Is(step(certain), fault.NotFound) {
			continue // it was the table's creation that failed
		}
		if err != nil && !fault.Is(err, fault.Unavailable) {
			t.Fatalf("operation %d failed: %v (%v), want unavailable", k, err, fault.KindOf(err))
		}
		if err != nil {
			failures++
		}
		if err == nil {
			if err := step(certain); err != nil {
				t.Fatal(err)
			}
		}
		if err == nil || failures == 1 {
			if err := step(maybe); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(when string, s *Store) {
		t.Helper()
		if got := everything(t, s); got != everything(t, certain) && got != everything(t, maybe) {
			t.Fatalf("operation %d failed with %v, %s, %d steps failed: got\n%s\nwant\n%s", k, failure, when, failures, got, everything(t, certain))
		}
	}
	check("running", s)
	s.Close() // its error is of no use: the disk was well again
	left := mem.Crash(nil)
	s = open(t, Options{FS: left, Clock: h.clock, LogFileBytes: 4 << 10})
	check("reopened", s)
	if err := s.Close(); err != nil {
		t.Fatalf("operation %d failed: the last close: %v", k, err)
	}
	mu.Lock()
	defer mu.Unlock()
	return ops
}

// TestADiskThatIsFullNowAndThenLosesNothing fills the disk at random moments for random whiles.
func TestADiskThatIsFullNowAndThenLosesNothing(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, 6) {
		r := rand.New(rand.NewPCG(seed, 5))
		h := newHistory(seed)
		mem := vfs.NewMem()
		var mu sync.Mutex // guards r in the injector, and left
		left, full := 20+r.IntN(100), false
		fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				left, full = 5+r.IntN(60), !full
			}
			// Deleting works on a full disk, and so does reading.
			if full && (op == vfs.OpCreate || op == vfs.OpWrite || op == vfs.OpPreallocate) {
				return vfs.DiskFull
			}
			return nil
		})
		s, err := Open(context.Background(), Options{FS: fsys, Clock: h.clock, LogFileBytes: 4 << 10})
		if err != nil {
			continue // it was full at once
		}
		model := storagetest.NewNaive(h.clock)
		for i, step := range h.steps {
			switch err := step(s); {
			case err == nil:
				if err := step(model); err != nil {
					t.Fatal(err)
				}
			case i == 0:
				step(model) // the table must be there for the rest
				mu.Lock()
				full, left = false, 50
				mu.Unlock()
				if err := step(s); err != nil {
					t.Fatal(err)
				}
			case !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Throttled):
				t.Fatalf("seed %d: %v (%v), want unavailable", seed, err, fault.KindOf(err))
			}
		}
		want := everything(t, model)
		if got := everything(t, s); got != want {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, got, want)
		}
		s.Close()
		s = open(t, Options{FS: mem.Crash(rand.New(rand.NewPCG(seed, 6))), Clock: h.clock, LogFileBytes: 4 << 10})
		if got := everything(t, s); got != want {
			t.Fatalf("seed %d, reopened: got\n%s\nwant\n%s", seed, got, want)
		}
		s.Close()
	}
}

// TestAFlippedBitInAnyFileIsFound changes a bit of each file of a store, here and there. The store must not open,
// or say which file is damaged when its rows are read, or, where the bit means nothing, answer as before.
// Rows of other segments are served.
func TestAFlippedBitInAnyFileIsFound(t *testing.T) {
	t.Parallel()
	clk := clock.Manual(benchStart)
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, Clock: clk, LogFileBytes: 8 << 10})
	table := fill(t, s)
	s.stop() // or the background would purge
	s.workers.Wait()
	forget := func(sensor string) {
		t.Helper()
		d := storage.Deletion{From: storage.AllTime.From, To: storage.AllTime.To, Where: []storage.Predicate{{Column: "sensor", Op: storage.Eq, Values: []vec.Value{vec.Str(sensor)}}}}
		if _, err := table.Delete(context.Background(), d); err != nil {
			t.Fatal(err)
		}
	}
	forget("3")
	flushNow(t, s)      // it is in the manifest now
	for i := range 20 { // in the log only
		if i == 9 {
			forget("5")
		}
		if _, err := table.Write(context.Background(), sensorRows(0, 5, benchStart.Add(time.Duration(i)*time.Second), 4)); err != nil {
			t.Fatal(err)
		}
	}
	want := everything(t, s)
	s.log.Seal() // as after a second
	left := mem.Crash(nil)
	if m, err := readManifest(left); err != nil || len(m.Tables[0].Deletes) == 0 {
		t.Fatalf("the manifest has no deletion: %v", err)
	}
	s.Close()
	r := rand.New(rand.NewPCG(seeds(t, 1)[0], 8))
	for _, name := range files(t, left, ".") {
		if name == "lock" {
			continue
		}
		info, err := left.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 12 {
			damaged := left.Crash(nil)
			f, err := damaged.OpenReadWrite(name)
			if err != nil {
				t.Fatal(err)
			}
			at := r.Int64N(info.Size())
			var b [1]byte
			f.ReadAt(b[:], at)
			b[0] ^= 1 << r.IntN(8)
			f.WriteAt(b[:], at)
			f.Sync()
			f.Close()
			what := fmt.Sprintf("bit of byte %d of %d of %s", at, info.Size(), name)
			_, checked := Check(context.Background(), io.Discard, damaged, nil)
			s, err := Open(context.Background(), Options{FS: damaged, Clock: clk, LogFileBytes: 8 << 10})
			if err != nil {
				if !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "manifest") || checked == nil {
					t.Errorf("%s: open: %v; check: %v", what, err, checked)
				}
				continue
			}
			got, err := all(s)
			var c interface{ FaultKind() fault.Kind }
			switch {
			case err == nil && got == want: // preallocated space, for example
			case err == nil:
				t.Errorf("%s: other rows, and nobody said so", what)
			case !errors.As(err, &c) || c.FaultKind() != fault.Corrupt || !strings.Contains(err.Error(), strings.TrimPrefix(name, "segments/")) || checked == nil:
				t.Errorf("%s: %v; check: %v", what, err, checked)
			default: // other days are served
				table, _ := s.Table(benchID)
				recent := storage.ScanSpec{From: benchStart.UnixNano() + 1, To: storage.AllTime.To, Columns: []string{"time"}}
				if got := len(storagetest.Answer(t, table, recent)); !strings.Contains(name, "20240301") && got == 0 {
					t.Errorf("%s: recent rows are not served", what)
				}
			}
			s.Close()
		}
	}
}

// all is everything, or the first error.
func all(s *Store) (string, error) {
	table, err := s.Table(benchID)
	if err != nil {
		return "", err
	}
	var columns []string
	for _, c := range table.Schema().Columns {
		columns = append(columns, c.Name)
	}
	lines, err := storagetest.TryAnswer(table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: columns})
	return fmt.Sprint(columns) + "\n" + storagetest.Text(lines), err
}

// files lists all files below a folder.
func files(t *testing.T, fsys vfs.FS, dir string) (out []string) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		name := strings.TrimPrefix(dir+"/"+n, "./")
		info, err := fsys.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			out = append(out, files(t, fsys, name)...)
		} else {
			out = append(out, name)
		}
	}
	return out
}

// TestAClockThatJumpsHarmsOnlyWhatExpires sets the clock forth and back, by hours and years. Rows that
// no clock let expire are there; nothing ends in an error but rows outside of the window.
func TestAClockThatJumpsHarmsOnlyWhatExpires(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, 3) {
		r := rand.New(rand.NewPCG(seed, 9))
		clk := clock.Manual(benchStart)
		policy := storage.Policy{MemoryRetention: 6 * time.Hour, MagneticRetention: 3 * 24 * time.Hour, MagneticWrites: true}
		mem := vfs.NewMem()
		o := Options{FS: mem, Clock: clk, LogFileBytes: 64 << 10, MemoryLimitBytes: 256 << 10}
		s := open(t, o)
		if err := s.CreateTable(context.Background(), benchID, policy); err != nil {
			t.Fatal(err)
		}
		latest := clk.Now()
		var kept []int64
		for i := range 150 {
			switch r.IntN(8) {
			case 0:
				clk.Set(benchStart.Add(time.Duration(r.Int64N(int64(20 * 24 * time.Hour)))))
			case 1:
				clk.Set(clk.Now().AddDate(r.IntN(3)-2, 0, 0))
			case 2:
				clk.Set(clk.Now().Add(-time.Duration(r.IntN(100)) * time.Minute))
			case 3:
				if err := s.maintain(context.Background()); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			case 4:
				if r.IntN(3) == 0 {
					left := mem.Crash(r)
					s.Close()
					mem, o.FS = left, left
					s = open(t, o)
				}
			}
			if clk.Now().After(latest) {
				latest = clk.Now()
			}
			table, _ := s.Table(benchID)
			at := clk.Now().Add(-time.Duration(r.IntN(600)) * time.Minute).UnixNano()
			at += int64(i) // once each
			var b storagetest.Batch
			b.Add(storagetest.Point{Measure: "m", Dims: []string{"d", fmt.Sprint(r.IntN(3))}, TimeNs: at, Values: []storagetest.NamedValue{storagetest.I("n", int64(i))}})
			receipt, err := table.Write(context.Background(), &b.Rows)
			if err != nil || len(receipt.Rejections) > 0 {
				t.Fatalf("seed %d: %+v, %v", seed, receipt, err)
			}
			kept = append(kept, at)
			low := policy.Expiry(latest)
			kept = slices.DeleteFunc(kept, func(at int64) bool { return at < low })
			found := map[int64]bool{}
			for _, l := range storagetest.Answer(t, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"time"}}) {
				found[l[0].Int] = true
			}
			for _, at := range kept {
				if !found[at] {
					t.Fatalf("seed %d, round %d at %v, latest %v: the row of %v is gone", seed, i, clk.Now(), latest, time.Unix(0, at).UTC())
				}
			}
		}
		s.Close()
	}
}

// TestALongLifeTakesNoMore lets 45 days pass for a table that keeps days: disk, files, and what is open of them, must not grow once
// rows expire. make torture SOAK=1h does the same to a whole server.
func TestALongLifeTakesNoMore(t *testing.T) {
	t.Parallel()
	clk, mem := clock.Manual(benchStart), vfs.NewMem()
	policy := storage.Policy{MemoryRetention: 6 * time.Hour, MagneticRetention: 3 * 24 * time.Hour, MagneticWrites: true}
	o := Options{FS: mem, Clock: clk, LogFileBytes: 16 << 10, LogLimitBytes: 64 << 10}
	begin := func() *Store {
		s := open(t, o)
		s.stop() // what it would do in the background is done once a day
		s.workers.Wait()
		return s
	}
	s := begin()
	defer func() { s.Close() }()
	if err := s.CreateTable(t.Context(), benchID, policy); err != nil {
		t.Fatal(err)
	}
	type size struct{ files, bytes, memory, open int64 }
	var most [3]size // by third of the time
	for day := range 45 {
		table := s.lookup(benchID)
		for hour := range 24 {
			clk.Set(benchStart.Add(time.Duration(24*day+hour) * time.Hour))
			for _, late := range []time.Duration{0, 20 * time.Hour} {
				if _, err := table.Write(t.Context(), sensorRows(0, 20, clk.Now().Add(-late), 3)); err != nil {
					t.Fatal(err)
				}
			}
		}
		d := storage.Deletion{From: clk.Now().Add(-30 * time.Hour).UnixNano(), To: clk.Now().Add(-29 * time.Hour).UnixNano()}
		if _, err := table.Delete(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		all(s)
		if err := errors.Join(s.flushAll(t.Context()), s.maintain(t.Context()), s.maintain(t.Context())); err != nil {
			t.Fatal(err)
		}
		now := size{memory: s.memory.Load(), open: int64(len(s.open.files))}
		for _, name := range files(t, mem, ".") {
			info, err := mem.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			now.files, now.bytes = now.files+1, now.bytes+info.Size()
		}
		m := &most[day/15]
		*m = size{max(m.files, now.files), max(m.bytes, now.bytes), max(m.memory, now.memory), max(m.open, now.open)}
		if day%15 == 14 { // once by a crash, once by a stop
			if day%2 == 0 {
				left := mem.Crash(nil)
				s.Close()
				mem = left
			} else {
				closed(t, s)
			}
			o.FS = mem
			s = begin()
		}
	}
	middle, last := most[1], most[2]
	if last.files > middle.files+5 || last.bytes > middle.bytes*11/10 || last.memory > middle.memory*11/10+4096 || last.open > middle.open+5 {
		t.Errorf("in the last third %+v, in the middle one %+v", last, middle)
	}
}
