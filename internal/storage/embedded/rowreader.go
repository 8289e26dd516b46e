package embedded

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// batchRows is how many rows of segments a batch has at most, unless they are of one span; chunks of the
// memory store of ownBatchRows are batches of their own, which share its slices.
const (
	batchRows    = 4096
	ownBatchRows = 256
)

// rowReader turns series into batches, for one goroutine.
type rowReader struct {
	w    worker
	room int
	free *freeBuffers

	lot  []series.ID // yet to be read
	id   series.ID   // being read
	runs []run       // of it, yet to be read
	due  span        // read after the buffer was handed on, if it has rows

	mixed    mixture // of a partition that is merged by time: it comes before runs
	reversed []int32
	into     *rowBuffer
}

// begin makes lot what next reads; what there was before was read to its end.
func (r *rowReader) begin(lot []series.ID) { r.lot = lot }

// nextOf returns the next batch of the lots.
func (r *rowReader) nextOf(ctx context.Context, l *lots) (b rowBatch, err error) {
	for err == nil {
		if b, err = r.next(ctx); b.Batch != nil {
			return b, err
		}
		lot := l.take()
		if lot == nil {
			break
		}
		r.begin(lot)
	}
	return rowBatch{}, err
}

// sendAll sends the batches of a lot.
func (r *rowReader) sendAll(ctx context.Context, out chan<- rowBatch) error {
	for {
		b, err := r.next(ctx)
		if err != nil || b.Batch == nil {
			return err
		}
		select {
		case out <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the next batch of the lot, or none at its end.
func (r *rowReader) next(ctx context.Context) (b rowBatch, err error) {
	err = surviving(func() error {
		b, err = r.read(ctx)
		return err
	})
	return b, err
}

func (r *rowReader) read(ctx context.Context) (rowBatch, error) {
	for {
		s, err := r.span(ctx)
		if err != nil {
			return rowBatch{}, err
		}
		n := s.rows()
		if left := r.mixed.order; len(left) > 0 {
			if r.into == nil {
				r.into = r.free.get(r.w.p, r.room)
			}
			n = max(0, min(len(left), batchRows-r.into.n))
			r.into.addMixed(r.mixed.rows, left[:n])
			if r.mixed.order = left[n:]; r.into.n < batchRows {
				continue
			}
			return r.handOn(), nil
		}
		if n == 0 {
			return r.handOn(), nil
		}
		own := n >= ownBatchRows && s.ofMemory()
		if r.into != nil && (own || r.into.n+n > batchRows) {
			r.due = s // its rows come after those of the buffer
			return r.handOn(), nil
		}
		if own {
			b, err := ownBatch(r.w.p, &s, r.id)
			return rowBatch{Batch: b}, err
		}
		if r.into == nil {
			r.into = r.free.get(r.w.p, r.room)
		}
		if err := r.into.add(&s, r.id); err != nil {
			return rowBatch{}, err
		}
	}
}

// span returns the next rows of the lot; it has none at the end, and where mixed rows come next.
func (r *rowReader) span(ctx context.Context) (span, error) {
	if s := r.due; s.rows() > 0 {
		r.due = span{}
		return s, nil
	}
	o := r.w.p.ordered
	backwards := o != nil && o.desc
	for {
		for len(r.runs) > 0 {
			s, err := r.w.narrow(r.runs[0])
			r.runs = r.runs[1:]
			if err == nil && backwards {
				r.reverse(&s)
			}
			if err != nil || s.rows() > 0 {
				return s, err
			}
		}
		if err := ctx.Err(); err != nil {
			return span{}, err
		}
		if len(r.mixed.order) > 0 {
			return span{}, nil
		}
		if len(r.mixed.open) > 0 {
			if err := r.mergeOn(); err != nil {
				return span{}, err
			}
			continue
		}
		if len(r.lot) == 0 {
			return span{}, nil
		}
		if o != nil && o.byTime {
			if n := o.partition(r.w.p.series, r.lot); n > 1 {
				if err := r.mix(r.lot[:n]); err != nil {
					return span{}, err
				}
				r.lot = r.lot[n:]
				continue
			}
		}
		r.id, r.lot = r.lot[0], r.lot[1:]
		var err error
		if r.runs, err = r.w.gather(r.id); err != nil {
			return span{}, err
		}
		if backwards {
			slices.Reverse(r.runs)
		}
	}
}

// handOn gives the rows in the buffer away, if there are any.
func (r *rowReader) handOn() rowBatch {
	into := r.into
	if into == nil {
		return rowBatch{}
	}
	r.into = nil
	return rowBatch{into.batch(), into}
}

// ofMemory reports whether all rows of the span are a chunk of the memory store.
func (s *span) ofMemory() bool {
	_, ok := s.run.(*memRun)
	return ok && !s.some
}

// ownBatch makes a batch of a chunk of the memory store.
func ownBatch(p *plan, s *span, id series.ID) (*vec.Batch, error) {
	n := s.rows()
	b := &vec.Batch{Len: n, Columns: make([]*vec.Vector, len(p.columns))}
	for i := range p.columns {
		c := &p.columns[i]
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			b.Columns[i] = constVector(c, p.series, id, n)
			continue
		}
		var v values
		if err := s.values(c, &v); err != nil {
			return nil, err
		}
		b.Columns[i] = v.vector(0, n)
	}
	return b, nil
}

func constVector(c *scanColumn, v *series.View, id series.ID, n int) *vec.Vector {
	code, ok := c.code(v, id)
	switch {
	case !ok:
		return vec.NullsOf(vec.VarcharType, n)
	case c.Role == storage.MeasureName:
		return vec.Const(vec.Str(v.Measures()[code]), n)
	}
	return vec.Const(vec.Str(c.dim.Values[code]), n)
}
