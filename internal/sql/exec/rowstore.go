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
//   - of nested values it is the number in a column that grows;
//   - nulls are flags in words at the end of a row, if there are any; what the null's own word says means nothing.
//
// One goroutine appends. After settle, and with no append following, any number may read.
type rowStore struct {
	cols   []*storedColumn
	width  int        // words of a row
	nulls  int        // the first word of null flags; 0: there are none
	chunks [][]uint64 // of sortChunk rows, the last may have fewer
	n      int
}

// storedColumn is a column of a rowStore.
type storedColumn struct {
	t     vec.Type
	flag  int        // of nulls: its number
	word  int        // of the row
	codes *textCodes // of texts: words are codes of it; nil: references into heap
	heap  *textHeap
	whole *column // of nested values
}

func newRowStore(types []vec.Type) *rowStore {
	s := &rowStore{}
	for _, t := range types {
		c := &storedColumn{t: t}
		switch t.Kind.Storage() {
		case vec.StoreStrs:
			c.codes = newTextCodes()
		case vec.StoreNested:
			c.whole = newColumn(t)
		}
		s.add(c)
	}
	return s
}

// add makes c the last column, before the first row.
func (s *rowStore) add(c *storedColumn) {
	c.flag, c.word = len(s.cols), s.width
	s.width++
	s.cols = append(s.cols, c)
}

// append adds all rows of b, and keeps nothing of it.
func (s *rowStore) append(b *vec.Batch) {
	for i, c := range s.cols {
		if s.nulls == 0 && c.t.Kind != vec.Unknown && b.Columns[i].HasNulls() {
			s.flagNulls()
		}
	}
	for from := 0; from < b.Len; {
		to := from + min(b.Len-from, sortChunk-s.n&(sortChunk-1))
		dst := s.room(to - from)
		for i, c := range s.cols {
			v := b.Columns[i]
			if from > 0 || to < b.Len {
				v = v.Slice(from, to)
			}
			if s.nulls > 0 && v.HasNulls() {
				s.putNulls(c, dst, v)
			}
			switch {
			case c.t.Kind == vec.Unknown:
			case c.t.Kind == vec.Varchar:
				s.putTexts(c, dst, v)
			default:
				s.putNumbers(c, dst, v)
			}
		}
		s.n += to - from
		from = to
	}
}

// flagNulls gives rows flags of nulls, also those that are here.
func (s *rowStore) flagNulls() {
	narrow := s.width
	s.nulls, s.width = narrow, narrow+(len(s.cols)+63)/64
	for k, chunk := range s.chunks {
		wide := make([]uint64, len(chunk)/narrow*s.width, cap(chunk)/narrow*s.width)
		for from, to := 0, 0; from < len(chunk); from, to = from+narrow, to+s.width {
			copy(wide[to:to+narrow], chunk[from:])
		}
		s.chunks[k] = wide
	}
}

// putNulls sets the flags of null rows.
func (s *rowStore) putNulls(c *storedColumn, dst []uint64, v *vec.Vector) {
	at := s.nulls + c.flag>>6
	for k := range v.Len() {
		if v.IsNull(k) {
			dst[at] |= 1 << (c.flag & 63)
		}
		at += s.width
	}
}

// room returns the words of the next n rows, which end at most where the chunk does.
func (s *rowStore) room(n int) []uint64 {
	have, words := s.n&(sortChunk-1)*s.width, n*s.width
	if s.n&(sortChunk-1) == 0 {
		var chunk []uint64
		if s.n > 0 {
			chunk = make([]uint64, 0, sortChunk*s.width)
		}
		s.chunks = append(s.chunks, chunk)
	}
	last := &s.chunks[len(s.chunks)-1]
	*last = slices.Grow(*last, words)[:have+words]
	dst := (*last)[have:]
	if s.nulls > 0 {
		clear(dst)
	}
	return dst
}

