package exec_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

func spaceOn(t testing.TB, fsys vfs.FS, o spill.Options) *spill.Space {
	t.Helper()
	s, err := spill.Open(fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openTable runs sql over table, whatever table it names.
func openTable(t testing.TB, table plan.Catalog, sql string, opt exec.Options) *exec.Cursor {
	t.Helper()
	stmt, err := syntax.Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	q, err := plan.Build(stmt.(*syntax.Query), plan.Env{Catalog: table, Functions: sqltest.Functions(), Now: sqltest.Start})
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

// rowTexts is all rows as text.
func rowTexts(t testing.TB, c *exec.Cursor) []string {
	t.Helper()
	var out []string
	for {
		b, err := c.Next(context.Background())
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Explain())
		}
		if b == nil {
			return out
		}
		for i := range b.Len {
			var s strings.Builder
			for _, col := range b.Columns {
				fmt.Fprintf(&s, "%v|", col.Value(i))
			}
			out = append(out, s.String())
		}
	}
}

var spilling = []string{
	"SELECT i, f, k, time FROM d.t ORDER BY f, i DESC",
	"SELECT k, i, f FROM d.t ORDER BY f, k LIMIT 3000",
	"SELECT k, time, i FROM d.t ORDER BY k, time", // as it stands
	"SELECT k, i FROM d.t ORDER BY k DESC, f",     // ties keep their order
	"SELECT i FROM d.t ORDER BY i % 7, i / 2",     // keys that are not columns
	"SELECT ARRAY[i, 2], f FROM d.t ORDER BY 1",   // nested, and a nested key
	"SELECT k, CASE WHEN i % 5 > 0 THEN f END AS x FROM d.t ORDER BY x NULLS FIRST, i",
	"SELECT k, CASE WHEN i % 5 > 0 THEN 'text ' || CAST(i AS varchar) END AS x, i FROM d.t ORDER BY x DESC, i",
	"SELECT k, i, row_number() OVER (PARTITION BY k ORDER BY f, i), lag(f, 2) OVER (PARTITION BY k ORDER BY f, i) FROM d.t",
	"SELECT i, rank() OVER (ORDER BY f), dense_rank() OVER (ORDER BY f), ntile(7) OVER (ORDER BY f, i) FROM d.t",
	"SELECT i, row_number() OVER (ORDER BY i), rank() OVER (ORDER BY i), dense_rank() OVER (ORDER BY i) FROM d.t",
	"SELECT k, f, row_number() OVER (PARTITION BY k ORDER BY floor(f)), rank() OVER (PARTITION BY k ORDER BY floor(f)), dense_rank() OVER (PARTITION BY k ORDER BY floor(f)) FROM d.t",
	"SELECT k, i, sum(f) OVER (PARTITION BY k ORDER BY i ROWS UNBOUNDED PRECEDING), max(f) OVER (PARTITION BY k ORDER BY i ROWS UNBOUNDED PRECEDING), count(*) OVER (PARTITION BY k ORDER BY i ROWS UNBOUNDED PRECEDING) FROM d.t",
	"SELECT f, avg(i) OVER (ORDER BY floor(f)), min(k) OVER (ORDER BY floor(f)), dense_rank() OVER (ORDER BY floor(f)), sum(i) FILTER (WHERE i % 3 = 0) OVER (ORDER BY floor(f)) FROM d.t",
	"SELECT i, sum(i) OVER (ORDER BY i / 3000), max(f) OVER (ORDER BY i / 3000) FROM d.t", // peers that memory does not hold
	"SELECT k, f, i, sum(i) OVER (PARTITION BY f ORDER BY i ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING), count(*) OVER (PARTITION BY f) FROM d.t",
	"SELECT k, last_value(i) OVER (PARTITION BY k ORDER BY i RANGE BETWEEN 5 PRECEDING AND UNBOUNDED FOLLOWING), max(i) FILTER (WHERE f > 3) OVER (PARTITION BY k ORDER BY i) FROM d.t",
	"WITH c AS (SELECT k, f, row_number() OVER (ORDER BY i, f, k) AS n FROM d.t) SELECT x.k, y.f, n FROM c x JOIN c y USING (n) ORDER BY n", // a subplan that is read by two
	// Joins without an equality.
	"SELECT a.i, b.k, b.time FROM (SELECT k, i FROM d.t WHERE k = 'device-00003' AND i % 9 = 0) a JOIN d.t b ON a.i < b.i AND b.i % 7 = 0 ORDER BY 1, 2, 3",
	"SELECT a.time, b.k, b.f FROM d.t a LEFT JOIN d.t b ON a.f > b.f + 96 AND b.i % 91 = 0 AND a.i % 31 = 0 ORDER BY 1, 2, 3",
	"SELECT a.time, b.k, b.f FROM (SELECT * FROM d.t WHERE i % 31 = 0) a FULL JOIN (SELECT * FROM d.t WHERE i % 5 < 3) b ON a.f > b.f + 96 ORDER BY 1, 2, 3",
	"SELECT a.time, a.k FROM d.t a WHERE a.i % 50 = 0 AND EXISTS (SELECT 1 FROM d.t b WHERE b.f > a.f + 96) ORDER BY 1, 2",
	"SELECT a.time, a.k FROM d.t a WHERE a.i % 50 = 0 AND NOT EXISTS (SELECT 1 FROM d.t b WHERE b.f > a.f + 96) ORDER BY 1, 2",
	// DISTINCT next to other aggregates.
	"SELECT count(DISTINCT k || 'a text' || CAST(time AS varchar)), sum(i), count(DISTINCT i), max(f), count(DISTINCT time) FILTER (WHERE i % 2 = 0), sum(DISTINCT i) FILTER (WHERE f > 1) FROM d.t",
}

func TestSpillingMovesNoAnswer(t *testing.T) {
	t.Parallel()
	table := newBenchTable(7, 400)
	space := spaceOn(t, vfs.NewMem(), spill.Options{})
	for _, sql := range spilling {
		want := rowTexts(t, openTable(t, table, sql, exec.Options{}))
		for _, opt := range []exec.Options{
			{SpillAfterBytes: 1, BatchRows: 16}, // hundreds of runs, merged in several passes
			{SpillAfterBytes: 60 << 10, BatchRows: 100},
			{MemoryLimitBytes: 800 << 10, BatchRows: 64},
			{Budget: &exec.Budget{LimitBytes: 600 << 10}, BatchRows: 64}, // of all queries, with a limit per query far above
		} {
			opt.Spill, opt.Analyze = space, true
			c := openTable(t, table, sql, opt)
			if got := rowTexts(t, c); !slices.Equal(got, want) {
				t.Errorf("%s: spilled after %d bytes, limit %d: %d rows, want %d; or others", sql, opt.SpillAfterBytes, opt.MemoryLimitBytes, len(got), len(want))
			}
			if s := c.Stats(); s.SpilledBytes == 0 && opt.SpillAfterBytes > 0 {
				t.Errorf("%s: nothing was spilled with %+v", sql, opt)
			} else if opt.MemoryLimitBytes > 0 && s.PeakMemoryBytes > opt.MemoryLimitBytes {
				t.Errorf("%s: peak is %d bytes of %d", sql, s.PeakMemoryBytes, opt.MemoryLimitBytes)
			}
			c.Close()
			if used := space.UsedBytes(); used != 0 {
				t.Errorf("%s: %d bytes of temporary files are left", sql, used)
			}
		}
	}
}

func TestFullDiskEndsTheQueryAndLeavesNothing(t *testing.T) {
	t.Parallel()
	table := newBenchTable(7, 400)
	for _, sql := range spilling {
		for _, n := range []int{0, 1, 5, 20} {
			fail, _ := vfs.FailAfter(n, vfs.DiskFull)
			fsys := vfs.NewMem()
			space := spaceOn(t, vfs.Inject(fsys, fail), spill.Options{QuerySetting: "--query-spill-limit"})
			c := openTable(t, table, sql, exec.Options{SpillAfterBytes: 1, BatchRows: 64, Spill: space})
			_, err := drain(context.Background(), c)
			if fault.KindOf(err) != fault.Execution || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "--query-spill-limit (16 GiB)") {
				t.Errorf("%s: after %d operations: %v", sql, n, err)
			}
			c.Close()
		}
	}
}

