package embedded

import (
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/vfs"
)

func TestADroppedTableLeavesTheCountOfMemory(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart)})
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table := s.lookup(benchID)
	if _, err := table.Write(t.Context(), sensorRows(0, 1000, benchStart, 2)); err != nil {
		t.Fatal(err)
	}
	// A write is durable when the table is dropped, and is applied afterwards.
	r := &request{}
	r.reset(sensorRows(0, 1, benchStart.Add(time.Second), 2))
	table.admitRows(r)
	table.resolve(r)
	if err := table.submit(r, r.encoder.encodeRest(r)); err != nil {
		t.Fatal(err)
	}
	if err := r.ticket.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.DropTable(t.Context(), benchID); err != nil {
		t.Fatal(err)
	}
	table.applyMu.Lock()
	table.applyDurableLocked(r.ticket.Position)
	grown := table.countLocked()
	table.applyMu.Unlock()
	s.written(grown)
	if bytes, values := s.memory.Load(), s.active.Load(); bytes != 0 || values != 0 {
		t.Errorf("%d bytes and %d values are counted, and there is no table", bytes, values)
	}
}
