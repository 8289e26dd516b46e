package embedded

import (
	"context"
	"math"
	"sync"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// rowScanner gives the rows of a scan series by series. It is read in one of three ways:
//
//   - by the caller of Next alone, if there is little to read;
//   - ahead of Next, by workers: each takes lots of series and has a stream of batches per lot; Next
//     reads the streams in the order in which the lots were taken, so every series stays in one piece. A
//     worker runs ahead by a few batches at most;
//   - by the callers of its readers (see Divide), who take the lots and decode them themselves.
type rowScanner struct {
	p       *plan
	applied storage.Applied
	left    int64 // rows until the limit
	closed  bool

	lots *lots
	free *freeBuffers // nil unless batches are used again

	alone   *rowReader // of the caller of Next
	started bool
	ctx     context.Context
	cancel  context.CancelFunc
	streams chan *rowStream
	stream  *rowStream // being read
	lent    *rowBuffer // of the latest batch of a stream
	wg      sync.WaitGroup
}

// rowStream is the batches of one lot. err is valid once out is closed.
type rowStream struct {
	out chan rowBatch
	err error
}

// rowBatch is a batch and the buffer that it shares the slices of, or nil.
type rowBatch struct {
	*vec.Batch
	buffer *rowBuffer
}

// aheadBatches is how many batches of a lot may wait to be read.
const aheadBatches = 4

func newRowScanner(p *plan, applied storage.Applied, reuse bool) *rowScanner {
	s := &rowScanner{p: p, applied: applied, left: p.limit, lots: newLots(p)}
	if s.left <= 0 {
		s.left = math.MaxInt64
	}
	if reuse {
		s.free = &freeBuffers{}
	}
	return s
}

func (s *rowScanner) Applied() storage.Applied { return s.applied }

func (s *rowScanner) Stats() storage.ScanStats { return s.p.report() }

func (s *rowScanner) Close() {
	if s.closed {
		return
	}
	s.closed = true
	if s.started {
		s.cancel()
		s.wg.Wait()
	}
	if s.alone != nil {
		s.alone.w.release()
	}
	s.p.release()
}

// workers is how many goroutines are worth their start.
func (s *rowScanner) workers() int { return max(1, min(s.p.workers(), s.lots.count())) }

// Readers implements [storage.Divided].
func (s *rowScanner) Readers() int {
	if s.p.limit > 0 {
		return 1
	}
	return s.workers()
}

// Divide implements [storage.Divided].
func (s *rowScanner) Divide(n int) []storage.Reader {
	s.free = &freeBuffers{}
	readers := make([]storage.Reader, n)
	for i := range readers {
		readers[i] = &rowPart{s: s, r: s.reader()}
	}
	return readers
}

func (s *rowScanner) reader() *rowReader {
	return &rowReader{w: newWorker(s.p), room: s.lots.room, free: s.free}
}

// rowPart is one of the readers of a divided scan.
type rowPart struct {
	s    *rowScanner
	r    *rowReader
	lent *rowBuffer // of the latest batch
}

// Next implements [storage.Reader].
func (o *rowPart) Next(ctx context.Context) (*vec.Batch, error) {
	o.s.free.put(&o.lent)
	b, err := o.r.nextOf(ctx, o.s.lots)
	o.lent = b.buffer
	if err != nil && ctx.Err() != nil {
		err = cancelled(ctx.Err())
	}
	return b.Batch, err
}

// start lets workers read ahead.
func (s *rowScanner) start() {
	s.started = true
	// The workers outlive a call of Next, so they stop by Close and not by its context.
	s.ctx, s.cancel = context.WithCancel(context.Background())
	workers := s.workers()
	s.streams = make(chan *rowStream, workers)
	var mu sync.Mutex // keeps the streams in the order of their lots
	take := func() ([]series.ID, *rowStream) {
		mu.Lock()
		defer mu.Unlock()
		lot := s.lots.take()
		if lot == nil || s.ctx.Err() != nil {
			return nil, nil
		}
		stream := &rowStream{out: make(chan rowBatch, aheadBatches)}
		select {
		case s.streams <- stream:
		case <-s.ctx.Done():
			return nil, nil
		}
		return lot, stream
	}
	for range workers {
		s.wg.Go(func() {
			r := s.reader()
			defer r.w.release()
			for {
				lot, stream := take()
				if stream == nil {
					return
				}
				r.begin(lot)
				stream.err = r.sendAll(s.ctx, stream.out)
				close(stream.out)
			}
		})
	}
	go func() {
		s.wg.Wait()
		close(s.streams)
	}()
}

func (s *rowScanner) Next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, cancelled(err)
	}
	if s.left == 0 || s.closed {
		return nil, nil
	}
	s.free.put(&s.lent)
	b, err := s.next(ctx)
	if err != nil && ctx.Err() != nil {
		err = cancelled(ctx.Err())
	}
	if err != nil || b.Batch == nil {
		return nil, err
	}
	s.lent = b.buffer
	if int64(b.Len) > s.left {
		b.Batch = b.Slice(0, int(s.left))
	}
	s.left -= int64(b.Len)
	return b.Batch, nil
}

func (s *rowScanner) next(ctx context.Context) (rowBatch, error) {
	if s.alone == nil && !s.started {
		if s.workers() == 1 {
			s.alone = s.reader()
		} else {
			s.start()
		}
	}
	if s.alone != nil {
		return s.alone.nextOf(ctx, s.lots)
	}
	for {
		if s.stream == nil {
			select {
			case stream, ok := <-s.streams:
				if !ok {
					return rowBatch{}, nil
				}
				s.stream = stream
			case <-ctx.Done():
				return rowBatch{}, ctx.Err()
			}
		}
		select {
		case b, ok := <-s.stream.out:
			if ok {
				return b, nil
			}
			if err := s.stream.err; err != nil {
				return rowBatch{}, err
			}
			s.stream = nil
		case <-ctx.Done():
			return rowBatch{}, ctx.Err()
		}
	}
}

// lots is the series of a scan in pieces, for whoever takes the next one.
type lots struct {
	size int // series in a lot
	room int // rows that a batch is to have room for

	p *plan

	mu  sync.Mutex // guards ids
	ids []series.ID
}

// newLots makes a lot a few batches large.
func newLots(p *plan) *lots {
	rows := p.effortRows()
	perSeries := rows/int64(max(1, len(p.ids))) + 1
	return &lots{
		size: int(min(max(2*batchRows/perSeries, 1), 512)),
		room: int(min(rows+1, batchRows)),
		p:    p,
		ids:  p.ids,
	}
}

// count returns how many lots are left.
func (l *lots) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (len(l.ids) + l.size - 1) / l.size
}

// take returns the series of the next lot, or nil.
func (l *lots) take() []series.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(l.size, len(l.ids))
	if n == 0 {
		return nil
	}
	if o := l.p.ordered; o != nil && n < len(l.ids) { // partitions stay in one piece
		n += o.partition(l.p.series, l.ids[n-1:]) - 1
	}
	lot := l.ids[:n]
	l.ids = l.ids[n:]
	return lot
}
