package exec

import (
	"context"
	"math"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// sortSpec is the compiled keys of an order.
type sortSpec struct {
	exprs []*expr
	desc  []bool
	first []bool // nulls first
}

func compileKeys(keys []plan.SortKey) (*sortSpec, error) {
	s := &sortSpec{}
	for _, k := range keys {
		e, err := compile(k.Expr)
		if err != nil {
			return nil, err
		}
		s.exprs, s.desc, s.first = append(s.exprs, e), append(s.desc, k.Desc), append(s.first, k.NullsFirst)
	}
	return s, nil
}

func (s *sortSpec) types() []vec.Type {
	types := make([]vec.Type, len(s.exprs))
	for i, e := range s.exprs {
		types[i] = e.t
	}
	return types
}

// compare orders row i of the key columns a before (negative) row j of b.
func (s *sortSpec) compare(a []*vec.Vector, i int, b []*vec.Vector, j int) int {
	for k := range a {
		if c := s.compareKey(k, a[k], i, b[k], j); c != 0 {
			return c
		}
	}
	return 0
}

func (s *sortSpec) compareKey(k int, a *vec.Vector, i int, b *vec.Vector, j int) int {
	an, bn := a.IsNull(i), b.IsNull(j)
	if an || bn {
		if an == bn {
			return 0
		}
		if an == s.first[k] {
			return -1
		}
		return 1
	}
	c := vec.Compare(a, i, b, j)
	if s.desc[k] {
		return -c
	}
	return c
}

// sortOp hands all rows out in order.
type sortOp struct {
	f    *frame
	in   operator
	n    *plan.Sort
	keys *sortSpec
	rows *sorter // nil until it is needed
	mem  charge
	out  batches
}

func newSort(f *frame, n *plan.Sort) (operator, error) {
	keys, err := compileKeys(n.Keys)
	if err != nil {
		return nil, err
	}
	o := &sortOp{f: f, n: n, keys: keys, mem: f.run.chargeOf(n)}
	o.in, err = build(f, n.Input)
	return o, err
}

func (o *sortOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.out == nil && o.n.Ordered {
		if ordered, err := inOrder(ctx, o.in); err != nil {
			return nil, err
		} else if ordered {
			o.out = o.in
		}
	}
	if o.out == nil {
		if out, err := o.few(ctx); err != nil {
			return nil, err
		} else if out != nil {
			o.out = out
		}
	}
	if o.out == nil {
		if err := o.sorter().add(ctx, o.in); err != nil {
			return nil, err
		}
		o.in.close()
		var err error
		if o.out, err = o.rows.finish(ctx); err != nil {
			return nil, err
		}
	}
	return o.out.next(ctx)
}

func (o *sortOp) sorter() *sorter {
	if o.rows == nil {
		o.rows = newSorter(o.f, o.keys, o.n.Types(), &o.mem)
	}
	return o.rows
}

// few sorts the groups of an aggregation where they are, if they are few; else it gives what it took of them to
// the sorter and returns nil.
func (o *sortOp) few(ctx context.Context) (batches, error) {
	in := o.in
	if m, ok := in.(*measured); ok {
		in = m.operator
	}
	if _, ok := in.(*aggregateOp); !ok { // which keeps and charges its groups until it is closed
		return nil, nil
	}
	b, err := o.in.next(ctx)
	if err != nil || b == nil {
		return noRows{}, err
	}
	var more *vec.Batch
	if b.Len <= fewRows {
		if more, err = o.in.next(ctx); err != nil {
			return nil, err
		}
		if more == nil {
			order, err := o.keys.orderOf(ctx, o.f, b)
			return &emitted{emitter{b: b, order: order}, o.f.run.opt.BatchRows}, err
		}
	}
	for _, b := range []*vec.Batch{b, more} {
		if b == nil {
			continue
		}
		if err := o.sorter().put(ctx, b); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// orderOf returns a few rows in order, or nil if they are.
func (s *sortSpec) orderOf(ctx context.Context, f *frame, b *vec.Batch) ([]int32, error) {
	keys, err := evalAll(ctx, f, s.exprs, b)
	if err != nil {
		return nil, err
	}
	for i := 1; i < b.Len; i++ {
		if s.compare(keys, i-1, keys, i) > 0 {
			return s.order(ctx, keys, b.Len)
		}
	}
	return nil, nil
}

func (o *sortOp) close() {
	if o.in != nil {
		o.in.close()
	}
	if o.rows != nil {
		o.rows.close()
	}
	o.out = noRows{}
}

// topOp keeps the first n rows of an order. It gathers rows, and each time it has
// twice as many as it needs it sorts them and drops the rest; a row that is not
// before the last of the kept ones is not gathered at all.
type topOp struct {
	f       *frame
	in      operator
	types   []vec.Type
	keys    *sortSpec
	n       int
	ordered bool // the scan is asked for the order
	mem     charge
	rows    *rows
	key     *rows          // the keys of rows
	sorted  *sorter        // once memory does not hold them
	bound   []*vec.Vector  // keys of one row that n rows are not after; nil at first
	told    *storage.Bound // what the scan knows of it, or nil
	out     batches
}

func newTopN(f *frame, n *plan.TopN) (operator, error) {
	if n.N > math.MaxInt32 {
		return newLimit(f, &plan.Limit{Input: &plan.Sort{Input: n.Input, Keys: n.Keys, Ordered: n.Ordered}, N: n.N})
	}
	keys, err := compileKeys(n.Keys)
	if err != nil {
		return nil, err
	}
	in, err := build(f, n.Input)
	if err != nil {
		return nil, err
	}
	return &topOp{f: f, in: in, types: n.Types(), keys: keys, n: int(n.N), ordered: n.Ordered, mem: f.run.chargeOf(n), told: boundOf(in)}, nil
}

func (o *topOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.out == nil && o.ordered {
		if ordered, err := inOrder(ctx, o.in); err != nil {
			return nil, err
		} else if ordered {
			o.out = &limitOp{in: o.in, left: int64(o.n)}
		}
	}
	if o.out == nil {
		if err := o.gather(ctx); err != nil {
			return nil, err
		}
	}
	return o.out.next(ctx)
}

func (o *topOp) gather(ctx context.Context) error {
	borrow(o.in)
	o.rows, o.key = newRows(o.types), newRows(o.keys.types())
	for o.n > 0 {
		b, err := o.in.next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		keys, err := evalAll(ctx, o.f, o.keys.exprs, b)
		if err != nil {
			return err
		}
		o.take(b, keys)
		if o.rows.n >= 2*o.n+o.f.run.opt.BatchRows {
			if err := o.shrink(ctx); err != nil {
				return err
			}
		}
		size := o.rows.sizeBytes() + o.key.sizeBytes()
		if o.mem.full(size) {
			return o.sortAll(ctx)
		}
		if err := o.mem.set(size); err != nil {
			return err
		}
	}
	if err := o.shrink(ctx); err != nil {
		return err
	}
	if err := o.mem.set(o.rows.sizeBytes() + o.key.sizeBytes()); err != nil {
		return err
	}
	o.out = &emitted{emitter{b: o.rows.batch()}, o.f.run.opt.BatchRows}
	return nil
}

// sortAll is for more rows than memory holds: it sorts what is kept and all that is left of the input. What is
// kept is in the order of the input, or sorted, so that ties stay as they are.
func (o *topOp) sortAll(ctx context.Context) error {
	o.sorted = newSorter(o.f, o.keys, o.types, &o.mem)
	kept := o.rows.batch()
	o.rows, o.key = nil, nil
	if err := o.sorted.put(ctx, kept); err != nil {
		return err
	}
	if err := o.sorted.add(ctx, o.in); err != nil {
		return err
	}
	out, err := o.sorted.finish(ctx)
	if err != nil {
		return err
	}
	o.out = &limitOp{in: asOperator{out}, left: int64(o.n)}
	return nil
}

// asOperator is batches as an operator.
type asOperator struct{ batches }

// take gathers the rows of b that may be among the first.
func (o *topOp) take(b *vec.Batch, keys []*vec.Vector) {
	k := &vec.Batch{Len: b.Len, Columns: keys}
	if len(o.bound) > 0 {
		rows := o.before(keys, b.Len)
		if len(rows) < b.Len {
			b, k = b.Gather(rows), k.Gather(rows)
		}
	}
	o.rows.append(b)
	o.key.append(k)
}

// before returns the rows of keys that are before the bound. Numbers in the first key
// decide most rows.
func (o *topOp) before(keys []*vec.Vector, n int) []int32 {
	rows := make([]int32, 0, 64)
	first := keys[0].Flat()
	if s := first.Type.Kind.Storage(); s != vec.StoreInts && s != vec.StoreFloats || first.Nulls != nil || o.bound[0].IsNull(0) {
		for i := range n {
			if o.keys.compare(keys, i, o.bound, 0) < 0 {
				rows = append(rows, int32(i))
			}
		}
		return rows
	}
	bound := numbersOf(o.bound[0], o.keys.desc[0]).nums[0]
	for i, v := range numbersOf(first, o.keys.desc[0]).nums {
		if v < bound || v == bound && o.keys.compare(keys, i, o.bound, 0) < 0 {
			rows = append(rows, int32(i))
		}
	}
	return rows
}

// shrink sorts what is kept and drops all but the first n rows.
func (o *topOp) shrink(ctx context.Context) error {
	key := o.key.batch()
	order, err := o.keys.order(ctx, key.Columns, o.rows.n)
	if err != nil {
		return err
	}
	order = order[:min(o.n, len(order))]
	b, k := o.rows.batch().Gather(order), key.Gather(order)
	o.rows, o.key = newRows(o.types), newRows(o.keys.types())
	o.rows.append(b)
	o.key.append(k)
	if o.rows.n == o.n && o.n > 0 {
		o.bound = k.Slice(o.n-1, o.n).Columns
		if first := o.bound[0]; o.told != nil && !first.IsNull(0) {
			o.told.Set(first.Value(0))
		}
	}
	return nil
}

func (o *topOp) close() {
	o.in.close()
	if o.sorted != nil {
		o.sorted.close()
	}
	o.mem.release()
	o.out = noRows{}
}
