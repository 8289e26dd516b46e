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
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// BenchmarkGroup groups by what the order of rows does not help with, over 700 devices × 1,440 rows in segments: the
// rows of bench/operators.go.
func BenchmarkGroup(b *testing.B) {
	const devices, rows = 700, 1440
	ctx := context.Background()
	l := sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	o := embedded.Options{FS: vfs.NewMem(), Clock: l.Clock}
	open := func() *embedded.Store {
		store, err := embedded.Open(ctx, o)
		if err != nil {
			b.Fatal(err)
		}
		l.Backend = store
		return store
	}
	store := open()
	if err := l.CreateTable(ctx, "d", "t"); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for d := range devices {
		var batch storagetest.Batch
		temperature := 20.0
		for i := range rows {
			temperature += 0.05 * rng.NormFloat64()
			batch.Add(storagetest.Point{
				Measure: "m", TimeNs: sqltest.Start.Add(-time.Duration(rows-i) * time.Minute).UnixNano(),
				Dims: []string{"device_id", fmt.Sprintf("device-%05d", d), "site", fmt.Sprintf("site-%02d", d%20)},
				Values: []storagetest.NamedValue{
					storagetest.F("temperature", math.Round(temperature*100)/100),
					storagetest.F("reading", math.Floor(rng.Float64()*1e15)/1e12),
					storagetest.I("code", rng.Int64N(1_000_000)), storagetest.I("kind", rng.Int64N(1000)),
				},
			})
		}
		if err := l.Write(ctx, "d", "t", &batch.Rows); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.Close(); err != nil { // which writes segments
		b.Fatal(err)
	}
	defer open().Close()
	for _, q := range []struct{ name, sql string }{
		{"kind", "SELECT kind, count(*), sum(reading) FROM d.t GROUP BY kind"},
		{"kind, many", "SELECT kind, count(*), count(reading), avg(reading), sum(reading), max(temperature), avg(temperature) FROM d.t GROUP BY kind"},
		{"kind, filter", "SELECT kind, count(*), sum(reading) FROM d.t WHERE temperature > 20 GROUP BY kind"},
		{"site, kind", "SELECT site, kind, count(*), sum(reading) FROM d.t GROUP BY site, kind"},
		{"kind, two", "SELECT kind, code % 10, count(*), avg(temperature) FROM d.t GROUP BY 1, 2"},
		{"code", "SELECT code, count(*), sum(reading) FROM d.t GROUP BY code"},
		{"scan", "SELECT kind, reading FROM d.t OFFSET 100000000"},
	} {
		b.Run(q.name, func(b *testing.B) {
			before := cpuTime()
			for b.Loop() {
				p, err := l.Plan(q.sql)
				if err != nil {
					b.Fatal(err)
				}
				cur, err := exec.Open(ctx, p, exec.Options{Now: l.Clock.Now()})
				for batch := new(vec.Batch); err == nil && batch != nil; {
					batch, err = cur.Next(ctx)
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
