package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/vec"
)

// keptRows is rows in the order in which they came, for reading any number of times: in memory, or all of them in a
// run once memory should not hold them. One goroutine adds; after finish any number may read.
type keptRows struct {
	r     *run
	types []vec.Type
	mem   *charge
	rows  *rows // nil once they are away
	away  *spillWriter
	disk  *spill.Run
}

func newKeptRows(r *run, types []vec.Type, mem *charge) *keptRows {
	return &keptRows{r: r, types: types, mem: mem, rows: newRows(types)}
}

// add adds the rows of b, and keeps nothing of it.
func (k *keptRows) add(ctx context.Context, b *vec.Batch) error {
	if k.away != nil {
		return k.away.append(ctx, b)
	}
	k.rows.append(b)
	size := k.rows.sizeBytes()
	if !k.mem.full(size) {
		return k.mem.set(size)
	}
	return k.putAway(ctx)
}

// putAway moves what is in memory to a run, where what follows goes, too.
func (k *keptRows) putAway(ctx context.Context) error {
	k.away = k.r.newSpill(k.types)
	if err := k.away.append(ctx, k.rows.batch()); err != nil {
		return err
	}
	k.rows = nil
	return k.mem.set(2 * spillPage)
}

// addAll adds all rows of in.
func (k *keptRows) addAll(ctx context.Context, in operator) error {
	borrow(in)
	for {
		b, err := in.next(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := k.add(ctx, b); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// finish ends the adding.
func (k *keptRows) finish(ctx context.Context) (err error) {
	if k.away == nil {
		return nil
	}
	if k.disk, err = k.away.finish(ctx); err != nil {
		return err
	}
	k.away = nil
	return k.mem.set(k.disk.BatchBytes())
}

// read returns the rows from the first on, in batches of at most so many.
func (k *keptRows) read(most int) batches {
	if k.disk == nil {
		return &emitted{emitter{b: k.rows.batch()}, most}
	}
	return &pages{r: k.disk.Read(), most: most}
}

// drop lets go of the rows.
func (k *keptRows) drop() {
	if k.away != nil {
		k.away.abort()
	}
	if k.disk != nil {
		k.disk.Remove()
	}
	k.rows, k.away, k.disk = newRows(k.types), nil, nil
	k.mem.release()
}

// pages is the rows of a run that stays, in batches of at most so many.
type pages struct {
	r    *spill.Reader
	most int
	page emitter
}

func (p *pages) next(ctx context.Context) (*vec.Batch, error) {
	for {
		if p.page.b != nil {
			if b := p.page.next(p.most); b != nil {
				return b, ctx.Err()
			}
		}
		b, err := p.r.Next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		p.page = emitter{b: b}
	}
}

func (p *pages) close() { p.r.Close() }
