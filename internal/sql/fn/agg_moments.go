package fn

import (
	"math"

	"github.com/weir-db/weir/internal/vec"
)

// momentAggregates is variance and its kin, skewness, correlation and regression.
//
// All keep means and sums of products of deviations, never sums of squares. A run of
// rows of one group is reduced in two passes and then merged (Chan, Golub, LeVeque:
// "Updating formulae and a pairwise algorithm for computing sample variances"); a run of
// one row is Welford's update.
func momentAggregates() []Aggregate {
	values := " FROM (VALUES 2, 4, 4, 4, 5, 5, 7, 9, NULL) AS t(x)"
	pairs := " FROM (VALUES (2.0, 1.0), (4.0, 2.0), (7.0, 3.0), (NULL, 4.0)) AS t(y, x)"
	var out []Aggregate
	spread := func(name, text, result string, new func([]vec.Type, vec.Type) Accumulator) {
		out = append(out,
			aggregate(name+"(bigint) -> double", text, name+"(x)"+values, result, new),
			aggregate(name+"(double) -> double", text, name+"(x * 1.0)"+values, result, new))
	}
	spread("stddev", "The sample standard deviation.", "2.138089935299395", newVariance(sampleDeviation))
	spread("stddev_samp", "The sample standard deviation.", "2.138089935299395", newVariance(sampleDeviation))
	spread("stddev_pop", "The population standard deviation.", "2.0", newVariance(populationDeviation))
	spread("variance", "The sample variance.", "4.571428571428571", newVariance(sampleVariance))
	spread("var_samp", "The sample variance.", "4.571428571428571", newVariance(sampleVariance))
	spread("var_pop", "The population variance.", "4.0", newVariance(populationVariance))
	spread("skewness", "The skewness; null for fewer than three values.", "0.65625", newSkewness)
	pair := func(name, text, result string, finish func(p comoments) (float64, bool)) {
		out = append(out, aggregate(name+"(double, double) -> double", text, name+"(y, x)"+pairs, result, newComoments(finish)))
	}
	pair("corr", "Pearson's correlation of y and x.", "0.9933992677987827", correlation)
	pair("covar_pop", "The population covariance of y and x.", "1.6666666666666667", func(p comoments) (float64, bool) { return p.cxy / p.n, p.n > 0 })
	pair("covar_samp", "The sample covariance of y and x.", "2.5", func(p comoments) (float64, bool) { return p.cxy / (p.n - 1), p.n > 1 })
	pair("regr_slope", "The slope of the least-squares line through the points (x, y).", "2.5", func(p comoments) (float64, bool) { return p.cxy / p.m2x, p.n > 1 })
	pair("regr_intercept", "Where the least-squares line through the points (x, y) crosses x = 0.", "-0.666666666666667", intercept)
	return append(out, aggregate("geometric_mean(double) -> double", "The n-th root of the product.", "geometric_mean(x) FROM (VALUES 2.0, 8.0, NULL) AS t(x)", "4.0", newGeometricMean))
}

// moments is the count, mean and sums of powers of deviations of some values.
type moments struct{ n, mean, m2, m3 float64 }

// merge returns the moments of the values of both.
func (a moments) merge(b moments) moments {
	switch {
	case a.n == 0:
		return b
	case b.n == 0:
		return a
	}
	n := a.n + b.n
	d := b.mean - a.mean
	return moments{
		n:    n,
		mean: a.mean + d*b.n/n,
		m2:   a.m2 + b.m2 + d*d*a.n*b.n/n,
		m3:   a.m3 + b.m3 + d*d*d*a.n*b.n*(a.n-b.n)/(n*n) + 3*d*(a.n*b.m2-b.n*a.m2)/n,
	}
}

// momentsOf reduces values in two passes.
func momentsOf(vals []float64) moments {
	if len(vals) == 1 {
		return moments{n: 1, mean: vals[0]}
	}
	m := moments{n: float64(len(vals))}
	m.mean = sumOf(vals) / m.n
	if m.mean-m.mean != 0 {
		m.mean = meanOfLarge(vals)
	}
	for _, x := range vals {
		d := x - m.mean
		m.m2 += d * d
		m.m3 += d * d * d
	}
	return m
}

// meanOfLarge is the mean of values whose sum leaves the range of doubles.
func meanOfLarge(vals []float64) float64 {
	mean := 0.0
	for i, x := range vals {
		mean += (x - mean) / float64(i+1)
	}
	return mean
}

func populationVariance(m moments) (float64, bool) { return m.m2 / m.n, m.n > 0 }

func sampleVariance(m moments) (float64, bool) { return m.m2 / (m.n - 1), m.n > 1 }

func sampleDeviation(m moments) (float64, bool) {
	v, ok := sampleVariance(m)
	return math.Sqrt(v), ok
}

func populationDeviation(m moments) (float64, bool) {
	v, ok := populationVariance(m)
	return math.Sqrt(v), ok
}

func skewness(m moments) (float64, bool) {
	return math.Sqrt(m.n) * m.m3 / math.Pow(m.m2, 1.5), m.n > 2
}

type momentsAcc struct {
	groups []moments
	finish func(m moments) (float64, bool)
}

func newVariance(finish func(m moments) (float64, bool)) func([]vec.Type, vec.Type) Accumulator {
	return func([]vec.Type, vec.Type) Accumulator { return &varianceAcc{momentsAcc{finish: finish}} }
}

