package exec

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// Sorting works on one number per row. Each key becomes a number whose order is the key's; what all rows
// have in common (the least value, constant low bits, the first letters of strings) is left out, and
// the numbers of all keys, as far as 64 bits go, are put side by side, first key on top. Rows are
// sorted by that number (see [radix]). Where it says all there is to say, that is the order. Otherwise
// runs of equal numbers are ordered by the keys that were cut off: short runs by comparing, long ones
// as rows of their own, which have more in common.

// sortChunk is how many rows stand in one vector, and are handled between two looks at the context: less than a
// millisecond of work.
const (
	chunkShift = 15
	sortChunk  = 1 << chunkShift
)

// fewRows are sorted by comparing.
const fewRows = 256

// keyVectors is key columns in chunks of sortChunk rows, of which the last may have fewer:
// row r of key k is row r%sortChunk of chunks[r/sortChunk][k].
type keyVectors struct {
	n      int
	chunks [][]*vec.Vector
}

// inChunks cuts vectors of n rows.
func inChunks(keys []*vec.Vector, n int) keyVectors {
	kv := keyVectors{n: n}
	for from := 0; from < n; from += sortChunk {
		kv.chunks = append(kv.chunks, (&vec.Batch{Len: n, Columns: keys}).Slice(from, min(from+sortChunk, n)).Columns)
	}
	return kv
}

func (kv *keyVectors) at(k int, row int32) (*vec.Vector, int) {
	return kv.chunks[row>>chunkShift][k], int(row & (sortChunk - 1))
}

// column returns the chunks of key k.
func (kv *keyVectors) column(k int) []*vec.Vector {
	out := make([]*vec.Vector, len(kv.chunks))
	for c := range out {
		out[c] = kv.chunks[c][k]
	}
	return out
}

// sortBytes is what sorting n rows by keys needs beside them.
func (s *sortSpec) sortBytes(n int) int64 {
	if len(s.desc) > 1 {
		return 44 * int64(n)
	}
	return 36 * int64(n)
}

// sortWorkers is on how many goroutines n rows are worth sorting; most is a limit, or 0.
func sortWorkers(n, most int) int {
	switch {
	case n < manyItems:
		return 1
	case most > 0:
		return most
	}
	return runtime.GOMAXPROCS(0)
}

// order returns the rows 0 to n-1 in order; equal rows keep theirs.
func (s *sortSpec) order(ctx context.Context, keys []*vec.Vector, n int) ([]int32, error) {
	return s.orderChunks(ctx, inChunks(keys, n), sortWorkers(n, 0))
}

// orderChunks is order on so many goroutines.
func (s *sortSpec) orderChunks(ctx context.Context, kv keyVectors, workers int) ([]int32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if kv.n <= fewRows {
		rows := allRows(kv.n)
		slices.SortFunc(rows, s.comparer(&kv, 0))
		return rows, nil
	}
	o := &ordering{ctx: ctx, spec: s, keys: kv, workers: workers}
	if err := o.number(); err != nil {
		return nil, err
	}
	inOrder, err := o.inOrder()
	if err != nil || inOrder {
		return allRows(kv.n), err
	}
	if o.diff != 0 {
		if err := (radix{ctx, o.workers}).sort(o.items, make([]sortItem, kv.n), o.diff); err != nil {
			return nil, err
		}
	}
	if o.left < len(s.desc) {
		if err := o.breakTies(); err != nil {
			return nil, err
		}
	}
	out := make([]int32, kv.n)
	for i, item := range o.items {
		out[i] = item.row
	}
	return out, nil
}

// comparer orders rows by the keys from the given one on, and at last by their place.
func (s *sortSpec) comparer(kv *keyVectors, from int) func(a, b int32) int {
	return func(a, b int32) int {
		for k := from; k < len(s.desc); k++ {
			va, i := kv.at(k, a)
			vb, j := kv.at(k, b)
			if c := s.compareKey(k, va, i, vb, j); c != 0 {
				return c
			}
		}
		return cmp.Compare(a, b)
	}
}

// ordering is the work of orderChunks.
type ordering struct {
	ctx     context.Context
	spec    *sortSpec
	keys    keyVectors
	workers int
	items   []sortItem
	diff    uint64 // the bits in which items may differ
	left    int    // the first key that the numbers do not hold entirely
}

