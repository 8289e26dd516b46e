package objstore

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Cache keeps pieces of objects of a slow store in a folder, up to a limit, the ones least recently
// used leaving first. Objects never change under their keys, so a piece that is there is right: each
// file ends with the CRC-32C of what is before, which is verified once per process, and a file that is damaged
// is fetched anew, also one that a reader with checksums of its own finds damaged later ([Copy]). The folder survives restarts; losing it costs time only, so nothing in it is synced.
//
//	<folder>/<key, escaped>.<number of the piece>
//
// A Cache is safe for concurrent use.
type Cache struct {
	slow  Store
	fs    vfs.FS
	dir   string
	limit int64
	hurt  func(file string) // told of a damaged file

	mu      sync.Mutex // guards the fields below, and those of pieces that say so
	pieces  map[pieceKey]*list.Element
	order   *list.List // of *piece, most recently used first
	bytes   int64
	flights map[pieceKey]*flight

	hits, misses, fetched, damaged atomic.Int64
}

// PieceBytes is how much of an object is fetched at least: about what a distant store sends in the time that
// it takes to answer at all.
const PieceBytes = 1 << 20

type pieceKey struct {
	object string
	number int64
}

// piece is a file of the cache.
type piece struct {
	key      pieceKey
	size     int64 // of the file; guarded by Cache.mu
	verified bool  // guarded by Cache.mu
}

// flight is a fetch that several may wait for. It ends when it is done, or when nobody waits any more.
type flight struct {
	done    chan struct{}
	content []byte // valid once done, as err
	err     error
	cancel  context.CancelFunc
	waiting int // guarded by Cache.mu
}

// CacheStats tells how a cache does.
type CacheStats struct {
	Bytes, LimitBytes, Pieces int64
	Hits, Misses              int64 // pieces asked for that were there, and not
	FetchedBytes              int64
	Damaged                   int64 // pieces whose files were damaged, and fetched again
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewCache opens a cache of slow in a folder of fsys, which is made. What a damaged folder keeps from
// being used is an error; single files that are not the cache's are removed. Damaged is told of each file that was found
// damaged; nil: nobody is.
func NewCache(slow Store, fsys vfs.FS, dir string, limitBytes int64, damaged func(file string)) (*Cache, error) {
	if damaged == nil {
		damaged = func(string) {}
	}
	c := &Cache{slow: slow, fs: fsys, dir: dir, limit: limitBytes, hurt: damaged, pieces: map[pieceKey]*list.Element{}, order: list.New(), flights: map[pieceKey]*flight{}}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	for _, name := range names {
		key, ok := parsePiece(name)
		info, err := fsys.Stat(dir + "/" + name)
		if !ok || err != nil || info.IsDir() || info.Size() <= 4 || info.Size() > PieceBytes+4 {
			if err := fsys.Remove(dir + "/" + name); err != nil {
				return nil, fmt.Errorf("cache: %w", err)
			}
			continue
		}
		c.keep(key, info.Size(), false)
	}
	return c, nil
}

func (c *Cache) name(k pieceKey) string {
	return c.dir + "/" + url.PathEscape(k.object) + "." + strconv.FormatInt(k.number, 10)
}

func parsePiece(name string) (k pieceKey, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return k, false
	}
	object, err1 := url.PathUnescape(name[:dot])
	number, err2 := strconv.ParseInt(name[dot+1:], 10, 64)
	return pieceKey{object, number}, err1 == nil && err2 == nil && number >= 0
}

// Stats returns the cache's figures.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{c.bytes, c.limit, int64(len(c.pieces)), c.hits.Load(), c.misses.Load(), c.fetched.Load(), c.damaged.Load()}
}

// Object returns an object of that size, which is there: the store is not asked before it is read.
func (c *Cache) Object(key string, sizeBytes int64) Object {
	return &cachedObject{context.Background(), c, key, sizeBytes}
}

// Forget removes the pieces of an object.
func (c *Cache) Forget(object string, sizeBytes int64) {
	for n := int64(0); n*PieceBytes < sizeBytes; n++ {
		c.drop(pieceKey{object, n})
	}
}

type cachedObject struct {
	ctx  context.Context // of reads
	c    *Cache
	key  string
	size int64
}

func (o *cachedObject) SizeBytes() int64 { return o.size }

func (o *cachedObject) Close() error { return nil }

// In implements [Distant].
func (o *cachedObject) In(ctx context.Context) Object {
	bound := *o
	bound.ctx = ctx
	return &bound
}

// Refetch implements [Copy].
func (o *cachedObject) Refetch(off, length int64) {
	for n := off / PieceBytes; n*PieceBytes < off+length; n++ {
		o.c.distrust(pieceKey{o.key, n})
	}
}

// ReadAt implements [Object].
func (o *cachedObject) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the beginning of an object")
	}
	if rest := o.size - off; int64(len(p)) > rest {
		p, err = p[:max(0, rest)], io.EOF
	}
	for n < len(p) {
		number := (off + int64(n)) / PieceBytes
		from := off + int64(n) - number*PieceBytes
		want := p[n:min(len(p), n+int(PieceBytes-from))]
		if failed := o.c.read(o.ctx, want, pieceKey{o.key, number}, from, min(PieceBytes, o.size-number*PieceBytes)); failed != nil {
			return n, failed
		}
		n += len(want)
	}
	return n, err
}

// read fills p from byte from on of a piece of that length.
func (c *Cache) read(ctx context.Context, p []byte, k pieceKey, from, length int64) error {
	c.mu.Lock()
	e := c.pieces[k]
	if e == nil {
		c.mu.Unlock()
		return c.fetch(ctx, p, k, from, length)
	}
	c.order.MoveToFront(e)
	verified := e.Value.(*piece).verified
	c.mu.Unlock()
	if err := c.readFile(p, k, from, length, verified); err != nil {
		if errors.Is(err, fs.ErrNotExist) { // just thrown out
			c.drop(k)
		} else {
			c.distrust(k)
		}
		return c.fetch(ctx, p, k, from, length)
	}
	c.hits.Add(1)
	return nil
}

