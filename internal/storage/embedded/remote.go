package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
)

// Segments are written to the disk first, always. Where there is a remote store, those that the memory
// store's retention has outlived and that no merge or purge is due for are moved there (offload): the object is
// put, then the manifest says that it is remote, then the file is deleted. Killed in between, the store
// has the file still, and puts the object again. Late rows make new files on the disk, which are merged with the
// object into a new file, which is moved in turn.
//
// Objects lie below the id of the store, which is random and in the manifest, so that two servers
// with one bucket leave each other alone; what keeps two copies of one store apart is in owner.go. An object that was there before the start and that the
// manifest did not name is garbage of a crash or of an outage, and is deleted once the store is open and the bucket answers.
//
// Reads go through a cache of pieces in the folder cache. What is there, and whatever is on the disk, is
// answered while the bucket is down; a scan that needs more ends with fault.Unavailable. After a failure
// calls are refused for a while without being tried, so that nobody waits long for what is down.

// Remote is a store for segments away from this machine.
type Remote struct {
	Store      objstore.Store
	Name       string // as people know it: "s3://bucket/prefix at http://…"
	CacheBytes int64  // of the disk, for what was read; default 1 GiB
}

// RemoteStatus tells how the remote store does.
type RemoteStatus struct {
	Name         string // empty: there is none
	Err          error  // why it cannot be reached, or nil; of kind fault.Conflict: it belongs to another copy of the folder
	Since        time.Time
	Cache        objstore.CacheStats
	WaitingBytes int64 // of segments that should be there and are not yet
	RemoteBytes  int64 // of those that are
}

// remote is the remote store of an open store.
type remote struct {
	*guarded
	cache *objstore.Cache

	working sync.Mutex    // held by the one who sweeps or moves
	wanted  chan struct{} // of one slot: something may be to be moved
	waiting atomic.Int64

	token   string // of this start: see owner.go
	claimed atomic.Bool
	lost    atomic.Pointer[error] // why nothing is put there or deleted any more, or nil

	mu       sync.Mutex      // guards the fields below
	leftover []segmentMeta   // objects to delete
	known    map[string]bool // objects that the manifest named at the start, or that were put since: no garbage, see sweepRemote
}

// guarded refuses calls for a while after one failed.
type guarded struct {
	store objstore.Store
	id    string // of the store; before all keys
	name  string
	log   *slog.Logger

	mu      sync.Mutex // guards the fields below
	err     error      // of the latest call, if the store could not be reached
	since   time.Time
	retryAt time.Time
	pause   time.Duration
}

const (
	leastPause = time.Second
	mostPause  = 15 * time.Second
)

// do calls f unless the store was found down a moment ago.
func (g *guarded) do(ctx context.Context, key string, f func(key string) error) error {
	g.mu.Lock()
	if g.err != nil && time.Now().Before(g.retryAt) {
		err := g.err
		g.mu.Unlock()
		return g.explain(key, err)
	}
	g.mu.Unlock()
	err := f(g.id + "/" + key)
	if err != nil && (!fault.Is(err, fault.Unavailable) || ctx.Err() != nil) { // the latter says nothing of the store
		return err
	}
	g.mu.Lock()
	before := g.err
	if g.err = err; err != nil {
		g.pause = min(max(2*g.pause, leastPause), mostPause)
		g.retryAt = time.Now().Add(g.pause)
		if before == nil {
			g.since = time.Now()
		}
	} else {
		g.pause = 0
	}
	g.mu.Unlock()
	switch {
	case err != nil && before == nil:
		g.log.Warn("the magnetic store cannot be reached: what is in memory, on this disk and in the cache is served", "store", g.name, "err", err)
	case err == nil && before != nil:
		g.log.Info("the magnetic store can be reached again", "store", g.name)
	}
	return g.explain(key, err)
}

func (g *guarded) explain(key string, err error) error {
	return fault.Wrap(fault.Unavailable, err, "The magnetic store %s cannot be reached, for %s: %s", g.name, key, fault.MessageOf(orNil(err)))
}

func orNil(err error) error {
	if err == nil {
		return fault.New(fault.Internal, "")
	}
	return err
}

