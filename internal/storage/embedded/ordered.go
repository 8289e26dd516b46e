package embedded

import (
	"math"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// Rows in an order that was asked for (see [storage.ScanSpec]) need no sorting where series are few to each tuple
// of the order's dimensions: the tuples are walked in order, and the rows of the series that share one, a
// partition, are merged by time. Series in another order than that of the files may cost more than it saves, and so may
// many that share a tuple: then the order is left to the caller.

// arrangement is the order of a plan's series. Those of a partition stand together.
type arrangement struct {
	columns []scanColumn // whose values series of a partition share
	byTime  bool         // the rows of a partition come by time; otherwise series by series
	desc    bool         // the latest first
}

// mixedRows is how many rows of a partition are put in order in memory; mergeWays is of how many series
// a partition of more rows may be, of which a block each is in memory then. Merging costs as much as sorting
// from about so many ways on.
const (
	mixedRows = 1 << 15
	mergeWays = 16
)

// arrange puts the plan's series in an order, unless that is not worth while.
func (p *plan) arrange(keys []storage.OrderKey) (bool, error) {
	a := &arrangement{columns: make([]scanColumn, len(keys))}
	for i, k := range keys {
		c, err := p.column(k.Column)
		if err != nil {
			return false, err
		}
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			a.columns[i] = c
		case storage.TimeColumn:
			if a.byTime = i == len(keys)-1; !a.byTime {
				return false, nil
			}
			a.desc, a.columns = k.Desc, a.columns[:i]
		default:
			return false, nil
		}
	}
	ids := slices.Clone(p.ids)
	for i := len(a.columns) - 1; i >= 0; i-- { // each keeps what the keys after it have put in order
		p.sortSeries(ids, &a.columns[i], keys[i])
	}
	if a.byTime && !p.mergeable(a, ids) || p.scattered(ids) {
		return false, nil
	}
	p.ids, p.ordered = ids, a
	return true, nil
}

// sortSeries sorts series by a dimension or the measure name; equal ones stay in their order.
func (p *plan) sortSeries(ids []series.ID, c *scanColumn, k storage.OrderKey) {
	ranks, n := p.ranks(ids, c, k)
	if slices.IsSorted(ranks) {
		return
	}
	at := make([]int32, n+1) // where the series of each rank go
	for _, r := range ranks {
		at[r+1]++
	}
	for r := range n {
		at[r+1] += at[r]
	}
	for i, id := range slices.Clone(ids) {
		r := ranks[i]
		ids[at[r]] = id
		at[r]++
	}
}

// ranks returns for each series where its value comes among the distinct ones, and how many there are.
func (p *plan) ranks(ids []series.ID, c *scanColumn, k storage.OrderKey) (ranks []int32, n int) {
	values := p.series.Measures()
	if c.Role == storage.Dimension {
		values = c.dim.Values
	}
	// Codes of values, and a last one for null. Few series need no table of all values.
	var rankOf func(code uint32) *int32
	if len(ids) <= fewSeries {
		ranks := map[uint32]*int32{}
		rankOf = func(code uint32) *int32 {
			r := ranks[code]
			if r == nil {
				r = new(int32)
				ranks[code] = r
			}
			return r
		}
	} else {
		ranks := make([]int32, len(values)+1)
		rankOf = func(code uint32) *int32 { return &ranks[code] }
	}
	null := uint32(len(values))
	codeOf := func(id series.ID) uint32 {
		if code, ok := c.code(p.series, id); ok {
			return code
		}
		return null
	}
	var distinct []uint32
	hasNull := false
	for _, id := range ids {
		code := codeOf(id)
		if r := rankOf(code); *r == 0 {
			*r = 1
			if code == null {
				hasNull = true
			} else {
				distinct = append(distinct, code)
			}
		}
	}
	slices.SortFunc(distinct, func(a, b uint32) int { return strings.Compare(values[a], values[b]) })
	if k.Desc {
		slices.Reverse(distinct)
	}
	if hasNull {
		at := len(distinct)
		if k.NullsFirst {
			at = 0
		}
		distinct = slices.Insert(distinct, at, null)
	}
	for r, code := range distinct {
		*rankOf(code) = int32(r)
	}
	ranks = make([]int32, len(ids))
	for i, id := range ids {
		ranks[i] = *rankOf(codeOf(id))
	}
	return ranks, len(distinct)
}

// partition returns how many of the series, which are in order, are of the same partition as the first.
func (a *arrangement) partition(v *series.View, ids []series.ID) int {
	n := 1
	for n < len(ids) && a.together(v, ids[n-1], ids[n]) {
		n++
	}
	return n
}

// together reports whether two series are of one partition.
func (a *arrangement) together(v *series.View, x, y series.ID) bool {
	for i := range a.columns {
		cx, hasX := a.columns[i].code(v, x)
		cy, hasY := a.columns[i].code(v, y)
		if hasX != hasY || cx != cy {
			return false
		}
	}
	return true
}

