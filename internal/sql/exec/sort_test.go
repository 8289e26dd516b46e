package exec

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

// TestOrderIsThatOfComparing sorts random rows by random keys, by radix and by comparing,
// and checks both against a plain stable sort.
func TestOrderIsThatOfComparing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := []int{0, 1, 40, 300, 5000, sortChunk + 77}[seed%6]
		spec, keys := &sortSpec{}, []*vec.Vector(nil)
		for range 1 + rng.IntN(3) {
			keys = append(keys, randomKey(rng, n))
			spec.desc, spec.first = append(spec.desc, rng.IntN(2) == 0), append(spec.first, rng.IntN(2) == 0)
		}
		want := allRows(n)
		slices.SortStableFunc(want, func(a, b int32) int { return spec.compare(keys, int(a), keys, int(b)) })
		got, err := spec.order(context.Background(), keys, n)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d: order of %d rows differs (error %v)", seed, n, err)
		}
	}
}

func randomKey(rng *rand.Rand, n int) *vec.Vector {
	kinds := []vec.Type{vec.BigintType, vec.DoubleType, vec.BooleanType, vec.VarcharType, vec.ArrayOf(vec.BigintType), vec.UnknownType}
	typ := kinds[rng.IntN(len(kinds))]
	few := rng.IntN(2) == 0
	pick := func() int64 {
		if few {
			return int64(rng.IntN(5)) - 2
		}
		return int64(rng.Uint64())
	}
	b := vec.NewBuilder(typ, n)
	for range n {
		if rng.IntN(8) == 0 {
			b.AppendNull()
			continue
		}
		x := pick()
		v := vec.Value{Type: typ, Int: x, Float: float64(x) / 3, Bool: x > 0, Str: fmt.Sprintf("prefix-%d", x)}
		if x%5 == 1 {
			v.Float = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0}[rng.IntN(5)]
		}
		if typ.Kind == vec.Array {
			v.List = []vec.Value{vec.Int(vec.BigintType, x%3), vec.Int(vec.BigintType, x%7)}
		}
		b.Append(v)
	}
	if typ.Kind == vec.Unknown {
		return vec.NullsOf(typ, n).Flat()
	}
	if v := b.Vector(); !few || typ.Kind != vec.Varchar || n == 0 {
		return v
	}
	// In dictionary form, with entries that are equal and one that is null.
	index := make([]int32, n)
	for i := range index {
		index[i] = int32(rng.IntN(4))
	}
	return vec.OfDict(index, vec.OfStrs([]string{"b", "a", "b", ""}, []bool{false, false, false, true}))
}

// TestOrderOfManyRowsIsThatOfFew sorts enough rows for several workers, with keys that are cut, tied and skewed.
func TestOrderOfManyRowsIsThatOfFew(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 1))
	const n = manyItems + 77
	few, skewed, wide, texts := make([]int64, n), make([]float64, n), make([]int64, n), make([]string, n)
	for i := range n {
		few[i], skewed[i], wide[i], texts[i] = rng.Int64N(3), math.Floor(math.Exp(rng.Float64()*9)), int64(rng.Uint64()), fmt.Sprintf("a text with %d", rng.IntN(5000)*1e9)
	}
	ints, floats, wides, strs := vec.OfInts(vec.BigintType, few, nil), vec.OfFloats(skewed, nil), vec.OfInts(vec.BigintType, wide, nil), vec.OfStrs(texts, nil)
	for _, keys := range [][]*vec.Vector{{floats}, {ints, wides}, {wides, ints}, {floats, strs, ints}, {strs, wides}} {
		spec := &sortSpec{desc: []bool{true, false, true}[:len(keys)], first: make([]bool, len(keys))}
		got, err := spec.order(context.Background(), keys, n)
		if err != nil {
			t.Fatal(err)
		}
		seen := make([]bool, n)
		for i, r := range got {
			if seen[r] {
				t.Fatalf("row %d is there twice", r)
			}
			seen[r] = true
			if i > 0 {
				if c := spec.compare(keys, int(got[i-1]), keys, int(r)); c > 0 || c == 0 && got[i-1] > r {
					t.Fatalf("%d keys: row %d comes before row %d", len(keys), got[i-1], r)
				}
			}
		}
	}
}

