package exec

import (
	"math"
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// hashMul spreads a hash over the top bits, which index a table.
const hashMul = 0x9E3779B97F4A7C15

// hashKeys sets h[i] to the hash of row i of the keys: equal keys have equal hashes, in every table. The upper
// bits of a hash are as good as the lower ones.
func hashKeys(keys []*vec.Vector, n int, h []uint64) []uint64 {
	h = resize(h, n)
	for i := range h {
		h[i] = vec.HashSeed
	}
	for _, v := range keys {
		v.Hash(h)
	}
	for i := range h {
		h[i] *= hashMul
	}
	return h
}

// hashNear is hashKeys for whole numbers that lie close together. All numbers whose hashes begin with the same
// partitionBits bits differ in what is above their own lowest partitionBits bits: so those of a part
// lie close together again, see [groupTable.step].
func hashNear(v *vec.Vector, n int, h []uint64) []uint64 {
	h = resize(h, n)
	v = v.Flat()
	for i, x := range v.Ints[:n] {
		w := uint64(x)
		if v.Nulls != nil && v.Nulls[i] {
			w = 0
		}
		part := w ^ w>>24
		part ^= part >> 12
		part ^= part >> 6
		h[i] = part<<(64-partitionBits) | w*hashMul>>partitionBits
	}
	return h
}

// groupTable numbers distinct keys from 0 in order of first appearance.
//
// Rows mostly come in series order, where a key repeats over a run of rows: a row whose words (see
// keyLayout) are those of the row before costs a comparison. Others are looked up in a flat table:
//
//   - a single word in an array of groups, dense, while the words lie close together, as codes and many whole
//     numbers do; otherwise in slots. A table goes from one to the other as its words come in;
//   - several words by their hash, which leads to the words.
type groupTable struct {
	layout keyLayout
	texts  []*textTable // per key; nil for those without codes
	exact  []*column    // per key: the values as they came, of doubles and nested ones; else nil
	n      int
	words  []uint64 // of the groups, width each

	dense     []int32    // of one word: by its distance from base, group + 1 or 0
	base      uint64     // word of dense[0]
	step      uint       // dense has an entry for every 2^step words: they all differ in what is above their lowest step bits
	wholes    bool       // the only key is wide and not a double
	slots     []wordSlot // of one word, in place of dense
	expected  int        // groups, see reserve
	spread    int        // groups that are expected in the room of dense, see makeRoom
	hashed    []uint64   // of several words: upper half of the hash, then group + 1, or 0
	shift     uint       // 64 - log2 of the slots
	nullGroup int32      // of a single wide key, or -1

	reader keyReader
	look   *keyReader // of lookup; nil once the table has changed
	fresh  []int32    // rows of the batch in hand that made a group
	heads  int64      // rows looked up: unlike the row before

	ended func() bool // see endBy
}

// endBy tells the table how to know that nobody wants it any more: moving millions of groups takes long. Then it may lose groups;
// see [run.ended] for why nobody sees that.
func (t *groupTable) endBy(ended func() bool) *groupTable {
	t.ended = ended
	for _, texts := range t.texts {
		if texts != nil {
			texts.ended = ended
		}
	}
	return t
}

// roomier returns words with room for more: as append does, but a copy of a hundred megabytes ends with the query.
func roomier(words []uint64, ended func() bool) []uint64 {
	const stride = 1 << 18 // 2 MiB
	if len(words) < stride {
		return slices.Grow(words, 64)
	}
	out := make([]uint64, len(words), len(words)+len(words)/2)
	for from := 0; from < len(words) && (ended == nil || !ended()); from += stride {
		copy(out[from:], words[from:min(from+stride, len(words))])
	}
	return out
}

// moved is how many groups or slots of a table are moved between two looks at whether the query has ended: a few milliseconds
// of misses in the caches.
const moved = 1 << 14

// endsAt reports, at some of the entries that a loop passes, whether the query has ended.
func endsAt(i int, ended func() bool) bool { return i%moved == 0 && ended != nil && ended() }

type wordSlot struct {
	word  uint64
	group int32 // + 1; 0 for a free slot
}

func newGroupTable(types []vec.Type) *groupTable {
	t := &groupTable{layout: newKeyLayout(types), nullGroup: -1, shift: 64 - 6}
	t.texts, t.exact = make([]*textTable, len(types)), make([]*column, len(types))
	for i, p := range t.layout.parts {
		s := p.t.Kind.Storage()
		if s == vec.StoreStrs || s == vec.StoreNested {
			t.texts[i] = newTextTable()
		}
		if s == vec.StoreFloats || s == vec.StoreNested {
			t.exact[i] = newColumn(p.t)
		}
	}
	switch {
	case t.layout.width > 1:
		t.hashed = make([]uint64, 64)
	case len(types) == 1 && t.layout.parts[0].wide && t.layout.parts[0].t.Kind.Storage() == vec.StoreInts:
		t.wholes = true
	case len(types) != 1 || t.layout.parts[0].wide:
		t.slots = make([]wordSlot, 64)
	}
	t.reader.layout = &t.layout
	return t
}

// len returns the number of groups.
func (t *groupTable) len() int { return t.n }

// assign returns the group of each of n rows, making new ones as needed, in out if that is large enough.
func (t *groupTable) assign(keys []*vec.Vector, n int, out []int32) []int32 {
	out = resize(out, n)
	if n == 0 {
		return out
	}
	t.look = nil
	t.fresh = t.fresh[:0]
	if allConstant(keys) {
		t.read(&t.reader, keys, 1, true)
		t.find(&t.reader, out[:1], true)
		fill(out[1:], out[0])
	} else {
		t.read(&t.reader, keys, n, true)
		t.find(&t.reader, out, true)
	}
	if len(t.fresh) > 0 {
		for i, c := range t.exact {
			if c != nil {
				c.appendRows(keys[i], t.fresh)
			}
		}
	}
	return out
}

// reserve makes room for so many groups.
func (t *groupTable) reserve(n int) {
	bits := uint(6)
	for 5<<bits < 8*n {
		bits++
	}
	if n <= t.n || 64-bits >= t.shift {
		return
	}
	t.expected = n
	switch {
	case t.slots != nil && t.condense(n):
	case t.slots != nil:
		t.resizeWords(bits)
	case t.hashed != nil:
		t.resizeHashed(bits)
	}
	t.words = append(make([]uint64, 0, n*t.layout.width), t.words...)
	if t.slots == nil && t.hashed == nil && len(t.texts) == 1 && t.texts[0] != nil { // the texts are the keys
		t.texts[0].reserve(n)
	}
}

// lookup returns the group of each of n rows, or -1.
func (t *groupTable) lookup(keys []*vec.Vector, n int, out []int32) []int32 {
	if t.look == nil {
		t.look = &keyReader{layout: &t.layout}
	}
	return t.lookupWith(t.look, keys, n, out)
}

// lookupWith is lookup with a reader of the caller's: such calls may be concurrent. The reader must not be
// older than the last change of the table.
func (t *groupTable) lookupWith(r *keyReader, keys []*vec.Vector, n int, out []int32) []int32 {
	out = resize(out, n)
	switch {
	case n == 0:
	case allConstant(keys):
		t.read(r, keys, 1, false)
		t.find(r, out[:1], false)
		fill(out[1:], out[0])
	default:
		t.read(r, keys, n, false)
		t.find(r, out, false)
	}
	return out
}

func (t *groupTable) read(r *keyReader, keys []*vec.Vector, n int, insert bool) {
	r.read(t.texts, keys, n, insert)
}

func allConstant(keys []*vec.Vector) bool {
	for _, v := range keys {
		if v.Form != vec.Constant {
			return false
		}
	}
	return true
}

func fill[T any](s []T, x T) {
	for i := range s {
		s[i] = x
	}
}

// find sets out to the groups of the rows that r has read.
func (t *groupTable) find(r *keyReader, out []int32, insert bool) {
	if t.hashed != nil {
		t.findHashed(r, out, insert)
		return
	}
	for from := 0; from < len(out); {
		if t.slots != nil {
			from = t.findWords(r, out, from, insert)
		} else {
			from = t.findDense(r, out, from, insert)
		}
	}
}

// findDense looks rows from on up in the array. It returns the first row that it left: the words are too
// far apart, and there are slots now.
func (t *groupTable) findDense(r *keyReader, out []int32, from int, insert bool) int {
	words, nulls := r.words[:len(out)], r.nulls
	dense, base, step := t.dense, t.base, t.step&63
	heads, last := 0, ^words[from]
	for i := from; i < len(out); i++ {
		w := words[i]
		if w != last {
			heads++
		}
		last = w
		if nulls != nil && nulls[i] {
			out[i] = t.null(i, insert)
			continue
		}
		at := (w - base) >> step
		if at < uint64(len(dense)) && dense[at] > 0 {
			out[i] = dense[at] - 1
			continue
		}
		if !insert {
			out[i] = -1
			continue
		}
		if at >= uint64(len(dense)) {
			if !t.widen(w) {
				t.heads += int64(heads)
				return i
			}
			dense, base = t.dense, t.base
		}
		out[i] = t.add(words[i:i+1], i)
		dense[(w-base)>>step] = out[i] + 1
	}
	if insert {
		t.heads += int64(heads)
	}
	return len(out)
}

// Words are close together if there are no more than 2^13 numbers from the least to the most (32 KiB, what a
// first-level cache holds), or eight for each group. A slot takes 16 bytes and is at most 5/8 full,
// an entry of the array four; and a look-up in the array has nothing to compare or to guess.
const (
	closeAlways = 1 << 13
	closeShare  = 8
)

// close reports whether an array of least to most is as good for n groups as slots are.
func (t *groupTable) close(least, most int64, n int) bool {
	return t.wholes && least <= most && (uint64(most)-uint64(least))>>t.step < uint64(max(closeAlways, closeShare*n))
}

// bounds returns the least and the greatest word, null's apart; of no words the greatest is below the least.
func (t *groupTable) bounds() (least, most int64) {
	least, most = math.MaxInt64, math.MinInt64
	for g, w := range t.words {
		if int32(g) != t.nullGroup {
			least, most = min(least, int64(w)), max(most, int64(w))
		}
	}
	return least, most
}

// condense makes an array in place of slots, if n groups are worth it.
func (t *groupTable) condense(n int) bool {
	if !t.wholes {
		return false
	}
	least, most := t.bounds()
	return t.makeRoom(least, most, n)
}

// makeRoom makes an array for least to most, if n groups are worth it.
func (t *groupTable) makeRoom(least, most int64, n int) bool {
	if !t.close(least, most, n) {
		return false
	}
	t.spread = n
	t.makeDense(least, most, false)
	if cap(t.words) < n {
		t.words = append(make([]uint64, 0, n), t.words...)
	}
	return true
}

// widen makes room for word w in the array. It returns false, and makes slots, if that is too far away.
func (t *groupTable) widen(w uint64) bool {
	if !t.wholes { // codes, from 0 on
		t.dense = append(t.dense, make([]int32, max(int(w)+1-len(t.dense), len(t.dense), 16))...)
		return true
	}
	least, most := t.bounds()
	down := int64(w) < least && t.n > 0
	if least, most = min(least, int64(w)), max(most, int64(w)); t.close(least, most, max(t.n, t.spread)) {
		t.makeDense(least, most, down)
		return true
	}
	t.dense = nil
	bits := uint(6)
	for 5<<bits < 8*max(t.n+1, t.expected) {
		bits++
	}
	t.resizeWords(bits)
	return false
}

// makeDense makes an array of least to most, and as much again below or above, in place of the array or
// slots there are.
func (t *groupTable) makeDense(least, most int64, below bool) {
	t.base = uint64(least) &^ (1<<t.step - 1)
	span := (uint64(most)-t.base)>>t.step + 1
	room := max(span, 64)
	if below {
		t.base -= room << t.step
	}
	t.dense, t.slots = make([]int32, span+room), nil
	for g, w := range t.words {
		if endsAt(g, t.ended) {
			return
		}
		if int32(g) != t.nullGroup {
			t.dense[(w-t.base)>>t.step] = int32(g) + 1
		}
	}
}

// add makes a group of row i of the batch.
func (t *groupTable) add(words []uint64, i int) int32 {
	g := int32(t.n)
	t.n++
	if len(t.words)+len(words) > cap(t.words) {
		t.words = roomier(t.words, t.ended)
	}
	t.words = append(t.words, words...)
	t.fresh = append(t.fresh, int32(i))
	return g
}

// findWords looks rows from on up in the slots. It returns the first row that it left: words turned out to be
// close together, and there is an array now.
func (t *groupTable) findWords(r *keyReader, out []int32, from int, insert bool) int {
	words := r.words[:len(out)]
	slots, shift, mask := t.slots, t.shift, uint64(len(t.slots)-1)
	last, lastGroup := uint64(0), int32(-1)
	heads := 0
	for i := from; i < len(words); i++ {
		w := words[i]
		if i%touchRows == 0 && len(slots) >= largeTable {
			r.touched += touch(slots, shift, words[i:min(i+touchRows, len(words))])
		}
		if w == last && lastGroup >= 0 && r.nulls == nil {
			out[i] = lastGroup
			continue
		}
		heads++
		if r.nulls != nil && r.nulls[i] {
			out[i] = t.null(i, insert)
			continue
		}
		at := w * hashMul >> shift
		slot := slots[at]
		for slot.group != 0 && slot.word != w {
			at = (at + 1) & mask
			slot = slots[at]
		}
		g := slot.group - 1
		if g < 0 && insert {
			g = t.add(words[i:i+1], i)
			slots[at] = wordSlot{w, g + 1}
			if 8*t.n > 5*len(slots) {
				if t.condense(t.n) {
					out[i] = g
					t.heads += int64(heads)
					return i + 1
				}
				t.resizeWords(64 - t.shift + 1)
				slots, shift, mask = t.slots, t.shift, uint64(len(t.slots)-1)
			}
		}
		out[i] = g
		last, lastGroup = w, g
	}
	if insert {
		t.heads += int64(heads)
	}
	return len(out)
}

// null returns the group of null, of a single wide key.
func (t *groupTable) null(i int, insert bool) int32 {
	if t.nullGroup < 0 && insert {
		t.nullGroup = int32(t.n)
		t.n++
		t.words = append(t.words, 0)
		t.fresh = append(t.fresh, int32(i))
	}
	return t.nullGroup
}

// resizeWords makes 2^bits slots.
func (t *groupTable) resizeWords(bits uint) {
	t.slots, t.shift = make([]wordSlot, 1<<bits), 64-bits
	mask := uint64(len(t.slots) - 1)
	for g, w := range t.words {
		if endsAt(g, t.ended) {
			return
		}
		if int32(g) == t.nullGroup {
			continue
		}
		at := w * hashMul >> t.shift
		for t.slots[at].group != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = wordSlot{w, int32(g) + 1}
	}
}

// largeTable is how many slots a core's caches do not hold, so that every look-up is a miss.
const largeTable = 1 << 15

// touchRows is how many rows are looked up together.
const touchRows = 32

// touch loads the slots of some words. A core waits for several such loads at a time, but not across the
// branches of a look-up. The sum keeps the loads from being left out.
func touch(slots []wordSlot, shift uint, words []uint64) (sum uint64) {
	for _, w := range words {
		sum += slots[w*hashMul>>shift].word
	}
	return sum
}

func (t *groupTable) findHashed(r *keyReader, out []int32, insert bool) {
	if t.layout.width == 2 {
		t.findPairs(r, out, insert)
		return
	}
	w := t.layout.width
	heads := 0
	for i := range out {
		row := r.words[i*w : (i+1)*w]
		if i > 0 && equalWords(row, r.words[(i-1)*w:i*w]) {
			out[i] = out[i-1]
			continue
		}
		heads++
		h := mixWords(row)
		tag := h &^ math.MaxUint32
		mask := uint64(len(t.hashed) - 1)
		at := h >> t.shift
		g := int32(-1)
		for ; t.hashed[at] != 0; at = (at + 1) & mask {
			if slot := t.hashed[at]; slot&^math.MaxUint32 == tag {
				k := int(uint32(slot)) - 1
				if equalWords(row, t.words[k*w:(k+1)*w]) {
					g = int32(k)
					break
				}
			}
		}
		if g < 0 && insert {
			g = t.insertHashed(row, i, at, tag)
		}
		out[i] = g
	}
	if insert {
		t.heads += int64(heads)
	}
}

// findPairs is findHashed for two words, which two keys mostly are.
func (t *groupTable) findPairs(r *keyReader, out []int32, insert bool) {
	words := r.words[:2*len(out)]
	heads := 0
	lastX, lastY, last := uint64(0), uint64(0), int32(-2)
	for i := range out {
		x, y := words[2*i], words[2*i+1]
		if x == lastX && y == lastY && last != -2 {
			out[i] = last
			continue
		}
		heads++
		h := mixWords(words[2*i : 2*i+2])
		tag := h &^ math.MaxUint32
		mask := uint64(len(t.hashed) - 1)
		at := h >> t.shift
		g := int32(-1)
		for ; t.hashed[at] != 0; at = (at + 1) & mask {
			if slot := t.hashed[at]; slot&^math.MaxUint32 == tag {
				k := int(uint32(slot)) - 1
				if t.words[2*k] == x && t.words[2*k+1] == y {
					g = int32(k)
					break
				}
			}
		}
		if g < 0 && insert {
			g = t.insertHashed(words[2*i:2*i+2], i, at, tag)
		}
		out[i] = g
		lastX, lastY, last = x, y, g
	}
	if insert {
		t.heads += int64(heads)
	}
}

func equalWords(a, b []uint64) bool {
	for i, x := range a {
		if x != b[i] {
			return false
		}
	}
	return true
}

// insertHashed makes a group of row i at a free slot.
func (t *groupTable) insertHashed(row []uint64, i int, at, tag uint64) int32 {
	g := t.add(row, i)
	t.hashed[at] = tag | uint64(g+1)
	if 8*t.n <= 5*len(t.hashed) {
		return g
	}
	t.resizeHashed(64 - t.shift + 1)
	return g
}

// resizeHashed makes 2^bits slots.
func (t *groupTable) resizeHashed(bits uint) {
	old := t.hashed
	t.hashed, t.shift = make([]uint64, 1<<bits), 64-bits
	mask := uint64(len(t.hashed) - 1)
	for i, slot := range old {
		if endsAt(i, t.ended) {
			return
		}
		if slot == 0 {
			continue
		}
		at := slot >> t.shift
		for t.hashed[at] != 0 {
			at = (at + 1) & mask
		}
		t.hashed[at] = slot
	}
}

// columns returns the keys of all groups, in group order. The table may grow meanwhile.
func (t *groupTable) columns() []*vec.Vector {
	out := make([]*vec.Vector, len(t.layout.parts))
	for i := range out {
		out[i] = t.column(i)
	}
	return out
}

func (t *groupTable) column(key int) *vec.Vector {
	p := &t.layout.parts[key]
	w := t.layout.width
	if c := t.exact[key]; c != nil {
		return c.vector()
	}
	if !p.wide {
		return t.codeColumn(key)
	}
	ints := make([]int64, t.n)
	for g := range ints {
		ints[g] = int64(t.words[g*w+p.word])
	}
	var nulls []bool
	if p.flag >= 0 {
		for g := range ints {
			if t.words[g*w+p.flag]>>p.bit&1 != 0 {
				if nulls == nil {
					nulls = make([]bool, t.n)
				}
				nulls[g] = true
			}
		}
	} else if t.nullGroup >= 0 {
		nulls = make([]bool, t.n)
		nulls[t.nullGroup] = true
	}
	return vec.OfInts(p.t, ints, nulls)
}

// codeColumn returns a key of booleans or texts. Where texts repeat it is a dictionary.
func (t *groupTable) codeColumn(key int) *vec.Vector {
	p := &t.layout.parts[key]
	w := t.layout.width
	codes := make([]int32, t.n)
	var nulls []bool
	for g := range codes {
		codes[g] = int32(uint32(t.words[g*w+p.word] >> p.shift))
		if codes[g] == 0 {
			if nulls == nil {
				nulls = make([]bool, t.n)
			}
			nulls[g] = true
		}
	}
	switch p.t.Kind.Storage() {
	case vec.StoreNone:
		return vec.NullsOf(p.t, t.n)
	case vec.StoreBools:
		bools := make([]bool, t.n)
		for g, c := range codes {
			bools[g] = c == 2
		}
		return vec.OfBools(bools, nulls)
	}
	texts := t.texts[key].texts()
	if len(t.layout.parts) == 1 {
		return vec.OfStrs(gather(texts, codes), nulls).Retype(p.t)
	}
	var none []bool
	if nulls != nil {
		none = make([]bool, len(texts))
		none[0] = true
	}
	return vec.OfDict(codes, vec.OfStrs(texts[:len(texts):len(texts)], none).Retype(p.t))
}

func (t *groupTable) sizeBytes() int64 {
	size := 8*int64(cap(t.words)+cap(t.hashed)) + 16*int64(cap(t.slots)) + 4*int64(cap(t.dense)+cap(t.fresh)) + t.reader.sizeBytes()
	for i := range t.texts {
		if t.texts[i] != nil {
			size += t.texts[i].sizeBytes()
		}
		if t.exact[i] != nil {
			size += t.exact[i].sizeBytes()
		}
	}
	return size
}

// resize returns s with length n; its contents are unspecified.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
