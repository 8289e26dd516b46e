package sql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// BenchmarkOrder runs queries that the order of the rows in segments helps, over 200 devices × 5,000 rows, with the
// rule scan-order and without.
func BenchmarkOrder(b *testing.B) {
	const devices, rows = 200, 5000
	l := sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	o := embedded.Options{FS: vfs.NewMem(), Clock: l.Clock}
	open := func() *embedded.Store {
		store, err := embedded.Open(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		l.Backend = store
		return store
	}
	store := open()
	if err := l.CreateTable(context.Background(), "d", "t"); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for d := range devices {
		var batch storagetest.Batch
		temperature := 20.0
		for i := range rows {
			temperature += float64(rng.IntN(21)-10) / 100
			batch.Add(storagetest.Point{
				Measure: "m", TimeNs: sqltest.Start.Add(-time.Duration(rows-i) * time.Minute).UnixNano(),
				Dims:   []string{"device_id", fmt.Sprintf("device-%05d", d), "site", fmt.Sprintf("site-%02d", d%20)},
				Values: []storagetest.NamedValue{storagetest.F("temperature", temperature), storagetest.F("reading", rng.Float64()*1000)},
			})
		}
		if err := l.Write(context.Background(), "d", "t", &batch.Rows); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.Close(); err != nil { // which writes segments
		b.Fatal(err)
	}
	defer open().Close()
	for _, q := range []struct{ name, sql string }{
		{"scan", "SELECT device_id, time, temperature FROM d.t"},
		{"sort", "SELECT device_id, time, reading FROM d.t ORDER BY device_id, time"},
		{"sort desc", "SELECT device_id, time, reading FROM d.t ORDER BY device_id, time DESC"},
		{"first", "SELECT device_id, time, reading FROM d.t ORDER BY device_id, time LIMIT 10"},
		{"lag", "SELECT device_id, time, lag(temperature) OVER (PARTITION BY device_id ORDER BY time) FROM d.t"},
		{"moving average", "SELECT device_id, time, avg(temperature) OVER (PARTITION BY device_id ORDER BY time ROWS 10 PRECEDING) FROM d.t"},
		{"newest", "SELECT device_id, time, temperature FROM (SELECT *, row_number() OVER (PARTITION BY device_id ORDER BY time DESC) AS n FROM d.t) WHERE n = 1"},
		{"changes", "SELECT device_id, count(*) FROM (SELECT device_id, temperature - lag(temperature) OVER (PARTITION BY device_id ORDER BY time) AS x FROM d.t) WHERE x > 0 GROUP BY device_id"},
	} {
		for _, rule := range []string{"on", "off"} {
			b.Run(q.name+"/rule="+rule, func(b *testing.B) {
				l.Off = map[string]bool{"scan-order": rule == "off"}
				before := cpuTime()
				for b.Loop() {
					p, err := l.Plan(q.sql)
					if err != nil {
						b.Fatal(err)
					}
					cur, err := exec.Open(context.Background(), p, exec.Options{Now: l.Clock.Now()})
					for batch := new(vec.Batch); err == nil && batch != nil; {
						batch, err = cur.Next(context.Background())
					}
					if err != nil {
						b.Fatal(err)
					}
					cur.Close()
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/(devices*rows), "cpu-ns/row")
			})
		}
	}
}
