package plan

import (
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// aggRef and windowRef stand for the result of an aggregate and of a window function
// while a select list is analysed; they become columns once the nodes that compute
// them are made.
type (
	aggRef struct {
		index int
		t     vec.Type
	}
	windowRef struct {
		index int
		t     vec.Type
	}
)

func (e *aggRef) Type() vec.Type    { return e.t }
func (e *windowRef) Type() vec.Type { return e.t }

// aggregates collects the aggregates of one SELECT, each once.
type aggregates struct {
	list     []Agg
	expected int              // how many there will be, about
	index    map[uint64][]int // by hash
}

func (g *aggregates) add(a Agg) Expr {
	h := mix(textHash(a.Call.Func.Name), hashOf(a.Filter))
	for _, x := range a.Args {
		h = mix(h, hashOf(x))
	}
	for _, i := range g.index[h] {
		have := g.list[i]
		if have.Call.Func == a.Call.Func && have.Distinct == a.Distinct && Same(have.Filter, a.Filter) &&
			sameAll(have.Args, a.Args) && sameKeys(have.Order, a.Order) {
			return &aggRef{i, a.Call.Return}
		}
	}
	if g.index == nil {
		g.index, g.list = map[uint64][]int{}, make([]Agg, 0, g.expected)
	}
	g.index[h] = append(g.index[h], len(g.list))
	g.list = append(g.list, a)
	return &aggRef{len(g.list) - 1, a.Call.Return}
}

// aggregate analyses an aggregate call that is not a window function.
func (a *analyser) aggregate(e *syntax.Call, name string) (Expr, error) {
	if a.aggs == nil {
		return nil, errorAt(e.At, "%s cannot contain aggregations, window functions or grouping operations: [%s]", a.clause, syntax.FormatExpr(e))
	}
	agg, err := a.aggCall(e, name)
	if err != nil {
		return nil, err
	}
	return a.aggs.add(agg), nil
}

// aggCall analyses the parts of an aggregate call, among which none may stand.
func (a *analyser) aggCall(e *syntax.Call, name string) (Agg, error) {
	in := *a
	in.aggs, in.windows, in.clause = nil, nil, "Argument of an aggregation"
	if a.inner != nil {
		in.scope = a.inner
	}
	for _, arg := range e.Args {
		if err := in.rejectAggregatesIn(arg, func() string { return "Aggregation '" + syntax.FormatExpr(e) + "'" }); err != nil {
			return Agg{}, err
		}
	}
	args, err := in.exprs(e.Args)
	if err != nil {
		return Agg{}, err
	}
	types := make([]vec.Type, len(args))
	for i, x := range args {
		types[i] = x.Type()
	}
	if e.Star && name != "count" {
		return Agg{}, errorAt(e.At, "%s(*) is not defined", name)
	}
	call, err := a.env.Functions.Aggregate(name, types)
	if err != nil {
		return Agg{}, resolveError(e.At, err)
	}
	out := Agg{Call: call, Distinct: e.Distinct && !e.Star}
	if out.Args, err = a.coerceAll(args, call.Args, places(e.Args)); err != nil {
		return Agg{}, err
	}
	if e.Filter != nil {
		if out.Filter, err = in.condition(e.Filter, "FILTER expression"); err != nil {
			return Agg{}, err
		}
	}
	out.Order, err = in.sortKeys(e.OrderBy)
	return out, err
}

// sortKeys analyses an order without ordinals.
func (a *analyser) sortKeys(items []syntax.SortItem) ([]SortKey, error) {
	var keys []SortKey
	for _, item := range items {
		x, err := a.expr(item.Expr)
		if err != nil {
			return nil, err
		}
		if err := orderable(x, item.Expr.Pos(), "ORDER BY"); err != nil {
			return nil, err
		}
		keys = append(keys, SortKey{x, item.Desc, item.Nulls == syntax.NullsFirst})
	}
	return keys, nil
}

func orderable(x Expr, at syntax.Pos, clause string) error {
	if !isOrderable(x.Type()) {
		return errorAt(at, "Type %s is not orderable, and therefore cannot be used in %s", x.Type(), clause)
	}
	return nil
}

func isOrderable(t vec.Type) bool {
	switch t.Kind {
	case vec.TimeSeries, vec.Lambda:
		return false
	case vec.Array:
		return isOrderable(*t.Elem)
	case vec.Row:
		for _, f := range t.Fields {
			if !isOrderable(f.Type) {
				return false
			}
		}
	}
	return true
}

// grouping turns expressions over the input of a SELECT into expressions over its
// groups: the keys, then the aggregates.
type grouping struct {
	keys *exprSet
}

// over returns e over the groups, or nil if a part of it is neither a key nor an
// aggregate nor made of such.
func (g *grouping) over(e Expr) Expr {
	ok := true
	key := func(i int) Expr { return &Column{i, g.keys.list[i].Type()} }
	out := g.keys.replace(e, key, func(e Expr) Expr {
		switch e := e.(type) {
		case *aggRef:
			return &Column{len(g.keys.list) + e.index, e.t}
		case *Column:
			ok = false
		}
		return nil
	})
	if !ok {
		return nil
	}
	return out
}

// windows collects the window functions of one SELECT.
type windows struct {
	calls []WindowCall
	specs []windowSpec // of each call
	at    []syntax.Expr
}

type windowSpec struct {
	partition []Expr
	order     []SortKey
}

func (s windowSpec) same(t windowSpec) bool {
	return sameAll(s.partition, t.partition) && sameKeys(s.order, t.order)
}

func (s windowSpec) hash() uint64 {
	h := uint64(len(s.partition))
	for _, e := range s.partition {
		h = mix(h, hashOf(e))
	}
	for _, k := range s.order {
		h = mix(h, hashOf(k.Expr))
	}
	return h
}

// window analyses a call with OVER.
func (a *analyser) window(e *syntax.Call, name string) (Expr, error) {
	if a.windows == nil {
		return nil, errorAt(e.At, "%s cannot contain aggregations, window functions or grouping operations: [%s]", a.clause, syntax.FormatExpr(e))
	}
	in := *a
	in.windows, in.clause = nil, "Window specification"
	call, err := in.windowCall(e, name)
	if err != nil {
		return nil, err
	}
	partition, err := in.exprs(e.Over.Partition)
	if err != nil {
		return nil, err
	}
	order, err := in.sortKeys(e.Over.OrderBy)
	if err != nil {
		return nil, err
	}
	if call.Frame, err = in.frame(e, order); err != nil {
		return nil, err
	}
	a.windows.calls = append(a.windows.calls, call)
	a.windows.specs = append(a.windows.specs, windowSpec{partition, order})
	a.windows.at = append(a.windows.at, e)
	return &windowRef{len(a.windows.calls) - 1, call.T}, nil
}

func (a *analyser) windowCall(e *syntax.Call, name string) (WindowCall, error) {
	reg := a.env.Functions
	args, err := a.exprs(e.Args)
	if err != nil {
		return WindowCall{}, err
	}
	types := make([]vec.Type, len(args))
	for i, x := range args {
		types[i] = x.Type()
	}
	out := WindowCall{IgnoreNulls: e.Nulls == syntax.IgnoreNulls}
	var params []vec.Type
	if reg.IsWindow(name) {
		_, t, err := reg.Window(name, types)
		if err != nil {
			return out, resolveError(e.At, err)
		}
		if params, err = reg.WindowArgs(name, types); err != nil {
			return out, resolveError(e.At, err)
		}
		out.Name, out.T = name, t
	} else {
		if reg.IsScalar(name) && !reg.IsAggregate(name) {
			return out, errorAt(e.At, "Not a window function: %s", name)
		}
		call, err := reg.Aggregate(name, types)
		if err != nil {
			return out, resolveError(e.At, err)
		}
		out.Name, out.Agg, out.T, params = name, call, call.Return, call.Args
	}
	switch {
	case e.Distinct:
		return out, errorAt(e.At, "DISTINCT in window function parameters not yet supported: %s", syntax.FormatExpr(e))
	case len(e.OrderBy) > 0:
		return out, errorAt(e.At, "Window function with ORDER BY is not supported")
	}
	if out.Args, err = a.coerceAll(args, params, places(e.Args)); err != nil || e.Filter == nil {
		return out, err
	}
	if out.Agg == nil {
		return out, errorAt(e.At, "FILTER is only for aggregations")
	}
	out.Filter, err = a.condition(e.Filter, "FILTER expression")
	return out, err
}

// frame analyses the frame of a call; the default runs from the partition's start to the last
// peer of the row.
func (a *analyser) frame(e *syntax.Call, order []SortKey) (Frame, error) {
	f := e.Over.Frame
	if f == nil {
		return Frame{Start: Bound{Kind: UnboundedPreceding}, End: Bound{Kind: CurrentRow}}, nil
	}
	start, err := a.bound(f, f.Start, order)
	if err != nil {
		return Frame{}, err
	}
	end, err := a.bound(f, f.End, order)
	if err != nil {
		return Frame{}, err
	}
	switch {
	case start.Kind == UnboundedFollowing:
		return Frame{}, errorAt(f.At, "Window frame start cannot be UNBOUNDED FOLLOWING")
	case end.Kind == UnboundedPreceding:
		return Frame{}, errorAt(f.At, "Window frame end cannot be UNBOUNDED PRECEDING")
	case start.Kind > end.Kind:
		return Frame{}, errorAt(f.At, "Window frame starting from %s cannot end with %s", boundNames[start.Kind], boundNames[end.Kind])
	}
	return Frame{Rows: f.Rows, Start: start, End: end}, nil
}

var boundNames = [...]string{"UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING"}

func (a *analyser) bound(f *syntax.Frame, b syntax.Bound, order []SortKey) (Bound, error) {
	out := Bound{Kind: BoundKind(b.Kind)}
	if b.Offset == nil {
		return out, nil
	}
	x, err := a.expr(b.Offset)
	if err != nil {
		return out, err
	}
	at := b.Offset.Pos()
	if f.Rows {
		if k := x.Type().Kind; k != vec.Integer && k != vec.Bigint {
			return out, errorAt(at, "Window frame offset must be of type bigint (actual %s)", x.Type())
		}
		out.Offset, err = a.coerce(x, vec.BigintType, at)
		return out, err
	}
	if len(order) != 1 {
		return out, errorAt(f.At, "Window frame of type RANGE PRECEDING or FOLLOWING requires single sort item in ORDER BY (actual: %d)", len(order))
	}
	want, ok := rangeOffset(order[0].Expr.Type(), x.Type())
	if !ok {
		return out, errorAt(at, "Window frame RANGE value type (%s) not compatible with sort item type (%s)", x.Type(), order[0].Expr.Type())
	}
	out.Offset, err = a.coerce(x, want, at)
	return out, err
}

// rangeOffset returns the type that an offset of a RANGE frame over keys of type key has to have.
func rangeOffset(key, offset vec.Type) (vec.Type, bool) {
	switch key.Kind {
	case vec.Integer, vec.Bigint, vec.Double:
		want := key
		if key.Kind == vec.Integer {
			want = vec.BigintType
		}
		return want, fn.Coercible(offset, want)
	case vec.Timestamp, vec.Date:
		return offset, offset.Kind == vec.IntervalDay || offset.Kind == vec.IntervalYear
	case vec.Time:
		return vec.IntervalDayType, offset.Kind == vec.IntervalDay
	case vec.IntervalDay, vec.IntervalYear:
		return key, offset.Kind == key.Kind
	}
	return vec.Type{}, false
}
