package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

// twoDays returns a store with one flushed segment for each of two days.
func twoDays(t *testing.T) (*Store, *vfs.Mem, *clock.Clock) {
	t.Helper()
	mem, clk := vfs.NewMem(), clock.Manual(benchStart)
	s := open(t, Options{FS: mem, Clock: clk, LogFileBytes: 1 << 20})
	if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, _ := s.Table(benchID)
	for day := range 2 {
		r, err := table.Write(context.Background(), sensorRows(0, 3, benchStart.Add(-time.Duration(day)*24*time.Hour), 2))
		if err != nil || len(r.Rejections) > 0 {
			t.Fatalf("%+v %v", r, err)
		}
	}
	flushNow(t, s)
	return s, mem, clk
}

func segmentKeys(t *testing.T, s *Store) []string {
	t.Helper()
	keys, err := s.objects.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func scanError(s *Store, spec storage.ScanSpec) error {
	table, err := s.Table(benchID)
	if err != nil {
		return err
	}
	sc, err := table.Scan(context.Background(), spec)
	if err != nil {
		return err
	}
	defer sc.Close()
	for {
		b, err := sc.Next(context.Background())
		if err != nil || b == nil {
			return err
		}
	}
}

func TestDamagedSegmentIsNamedAndTheRestServed(t *testing.T) {
	t.Parallel()
	s, mem, clk := twoDays(t)
	keys := segmentKeys(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := mem.OpenReadWrite("segments/" + keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xff, 0xff, 0xff}, 3); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{FS: mem, Clock: clk, LogFileBytes: 1 << 20})
	defer s.Close()
	yesterday := benchStart.Add(-24 * time.Hour).UnixNano()
	err = scanError(s, storage.ScanSpec{From: yesterday, To: yesterday + 1, Columns: []string{"time", "measure_0", "measure_1"}})
	var c *segment.CorruptError
	if !fault.Is(err, fault.Corrupt) || !errors.As(err, &c) || c.Path != keys[0] {
		t.Errorf("scan of the damaged day: %v, want damage in %s", err, keys[0])
	}
	if err := scanError(s, storage.ScanSpec{From: yesterday + 1, To: storage.AllTime.To, Columns: []string{"measure_0"}}); err != nil {
		t.Errorf("scan of the other day: %v", err)
	}
	// Writes and merges go on around it.
	table, _ := s.Table(benchID)
	if _, err := table.Write(context.Background(), sensorRows(0, 3, benchStart.Add(-24*time.Hour-time.Second), 2)); err != nil {
		t.Errorf("write: %v", err)
	}
	mergeNow(t, s)
	if got := segmentKeys(t, s); len(got) < 2 || got[0] != keys[0] {
		t.Errorf("segments %v, want %s kept", got, keys[0])
	}
}

func TestMissingSegmentIsAnErrorOfItsDayOnly(t *testing.T) {
	t.Parallel()
	s, mem, clk := twoDays(t)
	keys := segmentKeys(t, s)
	s.Close()
	if err := mem.Remove("segments/" + keys[0]); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{FS: mem, Clock: clk, LogFileBytes: 1 << 20})
	defer s.Close()
	if err := scanError(s, storage.ScanSpec{From: 0, To: storage.AllTime.To, Columns: []string{"time"}}); fault.KindOf(err) != fault.Corrupt || !strings.Contains(err.Error(), keys[0]) {
		t.Errorf("scan: %v, want damage, with the name %s", err, keys[0])
	}
	if err := scanError(s, storage.ScanSpec{From: benchStart.UnixNano(), To: storage.AllTime.To, Columns: []string{"time"}}); err != nil {
		t.Errorf("scan of the other day: %v", err)
	}
}

func TestRetentionDeletesSegmentsWhenTheClockMoves(t *testing.T) {
	t.Parallel()
	s, _, clk := twoDays(t)
	defer s.Close()
	before := segmentKeys(t, s)
	// A scan that runs keeps what it reads.
	table, _ := s.Table(benchID)
	sc, err := table.Scan(context.Background(), storage.ScanSpec{From: 0, To: storage.AllTime.To, Columns: []string{"time"}})
	if err != nil {
		t.Fatal(err)
	}
	clk.Advance(400 * 24 * time.Hour)
	if err := s.expire(s.lookup(benchID)); err != nil {
		t.Fatal(err)
	}
	if got := segmentKeys(t, s); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("segments under a scan: %v, want %v", got, before)
	}
	n := 0
	for {
		b, err := sc.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
		n += b.Len
	}
	sc.Close()
	if n != 6 {
		t.Errorf("%d rows, want 6", n)
	}
	if got := segmentKeys(t, s); len(got) != 0 {
		t.Errorf("segments after retention: %v", got)
	}
}

