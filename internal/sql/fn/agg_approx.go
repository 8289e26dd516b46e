package fn

import (
	"math"
	"math/bits"
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// approxAggregates is approx_distinct and approx_percentile.
func approxAggregates() []Aggregate {
	values := " FROM (VALUES 4, 7, NULL, 5, 4) AS t(x)"
	out := []Aggregate{
		aggregate("approx_distinct(T) -> bigint", "About how many distinct values; exact for small sets, else with a standard error of 2.3 %.", "approx_distinct(x)"+values, "3", newDistinct),
		aggregate("approx_distinct(T, double) -> bigint", "About how many distinct values, with a given standard error from 0.0040625 to 0.26.", "approx_distinct(x, 0.01)"+values, "3", newDistinct),
	}
	for _, t := range []struct{ name, x, four, list string }{
		{"integer", "x", "5", "[4, 7]"}, {"bigint", "x + 5000000000", "5000000005", "[5000000004, 5000000007]"}, {"double", "x * 1.0", "5.0", "[4.0, 7.0]"},
	} {
		p := func(params, ret, text, args, result string) {
			out = append(out, aggregate("approx_percentile("+t.name+params+") -> "+ret, text, "approx_percentile("+t.x+args+")"+values, result, newPercentile))
		}
		p(", double", t.name, "About the value below which a fraction of the values lies; the nearest rank for small sets.", ", 0.75", t.four)
		p(", array(double)", "array("+t.name+")", "About the values at several fractions.", ", ARRAY[0.5, 1.0]", t.list)
		p(", bigint, double", t.name, "The percentile of values that each count w times.", ", 2, 0.75", t.four)
		p(", bigint, array(double)", "array("+t.name+")", "The percentiles of values that each count w times.", ", 2, ARRAY[0.5, 1.0]", t.list)
		p(", bigint, double, double", t.name, "The percentile of values that each count w times, to an accuracy.", ", 2, 0.75, 0.001", t.four)
	}
	return out
}

// Percentiles: up to exactValues values are kept as they are, so that the answer is the
// nearest rank; beyond, they become a t-digest (T. Dunning, O. Ertl: "Computing
// Extremely Accurate Quantiles Using t-Digests", the merging variant).

const (
	exactValues = 2048
	compression = 500
)

// weighted is a value, or the mean of several, with its count.
type weighted struct {
	mean   float64
	whole  int64 // the value itself, of a bigint while exact
	weight float64
}

// digest is the values of one group: first as they are, later as centroids in order and
// a buffer of single values.
type digest struct {
	items       []weighted
	buffer      []float64 // once merged, values of weight 1
	merged      bool      // no longer exact
	least, most float64   // once merged
}

func (d *digest) add(w weighted) {
	if d.merged && w.weight == 1 && w.mean == w.mean {
		if d.buffer = append(d.buffer, w.mean); len(d.buffer) >= exactValues {
			d.compress()
		}
		return
	}
	d.items = append(d.items, w)
	if d.merged || len(d.items) > exactValues {
		d.sort()
		d.compress()
	}
}

// compress merges items, which are in order, with the buffer, and joins neighbours as
// far as the scale function allows: much in the middle, little at the ends.
func (d *digest) compress() {
	slices.Sort(d.buffer)
	items, buffer := d.items, d.buffer
	next := func() weighted {
		if len(items) > 0 && (len(buffer) == 0 || vec.CompareFloats(items[0].mean, buffer[0]) <= 0) {
			w := items[0]
			items = items[1:]
			return w
		}
		w := weighted{mean: buffer[0], weight: 1}
		buffer = buffer[1:]
		return w
	}
	total := d.total()
	kept := append(make([]weighted, 0, compression), next())
	if d.merged {
		d.least = min(d.least, kept[0].mean)
	} else {
		d.least, d.most = kept[0].mean, kept[0].mean
	}
	seen, limit := 0.0, total*quantileLimit(0)
	for len(items)+len(buffer) > 0 {
		w := next()
		d.most = max(d.most, w.mean)
		last := &kept[len(kept)-1]
		if seen+last.weight+w.weight <= limit {
			last.weight += w.weight
			last.mean += (w.mean - last.mean) * w.weight / last.weight
			continue
		}
		seen += last.weight
		limit = total * quantileLimit(seen/total)
		kept = append(kept, w)
	}
	d.items, d.buffer, d.merged = kept, d.buffer[:0], true
}

// quantileLimit returns how far a centroid that starts at quantile q may reach: one
// step of the scale function k1 = compression/2π · asin(2q-1).
func quantileLimit(q float64) float64 {
	angle := math.Asin(2*q-1) + 2*math.Pi/compression
	if angle >= math.Pi/2 {
		return 1
	}
	return (math.Sin(angle) + 1) / 2
}

func (d *digest) sort() {
	slices.SortFunc(d.items, func(a, b weighted) int {
		if c := vec.CompareFloats(a.mean, b.mean); c != 0 {
			return c
		}
		return compareOrdered(a.whole, b.whole)
	})
}

func (d *digest) total() float64 {
	total := 0.0
	for _, w := range d.items {
		total += w.weight
	}
	return total + float64(len(d.buffer))
}

func (d *digest) size() int64 {
	return int64(cap(d.items)*3+cap(d.buffer)) * wordBytes
}

// finish makes the digest ready for quantile.
func (d *digest) finish() {
	if d.sort(); len(d.buffer) > 0 {
		d.compress()
	}
}

// quantile returns the value at p, after finish.
func (d *digest) quantile(p float64) weighted {
	total := d.total()
	if !d.merged {
		rank := max(math.Ceil(p*total), 1)
		for _, w := range d.items {
			if rank -= w.weight; rank <= 0 {
				return w
			}
		}
		return d.items[len(d.items)-1]
	}
	// Each centroid stands at the middle of its weight; between two, and between the
	// outermost and the extremes, interpolate.
	from, before := 0.0, d.least
	at, target := 0.0, p*total
	for _, w := range d.items {
		mid := at + w.weight/2
		if target <= mid {
			return weighted{mean: between(before, w.mean, target-from, mid-from)}
		}
		from, before = mid, w.mean
		at += w.weight
	}
	return weighted{mean: between(before, d.most, target-from, total-from)}
}

// between is the value part/whole of the way from a to b.
func between(a, b, part, whole float64) float64 {
	if whole <= 0 {
		return b
	}
	return a + (b-a)*min(part/whole, 1)
}

type percentileAcc struct {
	arg, ret vec.Type
	digests  []digest
	quantile [][]float64 // what each group asks for
	bytes    int64
}

func newPercentile(args []vec.Type, ret vec.Type) Accumulator {
	return &percentileAcc{arg: args[0], ret: ret}
}

func (a *percentileAcc) Resize(n int) {
	a.digests, a.quantile = grow(a.digests, n), grow(a.quantile, n)
}

func (a *percentileAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	if len(groups) == 0 {
		return nil
	}
	weights := col[int64]{vals: []int64{1}}
	if len(args) > 2 {
		weights = colOf[int64](args[1])
	}
	if err := checkAccuracy(args); err != nil {
		return err
	}
	fractions := args[min(len(args)-1, 2)]
	floats := floatsOf(args[0])
	var whole []int64
	if a.arg.Kind != vec.Double {
		whole = args[0].Flat().Ints
	}
	for i, g := range groups {
		if a.quantile[g] == nil {
			q, err := fractionsOf(fractions, i)
			if err != nil {
				return err
			}
			a.quantile[g] = q
		}
		w := weights.at(i)
		if w < 1 {
			return fail("percentile weight must be > 0")
		}
		item := weighted{mean: floats[i], weight: float64(w)}
		if whole != nil {
			item.whole = whole[i]
		}
		before := a.digests[g].size()
		a.digests[g].add(item)
		a.bytes += a.digests[g].size() - before
	}
	return nil
}

func checkAccuracy(args []*vec.Vector) error {
	if len(args) < 4 {
		return nil
	}
	if acc := args[3].Float(0); !(acc > 0 && acc < 1) {
		return fail("Percentile accuracy must be strictly between 0 and 1")
	}
	return nil
}

// fractionsOf reads row i of a double or array(double).
func fractionsOf(v *vec.Vector, i int) ([]float64, error) {
	var out []float64
	if v.Type.Kind == vec.Array {
		for _, e := range v.Value(i).List {
			if e.Null {
				return nil, fail("Percentile cannot be null")
			}
			out = append(out, e.Float)
		}
	} else {
		out = []float64{v.Float(i)}
	}
	for _, p := range out {
		if !(p >= 0 && p <= 1) {
			return nil, fail("Percentile must be between 0 and 1")
		}
	}
	return out, nil
}

func (a *percentileAcc) Result() (*vec.Vector, error) { return a.resultAsking(nil) }

func (a *percentileAcc) resultAsking(ask func() error) (*vec.Vector, error) {
	p := &pace{c: &Context{Interrupted: ask}}
	b := vec.NewBuilder(a.ret, len(a.digests))
	for g := range a.digests {
		d := &a.digests[g]
		if err := p.stepBy(1 + len(d.items) + len(d.buffer)); err != nil {
			return nil, err
		}
		if len(d.items) == 0 {
			b.AppendNull()
			continue
		}
		d.finish()
		var list []vec.Value
		for _, p := range a.quantile[g] {
			list = append(list, a.value(d.quantile(p), d.merged))
		}
		if a.ret.Kind == vec.Array {
			b.Append(vec.Value{Type: a.ret, List: list})
		} else {
			b.Append(list[0])
		}
	}
	return b.Vector(), nil
}

func (a *percentileAcc) value(w weighted, merged bool) vec.Value {
	switch {
	case a.arg.Kind == vec.Double:
		return vec.Float(w.mean)
	case merged:
		return vec.Int(a.arg, clampInt(math.Round(w.mean)))
	}
	return vec.Int(a.arg, w.whole)
}

func clampInt(f float64) int64 {
	if f >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(f)
}

// SizeBytes counts a digest, and the percentile that is asked of it as a slice of one, with 13 words.
func (a *percentileAcc) SizeBytes() int64 { return int64(cap(a.digests))*13*wordBytes + a.bytes }

// Distinct values: the hashes of up to exactHashes values are kept, so that the answer
// is exact but for collisions of 64 bits; beyond, they become a HyperLogLog sketch.

const exactHashes = 1024

// hashSet is an open-addressing set of hashes; 0 marks a free slot and is counted apart.
type hashSet struct {
	slots []uint64
	n     int
	zero  bool
}

// add reports whether h is new.
func (s *hashSet) add(h uint64) bool {
	if h == 0 {
		was := s.zero
		s.zero = true
		return !was
	}
	if 2*s.n >= len(s.slots) {
		old := s.slots
		s.slots, s.n = make([]uint64, max(8, 2*len(old))), 0
		for _, o := range old {
			if o != 0 {
				s.add(o)
			}
		}
	}
	mask := uint64(len(s.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case h:
			return false
		case 0:
			s.slots[i] = h
			s.n++
			return true
		}
	}
}

// distinct is the values of one group: a set, and once that is full registers.
type distinct struct {
	set       hashSet
	registers []uint8 // 2^p ranks
}

func (d *distinct) add(h uint64, p uint8) {
	if d.registers == nil {
		if d.set.add(h); d.set.n <= exactHashes {
			return
		}
		d.sketch(p)
		return
	}
	d.rank(h, p)
}

// sketch turns the set into registers.
func (d *distinct) sketch(p uint8) {
	d.registers = make([]uint8, 1<<p)
	for _, o := range d.set.slots {
		if o != 0 {
			d.rank(o, p)
		}
	}
	if d.set.zero {
		d.rank(0, p)
	}
	d.set = hashSet{}
}

func (d *distinct) size() int64 { return int64(len(d.set.slots)*wordBytes + len(d.registers)) }

func (d *distinct) rank(h uint64, p uint8) {
	i := h >> (64 - p)
	r := uint8(bits.LeadingZeros64(h<<p|1<<(p-1)) + 1)
	d.registers[i] = max(d.registers[i], r)
}

// count estimates by the unbiased formula of O. Ertl, "New cardinality estimation
// algorithms for HyperLogLog sketches", algorithm 6, which needs no special case for small counts.
func (d *distinct) count() int64 {
	if d.registers == nil {
		return int64(d.set.n) + boolInt(d.set.zero)
	}
	m := float64(len(d.registers))
	q := 64 - bits.TrailingZeros(uint(len(d.registers)))
	var ranks [66]float64
	for _, r := range d.registers {
		ranks[r]++
	}
	z := m * ertlTau(1-ranks[q+1]/m)
	for k := q; k >= 1; k-- {
		z = 0.5 * (z + ranks[k])
	}
	z += m * ertlSigma(ranks[0]/m)
	return int64(math.Round(m * m / (2 * math.Ln2 * z)))
}

func ertlSigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for before := -1.0; z != before; {
		before = z
		x *= x
		z += x * y
		y += y
	}
	return z
}

