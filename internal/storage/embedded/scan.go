package embedded

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vec"
)

// plan is a scan made ready: names resolved, series chosen, time range narrowed.
// It is shared by the scan's workers and not modified once they run.
type plan struct {
	table    *table
	view     *view
	series   *series.View
	schema   *observed
	from, to int64
	ids      []series.ID // that may have rows
	tests    []valueTest
	columns  []scanColumn // of rows
	keys     []scanColumn // of an aggregation
	aggs     []aggColumn
	bin      int64 // width of the time key, 0 if there is none
	limit    int64
	bound    *boundTest     // or nil
	segments []*segmentScan // that overlap the time range, oldest first
	deletes  []subjected    // that sources may be subject to
	cleared  wal.Position   // of a plan whose rows become a segment: deletions up to here are done
	held     []*segmentFile // besides segments, of a deletion that is counted
	reads    *reads         // of a scan: see away.go
	ordered  *arrangement   // of ids, if rows are to come in an order

	rowBytes int64 // decoded bytes per row of the columns read, as metering counts them
	stats    scanStats
}

// scanStats is storage.ScanStats under concurrent workers.
type scanStats struct {
	rows, bytes, seriesRead, seriesSkipped, segmentsRead, segmentsSkipped, blocksRead, blocksSkipped atomic.Int64

	blocks atomic.Int64 // of the segments read; only those of wanted series are skipped one by one
}

// scanColumn is a column of the table as a scan reads it.
type scanColumn struct {
	storage.Column
	col memstore.Col      // of value columns
	dim *series.Dimension // of dimensions

	dictionary *keyDictionary // of dimensions and measure names
}

// Scan implements [storage.Table].
func (t *table) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	return t.scan(ctx, spec, math.MaxInt64)
}

// ScanPrompt implements [storage.PromptScanner]. It takes no scan of a store of which a part is in a bucket, whose answers may
// take long.
func (t *table) ScanPrompt(ctx context.Context, spec storage.ScanSpec, effort int64) (storage.Scanner, error) {
	if t.store.remote != nil {
		return nil, nil
	}
	return t.scan(ctx, spec, effort)
}

// scan returns nil where more than most values would be looked at.
func (t *table) scan(ctx context.Context, spec storage.ScanSpec, most int64) (storage.Scanner, error) {
	if t.dropped.Load() {
		return nil, t.gone()
	}
	p, err := t.plan(ctx, &spec)
	if err != nil {
		return nil, err
	}
	if most < math.MaxInt64 && p.lookedAt(spec.Aggregation != nil) > most {
		p.release()
		return nil, nil
	}
	applied := storage.Applied{Where: slices.Repeat([]bool{true}, len(spec.Where))}
	switch {
	case spec.Aggregation != nil:
		applied.Aggregation = true
		return p.away(newAggregateScanner(p, applied)), nil
	case spec.NewestFirst && spec.Limit > 0 && spec.Limit <= maxTopRows:
		applied.NewestFirst = true
		return p.away(newTopScanner(p, applied)), nil
	case len(spec.Order) > 0:
		if applied.Order, err = p.arrange(spec.Order); err != nil {
			p.release()
			return nil, err
		}
		if !applied.Order {
			p.limit = 0 // the first rows in that order may be any of all
		}
	}
	return p.away(newRowScanner(p, applied, spec.Reuse)), nil
}

func (t *table) plan(ctx context.Context, spec *storage.ScanSpec) (*plan, error) {
	rules := t.rules.Load()
	p := &plan{table: t, schema: t.observed.Load(), limit: spec.Limit, reads: &reads{},
		from: max(spec.From, rules.low, rules.policy.Expiry(t.store.clock.Now())), to: spec.To}
	if err := p.prepare(ctx, spec); err != nil {
		p.release()
		p.reads.end()
		return nil, err
	}
	return p, nil
}

