package plan

import (
	"slices"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/vec"
)

// decorrelate turns correlated subqueries into joins, where the row outside is only compared by equality in
// the subquery's own WHERE:
//
//	(SELECT agg(y) FROM u WHERE u.k = t.k)   t LEFT JOIN (SELECT k, agg(y), true FROM u GROUP BY k) ON k = t.k
//	EXISTS (SELECT … FROM u WHERE u.k = t.k) the same, without an aggregate
//	(SELECT y FROM u WHERE u.k = t.k ORDER BY time DESC LIMIT 1) the same as of max_by(y, time)
//
// A row without partner has no group: then the value is what the aggregate is for no rows (zero for
// counts), which the third column tells from a group whose aggregate is null.
//
// The join computes all groups, also those that no row outside asks for, so nothing in the subquery may be
// able to fail, and few rows outside are served better one by one.
func decorrelate(b *builder, n Node) Node {
	d := &decorrelator{b: b, rows: estimator{}}
	return transform(n, func(n Node) Node {
		switch n := n.(type) {
		case *Filter:
			width := Width(n.Input)
			in, exprs := d.replace(n.Input, []Expr{n.Cond})
			if in == n.Input {
				return n
			}
			return &Project{&Filter{in, exprs[0]}, identityExprs(in, width)}
		case *Project:
			n.Input, n.Exprs = d.replace(n.Input, n.Exprs)
		}
		return n
	})
}

// fewRows is up to how many rows outside a subquery is run for each.
const fewRows = 8

type decorrelator struct {
	b    *builder
	rows estimator
}

// identityExprs are the first width columns of n.
func identityExprs(n Node, width int) []Expr {
	types := n.Types()
	exprs := make([]Expr, width)
	for i := range exprs {
		exprs[i] = &Column{i, types[i]}
	}
	return exprs
}

// replace returns in joined with what stands for the subqueries in exprs, and exprs over it.
func (d *decorrelator) replace(in Node, exprs []Expr) (Node, []Expr) {
	found := false
	for _, e := range exprs {
		found = found || hasSubquery(e)
	}
	if !found || d.rows.rows(in) <= fewRows {
		return in, exprs
	}
	out := slices.Clone(exprs)
	done := map[*Subquery]Expr{}
	for i, e := range exprs {
		out[i] = rewrite(e, func(x Expr) Expr {
			s, ok := x.(*Subquery)
			if !ok {
				return x
			}
			if value := done[s]; value != nil {
				return value
			}
			joined, value := d.join(in, s)
			if joined == nil {
				return x
			}
			in, done[s] = joined, value
			d.b.changes++
			return value
		})
	}
	return in, out
}

// emptyZero says of the aggregates that a subquery may have what they are for no rows: true for zero,
// false for null.
var emptyZero = map[string]bool{
	"count": true, "count_if": true,
	"sum": false, "min": false, "max": false, "avg": false, "max_by": false, "min_by": false, "bool_and": false, "bool_or": false,
	"every": false, "arbitrary": false, "stddev": false, "stddev_pop": false, "stddev_samp": false, "variance": false, "var_pop": false, "var_samp": false,
}

// join returns left with the groups of s joined, and the value of s over that; nil if that cannot be.
func (d *decorrelator) join(left Node, s *Subquery) (Node, Expr) {
	if len(s.Params) == 0 || s.Kind != ScalarQuery && s.Kind != ExistsQuery {
		return nil, nil
	}
	for _, p := range s.Params {
		if hasSubquery(p) || isVolatile(p) || !total(p) {
			return nil, nil
		}
	}
	// From the top: projections, for a scalar one grouping of everything, projections and filters.
	plan, value := s.Plan, Expr(&Column{0, s.T})
	var aggs []Agg
	if s.Kind == ScalarQuery {
		for {
			p, ok := plan.(*Project)
			if !ok {
				break
			}
			value, plan = replaced(value, p.Exprs), p.Input
		}
		a, ok := plan.(*Aggregate)
		if first := d.firstByTime(plan, value); first != nil {
			a, ok, value = first, true, &Column{0, s.T}
		}
		if !ok || len(a.Keys) > 0 || readsParams(value) || hasSubquery(value) || isVolatile(value) {
			return nil, nil
		}
		aggs, plan = slices.Clone(a.Aggs), a.Input
		for _, agg := range aggs {
			if _, known := emptyZero[agg.Call.Func.Name]; !known || agg.Call.Func.Name == "sum" && agg.Call.Return.Kind != vec.Double {
				return nil, nil // a sum of integers may overflow
			}
		}
	}
	input, conds := below(plan, aggs)
	if HasParams(input) {
		return nil, nil
	}
	on, rest, ok := correlations(conds)
	if !ok || len(on) == 0 || !totalAggs(aggs) || slices.ContainsFunc(rest, func(c Expr) bool { return !total(c) || hasSubquery(c) }) {
		return nil, nil
	}
	group := &Aggregate{Input: filtered(input, rest), Aggs: aggs}
	for _, c := range on {
		group.Keys = append(group.Keys, c.key)
	}
	group = clone(group).(*Aggregate) // the subquery may be used in several places
	marked := &Project{Input: group, Exprs: append(identityExprs(group, Width(group)), &Const{vec.Bool(true)})}
	width := Width(left)
	var cond Expr
	for i, c := range on {
		outer := rewrite(c.outer, func(x Expr) Expr {
			if p, ok := x.(*Param); ok {
				return s.Params[p.Index]
			}
			return x
		})
		cond = and(cond, &Call{c.equal, []Expr{outer, &Column{width + i, c.key.Type()}}})
	}
	joined := &Join{Kind: LeftJoin, Left: left, Right: marked, Residual: cond}
	missing := &IsNull{&Column{width + Width(group), vec.BooleanType}}
	if s.Kind == ExistsQuery {
		return joined, &Not{missing}
	}
	keys := len(on)
	over := rewrite(value, func(x Expr) Expr {
		if c, ok := x.(*Column); ok {
			return &Column{width + keys + c.Index, c.T}
		}
		return x
	})
	empty := rewrite(value, func(x Expr) Expr {
		if c, ok := x.(*Column); ok {
			v := vec.Null(c.T)
			if emptyZero[aggs[c.Index].Call.Func.Name] {
				v = vec.Int(c.T, 0)
			}
			return &Const{v}
		}
		return x
	})
	return joined, &Case{Whens: []When{{missing, empty}}, Else: over, T: s.T}
}