// TestBucketsFollowEachOther sorts enough rows for buckets, of which some are dealt out again, and checks that what
// comes out is in order, with equal rows in theirs and every row once and whole.
func TestBucketsFollowEachOther(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 1))
	const n = largeBucket + largeBucket/4 + 777
	floats, crowded, few := make([]float64, n), make([]int64, n), make([]int64, n)
	texts, nulls, codes := make([]string, n), make([]bool, n), make([]int32, n)
	lists := vec.NewBuilder(vec.ArrayOf(vec.BigintType), n)
	for i := range n {
		floats[i] = []float64{rng.NormFloat64(), math.NaN(), math.Copysign(0, -1), 0}[max(0, rng.IntN(20)-16)]
		if crowded[i] = rng.Int64N(5000); i%1000 == 0 {
			crowded[i] = int64(rng.Uint64()) // so that nearly all have the same leading bits
		}
		few[i] = rng.Int64N(3)
		texts[i] = fmt.Sprintf("a text with %d", rng.IntN(5000)*1e9)
		nulls[i] = rng.IntN(3) == 0
		codes[i] = int32(rng.IntN(4))
		lists.Append(vec.Value{Type: vec.ArrayOf(vec.BigintType), List: []vec.Value{vec.Int(vec.BigintType, few[i])}})
	}
	f, c, w := vec.OfFloats(floats, nil), vec.OfInts(vec.BigintType, crowded, nil), vec.OfInts(vec.BigintType, few, nulls)
	s := vec.OfStrs(texts, nil)
	d := vec.OfDict(codes, vec.OfStrs([]string{"b", "a", "", "c"}, []bool{false, false, true, false}))
	rows := make([]int64, n)
	for i := range rows {
		rows[i] = int64(i)
	}
	for _, keys := range [][]*vec.Vector{{f}, {c}, {w}, {d}, {d, c}, {w, f, d}, {s, f}, {w, lists.Vector()}, {vec.OfInts(vec.BigintType, rows, nil)}} {
		spec := &sortSpec{desc: []bool{true, false, true}[:len(keys)], first: []bool{true, false, false}[:len(keys)]}
		if len(keys) == 1 {
			spec.desc = []bool{false}
		}
		types := []vec.Type{vec.BigintType}
		for _, k := range keys {
			types = append(types, k.Type)
		}
		store := newRowStore(types)
		in := &vec.Batch{Len: n, Columns: append([]*vec.Vector{vec.OfInts(vec.BigintType, rows, nil)}, keys...)}
		for from := 0; from < n; from += 5000 {
			store.append(in.Slice(from, min(from+5000, n)))
		}
		store.settle()
		o := newOrdering(context.Background(), spec, store, []int{1, 2, 3}[:len(keys)], 2)
		if err := o.prepare(); err != nil {
			t.Fatal(err)
		}
		buckets, err := o.buckets()
		if err != nil {
			t.Fatal(err)
		}
		out := &storedRows{o: o, buckets: buckets, most: 3000, workers: 2}
		last, count := int64(-1), 0
		for {
			b, err := out.next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if b == nil {
				break
			}
			for i := range b.Len {
				r := b.Columns[0].Ints[i]
				if last >= 0 {
					if c := spec.compare(keys, int(last), keys, int(r)); c > 0 || c == 0 && last >= r {
						t.Fatalf("%d keys of %v: row %d comes before row %d", len(keys), types[1], last, r)
					}
				}
				for k, v := range b.Columns[1:] {
					if !vec.Equal(v, i, keys[k], int(r)) {
						t.Fatalf("key %d of row %d is %v, want %v", k, r, v.Value(i), keys[k].Value(int(r)))
					}
				}
				last = r
			}
			count += b.Len
		}
		if count != n {
			t.Errorf("%d keys of %v: %d rows, want %d", len(keys), types[1], count, n)
		}
	}
}

// TestRowsOfSeveralDigitsAreNoLargeBucket is for as many rows as no test sorts: a large bucket is dealt out by the bits
// below its digit, which has to be one.
func TestRowsOfSeveralDigitsAreNoLargeBucket(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{manyItems, 1 << 24, maxStored} {
		var counts [1 << digitBits]int
		for digit := range counts {
			counts[digit] = rows >> digitBits
		}
		bucketOf, n := groupDigits(&counts, bucketTarget(rows))
		inBucket, digits := make([]int, n), make([]int, n)
		for digit, b := range bucketOf {
			inBucket[b] += counts[digit]
			digits[b]++
		}
		for b, count := range inBucket {
			if digits[b] > 1 && count >= largeBucket {
				t.Fatalf("of %d rows, %d of %d digits are a bucket", rows, count, digits[b])
			}
		}
	}
}
