package fn

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

// table is the rows of "(VALUES row, …) AS t(names)".
type table struct {
	rows  int
	types map[string]vec.Type
	cols  map[string]*vec.Vector
}

func parseTable(text string) *table {
	p := &exprParser{s: text}
	p.want("(")
	p.want("VALUES")
	rows := p.list(")")
	p.want("AS")
	p.want("t")
	p.want("(")
	var names []string
	for !p.sym(")") {
		p.sym(",")
		names = append(names, p.word())
	}
	vals := make([][]vec.Value, len(rows))
	types := make([]vec.Type, len(names))
	for i, r := range rows {
		v, err := r.eval(nil, 1)
		if err != nil {
			p.fail("%v", err)
		}
		vals[i] = []vec.Value{v.Value(0)}
		if len(names) > 1 {
			vals[i] = v.Value(0).List
		}
		for k := range names {
			if common, ok := CommonType(types[k], vals[i][k].Type); ok {
				types[k] = common
			}
		}
	}
	t := &table{rows: len(rows), types: map[string]vec.Type{}, cols: map[string]*vec.Vector{}}
	for k, name := range names {
		b := vec.NewBuilder(types[k], len(rows))
		for i := range rows {
			kernel, _ := Cast(vals[i][k].Type, types[k], false)
			v, err := kernel(&Context{}, vec.Const(vals[i][k], 1))
			if err != nil {
				p.fail("%v", err)
			}
			b.AppendFrom(v, 0)
		}
		t.cols[name], t.types[name] = b.Vector(), types[k]
	}
	return t
}

// aggregate resolves an aggregate over the table and evaluates its arguments.
func (p *exprParser) aggregateArgs(name string, t *table) (*AggCall, []*vec.Vector) {
	inner := &exprParser{s: p.s, at: p.at, types: t.types}
	args := inner.list(")")
	p.at = inner.at
	types := make([]vec.Type, len(args))
	for i, a := range args {
		types[i] = a.typ
	}
	call, err := registry.Aggregate(name, types)
	if err != nil {
		p.fail("%v", err)
	}
	var vals []*vec.Vector
	for i, a := range args {
		v, err := p.cast(a, call.Args[i], false).eval(t.cols, t.rows)
		if err != nil {
			p.fail("%v", err)
		}
		vals = append(vals, v)
	}
	return call, vals
}

// aggregate evaluates an aggregate over the table of the expression.
func (p *exprParser) aggregate(name string) node {
	call, args := p.aggregateArgs(name, p.table)
	return node{typ: call.Return, eval: func(_ map[string]*vec.Vector, n int) (*vec.Vector, error) {
		acc := call.Func.New(call.Args, call.Return)
		acc.Resize(1)
		if err := acc.Add(make([]int32, p.table.rows), args); err != nil {
			return nil, err
		}
		v, err := acc.Result()
		if err == nil && !v.Type.Equal(call.Return) {
			err = fmt.Errorf("result has type %s, want %s", v.Type, call.Return)
		}
		return v, err
	}}
}

// parseAgg reads the one call of an aggregate's example.
func parseAgg(text string) (*AggCall, *table, []*vec.Vector) {
	head, tail, _ := strings.Cut(text, " FROM ")
	t := parseTable(tail)
	p := &exprParser{s: head}
	name := p.word()
	p.want("(")
	call, args := p.aggregateArgs(name, t)
	return call, t, args
}

func TestEveryAggregateExampleGivesItsResult(t *testing.T) {
	for _, a := range registry.Aggregates() {
		if a.Docs.Category == "" || a.Docs.Text == "" || a.Docs.Example == "" {
			t.Errorf("%s has no docs", a.Signature)
			continue
		}
		if got := evalText(a.Docs.Example); !sameText(got, a.Docs.Result) {
			t.Errorf("%s: %s = %s, want %s", a.Signature, a.Docs.Example, got, a.Docs.Result)
		}
	}
}

