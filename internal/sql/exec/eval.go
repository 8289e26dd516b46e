package exec

import (
	"context"
	"fmt"
	"slices"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// expr is a compiled expression. It keeps no state between calls (subqueries keep
// theirs in the run), so one that has no subquery may be used concurrently.
type expr struct {
	node   evaluator
	cols   []int // input columns it reads, ascending
	t      vec.Type
	serial bool // has a subquery
}

// evaluator computes one vector of in.Len rows. Only the columns that the expression
// reads need be there in in.
type evaluator interface {
	eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error)
}

func (e *expr) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	return e.node.eval(ctx, f, in)
}

// evalRows evaluates e over the given rows of in only.
func (e *expr) evalRows(ctx context.Context, f *frame, in *vec.Batch, rows []int32) (*vec.Vector, error) {
	return e.node.eval(ctx, f, pick(in, e.cols, rows))
}

// pick gathers rows of the columns cols of in; nil rows are all rows.
func pick(in *vec.Batch, cols []int, rows []int32) *vec.Batch {
	if rows == nil || len(rows) == in.Len {
		return in
	}
	out := &vec.Batch{Len: len(rows), Columns: make([]*vec.Vector, len(in.Columns))}
	for _, c := range cols {
		out.Columns[c] = in.Columns[c].Gather(rows)
	}
	return out
}

// compile prepares e.
func compile(e plan.Expr) (*expr, error) {
	c := &compiler{}
	node, err := c.expr(e)
	if err != nil {
		return nil, err
	}
	slices.Sort(c.cols)
	return &expr{node: node, cols: slices.Compact(c.cols), t: e.Type(), serial: c.serial}, nil
}

