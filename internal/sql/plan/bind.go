package plan

import "github.com/weir-db/weir/internal/vec"

// Bind returns the plan of a correlated subquery with values for its parameters, so that
// conditions on them reach the scans. n itself stays as it is, and is returned where it
// cannot be bound: then the values have to be passed when it runs.
func (q *Query) Bind(n Node, params []vec.Value) Node {
	if q.b == nil || !bindable(n) {
		return n
	}
	b := &builder{env: q.b.env} // of this call: subqueries may run side by side
	n = clone(n)
	transform(n, func(n Node) Node {
		mapExprs(n, func(e Expr) Expr { return bindExpr(e, params) })
		return n
	})
	for _, r := range Rules {
		switch r.Name {
		case "constant-folding", "scan-filters", "push-aggregation", "push-limit":
			if !q.b.env.Disabled[r.Name] {
				n = r.run(b, n)
			}
		}
	}
	return n
}

// bindable reports whether no subquery or shared subplan below n reads n's parameters:
// their answers are remembered by what they are, which binding would change.
func bindable(n Node) bool {
	if _, ok := n.(*Shared); ok {
		return !HasParams(n)
	}
	ok := true
	exprsOf(n, func(e Expr) {
		ok = ok && !contains(e, func(x Expr) bool {
			s, isSubquery := x.(*Subquery)
			return isSubquery && readsParams(s)
		})
	})
	for _, in := range Inputs(n) {
		ok = ok && bindable(in)
	}
	return ok
}

func bindExpr(e Expr, params []vec.Value) Expr {
	return rewrite(e, func(x Expr) Expr {
		switch x := x.(type) {
		case *Param:
			v := params[x.Index]
			v.Type = x.T
			return &Const{v}
		case *Lambda:
			return &Lambda{x.Params, x.Captures, bindExpr(x.Body, params)}
		}
		return x
	})
}
