package sql_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestPatternsSelectManySeriesAsTheySelectRows asks with predicates that storage evaluates once per value of a dimension, many at a
// time, and with the same on rows.
func TestPatternsSelectManySeriesAsTheySelectRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	store, err := embedded.Open(ctx, embedded.Options{FS: vfs.NewMem(), Clock: l.Clock})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l.Backend = store
	if err := l.CreateTable(ctx, "d", "t"); err != nil {
		t.Fatal(err)
	}
	var b storagetest.Batch
	for i := range 2500 { // in more than one piece
		dims := []string{"device", fmt.Sprint("device-", i)}
		if i%3 > 0 {
			dims = append(dims, "site", fmt.Sprint(i%5-1))
		}
		b.Add(storagetest.Point{Measure: "m", Dims: dims, TimeNs: sqltest.Start.UnixNano() - int64(i+1), Values: []storagetest.NamedValue{storagetest.F("v", float64(i))}})
	}
	if err := l.Write(ctx, "d", "t", &b.Rows); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{
		"device LIKE '%77'",
		"NOT device LIKE 'device-1%'",
		"regexp_like(device, '-2[0-9]*5$')",
		"length(device) = 10 OR device = 'device-7'",
		"CAST(substr(device, 8) AS BIGINT) % 7 = 3",
		"coalesce(site, 'none') <> '2'",
		"site LIKE '%' AND device LIKE '%1'",
		"10 / CAST(site AS BIGINT) > 2", // an error, for some
	} {
		sql := "SELECT count(*), sum(v), min(device) FROM d.t WHERE " + where
		var answers [2]any
		for k, o := range []exec.Options{{}, {NoPushdown: true}} {
			l.Exec = o
			a, err := l.Query(ctx, sql)
			if answers[k] = fmt.Sprint(err); err == nil {
				answers[k] = a.Rows
			}
		}
		if !reflect.DeepEqual(answers[0], answers[1]) {
			t.Errorf("%s: %v, and by rows %v", where, answers[0], answers[1])
		}
	}
}
