package segment

import (
	"fmt"
	"testing"

	"github.com/weir-db/weir/internal/storage"
)

func TestSeriesAreTheSameWithCodesAndWithout(t *testing.T) {
	t.Parallel()
	// Shapes take turns, values repeat, and two names have a value in common.
	var want []Series
	for i := range 3000 {
		s := Series{Measure: "m", Dims: []storage.Dim{{Name: "device", Value: fmt.Sprint("d", i%1000)}, {Name: "site", Value: fmt.Sprint("s", i%7)}}, Codes: []uint32{uint32(i % 1000), uint32(i % 7)}}
		switch i % 3 {
		case 1:
			s.Dims, s.Codes = append(s.Dims, storage.Dim{Name: "zone", Value: "s0"}), append(s.Codes, 500)
		case 2:
			s.Dims, s.Codes = s.Dims[1:], s.Codes[1:]
		}
		want = append(want, s)
	}
	var table seriesTable
	for i, s := range want {
		table.add(s, 1, int64(i), int64(i))
	}
	seen := 0
	read, err := parseSeries(table.encode(), len(want), formatVersion)
	if err != nil {
		t.Fatal(err)
	}
	err = read.Each(func(i int, got SeriesInfo) error {
		seen++
		if fmt.Sprint(got.Measure, got.Dims) != fmt.Sprint(want[i].Measure, want[i].Dims) || got.MinTime != int64(i) {
			return fmt.Errorf("series %d: %v, want %v", i, got, want[i])
		}
		return nil
	})
	if err != nil || seen != len(want) {
		t.Errorf("%d series, %v", seen, err)
	}
	if values, dims := read.Distinct(); values["device"] != 1000 || values["site"] != 7 || values["zone"] != 1 || dims != 6000 {
		t.Errorf("%v different values, %d dimensions", values, dims)
	}
	if n := len(table.strings); n != 1000+7+1+4 {
		t.Errorf("%d texts in the dictionary", n)
	}
}
