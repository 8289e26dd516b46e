package schedule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// mapping is a target bound to the columns of a result.
type mapping struct {
	time        int // columns, by index
	measureName int // -1: none
	dimensions  []boundDimension
	groups      []group
}

type boundDimension struct {
	name   string
	column int
}

// group becomes at most one record of a row.
type group struct {
	name       string // of the measure; "" takes the value of the measure name column
	matches    string // only rows with this measure name, if selects
	selects    bool
	typ        ingest.ValueType
	column     int // of a scalar
	attributes []boundAttribute
}

type boundAttribute struct {
	name   string
	column int
	typ    ingest.ValueType
}

func invalid(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// binder looks up columns by name and remembers the first error.
type binder struct {
	columns []plan.OutputColumn
	err     error
}

func (b *binder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = invalid(format, args...)
	}
}

// column returns the index of the one column of that name.
func (b *binder) column(name, use string) int {
	at := -1
	for i, c := range b.columns {
		if c.Name != name {
			continue
		}
		if at >= 0 {
			b.fail("The column '%s', which the target configuration uses as %s, is ambiguous: the query returns several of that name.", name, use)
		}
		at = i
	}
	if at < 0 {
		b.fail("The column '%s', which the target configuration uses as %s, is not a column of the query's result.", name, use)
	}
	return max(at, 0)
}

func (b *binder) typed(name, use string, want ingest.ValueType) int {
	at := b.column(name, use)
	if b.err == nil && !fits(b.columns[at].Type.Kind, want) {
		b.fail("The column '%s', which the target configuration uses as %s, has the type %s, not %s.", name, use, b.columns[at].Type, want)
	}
	return at
}

// fits reports whether values of a kind are values of a measure type without a change.
func fits(have vec.Kind, want ingest.ValueType) bool {
	switch want {
	case ingest.Bigint:
		return have == vec.Bigint || have == vec.Integer
	case ingest.Double:
		return have == vec.Double
	case ingest.Varchar:
		return have == vec.Varchar
	case ingest.Boolean:
		return have == vec.Boolean
	case ingest.Timestamp:
		return have == vec.Timestamp
	}
	return false
}

// bind checks a target against the columns of the query's result. Errors are of kind
// fault.Invalid.
func bind(t *Target, columns []plan.OutputColumn) (*mapping, error) {
	b := &binder{columns: columns}
	m := &mapping{measureName: -1}
	m.time = b.typed(t.TimeColumn, "the time column", ingest.Timestamp)
	if len(t.Dimensions) == 0 {
		b.fail("The target configuration needs at least one dimension mapping.")
	}
	seen := map[string]bool{}
	for _, name := range t.Dimensions {
		if seen[name] {
			b.fail("The dimension '%s' is mapped more than once.", name)
		}
		seen[name] = true
		m.dimensions = append(m.dimensions, boundDimension{name, b.typed(name, "a dimension", ingest.Varchar)})
	}
	if t.MeasureNameColumn != "" {
		m.measureName = b.typed(t.MeasureNameColumn, "the measure name", ingest.Varchar)
	}
	switch {
	case (t.Multi == nil) == (t.Mixed == nil):
		b.fail("The target configuration must have exactly one of MultiMeasureMappings and MixedMeasureMappings.")
	case t.Multi != nil:
		m.groups = []group{b.multi(t)}
	default:
		for i := range t.Mixed {
			m.groups = append(m.groups, b.mixed(t, &t.Mixed[i]))
		}
	}
	return m, b.err
}

func (b *binder) multi(t *Target) group {
	g := group{name: t.Multi.Name, typ: ingest.Multi, attributes: b.attributes(t.Multi.Attributes)}
	switch {
	case t.MeasureNameColumn != "":
		g.name = ""
	case g.name == "":
		b.fail("TargetMultiMeasureName is required without a MeasureNameColumn.")
	}
	return g
}

