package embedded

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vfs"
)

// poisonedLog is what a crash leaves of a store with two tables: ten rows in a segment and ten in the log of each, then a record of the
// first table that is whole and does not parse, then ten more of each.
func poisonedLog(t *testing.T, payload func(uid uint64) []byte) (*vfs.Mem, wal.Position) {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, poisonOptions(mem))
	for _, id := range []storage.TableID{benchID, otherID} {
		if err := s.CreateTable(t.Context(), id, benchPolicy); err != nil {
			t.Fatal(err)
		}
		writeSome(t, s, id, 0)
	}
	flushNow(t, s)
	writeSome(t, s, benchID, 1)
	writeSome(t, s, otherID, 1)
	at, err := s.log.Append(recordNumbered, payload(s.lookup(benchID).uid))
	if err != nil {
		t.Fatal(err)
	}
	writeSome(t, s, benchID, 2)
	writeSome(t, s, otherID, 2)
	left := mem.Crash(nil)
	s.Close()
	return left, at
}

func poisonOptions(fsys vfs.FS) Options {
	return Options{FS: fsys, Clock: clock.Manual(benchStart), LogFileBytes: 4 << 10}
}

// garbage is a record of a table that ends after its uid.
func garbage(uid uint64) []byte { return []byte{byte(uid), 0xff} }

func wantStuck(t *testing.T, s *Store, at wal.Position) {
	t.Helper()
	name := asideName(at, poisonSuffix)
	wantTrouble(t, s, "the table db.t takes no records: that at position", name, "rename")
	err := tryWrite(t, s, benchID, 5)
	if text := fault.MessageOf(err); !fault.Is(err, fault.Unavailable) || !strings.Contains(text, name) || !strings.Contains(text, "drop the table") {
		t.Errorf("a write gave %v", err)
	}
	if _, err := s.lookup(benchID).Delete(t.Context(), storage.Deletion{From: 0, To: 1}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a deletion gave %v", err)
	}
	if _, err := s.fs.Stat(name); err != nil {
		t.Errorf("the copy: %v", err)
	}
}

func rename(t *testing.T, fsys vfs.FS, at wal.Position) {
	t.Helper()
	if err := fsys.Rename(asideName(at, poisonSuffix), asideName(at, passedSuffix)); err != nil {
		t.Fatal(err)
	}
	if err := fsys.SyncDir(walDir); err != nil {
		t.Fatal(err)
	}
}

