// Package wal is the write-ahead log of the whole store: records of any meaning, in
// one order, durable in groups.
//
// # Files
//
// A log is a run of files in one folder, each named by its base position as 16 hex
// digits and ".wal". A position counts bytes from the log's first day. A file is a
// header and frames, and zeros behind them; its blocks are reserved when it is made:
//
//	header, 32 bytes                          frame, 8-byte aligned
//	+----------------+----------------+      +------------+-----------+-----------+-----------+
//	| "weirwal1"     | base       u64 |      | "FRAM" u32 | len   u32 | number    | crc   u32 |
//	+----------------+--------+-------+      |            |           |      u64  |           |
//	| previous end   | salt   | crc   |      +------------+-----------+-----------+-----------+
//	|           u64  |   u32  |   u32 |      | body, len bytes, then zeros to 8              |
//	+----------------+--------+-------+      +-----------------------------------------------+
//
// Integers are little-endian. A body is records end to end: kind u8, length uvarint,
// payload. The header's crc is CRC-32C over the 28 bytes before it, a frame's over the
// file's salt, number, len and body. The salt is random, so that bytes which a client made
// up to look like a frame, within a record, are not one. A frame is one group commit: one
// write and one fdatasync, and the next frame is not written before that returned. Numbers
// count frames without a gap.
//
// A bad frame with no good one behind it in the last file, of which a part is missing, is a write that a crash tore:
// Open drops it. Anywhere else it is damage, and Open fails with fault.Corrupt, the
// file and the offset. Previous end is where the frames of the file before end; positions
// between that and base were handed out and never written, after a write error.
//
// # The last frame
//
// A torn write lacks whole sectors, or all from some byte on, and has zeros there (torn.go); a last frame that lacks nothing and is bad
// is damaged. Where that does not show, because the frame has zeros of its own, damage looks like a torn write. So once nothing was
// written for a moment the log is sealed with a frame
// that has no records ([Log.Seal], and Close): it is there only if the one before was durable. What is left is a frame
// like that which was written just before a crash, if the disk damages it too: it is dropped, with a warning that names file and offset.
//
// # Errors
//
// When a write or sync fails, all that wait get the error and so does everybody after
// them (fault.Unavailable), because nothing written to that file can be trusted. A record is lost
// too when one that was given to the log before it is, so a record may build upon earlier ones
// (see [Log.EnqueueIn]). Once a second
// the log then tries to cut the file back to what was acknowledged and to begin a new one;
// when that works (the disk has space again) it goes on. A log that finds no space when it is
// opened begins in that state: what is there is replayed, writes are refused. After a bug that panics it is not tried: writes are
// refused until the log is opened again.
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Position is a place in the log. Later records have greater positions.
type Position uint64

// Options of a log. FS is required.
type Options struct {
	FS        vfs.FS
	Dir       string       // folder below FS; made if missing
	FileBytes int64        // of each file; default 64 MiB
	MaxQueued int64        // bytes waiting to be written before callers are refused; default 64 MiB
	Log       *slog.Logger // nil: discard
}

