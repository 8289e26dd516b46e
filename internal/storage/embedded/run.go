package embedded

import (
	"slices"
	"unsafe"

	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/vec"
)

// run is rows of one series, sorted by time, each time once. A run is used by one
// goroutine; what it returns is valid until the worker's next series, and for ever
// when the worker keeps its buffers (see worker.keep).
type run interface {
	// span returns the number of rows and the first and last time.
	span() (n int, minTime, maxTime int64)
	times() ([]int64, error)
	// versions returns nil if all are 1.
	versions() ([]int64, error)
	// column fills into with a value column; rows that lack it are null.
	column(c memstore.Col, into *values) error
	// scaled fills into with a column of doubles as integers and a scale, if it is
	// stored so; ok is false if not, and then into is not changed.
	scaled(c memstore.Col, into *values) (ok bool, err error)
	// stats returns what is known of a value column without reading it, or nil. bounds
	// may be those of a larger set of rows: good to exclude, not to answer. Both are
	// valid until the next call of either.
	stats(c memstore.Col) *blockStats
	bounds(c memstore.Col) *blockStats
}

// values is a column of a run in typed slices, one of which is used.
type values struct {
	kind     vec.Kind
	ints     []int64
	floats   []float64
	bools    []bool
	strs     []string
	nulls    []bool // nil if no value is null
	constant bool   // slot 0 is every row
	allNull  bool   // and nothing else is set

	// scaled says that the doubles are ints / 10^scale, none null, and that no sum of those of
	// a block overflows. Only those who ask for it get it (see span.numbers).
	scaled bool
	scale  int
}

// blockStats is the statistics of a block of one column; First and Last are by time.
// Sums of bigints that overflow are absent.
type blockStats struct {
	rows, nonNull    int
	hasMinMax        bool // false when all values are null
	hasSum, hasM2    bool
	m2               float64 // sum of squared distances from the mean
	minBits, maxBits uint64
	minStr, maxStr   string
	sumBits          uint64
	first, last      *storedValue // nil if not recorded
}

// storedValue is one value outside of a column.
type storedValue struct {
	null bool
	bits uint64
	str  string
}

// memRun is a chunk of the memory store.
type memRun struct{ c memstore.Chunk }

func (r *memRun) span() (int, int64, int64) { return r.c.N, r.c.Time(0), r.c.Time(r.c.N - 1) }

func (r *memRun) times() ([]int64, error) { return asInts(r.c.TimeBits()), nil }

func (r *memRun) versions() ([]int64, error) { return r.c.Versions(), nil }

func (r *memRun) stats(memstore.Col) *blockStats { return nil }

func (r *memRun) bounds(memstore.Col) *blockStats { return nil }

func (r *memRun) scaled(memstore.Col, *values) (bool, error) { return false, nil }

func (r *memRun) column(c memstore.Col, into *values) error {
	*into = values{kind: c.Kind}
	k := r.c.Layout.Index(c.ID)
	if k < 0 {
		into.allNull = true
		return nil
	}
	into.nulls = r.c.Nulls(k)
	if c.Kind == vec.Varchar {
		into.strs = r.c.Strs(k)
		return nil
	}
	into.setBits(r.c.Bits(k))
	return nil
}

// setBits takes over a column of bits as the kind's slice.
func (v *values) setBits(bits []uint64) {
	switch v.kind.Storage() {
	case vec.StoreFloats:
		v.floats = asFloats(bits)
	case vec.StoreBools:
		v.bools = make([]bool, len(bits))
		for i, b := range bits {
			v.bools[i] = b != 0
		}
	default:
		v.ints = asInts(bits)
	}
}

// asInts and asFloats reinterpret bits in place.
func asInts(bits []uint64) []int64 {
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(bits))), len(bits))
}

func asFloats(bits []uint64) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(bits))), len(bits))
}

