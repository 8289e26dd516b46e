package embedded

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// aggColumn is one aggregate of a plan.
type aggColumn struct {
	fn storage.AggFunc
	scanColumn
}

// grouping maps series to groups by the keys that are dimensions or the measure
// name. It is made once per scan.
type grouping struct {
	of      []uint32    // group of each of plan.ids
	first   []series.ID // a series of each group, for its key values
	oneEach bool        // every series is a group of its own
}

func newGrouping(p *plan) *grouping {
	g := &grouping{of: make([]uint32, len(p.ids))}
	if one, ok := p.onlyKey(); ok {
		g.byCode(p, one)
		return g
	}
	byKey := map[string]uint32{}
	var key []byte
	for i, id := range p.ids {
		key = key[:0]
		for k := range p.keys {
			if c, ok := p.keys[k].code(p.series, id); ok {
				key = append(key, byte(c), byte(c>>8), byte(c>>16), byte(c>>24), 1)
			} else {
				key = append(key, 0, 0, 0, 0, 0)
			}
		}
		group, ok := byKey[string(key)]
		if !ok {
			group = uint32(len(g.first))
			byKey[string(key)] = group
			g.first = append(g.first, id)
		}
		g.of[i] = group
	}
	g.oneEach = len(g.first) == len(p.ids)
	return g
}

// onlyKey returns the key that is a dimension or the measure name, if there is just one.
func (p *plan) onlyKey() (key *scanColumn, ok bool) {
	for k := range p.keys {
		if p.keys[k].Role != storage.TimeColumn {
			if key != nil {
				return nil, false
			}
			key = &p.keys[k]
		}
	}
	return key, key != nil
}

// byCode groups by the codes of one key, through a table in place of a map.
func (g *grouping) byCode(p *plan, key *scanColumn) {
	n := len(p.series.Measures())
	if key.Role == storage.Dimension {
		n = len(key.dim.Values)
	}
	groups := make([]uint32, n+1) // by code, then for series without; group plus one
	for i, id := range p.ids {
		code, ok := key.code(p.series, id)
		if !ok {
			code = uint32(n)
		}
		if groups[code] == 0 {
			g.first = append(g.first, id)
			groups[code] = uint32(len(g.first))
		}
		g.of[i] = groups[code] - 1
	}
	g.oneEach = len(g.first) == len(p.ids)
}

// code returns a series' value of a dimension or measure name as a code, or false
// if the series lacks it. The time key has no code.
func (c *scanColumn) code(v *series.View, id series.ID) (uint32, bool) {
	switch c.Role {
	case storage.Dimension:
		return c.dim.Code(id)
	case storage.MeasureName:
		return v.MeasureCode(id), true
	}
	return 0, false
}

// keyVector returns the values of a dimension or measure name for the given series.
func (c *scanColumn) keyVector(v *series.View, ids []series.ID) *vec.Vector {
	values := v.Measures()
	if c.Role == storage.Dimension {
		values = c.dim.Values
	}
	if len(ids) == 1 {
		if code, ok := c.code(v, ids[0]); ok {
			return vec.Const(vec.Str(values[code]), 1)
		}
		return vec.NullsOf(vec.VarcharType, 1)
	}
	index := make([]int32, len(ids))
	missing := false
	for i, id := range ids {
		code, ok := c.code(v, id)
		index[i] = int32(code)
		if !ok {
			index[i] = int32(len(values))
			missing = true
		}
	}
	dict := vec.OfStrs(values, nil)
	if missing {
		nulls := make([]bool, len(values)+1)
		nulls[len(values)] = true
		dict = vec.OfStrs(append(values[:len(values):len(values)], ""), nulls)
	}
	return vec.OfDict(index, dict)
}

// states is the partial aggregates of some groups: for each aggregate one typed
// column or more, with one slot per group and bin.
type states struct {
	p     *plan
	ids   []series.ID // of each slot: a series with the group's key values
	bins  []int64
	cols  []stateColumn
	slots *slotTable // nil when slots are only appended
}