func (o Options) withDefaults() Options {
	if o.FileBytes <= 0 {
		o.FileBytes = 64 << 20
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	headerBytes = 32
	frameHeader = 20
	frameMagic  = 0x4d415246 // "FRAM"
)

var (
	fileMagic  = [8]byte{'w', 'e', 'i', 'r', 'w', 'a', 'l', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Log is an open log. It is safe for concurrent use.
//
// The plain way to make a record durable is to write it and sync. One sync takes
// longer than a thousand writes, so records gather in the pending batch while the batch
// before is written; then they share the next sync. Under load batches grow by themselves, and a
// lone caller waits for one sync only.
//
// There is no goroutine that writes. Whoever waits for a record of the pending batch while
// none is being written writes it, for all that are in it; once done, it passes the turn to
// somebody who waits for the next. To hand each batch to another goroutine and be woken by it took
// a tenth of a small request's processor time.
type Log struct {
	opts Options

	mu      sync.Mutex // guards the fields below
	pending *batch     // gathers records; never nil
	writing *batch     // the latest that was begun; nil before the first
	taken   bool       // somebody has the turn to write: writing is not done, or the turn was passed to pending
	closing bool
	files   []file   // oldest first; the last one takes new frames
	unused  Position // nothing before is needed, as TruncateBefore was told
	failed  error    // since the last write error; nil while all is well
	era     uint64   // counts write errors
	sealed  bool     // the latest frame has no records
	records Position // end of the latest frame that has some

	// Of whoever has the turn.
	out     vfs.File
	salt    uint32 // of out
	end     int64  // offset in out of the next frame
	zeroed  int64  // bytes of out that were written, if only with zeros
	size    int64  // of out, as it was reserved
	number  uint64
	spare   []byte // of the batch written last, for the one after next
	retried time.Time
	broken  bool   // by a bug: nothing is written any more
	stub    string // the one file of a log that could not be begun: its name says how far positions have come
}

// file is one file of the log.
type file struct {
	name string
	base Position
	end  Position // of its last frame so far
}

// batch is the records of one frame.
type batch struct {
	start Position      // of its frame's header
	buf   []byte        // frame header, then records
	turn  chan struct{} // of one slot: filled when the batch before is done
	done  chan struct{}
	err   error // valid once done is closed
}

// Ticket stands for a record on its way to the disk. Somebody must Wait for it: who waits
// is who writes.
type Ticket struct {
	// Position of the record.
	Position Position
	log      *Log
	batch    *batch
}

// Wait blocks until the record is durable and returns nil, or until it is known that
// it will not be, and returns the error. It does not end early: a caller that
// leaves would not know what became of its record. It may be called again, and by several.
func (t Ticket) Wait() error {
	b := t.batch
	select {
	case <-b.done:
		return b.err
	default:
	}
	if t.log.takeTurn(b) {
		t.log.write(b)
		return b.err
	}
	select {
	case <-b.turn:
		t.log.write(b)
	case <-b.done:
	}
	return b.err
}

// Open opens or makes the log and replays what it holds, in order: replay is called
// for every record, with a payload that is never written again, and its first
// error ends Open.
func Open(o Options, replay func(p Position, kind byte, payload []byte) error) (*Log, error) {
	o = o.withDefaults()
	l := &Log{opts: o}
	if err := vfs.MakeDir(o.FS, o.Dir); err != nil {
		return nil, err
	}
	next, err := l.recover(replay)
	if err != nil {
		return nil, err
	}
	previous := next
	if n := len(l.files); n > 0 {
		previous = l.files[n-1].end
	}
	if err := l.trim(); err != nil {
		o.Log.Warn("a file of the log keeps space that it does not need", "err", err)
	}
	err = l.newFile(next, previous, 0)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		// What is there can be read. Writes are refused until there is space.
		l.failed = fmt.Errorf("begin a log file: %w", err)
		o.Log.Error("no space for the log; writes are refused until there is", "err", err)
	case err != nil:
		return nil, fmt.Errorf("begin a log file: %w", err)
	}
	l.pending, l.sealed, l.records = newBatch(next, nil), true, next
	return l, nil
}

// newBatch makes an empty batch whose records go to buf, or to a new buffer.
func newBatch(start Position, buf []byte) *batch {
	if buf == nil {
		buf = make([]byte, frameHeader, 64<<10)
	}
	return &batch{start: start, buf: buf[:frameHeader], turn: make(chan struct{}, 1), done: make(chan struct{})}
}

// maxSpare bounds the buffers kept for later batches.
const maxSpare = 4 << 20

// Enqueue gives a record its place in the log. It copies payload and does not wait;
// records become durable in the order of Enqueue. Errors: fault.Throttled when the
// disk does not follow, fault.Unavailable after a write error or Close.
func (l *Log) Enqueue(kind byte, payload []byte) (Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.enqueueLocked(kind, payload, nil)
}

// ErrLost refuses a record that builds upon earlier ones when some of them may be lost.
var ErrLost = errors.New("earlier records of the log may be lost")

// Era changes whenever records that were enqueued are lost.
func (l *Log) Era() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.era
}

// EnqueueIn is Enqueue for a record, of a head and the rest, that builds upon records enqueued in an era:
// if they do not become durable, neither does it. In another era the error is ErrLost.
func (l *Log) EnqueueIn(era uint64, kind byte, head, rest []byte) (Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if era != l.era {
		return Ticket{}, ErrLost
	}
	return l.enqueueLocked(kind, head, rest)
}

func (l *Log) enqueueLocked(kind byte, head, rest []byte) (Ticket, error) {
	if l.closing {
		return Ticket{}, fault.New(fault.Unavailable, "The log is closed.")
	}
	b := l.pending
	size := len(head) + len(rest)
	if int64(len(b.buf)+size) > l.opts.MaxQueued && len(b.buf) > frameHeader {
		return Ticket{}, fault.New(fault.Throttled, "The disk does not follow: %d bytes wait to be written.", len(b.buf))
	}
	p := b.start + Position(len(b.buf))
	b.buf = append(b.buf, kind)
	b.buf = binary.AppendUvarint(b.buf, uint64(size))
	b.buf = append(append(b.buf, head...), rest...)
	return Ticket{p, l, b}, nil
}

// Append is Enqueue and Wait.
func (l *Log) Append(kind byte, payload []byte) (Position, error) {
	t, err := l.Enqueue(kind, payload)
	if err != nil {
		return 0, err
	}
	return t.Position, t.Wait()
}

// Mark returns a position past every record enqueued so far and not past any later one.
func (l *Log) Mark() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending.start + Position(len(l.pending.buf))
}

