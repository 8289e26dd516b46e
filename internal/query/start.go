package query

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// MaxQueryBytes is the longest query text (Timestream quotas).
const MaxQueryBytes = 256 << 10

// minMetered is what a query that reads tables is metered at least (Timestream pricing).
const minMetered = 10_000_000

// start parses, plans and authorises a query, and opens its rows; none is read yet. If
// another call with the same ClientToken was quicker, it returns the result of that.
func (s *Service) start(ctx context.Context, req *Request) (*result, error) {
	r := s.newResult(req.Caller, req.SQL)
	r.maxRows, r.insights, r.paged = req.MaxRows, req.Insights, true
	if req.ClientToken != "" {
		r.client = clientKey{req.Caller, req.ClientToken}
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	if err := s.prepare(ctx, r); err != nil {
		r.cancel(nil)
		s.refused(r, err)
		return nil, err
	}
	r.planned()
	r.cut.render = s.opts.Render
	return s.admit(r, req)
}

// newResult is a result that is about to be planned.
func (s *Service) newResult(caller, sql string) *result {
	r := &result{account: account{id: newID(), caller: caller, sql: sql, started: s.opts.Clock.Now(), began: time.Now()}}
	r.meter = func(int64) int64 { return 0 }
	s.history.begin(&r.account)
	return r
}

// planned notes that r is ready to be read.
func (r *result) planned() {
	r.busy = time.Since(r.began)
	r.planning, r.stats, r.scans = r.busy, r.cut.src.Stats, r.cut.src.TableScans
	r.ready.Store(&r.costs)
}

// refused notes that r could not be started.
func (s *Service) refused(r *result, err error) {
	o := r.observation()
	o.Kind, o.Tables, o.Duration, o.Planning, o.Err = r.kind, r.tables, o.Elapsed, o.Elapsed, err
	s.observe(&r.account, o)
}

// prepare fills in all of r that the statement decides.
func (s *Service) prepare(ctx context.Context, r *result) error {
	stmt, err := parse(r.sql, r.session.dialect)
	if err != nil {
		return err
	}
	r.kind = kindOf(stmt)
	switch stmt := stmt.(type) {
	case *syntax.Query:
		return s.prepareQuery(ctx, r, stmt)
	case *syntax.Explain:
		return s.prepareExplain(ctx, r, stmt)
	case *syntax.Unload:
		return s.prepareUnload(ctx, r, stmt)
	case *syntax.Delete:
		return s.prepareDelete(ctx, r, stmt)
	}
	if err := s.authorize(ctx, r.caller, actionOf(stmt), namedBy(stmt)); err != nil {
		return err
	}
	columns, rows, err := s.metadata(stmt)
	if err != nil {
		return err
	}
	r.columns, r.cut = columns, cutter{src: rows, whole: true}
	return nil
}

func parse(sql string, d syntax.Dialect) (syntax.Statement, error) {
	if len(sql) > MaxQueryBytes {
		return nil, fault.New(fault.Invalid, "The query text has %d bytes; at most %d are allowed.", len(sql), MaxQueryBytes)
	}
	return syntax.ParseDialect(sql, d)
}

// build plans a query; seen says whose queries the system tables show.
func (s *Service) build(q *syntax.Query, now time.Time, in session, seen func() string) (*plan.Query, error) {
	return plan.Build(q, plan.Env{
		Catalog: tables{s, seen}, Functions: s.opts.Functions, Now: now, Params: in.params, Disabled: s.disabled,
		Database: in.database, Dialect: in.dialect,
	})
}

func (s *Service) authorize(ctx context.Context, caller, action string, refs []plan.TableRef) error {
	if s.opts.Authorize == nil {
		return nil
	}
	return s.opts.Authorize(ctx, caller, action, refs)
}

func (s *Service) prepareQuery(ctx context.Context, r *result, stmt *syntax.Query) error {
	now := s.opts.Clock.Now()
	q, err := s.build(stmt, now, r.session, s.seenBy(ctx, r.caller))
	if err != nil {
		return err
	}
	action := "Select"
	if len(q.Tables) == 0 {
		action = "SelectValues"
	}
	if err := s.authorize(ctx, r.caller, action, q.Tables); err != nil {
		return err
	}
	if err := s.checkColumns(q.Columns); err != nil {
		return err
	}
	s.describeReads(r, q, now)
	options := s.execOptions(now)
	options.Lend = r.paged
	cursor, err := exec.Open(r.ctx, q, options)
	if err != nil {
		return err
	}
	r.columns, r.cut = q.Columns, cutter{src: cursorSource{cursor}}
	return nil
}

// describeReads notes which tables a plan reads, how much of them, and how that is metered.
func (s *Service) describeReads(r *result, q *plan.Query, now time.Time) {
	r.tables, r.rules = q.Tables, q.Rules
	if len(s.declared(q.Tables)) > 0 {
		r.meter = func(scanned int64) int64 { return max(scanned, minMetered) }
	}
	for _, ref := range q.Tables {
		if t, err := s.opts.Catalog.Table(ref.Database, ref.Table); err == nil {
			r.total += t.Store.Stats().Rows
		}
	}
	if r.insights {
		r.spans = s.spansOf(q.Root, now)
	}
}

func (s *Service) execOptions(now time.Time) exec.Options {
	return exec.Options{
		Now:              now,
		MemoryLimitBytes: s.opts.MemoryLimitBytes,
		MemorySetting:    "--query-memory-limit",
		Budget:           s.memory,
		Spill:            s.opts.Spill,
	}
}

// cursorSource gives an executor's rows as a source.
type cursorSource struct{ *exec.Cursor }

// Prepare validates a query and tells its columns and parameters (PrepareQuery). Errors
// are those of [Service.Query].
func (s *Service) Prepare(ctx context.Context, caller, sql string) (*Prepared, error) {
	return s.Describe(ctx, StreamRequest{Caller: caller, SQL: sql})
}

// Describe validates a SELECT and tells its columns and parameters; nothing runs. Values that the request
// gives count; parameters without one have the type that their place asks for, or Unknown. They
// are in the order of their first use. Errors are those of [Service.Query].
func (s *Service) Describe(ctx context.Context, req StreamRequest) (*Prepared, error) {
	stmt, err := parse(req.SQL, req.Dialect)
	if err != nil {
		return nil, err
	}
	q, ok := stmt.(*syntax.Query)
	if !ok {
		return nil, fault.New(fault.Invalid, "Only SELECT can be prepared.")
	}
	in := req.session()
	given := in.params
	in.params = maps.Clone(given)
	if in.params == nil {
		in.params = map[string]vec.Value{}
	}
	parameters := parametersOf(q)
	for i, p := range parameters {
		v, ok := given[p.Name]
		if !ok {
			v = vec.Null(p.Type)
		}
		in.params[p.Name], parameters[i].Type = v, v.Type
	}
	built, err := s.build(q, s.opts.Clock.Now(), in, s.seenBy(ctx, req.Caller))
	if err != nil {
		return nil, err
	}
	if err := s.authorize(ctx, req.Caller, "PrepareQuery", built.Tables); err != nil {
		return nil, err
	}
	for i, p := range parameters {
		if t, ok := built.Params[p.Name]; ok {
			parameters[i].Type = t
		}
	}
	return &Prepared{SQL: req.SQL, Columns: built.Columns, Parameters: parameters}, nil
}

// parametersOf lists the parameters of a query in the order of their first use. The one
// whose type is known beforehand is that of scheduled queries.
func parametersOf(q *syntax.Query) []Parameter {
	var list []Parameter
	syntax.Walk(q, func(n syntax.Node) bool {
		param, ok := n.(*syntax.Param)
		if !ok || strings.HasPrefix(param.Name, syntax.SessionParam) || slices.ContainsFunc(list, func(p Parameter) bool { return p.Name == param.Name }) {
			return true
		}
		t := vec.UnknownType
		if param.Name == "scheduled_runtime" {
			t = vec.TimestampType
		}
		list = append(list, Parameter{param.Name, t})
		return true
	})
	return list
}