// mergeable reports whether the rows of each partition can be merged by time at a price.
func (p *plan) mergeable(a *arrangement, ids []series.ID) bool {
	for len(ids) > 0 {
		n := a.partition(p.series, ids)
		if n > mergeWays && !p.few(ids[:n]) {
			return false
		}
		ids = ids[n:]
	}
	return true
}

// few reports whether series have few enough rows in the plan's time range to put these in order in memory, as far as
// that is known without reading.
func (p *plan) few(ids []series.ID) bool {
	stores, rows := p.stores(), p.table.store.opts.mixedRows
	for _, id := range ids {
		rows -= p.atMost(id, p.from, p.to)
		for _, m := range stores {
			if s := m.Series(id); s != nil {
				rows -= s.Rows()
			}
		}
		if rows < 0 {
			return false
		}
	}
	return true
}

// rowsOf returns how many rows of a series are in blocks that overlap a time range.
func (s *segmentScan) rowsOf(id series.ID, from, to int64) int {
	n := s.find(id)
	if n < 0 || s.max[n] < from || s.min[n] >= to {
		return 0
	}
	rows := 0
	first, end := s.BlocksOf(n)
	for b := first; b < end; b++ {
		block := s.Block(b)
		if block.MaxTime < from || block.MinTime >= to {
			continue
		}
		if k, ok := slices.BinarySearchFunc(block.Runs, n, func(r segment.Run, n int32) int { return int(r.Series) - int(n) }); ok {
			rows += int(block.Runs[k].Rows)
		}
	}
	return rows
}

// scattered reports whether reading series in this order decodes the blocks that they share more than twice as
// often as reading them as they are stored. A worker keeps the latest two blocks of each segment.
func (p *plan) scattered(ids []series.ID) bool {
	for _, s := range p.segments {
		if int64(s.NumSeries())*segment.BlockRows/2 < s.Rows() {
			continue // most have blocks of their own
		}
		latest, before := -1, -1
		decoded, shared := 0, 0
		seen := make([]bool, s.NumBlocks())
		for _, id := range ids {
			n := s.find(id)
			if n < 0 {
				continue
			}
			from, to := s.BlocksOf(n)
			for b := from; b < to; b++ {
				if len(s.Block(b).Runs) == 1 || b == latest {
					continue
				}
				if b != before {
					decoded++
				}
				latest, before = b, latest
				if !seen[b] {
					seen[b] = true
					shared++
				}
			}
		}
		if decoded > 2*shared {
			return true
		}
	}
	return false
}

// mixture is rows of several series that are put in the order of time.
type mixture struct {
	rows  *rowBuffer // in stretches that are in order
	times []int64
	ends  []int   // of the stretches
	order []int32 // of the rows that are yet to be given

	open, idle []*cursor // of the partition in hand, if it is merged piece by piece; for use again
}

// timeColumn reads the time of rows.
var timeColumn = scanColumn{Column: storage.Column{Name: storage.TimeColumnName, Type: vec.TimestampType, Role: storage.TimeColumn}}

// add takes rows of a stretch.
func (m *mixture) add(s *span, id series.ID) error {
	var v values
	if err := s.values(&timeColumn, &v); err != nil {
		return err
	}
	m.times = append(m.times, v.ints...)
	return m.rows.add(s, id)
}

// end ends a stretch.
func (m *mixture) end() { m.ends = append(m.ends, len(m.times)) }

// clear forgets all rows.
func (m *mixture) clear(p *plan, room int) {
	if m.rows == nil {
		m.rows = (*freeBuffers)(nil).get(p, room)
	}
	m.rows.reset()
	m.times, m.ends = m.times[:0], m.ends[:0]
}

// settle finds the order of the rows.
func (m *mixture) settle(desc bool) {
	m.order = mergeStretches(m.times, m.ends)
	if desc {
		slices.Reverse(m.order)
	}
}

// mix takes the rows of a partition in hand, or begins to merge it if they are many.
func (r *rowReader) mix(ids []series.ID) error {
	p, m := r.w.p, &r.mixed
	if !p.few(ids) {
		return r.merge(ids)
	}
	m.clear(p, r.room)
	for _, id := range ids {
		runs, err := r.w.gather(id)
		if err != nil {
			return err
		}
		for _, run := range runs {
			s, err := r.w.narrow(run)
			if err != nil {
				return err
			}
			if s.rows() == 0 {
				continue
			}
			if err := m.add(&s, id); err != nil {
				return err
			}
		}
		m.end()
	}
	m.settle(p.ordered.desc)
	return nil
}

// merge begins to merge the rows of a partition of few series.
func (r *rowReader) merge(ids []series.ID) error {
	m := &r.mixed
	for _, id := range ids {
		if len(m.idle) == 0 {
			m.idle = append(m.idle, &cursor{w: worker{p: r.w.p}})
		}
		c := m.idle[len(m.idle)-1]
		more, err := c.start(id)
		if err != nil {
			return err
		}
		if more {
			m.open, m.idle = append(m.open, c), m.idle[:len(m.idle)-1]
		}
	}
	return r.mergeOn()
}

