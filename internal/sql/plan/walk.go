package plan

// Inputs returns the nodes that n reads, left to right. Plans of subqueries are
// not among them.
func Inputs(n Node) []Node {
	switch n := n.(type) {
	case *Filter:
		return []Node{n.Input}
	case *Project:
		return []Node{n.Input}
	case *Join:
		return []Node{n.Left, n.Right}
	case *Aggregate:
		return []Node{n.Input}
	case *Window:
		return []Node{n.Input}
	case *Sort:
		return []Node{n.Input}
	case *TopN:
		return []Node{n.Input}
	case *Limit:
		return []Node{n.Input}
	case *Distinct:
		return []Node{n.Input}
	case *SetOp:
		return n.Inputs
	case *Unnest:
		return []Node{n.Input}
	case *TimeSlices:
		return []Node{n.Input}
	case *Shared:
		return []Node{n.Input}
	}
	return nil
}

// Single reports whether a plan reads at most one table and does nothing whose work could be many times what it reads: no
// join, set operation, window, unnested list or subquery.
func Single(root Node) bool {
	for n := root; ; n = Inputs(n)[0] {
		nested := false
		exprsOf(n, func(e Expr) {
			walkExpr(e, func(x Expr) bool {
				_, subquery := x.(*Subquery)
				nested = nested || subquery
				return !nested
			})
		})
		if nested {
			return false
		}
		switch n.(type) {
		case *Scan, *Values:
			return true
		case *Filter, *Project, *Aggregate, *Sort, *TopN, *TimeSlices, *Limit, *Distinct:
		default:
			return false
		}
	}
}

// EachScan calls visit once for every scan of a plan, those of subqueries in expressions too.
func EachScan(root Node, visit func(*Scan)) {
	seen := map[Node]bool{} // a shared subplan is reached on many ways
	var walk func(n Node)
	walk = func(n Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if scan, ok := n.(*Scan); ok {
			visit(scan)
		}
		exprsOf(n, func(e Expr) {
			walkExpr(e, func(x Expr) bool {
				if s, ok := x.(*Subquery); ok {
					walk(s.Plan)
				}
				return true
			})
		})
		for _, in := range Inputs(n) {
			walk(in)
		}
	}
	walk(root)
}

// eachInput calls f for each of Inputs.
func eachInput(n Node, f func(Node)) {
	mapInputs(n, func(in Node) Node { f(in); return in })
}

// mapInputs replaces the inputs of n, which the caller owns, by what f makes of them.
func mapInputs(n Node, f func(Node) Node) {
	switch n := n.(type) {
	case *Filter:
		n.Input = f(n.Input)
	case *Project:
		n.Input = f(n.Input)
	case *Join:
		n.Left, n.Right = f(n.Left), f(n.Right)
	case *Aggregate:
		n.Input = f(n.Input)
	case *Window:
		n.Input = f(n.Input)
	case *Sort:
		n.Input = f(n.Input)
	case *TopN:
		n.Input = f(n.Input)
	case *Limit:
		n.Input = f(n.Input)
	case *Distinct:
		n.Input = f(n.Input)
	case *SetOp:
		for i := range n.Inputs {
			n.Inputs[i] = f(n.Inputs[i])
		}
	case *Unnest:
		n.Input = f(n.Input)
	case *TimeSlices:
		n.Input = f(n.Input)
	case *Shared:
		n.Input = f(n.Input)
	}
}

// mapExprs replaces each expression of n itself by what f makes of it. Nil stays nil.
func mapExprs(n Node, f func(Expr) Expr) {
	one := func(e *Expr) {
		if *e != nil {
			*e = f(*e)
		}
	}
	list := func(es []Expr) {
		for i := range es {
			one(&es[i])
		}
	}
	keys := func(ks []SortKey) {
		for i := range ks {
			one(&ks[i].Expr)
		}
	}
	switch n := n.(type) {
	case *Scan:
		for i := range n.Filters {
			one(&n.Filters[i].Expr)
		}
	case *Values:
		for _, row := range n.Rows {
			list(row)
		}
	case *Filter:
		one(&n.Cond)
	case *Project:
		list(n.Exprs)
	case *Join:
		list(n.LeftKeys)
		list(n.RightKeys)
		one(&n.Residual)
	case *Aggregate:
		list(n.Keys)
		for i := range n.Aggs {
			list(n.Aggs[i].Args)
			one(&n.Aggs[i].Filter)
			keys(n.Aggs[i].Order)
		}
	case *Window:
		list(n.Partition)
		keys(n.Order)
		for i := range n.Calls {
			list(n.Calls[i].Args)
			one(&n.Calls[i].Filter)
			one(&n.Calls[i].Frame.Start.Offset)
			one(&n.Calls[i].Frame.End.Offset)
		}
	case *Sort:
		keys(n.Keys)
	case *TopN:
		keys(n.Keys)
	case *Unnest:
		list(n.Exprs)
	}
}

