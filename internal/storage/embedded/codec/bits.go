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

// appendPacked appends the low width bits of each value, end to end, lowest first.
func appendPacked(dst []byte, vals []uint64, width int) []byte {
	if width == 0 {
		return dst
	}
	if width == 64 {
		for _, v := range vals {
			dst = binary.LittleEndian.AppendUint64(dst, v)
		}
		return dst
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
	rest := src[size:]
	switch {
	case width == 0:
		for i := range dst {
			dst[i] = base
		}
		return rest, nil
	case width > 56:
		unpackWide(dst, src[:size], width, base)
		return rest, nil
	}
	// A load of eight bytes at any bit offset below 8 holds a whole value. The last few
	// values are read from a copy, so that no load passes the end.
	mask := uint64(1)<<width - 1
	bulk := 0
	if size >= 8 {
		bulk = min(len(dst), (size-8)*8/width)
	}
	bit := 0
	for i := range dst[:bulk] {
		w := binary.LittleEndian.Uint64(src[bit>>3:])
		dst[i] = int64(w>>(bit&7)&mask) + base
		bit += width
	}
	if bulk == len(dst) {
		return rest, nil
	}
	start := bit >> 3
	tail := make([]byte, size-start+8)
	copy(tail, src[start:size])
	bit -= start * 8
	for i := bulk; i < len(dst); i++ {
		w := binary.LittleEndian.Uint64(tail[bit>>3:])
		dst[i] = int64(w>>(bit&7)&mask) + base
		bit += width
	}
	return rest, nil
}

func unpackWide(dst []int64, src []byte, width int, base int64) {
	padded := make([]byte, len(src)+16)
	copy(padded, src)
	mask := uint64(1)<<width - 1 // width 64: all ones, since 1<<64 is 0
	for i, bit := 0, 0; i < len(dst); i, bit = i+1, bit+width {
		at, shift := bit>>3, bit&7
		w := binary.LittleEndian.Uint64(padded[at:]) >> shift
		if shift > 0 {
			w |= uint64(padded[at+8]) << (64 - shift)
		}
		dst[i] = int64(w&mask) + base
	}
}
