package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/vec"
)

// fieldEval is one field of a row; a null row has null fields.
type fieldEval struct {
	x     evaluator
	index int
	t     vec.Type
}

func (e *fieldEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	v, err := e.x.eval(ctx, f, in)
	if err != nil {
		return nil, err
	}
	if v.Type.Kind == vec.Unknown {
		return vec.NullsOf(e.t, in.Len), nil
	}
	return byForm(v, func(v *vec.Vector) (*vec.Vector, error) {
		child := v.Children[e.index]
		if v.Nulls == nil {
			return child, nil
		}
		c := newColumn(e.t)
		for i := range v.Len() {
			if v.Nulls[i] {
				c.appendNulls(1)
			} else {
				c.appendRow(child, i)
			}
		}
		return c.vector(), nil
	})
}

// arrayEval is ARRAY[…].
type arrayEval struct {
	elems []evaluator
	t     vec.Type
}

func (e *arrayEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	vals, constant, err := evalElems(ctx, f, e.elems, in)
	if err != nil {
		return nil, err
	}
	n := in.Len
	if constant {
		n = 1
	}
	// ARRAY[a, a] doubles, and nests as deep as queries do.
	check := fn.CheckSize
	if constant {
		check = fn.CheckConstant
	}
	if err := check(vals...); err != nil {
		return nil, err
	}
	elems := newColumn(*e.t.Elem)
	offsets := make([]int32, 1, n+1)
	for i := range n {
		for _, v := range vals {
			elems.appendRow(v, i)
		}
		offsets = append(offsets, int32(elems.n))
	}
	out := vec.OfNested(e.t, offsets, nil, elems.vector())
	if constant {
		return vec.Const(out.Value(0), in.Len), nil
	}
	return out, nil
}

// rowEval is ROW(…).
type rowEval struct {
	elems []evaluator
	t     vec.Type
}

func (e *rowEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	vals, _, err := evalElems(ctx, f, e.elems, in)
	if err != nil {
		return nil, err
	}
	for i, v := range vals {
		vals[i] = retype(v, e.t.Fields[i].Type)
	}
	return vec.OfRows(e.t, in.Len, nil, vals...), nil
}

// evalElems evaluates list over in; constant reports that each is a constant of a
// batch with rows.
func evalElems(ctx context.Context, f *frame, list []evaluator, in *vec.Batch) (vals []*vec.Vector, constant bool, err error) {
	vals, constant = make([]*vec.Vector, len(list)), in.Len > 0
	for i, e := range list {
		if vals[i], err = e.eval(ctx, f, in); err != nil {
			return nil, false, err
		}
		constant = constant && vals[i].Form == vec.Constant
	}
	return vals, constant, nil
}
