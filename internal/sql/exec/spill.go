package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/vec"
)

// How operators spill. An operator that keeps rows asks [charge.full] with what it would hold; told
// yes, it writes what it keeps to runs in the query's area ([run.newSpill]), gives the memory back and goes
// on. Where nothing can be spilled, full is always false and [charge.set] fails at the limit.
//
// An operator is told to spill when the query has used three quarters of its limit (or all queries three
// quarters of theirs) and it holds a fair part of that itself. The last quarter is for what cannot be
// spilled and for the buffers of those that have spilled.

// spillShare is the part of the limit, one in so many, below which an operator need not spill:
// tiny runs cost more than they free.
const spillShare = 16

// spillPage is about how many bytes a batch of a run takes before encoding.
const spillPage = 256 << 10

// canSpill reports whether the query may write temporary files.
func (r *run) canSpill() bool { return r.area != nil }

// full reports whether the operator should spill rather than hold bytes.
func (c *charge) full(bytes int64) bool {
	a := c.of
	switch {
	case !a.canSpill || bytes <= 0:
		return false
	case a.spillAfter > 0:
		return bytes > a.spillAfter
	case bytes < a.reach()/spillShare:
		return false
	}
	more := bytes - c.held
	return a.held()+more > a.limit/4*3 || a.budget != nil && a.budget.used.Load()+more > a.budget.LimitBytes/4*3
}

// reach is what the query could hold at most: its own limit, or that of all queries if it is lower.
func (a *account) reach() int64 {
	if a.budget != nil {
		return min(a.limit, a.budget.LimitBytes)
	}
	return a.limit
}

// spillWriter gathers rows into batches of a good size and appends them to a run.
type spillWriter struct {
	run   *run
	w     *spill.Writer
	types []vec.Type
	rows  *rows
	told  int64 // of the run's bytes, how many the measures know of
}

// newSpill starts a run of rows of the given types.
func (r *run) newSpill(types []vec.Type) *spillWriter {
	return &spillWriter{run: r, w: r.area.Create(types), types: types, rows: newRows(types)}
}

// append adds rows. Large batches go to disk as they are, cut into pages.
func (s *spillWriter) append(ctx context.Context, b *vec.Batch) error {
	most := s.run.opt.BatchRows
	if s.rows.n == 0 && b.Len >= most {
		for from := 0; from < b.Len; from += most {
			part := b
			if b.Len > most {
				part = b.Slice(from, min(from+most, b.Len))
			}
			if err := s.write(ctx, part); err != nil {
				return err
			}
		}
		return nil
	}
	s.rows.append(b)
	if s.rows.n >= most || s.rows.sizeBytes() >= spillPage {
		return s.flush(ctx)
	}
	return nil
}

func (s *spillWriter) flush(ctx context.Context) error {
	if s.rows.n == 0 {
		return nil
	}
	b := s.rows.batch()
	s.rows = newRows(s.types)
	return s.write(ctx, b)
}

func (s *spillWriter) write(ctx context.Context, b *vec.Batch) error {
	err := s.w.Append(ctx, b)
	size := s.w.SizeBytes()
	s.run.noteSpilled(nil, size-s.told)
	s.told = size
	return err
}

// finish writes the rest and ends the run.
func (s *spillWriter) finish(ctx context.Context) (*spill.Run, error) {
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	s.rows = nil
	return s.w.Finish()
}

// abort drops the run.
func (s *spillWriter) abort() { s.w.Abort() }
