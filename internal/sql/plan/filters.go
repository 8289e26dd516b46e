package plan

import (
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// pushFilters moves the conditions of filters and inner joins as near to the scans as
// they go. A term keeps its place among the terms that go the same way, because an earlier one
// may guard a later one.
func pushFilters(_ *builder, n Node) Node { return push(n, nil) }

// push returns n with conds, over its output, applied as deep as possible.
func push(n Node, conds []Expr) Node {
	switch n := n.(type) {
	case *Filter:
		return push(n.Input, append(split(n.Cond), conds...))
	case *Project:
		down, stay := splitConds(conds, func(c Expr) bool { return movable(c) && cheapIn(c, n.Exprs) })
		for i, c := range down {
			down[i] = replaced(c, n.Exprs)
		}
		n.Input = push(n.Input, down)
		return filtered(n, stay)
	case *Join:
		return pushJoin(n, conds)
	case *Aggregate:
		down, stay := splitConds(conds, func(c Expr) bool {
			return len(n.Keys) > 0 && movable(c) && reads(c, func(i int) bool { return i < len(n.Keys) }) && cheapIn(c, n.Keys)
		})
		for i, c := range down {
			down[i] = replaced(c, n.Keys)
		}
		n.Input = push(n.Input, down)
		return filtered(n, stay)
	case *Window:
		down, stay := splitConds(conds, func(c Expr) bool { return movable(c) && reads(c, n.partitionedBy) })
		n.Input = push(n.Input, down)
		return filtered(n, stay)
	case *Sort:
		n.Input = push(n.Input, conds)
		return n
	case *Distinct:
		down, stay := splitConds(conds, movable)
		n.Input = push(n.Input, down)
		return filtered(n, stay)
	case *SetOp:
		down, stay := splitConds(conds, movable)
		n.Left, n.Right = push(n.Left, append([]Expr(nil), down...)), push(n.Right, append([]Expr(nil), down...))
		return filtered(n, stay)
	case *Unnest:
		width := len(n.Input.Types())
		down, stay := splitConds(conds, func(c Expr) bool { return movable(c) && reads(c, func(i int) bool { return i < width }) })
		n.Input = push(n.Input, down)
		return filtered(n, stay)
	case *Shared:
		return filtered(n, conds)
	}
	mapInputs(n, func(in Node) Node { return push(in, nil) })
	return filtered(n, conds)
}

// partitionedBy reports whether column i is an expression of PARTITION BY: then a condition on
// it keeps or drops whole partitions.
func (n *Window) partitionedBy(i int) bool {
	for _, p := range n.Partition {
		if c, ok := p.(*Column); ok && c.Index == i {
			return true
		}
	}
	return false
}

func filtered(n Node, conds []Expr) Node {
	if len(conds) == 0 {
		return n
	}
	if len(conds) == 1 {
		if v, ok := constOf(conds[0]); ok && !v.Null && v.Bool {
			return n
		}
	}
	return &Filter{n, conjunction(conds)}
}

// splitConds parts conds into those that may go down and the others. Behind a volatile
// term everything stays.
func splitConds(conds []Expr, goes func(Expr) bool) (down, stay []Expr) {
	for _, c := range conds {
		if goes(c) {
			down = append(down, c)
		} else {
			stay = append(stay, c)
		}
	}
	return down, stay
}

// movable reports whether a condition gives the same wherever it is evaluated.
func movable(c Expr) bool { return !isVolatile(c) }

// cheapIn reports whether the expressions that c reads may be computed a second time.
func cheapIn(c Expr, exprs []Expr) bool {
	return reads(c, func(i int) bool { return !isVolatile(exprs[i]) && !hasSubquery(exprs[i]) })
}

// pushJoin spreads conds, and the join's own condition, over a join and its inputs.
func pushJoin(n *Join, conds []Expr) Node {
	width := len(n.Left.Types())
	left := func(c Expr) bool { return movable(c) && reads(c, func(i int) bool { return i < width }) }
	right := func(c Expr) bool { return movable(c) && reads(c, func(i int) bool { return i >= width }) }
	shift := func(c Expr) Expr { return moved(c, func(i int) int { return i - width }) }
	n.Kind = simplified(n.Kind, conds, width)
	on := split(n.Residual)
	var toLeft, toRight, stay []Expr
	if n.Kind == InnerJoin {
		on, conds = append(on, conds...), nil
	}
	// Conditions above the join.
	for _, c := range conds {
		switch {
		case left(c) && (n.Kind == LeftJoin || n.Kind == SemiJoin || n.Kind == AntiJoin):
			toLeft = append(toLeft, c)
		case right(c) && n.Kind == RightJoin:
			toRight = append(toRight, shift(c))
		default:
			stay = append(stay, c)
		}
	}
	// Conditions of the join: the side that is kept whole must not lose rows by them.
	var residual []Expr
	for _, c := range on {
		constant := reads(c, func(int) bool { return false })
		switch {
		case left(c) && !constant && (n.Kind == InnerJoin || n.Kind == RightJoin || n.Kind == SemiJoin):
			toLeft = append(toLeft, c)
		case right(c) && !constant && (n.Kind == InnerJoin || n.Kind == LeftJoin || n.Kind == SemiJoin || n.Kind == AntiJoin):
			toRight = append(toRight, shift(c))
		default:
			if v, ok := constOf(c); !ok || v.Null || !v.Bool {
				residual = append(residual, c)
			}
		}
	}
	n.Residual = conjunction(residual)
	toLeft, toRight = n.implied(toLeft, toRight, width)
	n.Left, n.Right = push(n.Left, toLeft), push(n.Right, toRight)
	return filtered(n, stay)
}

// implied adds to the conditions of each side those that follow from an equality of the join
// and a condition on the other side: with a.time = b.time and a.time > x, b.time > x. A side
// that is kept whole gets none.
func (n *Join) implied(left, right []Expr, width int) ([]Expr, []Expr) {
	intoLeft := n.Kind == InnerJoin || n.Kind == RightJoin || n.Kind == SemiJoin
	intoRight := n.Kind == InnerJoin || n.Kind == LeftJoin || n.Kind == SemiJoin || n.Kind == AntiJoin
	ownLeft, ownRight := len(left), len(right)
	for _, c := range split(n.Residual) {
		l, r, ok := equality(c, width)
		if !ok || l.Type().Kind == vec.Double { // 0.0 = -0.0, which other functions tell apart
			continue
		}
		lc, lok := l.(*Column)
		rc, rok := r.(*Column)
		if !lok || !rok {
			continue
		}
		if intoRight {
			right = append(right, follows(left[:ownLeft], lc.Index, rc.Index-width, right)...)
		}
		if intoLeft {
			left = append(left, follows(right[:ownRight], rc.Index-width, lc.Index, left)...)
		}
	}
	return left, right
}

// harmless reports whether e cannot fail, whatever it is evaluated on: comparisons and
// logic over columns and constants.
func harmless(e Expr) bool {
	return !contains(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Column, *Const, *And, *Or, *Not, *IsNull, *In:
			return false
		case *Call:
			_, compares := compareOps[x.Call.Func.Name]
			return !compares && x.Call.Func.Name != "is distinct from"
		}
		return true
	})
}

