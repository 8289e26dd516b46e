package exec_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/vfs"
)

// looks is a context that measures how long the thread of its one user works between two looks at it: for so long a cancelled query
// goes on. It counts processor time, so a busy machine does not matter.
type looks struct {
	context.Context
	thread  int // whose looks count
	last    time.Duration
	longest time.Duration
	at      string // who looked after it
}

func (l *looks) Err() error {
	l.look()
	return l.Context.Err()
}

func (l *looks) Done() <-chan struct{} {
	l.look()
	return l.Context.Done()
}

func (l *looks) look() {
	if syscall.Gettid() != l.thread {
		return
	}
	now := threadTime()
	if took := now - l.last; took > l.longest {
		l.longest, l.at = took, caller()
		now = threadTime()
	}
	l.last = now
}

// caller names the functions of this package's subject that are running.
func caller() string {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	var names []string
	for len(names) < 6 {
		f, more := frames.Next()
		if name := f.Function[strings.LastIndex(f.Function, "/")+1:]; !strings.Contains(name, "exec_test") {
			names = append(names, fmt.Sprintf("%s:%d", strings.TrimPrefix(name, "exec."), f.Line))
		}
		if !more {
			break
		}
	}
	return strings.Join(names, " < ")
}

// threadTime is what the calling goroutine's thread, which is locked to it, has used.
func threadTime() time.Duration {
	const ofThread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(ofThread, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestOperatorsLookForTheEnd runs each operator and measures how long it works between two looks at its context. The promise is 50 ms.
// It is measured where it is asked for: WEIR_LOOKS is the number of rows, in thousands. What an operator must not forget is in the
// tests that count looks.
func TestOperatorsLookForTheEnd(t *testing.T) {
	const limit = 50 * time.Millisecond
	rows, err := strconv.Atoi(os.Getenv("WEIR_LOOKS"))
	if err != nil {
		t.Skip("a measurement: set WEIR_LOOKS to thousands of rows, 6000 for instance")
	}
	table := newBenchTable(rows, 1000)
	space := spaceOn(t, vfs.NewMem(), spill.Options{QueryBytes: 64 << 30})
	for _, sql := range []string{
		"SELECT i, f, k FROM d.t ORDER BY i",
		"SELECT i, f, k FROM d.t ORDER BY f, i",
		"SELECT k, f FROM d.t ORDER BY k DESC, time DESC",
		"SELECT CAST(i AS varchar) AS x, f FROM d.t ORDER BY x",
		"SELECT 'a long prefix of a text ' || CAST(i AS varchar) AS x, f FROM d.t ORDER BY x DESC, f",
		"SELECT k, i FROM d.t ORDER BY i DESC LIMIT 1000",
		"SELECT i, count(*) FROM d.t GROUP BY i",
		"SELECT i, i % 7, count(*), sum(f) FROM d.t GROUP BY 1, 2",
		"SELECT 'code-' || CAST(i AS varchar), count(*), sum(f) FROM d.t GROUP BY 1",
		"SELECT count(DISTINCT i) FROM d.t",
		"SELECT k, count(DISTINCT i), sum(DISTINCT f) FROM d.t GROUP BY k",
		"SELECT count(DISTINCT i), count(DISTINCT f), max(i) FROM d.t",
		"SELECT count(*) FROM (SELECT DISTINCT i, f FROM d.t)",
		"SELECT DISTINCT i, k FROM d.t",
		"SELECT array_agg(i ORDER BY f DESC) FROM d.t",
		"SELECT cardinality(array_agg(i)), approx_percentile(f, 0.9), approx_distinct(i) FROM d.t",
		"SELECT k, cardinality(array_agg(DISTINCT i)) FROM d.t GROUP BY k",
		"SELECT cardinality(array_sort(array_agg(i))), cardinality(array_distinct(array_agg(i))), array_max(array_agg(i)) FROM d.t",
		"SELECT length(array_join(array_agg(i), ',')) FROM d.t",
		"SELECT max_by(k, i), min_by(f, time), stddev(f), corr(f, i) FROM d.t",
		"SELECT count(*) FROM d.t a JOIN d.t b ON a.i = b.i",
		"SELECT count(*), count(b.f) FROM d.t a LEFT JOIN (SELECT i, f FROM d.t WHERE i % 5 > 0) b ON a.i = b.i",
		"SELECT count(*) FROM d.t a FULL JOIN (SELECT i, f FROM d.t WHERE i % 5 > 0) b ON a.i = b.i + 1",
		"SELECT count(*) FROM (SELECT i FROM d.t WHERE i < 300) a JOIN d.t b ON b.i < a.i * 10",
		"SELECT count(*) FROM d.t WHERE i IN (SELECT i FROM d.t WHERE f > 50)",
		"SELECT count(*) FROM d.t a WHERE EXISTS (SELECT 1 FROM d.t b WHERE b.i = a.i + 1)",
		"SELECT count(*) FROM d.t a WHERE f > (SELECT avg(f) FROM d.t b WHERE b.k = a.k)",
		"SELECT i FROM d.t EXCEPT SELECT i FROM d.t WHERE f < 30",
		"SELECT i, f FROM d.t INTERSECT ALL SELECT i, f FROM d.t WHERE f < 90",
		"SELECT k, i FROM d.t UNION SELECT k, i FROM d.t",
		"SELECT k, i, row_number() OVER (PARTITION BY k ORDER BY time DESC) FROM d.t",
		"SELECT i, rank() OVER (ORDER BY f), ntile(7) OVER (ORDER BY f) FROM d.t",
		"SELECT i, sum(f) OVER (ORDER BY i), max(f) OVER (ORDER BY i ROWS BETWEEN 1000 PRECEDING AND CURRENT ROW) FROM d.t",
		"SELECT i, min(f) OVER (ORDER BY i ROWS BETWEEN 10 PRECEDING AND 10 FOLLOWING), last_value(f) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM d.t",
		"SELECT i, sum(i) OVER (PARTITION BY f ORDER BY i), lag(i, 3) OVER (PARTITION BY f ORDER BY i), count(*) OVER () FROM d.t",
		"SELECT i, approx_percentile(f, 0.5) OVER (PARTITION BY f), percent_rank() OVER (ORDER BY i), cume_dist() OVER (ORDER BY f) FROM d.t",
		"SELECT i, sum(f) OVER (ORDER BY f RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), avg(f) OVER (ORDER BY i RANGE BETWEEN 100 PRECEDING AND 100 FOLLOWING) FROM d.t",
		"SELECT count(*) FROM d.t WHERE regexp_like(k || CAST(i AS varchar), '(?=d).*(7|9)+$')",
		"SELECT max(regexp_replace(k, '[a-z]+(\\d)', '$1-')), count_if(k LIKE '%7%9%') FROM d.t",
		"SELECT count(*), sum(x) FROM (SELECT i FROM d.t WHERE i < 200) CROSS JOIN UNNEST(sequence(1, 10000)) AS u (x)",
		"SELECT sum(cardinality(sequence(1, 9000 + i % 2))) FROM d.t WHERE i < 300",
		"SELECT count(*) FROM (SELECT k, create_time_series(time, f) AS s FROM d.t GROUP BY k) CROSS JOIN UNNEST(s) AS u (t, v)",
		"SELECT k, interpolate_linear(create_time_series(time, f), sequence(min(time), max(time), 10s)) FROM d.t GROUP BY k",
		"WITH s AS (SELECT i, f FROM d.t WHERE f > 1) SELECT count(*) FROM s a JOIN s b ON a.i = b.i",
		"SELECT i, f FROM d.t ORDER BY i OFFSET 100000 LIMIT 5",
		"SELECT k, i, f FROM d.t UNION ALL SELECT k, i, f FROM d.t ORDER BY 2",
	} {
		t.Run(sql, func(t *testing.T) {
			for _, memory := range []int64{1 << 40, int64(table.rows) * 24} {
				l, spilled := looksAt(t, table, sql, exec.Options{MemoryLimitBytes: memory, Spill: space, Workers: 1})
				t.Logf("%d MB spilled, worked for %v without a look, until %s", spilled>>20, l.longest, l.at)
				if l.longest > limit {
					t.Errorf("worked for more than %v without a look", limit)
				}
			}
		})
	}
}

// looksAt runs a query to its end, or until it may not use more memory.
func looksAt(t *testing.T, table *benchTable, sql string, opt exec.Options) (l *looks, spilledBytes int64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := openTable(t, table, sql, opt)
	l = &looks{Context: context.Background(), thread: syscall.Gettid(), last: threadTime()}
	for {
		b, err := c.Next(l)
		l.look() // the caller can
		if err != nil && !strings.Contains(err.Error(), "memory limit") {
			t.Error(err)
		}
		if err != nil || b == nil {
			break
		}
	}
	spilledBytes = c.Stats().SpilledBytes
	c.Close()
	l.look()
	return l, spilledBytes
}
