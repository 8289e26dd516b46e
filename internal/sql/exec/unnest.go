package exec

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// unnestOp expands arrays and series into rows.
type unnestOp struct {
	f     *frame
	n     *plan.Unnest
	in    operator
	exprs []*expr
	cur   *vec.Batch
	lists []*vec.Vector // of cur
	row   int           // of cur
	elem  int32         // next element of row
}

func newUnnest(f *frame, n *plan.Unnest) (operator, error) {
	exprs, err := compileAll(n.Exprs)
	if err != nil {
		return nil, err
	}
	in, err := build(f, n.Input)
	return &unnestOp{f: f, n: n, in: in, exprs: exprs}, err
}

func (o *unnestOp) next(ctx context.Context) (*vec.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.cur == nil {
			b, err := o.in.next(ctx)
			if err != nil || b == nil {
				return nil, err
			}
			if o.lists, err = evalAll(ctx, o.f, o.exprs, b); err != nil {
				return nil, err
			}
			o.cur, o.row, o.elem = b, 0, 0
		}
		if out := o.expand(); out != nil {
			return out, nil
		}
		o.cur = nil
	}
}

// expand returns the next rows of the batch in hand, or nil when it has no more.
func (o *unnestOp) expand() *vec.Batch {
	limit := o.f.run.opt.BatchRows
	var rows []int32                       // input row of each output row
	var ordinals []int64                   // 0: kept though empty
	picks := make([][]int32, len(o.lists)) // element of each output row, or -1
	for o.row < o.cur.Len && len(rows) < limit {
		longest := int32(0)
		for _, v := range o.lists {
			longest = max(longest, listLen(v, o.row))
		}
		if longest == 0 && o.n.KeepEmpty {
			rows, ordinals = append(rows, int32(o.row)), append(ordinals, 0)
			for k := range picks {
				picks[k] = append(picks[k], -1)
			}
		}
		for ; o.elem < longest && len(rows) < limit; o.elem++ {
			rows, ordinals = append(rows, int32(o.row)), append(ordinals, int64(o.elem)+1)
			for k, v := range o.lists {
				at := int32(-1)
				if o.elem < listLen(v, o.row) {
					f, slot := v.At(o.row)
					at = f.Offsets[slot] + o.elem
				}
				picks[k] = append(picks[k], at)
			}
		}
		if o.elem < longest {
			break
		}
		o.row, o.elem = o.row+1, 0
	}
	if len(rows) == 0 {
		return nil
	}
	out := o.cur.Gather(rows)
	for k, v := range o.lists {
		if v.Type.Kind == vec.Unknown {
			v = vec.NullsOf(o.n.Exprs[k].Type(), v.Len())
		}
		out.Columns = append(out.Columns, o.columnsOf(k, v, picks[k])...)
	}
	if o.n.Ordinality {
		nulls := make([]bool, len(ordinals))
		for i, n := range ordinals {
			nulls[i] = n == 0
		}
		out.Columns = append(out.Columns, vec.OfInts(vec.BigintType, ordinals, nulls))
	}
	return out
}

func listLen(v *vec.Vector, i int) int32 {
	if v.IsNull(i) {
		return 0
	}
	f, slot := v.At(i)
	return f.Offsets[slot+1] - f.Offsets[slot]
}

// columnsOf returns the columns that expression k expands to.
func (o *unnestOp) columnsOf(k int, v *vec.Vector, picks []int32) []*vec.Vector {
	t := o.n.Exprs[k].Type()
	children := v.Children
	if v.Form == vec.Dictionary {
		children = v.Dict.Children
	}
	if t.Kind == vec.Array && t.Elem.Kind == vec.Row {
		rows := children[0].Flat()
		children = make([]*vec.Vector, len(rows.Children))
		for f, c := range rows.Children {
			children[f] = maskNulls(c, rows.Nulls)
		}
	}
	out := make([]*vec.Vector, len(children))
	for i, c := range children {
		out[i] = gatherOrNull(c, picks)
	}
	return out
}

// maskNulls returns v with its rows null where nulls says so too.
func maskNulls(v *vec.Vector, nulls []bool) *vec.Vector {
	if nulls == nil {
		return v
	}
	picks := allRows(v.Len())
	for i, null := range nulls {
		if null {
			picks[i] = -1
		}
	}
	return gatherOrNull(v, picks)
}

// gatherOrNull is Gather where -1 gives null.
func gatherOrNull(v *vec.Vector, picks []int32) *vec.Vector {
	if !slices.Contains(picks, -1) {
		return v.Gather(picks)
	}
	if out := gatherFlatOrNull(v, picks); out != nil {
		return out
	}
	c := newColumn(v.Type)
	from := 0
	flush := func(to int) {
		if to > from {
			c.append(v.Gather(picks[from:to]))
		}
	}
	for i, p := range picks {
		if p < 0 {
			flush(i)
			c.appendNulls(1)
			from = i + 1
		}
	}
	flush(len(picks))
	return c.vector()
}

// gatherFlatOrNull is gatherOrNull of flat numbers and strings; nil for others.
func gatherFlatOrNull(v *vec.Vector, picks []int32) *vec.Vector {
	if v.Form != vec.Flat {
		return nil
	}
	nulls := make([]bool, len(picks))
	for k, p := range picks {
		nulls[k] = p < 0 || v.Nulls != nil && v.Nulls[p]
	}
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		return vec.OfInts(v.Type, pickOrZero(v.Ints, picks), nulls)
	case vec.StoreFloats:
		return vec.OfFloats(pickOrZero(v.Floats, picks), nulls)
	case vec.StoreStrs:
		return vec.OfStrs(pickOrZero(v.Strs, picks), nulls).Retype(v.Type)
	}
	return nil
}

func pickOrZero[T any](from []T, picks []int32) []T {
	out := make([]T, len(picks))
	for k, p := range picks {
		if p >= 0 {
			out[k] = from[p]
		}
	}
	return out
}

func (o *unnestOp) close() { o.in.close() }
