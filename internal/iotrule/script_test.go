package iotrule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/telemetry"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected outputs of testdata scripts")

// memDocuments keeps documents in a map.
type memDocuments struct {
	mu sync.Mutex // guards m
	m  map[string][]byte
}

func (d *memDocuments) Each(f func(key string, doc []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(d.m)) {
		if err := f(key, d.m[key]); err != nil {
			return err
		}
	}
	return nil
}

func (d *memDocuments) Apply(changes map[string][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.m == nil {
		d.m = map[string][]byte{}
	}
	for key, doc := range changes {
		if doc == nil {
			delete(d.m, key)
		} else {
			d.m[key] = doc
		}
	}
	return nil
}

// journal is a Writer that prints what it is given. Tables called "missing" do not
// exist, tables called "full" reject their first record, "broken" ones fail.
type journal struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (j *journal) Write(_ context.Context, req *ingest.Request) (ingest.Result, error) {
	if req.Table == "broken" {
		return ingest.Result{}, errors.New("no space left on device")
	}
	if req.Table == "missing" {
		return ingest.Result{}, fault.New(fault.NotFound, "The table missing does not exist.")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(&j.b, "write %s/%s", req.Database, req.Table)
	for _, d := range req.Common.Dimensions {
		fmt.Fprintf(&j.b, " %s=%s", d.Name, d.Value)
	}
	fmt.Fprintf(&j.b, " at %s\n", strings.TrimSpace(req.Common.Time+" "+string(req.Common.TimeUnit)))
	for _, r := range req.Records {
		fmt.Fprintf(&j.b, "  %s %s\n", r.MeasureName, strings.TrimSpace(string(r.Type)+" "+r.MeasureValue))
		for _, v := range r.MeasureValues {
			fmt.Fprintf(&j.b, "    %s %s %s\n", v.Name, v.Type, v.Value)
		}
	}
	if req.Table == "full" {
		return ingest.Result{}, &ingest.RejectedError{Records: []ingest.Rejected{{Index: 0, Reason: "The record is too old."}}}
	}
	return ingest.Result{Total: len(req.Records)}, nil
}

func (j *journal) deliver(_ context.Context, m *iotrule.Message) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(&j.b, "deliver %s qos=%d", m.Topic, m.QoS)
	if m.ContentType != "" {
		fmt.Fprintf(&j.b, " content-type=%s", m.ContentType)
	}
	for _, p := range m.UserProperties {
		fmt.Fprintf(&j.b, " %s:%s", p.Key, p.Value)
	}
	fmt.Fprintf(&j.b, " %s\n", traceID.ReplaceAll(m.Payload, []byte(`"cloudwatchTraceId":"…"`)))
	return nil
}

var traceID = regexp.MustCompile(`"cloudwatchTraceId":"[0-9a-f-]{36}"`)

// world is one script's server.
type world struct {
	docs    memDocuments
	journal journal
	logs    bytes.Buffer
	reg     *telemetry.Registry
	clock   *clock.Clock
	service *iotrule.Service
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clock.Manual(time.UnixMilli(1700000000123))}
	w.reg = telemetry.New(telemetry.Options{Now: w.clock.Now})
	w.open(t)
	return w
}

func (w *world) open(t *testing.T) {
	t.Helper()
	var err error
	w.service, err = iotrule.Open(iotrule.Options{
		Writer: &w.journal, Documents: &w.docs, Clock: w.clock, Deliver: w.journal.deliver, Telemetry: w.reg,
		Log: slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run does one command and returns what it printed.
func (w *world) run(t *testing.T, command string) string {
	t.Helper()
	word, rest, _ := strings.Cut(command, " ")
	name, arg, _ := strings.Cut(strings.TrimSpace(rest), " ")
	var err error
	switch word {
	case "create", "replace":
		var r iotrule.Rule
		if e := json.Unmarshal([]byte(arg), &r); e != nil {
			t.Fatalf("%s: %v", command, e)
		}
		r.Name = name
		if word == "create" {
			err = w.service.Create(r)
		} else {
			err = w.service.Replace(r)
		}
	case "delete":
		err = w.service.Delete(name)
	case "disable", "enable":
		err = w.service.SetDisabled(name, word == "disable")
	case "tag":
		key, value, _ := strings.Cut(arg, "=")
		err = w.service.Tag(name, []iotrule.Tag{{Key: key, Value: value}})
	case "untag":
		err = w.service.Untag(name, []string{arg})
	case "publish":
		err = w.service.Publish(context.Background(), &iotrule.Message{Topic: name, Payload: []byte(arg), ClientID: "client-1"})
	case "reopen":
		w.open(t)
	case "rules":
		for _, r := range w.service.Rules() {
			fmt.Fprintf(&w.journal.b, "%s disabled=%v %s\n", r.Name, r.Disabled, r.SQL)
		}
	case "metrics":
		for _, m := range w.reg.Metrics() {
			fmt.Fprintf(&w.journal.b, "%s", m.Name)
			for _, d := range m.Dims {
				fmt.Fprintf(&w.journal.b, " %s", d.Value)
			}
			w.journal.b.WriteByte('\n')
		}
	case "log":
		w.journal.b.WriteString(w.logs.String())
		w.logs.Reset()
	default:
		t.Fatalf("unknown command %q", word)
	}
	if err != nil {
		kind := fault.KindOf(err)
		fmt.Fprintf(&w.journal.b, "%s: %s\n", kind, err)
	}
	out := w.journal.b.String()
	w.journal.b.Reset()
	return out
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file)
		})
	}
}

