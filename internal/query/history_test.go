package query_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

func TestQueriesAreTold(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	e.all(query.Request{SQL: "SELECT k, count(*) FROM d.t WHERE i >= 5 GROUP BY k"})
	if _, err := e.ask(query.Request{SQL: "SELECT nope FROM d.t"}); err == nil {
		t.Fatal("got an answer")
	}
	if _, err := e.ask(query.Request{SQL: "SELECT 1 / (i - i) FROM d.t"}); err == nil {
		t.Fatal("got an answer")
	}
	if _, err := e.ask(query.Request{SQL: "SELEC"}); err == nil {
		t.Fatal("got an answer")
	}
	e.all(query.Request{SQL: "SHOW TABLES"})
	got := rows(e.all(query.Request{SQL: `SELECT kind, state, query, output_rows, rows_scanned, tables, error_kind, error,
		elapsed_ms >= busy_ms AND busy_ms >= planning_ms AND planning_ms > 0, length(query_id) > 20, bytes_metered
		FROM information_schema.queries WHERE time <= now() ORDER BY state, output_rows, query`})...)
	want := []string{ // the model of storage is asked twice: it takes no filter
		"NULL|FAILED|SELEC|0|0|[]|invalid|The query syntax is invalid at line 1:1|true|true|0",
		"SELECT|FAILED|SELECT 1 / (i - i) FROM d.t|0|20|[d.t]|execution|Division by zero|true|true|10000000",
		"SELECT|FAILED|SELECT nope FROM d.t|0|0|[]|invalid|line 1:8: Column 'nope' does not exist|true|true|0",
		"SHOW|FINISHED|SHOW TABLES|1|0|[]|NULL|NULL|true|true|0",
		"SELECT|FINISHED|SELECT k, count(*) FROM d.t WHERE i >= 5 GROUP BY k|2|40|[d.t]|NULL|NULL|true|true|10000000",
	}
	if len(got) != 6 || !strings.HasPrefix(got[5], "SELECT|RUNNING|SELECT kind, state") {
		t.Fatalf("got %d queries, want five and the one that asks, which runs: %s", len(got), strings.Join(got, "\n"))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
	rules := rows(e.all(query.Request{SQL: "SELECT rules, pushed FROM information_schema.queries WHERE query LIKE 'SELECT k,%'"})...)
	if want := "[constant-folding, scan-filters, prune-columns, merge-projections, push-aggregation]|[]"; len(rules) != 1 || rules[0] != want {
		t.Errorf("got %v, want %s", rules, want)
	}
}

func TestRunningQueriesAreTold(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 20, 100, query.Options{Patience: time.Millisecond})
	p := e.page(query.Request{SQL: heavy})
	state := func() string {
		return strings.Join(rows(e.all(query.Request{SQL: "SELECT state, error_kind, tables FROM information_schema.queries WHERE query_id = '" + p.QueryID + "'"})...), "\n")
	}
	if got, want := state(), "RUNNING|NULL|[d.t]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := e.Cancel(context.Background(), me, p.QueryID); err != nil {
		t.Fatal(err)
	}
	if got, want := state(), "CANCELLED|cancelled|[d.t]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStreamsAreTold(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 10, query.Options{})
	s, err := e.Stream(context.Background(), query.StreamRequest{Caller: me, SQL: "SELECT i FROM d.t"})
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			break
		}
	}
	ask := query.Request{SQL: "SELECT state, output_rows FROM information_schema.queries WHERE query = 'SELECT i FROM d.t'"}
	if got := rows(e.all(ask)...); len(got) != 1 || got[0] != "RUNNING|10" {
		t.Errorf("got %v while it is open", got)
	}
	s.Close()
	if got := rows(e.all(ask)...); len(got) != 1 || got[0] != "FINISHED|10" {
		t.Errorf("got %v after its end", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{History: 3})
	for i := range 10 {
		e.all(query.Request{SQL: fmt.Sprintf("SELECT %d", i)})
	}
	got := rows(e.all(query.Request{SQL: "SELECT query FROM information_schema.queries WHERE state = 'FINISHED' ORDER BY query"})...)
	if want := []string{"SELECT 7", "SELECT 8", "SELECT 9"}; strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("got %v, want %v", got, want)
	}
	long := newEnv(t, 1, 1, query.Options{HistoryBytes: 100_000})
	for i := range 5 {
		long.all(query.Request{SQL: fmt.Sprintf("SELECT %d -- %s", i, strings.Repeat("x", 40_000))})
	}
	if got := rows(long.all(query.Request{SQL: "SELECT count(*) FROM information_schema.queries WHERE state = 'FINISHED'"})...); got[0] != "2" {
		t.Errorf("%s texts of 40 KB are kept within 100 KB, want 2", got[0])
	}
}

