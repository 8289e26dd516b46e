package fn

import (
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// basicAggregates is count, sum, avg, min, max and the boolean and bitwise ones
// (sql.md section 9).
func basicAggregates() []Aggregate {
	const ds, ym = "interval day to second", "interval year to month"
	values := " FROM (VALUES 4, 7, NULL, 5) AS t(x)"
	spans := " FROM (VALUES 1h, 3h) AS t(x)"
	years := " FROM (VALUES 1y, 3y) AS t(x)"
	flags := " FROM (VALUES true, NULL, false) AS t(x)"
	return []Aggregate{
		aggregate("count() -> bigint", "Number of rows; count(*).", "count()"+values, "4", newCount),
		aggregate("count(T) -> bigint", "Number of rows in which x is not null.", "count(x)"+values, "3", newCount),
		aggregate("count_if(boolean) -> bigint", "Number of rows in which x is true.", "count_if(x)"+flags, "1", newCountIf),
		aggregate("sum(bigint) -> bigint", "Sum; an overflow is an error.", "sum(x)"+values, "16", newSumInt),
		aggregate("sum(double) -> double", "Sum.", "sum(x * 0.5)"+values, "8.0", newSumFloat),
		aggregate("sum("+ds+") -> "+ds, "Sum of spans.", "sum(x)"+spans, "0 04:00:00.000000000", newSumInt),
		aggregate("sum("+ym+") -> "+ym, "Sum of spans.", "sum(x)"+years, "4-0", newSumInt),
		aggregate("avg(bigint) -> double", "Arithmetic mean.", "avg(x)"+values, "5.333333333333333", newAvgInt),
		aggregate("avg(double) -> double", "Arithmetic mean.", "avg(x * 0.5)"+values, "2.6666666666666665", newAvgFloat),
		aggregate("avg("+ds+") -> "+ds, "Mean of spans.", "avg(x)"+spans, "0 02:00:00.000000000", newAvgSpan),
		aggregate("avg("+ym+") -> "+ym, "Mean of spans.", "avg(x)"+years, "2-0", newAvgSpan),
		aggregate("min(T) -> T", "Least value.", "min(x)"+values, "4", newExtreme(-1)),
		aggregate("max(T) -> T", "Greatest value.", "max(x)"+values, "7", newExtreme(1)),
		aggregate("arbitrary(T) -> T", "Some value that is not null.", "arbitrary(x) FROM (VALUES NULL, 7) AS t(x)", "7", newArbitrary),
		aggregate("bool_and(boolean) -> boolean", "Whether all values are true.", "bool_and(x)"+flags, "false", newBool(false)),
		aggregate("every(boolean) -> boolean", "Whether all values are true.", "every(x)"+flags, "false", newBool(false)),
		aggregate("bool_or(boolean) -> boolean", "Whether some value is true.", "bool_or(x)"+flags, "true", newBool(true)),
		aggregate("bitwise_and_agg(bigint) -> bigint", "The bits set in all values.", "bitwise_and_agg(x)"+values, "4", newBits(func(a, b int64) int64 { return a & b })),
		aggregate("bitwise_or_agg(bigint) -> bigint", "The bits set in some value.", "bitwise_or_agg(x)"+values, "7", newBits(func(a, b int64) int64 { return a | b })),
	}
}

// countAcc counts rows, those without null if there is an argument.
type countAcc struct{ counts []int64 }

func newCount([]vec.Type, vec.Type) Accumulator { return &countAcc{} }

func (a *countAcc) Resize(n int) { a.counts = grow(a.counts, n) }

func (a *countAcc) Add(groups []int32, args []*vec.Vector) error {
	if len(args) > 0 && args[0].HasNulls() {
		groups, _ = skipNulls(groups, args[:1])
	}
	counts := a.counts
	if scattered(groups) {
		for _, g := range groups {
			counts[g]++
		}
		return nil
	}
	for i := 0; i < len(groups); {
		g, from := groups[i], i
		for i++; i < len(groups) && groups[i] == g; i++ {
		}
		counts[g] += int64(i - from)
	}
	return nil
}

func (a *countAcc) Merge(groups []int32, states []*vec.Vector) error {
	groups, states = skipNulls(groups, states)
	for i, n := range flatCol[int64](states[0]) {
		a.counts[groups[i]] += n
	}
	return nil
}

func (a *countAcc) Result() (*vec.Vector, error) {
	return vec.OfInts(vec.BigintType, a.counts, nil), nil
}

func (a *countAcc) SizeBytes() int64 { return int64(len(a.counts)) * wordBytes }

// countIfAcc counts the rows that are true.
type countIfAcc struct{ countAcc }

func newCountIf([]vec.Type, vec.Type) Accumulator { return &countIfAcc{} }

func (a *countIfAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	for i, b := range flatCol[bool](args[0]) {
		a.counts[groups[i]] += boolInt(b)
	}
	return nil
}

// sumInt adds 64-bit numbers of any integer-like type.
type sumInt struct {
	t    vec.Type
	sums []int64
	n    []int64
}

func newSumInt(_ []vec.Type, ret vec.Type) Accumulator { return &sumInt{t: ret} }

func (a *sumInt) Resize(n int) { a.sums, a.n = grow(a.sums, n), grow(a.n, n) }

func (a *sumInt) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	vals := flatCol[int64](args[0])[:len(groups)]
	if scattered(groups) {
		sums, counts := a.sums, a.n[:len(a.sums)]
		for i, g := range groups {
			s, x := sums[g], vals[i]
			sum := s + x
			if (s^sum)&(x^sum) < 0 {
				return fail("bigint addition overflow: %d + %d", s, x)
			}
			sums[g] = sum
			counts[g]++
		}
		return nil
	}
	for i := 0; i < len(groups); {
		g, from := groups[i], i
		s := a.sums[g]
		for ; i < len(groups) && groups[i] == g; i++ {
			x := vals[i]
			sum := s + x
			if (s^sum)&(x^sum) < 0 {
				return fail("bigint addition overflow: %d + %d", s, x)
			}
			s = sum
		}
		a.sums[g] = s
		a.n[g] += int64(i - from)
	}
	return nil
}

