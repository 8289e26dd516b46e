package exec

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// rowStore keeps many rows for a sort, in chunks of sortChunk rows, so that growing copies nothing (the first
// chunk apart) and never holds twice what is there. Rows are read by their numbers.
//
// The values of a row stand side by side, a word each: rows are read in an order that has nothing to do with the
// one they came in, and what they cost is accesses to memory, of which a row is one and not one per
// column. There are no pointers in it, so the collector need not look at it:
//
//   - integer-like values, doubles and booleans are their bits;
//   - texts are codes into one dictionary for as long as all that comes is dictionaries and constants,
//     else references into a heap of texts;
//   - nulls are bits beside the rows, if a column has any; what their words say means nothing;
//   - nested values have no word: they stand in a column that grows.
//
// One goroutine appends. After settle, and with no append following, any number may read.
type rowStore struct {
	cols   []*storedColumn
	width  int        // words of a row
	chunks [][]uint64 // of sortChunk rows, the last may have fewer
	n      int
}

// storedColumn is a column of a rowStore.
type storedColumn struct {
	t     vec.Type
	word  int // of the row
	nulls bitmap
	codes *textCodes // of texts: words are codes of it; nil: references into heap
	heap  *textHeap
	whole *column // of nested values and those of no type
}

func newRowStore(types []vec.Type) *rowStore {
	s := &rowStore{cols: make([]*storedColumn, len(types))}
	for i, t := range types {
		s.cols[i] = s.place(&storedColumn{t: t})
		switch t.Kind.Storage() {
		case vec.StoreStrs:
			s.cols[i].codes = newTextCodes()
		case vec.StoreNested, vec.StoreNone:
			s.cols[i].whole = newColumn(t)
		}
	}
	return s
}

// place gives a column its word.
func (s *rowStore) place(c *storedColumn) *storedColumn {
	if k := c.t.Kind.Storage(); k != vec.StoreNested && k != vec.StoreNone {
		c.word = s.width
		s.width++
	}
	return c
}

// append adds all rows of b, and keeps nothing of it.
func (s *rowStore) append(b *vec.Batch) {
	for from := 0; from < b.Len; {
		to := from + min(b.Len-from, sortChunk-s.n&(sortChunk-1))
		dst := s.room(to - from)
		for i, c := range s.cols {
			v := b.Columns[i]
			if from > 0 || to < b.Len {
				v = v.Slice(from, to)
			}
			if c.whole != nil {
				c.whole.append(v)
				continue
			}
			if v.HasNulls() {
				for k := range v.Len() {
					if v.IsNull(k) {
						c.nulls.set(s.n + k)
					}
				}
			}
			if c.t.Kind == vec.Varchar {
				s.putTexts(c, dst, v)
			} else {
				s.putNumbers(c, dst, v)
			}
		}
		s.n += to - from
		from = to
	}
}

// room returns the words of the next n rows, which end at most where the chunk does.
func (s *rowStore) room(n int) []uint64 {
	have, words := s.n&(sortChunk-1)*s.width, n*s.width
	if have == 0 {
		var chunk []uint64
		if s.n > 0 {
			chunk = make([]uint64, 0, sortChunk*s.width)
		}
		s.chunks = append(s.chunks, chunk)
	}
	last := &s.chunks[len(s.chunks)-1]
	*last = slices.Grow(*last, words)[:have+words]
	return (*last)[have:]
}

// putNumbers writes the words of a column that has no texts.
func (s *rowStore) putNumbers(c *storedColumn, dst []uint64, v *vec.Vector) {
	if v.Type.Kind == vec.Unknown {
		return
	}
	v = v.Flat()
	at := c.word
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		for _, x := range v.Ints {
			dst[at] = uint64(x)
			at += s.width
		}
	case vec.StoreFloats:
		for _, x := range v.Floats {
			dst[at] = math.Float64bits(x)
			at += s.width
		}
	case vec.StoreBools:
		for _, x := range v.Bools {
			dst[at] = 0
			if x {
				dst[at] = 1
			}
			at += s.width
		}
	}
}

// putTexts writes the words of a column of texts.
func (s *rowStore) putTexts(c *storedColumn, dst []uint64, v *vec.Vector) {
	if c.codes != nil {
		if c.codes.put(dst[c.word:], s.width, v, s.n) {
			return
		}
		s.useHeap(c)
	}
	c.heap.put(dst[c.word:], s.width, v)
}

// useHeap turns codes into references.
func (s *rowStore) useHeap(c *storedColumn) {
	c.heap = &textHeap{}
	refs := make([]uint64, len(c.codes.texts))
	for code, text := range c.codes.texts {
		refs[code] = c.heap.add(text)
	}
	for k, chunk := range s.chunks {
		rows := min(sortChunk, s.n-k<<chunkShift) // the last chunk has room for those that come
		for at := c.word; at < rows*s.width; at += s.width {
			chunk[at] = refs[chunk[at]]
		}
	}
	c.codes = nil
}

// settle prepares for reading; nothing is appended any more.
func (s *rowStore) settle() {
	for _, c := range s.cols {
		if c.codes != nil {
			c.codes.vector()
		}
	}
}

func (s *rowStore) sizeBytes() int64 {
	size := int64(0)
	if k := len(s.chunks); k > 0 {
		size = 8 * (int64(cap(s.chunks[k-1])) + int64(k-1)*int64(s.width)*sortChunk)
	}
	for _, c := range s.cols {
		size += 8 * int64(cap(c.nulls))
		switch {
		case c.codes != nil:
			size += c.codes.size
		case c.heap != nil:
			size += c.heap.size
		case c.whole != nil:
			size += c.whole.sizeBytes()
		}
	}
	return size
}

