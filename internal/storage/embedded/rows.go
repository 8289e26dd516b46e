package embedded

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"
	"sync"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// ownBatchRows is how many rows of one series make a batch of their own, which
// shares the slices of the store; fewer are copied together with other series'.
const (
	ownBatchRows    = 256
	joinedBatchRows = 4096
)

// rowScanner gives the rows of a scan series by series. Workers take lots of series
// and each lot has a stream of its own; Next reads the streams in the order in which
// the lots were taken, so every series stays in one piece. A worker runs ahead by a
// few batches at most.
type rowScanner struct {
	p       *plan
	applied storage.Applied
	left    int64 // rows until the limit
	closed  bool

	started bool
	ctx     context.Context
	cancel  context.CancelFunc
	streams chan *rowStream
	stream  *rowStream // being read
	wg      sync.WaitGroup
}

// rowStream is the batches of one lot. err is valid once out is closed.
type rowStream struct {
	out chan *vec.Batch
	err error
}

// aheadBatches is how many batches of a lot may wait to be read.
const aheadBatches = 4

func newRowScanner(p *plan, applied storage.Applied) *rowScanner {
	s := &rowScanner{p: p, applied: applied, left: p.limit}
	if s.left <= 0 {
		s.left = math.MaxInt64
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
	s.p.release()
}

func (s *rowScanner) start() {
	s.started = true
	// The workers outlive a call of Next, so they stop by Close and not by its context.
	s.ctx, s.cancel = context.WithCancel(context.Background())
	rows := s.p.effortRows()
	size := s.lotSize(rows)
	workers := max(1, min(s.p.workers(), (len(s.p.ids)+size-1)/size))
	s.streams = make(chan *rowStream, workers)
	var mu sync.Mutex // guards ids, and keeps the streams in the order of their lots
	ids := s.p.ids
	take := func() ([]series.ID, *rowStream) {
		mu.Lock()
		defer mu.Unlock()
		if len(ids) == 0 || s.ctx.Err() != nil {
			return nil, nil
		}
		stream := &rowStream{out: make(chan *vec.Batch, aheadBatches)}
		select {
		case s.streams <- stream:
		case <-s.ctx.Done():
			return nil, nil
		}
		n := min(size, len(ids))
		lot := ids[:n]
		ids = ids[n:]
		return lot, stream
	}
	room := int(min(rows/int64(workers)+1, joinedBatchRows))
	for range workers {
		s.wg.Go(func() {
			r := rowReader{w: worker{p: s.p}, joined: joinedRows{room: room}}
			for {
				lot, stream := take()
				if stream == nil {
					return
				}
				stream.err = surviving(func() error { return r.read(s.ctx, lot, stream.out) })
				close(stream.out)
			}
		})
	}
	go func() {
		s.wg.Wait()
		close(s.streams)
	}()
}

// lotSize makes a lot a few batches large; rows is how many the scan may look at.
func (s *rowScanner) lotSize(rows int64) int {
	perSeries := rows/int64(max(1, len(s.p.ids))) + 1
	return int(min(max(2*joinedBatchRows/perSeries, 1), 512))
}

func (s *rowScanner) Next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, cancelled(err)
	}
	if s.left == 0 || s.closed {
		return nil, nil
	}
	if !s.started {
		s.start()
	}
	for {
		if s.stream == nil {
			select {
			case stream, ok := <-s.streams:
				if !ok {
					return nil, nil
				}
				s.stream = stream
			case <-ctx.Done():
				return nil, cancelled(ctx.Err())
			}
		}
		select {
		case b, ok := <-s.stream.out:
			if !ok {
				if err := s.stream.err; err != nil {
					return nil, err
				}
				s.stream = nil
				continue
			}
			if int64(b.Len) > s.left {
				b = b.Slice(0, int(s.left))
			}
			s.left -= int64(b.Len)
			return b, nil
		case <-ctx.Done():
			return nil, cancelled(ctx.Err())
		}
	}
}

// rowReader turns series into batches, for one worker.
type rowReader struct {
	w      worker
	joined joinedRows
}