func ertlTau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for before := -1.0; z != before; {
		before = z
		x = math.Sqrt(x)
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
	}
	return z / 3
}

type distinctAcc struct {
	groups []distinct
	p      uint8
	hashes []uint64
	bytes  int64
}

func newDistinct([]vec.Type, vec.Type) Accumulator { return &distinctAcc{p: 11} }

func (a *distinctAcc) Resize(n int) { a.groups = grow(a.groups, n) }

func (a *distinctAcc) Add(groups []int32, args []*vec.Vector) error {
	if len(args) > 1 && len(groups) > 0 {
		if err := a.precision(args[1]); err != nil {
			return err
		}
	}
	groups, args = skipNulls(groups, args[:1])
	a.hashes = grow(a.hashes, len(groups))[:len(groups)]
	for i := range a.hashes {
		a.hashes[i] = vec.HashSeed
	}
	args[0].Hash(a.hashes)
	for i, g := range groups {
		d := &a.groups[g]
		before := d.size()
		d.add(scramble(a.hashes[i]), a.p)
		a.bytes += d.size() - before
	}
	return nil
}

// scramble spreads a hash that is good in a table over all bits, as sketches need it
// (the finalizer of MurmurHash3).
func scramble(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// precision takes the number of registers from the standard error 1.04/√m.
func (a *distinctAcc) precision(v *vec.Vector) error {
	e := v.Float(0)
	if v.IsNull(0) || !(e >= 0.0040625 && e <= 0.26) {
		return fail("Max standard error must be in [0.0040625, 0.26]: %s", vec.AppendDouble(nil, e))
	}
	a.p = max(4, uint8(math.Ceil(math.Log2(1.04*1.04/(e*e)))))
	return nil
}

func (a *distinctAcc) Result() (*vec.Vector, error) { return a.resultAsking(nil) }

func (a *distinctAcc) resultAsking(ask func() error) (*vec.Vector, error) {
	p := &pace{c: &Context{Interrupted: ask}}
	out := make([]int64, len(a.groups))
	for g := range out {
		if err := p.stepBy(1 + len(a.groups[g].registers)); err != nil {
			return nil, err
		}
		out[g] = a.groups[g].count()
	}
	return vec.OfInts(vec.BigintType, out, nil), nil
}

func (a *distinctAcc) SizeBytes() int64 { return int64(len(a.groups))*8*wordBytes + a.bytes }
