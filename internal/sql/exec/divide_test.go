package exec_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// divided are queries whose operators divide rows by the hash of their keys.
var divided = []string{
	"SELECT i, count(*), sum(i), max(f) FROM d.t GROUP BY i",
	"SELECT i % 5000, k, count(*), sum(i), min(k), max_by(i, i), avg(f), bool_or(i > 7) FROM d.t GROUP BY 1, 2",
	"SELECT i % 50, count(*), stddev(i) > 3, approx_distinct(i) > 5, count(DISTINCT k), sum(DISTINCT i % 10) FROM d.t GROUP BY 1",
	"SELECT k || CAST(i % 3000 AS varchar), count(*), max(k) FROM d.t GROUP BY 1",
	"SELECT i % 700, cardinality(array_agg(i)), array_agg(i ORDER BY i DESC) FROM d.t GROUP BY 1",
	"SELECT i % 600, count(*) FILTER (WHERE i % 2 = 0), sum(1 / (i % 3)) FILTER (WHERE i % 3 > 0) FROM d.t GROUP BY 1",
	"SELECT nullif(i % 1000, 3), nullif(k, 'device-00001'), count(*) FROM d.t GROUP BY 1, 2",
	"SELECT nullif(i % 40000 * 3 - 50000, 7), count(*), count(i) FROM d.t GROUP BY 1",                  // close together, below nought
	"SELECT CASE WHEN i < 1990 THEN i ELSE i * 4611686018427387 + i END, count(*) FROM d.t GROUP BY 1", // and then far apart
	"SELECT CASE i % 3 WHEN 0 THEN CAST(i AS varchar) WHEN 1 THEN '' ELSE 'a text that has more than twelve letters ' || CAST(i AS varchar) END, count(*) FROM d.t GROUP BY 1",
	"SELECT f * 0, ARRAY[i % 400], count(*) FROM d.t GROUP BY 1, 2",
	"SELECT count(DISTINCT i % 900), sum(DISTINCT i % 900) FROM d.t",
	"SELECT k, count(DISTINCT i % 9000) FROM d.t GROUP BY k",
	"SELECT DISTINCT i, k FROM d.t",
	"SELECT count(*) FROM (SELECT DISTINCT i % 4000, i % 2 FROM d.t)",
	"SELECT DISTINCT a.i, b.i % 7 FROM d.t a JOIN d.t b ON a.i % 500 = b.i % 500",
	"SELECT i % 6000 FROM d.t UNION SELECT i + 5000 FROM d.t",
	"SELECT i FROM d.t EXCEPT SELECT i * 2 FROM d.t",
	"SELECT i % 3000 FROM d.t INTERSECT SELECT i * 2 FROM d.t",
	"SELECT count(*), sum(x) FROM (SELECT i % 3000 AS x FROM d.t EXCEPT ALL SELECT i * 2 FROM d.t)",
	"SELECT count(*), sum(x) FROM (SELECT i % 3000 AS x FROM d.t INTERSECT ALL SELECT i * 2 FROM d.t)",
	"SELECT count(*), sum(a.i), max(b.f) FROM d.t a JOIN d.t b ON a.i = b.i",
	"SELECT a.i, b.k FROM d.t a JOIN d.t b ON a.i = b.i + 3 AND a.k <> b.k",
	"SELECT a.i, b.i FROM d.t a LEFT JOIN d.t b ON a.i = b.i * 3",
	"SELECT a.i, b.i FROM d.t a RIGHT JOIN d.t b ON a.i = b.i * 3",
	"SELECT a.i, b.i FROM d.t a FULL JOIN d.t b ON a.i = b.i * 3 AND a.f < 50",
	"SELECT i FROM d.t WHERE i IN (SELECT i * 5 FROM d.t)",
	"SELECT i FROM d.t WHERE i NOT IN (SELECT i * 5 FROM d.t)",
	"SELECT a.i FROM d.t a WHERE EXISTS (SELECT 1 FROM d.t b WHERE b.i = a.i * 5 AND b.f > a.f)",
	"SELECT a.i FROM d.t a WHERE NOT EXISTS (SELECT 1 FROM d.t b WHERE b.i = a.i * 5 AND b.k = a.k)",
}

