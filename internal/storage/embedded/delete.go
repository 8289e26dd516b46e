package embedded

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
)

// A deletion is a record of the log between others, so it has one place in the order of
// all writes: rows of earlier records are deleted, rows of later ones stay. When it is applied the
// active memory store is frozen, so that every memory store and every segment holds only rows from before
// or only rows from after it. From then on scans and the judgement of versions pass over what it names; a flush,
// a merge or a purge (purgeDue) leaves the rows out and notes in the segment's meta the position up
// to which deletions are done in it. A deletion that nothing is subject to any more is forgotten.
//
// The record, of kind recordDelete:
//
//	uvarint  table uid
//	varint   from, varint to: ns, from <= time < to
//	uvarint  conditions, each: column, u8 flags (1: all values but these; 2: a series
//	         without the dimension satisfies it), uvarint values, each: value
//
// with texts as uvarint length and bytes. Conditions list values, whatever the predicate was: a
// pattern is evaluated on the values that there are, because no row from before the deletion has another.

// maxDeletionBytes bounds a record, which stays in memory and manifest for a while.
const maxDeletionBytes = 16 << 20

// maxFrozenStores is how many memory stores deletions may leave behind before one of
// them waits for a flush.
const maxFrozenStores = 4

// deletion is a deletion that was applied. It is immutable but for what is known of series.
type deletion struct {
	At    wal.Position `json:"at"` // of its record
	From  int64        `json:"from"`
	To    int64        `json:"to"`
	Where []condition  `json:"where,omitempty"`

	mu    sync.Mutex // held while known is extended
	known atomic.Pointer[seriesSet]
}

// condition is a predicate on a dimension or the measure name in the form that is stored.
type condition struct {
	Column string   `json:"column"`
	Not    bool     `json:"not,omitempty"`  // all values but these
	Null   bool     `json:"null,omitempty"` // series without the dimension satisfy it
	Values []string `json:"values,omitempty"`
}

// predicate returns the condition as scans evaluate it.
func (c *condition) predicate() storage.Predicate {
	listed := make(map[string]bool, len(c.Values))
	for _, v := range c.Values {
		listed[v] = true
	}
	return storage.Predicate{Column: c.Column, Op: storage.Match, Matches: func(value string, null bool) bool {
		if null {
			return c.Null
		}
		return listed[value] != c.Not
	}}
}

// seriesSet says which of the first n series of a registry a deletion names.
type seriesSet struct {
	n    int
	any  bool
	bits []uint64
}

func (s *seriesSet) has(id series.ID) bool { return s.bits[id/64]>>(id%64)&1 != 0 }

