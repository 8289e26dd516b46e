package exec

import (
	"context"
	"sync"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/vec"
)

// Rows that one table cannot hold, or would hold so badly that every look-up misses the processor's caches,
// are divided by the hash of their keys: rows of equal keys come into the same part, and each part is handled by
// itself, in memory or from a temporary file. A part that is still too large is divided again by other bits
// of the hash, up to partitionLevels times.

const (
	partitionBits   = 6
	partitionCount  = 1 << partitionBits
	partitionLevels = 4
	partitionChunk  = 1024 // rows that are kept together
)

// partitionOf returns the part of a key with hash h.
func partitionOf(h uint64, level int) int {
	return int(h >> (64 - partitionBits*(level+1)) & (partitionCount - 1))
}

// byPartition returns for each part the rows with these hashes.
func byPartition(hashes []uint64, level int) [][]int32 {
	var counts [partitionCount]int32
	for _, h := range hashes {
		counts[partitionOf(h, level)]++
	}
	all := make([]int32, len(hashes))
	lists := make([][]int32, partitionCount)
	at := int32(0)
	for p, n := range counts {
		lists[p] = all[at : at : at+n]
		at += n
	}
	for i, h := range hashes {
		p := partitionOf(h, level)
		lists[p] = append(lists[p], int32(i))
	}
	return lists
}

// sharedCharge is a charge for several workers, each of which says what it holds.
type sharedCharge struct {
	mu    sync.Mutex // guards the fields below
	mem   charge
	total int64 // charged
}

// hold charges bytes for what a worker held, *held, until now. Where that is so much that the operator
// should spill, it charges nothing and returns true.
func (c *sharedCharge) hold(held *int64, bytes int64) (full bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := c.total + bytes - *held
	if c.mem.full(total) {
		return true, nil
	}
	c.total, *held = total, bytes
	return false, c.mem.set(total)
}

// insist is hold where nothing can be spilled.
func (c *sharedCharge) insist(held *int64, bytes int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += bytes - *held
	*held = bytes
	return c.mem.set(c.total)
}

// charged is what all workers hold.
func (c *sharedCharge) charged() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// release gives all back.
func (c *sharedCharge) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total = 0
	c.mem.release()
}

// partitions is rows by part, kept by one goroutine and later read by any.
type partitions struct {
	run   *run
	m     *measure // of the operator, or nil
	level int
	types []vec.Type
	parts [partitionCount]partition
	rows  int64
	bytes int64 // in memory
	sum   int64 // of bytes ever counted

	w      *spill.Writer // nil before the first flush
	frames int
	disk   *spill.Run // after finish

	counts [partitionCount]int32 // scratch
	of     []uint8
	order  []int32
}

// partition is the rows of one part.
type partition struct {
	chunks []*rows // in memory, full
	last   *rows   // not yet full, or nil
	held   int64   // bytes of chunks and last, as counted
	frames []int   // numbers of batches on disk
	rows   int
}

func (p *partition) empty() bool { return len(p.chunks) == 0 && p.last == nil && len(p.frames) == 0 }

func newPartitions(r *run, m *measure, types []vec.Type, level int) *partitions {
	return &partitions{run: r, m: m, types: types, level: level}
}

// add divides rows whose keys have the given hashes.
func (s *partitions) add(cols []*vec.Vector, hashes []uint64) {
	n := len(hashes)
	s.rows += int64(n)
	s.of, s.order = resize(s.of, n), resize(s.order, n)
	clear(s.counts[:])
	for i, h := range hashes {
		p := partitionOf(h, s.level)
		s.of[i] = uint8(p)
		s.counts[p]++
	}
	var at [partitionCount]int32
	sum := int32(0)
	for p, c := range s.counts {
		at[p] = sum
		sum += c
	}
	for i, p := range s.of {
		s.order[at[p]] = int32(i)
		at[p]++
	}
	from := int32(0)
	for p, c := range s.counts {
		if c > 0 {
			s.append(&s.parts[p], cols, s.order[from:from+c])
			from += c
		}
	}
}

