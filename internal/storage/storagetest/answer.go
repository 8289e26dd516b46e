package storagetest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Answer runs a scan and finishes what the scanner did not apply, value by value.
// The lines of the answer are sorted, so that answers can be compared whatever
// the order of series; with NewestFirst they are sorted by time, newest first,
// and cut at the limit; with Order and a limit they are in that order, and ties at the limit may differ. Aggregates are merged and finished: Moments become n,
// mean and m2. Ties of First and Last are resolved by the least value.
func Answer(t testing.TB, table storage.Table, spec storage.ScanSpec) []Line {
	t.Helper()
	lines, err := answer(context.Background(), table, spec)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return lines
}

// TryAnswer is [Answer] with the scan's error.
func TryAnswer(table storage.Table, spec storage.ScanSpec) ([]Line, error) {
	return answer(context.Background(), table, spec)
}

// Line is one row of an answer.
type Line []vec.Value

func answer(ctx context.Context, table storage.Table, spec storage.ScanSpec) ([]Line, error) {
	// What is left to the caller may need columns that it did not ask for.
	asked := len(spec.Columns)
	wide := spec
	wide.Columns = slices.Clone(spec.Columns)
	need := func(name string) int {
		at := slices.Index(wide.Columns, name)
		if at < 0 {
			at = len(wide.Columns)
			wide.Columns = append(wide.Columns, name)
		}
		return at
	}
	where := make([]int, len(spec.Where))
	for i, p := range spec.Where {
		where[i] = need(p.Column)
	}
	if agg := spec.Aggregation; agg != nil {
		for _, k := range agg.Keys {
			need(k.Column)
		}
		for _, a := range agg.Aggs {
			if a.Func != storage.CountRows {
				need(a.Column)
			}
		}
	}
	timeAt := need(storage.TimeColumnName)
	for _, k := range spec.Order {
		need(k.Column)
	}

	s, err := table.Scan(ctx, wide)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	applied := s.Applied()
	if len(applied.Where) != len(spec.Where) {
		return nil, fmt.Errorf("applied has %d predicates, want %d", len(applied.Where), len(spec.Where))
	}
	rows, err := drain(ctx, s)
	if err != nil {
		return nil, err
	}
	if applied.Aggregation {
		for i, ok := range applied.Where {
			if !ok {
				return nil, fmt.Errorf("aggregation applied without predicate %d", i)
			}
		}
		merged := mergePartials(table.Schema(), spec.Aggregation, rows)
		if applied.Final && len(merged) < len(rows) {
			return nil, fmt.Errorf("%d rows of %d groups are said to be final:\n%s", len(rows), len(merged), Text(rows))
		}
		return merged, nil
	}
	ordered := func(a, b Line) int { return compareOrder(spec.Order, wide.Columns, a, b) }
	switch {
	case applied.Order:
		if !slices.IsSortedFunc(rows, ordered) {
			return nil, fmt.Errorf("rows are not in the order %v:\n%s", spec.Order, Text(rows))
		}
	case !applied.NewestFirst:
		if err := checkOrder(rows, timeAt, wide.Columns, table.Schema()); err != nil {
			return nil, err
		}
	case !slices.IsSortedFunc(rows, func(a, b Line) int { return cmp.Compare(b[timeAt].Int, a[timeAt].Int) }):
		return nil, fmt.Errorf("rows are not newest first")
	}
	rows = slices.DeleteFunc(rows, func(l Line) bool {
		for i, p := range spec.Where {
			if !Holds(p, l[where[i]]) {
				if applied.Where[i] {
					panic(fmt.Sprintf("predicate %d on %s applied, but a row fails it: %v", i, p.Column, l))
				}
				return true
			}
		}
		return false
	})
	if spec.Aggregation != nil {
		return mergePartials(table.Schema(), spec.Aggregation, partials(table.Schema(), spec.Aggregation, wide.Columns, rows)), nil
	}
	if spec.Order != nil && spec.Limit > 0 {
		slices.SortStableFunc(rows, ordered)
	} else if spec.NewestFirst {
		slices.SortFunc(rows, func(a, b Line) int {
			return cmp.Or(cmp.Compare(b[timeAt].Int, a[timeAt].Int), compareLines(a, b))
		})
	} else if spec.Limit == 0 {
		slices.SortFunc(rows, compareLines)
	}
	if spec.Limit > 0 && int64(len(rows)) > spec.Limit {
		rows = rows[:spec.Limit]
	}
	for i := range rows {
		rows[i] = rows[i][:asked]
	}
	return rows, nil
}

