package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/vec"
)

// sorter takes rows and gives them back in order; equal rows keep theirs. When it may not hold more
// (see [charge.full]) it sorts what it has and writes it to a run. At the end it merges the runs and what
// is still in memory.
type sorter struct {
	f     *frame
	keys  *sortSpec
	types []vec.Type // of the rows
	mem   *charge
	most  int // rows in a batch that leaves

	// Keys that are not columns are computed once, as they may be random, and carried behind the rows.
	carried []int      // their numbers
	at      []int      // per key: its column in what is carried
	kept    []vec.Type // of rows and carried keys
	store   *rowStore
	runs    []*spill.Run
	out     batches
}

// batches is a sequence of batches, as an operator gives it.
type batches interface {
	next(ctx context.Context) (*vec.Batch, error)
	close()
}

func newSorter(f *frame, keys *sortSpec, types []vec.Type, mem *charge) *sorter {
	s := &sorter{f: f, keys: keys, types: types, mem: mem, most: f.run.opt.BatchRows, kept: types[:len(types):len(types)]}
	for k, e := range keys.exprs {
		if c, ok := e.node.(columnEval); ok {
			s.at = append(s.at, int(c))
			continue
		}
		s.at = append(s.at, len(s.kept))
		s.carried = append(s.carried, k)
		s.kept = append(s.kept, e.t)
	}
	s.store = newRowStore(s.kept)
	return s
}

// add takes all rows of in.
func (s *sorter) add(ctx context.Context, in operator) error {
	borrow(in)
	for {
		b, err := in.next(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := s.put(ctx, b); err != nil {
			return err
		}
	}
}

// put takes the rows of b.
func (s *sorter) put(ctx context.Context, b *vec.Batch) error {
	b, err := s.keyed(ctx, b)
	if err != nil {
		return err
	}
	s.store.append(b)
	size := s.store.sizeBytes() + s.sortBytes()
	if s.mem.full(size) || s.store.n > maxStored {
		return s.spill(ctx)
	}
	if err := s.mem.set(size); err != nil {
		return err
	}
	return ctx.Err()
}

// keyed returns rows with what is carried behind them.
func (s *sorter) keyed(ctx context.Context, b *vec.Batch) (*vec.Batch, error) {
	if len(s.carried) == 0 {
		return b, nil
	}
	columns := append(make([]*vec.Vector, 0, len(s.kept)), b.Columns...)
	for _, k := range s.carried {
		v, err := s.keys.exprs[k].eval(ctx, s.f, b)
		if err != nil {
			return nil, err
		}
		columns = append(columns, retype(v, s.keys.exprs[k].t))
	}
	return &vec.Batch{Len: b.Len, Columns: columns}, nil
}

// maxStored keeps row numbers within their type.
const maxStored = 1<<31 - 1<<20

// sortBytes is what sorting the rows in memory takes beside them.
func (s *sorter) sortBytes() int64 {
	n := int64(s.store.n)
	switch {
	case len(s.at) > 1:
		return 44 * n // there may be long runs of rows whose numbers are equal
	case n < manyItems || len(s.at) == 1 && !s.store.cols[s.at[0]].short():
		return 36 * n
	}
	return 2*n + s.bucketBytes()
}

// storeBytes is what the rows in memory take while they are given out.
func (s *sorter) storeBytes() int64 {
	return s.store.sizeBytes() + min(4*int64(s.store.n), s.bucketBytes())
}

// bucketBytes is what the buckets take that are sorted at a time, of many rows, and the batches made of them.
func (s *sorter) bucketBytes() int64 {
	return int64(sortWorkers(manyItems, s.f.run.opt.Workers)) * (36*largeBucket + 8*4*bucketRows*int64(s.store.width))
}

// sorted returns what is in memory in order.
func (s *sorter) sorted(ctx context.Context) (*storedRows, error) {
	workers := sortWorkers(s.store.n, s.f.run.opt.Workers)
	s.store.settle()
	o := newOrdering(ctx, s.keys, s.store, s.at, workers)
	if err := o.prepare(); err != nil {
		return nil, err
	}
	buckets, err := o.buckets()
	if err != nil {
		return nil, err
	}
	return &storedRows{o: o, buckets: buckets, most: s.most, workers: workers}, nil
}

// spill writes what is in memory to a run.
func (s *sorter) spill(ctx context.Context) error {
	rows, err := s.sorted(ctx)
	if err != nil {
		return err
	}
	w := s.f.run.newSpill(s.kept)
	for {
		b, err := rows.next(ctx)
		if err == nil && b != nil {
			err = w.append(ctx, b)
		}
		if err != nil {
			w.abort()
			return err
		}
		if b == nil {
			break
		}
	}
	run, err := w.finish(ctx)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, run)
	s.store = newRowStore(s.kept)
	return s.mem.set(0)
}