// TestAggregatesDoNotDependOnBatchesOrGroups runs every example with its rows in one
// batch, in batches of one, and interleaved with another group.
func TestAggregatesDoNotDependOnBatchesOrGroups(t *testing.T) {
	for _, a := range registry.Aggregates() {
		call, table, args := parseAgg(a.Docs.Example)
		acc := call.Func.New(call.Args, call.Return)
		for r := range table.rows {
			acc.Resize(1 + min(r, 2)) // groups may come at any time
			if r == 0 {
				acc.Resize(3)
			}
			batch := make([]*vec.Vector, len(args))
			for i, v := range args {
				batch[i] = v.Gather([]int32{int32(r), int32(r), int32(r)})
				if i%2 == 0 { // another form
					batch[i] = vec.OfDict([]int32{0, 1, 2}, batch[i].Flat())
				}
			}
			// Group 2 stays empty.
			if err := acc.Add([]int32{1, 0, 1}[:2], slices2(batch)); err != nil {
				t.Fatalf("%s: %v", a.Docs.Example, err)
			}
		}
		v, err := acc.Result()
		if err != nil || v.Len() != 3 {
			t.Fatalf("%s: %v, %d groups", a.Docs.Example, err, v.Len())
		}
		for g := range 2 {
			if got := v.Value(g).String(); !sameText(got, a.Docs.Result) {
				t.Errorf("%s row by row = %s, want %s", a.Docs.Example, got, a.Docs.Result)
			}
		}
		empty := "NULL"
		if strings.HasPrefix(a.Name, "count") || a.Name == "approx_distinct" {
			empty = "0"
		}
		if got := v.Value(2).String(); got != empty {
			t.Errorf("%s of no rows = %s, want %s", a.Signature, got, empty)
		}
		if acc.SizeBytes() <= 0 {
			t.Errorf("%s says it takes no memory", a.Signature)
		}
	}
}

// sameText compares texts, doubles to twelve digits.
func sameText(got, want string) bool {
	g, err1 := strconv.ParseFloat(got, 64)
	w, err2 := strconv.ParseFloat(want, 64)
	return got == want || err1 == nil && err2 == nil && strings.Contains(want, ".") && math.Abs(g-w) <= 1e-12*math.Abs(w)
}

func slices2(vs []*vec.Vector) []*vec.Vector {
	out := make([]*vec.Vector, len(vs))
	for i, v := range vs {
		out[i] = v.Slice(0, 2)
	}
	return out
}

func TestAggregatesTreatNullsAndExtremesAsDocumented(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		if got := evalText(text); got != want {
			t.Errorf("%s = %s, want %s", text, got, want)
		}
	}
	check("sum(x) FROM (VALUES 9223372036854775807, 1) AS t(x)", "error: bigint addition overflow: 9223372036854775807 + 1")
	check("max(x) FROM (VALUES 1.0, 0 / 0.0, 2) AS t(x)", "NaN")
	check("min(x) FROM (VALUES 0 / 0.0, 2) AS t(x)", "2.0")
	check("max(x) FROM (VALUES 'b', 'a', NULL) AS t(x)", "b")
	check("min(x) FROM (VALUES true, false) AS t(x)", "false")
	check("max(x) FROM (VALUES ARRAY[1, 2], ARRAY[1, 3]) AS t(x)", "[1, 3]")
	check("max_by(x, y) FROM (VALUES ('a', 1), (NULL, 2)) AS t(x, y)", "NULL")
	check("max_by(x, y) FROM (VALUES ('a', NULL), ('b', NULL)) AS t(x, y)", "NULL")
	check("max(x, 0) FROM (VALUES 1) AS t(x)", "error: second argument of max/min must be a positive integer")
}

// reduce feeds vals to an aggregate as one group and returns the text of its result.
func reduce(t *testing.T, name string, extra []*vec.Vector, vals *vec.Vector) string {
	t.Helper()
	args := append([]*vec.Vector{vals}, extra...)
	types := make([]vec.Type, len(args))
	for i, a := range args {
		types[i] = a.Type
	}
	call, err := registry.Aggregate(name, types)
	if err != nil {
		t.Fatal(err)
	}
	acc := call.Func.New(call.Args, call.Return)
	acc.Resize(1)
	if err := acc.Add(make([]int32, vals.Len()), args); err != nil {
		t.Fatal(err)
	}
	v, err := acc.Result()
	if err != nil {
		t.Fatal(err)
	}
	return v.Value(0).String()
}

func TestMomentsAreStableFarFromZero(t *testing.T) {
	vals := make([]float64, 10000)
	for i := range vals {
		vals[i] = 1e9 + float64(i%2) // variance 1/4
	}
	if got, _ := strconv.ParseFloat(reduce(t, "var_pop", nil, vec.OfFloats(vals, nil)), 64); math.Abs(got-0.25) > 1e-9 {
		t.Errorf("var_pop = %v, want 0.25", got)
	}
}

func TestApproxDistinctStaysWithinItsError(t *testing.T) {
	for _, n := range []int{0, 1, 500, 1025, 5000, 30000, 300000} {
		vals := make([]int64, 2*n)
		for i := range vals {
			vals[i] = int64(i/2) * 1000
		}
		got, _ := strconv.ParseFloat(reduce(t, "approx_distinct", nil, vec.OfInts(vec.BigintType, vals, nil)), 64)
		if tolerance := 0.07 * float64(n); n <= exactHashes && got != float64(n) || math.Abs(got-float64(n)) > tolerance {
			t.Errorf("approx_distinct of %d values = %v", n, got)
		}
	}
}

