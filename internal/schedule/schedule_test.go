package schedule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
)

var start = time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)

// env is a service over tables d.raw (source) and d.out (target).
type env struct {
	t       *testing.T
	clock   *clock.Clock
	catalog *catalog.Catalog
	ingest  *ingest.Service
	queries *query.Service
	docs    documents
	reports reports
	notes   notes
	watch   schedule.Watch
	opts    schedule.Options
	*schedule.Service
}

func newEnv(t *testing.T, clk *clock.Clock) *env {
	t.Helper()
	e := &env{t: t, clock: clk, docs: documents{byKey: map[string][]byte{}}, reports: reports{byKey: map[string]string{}}}
	var err error
	if e.catalog, err = catalog.Open(t.Context(), catalog.Options{Backend: storagetest.NewNaive(clk), Clock: clk}); err != nil {
		t.Fatal(err)
	}
	e.ingest = ingest.New(ingest.Options{Catalog: e.catalog, Observe: e.watch.Observe})
	e.queries = query.New(query.Options{Catalog: e.catalog, Functions: fn.New(), Clock: clk, Render: render})
	t.Cleanup(e.queries.Close)
	if _, err := e.catalog.CreateDatabase(t.Context(), "d", "", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"raw", "out"} {
		e.must(e.catalog.CreateTable(t.Context(), catalog.NewTable{Database: "d", Name: name, Retention: &catalog.Retention{MemoryHours: 8766, MagneticDays: 7}}))
	}
	e.opts = schedule.Options{
		Catalog: e.catalog, Queries: e.queries, Ingest: e.ingest, Documents: &e.docs, Clock: clk, Reports: &e.reports, Notify: &e.notes, Watch: &e.watch,
		RetryAfter: time.Microsecond,
	}
	e.open()
	t.Cleanup(func() { e.Close() })
	return e
}

func (e *env) open() {
	e.t.Helper()
	var err error
	if e.Service, err = schedule.Open(e.opts); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) must(_ any, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) write(device, name, value string, at time.Time) {
	e.t.Helper()
	e.must(e.ingest.Write(e.t.Context(), &ingest.Request{Database: "d", Table: "raw", Records: []ingest.Record{{
		Dimensions: []ingest.Dimension{{Name: "device", Value: device}}, MeasureName: name, MeasureValue: value,
		Time: fmt.Sprint(at.UnixNano()), TimeUnit: ingest.Nanoseconds,
	}}}))
}

// rows returns the answer to a query as text, values separated by blanks.
func (e *env) rows(sql string) []string {
	e.t.Helper()
	page, err := e.queries.Query(e.t.Context(), query.Request{SQL: sql})
	if err != nil {
		e.t.Fatal(err)
	}
	return append([]string{}, strings.Split(string(page.Rows), "\n")[:bytes.Count(page.Rows, []byte("\n"))]...)
}

// render writes rows as lines.
func render(dst []byte, b *vec.Batch, ends []int) ([]byte, []int) {
	for i := range b.Len {
		for k, c := range b.Columns {
			if k > 0 {
				dst = append(dst, ' ')
			}
			dst = append(dst, c.Value(i).String()...)
		}
		dst = append(dst, '\n')
		ends = append(ends, len(dst))
	}
	return dst, ends
}

func (e *env) settle() {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	if err := e.Settle(ctx); err != nil {
		e.t.Fatalf("settle: %v", err)
	}
}

func (e *env) advance(d time.Duration) {
	e.t.Helper()
	e.clock.Advance(d)
	e.settle()
}

func (e *env) create(d schedule.Definition) *schedule.Query {
	e.t.Helper()
	q, err := e.Create(e.t.Context(), d, nil, "")
	if err != nil {
		e.t.Fatal(err)
	}
	return q
}

func (e *env) describe(arn string) *schedule.Query {
	e.t.Helper()
	q, err := e.Query(arn)
	if err != nil {
		e.t.Fatal(err)
	}
	return q
}

