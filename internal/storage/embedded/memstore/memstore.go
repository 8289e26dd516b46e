// Package memstore keeps the recent rows of one table in memory, by series.
//
// The rows of a series are in chunks of up to [ChunkRows] rows, sorted by time, each
// a slab of columns: one allocation holds the times and all columns of fixed width.
// A chunk has room to grow by doubling; its rows, once written, never change, so a
// reader takes the headers under the series' lock and reads without it while rows
// are appended behind. Rows that come out of order by more than a few, or replace a stored one, wait in
// a small side buffer; the next reader, or the writer when the buffer has become
// large, merges them into new chunks. Times within a series are unique.
//
// The newest few rows of a series that has many are row by row in a tail, until there are enough of
// them to fill a cache line of each column: gateways write one row of each of many series at a time, and
// touching every column of all of them for it was a fifth of the work. In the tail rows also find their order
// that overtook each other on their way, as those of a gateway with two connections do all the time.
//
// One goroutine at a time may write to a [Store] (the engine applies its log in
// order); any number may read.
package memstore

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// ChunkRows is the most rows of a chunk.
const ChunkRows = 1024

// firstChunkRows is the room of a series' first chunk: a million series of a few
// rows each must stay small.
const firstChunkRows = 4

// Col is a value column of the table: its id, dense from 0, and its kind.
type Col struct {
	ID   int32
	Kind vec.Kind
}

// Layout is the columns of a chunk. Layouts are shared and immutable.
type Layout struct {
	Cols []Col
	slot []int32 // of column k: its number among the slab's columns (from 1; 0 is time) or among the string columns
	pos  []int32 // by column id: index into Cols, or -1; ids past the end are absent
	bits int     // columns in the slab, time included
	strs int     // string columns
}

func newLayout(cols []Col) *Layout {
	l := &Layout{Cols: cols, bits: 1}
	for k, c := range cols {
		for int(c.ID) >= len(l.pos) {
			l.pos = append(l.pos, -1)
		}
		l.pos[c.ID] = int32(k)
		if c.Kind == vec.Varchar {
			l.slot = append(l.slot, int32(l.strs))
			l.strs++
		} else {
			l.slot = append(l.slot, int32(l.bits))
			l.bits++
		}
	}
	return l
}

// Index returns the position of a column in Cols, or -1.
func (l *Layout) Index(id int32) int {
	if int(id) >= len(l.pos) {
		return -1
	}
	return int(l.pos[id])
}

// Chunk is rows of a series, sorted by time. A copy is a snapshot: it does not
// see rows appended later.
type Chunk struct {
	N        int
	Layout   *Layout
	room     int
	slab     []uint64 // Layout.bits columns of room values, the first of them times
	strs     []string // Layout.strs columns of room values
	nulls    []bool   // len(Layout.Cols) columns of room flags; nil while no value is null
	versions []int64  // nil while all are 1
}

// TimeBits returns the times as int64 bits.
func (c *Chunk) TimeBits() []uint64 { return c.slab[:c.N:c.N] }

// Time returns the time of row i.
func (c *Chunk) Time(i int) int64 { return int64(c.slab[i]) }

// Version returns the version of row i.
func (c *Chunk) Version(i int) int64 {
	if c.versions == nil {
		return 1
	}
	return c.versions[i]
}

// Versions returns the versions, or nil if all are 1.
func (c *Chunk) Versions() []int64 {
	if c.versions == nil {
		return nil
	}
	return c.versions[:c.N:c.N]
}

// Bits returns column k of the layout, unless it is of strings.
func (c *Chunk) Bits(k int) []uint64 {
	at := int(c.Layout.slot[k]) * c.room
	return c.slab[at : at+c.N : at+c.N]
}

// Strs returns column k of the layout, which is of strings.
func (c *Chunk) Strs(k int) []string {
	at := int(c.Layout.slot[k]) * c.room
	return c.strs[at : at+c.N : at+c.N]
}

// Nulls returns the null flags of column k, or nil if no value is null.
func (c *Chunk) Nulls(k int) []bool {
	if c.nulls == nil {
		return nil
	}
	return c.nulls[k*c.room : k*c.room+c.N : k*c.room+c.N]
}

// bytes is what the chunk's slices take.
func (c *Chunk) bytes() int64 {
	return int64(8*len(c.slab) + 16*len(c.strs) + len(c.nulls) + 8*len(c.versions))
}

