package exec

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// logicEval is AND (stop false) or OR (stop true): a term equal to stop decides the
// row, and later terms do not see it.
type logicEval struct {
	terms []*expr
	stop  bool
}

func (e *logicEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	n := in.Len
	out := make([]bool, n)
	for i := range out {
		out[i] = !e.stop
	}
	var nulls []bool
	var open []int32 // rows not decided; nil: all
	for k, term := range e.terms {
		v, err := term.evalRows(ctx, f, in, open)
		if err != nil {
			return nil, err
		}
		last := k == len(e.terms)-1
		next := make([]int32, 0, v.Len())
		for i := range v.Len() {
			r := int32(i)
			if open != nil {
				r = open[i]
			}
			switch {
			case v.IsNull(i):
				if nulls == nil {
					nulls = make([]bool, n)
				}
				nulls[r] = true
			case v.Bool(i) == e.stop:
				out[r] = e.stop
				if nulls != nil {
					nulls[r] = false
				}
				continue
			}
			if !last {
				next = append(next, r)
			}
		}
		open = next
		if len(open) == 0 {
			break
		}
	}
	return vec.OfBools(out, nulls), nil
}

// filterRows returns the rows of in for which cond is true, ascending; all reports
// that these are all rows (rows is then nil). The terms of a conjunction see only the
// rows that the earlier ones kept.
func filterRows(ctx context.Context, f *frame, conds []*expr, in *vec.Batch) (rows []int32, all bool, err error) {
	all = true
	for _, cond := range conds {
		v, err := cond.evalRows(ctx, f, in, rows)
		if err != nil {
			return nil, false, err
		}
		if v.Form == vec.Constant && v.Len() > 0 && !v.IsNull(0) && v.Bool(0) {
			continue
		}
		kept := trueRows(v, rows)
		if len(kept) == v.Len() && v.Len() > 0 {
			continue
		}
		rows, all = kept, false
		if len(rows) == 0 {
			return rows, false, nil
		}
	}
	return rows, all, nil
}

// trueRows returns rows[i] (or i for nil rows) where row i of v is true.
func trueRows(v *vec.Vector, rows []int32) []int32 {
	if v.Form == vec.Flat && v.Type.Kind == vec.Boolean {
		return trueSlots(v, rows)
	}
	kept := make([]int32, 0, v.Len())
	for i := range v.Len() {
		if !v.IsNull(i) && v.Bool(i) {
			if rows == nil {
				kept = append(kept, int32(i))
			} else {
				kept = append(kept, rows[i])
			}
		}
	}
	return kept
}

// trueSlots is trueRows for flat vectors, without a branch on the values, which nobody could predict.
func trueSlots(v *vec.Vector, rows []int32) []int32 {
	kept := make([]int32, v.Len())
	k := 0
	for i, b := range v.Bools[:len(kept)] {
		kept[k] = int32(i)
		next := k
		if b {
			next = k + 1
		}
		k = next
	}
	kept = kept[:k]
	if v.Nulls != nil {
		kept = slices.DeleteFunc(kept, func(i int32) bool { return v.Nulls[i] })
	}
	if rows != nil {
		for j, i := range kept {
			kept[j] = rows[i]
		}
	}
	return kept
}

// conjuncts compiles a condition as a list of terms.
func conjuncts(cond plan.Expr) ([]*expr, error) {
	if and, ok := cond.(*plan.And); ok {
		return compileAll(and.Terms)
	}
	return compileAll([]plan.Expr{cond})
}

type notEval struct{ x evaluator }

func (e *notEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	v, err := e.x.eval(ctx, f, in)
	if err != nil {
		return nil, err
	}
	v = retype(v, vec.BooleanType)
	return byForm(v, func(v *vec.Vector) (*vec.Vector, error) {
		out := make([]bool, v.Len())
		for i := range out {
			out[i] = !v.Bools[i]
		}
		return vec.OfBools(out, v.Nulls), nil
	})
}

