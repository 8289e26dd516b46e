package embedded

import (
	"cmp"
	"math"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// holdsString evaluates a predicate on a dimension or measure name.
func holdsString(p *storage.Predicate, value string, null bool) bool {
	switch p.Op {
	case storage.IsNull:
		return null
	case storage.IsNotNull:
		return !null
	case storage.Match:
		return p.Matches(value, null)
	}
	if null {
		return false
	}
	if p.Op == storage.In {
		for i := range p.Values {
			if p.Values[i].Str == value {
				return true
			}
		}
		return false
	}
	return holds(p.Op, cmp.Compare(value, p.Values[0].Str))
}

// fewValues is up to how many values of a list are compared one by one.
const fewValues = 16

// stringTest returns a predicate on a dimension or measure name as a function of values that are not null.
func stringTest(p *storage.Predicate) func(value string) bool {
	if p.Op != storage.In || len(p.Values) <= fewValues {
		return func(value string) bool { return holdsString(p, value, false) }
	}
	listed := make(map[string]struct{}, len(p.Values))
	for i := range p.Values {
		listed[p.Values[i].Str] = struct{}{}
	}
	return func(value string) bool {
		_, ok := listed[value]
		return ok
	}
}

// holds says what a comparison's outcome c means for an operator.
func holds(op storage.Op, c int) bool {
	switch op {
	case storage.Eq:
		return c == 0
	case storage.Ne:
		return c != 0
	case storage.Lt:
		return c < 0
	case storage.Le:
		return c <= 0
	case storage.Gt:
		return c > 0
	}
	return c >= 0
}

// selectSeries returns which series satisfy the predicates on dimensions and
// measure name, in the order of ids. Equalities and lists are looked up, those of dimensions with the most values first, until few series are left; what
// else there is is tested once per distinct value, or per series where few are left.
func selectSeries(r *series.Registry, v *series.View, preds []storage.Predicate) []series.ID {
	var lookups, tests []*storage.Predicate
	for i := range preds {
		if p := &preds[i]; p.Column != storage.MeasureNameColumn && (p.Op == storage.Eq || p.Op == storage.In) {
			lookups = append(lookups, p)
		} else {
			tests = append(tests, p)
		}
	}
	if len(lookups) > 1 {
		slices.SortStableFunc(lookups, func(a, b *storage.Predicate) int {
			return cmp.Compare(v.Distinct(b.Column), v.Distinct(a.Column))
		})
	}
	var ids []series.ID
	for i, p := range lookups {
		if i > 0 && len(ids) <= fewSeries {
			ids = filterSeries(v, ids, p)
			continue
		}
		values := make([]string, len(p.Values))
		for k := range p.Values {
			values[k] = p.Values[k].Str
		}
		with := r.With(v, p.Column, values)
		if i > 0 {
			with = intersect(ids, with)
		}
		ids = with
	}
	if len(lookups) == 0 {
		ids = make([]series.ID, v.Len())
		for i := range ids {
			ids[i] = series.ID(i)
		}
	}
	for _, p := range tests {
		ids = filterSeries(v, ids, p)
	}
	return ids
}

// intersect returns the series that are in both of two lists, which are in the order of ids. It is in the memory of a.
func intersect(a, b []series.ID) []series.ID {
	both := a[:0]
	for _, id := range a {
		for len(b) > 0 && b[0] < id {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == id {
			both = append(both, id)
		}
	}
	return both
}

// fewSeries is when testing each is cheaper than a table of all distinct values.
const fewSeries = 64

func filterSeries(v *series.View, ids []series.ID, p *storage.Predicate) []series.ID {
	values := v.Measures()
	code := func(id series.ID) (uint32, bool) { return v.MeasureCode(id), true }
	null := false
	if p.Column != storage.MeasureNameColumn {
		dim := v.Dimension(p.Column)
		values, code = dim.Values, dim.Code
		null = holdsString(p, "", true)
	}
	holds := stringTest(p)
	ok := func(code uint32) bool { return holds(values[code]) }
	if len(ids) > fewSeries {
		table := make([]bool, len(values))
		if p.Op == storage.Match && p.MatchesAll != nil {
			p.MatchesAll(values, table)
		} else {
			for i := range values {
				table[i] = holds(values[i])
			}
		}
		ok = func(code uint32) bool { return table[code] }
	}
	kept := ids[:0]
	for _, id := range ids {
		if c, has := code(id); has && ok(c) || !has && null {
			kept = append(kept, id)
		}
	}
	return kept
}

// narrowTime cuts [from, to) by a predicate on time and reports whether rows must
// still be tested.
func narrowTime(p *storage.Predicate, from, to *int64) (test bool) {
	after := func(t int64) int64 {
		if t == math.MaxInt64 {
			return t
		}
		return t + 1
	}
	switch p.Op {
	case storage.IsNotNull:
		return false
	case storage.IsNull:
		*to = *from
		return false
	case storage.Ne:
		return true
	case storage.In:
		least, greatest := int64(math.MaxInt64), int64(math.MinInt64)
		for i := range p.Values {
			least, greatest = min(least, p.Values[i].Int), max(greatest, p.Values[i].Int)
		}
		if len(p.Values) == 0 {
			*to = *from
			return false
		}
		*from, *to = max(*from, least), min(*to, after(greatest))
		return true
	}
	t := p.Values[0].Int
	switch p.Op {
	case storage.Eq:
		*from, *to = max(*from, t), min(*to, after(t))
	case storage.Lt:
		*to = min(*to, t)
	case storage.Le:
		*to = min(*to, after(t))
	case storage.Gt:
		*from = max(*from, after(t))
	case storage.Ge:
		*from = max(*from, t)
	}
	return false
}

// valueTest is a predicate on a value column, or on time when onTime is set.
type valueTest struct {
	p      *storage.Predicate
	col    memstore.Col
	onTime bool
}

// between returns the integers i, least to most, for which i / 10^scale passes the test; ok is
// false for tests that are not one such range. Division rounds correctly, so it keeps the
// order, and the ends are found by trying neighbours of the nearest integer.
func (t *valueTest) between(scale int) (least, most int64, ok bool) {
	if len(t.p.Values) != 1 {
		return 0, 0, false
	}
	x, p := t.p.Values[0].Float, codec.Pow10(scale)
	const limit = 1 << 52
	if !(math.Abs(x*p) < limit) { // NaN too
		return 0, 0, false
	}
	from := int64(math.Floor(x * p)) // the least that is not below x
	for float64(from)/p >= x {
		from--
	}
	for float64(from)/p < x {
		from++
	}
	past := from // the least that is above x
	for float64(past)/p <= x {
		past++
	}
	switch t.p.Op {
	case storage.Eq:
		if past == from {
			return 0, 0, false
		}
		return from, past - 1, true
	case storage.Lt:
		return math.MinInt64, from - 1, true
	case storage.Le:
		return math.MinInt64, past - 1, true
	case storage.Gt:
		return past, math.MaxInt64, true
	case storage.Ge:
		return from, math.MaxInt64, true
	}
	return 0, 0, false
}

// mask clears the flags of rows that fail the test.
func (t *valueTest) mask(v *values, keep []bool) {
	p := t.p
	switch p.Op {
	case storage.IsNull, storage.IsNotNull:
		for i := range keep {
			if v.isNull(i) != (p.Op == storage.IsNull) {
				keep[i] = false
			}
		}
		return
	}
	if v.allNull {
		clear(keep)
		return
	}
	if v.nulls != nil {
		for i := range keep {
			keep[i] = keep[i] && !v.nulls[i]
		}
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		maskOrdered(v.floats, p, func(x vec.Value) float64 { return x.Float }, keep)
	case vec.StoreStrs:
		maskOrdered(v.strs, p, func(x vec.Value) string { return x.Str }, keep)
	case vec.StoreBools:
		for i := range keep {
			keep[i] = keep[i] && holdsBool(p, v.bools[i])
		}
	default:
		maskOrdered(v.ints, p, func(x vec.Value) int64 { return x.Int }, keep)
	}
}

func holdsBool(p *storage.Predicate, b bool) bool {
	num := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	if p.Op == storage.In {
		for i := range p.Values {
			if p.Values[i].Bool == b {
				return true
			}
		}
		return false
	}
	return holds(p.Op, num(b)-num(p.Values[0].Bool))
}

// maskOrdered compares as Go does, which for doubles is as SQL does: NaN equals
// nothing and differs from everything.
func maskOrdered[T cmp.Ordered](vals []T, p *storage.Predicate, of func(vec.Value) T, keep []bool) {
	if p.Op == storage.In {
		for i := range keep {
			keep[i] = keep[i] && inList(vals[i], p, of)
		}
		return
	}
	want := of(p.Values[0])
	vals = vals[:len(keep)]
	switch p.Op {
	case storage.Eq:
		for i, x := range vals {
			keep[i] = keep[i] && x == want
		}
	case storage.Ne:
		for i, x := range vals {
			keep[i] = keep[i] && x != want
		}
	case storage.Lt:
		for i, x := range vals {
			keep[i] = keep[i] && x < want
		}
	case storage.Le:
		for i, x := range vals {
			keep[i] = keep[i] && x <= want
		}
	case storage.Gt:
		for i, x := range vals {
			keep[i] = keep[i] && x > want
		}
	case storage.Ge:
		for i, x := range vals {
			keep[i] = keep[i] && x >= want
		}
	}
}

func inList[T cmp.Ordered](x T, p *storage.Predicate, of func(vec.Value) T) bool {
	for i := range p.Values {
		if of(p.Values[i]) == x {
			return true
		}
	}
	return false
}

// excludes reports whether statistics prove that no row of a block passes the test.
func (t *valueTest) excludes(s *blockStats) bool {
	switch {
	case t.onTime:
		return false
	case t.p.Op == storage.IsNull:
		return s.nonNull == s.rows
	case s.nonNull == 0:
		return true
	case t.p.Op == storage.IsNotNull || !s.hasMinMax:
		return false
	}
	low, high := func(v vec.Value) int { return s.compare(t.col.Kind, v, s.minBits, s.minStr) },
		func(v vec.Value) int { return s.compare(t.col.Kind, v, s.maxBits, s.maxStr) }
	outside := func(v vec.Value) bool { return low(v) > 0 || high(v) < 0 }
	switch t.p.Op {
	case storage.Eq:
		return outside(t.p.Values[0])
	case storage.In:
		for _, v := range t.p.Values {
			if !outside(v) {
				return false
			}
		}
		return true
	case storage.Lt:
		return low(t.p.Values[0]) >= 0
	case storage.Le:
		return low(t.p.Values[0]) > 0
	case storage.Gt:
		return high(t.p.Values[0]) <= 0
	case storage.Ge:
		return high(t.p.Values[0]) < 0
	}
	return false
}

// compare orders a stored bound against a value.
func (s *blockStats) compare(kind vec.Kind, v vec.Value, bits uint64, str string) int {
	switch kind.Storage() {
	case vec.StoreFloats:
		return cmp.Compare(math.Float64frombits(bits), v.Float)
	case vec.StoreStrs:
		return cmp.Compare(str, v.Str)
	case vec.StoreBools:
		b := uint64(0)
		if v.Bool {
			b = 1
		}
		return cmp.Compare(bits, b)
	}
	return cmp.Compare(int64(bits), v.Int)
}
