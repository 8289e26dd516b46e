package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vfs"
)

// Options of a store. Dir or FS is required, all else has defaults.
type Options struct {
	Dir string // the store's folder, made if missing; unused if FS is set
	FS  vfs.FS // the store's files; nil: those below Dir
	// Objects keeps the segments; nil: the folder "segments" of the store's files.
	Objects objstore.Store
	Remote  *Remote // takes segments that the memory store's retention has outlived; nil: they stay

	Clock            *clock.Clock // nil: the machine's
	MemoryLimitBytes int64        // of rows in memory; default 1 GiB. From half of it on rows are flushed.
	CacheBytes       int64        // of segments' blocks that were read; default an eighth of MemoryLimitBytes
	LogLimitBytes    int64        // of log that a restart would replay; default 128 MiB
	LogFileBytes     int64        // of each file of the log; default 32 MiB, at most half of LogLimitBytes
	// ReplayLimitValues is how many values may be in memory before some are flushed, so that a restart
	// has about that many to replay, at some ten millions a second; twice as many of series of few rows. Default 6 million.
	ReplayLimitValues int64
	Log               *slog.Logger // nil: discard

	admitTimeout  time.Duration // how long a write waits for memory; default 10 s
	retryAfter    time.Duration // how long what failed is left alone; default retryAfter
	stretchRows   int           // rows of a series that writing a segment holds; default stretchRows
	mixedRows     int           // rows that an ordered scan puts in order in memory; default mixedRows
	logQueueBytes int64         // that may wait to be written to the log; default that of package wal
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.MemoryLimitBytes <= 0 {
		o.MemoryLimitBytes = 1 << 30
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = o.MemoryLimitBytes / 8
	}
	if o.LogLimitBytes <= 0 {
		o.LogLimitBytes = 128 << 20
	}
	if o.ReplayLimitValues <= 0 {
		o.ReplayLimitValues = 6_000_000
	}
	if o.stretchRows <= 0 {
		o.stretchRows = stretchRows
	}
	if o.retryAfter <= 0 {
		o.retryAfter = retryAfter
	}
	if o.mixedRows <= 0 {
		o.mixedRows = mixedRows
	}
	if o.admitTimeout <= 0 {
		o.admitTimeout = 10 * time.Second
	}
	if o.LogFileBytes <= 0 {
		o.LogFileBytes = 32 << 20
	}
	// Only whole files are deleted: a limit below two files would be passed for ever.
	o.LogFileBytes = min(o.LogFileBytes, o.LogLimitBytes/2)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// The kinds of the log's records.
const (
	recordRows     = 1 // see record.go
	recordNumbered = 2 // see recordv2.go
	recordDelete   = 3 // see delete.go
)

// Store is the embedded engine. It implements [storage.Backend].
type Store struct {
	opts  Options
	clock *clock.Clock
	fs    vfs.FS
	lock  vfs.Unlocker
	log   *wal.Log

	objects     objstore.Store // on the disk
	remote      *remote        // or nil
	nextSegment atomic.Uint64  // number of the latest segment
	open        openSegments
	cache       *segment.Cache

	memory atomic.Int64 // bytes in all tables' memory stores
	active atomic.Int64 // values in all tables' active stores, as weigh counts them

	panics atomic.Int64 // see contain.go
	stuck  atomic.Int64 // tables that are

	flushWanted, maintainWanted chan struct{} // of one slot: see signal

	roomMu sync.Mutex    // guards room
	room   chan struct{} // closed and replaced when memory is freed

	flushMu sync.Mutex // held by the one flush that runs; taken before all others

	segmentsMu sync.Mutex // held by what takes segments away: merge and expiry; before manifestMu

	mu     sync.RWMutex // guards tables
	tables map[storage.TableID]*table

	manifestMu sync.Mutex // guards the manifest, in memory and on disk, and unsettled; taken before a table's locks
	manifest   *manifest
	unsettled  time.Time // when it was last tried to end doubts, or zero: see doubt.go

	stop    context.CancelFunc
	workers sync.WaitGroup
}

// CacheStats is what the cache of blocks holds and how often it served.
type CacheStats = segment.CacheStats

// CacheStats tells how the cache of blocks does.
func (s *Store) CacheStats() CacheStats { return s.cache.Stats() }

// Open opens the store in a folder, or makes one. A folder that another process has
// open is an error of kind fault.Conflict.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{opts: o, clock: o.Clock, fs: o.FS, tables: map[storage.TableID]*table{},
		flushWanted: make(chan struct{}, 1), maintainWanted: make(chan struct{}, 1), room: make(chan struct{})}
	if s.fs == nil {
		var err error
		if s.fs, err = vfs.Real(o.Dir); err != nil {
			return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
		}
	}
	s.cache = segment.NewCache(o.CacheBytes)
	s.open.limit, s.open.files = o.MemoryLimitBytes/8, map[*segmentFile]int64{}
	var err error
	if s.lock, err = s.fs.Lock("lock"); errors.Is(err, vfs.ErrLocked) {
		return nil, fault.Wrap(fault.Conflict, err, "The data folder %s is in use by another process.", o.Dir)
	} else if err != nil {
		return nil, fmt.Errorf("lock store %s: %w", o.Dir, err)
	}
	if err := s.recover(ctx); err != nil {
		s.lock.Unlock()
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.start(background)
	return s, nil
}

