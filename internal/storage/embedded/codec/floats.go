package codec

import (
	"encoding/binary"
	"math"
	"slices"
)

const (
	floatRaw = iota
	floatConstant
	floatDecimal
	floatDecimals = 3 // and the exponent in the high four bits: no exceptions
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

// Floats appends vals, encoded.
//
// Sensors send decimals: 21.5 is 215 / 10^1. Where v = i / 10^e holds to the bit for
// almost all values, the integers i are stored, which are small and change little.
// Dividing on the way back is correctly rounded, so the check at encoding is exact.
func (e *Encoder) Floats(dst []byte, vals []float64) []byte {
	e.decimals = Decimals{}
	if len(vals) == 0 {
		return dst
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
		if exponent, ok := e.findExponent(vals[:1]); ok {
			n, _ := scaled(vals[0], exponent)
			e.decimals = Decimals{slices.Repeat([]int64{n}, len(vals)), exponent}
		}
		return binary.LittleEndian.AppendUint64(append(dst, floatConstant), first)
	}
	if exponent, ok := e.findExponent(vals); ok {
		if out, ok := e.appendDecimal(dst, vals, exponent); ok {
			e.raw = 0
			return out
		}
	}
	e.raw++
	dst = append(dst, floatRaw)
	for _, v := range vals {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	return dst
}

// Decimals returns the block encoded last by Floats as integers, valid until the next
// call, if all its values are decimals of one exponent.
func (e *Encoder) Decimals() (d Decimals, ok bool) { return e.decimals, e.decimals.Ints != nil }

// AppendFloats appends vals, encoded without prefix codes.
func AppendFloats(dst []byte, vals []float64) []byte {
	e := Encoder{plain: true}
	return e.Floats(dst, vals)
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

// wholes does what scaled does with exponent 0, without its division, up to the first value that is not a whole
// number, and returns how many it did.
func wholes(ints []int64, vals []float64) int {
	for i, v := range vals {
		n := int64(v)
		if !(math.Abs(v) < 1<<51) || math.Float64bits(float64(n)) != math.Float64bits(v) {
			return i
		}
		ints[i] = n
	}
	return len(vals)
}

// findExponent returns the least exponent that fits nearly all of a sample of values.
func (e *Encoder) findExponent(vals []float64) (int, bool) {
	// After some blocks of full-precision data only every eighth is tried.
	if e.raw > 4 && e.raw%8 != 0 && len(vals) > 1 {
		return 0, false
	}
	const samples = 32
	step := max(1, len(vals)/samples)
	need := 0
	misses := 0
	for i := 0; i < len(vals); i += step {
		exponent := need
		for exponent <= maxExponent {
			if _, ok := scaled(vals[i], exponent); ok {
				break
			}
			exponent++
		}
		if exponent > maxExponent {
			misses++
			continue
		}
		need = exponent
	}
	return need, misses*4 <= (len(vals)+step-1)/step
}

// appendDecimal fails when more than a quarter of the values are not decimals of the
// exponent.
func (e *Encoder) appendDecimal(dst []byte, vals []float64, exponent int) ([]byte, bool) {
	e.decimalInts = slices.Grow(e.decimalInts[:0], len(vals))[:len(vals)]
	ints := e.decimalInts
	var exceptions []int
	before, done := int64(0), 0
	if exponent == 0 {
		if done = wholes(ints, vals); done > 0 {
			before = ints[done-1]
		}
	}
	for i := done; i < len(vals); i++ {
		n, ok := scaled(vals[i], exponent)
		if !ok {
			exceptions = append(exceptions, i)
			n = before // whatever is cheapest
		}
		ints[i], before = n, n
	}
	if len(exceptions)*4 > len(vals) {
		return dst, false
	}
	out := dst
	if len(exceptions) == 0 && !e.plain {
		out = append(out, byte(floatDecimals|exponent<<4))
	} else {
		out = append(out, floatDecimal, byte(exponent))
		out = binary.AppendUvarint(out, uint64(len(exceptions)))
	}
	last := 0
	for _, i := range exceptions {
		out = binary.AppendUvarint(out, uint64(i-last))
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(vals[i]))
		last = i
	}
	if e.plain {
		out = e.appendInts(out, ints)
	} else {
		out = e.Ints(out, ints)
	}
	if len(exceptions) == 0 {
		e.decimals = Decimals{ints, exponent}
	}
	return out, len(out)-len(dst) < 8*len(vals)
}

// Floats fills dst and returns what follows the block.
func (d *Decoder) Floats(dst []float64, src []byte) ([]byte, error) {
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
		if form&15 == floatDecimals {
			ints := d.room(len(dst))
			rest, err := d.Ints(ints, r.src)
			if err == nil {
				Divide(dst, ints, int(form>>4))
			}
			return rest, err
		}
		return nil, corrupt("doubles of form %d", form)
	}
}

// room returns n integers to decode into.
func (d *Decoder) room(n int) []int64 {
	if cap(d.ints) < n {
		d.ints = make([]int64, n)
	}
	return d.ints[:n]
}

// decodeDecimal decodes decimals with exceptions.
func (d *Decoder) decodeDecimal(dst []float64, r reader) ([]byte, error) {
	exponent := int(r.byte())
	if exponent > maxExponent {
		return nil, corrupt("decimal exponent %d", exponent)
	}
	exceptions := r // read again once the other values are there
	for n := r.count(len(dst)); n > 0; n-- {
		r.uvarint()
		r.bytes(8)
	}
	if r.err != nil {
		return nil, r.err
	}
	ints := d.room(len(dst))
	rest, err := d.Ints(ints, r.src)
	if err != nil {
		return nil, err
	}
	Divide(dst, ints, exponent)
	at := uint64(0)
	for n := exceptions.count(len(dst)); n > 0; n-- {
		at += exceptions.uvarint()
		if at >= uint64(len(dst)) {
			return nil, corrupt("exception at position %d of %d", at, len(dst))
		}
		dst[at] = math.Float64frombits(binary.LittleEndian.Uint64(exceptions.bytes(8)))
	}
	return rest, nil
}

// Decimals fills dst with a block of doubles as integers, if it is one of decimals without
// exceptions; ok is false if not, and then nothing is decoded.
func (d *Decoder) Decimals(dst []int64, src []byte) (exponent int, rest []byte, ok bool, err error) {
	switch {
	case len(dst) == 0 || len(src) < 3:
		return 0, nil, false, nil
	case src[0]&15 == floatDecimals:
		exponent, src = int(src[0]>>4), src[1:]
	case src[0] == floatDecimal && src[1] <= maxExponent && src[2] == 0:
		exponent, src = int(src[1]), src[3:]
	default:
		return 0, nil, false, nil
	}
	rest, err = d.Ints(dst, src)
	return exponent, rest, err == nil, err
}

// Divide makes doubles of integers and their exponent; both slices have the same length.
func Divide(dst []float64, ints []int64, exponent int) {
	ints = ints[:len(dst)]
	if exponent == 0 {
		for i, n := range ints {
			dst[i] = float64(n)
		}
		return
	}
	p := powers[exponent]
	for i, n := range ints {
		dst[i] = float64(n) / p
	}
}

// Pow10 returns 10^exponent, which is exact; exponent is one of a block of decimals.
func Pow10(exponent int) float64 { return powers[exponent] }
