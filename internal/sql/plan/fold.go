package plan

import (
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/vec"
)

// foldConstants computes what depends on no row. What fails is left to the
// execution, which may never reach it.
func foldConstants(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		mapExprs(n, func(e Expr) Expr {
			out := b.fold(e)
			if out != e {
				b.changes++
			}
			return out
		})
		return n
	})
}

func (b *builder) fold(e Expr) Expr { return rewrite(e, b.foldOne) }

func (b *builder) foldOne(e Expr) Expr {
	switch e := e.(type) {
	case *Call:
		if v, ok := b.foldCall(e); ok {
			return &Const{v}
		}
	case *Cast:
		if k, ok := e.X.(*Const); ok {
			if v, ok := b.castConst(k.Value, e.To); ok {
				return &Const{v}
			}
			if e.Try {
				return &Const{vec.Null(e.To)}
			}
		}
	case *And:
		return foldLogic(e.Terms, false)
	case *Or:
		return foldLogic(e.Terms, true)
	case *Not:
		if v, ok := constOf(e.X); ok {
			v.Bool, v.Type = !v.Bool, vec.BooleanType
			return &Const{v}
		}
	case *IsNull:
		if v, ok := constOf(e.X); ok {
			return &Const{vec.Bool(v.Null)}
		}
	case *Case:
		return foldCase(e)
	case *Coalesce:
		return foldCoalesce(e)
	case *Try:
		if _, ok := e.X.(*Const); ok {
			return e.X
		}
	case *MakeArray:
		if list, ok := constsOf(e.Elems); ok {
			return &Const{vec.Value{Type: e.T, List: list}}
		}
	case *MakeRow:
		if list, ok := constsOf(e.Elems); ok {
			return &Const{vec.Value{Type: e.T, List: list}}
		}
	case *Lambda:
		return &Lambda{e.Params, e.Captures, b.fold(e.Body)}
	}
	return e
}

func constOf(e Expr) (vec.Value, bool) {
	if k, ok := e.(*Const); ok {
		return k.Value, true
	}
	return vec.Value{}, false
}

func constsOf(exprs []Expr) ([]vec.Value, bool) {
	out := make([]vec.Value, len(exprs))
	for i, e := range exprs {
		v, ok := constOf(e)
		if !ok {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

func (b *builder) foldCall(e *Call) (vec.Value, bool) {
	if e.Call.Func.Volatile {
		return vec.Value{}, false
	}
	constant := true
	for _, a := range e.Args {
		v, ok := constOf(a)
		if ok && v.Null && !e.Call.Func.CalledOnNull {
			return vec.Null(e.Call.Return), true
		}
		constant = constant && ok
	}
	if !constant {
		return vec.Value{}, false
	}
	args := make([]*vec.Vector, len(e.Args))
	for i, a := range e.Args {
		v, _ := constOf(a)
		args[i] = vec.Const(v, 1)
	}
	out, err := fn.Invoke(e.Call, &fn.Context{Now: b.env.Now, Return: e.Call.Return, Args: e.Call.Args}, args, 1)
	if err != nil {
		return vec.Value{}, false
	}
	v := out.Value(0)
	v.Type = e.Call.Return
	return v, true
}

// foldLogic folds AND (stop false) or OR (stop true).
func foldLogic(terms []Expr, stop bool) Expr {
	kept := make([]Expr, 0, len(terms))
	for _, t := range terms {
		v, ok := constOf(t)
		switch {
		case !ok || v.Null:
			kept = append(kept, t)
		case v.Bool == stop:
			return &Const{vec.Bool(stop)}
		}
	}
	switch {
	case len(kept) == 0:
		return &Const{vec.Bool(!stop)}
	case len(kept) == 1:
		return kept[0]
	case stop:
		return &Or{kept}
	}
	return &And{kept}
}

// foldCase drops branches that are never taken, and all behind one that always is.
func foldCase(e *Case) Expr {
	out := &Case{Else: e.Else, T: e.T}
	for _, w := range e.Whens {
		v, ok := constOf(w.Cond)
		if !ok {
			out.Whens = append(out.Whens, w)
		} else if !v.Null && v.Bool {
			out.Else = w.Then
			break
		}
	}
	switch {
	case len(out.Whens) > 0:
		return out
	case out.Else == nil:
		return &Const{vec.Null(e.T)}
	}
	return out.Else
}

func foldCoalesce(e *Coalesce) Expr {
	var args []Expr
	for _, a := range e.Args {
		v, ok := constOf(a)
		if ok && v.Null {
			continue
		}
		args = append(args, a)
		if ok {
			break
		}
	}
	switch len(args) {
	case 0:
		return e.Args[0]
	case 1:
		return args[0]
	}
	return &Coalesce{args}
}