func (c *Cache) readFile(p []byte, k pieceKey, from, length int64, verified bool) error {
	f, err := c.fs.Open(c.name(k))
	if err != nil {
		return err
	}
	defer f.Close()
	if verified {
		n, err := f.ReadAt(p, from)
		if n == len(p) {
			return nil
		}
		return err
	}
	all := make([]byte, length+4)
	if n, err := f.ReadAt(all, 0); n < len(all) {
		return fmt.Errorf("piece of %d bytes, want %d: %w", n, len(all), err)
	}
	if crc32.Checksum(all[:length], castagnoli) != binary.LittleEndian.Uint32(all[length:]) {
		return errors.New("piece is damaged")
	}
	copy(p, all[from:])
	c.mu.Lock()
	if e := c.pieces[k]; e != nil {
		e.Value.(*piece).verified = true
	}
	c.mu.Unlock()
	return nil
}

// fetch gets a piece from the store, once for all that wait for it, and keeps it. Whoever does not want to wait
// any longer leaves the others waiting.
func (c *Cache) fetch(ctx context.Context, p []byte, k pieceKey, from, length int64) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Cancelled, err, "The access to %s was cancelled.", k.object)
	}
	c.mu.Lock()
	f := c.flights[k]
	if f == nil {
		flying, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{done: make(chan struct{}), cancel: cancel}
		c.flights[k] = f
		c.misses.Add(1)
		go c.fly(flying, f, k, length)
	}
	f.waiting++
	c.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		c.leave(f, k)
		return fault.Wrap(fault.Cancelled, ctx.Err(), "The access to %s was cancelled.", k.object)
	}
	if f.err != nil {
		return f.err
	}
	copy(p, f.content[from:])
	return nil
}

// leave ends a flight that nobody waits for any more.
func (c *Cache) leave(f *flight, k pieceKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 && c.flights[k] == f {
		delete(c.flights, k) // who comes now begins another one
		f.cancel()
	}
}

func (c *Cache) fly(ctx context.Context, f *flight, k pieceKey, length int64) {
	defer func() {
		if p := recover(); p != nil {
			f.err = fmt.Errorf("bug: panic: %v\n%s", p, debug.Stack())
		}
		c.mu.Lock()
		if c.flights[k] == f {
			delete(c.flights, k)
		}
		c.mu.Unlock()
		f.cancel()
		close(f.done)
	}()
	f.content, f.err = c.get(ctx, k, length)
}

func (c *Cache) get(ctx context.Context, k pieceKey, length int64) ([]byte, error) {
	all := make([]byte, length, length+4)
	reader, ok := c.slow.(rangeReader)
	var n int
	var err error
	if ok {
		n, err = reader.ReadRange(ctx, k.object, all, k.number*PieceBytes)
	} else {
		var o Object
		if o, err = c.slow.Open(ctx, k.object); err != nil {
			return nil, err
		}
		defer o.Close()
		n, err = In(ctx, o).ReadAt(all, k.number*PieceBytes)
	}
	if int64(n) < length {
		if err == nil || err == io.EOF {
			err = errors.New("it is shorter than it was")
		}
		return nil, fmt.Errorf("object %s at %d: %w", k.object, k.number*PieceBytes+int64(n), err)
	}
	c.fetched.Add(length)
	c.write(k, binary.LittleEndian.AppendUint32(all, crc32.Checksum(all, castagnoli)))
	return all, nil
}

// rangeReader is a store that reads without opening, which may cost a call.
type rangeReader interface {
	ReadRange(ctx context.Context, key string, p []byte, off int64) (int, error)
}

// write keeps a piece, unless the disk has no space.
func (c *Cache) write(k pieceKey, file []byte) {
	if int64(len(file)) > c.limit {
		return
	}
	c.makeRoom(int64(len(file)))
	f, err := c.fs.Create(c.name(k))
	if err != nil {
		return
	}
	_, err = f.WriteAt(file, 0)
	if err = errors.Join(err, f.Close()); err != nil {
		c.fs.Remove(c.name(k))
		return
	}
	c.keep(k, int64(len(file)), true)
}

func (c *Cache) keep(k pieceKey, size int64, verified bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.pieces[k]; e != nil {
		c.bytes -= e.Value.(*piece).size
		c.order.Remove(e)
	}
	c.pieces[k] = c.order.PushFront(&piece{k, size, verified})
	c.bytes += size
}

// makeRoom throws pieces out until size more bytes are within the limit.
func (c *Cache) makeRoom(size int64) {
	for {
		c.mu.Lock()
		e := c.order.Back()
		if c.bytes+size <= c.limit || e == nil {
			c.mu.Unlock()
			return
		}
		k := e.Value.(*piece).key
		c.mu.Unlock()
		c.drop(k)
	}
}

// distrust drops a piece that is damaged, if it is there.
func (c *Cache) distrust(k pieceKey) {
	if c.drop(k) {
		c.damaged.Add(1)
		c.hurt(c.name(k))
	}
}

// drop reports whether the piece was there.
func (c *Cache) drop(k pieceKey) bool {
	c.mu.Lock()
	e := c.pieces[k]
	if e != nil {
		c.bytes -= e.Value.(*piece).size
		c.order.Remove(e)
		delete(c.pieces, k)
	}
	c.mu.Unlock()
	if e != nil {
		c.fs.Remove(c.name(k)) // one that stays is found at the next start
	}
	return e != nil
}