// gather returns the given rows.
func (s *rowStore) gather(rows []int32) *vec.Batch {
	b := &vec.Batch{Len: len(rows), Columns: make([]*vec.Vector, len(s.cols))}
	for i := range s.cols {
		b.Columns[i] = s.column(i, rows)
	}
	return b
}

// column returns the given rows of a column.
func (s *rowStore) column(i int, rows []int32) *vec.Vector {
	c := s.cols[i]
	switch {
	case c.whole != nil:
		return (&vec.Batch{Len: s.n, Columns: []*vec.Vector{c.whole.vector()}}).Gather(rows).Columns[0]
	case c.codes != nil:
		index := make([]int32, len(rows))
		fetch(s, c.word, rows, index)
		return vec.OfDict(index, c.codes.vector())
	}
	nulls := c.nullsOf(rows)
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		out := make([]int64, len(rows))
		fetch(s, c.word, rows, out)
		return vec.OfInts(c.t, out, nulls)
	case vec.StoreFloats:
		out := make([]float64, len(rows))
		for k, r := range rows {
			out[k] = math.Float64frombits(s.at(c.word, r))
		}
		return vec.OfFloats(out, nulls)
	case vec.StoreBools:
		out := make([]bool, len(rows))
		for k, r := range rows {
			out[k] = s.at(c.word, r) != 0
		}
		return vec.OfBools(out, nulls)
	}
	out := make([]string, len(rows))
	for k, r := range rows {
		if nulls == nil || !nulls[k] {
			out[k] = c.heap.at(s.at(c.word, r))
		}
	}
	return vec.OfStrs(out, nulls).Retype(c.t)
}

// nullsOf returns which of the rows are null, or nil if none is.
func (c *storedColumn) nullsOf(rows []int32) []bool {
	if c.nulls == nil {
		return nil
	}
	var nulls []bool
	for k, r := range rows {
		if c.nulls.has(int(r)) {
			if nulls == nil {
				nulls = make([]bool, len(rows))
			}
			nulls[k] = true
		}
	}
	return nulls
}

// at returns a word of a row.
func (s *rowStore) at(word int, row int32) uint64 {
	return s.chunks[row>>chunkShift][int(row&(sortChunk-1))*s.width+word]
}

// fetch reads a word of the given rows.
func fetch[T int64 | int32](s *rowStore, word int, rows []int32, dst []T) {
	for k, r := range rows {
		dst[k] = T(s.at(word, r))
	}
}

// words reads a word of the rows from the given one on, which are in one chunk.
func (s *rowStore) words(word, from int, dst []uint64) {
	chunk := s.chunks[from>>chunkShift]
	at := from&(sortChunk-1)*s.width + word
	for i := range dst {
		dst[i] = chunk[at]
		at += s.width
	}
}

// compare orders two rows, which are not null, by a column.
func (s *rowStore) compare(c *storedColumn, a, b int32) int {
	switch c.t.Kind.Storage() {
	case vec.StoreNested:
		v := c.whole.vector()
		return vec.Compare(v, int(a), v, int(b))
	case vec.StoreNone:
		return 0
	}
	x, y := s.at(c.word, a), s.at(c.word, b)
	switch c.t.Kind.Storage() {
	case vec.StoreFloats:
		return vec.CompareFloats(math.Float64frombits(x), math.Float64frombits(y))
	case vec.StoreStrs:
		return strings.Compare(c.text(x), c.text(y))
	}
	return cmp.Compare(int64(x), int64(y))
}

// text returns what a word of a column of texts stands for.
func (c *storedColumn) text(word uint64) string {
	if c.codes != nil {
		return c.codes.texts[word]
	}
	return c.heap.at(word)
}

// isNull reports whether a row of a column is null.
func (c *storedColumn) isNull(row int32) bool {
	return c.nulls.has(int(row)) || c.t.Kind == vec.Unknown || c.t.Kind.Storage() == vec.StoreNested && c.whole.nulls != nil && c.whole.nulls[row]
}

// hasNulls reports whether some row of a column may be null.
func (c *storedColumn) hasNulls() bool {
	return c.nulls != nil || c.t.Kind == vec.Unknown || c.whole != nil && c.whole.nulls != nil
}

// pick returns a store of the given rows of some columns. The two share texts.
func (s *rowStore) pick(cols []int, rows []int32) *rowStore {
	out := &rowStore{cols: make([]*storedColumn, len(cols))}
	for i, at := range cols {
		from := s.cols[at]
		c := out.place(&storedColumn{t: from.t, codes: from.codes, heap: from.heap})
		if from.whole != nil {
			c.whole = newColumn(from.t)
			c.whole.append(from.whole.vector().Gather(rows))
		}
		for k, r := range rows {
			if from.nulls.has(int(r)) {
				c.nulls.set(k)
			}
		}
		out.cols[i] = c
	}
	for out.n < len(rows) {
		n := min(sortChunk, len(rows)-out.n)
		dst := out.room(n)
		for i, at := range cols {
			if from := s.cols[at]; from.whole == nil {
				to := out.cols[i].word
				for _, r := range rows[out.n : out.n+n] {
					dst[to] = s.at(from.word, r)
					to += out.width
				}
			}
		}
		out.n += n
	}
	return out
}

// bitmap is a set of rows; nil is none.
type bitmap []uint64

func (m bitmap) has(row int) bool {
	return row>>6 < len(m) && m[row>>6]>>(row&63)&1 != 0
}

func (m *bitmap) set(row int) {
	if need := row>>6 + 1; need > len(*m) {
		*m = append(*m, make([]uint64, need-len(*m))...)
	}
	(*m)[row>>6] |= 1 << (row & 63)
}
