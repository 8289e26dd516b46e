package query

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

func TestTextIsMeasuredAsJSON(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain", "Grüße, 世界", `say "hi" \ bye`, "tab\tline\n", "bell\a", "\x00"} {
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := textSize(s); got < int64(len(written)-2) {
			t.Errorf("textSize(%q) = %d, JSON has %d", s, got, len(written)-2)
		}
	}
	if got := textSize("\xff"); got != int64(len("\ufffd")) {
		t.Errorf("textSize of a bad byte = %d, want 3", got)
	}
}

// The estimate may be too high, never too low, so no page is over its size.
func TestValuesAreMeasuredFromAbove(t *testing.T) {
	t.Parallel()
	numbers := vec.OfFloats([]float64{-math.SmallestNonzeroFloat64, -2.2250738585072014e-308, math.Inf(-1), 1}, nil)
	times := vec.OfInts(vec.TimestampType, []int64{math.MinInt64, 0, 1, math.MaxInt64}, nil)
	texts := vec.OfStrs([]string{`a"b`, "", "x", "y"}, []bool{false, true, false, false})
	offsets := []int32{0, 2, 2, 4}
	row := vec.RowOf(vec.Field{Name: "t", Type: vec.TimestampType}, vec.Field{Name: "s", Type: vec.VarcharType})
	for _, c := range []struct {
		v    *vec.Vector
		want []string // row by row, as awsapi/timestream writes them
	}{
		{numbers, []string{`{"ScalarValue":"-4.9E-324"}`, `{"ScalarValue":"-2.2250738585072014E-308"}`, `{"ScalarValue":"-Infinity"}`}},
		{texts, []string{`{"ScalarValue":"a\"b"}`, `{"NullValue":true}`}},
		{vec.OfNested(vec.ArrayOf(vec.VarcharType), offsets, nil, texts), []string{`{"ArrayValue":[{"ScalarValue":"a\"b"},{"NullValue":true}]}`, `{"ArrayValue":[]}`}},
		{vec.OfNested(vec.TimeSeriesOf(vec.DoubleType), offsets, nil, times, numbers), []string{
			`{"TimeSeriesValue":[{"Time":"1677-09-21 00:12:43.145224192","Value":{"ScalarValue":"-4.9E-324"}},{"Time":"1970-01-01 00:00:00.000000000","Value":{"ScalarValue":"-2.2250738585072014E-308"}}]}`,
			`{"TimeSeriesValue":[]}`}},
		{vec.OfRows(row, 4, nil, times, texts), []string{`{"RowValue":{"Data":[{"ScalarValue":"1677-09-21 00:12:43.145224192"},{"ScalarValue":"a\"b"}]}}`}},
	} {
		sum := int64(0)
		for i, want := range c.want {
			row := int64(len(`{"Data":[` + want + `]},`))
			sum += row
			if n, size := fitRows(&vec.Batch{Len: 4, Columns: []*vec.Vector{c.v}}, i+1, math.MaxInt64); n != i+1 || size < sum {
				t.Errorf("%s: the first %d rows are measured as %d bytes, JSON has %d", c.v.Type, n, size, sum)
			}
		}
	}
}

func TestFitRowsStopsBeforeTheSizeIsExceeded(t *testing.T) {
	t.Parallel()
	b := &vec.Batch{Len: 3, Columns: []*vec.Vector{vec.OfStrs([]string{"aaaa", "bbbb", "cccc"}, nil)}}
	one := int64(len(`{"Data":[{"ScalarValue":"aaaa"},]},`))
	for _, c := range []struct {
		rows, want int
		size       int64
	}{{9, 3, 3 * one}, {9, 2, 3*one - 1}, {2, 2, 9 * one}, {0, 0, 9 * one}, {9, 0, one - 1}} {
		if n, size := fitRows(b, c.rows, c.size); n != c.want || size != int64(n)*one {
			t.Errorf("fitRows(%d rows, %d bytes) = %d, %d; want %d, %d", c.rows, c.size, n, size, c.want, int64(c.want)*one)
		}
	}
}

// A page of few rows that may be kept for an hour must not keep the memory of a full one.
func TestCompactedPagesHoldLittleMoreThanTheirRows(t *testing.T) {
	t.Parallel()
	p := &piece{text: newText()}
	p.text.bytes = append(make([]byte, 0, 1<<20), "row,row,"...)
	p.text.ends = []int{4, 8}
	p.compact()
	if got := string(p.text.bytes); got != "row,row," || cap(p.text.bytes) > 100 || len(p.text.ends) != 2 {
		t.Errorf("compacted page = %q with room for %d", got, cap(p.text.bytes))
	}
}

// TestWidthsOfDoublesHoldAndAreNearForMeasuredOnes: pages of short numbers are nearly full.
func TestWidthsOfDoublesHoldAndAreNearForMeasuredOnes(t *testing.T) {
	t.Parallel()
	check := func(most int, vals ...float64) {
		t.Helper()
		w := widthOf(vec.OfFloats(vals, nil), len(vals))
		for _, f := range vals {
			if n := len(vec.AppendDouble(nil, f)); n > w {
				t.Errorf("%v has %d characters, at most %d were expected", f, n, w)
			}
		}
		if w > most {
			t.Errorf("%v: %d characters expected, want at most %d", vals, w, most)
		}
	}
	check(6, 0, math.Copysign(0, -1), 1, 999, -999)
	check(11, 0.001, -0.001, 21.5, -999999.999, 1000, 99.99)
	check(24, 1e6, 1e-4, math.Pi, math.NaN(), math.Inf(-1), -math.MaxFloat64, -math.SmallestNonzeroFloat64)
	check(24, 12, 1000.5, -1.0/3)
}