// finish returns the rows in order. Nothing is added any more.
func (s *sorter) finish(ctx context.Context) (batches, error) {
	if len(s.runs) == 0 {
		rows, err := s.sorted(ctx)
		if err != nil {
			return nil, err
		}
		s.out = rows
		if err := s.mem.set(s.storeBytes()); err != nil {
			return nil, err
		}
		return s.trimmed(), nil
	}
	if err := s.mergeDown(ctx); err != nil {
		return nil, err
	}
	var inputs []batches
	buffers := int64(0)
	for _, r := range s.runs {
		inputs = append(inputs, &runRows{run: r, reader: r.Read()})
		buffers += 2 * r.BatchBytes()
	}
	size := s.storeBytes() + buffers
	if s.store.n > 0 && s.mem.full(size) {
		if err := s.spill(ctx); err != nil {
			return nil, err
		}
		last := s.runs[len(s.runs)-1]
		inputs = append(inputs, &runRows{run: last, reader: last.Read()})
		size = buffers + 2*last.BatchBytes()
	} else if s.store.n > 0 {
		rows, err := s.sorted(ctx)
		if err != nil {
			return nil, err
		}
		rows.workers = 1
		inputs = append(inputs, rows)
	}
	s.out = newMerge(s.most, s.keys, s.at, s.kept, inputs)
	if err := s.mem.set(size); err != nil {
		return nil, err
	}
	return s.trimmed(), nil
}

// mergeDown merges neighbouring runs until their readers' batches fit into memory.
func (s *sorter) mergeDown(ctx context.Context) error {
	for {
		largest := int64(1)
		for _, r := range s.runs {
			largest = max(largest, 2*r.BatchBytes())
		}
		fan := int(min(max(s.f.run.memory.limit/4/largest, 4), 128))
		if len(s.runs) <= fan {
			return nil
		}
		var merged []*spill.Run
		for from := 0; from < len(s.runs); from += fan {
			group := s.runs[from:min(from+fan, len(s.runs))]
			run, err := s.mergeRuns(ctx, group)
			if err != nil {
				return err
			}
			merged = append(merged, run)
		}
		s.runs = merged
	}
}

func (s *sorter) mergeRuns(ctx context.Context, group []*spill.Run) (*spill.Run, error) {
	if len(group) == 1 {
		return group[0], nil
	}
	inputs := make([]batches, len(group))
	for i, r := range group {
		inputs[i] = &runRows{run: r, reader: r.Read()}
	}
	m := newMerge(s.f.run.opt.BatchRows, s.keys, s.at, s.kept, inputs)
	defer m.close()
	w := s.f.run.newSpill(s.kept)
	for {
		b, err := m.next(ctx)
		if err == nil && b != nil {
			err = w.append(ctx, b)
		}
		if err != nil {
			w.abort()
			return nil, err
		}
		if b == nil {
			return w.finish(ctx)
		}
	}
}

// trimmed is out without the carried keys.
func (s *sorter) trimmed() batches {
	if len(s.carried) == 0 {
		return s.out
	}
	return &firstColumns{s.out, len(s.types)}
}

// close drops everything.
func (s *sorter) close() {
	if s.out != nil {
		s.out.close()
	}
	for _, r := range s.runs {
		r.Remove()
	}
	s.runs, s.store = nil, nil
	s.mem.release()
}

// noRows is what a closed operator gives.
type noRows struct{}

func (noRows) next(context.Context) (*vec.Batch, error) { return nil, nil }
func (noRows) close()                                   {}

// emitted is an emitter of batches of most rows.
type emitted struct {
	emitter
	most int
}

func (o *emitted) next(ctx context.Context) (*vec.Batch, error) {
	return o.emitter.next(o.most), ctx.Err()
}

func (o *emitted) close() { o.emitter = emitter{b: &vec.Batch{}} }

// sequence is several batches one after the other.
type sequence []batches

func (o *sequence) next(ctx context.Context) (*vec.Batch, error) {
	for len(*o) > 0 {
		b, err := (*o)[0].next(ctx)
		if b != nil || err != nil {
			return b, err
		}
		(*o)[0].close()
		*o = (*o)[1:]
	}
	return nil, nil
}

func (o *sequence) close() {
	for _, in := range *o {
		in.close()
	}
	*o = nil
}

// firstColumns leaves columns out.
type firstColumns struct {
	batches
	n int
}

func (o *firstColumns) next(ctx context.Context) (*vec.Batch, error) {
	b, err := o.batches.next(ctx)
	if b != nil {
		b = &vec.Batch{Len: b.Len, Columns: b.Columns[:o.n]}
	}
	return b, err
}

// runRows gives the rows of a run and removes it at the end.
type runRows struct {
	run    *spill.Run
	reader *spill.Reader
}

func (o *runRows) next(ctx context.Context) (*vec.Batch, error) {
	b, err := o.reader.Next(ctx)
	if b == nil && err == nil {
		o.close()
	}
	return b, err
}

func (o *runRows) close() {
	o.reader.Close()
	o.run.Remove()
}
