package spill

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/weir-db/weir/internal/vec"
)

// errShort says that a frame ends before its batch does, or holds what no encoder writes.
var errShort = errors.New("the frame is not a batch")

// decoder reads a frame. After a fault it gives zeros and err is set.
type decoder struct {
	in  []byte
	err error
}

// decodeBatch reads a frame, copying what it keeps.
func decodeBatch(in []byte, types []vec.Type) (*vec.Batch, error) {
	d := &decoder{in: in}
	n := d.count(math.MaxInt32)
	b := &vec.Batch{Len: n, Columns: make([]*vec.Vector, len(types))}
	for i, t := range types {
		if b.Columns[i] = d.vector(t, n); d.err != nil {
			return nil, d.err
		}
	}
	if len(d.in) > 0 {
		return nil, errShort
	}
	return b, nil
}

// take returns the next n bytes, or nil.
func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.in) {
		d.err = errShort
		return nil
	}
	out := d.in[:n]
	d.in = d.in[n:]
	return out
}

// count reads a number up to most.
func (d *decoder) count(most int) int {
	x, n := binary.Uvarint(d.in)
	if d.err != nil || n <= 0 || x > uint64(most) {
		d.err = errShort
		return 0
	}
	d.in = d.in[n:]
	return int(x)
}

func (d *decoder) vector(t vec.Type, n int) *vec.Vector {
	h := d.take(1)
	if d.err != nil {
		return nil
	}
	head := h[0]
	if head&headUnknown != 0 {
		return vec.NullsOf(t, n)
	}
	switch vec.Form(head & headForm) {
	case vec.Dictionary:
		entries := d.count(n)
		index := d.int32s(n)
		for _, at := range index {
			if int(at) >= entries || at < 0 {
				d.err = errShort
				return nil
			}
		}
		if h = d.take(1); d.err != nil {
			return nil
		}
		dict := d.slots(t, entries, h[0])
		if d.err != nil {
			return nil
		}
		return vec.OfDict(index, dict)
	case vec.Constant:
		v := d.slots(t, 1, head)
		if d.err != nil {
			return nil
		}
		v.Form = vec.Constant
		return v.Slice(0, n)
	}
	return d.slots(t, n, head)
}

// slots reads a flat vector.
func (d *decoder) slots(t vec.Type, n int, head byte) *vec.Vector {
	if n > 0 && t.Kind != vec.Row && len(d.in) == 0 {
		d.err = errShort
		return nil
	}
	var nulls []bool
	if head&headNulls != 0 {
		nulls = d.bits(n)
	}
	switch t.Kind.Storage() {
	case vec.StoreInts:
		return vec.OfInts(t, d.ints(n), nulls)
	case vec.StoreFloats:
		from := d.take(8 * n)
		if d.err != nil {
			return nil
		}
		out := make([]float64, n)
		for i := range out {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(from[8*i:]))
		}
		return vec.OfFloats(out, nulls)
	case vec.StoreBools:
		return vec.OfBools(d.bits(n), nulls)
	case vec.StoreStrs:
		return vec.OfStrs(d.strs(n), nulls).Retype(t)
	case vec.StoreNested:
		return d.nested(t, n, nulls)
	}
	d.err = errShort
	return nil
}

func (d *decoder) strs(n int) []string {
	lens := d.ints(n)
	total := int64(0)
	for _, l := range lens {
		if l < 0 || l > int64(len(d.in)) {
			d.err = errShort
			return nil
		}
		total += l
	}
	if total > int64(len(d.in)) {
		d.err = errShort
		return nil
	}
	text := string(d.take(int(total)))
	out := make([]string, len(lens))
	for i, l := range lens {
		out[i], text = text[:l], text[l:]
	}
	return out
}

func (d *decoder) nested(t vec.Type, n int, nulls []bool) *vec.Vector {
	if t.Kind == vec.Row {
		children := make([]*vec.Vector, len(t.Fields))
		for i, f := range t.Fields {
			if children[i] = d.vector(f.Type, n); d.err != nil {
				return nil
			}
		}
		return vec.OfRows(t, n, nulls, children...)
	}
	lens := d.ints(n)
	offsets := make([]int32, 1, n+1)
	sum := int64(0)
	for _, l := range lens {
		if sum += l; l < 0 || sum > math.MaxInt32 {
			d.err = errShort
			return nil
		}
		offsets = append(offsets, int32(sum))
	}
	elems := []vec.Type{*t.Elem}
	if t.Kind == vec.TimeSeries {
		elems = []vec.Type{vec.TimestampType, *t.Elem}
	}
	children := make([]*vec.Vector, len(elems))
	for i, e := range elems {
		if d.err != nil {
			return nil
		}
		children[i] = d.vector(e, int(sum))
	}
	if d.err != nil {
		return nil
	}
	return vec.OfNested(t, offsets, nulls, children...)
}

func (d *decoder) int32s(n int) []int32 {
	ints := d.ints(n)
	out := make([]int32, len(ints))
	for i, x := range ints {
		if x < 0 || x > math.MaxInt32 {
			d.err = errShort
			return nil
		}
		out[i] = int32(x)
	}
	return out
}

func (d *decoder) ints(n int) []int64 {
	if n == 0 {
		return nil
	}
	h := d.take(9)
	if d.err != nil {
		return nil
	}
	base, width := binary.LittleEndian.Uint64(h), int(h[8])
	if width > 8 || n > maxFrame {
		d.err = errShort
		return nil
	}
	from := d.take(width * n)
	if d.err != nil {
		return nil
	}
	out := make([]int64, n)
	switch width {
	case 0:
		for i := range out {
			out[i] = int64(base)
		}
	case 1:
		for i := range out {
			out[i] = int64(base + uint64(from[i]))
		}
	case 2:
		for i := range out {
			out[i] = int64(base + uint64(binary.LittleEndian.Uint16(from[2*i:])))
		}
	case 4:
		for i := range out {
			out[i] = int64(base + uint64(binary.LittleEndian.Uint32(from[4*i:])))
		}
	case 8:
		for i := range out {
			out[i] = int64(base + binary.LittleEndian.Uint64(from[8*i:]))
		}
	default:
		d.err = errShort
	}
	return out
}

func (d *decoder) bits(n int) []bool {
	from := d.take((n + 7) / 8)
	if d.err != nil {
		return nil
	}
	out := make([]bool, n)
	for i := range out {
		out[i] = from[i/8]>>(i%8)&1 != 0
	}
	return out
}