// vector returns rows lo <= i < hi as a vector that shares the slices.
func (v *values) vector(lo, hi int) *vec.Vector {
	t := vec.Type{Kind: v.kind}
	if v.allNull {
		return vec.NullsOf(t, hi-lo)
	}
	nulls := v.nulls
	if nulls != nil {
		nulls = nulls[lo:hi]
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		return vec.OfFloats(v.floats[lo:hi], nulls)
	case vec.StoreBools:
		return vec.OfBools(v.bools[lo:hi], nulls)
	case vec.StoreStrs:
		return vec.OfStrs(v.strs[lo:hi], nulls)
	}
	return vec.OfInts(t, v.ints[lo:hi], nulls)
}

// unscale makes doubles of integers and a scale.
func (v *values) unscale() {
	if !v.scaled {
		return
	}
	v.scaled, v.floats = false, make([]float64, len(v.ints))
	codec.Divide(v.floats, v.ints, v.scale)
	v.ints = nil
}

// isNull reports whether row i is null.
func (v *values) isNull(i int) bool {
	if v.allNull {
		return true
	}
	if v.constant {
		i = 0
	}
	return v.nulls != nil && v.nulls[i]
}

// gather returns the picked rows as new slices.
func (v *values) gather(pick []int32) values {
	out := values{kind: v.kind, allNull: v.allNull, constant: v.constant, scaled: v.scaled, scale: v.scale}
	if v.allNull {
		return out
	}
	if v.scaled {
		out.ints = pickFrom(v.ints, pick)
		return out
	}
	if v.constant {
		return *v
	}
	if v.nulls != nil {
		out.nulls = pickFrom(v.nulls, pick)
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		out.floats = pickFrom(v.floats, pick)
	case vec.StoreBools:
		out.bools = pickFrom(v.bools, pick)
	case vec.StoreStrs:
		out.strs = pickFrom(v.strs, pick)
	default:
		out.ints = pickFrom(v.ints, pick)
	}
	return out
}

func pickFrom[T any](from []T, pick []int32) []T {
	out := make([]T, len(pick))
	for k, i := range pick {
		out[k] = from[i]
	}
	return out
}

// append adds n rows to a column that has some already. Columns without a value yet
// are allNull and cost nothing.
func (v *values) append(from *values, have, n int) {
	v.kind = from.kind
	if from.allNull && (have == 0 || v.allNull) {
		v.allNull = true
		return
	}
	if v.allNull {
		v.allNull = false
		v.nulls = slices.Repeat([]bool{true}, have)
		v.zeros(have)
	}
	if v.nulls == nil && (from.allNull || from.nulls != nil) {
		v.nulls = make([]bool, have, have+n)
	}
	switch {
	case v.nulls == nil:
	case from.nulls != nil:
		v.nulls = append(v.nulls, from.nulls...)
	default:
		for range n {
			v.nulls = append(v.nulls, from.allNull)
		}
	}
	if from.allNull {
		v.zeros(have + n)
		return
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		v.floats = append(v.floats, from.floats...)
	case vec.StoreBools:
		v.bools = append(v.bools, from.bools...)
	case vec.StoreStrs:
		v.strs = append(v.strs, from.strs...)
	default:
		v.ints = append(v.ints, from.ints...)
	}
}

// zeros fills the column up to n rows.
func (v *values) zeros(n int) {
	switch v.kind.Storage() {
	case vec.StoreFloats:
		v.floats = append(v.floats, make([]float64, n-len(v.floats))...)
	case vec.StoreBools:
		v.bools = append(v.bools, make([]bool, n-len(v.bools))...)
	case vec.StoreStrs:
		v.strs = append(v.strs, make([]string, n-len(v.strs))...)
	default:
		v.ints = append(v.ints, make([]int64, n-len(v.ints))...)
	}
}

// mergedRun is the rows of overlapping runs, oldest source first: per time the
// highest version, of equal ones the oldest.
type mergedRun struct {
	sources []run
	from    []int32 // source of each row
	at      []int32 // row in that source
	ts      []int64
	vs      []int64 // nil if all are 1

	// built is the columns by their ids, if it is not nil: for who reads the run piece by piece, each of which would
	// put the whole column together again.
	built map[int32]values
}

