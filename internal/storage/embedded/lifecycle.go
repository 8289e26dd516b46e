package embedded

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// start begins the store's background work, which ends with ctx.
func (s *Store) start(ctx context.Context) {
	s.workers.Go(func() { s.flushLoop(ctx) })
	s.workers.Go(func() { s.tick(ctx) })
	s.workers.Go(func() { s.sealLoop(ctx) })
	s.workers.Go(func() { s.maintainLoop(ctx) })
	if s.remote != nil {
		s.workers.Go(func() { s.offloadLoop(ctx) })
	}
}

// written is called after each write with the bytes that memory grew by.
func (s *Store) written(grown int64) {
	s.memory.Add(grown)
	if bytes, values := s.inMemory(); bytes > s.opts.MemoryLimitBytes/2 || values > s.opts.ReplayLimitValues || s.longLog() {
		signal(s.flushWanted)
	}
}

// longLog reports whether flushes are to shorten the log. They cannot while a table is stuck.
func (s *Store) longLog() bool {
	return s.log.SizeBytes() > s.opts.LogLimitBytes && s.stuck.Load() == 0
}

// freed is called when rows have left memory.
func (s *Store) freed(bytes int64) {
	s.memory.Add(-bytes)
	s.wake()
}

// wake has writes that wait for memory look again.
func (s *Store) wake() {
	s.roomMu.Lock()
	close(s.room)
	s.room = make(chan struct{})
	s.roomMu.Unlock()
}

// hasRoom reports whether memory is below its limit.
func (s *Store) hasRoom() bool {
	bytes, _ := s.inMemory()
	return bytes <= s.opts.MemoryLimitBytes
}

// admit lets a write in once memory, that of tables that are stuck aside, is below its limit.
func (s *Store) admit(ctx context.Context) error {
	if s.hasRoom() {
		return nil
	}
	timeout := time.NewTimer(s.opts.admitTimeout)
	defer timeout.Stop()
	for {
		s.roomMu.Lock()
		room := s.room
		s.roomMu.Unlock()
		if s.hasRoom() {
			return nil
		}
		signal(s.flushWanted)
		select {
		case <-room:
		case <-ctx.Done():
			return fault.Wrap(fault.Cancelled, ctx.Err(), "The write was cancelled.")
		case <-timeout.C:
			return fault.New(fault.Throttled, "The memory store is full: its rows cannot be written to disk as fast as new ones come.")
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is on its way
	}
}

// retryAfter is how long a failed flush waits for the next attempt.
const retryAfter = time.Second

// mostLogFiles is how many files of the log a start may find before it flushes. Each start begins a file, which
// takes its full size on the disk: without a limit a server that is killed again and again would fill it.
const mostLogFiles = 8

// flushLoop flushes when asked to, and at first if earlier starts have left many files of the log.
func (s *Store) flushLoop(ctx context.Context) {
	if len(s.log.DurableFiles()) > mostLogFiles {
		if err := s.flushAll(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("the log is not shortened", "err", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.flushWanted:
		}
		if err := s.flushDue(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("rows stay in memory and in the log", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryAfter):
				signal(s.flushWanted)
			}
		}
		signal(s.maintainWanted)
	}
}

// maintainEvery is the time by the store's clock between looks at retention.
const maintainEvery = time.Minute

// tick asks for maintenance as the clock moves, however it moves.
func (s *Store) tick(ctx context.Context) {
	for s.clock.Wait(ctx, s.clock.Now().Add(maintainEvery)) == nil {
		signal(s.maintainWanted)
	}
}

// sealAfter is how long nothing must be written before the log is sealed: a server under load has no use for it, because its
// latest frame is never old.
const sealAfter = time.Second

// sealLoop seals the log when nothing is written.
func (s *Store) sealLoop(ctx context.Context) {
	every := time.NewTicker(sealAfter)
	defer every.Stop()
	for last := s.log.Mark(); ; last = s.log.Mark() {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if s.log.Mark() == last {
			s.log.Seal()
		}
	}
}

// maintainLoop deletes what retention has outlived, moves cold rows out of memory and
// merges small segments.
func (s *Store) maintainLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.maintainWanted:
		}
		if err := s.maintain(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("the magnetic store is not kept in order", "err", err)
		}
		if s.remote != nil {
			signal(s.remote.wanted)
		}
	}
}