func TestSpillLimitEndsTheQuery(t *testing.T) {
	t.Parallel()
	table := newBenchTable(7, 400)
	space := spaceOn(t, vfs.NewMem(), spill.Options{QueryBytes: 4 << 10, QuerySetting: "--query-spill-limit"})
	for _, sql := range spilling {
		c := openTable(t, table, sql, exec.Options{SpillAfterBytes: 1, BatchRows: 64, Spill: space})
		_, err := drain(context.Background(), c)
		if fault.KindOf(err) != fault.Execution || !strings.Contains(fmt.Sprint(err), "limit of 4 KiB on temporary files; raise --query-spill-limit") {
			t.Errorf("%s: %v", sql, err)
		}
		c.Close()
		if used := space.UsedBytes(); used != 0 {
			t.Errorf("%s: %d bytes of temporary files are left", sql, used)
		}
	}
}

func TestMoreThanTheLimitFinishesOnDiskAloneWithinIt(t *testing.T) {
	t.Parallel()
	table := madeTable{rows: 100_000}
	table.benchTable = newMadeTable(table.rows)
	space := spaceOn(t, vfs.NewMem(), spill.Options{})
	for _, sql := range []string{
		"WITH c AS (SELECT s, max(i) AS n FROM d.t GROUP BY s) SELECT count(*), max(a.s), max(b.s) FROM c a JOIN c b USING (n)",
		"SELECT count(*) FROM (SELECT s FROM d.t LIMIT 5) a WHERE NOT EXISTS (SELECT 1 FROM d.t b WHERE b.s > a.s || 'z' AND a.s = '')",
		"SELECT count(DISTINCT s), sum(i), count(DISTINCT w), count(DISTINCT i) FILTER (WHERE f > 5) FROM d.t",
		"SELECT w, max(cardinality(x)) FROM (SELECT w, i % 5000, array_agg(s) AS x FROM d.t GROUP BY 1, 2) GROUP BY w ORDER BY w",
	} {
		opt := exec.Options{MemoryLimitBytes: 6 << 20, MemorySetting: "--query-memory-limit"}
		c := openTable(t, table, sql, opt)
		if _, err := drain(context.Background(), c); fault.KindOf(err) != fault.Execution || !strings.Contains(fmt.Sprint(err), "memory limit of 6 MiB; raise --query-memory-limit") {
			t.Errorf("%s: without a disk: %v", sql, err)
		}
		c.Close()
		want := rowTexts(t, openTable(t, table, sql, exec.Options{}))
		opt.Spill, opt.Analyze = space, true
		c = openTable(t, table, sql, opt)
		if got := rowTexts(t, c); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", sql, got, want)
		}
		if s := c.Stats(); s.SpilledBytes == 0 || s.PeakMemoryBytes > opt.MemoryLimitBytes {
			t.Errorf("%s: %d bytes on disk, a peak of %d in memory", sql, s.SpilledBytes, s.PeakMemoryBytes)
		}
		c.Close()
		if used := space.UsedBytes(); used != 0 {
			t.Errorf("%s: %d bytes of temporary files are left", sql, used)
		}
	}
}