func compileAll(exprs []plan.Expr) ([]*expr, error) {
	out := make([]*expr, len(exprs))
	for i, e := range exprs {
		var err error
		if out[i], err = compile(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func evalAll(ctx context.Context, f *frame, exprs []*expr, in *vec.Batch) ([]*vec.Vector, error) {
	out := make([]*vec.Vector, len(exprs))
	for i, e := range exprs {
		var err error
		if out[i], err = e.eval(ctx, f, in); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compiler notes which columns an expression reads, and whether it has a subquery.
type compiler struct {
	cols   []int
	serial bool
}

func (c *compiler) exprs(list []plan.Expr) ([]evaluator, error) {
	out := make([]evaluator, len(list))
	for i, e := range list {
		var err error
		if out[i], err = c.expr(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sub compiles an operand that is evaluated over some rows only.
func (c *compiler) sub(e plan.Expr) (*expr, error) {
	x, err := compile(e)
	if err == nil {
		c.cols = append(c.cols, x.cols...)
		c.serial = c.serial || x.serial
	}
	return x, err
}

func (c *compiler) subs(list []plan.Expr) ([]*expr, error) {
	out := make([]*expr, len(list))
	for i, e := range list {
		var err error
		if out[i], err = c.sub(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *compiler) expr(e plan.Expr) (evaluator, error) {
	switch e := e.(type) {
	case *plan.Const:
		return &constEval{vec.Const(e.Value, 1)}, nil
	case *plan.Column:
		c.cols = append(c.cols, e.Index)
		return columnEval(e.Index), nil
	case *plan.Param:
		return &paramEval{e.Index, e.T}, nil
	case *plan.Call:
		return c.call(e)
	case *plan.Cast:
		return c.cast(e)
	case *plan.And:
		terms, err := c.subs(e.Terms)
		return &logicEval{terms: terms, stop: false}, err
	case *plan.Or:
		terms, err := c.subs(e.Terms)
		return &logicEval{terms: terms, stop: true}, err
	case *plan.Not:
		x, err := c.expr(e.X)
		return &notEval{x}, err
	case *plan.IsNull:
		x, err := c.expr(e.X)
		return &isNullEval{x}, err
	case *plan.Case:
		return c.caseExpr(e)
	case *plan.Coalesce:
		args, err := c.subs(e.Args)
		return &coalesceEval{args, e.Type()}, err
	case *plan.Try:
		x, err := c.sub(e.X)
		return &tryEval{x}, err
	case *plan.In:
		return c.in(e)
	case *plan.Field:
		x, err := c.expr(e.X)
		return &fieldEval{x, e.Index, e.Type()}, err
	case *plan.MakeArray:
		elems, err := c.exprs(e.Elems)
		return &arrayEval{elems, e.T}, err
	case *plan.MakeRow:
		elems, err := c.exprs(e.Elems)
		return &rowEval{elems, e.T}, err
	case *plan.Subquery:
		return c.subquery(e)
	}
	return nil, fmt.Errorf("bug: exec cannot evaluate %T", e)
}

// constEval is a literal: a constant vector of one row, stretched.
type constEval struct{ v *vec.Vector }

func (e *constEval) eval(_ context.Context, _ *frame, in *vec.Batch) (*vec.Vector, error) {
	return e.v.Slice(0, in.Len), nil
}

type columnEval int

func (e columnEval) eval(_ context.Context, _ *frame, in *vec.Batch) (*vec.Vector, error) {
	return in.Columns[e], nil
}

type paramEval struct {
	index int
	t     vec.Type
}

func (e *paramEval) eval(_ context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	if e.index >= len(f.params) {
		return nil, fmt.Errorf("bug: parameter %d of %d", e.index, len(f.params))
	}
	v := f.params[e.index]
	v.Type = e.t
	return vec.Const(v, in.Len), nil
}

// callEval is a function call.
type callEval struct {
	call    *fn.Call
	args    []evaluator // nil where the argument is a lambda
	lambdas []*lambda   // nil without lambdas
}

func (c *compiler) call(e *plan.Call) (evaluator, error) {
	out := &callEval{call: e.Call, args: make([]evaluator, len(e.Args))}
	for i, a := range e.Args {
		var err error
		if l, ok := a.(*plan.Lambda); ok {
			if out.lambdas == nil {
				out.lambdas = make([]*lambda, len(e.Args))
			}
			out.lambdas[i], err = c.lambda(l)
		} else {
			out.args[i], err = c.expr(a)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *callEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	args := make([]*vec.Vector, len(e.args))
	for i, a := range e.args {
		if a == nil {
			continue
		}
		v, err := a.eval(ctx, f, in)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	fc := &fn.Context{Now: f.run.opt.Now, Return: e.call.Return, Args: e.call.Args, Interrupted: ctx.Err}
	if e.lambdas != nil {
		fc.Lambdas = make([]fn.Lambda, len(e.lambdas))
		for i, l := range e.lambdas {
			if l == nil {
				continue
			}
			var err error
			if fc.Lambdas[i], err = l.bind(ctx, f, in); err != nil {
				return nil, err
			}
		}
	}
	return fn.Invoke(e.call, fc, args, in.Len)
}

// lambda is a compiled lambda: its body reads a batch of parameters, then captures.
type lambda struct {
	params   int
	captures []evaluator // over the calling batch
	body     *expr
}

func (c *compiler) lambda(l *plan.Lambda) (*lambda, error) {
	captures, err := c.exprs(l.Captures)
	if err != nil {
		return nil, err
	}
	body, err := compile(l.Body)
	if err != nil {
		return nil, err
	}
	c.serial = c.serial || body.serial
	return &lambda{len(l.Params), captures, body}, nil
}

// bind evaluates the captures over the calling batch and returns the lambda as the
// function calls it.
func (l *lambda) bind(ctx context.Context, f *frame, in *vec.Batch) (fn.Lambda, error) {
	captured := make([]*vec.Vector, len(l.captures))
	for i, e := range l.captures {
		var err error
		if captured[i], err = e.eval(ctx, f, in); err != nil {
			return nil, err
		}
	}
	return func(params []*vec.Vector, capture []int32) (*vec.Vector, error) {
		b := &vec.Batch{Columns: make([]*vec.Vector, 0, l.params+len(captured))}
		b.Columns = append(b.Columns, params...)
		if len(params) > 0 {
			b.Len = params[0].Len()
		} else {
			b.Len = len(capture)
		}
		for _, v := range captured {
			if v.Form != vec.Constant {
				v = v.Gather(capture)
			} else {
				v = v.Slice(0, b.Len)
			}
			b.Columns = append(b.Columns, v)
		}
		return l.body.eval(ctx, f, b)
	}, nil
}

// castEval converts; the kernel keeps constants and dictionaries in form.
type castEval struct {
	x      evaluator
	kernel fn.CastKernel
	to     vec.Type
}

func (c *compiler) cast(e *plan.Cast) (evaluator, error) {
	x, err := c.expr(e.X)
	if err != nil {
		return nil, err
	}
	from := e.X.Type()
	if from.Kind == vec.Unknown || from.Equal(e.To) {
		return &retypeEval{x, e.To}, nil
	}
	kernel, ok := fn.Cast(from, e.To, e.Try)
	if !ok {
		return nil, fmt.Errorf("bug: plan casts %s to %s", from, e.To)
	}
	return &castEval{x, kernel, e.To}, nil
}

func (e *castEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	v, err := e.x.eval(ctx, f, in)
	if err != nil {
		return nil, err
	}
	return e.kernel(&fn.Context{Now: f.run.opt.Now, Return: e.to, Args: []vec.Type{v.Type}}, v)
}

// byForm computes a function of one value: once for a constant, once per distinct
// value for a dictionary no longer than the vector. f gets flat vectors.
func byForm(v *vec.Vector, f func(*vec.Vector) (*vec.Vector, error)) (*vec.Vector, error) {
	switch {
	case v.Form == vec.Constant && v.Len() > 0:
		one, err := f(v.Slice(0, 1).Flat())
		if err != nil {
			return nil, err
		}
		return vec.Const(one.Value(0), v.Len()), nil
	case v.Form == vec.Dictionary && v.Dict.Len() <= v.Len():
		// An entry that no row uses must not fail the query, hence the second try below.
		if dict, err := f(v.Dict); err == nil {
			return vec.OfDict(v.Index, dict.Flat()), nil
		}
	}
	return f(v.Flat())
}

type retypeEval struct {
	x  evaluator
	to vec.Type
}

func (e *retypeEval) eval(ctx context.Context, f *frame, in *vec.Batch) (*vec.Vector, error) {
	v, err := e.x.eval(ctx, f, in)
	if err != nil {
		return nil, err
	}
	return retype(v, e.to), nil
}

// executionError reports whether err is one that TRY turns into null. Functions raise
// fault.Invalid too, for a bad pattern.
func executionError(err error) bool {
	return fault.Is(err, fault.Execution) || fault.Is(err, fault.Invalid)
}
