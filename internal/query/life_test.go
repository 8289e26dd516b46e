package query_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/plan"
)

const cancelledText = "Unable to poll results for a cancelled query."

func TestCancelEndsAQueryBetweenPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
	first := e.page(req)
	if _, err := e.Cancel(t.Context(), "somebody else", first.QueryID); !fault.Is(err, fault.Invalid) {
		t.Errorf("cancel by another caller: %v", err)
	}
	message, err := e.Cancel(t.Context(), me, first.QueryID)
	if err != nil || !strings.Contains(message, first.QueryID) {
		t.Errorf("Cancel = %q, %v", message, err)
	}
	again, err := e.Cancel(t.Context(), me, first.QueryID)
	if err != nil || !strings.Contains(again, "cancelled already") {
		t.Errorf("Cancel again = %q, %v", again, err)
	}
	for range 2 {
		req.NextToken = first.NextToken
		_, err = e.ask(req)
		fails(t, err, fault.Cancelled, cancelledText)
	}
	if o := e.observed(1)[0]; !fault.Is(o.Err, fault.Cancelled) || o.Rows != 6 {
		t.Errorf("observation = %+v", o)
	}
}

func TestCancelOfAnEndedOrUnknownQueryIsInvalid(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	for name, id := range map[string]string{
		"never there":        "AAAA",
		"one page":           e.page(query.Request{SQL: "SELECT 1"}).QueryID,
		"one page, kept":     e.page(query.Request{SQL: "SELECT 1", ClientToken: "x"}).QueryID,
		"read to the end":    e.all(query.Request{SQL: "SELECT i FROM d.t", MaxRows: 7})[0].QueryID,
		"metadata statement": e.page(query.Request{SQL: "SHOW DATABASES"}).QueryID,
	} {
		_, err := e.Cancel(t.Context(), me, id)
		t.Run(name, func(t *testing.T) { fails(t, err, fault.Invalid, id) })
	}
}

// heavies are queries that would run for very long, each in another operator.
var heavies = []string{
	heavy,
	"SELECT a.i FROM d.t a, d.t b, d.t c WHERE a.i + b.i + c.i < 0",
	"SELECT sum(i) FROM (SELECT a.i FROM d.t a, d.t b, d.t c) ORDER BY 1",
	"SELECT count(*) FROM d.t a WHERE a.i < ALL (SELECT b.i * c.i FROM d.t b, d.t c)",
	"SELECT a.i % 7, count(DISTINCT b.i) FROM d.t a CROSS JOIN d.t b CROSS JOIN d.t c GROUP BY a.i % 7",
	"SELECT max(x * y) FROM UNNEST(sequence(1, 10000)) AS u (x) CROSS JOIN UNNEST(sequence(1, 10000)) AS v (y) CROSS JOIN UNNEST(sequence(1, 10000)) AS w (z)",
	"EXPLAIN ANALYZE " + heavy,
}

// soon is the promise of 50 ms, with what a very busy machine adds.
const soon = 5 * time.Second

func TestCancelStopsARunningQuerySoon(t *testing.T) {
	t.Parallel()
	for _, sql := range heavies {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, 20, 100, query.Options{Patience: time.Millisecond})
			req := query.Request{SQL: sql}
			first := e.page(req)
			req.NextToken = first.NextToken
			polled := make(chan error)
			go func() { // a caller that polls all the while
				for poll := req; ; {
					p, err := e.ask(poll)
					if err != nil {
						polled <- err
						return
					}
					poll.NextToken = p.NextToken
				}
			}()
			time.Sleep(5 * time.Millisecond) // into the middle of the work
			began := time.Now()
			if _, err := e.Cancel(t.Context(), me, first.QueryID); err != nil {
				t.Fatal(err)
			}
			fails(t, <-polled, fault.Cancelled, cancelledText)
			e.Close() // waits for the work
			if took := time.Since(began); took > soon {
				t.Errorf("the work went on for %v", took)
			}
			if o := e.observed(1); len(o) != 1 || !fault.Is(o[0].Err, fault.Cancelled) {
				t.Errorf("observations = %+v", o)
			}
		})
	}
}

