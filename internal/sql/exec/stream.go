package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// valuesOp is constant rows.
type valuesOp struct {
	f    *frame
	n    *plan.Values
	at   int
	rows [][]*expr
}

func newValues(f *frame, n *plan.Values) (operator, error) {
	v := &valuesOp{f: f, n: n}
	for _, row := range n.Rows {
		exprs, err := compileAll(row)
		if err != nil {
			return nil, err
		}
		v.rows = append(v.rows, exprs)
	}
	return v, nil
}

func (v *valuesOp) next(ctx context.Context) (*vec.Batch, error) {
	if v.at >= len(v.rows) {
		return nil, ctx.Err()
	}
	end := min(v.at+v.f.run.opt.BatchRows, len(v.rows))
	out := newRows(v.n.T)
	for ; v.at < end; v.at++ {
		row, err := evalAll(ctx, v.f, v.rows[v.at], &vec.Batch{Len: 1})
		if err != nil {
			return nil, err
		}
		out.append(&vec.Batch{Len: 1, Columns: row})
	}
	return out.batch(), nil
}

func (v *valuesOp) close() { v.at = len(v.rows) }

// filterOp keeps the rows for which all conditions are true.
type filterOp struct {
	f     *frame
	in    operator
	conds []*expr
}

func newFilter(f *frame, n *plan.Filter) (operator, error) {
	conds, err := conjuncts(n.Cond)
	if err != nil {
		return nil, err
	}
	in, err := build(f, n.Input)
	return &filterOp{f, in, conds}, err
}

func (o *filterOp) next(ctx context.Context) (*vec.Batch, error) {
	for {
		b, err := o.in.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		rows, all, err := filterRows(ctx, o.f, o.conds, b)
		switch {
		case err != nil:
			return nil, err
		case all:
			return b, nil
		case len(rows) > 0:
			return b.Gather(rows), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (o *filterOp) close() { o.in.close() }

// projectOp computes expressions.
type projectOp struct {
	f     *frame
	in    operator
	exprs []*expr
}

func newProject(f *frame, n *plan.Project) (operator, error) {
	exprs, err := compileAll(n.Exprs)
	if err != nil {
		return nil, err
	}
	in, err := build(f, n.Input)
	if err == nil {
		readOnly(in, exprs)
	}
	return &projectOp{f, in, exprs}, err
}

func (o *projectOp) next(ctx context.Context) (*vec.Batch, error) {
	b, err := o.in.next(ctx)
	if err != nil || b == nil {
		return nil, err
	}
	cols, err := evalAll(ctx, o.f, o.exprs, b)
	if err != nil {
		return nil, err
	}
	return &vec.Batch{Len: b.Len, Columns: cols}, nil
}

func (o *projectOp) close() { o.in.close() }

// limitOp skips and then passes so many rows.
type limitOp struct {
	in   operator
	skip int64
	left int64 // negative: no limit
	copy bool  // the input is borrowed
}

// skipMany is from how many skipped rows on it pays to copy those that are passed on, so that the memory of the
// others can be used again.
const skipMany = 1 << 16

func newLimit(f *frame, n *plan.Limit) (operator, error) {
	in, err := build(f, n.Input)
	o := &limitOp{in: in, skip: n.Offset, left: n.N, copy: n.Offset >= skipMany}
	if o.copy && err == nil {
		borrow(in)
	}
	return o, err
}

func (o *limitOp) next(ctx context.Context) (*vec.Batch, error) {
	for o.left != 0 {
		b, err := o.in.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		if o.skip >= int64(b.Len) {
			o.skip -= int64(b.Len)
			continue
		}
		from, to := o.skip, int64(b.Len)
		if o.left > 0 && to-from > o.left {
			to = from + o.left
		}
		o.skip = 0
		if o.left > 0 {
			o.left -= to - from
		}
		if from > 0 || to < int64(b.Len) {
			b = b.Slice(int(from), int(to))
		}
		if o.copy {
			b = b.Gather(allRows(b.Len))
		}
		return b, nil
	}
	// The input is done with; its scan need not stay open.
	o.in.close()
	return nil, nil
}

func (o *limitOp) close() { o.in.close() }

// sharedRows is the rows of a shared subplan, once it has run.
type sharedRows struct {
	ready bool
	rows  *keptRows
	mem   charge
}

// drop lets go of the rows, if there are any.
func (s *sharedRows) drop() {
	if s.rows != nil {
		s.rows.drop()
	}
}

// sharedOp reads a shared subplan, which the first reader runs. Its rows stay as long as the query, or the run of the subquery
// whose parameters it reads.
type sharedOp struct {
	f      *frame
	n      *plan.Shared
	shared *sharedRows
	out    batches
}

func newShared(f *frame, n *plan.Shared) (operator, error) {
	home := &f.run.shared
	if plan.HasParams(n.Input) {
		home = &f.shared
		if *home == nil {
			*home = map[*plan.Shared]*sharedRows{}
		}
	}
	if (*home)[n] == nil {
		(*home)[n] = &sharedRows{mem: f.run.chargeOf(n)}
	}
	return &sharedOp{f: f, n: n, shared: (*home)[n]}, nil
}

func (o *sharedOp) next(ctx context.Context) (*vec.Batch, error) {
	if !o.shared.ready {
		if err := o.fill(ctx); err != nil {
			return nil, err
		}
	}
	if o.out == nil {
		o.out = o.shared.rows.read(o.f.run.opt.BatchRows)
	}
	return o.out.next(ctx)
}

// fill runs the subplan.
func (o *sharedOp) fill(ctx context.Context) error {
	in, err := build(o.f, o.n.Input)
	if err != nil {
		return err
	}
	defer in.close()
	s := o.shared
	s.drop() // what an attempt that failed has left
	s.rows = newKeptRows(o.f.run, o.n.Types(), &s.mem)
	if err := s.rows.addAll(ctx, in); err != nil {
		return err
	}
	if err := s.rows.finish(ctx); err != nil {
		return err
	}
	s.ready = true
	return nil
}

func (o *sharedOp) close() {
	if o.out != nil {
		o.out.close()
		o.out = noRows{}
	}
}

// drain reads in to its end and keeps its rows, charging them to c.
func drain(ctx context.Context, in operator, types []vec.Type, c *charge) (*rows, error) {
	borrow(in)
	kept := newRows(types)
	for {
		b, err := in.next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			return kept, nil
		}
		kept.append(b)
		if err := c.set(kept.sizeBytes()); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}
