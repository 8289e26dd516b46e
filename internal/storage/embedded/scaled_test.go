package embedded

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

// TestThresholdsAsIntegersAgreeWithDoubles: the range of a test holds an integer if and only if
// the test holds for its double.
func TestThresholdsAsIntegersAgreeWithDoubles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		scale := r.IntN(7)
		p := math.Pow(10, float64(scale))
		n := r.Int64N(100_000) - 50_000
		x := float64(n) / p
		switch r.IntN(4) {
		case 0:
			x = math.Nextafter(x, math.Inf(1))
		case 1:
			x = math.Nextafter(x, math.Inf(-1))
		case 2:
			x = r.NormFloat64() * 1000
		}
		pred := storage.Predicate{Op: []storage.Op{storage.Eq, storage.Lt, storage.Le, storage.Gt, storage.Ge}[r.IntN(5)], Values: []vec.Value{vec.Float(x)}}
		test := valueTest{p: &pred}
		least, most, ok := test.between(scale)
		if !ok {
			continue
		}
		for _, i := range []int64{n - 1, n, n + 1, int64(math.Floor(x * p)), int64(math.Ceil(x * p)), math.MinInt32, math.MaxInt32} {
			if got, want := least <= i && i <= most, storagetest.Holds(pred, vec.Float(float64(i)/p)); got != want {
				t.Fatalf("%d / %v op %d %v: %v, want %v", i, p, pred.Op, x, got, want)
			}
		}
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), 1e300} {
		test := valueTest{p: &storage.Predicate{Op: storage.Gt, Values: []vec.Value{vec.Float(x)}}}
		if _, _, ok := test.between(2); ok {
			t.Errorf("%v has a range of integers", x)
		}
	}
}

func TestMomentsOfIntegersAreThoseOfDoubles(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		vals := make([]int64, 1+r.IntN(1500))
		base, spread := r.Int64N(1<<40), 1+r.Int64N(1<<(1+r.IntN(26)))
		for i := range vals {
			vals[i] = base + r.Int64N(spread)
		}
		vals[0] += r.Int64N(1 << 22) // far from the rest
		mean, m2 := intMoments(vals)
		wantMean, wantM2 := moments(vals, nil, len(vals))
		if math.Abs(mean-wantMean) > 1e-9*(1+math.Abs(wantMean)) || math.Abs(m2-wantM2) > 1e-9*(1+wantM2) {
			t.Fatalf("%d values: got %v, %v, want %v, %v", len(vals), mean, m2, wantMean, wantM2)
		}
	}
}

func TestRowsOfRegularTimesAreFoundByArithmetic(t *testing.T) {
	check := func(at, first, step int64, n, want int) {
		t.Helper()
		if got := seekRegular(at, first, step, n); got != want {
			t.Errorf("seek %d in %d rows from %d by %d: %d, want %d", at, n, first, step, got, want)
		}
	}
	for at, want := range map[int64]int{-5: 0, 99: 0, 100: 0, 101: 1, 110: 1, 111: 2, 189: 9, 190: 9, 191: 10, 1000: 10, math.MaxInt64: 10, math.MinInt64: 0} {
		check(at, 100, 10, 10, want)
	}
	check(7, 7, 0, 1, 0)
	check(8, 7, 0, 1, 1)
	check(math.MaxInt64, math.MinInt64+5, 1<<40, 1500, 1500)
}

// TestBlocksOfDecimalsAnswerLikeTheirRows asks series that fill blocks, share them, and go on
// in memory.
func TestBlocksOfDecimalsAnswerLikeTheirRows(t *testing.T) {
	t.Parallel()
	clk := clock.Manual(benchStart)
	s := open(t, Options{FS: vfs.NewMem(), Clock: clk, LogFileBytes: 1 << 20})
	defer s.Close()
	if err := s.CreateTable(context.Background(), benchID, benchPolicy); err != nil {
		t.Fatal(err)
	}
	table, err := s.Table(benchID)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	lengths := []int{1300, 550, 100, 30, 300}
	values := make([]float64, len(lengths))
	first := benchStart.Add(-3 * time.Hour).UnixNano()
	for piece := range 3 {
		for k, n := range lengths {
			var b storagetest.Batch
			for i := n * piece / 3; i < n*(piece+1)/3; i++ {
				values[k] += math.Round(r.NormFloat64() * 4)
				p := storagetest.Point{Measure: "m", Dims: []string{"d", fmt.Sprint("d", k)}, TimeNs: first + int64(i)*5e9 + int64(k)*1e6}
				p.Values = []storagetest.NamedValue{storagetest.F("one", values[k]/10), storagetest.F("two", values[k]/100), storagetest.F("full", r.NormFloat64()),
					storagetest.F("same", 1.5), storagetest.F("whole", values[k]), storagetest.I("n", int64(values[k])), storagetest.S("s", fmt.Sprint(i%7))}
				if k == 1 && i%50 == 7 { // exceptions and nulls
					p.Values[0] = storagetest.F("one", math.Copysign(0, -1))
					p.Values = p.Values[:5]
				}
				b.Add(p)
			}
			if receipt, err := table.Write(context.Background(), &b.Rows); err != nil || len(receipt.Rejections) > 0 {
				t.Fatalf("%+v %v", receipt, err)
			}
		}
		if piece == 1 {
			mergeNow(t, s)
		}
	}
	double := func(column string, op storage.Op, x float64) storage.Predicate {
		return storage.Predicate{Column: column, Op: op, Values: []vec.Value{vec.Float(x)}}
	}
	columns := []string{"d", "time", "one", "two", "full", "same", "whole", "n", "s"}
	filters := [][]storage.Predicate{nil, {double("one", storage.Gt, 1.25)}, {double("two", storage.Le, 0.07)}, {double("whole", storage.Eq, 3)},
		{double("whole", storage.Ne, 3)}, {double("one", storage.Lt, 2), double("two", storage.Ge, -0.1)}, {double("full", storage.Gt, 1)}}
	check := func(filters [][]storage.Predicate) {
		t.Helper()
		for _, where := range filters {
			for _, span := range [][2]int64{{storage.AllTime.From, storage.AllTime.To}, {first + 1000e9, first + 2500e9}} {
				spec := storage.ScanSpec{From: span[0], To: span[1], Columns: columns, Where: where}
				storagetest.CheckScan(t, table, spec)
				var aggs, edges []storage.Agg
				for _, c := range columns[2:8] {
					for _, f := range []storage.AggFunc{storage.Count, storage.Sum, storage.Min, storage.Max, storage.Moments} {
						aggs = append(aggs, storage.Agg{Func: f, Column: c})
					}
					edges = append(edges, storage.Agg{Func: storage.First, Column: c}, storage.Agg{Func: storage.Last, Column: c})
				}
				for _, keys := range [][]storage.GroupKey{nil, {{Column: "d"}}, {{Column: "time", BinNs: 60e9}}, {{Column: "d"}, {Column: "time", BinNs: 3600e9}}} {
					spec.Aggregation = &storage.Aggregation{Keys: keys, Aggs: aggs}
					storagetest.CheckScan(t, table, spec)
				}
				spec.Aggregation = &storage.Aggregation{Keys: []storage.GroupKey{{Column: "d"}}, Aggs: edges}
				storagetest.CheckScan(t, table, spec)
			}
		}
	}
	check(filters)
	flushNow(t, s)
	check(filters[:2])
}
