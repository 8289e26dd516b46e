package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// query analyses a whole query: WITH, body, ORDER BY, LIMIT. fr is the subquery it is
// part of, or nil.
func (b *builder) query(q *syntax.Query, fr *frame, w *with) (*relation, error) {
	if err := b.enter(q.At); err != nil {
		return nil, err
	}
	defer b.leave()
	w, err := b.withClause(q, fr, w)
	if err != nil {
		return nil, err
	}
	if s, ok := q.Body.(*syntax.Select); ok {
		return b.selectQuery(s, q, fr, w)
	}
	rel, err := b.body(q.Body, fr, w)
	if err != nil {
		return nil, err
	}
	return b.orderOutputs(rel, q, fr, w)
}

func (b *builder) withClause(q *syntax.Query, fr *frame, w *with) (*with, error) {
	outer := w
	for _, c := range q.With {
		name := strings.ToLower(c.Name.Name)
		for have := w; have != outer; have = have.outer {
			if have.name == name {
				return nil, errorAt(c.Name.At, "WITH query name '%s' specified more than once", c.Name.Name)
			}
		}
		rel, err := b.query(c.Query, fr, w)
		if err != nil {
			return nil, err
		}
		if c.Columns != nil && len(c.Columns) != len(rel.fields) {
			return nil, errorAt(c.Name.At, "WITH column list has %d entries but WITH query(%s) has %d columns", len(c.Columns), c.Name.Name, len(rel.fields))
		}
		rel = renamed(rel, "", c.Columns)
		w = &with{name, &cte{&Shared{rel.node}, rel.fields, fr}, w}
	}
	return w, nil
}

func (b *builder) body(body syntax.Body, fr *frame, w *with) (*relation, error) {
	switch body := body.(type) {
	case *syntax.Select:
		return b.selectQuery(body, &syntax.Query{At: body.At}, fr, w)
	case *syntax.Query:
		return b.query(body, fr, w)
	case *syntax.Values:
		return b.values(body, fr, w)
	case *syntax.SetOp:
		return b.setOp(body, fr, w)
	}
	return nil, errorAt(body.Pos(), "This query is not supported")
}

func (b *builder) values(v *syntax.Values, fr *frame, w *with) (*relation, error) {
	a := &analyser{builder: b, scope: &scope{outer: fr}, with: w, clause: "VALUES"}
	width := -1
	var columns [][]Expr
	var from [][]syntax.Expr
	for _, row := range v.Rows {
		elems := []syntax.Expr{row}
		if r, ok := row.(*syntax.RowExpr); ok {
			elems = r.Elems
		}
		if width < 0 {
			width = len(elems)
			columns, from = make([][]Expr, width), make([][]syntax.Expr, width)
		}
		if len(elems) != width {
			return nil, errorAt(v.At, "Values rows have mismatched types: %d vs %d columns", width, len(elems))
		}
		for i, e := range elems {
			x, err := a.expr(e)
			if err != nil {
				return nil, err
			}
			columns[i], from[i] = append(columns[i], x), append(from[i], e)
		}
	}
	node := &Values{Rows: make([][]Expr, len(v.Rows))}
	out := &relation{node: node}
	for i, column := range columns {
		same, t, ok, err := b.common(column, places(from[i]))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errorAt(v.At, "Values rows have mismatched types: column %d", i+1)
		}
		for r, x := range same {
			node.Rows[r] = append(node.Rows[r], x)
		}
		node.T = append(node.T, t)
		out.fields = append(out.fields, field{t: t})
	}
	return out, nil
}

var setKinds = [...]SetKind{syntax.Union: Union, syntax.Except: Except, syntax.Intersect: Intersect}

// setOp analyses a chain of set operations. The chain is a tree that is deep to the left and has no
// bound but the length of the text, so it is taken apart without recursion.
func (b *builder) setOp(s *syntax.SetOp, fr *frame, w *with) (*relation, error) {
	if err := b.enter(s.At); err != nil {
		return nil, err
	}
	defer b.leave()
	chain, first := syntax.Chain(s)
	rel, err := b.body(first, fr, w)
	if err != nil {
		return nil, err
	}
	run := &unionRun{b: b, rels: []*relation{rel}, types: fieldTypes(rel), fields: rel.fields}
	for _, op := range chain {
		right, err := b.body(op.Right, fr, w)
		if err != nil {
			return nil, err
		}
		if !run.takes(op) {
			if err := run.close(op.At); err != nil {
				return nil, err
			}
		}
		if err := run.add(op, right); err != nil {
			return nil, err
		}
		if op.Op != syntax.Union {
			if err := run.close(op.At); err != nil {
				return nil, err
			}
		}
	}
	err = run.close(s.At)
	return run.rels[0], err
}

