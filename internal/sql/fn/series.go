package fn

import (
	"math"
	"sort"

	"github.com/weir-db/weir/internal/vec"
)

// seriesFunctions is sql.md section 11.2 without the lambdas. A series is its points
// in time order; values may be null in series that came out of an interpolation, and
// such points are passed over.
func seriesFunctions() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"time series", text, example, result}, Eval: eval}
	}
	const ds = "interval day to second"
	const (
		series = "create_time_series(time, v)"
		from   = " FROM (VALUES (TIMESTAMP '2031-02-03 00:00', 1.0), (TIMESTAMP '2031-02-03 00:10', 3.0), (TIMESTAMP '2031-02-03 00:30', 2.0)) AS t(time, v)"
		grid   = "ARRAY[TIMESTAMP '2031-02-03 00:10', TIMESTAMP '2031-02-03 00:05', TIMESTAMP '2031-02-03 00:40']"
		at     = "TIMESTAMP '2031-02-03 00:05'"
	)
	// filled is the text of the series over grid with values a, b and c.
	filled := func(a, b, c string) string {
		return "[(2031-02-03 00:05:00.000000000, " + a + "), (2031-02-03 00:10:00.000000000, " + b + "), (2031-02-03 00:40:00.000000000, " + c + ")]"
	}
	var out []Scalar
	for _, m := range []struct {
		name, text, value, one, many string
		method                       interpolation
	}{
		{"interpolate_linear", "on the line between the neighbours, null outside the series", "double", "2.0", filled("2.0", "3.0", "NULL"), linearAt},
		{"interpolate_spline_cubic", "on the natural cubic spline through all points, null outside the series", "double", "2.15625", filled("2.15625", "3.0", "NULL"), splineAt},
		{"interpolate_locf", "the last one at or before, null before the first", "T", "1.0", filled("1.0", "3.0", "2.0"), locfAt},
	} {
		out = append(out,
			f(m.name+"(timeseries("+m.value+"), array(timestamp)) -> timeseries("+m.value+")", "The series at the given timestamps: "+m.text+".", m.name+"("+series+", "+grid+")"+from, m.many, interpolateMany(m.method)),
			f(m.name+"(timeseries("+m.value+"), timestamp) -> "+m.value, "The series at one timestamp: "+m.text+".", m.name+"("+series+", "+at+")"+from, m.one, interpolateOne(m.method)))
	}
	twin := ", create_time_series(time, v * v)"
	return append(out,
		f("interpolate_fill(timeseries(T), array(timestamp), T) -> timeseries(T)", "The series at the given timestamps: the constant where there is no point.", "interpolate_fill("+series+", "+grid+", 0.0)"+from, filled("0.0", "3.0", "0.0"), interpolateMany(exactAt)),
		f("interpolate_fill(timeseries(T), timestamp, T) -> T", "The series at one timestamp: the constant if there is no point.", "interpolate_fill("+series+", "+at+", 0.0)"+from, "0.0", interpolateOne(exactAt)),
		f("derivative_linear(timeseries(double), "+ds+") -> timeseries(double)", "The rate of change per span between neighbours, at the later of the two.", "derivative_linear("+series+", 1m)"+from, "[(2031-02-03 00:10:00.000000000, 0.2), (2031-02-03 00:30:00.000000000, -0.05)]", derivative(false)),
		f("non_negative_derivative_linear(timeseries(double), "+ds+") -> timeseries(double)", "The rate of change per span between neighbours, without negative ones.", "non_negative_derivative_linear("+series+", 1m)"+from, "[(2031-02-03 00:10:00.000000000, 0.2)]", derivative(true)),
		f("integral_trapezoidal(timeseries(double)) -> double", "The area under the lines between the points, in value times seconds.", "integral_trapezoidal("+series+")"+from, "4200.0", integral),
		f("integral_trapezoidal(timeseries(double), "+ds+") -> double", "The area under the lines between the points, in value times span.", "integral_trapezoidal("+series+", 10m)"+from, "7.0", integral),
		f("correlate_pearson(timeseries(double), timeseries(double)) -> double", "Pearson's correlation of two series with the same timestamps.", "round(correlate_pearson("+series+twin+"), 6)"+from, "0.989743", correlate(func(x []float64) []float64 { return x })),
		f("correlate_spearman(timeseries(double), timeseries(double)) -> double", "Spearman's rank correlation of two series with the same timestamps.", "correlate_spearman("+series+twin+")"+from, "1.0", correlate(ranks)),
	)
}

// points is one series: times ascending, values by row of vals.
type points struct {
	times []int64
	vals  *vec.Vector // flat
	rows  []int32     // of vals, one per time
}