// SizeBytes is how much of the log is kept: what a restart would read.
func (l *Log) SizeBytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) == 0 {
		return 0 // no file could be begun
	}
	return int64(l.pending.start + Position(len(l.pending.buf)) - l.files[0].base)
}

// Err returns the error that keeps the log from writing, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// TruncateBefore deletes the files that hold only records before p. What is left is a
// log that begins later.
func (l *Log) TruncateBefore(p Position) error {
	l.mu.Lock()
	l.unused = max(l.unused, p)
	n := 0
	for n < len(l.files)-1 && l.files[n].end <= p && l.files[n+1].base <= p {
		n++
	}
	gone := append([]file(nil), l.files[:n]...)
	l.mu.Unlock()
	for _, f := range gone {
		if err := l.opts.FS.Remove(path.Join(l.opts.Dir, f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Each by itself: should a crash undo one removal and not the next, there
		// would be a hole in the log.
		if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
			return err
		}
		l.mu.Lock()
		l.files = l.files[1:]
		l.mu.Unlock()
	}
	return nil
}

// Close writes what is pending and closes the file. If nothing of the log is needed any
// more, an empty file remains, which carries the position on.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return nil
	}
	l.closing = true
	writing, pending := l.writing, l.pending
	waiting := len(pending.buf) > frameHeader
	l.mu.Unlock()
	if writing != nil {
		<-writing.done
	}
	if waiting {
		_ = Ticket{log: l, batch: pending}.Wait() // who gave the records is told
	}
	if l.out == nil {
		return nil
	}
	if l.broken {
		return l.out.Close()
	}
	if l.unused < l.records {
		l.Seal()
	}
	err := l.dropUnused()
	// The preallocated rest goes, for the sake of the disk; a crash before is harmless.
	return errors.Join(err, l.out.Truncate(l.end), l.out.Close())
}

// Seal makes the latest frame one whose damage is noticed, if it is not. It waits for the disk, and must not be called
// while or after the log is closed.
func (l *Log) Seal() {
	l.mu.Lock()
	b := l.pending
	idle := !l.taken && !l.sealed && l.failed == nil && len(b.buf) == frameHeader
	l.taken = l.taken || idle
	l.mu.Unlock()
	if idle {
		l.write(b) // with the records that come meanwhile it is a frame like others
	}
}