func TestSystemTablesAreInNoList(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	for sql, want := range map[string]string{
		"SHOW DATABASES":                                "d",
		"SHOW TABLES":                                   "t",
		"SHOW TABLES FROM information_schema":           "queries",
		"SHOW TABLES FROM information_schema LIKE 'x%'": "",
		"SELECT count(*) FROM INFORMATION_SCHEMA.Queries WHERE state = 'PLANNING'": "0",
	} {
		if got := strings.Join(rows(e.all(query.Request{SQL: sql})...), ","); got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	if got := rows(e.all(query.Request{SQL: "DESCRIBE information_schema.queries"})...); len(got) < 20 || got[0] != "query_id|varchar|MULTI" || got[5] != "time|timestamp|TIMESTAMP" {
		t.Errorf("DESCRIBE gives %v", got)
	}
	_, err := e.ask(query.Request{SQL: "SELECT * FROM information_schema.nope"})
	fails(t, err, fault.Invalid, "Requested table 'nope' not found for identifier 'information_schema.nope' at line 1:15")
}

func TestADatabaseOfThatNameIsTheCallers(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	if _, err := e.catalog.CreateDatabase(context.Background(), "information_schema", "", nil); err != nil {
		t.Fatal(err)
	}
	_, err := e.ask(query.Request{SQL: "SELECT * FROM information_schema.queries"})
	fails(t, err, fault.Invalid, "Requested table 'queries' not found")
	if _, err := e.catalog.CreateTable(context.Background(), catalog.NewTable{Database: "information_schema", Name: "queries"}); err != nil {
		t.Fatal(err)
	}
	if got := columns(e.page(query.Request{SQL: "SELECT * FROM information_schema.queries"})); got != "measure_name varchar, time timestamp" {
		t.Errorf("got the columns %s", got)
	}
}

func TestSystemTablesAreAuthorised(t *testing.T) {
	t.Parallel()
	denied := errors.New("no")
	e := newEnv(t, 1, 1, query.Options{Authorize: func(_ context.Context, _ string, action string, tables []plan.TableRef) error {
		if len(tables) == 1 && tables[0].Database == query.SystemDatabase && action == "Select" {
			return fault.Wrap(fault.Denied, denied, "no")
		}
		return nil
	}})
	if _, err := e.ask(query.Request{SQL: "SELECT * FROM information_schema.queries"}); !errors.Is(err, denied) {
		t.Errorf("got %v", err)
	}
}

func TestCallersSeeTheirOwnQueriesAndAdministratorsAll(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{Authorize: func(_ context.Context, caller string, action string, _ []plan.TableRef) error {
		if action == query.AdminAction && caller != "root" {
			return fault.New(fault.Denied, "no")
		}
		return nil
	}})
	const ask = "SELECT caller, query FROM information_schema.queries WHERE query LIKE '%i%d.t' ORDER BY caller"
	e.all(query.Request{Caller: "ann", SQL: "SELECT i FROM d.t"})
	e.all(query.Request{Caller: "bob", SQL: "SELECT i + 1 FROM d.t"})
	for caller, want := range map[string]string{
		"ann":  "ann|SELECT i FROM d.t",
		"bob":  "bob|SELECT i + 1 FROM d.t",
		"eve":  "",
		"root": "ann|SELECT i FROM d.t\nbob|SELECT i + 1 FROM d.t",
	} {
		if got := strings.Join(rows(e.all(query.Request{Caller: caller, SQL: ask})...), "\n"); got != want {
			t.Errorf("%s sees %q, want %q", caller, got, want)
		}
	}
}

func TestCoverageIsThatOfTheWorstTable(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 100, query.Options{})
	var b storagetest.Batch
	for i := range 10 {
		b.Add(storagetest.Point{Measure: "m", Dims: []string{"k", "x"}, TimeNs: start.UnixNano() - int64(i)*int64(time.Second), Values: []storagetest.NamedValue{storagetest.I("n", 1)}})
	}
	e.write("whole", &b)
	p := e.all(query.Request{SQL: "SELECT count(*) FROM d.t JOIN d.whole ON t.time = whole.time WHERE t.time > ago(5s) AND whole.n > 0", Insights: true})
	in := p[len(p)-1].Insights
	if in == nil || in.Tables != 2 || in.SpatialTable.Table != "whole" || in.TemporalRangeNs == 0 || in.SpatialCoverage < 0.4 || in.SpatialCoverage > 1 {
		t.Errorf("got %+v, want the coverage of d.whole, of which half or more is read", in)
	}
}

func TestEveryQueryIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := newEnv(t, 1, 1, query.Options{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), SlowQuery: time.Hour})
	e.all(query.Request{SQL: "SELECT i FROM d.t"})
	for _, want := range []string{"level=DEBUG", `msg="query ended"`, "kind=SELECT", "state=FINISHED", "rows=1", "table=d.t", "query_id=", "dur=",
		"series_read=", "series_skipped=", "segments_read=", "segments_skipped=", "blocks_read=", "blocks_skipped=", "peak_memory=", "spilled=", "rules=", "pushed="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s lacks %s", log.String(), want)
		}
	}
	if strings.Contains(log.String(), "SELECT i") {
		t.Errorf("the log has the text of the query, which may hold values: %s", log.String())
	}
}
