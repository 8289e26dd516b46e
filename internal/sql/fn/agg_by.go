package fn

import (
	"sort"

	"github.com/weir-db/weir/internal/vec"
)

// byAggregates is max_by and min_by, and the forms that keep the n best.
func byAggregates() []Aggregate {
	pairs := " FROM (VALUES ('a', 4), ('b', 7), ('c', NULL)) AS t(x, y)"
	values := " FROM (VALUES 4, 7, NULL, 5) AS t(x)"
	return []Aggregate{
		aggregate("max_by(T, U) -> T", "x of the row with the greatest y.", "max_by(x, y)"+pairs, "b", newBy(1)),
		aggregate("min_by(T, U) -> T", "x of the row with the least y.", "min_by(x, y)"+pairs, "a", newBy(-1)),
		aggregate("max_by(T, U, bigint) -> array(T)", "x of the n rows with the greatest y, greatest first.", "max_by(x, y, 5)"+pairs, "[b, a]", newTopBy(1)),
		aggregate("min_by(T, U, bigint) -> array(T)", "x of the n rows with the least y, least first.", "min_by(x, y, 1)"+pairs, "[a]", newTopBy(-1)),
		aggregate("max(T, bigint) -> array(T)", "The n greatest values, greatest first.", "max(x, 2)"+values, "[7, 5]", newTop(1)),
		aggregate("min(T, bigint) -> array(T)", "The n least values, least first.", "min(x, 2)"+values, "[4, 5]", newTop(-1)),
	}
}

// byAcc keeps, per group, the x of the best y. Among equal y the first row stays.
type byAcc struct {
	sign int
	x, y cells
}

func newBy(sign int) func([]vec.Type, vec.Type) Accumulator {
	return func(args []vec.Type, ret vec.Type) Accumulator {
		return &byAcc{sign: sign, x: cells{t: ret}, y: cells{t: args[1]}}
	}
}

func (a *byAcc) Resize(n int) {
	a.x.resize(n)
	a.y.resize(n)
}

func (a *byAcc) Add(groups []int32, args []*vec.Vector) error {
	x, y := args[0], args[1]
	if y.HasNulls() {
		// Only y is looked at: a null x is a result.
		nulls, count, all := nullMask(flatten0(args[1:2]), len(groups))
		if all {
			return nil
		}
		if count > 0 {
			groups, args = gatherRows(groups, args, notNull(nulls, count))
			x, y = args[0], args[1]
		}
	}
	y = y.Flat()
	eachRun(groups, func(g int32, from, to int) {
		best := a.bestOf(y, from, to)
		if !a.y.set[g] || a.y.compare(y, best, g) == a.sign {
			a.y.put(g, y, best)
			a.x.put(g, x, best)
		}
	})
	return nil
}

// bestOf returns the row of a run with the best y.
func (a *byAcc) bestOf(y *vec.Vector, from, to int) int {
	best := from
	switch {
	case to-from == 1:
	case y.Type.Kind.Storage() == vec.StoreInts && a.sign > 0:
		for i := from + 1; i < to; i++ {
			if y.Ints[i] > y.Ints[best] {
				best = i
			}
		}
	case y.Type.Kind.Storage() == vec.StoreInts:
		for i := from + 1; i < to; i++ {
			if y.Ints[i] < y.Ints[best] {
				best = i
			}
		}
	default:
		for i := from + 1; i < to; i++ {
			if vec.Compare(y, i, y, best) == a.sign {
				best = i
			}
		}
	}
	return best
}

// Merge takes the state columns timestamp, x.
func (a *byAcc) Merge(groups []int32, states []*vec.Vector) error {
	return a.Add(groups, []*vec.Vector{states[1], states[0]})
}

func (a *byAcc) Result() (*vec.Vector, error) { return a.x.vector(), nil }

func (a *byAcc) SizeBytes() int64 { return a.x.size() + a.y.size() }

// maxTop is the greatest n of max(x, n) and its kin.
const maxTop = 10000

// topAcc keeps the n best of each group, by y, and gives their x.
type topAcc struct {
	sign   int
	by     bool // x and y are different arguments
	elem   vec.Type
	groups []topGroup
	bytes  int64
}

type topGroup struct {
	n    int
	rows []topRow // at most 2n: cut back to the n best when full
}

type topRow struct{ x, y vec.Value }

func (r topRow) size() int64 { return 2*valueBytes + valueSize(r.x) + valueSize(r.y) }

func newTop(sign int) func([]vec.Type, vec.Type) Accumulator {
	return func(args []vec.Type, _ vec.Type) Accumulator { return &topAcc{sign: sign, elem: args[0]} }
}

func newTopBy(sign int) func([]vec.Type, vec.Type) Accumulator {
	return func(args []vec.Type, _ vec.Type) Accumulator {
		return &topAcc{sign: sign, elem: args[0], by: true}
	}
}

func (a *topAcc) Resize(n int) { a.groups = grow(a.groups, n) }

func (a *topAcc) Add(groups []int32, args []*vec.Vector) error {
	x, y, count := args[0], args[0], args[len(args)-1]
	if a.by {
		y = args[1]
	}
	for i, g := range groups {
		top := &a.groups[g]
		if top.n == 0 {
			if err := top.setLimit(count, i, len(args)); err != nil {
				return err
			}
		}
		if y.IsNull(i) {
			continue
		}
		a.keep(top, topRow{x.Value(i), y.Value(i)})
	}
	return nil
}

// keep adds a row, and now and then drops all but the best.
func (a *topAcc) keep(top *topGroup, r topRow) {
	top.rows = append(top.rows, r)
	a.bytes += r.size()
	if len(top.rows) < 2*top.n {
		return
	}
	top.cut(a.sign)
	for _, gone := range top.rows[len(top.rows):cap(top.rows)][:top.n] {
		a.bytes -= gone.size()
	}
}

func (t *topGroup) setLimit(count *vec.Vector, i, args int) error {
	ordinal := [...]string{2: "second", 3: "third"}[args]
	if count.IsNull(i) || count.Int(i) <= 0 {
		return fail("%s argument of max/min must be a positive integer", ordinal)
	}
	if count.Int(i) > maxTop {
		return fail("%s argument of max/min must be less than or equal to %d; found %d", ordinal, maxTop, count.Int(i))
	}
	t.n = int(count.Int(i))
	return nil
}

// cut sorts the rows, best first, and keeps n.
func (t *topGroup) cut(sign int) {
	sort.SliceStable(t.rows, func(i, j int) bool { return vec.CompareValues(t.rows[i].y, t.rows[j].y) == sign })
	t.rows = t.rows[:min(t.n, len(t.rows))]
}

func (a *topAcc) Result() (*vec.Vector, error) { return a.resultAsking(nil) }

func (a *topAcc) resultAsking(ask func() error) (*vec.Vector, error) {
	p := &pace{c: &Context{Interrupted: ask}}
	t := vec.ArrayOf(a.elem)
	b := vec.NewBuilder(t, len(a.groups))
	for i := range a.groups {
		top := &a.groups[i]
		if err := p.stepBy(1 + len(top.rows)); err != nil {
			return nil, err
		}
		if len(top.rows) == 0 {
			b.AppendNull()
			continue
		}
		top.cut(a.sign)
		list := make([]vec.Value, len(top.rows))
		for k, r := range top.rows {
			list[k] = r.x
		}
		b.Append(vec.Value{Type: t, List: list})
	}
	return b.Vector(), nil
}

func (a *topAcc) SizeBytes() int64 { return int64(len(a.groups))*4*wordBytes + a.bytes }
