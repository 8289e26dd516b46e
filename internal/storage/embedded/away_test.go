package embedded

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vfs"
)

// silent is a remote store that does not answer for a while.
type silent struct {
	*faraway
	quiet atomic.Bool
	asked chan struct{} // one for each call that waits
}

func (s *silent) Open(ctx context.Context, key string) (objstore.Object, error) {
	if s.quiet.Load() {
		s.asked <- struct{}{}
		<-ctx.Done()
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "nobody answers")
	}
	return s.faraway.Open(ctx, key)
}

func TestACancelledQueryDoesNotWaitForTheRemoteStore(t *testing.T) {
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
	everything(t, s)
	segments := s.lookup(benchID).view.Load().segments

	// within returns what f does once the store is asked and the context of f cancelled.
	within := func(what string, f func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f(ctx) }()
		select {
		case <-far.asked:
		case err := <-done:
			t.Fatalf("%s: %v, and nobody asked the store", what, err)
		}
		cancel()
		select {
		case err := <-done:
			if !fault.Is(err, fault.Cancelled) {
				t.Errorf("%s: %v, want cancelled", what, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s waits for ever", what)
		}
	}
	everyRow := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"n"}}
	newest := everyRow
	newest.NewestFirst, newest.Limit = true, 5
	sum := everyRow
	sum.Columns, sum.Aggregation = nil, &storage.Aggregation{Aggs: []storage.Agg{{Func: storage.Moments, Column: "n"}}, Keys: []storage.GroupKey{{Column: "sensor"}}}
	for what, spec := range map[string]storage.ScanSpec{"rows": everyRow, "divided rows": everyRow, "newest rows": newest, "an aggregation": sum} {
		scan, err := table.Scan(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		far.quiet.Store(true)
		next := scan.Next
		if d, ok := scan.(storage.Divided); ok && what == "divided rows" {
			next = d.Divide(1)[0].Next
		}
		within(what, func(ctx context.Context) error {
			for {
				if b, err := next(ctx); b == nil || err != nil {
					return err
				}
			}
		})
		scan.Close() // waits for what reads
		far.quiet.Store(false)
		for len(far.asked) > 0 {
			<-far.asked
		}
	}
	for _, f := range segments {
		f.close()
	}
	far.quiet.Store(true)
	within("opening a segment", func(ctx context.Context) error {
		_, err := table.Scan(ctx, everyRow)
		return err
	})
	far.quiet.Store(false)
	if st := s.RemoteStatus(); st.Err != nil {
		t.Errorf("the store is taken for down: %v", st.Err)
	}
	wantRows(t, s, benchID, 1000)
}
