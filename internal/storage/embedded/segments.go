package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// segmentFile is a live segment. It is opened when it is first read. Scans hold it
// while they run; once retired it is deleted when the last of them lets go.
type segmentFile struct {
	store   *Store
	meta    segmentMeta
	damaged atomic.Bool // not to be merged

	deletedTo atomic.Uint64 // position up to which deletions are done in it, see cleared
	leaving   atomic.Uint64 // position from which on it is asked like a remote one, or 0: see late.go

	mu      sync.Mutex // guards refs, pins, retired and done
	refs    int
	pins    int // of snapshots: see pin
	retired bool
	done    bool // closed, and deleted

	loading chan struct{} // of one slot, taken while the segment is opened
	index   atomic.Pointer[segmentIndex]
	used    atomic.Uint64 // when it was last asked for, by openSegments.clock
}

// openSegments bounds the memory of open segments: past the limit the ones that are
// longest out of use are closed, and opened again when they are needed.
type openSegments struct {
	limit int64
	clock atomic.Uint64

	mu    sync.Mutex // guards the fields below; taken before a segment's mu
	files map[*segmentFile]int64
	bytes int64
}

// add counts an open segment and closes others until the limit is kept. Segments in
// use stay, whatever the limit.
func (o *openSegments) add(f *segmentFile, bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[f] = bytes
	o.bytes += bytes
	if o.bytes <= o.limit {
		return
	}
	idle := slices.SortedFunc(maps.Keys(o.files), func(a, b *segmentFile) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	for _, other := range idle {
		if o.bytes <= o.limit {
			return
		}
		if other != f && other.closeIdle() {
			o.bytes -= o.files[other]
			delete(o.files, other)
		}
	}
}

func (o *openSegments) remove(f *segmentFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= o.files[f]
	delete(o.files, f)
}

// closeIdle closes the segment if nobody holds it.
func (f *segmentFile) closeIdle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs > 0 || f.done {
		return false
	}
	if idx := f.index.Swap(nil); idx != nil {
		idx.Close()
	}
	return true
}

// segmentIndex is an open segment with its series and columns as the table knows them.
type segmentIndex struct {
	*segment.Reader
	ids      []series.ID // by the segment's series number
	at       []int32     // by id: the series number plus one; ids past the end are absent
	min, max []int64     // times of each series
	columns  []int32     // by the table's column id: the segment's column plus one
}

func newSegmentFile(s *Store, m segmentMeta) *segmentFile {
	f := &segmentFile{store: s, meta: m, loading: make(chan struct{}, 1)}
	f.deletedTo.Store(uint64(m.Deleted))
	f.leaving.Store(uint64(m.Judged))
	return f
}

// acquire holds the segment for a scan, unless it is gone.
func (f *segmentFile) acquire() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return false
	}
	f.refs++
	return true
}

func (f *segmentFile) release() {
	f.mu.Lock()
	f.refs--
	last := f.lastLocked()
	f.mu.Unlock()
	if last {
		f.delete()
	}
}

// retire lets the segment go: no manifest names it any more.
func (f *segmentFile) retire() {
	f.mu.Lock()
	f.retired = true
	last := f.lastLocked()
	f.mu.Unlock()
	if last {
		f.delete()
	}
}

func (f *segmentFile) delete() {
	f.close()
	if f.meta.Remote { // not now: others wait while segments are replaced
		f.store.remote.discard(f.meta)
		return
	}
	// What stays behind after an error or a crash is swept at the next start.
	if err := f.store.objects.Delete(context.Background(), f.meta.Name); err != nil {
		f.store.opts.Log.Warn("a segment that is not needed stays behind", "segment", f.meta.Name, "err", err)
	}
}

func (f *segmentFile) close() {
	if idx := f.index.Swap(nil); idx != nil {
		f.store.open.remove(f)
		idx.Close()
	}
}

// suspect reports whether err is damage of this segment.
func (f *segmentFile) suspect(err error) bool {
	var c *segment.CorruptError
	return errors.As(err, &c) && c.Path == f.meta.Name
}

