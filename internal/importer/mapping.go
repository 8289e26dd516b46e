package importer

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

// records reads a file as records; rows has the same methods for tables.
type records interface {
	next() (types.Record, error)
	skip(n int64) error
	line() int64
	Close() error
}

// Columns says what the columns of a table become. The zero value leaves all of it to the
// names, types and order of the columns.
type Columns struct {
	Time      string // column of the time; empty: time, timestamp, ts or the only column of that type
	Unit      string // of integer times: s, ms, us or ns; empty: by their number of digits (line protocol: ns)
	Measure   string // column of the measure name; empty: measure_name, if there is one
	Name      string // measure name of tables without such a column; empty: metrics
	Constants []types.Dimension

	Dimensions []string        // empty: text columns; with a measure_name column, those before it
	Measures   []string        // empty: all that are nothing else
	Skip       []string        // columns left out
	Types      map[string]kind // what to read columns as
}

// plan is what the columns of a table become.
type plan struct {
	time       int
	unit       int64 // ns of integer times; 0: there are none
	measure    int   // -1: name
	name       string
	dimensions []int
	values     []int // attributes of multi-measure records
	singles    []int // measure_value::type
	columns    []column
	constants  []types.Dimension

	last []types.Dimension // of the row before; rows of one series share them
}

// ParseType reads the name of a column's type, as --types gives it.
func (c *Columns) ParseType(column, name string) error {
	k, ok := kindNames[strings.ToLower(name)]
	if !ok {
		return fmt.Errorf("column %s: want double, bigint, varchar, boolean or timestamp, got %q", column, name)
	}
	if c.Types == nil {
		c.Types = map[string]kind{}
	}
	c.Types[column] = k
	return nil
}

// planFor decides about cols, whose kinds are known.
func (c *Columns) planFor(cols []column, g *guesses) (*plan, error) {
	p := &plan{time: -1, measure: -1, name: c.Name, columns: cols, constants: c.Constants}
	if p.name == "" {
		p.name = "metrics"
	}
	if err := c.checkNames(cols); err != nil {
		return nil, err
	}
	var err error
	if p.time, err = c.timeOf(cols); err != nil {
		return nil, err
	}
	if p.unit, err = c.unitOf(cols[p.time], g); err != nil {
		return nil, err
	}
	p.measure = indexOf(cols, c.Measure)
	if c.Measure == "" && c.Name == "" {
		p.measure = indexOf(cols, "measure_name")
	}
	for i, col := range cols {
		if i == p.time || i == p.measure || slices.Contains(c.Skip, col.name) {
			continue
		}
		if err := c.place(p, i, col); err != nil {
			return nil, err
		}
	}
	switch {
	case len(p.dimensions) == 0 && len(c.Constants) == 0:
		return nil, fmt.Errorf("no column is a dimension: name some with --dimensions, or give one to all rows with --constant name=value (columns: %s)", describe(cols))
	case len(p.values) == 0 && len(p.singles) == 0:
		return nil, fmt.Errorf("no column is a measure: name some with --measures (columns: %s)", describe(cols))
	}
	return p, nil
}

// checkNames refuses names of columns that are not there, and columns of one name.
func (c *Columns) checkNames(cols []column) error {
	seen := map[string]bool{}
	for _, col := range cols {
		if seen[col.name] {
			return fmt.Errorf("two columns are named %q; records need one name for one value", col.name)
		}
		seen[col.name] = true
	}
	check := func(flag string, names ...string) error {
		for _, n := range names {
			if n != "" && !seen[n] {
				return fmt.Errorf("%s names the column %q, which is not there (columns: %s)", flag, n, describe(cols))
			}
		}
		return nil
	}
	told := slices.Sorted(maps.Keys(c.Types))
	for _, e := range []error{
		check("--time", c.Time), check("--measure-column", c.Measure), check("--dimensions", c.Dimensions...),
		check("--measures", c.Measures...), check("--skip", c.Skip...), check("--types", told...),
	} {
		if e != nil {
			return e
		}
	}
	return nil
}

func (c *Columns) timeOf(cols []column) (int, error) {
	if c.Time != "" {
		return indexOf(cols, c.Time), nil
	}
	for _, name := range []string{"time", "timestamp", "ts", "datetime", "date"} {
		if i := slices.IndexFunc(cols, func(col column) bool { return strings.EqualFold(col.name, name) }); i >= 0 {
			return i, nil
		}
	}
	found := -1
	for i, col := range cols {
		if col.kind != timestamp && col.kind != nanos {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("both %s and %s could be the time: choose with --time", cols[found].name, col.name)
		}
		found = i
	}
	if found < 0 {
		return -1, fmt.Errorf("no column is the time: name one with --time (columns: %s)", describe(cols))
	}
	return found, nil
}

