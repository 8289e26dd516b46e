package timestream

import (
	"math"
	"strconv"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/vec"
)

// appendPage appends the output of Query but for its rows, which go where the second part begins: at dst[at:]. What
// clients need of it is reference/clients.md, rules R1 to R15; above all, Rows and
// ColumnInfo are always there, and a datum has exactly one key.
func (s *service) appendPage(dst []byte, p *query.Page) (out []byte, at int) {
	dst = append(dst, `{"QueryId":`...)
	dst = wire.AppendString(dst, p.QueryID)
	if p.NextToken != "" {
		dst = append(dst, `,"NextToken":`...)
		dst = wire.AppendString(dst, p.NextToken)
	}
	dst = append(dst, `,"Rows":[`...)
	at = len(dst)
	dst = append(dst, `],"ColumnInfo":[`...)
	for i, c := range p.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendColumnInfo(dst, columnName(c.Name, i), c.Type)
	}
	dst = append(dst, `],"QueryStatus":{"ProgressPercentage":`...)
	dst = appendFloat(dst, p.Progress)
	dst = append(dst, `,"CumulativeBytesScanned":`...)
	dst = strconv.AppendInt(dst, p.BytesScanned, 10)
	dst = append(dst, `,"CumulativeBytesMetered":`...)
	dst = strconv.AppendInt(dst, p.BytesMetered, 10)
	dst = append(dst, '}')
	if p.Insights != nil {
		dst = append(dst, `,"QueryInsightsResponse":`...)
		dst = wire.AppendJSON(dst, s.insightsShape(p.Insights))
	}
	return append(dst, '}'), at
}

// rowsOf is the rows of a page without the comma behind the last.
func rowsOf(p *query.Page) []byte { return p.Rows[:max(0, len(p.Rows)-1)] }

// appendFloat appends a finite JSON number.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// columnName is the name of column i, which clients need to have one.
func columnName(name string, i int) string {
	if name == "" {
		return "_col" + strconv.Itoa(i)
	}
	return name
}

// AppendRows is the [query.Render] of this door: rows as JSON, straight from columns, each with a comma behind it. Rows come by series, so a
// row mostly begins with the dimensions of the row before: columns that are as there are
// copied from there, neighbours at once.
func AppendRows(dst []byte, b *vec.Batch, ends []int) ([]byte, []int) {
	var few [32]repeats
	columns := few[:0]
	for _, col := range b.Columns {
		c := repeats{v: col}
		if col.Form == vec.Flat && col.Nulls == nil && col.Type.Kind == vec.Double {
			c.doubles = col.Floats
		}
		columns = append(columns, c)
	}
	for i := range b.Len {
		dst = append(dst, `{"Data":[`...)
		for k := 0; k < len(columns); k++ {
			if doubles := columns[k].doubles; doubles != nil {
				dst = appendDouble(dst, doubles[i])
				continue
			}
			if i == 0 || !columns[k].same(i) {
				dst = columns[k].appendDatum(dst, i)
				continue
			}
			last := k
			for last+1 < len(columns) && columns[last+1].same(i) {
				last++
			}
			moved := len(dst) - columns[k].from
			dst = append(dst, dst[columns[k].from:columns[last].to]...)
			for ; k <= last; k++ {
				columns[k].from, columns[k].to = columns[k].from+moved, columns[k].to+moved
			}
			k = last
		}
		if len(columns) > 0 {
			dst = dst[:len(dst)-1] // the comma
		}
		dst = append(dst, "]},"...)
		ends = append(ends, len(dst))
	}
	return dst, ends
}

// repeats is a column, and where the datum of the row before stands in the answer; that is not
// kept for columns that are never the same.
type repeats struct {
	v        *vec.Vector
	doubles  []float64 // of a flat column of doubles without nulls, else nil
	from, to int       // in dst, with the comma
	day      int64     // of timestamps: of the row before
	dated    bool      // day is set
}

