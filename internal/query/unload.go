package query

import (
	"context"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/unload"
	"github.com/weir-db/weir/internal/vec"
)

// prepareUnload makes a result of one row, which is there once the rows of the inner query are
// written to objects.
func (s *Service) prepareUnload(ctx context.Context, r *result, stmt *syntax.Unload) error {
	if s.opts.Objects == nil {
		return fault.New(fault.Invalid, "line %d:%d: UNLOAD needs an object store, which this server lacks.", stmt.At.Line, stmt.At.Col)
	}
	spec, err := unload.Parse(stmt)
	if err != nil {
		return err
	}
	now := s.opts.Clock.Now()
	q, err := s.build(stmt.Query, now, r.session, s.seenBy(ctx, r.caller))
	if err != nil {
		return err
	}
	for _, action := range []string{"Unload", "Select"} {
		if err := s.authorize(ctx, r.caller, action, q.Tables); err != nil {
			return err
		}
	}
	if s.opts.AuthorizeObject != nil {
		if err := s.opts.AuthorizeObject(ctx, r.caller, "s3:PutObject", "arn:aws:s3:::"+spec.Bucket+"/"+spec.Prefix+"*"); err != nil {
			return err
		}
	}
	job, err := unload.New(ctx, s.opts.Objects, spec, r.id, q.Columns)
	if err != nil {
		return err
	}
	if perSecond := s.opts.Limits.UnloadsPerSecond; perSecond > 0 && !s.unloads.take(time.Now(), perSecond) {
		return fault.New(fault.Throttled, "Rate exceeded: at most %d UNLOAD per second.", perSecond)
	}
	job.Journal = s.opts.Journal
	job.MaxPartitions = s.opts.Limits.UnloadPartitions
	if parts := len(spec.PartitionedBy); parts > 0 && (s.opts.SortUnloads || job.MaxPartitions > awsPartitions) {
		job.Sorted = true
		sortByLast(q, parts)
	}
	r.unload = true
	s.describeReads(r, q, now)
	cursor, err := exec.Open(r.ctx, q, s.execOptions(now))
	if err != nil {
		return err
	}
	r.columns, r.cut = unload.Columns, cutter{src: &unloadSource{job: job, cursor: cursor}, whole: true}
	return nil
}

// sortByLast has the rows of a query sorted by its last n columns, and by its own order within.
func sortByLast(q *plan.Query, n int) {
	sort := &plan.Sort{Input: q.Root}
	for i := len(q.Columns) - n; i < len(q.Columns); i++ {
		sort.Keys = append(sort.Keys, plan.SortKey{Expr: &plan.Column{Index: i, T: q.Columns[i].Type}})
	}
	if own, ok := q.Root.(*plan.Sort); ok {
		sort.Input, sort.Keys = own.Input, append(sort.Keys, own.Keys...)
	}
	q.Root = sort
}

// unloadSource gives the one row of an UNLOAD; asking for it does the work.
type unloadSource struct {
	job    *unload.Job
	cursor *exec.Cursor
	done   bool
}

func (u *unloadSource) Next(ctx context.Context) (*vec.Batch, error) {
	if u.done {
		return nil, nil
	}
	u.done = true
	return u.job.Run(ctx, u.cursor.Next)
}

func (u *unloadSource) Stats() exec.Stats { return u.cursor.Stats() }

func (u *unloadSource) TableScans() []exec.TableScan { return u.cursor.TableScans() }

func (u *unloadSource) Close() { u.cursor.Close() }