// hourly averages per device over the hour before @scheduled_runtime, as MULTI records.
func hourly() schedule.Definition {
	return schedule.Definition{
		Name: "hourly", Expression: "cron(0 * * * ? *)", TopicARN: "arn:aws:sns:us-east-1:000000000000:t", RoleARN: "arn:aws:iam::000000000000:role/r",
		SQL: `SELECT device, BIN(time, 1h) AS hour, AVG(measure_value::double) AS mean, COUNT(*) AS n FROM d.raw
WHERE time >= @scheduled_runtime - 1h AND time < @scheduled_runtime GROUP BY device, BIN(time, 1h)`,
		Report: schedule.Location{Bucket: "reports", Prefix: "errors"},
		Target: &schedule.Target{
			Database: "d", Table: "out", TimeColumn: "hour", Dimensions: []string{"device"},
			Multi: &schedule.Multi{Name: "stats", Attributes: []schedule.Attribute{{Column: "mean", Type: ingest.Double}, {Column: "n", Name: "samples", Type: ingest.Bigint}}},
		},
	}
}

type documents struct {
	mu      sync.Mutex
	byKey   map[string][]byte
	changes int // calls of Apply
}

func (d *documents) Each(f func(key string, doc []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, v := range d.byKey {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (d *documents) Apply(changes map[string][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes++
	for k, v := range changes {
		if v == nil {
			delete(d.byKey, k)
		} else {
			d.byKey[k] = v
		}
	}
	return nil
}

func (d *documents) copy() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.byKey)
}

type reports struct {
	mu    sync.Mutex
	byKey map[string]string
}

func (r *reports) Put(_ context.Context, bucket, key string, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bucket == "missing" {
		return errors.New("no such bucket")
	}
	r.byKey[bucket+"/"+key] = string(body)
	return nil
}

type notes struct {
	mu   sync.Mutex
	list []string // type, and the body
	body []map[string]any
}

func (n *notes) Publish(_ context.Context, topic string, body []byte, attributes map[string]string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b map[string]any
	if err := json.Unmarshal(body, &b); err != nil {
		return err
	}
	if b["type"] != attributes["notificationType"] || b["arn"] != attributes["queryArn"] || topic == "" {
		return fmt.Errorf("attributes %v of %s", attributes, body)
	}
	n.list = append(n.list, b["type"].(string))
	n.body = append(n.body, b)
	return nil
}

func (n *notes) types() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

func check[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\n  got  %s\n  want %s", what, g, w)
	}
}

func TestAdvancingTheClockRunsWhatBecameDue(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start.Add(time.Minute))
	e.write("a", "temperature", "3", start.Add(2*time.Minute))
	q := e.create(hourly())
	if !regexp.MustCompile(`^arn:aws:timestream:us-east-1:000000000000:scheduled-query/hourly-[0-9a-f]{16}$`).MatchString(q.ARN) {
		t.Errorf("ARN %s", q.ARN)
	}
	check(t, "state", q.State(), "ENABLED")
	check(t, "next", q.Next, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC))
	e.advance(59 * time.Minute)
	check(t, "before it is due", e.rows("SELECT COUNT(*) FROM d.out"), []string{"0"})
	e.advance(time.Minute)
	check(t, "after", e.rows("SELECT device, time, mean, samples, measure_name FROM d.out"), []string{"a 2026-01-01 00:00:00.000000000 2.0 2 stats"})
	e.write("b", "temperature", "5", start.Add(62*time.Minute))
	e.advance(5 * time.Hour)
	check(t, "after five more", e.rows("SELECT device, time, mean, samples FROM d.out ORDER BY time"), []string{
		"a 2026-01-01 00:00:00.000000000 2.0 2", "b 2026-01-01 01:00:00.000000000 5.0 1"})
	q = e.describe(q.ARN)
	check(t, "previous", q.Previous, time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC))
	check(t, "next", q.Next, time.Date(2026, 1, 1, 7, 0, 0, 0, time.UTC))
	check(t, "status", q.LastRun.Status(), "AUTO_TRIGGER_SUCCESS")
	check(t, "notifications", e.notes.types(), append([]string{"SCHEDULED_QUERY_CREATING", "SCHEDULED_QUERY_CREATED"}, slices.Repeat([]string{"AUTO_TRIGGER_SUCCESS"}, 6)...))
	first := e.notes.body[2]
	check(t, "next invocation told", first["nextInvocationEpochSecond"], any(float64(time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC).Unix())))
	stats := first["scheduledQueryRunSummary"].(map[string]any)["executionStats"].(map[string]any)
	delete(stats, "executionTimeInMillis")
	delete(stats, "cumulativeBytesScanned")
	check(t, "statistics", stats, map[string]any{"dataWrites": 1024.0, "bytesMetered": 1e7, "recordsIngested": 1.0, "queryResultRows": 1.0})
}

