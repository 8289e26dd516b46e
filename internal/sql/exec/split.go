package exec

import (
	"context"
	"sync"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/vec"
)

// splitOp is an operator over two inputs of which memory cannot hold the one that has to be kept: both are
// divided by the hash of their keys, on disk as far as need be, and the operator is made anew for each part.
// Made so, it can divide its part again, one level down.
type splitOp struct {
	f           *frame
	level       int
	left, right splitSide
	join        func(left, right operator) (operator, error)

	part    int
	current operator // of part-1
	mem     sharedCharge
}

// splitSide is one of the inputs.
type splitSide struct {
	types []vec.Type
	keys  []*expr
	mu    sync.Mutex // guards the field below
	parts []*partitions
}

func newSplit(f *frame, m *measure, level int, join func(left, right operator) (operator, error)) *splitOp {
	return &splitOp{f: f, level: level, join: join, mem: sharedCharge{mem: charge{of: &f.run.memory, m: m}}}
}

// divider divides rows of one side, for one goroutine.
type divider struct {
	o       *splitOp
	side    *splitSide
	parts   *partitions
	hashes  []uint64
	charged int64
}

func (o *splitOp) divider(side *splitSide) *divider {
	d := &divider{o: o, side: side, parts: newPartitions(o.f.run, o.mem.mem.m, side.types, o.level)}
	side.mu.Lock()
	defer side.mu.Unlock()
	side.parts = append(side.parts, d.parts)
	return d
}

func (d *divider) add(ctx context.Context, b *vec.Batch) error {
	keys, err := evalAll(ctx, d.o.f, d.side.keys, b)
	if err != nil {
		return err
	}
	for i, k := range d.side.keys {
		keys[i] = retype(keys[i], k.t)
	}
	cols := make([]*vec.Vector, len(d.side.types))
	for i, t := range d.side.types {
		cols[i] = retype(b.Columns[i], t)
	}
	d.hashes = hashKeys(keys, b.Len, d.hashes)
	d.parts.add(cols, d.hashes)
	full, err := d.o.mem.hold(&d.charged, d.parts.bytes)
	if err != nil || !full {
		return err
	}
	if d.parts.bytes >= d.parts.spillLeast() {
		if err := d.parts.flush(ctx); err != nil {
			return err
		}
	}
	return d.o.mem.insist(&d.charged, d.parts.bytes)
}

// read divides the rows of an operator, and those of first before.
func (d *divider) read(ctx context.Context, first *emitter, in operator) error {
	for first != nil {
		b := first.next(d.o.f.run.opt.BatchRows)
		if b == nil {
			break
		}
		if err := d.add(ctx, b); err != nil {
			return err
		}
	}
	for {
		b, err := in.next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			in.close()
			return ctx.Err()
		}
		if err := d.add(ctx, b); err != nil {
			return err
		}
	}
}

// ready ends the dividing of a side.
func (s *splitSide) ready() error {
	for _, p := range s.parts {
		if err := p.finish(); err != nil {
			return err
		}
	}
	return nil
}

// next gives the rows of the parts, once both sides are ready.
func (o *splitOp) next(ctx context.Context) (*vec.Batch, error) {
	for {
		if o.current != nil {
			b, err := o.current.next(ctx)
			if err != nil || b != nil {
				return b, err
			}
			o.current.close()
			o.current = nil
		}
		if o.part == partitionCount {
			return nil, nil
		}
		part := o.part
		o.part++
		if o.left.empty(part) && o.right.empty(part) {
			continue
		}
		var err error
		if o.current, err = o.join(o.left.reader(part), o.right.reader(part)); err != nil {
			return nil, err
		}
	}
}

func (s *splitSide) empty(part int) bool {
	for _, p := range s.parts {
		if !p.parts[part].empty() {
			return false
		}
	}
	return true
}

func (s *splitSide) reader(part int) operator { return &partReader{sets: s.parts, part: part} }

func (o *splitOp) close() {
	if o.current != nil {
		o.current.close()
		o.current = nil
	}
	for _, side := range []*splitSide{&o.left, &o.right} {
		for _, p := range side.parts {
			p.drop()
		}
		side.parts = nil
	}
	o.part = partitionCount
	o.mem.release()
}

// partReader is the rows of one part, as an operator.
type partReader struct {
	sets []*partitions // yet to be read, the first one perhaps in part
	part int
	at   int // of the first set's frames
	file *spill.Reader
	mem  []*rows
}

func (o *partReader) next(ctx context.Context) (*vec.Batch, error) {
	for len(o.sets) > 0 {
		p := &o.sets[0].parts[o.part]
		if o.at < len(p.frames) {
			if o.file == nil {
				o.file = o.sets[0].disk.Read()
			}
			o.at++
			return o.file.Batch(ctx, p.frames[o.at-1])
		}
		o.mem = append(o.mem, p.takeChunks()...)
		if len(o.mem) > 0 {
			b := o.mem[0].batch()
			o.mem = o.mem[1:]
			return b, ctx.Err()
		}
		o.closeFile()
		o.sets, o.at = o.sets[1:], 0
	}
	return nil, nil
}

func (o *partReader) closeFile() {
	if o.file != nil {
		o.file.Close()
		o.file = nil
	}
}

func (o *partReader) close() {
	o.closeFile()
	o.sets, o.mem = nil, nil
}
