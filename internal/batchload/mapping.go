package batchload

import (
	"fmt"

	"github.com/weir-db/weir/internal/ingest"
)

// mapping is a model bound to the columns of one file.
type mapping struct {
	unit       ingest.TimeUnit
	time       int
	dimensions []column
	measure    int // column with the measure name, or -1
	multi      *multi
	mixed      []mixed
	null       string
	version    int64
}

// column is a column of the file with the name it gets.
type column struct {
	index int
	name  string
}

type attribute struct {
	column
	typ ingest.ValueType
}

type multi struct {
	name       string // "" if the measure name is in a column
	attributes []attribute
}

type mixed struct {
	when string // value of the measure name column; "" without one
	name string
	one  attribute // of a single-measure record
	many []attribute
}

// bind looks up the model's columns in a header. The error is a *fileError.
func bind(m *Model, csv *CSV, header []string, version int64) (*mapping, error) {
	index := map[string]int{}
	for i, name := range header {
		if _, twice := index[name]; twice {
			return nil, &fileError{fmt.Sprintf("The header names the column %q twice.", name)}
		}
		index[name] = i
	}
	var missing error
	at := func(name string) int {
		i, ok := index[name]
		if !ok && missing == nil {
			missing = &fileError{fmt.Sprintf("The header has no column %q.", name)}
		}
		return i
	}
	out := &mapping{unit: ingest.TimeUnit(m.TimeUnit), time: at(m.TimeColumn), measure: -1, version: version}
	if csv != nil {
		out.null = csv.Null
	}
	if m.MeasureNameColumn != "" {
		out.measure = at(m.MeasureNameColumn)
	}
	for _, d := range m.DimensionMappings {
		out.dimensions = append(out.dimensions, column{at(d.SourceColumn), or(d.DestinationColumn, d.SourceColumn)})
	}
	attributes := func(list []AttributeMapping) []attribute {
		var bound []attribute
		for _, a := range list {
			name := or(a.TargetMultiMeasureAttributeName, a.SourceColumn)
			bound = append(bound, attribute{column{at(a.SourceColumn), name}, ingest.ValueType(or(a.MeasureValueType, "DOUBLE"))})
		}
		return bound
	}
	if mm := m.MultiMeasureMappings; mm != nil {
		out.multi = &multi{mm.TargetMultiMeasureName, attributes(mm.MultiMeasureAttributeMappings)}
	}
	for _, x := range m.MixedMeasureMappings {
		b := mixed{name: x.name(), many: attributes(x.MultiMeasureAttributeMappings)}
		if out.measure >= 0 {
			b.when = x.MeasureName
		}
		if x.MeasureValueType != "MULTI" {
			b.one = attribute{column{at(x.SourceColumn), ""}, ingest.ValueType(x.MeasureValueType)}
			b.many = nil
		}
		out.mixed = append(out.mixed, b)
	}
	return out, missing
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// value returns a field, and false if it stands for no value.
func (m *mapping) value(fields []string, i int) (string, bool) {
	v := fields[i]
	return v, v != "" && (m.null == "" || v != m.null)
}

// records appends the records of a row. The error is the reason for the report.
func (m *mapping) records(dst []ingest.Record, fields []string) ([]ingest.Record, error) {
	base := ingest.Record{TimeUnit: m.unit, Version: m.version}
	var ok bool
	if base.Time, ok = m.value(fields, m.time); !ok {
		return dst, &rowError{"The row has no time."}
	}
	for _, d := range m.dimensions {
		if v, ok := m.value(fields, d.index); ok {
			base.Dimensions = append(base.Dimensions, ingest.Dimension{Name: d.name, Value: v})
		}
	}
	name := ""
	if m.measure >= 0 {
		if name, ok = m.value(fields, m.measure); !ok {
			return dst, &rowError{"The row has no measure name."}
		}
	}
	before := len(dst)
	if m.multi != nil {
		dst = m.appendMulti(dst, base, or(m.multi.name, name), m.multi.attributes, fields)
	}
	matched := m.measure < 0 || m.multi != nil
	for _, x := range m.mixed {
		if m.measure >= 0 && x.when != name {
			continue
		}
		matched = true
		if x.many != nil {
			dst = m.appendMulti(dst, base, x.name, x.many, fields)
			continue
		}
		if v, ok := m.value(fields, x.one.index); ok {
			r := base
			r.MeasureName, r.MeasureValue, r.Type = x.name, v, x.one.typ
			dst = append(dst, r)
		}
	}
	switch {
	case !matched:
		return dst, &rowError{"The row's measure name is in no mapping of the data model."}
	case len(dst) == before:
		return dst, &rowError{"The row has no measure value."}
	}
	return dst, nil
}

func (m *mapping) appendMulti(dst []ingest.Record, r ingest.Record, name string, attributes []attribute, fields []string) []ingest.Record {
	r.MeasureName, r.Type = name, ingest.Multi
	for _, a := range attributes {
		if v, ok := m.value(fields, a.index); ok {
			r.MeasureValues = append(r.MeasureValues, ingest.MeasureValue{Name: a.name, Value: v, Type: a.typ})
		}
	}
	if len(r.MeasureValues) == 0 {
		return dst
	}
	return append(dst, r)
}