// putNumbers writes the words of a column that has no texts.
func (s *rowStore) putNumbers(c *storedColumn, dst []uint64, v *vec.Vector) {
	if v.Type.Kind == vec.Unknown && c.whole == nil {
		return
	}
	at := c.word
	if c.whole != nil {
		for k := range v.Len() {
			dst[at] = uint64(c.whole.n + k)
			at += s.width
		}
		c.whole.append(v)
		return
	}
	v = v.Flat()
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
	case c.t.Kind == vec.Unknown:
		return vec.NullsOf(c.t, len(rows))
	case c.whole != nil:
		index := make([]int32, len(rows))
		fetch(s, c.word, rows, index)
		return (&vec.Batch{Len: c.whole.n, Columns: []*vec.Vector{c.whole.vector()}}).Gather(index).Columns[0]
	case c.codes != nil:
		index := make([]int32, len(rows))
		fetch(s, c.word, rows, index)
		return vec.OfDict(index, c.codes.vector())
	}
	nulls := s.nullsOf(c, rows)
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
func (s *rowStore) nullsOf(c *storedColumn, rows []int32) []bool {
	if s.nulls == 0 {
		return nil
	}
	var nulls []bool
	for k, r := range rows {
		if s.isNull(c, r) {
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

// someRows is a few rows: those of the list, or if it is nil those from the given one on, in one chunk.
type someRows struct {
	from int
	list []int32
}

func (r *someRows) at(i int) int32 {
	if r.list != nil {
		return r.list[i]
	}
	return int32(r.from + i)
}

// words reads a word of rows.
func (s *rowStore) words(word int, rows *someRows, dst []uint64) {
	if rows.list != nil {
		for i := range dst {
			dst[i] = s.at(word, rows.list[i])
		}
		return
	}
	chunk := s.chunks[rows.from>>chunkShift]
	at := rows.from&(sortChunk-1)*s.width + word
	for i := range dst {
		dst[i] = chunk[at]
		at += s.width
	}
}

// compare orders two rows, which are not null, by a column.
func (s *rowStore) compare(c *storedColumn, a, b int32) int {
	x, y := s.at(c.word, a), s.at(c.word, b)
	switch c.t.Kind.Storage() {
	case vec.StoreFloats:
		return vec.CompareFloats(math.Float64frombits(x), math.Float64frombits(y))
	case vec.StoreStrs:
		return strings.Compare(c.text(x), c.text(y))
	case vec.StoreNested:
		v := c.whole.vector()
		return vec.Compare(v, int(x), v, int(y))
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

// short reports whether 64 bits tell a column's values apart.
func (c *storedColumn) short() bool { return c.heap == nil && c.whole == nil }

// isNull reports whether a row of a column is null.
func (s *rowStore) isNull(c *storedColumn, row int32) bool {
	return s.nulls > 0 && s.at(s.nulls+c.flag>>6, row)>>(c.flag&63)&1 != 0 || c.t.Kind == vec.Unknown
}

// pick returns a store of the given rows of some columns. The two share texts and nested values.
func (s *rowStore) pick(cols []int, rows []int32) *rowStore {
	out := &rowStore{}
	for _, at := range cols {
		from := s.cols[at]
		out.add(&storedColumn{t: from.t, codes: from.codes, heap: from.heap, whole: from.whole})
	}
	if s.nulls > 0 {
		out.flagNulls()
	}
	for out.n < len(rows) {
		n := min(sortChunk, len(rows)-out.n)
		dst := out.room(n)
		for i, at := range cols {
			from, to := s.cols[at], out.cols[i]
			for k, r := range rows[out.n : out.n+n] {
				dst[k*out.width+to.word] = s.at(from.word, r)
				if s.nulls > 0 && s.isNull(from, r) {
					dst[k*out.width+out.nulls+to.flag>>6] |= 1 << (to.flag & 63)
				}
			}
		}
		out.n += n
	}
	return out
}
