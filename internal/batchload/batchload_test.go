package batchload_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/batchload"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

var now = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

// objects is buckets in memory.
type objects struct {
	mu sync.Mutex
	m  map[string]string // bucket/key
}

func (o *objects) List(_ context.Context, bucket, prefix string, most int) (list []batchload.Object, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, body := range o.m {
		if key, ok := strings.CutPrefix(name, bucket+"/"); ok && strings.HasPrefix(key, prefix) {
			list = append(list, batchload.Object{Key: key, SizeBytes: int64(len(body))})
		}
	}
	for i := range list { // sorted, as the interface says
		for k := i; k > 0 && list[k].Key < list[k-1].Key; k-- {
			list[k], list[k-1] = list[k-1], list[k]
		}
	}
	return list[:min(len(list), most)], nil
}

func (o *objects) Open(_ context.Context, bucket, key string, offset int64) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, ok := o.m[bucket+"/"+key]
	if !ok {
		return nil, fault.New(fault.NotFound, "The specified key does not exist: %s", key)
	}
	return io.NopCloser(strings.NewReader(body[offset:])), nil
}

func (o *objects) Put(_ context.Context, bucket, key string, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.m[bucket+"/"+key] = string(body)
	return nil
}

type fixture struct {
	t       *testing.T
	objects *objects
	catalog *catalog.Catalog
	meta    *meta.Store
	writer  batchload.Writer
	service *batchload.Service
	clock   *clock.Clock
}

