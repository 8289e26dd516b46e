package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

func eq(column, value string) storage.Predicate {
	return storage.Predicate{Column: column, Op: storage.Eq, Values: []vec.Value{vec.Str(value)}}
}

func allOf(where ...storage.Predicate) storage.Deletion {
	return storage.Deletion{From: storage.AllTime.From, To: storage.AllTime.To, Where: where}
}

// wantDelete deletes and checks how many rows there were.
func (e *env) wantDelete(d storage.Deletion, want int64) {
	e.Helper()
	if got, err := e.table().Delete(context.Background(), d); err != nil || got != want {
		e.Errorf("delete = %d, %v; want %d", got, err, want)
	}
}

// minutes are n rows of a device, one a minute before start, whose value is the number of the minute.
func minutes(device string, n int) []Point {
	var points []Point
	for i := range n {
		points = append(points, Point{Measure: "m", Dims: []string{"device", device}, TimeNs: start.Add(-time.Duration(i) * time.Minute).UnixNano(),
			Values: []NamedValue{F("v", float64(i))}})
	}
	return points
}

// count is how many rows of each device there are.
func count(t testing.TB, table storage.Table) string {
	return Text(Answer(t, table, storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Aggregation: &storage.Aggregation{
		Keys: []storage.GroupKey{{Column: "device"}}, Aggs: []storage.Agg{{Func: storage.CountRows}}}}))
}

func testDelete(e *env) {
	table := e.create(basePolicy)
	for _, device := range []string{"a", "b", "c"} {
		e.write(table, minutes(device, 10)...)
	}
	e.write(table, Point{Measure: "other", TimeNs: start.UnixNano(), Values: []NamedValue{F("v", 1)}})
	e.disturb()
	e.wantDelete(allOf(eq("device", "a")), 10)
	e.wantDelete(allOf(eq("device", "a")), 0)
	e.wantDelete(storage.Deletion{From: start.Add(-3 * time.Minute).UnixNano(), To: start.UnixNano(), Where: []storage.Predicate{eq("device", "b")}}, 3)
	pattern := storage.Predicate{Column: "device", Op: storage.Match, Matches: func(v string, null bool) bool { return null || v >= "c" }}
	want := "\"b\" 7\n\"c\" 10\n"
	e.wantDelete(allOf(pattern, eq("measure_name", "other")), 1)
	if got := count(e, e.table()); got != want {
		e.Errorf("got\n%swant\n%s", got, want)
	}
	if got := count(e, e.disturb()); got != want {
		e.Errorf("disturbed: got\n%swant\n%s", got, want)
	}
	e.wantDelete(allOf(pattern), 10)
	e.wantDelete(allOf(), 7)
	if got := count(e, e.disturb()); got != "" {
		e.Errorf("got\n%swant nothing", got)
	}
	if n := len(e.table().Schema().Columns); n != 4 {
		e.Errorf("the schema has %d columns, want it unchanged", n)
	}
}

