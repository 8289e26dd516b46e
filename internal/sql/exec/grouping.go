package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// grouping is what an aggregation computes, compiled. It is not modified once made, so workers share it.
//
// A batch of the input is first turned into the inputs: the keys, then what the aggregates read, each
// once. Inputs are what is kept of a row that is set aside.
type grouping struct {
	inputs []*expr
	masks  []int // per input: the boolean input that says which rows may be evaluated, or -1
	types  []vec.Type
	keys   int
	aggs   []aggregate
	ended  func() bool // of the query
}

// aggregate is one aggregate of a grouping.
type aggregate struct {
	n      plan.Agg
	args   []int         // inputs
	consts []*vec.Vector // per argument: a constant of one row, in place of an input
	filter int           // input, or -1
	order  *sortSpec     // or nil
	by     []int         // inputs: the keys of order
	types  []vec.Type    // of the group number and the arguments, for DISTINCT and ORDER BY
}

func newGrouping(r *run, keys []plan.Expr, aggs []plan.Agg) (*grouping, error) {
	g := &grouping{keys: len(keys), aggs: make([]aggregate, 0, len(aggs)), ended: r.ended}
	room := len(keys) + len(aggs) // of most: an argument each
	g.inputs, g.masks, g.types = make([]*expr, 0, room), make([]int, 0, room), make([]vec.Type, 0, room)
	exprs := make([]plan.Expr, 0, room)
	add := func(e plan.Expr, mask int) (int, error) {
		for i, known := range exprs {
			if g.masks[i] == mask && plan.Same(known, e) {
				return i, nil
			}
		}
		x, err := compile(e)
		if err != nil {
			return 0, err
		}
		exprs = append(exprs, e)
		g.inputs, g.masks, g.types = append(g.inputs, x), append(g.masks, mask), append(g.types, x.t)
		return len(exprs) - 1, nil
	}
	for i, k := range keys {
		x, err := compile(k)
		if err != nil {
			return nil, err
		}
		exprs = append(exprs, keys[i])
		g.inputs, g.masks, g.types = append(g.inputs, x), append(g.masks, -1), append(g.types, x.t)
	}
	for _, n := range aggs {
		a := aggregate{n: n, filter: -1, args: make([]int, 0, len(n.Args)), consts: make([]*vec.Vector, 0, len(n.Args))}
		if n.Distinct || len(n.Order) > 0 {
			a.types = append(a.types, vec.BigintType)
			for _, arg := range n.Args {
				a.types = append(a.types, arg.Type())
			}
		}
		var err error
		if n.Filter != nil {
			if a.filter, err = add(n.Filter, -1); err != nil {
				return nil, err
			}
		}
		for _, arg := range n.Args {
			if c, ok := arg.(*plan.Const); ok {
				a.args, a.consts = append(a.args, -1), append(a.consts, vec.Const(c.Value, 1))
				continue
			}
			at, err := add(arg, a.filter)
			if err != nil {
				return nil, err
			}
			a.args, a.consts = append(a.args, at), append(a.consts, nil)
		}
		if len(n.Order) > 0 {
			if a.order, err = compileKeys(n.Order); err != nil {
				return nil, err
			}
			for _, k := range n.Order {
				at, err := add(k.Expr, a.filter)
				if err != nil {
					return nil, err
				}
				a.by = append(a.by, at)
			}
		}
		g.aggs = append(g.aggs, a)
	}
	return g, nil
}

// eval computes the inputs of a batch.
func (g *grouping) eval(ctx context.Context, f *frame, b *vec.Batch) ([]*vec.Vector, error) {
	out := make([]*vec.Vector, len(g.inputs))
	for i, e := range g.inputs {
		var v *vec.Vector
		var err error
		if _, column := e.node.(columnEval); g.masks[i] >= 0 && !column {
			v, err = masked(ctx, f, e, b, out[g.masks[i]])
		} else {
			v, err = e.eval(ctx, f, b)
		}
		if err != nil {
			return nil, err
		}
		out[i] = retype(v, e.t)
	}
	return out, nil
}

// masked evaluates e over the rows for which mask is true only; the others are null.
func masked(ctx context.Context, f *frame, e *expr, b *vec.Batch, mask *vec.Vector) (*vec.Vector, error) {
	rows := trueRows(mask, nil)
	if len(rows) == b.Len {
		return e.eval(ctx, f, b)
	}
	if len(rows) == 0 {
		return vec.NullsOf(e.t, b.Len), nil
	}
	v, err := e.evalRows(ctx, f, b, rows)
	if err != nil {
		return nil, err
	}
	rest := make([]int32, 0, b.Len-len(rows))
	k := 0
	for i := range b.Len {
		if k < len(rows) && rows[k] == int32(i) {
			k++
		} else {
			rest = append(rest, int32(i))
		}
	}
	return scatter(e.t, b.Len, [][]int32{rows, rest}, []*vec.Vector{v, vec.NullsOf(e.t, len(rest))}), nil
}

