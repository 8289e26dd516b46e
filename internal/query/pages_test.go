package query_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
)

func TestPagesHaveMaxRowsAndTheLastHasNoToken(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 4, 25, query.Options{})
	check := func(sql string, maxRows int, want ...int) {
		t.Helper()
		var got []int
		for _, p := range e.all(query.Request{SQL: sql, MaxRows: maxRows}) {
			got = append(got, len(rows(p)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s by %d: rows per page = %v, want %v", sql, maxRows, got, want)
		}
	}
	check("SELECT i FROM d.t", 0, 100)
	check("SELECT i FROM d.t", 40, 40, 40, 20)
	check("SELECT i FROM d.t", 50, 50, 50) // no empty page after the last row
	check("SELECT i FROM d.t", 25, 25, 25, 25, 25)
	check("SELECT i FROM d.t", 1000, 100)
	check("SELECT i FROM d.t WHERE i < 0", 10, 0) // one page, empty
	check("SELECT 1", 1, 1)
	check("SELECT i FROM d.t ORDER BY f LIMIT 3", 2, 2, 1)
}

func TestPagesCarryTheWholeResultInOrder(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 7, 300, query.Options{PageBytes: 10_000})
	sql := "SELECT k, i, f, s, time FROM d.t ORDER BY i"
	pages := e.all(query.Request{SQL: sql})
	if len(pages) < 10 {
		t.Errorf("%d pages of 10 kB, want many", len(pages))
	}
	got := rows(pages...)
	for i, row := range got {
		if !strings.HasPrefix(row, fmt.Sprintf("k%03d|%d|", i/300, i)) {
			t.Fatalf("row %d is %s", i, row)
		}
	}
	if len(got) != 2100 {
		t.Errorf("%d rows, want 2100", len(got))
	}
	tokens := map[string]bool{}
	progress := 0.0
	var scanned int64
	for i, p := range pages {
		last := i == len(pages)-1
		if p.QueryID != pages[0].QueryID || len(p.QueryID) != 63 || columns(p) != columns(pages[0]) || len(p.Columns) != 5 {
			t.Errorf("page %d: id %s, columns %s; want those of page 1", i, p.QueryID, columns(p))
		}
		if tokens[p.NextToken] || last != (p.NextToken == "") {
			t.Errorf("page %d: token %q is not new, or there where it must not be", i, p.NextToken)
		}
		tokens[p.NextToken] = true
		if p.Progress < progress || p.BytesScanned < scanned || (p.Progress == 100) != last {
			t.Errorf("page %d: progress %v after %v, scanned %d after %d", i, p.Progress, progress, p.BytesScanned, scanned)
		}
		progress, scanned = p.Progress, p.BytesScanned
	}
}

func TestARowOverThePageSizeIsAnError(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 0, 0, query.Options{})
	const text = "Query aborted as max page response size has been exceeded by the output result row"
	for _, sql := range []string{
		"SELECT lpad('', 1000001, 'x')",
		`SELECT lpad('', 600000, '"')`, // a quote takes two bytes of JSON
		"SELECT repeat(lpad('', 1000, 'x'), 1000)",
	} {
		_, err := e.ask(query.Request{SQL: sql})
		fails(t, err, fault.Execution, text)
	}
	if n := len(rows(e.all(query.Request{SQL: "SELECT lpad('', 900000, 'x') FROM (VALUES 1, 2, 3) AS v (x)"})...)); n != 3 {
		t.Errorf("%d rows of 900 kB, want 3, each on a page", n)
	}
}

func TestATokenUsedAgainGivesTheSamePage(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
	first := e.page(req)
	req.NextToken = first.NextToken
	second := e.page(req)
	for range 3 {
		if again := e.page(req); !slices.Equal(rows(again), rows(second)) || again.NextToken != second.NextToken {
			t.Errorf("retry gave %v, want %v", rows(again), rows(second))
		}
	}
	noText := req
	noText.SQL = "" // as the Athena connector asks
	if again := e.page(noText); !slices.Equal(rows(again), rows(second)) {
		t.Errorf("without the query text: %v, want %v", rows(again), rows(second))
	}
	later := req
	later.NextToken = second.NextToken
	third := e.page(later)
	_, err := e.ask(req)
	fails(t, err, fault.Invalid, "Invalid pagination token") // the newer token made it void
	later.NextToken = third.NextToken
	last := e.page(later)
	if again := e.page(later); last.NextToken != "" || !slices.Equal(rows(again), rows(last)) {
		t.Errorf("retry of the last page gave %v, want %v", rows(again), rows(last))
	}
}

func TestTokensServeOnlyTheirCallerAndQuery(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
	req.NextToken = e.page(req).NextToken
	for name, change := range map[string]func(*query.Request){
		"another caller":  func(r *query.Request) { r.Caller = "arn:aws:iam::000000000000:user/other" },
		"another query":   func(r *query.Request) { r.SQL = "SELECT k FROM d.t" },
		"garbage":         func(r *query.Request) { r.NextToken = "!" },
		"no number":       func(r *query.Request) { r.NextToken = "AAAA" },
		"unknown query":   func(r *query.Request) { r.NextToken = "QUFBQS4y" }, // AAAA.2
		"page one":        func(r *query.Request) { r.NextToken = "QUFBQS4x" },
		"a page too many": func(r *query.Request) { r.NextToken = r.NextToken[:len(r.NextToken)-1] + "5" },
	} {
		bad := req
		change(&bad)
		_, err := e.ask(bad)
		t.Run(name, func(t *testing.T) { fails(t, err, fault.Invalid, "Invalid pagination token") })
	}
	if n := len(rows(e.page(req))); n != 6 {
		t.Errorf("%d rows, want 6: the token must still serve its owner", n)
	}
}