// unionRun is set operations that become one node: A UNION ALL B UNION C is the distinct rows of all
// three.
type unionRun struct {
	b      *builder
	op     *syntax.SetOp // the last one; nil: there is a relation and no operation yet
	rels   []*relation
	types  []vec.Type // common types so far
	fields []field    // of the first branch
}

// takes reports whether op extends the node.
func (r *unionRun) takes(op *syntax.SetOp) bool {
	return r.op == nil || op.Op == syntax.Union && r.op.Op == syntax.Union && (r.op.All || !op.All)
}

func (r *unionRun) add(op *syntax.SetOp, right *relation) error {
	if len(r.types) != len(right.fields) {
		return errorAt(op.At, "%s query has different number of fields: %d, %d", op.Op, len(r.types), len(right.fields))
	}
	for i, f := range right.fields {
		t, ok := fn.CommonType(r.types[i], f.t)
		if !ok {
			return errorAt(op.At, "column %d in %s query has incompatible types: %s, %s", i+1, op.Op, r.types[i], f.t)
		}
		r.types[i] = t
	}
	r.op, r.rels = op, append(r.rels, right)
	return nil
}

// close makes one relation of the run.
func (r *unionRun) close(at syntax.Pos) error {
	if r.op == nil {
		return nil
	}
	node := &SetOp{Kind: setKinds[r.op.Op], All: r.op.All}
	for _, rel := range r.rels {
		in, err := r.b.castAll(rel, r.types, at)
		if err != nil {
			return err
		}
		node.Inputs = append(node.Inputs, in)
	}
	node.T = node.Inputs[0].Types()
	out := &relation{node: node}
	for i, t := range r.types {
		out.fields = append(out.fields, field{name: r.fields[i].output(i).Name, t: t})
	}
	r.op, r.rels, r.types, r.fields = nil, []*relation{out}, fieldTypes(out), out.fields
	return nil
}

func fieldTypes(rel *relation) []vec.Type {
	types := make([]vec.Type, len(rel.fields))
	for i, f := range rel.fields {
		types[i] = f.t
	}
	return types
}

// castAll gives the columns of rel the given types.
func (b *builder) castAll(rel *relation, types []vec.Type, at syntax.Pos) (Node, error) {
	exprs := make([]Expr, len(types))
	changed := false
	for i, t := range types {
		var err error
		have := rel.fields[i].t
		if exprs[i], err = b.coerce(&Column{i, have}, t, at); err != nil {
			return nil, err
		}
		changed = changed || !have.Equal(t)
	}
	if !changed {
		return rel.node, nil
	}
	return &Project{rel.node, exprs}, nil
}

// orderOutputs adds ORDER BY and LIMIT to a query that is not a mere SELECT: only
// output columns can be named.
func (b *builder) orderOutputs(rel *relation, q *syntax.Query, fr *frame, w *with) (*relation, error) {
	if len(q.OrderBy) > 0 {
		s := &scope{fields: append([]field(nil), rel.fields...), outer: fr}
		for i := range s.fields {
			s.fields[i].name = rel.fields[i].output(i).Name
		}
		a := &analyser{builder: b, scope: s, with: w, clause: "ORDER BY clause"}
		var keys []SortKey
		for _, item := range q.OrderBy {
			x, err := a.ordinal(item.Expr, len(s.fields), func(i int) Expr { return &Column{i, s.fields[i].t} }, "ORDER BY")
			if err != nil {
				return nil, err
			}
			if err := orderable(x, item.Expr.Pos(), "ORDER BY"); err != nil {
				return nil, err
			}
			keys = append(keys, SortKey{x, item.Desc, item.Nulls == syntax.NullsFirst})
		}
		rel.node = &Sort{Input: rel.node, Keys: keys}
	}
	rel.node = limited(rel.node, q)
	return rel, nil
}