// slotTable finds slots by group and bin. Bins are mostly neighbours, so each group has an
// array of them; those too far away are in a map.
type slotTable struct {
	width  int64 // of bins; 0: there is one per group
	groups []binSlots
	far    map[slotKey]int32
}

// binSlots is the slots of bins from, from+width, …; each plus one, 0 for none.
type binSlots struct {
	from  int64
	slots []int32
}

type slotKey struct {
	group uint32
	bin   int64
}

// maxBinSlots bounds the array of a group.
const maxBinSlots = 1 << 16

// at returns the place of the slot of a group and bin, or nil if it is to be in the map.
func (t *slotTable) at(group uint32, bin int64) *int32 {
	for int(group) >= len(t.groups) {
		t.groups = append(t.groups, binSlots{})
	}
	g := &t.groups[group]
	if len(g.slots) == 0 {
		g.from, g.slots = bin, make([]int32, 1)
		if t.width > 0 {
			g.slots = make([]int32, 32)
		}
	}
	if t.width == 0 {
		return &g.slots[0]
	}
	for {
		// The difference may not fit; then it is far in any case.
		if d := (bin - g.from) / t.width; bin >= g.from && d >= 0 && d < int64(len(g.slots)) {
			return &g.slots[d]
		}
		grown := make([]int32, 2*len(g.slots))
		if len(grown) > maxBinSlots {
			return nil
		}
		room := int64(len(g.slots)) * t.width
		switch {
		case room/t.width != int64(len(g.slots)):
			return nil
		case bin < g.from && g.from-room < g.from:
			copy(grown[len(g.slots):], g.slots)
			g.from -= room
		case bin < g.from:
			return nil
		default:
			copy(grown, g.slots)
		}
		g.slots = grown
	}
}

type stateColumn struct {
	aggColumn
	empty  []bool  // no value yet: the null flags of Sum, Min, Max; First and Last: the value is null
	n      []int64 // counts; First and Last: the time
	ints   []int64
	floats []float64
	bools  []bool
	strs   []string
	m2     []float64
	fresh  []bool // First and Last: no row yet
}

func newStates(p *plan, merged bool) *states {
	s := &states{p: p, cols: make([]stateColumn, len(p.aggs))}
	for i := range p.aggs {
		s.cols[i].aggColumn = p.aggs[i]
	}
	if merged {
		s.slots = &slotTable{width: p.bin}
	}
	return s
}

func (s *states) len() int { return len(s.ids) }

// slot returns where to add rows of a group and bin.
func (s *states) slot(id series.ID, group uint32, bin int64) int {
	if s.slots != nil {
		if at := s.slots.at(group, bin); at != nil {
			if *at > 0 {
				return int(*at) - 1
			}
			*at = int32(len(s.ids)) + 1
		} else {
			key := slotKey{group, bin}
			if at, ok := s.slots.far[key]; ok {
				return int(at)
			}
			if s.slots.far == nil {
				s.slots.far = map[slotKey]int32{}
			}
			s.slots.far[key] = int32(len(s.ids))
		}
	}
	return s.extend(id, bin)
}

// extend adds slots of a series and returns the first of them.
func (s *states) extend(id series.ID, bins ...int64) int {
	first := len(s.ids)
	if room := cap(s.ids) - first; room < len(bins) {
		s.reserve(max(len(bins), first, 16))
	}
	for range bins {
		s.ids = append(s.ids, id)
	}
	if s.p.bin > 0 {
		s.bins = append(s.bins, bins...)
	}
	for i := range s.cols {
		s.cols[i].grow(len(bins))
	}
	return first
}

// reserve makes room for n slots more in all slices at once.
func (s *states) reserve(n int) {
	s.ids = slices.Grow(s.ids, n)
	if s.p.bin > 0 {
		s.bins = slices.Grow(s.bins, n)
	}
	for i := range s.cols {
		s.cols[i].reserve(n)
	}
}

