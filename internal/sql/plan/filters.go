package plan

import (
	"math"
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// pushFilters moves the conditions of filters and inner joins as near to the scans as
// they go. A term keeps its place among the terms that go the same way, because an earlier one
// may guard a later one.
func pushFilters(b *builder, n Node) Node {
	m := &mover{b: b, spans: map[Expr]columnSpan{}}
	return m.push(n, nil)
}

// mover moves conditions. It remembers what they read: a condition may pass many joins.
type mover struct {
	b     *builder
	spans map[Expr]columnSpan
}

// columnSpan is the range of columns that a condition reads, least to most; most < least for none.
type columnSpan struct {
	least, most int
	movable     bool
}

func (m *mover) span(c Expr) columnSpan {
	if s, ok := m.spans[c]; ok {
		return s
	}
	s := columnSpan{least: math.MaxInt, most: -1, movable: movable(c)}
	walkExpr(c, func(x Expr) bool {
		if c, ok := x.(*Column); ok {
			s.least, s.most = min(s.least, c.Index), max(s.most, c.Index)
		}
		return true
	})
	m.spans[c] = s
	return s
}

// push returns n with conds, over its output, applied as deep as possible.
func (m *mover) push(n Node, conds []Expr) Node {
	switch n := n.(type) {
	case *Filter:
		return m.push(n.Input, append(split(n.Cond), conds...))
	case *Project:
		down, stay := splitConds(conds, func(c Expr) bool { return movable(c) && cheapIn(c, n.Exprs) })
		for i, c := range down {
			down[i] = replaced(c, n.Exprs)
		}
		m.below(down)
		n.Input = m.push(n.Input, down)
		return filtered(n, stay)
	case *Join:
		return m.pushJoin(n, conds)
	case *Aggregate:
		down, stay := splitConds(conds, func(c Expr) bool {
			return len(n.Keys) > 0 && movable(c) && reads(c, func(i int) bool { return i < len(n.Keys) }) && cheapIn(c, n.Keys)
		})
		for i, c := range down {
			down[i] = replaced(c, n.Keys)
		}
		m.below(down)
		n.Input = m.push(n.Input, down)
		return filtered(n, stay)
	case *Window:
		down, stay := splitConds(conds, func(c Expr) bool { return movable(c) && reads(c, n.partitionedBy) })
		m.below(down)
		n.Input = m.push(n.Input, down)
		return filtered(n, stay)
	case *Sort:
		m.below(conds)
		n.Input = m.push(n.Input, conds)
		return n
	case *Distinct:
		down, stay := splitConds(conds, movable)
		m.below(down)
		n.Input = m.push(n.Input, down)
		return filtered(n, stay)
	case *SetOp:
		down, stay := splitConds(conds, movable)
		m.below(down)
		for i := range n.Inputs {
			n.Inputs[i] = m.push(n.Inputs[i], append([]Expr(nil), down...))
		}
		return filtered(n, stay)
	case *Unnest:
		width := Width(n.Input)
		down, stay := splitConds(conds, func(c Expr) bool { return movable(c) && reads(c, func(i int) bool { return i < width }) })
		m.below(down)
		n.Input = m.push(n.Input, down)
		return filtered(n, stay)
	case *Shared:
		return filtered(n, conds)
	}
	mapInputs(n, func(in Node) Node { return m.push(in, nil) })
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

// below counts conditions that went below a node.
func (m *mover) below(conds []Expr) { m.b.changes += len(conds) }

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
func (m *mover) pushJoin(n *Join, conds []Expr) Node {
	if m.joinable(n) {
		return m.pushInner(n, conds)
	}
	width := Width(n.Left)
	left := func(c Expr) bool { s := m.span(c); return s.movable && s.most < width }
	right := func(c Expr) bool { s := m.span(c); return s.movable && s.least >= width }
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
		constant := m.span(c).most < 0
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
	m.below(toLeft)
	m.below(toRight)
	n.Left, n.Right = m.push(n.Left, toLeft), m.push(n.Right, toRight)
	return filtered(n, stay)
}

// joinable reports whether the inner join n may be put together with those around it: nothing
// in its condition depends on how often it is evaluated.
func (m *mover) joinable(n *Join) bool {
	if n.Kind != InnerJoin || len(n.LeftKeys) > 0 {
		return false
	}
	for _, c := range split(n.Residual) {
		if !m.span(c).movable {
			return false
		}
	}
	return true
}

// pushInner spreads the conditions of inner joins that stand together, and those above them: each to
// the smallest join, or the one relation, that has its columns.
func (m *mover) pushInner(n *Join, conds []Expr) Node {
	var all []Expr
	tree := m.joinTree(n, 0, &all)
	down, stay := splitConds(conds, func(c Expr) bool { return m.span(c).movable })
	all = append(all, down...)
	for _, c := range all {
		tree.take(c, m.span(c))
	}
	tree.imply(m)
	return filtered(m.pushTree(tree), stay)
}

// joinTree is inner joins that stand together. Columns are counted over all of them.
type joinTree struct {
	relation    Node // of a leaf
	left, right *joinTree
	from, to    int    // its columns, to not included
	conds       []Expr // over its own columns
}

// joinTree returns the tree below n, whose first column is from, and appends its conditions to all.
func (m *mover) joinTree(n Node, from int, all *[]Expr) *joinTree {
	var own []Expr
	in := n
	if f, ok := n.(*Filter); ok && m.span(f.Cond).movable {
		own, in = split(f.Cond), f.Input
	}
	j, ok := in.(*Join)
	if !ok || !m.joinable(j) {
		return &joinTree{relation: n, from: from, to: from + Width(n)}
	}
	t := &joinTree{from: from}
	t.left = m.joinTree(j.Left, from, all)
	t.right = m.joinTree(j.Right, t.left.to, all)
	t.to = t.right.to
	for _, c := range append(split(j.Residual), own...) {
		*all = append(*all, shifted(c, from))
	}
	return t
}

// shifted returns c with its columns by further on.
func shifted(c Expr, by int) Expr {
	if by == 0 {
		return c
	}
	return moved(c, func(i int) int { return i + by })
}

// take gives condition c, which reads the columns s, to the smallest tree that has them. One that
// is never true goes to all relations.
func (t *joinTree) take(c Expr, s columnSpan) {
	if v, ok := constOf(c); ok {
		if v.Null || !v.Bool {
			t.relations(func(leaf *joinTree) { leaf.conds = append(leaf.conds, c) })
		}
		return
	}
	t = t.holder(s)
	t.conds = append(t.conds, shifted(c, -t.from))
}

// holder is the smallest tree that has the columns s; without any it is t.
func (t *joinTree) holder(s columnSpan) *joinTree {
	for t.relation == nil && s.most >= 0 {
		switch {
		case s.most < t.left.to:
			t = t.left
		case s.least >= t.right.from:
			t = t.right
		default:
			return t
		}
	}
	return t
}

// relations calls f for each leaf, left to right.
func (t *joinTree) relations(f func(*joinTree)) {
	if t.relation != nil {
		f(t)
		return
	}
	t.left.relations(f)
	t.right.relations(f)
}

// joins calls f for each join, inner ones first.
func (t *joinTree) joins(f func(*joinTree)) {
	if t.relation == nil {
		t.left.joins(f)
		t.right.joins(f)
		f(t)
	}
}

// imply adds conditions that follow from equalities and a condition on one of the columns that are
// equal: with a.time = b.time and a.time > x, b.time > x.
func (t *joinTree) imply(m *mover) {
	equal := map[int]int{} // column -> another column it equals, nearer to the first of all
	first := func(i int) int {
		for {
			next, ok := equal[i]
			if !ok {
				return i
			}
			i = next
		}
	}
	var members []int
	known := map[int]bool{}
	note := func(i int) {
		if !known[i] {
			known[i] = true
			members = append(members, i)
		}
	}
	t.joins(func(j *joinTree) {
		for _, c := range j.conds {
			l, r, ok := equality(c, j.left.to-j.from)
			if !ok || l.Type().Kind == vec.Double { // 0.0 = -0.0, which other functions tell apart
				continue
			}
			lc, lok := l.(*Column)
			rc, rok := r.(*Column)
			if lok && rok {
				a, b := first(lc.Index+j.from), first(rc.Index+j.from)
				if a != b {
					equal[max(a, b)] = min(a, b)
				}
				note(lc.Index + j.from)
				note(rc.Index + j.from)
			}
		}
	})
	if len(members) == 0 {
		return
	}
	classes := map[int][]int{}
	for _, i := range members {
		classes[first(i)] = append(classes[first(i)], i)
	}
	budget := 64 + 8*len(members) // a condition on each of many relations says little new
	var found []Expr
	t.relations(func(leaf *joinTree) {
		for _, c := range leaf.conds {
			if s := m.span(c); s.least == s.most && harmless(c) {
				found = append(found, shifted(c, leaf.from))
			}
		}
	})
	for _, c := range found {
		at := m.span(c).least
		for _, to := range classes[first(at)] {
			if budget == 0 {
				return
			}
			if to == at {
				continue
			}
			budget--
			leaf := t.holder(columnSpan{least: to, most: to})
			implied := moved(c, func(int) int { return to - leaf.from })
			if !slices.ContainsFunc(leaf.conds, func(have Expr) bool { return Same(have, implied) }) {
				leaf.conds = append(leaf.conds, implied)
			}
		}
	}
}

// pushTree makes the nodes of a tree.
func (m *mover) pushTree(t *joinTree) Node {
	if t.relation != nil {
		m.below(t.conds)
		return m.push(t.relation, t.conds)
	}
	return &Join{Kind: InnerJoin, Left: m.pushTree(t.left), Right: m.pushTree(t.right), Residual: conjunction(t.conds)}
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
func joinKeys(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		j, ok := n.(*Join)
		if !ok || j.Residual == nil {
			return n
		}
		width := Width(j.Left)
		var rest []Expr
		for _, c := range split(j.Residual) {
			l, r, ok := equality(c, width)
			if !ok {
				rest = append(rest, c)
				continue
			}
			b.changes++
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
