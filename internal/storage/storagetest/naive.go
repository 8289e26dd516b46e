package storagetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Naive is a backend of plain maps in memory, meant to be obviously right: the
// model that other backends are compared with. It applies no pushdown but the
// time range, and is slow on purpose. One lock guards everything.
type Naive struct {
	clock  *clock.Clock
	mu     sync.Mutex // guards the fields below and all tables
	tables map[storage.TableID]*naiveTable
}

// NewNaive returns an empty backend that reads the time from clk.
func NewNaive(clk *clock.Clock) *Naive {
	return &Naive{clock: clk, tables: map[storage.TableID]*naiveTable{}}
}

type naiveTable struct {
	b       *Naive
	dropped bool
	policy  storage.Policy
	low     int64 // rows before are deleted for good, by a change of policy
	schema  *storage.Schema
	series  map[string]*naiveSeries

	measures map[string]bool // names in schema.Measures
}

type naiveSeries struct {
	measure string
	dims    map[string]string
	rows    map[int64]naiveRow // by time
}

type naiveRow struct {
	version int64
	values  map[string]vec.Value // by column
}

// CreateTable implements [storage.Backend].
func (b *Naive) CreateTable(_ context.Context, id storage.TableID, p storage.Policy) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tables[id]; t != nil {
		t.setPolicy(p)
		return nil
	}
	b.tables[id] = &naiveTable{
		b: b, policy: p, low: storage.AllTime.From,
		schema: &storage.Schema{Columns: fixedColumns()},
		series: map[string]*naiveSeries{}, measures: map[string]bool{},
	}
	return nil
}

func fixedColumns() []storage.Column {
	return []storage.Column{
		{Name: storage.MeasureNameColumn, Type: vec.VarcharType, Role: storage.MeasureName},
		{Name: storage.TimeColumnName, Type: vec.TimestampType, Role: storage.TimeColumn},
	}
}

// SetPolicy implements [storage.Backend].
func (b *Naive) SetPolicy(_ context.Context, id storage.TableID, p storage.Policy) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tables[id]
	if t == nil {
		return fault.New(fault.NotFound, "The table %s does not exist.", id.Table)
	}
	t.setPolicy(p)
	return nil
}

func (t *naiveTable) setPolicy(p storage.Policy) {
	if p.MemoryRetention+p.MagneticRetention != t.policy.MemoryRetention+t.policy.MagneticRetention {
		now := t.b.clock.Now()
		t.low = max(t.low, t.policy.Expiry(now), p.Expiry(now))
	}
	t.policy = p
}

// DropTable implements [storage.Backend].
func (b *Naive) DropTable(_ context.Context, id storage.TableID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tables[id]; t != nil {
		t.dropped = true
		delete(b.tables, id)
	}
	return nil
}

// Tables implements [storage.Backend].
func (b *Naive) Tables() []storage.TableID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.tables))
}

// Table implements [storage.Backend].
func (b *Naive) Table(id storage.TableID) (storage.Table, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tables[id]; t != nil {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "The table %s does not exist.", id.Table)
}

// Close implements [storage.Backend].
func (b *Naive) Close() error { return nil }

// Schema implements [storage.Table].
func (t *naiveTable) Schema() *storage.Schema {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	return t.schema
}

// Stats implements [storage.Table].
func (t *naiveTable) Stats() storage.TableStats {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	s := storage.TableStats{Series: int64(len(t.series))}
	for _, series := range t.series {
		s.Rows += int64(len(series.rows))
	}
	return s
}

// Write implements [storage.Table].
func (t *naiveTable) Write(_ context.Context, rows *storage.Rows) (storage.Receipt, error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	var receipt storage.Receipt
	if t.dropped {
		return receipt, fault.New(fault.NotFound, "The table does not exist.")
	}
	from, to, memory := t.policy.Window(t.b.clock.Now())
	from = max(from, t.low)
	for i := range rows.Rows {
		row := &rows.Rows[i]
		magnetic := row.TimeNs < memory
		rejection := t.judge(rows, row, from, to)
		if rejection == nil {
			lost := t.conflict(rows, row)
			if lost != nil && !magnetic {
				rejection = lost
			} else {
				t.store(rows, row, lost != nil)
				if magnetic {
					receipt.Magnetic++
				} else {
					receipt.Memory++
				}
				if lost != nil {
					lost.Row, lost.Version = i, row.Version
					receipt.Superseded = append(receipt.Superseded, *lost)
				}
			}
		}
		if rejection != nil {
			rejection.Row, rejection.Version = i, row.Version
			receipt.Rejections = append(receipt.Rejections, *rejection)
		}
	}
	return receipt, nil
}

