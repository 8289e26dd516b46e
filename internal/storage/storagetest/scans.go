package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// plain hides a table's pushdowns: its scans ask for the time range and the
// columns only, so that answers are finished by the reference alone.
type plain struct{ storage.Table }

func (p plain) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	s, err := p.Table.Scan(ctx, storage.ScanSpec{From: spec.From, To: spec.To, Columns: spec.Columns})
	return plainScanner{s, len(spec.Where)}, err
}

type plainScanner struct {
	storage.Scanner
	predicates int
}

func (p plainScanner) Applied() storage.Applied {
	return storage.Applied{Where: make([]bool, p.predicates)}
}

// reusing lets the memory of batches be used again.
type reusing struct{ storage.Table }

func (r reusing) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	spec.Reuse = true
	return r.Table.Scan(ctx, spec)
}

// divided reads scans by several goroutines, where they can be.
type divided struct{ storage.Table }

func (d divided) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	spec.Order = nil // of each reader's rows, not of all
	s, err := d.Table.Scan(ctx, spec)
	if in, ok := s.(storage.Divided); ok && err == nil {
		return &dividedScanner{Divided: in}, nil
	}
	return s, err
}

type dividedScanner struct {
	storage.Divided
	out  chan *vec.Batch
	err  error // once out is closed
	read sync.WaitGroup
}

func (d *dividedScanner) Next(ctx context.Context) (*vec.Batch, error) {
	if d.out == nil {
		d.start(ctx)
	}
	b, ok := <-d.out
	if !ok {
		return nil, d.err
	}
	return b, nil
}

// start sends copies of all batches: they are valid for their reader alone.
func (d *dividedScanner) start(ctx context.Context) {
	d.out = make(chan *vec.Batch)
	readers := d.Divide(3)
	errs := make([]error, len(readers))
	for i, r := range readers {
		d.read.Go(func() {
			for {
				b, err := r.Next(ctx)
				if errs[i] = err; b == nil || err != nil {
					return
				}
				rows := make([]int32, b.Len)
				for k := range rows {
					rows[k] = int32(k)
				}
				d.out <- b.Gather(rows)
			}
		})
	}
	go func() {
		d.read.Wait()
		d.err = errors.Join(errs...)
		close(d.out)
	}()
}

// CheckScan compares the answer of a scan with that of the same scan without any
// pushdown, and those of the other ways to read it. A limit without an order may be met by any rows, so only the count and
// the predicates are compared.
func CheckScan(t testing.TB, table storage.Table, spec storage.ScanSpec) {
	t.Helper()
	if spec.To == 0 {
		spec.From, spec.To = storage.AllTime.From, storage.AllTime.To
	}
	got, want := Answer(t, table, spec), Answer(t, plain{table}, spec)
	defer func() {
		t.Helper()
		if spec.Limit > 0 || spec.Aggregation != nil || t.Failed() {
			return
		}
		for name, other := range map[string]storage.Table{"reusing": reusing{table}, "divided": divided{table}} {
			if got := Answer(t, other, spec); !Same(got, want) {
				t.Errorf("scan, %s, %s\n got\n%s\nwant\n%s", name, describe(spec), Text(got), Text(want))
			}
		}
	}()
	if spec.Limit > 0 && !spec.NewestFirst && spec.Order == nil && spec.Aggregation == nil {
		if len(got) != len(want) {
			t.Errorf("scan %s: %d rows, want %d", describe(spec), len(got), len(want))
		}
		return
	}
	if spec.NewestFirst { // ties at the cut may differ
		got, want = timesOnly(spec, got), timesOnly(spec, want)
	}
	if !Same(got, want) {
		t.Errorf("scan %s\n got\n%s\nwant\n%s", describe(spec), Text(got), Text(want))
	}
}

func timesOnly(spec storage.ScanSpec, lines []Line) []Line {
	for i, name := range spec.Columns {
		if name == storage.TimeColumnName {
			for k := range lines {
				lines[k] = lines[k][i : i+1]
			}
			break
		}
	}
	return lines
}

