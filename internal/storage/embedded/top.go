package embedded

import (
	"cmp"
	"container/heap"
	"context"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// maxTopRows is the greatest limit for which rows are given newest first.
const maxTopRows = 10_000

// topScanner gives the newest rows of a scan, newest first.
type topScanner struct {
	p       *plan
	applied storage.Applied
	done    bool
	closed  bool
}

func newTopScanner(p *plan, applied storage.Applied) *topScanner {
	return &topScanner{p: p, applied: applied}
}

func (s *topScanner) Applied() storage.Applied { return s.applied }

func (s *topScanner) Stats() storage.ScanStats { return s.p.report() }

func (s *topScanner) Close() {
	if !s.closed {
		s.closed = true
		s.p.release()
	}
}

// topRow is a row kept so far.
type topRow struct {
	time int64
	id   series.ID
	run  run
	at   int
}

// topHeap has the oldest row on top.
type topHeap []topRow

func (h topHeap) Len() int           { return len(h) }
func (h topHeap) Less(i, j int) bool { return h[i].time < h[j].time }
func (h topHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *topHeap) Push(x any)        { *h = append(*h, x.(topRow)) }
func (h *topHeap) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

func (s *topScanner) Next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, cancelled(err)
	}
	if s.done || s.closed {
		return nil, nil
	}
	s.done = true
	var top topHeap
	w := worker{p: s.p, keep: true}
	for i, id := range s.p.ids {
		if i&15 == 0 && ctx.Err() != nil {
			return nil, cancelled(ctx.Err())
		}
		if err := top.series(&w, id, int(s.p.limit)); err != nil {
			return nil, err
		}
	}
	if len(top) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(top, func(a, b topRow) int { return cmp.Compare(b.time, a.time) })
	return top.batch(s.p)
}

// series offers the rows of a series, newest first, until the heap wants no more.
func (h *topHeap) series(w *worker, id series.ID, limit int) error {
	runs, err := w.gather(id)
	if err != nil {
		return err
	}
	for k := len(runs) - 1; k >= 0; k-- {
		_, _, newest := runs[k].span()
		if len(*h) == limit && newest <= (*h)[0].time {
			return nil
		}
		s, err := w.narrow(runs[k])
		if err != nil {
			return err
		}
		if s.rows() == 0 {
			continue
		}
		times, err := s.times()
		if err != nil {
			return err
		}
		for n := s.rows() - 1; n >= 0; n-- {
			at := s.lo + n
			if s.some {
				at = int(s.picked[n])
			}
			switch {
			case len(*h) < limit:
				heap.Push(h, topRow{times[at], id, s.run, at})
			case times[at] > (*h)[0].time:
				(*h)[0] = topRow{times[at], id, s.run, at}
				heap.Fix(h, 0)
			default:
				return nil
			}
		}
	}
	return nil
}

// batch reads the columns of the rows kept.
func (h topHeap) batch(p *plan) (*vec.Batch, error) {
	ids := make([]series.ID, len(h))
	for i := range h {
		ids[i] = h[i].id
	}
	b := &vec.Batch{Len: len(h), Columns: make([]*vec.Vector, len(p.columns))}
	for i := range p.columns {
		c := &p.columns[i]
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			b.Columns[i] = c.keyVector(p.series, ids)
		case storage.TimeColumn:
			times := make([]int64, len(h))
			for k := range h {
				times[k] = h[k].time
			}
			b.Columns[i] = vec.OfInts(vec.TimestampType, times, nil)
		default:
			var err error
			if b.Columns[i], err = h.column(c); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (h topHeap) column(c *scanColumn) (*vec.Vector, error) {
	read := map[run]*values{}
	out := values{kind: c.col.Kind}
	for k := range h {
		v := read[h[k].run]
		if v == nil {
			v = &values{}
			if err := h[k].run.column(c.col, v); err != nil {
				return nil, err
			}
			read[h[k].run] = v
		}
		one := v.gather([]int32{int32(h[k].at)})
		out.append(&one, k, 1)
	}
	return out.vector(0, len(h)), nil
}
