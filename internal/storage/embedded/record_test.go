package embedded

import (
	"reflect"
	"testing"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

func recordOf(rows *storage.Rows) []byte {
	var keys series.Keys
	var pick []int32
	for i := range rows.Rows {
		pick = append(pick, int32(i))
		keys.Bytes = series.AppendKey(keys.Bytes, rows.Rows[i].Measure, rows.Rows[i].Dimensions)
		keys.Ends = append(keys.Ends, len(keys.Bytes))
	}
	ids, _ := series.NewRegistry().Resolve(nil, &keys)
	var e recordEncoder
	return e.encode(7, -5, rows, pick, ids, &keys)
}

func recordSample() *storage.Rows {
	var b storagetest.Batch
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"z", "1", "a", ""}, TimeNs: 1e18, Version: 9,
		Values: []storagetest.NamedValue{storagetest.F("f", -0.5), storagetest.S("s", "text"), storagetest.B("b", true)}})
	b.Add(storagetest.Point{Measure: "m", Dims: []string{"z", "1", "a", ""}, TimeNs: -1, Values: []storagetest.NamedValue{storagetest.T("t", -7)}})
	b.Add(storagetest.Point{Measure: "n", Dims: []string{"a", "2"}, TimeNs: 5, Single: true, Values: []storagetest.NamedValue{storagetest.I("", 3)}})
	return &b.Rows
}

func TestRecordGivesTheRowsBack(t *testing.T) {
	t.Parallel()
	rows := recordSample()
	got, err := decodeRecord(recordOf(rows))
	if err != nil {
		t.Fatal(err)
	}
	if got.tableUID != 7 || got.memory != -5 || !reflect.DeepEqual(got.rows, *rows) {
		t.Errorf("got\n%+v\nwant\n%+v", got.rows, *rows)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(recordOf(recordSample()))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := decodeRecord(payload)
		if err != nil {
			return
		}
		// What parses can be applied.
		n := newNames(nil)
		for i := range r.rows.Rows {
			row := &r.rows.Rows[i]
			if n.judge(&r.rows, row) == nil {
				n.grow(&r.rows, row)
			}
		}
	})
}