func TestACallerWhoLeavesBeforeTheFirstPageEndsTheQuery(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 20, 100, query.Options{MaxOpen: 1})
	for _, sql := range heavies {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		_, err := e.Query(ctx, query.Request{Caller: me, SQL: sql})
		fails(t, err, fault.Cancelled, "The caller left")
		// The place is free again, so the next query is let in.
		if p := e.page(query.Request{SQL: "SELECT 1"}); !slices.Equal(rows(p), []string{"1"}) {
			t.Errorf("SELECT 1 gave %v", rows(p))
		}
	}
	began := time.Now()
	e.Close()
	if took := time.Since(began); took > soon {
		t.Errorf("work of callers who left went on for %v", took)
	}
}

func TestCloseEndsRunningQueries(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 20, 100, query.Options{Patience: time.Millisecond})
	started := make(chan struct{}, 4)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			req := query.Request{SQL: heavy}
			for {
				p, err := e.ask(req)
				if err != nil {
					fails(t, err, fault.Unavailable, "The server is shutting down.")
					return
				}
				if req.NextToken == "" {
					started <- struct{}{}
				}
				req.NextToken = p.NextToken
			}
		})
	}
	for range 4 {
		<-started
	}
	began := time.Now()
	e.Close()
	if took := time.Since(began); took > soon {
		t.Errorf("Close took %v", took)
	}
	callers.Wait()
	_, err := e.ask(query.Request{SQL: "SELECT 1"})
	fails(t, err, fault.Unavailable, "The server is shutting down.")
}

func TestTheTimeLimitEndsAQuery(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 20, 100, query.Options{TimeLimit: 20 * time.Millisecond})
	_, err := e.ask(query.Request{SQL: heavy})
	fails(t, err, fault.Execution, "Query exceeded the time limit of 20ms.")
}

func TestTheTimeLimitIncludesTheCallersPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2, 10, query.Options{TimeLimit: time.Minute})
		req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
		req.NextToken = e.page(req).NextToken
		time.Sleep(time.Minute)
		synctest.Wait()
		_, err := e.ask(req)
		fails(t, err, fault.Execution, "Query exceeded the time limit of 1m0s.")
		e.Close()
	})
}

func TestResultsThatNobodyReadsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2, 10, query.Options{RetainFor: 10 * time.Minute, MaxOpen: 1})
		req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 6}
		req.NextToken = e.page(req).NextToken
		time.Sleep(9 * time.Minute)
		req.NextToken = e.page(req).NextToken // somebody does
		time.Sleep(9 * time.Minute)
		_, err := e.ask(query.Request{SQL: "SELECT 1"})
		fails(t, err, fault.Throttled, "1 results are open")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		e.page(query.Request{SQL: "SELECT 1"})
		_, err = e.ask(req)
		fails(t, err, fault.Invalid, "Invalid pagination token")
		e.Close()
	})
}

func TestKeptPagesStayWithinTheirBytes(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 10, 10, query.Options{RetainBytes: 30_000}) // a page of all rows takes some 15 kB
	ask := func(i int) *query.Page {
		return e.page(query.Request{SQL: "SELECT s FROM d.t", ClientToken: fmt.Sprint(i)})
	}
	first, second := ask(1), ask(2)
	if again := ask(2); again.QueryID != second.QueryID {
		t.Error("the latest page was not kept")
	}
	ask(3)
	if again := ask(1); again.QueryID == first.QueryID {
		t.Error("the oldest page was kept beyond the budget")
	}
}

func TestMemoryOfOneQueryIsLimited(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 10, 100, query.Options{MemoryLimitBytes: 4096})
	_, err := e.ask(query.Request{SQL: "SELECT * FROM d.t ORDER BY f"})
	fails(t, err, fault.Execution, "memory limit of 4 KiB; raise --query-memory-limit")
}

func TestMemoryOfAllQueriesIsLimitedAndGivenBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 10, 100, query.Options{TotalMemoryBytes: 130 << 10})
	req := query.Request{SQL: "SELECT * FROM d.t ORDER BY f", MaxRows: 10}
	first := e.page(req)
	_, err := e.ask(req)
	fails(t, err, fault.Throttled, "common memory limit of 130 KiB; try again later or raise --memory-limit")
	if _, err := e.Cancel(t.Context(), me, first.QueryID); err != nil {
		t.Fatal(err)
	}
	e.page(req)
}