// concurrent reports whether batches may be evaluated at the same time.
func (g *grouping) concurrent() bool { return concurrent(g.inputs) }

// groups is the groups of some rows, for one goroutine.
type groups struct {
	g     *grouping
	table *groupTable
	aggs  []groupStates
	ids   []int32 // scratch
}

// groupStates is one aggregate over all groups.
type groupStates struct {
	acc  fn.Accumulator
	seen *groupTable // (group, arguments…) of DISTINCT
	held *rows       // (group, arguments…, order keys…) of ORDER BY, until the end
}

func newGroups(g *grouping) *groups {
	s := &groups{g: g, table: newGroupTable(g.types[:g.keys]).endBy(g.ended), aggs: make([]groupStates, len(g.aggs))}
	for i := range g.aggs {
		a := &g.aggs[i]
		s.aggs[i].acc = a.n.Call.Func.New(a.n.Call.Args, a.n.Call.Return)
		s.aggs[i].acc.Resize(s.count())
		if a.n.Distinct {
			s.aggs[i].seen = newGroupTable(a.types).endBy(g.ended)
		}
		if a.order != nil {
			types := append([]vec.Type(nil), a.types...)
			s.aggs[i].held = newRows(append(types, a.order.types()...))
		}
	}
	return s
}

// count is how many groups there are; without keys there is one from the start.
func (s *groups) count() int {
	if s.g.keys == 0 {
		return 1
	}
	return s.table.len()
}

// entries is how much there is to look up.
func (s *groups) entries() int {
	n := s.table.len()
	for i := range s.aggs {
		if s.aggs[i].seen != nil {
			n += s.aggs[i].seen.len()
		}
	}
	return n
}

// assign returns the groups of n rows by their keys.
func (s *groups) assign(keys []*vec.Vector, n int) []int32 {
	if s.g.keys == 0 {
		s.ids = resize(s.ids, n)
		clear(s.ids)
	} else {
		s.ids = s.table.assign(keys, n, s.ids)
	}
	return s.ids
}

// add adds n rows, given as inputs.
func (s *groups) add(in []*vec.Vector, n int) error {
	return s.feed(s.assign(in[:s.g.keys], n), in, n)
}

