package exec_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// madeTable makes its rows while it is scanned, so that what a query keeps of them is in memory
// because of the query: varchar s, of which each is a text of its own, varchar w of few words, bigint i, double f.
type madeTable struct {
	*benchTable
	rows int
}

func newMadeTable(rows int) *benchTable {
	return &benchTable{rows: rows, schema: &storage.Schema{Columns: []storage.Column{
		{Name: "measure_name", Type: vec.VarcharType, Role: storage.MeasureName},
		{Name: "time", Type: vec.TimestampType, Role: storage.TimeColumn},
		{Name: "s", Type: vec.VarcharType, Role: storage.Attribute},
		{Name: "w", Type: vec.VarcharType, Role: storage.Attribute},
		{Name: "i", Type: vec.BigintType, Role: storage.Attribute},
		{Name: "f", Type: vec.DoubleType, Role: storage.Attribute},
	}}}
}

func (t madeTable) Resolve(string, string) (storage.Table, bool, error) { return t, false, nil }
func (t madeTable) Scan(_ context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	s := &madeScanner{t: t, benchScanner: benchScanner{where: len(spec.Where)}}
	for _, name := range spec.Columns {
		s.columns = append(s.columns, t.schema.Lookup(name))
	}
	return s, nil
}

type madeScanner struct {
	benchScanner
	t   madeTable
	row int
}

func (s *madeScanner) Next(context.Context) (*vec.Batch, error) {
	n := min(2048, s.t.rows-s.row)
	if n <= 0 {
		return nil, nil
	}
	b := &vec.Batch{Len: n}
	for _, c := range s.columns {
		ints, floats, strs := make([]int64, n), make([]float64, n), make([]string, n)
		for k := range n {
			x := int64(s.row+k) * 7919 % int64(s.t.rows) // a permutation
			ints[k], floats[k] = x, float64(x)/3
			switch s.t.schema.Columns[c].Name {
			case "s":
				strs[k] = fmt.Sprintf("a text of its own, the %d. of some thousands", x)
			case "w":
				strs[k] = [...]string{"some", "few", "words"}[x%3]
			}
		}
		switch t := s.t.schema.Columns[c].Type; t.Kind {
		case vec.Double:
			b.Columns = append(b.Columns, vec.OfFloats(floats, nil))
		case vec.Varchar:
			b.Columns = append(b.Columns, vec.OfStrs(strs, nil))
		default:
			b.Columns = append(b.Columns, vec.OfInts(t, ints, nil))
		}
	}
	s.row += n
	return b, nil
}

// TestAccountIsCloseToWhatIsHeld compares what a query that has read all its input has charged with what the
// heap holds because of it.
func TestAccountIsCloseToWhatIsHeld(t *testing.T) {
	table := madeTable{rows: 100_000}
	table.benchTable = newMadeTable(table.rows)
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for _, sql := range []string{
		"SELECT s, i FROM d.t ORDER BY i",
		"SELECT w, i, f FROM d.t ORDER BY f DESC, w",
		"SELECT i FROM d.t ORDER BY i",
		"SELECT s, f FROM d.t ORDER BY f LIMIT 50000",
		"SELECT s, count(*) FROM d.t GROUP BY s",
		"SELECT i, sum(f), max(s) FROM d.t GROUP BY i",
		"SELECT w, array_agg(s) FROM d.t GROUP BY w",
		"SELECT i % 1000, array_agg(f) FROM d.t GROUP BY 1",
		"SELECT w, count(DISTINCT s) FROM d.t GROUP BY w",
		"SELECT w, array_agg(s ORDER BY i) FROM d.t GROUP BY w",
		"SELECT DISTINCT s, i FROM d.t",
		"SELECT a.s, b.f FROM d.t a JOIN d.t b ON a.i = b.i",
		"SELECT s, row_number() OVER (ORDER BY i) FROM d.t",
		"SELECT s, i, sum(f) OVER (PARTITION BY i % 3 ORDER BY i) FROM d.t",
		"SELECT s FROM d.t EXCEPT SELECT 'x'",
	} {
		before := heap()
		budget := &exec.Budget{LimitBytes: 1 << 40}
		c := openTable(t, table, sql, exec.Options{Budget: budget})
		b, err := c.Next(context.Background())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		held, charged := heap()-before, budget.Used()
		const spare = 1 << 20 // the batch in hand, the plan
		if float64(held) > 1.5*float64(charged)+spare || float64(charged) > 2*float64(held)+spare {
			t.Errorf("%s: holds %.1f MB and has charged %.1f MB", sql, float64(held)/1e6, float64(charged)/1e6)
		}
		runtime.KeepAlive(b)
		c.Close()
	}
}
