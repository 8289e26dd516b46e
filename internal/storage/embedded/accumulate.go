package embedded

import (
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

// addRows adds the rows lo <= i < hi of v, whose times are times, to a slot. For
// CountRows only the number counts; times matters to First and Last.
func (c *stateColumn) addRows(slot int, v *values, times []int64, lo, hi int) error {
	switch c.fn {
	case storage.CountRows:
		c.n[slot] += int64(hi - lo)
	case storage.Count:
		c.n[slot] += int64(countNonNull(v, lo, hi))
	case storage.Sum:
		return c.addSum(slot, v, lo, hi)
	case storage.Min, storage.Max:
		c.addExtreme(slot, v, lo, hi)
	case storage.First:
		c.offer(slot, v, times[lo], lo)
	case storage.Last:
		c.offer(slot, v, times[hi-1], hi-1)
	case storage.Moments:
		c.addMoments(slot, v, lo, hi)
	}
	return nil
}

// cut is where the rows of a slot end; they begin where those before end.
type cut struct {
	slot, end int
}

// addCuts adds rows of v to one slot after the other. The usual cases have loops of
// their own: a bin is often a few rows.
func (c *stateColumn) addCuts(cuts []cut, v *values, times []int64) error {
	lo := 0
	switch {
	case v.scaled && c.fn == storage.Sum:
		p := codec.Pow10(v.scale)
		for _, cut := range cuts {
			c.floats[cut.slot] += float64(sumInts(v.ints[lo:cut.end])) / p
			c.empty[cut.slot] = false
			lo = cut.end
		}
		return nil
	case v.scaled && (c.fn == storage.Min || c.fn == storage.Max):
		p := codec.Pow10(v.scale)
		for _, cut := range cuts {
			c.offerFloat(cut.slot, float64(extreme(v.ints[lo:cut.end], nil, c.fn == storage.Min))/p)
			lo = cut.end
		}
		return nil
	case c.fn == storage.Count && v.nulls == nil && !v.allNull, c.fn == storage.CountRows:
		for _, cut := range cuts {
			c.n[cut.slot] += int64(cut.end - lo)
			lo = cut.end
		}
		return nil
	}
	for _, cut := range cuts {
		if err := c.addRows(cut.slot, v, times, lo, cut.end); err != nil {
			return err
		}
		lo = cut.end
	}
	return nil
}

// offerFloat takes a value that is not NaN if it is the least or greatest so far.
func (c *stateColumn) offerFloat(slot int, x float64) {
	if c.empty[slot] || (x < c.floats[slot]) == (c.fn == storage.Min) && x != c.floats[slot] {
		c.empty[slot] = false
		c.floats[slot] = x
	}
}

// sumInts uses several accumulators, as sumFloats does.
func sumInts(v []int64) int64 {
	var a, b, c, d int64
	for len(v) >= 4 {
		a, b, c, d = a+v[0], b+v[1], c+v[2], d+v[3]
		v = v[4:]
	}
	for _, x := range v {
		a += x
	}
	return a + b + (c + d)
}

func countNonNull(v *values, lo, hi int) int {
	if v.allNull {
		return 0
	}
	if v.constant || v.nulls == nil {
		return hi - lo
	}
	n := hi - lo
	for _, null := range v.nulls[lo:hi] {
		if null {
			n--
		}
	}
	return n
}

func (c *stateColumn) addSum(slot int, v *values, lo, hi int) error {
	n := countNonNull(v, lo, hi)
	if n == 0 {
		return nil
	}
	c.empty[slot] = false
	if v.kind == vec.Double {
		if v.nulls == nil {
			c.floats[slot] += sumFloats(v.floats[lo:hi])
			return nil
		}
		for i := lo; i < hi; i++ {
			if !v.nulls[i] {
				c.floats[slot] += v.floats[i]
			}
		}
		return nil
	}
	sum := c.ints[slot]
	for i := lo; i < hi; i++ {
		if v.nulls != nil && v.nulls[i] {
			continue
		}
		var ok bool
		if sum, ok = addInts(sum, v.ints[i]); !ok {
			return errOverflow
		}
	}
	c.ints[slot] = sum
	return nil
}

var errOverflow = fault.New(fault.Execution, "bigint addition overflow in sum")

func addInts(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

// sumFloats uses several accumulators: the additions of one would wait for each other.
func sumFloats(f []float64) float64 {
	var a, b, c, d float64
	for len(f) >= 8 {
		a += f[0] + f[4]
		b += f[1] + f[5]
		c += f[2] + f[6]
		d += f[3] + f[7]
		f = f[8:]
	}
	for _, x := range f {
		a += x
	}
	return a + b + (c + d)
}

func (c *stateColumn) addExtreme(slot int, v *values, lo, hi int) {
	if v.allNull {
		return
	}
	if v.constant {
		lo, hi = 0, 1
	}
	least := c.fn == storage.Min
	for lo < hi && v.nulls != nil && v.nulls[lo] {
		lo++
	}
	if lo >= hi {
		return
	}
	fresh := c.empty[slot]
	c.empty[slot] = false
	var nulls []bool
	if v.nulls != nil {
		nulls = v.nulls[lo:hi]
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		x := extreme(v.floats[lo:hi], nulls, least)
		if fresh || (x < c.floats[slot]) == least && x != c.floats[slot] {
			c.floats[slot] = x
		}
	case vec.StoreStrs:
		x := extreme(v.strs[lo:hi], nulls, least)
		if fresh || (x < c.strs[slot]) == least {
			c.strs[slot] = x
		}
	case vec.StoreBools:
		for i := lo; i < hi; i++ {
			if (v.nulls == nil || !v.nulls[i]) && (fresh || v.bools[i] != least) {
				c.bools[slot] = v.bools[i]
				fresh = false
			}
		}
	default:
		x := extreme(v.ints[lo:hi], nulls, least)
		if fresh || (x < c.ints[slot]) == least {
			c.ints[slot] = x
		}
	}
}

// extreme returns the least or greatest value that is not null; the first is not.
func extreme[T int64 | float64 | string](vals []T, nulls []bool, least bool) T {
	x := vals[0]
	switch {
	case nulls == nil && least:
		// Several at a time, as in sumFloats.
		a, b, c := x, x, x
		for ; len(vals) >= 4; vals = vals[4:] {
			x, a, b, c = min(x, vals[0]), min(a, vals[1]), min(b, vals[2]), min(c, vals[3])
		}
		for _, y := range vals {
			x = min(x, y)
		}
		x = min(x, a, b, c)
	case nulls == nil:
		a, b, c := x, x, x
		for ; len(vals) >= 4; vals = vals[4:] {
			x, a, b, c = max(x, vals[0]), max(a, vals[1]), max(b, vals[2]), max(c, vals[3])
		}
		for _, y := range vals {
			x = max(x, y)
		}
		x = max(x, a, b, c)
	default:
		for i, y := range vals {
			if !nulls[i] {
				if least {
					x = min(x, y)
				} else {
					x = max(x, y)
				}
			}
		}
	}
	return x
}

// offer takes row i of v, at the given time, if it is earlier (First) or later
// (Last) than what the slot has.
func (c *stateColumn) offer(slot int, v *values, time int64, i int) {
	if !c.fresh[slot] && (c.fn == storage.First) == (time >= c.n[slot]) {
		return
	}
	c.fresh[slot] = false
	c.n[slot] = time
	c.empty[slot] = v.isNull(i)
	if c.empty[slot] {
		return
	}
	if v.constant {
		i = 0
	}
	if v.scaled {
		c.floats[slot] = float64(v.ints[i]) / codec.Pow10(v.scale)
		return
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		c.floats[slot] = v.floats[i]
	case vec.StoreBools:
		c.bools[slot] = v.bools[i]
	case vec.StoreStrs:
		c.strs[slot] = v.strs[i]
	default:
		c.ints[slot] = v.ints[i]
	}
}
