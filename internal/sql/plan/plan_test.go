package plan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// local has the article's table and one of each kind of column.
func local(t testing.TB) *sqltest.Local {
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	l.Backend = storagetest.NewNaive(l.Clock)
	write := func(database, table string, p storagetest.Point) {
		if err := l.CreateTable(context.Background(), database, table); err != nil {
			t.Fatal(err)
		}
		p.TimeNs = sqltest.Start.UnixNano()
		if err := l.Write(context.Background(), database, table, &new(storagetest.Batch).Add(p).Rows); err != nil {
			t.Fatal(err)
		}
	}
	write("iot_sensor_data", "sensor_readings", storagetest.Point{
		Measure: "sensor_metrics", Dims: []string{"device_id", "d1", "location", "hall"},
		Values: []storagetest.NamedValue{storagetest.F("temperature", 20), storagetest.F("humidity", 50), storagetest.F("battery_level", 90)},
	})
	write("db", "t", storagetest.Point{
		Measure: "m", Dims: []string{"a", "x", "b", "y"},
		Values: []storagetest.NamedValue{storagetest.F("f", 1), storagetest.I("i", 1), storagetest.S("s", "s"), storagetest.B("ok", true), storagetest.T("at", 1)},
	})
	return l
}

// TestPlans compares the plans of testdata/*.plan: queries and trees in turn, parted by
// blank lines.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/*.plan")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans: %v", err)
	}
	l := local(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
			sql, want, _ := strings.Cut(block+"\n", "\n----\n")
			q, err := l.Plan(sql)
			got := ""
			if err != nil {
				got = err.Error() + "\n"
			} else {
				got = plan.Format(q.Root)
			}
			out = append(out, sql+"\n----\n"+got)
			if !*sqltest.Rewrite && got != want {
				t.Errorf("%s: %s\ngot:\n%s\nwant:\n%s", file, sql, got, want)
			}
		}
		if *sqltest.Rewrite {
			if err := os.WriteFile(file, []byte(strings.Join(out, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// articleQueries returns the queries of test/sql/article.test.
func articleQueries(t testing.TB) []string {
	text, err := os.ReadFile("../../../test/sql/article.test")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, block := range strings.Split(string(text), "\n\n") {
		if _, sql, ok := strings.Cut(block, "query\n"); ok {
			sql, _, _ = strings.Cut(sql, "\n----")
			out = append(out, sql)
		}
	}
	return out
}

// cpuTime is what the process has used of its processors: the wall clock says little on a busy machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlan parses and plans the article's queries.
func BenchmarkPlan(b *testing.B) {
	l := local(b)
	for i, sql := range articleQueries(b) {
		b.Run("article="+string(rune('1'+i)), func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				stmt, err := syntax.Parse(sql)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := plan.Build(stmt.(*syntax.Query), plan.Env{Catalog: l, Functions: sqltest.Functions(), Now: sqltest.Start}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func TestEveryRuleIsInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{plan.ShareCTEs}
	for _, r := range plan.Rules {
		names = append(names, r.Name)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("docs/sql.md does not tell what the rule %s does", name)
		}
	}
}

// sized has tables of 2,000, 40 and 5 rows.
func sized(t testing.TB) *sqltest.Local {
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	l.Backend = storagetest.NewNaive(l.Clock)
	for table, n := range map[string]int{"facts": 2000, "hosts": 40, "sites": 5} {
		if err := l.CreateTable(context.Background(), "db", table); err != nil {
			t.Fatal(err)
		}
		var b storagetest.Batch
		for i := range n {
			b.Add(storagetest.Point{
				Measure: "m", Dims: []string{"host", fmt.Sprint("h", i%40), "site", fmt.Sprint("s", i%5)}, TimeNs: sqltest.Start.UnixNano() - int64(i),
				Values: []storagetest.NamedValue{storagetest.F("v", float64(i))},
			})
		}
		if err := l.Write(context.Background(), "db", table, &b.Rows); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestCorrelatedSubqueriesBecomeJoins wants joins where an equality leads to the row outside, nothing can fail
// for rows that nobody asks for, and there are many rows outside.
func TestCorrelatedSubqueriesBecomeJoins(t *testing.T) {
	t.Parallel()
	l := sized(t)
	for sql, want := range map[string]bool{
		"SELECT host, (SELECT max(f.v) FROM db.facts f WHERE f.host = h.host) FROM db.hosts h":                                       true,
		"SELECT host, (SELECT count(*) + 1 FROM db.facts f WHERE f.host = h.host AND h.site = f.site AND f.v > 3) FROM db.hosts h":   true,
		"SELECT host FROM db.hosts h WHERE v > (SELECT avg(f.v) FROM db.facts f WHERE f.host = h.host)":                              true,
		"SELECT host FROM db.hosts h WHERE v > 3 OR EXISTS (SELECT 1 FROM db.facts f WHERE f.host = h.host)":                         true,
		"SELECT host, (SELECT max(v) FROM (SELECT upper(host) AS u, v * 2 AS v FROM db.facts) f WHERE f.u = h.host) FROM db.hosts h": true,
		"SELECT host, (SELECT max(f.v) FROM db.facts f WHERE f.host = h.host) FROM db.sites h":                                       false, // few rows
		"SELECT host, (SELECT max(f.v) FROM db.facts f WHERE f.host > h.host) FROM db.hosts h":                                       false,
		"SELECT host, (SELECT max(f.v) FROM db.facts f WHERE f.v = h.v) FROM db.hosts h":                                             false, // doubles: 0.0 and -0.0
		"SELECT host, (SELECT max(CAST(f.host AS bigint)) FROM db.facts f WHERE f.host = h.host) FROM db.hosts h":                    false, // may fail
		"SELECT host, (SELECT f.v FROM db.facts f WHERE f.host = h.host) FROM db.hosts h":                                            false, // several rows are an error
		"SELECT host, (SELECT max(f.v) FROM db.facts f WHERE f.host = h.host HAVING count(*) > 1) FROM db.hosts h":                   false,
		"SELECT host, (SELECT array_agg(f.v) FROM db.facts f WHERE f.host = h.host) FROM db.hosts h":                                 false,
		"SELECT host, (SELECT max(f.v) FROM db.facts f WHERE f.host = h.host AND f.v > random()) FROM db.hosts h":                    false,
		"SELECT host, (SELECT max(v) FROM (SELECT v FROM db.facts f WHERE f.host = h.host ORDER BY v LIMIT 3)) FROM db.hosts h":      false,
	} {
		q, err := l.Plan(sql)
		if err != nil {
			t.Fatal(err)
		}
		text := plan.Format(q.Root)
		if got := !strings.Contains(text, "subquery"); got != want {
			t.Errorf("%s: a join: %v, want %v\n%s", sql, got, want, text)
		}
	}
}

func TestJoinsBeginWithFewRows(t *testing.T) {
	t.Parallel()
	l := sized(t)
	scans := func(sql string) string {
		q, err := l.Plan(sql)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		plan.EachScan(q.Root, func(s *plan.Scan) { order = append(order, s.Ref.Table) })
		return strings.Join(order, " ")
	}
	for sql, want := range map[string]string{
		"SELECT f.v FROM db.facts f, db.hosts h, db.sites s WHERE f.host = h.host AND h.site = s.site AND s.v < 2":                    "sites hosts facts",
		"SELECT f.v FROM db.facts f JOIN db.hosts h ON f.host = h.host JOIN db.sites s ON h.site = s.site WHERE s.site = 's1'":        "sites hosts facts",
		"SELECT f.v FROM db.hosts h JOIN db.facts f ON f.host = h.host JOIN db.sites s ON h.site = s.site WHERE s.site = 's1'":        "sites hosts facts",
		"SELECT f.v FROM db.hosts h, db.sites s, db.facts f WHERE f.host = h.host AND h.site = s.site AND s.v < 2":                    "hosts sites facts",
		"SELECT f.v FROM db.sites s, db.facts f, db.hosts h WHERE f.host = h.host AND CAST(h.v AS varchar) = CAST(s.site AS varchar)": "sites facts hosts", // a cast may fail
		"SELECT f.v FROM db.facts f JOIN db.hosts h ON f.host = h.host":                                                               "facts hosts",
	} {
		if got := scans(sql); got != want {
			t.Errorf("%s\nreads %s, want %s", sql, got, want)
		}
	}
}