// exprsOf calls visit for each expression of n itself.
func exprsOf(n Node, visit func(Expr)) {
	mapExprs(n, func(e Expr) Expr { visit(e); return e })
}

// operands calls visit for each direct operand of e. Of a [Subquery] these are its
// parameters and left side, not its plan; of a [Lambda] its captures, not its body, which
// reads another input.
func operands(e Expr, visit func(Expr)) {
	mapOperands(e, func(x Expr) Expr { visit(x); return x })
}

// walkExpr calls visit for e and, where it returns true, for what is below.
func walkExpr(e Expr, visit func(Expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	operands(e, func(x Expr) { walkExpr(x, visit) })
}

// mapOperands returns e with each direct operand replaced by what f makes of it: e
// itself when nothing changed, else a copy.
func mapOperands(e Expr, f func(Expr) Expr) Expr {
	changed := false
	one := func(x Expr) Expr {
		if x == nil {
			return nil
		}
		y := f(x)
		changed = changed || y != x
		return y
	}
	list := func(xs []Expr) []Expr {
		var out []Expr
		for i, x := range xs {
			y := one(x)
			if y != x && out == nil {
				out = append([]Expr(nil), xs...)
			}
			if out != nil {
				out[i] = y
			}
		}
		if out == nil {
			return xs
		}
		return out
	}
	pick := func(same, other Expr) Expr {
		if changed {
			return other
		}
		return same
	}
	switch e := e.(type) {
	case *Call:
		args := list(e.Args)
		if changed {
			return &Call{e.Call, args}
		}
	case *Cast:
		x := one(e.X)
		if changed {
			return &Cast{x, e.To, e.Try}
		}
	case *And:
		terms := list(e.Terms)
		if changed {
			return &And{terms}
		}
	case *Or:
		terms := list(e.Terms)
		if changed {
			return &Or{terms}
		}
	case *Not:
		x := one(e.X)
		if changed {
			return &Not{x}
		}
	case *IsNull:
		x := one(e.X)
		if changed {
			return &IsNull{x}
		}
	case *Case:
		whens := make([]When, len(e.Whens))
		for i, w := range e.Whens {
			whens[i] = When{one(w.Cond), one(w.Then)}
		}
		otherwise := one(e.Else)
		if changed {
			return &Case{whens, otherwise, e.T}
		}
	case *Coalesce:
		args := list(e.Args)
		if changed {
			return &Coalesce{args}
		}
	case *Try:
		x := one(e.X)
		if changed {
			return &Try{x}
		}
	case *In:
		x, items := one(e.X), list(e.List)
		if changed {
			return &In{x, items}
		}
	case *Field:
		x := one(e.X)
		if changed {
			return &Field{x, e.Index}
		}
	case *MakeArray:
		elems := list(e.Elems)
		if changed {
			return &MakeArray{elems, e.T}
		}
	case *MakeRow:
		elems := list(e.Elems)
		if changed {
			return &MakeRow{elems, e.T}
		}
	case *Lambda:
		captures := list(e.Captures)
		if changed {
			return &Lambda{e.Params, captures, e.Body}
		}
	case *Subquery:
		params, x := list(e.Params), one(e.X)
		c := *e
		c.Params, c.X = params, x
		return pick(e, &c)
	}
	return e
}

// rewrite returns e with f applied to every part, operands first.
func rewrite(e Expr, f func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	return f(mapOperands(e, func(x Expr) Expr { return rewrite(x, f) }))
}

// HasParams reports whether n or a node below it reads the parameters of the
// subquery that n is part of.
func HasParams(n Node) bool { return hasParams(n, map[*Shared]bool{}) }

// hasParams passes over shared subplans that it has seen.
func hasParams(n Node, seen map[*Shared]bool) bool {
	if s, ok := n.(*Shared); ok {
		if seen[s] {
			return false
		}
		seen[s] = true
	}
	found := false
	exprsOf(n, func(e Expr) { found = found || readsParams(e) })
	for _, in := range Inputs(n) {
		found = found || hasParams(in, seen)
	}
	return found
}

func readsParams(e Expr) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		_, ok := x.(*Param)
		if l, isLambda := x.(*Lambda); isLambda {
			ok = readsParams(l.Body)
		}
		found = found || ok
		return !found
	})
	return found
}