func (a *sumInt) Merge(groups []int32, states []*vec.Vector) error { return a.Add(groups, states) }

func (a *sumInt) Result() (*vec.Vector, error) {
	return vec.OfInts(a.t, a.sums, nullsUnless(len(a.n), func(g int) bool { return a.n[g] > 0 })), nil
}

func (a *sumInt) SizeBytes() int64 { return int64(len(a.sums)) * 2 * wordBytes }

// avgSpan divides the sum of spans by their number, rounding to the nearest, and a half upwards, also of negative ones.
type avgSpan struct{ sum sumInt }

func newAvgSpan(_ []vec.Type, ret vec.Type) Accumulator { return &avgSpan{sumInt{t: ret}} }

func (a *avgSpan) Resize(n int) { a.sum.Resize(n) }

func (a *avgSpan) Add(groups []int32, args []*vec.Vector) error { return a.sum.Add(groups, args) }

func (a *avgSpan) Result() (*vec.Vector, error) {
	for g, n := range a.sum.n {
		if n > 0 {
			a.sum.sums[g] = vec.FloorDiv(a.sum.sums[g]+n/2, n)
		}
	}
	return a.sum.Result()
}

func (a *avgSpan) SizeBytes() int64 { return a.sum.SizeBytes() }

// sumFloat adds doubles and counts them.
type sumFloat struct {
	sums []float64
	n    []int64
}

func newSumFloat([]vec.Type, vec.Type) Accumulator { return &sumFloat{} }

func (a *sumFloat) Resize(n int) { a.sums, a.n = grow(a.sums, n), grow(a.n, n) }

func (a *sumFloat) Add(groups []int32, args []*vec.Vector) error {
	if v := args[0]; v.Form == vec.Flat && v.Nulls != nil {
		a.addNullable(groups, v.Floats, v.Nulls)
		return nil
	}
	groups, args = skipNulls(groups, args)
	vals := flatCol[float64](args[0])[:len(groups)]
	if scattered(groups) {
		addEach(a.sums, a.n, groups, vals)
		return nil
	}
	for i := 0; i < len(groups); {
		g, from := groups[i], i
		for i++; i < len(groups) && groups[i] == g; i++ {
		}
		a.n[g] += int64(i - from)
		if i-from == 1 {
			a.sums[g] += vals[from]
			continue
		}
		a.sums[g] += sumOf(vals[from:i])
	}
	return nil
}

// addEach adds value by value, and counts them.
func addEach[T int64 | float64](sums []float64, counts []int64, groups []int32, vals []T) {
	counts, vals = counts[:len(sums)], vals[:len(groups)]
	for i, g := range groups {
		sums[g] += float64(vals[i])
		counts[g]++
	}
}

// addNullable is Add over values with nulls: cheaper than to drop them first.
func (a *sumFloat) addNullable(groups []int32, vals []float64, nulls []bool) {
	for i := 0; i < len(groups); {
		g := groups[i]
		s, n := 0.0, int64(0)
		for ; i < len(groups) && groups[i] == g; i++ {
			if !nulls[i] {
				s += vals[i]
				n++
			}
		}
		a.sums[g] += s
		a.n[g] += n
	}
}