// maintain does all that is due. What fails for one table keeps no other from it.
func (s *Store) maintain(ctx context.Context) error {
	var errs []error
	for _, t := range s.all() {
		errs = append(errs, t.keep(func() error { return s.expire(t) }))
	}
	for _, t := range s.all() {
		if t.stuck.err() == nil {
			errs = append(errs, s.flushCold(ctx, t))
		}
	}
	// Cold tables and deletions flush without regard to the log, which may have files that nothing needs any more.
	errs = append(errs, s.truncateLog(), s.purgeDue(ctx), s.mergeDue(ctx))
	return errors.Join(errs...)
}

// replayed keeps memory bounded while the log is replayed.
func (s *Store) replayed(ctx context.Context) error {
	if s.hasRoom() {
		return nil
	}
	for _, t := range s.all() {
		if t.stuck.err() != nil {
			continue
		}
		if err := s.flush(ctx, t); err != nil && t.stuck.err() == nil {
			return err
		}
	}
	return nil
}

// low returns the time before which a table's rows are gone.
func (t *table) low() int64 {
	r := t.rules.Load()
	return max(r.low, r.policy.Expiry(t.store.clock.Now()))
}

// expire deletes a table's segments whose rows are all gone. What is left in others is hidden
// from scans and leaves with the next merge.
func (s *Store) expire(t *table) error {
	s.segmentsMu.Lock()
	defer s.segmentsMu.Unlock()
	low := t.low()
	var gone []*segmentFile
	for _, seg := range t.view.Load().segments {
		if seg.meta.MaxTime < low {
			gone = append(gone, seg)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := s.replace(t, gone, nil); err != nil {
		return err
	}
	s.opts.Log.Info("retention deleted segments", "db", t.id.Database, "table", t.id.Table, "segments", len(gone))
	return nil
}

// flushCold flushes a table whose rows in memory all belong to the magnetic store, or that
// deletions have left stores of.
func (s *Store) flushCold(ctx context.Context, t *table) error {
	v := t.view.Load()
	_, newest := v.active.Times()
	_, _, memory := t.rules.Load().policy.Window(s.clock.Now())
	if len(v.frozen) == 0 && (newest >= memory || newest == minTime) {
		return nil
	}
	err := s.flush(ctx, t)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// replace puts new segments in the place of old ones: in the manifest, for readers,
// and then on disk.
func (s *Store) replace(t *table, old []*segmentFile, metas []segmentMeta) error {
	files := make([]*segmentFile, len(metas))
	for i, m := range metas {
		files[i] = newSegmentFile(s, m)
	}
	names := make([]string, len(old))
	for i, seg := range old {
		names[i] = seg.meta.Name
	}
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	if s.manifest.of(t) == nil {
		return t.gone()
	}
	if err := s.changeLocked(func(m *manifest) {
		e := m.of(t)
		at := slices.IndexFunc(e.Segments, func(x segmentMeta) bool { return x.Name == names[0] })
		kept := slices.Clone(e.Segments[:at])
		kept = append(kept, metas...)
		for _, x := range e.Segments[at:] {
			if !slices.Contains(names, x.Name) {
				kept = append(kept, x)
			}
		}
		e.Segments = kept
		e.Deletes = t.pendingDeletes(e)
	}); err != nil {
		return err
	}
	t.swap(old, files)
	for _, seg := range old {
		seg.retire()
	}
	return nil
}

// swap puts new segments in the place of old ones for readers.
func (t *table) swap(old, files []*segmentFile) {
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	v := *t.view.Load()
	at := slices.Index(v.segments, old[0])
	kept := append(slices.Clone(v.segments[:at]), files...)
	for _, x := range v.segments[at:] {
		if !slices.Contains(old, x) {
			kept = append(kept, x)
		}
	}
	v.segments = kept
	v.prune()
	t.view.Store(&v)
}
