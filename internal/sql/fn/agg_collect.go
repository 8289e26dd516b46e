package fn

import (
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// collectAggregates is array_agg and create_time_series.
func collectAggregates() []Aggregate {
	points := " FROM (VALUES (TIMESTAMP '2031-02-03 04:10', 2.5), (TIMESTAMP '2031-02-03 04:05', 1.5)) AS t(time, v)"
	return []Aggregate{
		aggregate("array_agg(T) -> array(T)", "All values, nulls too, as an array.", "array_agg(x) FROM (VALUES 4, NULL, 7) AS t(x)", "[4, NULL, 7]", newArrayAgg),
		aggregate("create_time_series(timestamp, T) -> timeseries(T)", "The points as a time series, in time order.", "create_time_series(time, v)"+points, "[(2031-02-03 04:05:00.000000000, 1.5), (2031-02-03 04:10:00.000000000, 2.5)]", newCreateSeries),
	}
}

// arrayAgg keeps all rows in one builder and, per group, their numbers.
type arrayAgg struct {
	t      vec.Type
	all    *vec.Builder
	groups [][]int32
	bytes  int64 // of texts and nested values, and of groups' lists
}

func newArrayAgg(args []vec.Type, ret vec.Type) Accumulator {
	return &arrayAgg{t: ret, all: vec.NewBuilder(args[0], 0)}
}

func (a *arrayAgg) Resize(n int) { a.groups = grow(a.groups, n) }

func (a *arrayAgg) Add(groups []int32, args []*vec.Vector) error {
	for i, g := range groups {
		a.append(g, args[0], i)
	}
	return nil
}

// append adds row i of v to a group.
func (a *arrayAgg) append(g int32, v *vec.Vector, i int) {
	list := a.groups[g]
	before := cap(list)
	list = append(list, int32(a.all.Len()))
	a.bytes += 4 * int64(cap(list)-before)
	a.groups[g] = list
	f, j := v.At(i)
	switch f.Type.Kind.Storage() {
	case vec.StoreStrs:
		a.bytes += int64(len(f.Strs[j]))
	case vec.StoreNested:
		x := f.Value(j)
		a.bytes += valueSize(x)
		a.all.Append(x)
		return
	}
	a.all.AppendFrom(f, j)
}

func (a *arrayAgg) Result() (*vec.Vector, error) { return a.resultAsking(nil) }

func (a *arrayAgg) resultAsking(ask func() error) (*vec.Vector, error) {
	p := &pace{c: &Context{Interrupted: ask}}
	rows, offsets, nulls, err := groupedRows(p, a.groups)
	if err != nil {
		return nil, err
	}
	values, err := a.all.Vector().GatherAsking(rows, p.c.interrupted)
	if err != nil {
		return nil, err
	}
	return vec.OfNested(a.t, offsets, nulls, values), nil
}

// groupedRows lays the rows of the groups end to end; a group without rows is null.
func groupedRows(p *pace, groups [][]int32) (rows, offsets []int32, nulls []bool, err error) {
	offsets = make([]int32, 1, len(groups)+1)
	total := 0
	for _, g := range groups {
		total += len(g)
	}
	rows = make([]int32, 0, total)
	for _, g := range groups {
		if err := p.stepBy(1 + len(g)); err != nil {
			return nil, nil, nil, err
		}
		rows = append(rows, g...)
		offsets = append(offsets, int32(len(rows)))
	}
	return rows, offsets, nullsUnless(len(groups), func(g int) bool { return len(groups[g]) > 0 }), nil
}

func (a *arrayAgg) SizeBytes() int64 {
	perRow := int64(wordBytes)
	if a.t.Elem.Kind == vec.Varchar {
		perRow = stringBytes
	}
	// Half as much again: slices grow by a quarter to the double.
	return int64(a.all.Len())*perRow*3/2 + int64(cap(a.groups))*3*wordBytes + a.bytes
}

// seriesAcc collects points as arrayAgg does, and sorts them by time at the end.
type seriesAcc struct {
	values arrayAgg
	times  []int64
}

func newCreateSeries(args []vec.Type, ret vec.Type) Accumulator {
	return &seriesAcc{values: arrayAgg{t: ret, all: vec.NewBuilder(args[1], 0)}}
}

func (a *seriesAcc) Resize(n int) { a.values.Resize(n) }

func (a *seriesAcc) Add(groups []int32, args []*vec.Vector) error {
	for k, name := range []string{"time", "value"} {
		if !args[k].HasNulls() {
			continue
		}
		for i := range groups {
			if args[k].IsNull(i) {
				return fail("create_time_series does not take a null %s", name)
			}
		}
	}
	for i := range groups {
		a.times = append(a.times, args[0].Int(i))
	}
	return a.values.Add(groups, args[1:])
}

func (a *seriesAcc) Result() (*vec.Vector, error) { return a.resultAsking(nil) }

func (a *seriesAcc) resultAsking(ask func() error) (*vec.Vector, error) {
	p := &pace{c: &Context{Interrupted: ask}}
	byTime := func(i, j int32) int { return compareOrdered(a.times[i], a.times[j]) }
	for _, rows := range a.values.groups {
		if err := p.step(); err != nil {
			return nil, err
		}
		if slices.IsSortedFunc(rows, byTime) {
			continue
		}
		if err := p.sort(rows, byTime); err != nil {
			return nil, err
		}
	}
	rows, offsets, nulls, err := groupedRows(p, a.values.groups)
	if err != nil {
		return nil, err
	}
	times, err := vec.OfInts(vec.TimestampType, a.times, nil).GatherAsking(rows, p.c.interrupted)
	if err != nil {
		return nil, err
	}
	values, err := a.values.all.Vector().GatherAsking(rows, p.c.interrupted)
	if err != nil {
		return nil, err
	}
	return vec.OfNested(a.values.t, offsets, nulls, times, values), nil
}

func (a *seriesAcc) SizeBytes() int64 { return a.values.SizeBytes() + int64(len(a.times))*wordBytes }