// merge merges runs, which are in the order of their sources' age.
func merge(sources []run) (*mergedRun, error) {
	m := &mergedRun{sources: sources}
	times := make([][]int64, len(sources))
	versions := make([][]int64, len(sources))
	next := make([]int, len(sources))
	total := 0
	var err error
	for s := range sources {
		if times[s], err = sources[s].times(); err != nil {
			return nil, err
		}
		if versions[s], err = sources[s].versions(); err != nil {
			return nil, err
		}
		total += len(times[s])
	}
	m.ts, m.from, m.at = make([]int64, 0, total), make([]int32, 0, total), make([]int32, 0, total)
	version := func(s int) int64 {
		if versions[s] == nil {
			return 1
		}
		return versions[s][next[s]]
	}
	for {
		best := -1
		for s := range sources {
			if next[s] == len(times[s]) {
				continue
			}
			if best < 0 || times[s][next[s]] < times[best][next[best]] ||
				times[s][next[s]] == times[best][next[best]] && version(s) > version(best) {
				best = s
			}
		}
		if best < 0 {
			return m, nil
		}
		t := times[best][next[best]]
		m.add(t, version(best), best, next[best])
		for s := range sources {
			if next[s] < len(times[s]) && times[s][next[s]] == t {
				next[s]++
			}
		}
	}
}

func (m *mergedRun) add(time, version int64, source, row int) {
	if version != 1 && m.vs == nil {
		m.vs = slices.Repeat([]int64{1}, len(m.ts))
	}
	if m.vs != nil {
		m.vs = append(m.vs, version)
	}
	m.ts = append(m.ts, time)
	m.from = append(m.from, int32(source))
	m.at = append(m.at, int32(row))
}

func (m *mergedRun) span() (int, int64, int64) { return len(m.ts), m.ts[0], m.ts[len(m.ts)-1] }

func (m *mergedRun) times() ([]int64, error) { return m.ts, nil }

func (m *mergedRun) versions() ([]int64, error) { return m.vs, nil }

func (m *mergedRun) stats(memstore.Col) *blockStats { return nil }

func (m *mergedRun) bounds(memstore.Col) *blockStats { return nil }

func (m *mergedRun) scaled(memstore.Col, *values) (bool, error) { return false, nil }

func (m *mergedRun) column(c memstore.Col, into *values) error {
	have, ok := m.built[c.ID]
	if ok {
		*into = have
		return nil
	}
	if err := m.build(c, into); err != nil {
		return err
	}
	if m.built != nil {
		m.built[c.ID] = *into
	}
	return nil
}

// build puts a column together from the sources.
func (m *mergedRun) build(c memstore.Col, into *values) error {
	parts := make([]values, len(m.sources))
	nulls := false
	for s := range m.sources {
		if err := m.sources[s].column(c, &parts[s]); err != nil {
			return err
		}
		nulls = nulls || parts[s].allNull || parts[s].nulls != nil
	}
	n := len(m.ts)
	*into = values{kind: c.Kind}
	if nulls {
		into.nulls = make([]bool, n)
		for i := range n {
			into.nulls[i] = parts[m.from[i]].isNull(int(m.at[i]))
		}
	}
	pick := func(i int) (*values, int) { return &parts[m.from[i]], int(m.at[i]) }
	switch c.Kind.Storage() {
	case vec.StoreFloats:
		into.floats = make([]float64, n)
		for i := range n {
			if v, k := pick(i); !v.allNull {
				into.floats[i] = v.floats[k]
			}
		}
	case vec.StoreBools:
		into.bools = make([]bool, n)
		for i := range n {
			if v, k := pick(i); !v.allNull {
				into.bools[i] = v.bools[k]
			}
		}
	case vec.StoreStrs:
		into.strs = make([]string, n)
		for i := range n {
			if v, k := pick(i); !v.allNull {
				into.strs[i] = v.strs[k]
			}
		}
	default:
		into.ints = make([]int64, n)
		for i := range n {
			if v, k := pick(i); !v.allNull {
				into.ints[i] = v.ints[k]
			}
		}
	}
	return nil
}
