package plan

import (
	"math"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// scanFilters moves conditions of a filter above a scan into the scan: bounds of time as
// its range, conditions on one column as predicates that storage may take on. What is neither
// stays above.
func scanFilters(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		f, ok := n.(*Filter)
		if !ok {
			return n
		}
		scan, ok := f.Input.(*Scan)
		if !ok {
			return n
		}
		var rest []Expr
		for _, c := range split(f.Cond) {
			if !scan.take(c) {
				rest = append(rest, c)
				continue
			}
			b.changes++
		}
		return filtered(scan, rest)
	})
}

// take adds condition c, over the scan's output, to the scan, and reports whether that
// makes it superfluous above.
func (s *Scan) take(c Expr) bool {
	if v, ok := constOf(c); ok && (v.Null || !v.Bool) {
		s.Spec.To = s.Spec.From // nothing passes
		return true
	}
	if r, ok := s.timeRange(c); ok {
		s.Spec.From, s.Spec.To = max(s.Spec.From, r.from), min(s.Spec.To, r.to)
		if r.exact {
			return true
		}
	}
	p, ok := s.predicate(c)
	if ok {
		s.Filters = append(s.Filters, Filtered{p, c})
	}
	return ok
}

// span of time, from <= time < to; exact says that the condition it comes from holds
// for all of it.
type timeSpan struct {
	from, to int64
	exact    bool
}

var allTime = timeSpan{storage.AllTime.From, storage.AllTime.To, true}

func (a timeSpan) and(b timeSpan) timeSpan {
	return timeSpan{max(a.from, b.from), min(a.to, b.to), a.exact && b.exact}
}

// timeRange returns a span outside of which c is not true; ok is false if c says
// nothing about time.
func (s *Scan) timeRange(c Expr) (timeSpan, bool) {
	switch c := c.(type) {
	case *And:
		out, any := allTime, false
		for _, t := range c.Terms {
			r, ok := s.timeRange(t)
			if !ok {
				out.exact = false
				continue
			}
			out, any = out.and(r), true
		}
		return out, any
	case *Or:
		hull := timeSpan{from: math.MaxInt64, to: math.MinInt64}
		for _, t := range c.Terms {
			r, ok := s.timeRange(t)
			if !ok {
				return r, false
			}
			hull.from, hull.to = min(hull.from, r.from), max(hull.to, r.to)
		}
		return hull, true
	case *In:
		return s.timeIn(c)
	case *Call:
		if len(c.Args) != 2 {
			return timeSpan{}, false
		}
		op := c.Call.Func.Name
		if v, ok := constOf(c.Args[1]); ok {
			return s.timeBound(c.Args[0], op, v)
		}
		if v, ok := constOf(c.Args[0]); ok {
			return s.timeBound(c.Args[1], flipped(op), v)
		}
	}
	return timeSpan{}, false
}

func (s *Scan) isTime(e Expr) bool {
	c, ok := e.(*Column)
	return ok && s.Roles[c.Index] == storage.TimeColumn
}

func (s *Scan) timeIn(c *In) (timeSpan, bool) {
	if !s.isTime(c.X) {
		return timeSpan{}, false
	}
	hull := timeSpan{from: math.MaxInt64, to: math.MinInt64}
	for _, item := range c.List {
		v, ok := constOf(item)
		if !ok {
			return hull, false
		}
		if !v.Null {
			hull.from, hull.to = min(hull.from, v.Int), max(hull.to, after(v.Int))
		}
	}
	return hull, true
}

// after is the next nanosecond, or the end of time.
func after(ns int64) int64 {
	if ns == math.MaxInt64 {
		return ns
	}
	return ns + 1
}

// timeBound is the span of time op v, where x is time, or bin(time, width).
func (s *Scan) timeBound(x Expr, op string, v vec.Value) (timeSpan, bool) {
	if v.Type.Kind != vec.Timestamp || v.Null {
		return timeSpan{}, false
	}
	width := int64(0)
	if call, ok := x.(*Call); ok && call.Call.Func.Name == "bin" && len(call.Args) == 2 && s.isTime(call.Args[0]) {
		w, ok := constOf(call.Args[1])
		if !ok || w.Null || w.Type.Kind != vec.IntervalDay || w.Int <= 0 {
			return timeSpan{}, false
		}
		width = w.Int
	} else if !s.isTime(x) {
		return timeSpan{}, false
	}
	out := allTime
	out.exact = width == 0
	// bin(t, w) <= t < bin(t, w) + w
	end := func(ns int64) int64 {
		if width > 0 && ns > math.MaxInt64-width {
			return math.MaxInt64
		}
		return ns + width
	}
	switch op {
	case "=":
		out.from, out.to = v.Int, end(v.Int)
		if width == 0 {
			out.to = after(v.Int)
		}
	case ">":
		out.from = after(v.Int)
	case ">=":
		out.from = v.Int
	case "<":
		out.to = end(v.Int)
	case "<=":
		out.to = end(v.Int)
		if width == 0 {
			out.to = after(v.Int)
		}
	default:
		return timeSpan{}, false
	}
	return out, true
}