// answer returns the rows of a query as sorted texts.
func answer(t *testing.T, table *benchTable, sql string, opt exec.Options) ([]string, exec.Stats) {
	t.Helper()
	stmt, err := syntax.Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	q, err := plan.Build(stmt.(*syntax.Query), plan.Env{Catalog: table, Functions: sqltest.Functions(), Now: sqltest.Start})
	if err != nil {
		t.Fatal(err)
	}
	opt.Now = sqltest.Start
	c, err := exec.Open(context.Background(), q, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var rows []string
	for {
		b, err := c.Next(context.Background())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if b == nil {
			slices.Sort(rows)
			return rows, c.Stats()
		}
		for i := range b.Len {
			row := make([]string, len(b.Columns))
			for k, v := range b.Columns {
				row[k] = v.Value(i).String()
			}
			rows = append(rows, strings.Join(row, "|"))
		}
	}
}

func newSpace(t *testing.T) *spill.Space {
	t.Helper()
	s, err := spill.Open(vfs.NewMem(), spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnswersDoNotDependOnWorkersOrSpilling(t *testing.T) {
	t.Parallel()
	table := newBenchTable(8, 250)
	variants := map[string]exec.Options{
		"four workers":          {Workers: 4, ParallelRows: 1, BatchRows: 500},
		"spilled":               {Workers: 1, SpillAfterBytes: 8 << 10, BatchRows: 250},
		"spilled, four workers": {Workers: 4, ParallelRows: 1, SpillAfterBytes: 8 << 10, BatchRows: 300},
		"some of it spilled":    {Workers: 2, ParallelRows: 1, SpillAfterBytes: 200 << 10, BatchRows: 700},
	}
	for _, sql := range divided {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			want, _ := answer(t, table, sql, exec.Options{Workers: 1})
			for name, opt := range variants {
				if opt.SpillAfterBytes > 0 {
					opt.Spill = newSpace(t)
				}
				got, stats := answer(t, table, sql, opt)
				if !slices.Equal(got, want) {
					t.Errorf("%s: %d rows, want %d:\n%s", name, len(got), len(want), firstDifference(got, want))
				}
				if strings.HasPrefix(name, "spilled") && !strings.Contains(sql, "IN (SELECT") && stats.SpilledBytes == 0 {
					t.Errorf("%s: nothing was spilled", name)
				}
			}
		})
	}
}

// TestMoreGroupsThanCachesHoldAreDivided groups by keys that lie close together or apart, by texts, and by two keys, each of
// which has more groups than a worker makes before it divides the rest.
func TestMoreGroupsThanCachesHoldAreDivided(t *testing.T) {
	t.Parallel()
	table := newBenchTable(70, 1000)
	for _, key := range []string{"i", "i - 1000000000000", "i * 1000003", "'n' || CAST(i AS varchar)", "i % 300, i / 300", "nullif(i, 5)"} {
		for _, workers := range []int{1, 3} {
			sql := "SELECT count(*), sum(n), sum(s), max(n) FROM (SELECT " + key + ", count(*) AS n, sum(i) AS s FROM d.t GROUP BY 1"
			if strings.Contains(key, ", i /") {
				sql += ", 2"
			}
			got, _ := answer(t, table, sql+")", exec.Options{Workers: workers, ParallelRows: 1})
			if want := "70000|70000|2449965000|1"; len(got) != 1 || got[0] != want {
				t.Errorf("by %s, %d workers: %v, want %s", key, workers, got, want)
			}
		}
	}
}

// TestGroupingStaysWithinItsLimit groups what fits into memory as rows, and not as groups.
func TestGroupingStaysWithinItsLimit(t *testing.T) {
	t.Parallel()
	table := newBenchTable(20, 1440)
	for _, sql := range []string{
		"SELECT 'x' || CAST(i AS varchar), max(k) FROM d.t GROUP BY 1",
		"SELECT i, max(f), count(*) FROM d.t GROUP BY i",
		"SELECT i % 170, i / 170, sum(f) FROM d.t GROUP BY 1, 2",
	} {
		for _, limit := range []int64{3 << 20, 4 << 20, 6 << 20} {
			rows, stats := answer(t, table, sql, exec.Options{MemoryLimitBytes: limit, Spill: newSpace(t), BatchRows: 1000})
			if len(rows) != table.rows || stats.PeakMemoryBytes > limit {
				t.Errorf("%s: %d rows, peak %d of %d bytes", sql, len(rows), stats.PeakMemoryBytes, limit)
			}
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("row %d is %s, want %s", i, g, w)
		}
	}
	return ""
}
