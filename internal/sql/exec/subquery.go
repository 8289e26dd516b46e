package exec

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// maxMemo is how many answers of a correlated subquery are remembered at one time.
const maxMemo = 1 << 16

// subqueryMemo keeps the answers of one subquery by the values of its parameters. A
// subquery without parameters has one answer and runs once per query.
type subqueryMemo struct{ answers map[string]*subqueryAnswer }

// subqueryAnswer is what a subquery gave for one set of parameters.
type subqueryAnswer struct {
	value vec.Value   // scalar and EXISTS
	set   *valueSet   // IN
	col   *vec.Vector // ALL and ANY
}

// subqueryEval looks at the rows of a plan. The rows of a batch are put together by the
// values of the parameters, and the plan runs once for each that is new.
type subqueryEval struct {
	n      *plan.Subquery
	params []evaluator
	x      *expr // or nil
}

func (c *compiler) subquery(e *plan.Subquery) (evaluator, error) {
	params, err := c.exprs(e.Params)
	if err != nil {
		return nil, err
	}
	c.serial = true
	out := &subqueryEval{n: e, params: params}
	if e.X != nil {
		out.x, err = c.sub(e.X)
	}
	return out, err
}

func (e *subqueryEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	if in.Len == 0 {
		return vec.NullsOf(e.n.T, 0), nil
	}
	memo := f.run.subqueries[e.n]
	if memo == nil {
		memo = &subqueryMemo{answers: map[string]*subqueryAnswer{}}
		f.run.subqueries[e.n] = memo
	}
	if len(e.params) == 0 {
		return e.answered(ctx, f, memo, "", nil, in, nil)
	}
	return e.correlated(ctx, f, memo, in)
}

func (e *subqueryEval) correlated(ctx context.Context, f *frame, memo *subqueryMemo, in *vec.Batch) (*vec.Vector, error) {
	params := make([]*vec.Vector, len(e.params))
	for i, p := range e.params {
		var err error
		if params[i], err = p.eval(ctx, f, in); err != nil {
			return nil, err
		}
	}
	var lists [][]int32
	var keys []string
	index := map[string]int{}
	var key []byte
	for i := range in.Len {
		key = key[:0]
		for _, p := range params {
			key = appendKey(key, p.Value(i))
		}
		k, ok := index[string(key)]
		if !ok {
			k = len(lists)
			index[string(key)] = k
			lists, keys = append(lists, nil), append(keys, string(key))
		}
		lists[k] = append(lists[k], int32(i))
	}
	parts := make([]*vec.Vector, len(lists))
	for k, rows := range lists {
		values := make([]vec.Value, len(params))
		for j, p := range params {
			values[j] = p.Value(int(rows[0]))
		}
		var err error
		if parts[k], err = e.answered(ctx, f, memo, keys[k], values, in, rows); err != nil {
			return nil, err
		}
	}
	return scatter(e.n.T, in.Len, lists, parts), nil
}

// answered computes the subquery for the given rows of in (nil: all), which share
// the parameters params.
func (e *subqueryEval) answered(ctx context.Context, f *frame, memo *subqueryMemo, key string, params []vec.Value, in *vec.Batch, rows []int32) (*vec.Vector, error) {
	a := memo.answers[key]
	if a == nil {
		var err error
		if a, err = e.run(ctx, f, params); err != nil {
			return nil, err
		}
		if len(memo.answers) >= maxMemo {
			clear(memo.answers)
		}
		memo.answers[key] = a
	}
	n := in.Len
	if rows != nil {
		n = len(rows)
	}
	if e.x == nil {
		return vec.Const(a.value, n), nil
	}
	x, err := e.x.evalRows(ctx, f, in, rows)
	if err != nil {
		return nil, err
	}
	if a.set != nil {
		return byForm(x, func(v *vec.Vector) (*vec.Vector, error) { return a.set.contains(v), nil })
	}
	return e.quantified(ctx, f, x, a.col)
}

