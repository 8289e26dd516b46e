package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
)

// frozenStore is a memory store on its way into segments. It is read-only.
type frozenStore struct {
	*memstore.Store
	first    wal.Position // from which on the log is needed for the records in it
	last     wal.Position // of the last of them
	observed *observed    // after the last of them
	counted  int64        // bytes of it in Store.memory: scans and the flush may put rows in order, which takes others
}

// freezeLocked takes the active store out of the writers' way. Nothing happens if no
// record was applied since the last time.
func (t *table) freezeLocked() {
	if !t.unflushed {
		return
	}
	v := *t.view.Load()
	v.frozen = append(slices.Clip(v.frozen), &frozenStore{v.active, t.first, t.applied, t.names.observed, t.bytes})
	v.active = memstore.New()
	t.view.Store(&v)
	t.store.active.Add(-t.values)
	t.unflushed, t.bytes, t.values = false, 0, 0
}

// needed returns the first position of the log that a record needs which is not in segments yet,
// or is to come, or until if there is none before it.
func (t *table) needed(until wal.Position) wal.Position {
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	if t.held.from > 0 {
		until = min(until, t.held.from)
	}
	for _, f := range t.view.Load().frozen {
		until = min(until, f.first)
	}
	if t.unflushed {
		until = min(until, t.first)
	}
	t.submitMu.Lock()
	defer t.submitMu.Unlock()
	if len(t.pending) > 0 {
		until = min(until, t.pending[0].epoch)
	}
	if t.numbers {
		// A flush may have taken along records of the epoch that began with it; later ones use their numbers.
		until = min(until, t.epoch)
	}
	return until
}

// flush writes the rows of a table that are in memory into segments and lets the log
// forget them. One flush runs at a time.
func (s *Store) flush(ctx context.Context, t *table) error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	return t.unstuck(func() error {
		if err := t.freeze(); err != nil {
			return err
		}
		for {
			v := t.view.Load()
			if len(v.frozen) == 0 {
				return nil
			}
			if err := s.flushFrozen(ctx, t, v.frozen[0]); err != nil {
				return fmt.Errorf("flush table %s.%s: %w", t.id.Database, t.id.Table, err)
			}
		}
	})
}

func (s *Store) flushFrozen(ctx context.Context, t *table, f *frozenStore) error {
	begin := time.Now()
	metas, err := s.writeFrozen(ctx, t, f)
	if err == nil {
		err = s.adopt(t, f, metas)
	}
	if err != nil {
		s.discard(metas, err)
		return err
	}
	s.opts.Log.Debug("flushed", "db", t.id.Database, "table", t.id.Table, "rows", f.Rows(), "bytes", bytesOf(metas), "segments", len(metas), "dur", time.Since(begin))
	return nil
}

func bytesOf(metas []segmentMeta) (bytes int64) {
	for i := range metas {
		bytes += metas[i].Bytes
	}
	return bytes
}

// adopt makes new segments take the place of a frozen store: first in the manifest,
// then for readers.
func (s *Store) adopt(t *table, f *frozenStore, metas []segmentMeta) error {
	files := make([]*segmentFile, len(metas))
	for i, m := range metas {
		files[i] = newSegmentFile(s, m)
	}
	flushed := t.flushedWith(f)
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	if s.manifest.of(t) == nil {
		return t.gone()
	}
	if err := s.changeLocked(func(m *manifest) {
		e := m.of(t)
		e.Segments = append(slices.Clip(e.Segments), metas...)
		e.Flushed = f.last
		e.setObserved(f.observed)
		e.Deletes = t.pendingDeletes(e)
	}); err != nil {
		return err
	}
	t.thaw(f, files, flushed)
	s.freed(f.counted)
	return nil
}

// thaw puts segments in the place of a frozen store for readers.
func (t *table) thaw(f *frozenStore, files []*segmentFile, flushed []int64) {
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	v := *t.view.Load()
	v.frozen = slices.DeleteFunc(slices.Clone(v.frozen), func(x *frozenStore) bool { return x == f })
	v.segments = append(slices.Clip(v.segments), files...)
	v.prune()
	t.view.Store(&v)
	t.flushed = flushed
}

// flushedWith returns t.flushed with a frozen store's times added. Only flushes
// change it, one at a time.
func (t *table) flushedWith(f *frozenStore) []int64 {
	all := f.All()
	flushed := slices.Grow(slices.Clone(t.flushed), max(0, len(all)-len(t.flushed)))
	for id := range all {
		if id == len(flushed) {
			flushed = append(flushed, minTime)
		}
		if series := all[id].Load(); series != nil {
			flushed[id] = max(flushed[id], series.LastTime())
		}
	}
	return flushed
}

// truncateLog deletes the files of the log that nothing needs any more.
func (s *Store) truncateLog() error {
	s.flushMu.Lock() // the log wants one call at a time
	defer s.flushMu.Unlock()
	// Records from here on may be on their way into tables.
	until := s.log.Mark()
	for _, t := range s.all() {
		until = t.needed(until)
	}
	return s.log.TruncateBefore(until)
}

// sorted returns the tables by the size of their active stores, the smallest first.
func (s *Store) sorted(size func(*memstore.Store) int64) []*table {
	tables := s.all()
	slices.SortFunc(tables, func(a, b *table) int {
		return cmp.Compare(size(a.view.Load().active), size(b.view.Load().active))
	})
	return tables
}

// unflushed counts rows that are in memory, and their tables.
func (s *Store) unflushed() (rows int64, tables int) {
	for _, t := range s.all() {
		v := t.view.Load()
		n := v.active.Rows()
		for _, f := range v.frozen {
			n += f.Rows()
		}
		if rows += n; n > 0 {
			tables++
		}
	}
	return rows, tables
}

// flushAll flushes every table that is not stuck, small ones first, and shortens the log.
func (s *Store) flushAll(ctx context.Context) error {
	var errs []error
	for _, t := range s.sorted((*memstore.Store).Values) {
		if t.stuck.err() != nil {
			continue
		}
		if err := s.flush(ctx, t); err != nil && !fault.Is(err, fault.NotFound) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fault.Wrap(fault.Unavailable, err, "Rows could not be written to the magnetic store.")
	}
	return s.truncateLog()
}

// flushDue flushes what the limits of memory and log ask for.
func (s *Store) flushDue(ctx context.Context) error {
	if s.longLog() {
		return s.flushAll(ctx)
	}
	over := func(part int64) bool {
		bytes, values := s.inMemory()
		return bytes > s.opts.MemoryLimitBytes/part || values > 2*s.opts.ReplayLimitValues/part
	}
	if !over(2) {
		return nil
	}
	tables := s.sorted((*memstore.Store).Bytes)
	slices.Reverse(tables)
	for _, t := range tables {
		if !over(4) {
			break
		}
		if t.stuck.err() != nil {
			continue
		}
		if err := s.flush(ctx, t); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return s.truncateLog()
}
