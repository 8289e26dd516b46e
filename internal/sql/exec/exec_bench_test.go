package exec_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// benchTable is rows in memory in series order, as cheap to scan as can be.
type benchTable struct {
	storage.Table
	schema  *storage.Schema
	batches []*vec.Batch
	rows    int
}

const benchBatch = 4096

// newBenchTable makes series × rows rows, one a minute: dimension k, doubles f and g, bigint i (a
// permutation, so that order does not help).
func newBenchTable(series, rows int) *benchTable {
	t := &benchTable{rows: series * rows, schema: &storage.Schema{Columns: []storage.Column{
		{Name: "k", Type: vec.VarcharType, Role: storage.Dimension},
		{Name: "measure_name", Type: vec.VarcharType, Role: storage.MeasureName},
		{Name: "time", Type: vec.TimestampType, Role: storage.TimeColumn},
		{Name: "f", Type: vec.DoubleType, Role: storage.Attribute},
		{Name: "i", Type: vec.BigintType, Role: storage.Attribute},
	}}}
	names := make([]string, series)
	for s := range names {
		names[s] = fmt.Sprintf("device-%05d", s)
	}
	dict := vec.OfStrs(names, nil)
	for from := 0; from < t.rows; from += benchBatch {
		n := min(benchBatch, t.rows-from)
		k, times, f, i := make([]int32, n), make([]int64, n), make([]float64, n), make([]int64, n)
		for j := range n {
			at := from + j
			k[j] = int32(at / rows)
			times[j] = sqltest.Start.UnixNano() - int64(rows-at%rows)*60e9
			f[j] = float64(at%977) / 10
			i[j] = int64(at) * 7919 % int64(t.rows)
		}
		t.batches = append(t.batches, &vec.Batch{Len: n, Columns: []*vec.Vector{
			vec.OfDict(k, dict), vec.Const(vec.Str("m"), n), vec.OfInts(vec.TimestampType, times, nil), vec.OfFloats(f, nil), vec.OfInts(vec.BigintType, i, nil),
		}})
	}
	return t
}

func (t *benchTable) Schema() *storage.Schema   { return t.schema }
func (t *benchTable) Stats() storage.TableStats { return storage.TableStats{Rows: int64(t.rows)} }
func (t *benchTable) Scan(_ context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	s := &benchScanner{t: t, where: len(spec.Where)}
	for _, name := range spec.Columns {
		s.columns = append(s.columns, t.schema.Lookup(name))
	}
	return s, nil
}

// Resolve implements plan.Catalog: every name is this table.
func (t *benchTable) Resolve(string, string) (storage.Table, bool, error) { return t, false, nil }

type benchScanner struct {
	t       *benchTable
	columns []int
	where   int
	at      int
}

func (s *benchScanner) Applied() storage.Applied {
	return storage.Applied{Where: make([]bool, s.where)}
}
func (s *benchScanner) Stats() storage.ScanStats { return storage.ScanStats{} }
func (s *benchScanner) Close()                   {}
func (s *benchScanner) Next(context.Context) (*vec.Batch, error) {
	if s.at == len(s.t.batches) {
		return nil, nil
	}
	b := s.t.batches[s.at]
	s.at++
	out := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(s.columns))}
	for i, c := range s.columns {
		out.Columns[i] = b.Columns[c]
	}
	return out, nil
}

// cpuTime is what the process has used so far: on a busy machine it says more than the clock.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkQuery(b *testing.B) {
	t := newBenchTable(1000, 1440)
	for _, bench := range []struct{ name, sql string }{
		{"count", "SELECT count(*) FROM d.t"},
		{"sum", "SELECT sum(f), min(f), max(f) FROM d.t"},
		{"filter", "SELECT count(*) FROM d.t WHERE f > 50 AND i % 3 = 0"},
		{"project", "SELECT max(f * 2 + i), min(bin(time, 1h)) FROM d.t"},
		{"group=device,bin", "SELECT k, bin(time, 15m), avg(f), min(f), max(f) FROM d.t GROUP BY k, bin(time, 15m)"},
		{"group=device", "SELECT k, max_by(f, time), stddev(f) FROM d.t GROUP BY k"},
		{"group=bin", "SELECT bin(time, 1h), avg(f) FROM d.t GROUP BY 1"},
		{"group=hash,1M", "SELECT i, count(*) FROM d.t GROUP BY i"},
		{"group=hash,1k", "SELECT i % 1000, sum(f) FROM d.t GROUP BY 1"},
		{"group=pairs,1M", "SELECT i % 100000, i % 17, max(f) FROM d.t GROUP BY 1, 2"},
		{"group=text,1M", "SELECT 'code-' || CAST(i AS varchar), count(*), sum(f) FROM d.t GROUP BY 1"},
		{"distinct", "SELECT count(DISTINCT i) FROM d.t"},
		{"join=device", "SELECT count(*) FROM d.t a JOIN (SELECT k, avg(f) AS m FROM d.t GROUP BY k) s ON a.k = s.k WHERE a.f > s.m"},
		{"join=1k", "SELECT count(*), sum(b.f) FROM d.t a JOIN (SELECT i, f FROM d.t WHERE i < 1000) b ON a.i % 1000 = b.i"},
		{"join=1M", "SELECT count(*) FROM d.t a JOIN d.t b ON a.i = b.i"},
		{"leftjoin=1M", "SELECT count(*), count(b.f), sum(a.f) FROM d.t a LEFT JOIN (SELECT i, f FROM d.t WHERE i % 5 > 0) b ON a.i = b.i"},
		{"except", "SELECT count(*) FROM (SELECT i FROM d.t EXCEPT SELECT i FROM d.t WHERE f < 30)"},
		{"sort=double", "SELECT f, i FROM d.t ORDER BY f, i"},
		{"sort=varchar", "SELECT k, f FROM d.t ORDER BY k DESC, time DESC"},
		{"topn", "SELECT k, i FROM d.t ORDER BY i DESC LIMIT 10"},
		{"window=device", "SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY k ORDER BY time DESC) AS r FROM d.t)"},
		{"window=avg", "SELECT max(a) FROM (SELECT avg(f) OVER (PARTITION BY k ORDER BY time ROWS 9 PRECEDING) AS a FROM d.t)"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			stmt, err := syntax.Parse(bench.sql)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				q, err := plan.Build(stmt.(*syntax.Query), plan.Env{Catalog: t, Functions: sqltest.Functions(), Now: sqltest.Start})
				if err != nil {
					b.Fatal(err)
				}
				c, err := exec.Open(context.Background(), q, exec.Options{Now: sqltest.Start})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := drain(context.Background(), c); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric(float64((cpuTime()-began).Nanoseconds())/float64(b.N)/float64(t.rows), "cpu-ns/row")
			b.ReportMetric(float64(t.rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