// series returns which series of v the deletion names, and maybe more.
func (d *deletion) series(v *series.View) *seriesSet {
	if s := d.known.Load(); s != nil && s.n >= v.Len() {
		return s
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	next := &seriesSet{}
	if s := d.known.Load(); s != nil {
		if s.n >= v.Len() {
			return s
		}
		*next = *s
	}
	ids := make([]series.ID, 0, v.Len()-next.n)
	for id := next.n; id < v.Len(); id++ {
		ids = append(ids, series.ID(id))
	}
	for i := range d.Where {
		p := d.Where[i].predicate()
		ids = filterSeries(v, ids, &p)
	}
	next.n, next.any = v.Len(), next.any || len(ids) > 0
	bits := make([]uint64, (next.n+63)/64)
	copy(bits, next.bits)
	for _, id := range ids {
		bits[id/64] |= 1 << (id % 64)
	}
	next.bits = bits
	d.known.Store(next)
	return next
}

// names reports whether the deletion names a row.
func (d *deletion) names(r *series.Registry, id series.ID, time int64) bool {
	if time < d.From || time >= d.To {
		return false
	}
	s := d.known.Load()
	if s == nil || int(id) >= s.n {
		s = d.series(r.View())
	}
	return s.has(id)
}

// Delete implements [storage.Table].
func (t *table) Delete(ctx context.Context, d storage.Deletion) (int64, error) {
	if t.dropped.Load() {
		return 0, t.gone()
	}
	if err := errors.Join(t.takes(), t.sure()); err != nil {
		return 0, err
	}
	if err := d.Check(t.Schema()); err != nil {
		return 0, err
	}
	if err := t.learnSeries(ctx, &d); err != nil {
		return 0, err
	}
	if len(t.view.Load().frozen) >= maxFrozenStores {
		if err := t.store.flush(ctx, t); err != nil {
			return 0, fault.Wrap(fault.Throttled, err, "Rows cannot be written to disk as fast as deletions come.")
		}
		signal(t.store.maintainWanted)
	}
	r := &request{rows: &storage.Rows{}, deletion: &deletion{From: d.From, To: d.To}}
	if err := t.submitDelete(r, &d); err != nil {
		return 0, err
	}
	if err := r.ticket.Wait(); err != nil {
		t.withdraw(r)
		return 0, err
	}
	grown, err := t.apply(r.ticket.Position)
	if err != nil {
		return 0, err
	}
	t.store.written(grown)
	return t.countDeleted(ctx, r), nil
}

// learnSeries opens the segments in a deletion's range of time, which registers their series.
func (t *table) learnSeries(ctx context.Context, d *storage.Deletion) error {
	p := &plan{table: t, from: d.From, to: d.To}
	if p.from >= p.to {
		return nil
	}
	defer p.release()
	return p.openSegments(ctx)
}

// submitDelete gives a deletion its place in the log. Every row before that place has its
// series registered before submitMu was taken, so the conditions know all values there are.
func (t *table) submitDelete(r *request, d *storage.Deletion) error {
	known := resolver{}
	for i := range d.Where { // most of the work, without the lock
		known.extend(&d.Where[i], t.registry.View())
	}
	t.submitMu.Lock()
	defer t.submitMu.Unlock()
	if t.dropped.Load() {
		return t.gone()
	}
	v := t.registry.View()
	for i := range d.Where {
		r.deletion.Where = append(r.deletion.Where, known.extend(&d.Where[i], v).condition(&d.Where[i]))
	}
	if d.Confirm != nil {
		if err := d.Confirm(); err != nil {
			return err
		}
	}
	record := r.deletion.append(nil, t.uid)
	if len(record) > maxDeletionBytes {
		return fault.New(fault.Invalid, "The deletion names too many values of dimensions: they take %d bytes, at most %d are allowed. Delete in smaller steps.",
			len(record), maxDeletionBytes)
	}
	var err error
	if r.ticket, err = t.store.log.Enqueue(recordDelete, record); err != nil {
		return err
	}
	// Rows that follow may use numbers of the epoch that goes on.
	if r.epoch = r.ticket.Position; t.numbered != nil {
		r.epoch = min(r.epoch, t.epoch)
	}
	t.pending = append(t.pending, r)
	return nil
}

// resolver evaluates predicates on values once.
type resolver map[*storage.Predicate]*judged

// judged is the values of a column, as far as they were seen, that satisfy a predicate and the others.
type judged struct {
	seen    int
	yes, no []string
}

func (k resolver) extend(p *storage.Predicate, v *series.View) *judged {
	j := k[p]
	if j == nil {
		j = &judged{}
		k[p] = j
	}
	values := v.Measures()
	if p.Column != storage.MeasureNameColumn {
		d := v.Dimension(p.Column)
		values = d.Values
	}
	for ; j.seen < len(values); j.seen++ {
		if holdsString(p, values[j.seen], false) {
			j.yes = append(j.yes, values[j.seen])
		} else {
			j.no = append(j.no, values[j.seen])
		}
	}
	return j
}

// condition lists the fewer values of those that satisfy the predicate and those that do not.
func (j *judged) condition(p *storage.Predicate) condition {
	c := condition{Column: p.Column, Values: j.yes, Null: p.Column != storage.MeasureNameColumn && holdsString(p, "", true)}
	if len(j.no) < len(j.yes) {
		c.Not, c.Values = true, j.no
	}
	return c
}

const (
	flagNot  = 1
	flagNull = 2
)

func (d *deletion) append(b []byte, uid uint64) []byte {
	b = binary.AppendUvarint(b, uid)
	b = binary.AppendVarint(b, d.From)
	b = binary.AppendVarint(b, d.To)
	b = binary.AppendUvarint(b, uint64(len(d.Where)))
	for _, c := range d.Where {
		b = appendText(b, c.Column)
		flags := byte(0)
		if c.Not {
			flags |= flagNot
		}
		if c.Null {
			flags |= flagNull
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(len(c.Values)))
		for _, v := range c.Values {
			b = appendText(b, v)
		}
	}
	return b
}

// decodeDeletion parses a record, which it does not keep.
func decodeDeletion(payload []byte) (*deletion, error) {
	d := &decoder{rest: []byte(string(payload))} // texts point into it
	d.uvarint()
	out := &deletion{From: d.varint(), To: d.varint()}
	for range d.count(3) {
		c := condition{Column: d.text()}
		flags := d.byte()
		c.Not, c.Null = flags&flagNot != 0, flags&flagNull != 0
		for range d.count(1) {
			c.Values = append(c.Values, d.text())
		}
		out.Where = append(out.Where, c)
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	return out, d.err
}

// applyDeleteLocked makes a durable deletion take effect.
func (t *table) applyDeleteLocked(r *request, at wal.Position) {
	if v := t.view.Load(); v.active.Rows() > 0 {
		t.store.memory.Add(t.countLocked()) // of what is frozen now
		t.freezeLocked()
	}
	t.applied = at
	if !t.unflushed {
		t.unflushed, t.first = true, r.epoch
	}
	v := *t.view.Load()
	r.before = t.holdLocked(&v, r.deletion)
	r.deletion.At = at
	v.deletes = append(slices.Clip(v.deletes), r.deletion)
	v.prune()
	t.view.Store(&v)
}

// replayDelete applies a deletion of the log when the store is opened.
func (s *Store) replayDelete(ctx context.Context, t *table, r *request, at wal.Position) error {
	func() {
		t.applyMu.Lock()
		defer t.applyMu.Unlock()
		t.applyDeleteLocked(r, at)
	}()
	for _, f := range r.before.held {
		f.release()
	}
	if len(t.view.Load().frozen) < maxFrozenStores {
		return nil
	}
	return s.flush(ctx, t)
}

// holdLocked returns what is needed to count the rows of a deletion: the view before it, whose segments
// stay until the plan is released.
func (t *table) holdLocked(v *view, d *deletion) *plan {
	if t.dropped.Load() {
		return nil
	}
	before := *v
	before.active = nil // it is empty, and rows to come are not the deletion's
	p := &plan{table: t, view: &before, schema: t.names.observed, from: max(d.From, t.low()), to: d.To}
	for _, f := range v.segments {
		if f.meta.MinTime < p.to && f.meta.MaxTime >= p.from && f.acquire() {
			p.held = append(p.held, f)
		}
	}
	return p
}

// countDeleted returns how many rows a deletion named when it was applied, or -1.
func (t *table) countDeleted(ctx context.Context, r *request) int64 {
	p := r.before
	if p == nil {
		return -1
	}
	defer func() {
		for _, f := range p.held {
			f.release()
		}
	}()
	n, err := p.countRows(ctx, r.deletion)
	if err != nil {
		t.store.opts.Log.Warn("rows were deleted and not counted", "db", t.id.Database, "table", t.id.Table, "err", err)
		return -1
	}
	return n
}

func (p *plan) countRows(ctx context.Context, d *deletion) (int64, error) {
	if p.from >= p.to {
		return 0, nil
	}
	defer p.release()
	if ok, err := p.readSegments(ctx, p.held); !ok {
		if err == nil {
			err = p.table.gone()
		}
		return 0, err
	}
	p.series = p.table.registry.View()
	p.subject(p.view.deletes)
	set := d.series(p.series)
	w := worker{p: p}
	n := int64(0)
	for id := range p.series.Len() {
		if !set.has(series.ID(id)) {
			continue
		}
		if id&63 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		runs, err := w.gather(series.ID(id))
		if err != nil {
			return 0, err
		}
		for _, r := range runs {
			s, err := w.narrow(r)
			if err != nil {
				return 0, err
			}
			n += int64(s.rows())
		}
	}
	return n, nil
}

// prune forgets deletions that nothing in the view is subject to.
func (v *view) prune() {
	done := wal.Position(^uint64(0))
	for _, f := range v.frozen {
		done = min(done, f.last)
	}
	for _, f := range v.segments {
		done = min(done, f.cleared())
	}
	for len(v.deletes) > 0 && v.deletes[0].At <= done {
		v.deletes = v.deletes[1:]
	}
}

// upTo returns the position of the latest deletion, or at least p.
func upTo(p wal.Position, deletes []*deletion) wal.Position {
	if n := len(deletes); n > 0 {
		p = max(p, deletes[n-1].At)
	}
	return p
}

// deleted reports whether a row written no later than at position last is deleted.
func (t *table) deleted(v *view, last wal.Position, id series.ID, time int64) bool {
	for i := len(v.deletes) - 1; i >= 0 && v.deletes[i].At > last; i-- {
		if v.deletes[i].names(t.registry, id, time) {
			return true
		}
	}
	return false
}

// cleared is the position up to which deletions are done in the segment.
func (f *segmentFile) cleared() wal.Position { return wal.Position(f.deletedTo.Load()) }

// pendingDeletes returns what the manifest keeps of a table's deletions: those that its segments are subject to
// and that the log may forget.
func (t *table) pendingDeletes(e *tableManifest) []*deletion {
	done := e.Flushed
	for i := range e.Segments {
		done = min(done, e.Segments[i].Deleted)
	}
	var out []*deletion
	for _, d := range t.view.Load().deletes {
		if d.At > done && d.At <= e.Flushed {
			out = append(out, d)
		}
	}
	return out
}

// subjected is a deletion that a plan's sources may be subject to.
type subjected struct {
	*deletion
	set *seriesSet
}

// subject tells the plan of deletions; its series are chosen already.
func (p *plan) subject(deletes []*deletion) {
	for _, d := range deletes {
		if set := d.series(p.series); set.any && d.From < d.To {
			p.deletes = append(p.deletes, subjected{d, set})
		}
	}
}

// subRun is a stretch of another run.
type subRun struct {
	run
	lo, hi   int
	min, max int64
}

func (r *subRun) span() (int, int64, int64) { return r.hi - r.lo, r.min, r.max }

func (r *subRun) times() ([]int64, error) {
	times, err := r.run.times()
	if err != nil {
		return nil, err
	}
	return times[r.lo:r.hi], nil
}

func (r *subRun) versions() ([]int64, error) {
	versions, err := r.run.versions()
	if err != nil || versions == nil {
		return nil, err
	}
	return versions[r.lo:r.hi], nil
}

func (r *subRun) column(c memstore.Col, into *values) error {
	if err := r.run.column(c, into); err != nil {
		return err
	}
	into.slice(r.lo, r.hi)
	return nil
}

func (r *subRun) scaled(c memstore.Col, into *values) (bool, error) {
	ok, err := r.run.scaled(c, into)
	if ok {
		into.slice(r.lo, r.hi)
	}
	return ok, err
}

// stats returns nil: what is known is of all rows, and some are deleted.
func (r *subRun) stats(memstore.Col) *blockStats { return nil }

// timeRange is from <= time < to.
type timeRange struct{ from, to int64 }

// cut takes what was deleted after position last out of the worker's runs from number first on, which
// are those of one source and series.
func (w *worker) cut(first int, last wal.Position, id series.ID) error {
	if len(w.p.deletes) == 0 || first == len(w.runs) {
		return nil
	}
	var gone []timeRange
	for _, d := range w.p.deletes {
		if d.At > last && d.set.has(id) {
			gone = append(gone, timeRange{d.From, d.To})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.SortFunc(gone, func(a, b timeRange) int { return cmp.Compare(a.from, b.from) })
	runs := slices.Clone(w.runs[first:])
	w.runs = w.runs[:first]
	for _, r := range runs {
		if err := w.cutRun(r, gone); err != nil {
			return err
		}
	}
	return nil
}

// cutRun adds what is left of a run to the worker's. gone is sorted by from and may overlap.
func (w *worker) cutRun(r run, gone []timeRange) error {
	n, first, last := r.span()
	touched := false
	for _, g := range gone {
		if g.from <= first && last < g.to {
			return nil
		}
		touched = touched || g.from <= last && first < g.to
	}
	if !touched {
		w.runs = append(w.runs, r)
		return nil
	}
	times, err := r.times()
	if err != nil {
		return err
	}
	keep := func(lo, hi int) {
		if lo < hi {
			w.runs = append(w.runs, &subRun{r, lo, hi, times[lo], times[hi-1]})
		}
	}
	lo := 0
	for _, g := range gone {
		from, _ := slices.BinarySearch(times, g.from)
		to, _ := slices.BinarySearch(times, g.to)
		keep(lo, from)
		lo = max(lo, to)
	}
	keep(lo, n)
	return nil
}

// purgeDue rewrites segments that hold deleted rows, and notes in the others that they hold none.
func (s *Store) purgeDue(ctx context.Context) error {
	var errs []error
	for _, t := range s.all() {
		if err := t.keep(func() error { return s.purge(ctx, t) }); err != nil && !fault.Is(err, fault.NotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func (s *Store) purge(ctx context.Context, t *table) error {
	s.segmentsMu.Lock()
	defer s.segmentsMu.Unlock()
	v := t.view.Load()
	if len(v.deletes) == 0 {
		return nil
	}
	var clean []*segmentFile
	for _, f := range v.segments {
		if ctx.Err() != nil || f.damaged.Load() || !t.reachable([]*segmentFile{f}) || f.cleared() >= upTo(0, v.deletes) {
			continue
		}
		touched, err := s.touched(ctx, t, f, v.deletes)
		switch {
		case err != nil && s.remote != nil && fault.Is(err, fault.Unavailable):
		case err != nil:
			if err := s.mergeFailed(t, []*segmentFile{f}, err); err != nil {
				return err
			}
		case !touched:
			clean = append(clean, f)
		default:
			if err := s.mergeLocked(ctx, t, []*segmentFile{f}); err != nil && !(s.remote != nil && fault.Is(err, fault.Unavailable)) {
				return err
			}
		}
	}
	return s.clear(t, clean, upTo(0, v.deletes))
}

// touched reports whether a segment may hold rows that deletions name.
func (s *Store) touched(ctx context.Context, t *table, f *segmentFile, deletes []*deletion) (bool, error) {
	if !f.acquire() {
		return false, t.gone()
	}
	defer f.release()
	idx, err := f.load(ctx, t, nil)
	if err != nil {
		return false, err
	}
	v := t.registry.View()
	for _, d := range deletes {
		if d.At <= f.cleared() || f.meta.MaxTime < d.From || f.meta.MinTime >= d.To {
			continue
		}
		set := d.series(v)
		for n, id := range idx.ids {
			if set.has(id) && idx.max[n] >= d.From && idx.min[n] < d.To {
				return true, nil
			}
		}
	}
	return false, nil
}

// clear notes that segments hold nothing that was deleted up to a position.
func (s *Store) clear(t *table, files []*segmentFile, upTo wal.Position) error {
	if len(files) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, f := range files {
		names[f.meta.Name] = true
	}
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	if s.manifest.of(t) == nil {
		return t.gone()
	}
	if err := s.changeLocked(func(m *manifest) {
		e := m.of(t)
		e.Segments = slices.Clone(e.Segments)
		for i := range e.Segments {
			if names[e.Segments[i].Name] {
				e.Segments[i].Deleted = upTo
			}
		}
		e.Deletes = t.pendingDeletes(e)
	}); err != nil {
		return err
	}
	for _, f := range files {
		f.deletedTo.Store(uint64(upTo))
	}
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	v := *t.view.Load()
	v.prune()
	t.view.Store(&v)
	return nil
}
