package query

import (
	"container/list"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
)

// Observation is what one query came to, for accounting and metrics.
type Observation struct {
	QueryID string
	SQL     string
	Kind    string // SELECT, UNLOAD, EXPLAIN, SHOW or DESCRIBE; empty if the text is no statement
	Caller  string
	State   State
	Started time.Time // by the service's clock
	Err     error

	Tables []plan.TableRef
	Rules  []string // optimizer rules that changed the plan
	Pushed []string // what storage took on: filters, aggregation, order

	Rows         int64 // handed out
	OutputBytes  int64 // of these, as JSON
	BytesScanned int64
	BytesMetered int64
	Scanned      exec.Stats    // what storage and operators counted
	Planning     time.Duration // parsing, planning and opening
	Duration     time.Duration // of planning and of making pages, without the caller's pauses
	Elapsed      time.Duration // from the start to the end, or until now
}

// State is how far a query is.
type State string

const (
	Planning  State = "PLANNING"
	Running   State = "RUNNING"
	Finished  State = "FINISHED"
	Failed    State = "FAILED"
	Cancelled State = "CANCELLED" // by CancelQuery, or because its caller left
)

// stateOf is the state of a query that ended with err.
func stateOf(err error) State {
	switch {
	case err == nil:
		return Finished
	case err == errToken || fault.Is(err, fault.Cancelled): // errToken: nobody came back for its pages
		return Cancelled
	}
	return Failed
}

// account is the part of a result that says what it costs. It is filled in while the result is prepared and
// read by whoever asks what runs.
type account struct {
	id, caller, sql string
	started         time.Time // by the service's clock
	began           time.Time // by the machine's

	ready atomic.Pointer[costs] // nil until the query is planned
}

// costs is what is known once a query is planned.
type costs struct {
	kind     string
	tables   []plan.TableRef
	rules    []string
	planning time.Duration
	meter    func(scanned int64) int64
	stats    func() exec.Stats // may be called at any time
	scans    func() []exec.TableScan
}

// observation is the account as it stands.
func (a *account) observation() Observation {
	o := Observation{QueryID: a.id, SQL: a.sql, Caller: a.caller, State: Planning, Started: a.started, Elapsed: time.Since(a.began)}
	c := a.ready.Load()
	if c == nil {
		return o
	}
	o.State, o.Kind, o.Tables, o.Rules, o.Planning = Running, c.kind, c.tables, c.rules, c.planning
	o.Scanned = c.stats()
	o.Rows, o.BytesScanned = o.Scanned.Rows, o.Scanned.Storage.BytesScanned
	o.BytesMetered = c.meter(o.BytesScanned)
	o.Pushed = pushed(c.scans())
	return o
}

// pushed names what storage took on in any scan.
func pushed(scans []exec.TableScan) []string {
	var names []string
	for _, offer := range []struct {
		name  string
		taken func(exec.TableScan) bool
	}{
		{"filters", func(t exec.TableScan) bool { return t.Filters }},
		{"aggregation", func(t exec.TableScan) bool { return t.Aggregation }},
		{"order", func(t exec.TableScan) bool { return t.Order }},
	} {
		if slices.ContainsFunc(scans, offer.taken) {
			names = append(names, offer.name)
		}
	}
	return names
}

// history knows the queries that run and the latest that ended, within bounds. It is safe for concurrent use.
type history struct {
	maxQueries int
	maxBytes   int64

	mu      sync.Mutex // guards the fields below
	running map[*account]struct{}
	ended   *list.List // of Observation, oldest first
	bytes   int64      // of their texts
}

func newHistory(maxQueries int, maxBytes int64) *history {
	return &history{maxQueries: maxQueries, maxBytes: maxBytes, running: map[*account]struct{}{}, ended: list.New()}
}

func (h *history) begin(a *account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[a] = struct{}{}
}

func (h *history) end(a *account, o Observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, a)
	h.ended.PushBack(o)
	h.bytes += textBytes(o)
	for h.ended.Len() > h.maxQueries || h.bytes > h.maxBytes && h.ended.Len() > 1 {
		h.bytes -= textBytes(h.ended.Remove(h.ended.Front()).(Observation))
	}
}

// forget drops a query that was not run after all.
func (h *history) forget(a *account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, a)
}

func textBytes(o Observation) int64 {
	const overhead = 1 << 10
	size := int64(len(o.SQL) + overhead)
	if o.Err != nil {
		size += int64(len(fault.MessageOf(o.Err)))
	}
	return size
}

// list returns all that is known, by start.
func (h *history) list() []Observation {
	h.mu.Lock()
	out := make([]Observation, 0, h.ended.Len()+len(h.running))
	for e := h.ended.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(Observation))
	}
	var running []*account
	for a := range h.running {
		running = append(running, a)
	}
	h.mu.Unlock()
	for _, a := range running {
		out = append(out, a.observation())
	}
	slices.SortStableFunc(out, func(a, b Observation) int { return a.Started.Compare(b.Started) })
	return out
}

// kindOf is the first word of a statement.
func kindOf(stmt syntax.Statement) string {
	switch stmt.(type) {
	case *syntax.Query:
		return "SELECT"
	case *syntax.Unload:
		return "UNLOAD"
	case *syntax.Explain:
		return "EXPLAIN"
	case *syntax.Describe:
		return "DESCRIBE"
	case *syntax.Delete:
		return "DELETE"
	}
	return "SHOW"
}

// observe keeps, logs and passes on what a query came to.
func (s *Service) observe(a *account, o Observation) {
	o.State = stateOf(o.Err)
	s.history.end(a, o)
	s.logQuery(&o)
	if s.opts.Observe != nil {
		s.opts.Observe(o)
	}
}

// logQuery writes a line per query, without its text: Info for slow ones, which somebody may want to know of,
// Debug for the others.
func (s *Service) logQuery(o *Observation) {
	level := slog.LevelDebug
	if o.Duration >= s.opts.SlowQuery {
		level = slog.LevelInfo
	}
	if !s.opts.Log.Enabled(context.Background(), level) {
		return
	}
	st := o.Scanned.Storage
	attrs := []slog.Attr{
		slog.String("query_id", o.QueryID), slog.String("kind", o.Kind), slog.String("state", string(o.State)),
		slog.Duration("dur", o.Duration), slog.Duration("planning", o.Planning), slog.Int64("rows", o.Rows), slog.Int64("bytes", o.BytesScanned),
		slog.Int64("rows_scanned", st.RowsScanned), slog.Int64("series_read", st.SeriesRead), slog.Int64("series_skipped", st.SeriesSkipped),
		slog.Int64("segments_read", st.SegmentsRead), slog.Int64("segments_skipped", st.SegmentsSkipped),
		slog.Int64("blocks_read", st.BlocksRead), slog.Int64("blocks_skipped", st.BlocksSkipped),
		slog.Int64("peak_memory", o.Scanned.PeakMemoryBytes), slog.Int64("spilled", o.Scanned.SpilledBytes),
		slog.String("rules", strings.Join(o.Rules, ",")), slog.String("pushed", strings.Join(o.Pushed, ",")),
	}
	for _, t := range o.Tables {
		attrs = append(attrs, slog.String("table", t.Database+"."+t.Table))
	}
	if o.Err != nil {
		attrs = append(attrs, slog.String("err_kind", fault.KindOf(o.Err).String()))
	}
	s.opts.Log.LogAttrs(context.Background(), level, "query ended", attrs...)
}
