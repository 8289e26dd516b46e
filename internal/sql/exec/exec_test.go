package exec_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// engine has a table d.t of series × rows rows: dimension k, bigint i, double f.
func engine(t testing.TB, series, rows int) *sqltest.Local {
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	l.Backend = storagetest.NewNaive(l.Clock)
	if err := l.CreateTable(context.Background(), "d", "t"); err != nil {
		t.Fatal(err)
	}
	var b storagetest.Batch
	for s := range series {
		for r := range rows {
			b.Add(storagetest.Point{
				Measure: "m", Dims: []string{"k", fmt.Sprintf("k%03d", s)}, TimeNs: sqltest.Start.UnixNano() - int64(r)*int64(time.Second),
				Values: []storagetest.NamedValue{storagetest.I("i", int64(s*rows+r)), storagetest.F("f", float64(r)/4)},
			})
		}
	}
	if err := l.Write(context.Background(), "d", "t", &b.Rows); err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t testing.TB, l *sqltest.Local, sql string, opt exec.Options) *exec.Cursor {
	t.Helper()
	q, err := l.Plan(sql)
	if err != nil {
		t.Fatal(err)
	}
	c, err := exec.Open(context.Background(), q, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func drain(ctx context.Context, c *exec.Cursor) (rows int, err error) {
	for {
		b, err := c.Next(ctx)
		if err != nil || b == nil {
			return rows, err
		}
		rows += b.Len
	}
}

func TestQueryOverItsMemoryLimitNamesLimitAndSetting(t *testing.T) {
	t.Parallel()
	l := engine(t, 10, 200)
	for _, sql := range []string{
		"SELECT * FROM d.t ORDER BY f",
		"SELECT i, count(*) FROM d.t GROUP BY i",
		"SELECT DISTINCT i FROM d.t",
		"SELECT * FROM d.t a JOIN d.t b ON a.i = b.i",
		"SELECT array_agg(i) FROM d.t",
		"SELECT i FROM d.t EXCEPT SELECT 1",
		"SELECT sum(i) OVER (ORDER BY i) FROM d.t",
		"SELECT 1 WHERE 5 = ANY (SELECT i + 1 FROM d.t)",
		"WITH c AS (SELECT DISTINCT i, f FROM d.t) SELECT * FROM c a, c b",
	} {
		c := open(t, l, sql, exec.Options{MemoryLimitBytes: 4096, MemorySetting: "--query-memory-limit", BatchRows: 64})
		_, err := drain(context.Background(), c)
		if fault.KindOf(err) != fault.Execution || !strings.Contains(fmt.Sprint(err), "memory limit of 4 KiB; raise --query-memory-limit") {
			t.Errorf("%s: error = %v, want one that names the limit and the setting", sql, err)
		}
	}
}

func TestQueryUnderItsMemoryLimitGivesBackWhatItHeld(t *testing.T) {
	t.Parallel()
	c := open(t, engine(t, 4, 100), "SELECT i FROM d.t ORDER BY i DESC LIMIT 5", exec.Options{MemoryLimitBytes: 64 << 10, BatchRows: 16})
	rows, err := drain(context.Background(), c)
	if err != nil || rows != 5 {
		t.Fatalf("%d rows, error %v; want 5 rows", rows, err)
	}
	if s := c.Stats(); s.PeakMemoryBytes <= 0 || s.PeakMemoryBytes > 64<<10 || s.Rows != 5 || s.Storage.RowsScanned != 400 {
		t.Errorf("Stats = %+v", s)
	}
}

func TestQueriesShareABudgetAndGiveItBack(t *testing.T) {
	t.Parallel()
	l := engine(t, 10, 200)
	budget := &exec.Budget{LimitBytes: 200 << 10, Setting: "--memory-limit"}
	opt := exec.Options{Budget: budget, BatchRows: 64}
	const sorted = "SELECT * FROM d.t ORDER BY f"
	first := open(t, l, sorted, opt)
	if _, err := first.Next(t.Context()); err != nil || budget.Used() == 0 {
		t.Fatalf("a query alone: %v, %d bytes used", err, budget.Used())
	}
	second := open(t, l, sorted, opt)
	_, err := drain(t.Context(), second)
	if fault.KindOf(err) != fault.Throttled || !strings.Contains(fmt.Sprint(err), "common memory limit of 200 KiB; try again later or raise --memory-limit") {
		t.Errorf("the second at a time: %v", err)
	}
	second.Close()
	first.Close()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are used by closed queries", budget.Used())
	}
	if rows, err := drain(t.Context(), open(t, l, sorted, opt)); err != nil || rows != 2000 {
		t.Errorf("later: %d rows, %v", rows, err)
	}
}

func TestCancelledQueryEndsSoon(t *testing.T) {
	t.Parallel()
	l := engine(t, 20, 200)
	for _, sql := range []string{
		"SELECT count(*) FROM d.t a, d.t b, d.t c WHERE a.i + b.i + c.i < 0",
		"SELECT sum(i) FROM (SELECT a.i FROM d.t a, d.t b) ORDER BY 1",
		"SELECT count(*) FROM d.t a WHERE a.i < ALL (SELECT b.i * c.i FROM d.t b, d.t c)",
		"SELECT max(f) FROM d.t a CROSS JOIN UNNEST(sequence(1, 10000)) AS u (x) CROSS JOIN UNNEST(sequence(1, 10000)) AS v (y)",
		"SELECT max(levenshtein_distance(lpad(CAST(i AS varchar), 999, 'y'), lpad('z', 999, CAST(i AS varchar)))) FROM d.t",
		"SELECT count_if(regexp_like(lpad(CAST(i AS varchar), 17, 'a') || '!', '(?=a)(a+)+$')) FROM d.t",
		"SELECT array_agg(DISTINCT a.i * b.i) FROM d.t a, d.t b, d.t c",
		"SELECT a.i + b.i + c.i, count(*) FROM d.t a, d.t b, d.t c GROUP BY 1",
		"SELECT DISTINCT a.i * b.i * c.i FROM d.t a, d.t b, d.t c",
		"SELECT a.i FROM d.t a, d.t b, d.t c ORDER BY a.i * b.i * c.i LIMIT 3",
		"SELECT max(r) FROM (SELECT avg(a.i) OVER (ORDER BY a.i * b.i ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS r FROM d.t a, d.t b)",
		"SELECT max(r) FROM (SELECT max_by(a.i, a.f) OVER (ORDER BY a.i * b.i ROWS BETWEEN 500 PRECEDING AND 500 FOLLOWING) AS r FROM d.t a, d.t b)",
		"SELECT count(*) FROM (SELECT a.i FROM d.t a, d.t b, d.t c INTERSECT ALL SELECT i FROM d.t)",
		"SELECT count(*) FROM (SELECT a.i FROM d.t a, d.t b, d.t c UNION SELECT i FROM d.t)",
		"SELECT count(*) FROM d.t a FULL JOIN d.t b ON a.i < b.i FULL JOIN d.t c ON b.i < c.i",
		"SELECT a.i FROM d.t a WHERE EXISTS (SELECT 1 FROM d.t b, d.t c WHERE b.i * c.i + a.i < 0)",
		"SELECT reduce(sequence(1, 10000), CAST(0 AS bigint), (s, x) -> (s + x) % 1000, s -> s) FROM d.t a, d.t b, d.t c",
		"SELECT create_time_series(a.time, b.i + c.i) FROM d.t a, d.t b, d.t c",
	} {
		ctx, cancel := context.WithCancel(context.Background())
		c := open(t, l, sql, exec.Options{})
		done := make(chan error)
		go func() {
			_, err := drain(ctx, c)
			done <- err
		}()
		time.AfterFunc(20*time.Millisecond, cancel)
		begin := time.Now()
		err := <-done
		// The promise is 50 ms; the rest is what a busy machine takes.
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s: ended after %v", sql, took)
		}
		if fault.KindOf(err) != fault.Cancelled {
			t.Errorf("%s: error = %v, want fault.Cancelled", sql, err)
		}
	}
}