// reserve makes room for n slots more in the slices that the aggregate has.
func (c *stateColumn) reserve(n int) {
	times := c.fn == storage.First || c.fn == storage.Last
	if c.fn == storage.CountRows || c.fn == storage.Count || c.fn == storage.Moments || times {
		c.n = slices.Grow(c.n, n)
	}
	if c.fn == storage.CountRows || c.fn == storage.Count {
		return
	}
	if c.fn == storage.Moments {
		c.floats, c.m2 = slices.Grow(c.floats, n), slices.Grow(c.m2, n)
		return
	}
	if times {
		c.fresh = slices.Grow(c.fresh, n)
	}
	c.empty = slices.Grow(c.empty, n)
	switch c.Type.Kind.Storage() {
	case vec.StoreFloats:
		c.floats = slices.Grow(c.floats, n)
	case vec.StoreBools:
		c.bools = slices.Grow(c.bools, n)
	case vec.StoreStrs:
		c.strs = slices.Grow(c.strs, n)
	default:
		c.ints = slices.Grow(c.ints, n)
	}
}

// grow adds n empty slots.
func (c *stateColumn) grow(n int) {
	switch c.fn {
	case storage.CountRows, storage.Count:
		c.n = more(c.n, n, 0)
		return
	case storage.Moments:
		c.n, c.floats, c.m2 = more(c.n, n, 0), more(c.floats, n, 0), more(c.m2, n, 0)
		return
	case storage.First, storage.Last:
		c.n, c.fresh = more(c.n, n, 0), more(c.fresh, n, true)
	}
	c.empty = more(c.empty, n, true)
	switch c.Type.Kind.Storage() {
	case vec.StoreFloats:
		c.floats = more(c.floats, n, 0)
	case vec.StoreBools:
		c.bools = more(c.bools, n, false)
	case vec.StoreStrs:
		c.strs = more(c.strs, n, "")
	default:
		c.ints = more(c.ints, n, 0)
	}
}

// more appends v n times.
func more[T any](s []T, n int, v T) []T {
	for range n {
		s = append(s, v)
	}
	return s
}

// batch hands the slots over as a batch and forgets them.
func (s *states) batch() *vec.Batch {
	b := &vec.Batch{Len: len(s.ids)}
	for i := range s.p.keys {
		k := &s.p.keys[i]
		if k.Role == storage.TimeColumn {
			b.Columns = append(b.Columns, vec.OfInts(vec.TimestampType, s.bins, nil))
		} else {
			b.Columns = append(b.Columns, k.keyVector(s.p.series, s.ids))
		}
	}
	for i := range s.cols {
		b.Columns = s.cols[i].appendVectors(b.Columns)
	}
	*s = *newStates(s.p, s.slots != nil)
	return b
}

func (c *stateColumn) appendVectors(dst []*vec.Vector) []*vec.Vector {
	switch c.fn {
	case storage.CountRows, storage.Count:
		return append(dst, vec.OfInts(vec.BigintType, c.n, nil))
	case storage.Moments:
		return append(dst, vec.OfInts(vec.BigintType, c.n, nil), vec.OfFloats(c.floats, nil), vec.OfFloats(c.m2, nil))
	case storage.First, storage.Last:
		dst = append(dst, vec.OfInts(vec.TimestampType, c.n, nil))
	}
	switch nulls := someNulls(c.empty); c.Type.Kind.Storage() {
	case vec.StoreFloats:
		return append(dst, vec.OfFloats(c.floats, nulls))
	case vec.StoreBools:
		return append(dst, vec.OfBools(c.bools, nulls))
	case vec.StoreStrs:
		return append(dst, vec.OfStrs(c.strs, nulls))
	default:
		return append(dst, vec.OfInts(c.Type, c.ints, nulls))
	}
}

func someNulls(nulls []bool) []bool {
	for _, null := range nulls {
		if null {
			return nulls
		}
	}
	return nil
}

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
			if c.fn == storage.Min {
				c.offerFloat(cut.slot, float64(slices.Min(v.ints[lo:cut.end]))/p)
			} else {
				c.offerFloat(cut.slot, float64(slices.Max(v.ints[lo:cut.end]))/p)
			}
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
		for _, y := range vals {
			x = min(x, y)
		}
	case nulls == nil:
		for _, y := range vals {
			x = max(x, y)
		}
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

