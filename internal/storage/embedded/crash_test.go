package embedded

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
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

// history is a fixed sequence of operations, applied to the store and to models.
type history struct {
	clock *clock.Clock
	steps []func(b storage.Backend) error
}

// newHistory makes requests on a few series, in order, late and replacing, with
// changes of policy, flushes, merges and expiry between them, while days pass. Another table comes and goes.
func newHistory(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 7))
	h := &history{clock: clock.Manual(benchStart)}
	ctx := context.Background()
	policy := storage.Policy{MemoryRetention: time.Hour, MagneticRetention: 10 * 24 * time.Hour, MagneticWrites: true}
	h.add(func(b storage.Backend) error { return b.CreateTable(ctx, benchID, policy) })
	for i := range 24 {
		var batch storagetest.Batch
		for k := range 6 {
			p := storagetest.Point{Measure: "m", Dims: []string{"d", fmt.Sprint(k % 3)}, TimeNs: benchStart.Add(time.Duration(i) * time.Second).UnixNano(),
				Version: int64(1 + r.IntN(2)), Values: []storagetest.NamedValue{storagetest.I("n", int64(i*10+k)), storagetest.S("s", fmt.Sprint(i))}}
			if r.IntN(3) == 0 {
				p.TimeNs -= r.Int64N(5) * int64(time.Second)
			}
			if r.IntN(4) == 0 {
				p.TimeNs -= (1 + r.Int64N(3)) * int64(24*time.Hour)
			}
			batch.Add(p)
		}
		h.add(func(b storage.Backend) error {
			table, err := b.Table(benchID)
			if err != nil {
				return err
			}
			_, err = table.Write(ctx, &batch.Rows)
			return err
		})
		switch i {
		case 4:
			h.add(func(b storage.Backend) error { return b.CreateTable(ctx, otherID, policy) })
		case 11, 19:
			h.add(func(storage.Backend) error {
				h.clock.Set(benchStart.Add(time.Duration(i/8) * 3 * 24 * time.Hour))
				return nil
			})
		case 13:
			h.add(func(b storage.Backend) error { return b.DropTable(ctx, otherID) })
		}
		if i > 4 && i < 13 {
			h.add(func(b storage.Backend) error {
				table, err := b.Table(otherID)
				if err != nil {
					return nil // its creation was made to fail
				}
				_, err = table.Write(ctx, &batch.Rows)
				return err
			})
		}
		switch i % 8 {
		case 3:
			h.add(func(b storage.Backend) error { return maintain(b, false) })
		case 5:
			p := policy
			p.MagneticRetention = time.Duration(10-i/8) * 24 * time.Hour
			h.add(func(b storage.Backend) error { return b.SetPolicy(ctx, benchID, p) })
		case 7:
			h.add(func(b storage.Backend) error { return maintain(b, true) })
		}
		if i%3 == 2 {
			d := storage.Deletion{From: benchStart.Add(time.Duration(i-r.IntN(6)) * time.Second).UnixNano(), To: benchStart.Add(time.Duration(i) * time.Second).UnixNano()}
			if r.IntN(2) == 0 {
				d.Where = []storage.Predicate{{Column: "d", Op: storage.In, Values: []vec.Value{vec.Str("0"), vec.Str("2")}}}
			}
			if r.IntN(3) == 0 {
				d.From = storage.AllTime.From
			}
			h.add(func(b storage.Backend) error {
				table, err := b.Table(benchID)
				if err != nil {
					return err
				}
				_, err = table.Delete(ctx, d)
				return err
			})
		}
	}
	return h
}

func (h *history) add(step func(b storage.Backend) error) { h.steps = append(h.steps, step) }

// maintain flushes, and expires, purges and merges, if b is a Store.
func maintain(b storage.Backend, merge bool) error {
	s, ok := b.(*Store)
	if !ok {
		return nil
	}
	err := s.flushAll(context.Background())
	if merge && err == nil {
		for _, t := range s.all() {
			err = errors.Join(err, s.expire(t))
		}
	}
	if merge && err == nil {
		if err = s.purgeDue(context.Background()); err == nil {
			err = s.mergeAll(context.Background())
		}
	}
	return fault.Wrap(fault.Unavailable, err, "maintenance")
}

func everything(t testing.TB, b storage.Backend) string {
	table, err := b.Table(benchID)
	if err != nil {
		return "no table"
	}
	var columns []string
	for _, c := range table.Schema().Columns {
		columns = append(columns, c.Name)
	}
	return fmt.Sprint(columns) + "\n" + storagetest.Text(storagetest.Answer(t, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: columns}))
}

func TestCrashAtAnyOperationLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	// One in some operations of each history; every one with -crash.every.
	step := 45
	if *everyOperation {
		step = 1
	}
	for seed := range uint64(4) {
		total := crashAt(t, seed, -1)
		for k := int(seed) * step / 4; k < total; k += step {
			crashAt(t, seed, k)
		}
	}
}

var everyOperation = flag.Bool("crash.every", false, "crash at every operation, not only at some")

