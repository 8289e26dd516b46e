package embedded

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/vfs"
)

// TestAStopThatCannotWaitLeavesTheRestInTheLog ends the time of a stop while the larger of two tables is flushed.
func TestAStopThatCannotWaitLeavesTheRestInTheLog(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	mem := vfs.NewMem()
	fsys := vfs.Inject(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpCreate && strings.HasPrefix(name, "segments/t1/") {
			cancel() // the time is up
		}
		return nil
	})
	var log strings.Builder
	s := open(t, Options{FS: fsys, Clock: clock.Manual(benchStart), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.CreateTable(ctx, benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTable(ctx, otherID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	for second := range 3 {
		writeSome(t, s, benchID, second)
	}
	writeSome(t, s, otherID, 0)
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if !strings.Contains(log.String(), "the next start replays them") || !strings.Contains(log.String(), "rows=30 tables=1") {
		t.Errorf("log: %s", log.String())
	}
	s = open(t, Options{FS: mem.Crash(nil), Clock: clock.Manual(benchStart.Add(time.Second))})
	defer s.Close()
	wantRows(t, s, benchID, 30)
	wantRows(t, s, otherID, 10)
	if n := s.lookup(otherID).view.Load().active.Rows(); n != 0 {
		t.Errorf("%d rows of the small table were replayed", n)
	}
	if keys := segmentKeys(t, s); len(keys) != 1 {
		t.Errorf("segments %v", keys)
	}
}
