// Package codec encodes blocks of up to some thousand values of one type.
//
// A block does not say how many values it holds; whoever stores it does. Each encoder
// tries the forms below and takes the smallest; each decoder fills a slice of the
// right length and returns the bytes that follow. Encoding is exact to the bit: NaN,
// negative zero and the infinities survive. Decoders check everything they read; damage is
// an error that wraps [ErrCorrupt], never a panic and never memory beyond what the
// caller asked for.
//
//	integers   form u8, then
//	  0 raw        8 bytes each, little-endian
//	  4 frame      base zigzag, width u8, value-base packed
//	  5 delta      first zigzag, least delta zigzag, width u8, exceptions, delta-least packed;
//	               the first value's delta is the least one
//	  6 line       first zigzag, step zigzag, least residual zigzag, width u8, residuals packed
//	doubles    form u8, then
//	  0 raw        8 bytes each
//	  1 constant   8 bytes
//	  2 decimal    exponent u8, exceptions, integers v such that v / 10^exponent is the value
//	  3 | exponent << 4  the same without exceptions: integers
//	booleans   form u8: 0 all false, 1 all true, 2 one bit each
//	strings    form u8, then
//	  0 plain      lengths as integers, bytes
//	  1 dictionary count uvarint, its strings as plain, indexes as integers
//	  + 16         bytes are compressed by zstd
//
// Constant integers and regular timestamps are a frame and a delta of width 0. Exceptions
// are a count (uvarint) and pairs of position (uvarint, counted from the one before) and
// value. Widths are in bits. Each 512 values are packed in eight lanes (value i in lane
// i mod 8; 64-bit words of the lanes take turns), the rest end to end from the lowest bit on.
//
// Form 7 is for numbers that gather around one. A number less centre, without its low bits,
// plus 32 is a symbol of 0 to 63; symbols have prefix codes of up to eleven bits, the first half
// of the block's in one stream and the rest in another. Codes are kept per column, outside of blocks ([Tables]),
// so one code serves many blocks and its decoding table is made once. Form 8 is for values
// that mostly stay as they were.
//
// Forms 1 to 3 were those of a layout that was never released.
//
// All functions may be called concurrently.
package codec

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
)

const (
	intRaw   = 0
	intFrame = 4
	intDelta = 5
	intLine  = 6

	intCoded   = 7
	intChanges = 8
)

