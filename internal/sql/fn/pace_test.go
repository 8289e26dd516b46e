package fn

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

func TestPacedSortIsStable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 1023, 1024, 1025, 2048, 5000, 10_000} {
		keys, rows := make([]int, n), make([]int32, n)
		for i := range rows {
			keys[i], rows[i] = r.IntN(n/3+1), int32(i)
		}
		want := slices.Clone(rows)
		byKey := func(a, b int32) int { return cmp.Compare(keys[a], keys[b]) }
		slices.SortStableFunc(want, byKey)
		p := pace{c: &Context{}}
		if err := p.sort(rows, byKey); err != nil || !slices.Equal(rows, want) {
			t.Errorf("%d rows: error %v, or another order than the standard library's", n, err)
		}
	}
}

// TestFunctionsOfLongArraysAskWhetherTheyAreWanted: an array may have millions of elements.
func TestFunctionsOfLongArraysAskWhetherTheyAreWanted(t *testing.T) {
	const n = 200_000
	ints := make([]int64, n)
	for i := range ints {
		ints[i] = int64(i) * 7919 % n
	}
	array := vec.ArrayOf(vec.BigintType)
	long := vec.OfNested(array, []int32{0, n}, nil, vec.OfInts(vec.BigintType, ints, nil))
	enough := errors.New("enough")
	c := &Context{Return: array}
	check := func(name string, kernel Kernel, args ...*vec.Vector) {
		t.Helper()
		asked := 0
		c.Interrupted = func() error { asked++; return nil }
		if _, err := kernel(c, args, 1); err != nil || asked < n/paceSteps {
			t.Errorf("%s: error %v, asked %d times, want %d", name, err, asked, n/paceSteps)
		}
		asked = 0
		c.Interrupted = func() error {
			if asked++; asked == 3 {
				return enough
			}
			return nil
		}
		if _, err := kernel(c, args, 1); err != enough || asked != 3 {
			t.Errorf("%s: went on after it was told to end: error %v, asked %d times", name, err, asked)
		}
	}
	check("array_sort", regroup(sortedRows), long)
	check("array_distinct", regroup(distinctRows), long)
	check("array_union", setKernel(union), long, long)
	check("array_except", setKernel(except), long, long)
	check("array_max", elementKernel(best(1)), long)
	check("array_remove", arrayRemove, long, vec.Const(vec.Int(vec.BigintType, -1), 1))
	check("contains", containsKernel, long, vec.Const(vec.Int(vec.BigintType, -1), 1))
	check("array_position", searchKernel(func(at int) int64 { return int64(at) }), long, vec.Const(vec.Int(vec.BigintType, -1), 1))
	check("array_join", arrayJoin, long, vec.Const(vec.Str(","), 1))
	check("arrays_overlap", arraysOverlap, vec.OfNested(array, []int32{0, 1}, nil, vec.OfInts(vec.BigintType, []int64{-1}, nil)), long)
}
