package exec

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// frames returns the frame of each row: rows starts[i] <= r < ends[i].
func (w *windowRows) frames(c *windowCall) (starts, ends []int32, err error) {
	if starts, err = w.frameEnd(c, c.Frame.Start, c.start, true); err != nil {
		return nil, nil, err
	}
	ends, err = w.frameEnd(c, c.Frame.End, c.end, false)
	return starts, ends, err
}

// frameEnd returns the first row of each frame, or with first false the row behind the last.
func (w *windowRows) frameEnd(c *windowCall, b plan.Bound, offset *expr, first bool) ([]int32, error) {
	switch b.Kind {
	case plan.UnboundedPreceding:
		return w.partStart, nil
	case plan.UnboundedFollowing:
		return w.partEnd, nil
	case plan.CurrentRow:
		switch {
		case c.Frame.Rows:
			return w.rowsEnd(nil, 0, first)
		case first:
			return w.peerStart, nil
		}
		return w.peerEnd, nil
	}
	v, err := offset.eval(w.ctx, w.f, w.b)
	if err != nil {
		return nil, err
	}
	dir := int64(1)
	if b.Kind == plan.Preceding {
		dir = -1
	}
	for i := range v.Len() {
		if v.IsNull(i) || negative(v, i) {
			return nil, fault.New(fault.Execution, "Window frame offset value must not be negative or null")
		}
	}
	if c.Frame.Rows {
		return w.rowsEnd(v, dir, first)
	}
	return w.rangeEnd(v, dir, first)
}

func negative(v *vec.Vector, i int) bool {
	if v.Type.Kind == vec.Double {
		return !(v.Float(i) >= 0)
	}
	return v.Int(i) < 0
}

// rowsEnd is an end of a frame counted in rows, cut to the partition.
func (w *windowRows) rowsEnd(offset *vec.Vector, dir int64, first bool) ([]int32, error) {
	out := make([]int32, w.b.Len)
	for i := range out {
		at := int64(i)
		if offset != nil {
			at += dir * min(offset.Int(i), math.MaxInt32)
		}
		if !first {
			at++
		}
		out[i] = int32(max(int64(w.partStart[i]), min(at, int64(w.partEnd[i]))))
	}
	return out, nil
}

// rangeEnd is an end of a frame measured by the one order key. Rows with a null key
// have their peers as frame.
func (w *windowRows) rangeEnd(offset *vec.Vector, dir int64, first bool) ([]int32, error) {
	key := w.order[0]
	if w.desc[0] {
		dir = -dir
	}
	out := make([]int32, w.b.Len)
	for i := range out {
		if err := w.done(i); err != nil {
			return nil, err
		}
		if key.IsNull(i) {
			out[i] = w.peerEnd[i]
			if first {
				out[i] = w.peerStart[i]
			}
			continue
		}
		lo, hi := w.notNull(key, i)
		bound := shifted(key, i, offset, dir)
		// Rows lo to hi are in the order of the key. The frame begins at the first row that is
		// not before the bound, and ends behind the last that is not after it.
		out[i] = int32(lo + sort.Search(hi-lo, func(k int) bool {
			c := compareKey(key, lo+k, bound)
			if w.desc[0] {
				c = -c
			}
			if first {
				return c >= 0
			}
			return c > 0
		}))
	}
	return out, nil
}

// notNull returns the rows of i's partition whose key is not null; nulls are at one end.
func (w *windowRows) notNull(key *vec.Vector, i int) (lo, hi int) {
	lo, hi = int(w.partStart[i]), int(w.partEnd[i])
	if !key.HasNulls() {
		return lo, hi
	}
	if key.IsNull(lo) {
		lo += sort.Search(hi-lo, func(k int) bool { return !key.IsNull(lo + k) })
	} else {
		hi = lo + sort.Search(hi-lo, func(k int) bool { return key.IsNull(lo + k) })
	}
	return lo, hi
}

// keyBound is an end of a RANGE frame as a value of the order key; dates as the nanoseconds of their midnight.
type keyBound struct {
	float float64
	int   int64
}

// shifted returns the key of row i moved by dir * offset. What is out of range lies beyond all keys.
func shifted(key *vec.Vector, i int, offset *vec.Vector, dir int64) keyBound {
	switch {
	case key.Type.Kind == vec.Double:
		return keyBound{float: key.Float(i) + float64(dir)*offset.Float(i)}
	case offset.Type.Kind == vec.IntervalYear && key.Type.Kind != vec.IntervalYear:
		return keyBound{int: shiftedMonths(keyInt(key, i), dir*min(offset.Int(i), maxFrameMonths))}
	}
	return keyBound{int: addSaturating(keyInt(key, i), dir*offset.Int(i))}
}

// maxFrameMonths leads out of the range of timestamps from anywhere in it.
const maxFrameMonths = 12 * 1000

