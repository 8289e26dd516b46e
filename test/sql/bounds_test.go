package sql_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestTopRowsAreThoseOfTheWholeTable asks for the first rows of a table of many blocks, some with nulls and NaN,
// with and without the rule that bounds the scan, and looks whether the scan skipped what it could.
func TestTopRowsAreThoseOfTheWholeTable(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	o := embedded.Options{FS: vfs.NewMem(), Clock: l.Clock}
	store, err := embedded.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	l.Backend = store
	if err := l.CreateTable(ctx, "d", "t"); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	const series, rows = 12, 4000
	for s := range series {
		var b storagetest.Batch
		for i := range rows {
			p := storagetest.Point{Measure: "m", Dims: []string{"k", fmt.Sprint("k", s)}, TimeNs: sqltest.Start.Add(-time.Duration(rows-i) * time.Second).UnixNano()}
			p.Values = []storagetest.NamedValue{storagetest.F("v", math.Floor(r.Float64()*1e9)/1e6), storagetest.I("n", r.Int64N(500))}
			if s == 3 && i%900 == 0 {
				p.Values[0] = storagetest.F("x", math.NaN())
			} else if s > 5 {
				p.Values = append(p.Values, storagetest.F("x", r.NormFloat64()))
			}
			b.Add(p)
		}
		if err := l.Write(ctx, "d", "t", &b.Rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil { // writes segments
		t.Fatal(err)
	}
	if store, err = embedded.Open(ctx, o); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l.Backend = store
	for _, c := range []struct {
		order string
		skips bool
	}{
		{"v DESC, n, k LIMIT 10", true},
		{"v, k LIMIT 5", true},
		{"v NULLS FIRST, time, k LIMIT 7", false},
		{"v DESC NULLS FIRST, time, k OFFSET 3 LIMIT 3", false},
		{"n DESC, v, k OFFSET 100 LIMIT 20", false},
		{"x DESC, time, k LIMIT 9", false},
		{"x, time, k LIMIT 9", false},
		{"time, k DESC LIMIT 4", true},
	} {
		sql := "SELECT v, n, x, k, time FROM d.t ORDER BY " + c.order
		answer := func() [][]string {
			a, err := l.Query(ctx, sql)
			if err != nil {
				t.Fatal(err)
			}
			return a.Rows
		}
		got := answer()
		if skipped := blocksSkipped(t, l, sql); c.skips && skipped == 0 {
			t.Errorf("ORDER BY %s skips no block", c.order)
		}
		l.Off = map[string]bool{"top-bound": true}
		if want := answer(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("ORDER BY %s\n got %v\nwant %v", c.order, got, want)
		}
		l.Off = nil
	}
}

func blocksSkipped(t *testing.T, l *sqltest.Local, sql string) int64 {
	q, err := l.Plan(sql)
	if err != nil {
		t.Fatal(err)
	}
	c, err := exec.Open(t.Context(), q, exec.Options{Now: sqltest.Start, BatchRows: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		if b, err := c.Next(t.Context()); err != nil {
			t.Fatal(err)
		} else if b == nil {
			return c.Stats().Storage.BlocksSkipped
		}
	}
}