func TestExecuteRunsAWindowAgainAndReplacesItsRecords(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start.Add(time.Minute))
	q := e.create(hourly())
	e.advance(time.Hour)
	e.must(nil, e.SetEnabled(t.Context(), q.ARN, false))
	check(t, "no next while disabled", e.describe(q.ARN).Next.IsZero(), true)
	e.write("a", "temperature", "9", start.Add(2*time.Minute)) // late
	e.must(nil, e.Execute(q.ARN, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), true))
	e.settle()
	check(t, "replaced", e.rows("SELECT device, time, mean, samples FROM d.out"), []string{"a 2026-01-01 00:00:00.000000000 5.0 2"})
	q = e.describe(q.ARN)
	check(t, "status", q.LastRun.Status(), "MANUAL_TRIGGER_SUCCESS")
	check(t, "insights", q.LastRun.Insights != nil && q.LastRun.Insights.OutputRows == 1, true)
	check(t, "the schedule is not moved", q.Previous, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC))
	// The clock stands still, so that only the version tells the runs apart.
	e.must(nil, e.Execute(q.ARN, time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), false))
	e.settle()
	check(t, "a run with the same result", e.describe(q.ARN).LastRun.Status(), "MANUAL_TRIGGER_SUCCESS")
	e.advance(10 * time.Hour)
	e.must(nil, e.SetEnabled(t.Context(), q.ARN, true))
	check(t, "enabled again, from now on", e.describe(q.ARN).Next, time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	check(t, "updates are told", slices.Contains(e.notes.types(), "SCHEDULED_QUERY_UPDATED"), true)
}

func TestMixedMappingsMakeARecordPerMeasure(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	d := hourly()
	d.SQL = `SELECT * FROM (VALUES
	 ('a', TIMESTAMP '2026-01-01 00:00:00', 'cpu', 1.5e0, BIGINT '7', CAST(NULL AS varchar), true),
	 ('b', TIMESTAMP '2026-01-01 00:00:00', 'disk', 2.5e0, BIGINT '8', 'full', CAST(NULL AS boolean)),
	 (CAST(NULL AS varchar), TIMESTAMP '2026-01-01 00:00:00', 'disk', 2.5e0, BIGINT '8', 'full', true)) AS t(device, at, kind, load, n, note, ok)`
	d.Target = &schedule.Target{Database: "d", Table: "out", TimeColumn: "at", Dimensions: []string{"device"}, MeasureNameColumn: "kind", Mixed: []schedule.Mixed{
		{MeasureName: "cpu", Column: "load", Type: ingest.Double, Name: "cpu_load"},
		{MeasureName: "disk", Type: ingest.Multi, Attributes: []schedule.Attribute{{Column: "n", Type: ingest.Bigint}, {Column: "note", Name: "remark", Type: ingest.Varchar}, {Column: "ok", Type: ingest.Boolean}}},
	}}
	q := e.create(d)
	e.must(nil, e.Execute(q.ARN, start, false))
	e.settle()
	check(t, "records", e.rows("SELECT device, measure_name, measure_value::double, n, remark FROM d.out ORDER BY device"), []string{"a cpu_load 1.5 NULL NULL", "b disk NULL 8 full"})
	run := e.describe(q.ARN).LastRun
	check(t, "a row without dimensions fails", run.Status(), "MANUAL_TRIGGER_FAILURE")
	check(t, "reason", run.Reason, "Schedule encountered some errors and is incomplete. Please take a look at error report for further details")
	body := e.reports.byKey[run.Report.Bucket+"/"+run.Report.Key]
	if !regexp.MustCompile(`^\{"reportId":"[0-9A-F]{32}","errors":\[\{"reason":"All dimensions of the row are null.","rawLine":"NULL,2026-01-01 00:00:00.000000000,disk,2.5,8,full,true"\}\]\}$`).MatchString(body) {
		t.Errorf("report %s", body)
	}
	id := q.ARN[strings.LastIndex(q.ARN, "/")+1:]
	want := fmt.Sprintf(`^errors/%s/%d/MANUAL/%d/[0-9a-f-]{36}$`, id, start.Unix(), run.Trigger.UnixMilli())
	if !regexp.MustCompile(want).MatchString(run.Report.Key) {
		t.Errorf("key %s, want %s", run.Report.Key, want)
	}
	check(t, "still enabled", e.describe(q.ARN).State(), "ENABLED")
}