func TestASlowQueryAnswersWithEmptyPagesAndFreshTokens(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 20, 100, query.Options{Patience: time.Millisecond})
	req := query.Request{SQL: heavy}
	seen := map[string]bool{}
	for range 5 {
		p := e.page(req)
		if len(p.Rows) != 0 || seen[p.NextToken] || p.NextToken == "" || p.Progress >= 100 || columns(p) != "_col0 bigint" {
			t.Fatalf("page = %+v, want an empty one with a new token", p)
		}
		seen[p.NextToken] = true
		if again := e.page(req); again.NextToken != p.NextToken && req.NextToken != "" {
			t.Errorf("a retry of a poll got another token")
		}
		req.NextToken = p.NextToken
	}
}

func TestNoPageIsEmptyOnceRowsWereSent(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 20, 100, query.Options{Patience: time.Millisecond})
	req := query.Request{SQL: "SELECT * FROM (VALUES 1, 2, 3) AS v (x) UNION ALL " + heavy, MaxRows: 2}
	var p *query.Page
	for p = e.page(req); len(p.Rows) == 0; p = e.page(req) {
		req.NextToken = p.NextToken
	}
	if got := rows(p); !slices.Equal(got, []string{"1", "2"}) {
		t.Fatalf("first rows = %v", got)
	}
	req.NextToken, req.Caller = p.NextToken, me
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if p, err := e.Query(ctx, req); err == nil {
		if got := rows(p); !slices.Equal(got, []string{"3"}) {
			t.Errorf("page = %v, want the row that is ready, or to wait", got)
		}
	} else {
		fails(t, err, fault.Cancelled, "The caller left")
	}
}

func TestMeteringIsTenMegabytesAtLeastAndNothingForMetadata(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	for sql, want := range map[string]int64{
		"SELECT i FROM d.t":                 10_000_000,
		"SELECT 1":                          0,
		"SHOW TABLES FROM d":                0,
		"DESCRIBE d.t":                      0,
		"EXPLAIN SELECT i FROM d.t":         0,
		"EXPLAIN ANALYZE SELECT i FROM d.t": 10_000_000,
	} {
		if p := e.page(query.Request{SQL: sql}); p.BytesMetered != want {
			t.Errorf("%s: metered %d bytes, want %d", sql, p.BytesMetered, want)
		}
	}
	for _, o := range e.observed(6) {
		if o.QueryID == "" || o.Caller != me || o.Err != nil || o.Duration <= 0 || (o.BytesMetered > 0) != (len(o.Tables) > 0 && !strings.HasPrefix(o.SQL, "EXPLAIN SELECT")) {
			t.Errorf("observation %+v", o)
		}
	}
}

func TestInsightsTellCoverageRangeAndOutput(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	in := e.page(query.Request{SQL: "SELECT i FROM d.t WHERE time > ago(1h)", Insights: true}).Insights
	if in == nil || in.Tables != 1 || in.OutputRows != 20 || in.OutputBytes <= 0 || in.SpatialTable.Table != "t" || in.TemporalTable.Table != "t" ||
		in.SpatialCoverage <= 0 || in.SpatialCoverage > 1 || !slices.Equal(in.PartitionKey, []string{"measure_name"}) {
		t.Errorf("insights = %+v", in)
	}
	// From an hour ago to the end of the window of acceptance.
	if want := int64(75 * time.Minute); in.TemporalRangeNs > want || in.TemporalRangeNs < want-int64(time.Second) {
		t.Errorf("time range = %v, want 1h15m", time.Duration(in.TemporalRangeNs))
	}
	// Without a limit, all that the table may hold.
	whole := e.page(query.Request{SQL: "SELECT i FROM d.t", Insights: true}).Insights.TemporalRangeNs
	if want := 8*24*time.Hour + 40*time.Minute; time.Duration(whole) != want {
		t.Errorf("time range = %v, want %v", time.Duration(whole), want)
	}
	pages := e.all(query.Request{SQL: "SELECT i FROM d.t", MaxRows: 15, Insights: true})
	if got := pages[1].Insights; got == nil || got.OutputRows != 20 {
		t.Errorf("insights of the last page = %+v, want 20 rows", got)
	}
	if in := e.page(query.Request{SQL: "SELECT 1", Insights: true}).Insights; in.Tables != 0 || in.OutputRows != 1 {
		t.Errorf("insights without a table = %+v", in)
	}
	if p := e.page(query.Request{SQL: "SELECT 1"}); p.Insights != nil {
		t.Errorf("insights that nobody asked for: %+v", p.Insights)
	}
}

func TestMistakesInTheStatementAreInvalidAndObserved(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	for sql, text := range map[string]string{
		"SELECT nothing FROM d.t":               "line 1:8: Column 'nothing' does not exist",
		"SELECT 1 FROM none.t":                  "not found",
		"SELEC 1":                               "",
		"UNLOAD (SELECT 1) TO 's3://b/p'":       "UNLOAD needs an object store",
		"SELECT " + strings.Repeat("1+", 1<<17): "at most 262144 are allowed",
	} {
		_, err := e.ask(query.Request{SQL: sql})
		fails(t, err, fault.Invalid, text)
	}
	if n := len(e.observed(5)); n != 5 {
		t.Errorf("%d observations, want 5", n)
	}
	_, err := e.ask(query.Request{SQL: "SELECT 1/0"})
	fails(t, err, fault.Execution, "")
}
