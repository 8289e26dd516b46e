package embedded

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

// trap is a disk that panics, as a bug of ours would, at operations whose file has a name with a text in it.
type trap struct {
	*vfs.Mem
	FS vfs.FS
	in atomic.Pointer[string]
	op atomic.Pointer[vfs.Op] // nil: any but reading
}

func newTrap() *trap {
	x := &trap{Mem: vfs.NewMem()}
	x.FS = vfs.Inject(x.Mem, func(op vfs.Op, name string) error {
		in, only := x.in.Load(), x.op.Load()
		if in != nil && strings.Contains(name, *in) && (only == nil && op != vfs.OpRead || only != nil && op == *only) {
			panic("a bug in " + name)
		}
		return nil
	})
	return x
}

func (x *trap) set(in string) { x.in.Store(&in) }

var otherID = storage.TableID{Database: "db", Table: "other"}

// trapped is a store on a trap with two tables, of which both have rows.
func trapped(t *testing.T) (*trap, *Store) {
	t.Helper()
	x := newTrap()
	s := open(t, Options{FS: x.FS, Clock: clock.Manual(benchStart)})
	for _, id := range []storage.TableID{benchID, otherID} {
		if err := s.CreateTable(t.Context(), id, benchPolicy); err != nil {
			t.Fatal(err)
		}
		writeSome(t, s, id, 0)
	}
	return x, s
}

// writeSome writes ten rows.
func writeSome(t *testing.T, s *Store, id storage.TableID, second int) {
	t.Helper()
	if err := tryWrite(t, s, id, second); err != nil {
		t.Fatal(err)
	}
}

func tryWrite(t *testing.T, s *Store, id storage.TableID, second int) error {
	_, err := s.lookup(id).Write(t.Context(), sensorRows(0, 10, benchStart.Add(time.Duration(second)*time.Second-time.Hour), 2))
	return err
}

func wantRows(t *testing.T, s *Store, id storage.TableID, want int) {
	t.Helper()
	all := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{storage.TimeColumnName}}
	if n := len(storagetest.Answer(t, s.lookup(id), all)); n != want {
		t.Errorf("%d rows in %s, want %d", n, id.Table, want)
	}
}

func wantTrouble(t *testing.T, s *Store, texts ...string) {
	t.Helper()
	got := s.Trouble()
	for _, text := range texts {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, text) }) {
			t.Errorf("trouble %q, want %q", got, text)
		}
	}
	if len(texts) == 0 && len(got) > 0 {
		t.Errorf("trouble %q, want none", got)
	}
}

// reopened is what a crash now and a start would give.
func (x *trap) reopened(t *testing.T, s *Store) *Store {
	t.Helper()
	left := x.Crash(nil)
	s.Close() // its error is of no use
	return open(t, Options{FS: left, Clock: clock.Manual(benchStart)})
}

func TestABugInAFlushStopsItsTableOnly(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]string{"writing a segment": "segments/t1/", "writing the manifest": manifestNewName} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, s := trapped(t)
			x.set(where)
			if err := s.flush(t.Context(), s.lookup(benchID)); !fault.Is(err, fault.Unavailable) {
				t.Errorf("flush: %v", err)
			}
			x.set("nowhere")
			wantTrouble(t, s, "db.t takes no records until the next start: bug: panic: a bug in")
			if err := tryWrite(t, s, benchID, 1); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.MessageOf(err), "started again") {
				t.Errorf("a write gave %v", err)
			}
			writeSome(t, s, otherID, 1)
			if err := s.flush(t.Context(), s.lookup(otherID)); err != nil {
				t.Errorf("flush of the other table: %v", err)
			}
			if err := s.maintain(t.Context()); err != nil {
				t.Errorf("maintain: %v", err)
			}
			wantRows(t, s, benchID, 10)
			wantRows(t, s, otherID, 20)
			s = x.reopened(t, s)
			defer s.Close()
			wantTrouble(t, s)
			wantRows(t, s, benchID, 10)
			wantRows(t, s, otherID, 20)
			writeSome(t, s, benchID, 1)
		})
	}
}