// Delete implements [storage.Table].
func (t *naiveTable) Delete(_ context.Context, d storage.Deletion) (int64, error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.dropped {
		return 0, fault.New(fault.NotFound, "The table does not exist.")
	}
	if err := d.Check(t.schema); err != nil {
		return 0, err
	}
	var rows []int64 // times to delete
	var of []*naiveSeries
	for _, s := range t.series {
		if !s.satisfies(d.Where) {
			continue
		}
		for at := range s.rows {
			if at >= d.From && at < d.To {
				rows, of = append(rows, at), append(of, s)
			}
		}
	}
	if d.Confirm != nil {
		if err := d.Confirm(); err != nil {
			return 0, err
		}
	}
	visible := max(t.low, t.policy.Expiry(t.b.clock.Now()))
	n := int64(0)
	for i, at := range rows {
		delete(of[i].rows, at)
		if at >= visible {
			n++
		}
	}
	return n, nil
}

func (s *naiveSeries) satisfies(where []storage.Predicate) bool {
	for _, p := range where {
		v := vec.Str(s.measure)
		if p.Column != storage.MeasureNameColumn {
			value, ok := s.dims[p.Column]
			v = vec.Str(value)
			v.Null = !ok
		}
		if !Holds(p, v) {
			return false
		}
	}
	return true
}

// judge checks a row against policy and schema, in the order of storage.Cause's
// documentation: window, required dimension, names and types, limits.
func (t *naiveTable) judge(rows *storage.Rows, row *storage.Row, from, to int64) *storage.Rejection {
	if row.TimeNs < from || row.TimeNs >= to {
		return &storage.Rejection{Cause: storage.OutsideWindow, WindowFrom: from, WindowTo: to}
	}
	if need := t.policy.RequiredDimension; need != "" &&
		!slices.ContainsFunc(row.Dimensions, func(d storage.Dim) bool { return d.Name == need }) {
		return &storage.Rejection{Cause: storage.MissingDimension, Column: need}
	}
	names := map[string]storage.Column{}
	count := map[storage.Role]int{}
	for _, c := range t.schema.Columns {
		names[c.Name] = c
		count[c.Role]++
	}
	add := func(c storage.Column) *storage.Rejection {
		have, ok := names[c.Name]
		switch {
		case !ok:
			names[c.Name] = c
			count[c.Role]++
		case have.Role != c.Role:
			return &storage.Rejection{Cause: storage.NameConflict, Column: c.Name}
		case !have.Type.Equal(c.Type):
			return &storage.Rejection{Cause: storage.TypeConflict, Column: c.Name, Have: have.Type, Want: c.Type}
		}
		return nil
	}
	for _, d := range row.Dimensions {
		if r := add(storage.Column{Name: d.Name, Type: vec.VarcharType, Role: storage.Dimension}); r != nil {
			return r
		}
	}
	for _, v := range row.Values {
		if r := add(rows.Columns[v.Column]); r != nil {
			return r
		}
	}
	measures := len(t.measures)
	if !t.measures[row.Measure] {
		measures++
	}
	for _, m := range t.schema.Measures {
		if m.Name == row.Measure && !m.Multi && !row.Multi {
			if brought := rows.Columns[row.Values[0].Column].Type; !m.Type.Equal(brought) {
				return &storage.Rejection{Cause: storage.TypeConflict, Column: m.Name, Have: m.Type, Want: brought}
			}
		}
	}
	switch {
	case count[storage.Dimension] > storage.MaxDimensionsPerTable:
		return &storage.Rejection{Cause: storage.TooManyDimensions}
	case measures > storage.MaxMeasureNamesPerTable:
		return &storage.Rejection{Cause: storage.TooManyMeasures}
	case count[storage.Attribute] > storage.MaxAttributesPerTable:
		return &storage.Rejection{Cause: storage.TooManyAttributes}
	}
	return nil
}

