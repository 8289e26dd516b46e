package codec

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	stringsPlain      = 0
	stringsDictionary = 1
	stringsCompressed = 16
)

// maxStringBytes bounds what the strings of one block may need in memory. A value has
// at most 2 KB (Timestream quotas) and a block some thousand values.
const maxStringBytes = 64 << 20

// One coder each serves all; EncodeAll and DecodeAll keep no state between calls.
var zstdCoders = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(2))
	if err != nil {
		panic("bug: " + err.Error())
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxStringBytes), zstd.WithDecoderConcurrency(2))
	if err != nil {
		panic("bug: " + err.Error())
	}
	return e, d
})

// AppendStrings appends vals, encoded.
func AppendStrings(dst []byte, vals []string) []byte {
	if len(vals) == 0 {
		return dst
	}
	ids := make([]int64, len(vals))
	index := make(map[string]int64, 16)
	var distinct []string
	for i, v := range vals {
		id, ok := index[v]
		if !ok {
			id = int64(len(distinct))
			index[v] = id
			distinct = append(distinct, v)
		}
		ids[i] = id
	}
	if 2*len(distinct) > len(vals) && len(vals) > 4 {
		return appendPlain(dst, stringsPlain, nil, vals)
	}
	head := binary.AppendUvarint(nil, uint64(len(distinct)))
	dst = appendPlain(dst, stringsDictionary, head, distinct)
	return AppendInts(dst, ids)
}

// appendPlain appends form, head, lengths and bytes of vals, compressed where that pays.
func appendPlain(dst []byte, form byte, head []byte, vals []string) []byte {
	lengths := make([]int64, len(vals))
	var text []byte
	for i, v := range vals {
		lengths[i] = int64(len(v))
		text = append(text, v...)
	}
	if len(text) >= 128 {
		e, _ := zstdCoders()
		if packed := e.EncodeAll(text, nil); len(packed) < len(text)-len(text)/10 {
			form, text = form|stringsCompressed, packed
		}
	}
	dst = append(append(dst, form), head...)
	dst = AppendInts(dst, lengths)
	if form&stringsCompressed != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
	}
	return append(dst, text...)
}

// DecodeStrings decodes n strings. They come as a dictionary and the index of each; a
// nil index means that string i is dict[i]. The strings share memory of their own, not
// of src.
func DecodeStrings(n int, src []byte) (dict []string, index []int64, rest []byte, err error) {
	if n == 0 {
		return nil, nil, src, nil
	}
	r := reader{src: src}
	form := r.byte()
	count := n
	switch form &^ stringsCompressed {
	case stringsPlain:
	case stringsDictionary:
		count = r.count(n)
		if r.err == nil && count == 0 {
			return nil, nil, nil, corrupt("an empty dictionary")
		}
	default:
		return nil, nil, nil, corrupt("strings of form %d", form)
	}
	if r.err != nil {
		return nil, nil, nil, r.err
	}
	dict, rest, err = decodePlain(count, r.src, form&stringsCompressed != 0)
	if err != nil || form&^stringsCompressed == stringsPlain {
		return dict, nil, rest, err
	}
	index = make([]int64, n)
	rest, err = DecodeInts(index, rest)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, i := range index {
		if i < 0 || i >= int64(count) {
			return nil, nil, nil, corrupt("entry %d of a dictionary of %d", i, count)
		}
	}
	return dict, index, rest, nil
}

func decodePlain(n int, src []byte, compressed bool) ([]string, []byte, error) {
	lengths := make([]int64, n)
	src, err := DecodeInts(lengths, src)
	if err != nil {
		return nil, nil, err
	}
	total := int64(0)
	for _, l := range lengths {
		if l < 0 || l > maxStringBytes {
			return nil, nil, corrupt("a string of %d bytes", l)
		}
		if total += l; total > maxStringBytes {
			return nil, nil, corrupt("strings of more than %d bytes", maxStringBytes)
		}
	}
	r := reader{src: src}
	var text string
	if compressed {
		packed := r.bytes(r.count(len(src)))
		if r.err != nil {
			return nil, nil, r.err
		}
		_, d := zstdCoders()
		plain, err := d.DecodeAll(packed, nil)
		if err != nil || int64(len(plain)) != total {
			return nil, nil, corrupt("%d bytes of text, want %d (%v)", len(plain), total, err)
		}
		text = string(plain)
	} else {
		text = string(r.bytes(int(total)))
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	out := make([]string, n)
	at := int64(0)
	for i, l := range lengths {
		out[i] = text[at : at+l]
		at += l
	}
	return out, r.src, nil
}