type isNullEval struct{ x evaluator }

func (e *isNullEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	v, err := e.x.eval(ctx, f, in)
	if err != nil {
		return nil, err
	}
	if !v.HasNulls() {
		return vec.Const(vec.Bool(false), v.Len()), nil
	}
	if v.Type.Kind == vec.Unknown {
		return vec.Const(vec.Bool(true), v.Len()), nil
	}
	return byForm(v, func(v *vec.Vector) (*vec.Vector, error) {
		out := make([]bool, v.Len())
		if v.Nulls != nil {
			copy(out, v.Nulls)
		}
		return vec.OfBools(out, nil), nil
	})
}

// caseEval evaluates each branch over the rows that reach it.
type caseEval struct {
	conds, thens []*expr
	otherwise    *expr // or nil
	t            vec.Type
}

func (c *compiler) caseExpr(e *plan.Case) (evaluator, error) {
	out := &caseEval{t: e.T}
	for _, w := range e.Whens {
		cond, err := c.sub(w.Cond)
		if err != nil {
			return nil, err
		}
		then, err := c.sub(w.Then)
		if err != nil {
			return nil, err
		}
		out.conds, out.thens = append(out.conds, cond), append(out.thens, then)
	}
	var err error
	if e.Else != nil {
		out.otherwise, err = c.sub(e.Else)
	}
	return out, err
}

func (e *caseEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	open := allRows(in.Len)
	var lists [][]int32
	var parts []*vec.Vector
	take := func(x *expr, rows []int32) error {
		if len(rows) == 0 {
			return nil
		}
		v := vec.NullsOf(e.t, len(rows))
		if x != nil {
			var err error
			if v, err = x.evalRows(ctx, f, in, rows); err != nil {
				return err
			}
		}
		lists, parts = append(lists, rows), append(parts, v)
		return nil
	}
	for k, cond := range e.conds {
		if len(open) == 0 {
			break
		}
		v, err := cond.evalRows(ctx, f, in, open)
		if err != nil {
			return nil, err
		}
		var chosen, rest []int32
		for i, r := range open {
			if !v.IsNull(i) && v.Bool(i) {
				chosen = append(chosen, r)
			} else {
				rest = append(rest, r)
			}
		}
		if err := take(e.thens[k], chosen); err != nil {
			return nil, err
		}
		open = rest
	}
	if err := take(e.otherwise, open); err != nil {
		return nil, err
	}
	return scatter(e.t, in.Len, lists, parts), nil
}

type coalesceEval struct {
	args []*expr
	t    vec.Type
}

func (e *coalesceEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	open := allRows(in.Len)
	var lists [][]int32
	var parts []*vec.Vector
	for k, arg := range e.args {
		if len(open) == 0 {
			break
		}
		v, err := arg.evalRows(ctx, f, in, open)
		if err != nil {
			return nil, err
		}
		if k == len(e.args)-1 || !v.HasNulls() {
			lists, parts, open = append(lists, open), append(parts, v), nil
			break
		}
		var at, rows, rest []int32
		for i, r := range open {
			if v.IsNull(i) {
				rest = append(rest, r)
			} else {
				at, rows = append(at, int32(i)), append(rows, r)
			}
		}
		if len(rows) > 0 {
			lists, parts = append(lists, rows), append(parts, v.Gather(at))
		}
		open = rest
	}
	return scatter(e.t, in.Len, lists, parts), nil
}

// tryEval is null where x fails. Rows that fail are found by halving.
type tryEval struct{ x *expr }

func (e *tryEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	v, err := e.x.eval(ctx, f, in)
	if err == nil || !executionError(err) || ctx.Err() != nil {
		return v, err
	}
	c := newColumn(e.x.t)
	if err := e.halves(ctx, f, in, allRows(in.Len), c); err != nil {
		return nil, err
	}
	return c.vector(), nil
}