// conflict returns why a row loses against the stored one, or nil.
func (t *naiveTable) conflict(rows *storage.Rows, row *storage.Row) *storage.Rejection {
	series := t.series[seriesKey(row)]
	if series == nil {
		return nil
	}
	stored, ok := series.rows[row.TimeNs]
	switch {
	case !ok || row.Version > stored.version:
		return nil
	case row.Version < stored.version:
		return &storage.Rejection{Cause: storage.LowerVersion, Existing: stored.version}
	case !sameValues(stored.values, valuesOf(rows, row)):
		return &storage.Rejection{Cause: storage.SameVersion, Existing: stored.version}
	}
	return nil
}

func (t *naiveTable) store(rows *storage.Rows, row *storage.Row, lost bool) {
	t.schema = grow(t.schema, t.measures, rows, row)
	t.measures[cloneString(row.Measure)] = true
	if lost {
		return
	}
	key := seriesKey(row)
	series := t.series[key]
	if series == nil {
		series = &naiveSeries{measure: cloneString(row.Measure), dims: map[string]string{}, rows: map[int64]naiveRow{}}
		for _, d := range row.Dimensions {
			series.dims[cloneString(d.Name)] = cloneString(d.Value)
		}
		t.series[key] = series
	}
	series.rows[row.TimeNs] = naiveRow{version: row.Version, values: valuesOf(rows, row)}
}

// grow returns the schema with the names of one accepted row added; measures are the
// names it has.
func grow(old *storage.Schema, measures map[string]bool, rows *storage.Rows, row *storage.Row) *storage.Schema {
	s := &storage.Schema{Columns: slices.Clone(old.Columns), Measures: old.Measures}
	add := func(c storage.Column) {
		if s.Lookup(c.Name) < 0 {
			c.Name = cloneString(c.Name)
			s.Columns = append(s.Columns, c)
		}
	}
	for _, d := range row.Dimensions {
		add(storage.Column{Name: d.Name, Type: vec.VarcharType, Role: storage.Dimension})
	}
	for _, v := range row.Values {
		add(rows.Columns[v.Column])
	}
	sort.SliceStable(s.Columns, func(i, j int) bool { return s.Columns[i].Role < s.Columns[j].Role })

	kind := storage.Measure{Name: cloneString(row.Measure), Multi: row.Multi}
	if !row.Multi {
		kind.Type = rows.Columns[row.Values[0].Column].Type
	}
	at := -1
	if measures[kind.Name] {
		at = slices.IndexFunc(s.Measures, func(m storage.Measure) bool { return m.Name == kind.Name && m.Multi == kind.Multi })
	}
	if at < 0 {
		at = len(s.Measures)
		s.Measures = append(s.Measures, kind)
	}
	dims := slices.Clone(s.Measures[at].Dimensions)
	for _, d := range row.Dimensions {
		if !slices.Contains(dims, d.Name) {
			dims = append(dims, cloneString(d.Name))
		}
	}
	if len(dims) > len(s.Measures[at].Dimensions) {
		if at < len(old.Measures) { // others read the old schema
			s.Measures = slices.Clone(s.Measures)
		}
		s.Measures[at].Dimensions = dims
	}
	return s
}

