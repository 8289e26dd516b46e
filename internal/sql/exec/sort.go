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
//
// Many rows are dealt into buckets by the leading bits of their numbers first, see buckets.go.

// sortChunk is how many rows stand in one vector, and are handled between two looks at the context: less than a
// millisecond of work.
const (
	chunkShift = 15
	sortChunk  = 1 << chunkShift
)

// fewRows are sorted by comparing.
const fewRows = 256

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
	if n <= fewRows {
		rows := allRows(n)
		slices.SortFunc(rows, func(a, b int32) int {
			return cmp.Or(s.compare(keys, int(a), keys, int(b)), cmp.Compare(a, b))
		})
		return rows, ctx.Err()
	}
	types := make([]vec.Type, len(keys))
	for k, v := range keys {
		types[k] = v.Type
	}
	store := newRowStore(types)
	store.append(&vec.Batch{Len: n, Columns: keys})
	return s.orderStore(ctx, store, firstInts(len(keys)), sortWorkers(n, 0))
}

// orderStore is order for rows of a store, whose columns at are the keys, on so many goroutines.
func (s *sortSpec) orderStore(ctx context.Context, store *rowStore, at []int, workers int) ([]int32, error) {
	o := newOrdering(ctx, s, store, at, workers)
	if err := o.prepare(); err != nil {
		return nil, err
	}
	return o.sorted(store.all(), workers)
}

// ordering is the work of a sort.
type ordering struct {
	ctx     context.Context
	spec    *sortSpec
	rows    *rowStore
	at      []int // columns of the keys
	keys    []*storedColumn
	workers int

	// After prepare:
	numbers []*keyNumbers // of each key
	used    int           // how many of them are in a row's number
	diff    uint64        // the bits in which those may differ
	left    int           // the first key that they do not hold entirely
}

func newOrdering(ctx context.Context, s *sortSpec, store *rowStore, at []int, workers int) *ordering {
	o := &ordering{ctx: ctx, spec: s, rows: store, at: at, workers: workers}
	for _, c := range at {
		o.keys = append(o.keys, store.cols[c])
	}
	return o
}

// prepare decides what the numbers of rows are made of.
func (o *ordering) prepare() error {
	if err := o.ctx.Err(); err != nil || o.rows.n <= fewRows {
		return err
	}
	o.numbers = make([]*keyNumbers, len(o.keys))
	for k := range o.numbers {
		var err error
		if o.numbers[k], err = o.describe(k); err != nil {
			return err
		}
	}
	room := 64
	for o.used < len(o.numbers) {
		x := o.numbers[o.used]
		x.place(room)
		room -= x.taken
		o.used++
		if x.cut || !x.exact {
			break
		}
		o.left++
	}
	if taken := 64 - room; taken > 0 {
		o.diff = math.MaxUint64 << room
	}
	return nil
}

// decided reports whether equal numbers mean equal rows.
func (o *ordering) decided() bool { return o.left == len(o.keys) }

// sorted returns the rows of ranges in order.
func (o *ordering) sorted(ranges []rowRange, workers int) ([]int32, error) {
	n := rowsOf(ranges)
	if o.rows.n <= fewRows {
		rows := rowList(ranges, n)
		slices.SortFunc(rows, o.comparer(0))
		return rows, nil
	}
	items := make([]sortItem, n)
	if err := o.number(items, ranges, workers); err != nil {
		return nil, err
	}
	inOrder, err := o.inOrder(items)
	if err != nil {
		return nil, err
	}
	if inOrder {
		return rowList(ranges, n), nil
	}
	if diff := fromLeast(items); diff != 0 {
		if err := (radix{o.ctx, workers}).sort(items, make([]sortItem, n), diff); err != nil {
			return nil, err
		}
	}
	if !o.decided() {
		if err := o.breakTies(items, workers); err != nil {
			return nil, err
		}
	}
	out := make([]int32, n)
	for i, item := range items {
		out[i] = item.row
	}
	return out, nil
}

// comparer orders rows by the keys from the given one on, and at last by their place.
func (o *ordering) comparer(from int) func(a, b int32) int {
	return func(a, b int32) int {
		for k := from; k < len(o.keys); k++ {
			if c := o.compareKey(k, a, b); c != 0 {
				return c
			}
		}
		return cmp.Compare(a, b)
	}
}

func (o *ordering) compareKey(k int, a, b int32) int {
	key, s := o.keys[k], o.spec
	an, bn := o.rows.isNull(key, a), o.rows.isNull(key, b)
	switch {
	case an && bn:
		return 0
	case an || bn:
		if an == s.first[k] {
			return -1
		}
		return 1
	}
	c := o.rows.compare(key, a, b)
	if s.desc[k] {
		return -c
	}
	return c
}

// fromLeast subtracts the least number from all, and returns the bits in which they may differ then.
func fromLeast(items []sortItem) uint64 {
	least, most := items[0].val, items[0].val
	for _, item := range items {
		least, most = min(least, item.val), max(most, item.val)
	}
	for i := range items {
		items[i].val -= least
	}
	return 1<<bits.Len64(most-least) - 1
}

