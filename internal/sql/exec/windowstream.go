package exec

import (
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// Partitions that memory does not hold, even with the columns alone that calls read, are streamed where all calls look
// back only: ranks, and sums, averages, counts and extremes from the partition's begin to the current row. They are
// computed piece by piece, and a carry takes what a piece needs to know of those before it. Pieces end with a
// group of peers, or anywhere if no call has peers in its frame.

// windowCarry is what a piece of a partition leaves to the next.
type windowCarry struct {
	last              []*vec.Vector // keys of its last row: the partition's, then the order's
	rows, rank, dense int64         // row_number, rank and dense_rank of that row
	parts             []carriedPart // per call
}

// carriedPart is an aggregate over all rows so far.
type carriedPart struct {
	part  part
	value *vec.Vector // the least or greatest, a vector of one row, if part.row is one
}

// streams reports whether the call can be computed piece by piece, and whether pieces may end amid peers.
func (c *windowCall) streams() (ok, anywhere bool) {
	switch c.Name {
	case "row_number", "rank", "dense_rank":
		return len(c.args) == 0, true
	case "count", "sum", "avg", "min", "max":
		if c.Agg == nil || c.Frame.Start.Kind != plan.UnboundedPreceding || c.Frame.End.Kind != plan.CurrentRow {
			return false, false
		}
		if len(c.args) == 0 {
			return c.Name == "count", c.Frame.Rows
		}
		return len(c.args) == 1 && slides(c.Name, c.args[0].t), c.Frame.Rows
	}
	return false, false
}

// continues tells w of the piece before it, if its first row is of the same partition.
func (w *windowRows) continues(carry *windowCarry, keys []*vec.Vector, partition int) {
	if carry == nil {
		return
	}
	for k, v := range keys {
		if vec.Equal(carry.last[k], 0, v, 0) {
			continue
		}
		if k < partition {
			return
		}
		w.carry = carry
		return
	}
	w.carry, w.samePeers = carry, true
}

// carryOn returns what the next piece needs to know.
func (w *windowRows) carryOn(keys []*vec.Vector) *windowCarry {
	last := w.b.Len - 1
	c := &windowCarry{parts: w.parts}
	for _, v := range keys {
		c.last = append(c.last, v.Gather([]int32{int32(last)}).Flat())
	}
	from := w.partStart[last]
	c.rows, c.rank = int64(last)-int64(from)+1, int64(w.peerStart[last])-int64(from)+1
	for i := int(from); i <= last; i++ {
		if int(w.peerStart[i]) == i {
			c.dense++
		}
	}
	if from > 0 || w.carry == nil {
		return c
	}
	c.rows += w.carry.rows
	c.dense += w.carry.dense
	c.rank += w.carry.rows
	if w.samePeers {
		c.dense--
		if w.peerStart[last] == 0 {
			c.rank = w.carry.rank
		}
	}
	return c
}

// shift adds to ranks of the first partition what came before this piece.
func (w *windowRows) shift(name string, ranks []int64) {
	if w.carry == nil {
		return
	}
	for i := range ranks[:w.partEnd[0]] {
		switch name {
		case "dense_rank":
			ranks[i] += w.carry.dense
			if w.samePeers {
				ranks[i]--
			}
		case "rank":
			if ranks[i] += w.carry.rows; w.samePeers && w.peerStart[i] == 0 {
				ranks[i] = w.carry.rank
			}
		default:
			ranks[i] += w.carry.rows
		}
	}
}

// carried returns the aggregate over the rows before this piece. The value of an extreme is appended to the
// rows of s.
func (s *sliding) carried(c carriedPart) part {
	if c.part.row >= 0 && c.value != nil {
		x := newColumn(s.x.Type)
		x.append(s.x)
		x.append(c.value)
		s.values(x.vector())
		c.part.row = int32(s.x.Len() - 1)
	}
	return c.part
}

// carry is the aggregate p for the next piece.
func (s *sliding) carry(p part) carriedPart {
	c := carriedPart{part: p}
	if p.row >= 0 && (s.name == "min" || s.name == "max") {
		c.value = s.x.Gather([]int32{p.row})
	}
	return c
}
