package embedded

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/clock"
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