// read sends the batches of a lot.
func (r *rowReader) read(ctx context.Context, lot []series.ID, out chan<- *vec.Batch) error {
	emit := func(b *vec.Batch) error {
		select {
		case out <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, id := range lot {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.series(id, emit); err != nil {
			return err
		}
	}
	return r.flush(emit)
}

// flush sends the joined rows, if there are any.
func (r *rowReader) flush(emit func(*vec.Batch) error) error {
	if len(r.joined.ids) == 0 {
		return nil
	}
	return emit(r.joined.batch(r.w.p))
}

func (r *rowReader) series(id series.ID, emit func(*vec.Batch) error) error {
	p := r.w.p
	runs, err := r.w.gather(id)
	if err != nil {
		return err
	}
	for _, run := range runs {
		sp, err := r.w.narrow(run)
		if err != nil {
			return err
		}
		n := sp.rows()
		if n == 0 {
			continue
		}
		if n < ownBatchRows {
			if err := r.joined.add(p, &sp, id); err != nil {
				return err
			}
			if len(r.joined.ids) >= joinedBatchRows {
				if err := r.flush(emit); err != nil {
					return err
				}
			}
			continue
		}
		if err := r.flush(emit); err != nil { // the series stays in one piece, and in order
			return err
		}
		b, err := ownBatch(p, &sp, id)
		if err != nil {
			return err
		}
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// ownBatch makes a batch of one span.
func ownBatch(p *plan, s *span, id series.ID) (*vec.Batch, error) {
	n := s.rows()
	b := &vec.Batch{Len: n, Columns: make([]*vec.Vector, len(p.columns))}
	for i := range p.columns {
		c := &p.columns[i]
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			b.Columns[i] = constVector(c, p.series, id, n)
			continue
		}
		var v values
		if err := s.values(c, &v); err != nil {
			return nil, err
		}
		b.Columns[i] = v.vector(0, n)
	}
	if !s.some {
		handOver(s.run)
	}
	return b, nil
}

// handOver makes sure that the slices of a run, which a batch shares, are not decoded into again.
func handOver(r run) {
	switch r := r.(type) {
	case *segmentRun:
		if r.data != nil {
			r.data.handed = true
		}
	case *subRun:
		handOver(r.run)
	}
}

func constVector(c *scanColumn, v *series.View, id series.ID, n int) *vec.Vector {
	code, ok := c.code(v, id)
	switch {
	case !ok:
		return vec.NullsOf(vec.VarcharType, n)
	case c.Role == storage.MeasureName:
		return vec.Const(vec.Str(v.Measures()[code]), n)
	}
	return vec.Const(vec.Str(c.dim.Values[code]), n)
}

// joinedRows collects rows of several spans.
type joinedRows struct {
	ids     []series.ID // of each row
	columns []values
	room    int // for how many rows to make slices
}

func (j *joinedRows) add(p *plan, s *span, id series.ID) error {
	if j.columns == nil {
		j.columns = make([]values, len(p.columns))
		j.ids = make([]series.ID, 0, j.room)
	}
	before, n := len(j.ids), s.rows()
	for range n {
		j.ids = append(j.ids, id)
	}
	for i := range p.columns {
		c := &p.columns[i]
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			continue
		}
		var v values
		if err := s.values(c, &v); err != nil {
			return err
		}
		if before == 0 && !v.allNull {
			j.columns[i].reserve(v.kind, j.room)
		}
		j.columns[i].append(&v, before, n)
	}
	return nil
}

// reserve makes the slice of a column that has no rows yet.
func (v *values) reserve(kind vec.Kind, n int) {
	switch kind.Storage() {
	case vec.StoreFloats:
		v.floats = make([]float64, 0, n)
	case vec.StoreBools:
		v.bools = make([]bool, 0, n)
	case vec.StoreStrs:
		v.strs = make([]string, 0, n)
	default:
		v.ints = make([]int64, 0, n)
	}
}

// append adds n rows to a column that has some already. Columns without a value yet
// are allNull and cost nothing.
func (v *values) append(from *values, have, n int) {
	v.kind = from.kind
	if from.allNull && (have == 0 || v.allNull) {
		v.allNull = true
		return
	}
	if v.allNull {
		v.allNull = false
		v.nulls = slices.Repeat([]bool{true}, have)
		v.zeros(have)
	}
	if v.nulls == nil && (from.allNull || from.nulls != nil) {
		v.nulls = make([]bool, have, have+n)
	}
	switch {
	case v.nulls == nil:
	case from.nulls != nil:
		v.nulls = append(v.nulls, from.nulls...)
	default:
		for range n {
			v.nulls = append(v.nulls, from.allNull)
		}
	}
	if from.allNull {
		v.zeros(have + n)
		return
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		v.floats = append(v.floats, from.floats...)
	case vec.StoreBools:
		v.bools = append(v.bools, from.bools...)
	case vec.StoreStrs:
		v.strs = append(v.strs, from.strs...)
	default:
		v.ints = append(v.ints, from.ints...)
	}
}

// zeros fills the column up to n rows.
func (v *values) zeros(n int) {
	switch v.kind.Storage() {
	case vec.StoreFloats:
		v.floats = append(v.floats, make([]float64, n-len(v.floats))...)
	case vec.StoreBools:
		v.bools = append(v.bools, make([]bool, n-len(v.bools))...)
	case vec.StoreStrs:
		v.strs = append(v.strs, make([]string, n-len(v.strs))...)
	default:
		v.ints = append(v.ints, make([]int64, n-len(v.ints))...)
	}
}

// batch hands the rows over and starts anew.
func (j *joinedRows) batch(p *plan) *vec.Batch {
	n := len(j.ids)
	b := &vec.Batch{Len: n, Columns: make([]*vec.Vector, len(p.columns))}
	for i := range p.columns {
		c := &p.columns[i]
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			b.Columns[i] = c.keyVector(p.series, j.ids)
			continue
		}
		b.Columns[i] = j.columns[i].vector(0, n)
	}
	*j = joinedRows{room: j.room}
	return b
}

// maxTopRows is the greatest limit for which rows are given newest first.
const maxTopRows = 10_000

// topScanner gives the newest rows of a scan, newest first.
type topScanner struct {
	p       *plan
	applied storage.Applied
	done    bool
	closed  bool
}

func newTopScanner(p *plan, applied storage.Applied) *topScanner {
	return &topScanner{p: p, applied: applied}
}

func (s *topScanner) Applied() storage.Applied { return s.applied }

func (s *topScanner) Stats() storage.ScanStats { return s.p.report() }

func (s *topScanner) Close() {
	if !s.closed {
		s.closed = true
		s.p.release()
	}
}

// topRow is a row kept so far.
type topRow struct {
	time int64
	id   series.ID
	run  run
	at   int
}

// topHeap has the oldest row on top.
type topHeap []topRow

func (h topHeap) Len() int           { return len(h) }
func (h topHeap) Less(i, j int) bool { return h[i].time < h[j].time }
func (h topHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *topHeap) Push(x any)        { *h = append(*h, x.(topRow)) }
func (h *topHeap) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

func (s *topScanner) Next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, cancelled(err)
	}
	if s.done || s.closed {
		return nil, nil
	}
	s.done = true
	var top topHeap
	w := worker{p: s.p, keep: true}
	for i, id := range s.p.ids {
		if i&15 == 0 && ctx.Err() != nil {
			return nil, cancelled(ctx.Err())
		}
		if err := top.series(&w, id, int(s.p.limit)); err != nil {
			return nil, err
		}
	}
	if len(top) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(top, func(a, b topRow) int { return cmp.Compare(b.time, a.time) })
	return top.batch(s.p)
}