// ordinal analyses a key that may be the number of an output column.
func (a *analyser) ordinal(e syntax.Expr, n int, column func(int) Expr, clause string) (Expr, error) {
	lit, ok := e.(*syntax.IntegerLit)
	if !ok {
		return a.expr(e)
	}
	if lit.Value < 1 || lit.Value > int64(n) {
		return nil, errorAt(lit.At, "%s position %d is not in select list", clause, lit.Value)
	}
	return column(int(lit.Value) - 1), nil
}

// limited adds OFFSET and LIMIT.
func limited(n Node, q *syntax.Query) Node {
	if q.Limit == nil && q.Offset == nil {
		return n
	}
	l := &Limit{Input: n, N: -1}
	if q.Limit != nil {
		l.N = q.Limit.Value
	}
	if q.Offset != nil {
		l.Offset = q.Offset.Value
	}
	return l
}

// selectItem is one output column of a SELECT.
type selectItem struct {
	expr  Expr // over the input; aggregates and windows are placeholders
	from  syntax.Expr
	field field
}

// selection is a SELECT on its way from names to nodes.
type selection struct {
	*analyser
	query *syntax.Select
	rel   *relation // FROM and WHERE
	items []selectItem
	keys  []Expr // of ORDER BY, over the input
	group *grouping
}

// selectQuery analyses a SELECT with the ORDER BY and LIMIT of the query around it.
func (b *builder) selectQuery(s *syntax.Select, q *syntax.Query, fr *frame, w *with) (*relation, error) {
	rel, err := b.from(s.From, fr, w)
	if err != nil {
		return nil, err
	}
	sel := &selection{query: s, rel: rel}
	sel.analyser = &analyser{
		builder: b, scope: rel.scope(fr), with: w,
		aggs: &aggregates{expected: len(s.Items)}, windows: &windows{}, clause: "SELECT clause",
	}
	if err := sel.where(); err != nil {
		return nil, err
	}
	if err := sel.selectList(); err != nil {
		return nil, err
	}
	having, err := sel.having()
	if err != nil {
		return nil, err
	}
	if err := sel.orderBy(q.OrderBy); err != nil {
		return nil, err
	}
	node, err := sel.grouped(having, q.OrderBy)
	if err != nil {
		return nil, err
	}
	if node, err = sel.windowed(node); err != nil {
		return nil, err
	}
	return sel.output(node, q)
}

// clauseAnalyser is an analyser for a clause without aggregates and windows.
func (s *selection) clauseAnalyser(clause string) *analyser {
	a := *s.analyser
	a.aggs, a.windows, a.clause = nil, nil, clause
	return &a
}

func (s *selection) where() error {
	if s.query.Where == nil {
		return nil
	}
	if err := s.rejectAggregates(s.query.Where, "WHERE clause"); err != nil {
		return err
	}
	cond, err := s.clauseAnalyser("WHERE clause").condition(s.query.Where, "WHERE clause")
	if err != nil {
		return err
	}
	s.rel.node = &Filter{s.rel.node, cond}
	return nil
}

func (s *selection) selectList() error {
	s.items = make([]selectItem, 0, len(s.query.Items))
	for _, item := range s.query.Items {
		if item.Star {
			if err := s.star(item); err != nil {
				return err
			}
			continue
		}
		x, err := s.item(item)
		if err != nil {
			return err
		}
		s.items = append(s.items, x)
	}
	return nil
}

func (s *selection) star(item syntax.SelectItem) error {
	found := false
	for i, f := range s.scope.fields {
		if f.hidden || !starCovers(item.Qualifier, &f) {
			continue
		}
		found = true
		f.aliased = false
		s.items = append(s.items, selectItem{expr: &Column{i, f.t}, field: f, from: &syntax.Ref{At: item.At, Parts: []syntax.Ident{{At: item.At, Name: f.name}}}})
	}
	switch {
	case found:
		return nil
	case len(item.Qualifier) > 0:
		return errorAt(item.At, "Table '%s' not found", dotted(item.Qualifier))
	}
	return errorAt(item.At, "SELECT * not allowed from relation that has no columns")
}

func starCovers(qualifier []syntax.Ident, f *field) bool {
	switch len(qualifier) {
	case 0:
		return true
	case 1:
		return nameMatches(f.rel, qualifier[0].Name, false)
	}
	return nameMatches(f.database, qualifier[0].Name, true) && nameMatches(f.rel, qualifier[1].Name, false)
}