// TestCancelStopsSpillingQueriesSoon cancels sorts, merges, windows, groupings and joins after they have used so much of the
// processor, and measures how much they still take: waiting for it does not count.
func TestCancelStopsSpillingQueriesSoon(t *testing.T) {
	table := newBenchTable(25, 1440)
	fsys, err := vfs.Real(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	space := spaceOn(t, fsys, spill.Options{})
	for _, sql := range []string{
		"SELECT i, f, k, time FROM d.t ORDER BY f, i DESC",
		"SELECT CAST(i AS varchar) AS x, f FROM d.t ORDER BY x",
		"SELECT k, i, sum(f) OVER (PARTITION BY f ORDER BY i ROWS 9 PRECEDING) FROM d.t",
		"SELECT i, rank() OVER (ORDER BY f), max(f) OVER (ORDER BY i ROWS BETWEEN 100 PRECEDING AND 50 FOLLOWING) FROM d.t",
		"SELECT 'x' || CAST(i AS varchar), max(k), count(DISTINCT f) FROM d.t GROUP BY 1",
		"SELECT a.i, b.f FROM d.t a LEFT JOIN d.t b ON a.i = b.i + 1",
		"SELECT a.i, b.f FROM d.t a LEFT JOIN d.t b ON a.f > b.f + 90",
	} {
		for _, opt := range []exec.Options{{}, {MemoryLimitBytes: 64 << 20, SpillAfterBytes: 400 << 10}} {
			opt.Spill = space
			for _, after := range []time.Duration{10 * time.Millisecond, 40 * time.Millisecond, 120 * time.Millisecond} {
				ctx, cancel := context.WithCancel(context.Background())
				c := openTable(t, table, sql, opt)
				done := make(chan error, 1)
				go func() {
					_, err := drain(ctx, c)
					done <- err
				}()
				start := cpuTime()
				for cpuTime()-start < after && len(done) == 0 {
					time.Sleep(time.Millisecond)
				}
				cancel()
				cancelled := cpuTime()
				if err := <-done; err != nil && !fault.Is(err, fault.Cancelled) {
					t.Fatal(err)
				}
				if took := cpuTime() - cancelled; took > 50*time.Millisecond {
					t.Errorf("%s: spilling after %d: ran for %v after it was cancelled at %v", sql, opt.SpillAfterBytes, took, after)
				}
				c.Close()
			}
		}
	}
}
