package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// bbolt maps its file and believes what it reads: a damaged page makes it panic, touch
// memory that is not there, or follow a circle of pages for ever. So the pages are looked
// at here before it may: every one that the newest meta page reaches is within the file,
// used once, and sorted.
//
// A page is a header (number u64, flags u16, count u16, overflow u32), count elements of
// 16 bytes, and keys and values, which elements point to from their own place:
//
//	branch   position u32, key length u32, child u64
//	leaf     flags u32 (1: the value is a bucket), position u32, key length u32, value length u32
//	bucket   root u64, sequence u64, and the page itself if root is 0
//
// Pages 0 and 1 are meta pages; the valid one with the higher transaction counts.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 64 // behind the header, the checksum included
)

var native = binary.NativeEndian

// pages is a file under examination.
type pages struct {
	file []byte
	size uint64 // of a page
	high uint64 // pages in use have lower numbers
	seen map[uint64]bool
}

// damage is what is wrong, and with which byte.
type damage struct {
	offset int64
	err    error
}

func (d *damage) Error() string { return d.err.Error() }

func (p *pages) bad(page uint64, format string, args ...any) error {
	return &damage{int64(page * p.size), fmt.Errorf("page %d: %w", page, fmt.Errorf(format, args...))}
}

// verify checks the pages of a whole file.
func verify(file []byte) error {
	p := &pages{file: file, seen: map[uint64]bool{0: true, 1: true}}
	root, freelist, err := p.newestMeta()
	if err != nil {
		return err
	}
	if uint64(len(file)) < p.high*p.size {
		return &damage{int64(len(file)), fmt.Errorf("it has %d bytes, want %d", len(file), p.high*p.size)}
	}
	err = p.walk(root, nil, nil, func(page uint64, value []byte, bucket bool) error {
		if !bucket {
			return p.bad(page, "a value where only buckets are")
		}
		return p.bucket(page, value)
	})
	if err != nil {
		return err
	}
	return p.freelist(freelist)
}

func (p *pages) newestMeta() (root, freelist uint64, err error) {
	newest := uint64(0)
	found := false
	for _, size := range []uint64{0, 4096, 8192, 16384, 32768, 65536} { // where page 1 can be
		if uint64(len(p.file)) < size+pageHeader+metaSize {
			break
		}
		m := p.file[size+pageHeader:][:metaSize]
		sum := fnv.New64a()
		sum.Write(m[:metaSize-8])
		pageSize := uint64(native.Uint32(m[8:]))
		if native.Uint32(m) != metaMagic || native.Uint32(m[4:]) != metaVersion || native.Uint64(m[metaSize-8:]) != sum.Sum64() ||
			size != 0 && size != pageSize || pageSize < 512 {
			continue
		}
		if tx := native.Uint64(m[48:]); !found || tx > newest {
			found, newest = true, tx
			p.size, p.high = pageSize, native.Uint64(m[40:])
			root, freelist = native.Uint64(m[16:]), native.Uint64(m[32:])
		}
	}
	if !found || p.high > 1<<40/p.size {
		return 0, 0, &damage{0, errors.New("neither of its first two pages is a database's")}
	}
	return root, freelist, nil
}

// take returns the bytes of a page, its overflow included, which nothing else may use.
func (p *pages) take(page uint64) ([]byte, error) {
	if page >= p.high {
		return nil, p.bad(page, "a page past the last one, %d", p.high-1)
	}
	b := p.file[page*p.size:]
	if native.Uint64(b) != page {
		return nil, p.bad(page, "it says that it is page %d", native.Uint64(b))
	}
	count := 1 + uint64(native.Uint32(b[12:]))
	if count > p.high-page {
		return nil, p.bad(page, "its %d pages pass the last one, %d", count, p.high-1)
	}
	for i := range count {
		if p.seen[page+i] {
			return nil, p.bad(page+i, "it is used twice")
		}
		p.seen[page+i] = true
	}
	return b[:count*p.size], nil
}