func TestTheMemoryOfATableThatIsStuckIsNotMissedByOthers(t *testing.T) {
	t.Parallel()
	x := newTrap()
	s := open(t, Options{FS: x.FS, Clock: clock.Manual(benchStart), MemoryLimitBytes: 64 << 10, admitTimeout: time.Second})
	defer s.Close()
	for _, id := range []storage.TableID{benchID, otherID} {
		if err := s.CreateTable(t.Context(), id, benchPolicy); err != nil {
			t.Fatal(err)
		}
	}
	x.set("segments/t1/")
	// More than the limit in one write, so that the others find no room if it is counted.
	if _, err := s.lookup(benchID).Write(t.Context(), sensorRows(0, 1000, benchStart, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(t.Context(), s.lookup(benchID)); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("flush: %v", err)
	}
	if held := s.lookup(benchID).Stats().MemoryBytes; held <= s.opts.MemoryLimitBytes {
		t.Fatalf("the table holds %d bytes, not more than the limit of %d", held, s.opts.MemoryLimitBytes)
	}
	wantTrouble(t, s, "db.t takes no records")
	for second := range 300 {
		writeSome(t, s, otherID, second)
	}
}

func TestAWriteThatWaitsForMemoryGoesOnWhenATableIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := vfs.Inject(vfs.NewMem(), func(op vfs.Op, name string) error {
			if op != vfs.OpRead && strings.Contains(name, "segments/t1/") {
				return errors.New("no disk")
			}
			return nil
		})
		s := open(t, Options{FS: full, Clock: clock.Manual(benchStart), MemoryLimitBytes: 64 << 10})
		defer s.Close()
		for _, id := range []storage.TableID{benchID, otherID} {
			if err := s.CreateTable(t.Context(), id, benchPolicy); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.lookup(benchID).Write(t.Context(), sensorRows(0, 1000, benchStart, 3)); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error, 1)
		go func() { answer <- tryWrite(t, s, otherID, 1) }()
		synctest.Wait()
		begin := time.Now()
		s.lookup(benchID).jam(errors.New("a bug"))
		if err := <-answer; err != nil || time.Since(begin) > 0 {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestABugWhileRowsAreAppliedStopsTheirTableOnly(t *testing.T) {
	t.Parallel()
	x, s := trapped(t)
	flushNow(t, s)
	for _, f := range s.lookup(benchID).view.Load().segments {
		f.close()
	}
	read := vfs.OpRead
	x.op.Store(&read)
	x.set("segments/")
	// The same rows again: those on the disk are looked at to judge them.
	if err := tryWrite(t, s, benchID, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a write gave %v", err)
	}
	x.set("nowhere")
	wantTrouble(t, s, "db.t takes no records")
	if err := tryWrite(t, s, benchID, 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the next write gave %v", err)
	}
	writeSome(t, s, otherID, 1)
	wantRows(t, s, benchID, 10)
	s = x.reopened(t, s)
	defer s.Close()
	wantRows(t, s, benchID, 10)
	wantRows(t, s, otherID, 20)
}

// TestNobodyGoesOnFromWhatABugLeftHalfDone has two writers wait to apply their rows, of which the first panic.
func TestNobodyGoesOnFromWhatABugLeftHalfDone(t *testing.T) {
	t.Parallel()
	x, s := trapped(t)
	flushNow(t, s)
	table := s.lookup(benchID)
	for _, f := range table.view.Load().segments {
		f.close()
	}
	read := vfs.OpRead
	x.op.Store(&read)
	x.set("segments/")
	table.applyMu.Lock()
	answers := make(chan error, 2)
	for second := range 2 {
		go func() { answers <- tryWrite(t, s, benchID, second) }()
		for queued := 0; queued <= second; runtime.Gosched() {
			table.submitMu.Lock()
			queued = len(table.pending)
			table.submitMu.Unlock()
		}
	}
	table.applyMu.Unlock()
	for range 2 {
		if err := <-answers; !fault.Is(err, fault.Unavailable) {
			t.Errorf("a write gave %v", err)
		}
	}
	x.set("nowhere")
	wantRows(t, s, benchID, 10)
	s = x.reopened(t, s)
	defer s.Close()
	wantRows(t, s, benchID, 20)
}

func TestABugInAMergeStopsTheMergingOfItsTableOnly(t *testing.T) {
	t.Parallel()
	x, s := trapped(t)
	defer s.Close()
	flushNow(t, s)
	for i := range mergeFanIn {
		writeSome(t, s, benchID, i+1)
		writeSome(t, s, otherID, i+1)
		flushNow(t, s)
	}
	x.set("segments/t1/")
	if err := s.mergeDue(t.Context()); err != nil {
		t.Errorf("merge: %v", err)
	}
	x.set("nowhere")
	wantTrouble(t, s, "the segments of db.t are not merged")
	if n, m := len(s.lookup(benchID).view.Load().segments), len(s.lookup(otherID).view.Load().segments); n <= m {
		t.Errorf("%d segments where merging ended, %d in the other table", n, m)
	}
	writeSome(t, s, benchID, 10)
	flushNow(t, s)
	wantRows(t, s, benchID, 10*(mergeFanIn+2))
	wantRows(t, s, otherID, 10*(mergeFanIn+1))
	if n := s.Panics(); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

func TestABugInTheLogEndsWritesAndLosesNothing(t *testing.T) {
	t.Parallel()
	x, s := trapped(t)
	x.set("wal/")
	if err := tryWrite(t, s, benchID, 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a write gave %v", err)
	}
	x.set("nowhere")
	for second := range 3 {
		if err := tryWrite(t, s, otherID, 2+second); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a later write gave %v", err)
		}
	}
	wantTrouble(t, s, "records are refused, because the log cannot be written: bug: panic: a bug in wal/")
	wantRows(t, s, benchID, 10)
	s = x.reopened(t, s)
	defer s.Close()
	wantRows(t, s, benchID, 10)
	wantRows(t, s, otherID, 10)
	writeSome(t, s, benchID, 1)
}