// load opens the segment, or takes what was read of it ahead, and makes its series and columns known; the caller holds it.
// A cancelled load is begun anew by the next caller.
func (f *segmentFile) load(ctx context.Context, t *table, ahead *aheadSegment) (*segmentIndex, error) {
	taken := false
	defer func() {
		if !taken { // another scan was quicker
			ahead.drop()
		}
	}()
	f.used.Store(f.store.open.clock.Add(1))
	if idx := f.index.Load(); idx != nil {
		return idx, nil
	}
	select {
	case f.loading <- struct{}{}:
	case <-ctx.Done():
		return nil, cancelled(ctx.Err())
	}
	defer func() { <-f.loading }()
	if idx := f.index.Load(); idx != nil {
		return idx, nil
	}
	taken = true
	r, series, err := ahead.take(ctx, f)
	if err != nil {
		return nil, f.unreachable(t, err)
	}
	idx := &segmentIndex{Reader: r}
	if err := errors.Join(idx.resolveSeries(ctx, t.registry, series), idx.resolveColumns(t.observed.Load())); err != nil {
		r.Close()
		return nil, f.unreachable(t, err)
	}
	f.index.Store(idx)
	f.store.open.add(f, idx.memory())
	return idx, nil
}

// aheadSegment is a segment that is opened, and its series read, while the series of another are made known: with a
// million of them each of both takes as long.
type aheadSegment struct {
	done   chan struct{} // closed when the fields below are set
	reader *segment.Reader
	series *segment.SeriesTable
	err    error
}

func (f *segmentFile) readAhead(ctx context.Context) *aheadSegment {
	a := &aheadSegment{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = surviving(func() error {
			var err error
			a.reader, a.series, err = f.open(ctx)
			return err
		})
	}()
	return a
}

// open reads the segment's index and its series.
func (f *segmentFile) open(ctx context.Context) (*segment.Reader, *segment.SeriesTable, error) {
	r, err := segment.Open(ctx, f.objects(), f.meta.Name, f.store.cache)
	if fault.KindOf(err) == fault.NotFound {
		// The caller asked for a table, which is there; only its file is not.
		err = &segment.CorruptError{Path: f.meta.Name, Err: errors.New("the file is missing")}
	}
	if err != nil {
		return nil, nil, err
	}
	series, err := r.In(ctx).Series()
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return r, series, nil
}

// take waits for the segment, or reads it, if a is nil. It is the caller's to close.
func (a *aheadSegment) take(ctx context.Context, f *segmentFile) (*segment.Reader, *segment.SeriesTable, error) {
	if a == nil {
		return f.open(ctx)
	}
	<-a.done
	return a.reader, a.series, a.err
}

// drop waits for the segment and closes it. It may be called on nil.
func (a *aheadSegment) drop() {
	if a == nil {
		return
	}
	if <-a.done; a.err == nil {
		a.reader.Close()
	}
}

// unreachable says whose rows cannot be read, if the remote store is down.
func (f *segmentFile) unreachable(t *table, err error) error {
	if !fault.Is(err, fault.Unavailable) {
		return err
	}
	const day = "2006-01-02"
	return fault.Wrap(fault.Unavailable, err, "Rows of %s.%s of %s cannot be read. %s", t.id.Database, t.id.Table,
		time.Unix(0, f.meta.MinTime).UTC().Format(day), fault.MessageOf(err))
}

// memory is about what an open segment takes.
func (idx *segmentIndex) memory() int64 {
	const perChunk, perBlock, perSeries = 100, 96, 32
	return int64(idx.NumBlocks())*int64(perBlock+perChunk*(2+len(idx.Columns()))) + perSeries*int64(len(idx.ids)) + 4*int64(len(idx.at))
}

// resolveBatch is how many series are looked up under one lock.
const resolveBatch = 1024

// manySeries is from how many series of a segment on a collection is worth its time.
const manySeries = 200_000

