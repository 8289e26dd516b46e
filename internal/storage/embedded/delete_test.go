package embedded

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

func deletionOf(sensor string) storage.Deletion {
	d := storage.Deletion{From: storage.AllTime.From, To: storage.AllTime.To}
	if sensor != "" {
		d.Where = []storage.Predicate{{Column: "sensor", Op: storage.Eq, Values: []vec.Value{vec.Str(sensor)}}}
	}
	return d
}

// fill writes rows of 20 sensors on two days, and flushes them.
func fill(t *testing.T, s *Store) storage.Table {
	t.Helper()
	ctx := context.Background()
	if err := s.CreateTable(ctx, benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, _ := s.Table(benchID)
	for i := range 50 {
		var b storagetest.Batch
		for sensor := range 20 {
			at := benchStart.Add(-time.Duration(i) * time.Hour)
			b.Add(storagetest.Point{Measure: "m", Dims: []string{"sensor", fmt.Sprint(sensor)}, TimeNs: at.UnixNano(), Values: []storagetest.NamedValue{storagetest.I("n", int64(i))}})
		}
		if r, err := table.Write(ctx, &b.Rows); err != nil || len(r.Rejections) > 0 {
			t.Fatal(r, err)
		}
	}
	flushNow(t, s)
	return table
}

func stored(s *Store) (segments int, rows int64) {
	v := s.lookup(benchID).view.Load()
	for _, f := range v.segments {
		rows += f.meta.Rows
	}
	return len(v.segments), rows
}

func TestDeletedRowsLeaveTheDisk(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart)})
	defer s.Close()
	table := fill(t, s)
	segments, rows := stored(s)
	if n, err := table.Delete(context.Background(), deletionOf("7")); n != 50 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := table.Delete(context.Background(), deletionOf("nobody")); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	purgeNow(t, s)
	if _, left := stored(s); left != rows-50 {
		t.Errorf("%d rows on disk, want %d", left, rows-50)
	}
	if v := s.lookup(benchID).view.Load(); len(v.deletes) != 0 {
		t.Errorf("%d deletions are kept that nothing needs", len(v.deletes))
	}
	// What a deletion does not touch is not written again.
	before := s.nextSegment.Load()
	d := deletionOf("3")
	d.From = benchStart.Add(-time.Hour).UnixNano()
	if _, err := table.Delete(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	purgeNow(t, s)
	if wrote := s.nextSegment.Load() - before; wrote != 1 {
		t.Errorf("%d segments of %d written anew, want 1", wrote, segments)
	}
	if _, err := table.Delete(context.Background(), deletionOf("")); err != nil {
		t.Fatal(err)
	}
	purgeNow(t, s)
	if segments, rows := stored(s); segments != 0 || rows != 0 {
		t.Errorf("%d segments with %d rows are left of nothing", segments, rows)
	}
	if keys, _ := s.objects.List(context.Background(), ""); len(keys) != 0 {
		t.Errorf("files %v", keys)
	}
}

func TestManyDeletionsKeepMemoryAndLogSmall(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	s := open(t, Options{FS: fsys, Clock: clock.Manual(benchStart)})
	table := fill(t, s)
	for i := range 30 {
		if _, err := table.Write(context.Background(), sensorRows(0, 5, benchStart.Add(time.Duration(i)*time.Second), 4)); err != nil {
			t.Fatal(err)
		}
		if _, err := table.Delete(context.Background(), deletionOf(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if n := len(s.lookup(benchID).view.Load().frozen); n > maxFrozenStores {
			t.Fatalf("%d frozen stores after %d deletions", n, i+1)
		}
	}
	want := everything(t, s)
	s = open(t, Options{FS: crashed(t, s), Clock: clock.Manual(benchStart)})
	defer s.Close()
	if n := len(s.lookup(benchID).view.Load().frozen); n > maxFrozenStores {
		t.Fatalf("%d frozen stores after a restart", n)
	}
	if got := everything(t, s); got != want {
		t.Errorf("after a crash\n%s\nwant\n%s", got, want)
	}
	if err := s.maintain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if v := s.lookup(benchID).view.Load(); len(v.deletes) != 0 || len(v.frozen) != 0 {
		t.Errorf("%d deletions and %d frozen stores are kept", len(v.deletes), len(v.frozen))
	}
	if got := everything(t, s); got != want {
		t.Errorf("after maintenance\n%s\nwant\n%s", got, want)
	}
}

func TestADeletionNeedsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart)})
	defer s.Close()
	table := fill(t, s)
	f := s.lookup(benchID).view.Load().segments[0]
	f.close()
	if err := s.objects.Put(context.Background(), f.meta.Name, strings.NewReader("no segment, whatever the manifest says")); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Delete(context.Background(), deletionOf("7")); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), f.meta.Name) {
		t.Errorf("delete = %v, want the damage", err)
	}
	d := deletionOf("7") // where all is well
	d.From = f.meta.MaxTime + 1
	if n, err := table.Delete(context.Background(), d); n == 0 || err != nil {
		t.Errorf("delete beside the damage = %d, %v", n, err)
	}
}

func TestAManifestWithoutDeletionsIsStillRead(t *testing.T) {
	t.Parallel()
	m := manifest{NextTable: 7, Tables: []tableManifest{{UID: 6, Segments: []segmentMeta{{Name: "t6/x", Rows: 3}}}}}
	data, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(string(data), manifestMagic, manifestMagic1, 1)
	if got, err := parseManifest([]byte(old)); err != nil || got.NextTable != 7 || got.Tables[0].Segments[0].Rows != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseManifest([]byte(strings.Replace(old, "manifest 1", "manifest 3", 1))); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a newer version: %v", err)
	}
}

func TestADeletionIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	d := &deletion{From: -5, To: 1 << 60, Where: []condition{{Column: "a", Values: []string{"", "x"}}, {Column: "ä", Not: true, Null: true}}}
	record := d.append(nil, 77)
	got, err := decodeDeletion(record)
	if err != nil || got.From != d.From || got.To != d.To || fmt.Sprint(got.Where) != fmt.Sprint(d.Where) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range record {
		if _, err := decodeDeletion(record[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for a record", n, len(record))
		}
	}
	if _, err := decodeDeletion(append(record, 0)); err == nil {
		t.Error("a byte too many is not noticed")
	}
}

// TestDeletionsLeaveFewFilesOfTheLog deletes so often that nothing else asks for a flush.
func TestDeletionsLeaveFewFilesOfTheLog(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart), LogFileBytes: 4 << 10})
	defer s.Close()
	if err := s.CreateTable(t.Context(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table := s.lookup(benchID)
	for i := range 60 {
		at := benchStart.Add(time.Duration(i-60) * time.Second)
		if _, err := table.Write(t.Context(), sensorRows(0, 20, at, 4)); err != nil {
			t.Fatal(err)
		}
		if _, err := table.Delete(t.Context(), storage.Deletion{From: storage.AllTime.From, To: at.UnixNano()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.log.DurableFiles()); n > 5 {
		t.Errorf("the log has %d files of 4 KiB, and at most %d stores are not flushed", n, maxFrozenStores)
	}
}