// run runs the plan for one set of parameters.
func (e *subqueryEval) run(ctx context.Context, f *frame, params []vec.Value) (*subqueryAnswer, error) {
	inner := &frame{run: f.run, params: params}
	node := e.n.Plan
	if len(params) > 0 {
		node = f.run.query.Bind(node, params)
	}
	root, err := build(inner, node)
	if err != nil {
		return nil, err
	}
	defer inner.dropShared()
	defer root.close()
	switch e.n.Kind {
	case plan.ScalarQuery:
		v, err := e.scalar(ctx, root)
		return &subqueryAnswer{value: v}, err
	case plan.ExistsQuery:
		b, err := root.next(ctx)
		return &subqueryAnswer{value: vec.Bool(b != nil)}, err
	}
	// What is kept stays charged: the answer lives as long as the query, or nearly.
	mem := charge{of: &f.run.memory}
	if e.n.Kind == plan.InQuery {
		set, err := e.set(ctx, f, root, &mem)
		return &subqueryAnswer{set: set}, err
	}
	kept, err := drain(ctx, root, e.n.Plan.Types(), &mem)
	if err != nil {
		return nil, err
	}
	return &subqueryAnswer{col: kept.batch().Columns[0]}, nil
}

// set returns the different values of root.
func (e *subqueryEval) set(ctx context.Context, f *frame, root operator, mem *charge) (*valueSet, error) {
	borrow(root)
	set := newValueSet(e.n.X.Type())
	set.table.endBy(f.run.ended)
	for {
		b, err := root.next(ctx)
		if err != nil || b == nil {
			return set, err
		}
		set.addVector(b.Columns[0])
		if err := mem.set(set.table.sizeBytes()); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (e *subqueryEval) scalar(ctx context.Context, root operator) (vec.Value, error) {
	b, err := root.next(ctx)
	if err != nil || b == nil {
		return vec.Null(e.n.T), err
	}
	more := b.Len > 1
	if !more {
		next, err := root.next(ctx)
		if err != nil {
			return vec.Value{}, err
		}
		more = next != nil
	}
	if more {
		return vec.Value{}, fault.New(fault.Execution, "Scalar sub-query has returned multiple rows")
	}
	return b.Columns[0].Value(0), nil
}

// quantified is x op ALL (col) or x op ANY (col), in three-valued logic.
func (e *subqueryEval) quantified(ctx context.Context, f *frame, x, col *vec.Vector) (*vec.Vector, error) {
	n := x.Len()
	decisive := e.n.Kind == plan.AnyQuery // ANY is decided by a true, ALL by a false
	out, nulls := make([]bool, n), make([]bool, n)
	for i := range out {
		out[i] = !decisive
	}
	fc := &fn.Context{Now: f.run.opt.Now, Return: vec.BooleanType, Args: e.n.Op.Args}
	for j := range col.Len() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := fn.Invoke(e.n.Op, fc, []*vec.Vector{x, vec.Const(col.Value(j), n)}, n)
		if err != nil {
			return nil, err
		}
		for i := range out {
			switch {
			case out[i] == decisive:
			case v.IsNull(i):
				nulls[i] = true
			case v.Bool(i) == decisive:
				out[i], nulls[i] = decisive, false
			}
		}
	}
	return vec.OfBools(out, nulls), nil
}

// appendKey appends v so that different values of one type give different bytes.
func appendKey(dst []byte, v vec.Value) []byte {
	if v.Null {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int))
	case vec.StoreFloats:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float))
	case vec.StoreBools:
		if v.Bool {
			return append(dst, 1)
		}
		return append(dst, 0)
	case vec.StoreStrs:
		return append(binary.AppendUvarint(dst, uint64(len(v.Str))), v.Str...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.List)))
	for _, e := range v.List {
		dst = appendKey(dst, e)
	}
	return dst
}