func TestRejectedRecordsEndInTheReport(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	d := hourly()
	d.SQL = `SELECT * FROM (VALUES ('a', TIMESTAMP '2020-01-01 00:00:00', 1e0, BIGINT '1'), ('b', TIMESTAMP '2026-01-01 00:00:00', 2e0, BIGINT '2'),
	 ('c', TIMESTAMP '2026-01-01 00:00:00', nan(), BIGINT '2')) AS t(device, hour, mean, n)`
	q := e.create(d)
	e.must(nil, e.Execute(q.ARN, start, false))
	e.settle()
	q = e.describe(q.ARN)
	check(t, "what can be stored is", e.rows("SELECT device FROM d.out"), []string{"b"})
	check(t, "counts", []int64{q.LastRun.Stats.Ingested, q.LastRun.Stats.ResultRows}, []int64{1, 3})
	check(t, "failures", len(q.Failures), 1)
	body := e.reports.byKey[q.LastRun.Report.Bucket+"/"+q.LastRun.Report.Key]
	for _, want := range []string{
		`"reason":"The record timestamp is outside the time range [`,
		`"records":[{"dimensions":[{"name":"device","value":"a","dimensionValueType":null}],"measureName":"stats","measureValue":null,"measureValues":[{"name":"mean","value":"1.0","type":"DOUBLE"},{"name":"samples","value":"1","type":"BIGINT"}],"measureValueType":"MULTI","time":"1577836800000000000","timeUnit":"NANOSECONDS","version":null}]`,
		`"rawLine":"c,2026-01-01 00:00:00.000000000,NaN,2"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("report %s\nlacks %s", body, want)
		}
	}
}

func TestAQueryThatCannotRunIsDisabled(t *testing.T) {
	t.Parallel()
	check1 := func(name string, prepare func(e *env), reason string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, clock.Manual(start))
			e.write("a", "temperature", "1", start.Add(time.Minute))
			d := hourly()
			if name == "execution" {
				d.SQL = strings.Replace(d.SQL, "COUNT(*)", "1 / (COUNT(*) - COUNT(*))", 1)
			}
			q := e.create(d)
			prepare(e)
			e.advance(3 * time.Hour)
			q = e.describe(q.ARN)
			check(t, "state", q.State(), "DISABLED")
			check(t, "one run", []any{len(q.Failures), q.LastRun.Status(), q.LastRun.Report, q.Next.IsZero()}, []any{1, "AUTO_TRIGGER_FAILURE", (*schedule.Object)(nil), true})
			if !strings.Contains(q.LastRun.Reason, reason) {
				t.Errorf("reason %q", q.LastRun.Reason)
			}
			check(t, "told", e.notes.types()[2:], []string{"AUTO_TRIGGER_FAILURE", "SCHEDULED_QUERY_UPDATED"})
			check(t, "state told", e.notes.body[3]["state"], any("DISABLED"))
			check(t, "no report", len(e.reports.byKey), 0)
		})
	}
	check1("source gone", func(e *env) { e.must(nil, e.catalog.DeleteTable(e.t.Context(), "d", "raw")) }, "raw")
	check1("target gone", func(e *env) { e.must(nil, e.catalog.DeleteTable(e.t.Context(), "d", "out")) }, "The table out does not exist.")
	check1("execution", func(e *env) {}, "ivision by zero")
}

func TestARoleThatCannotBeAssumedDisables(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.Close()
	var mu sync.Mutex
	var refuse error
	e.opts.AssumeRole = func(_ context.Context, role string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		return role, refuse
	}
	e.open()
	e.write("a", "temperature", "1", start.Add(time.Minute))
	q := e.create(hourly())
	mu.Lock()
	refuse = fault.New(fault.Denied, "The role cannot be assumed.")
	mu.Unlock()
	e.advance(time.Hour)
	check(t, "state", e.describe(q.ARN).State(), "DISABLED")
	d := hourly()
	d.Name = "other"
	if _, err := e.Create(t.Context(), d, nil, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("create: %v", err)
	}
}

func TestAFailureWhoseReportCannotBeWrittenSaysWhy(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	d := hourly()
	d.Report.Bucket = "missing"
	d.SQL = `SELECT 'a' AS device, CAST(NULL AS timestamp) AS hour, 1e0 AS mean, BIGINT '1' AS n`
	q := e.create(d)
	e.must(nil, e.Execute(q.ARN, start, false))
	e.settle()
	run := e.describe(q.ARN).LastRun
	check(t, "reason", run.Reason, "Schedule encountered some errors and is incomplete: The time column of the row is null. The error report could not be written.")
	check(t, "no report", run.Report == nil, true)
}

func TestCreateRefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	refuse := func(text string, change func(d *schedule.Definition)) {
		t.Helper()
		d := hourly()
		change(&d)
		_, err := e.Create(t.Context(), d, nil, "")
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	refuse("schedule expression 'hourly'", func(d *schedule.Definition) { d.Expression = "hourly" })
	refuse("Column 'nothing' does not exist", func(d *schedule.Definition) { d.SQL = "SELECT nothing FROM d.raw" })
	refuse("Only SELECT", func(d *schedule.Definition) { d.SQL = "SHOW DATABASES" })
	refuse("parameter @other", func(d *schedule.Definition) {
		d.SQL = "SELECT device, time AS hour, 1e0 AS mean, 1 AS n FROM d.raw WHERE time < @other"
	})
	refuse("The table none does not exist.", func(d *schedule.Definition) { d.Target.Table = "none" })
	refuse("The database none does not exist.", func(d *schedule.Definition) { d.Target.Database = "none" })
	refuse("'x', which the target configuration uses as the time column, is not a column", func(d *schedule.Definition) { d.Target.TimeColumn = "x" })
	refuse("has the type varchar, not TIMESTAMP", func(d *schedule.Definition) { d.Target.TimeColumn = "device" })
	refuse("has the type double, not VARCHAR", func(d *schedule.Definition) { d.Target.Dimensions = []string{"mean"} })
	refuse("at least one dimension", func(d *schedule.Definition) { d.Target.Dimensions = nil })
	refuse("mapped more than once", func(d *schedule.Definition) { d.Target.Dimensions = []string{"device", "device"} })
	refuse("has the type bigint, not DOUBLE", func(d *schedule.Definition) { d.Target.Multi.Attributes[1].Type = ingest.Double })
	refuse("TargetMultiMeasureName is required", func(d *schedule.Definition) { d.Target.Multi.Name = "" })
	refuse("exactly one of", func(d *schedule.Definition) { d.Target.Multi = nil })
	refuse("exactly one of", func(d *schedule.Definition) {
		d.Target.Mixed = []schedule.Mixed{{Column: "mean", Type: ingest.Double}}
	})
	refuse("is ambiguous", func(d *schedule.Definition) {
		d.SQL = strings.Replace(d.SQL, "COUNT(*) AS n", "COUNT(*) AS n, 1 AS n", 1)
	})
	mixed := func(m schedule.Mixed) func(d *schedule.Definition) {
		return func(d *schedule.Definition) { d.Target.Multi, d.Target.Mixed = nil, []schedule.Mixed{m} }
	}
	refuse("SourceColumn is required", mixed(schedule.Mixed{MeasureName: "m", Type: ingest.Double}))
	refuse("MultiMeasureAttributeMappings are required", mixed(schedule.Mixed{MeasureName: "m", Type: ingest.Multi}))
	refuse("only allowed in MixedMeasureMappings of type MULTI", mixed(schedule.Mixed{Column: "mean", Type: ingest.Double, Attributes: []schedule.Attribute{{Column: "n", Type: ingest.Bigint}}}))
	check(t, "nothing was made", e.docs.copy(), map[string][]byte{})
	check(t, "nobody was told", e.notes.types(), []string(nil))
}

func TestATokenMakesCreateIdempotentForEightHours(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	const token = "0123456789abcdef0123456789abcdef"
	tags := []catalog.Tag{{Key: "k", Value: "v"}}
	q, err := e.Create(t.Context(), hourly(), tags, token)
	e.must(q, err)
	again, err := e.Create(t.Context(), hourly(), tags, token)
	e.must(again, err)
	check(t, "same query", again.ARN, q.ARN)
	d := hourly()
	d.Expression = "rate(1 hour)"
	if _, err := e.Create(t.Context(), d, tags, token); !fault.Is(err, fault.Conflict) {
		t.Errorf("same token, other query: %v", err)
	}
	if _, err := e.Create(t.Context(), hourly(), tags, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("same name: %v", err)
	}
	e.advance(9 * time.Hour)
	if _, err := e.Create(t.Context(), hourly(), tags, token); !fault.Is(err, fault.Conflict) {
		t.Errorf("after eight hours it is another request, of a name that is taken: %v", err)
	}
	e.must(nil, e.Tag(q.ARN, []catalog.Tag{{Key: "a", Value: "1"}, {Key: "k", Value: "2"}}))
	e.must(nil, e.Untag(q.ARN, []string{"a", "none"}))
	got, err := e.Tags(q.ARN)
	e.must(got, err)
	check(t, "tags", got, []catalog.Tag{{Key: "k", Value: "2"}})
}

func TestRestartRunsTheFirstMissedInvocationAndSkipsTheRest(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start.Add(time.Minute))
	q := e.create(hourly())
	e.advance(time.Hour)
	before := e.describe(q.ARN)
	e.Close()
	e.clock.Advance(24 * time.Hour)
	e.open()
	after := e.describe(q.ARN)
	check(t, "next", after.Next, time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC))
	next := *after
	next.Next, next.Previous, next.LastRun = before.Next, before.Previous, before.LastRun
	asJSON := func(q *schedule.Query) string {
		text, err := json.Marshal(q)
		e.must(text, err)
		return string(text)
	}
	check(t, "all else", asJSON(&next), asJSON(before))
	e.settle()
	check(t, "one ran", e.describe(q.ARN).LastRun.Invocation, time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC))
	e.advance(time.Hour)
	check(t, "then the next", e.describe(q.ARN).Previous, time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC))
}

func TestARunThatACrashInterruptedRunsAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start.Add(time.Minute))
	q := e.create(hourly())
	// The notification after the run stands for the moment of the crash: the disk shows
	// what it did before the run's end was noted.
	var atStart map[string][]byte
	e.Close()
	e.opts.AssumeRole = func(_ context.Context, role string) (string, error) {
		if atStart == nil {
			atStart = e.docs.copy()
		}
		return role, nil
	}
	e.open()
	e.advance(time.Hour)
	check(t, "ran", e.describe(q.ARN).LastRun.Status(), "AUTO_TRIGGER_SUCCESS")
	e.Close()
	e.docs.byKey, e.opts.AssumeRole = atStart, nil
	e.clock.Advance(10 * time.Minute)
	e.open()
	e.settle()
	q = e.describe(q.ARN)
	check(t, "ran again", []any{q.LastRun.Invocation, q.LastRun.Status(), q.Previous}, []any{time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC), "AUTO_TRIGGER_SUCCESS", time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)})
	check(t, "with one outcome", e.rows("SELECT device, mean FROM d.out"), []string{"a 1.0"})
}

func TestOnARunningClockOnlyTheLatestMissedInvocationRuns(t *testing.T) {
	t.Parallel()
	clk := clock.New()
	e := newEnv(t, clk)
	now := clk.Now()
	e.write("a", "temperature", "1", now)
	d := hourly()
	d.Expression = "rate(1 hour)"
	q := e.create(d)
	e.advance(5*time.Hour + time.Minute)
	q = e.describe(q.ARN)
	check(t, "previous", q.Previous, q.Created.Add(5*time.Hour))
	check(t, "runs", slices.Contains(e.notes.types(), "AUTO_TRIGGER_SUCCESS") && len(e.notes.types()) == 3, true)
}

func TestDeleteForgetsTheQuery(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	q := e.create(hourly())
	e.must(nil, e.Delete(t.Context(), q.ARN))
	for _, err := range []error{e.Delete(t.Context(), q.ARN), e.Execute(q.ARN, start, false), e.SetEnabled(t.Context(), q.ARN, true), e.Untag(q.ARN, nil)} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v", err)
		}
	}
	check(t, "documents", len(e.docs.copy()), 0)
	e.advance(2 * time.Hour)
	check(t, "told", e.notes.types(), []string{"SCHEDULED_QUERY_CREATING", "SCHEDULED_QUERY_CREATED", "SCHEDULED_QUERY_DELETED"})
	e.create(hourly()) // the name is free
}

func TestQueriesAreListedInPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	for _, name := range []string{"c1", "a1", "b1"} {
		d := hourly()
		d.Name, d.Target = name, nil
		e.create(d)
	}
	var names []string
	after, more := "", true
	for more {
		var list []*schedule.Query
		list, more = e.Queries(after, 2)
		for _, q := range list {
			names = append(names, q.Name)
		}
		after = names[len(names)-1]
	}
	check(t, "names", names, []string{"a1", "b1", "c1"})
	e.must(nil, e.Execute(e.mustFirst().ARN, start, false))
	e.settle()
	check(t, "without a target rows are dropped", e.mustFirst().LastRun.Status(), "MANUAL_TRIGGER_SUCCESS")
}

func (e *env) mustFirst() *schedule.Query {
	list, _ := e.Queries("", 1)
	return list[0]
}

func TestADamagedDocumentIsRefused(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	o := e.opts
	for _, text := range []string{"{", `{"ARN":"arn:aws:timestream:us-east-1:000000000000:scheduled-query/other"}`, `{"ARN":"arn:aws:timestream:us-east-1:000000000000:scheduled-query/x","Expression":"never"}`} {
		o.Documents = &documents{byKey: map[string][]byte{"x": []byte(text)}}
		if _, err := schedule.Open(o); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRunsThatACrashForgotAreReplacedByLaterOnes(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	q := e.create(hourly())
	e.advance(5 * time.Hour) // five runs at one moment of the clock
	disk := e.docs.copy()
	for h := range 5 {
		e.write("b", "temperature", "3", start.Add(time.Duration(h)*time.Hour))
		e.write("a", "temperature", "3", start.Add(time.Duration(h)*time.Hour+time.Second))
	}
	e.Close()
	e.docs.byKey = disk
	e.open()
	for h := range 5 {
		e.must(nil, e.Execute(q.ARN, start.Truncate(time.Hour).Add(time.Duration(h+1)*time.Hour), false))
	}
	e.settle()
	check(t, "no run lost against one before the crash", len(e.describe(q.ARN).Failures), 0)
	check(t, "rows", len(e.rows("SELECT 1 FROM d.out WHERE mean >= 2")), 10)
}

func TestRunsThatEndTogetherAreOneChangeOnDisk(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.write("a", "temperature", "1", start)
	e.opts.SaveAfter = time.Hour
	e.Close()
	e.open()
	for _, name := range []string{"q1", "q2", "q3"} {
		d := hourly()
		d.Name = name
		e.create(d)
	}
	before := e.docs.changes
	for range 10 {
		e.advance(time.Hour)
	}
	check(t, "while they run", e.docs.changes-before, 0)
	e.Close()
	check(t, "at the end", e.docs.changes-before, 1)
	e.open()
	list, _ := e.Queries("", 10)
	for _, q := range list {
		check(t, "the last run", q.LastRun.Invocation, start.Truncate(time.Hour).Add(10*time.Hour))
	}
}

func TestReportsAndNotificationsAreTheRolesToSend(t *testing.T) {
	t.Parallel()
	e := newEnv(t, clock.Manual(start))
	e.Close()
	e.opts.Authorize = func(_, action, _ string) error {
		if action == "timestream:WriteRecords" {
			return nil
		}
		return fault.New(fault.Denied, "The role may not %s.", action)
	}
	e.open()
	d := hourly()
	d.SQL = `SELECT 'a' AS device, CAST(NULL AS timestamp) AS hour, 1e0 AS mean, BIGINT '1' AS n`
	q := e.create(d)
	e.must(nil, e.Execute(q.ARN, start, false))
	e.settle()
	check(t, "report", e.describe(q.ARN).LastRun.Report == nil, true)
	check(t, "reports", len(e.reports.byKey), 0)
	check(t, "notifications", len(e.notes.types()), 0)
}
