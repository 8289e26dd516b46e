package exec

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/vec"
)

// Operators that keep their input (grouping, DISTINCT, the sides of a join that spills) take it in parallel:
// the operators between them and the next one below that keeps state or reads a table are stages, through
// which any number of workers push batches at the same time. A table is read by the workers themselves, each of
// which decodes what it goes on with; other sources give batches one at a time.
//
// A query begins with one worker, the caller's goroutine, so that small ones pay nothing and give their
// rows in the order of the input. How many work on a table is known from its size; otherwise the others join
// once parallelRows rows were read.
//
// What comes out of a pipeline is valid only during the call of the sink.

// parallelRows is how many rows are read before other workers join in.
const parallelRows = 1 << 16

// stage is an operator without state between batches.
type stage interface {
	operator
	// input is the operator whose batches apply takes.
	input() operator
	// concurrent reports whether workers may run at the same time. If not, it is not used as a stage.
	concurrent() bool
	// ready is called once, before the first worker.
	ready(ctx context.Context) error
	// worker returns what turns batches into others, for one goroutine.
	worker() worker
	// rest gives the rows that are due after the input, once all workers are done.
	rest(ctx context.Context, emit emitFunc) error
}

// worker is one goroutine's part of a stage.
type worker interface {
	apply(ctx context.Context, b *vec.Batch, emit emitFunc) error
}

type emitFunc func(ctx context.Context, b *vec.Batch) error

// pipeline is a source and stages, the last of which feeds an operator.
type pipeline struct {
	f      *frame
	source operator
	stages []stage // from the source up
	serial bool    // the sinks keep state that is not theirs alone: use one worker
}

// newPipeline takes the operator in apart.
func newPipeline(f *frame, in operator) *pipeline {
	p := &pipeline{f: f, source: in}
	for {
		m, isMeasured := p.source.(*measured)
		op := p.source
		if isMeasured {
			op = m.operator
		}
		s, ok := op.(stage)
		if !ok || !s.concurrent() {
			return p
		}
		p.source = s.input()
		if isMeasured {
			s = measuredStage{s, m.m, &atomic.Int64{}}
		}
		p.stages = append([]stage{s}, p.stages...)
	}
}

