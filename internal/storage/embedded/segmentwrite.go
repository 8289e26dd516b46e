package embedded

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// isText reports whether a column is of strings.
func isText(c memstore.Col) bool { return c.Kind == vec.Varchar }

// writeFrozen writes a frozen store as segments, one per day.
func (s *Store) writeFrozen(ctx context.Context, t *table, f *frozenStore) ([]segmentMeta, error) {
	deletes := t.view.Load().deletes
	p := &plan{table: t, view: &view{frozen: []*frozenStore{f}}, schema: f.observed, cleared: upTo(f.last, deletes)}
	p.series = t.registry.View()
	p.subject(deletes)
	days := map[int64]bool{}
	var chunks []memstore.Chunk
	all := f.All()
	for id := range all {
		series := all[id].Load()
		if series == nil {
			continue
		}
		p.ids = append(p.ids, uint32(id))
		chunks = series.Snapshot(f.Store, chunks[:0])
		for i := range chunks {
			addDays(days, asInts(chunks[i].TimeBits()))
		}
	}
	return s.writeRows(ctx, t, p, slices.Sorted(maps.Keys(days)))
}

// addDays adds the days of sorted times.
func addDays(days map[int64]bool, times []int64) {
	for len(times) > 0 {
		day := dayOf(times[0])
		days[day] = true
		at, _ := slices.BinarySearch(times, (day+1)*dayNs)
		times = times[at:]
	}
}

// writeRows writes what a plan reads of the given days, a segment for each that has
// rows. After an error the segments returned are written but incomplete as a set.
func (s *Store) writeRows(ctx context.Context, t *table, p *plan, days []int64) (metas []segmentMeta, err error) {
	low := t.low()
	slices.SortFunc(p.ids, p.series.Compare)
	for i, c := range p.schema.Columns {
		if id := p.schema.ids[i]; id >= 0 {
			p.columns = append(p.columns, scanColumn{Column: c, col: memstore.Col{ID: id, Kind: c.Type.Kind}})
		}
	}
	for _, day := range days {
		p.from, p.to = max(low, day*dayNs), (day+1)*dayNs
		if p.from >= p.to {
			continue
		}
		w := &segmentWriter{store: s, p: p, name: s.segmentName(t, day)}
		meta, err := w.write(ctx)
		if err != nil {
			return append(metas, segmentMeta{Name: w.name}), err
		}
		if meta.Rows > 0 {
			meta.Deleted = p.cleared
			metas = append(metas, meta)
		}
	}
	return metas, nil
}

// segmentName makes an object key that was never used; the counter becomes durable
// with the manifest that names the segment.
func (s *Store) segmentName(t *table, day int64) string {
	date := time.Unix(day*24*60*60, 0).UTC().Format("20060102")
	return fmt.Sprintf("t%d/%s-%d.seg", t.uid, date, s.nextSegment.Add(1))
}

// segmentWriter writes the rows of a plan's time range as one segment.
type segmentWriter struct {
	store *Store
	p     *plan
	name  string
	w     *segment.Writer
	meta  segmentMeta

	// Of the series at hand, used again for the next.
	begun           bool // rows of it were written
	times, versions []int64
	dims            []storage.Dim
	spans           []span
	data            []segment.Data
	read            []values // columns that are of one run
	joined          []values // columns that are of several runs
}

// write makes the segment an object as it is written, without holding all of it.
func (w *segmentWriter) write(ctx context.Context) (segmentMeta, error) {
	w.data, w.read, w.joined = make([]segment.Data, len(w.p.columns)), make([]values, len(w.p.columns)), make([]values, len(w.p.columns))
	reader, pipe := io.Pipe()
	columns := make([]storage.Column, len(w.p.columns))
	for i := range columns {
		columns[i] = w.p.columns[i].Column
	}
	var put chan error
	begin := func() {
		put = make(chan error, 1)
		w.w = segment.NewWriter(pipe, columns)
		go func() {
			err := surviving(func() error { return w.store.objects.Put(ctx, w.name, reader) })
			reader.CloseWithError(err) // or the writer would wait for ever
			put <- err
		}()
	}
	err := w.series(ctx, begin)
	if w.w == nil { // nothing to write
		return segmentMeta{}, err
	}
	if err == nil {
		w.meta.Name, w.meta.Rows = w.name, w.w.Rows()
		w.meta.MinTime, w.meta.MaxTime = w.w.Span()
		w.meta.Bytes, err = w.w.Finish()
	}
	pipe.CloseWithError(err) // nil is the end of the object
	if putErr := <-put; err == nil {
		err = putErr
	}
	return w.meta, err
}