func TestDropDeletesSegments(t *testing.T) {
	t.Parallel()
	s, _, _ := twoDays(t)
	defer s.Close()
	if err := s.DropTable(context.Background(), benchID); err != nil {
		t.Fatal(err)
	}
	if got := segmentKeys(t, s); len(got) != 0 {
		t.Errorf("segments: %v", got)
	}
}

func TestOrphansAreSweptAtTheStart(t *testing.T) {
	t.Parallel()
	s, mem, clk := twoDays(t)
	want := segmentKeys(t, s)
	if err := s.objects.Put(context.Background(), "t1/20240301-99.seg", strings.NewReader("left by a crash")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, Options{FS: mem, Clock: clk, LogFileBytes: 1 << 20})
	defer s.Close()
	if got := segmentKeys(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("segments %v, want %v", got, want)
	}
}

func TestMergeLeavesOneSegmentPerDayWithoutLosers(t *testing.T) {
	t.Parallel()
	s, _, _ := twoDays(t)
	defer s.Close()
	table, _ := s.Table(benchID)
	for version := range int64(5) {
		rows := sensorRows(0, 3, benchStart, 2)
		for i := range rows.Rows {
			rows.Rows[i].Version = version + 2
			rows.Rows[i].Values[0].Bits = uint64(version)
		}
		if r, err := table.Write(context.Background(), rows); err != nil || r.Memory != 3 {
			t.Fatalf("%+v %v", r, err)
		}
		flushNow(t, s)
	}
	mergeNow(t, s)
	if stats := table.Stats(); len(segmentKeys(t, s)) != 2 || stats.Rows != 6 {
		t.Errorf("%v, %+v, want two segments of three rows", segmentKeys(t, s), stats)
	}
}

func TestDamagedManifestIsRefused(t *testing.T) {
	t.Parallel()
	s, mem, clk := twoDays(t)
	s.Close()
	f, err := mem.OpenReadWrite("manifest")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 60); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{FS: mem, Clock: clk, LogFileBytes: 1 << 20}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("open: %v, want corrupt", err)
	}
}

// TestWritesGoOnDuringFlushes has writers, flushes, merges and scans at once.
func TestWritesGoOnDuringFlushes(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart), MemoryLimitBytes: 256 << 10, LogFileBytes: 64 << 10, LogLimitBytes: 256 << 10})
	defer s.Close()
	if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, _ := s.Table(benchID)
	const writers, requests = 4, 60
	done := make(chan error, writers)
	for w := range writers {
		go func() {
			for r := range requests {
				rows := sensorRows(w*20, w*20+20, benchStart.Add(-time.Duration(r)*time.Minute), 4)
				receipt, err := table.Write(context.Background(), rows)
				if err == nil && receipt.Memory != 20 {
					err = fmt.Errorf("%+v", receipt)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for running := writers; running > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running--
		default:
			mergeNow(t, s)
			drainScan(t, table, storage.ScanSpec{From: 0, To: storage.AllTime.To, Columns: []string{"time"}})
		}
	}
	got := storagetest.Answer(t, table, storage.ScanSpec{From: 0, To: storage.AllTime.To, Columns: []string{"time"}})
	if len(got) != writers*requests*20 {
		t.Errorf("%d rows, want %d", len(got), writers*requests*20)
	}
}

func TestMissingLogIsRefused(t *testing.T) {
	t.Parallel()
	s, mem, clk := twoDays(t)
	s.Close()
	names, err := mem.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := mem.Remove("wal/" + name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(context.Background(), Options{FS: mem, Clock: clk, LogFileBytes: 1 << 20}); !fault.Is(err, fault.Corrupt) {
		t.Errorf("open: %v, want corrupt", err)
	}
}