// ReadRange reads a part of an object, for the cache.
func (g *guarded) ReadRange(ctx context.Context, key string, p []byte, off int64) (n int, err error) {
	err = g.do(ctx, key, func(key string) error {
		if r, ok := g.store.(interface {
			ReadRange(ctx context.Context, key string, p []byte, off int64) (int, error)
		}); ok {
			n, err = r.ReadRange(ctx, key, p, off)
			return err
		}
		o, err := g.store.Open(ctx, key)
		if err != nil {
			return err
		}
		defer o.Close()
		n, err = objstore.In(ctx, o).ReadAt(p, off)
		return err
	})
	return n, err
}

// Put implements [objstore.Store].
func (g *guarded) Put(ctx context.Context, key string, r io.Reader) error {
	return g.do(ctx, key, func(key string) error { return g.store.Put(ctx, key, r) })
}

// Open implements [objstore.Store].
func (g *guarded) Open(ctx context.Context, key string) (o objstore.Object, err error) {
	err = g.do(ctx, key, func(key string) error { o, err = g.store.Open(ctx, key); return err })
	return o, err
}

// List implements [objstore.Store].
func (g *guarded) List(ctx context.Context, prefix string) (keys []string, err error) {
	err = g.do(ctx, prefix, func(prefix string) error {
		keys, err = g.store.List(ctx, prefix)
		return err
	})
	for i := range keys {
		keys[i] = keys[i][len(g.id)+1:]
	}
	return keys, err
}

// Delete implements [objstore.Store].
func (g *guarded) Delete(ctx context.Context, key string) error {
	return g.do(ctx, key, func(key string) error { return g.store.Delete(ctx, key) })
}

// down reports whether the store could not be reached when it was last tried, a moment ago.
func (g *guarded) down() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err != nil && time.Now().Before(g.retryAt)
}