func (b *binder) mixed(t *Target, m *Mixed) group {
	g := group{typ: m.Type, matches: m.MeasureName, selects: t.MeasureNameColumn != ""}
	for _, name := range []string{m.Name, m.MeasureName, m.Column} {
		if g.name == "" {
			g.name = name
		}
	}
	if g.selects && m.MeasureName == "" {
		b.fail("MeasureName is required in MixedMeasureMappings with a MeasureNameColumn.")
	}
	switch {
	case m.Type == ingest.Multi && len(m.Attributes) == 0:
		b.fail("MultiMeasureAttributeMappings are required in MixedMeasureMappings of type MULTI.")
	case m.Type == ingest.Multi && m.Column != "":
		b.fail("SourceColumn is not allowed in MixedMeasureMappings of type MULTI.")
	case m.Type == ingest.Multi && g.name == "":
		b.fail("MeasureName or TargetMeasureName is required in MixedMeasureMappings of type MULTI.")
	case m.Type == ingest.Multi:
		g.attributes = b.attributes(m.Attributes)
	case len(m.Attributes) > 0:
		b.fail("MultiMeasureAttributeMappings are only allowed in MixedMeasureMappings of type MULTI.")
	case m.Column == "":
		b.fail("SourceColumn is required in MixedMeasureMappings of type %s.", m.Type)
	default:
		g.column = b.typed(m.Column, "a measure", m.Type)
	}
	return g
}

func (b *binder) attributes(list []Attribute) []boundAttribute {
	var out []boundAttribute
	seen := map[string]bool{}
	for _, a := range list {
		name := a.Name
		if name == "" {
			name = a.Column
		}
		if seen[name] {
			b.fail("The attribute '%s' of a multi-measure record is mapped more than once.", name)
		}
		seen[name] = true
		out = append(out, boundAttribute{name, b.typed(a.Column, "an attribute", a.Type), a.Type})
	}
	return out
}

// records appends the records of row i. Nulls give no dimension and no attribute, and a
// group of nulls gives no record; a row that gives none at all, or has no time, comes back
// with the reason.
func (m *mapping) records(dst []ingest.Record, b *vec.Batch, i int, version int64) (_ []ingest.Record, reason string) {
	at := b.Columns[m.time]
	if at.IsNull(i) {
		return dst, "The time column of the row is null."
	}
	time := strconv.FormatInt(at.Int(i), 10)
	measure := ""
	if m.measureName >= 0 {
		if b.Columns[m.measureName].IsNull(i) {
			return dst, "The measure name column of the row is null."
		}
		measure = b.Columns[m.measureName].Str(i)
	}
	var dimensions []ingest.Dimension
	for _, d := range m.dimensions {
		if c := b.Columns[d.column]; !c.IsNull(i) {
			dimensions = append(dimensions, ingest.Dimension{Name: d.name, Value: c.Str(i)})
		}
	}
	if len(dimensions) == 0 {
		return dst, "All dimensions of the row are null."
	}
	before, matched := len(dst), false
	for g := range m.groups {
		g := &m.groups[g]
		if g.selects && g.matches != measure {
			continue
		}
		matched = true
		r := ingest.Record{Dimensions: dimensions, MeasureName: g.name, Type: g.typ, Time: time, TimeUnit: ingest.Nanoseconds, Version: version}
		if g.name == "" {
			r.MeasureName = measure
		}
		if g.fill(&r, b, i) {
			dst = append(dst, r)
		}
	}
	switch {
	case !matched:
		return dst, fmt.Sprintf("No measure mapping has the measure name '%s' of the row.", measure)
	case len(dst) == before:
		return dst, "All measures of the row are null."
	}
	return dst, ""
}

// fill sets the values of r and reports whether there are any.
func (g *group) fill(r *ingest.Record, b *vec.Batch, i int) bool {
	if g.typ != ingest.Multi {
		if b.Columns[g.column].IsNull(i) {
			return false
		}
		r.MeasureValue, r.Given = text(b.Columns[g.column], i), ingest.GivenMeasureValue
		return true
	}
	for _, a := range g.attributes {
		if c := b.Columns[a.column]; !c.IsNull(i) {
			r.MeasureValues = append(r.MeasureValues, ingest.MeasureValue{Name: a.name, Value: text(c, i), Type: a.typ})
		}
	}
	return len(r.MeasureValues) > 0
}

// text writes a value as WriteRecords takes it: timestamps in ns, as the record's unit says.
func text(v *vec.Vector, i int) string {
	switch v.Type.Kind {
	case vec.Varchar:
		return v.Str(i)
	case vec.Timestamp:
		return strconv.FormatInt(v.Int(i), 10)
	}
	return string(vec.AppendText(nil, v, i))
}

// rawLine is a row as text, for the report of a row that could not be mapped.
func rawLine(b *vec.Batch, i int) string {
	parts := make([]string, len(b.Columns))
	for k, c := range b.Columns {
		parts[k] = c.Value(i).String()
	}
	return strings.Join(parts, ",")
}
