package sql_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestCorrelatedSubqueriesOfManyRowsBecomeJoins asks them of more rows than are served one by one.
func TestCorrelatedSubqueriesOfManyRowsBecomeJoins(t *testing.T) {
	t.Parallel()
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	store, err := embedded.Open(context.Background(), embedded.Options{FS: vfs.NewMem(), Clock: l.Clock})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l.Backend = store
	if err := l.CreateTable(context.Background(), "d", "t"); err != nil {
		t.Fatal(err)
	}
	var b storagetest.Batch
	for i := range 600 {
		b.Add(storagetest.Point{
			Measure: "m", TimeNs: sqltest.Start.Add(-time.Duration(i) * time.Second).UnixNano(), Dims: []string{"device", fmt.Sprint("d", i%30), "next", fmt.Sprint("d", i%30+1)},
			Values: []storagetest.NamedValue{storagetest.I("v", int64(i*7919%601))},
		})
	}
	if err := l.Write(context.Background(), "d", "t", &b.Rows); err != nil {
		t.Fatal(err)
	}
	for i, subquery := range []string{
		"SELECT max(v) FROM d.t x WHERE x.device = y.next",
		"SELECT v FROM d.t x WHERE x.device = y.next ORDER BY time DESC LIMIT 1",
		"SELECT coalesce(v, 1) FROM d.t x WHERE x.device = y.next AND v < 300 ORDER BY time LIMIT 1",
		"SELECT date_diff('second', w, y.time) FROM (SELECT device, time AS w FROM d.t) x WHERE x.device = y.next ORDER BY w DESC LIMIT 1", // reads the row outside: stays
	} {
		sql := "SELECT device, time, (" + subquery + ") AS found FROM d.t y WHERE v % 3 = 0 ORDER BY time"
		answer := func(off bool) [][]string {
			l.Off = map[string]bool{"decorrelate": off}
			got, err := l.Query(context.Background(), sql)
			if err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			return got.Rows
		}
		l.Off = nil
		q, err := l.Plan(sql)
		if err != nil {
			t.Fatal(err)
		}
		if joined, want := slices.Contains(q.Rules, "decorrelate"), i < 3; joined != want {
			t.Errorf("%s: becomes a join: %t, want %t", subquery, joined, want)
		}
		if got, want := answer(false), answer(true); len(got) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: as a join %v, one by one %v", subquery, got, want)
		}
	}
}
