package plan

// Rule is one step of the optimizer. It works on one tree: shared subplans and the plans
// of subqueries are trees of their own.
type Rule struct {
	Name string
	Text string // what it does
	run  func(*builder, Node) Node
}

// Rules is the optimizer, in the order of its work. No rule changes an answer, so any
// of them can be switched off ([Env.Disabled]).
var Rules = []Rule{
	{"semi-joins", "EXISTS and correlated IN in WHERE become semi and anti joins", semiJoins},
	{"decorrelate", "correlated scalar subqueries and EXISTS elsewhere become outer joins with groups", decorrelate},
	{"constant-folding", "computes what depends on no row", foldConstants},
	{"push-filters", "conditions move towards the scans, and into inner joins", pushFilters},
	{"scan-filters", "time ranges and conditions on one column go into the scan", scanFilters},
	{"join-order", "inner joins that stand together begin with the relations that make few rows", orderJoins},
	{"join-keys", "equalities of a join's condition become hash keys", joinKeys},
	{"prune-columns", "columns that nobody reads are not computed or read", pruneColumns},
	{"merge-projections", "projections of projections become one, or vanish", mergeProjections},
	{"top-n", "ORDER BY with LIMIT keeps only so many rows", topN},
	{"push-aggregation", "grouping by dimensions and time bins is offered to storage", pushAggregation},
	{"push-limit", "LIMIT, and the newest rows, are asked of the scan", pushLimit},
	{"time-slices", "ORDER BY a bin of time with LIMIT reads slices of time until there are rows enough", sliceTime},
	{"scan-order", "rows by dimensions and time are asked of the scan, for sorts and windows", scanOrder},
	{"top-bound", "ORDER BY a measure or time with LIMIT tells the scan which rows cannot be among the first", boundTop},
	{"build-side", "the smaller side of a join is hashed", buildSide},
	{"narrow-scans", "a join's keys that were hashed tell the scan of the other side which series to read", narrowScans},
}

// ShareCTEs is the name of the rule that runs a query of WITH once for all its uses; it
// works on the whole query, before the others.
const ShareCTEs = "share-ctes"

func optimize(q *Query, b *builder) {
	uses := map[*Shared]int{}
	countUses(q.Root, uses)
	o := &optimizer{b: b, uses: uses, share: !b.env.Disabled[ShareCTEs], done: map[Node]Node{}, fired: make([]bool, len(Rules))}
	q.Root = o.tree(o.inline(q.Root))
	if o.shared {
		q.Rules = append(q.Rules, ShareCTEs)
	}
	for i, r := range Rules {
		if o.fired[i] {
			q.Rules = append(q.Rules, r.Name)
		}
	}
}

// optimizer runs the rules over every tree of a query.
type optimizer struct {
	b     *builder
	uses  map[*Shared]int
	share bool
	done  map[Node]Node // subplans by what they were, to what they became

	fired  []bool // per rule: it changed something
	shared bool   // a query of WITH is kept for several uses
}

func (o *optimizer) tree(n Node) Node {
	for i, r := range Rules {
		if !o.b.env.Disabled[r.Name] {
			before := o.b.changes
			n = r.run(o.b, n)
			o.fired[i] = o.fired[i] || o.b.changes > before
		}
	}
	o.below(n)
	return n
}

// below optimizes the trees that n refers to.
func (o *optimizer) below(n Node) {
	if s, ok := n.(*Shared); ok {
		if _, done := o.done[s]; !done {
			o.done[s] = s
			s.Input = o.tree(s.Input)
		}
		return
	}
	mapExprs(n, func(e Expr) Expr {
		return rewrite(e, func(x Expr) Expr {
			if s, ok := x.(*Subquery); ok {
				s.Plan = o.subplan(s.Plan)
			}
			return x
		})
	})
	eachInput(n, o.below)
}

func (o *optimizer) subplan(n Node) Node {
	if out, ok := o.done[n]; ok {
		return out
	}
	out := o.tree(n)
	o.done[n], o.done[out] = out, out
	return out
}

// countUses counts the references to shared subplans, in subqueries too.
func countUses(n Node, uses map[*Shared]int) {
	if s, ok := n.(*Shared); ok {
		if uses[s]++; uses[s] > 1 {
			return
		}
	}
	exprsOf(n, func(e Expr) {
		walkExpr(e, func(x Expr) bool {
			if s, ok := x.(*Subquery); ok {
				countUses(s.Plan, uses)
			}
			return true
		})
	})
	eachInput(n, func(in Node) { countUses(in, uses) })
}

// inline replaces shared subplans that are used once, or that are cheaper to run again
// with the conditions of each use, by their inputs.
func (o *optimizer) inline(n Node) Node {
	if s, ok := n.(*Shared); ok {
		once := o.uses[s] == 1
		if !once && o.share && !cheap(s.Input) {
			o.shared = true
			if _, seen := o.done[s.Input]; !seen {
				o.done[s.Input] = s.Input
				s.Input = o.inline(s.Input)
				o.done[s.Input] = s.Input
			}
			return s
		}
		if once {
			return o.inline(s.Input)
		}
		return o.inline(clone(s.Input))
	}
	mapExprs(n, func(e Expr) Expr {
		return rewrite(e, func(x Expr) Expr {
			s, ok := x.(*Subquery)
			if !ok {
				return x
			}
			c := *s
			c.Plan = o.inline(s.Plan)
			return &c
		})
	})
	mapInputs(n, o.inline)
	return n
}

