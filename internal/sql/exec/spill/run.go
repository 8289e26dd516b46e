package spill

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"github.com/klauspost/compress/s2"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is where one batch stands in a file.
type frame struct {
	offset int64
	stored int32  // bytes in the file
	raw    int32  // bytes before compression; equal to stored: it is not compressed
	crc    uint32 // of the stored bytes
	rows   int32
}

// Run is a sequence of batches on disk.
type Run struct {
	area    *Area
	name    string
	types   []vec.Type
	frames  []frame
	rows    int64
	size    int64 // of the file, charged
	memory  int64 // of the largest batch, before encoding
	removed atomic.Bool
}

// Rows returns how many rows the run has.
func (r *Run) Rows() int64 { return r.rows }

// SizeBytes returns the length of the run's file.
func (r *Run) SizeBytes() int64 { return r.size }

// Batches returns how many batches the run has; batch i is read by [Run.Batch].
func (r *Run) Batches() int { return len(r.frames) }

// BatchBytes estimates what a Reader of the run holds: its largest batch, decoded and not.
func (r *Run) BatchBytes() int64 { return r.memory }

// Remove deletes the run. It may be called twice; readers that are open get errors.
func (r *Run) Remove() {
	if r.area.forget(r) {
		r.remove()
	}
}

func (r *Run) remove() {
	if r.removed.Swap(true) {
		return
	}
	// What cannot be removed stays charged, as it takes space; the next start removes it.
	if err := r.area.space.fsys.Remove(r.name); err == nil || isGone(err) {
		r.area.give(r.size)
	}
}

// Writer makes a run.
type Writer struct {
	run   *Run
	file  vfs.File
	raw   []byte // scratch
	store []byte // scratch
	enc   encoder
}

// Create starts a run of batches with columns of the given types. A file is made with the first
// batch. The caller must Finish or Abort it, or close the area.
func (a *Area) Create(types []vec.Type) *Writer {
	return &Writer{run: &Run{area: a, types: types}}
}

// Append writes a batch, of any size and with vectors of any form, whose types have the
// storage of the writer's or are unknown. Batches of a few thousand rows serve best: a reader
// holds one at a time. An error is final.
func (w *Writer) Append(ctx context.Context, b *vec.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.Len == 0 {
		return nil
	}
	if w.file == nil {
		r, f, err := w.run.area.create()
		if err != nil {
			return err
		}
		r.types = w.run.types
		w.run, w.file = r, f
	}
	w.raw = w.enc.appendBatch(w.raw[:0], w.run.types, b)
	if int64(len(w.raw)) > maxFrame {
		return fault.New(fault.Execution, "A batch of %s is too large for a temporary file", SizeText(int64(len(w.raw))))
	}
	stored := w.compress()
	r := w.run
	if err := r.area.take(int64(len(stored))); err != nil {
		return err
	}
	at := r.size
	r.size += int64(len(stored))
	if _, err := w.file.WriteAt(stored, at); err != nil {
		return r.area.diskError(err)
	}
	r.frames = append(r.frames, frame{at, int32(len(stored)), int32(len(w.raw)), crc32.Checksum(stored, castagnoli), int32(b.Len)})
	r.rows += int64(b.Len)
	r.memory = max(r.memory, 3*int64(len(w.raw)))
	return nil
}

const maxFrame = 1 << 30

// compress returns the bytes to store of raw.
func (w *Writer) compress() []byte {
	if need := s2.MaxEncodedLen(len(w.raw)); cap(w.store) < need {
		w.store = make([]byte, need)
	}
	if out := s2.Encode(w.store[:cap(w.store)], w.raw); len(out) < len(w.raw)-len(w.raw)/16 {
		return out
	}
	return w.raw
}

// SizeBytes returns what has been written so far.
func (w *Writer) SizeBytes() int64 { return w.run.size }

// Finish ends the run. A run without a batch is fine, and has no file.
func (w *Writer) Finish() (*Run, error) {
	w.raw, w.store, w.enc = nil, nil, encoder{}
	if w.file == nil {
		return w.run, nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return nil, w.run.area.diskError(err)
	}
	return w.run, nil
}

// Abort ends and removes the run.
func (w *Writer) Abort() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	w.run.Remove()
}

// Reader reads a run from its beginning.
type Reader struct {
	run  *Run
	file vfs.File
	next int
	buf  []byte
	raw  []byte
}

// Read returns a reader of the run. The caller must Close it.
func (r *Run) Read() *Reader { return &Reader{run: r} }

// Next returns the next batch, which stays valid, or nil at the end. Strings of a
// batch share memory: one that is kept keeps the others of its column; clone what must
// outlive them.
func (d *Reader) Next(ctx context.Context) (*vec.Batch, error) {
	if d.next >= len(d.run.frames) {
		return nil, nil
	}
	b, err := d.Batch(ctx, d.next)
	d.next++
	return b, err
}

// Batch returns batch i of the run, whatever Next has given.
func (d *Reader) Batch(ctx context.Context, i int) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := d.run
	if d.file == nil {
		f, err := r.area.space.fsys.Open(r.name)
		if err != nil {
			return nil, r.area.diskError(err)
		}
		d.file = f
	}
	fr := r.frames[i]
	d.buf = sized(d.buf, int(fr.stored))
	if _, err := d.file.ReadAt(d.buf, fr.offset); err != nil {
		return nil, r.area.diskError(err)
	}
	raw := d.buf
	if crc := crc32.Checksum(d.buf, castagnoli); crc != fr.crc {
		return nil, r.corrupt(fr, fmt.Errorf("checksum is %08x, want %08x", crc, fr.crc))
	}
	if fr.stored != fr.raw {
		d.raw = sized(d.raw, int(fr.raw))
		out, err := s2.Decode(d.raw, d.buf)
		if err != nil {
			return nil, r.corrupt(fr, err)
		}
		raw = out
	}
	b, err := decodeBatch(raw, r.types)
	if err != nil {
		return nil, r.corrupt(fr, err)
	}
	return b, nil
}

func sized(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

func (r *Run) corrupt(fr frame, err error) error {
	return fault.Wrap(fault.Corrupt, err, "temporary file %s is damaged at byte %d", r.name, fr.offset)
}

// Close closes the file; the run stays. It may be called twice.
func (d *Reader) Close() {
	if d.file != nil {
		d.file.Close()
		d.file = nil
	}
}
