package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/vec"
)

// incomplete is the FailureReason of a run with an error report (Timestream guide).
const incomplete = "Schedule encountered some errors and is incomplete. Please take a look at error report for further details"

// parameter is the name of the one parameter of a scheduled query.
const parameter = "scheduled_runtime"

// attempts is how often work that the server refuses for now is tried.
const attempts = 3

// execution is one run in the making.
type execution struct {
	service *Service
	q       *Query
	run     *Run
	report  report
	mapping *mapping
	request ingest.Request
	origins []origin // of the records in request
}

// origin is the row that a record comes from.
type origin struct {
	batch *vec.Batch
	row   int
}

// execute runs q once. It returns nil if ctx ended first, which means that the run is to be
// done again.
func (s *Service) execute(ctx context.Context, q *Query, t task, trigger time.Time) *Run {
	began := time.Now()
	run := &Run{Invocation: t.Invocation, Trigger: trigger, Manual: t.Manual}
	x := &execution{service: s, q: q, run: run}
	err := x.attempt(ctx, t.Insights)
	for n := 1; err != nil && n < attempts && retryable(err); n++ {
		if !pause(ctx, s.opts.RetryAfter*time.Duration(n)) {
			break
		}
		x.report, run.Stats = report{}, Stats{}
		err = x.attempt(ctx, t.Insights)
	}
	if ctx.Err() != nil {
		return nil
	}
	run.Stats.Millis = time.Since(began).Milliseconds()
	x.conclude(ctx, err)
	return run
}

// retryable reports whether the server may take the work later.
func retryable(err error) bool {
	k := fault.KindOf(err)
	return k == fault.Unavailable || k == fault.Throttled || k == fault.Internal
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// conclude turns what happened into the run's outcome.
func (x *execution) conclude(ctx context.Context, err error) {
	run := x.run
	switch {
	case err == nil && x.report.empty():
		return
	case err != nil && !retryable(err) && fault.KindOf(err) != fault.Corrupt:
		// The query, its role or its target is wrong, and will be next time.
		run.Failed, run.disable, run.Reason = true, true, fault.MessageOf(err)
		return
	case err != nil:
		x.service.opts.Log.Error("scheduled query: run failed", "query", x.q.Name, "err", err)
		x.report.General(publicText(err))
	}
	run.Failed, run.Reason = true, incomplete
	at, err := x.service.writeReport(ctx, x.q, run, &x.report)
	if err != nil {
		x.service.opts.Log.Warn("scheduled query: error report not written", "query", x.q.Name, "bucket", x.q.Report.Bucket, "err", err)
		run.Reason = "Schedule encountered some errors and is incomplete: " + x.report.Errors[0].Reason + " The error report could not be written."
		return
	}
	run.Report = at
}

// publicText keeps the causes of internal errors in the log.
func publicText(err error) string {
	switch fault.KindOf(err) {
	case fault.Internal:
		return "The run could not be completed because of an internal error."
	case fault.Corrupt:
		return "Stored data is damaged; the server's log says where."
	}
	return fault.MessageOf(err)
}

// attempt runs the query and stores its rows.
func (x *execution) attempt(ctx context.Context, insights bool) error {
	caller, err := x.service.assume(ctx, x.q.RoleARN)
	if err != nil {
		return err
	}
	if err := x.service.mayWrite(caller, x.q.Target); err != nil {
		return err
	}
	stream, err := x.service.opts.Queries.Stream(ctx, query.StreamRequest{
		Caller: caller, SQL: x.q.SQL, Insights: insights, Params: map[string]vec.Value{parameter: vec.Int(vec.TimestampType, x.run.Invocation.UnixNano())},
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	if x.q.Target != nil {
		if x.mapping, err = bind(x.q.Target, stream.Columns); err != nil {
			return err // the table's columns changed since creation
		}
		x.request = ingest.Request{Database: x.q.Target.Database, Table: x.q.Target.Table, Records: x.request.Records[:0]}
		x.origins = x.origins[:0]
	}
	err = x.drain(ctx, stream)
	st := stream.Stats()
	x.run.Stats.BytesMetered, x.run.Stats.BytesScanned, x.run.Stats.ResultRows, x.run.Insights = st.BytesMetered, st.BytesScanned, st.Rows, st.Insights
	return err
}

func (x *execution) drain(ctx context.Context, stream *query.Stream) error {
	for {
		b, err := stream.Next()
		if err != nil {
			return err
		}
		if b == nil {
			return x.flush(ctx, 0)
		}
		if x.q.Target == nil {
			continue
		}
		for i := range b.Len {
			if err := x.row(ctx, b, i); err != nil {
				return err
			}
		}
	}
}

func (x *execution) row(ctx context.Context, b *vec.Batch, i int) error {
	records, reason := x.mapping.records(x.request.Records, b, i, x.run.Trigger.UnixMilli())
	if reason != "" {
		x.report.row(reason, rawLine(b, i))
		return nil
	}
	for range len(records) - len(x.request.Records) {
		x.origins = append(x.origins, origin{b, i})
	}
	x.request.Records = records
	return x.flush(ctx, x.service.opts.Ingest.Limits().Records-1)
}

// flush writes the records at hand until at most left are.
func (x *execution) flush(ctx context.Context, left int) error {
	if len(x.request.Records) <= left {
		return nil
	}
	limit := x.service.opts.Ingest.Limits().Records
	all, origins := x.request.Records, x.origins
	for len(x.request.Records) > left {
		rest, restOf := x.request.Records, x.origins
		n := min(limit, len(rest))
		x.request.Records = rest[:n]
		if err := x.write(ctx); err != nil {
			return err
		}
		x.request.Records, x.origins = rest[n:], restOf[n:]
	}
	x.request.Records = all[:copy(all, x.request.Records)]
	x.origins = origins[:copy(origins, x.origins)]
	return nil
}

// write stores the records of the request and reports those that are refused. A request
// that is refused as a whole because of one record is written record by record.
func (x *execution) write(ctx context.Context) error {
	result, err := x.service.opts.Ingest.Write(ctx, &x.request)
	var rejected *ingest.RejectedError
	switch {
	case err == nil:
	case errors.As(err, &rejected):
		for _, r := range rejected.Records {
			x.report.record(r.Reason, &x.request.Records[r.Index])
		}
	case fault.Is(err, fault.Invalid) && len(x.request.Records) > 1:
		return x.writeSingly(ctx)
	case fault.Is(err, fault.Invalid):
		o := x.origins[0]
		x.report.row(fault.MessageOf(err), rawLine(o.batch, o.row))
		return nil
	default:
		return fmt.Errorf("write to %s.%s: %w", x.request.Database, x.request.Table, err)
	}
	x.run.Stats.Ingested += int64(result.Total)
	x.run.Stats.DataWrites += result.BytesMetered
	return nil
}

func (x *execution) writeSingly(ctx context.Context) error {
	records, origins := x.request.Records, x.origins
	for i := range records {
		x.request.Records, x.origins = records[i:i+1], origins[i:i+1]
		if err := x.write(ctx); err != nil {
			return err
		}
	}
	return nil
}
