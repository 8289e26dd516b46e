package codec

import "encoding/binary"

// laneGroup is how many values are packed together in lanes: 64 rows of 8.
const laneGroup = 512

// unpackLanes reads a group of values of width bits from 64 × width bytes.
func unpackLanes(dst *[laneGroup]int64, src []byte, width int, base int64) {
	mask := uint64(1)<<(width&63) - 1
	if width == 64 {
		mask = ^uint64(0)
	}
	word, shift := 0, 0
	for row := 0; row < laneGroup; row += 8 {
		out := (*[8]int64)(dst[row:])
		in := (*[64]byte)(src[word:])
		s := uint(shift & 63)
		if shift += width; shift <= 64 {
			out[0] = int64(binary.LittleEndian.Uint64(in[0:])>>s&mask) + base
			out[1] = int64(binary.LittleEndian.Uint64(in[8:])>>s&mask) + base
			out[2] = int64(binary.LittleEndian.Uint64(in[16:])>>s&mask) + base
			out[3] = int64(binary.LittleEndian.Uint64(in[24:])>>s&mask) + base
			out[4] = int64(binary.LittleEndian.Uint64(in[32:])>>s&mask) + base
			out[5] = int64(binary.LittleEndian.Uint64(in[40:])>>s&mask) + base
			out[6] = int64(binary.LittleEndian.Uint64(in[48:])>>s&mask) + base
			out[7] = int64(binary.LittleEndian.Uint64(in[56:])>>s&mask) + base
			if shift == 64 {
				word, shift = word+64, 0
			}
			continue
		}
		word, shift = word+64, shift-64
		high := (*[64]byte)(src[word:])
		up := (64 - s) & 63
		out[0] = int64((binary.LittleEndian.Uint64(in[0:])>>s|binary.LittleEndian.Uint64(high[0:])<<up)&mask) + base
		out[1] = int64((binary.LittleEndian.Uint64(in[8:])>>s|binary.LittleEndian.Uint64(high[8:])<<up)&mask) + base
		out[2] = int64((binary.LittleEndian.Uint64(in[16:])>>s|binary.LittleEndian.Uint64(high[16:])<<up)&mask) + base
		out[3] = int64((binary.LittleEndian.Uint64(in[24:])>>s|binary.LittleEndian.Uint64(high[24:])<<up)&mask) + base
		out[4] = int64((binary.LittleEndian.Uint64(in[32:])>>s|binary.LittleEndian.Uint64(high[32:])<<up)&mask) + base
		out[5] = int64((binary.LittleEndian.Uint64(in[40:])>>s|binary.LittleEndian.Uint64(high[40:])<<up)&mask) + base
		out[6] = int64((binary.LittleEndian.Uint64(in[48:])>>s|binary.LittleEndian.Uint64(high[48:])<<up)&mask) + base
		out[7] = int64((binary.LittleEndian.Uint64(in[56:])>>s|binary.LittleEndian.Uint64(high[56:])<<up)&mask) + base
	}
}

// packLanes is the reverse of unpackLanes: it appends 64 × width bytes. Value i is in row
// i / 8 of lane i mod 8; a lane is a stream of bits, lowest first, and the eight lanes' 64-bit
// words take turns. So eight neighbours are at the same place of eight neighbouring words,
// and one shift serves them all: twice as fast as end to end in plain code, and the shape
// that vector registers want.
func packLanes(dst []byte, vals []uint64, width int) []byte {
	var acc [8]uint64
	shift := 0
	for row := 0; row < laneGroup; row += 8 {
		v := (*[8]uint64)(vals[row:])
		for l := range acc {
			acc[l] |= v[l] << (shift & 63)
		}
		if shift += width; shift < 64 {
			continue
		}
		for l := range acc {
			dst = binary.LittleEndian.AppendUint64(dst, acc[l])
		}
		shift -= 64
		for l := range acc {
			acc[l] = v[l] >> (width - shift) // what did not fit; a shift by 64 gives 0
		}
	}
	return dst
}
