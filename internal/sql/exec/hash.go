package exec

import (
	"math/bits"

	"github.com/weir-db/weir/internal/vec"
)

// hashMul spreads a hash over the top bits, which index a table.
const hashMul = 0x9E3779B97F4A7C15

// hashRows sets h[k] to the hash of the keys at row rows[k] of n rows.
func hashRows(keys []*vec.Vector, n int, rows []int32, h []uint64) {
	for k := range h {
		h[k] = vec.HashSeed
	}
	for _, v := range keys {
		if len(rows) < n {
			v = v.Gather(rows)
		}
		v.Hash(h)
	}
}

// groupTable numbers distinct keys from 0 in order of first appearance.
//
// Rows mostly come in series order, where a key repeats over a run of rows. So a
// batch is first cut into runs of equal neighbours, which costs a comparison per
// row and key column (of dictionary indexes where they are dictionaries), and only
// the head of each run is hashed and looked up.
type groupTable struct {
	ints   *intTable // of a single integer-like key, else nil
	keys   []*column
	hashes []uint64 // per group
	slots  []int32  // open addressing: group + 1, or 0
	shift  uint     // 64 - log2(len(slots))

	heads []int32 // scratch
	headH []uint64
	same  []bool
}

func newGroupTable(types []vec.Type) *groupTable {
	t := &groupTable{keys: newColumns(types)}
	if len(types) == 1 && types[0].Kind.Storage() == vec.StoreInts {
		t.ints = newIntTable()
	} else {
		t.slots, t.shift = make([]int32, 64), 64-6
	}
	return t
}

// len returns the number of groups.
func (t *groupTable) len() int { return t.keys[0].n }

// assign returns the group of each of n rows, making new ones as needed. The result
// is valid until the next call.
func (t *groupTable) assign(keys []*vec.Vector, n int, out []int32) []int32 {
	out = resize(out, n)
	if t.ints != nil {
		t.ints.groups(keys[0], out, t.keys[0])
		return out
	}
	t.findHeads(keys, n)
	t.hashHeads(keys, n)
	for k, r := range t.heads {
		g := t.find(keys, int(r), t.headH[k])
		if g < 0 {
			g = t.add(keys, int(r), t.headH[k])
		}
		end := n
		if k+1 < len(t.heads) {
			end = int(t.heads[k+1])
		}
		for i := int(r); i < end; i++ {
			out[i] = g
		}
	}
	return out
}

// lookup returns the group of each of n rows, or -1.
func (t *groupTable) lookup(keys []*vec.Vector, n int, out []int32) []int32 {
	out = resize(out, n)
	if t.ints != nil {
		t.ints.groups(keys[0], out, nil)
		return out
	}
	t.findHeads(keys, n)
	t.hashHeads(keys, n)
	for k, r := range t.heads {
		g := t.find(keys, int(r), t.headH[k])
		end := n
		if k+1 < len(t.heads) {
			end = int(t.heads[k+1])
		}
		for i := int(r); i < end; i++ {
			out[i] = g
		}
	}
	return out
}

func (t *groupTable) hashHeads(keys []*vec.Vector, n int) {
	t.headH = resize(t.headH, len(t.heads))
	hashRows(keys, n, t.heads, t.headH)
}

// findHeads sets heads to the first row of each run of equal keys.
func (t *groupTable) findHeads(keys []*vec.Vector, n int) {
	t.heads = t.heads[:0]
	if n == 0 {
		return
	}
	t.same = resize(t.same, n)
	for i := range t.same {
		t.same[i] = true
	}
	t.same[0] = false
	for _, v := range keys {
		clearChanged(v, t.same)
	}
	for i, s := range t.same {
		if !s {
			t.heads = append(t.heads, int32(i))
		}
	}
}

// clearChanged clears same[i] where row i of v differs from row i-1.
func clearChanged(v *vec.Vector, same []bool) {
	switch {
	case v.Form == vec.Constant:
	case v.Form == vec.Dictionary:
		for i := 1; i < len(same); i++ {
			if v.Index[i] != v.Index[i-1] && !vec.Equal(v, i, v, i-1) {
				same[i] = false
			}
		}
	case v.Type.Kind.Storage() == vec.StoreInts && v.Nulls == nil:
		for i := 1; i < len(same); i++ {
			if v.Ints[i] != v.Ints[i-1] {
				same[i] = false
			}
		}
	default:
		for i := 1; i < len(same); i++ {
			if same[i] && !vec.Equal(v, i, v, i-1) {
				same[i] = false
			}
		}
	}
}

// find returns the group of a row with hash h, or -1. It is not for tables with ints.
func (t *groupTable) find(keys []*vec.Vector, row int, h uint64) int32 {
	mask := uint64(len(t.slots) - 1)
	for s := (h * hashMul) >> t.shift; ; s = (s + 1) & mask {
		g := t.slots[s] - 1
		if g < 0 {
			return -1
		}
		if t.hashes[g] == h && t.equal(keys, row, int(g)) {
			return g
		}
	}
}

func (t *groupTable) equal(keys []*vec.Vector, row, g int) bool {
	for c, v := range keys {
		if !t.keys[c].sameAs(g, v, row) {
			return false
		}
	}
	return true
}