// pointsOf returns the points of row i that have a value. times and vals are the flat
// children of the series vector.
func pointsOf(v *vec.Vector, times []int64, vals *vec.Vector, i int) points {
	from, to := span(v, i)
	p := points{vals: vals}
	for r := from; r < to; r++ {
		if !vals.IsNull(r) {
			p.times = append(p.times, times[r])
			p.rows = append(p.rows, int32(r))
		}
	}
	return p
}

// seriesOf returns the flat children of a series vector.
func seriesOf(v *vec.Vector) (times []int64, vals *vec.Vector) {
	return v.Children[0].Flat().Ints, v.Children[1].Flat()
}

// lastAt returns the number of the last point at or before t, -1 if there is none.
func (p points) lastAt(t int64) int {
	return sort.Search(len(p.times), func(i int) bool { return p.times[i] > t }) - 1
}

func (p points) float(i int) float64 { return p.vals.Floats[p.rows[i]] }

// interpolation prepares a series and appends values at timestamps to out. fill, at
// row i, is the constant of interpolate_fill.
type interpolation func(p points, fill *vec.Vector, i int) func(out *vec.Builder, t int64)

// within appends f of the interval that holds t: null outside the span of the series,
// the value of the point itself on a point.
func (p points) within(f func(i int, t int64) float64) func(out *vec.Builder, t int64) {
	return func(out *vec.Builder, t int64) {
		switch i := p.lastAt(t); {
		case i < 0 || i == len(p.times)-1 && p.times[i] != t:
			out.AppendNull()
		case p.times[i] == t:
			out.Append(vec.Float(p.float(i)))
		default:
			out.Append(vec.Float(f(i, t)))
		}
	}
}

func linearAt(p points, _ *vec.Vector, _ int) func(out *vec.Builder, t int64) {
	return p.within(func(i int, t int64) float64 {
		a, b := p.float(i), p.float(i+1)
		return a + (b-a)*fraction(p.times[i], p.times[i+1], t)
	})
}

// fraction says how far t is from a to b.
func fraction(a, b, t int64) float64 {
	return float64(uint64(t)-uint64(a)) / float64(uint64(b)-uint64(a))
}

func locfAt(p points, _ *vec.Vector, _ int) func(out *vec.Builder, t int64) {
	return func(out *vec.Builder, t int64) {
		if i := p.lastAt(t); i >= 0 {
			out.AppendFrom(p.vals, int(p.rows[i]))
			return
		}
		out.AppendNull()
	}
}

func exactAt(p points, fill *vec.Vector, row int) func(out *vec.Builder, t int64) {
	return func(out *vec.Builder, t int64) {
		if i := p.lastAt(t); i >= 0 && p.times[i] == t {
			out.AppendFrom(p.vals, int(p.rows[i]))
			return
		}
		out.AppendFrom(fill, row)
	}
}

// splineAt is the natural cubic spline: second derivatives are 0 at both ends. Of
// points at the same time the last counts.
func splineAt(p points, _ *vec.Vector, _ int) func(out *vec.Builder, t int64) {
	p = p.unique()
	n := len(p.times)
	second := make([]float64, n) // second derivatives per square second
	if n > 2 {
		naturalSpline(p, second)
	}
	return p.within(func(i int, t int64) float64 {
		h := seconds(p.times[i], p.times[i+1])
		u := fraction(p.times[i], p.times[i+1], t)
		w := 1 - u
		return w*p.float(i) + u*p.float(i+1) + ((w*w*w-w)*second[i]+(u*u*u-u)*second[i+1])*h*h/6
	})
}

// unique drops all but the last of the points at one time.
func (p points) unique() points {
	q := points{vals: p.vals}
	for i, t := range p.times {
		if i+1 < len(p.times) && p.times[i+1] == t {
			continue
		}
		q.times, q.rows = append(q.times, t), append(q.rows, p.rows[i])
	}
	return q
}

// naturalSpline solves the tridiagonal system for the second derivatives.
func naturalSpline(p points, second []float64) {
	n := len(second)
	rest := make([]float64, n)
	for i := 1; i < n-1; i++ {
		h0, h1 := seconds(p.times[i-1], p.times[i]), seconds(p.times[i], p.times[i+1])
		s := h0 / (h0 + h1)
		pivot := s*second[i-1] + 2
		second[i] = (s - 1) / pivot
		slope := (p.float(i+1)-p.float(i))/h1 - (p.float(i)-p.float(i-1))/h0
		rest[i] = (6*slope/(h0+h1) - s*rest[i-1]) / pivot
	}
	second[n-1] = 0
	for i := n - 2; i >= 0; i-- {
		second[i] = second[i]*second[i+1] + rest[i]
	}
}

func seconds(a, b int64) float64 { return float64(uint64(b)-uint64(a)) / 1e9 }

