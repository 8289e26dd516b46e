package memstore

import "github.com/weir-db/weir/internal/storage"

// tailRows is how many values make a cache line.
const tailRows = 8

// tailFrom is from how much room of the last chunk on a series has a tail.
const tailFrom = 64

// tail is the newest rows of a series, row by row, each its time and then its values in the order of
// the last chunk's layout. They belong to that chunk, which has room for them.
type tail struct {
	n    int // rows
	rows []uint64
}

// appendTail adds a row to the tail, if it is like those of the last chunk: all of its columns, of fixed
// width, and version 1.
func (s *Series) appendTail(time, version int64, vals []storage.Val, cols []Col) bool {
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
		t = &tail{rows: make([]uint64, tailRows*l.bits)}
		s.tail = t
	}
	if c.N+t.n == c.room {
		return false
	}
	if len(t.rows) != tailRows*l.bits { // of a layout before, when it was empty
		t.rows = make([]uint64, tailRows*l.bits)
	}
	row := t.rows[t.n*l.bits : (t.n+1)*l.bits]
	row[0] = uint64(time)
	for k := range vals {
		row[1+k] = vals[k].Bits
	}
	if t.n++; t.n == tailRows {
		s.settleLocked()
	}
	return true
}

// settleLocked moves the rows of the tail into the last chunk.
func (s *Series) settleLocked() {
	t := s.tail
	if t == nil || t.n == 0 {
		return
	}
	c := &s.chunks[len(s.chunks)-1]
	width := c.Layout.bits
	for k := range width {
		column := c.slab[k*c.room+c.N:]
		for i := range t.n {
			column[i] = t.rows[i*width+k]
		}
	}
	c.N += t.n
	t.n = 0
}
