package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/weir-db/weir/internal/vfs"
)

// sectorBytes is what a disk writes as a whole or not at all.
const sectorBytes = 512

// tornFrame reports whether a bad frame at off, with no good one behind it, may be a write that a crash cut short. The file
// had nothing but zeros there before, so such a write lacks what is zeros now: whole sectors, or all from some byte on. A frame
// of which every sector has something in it, and whose last byte is not zero, was written to its end: it is damaged.
//
// The answer is yes where it cannot be told: a frame may have zeros of its own there, its length may be what is damaged, and a
// file that grew with its frames may have lost its end.
func tornFrame(in vfs.File, off int64) (bool, error) {
	var h [frameHeader]byte
	n, err := in.ReadAt(h[:], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if n < len(h) || incomplete(h[:], off) {
		return true, nil
	}
	if binary.LittleEndian.Uint32(h[:]) != frameMagic {
		return false, nil
	}
	size, err := in.Size()
	if err != nil {
		return false, err
	}
	end := off + frameHeader + int64(binary.LittleEndian.Uint32(h[4:]))
	if end > size {
		return true, nil
	}
	frame := make([]byte, end-off)
	if _, err := in.ReadAt(frame, off); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return incomplete(frame, off), nil
}

// incomplete reports whether a part of what lies at off in a file may not have been written over zeros.
func incomplete(b []byte, off int64) bool {
	if b[len(b)-1] == 0 {
		return true
	}
	for len(b) > 0 {
		n := min(len(b), int(sectorBytes-off%sectorBytes))
		if len(bytes.Trim(b[:n], "\x00")) == 0 {
			return true
		}
		b, off = b[n:], off+int64(n)
	}
	return false
}