func interpolateOne(method interpolation) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		times, vals := seriesOf(args[0])
		at := colOf[int64](args[1])
		out := vec.NewBuilder(c.Return, n)
		for i := range n {
			method(pointsOf(args[0], times, vals, i), args[len(args)-1], i)(out, at.at(i))
		}
		return out.Vector(), nil
	}
}

func interpolateMany(method interpolation) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		times, vals := seriesOf(args[0])
		grid := args[1].Children[0].Flat()
		offsets := make([]int32, 1, n+1)
		var stamps []int64
		out := vec.NewBuilder(*c.Return.Elem, n)
		for i := range n {
			at := method(pointsOf(args[0], times, vals, i), args[len(args)-1], i)
			asked, err := ascending(grid, args[1], i)
			if err != nil {
				return nil, err
			}
			for _, t := range asked {
				at(out, t)
			}
			stamps = append(stamps, asked...)
			offsets = append(offsets, int32(len(stamps)))
		}
		return vec.OfNested(c.Return, offsets, nil, vec.OfInts(vec.TimestampType, stamps, nil), out.Vector()), nil
	}
}

// ascending returns the timestamps of row i of an array, sorted.
func ascending(elems, v *vec.Vector, i int) ([]int64, error) {
	from, to := span(v, i)
	for r := from; r < to; r++ {
		if elems.IsNull(r) {
			return nil, fail("interpolation does not take a null timestamp")
		}
	}
	if from == to {
		return nil, nil
	}
	asked := append([]int64(nil), elems.Ints[from:to]...)
	sort.Slice(asked, func(a, b int) bool { return asked[a] < asked[b] })
	return asked, nil
}

// derivative gives Δv·span/Δt at each point but the first. Points at the same time as
// the one before give no rate.
func derivative(nonNegative bool) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		times, vals := seriesOf(args[0])
		spans := colOf[int64](args[1])
		offsets := make([]int32, 1, n+1)
		var stamps []int64
		var rates []float64
		for i := range n {
			p := pointsOf(args[0], times, vals, i).unique()
			for k := 1; k < len(p.times); k++ {
				rate := (p.float(k) - p.float(k-1)) * float64(spans.at(i)) / float64(uint64(p.times[k])-uint64(p.times[k-1]))
				if !nonNegative || rate >= 0 {
					stamps, rates = append(stamps, p.times[k]), append(rates, rate)
				}
			}
			offsets = append(offsets, int32(len(stamps)))
		}
		return vec.OfNested(c.Return, offsets, nil, vec.OfInts(vec.TimestampType, stamps, nil), vec.OfFloats(rates, nil)), nil
	}
}

func integral(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	times, vals := seriesOf(args[0])
	unit := col[int64]{vals: []int64{vec.Second}}
	if len(args) > 1 {
		unit = colOf[int64](args[1])
	}
	return collect(c, n, func(i int) (float64, bool, error) {
		if unit.at(i) == 0 {
			return 0, false, fail("Division by zero")
		}
		p := pointsOf(args[0], times, vals, i)
		area := 0.0
		for k := 1; k < len(p.times); k++ {
			area += (p.float(k-1) + p.float(k)) / 2 * float64(uint64(p.times[k])-uint64(p.times[k-1]))
		}
		return area / float64(unit.at(i)), true, nil
	})
}

func correlate(prepare func([]float64) []float64) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		timesA, valsA := seriesOf(args[0])
		timesB, valsB := seriesOf(args[1])
		return collect(c, n, func(i int) (float64, bool, error) {
			a, b := pointsOf(args[0], timesA, valsA, i), pointsOf(args[1], timesB, valsB, i)
			x, y, err := aligned(a, b)
			if err != nil {
				return 0, false, err
			}
			r, ok := correlation(comomentsOf(prepare(y), prepare(x)))
			return r, ok && len(x) > 1, nil
		})
	}
}

func aligned(a, b points) (x, y []float64, err error) {
	if len(a.times) != len(b.times) {
		return nil, nil, fail("the series to correlate must have the same timestamps: %d and %d points", len(a.times), len(b.times))
	}
	for k, t := range a.times {
		if b.times[k] != t {
			return nil, nil, fail("the series to correlate must have the same timestamps: %s and %s", vec.AppendTimestamp(nil, t, ' '), vec.AppendTimestamp(nil, b.times[k], ' '))
		}
		x, y = append(x, a.float(k)), append(y, b.float(k))
	}
	return x, y, nil
}

// ranks replaces values by their ranks; equal values share the mean of theirs.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return vec.CompareFloats(x[order[a]], x[order[b]]) < 0 })
	out := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && (x[order[j]] == x[order[i]] || math.IsNaN(x[order[j]]) && math.IsNaN(x[order[i]])) {
			j++
		}
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j+1) / 2
		}
		i = j
	}
	return out
}