// cheap reports whether n only reads, filters and projects.
func cheap(n Node) bool {
	switch n := n.(type) {
	case *Scan, *Values:
		return true
	case *Filter:
		return cheap(n.Input) && !hasSubquery(n.Cond)
	case *Project:
		for _, e := range n.Exprs {
			if hasSubquery(e) || isVolatile(e) {
				return false
			}
		}
		return cheap(n.Input)
	}
	return false
}

// transform applies f to every node of a tree, inputs first.
func transform(n Node, f func(Node) Node) Node {
	if _, ok := n.(*Shared); !ok {
		mapInputs(n, func(in Node) Node { return transform(in, f) })
	}
	return f(n)
}

func contains(e Expr, is func(Expr) bool) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		found = found || is(x)
		if l, ok := x.(*Lambda); ok && !found {
			found = contains(l.Body, is)
		}
		return !found
	})
	return found
}

func hasSubquery(e Expr) bool {
	return contains(e, func(x Expr) bool { _, ok := x.(*Subquery); return ok })
}

func isVolatile(e Expr) bool {
	return contains(e, func(x Expr) bool { c, ok := x.(*Call); return ok && c.Call.Func.Volatile })
}

// columnsOf marks the columns that e reads in used, which is long enough.
func columnsOf(e Expr, used []bool) {
	walkExpr(e, func(x Expr) bool {
		if c, ok := x.(*Column); ok {
			used[c.Index] = true
		}
		return true
	})
}

// reads reports whether all columns that e reads satisfy is.
func reads(e Expr, is func(int) bool) bool {
	return !readsSome(e, func(i int) bool { return !is(i) })
}

// readsSome reports whether e reads a column that satisfies is.
func readsSome(e Expr, is func(int) bool) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		c, ok := x.(*Column)
		found = found || ok && is(c.Index)
		return !found
	})
	return found
}

// moved returns e with column i replaced by column to(i).
func moved(e Expr, to func(int) int) Expr {
	return rewrite(e, func(x Expr) Expr {
		if c, ok := x.(*Column); ok {
			if i := to(c.Index); i != c.Index {
				return &Column{i, c.T}
			}
		}
		return x
	})
}

// replaced returns e with column i replaced by exprs[i].
func replaced(e Expr, exprs []Expr) Expr {
	return rewrite(e, func(x Expr) Expr {
		if c, ok := x.(*Column); ok {
			return exprs[c.Index]
		}
		return x
	})
}

// clone copies the nodes of a tree; expressions, which nobody modifies, are shared,
// and so are shared subplans.
func clone(n Node) Node {
	switch old := n.(type) {
	case *Scan:
		c := *old
		c.Filters = append([]Filtered(nil), old.Filters...)
		n = &c
	case *Values:
		c := &Values{T: old.T}
		for _, row := range old.Rows {
			c.Rows = append(c.Rows, append([]Expr(nil), row...))
		}
		n = c
	case *Filter:
		c := *old
		n = &c
	case *Project:
		n = &Project{old.Input, append([]Expr(nil), old.Exprs...)}
	case *Join:
		c := *old
		c.LeftKeys, c.RightKeys = append([]Expr(nil), old.LeftKeys...), append([]Expr(nil), old.RightKeys...)
		n = &c
	case *Aggregate:
		c := *old
		c.Keys, c.Aggs = append([]Expr(nil), old.Keys...), append([]Agg(nil), old.Aggs...)
		for i := range c.Aggs {
			c.Aggs[i].Args = append([]Expr(nil), c.Aggs[i].Args...)
			c.Aggs[i].Order = append([]SortKey(nil), c.Aggs[i].Order...)
		}
		n = &c
	case *Window:
		c := *old
		c.Partition, c.Order = append([]Expr(nil), old.Partition...), append([]SortKey(nil), old.Order...)
		c.Calls = append([]WindowCall(nil), old.Calls...)
		for i := range c.Calls {
			c.Calls[i].Args = append([]Expr(nil), c.Calls[i].Args...)
		}
		n = &c
	case *Sort:
		c := *old
		c.Keys = append([]SortKey(nil), old.Keys...)
		n = &c
	case *TopN:
		c := *old
		c.Keys = append([]SortKey(nil), old.Keys...)
		n = &c
	case *Limit:
		c := *old
		n = &c
	case *Distinct:
		c := *old
		n = &c
	case *TimeSlices:
		c := *old
		n = &c
	case *SetOp:
		c := *old
		c.Inputs = append([]Node(nil), old.Inputs...)
		n = &c
	case *Unnest:
		c := *old
		c.Exprs = append([]Expr(nil), old.Exprs...)
		n = &c
	case *Shared:
		return old
	}
	mapInputs(n, clone)
	return n
}