// keyBlock is how many numbers are made at a time: few enough for the stack and the nearest cache.
const keyBlock = 1024

// chunks calls f on several goroutines with the rows of each chunk.
func (o *ordering) chunks(f func(from, to int)) error {
	return inParallel(o.ctx, o.workers, len(o.rows.chunks), func(c int) error {
		f(c<<chunkShift, min((c+1)<<chunkShift, o.rows.n))
		return nil
	})
}

// number sets items to the rows of ranges.
func (o *ordering) number(items []sortItem, ranges []rowRange, workers int) error {
	starts, n := make([]int, len(ranges)), 0
	for i, r := range ranges {
		starts[i] = n
		n += r.rows()
	}
	tasks := 1
	if n >= manyItems {
		tasks = len(ranges)
	}
	return inParallel(o.ctx, workers, tasks, func(t int) error {
		var m numberMaker
		for i := len(ranges) * t / tasks; i < len(ranges)*(t+1)/tasks; i++ {
			at := starts[i]
			m.each(o, ranges[i], func(from int, nums []uint64) {
				for k, num := range nums {
					items[at+k] = sortItem{num, int32(from + k)}
				}
				at += len(nums)
			})
		}
		return nil
	})
}

// numberMaker makes numbers of rows by blocks.
type numberMaker struct{ nums, vals [keyBlock]uint64 }

// each calls f with the numbers of the rows of a range, block by block.
func (m *numberMaker) each(o *ordering, r rowRange, f func(from int, nums []uint64)) {
	for from := int(r.from); from < int(r.to); from += keyBlock {
		nums := m.nums[:min(keyBlock, int(r.to)-from)]
		clear(nums)
		for _, x := range o.numbers[:o.used] {
			if x.taken > 0 {
				x.add(nums, m.vals[:len(nums)], &someRows{from: from})
			}
		}
		f(from, nums)
	}
}