// offerStored is offer for a value from statistics.
func (c *stateColumn) offerStored(slot int, v *storedValue, time int64) {
	if !c.fresh[slot] && (c.fn == storage.First) == (time >= c.n[slot]) {
		return
	}
	c.fresh[slot] = false
	c.n[slot] = time
	c.empty[slot] = v.null
	if v.null {
		return
	}
	switch c.Type.Kind.Storage() {
	case vec.StoreFloats:
		c.floats[slot] = math.Float64frombits(v.bits)
	case vec.StoreBools:
		c.bools[slot] = v.bits != 0
	case vec.StoreStrs:
		c.strs[slot] = v.str
	default:
		c.ints[slot] = int64(v.bits)
	}
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

// fromStats reports whether statistics can stand for all rows of a block.
func (c *stateColumn) fromStats(s *blockStats) bool {
	if c.fn == storage.CountRows {
		return true
	}
	switch {
	case c.Role == storage.TimeColumn || c.Role == storage.Dimension || c.Role == storage.MeasureName:
		return true
	case s == nil:
		return false
	case c.fn == storage.Count:
		return true
	case c.fn == storage.Moments:
		return s.hasM2 && s.hasSum || s.nonNull == 0
	case c.fn == storage.Sum:
		return s.hasSum || s.nonNull == 0
	case c.fn == storage.First:
		return s.first != nil
	case c.fn == storage.Last:
		return s.last != nil
	}
	return s.hasMinMax || s.nonNull == 0
}

// addStats adds a whole block of n rows to a slot.
func (c *stateColumn) addStats(slot int, s *blockStats, n int, minTime, maxTime int64) error {
	switch c.fn {
	case storage.CountRows:
		c.n[slot] += int64(n)
	case storage.Count:
		c.n[slot] += int64(s.nonNull)
	case storage.First:
		c.offerStored(slot, s.first, minTime)
	case storage.Last:
		c.offerStored(slot, s.last, maxTime)
	case storage.Moments:
		if s.nonNull == 0 {
			return nil
		}
		sum := math.Float64frombits(s.sumBits)
		if c.Type.Kind != vec.Double {
			sum = float64(int64(s.sumBits))
		}
		c.mergeMoments(slot, s.nonNull, sum/float64(s.nonNull), s.m2)
	case storage.Sum:
		if s.nonNull == 0 {
			return nil
		}
		c.empty[slot] = false
		if c.Type.Kind == vec.Double {
			c.floats[slot] += math.Float64frombits(s.sumBits)
			return nil
		}
		sum, ok := addInts(c.ints[slot], int64(s.sumBits))
		if !ok {
			return errOverflow
		}
		c.ints[slot] = sum
	case storage.Min, storage.Max:
		if s.nonNull == 0 {
			return nil
		}
		bound := values{kind: c.Type.Kind, constant: true}
		b, str := s.minBits, s.minStr
		if c.fn == storage.Max {
			b, str = s.maxBits, s.maxStr
		}
		bound.strs = []string{str}
		if c.Type.Kind != vec.Varchar {
			bound.strs = nil
			bound.setBits([]uint64{b})
		}
		c.addExtreme(slot, &bound, 0, 1)
	}
	return nil
}

// aggregator computes the partial aggregates of a scan, one per worker.
type aggregator struct {
	worker
	st      *states
	columns []values // of the span at hand, by aggregate
	times   []int64
	cuts    []cut
	bins    []int64 // new ones of the span at hand
	guess   int     // rows of the last bin: where to look for the end of the next
	edges   edges
}

func newAggregator(p *plan, merged bool) *aggregator {
	return &aggregator{worker: worker{p: p}, st: newStates(p, merged), columns: make([]values, len(p.aggs)), edges: edgesOf(p)}
}

// edges says whether one or two rows per series answer: aggregates are only Last and the
// greatest time, or First and the least time, without bins.
type edges struct{ only, first, last bool }

func edgesOf(p *plan) edges {
	e := edges{only: p.bin == 0 && len(p.aggs) > 0}
	for i := range p.aggs {
		first, last := p.aggs[i].edge()
		e.first, e.last = e.first || first, e.last || last
		e.only = e.only && (first || last)
	}
	return e
}

// edge reports whether the first or the last row of a series answers the aggregate.
func (c *aggColumn) edge() (first, last bool) {
	time := c.Role == storage.TimeColumn && c.fn != storage.CountRows
	return c.fn == storage.First || time && c.fn == storage.Min, c.fn == storage.Last || time && c.fn == storage.Max
}

// series adds the rows of one series.
func (a *aggregator) series(id series.ID, group uint32) error {
	runs, err := a.gather(id)
	if err != nil {
		return err
	}
	if a.edges.only {
		if a.edges.last {
			if err := a.edge(id, group, runs, true); err != nil {
				return err
			}
		}
		if a.edges.first {
			return a.edge(id, group, runs, false)
		}
		return nil
	}
	for _, r := range runs {
		if done, err := a.whole(r, id, group); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		s, err := a.narrow(r)
		if err != nil {
			return err
		}
		if s.rows() == 0 {
			continue
		}
		if err := a.span(&s, id, group); err != nil {
			return err
		}
	}
	return nil
}

// whole answers a run from statistics if it lies in one group, and reports whether.
func (a *aggregator) whole(r run, id series.ID, group uint32) (bool, error) {
	n, first, last := r.span()
	if first < a.p.from || last >= a.p.to || len(a.p.tests) > 0 || a.bin(first) != a.bin(last) {
		return false, nil
	}
	for i := range a.st.cols {
		c := &a.st.cols[i]
		if !c.fromStats(statsOf(r, c)) {
			return false, nil
		}
	}
	a.p.stats.rows.Add(int64(n))
	slot := a.st.slot(id, group, a.bin(first))
	for i := range a.st.cols {
		c := &a.st.cols[i]
		var err error
		switch c.Role {
		case storage.Attribute, storage.MeasureValue:
			err = c.addStats(slot, statsOf(r, c), n, first, last)
		default:
			if c.fn == storage.CountRows {
				c.n[slot] += int64(n)
				continue
			}
			var v values
			a.constant(c, id, &v)
			if c.Role == storage.TimeColumn {
				v.ints = []int64{first, last}
				err = c.addRows(slot, &v, v.ints, 0, 2)
				if c.fn == storage.Count {
					c.n[slot] += int64(n - 2)
				}
				break
			}
			switch c.fn {
			case storage.First:
				c.offer(slot, &v, first, 0)
			case storage.Last:
				c.offer(slot, &v, last, 0)
			default:
				err = c.addRows(slot, &v, nil, 0, n)
			}
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func statsOf(r run, c *stateColumn) *blockStats {
	if c.fn == storage.CountRows || c.col.Kind == vec.Unknown {
		return nil
	}
	return r.stats(c.col)
}

func (a *aggregator) bin(t int64) int64 {
	width := a.p.bin
	if width == 0 {
		return 0
	}
	q := t / width
	if t%width < 0 {
		q--
	}
	return q * width
}

// load reads the columns that the aggregates need for the rows of a span.
func (a *aggregator) load(s *span, id series.ID) error {
	needTimes := a.p.bin > 0
	for i := range a.st.cols {
		fn := a.st.cols[i].fn
		needTimes = needTimes || fn == storage.First || fn == storage.Last
		if err := a.loadColumn(s, id, i); err != nil {
			return err
		}
	}
	if !needTimes {
		return nil
	}
	times, err := s.times()
	if err != nil {
		return err
	}
	if s.some {
		a.times = pickFrom(times, s.picked)
	} else {
		a.times = times[s.lo:s.hi]
	}
	return nil
}

// loadColumn reads the column of aggregate i, if an earlier one has not.
func (a *aggregator) loadColumn(s *span, id series.ID, i int) error {
	c, v := &a.st.cols[i], &a.columns[i]
	if c.fn == storage.CountRows {
		return nil
	}
	for k := range i {
		if a.st.cols[k].fn != storage.CountRows && a.st.cols[k].Name == c.Name {
			*v = a.columns[k]
			return nil
		}
	}
	if c.Role == storage.Dimension || c.Role == storage.MeasureName {
		a.constant(c, id, v)
		return nil
	}
	return s.numbers(&c.scanColumn, v)
}

// constant is the value of a dimension or the measure name as a column; for the
// time column it is an empty one.
func (a *aggregator) constant(c *stateColumn, id series.ID, v *values) {
	*v = values{kind: c.Type.Kind}
	switch c.Role {
	case storage.MeasureName:
		v.constant, v.strs = true, []string{a.p.series.Measure(id)}
	case storage.Dimension:
		if code, ok := c.dim.Code(id); ok {
			v.constant, v.strs = true, []string{c.dim.Values[code]}
		} else {
			v.allNull = true
		}
	}
}

// span adds the rows of a span, bin by bin.
func (a *aggregator) span(s *span, id series.ID, group uint32) error {
	if err := a.load(s, id); err != nil {
		return err
	}
	n := s.rows()
	a.cuts, a.bins = a.cuts[:0], a.bins[:0]
	switch {
	case a.p.bin == 0:
		a.cuts = append(a.cuts, cut{a.st.slot(id, group, 0), n})
	case a.st.slots == nil:
		a.cutNew(n, id)
	default:
		for lo := 0; lo < n; {
			bin := a.bin(a.times[lo])
			lo = a.endOfBin(lo, n, bin)
			a.cuts = append(a.cuts, cut{a.st.slot(id, group, bin), lo})
		}
	}
	for i := range a.st.cols {
		if err := a.st.cols[i].addCuts(a.cuts, &a.columns[i], a.times); err != nil {
			return err
		}
	}
	return nil
}

// cutNew makes slots for the bins of n rows, without a map: only the first may be there
// already, as the last one.
func (a *aggregator) cutNew(n int, id series.ID) {
	next := a.st.len()
	for lo := 0; lo < n; {
		bin := a.bin(a.times[lo])
		lo = a.endOfBin(lo, n, bin)
		if len(a.cuts) == 0 && next > 0 && a.st.bins[next-1] == bin && a.st.ids[next-1] == id {
			a.cuts = append(a.cuts, cut{next - 1, lo})
			continue
		}
		a.cuts = append(a.cuts, cut{next + len(a.bins), lo})
		a.bins = append(a.bins, bin)
	}
	a.st.extend(id, a.bins...)
}

// endOfBin returns the first row of a.times[lo:n] past the bin. Bins mostly have as
// many rows as the one before; else gallop.
func (a *aggregator) endOfBin(lo, n int, bin int64) int {
	end := bin + a.p.bin
	if end < bin { // past the end of time
		return n
	}
	t := a.times
	if at := lo + a.guess; at <= n && at > lo && t[at-1] < end && (at == n || t[at] >= end) {
		return at
	}
	step := 1
	at := lo + 1
	for at+step <= n && t[at+step-1] < end {
		at += step
		step *= 2
	}
	for step = 1 << max(0, bits.Len(uint(step))-1); step > 0; step /= 2 {
		if at+step <= n && t[at+step-1] < end {
			at += step
		}
	}
	a.guess = at - lo
	return at
}

// edge answers the aggregates of the last row of a series, or of the first.
func (a *aggregator) edge(id series.ID, group uint32, runs []run, last bool) error {
	for k := range runs {
		r := runs[k]
		if last {
			r = runs[len(runs)-1-k]
		}
		if a.edgeFromStats(r, id, group, last) {
			return nil
		}
		s, err := a.narrow(r)
		if err != nil {
			return err
		}
		n := s.rows()
		if n == 0 {
			continue
		}
		at := 0
		if last {
			at = n - 1
		}
		if s.some {
			at = int(s.picked[at])
		} else {
			at += s.lo
		}
		return a.edgeRow(&s, at, id, group, last)
	}
	return nil
}

// edgeFromStats answers from statistics if the last row of a run, or the first, is in the time
// range and known, and reports whether.
func (a *aggregator) edgeFromStats(r run, id series.ID, group uint32, last bool) bool {
	_, minTime, maxTime := r.span()
	at := minTime
	if last {
		at = maxTime
	}
	if len(a.p.tests) > 0 || at < a.p.from || at >= a.p.to {
		return false
	}
	wanted := func(c *stateColumn) bool {
		first, isLast := c.edge()
		return last && isLast || !last && first
	}
	stored := func(c *stateColumn) bool { return c.Role == storage.Attribute || c.Role == storage.MeasureValue }
	for i := range a.st.cols {
		c := &a.st.cols[i]
		if !wanted(c) || !stored(c) {
			continue
		}
		if s := statsOf(r, c); s == nil || last && s.last == nil || !last && s.first == nil {
			return false
		}
	}
	a.p.stats.rows.Add(1)
	slot := a.edgeSlot(id, group)
	for i := range a.st.cols {
		c := &a.st.cols[i]
		switch {
		case !wanted(c):
		case stored(c) && last:
			c.offerStored(slot, statsOf(r, c).last, at)
		case stored(c):
			c.offerStored(slot, statsOf(r, c).first, at)
		default:
			var v values
			if a.constant(c, id, &v); c.Role == storage.TimeColumn {
				v.ints = []int64{at}
			}
			// Neither counts nor sums, so it cannot overflow.
			_ = c.addRows(slot, &v, []int64{at}, 0, 1)
		}
	}
	return true
}

// edgeSlot returns the slot of a series, which has one for both of its edges.
func (a *aggregator) edgeSlot(id series.ID, group uint32) int {
	if n := a.st.len(); a.st.slots == nil && n > 0 && a.st.ids[n-1] == id {
		return n - 1
	}
	return a.st.slot(id, group, 0)
}

// edgeRow adds row i of a run as the last or first one.
func (a *aggregator) edgeRow(s *span, i int, id series.ID, group uint32, last bool) error {
	n, minTime, maxTime := s.span()
	at := minTime
	switch i {
	case 0:
	case n - 1:
		at = maxTime
	default:
		times, err := s.times()
		if err != nil {
			return err
		}
		at = times[i]
	}
	slot := a.edgeSlot(id, group)
	one := span{run: s.run, lo: i, hi: i + 1}
	for k := range a.st.cols {
		c := &a.st.cols[k]
		if first, isLast := c.edge(); last && !isLast || !last && !first {
			continue
		}
		var v values
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			a.constant(c, id, &v)
		case storage.TimeColumn:
			v = values{kind: vec.Timestamp, ints: []int64{at}}
		default:
			if err := one.numbers(&c.scanColumn, &v); err != nil {
				return err
			}
		}
		if err := c.addRows(slot, &v, []int64{at}, 0, 1); err != nil {
			return err
		}
	}
	return nil
}

// aggregateScanner gives the partial aggregates of a scan.
type aggregateScanner struct {
	p       *plan
	applied storage.Applied
	pool    *pool
}

func newAggregateScanner(p *plan, applied storage.Applied) *aggregateScanner {
	g := newGrouping(p)
	s := &aggregateScanner{p: p, applied: applied}
	s.pool = newPool(p, len(p.ids), func(ctx context.Context, take func() (int, int), emit func(*vec.Batch) error) error {
		return aggregate(ctx, p, g, take, emit)
	})
	return s
}

func (s *aggregateScanner) Applied() storage.Applied { return s.applied }

func (s *aggregateScanner) Next(ctx context.Context) (*vec.Batch, error) { return s.pool.next(ctx) }

func (s *aggregateScanner) Stats() storage.ScanStats { return s.p.report() }

func (s *aggregateScanner) Close() { s.pool.close() }

// aggregateBatchRows is when the partials of series that are groups of their own are
// handed on.
const aggregateBatchRows = 8192

func aggregate(ctx context.Context, p *plan, g *grouping, take func() (int, int), emit func(*vec.Batch) error) error {
	a := newAggregator(p, !g.oneEach)
	for {
		from, to := take()
		if from == to {
			break
		}
		for i := from; i < to; i++ {
			if i&15 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := a.series(p.ids[i], g.of[i]); err != nil {
				return err
			}
			if g.oneEach && a.st.len() >= aggregateBatchRows {
				if err := emit(a.st.batch()); err != nil {
					return err
				}
			}
		}
	}
	if a.st.len() > 0 {
		return emit(a.st.batch())
	}
	return nil
}