// seriesKey is the measure and the sorted dimensions, each with its length in front.
func seriesKey(row *storage.Row) string {
	dims := slices.Clone(row.Dimensions)
	slices.SortFunc(dims, func(a, b storage.Dim) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	var key []byte
	add := func(s string) { key = append(binary.AppendUvarint(key, uint64(len(s))), s...) }
	add(row.Measure)
	for _, d := range dims {
		add(d.Name)
		add(d.Value)
	}
	return string(key)
}

func valuesOf(rows *storage.Rows, row *storage.Row) map[string]vec.Value {
	m := make(map[string]vec.Value, len(row.Values))
	for _, v := range row.Values {
		c := rows.Columns[v.Column]
		m[cloneString(c.Name)] = ValueOf(c.Type, v)
	}
	return m
}

func sameValues(a, b map[string]vec.Value) bool { return maps.EqualFunc(a, b, sameValue) }

func cloneString(s string) string { return string([]byte(s)) }

// Scan implements [storage.Table]: it reads all columns asked for, in the time
// range, and leaves the rest to the caller.
func (t *naiveTable) Scan(_ context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.dropped {
		return nil, fault.New(fault.NotFound, "The table does not exist.")
	}
	columns, err := t.columns(spec)
	if err != nil {
		return nil, err
	}
	s := &naiveScanner{reuse: spec.Reuse, applied: storage.Applied{Where: make([]bool, len(spec.Where))}}
	from := max(spec.From, t.low, t.policy.Expiry(t.b.clock.Now()))
	for _, key := range slices.Sorted(maps.Keys(t.series)) {
		if b := t.series[key].batch(columns, from, spec.To); b.Len > 0 {
			s.batches = append(s.batches, b)
			s.stats.RowsScanned += int64(b.Len)
		}
	}
	return s, nil
}

// columns resolves the names of a spec, those of offers too.
func (t *naiveTable) columns(spec storage.ScanSpec) ([]storage.Column, error) {
	names := slices.Clone(spec.Columns)
	for _, p := range spec.Where {
		names = append(names, p.Column)
	}
	if spec.Aggregation != nil {
		for _, k := range spec.Aggregation.Keys {
			names = append(names, k.Column)
		}
		for _, a := range spec.Aggregation.Aggs {
			if a.Func != storage.CountRows {
				names = append(names, a.Column)
			}
		}
	}
	var columns []storage.Column
	for i, name := range names {
		at := t.schema.Lookup(name)
		if at < 0 {
			return nil, fault.New(fault.Invalid, "The column %s does not exist.", name)
		}
		if i < len(spec.Columns) {
			columns = append(columns, t.schema.Columns[at])
		}
	}
	return columns, nil
}

func (s *naiveSeries) batch(columns []storage.Column, from, to int64) *vec.Batch {
	var times []int64
	for at := range s.rows {
		if at >= from && at < to {
			times = append(times, at)
		}
	}
	slices.Sort(times)
	b := &vec.Batch{Len: len(times)}
	for _, c := range columns {
		b.Columns = append(b.Columns, s.column(c, times))
	}
	return b
}

func (s *naiveSeries) column(c storage.Column, times []int64) *vec.Vector {
	switch c.Role {
	case storage.Dimension:
		if value, ok := s.dims[c.Name]; ok {
			return vec.Const(vec.Str(value), len(times))
		}
		return vec.NullsOf(vec.VarcharType, len(times))
	case storage.MeasureName:
		return vec.Const(vec.Str(s.measure), len(times))
	case storage.TimeColumn:
		return vec.OfInts(vec.TimestampType, times, nil)
	}
	out := vec.NewBuilder(c.Type, len(times))
	for _, at := range times {
		if v, ok := s.rows[at].values[c.Name]; ok {
			out.Append(v)
		} else {
			out.AppendNull()
		}
	}
	return out.Vector()
}

type naiveScanner struct {
	reuse   bool
	applied storage.Applied
	stats   storage.ScanStats

	mu      sync.Mutex // guards batches
	batches []*vec.Batch
	lent    *vec.Batch // of Next
}

// naiveReader is one of the readers of a divided scan.
type naiveReader struct {
	s    *naiveScanner
	lent *vec.Batch
}

func (s *naiveScanner) Applied() storage.Applied { return s.applied }

func (s *naiveScanner) Next(ctx context.Context) (*vec.Batch, error) {
	b, err := s.take(ctx)
	if s.reuse {
		spoil(s.lent)
		s.lent = b
	}
	return b, err
}

// Readers implements [storage.Divided]; the naive backend's tables are never large.
func (s *naiveScanner) Readers() int { return 1 }

// Divide implements [storage.Divided].
func (s *naiveScanner) Divide(n int) []storage.Reader {
	readers := make([]storage.Reader, n)
	for i := range readers {
		readers[i] = &naiveReader{s: s}
	}
	return readers
}

func (r *naiveReader) Next(ctx context.Context) (*vec.Batch, error) {
	b, err := r.s.take(ctx)
	spoil(r.lent)
	r.lent = b
	return b, err
}

// spoil overwrites a batch that is not valid any more, so that whoever still reads it shows. Batches of the naive
// backend are made for each scan.
func spoil(b *vec.Batch) {
	if b == nil {
		return
	}
	for _, c := range b.Columns {
		if c.Form == vec.Flat {
			clear(c.Ints)
			clear(c.Floats)
			clear(c.Bools)
			clear(c.Strs)
			clear(c.Nulls)
		}
	}
}

func (s *naiveScanner) take(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batches) == 0 {
		return nil, nil
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

func (s *naiveScanner) Stats() storage.ScanStats { return s.stats }

func (s *naiveScanner) Close() { s.batches = nil }
