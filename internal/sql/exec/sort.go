package exec

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// Sorting works on numbers: each key column becomes a column of uint64 whose order is
// the key's. Where the numbers say all (times, numbers, booleans, and strings of which there
// are few different ones), rows are sorted by radix, a byte at a time, from the last key to
// the first; bytes that are the same in all rows cost nothing. Otherwise rows are compared, by the
// numbers first.

// sortChunk is how many rows are handled between two looks at the context: some
// milliseconds of work.
const sortChunk = 1 << 15

// normKey is one key as numbers.
type normKey struct {
	vals  []uint64
	nulls []bool // nil: none; their vals are 0
	first bool   // nulls first
	exact bool   // equal numbers mean equal keys
}

// order returns the rows 0 to n-1 in order; equal rows keep theirs.
func (s *sortSpec) order(ctx context.Context, keys []*vec.Vector, n int) ([]int32, error) {
	norm := make([]normKey, len(keys))
	exact := true
	for k, v := range keys {
		norm[k] = normalize(v, s.desc[k])
		norm[k].first = s.first[k]
		exact = exact && norm[k].exact
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if exact && n > 256 {
		return radixOrder(ctx, norm, n)
	}
	return s.compareOrder(ctx, keys, norm, n)
}

// normalize returns the numbers of a key.
func normalize(v *vec.Vector, desc bool) normKey {
	n := v.Len()
	switch {
	case v.Type.Kind == vec.Unknown, v.Form == vec.Constant:
		return normKey{vals: make([]uint64, n), exact: true}
	case v.Form == vec.Dictionary && v.Dict.Len() <= n:
		return ofEntries(normalize(v.Dict, desc), v.Index)
	}
	v = v.Flat()
	out := normKey{vals: make([]uint64, n), nulls: v.Nulls, exact: true}
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		for i, x := range v.Ints {
			out.vals[i] = uint64(x) ^ 1<<63
		}
	case vec.StoreFloats:
		for i, x := range v.Floats {
			out.vals[i] = floatOrder(x)
		}
	case vec.StoreBools:
		for i, x := range v.Bools {
			if x {
				out.vals[i] = 1
			}
		}
	case vec.StoreStrs:
		out.exact = rankStrings(v, out.vals)
	default:
		out.exact = false
		return out // all numbers equal: the values decide
	}
	if desc {
		for i := range out.vals {
			out.vals[i] = ^out.vals[i]
		}
	}
	for i, null := range out.nulls {
		if null {
			out.vals[i] = 0
		}
	}
	return out
}

// ofEntries spreads the numbers of a dictionary's entries over its rows.
func ofEntries(dict normKey, index []int32) normKey {
	out := normKey{vals: gather(dict.vals, index), exact: dict.exact}
	if dict.nulls != nil {
		out.nulls = gather(dict.nulls, index)
	}
	return out
}

