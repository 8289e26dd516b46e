package exec

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/weir-db/weir/internal/vec"
)

// keyLayout packs the keys of a row into a few words, so that equal keys have equal words and tables need
// not know about types:
//
//   - integer-like keys and doubles take a word each (-0.0 as 0.0, all NaN alike);
//   - booleans, texts and nested values take half a word: a code, 0 for null. The codes of texts
//     and nested values are numbers that a textTable gives in order of appearance;
//   - null flags of the whole-word keys share half words. A single whole-word key has none: its nulls are
//     told apart beside the words.
type keyLayout struct {
	parts []keyPart
	width int // words per row
}

type keyPart struct {
	t     vec.Type
	wide  bool
	word  int
	shift uint // of a narrow key's code in its word
	flag  int  // word of a wide key's null flag, or -1
	bit   uint // of the flag in that word
}

func newKeyLayout(types []vec.Type) keyLayout {
	l := keyLayout{parts: make([]keyPart, len(types))}
	wide := 0
	for i, t := range types {
		p := keyPart{t: t, flag: -1}
		if s := t.Kind.Storage(); s == vec.StoreInts || s == vec.StoreFloats {
			p.wide, p.word = true, wide
			wide++
		}
		l.parts[i] = p
	}
	halves := 0
	half := func() (word int, shift uint) {
		halves++
		return wide + (halves-1)/2, uint((halves-1)%2) * 32
	}
	flags := 0
	var flagWord int
	var flagShift uint
	for i := range l.parts {
		p := &l.parts[i]
		switch {
		case !p.wide:
			p.word, p.shift = half()
		case len(types) > 1:
			if flags%32 == 0 {
				flagWord, flagShift = half()
			}
			p.flag, p.bit = flagWord, flagShift+uint(flags%32)
			flags++
		}
	}
	l.width = wide + (halves+1)/2
	return l
}

// missing is the code of a text that a table does not hold: no row of it matches.
const missing = math.MaxUint32

// keyReader turns rows into words, for one goroutine.
type keyReader struct {
	layout *keyLayout
	words  []uint64
	nulls  []bool // of a single wide key: the null rows; nil: none
	dicts  []map[dictID]*dictCodes
	bytes  []byte

	touched uint64 // see touch
}

// dictID names a dictionary: storage wraps the same texts anew for every batch.
type dictID struct {
	first *string
	n     int
	nulls *bool
}

// dictCodes is the codes of a dictionary's entries as far as rows have asked for them, plus one.
type dictCodes struct {
	codes []uint32
	rows  int // seen before codes was made
}

// read sets r.words to the words of n rows, width per row. New texts get codes if insert is true, else
// they are missing.
func (r *keyReader) read(texts []*textTable, keys []*vec.Vector, n int, insert bool) {
	l := r.layout
	w := l.width
	r.words = resize(r.words, n*w)
	r.nulls = nil
	if len(l.parts) == 1 && l.parts[0].wide {
		r.wide(&l.parts[0], keys[0], n)
		return
	}
	narrow := false
	for i := range l.parts {
		narrow = narrow || !l.parts[i].wide || l.parts[i].flag >= 0
	}
	if narrow {
		clear(r.words)
	}
	for i := range l.parts {
		if p := &l.parts[i]; p.wide {
			r.wide(p, keys[i], n)
		} else {
			r.narrow(i, texts[i], keys[i], n, insert)
		}
	}
}

// wide writes the words of a whole-word key.
func (r *keyReader) wide(p *keyPart, v *vec.Vector, n int) {
	w := r.layout.width
	out := r.words[p.word:]
	if v.Type.Kind == vec.Unknown {
		for i := range n {
			out[i*w] = 0
			r.null(p, i, n)
		}
		return
	}
	floats := v.Type.Kind == vec.Double
	switch v.Form {
	case vec.Constant:
		x := uint64(0)
		if !v.IsNull(0) {
			x = wordOf(v, 0, floats)
		}
		for i := range n {
			out[i*w] = x
		}
	case vec.Dictionary:
		if floats {
			for i, x := range v.Index[:n] {
				out[i*w] = floatWord(v.Dict.Floats[x])
			}
		} else {
			for i, x := range v.Index[:n] {
				out[i*w] = uint64(v.Dict.Ints[x])
			}
		}
	default:
		switch {
		case floats:
			for i, x := range v.Floats[:n] {
				out[i*w] = floatWord(x)
			}
		case w == 1:
			for i, x := range v.Ints[:n] {
				out[i] = uint64(x)
			}
		default:
			for i, x := range v.Ints[:n] {
				out[i*w] = uint64(x)
			}
		}
	}
	if !v.HasNulls() {
		return
	}
	for i := range n {
		if v.IsNull(i) {
			out[i*w] = 0
			r.null(p, i, n)
		}
	}
}

// null flags row i of n as null in a wide key.
func (r *keyReader) null(p *keyPart, i, n int) {
	if p.flag >= 0 {
		r.words[i*r.layout.width+p.flag] |= 1 << p.bit
		return
	}
	if r.nulls == nil {
		r.nulls = make([]bool, n)
	}
	r.nulls[i] = true
}

func wordOf(v *vec.Vector, i int, floats bool) uint64 {
	if floats {
		return floatWord(v.Float(i))
	}
	return uint64(v.Int(i))
}