// item analyses one expression of the select list and names it: by its alias, or as the
// column or field that it is.
func (s *selection) item(item syntax.SelectItem) (selectItem, error) {
	out := selectItem{from: item.Expr}
	var err error
	if ref, ok := item.Expr.(*syntax.Ref); ok {
		var f *field
		if out.expr, f, err = s.scope.resolve(ref); err != nil {
			return out, err
		}
		if f != nil {
			out.field = *f
		}
		switch x := out.expr.(type) {
		case *Field:
			out.field.name = x.X.Type().Fields[x.Index].Name
		default:
			if f == nil {
				out.field.name = ref.Parts[len(ref.Parts)-1].Name
			}
		}
	} else {
		if out.expr, err = s.expr(item.Expr); err != nil {
			return out, err
		}
		if x, ok := item.Expr.(*syntax.FieldAccess); ok {
			out.field.name = x.Field.Name
		}
	}
	out.field.t, out.field.aliased = out.expr.Type(), false
	if item.Alias.Name != "" {
		out.field.aliased = true
		out.field.name = item.Alias.Name
	}
	return out, nil
}

func (s *selection) having() (Expr, error) {
	if s.query.Having == nil {
		return nil, nil
	}
	a := *s.analyser
	a.windows, a.clause = nil, "HAVING clause"
	return a.condition(s.query.Having, "HAVING clause")
}

// orderBy analyses the keys of ORDER BY; names mean output columns first.
func (s *selection) orderBy(items []syntax.SortItem) error {
	a := *s.analyser
	outer := *s.scope
	outer.outputs = s.items
	a.scope, a.inner, a.clause = &outer, s.scope, "ORDER BY clause"
	var outputs exprSet
	if s.query.Distinct && len(items) > 0 {
		for _, item := range s.items {
			outputs.add(item.expr)
		}
	}
	for _, item := range items {
		x, err := a.ordinal(item.Expr, len(s.items), func(i int) Expr { return s.items[i].expr }, "ORDER BY")
		if err != nil {
			return err
		}
		if err := orderable(x, item.Expr.Pos(), "ORDER BY"); err != nil {
			return err
		}
		if s.query.Distinct && outputs.find(x) < 0 {
			return errorAt(item.Expr.Pos(), "For SELECT DISTINCT, ORDER BY expressions must appear in select list")
		}
		s.keys = append(s.keys, x)
	}
	return nil
}

// grouped makes the nodes of GROUP BY and HAVING, if there is grouping, and puts all
// expressions over the groups.
func (s *selection) grouped(having Expr, order []syntax.SortItem) (Node, error) {
	if s.query.GroupBy == nil && len(s.aggs.list) == 0 && having == nil {
		return s.rel.node, nil
	}
	keys := &exprSet{}
	sets, err := s.groupingSets(keys)
	if err != nil {
		return nil, err
	}
	s.group = &grouping{keys}
	node := groupBySets(s.rel.node, sets, keys.list, s.aggs.list)
	if having != nil {
		over, err := s.over(having, s.query.Having)
		if err != nil {
			return nil, err
		}
		node = &Filter{node, over}
	}
	for i := range s.items {
		if s.items[i].expr, err = s.over(s.items[i].expr, s.items[i].from); err != nil {
			return nil, err
		}
	}
	for i := range s.keys {
		if s.keys[i], err = s.over(s.keys[i], order[i].Expr); err != nil {
			return nil, err
		}
	}
	return node, s.overWindows()
}

// over puts e over the groups.
func (s *selection) over(e Expr, from syntax.Expr) (Expr, error) {
	if out := s.group.over(e); out != nil {
		return out, nil
	}
	return nil, errorAt(from.Pos(), "'%s' must be an aggregate expression or appear in GROUP BY clause", syntax.FormatExpr(from))
}

func (s *selection) overWindows() error {
	var err error
	over := func(e *Expr, from syntax.Expr) {
		if *e != nil && err == nil {
			*e, err = s.over(*e, from)
		}
	}
	for i := range s.windows.calls {
		c, spec, from := &s.windows.calls[i], &s.windows.specs[i], s.windows.at[i]
		for k := range c.Args {
			over(&c.Args[k], from)
		}
		over(&c.Filter, from)
		over(&c.Frame.Start.Offset, from)
		over(&c.Frame.End.Offset, from)
		for k := range spec.partition {
			over(&spec.partition[k], from)
		}
		for k := range spec.order {
			over(&spec.order[k].Expr, from)
		}
	}
	return err
}

