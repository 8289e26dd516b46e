package embedded

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
)

// pool runs the workers of a scan, each of which takes series in small lots and
// hands batches on, in no order. It starts with the first call of next and ends when
// the work is done, an error occurs or close is called, which waits.
type pool struct {
	p       *plan
	work    func(ctx context.Context, take func() (int, int), emit func(*vec.Batch) error) error
	items   int
	started bool
	ctx     context.Context
	cancel  context.CancelFunc
	out     chan *vec.Batch
	wg      sync.WaitGroup
	once    sync.Once // guards err
	err     error     // the first of a worker; read after out is closed
}

// lot is how many series a worker takes at a time.
const lot = 16

func newPool(p *plan, items int, work func(context.Context, func() (int, int), func(*vec.Batch) error) error) *pool {
	return &pool{p: p, items: items, work: work}
}

func (p *pool) start() {
	p.started = true
	// The workers outlive a call of next, so they stop by close and not by its context.
	p.ctx, p.cancel = context.WithCancel(context.Background())
	workers := max(1, min(runtime.GOMAXPROCS(0), (p.items+lot-1)/lot))
	p.out = make(chan *vec.Batch, workers)
	var taken atomic.Int64
	take := func() (int, int) {
		to := int(taken.Add(lot))
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
			if err := p.work(p.ctx, take, emit); err != nil {
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
		p.start()
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

func cancelled(err error) error {
	return fault.Wrap(fault.Cancelled, err, "The query was cancelled.")
}

func (p *pool) close() {
	if p.started {
		p.cancel()
		p.wg.Wait()
	}
	p.p.release()
}
