package embedded

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

// TestGroupsOfFewOfManyBinsAreHandedOn: two rows 60,000 bins apart take 256 kB of their group, for two slots.
func TestGroupsOfFewOfManyBinsAreHandedOn(t *testing.T) {
	t.Parallel()
	s, table := benchStore(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart)})
	defer s.Close()
	const sites = 1000
	var b storagetest.Batch
	for site := range sites {
		for device := range 2 {
			for _, at := range []time.Time{benchStart.Add(-time.Minute), benchStart.Add(-time.Minute - 60_000*time.Second)} {
				b.Add(storagetest.Point{Measure: "m", Dims: []string{"device", fmt.Sprint(device), "site", fmt.Sprint("s", site)},
					TimeNs: at.UnixNano(), Values: []storagetest.NamedValue{storagetest.F("v", 1)}})
			}
		}
	}
	if receipt, err := table.Write(t.Context(), &b.Rows); err != nil || len(receipt.Rejections) > 0 {
		t.Fatalf("%+v %v", receipt, err)
	}
	spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Aggregation: &storage.Aggregation{
		Keys: []storage.GroupKey{{Column: "site"}, {Column: "time", BinNs: 1e9}}, Aggs: []storage.Agg{{Func: storage.CountRows}}}}
	scanner, err := table.Scan(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer scanner.Close()
	rows := int64(0)
	for {
		batch, err := scanner.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if batch == nil {
			break
		}
		if most := 2 * (maxSlotRoom>>16 + 1); batch.Len > most {
			t.Errorf("a worker kept %d slots of %d groups", batch.Len, batch.Len/2)
		}
		for i := range batch.Len {
			rows += batch.Columns[2].Int(i)
		}
	}
	if rows != 4*sites {
		t.Errorf("%d rows are counted, want %d", rows, 4*sites)
	}
	storagetest.CheckScan(t, table, spec)
}