// unitOf is the unit of integer times; a time column that cannot hold times is an error here, once,
// instead of in every row.
func (c *Columns) unitOf(col column, g *guesses) (int64, error) {
	unit := units[c.Unit]
	switch {
	case c.Unit != "" && unit == 0:
		return 0, fmt.Errorf("--time-unit %s: want s, ms, us or ns", c.Unit)
	case col.kind == timestamp, col.kind == nanos, unit != 0 && col.kind == bigint:
		return unit, nil
	case col.kind == bigint:
		if unit = unitOf(g.times[col.name]); unit == 0 {
			return 0, fmt.Errorf("column %s holds numbers such as %s: say with --time-unit whether they are s, ms, us or ns", col.name, g.times[col.name])
		}
		return unit, nil
	case col.kind == unknown:
		return 0, fmt.Errorf("column %s, the time, is empty in the rows that were looked at; another one can be named with --time", col.name)
	}
	return 0, fmt.Errorf("column %s, the time, holds %s; want 2031-02-03 04:05:06.000000007, ISO 8601 or whole numbers, or another column named with --time", col.name, col.kind)
}

func (c *Columns) place(p *plan, i int, col column) error {
	typ, single := strings.CutPrefix(col.name, "measure_value::")
	switch {
	case slices.Contains(c.Dimensions, col.name):
		p.dimensions = append(p.dimensions, i)
	case single:
		k, ok := kindNames[typ]
		if !ok || typ == "integer" || typ == "timestamp" {
			return fmt.Errorf("column %s: want measure_value:: and double, bigint, varchar or boolean", col.name)
		}
		p.columns[i].kind = k
		p.singles = append(p.singles, i)
	case len(c.Measures) > 0 && !slices.Contains(c.Measures, col.name):
		if len(c.Dimensions) == 0 && c.isDimension(p, i, col) {
			p.dimensions = append(p.dimensions, i)
		}
	case !slices.Contains(c.Measures, col.name) && c.isDimension(p, i, col):
		p.dimensions = append(p.dimensions, i)
	case col.kind == nested:
		return fmt.Errorf("column %s has a type that no record can hold: leave it out with --skip %s", col.name, col.name)
	case col.kind == unknown:
		return fmt.Errorf("column %s holds nothing in the rows that were looked at: say what it is with --types %s=double (or bigint, varchar, boolean, timestamp) or leave it out with --skip %s", col.name, col.name, col.name)
	default:
		p.values = append(p.values, i)
	}
	return nil
}

// isDimension decides about a column that no flag names. In the order of SELECT *, the
// dimensions stand before measure_name and time (sql.md, section 6.2), which tells them from
// measures of type varchar. Columns in paths come last and are dimensions if they are text.
func (c *Columns) isDimension(p *plan, i int, col column) bool {
	switch {
	case len(c.Dimensions) > 0 || col.kind == nested || c.Types[col.name] != unknown && c.Types[col.name] != varchar:
		return false
	case col.partition:
		return col.kind == varchar || col.kind == unknown
	case p.measure >= 0 && !p.columns[p.measure].partition:
		return i < min(p.measure, p.time)
	case p.measure >= 0:
		return col.kind == varchar && i < p.time
	}
	return col.kind == varchar
}

func indexOf(cols []column, name string) int {
	return slices.IndexFunc(cols, func(c column) bool { return c.name == name })
}

func describe(cols []column) string {
	var b strings.Builder
	for i, c := range cols {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.name)
		if c.kind != unknown {
			b.WriteString(" " + c.kind.String())
		}
	}
	return b.String()
}

// String tells the plan to a person.
func (p *plan) String() string {
	var dims, values []string
	for _, d := range p.constants {
		dims = append(dims, aws.ToString(d.Name)+"="+aws.ToString(d.Value))
	}
	for _, i := range p.dimensions {
		dims = append(dims, p.columns[i].name)
	}
	for _, i := range append(slices.Clone(p.singles), p.values...) {
		values = append(values, p.columns[i].name+" "+p.columns[i].kind.String())
	}
	measure := "always " + p.name
	if p.measure >= 0 {
		measure = p.columns[p.measure].name
	}
	return fmt.Sprintf("time: %s%s; measure name: %s; dimensions: %s; measures: %s",
		p.columns[p.time].name, p.unitText(), measure, strings.Join(dims, ", "), strings.Join(values, ", "))
}

func (p *plan) unitText() string {
	if k := p.columns[p.time].kind; k == bigint {
		return map[int64]string{1e9: " (seconds)", 1e6: " (milliseconds)", 1e3: " (microseconds)", 1: " (nanoseconds)"}[p.unit]
	}
	return ""
}

// tableRecords makes records of the rows of a table.
type tableRecords struct {
	rows
	plan *plan
}

func (t *tableRecords) next() (types.Record, error) {
	row, err := t.read()
	if err != nil {
		return types.Record{}, err
	}
	return t.plan.record(row)
}

