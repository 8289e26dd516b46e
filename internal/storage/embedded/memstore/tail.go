package memstore

import "github.com/weir-db/weir/internal/storage"

// lineRows is how many values make a cache line: as many rows go from a tail into the chunk at a time.
const lineRows = 8

// tailRows is how many rows a tail has room for. Those beyond a line wait for late ones: of requests that
// come over several connections, one may be overtaken by some others.
const tailRows = 2 * lineRows

// tailFrom is from how much room of the last chunk on a series has a tail.
const tailFrom = 64

// tail is the newest rows of a series in ascending order, row by row, each its time and then its values
// in the order of the last chunk's layout. They are later than the rows of that chunk, which has room for them.
type tail struct {
	n     int // rows
	width int // of a row
	rows  []uint64
}

func (t *tail) time(i int) int64 { return int64(t.rows[i*t.width]) }

// place returns where a row of some time belongs, or false if there is one of that time.
func (t *tail) place(time int64) (at int, ok bool) {
	at = t.n
	for at > 0 && t.time(at-1) > time {
		at--
	}
	return at, at == 0 || t.time(at-1) != time
}

// insert makes room for a row and returns it.
func (t *tail) insert(at int) []uint64 {
	from := at * t.width
	if at < t.n {
		copy(t.rows[from+t.width:], t.rows[from:t.n*t.width])
	}
	t.n++
	return t.rows[from : from+t.width]
}

// appendTail adds a row to the tail, if it is like those of the last chunk (all of its columns, of fixed
// width, and version 1), later than these, and at another time than those of the tail.
func (s *Series) appendTail(st *Store, time, version int64, vals []storage.Val, cols []Col) bool {
	if len(s.chunks) == 0 {
		return false
	}
	c := &s.chunks[len(s.chunks)-1]
	l := c.Layout
	if c.room < tailFrom || l.strs > 0 || version != 1 || c.versions != nil || c.nulls != nil || !l.matches(vals, cols) {
		return false
	}
	t := s.tail
	if t == nil {
		t = new(tail)
		s.tail = t
	}
	if t.width != l.bits { // new, or of a layout before, when it was empty
		*t = tail{width: l.bits, rows: make([]uint64, tailRows*l.bits)}
	}
	at, ok := t.place(time)
	if !ok || at == 0 && (c.N == 0 || time <= c.Time(c.N-1)) {
		return false
	}
	if c.N+t.n == c.room {
		if c.room == ChunkRows {
			return false
		}
		st.bytes.Add(-c.bytes())
		*c = c.regrow(l, 2*c.room)
		st.bytes.Add(c.bytes())
	}
	row := t.insert(at)
	row[0] = uint64(time)
	for k := range vals {
		row[1+k] = vals[k].Bits
	}
	if t.n == tailRows {
		s.moveLocked(lineRows)
	}
	return true
}

// settleLocked moves the rows of the tail into the last chunk.
func (s *Series) settleLocked() {
	if t := s.tail; t != nil && t.n > 0 {
		s.moveLocked(t.n)
	}
}

// moveLocked moves the first n rows of the tail into the last chunk.
func (s *Series) moveLocked(n int) {
	t := s.tail
	c := &s.chunks[len(s.chunks)-1]
	for k := range t.width {
		column := c.slab[k*c.room+c.N:][:n]
		for i := range column {
			column[i] = t.rows[i*t.width+k]
		}
	}
	c.N += n
	copy(t.rows, t.rows[n*t.width:t.n*t.width])
	t.n -= n
}