// number sets items.
func (o *ordering) number() error {
	numbers := make([]*keyNumbers, len(o.spec.desc))
	for k := range numbers {
		var err error
		if numbers[k], err = o.describe(k); err != nil {
			return err
		}
	}
	room := 64
	o.left = len(numbers)
	for k, x := range numbers {
		x.place(room)
		room -= x.taken
		if x.cut || !x.exact {
			o.left = k
			numbers = numbers[:k+1]
			break
		}
	}
	if taken := 64 - room; taken > 0 {
		o.diff = math.MaxUint64 << room
	}
	o.items = make([]sortItem, o.keys.n)
	return inParallel(o.ctx, o.workers, len(o.keys.chunks), func(c int) error {
		items := o.items[c<<chunkShift:]
		items = items[:min(sortChunk, len(items))]
		vals, nums := make([]uint64, len(items)), make([]uint64, len(items))
		for k, x := range numbers {
			if x.taken > 0 {
				x.add(nums, o.keys.chunks[c][k], vals)
			}
		}
		for i, num := range nums {
			items[i] = sortItem{num, int32(c<<chunkShift + i)}
		}
		return nil
	})
}

// inOrder reports whether the rows are in order as they stand, as those of a table often are.
func (o *ordering) inOrder() (bool, error) {
	compare := o.spec.comparer(&o.keys, o.left)
	for i := 1; i < len(o.items); i++ {
		if i%sortChunk == 0 {
			if err := o.ctx.Err(); err != nil {
				return false, err
			}
		}
		a, b := o.items[i-1].val, o.items[i].val
		if a > b || a == b && o.left < len(o.spec.desc) && compare(int32(i-1), int32(i)) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// describe finds out what the numbers of a key have in common.
func (o *ordering) describe(k int) (*keyNumbers, error) {
	x := &keyNumbers{desc: o.spec.desc[k], first: o.spec.first[k], exact: true}
	column := o.keys.column(k)
	if column[0].Type.Kind.Storage() == vec.StoreStrs {
		if err := x.prepareStrings(o.ctx, column, o.keys.n); err != nil {
			return nil, err
		}
	}
	seen := make([]commonBits, len(column))
	err := inParallel(o.ctx, o.workers, len(column), func(c int) error {
		seen[c] = x.inspect(column[c])
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := noBits
	for _, s := range seen {
		all.join(s)
	}
	x.exact = x.exact && !all.inexact
	x.nulls = all.nulls
	x.base = all.least
	if all.least < all.most {
		x.low = bits.TrailingZeros64(all.some ^ all.all)
		x.width = bits.Len64((all.most - all.least) >> x.low)
	}
	return x, nil
}

// commonBits is what the numbers of some rows, without the null ones, have in common.
type commonBits struct {
	least, most uint64
	some, all   uint64 // bits set in some, in all
	nulls       bool
	inexact     bool // equal numbers do not mean equal keys
}

var noBits = commonBits{least: math.MaxUint64, all: math.MaxUint64}

func (c *commonBits) join(d commonBits) {
	c.nulls, c.inexact = c.nulls || d.nulls, c.inexact || d.inexact
	if d.least > d.most {
		return // no values
	}
	if c.least > c.most {
		c.least, c.most, c.some, c.all = d.least, d.most, d.some, d.all
		return
	}
	c.least, c.most, c.some, c.all = min(c.least, d.least), max(c.most, d.most), c.some|d.some, c.all&d.all
}

// keyNumbers makes the numbers of one key.
type keyNumbers struct {
	desc, first bool
	exact       bool // equal numbers mean equal keys
	nulls       bool // there are some: they take a bit above the rest

	// Strings: either all are entries of dictionaries, whose ranks are known, or they are cut after skip
	// bytes that all have in common.
	ranks map[*vec.Vector][]uint64
	skip  int

	base  uint64 // the least number
	low   int    // low bits that are the same in all
	width int    // bits of (number - base) >> low

	taken int  // bits in the item
	shift int  // where they begin
	cut   bool // they are not all
}

// place decides which bits the key gets of the room lowest of an item.
func (x *keyNumbers) place(room int) {
	need := x.width
	if x.nulls {
		need++
	}
	x.taken = min(need, room)
	x.shift = room - x.taken
	x.cut = x.taken < need
}

// add puts the numbers of v where they belong in nums; vals is scratch. Both have a number per row.
func (x *keyNumbers) add(nums []uint64, v *vec.Vector, vals []uint64) {
	x.numbers(v, vals)
	lost := 0
	if x.cut {
		lost = x.width - x.taken
	}
	if !x.nulls {
		for i, val := range vals {
			nums[i] |= (val - x.base) >> x.low >> lost << x.shift
		}
		return
	}
	if x.cut {
		lost++
	}
	nullBit, otherBit := uint64(1)<<(x.shift+x.taken-1), uint64(0)
	if x.first {
		nullBit, otherBit = otherBit, nullBit
	}
	for i, val := range vals {
		if v.IsNull(i) {
			nums[i] |= nullBit
		} else {
			nums[i] |= (val-x.base)>>x.low>>lost<<x.shift | otherBit
		}
	}
}

// inspect describes a chunk.
func (x *keyNumbers) inspect(v *vec.Vector) commonBits {
	c := noBits
	c.most = 0
	vals := make([]uint64, v.Len())
	c.inexact = !x.numbers(v, vals)
	if !v.HasNulls() {
		for _, val := range vals {
			c.least, c.most, c.some, c.all = min(c.least, val), max(c.most, val), c.some|val, c.all&val
		}
		return c
	}
	for i, val := range vals {
		if v.IsNull(i) {
			c.nulls = true
			continue
		}
		c.least, c.most, c.some, c.all = min(c.least, val), max(c.most, val), c.some|val, c.all&val
	}
	return c
}

// numbers sets vals to the number of each row of v; those of nulls are unspecified. It reports whether
// equal numbers mean equal values.
func (x *keyNumbers) numbers(v *vec.Vector, vals []uint64) (exact bool) {
	switch v.Form {
	case vec.Constant:
		var one [1]uint64
		exact = x.slots(v.Slice(0, 1).Flat(), one[:])
		for i := range vals {
			vals[i] = one[0]
		}
		return exact
	case vec.Dictionary:
		if ranks, ok := x.ranks[v.Dict]; ok {
			for i, at := range v.Index {
				vals[i] = ranks[at]
			}
			return true
		}
		if v.Dict.Len() > 2*len(vals) {
			return x.slots(v.Flat(), vals)
		}
		entries := make([]uint64, v.Dict.Len())
		exact = x.slots(v.Dict.Flat(), entries)
		for i, at := range v.Index {
			vals[i] = entries[at]
		}
		return exact
	}
	return x.slots(v, vals)
}

// slots is numbers of a flat vector.
func (x *keyNumbers) slots(v *vec.Vector, vals []uint64) (exact bool) {
	exact = true
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		for i, n := range v.Ints[:len(vals)] {
			vals[i] = uint64(n) ^ 1<<63
		}
	case vec.StoreFloats:
		for i, f := range v.Floats[:len(vals)] {
			vals[i] = floatOrder(f)
		}
	case vec.StoreBools:
		for i, b := range v.Bools[:len(vals)] {
			vals[i] = 0
			if b {
				vals[i] = 1
			}
		}
	case vec.StoreStrs:
		for i, s := range v.Strs[:len(vals)] {
			if v.Nulls != nil && v.Nulls[i] {
				continue
			}
			var all bool
			vals[i], all = stringOrder(s[x.skip:])
			exact = exact && all
		}
	case vec.StoreNone:
	default:
		clear(vals) // the values decide
		return false
	}
	if x.desc {
		for i := range vals {
			vals[i] = ^vals[i]
		}
	}
	return exact
}

// mostRanks is how many entries of dictionaries are ranked at most, which takes some milliseconds.
const mostRanks = 1 << 14

// prepareStrings ranks the strings of a key if they are entries of dictionaries, and fewer than rows;
// otherwise it finds the bytes they all begin with.
func (x *keyNumbers) prepareStrings(ctx context.Context, column []*vec.Vector, n int) (err error) {
	dicts := map[*vec.Vector]bool{}
	entries := 0
	for _, v := range column {
		if v.Form != vec.Dictionary || v.Dict.Form != vec.Flat {
			entries = n + 1
			break
		}
		if !dicts[v.Dict] {
			dicts[v.Dict] = true
			entries += v.Dict.Len()
		}
	}
	if entries <= min(n, mostRanks) {
		x.rank(dicts, entries)
		return nil
	}
	x.skip, err = commonPrefix(ctx, column)
	return err
}

// rank numbers the entries of dictionaries by their order.
func (x *keyNumbers) rank(dicts map[*vec.Vector]bool, n int) {
	type entry struct {
		text string
		dict *vec.Vector
		at   int
	}
	all := make([]entry, 0, n)
	x.ranks = make(map[*vec.Vector][]uint64, len(dicts))
	for d := range dicts {
		x.ranks[d] = make([]uint64, d.Len())
		for i, s := range d.Strs {
			all = append(all, entry{s, d, i})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.text, b.text) })
	rank := uint64(0)
	for i, e := range all {
		if i > 0 && all[i-1].text != e.text {
			rank++
		}
		val := rank
		if x.desc {
			val = ^rank
		}
		x.ranks[e.dict][e.at] = val
	}
}

// commonPrefix returns how many bytes all strings that are not null begin with.
func commonPrefix(ctx context.Context, column []*vec.Vector) (int, error) {
	first, have := "", false
	for _, v := range column {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		take := func(u *vec.Vector) {
			for i, s := range u.Strs {
				switch {
				case u.Nulls != nil && u.Nulls[i]:
				case !have:
					first, have = s, true
				case !strings.HasPrefix(s, first):
					n := 0
					for n < len(s) && n < len(first) && s[n] == first[n] {
						n++
					}
					first = first[:n]
				}
			}
		}
		switch {
		case v.Form == vec.Constant:
			take(v.Slice(0, 1).Flat())
		case v.Form == vec.Dictionary && v.Dict.Len() <= 2*v.Len():
			take(v.Dict.Flat())
		default:
			take(v.Flat())
		}
		if have && first == "" {
			break
		}
	}
	return len(first), nil
}

// floatOrder maps doubles to numbers of the same order, NaN last and -0.0 as 0.0.
func floatOrder(f float64) uint64 {
	switch {
	case f != f:
		return math.MaxUint64
	case f == 0:
		return 1 << 63
	}
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// stringOrder maps strings to numbers of the same order: seven bytes, then the length up to 8, which
// tells a string from one with zeros behind it. exact reports that there is no eighth byte.
func stringOrder(s string) (val uint64, exact bool) {
	if len(s) >= 8 {
		b := s[:8]
		val = uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 | uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8
		return val | 8, false
	}
	for i := range len(s) {
		val |= uint64(s[i]) << (56 - 8*i)
	}
	return val | uint64(len(s)), true
}

// breakTies orders runs of items with equal numbers by the keys from left on.
func (o *ordering) breakTies() error {
	var runs [][2]int
	tied := 0
	for from := 0; from < len(o.items); {
		to := from + 1
		for to < len(o.items) && o.items[to].val == o.items[from].val {
			to++
		}
		if to-from > 1 {
			runs = append(runs, [2]int{from, to})
			tied += to - from
		}
		from = to
	}
	var t *tieNumbers
	if tied > len(o.items)/16 {
		var err error
		if t, err = o.tieNumbers(); err != nil {
			return err
		}
	}
	const together = 64
	compare := o.spec.comparer(&o.keys, o.left)
	return inParallel(o.ctx, o.workers, (len(runs)+together-1)/together, func(i int) error {
		for _, run := range runs[i*together : min((i+1)*together, len(runs))] {
			items := o.items[run[0]:run[1]]
			switch {
			case len(items) > fewRows:
				if err := o.orderRun(items); err != nil {
					return err
				}
			case t != nil:
				t.order(items)
			default:
				slices.SortFunc(items, func(a, b sortItem) int { return compare(a.row, b.row) })
			}
		}
		return nil
	})
}

// tieNumbers is the numbers of the first key that items do not hold entirely, for all rows. Comparing them first is
// much quicker than comparing values.
type tieNumbers struct {
	nums    []uint64
	done    bool // they decide
	compare func(a, b int32) int
}

// tieNumbers returns nil if the key has no such numbers.
func (o *ordering) tieNumbers() (*tieNumbers, error) {
	x, err := o.describe(o.left)
	if err != nil {
		return nil, err
	}
	if x.place(64); x.taken == 0 || x.cut {
		return nil, nil
	}
	t := &tieNumbers{nums: make([]uint64, o.keys.n), compare: o.spec.comparer(&o.keys, o.left)}
	if x.exact {
		t.compare = o.spec.comparer(&o.keys, o.left+1)
		t.done = o.left+1 == len(o.spec.desc)
	}
	return t, inParallel(o.ctx, o.workers, len(o.keys.chunks), func(c int) error {
		nums := t.nums[c<<chunkShift:]
		nums = nums[:min(sortChunk, len(nums))]
		x.add(nums, o.keys.chunks[c][o.left], make([]uint64, len(nums)))
		return nil
	})
}

// order sorts a short run.
func (t *tieNumbers) order(items []sortItem) {
	for i := range items {
		items[i].val = t.nums[items[i].row]
	}
	slices.SortFunc(items, func(a, b sortItem) int {
		switch {
		case a.val < b.val:
			return -1
		case a.val > b.val:
			return 1
		case t.done:
			return cmp.Compare(a.row, b.row)
		}
		return t.compare(a.row, b.row)
	})
}

// orderRun orders a long run as rows of their own.
func (o *ordering) orderRun(items []sortItem) error {
	rows := make([]int32, len(items))
	for i, item := range items {
		rows[i] = item.row
	}
	if o.keys.chunks[0][o.left].Type.Kind.Storage() == vec.StoreNested {
		// They have nothing more in common than before.
		sorted, err := mergeSort(o.ctx, rows, o.spec.comparer(&o.keys, o.left))
		for i, r := range sorted {
			items[i].row = r
		}
		return err
	}
	rest := &sortSpec{desc: o.spec.desc[o.left:], first: o.spec.first[o.left:]}
	keys := make([]*vec.Vector, len(rest.desc))
	for k := range keys {
		v, err := gatherChunks(o.ctx, o.keys.column(o.left+k), rows)
		if err != nil {
			return err
		}
		keys[k] = v.Flat() // a dictionary may hold more than these rows do
	}
	order, err := rest.order(o.ctx, keys, len(rows))
	if err != nil {
		return err
	}
	for i, r := range order {
		items[i].row = rows[r]
	}
	return nil
}

// gatherChunks returns the given rows of a column in chunks of sortChunk rows.
func gatherChunks(ctx context.Context, chunks []*vec.Vector, rows []int32) (*vec.Vector, error) {
	c := newColumn(chunks[0].Type)
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// Rows come in runs of the same chunk as a rule: ties keep their order.
		at, n := rows[0]>>chunkShift, 1
		for n < len(rows) && rows[n]>>chunkShift == at {
			n++
		}
		local := make([]int32, n)
		for i, r := range rows[:n] {
			local[i] = r & (sortChunk - 1)
		}
		c.append(chunks[at].Gather(local))
		rows = rows[n:]
	}
	return c.vector(), nil
}

// mergeSort sorts rows by comparing, in chunks that are merged.
func mergeSort(ctx context.Context, rows []int32, compare func(a, b int32) int) ([]int32, error) {
	const chunk = 1 << 12
	for from := 0; from < len(rows); from += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		slices.SortFunc(rows[from:min(from+chunk, len(rows))], compare)
	}
	spare := make([]int32, len(rows))
	for width := chunk; width < len(rows); width *= 2 {
		out := spare[:0]
		for from := 0; from < len(rows); from += 2 * width {
			a := rows[from:min(from+width, len(rows))]
			b := rows[min(from+width, len(rows)):min(from+2*width, len(rows))]
			for len(a) > 0 && len(b) > 0 {
				if len(out)%chunk == 0 && ctx.Err() != nil {
					return nil, ctx.Err()
				}
				if compare(b[0], a[0]) < 0 {
					out, b = append(out, b[0]), b[1:]
				} else {
					out, a = append(out, a[0]), a[1:]
				}
			}
			out = append(append(out, a...), b...)
		}
		rows, spare = out, rows
	}
	return rows, nil
}
