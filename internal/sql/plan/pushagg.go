package plan

import (
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// pushAggregation offers a grouping to the scan below it, if every key is made of
// dimensions, the measure name and bins of time, and storage has states for every
// aggregate. The executor merges the partial groups by the keys, which are then
// evaluated over the partial keys.
//
// SELECT DISTINCT of such keys is a grouping without aggregates. What storage cannot take as it
// is, may be split (see splitAggregates).
func pushAggregation(b *builder, n Node) Node {
	return transform(n, func(n Node) Node {
		switch n := n.(type) {
		case *Aggregate:
			if scan, ok := n.Input.(*Scan); ok && n.Pushed == nil {
				if n.Pushed = pushdown(n, scan); n.Pushed == nil {
					out := splitAggregates(b, n, scan)
					if out != Node(n) {
						b.changes++
					}
					return out
				}
				b.changes++
			}
		case *Distinct:
			if a := groupOf(n); a != nil {
				b.changes++
				return a
			}
		}
		return n
	})
}

// groupOf returns a pushed grouping that gives the rows of d, or nil.
func groupOf(d *Distinct) Node {
	types := d.Types()
	a := &Aggregate{Keys: make([]Expr, len(types))}
	var scan *Scan
	for i, t := range types {
		scan, a.Keys[i] = scanBelow(d.Input, &Column{i, t})
	}
	if scan == nil || scan.Spec.Limit > 0 {
		return nil
	}
	a.Input = scan
	if a.Pushed = pushdown(a, scan); a.Pushed == nil {
		return nil
	}
	return a
}

// pusher builds a [Pushdown].
type pusher struct {
	scan *Scan
	out  *Pushdown
	bin  int64 // width of the partial time bins: divides every bin of the keys; 0: none
	bad  bool
}

func pushdown(a *Aggregate, scan *Scan) *Pushdown {
	p := &pusher{scan: scan, out: &Pushdown{}}
	for _, k := range a.Keys {
		p.findBins(k)
	}
	for _, k := range a.Keys {
		p.out.Keys = append(p.out.Keys, p.key(k))
	}
	for _, agg := range a.Aggs {
		p.aggregate(agg)
	}
	if p.bad {
		return nil
	}
	if len(p.out.Spec.Aggs) == 0 {
		p.out.Spec.Aggs = []storage.Agg{{Func: storage.CountRows}}
	}
	keys := len(p.out.Spec.Keys)
	for i := range p.out.States {
		p.out.States[i] += keys
	}
	return p.out
}

// grain returns the width of bins of time that decide call's value, and the position of time
// among the arguments.
func (p *pusher) grain(c *Call) (width int64, at int, ok bool) {
	const second, minute, hour, day = int64(1e9), int64(60e9), int64(3600e9), int64(86400e9)
	switch c.Call.Func.Name {
	case "bin":
		if v, isConst := constOf(c.Args[1]); isConst && !v.Null && v.Int > 0 && v.Type.Kind == vec.IntervalDay {
			return v.Int, 0, p.scan.isTime(c.Args[0])
		}
	case "date_trunc":
		v, isConst := constOf(c.Args[0])
		if !isConst || v.Null {
			return 0, 0, false
		}
		width, ok := map[string]int64{
			"second": second, "minute": minute, "hour": hour, "day": day, "week": day, "month": day, "quarter": day, "year": day,
		}[v.Str]
		return width, 1, ok && p.scan.isTime(c.Args[1])
	case "year", "quarter", "month", "week", "week_of_year", "day", "day_of_month", "day_of_week", "dow", "day_of_year", "doy",
		"year_of_week", "yow", "date", "last_day_of_month":
		return day, 0, len(c.Args) == 1 && p.scan.isTime(c.Args[0])
	case "hour":
		return hour, 0, len(c.Args) == 1 && p.scan.isTime(c.Args[0])
	case "minute":
		return minute, 0, len(c.Args) == 1 && p.scan.isTime(c.Args[0])
	}
	return 0, 0, false
}

// findBins makes bin a common divisor of the grains in e.
func (p *pusher) findBins(e Expr) {
	walkExpr(e, func(x Expr) bool {
		if c, ok := x.(*Call); ok {
			if width, _, ok := p.grain(c); ok {
				p.bin = gcd(p.bin, width)
				return false
			}
		}
		return true
	})
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// key returns e over the partial keys.
func (p *pusher) key(e Expr) Expr {
	switch e := e.(type) {
	case *Column:
		if r := p.scan.Roles[e.Index]; r == storage.Dimension || r == storage.MeasureName {
			return p.partial(storage.GroupKey{Column: p.scan.Spec.Columns[e.Index]}, e.T)
		}
		p.bad = true
		return e
	case *Call:
		if width, at, ok := p.grain(e); ok {
			key := p.partial(storage.GroupKey{Column: storage.TimeColumnName, BinNs: p.bin}, vec.TimestampType)
			if e.Call.Func.Name == "bin" && width == p.bin {
				return key
			}
			args := append([]Expr(nil), e.Args...)
			args[at] = key
			return &Call{e.Call, args}
		}
		if e.Call.Func.Volatile {
			p.bad = true
		}
	case *Subquery, *Param, *Lambda:
		p.bad = true
		return e
	}
	return mapOperands(e, p.key)
}

// partial returns the column of a partial key, adding it if it is new.
func (p *pusher) partial(k storage.GroupKey, t vec.Type) Expr {
	for i, have := range p.out.Spec.Keys {
		if have == k {
			return &Column{i, t}
		}
	}
	p.out.Spec.Keys = append(p.out.Spec.Keys, k)
	return &Column{len(p.out.Spec.Keys) - 1, t}
}

// aggregate adds the states that a needs (see fn.Merger).
func (p *pusher) aggregate(a Agg) {
	if a.Distinct || a.Filter != nil || len(a.Order) > 0 {
		p.bad = true
		return
	}
	var funcs []storage.AggFunc
	column, t := "", vec.Type{}
	name := a.Call.Func.Name
	if name == "count" && (len(a.Args) == 0 || isNotNullConst(a.Args[0])) {
		funcs = []storage.AggFunc{storage.CountRows}
	} else {
		var ok bool
		if column, t, ok = p.operand(a); !ok {
			p.bad = true
			return
		}
		funcs = statesOf(name, t)
	}
	if funcs == nil {
		p.bad = true
		return
	}
	p.states(funcs, column, t)
}

func isNotNullConst(e Expr) bool {
	v, ok := constOf(e)
	return ok && !v.Null
}

// operand returns the column that a is of: a value column, or time.
func (p *pusher) operand(a Agg) (column string, t vec.Type, ok bool) {
	want := 1
	switch a.Call.Func.Name {
	case "max_by", "min_by":
		want = 2
	}
	if len(a.Args) != want || want == 2 && !p.scan.isTime(a.Args[1]) {
		return "", t, false
	}
	c, isColumn := a.Args[0].(*Column)
	if !isColumn || !c.T.Equal(a.Call.Args[0]) {
		return "", t, false
	}
	switch p.scan.Roles[c.Index] {
	case storage.Dimension, storage.MeasureName:
		return "", t, false
	case storage.TimeColumn:
		if want == 2 {
			return "", t, false
		}
	}
	return p.scan.Spec.Columns[c.Index], c.T, true
}

// statesOf returns what storage computes for an aggregate over a column of type t, or nil.
func statesOf(name string, t vec.Type) []storage.AggFunc {
	number := t.Kind == vec.Double || t.Kind == vec.Bigint
	switch name {
	case "count":
		return []storage.AggFunc{storage.Count}
	case "min":
		return []storage.AggFunc{storage.Min}
	case "max":
		return []storage.AggFunc{storage.Max}
	case "max_by":
		return []storage.AggFunc{storage.Last}
	case "min_by":
		return []storage.AggFunc{storage.First}
	}
	if !number {
		return nil
	}
	switch name {
	case "sum":
		return []storage.AggFunc{storage.Sum}
	case "avg":
		if t.Kind == vec.Double {
			return []storage.AggFunc{storage.Sum, storage.Count}
		}
		return []storage.AggFunc{storage.Moments}
	case "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop":
		return []storage.AggFunc{storage.Moments}
	}
	return nil
}

// states finds or adds storage aggregates that follow each other.
func (p *pusher) states(funcs []storage.AggFunc, column string, t vec.Type) {
	width := 0
	for _, f := range funcs {
		width += len(f.States(t))
	}
	at, aggs := 0, p.out.Spec.Aggs
	for i := range aggs {
		if matches(aggs[i:], funcs, column) {
			p.out.States, p.out.Widths = append(p.out.States, at), append(p.out.Widths, width)
			return
		}
		at += len(aggs[i].Func.States(p.typeOf(aggs[i].Column)))
	}
	for _, f := range funcs {
		p.out.Spec.Aggs = append(p.out.Spec.Aggs, storage.Agg{Func: f, Column: column})
	}
	p.out.States, p.out.Widths = append(p.out.States, at), append(p.out.Widths, width)
}

func matches(have []storage.Agg, funcs []storage.AggFunc, column string) bool {
	if len(have) < len(funcs) {
		return false
	}
	for i, f := range funcs {
		if have[i] != (storage.Agg{Func: f, Column: column}) {
			return false
		}
	}
	return true
}

func (p *pusher) typeOf(column string) vec.Type {
	for i, name := range p.scan.Spec.Columns {
		if name == column {
			return p.scan.Cols[i]
		}
	}
	return vec.BigintType // of CountRows, which has no column
}
