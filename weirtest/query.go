package weirtest

import (
	"strings"
)

// Result is the answer to a query.
type Result struct {
	Columns []string   // "name type", the type as SQL's typeof() spells it: "n bigint"
	Rows    [][]string // in the API's text, see [Server.Query]
}

// Query runs a statement to its last page and returns the rows, each value in the API's
// text: timestamps as 2031-02-03 12:00:00.000000000, doubles as 20.5, null as NULL; arrays
// and time series in brackets, rows and points in parentheses. If it fails, the test does.
func (s *Server) Query(sql string) [][]string {
	s.t.Helper()
	result, err := s.TryQuery(sql)
	if err != nil {
		s.t.Fatalf("weirtest: %s\n%v", sql, err)
	}
	return result.Rows
}

// TryQuery runs a statement that may fail, with an [*APIError], or whose columns matter.
func (s *Server) TryQuery(sql string) (*Result, error) {
	result := &Result{}
	in := map[string]any{"QueryString": sql}
	for {
		var page struct {
			ColumnInfo []column
			Rows       []row
			NextToken  string
		}
		if err := s.Call("Query", in, &page); err != nil {
			return nil, err
		}
		result.Columns = result.Columns[:0]
		for _, c := range page.ColumnInfo {
			result.Columns = append(result.Columns, c.Name+" "+c.Type.text())
		}
		for _, r := range page.Rows {
			result.Rows = append(result.Rows, r.texts())
		}
		if page.NextToken == "" {
			return result, nil
		}
		in["NextToken"] = page.NextToken
	}
}

// column, typ, row and datum are the API's ColumnInfo, Type, Row and Datum.
type column struct {
	Name string
	Type typ
}

type typ struct {
	ScalarType                       string
	ArrayColumnInfo                  *column
	TimeSeriesMeasureValueColumnInfo *column
	RowColumnInfo                    []column
}

func (t typ) text() string {
	switch {
	case t.ArrayColumnInfo != nil:
		return "array(" + t.ArrayColumnInfo.Type.text() + ")"
	case t.TimeSeriesMeasureValueColumnInfo != nil:
		return "timeseries(" + t.TimeSeriesMeasureValueColumnInfo.Type.text() + ")"
	case t.RowColumnInfo != nil:
		fields := make([]string, len(t.RowColumnInfo))
		for i, f := range t.RowColumnInfo {
			fields[i] = f.Name + " " + f.Type.text()
		}
		return "row(" + strings.Join(fields, ", ") + ")"
	}
	return strings.ReplaceAll(strings.ToLower(t.ScalarType), "_", " ")
}

type row struct{ Data []datum }

type datum struct {
	ScalarValue     *string
	ArrayValue      []datum
	RowValue        *row
	TimeSeriesValue []struct {
		Time  string
		Value datum
	}
	NullValue bool
}

func (r row) texts() []string {
	out := make([]string, len(r.Data))
	for i, d := range r.Data {
		out[i] = d.text()
	}
	return out
}

func (d datum) text() string {
	switch {
	case d.NullValue:
		return "NULL"
	case d.ScalarValue != nil:
		return *d.ScalarValue
	case d.RowValue != nil:
		return "(" + strings.Join(d.RowValue.texts(), ", ") + ")"
	case d.TimeSeriesValue != nil:
		points := make([]string, len(d.TimeSeriesValue))
		for i, p := range d.TimeSeriesValue {
			points[i] = "(" + p.Time + ", " + p.Value.text() + ")"
		}
		return "[" + strings.Join(points, ", ") + "]"
	}
	return "[" + strings.Join(row{d.ArrayValue}.texts(), ", ") + "]"
}
