package query

import (
	"context"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// DeleteAction is what a caller of DELETE is asked to be allowed, as timestream:DeleteRecords; AWS has
// no such action.
const DeleteAction = "DeleteRecords"

// prepareDelete makes a result of one row, which is there once the rows of the table are gone.
func (s *Service) prepareDelete(ctx context.Context, r *result, stmt *syntax.Delete) error {
	if !s.opts.AllowDelete {
		return syntax.Unknown(stmt, "DELETE")
	}
	now := s.opts.Clock.Now()
	d, err := plan.BuildDelete(stmt, plan.Env{Catalog: tables{s, s.seenBy(ctx, r.caller)}, Functions: s.opts.Functions, Now: now})
	if err != nil {
		return err
	}
	r.tables = d.Query.Tables
	if err := s.authorize(ctx, r.caller, DeleteAction, d.Query.Tables); err != nil {
		return err
	}
	r.columns = []plan.OutputColumn{{Name: "rows", Type: vec.BigintType}}
	r.cut = cutter{src: &deleteSource{delete: d, options: s.execOptions(now)}, whole: true}
	return nil
}

// deleteSource gives the one row of a DELETE: how many rows there were, or null if they are gone and were not
// counted. Asking for it does the work.
type deleteSource struct {
	delete  *plan.Delete
	options exec.Options
	done    bool
}

func (d *deleteSource) Next(ctx context.Context) (*vec.Batch, error) {
	if d.done {
		return nil, nil
	}
	d.done = true
	n, err := exec.Delete(ctx, d.delete, d.options)
	if err != nil {
		return nil, err
	}
	return &vec.Batch{Len: 1, Columns: []*vec.Vector{vec.OfInts(vec.BigintType, []int64{n}, []bool{n < 0})}}, nil
}

func (d *deleteSource) Stats() exec.Stats { return exec.Stats{} }

func (d *deleteSource) TableScans() []exec.TableScan { return nil }

func (d *deleteSource) Close() {}
