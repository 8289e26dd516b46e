package ingest

import (
	"sync"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// builder turns requests into storage.Rows. Its memory is reused from request to
// request, so in steady state a record costs no allocation.
type builder struct {
	limits  *Limits
	req     *Request
	rows    storage.Rows
	dims    []storage.Dim // of all rows, end to end
	vals    []storage.Val // of all rows, end to end
	columns columns
	metered int64 // bytes of the request so far
	index   int   // of the record at hand, also its stamp in columns

	// What the record before had. Records of a request mostly share names, so a name
	// that equals its neighbour's needs no second look.
	lastDims  []storage.Dim
	lastNames *dimensionNames // of lastDims, or nil
	lastVals  []storage.Val
	sameNames bool // the dimensions of the record at hand have the names of lastDims
	familiar  bool // the record at hand has had no new name so far

	base  base           // see like
	whole []MeasureValue // scratch
}

var builders = sync.Pool{New: func() any { return new(builder) }}

// build fills b.rows with one row per record of req. The error has kind
// fault.Invalid and concerns the whole request.
func (b *builder) build(req *Request, limits *Limits) error {
	b.req, b.limits = req, limits
	b.meterCommon()
	for i := range req.Records {
		b.index = i
		r := &req.Records[i]
		if r.Like > 0 {
			if b.like(r) {
				continue
			}
			whole := req.Whole(i, b.whole[:0])
			b.whole = whole.MeasureValues
			r = &whole
		}
		if err := b.record(r); err != nil {
			return err
		}
	}
	b.rows.Columns = b.columns.list
	return nil
}

// reset forgets the request and everything that points into it.
func (b *builder) reset() {
	clear(b.rows.Rows)
	clear(b.dims)
	clear(b.vals)
	clear(b.whole[:cap(b.whole)])
	b.columns.reset()
	*b = builder{
		rows:    storage.Rows{Rows: b.rows.Rows[:0]},
		dims:    b.dims[:0],
		vals:    b.vals[:0],
		columns: b.columns,
		base:    base{kinds: b.base.kinds[:0]},
		whole:   b.whole[:0],
	}
}

// meterCommon meters the common attributes, which count once per request.
func (b *builder) meterCommon() {
	common := &b.req.Common
	b.metered = meteredDims(common.Dimensions) + int64(len(common.MeasureName))
	for i := range common.MeasureValues {
		mv := &common.MeasureValues[i]
		b.metered += int64(len(mv.Name)) + valueBytes(kindOf(mv.Type), mv.Value)
	}
	if common.MeasureValue != "" {
		b.metered += valueBytes(kindOf(first(common.Type, "", Double)), common.MeasureValue)
	}
	if common.Time != "" {
		b.metered += 8
	}
}

// merged is the scalar members of a record with the common ones filled in.
type merged struct {
	measure string
	value   string
	kind    vec.Kind
	unit    int64 // ns
	version int64
	own     bool // value is the record's own
}

// record appends the row of one record.
func (b *builder) record(r *Record) error {
	c := &b.req.Common
	m := merged{measure: r.MeasureName, value: r.MeasureValue, version: r.Version, own: r.MeasureValue != ""}
	if m.measure == "" {
		m.measure = c.MeasureName
	} else {
		b.metered += int64(len(m.measure))
	}
	if m.value == "" {
		m.value = c.MeasureValue
	}
	if m.version == 0 {
		m.version = max(c.Version, 1)
	}
	m.kind = kindOf(first(r.Type, c.Type, Double))
	m.unit = first(r.TimeUnit, c.TimeUnit, Milliseconds).scale()

	row := storage.Row{Measure: m.measure, Version: m.version, Multi: m.kind == multiKind}
	var err error
	list, now := b.listOf(r, r.List)
	if row.Dimensions, err = b.dimensions(c.Dimensions, r.Dimensions, list, now); err != nil {
		return err
	}
	if err := b.measureName(m.measure); err != nil {
		return err
	}
	if row.TimeNs, err = b.time(r.Time, m.unit); err != nil {
		return err
	}
	if row.Multi {
		row.Values, err = b.multi(&m, c.MeasureValues, r.MeasureValues)
	} else {
		row.Values, err = b.scalar(&m, len(c.MeasureValues)+len(r.MeasureValues))
	}
	if err != nil {
		return err
	}
	if row.Multi && !b.familiar {
		if err := b.distinct(row.Dimensions); err != nil {
			return err
		}
	}
	names := b.lastNames // of other dimensions by the same names
	if !b.sameNames {
		names = nil
	}
	b.lastDims, b.lastNames, b.lastVals = row.Dimensions, nil, row.Values
	if list != nil {
		if !list.holds(now) {
			list.learn(now, row.Dimensions, names)
		}
		b.lastNames, row.Memo = list.names, list.memo(m.measure)
	}
	b.rows.Rows = append(b.rows.Rows, row)
	return nil
}

// listOf returns the list that names the series of a record, its measure name aside, if the
// caller keeps one, and the circumstances that its notes must be of. own is what is kept of the record's own dimensions.
func (b *builder) listOf(r *Record, own *DimensionList) (*DimensionList, judged) {
	c := &b.req.Common
	switch {
	case len(c.Dimensions) == 0:
		return own, judged{limits: b.limits}
	case len(r.Dimensions) == 0:
		return c.List, judged{limits: b.limits}
	case c.List == nil:
		return nil, judged{}
	}
	return own, judged{b.limits, c.List, c.List.stamp}
}

// first returns the first that is not empty.
func first[T ~string](own, common, otherwise T) T {
	if own != "" {
		return own
	}
	if common != "" {
		return common
	}
	return otherwise
}

// invalid is an error about the record at hand.
func (b *builder) invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, format+" Record index: %d.", append(args, b.index)...)
}