// recover reads the manifest and replays the log.
func (s *Store) recover(ctx context.Context) error {
	var err error
	if s.manifest, err = readManifest(s.fs); err != nil {
		return err
	}
	if s.objects = s.opts.Objects; s.objects == nil {
		if s.objects, err = objstore.Local(s.fs, "segments"); err != nil {
			return err
		}
	}
	s.nextSegment.Store(s.manifest.NextSegment)
	if err := s.openRemote(ctx); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	copies, damaged, err := readCopies(s.fs)
	if err != nil {
		return err
	}
	if damaged != nil {
		s.opts.Log.Error("a copy of a record of the log is damaged; it counts as none", "err", damaged)
	}
	r := newReplay(ctx, s)
	r.copies = copies
	for i := range s.manifest.Tables {
		m := &s.manifest.Tables[i]
		t := newTable(s, m.ID, m.UID, rules{policy: m.Policy, low: m.Low}, newNames(m.observed()))
		t.applied = m.Flushed
		t.openSegments(m.Segments, m.Deletes)
		s.tables[m.ID] = t
		r.tables[m.UID] = &replayTable{table: t, flushed: m.Flushed}
	}
	s.log, err = wal.Open(wal.Options{FS: s.fs, Dir: walDir, FileBytes: s.opts.LogFileBytes, MaxQueued: s.opts.logQueueBytes, Log: s.opts.Log}, r.record)
	if failed := r.end(); err == nil && failed != nil {
		s.log.Close()
		err = failed
	}
	if err != nil {
		return err
	}
	r.tidy()
	return s.checkLog()
}

// checkLog refuses a log that ends before what was flushed from it: new records
// would be taken for flushed ones at the next start.
func (s *Store) checkLog() error {
	end := s.log.Mark()
	for i := range s.manifest.Tables {
		if m := &s.manifest.Tables[i]; m.Flushed > end {
			s.log.Close()
			return fault.New(fault.Corrupt, "Files of the log are missing: it ends at %d, and the table %s.%s was flushed up to %d.",
				end, m.ID.Database, m.ID.Table, m.Flushed)
		}
	}
	return nil
}

// CreateTable implements [storage.Backend].
func (s *Store) CreateTable(ctx context.Context, id storage.TableID, p storage.Policy) error {
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	if t := s.lookup(id); t != nil {
		return s.setPolicyLocked(t, p)
	}
	m := tableManifest{ID: id, UID: s.manifest.NextTable, Policy: p, Low: math.MinInt64}
	if err := s.changeLocked(func(next *manifest) {
		next.NextTable++
		next.Tables = append(next.Tables, m)
	}); err != nil {
		return err
	}
	t := newTable(s, id, m.UID, rules{policy: p, low: m.Low}, newNames(nil))
	s.mu.Lock()
	s.tables[id] = t
	s.mu.Unlock()
	return nil
}

