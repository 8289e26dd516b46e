package query

import (
	"context"
	"maps"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// StreamRequest asks for all rows of a SELECT, without pages.
type StreamRequest struct {
	Caller   string
	SQL      string
	Params   map[string]vec.Value // of @name, by name without the @; of $n, by the number's digits
	Insights bool

	Dialect  syntax.Dialect // of SQL
	Database string         // of tables without a database in front; "": they have to have one
	Version  string         // what version() answers in the dialect that has it

	// Bounded streams count among the results that may be open at once (Options.MaxOpen), and are refused with
	// fault.Throttled beyond it. Those of a client are; those of the server's own work are not.
	Bounded bool
}

// session is what the names and forms of a text mean.
type session struct {
	dialect  syntax.Dialect
	database string
	params   map[string]vec.Value
}

// session returns the request's, with what its parameters of the session stand for.
func (req *StreamRequest) session() session {
	in := session{req.Dialect, req.Database, req.Params}
	if req.Dialect == syntax.Timestream {
		return in
	}
	in.params = maps.Clone(req.Params)
	if in.params == nil {
		in.params = map[string]vec.Value{}
	}
	in.params[syntax.SessionParam+"version"] = vec.Str(req.Version)
	in.params[syntax.SessionParam+"current_database"] = textOrNull(req.Database)
	in.params[syntax.SessionParam+"current_schema"] = textOrNull(req.Database)
	return in
}

// Stream is a running SELECT for other services: scheduled queries and exports. It
// is not among the results that pages are cut from, takes one of their slots only if it is
// Bounded, and is used by one goroutine. Whoever opens streams closes them before the Service.
type Stream struct {
	Columns []plan.OutputColumn

	service *Service
	bounded bool
	r       *result
	ctx     context.Context // of the execution: the opener's, with the time limit
	failed  error
}

// Stream parses, plans, authorises and opens a SELECT; no row is read yet. The execution
// ends with ctx, at its time limit, or at Close. Errors are those of [Service.Query].
func (s *Service) Stream(ctx context.Context, req StreamRequest) (*Stream, error) {
	stmt, err := parse(req.SQL, req.Dialect)
	if err != nil {
		return nil, err
	}
	q, ok := stmt.(*syntax.Query)
	if !ok {
		return nil, fault.New(fault.Invalid, "Only SELECT can be used here.")
	}
	return s.stream(ctx, q, req)
}

func (s *Service) stream(ctx context.Context, q *syntax.Query, req StreamRequest) (*Stream, error) {
	r := s.newResult(req.Caller, req.SQL)
	r.session, r.insights, r.kind = req.session(), req.Insights, kindOf(q)
	limit := fault.New(fault.Execution, "Query exceeded the time limit of %v.", s.opts.TimeLimit)
	timed, stop := context.WithTimeoutCause(ctx, s.opts.TimeLimit, limit)
	r.ctx, r.cancel = timed, func(error) { stop() }
	if err := s.prepareStream(ctx, r, q, req.Bounded); err != nil {
		stop()
		s.refused(r, err)
		return nil, err
	}
	r.planned()
	return &Stream{Columns: r.columns, service: s, bounded: req.Bounded, r: r, ctx: timed}, nil
}

// prepareStream prepares a query, within the bound on open results if it counts there.
func (s *Service) prepareStream(ctx context.Context, r *result, q *syntax.Query, bounded bool) error {
	if !bounded {
		return s.prepareQuery(ctx, r, q)
	}
	if err := s.takeSlot(); err != nil {
		return err
	}
	err := s.prepareQuery(ctx, r, q)
	if err != nil {
		s.freeSlot()
	}
	return err
}

func (s *Service) takeSlot() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.open >= s.opts.MaxOpen:
		return s.tooManyLocked()
	}
	s.open++
	return nil
}

func (s *Service) freeSlot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// Next returns the next batch, which is not empty and stays valid, or nil at the end.
// Errors: fault.Execution for what goes wrong while running, fault.Cancelled when the
// opener's context is done.
func (s *Stream) Next() (*vec.Batch, error) {
	began := time.Now()
	b, err := survive(func() (*vec.Batch, error) { return s.r.cut.src.Next(s.ctx) })
	s.r.busy += time.Since(began)
	if err != nil {
		if cause := context.Cause(s.ctx); cause != nil && fault.KindOf(cause) != fault.Internal {
			err = cause // the time limit
		}
		s.failed = err
		return nil, err
	}
	if b != nil {
		s.r.rows += int64(b.Len)
		if s.r.insights {
			_, bytes := fitRows(b, b.Len, 1<<62)
			s.r.bytes += bytes
		}
	}
	return b, nil
}

// Range is a range of time of a table that a statement reads: From <= time < To, in ns.
type Range struct {
	Table    plan.TableRef
	From, To int64 // those of storage.AllTime where the statement has no bound
}

// Bounded reports whether the range has both ends.
func (r Range) Bounded() bool { return r.From > storage.AllTime.From && r.To < storage.AllTime.To }

// Ranges returns what a SELECT with these parameters would read now, one range for each
// mention of a table. Nothing is authorised, read or counted.
func (s *Service) Ranges(sql string, params map[string]vec.Value) ([]Range, error) {
	stmt, err := parse(sql, syntax.Timestream)
	if err != nil {
		return nil, err
	}
	q, ok := stmt.(*syntax.Query)
	if !ok {
		return nil, fault.New(fault.Invalid, "Only SELECT can be used here.")
	}
	built, err := s.build(q, s.opts.Clock.Now(), session{params: params}, func() string { return "" })
	if err != nil {
		return nil, err
	}
	var ranges []Range
	plan.EachScan(built.Root, func(scan *plan.Scan) { ranges = append(ranges, Range{scan.Ref, scan.Spec.From, scan.Spec.To}) })
	return ranges, nil
}

// StreamStats is what a stream has cost so far.
type StreamStats struct {
	QueryID      string
	Rows         int64
	BytesScanned int64
	BytesMetered int64
	Insights     *Insights // when asked for
}

// Stats may be called until and after Close.
func (s *Stream) Stats() StreamStats {
	read := s.r.stats().Storage
	out := StreamStats{QueryID: s.r.id, Rows: s.r.rows, BytesScanned: read.BytesScanned, BytesMetered: s.r.meter(read.BytesScanned)}
	if s.r.insights {
		out.Insights = s.service.insightsOf(s.r)
	}
	return out
}

// Close ends the execution. It is called once.
func (s *Stream) Close() {
	s.r.cancel(nil)
	s.r.cut.close()
	if s.bounded {
		s.service.freeSlot()
	}
	o := s.r.observation()
	o.Rows, o.OutputBytes, o.Duration, o.Err = s.r.rows, s.r.bytes, s.r.busy, s.failed
	s.service.observe(&s.r.account, o)
}