// series offers the rows of a series, newest first, until the heap wants no more.
func (h *topHeap) series(w *worker, id series.ID, limit int) error {
	runs, err := w.gather(id)
	if err != nil {
		return err
	}
	for k := len(runs) - 1; k >= 0; k-- {
		_, _, newest := runs[k].span()
		if len(*h) == limit && newest <= (*h)[0].time {
			return nil
		}
		s, err := w.narrow(runs[k])
		if err != nil {
			return err
		}
		if s.rows() == 0 {
			continue
		}
		times, err := s.times()
		if err != nil {
			return err
		}
		for n := s.rows() - 1; n >= 0; n-- {
			at := s.lo + n
			if s.some {
				at = int(s.picked[n])
			}
			switch {
			case len(*h) < limit:
				heap.Push(h, topRow{times[at], id, s.run, at})
			case times[at] > (*h)[0].time:
				(*h)[0] = topRow{times[at], id, s.run, at}
				heap.Fix(h, 0)
			default:
				return nil
			}
		}
	}
	return nil
}

// batch reads the columns of the rows kept.
func (h topHeap) batch(p *plan) (*vec.Batch, error) {
	ids := make([]series.ID, len(h))
	for i := range h {
		ids[i] = h[i].id
	}
	b := &vec.Batch{Len: len(h), Columns: make([]*vec.Vector, len(p.columns))}
	for i := range p.columns {
		c := &p.columns[i]
		switch c.Role {
		case storage.Dimension, storage.MeasureName:
			b.Columns[i] = c.keyVector(p.series, ids)
		case storage.TimeColumn:
			times := make([]int64, len(h))
			for k := range h {
				times[k] = h[k].time
			}
			b.Columns[i] = vec.OfInts(vec.TimestampType, times, nil)
		default:
			var err error
			if b.Columns[i], err = h.column(c); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func (h topHeap) column(c *scanColumn) (*vec.Vector, error) {
	read := map[run]*values{}
	out := values{kind: c.col.Kind}
	for k := range h {
		v := read[h[k].run]
		if v == nil {
			v = &values{}
			if err := h[k].run.column(c.col, v); err != nil {
				return nil, err
			}
			read[h[k].run] = v
		}
		one := v.gather([]int32{int32(h[k].at)})
		out.append(&one, k, 1)
	}
	return out.vector(0, len(h)), nil
}