// changeLocked writes a changed manifest and, if that works, adopts it. What edit
// does not replace is shared with the old one.
func (s *Store) changeLocked(edit func(next *manifest)) error {
	next := *s.manifest
	next.Tables = slices.Clone(next.Tables)
	next.NextSegment = s.nextSegment.Load()
	edit(&next)
	if err := next.write(s.fs); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The store's manifest could not be written.")
	}
	s.manifest = &next
	s.settled()
	return nil
}

// of returns a table's entry, or nil.
func (m *manifest) of(t *table) *tableManifest {
	for i := range m.Tables {
		if m.Tables[i].UID == t.uid {
			return &m.Tables[i]
		}
	}
	return nil
}

// SetPolicy implements [storage.Backend].
func (s *Store) SetPolicy(ctx context.Context, id storage.TableID, p storage.Policy) error {
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	t := s.lookup(id)
	if t == nil {
		return fault.New(fault.NotFound, "The table %s does not exist.", id.Table)
	}
	return s.setPolicyLocked(t, p)
}

func (s *Store) setPolicyLocked(t *table, p storage.Policy) error {
	old := *t.rules.Load()
	next := old.withPolicy(p, s.clock.Now())
	if next == old {
		return nil
	}
	if err := s.changeLocked(func(m *manifest) {
		entry := m.of(t)
		entry.Policy, entry.Low = next.policy, next.low
	}); err != nil {
		s.doubtful(t, err)
		return err
	}
	t.rules.Store(&next)
	signal(s.maintainWanted)
	return nil
}

// DropTable implements [storage.Backend].
func (s *Store) DropTable(ctx context.Context, id storage.TableID) error {
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	t := s.lookup(id)
	if t == nil {
		return nil
	}
	if err := s.changeLocked(func(m *manifest) {
		m.Tables = slices.DeleteFunc(m.Tables, func(e tableManifest) bool { return e.UID == t.uid })
	}); err != nil {
		s.doubtful(t, err)
		return err
	}
	s.mu.Lock()
	delete(s.tables, id)
	s.mu.Unlock()
	t.drop()
	return nil
}

// drop ends a table that the manifest does not know any more.
func (t *table) drop() {
	t.submitMu.Lock() // a write is either queued before or refused
	t.dropped.Store(true)
	t.submitMu.Unlock()
	t.applyMu.Lock()
	v := t.view.Load()
	t.view.Store(&view{active: v.active})
	t.store.freed(t.bytes + frozenBytes(v))
	t.store.active.Add(-t.values)
	t.bytes, t.values, t.uncounted = 0, 0, true
	if t.stuck.err() != nil {
		t.store.stuck.Add(-1)
	}
	t.applyMu.Unlock()
	for _, seg := range v.segments {
		seg.retire()
	}
	t.store.forgetCopies(t.held.copies...)
	signal(t.store.maintainWanted) // the log may be shorter
}

func frozenBytes(v *view) (n int64) {
	for _, m := range v.frozen {
		n += m.counted
	}
	return n
}

func (s *Store) lookup(id storage.TableID) *table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tables[id]
}

// Tables implements [storage.Backend].
func (s *Store) Tables() []storage.TableID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.tables))
}

// all returns the open tables, in no order.
func (s *Store) all() []*table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.tables))
}

// Table implements [storage.Backend].
func (s *Store) Table(id storage.TableID) (storage.Table, error) {
	if t := s.lookup(id); t != nil {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "The table %s does not exist.", id.Table)
}

// Close implements [storage.Backend]: it flushes what is in memory, so that the next
// start has no log to replay.
func (s *Store) Close() error { return s.Shutdown(context.Background()) }

// Shutdown is Close for those who cannot wait: tables that are not flushed when ctx is done, the largest last, stay in the log, which says so.
// That is no error.
func (s *Store) Shutdown(ctx context.Context) error {
	s.stop()
	s.workers.Wait()
	err := s.flushAll(ctx)
	if rows, tables := s.unflushed(); rows > 0 {
		s.opts.Log.Warn("rows were not written out: the next start replays them from the log", "rows", rows, "tables", tables, "bytes", s.log.SizeBytes(), "err", err)
	}
	if ctx.Err() != nil {
		err = nil
	}
	err = errors.Join(err, s.log.Close())
	s.closeSegments()
	return errors.Join(err, s.lock.Unlock())
}
