package embedded

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
)

// pool runs the workers of a scan, each of which takes series in small lots and
// hands batches on, in no order. It starts with the first call of next and ends when
// the work is done, an error occurs or close is called, which waits. A few series with little to
// read are worked on by the caller of next: starting goroutines would take longer.
type pool struct {
	p       *plan
	work    func(ctx context.Context, take func() (int, int), emit func(*vec.Batch) error) error
	items   int
	alone   bool // the caller of next does the work
	started bool
	inline  bool
	ready   []*vec.Batch // of inline work
	ctx     context.Context
	cancel  context.CancelFunc
	out     chan *vec.Batch
	wg      sync.WaitGroup
	once    sync.Once // guards err
	err     error     // the first of a worker; read after out is closed
}

// lot is how many series a worker takes at a time, at most; inlineItems up to how many the
// caller may work on itself.
const (
	lot         = 64
	inlineItems = 16
)

func newPool(p *plan, items int, work func(context.Context, func() (int, int), func(*vec.Batch) error) error) *pool {
	return &pool{p: p, items: items, work: work, alone: items <= inlineItems && p.workers() == 1}
}

func (p *pool) start() {
	p.started = true
	// The workers outlive a call of next, so they stop by close and not by its context.
	p.ctx, p.cancel = context.WithCancel(context.Background())
	workers := p.p.workers()
	lot := max(1, min(lot, p.items/(4*workers))) // small enough to end at the same time
	p.out = make(chan *vec.Batch, workers)
	var taken atomic.Int64
	take := func() (int, int) {
		to := int(taken.Add(int64(lot)))
		return min(to-lot, p.items), min(to, p.items)
	}
	emit := func(b *vec.Batch) error {
		select {
		case p.out <- b:
			return nil
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
	for range workers {
		p.wg.Go(func() {
			if err := surviving(func() error { return p.work(p.ctx, take, emit) }); err != nil {
				p.once.Do(func() { p.err = err })
				p.cancel()
			}
		})
	}
	go func() {
		p.wg.Wait()
		close(p.out)
	}()
}

func (p *pool) next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, cancelled(err)
	}
	if !p.started {
		if p.alone {
			return p.first(ctx)
		}
		p.start()
	}
	if p.inline {
		return p.nextReady(), nil
	}
	select {
	case b, ok := <-p.out:
		if !ok {
			return nil, p.err
		}
		return b, nil
	case <-ctx.Done():
		p.cancel()
		return nil, cancelled(ctx.Err())
	}
}

// first does all the work and returns the first batch of its result.
func (p *pool) first(ctx context.Context) (*vec.Batch, error) {
	p.started, p.inline = true, true
	taken := false
	err := p.work(ctx, func() (int, int) {
		if taken {
			return p.items, p.items
		}
		taken = true
		return 0, p.items
	}, func(b *vec.Batch) error {
		p.ready = append(p.ready, b)
		return nil
	})
	if ctx.Err() != nil {
		err = cancelled(ctx.Err())
	}
	if err != nil {
		p.ready = nil
		return nil, err
	}
	return p.nextReady(), nil
}

func (p *pool) nextReady() *vec.Batch {
	if len(p.ready) == 0 {
		return nil
	}
	b := p.ready[0]
	p.ready = p.ready[1:]
	return b
}

func cancelled(err error) error {
	return fault.Wrap(fault.Cancelled, err, "The query was cancelled.")
}

func (p *pool) close() {
	if p.started && !p.inline {
		p.cancel()
		p.wg.Wait()
	}
	p.p.release()
}
