package vec

import (
	"cmp"
	"math"
	"math/bits"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Two relations over values live here. Ordering ([Compare]) is that of ORDER BY and
// of min and max: NaN after all numbers, false before true, varchars by bytes,
// arrays and rows lexicographically. Identity ([Equal], [Vector.Hash]) is that of
// GROUP BY, DISTINCT and joins: null is null, NaN is NaN, -0.0 is 0.0. The operator =
// differs for NaN and nulls; it belongs to package fn.

// Compare orders row i of a before (-1), with (0) or after (+1) row j of b, which has
// the same storage. Neither row may be null; nulls inside nested values come last.
func Compare(a *Vector, i int, b *Vector, j int) int {
	a, i = a.At(i)
	b, j = b.At(j)
	switch a.Type.Kind.Storage() {
	case StoreInts:
		return cmp.Compare(a.Ints[i], b.Ints[j])
	case StoreFloats:
		return CompareFloats(a.Floats[i], b.Floats[j])
	case StoreBools:
		return CompareBools(a.Bools[i], b.Bools[j])
	case StoreStrs:
		return strings.Compare(a.Strs[i], b.Strs[j])
	case StoreNested:
		return compareNested(a, i, b, j)
	}
	return 0
}

// CompareFloats orders doubles, NaN last.
func CompareFloats(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	case x == x:
		return -1
	case y == y:
		return 1
	}
	return 0
}

// CompareBools orders false before true.
func CompareBools(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

func compareNested(a *Vector, i int, b *Vector, j int) int {
	if a.Type.Kind == Row {
		for f := range a.Children {
			if c := compareSlots(a.Children[f], i, b.Children[f], j); c != 0 {
				return c
			}
		}
		return 0
	}
	x, xEnd := int(a.Offsets[i]), int(a.Offsets[i+1])
	y, yEnd := int(b.Offsets[j]), int(b.Offsets[j+1])
	for ; x < xEnd && y < yEnd; x, y = x+1, y+1 {
		for f := range a.Children {
			if c := compareSlots(a.Children[f], x, b.Children[f], y); c != 0 {
				return c
			}
		}
	}
	return cmp.Compare(xEnd-x, yEnd-y)
}

// compareSlots is Compare with nulls last.
func compareSlots(a *Vector, i int, b *Vector, j int) int {
	if an, bn := a.IsNull(i), b.IsNull(j); an || bn {
		return CompareBools(an, bn)
	}
	return Compare(a, i, b, j)
}

// Equal reports whether row i of a and row j of b are the same value, in the sense
// of grouping; two nulls are.
func Equal(a *Vector, i int, b *Vector, j int) bool {
	a, i = a.At(i)
	b, j = b.At(j)
	if an, bn := a.IsNull(i), b.IsNull(j); an || bn {
		return an == bn
	}
	switch a.Type.Kind.Storage() {
	case StoreInts:
		return a.Ints[i] == b.Ints[j]
	case StoreFloats:
		x, y := a.Floats[i], b.Floats[j]
		return x == y || x != x && y != y
	case StoreStrs:
		return a.Strs[i] == b.Strs[j]
	}
	return Compare(a, i, b, j) == 0
}

// CompareValues orders two values of the same type that are not null, as [Compare].
func CompareValues(x, y Value) int {
	switch x.Type.Kind.Storage() {
	case StoreInts:
		return cmp.Compare(x.Int, y.Int)
	case StoreFloats:
		return CompareFloats(x.Float, y.Float)
	case StoreBools:
		return CompareBools(x.Bool, y.Bool)
	case StoreStrs:
		return strings.Compare(x.Str, y.Str)
	}
	for i := range min(len(x.List), len(y.List)) {
		a, b := x.List[i], y.List[i]
		c := CompareBools(a.Null, b.Null)
		if c == 0 && !a.Null {
			c = CompareValues(a, b)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x.List), len(y.List))
}

// EqualValues reports whether two values of the same type are the same, as [Equal].
func EqualValues(x, y Value) bool {
	if x.Null || y.Null {
		return x.Null == y.Null
	}
	return CompareValues(x, y) == 0
}

// HashSeed is what a hash over several columns starts from.
const HashSeed = uint64(0x9e3779b97f4a7c15)

const (
	nullHash  = uint64(0x2545f4914f6cdd1d)
	trueHash  = uint64(0xd6e8feb86659fd93)
	falseHash = uint64(0xa0761d6478bd642f)
)

// mix folds b into the running hash a; the order of columns matters.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xe7037ed1a0b428db, b^0x8ebc6af09c88c6e3)
	return hi ^ lo
}

func floatBits(f float64) uint64 {
	switch {
	case f == 0:
		return 0 // -0.0 too
	case f != f:
		return 0x7ff8000000000001
	}
	return math.Float64bits(f)
}

// Hash folds the hash of row i into hashes[i], for every row, so that rows equal by
// [Equal] in every column get equal hashes. hashes has v.Len() entries, which start
// as [HashSeed]. The result is the same in every process.
func (v *Vector) Hash(hashes []uint64) {
	switch v.Form {
	case Constant:
		h := v.slots().hashSlot(0)
		for i := range hashes {
			hashes[i] = mix(hashes[i], h)
		}
		return
	case Dictionary:
		if v.Dict.n <= len(hashes) {
			dict := make([]uint64, v.Dict.n)
			for i := range dict {
				dict[i] = v.Dict.hashSlot(i)
			}
			for i, x := range v.Index {
				hashes[i] = mix(hashes[i], dict[x])
			}
			return
		}
		for i, x := range v.Index {
			hashes[i] = mix(hashes[i], v.Dict.hashSlot(int(x)))
		}
		return
	}
	if v.Nulls == nil && v.Type.Kind.Storage() == StoreInts {
		for i, x := range v.Ints {
			hashes[i] = mix(hashes[i], uint64(x))
		}
		return
	}
	for i := range hashes {
		hashes[i] = mix(hashes[i], v.hashSlot(i))
	}
}

// hashSlot hashes one slot; integers are their own hash, mix spreads them.
func (v *Vector) hashSlot(i int) uint64 {
	v, i = v.At(i)
	if v.Type.Kind == Unknown || v.Nulls != nil && v.Nulls[i] {
		return nullHash
	}
	switch v.Type.Kind.Storage() {
	case StoreInts:
		return uint64(v.Ints[i])
	case StoreFloats:
		return floatBits(v.Floats[i])
	case StoreBools:
		if v.Bools[i] {
			return trueHash
		}
		return falseHash
	case StoreStrs:
		return xxhash.Sum64String(v.Strs[i])
	}
	h := HashSeed
	from, to := int32(i), int32(i+1)
	if v.Type.Kind != Row {
		from, to = v.Offsets[i], v.Offsets[i+1]
		h = mix(h, uint64(to-from))
	}
	for c := from; c < to; c++ {
		for _, child := range v.Children {
			h = mix(h, child.hashSlot(int(c)))
		}
	}
	return h
}

// HashRow returns the hash of row i alone, as Hash over one column gives it.
func (v *Vector) HashRow(i int) uint64 { return mix(HashSeed, v.hashSlot(i)) }
