package fn

import (
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// Combine for every accumulator: partial aggregates that several workers made, or that were made of
// several parts of the input, become one. Group from[i] of other, an accumulator of the same call, is added
// to group into[i]; both have room for their groups. other stays valid, and is not kept.

func (a *countAcc) Combine(other Accumulator, from, into []int32) error {
	a.combine(other.(*countAcc), from, into)
	return nil
}

func (a *countAcc) combine(o *countAcc, from, into []int32) {
	for i, g := range from {
		a.counts[into[i]] += o.counts[g]
	}
}

func (a *countIfAcc) Combine(other Accumulator, from, into []int32) error {
	a.combine(&other.(*countIfAcc).countAcc, from, into)
	return nil
}

func (a *sumInt) Combine(other Accumulator, from, into []int32) error {
	return a.combine(other.(*sumInt), from, into)
}

func (a *sumInt) combine(o *sumInt, from, into []int32) error {
	for i, g := range from {
		s, x := a.sums[into[i]], o.sums[g]
		sum := s + x
		if (s^sum)&(x^sum) < 0 {
			return fail("bigint addition overflow: %d + %d", s, x)
		}
		a.sums[into[i]] = sum
		a.n[into[i]] += o.n[g]
	}
	return nil
}

func (a *avgSpan) Combine(other Accumulator, from, into []int32) error {
	return a.sum.combine(&other.(*avgSpan).sum, from, into)
}

func (a *sumFloat) Combine(other Accumulator, from, into []int32) error {
	a.combine(other.(*sumFloat), from, into)
	return nil
}

func (a *sumFloat) combine(o *sumFloat, from, into []int32) {
	for i, g := range from {
		a.sums[into[i]] += o.sums[g]
		a.n[into[i]] += o.n[g]
	}
}

func (a *avgFloat) Combine(other Accumulator, from, into []int32) error {
	a.combine(&other.(*avgFloat).sumFloat, from, into)
	return nil
}

func (a *avgInt) Combine(other Accumulator, from, into []int32) error {
	a.combine(&other.(*avgInt).sumFloat, from, into)
	return nil
}

func (a *extremeAcc[T]) Combine(other Accumulator, from, into []int32) error {
	o := other.(*extremeAcc[T])
	for i, g := range from {
		if !o.has[g] {
			continue
		}
		x, to := o.best[g], into[i]
		best := a.best[to]
		better := a.max && (x > best || x != x) || !a.max && (x < best || best != best)
		if !a.has[to] || better {
			a.keep(to, x)
		}
	}
	return nil
}

// take makes the value of group from of o that of group g.
func (c *cells) take(g int32, o *cells, from int32) {
	c.set[g], c.null[g] = o.set[from], o.null[from]
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints[g] = o.ints[from]
	case vec.StoreFloats:
		c.floats[g] = o.floats[from]
	case vec.StoreBools:
		c.bools[g] = o.bools[from]
	case vec.StoreStrs:
		c.bytes += int64(len(o.strs[from]) - len(c.strs[g]))
		c.strs[g] = o.strs[from]
	case vec.StoreNested:
		c.bytes += valueSize(o.vals[from]) - valueSize(c.vals[g])
		c.vals[g] = o.vals[from]
	}
}

// order compares the value of group from of o with that of group g; neither is null.
func (c *cells) order(o *cells, from, g int32) int {
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		return compareOrdered(o.ints[from], c.ints[g])
	case vec.StoreFloats:
		return vec.CompareFloats(o.floats[from], c.floats[g])
	case vec.StoreBools:
		return vec.CompareBools(o.bools[from], c.bools[g])
	case vec.StoreStrs:
		return compareOrdered(o.strs[from], c.strs[g])
	case vec.StoreNested:
		return vec.CompareValues(o.vals[from], c.vals[g])
	}
	return 0
}

func (a *extremeCells) Combine(other Accumulator, from, into []int32) error {
	o := &other.(*extremeCells).cells
	for i, g := range from {
		if to := into[i]; o.set[g] && (!a.set[to] || a.order(o, g, to) == a.sign) {
			a.take(to, o, g)
		}
	}
	return nil
}

func (a *arbitraryAcc) Combine(other Accumulator, from, into []int32) error {
	o := &other.(*arbitraryAcc).cells
	for i, g := range from {
		if o.set[g] && !a.set[into[i]] {
			a.take(into[i], o, g)
		}
	}
	return nil
}

