package exec

import (
	"context"

	"github.com/weir-db/weir/internal/vec"
)

// Joins without keys, of which memory cannot hold the build side, have it in a run. Each prober gathers a block of probe
// rows, as many as it may hold, and then reads the run once for all of them, page by page.

// proberLoop is what a prober needs for that.
type proberLoop struct {
	block *rows   // probe rows, until they are in hand
	in    batches // the pages; nil: no block is in hand
	first int     // among the build rows: the first of the page
	rows  int     // of the page
	held  int64   // charged
}

// page gives up on a table without keys: the build side goes to a run.
func (o *joinOp) page(ctx context.Context, kept *rows) error {
	o.blocks.mem = charge{of: o.mem.of, m: o.mem.m}
	o.pages = newKeptRows(o.f.run, o.buildTypes, &o.mem)
	o.pages.rows = kept
	if err := o.pages.putAway(ctx); err != nil {
		return err
	}
	if err := o.pages.addAll(ctx, o.build); err != nil {
		return err
	}
	o.build.close()
	return o.pages.finish(ctx)
}

// collect adds rows to the block, and takes it in hand if it is large enough.
func (p *prober) collect(b *vec.Batch) error {
	l, o := p.loop, p.o
	l.block.append(b)
	size := l.block.sizeBytes()
	all := size + int64(len(p.matched))
	full, err := o.blocks.hold(&l.held, all)
	if err != nil {
		return err
	}
	if full || size > o.f.run.memory.reach()/spillShare {
		p.beginBlock()
		return o.blocks.insist(&l.held, all)
	}
	return nil
}

// beginBlock takes the block in hand, if there is one.
func (p *prober) beginBlock() bool {
	l := p.loop
	if l == nil || l.block.n == 0 {
		return false
	}
	p.hold(l.block.batch())
	l.block = newRows(p.o.probeTypes)
	l.in, l.first, l.rows, p.table = p.o.pages.read(p.o.f.run.opt.BatchRows), 0, 0, nil
	return true
}

// turn makes the next page the table, and reports whether there is one.
func (p *prober) turn(ctx context.Context) (bool, error) {
	l := p.loop
	b, err := l.in.next(ctx)
	if err != nil {
		return false, err
	}
	if b == nil {
		l.close()
		return false, nil
	}
	l.first += l.rows
	l.rows = b.Len
	p.table, p.row, p.started = oneChain(b), 0, false
	return true, nil
}

func (l *proberLoop) close() {
	if l != nil && l.in != nil {
		l.in.close()
		l.in = nil
	}
}

// closeLoops drops what a join without keys has on disk.
func (o *joinOp) closeLoops() {
	if o.pages == nil {
		return
	}
	for _, p := range o.probers {
		p.loop.close()
	}
	if o.loose != nil {
		o.loose.in.close()
		o.loose = nil
	}
	o.pages.drop()
	o.blocks.release()
}

// looseRows is the build rows that no prober found.
type looseRows struct {
	in      batches
	probers []*prober
	at      int // the first of the next page
}

func (l *looseRows) next(ctx context.Context) (*vec.Batch, error) {
	for {
		b, err := l.in.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		var rows []int32
		for i := range b.Len {
			found := false
			for _, p := range l.probers {
				found = found || p.matched[l.at+i]
			}
			if !found {
				rows = append(rows, int32(i))
			}
		}
		if l.at += b.Len; len(rows) > 0 {
			return b.Gather(rows), nil
		}
	}
}