// sumOf adds in four lanes: one would wait for each addition in turn.
func sumOf(vals []float64) float64 {
	if len(vals) < 8 {
		var s float64
		for _, x := range vals {
			s += x
		}
		return s
	}
	var s0, s1, s2, s3 float64
	for ; len(vals) >= 4; vals = vals[4:] {
		s0 += vals[0]
		s1 += vals[1]
		s2 += vals[2]
		s3 += vals[3]
	}
	for _, x := range vals {
		s0 += x
	}
	return (s0 + s1) + (s2 + s3)
}

func (a *sumFloat) Merge(groups []int32, states []*vec.Vector) error { return a.Add(groups, states) }

func (a *sumFloat) Result() (*vec.Vector, error) {
	return vec.OfFloats(a.sums, nullsUnless(len(a.n), func(g int) bool { return a.n[g] > 0 })), nil
}

func (a *sumFloat) SizeBytes() int64 { return int64(len(a.sums)) * 2 * wordBytes }

// avgFloat is a sum and a count; partial states are the same.
type avgFloat struct{ sumFloat }

func newAvgFloat([]vec.Type, vec.Type) Accumulator { return &avgFloat{} }

func (a *avgFloat) Merge(groups []int32, states []*vec.Vector) error {
	groups, states = skipNulls(groups, states)
	sums, counts := flatCol[float64](states[0]), flatCol[int64](states[1])
	for i, g := range groups {
		a.sums[g] += sums[i]
		a.n[g] += counts[i]
	}
	return nil
}

func (a *avgFloat) Result() (*vec.Vector, error) {
	for g, n := range a.n {
		if n > 0 {
			a.sums[g] /= float64(n)
		}
	}
	return a.sumFloat.Result()
}

// avgInt is avgFloat over whole numbers; its partial states are moments.
type avgInt struct{ avgFloat }

func newAvgInt([]vec.Type, vec.Type) Accumulator { return &avgInt{} }

func (a *avgInt) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	vals := flatCol[int64](args[0])
	if scattered(groups) {
		addEach(a.sums, a.n, groups, vals)
		return nil
	}
	for i := 0; i < len(groups); {
		g, from := groups[i], i
		s := 0.0
		for ; i < len(groups) && groups[i] == g; i++ {
			s += float64(vals[i])
		}
		a.sums[g] += s
		a.n[g] += int64(i - from)
	}
	return nil
}

func (a *avgInt) Merge(groups []int32, states []*vec.Vector) error {
	counts := states[0].Flat()
	means := states[1].Flat()
	for i, g := range groups {
		if n := counts.Ints[i]; !counts.IsNull(i) && n > 0 {
			a.sums[g] += means.Floats[i] * float64(n)
			a.n[g] += n
		}
	}
	return nil
}

// newExtreme makes min (-1) or max (1). NaN is the greatest double.
func newExtreme(sign int) func([]vec.Type, vec.Type) Accumulator {
	return func(_ []vec.Type, ret vec.Type) Accumulator {
		switch ret.Kind.Storage() {
		case vec.StoreInts:
			return &extremeAcc[int64]{t: ret, max: sign > 0}
		case vec.StoreFloats:
			return &extremeAcc[float64]{t: ret, max: sign > 0}
		case vec.StoreStrs:
			return &extremeAcc[string]{t: ret, max: sign > 0}
		}
		return &extremeCells{cells: cells{t: ret}, sign: sign}
	}
}

type extremeAcc[T int64 | float64 | string] struct {
	t    vec.Type
	max  bool
	best []T
	has  []bool

	bytes int64 // of texts
}

func (a *extremeAcc[T]) Resize(n int) { a.best, a.has = grow(a.best, n), grow(a.has, n) }

func (a *extremeAcc[T]) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	vals := flatCol[T](args[0])
	if scattered(groups) {
		a.addEach(groups, vals)
		return nil
	}
	for i := 0; i < len(groups); {
		g := groups[i]
		best := vals[i]
		if a.has[g] {
			best = a.best[g]
		}
		if a.max {
			for ; i < len(groups) && groups[i] == g; i++ {
				if x := vals[i]; x > best || x != x {
					best = x
				}
			}
		} else {
			for ; i < len(groups) && groups[i] == g; i++ {
				if x := vals[i]; x < best || best != best {
					best = x
				}
			}
		}
		a.keep(g, best)
	}
	return nil
}

// addEach is Add, value by value.
func (a *extremeAcc[T]) addEach(groups []int32, vals []T) {
	best, has, vals := a.best, a.has[:len(a.best)], vals[:len(groups)]
	for i, g := range groups {
		if x := vals[i]; !has[g] || a.max && (x > best[g] || x != x) || !a.max && (x < best[g] || best[g] != best[g]) {
			a.keep(g, x)
		}
	}
}