// dropUnused begins an empty last file if no record is needed, and deletes the others.
func (l *Log) dropUnused() error {
	last := l.files[len(l.files)-1]
	if l.failed != nil || l.end == headerBytes || l.unused < l.records {
		return nil
	}
	if err := l.newFile(last.end, last.end, 0); err != nil {
		return err
	}
	return l.TruncateBefore(last.end)
}

// takeTurn gives the caller the turn to write b, if it is the pending batch and none is being written.
func (l *Log) takeTurn(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken || l.pending != b {
		return false
	}
	l.taken = true
	return true
}

// write makes the pending batch b durable, tells those who wait for it how it went, and passes the
// turn, which the caller has, on.
func (l *Log) write(b *batch) {
	l.mu.Lock()
	failed := l.failed
	l.writing, l.pending = b, newBatch(b.start+Position(align(len(b.buf))), l.spare)
	l.mu.Unlock()
	failed = l.save(b, failed)
	if l.spare = nil; cap(b.buf) <= maxSpare {
		l.spare = b.buf
	}
	l.finish(b, failed)
}

// save makes a batch durable, after a repair if the one before it was not. A bug that panics is an error too, and the
// last thing that is written: what it left in the file is cut off at the next start, like a write that a crash tore.
func (l *Log) save(b *batch, failed error) (err error) {
	if l.broken {
		return failed
	}
	defer func() {
		if p := recover(); p != nil {
			l.broken, err = true, fmt.Errorf("bug: panic: %v\n%s", p, debug.Stack())
		}
	}()
	if failed != nil {
		if failed = l.repair(b.start, failed); failed != nil {
			return failed
		}
	}
	return l.commit(b)
}

// finish tells those who wait for b how it went. If not well, so do those learn whose records are
// pending and may build upon those of b.
func (l *Log) finish(b *batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.failed == nil {
		l.opts.Log.Error("log not written; writes are refused until it can be", "err", err)
	}
	l.failed = err
	if err == nil {
		end := b.start + Position(align(len(b.buf)))
		l.files[len(l.files)-1].end = end
		if l.sealed = len(b.buf) == frameHeader; !l.sealed {
			l.records = end
		}
	} else {
		b.err = fault.Wrap(fault.Unavailable, err, "The record could not be made durable; the server's disk refuses writes.")
		l.era++
		if lost := l.pending; len(lost.buf) > frameHeader {
			lost.err = b.err
			l.pending = newBatch(lost.start+Position(align(len(lost.buf))), nil)
			defer close(lost.done)
		}
	}
	close(b.done)
	if l.taken = len(l.pending.buf) > frameHeader; l.taken {
		l.pending.turn <- struct{}{}
	}
}

func align(n int) int { return (n + 7) &^ 7 }

// commit makes one frame durable.
func (l *Log) commit(b *batch) error {
	size := align(len(b.buf))
	if l.end+int64(size) > l.opts.FileBytes && l.end > headerBytes {
		if err := l.newFile(b.start, b.start, int64(size)); err != nil {
			return err
		}
	}
	frame := append(b.buf, make([]byte, size-len(b.buf))...)
	binary.LittleEndian.PutUint32(frame, frameMagic)
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(b.buf)-frameHeader))
	binary.LittleEndian.PutUint64(frame[8:], l.number+1)
	binary.LittleEndian.PutUint32(frame[16:], frameCRC(l.salt, l.number+1, b.buf[frameHeader:]))
	if _, err := l.out.WriteAt(frame, l.end); err != nil {
		return err
	}
	if err := l.zeroAhead(l.end + int64(size)); err != nil {
		return err
	}
	if err := l.out.Sync(); err != nil {
		return err
	}
	l.end += int64(size)
	l.number++
	return nil
}

// zeros is written ahead of the frames, so much at a time. A file's reserved blocks are marked as never
// written, and to change that mark is a transaction of the file system with each sync: on ext4, syncs of
// frames that go over zeros took 120 to 150 µs where they took 170 to 230.
var zeros [256 << 10]byte

