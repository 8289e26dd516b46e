package exec

import (
	"context"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// sortItem is a row with its key, or the leading bits of it, as a number.
type sortItem struct {
	val uint64
	row int32
}

const (
	eightBits   = 0xff
	fewItems    = 32      // are sorted by insertion
	manyItems   = 1 << 17 // are worth the start of goroutines
	radixStride = 1 << 18 // items moved between two looks at the context, a few milliseconds
)

// radix sorts items stably by the bits of val, the highest first: items are dealt out into buckets by
// up to eight bits, and each bucket by the next ones, until buckets are so small that insertion is
// quicker. Bits that are the same in all items cost nothing. Large lists are dealt out and their buckets
// sorted by several workers.
type radix struct {
	ctx     context.Context
	workers int
}

// sort sorts items by the bits of diff; spare is scratch of the same length.
func (r radix) sort(items, spare []sortItem, diff uint64) error {
	return r.into(items, spare, diff, false)
}

// into sorts src, with dst as scratch, or the other way round: the result is in dst if toDst, else in src.
func (r radix) into(src, dst []sortItem, diff uint64, toDst bool) error {
	n := len(src)
	if n <= fewItems || diff == 0 {
		if diff != 0 {
			insertionSort(src)
		}
		if toDst {
			copy(dst, src)
		}
		return nil
	}
	if n > sortChunk {
		if err := r.ctx.Err(); err != nil {
			return err
		}
	}
	width := min(8, bits.Len(uint(n))-2) // a few items in a bucket, if they spread
	shift := max(0, bits.Len64(diff)-width)
	rest := diff & (1<<shift - 1)
	if r.workers > 1 && n >= manyItems {
		return r.parallel(src, dst, shift, rest, toDst)
	}
	var ends [256]int
	if err := r.deal(src, dst, digit{shift, 1<<width - 1}, &ends); err != nil {
		return err
	}
	from := 0
	for _, end := range ends[:1<<width] {
		if end > from {
			if err := r.into(dst[from:end], src[from:end], rest, !toDst); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}

// digit is some bits of val.
type digit struct {
	shift int
	mask  uint64 // at most 0xff
}

// deal writes src to dst in the order of a digit, and sets ends to where each bucket ends.
func (r radix) deal(src, dst []sortItem, d digit, ends *[256]int) error {
	var at [256]int
	for i := range src {
		at[src[i].val>>d.shift&d.mask&0xff]++
	}
	sum := 0
	for d, n := range at {
		at[d] = sum
		sum += n
	}
	err := r.scatter(src, dst, d, &at)
	*ends = at
	return err
}

func (r radix) scatter(src, dst []sortItem, d digit, at *[256]int) error {
	for len(src) > 0 {
		if len(src) > radixStride {
			if err := r.ctx.Err(); err != nil {
				return err
			}
		}
		chunk := src[:min(radixStride, len(src))]
		for i := range chunk {
			b := chunk[i].val >> d.shift & d.mask & 0xff
			dst[at[b]] = chunk[i]
			at[b]++
		}
		src = src[len(chunk):]
	}
	return nil
}

// parallel is into for long lists: workers count and deal out a part each, then take buckets.
func (r radix) parallel(src, dst []sortItem, shift int, rest uint64, toDst bool) error {
	parts := make([][]sortItem, r.workers)
	counts := make([][256]int, r.workers)
	for w := range parts {
		parts[w] = src[len(src)*w/r.workers : len(src)*(w+1)/r.workers]
	}
	err := inParallel(r.ctx, r.workers, len(parts), func(w int) error {
		for i := range parts[w] {
			counts[w][parts[w][i].val>>shift&eightBits]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	var ends [256]int
	sum := 0
	for d := range ends {
		for w := range counts {
			n := counts[w][d]
			counts[w][d] = sum
			sum += n
		}
		ends[d] = sum
	}
	err = inParallel(r.ctx, r.workers, len(parts), func(w int) error { return r.scatter(parts[w], dst, digit{shift, eightBits}, &counts[w]) })
	if err != nil {
		return err
	}
	// Buckets that one worker would hold up the others with are dealt out by all again.
	var small [][2]int
	alone := radix{r.ctx, 1}
	from := 0
	for _, end := range ends {
		switch size := end - from; {
		case size > len(src)/(2*r.workers):
			if err := r.into(dst[from:end], src[from:end], rest, !toDst); err != nil {
				return err
			}
		case size > 0:
			small = append(small, [2]int{from, end})
		}
		from = end
	}
	slices.SortFunc(small, func(a, b [2]int) int { return (b[1] - b[0]) - (a[1] - a[0]) })
	return inParallel(r.ctx, r.workers, len(small), func(i int) error {
		from, end := small[i][0], small[i][1]
		return alone.into(dst[from:end], src[from:end], rest, !toDst)
	})
}

func insertionSort(items []sortItem) {
	for i := 1; i < len(items); i++ {
		x := items[i]
		j := i
		for ; j > 0 && items[j-1].val > x.val; j-- {
			items[j] = items[j-1]
		}
		items[j] = x
	}
}

// inParallel calls f with 0 to n-1 on up to so many goroutines and waits for them. After an error, or
// when ctx is done, no further call begins; the first error is returned.
func inParallel(ctx context.Context, workers, n int, f func(i int) error) error {
	if workers <= 1 || n <= 1 {
		for i := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(i); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		failed atomic.Bool
		once   sync.Once
		first  error
	)
	for range min(workers, n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || failed.Load() {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = surviving(f, i)
				}
				if err != nil {
					once.Do(func() { first = err })
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// surviving calls f with i, see survive.
func surviving(f func(i int) error, i int) (err error) {
	defer survive(&err)
	return f(i)
}