func newChunk(l *Layout, room int) Chunk {
	c := Chunk{Layout: l, room: room, slab: make([]uint64, l.bits*room)}
	if l.strs > 0 {
		c.strs = make([]string, l.strs*room)
	}
	return c
}

// regrow returns the chunk with more room or more columns; l has c's columns in front.
func (c *Chunk) regrow(l *Layout, room int) Chunk {
	out := newChunk(l, room)
	out.N = c.N
	copy(out.slab, c.slab[:c.N])
	for k := range c.Layout.Cols {
		if c.Layout.Cols[k].Kind == vec.Varchar {
			copy(out.strs[int(l.slot[k])*room:], c.Strs(k))
		} else {
			copy(out.slab[int(l.slot[k])*room:], c.Bits(k))
		}
	}
	if c.nulls != nil || len(l.Cols) > len(c.Layout.Cols) && c.N > 0 {
		out.nulls = make([]bool, len(l.Cols)*room)
		for k := range l.Cols {
			switch {
			case k >= len(c.Layout.Cols):
				for i := range c.N {
					out.nulls[k*room+i] = true
				}
			case c.nulls != nil:
				copy(out.nulls[k*room:], c.Nulls(k))
			}
		}
	}
	if c.versions != nil {
		out.versions = make([]int64, room)
		copy(out.versions, c.versions[:c.N])
	}
	return out
}

func (c *Chunk) setNull(k, i int) {
	if c.nulls == nil {
		c.nulls = make([]bool, len(c.Layout.Cols)*c.room)
	}
	c.nulls[k*c.room+i] = true
}

func (c *Chunk) setVersion(i int, version int64) {
	if c.versions == nil {
		if version == 1 {
			return
		}
		c.versions = make([]int64, c.room)
		for k := range i {
			c.versions[k] = 1
		}
	}
	c.versions[i] = version
}

// Cell is one value of a row.
type Cell struct {
	Col
	Bits uint64
	Str  string
}

// Row is one row, boxed, for the cold paths. Columns not in Cells are null.
type Row struct {
	Time, Version int64
	Cells         []Cell
}

// Same reports whether both rows have the same values; versions aside.
func (r *Row) Same(other *Row) bool {
	if len(r.Cells) != len(other.Cells) {
		return false
	}
	for _, c := range r.Cells {
		if !slices.Contains(other.Cells, c) {
			return false
		}
	}
	return true
}

// sideBytes is what the row takes in a side buffer, the texts of its strings aside.
func (r *Row) sideBytes() int64 { return int64(48 + 40*len(r.Cells)) }

// Row returns row i boxed.
func (c *Chunk) Row(i int) Row {
	r := Row{Time: c.Time(i), Version: c.Version(i)}
	for k, col := range c.Layout.Cols {
		if c.nulls != nil && c.nulls[k*c.room+i] {
			continue
		}
		cell := Cell{Col: col}
		if col.Kind == vec.Varchar {
			cell.Str = c.strs[int(c.Layout.slot[k])*c.room+i]
		} else {
			cell.Bits = c.slab[int(c.Layout.slot[k])*c.room+i]
		}
		r.Cells = append(r.Cells, cell)
	}
	return r
}

// Find returns the index of the row at a time, or where it would be.
func (c *Chunk) Find(time int64) (int, bool) {
	return slices.BinarySearchFunc(c.TimeBits(), time, func(t uint64, want int64) int {
		switch {
		case int64(t) < want:
			return -1
		case int64(t) > want:
			return 1
		}
		return 0
	})
}

// Series is the rows of one series.
type Series struct {
	mu     sync.Mutex // guards the fields below
	chunks []Chunk    // ascending; all but the last are never written again
	side   []Row      // ascending by time; a row here replaces one of the same time in chunks
	last   int64      // greatest time in chunks and tail
	rows   int        // in chunks and tail
	tail   *tail      // follows the chunks; nil while there are few rows

	own   [1]Chunk // room for chunks while there is but one: most of a million series never have another
	piece bool     // the slab of the first chunk is of a piece of memory that others are in too, and stays there once the chunk is replaced
}

// Table is the series of a store by id; entries are nil where there is no row.
type Table []atomic.Pointer[Series]

