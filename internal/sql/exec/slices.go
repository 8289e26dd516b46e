package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// slicesOp reads its input in slices of time (see [plan.TimeSlices]): an input per slice, until there are
// rows enough.
type slicesOp struct {
	f    *frame
	n    *plan.TimeSlices
	more func() (plan.Slice, bool)
	in   operator // of the slice that is read; nil before the first and between two
	rows int64    // given
}

func newSlices(f *frame, n *plan.TimeSlices) (operator, error) {
	if f.run.opt.NoPushdown {
		return build(f, n.Input)
	}
	return &slicesOp{f: f, n: n, more: n.Slices()}, nil
}

func (o *slicesOp) next(ctx context.Context) (*vec.Batch, error) {
	for {
		if o.in == nil {
			s, ok := o.more()
			if !ok || o.rows >= o.n.N {
				return nil, nil
			}
			if err := o.open(s); err != nil {
				return nil, err
			}
		}
		b, err := o.in.next(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			o.rows += int64(b.Len)
			return b, nil
		}
		o.close()
	}
}

func (o *slicesOp) open(s plan.Slice) error {
	n, origin := o.n.Within(s)
	if r := o.f.run; r.measures != nil {
		for slice, whole := range origin {
			r.measures[slice] = r.measureOf(whole)
		}
	}
	in, err := build(o.f, n)
	if err == nil {
		o.in = in
	}
	return err
}

func (o *slicesOp) close() {
	if o.in != nil {
		o.in.close()
		o.in = nil
	}
}