func (p *plan) prepare(ctx context.Context, spec *storage.ScanSpec) error {
	testTime := make([]bool, len(spec.Where))
	for i := range spec.Where {
		if w := &spec.Where[i]; w.Column == storage.TimeColumnName {
			testTime[i] = narrowTime(w, &p.from, &p.to)
		}
	}
	// Opening segments registers their series, so the view of these comes after.
	p.view = &view{}
	if p.from < p.to {
		if err := p.openSegments(ctx); err != nil {
			return err
		}
	}
	p.series = p.table.registry.View()
	p.subject(p.view.deletes)
	var err error
	if p.columns, err = p.resolve(spec.Columns); err != nil {
		return err
	}
	var onSeries []storage.Predicate
	for i := range spec.Where {
		w := &spec.Where[i]
		c, err := p.column(w.Column)
		if err != nil {
			return err
		}
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			onSeries = append(onSeries, *w)
		case storage.TimeColumn:
			if testTime[i] {
				p.tests = append(p.tests, valueTest{p: w, onTime: true, col: memstore.Col{ID: -1, Kind: vec.Timestamp}})
			}
		default:
			p.tests = append(p.tests, valueTest{p: w, col: c.col})
		}
	}
	if spec.Bound != nil && spec.Aggregation == nil {
		c, err := p.column(spec.Bound.Column)
		if err != nil {
			return err
		}
		p.bound = newBoundTest(spec.Bound, &c)
	}
	if spec.Aggregation != nil {
		if err := p.aggregation(spec.Aggregation); err != nil {
			return err
		}
	}
	p.rowBytes = 8 * int64(len(p.columns)+len(p.tests)+len(p.aggs))
	if p.from < p.to {
		p.ids = selectSeries(p.table.registry, p.series, onSeries)
		p.stats.seriesRead.Store(int64(len(p.ids)))
		p.stats.seriesSkipped.Store(int64(p.series.Len() - len(p.ids)))
		p.order()
	}
	return nil
}

func (p *plan) resolve(names []string) ([]scanColumn, error) {
	columns := make([]scanColumn, len(names))
	for i, name := range names {
		c, err := p.column(name)
		if err != nil {
			return nil, err
		}
		columns[i] = c
	}
	return columns, nil
}

func (p *plan) column(name string) (scanColumn, error) {
	at := p.schema.Lookup(name)
	if at < 0 {
		return scanColumn{}, fault.New(fault.Invalid, "The column %s does not exist.", name)
	}
	c := scanColumn{Column: p.schema.Columns[at]}
	switch c.Role {
	case storage.Dimension:
		d := p.series.Dimension(name)
		c.dim, c.dictionary = &d, &keyDictionary{}
	case storage.MeasureName:
		c.dictionary = &keyDictionary{}
	case storage.Attribute, storage.MeasureValue:
		c.col = memstore.Col{ID: p.schema.ids[at], Kind: c.Type.Kind}
	}
	return c, nil
}

func (p *plan) aggregation(a *storage.Aggregation) error {
	p.keys, p.aggs = make([]scanColumn, 0, len(a.Keys)), make([]aggColumn, 0, len(a.Aggs))
	for _, k := range a.Keys {
		c, err := p.column(k.Column)
		if err != nil {
			return err
		}
		switch {
		case c.Role == storage.TimeColumn && k.BinNs > 0 && p.bin == 0:
			p.bin = k.BinNs
		case c.Role != storage.Dimension && c.Role != storage.MeasureName:
			return fault.New(fault.Invalid, "The column %s cannot be a key of storage's aggregation.", k.Column)
		}
		p.keys = append(p.keys, c)
	}
	for _, agg := range a.Aggs {
		c := aggColumn{fn: agg.Func}
		if agg.Func != storage.CountRows {
			var err error
			if c.scanColumn, err = p.column(agg.Column); err != nil {
				return err
			}
			summed := agg.Func == storage.Sum || agg.Func == storage.Moments
			if k := c.Type.Kind; summed && k != vec.Double && k != vec.Bigint {
				return fault.New(fault.Invalid, "The column %s cannot be summed.", agg.Column)
			}
		}
		p.aggs = append(p.aggs, c)
	}
	return nil
}

// worker reads series for one goroutine.
type worker struct {
	p      *plan
	runs   []run
	mem    []memRun
	chunks []memstore.Chunk
	ends   []int // of each frozen store's chunks

	blocks     []*blockData // of one series each, for use again
	usedBlocks int
	spare      []*blockData // not used yet, of earlier scans

	segmentRuns []*segmentRun
	usedRuns    int
	shared      [][2]*blockData // of several series: the latest two of each segment
	near        []int           // the block of each segment that was asked for last
	keep        bool            // runs stay valid: decode into new buffers

	tests   []valueTest // those of the plan, and of its bound
	bound   valueTest   // of boundAt
	boundAt *vec.Value

	rowMask []bool
	picked  []int32
	scratch values
}

