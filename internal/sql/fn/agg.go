package fn

import (
	"strings"
	"unsafe"

	"github.com/weir-db/weir/internal/vec"
)

// sizes of what accumulators hold per entry, for SizeBytes.
const (
	wordBytes   = 8
	stringBytes = int64(unsafe.Sizeof(""))
	valueBytes  = int64(unsafe.Sizeof(vec.Value{}))
)

// aggregate is shorthand for the lists of aggregates.
func aggregate(sig, text, example, result string, new func(args []vec.Type, ret vec.Type) Accumulator) Aggregate {
	return Aggregate{Signature: sig, Docs: Docs{"aggregate", text, example, result}, New: new}
}

// grow returns s with room for n entries; the new ones are zero.
func grow[T any](s []T, n int) []T {
	if n <= len(s) {
		return s
	}
	if n <= cap(s) {
		return s[:n]
	}
	out := make([]T, n, max(n, 2*len(s)))
	copy(out, s)
	return out
}

// skipNulls drops the rows that have a null argument and flattens dictionaries.
func skipNulls(groups []int32, args []*vec.Vector) ([]int32, []*vec.Vector) {
	args = flatten0(args)
	nulls, count, all := nullMask(args, len(groups))
	if count == 0 {
		return groups, args
	}
	if all {
		return gatherRows(nil, args, nil)
	}
	return gatherRows(groups, args, notNull(nulls, count))
}

// notNull returns the rows that are not null, given how many are. The loop has no branch
// on the flags, which nobody could predict.
func notNull(nulls []bool, count int) []int32 {
	rows := make([]int32, len(nulls))
	k := 0
	for i, null := range nulls {
		rows[k] = int32(i)
		next := k + 1
		if null {
			next = k
		}
		k = next
	}
	return rows[:len(nulls)-count]
}

func gatherRows(groups []int32, args []*vec.Vector, rows []int32) ([]int32, []*vec.Vector) {
	kept := make([]int32, len(rows))
	for k, r := range rows {
		kept[k] = groups[r]
	}
	out := make([]*vec.Vector, len(args))
	for i, a := range args {
		out[i] = a.Gather(rows)
	}
	return kept, out
}

// eachRun calls f for every run of equal groups. Rows come sorted by series and time,
// so runs are long as a rule.
func eachRun(groups []int32, f func(g int32, from, to int)) {
	for i := 0; i < len(groups); {
		g, from := groups[i], i
		for i++; i < len(groups) && groups[i] == g; i++ {
		}
		f(g, from, i)
	}
}

// scattered reports whether runs of equal groups are so short, by the first ones, that it is better to add row
// by row: the end of a run of two or three cannot be predicted. See BenchmarkAggregate.
func scattered(groups []int32) bool {
	first := groups[:min(len(groups), 64)]
	runs := 0
	for i, g := range first {
		if i > 0 && g != first[i-1] {
			runs++
		}
	}
	return 8*runs > len(first)
}

// flatCol returns the values of a vector in flat form.
func flatCol[T element](v *vec.Vector) []T { return colOf[T](v.Flat()).vals }

// cells is one value of any type per group.
type cells struct {
	t      vec.Type
	n      int
	set    []bool // the group has a value, or a null
	null   []bool
	ints   []int64
	floats []float64
	bools  []bool
	strs   []string
	vals   []vec.Value // nested
	bytes  int64       // of texts and nested values
}

func (c *cells) resize(n int) {
	c.n = max(n, c.n)
	c.set, c.null = grow(c.set, n), grow(c.null, n)
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints = grow(c.ints, n)
	case vec.StoreFloats:
		c.floats = grow(c.floats, n)
	case vec.StoreBools:
		c.bools = grow(c.bools, n)
	case vec.StoreStrs:
		c.strs = grow(c.strs, n)
	case vec.StoreNested:
		c.vals = grow(c.vals, n)
	}
}

// put makes row i of v the value of group g.
func (c *cells) put(g int32, v *vec.Vector, i int) {
	v, i = v.At(i)
	c.set[g] = true
	if c.null[g] = v.IsNull(i); c.null[g] {
		return
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints[g] = v.Ints[i]
	case vec.StoreFloats:
		c.floats[g] = v.Floats[i]
	case vec.StoreBools:
		c.bools[g] = v.Bools[i]
	case vec.StoreStrs:
		// A copy: the text may be a piece of a block that should not be kept.
		c.bytes += int64(len(v.Strs[i]) - len(c.strs[g]))
		c.strs[g] = strings.Clone(v.Strs[i])
	case vec.StoreNested:
		x := v.Value(i)
		c.bytes += valueSize(x) - valueSize(c.vals[g])
		c.vals[g] = x
	}
}

// compare orders row i of v (not null) against the value of group g (set, not null).
func (c *cells) compare(v *vec.Vector, i int, g int32) int {
	v, i = v.At(i)
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		return compareOrdered(v.Ints[i], c.ints[g])
	case vec.StoreFloats:
		return vec.CompareFloats(v.Floats[i], c.floats[g])
	case vec.StoreBools:
		return vec.CompareBools(v.Bools[i], c.bools[g])
	case vec.StoreStrs:
		return compareOrdered(v.Strs[i], c.strs[g])
	case vec.StoreNested:
		return vec.CompareValues(v.Value(i), c.vals[g])
	}
	return 0
}

func compareOrdered[T int64 | string](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// vector returns the values; groups without one are null.
func (c *cells) vector() *vec.Vector {
	nulls := make([]bool, c.n)
	any := false
	for i := range nulls {
		nulls[i] = !c.set[i] || c.null[i]
		any = any || nulls[i]
	}
	if !any {
		nulls = nil
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		return vecOf(c.t, c.ints[:c.n], nulls)
	case vec.StoreFloats:
		return vecOf(c.t, c.floats[:c.n], nulls)
	case vec.StoreBools:
		return vecOf(c.t, c.bools[:c.n], nulls)
	case vec.StoreStrs:
		return vecOf(c.t, c.strs[:c.n], nulls).Retype(c.t)
	case vec.StoreNone:
		return vec.NullsOf(c.t, c.n)
	}
	b := vec.NewBuilder(c.t, c.n)
	for i := range c.n {
		if nulls != nil && nulls[i] {
			b.AppendNull()
		} else {
			b.Append(c.vals[i])
		}
	}
	return b.Vector()
}

func (c *cells) size() int64 {
	return 2*int64(cap(c.set)) + wordBytes*int64(cap(c.ints)+cap(c.floats)) + int64(cap(c.bools)) +
		stringBytes*int64(cap(c.strs)) + valueBytes*int64(cap(c.vals)) + c.bytes
}

// valueSize is what a boxed value holds besides itself.
func valueSize(v vec.Value) int64 {
	size := int64(len(v.Str)) + int64(cap(v.List))*valueBytes
	for _, e := range v.List {
		size += valueSize(e)
	}
	return size
}

// nullsUnless returns the null flags of groups for which has is false, or nil.
func nullsUnless(n int, has func(g int) bool) []bool {
	var nulls []bool
	for g := range n {
		if has(g) {
			continue
		}
		if nulls == nil {
			nulls = make([]bool, n)
		}
		nulls[g] = true
	}
	return nulls
}
