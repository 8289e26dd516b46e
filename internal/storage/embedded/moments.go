package embedded

import (
	"math/bits"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

// hasMoments reports whether moments are among the aggregates. Those of a slot are merged by another
// formula than [storage.Moments] of several rows are by their reader, which may differ in the last digit.
func (p *plan) hasMoments() bool {
	return slices.ContainsFunc(p.aggs, func(c aggColumn) bool { return c.fn == storage.Moments })
}

// addMoments adds rows by two passes.
func (c *stateColumn) addMoments(slot int, v *values, lo, hi int) {
	n := countNonNull(v, lo, hi)
	if n == 0 {
		return
	}
	if v.scaled {
		mean, m2 := intMoments(v.ints[lo:hi])
		p := codec.Pow10(v.scale)
		c.mergeMoments(slot, n, mean/p, m2/p/p)
		return
	}
	var nulls []bool
	if v.nulls != nil {
		nulls = v.nulls[lo:hi]
	}
	var mean, m2 float64
	if v.kind == vec.Double {
		mean, m2 = moments(v.floats[lo:hi], nulls, n)
	} else {
		mean, m2 = moments(v.ints[lo:hi], nulls, n)
	}
	c.mergeMoments(slot, n, mean, m2)
}

// intMoments is moments in one pass, exact until the last step, where the numbers are near
// each other.
func intMoments(vals []int64) (mean, m2 float64) {
	base := vals[0]
	var sum, squares, far int64
	for _, v := range vals {
		v -= base
		sum += v
		squares += v * v
		far |= v ^ v>>63
	}
	n := len(vals)
	// A run has at most some thousand rows: their squares must not pass 2^62 together.
	if far >= 1<<24 || n > 1<<13 {
		return moments(vals, nil, n)
	}
	// n × squares - sum², of 128 bits: the two may be nearly the same.
	high, low := bits.Mul64(uint64(n), uint64(squares))
	high2, low2 := bits.Mul64(uint64(max(sum, -sum)), uint64(max(sum, -sum)))
	low, borrow := bits.Sub64(low, low2, 0)
	high, _ = bits.Sub64(high, high2, borrow)
	spread := float64(high)*(1<<64) + float64(low)
	return float64(base) + float64(sum)/float64(n), spread / float64(n)
}

// moments returns the mean of n values that are not null, and the sum of squared distances from it.
func moments[T int64 | float64](vals []T, nulls []bool, n int) (mean, m2 float64) {
	sum := 0.0
	for i, x := range vals {
		if nulls == nil || !nulls[i] {
			sum += float64(x)
		}
	}
	mean = sum / float64(n)
	for i, x := range vals {
		if nulls == nil || !nulls[i] {
			d := float64(x) - mean
			m2 += d * d
		}
	}
	return mean, m2
}

// mergeMoments adds n values by their mean and sum of squared distances (Chan's formula).
func (c *stateColumn) mergeMoments(slot, n int, mean, m2 float64) {
	have, add := float64(c.n[slot]), float64(n)
	d := mean - c.floats[slot]
	c.m2[slot] += m2 + d*d*have*add/(have+add)
	c.floats[slot] += d * add / (have + add)
	c.n[slot] += int64(n)
}
