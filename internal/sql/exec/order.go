package exec

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/weir-db/weir/internal/sql/plan"
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

// sortChunk is how many rows are sorted between two looks at the context: some
// milliseconds of work.
const sortChunk = 1 << 15

// sortItem is a row and a number that never orders against the row's first key.
type sortItem struct {
	prefix uint64
	row    int32
}

// order returns the rows 0 to n-1 in order; equal rows keep theirs. keys are flat.
func (s *sortSpec) order(ctx context.Context, keys []*vec.Vector, n int) ([]int32, error) {
	items := make([]sortItem, n)
	for i := range items {
		items[i].row = int32(i)
	}
	exact := false
	if len(keys) > 0 {
		exact = s.prefixes(keys[0], items) && len(keys) == 1
	}
	compare := func(a, b sortItem) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		if !exact {
			if c := s.compare(keys, int(a.row), keys, int(b.row)); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.row, b.row)
	}
	for from := 0; from < n; from += sortChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		slices.SortFunc(items[from:min(from+sortChunk, n)], compare)
	}
	items, err := mergeChunks(ctx, items, compare)
	if err != nil {
		return nil, err
	}
	out := make([]int32, n)
	for i, item := range items {
		out[i] = item.row
	}
	return out, nil
}

// mergeChunks merges sorted runs of sortChunk items.
func mergeChunks(ctx context.Context, items []sortItem, compare func(a, b sortItem) int) ([]sortItem, error) {
	spare := []sortItem(nil)
	for width := sortChunk; width < len(items); width *= 2 {
		if spare == nil {
			spare = make([]sortItem, len(items))
		}
		out := spare[:0]
		for from := 0; from < len(items); from += 2 * width {
			a := items[from:min(from+width, len(items))]
			b := items[min(from+width, len(items)):min(from+2*width, len(items))]
			for len(a) > 0 && len(b) > 0 {
				if len(out)%sortChunk == 0 && ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if compare(b[0], a[0]) < 0 {
					out, b = append(out, b[0]), b[1:]
				} else {
					out, a = append(out, a[0]), a[1:]
				}
			}
			out = append(append(out, a...), b...)
		}
		items, spare = out, items
	}
	return items, nil
}

// prefixes sets the prefix of each item from the first key and reports whether the
// prefixes alone decide that key.
func (s *sortSpec) prefixes(key *vec.Vector, items []sortItem) (exact bool) {
	if key.Type.Kind == vec.Unknown {
		return true
	}
	exact = key.Nulls == nil
	for i := range items {
		r := int(items[i].row)
		if key.Nulls != nil && key.Nulls[r] {
			if !s.first[0] {
				items[i].prefix = math.MaxUint64
			}
			continue
		}
		p := uint64(0)
		switch key.Type.Kind.Storage() {
		case vec.StoreInts:
			p = uint64(key.Ints[r]) ^ 1<<63
		case vec.StoreFloats:
			p = floatOrder(key.Floats[r])
		case vec.StoreBools:
			if key.Bools[r] {
				p = 1
			}
		case vec.StoreStrs:
			p, exact = stringPrefix(key.Strs[r]), false
		default:
			return false
		}
		if s.desc[0] {
			p = ^p
		}
		items[i].prefix = p
	}
	return exact
}

// floatOrder maps doubles to numbers of the same order, NaN last and -0.0 as 0.0.
func floatOrder(f float64) uint64 {
	switch {
	case f != f:
		return math.MaxUint64
	case f == 0:
		return 1 << 63
	}
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

func stringPrefix(s string) uint64 {
	p := uint64(0)
	for i := range 8 {
		p <<= 8
		if i < len(s) {
			p |= uint64(s[i])
		}
	}
	return p
}

// sortOp keeps all rows and hands them out in order.
type sortOp struct {
	f     *frame
	in    operator
	types []vec.Type
	keys  *sortSpec
	mem   charge
	out   *emitter
}

func newSort(f *frame, n *plan.Sort) (operator, error) {
	keys, err := compileKeys(n.Keys)
	if err != nil {
		return nil, err
	}
	in, err := build(f, n.Input)
	return &sortOp{f: f, in: in, types: n.Types(), keys: keys, mem: charge{of: &f.run.memory}}, err
}

func (o *sortOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.out == nil {
		b, order, err := sortAll(ctx, o.f, o.in, o.types, o.keys, &o.mem)
		if err != nil {
			return nil, err
		}
		o.out = &emitter{b: b, order: order}
	}
	return o.out.next(o.f.run.opt.BatchRows), nil
}

// sortAll reads in to its end and returns its rows and their order.
func sortAll(ctx context.Context, f *frame, in operator, types []vec.Type, keys *sortSpec, mem *charge) (*vec.Batch, []int32, error) {
	kept, err := drain(ctx, in, types, mem)
	if err != nil {
		return nil, nil, err
	}
	b := kept.batch()
	vecs, err := evalAll(ctx, f, keys.exprs, b)
	if err != nil {
		return nil, nil, err
	}
	for i, v := range vecs {
		vecs[i] = v.Flat()
	}
	if err := mem.set(kept.sizeBytes() + int64(b.Len)*(36+8*int64(len(vecs)))); err != nil {
		return nil, nil, err
	}
	order, err := keys.order(ctx, vecs, b.Len)
	return b, order, err
}

func (o *sortOp) close() {
	o.in.close()
	o.mem.release()
	o.out = &emitter{b: &vec.Batch{}}
}

// topOp keeps the first n rows of an order. It gathers rows, and each time it has
// twice as many as it needs it sorts them and drops the rest; a row that is not
// before the last of the kept ones is not gathered at all.
type topOp struct {
	f     *frame
	in    operator
	types []vec.Type
	keys  *sortSpec
	n     int
	mem   charge
	rows  *rows
	key   *rows         // the keys of rows
	bound []*vec.Vector // keys of one row that n rows are not after; nil at first
	out   *emitter
}

func newTopN(f *frame, n *plan.TopN) (operator, error) {
	if n.N > math.MaxInt32 {
		return newLimit(f, &plan.Limit{Input: &plan.Sort{Input: n.Input, Keys: n.Keys}, N: n.N})
	}
	keys, err := compileKeys(n.Keys)
	if err != nil {
		return nil, err
	}
	in, err := build(f, n.Input)
	return &topOp{f: f, in: in, types: n.Types(), keys: keys, n: int(n.N), mem: charge{of: &f.run.memory}}, err
}

func (o *topOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.out == nil {
		if err := o.gather(ctx); err != nil {
			return nil, err
		}
		o.out = &emitter{b: o.rows.batch()}
	}
	return o.out.next(o.f.run.opt.BatchRows), nil
}

func (o *topOp) gather(ctx context.Context) error {
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
		if err := o.mem.set(o.rows.sizeBytes() + o.key.sizeBytes()); err != nil {
			return err
		}
	}
	return o.shrink(ctx)
}

// take gathers the rows of b that may be among the first.
func (o *topOp) take(b *vec.Batch, keys []*vec.Vector) {
	k := &vec.Batch{Len: b.Len, Columns: keys}
	if o.bound != nil {
		rows := make([]int32, 0, 64)
		for i := range b.Len {
			if o.keys.compare(keys, i, o.bound, 0) < 0 {
				rows = append(rows, int32(i))
			}
		}
		if len(rows) < b.Len {
			b, k = b.Gather(rows), k.Gather(rows)
		}
	}
	o.rows.append(b)
	o.key.append(k)
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
	}
	return nil
}

func (o *topOp) close() {
	o.in.close()
	o.mem.release()
	o.out = &emitter{b: &vec.Batch{}}
}
