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
	if len(s.carried) > 0 {
		columns := append(make([]*vec.Vector, 0, len(s.kept)), b.Columns...)
		for _, k := range s.carried {
			v, err := s.keys.exprs[k].eval(ctx, s.f, b)
			if err != nil {
				return err
			}
			columns = append(columns, retype(v, s.keys.exprs[k].t))
		}
		b = &vec.Batch{Len: b.Len, Columns: columns}
	}
	s.store.append(b)
	size := s.store.sizeBytes() + s.keys.sortBytes(s.store.n)
	if s.mem.full(size) || s.store.n > maxStored {
		return s.spill(ctx)
	}
	if err := s.mem.set(size); err != nil {
		return err
	}
	return ctx.Err()
}

// maxStored keeps row numbers within their type.
const maxStored = 1<<31 - 1<<20

// sorted returns what is in memory in order.
func (s *sorter) sorted(ctx context.Context) (*storedRows, error) {
	workers := sortWorkers(s.store.n, s.f.run.opt.Workers)
	s.store.settle()
	order, err := s.keys.orderStore(ctx, s.store, s.at, workers)
	if err != nil {
		return nil, err
	}
	if inPlace(order) {
		return &storedRows{rows: s.store, most: s.most, workers: 1}, nil
	}
	return &storedRows{rows: s.store, order: order, most: s.most, workers: workers}, nil
}

// inPlace reports whether order is 0, 1, …; where it is not, that shows early as a rule.
func inPlace(order []int32) bool {
	for i, r := range order {
		if int(r) != i {
			return false
		}
	}
	return true
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
		if err := s.mem.set(s.store.sizeBytes() + 4*int64(s.store.n)); err != nil {
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
	size := s.store.sizeBytes() + 4*int64(s.store.n) + buffers
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

// storedRows gives rows of a store in an order. Several workers gather a few batches ahead.
type storedRows struct {
	rows    *rowStore
	order   []int32 // nil: as they stand
	most    int     // rows in a batch
	workers int
	at      int
	ahead   []*vec.Batch
	rounds  int
	inPlace []int32 // scratch
}

func (o *storedRows) next(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.order == nil {
		return o.slice(), nil
	}
	if len(o.ahead) == 0 {
		left := (len(o.order) - o.at + o.most - 1) / o.most
		if left <= 0 {
			return nil, nil
		}
		// Whoever wants a few rows only should not pay for many.
		n := min(1<<min(o.rounds, 3)*o.workers, left)
		if o.workers == 1 {
			n = 1
		}
		o.rounds++
		o.ahead = make([]*vec.Batch, n)
		from := o.at
		err := inParallel(ctx, o.workers, n, func(i int) error {
			begin := from + i*o.most
			o.ahead[i] = o.rows.gather(o.order[begin:min(begin+o.most, len(o.order))])
			return nil
		})
		if err != nil {
			return nil, err
		}
		o.at = min(from+n*o.most, len(o.order))
	}
	b := o.ahead[0]
	o.ahead = o.ahead[1:]
	return b, nil
}

// slice returns the next rows as they stand in the store.
func (o *storedRows) slice() *vec.Batch {
	if o.rows == nil || o.at == o.rows.n {
		return nil
	}
	o.inPlace = o.inPlace[:0]
	for to := min(o.rows.n, o.at+o.most); o.at < to; o.at++ {
		o.inPlace = append(o.inPlace, int32(o.at))
	}
	return o.rows.gather(o.inPlace)
}

func (o *storedRows) close() { o.rows, o.order, o.ahead = nil, nil, nil }

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
