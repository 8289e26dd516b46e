package plan

// semiJoins turns the terms EXISTS (q), NOT EXISTS (q) and correlated x IN (q) of a
// filter into joins, if the outer row is only looked at in q's own WHERE. What stays a
// subquery is run once per distinct set of parameters.
func semiJoins(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		f, ok := n.(*Filter)
		if !ok {
			return n
		}
		var rest []Expr
		in := f.Input
		for _, term := range split(f.Cond) {
			if j := semiJoin(in, term); j != nil {
				in = j
				b.changes++
			} else {
				rest = append(rest, term)
			}
		}
		return filtered(in, rest)
	})
}

// semiJoin returns the join of left that keeps the rows for which term is true, or nil.
func semiJoin(left Node, term Expr) Node {
	kind := SemiJoin
	if not, ok := term.(*Not); ok {
		term, kind = not.X, AntiJoin
	}
	s, ok := term.(*Subquery)
	if !ok || len(s.Params) == 0 || s.Kind != ExistsQuery && (s.Kind != InQuery || kind == AntiJoin) {
		return nil // NOT IN has to tell null from false
	}
	for _, p := range s.Params {
		if hasSubquery(p) {
			return nil
		}
	}
	width := Width(left)
	plan, value := s.Plan, Expr(nil)
	for {
		p, ok := plan.(*Project)
		if !ok {
			break
		}
		if s.Kind == InQuery {
			if value == nil {
				value = p.Exprs[0]
			} else {
				value = replaced(value, p.Exprs)
			}
		}
		plan = p.Input
	}
	var conds []Expr
	for {
		f, ok := plan.(*Filter)
		if !ok {
			break
		}
		conds = append(split(f.Cond), conds...)
		plan = f.Input
	}
	if HasParams(plan) {
		return nil
	}
	// Over the join: the outer row on the left, the subquery's on the right.
	over := func(e Expr) Expr { return overJoin(e, width, s.Params) }
	var inner, on []Expr
	for _, c := range conds {
		if readsParams(c) && (hasSubquery(c) || contains(c, isCorrelatedLambda)) {
			return nil
		}
		if readsParams(c) {
			on = append(on, over(c))
		} else {
			inner = append(inner, c)
		}
	}
	if s.Kind == InQuery {
		if value == nil {
			value = &Column{0, s.X.Type()}
		}
		if hasSubquery(s.X) || hasSubquery(value) {
			return nil
		}
		on = append([]Expr{&Call{s.Op, []Expr{s.X, over(value)}}}, on...)
	}
	return &Join{Kind: kind, Left: left, Right: filtered(plan, inner), Residual: conjunction(on)}
}

// overJoin puts an expression of a subquery over a join: its columns come after the
// width columns of the left side, and its parameters are expressions over that side.
func overJoin(e Expr, width int, params []Expr) Expr {
	switch x := e.(type) {
	case *Column:
		return &Column{width + x.Index, x.T}
	case *Param:
		return params[x.Index]
	}
	return mapOperands(e, func(x Expr) Expr { return overJoin(x, width, params) })
}

// isCorrelatedLambda reports whether e is a lambda whose body reads parameters.
func isCorrelatedLambda(e Expr) bool {
	l, ok := e.(*Lambda)
	return ok && readsParams(l.Body)
}