// walk visits the values below a page, whose keys are at least low and, if high is not
// nil, less than high.
func (p *pages) walk(page uint64, low, high []byte, visit func(page uint64, value []byte, bucket bool) error) error {
	b, err := p.take(page)
	if err != nil {
		return err
	}
	if native.Uint16(b[8:]) == leafPage {
		return p.leaf(page, b, low, high, visit)
	}
	if native.Uint16(b[8:]) != branchPage {
		return p.bad(page, "flags %#x where a branch or leaf should be", native.Uint16(b[8:]))
	}
	n := int(native.Uint16(b[10:]))
	if n == 0 || pageHeader+n*elementSize > len(b) {
		return p.bad(page, "a branch with %d children", n)
	}
	keys := make([][]byte, n+1)
	for i := range n {
		e := b[pageHeader+i*elementSize:]
		if keys[i], err = p.piece(page, e, native.Uint32(e), 0, native.Uint32(e[4:])); err != nil {
			return err
		}
	}
	keys[0], keys[n] = low, high // a search for less than the first key goes there too
	for i := range n {
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return p.bad(page, "child %d is not in order", i)
		}
		child := native.Uint64(b[pageHeader+i*elementSize+8:])
		if err := p.walk(child, keys[i], keys[i+1], visit); err != nil {
			return err
		}
	}
	return nil
}

// piece returns length bytes that begin from bytes behind an element's position.
func (p *pages) piece(page uint64, element []byte, position, from, length uint32) ([]byte, error) {
	start := uint64(position) + uint64(from)
	end := start + uint64(length)
	if position < elementSize || end > uint64(len(element)) {
		return nil, p.bad(page, "a key or value passes the end of the page")
	}
	return element[start:end:end], nil
}

func (p *pages) leaf(page uint64, b, low, high []byte, visit func(page uint64, value []byte, bucket bool) error) error {
	n := int(native.Uint16(b[10:]))
	if pageHeader+n*elementSize > len(b) {
		return p.bad(page, "a leaf with %d values", n)
	}
	for i := range n {
		e := b[pageHeader+i*elementSize:]
		flags, position, keyLength, valueLength := native.Uint32(e), native.Uint32(e[4:]), native.Uint32(e[8:]), native.Uint32(e[12:])
		key, err := p.piece(page, e, position, 0, keyLength)
		if err != nil {
			return err
		}
		value, err := p.piece(page, e, position, keyLength, valueLength)
		if err != nil {
			return err
		}
		if order := bytes.Compare(key, low); order < 0 || order == 0 && i > 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return p.bad(page, "key %d, %.40q, is not in order", i, key)
		}
		if flags > 1 {
			return p.bad(page, "value %d has flags %#x", i, flags)
		}
		if err := visit(page, value, flags == 1); err != nil {
			return err
		}
		low = key
	}
	return nil
}

// bucket checks the pages of a bucket, which holds documents only.
func (p *pages) bucket(page uint64, value []byte) error {
	if len(value) < bucketSize {
		return p.bad(page, "a bucket of %d bytes", len(value))
	}
	documents := func(page uint64, _ []byte, bucket bool) error {
		if bucket {
			return p.bad(page, "a bucket within a bucket")
		}
		return nil
	}
	root := native.Uint64(value)
	if root != 0 {
		return p.walk(root, nil, nil, documents)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage {
		return p.bad(page, "a bucket without a page")
	}
	return p.leaf(page, inline, nil, nil, documents)
}

// freelist checks that no page in use is listed as free, for it would be written over.
func (p *pages) freelist(page uint64) error {
	b, err := p.take(page)
	if err != nil {
		return err
	}
	if native.Uint16(b[8:]) != freelistPage {
		return p.bad(page, "flags %#x where the list of free pages should be", native.Uint16(b[8:]))
	}
	n, at := uint64(native.Uint16(b[10:])), uint64(pageHeader)
	if n == 0xFFFF { // does not fit: the count comes first
		n, at = native.Uint64(b[at:]), at+8
	}
	if n > (uint64(len(b))-at)/8 {
		return p.bad(page, "%d free pages pass the end of their list", n)
	}
	for i := range n {
		free := native.Uint64(b[at+8*i:])
		if free >= p.high || p.seen[free] {
			return p.bad(page, "page %d is listed as free and is not, or twice", free)
		}
		p.seen[free] = true
	}
	return nil
}
