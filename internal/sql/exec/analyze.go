package exec

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// measure is what one operator did, over all its instances and workers.
type measure struct {
	rows    atomic.Int64
	bytes   atomic.Int64      // of these, as vectors
	read    storage.ScanStats // by scanners that are closed
	open    storage.Scanner
	took    atomic.Int64 // ns, inputs included; of workers at the same time, the sum
	spilled atomic.Int64 // written to temporary files
	held    int64        // memory charged now; guarded by the account, as is peak
	peak    int64        // most of it
	applied *storage.Applied
}

// measured wraps an operator to measure it. While an operator works, it is the one that memory is put
// down to where a charge does not know its own (see run.chargeOf).
type measured struct {
	operator
	run *run
	m   *measure
}

func (o *measured) next(ctx context.Context) (*vec.Batch, error) {
	defer o.run.works(o.m)()
	began := time.Now()
	b, err := o.operator.next(ctx)
	o.m.took.Add(int64(time.Since(began)))
	if b != nil {
		o.m.gave(b)
	}
	return b, err
}

// measuredReader measures one of the readers of a source.
type measuredReader struct {
	reader
	m *measure
}

func (o measuredReader) next(ctx context.Context) (*vec.Batch, error) {
	began := time.Now()
	b, err := o.reader.next(ctx)
	o.m.took.Add(int64(time.Since(began)))
	if b != nil {
		o.m.gave(b)
	}
	return b, err
}

// gave counts a batch that the operator gives.
func (m *measure) gave(b *vec.Batch) {
	m.rows.Add(int64(b.Len))
	size := int64(0)
	for _, c := range b.Columns {
		if c != nil { // a column of a join that nobody reads
			size += vectorBytes(c)
		}
	}
	m.bytes.Add(size)
}

func (o *measured) close() {
	defer o.run.works(o.m)()
	o.operator.close()
}

// works makes m the measure of the operator that runs, until the function it returns is called.
func (r *run) works(m *measure) func() {
	before := r.working.Swap(m)
	return func() { r.working.Store(before) }
}

// noteSpilled puts bytes written to temporary files down to an operator, by default the one that runs.
func (r *run) noteSpilled(m *measure, bytes int64) {
	if m == nil {
		m = r.working.Load()
	}
	if m != nil {
		m.spilled.Add(bytes)
	}
}

// chargeOf returns a charge that is put down to node n, if operators are measured.
func (r *run) chargeOf(n plan.Node) charge {
	c := charge{of: &r.memory}
	if r.measures != nil && n != nil {
		c.m = r.measureOf(n)
	}
	return c
}

// measuredStage measures a stage: the rows that it gives and the time of its workers, that of what comes
// after not included. What its inputs took is added when all is done.
type measuredStage struct {
	stage
	m   *measure
	own *atomic.Int64 // ns
}

func (s measuredStage) ready(ctx context.Context) error {
	defer s.add(time.Now())
	return s.stage.ready(ctx)
}

func (s measuredStage) add(began time.Time) { s.own.Add(int64(time.Since(began))) }

func (s measuredStage) worker() worker { return &measuredWorker{s, s.stage.worker()} }

func (s measuredStage) rest(ctx context.Context, emit emitFunc) error {
	return s.measure(ctx, emit, func(emit emitFunc) error { return s.stage.rest(ctx, emit) })
}

// measure runs f, which emits rows.
func (s measuredStage) measure(ctx context.Context, emit emitFunc, f func(emit emitFunc) error) error {
	began, after := time.Now(), time.Duration(0)
	err := f(func(ctx context.Context, b *vec.Batch) error {
		s.m.gave(b)
		handed := time.Now()
		err := emit(ctx, b)
		after += time.Since(handed)
		return err
	})
	s.own.Add(int64(time.Since(began) - after))
	return err
}

type measuredWorker struct {
	measuredStage
	in worker
}

func (w *measuredWorker) apply(ctx context.Context, b *vec.Batch, emit emitFunc) error {
	return w.measure(ctx, emit, func(emit emitFunc) error { return w.in.apply(ctx, b, emit) })
}

// measureOf returns the measure of a node.
func (r *run) measureOf(n plan.Node) *measure {
	m := r.measures[n]
	if m == nil {
		m = &measure{}
		r.measures[n] = m
	}
	return m
}

// note is what Explain writes behind a node.
func (r *run) note(n plan.Node) string {
	m := r.measures[n]
	if m == nil {
		return ""
	}
	a := m.applied
	text := fmt.Sprintf(" (%d rows, %s, %v", m.rows.Load(), spill.SizeText(m.bytes.Load()), time.Duration(m.took.Load()).Round(time.Microsecond))
	if a != nil && a.Aggregation {
		text = " (grouped by storage"
	}
	if a != nil {
		read := m.read
		if m.open != nil {
			read = addStats(read, m.open.Stats())
		}
		text += readText(read)
	}
	if m.peak > 0 {
		text += ", memory " + spill.SizeText(m.peak)
	}
	if spilled := m.spilled.Load(); spilled > 0 {
		text += ", spilled " + spill.SizeText(spilled)
	}
	if a != nil && !a.Aggregation && slices.Contains(a.Where, false) {
		text += ", filtered by the executor"
	}
	if scan, ok := n.(*plan.Scan); ok && a != nil && len(scan.Spec.Order) > 0 && !a.Order {
		text += ", in another order"
	}
	return text + ")"
}

// readText is what a scan read, and of how much.
func readText(s storage.ScanStats) string {
	text := ", read " + spill.SizeText(s.BytesScanned)
	for _, part := range []struct {
		read, skipped int64
		what          string
	}{{s.SeriesRead, s.SeriesSkipped, "series"}, {s.SegmentsRead, s.SegmentsSkipped, "segments"}, {s.BlocksRead, s.BlocksSkipped, "blocks"}} {
		if all := part.read + part.skipped; all > 0 {
			text += fmt.Sprintf(", %d of %d %s", part.read, all, part.what)
		}
	}
	return text
}

// noteScan tells the measure of a scan of the scanner it opens, or with nil closes.
func (m *measure) noteScan(s storage.Scanner, applied *storage.Applied) {
	if m.open != nil {
		m.read = addStats(m.read, m.open.Stats())
	}
	m.open = s
	if applied != nil {
		m.applied = applied
	}
}

// vectorBytes is what a vector's rows take, not what they share: entries of dictionaries do not count.
func vectorBytes(v *vec.Vector) int64 {
	n := int64(v.Len())
	switch v.Form {
	case vec.Constant:
		return 0
	case vec.Dictionary:
		return 4 * n
	}
	size := int64(len(v.Nulls))
	switch v.Type.Kind.Storage() {
	case vec.StoreInts, vec.StoreFloats:
		return size + 8*n
	case vec.StoreBools:
		return size + n
	case vec.StoreStrs:
		for _, s := range v.Strs {
			size += int64(len(s))
		}
		return size + 16*n
	case vec.StoreNested:
		if v.Type.Kind != vec.Row {
			size += 4 * n
			if n == 0 {
				return size
			}
			for _, c := range v.Children {
				size += vectorBytes(c.Slice(int(v.Offsets[0]), int(v.Offsets[n])))
			}
			return size
		}
		for _, c := range v.Children {
			size += vectorBytes(c)
		}
	}
	return size
}
