package query_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/unload"
)

func TestResultsEndAtTheirLimits(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 3, 1000, query.Options{Limits: query.Limits{ResultBytes: 50_000, MetadataBytes: 1000}})
	req := query.Request{SQL: "SELECT i, k, time FROM d.t", MaxRows: 100}
	var err error
	for n := 0; err == nil; n++ {
		var page *query.Page
		if page, err = e.ask(req); err == nil {
			req.NextToken = page.NextToken
		}
		if n > 30 {
			t.Fatal("the result did not end")
		}
	}
	fails(t, err, fault.Execution, "The result of the query is larger than the limit of 50000 bytes.")
	_, err = e.ask(query.Request{SQL: "SELECT 1 AS " + strings.Repeat("n", 1000)})
	fails(t, err, fault.Invalid, "more than the limit of 1000.")
}

func TestUnloadsBeyondTheirRateAreThrottled(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	e := newEnv(t, 1, 1, query.Options{Objects: unload.InBuckets(b), Limits: query.Limits{UnloadsPerSecond: 2}})
	failed := 0
	for i := range 10 {
		if _, err := e.ask(query.Request{SQL: fmt.Sprintf("UNLOAD (SELECT i FROM d.t) TO 's3://bucket/%d'", i)}); fault.Is(err, fault.Throttled) {
			failed++
		}
	}
	if failed == 0 || failed > 8 {
		t.Errorf("%d of 10 were throttled", failed)
	}
}

func TestAnUnloadOfManyPartitionsHasOneFileOpen(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	open := &openFiles{Objects: unload.InBuckets(b)}
	e := newEnv(t, 1, 1, query.Options{Objects: open, Limits: query.Limits{UnloadPartitions: 300}})
	const sql = `UNLOAD (SELECT x * 10 AS v, x, CAST(x %% %d AS varchar) AS part FROM UNNEST(sequence(1, 999)) AS t(x) ORDER BY x DESC) TO 's3://bucket/out' WITH (compression = 'NONE', partitioned_by = ARRAY['part'])`
	if got := rows(e.all(query.Request{SQL: fmt.Sprintf(sql, 300)})...); !strings.HasPrefix(got[0], "999|") {
		t.Fatal(got)
	}
	files := slices.DeleteFunc(keys(t, b), func(k string) bool { return !strings.HasSuffix(k, ".csv") })
	if len(files) != 300 || open.most != 1 {
		t.Errorf("%d files, %d open at once", len(files), open.most)
	}
	i := slices.IndexFunc(files, func(k string) bool { return strings.Contains(k, "/part=7/") })
	if text, err := b.Read("bucket", files[i], 1<<20); err != nil || string(text) != "9070,907\n6070,607\n3070,307\n70,7\n" {
		t.Errorf("part 7: %q, %v", text, err)
	}
	_, err := e.ask(query.Request{SQL: fmt.Sprintf(sql, 301)})
	fails(t, err, fault.Execution, "UNLOAD exceeds the limit of 300 partitions per query.")
}

// openFiles counts the objects that are open.
type openFiles struct {
	unload.Objects
	open, most int
}

func (o *openFiles) Create(ctx context.Context, bucket, key string, a objstore.Attributes) (unload.Writer, error) {
	w, err := o.Objects.Create(ctx, bucket, key, a)
	o.open++
	o.most = max(o.most, o.open)
	return &openFile{Writer: w, o: o}, err
}

type openFile struct {
	unload.Writer
	o      *openFiles
	closed bool
}

func (f *openFile) Abort() {
	f.Writer.Abort()
	if !f.closed {
		f.closed = true
		f.o.open--
	}
}

func TestAnUnloadEndsAlthoughItsCallerLeft(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	e := newEnv(t, 10, 60, query.Options{Objects: unload.InBuckets(b), UnloadPatience: time.Millisecond, Grace: time.Millisecond})
	const sql = "UNLOAD (SELECT count(a.i * b.i) FROM d.t a, d.t b) TO 's3://bucket/%d'"
	// One got a token and never comes back, as awswrangler does; one hangs up and asks again.
	e.page(query.Request{SQL: fmt.Sprintf(sql, 1)})
	req := query.Request{SQL: fmt.Sprintf(sql, 2), ClientToken: "token"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Query(ctx, query.Request{Caller: me, SQL: req.SQL, ClientToken: req.ClientToken}); !fault.Is(err, fault.Cancelled) {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		done := slices.DeleteFunc(keys(t, b), func(k string) bool { return !strings.HasSuffix(k, "_manifest.json") })
		return len(done) == 2
	})
	if page, err := e.ask(req); err != nil || len(rows(page)) != 1 {
		t.Errorf("the retry got %v", err)
	}
	if n := len(keys(t, b)); n != 6 {
		t.Errorf("%d objects, want 6: the retry ran it again", n)
	}
}

func TestAClientTokenIsRefusedLongAfterItsUse(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	now := time.Now()
	e.SetTokenClock(func() time.Time { return now })
	req := query.Request{SQL: "SELECT 1", ClientToken: "token"}
	other := query.Request{SQL: "SELECT 2", ClientToken: "token"}
	e.page(req)
	now = now.Add(4 * time.Minute)
	e.page(req)
	_, err := e.ask(other)
	fails(t, err, fault.Invalid, "The ClientToken was used before with other parameters.")
	now = now.Add(2 * time.Minute)
	_, err = e.ask(req)
	fails(t, err, fault.Invalid, "The ClientToken was used before, longer than 5m0s ago.")
	other.Caller = "somebody else"
	if _, err := e.ask(other); err != nil {
		t.Errorf("the token of another caller: %v", err)
	}
	other.Caller = ""
	now = now.Add(4 * time.Hour)
	e.page(other)
}