// maxGroupingSets bounds what CUBE and its like multiply to.
const maxGroupingSets = 1 << 10

// keySet is a set of keys to group by: numbers in the order of the text, each once.
type keySet []int

// groupingSets analyses GROUP BY: the sets of keys to group by, usually one. Keys are
// expressions over the input, or ordinals of the select list, and are collected in keys.
func (s *selection) groupingSets(keys *exprSet) ([]keySet, error) {
	sets := []keySet{nil}
	if s.query.GroupBy == nil {
		return sets, nil
	}
	a := s.clauseAnalyser("GROUP BY clause")
	for _, item := range s.query.GroupBy.Items {
		var units []keySet
		for _, set := range item.Sets {
			var unit keySet
			for _, e := range set {
				x, err := s.groupKey(a, e)
				if err != nil {
					return nil, err
				}
				unit = append(unit, keys.add(x))
			}
			units = append(units, joinSets(unit))
		}
		if item.Kind == syntax.GroupCube && len(units) > 10 {
			return nil, errorAt(item.At, "CUBE has more than 10 elements")
		}
		expanded := expandSets(item.Kind, units)
		if len(sets)*len(expanded) > maxGroupingSets {
			return nil, errorAt(item.At, "GROUP BY has more than %d grouping sets", maxGroupingSets)
		}
		sets = crossSets(sets, expanded)
	}
	if s.query.GroupBy.Distinct {
		sets = distinctSets(sets)
	}
	return sets, nil
}

// expandSets returns the sets that an item of GROUP BY stands for.
func expandSets(kind syntax.GroupKind, units []keySet) []keySet {
	var out []keySet
	switch kind {
	case syntax.GroupRollup:
		for n := len(units); n >= 0; n-- {
			out = append(out, joinSets(units[:n]...))
		}
	case syntax.GroupCube:
		for mask := 1<<len(units) - 1; mask >= 0; mask-- {
			var chosen []keySet
			for i, u := range units {
				if mask>>(len(units)-1-i)&1 != 0 {
					chosen = append(chosen, u)
				}
			}
			out = append(out, joinSets(chosen...))
		}
	default:
		return units
	}
	return out
}