func (idx *segmentIndex) resolveSeries(ctx context.Context, registry *series.Registry, table *segment.SeriesTable) error {
	idx.reserve(registry, table)
	var keys series.Keys
	flush := func() (err error) {
		if err := ctx.Err(); err != nil {
			return cancelled(err)
		}
		idx.ids, err = registry.Resolve(idx.ids, &keys)
		keys.Bytes, keys.Ends = keys.Bytes[:0], keys.Ends[:0]
		return err
	}
	err := table.Each(func(_ int, s segment.SeriesInfo) error {
		keys.Bytes = series.AppendKey(keys.Bytes, s.Measure, s.Dims)
		keys.Ends = append(keys.Ends, len(keys.Bytes))
		idx.min, idx.max = append(idx.min, s.MinTime), append(idx.max, s.MaxTime)
		if len(keys.Ends) < resolveBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	greatest := series.ID(0)
	for _, id := range idx.ids {
		greatest = max(greatest, id)
	}
	idx.at = make([]int32, int(greatest)+1)
	for n, id := range idx.ids {
		idx.at[id] = int32(n) + 1
	}
	return nil
}

// reserve makes room for the segment's series, and in the registry, if it has none yet, for these too.
func (idx *segmentIndex) reserve(registry *series.Registry, table *segment.SeriesTable) {
	n := idx.NumSeries()
	idx.ids, idx.min, idx.max = make([]series.ID, 0, n), make([]int64, 0, n), make([]int64, 0, n)
	if registry.Len() == 0 {
		values, dimensions := table.Distinct()
		registry.Reserve(n, dimensions, values)
	}
}

func (idx *segmentIndex) resolveColumns(o *observed) error {
	for n, c := range idx.Columns() {
		at := o.Lookup(c.Name)
		if at < 0 || o.ids[at] < 0 || o.Columns[at].Type.Kind != c.Type.Kind {
			return &segment.CorruptError{Path: idx.Key(), Err: fmt.Errorf("column %s of type %s is not the table's", c.Name, c.Type)}
		}
		id := int(o.ids[at])
		if id >= len(idx.columns) {
			idx.columns = append(idx.columns, make([]int32, id+1-len(idx.columns))...)
		}
		idx.columns[id] = int32(n) + 1
	}
	return nil
}

// find returns the segment's number of a series, or -1.
func (idx *segmentIndex) find(id series.ID) int32 {
	if int(id) >= len(idx.at) {
		return -1
	}
	return idx.at[id] - 1
}

// column returns the segment's number of a column, or -1.
func (idx *segmentIndex) column(c memstore.Col) int {
	if int(c.ID) >= len(idx.columns) || c.ID < 0 {
		return -1
	}
	return int(idx.columns[c.ID]) - 1
}

// in returns the index with reads that end when ctx is done.
func (idx *segmentIndex) in(ctx context.Context) *segmentIndex {
	bound := *idx
	bound.Reader = idx.Reader.In(ctx)
	return &bound
}

// segmentScan is a segment that a plan reads.
type segmentScan struct {
	*segmentIndex
	file    *segmentFile
	ordinal int // among the plan's
}

// openSegments takes the view and holds its segments that overlap the time range.
func (p *plan) openSegments(ctx context.Context) error {
	for {
		p.view = p.table.view.Load()
		var overlap []*segmentFile
		for _, f := range p.view.segments {
			if f.meta.MinTime < p.to && f.meta.MaxTime >= p.from {
				overlap = append(overlap, f)
			}
		}
		p.stats.segmentsSkipped.Store(int64(len(p.view.segments) - len(overlap)))
		ok, err := p.readSegments(ctx, overlap)
		if ok || err != nil {
			return err
		}
		// A merge took one away; a newer view has what replaced it.
	}
}

// readSegments holds and opens segments, all or none; ok is false if one is gone.
func (p *plan) readSegments(ctx context.Context, files []*segmentFile) (ok bool, err error) {
	blocks, many := int64(0), false
	var next *aheadSegment
	defer func() {
		next.drop()
		if many {
			debug.FreeOSMemory() // what reading so many took is several times what is kept
		}
	}()
	for i, f := range files {
		if !f.acquire() {
			p.release()
			return false, nil
		}
		ahead := next
		next = nil
		fresh := f.index.Load() == nil
		if fresh && i+1 < len(files) && files[i+1].index.Load() == nil {
			next = files[i+1].readAhead(ctx)
		}
		idx, err := f.load(ctx, p.table, ahead)
		many = many || fresh && err == nil && idx.NumSeries() > manySeries
		if err != nil {
			f.release()
			p.release()
			return false, err
		}
		if f.meta.Remote {
			idx = idx.in(p.patience(ctx))
		}
		p.segments = append(p.segments, &segmentScan{idx, f, len(p.segments)})
		blocks += int64(idx.NumBlocks())
	}
	p.stats.blocks.Store(blocks)
	p.stats.segmentsRead.Store(int64(len(files)))
	return true, nil
}

// release lets the plan's segments go. It may be called twice.
func (p *plan) release() {
	for _, s := range p.segments {
		s.file.release()
	}
	p.segments = nil
}

// order sorts the plan's series as the largest segment has them, so that series that
// share a block come one after the other.
func (p *plan) order() {
	var largest *segmentScan
	for _, s := range p.segments {
		if largest == nil || len(s.ids) > len(largest.ids) {
			largest = s
		}
	}
	if largest == nil || len(p.ids) < 2 {
		return
	}
	if len(p.ids) < len(largest.ids)/8 {
		slices.SortFunc(p.ids, func(a, b series.ID) int { return int(largest.find(a)) - int(largest.find(b)) })
		return
	}
	wanted := make([]bool, p.series.Len())
	for _, id := range p.ids {
		wanted[id] = true
	}
	ordered := make([]series.ID, 0, len(p.ids))
	for _, id := range largest.ids {
		if int(id) < len(wanted) && wanted[id] {
			ordered = append(ordered, id)
			wanted[id] = false
		}
	}
	for _, id := range p.ids {
		if wanted[id] {
			ordered = append(ordered, id)
		}
	}
	p.ids = ordered
}

// appendRuns adds the runs of a series in the plan's time range.
func (s *segmentScan) appendRuns(w *worker, id series.ID) error {
	n := s.find(id)
	if n < 0 || s.max[n] < w.p.from || s.min[n] >= w.p.to {
		return nil
	}
	from, to := w.blocksOf(s, n)
	for b := from; b < to; b++ {
		block := s.Block(b)
		if block.MaxTime < w.p.from || block.MinTime >= w.p.to {
			w.p.stats.blocksSkipped.Add(1)
			continue
		}
		r, err := s.runIn(w, n, b, to-from == 1)
		if err != nil {
			return err
		}
		w.runs = append(w.runs, r)
	}
	return nil
}

// blocksOf returns the blocks from <= i < to that hold rows of the segment's series n. Series are mostly asked for in the segment's order.
func (w *worker) blocksOf(s *segmentScan, n int32) (from, to int) {
	for len(w.near) <= s.ordinal {
		w.near = append(w.near, 0)
	}
	from, to = s.BlocksNear(n, w.near[s.ordinal])
	w.near[s.ordinal] = max(from, to-1)
	return from, to
}

// runIn returns the run of the segment's series n in a block; only says that there are no others.
func (s *segmentScan) runIn(w *worker, n int32, b int, only bool) (*segmentRun, error) {
	block := s.Block(b)
	r := w.segmentRun()
	*r = segmentRun{w: w, idx: s.segmentIndex, block: b, whole: len(block.Runs) == 1, hi: block.Rows, min: block.MinTime, max: block.MaxTime}
	if r.whole {
		return r, nil
	}
	r.data = w.sharedBlock(s, b)
	r.lo, r.hi = r.data.rowsOf(n)
	r.min, r.max = s.min[n], s.max[n]
	if !only {
		times, err := r.times()
		if err != nil {
			return nil, err
		}
		r.min, r.max = times[0], times[len(times)-1]
	}
	return r, nil
}

// blockData is a block of a segment, read as far as it was asked for.
type blockData struct {
	idx      *segmentIndex
	block    int
	starts   []int32 // first row of each run, of blocks with several
	next     int     // the run after that which was asked for
	times    []int64
	versions []int64
	state    [2]bool // times and versions are read
	columns  []segment.Data
	read     []readState
	counted  bool  // as read, if it is of several series
	scales   []int // exponents of columns read as integers
}

// readState is how a column of a blockData was read.
type readState uint8

const (
	notRead    readState = iota
	readPlain            // as it is
	readScaled           // doubles as integers and a scale
	readBoth
)

func (d *blockData) reset(idx *segmentIndex, block int) {
	n := len(idx.Columns())
	d.idx, d.block, d.state, d.counted, d.starts, d.next = idx, block, [2]bool{}, false, d.starts[:0], 0
	if cap(d.columns) < n {
		d.columns, d.read, d.scales = make([]segment.Data, n), make([]readState, n), make([]int, n)
	}
	d.columns, d.read, d.scales = d.columns[:n], d.read[:n], d.scales[:n]
	clear(d.read)
}

// segmentRun returns a run to fill; without keep those of the series before are used
// again.
func (w *worker) segmentRun() *segmentRun {
	if w.keep {
		return &segmentRun{}
	}
	if w.usedRuns == len(w.segmentRuns) {
		w.segmentRuns = append(w.segmentRuns, &segmentRun{})
	}
	w.usedRuns++
	return w.segmentRuns[w.usedRuns-1]
}

// ownBlock returns a block of one series. Without keep its buffers are used again for
// the next series.
func (w *worker) ownBlock(idx *segmentIndex, block int) *blockData {
	if w.keep {
		d := &blockData{}
		d.reset(idx, block)
		return d
	}
	if w.usedBlocks == len(w.blocks) {
		w.blocks = append(w.blocks, w.newBlock())
	}
	d := w.blocks[w.usedBlocks]
	w.usedBlocks++
	d.reset(idx, block)
	return d
}

// sharedBlock returns a block of several series, which are likely to be asked for one
// after the other: the last one of each segment is kept.
func (w *worker) sharedBlock(s *segmentScan, block int) *blockData {
	for len(w.shared) <= s.ordinal {
		w.shared = append(w.shared, [2]*blockData{})
	}
	pair := &w.shared[s.ordinal]
	d := pair[0]
	if d == nil || d.block != block {
		// A series may go on from the block before into this one, so that one is kept.
		d = pair[1]
		if d == nil || w.keep {
			d = w.newBlock()
		}
		pair[0], pair[1] = d, pair[0]
		d.reset(s.segmentIndex, block)
		at := int32(0)
		for _, r := range s.Block(block).Runs {
			d.starts = append(d.starts, at)
			at += r.Rows
		}
	}
	return d
}

// rowsOf returns the rows of a series in a shared block.
func (d *blockData) rowsOf(n int32) (lo, hi int) {
	runs := d.idx.Block(d.block).Runs
	k := d.next // series are mostly asked for in the segment's order
	if k >= len(runs) || runs[k].Series != n {
		k, _ = slices.BinarySearchFunc(runs, n, func(r segment.Run, n int32) int { return int(r.Series) - int(n) })
	}
	d.next = k + 1
	lo = int(d.starts[k])
	return lo, lo + int(runs[k].Rows)
}

// segmentRun is the rows of one series in one block. Nothing is read before it is
// asked for.
type segmentRun struct {
	w        *worker // nil outside of scans
	idx      *segmentIndex
	block    int
	data     *blockData // nil until something is read; see opened
	lo, hi   int        // in the block
	whole    bool       // the block is this series' alone
	read     bool       // and something of it was, see counted
	min, max int64
	known    blockStats
	first    storedValue
	last     storedValue
}

func (r *segmentRun) opened() *blockData {
	if r.data == nil {
		r.data = r.w.ownBlock(r.idx, r.block)
	}
	return r.data
}

func (r *segmentRun) span() (int, int64, int64) { return r.hi - r.lo, r.min, r.max }

func (r *segmentRun) times() ([]int64, error) {
	d := r.opened()
	if !d.state[0] {
		var err error
		if d.times, err = d.idx.Times(d.block, d.times); err != nil {
			return nil, err
		}
		d.state[0] = true
		r.counted()
	}
	return d.times[r.lo:r.hi], nil
}

// counted counts the block as read, once for all columns.
func (r *segmentRun) counted() {
	if r.w == nil {
		return
	}
	known := &r.read
	if !r.whole { // it is read for all its series
		known = &r.data.counted
	}
	if !*known {
		*known = true
		r.w.p.stats.blocksRead.Add(1)
	}
}

func (r *segmentRun) versions() ([]int64, error) {
	d := r.opened()
	if !d.state[1] {
		var err error
		if d.versions, err = d.idx.Versions(d.block, d.versions); err != nil {
			return nil, err
		}
		d.state[1] = true
	}
	if d.versions == nil {
		return nil, nil
	}
	return d.versions[r.lo:r.hi], nil
}

func (r *segmentRun) column(c memstore.Col, into *values) error {
	*into = values{kind: c.Kind}
	d := r.opened()
	n := d.idx.column(c)
	if n < 0 {
		into.allNull = true
		return nil
	}
	switch d.read[n] {
	case notRead:
		if err := d.idx.Column(d.block, n, &d.columns[n]); err != nil {
			return err
		}
		d.read[n] = readPlain
		r.counted()
	case readScaled:
		d.columns[n].Unscale(d.scales[n])
		d.read[n] = readBoth
	}
	data := &d.columns[n]
	if data.AllNull() {
		into.allNull = true
		return nil
	}
	into.ints, into.floats, into.bools, into.strs, into.nulls = data.Ints, data.Floats, data.Bools, data.Strs, data.Nulls
	into.slice(r.lo, r.hi)
	return nil
}

func (r *segmentRun) scaled(c memstore.Col, into *values) (bool, error) {
	n := r.idx.column(c)
	if n < 0 || c.Kind != vec.Double || !r.idx.MayScale(r.block, n) {
		return false, nil
	}
	d := r.opened()
	if d.read[n] == notRead {
		scale, ok, err := d.idx.Scaled(d.block, n, &d.columns[n])
		if err != nil {
			return false, err
		}
		d.read[n], d.scales[n] = readPlain, scale
		if ok {
			d.read[n] = readScaled
		}
		r.counted()
	}
	if d.read[n] == readPlain {
		return false, nil
	}
	*into = values{kind: c.Kind, scaled: true, scale: d.scales[n], ints: d.columns[n].Ints[r.lo:r.hi]}
	return true, nil
}

func (r *segmentRun) stats(c memstore.Col) *blockStats {
	if !r.whole {
		return nil
	}
	s := r.bounds(c)
	if s == nil {
		return nil
	}
	n := r.idx.column(c)
	if n < 0 {
		r.first, r.last = storedValue{null: true}, storedValue{null: true}
		s.first, s.last = &r.first, &r.last
		return s
	}
	if known := r.idx.Stats(r.block, n); !isText(c) || known.NonNull == 0 {
		r.first = storedValue{null: known.FirstNull, bits: known.First}
		r.last = storedValue{null: known.LastNull, bits: known.Last}
		s.first, s.last = &r.first, &r.last
	}
	return s
}

func (r *segmentRun) bounds(c memstore.Col) *blockStats {
	rows := r.idx.Block(r.block).Rows
	r.known = blockStats{rows: rows}
	n := r.idx.column(c)
	if n < 0 {
		return &r.known
	}
	known := r.idx.Stats(r.block, n)
	r.known.nonNull = int(known.NonNull)
	r.known.hasMinMax, r.known.minBits, r.known.maxBits = known.HasRange && !isText(c), known.Min, known.Max
	r.known.hasSum, r.known.sumBits = known.HasSum, known.Sum
	r.known.hasM2, r.known.m2 = known.HasM2, known.M2
	return &r.known
}

// lookupBlocks bounds the blocks kept for judging versions.
const lookupBlocks = 64

type lookupKey struct {
	idx   *segmentIndex // as opened: a closed one cannot be read any more
	block int
}

// lookup returns the row of a key, through blocks, with the values of the columns of o.
func (idx *segmentIndex) lookup(id series.ID, time int64, blocks *lookups, o *observed) (row memstore.Row, ok bool, err error) {
	n := idx.find(id)
	if n < 0 || time < idx.min[n] || time > idx.max[n] {
		return row, false, nil
	}
	from, to := idx.BlocksOf(n)
	for b := from; b < to; b++ {
		if block := idx.Block(b); time < block.MinTime || time > block.MaxTime {
			continue
		}
		d := blocks.block(idx, b)
		r := segmentRun{idx: idx, block: b, data: d}
		r.lo, r.hi = d.rowsOf(n)
		times, err := r.times()
		if err != nil {
			return row, false, err
		}
		at, ok := slices.BinarySearch(times, time)
		if !ok {
			continue
		}
		row, err = r.rowAt(at, o)
		return row, err == nil, err
	}
	return row, false, nil
}

// lookups keeps a few blocks that were read to judge versions.
type lookups map[lookupKey]*blockData

func (l *lookups) block(idx *segmentIndex, block int) *blockData {
	key := lookupKey{idx, block}
	d := (*l)[key]
	if d != nil {
		return d
	}
	if len(*l) >= lookupBlocks || *l == nil {
		*l = lookups{}
	}
	d = &blockData{}
	d.reset(idx, block)
	at := int32(0)
	for _, r := range idx.Block(block).Runs {
		d.starts = append(d.starts, at)
		at += r.Rows
	}
	(*l)[key] = d
	return d
}

// rowAt boxes row i of a run, with the values of the columns of o.
func (r *segmentRun) rowAt(i int, o *observed) (memstore.Row, error) {
	times, _ := r.times()
	row := memstore.Row{Time: times[i], Version: 1}
	versions, err := r.versions()
	if err != nil {
		return row, err
	}
	if versions != nil {
		row.Version = versions[i]
	}
	for k, c := range o.Columns {
		if o.ids[k] < 0 {
			continue
		}
		col := memstore.Col{ID: o.ids[k], Kind: c.Type.Kind}
		var v values
		if err := r.column(col, &v); err != nil {
			return row, err
		}
		if !v.isNull(i) {
			row.Cells = append(row.Cells, v.cell(col, i))
		}
	}
	return row, nil
}

func (v *values) cell(c memstore.Col, i int) memstore.Cell {
	cell := memstore.Cell{Col: c}
	switch {
	case v.floats != nil:
		cell.Bits = math.Float64bits(v.floats[i])
	case v.strs != nil:
		cell.Str = v.strs[i]
	case v.bools != nil:
		if v.bools[i] {
			cell.Bits = 1
		}
	default:
		cell.Bits = uint64(v.ints[i])
	}
	return cell
}

// openSegments makes the segments and deletions that the manifest names the table's.
func (t *table) openSegments(metas []segmentMeta, deletes []*deletion) {
	v := *t.view.Load()
	v.deletes = deletes
	for _, m := range metas {
		v.segments = append(v.segments, newSegmentFile(t.store, m))
		t.openMax = max(t.openMax, m.MaxTime)
	}
	t.view.Store(&v)
}

// sweep deletes segments that no manifest names, and says which are missing.
func (s *Store) sweep(ctx context.Context) error {
	keys, err := s.objects.List(ctx, "")
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for i := range s.manifest.Tables {
		for _, m := range s.manifest.Tables[i].Segments {
			if m.Remote {
				continue
			}
			live[m.Name] = true
			if _, ok := slices.BinarySearch(keys, m.Name); !ok {
				s.opts.Log.Error("a segment is missing: its rows cannot be read", "segment", m.Name,
					"db", s.manifest.Tables[i].ID.Database, "table", s.manifest.Tables[i].ID.Table)
			}
		}
	}
	for _, key := range keys {
		if !live[key] {
			if err := s.objects.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) closeSegments() {
	for _, t := range s.all() {
		for _, f := range t.view.Load().segments {
			f.close()
		}
	}
}

// discard deletes segments that were written but not adopted, because of err. Those that a manifest may name
// all the same stay until the next start.
func (s *Store) discard(metas []segmentMeta, err error) {
	if errors.Is(err, errUnsure) {
		return
	}
	for _, m := range metas {
		if err := s.objects.Delete(context.Background(), m.Name); err != nil {
			s.opts.Log.Warn("an unused segment stays behind", "segment", m.Name, "err", err)
		}
	}
}
