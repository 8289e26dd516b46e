package spill

import (
	"encoding/binary"
	"math"

	"github.com/weir-db/weir/internal/vec"
)

// A frame is a batch:
//
//	rows uvarint, then per column a vector:
//	head u8: form in bits 0-1, nulls follow in bit 2, of unknown type (all null, nothing follows) in bit 3
//	dictionary: entries uvarint, indexes as packed integers, then the entries as a flat vector
//	nulls: a bit per slot, lowest first
//	slots (one of a constant, else one per row):
//	  integers    packed: least value u64, width u8 (0, 1, 2, 4 or 8), then value - least in width bytes each
//	  doubles     their bits, u64 each
//	  booleans    a bit per slot
//	  varchars    lengths as packed integers, then the bytes
//	  arrays, series  lengths as packed integers, then each child as a vector
//	  rows        each field as a vector
//
// Integers are little-endian.

const (
	headForm    = 0b11
	headNulls   = 1 << 2
	headUnknown = 1 << 3
)

// encoder holds scratch memory.
type encoder struct {
	ints  []int64
	entry []int32 // per entry of a dictionary: its new number + 1
	used  []int32
	index []int32
}

func (e *encoder) appendBatch(dst []byte, types []vec.Type, b *vec.Batch) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.Len))
	for _, v := range b.Columns[:len(types)] {
		dst = e.appendVector(dst, v)
	}
	return dst
}

func (e *encoder) appendVector(dst []byte, v *vec.Vector) []byte {
	switch {
	case v.Type.Kind == vec.Unknown || v.Form == vec.Dictionary && v.Dict.Type.Kind == vec.Unknown:
		return append(dst, headUnknown)
	case v.Form == vec.Dictionary:
		return e.appendDictionary(dst, v)
	case v.Form == vec.Constant:
		return e.appendSlots(dst, v.Slice(0, 1).Flat(), vec.Constant)
	}
	return e.appendSlots(dst, v, vec.Flat)
}

// appendDictionary writes the entries that rows use, or the rows if that is no shorter.
func (e *encoder) appendDictionary(dst []byte, v *vec.Vector) []byte {
	n := v.Dict.Len()
	if n > 4*v.Len() || v.Dict.Form != vec.Flat {
		return e.appendSlots(dst, v.Flat(), vec.Flat)
	}
	if cap(e.entry) < n {
		e.entry = make([]int32, n)
	}
	entry := e.entry[:n]
	clear(entry)
	used, index := e.used[:0], e.index[:0]
	for _, at := range v.Index {
		if entry[at] == 0 {
			used = append(used, at)
			entry[at] = int32(len(used))
		}
		index = append(index, entry[at]-1)
	}
	e.used, e.index = used, index
	if len(used) > v.Len()/2 {
		return e.appendSlots(dst, v.Flat(), vec.Flat)
	}
	dst = append(dst, byte(vec.Dictionary))
	dst = binary.AppendUvarint(dst, uint64(len(used)))
	dst = e.appendInt32s(dst, index)
	return e.appendSlots(dst, v.Dict.Gather(used), vec.Flat)
}

// appendSlots writes flat v, which stands for a vector of the given form.
func (e *encoder) appendSlots(dst []byte, v *vec.Vector, form vec.Form) []byte {
	head := byte(form)
	n := v.Len()
	if v.Nulls != nil {
		head |= headNulls
	}
	dst = append(dst, head)
	if v.Nulls != nil {
		dst = appendBits(dst, v.Nulls[:n])
	}
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		return appendInts(dst, v.Ints[:n])
	case vec.StoreFloats:
		for _, f := range v.Floats[:n] {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
		}
	case vec.StoreBools:
		return appendBits(dst, v.Bools[:n])
	case vec.StoreStrs:
		return e.appendStrs(dst, v.Strs[:n])
	case vec.StoreNested:
		return e.appendNested(dst, v)
	}
	return dst
}

func (e *encoder) appendStrs(dst []byte, strs []string) []byte {
	lens := e.ints[:0]
	for _, s := range strs {
		lens = append(lens, int64(len(s)))
	}
	e.ints = lens
	dst = appendInts(dst, lens)
	for _, s := range strs {
		dst = append(dst, s...)
	}
	return dst
}

func (e *encoder) appendNested(dst []byte, v *vec.Vector) []byte {
	n := v.Len()
	if v.Type.Kind == vec.Row {
		for _, c := range v.Children {
			dst = e.appendVector(dst, c.Slice(0, n))
		}
		return dst
	}
	lens := e.ints[:0]
	for i := range n {
		lens = append(lens, int64(v.Offsets[i+1]-v.Offsets[i]))
	}
	e.ints = lens
	dst = appendInts(dst, lens)
	for _, c := range v.Children {
		dst = e.appendVector(dst, c.Slice(int(v.Offsets[0]), int(v.Offsets[n])))
	}
	return dst
}

func (e *encoder) appendInt32s(dst []byte, vals []int32) []byte {
	ints := e.ints[:0]
	for _, x := range vals {
		ints = append(ints, int64(x))
	}
	e.ints = ints
	return appendInts(dst, ints)
}

func appendInts(dst []byte, vals []int64) []byte {
	if len(vals) == 0 {
		return dst
	}
	least, most := vals[0], vals[0]
	for _, x := range vals {
		least, most = min(least, x), max(most, x)
	}
	width := widthOf(uint64(most) - uint64(least))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(least))
	dst = append(dst, byte(width))
	base := uint64(least)
	switch width {
	case 1:
		for _, x := range vals {
			dst = append(dst, byte(uint64(x)-base))
		}
	case 2:
		for _, x := range vals {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(uint64(x)-base))
		}
	case 4:
		for _, x := range vals {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(uint64(x)-base))
		}
	case 8:
		for _, x := range vals {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(x)-base)
		}
	}
	return dst
}

// widthOf returns how many bytes hold numbers up to span.
func widthOf(span uint64) int {
	switch {
	case span == 0:
		return 0
	case span < 1<<8:
		return 1
	case span < 1<<16:
		return 2
	case span < 1<<32:
		return 4
	}
	return 8
}

func appendBits(dst []byte, bits []bool) []byte {
	for len(bits) > 0 {
		b := byte(0)
		for i, set := range bits[:min(8, len(bits))] {
			if set {
				b |= 1 << i
			}
		}
		dst = append(dst, b)
		bits = bits[min(8, len(bits)):]
	}
	return dst
}
