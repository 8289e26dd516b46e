package exec

import (
	"context"
	"fmt"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// aggregateOp groups rows by hash (see groupTable for why that is cheap for rows in
// series order), or merges partial aggregates that storage computed.
type aggregateOp struct {
	f     *frame
	n     *plan.Aggregate
	in    operator
	keys  []*expr
	aggs  []*aggState
	table *groupTable
	mem   charge
	out   *emitter

	groups []int32 // scratch
}

// aggState is one aggregate over all groups.
type aggState struct {
	n      plan.Agg
	args   []*expr
	filter *expr
	order  *sortSpec
	acc    fn.Accumulator
	seen   *groupTable // (group, arguments…) of DISTINCT
	held   *rows       // (group, arguments…, order keys…) of ORDER BY, until the end
}

func newAggregate(f *frame, n *plan.Aggregate) (operator, error) {
	keys, err := compileAll(n.Keys)
	if err != nil {
		return nil, err
	}
	o := &aggregateOp{f: f, n: n, keys: keys, mem: charge{of: &f.run.memory}}
	for _, a := range n.Aggs {
		s := &aggState{n: a}
		if s.args, err = compileAll(a.Args); err != nil {
			return nil, err
		}
		if a.Filter != nil {
			if s.filter, err = compile(a.Filter); err != nil {
				return nil, err
			}
		}
		if len(a.Order) > 0 {
			if s.order, err = compileKeys(a.Order); err != nil {
				return nil, err
			}
		}
		o.aggs = append(o.aggs, s)
	}
	if o.in, err = build(f, n.Input); err != nil {
		return nil, err
	}
	o.reset()
	return o, nil
}

// reset forgets all groups.
func (o *aggregateOp) reset() {
	types := make([]vec.Type, len(o.keys))
	for i, k := range o.keys {
		types[i] = k.t
	}
	o.table = newGroupTable(types)
	for _, a := range o.aggs {
		a.reset()
	}
}

func (a *aggState) reset() {
	a.acc = a.n.Call.Func.New(a.n.Call.Args, a.n.Call.Return)
	argTypes := make([]vec.Type, len(a.args))
	for i, e := range a.args {
		argTypes[i] = e.t
	}
	withGroup := append([]vec.Type{vec.BigintType}, argTypes...)
	if a.n.Distinct {
		a.seen = newGroupTable(withGroup)
	}
	if a.order != nil {
		a.held = newRows(append(withGroup, a.order.types()...))
	}
}

func (o *aggregateOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.out == nil {
		if err := o.consume(ctx); err != nil {
			return nil, err
		}
		b, err := o.result(ctx)
		if err != nil {
			return nil, err
		}
		o.out = &emitter{b: b}
	}
	return o.out.next(o.f.run.opt.BatchRows), nil
}

func (o *aggregateOp) consume(ctx context.Context) error {
	in := o.in
	if m, ok := in.(*measured); ok {
		in = m.operator
	}
	scan, ok := in.(*scanOp)
	if ok && o.n.Pushed != nil && !o.f.run.opt.NoPushdown && scan.n.Spec.From < scan.n.Spec.To {
		applied, err := scan.start(ctx, &o.n.Pushed.Spec)
		if err != nil {
			return err
		}
		if applied {
			if err := o.mergeAll(ctx, scan); err != nil || !scan.matchFailed() {
				return err
			}
			// Some row may belong to no group, or fail the query: look at the rows.
			o.reset()
			if _, err := scan.start(ctx, nil); err != nil {
				return err
			}
		}
	}
	for {
		b, err := o.in.next(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := o.add(ctx, b); err != nil {
			return err
		}
	}
}

// assign finds the groups of b's rows by keys evaluated over b.
func (o *aggregateOp) assign(ctx context.Context, keys []*expr, b *vec.Batch) error {
	vecs, err := evalAll(ctx, o.f, keys, b)
	if err != nil {
		return err
	}
	for i, v := range vecs {
		vecs[i] = retype(v, keys[i].t)
	}
	if len(keys) == 0 {
		o.groups = resize(o.groups, b.Len)
		clear(o.groups)
		return nil
	}
	o.groups = o.table.assign(vecs, b.Len, o.groups)
	return nil
}

// groupCount is how many groups there are; without keys there is one from the start.
func (o *aggregateOp) groupCount() int {
	if len(o.keys) == 0 {
		return 1
	}
	return o.table.len()
}

func (o *aggregateOp) add(ctx context.Context, b *vec.Batch) error {
	if err := o.assign(ctx, o.keys, b); err != nil {
		return err
	}
	groups := o.groupCount()
	size := o.table.sizeBytes()
	for _, a := range o.aggs {
		a.acc.Resize(groups)
		if err := a.add(ctx, o.f, o.groups, b); err != nil {
			return err
		}
		size += a.sizeBytes()
	}
	return o.mem.set(size)
}

func (a *aggState) sizeBytes() int64 {
	size := a.acc.SizeBytes()
	if a.seen != nil {
		size += a.seen.sizeBytes()
	}
	if a.held != nil {
		size += a.held.sizeBytes()
	}
	return size
}

func (a *aggState) add(ctx context.Context, f *frame, groups []int32, b *vec.Batch) error {
	if a.filter != nil {
		rows, all, err := filterRows(ctx, f, []*expr{a.filter}, b)
		if err != nil {
			return err
		}
		if !all {
			groups, b = gather(groups, rows), b.Gather(rows)
		}
	}
	if b.Len == 0 {
		return nil
	}
	args, err := evalAll(ctx, f, a.args, b)
	if err != nil {
		return err
	}
	if a.seen != nil {
		rows := a.firsts(groups, args, b.Len)
		if len(rows) < b.Len {
			groups, b = gather(groups, rows), b.Gather(rows)
			for i, v := range args {
				args[i] = v.Gather(rows)
			}
		}
	}
	if a.held == nil {
		return a.acc.Add(groups, args)
	}
	keys, err := evalAll(ctx, f, a.order.exprs, b)
	if err != nil {
		return err
	}
	cols := append([]*vec.Vector{groupVector(groups)}, args...)
	a.held.append(&vec.Batch{Len: b.Len, Columns: append(cols, keys...)})
	return nil
}

// firsts returns the rows whose arguments appear for the first time in their group.
func (a *aggState) firsts(groups []int32, args []*vec.Vector, n int) []int32 {
	known := int32(a.seen.len())
	ids := a.seen.assign(append([]*vec.Vector{groupVector(groups)}, args...), n, nil)
	rows := make([]int32, 0, n)
	for i, id := range ids {
		if id == known { // new keys are numbered in order of appearance
			rows = append(rows, int32(i))
			known++
		}
	}
	return rows
}

// finish adds what ORDER BY held back, in order.
func (a *aggState) finish(ctx context.Context) error {
	if a.held == nil || a.held.n == 0 {
		return nil
	}
	b := a.held.batch()
	args, keys := b.Columns[1:1+len(a.args)], b.Columns[1+len(a.args):]
	order, err := a.order.order(ctx, keys, b.Len)
	if err != nil {
		return err
	}
	groups := make([]int32, b.Len)
	for i, r := range order {
		groups[i] = int32(b.Columns[0].Ints[r])
	}
	sorted := make([]*vec.Vector, len(args))
	for i, v := range args {
		sorted[i] = v.Gather(order)
	}
	return a.acc.Add(groups, sorted)
}

// mergeAll reads partial aggregates to their end.
func (o *aggregateOp) mergeAll(ctx context.Context, scan *scanOp) error {
	push := o.n.Pushed
	keys, err := compileAll(push.Keys)
	if err != nil {
		return err
	}
	for {
		b, err := scan.raw(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := o.assign(ctx, keys, b); err != nil {
			return err
		}
		groups, size := o.groupCount(), o.table.sizeBytes()
		for i, a := range o.aggs {
			m, ok := a.acc.(fn.Merger)
			if !ok {
				return fmt.Errorf("bug: %s was pushed down and cannot merge", a.n.Call.Func.Name)
			}
			m.Resize(groups)
			if err := m.Merge(o.groups, b.Columns[push.States[i]:push.States[i]+push.Widths[i]]); err != nil {
				return err
			}
			size += m.SizeBytes()
		}
		if err := o.mem.set(size); err != nil {
			return err
		}
	}
}

func (o *aggregateOp) result(ctx context.Context) (*vec.Batch, error) {
	out := &vec.Batch{Len: o.groupCount(), Columns: o.table.columns()}
	if out.Len == 0 {
		return out, nil
	}
	for _, a := range o.aggs {
		a.acc.Resize(out.Len)
		if err := a.finish(ctx); err != nil {
			return nil, err
		}
		v, err := a.acc.Result()
		if err != nil {
			return nil, err
		}
		out.Columns = append(out.Columns, retype(v, a.n.Call.Return))
	}
	return out, nil
}

func (o *aggregateOp) close() {
	o.in.close()
	o.mem.release()
	o.out = &emitter{b: &vec.Batch{}}
}

func groupVector(groups []int32) *vec.Vector {
	ints := make([]int64, len(groups))
	for i, g := range groups {
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

// distinctOp drops rows that were there before.
type distinctOp struct {
	f     *frame
	in    operator
	table *groupTable
	none  bool // there are no columns: all rows are equal
	done  bool
	mem   charge
}

func newDistinct(f *frame, n *plan.Distinct) (operator, error) {
	in, err := build(f, n.Input)
	return distinctOf(f, in, n.Types()), err
}

func distinctOf(f *frame, in operator, types []vec.Type) *distinctOp {
	return &distinctOp{f: f, in: in, table: newGroupTable(types), none: len(types) == 0, mem: charge{of: &f.run.memory}}
}

func (o *distinctOp) next(ctx context.Context) (*vec.Batch, error) {
	for !o.done {
		b, err := o.in.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		if o.none {
			o.done = true
			return b.Slice(0, 1), nil
		}
		rows := newKeys(o.table, b)
		if err := o.mem.set(o.table.sizeBytes()); err != nil {
			return nil, err
		}
		switch {
		case len(rows) == b.Len:
			return b, nil
		case len(rows) > 0:
			return b.Gather(rows), nil
		}
	}
	return nil, nil
}

// newKeys adds the rows of b to t and returns those that were not there.
func newKeys(t *groupTable, b *vec.Batch) []int32 {
	known := int32(t.len())
	rows := make([]int32, 0, b.Len)
	for i, id := range t.assign(b.Columns, b.Len, nil) {
		if id == known {
			rows = append(rows, int32(i))
			known++
		}
	}
	return rows
}

func (o *distinctOp) close() {
	o.in.close()
	o.mem.release()
	o.done = true
}