func describe(spec storage.ScanSpec) string {
	s := fmt.Sprintf("[%d, %d) %v limit %d newest %v order %v", spec.From, spec.To, spec.Columns, spec.Limit, spec.NewestFirst, spec.Order)
	for _, p := range spec.Where {
		s += fmt.Sprintf(" where %s op %d", p.Column, p.Op)
		for _, v := range p.Values {
			s += " " + Text([]Line{{v}})
		}
	}
	if spec.Aggregation != nil {
		s += fmt.Sprintf(" aggregation %+v", *spec.Aggregation)
	}
	return s
}

// fill writes some series of every type with gaps, over two days, in pieces with
// disturbances between them.
func (e *env) fill() storage.Table {
	table := e.create(basePolicy)
	for piece := range 3 {
		var b Batch
		for series := range 7 {
			dims := []string{"d", fmt.Sprint("d", series)}
			if series%2 == 0 {
				dims = append(dims, "region", []string{"eu", "us"}[series/2%2])
			}
			for i := range 60 {
				n := int64(i*3 + piece)
				p := Point{Measure: []string{"m", "n"}[series%2], Dims: dims, TimeNs: at(time.Duration(n) * 17 * time.Minute)}
				switch {
				case i%11 == 3: // a row of nulls but for one column
					p.Values = []NamedValue{S("note", "gap")}
				default:
					p.Values = []NamedValue{F("f", float64(n%50)/10), I("i", n*n-int64(series)), S("s", fmt.Sprint("s", n%5)), B("b", n%3 == 0), T("t", n)}
				}
				b.Add(p)
			}
		}
		if r, err := table.Write(context.Background(), &b.Rows); err != nil || len(r.Rejections) > 0 {
			e.Fatalf("%+v %v", r, err)
		}
		if piece < 2 {
			table = e.disturb()
		}
	}
	return table
}

func predicatesFor() []storage.Predicate {
	one := func(v vec.Value) []vec.Value { return []vec.Value{v} }
	ps := []storage.Predicate{
		{Column: "d", Op: storage.In, Values: []vec.Value{vec.Str("d1"), vec.Str("d4"), vec.Str("none")}},
		{Column: "region", Op: storage.IsNull},
		{Column: "region", Op: storage.IsNotNull},
		{Column: "region", Op: storage.Match, Matches: func(v string, null bool) bool { return null || v == "us" }, Text: "region is null or us"},
		{Column: "measure_name", Op: storage.Eq, Values: one(vec.Str("n"))},
		{Column: "measure_name", Op: storage.IsNull},
		{Column: "time", Op: storage.IsNotNull},
		{Column: "time", Op: storage.In, Values: []vec.Value{vec.Int(vec.TimestampType, at(17*time.Minute)), vec.Int(vec.TimestampType, at(51*time.Minute))}},
		{Column: "i", Op: storage.In, Values: []vec.Value{vec.Int(vec.BigintType, 4), vec.Int(vec.BigintType, 3)}},
		{Column: "s", Op: storage.In, Values: []vec.Value{vec.Str("s1"), vec.Str("s9")}},
		{Column: "f", Op: storage.IsNull},
		{Column: "note", Op: storage.IsNotNull},
	}
	for op := storage.Eq; op <= storage.Ge; op++ {
		ps = append(ps,
			storage.Predicate{Column: "d", Op: op, Values: one(vec.Str("d3"))},
			storage.Predicate{Column: "region", Op: op, Values: one(vec.Str("eu"))},
			storage.Predicate{Column: "f", Op: op, Values: one(vec.Float(2.5))},
			storage.Predicate{Column: "i", Op: op, Values: one(vec.Int(vec.BigintType, 900))},
			storage.Predicate{Column: "s", Op: op, Values: one(vec.Str("s2"))},
			storage.Predicate{Column: "b", Op: op, Values: one(vec.Bool(true))},
			storage.Predicate{Column: "t", Op: op, Values: one(vec.Int(vec.TimestampType, 90))},
			storage.Predicate{Column: "time", Op: op, Values: one(vec.Int(vec.TimestampType, at(34*time.Minute)))},
		)
	}
	return ps
}

func testPredicates(e *env) {
	table := e.fill()
	ps := predicatesFor()
	for i, p := range ps {
		CheckScan(e.T, table, storage.ScanSpec{Columns: []string{"d", "time", "f"}, Where: []storage.Predicate{p}})
		CheckScan(e.T, table, storage.ScanSpec{Columns: []string{"s"}, Where: []storage.Predicate{p, ps[(i*5+3)%len(ps)]}, From: at(20 * time.Hour), To: at(time.Hour)})
	}
}

