package embedded

import (
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// edges says whether one or two rows per series answer: aggregates are only Last and the
// greatest time, or First and the least time, without bins.
type edges struct{ only, first, last bool }

func edgesOf(p *plan) edges {
	e := edges{only: p.bin == 0 && len(p.aggs) > 0}
	for i := range p.aggs {
		first, last := p.aggs[i].edge()
		e.first, e.last = e.first || first, e.last || last
		e.only = e.only && (first || last)
	}
	return e
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
	for k := range a.st.cols {
		c := &a.st.cols[k]
		if first, isLast := c.edge(); last && !isLast || !last && !first {
			continue
		}
		var v values
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			a.constant(c, id, &v)
		case storage.TimeColumn:
			v = values{kind: vec.Timestamp, ints: []int64{at}}
		default:
			if err := one.numbers(&c.scanColumn, &v); err != nil {
				return err
			}
		}
		if err := c.addRows(slot, &v, []int64{at}, 0, 1); err != nil {
			return err
		}
	}
	return nil
}
