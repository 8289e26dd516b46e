package embedded

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

// TestLongSeriesOfOneValueAreMergedByTime reads partitions that are too large to be put in order in memory: of some
// series of different lengths, partly in segments, with updates and late rows.
func TestLongSeriesOfOneValueAreMergedByTime(t *testing.T) {
	t.Parallel()
	clk := clock.Manual(time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC))
	store := open(t, Options{FS: vfs.NewMem(), Clock: clk, mixedRows: 100})
	defer store.Close()
	table := orderedTable(t, store)
	rng := rand.New(rand.NewPCG(4, 5))
	for round := range 3 {
		for s, rows := range []int{1_400, 900, 1_200, 30} {
			var b storagetest.Batch
			for range rows / 2 {
				b.Add(storagetest.Point{Measure: fmt.Sprint("m", s), Dims: []string{"d", fmt.Sprint("d", s/3)}, Version: int64(1 + round),
					TimeNs: clk.Now().Add(-time.Duration(rng.IntN(rows)) * time.Second).UnixNano(),
					Values: []storagetest.NamedValue{storagetest.I("v", rng.Int64N(1000))}})
			}
			if _, err := table.Write(context.Background(), &b.Rows); err != nil {
				t.Fatal(err)
			}
		}
		if round < 2 {
			flushNow(t, store)
		}
	}
	for _, desc := range []bool{false, true} {
		for _, where := range [][]storage.Predicate{nil, {{Column: "v", Op: storage.Lt, Values: []vec.Value{storagetest.I("", 400).Value}}}} {
			spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"measure_name", "v", "time"}, Where: where,
				Order: []storage.OrderKey{{Column: "d", Desc: !desc}, {Column: storage.TimeColumnName, Desc: desc}}}
			applied(t, table, spec, true)
			storagetest.CheckScan(t, table, spec)
			spec.Columns, spec.Limit = []string{"d", "time"}, 500
			storagetest.CheckScan(t, table, spec)
		}
	}
}

// TestAnOrderThatDoesNotPayIsLeftToTheCaller asks for orders by which very many series, or pieces of all blocks
// one after the other, would have to be merged.
func TestAnOrderThatDoesNotPayIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	clk := clock.Manual(time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC))
	store := open(t, Options{FS: vfs.NewMem(), Clock: clk, mixedRows: 1 << 10})
	defer store.Close()
	table := orderedTable(t, store)
	const series, rows = 200, 50
	var b storagetest.Batch
	for s := range series {
		for i := range rows {
			b.Add(storagetest.Point{Measure: "m", Dims: []string{"a", fmt.Sprintf("%04d", s), "shuffled", fmt.Sprintf("%04d", s*79%series), "site", fmt.Sprint(s % 10), "one", "1"},
				TimeNs: clk.Now().Add(-time.Duration(i) * time.Second).UnixNano(), Values: []storagetest.NamedValue{storagetest.I("v", 1)}})
		}
	}
	if _, err := table.Write(context.Background(), &b.Rows); err != nil {
		t.Fatal(err)
	}
	check := func(want bool, keys ...string) {
		t.Helper()
		spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"a"}}
		for _, k := range keys {
			spec.Order = append(spec.Order, storage.OrderKey{Column: k})
		}
		applied(t, table, spec, want)
		storagetest.CheckScan(t, table, spec)
		spec.Columns, spec.Limit = keys, 70 // ties are equal
		storagetest.CheckScan(t, table, spec)
	}
	for _, flushed := range []bool{false, true} {
		if flushed {
			flushNow(t, store)
		}
		check(true, "a", "time")
		check(true, "a")
		check(!flushed, "shuffled", "time")
		check(!flushed, "site", "time") // 20 series of 50 rows
		check(false, "one", "time")
		check(false, "time")
		check(true, "one")
	}
}

func orderedTable(t *testing.T, store *Store) storage.Table {
	t.Helper()
	id := storage.TableID{Database: "d", Table: "t"}
	policy := storage.Policy{MemoryRetention: 24 * time.Hour, MagneticRetention: 24 * time.Hour, MagneticWrites: true}
	if err := store.CreateTable(context.Background(), id, policy); err != nil {
		t.Fatal(err)
	}
	table, err := store.Table(id)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func applied(t *testing.T, table storage.Table, spec storage.ScanSpec, want bool) {
	t.Helper()
	s, err := table.Scan(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Applied().Order; got != want {
		t.Errorf("order %v applied: %v, want %v", spec.Order, got, want)
	}
}

func TestStretchesMergeIntoOneOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var times []int64
		var ends []int
		for range rng.IntN(9) {
			at := rng.Int64N(20)
			for range rng.IntN(30) {
				times = append(times, at)
				at += rng.Int64N(4)
			}
			ends = append(ends, len(times))
		}
		order := mergeStretches(times, ends)
		want := slices.Clone(order)
		slices.Sort(want)
		slices.SortStableFunc(want, func(a, b int32) int { return int(times[a] - times[b]) })
		if !slices.Equal(order, want) {
			t.Fatalf("%v in stretches to %v: %v, want %v", times, ends, order, want)
		}
	}
}

// TestARunReadInPiecesPutsAColumnTogetherOnce: a series of many overlapping runs is one merged run, and merging it with
// others by time takes it piece by piece.
func TestARunReadInPiecesPutsAColumnTogetherOnce(t *testing.T) {
	t.Parallel()
	whole := &oneColumn{}
	c := cursor{w: worker{p: &plan{from: math.MinInt64, to: math.MaxInt64, ordered: &arrangement{}}}, runs: []run{
		&mergedRun{sources: []run{whole}, from: make([]int32, 4), at: []int32{0, 1, 2, 3}, ts: []int64{1, 2, 3, 4}},
	}}
	if more, err := c.load(); !more || err != nil {
		t.Fatal(more, err)
	}
	for i := range 4 {
		piece := c.span.part(i, i+1)
		var v values
		if err := piece.values(&scanColumn{Column: storage.Column{Role: storage.MeasureValue}, col: memstore.Col{ID: 7, Kind: vec.Bigint}}, &v); err != nil || v.ints[0] != int64(10*i) {
			t.Errorf("piece %d is %v, %v", i, v.ints, err)
		}
	}
	if whole.columns != 1 {
		t.Errorf("the source's column was read %d times, want once", whole.columns)
	}
}

// oneColumn is a run of four rows that counts how often its column is read.
type oneColumn struct {
	run
	columns int
}

func (c *oneColumn) column(_ memstore.Col, into *values) error {
	c.columns++
	*into = values{kind: vec.Bigint, ints: []int64{0, 10, 20, 30}}
	return nil
}