// Store is the rows of a table.
type Store struct {
	layouts map[string]*Layout // by column ids; the writer's alone

	series atomic.Pointer[Table] // only the writer replaces it or sets an entry

	bytes, rows, values, count atomic.Int64
	minTime, maxTime           atomic.Int64

	// The writer's alone, until Publish: atomics cost more than the rest of an append.
	newRows, newValues int64
	newText            int64 // bytes of strings
	newMin, newMax     int64

	// Room for new series and their first chunks, many in one piece of memory: with a million series of a few rows each, an
	// allocation for each of both costs more than the rows.
	room  []Series
	slabs []uint64
	begun int // pieces of room so far
}

// Bounds of a piece of room: of series, and of the words of first chunks.
const (
	minSeriesRoom = 2
	maxSeriesRoom = 64
	slabWords     = 4096
)

// New returns an empty store.
func New() *Store {
	s := &Store{layouts: map[string]*Layout{}, newMin: math.MaxInt64, newMax: math.MinInt64}
	s.series.Store(&Table{})
	s.minTime.Store(math.MaxInt64)
	s.maxTime.Store(math.MinInt64)
	return s
}

// Bytes returns about how much memory the rows take.
func (s *Store) Bytes() int64 { return s.bytes.Load() }

// Rows returns the number of rows, those replaced meanwhile included.
func (s *Store) Rows() int64 { return s.rows.Load() }

// Values returns the number of values of these rows.
func (s *Store) Values() int64 { return s.values.Load() }

// SeriesCount returns the number of series with rows.
func (s *Store) SeriesCount() int64 { return s.count.Load() }

// Times returns the least and greatest time; min > max if there is no row.
func (s *Store) Times() (minTime, maxTime int64) { return s.minTime.Load(), s.maxTime.Load() }

// Sparse reports whether series have on average fewer rows than their first chunks have room for: more rows
// take no more memory.
func (s *Store) Sparse() bool { return s.Rows() < firstChunkRows*s.count.Load() }

// All returns the series by id; entries may still appear.
func (s *Store) All() Table { return *s.series.Load() }

// Series returns one series, or nil.
func (s *Store) Series(id uint32) *Series {
	all := s.All()
	if int(id) >= len(all) {
		return nil
	}
	return all[id].Load()
}

// seriesOf returns a series for writing.
func (s *Store) seriesOf(id uint32) *Series {
	if series := s.Series(id); series != nil {
		return series
	}
	return s.begin(id)
}

// begin makes a series that is not there.
func (s *Store) begin(id uint32) *Series {
	all := s.All()
	if int(id) >= len(all) {
		grown := make(Table, max(int(id)+1, 2*len(all)))
		for i := range all {
			grown[i].Store(all[i].Load())
		}
		all = grown
		s.series.Store(&grown)
	}
	if len(s.room) == 0 {
		s.room = make([]Series, min(minSeriesRoom<<min(s.begun, 16), maxSeriesRoom))
		s.begun++
	}
	series := &s.room[0]
	s.room = s.room[1:]
	series.last = math.MinInt64
	all[id].Store(series)
	s.bytes.Add(seriesBytes)
	s.count.Add(1)
	return series
}

const seriesBytes = 104 + 120 // a Series and its first Chunk

// Append adds a row if its time is greater than any of the series, or than all but a few, and there is no
// row of that time, and reports whether it did. cols maps the columns of vals to the table's.
func (s *Store) Append(id uint32, time, version int64, vals []storage.Val, cols []Col) bool {
	series := s.seriesOf(id)
	series.mu.Lock()
	defer series.mu.Unlock()
	if len(series.side) > 0 && time <= series.side[len(series.side)-1].Time {
		return false
	}
	if series.appendTail(s, time, version, vals, cols) {
		series.last = max(series.last, time)
		series.rows++
		s.counted(time, len(vals))
		return true
	}
	if time <= series.last {
		return false
	}
	series.settleLocked()
	c := series.ready(s, vals, cols)
	i := c.N
	c.slab[i] = uint64(time)
	l := c.Layout
	if l.matches(vals, cols) {
		for k := range vals {
			s.newText += c.set(k, i, &vals[k])
		}
	} else {
		for k := range l.Cols {
			c.setNull(k, i)
		}
		for n := range vals {
			k := l.Index(cols[vals[n].Column].ID)
			c.nulls[k*c.room+i] = false
			s.newText += c.set(k, i, &vals[n])
		}
	}
	c.setVersion(i, version)
	c.N++
	series.last = time
	series.rows++
	s.counted(time, len(vals))
	return true
}