func (p *plan) record(row []cell) (types.Record, error) {
	var rec types.Record
	if row[p.time].null {
		return rec, badRow("has no time")
	}
	ns, err := p.timeNs(p.time, row[p.time].text)
	if err != nil {
		return rec, badRow("column %s: %v", p.columns[p.time].name, err)
	}
	name := p.name
	if p.measure >= 0 {
		if row[p.measure].null {
			return rec, badRow("has no %s", p.columns[p.measure].name)
		}
		name = row[p.measure].text
	}
	rec.Time, rec.MeasureName = aws.String(ns), aws.String(name)
	if !p.sameSeries(row) {
		p.last = append(make([]types.Dimension, 0, len(p.constants)+len(p.dimensions)), p.constants...)
		for _, i := range p.dimensions {
			if !row[i].null {
				p.last = append(p.last, types.Dimension{Name: &p.columns[i].name, Value: aws.String(row[i].text)})
			}
		}
	}
	if rec.Dimensions = p.last; len(rec.Dimensions) == 0 {
		return rec, badRow("all its dimensions are empty, and a record needs one")
	}
	return rec, p.measures(&rec, row)
}

// sameSeries reports whether the dimensions of a row are those of the row before.
func (p *plan) sameSeries(row []cell) bool {
	if p.last == nil {
		return false
	}
	k := len(p.constants)
	for _, i := range p.dimensions {
		switch {
		case row[i].null:
		case k == len(p.last) || p.last[k].Name != &p.columns[i].name || *p.last[k].Value != row[i].text:
			return false
		default:
			k++
		}
	}
	return k == len(p.last)
}

// measures fills in the value of a single-measure record or those of a multi-measure one.
func (p *plan) measures(rec *types.Record, row []cell) error {
	for _, i := range p.singles {
		if row[i].null {
			continue
		}
		if rec.MeasureValue != nil {
			return badRow("has values in %s and in another column of a single measure", p.columns[i].name)
		}
		v, err := p.value(i, row[i].text)
		if err != nil {
			return err
		}
		rec.MeasureValue, rec.MeasureValueType = v.Value, v.Type
	}
	for _, i := range p.values {
		if row[i].null {
			continue
		}
		v, err := p.value(i, row[i].text)
		if err != nil {
			return err
		}
		rec.MeasureValues = append(rec.MeasureValues, v)
	}
	switch {
	case rec.MeasureValue != nil && rec.MeasureValues != nil:
		return badRow("has a single measure (measure_value::…) and others (%s)", *rec.MeasureValues[0].Name)
	case rec.MeasureValue == nil && rec.MeasureValues == nil:
		return badRow("has no value in any column that is a measure")
	case rec.MeasureValues != nil:
		rec.MeasureValueType = types.MeasureValueTypeMulti
	}
	return nil
}

var valueTypes = map[kind]types.MeasureValueType{
	varchar: types.MeasureValueTypeVarchar, boolean: types.MeasureValueTypeBoolean, bigint: types.MeasureValueTypeBigint,
	double: types.MeasureValueTypeDouble, timestamp: types.MeasureValueTypeTimestamp, nanos: types.MeasureValueTypeTimestamp,
}

// value checks a text against its column's type here, because the API refuses a whole request for
// one value of the wrong form.
func (p *plan) value(i int, text string) (types.MeasureValue, error) {
	col := p.columns[i]
	ok, err := true, error(nil)
	switch col.kind {
	case boolean:
		low := strings.ToLower(text)
		ok, text = low == "true" || low == "false", low
	case bigint:
		_, err = strconv.ParseInt(text, 10, 64)
		ok = err == nil
	case double:
		f, err := strconv.ParseFloat(text, 64)
		ok = err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) && !strings.ContainsAny(text, "xX_")
		if ok && f == 0 {
			text = "0.0" // the API refuses -0.0
		}
	case timestamp, nanos:
		if text, err = p.timeNs(i, text); err != nil {
			return types.MeasureValue{}, badRow("column %s: %v", col.name, err)
		}
	}
	if !ok {
		return types.MeasureValue{}, badRow("column %s: %.64q is no %s; --types %s=varchar or another type reads it differently", col.name, text, col.kind, col.name)
	}
	return types.MeasureValue{Name: aws.String(col.name), Value: aws.String(text), Type: valueTypes[col.kind]}, nil
}

// timeNs is a time as the digits of nanoseconds since 1970.
func (p *plan) timeNs(i int, text string) (string, error) {
	unit := p.unit
	if p.columns[i].kind == nanos {
		unit = 1
	}
	ns, err := parseTime(text, unit)
	if err != nil {
		return "", err
	}
	if ns < 0 {
		return "", fmt.Errorf("%s is before 1970", text)
	}
	return strconv.FormatInt(ns, 10), nil
}
