package plan

import (
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// pruneColumns drops columns that nobody reads, from the root down to the scans.
func pruneColumns(b *builder, n Node) Node {
	before := columnsRead(n)
	n, _ = prune(n, all(Width(n)))
	b.changes += before - columnsRead(n)
	return n
}

// columnsRead counts the columns that the scans of a tree read and its projections compute.
func columnsRead(n Node) int {
	columns := 0
	switch n := n.(type) {
	case *Scan:
		columns = len(n.Spec.Columns)
	case *Project:
		columns = len(n.Exprs)
	case *Shared:
		return 0
	}
	eachInput(n, func(in Node) { columns += columnsRead(in) })
	return columns
}

// columnMap says where old columns are now: -1 for gone.
type columnMap []int

func (m columnMap) apply(e Expr) Expr {
	if e == nil {
		return nil
	}
	return moved(e, func(i int) int { return m[i] })
}

func (m columnMap) applyAll(list []Expr) {
	for i := range list {
		list[i] = m.apply(list[i])
	}
}

func (m columnMap) applyKeys(keys []SortKey) {
	for i := range keys {
		keys[i].Expr = m.apply(keys[i].Expr)
	}
}

func all(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}

func identity(n int) columnMap {
	m := make(columnMap, n)
	for i := range m {
		m[i] = i
	}
	return m
}

// keep lists the columns that are needed and maps them to their places in that list.
func keep(need []bool) (kept []int, m columnMap) {
	m = make(columnMap, len(need))
	for i, n := range need {
		m[i] = -1
		if n {
			m[i] = len(kept)
			kept = append(kept, i)
		}
	}
	return kept, m
}

// prune returns n with at least the columns that are needed, and where they are.
func prune(n Node, need []bool) (Node, columnMap) {
	switch n := n.(type) {
	case *Scan:
		return n, n.prune(need)
	case *Filter:
		need = append([]bool(nil), need...)
		columnsOf(n.Cond, need)
		in, m := prune(n.Input, need)
		n.Input, n.Cond = in, m.apply(n.Cond)
		return n, m
	case *Project:
		kept, out := keep(need)
		exprs := make([]Expr, len(kept))
		inner := make([]bool, Width(n.Input))
		for k, i := range kept {
			exprs[k] = n.Exprs[i]
			columnsOf(exprs[k], inner)
		}
		in, m := prune(n.Input, inner)
		m.applyAll(exprs)
		n.Input, n.Exprs = in, exprs
		return n, out
	case *Join:
		return n, n.prune(need)
	case *Aggregate:
		return n, n.prune(need)
	case *Window:
		return n, n.prune(need)
	case *Sort:
		in, m := pruneSorted(n.Input, n.Keys, need)
		n.Input = in
		return n, m
	case *TopN:
		in, m := pruneSorted(n.Input, n.Keys, need)
		n.Input = in
		return n, m
	case *Limit:
		in, m := prune(n.Input, need)
		n.Input = in
		return n, m
	case *Unnest:
		return n, n.prune(need)
	case *Distinct:
		n.Input = pruneNone(n.Input)
	case *SetOp:
		for i := range n.Inputs {
			n.Inputs[i] = pruneNone(n.Inputs[i])
		}
	}
	return n, identity(Width(n))
}

// pruneNone prunes below n, all of whose columns are needed where they are.
func pruneNone(n Node) Node {
	width := Width(n)
	n, m := prune(n, all(width))
	for i := range m {
		if m[i] != i || Width(n) != width {
			return placed(n, m)
		}
	}
	return n
}

// placed projects the columns of n to where they were.
func placed(n Node, m columnMap) Node {
	types := n.Types()
	exprs := make([]Expr, len(m))
	for i, at := range m {
		exprs[i] = &Column{at, types[at]}
	}
	return &Project{n, exprs}
}

func pruneSorted(in Node, keys []SortKey, need []bool) (Node, columnMap) {
	need = append([]bool(nil), need...)
	for _, k := range keys {
		columnsOf(k.Expr, need)
	}
	in, m := prune(in, need)
	m.applyKeys(keys)
	return in, m
}

// prune drops columns of a scan; those that only its filters read go behind the output.
func (n *Scan) prune(need []bool) columnMap {
	used := make([]bool, len(n.Spec.Columns))
	for _, f := range n.Filters {
		columnsOf(f.Expr, used)
	}
	kept, out := keep(need)
	inner := make(columnMap, len(used))
	copy(inner, out)
	output := len(kept)
	for i := range used {
		if i < len(need) && need[i] {
			continue
		}
		inner[i] = -1
		if used[i] {
			inner[i] = len(kept)
			kept = append(kept, i)
		}
	}
	old := *n
	n.Output = output
	n.Spec.Columns, n.Cols, n.Roles = make([]string, 0, len(kept)), make([]vec.Type, 0, len(kept)), make([]storage.Role, 0, len(kept))
	for _, i := range kept {
		n.Spec.Columns = append(n.Spec.Columns, old.Spec.Columns[i])
		n.Cols = append(n.Cols, old.Cols[i])
		n.Roles = append(n.Roles, old.Roles[i])
	}
	for i := range n.Filters {
		n.Filters[i].Expr = inner.apply(n.Filters[i].Expr)
	}
	return out
}

// prune drops columns of a join and below it. A chain of joins, each the left side of the next, is
// done in one go: the columns of each are the first columns of the next.
func (n *Join) prune(need []bool) columnMap {
	if n.Kind == SemiJoin || n.Kind == AntiJoin {
		return n.pruneOne(need)
	}
	chain, widths := []*Join{n}, []int{Width(n.Left)}
	for {
		last := chain[len(chain)-1]
		left, ok := last.Left.(*Join)
		if !ok || left.Kind == SemiJoin || left.Kind == AntiJoin {
			break
		}
		chain, widths = append(chain, left), append(widths, widths[len(widths)-1]-Width(left.Right))
	}
	used := append([]bool(nil), need...)
	for i, j := range chain {
		j.mark(used, widths[i])
	}
	last := len(chain) - 1
	left, ml := prune(chain[last].Left, used[:widths[last]])
	chain[last].Left = left
	width := Width(left)
	m := append(make(columnMap, 0, len(need)), ml...)
	for i := last; i >= 0; i-- {
		j, end := chain[i], len(need)
		if i > 0 {
			end = widths[i-1]
		}
		right, mr := prune(j.Right, used[widths[i]:end])
		j.Right = right
		m.applyAll(j.LeftKeys)
		mr.applyAll(j.RightKeys)
		m = m.beside(width, mr)
		width += Width(right)
		j.Residual = m.apply(j.Residual)
	}
	return m
}

// mark marks the columns that the join reads, of its left side, which is width columns wide, and of its
// right one.
func (n *Join) mark(used []bool, width int) {
	if n.Residual != nil {
		columnsOf(n.Residual, used)
	}
	for i := range n.LeftKeys {
		columnsOf(n.LeftKeys[i], used[:width])
		columnsOf(n.RightKeys[i], used[width:])
	}
}

// beside appends the columns of right, which come after width columns.
func (m columnMap) beside(width int, right columnMap) columnMap {
	for _, at := range right {
		if at >= 0 {
			at += width
		}
		m = append(m, at)
	}
	return m
}

// pruneOne prunes a semi join, whose output is its left side.
func (n *Join) pruneOne(need []bool) columnMap {
	width := Width(n.Left)
	used := make([]bool, width+Width(n.Right))
	copy(used, need)
	n.mark(used, width)
	left, ml := prune(n.Left, used[:width])
	right, mr := prune(n.Right, used[width:])
	n.Left, n.Right = left, right
	ml.applyAll(n.LeftKeys)
	mr.applyAll(n.RightKeys)
	m := append(columnMap(nil), ml...).beside(Width(left), mr)
	n.Residual = m.apply(n.Residual)
	return m[:len(need)]
}

func (n *Aggregate) prune(need []bool) columnMap {
	keys := len(n.Keys)
	m := append(make(columnMap, 0, keys+len(n.Aggs)), identity(keys)...)
	aggs := make([]Agg, 0, len(n.Aggs))
	for i, a := range n.Aggs {
		if !need[keys+i] {
			m = append(m, -1)
			continue
		}
		m = append(m, keys+len(aggs))
		aggs = append(aggs, a)
	}
	n.Aggs = aggs
	used := make([]bool, Width(n.Input))
	exprsOf(n, func(e Expr) { columnsOf(e, used) })
	in, inner := prune(n.Input, used)
	n.Input = in
	mapExprs(n, inner.apply)
	return m
}

func (n *Window) prune(need []bool) columnMap {
	width := Width(n.Input)
	var calls []WindowCall
	place := make([]int, len(n.Calls))
	for i, c := range n.Calls {
		place[i] = -1
		if need[width+i] {
			place[i] = len(calls)
			calls = append(calls, c)
		}
	}
	n.Calls = calls
	used := append([]bool(nil), need[:width]...)
	exprsOf(n, func(e Expr) { columnsOf(e, used) })
	in, m := prune(n.Input, used)
	n.Input = in
	mapExprs(n, m.apply)
	m = append(columnMap(nil), m...)
	for _, at := range place {
		if at >= 0 {
			at += Width(in)
		}
		m = append(m, at)
	}
	return m
}

func (n *Unnest) prune(need []bool) columnMap {
	width, total := Width(n.Input), Width(n)
	used := append([]bool(nil), need[:width]...)
	for _, e := range n.Exprs {
		columnsOf(e, used)
	}
	in, m := prune(n.Input, used)
	n.Input = in
	m.applyAll(n.Exprs)
	m = append(columnMap(nil), m...)
	for i := range total - width {
		m = append(m, Width(in)+i)
	}
	return m
}

// mergeProjections makes one projection of two, drops those that change nothing, and
// groups over what is below a projection.
func mergeProjections(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		switch n := n.(type) {
		case *Project:
			if in, ok := n.Input.(*Project); ok && mergeable(n.Exprs, in.Exprs) {
				for i := range n.Exprs {
					n.Exprs[i] = replaced(n.Exprs[i], in.Exprs)
				}
				n.Input = in.Input
				b.changes++
			}
			if isIdentity(n) {
				b.changes++
				return n.Input
			}
		case *Aggregate:
			in, ok := n.Input.(*Project)
			if !ok {
				break
			}
			var reads []Expr
			exprsOf(n, func(e Expr) { reads = append(reads, e) })
			if mergeable(reads, in.Exprs) {
				b.changes++
				mapExprs(n, func(e Expr) Expr { return replaced(e, in.Exprs) })
				n.Input = in.Input
			}
		}
		return n
	})
}

// mergeable reports whether inner may be put into outer: no work is done twice and
// nothing volatile moves.
func mergeable(outer, inner []Expr) bool {
	uses := make([]int, len(inner))
	for _, e := range outer {
		walkExpr(e, func(x Expr) bool {
			if c, ok := x.(*Column); ok {
				uses[c.Index]++
			}
			return true
		})
	}
	for i, e := range inner {
		switch e.(type) {
		case *Column, *Const, *Param:
			continue
		}
		if isVolatile(e) || uses[i] > 1 || uses[i] == 1 && hasSubquery(e) {
			return false
		}
	}
	return true
}

func isIdentity(n *Project) bool {
	if len(n.Exprs) != Width(n.Input) {
		return false
	}
	for i, e := range n.Exprs {
		if c, ok := e.(*Column); !ok || c.Index != i {
			return false
		}
	}
	return true
}
