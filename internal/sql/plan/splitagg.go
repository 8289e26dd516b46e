package plan

import (
	"slices"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// splitAggregates returns a, a grouping that storage cannot take as it is, as a grouping of groups: storage
// groups by a's keys and by the dimensions that its aggregates read, and what they say of these is
// computed over those groups. It returns a itself where that cannot be done.
//
// That is how aggregates of dimensions are answered (count(DISTINCT host), max(region)), and aggregates under a
// condition on dimensions: sum(CASE WHEN measure_name = 'cpu' THEN measure_value::double END), with which rows of single measures
// become columns.
func splitAggregates(b *builder, a *Aggregate, scan *Scan) Node {
	s := &aggSplitter{
		b: b, scan: scan, inner: &Aggregate{Input: scan, Keys: slices.Clone(a.Keys)}, outer: &Aggregate{},
		innerAggs: &aggregates{}, outerAggs: &aggregates{}, keys: len(a.Keys),
	}
	for _, agg := range a.Aggs {
		s.needs(agg)
	}
	if !s.split {
		return a
	}
	for i, k := range s.inner.Keys[:len(a.Keys)] {
		s.outer.Keys = append(s.outer.Keys, &Column{i, k.Type()})
	}
	var out []Expr
	for i, k := range a.Keys {
		out = append(out, &Column{i, k.Type()})
	}
	for _, agg := range a.Aggs {
		x := s.aggregate(agg)
		if x == nil {
			return a
		}
		out = append(out, x)
	}
	s.inner.Aggs, s.outer.Aggs = s.innerAggs.list, s.outerAggs.list
	if s.inner.Pushed = pushdown(s.inner, scan); s.inner.Pushed == nil {
		return a
	}
	s.outer.Input = s.inner
	// aggRefs are the columns behind the keys, now that it is known how many there are.
	place := func(keys int) func(Expr) Expr {
		return func(x Expr) Expr {
			if r, ok := x.(*aggRef); ok {
				return &Column{keys + r.index, r.t}
			}
			return x
		}
	}
	mapExprs(s.outer, func(e Expr) Expr { return rewrite(e, place(len(s.inner.Keys))) })
	for i := range out {
		out[i] = rewrite(out[i], place(len(a.Keys)))
	}
	p := &Project{s.outer, out}
	if isIdentity(p) {
		return s.outer
	}
	return p
}

// aggSplitter builds the two groupings. Expressions over the scan become such over the inner groups by over;
// an inner or outer aggregate is an aggRef as long as the number of keys is open.
type aggSplitter struct {
	b                    *builder
	scan                 *Scan
	inner, outer         *Aggregate
	innerAggs, outerAggs *aggregates
	keys                 int  // of the outer groups
	split                bool // some aggregate reads a dimension
}

// parts is an aggregate as it is split: of what, under which condition on dimensions, and what stands
// for the rows where that is not true.
type parts struct {
	call      *fn.AggCall
	args      []Expr
	filter    Expr // over dimensions, or nil
	otherwise Expr // a constant, or nil for null
}

// ofDimensions reports whether e reads nothing but dimensions and the measure name.
func (s *aggSplitter) ofDimensions(e Expr) bool {
	return !isVolatile(e) && !hasSubquery(e) && !readsParams(e) && reads(e, func(i int) bool {
		r := s.scan.Roles[i]
		return r == storage.Dimension || r == storage.MeasureName
	})
}

// parts takes agg apart. A condition inside, agg(CASE WHEN c THEN x END), is one of the aggregate.
func (s *aggSplitter) parts(agg Agg) (p parts, ok bool) {
	p = parts{call: agg.Call, args: agg.Args, filter: agg.Filter}
	if len(agg.Order) > 0 || p.filter != nil && !s.ofDimensions(p.filter) {
		return p, false
	}
	if agg.Distinct || len(p.args) != 1 {
		return p, true
	}
	x, cast := p.args[0], (*Cast)(nil)
	if c, isCast := x.(*Cast); isCast && !c.Try {
		x, cast = c.X, c
	}
	choice, isCase := x.(*Case)
	if !isCase || len(choice.Whens) != 1 || !s.ofDimensions(choice.Whens[0].Cond) || s.ofDimensions(choice) && readsSome(choice.Whens[0].Then, func(int) bool { return true }) {
		return p, true
	}
	branch := func(e Expr) Expr {
		if cast == nil {
			return e
		}
		return s.b.fold(&Cast{e, cast.To, false})
	}
	if choice.Else != nil {
		k, isConst := branch(choice.Else).(*Const)
		if !isConst {
			return p, true
		}
		if !k.Value.Null {
			p.otherwise = k
		}
	}
	p.args = []Expr{branch(choice.Whens[0].Then)}
	p.filter = and(p.filter, choice.Whens[0].Cond)
	return p, true
}

// needs adds the dimensions that agg reads to the keys of the inner groups.
func (s *aggSplitter) needs(agg Agg) {
	p, _ := s.parts(agg)
	exprs := []Expr{p.filter}
	if all := s.allOfDimensions(p.args); all {
		exprs = append(exprs, p.args...)
	}
	for _, e := range exprs {
		walkExpr(e, func(x Expr) bool {
			if c, ok := x.(*Column); ok {
				s.split = true
				if !slices.ContainsFunc(s.inner.Keys, func(k Expr) bool { return Same(k, c) }) {
					s.inner.Keys = append(s.inner.Keys, c)
				}
			}
			return true
		})
	}
}

// unique reports whether no two inner groups of an outer one have the same args: then all other
// keys of the inner groups are among them.
func (s *aggSplitter) unique(args []Expr) bool {
	for _, k := range s.inner.Keys[s.keys:] {
		if !slices.ContainsFunc(args, func(x Expr) bool { return Same(x, k) }) {
			return false
		}
	}
	return true
}

func (s *aggSplitter) allOfDimensions(args []Expr) bool {
	return len(args) > 0 && !slices.ContainsFunc(args, func(e Expr) bool { return !s.ofDimensions(e) })
}

// over puts an expression over dimensions over the inner groups.
func (s *aggSplitter) over(e Expr) Expr {
	if e == nil {
		return nil
	}
	return moved(e, func(i int) int {
		return slices.IndexFunc(s.inner.Keys, func(k Expr) bool { c, ok := k.(*Column); return ok && c.Index == i })
	})
}

// insensitive are aggregates that do not mind how often a value is there.
var insensitive = map[string]bool{
	"min": true, "max": true, "arbitrary": true, "bool_and": true, "bool_or": true, "every": true, "approx_distinct": true,
}

// aggregate returns agg as an expression over the outer groups, or nil.
func (s *aggSplitter) aggregate(agg Agg) Expr {
	p, ok := s.parts(agg)
	if !ok {
		return nil
	}
	name, constant := p.call.Func.Name, false
	if len(p.args) == 1 {
		_, constant = p.args[0].(*Const)
	}
	if s.allOfDimensions(p.args) && !constant {
		switch {
		case p.otherwise != nil:
			return nil
		case agg.Distinct || insensitive[name] && len(p.args) == 1:
			args := make([]Expr, len(p.args))
			for i, x := range p.args {
				args[i] = s.over(x)
			}
			return s.outerAggs.add(Agg{Call: p.call, Args: args, Distinct: agg.Distinct && !s.unique(p.args), Filter: s.over(p.filter)})
		case name == "count":
			return s.counted(and(&Not{&IsNull{s.over(p.args[0])}}, s.over(p.filter)))
		case name == "count_if":
			return s.counted(and(s.over(p.args[0]), s.over(p.filter)))
		}
		return nil
	}
	if agg.Distinct {
		return nil
	}
	return s.ofValues(name, p)
}

// ofValues is an aggregate of value columns, time or rows.
func (s *aggSplitter) ofValues(name string, p parts) Expr {
	filter := s.over(p.filter)
	inner := func(name string, args ...Expr) Expr { return s.call(s.innerAggs, name, nil, args...) }
	switch name {
	case "count":
		if p.otherwise != nil {
			return nil
		}
		if len(p.args) == 0 || isNotNullConst(p.args[0]) {
			return s.counted(filter)
		}
		return s.orZero(s.call(s.outerAggs, "sum", filter, inner("count", p.args...)))
	case "sum":
		if v, ok := constOf(p.args[0]); ok {
			if v.Null || v.Type.Kind != vec.Bigint || v.Int < -1<<20 || v.Int > 1<<20 {
				return nil
			}
			times, err := s.b.env.Functions.Scalar("*", []vec.Type{vec.BigintType, vec.BigintType})
			if err != nil {
				return nil
			}
			return s.other(p, s.call(s.outerAggs, "sum", filter, &Call{times, []Expr{inner("count"), p.args[0]}}))
		}
		if filter != nil && p.args[0].Type().Kind != vec.Double {
			return nil // the rows that are not asked for could overflow
		}
		return s.other(p, s.call(s.outerAggs, "sum", filter, inner("sum", p.args...)))
	case "min", "max":
		if p.otherwise != nil {
			return nil
		}
		return s.call(s.outerAggs, name, filter, inner(name, p.args...))
	case "max_by", "min_by":
		if len(p.args) != 2 || p.otherwise != nil || !s.scan.isTime(p.args[1]) {
			return nil
		}
		return s.call(s.outerAggs, name, filter, inner(name, p.args...), inner(name[:3], p.args[1]))
	case "avg":
		if p.otherwise != nil || p.args[0].Type().Kind != vec.Double {
			return nil
		}
		sum := s.call(s.outerAggs, "sum", filter, inner("sum", p.args...))
		n := s.call(s.outerAggs, "sum", filter, inner("count", p.args...))
		divide, err := s.b.env.Functions.Scalar("/", []vec.Type{vec.DoubleType, vec.DoubleType})
		if sum == nil || n == nil || err != nil {
			return nil
		}
		return &Call{divide, []Expr{sum, &Cast{n, vec.DoubleType, false}}}
	}
	return nil
}

// call adds an aggregate to the list, and returns nil if there is none of that kind.
func (s *aggSplitter) call(list *aggregates, name string, filter Expr, args ...Expr) Expr {
	for _, x := range args {
		if x == nil {
			return nil
		}
	}
	call, err := s.b.env.Functions.Aggregate(name, typesOf(args))
	if err != nil || !slices.EqualFunc(call.Args, typesOf(args), vec.Type.Equal) {
		return nil
	}
	return list.add(Agg{Call: call, Args: args, Filter: filter})
}

// counted is how many rows are in the inner groups for which filter is true.
func (s *aggSplitter) counted(filter Expr) Expr {
	return s.orZero(s.call(s.outerAggs, "sum", filter, s.call(s.innerAggs, "count", nil)))
}

func (s *aggSplitter) orZero(e Expr) Expr {
	if e == nil {
		return nil
	}
	return &Coalesce{[]Expr{e, &Const{vec.Int(vec.BigintType, 0)}}}
}

// other is sum, of the rows where p's condition is true, and zero for each of the others.
func (s *aggSplitter) other(p parts, sum Expr) Expr {
	if p.otherwise == nil || sum == nil {
		return sum
	}
	v, _ := constOf(p.otherwise)
	if zero := v.Type.Kind == vec.Bigint && v.Int == 0 || v.Type.Kind == vec.Double && v.Float == 0; !zero {
		return nil
	}
	more, err := s.b.env.Functions.Scalar(">", []vec.Type{vec.BigintType, vec.BigintType})
	all, matched := s.counted(nil), s.counted(s.over(p.filter))
	if err != nil || all == nil || matched == nil {
		return nil
	}
	some := &Call{more, []Expr{all, matched}}
	return &Case{Whens: []When{{some, &Coalesce{[]Expr{sum, p.otherwise}}}}, Else: sum, T: sum.Type()}
}
