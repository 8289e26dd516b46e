package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// CorruptError says that a log file holds something that the log did not write.
type CorruptError struct {
	Path   string // below the file system's root
	Offset int64  // of the first byte in doubt
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("log file %s is damaged at byte %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }

// FaultKind makes it fault.Corrupt.
func (e *CorruptError) FaultKind() fault.Kind { return fault.Corrupt }

// onDisk is a file as found.
type onDisk struct {
	name     string // full
	base     Position
	previous Position
	salt     uint32
}

// recover replays the files and returns the position that follows the last frame.
func (l *Log) recover(replay func(Position, byte, []byte) error) (Position, error) {
	found, next, err := findFiles(l.opts.FS, l.opts.Dir)
	if err != nil {
		return 0, err
	}
	if next > 0 && l.opts.Log != nil {
		l.opts.Log.Warn("the last log file has no header: a crash while it was made, or damage", "file", fileName(next))
	}
	for i, f := range found {
		stop := Position(0)
		last := i == len(found)-1
		if !last {
			stop = found[i+1].previous
		}
		end, err := l.replayFile(f, stop, last, replay)
		if err != nil {
			return 0, err
		}
		next = max(next, end)
		if next == f.base && last {
			break // empty: the new file takes its name
		}
		l.files = append(l.files, file{path.Base(f.name), f.base, end})
	}
	return next, nil
}

// trim gives back the space that the file written last by the process before had reserved and not used: it is never written
// again, and starts that end in crashes would fill the disk. What a torn write left there stays to be looked at.
func (l *Log) trim() error {
	if len(l.files) == 0 {
		return nil
	}
	last := l.files[len(l.files)-1]
	f, err := l.opts.FS.OpenReadWrite(path.Join(l.opts.Dir, last.name))
	if err != nil {
		return err
	}
	defer f.Close()
	end := headerBytes + int64(last.end-last.base)
	if size, err := f.Size(); err != nil || size <= end {
		return err
	}
	if empty, err := onlyZeros(f, end); err != nil || !empty {
		return err
	}
	return errors.Join(f.Truncate(end), f.Sync())
}

// findFiles lists the log's files in order, with their headers checked. A last file that
// a crash left without a header has no frames, but its name still says how far positions
// had come: next is at least that, or positions would be handed out twice.
func findFiles(fsys vfs.FS, dir string) (found []onDisk, next Position, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		if base, ok := parseName(name); ok {
			found = append(found, onDisk{name: path.Join(dir, name), base: base})
		}
	}
	slices.SortFunc(found, func(a, b onDisk) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	for i := range found {
		torn, err := found[i].readHeader(fsys, i == len(found)-1)
		if err != nil {
			return nil, 0, err
		}
		if torn {
			return found[:i], found[i].base, nil
		}
	}
	return found, 0, nil
}

// readHeader checks the header and notes what it says. torn says that the file is the
// last one and its header was never completed: frames come after a header is on disk, so
// there is nothing but zeros behind it.
func (f *onDisk) readHeader(fsys vfs.FS, last bool) (torn bool, err error) {
	in, err := fsys.Open(f.name)
	if err != nil {
		return false, err
	}
	defer in.Close()
	h := make([]byte, headerBytes)
	if _, err := in.ReadAt(h, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if bytes.Equal(h[:8], fileMagic[:]) && crc32.Checksum(h[:28], castagnoli) == binary.LittleEndian.Uint32(h[28:]) &&
		binary.LittleEndian.Uint64(h[8:]) == uint64(f.base) {
		f.previous = Position(binary.LittleEndian.Uint64(h[16:]))
		f.salt = binary.LittleEndian.Uint32(h[24:])
		return false, nil
	}
	if last {
		if torn, err := onlyZeros(in, headerBytes); torn || err != nil {
			return torn, err
		}
	}
	return false, &CorruptError{f.name, 0, errors.New("the header is not one of a log file")}
}

// onlyZeros reports whether a file has nothing but zeros from off on.
func onlyZeros(in vfs.File, off int64) (bool, error) {
	buf := make([]byte, 1<<20)
	zeros := make([]byte, len(buf))
	for {
		n, err := in.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return false, nil
		}
		if n < len(buf) {
			return true, nil
		}
		off += int64(n)
	}
}

// replayFile replays the frames of a file up to position stop, or, in the last one, as
// far as they are good.
func (l *Log) replayFile(f onDisk, stop Position, last bool, replay func(Position, byte, []byte) error) (Position, error) {
	in, err := l.opts.FS.Open(f.name)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	off := int64(headerBytes)
	position := func() Position { return f.base + Position(off-headerBytes) }
	for last || position() < stop {
		number, body, err := readFrame(in, f.salt, off)
		if err != nil && !errors.As(err, new(*badFrame)) {
			return 0, fmt.Errorf("read %s: %w", f.name, err)
		}
		if err == nil && l.number != 0 && number != l.number+1 {
			err = &badFrame{fmt.Errorf("frame %d follows frame %d", number, l.number)}
		}
		if err != nil {
			if last {
				next := uint64(0)
				if l.number != 0 {
					next = l.number + 1
				}
				why, ferr := whole(in, f.salt, off, next)
				if ferr != nil {
					return 0, ferr
				}
				if why == "" {
					l.warnTorn(f, in, off, err)
					return position(), nil // the end, torn or not
				}
				err = fmt.Errorf("%w, and %s", err, why)
			}
			return 0, &CorruptError{f.name, off, err}
		}
		if err := eachRecord(position()+frameHeader, body, replay); err != nil {
			if errors.As(err, new(*badFrame)) {
				return 0, &CorruptError{f.name, off, err}
			}
			return 0, err
		}
		l.number = number
		off += int64(align(frameHeader + len(body)))
	}
	if position() != stop {
		return 0, &CorruptError{f.name, off, fmt.Errorf("frames end at position %d, the next file says %d", position(), stop)}
	}
	return position(), nil
}

// whole says how it shows that a bad frame, with number next, was written to its end, and so is damaged. It is empty where nothing shows it. The
// number is 0 where no frame before it tells: of a log that begins with this one.
func whole(in vfs.File, salt uint32, off int64, next uint64) (string, error) {
	behind, err := findFrame(in, salt, off, next)
	if err != nil {
		return "", err
	}
	if behind >= 0 {
		return fmt.Sprintf("a good frame follows at byte %d", behind), nil
	}
	torn, err := tornFrame(in, off)
	if torn || err != nil {
		return "", err
	}
	return "no part of it is missing, as it would be of a write that was cut short", nil
}

// warnTorn says what the end of the last file loses, if something is there: a write that a
// crash tore, or damage that looks like one.
func (l *Log) warnTorn(f onDisk, in vfs.File, off int64, cause error) {
	head := make([]byte, 4096)
	n, _ := in.ReadAt(head, off)
	if len(bytes.Trim(head[:n], "\x00")) > 0 && l.opts.Log != nil {
		l.opts.Log.Warn("the log ends in a write that was not completed; it is dropped", "file", f.name, "offset", off, "err", cause)
	}
}

// badFrame says what is wrong with bytes that should be a frame.
type badFrame struct{ err error }

func (e *badFrame) Error() string { return e.err.Error() }

// frameHead is the header of a frame.
type frameHead struct {
	number uint64
	length int64 // of the body
	crc    uint32
}

// readHead reads the header of the frame at off. Errors are *badFrame, or of reading.
func readHead(in vfs.File, off int64) (frameHead, error) {
	var h [frameHeader]byte
	if n, err := in.ReadAt(h[:], off); n < len(h) {
		if err == nil || errors.Is(err, io.EOF) {
			return frameHead{}, &badFrame{errors.New("the file ends")}
		}
		return frameHead{}, err
	}
	if binary.LittleEndian.Uint32(h[:]) != frameMagic {
		return frameHead{}, &badFrame{errors.New("no frame begins here")}
	}
	head := frameHead{binary.LittleEndian.Uint64(h[8:]), int64(binary.LittleEndian.Uint32(h[4:])), binary.LittleEndian.Uint32(h[16:])}
	size, err := in.Size()
	if err != nil {
		return frameHead{}, err
	}
	if off+frameHeader+head.length > size {
		return frameHead{}, &badFrame{fmt.Errorf("a frame of %d bytes passes the end of the file", head.length)}
	}
	return head, nil
}

// readBody reads and checks the body of the frame at off.
func readBody(in vfs.File, salt uint32, off int64, head frameHead) ([]byte, error) {
	body := make([]byte, head.length)
	if _, err := in.ReadAt(body, off+frameHeader); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if got := frameCRC(salt, head.number, body); got != head.crc {
		return nil, &badFrame{fmt.Errorf("checksum %08x, want %08x", got, head.crc)}
	}
	return body, nil
}

// readFrame reads the frame at off. Errors are *badFrame, or of reading.
func readFrame(in vfs.File, salt uint32, off int64) (number uint64, body []byte, err error) {
	head, err := readHead(in, off)
	if err != nil {
		return 0, nil, err
	}
	body, err = readBody(in, salt, off, head)
	return head.number, body, err
}

// findFrame returns the offset of the first good frame behind the place from, where a frame
// with number next, if that is known, should be, or -1.
func findFrame(in vfs.File, salt uint32, from int64, next uint64) (int64, error) {
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	buf := make([]byte, 1<<20) // whole frame alignments
	budget := int64(mostUnknown)
	for off := from + 8; ; off += int64(len(buf)) {
		n, err := in.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		for at := bytes.Index(buf[:n], magic); at >= 0; {
			if ok, err := goodFrame(in, salt, off+int64(at), from, next, &budget); ok || err != nil {
				return off + int64(at), err
			}
			more := bytes.Index(buf[at+1:n], magic)
			if more < 0 {
				break
			}
			at += 1 + more
		}
		if n < len(buf) {
			return -1, nil
		}
	}
}

// mostUnknown is how many bytes are checksummed at most to find a frame of any number.
const mostUnknown = 256 << 20

// goodFrame reports whether there is a frame at off that can come after one with number
// next at the place from. Its number is looked at first: a record may hold any number of
// bytes that look like frames, and not each is worth a checksum. If next is 0 they are worth those in budget.
func goodFrame(in vfs.File, salt uint32, off, from int64, next uint64, budget *int64) (bool, error) {
	if off%8 != 0 {
		return false, nil
	}
	head, err := readHead(in, off)
	worth := head.number-next <= uint64(off-from)/(frameHeader+4)
	if err == nil && next == 0 {
		*budget -= frameHeader + head.length
		worth = *budget >= 0
	}
	if err == nil && worth {
		if _, err = readBody(in, salt, off, head); err == nil {
			return true, nil
		}
	}
	if err != nil && !errors.As(err, new(*badFrame)) {
		return false, err
	}
	return false, nil
}

// eachRecord calls f for the records of a body that begins at position p.
func eachRecord(p Position, body []byte, f func(Position, byte, []byte) error) error {
	for rest := body; len(rest) > 0; {
		length, n := binary.Uvarint(rest[1:])
		if n <= 0 || length > uint64(len(rest)-1-n) {
			return &badFrame{errors.New("a record passes the end of its frame")}
		}
		size := 1 + n + int(length)
		if err := f(p+Position(len(body)-len(rest)), rest[0], rest[1+n:size]); err != nil {
			return err
		}
		rest = rest[size:]
	}
	return nil
}

// Dump prints one line per frame and record of a log file, for weir inspect. A bad frame
// that was written to its end is a *CorruptError; otherwise it is the end, torn or not.
func Dump(w io.Writer, fsys vfs.FS, name string) error {
	base, ok := parseName(path.Base(name))
	if !ok {
		return fmt.Errorf("%s: %w", name, fs.ErrInvalid)
	}
	f := onDisk{name: name, base: base}
	if _, err := f.readHeader(fsys, false); err != nil {
		return err
	}
	in, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	fmt.Fprintf(w, "log file, base position %d, frames before end at %d\n", f.base, f.previous)
	off := int64(headerBytes)
	next := uint64(0) // number of the next frame; 0 before the first
	for {
		number, body, err := readFrame(in, f.salt, off)
		if err == nil && next > 0 && number != next {
			err = &badFrame{fmt.Errorf("frame %d follows frame %d", number, next-1)}
		}
		if err != nil {
			return f.dumpEnd(w, in, off, next, err)
		}
		next = number + 1
		fmt.Fprintf(w, "%10d  frame %d, %d bytes\n", off, number, len(body))
		start := f.base + Position(off-headerBytes) + frameHeader
		err = eachRecord(start, body, func(p Position, kind byte, payload []byte) error {
			fmt.Fprintf(w, "            position %d: record of kind %d, %d bytes\n", p, kind, len(payload))
			return nil
		})
		if err != nil {
			return &CorruptError{f.name, off, err}
		}
		off += int64(align(frameHeader + len(body)))
	}
}

// dumpEnd prints why the frames end at off, or returns that they should not.
func (f *onDisk) dumpEnd(w io.Writer, in vfs.File, off int64, next uint64, cause error) error {
	if !errors.As(cause, new(*badFrame)) {
		return cause
	}
	why, err := whole(in, f.salt, off, next)
	if err != nil {
		return err
	}
	if why != "" {
		return &CorruptError{f.name, off, fmt.Errorf("%w, and %s", cause, why)}
	}
	_, err = fmt.Fprintf(w, "%10d  end: %v\n", off, cause)
	return err
}

// Read reads a whole log that nobody has open, and calls each for its records as [Open] does.
// Damage is a *CorruptError; a torn tail is none.
func Read(fsys vfs.FS, dir string, each func(p Position, kind byte, payload []byte) error) error {
	l := &Log{opts: Options{FS: fsys, Dir: dir}}
	_, err := l.recover(each)
	return err
}
