package embedded

import (
	"context"
	"math/bits"
	"slices"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// aggColumn is one aggregate of a plan.
type aggColumn struct {
	fn storage.AggFunc
	scanColumn
}

// aggregator computes the partial aggregates of a scan, one per worker. Series are mapped to groups before it
// begins (grouping.go); states has a slot for each group and bin (states.go). Runs of rows that lie in one slot are answered from
// the statistics of their blocks (blockaggregate.go), the others are decoded and added bin by bin (accumulate.go, moments.go);
// where only the first or last row of each series counts, no others are looked at (edges.go).
type aggregator struct {
	worker
	st      *states
	columns []values // of the span at hand, by aggregate
	times   []int64
	cuts    []cut
	bins    []int64 // new ones of the span at hand
	guess   int     // rows of the last bin: where to look for the end of the next
	edges   edges
	end     [1]int64 // time of the row at hand that is the last of a series, or the first
}

func newAggregator(p *plan, g *grouping) *aggregator {
	return &aggregator{worker: newWorker(p), st: newStates(p, g), columns: make([]values, len(p.aggs)), edges: edgesOf(p)}
}

// series adds the rows of one series.
func (a *aggregator) series(id series.ID, group uint32) error {
	if a.edges.outer {
		if done, err := a.outermost(id, group); done || err != nil {
			return err
		}
	}
	runs, err := a.gather(id)
	if err != nil {
		return err
	}
	if a.edges.only {
		if a.edges.last {
			if err := a.edge(id, group, runs, true); err != nil {
				return err
			}
		}
		if a.edges.first {
			return a.edge(id, group, runs, false)
		}
		return nil
	}
	for _, r := range runs {
		if done, err := a.whole(r, id, group); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		s, err := a.narrow(r)
		if err != nil {
			return err
		}
		if s.rows() == 0 {
			continue
		}
		if err := a.span(&s, id, group); err != nil {
			return err
		}
	}
	return nil
}

func (a *aggregator) bin(t int64) int64 {
	width := a.p.bin
	if width == 0 {
		return 0
	}
	q := t / width
	if t%width < 0 {
		q--
	}
	return q * width
}

// load reads the columns that the aggregates need for the rows of a span.
func (a *aggregator) load(s *span, id series.ID) error {
	needTimes := a.p.bin > 0
	for i := range a.st.cols {
		fn := a.st.cols[i].fn
		needTimes = needTimes || fn == storage.First || fn == storage.Last
		if err := a.loadColumn(s, id, i); err != nil {
			return err
		}
	}
	if !needTimes {
		return nil
	}
	times, err := s.times()
	if err != nil {
		return err
	}
	if s.some {
		a.times = pickFrom(times, s.picked)
	} else {
		a.times = times[s.lo:s.hi]
	}
	return nil
}

// loadColumn reads the column of aggregate i, if an earlier one has not.
func (a *aggregator) loadColumn(s *span, id series.ID, i int) error {
	c, v := &a.st.cols[i], &a.columns[i]
	if c.fn == storage.CountRows {
		return nil
	}
	for k := range i {
		if a.st.cols[k].fn != storage.CountRows && a.st.cols[k].Name == c.Name {
			*v = a.columns[k]
			return nil
		}
	}
	if c.Role == storage.Dimension || c.Role == storage.MeasureName {
		a.constant(c, id, v)
		return nil
	}
	return s.numbers(&c.scanColumn, v)
}

// constant is the value of a dimension or the measure name as a column; for the
// time column it is an empty one.
func (a *aggregator) constant(c *stateColumn, id series.ID, v *values) {
	*v = values{kind: c.Type.Kind}
	switch c.Role {
	case storage.MeasureName:
		v.constant, v.strs = true, []string{a.p.series.Measure(id)}
	case storage.Dimension:
		if code, ok := c.dim.Code(id); ok {
			v.constant, v.strs = true, []string{c.dim.Values[code]}
		} else {
			v.allNull = true
		}
	}
}

// span adds the rows of a span, bin by bin.
func (a *aggregator) span(s *span, id series.ID, group uint32) error {
	if err := a.load(s, id); err != nil {
		return err
	}
	n := s.rows()
	a.cuts, a.bins = a.cuts[:0], a.bins[:0]
	switch {
	case a.p.bin == 0:
		a.cuts = append(a.cuts, cut{a.st.slot(id, group, 0), n})
	case a.st.slots == nil:
		a.cutNew(n, id)
	default:
		for lo := 0; lo < n; {
			bin := a.bin(a.times[lo])
			lo = a.endOfBin(lo, n, bin)
			a.cuts = append(a.cuts, cut{a.st.slot(id, group, bin), lo})
		}
	}
	for i := range a.st.cols {
		if err := a.st.cols[i].addCuts(a.cuts, &a.columns[i], a.times); err != nil {
			return err
		}
	}
	return nil
}

// cutNew makes slots for the bins of n rows, without a map: only the first may be there
// already, as the last one.
func (a *aggregator) cutNew(n int, id series.ID) {
	next := a.st.len()
	if first, last := a.times[0]/a.p.bin, a.times[n-1]/a.p.bin; first <= last {
		most := int(min(uint64(last)-uint64(first), uint64(n-1))) + 2 // bins of times around 0 may be one more
		a.cuts, a.bins = slices.Grow(a.cuts, most), slices.Grow(a.bins, most)
	}
	for lo := 0; lo < n; {
		bin := a.bin(a.times[lo])
		lo = a.endOfBin(lo, n, bin)
		if len(a.cuts) == 0 && next > 0 && a.st.bins[next-1] == bin && a.st.ids[next-1] == id {
			a.cuts = append(a.cuts, cut{next - 1, lo})
			continue
		}
		a.cuts = append(a.cuts, cut{next + len(a.bins), lo})
		a.bins = append(a.bins, bin)
	}
	a.st.extend(id, a.bins...)
}

// endOfBin returns the first row of a.times[lo:n] past the bin. Bins mostly have as
// many rows as the one before; else gallop.
func (a *aggregator) endOfBin(lo, n int, bin int64) int {
	end := bin + a.p.bin
	if end < bin { // past the end of time
		return n
	}
	t := a.times
	if at := lo + a.guess; at <= n && at > lo && t[at-1] < end && (at == n || t[at] >= end) {
		return at
	}
	step := 1
	at := lo + 1
	for at+step <= n && t[at+step-1] < end {
		at += step
		step *= 2
	}
	for step = 1 << max(0, bits.Len(uint(step))-1); step > 0; step /= 2 {
		if at+step <= n && t[at+step-1] < end {
			at += step
		}
	}
	a.guess = at - lo
	return at
}

// aggregateScanner gives the partial aggregates of a scan.
type aggregateScanner struct {
	p       *plan
	applied storage.Applied
	pool    *pool
}

func newAggregateScanner(p *plan, applied storage.Applied) *aggregateScanner {
	g := newGrouping(p)
	s := &aggregateScanner{p: p, applied: applied}
	s.pool = newPool(p, len(p.ids), func(ctx context.Context, take func() (int, int), emit func(*vec.Batch) error) error {
		return aggregate(ctx, p, g, take, emit)
	})
	g.final = (g.oneEach || s.pool.alone) && !p.hasMoments()
	s.applied.Final = g.final
	return s
}

func (s *aggregateScanner) Applied() storage.Applied { return s.applied }

func (s *aggregateScanner) Next(ctx context.Context) (*vec.Batch, error) { return s.pool.next(ctx) }

func (s *aggregateScanner) Stats() storage.ScanStats { return s.p.report() }

func (s *aggregateScanner) Close() { s.pool.close() }

// aggregateBatchRows is when the partials of series that are groups of their own are
// handed on.
const aggregateBatchRows = 8192

func aggregate(ctx context.Context, p *plan, g *grouping, take func() (int, int), emit func(*vec.Batch) error) error {
	a := newAggregator(p, g)
	defer a.release()
	for {
		from, to := take()
		if from == to {
			break
		}
		for i := from; i < to; i++ {
			if i&15 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := a.series(p.ids[i], g.of[i]); err != nil {
				return err
			}
			if a.st.full() {
				if err := emit(a.st.batch()); err != nil {
					return err
				}
			}
		}
	}
	if a.st.len() > 0 {
		return emit(a.st.batch())
	}
	return nil
}