func flipped(op string) string {
	switch op {
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	}
	return op
}

var compareOps = map[string]storage.Op{
	"=": storage.Eq, "<>": storage.Ne, "<": storage.Lt, "<=": storage.Le, ">": storage.Gt, ">=": storage.Ge,
}

// predicate returns c as storage may take it.
func (s *Scan) predicate(c Expr) (storage.Predicate, bool) {
	if p, ok := s.simple(c); ok {
		return p, true
	}
	return s.match(c)
}

// simple is c as a comparison of a value column or dimension with constants.
func (s *Scan) simple(c Expr) (storage.Predicate, bool) {
	switch c := c.(type) {
	case *Column: // a boolean
		return s.compare(c, storage.Eq, vec.Bool(true))
	case *Not:
		switch x := c.X.(type) {
		case *IsNull:
			return s.compare(x.X, storage.IsNotNull)
		case *Column:
			return s.compare(x, storage.Eq, vec.Bool(false))
		}
	case *IsNull:
		return s.compare(c.X, storage.IsNull)
	case *In:
		var values []vec.Value
		for _, item := range c.List {
			v, ok := constOf(item)
			if !ok {
				return storage.Predicate{}, false
			}
			if !v.Null { // a null makes the rest null, which is not true either
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			return storage.Predicate{}, false
		}
		return s.compare(c.X, storage.In, values...)
	case *Call:
		if len(c.Args) != 2 {
			return storage.Predicate{}, false
		}
		name, x, k := c.Call.Func.Name, c.Args[0], c.Args[1]
		if _, ok := x.(*Const); ok {
			name, x, k = flipped(name), k, x
		}
		op, isOp := compareOps[name]
		v, isConst := constOf(k)
		if isOp && isConst && !v.Null {
			return s.compare(x, op, v)
		}
	}
	return storage.Predicate{}, false
}

func (s *Scan) compare(x Expr, op storage.Op, values ...vec.Value) (storage.Predicate, bool) {
	if cast, ok := x.(*Cast); ok && cast.To.Kind == vec.Double && cast.X.Type().Kind == vec.Bigint && len(values) == 1 {
		if op, values[0], ok = asBigint(op, values[0].Float); ok {
			return s.compare(cast.X, op, values...)
		}
	}
	c, ok := x.(*Column)
	if !ok || s.Roles[c.Index] == storage.TimeColumn || nested(c.T) {
		return storage.Predicate{}, false
	}
	for i, v := range values {
		if v.Type.Kind != c.T.Kind {
			return storage.Predicate{}, false
		}
		values[i].Type = c.T
	}
	return storage.Predicate{Column: s.Spec.Columns[c.Index], Op: op, Values: values}, true
}

// asBigint returns the comparison of a bigint x that means CAST(x AS double) op f. For f below
// 2^53 the cast of x and x itself are on the same side of f.
func asBigint(op storage.Op, f float64) (storage.Op, vec.Value, bool) {
	if !(math.Abs(f) < 1<<53) {
		return op, vec.Value{}, false
	}
	bound := math.Floor(f)
	switch op {
	case storage.Gt, storage.Le: // x > 2.5 is x > 2
	case storage.Ge, storage.Lt: // x >= 2.5 is x >= 3
		bound = math.Ceil(f)
	case storage.Eq, storage.Ne:
		if bound != f {
			return op, vec.Value{}, false
		}
	default:
		return op, vec.Value{}, false
	}
	return op, vec.Int(vec.BigintType, int64(bound)), true
}

// match is c as a function of one dimension or of the measure name, which storage
// evaluates once per distinct value. The executor fills the function in.
func (s *Scan) match(c Expr) (storage.Predicate, bool) {
	column := -1
	if !reads(c, func(i int) bool {
		if column < 0 {
			column = i
		}
		return i == column
	}) || column < 0 {
		return storage.Predicate{}, false
	}
	if r := s.Roles[column]; r != storage.Dimension && r != storage.MeasureName {
		return storage.Predicate{}, false
	}
	if isVolatile(c) || hasSubquery(c) || readsParams(c) {
		return storage.Predicate{}, false
	}
	return storage.Predicate{Column: s.Spec.Columns[column], Op: storage.Match, Text: FormatExpr(c, s.Spec.Columns)}, true
}
