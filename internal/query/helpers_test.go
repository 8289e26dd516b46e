package query_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestMain also checks that services which were closed left no goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	buf := make([]byte, 1<<20)
	for try := 0; code == 0; try++ {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "query.(*Service)") {
			break
		}
		if try == 100 {
			fmt.Println("goroutines of closed services:\n" + stacks)
			code = 1
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	os.Exit(code)
}

var start = sqltest.Start

const me = "arn:aws:iam::000000000000:root"

// env is a service over a catalog whose table d.t has series × rows rows: dimension k,
// bigint i from 0, double f, varchar s; one row a second back from start.
type env struct {
	*query.Service
	t       testing.TB
	catalog *catalog.Catalog
	clock   *clock.Clock

	faults faults

	mu    sync.Mutex
	ended []query.Observation
}

// faults is what can be wrong with the tables of an env.
type faults struct {
	broken atomic.Bool                   // scans panic
	stuck  atomic.Pointer[chan struct{}] // scans wait until it is closed or their context is done
}

// backend is the naive one, with faults.
type backend struct {
	*storagetest.Naive
	faults *faults
}

func (b backend) Table(id storage.TableID) (storage.Table, error) {
	t, err := b.Naive.Table(id)
	return faultyTable{t, b.faults}, err
}

type faultyTable struct {
	storage.Table
	faults *faults
}

func (t faultyTable) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	if t.faults.broken.Load() {
		panic("broken")
	}
	if stuck := t.faults.stuck.Load(); stuck != nil {
		select {
		case <-*stuck:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return t.Table.Scan(ctx, spec)
}

// ScanPrompt takes every scan that is not stuck to be small, so that first pages are made both ways.
func (t faultyTable) ScanPrompt(ctx context.Context, spec storage.ScanSpec, _ int64) (storage.Scanner, error) {
	if t.faults.stuck.Load() != nil {
		return nil, nil
	}
	return t.Scan(ctx, spec)
}

func newEnv(t testing.TB, series, rows int, o query.Options) *env {
	t.Helper()
	e := &env{t: t, clock: clock.Manual(start)}
	var err error
	e.catalog, err = catalog.Open(context.Background(), catalog.Options{Backend: backend{storagetest.NewNaive(e.clock), &e.faults}, Clock: e.clock})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.catalog.CreateDatabase(context.Background(), "d", "", nil); err != nil {
		t.Fatal(err)
	}
	var b storagetest.Batch
	for s := range series {
		for r := range rows {
			b.Add(storagetest.Point{
				Measure: "m", Dims: []string{"k", fmt.Sprintf("k%03d", s)}, TimeNs: start.UnixNano() - int64(r)*int64(time.Second),
				Values: []storagetest.NamedValue{storagetest.I("i", int64(s*rows+r)), storagetest.F("f", float64(r)/4), storagetest.S("s", strings.Repeat("x", 100))},
			})
		}
	}
	e.write("t", &b)
	o.Catalog, o.Functions, o.Clock, o.Render = e.catalog, sqltest.Functions(), e.clock, render
	o.Observe = func(o query.Observation) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ended = append(e.ended, o)
	}
	e.Service = query.New(o)
	t.Cleanup(e.Close)
	return e
}

// write creates table d.name and writes b.
func (e *env) write(name string, b *storagetest.Batch) {
	e.t.Helper()
	t, err := e.catalog.CreateTable(context.Background(), catalog.NewTable{Database: "d", Name: name, Retention: &catalog.Retention{MemoryHours: 24, MagneticDays: 7}})
	if err == nil && len(b.Rows.Rows) > 0 {
		var receipt storage.Receipt
		if receipt, err = t.Store.Write(context.Background(), &b.Rows); len(receipt.Rejections) > 0 {
			e.t.Fatalf("rejected: %+v", receipt.Rejections)
		}
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// observed returns the queries that ended, once there are n.
func (e *env) observed(n int) []query.Observation {
	e.t.Helper()
	var ended []query.Observation
	eventually(e.t, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		ended = append([]query.Observation(nil), e.ended...)
		return len(ended) >= n
	})
	return ended
}

func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was waited for did not come about within 10 s")
		}
	}
}

// page asks for a page and fails the test on an error.
func (e *env) page(req query.Request) *query.Page {
	e.t.Helper()
	p, err := e.ask(req)
	if err != nil {
		e.t.Fatalf("%s: %v", req.SQL, err)
	}
	return p
}

func (e *env) ask(req query.Request) (*query.Page, error) {
	if req.Caller == "" {
		req.Caller = me
	}
	return e.Query(context.Background(), req)
}

// all pages through a query and returns its pages.
func (e *env) all(req query.Request) []*query.Page {
	e.t.Helper()
	var pages []*query.Page
	for {
		p := e.page(req)
		pages = append(pages, p)
		if req.NextToken = p.NextToken; p.NextToken == "" {
			return pages
		}
	}
}

// render writes rows with endOfRow behind them, columns parted by "|".
func render(dst []byte, b *vec.Batch, ends []int) ([]byte, []int) {
	for i := range b.Len {
		for k, c := range b.Columns {
			if k > 0 {
				dst = append(dst, '|')
			}
			dst = append(dst, c.Value(i).String()...)
		}
		dst = append(dst, endOfRow...)
		ends = append(ends, len(dst))
	}
	return dst, ends
}

const endOfRow = "\x1e"

// rows is the texts of the rows of pages.
func rows(pages ...*query.Page) []string {
	var out []string
	for _, p := range pages {
		lines := strings.Split(string(p.Rows), endOfRow)
		out = append(out, lines[:len(lines)-1]...)
	}
	return out
}

func columns(p *query.Page) string {
	var out []string
	for _, c := range p.Columns {
		out = append(out, c.Name+" "+c.Type.String())
	}
	return strings.Join(out, ", ")
}

// fails checks the kind and the text of an error.
func fails(t testing.TB, err error, kind fault.Kind, text string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(fault.MessageOf(err), text) {
		t.Errorf("error = %v (%v), want %v: %s", err, fault.KindOf(err), kind, text)
	}
}

// heavy runs for hours over a table of some thousand rows, and gives one row.
const heavy = "SELECT count(*) FROM d.t a, d.t b, d.t c WHERE a.i + b.i + c.i < 0"