// rankStrings numbers the strings of v by their order if there are few different ones;
// otherwise it takes their first bytes and returns false.
func rankStrings(v *vec.Vector, vals []uint64) (exact bool) {
	t := newGroupTable([]vec.Type{v.Type})
	var groups []int32
	ids := make([]int32, 0, v.Len())
	for from := 0; from < v.Len(); from += sortChunk {
		part := v.Slice(from, min(from+sortChunk, v.Len()))
		groups = t.assign([]*vec.Vector{part}, part.Len(), groups)
		ids = append(ids, groups...)
		if t.len() > 1024 && t.len() > len(ids)/4 {
			for i, s := range v.Strs {
				vals[i] = stringPrefix(s)
			}
			return false
		}
	}
	distinct := t.columns()[0]
	byString := allRows(t.len())
	slices.SortFunc(byString, func(a, b int32) int { return cmp.Compare(distinct.Strs[a], distinct.Strs[b]) })
	rank := make([]uint64, t.len())
	for r, g := range byString {
		rank[g] = uint64(r)
	}
	for i, g := range ids {
		vals[i] = rank[g]
	}
	return true
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

func stringPrefix(s string) uint64 {
	p := uint64(0)
	for i := range 8 {
		p <<= 8
		if i < len(s) {
			p |= uint64(s[i])
		}
	}
	return p
}

// sortItem is a row with the number of the key in hand.
type sortItem struct {
	val uint64
	row int32
}

// radixOrder sorts by exact keys.
func radixOrder(ctx context.Context, norm []normKey, n int) ([]int32, error) {
	items, spare := make([]sortItem, n), make([]sortItem, n)
	for i := range items {
		items[i].row = int32(i)
	}
	for k := len(norm) - 1; k >= 0; k-- {
		key := &norm[k]
		for pass := 0; pass < 2; pass++ {
			var some, all uint64 = 0, math.MaxUint64
			for i := range items {
				r := items[i].row
				if pass == 0 {
					items[i].val = key.vals[r]
				} else {
					items[i].val = key.nullRank(r)
				}
				some |= items[i].val
				all &= items[i].val
			}
			for shift := 0; shift < 64; shift += 8 {
				if (some^all)>>shift&0xff == 0 {
					continue
				}
				if err := radixPass(ctx, items, spare, shift); err != nil {
					return nil, err
				}
				items, spare = spare, items
			}
			if key.nulls == nil {
				break
			}
		}
	}
	out := make([]int32, n)
	for i, item := range items {
		out[i] = item.row
	}
	return out, nil
}

// nullRank is 0 or 1 so that nulls go where they belong.
func (k *normKey) nullRank(row int32) uint64 {
	if k.nulls[row] == k.first {
		return 0
	}
	return 1
}

// radixPass writes from to to, sorted by one byte of val.
func radixPass(ctx context.Context, from, to []sortItem, shift int) error {
	var at [256]int
	for i := range from {
		at[from[i].val>>shift&0xff]++
	}
	sum := 0
	for d, n := range at {
		at[d] = sum
		sum += n
	}
	for len(from) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := from[:min(16*sortChunk, len(from))]
		for i := range chunk {
			d := chunk[i].val >> shift & 0xff
			to[at[d]] = chunk[i]
			at[d]++
		}
		from = from[len(chunk):]
	}
	return nil
}

// compareOrder sorts by comparing rows, in chunks that are merged.
func (s *sortSpec) compareOrder(ctx context.Context, keys []*vec.Vector, norm []normKey, n int) ([]int32, error) {
	compare := func(a, b int32) int {
		for k := range norm {
			key := &norm[k]
			if key.nulls != nil && key.nulls[a] != key.nulls[b] {
				return cmp.Compare(key.nullRank(a), key.nullRank(b))
			}
			if key.vals[a] != key.vals[b] {
				return cmp.Compare(key.vals[a], key.vals[b])
			}
			if key.exact {
				continue
			}
			if c := s.compareKey(k, keys[k], int(a), keys[k], int(b)); c != 0 {
				return c
			}
		}
		return cmp.Compare(a, b)
	}
	rows := allRows(n)
	for from := 0; from < n; from += sortChunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		slices.SortFunc(rows[from:min(from+sortChunk, n)], compare)
	}
	return mergeChunks(ctx, rows, compare)
}

// mergeChunks merges sorted runs of sortChunk rows.
func mergeChunks(ctx context.Context, rows []int32, compare func(a, b int32) int) ([]int32, error) {
	var spare []int32
	for width := sortChunk; width < len(rows); width *= 2 {
		if spare == nil {
			spare = make([]int32, len(rows))
		}
		out := spare[:0]
		for from := 0; from < len(rows); from += 2 * width {
			a := rows[from:min(from+width, len(rows))]
			b := rows[min(from+width, len(rows)):min(from+2*width, len(rows))]
			for len(a) > 0 && len(b) > 0 {
				if len(out)%sortChunk == 0 && ctx.Err() != nil {
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