func TestABugEndsTheQueryAndNotTheServer(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	e.faults.broken.Store(true)
	_, err := e.ask(query.Request{SQL: "SELECT i FROM d.t"})
	if fault.KindOf(err) != fault.Internal || !strings.Contains(fmt.Sprint(err), "bug: a query panicked: broken") {
		t.Errorf("error = %v, want an internal one", err)
	}
	e.faults.broken.Store(false)
	if p := e.page(query.Request{SQL: "SELECT i FROM d.t"}); len(rows(p)) != 1 {
		t.Errorf("rows = %v", rows(p))
	}
}

func TestAClientTokenReplaysTheFirstPage(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	req := query.Request{SQL: "SELECT i FROM d.t", MaxRows: 15, ClientToken: "token"}
	first := e.page(req)
	if again := e.page(req); again != first {
		t.Errorf("a retry gave query %s, want the page of %s again", again.QueryID, first.QueryID)
	}
	for name, change := range map[string]func(*query.Request){
		"other text":     func(r *query.Request) { r.SQL += " " },
		"other page":     func(r *query.Request) { r.MaxRows = 5 },
		"other insights": func(r *query.Request) { r.Insights = true },
	} {
		bad := req
		change(&bad)
		_, err := e.ask(bad)
		t.Run(name, func(t *testing.T) {
			fails(t, err, fault.Invalid, "The ClientToken was used before with other parameters.")
		})
	}
	other := req
	other.Caller = "somebody else"
	if p := e.page(other); p.QueryID == first.QueryID {
		t.Error("a token served another caller")
	}
	next := req
	next.NextToken = first.NextToken
	e.page(next)
	if p := e.page(req); p.QueryID == first.QueryID || len(rows(p)) != 15 {
		t.Errorf("a retry after page two gave query %s with %d rows, want a new run", p.QueryID, len(rows(p)))
	}
}

func TestCallsWithOneClientTokenRunOneQuery(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 4, 50, query.Options{})
	req := query.Request{SQL: "SELECT count(*) FROM d.t a, d.t b", ClientToken: "token"}
	ids := make(chan string, 16)
	var callers sync.WaitGroup
	for range cap(ids) {
		callers.Go(func() {
			p, err := e.ask(req)
			if err != nil || !slices.Equal(rows(p), []string{"40000"}) {
				t.Errorf("%v, %v", p, err)
				return
			}
			ids <- p.QueryID
		})
	}
	callers.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("queries %s and %s ran for one token", first, id)
		}
	}
	if n := len(e.observed(1)); n != 1 {
		t.Errorf("%d queries ended, want 1", n)
	}
}

// An SDK whose connection broke asks again with the same token while the first call is
// still being worked on; its first call leaves.
func TestARetryTakesOverFromACallerWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2, 10, query.Options{})
		stuck := make(chan struct{})
		e.faults.stuck.Store(&stuck)
		req := query.Request{Caller: me, SQL: "SELECT i FROM d.t", ClientToken: "token"}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := e.Query(ctx, req)
			left <- err
		}()
		synctest.Wait() // for the table
		retried := make(chan *query.Page)
		go func() { retried <- e.page(req) }()
		synctest.Wait()
		cancel()
		fails(t, <-left, fault.Cancelled, "The caller left")
		close(stuck)
		if p := <-retried; len(rows(p)) != 20 {
			t.Errorf("the retry got %v, want the rows of the query that runs", rows(p))
		}
		if n := len(e.observed(1)); n != 1 {
			t.Errorf("%d queries ended, want one", n)
		}
		e.Close()
	})
}

// A poll whose connection broke may be repeated for a while; a query that works for nobody
// ends then.
func TestAQueryThatItsCallerLeftAmongPagesEndsAfterAGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2, 10, query.Options{Grace: time.Minute})
		stuck := make(chan struct{})
		e.faults.stuck.Store(&stuck)
		req := query.Request{Caller: me, SQL: "SELECT i FROM d.t"}
		began := time.Now()
		req.NextToken = e.page(req).NextToken
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("the empty page came after %v, want 10 s", waited)
		}
		leave := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := e.Query(ctx, req)
			fails(t, err, fault.Cancelled, "The caller left")
		}
		leave()
		time.Sleep(50 * time.Second)
		leave() // came back, and left again
		time.Sleep(50 * time.Second)
		if p := e.page(req); len(p.Rows) != 0 || p.NextToken == req.NextToken {
			t.Errorf("page = %+v, want an empty one with a new token", p)
		} else {
			req.NextToken = p.NextToken
		}
		leave()
		time.Sleep(time.Minute)
		synctest.Wait()
		_, err := e.ask(req)
		fails(t, err, fault.Invalid, "Invalid pagination token")
		if o := e.observed(1); len(o) != 1 {
			t.Errorf("observations = %+v", o)
		}
		e.Close()
	})
}

