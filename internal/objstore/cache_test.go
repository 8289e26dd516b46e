package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// counted is a store that counts what is opened and can be down.
type counted struct {
	Store
	opened atomic.Int64
	down   atomic.Bool
}

var errDown = errors.New("down")

func (c *counted) Open(ctx context.Context, key string) (Object, error) {
	c.opened.Add(1)
	if c.down.Load() {
		return nil, errDown
	}
	return c.Store.Open(ctx, key)
}

func newCounted(t *testing.T, size int) (*counted, []byte) {
	t.Helper()
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(content)
	s := &counted{Store: NewMem()}
	if err := s.Put(t.Context(), "a/b", bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return s, content
}

func newCache(t *testing.T, s Store, fsys vfs.FS, limit int64) *Cache {
	t.Helper()
	c, err := NewCache(s, fsys, "cache", limit, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func checkRead(t *testing.T, c *Cache, content []byte, off, n int) {
	t.Helper()
	p := make([]byte, n)
	got, err := c.Object("a/b", int64(len(content))).ReadAt(p, int64(off))
	want := min(n, len(content)-off)
	if got != want || (err == io.EOF) != (want < n) || err != nil && err != io.EOF || !bytes.Equal(p[:got], content[off:off+want]) {
		t.Fatalf("ReadAt %d+%d = %d, %v", off, n, got, err)
	}
}

func TestCachedPiecesAreFetchedOnce(t *testing.T) {
	t.Parallel()
	s, content := newCounted(t, 3*PieceBytes+100)
	fsys := vfs.NewMem()
	c := newCache(t, s, fsys, 1<<30)
	for range 2 {
		checkRead(t, c, content, 10, 20)
		checkRead(t, c, content, PieceBytes-5, 10)
		checkRead(t, c, content, 3*PieceBytes+90, 20)
		checkRead(t, c, content, 0, len(content))
	}
	if n := s.opened.Load(); n != 4 {
		t.Errorf("%d fetches of 4 pieces", n)
	}
	// What was read is there after a restart, when the store is gone.
	s.down.Store(true)
	c = newCache(t, s, fsys, 1<<30)
	checkRead(t, c, content, 0, len(content))
	if st := c.Stats(); st.Pieces != 4 || st.Bytes != int64(len(content)+16) || st.Misses != 0 {
		t.Errorf("%+v", st)
	}
	c.Forget("a/b", int64(len(content)))
	if _, err := c.Object("a/b", 10).ReadAt(make([]byte, 1), 0); !errors.Is(err, errDown) {
		t.Errorf("forgotten: %v", err)
	}
	if names, _ := fsys.List("cache"); len(names) != 0 {
		t.Errorf("files %v", names)
	}
}

func TestTheCacheStaysWithinItsLimit(t *testing.T) {
	t.Parallel()
	s, content := newCounted(t, 8*PieceBytes)
	c := newCache(t, s, vfs.NewMem(), 3*(PieceBytes+4))
	for range 3 {
		for i := range 8 {
			checkRead(t, c, content, i*PieceBytes, PieceBytes)
			if st := c.Stats(); st.Bytes > st.LimitBytes {
				t.Fatalf("%+v", st)
			}
		}
	}
	opened := s.opened.Load()
	checkRead(t, c, content, 7*PieceBytes, 10) // the latest
	if s.opened.Load() != opened {
		t.Error("the latest piece is not there")
	}
}

func TestADamagedPieceIsFetchedAnew(t *testing.T) {
	t.Parallel()
	s, content := newCounted(t, PieceBytes)
	fsys := vfs.NewMem()
	checkRead(t, newCache(t, s, fsys, 1<<30), content, 0, 10)
	names, _ := fsys.List("cache")
	f, err := fsys.OpenReadWrite("cache/" + names[0])
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{content[5] ^ 1}, 5)
	put(t, mustLocal(t, fsys), "stray", "no piece")
	c := newCache(t, s, fsys, 1<<30)
	checkRead(t, c, content, 0, 10)
	if n := s.opened.Load(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
	if names, _ := fsys.List("cache"); len(names) != 1 {
		t.Errorf("files %v", names)
	}
}

func mustLocal(t *testing.T, fsys vfs.FS) Store {
	s, err := Local(fsys, "cache")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestACacheWithoutSpaceStillServes(t *testing.T) {
	t.Parallel()
	s, content := newCounted(t, 2*PieceBytes)
	fsys := vfs.Inject(vfs.NewMem(), func(op vfs.Op, _ string) error {
		if op == vfs.OpWrite || op == vfs.OpCreate {
			return vfs.DiskFull
		}
		return nil
	})
	checkRead(t, newCache(t, s, fsys, 1<<30), content, 100, PieceBytes+1)
	checkRead(t, newCache(t, s, vfs.NewMem(), 10), content, 100, PieceBytes+1)
}

func TestConcurrentReadersShareAFetch(t *testing.T) {
	t.Parallel()
	s, content := newCounted(t, 4*PieceBytes)
	c := newCache(t, s, vfs.NewMem(), 2*(PieceBytes+4)) // pieces come and go meanwhile
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			p := make([]byte, 1000)
			for range 100 {
				off := r.IntN(len(content) - len(p))
				if n, err := c.Object("a/b", int64(len(content))).ReadAt(p, int64(off)); n != len(p) || err != nil || !bytes.Equal(p, content[off:off+len(p)]) {
					t.Errorf("ReadAt %d = %d, %v", off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// gated is a store whose reads wait for the gate, or for their context.
type gated struct {
	Store
	gate  chan struct{}
	asked chan struct{}
	ended atomic.Int64
}

func (g *gated) ReadRange(ctx context.Context, key string, p []byte, off int64) (int, error) {
	g.asked <- struct{}{}
	select {
	case <-g.gate:
	case <-ctx.Done():
		g.ended.Add(1)
		return 0, ctx.Err()
	}
	o, err := g.Store.Open(ctx, key)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	return o.ReadAt(p, off)
}

func TestWhoLeavesAFetchLeavesTheOthersWaiting(t *testing.T) {
	t.Parallel()
	s, content := newCounted(t, 1000)
	g := &gated{Store: s, gate: make(chan struct{}), asked: make(chan struct{}, 10)}
	c := newCache(t, g, vfs.NewMem(), 1<<20)
	read := func(ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() {
			p := make([]byte, 10)
			_, err := In(ctx, c.Object("a/b", 1000)).ReadAt(p, 5)
			if err == nil && !bytes.Equal(p, content[5:15]) {
				err = errors.New("other bytes")
			}
			done <- err
		}()
		return done
	}
	waiting := func(n int) {
		for {
			c.mu.Lock()
			f := c.flights[pieceKey{"a/b", 0}]
			ok := f != nil && f.waiting == n
			c.mu.Unlock()
			if ok {
				return
			}
			runtime.Gosched()
		}
	}
	first, leave := context.WithCancel(t.Context())
	one := read(first)
	waiting(1)
	two := read(t.Context())
	waiting(2)
	leave()
	if err := <-one; !fault.Is(err, fault.Cancelled) {
		t.Errorf("who left got %v", err)
	}
	close(g.gate)
	if err := <-two; err != nil || g.ended.Load() != 0 || len(g.asked) != 1 {
		t.Errorf("who stayed got %v; %d fetches, %d of them ended early", err, len(g.asked), g.ended.Load())
	}

	// The last one ends it.
	c.Forget("a/b", 1000)
	g.gate = make(chan struct{})
	third, leave := context.WithCancel(t.Context())
	last := read(third)
	waiting(1)
	leave()
	if err := <-last; !fault.Is(err, fault.Cancelled) {
		t.Errorf("the last one got %v", err)
	}
	for g.ended.Load() == 0 {
		runtime.Gosched()
	}
}
