package query

import (
	"context"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
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
	q, err := s.build(stmt.Query, now, r.params)
	if err != nil {
		return err
	}
	for _, action := range []string{"Unload", "Select"} {
		if err := s.authorize(ctx, r.caller, action, q.Tables); err != nil {
			return err
		}
	}
	job, err := unload.New(ctx, s.opts.Objects, spec, r.id, q.Columns)
	if err != nil {
		return err
	}
	s.describeReads(r, q, now)
	cursor, err := exec.Open(r.ctx, q, s.execOptions(now))
	if err != nil {
		return err
	}
	r.columns, r.cut = unload.Columns, cutter{src: &unloadSource{job: job, cursor: cursor}, whole: true}
	return nil
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

func (u *unloadSource) Stats() storage.ScanStats { return u.cursor.Stats().Storage }

func (u *unloadSource) Close() { u.cursor.Close() }
