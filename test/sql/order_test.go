package sql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestOrdersOfTheScanAndOfSortingAgree asks random sorts and windows by dimensions and time of rows that are read in
// that order, by several workers, and of rows that are sorted. Some rows are in segments, some late, some updates.
func TestOrdersOfTheScanAndOfSortingAgree(t *testing.T) {
	t.Parallel()
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	o := embedded.Options{FS: vfs.NewMem(), Clock: l.Clock}
	open := func() *embedded.Store {
		store, err := embedded.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		l.Backend = store
		return store
	}
	store := open()
	if err := l.CreateTable(context.Background(), "d", "t"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 9))
	for round := range 3 {
		for d := range 40 {
			var b storagetest.Batch
			for i := range 200 {
				if rng.IntN(3) == round {
					continue
				}
				p := storagetest.Point{Measure: fmt.Sprint("m", i%2), Version: int64(1 + round), TimeNs: sqltest.Start.Add(-time.Duration(i*(1+d%5)) * time.Minute).UnixNano(),
					Values: []storagetest.NamedValue{storagetest.I("v", rng.Int64N(50))}}
				if d > 0 {
					p.Dims = append(p.Dims, "device", fmt.Sprintf("d%02d", d))
				}
				if d%7 > 0 {
					p.Dims = append(p.Dims, "site", fmt.Sprint("s", d%4))
				}
				b.Add(p)
			}
			if err := l.Write(context.Background(), "d", "t", &b.Rows); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 {
			if err := store.Close(); err != nil { // which writes segments
				t.Fatal(err)
			}
			store = open()
		}
	}
	defer func() { store.Close() }()
	// check compares the rows in the order of the scan with those that are sorted.
	check := func(sql string, sorted bool) {
		run := func(off bool, workers int) []string {
			l.Off = map[string]bool{"scan-order": off}
			l.Exec = exec.Options{Workers: workers, ParallelRows: 1}
			got, err := l.Query(context.Background(), sql)
			if err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			var rows []string
			for _, r := range got.Rows {
				rows = append(rows, strings.Join(r, " | "))
			}
			if !sorted {
				slices.Sort(rows)
			}
			return rows
		}
		want := run(true, 1)
		for _, workers := range []int{1, 4} {
			if got := run(false, workers); !slices.Equal(got, want) {
				q, _ := l.Plan(sql)
				t.Errorf("%s, %d workers: %d rows, want %d\n%s", sql, workers, len(got), len(want), plan.Format(q.Root))
			}
		}
	}
	// Without an order, one partition is in many pieces of the scan.
	check("SELECT device, time, count(*) OVER (), sum(v) OVER () FROM d.t", false)
	check("SELECT device, time, count(*) OVER (PARTITION BY site) FROM d.t WHERE site = 's1'", false)
	check("SELECT device, time, sum(v) OVER (ORDER BY site) FROM d.t WHERE site = 's1'", false)
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	for range 25 {
		partition := pick("device, measure_name", "measure_name, device", "site, device, measure_name", "device, measure_name, bin(time, 1h)")
		time := "time" + pick("", " DESC")
		columns := []string{"device", "site", "measure_name", "time", "v"}
		for range 1 + rng.IntN(3) {
			columns = append(columns, pick("lag(v)", "lead(v, 2, -1)", "row_number()", "sum(v)", "max(v)", "last_value(v)", "ntile(3)")+" OVER (PARTITION BY "+partition+" ORDER BY "+time+")")
		}
		if rng.IntN(2) == 0 {
			columns = append(columns, "count(*) OVER (PARTITION BY "+pick("site", "device")+" ORDER BY "+time+")")
		}
		sql := "SELECT " + strings.Join(columns, ", ") + " FROM d.t" + pick("", " WHERE v % 3 > 0", " WHERE v < 20", " WHERE device > 'd20'", " WHERE site = 's1' AND time > ago(2h)")
		sorted := false
		switch rng.IntN(4) {
		case 0:
			sorted = true
			sql += " ORDER BY " + pick("device, measure_name, time", "device DESC NULLS FIRST, measure_name, time DESC", "site, device, measure_name, time") + pick("", " LIMIT 70")
		case 1:
			sql = "SELECT device, count(*), sum(x) FROM (" + strings.Replace(sql, columns[5], columns[5]+" AS x", 1) + ") GROUP BY device"
		}
		check(sql, sorted)
	}
}
