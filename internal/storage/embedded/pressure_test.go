package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// TestASlowDiskThrottlesWritersAndLosesNothing holds the disk up while writers fill the log's queue
// with series of their own, so that refused records are those that would have numbered them.
func TestASlowDiskThrottlesWritersAndLosesNothing(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	var slow atomic.Bool
	stuck, goOn := make(chan bool), make(chan bool)
	fsys := vfs.Inject(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpSync && slow.CompareAndSwap(true, false) {
			stuck <- true
			<-goOn
		}
		return nil
	})
	s := open(t, Options{FS: fsys, Clock: clock.Manual(benchStart), logQueueBytes: 4000})
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, _ := s.Table(benchID)
	var mu sync.Mutex
	acked := map[string]bool{}
	write := func(k int) error {
		rows := sensorRows(100*k, 100*k+10, benchStart, 1)
		r, err := table.Write(t.Context(), rows)
		if err == nil {
			mu.Lock()
			for i := range rows.Rows {
				acked[rows.Rows[i].Dimensions[0].Value] = true
			}
			mu.Unlock()
			if r.Memory != 10 {
				err = fmt.Errorf("%+v", r)
			}
		}
		return err
	}
	slow.Store(true)
	var writers sync.WaitGroup
	writers.Go(func() {
		if err := write(0); err != nil {
			t.Error(err)
		}
	})
	<-stuck
	throttled, done := make(chan int), make(chan error)
	for k := 1; k <= 20; k++ {
		writers.Go(func() {
			if err := write(k); fault.Is(err, fault.Throttled) {
				throttled <- k
			} else {
				done <- err
			}
		})
	}
	first := <-throttled // while the disk is stuck: nobody waits for it in vain
	close(goOn)
	again := []int{first}
	for range 19 {
		select {
		case k := <-throttled:
			again = append(again, k)
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		}
	}
	writers.Wait()
	for _, k := range again {
		if err := write(k); err != nil {
			t.Errorf("once the disk follows again: %v", err)
		}
	}
	s = open(t, Options{FS: mem.Crash(nil), Clock: clock.Manual(benchStart)})
	table, _ = s.Table(benchID)
	if n := int(table.Stats().Rows); n != 210 || len(acked) != 210 {
		t.Errorf("%d rows after a crash, %d acknowledged, want 210", n, len(acked))
	}
}

// BenchmarkWriteLatency is how long requests of 100 rows take one after the other, on a real disk: with nothing else
// going on, and while flushes of 60,000 rows, of 2,000 series, and merges of four of these follow each other.
func BenchmarkWriteLatency(b *testing.B) {
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("flushing=%v", busy), func(b *testing.B) {
			s, table := benchStore(b, Options{ReplayLimitValues: 1 << 40})
			wanted := make(chan bool, 1)
			var background sync.WaitGroup
			flushes := 0
			background.Go(func() {
				for range wanted {
					err := s.flushAll(context.Background())
					if flushes++; flushes%4 == 0 {
						err = errors.Join(err, s.mergeAll(context.Background()))
					}
					if err != nil {
						b.Error(err)
					}
				}
			})
			var took []time.Duration
			start := benchStart.Add(-24 * time.Hour)
			for n := 0; b.Loop(); n++ {
				from := 100 * (n % 20)
				rows := sensorRows(from, from+100, start.Add(time.Duration(n/20)*time.Second), 10)
				begin := time.Now()
				if r, err := table.Write(context.Background(), rows); err != nil || r.Memory != 100 {
					b.Fatal(r, err)
				}
				took = append(took, time.Since(begin))
				if busy && n%600 == 599 {
					select {
					case wanted <- true:
					default:
					}
				}
			}
			close(wanted)
			background.Wait()
			slices.Sort(took)
			report := func(name string, p float64) {
				b.ReportMetric(float64(took[min(len(took)-1, int(p*float64(len(took))))].Microseconds())/1000, name)
			}
			report("p50-ms", 0.5)
			report("p99-ms", 0.99)
			report("p99.9-ms", 0.999)
			report("max-ms", 1)
			b.ReportMetric(float64(flushes), "flushes")
		})
	}
}

func TestMemoryIsCountedAsItWasOnceRowsOutOfOrderAreFlushed(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart)})
	defer s.Close()
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	for second := 40; second > 0; second-- {
		writeSome(t, s, benchID, second)
	}
	flushNow(t, s)
	if n := s.memory.Load(); n != 0 {
		t.Errorf("%d bytes of memory are counted with no rows in it", n)
	}
}