func shiftedMonths(ns, months int64) int64 {
	days := vec.FloorDiv(ns, vec.Day)
	out, ok := vec.TimestampOf(vec.AddMonths(days, months), ns-days*vec.Day)
	switch {
	case ok:
		return out
	case months < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

// keyInt is a key that is not a double; a date as the nanoseconds of its midnight.
func keyInt(key *vec.Vector, r int) int64 {
	if key.Type.Kind == vec.Date {
		return key.Int(r) * vec.Day
	}
	return key.Int(r)
}

// compareKey compares the key of row r with a bound.
func compareKey(key *vec.Vector, r int, bound keyBound) int {
	if key.Type.Kind == vec.Double {
		return vec.CompareFloats(key.Float(r), bound.float)
	}
	return cmp.Compare(keyInt(key, r), bound.int)
}

func addSaturating(a, b int64) int64 {
	sum := a + b
	switch {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	}
	return sum
}

// aggregate computes an aggregate over the frame of each row.
func (w *windowRows) aggregate(c *windowCall, args []*vec.Vector) (*vec.Vector, error) {
	starts, ends, err := w.frames(c)
	if err != nil {
		return nil, err
	}
	var keep []bool // rows that FILTER lets through; nil: all
	if c.filter != nil {
		rows, all, err := filterRows(w.ctx, w.f, []*expr{c.filter}, w.b)
		if err != nil {
			return nil, err
		}
		if !all {
			keep = make([]bool, w.b.Len)
			for _, r := range rows {
				keep[r] = true
			}
		}
	}
	if s := newSliding(c, args, keep); s != nil && monotone(w.partStart, starts) && monotone(w.partStart, ends) {
		return s.run(w, c.index, starts, ends)
	}
	return w.perFrame(c, args, keep, starts, ends)
}

// monotone reports whether an end of the frames never goes back within a partition.
func monotone(partStart, ends []int32) bool {
	for i := 1; i < len(ends); i++ {
		if ends[i] < ends[i-1] && partStart[i] == partStart[i-1] {
			return false
		}
	}
	return true
}

// frameChunk bounds the rows that perFrame adds at one time.
const frameChunk = 1 << 16

// perFrame adds the rows of every frame to a group of its own. Equal frames that follow
// each other share a group.
func (w *windowRows) perFrame(c *windowCall, args []*vec.Vector, keep []bool, starts, ends []int32) (*vec.Vector, error) {
	out := newColumn(c.T)
	for from := 0; from < w.b.Len; {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		var groups, rows []int32
		var groupOf []int32 // of rows from, from+1, …
		group := int32(-1)
		to := from
		for ; to < w.b.Len && (len(rows) < frameChunk || to == from); to++ {
			if to == from || starts[to] != starts[to-1] || ends[to] != ends[to-1] {
				group++
				for r := starts[to]; r < ends[to]; r++ {
					if keep == nil || keep[r] {
						groups, rows = append(groups, group), append(rows, r)
					}
				}
			}
			groupOf = append(groupOf, group)
		}
		v, err := accumulate(w.ctx, c, args, groups, rows, int(group)+1)
		if err != nil {
			return nil, err
		}
		out.append(v.Gather(groupOf))
		from = to
	}
	return out.vector(), nil
}

func accumulate(ctx context.Context, c *windowCall, args []*vec.Vector, groups, rows []int32, n int) (*vec.Vector, error) {
	acc := c.Agg.Func.New(c.Agg.Args, c.Agg.Return)
	acc.Resize(n)
	if len(rows) > 0 {
		picked := make([]*vec.Vector, len(args))
		for i, a := range args {
			picked[i] = a.Gather(rows)
		}
		if err := acc.Add(groups, picked); err != nil {
			return nil, err
		}
	}
	return fn.Result(acc, ctx.Err)
}

// sliding computes count, sum, avg, min and max over frames that only move forwards, at
// a constant cost per row: a queue of two stacks keeps partial results, so nothing is
// ever subtracted and doubles do not drift.
type sliding struct {
	name  string
	x     *vec.Vector // nil for count(*)
	nulls []bool      // of x; nil: there are none
	keep  []bool
	ret   vec.Type
	adds  bool // sum and avg
	seeks int  // 1: the greatest value, -1: the least, 0: neither
}

func newSliding(c *windowCall, args []*vec.Vector, keep []bool) *sliding {
	s := &sliding{name: c.Name, keep: keep, ret: c.T}
	switch c.Name {
	case "sum", "avg":
		s.adds = true
	case "max":
		s.seeks = 1
	case "min":
		s.seeks = -1
	}
	if len(args) == 0 && c.Name == "count" {
		return s
	}
	if len(args) != 1 || !slides(c.Name, args[0].Type) {
		return nil
	}
	s.values(args[0].Flat())
	return s
}

// values sets what is aggregated.
func (s *sliding) values(x *vec.Vector) {
	s.x, s.nulls = x, x.Nulls
	if x.Type.Kind == vec.Unknown {
		s.nulls = slices.Repeat([]bool{true}, x.Len())
	}
}

// slides reports whether sliding computes an aggregate of one argument.
func slides(name string, t vec.Type) bool {
	switch name {
	case "count", "min", "max":
		return true
	case "sum", "avg":
		return t.Kind.Numeric()
	}
	return false
}

// part is the partial result of some rows.
type part struct {
	n    int64 // values
	ints int64
	fl   float64
	row  int32 // of the least or greatest, -1 for none
}

var noPart = part{row: -1}

func (s *sliding) of(r int32) part {
	p := noPart
	if s.keep != nil && !s.keep[r] || s.nulls != nil && s.nulls[r] {
		return p
	}
	p.n, p.row = 1, r
	if s.adds {
		if s.x.Type.Kind == vec.Double {
			p.fl = s.x.Floats[r]
		} else {
			p.ints = s.x.Ints[r]
			p.fl = float64(p.ints)
		}
	}
	return p
}

func (s *sliding) join(a, b part) (part, error) {
	out := part{n: a.n + b.n, fl: a.fl + b.fl, row: a.row}
	if s.adds && s.ret.Kind != vec.Double {
		out.ints = a.ints + b.ints
		if (a.ints^out.ints)&(b.ints^out.ints) < 0 {
			return out, fault.New(fault.Execution, "bigint addition overflow: %d + %d", a.ints, b.ints)
		}
	}
	if b.row >= 0 && (a.row < 0 || s.seeks != 0 && s.compare(b.row, a.row)*s.seeks > 0) {
		out.row = b.row
	}
	return out, nil
}

// compare orders two rows by their values.
func (s *sliding) compare(a, b int32) int {
	switch s.x.Type.Kind.Storage() {
	case vec.StoreInts:
		return cmp.Compare(s.x.Ints[a], s.x.Ints[b])
	case vec.StoreFloats:
		return vec.CompareFloats(s.x.Floats[a], s.x.Floats[b])
	}
	return vec.Compare(s.x, int(a), s.x, int(b))
}

func (s *sliding) run(w *windowRows, call int, starts, ends []int32) (*vec.Vector, error) {
	before := noPart
	if w.carry != nil {
		before = s.carried(w.carry.parts[call])
	}
	out := s.results(w.b.Len)
	var front []part // front[k] covers the frame's row at mid-1-k up to mid-1
	var back part    // covers mid to hi-1
	var lo, mid, hi int32
	for i := range w.b.Len {
		if err := w.done(i); err != nil {
			return nil, err
		}
		start, end := starts[i], max(starts[i], ends[i])
		if i == 0 || w.partStart[i] != w.partStart[i-1] || start >= hi {
			front, back, lo, mid, hi = front[:0], noPart, start, start, start
			if i == 0 {
				back = before
			}
		}
		var err error
		for ; hi < end; hi++ {
			if back, err = s.join(back, s.of(hi)); err != nil {
				return nil, err
			}
		}
		for ; lo < start; lo++ {
			if len(front) == 0 {
				if front, err = s.flip(front, mid, hi); err != nil {
					return nil, err
				}
				mid, back = hi, noPart
			}
			front = front[:len(front)-1]
		}
		p := back
		if len(front) > 0 {
			if p, err = s.join(front[len(front)-1], back); err != nil {
				return nil, err
			}
		}
		out.set(i, p)
		if i == w.b.Len-1 && w.parts != nil {
			w.parts[call] = s.carry(p)
		}
	}
	return out.vector(), nil
}

// flip makes the front stack of rows from to to-1; its top covers them all.
func (s *sliding) flip(front []part, from, to int32) ([]part, error) {
	p := noPart
	for r := to - 1; r >= from; r-- {
		var err error
		if p, err = s.join(s.of(r), p); err != nil {
			return nil, err
		}
		front = append(front, p)
	}
	return front, nil
}

// slidingResults is the results of sliding in the making.
type slidingResults struct {
	s      *sliding
	ints   []int64
	floats []float64
	nulls  []bool
	picks  []int32 // of min and max: rows of x, -1 for null
}

func (s *sliding) results(n int) *slidingResults {
	out := &slidingResults{s: s}
	switch {
	case s.name == "min" || s.name == "max":
		out.picks = make([]int32, n)
		return out
	case s.name == "count":
		out.ints = make([]int64, n)
		return out
	case s.ret.Kind == vec.Double:
		out.floats = make([]float64, n)
	default:
		out.ints = make([]int64, n)
	}
	out.nulls = make([]bool, n)
	return out
}

func (o *slidingResults) set(i int, p part) {
	switch o.s.name {
	case "count":
		o.ints[i] = p.n
		return
	case "min", "max":
		o.picks[i] = p.row
		return
	}
	o.nulls[i] = p.n == 0
	switch {
	case o.floats == nil:
		o.ints[i] = p.ints
	case o.s.name == "avg":
		o.floats[i] = p.fl / float64(p.n)
	default:
		o.floats[i] = p.fl
	}
}

func (o *slidingResults) vector() *vec.Vector {
	switch {
	case o.picks != nil:
		return gatherOrNull(o.s.x, o.picks)
	case o.floats != nil:
		return vec.OfFloats(o.floats, o.nulls)
	case o.s.name == "count":
		return vec.OfInts(vec.BigintType, o.ints, nil)
	}
	return vec.OfInts(o.s.ret, o.ints, o.nulls)
}