func floatWord(f float64) uint64 {
	switch {
	case f == 0:
		return 0
	case f != f:
		return 0x7ff8000000000001
	}
	return math.Float64bits(f)
}

// narrow writes the codes of a half-word key.
func (r *keyReader) narrow(part int, texts *textTable, v *vec.Vector, n int, insert bool) {
	p := &r.layout.parts[part]
	w := r.layout.width
	out, shift := r.words[p.word:], p.shift
	switch {
	case v.Type.Kind == vec.Unknown: // 0, as it stands
	case v.Form == vec.Constant:
		code := uint64(r.code(texts, v, 0, insert)) << shift
		for i := range n {
			out[i*w] |= code
		}
	case p.t.Kind == vec.Boolean:
		for i := range n {
			out[i*w] |= uint64(r.code(texts, v, i, insert)) << shift
		}
	case v.Form == vec.Dictionary:
		r.dictionary(part, texts, v, n, insert)
	case p.t.Kind == vec.Varchar:
		r.touched += texts.codes(out, w, shift, v.Strs[:n], v.Nulls, insert)
	default:
		for i := range n {
			out[i*w] |= uint64(r.code(texts, v, i, insert)) << shift
		}
	}
}

// code returns the code of one value.
func (r *keyReader) code(texts *textTable, v *vec.Vector, i int, insert bool) uint32 {
	f, j := v.At(i)
	if f.Nulls != nil && f.Nulls[j] {
		return 0
	}
	switch f.Type.Kind.Storage() {
	case vec.StoreBools:
		if f.Bools[j] {
			return 2
		}
		return 1
	case vec.StoreStrs:
		return texts.code(f.Strs[j], insert)
	}
	r.bytes = appendGroupKey(r.bytes[:0], f.Value(j))
	return texts.code(string(r.bytes), insert)
}

// dictionary writes the codes of a dictionary, each entry looked up once. A dictionary much longer than the
// batch is worth a list of codes only if it comes again.
func (r *keyReader) dictionary(part int, texts *textTable, v *vec.Vector, n int, insert bool) {
	p := &r.layout.parts[part]
	w := r.layout.width
	out, shift := r.words[p.word:], p.shift
	d := r.codesOf(part, v.Dict, n)
	if d.codes == nil {
		last, code := int32(-1), uint64(0)
		for i, x := range v.Index[:n] {
			if x != last {
				last, code = x, uint64(r.code(texts, v.Dict, int(x), insert))<<shift
			}
			out[i*w] |= code
		}
		return
	}
	codes := d.codes
	for i, x := range v.Index[:n] {
		c := codes[x]
		if c == 0 {
			c = r.code(texts, v.Dict, int(x), insert) + 1
			codes[x] = c
		}
		out[i*w] |= uint64(c-1) << shift
	}
}

// codesOf returns what is known of a dictionary.
func (r *keyReader) codesOf(part int, dict *vec.Vector, n int) *dictCodes {
	if r.dicts == nil {
		r.dicts = make([]map[dictID]*dictCodes, len(r.layout.parts))
	}
	if r.dicts[part] == nil {
		r.dicts[part] = map[dictID]*dictCodes{}
	}
	var id dictID
	switch {
	case dict.Type.Kind.Storage() == vec.StoreStrs && dict.Len() > 0:
		id = dictID{first: &dict.Strs[0], n: dict.Len()}
		if dict.Nulls != nil {
			id.nulls = &dict.Nulls[0]
		}
	default:
		return &dictCodes{codes: make([]uint32, dict.Len())}
	}
	known := r.dicts[part]
	d := known[id]
	if d == nil {
		if len(known) >= 64 { // dictionaries that never come again
			clear(known)
		}
		d = &dictCodes{}
		known[id] = d
	}
	if d.rows += n; d.codes == nil && (dict.Len() <= 2*n || 4*d.rows >= dict.Len()) {
		d.codes = make([]uint32, dict.Len())
	}
	return d
}

func (r *keyReader) sizeBytes() int64 {
	size := 8*int64(cap(r.words)) + int64(cap(r.bytes))
	for _, known := range r.dicts {
		for _, d := range known {
			size += 4 * int64(cap(d.codes))
		}
	}
	return size
}

// appendGroupKey is appendKey for values that group: -0.0 is 0.0 and all NaN are one.
func appendGroupKey(dst []byte, v vec.Value) []byte {
	switch {
	case v.Null:
		return append(dst, 0)
	case v.Type.Kind == vec.Double:
		return binary.BigEndian.AppendUint64(append(dst, 1), floatWord(v.Float))
	case v.Type.Kind.Storage() != vec.StoreNested:
		return appendKey(dst, v)
	}
	dst = binary.AppendUvarint(append(dst, 1), uint64(len(v.List)))
	for _, e := range v.List {
		dst = appendGroupKey(dst, e)
	}
	return dst
}

// mixWords is the hash of a row of several words; its upper half is as good as its lower.
func mixWords(words []uint64) uint64 {
	h := vec.HashSeed
	for _, w := range words {
		hi, lo := bits.Mul64(h^w, 0xe7037ed1a0b428db)
		h = hi ^ lo
	}
	return h * hashMul
}