func (s *partitions) append(p *partition, cols []*vec.Vector, list []int32) {
	p.rows += len(list)
	for len(list) > 0 {
		if p.last == nil {
			p.last = s.newChunk(p)
			s.count(p, p.last.sizeBytes())
		}
		n := min(len(list), partitionChunk-p.last.n)
		for c, col := range p.last.cols {
			col.appendRows(cols[c], list[:n])
		}
		p.last.n += n
		if list = list[n:]; p.last.n == partitionChunk {
			// Texts were not counted so far, nor what grew.
			s.count(p, p.last.sizeBytes()-s.emptyChunk())
			p.chunks = append(p.chunks, p.last)
			p.last = nil
		}
	}
}

func (s *partitions) count(p *partition, bytes int64) {
	p.held += bytes
	s.bytes += bytes
	s.sum += bytes
}

// rowBytes is about what a row takes in memory.
func (s *partitions) rowBytes() int64 { return s.sum / max(s.rows, 1) }

// newChunk makes room for a chunk of p, where texts are about as long as in the one before.
func (s *partitions) newChunk(p *partition) *rows {
	r := newRows(s.types)
	for i, c := range r.cols {
		switch c.t.Kind.Storage() {
		case vec.StoreInts:
			c.ints = make([]int64, 0, partitionChunk)
		case vec.StoreFloats:
			c.floats = make([]float64, 0, partitionChunk)
		case vec.StoreStrs:
			c.packed = &packedTexts{ends: make([]int, 0, partitionChunk)}
			if k := len(p.chunks); k > 0 {
				letters := p.chunks[k-1].cols[i].packed.letters.Len()
				c.packed.letters.Grow(letters + letters/16)
			}
		}
	}
	return r
}

// emptyChunk is what newChunk takes.
func (s *partitions) emptyChunk() int64 {
	size := int64(0)
	for _, t := range s.types {
		switch t.Kind.Storage() {
		case vec.StoreInts, vec.StoreFloats, vec.StoreStrs: // numbers, ends of texts
			size += 8 * partitionChunk
		}
	}
	return size
}

// spillLeast is how much is worth a flush.
func (s *partitions) spillLeast() int64 {
	if s.run.memory.spillAfter > 0 {
		return 1
	}
	return min(s.run.memory.limit/(4*spillShare), 16<<20)
}

// flush writes what is in memory to disk.
func (s *partitions) flush(ctx context.Context) error {
	if s.w == nil {
		s.w = s.run.area.Create(s.types)
	}
	before := s.w.SizeBytes()
	for i := range s.parts {
		p := &s.parts[i]
		for _, r := range p.takeChunks() {
			if err := s.w.Append(ctx, r.batch()); err != nil {
				return err
			}
			p.frames = append(p.frames, s.frames)
			s.frames++
		}
		p.held = 0
	}
	s.bytes = 0
	s.run.noteSpilled(s.m, s.w.SizeBytes()-before)
	return nil
}

// takeChunks returns what is in memory and forgets it.
func (p *partition) takeChunks() []*rows {
	chunks := p.chunks
	if p.last != nil && p.last.n > 0 {
		chunks = append(chunks, p.last)
	}
	p.chunks, p.last = nil, nil
	return chunks
}

// finish ends the adding of rows.
func (s *partitions) finish() error {
	if s.w == nil {
		return nil
	}
	var err error
	s.disk, err = s.w.Finish()
	s.w = nil
	return err
}

// read gives the rows of part p to f, and forgets those in memory. Different parts may be read at the
// same time.
func (s *partitions) read(ctx context.Context, part int, f emitFunc) error {
	p := &s.parts[part]
	if len(p.frames) > 0 {
		r := s.disk.Read()
		defer r.Close()
		for _, frame := range p.frames {
			b, err := r.Batch(ctx, frame)
			if err != nil {
				return err
			}
			if err := f(ctx, b); err != nil {
				return err
			}
		}
	}
	for _, r := range p.takeChunks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(ctx, r.batch()); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets all rows.
func (s *partitions) drop() {
	if s.w != nil {
		s.w.Abort()
		s.w = nil
	}
	if s.disk != nil {
		s.disk.Remove()
	}
	s.parts = [partitionCount]partition{}
	s.bytes = 0
}
