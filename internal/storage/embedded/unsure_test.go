package embedded

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

func TestAManifestThatMayBeThereFindsItsSegments(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, Options{FS: mem, Clock: clock.Manual(benchStart)})
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lookup(benchID).Write(t.Context(), sensorRows(0, 50, benchStart, 2)); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.workers.Wait()
	s.fs = vfs.Inject(mem, func(op vfs.Op, _ string) error {
		if op == vfs.OpSyncDir {
			return errors.New("the disk does not answer")
		}
		return nil
	})
	if err := s.flush(t.Context(), s.lookup(benchID)); err == nil {
		t.Fatal("flushed without a manifest")
	}
	for seed := range uint64(8) {
		again := open(t, Options{FS: mem.Crash(rand.New(rand.NewPCG(seed, 0))), Clock: clock.Manual(benchStart)})
		all := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{storage.TimeColumnName}}
		if n := len(storagetest.Answer(t, again.lookup(benchID), all)); n != 50 {
			t.Errorf("%d rows, want 50", n)
		}
		again.Close()
	}
}

// TestAChangeThatMayHaveHappenedTakesNoRowAfterIt fails the folder's sync while a table is dropped or its retention shortened. What is
// acknowledged afterwards must be there, whichever manifest a crash leaves.
func TestAChangeThatMayHaveHappenedTakesNoRowAfterIt(t *testing.T) {
	t.Parallel()
	shorter := benchPolicy
	shorter.MemoryRetention, shorter.MagneticRetention = time.Minute, time.Minute
	for name, change := range map[string]func(s *Store) error{
		"drop":   func(s *Store) error { return s.DropTable(t.Context(), benchID) },
		"policy": func(s *Store) error { return s.SetPolicy(t.Context(), benchID, shorter) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			var silent atomic.Bool
			s := open(t, Options{Clock: clock.Manual(benchStart), retryAfter: time.Nanosecond, FS: vfs.Inject(mem, func(op vfs.Op, _ string) error {
				if op == vfs.OpSyncDir && silent.Load() {
					return errors.New("the disk does not answer")
				}
				return nil
			})})
			defer s.Close()
			if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
				t.Fatal(err)
			}
			table := s.lookup(benchID)
			write := func(k int) error {
				_, err := table.Write(t.Context(), sensorRows(0, 50, benchStart.Add(-time.Hour+time.Duration(k)*time.Second), 2))
				return err
			}
			silent.Store(true)
			if err := change(s); !fault.Is(err, fault.Unavailable) {
				t.Fatalf("the change gave %v", err)
			}
			acknowledged := 0
			lost := func(when string) {
				t.Helper()
				for seed := range uint64(8) {
					again := open(t, Options{FS: mem.Crash(rand.New(rand.NewPCG(seed, 0))), Clock: clock.Manual(benchStart)})
					n := 0
					if left := again.lookup(benchID); left != nil {
						n = len(storagetest.Answer(t, left, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{storage.TimeColumnName}}))
					}
					if n != acknowledged {
						t.Errorf("%s: %d rows, %d were acknowledged", when, n, acknowledged)
					}
					again.Close()
				}
			}
			if err := write(0); err == nil {
				acknowledged += 50
			} else if !fault.Is(err, fault.Unavailable) {
				t.Errorf("a write in doubt gave %v", err)
			}
			if _, err := table.Delete(t.Context(), storage.Deletion{From: storage.AllTime.From, To: storage.AllTime.To}); acknowledged == 0 && !fault.Is(err, fault.Unavailable) {
				t.Errorf("a deletion in doubt gave %v", err)
			}
			lost("in doubt")
			silent.Store(false)
			if err := write(1); err != nil {
				t.Errorf("once the disk answers: %v", err)
			}
			acknowledged += 50
			lost("settled")
		})
	}
}
