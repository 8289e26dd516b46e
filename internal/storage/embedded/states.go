package embedded

import (
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// states is the partial aggregates of some groups: for each aggregate one typed
// column or more, with one slot per group and bin.
type states struct {
	p     *plan
	g     *grouping
	ids   []series.ID // of each slot: a series with the group's key values
	bins  []int64
	cols  []stateColumn
	slots *slotTable // nil when slots are only appended
}

// slotTable finds slots by group and bin. Bins are mostly neighbours, so each group has an
// array of them; those too far away are in a map.
type slotTable struct {
	width  int64 // of bins; 0: there is one per group
	groups []binSlots
	far    map[slotKey]int32
	room   int // of the arrays of all groups, in slots
}

// binSlots is the slots of bins from, from+width, …; each plus one, 0 for none.
type binSlots struct {
	from  int64
	slots []int32
}

type slotKey struct {
	group uint32
	bin   int64
}

// maxBinSlots bounds the array of a group.
const maxBinSlots = 1 << 16

// at returns the place of the slot of a group and bin, or nil if it is to be in the map.
func (t *slotTable) at(group uint32, bin int64) *int32 {
	for int(group) >= len(t.groups) {
		t.groups = append(t.groups, binSlots{})
	}
	g := &t.groups[group]
	if len(g.slots) == 0 {
		g.from, g.slots = bin, make([]int32, 1)
		if t.width > 0 {
			g.slots = make([]int32, 32)
		}
		t.room += len(g.slots)
	}
	if t.width == 0 {
		return &g.slots[0]
	}
	for {
		// The difference may not fit; then it is far in any case.
		if d := (bin - g.from) / t.width; bin >= g.from && d >= 0 && d < int64(len(g.slots)) {
			return &g.slots[d]
		}
		grown := make([]int32, 2*len(g.slots))
		if len(grown) > maxBinSlots {
			return nil
		}
		room := int64(len(g.slots)) * t.width
		switch {
		case room/t.width != int64(len(g.slots)):
			return nil
		case bin < g.from && g.from-room < g.from:
			copy(grown[len(g.slots):], g.slots)
			g.from -= room
		case bin < g.from:
			return nil
		default:
			copy(grown, g.slots)
		}
		t.room += len(grown) - len(g.slots)
		g.slots = grown
	}
}

type stateColumn struct {
	aggColumn
	empty  []bool  // no value yet: the null flags of Sum, Min, Max; First and Last: the value is null
	n      []int64 // counts; First and Last: the time
	ints   []int64
	floats []float64
	bools  []bool
	strs   []string
	m2     []float64
	fresh  []bool // First and Last: no row yet
}

func newStates(p *plan, g *grouping) *states {
	s := &states{p: p, g: g, cols: make([]stateColumn, len(p.aggs))}
	for i := range p.aggs {
		s.cols[i].aggColumn = p.aggs[i]
	}
	if !g.oneEach {
		s.slots = &slotTable{width: p.bin}
	}
	return s
}

func (s *states) len() int { return len(s.ids) }

// What one worker holds of groups that several series share. Memory of the query does not count it, so it is
// bounded: the slots take some tens of MB, and the arrays, which are mostly empty where a group has rows in few of many
// bins, 16 MB.
const (
	maxSharedSlots = 1 << 18
	maxSlotRoom    = 1 << 22
)

// full reports whether the slots should be handed on before the end. The series of a group that come later give it others then,
// which is as good unless the groups are final.
func (s *states) full() bool {
	if s.slots == nil {
		return len(s.ids) >= aggregateBatchRows
	}
	return !s.g.final && (len(s.ids) >= maxSharedSlots || s.slots.room >= maxSlotRoom)
}

// slot returns where to add rows of a group and bin.
func (s *states) slot(id series.ID, group uint32, bin int64) int {
	if s.slots != nil {
		if at := s.slots.at(group, bin); at != nil {
			if *at > 0 {
				return int(*at) - 1
			}
			*at = int32(len(s.ids)) + 1
		} else {
			key := slotKey{group, bin}
			if at, ok := s.slots.far[key]; ok {
				return int(at)
			}
			if s.slots.far == nil {
				s.slots.far = map[slotKey]int32{}
			}
			s.slots.far[key] = int32(len(s.ids))
		}
	} else if last := len(s.ids) - 1; s.g.final && last >= 0 && s.ids[last] == id && (s.p.bin == 0 || s.bins[last] == bin) {
		return last // a series is read from its first bin to its last
	}
	return s.extend(id, bin)
}

// extend adds slots of a series and returns the first of them.
func (s *states) extend(id series.ID, bins ...int64) int {
	first := len(s.ids)
	if room := cap(s.ids) - first; room < len(bins) {
		s.reserve(max(len(bins), first, 16))
	}
	for range bins {
		s.ids = append(s.ids, id)
	}
	if s.p.bin > 0 {
		s.bins = append(s.bins, bins...)
	}
	for i := range s.cols {
		s.cols[i].grow(len(bins))
	}
	return first
}

// reserve makes room for n slots more in all slices at once.
func (s *states) reserve(n int) {
	s.ids = slices.Grow(s.ids, n)
	if s.p.bin > 0 {
		s.bins = slices.Grow(s.bins, n)
	}
	for i := range s.cols {
		s.cols[i].reserve(n)
	}
}

// reserve makes room for n slots more in the slices that the aggregate has.
func (c *stateColumn) reserve(n int) {
	times := c.fn == storage.First || c.fn == storage.Last
	if c.fn == storage.CountRows || c.fn == storage.Count || c.fn == storage.Moments || times {
		c.n = slices.Grow(c.n, n)
	}
	if c.fn == storage.CountRows || c.fn == storage.Count {
		return
	}
	if c.fn == storage.Moments {
		c.floats, c.m2 = slices.Grow(c.floats, n), slices.Grow(c.m2, n)
		return
	}
	if times {
		c.fresh = slices.Grow(c.fresh, n)
	}
	c.empty = slices.Grow(c.empty, n)
	switch c.Type.Kind.Storage() {
	case vec.StoreFloats:
		c.floats = slices.Grow(c.floats, n)
	case vec.StoreBools:
		c.bools = slices.Grow(c.bools, n)
	case vec.StoreStrs:
		c.strs = slices.Grow(c.strs, n)
	default:
		c.ints = slices.Grow(c.ints, n)
	}
}

// grow adds n empty slots.
func (c *stateColumn) grow(n int) {
	switch c.fn {
	case storage.CountRows, storage.Count:
		c.n = more(c.n, n, 0)
		return
	case storage.Moments:
		c.n, c.floats, c.m2 = more(c.n, n, 0), more(c.floats, n, 0), more(c.m2, n, 0)
		return
	case storage.First, storage.Last:
		c.n, c.fresh = more(c.n, n, 0), more(c.fresh, n, true)
	}
	c.empty = more(c.empty, n, true)
	switch c.Type.Kind.Storage() {
	case vec.StoreFloats:
		c.floats = more(c.floats, n, 0)
	case vec.StoreBools:
		c.bools = more(c.bools, n, false)
	case vec.StoreStrs:
		c.strs = more(c.strs, n, "")
	default:
		c.ints = more(c.ints, n, 0)
	}
}

// more appends v n times.
func more[T any](s []T, n int, v T) []T {
	for range n {
		s = append(s, v)
	}
	return s
}

// batch hands the slots over as a batch and forgets them.
func (s *states) batch() *vec.Batch {
	b := &vec.Batch{Len: len(s.ids), Columns: make([]*vec.Vector, 0, len(s.p.keys)+3*len(s.cols))}
	for i := range s.p.keys {
		k := &s.p.keys[i]
		if k.Role == storage.TimeColumn {
			b.Columns = append(b.Columns, vec.OfInts(vec.TimestampType, s.bins, nil))
		} else {
			b.Columns = append(b.Columns, k.keyVector(s.p.series, s.ids))
		}
	}
	for i := range s.cols {
		b.Columns = s.cols[i].appendVectors(b.Columns)
	}
	s.ids, s.bins = nil, nil
	for i := range s.cols {
		s.cols[i] = stateColumn{aggColumn: s.cols[i].aggColumn}
	}
	if s.slots != nil {
		s.slots = &slotTable{width: s.slots.width}
	}
	return b
}

func (c *stateColumn) appendVectors(dst []*vec.Vector) []*vec.Vector {
	switch c.fn {
	case storage.CountRows, storage.Count:
		return append(dst, vec.OfInts(vec.BigintType, c.n, nil))
	case storage.Moments:
		return append(dst, vec.OfInts(vec.BigintType, c.n, nil), vec.OfFloats(c.floats, nil), vec.OfFloats(c.m2, nil))
	case storage.First, storage.Last:
		dst = append(dst, vec.OfInts(vec.TimestampType, c.n, nil))
	}
	switch nulls := someNulls(c.empty); c.Type.Kind.Storage() {
	case vec.StoreFloats:
		return append(dst, vec.OfFloats(c.floats, nulls))
	case vec.StoreBools:
		return append(dst, vec.OfBools(c.bools, nulls))
	case vec.StoreStrs:
		return append(dst, vec.OfStrs(c.strs, nulls))
	default:
		return append(dst, vec.OfInts(c.Type, c.ints, nulls))
	}
}

func someNulls(nulls []bool) []bool {
	for _, null := range nulls {
		if null {
			return nulls
		}
	}
	return nil
}