func (a *boolAcc) Combine(other Accumulator, from, into []int32) error {
	o := &other.(*boolAcc).cells
	for i, g := range from {
		if to := into[i]; o.set[g] && (!a.set[to] || o.bools[g] == a.decisive) {
			a.take(to, o, g)
		}
	}
	return nil
}

func (a *bitsAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*bitsAcc)
	for i, g := range from {
		if !o.set[g] {
			continue
		}
		x, to := o.ints[g], into[i]
		if a.set[to] {
			x = a.fold(a.ints[to], x)
		}
		a.set[to], a.ints[to] = true, x
	}
	return nil
}

func (a *byAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*byAcc)
	for i, g := range from {
		if to := into[i]; o.y.set[g] && (!a.y.set[to] || a.y.order(&o.y, g, to) == a.sign) {
			a.y.take(to, &o.y, g)
			a.x.take(to, &o.x, g)
		}
	}
	return nil
}

func (a *topAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*topAcc)
	for i, g := range from {
		top := &a.groups[into[i]]
		if top.n == 0 {
			top.n = o.groups[g].n
		}
		for _, r := range o.groups[g].rows {
			a.keep(top, r)
		}
	}
	return nil
}

func (a *arrayAgg) Combine(other Accumulator, from, into []int32) error {
	a.combine(other.(*arrayAgg), from, into)
	return nil
}

func (a *arrayAgg) combine(o *arrayAgg, from, into []int32) {
	v := o.all.View()
	for i, g := range from {
		for _, row := range o.groups[g] {
			a.append(into[i], v, int(row))
		}
	}
}

func (a *seriesAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*seriesAcc)
	for _, g := range from {
		for _, row := range o.values.groups[g] {
			a.times = append(a.times, o.times[row])
		}
	}
	a.values.combine(&o.values, from, into)
	return nil
}

func (a *percentileAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*percentileAcc)
	for i, g := range from {
		to := into[i]
		if a.quantile[to] == nil {
			a.quantile[to] = o.quantile[g]
		}
		d, theirs := &a.digests[to], &o.digests[g]
		before := d.size()
		d.merge(theirs)
		a.bytes += d.size() - before
	}
	return nil
}

// merge adds the values of o.
func (d *digest) merge(o *digest) {
	// Centroids are no values, however few they are: what takes them on is no longer exact.
	if o.merged && !d.merged {
		if len(d.items) == 0 {
			*d = digest{items: slices.Clone(o.items), buffer: slices.Clone(o.buffer), merged: true, least: o.least, most: o.most}
			return
		}
		d.sort()
		d.compress()
	}
	for _, w := range o.items {
		d.add(w)
	}
	for _, x := range o.buffer {
		d.add(weighted{mean: x, weight: 1})
	}
	if d.merged && o.merged {
		d.least, d.most = min(d.least, o.least), max(d.most, o.most)
	}
}

func (a *distinctAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*distinctAcc)
	a.p = o.p // of all rows alike
	for i, g := range from {
		d := &a.groups[into[i]]
		before := d.size()
		d.merge(&o.groups[g], a.p)
		a.bytes += d.size() - before
	}
	return nil
}

// merge adds the values of o, whose sketch has the same precision.
func (d *distinct) merge(o *distinct, p uint8) {
	if o.registers == nil {
		for _, h := range o.set.slots {
			if h != 0 {
				d.add(h, p)
			}
		}
		if o.set.zero {
			d.add(0, p)
		}
		return
	}
	if d.registers == nil {
		d.sketch(p)
	}
	for i, r := range o.registers {
		d.registers[i] = max(d.registers[i], r)
	}
}

func (a *momentsAcc) Combine(other Accumulator, from, into []int32) error {
	a.combine(other.(*momentsAcc), from, into)
	return nil
}

func (a *momentsAcc) combine(o *momentsAcc, from, into []int32) {
	for i, g := range from {
		a.groups[into[i]] = a.groups[into[i]].merge(o.groups[g])
	}
}

func (a *varianceAcc) Combine(other Accumulator, from, into []int32) error {
	a.combine(&other.(*varianceAcc).momentsAcc, from, into)
	return nil
}

func (a *comomentsAcc) Combine(other Accumulator, from, into []int32) error {
	o := other.(*comomentsAcc)
	for i, g := range from {
		a.groups[into[i]] = a.groups[into[i]].merge(o.groups[g])
	}
	return nil
}

func (a *geometricMean) Combine(other Accumulator, from, into []int32) error {
	a.logs.combine(&other.(*geometricMean).logs, from, into)
	return nil
}
