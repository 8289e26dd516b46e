package exec

import (
	"github.com/weir-db/weir/internal/vec"
)

// rowStore keeps many rows in columns of chunks of sortChunk rows, so that growing copies nothing (the first
// chunk apart) and never holds twice what is there. Rows are read by their numbers.
type rowStore struct {
	cols []*chunked
	n    int
}

func newRowStore(types []vec.Type) *rowStore {
	s := &rowStore{cols: make([]*chunked, len(types))}
	for i, t := range types {
		s.cols[i] = &chunked{t: t}
	}
	return s
}

// append adds all rows of b.
func (s *rowStore) append(b *vec.Batch) {
	for from := 0; from < b.Len; {
		room := sortChunk - s.n&(sortChunk-1)
		to := min(b.Len, from+room)
		for i, c := range s.cols {
			v := b.Columns[i]
			if from > 0 || to < b.Len {
				v = v.Slice(from, to)
			}
			c.append(v, room == sortChunk)
		}
		s.n += to - from
		from = to
	}
}

func (s *rowStore) sizeBytes() int64 {
	size := int64(0)
	for _, c := range s.cols {
		size += c.sizeBytes()
	}
	return size
}

// gather returns the given rows.
func (s *rowStore) gather(rows []int32) *vec.Batch {
	b := &vec.Batch{Len: len(rows), Columns: make([]*vec.Vector, len(s.cols))}
	for i, c := range s.cols {
		b.Columns[i] = c.gather(rows)
	}
	return b
}

// settle prepares for concurrent calls of gather; nothing is appended any more.
func (s *rowStore) settle() {
	for _, c := range s.cols {
		if c.dict != nil {
			c.dictVector()
		}
	}
}

// keys returns columns as keys of a sort.
func (s *rowStore) keys(cols []int) keyVectors {
	kv := keyVectors{n: s.n}
	for from := 0; from < s.n; from += sortChunk {
		n := min(sortChunk, s.n-from)
		keys := make([]*vec.Vector, len(cols))
		for k, c := range cols {
			keys[k] = s.cols[c].chunk(from>>chunkShift, n)
		}
		kv.chunks = append(kv.chunks, keys)
	}
	return kv
}

// chunked is a column in chunks, in one of three layouts: numbers, booleans and strings in slices; strings
// as indexes into one dictionary, for as long as all that comes is dictionaries and constants; anything
// else in one column that grows.
type chunked struct {
	t     vec.Type
	parts []*column   // of sortChunk rows, the last may have fewer
	dict  *column     // of indexes
	dictV *vec.Vector // dict, as of the latest chunk or gather
	base  map[*vec.Vector]int32
	index [][]int32
	whole *column
	n     int
	size  int64 // of all parts but the last
}

// append adds the rows of v, which fit into the last chunk, or with next into the next one.
func (c *chunked) append(v *vec.Vector, next bool) {
	c.n += v.Len()
	if c.t.Kind.Storage() == vec.StoreNested || c.t.Kind == vec.Unknown {
		if c.whole == nil {
			c.whole = newColumn(c.t)
		}
		c.whole.append(v)
		return
	}
	if c.t.Kind == vec.Varchar && c.appendIndex(v, next) {
		return
	}
	if next {
		if k := len(c.parts); k > 0 {
			c.size += c.parts[k-1].sizeBytes()
		}
		part := &column{t: c.t}
		if len(c.parts) > 0 {
			part.reserve(sortChunk)
		}
		c.parts = append(c.parts, part)
	}
	c.parts[len(c.parts)-1].append(v.Flat())
}

// appendIndex adds v in dictionary form, if that is possible. Otherwise the column is flat from now on.
func (c *chunked) appendIndex(v *vec.Vector, next bool) bool {
	if len(c.parts) > 0 {
		return false
	}
	var from *vec.Vector
	switch {
	case v.Form == vec.Dictionary && v.Dict.Form == vec.Flat && v.Dict.Type.Kind == vec.Varchar:
		from = v.Dict
	case v.Form == vec.Constant && v.Type.Kind == vec.Varchar:
		from = v.Slice(0, 1).Flat()
	}
	if c.dict == nil && from != nil {
		c.dict, c.base = &column{t: c.t}, map[*vec.Vector]int32{}
	}
	base, known := int32(0), false
	if from != nil {
		base, known = c.base[from]
	}
	// Dictionaries that grow as fast as the rows are none.
	if from == nil || !known && (from.Len() > max(v.Len(), c.n/4) || c.dict.n > sortChunk+c.n/4) {
		c.flatten(next)
		return false
	}
	switch {
	case known:
	case v.Form == vec.Constant && c.dict.n > 0 && c.dict.sameAs(c.dict.n-1, from, 0):
		base = int32(c.dict.n - 1)
	default:
		base = int32(c.dict.n)
		c.dict.appendFlat(from)
		if v.Form == vec.Dictionary {
			c.base[from] = base
		}
	}
	if next {
		var part []int32
		if len(c.index) > 0 {
			part = make([]int32, 0, sortChunk)
		}
		c.index = append(c.index, part)
	}
	last := &c.index[len(c.index)-1]
	if v.Form == vec.Constant {
		for range v.Len() {
			*last = append(*last, base)
		}
		return true
	}
	for _, i := range v.Index {
		*last = append(*last, base+i)
	}
	return true
}

