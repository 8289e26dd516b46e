package timestream

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

// TestRowsCopiedFromTheRowBeforeReadTheSame compares rows with their data written one by one.
func TestRowsCopiedFromTheRowBeforeReadTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rows = 40
	dict := vec.OfStrs([]string{"a", `b"`, "", "null"}, []bool{false, false, false, true})
	column := func() *vec.Vector {
		index, strs := make([]int32, rows), make([]string, rows)
		floats, times, nulls := make([]float64, rows), make([]int64, rows), make([]bool, rows)
		for i := range rows {
			if i > 0 {
				index[i], strs[i], times[i] = index[i-1], strs[i-1], times[i-1]
			}
			if r.IntN(4) == 0 {
				index[i], strs[i] = int32(r.IntN(4)), fmt.Sprint(r.IntN(3))
			}
			times[i] += r.Int64N(vec.Day/4) - vec.Day/20
			floats[i], nulls[i] = float64(r.IntN(2000)-500)/2, r.IntN(5) == 0
		}
		switch r.IntN(7) {
		case 0:
			return vec.OfStrs(strs, nil)
		case 1:
			return vec.OfStrs(strs, nulls)
		case 2:
			return vec.OfFloats(floats, nil)
		case 3:
			return vec.OfFloats(floats, nulls)
		case 4:
			return vec.OfInts(vec.TimestampType, times, nil)
		case 5:
			return vec.Const(vec.Str("same"), rows)
		}
		return vec.OfDict(index, dict)
	}
	for range 200 {
		b := &vec.Batch{Len: rows}
		for range 1 + r.IntN(8) {
			b.Columns = append(b.Columns, column())
		}
		want, lengths := "", []int{}
		for i := range rows {
			want += `{"Data":[`
			for k, c := range b.Columns {
				if k > 0 {
					want += ","
				}
				want += string(appendDatum(nil, c, i))
			}
			want += "]},"
			lengths = append(lengths, len("before"+want))
		}
		got, ends := AppendRows([]byte("before"), b, nil)
		if string(got) != "before"+want || !slices.Equal(ends, lengths) {
			t.Fatalf("got\n%s\nwant\n%s, rows end at %d, want %d", got, want, ends, lengths)
		}
	}
}

// TestDoublesReadTheSameByEveryWay compares the texts of whole numbers, kept, with those of any double.
func TestDoublesReadTheSameByEveryWay(t *testing.T) {
	t.Parallel()
	doubles := []float64{math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 0.5, 1e18, -1e300, 5e-324, math.MaxInt64}
	for n := -2000; n <= 2000; n++ {
		f := float64(n)
		doubles = append(doubles, f, math.Nextafter(f, 1e9), math.Nextafter(f, -1e9))
	}
	for _, f := range doubles {
		want := string(appendDatum(nil, vec.OfFloats([]float64{f}, nil), 0)) + ","
		if got := string(appendDouble([]byte("before"), f)); got != "before"+want {
			t.Errorf("the datum of %v is %s, want before%s", f, got, want)
		}
	}
}