func TestErrorStays(t *testing.T) {
	t.Parallel()
	c := open(t, engine(t, 1, 10), "SELECT 1 / (i - 5) FROM d.t", exec.Options{BatchRows: 2})
	_, err := drain(context.Background(), c)
	if fmt.Sprint(err) != "Division by zero" {
		t.Fatalf("error = %v", err)
	}
	if _, again := c.Next(context.Background()); again != err {
		t.Errorf("second error = %v, want the first", again)
	}
	c.Close()
	c.Close()
}

func TestLimitStopsTheScan(t *testing.T) {
	t.Parallel()
	c := open(t, engine(t, 50, 10), "SELECT i FROM d.t LIMIT 3", exec.Options{})
	if rows, err := drain(context.Background(), c); rows != 3 || err != nil {
		t.Fatalf("%d rows, error %v", rows, err)
	}
}

func TestExplainTellsRowsOfEachOperator(t *testing.T) {
	t.Parallel()
	l := engine(t, 3, 10)
	check := func(sql string, want ...string) {
		t.Helper()
		c := open(t, l, sql, exec.Options{Analyze: true})
		if _, err := drain(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(c.Explain(), w) {
				t.Errorf("%s:\n%s\nlacks %q", sql, c.Explain(), w)
			}
		}
	}
	check("SELECT k, sum(i) FROM d.t WHERE f > 1 GROUP BY k ORDER BY 2", "Sort #1 (3 rows, ", "pushed down (3 rows, ", "(15 rows, ", "filtered by the executor)")
	l.Push = true
	check("SELECT k, sum(i) FROM d.t WHERE f > 1 GROUP BY k ORDER BY 2", "pushed down (3 rows, ", "grouped by storage")
}
