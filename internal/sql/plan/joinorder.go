package plan

import (
	"math"
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// maxOrdered is how many relations the order of joins is chosen for: the choice takes their square.
const maxOrdered = 64

// orderJoins puts inner joins that stand together in the order that seems to make the fewest rows on the way:
// starting with the pair of relations that do, it joins the relation next that adds least, those without
// a condition last. Relations stay where they are unless that is clearly better, because the estimates are
// rough, and unless no condition can fail: another order evaluates it on other rows.
func orderJoins(b *builder, n Node) Node {
	m := &mover{b: b, spans: map[Expr]columnSpan{}}
	return orderBelow(n, m, estimator{})
}

func orderBelow(n Node, m *mover, e estimator) Node {
	if j, ok := n.(*Join); ok && m.joinable(j) {
		var conds []Expr
		tree := m.joinTree(j, 0, &conds)
		tree.relations(func(leaf *joinTree) { leaf.relation = orderBelow(leaf.relation, m, e) })
		if out := m.reordered(tree, conds, e); out != nil {
			m.b.changes++
			return out
		}
		for _, c := range conds {
			tree.take(c, m.span(c))
		}
		return tree.node()
	}
	if _, ok := n.(*Shared); !ok {
		mapInputs(n, func(in Node) Node { return orderBelow(in, m, e) })
	}
	return n
}

// node makes the nodes of a tree whose conditions stay where they are.
func (t *joinTree) node() Node {
	if t.relation != nil {
		return filtered(t.relation, t.conds)
	}
	return &Join{Kind: InnerJoin, Left: t.left.node(), Right: t.right.node(), Residual: conjunction(t.conds)}
}

// joinGraph is relations and how their conditions connect them.
type joinGraph struct {
	leaves []*joinTree
	rows   []float64 // that each gives
	base   []float64 // that its table has, or what it gives if it is no table
	edges  [][]joinEdge
}

// joinEdge is a condition between a relation and another.
type joinEdge struct {
	to    int
	equal bool
}

// reordered returns the joins of tree in a better order, with the columns where they were, or nil.
func (m *mover) reordered(tree *joinTree, conds []Expr, e estimator) Node {
	g := &joinGraph{}
	tree.relations(func(leaf *joinTree) { g.leaves = append(g.leaves, leaf) })
	n := len(g.leaves)
	if n < 3 || n > maxOrdered {
		return nil
	}
	g.edges = make([][]joinEdge, n)
	for _, leaf := range g.leaves {
		g.rows, g.base = append(g.rows, max(e.rows(leaf.relation), 1)), append(g.base, max(e.base(leaf.relation), 1))
	}
	for _, c := range conds {
		if !total(c) {
			return nil
		}
		if s := m.span(c); s.most >= 0 {
			g.connect(c)
		}
	}
	order := g.order()
	written := make([]int, n)
	for i := range written {
		written[i] = i
	}
	if slices.Equal(order, written) || g.cost(order) > 0.7*g.cost(written) {
		return nil
	}
	return m.inOrder(g, order, conds)
}

// leafOf returns the relation that has a column.
func (g *joinGraph) leafOf(column int) int {
	i, _ := slices.BinarySearchFunc(g.leaves, column, func(leaf *joinTree, column int) int {
		switch {
		case leaf.to <= column:
			return -1
		case leaf.from > column:
			return 1
		}
		return 0
	})
	return i
}

// connect notes condition c.
func (g *joinGraph) connect(c Expr) {
	var of []int
	walkExpr(c, func(x Expr) bool {
		if col, ok := x.(*Column); ok {
			if i := g.leafOf(col.Index); !slices.Contains(of, i) {
				of = append(of, i)
			}
		}
		return true
	})
	if len(of) != 2 {
		return
	}
	call, ok := c.(*Call)
	equal := ok && call.Call.Func.Name == "="
	g.edges[of[0]] = append(g.edges[of[0]], joinEdge{of[1], equal})
	g.edges[of[1]] = append(g.edges[of[1]], joinEdge{of[0], equal})
}

// step estimates the rows of joining relation i to those in have, which are rows many. An equality lets a row
// of the larger table meet the rows of one key of the smaller one, of which its filters leave a part.
func (g *joinGraph) step(have []bool, rows float64, i int) (result float64, connected bool) {
	result = rows * g.rows[i]
	best := result
	for _, e := range g.edges[i] {
		if !have[e.to] {
			continue
		}
		connected = true
		if e.equal {
			best = min(best, result/min(g.base[i], g.base[e.to]))
		} else {
			best = min(best, 0.3*result)
		}
	}
	return max(best, 1), connected
}

// order chooses greedily.
func (g *joinGraph) order() []int {
	n := len(g.leaves)
	first, second, least := -1, -1, math.Inf(1)
	for i := range n {
		have := make([]bool, n)
		have[i] = true
		for k := range n {
			if rows, connected := g.step(have, g.rows[i], k); k != i && connected && (rows < least || rows == least && g.rows[i] < g.rows[first]) {
				first, second, least = i, k, rows
			}
		}
	}
	if first < 0 {
		return nil
	}
	order, have, rows := []int{first, second}, make([]bool, n), least
	have[first], have[second] = true, true
	for len(order) < n {
		next, nextRows, nextConnected := -1, math.Inf(1), false
		for i := range n {
			if have[i] {
				continue
			}
			r, connected := g.step(have, rows, i)
			if next < 0 || connected && !nextConnected || connected == nextConnected && r < nextRows {
				next, nextRows, nextConnected = i, r, connected
			}
		}
		order, have[next], rows = append(order, next), true, nextRows
	}
	return order
}

// cost is the rows made on the way.
func (g *joinGraph) cost(order []int) float64 {
	if len(order) == 0 {
		return math.Inf(1)
	}
	have := make([]bool, len(g.leaves))
	have[order[0]] = true
	rows, sum := g.rows[order[0]], 0.0
	for _, i := range order[1:] {
		rows, _ = g.step(have, rows, i)
		have[i] = true
		sum += rows
	}
	return sum
}

// inOrder joins the relations in that order, one after the other, and puts the columns back.
func (m *mover) inOrder(g *joinGraph, order []int, conds []Expr) Node {
	place := make([]int, g.leaves[len(g.leaves)-1].to) // of columns
	var tree *joinTree
	at := 0
	for _, i := range order {
		old := g.leaves[i]
		leaf := &joinTree{relation: old.relation, from: at, to: at + old.to - old.from}
		for c := old.from; c < old.to; c++ {
			place[c] = at + c - old.from
		}
		at = leaf.to
		if tree == nil {
			tree = leaf
			continue
		}
		tree = &joinTree{left: tree, right: leaf, to: at}
	}
	for _, c := range conds {
		c = moved(c, func(i int) int { return place[i] })
		tree.take(c, m.span(c))
	}
	out := &Project{Input: tree.node()}
	types := out.Input.Types()
	for _, p := range place {
		out.Exprs = append(out.Exprs, &Column{p, types[p]})
	}
	return out
}

// base guesses how many rows the table below n has before its filters.
func (e estimator) base(n Node) float64 {
	for {
		switch x := n.(type) {
		case *Scan:
			return float64(x.Table.Stats().Rows)
		case *Filter:
			n = x.Input
		case *Project:
			n = x.Input
		default:
			return e.rows(n)
		}
	}
}

// total reports whether e cannot fail, whatever it is evaluated on. It may say no where yes is right.
func total(e Expr) bool {
	return !contains(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Column, *Const, *And, *Or, *Not, *IsNull, *In, *Case, *Coalesce, *Param:
			return false
		case *Cast:
			return x.To.Kind != vec.Double && x.To.Kind != vec.Bigint || x.X.Type().Kind != vec.Bigint && x.X.Type().Kind != vec.Integer
		case *Call:
			name := x.Call.Func.Name
			if _, compares := compareOps[name]; compares || totalFunctions[name] {
				return false
			}
			return !arithmetic[name] || x.Call.Return.Kind != vec.Double
		}
		return true
	})
}

var (
	totalFunctions = map[string]bool{
		"is distinct from": true, "upper": true, "lower": true, "length": true, "trim": true, "strpos": true, "starts_with": true,
		"is_nan": true, "is_finite": true, "is_infinite": true,
	}
	arithmetic = map[string]bool{"+": true, "-": true, "*": true, "/": true, "abs": true, "round": true, "floor": true, "ceil": true}
)