func allAggs() []storage.Agg {
	aggs := []storage.Agg{{Func: storage.CountRows}}
	for _, c := range []string{"f", "i", "s", "b", "t", "time", "d", "region", "note"} {
		aggs = append(aggs, storage.Agg{Func: storage.Count, Column: c}, storage.Agg{Func: storage.Min, Column: c}, storage.Agg{Func: storage.Max, Column: c})
	}
	for _, c := range []string{"f", "i"} {
		aggs = append(aggs, storage.Agg{Func: storage.Sum, Column: c}, storage.Agg{Func: storage.Moments, Column: c})
	}
	return aggs
}

func testAggregations(e *env) {
	table := e.fill()
	var lasts []storage.Agg
	for _, c := range []string{"f", "i", "s", "b", "t", "time", "d", "region", "measure_name"} {
		lasts = append(lasts, storage.Agg{Func: storage.First, Column: c}, storage.Agg{Func: storage.Last, Column: c})
	}
	series := []storage.GroupKey{{Column: "d"}, {Column: "region"}, {Column: "measure_name"}}
	bin := func(d time.Duration) storage.GroupKey { return storage.GroupKey{Column: "time", BinNs: int64(d)} }
	for _, where := range [][]storage.Predicate{
		nil,
		{{Column: "f", Op: storage.Gt, Values: []vec.Value{vec.Float(2)}}},
		{{Column: "region", Op: storage.IsNotNull}, {Column: "i", Op: storage.Lt, Values: []vec.Value{vec.Int(vec.BigintType, 5000)}}},
		{{Column: "d", Op: storage.Eq, Values: []vec.Value{vec.Str("none")}}},
	} {
		for _, window := range [][2]int64{{storage.AllTime.From, storage.AllTime.To}, {at(30 * time.Hour), at(2 * time.Hour)}} {
			check := func(aggs []storage.Agg, keys ...storage.GroupKey) {
				e.Helper()
				CheckScan(e.T, table, storage.ScanSpec{From: window[0], To: window[1], Where: where, Aggregation: &storage.Aggregation{Keys: keys, Aggs: aggs}})
			}
			check(allAggs())
			check(allAggs(), storage.GroupKey{Column: "region"})
			check(allAggs(), storage.GroupKey{Column: "measure_name"}, bin(time.Hour))
			check(allAggs(), bin(7*time.Hour), storage.GroupKey{Column: "d"})
			check(allAggs(), bin(365*24*time.Hour))
			var edges []storage.Agg // of both ends
			for _, c := range []string{"f", "i", "s", "b", "t", "time", "d", "region", "note"} {
				edges = append(edges, storage.Agg{Func: storage.First, Column: c}, storage.Agg{Func: storage.Last, Column: c})
			}
			edges = append(edges, storage.Agg{Func: storage.Max, Column: "time"}, storage.Agg{Func: storage.Min, Column: "time"})
			check(edges, series...)
			check(edges[1:2], series...)
			check([]storage.Agg{edges[1], {Func: storage.Max, Column: "time"}}, series...)
			check([]storage.Agg{edges[0], {Func: storage.Min, Column: "time"}}, storage.GroupKey{Column: "d"})
			check(lasts, series...)
			check(lasts, append([]storage.GroupKey{bin(3 * time.Hour)}, series...)...)
			check(nil, storage.GroupKey{Column: "region"})
			check([]storage.Agg{{Func: storage.Last, Column: "f"}, {Func: storage.Last, Column: "s"}}, series...)
		}
	}
}

func testLimit(e *env) {
	table := e.fill()
	for _, limit := range []int64{1, 10, 399, 1000} {
		for _, where := range [][]storage.Predicate{nil, {{Column: "f", Op: storage.Gt, Values: []vec.Value{vec.Float(2)}}}} {
			CheckScan(e.T, table, storage.ScanSpec{Columns: []string{"d", "time"}, Limit: limit, Where: where})
			CheckScan(e.T, table, storage.ScanSpec{Columns: []string{"d", "time"}, Limit: limit, NewestFirst: true, Where: where})
		}
	}
}