// runScript runs blocks of a command, a line of dashes and its output, each ended
// by an empty line. Commands go on in indented lines.
func runScript(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		if strings.HasPrefix(block, "#") {
			out.WriteString(block + "\n\n")
			continue
		}
		command, want, ok := strings.Cut(block+"\n", "\n----\n")
		if !ok {
			t.Fatalf("block without ----:\n%s", block)
		}
		got := w.run(t, strings.ReplaceAll(command, "\n", ""))
		if strings.TrimSpace(got) != strings.TrimSpace(want) && !*rewrite {
			t.Errorf("%s\ngot:\n%swant:\n%s", command, got, want)
		}
		out.WriteString(command + "\n----\n" + got + "\n")
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedDocumentIsRefused(t *testing.T) {
	t.Parallel()
	docs := &memDocuments{m: map[string][]byte{"r": []byte(`{"name":"other"}`)}}
	_, err := iotrule.Open(iotrule.Options{Writer: &journal{}, Documents: docs})
	if !fault.Is(err, fault.Corrupt) {
		t.Errorf("got %v, want a corrupt error", err)
	}
}

// gate is a Writer that waits to be opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func (g *gate) Write(ctx context.Context, _ *ingest.Request) (ingest.Result, error) {
	g.entered <- struct{}{}
	<-g.open
	return ingest.Result{}, nil
}

const gateRule = `{"sql":"SELECT * FROM 'a'","actions":[{"timestream":{"roleArn":"arn:aws:iam::123456789012:role/r","database":"d","table":"t","dimensions":[{"name":"k","value":"${topic()}"}]}}]}`

func TestPublishReturnsAfterEveryWrite(t *testing.T) {
	t.Parallel()
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	s, err := iotrule.Open(iotrule.Options{Writer: g})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"r1", "r2"} {
		var r iotrule.Rule
		if err := json.Unmarshal([]byte(gateRule), &r); err != nil {
			t.Fatal(err)
		}
		r.Name = name
		if err := s.Create(r); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- s.Publish(context.Background(), &iotrule.Message{Topic: "a", Payload: []byte(`{"x":1}`)})
	}()
	<-g.entered // both writes are on their way at once
	<-g.entered
	select {
	case <-done:
		t.Error("Publish returned before the writes did")
	default:
	}
	close(g.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFailedSaveChangesNothing(t *testing.T) {
	t.Parallel()
	s, err := iotrule.Open(iotrule.Options{Writer: &journal{}, Documents: fullDisk{}})
	if err != nil {
		t.Fatal(err)
	}
	var r iotrule.Rule
	if err := json.Unmarshal([]byte(gateRule), &r); err != nil {
		t.Fatal(err)
	}
	r.Name = "r"
	if err := s.Create(r); err == nil {
		t.Error("no error")
	}
	if _, err := s.Rule("r"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the rule is there: %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Each(func(string, []byte) error) error { return nil }
func (fullDisk) Apply(map[string][]byte) error         { return errors.New("no space left") }

func BenchmarkPublish(b *testing.B) {
	s, err := iotrule.Open(iotrule.Options{Writer: nowhere{}})
	if err != nil {
		b.Fatal(err)
	}
	var r iotrule.Rule
	if err := json.Unmarshal([]byte(strings.Replace(gateRule, "${topic()}", "${device_id}", 1)), &r); err != nil {
		b.Fatal(err)
	}
	r.Name, r.SQL = "r", "SELECT * FROM 'sensors/+/data'"
	if err := s.Create(r); err != nil {
		b.Fatal(err)
	}
	m := &iotrule.Message{Topic: "sensors/x/data", Payload: []byte(`{"device_id":"sensor-0042","location":"building-1/floor-2","temperature":21.53,"humidity":48.2,"battery":3.71,"seq":123456}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Publish(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{}

func (nowhere) Write(context.Context, *ingest.Request) (ingest.Result, error) {
	return ingest.Result{}, nil
}
