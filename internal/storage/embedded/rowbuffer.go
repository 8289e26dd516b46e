package embedded

import (
	"slices"
	"sync"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/vec"
)

// rowBuffer collects the rows of spans for a batch, which shares its slices. Blocks are decoded into their
// place in it. Its memory may serve again once the batch is done with.
type rowBuffer struct {
	p       *plan
	n       int       // rows
	series  []idRows  // whose rows they are, in order
	columns []outputs // of values and time
	codes   [][]int32 // of dimensions and measure names, for use again
}

// idRows is so many rows of a series.
type idRows struct {
	id   series.ID
	rows int
}

// outputs is a column of a rowBuffer: values as package vec lays them out.
type outputs struct {
	kind    vec.Kind
	room    int // slices are made for so many rows
	n       int // rows
	allNull bool
	nulls   []bool // as long as the rows, if some is null; else empty
	ints    []int64
	floats  []float64
	bools   []bool
	strs    []string
}

// freeBuffers keeps buffers whose batches are done with. Nil, for batches that stay valid, keeps none. It
// is safe for concurrent use.
type freeBuffers struct {
	mu   sync.Mutex // guards list
	list []*rowBuffer
}

// get returns an empty buffer.
func (f *freeBuffers) get(p *plan, room int) *rowBuffer {
	if f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.list); n > 0 {
			b := f.list[n-1]
			f.list = f.list[:n-1]
			b.reset()
			return b
		}
	}
	b := &rowBuffer{p: p, columns: make([]outputs, len(p.columns)), codes: make([][]int32, len(p.columns))}
	for i := range p.columns {
		b.columns[i] = outputs{kind: p.columns[i].Type.Kind, room: room}
	}
	return b
}

// put takes a buffer back, if there is one: the batch that was made of it is done with.
func (f *freeBuffers) put(b **rowBuffer) {
	if f != nil && *b != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.list = append(f.list, *b)
	}
	*b = nil
}

func (b *rowBuffer) reset() {
	b.n, b.series = 0, b.series[:0]
	for i := range b.columns {
		b.columns[i].reset()
	}
}

// add appends the rows of a span of a series.
func (b *rowBuffer) add(s *span, id series.ID) error {
	n := s.rows()
	b.addID(id, n)
	b.n += n
	for i := range b.p.columns {
		c := &b.p.columns[i]
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			continue
		}
		if err := b.columns[i].addSpan(s, c); err != nil {
			return err
		}
	}
	return nil
}

// addMixed appends rows of another buffer, in the order of pick.
func (b *rowBuffer) addMixed(from *rowBuffer, pick []int32) {
	of := from.idOfRows()
	for _, i := range pick {
		b.addID(of[i], 1)
	}
	b.n += len(pick)
	for i := range b.p.columns {
		if c := &b.p.columns[i]; c.Role != storage.Dimension && c.Role != storage.MeasureName {
			v := from.columns[i].values()
			b.columns[i].addPicked(&v, pick)
		}
	}
}

