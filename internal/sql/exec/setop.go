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
// then lets rows of the left one pass, or not. Without ALL that is a stage, whose workers only look at what was
// counted. What memory cannot hold of the right input is divided by hash, and the left one with it (see splitOp).
type subsetOp struct {
	f           *frame
	left, right operator
	types       []vec.Type
	all         bool
	except      bool
	level       int
	table       *groupTable
	counts      []int32 // per key: rows of the right input that were not used up; with all
	counted     bool
	one         *subsetWorker // of next
	split       *splitOp      // in place of the table, once that was too large
	divided     bool          // all of the left input
	mem         charge
}

func subsetOf(f *frame, left, right operator, types []vec.Type, all, except bool, level int, mem charge) *subsetOp {
	return &subsetOp{f: f, left: left, right: right, types: types, all: all, except: except, level: level,
		table: newGroupTable(types).endBy(f.run.ended), mem: mem}
}

func (o *subsetOp) next(ctx context.Context) (*vec.Batch, error) {
	if err := o.ready(ctx); err != nil {
		return nil, err
	}
	if o.one == nil {
		o.one = o.newWorker()
	}
	for !o.divided {
		b, err := o.left.next(ctx)
		switch {
		case err != nil:
			return nil, err
		case b == nil && o.split == nil:
			return nil, nil
		case b == nil:
			o.divided = true
			if err := o.split.left.ready(); err != nil {
				return nil, err
			}
		default:
			if b, err = o.one.pass(ctx, b); b != nil || err != nil {
				return b, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return o.split.next(ctx)
}

func (o *subsetOp) input() operator  { return o.left }
func (o *subsetOp) concurrent() bool { return !o.all && !o.divided }
func (o *subsetOp) worker() worker   { return o.newWorker() }

// ready counts the right input.
func (o *subsetOp) ready(ctx context.Context) error {
	if o.counted {
		return nil
	}
	o.counted = true
	borrow(o.right)
	return o.count(ctx)
}

func (o *subsetOp) rest(ctx context.Context, emit emitFunc) error {
	if o.split == nil {
		return nil
	}
	o.divided = true
	if err := o.split.left.ready(); err != nil {
		return err
	}
	for {
		b, err := o.split.next(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := emit(ctx, b); err != nil {
			return err
		}
	}
}

// subsetWorker looks rows of the left input up, or divides them, for one goroutine.
type subsetWorker struct {
	o         *subsetOp
	divider   *divider // of an operator that is split
	reader    *keyReader
	ids, rows []int32 // scratch
}

func (o *subsetOp) newWorker() *subsetWorker {
	if o.split != nil {
		return &subsetWorker{o: o, divider: o.split.divider(&o.split.left)}
	}
	return &subsetWorker{o: o, reader: &keyReader{layout: &o.table.layout}}
}

func (w *subsetWorker) apply(ctx context.Context, b *vec.Batch, emit emitFunc) error {
	b, err := w.pass(ctx, b)
	if b == nil || err != nil {
		return err
	}
	return emit(ctx, b)
}

// pass returns the rows of b that pass, or nil.
func (w *subsetWorker) pass(ctx context.Context, b *vec.Batch) (*vec.Batch, error) {
	if w.divider != nil {
		return nil, w.divider.add(ctx, b)
	}
	w.ids = w.o.table.lookupWith(w.reader, b.Columns, b.Len, w.ids)
	rows := resize(w.rows, b.Len)[:0]
	for i, id := range w.ids {
		if w.o.pass(id) {
			rows = append(rows, int32(i))
		}
	}
	w.rows = rows
	switch len(rows) {
	case b.Len:
		return b, nil
	case 0:
		return nil, nil
	}
	return b.Gather(rows), nil
}

func (o *subsetOp) count(ctx context.Context) error {
	var ids []int32
	for {
		b, err := o.right.next(ctx)
		if err != nil || b == nil {
			return err
		}
		ids = o.table.assign(b.Columns, b.Len, ids)
		if o.all {
			o.counts = append(o.counts, make([]int32, o.table.len()-len(o.counts))...)
			for _, id := range ids {
				o.counts[id]++
			}
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

// divide hands what was counted and the rest of the right input to a splitOp; the left one is to follow.
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
	return o.split.right.ready()
}

// pass decides one row of the left input with key id, or -1.
func (o *subsetOp) pass(id int32) bool {
	there := id >= 0
	if there && o.all {
		if there = o.counts[id] > 0; there {
			o.counts[id]--
		}
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
