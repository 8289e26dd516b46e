package query

import (
	"context"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// MaxQueryBytes is the longest query text (Timestream quotas).
const MaxQueryBytes = 256 << 10

// minMetered is what a query that reads tables is metered at least (Timestream pricing).
const minMetered = 10_000_000

// start parses, plans and authorises a query, and opens its rows.
func (s *Service) start(ctx context.Context, req *Request) (*result, error) {
	stmt, err := parse(req.SQL)
	if err != nil {
		return nil, err
	}
	r := &result{id: newID(), caller: req.Caller, sql: req.SQL, meter: noMeter, touched: time.Now()}
	limit := fault.New(fault.Execution, "Query exceeded the time limit of %v.", s.opts.TimeLimit)
	timed, stopTimer := context.WithTimeoutCause(context.WithoutCancel(ctx), s.opts.TimeLimit, limit)
	cancellable, cancel := context.WithCancelCause(timed)
	r.ctx = cancellable
	r.cancel = func(cause error) {
		cancel(cause)
		stopTimer()
	}
	if err := s.open(r, stmt); err != nil {
		r.cancel(nil)
		return nil, err
	}
	if err := s.admit(r); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func parse(sql string) (syntax.Statement, error) {
	if len(sql) > MaxQueryBytes {
		return nil, fault.New(fault.Invalid, "The query text has %d bytes; at most %d are allowed.", len(sql), MaxQueryBytes)
	}
	return syntax.Parse(sql)
}

func noMeter(int64) int64 { return 0 }

// admit registers r among the open results.
func (s *Service) admit(r *result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	open := 0
	for _, other := range s.results {
		if !other.done {
			open++
		}
	}
	if open >= s.opts.MaxOpen {
		return fault.New(fault.Throttled, "%d results are open, the most that this server keeps; read them to the end or cancel them.", open)
	}
	s.results[r.id] = r
	return nil
}

func (s *Service) open(r *result, stmt syntax.Statement) error {
	switch stmt := stmt.(type) {
	case *syntax.Query:
		return s.openQuery(r, stmt)
	case *syntax.Explain:
		return s.openExplain(r, stmt)
	case *syntax.Unload:
		return fault.New(fault.Invalid, "line %d:%d: UNLOAD is not supported by this version of weir.", stmt.At.Line, stmt.At.Col)
	}
	if err := s.authorize(r, actionOf(stmt), nil); err != nil {
		return err
	}
	columns, rows, err := s.metadata(stmt)
	if err != nil {
		return err
	}
	r.columns, r.src, r.onePage = columns, rows, true
	return nil
}

func (s *Service) build(q *syntax.Query, now time.Time) (*plan.Query, error) {
	return plan.Build(q, plan.Env{
		Catalog:   s.opts.Catalog,
		Functions: s.opts.Functions,
		Now:       now,
		Disabled:  s.disabled,
	})
}

func (s *Service) openQuery(r *result, stmt *syntax.Query) error {
	now := s.opts.Clock.Now()
	q, err := s.build(stmt, now)
	if err != nil {
		return err
	}
	action := "Select"
	if len(q.Tables) == 0 {
		action = "SelectValues"
	}
	if err := s.authorize(r, action, q.Tables); err != nil {
		return err
	}
	cursor, err := exec.Open(r.ctx, q, s.execOptions(now))
	if err != nil {
		return err
	}
	r.columns, r.tables, r.src = q.Columns, q.Tables, cursorSource{cursor}
	if len(q.Tables) > 0 {
		r.meter = func(scanned int64) int64 { return max(scanned, minMetered) }
	}
	for _, ref := range q.Tables {
		if t, err := s.opts.Catalog.Table(ref.Database, ref.Table); err == nil {
			r.total += t.Store.Stats().Rows
		}
	}
	return nil
}

func (s *Service) execOptions(now time.Time) exec.Options {
	return exec.Options{
		Now:              now,
		MemoryLimitBytes: s.opts.MemoryLimitBytes,
		MemorySetting:    "--query-memory-limit",
	}
}

func (s *Service) authorize(r *result, action string, refs []plan.TableRef) error {
	if s.opts.Authorize == nil {
		return nil
	}
	return s.opts.Authorize(r.ctx, r.caller, action, refs)
}

// cursorSource gives an executor's rows as a source.
type cursorSource struct{ *exec.Cursor }

func (c cursorSource) Stats() storage.ScanStats { return c.Cursor.Stats().Storage }

// openExplain answers EXPLAIN [ANALYZE], an addition of weir: the plan as text, one
// row per line; with ANALYZE the query runs first and its cost follows.
func (s *Service) openExplain(r *result, stmt *syntax.Explain) error {
	now := s.opts.Clock.Now()
	q, err := s.build(stmt.Query, now)
	if err != nil {
		return err
	}
	if err := s.authorize(r, "Select", q.Tables); err != nil {
		return err
	}
	lines := planLines(q)
	if stmt.Analyze {
		cost, err := s.analyze(r.ctx, q, now)
		if err != nil {
			return err
		}
		lines = append(lines, cost...)
	}
	r.columns = []plan.OutputColumn{{Name: "Query Plan", Type: vec.VarcharType}}
	r.src, r.onePage = newStatic(vec.OfStrs(lines, nil)), true
	return nil
}

// Prepare validates a query and tells its columns and parameters (PrepareQuery).
func (s *Service) Prepare(ctx context.Context, caller, sql string) (*Prepared, error) {
	stmt, err := parse(sql)
	if err != nil {
		return nil, err
	}
	p := &Prepared{SQL: sql}
	q, ok := stmt.(*syntax.Query)
	if !ok {
		return nil, fault.New(fault.Invalid, "Only SELECT can be prepared.")
	}
	params := map[string]vec.Value{}
	syntax.Walk(q, func(n syntax.Node) bool {
		if param, ok := n.(*syntax.Param); ok && !slices.ContainsFunc(p.Parameters, func(x Parameter) bool { return x.Name == param.Name }) {
			t := vec.UnknownType
			if param.Name == "scheduled_runtime" {
				t = vec.TimestampType
			}
			p.Parameters = append(p.Parameters, Parameter{param.Name, t})
			params[param.Name] = vec.Null(t)
		}
		return true
	})
	built, err := plan.Build(q, plan.Env{
		Catalog: s.opts.Catalog, Functions: s.opts.Functions, Now: s.opts.Clock.Now(), Params: params, Disabled: s.disabled,
	})
	if err != nil {
		return nil, err
	}
	if s.opts.Authorize != nil {
		if err := s.opts.Authorize(ctx, caller, "PrepareQuery", built.Tables); err != nil {
			return nil, err
		}
	}
	p.Columns = built.Columns
	for i, param := range p.Parameters {
		if t, ok := built.Params[param.Name]; ok {
			p.Parameters[i].Type = t
		}
	}
	return p, nil
}
