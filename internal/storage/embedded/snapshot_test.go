package embedded

import (
	"context"
	"fmt"
	"io"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

// copySnapshot writes a snapshot's files to a file system in memory.
func copySnapshot(ctx context.Context, snap *Snapshot) (vfs.FS, error) {
	fsys := vfs.NewMem()
	err := snap.Each(ctx, func(name string, size int64, content io.Reader) error {
		data, err := io.ReadAll(content)
		if err != nil || int64(len(data)) != size {
			return fmt.Errorf("%s: %d bytes, want %d: %w", name, len(data), size, err)
		}
		if err := vfs.MakeDir(fsys, path.Dir(name)); err != nil {
			return err
		}
		f, err := fsys.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt(data, 0)
		return err
	})
	return fsys, err
}

func TestASnapshotHoldsWhatWasWrittenBeforeItWhateverGoesOn(t *testing.T) {
	t.Parallel()
	clk := clock.Manual(benchStart)
	s, err := Open(t.Context(), Options{FS: vfs.NewMem(), Clock: clk, LogLimitBytes: 64 << 10, LogFileBytes: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	policy := storage.Policy{MemoryRetention: 24 * time.Hour, MagneticRetention: 10 * 24 * time.Hour}
	if err := s.CreateTable(t.Context(), benchID, policy); err != nil {
		t.Fatal(err)
	}
	table, err := s.Table(benchID)
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged atomic.Int64
	stop := make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		for i := int64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			var batch storagetest.Batch
			batch.Add(storagetest.Point{Measure: "m", Dims: []string{"d", "a"}, TimeNs: benchStart.UnixNano() - i, Version: 1,
				Values: []storagetest.NamedValue{storagetest.I("n", i)}})
			if _, err := table.Write(context.Background(), &batch.Rows); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(i + 1)
		}
	})
	working.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := maintain(s, true); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for acknowledged.Load() == 0 && !t.Failed() {
		runtime.Gosched()
	}
	for range 4 {
		before := acknowledged.Load()
		snap, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for acknowledged.Load() < before+50 && !t.Failed() { // flushes and merges go on
			runtime.Gosched()
		}
		fsys, err := copySnapshot(t.Context(), snap)
		if err != nil {
			t.Fatal(err)
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(t.Context(), io.Discard, fsys, nil); err != nil {
			t.Fatal(err)
		}
		copied, err := Open(t.Context(), Options{FS: fsys, Clock: clk})
		if err != nil {
			t.Fatal(err)
		}
		if got := rowsOf(t, copied); got < before {
			t.Fatalf("the snapshot has %d rows, %d were acknowledged before it", got, before)
		}
		if err := copied.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	working.Wait()
	s.stop() // the store's own flushes and merges, which may be halfway
	s.workers.Wait()
	if err := s.sweepCheck(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// sweepCheck reports segments that are on disk and in no manifest: pins that were not let go.
func (s *Store) sweepCheck(ctx context.Context) error {
	keys, err := s.objects.List(ctx, "")
	if err != nil {
		return err
	}
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	live := 0
	for _, t := range s.manifest.Tables {
		live += len(t.Segments)
	}
	if len(keys) != live {
		return fmt.Errorf("%d segments on disk, %d in the manifest", len(keys), live)
	}
	return nil
}

func rowsOf(t *testing.T, s *Store) int64 {
	table, err := s.Table(benchID)
	if err != nil {
		t.Fatal(err)
	}
	return int64(len(storagetest.Answer(t, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"n"}})))
}
