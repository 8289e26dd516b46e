package embedded

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

func TestScansTellWhatTheyReadAndSkip(t *testing.T) {
	t.Parallel()
	start := time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(start)})
	defer s.Close()
	ctx := context.Background()
	id := storage.TableID{Database: "d", Table: "t", Incarnation: 1}
	if err := s.CreateTable(ctx, id, storage.Policy{MemoryRetention: 1000 * time.Hour, MagneticRetention: 2000 * time.Hour, MagneticWrites: true}); err != nil {
		t.Fatal(err)
	}
	table, err := s.Table(id)
	if err != nil {
		t.Fatal(err)
	}
	const devices, rows = 10, 3000
	for day := range 2 { // a segment each
		for d := range devices {
			var b storagetest.Batch
			for i := range rows {
				b.Add(storagetest.Point{Measure: "m", Dims: []string{"device", fmt.Sprint(d)}, TimeNs: start.UnixNano() - int64(day)*int64(24*time.Hour) - int64(i)*int64(time.Second),
					Values: []storagetest.NamedValue{storagetest.I("n", int64(i)), storagetest.I("k", int64(i*i))}})
			}
			if _, err := table.Write(ctx, &b.Rows); err != nil {
				t.Fatal(err)
			}
		}
		flushNow(t, s)
	}
	read := func(spec storage.ScanSpec, columns ...string) storage.ScanStats {
		spec.Columns = append(columns, "n")
		scanner, err := table.Scan(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		defer scanner.Close()
		for {
			b, err := scanner.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				return scanner.Stats()
			}
		}
	}
	all := read(storage.ScanSpec{From: 0, To: start.UnixNano() + 1})
	if all.RowsScanned != 2*devices*rows || all.SeriesRead != devices || all.SeriesSkipped != 0 || all.SegmentsRead != 2 || all.SegmentsSkipped != 0 || all.BlocksRead < 2*devices || all.BlocksSkipped != 0 {
		t.Errorf("reading all gives %+v", all)
	}
	if both := read(storage.ScanSpec{From: 0, To: start.UnixNano() + 1}, "k"); both.BlocksRead != all.BlocksRead {
		t.Errorf("of %d blocks %d are read for two columns", all.BlocksRead, both.BlocksRead)
	}
	one := read(storage.ScanSpec{From: start.Add(-time.Hour).UnixNano(), To: start.UnixNano() + 1,
		Where: []storage.Predicate{{Column: "device", Op: storage.In, Values: []vec.Value{vec.Str("3")}}}})
	if one.RowsScanned != rows || one.SeriesRead != 1 || one.SeriesSkipped != devices-1 || one.SegmentsRead != 1 || one.SegmentsSkipped != 1 {
		t.Errorf("reading a device's last hour gives %+v", one)
	}
	if total := one.BlocksRead + one.BlocksSkipped; one.BlocksRead < 1 || total != all.BlocksRead/2 || one.BlocksSkipped < devices-1 {
		t.Errorf("it tells %d blocks read and %d skipped, of %d in a segment", one.BlocksRead, one.BlocksSkipped, all.BlocksRead/2)
	}
}