// openRemote opens the remote store, if there is one; a store that has segments there needs it.
func (s *Store) openRemote(ctx context.Context) error {
	o := s.opts.Remote
	if o == nil {
		if segments := s.manifest.remoteSegments(); segments > 0 {
			return fault.New(fault.Invalid, "%d segments of this data folder are in the magnetic store %s: start with --magnetic-store and what it needs.",
				segments, s.manifest.RemoteName)
		}
		return nil
	}
	if s.manifest.StoreID == "" || s.manifest.RemoteName != o.Name {
		if segments := s.manifest.remoteSegments(); segments > 0 && s.manifest.RemoteName != o.Name {
			// The bucket may have moved; that the segments are there shows when they are read.
			s.opts.Log.Warn("the magnetic store has another name than before", "before", s.manifest.RemoteName, "now", o.Name, "segments", segments)
		}
		id := s.manifest.StoreID
		if id == "" {
			id = randomText(8)
		}
		if err := s.changeLocked(func(m *manifest) { m.StoreID, m.RemoteName = id, o.Name }); err != nil {
			return err
		}
	}
	limit := o.CacheBytes
	if limit <= 0 {
		limit = 1 << 30
	}
	g := &guarded{store: o.Store, id: s.manifest.StoreID, name: o.Name, log: s.opts.Log}
	cache, err := objstore.NewCache(g, s.fs, "cache", limit, func(file string) {
		s.opts.Log.Warn("a file of the cache is damaged: what it holds is fetched again", "file", file)
	})
	if err != nil {
		return err
	}
	s.remote = &remote{guarded: g, cache: cache, wanted: make(chan struct{}, 1), token: randomText(16), known: map[string]bool{}}
	for i := range s.manifest.Tables {
		for _, m := range s.manifest.Tables[i].Segments {
			if m.Remote {
				s.remote.known[m.Name] = true
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	if err := s.claim(ctx); fault.Is(err, fault.Conflict) {
		return err
	} // any other trouble: the background tries again
	signal(s.remote.wanted)
	return nil
}

func (m *manifest) remoteSegments() (n int) {
	for i := range m.Tables {
		for k := range m.Tables[i].Segments {
			if m.Tables[i].Segments[k].Remote {
				n++
			}
		}
	}
	return n
}

// local returns the manifest of a copy that has all segments in its folder.
func (m *manifest) local() *manifest {
	out := *m
	out.StoreID, out.RemoteName, out.Owner, out.OwnerBefore = "", "", "", ""
	out.Tables = slices.Clone(m.Tables)
	for i := range out.Tables {
		out.Tables[i].Segments = slices.Clone(out.Tables[i].Segments)
		for k := range out.Tables[i].Segments {
			if m := &out.Tables[i].Segments[k]; m.Remote {
				m.Remote, m.Judged = false, max(m.Judged, 1)
			}
		}
	}
	return &out
}

// objects returns where the segment can be read.
func (f *segmentFile) objects() objstore.Store {
	if f.meta.Remote {
		return remoteReader{f.store.remote, f.meta.Bytes}
	}
	return f.store.objects
}

// remoteReader opens a segment in the remote store, whose size is known, through the cache.
type remoteReader struct {
	*remote
	size int64
}

// Open implements [objstore.Store].
func (r remoteReader) Open(_ context.Context, key string) (objstore.Object, error) {
	return r.cache.Object(key, r.size), nil
}

// RemoteStatus tells how the remote store does.
func (s *Store) RemoteStatus() RemoteStatus {
	r := s.remote
	if r == nil {
		return RemoteStatus{}
	}
	st := RemoteStatus{Name: r.name, Cache: r.cache.Stats(), WaitingBytes: r.waiting.Load()}
	r.guarded.mu.Lock()
	st.Err, st.Since = r.err, r.since
	r.guarded.mu.Unlock()
	if lost := r.lost.Load(); lost != nil {
		st.Err = *lost
	}
	for _, t := range s.all() {
		for _, f := range t.view.Load().segments {
			if f.meta.Remote {
				st.RemoteBytes += f.meta.Bytes
			}
		}
	}
	return st
}

// discard deletes the object of a segment when the store can be reached.
func (r *remote) discard(m segmentMeta) {
	r.cache.Forget(m.Name, m.Bytes)
	r.mu.Lock()
	r.leftover = append(r.leftover, m)
	r.mu.Unlock()
	signal(r.wanted)
}

// probeEvery is how often an idle store is asked whether it is there, so that background work and not
// a write finds out first that it is not.
const probeEvery = 10 * time.Second

// offloadLoop keeps the remote store in order: garbage is deleted, segments are moved.
func (s *Store) offloadLoop(ctx context.Context) {
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	swept := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-probe.C:
			if o, err := s.remote.Open(ctx, "probe"); err == nil {
				o.Close()
			}
			continue
		case <-s.remote.wanted:
		}
		err := surviving(func() error {
			if err := s.claim(ctx); err != nil {
				return err
			}
			if !swept { // before anything is put there: what is there now and has no name is garbage
				if err := s.sweepRemote(ctx); err != nil {
					return err
				}
				swept = true
			}
			return s.offload(ctx)
		})
		if fault.Is(err, fault.Conflict) || errors.As(err, new(*panicked)) {
			s.remote.lost.Store(&err)
			s.opts.Log.Error("nothing is moved to the magnetic store or deleted there any more", "err", err)
			return
		}
		if err != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.remote.patience()):
				signal(s.remote.wanted)
			}
		}
	}
}

// patience is how long to wait after a failure.
func (r *remote) patience() time.Duration {
	r.guarded.mu.Lock()
	defer r.guarded.mu.Unlock()
	return max(leastPause, time.Until(r.retryAt))
}