// feed adds rows whose groups are known.
func (s *groups) feed(ids []int32, in []*vec.Vector, n int) error {
	count := s.count()
	for i := range s.aggs {
		s.aggs[i].acc.Resize(count)
		if err := s.aggs[i].add(&s.g.aggs[i], ids, in, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *groupStates) add(a *aggregate, ids []int32, in []*vec.Vector, n int) error {
	args := make([]*vec.Vector, len(a.args))
	for i, at := range a.args {
		if at < 0 {
			args[i] = a.consts[i].Slice(0, n)
		} else {
			args[i] = in[at]
		}
	}
	by := make([]*vec.Vector, len(a.by))
	for i, at := range a.by {
		by[i] = in[at]
	}
	keep := func(rows []int32) {
		ids, n = gather(ids, rows), len(rows)
		for i := range args {
			args[i] = args[i].Gather(rows)
		}
		for i := range by {
			by[i] = by[i].Gather(rows)
		}
	}
	if a.filter >= 0 {
		if rows := trueRows(in[a.filter], nil); len(rows) < n {
			keep(rows)
		}
	}
	if n == 0 {
		return nil
	}
	if s.seen != nil {
		s.seen.assign(append([]*vec.Vector{groupVector(ids)}, args...), n, nil)
		if len(s.seen.fresh) < n {
			keep(s.seen.fresh)
		}
	}
	if s.held == nil {
		return s.acc.Add(ids, args)
	}
	s.held.append(&vec.Batch{Len: n, Columns: append(append([]*vec.Vector{groupVector(ids)}, args...), by...)})
	return nil
}

// combine adds groups of o: those that rows lists, given the keys of all. Neither o nor what is kept of it
// changes.
func (s *groups) combine(o *groups, keys []*vec.Vector, rows []int32) error {
	if len(rows) == 0 {
		return nil
	}
	picked := make([]*vec.Vector, len(keys))
	for i, k := range keys {
		picked[i] = k.Gather(rows)
	}
	into := s.assign(picked, len(rows))
	count := s.count()
	var of []int32 // group of o: group of s, or -1
	for i := range s.aggs {
		a, b := &s.aggs[i], &o.aggs[i]
		a.acc.Resize(count)
		if a.seen == nil && a.held == nil {
			if err := a.acc.Combine(b.acc, rows, into); err != nil {
				return err
			}
			continue
		}
		if of == nil {
			of = make([]int32, o.count())
			fill(of, -1)
			for k, r := range rows {
				of[r] = into[k]
			}
		}
		if err := a.combineRows(b, of, s.g.ended); err != nil {
			return err
		}
	}
	return nil
}

// combineRows adds what o has kept of rows whose group has a number in of.
func (s *groupStates) combineRows(o *groupStates, of []int32, ended func() bool) error {
	var cols []*vec.Vector
	if o.held != nil {
		cols = o.held.batch().Columns
	} else {
		cols = o.seen.columns()
	}
	var rows, ids []int32
	for i, g := range cols[0].Ints {
		if to := of[g]; to >= 0 {
			rows, ids = append(rows, int32(i)), append(ids, to)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	cols[0] = groupVector(ids)
	for i := range cols[1:] {
		cols[i+1] = cols[i+1].Gather(rows)
	}
	if s.seen != nil {
		width := len(s.seen.layout.parts)
		s.seen.assign(cols[:width], len(rows), nil)
		if fresh := s.seen.fresh; len(fresh) < len(rows) {
			ids = gather(ids, fresh)
			for i := range cols {
				cols[i] = cols[i].Gather(fresh)
			}
		}
	}
	if s.held != nil {
		s.held.append(&vec.Batch{Len: len(ids), Columns: cols})
		return nil
	}
	for from := 0; from < len(ids) && !ended(); from += addRows {
		to := min(from+addRows, len(ids))
		args := make([]*vec.Vector, len(cols)-1)
		for i := range args {
			args[i] = cols[i+1].Slice(from, to)
		}
		if err := s.acc.Add(ids[from:to], args); err != nil {
			return err
		}
	}
	return nil
}

// result returns a row per group: the keys, then the aggregates. Nothing may be added after.
func (s *groups) result(ctx context.Context) (*vec.Batch, error) {
	out := &vec.Batch{Len: s.count(), Columns: s.table.columns()}
	if out.Len == 0 {
		return out, nil
	}
	for i := range s.aggs {
		a := &s.aggs[i]
		a.acc.Resize(out.Len)
		if err := a.finish(ctx, &s.g.aggs[i]); err != nil {
			return nil, err
		}
		v, err := fn.Result(a.acc, ctx.Err)
		if err != nil {
			return nil, err
		}
		out.Columns = append(out.Columns, retype(v, s.g.aggs[i].n.Call.Return))
	}
	return out, nil
}

// finish adds what ORDER BY held back, in order.
func (s *groupStates) finish(ctx context.Context, a *aggregate) error {
	if s.held == nil || s.held.n == 0 {
		return nil
	}
	b := s.held.batch()
	args, keys := b.Columns[1:1+len(a.args)], b.Columns[1+len(a.args):]
	order, err := a.order.order(ctx, keys, b.Len)
	if err != nil {
		return err
	}
	groups := b.Columns[0].Ints
	for len(order) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		some := order[:min(len(order), addRows)]
		order = order[len(some):]
		ids := make([]int32, len(some))
		for i, r := range some {
			ids[i] = int32(groups[r])
		}
		sorted := make([]*vec.Vector, len(args))
		for i, v := range args {
			sorted[i] = v.Gather(some)
		}
		if err := s.acc.Add(ids, sorted); err != nil {
			return err
		}
	}
	return nil
}

// addRows is how many of the rows that were kept are added between two looks at whether the query has ended: array_agg of them
// takes about a millisecond.
const addRows = 1 << 14

func (s *groups) sizeBytes() int64 {
	size := s.table.sizeBytes() + 4*int64(cap(s.ids))
	for i := range s.aggs {
		a := &s.aggs[i]
		size += a.acc.SizeBytes()
		if a.seen != nil {
			size += a.seen.sizeBytes()
		}
		if a.held != nil {
			size += a.held.sizeBytes()
		}
	}
	return size
}

func groupVector(ids []int32) *vec.Vector {
	ints := make([]int64, len(ids))
	for i, g := range ids {
		ints[i] = int64(g)
	}
	return vec.OfInts(vec.BigintType, ints, nil)
}

func gather[T any](from []T, rows []int32) []T {
	out := make([]T, len(rows))
	for k, r := range rows {
		out[k] = from[r]
	}
	return out
}
