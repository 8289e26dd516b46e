package embedded

import (
	"cmp"
	"context"
	"slices"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
)

// A late row is judged against what segments have of its key, with the table's lock held and in the order of the log. A remote
// segment may take long to answer, so what it has is read before the record is written to the log, without a lock: only the request with the late row
// waits. The answers go into the record, and a replay judges by them: it does not ask again, since a segment that did not answer may answer
// then, and one that did may not.
//
// A segment that is to be moved to the remote store is asked too, from a position of the log on that goes with it into the manifest
// (leave): records up to there were judged against its file, and a replay reads it for them. The same goes for what it is merged into. No request with late rows is between its question and its
// judgement at that moment (table.late). What is remote and was not asked all the same, or did not answer, is passed over: the row is accepted, and the version
// decides at read.

// answer is what remote segments have of a row's key.
type answer struct {
	row     int32 // number among the picked rows
	version int64 // highest
	same    bool  // it has the values of the row
}

// answer returns the answer for the picked row i.
func (r *request) answer(i int) (answer, bool) {
	at, ok := slices.BinarySearchFunc(r.answers, int32(i), func(a answer, i int32) int { return cmp.Compare(a.row, i) })
	if !ok {
		return answer{}, false
	}
	return r.answers[at], true
}

// note keeps an answer, if it is the highest version.
func (r *request) note(next answer) {
	at, ok := slices.BinarySearchFunc(r.answers, next.row, func(a answer, i int32) int { return cmp.Compare(a.row, i) })
	switch {
	case !ok:
		r.answers = slices.Insert(r.answers, at, next)
	case next.version > r.answers[at].version:
		r.answers[at] = next
	}
}

// late reports whether rows of the request are meant for the magnetic store.
func (r *request) late() bool {
	return slices.ContainsFunc(r.pick, func(at int32) bool { return r.rows.Rows[at].TimeNs < r.memory })
}

// leave has a segment of the disk asked like a remote one from here on, and returns the position of the last record that was judged
// against its file.
func (t *table) leave(f *segmentFile) wal.Position {
	t.late.Lock() // waits for requests with late rows
	defer t.late.Unlock()
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	f.leaving.CompareAndSwap(0, max(1, uint64(t.applied)))
	return wal.Position(f.leaving.Load())
}

// asked reports whether requests ask the segment before they are logged.
func (f *segmentFile) asked() bool {
	return f.store.remote != nil && (f.meta.Remote || f.leaving.Load() > 0)
}

// judgedWith returns the position for a segment that segments are merged into: once some of what is in it was asked, it is, too.
func judgedWith(inputs []*segmentFile) (least wal.Position) {
	for _, f := range inputs {
		p := wal.Position(f.leaving.Load())
		if f.meta.Remote {
			p = max(p, 1) // moved by a version that did not note it
		}
		if p > 0 && (least == 0 || p < least) {
			least = p
		}
	}
	return least
}

// answered reports whether the answers of a request say all that the segment has of its rows.
func (t *table) answered(f *segmentFile, r *request) bool {
	if r.live {
		return f.asked() && (r.asked || f.meta.Remote)
	}
	return r.asked && (f.meta.Remote || f.meta.Judged > 0) && t.applied > f.meta.Judged
}

// ask reads what remote segments have of the request's rows. It waits for the remote store as long as it is tried, or until
// ctx is done, which is the only error.
func (t *table) ask(ctx context.Context, r *request) error {
	r.live = true
	if t.store.remote == nil {
		return nil
	}
	v := t.view.Load()
	for _, f := range v.segments {
		if !f.asked() || !r.overlaps(f) {
			continue
		}
		if r.asked = true; !f.acquire() {
			continue
		}
		err := t.askSegment(ctx, v, f, r)
		f.release()
		if ctx.Err() != nil {
			return fault.Wrap(fault.Cancelled, ctx.Err(), "The write was cancelled.")
		}
		if err != nil {
			t.unjudged(err)
		}
	}
	return nil
}

// overlaps reports whether a segment may have a key of the request.
func (r *request) overlaps(f *segmentFile) bool {
	for _, at := range r.pick {
		if time := r.rows.Rows[at].TimeNs; time >= f.meta.MinTime && time <= f.meta.MaxTime {
			return true
		}
	}
	return false
}

// askSegment reads what one segment has. It is not asked again after an error.
func (t *table) askSegment(ctx context.Context, v *view, f *segmentFile, r *request) error {
	if f.meta.Remote && t.store.remote.down() {
		return nil
	}
	idx, err := f.load(ctx, t, nil)
	if err != nil {
		return err
	}
	idx = idx.in(ctx)
	blocks, o := lookups{}, t.observed.Load()
	var cols []memstore.Col
	for i, at := range r.pick {
		row, id := &r.rows.Rows[at], r.ids[i]
		if row.TimeNs < f.meta.MinTime || row.TimeNs > f.meta.MaxTime || t.deleted(v, f.cleared(), id, row.TimeNs) {
			continue
		}
		stored, ok, err := idx.lookup(id, row.TimeNs, &blocks, o)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if cols == nil {
			cols = t.columns(r.rows.Columns)
		}
		r.note(answer{int32(i), stored.Version, sameValues(cols, &stored, row)})
	}
	return nil
}

// columns resolves columns of a request that is not applied yet.
func (t *table) columns(of []storage.Column) []memstore.Col {
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	return t.names.resolve(nil, of)
}

// unjudged tells that rows are accepted that might have been refused.
func (t *table) unjudged(err error) {
	t.store.opts.Log.Error("versions are not judged against a segment", "db", t.id.Database, "table", t.id.Table, "err", err)
}

// lookupSegments returns the row of a key in the segment that has its highest version, of those that were not asked. A segment
// that cannot be read is passed over, with a line in the log: the row is then
// accepted, and the version decides at read.
func (t *table) lookupSegments(v *view, r *request, id series.ID, time int64) (memstore.Row, bool) {
	var best memstore.Row
	found := false
	for _, f := range v.segments {
		if time < f.meta.MinTime || time > f.meta.MaxTime || t.deleted(v, f.cleared(), id, time) {
			continue
		}
		row, ok, err := t.lookupSegment(f, r, id, time)
		if err != nil {
			t.unjudged(err)
		}
		if ok && (!found || row.Version > best.Version) {
			best, found = row, true
		}
	}
	return best, found
}

func (t *table) lookupSegment(f *segmentFile, r *request, id series.ID, time int64) (row memstore.Row, ok bool, err error) {
	switch {
	case t.answered(f, r):
		return row, false, nil
	case f.meta.Remote && t.store.remote.down():
		return row, false, nil // a start does not wait for it
	case !f.acquire():
		return row, false, nil
	}
	defer f.release()
	idx, err := f.load(context.Background(), t, nil)
	if err != nil {
		return row, false, err
	}
	return idx.lookup(id, time, &t.lookups, t.names.observed)
}
