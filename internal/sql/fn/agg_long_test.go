package fn

import (
	"errors"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

// numbersFrom1000 is the bigints from 1000 to 1000+n-1.
func numbersFrom1000(n int) *vec.Vector {
	ints := make([]int64, n)
	for i := range ints {
		ints[i] = 1000 + int64(i)
	}
	return vec.OfInts(vec.BigintType, ints, nil)
}

func TestPercentileOfManyValuesCombinesWithFew(t *testing.T) {
	types := []vec.Type{vec.BigintType, vec.DoubleType}
	for _, few := range []int{0, 1, 100} {
		for _, many := range []int{2100, 10_000} {
			into, from := newPercentile(types, vec.BigintType), newPercentile(types, vec.BigintType)
			for acc, n := range map[Accumulator]int{into: few, from: many} {
				acc.Resize(1)
				if err := acc.Add(make([]int32, n), []*vec.Vector{numbersFrom1000(n), vec.Const(vec.Float(1), n)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := into.Combine(from, []int32{0}, []int32{0}); err != nil {
				t.Fatal(err)
			}
			v, err := into.Result()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := v.Int(0), int64(1000+many-1); got != want {
				t.Errorf("the greatest of %d and %d values is %d, want %d", few, many, got, want)
			}
		}
	}
}

// TestLongResultsAskWhetherTheyAreWanted counts the questions, and has the last of them answered with an error.
func TestLongResultsAskWhetherTheyAreWanted(t *testing.T) {
	const n = 200_000
	numbers, times := numbersFrom1000(n), make([]int64, n)
	for i := range times {
		times[i] = int64(n - i)
	}
	one, each := make([]int32, n), make([]int32, n)
	for i := range each {
		each[i] = int32(i)
	}
	texts := vec.Const(vec.Str("t"), n).Flat()
	series := []*vec.Vector{vec.OfInts(vec.TimestampType, times, nil), numbers}
	for _, c := range []struct {
		name   string
		groups []int32
		args   []*vec.Vector
	}{
		{"array_agg", one, []*vec.Vector{numbers}},
		{"array_agg", each, []*vec.Vector{texts}},
		{"create_time_series", one, series},
		{"create_time_series", each, series},
		{"max", each, []*vec.Vector{numbers, vec.Const(vec.Int(vec.BigintType, 1), n)}},
		{"approx_percentile", each, []*vec.Vector{numbers, vec.Const(vec.Float(0.5), n)}},
		{"approx_distinct", each, []*vec.Vector{numbers}},
	} {
		types := make([]vec.Type, len(c.args))
		for i, a := range c.args {
			types[i] = a.Type
		}
		call, err := registry.Aggregate(c.name, types)
		if err != nil {
			t.Fatal(err)
		}
		made := func() Accumulator {
			acc := call.Func.New(call.Args, call.Return)
			acc.Resize(int(c.groups[n-1]) + 1)
			if err := acc.Add(c.groups, c.args); err != nil {
				t.Fatal(err)
			}
			return acc
		}
		asked, last := 0, -1
		gone := errors.New("gone")
		ask := func() error {
			if asked++; asked == last {
				return gone
			}
			return nil
		}
		want, err := made().Result()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Result(made(), ask)
		if err != nil {
			t.Fatal(err)
		}
		if got.Len() != want.Len() || vec.CompareValues(got.Value(got.Len()-1), want.Value(got.Len()-1)) != 0 {
			t.Errorf("%s gives something else when it asks", c.name)
		}
		if asked < n/(2*paceSteps) {
			t.Errorf("%s of %d rows asked %d times", c.name, n, asked)
		}
		asked, last = 0, asked
		if _, err := Result(made(), ask); err != gone {
			t.Errorf("%s went on: %v", c.name, err)
		}
	}
}

func TestAveragesOfSpansAreRoundedToTheNearest(t *testing.T) {
	check := func(want int64, spans ...int64) {
		t.Helper()
		acc := newAvgSpan(nil, vec.Type{Kind: vec.IntervalYear})
		acc.Resize(1)
		if err := acc.Add(make([]int32, len(spans)), []*vec.Vector{vec.OfInts(vec.Type{Kind: vec.IntervalYear}, spans, nil)}); err != nil {
			t.Fatal(err)
		}
		if v, err := acc.Result(); err != nil || v.Int(0) != want {
			t.Errorf("the average of %v is %d (%v), want %d", spans, v.Int(0), err, want)
		}
	}
	check(2, 1, 2, 2)
	check(-2, -1, -2, -2)
	check(-1, -1, -1, -2)
	check(-1, -1, -2)
	check(0, 1, -1)
}