// crashAt runs a history and crashes before operation k on the disk; what the disk
// holds then must give the acknowledged steps, and the one in flight or not. It
// returns the number of operations.
func crashAt(t *testing.T, seed uint64, k int) int {
	h := newHistory(seed)
	mem := vfs.NewMem()
	var (
		mu      sync.Mutex // guards the fields below: the log writes from its own goroutine
		ops     int
		crashed *vfs.Mem
		done    int // steps acknowledged
		then    int // done when the crash came
		at      time.Time
	)
	fsys := vfs.Inject(mem, func(op vfs.Op, _ string) error {
		if op == vfs.OpRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if ops == k {
			crashed = mem.Crash(rand.New(rand.NewPCG(seed, uint64(k))))
			then, at = done, h.clock.Now()
		}
		ops++
		if crashed != nil {
			return syscall.EIO // the machine is gone
		}
		return nil
	})
	runHistory(h, fsys, func() { mu.Lock(); done++; mu.Unlock() })
	mu.Lock()
	defer mu.Unlock()
	if crashed == nil {
		if k >= 0 && k < ops {
			t.Fatalf("operation %d of %d did not come", k, ops)
		}
		return ops
	}
	h.clock.Set(at)
	s, err := Open(context.Background(), Options{FS: crashed, Clock: h.clock, LogFileBytes: 4 << 10})
	if err != nil {
		t.Fatalf("seed %d, crash before operation %d: open: %v", seed, k, err)
	}
	got := everything(t, s)
	s.Close() // or it would see the models' clock
	for _, steps := range []int{then, then + 1} {
		h.clock.Set(benchStart)
		model := storagetest.NewNaive(h.clock)
		for _, step := range h.steps[:min(steps, len(h.steps))] {
			if err := step(model); err != nil {
				t.Fatal(err)
			}
		}
		h.clock.Set(at)
		if got == everything(t, model) {
			return ops
		}
	}
	t.Fatalf("seed %d, crash before operation %d, after %d steps: got\n%s", seed, k, then, got)
	return 0
}

// runHistory runs a history until a step fails.
func runHistory(h *history, fsys vfs.FS, acknowledged func()) {
	s, err := Open(context.Background(), Options{FS: fsys, Clock: h.clock, LogFileBytes: 4 << 10})
	if err != nil {
		return
	}
	defer s.Close()
	for _, step := range h.steps {
		if step(s) != nil {
			return
		}
		acknowledged()
	}
}

func TestFullDiskRefusesWritesAndRecovers(t *testing.T) {
	t.Parallel()
	for n := 0; n < 60; n += 7 {
		h := newHistory(3)
		mem := vfs.NewMem()
		inject, heal := vfs.FailAfter(40+n, vfs.DiskFull)
		s := open(t, Options{FS: vfs.Inject(mem, inject), Clock: h.clock, LogFileBytes: 4 << 10})
		model := storagetest.NewNaive(h.clock)
		failed := 0
		for _, step := range h.steps {
			if err := step(s); err != nil {
				if !fault.Is(err, fault.Unavailable) {
					t.Fatalf("after %d operations: %v (%v), want unavailable", n, err, fault.KindOf(err))
				}
				failed++
				continue
			}
			if err := step(model); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := everything(t, s), everything(t, model); got != want {
			t.Fatalf("after %d operations and %d failures: got\n%s\nwant\n%s", n, failed, got, want)
		}
		heal()
		if err := s.Close(); err != nil {
			t.Logf("close: %v", err)
		}
		s = open(t, Options{FS: mem, Clock: h.clock, LogFileBytes: 4 << 10})
		if got, want := everything(t, s), everything(t, model); got != want {
			t.Fatalf("reopened after %d operations and %d failures: got\n%s\nwant\n%s", n, failed, got, want)
		}
		s.Close()
	}
}

func TestManyCrashesLeaveFewFilesOfTheLog(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	for i := range 30 {
		s := open(t, Options{FS: mem, Clock: clock.Manual(benchStart)})
		if i == 0 {
			if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
				t.Fatal(err)
			}
		}
		table, _ := s.Table(benchID)
		if _, err := table.Write(context.Background(), sensorRows(0, 5, benchStart.Add(time.Duration(i-30)*time.Second), 4)); err != nil {
			t.Fatal(err)
		}
		for len(s.log.DurableFiles()) > mostLogFiles { // the flush of the start is under way
			time.Sleep(time.Millisecond)
		}
		left := mem.Crash(nil)
		s.Close()
		mem = left
	}
}

func TestFolderInUseIsAClearError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	defer s.Close()
	if _, err := Open(context.Background(), Options{Dir: dir}); !fault.Is(err, fault.Conflict) {
		t.Errorf("second open: %v", err)
	}
}

func TestFullMemoryThrottlesUntilRowsCanBeFlushed(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	full.Store(true)
	fsys := vfs.Inject(vfs.NewMem(), func(op vfs.Op, name string) error {
		if full.Load() && op == vfs.OpWrite && strings.HasPrefix(name, "segments/") {
			return vfs.DiskFull
		}
		return nil
	})
	s := open(t, Options{FS: fsys, Clock: clock.Manual(benchStart), MemoryLimitBytes: 256 << 10, LogFileBytes: 1 << 20, admitTimeout: time.Millisecond})
	defer s.Close()
	if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, _ := s.Table(benchID)
	write := func(n int) error {
		_, err := table.Write(context.Background(), sensorRows(0, 100, benchStart.Add(-time.Duration(n)*time.Second), 4))
		return err
	}
	acknowledged := 0
	var err error
	for acknowledged < 1000 && err == nil {
		if err = write(acknowledged); err == nil {
			acknowledged++
		}
	}
	if !fault.Is(err, fault.Throttled) {
		t.Fatalf("after %d writes: %v, want throttled", acknowledged, err)
	}
	full.Store(false)
	for err != nil {
		if err = s.flushAll(context.Background()); err == nil {
			err = write(acknowledged)
		}
	}
	if got := len(storagetest.Answer(t, table, storage.ScanSpec{From: 0, To: storage.AllTime.To, Columns: []string{"time"}})); got != 100*(acknowledged+1) {
		t.Errorf("%d rows, want %d", got, 100*(acknowledged+1))
	}
}
