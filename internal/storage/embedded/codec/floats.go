package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

const (
	floatRaw = iota
	floatConstant
	floatDecimal
)

// maxExponent is the largest power of ten that a double holds exactly and that leaves
// room for digits: 10^15 < 2^53.
const maxExponent = 15

var powers = func() (p [maxExponent + 1]float64) {
	f := 1.0
	for i := range p {
		p[i] = f
		f *= 10
	}
	return p
}()

// FloatHint carries what worked for the block before of the same column. The zero
// value is ready. It is not safe for concurrent use.
type FloatHint struct {
	exponent int
	raw      int // blocks in a row that were not decimal
}

// AppendFloats appends vals, encoded. hint may be nil.
//
// Sensors send decimals: 21.5 is 215 / 10^1. Where v = i / 10^e holds to the bit for
// almost all values, the integers i are stored, which are small and change little.
// Dividing on the way back is correctly rounded, so the check at encoding is exact.
func AppendFloats(dst []byte, vals []float64, hint *FloatHint) []byte {
	if len(vals) == 0 {
		return dst
	}
	if hint == nil {
		hint = new(FloatHint)
	}
	first := math.Float64bits(vals[0])
	constant := true
	for _, v := range vals {
		if math.Float64bits(v) != first {
			constant = false
			break
		}
	}
	if constant {
		return binary.LittleEndian.AppendUint64(append(dst, floatConstant), first)
	}
	if e, ok := findExponent(vals, hint); ok {
		if out, ok := appendDecimal(dst, vals, e); ok {
			hint.exponent, hint.raw = e, 0
			return out
		}
	}
	hint.raw++
	dst = append(dst, floatRaw)
	for _, v := range vals {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// Adding this and taking it away again rounds a double of less than 2^51 to an integer.
const rounder = 3 << 51

// scaled returns the integer i with v == i / 10^e to the bit, if there is one.
func scaled(v float64, e int) (int64, bool) {
	f := float64(v * powers[e])
	switch {
	case math.Abs(f) < 1<<51:
		f = f + rounder - rounder
	case math.Abs(f) < 1<<53:
		f = math.Round(f)
	default: // NaN and infinities too
		return 0, false
	}
	return int64(f), math.Float64bits(f/powers[e]) == math.Float64bits(v)
}

// findExponent returns the least exponent that fits nearly all of a sample of values.
func findExponent(vals []float64, hint *FloatHint) (int, bool) {
	// After some blocks of full-precision data only every eighth is tried.
	if hint.raw > 4 && hint.raw%8 != 0 {
		return 0, false
	}
	const samples = 32
	step := max(1, len(vals)/samples)
	need := 0
	misses := 0
	for i := 0; i < len(vals); i += step {
		e := need
		for e <= maxExponent {
			if _, ok := scaled(vals[i], e); ok {
				break
			}
			e++
		}
		if e > maxExponent {
			misses++
			continue
		}
		need = e
	}
	return need, misses*4 <= (len(vals)+step-1)/step
}

var floatScratches = sync.Pool{New: func() any { return new([]int64) }}

// appendDecimal fails when more than a quarter of the values are not decimals of the
// exponent.
func appendDecimal(dst []byte, vals []float64, e int) ([]byte, bool) {
	buf := floatScratches.Get().(*[]int64)
	defer floatScratches.Put(buf)
	*buf = slices.Grow((*buf)[:0], len(vals))[:len(vals)]
	ints := *buf
	var exceptions []int
	before := int64(0)
	for i, v := range vals {
		n, ok := scaled(v, e)
		if !ok {
			exceptions = append(exceptions, i)
			n = before // whatever is cheapest
		}
		ints[i], before = n, n
	}
	if len(exceptions)*4 > len(vals) {
		return dst, false
	}
	out := append(dst, floatDecimal, byte(e))
	out = binary.AppendUvarint(out, uint64(len(exceptions)))
	last := 0
	for _, i := range exceptions {
		out = binary.AppendUvarint(out, uint64(i-last))
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(vals[i]))
		last = i
	}
	out = AppendInts(out, ints)
	return out, len(out)-len(dst) < 8*len(vals)
}

// FloatDecoder decodes doubles with a buffer of its own. The zero value is ready; it is
// not safe for concurrent use.
type FloatDecoder struct{ ints []int64 }

// Decode fills dst and returns what follows the block.
func (d *FloatDecoder) Decode(dst []float64, src []byte) ([]byte, error) {
	if len(dst) == 0 {
		return src, nil
	}
	r := reader{src: src}
	switch form := r.byte(); form {
	case floatRaw:
		b := r.bytes(8 * len(dst))
		if r.err != nil {
			return nil, r.err
		}
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
		return r.src, nil
	case floatConstant:
		b := r.bytes(8)
		if r.err != nil {
			return nil, r.err
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(b))
		for i := range dst {
			dst[i] = v
		}
		return r.src, nil
	case floatDecimal:
		return d.decodeDecimal(dst, r)
	default:
		return nil, corrupt("doubles of form %d", form)
	}
}

func (d *FloatDecoder) decodeDecimal(dst []float64, r reader) ([]byte, error) {
	e := int(r.byte())
	if e > maxExponent {
		return nil, corrupt("decimal exponent %d", e)
	}
	count := r.count(len(dst))
	exceptions := r
	for range count {
		r.uvarint()
		r.bytes(8)
	}
	if r.err != nil {
		return nil, r.err
	}
	if cap(d.ints) < len(dst) {
		d.ints = make([]int64, len(dst))
	}
	ints := d.ints[:len(dst)]
	rest, err := DecodeInts(ints, r.src)
	if err != nil {
		return nil, err
	}
	if p := powers[e]; e == 0 {
		for i, n := range ints {
			dst[i] = float64(n)
		}
	} else {
		for i, n := range ints {
			dst[i] = float64(n) / p
		}
	}
	at := uint64(0)
	for range count {
		at += exceptions.uvarint()
		if at >= uint64(len(dst)) {
			return nil, corrupt("exception at position %d of %d", at, len(dst))
		}
		dst[at] = math.Float64frombits(binary.LittleEndian.Uint64(exceptions.bytes(8)))
	}
	return rest, nil
}
