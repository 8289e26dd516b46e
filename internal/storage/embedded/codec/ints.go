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
//	  1 frame      base zigzag, width u8, value-base packed
//	  2 delta      first zigzag, least delta zigzag, width u8, exceptions, delta-least packed
//	  3 line       first zigzag, step zigzag, least residual zigzag, width u8, residuals packed
//	doubles    form u8, then
//	  0 raw        8 bytes each
//	  1 constant   8 bytes
//	  2 decimal    exponent u8, exceptions, integers v such that v / 10^exponent is the value
//	booleans   form u8: 0 all false, 1 all true, 2 one bit each
//	strings    form u8, then
//	  0 plain      lengths as integers, bytes
//	  1 dictionary count uvarint, its strings as plain, indexes as integers
//	  + 16         bytes are compressed by zstd
//
// Constant integers and regular timestamps are a frame and a delta of width 0. Exceptions
// are a count (uvarint) and pairs of position (uvarint, counted from the one before) and
// value. Widths are in bits, packed end to end from the lowest bit on.
//
// All functions may be called concurrently.
package codec

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	intRaw = iota
	intFrame
	intDelta
	intLine
)

// AppendInts appends vals, encoded.
func AppendInts(dst []byte, vals []int64) []byte {
	if len(vals) == 0 {
		return dst
	}
	lo, hi := slices.Min(vals), slices.Max(vals)
	frameWidth := bits.Len64(uint64(hi) - uint64(lo))
	if frameWidth == 0 || len(vals) < 3 {
		return appendFrame(dst, vals, lo, frameWidth)
	}
	best, size := intFrame, packedBytes(len(vals), frameWidth)
	d := planDelta(vals)
	if d.size < size-size/64 {
		best, size = intDelta, d.size
	}
	line := planLine(vals)
	if line.ok && line.size < size-size/64 {
		best, size = intLine, line.size
	}
	switch {
	case size >= 8*len(vals):
		dst = append(dst, intRaw)
		for _, v := range vals {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
		return dst
	case best == intDelta:
		return d.append(dst, vals)
	case best == intLine:
		return line.append(dst, vals)
	}
	return appendFrame(dst, vals, lo, frameWidth)
}

func appendFrame(dst []byte, vals []int64, base int64, width int) []byte {
	dst = append(dst, intFrame)
	dst = binary.AppendVarint(dst, base)
	dst = append(dst, byte(width))
	return appendPacked(dst, minus(vals, base), width)
}

// minus returns vals - base, modulo 2^64.
func minus(vals []int64, base int64) []uint64 {
	out := make([]uint64, len(vals))
	for i, v := range vals {
		out[i] = uint64(v) - uint64(base)
	}
	return out
}

// deltas returns the differences of neighbours, modulo 2^64.
func deltas(vals []int64) []int64 {
	out := make([]int64, len(vals)-1)
	for i := range out {
		out[i] = vals[i+1] - vals[i]
	}
	return out
}

// deltaPlan is how a block is stored as differences: most in width bits above least,
// the others as exceptions.
type deltaPlan struct {
	deltas []int64
	least  int64
	width  int
	size   int // estimated bytes
}

// exceptionBytes is what one exception costs: its position and a value of typical size.
const exceptionBytes = 6

// planDelta picks base and width so that packed values and exceptions together are small.
func planDelta(vals []int64) deltaPlan {
	d := deltaPlan{deltas: deltas(vals)}
	sorted := slices.Clone(d.deltas)
	slices.Sort(sorted)
	n := len(sorted)
	d.size = 1 << 30
	// Exceptions are taken from the ends of the sorted differences: at most n/8 of them,
	// tried in doubling steps at either end.
	for low := 0; low <= n/16; low = max(1, 2*low) {
		for high := 0; high <= n/16; high = max(1, 2*high) {
			least := sorted[low]
			width := bits.Len64(uint64(sorted[n-1-high]) - uint64(least))
			size := packedBytes(n, width) + (low+high)*exceptionBytes
			if size < d.size {
				d.least, d.width, d.size = least, width, size
			}
		}
	}
	return d
}

func (d deltaPlan) append(dst []byte, vals []int64) []byte {
	dst = append(dst, intDelta)
	dst = binary.AppendVarint(dst, vals[0])
	dst = binary.AppendVarint(dst, d.least)
	dst = append(dst, byte(d.width))
	packed := minus(d.deltas, d.least)
	var exceptions []int
	for i, p := range packed {
		if bits.Len64(p) > d.width {
			exceptions = append(exceptions, i)
			packed[i] = 0
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(exceptions)))
	before := 0
	for _, i := range exceptions {
		dst = binary.AppendUvarint(dst, uint64(i-before))
		dst = binary.AppendVarint(dst, d.deltas[i])
		before = i
	}
	return appendPacked(dst, packed, d.width)
}

// linePlan stores the distance of each value from a straight line, which suits
// timestamps with jitter: it does not add up as differences do.
type linePlan struct {
	step      int64
	least     int64
	width     int
	size      int
	residuals []int64
	ok        bool
}

func planLine(vals []int64) linePlan {
	n := int64(len(vals))
	span := vals[n-1] - vals[0]
	if span <= 0 || span>>62 != 0 {
		return linePlan{}
	}
	l := linePlan{step: span / (n - 1), residuals: make([]int64, n), ok: true}
	for i, v := range vals {
		l.residuals[i] = v - vals[0] - l.step*int64(i)
	}
	l.least = slices.Min(l.residuals)
	l.width = bits.Len64(uint64(slices.Max(l.residuals)) - uint64(l.least))
	l.size = packedBytes(len(vals), l.width)
	return l
}

func (l linePlan) append(dst []byte, vals []int64) []byte {
	dst = append(dst, intLine)
	dst = binary.AppendVarint(dst, vals[0])
	dst = binary.AppendVarint(dst, l.step)
	dst = binary.AppendVarint(dst, l.least)
	dst = append(dst, byte(l.width))
	return appendPacked(dst, minus(l.residuals, l.least), l.width)
}

// DecodeInts fills dst and returns what follows the block.
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
		for i := range dst {
			dst[i] += step * int64(i)
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
	count := r.count(len(dst) - 1)
	exceptions := r // read again once the packed values are there
	for range count {
		r.uvarint()
		r.varint()
	}
	if r.err != nil {
		return nil, r.err
	}
	rest, err := unpack(dst[1:], r.src, width, least)
	if err != nil {
		return nil, err
	}
	at := uint64(0)
	for range count {
		at += exceptions.uvarint()
		if at >= uint64(len(dst)-1) {
			return nil, corrupt("exception at position %d of %d", at, len(dst)-1)
		}
		dst[1+at] = exceptions.varint()
	}
	sum := first
	dst[0] = sum
	for i, d := range dst[1:] {
		sum += d
		dst[1+i] = sum
	}
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