// scratch is what encoding a block needs besides the block.
type scratch struct {
	deltas, residuals []int64
	packed            []uint64
	syms, stream      []uint8
	exceptions        []int
	decimalInts       []int64
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// AppendInts appends vals, encoded without prefix codes.
func AppendInts(dst []byte, vals []int64) []byte {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return s.appendInts(dst, vals)
}

func (s *scratch) appendInts(dst []byte, vals []int64) []byte {
	if len(vals) == 0 {
		return dst
	}
	lo, hi := slices.Min(vals), slices.Max(vals)
	frameWidth := bits.Len64(uint64(hi) - uint64(lo))
	if frameWidth == 0 || len(vals) < 3 {
		return s.appendFrame(dst, vals, lo, frameWidth)
	}
	form, size := intFrame, packedBytes(len(vals), frameWidth)
	d := s.planDelta(vals)
	if d.size < size-size/64 {
		form, size = intDelta, d.size
	}
	line := s.planLine(vals)
	if line.ok && line.size < size-size/64 {
		form, size = intLine, line.size
	}
	switch {
	case size >= 8*len(vals):
		dst = append(dst, intRaw)
		for _, v := range vals {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
		return dst
	case form == intDelta:
		return s.appendDelta(dst, vals[0], d)
	case form == intLine:
		return s.appendLine(dst, vals[0], line)
	}
	return s.appendFrame(dst, vals, lo, frameWidth)
}

func (s *scratch) appendFrame(dst []byte, vals []int64, base int64, width int) []byte {
	dst = append(dst, intFrame)
	dst = binary.AppendVarint(dst, base)
	dst = append(dst, byte(width))
	return appendPacked(dst, s.above(vals, base), width)
}

// above returns vals - base, modulo 2^64, valid until the next call.
func (s *scratch) above(vals []int64, base int64) []uint64 {
	s.packed = slices.Grow(s.packed[:0], len(vals))[:len(vals)]
	for i, v := range vals {
		s.packed[i] = uint64(v) - uint64(base)
	}
	return s.packed
}

// deltaPlan is how a block is stored as differences: most in width bits above least,
// the others as exceptions.
type deltaPlan struct {
	least int64
	width int
	size  int // estimated bytes
}

// exceptionBytes is what one exception costs: its position and a value of typical size.
const exceptionBytes = 6

// planDelta computes the differences of neighbours, modulo 2^64, with 0 for the first
// value, and picks base and width so that packed values and exceptions together are small.
func (s *scratch) planDelta(vals []int64) deltaPlan {
	n := len(vals)
	s.deltas = slices.Grow(s.deltas[:0], n)[:n]
	least := vals[1] - vals[0]
	for i := 1; i < n; i++ {
		d := vals[i] - vals[i-1]
		s.deltas[i] = d
		least = min(least, d)
	}
	plan := s.planAbove(least)
	// A few small outliers would make all others wide: a base above them may be better. A
	// sample says where that is.
	const samples = 32
	var sample [samples]int64
	for i := range sample {
		sample[i] = s.deltas[1+i*(n-1)/samples]
	}
	slices.Sort(sample[:])
	for _, base := range []int64{sample[1], sample[samples/8]} {
		if base == least {
			continue
		}
		if p := s.planAbove(base); p.size < plan.size {
			plan = p
		}
	}
	s.deltas[0] = plan.least
	return plan
}

// planAbove picks the width for differences above a base; those below are exceptions.
func (s *scratch) planAbove(least int64) deltaPlan {
	var counts [65]int // of differences by width
	for _, d := range s.deltas[1:] {
		if d < least {
			counts[64]++
			continue
		}
		counts[bits.Len64(uint64(d)-uint64(least))]++
	}
	n := len(s.deltas)
	plan := deltaPlan{least: least, size: 1 << 30}
	exceptions := 0
	for width := 64; width >= 0 && exceptions <= n/8; width-- {
		if size := packedBytes(n, width) + exceptions*exceptionBytes; size < plan.size {
			plan.width, plan.size = width, size
		}
		exceptions += counts[width]
	}
	return plan
}

func (s *scratch) appendDelta(dst []byte, first int64, d deltaPlan) []byte {
	dst = append(dst, intDelta)
	dst = binary.AppendVarint(dst, first)
	dst = binary.AppendVarint(dst, d.least)
	dst = append(dst, byte(d.width))
	packed := s.above(s.deltas, d.least)
	count := 0
	for _, p := range packed {
		if bits.Len64(p) > d.width {
			count++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(count))
	before := 0
	for i, p := range packed {
		if count > 0 && bits.Len64(p) > d.width {
			dst = binary.AppendUvarint(dst, uint64(i-before))
			dst = binary.AppendVarint(dst, s.deltas[i])
			packed[i], before = 0, i
		}
	}
	return appendPacked(dst, packed, d.width)
}

// linePlan stores the distance of each value from a straight line, which suits
// timestamps with jitter: it does not add up as differences do.
type linePlan struct {
	step  int64
	least int64
	width int
	size  int
	ok    bool
}

func (s *scratch) planLine(vals []int64) linePlan {
	n := int64(len(vals))
	span := vals[n-1] - vals[0]
	if span <= 0 || span>>62 != 0 {
		return linePlan{}
	}
	l := linePlan{step: span / (n - 1), ok: true}
	s.residuals = slices.Grow(s.residuals[:0], len(vals))[:n]
	least, most := int64(0), int64(0)
	at := vals[0]
	for i, v := range vals {
		r := v - at
		s.residuals[i] = r
		least, most = min(least, r), max(most, r)
		at += l.step
	}
	l.least = least
	l.width = bits.Len64(uint64(most) - uint64(least))
	l.size = packedBytes(len(vals), l.width)
	return l
}

func (s *scratch) appendLine(dst []byte, first int64, l linePlan) []byte {
	dst = append(dst, intLine)
	dst = binary.AppendVarint(dst, first)
	dst = binary.AppendVarint(dst, l.step)
	dst = binary.AppendVarint(dst, l.least)
	dst = append(dst, byte(l.width))
	return appendPacked(dst, s.above(s.residuals, l.least), l.width)
}

// DecodeInts fills dst from a block without prefix codes and returns what follows it.
func DecodeInts(dst []int64, src []byte) ([]byte, error) {
	if len(dst) == 0 {
		return src, nil
	}
	r := reader{src: src}
	switch form := r.byte(); form {
	case intRaw:
		return decodeRaw(dst, r)
	case intFrame:
		base, width := r.varint(), r.width()
		if r.err != nil {
			return nil, r.err
		}
		return unpack(dst, r.src, width, base)
	case intDelta:
		return decodeDelta(dst, r)
	case intLine:
		first, step, least, width := r.varint(), r.varint(), r.varint(), r.width()
		if r.err != nil {
			return nil, r.err
		}
		rest, err := unpack(dst, r.src, width, first+least)
		at := int64(0)
		for i := range dst {
			dst[i] += at
			at += step
		}
		return rest, err
	default:
		return nil, corrupt("integers of form %d", form)
	}
}

func decodeRaw(dst []int64, r reader) ([]byte, error) {
	b := r.bytes(8 * len(dst))
	if r.err != nil {
		return nil, r.err
	}
	for i := range dst {
		dst[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return r.src, nil
}

func decodeDelta(dst []int64, r reader) ([]byte, error) {
	first, least, width := r.varint(), r.varint(), r.width()
	count := r.count(len(dst))
	exceptions := r // read again once the packed values are there
	for range count {
		r.uvarint()
		r.varint()
	}
	if r.err != nil {
		return nil, r.err
	}
	rest, err := unpack(dst, r.src, width, least)
	if err != nil {
		return nil, err
	}
	at := uint64(0)
	for range count {
		at += exceptions.uvarint()
		if at >= uint64(len(dst)) {
			return nil, corrupt("exception at position %d of %d", at, len(dst))
		}
		dst[at] = exceptions.varint()
	}
	prefixSum(dst, first)
	return rest, nil
}

// reader takes values from the front of src and remembers the first error, after which it
// gives zeros.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = corrupt("it ends within %s", what)
	}
	r.src = nil
}

func (r *reader) byte() byte {
	if len(r.src) == 0 {
		r.fail("a form or width")
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *reader) width() int {
	w := int(r.byte())
	if w > 64 && r.err == nil {
		r.err = corrupt("width %d", w)
	}
	return w
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.fail("a number")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail("a number")
		return 0
	}
	r.src = r.src[n:]
	return v
}

// count reads a count of at most limit.
func (r *reader) count(limit int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		if r.err == nil {
			r.err = corrupt("a count of %d, at most %d", n, limit)
		}
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.src) {
		r.fail("values")
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}
