package embedded

import (
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// edges says whether one or two rows per series answer: aggregates are only Last and the
// greatest time, or First and the least time, without bins.
type edges struct {
	only, first, last bool
	outer             bool // one of both ends, with nothing that rows are left out for: see outermost
}

func edgesOf(p *plan) edges {
	e := edges{only: p.bin == 0 && len(p.aggs) > 0}
	for i := range p.aggs {
		first, last := p.aggs[i].edge()
		e.first, e.last = e.first || first, e.last || last
		e.only = e.only && (first || last)
	}
	e.outer = e.only && e.first != e.last && len(p.tests) == 0 && len(p.deletes) == 0
	return e
}

// outermost answers the last row of a series, or the first, from the one source that has it, without a look at its runs in others, if the ends of
// its times in all of them tell which one that is. It reports whether they do. Of a million series with a few rows
// in each of some segments, most of the work was to put the runs together.
func (a *aggregator) outermost(id series.ID, group uint32) (done bool, err error) {
	o := outerSource{last: a.edges.last}
	for _, s := range a.p.segments {
		if n := s.find(id); n >= 0 {
			at := s.min[n]
			if o.last {
				at = s.max[n]
			}
			if o.offer(at) {
				o.segment, o.series = s, n
			}
		}
	}
	stored := func(m *memstore.Store) (known bool) {
		s := m.Series(id)
		if s == nil {
			return true
		}
		if o.last && o.offer(s.LastTime()) {
			o.segment, o.store = nil, m
		}
		return o.last // where a series begins in memory is not known without a look
	}
	for _, f := range a.p.view.frozen {
		if !stored(f.Store) {
			return false, nil
		}
	}
	if m := a.p.view.active; m != nil && !stored(m) {
		return false, nil
	}
	if !o.any || o.tied || o.at < a.p.from || o.at >= a.p.to {
		return false, nil
	}
	a.begin()
	if err := o.appendRuns(&a.worker, id); err != nil {
		return false, err
	}
	return true, a.edge(id, group, a.runs, o.last)
}

// outerSource is where the last row of a series is, or the first.
type outerSource struct {
	last, any bool
	tied      bool // several sources have a row of that time: the higher version counts
	at        int64
	segment   *segmentScan // or else store
	series    int32        // of the segment
	store     *memstore.Store
}

// offer reports whether a source that ends, or begins, at a time comes before those offered so far.
func (o *outerSource) offer(at int64) bool {
	if o.any && at == o.at {
		o.tied = true
	}
	if o.any && (at == o.at || (at < o.at) == o.last) {
		return false
	}
	o.any, o.tied, o.at = true, false, at
	return true
}

// appendRuns adds the outermost run of a series, or all of a memory store: a row of a later time, which the scan does not want, may
// have begun another chunk meanwhile.
func (o *outerSource) appendRuns(w *worker, id series.ID) error {
	if o.segment == nil {
		w.chunks = appendChunks(w.chunks, o.store, id)
		w.mem = slices.Grow(w.mem, len(w.chunks)) // no growth below: runs point into it
		for _, c := range w.chunks {
			w.mem = append(w.mem, memRun{c: c})
			w.runs = append(w.runs, &w.mem[len(w.mem)-1])
		}
		return nil
	}
	from, to := w.blocksOf(o.segment, o.series)
	b := from
	if o.last {
		b = to - 1
	}
	r, err := o.segment.runIn(w, o.series, b, to-from == 1)
	if err == nil {
		w.runs = append(w.runs, r)
	}
	return err
}

// edge reports whether the first or the last row of a series answers the aggregate.
func (c *aggColumn) edge() (first, last bool) {
	time := c.Role == storage.TimeColumn && c.fn != storage.CountRows
	return c.fn == storage.First || time && c.fn == storage.Min, c.fn == storage.Last || time && c.fn == storage.Max
}

// edge answers the aggregates of the last row of a series, or of the first.
func (a *aggregator) edge(id series.ID, group uint32, runs []run, last bool) error {
	for k := range runs {
		r := runs[k]
		if last {
			r = runs[len(runs)-1-k]
		}
		if a.edgeFromStats(r, id, group, last) {
			return nil
		}
		s, err := a.narrow(r)
		if err != nil {
			return err
		}
		n := s.rows()
		if n == 0 {
			continue
		}
		at := 0
		if last {
			at = n - 1
		}
		if s.some {
			at = int(s.picked[at])
		} else {
			at += s.lo
		}
		return a.edgeRow(&s, at, id, group, last)
	}
	return nil
}

// edgeFromStats answers from statistics if the last row of a run, or the first, is in the time
// range and known, and reports whether.
func (a *aggregator) edgeFromStats(r run, id series.ID, group uint32, last bool) bool {
	_, minTime, maxTime := r.span()
	at := minTime
	if last {
		at = maxTime
	}
	if len(a.p.tests) > 0 || at < a.p.from || at >= a.p.to {
		return false
	}
	wanted := func(c *stateColumn) bool {
		first, isLast := c.edge()
		return last && isLast || !last && first
	}
	stored := func(c *stateColumn) bool { return c.Role == storage.Attribute || c.Role == storage.MeasureValue }
	for i := range a.st.cols {
		c := &a.st.cols[i]
		if !wanted(c) || !stored(c) {
			continue
		}
		if s := statsOf(r, c); s == nil || last && s.last == nil || !last && s.first == nil {
			return false
		}
	}
	a.p.stats.rows.Add(1)
	slot := a.edgeSlot(id, group)
	for i := range a.st.cols {
		c := &a.st.cols[i]
		switch {
		case !wanted(c):
		case stored(c) && last:
			c.offerStored(slot, statsOf(r, c).last, at)
		case stored(c):
			c.offerStored(slot, statsOf(r, c).first, at)
		default:
			var v values
			if a.constant(c, id, &v); c.Role == storage.TimeColumn {
				v.ints = []int64{at}
			}
			// Neither counts nor sums, so it cannot overflow.
			_ = c.addRows(slot, &v, []int64{at}, 0, 1)
		}
	}
	return true
}

// edgeSlot returns the slot of a series, which has one for both of its edges.
func (a *aggregator) edgeSlot(id series.ID, group uint32) int {
	if n := a.st.len(); a.st.slots == nil && n > 0 && a.st.ids[n-1] == id {
		return n - 1
	}
	return a.st.slot(id, group, 0)
}

// edgeRow adds row i of a run as the last or first one.
func (a *aggregator) edgeRow(s *span, i int, id series.ID, group uint32, last bool) error {
	n, minTime, maxTime := s.span()
	at := minTime
	switch i {
	case 0:
	case n - 1:
		at = maxTime
	default:
		times, err := s.times()
		if err != nil {
			return err
		}
		at = times[i]
	}
	slot := a.edgeSlot(id, group)
	one := span{run: s.run, lo: i, hi: i + 1}
	a.end[0] = at
	v := &a.scratch
	for k := range a.st.cols {
		c := &a.st.cols[k]
		if first, isLast := c.edge(); last && !isLast || !last && !first {
			continue
		}
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			a.constant(c, id, v)
		case storage.TimeColumn:
			*v = values{kind: vec.Timestamp, ints: a.end[:]}
		default:
			if err := one.numbers(&c.scanColumn, v); err != nil {
				return err
			}
		}
		if err := c.addRows(slot, v, a.end[:], 0, 1); err != nil {
			return err
		}
	}
	return nil
}