// workers is how many goroutines run at most.
func (r *run) workers() int {
	if r.opt.Workers > 0 {
		return r.opt.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// run reads the source to its end. Worker w, from 0 on, hands what comes out of the stages to sink(w);
// the sinks of different workers run at the same time, and the caller's goroutine is worker 0.
func (p *pipeline) run(ctx context.Context, sink func(w int) emitFunc) error {
	for _, s := range p.stages {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	all := p.f.run.workers()
	if p.serial {
		all = 1
	}
	cancel := func(error) {} // a single worker ends by itself
	if all > 1 {
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
	}
	readers, err := p.readers(ctx, all)
	if err != nil {
		return err
	}
	work := func(w int, src reader, more func(rows int)) (err error) {
		defer survive(&err)
		push := p.chain(sink(w))
		for {
			b, err := src.next(ctx)
			if err != nil || b == nil {
				return err
			}
			if err := push(ctx, b); err != nil {
				return err
			}
			if more != nil {
				more(b.Len)
			}
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, all)
	other := func(w int, src reader) {
		wg.Go(func() {
			if errs[w] = work(w, src, nil); errs[w] != nil {
				cancel(errs[w])
			}
		})
	}
	if len(readers) > 0 {
		for w := 1; w < len(readers); w++ {
			other(w, readers[w])
		}
		errs[0] = work(0, readers[0], nil)
	} else {
		src := &sharedSource{in: p.source}
		rows, running, after := 0, 1, parallelRows
		if p.f.run.opt.ParallelRows > 0 {
			after = p.f.run.opt.ParallelRows
		}
		errs[0] = work(0, src, func(n int) {
			for rows += n; rows >= after && running < all; running++ {
				other(running, src)
			}
		})
	}
	if errs[0] != nil {
		cancel(errs[0])
	}
	wg.Wait()
	if err := firstCause(errs); err != nil {
		return err
	}
	err = p.rest(ctx, sink(0))
	p.addTimes()
	return err
}

// reader gives batches to one goroutine.
type reader interface {
	next(ctx context.Context) (*vec.Batch, error)
}

// dividedSource is an operator whose rows several goroutines may take at the same time.
type dividedSource interface {
	operator
	// readers returns what gives the rows together: at most so many, as many if forced, else as are worth it; or none
	// if the operator has to be pulled. A batch is valid until the next call of its reader.
	readers(ctx context.Context, most int, forced bool) ([]reader, error)
}

// readers divides the source, if it can be and several workers may run.
func (p *pipeline) readers(ctx context.Context, most int) ([]reader, error) {
	if most == 1 {
		return nil, nil
	}
	op := p.source
	m, isMeasured := op.(*measured)
	if isMeasured {
		op = m.operator
	}
	src, ok := op.(dividedSource)
	if !ok {
		return nil, nil
	}
	list, err := src.readers(ctx, most, p.f.run.opt.ParallelRows > 0)
	if isMeasured {
		for i := range list {
			list[i] = measuredReader{list[i], m.m}
		}
	}
	return list, err
}

// survive makes an error of a bug that panics: it is to end the query, and not the server, which a panic on
// a goroutine that nobody watches does; nor may it leave other workers running. It is deferred.
func survive(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("bug: a worker of a query panicked: %v\n%s", p, debug.Stack())
	}
}

// addTimes adds to what measured stages took what those below and the source took.
func (p *pipeline) addTimes() {
	sum := int64(0)
	if m, ok := p.source.(*measured); ok {
		sum = m.m.took.Load()
	}
	for _, s := range p.stages {
		if s, ok := s.(measuredStage); ok {
			sum += s.own.Load()
			s.m.took.Add(sum)
		}
	}
}

// firstCause returns an error that is not the echo of another worker's.
func firstCause(errs []error) error {
	var echo error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			echo = err
		}
	}
	return echo
}

// chain returns the stages as one function, with workers of their own.
func (p *pipeline) chain(out emitFunc) emitFunc {
	for i := len(p.stages) - 1; i >= 0; i-- {
		w, next := p.stages[i].worker(), out
		out = func(ctx context.Context, b *vec.Batch) error { return w.apply(ctx, b, next) }
	}
	return out
}

// rest hands on what the stages have left, from the lowest up.
func (p *pipeline) rest(ctx context.Context, out emitFunc) error {
	for i, s := range p.stages {
		above := &pipeline{f: p.f, stages: p.stages[i+1:]}
		if err := s.rest(ctx, above.chain(out)); err != nil {
			return err
		}
	}
	return nil
}

// close closes the source and the stages.
func (p *pipeline) close() {
	for _, s := range p.stages {
		s.close()
	}
	p.source.close()
}

// sharedSource is an operator that several goroutines read.
type sharedSource struct {
	mu   sync.Mutex // guards the fields below
	in   operator
	done bool
}

func (s *sharedSource) next(ctx context.Context) (*vec.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := s.in.next(ctx)
	s.done = b == nil
	return b, err
}

func (o *filterOp) input() operator                       { return o.in }
func (o *filterOp) concurrent() bool                      { return concurrent(o.conds) }
func (o *filterOp) ready(context.Context) error           { return nil }
func (o *filterOp) worker() worker                        { return o }
func (o *filterOp) rest(context.Context, emitFunc) error  { return nil }
func (o *projectOp) input() operator                      { return o.in }
func (o *projectOp) concurrent() bool                     { return concurrent(o.exprs) }
func (o *projectOp) ready(context.Context) error          { return nil }
func (o *projectOp) worker() worker                       { return o }
func (o *projectOp) rest(context.Context, emitFunc) error { return nil }

func (o *filterOp) apply(ctx context.Context, b *vec.Batch, emit emitFunc) error {
	rows, all, err := filterRows(ctx, o.f, o.conds, b)
	switch {
	case err != nil:
		return err
	case all:
		return emit(ctx, b)
	case len(rows) > 0:
		return emit(ctx, b.Gather(rows))
	}
	return nil
}

func (o *projectOp) apply(ctx context.Context, b *vec.Batch, emit emitFunc) error {
	cols, err := evalAll(ctx, o.f, o.exprs, b)
	if err != nil {
		return err
	}
	return emit(ctx, &vec.Batch{Len: b.Len, Columns: cols})
}

// concurrent reports whether none of the expressions keeps state.
func concurrent(exprs []*expr) bool {
	for _, e := range exprs {
		if e.serial {
			return false
		}
	}
	return true
}
