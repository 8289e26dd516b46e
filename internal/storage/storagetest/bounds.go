package storagetest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// testBounds compares scans with a bound with those without: whatever is wanted is there, and nothing else
// that is not there without.
func testBounds(e *env) {
	table := e.fill()
	var b Batch
	for i := range 40 {
		p := Point{Measure: "m", Dims: []string{"d", "odd"}, TimeNs: at(time.Duration(i) * 29 * time.Minute)}
		p.Values = []NamedValue{F("f", []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), float64(i)}[i%5])}
		if i%7 == 0 {
			p.Values = []NamedValue{S("note", "gap")}
		}
		b.Add(p)
	}
	if r, err := table.Write(context.Background(), &b.Rows); err != nil || len(r.Rejections) > 0 {
		e.Fatalf("%+v %v", r, err)
	}
	table = e.disturb()
	where := []storage.Predicate{{Column: "i", Op: storage.Gt, Values: []vec.Value{vec.Int(vec.BigintType, 900)}}}
	for _, v := range []struct {
		column string
		at     vec.Value
	}{
		{"f", vec.Float(0)}, {"f", vec.Float(2.5)}, {"f", vec.Float(4.9)}, {"f", vec.Float(math.NaN())}, {"f", vec.Float(math.Inf(1))}, {"f", vec.Float(math.Inf(-1))}, {"f", vec.Float(2.55)},
		{"i", vec.Int(vec.BigintType, -3)}, {"i", vec.Int(vec.BigintType, 900)}, {"i", vec.Int(vec.BigintType, math.MaxInt64)},
		{"t", vec.Int(vec.TimestampType, 90)},
		{"time", vec.Int(vec.TimestampType, at(34*time.Minute))}, {"time", vec.Int(vec.TimestampType, at(20*time.Hour))},
		{"d", vec.Str("d3")}, {"s", vec.Str("s3")}, {"b", vec.Bool(true)},
	} {
		for _, desc := range []bool{false, true} {
			for _, nullsFirst := range []bool{false, true} {
				for _, filters := range [][]storage.Predicate{nil, where} {
					bound := &storage.Bound{Column: v.column, Desc: desc, NullsFirst: nullsFirst}
					bound.Set(v.at)
					checkBound(e.T, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{v.column, "d", "time", "f", "s"}, Where: filters}, bound)
				}
			}
		}
	}
}

func checkBound(t testing.TB, table storage.Table, spec storage.ScanSpec, bound *storage.Bound) {
	t.Helper()
	at := *bound.Value()
	all := map[string]int{}
	wanted := map[string]int{}
	for _, l := range Answer(t, table, spec) {
		text := Text([]Line{l})
		all[text]++
		if wants(bound, at, l[0]) {
			wanted[text]++
		}
	}
	spec.Bound = bound
	for _, l := range Answer(t, table, spec) {
		text := Text([]Line{l})
		all[text]--
		wanted[text]--
		if all[text] < 0 {
			t.Errorf("bound %s of %s, scan %s: a row that is not there without: %s", Text([]Line{{at}}), bound.Column, describe(spec), text)
		}
	}
	for text, n := range wanted {
		if n > 0 {
			t.Errorf("bound %s of %s (desc %v, nulls first %v), scan %s lacks %s", Text([]Line{{at}}), bound.Column, bound.Desc, bound.NullsFirst, describe(spec), text)
		}
	}
}

// wants reports whether a value does not come after the bound.
func wants(b *storage.Bound, at, v vec.Value) bool {
	if v.Null {
		return b.NullsFirst
	}
	c := vec.CompareValues(v, at)
	return c == 0 || c < 0 != b.Desc
}
