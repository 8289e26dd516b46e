package embedded

import (
	"context"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
)

// A late row is judged against what segments have of its key, with the table's lock held and in the order of the log. A remote
// segment may take long to answer, so what it has is read before the record is written to the log, without a lock: only the request with the late row
// waits. What became remote since then is passed over, like what cannot be read: the row is accepted, and the version
// decides at read. A replay reads when it judges, because nobody else waits.

// keyOf names a row that a segment may have.
type keyOf struct {
	file *segmentFile
	id   series.ID
	time int64
}

// storedRows is what remote segments have of a request's late rows; keys that they have not are absent.
type storedRows map[keyOf]*memstore.Row

// ask reads what remote segments have of the request's rows. It waits for the remote store as long as it is tried, or until
// ctx is done, which is the only error.
func (t *table) ask(ctx context.Context, r *request) error {
	r.live, r.stored = true, nil
	if t.store.remote == nil {
		return nil
	}
	v := t.view.Load()
	for _, f := range v.segments {
		if !f.meta.Remote || !r.overlaps(f) || !f.acquire() {
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
	if t.store.remote.down() {
		return nil
	}
	idx, err := f.load(ctx, t, nil)
	if err != nil {
		return err
	}
	idx = idx.in(ctx)
	blocks, o := lookups{}, t.observed.Load()
	for i, at := range r.pick {
		key := keyOf{f, r.ids[i], r.rows.Rows[at].TimeNs}
		if key.time < f.meta.MinTime || key.time > f.meta.MaxTime || t.deleted(v, f.cleared(), key.id, key.time) {
			continue
		}
		row, ok, err := idx.lookup(key.id, key.time, &blocks, o)
		if err != nil {
			return err
		}
		if ok {
			if r.stored == nil {
				r.stored = storedRows{}
			}
			r.stored[key] = &row
		}
	}
	return nil
}

// unjudged tells that rows are accepted that might have been refused.
func (t *table) unjudged(err error) {
	t.store.opts.Log.Error("versions are not judged against a segment", "db", t.id.Database, "table", t.id.Table, "err", err)
}

// lookupSegments returns the row of a key of a request in the segment that has its highest version. A segment
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
	case f.meta.Remote && r.live:
		if known := r.stored[keyOf{f, id, time}]; known != nil {
			return *known, true, nil
		}
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