// firstByTime returns the grouping of everything that is value over n, if n is the first row by time, or the last;
// nil if it is not. Of several rows of that time any may be meant.
func (d *decorrelator) firstByTime(n Node, value Expr) *Aggregate {
	limit, ok := n.(*Limit)
	if !ok || limit.N != 1 || limit.Offset > 0 {
		return nil
	}
	sort, ok := limit.Input.(*Sort)
	if !ok || len(sort.Keys) != 1 || !isTimeOf(sort.Input, sort.Keys[0].Expr) {
		return nil // a key that may be null has its nulls first or last, where max_by passes them over
	}
	name := "min_by"
	if sort.Keys[0].Desc {
		name = "max_by"
	}
	call, err := d.b.env.Functions.Aggregate(name, []vec.Type{value.Type(), vec.TimestampType})
	if err != nil || !call.Return.Equal(value.Type()) {
		return nil
	}
	return &Aggregate{Input: sort.Input, Aggs: []Agg{{Call: call, Args: []Expr{value, sort.Keys[0].Expr}}}}
}

// isTimeOf reports whether e, over n, is the time of a table's row.
func isTimeOf(n Node, e Expr) bool {
	for {
		switch x := n.(type) {
		case *Filter:
			n = x.Input
			continue
		case *Project:
			n, e = x.Input, replaced(e, x.Exprs)
			continue
		case *Scan:
			return x.isTime(e)
		}
		return false
	}
}

// below passes the projections and filters below a grouping, whose aggregates it puts over what they
// read, and returns that with the conditions over it.
func below(n Node, aggs []Agg) (input Node, conds []Expr) {
	for {
		switch x := n.(type) {
		case *Filter:
			conds = append(split(x.Cond), conds...)
			n = x.Input
			continue
		case *Project:
			if slices.ContainsFunc(x.Exprs, func(e Expr) bool { return isVolatile(e) || hasSubquery(e) }) {
				return n, conds
			}
			for i, c := range conds {
				conds[i] = replaced(c, x.Exprs)
			}
			a := &Aggregate{Aggs: aggs}
			for i := range aggs {
				aggs[i].Args, aggs[i].Order = slices.Clone(aggs[i].Args), slices.Clone(aggs[i].Order)
			}
			mapExprs(a, func(e Expr) Expr { return replaced(e, x.Exprs) })
			n = x.Input
			continue
		}
		return n, conds
	}
}

// totalAggs reports whether nothing that the aggregates evaluate can fail or reads the row outside.
func totalAggs(aggs []Agg) bool {
	ok := true
	exprsOf(&Aggregate{Aggs: aggs}, func(e Expr) { ok = ok && total(e) && !readsParams(e) && !hasSubquery(e) && !isVolatile(e) })
	return ok
}

// correlation is an equality between an expression over the subquery's input and one over the row outside.
type correlation struct {
	key, outer Expr
	equal      *fn.Call
}

// correlations parts conditions into correlations and those that do not read the row outside; ok is false if
// there are others.
func correlations(conds []Expr) (on []correlation, rest []Expr, ok bool) {
	none := func(int) bool { return false }
	for _, c := range conds {
		if !readsParams(c) {
			rest = append(rest, c)
			continue
		}
		call, isCall := c.(*Call)
		if !isCall || call.Call.Func.Name != "=" || isVolatile(c) || hasSubquery(c) {
			return nil, nil, false
		}
		key, outer := call.Args[0], call.Args[1]
		if readsParams(key) {
			key, outer = outer, key
		}
		t := key.Type()
		if readsParams(key) || reads(key, none) || !reads(outer, none) || !t.Equal(outer.Type()) || nested(t) || t.Kind == vec.Double || !total(key) || !total(outer) {
			return nil, nil, false
		}
		on = append(on, correlation{key, outer, call.Call})
	}
	return on, rest, true
}