// same reports whether row i, not the first, surely has the value of the row before.
func (c *repeats) same(i int) bool {
	switch c.v.Form {
	case vec.Constant:
		return true
	case vec.Dictionary:
		return c.v.Index[i] == c.v.Index[i-1]
	}
	return c.v.Type.Kind == vec.Varchar && c.v.Nulls == nil && c.v.Strs[i] == c.v.Strs[i-1]
}

const scalarStart = `{"ScalarValue":"`

// wholeDatum is the datum of a small whole number, with the comma, in an array: as many bytes are copied whatever its
// length, for which no call is needed.
type wholeDatum struct {
	text   [len(scalarStart + `999.0"},`)]byte
	length uint8
}

// wholeData are the data of small whole numbers, which counts and percentages are: one copy in place of three, of a size
// that is known, takes a quarter off BenchmarkRows/ten_percentages.
var wholeData = func() (data [1000]wholeDatum) {
	for n := range data {
		data[n].length = uint8(copy(data[n].text[:], scalarStart+string(vec.AppendDouble(nil, float64(n)))+`"},`))
	}
	return data
}()

// appendDouble appends the datum of f, with a comma.
func appendDouble(dst []byte, f float64) []byte {
	// The bits are compared since -0.0 is another text.
	if n := int(f); uint(n) < uint(len(wholeData)) && math.Float64bits(float64(n)) == math.Float64bits(f) {
		d := &wholeData[n]
		return append(dst, d.text[:]...)[:len(dst)+int(d.length)]
	}
	dst = append(dst, scalarStart...)
	return append(vec.AppendDouble(dst, f), `"},`...)
}

// appendDatum appends row i, with a comma behind it.
func (c *repeats) appendDatum(dst []byte, i int) []byte {
	if c.v.Form == vec.Flat && c.v.Nulls == nil && c.v.Type.Kind == vec.Timestamp {
		return c.appendTimestamp(dst, c.v.Ints[i])
	}
	c.from = len(dst)
	dst = append(appendDatum(dst, c.v, i), ',')
	c.to = len(dst)
	return dst
}

// appendTimestamp takes the date from the row before, if it is the same.
func (c *repeats) appendTimestamp(dst []byte, ns int64) []byte {
	day, from := vec.FloorDiv(ns, vec.Day), len(dst)
	if c.dated && day == c.day {
		dst = append(dst, dst[c.from:c.to]...)
	} else {
		dst = vec.AppendDate(append(dst, scalarStart...), day)
		dst = append(dst, ' ')
		c.day, c.dated = day, true
	}
	c.from, c.to = from, len(dst)
	return append(vec.AppendTime(dst, ns-day*vec.Day), `"},`...)
}

