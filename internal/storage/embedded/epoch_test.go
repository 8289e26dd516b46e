package embedded

import (
	"runtime"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vfs"
)

// A write that begins after a flush has, and whose rows the flush takes along, gives numbers to series
// that later records use: the log keeps them.
func TestNumbersGivenDuringAFlushOutliveIt(t *testing.T) {
	t.Parallel()
	o := Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart), LogFileBytes: 4 << 10}
	s := open(t, o)
	other := storage.TableID{Database: "db", Table: "other"}
	for _, id := range []storage.TableID{benchID, other} {
		if err := s.CreateTable(t.Context(), id, benchPolicy); err != nil {
			t.Fatal(err)
		}
	}
	quiet := s.lookup(benchID)
	write := func(id storage.TableID, second, devices int) {
		t.Helper()
		if r, err := s.lookup(id).Write(t.Context(), sensorRows(0, devices, benchStart.Add(time.Duration(second)*time.Second), 2)); err != nil || r.Memory != devices {
			t.Fatalf("write: %+v, %v", r, err)
		}
	}
	write(benchID, 1, 3)

	// The flush has begun its epoch and waits for those who apply, of whom one is late.
	quiet.applyMu.Lock()
	before := quiet.epoch
	frozen := make(chan struct{})
	go func() { quiet.freeze(); close(frozen) }()
	for begun := false; !begun; runtime.Gosched() {
		quiet.submitMu.Lock()
		begun = quiet.epoch != before
		quiet.submitMu.Unlock()
	}
	r := &request{}
	r.reset(sensorRows(0, 3, benchStart.Add(2*time.Second), 2))
	quiet.admitRows(r)
	quiet.resolve(r)
	if err := quiet.submit(r, r.encoder.encodeRest(r)); err != nil {
		t.Fatal(err)
	}
	if err := r.ticket.Wait(); err != nil {
		t.Fatal(err)
	}
	quiet.applyDurableLocked(r.ticket.Position)
	quiet.applyMu.Unlock()
	<-frozen

	// The log goes on with another table, and is cut.
	for i := range 200 {
		write(other, i+1, 20)
	}
	for _, err := range []error{s.flushFrozen(t.Context(), quiet, quiet.view.Load().frozen[0]), s.flush(t.Context(), s.lookup(other)), s.truncateLog()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(benchID, 3, 3)
	left := crashed(t, s)
	o.FS = left
	s = open(t, o)
	if n := s.lookup(benchID).Stats().Rows; n != 9 {
		t.Errorf("%d rows, want 9", n)
	}
}
