package query_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
)

func TestAPageIsMadeAheadForACallerWhoCameBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
	for i, want := range []int{0, 1, 1, 0} { // after each page; the fourth is the last
		req.NextToken = e.page(req).NextToken
		if got := e.Ahead(); got != want {
			t.Errorf("%d pages ahead after page %d, want %d", got, i+1, want)
		}
	}
}

func TestNoPageIsMadeAheadWithoutRoomForIt(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{RetainBytes: 1_500_000}) // the page that is kept takes 1 kB, one ahead counts as a full one: 1 MB
	next := func(req query.Request) query.Request {
		req.NextToken = e.page(req).NextToken
		return req
	}
	first := next(next(query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}))
	second := next(next(query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}))
	if got := e.Ahead(); got != 1 {
		t.Errorf("%d pages ahead of two queries, want 1", got)
	}
	next(next(first))
	next(next(second))
	if got := e.Ahead(); got != 0 {
		t.Errorf("%d pages ahead of queries that ended, want 0", got)
	}
}

func TestAPageAheadIsCutAnewForAnotherNumberOfRows(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 4, 25, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t ORDER BY i"}
	var got, want []string
	for i, n := range []int{6, 6, 3, 40, 1, 1, 2, 41} {
		req.MaxRows = n
		p := e.page(req)
		if len(rows(p)) != n {
			t.Errorf("page %d has %d rows, want %d", i+1, len(rows(p)), n)
		}
		got = append(got, rows(p)...)
		req.NextToken = p.NextToken
	}
	want = rows(e.page(query.Request{SQL: "SELECT i FROM d.t ORDER BY i"}))
	if req.NextToken != "" || !slices.Equal(got, want) {
		t.Errorf("rows = %v, then token %q", got, req.NextToken)
	}
}

func TestRowsLeftOfAPageThatIsCutAnewAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 10, 100, query.Options{})
		req := query.Request{SQL: "SELECT i FROM d.t"}
		for _, n := range []int{400, 400, 1} { // 200 rows are ahead when one is asked for
			req.MaxRows = n
			req.NextToken = e.page(req).NextToken
		}
		synctest.Wait()
		before := e.KeptBytes()
		if before < 1024+198*10 {
			t.Errorf("%d bytes are counted with 198 rows left", before)
		}
		req.MaxRows = 400
		if p := e.page(req); p.NextToken != "" || len(rows(p)) != 199 {
			t.Errorf("the last page has %d rows and token %q", len(rows(p)), p.NextToken)
		}
		if after := e.KeptBytes(); after < 0 || after >= 3*1024+20*199 {
			t.Errorf("%d bytes are counted at the end", after)
		}
	})
}

func TestAnErrorAheadIsToldToWhoAsksForItsPage(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{PageBytes: 1000})
	req := query.Request{SQL: "SELECT i, CASE i WHEN 13 THEN concat(s, s, s, s, s, s, s, s, s, s) ELSE '' END FROM d.t ORDER BY i", MaxRows: 6}
	second := query.Request{SQL: req.SQL, MaxRows: 6, NextToken: e.page(req).NextToken}
	p := e.page(second)
	third := query.Request{SQL: req.SQL, MaxRows: 6, NextToken: p.NextToken}
	third.NextToken = e.page(third).NextToken // 12, before the one that is too long
	for range 2 {
		_, err := e.ask(third)
		fails(t, err, fault.Execution, "max page response size")
	}
	if o := e.observed(1); len(o) != 1 || o[0].State != query.Failed || o[0].Rows != 13 {
		t.Errorf("observations = %+v", o)
	}
}

func TestAnErrorAheadLeavesThePageBeforeForRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2, 10, query.Options{PageBytes: 1000, RetainFor: time.Minute})
		req := query.Request{SQL: "SELECT i, CASE i WHEN 12 THEN concat(s, s, s, s, s, s, s, s, s, s) ELSE '' END FROM d.t ORDER BY i", MaxRows: 6}
		req.NextToken = e.page(req).NextToken
		p := e.page(req)
		synctest.Wait() // the error is there
		if again := e.page(req); !slices.Equal(rows(again), rows(p)) || again.NextToken != p.NextToken {
			t.Errorf("retry gave %v, want %v", rows(again), rows(p))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if o := e.observed(1); len(o) != 1 || o[0].State != query.Failed || o[0].Rows != 12 {
			t.Errorf("observations when nobody came back: %+v", o)
		}
		e.Close()
	})
}

func TestCancelEndsThePageAhead(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
	req.NextToken = e.page(req).NextToken
	p := e.page(req)
	if _, err := e.Cancel(t.Context(), me, p.QueryID); err != nil {
		t.Fatal(err)
	}
	if got := e.Ahead(); got != 0 {
		t.Errorf("%d pages ahead of a cancelled query, want 0", got)
	}
	req.NextToken = p.NextToken
	_, err := e.ask(req)
	fails(t, err, fault.Cancelled, cancelledText)
}
