package exec

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/weir-db/weir/internal/vec"
)

// textTable numbers distinct texts from 1. It keeps copies: the texts it gets may be pieces of larger ones that
// should not be kept. Nothing in it but a few blocks of letters has pointers, so a million texts cost the
// collector nothing.
type textTable struct {
	slots  []uint64           // open addressing: upper half of the hash, then the code, or 0
	shift  uint               // 64 - log2(len(slots))
	keys   []textKey          // by code; the first stands for null
	blocks []*strings.Builder // the letters of long texts, end to end
	bytes  int64              // in blocks, and of short texts
	mu     sync.Mutex         // guards all
	all    []string           // see texts
	ended  func() bool        // see groupTable.endBy
}

// textKey is a text in two words, to be compared without looking elsewhere: its length in the lower half of
// the first one, then up to twelve letters; or four letters and the place of all of them.
type textKey [2]uint64

const (
	shortText  = 12
	blockBits  = 20      // of a place: the block's number, then where in it the text begins
	leastBlock = 1 << 10 // bytes; a text longer than the greatest block has one of its own
	mostBlock  = 1 << 18
)

func newTextTable() *textTable {
	return &textTable{slots: make([]uint64, 64), shift: 64 - 6, keys: make([]textKey, 1, 16)}
}

// len returns how many texts there are, null among them.
func (t *textTable) len() int { return len(t.keys) }

// keyOf returns the key of s, of a long one without its place, and its hash.
func keyOf(s string) (k textKey, hash uint64) {
	n := len(s)
	k[0] = uint64(n)
	switch {
	case n > shortText:
		k[0] |= uint64(load32(s)) << 32
		return k, xxhash.Sum64String(s)
	case n >= 8:
		k[0] |= uint64(load32(s)) << 32
		k[1] = load64(s[n-8:]) >> (8 * (shortText - n))
	case n >= 4:
		k[0] |= uint64(load32(s)) << 32
		k[1] = uint64(load32(s[n-4:])) >> (8 * (8 - n))
	default:
		for i := range n {
			k[0] |= uint64(s[i]) << (32 + 8*i)
		}
	}
	hi, lo := bits.Mul64(k[0]^vec.HashSeed, k[1]^hashMul)
	return k, (hi ^ lo) * hashMul
}

func load32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func load64(s string) uint64 { return uint64(load32(s)) | uint64(load32(s[4:]))<<32 }

// code returns the number of s. It is missing if s is not there and insert is false: such calls may
// be concurrent.
func (t *textTable) code(s string, insert bool) uint32 {
	k, h := keyOf(s)
	return t.find(s, k, h, insert)
}

func (t *textTable) find(s string, k textKey, h uint64, insert bool) uint32 {
	tag := h &^ math.MaxUint32
	mask := uint64(len(t.slots) - 1)
	at := h >> t.shift
	for ; t.slots[at] != 0; at = (at + 1) & mask {
		if slot := t.slots[at]; slot&^math.MaxUint32 == tag {
			have := t.keys[uint32(slot)]
			// A long text's second word is its place, which is 0 of the first one: it says nothing here.
			if have[0] == k[0] && (len(s) > shortText && t.long(have) == s || len(s) <= shortText && have[1] == k[1]) {
				return uint32(slot)
			}
		}
	}
	if !insert {
		return missing
	}
	code := uint32(len(t.keys))
	if len(s) > shortText {
		k[1] = t.keep(s)
	} else {
		t.bytes += int64(len(s))
	}
	t.keys = append(t.keys, k)
	t.slots[at] = tag | uint64(code)
	if 2*len(t.keys) > len(t.slots) {
		t.resize(64 - t.shift + 1)
	}
	return code
}

