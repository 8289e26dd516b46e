package telemetry

import (
	"math"
	"sort"
)

// sketch is a histogram with logarithmic buckets, each 5 % wide, so that a
// quantile is off by at most 2.5 % of its value. Only buckets that were hit have a
// cell; cells are sorted by bucket. Values that are not positive share the first bucket.
type sketch []cell

type cell struct {
	bucket int16
	count  float32 // exact up to 2^24; beyond, a quantile barely notices
}

const (
	cellBytes  = 8
	zeroBucket = math.MinInt16
)

var logGamma = math.Log(1.05)

func bucketOf(v float64) int16 {
	if v <= 0 {
		return zeroBucket
	}
	return int16(max(zeroBucket+1, min(math.MaxInt16, math.Ceil(math.Log(v)/logGamma))))
}

func (c cell) value() float64 {
	if c.bucket == zeroBucket {
		return 0
	}
	return math.Exp((float64(c.bucket) - 0.5) * logGamma)
}

func (s *sketch) add(b int16, n float64) {
	cells := *s
	i := sort.Search(len(cells), func(i int) bool { return cells[i].bucket >= b })
	if i < len(cells) && cells[i].bucket == b {
		cells[i].count += float32(n)
		return
	}
	cells = append(cells, cell{})
	copy(cells[i+1:], cells[i:])
	cells[i] = cell{bucket: b, count: float32(n)}
	*s = cells
}

func (s *sketch) merge(other sketch) {
	a := *s
	if len(a) == 0 {
		*s = append(a, other...)
		return
	}
	out := make(sketch, 0, max(len(a), len(other)))
	for len(a) > 0 || len(other) > 0 {
		switch {
		case len(other) == 0 || len(a) > 0 && a[0].bucket < other[0].bucket:
			out, a = append(out, a[0]), a[1:]
		case len(a) == 0 || other[0].bucket < a[0].bucket:
			out, other = append(out, other[0]), other[1:]
		default:
			out = append(out, cell{a[0].bucket, a[0].count + other[0].count})
			a, other = a[1:], other[1:]
		}
	}
	*s = out
}

// quantile returns the value at rank q*total, for 0 <= q <= 1.
func (s sketch) quantile(q, total float64) float64 {
	rank := q * total
	seen := 0.0
	for _, c := range s {
		seen += float64(c.count)
		if seen >= rank {
			return c.value()
		}
	}
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].value()
}