func start(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, objects: &objects{m: files}, clock: clock.Manual(now)}
	var err error
	if f.meta, err = meta.Open(t.TempDir() + "/meta.db"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.meta.Close() })
	if f.catalog, err = catalog.Open(t.Context(), catalog.Options{Backend: storagetest.NewNaive(f.clock), Clock: f.clock}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.catalog.CreateDatabase(t.Context(), "db", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.catalog.CreateTable(t.Context(), catalog.NewTable{Database: "db", Name: "t", Magnetic: &catalog.MagneticWrites{Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	f.writer = ingest.New(ingest.Options{Catalog: f.catalog, Limits: ingest.Limits{Records: 5000}})
	f.open()
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	s, err := batchload.Open(batchload.Options{
		Documents: f.meta.Bucket("batchload"), Objects: f.objects, Writer: f.writer, Catalog: f.catalog, Clock: f.clock,
		BatchRecords: 3, SaveEveryBytes: 64,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.service = s
	f.t.Cleanup(s.Close)
}

// finish waits until a task has ended.
func (f *fixture) finish(id string) batchload.Task {
	f.t.Helper()
	for {
		task, err := f.service.Task(id)
		if err != nil {
			f.t.Fatal(err)
		}
		switch task.Status {
		case batchload.Succeeded, batchload.Failed, batchload.Stopped:
			return task
		}
		select {
		case <-f.t.Context().Done():
			f.t.Fatal("the test ended first")
		case <-time.After(time.Millisecond):
		}
	}
}

// lines reads the whole table, sorted.
func (f *fixture) lines() string {
	f.t.Helper()
	table, err := f.catalog.Table("db", "t")
	if err != nil {
		f.t.Fatal(err)
	}
	spec := storage.ScanSpec{From: storage.AllTime.From, To: storage.AllTime.To}
	for _, c := range table.Store.Schema().Columns {
		spec.Columns = append(spec.Columns, c.Name)
	}
	return storagetest.Text(storagetest.Answer(f.t, table.Store, spec))
}

func config(m *batchload.Model) batchload.Config {
	return batchload.Config{
		Database: "db", Table: "t", Model: m, Source: batchload.Location{Bucket: "in", Key: "data/"},
		Report: batchload.Report{Location: batchload.Location{Bucket: "out", Key: "reports"}},
	}
}

var multiModel = &batchload.Model{
	TimeColumn: "at", TimeUnit: "SECONDS", DimensionMappings: []batchload.DimensionMapping{{SourceColumn: "device"}, {SourceColumn: "site", DestinationColumn: "place"}},
	MultiMeasureMappings: &batchload.MultiMapping{TargetMultiMeasureName: "m", MultiMeasureAttributeMappings: []batchload.AttributeMapping{
		{SourceColumn: "t"}, {SourceColumn: "n", TargetMultiMeasureAttributeName: "count", MeasureValueType: "BIGINT"}}},
}

func file(rows int) string {
	var b strings.Builder
	b.WriteString("at,device,site,t,n\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,d%d,s,%d.5,%d\n", now.Unix()-int64(i), i%2, i, i)
	}
	return b.String()
}

func TestEveryRowOfEveryFileBecomesARecord(t *testing.T) {
	f := start(t, map[string]string{"in/data/1.csv": file(20), "in/data/2.csv": "at,device,site,t,n\n1927886400,d9,,7.25,\n", "in/other": "x"})
	id, err := f.service.Create(config(multiModel), "")
	if err != nil {
		t.Fatal(err)
	}
	task := f.finish(id)
	if task.Status != batchload.Succeeded || task.Progress.RecordsProcessed != 21 || task.Progress.RecordsIngested != 21 {
		t.Fatalf("got %+v", task)
	}
	if got := strings.Count(strings.TrimSpace(f.lines()), "\n") + 1; got != 21 {
		t.Fatalf("%d rows:\n%s", got, f.lines())
	}
}

func TestBadRowsAreReportedAndTheRestIsStored(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(file(8)), "\n")
	rows[2] = "not a time,d0,s,1.5,1"                             // line 3: refused by the rules of records
	rows[4] = "1,2,3"                                             // line 5: too few fields
	rows[5] = fmt.Sprintf("%d,d0,s,1.5,1", now.Unix()+86400)      // line 6: in the future
	rows[6] = fmt.Sprintf("%d,d0,s,1.5,1", now.Unix()+2*86400)    // line 7: too
	rows = append(rows, fmt.Sprintf("%d,d0,s,,", now.Unix()-100)) // line 10: no measure
	f := start(t, map[string]string{"in/data/bad.csv": strings.Join(rows, "\n"), "in/data/none.csv": "at,device\n"})
	id, err := f.service.Create(config(multiModel), "")
	if err != nil {
		t.Fatal(err)
	}
	task := f.finish(id)
	p := task.Progress
	if task.Status != batchload.Failed || p.RecordsProcessed != 9 || p.RecordsIngested != 4 || p.ParseFailures != 2 || p.RecordIngestionFailures != 3 || p.FileFailures != 1 {
		t.Fatalf("got %+v, %s", p, task.Status)
	}
	var report struct {
		TaskID     string `json:"taskId"`
		FileErrors []struct {
			FileName string
			Errors   []struct {
				Reason     string
				LineRanges [][2]int64
			}
		}
	}
	body := f.objects.m["out/reports/"+id+"/errors.json"]
	if err := json.Unmarshal([]byte(body), &report); err != nil || report.TaskID != id || len(report.FileErrors) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	got := map[string]string{}
	for _, e := range report.FileErrors[0].Errors {
		got[fmt.Sprint(e.LineRanges)] = e.Reason
	}
	want := map[string]string{
		"[[3 3]]":   "Invalid time for record.",
		"[[5 5]]":   "The row has 3 fields, the header 5.",
		"[[6 7]]":   "The record timestamp is outside the time range of the data ingestion window.",
		"[[10 10]]": "The row has no measure value.",
	}
	for lines, reason := range want {
		if got[lines] != reason {
			t.Errorf("lines %s: %q, want %q", lines, got[lines], reason)
		}
	}
	if r := report.FileErrors[1].Errors[0].Reason; !strings.Contains(r, `no column "site"`) {
		t.Errorf("second file: %q", r)
	}
}

func TestMixedMappingsChooseByMeasureName(t *testing.T) {
	f := start(t, map[string]string{"in/data/x": "kind,at,d,v,w\ntemp,1927886400000,a,1.5,\nboth,1927886400000,a,2.5,on\n"})
	m := &batchload.Model{
		TimeColumn: "at", MeasureNameColumn: "kind", DimensionMappings: []batchload.DimensionMapping{{SourceColumn: "d"}},
		MixedMeasureMappings: []batchload.MixedMapping{
			{MeasureName: "temp", SourceColumn: "v", TargetMeasureName: "temperature", MeasureValueType: "DOUBLE"},
			{MeasureName: "both", MeasureValueType: "MULTI", MultiMeasureAttributeMappings: []batchload.AttributeMapping{
				{SourceColumn: "v"}, {SourceColumn: "w", TargetMultiMeasureAttributeName: "state", MeasureValueType: "VARCHAR"}}},
		},
	}
	id, err := f.service.Create(config(m), "")
	if err != nil {
		t.Fatal(err)
	}
	if task := f.finish(id); task.Status != batchload.Succeeded {
		t.Fatalf("got %+v", task)
	}
	got := f.lines()
	for _, want := range []string{"temperature", "both", "on", "2.5"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// stopping fails its n-th write and all after, as a server whose disk gave up.
type stopping struct {
	batchload.Writer
	mu sync.Mutex
	n  int
}

func (s *stopping) Write(ctx context.Context, req *ingest.Request) (ingest.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n--; s.n < 0 {
		return ingest.Result{}, fault.New(fault.Unavailable, "The disk refuses writes.")
	}
	return s.Writer.Write(ctx, req)
}

func TestAStoppedTaskGoesOnWhenResumedAlsoAfterARestart(t *testing.T) {
	f := start(t, map[string]string{"in/data/1.csv": file(50)})
	f.service.Close()
	real := f.writer
	f.writer = &stopping{Writer: real, n: 5}
	f.open()
	id, err := f.service.Create(config(multiModel), "")
	if err != nil {
		t.Fatal(err)
	}
	task := f.finish(id)
	if task.Status != batchload.Stopped || task.Error != "The disk refuses writes." || !task.ResumableUntil.After(now) {
		t.Fatalf("got %+v", task)
	}
	if err := f.service.Resume("NONE"); fault.KindOf(err) != fault.NotFound {
		t.Fatalf("Resume of nothing = %v", err)
	}
	f.service.Close()
	f.writer = real
	f.open()
	if err := f.service.Resume(id); err != nil {
		t.Fatal(err)
	}
	if task = f.finish(id); task.Status != batchload.Succeeded || task.Progress.RecordsIngested < 50 {
		t.Fatalf("got %+v", task)
	}
	if err := f.service.Resume(id); fault.KindOf(err) != fault.Invalid {
		t.Fatalf("Resume of a finished task = %v", err)
	}
	if got := strings.Count(strings.TrimSpace(f.lines()), "\n") + 1; got != 50 {
		t.Fatalf("%d rows, want 50", got)
	}
}

func TestAnInterruptedTaskGoesOnAtTheNextStart(t *testing.T) {
	f := start(t, map[string]string{"in/data/1.csv": file(400)})
	id, err := f.service.Create(config(multiModel), "token")
	if err != nil {
		t.Fatal(err)
	}
	f.service.Close() // wherever it is
	f.open()
	if task := f.finish(id); task.Status != batchload.Succeeded {
		t.Fatalf("got %+v", task)
	}
	if got := strings.Count(strings.TrimSpace(f.lines()), "\n") + 1; got != 400 {
		t.Fatalf("%d rows, want 400", got)
	}
}

func TestCreateRefusesWhatCannotWork(t *testing.T) {
	f := start(t, map[string]string{"in/m.json": `{"TimeColumn":"at"}`})
	check := func(what string, kind fault.Kind, change func(c *batchload.Config)) {
		t.Helper()
		c := config(multiModel)
		change(&c)
		if _, err := f.service.Create(c, ""); fault.KindOf(err) != kind {
			t.Errorf("%s: %v, want kind %s", what, err, kind)
		}
	}
	check("no table", fault.NotFound, func(c *batchload.Config) { c.Table = "none" })
	check("no model", fault.Invalid, func(c *batchload.Config) { c.Model = nil })
	check("two models", fault.Invalid, func(c *batchload.Config) { c.ModelAt = &batchload.Location{} })
	check("no dimensions", fault.Invalid, func(c *batchload.Config) { m := *multiModel; m.DimensionMappings = nil; c.Model = &m })
	check("a key without one", fault.Invalid, func(c *batchload.Config) { c.Report.Encryption = "SSE_KMS" })
	check("a strange separator", fault.Invalid, func(c *batchload.Config) { c.CSV = &batchload.CSV{Separator: "x"} })

	c := config(nil)
	c.ModelAt = &batchload.Location{Bucket: "in", Key: "m.json"}
	id, err := f.service.Create(c, "")
	if err != nil {
		t.Fatal(err)
	}
	if task := f.finish(id); task.Status != batchload.Failed || !strings.Contains(task.Error, "dimension mapping") {
		t.Fatalf("a bad model in a bucket: %+v", task)
	}
}

func TestAClientTokenStandsForOneTask(t *testing.T) {
	f := start(t, map[string]string{"in/data/1": file(1)})
	a, err1 := f.service.Create(config(multiModel), "tok")
	b, err2 := f.service.Create(config(multiModel), "tok")
	if err := errors.Join(err1, err2); err != nil || a != b {
		t.Fatalf("%s, %s, %v", a, b, err)
	}
	other := config(multiModel)
	other.RecordVersion = 2
	if _, err := f.service.Create(other, "tok"); fault.KindOf(err) != fault.Conflict {
		t.Fatalf("another task with the token: %v", err)
	}
	f.finish(a)
}

// held is a writer that waits until it is let go.
type held struct {
	batchload.Writer
	release chan struct{}
}

func (h *held) Write(ctx context.Context, req *ingest.Request) (ingest.Result, error) {
	select {
	case <-h.release:
	case <-ctx.Done():
		return ingest.Result{}, ctx.Err()
	}
	return h.Writer.Write(ctx, req)
}

func TestAtMostFiveTasksOfATableAreActive(t *testing.T) {
	f := start(t, map[string]string{"in/data/1.csv": file(10)})
	f.service.Close()
	h := &held{Writer: f.writer, release: make(chan struct{})}
	f.writer = h
	f.open()
	var ids []string
	for range 5 {
		id, err := f.service.Create(config(multiModel), "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	_, err := f.service.Create(config(multiModel), "")
	if fault.KindOf(err) != fault.Quota || err.Error() != "At most 10 batch load tasks may be active, 5 of one table." {
		t.Fatalf("the sixth task: %v", err)
	}
	close(h.release)
	for _, id := range ids {
		f.finish(id)
	}
	if _, err := f.service.Create(config(multiModel), ""); err != nil {
		t.Fatalf("once they have ended: %v", err)
	}
}