func (s *Store) counted(time int64, values int) {
	s.newRows++
	s.newValues += int64(values)
	s.newMin, s.newMax = min(s.newMin, time), max(s.newMax, time)
}

// Publish makes Rows and Times tell of the rows that were written before. Whoever must see these rows
// must not look before.
func (s *Store) Publish() {
	if s.newRows == 0 {
		return
	}
	if s.newMin < s.minTime.Load() {
		s.minTime.Store(s.newMin)
	}
	if s.newMax > s.maxTime.Load() {
		s.maxTime.Store(s.newMax)
	}
	s.rows.Add(s.newRows)
	s.values.Add(s.newValues)
	if s.newText > 0 {
		s.bytes.Add(s.newText)
	}
	s.newText = 0
	s.newRows, s.newValues, s.newMin, s.newMax = 0, 0, math.MaxInt64, math.MinInt64
}

// matches reports whether vals are exactly the columns of l, in order.
func (l *Layout) matches(vals []storage.Val, cols []Col) bool {
	if len(vals) != len(l.Cols) {
		return false
	}
	for k := range vals {
		if cols[vals[k].Column].ID != l.Cols[k].ID {
			return false
		}
	}
	return true
}

// set sets a value and returns the bytes of text that this took.
func (c *Chunk) set(k, i int, v *storage.Val) (text int64) {
	at := int(c.Layout.slot[k])*c.room + i
	if c.Layout.Cols[k].Kind != vec.Varchar {
		c.slab[at] = v.Bits
		return 0
	}
	// Values like "OK" repeat: share them.
	if i > 0 && c.strs[at-1] == v.Str {
		c.strs[at] = c.strs[at-1]
	} else {
		c.strs[at] = strings.Clone(v.Str)
		text = int64(len(v.Str))
	}
	return text
}

// ready returns the last chunk with room for a row and the columns of vals.
func (s *Series) ready(st *Store, vals []storage.Val, cols []Col) *Chunk {
	var base *Layout
	room := firstChunkRows
	if n := len(s.chunks); n > 0 {
		c := &s.chunks[n-1]
		base, room = c.Layout, min(2*c.room, ChunkRows)
		if c.N < c.room {
			room = c.room
		}
		if c.N < c.room && base.has(vals, cols) {
			return c
		}
		l := st.layoutWith(base, vals, cols)
		if c.N < ChunkRows {
			before := c.bytes()
			if n == 1 {
				before -= s.left()
			}
			*c = c.regrow(l, room)
			st.bytes.Add(c.bytes() - before)
			return c
		}
		base = l
	} else {
		base = st.layoutWith(&Layout{}, vals, cols)
	}
	if len(s.chunks) == 0 {
		s.own[0], s.piece = st.firstChunk(base)
		s.chunks = s.own[:]
	} else {
		s.chunks = append(s.chunks, newChunk(base, room))
		s.own[0] = Chunk{} // it was copied, and must not keep the rows when the copy is replaced
	}
	c := &s.chunks[len(s.chunks)-1]
	st.bytes.Add(c.bytes())
	return c
}

// left is how many bytes stay in their piece of memory when the first chunk is replaced.
func (s *Series) left() int64 {
	if !s.piece {
		return 0
	}
	s.piece = false
	return int64(8 * len(s.chunks[0].slab))
}

// firstChunk returns the first chunk of a series, and whether its slab is of a piece of memory that others are in too.
func (s *Store) firstChunk(l *Layout) (c Chunk, piece bool) {
	n := l.bits * firstChunkRows
	if n > slabWords/8 {
		return newChunk(l, firstChunkRows), false
	}
	if len(s.slabs) < n {
		s.slabs = make([]uint64, min(slabWords, n<<min(s.begun, 16)))
	}
	c = Chunk{Layout: l, room: firstChunkRows, slab: s.slabs[:n:n]}
	s.slabs = s.slabs[n:]
	if l.strs > 0 {
		c.strs = make([]string, l.strs*firstChunkRows)
	}
	return c, true
}

