package exec

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/vec"
)

// Many rows are sorted in two steps. First the rows of each chunk are put in order of the leading bits of their numbers,
// within the chunk: what is moved fits into the processor's cache, no second copy of all rows is made, and chunks
// are independent. Rows with the same leading bits, a bucket, are then a short range in each chunk.
// Second, bucket after bucket is sorted and given out: its rows fit into the cache too, so that reading
// them in order is no walk through all of memory. Buckets are independent, and follow each other in the order asked for.

// rowRange is the rows from <= r < to, which are in one chunk.
type rowRange struct{ from, to int32 }

func (r rowRange) rows() int { return int(r.to - r.from) }

// rowsOf counts the rows of ranges.
func rowsOf(ranges []rowRange) int {
	n := 0
	for _, r := range ranges {
		n += r.rows()
	}
	return n
}

// rowList returns the n rows of ranges.
func rowList(ranges []rowRange, n int) []int32 {
	out := make([]int32, 0, n)
	for _, r := range ranges {
		for row := r.from; row < r.to; row++ {
			out = append(out, row)
		}
	}
	return out
}

// all returns the rows of a store.
func (s *rowStore) all() []rowRange {
	ranges := make([]rowRange, len(s.chunks))
	for c := range ranges {
		ranges[c] = rowRange{int32(c << chunkShift), int32(min((c+1)<<chunkShift, s.n))}
	}
	return ranges
}

const (
	// bucketRows is about how many rows are in a bucket: with four columns they and what sorting takes are a megabyte.
	bucketRows = 1 << 14
	// largeBucket is from how many rows on a bucket is dealt out again.
	largeBucket = 8 * bucketRows
	// digitBits is how many leading bits rows are counted by. Neighbouring digits share a bucket.
	digitBits = 12
)

// bucket is rows that follow those of the bucket before. Rows that are in order as they stand need no sort.
type bucket struct {
	ranges  []rowRange
	rows    int
	inOrder bool
}

// buckets deals out all rows, which moves them within their chunks.
func (o *ordering) buckets() ([]bucket, error) {
	all := bucket{ranges: o.rows.all(), rows: o.rows.n}
	if all.rows < manyItems {
		return []bucket{all}, nil
	}
	d := &dealing{ordering: o, digits: make([]uint16, all.rows)}
	inOrder, err := d.inOrder(all.ranges)
	if err != nil {
		return nil, err
	}
	if all.inOrder = inOrder; inOrder {
		return []bucket{all}, nil
	}
	return d.deal(nil, all, o.diff)
}

// dealing is the work of buckets.
type dealing struct {
	*ordering
	digits []uint16 // of each row

	mu    sync.Mutex // guards spare
	spare [][]uint64 // memory of chunks, to move rows into
}

// inOrder reports whether all rows are in order as they stand.
func (d *dealing) inOrder(chunks []rowRange) (bool, error) {
	compare := d.comparer(d.left)
	after := func(a, b sortItem) bool {
		return a.val > b.val || a.val == b.val && !d.decided() && compare(a.row, b.row) > 0
	}
	first, last := make([]sortItem, len(chunks)), make([]sortItem, len(chunks))
	var disorder atomic.Bool
	err := inParallel(d.ctx, d.workers, len(chunks), func(c int) error {
		if disorder.Load() {
			return nil
		}
		begun := false
		var m numberMaker
		m.each(d.ordering, chunks[c], func(from int, nums []uint64) {
			for i, num := range nums {
				item := sortItem{num, int32(from + i)}
				if !begun {
					first[c], begun = item, true
				} else if disorder.Load() || after(last[c], item) {
					disorder.Store(true)
					return
				}
				last[c] = item
			}
		})
		return nil
	})
	for c := 1; c < len(chunks) && !disorder.Load(); c++ {
		if after(last[c-1], first[c]) {
			return false, err
		}
	}
	return !disorder.Load(), err
}