func (e *tryEval) halves(ctx context.Context, f *frame, in *vec.Batch, rows []int32, c *column) error {
	v, err := e.x.node.eval(ctx, f, pick(in, e.x.cols, rows))
	switch {
	case err == nil:
		c.append(v)
		return nil
	case !executionError(err) || ctx.Err() != nil:
		return err
	case len(rows) <= 1:
		c.appendNulls(len(rows))
		return nil
	}
	half := len(rows) / 2
	if err := e.halves(ctx, f, in, rows[:half], c); err != nil {
		return err
	}
	return e.halves(ctx, f, in, rows[half:], c)
}

// inEval is X IN (list): null when nothing matches and a null took part.
type inEval struct {
	x    evaluator
	list []evaluator
	set  *valueSet // of a list of constants, else nil
}

func (c *compiler) in(e *plan.In) (evaluator, error) {
	x, err := c.expr(e.X)
	if err != nil {
		return nil, err
	}
	out := &inEval{x: x}
	set := newValueSet(e.X.Type())
	for _, item := range e.List {
		k, ok := item.(*plan.Const)
		if !ok {
			out.list, err = c.exprs(e.List)
			return out, err
		}
		set.addVector(vec.Const(k.Value, 1))
	}
	out.set = set
	return out, nil
}

func (e *inEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	x, err := e.x.eval(ctx, f, in)
	if err != nil {
		return nil, err
	}
	if e.set != nil {
		return byForm(x, func(v *vec.Vector) (*vec.Vector, error) { return e.set.contains(v), nil })
	}
	out, nulls := make([]bool, in.Len), make([]bool, in.Len)
	for _, item := range e.list {
		v, err := item.eval(ctx, f, in)
		if err != nil {
			return nil, err
		}
		for i := range out {
			switch {
			case out[i]:
			case x.IsNull(i) || v.IsNull(i):
				nulls[i] = true
			case sqlEqual(x, i, v, i):
				out[i], nulls[i] = true, false
			}
		}
	}
	return vec.OfBools(out, nulls), nil
}

// sqlEqual is the operator = for values that are not null: NaN equals nothing.
func sqlEqual(a *vec.Vector, i int, b *vec.Vector, j int) bool {
	return vec.Equal(a, i, b, j) && !isNaN(a, i)
}

func isNaN(v *vec.Vector, i int) bool {
	if v.Type.Kind != vec.Double {
		return false
	}
	x := v.Float(i)
	return x != x
}

// valueSet is the right side of an IN.
type valueSet struct {
	t       vec.Type
	table   *groupTable
	hasNull bool
	size    int
}

func newValueSet(t vec.Type) *valueSet {
	return &valueSet{t: t, table: newGroupTable([]vec.Type{t})}
}

// addVector adds the values of v.
func (s *valueSet) addVector(v *vec.Vector) {
	s.size += v.Len()
	rows := make([]int32, 0, v.Len())
	for i := range v.Len() {
		switch {
		case v.IsNull(i):
			s.hasNull = true
		case !isNaN(v, i):
			rows = append(rows, int32(i))
		}
	}
	if len(rows) > 0 {
		s.table.assign([]*vec.Vector{retype(v, s.t).Gather(rows)}, len(rows), nil)
	}
}

// contains is v IN (set), row by row.
func (s *valueSet) contains(v *vec.Vector) *vec.Vector {
	n := v.Len()
	out := make([]bool, n)
	if s.size == 0 {
		return vec.OfBools(out, nil)
	}
	var nulls []bool
	if s.hasNull || v.HasNulls() {
		nulls = make([]bool, n)
	}
	// With a reader of its own: the set may be used concurrently.
	groups := make([]int32, n)
	keys := []*vec.Vector{v}
	groups = s.table.lookupWith(&keyReader{layout: &s.table.layout}, keys, n, groups)
	for i := range out {
		switch {
		case v.IsNull(i):
			nulls[i] = true
		case groups[i] >= 0:
			out[i] = true
		case s.hasNull:
			nulls[i] = true
		}
	}
	return vec.OfBools(out, nulls)
}