func testDeleteStatistics(e *env) {
	table := e.create(basePolicy)
	e.write(table, minutes("a", 600)...)
	e.disturb()
	// The newest, the oldest, and a stretch in the middle.
	for _, r := range [][2]int{{0, 3}, {590, 600}, {100, 200}} {
		from, to := start.Add(-time.Duration(r[1]-1)*time.Minute), start.Add(-time.Duration(r[0]-1)*time.Minute)
		e.wantDelete(storage.Deletion{From: from.UnixNano(), To: to.UnixNano()}, int64(r[1]-r[0]))
	}
	check := func(table storage.Table) {
		e.Helper()
		spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Aggregation: &storage.Aggregation{Aggs: []storage.Agg{
			{Func: storage.CountRows}, {Func: storage.Count, Column: "v"}, {Func: storage.Sum, Column: "v"}, {Func: storage.Min, Column: "v"}, {Func: storage.Max, Column: "v"},
			{Func: storage.First, Column: "v"}, {Func: storage.Last, Column: "v"}, {Func: storage.Max, Column: "time"}}}}
		sum := 0
		for i := 3; i < 590; i++ {
			if i < 100 || i >= 200 {
				sum += i
			}
		}
		at := func(i int) int64 { return start.Add(-time.Duration(i) * time.Minute).UnixNano() }
		want := fmt.Sprintf("487 487 %d 3 589 %d 589 %d 3 %d\n", sum, at(589), at(3), at(3))
		if got := Text(Answer(e, table, spec)); got != want {
			e.Errorf("got\n%swant\n%s", got, want)
		}
		spec.Aggregation.Aggs = []storage.Agg{{Func: storage.Last, Column: "v"}}
		if got, want := Text(Answer(e, table, spec)), fmt.Sprintf("%d 3\n", at(3)); got != want {
			e.Errorf("last: got %swant %s", got, want)
		}
		top := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"v"}, Limit: 2, NewestFirst: true}
		if got := Text(Answer(e, table, top)); got != "3\n4\n" {
			e.Errorf("newest: got %s", got)
		}
		top.Where = []storage.Predicate{{Column: "v", Op: storage.Ge, Values: []vec.Value{vec.Float(99)}}}
		if got := Text(Answer(e, table, top)); got != "99\n200\n" {
			e.Errorf("newest at least 99: got %s", got)
		}
	}
	check(e.table())
	check(e.disturb())
}

func testWriteAfterDelete(e *env) {
	table := e.create(basePolicy)
	p := minutes("a", 1)[0]
	p.Version = 5
	e.write(table, p)
	late := p
	late.TimeNs -= int64(5 * 24 * time.Hour)
	e.write(table, late)
	e.disturb()
	e.wantDelete(allOf(eq("device", "a")), 2)
	// Versions of deleted rows do not count, and neither do their values.
	p.Version, p.Values = 2, []NamedValue{F("v", 42)}
	late.Version, late.Values = 2, []NamedValue{F("v", 43)}
	if r := e.write(e.table(), p, late); r.Memory != 1 || r.Magnetic != 1 || len(r.Superseded) != 0 {
		e.Errorf("receipt %+v", r)
	}
	want := "42\n43\n"
	spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To, Columns: []string{"v"}}
	if got := Text(Answer(e, e.table(), spec)); got != want {
		e.Errorf("got %swant %s", got, want)
	}
	table = e.disturb()
	if got := Text(Answer(e, table, spec)); got != want {
		e.Errorf("disturbed: got %swant %s", got, want)
	}
	p.Version = 1
	if r := e.write(table, p); len(r.Rejections) != 1 || r.Rejections[0].Existing != 2 {
		e.Errorf("an older version: receipt %+v", r)
	}
	e.wantDelete(allOf(), 2)
}

func testDeleteRefused(e *env) {
	table := e.create(basePolicy)
	e.write(table, minutes("a", 3)...)
	for _, column := range []string{"v", "time", "nothing"} {
		if _, err := table.Delete(context.Background(), allOf(storage.Predicate{Column: column, Op: storage.IsNotNull})); !fault.Is(err, fault.Invalid) {
			e.Errorf("on %s: %v, want invalid", column, err)
		}
	}
	d := allOf(eq("device", "a"))
	refused := errors.New("no")
	d.Confirm = func() error { return refused }
	if _, err := table.Delete(context.Background(), d); !errors.Is(err, refused) {
		e.Errorf("unconfirmed: %v", err)
	}
	if got := count(e, table); got != "\"a\" 3\n" {
		e.Errorf("got %s", got)
	}
	e.wantDelete(storage.Deletion{From: 10, To: 10}, 0)
	e.b.DropTable(context.Background(), testID)
	if _, err := table.Delete(context.Background(), d); !fault.Is(err, fault.NotFound) {
		e.Errorf("of a dropped table: %v", err)
	}
}