// idOfRows returns the series of each row.
func (b *rowBuffer) idOfRows() []series.ID {
	ids := make([]series.ID, 0, b.n)
	for _, s := range b.series {
		for range s.rows {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// addID notes n more rows of a series.
func (b *rowBuffer) addID(id series.ID, n int) {
	if k := len(b.series); k > 0 && b.series[k-1].id == id {
		b.series[k-1].rows += n
	} else {
		b.series = append(b.series, idRows{id, n})
	}
}

// batch hands the rows over.
func (b *rowBuffer) batch() *vec.Batch {
	out := &vec.Batch{Len: b.n, Columns: make([]*vec.Vector, len(b.p.columns))}
	for i := range b.p.columns {
		c := &b.p.columns[i]
		if c.Role == storage.Dimension || c.Role == storage.MeasureName {
			out.Columns[i] = b.key(i)
			continue
		}
		out.Columns[i] = b.columns[i].vector()
	}
	return out
}

// key returns a dimension or measure name of the rows.
func (b *rowBuffer) key(i int) *vec.Vector {
	c, v := &b.p.columns[i], b.p.series
	if len(b.series) == 1 {
		return constVector(c, v, b.series[0].id, b.n)
	}
	codes := slices.Grow(b.codes[i][:0], b.n)[:b.n]
	b.codes[i] = codes
	missing := false
	null := int32(c.dictionary.size(c, v))
	for _, s := range b.series {
		code, ok := c.code(v, s.id)
		x := int32(code)
		if !ok {
			x, missing = null, true
		}
		for k := range codes[:s.rows] {
			codes[k] = x
		}
		codes = codes[s.rows:]
	}
	return vec.OfDict(b.codes[i], c.dictionary.vector(c, v, missing))
}

// keyDictionary is the values of a dimension or of the measure names, the same vector for all batches of a scan:
// who keeps what it computed of a dictionary knows it again.
type keyDictionary struct {
	mu        sync.Mutex // guards the fields below
	plain     *vec.Vector
	nullAsEnd *vec.Vector // with null behind them
}

func (d *keyDictionary) values(c *scanColumn, v *series.View) []string {
	if c.Role == storage.Dimension {
		return c.dim.Values
	}
	return v.Measures()
}

func (d *keyDictionary) size(c *scanColumn, v *series.View) int { return len(d.values(c, v)) }

func (d *keyDictionary) vector(c *scanColumn, v *series.View, missing bool) *vec.Vector {
	d.mu.Lock()
	defer d.mu.Unlock()
	values := d.values(c, v)
	if !missing {
		if d.plain == nil {
			d.plain = vec.OfStrs(values, nil)
		}
		return d.plain
	}
	if d.nullAsEnd == nil {
		nulls := make([]bool, len(values)+1)
		nulls[len(values)] = true
		d.nullAsEnd = vec.OfStrs(append(values[:len(values):len(values)], ""), nulls)
	}
	return d.nullAsEnd
}

func (o *outputs) reset() {
	poison(o)
	o.n, o.allNull = 0, false
	o.nulls, o.ints, o.floats, o.bools, o.strs = o.nulls[:0], o.ints[:0], o.floats[:0], o.bools[:0], o.strs[:0]
}

// vector returns the column; without a value it is a constant.
func (o *outputs) vector() *vec.Vector {
	t := vec.Type{Kind: o.kind}
	if o.allNull {
		return vec.NullsOf(t, o.n)
	}
	var nulls []bool
	if len(o.nulls) > 0 {
		nulls = o.nulls
	}
	switch o.kind.Storage() {
	case vec.StoreFloats:
		return vec.OfFloats(o.floats, nulls)
	case vec.StoreBools:
		return vec.OfBools(o.bools, nulls)
	case vec.StoreStrs:
		return vec.OfStrs(o.strs, nulls)
	}
	return vec.OfInts(t, o.ints, nulls)
}

// values is the column for reading.
func (o *outputs) values() values {
	v := values{kind: o.kind, allNull: o.allNull, ints: o.ints, floats: o.floats, bools: o.bools, strs: o.strs}
	if len(o.nulls) > 0 {
		v.nulls = o.nulls
	}
	return v
}

// addSpan appends the rows of a span.
func (o *outputs) addSpan(s *span, c *scanColumn) error {
	if c.Role == storage.TimeColumn {
		if step, ok := regular(s.run); ok {
			o.addRegular(s, step)
			return nil
		}
	}
	if r, ok := s.run.(*segmentRun); ok && !s.some && r.whole && s.hi-s.lo == r.hi-r.lo {
		if done, err := o.decode(r, c); done || err != nil {
			return err
		}
	}
	var v values
	switch n, _, _ := s.span(); {
	case c.Role == storage.TimeColumn:
		times, err := s.times()
		if err != nil {
			return err
		}
		v = values{kind: vec.Timestamp, ints: times}
	case s.rows() < n: // fewer to divide
		ok, err := s.scaled(c.col, &v)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		fallthrough
	default:
		if err := s.column(c.col, &v); err != nil {
			return err
		}
	}
	if s.some {
		o.addPicked(&v, s.picked)
		return nil
	}
	v.slice(s.lo, s.hi)
	o.addAll(&v, s.hi-s.lo)
	return nil
}

// addRegular appends times at equal distances.
func (o *outputs) addRegular(s *span, step int64) {
	_, first, _ := s.span()
	out := grow(&o.ints, s.rows(), o.room)
	o.n += len(out)
	if s.some {
		for k, i := range s.picked {
			out[k] = first + int64(i)*step
		}
		return
	}
	first += int64(s.lo) * step
	for i := range out {
		out[i] = first
		first += step
	}
}

// decode appends a whole block of one series by decoding it in its place, unless it has been decoded
// elsewhere.
func (o *outputs) decode(r *segmentRun, c *scanColumn) (done bool, err error) {
	rows := r.hi - r.lo
	if c.Role == storage.TimeColumn {
		if r.data != nil && r.data.state[0] {
			return false, nil
		}
		_, err := r.idx.Times(r.block, grow(&o.ints, rows, o.room))
		o.n += rows
		r.counted()
		return true, err
	}
	n := r.idx.column(c.col)
	if n < 0 {
		o.addNulls(rows)
		return true, nil
	}
	if r.data != nil && r.data.read[n] != notRead {
		return false, nil
	}
	stats := r.idx.Stats(r.block, n)
	switch {
	case stats.NonNull == 0:
		o.addNulls(rows)
		return true, nil
	case int(stats.NonNull) < rows || o.allNull:
		return false, nil // the flags take another way
	}
	var d segment.Data
	switch o.kind.Storage() {
	case vec.StoreFloats:
		d.Floats = grow(&o.floats, rows, o.room)
	case vec.StoreBools:
		d.Bools = grow(&o.bools, rows, o.room)
	case vec.StoreStrs:
		d.Strs = grow(&o.strs, rows, o.room)
	default:
		d.Ints = grow(&o.ints, rows, o.room)
	}
	o.addFlags(rows, false)
	o.n += rows
	r.counted()
	return true, r.idx.Column(r.block, n, &d)
}

// grow appends n values to a slice and returns them, to be set. The first time it makes room for as many as a
// batch has.
func grow[T any](s *[]T, n, room int) []T {
	have := len(*s)
	if have == 0 && cap(*s) < n {
		*s = make([]T, 0, max(n, room))
	}
	*s = slices.Grow(*s, n)[:have+n]
	return (*s)[have : have+n : have+n]
}

// addFlags appends null flags for n rows, if some row has or gets one.
func (o *outputs) addFlags(n int, null bool) {
	if len(o.nulls) == 0 {
		if !null {
			return
		}
		clear(grow(&o.nulls, o.n, o.room))
	}
	flags := grow(&o.nulls, n, o.room)
	for i := range flags {
		flags[i] = null
	}
}

// addNulls appends rows without a value. Columns without a value so far are allNull and cost nothing.
func (o *outputs) addNulls(n int) {
	if o.n == 0 || o.allNull {
		o.allNull = true
		o.n += n
		return
	}
	o.addFlags(n, true)
	o.zeros(n)
	o.n += n
}

// zeros appends values that do not count.
func (o *outputs) zeros(n int) {
	switch o.kind.Storage() {
	case vec.StoreFloats:
		clear(grow(&o.floats, n, o.room))
	case vec.StoreBools:
		clear(grow(&o.bools, n, o.room))
	case vec.StoreStrs:
		clear(grow(&o.strs, n, o.room))
	default:
		clear(grow(&o.ints, n, o.room))
	}
}

// some is called before values are appended.
func (o *outputs) some() {
	if !o.allNull {
		return
	}
	o.allNull = false
	have := o.n
	o.n = 0
	o.addFlags(have, true)
	o.zeros(have)
	o.n = have
}

// addAll appends the n rows of v.
func (o *outputs) addAll(v *values, n int) {
	if v.allNull {
		o.addNulls(n)
		return
	}
	o.some()
	switch {
	case v.nulls != nil:
		o.addFlags(0, true)
		copy(grow(&o.nulls, n, o.room), v.nulls)
	default:
		o.addFlags(n, false)
	}
	switch {
	case v.scaled:
		codec.Divide(grow(&o.floats, n, o.room), v.ints, v.scale)
	case o.kind.Storage() == vec.StoreFloats:
		copy(grow(&o.floats, n, o.room), v.floats)
	case o.kind.Storage() == vec.StoreBools:
		copy(grow(&o.bools, n, o.room), v.bools)
	case o.kind.Storage() == vec.StoreStrs:
		copy(grow(&o.strs, n, o.room), v.strs)
	default:
		copy(grow(&o.ints, n, o.room), v.ints)
	}
	o.n += n
}

// addPicked appends some rows of v.
func (o *outputs) addPicked(v *values, pick []int32) {
	n := len(pick)
	if v.allNull {
		o.addNulls(n)
		return
	}
	o.some()
	switch {
	case v.nulls != nil:
		o.addFlags(0, true)
		pickInto(grow(&o.nulls, n, o.room), v.nulls, pick)
	default:
		o.addFlags(n, false)
	}
	switch {
	case v.scaled:
		p := codec.Pow10(v.scale)
		out := grow(&o.floats, n, o.room)
		for k, i := range pick {
			out[k] = float64(v.ints[i]) / p
		}
	case o.kind.Storage() == vec.StoreFloats:
		pickInto(grow(&o.floats, n, o.room), v.floats, pick)
	case o.kind.Storage() == vec.StoreBools:
		pickInto(grow(&o.bools, n, o.room), v.bools, pick)
	case o.kind.Storage() == vec.StoreStrs:
		pickInto(grow(&o.strs, n, o.room), v.strs, pick)
	default:
		pickInto(grow(&o.ints, n, o.room), v.ints, pick)
	}
	o.n += n
}

func pickInto[T any](out, from []T, pick []int32) {
	for k, i := range pick {
		out[k] = from[i]
	}
}