// appendDatum appends row i of a vector of any type.
func appendDatum(dst []byte, v *vec.Vector, i int) []byte {
	v, i = v.At(i)
	if v.Type.Kind == vec.Unknown || v.Nulls != nil && v.Nulls[i] {
		return append(dst, `{"NullValue":true}`...)
	}
	switch v.Type.Kind {
	case vec.Varchar:
		dst = append(dst, `{"ScalarValue":`...)
		return append(wire.AppendString(dst, v.Strs[i]), '}')
	case vec.Array:
		dst = append(dst, `{"ArrayValue":[`...)
		for j := v.Offsets[i]; j < v.Offsets[i+1]; j++ {
			if j > v.Offsets[i] {
				dst = append(dst, ',')
			}
			dst = appendDatum(dst, v.Children[0], int(j))
		}
		return append(dst, "]}"...)
	case vec.TimeSeries:
		dst = append(dst, `{"TimeSeriesValue":[`...)
		for j := v.Offsets[i]; j < v.Offsets[i+1]; j++ {
			if j > v.Offsets[i] {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"Time":"`...)
			dst = vec.AppendText(dst, v.Children[0], int(j))
			dst = append(dst, `","Value":`...)
			dst = append(appendDatum(dst, v.Children[1], int(j)), '}')
		}
		return append(dst, "]}"...)
	case vec.Row:
		dst = append(dst, `{"RowValue":{"Data":[`...)
		for k, child := range v.Children {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = appendDatum(dst, child, i)
		}
		return append(dst, "]}}"...)
	}
	// The texts of all other types are free of what JSON escapes.
	dst = append(dst, `{"ScalarValue":"`...)
	dst = vec.AppendText(dst, v, i)
	return append(dst, `"}`...)
}

func appendColumnInfo(dst []byte, name string, t vec.Type) []byte {
	return wire.AppendJSON(dst, columnInfo{name, typeShape(t)})
}

// columnInfo and typeOut are the API's ColumnInfo and Type.
type columnInfo struct {
	Name string
	Type *typeOut
}

type typeOut struct {
	ScalarType                       string
	ArrayColumnInfo                  *columnInfo
	TimeSeriesMeasureValueColumnInfo *columnInfo
	RowColumnInfo                    []columnInfo
}

// typeShape is a type in the API's form.
func typeShape(t vec.Type) *typeOut {
	switch t.Kind {
	case vec.Array:
		return &typeOut{ArrayColumnInfo: &columnInfo{Type: typeShape(*t.Elem)}}
	case vec.TimeSeries:
		return &typeOut{TimeSeriesMeasureValueColumnInfo: &columnInfo{Type: typeShape(*t.Elem)}}
	case vec.Row:
		out := &typeOut{RowColumnInfo: []columnInfo{}}
		for i, f := range t.Fields {
			name := f.Name
			if name == "" {
				name = "field" + strconv.Itoa(i)
			}
			out.RowColumnInfo = append(out.RowColumnInfo, columnInfo{name, typeShape(f.Type)})
		}
		return out
	}
	return &typeOut{ScalarType: scalarTypes[t.Kind]}
}

var scalarTypes = map[vec.Kind]string{
	vec.Unknown: "UNKNOWN", vec.Boolean: "BOOLEAN", vec.Integer: "INTEGER", vec.Bigint: "BIGINT", vec.Double: "DOUBLE",
	vec.Varchar: "VARCHAR", vec.Timestamp: "TIMESTAMP", vec.Date: "DATE", vec.Time: "TIME",
	vec.IntervalDay: "INTERVAL_DAY_TO_SECOND", vec.IntervalYear: "INTERVAL_YEAR_TO_MONTH",
}

type insightsOut struct {
	QuerySpatialCoverage *spatialCoverage
	QueryTemporalRange   *temporalRange
	QueryTableCount      int64
	OutputRows           int64
	OutputBytes          int64
}

type spatialCoverage struct {
	Max struct {
		Value        float64
		TableArn     string
		PartitionKey []string
	}
}

type temporalRange struct {
	Max struct {
		Value    int64
		TableArn string
	}
}

// insightsShape leaves coverage and range out when no table was read.
func (s *service) insightsShape(in *query.Insights) *insightsOut {
	out := &insightsOut{QueryTableCount: in.Tables, OutputRows: in.OutputRows, OutputBytes: in.OutputBytes}
	if in.Tables == 0 {
		return out
	}
	out.QuerySpatialCoverage, out.QueryTemporalRange = &spatialCoverage{}, &temporalRange{}
	space, span := &out.QuerySpatialCoverage.Max, &out.QueryTemporalRange.Max
	space.Value, space.PartitionKey = in.SpatialCoverage, in.PartitionKey
	space.TableArn = s.arnOf(in.SpatialTable.Database, in.SpatialTable.Table)
	span.Value, span.TableArn = in.TemporalRangeNs, s.arnOf(in.TemporalTable.Database, in.TemporalTable.Table)
	return out
}

func (s *service) arnOf(database, table string) string {
	t, err := s.Catalog.Table(database, table)
	if err != nil {
		return "" // dropped since
	}
	return t.ARN
}