func TestARecordThatCannotBeAppliedStopsItsTableOnly(t *testing.T) {
	t.Parallel()
	mem, at := poisonedLog(t, garbage)
	for restart := range 12 {
		s := open(t, poisonOptions(mem))
		wantStuck(t, s, at)
		wantRows(t, s, benchID, 20)
		wantRows(t, s, otherID, 30+10*restart)
		writeSome(t, s, otherID, 3+restart)
		if err := s.maintain(t.Context()); err != nil {
			t.Errorf("maintain: %v", err)
		}
		if restart%2 == 0 {
			mem = mem.Crash(nil)
			s.Close()
		} else {
			mem = closed(t, s).(*vfs.Mem)
		}
	}
	size := int64(0)
	for _, name := range files(t, mem, walDir) {
		info, err := mem.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 32<<10 { // twelve files of 4 KiB would be more
		t.Errorf("the log takes %d bytes after 12 starts", size)
	}
	rename(t, mem, at)
	for range 3 {
		s := open(t, poisonOptions(mem))
		wantTrouble(t, s)
		writeSome(t, s, benchID, 2) // the same again
		wantRows(t, s, benchID, 30)
		mem = mem.Crash(nil)
		s.Close()
	}
	s := open(t, poisonOptions(mem))
	mem = closed(t, s).(*vfs.Mem)
	if _, err := mem.Stat(asideName(at, passedSuffix)); err != nil {
		t.Errorf("the record is in no file any more: %v", err)
	}
	s = open(t, poisonOptions(mem))
	defer s.Close()
	wantRows(t, s, benchID, 30)
}

func TestATableThatIsStuckSinceTheStartCanBeDropped(t *testing.T) {
	t.Parallel()
	mem, at := poisonedLog(t, garbage)
	s := open(t, poisonOptions(mem))
	wantStuck(t, s, at)
	if err := s.DropTable(t.Context(), benchID); err != nil {
		t.Fatal(err)
	}
	wantTrouble(t, s)
	if _, err := mem.Stat(asideName(at, poisonSuffix)); err == nil {
		t.Error("the copy is still there")
	}
	flushNow(t, s)
	if from := s.log.DurableFiles()[0].Name; from <= path.Join(walDir, fileOf(at)) {
		t.Errorf("the log begins with %s still", from)
	}
	for _, id := range []storage.TableID{benchID, otherID} {
		if err := s.CreateTable(t.Context(), storage.TableID{Database: id.Database, Table: id.Table, Incarnation: 2}, benchPolicy); err != nil {
			t.Fatal(err)
		}
	}
	mem = mem.Crash(nil)
	s.Close()
	s = open(t, poisonOptions(mem))
	defer s.Close()
	wantTrouble(t, s)
	wantRows(t, s, otherID, 30)
}

// fileOf is the first name that a file of the log that begins at a position can have.
func fileOf(at wal.Position) string {
	return strings.TrimSuffix(path.Base(asideName(at, poisonSuffix)), poisonSuffix)
}

// TestACopyGoesWithItsTable drops the table, and the copy survives the crash.
func TestACopyGoesWithItsTable(t *testing.T) {
	t.Parallel()
	mem, at := poisonedLog(t, garbage)
	s := open(t, Options{FS: vfs.Inject(mem, func(op vfs.Op, name string) error {
		if op == vfs.OpRemove && strings.HasSuffix(name, poisonSuffix) {
			return syscall.EIO
		}
		return nil
	}), Clock: clock.Manual(benchStart)})
	if err := s.DropTable(t.Context(), benchID); err != nil {
		t.Fatal(err)
	}
	mem = mem.Crash(nil)
	s.Close()
	s = open(t, poisonOptions(mem))
	defer s.Close()
	wantTrouble(t, s)
	if _, err := mem.Stat(asideName(at, poisonSuffix)); err == nil {
		t.Error("the copy is still there")
	}
}

// TestAPassedRecordsSeriesAreKnown has a record whose rows do not parse give numbers that the next one uses.
func TestAPassedRecordsSeriesAreKnown(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, poisonOptions(mem))
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table := s.lookup(benchID)
	r := &request{}
	r.reset(sensorRows(0, 10, benchStart, 2))
	table.admitRows(r)
	table.resolve(r)
	if err := table.submit(r, []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	if err := r.ticket.Wait(); err != nil {
		t.Fatal(err)
	}
	writeSome(t, s, benchID, 1)
	at := r.ticket.Position
	left := mem.Crash(nil)
	s.Close()
	s = open(t, poisonOptions(left))
	wantStuck(t, s, at)
	if n := len(s.lookup(benchID).held.copies); n != 1 {
		t.Errorf("%d records cannot be applied, want one", n)
	}
	s.Close()
	rename(t, left, at)
	s = open(t, poisonOptions(left))
	defer s.Close()
	wantTrouble(t, s)
	wantRows(t, s, benchID, 10)
}

// TestEachRecordThatCannotBeAppliedHasACopy loses the numbers that later records need.
func TestEachRecordThatCannotBeAppliedHasACopy(t *testing.T) {
	t.Parallel()
	mem, at := poisonedLog(t, func(uid uint64) []byte { return []byte{byte(uid), 1, 0} }) // of another epoch, and no rows
	s := open(t, poisonOptions(mem))
	wantStuck(t, s, at)
	copies := s.lookup(benchID).held.copies
	if len(copies) != 2 {
		t.Fatalf("copies %q, want two", copies)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, name := range copies {
		if err := mem.Rename(name, strings.TrimSuffix(name, poisonSuffix)+passedSuffix); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, poisonOptions(mem))
	defer s.Close()
	wantTrouble(t, s)
	wantRows(t, s, benchID, 20)
	writeSome(t, s, benchID, 2)
	wantRows(t, s, benchID, 30)
}

func TestABugInTheReplayStopsItsTableUntilItIsMended(t *testing.T) {
	t.Parallel()
	x, s := trapped(t)
	flushNow(t, s)
	writeSome(t, s, benchID, 1)
	writeSome(t, s, benchID, 0) // again: what is on the disk is looked at to judge them
	writeSome(t, s, benchID, 2)
	writeSome(t, s, otherID, 1)
	left := x.Crash(nil)
	s.Close()
	for range 2 {
		y := newTrap()
		y.Mem = left
		y.FS = vfs.Inject(left, func(op vfs.Op, name string) error {
			if in := y.in.Load(); in != nil && op == vfs.OpRead && strings.Contains(name, *in) {
				panic("a bug in " + name)
			}
			return nil
		})
		y.set("segments/t1/")
		s = open(t, poisonOptions(y.FS))
		y.set("nowhere")
		at := wal.Position(0)
		if p := (*poisoned)(nil); errors.As(s.lookup(benchID).stuck.err(), &p) {
			at = p.at
		}
		wantStuck(t, s, at)
		wantTrouble(t, s, "bug: panic: a bug in segments/t1", "and 1 after it")
		wantRows(t, s, benchID, 20)
		wantRows(t, s, otherID, 20)
		if s.Panics() != 1 {
			t.Errorf("%d panics counted", s.Panics())
		}
		stuck, err := checkCopy(t, left)
		if len(stuck) != 1 || err != nil || !strings.Contains(stuck[0].Error(), "db.t") || !strings.Contains(stuck[0].Error(), "a bug in") {
			t.Errorf("check: %v, %v", stuck, err)
		}
		left = left.Crash(nil)
		s.Close()
	}
	s = open(t, poisonOptions(left))
	defer s.Close()
	wantTrouble(t, s)
	wantRows(t, s, benchID, 30)
	for _, name := range files(t, left, walDir) {
		if strings.HasSuffix(name, poisonSuffix) {
			t.Errorf("%s is still there", name)
		}
	}
}

// checkCopy checks what a crash would leave.
func checkCopy(t *testing.T, mem *vfs.Mem) ([]error, error) {
	t.Helper()
	return Check(t.Context(), io.Discard, mem.Crash(nil), nil)
}

func TestCheckAndInspectNameARecordThatCannotBeApplied(t *testing.T) {
	t.Parallel()
	mem, at := poisonedLog(t, garbage)
	for _, when := range []string{"before a start", "after it"} {
		stuck, err := checkCopy(t, mem)
		if err != nil || len(stuck) != 1 || !strings.Contains(stuck[0].Error(), "db.t") || !strings.Contains(stuck[0].Error(), asideName(at, poisonSuffix)) {
			t.Errorf("check %s: %v, %v", when, stuck, err)
		}
		if when == "before a start" {
			s := open(t, poisonOptions(mem))
			snap, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			found := false
			if err := snap.Each(t.Context(), func(name string, _ int64, _ io.Reader) error {
				found = found || name == asideName(at, poisonSuffix)
				return nil
			}); err != nil || !found {
				t.Errorf("a snapshot has the copy: %v; %v", found, err)
			}
			snap.Close()
		}
	}
	var out bytes.Buffer
	if err := Inspect(&out, mem, asideName(at, poisonSuffix)); err != nil || !strings.Contains(out.String(), "table db.t, uid 1") || !strings.Contains(out.String(), "cut short") {
		t.Errorf("inspect: %v\n%s", err, out.String())
	}
	rename(t, mem, at)
	out.Reset()
	stuck, err := Check(t.Context(), &out, mem, nil)
	if err != nil || len(stuck) > 0 || !strings.Contains(out.String(), asideName(at, passedSuffix)) {
		t.Errorf("check once it is passed over: %v, %v\n%s", stuck, err, out.String())
	}
}

// TestACopyThatIsNotOfTheRecordPassesNothing renames a copy of another record to the name, and a damaged one.
func TestACopyThatIsNotOfTheRecordPassesNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(seeds(t, 1)[0], 10))
	for _, what := range []string{"another record", "damaged", "damaged", "damaged", "damaged", "damaged", "damaged"} {
		mem, at := poisonedLog(t, garbage)
		s := open(t, poisonOptions(mem))
		s.Close()
		rename(t, mem, at)
		name := asideName(at, passedSuffix)
		if what == "damaged" {
			f, err := mem.OpenReadWrite(name)
			if err != nil {
				t.Fatal(err)
			}
			size, _ := f.Size()
			at, b := r.Int64N(size), make([]byte, 1)
			f.ReadAt(b, at)
			f.WriteAt([]byte{b[0] ^ 1<<r.IntN(8)}, at)
			f.Sync()
			f.Close()
		} else {
			other, err := writeCopy(mem, asideHead{Position: at, Kind: recordNumbered, Bytes: 1}, []byte{1})
			if err != nil {
				t.Fatal(err)
			}
			if err := mem.Rename(other, name); err != nil {
				t.Fatal(err)
			}
		}
		_, err := checkCopy(t, mem)
		if damaged := what == "damaged"; damaged != fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: check: %v", what, err)
		}
		s = open(t, poisonOptions(mem))
		wantStuck(t, s, at)
		wantRows(t, s, benchID, 20)
		s.Close()
	}
}