// inOrder reports whether items are in order as they stand, as the rows of a table often are.
func (o *ordering) inOrder(items []sortItem) (bool, error) {
	compare := o.comparer(o.left)
	for i := 1; i < len(items); i++ {
		if i%sortChunk == 0 {
			if err := o.ctx.Err(); err != nil {
				return false, err
			}
		}
		a, b := items[i-1], items[i]
		if a.val > b.val || a.val == b.val && !o.decided() && compare(a.row, b.row) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// describe finds out what the numbers of a key have in common.
func (o *ordering) describe(k int) (*keyNumbers, error) {
	x := &keyNumbers{desc: o.spec.desc[k], first: o.spec.first[k], exact: true, rows: o.rows, key: o.keys[k]}
	if x.key.t.Kind.Storage() == vec.StoreStrs {
		if err := o.prepareTexts(x); err != nil {
			return nil, err
		}
	}
	seen := make([]commonBits, len(o.rows.chunks))
	err := o.chunks(func(from, to int) { seen[from>>chunkShift] = x.inspect(from, to) })
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

// prepareTexts ranks the texts of a key if they have codes; otherwise it finds the bytes they all begin with.
func (o *ordering) prepareTexts(x *keyNumbers) (err error) {
	if c := x.key.codes; c != nil {
		return c.rank(o.ctx)
	}
	prefixes := make([]*string, len(o.rows.chunks))
	err = o.chunks(func(from, to int) { prefixes[from>>chunkShift] = x.prefix(from, to) })
	if err != nil {
		return err
	}
	var all *string
	for _, p := range prefixes {
		all = commonPrefix(all, p)
	}
	if all != nil {
		x.skip = len(*all)
	}
	return nil
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

	rows *rowStore
	key  *storedColumn
	skip int // bytes that all texts begin with, if they have no codes

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

// add puts the numbers of rows where they belong in nums; vals is scratch of the same length.
func (x *keyNumbers) add(nums, vals []uint64, rows *someRows) {
	x.numberRows(vals, rows)
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
		if x.rows.isNull(x.key, rows.at(i)) {
			nums[i] |= nullBit
		} else {
			nums[i] |= (val-x.base)>>x.low>>lost<<x.shift | otherBit
		}
	}
}

// mayBeNull reports whether some row may be null.
func (x *keyNumbers) mayBeNull() bool { return x.rows.nulls > 0 || x.key.t.Kind == vec.Unknown }

// inspect describes the rows of a chunk.
func (x *keyNumbers) inspect(from, to int) commonBits {
	c := noBits
	c.most = 0
	nulls := x.mayBeNull()
	var block [keyBlock]uint64
	for ; from < to; from += keyBlock {
		vals := block[:min(keyBlock, to-from)]
		if !x.numberRows(vals, &someRows{from: from}) {
			c.inexact = true
		}
		for i, val := range vals {
			if nulls && x.rows.isNull(x.key, int32(from+i)) {
				c.nulls = true
				continue
			}
			c.least, c.most, c.some, c.all = min(c.least, val), max(c.most, val), c.some|val, c.all&val
		}
	}
	return c
}

// numberRows sets vals to the numbers of rows; those of nulls are unspecified. It reports whether equal
// numbers mean equal values.
func (x *keyNumbers) numberRows(vals []uint64, rows *someRows) (exact bool) {
	exact = true
	x.rows.words(x.key.word, rows, vals)
	switch x.key.t.Kind.Storage() {
	case vec.StoreInts:
		for i := range vals {
			vals[i] ^= 1 << 63
		}
	case vec.StoreFloats:
		for i, bits := range vals {
			vals[i] = floatOrder(math.Float64frombits(bits))
		}
	case vec.StoreStrs:
		if x.key.codes != nil {
			for i, code := range vals {
				vals[i] = uint64(x.key.codes.ranks[code])
			}
			break
		}
		nulls := x.mayBeNull()
		for i, ref := range vals {
			if nulls && x.rows.isNull(x.key, rows.at(i)) {
				continue
			}
			var all bool
			vals[i], all = stringOrder(x.key.heap.at(ref)[x.skip:])
			exact = exact && all
		}
	case vec.StoreNested:
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

// prefix returns what the texts of the rows from the given one on begin with, or nil if all are null.
func (x *keyNumbers) prefix(from, to int) (all *string) {
	var block [keyBlock]uint64
	for ; from < to; from += keyBlock {
		refs := block[:min(keyBlock, to-from)]
		x.rows.words(x.key.word, &someRows{from: from}, refs)
		for i, ref := range refs {
			if x.rows.isNull(x.key, int32(from+i)) {
				continue
			}
			text := x.key.heap.at(ref)
			if all != nil && strings.HasPrefix(text, *all) {
				continue
			}
			if all = commonPrefix(all, &text); *all == "" {
				return all
			}
		}
	}
	return all
}

// commonPrefix returns what a and b begin with; nil stands for no text.
func commonPrefix(a, b *string) *string {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	n := 0
	for n < len(*a) && n < len(*b) && (*a)[n] == (*b)[n] {
		n++
	}
	prefix := (*a)[:n]
	return &prefix
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
func (o *ordering) breakTies(items []sortItem, workers int) error {
	var runs [][2]int
	for from := 0; from < len(items); {
		to := from + 1
		for to < len(items) && items[to].val == items[from].val {
			to++
		}
		if to-from > 1 {
			runs = append(runs, [2]int{from, to})
		}
		from = to
	}
	const together = 64
	return inParallel(o.ctx, workers, (len(runs)+together-1)/together, func(i int) error {
		t := o.newTieBreaker()
		for _, run := range runs[i*together : min((i+1)*together, len(runs))] {
			if run := items[run[0]:run[1]]; len(run) <= fewRows {
				t.order(run)
			} else if err := o.orderRun(run); err != nil {
				return err
			}
		}
		return nil
	})
}

// tieBreaker orders short runs by the numbers of the first key that items do not hold entirely, and by values where
// those are equal: comparing numbers is much quicker.
type tieBreaker struct {
	x          *keyNumbers // nil: the key has no such numbers
	compare    func(a, b int32) int
	rows       []int32
	nums, vals []uint64
}

func (o *ordering) newTieBreaker() *tieBreaker {
	t := &tieBreaker{compare: o.comparer(o.left)}
	x := *o.numbers[o.left]
	if x.place(64); x.taken == 0 || x.cut {
		return t
	}
	t.x, t.rows, t.nums, t.vals = &x, make([]int32, fewRows), make([]uint64, fewRows), make([]uint64, fewRows)
	if x.exact {
		t.compare = o.comparer(o.left + 1)
	}
	return t
}

// order sorts a run of at most fewRows items.
func (t *tieBreaker) order(items []sortItem) {
	if t.x == nil {
		slices.SortFunc(items, func(a, b sortItem) int { return t.compare(a.row, b.row) })
		return
	}
	n := len(items)
	for i, item := range items {
		t.rows[i] = item.row
	}
	clear(t.nums[:n])
	t.x.add(t.nums[:n], t.vals[:n], &someRows{list: t.rows[:n]})
	for i := range items {
		items[i].val = t.nums[i]
	}
	slices.SortFunc(items, func(a, b sortItem) int {
		switch {
		case a.val < b.val:
			return -1
		case a.val > b.val:
			return 1
		}
		return t.compare(a.row, b.row)
	})
}

// orderRun orders a long run as rows of their own, by the keys from left on.
func (o *ordering) orderRun(items []sortItem) error {
	rows := make([]int32, len(items))
	for i, item := range items {
		rows[i] = item.row
	}
	if o.keys[o.left].t.Kind.Storage() == vec.StoreNested {
		// They have nothing more in common than before.
		sorted, err := mergeSort(o.ctx, rows, o.comparer(o.left))
		for i, r := range sorted {
			items[i].row = r
		}
		return err
	}
	rest := &sortSpec{desc: o.spec.desc[o.left:], first: o.spec.first[o.left:]}
	at := o.at[o.left:]
	order, err := rest.orderStore(o.ctx, o.rows.pick(at, rows), firstInts(len(at)), sortWorkers(len(rows), o.workers))
	if err != nil {
		return err
	}
	for i, r := range order {
		items[i].row = rows[r]
	}
	return nil
}

// firstInts returns 0, 1, …, n-1.
func firstInts(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
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