// codes adds the code of texts[i], shifted, to words[i*width]; that of null is 0. It hashes some texts and
// loads their slots and keys before it compares any: a processor waits for several loads at a time, but not
// across what depends on their comparison. The sum keeps the loads from being left out.
func (t *textTable) codes(words []uint64, width int, shift uint, texts []string, nulls []bool, insert bool) (touched uint64) {
	var keys [touchRows]textKey
	var hashes [touchRows]uint64
	last, code := "", uint32(missing)
	for from := 0; from < len(texts); from += touchRows {
		some := texts[from:min(from+touchRows, len(texts))]
		for i, s := range some {
			keys[i], hashes[i] = keyOf(s)
		}
		if len(t.slots) >= largeTable {
			var slots [touchRows]uint64
			for i, h := range hashes[:len(some)] {
				slots[i] = t.slots[h>>t.shift]
			}
			for _, slot := range slots[:len(some)] {
				touched += t.keys[uint32(slot)][0]
			}
		}
		for i, s := range some {
			row := from + i
			if nulls != nil && nulls[row] {
				continue
			}
			if s != last || code == missing {
				last, code = s, t.find(s, keys[i], hashes[i], insert)
			}
			words[row*width] |= uint64(code) << shift
		}
	}
	return touched
}

// keep copies s to the end of the last block, or to a new one, and returns its place.
func (t *textTable) keep(s string) uint64 {
	last := len(t.blocks) - 1
	if last < 0 || t.blocks[last].Cap()-t.blocks[last].Len() < len(s) || t.blocks[last].Len() >= 1<<blockBits {
		b := &strings.Builder{}
		b.Grow(max(len(s), min(max(leastBlock, int(t.bytes)), mostBlock)))
		t.bytes += int64(b.Cap())
		t.blocks = append(t.blocks, b)
		last++
	}
	b := t.blocks[last]
	place := uint64(last)<<blockBits | uint64(b.Len())
	b.WriteString(s)
	return place
}

// long returns the text of a key that has a place.
func (t *textTable) long(k textKey) string {
	from := k[1] & (1<<blockBits - 1)
	return t.blocks[k[1]>>blockBits].String()[from : from+k[0]&math.MaxUint32]
}

// texts returns all texts by their codes. The table may grow meanwhile. Calls may be concurrent: the parts of a grouping
// read what one worker has kept of DISTINCT.
func (t *textTable) texts() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == len(t.keys) {
		return t.all
	}
	size := 0
	for _, k := range t.keys {
		if n := int(uint32(k[0])); n <= shortText {
			size += n
		}
	}
	var short strings.Builder
	short.Grow(size)
	for _, k := range t.keys {
		if n := int(uint32(k[0])); n <= shortText {
			var letters [shortText]byte
			binary.LittleEndian.PutUint32(letters[:], uint32(k[0]>>32))
			binary.LittleEndian.PutUint64(letters[4:], k[1])
			short.Write(letters[:n])
		}
	}
	out, rest := make([]string, len(t.keys)), short.String()
	for i, k := range t.keys {
		if n := int(uint32(k[0])); n <= shortText {
			out[i], rest = rest[:n], rest[n:]
		} else {
			out[i] = t.long(k)
		}
	}
	t.all = out
	return out
}

// reserve makes room for so many texts.
func (t *textTable) reserve(n int) {
	bits := 64 - t.shift
	for 1<<bits < 2*(n+1) {
		bits++
	}
	t.resize(bits)
	t.keys = append(make([]textKey, 0, n+1), t.keys...)
}

// resize makes 2^bits slots.
func (t *textTable) resize(bits uint) {
	old := t.slots
	t.slots, t.shift = make([]uint64, 1<<bits), 64-bits
	mask := uint64(len(t.slots) - 1)
	for i, slot := range old {
		if endsAt(i, t.ended) {
			return
		}
		if slot == 0 {
			continue
		}
		at := slot >> t.shift
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = slot
	}
}

// sizeBytes counts what texts will return, too.
func (t *textTable) sizeBytes() int64 {
	return 8*int64(cap(t.slots)) + 16*int64(cap(t.keys)+len(t.keys)) + t.bytes
}
