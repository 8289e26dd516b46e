package segment

import (
	"sync"
	"sync/atomic"
)

// Cache keeps encoded chunks that were read, up to a number of bytes: encoded they are a
// tenth of what they are decoded, and decoding is quicker than asking the file. It serves
// any number of Readers and goroutines. What is out of use goes first, by the clock algorithm.
// Checksums are compared at every use, so damage in memory is found as well.
type Cache struct {
	limit        int64
	hits, misses atomic.Int64

	mu    sync.Mutex // guards the fields below
	ring  []*cached
	hand  int
	bytes int64
}

// CacheStats is what a Cache holds and how often it served.
type CacheStats struct{ Bytes, Hits, Misses int64 }

// cached is some chunks of a block that follow each other.
type cached struct {
	bytes []byte
	used  atomic.Bool // since the hand was here
	home  *atomic.Pointer[cached]
	place int // in the ring, guarded by Cache.mu; -1 when it is not there
}

// cachedOverhead is about what an entry takes besides its bytes.
const cachedOverhead = 96

// NewCache makes a cache of so many bytes.
func NewCache(limit int64) *Cache { return &Cache{limit: limit} }

// Stats returns the figures so far.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{c.bytes, c.hits.Load(), c.misses.Load()}
}

// add puts bytes at home, unless something is there, and makes room.
func (c *Cache) add(home *atomic.Pointer[cached], bytes []byte) {
	size := int64(len(bytes)) + cachedOverhead
	e := &cached{bytes: bytes, home: home, place: -1}
	c.mu.Lock()
	defer c.mu.Unlock()
	if size > c.limit/8 || !home.CompareAndSwap(nil, e) {
		return
	}
	e.place = len(c.ring)
	c.ring = append(c.ring, e)
	c.bytes += size
	for c.bytes > c.limit {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		if old := c.ring[c.hand]; old.used.Swap(false) {
			c.hand++
		} else {
			c.dropLocked(old)
		}
	}
}

func (c *Cache) dropLocked(e *cached) {
	e.home.CompareAndSwap(e, nil)
	last := len(c.ring) - 1
	c.ring[e.place] = c.ring[last]
	c.ring[e.place].place = e.place
	c.ring[last] = nil
	c.ring = c.ring[:last]
	e.place = -1
	c.bytes -= int64(len(e.bytes)) + cachedOverhead
}

// drop forgets what is at home.
func (c *Cache) drop(home *atomic.Pointer[cached]) {
	if home.Load() == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := home.Load(); e != nil && e.place >= 0 {
		c.dropLocked(e)
	}
}

// unit is chunks of a block that follow each other and are read together: a call of the
// file costs as much as some thousand bytes.
type unit struct {
	at     int64
	length int
	cached atomic.Pointer[cached]
}

// unitBytes is how long a unit of several chunks may be.
const unitBytes = 16 << 10

// makeUnits groups the chunks, whose offsets are known.
func (r *Reader) makeUnits() {
	per := chunksPerBlock(len(r.columns))
	r.unitOf = make([]int32, len(r.chunks))
	count := int32(-1)
	length := 0
	for i := range r.chunks {
		n := int(r.chunks[i].length)
		if i%per == 0 || length+n > unitBytes {
			count, length = count+1, 0
		}
		length += n
		r.unitOf[i] = count
	}
	r.units = make([]unit, count+1)
	for i := range r.chunks {
		u := &r.units[r.unitOf[i]]
		if u.length == 0 {
			u.at = r.offsets[i]
		}
		u.length += int(r.chunks[i].length)
	}
}

// unitBytesOf returns the bytes of a unit, or nil if there is no cache or it cannot be read: then
// reading the chunk alone tells what is wrong.
func (r *Reader) unitBytesOf(u *unit) []byte {
	if r.cache == nil {
		return nil
	}
	if e := u.cached.Load(); e != nil {
		if !e.used.Load() {
			e.used.Store(true)
		}
		r.cache.hits.Add(1)
		return e.bytes
	}
	r.cache.misses.Add(1)
	b := make([]byte, u.length)
	if n, _ := r.object.ReadAt(b, u.at); n < len(b) {
		return nil
	}
	r.cache.add(&u.cached, b)
	return b
}

func (r *Reader) dropUnits() {
	if r.cache == nil {
		return
	}
	for i := range r.units {
		r.cache.drop(&r.units[i].cached)
	}
}
