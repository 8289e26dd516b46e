package wal

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/vfs"
)

// withLast is a log in memory whose last frame, at off in the newest file, has a record of n bytes without a zero.
func withLast(t *testing.T, before, n int) (mem *vfs.Mem, first rec, frame []byte, off int64) {
	t.Helper()
	mem = vfs.NewMem()
	l, _ := open(t, mem, 1<<16)
	text := make([]byte, before+n)
	for i := range text {
		text[i] = byte(1 + i%255)
	}
	first = add(t, l, string(text[:before]))
	last := add(t, l, string(text[before:]))
	off = int64(last.p) - frameHeader + headerBytes
	frame = make([]byte, frameHeader+2+n+1)
	if n < 128 {
		frame = frame[:len(frame)-1] // its length takes a byte less
	}
	if _, err := newest(t, mem).ReadAt(frame, off); err != nil {
		t.Fatal(err)
	}
	return mem, first, frame, off
}

// TestDamageToTheLastFrameIsToldFromATornWrite changes each byte of the last frame in turn.
func TestDamageToTheLastFrameIsToldFromATornWrite(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 100, 700, 3000} {
		mem, first, frame, off := withLast(t, 400, n)
		f := newest(t, mem)
		for at, b := range frame {
			if at > frameHeader && at%5 > 0 {
				continue
			}
			bad := b ^ 0x11
			if bad == 0 {
				bad = b ^ 0x13
			}
			f.WriteAt([]byte{bad}, off+int64(at))
			err := Read(mem, "log", func(Position, byte, []byte) error { return nil })
			var corrupt *CorruptError
			if length := at >= 4 && at < 8; !errors.As(err, &corrupt) && !length { // a length that is damaged may reach into zeros
				t.Fatalf("byte %d of a frame of %d: %v, want a CorruptError", at, len(frame), err)
			} else if err != nil && corrupt.Offset != off {
				t.Fatalf("byte %d of a frame of %d: damage at %d, want %d", at, len(frame), corrupt.Offset, off)
			}
			f.WriteAt([]byte{b}, off+int64(at))
		}
		if _, got := open(t, mem, 1<<16); len(got) != 2 || got[0] != first {
			t.Fatalf("the log as it was: %d records", len(got))
		}
	}
}

// TestAWriteThatWasCutShortIsNoDamage leaves out any end of the last frame, and any of its sectors, and both.
func TestAWriteThatWasCutShortIsNoDamage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, before := range []int{30, 430, 438, 446, 454, 462, 470} { // its header lies in one sector or in two
		mem, first, frame, off := withLast(t, before, 2000)
		f := newest(t, mem)
		check := func(what string, at int, torn []byte) {
			t.Helper()
			if slices.Equal(torn, frame) {
				return
			}
			f.WriteAt(torn, off)
			var got []rec
			if err := Read(mem, "log", func(p Position, kind byte, payload []byte) error {
				got = append(got, rec{p, kind, string(payload)})
				return nil
			}); err != nil || len(got) != 1 || got[0] != first {
				t.Fatalf("%s %d, first record of %d bytes: %d records, %v", what, at, before, len(got), err)
			}
			f.WriteAt(frame, off)
		}
		for cut := range frame {
			if cut > 100 && cut < len(frame)-20 && cut%23 > 0 {
				continue
			}
			torn := make([]byte, len(frame))
			copy(torn, frame[:cut])
			check("cut at", cut, torn)
		}
		for round := range 50 {
			torn := slices.Clone(frame)
			if r.IntN(2) == 0 {
				clear(torn[r.IntN(len(torn)):])
			}
			for at := range torn {
				if sector := (off + int64(at)) / sectorBytes; (sector*2654435761+int64(round)*40503)>>3&1 == 0 {
					torn[at] = 0
				}
			}
			check("sectors of round", round, torn)
		}
	}
}

// TestDamageToTheFirstFrameOfATruncatedLogIsFound: nothing before it says what number it has, and good frames follow it.
func TestDamageToTheFirstFrameOfATruncatedLogIsFound(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	l, _ := open(t, mem, 4<<10)
	record := strings.Repeat("x", 200) + "\x00" // ends as a write that was cut short does
	var last rec
	for range 40 {
		last = add(t, l, record)
	}
	if err := l.TruncateBefore(last.p); err != nil {
		t.Fatal(err)
	}
	if n := len(l.DurableFiles()); n != 1 {
		t.Fatalf("%d files", n)
	}
	f := newest(t, mem)
	f.WriteAt([]byte{'y'}, headerBytes+frameHeader+50)
	var got []rec
	err := Read(mem, "log", func(p Position, kind byte, payload []byte) error {
		got = append(got, rec{p, kind, string(payload)})
		return nil
	})
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Offset != headerBytes {
		t.Fatalf("%d records, %v; want damage at byte %d", len(got), err, headerBytes)
	}
	if err := Dump(io.Discard, mem, corrupt.Path); !errors.As(err, new(*CorruptError)) {
		t.Errorf("dump: %v", err)
	}
}