// TestARecordOfAnUnknownKindEndsTheStartUntilItIsPassedOver: it may be of any table, and of a newer version.
func TestARecordOfAnUnknownKindEndsTheStartUntilItIsPassedOver(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, poisonOptions(mem))
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	at, err := s.log.Append(77, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	writeSome(t, s, benchID, 1)
	mem = mem.Crash(nil)
	s.Close()
	for range 2 {
		if _, err = Open(t.Context(), poisonOptions(mem)); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), asideName(at, poisonSuffix)) {
			t.Fatalf("open: %v", err)
		}
		if stuck, err := checkCopy(t, mem); len(stuck) != 1 || err != nil {
			t.Errorf("check: %v, %v", stuck, err)
		}
	}
	rename(t, mem, at)
	s = open(t, poisonOptions(mem))
	defer s.Close()
	wantRows(t, s, benchID, 10)
}

// TestACrashWhileARecordIsCopiedLosesNothing crashes and fails at each operation of the start that finds the record.
func TestACrashWhileARecordIsCopiedLosesNothing(t *testing.T) {
	t.Parallel()
	first, at := poisonedLog(t, garbage)
	for _, full := range []bool{false, true} {
		for k := 0; ; k++ {
			mem := first.Crash(nil)
			var mu sync.Mutex // guards the fields below
			ops := 0
			var crashed *vfs.Mem
			s, err := Open(context.Background(), poisonOptions(vfs.Inject(mem, func(op vfs.Op, name string) error {
				mu.Lock()
				defer mu.Unlock()
				if op == vfs.OpRead || !strings.Contains(name, "wal") || crashed != nil {
					return nil
				}
				if ops++; ops <= k {
					return nil
				}
				crashed = mem.Crash(nil)
				if full {
					return vfs.DiskFull
				}
				return syscall.EIO
			})))
			if err == nil {
				wantRows(t, s, benchID, 20)
				wantRows(t, s, otherID, 30)
				s.Close()
			}
			mu.Lock()
			last := crashed == nil
			mu.Unlock()
			if last {
				break
			}
			s = open(t, poisonOptions(crashed))
			wantStuck(t, s, at)
			wantRows(t, s, benchID, 20)
			wantRows(t, s, otherID, 30)
			mem = closed(t, s).(*vfs.Mem)
			rename(t, mem, at)
			s = open(t, poisonOptions(mem))
			wantRows(t, s, benchID, 30)
			s.Close()
		}
	}
}