// follows returns the harmless conditions that read only column from, put on column to, without
// those in have.
func follows(conds []Expr, from, to int, have []Expr) []Expr {
	var out []Expr
	for _, c := range conds {
		if !harmless(c) || !readsSome(c, func(i int) bool { return i == from }) || !reads(c, func(i int) bool { return i == from }) {
			continue
		}
		c = moved(c, func(int) int { return to })
		if !slices.ContainsFunc(have, func(h Expr) bool { return Same(h, c) }) {
			out = append(out, c)
		}
	}
	return out
}

// simplified turns an outer join into a narrower one where a condition above it is
// not true for the rows that the outer join makes up.
func simplified(kind JoinKind, conds []Expr, width int) JoinKind {
	rejects := func(ofLeft bool) bool {
		for _, c := range conds {
			if rejectsNull(c, func(i int) bool { return (i < width) == ofLeft }) {
				return true
			}
		}
		return false
	}
	switch kind {
	case LeftJoin:
		if rejects(false) {
			return InnerJoin
		}
	case RightJoin:
		if rejects(true) {
			return InnerJoin
		}
	case FullJoin:
		switch l, r := rejects(true), rejects(false); {
		case l && r:
			return InnerJoin
		case l:
			return LeftJoin
		case r:
			return RightJoin
		}
	}
	return kind
}

