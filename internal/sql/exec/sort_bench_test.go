package exec_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/sql/exec"
)

// BenchmarkSortLarge sorts rows that no cache holds, by keys to which the order of the table says nothing; use
// -benchtime 1x. As in bench/operators.go, f is random, i one of a million numbers.
func BenchmarkSortLarge(b *testing.B) {
	const series, rows = 7000, 1440
	t := newBenchTable(series, rows)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, batch := range t.batches {
		for i := range batch.Len {
			batch.Columns[3].Floats[i] = rng.Float64() * 1000
			batch.Columns[4].Ints[i] = rng.Int64N(1_000_000)
		}
	}
	for _, bench := range []struct{ name, sql string }{
		{"sort=double,columns=1", "SELECT f FROM d.t ORDER BY f"},
		{"sort=double,columns=4", "SELECT f, time, k, i FROM d.t ORDER BY f"},
		{"sort=bigint+time", "SELECT i, time, k, f FROM d.t ORDER BY i, time DESC"},
		{"window=row_number", "SELECT i % 1000, f, row_number() OVER (PARTITION BY i % 1000 ORDER BY f) FROM d.t"},
		{"window=rank", "SELECT i, rank() OVER (ORDER BY i) FROM d.t"},
		{"window=moving sum", "SELECT k, f, sum(f) OVER (PARTITION BY k ORDER BY f ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) FROM d.t"},
		{"window=running max", "SELECT i, time, max(f) OVER (PARTITION BY i ORDER BY time) FROM d.t"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				c := openTable(b, t, bench.sql, exec.Options{})
				if _, err := drain(context.Background(), c); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N)/float64(t.rows), "cpu-ns/row")
		})
	}
}