// sameAs is vec.Equal for row i of the column and row j of v.
func (c *column) sameAs(i int, v *vec.Vector, j int) bool {
	v, j = v.At(j)
	cn := c.t.Kind == vec.Unknown || c.nulls != nil && c.nulls[i]
	vn := v.Type.Kind == vec.Unknown || v.Nulls != nil && v.Nulls[j]
	if cn || vn {
		return cn == vn
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		return c.ints[i] == v.Ints[j]
	case vec.StoreFloats:
		x, y := c.floats[i], v.Floats[j]
		return x == y || x != x && y != y
	case vec.StoreBools:
		return c.bools[i] == v.Bools[j]
	case vec.StoreStrs:
		return c.strs[i] == v.Strs[j]
	}
	return vec.Equal(c.vector(), i, v, j)
}

func (t *groupTable) add(keys []*vec.Vector, row int, h uint64) int32 {
	g := int32(len(t.hashes))
	t.hashes = append(t.hashes, h)
	for c, v := range keys {
		t.keys[c].appendRow(v, row)
	}
	if 2*len(t.hashes) > len(t.slots) {
		t.rehash(4 * len(t.slots))
		return g
	}
	t.place(g, h)
	return g
}

func (t *groupTable) rehash(size int) {
	t.slots = make([]int32, size)
	t.shift = uint(64 - bits.TrailingZeros(uint(size)))
	for g, h := range t.hashes {
		t.place(int32(g), h)
	}
}

func (t *groupTable) place(g int32, h uint64) {
	mask := uint64(len(t.slots) - 1)
	s := (h * hashMul) >> t.shift
	for t.slots[s] != 0 {
		s = (s + 1) & mask
	}
	t.slots[s] = g + 1
}

// columns returns the keys of all groups, in group order.
func (t *groupTable) columns() []*vec.Vector {
	out := make([]*vec.Vector, len(t.keys))
	for i, c := range t.keys {
		out[i] = c.vector()
	}
	return out
}

func (t *groupTable) sizeBytes() int64 {
	size := 8*int64(cap(t.hashes)) + 4*int64(len(t.slots))
	if t.ints != nil {
		size = 16 * int64(len(t.ints.slots))
	}
	for _, c := range t.keys {
		size += c.sizeBytes()
	}
	return size
}

// intTable is a groupTable's index when the key is one integer-like column: the key
// stands in the slot, so that a row costs one cache miss.
type intTable struct {
	slots     []intSlot // open addressing
	used      int
	shift     uint
	nullGroup int32 // or -1
}

type intSlot struct {
	key   int64
	group int32 // + 1; 0 for a free slot
}

func newIntTable() *intTable {
	return &intTable{slots: make([]intSlot, 64), shift: 64 - 6, nullGroup: -1}
}

// groups sets out to the group of each row of v. New keys are appended to keys, whose
// length is the number of groups; with nil keys they are -1.
func (t *intTable) groups(v *vec.Vector, out []int32, keys *column) {
	if v.Form == vec.Constant && len(out) > 0 {
		one := [1]int32{}
		t.groups(v.Slice(0, 1).Flat(), one[:], keys)
		for i := range out {
			out[i] = one[0]
		}
		return
	}
	v = v.Flat()
	if v.Type.Kind == vec.Unknown {
		for i := range out {
			out[i] = t.null(keys)
		}
		return
	}
	prev := int32(-1)
	for i, x := range v.Ints[:len(out)] {
		switch {
		case v.Nulls != nil && v.Nulls[i]:
			prev = -1
			out[i] = t.null(keys)
			continue
		case prev >= 0 && x == v.Ints[i-1]:
		default:
			prev = t.group(x, keys)
		}
		out[i] = prev
	}
}

func (t *intTable) null(keys *column) int32 {
	if t.nullGroup < 0 && keys != nil {
		t.nullGroup = int32(keys.n)
		keys.appendNulls(1)
	}
	return t.nullGroup
}

func (t *intTable) group(x int64, keys *column) int32 {
	mask := uint64(len(t.slots) - 1)
	s := (uint64(x) * hashMul) >> t.shift
	for ; t.slots[s].group != 0; s = (s + 1) & mask {
		if t.slots[s].key == x {
			return t.slots[s].group - 1
		}
	}
	if keys == nil {
		return -1
	}
	g := int32(keys.n)
	keys.appendInt(x)
	t.slots[s] = intSlot{x, g + 1}
	if t.used++; 2*t.used > len(t.slots) {
		t.grow()
	}
	return g
}

func (t *intTable) grow() {
	old := t.slots
	t.slots = make([]intSlot, 4*len(old))
	t.shift -= 2
	mask := uint64(len(t.slots) - 1)
	for _, slot := range old {
		if slot.group == 0 {
			continue
		}
		s := (uint64(slot.key) * hashMul) >> t.shift
		for t.slots[s].group != 0 {
			s = (s + 1) & mask
		}
		t.slots[s] = slot
	}
}

// appendInt adds a value that is not null to an integer-like column.
func (c *column) appendInt(x int64) {
	c.ints = append(c.ints, x)
	if c.nulls != nil {
		c.nulls = append(c.nulls, false)
	}
	c.n++
}

// resize returns s with length n; its contents are unspecified.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