// TestTheLogKeepsWhatATableThatIsStuckNeeds writes many files of the log, which only the stuck table needs.
func TestTheLogKeepsWhatATableThatIsStuckNeeds(t *testing.T) {
	t.Parallel()
	mem, at := poisonedLog(t, garbage)
	s := open(t, poisonOptions(mem))
	for i := range 200 {
		if _, err := s.lookup(otherID).Write(t.Context(), sensorRows(0, 20, benchStart.Add(time.Duration(i)*time.Second), 3)); err != nil {
			t.Fatal(err)
		}
	}
	flushNow(t, s)
	mem = closed(t, s).(*vfs.Mem)
	rename(t, mem, at)
	s = open(t, poisonOptions(mem))
	wantRows(t, s, benchID, 30)
	flushNow(t, s)
	if n := len(s.log.DurableFiles()); n > 2 {
		t.Errorf("%d files of the log when nothing needs them", n)
	}
	s.Close()
}

// TestTheValuesOfATableThatIsStuckDoNotFlushOthers: they stay in memory whatever is flushed.
func TestTheValuesOfATableThatIsStuckDoNotFlushOthers(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, poisonOptions(mem))
	for _, id := range []storage.TableID{benchID, otherID} {
		if err := s.CreateTable(t.Context(), id, benchPolicy); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		writeSome(t, s, benchID, i)
	}
	if _, err := s.log.Append(recordNumbered, garbage(s.lookup(benchID).uid)); err != nil {
		t.Fatal(err)
	}
	mem = mem.Crash(nil)
	s.Close()
	o := poisonOptions(mem)
	o.ReplayLimitValues = 500 // less than the table that is stuck has
	s = open(t, o)
	defer s.Close()
	wantTrouble(t, s, "the table db.t takes no records")
	for i := range 10 {
		writeSome(t, s, otherID, i)
		if err := s.flushDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.lookup(otherID).Stats().MagneticBytes; n > 0 {
		t.Errorf("%d bytes of the other table were flushed", n)
	}
	for i := range 30 {
		writeSome(t, s, otherID, 10+i)
	}
	if err := s.flushDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.lookup(otherID).Stats().MagneticBytes == 0 {
		t.Error("nothing was flushed at the other table's own limit")
	}
}