// stores returns the memory stores that the plan reads.
func (p *plan) stores() []*memstore.Store {
	stores := make([]*memstore.Store, 0, 1+len(p.view.frozen))
	for _, f := range p.view.frozen {
		stores = append(stores, f.Store)
	}
	if p.view.active != nil {
		stores = append(stores, p.view.active)
	}
	return stores
}

// effort is about how many values a scan reads, as far as that is known without looking.
func (p *plan) effort() int64 {
	return p.effortRows() * int64(max(1, len(p.columns)+len(p.aggs)+len(p.tests)))
}

// lookedAt is the effort, unless the blocks of an aggregation are answered from their statistics: then one of some
// thousand rows counts as four, and each series for its ends.
func (p *plan) lookedAt(aggregated bool) int64 {
	decoded := !aggregated || p.bin > 0 || len(p.tests) > 0
	for _, m := range p.stores() {
		decoded = decoded || m.Rows() > 0
	}
	if decoded {
		return p.effort()
	}
	return max(p.effort()/250, 10*int64(len(p.ids)*len(p.aggs)))
}

// effortRows is about how many rows a scan looks at.
func (p *plan) effortRows() int64 {
	rows := 0.0
	within := func(n, least, most int64, series int) {
		if n == 0 || series == 0 {
			return
		}
		part := 1.0
		if span := float64(most) - float64(least); span > 0 {
			part = (float64(min(most, p.to)) - float64(max(least, p.from))) / span
		}
		rows += float64(n) * min(max(part, 0), 1) * min(1, float64(len(p.ids))/float64(series))
	}
	for _, s := range p.segments {
		least, most := s.Span()
		within(s.Rows(), least, most, s.NumSeries())
	}
	for _, m := range p.stores() {
		least, most := m.Times()
		within(m.Rows(), least, most, int(m.SeriesCount()))
	}
	return int64(min(rows, 1<<50))
}

// workerEffort is what makes another worker worth its start.
const workerEffort = 50_000

// workers returns how many goroutines should share the scan.
func (p *plan) workers() int {
	return int(max(1, min(int64(runtime.GOMAXPROCS(0)), int64(len(p.ids)), p.effort()/workerEffort)))
}

// span is a stretch of a run that a scan reads: rows lo <= i < hi, or of these only
// those picked.
type span struct {
	run
	lo, hi int
	some   bool    // only the picked rows
	picked []int32 // valid until the next span
}

func (s *span) rows() int {
	if s.some {
		return len(s.picked)
	}
	return s.hi - s.lo
}

// begin makes the worker ready for another series: runs of the one before are not valid any more.
func (w *worker) begin() {
	w.runs, w.chunks, w.mem, w.usedBlocks, w.usedRuns = w.runs[:0], w.chunks[:0], w.mem[:0], 0, 0
}

// gather collects the runs of a series in the time range, ascending and disjoint.
func (w *worker) gather(id series.ID) ([]run, error) {
	w.begin()
	for _, seg := range w.p.segments {
		before := len(w.runs)
		if err := seg.appendRuns(w, id); err != nil {
			return nil, err
		}
		if err := w.cut(before, seg.file.cleared(), id); err != nil {
			return nil, err
		}
	}
	w.ends = w.ends[:0]
	for _, m := range w.p.view.frozen {
		w.chunks = appendChunks(w.chunks, m.Store, id)
		w.ends = append(w.ends, len(w.chunks))
	}
	if w.p.view.active != nil {
		w.chunks = appendChunks(w.chunks, w.p.view.active, id)
	}
	if w.keep {
		w.mem = make([]memRun, 0, len(w.chunks))
	} else {
		w.mem = slices.Grow(w.mem, len(w.chunks)) // no growth below: runs point into it
	}
	frozen := 0
	for i, c := range w.chunks {
		if c.Time(0) >= w.p.to || c.Time(c.N-1) < w.p.from {
			continue
		}
		w.mem = append(w.mem, memRun{c: c})
		w.runs = append(w.runs, &w.mem[len(w.mem)-1])
		for frozen < len(w.ends) && i >= w.ends[frozen] {
			frozen++
		}
		if frozen < len(w.ends) { // no deletion came after a row of the active store
			if err := w.cut(len(w.runs)-1, w.p.view.frozen[frozen].last, id); err != nil {
				return nil, err
			}
		}
	}
	return disjoint(w.runs)
}