// compareOrder compares rows with these columns by the keys of an order.
func compareOrder(keys []storage.OrderKey, columns []string, a, b Line) int {
	for _, k := range keys {
		at := slices.Index(columns, k.Column)
		x, y := a[at], b[at]
		switch {
		case x.Null && y.Null:
			continue
		case x.Null != y.Null:
			if x.Null == k.NullsFirst {
				return -1
			}
			return 1
		}
		c := vec.CompareValues(x, y)
		if k.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// checkOrder checks that each series comes in one run with ascending times.
func checkOrder(rows []Line, timeAt int, columns []string, schema *storage.Schema) error {
	var identity []int // columns that make up the series, if all are there
	for _, c := range schema.Columns {
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			at := slices.Index(columns, c.Name)
			if at < 0 {
				return nil
			}
			identity = append(identity, at)
		}
	}
	done := map[string]bool{}
	last, lastTime := "", int64(math.MinInt64)
	for i, l := range rows {
		var key strings.Builder
		for _, at := range identity {
			fmt.Fprintf(&key, "%v|%q|", l[at].Null, l[at].Str)
		}
		if k := key.String(); k != last || i == 0 {
			if done[k] {
				return fmt.Errorf("series %s comes in two runs", k)
			}
			done[k] = true
			last, lastTime = k, math.MinInt64
		}
		if l[timeAt].Int <= lastTime && lastTime != math.MinInt64 {
			return fmt.Errorf("series %s: time %d after %d", last, l[timeAt].Int, lastTime)
		}
		lastTime = l[timeAt].Int
	}
	return nil
}

func drain(ctx context.Context, s storage.Scanner) ([]Line, error) {
	var rows []Line
	for {
		b, err := s.Next(ctx)
		if err != nil || b == nil {
			return rows, err
		}
		if b.Len == 0 {
			return nil, fmt.Errorf("empty batch")
		}
		for i := range b.Len {
			l := make(Line, len(b.Columns))
			for c, v := range b.Columns {
				if v.Len() != b.Len {
					return nil, fmt.Errorf("column %d has %d rows, batch has %d", c, v.Len(), b.Len)
				}
				l[c] = v.Value(i)
			}
			rows = append(rows, l)
		}
	}
}

// Holds reports whether a value satisfies a predicate: the reference for all backends.
func Holds(p storage.Predicate, v vec.Value) bool {
	switch p.Op {
	case storage.IsNull:
		return v.Null
	case storage.IsNotNull:
		return !v.Null
	case storage.Match:
		return p.Matches(v.Str, v.Null)
	}
	if v.Null {
		return false
	}
	if v.Type.Kind == vec.Double && (math.IsNaN(v.Float) || math.IsNaN(p.Values[0].Float)) {
		return p.Op == storage.Ne
	}
	switch c := compare(v, p.Values[0]); p.Op {
	case storage.Eq:
		return c == 0
	case storage.Ne:
		return c != 0
	case storage.Lt:
		return c < 0
	case storage.Le:
		return c <= 0
	case storage.Gt:
		return c > 0
	case storage.Ge:
		return c >= 0
	}
	return slices.ContainsFunc(p.Values, func(want vec.Value) bool { return compare(v, want) == 0 })
}

// compare orders two values of one type, nulls first.
func compare(a, b vec.Value) int {
	if a.Null || b.Null {
		return cmp.Compare(b2i(!a.Null), b2i(!b.Null))
	}
	switch a.Type.Kind.Storage() {
	case vec.StoreInts:
		return cmp.Compare(a.Int, b.Int)
	case vec.StoreFloats:
		return cmp.Compare(a.Float, b.Float)
	case vec.StoreBools:
		return cmp.Compare(b2i(a.Bool), b2i(b.Bool))
	}
	return strings.Compare(a.Str, b.Str)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func compareLines(a, b Line) int { return slices.CompareFunc(a, b, compare) }

// sameValue is bit equality, for stored values.
func sameValue(a, b vec.Value) bool {
	return a.Type.Equal(b.Type) && a.Null == b.Null &&
		(a.Null || a.Int == b.Int && a.Bool == b.Bool && a.Str == b.Str && math.Float64bits(a.Float) == math.Float64bits(b.Float))
}

// ValueOf boxes a value to write.
func ValueOf(t vec.Type, v storage.Val) vec.Value {
	switch t.Kind {
	case vec.Double:
		return vec.Float(math.Float64frombits(v.Bits))
	case vec.Boolean:
		return vec.Bool(v.Bits != 0)
	case vec.Varchar:
		return vec.Str(cloneString(v.Str))
	}
	return vec.Int(t, int64(v.Bits))
}

func aggType(schema *storage.Schema, a storage.Agg) vec.Type {
	if a.Func == storage.CountRows {
		return vec.UnknownType
	}
	return schema.Columns[schema.Lookup(a.Column)].Type
}

// partials makes one partial line per row.
func partials(schema *storage.Schema, agg *storage.Aggregation, columns []string, rows []Line) []Line {
	at := func(name string) int { return slices.Index(columns, name) }
	var out []Line
	for _, row := range rows {
		var l Line
		for _, k := range agg.Keys {
			v := row[at(k.Column)]
			if k.BinNs > 0 {
				v.Int = floorTo(v.Int, k.BinNs)
			}
			l = append(l, v)
		}
		for _, a := range agg.Aggs {
			l = append(l, partial(schema, a, columns, row)...)
		}
		out = append(out, l)
	}
	return out
}

func partial(schema *storage.Schema, a storage.Agg, columns []string, row Line) Line {
	if a.Func == storage.CountRows {
		return Line{vec.Int(vec.BigintType, 1)}
	}
	v := row[slices.Index(columns, a.Column)]
	switch a.Func {
	case storage.Count:
		return Line{vec.Int(vec.BigintType, int64(1-b2i(v.Null)))}
	case storage.First, storage.Last:
		return Line{row[slices.Index(columns, storage.TimeColumnName)], v}
	case storage.Moments:
		return Line{vec.Int(vec.BigintType, int64(1-b2i(v.Null))), vec.Float(v.Float + float64(v.Int)), vec.Float(0)}
	}
	return Line{v}
}

func floorTo(t, width int64) int64 {
	q := t / width
	if t%width < 0 {
		q--
	}
	return q * width
}

// mergePartials merges the partial lines of each group and sorts the groups.
func mergePartials(schema *storage.Schema, agg *storage.Aggregation, rows []Line) []Line {
	groups := map[string]Line{}
	for _, row := range rows {
		key := fmt.Sprintf("%q", Text([]Line{row[:len(agg.Keys)]}))
		into, ok := groups[key]
		if !ok {
			groups[key] = slices.Clone(row)
			continue
		}
		at := len(agg.Keys)
		for _, a := range agg.Aggs {
			n := len(a.Func.States(aggType(schema, a)))
			merge(a.Func, into[at:at+n], row[at:at+n])
			at += n
		}
	}
	var out []Line
	for _, l := range groups {
		out = append(out, l)
	}
	slices.SortFunc(out, compareLines)
	return out
}

func merge(f storage.AggFunc, into, from Line) {
	switch f {
	case storage.CountRows, storage.Count:
		into[0].Int += from[0].Int
	case storage.Sum:
		if into[0].Null {
			into[0] = from[0]
		} else if !from[0].Null {
			into[0].Int += from[0].Int
			into[0].Float += from[0].Float
		}
	case storage.Min, storage.Max:
		better := compare(from[0], into[0]) < 0 == (f == storage.Min)
		if into[0].Null || !from[0].Null && better {
			into[0] = from[0]
		}
	case storage.First, storage.Last:
		c := cmp.Compare(from[0].Int, into[0].Int)
		if f == storage.Last {
			c = -c
		}
		if c < 0 || c == 0 && compare(from[1], into[1]) < 0 {
			copy(into, from)
		}
	case storage.Moments:
		n, m := float64(into[0].Int), float64(from[0].Int)
		if m == 0 {
			return
		}
		if n == 0 {
			copy(into, from)
			return
		}
		d := from[1].Float - into[1].Float
		into[2].Float += from[2].Float + d*d*n*m/(n+m)
		into[1].Float += d * m / (n + m)
		into[0].Int += from[0].Int
	}
}

// Text prints an answer, one line per row.
func Text(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		for i, v := range l {
			if i > 0 {
				b.WriteByte(' ')
			}
			switch {
			case v.Null:
				b.WriteString("null")
			case v.Type.Kind == vec.Double:
				fmt.Fprintf(&b, "%g", v.Float)
			case v.Type.Kind == vec.Boolean:
				fmt.Fprintf(&b, "%v", v.Bool)
			case v.Type.Kind == vec.Varchar:
				fmt.Fprintf(&b, "%q", v.Str)
			default:
				fmt.Fprintf(&b, "%d", v.Int)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Same compares two answers; computed doubles may differ in the last digits, as
// sums in another order do.
func Same(got, want []Line) bool {
	return slices.EqualFunc(got, want, func(a, b Line) bool {
		return slices.EqualFunc(a, b, func(x, y vec.Value) bool {
			if x.Type.Kind == vec.Double && !x.Null && !y.Null {
				return x.Float == y.Float || math.Abs(x.Float-y.Float) <= 1e-9*max(1, math.Abs(x.Float), math.Abs(y.Float))
			}
			return compare(x, y) == 0 && x.Null == y.Null && x.Type.Equal(y.Type)
		})
	})
}