// rejectsNull reports whether c is not true when the columns that satisfy of are all
// null. It may say no where yes is right.
func rejectsNull(c Expr, of func(int) bool) bool {
	switch c := c.(type) {
	case *Call:
		if c.Call.Func.CalledOnNull || c.Call.Func.Volatile {
			return false
		}
		for _, a := range c.Args {
			if nullOnNull(a, of) {
				return true
			}
		}
	case *Not:
		if n, ok := c.X.(*IsNull); ok {
			return nullOnNull(n.X, of)
		}
		return nullOnNull(c.X, of)
	case *In:
		return nullOnNull(c.X, of)
	case *Or:
		for _, t := range c.Terms {
			if !rejectsNull(t, of) {
				return false
			}
		}
		return true
	case *And:
		for _, t := range c.Terms {
			if rejectsNull(t, of) {
				return true
			}
		}
	}
	return nullOnNull(c, of)
}

// nullOnNull reports whether e is null when the columns that satisfy of are.
func nullOnNull(e Expr, of func(int) bool) bool {
	switch e := e.(type) {
	case *Column:
		return of(e.Index)
	case *Cast:
		return nullOnNull(e.X, of)
	case *Call:
		if e.Call.Func.CalledOnNull {
			return false
		}
		for _, a := range e.Args {
			if nullOnNull(a, of) {
				return true
			}
		}
	}
	return false
}

// joinKeys turns equalities between the sides of a join into hash keys.
func joinKeys(_ *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		j, ok := n.(*Join)
		if !ok || j.Residual == nil {
			return n
		}
		width := len(j.Left.Types())
		var rest []Expr
		for _, c := range split(j.Residual) {
			l, r, ok := equality(c, width)
			if !ok {
				rest = append(rest, c)
				continue
			}
			j.LeftKeys = append(j.LeftKeys, l)
			j.RightKeys = append(j.RightKeys, moved(r, func(i int) int { return i - width }))
		}
		j.Residual = conjunction(rest)
		return j
	})
}

// equality returns the sides of an equality between an expression over the left
// columns, those before width, and one over the right ones.
func equality(c Expr, width int) (left, right Expr, ok bool) {
	call, isCall := c.(*Call)
	if !isCall || call.Call.Func.Name != "=" || isVolatile(c) || hasSubquery(c) {
		return nil, nil, false
	}
	l, r := call.Args[0], call.Args[1]
	if nested(l.Type()) || !l.Type().Equal(r.Type()) {
		return nil, nil, false // = of nested values with nulls inside is not identity
	}
	isLeft := func(i int) bool { return i < width }
	isRight := func(i int) bool { return i >= width }
	none := func(int) bool { return false }
	switch {
	case reads(l, none) || reads(r, none):
		return nil, nil, false
	case reads(l, isLeft) && reads(r, isRight):
		return l, r, true
	case reads(r, isLeft) && reads(l, isRight):
		return r, l, true
	}
	return nil, nil, false
}

func nested(t vec.Type) bool { return t.Kind.Storage() == vec.StoreNested }