// has reports whether l has all columns of vals.
func (l *Layout) has(vals []storage.Val, cols []Col) bool {
	if l.matches(vals, cols) {
		return true
	}
	for k := range vals {
		if l.Index(cols[vals[k].Column].ID) < 0 {
			return false
		}
	}
	return true
}

// layoutWith returns the layout of base's columns and those of vals.
func (s *Store) layoutWith(base *Layout, vals []storage.Val, cols []Col) *Layout {
	all := base.Cols
	for k := range vals {
		if c := cols[vals[k].Column]; base.Index(c.ID) < 0 {
			all = append(all[:len(all):len(all)], c)
		}
	}
	if len(all) == len(base.Cols) && len(all) > 0 {
		return base
	}
	key := make([]byte, 0, 2*len(all))
	for _, c := range all {
		key = append(key, byte(c.ID), byte(c.ID>>8))
	}
	l := s.layouts[string(key)]
	if l == nil {
		l = newLayout(slices.Clone(all))
		s.layouts[string(key)] = l
	}
	return l
}

// Lookup returns the row of a series at a time.
func (s *Store) Lookup(id uint32, time int64) (Row, bool) {
	series := s.Series(id)
	if series == nil {
		return Row{}, false
	}
	series.mu.Lock()
	defer series.mu.Unlock()
	if at, ok := slices.BinarySearchFunc(series.side, time, compareTime); ok {
		return series.side[at], true
	}
	if time > series.last {
		return Row{}, false
	}
	series.settleLocked()
	for k := len(series.chunks) - 1; k >= 0; k-- {
		c := &series.chunks[k]
		if time < c.Time(0) {
			continue
		}
		if i, ok := c.Find(time); ok {
			return c.Row(i), true
		}
		break
	}
	return Row{}, false
}

func compareTime(r Row, time int64) int {
	switch {
	case r.Time < time:
		return -1
	case r.Time > time:
		return 1
	}
	return 0
}

// Put stores a row wherever it belongs; it replaces a row of the same time.
// The row's cells become the store's, its strings must be copies.
func (s *Store) Put(id uint32, row Row) {
	series := s.seriesOf(id)
	series.mu.Lock()
	defer series.mu.Unlock()
	at, ok := slices.BinarySearchFunc(series.side, row.Time, compareTime)
	added := row.sideBytes()
	for k := range row.Cells {
		added += int64(len(row.Cells[k].Str))
	}
	if ok {
		added -= series.side[at].sideBytes()
		series.side[at] = row
	} else {
		series.side = slices.Insert(series.side, at, row)
	}
	s.bytes.Add(added)
	s.counted(row.Time, len(row.Cells))
	if len(series.side) > max(64, series.rows/8) {
		series.mergeLocked(s)
	}
}

// LastTime returns the greatest time of the series.
func (s *Series) LastTime() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.side); n > 0 {
		return max(s.last, s.side[n-1].Time)
	}
	return s.last
}

// Rows returns how many rows the series has, those that replace others counted again.
func (s *Series) Rows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows + len(s.side)
}

// Snapshot appends the chunks of the series, ascending and complete, to dst.
func (s *Series) Snapshot(st *Store, dst []Chunk) []Chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
	if len(s.side) > 0 {
		s.mergeLocked(st)
	}
	return append(dst, s.chunks...)
}

// mergeLocked merges the side buffer into new chunks in place of those it overlaps.
// Readers keep the old ones.
func (s *Series) mergeLocked(st *Store) {
	s.settleLocked()
	side := s.side
	s.side = nil
	keep := len(s.chunks)
	for keep > 0 && s.chunks[keep-1].Time(s.chunks[keep-1].N-1) >= side[0].Time {
		keep--
	}
	old := s.chunks[keep:]
	freed := int64(0)
	if keep == 0 && len(old) > 0 {
		freed = -s.left()
	}
	// Chunks before keep are full or will not be grown: a new one follows.
	s.chunks = slices.Clone(s.chunks[:keep])
	for k := range side {
		freed += side[k].sideBytes()
	}
	m := merger{cols: unionCols(old, side)}
	for k := range old {
		c := &old[k]
		freed += c.bytes()
		s.rows -= c.N
		from := 0
		for from < c.N {
			to, same := c.N, false
			if len(side) > 0 {
				to, same = c.Find(side[0].Time)
			}
			m.run(c, from, to)
			if from = to; from == c.N {
				break // the row of the side buffer may be later than the next chunk's
			}
			m.add(side[0])
			side = side[1:]
			if same {
				from++
			}
		}
	}
	for _, r := range side {
		m.add(r)
	}
	s.rows += m.n
	added := int64(0)
	for k := range m.chunks {
		added += m.chunks[k].bytes()
	}
	s.chunks = append(s.chunks, m.chunks...)
	s.own[0] = Chunk{}
	last := &s.chunks[len(s.chunks)-1]
	s.last = last.Time(last.N - 1)
	st.bytes.Add(added - freed)
}