func newSkewness([]vec.Type, vec.Type) Accumulator { return &momentsAcc{finish: skewness} }

func (a *momentsAcc) Resize(n int) { a.groups = grow(a.groups, n) }

func (a *momentsAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	vals := floatsOf(args[0])
	eachRun(groups, func(g int32, from, to int) {
		a.groups[g] = a.groups[g].merge(momentsOf(vals[from:to]))
	})
	return nil
}

// floatsOf returns the values of a numeric vector as doubles.
func floatsOf(v *vec.Vector) []float64 {
	v = v.Flat()
	if v.Type.Kind == vec.Double {
		return v.Floats
	}
	out := make([]float64, v.Len())
	for i, x := range v.Ints {
		out[i] = float64(x)
	}
	return out
}

func (a *momentsAcc) Result() (*vec.Vector, error) {
	return finishFloats(len(a.groups), func(g int) (float64, bool) { return a.finish(a.groups[g]) }), nil
}

func (a *momentsAcc) SizeBytes() int64 { return int64(len(a.groups)) * 4 * wordBytes }

// varianceAcc can merge: of the moments, it needs those that storage computes.
type varianceAcc struct{ momentsAcc }

// Merge takes the state columns n, mean, m2.
func (a *varianceAcc) Merge(groups []int32, states []*vec.Vector) error {
	n, mean, m2 := states[0].Flat(), states[1].Flat(), states[2].Flat()
	for i, g := range groups {
		if !n.IsNull(i) && n.Ints[i] > 0 {
			a.groups[g] = a.groups[g].merge(moments{n: float64(n.Ints[i]), mean: mean.Floats[i], m2: m2.Floats[i]})
		}
	}
	return nil
}

// finishFloats makes the result of n groups; false is null.
func finishFloats(n int, f func(g int) (float64, bool)) *vec.Vector {
	out := make([]float64, n)
	return vec.OfFloats(out, nullsUnless(n, func(g int) (ok bool) {
		out[g], ok = f(g)
		return ok
	}))
}

// comoments is moments of two variables together.
type comoments struct{ n, x, y, m2x, m2y, cxy float64 }

func (a comoments) merge(b comoments) comoments {
	switch {
	case a.n == 0:
		return b
	case b.n == 0:
		return a
	}
	n := a.n + b.n
	dx, dy, w := b.x-a.x, b.y-a.y, a.n*b.n/n
	return comoments{
		n: n, x: a.x + dx*b.n/n, y: a.y + dy*b.n/n,
		m2x: a.m2x + b.m2x + dx*dx*w, m2y: a.m2y + b.m2y + dy*dy*w, cxy: a.cxy + b.cxy + dx*dy*w,
	}
}

func comomentsOf(y, x []float64) comoments {
	n := float64(len(x))
	p := comoments{n: n, x: sumOf(x) / n, y: sumOf(y) / n}
	for i := range x {
		dx, dy := x[i]-p.x, y[i]-p.y
		p.m2x += dx * dx
		p.m2y += dy * dy
		p.cxy += dx * dy
	}
	return p
}

// correlation is null for fewer than two points and, by division, NaN when a variable
// does not vary.
func correlation(p comoments) (float64, bool) {
	scale := math.Sqrt(p.m2x * p.m2y)
	if scale == 0 || math.IsInf(scale, 0) {
		scale = math.Sqrt(p.m2x) * math.Sqrt(p.m2y)
	}
	return max(-1, min(1, p.cxy/scale)), p.n > 1
}

func intercept(p comoments) (float64, bool) { return p.y - p.cxy/p.m2x*p.x, p.n > 1 }

type comomentsAcc struct {
	groups []comoments
	finish func(p comoments) (float64, bool)
}

func newComoments(finish func(p comoments) (float64, bool)) func([]vec.Type, vec.Type) Accumulator {
	return func([]vec.Type, vec.Type) Accumulator { return &comomentsAcc{finish: finish} }
}

func (a *comomentsAcc) Resize(n int) { a.groups = grow(a.groups, n) }

func (a *comomentsAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	y, x := floatsOf(args[0]), floatsOf(args[1])
	eachRun(groups, func(g int32, from, to int) {
		a.groups[g] = a.groups[g].merge(comomentsOf(y[from:to], x[from:to]))
	})
	return nil
}

func (a *comomentsAcc) Result() (*vec.Vector, error) {
	return finishFloats(len(a.groups), func(g int) (float64, bool) { return a.finish(a.groups[g]) }), nil
}

func (a *comomentsAcc) SizeBytes() int64 { return int64(len(a.groups)) * 6 * wordBytes }

// geometricMean is the exponential of the mean of logarithms.
type geometricMean struct{ logs sumFloat }

func newGeometricMean([]vec.Type, vec.Type) Accumulator { return &geometricMean{} }

func (a *geometricMean) Resize(n int) { a.logs.Resize(n) }

func (a *geometricMean) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	logs := make([]float64, len(groups))
	for i, x := range floatsOf(args[0]) {
		logs[i] = math.Log(x)
	}
	return a.logs.Add(groups, []*vec.Vector{vec.OfFloats(logs, nil)})
}

func (a *geometricMean) Result() (*vec.Vector, error) {
	return finishFloats(len(a.logs.n), func(g int) (float64, bool) {
		return math.Exp(a.logs.sums[g] / float64(a.logs.n[g])), a.logs.n[g] > 0
	}), nil
}

func (a *geometricMean) SizeBytes() int64 { return a.logs.SizeBytes() }