// keep makes best the value of group g. Texts are copied: they may be pieces of blocks
// that should not be kept.
func (a *extremeAcc[T]) keep(g int32, best T) {
	if texts, ok := any(a.best).([]string); ok {
		if s := any(best).(string); !a.has[g] || s != texts[g] {
			a.bytes += int64(len(s) - len(texts[g]))
			texts[g] = strings.Clone(s)
		}
	} else {
		a.best[g] = best
	}
	a.has[g] = true
}

func (a *extremeAcc[T]) Merge(groups []int32, states []*vec.Vector) error {
	return a.Add(groups, states[:1])
}

// Settle implements [Settler]. Texts are to be copied, as keep does.
func (a *extremeAcc[T]) Settle(states []*vec.Vector) *vec.Vector {
	if a.t.Kind.Storage() == vec.StoreStrs {
		return nil
	}
	return states[0]
}

func (a *extremeAcc[T]) Result() (*vec.Vector, error) {
	return vecOf(a.t, a.best, nullsUnless(len(a.has), func(g int) bool { return a.has[g] })).Retype(a.t), nil
}

func (a *extremeAcc[T]) SizeBytes() int64 {
	entry := int64(wordBytes)
	if a.t.Kind == vec.Varchar {
		entry = stringBytes
	}
	return int64(cap(a.best))*entry + int64(cap(a.has)) + a.bytes
}

// extremeCells is min and max over booleans and nested values.
type extremeCells struct {
	cells
	sign int
}

func (a *extremeCells) Resize(n int) { a.resize(n) }

func (a *extremeCells) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	for i, g := range groups {
		if !a.set[g] || a.compare(args[0], i, g) == a.sign {
			a.put(g, args[0], i)
		}
	}
	return nil
}

func (a *extremeCells) Merge(groups []int32, states []*vec.Vector) error {
	return a.Add(groups, states[:1])
}

func (a *extremeCells) Result() (*vec.Vector, error) { return a.vector(), nil }

func (a *extremeCells) SizeBytes() int64 { return a.size() }

// arbitraryAcc keeps the first value that is not null.
type arbitraryAcc struct{ cells }

func newArbitrary(_ []vec.Type, ret vec.Type) Accumulator { return &arbitraryAcc{cells{t: ret}} }

func (a *arbitraryAcc) Resize(n int) { a.resize(n) }

func (a *arbitraryAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	for i, g := range groups {
		if !a.set[g] {
			a.put(g, args[0], i)
		}
	}
	return nil
}

func (a *arbitraryAcc) Result() (*vec.Vector, error) { return a.vector(), nil }

func (a *arbitraryAcc) SizeBytes() int64 { return a.size() }

// boolAcc is bool_or (decisive true) and bool_and (decisive false).
type boolAcc struct {
	decisive bool
	cells
}

func newBool(decisive bool) func([]vec.Type, vec.Type) Accumulator {
	return func([]vec.Type, vec.Type) Accumulator {
		return &boolAcc{decisive, cells{t: vec.BooleanType}}
	}
}

func (a *boolAcc) Resize(n int) { a.resize(n) }

func (a *boolAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	for i, b := range flatCol[bool](args[0]) {
		if g := groups[i]; !a.set[g] || b == a.decisive {
			a.set[g], a.bools[g] = true, b
		}
	}
	return nil
}

func (a *boolAcc) Result() (*vec.Vector, error) { return a.vector(), nil }

func (a *boolAcc) SizeBytes() int64 { return a.size() }

// bitsAcc folds whole numbers with an associative function.
type bitsAcc struct {
	fold func(a, b int64) int64
	cells
}

func newBits(fold func(a, b int64) int64) func([]vec.Type, vec.Type) Accumulator {
	return func([]vec.Type, vec.Type) Accumulator { return &bitsAcc{fold, cells{t: vec.BigintType}} }
}

func (a *bitsAcc) Resize(n int) { a.resize(n) }

func (a *bitsAcc) Add(groups []int32, args []*vec.Vector) error {
	groups, args = skipNulls(groups, args)
	for i, x := range flatCol[int64](args[0]) {
		g := groups[i]
		if a.set[g] {
			x = a.fold(a.ints[g], x)
		}
		a.set[g], a.ints[g] = true, x
	}
	return nil
}

func (a *bitsAcc) Result() (*vec.Vector, error) { return a.vector(), nil }

func (a *bitsAcc) SizeBytes() int64 { return a.size() }
