package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by every error of a decoder.
var ErrCorrupt = errors.New("encoded block is damaged")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// packedBytes is the size of n values of width bits.
func packedBytes(n, width int) int { return (n*width + 7) / 8 }

// appendPacked appends the low width bits of each value; vals have no higher ones. Whole
// groups are packed in lanes, the rest end to end, lowest bit first.
func appendPacked(dst []byte, vals []uint64, width int) []byte {
	if width == 0 {
		return dst
	}
	for ; len(vals) >= laneGroup; vals = vals[laneGroup:] {
		dst = packLanes(dst, vals, width)
	}
	var acc uint64
	bits := 0
	for _, v := range vals {
		acc |= v << bits
		if bits += width; bits >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, acc)
			bits -= 64
			acc = v >> (width - bits) // what did not fit; a shift by 64 gives 0
		}
	}
	for ; bits > 0; bits -= 8 {
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	return dst
}

// unpack reads len(dst) values of width bits, adding base to each, and returns what
// follows them.
func unpack(dst []int64, src []byte, width int, base int64) ([]byte, error) {
	size := packedBytes(len(dst), width)
	if len(src) < size {
		return nil, corrupt("%d bytes of packed values, want %d", len(src), size)
	}
	src, rest := src[:size], src[size:]
	if width == 0 {
		for i := range dst {
			dst[i] = base
		}
		return rest, nil
	}
	for len(dst) >= laneGroup {
		unpackLanes((*[laneGroup]int64)(dst), src, width, base)
		dst, src = dst[laneGroup:], src[laneGroup/8*width:]
	}
	unpackRest(dst, src, width, base)
	return rest, nil
}

// unpackRest reads values that are packed end to end.
func unpackRest(dst []int64, src []byte, width int, base int64) {
	mask := ^uint64(0) >> (64 - width)
	if width <= 57 {
		// A load of eight bytes at any bit offset below 8 holds a whole value, and eight
		// values take width bytes, so their places within them repeat.
		var at [8]int
		var shift [8]uint
		for i := range at {
			at[i], shift[i] = i*width>>3, uint(i*width&7)
		}
		for len(dst) >= 8 && len(src) >= width+8 {
			out := (*[8]int64)(dst)
			out[0] = int64(binary.LittleEndian.Uint64(src)&mask) + base
			out[1] = int64(binary.LittleEndian.Uint64(src[at[1]:])>>(shift[1]&63)&mask) + base
			out[2] = int64(binary.LittleEndian.Uint64(src[at[2]:])>>(shift[2]&63)&mask) + base
			out[3] = int64(binary.LittleEndian.Uint64(src[at[3]:])>>(shift[3]&63)&mask) + base
			out[4] = int64(binary.LittleEndian.Uint64(src[at[4]:])>>(shift[4]&63)&mask) + base
			out[5] = int64(binary.LittleEndian.Uint64(src[at[5]:])>>(shift[5]&63)&mask) + base
			out[6] = int64(binary.LittleEndian.Uint64(src[at[6]:])>>(shift[6]&63)&mask) + base
			out[7] = int64(binary.LittleEndian.Uint64(src[at[7]:])>>(shift[7]&63)&mask) + base
			dst, src = dst[8:], src[width:]
		}
	}
	for i := range dst {
		dst[i] = int64(bitsAt(src, i*width)&mask) + base
	}
}

// bitsAt returns the 64 bits from a bit offset on, with zeros past the end.
func bitsAt(src []byte, bit int) uint64 {
	var b [16]byte // no load passes the end
	copy(b[:9], src[bit>>3:])
	shift := bit & 7
	return binary.LittleEndian.Uint64(b[:])>>shift | uint64(b[8])<<(64-shift)
}