// flatten gives up dictionary form.
func (c *chunked) flatten(next bool) {
	for k, index := range c.index {
		part := &column{t: c.t}
		part.reserve(sortChunk)
		part.append(vec.OfDict(index, c.dict.vector()).Flat())
		if c.parts = append(c.parts, part); k < len(c.index)-1 || next {
			c.size += part.sizeBytes()
		}
	}
	if next && len(c.parts) > 0 {
		// append adds it again when it begins the next part.
		c.size -= c.parts[len(c.parts)-1].sizeBytes()
	}
	c.index, c.dict, c.base = nil, nil, nil
}

// chunk returns the n rows of chunk k.
func (c *chunked) chunk(k, n int) *vec.Vector {
	switch {
	case c.whole != nil:
		return c.whole.vector().Slice(k*sortChunk, k*sortChunk+n)
	case c.dict != nil:
		return vec.OfDict(c.index[k][:n:n], c.dictVector())
	}
	return c.parts[k].vector()
}

// dictVector returns the dictionary, always the same vector while nothing is appended.
func (c *chunked) dictVector() *vec.Vector {
	if c.dictV == nil || c.dictV.Len() != c.dict.n {
		c.dictV = c.dict.vector()
	}
	return c.dictV
}

// gather returns the given rows. It may be called from several goroutines at a time after
// [rowStore.settle].
func (c *chunked) gather(rows []int32) *vec.Vector {
	switch {
	case c.whole != nil:
		return (&vec.Batch{Len: c.n, Columns: []*vec.Vector{c.whole.vector()}}).Gather(rows).Columns[0]
	case c.dict != nil:
		index := make([]int32, len(rows))
		for k, r := range rows {
			index[k] = c.index[r>>chunkShift][r&(sortChunk-1)]
		}
		return vec.OfDict(index, c.dictVector())
	}
	var nulls []bool
	for k, r := range rows {
		if p := c.parts[r>>chunkShift]; p.nulls != nil && p.nulls[r&(sortChunk-1)] {
			if nulls == nil {
				nulls = make([]bool, len(rows))
			}
			nulls[k] = true
		}
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		out := make([]int64, len(rows))
		for k, r := range rows {
			out[k] = c.parts[r>>chunkShift].ints[r&(sortChunk-1)]
		}
		return vec.OfInts(c.t, out, nulls)
	case vec.StoreFloats:
		out := make([]float64, len(rows))
		for k, r := range rows {
			out[k] = c.parts[r>>chunkShift].floats[r&(sortChunk-1)]
		}
		return vec.OfFloats(out, nulls)
	case vec.StoreBools:
		out := make([]bool, len(rows))
		for k, r := range rows {
			out[k] = c.parts[r>>chunkShift].bools[r&(sortChunk-1)]
		}
		return vec.OfBools(out, nulls)
	}
	out := make([]string, len(rows))
	for k, r := range rows {
		out[k] = c.parts[r>>chunkShift].strs[r&(sortChunk-1)]
	}
	return vec.OfStrs(out, nulls).Retype(c.t)
}

func (c *chunked) sizeBytes() int64 {
	size := c.size
	if k := len(c.parts); k > 0 {
		size += c.parts[k-1].sizeBytes()
	}
	if k := len(c.index); k > 0 {
		size += 4 * (int64(cap(c.index[k-1])) + int64(k-1)*sortChunk)
	}
	if c.dict != nil {
		size += c.dict.sizeBytes()
	}
	if c.whole != nil {
		size += c.whole.sizeBytes()
	}
	return size
}

// reserve makes room for n values in an empty column.
func (c *column) reserve(n int) {
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints = make([]int64, 0, n)
	case vec.StoreFloats:
		c.floats = make([]float64, 0, n)
	case vec.StoreBools:
		c.bools = make([]bool, 0, n)
	case vec.StoreStrs:
		c.strs = make([]string, 0, n)
	}
}