func appendChunks(dst []memstore.Chunk, m *memstore.Store, id series.ID) []memstore.Chunk {
	if s := m.Series(id); s != nil {
		return s.Snapshot(m, dst)
	}
	return dst
}

// disjoint sorts runs by time and merges those that overlap. It relies on runs being
// in the order of their sources' age.
func disjoint(runs []run) ([]run, error) {
	sorted := true
	last := int64(math.MinInt64)
	for i, r := range runs {
		_, from, to := r.span()
		if i > 0 && from <= last {
			sorted = false
			break
		}
		last = to
	}
	if sorted {
		return runs, nil
	}
	// Groups of overlapping runs, each in the order of age.
	order := make([]int, len(runs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		_, x, _ := runs[a].span()
		_, y, _ := runs[b].span()
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	var out []run
	for i := 0; i < len(order); {
		group := []int{order[i]}
		_, _, end := runs[order[i]].span()
		for i++; i < len(order); i++ {
			_, from, to := runs[order[i]].span()
			if from > end {
				break
			}
			group = append(group, order[i])
			end = max(end, to)
		}
		if len(group) == 1 {
			out = append(out, runs[group[0]])
			continue
		}
		slices.Sort(group)
		sources := make([]run, len(group))
		for k, at := range group {
			sources[k] = runs[at]
		}
		m, err := merge(sources)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// narrow finds the rows of a run that the scan reads; it may be none.
func (w *worker) narrow(r run) (span, error) {
	n, first, last := r.span()
	s := span{run: r, hi: n}
	if step, ok := regular(r); ok && (first < w.p.from || last >= w.p.to) {
		s.lo, s.hi = seekRegular(w.p.from, first, step, n), seekRegular(w.p.to, first, step, n)
	} else if first < w.p.from || last >= w.p.to {
		times, err := r.times()
		if err != nil {
			return s, err
		}
		if first < w.p.from {
			s.lo, _ = slices.BinarySearch(times, w.p.from)
		}
		if last >= w.p.to {
			s.hi, _ = slices.BinarySearch(times, w.p.to)
		}
	}
	w.p.stats.rows.Add(int64(s.hi - s.lo))
	w.p.stats.bytes.Add(int64(s.hi-s.lo) * w.p.rowBytes)
	if s.lo >= s.hi {
		return s, nil
	}
	tests := w.p.tests
	if w.p.bound != nil {
		test, none := w.bounded(&s)
		if none {
			w.p.stats.blocksSkipped.Add(1)
			s.hi = s.lo
			return s, nil
		}
		if test {
			w.tests = append(append(w.tests[:0], tests...), w.bound)
			tests = w.tests
		}
	}
	if len(tests) == 0 {
		return s, nil
	}
	return s, w.filter(&s, tests)
}

// regular returns the distance of neighbours of a run whose times are known without reading.
func regular(r run) (step int64, ok bool) {
	s, ok := r.(*segmentRun)
	if !ok || !s.whole {
		return 0, false
	}
	return s.idx.Regular(s.block)
}

// seekRegular returns the number of the first of n rows, first, first+step, …, that is not
// before t.
func seekRegular(t, first, step int64, n int) int {
	if t <= first {
		return 0
	}
	if step <= 0 { // one row, which is before t
		return n
	}
	// The difference may pass 2^63; as an unsigned number it is right.
	rows := (uint64(t)-uint64(first)-1)/uint64(step) + 1
	return int(min(rows, uint64(n)))
}

// filter applies the tests on values to a span.
func (w *worker) filter(s *span, tests []valueTest) error {
	for i := range tests {
		t := &tests[i]
		if t.onTime {
			continue
		}
		if stats := s.bounds(t.col); stats != nil && t.excludes(stats) {
			w.p.stats.blocksSkipped.Add(1)
			s.hi = s.lo
			return nil
		}
	}
	if len(tests) == 1 && !tests[0].onTime {
		done, err := w.pick(s, &tests[0])
		if done || err != nil {
			return err
		}
	}
	n, _, _ := s.span()
	w.rowMask = slices.Grow(w.rowMask[:0], n)[:n]
	for i := range w.rowMask {
		w.rowMask[i] = i >= s.lo && i < s.hi
	}
	for i := range tests {
		t := &tests[i]
		v := &w.scratch
		if t.onTime {
			times, err := s.times()
			if err != nil {
				return err
			}
			*v = values{kind: vec.Timestamp, ints: times}
		} else if err := s.column(t.col, v); err != nil {
			return err
		}
		t.mask(v, w.rowMask)
	}
	w.picked = w.picked[:0]
	for i := s.lo; i < s.hi; i++ {
		if w.rowMask[i] {
			w.picked = append(w.picked, int32(i))
		}
	}
	s.keep(w.picked)
	return nil
}

// keep leaves only the picked rows of the span.
func (s *span) keep(picked []int32) {
	switch len(picked) {
	case s.hi - s.lo: // all of them
	case 0:
		s.hi = s.lo
	default:
		s.some, s.picked = true, picked
	}
}

// pick applies a test to integers and their scale, if the column is stored so and the test
// can be.
func (w *worker) pick(s *span, t *valueTest) (done bool, err error) {
	v := &w.scratch
	ok, err := s.scaled(t.col, v)
	if !ok || err != nil {
		return false, err
	}
	least, most, ok := t.between(v.scale)
	if !ok {
		return false, nil
	}
	w.picked = slices.Grow(w.picked[:0], s.hi-s.lo+1)[:s.hi-s.lo+1]
	n := 0
	span := uint64(most) - uint64(least)
	for i, x := range v.ints[s.lo:s.hi] {
		w.picked[n] = int32(s.lo + i)
		if uint64(x)-uint64(least) <= span { // no branch: it sets n
			n++
		}
	}
	s.keep(w.picked[:n])
	return true, nil
}

// values reads a value column or time for the rows of a span; the result has
// exactly those rows.
func (s *span) values(c *scanColumn, into *values) error {
	if n, _, _ := s.span(); s.some || s.hi-s.lo < n { // fewer to divide
		if err := s.numbers(c, into); err != nil {
			return err
		}
		into.unscale()
		return nil
	}
	if c.Role == storage.TimeColumn {
		times, err := s.times()
		if err != nil {
			return err
		}
		*into = values{kind: vec.Timestamp, ints: times}
	} else if err := s.column(c.col, into); err != nil {
		return err
	}
	into.slice(s.lo, s.hi)
	return nil
}

// numbers is like values, but leaves doubles as integers and a scale where they are
// stored so.
func (s *span) numbers(c *scanColumn, into *values) error {
	if c.Role == storage.TimeColumn && s.regularTimes(into) {
		return nil
	}
	if c.Role == storage.TimeColumn {
		times, err := s.times()
		if err != nil {
			return err
		}
		*into = values{kind: vec.Timestamp, ints: times}
	} else if ok, err := s.scaled(c.col, into); err != nil {
		return err
	} else if !ok {
		if err := s.column(c.col, into); err != nil {
			return err
		}
	}
	if s.some {
		*into = into.gather(s.picked)
		return nil
	}
	into.slice(s.lo, s.hi)
	return nil
}

// regularTimes computes the times of a part of a run, if they need not be read.
func (s *span) regularTimes(into *values) bool {
	n, first, _ := s.span()
	if s.rows() == n {
		return false // the run may have them already
	}
	step, ok := regular(s.run)
	if !ok {
		return false
	}
	times := make([]int64, s.rows())
	for i := range times {
		at := s.lo + i
		if s.some {
			at = int(s.picked[i])
		}
		times[i] = first + int64(at)*step
	}
	*into = values{kind: vec.Timestamp, ints: times}
	return true
}

func (v *values) slice(lo, hi int) {
	if v.allNull || v.constant {
		return
	}
	if v.scaled {
		v.ints = v.ints[lo:hi]
		return
	}
	if v.nulls != nil {
		v.nulls = v.nulls[lo:hi]
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		v.floats = v.floats[lo:hi]
	case vec.StoreBools:
		v.bools = v.bools[lo:hi]
	case vec.StoreStrs:
		v.strs = v.strs[lo:hi]
	default:
		v.ints = v.ints[lo:hi]
	}
}

// report returns the statistics so far.
func (p *plan) report() storage.ScanStats {
	s := &p.stats
	return storage.ScanStats{RowsScanned: s.rows.Load(), BytesScanned: s.bytes.Load(),
		SeriesRead: s.seriesRead.Load(), SeriesSkipped: s.seriesSkipped.Load(),
		SegmentsRead: s.segmentsRead.Load(), SegmentsSkipped: s.segmentsSkipped.Load(),
		BlocksRead: s.blocksRead.Load(), BlocksSkipped: max(s.blocksSkipped.Load(), s.blocks.Load()-s.blocksRead.Load())}
}