// unionCols returns a layout of the columns of chunks and of rows: that of the chunks, where it is one
// and has them all.
func unionCols(chunks []Chunk, side []Row) *Layout {
	var cols []Col
	add := func(c Col) {
		if !slices.Contains(cols, c) {
			cols = append(cols, c)
		}
	}
	var seen *Layout
	for k := range chunks {
		if chunks[k].Layout != seen {
			seen = chunks[k].Layout
			for _, c := range seen.Cols {
				add(c)
			}
		}
	}
	for i := range side {
		for k := range side[i].Cells {
			add(side[i].Cells[k].Col)
		}
	}
	if seen != nil && slices.Equal(cols, seen.Cols) {
		return seen
	}
	return newLayout(cols)
}

// merger builds chunks from rows in ascending order.
type merger struct {
	cols   *Layout
	chunks []Chunk
	n      int
}

// room returns the chunk that takes the next row, with room for one at least; many more follow, as the
// caller guesses.
func (m *merger) room(more int) *Chunk {
	n := len(m.chunks)
	if n == 0 || m.chunks[n-1].N == ChunkRows {
		m.chunks = append(m.chunks, newChunk(m.cols, roomFor(more)))
		return &m.chunks[n]
	}
	c := &m.chunks[n-1]
	if c.N == c.room {
		*c = c.regrow(m.cols, max(2*c.room, roomFor(c.N+more)))
	}
	return c
}

// roomFor returns the room of a chunk of so many rows, a power of two.
func roomFor(rows int) int {
	room := firstChunkRows
	for room < min(rows, ChunkRows) {
		room *= 2
	}
	return room
}

// run adds the rows from up to to of a chunk.
func (m *merger) run(c *Chunk, from, to int) {
	if c.Layout != m.cols {
		for i := from; i < to; i++ {
			m.add(c.Row(i))
		}
		return
	}
	for from < to {
		out := m.room(to - from)
		n := min(to-from, out.room-out.N)
		out.copy(c, from, n)
		m.n += n
		from += n
	}
}

// copy appends n rows of a chunk of the same layout, for which there is room.
func (c *Chunk) copy(other *Chunk, from, n int) {
	for k := range c.Layout.bits {
		copy(c.slab[k*c.room+c.N:][:n], other.slab[k*other.room+from:])
	}
	for k := range c.Layout.strs {
		copy(c.strs[k*c.room+c.N:][:n], other.strs[k*other.room+from:])
	}
	if other.nulls != nil && c.nulls == nil {
		c.nulls = make([]bool, len(c.Layout.Cols)*c.room)
	}
	if other.nulls != nil {
		for k := range c.Layout.Cols {
			copy(c.nulls[k*c.room+c.N:][:n], other.nulls[k*other.room+from:])
		}
	}
	if other.versions != nil || c.versions != nil {
		for i := range n {
			c.setVersion(c.N+i, other.Version(from+i))
		}
	}
	c.N += n
}

func (m *merger) add(r Row) {
	m.n++
	c := m.room(1)
	i := c.N
	c.slab[i] = uint64(r.Time)
	if len(r.Cells) < len(m.cols.Cols) {
		for k := range m.cols.Cols {
			c.setNull(k, i)
		}
	}
	for _, cell := range r.Cells {
		k := m.cols.Index(cell.ID)
		if c.nulls != nil {
			c.nulls[k*c.room+i] = false
		}
		at := int(m.cols.slot[k])*c.room + i
		if cell.Kind == vec.Varchar {
			c.strs[at] = cell.Str
		} else {
			c.slab[at] = cell.Bits
		}
	}
	c.setVersion(i, r.Version)
	c.N++
}
