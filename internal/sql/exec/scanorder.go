package exec

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/vec"
)

// inOrder reports whether op gives its rows in the order that the plan asked of the scan below it (see
// [plan.Sort]), which begins the scan.
func inOrder(ctx context.Context, op operator) (bool, error) {
	switch op := op.(type) {
	case *measured:
		return inOrder(ctx, op.operator)
	case *filterOp:
		return inOrder(ctx, op.in)
	case *projectOp:
		return inOrder(ctx, op.in)
	case *windowOp:
		op.keepOrder = true // sorted or not, it gives its rows in its order, if it gives them one after the other
		return true, nil
	case *scanOp:
		if op.n.Spec.From >= op.n.Spec.To {
			return true, nil
		}
		if op.open == nil {
			if _, err := op.start(ctx, nil); err != nil {
				return false, err
			}
		}
		return op.ordered(), nil
	}
	return false, nil
}

// ordered reports whether storage gives rows in the order that was asked for, if any was.
func (s *scanOp) ordered() bool { return len(s.n.Spec.Order) == 0 || s.applied.Order }

// Windows over rows that come in order need no sorting, and where several goroutines read the scan, each of which gets
// whole partitions, each has a window of its own.

// readers implements [dividedSource].
func (o *windowOp) readers(ctx context.Context, most int, forced bool) ([]reader, error) {
	if !o.n.Whole || o.keepOrder || o.hand != nil || !o.concurrent() || !concurrent(o.keys.exprs) {
		return nil, nil
	}
	if ordered, err := o.inOrder(ctx); !ordered || err != nil {
		return nil, err
	}
	p := newPipeline(o.f, o.in)
	in, err := p.readers(ctx, most)
	if err != nil || len(in) == 0 {
		return nil, err
	}
	for _, s := range p.stages {
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
	}
	list := make([]reader, len(in))
	left := &atomic.Int32{}
	left.Store(int32(len(in)))
	for i, r := range in {
		part := o.over(p.staged(r, left))
		o.parts, list[i] = append(o.parts, part), part
	}
	return list, nil
}

// inOrder reports whether the window's input comes in the order that it needs.
func (o *windowOp) inOrder(ctx context.Context) (bool, error) {
	if !o.n.Ordered {
		return false, nil
	}
	borrow(o.in)
	return inOrder(ctx, o.in)
}

// over returns a window over a part of the input, which comes in order.
func (o *windowOp) over(in reader) *windowOp {
	part := &windowOp{f: o.f, n: o.n, keys: o.keys, calls: o.calls, reads: o.reads, streams: o.streams, anywhere: o.anywhere, workers: 1,
		mem: o.f.run.chargeOf(o.n), sortMem: o.f.run.chargeOf(o.n)}
	part.sorted = newSorter(o.f, o.keys, o.n.Input.Types(), &part.sortMem)
	part.begin(in)
	return part
}

// begin makes rows that come in order, and are valid until the next ones, the input.
func (o *windowOp) begin(in reader) {
	o.src, o.borrowed = &keyedRows{in, o.sorted}, true
	o.hand = o.newHand()
}

// parallel has several goroutines compute the window, and reports whether it does.
func (o *windowOp) parallel(ctx context.Context) (bool, error) {
	most := o.f.run.workers()
	if most == 1 || o.keepOrder {
		return false, nil
	}
	list, err := o.readers(ctx, most, false)
	if err != nil || len(list) == 0 {
		return false, err
	}
	if len(list) == 1 {
		o.shared = list[0]
	} else {
		o.shared = exchangeOf(list)
	}
	return true, nil
}

// staged returns one of several readers of what comes out of the stages, each of which makes at most one batch of a
// batch; left counts those that have not ended.
func (p *pipeline) staged(in reader, left *atomic.Int32) reader {
	if len(p.stages) == 0 {
		return in
	}
	s := &stagedReader{p: p, in: in, left: left}
	s.push = p.chain(func(_ context.Context, b *vec.Batch) error {
		s.out = b
		return nil
	})
	return s
}

type stagedReader struct {
	p    *pipeline
	in   reader
	left *atomic.Int32
	push emitFunc
	out  *vec.Batch
}

func (s *stagedReader) next(ctx context.Context) (*vec.Batch, error) {
	for {
		b, err := s.in.next(ctx)
		if err != nil || b == nil {
			if err == nil && s.left.Add(-1) == 0 {
				s.p.addTimes()
			}
			return nil, err
		}
		s.out = nil
		if err := s.push(ctx, b); err != nil || s.out != nil {
			return s.out, err
		}
	}
}

// exchange gives the batches of several readers, each read by a goroutine, in the order in which they are ready. Batches
// must stay valid.
type exchange struct {
	out    chan *vec.Batch
	err    error // once out is closed
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

func exchangeOf(list []reader) *exchange {
	// The goroutines outlive a call of next, so they stop by close and not by its context.
	ctx, cancel := context.WithCancelCause(context.Background())
	x := &exchange{out: make(chan *vec.Batch, len(list)), cancel: cancel}
	errs := make([]error, len(list))
	for i, r := range list {
		x.wg.Go(func() {
			if errs[i] = x.read(ctx, r); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	go func() {
		x.wg.Wait()
		x.err = firstCause(errs)
		close(x.out)
	}()
	return x
}

func (x *exchange) read(ctx context.Context, r reader) (err error) {
	defer survive(&err)
	for {
		b, err := r.next(ctx)
		if err != nil || b == nil {
			return err
		}
		select {
		case x.out <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (x *exchange) next(ctx context.Context) (*vec.Batch, error) {
	select {
	case b, ok := <-x.out:
		if !ok {
			return nil, x.err
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (x *exchange) close() {
	x.cancel(nil)
	x.wg.Wait()
}

// keyedRows is rows that come in order, with the keys that a sorter would carry behind them.
type keyedRows struct {
	in reader
	s  *sorter
}

func (k *keyedRows) next(ctx context.Context) (*vec.Batch, error) {
	b, err := k.in.next(ctx)
	if err != nil || b == nil {
		return nil, err
	}
	out := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(b.Columns))}
	for i, v := range b.Columns {
		out.Columns[i] = fewWords(v)
	}
	return k.s.keyed(ctx, out)
}

func (k *keyedRows) close() {}

// fewWords gives a vector with a dictionary that is larger than itself one of the words that it has, if neighbours mostly
// have the same, as in rows that come by dimensions: then who keeps its rows can keep it as a dictionary.
func fewWords(v *vec.Vector) *vec.Vector {
	if v.Form != vec.Dictionary || v.Dict.Len() <= v.Len() || v.Len() == 0 {
		return v
	}
	index := make([]int32, v.Len())
	words := make([]int32, 0, 8)
	last := int32(-1)
	for i, w := range v.Index {
		if w != last {
			if last = w; len(words) > v.Len()/8 {
				return v
			}
			words = append(words, w)
		}
		index[i] = int32(len(words) - 1)
	}
	return vec.OfDict(index, v.Dict.Gather(words))
}