// dimensions returns the dimensions of a record, the common ones first.
func (b *builder) dimensions(common, own []Dimension, list *DimensionList, now judged) ([]storage.Dim, error) {
	if list.holds(now) {
		if len(own) > 0 {
			b.metered += list.bytes
		}
		b.sameNames = list.names == b.lastNames || sameDimNames(list.row, b.lastDims)
		b.familiar = b.sameNames
		return list.row, nil
	}
	n := len(common) + len(own)
	if n == 0 {
		return nil, fault.New(fault.Invalid, "At least one dimension is required for a record.")
	}
	if n > b.limits.Dimensions {
		return nil, b.invalid("A record has %d dimensions, more than the limit of %d.", n, b.limits.Dimensions)
	}
	b.dims = grow(b.dims, n, len(b.req.Records)-b.index)
	start := len(b.dims)
	for i := range common {
		b.dims = append(b.dims, storage.Dim{Name: common[i].Name, Value: common[i].Value})
	}
	for i := range own {
		b.dims = append(b.dims, storage.Dim{Name: own[i].Name, Value: own[i].Value})
	}
	b.metered += meteredDims(own)
	dims := b.dims[start:len(b.dims):len(b.dims)]
	size := 0
	for i := range dims {
		size += len(dims[i].Name) + len(dims[i].Value)
	}
	if size > b.limits.DimensionBytes {
		return nil, b.invalid("The names and values of a record's dimensions have %d bytes, more than the limit of %d.", size, b.limits.DimensionBytes)
	}
	b.sameNames = sameDimNames(dims, b.lastDims)
	if b.familiar = b.sameNames; b.familiar {
		return dims, nil
	}
	return dims, b.dimensionNames(dims)
}

func (b *builder) dimensionNames(dims []storage.Dim) error {
	for i := range dims {
		name := dims[i].Name
		if len(name) > b.limits.DimensionNameBytes {
			return b.invalid("The dimension name '%s' has %d bytes, more than the limit of %d.", name, len(name), b.limits.DimensionNameBytes)
		}
		if !nameFits(name) {
			return b.invalid("The dimension name '%s' is invalid. %s", name, nameRule)
		}
		for j := range i {
			if dims[j].Name == name {
				return b.invalid("The dimension name '%s' is given more than once in a record. Dimension names must be unique, also between CommonAttributes and the record.", name)
			}
		}
	}
	return nil
}

