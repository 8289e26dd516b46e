package schedule_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage/embedded"
)

// BenchmarkRun is a run whose result has many rows, each a multi-measure record.
func BenchmarkRun(b *testing.B) {
	for _, devices := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("rows=%d", devices), func(b *testing.B) {
			clk := clock.Manual(start)
			store, err := embedded.Open(b.Context(), embedded.Options{Dir: filepath.Join(b.TempDir(), "store"), Clock: clk})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			cat, err := catalog.Open(b.Context(), catalog.Options{Backend: store, Clock: clk})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := cat.CreateDatabase(b.Context(), "d", "", nil); err != nil {
				b.Fatal(err)
			}
			if _, err := cat.CreateTable(b.Context(), catalog.NewTable{Database: "d", Name: "out"}); err != nil {
				b.Fatal(err)
			}
			queries := query.New(query.Options{Catalog: cat, Functions: fn.New(), Clock: clk})
			defer queries.Close()
			s, err := schedule.Open(schedule.Options{Catalog: cat, Queries: queries, Ingest: ingest.New(ingest.Options{Catalog: cat, Limits: ingest.Limits{Records: 2000}}), Clock: clk})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			d := hourly()
			d.SQL = fmt.Sprintf("SELECT CAST(n AS varchar) AS device, BIN(@scheduled_runtime, 1h) AS hour, n * 0.5e0 AS mean, n FROM UNNEST(sequence(1, %d)) AS t(n)", devices)
			q, err := s.Create(b.Context(), d, nil, "")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := s.Execute(q.ARN, start, false); err != nil {
					b.Fatal(err)
				}
				if err := s.Settle(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if q, _ = s.Query(q.ARN); q.LastRun.Stats.Ingested != int64(devices) {
				b.Fatalf("last run %+v", q.LastRun)
			}
			b.ReportMetric(float64(devices)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