func TestAFailedFirstPageIsRunAgainForTheSameClientToken(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{MaxOpen: 1})
	blocker := query.Request{SQL: "SELECT * FROM (VALUES 1, 2) AS v (x)", MaxRows: 1}
	p := e.page(blocker)
	req := query.Request{SQL: "SELECT 1", ClientToken: "token"}
	_, err := e.ask(req)
	fails(t, err, fault.Throttled, "1 results are open")
	blocker.NextToken = p.NextToken
	e.page(blocker)
	e.page(req)
}

func TestAuthorizeIsAskedWithActionAndTables(t *testing.T) {
	t.Parallel()
	var asked []string
	deny := fault.New(fault.Denied, "no")
	e := newEnv(t, 1, 1, query.Options{Authorize: func(_ context.Context, caller, action string, tables []plan.TableRef) error {
		asked = append(asked, fmt.Sprint(caller, " ", action, " ", tables))
		return deny
	}})
	for _, sql := range []string{"SELECT i FROM d.t", "SELECT 1", "SHOW DATABASES", "SHOW TABLES", "SHOW MEASURES FROM d.t", "DESCRIBE d.t", "EXPLAIN SELECT i FROM d.t"} {
		if _, err := e.ask(query.Request{SQL: sql, Caller: "me"}); err != deny {
			t.Errorf("%s: %v, want to be denied", sql, err)
		}
	}
	if _, err := e.Prepare(t.Context(), "me", "SELECT i FROM d.t"); err != deny {
		t.Errorf("Prepare: %v", err)
	}
	want := []string{"me Select [{d t}]", "me SelectValues []", "me ListDatabases []", "me ListTables []", "me ListMeasures [{d t}]", "me DescribeTable [{d t}]", "me Select [{d t}]", "me PrepareQuery [{d t}]"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked:\n%s\nwant:\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
}

// Many callers page, retry, cancel, leave and share tokens; every answer that is given is
// right, and nothing stays behind.
func TestConcurrentCallersGetRightAnswers(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 10, 100, query.Options{Parallel: 3, RetainBytes: 50_000, PageBytes: 20_000})
	want := rows(e.all(query.Request{SQL: "SELECT i FROM d.t ORDER BY i"})...)
	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			caller := fmt.Sprint("caller ", c%4)
			for n := range 30 {
				req := query.Request{Caller: caller, SQL: "SELECT i FROM d.t ORDER BY i", MaxRows: 50 + n}
				if n%3 == 0 {
					req.ClientToken = fmt.Sprint("token ", n)
				}
				var got []string
				for {
					ctx, cancel := context.WithCancel(t.Context())
					if n%5 == 4 && len(got) > 0 { // a connection that breaks, and the SDK's retry
						go cancel()
						e.Query(ctx, req)
					}
					cancel()
					p, err := e.ask(req)
					if req.ClientToken != "" && (fault.Is(err, fault.Invalid) || fault.Is(err, fault.Cancelled)) {
						break // two callers of one token overtake each other
					}
					if err != nil {
						t.Errorf("page after %d rows: %v", len(got), err)
						return
					}
					got = append(got, rows(p)...)
					if n%7 == 6 && len(got) > 200 {
						if _, err := e.Cancel(t.Context(), caller, p.QueryID); err != nil {
							t.Errorf("Cancel: %v", err)
						}
						break
					}
					if req.NextToken = p.NextToken; p.NextToken == "" {
						if !slices.Equal(got, want) {
							t.Errorf("%d rows, want %d", len(got), len(want))
						}
						break
					}
				}
				runtime.Gosched()
			}
		})
	}
	callers.Wait()
}
