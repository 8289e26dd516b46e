package embedded

import (
	"context"
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
