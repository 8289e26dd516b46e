package query

import (
	"context"
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
	Params   map[string]vec.Value // of @name, by name without the @
	Insights bool
}

// Stream is a running SELECT for other services: scheduled queries and exports. It
// is not among the results that pages are cut from, takes none of their slots, and is used
// by one goroutine. Whoever opens streams closes them before the Service.
type Stream struct {
	Columns []plan.OutputColumn

	service *Service
	r       *result
	ctx     context.Context // of the execution: the opener's, with the time limit
	failed  error
}

// Stream parses, plans, authorises and opens a SELECT; no row is read yet. The execution
// ends with ctx, at its time limit, or at Close. Errors are those of [Service.Query].
func (s *Service) Stream(ctx context.Context, req StreamRequest) (*Stream, error) {
	stmt, err := parse(req.SQL)
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
	r.params, r.insights, r.kind = req.Params, req.Insights, kindOf(q)
	limit := fault.New(fault.Execution, "Query exceeded the time limit of %v.", s.opts.TimeLimit)
	timed, stop := context.WithTimeoutCause(ctx, s.opts.TimeLimit, limit)
	r.ctx, r.cancel = timed, func(error) { stop() }
	if err := s.prepareQuery(ctx, r, q); err != nil {
		stop()
		s.refused(r, err)
		return nil, err
	}
	r.planned()
	return &Stream{Columns: r.columns, service: s, r: r, ctx: timed}, nil
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
	stmt, err := parse(sql)
	if err != nil {
		return nil, err
	}
	q, ok := stmt.(*syntax.Query)
	if !ok {
		return nil, fault.New(fault.Invalid, "Only SELECT can be used here.")
	}
	built, err := s.build(q, s.opts.Clock.Now(), params, func() string { return "" })
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
	o := s.r.observation()
	o.Rows, o.OutputBytes, o.Duration, o.Err = s.r.rows, s.r.bytes, s.r.busy, s.failed
	s.service.observe(&s.r.account, o)
}