// deal appends the buckets of b, whose rows differ in the given bits, to dst.
func (d *dealing) deal(dst []bucket, b bucket, diff uint64) ([]bucket, error) {
	if diff == 0 {
		b.inOrder = d.decided()
		return append(dst, b), nil
	}
	digit := digit{max(0, bits.Len64(diff)-digitBits), 1<<digitBits - 1}
	counts, err := d.count(b, digit)
	if err != nil {
		return nil, err
	}
	bucketOf, n := groupDigits(counts, bucketTarget(b.rows))
	parts, err := d.move(b, bucketOf, n)
	if err != nil {
		return nil, err
	}
	rest := diff & (1<<digit.shift - 1)
	for _, part := range parts {
		if part.rows < largeBucket {
			dst = append(dst, part)
			continue
		}
		// Only rows of one digit are that many.
		if dst, err = d.deal(dst, part, rest); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// count sets the digits of the rows of b and counts the rows of each.
func (d *dealing) count(b bucket, digit digit) (*[1 << digitBits]int, error) {
	var mu sync.Mutex // guards all
	var all [1 << digitBits]int
	err := inParallel(d.ctx, d.workers, len(b.ranges), func(i int) error {
		var counts [1 << digitBits]int
		var m numberMaker
		m.each(d.ordering, b.ranges[i], func(from int, nums []uint64) {
			digits := d.digits[from : from+len(nums)]
			for k, num := range nums {
				v := uint16(num >> digit.shift & digit.mask)
				digits[k] = v
				counts[v&(1<<digitBits-1)]++
			}
		})
		mu.Lock()
		defer mu.Unlock()
		for v, n := range counts {
			all[v] += n
		}
		return nil
	})
	return &all, err
}

// bucketTarget is about how many of so many rows are in a bucket: more of many, so that buckets are not too many, but
// rows of several digits are never a large bucket.
func bucketTarget(rows int) int { return min(max(bucketRows, rows>>10), largeBucket-1) }

// groupDigits returns the number of each digit's bucket, and how many buckets there are: digits share one until
// it would have more than target rows.
func groupDigits(counts *[1 << digitBits]int, target int) (bucketOf *[1 << digitBits]uint16, n int) {
	bucketOf = new([1 << digitBits]uint16)
	rows := 0
	for digit, count := range counts {
		if rows > 0 && rows+count > target {
			n++
			rows = 0
		}
		bucketOf[digit] = uint16(n)
		rows += count
	}
	return bucketOf, n + 1
}

// move puts the rows of each range of b in the order of their buckets, of which there are n, and returns these.
func (d *dealing) move(b bucket, bucketOf *[1 << digitBits]uint16, n int) ([]bucket, error) {
	parts := make([]bucket, n)
	ends := make([][]int32, len(b.ranges)) // per range: where its rows of each bucket end
	err := inParallel(d.ctx, d.workers, len(b.ranges), func(i int) error {
		ends[i] = d.moveRange(b.ranges[i], bucketOf, n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, r := range b.ranges {
		from := r.from
		for p, to := range ends[i] {
			if to > from {
				parts[p].ranges = append(parts[p].ranges, rowRange{from, to})
				parts[p].rows += int(to - from)
			}
			from = to
		}
	}
	return parts, nil
}

// moveRange is move for one range.
func (d *dealing) moveRange(r rowRange, bucketOf *[1 << digitBits]uint16, n int) []int32 {
	digits := d.digits[r.from:r.to]
	at := make([]int32, n+1)
	for _, v := range digits {
		at[bucketOf[v&(1<<digitBits-1)]+1]++
	}
	for p := 1; p <= n; p++ {
		at[p] += at[p-1]
	}
	width := d.rows.width
	chunk := &d.rows.chunks[r.from>>chunkShift]
	begin := int(r.from&(sortChunk-1)) * width
	src := (*chunk)[begin : begin+len(digits)*width]
	spare := d.takeSpare()
	dst := spare[:len(src)]
	for k, v := range digits {
		p := bucketOf[v&(1<<digitBits-1)]
		to := int(at[p]) * width
		at[p]++
		for j, x := range src[k*width : (k+1)*width] {
			dst[to+j] = x
		}
	}
	if len(src) == len(*chunk) && cap(*chunk) >= len(spare) {
		*chunk, spare = dst, *chunk
	} else {
		copy(src, dst)
	}
	d.giveSpare(spare)
	ends := at[:n]
	for p := range ends {
		ends[p] += r.from
	}
	return ends
}

func (d *dealing) takeSpare() []uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := len(d.spare); k > 0 {
		out := d.spare[k-1]
		d.spare = d.spare[:k-1]
		return out
	}
	return make([]uint64, sortChunk*d.rows.width)
}

func (d *dealing) giveSpare(words []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spare = append(d.spare, words[:cap(words)])
}

// storedRows gives the rows of a store in an order, bucket by bucket.
type storedRows struct {
	o       *ordering // nil once it is closed
	buckets []bucket  // that are not begun
	most    int       // rows in a batch
	workers int

	ahead  []*vec.Batch // made, not given out
	rounds int          // of making them

	// Of a large bucket, or the only one, batches are made as they are asked for.
	order  []int32
	ranges []rowRange // in order as they stand
}

// next implements batches.
func (o *storedRows) next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil || o.o == nil {
		return nil, err
	}
	for len(o.ahead) == 0 {
		var err error
		switch {
		case len(o.order) > 0 || len(o.ranges) > 0:
			err = o.makeSome(ctx)
		case len(o.buckets) == 0:
			return nil, nil
		default:
			err = o.begin(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	b := o.ahead[0]
	o.ahead = o.ahead[1:]
	return b, nil
}

// begin takes a large bucket in hand, or makes the batches of a few others.
func (o *storedRows) begin(ctx context.Context) error {
	o.o.ctx = ctx
	first := o.buckets[0]
	if first.rows >= largeBucket || o.rounds == 0 && len(o.buckets) == 1 {
		o.buckets = o.buckets[1:]
		if first.inOrder {
			o.ranges = first.ranges
			return nil
		}
		var err error
		o.order, err = o.o.sorted(first.ranges, o.workers)
		return err
	}
	n := 0
	for n < len(o.buckets) && n < o.workers<<min(o.rounds, 2) && o.buckets[n].rows < largeBucket {
		n++
	}
	o.rounds++
	some := o.buckets[:n]
	o.buckets = o.buckets[n:]
	made := make([][]*vec.Batch, n)
	err := inParallel(ctx, o.workers, n, func(i int) (err error) {
		order := rowList(some[i].ranges, some[i].rows)
		if !some[i].inOrder {
			if order, err = o.o.sorted(some[i].ranges, 1); err != nil {
				return err
			}
		}
		for len(order) > 0 {
			k := min(o.most, len(order))
			made[i] = append(made[i], o.o.rows.gather(order[:k]))
			order = order[k:]
		}
		return nil
	})
	for _, batches := range made {
		o.ahead = append(o.ahead, batches...)
	}
	return err
}

// makeSome makes the next batches of the bucket in hand.
func (o *storedRows) makeSome(ctx context.Context) error {
	// Whoever wants a few rows only should not pay for many.
	n := 1
	if o.workers > 1 {
		n = o.workers << min(o.rounds, 3)
	}
	o.rounds++
	var lists [][]int32
	for len(lists) < n {
		rows := o.nextRows()
		if len(rows) == 0 {
			break
		}
		lists = append(lists, rows)
	}
	o.ahead = make([]*vec.Batch, len(lists))
	return inParallel(ctx, o.workers, len(lists), func(i int) error {
		o.ahead[i] = o.o.rows.gather(lists[i])
		return nil
	})
}

// nextRows returns the next rows of the bucket in hand.
func (o *storedRows) nextRows() []int32 {
	if len(o.ranges) == 0 {
		k := min(o.most, len(o.order))
		rows := o.order[:k]
		o.order = o.order[k:]
		return rows
	}
	r := &o.ranges[0]
	k := int32(min(o.most, r.rows()))
	rows := rowList([]rowRange{{r.from, r.from + k}}, int(k))
	if r.from += k; r.from == r.to {
		o.ranges = o.ranges[1:]
	}
	return rows
}

func (o *storedRows) close() { *o = storedRows{} }