// joinSets is one set of all keys in units.
func joinSets(units ...keySet) keySet {
	var out keySet
	seen := map[int]bool{}
	for _, u := range units {
		for _, k := range u {
			if !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
	}
	return out
}

// crossSets joins every set of a with every set of b.
func crossSets(a, b []keySet) []keySet {
	if len(a) == 1 && len(b) == 1 && len(b[0]) == 1 { // GROUP BY x, y, …
		if !slices.Contains(a[0], b[0][0]) {
			a[0] = append(a[0], b[0][0])
		}
		return a
	}
	var out []keySet
	for _, x := range a {
		for _, y := range b {
			out = append(out, joinSets(x, y))
		}
	}
	return out
}

func distinctSets(sets []keySet) []keySet {
	var out []keySet
	seen := map[string]bool{}
	for _, s := range sets {
		sorted := slices.Clone(s)
		slices.Sort(sorted)
		if name := fmt.Sprint(sorted); !seen[name] {
			seen[name] = true
			out = append(out, s)
		}
	}
	return out
}

// groupBySets groups in by each set. Output: keys, null where the set lacks one, then
// the aggregates.
func groupBySets(in Node, sets []keySet, keys []Expr, aggs []Agg) Node {
	if len(sets) == 1 {
		return &Aggregate{Input: in, Keys: keys, Aggs: aggs}
	}
	shared := &Shared{in}
	union := &SetOp{Kind: Union, All: true}
	for _, set := range sets {
		group := &Aggregate{Input: shared, Aggs: aggs}
		exprs := make([]Expr, 0, len(keys)+len(aggs))
		for _, k := range keys {
			exprs = append(exprs, &Const{vec.Null(k.Type())})
		}
		for at, k := range set {
			group.Keys = append(group.Keys, keys[k])
			exprs[k] = &Column{at, keys[k].Type()}
		}
		for i, a := range aggs {
			exprs = append(exprs, &Column{len(set) + i, a.Call.Return})
		}
		union.Inputs = append(union.Inputs, &Project{clone(group), exprs})
	}
	union.T = union.Inputs[0].Types()
	return union
}

func (s *selection) groupKey(a *analyser, e syntax.Expr) (Expr, error) {
	if err := s.rejectAggregates(e, "GROUP BY clause"); err != nil {
		return nil, err
	}
	x, err := a.ordinal(e, len(s.items), func(i int) Expr { return s.items[i].expr }, "GROUP BY")
	if err != nil {
		return nil, err
	}
	walkExpr(x, func(part Expr) bool {
		switch part.(type) {
		case *aggRef, *windowRef:
			err = errorAt(e.Pos(), "GROUP BY position %s is an aggregate expression", syntax.FormatExpr(e))
		}
		return err == nil
	})
	if err == nil && (x.Type().Kind == vec.TimeSeries || x.Type().Kind == vec.Lambda) {
		err = errorAt(e.Pos(), "%s is not comparable, and therefore cannot be used in GROUP BY", x.Type())
	}
	return x, err
}

// windowed makes the nodes of the window functions, one for those that share partition
// and order, and puts all expressions over them.
func (s *selection) windowed(node Node) (Node, error) {
	w := s.windows
	if len(w.calls) == 0 {
		return node, nil
	}
	var order []*Window // in the order of first use
	var members [][]int
	index := map[uint64][]int{}
	for i, spec := range w.specs {
		h, at := spec.hash(), -1
		for _, g := range index[h] {
			if w.specs[members[g][0]].same(spec) {
				at = g
			}
		}
		if at < 0 {
			at = len(order)
			index[h] = append(index[h], at)
			order, members = append(order, &Window{Partition: spec.partition, Order: spec.order}), append(members, nil)
		}
		members[at] = append(members[at], i)
	}
	column := make([]int, len(w.calls))
	width := Width(node)
	for g, win := range order {
		for _, i := range members[g] {
			win.Calls = append(win.Calls, w.calls[i])
			column[i] = width
			width++
		}
		win.Input, node = node, win
	}
	over := func(e Expr) Expr {
		return rewrite(e, func(x Expr) Expr {
			if r, ok := x.(*windowRef); ok {
				return &Column{column[r.index], r.t}
			}
			return x
		})
	}
	for i := range s.items {
		s.items[i].expr = over(s.items[i].expr)
	}
	for i := range s.keys {
		s.keys[i] = over(s.keys[i])
	}
	return node, nil
}

// output projects the select list, and orders and limits the result.
func (s *selection) output(node Node, q *syntax.Query) (*relation, error) {
	out := &relation{fields: make([]field, len(s.items))}
	exprs := make([]Expr, len(s.items), len(s.items)+len(s.keys))
	for i := range s.items {
		exprs[i], out.fields[i] = s.items[i].expr, s.items[i].field
	}
	var found exprSet // of exprs, if there is an order
	first := map[int]int{}
	if len(s.keys) > 0 {
		for i := len(exprs) - 1; i >= 0; i-- {
			first[found.add(exprs[i])] = i
		}
	}
	keys := make([]SortKey, len(s.keys))
	for i, k := range s.keys {
		at, ok := first[found.find(k)]
		if !ok {
			at, exprs = len(exprs), append(exprs, k)
			first[found.add(k)] = at
		}
		keys[i] = SortKey{&Column{at, k.Type()}, q.OrderBy[i].Desc, q.OrderBy[i].Nulls == syntax.NullsFirst}
	}
	node = &Project{node, exprs}
	if s.query.Distinct {
		for i, f := range out.fields {
			if f.t.Kind == vec.TimeSeries {
				return nil, errorAt(s.items[i].from.Pos(), "DISTINCT can only be applied to comparable types (actual: %s)", f.t)
			}
		}
		node = &Distinct{node}
	}
	if len(keys) > 0 {
		node = &Sort{Input: node, Keys: keys}
	}
	node = limited(node, q)
	if len(exprs) > len(s.items) {
		kept := make([]Expr, len(s.items))
		for i, f := range out.fields {
			kept[i] = &Column{i, f.t}
		}
		node = &Project{node, kept}
	}
	out.node = node
	return out, nil
}
