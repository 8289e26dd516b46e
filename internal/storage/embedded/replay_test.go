package embedded

import (
	"runtime"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/vfs"
)

func TestRowsAreFlushedBeforeARestartHasMuchToReplay(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart), ReplayLimitValues: 100})
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, _ := s.Table(benchID)
	for i := range 4 {
		if _, err := table.Write(t.Context(), sensorRows(0, 20, benchStart.Add(time.Duration(i)*time.Second), 3)); err != nil {
			t.Fatal(err)
		}
	}
	for table.Stats().MagneticBytes == 0 || s.active.Load() > 100 {
		if t.Context().Err() != nil {
			t.Fatal("nothing is flushed")
		}
		runtime.Gosched()
	}
	if n := table.Stats().Rows; n != 80 {
		t.Errorf("%d rows, want 80", n)
	}
}