func TestApproxPercentileStaysNearTheRank(t *testing.T) {
	const n = 100000
	vals := make([]float64, n)
	for i := range vals {
		vals[i] = float64((i*7919)%n) + 1
	}
	for _, p := range []float64{0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.999, 1} {
		fraction := vec.Const(vec.Float(p), n)
		got, _ := strconv.ParseFloat(reduce(t, "approx_percentile", []*vec.Vector{fraction}, vec.OfFloats(vals, nil)), 64)
		if math.Abs(got-max(p*n, 1)) > 0.003*n*(p*(1-p)+0.01) {
			t.Errorf("percentile %v of 1…%d = %v", p, n, got)
		}
	}
}

func TestMergedStatesGiveWhatRowsGive(t *testing.T) {
	check := func(name, want string, args []vec.Type, states ...*vec.Vector) {
		t.Helper()
		call, err := registry.Aggregate(name, args)
		if err != nil {
			t.Fatal(err)
		}
		acc := call.Func.New(call.Args, call.Return)
		acc.Resize(1)
		if err := acc.(Merger).Merge(make([]int32, states[0].Len()), states); err != nil {
			t.Fatal(err)
		}
		v, _ := acc.Result()
		if got := v.Value(0).String(); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	ints := func(vals ...int64) *vec.Vector { return vec.OfInts(vec.BigintType, vals, nil) }
	floats := func(vals ...float64) *vec.Vector { return vec.OfFloats(vals, nil) }
	double, bigint := []vec.Type{vec.DoubleType}, []vec.Type{vec.BigintType}
	nulls := []bool{false, true}
	check("count", "7", nil, ints(3, 4))
	check("sum", "7", bigint, ints(3, 4))
	check("sum", "3", bigint, vec.OfInts(vec.BigintType, []int64{3, 9}, nulls))
	check("sum", "NULL", double, vec.NullsOf(vec.DoubleType, 2))
	check("avg", "2.5", double, floats(4, 6), ints(1, 3))
	check("avg", "2.5", bigint, ints(1, 3), floats(4, 2), floats(0, 0))
	check("max", "6.0", double, floats(4, 6))
	check("min", "4.0", double, vec.OfFloats([]float64{4, 1}, nulls))
	check("var_pop", "4.0", double, ints(4, 4), floats(3.5, 6.5), floats(3, 11))
	times := vec.OfInts(vec.TimestampType, []int64{5, 9}, nil)
	byTime := []vec.Type{vec.DoubleType, vec.TimestampType}
	check("max_by", "6.0", byTime, times, floats(4, 6))
	check("max_by", "NULL", byTime, times, vec.OfFloats([]float64{4, 6}, nulls))
	check("min_by", "4.0", byTime, times, floats(4, 6))
}

func BenchmarkAggregate(b *testing.B) {
	const n = 4096
	floats, nulls := make([]float64, n), make([]bool, n)
	for i := range floats {
		floats[i] = float64(i%97) * 0.25
		nulls[i] = i%10 == 0
	}
	doubles := vec.OfFloats(floats, nil)
	times := benchInts(vec.TimestampType, n, func(i int) int64 { return int64(i) * vec.Second })
	runs, short, single := make([]int32, n), make([]int32, n), make([]int32, n)
	for i := range runs {
		runs[i], short[i], single[i] = int32(i/90), int32((i*i>>3)%3), int32(i*7919%64)
	}
	run := func(label, name string, groups []int32, args ...*vec.Vector) {
		types := make([]vec.Type, len(args))
		for i, a := range args {
			types[i] = a.Type
		}
		call, err := registry.Aggregate(name, types)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(label, func(b *testing.B) {
			acc := call.Func.New(call.Args, call.Return)
			acc.Resize(64)
			for b.Loop() {
				if err := acc.Add(groups, args); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
	for _, g := range []struct {
		name   string
		groups []int32
	}{{"runs", runs}, {"short-runs", short}, {"mixed", single}} {
		run("avg/"+g.name, "avg", g.groups, doubles)
		run("avg-nulls/"+g.name, "avg", g.groups, vec.OfFloats(floats, nulls))
		run("count/"+g.name, "count", g.groups)
		run("sum-bigint/"+g.name, "sum", g.groups, benchInts(vec.BigintType, n, func(i int) int64 { return int64(i) }))
		run("max/"+g.name, "max", g.groups, doubles)
		run("max_by/"+g.name, "max_by", g.groups, doubles, times)
		run("stddev/"+g.name, "stddev", g.groups, doubles)
		run("approx_percentile/"+g.name, "approx_percentile", g.groups, doubles, vec.Const(vec.Float(0.5), n))
	}
}