// mergeOn merges as far as the blocks in hand go in all series.
func (r *rowReader) mergeOn() error {
	p, m := r.w.p, &r.mixed
	if len(m.open) == 0 {
		return nil
	}
	horizon := m.open[0].horizon()
	for _, c := range m.open[1:] {
		if h := c.horizon(); p.ordered.desc && h > horizon || !p.ordered.desc && h < horizon {
			horizon = h
		}
	}
	m.clear(p, r.room)
	left := m.open[:0]
	for _, c := range m.open {
		more, err := c.take(m, horizon)
		if err != nil {
			return err
		}
		if more {
			left = append(left, c)
		} else {
			m.idle = append(m.idle, c)
		}
	}
	m.open = left
	m.settle(p.ordered.desc)
	return nil
}

// reverse makes a span give its rows the latest first.
func (r *rowReader) reverse(s *span) {
	n := s.rows()
	r.reversed = slices.Grow(r.reversed[:0], n)[:n]
	for i := range r.reversed {
		if s.some {
			r.reversed[i] = s.picked[n-1-i]
		} else {
			r.reversed[i] = int32(s.hi - 1 - i)
		}
	}
	s.some, s.picked = true, r.reversed
}

// cursor is a series that is merged with others: the rows of one run that are yet to be given.
type cursor struct {
	w     worker
	id    series.ID
	runs  []run // to come
	span  span
	times []int64 // of the span
}

// start begins a series; false: it has no rows.
func (c *cursor) start(id series.ID) (bool, error) {
	var err error
	c.id = id
	if c.runs, err = c.w.gather(id); err != nil {
		return false, err
	}
	if c.w.p.ordered.desc {
		slices.Reverse(c.runs)
	}
	return c.load()
}

// load takes the next run with rows in hand.
func (c *cursor) load() (bool, error) {
	for len(c.runs) > 0 {
		var err error
		if m, ok := c.runs[0].(*mergedRun); ok {
			m.built = map[int32]values{}
		}
		if c.span, err = c.w.narrow(c.runs[0]); err != nil {
			return false, err
		}
		c.runs = c.runs[1:]
		if c.span.rows() == 0 {
			continue
		}
		var v values
		if err := c.span.values(&timeColumn, &v); err != nil {
			return false, err
		}
		c.times = v.ints
		return true, nil
	}
	return false, nil
}

// horizon is the time of the last row in hand, in the order that is asked for.
func (c *cursor) horizon() int64 {
	if c.w.p.ordered.desc {
		return c.times[0]
	}
	return c.times[len(c.times)-1]
}

// take gives the rows up to the horizon, and takes others in hand if these were all; false: there are none.
func (c *cursor) take(m *mixture, horizon int64) (bool, error) {
	n := len(c.times)
	from, to := 0, n
	if c.w.p.ordered.desc {
		from, _ = slices.BinarySearch(c.times, horizon)
	} else if horizon < math.MaxInt64 {
		to, _ = slices.BinarySearch(c.times, horizon+1)
	}
	if from == to {
		return true, nil
	}
	taken := c.span.part(from, to)
	if err := m.add(&taken, c.id); err != nil {
		return false, err
	}
	m.end()
	if to-from == n {
		return c.load()
	}
	if from == 0 {
		c.span, c.times = c.span.part(to, n), c.times[to:]
	} else {
		c.span, c.times = c.span.part(0, from), c.times[:from]
	}
	return true, nil
}

// part is rows from <= i < to of a span.
func (s *span) part(from, to int) span {
	out := *s
	if s.some {
		out.picked = s.picked[from:to]
		return out
	}
	out.lo, out.hi = s.lo+from, s.lo+to
	return out
}

// mergeStretches returns the order of times that are ascending in stretches, of which ends are the ends: pairs of
// neighbours are merged until one is left.
func mergeStretches(times []int64, ends []int) []int32 {
	order, other := make([]int32, len(times)), make([]int32, len(times))
	for i := range order {
		order[i] = int32(i)
	}
	ends = slices.Clone(ends)
	for len(ends) > 1 {
		from, merged := 0, ends[:0]
		for i := 0; i < len(ends); i += 2 {
			middle, end := ends[i], ends[min(i+1, len(ends)-1)]
			mergePair(times, order[from:middle], order[middle:end], other[from:end])
			merged, from = append(merged, end), end
		}
		ends = merged
		order, other = other, order
	}
	return order
}

// mergePair merges two ascending lists of rows; of equal times those of a come first.
func mergePair(times []int64, a, b, out []int32) {
	for k := range out {
		switch {
		case len(b) == 0 || len(a) > 0 && times[a[0]] <= times[b[0]]:
			out[k], a = a[0], a[1:]
		default:
			out[k], b = b[0], b[1:]
		}
	}
}
