package exec

import (
	"context"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// textCodes numbers texts as they appear: rows that repeat a few of them need only the numbers.
type textCodes struct {
	texts []string
	null  int // code of null, or -1
	codes map[string]int32
	seen  map[dictID][]int32 // of the latest dictionaries, per entry: its code + 1, once a row had it
	size  int64              // bytes held
	v     *vec.Vector        // texts, once they are read
	ranks []uint32           // per code, once they are known
}

func newTextCodes() *textCodes { return &textCodes{null: -1} }

// textEntryBytes is about what a text takes beside its letters: its header, its place in the map and its rank.
const textEntryBytes = 64

// put writes the codes of v to every width-th word of dst, or reports that texts are too many, or come in
// a form without repetitions. have is how many rows were put before.
func (c *textCodes) put(dst []uint64, width int, v *vec.Vector, have int) bool {
	if len(c.texts) > sortChunk+have/4 {
		return false
	}
	at := 0
	switch {
	case v.Form == vec.Constant || v.Type.Kind == vec.Unknown:
		code := uint64(c.code(v, 0))
		for range v.Len() {
			dst[at] = code
			at += width
		}
		return true
	case v.Form != vec.Dictionary || v.Dict.Form != vec.Flat:
		return false
	}
	known := c.known(v.Dict)
	for _, i := range v.Index {
		if known[i] == 0 {
			known[i] = c.code(v.Dict, int(i)) + 1
		}
		dst[at] = uint64(known[i] - 1)
		at += width
	}
	return true
}

// code returns the code of row i of v.
func (c *textCodes) code(v *vec.Vector, i int) int32 {
	c.v, c.ranks = nil, nil
	if v.IsNull(i) {
		if c.null < 0 {
			c.null = len(c.texts)
			c.texts = append(c.texts, "")
		}
		return int32(c.null)
	}
	text := v.Str(i)
	code, ok := c.codes[text]
	if !ok {
		code = int32(len(c.texts))
		text = strings.Clone(text)
		if c.codes == nil {
			c.codes = map[string]int32{}
		}
		c.codes[text] = code
		c.texts = append(c.texts, text)
		c.size += int64(len(text)) + textEntryBytes
	}
	return code
}

// mostSeen is how many dictionaries are remembered: some sources make a new one for every batch.
const mostSeen = 16

// known returns the codes, plus one, of a dictionary's entries as far as rows had them.
func (c *textCodes) known(dict *vec.Vector) []int32 {
	if dict.Len() == 0 {
		return nil
	}
	id := dictID{first: &dict.Strs[0], n: dict.Len()}
	if dict.Nulls != nil {
		id.nulls = &dict.Nulls[0]
	}
	known := c.seen[id]
	if known == nil {
		if c.seen == nil || len(c.seen) >= mostSeen {
			for _, known := range c.seen {
				c.size -= 4 * int64(len(known))
			}
			c.seen = map[dictID][]int32{}
		}
		known = make([]int32, dict.Len())
		c.size += 4 * int64(len(known))
		c.seen[id] = known
	}
	return known
}

// vector returns the texts, always the same vector while none is added.
func (c *textCodes) vector() *vec.Vector {
	if c.v == nil {
		var nulls []bool
		if c.null >= 0 {
			nulls = make([]bool, len(c.texts))
			nulls[c.null] = true
		}
		c.v = vec.OfStrs(c.texts, nulls)
	}
	return c.v
}

// rank sets ranks: codes by the order of their texts.
func (c *textCodes) rank(ctx context.Context) error {
	if c.ranks != nil {
		return nil
	}
	order, err := (&sortSpec{desc: []bool{false}, first: []bool{false}}).order(ctx, []*vec.Vector{vec.OfStrs(c.texts, nil)}, len(c.texts))
	if err != nil {
		return err
	}
	c.ranks = make([]uint32, len(order))
	for rank, code := range order {
		c.ranks[code] = uint32(rank)
	}
	return nil
}

// textHeap keeps texts in a few large pieces. A reference to one is its piece, where it begins there and its
// length; a text of wholePiece or more bytes has a piece of its own.
type textHeap struct {
	pieces []string
	open   strings.Builder // the last piece
	last   string          // the latest text, which often comes again
	ref    uint64          // its reference
	size   int64           // bytes held
}

const (
	pieceBits  = 20
	wholePiece = 1<<pieceBits - 1 // as length: all of the piece
	firstPiece = 1 << 12          // bytes; each piece is twice as large as the one before, up to 1 << pieceBits
)

// add keeps a text.
func (h *textHeap) add(text string) uint64 {
	if text == h.last && len(h.pieces) > 0 {
		return h.ref
	}
	if len(text) >= wholePiece {
		h.open.Reset()
		h.pieces = append(h.pieces, strings.Clone(text))
		h.size += int64(len(text))
		h.last, h.ref = h.pieces[len(h.pieces)-1], uint64(len(h.pieces)-1)<<(2*pieceBits)|wholePiece
		return h.ref
	}
	// No text begins at the end of a piece, not even an empty one: that place has no number.
	if h.open.Cap() == 0 || h.open.Len() == 1<<pieceBits || h.open.Cap()-h.open.Len() < len(text) {
		size := min(max(2*h.open.Cap(), firstPiece, len(text)), 1<<pieceBits)
		h.open.Reset()
		h.open.Grow(size)
		h.pieces = append(h.pieces, "")
		h.size += int64(h.open.Cap())
	}
	from := h.open.Len()
	h.open.WriteString(text)
	piece := h.open.String() // no copy
	h.pieces[len(h.pieces)-1] = piece
	h.last, h.ref = piece[from:], uint64(len(h.pieces)-1)<<(2*pieceBits)|uint64(from)<<pieceBits|uint64(len(text))
	return h.ref
}

// at returns the text of a reference.
func (h *textHeap) at(ref uint64) string {
	piece, from, n := h.pieces[ref>>(2*pieceBits)], int(ref>>pieceBits&wholePiece), int(ref&wholePiece)
	if n == wholePiece {
		return piece
	}
	return piece[from : from+n]
}

// put writes references to the texts of v to every width-th word of dst.
func (h *textHeap) put(dst []uint64, width int, v *vec.Vector) {
	at := 0
	put := func(ref uint64) {
		dst[at] = ref
		at += width
	}
	switch {
	case v.Type.Kind == vec.Unknown:
	case v.Form == vec.Constant:
		ref := h.add(v.Str(0))
		for range v.Len() {
			put(ref)
		}
	case v.Form == vec.Dictionary && v.Dict.Len() <= 2*v.Len():
		refs := make([]uint64, v.Dict.Len())
		have := make([]bool, v.Dict.Len())
		for _, i := range v.Index {
			if !have[i] {
				refs[i], have[i] = h.add(v.Dict.Str(int(i))), true
			}
			put(refs[i])
		}
	case v.Form == vec.Dictionary:
		for i := range v.Len() {
			put(h.add(v.Str(i)))
		}
	default:
		for _, text := range v.Strs[:v.Len()] {
			put(h.add(text))
		}
	}
}