// TestNotEveryRecordThatCannotBeAppliedHasACopy: what is lost may be the numbers of a million later records, and their copies would take
// as much of the disk as the log again, and a sync each.
func TestNotEveryRecordThatCannotBeAppliedHasACopy(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, poisonOptions(mem))
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	uid := s.lookup(benchID).uid
	for range 3 * mostCopies {
		if _, err := s.log.Append(recordNumbered, garbage(uid)); err != nil {
			t.Fatal(err)
		}
	}
	mem = mem.Crash(nil)
	s.Close()
	for round := range 4 {
		s = open(t, poisonOptions(mem))
		held := s.lookup(benchID).held
		if want := min(round, 3) * mostCopies; held.records != int64(3*mostCopies-want) || len(held.copies) != min(mostCopies, 3*mostCopies-want) {
			t.Fatalf("start %d: %d records held back, %d copies", round, held.records, len(held.copies))
		}
		s.Close()
		for _, name := range held.copies {
			if err := mem.Rename(name, strings.TrimSuffix(name, poisonSuffix)+passedSuffix); err != nil {
				t.Fatal(err)
			}
		}
	}
	s = open(t, poisonOptions(mem))
	defer s.Close()
	wantTrouble(t, s)
	writeSome(t, s, benchID, 0)
}

func TestACopyThatCannotBeWrittenLeavesNoFileBehind(t *testing.T) {
	t.Parallel()
	for _, fails := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpRename} {
		fsys := vfs.Inject(vfs.NewMem(), func(op vfs.Op, _ string) error {
			if op == fails {
				return vfs.DiskFull
			}
			return nil
		})
		if err := fsys.MkdirAll(walDir); err != nil {
			t.Fatal(err)
		}
		if _, err := writeCopy(fsys, asideHead{Position: 7}, []byte("payload")); !errors.Is(err, vfs.DiskFull) {
			t.Fatalf("operation %v: error %v, want a full disk", fails, err)
		}
		if names, err := fsys.List(walDir); err != nil || len(names) > 0 {
			t.Errorf("operation %v: the folder has %v (%v), want nothing", fails, names, err)
		}
	}
}