func sameDimNames(a, b []storage.Dim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

func (b *builder) measureName(name string) error {
	switch {
	case name == "":
		return b.invalid("A measure name is required for a record.")
	case len(name) > b.limits.MeasureNameBytes:
		return b.invalid("The measure name '%s' has %d bytes, more than the limit of %d.", name, len(name), b.limits.MeasureNameBytes)
	case !nameFits(name):
		return b.invalid("The measure name '%s' is invalid. %s", name, nameRule)
	}
	return nil
}

// time returns a record's time; one that no int64 of ns can hold is the nearest
// that can, which is outside every table's window.
func (b *builder) time(own string, unit int64) (int64, error) {
	if own == "" {
		own = b.req.Common.Time
	} else {
		b.metered += 8
	}
	n, ok := parseInt(own)
	if !ok {
		return 0, fault.New(fault.Invalid, "Invalid time for record.")
	}
	ns, _ := scaled(n, unit)
	return ns, nil
}

// scalar appends the one value of a single-measure record.
func (b *builder) scalar(m *merged, attributes int) ([]storage.Val, error) {
	switch {
	case attributes > 0:
		return nil, b.invalid("MeasureValues can only be given for records of the measure value type MULTI.")
	case m.kind == vec.Timestamp:
		return nil, fault.New(fault.Invalid, "TIMESTAMP is an invalid measure value type")
	case m.value == "":
		return nil, b.invalid("A measure value is required for a record.")
	}
	v := storage.Val{Column: b.columns.scalar(m.kind)}
	if err := b.value(&v, m.kind, m.measure, m.value, m.unit); err != nil {
		return nil, err
	}
	b.vals = append(grow(b.vals, 1, len(b.req.Records)-b.index), v)
	if m.own {
		b.metered += valueBytes(m.kind, m.value)
	}
	return b.vals[len(b.vals)-1 : len(b.vals) : len(b.vals)], nil
}

// multi appends the values of a MULTI record, the common ones first.
func (b *builder) multi(m *merged, common, own []MeasureValue) ([]storage.Val, error) {
	n := len(common) + len(own)
	switch {
	case m.value != "":
		return nil, b.invalid("A record of the measure value type MULTI takes MeasureValues, not MeasureValue.")
	case n == 0:
		return nil, b.invalid("A record of the measure value type MULTI needs at least one of MeasureValues.")
	case n > b.limits.Measures:
		return nil, b.invalid("A record has %d measure values, more than the limit of %d.", n, b.limits.Measures)
	}
	b.vals = grow(b.vals, n, len(b.req.Records)-b.index)
	start := len(b.vals)
	var size int64
	for which, list := range [2][]MeasureValue{common, own} {
		for i := range list {
			v, err := b.attribute(&list[i], len(b.vals)-start, m.unit)
			if err != nil {
				return nil, err
			}
			b.vals = append(b.vals, v)
			bytes := valueBytes(b.columns.list[v.Column].Type.Kind, list[i].Value)
			size += bytes
			if which == 1 {
				b.metered += bytes + int64(len(list[i].Name))
			}
		}
	}
	if size > int64(b.limits.MultiBytes) {
		return nil, b.invalid("The measure values of a record have %d bytes, more than the limit of %d.", size, b.limits.MultiBytes)
	}
	return b.vals[start:len(b.vals):len(b.vals)], nil
}

// attribute types one value of a MULTI record, the record's value number at.
func (b *builder) attribute(mv *MeasureValue, at int, unit int64) (storage.Val, error) {
	kind := kindOf(mv.Type)
	if kind == multiKind {
		return storage.Val{}, b.invalid("MULTI is an invalid type for the measure '%s' of a MULTI record.", mv.Name)
	}
	var v storage.Val
	if at < len(b.lastVals) && b.columns.is(b.lastVals[at].Column, mv.Name, kind) {
		v.Column = b.lastVals[at].Column
	} else {
		b.familiar = false
		if err := b.measureName(mv.Name); err != nil {
			return v, err
		}
		v.Column = b.columns.attribute(mv.Name, kind)
	}
	if !b.columns.use(v.Column, b.index) {
		return v, b.invalid("The measure name '%s' is given more than once in a record.", mv.Name)
	}
	return v, b.value(&v, kind, mv.Name, mv.Value, unit)
}

// distinct refuses a record that uses a name both as dimension and as measure.
func (b *builder) distinct(dims []storage.Dim) error {
	for i := range dims {
		if b.columns.used(dims[i].Name, b.index) {
			return b.invalid("The name '%s' is given both as a dimension and as a measure of a record.", dims[i].Name)
		}
	}
	return nil
}

func (b *builder) value(v *storage.Val, kind vec.Kind, name, text string, unit int64) error {
	if len(text) > b.limits.ValueBytes {
		return b.invalid("The measure value of '%s' has %d bytes, more than the limit of %d.", name, len(text), b.limits.ValueBytes)
	}
	var ok bool
	if v.Bits, v.Str, ok = parseValue(kind, text, unit); !ok {
		return b.invalid("The measure value '%.100s' of '%s' is not a valid %s.", text, name, typeWord(kind))
	}
	return nil
}

// grow makes room for n more values; records is how many more may be like this
// one. What points into the old memory stays valid.
func grow[T any](s []T, n, records int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	return append(make([]T, 0, len(s)+n*max(records, 1)), s...)
}

func meteredDims(dims []Dimension) int64 {
	n := 0
	for i := range dims {
		n += len(dims[i].Name) + len(dims[i].Value)
	}
	return int64(n)
}

// valueBytes is what a value counts (Timestream guide, calculating record size).
func valueBytes(kind vec.Kind, text string) int64 {
	switch kind {
	case vec.Boolean:
		return 1
	case vec.Varchar:
		return int64(len(text))
	}
	return 8
}