// sweepRemote deletes objects that belong to this store and to nothing in it. One that the manifest named at the start is none of
// them, even if it does not any more: a scan may read it still, and whoever lets it go last has it deleted (discard).
func (s *Store) sweepRemote(ctx context.Context) error {
	s.remote.working.Lock()
	defer s.remote.working.Unlock()
	if err := s.remote.owned(ctx); err != nil {
		return err
	}
	keys, err := s.remote.List(ctx, "")
	if err != nil {
		return err
	}
	live := map[string]bool{ownerKey: true}
	s.manifestMu.Lock()
	for i := range s.manifest.Tables {
		for _, m := range s.manifest.Tables[i].Segments {
			live[m.Name] = true // also one on the disk, which will be put under the same name
			if _, ok := slices.BinarySearch(keys, m.Name); m.Remote && !ok {
				s.opts.Log.Error("a segment is missing in the magnetic store: its rows cannot be read", "segment", m.Name,
					"db", s.manifest.Tables[i].ID.Database, "table", s.manifest.Tables[i].ID.Table)
			}
		}
	}
	s.manifestMu.Unlock()
	s.remote.mu.Lock()
	maps.Copy(live, s.remote.known)
	s.remote.mu.Unlock()
	for _, key := range keys {
		if !live[key] {
			if err := s.remote.Delete(ctx, key); err != nil {
				return err
			}
			s.opts.Log.Info("deleted an object that nothing needs", "object", key)
		}
	}
	return nil
}

// offload deletes what is left over and moves segments.
func (s *Store) offload(ctx context.Context) error {
	s.remote.working.Lock()
	defer s.remote.working.Unlock()
	if err := s.deleteLeftover(ctx); err != nil {
		return err
	}
	due := map[*segmentFile]*table{}
	waiting := int64(0)
	for _, t := range s.all() {
		for _, f := range t.settled(s.clock.Now()) {
			due[f] = t
			waiting += f.meta.Bytes
		}
	}
	s.remote.waiting.Store(waiting)
	for f, t := range due {
		if err := s.move(ctx, t, f); err != nil && !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("move segment %s of %s.%s: %w", f.meta.Name, t.id.Database, t.id.Table, err)
		}
		s.remote.waiting.Add(-f.meta.Bytes)
	}
	return nil
}

// deleteLeftover deletes the objects of segments that nobody needs any more.
func (s *Store) deleteLeftover(ctx context.Context) error {
	r := s.remote
	for checked := false; ; checked = true {
		r.mu.Lock()
		if len(r.leftover) == 0 {
			r.mu.Unlock()
			return nil
		}
		m := r.leftover[0]
		r.mu.Unlock()
		if !checked {
			if err := r.owned(ctx); err != nil {
				return err
			}
		}
		if err := r.Delete(ctx, m.Name); err != nil {
			return err
		}
		r.mu.Lock()
		r.leftover = r.leftover[1:]
		delete(r.known, m.Name)
		r.mu.Unlock()
	}
}

// settled returns the segments on the disk that may be moved: of days that have passed, out of
// the memory store, with no merge or purge to come as far as one can tell.
func (t *table) settled(now time.Time) (out []*segmentFile) {
	_, _, memory := t.rules.Load().policy.Window(now)
	v := t.view.Load()
	deleted := upTo(0, v.deletes)
	for day, segments := range t.days() {
		if now.UnixNano() <= (day+1)*dayNs+int64(mergeAfterDayFor) || len(t.mergeOf(day, segments, now)) > 0 {
			continue
		}
		for _, f := range segments {
			if !f.meta.Remote && f.meta.MaxTime < memory && f.cleared() >= deleted {
				out = append(out, f)
			}
		}
	}
	return out
}

// move puts a segment into the remote store and has it read from there.
func (s *Store) move(ctx context.Context, t *table, f *segmentFile) error {
	if !f.acquire() {
		return nil
	}
	defer f.release()
	if err := s.remote.owned(ctx); err != nil {
		return err
	}
	judged := t.leave(f)
	s.remote.mu.Lock()
	s.remote.known[f.meta.Name] = true
	s.remote.mu.Unlock()
	o, err := s.objects.Open(ctx, f.meta.Name)
	if err != nil {
		return err
	}
	err = s.remote.Put(ctx, f.meta.Name, io.NewSectionReader(o, 0, o.SizeBytes()))
	o.Close()
	if err != nil {
		return err
	}
	s.segmentsMu.Lock()
	defer s.segmentsMu.Unlock()
	if !slices.Contains(t.view.Load().segments, f) { // merged, expired or dropped meanwhile
		s.remote.discard(f.meta)
		return nil
	}
	meta := f.meta
	meta.Remote, meta.Deleted, meta.Judged = true, f.cleared(), judged
	return s.replace(t, []*segmentFile{f}, []segmentMeta{meta})
}
