package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

func newSetOp(f *frame, n *plan.SetOp) (operator, error) {
	in, err := buildAll(f, n.Inputs...)
	if err != nil {
		return nil, err
	}
	if n.Kind == plan.Union {
		union := &unionOp{in: in, types: n.Types()}
		if n.All {
			return union, nil
		}
		return distinctOf(f, union, n.Types(), n), nil
	}
	o := subsetOf(f, in[0], in[1], n.Types(), n.All, n.Kind == plan.Except, 0, f.run.chargeOf(n))
	if n.All {
		return o, nil
	}
	return distinctOf(f, o, n.Types(), n), nil
}

// unionOp is one input after the other.
type unionOp struct {
	in    []operator
	types []vec.Type
	at    int
}

func (o *unionOp) next(ctx context.Context) (*vec.Batch, error) {
	for ; o.at < len(o.in); o.at++ {
		b, err := o.in[o.at].next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			o.in[o.at].close()
			continue
		}
		out := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(b.Columns))}
		for i, c := range b.Columns {
			out.Columns[i] = retype(c, o.types[i]) // field names may differ
		}
		return out, nil
	}
	return nil, nil
}

func (o *unionOp) close() {
	for _, in := range o.in {
		in.close()
	}
}

// subsetOp is INTERSECT or EXCEPT, but for dropping duplicates: it counts the rows of the right input and
// then lets rows of the left one pass, or not. What memory cannot hold of the right input is divided by
// hash, and the left one with it (see splitOp).
type subsetOp struct {
	f           *frame
	left, right operator
	types       []vec.Type
	all         bool
	except      bool
	level       int
	table       *groupTable
	counts      []int32 // per key: rows of the right input that were not used up
	ready       bool
	split       *splitOp // in place of the table, once that was too large
	mem         charge
}

func subsetOf(f *frame, left, right operator, types []vec.Type, all, except bool, level int, mem charge) *subsetOp {
	return &subsetOp{f: f, left: left, right: right, types: types, all: all, except: except, level: level,
		table: newGroupTable(types), mem: mem}
}

func (o *subsetOp) next(ctx context.Context) (*vec.Batch, error) {
	if !o.ready {
		if err := o.count(ctx); err != nil {
			return nil, err
		}
		o.ready = true
	}
	if o.split != nil {
		return o.split.next(ctx)
	}
	for {
		b, err := o.left.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		ids := o.table.lookup(b.Columns, b.Len, nil)
		rows := make([]int32, 0, b.Len)
		for i, id := range ids {
			if o.pass(id) {
				rows = append(rows, int32(i))
			}
		}
		switch {
		case len(rows) == b.Len:
			return b, nil
		case len(rows) > 0:
			return b.Gather(rows), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (o *subsetOp) count(ctx context.Context) error {
	for {
		b, err := o.right.next(ctx)
		if err != nil || b == nil {
			return err
		}
		for _, id := range o.table.assign(b.Columns, b.Len, nil) {
			if int(id) >= len(o.counts) {
				o.counts = append(o.counts, 0)
			}
			o.counts[id]++
		}
		size := o.table.sizeBytes() + 4*int64(cap(o.counts))
		if o.level < partitionLevels && o.mem.full(size) {
			return o.divide(ctx)
		}
		if err := o.mem.set(size); err != nil {
			return err
		}
	}
}

// divide hands what was counted, the rest of the right input and the left one to a splitOp.
func (o *subsetOp) divide(ctx context.Context) error {
	keys := make([]*expr, len(o.types))
	for i, t := range o.types {
		keys[i] = &expr{node: columnEval(i), cols: []int{i}, t: t}
	}
	o.split = newSplit(o.f, o.mem.m, o.level, func(left, right operator) (operator, error) {
		return subsetOf(o.f, left, right, o.types, o.all, o.except, o.level+1, charge{of: o.mem.of, m: o.mem.m}), nil
	})
	o.split.left.types, o.split.left.keys = o.types, keys
	o.split.right.types, o.split.right.keys = o.types, keys
	counted := &vec.Batch{Len: o.table.len(), Columns: o.table.columns()}
	repeat := allRows(counted.Len)
	if o.all {
		repeat = repeat[:0]
		for g, n := range o.counts {
			for range n {
				repeat = append(repeat, int32(g))
			}
		}
	}
	first := &emitter{b: counted, order: repeat}
	if err := o.split.divider(&o.split.right).read(ctx, first, o.right); err != nil {
		return err
	}
	o.table, o.counts = nil, nil
	o.mem.release()
	if err := o.split.divider(&o.split.left).read(ctx, nil, o.left); err != nil {
		return err
	}
	if err := o.split.right.ready(); err != nil {
		return err
	}
	return o.split.left.ready()
}

// pass decides one row of the left input with key id, or -1.
func (o *subsetOp) pass(id int32) bool {
	there := id >= 0 && o.counts[id] > 0
	if there && o.all {
		o.counts[id]--
	}
	return there != o.except
}

func (o *subsetOp) close() {
	if o.split != nil {
		o.split.close()
	}
	o.left.close()
	o.right.close()
	o.mem.release()
}