func (w *segmentWriter) series(ctx context.Context, begin func()) error {
	reader := worker{p: w.p}
	from, to := w.p.from, w.p.to
	defer func() { w.p.from, w.p.to = from, to }()
	for i, id := range w.p.ids {
		if i&63 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		w.begun = false
		if err := w.stretch(ctx, &reader, id, stretch{from: from, to: to}, begin); err != nil {
			return err
		}
	}
	return nil
}

// stretchRows is about how many rows of a series are held in memory, whatever it has in a day.
const stretchRows = 128 << 10

// stretch is a range of time that is written as a whole if it has few enough rows.
type stretch struct {
	from, to int64
	rows     int // at most in the range that it is half of
	vain     int // halvings that made nothing less
}

// mostVain is how many halvings in a row may make nothing less: rows may all lie in one half, or a block be
// as long as the range.
const mostVain = 4

// stretch writes the rows of a series in a range of time, which it halves until they are few enough.
func (w *segmentWriter) stretch(ctx context.Context, reader *worker, id series.ID, s stretch, begin func()) error {
	if rows := w.p.atMost(id, s.from, s.to); rows > w.store.opts.stretchRows && s.to-s.from > 1 && s.vain < mostVain {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rows == s.rows {
			s.vain++
		} else {
			s.vain = 0
		}
		s.rows = rows
		left, right := s, s
		left.to = s.from + (s.to-s.from)/2
		right.from = left.to
		if err := w.stretch(ctx, reader, id, left, begin); err != nil {
			return err
		}
		return w.stretch(ctx, reader, id, right, begin)
	}
	w.p.from, w.p.to = s.from, s.to
	runs, err := reader.gather(id)
	if err != nil {
		return err
	}
	return w.one(reader, id, runs, begin)
}

// atMost returns how many rows of a series segments may have in a range of time, superseded ones included.
func (p *plan) atMost(id series.ID, from, to int64) (rows int) {
	for _, s := range p.segments {
		rows += s.rowsOf(id, from, to)
	}
	return rows
}

// one writes rows of one series, which are later than those it wrote of it before.
func (w *segmentWriter) one(reader *worker, id series.ID, runs []run, begin func()) error {
	w.times, w.versions = w.times[:0], w.versions[:0]
	spans := w.spans[:0]
	for _, r := range runs {
		s, err := reader.narrow(r)
		if err != nil {
			return err
		}
		if s.rows() == 0 {
			continue
		}
		if err := w.stamps(&s); err != nil {
			return err
		}
		spans = append(spans, s)
	}
	w.spans = spans
	if len(spans) == 0 {
		return nil
	}
	if w.w == nil {
		begin()
	}
	for i := range w.p.columns {
		var err error
		if w.data[i], err = w.column(spans, i); err != nil {
			return err
		}
	}
	if w.begun {
		return w.w.More(w.times, w.versions, w.data)
	}
	w.begun = true
	s := segment.Series{}
	s.Measure, s.Dims, s.Codes = w.p.series.Coded(id, w.dims[:0])
	w.dims = s.Dims
	w.meta.Series++
	return w.w.Add(s, w.times, w.versions, w.data)
}

// stamps adds the times and versions of a span.
func (w *segmentWriter) stamps(s *span) error {
	times, err := s.times()
	if err != nil {
		return err
	}
	w.times = append(w.times, times[s.lo:s.hi]...)
	stored, err := s.run.versions()
	if err != nil {
		return err
	}
	if stored != nil {
		w.versions = append(w.versions, stored[s.lo:s.hi]...)
		return nil
	}
	for range s.hi - s.lo {
		w.versions = append(w.versions, 1)
	}
	return nil
}

// column returns a column of all spans, of one span without a copy. It is valid until the next call for it.
func (w *segmentWriter) column(spans []span, i int) (segment.Data, error) {
	c := &w.p.columns[i]
	if len(spans) == 1 {
		v := &w.read[i]
		err := spans[0].values(c, v)
		return v.data(), err
	}
	out := &w.joined[i]
	clear(out.strs)
	*out = values{ints: out.ints[:0], floats: out.floats[:0], bools: out.bools[:0], strs: out.strs[:0]}
	have := 0
	for k := range spans {
		v := &w.read[i]
		if err := spans[k].values(c, v); err != nil {
			return segment.Data{}, err
		}
		n := spans[k].rows()
		out.append(v, have, n)
		have += n
	}
	return out.data(), nil
}

// data returns the column as a segment's writer takes it.
func (v *values) data() segment.Data {
	if v.allNull {
		return segment.Data{}
	}
	switch v.kind.Storage() {
	case vec.StoreFloats:
		return segment.Data{Floats: v.floats, Nulls: v.nulls}
	case vec.StoreBools:
		return segment.Data{Bools: v.bools, Nulls: v.nulls}
	case vec.StoreStrs:
		return segment.Data{Strs: v.strs, Nulls: v.nulls}
	}
	return segment.Data{Ints: v.ints, Nulls: v.nulls}
}