// zeroAhead writes zeros behind the frames, which end at end, if they have come to where those before end.
func (l *Log) zeroAhead(end int64) error {
	if end <= l.zeroed {
		return nil
	}
	n := min(int64(len(zeros)), l.size-end)
	if n > 0 {
		if _, err := l.out.WriteAt(zeros[:n], end); err != nil {
			return err
		}
	}
	l.zeroed = end + max(n, 0)
	return nil
}

func frameCRC(salt uint32, number uint64, body []byte) uint32 {
	var head [16]byte
	binary.LittleEndian.PutUint32(head[:], salt)
	binary.LittleEndian.PutUint64(head[4:], number)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(body)))
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body)
}

// repair tries, at most once a second, to begin a new file after a write error. Frames
// go on at next.
func (l *Log) repair(next Position, cause error) error {
	if time.Since(l.retried) < time.Second {
		return cause
	}
	l.retried = time.Now()
	// Nobody was told that anything past l.end is there. If the cut cannot be made
	// durable, the file might still show it at the next start, as damage or as records.
	if l.out != nil {
		if err := errors.Join(l.out.Truncate(l.end), l.out.Sync()); err != nil {
			return cause
		}
	}
	l.mu.Lock()
	previous := next
	if n := len(l.files); n > 0 {
		previous = l.files[n-1].end
	}
	l.mu.Unlock()
	if err := l.newFile(next, previous, 0); err != nil {
		return cause
	}
	l.opts.Log.Info("log written again after an error", "err", cause)
	return nil
}

// newFile begins a file: position base is its first frame, right behind the header. The
// file is as large as the options say, or larger for a frame of atLeast bytes; where the disk
// has no space for that it is small and grows.
func (l *Log) newFile(base, previous Position, atLeast int64) error {
	name := fileName(base)
	full := path.Join(l.opts.Dir, name)
	if l.stub != "" && l.stub != name {
		if err := l.opts.FS.Rename(path.Join(l.opts.Dir, l.stub), full); err != nil {
			return err
		}
		l.stub = name
	}
	f, err := l.opts.FS.Create(full)
	if err != nil {
		return err
	}
	salt := rand.Uint32()
	h := header(base, previous, salt)
	size := max(l.opts.FileBytes, headerBytes+atLeast)
	err = l.prepare(f, h, size)
	if errors.Is(err, syscall.ENOSPC) {
		// A small disk, or a nearly full one: take what this frame or a few need.
		if err = f.Truncate(0); err == nil {
			size = max(l.opts.FileBytes/64, headerBytes+atLeast)
			err = l.prepare(f, h, size)
		}
	}
	if err != nil {
		f.Close()
		if len(l.files) == 0 {
			l.stub = name // without it positions would begin anew
		} else {
			l.opts.FS.Remove(full)
		}
		return err
	}
	l.stub = ""
	if l.out != nil {
		l.out.Close()
	}
	l.out, l.salt, l.end, l.zeroed, l.size = f, salt, headerBytes, headerBytes, size
	l.mu.Lock()
	l.files = append(l.files, file{name, base, base})
	l.mu.Unlock()
	return nil
}

func (l *Log) prepare(f vfs.File, header []byte, size int64) error {
	if err := f.Preallocate(size); err != nil {
		return err
	}
	if _, err := f.WriteAt(header, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return l.opts.FS.SyncDir(l.opts.Dir)
}

func header(base, previous Position, salt uint32) []byte {
	h := make([]byte, headerBytes)
	copy(h, fileMagic[:])
	binary.LittleEndian.PutUint64(h[8:], uint64(base))
	binary.LittleEndian.PutUint64(h[16:], uint64(previous))
	binary.LittleEndian.PutUint32(h[24:], salt)
	binary.LittleEndian.PutUint32(h[28:], crc32.Checksum(h[:28], castagnoli))
	return h
}

func fileName(base Position) string { return fmt.Sprintf("%016x.wal", uint64(base)) }

func parseName(name string) (Position, bool) {
	hex, ok := strings.CutSuffix(name, ".wal")
	base, err := strconv.ParseUint(hex, 16, 64)
	return Position(base), ok && err == nil && len(hex) == 16
}
