package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
)

// renderer prints a whole answer.
type renderer func(w io.Writer, t *table) error

var renderers = map[string]renderer{"table": renderTable, "csv": renderCSV, "json": renderJSON}

// renderTable prints aligned columns, numbers to the right, and a count.
func renderTable(w io.Writer, t *table) error {
	widths := make([]int, len(t.columns))
	cells := make([][]string, len(t.rows)+1)
	cells[0] = make([]string, len(t.columns))
	for i, c := range t.columns {
		cells[0][i] = aws.ToString(c.Name)
	}
	for r, row := range t.rows {
		for _, d := range row {
			cells[r+1] = append(cells[r+1], cell(d, "NULL"))
		}
	}
	for _, row := range cells {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var b strings.Builder
	for r, row := range cells {
		for i, text := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i > 0 {
				b.WriteString(" | ")
			}
			if r > 0 && numeric(t.columns[i]) {
				b.WriteString(pad + text)
			} else if i < len(row)-1 {
				b.WriteString(text + pad)
			} else {
				b.WriteString(text)
			}
		}
		b.WriteByte('\n')
		if r == 0 {
			for i, n := range widths {
				if i > 0 {
					b.WriteString("-+-")
				}
				b.WriteString(strings.Repeat("-", n))
			}
			b.WriteByte('\n')
		}
	}
	plural := "s"
	if len(t.rows) == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, "(%d row%s)\n", len(t.rows), plural)
	_, err := io.WriteString(w, b.String())
	return err
}

func numeric(c types.ColumnInfo) bool {
	switch c.Type.ScalarType {
	case types.ScalarTypeBigint, types.ScalarTypeInteger, types.ScalarTypeDouble:
		return true
	}
	return false
}

// renderCSV prints a header and rows by RFC 4180; null is an empty field.
func renderCSV(w io.Writer, t *table) error {
	out := csv.NewWriter(w)
	record := make([]string, len(t.columns))
	for i, c := range t.columns {
		record[i] = aws.ToString(c.Name)
	}
	out.Write(record)
	for _, row := range t.rows {
		for i, d := range row {
			record[i] = cell(d, "")
		}
		out.Write(record)
	}
	out.Flush()
	return out.Error()
}

// renderJSON prints one object a row, columns in order; numbers and booleans as JSON
// has them, all else as text.
func renderJSON(w io.Writer, t *table) error {
	var b []byte
	for _, row := range t.rows {
		b = append(b, '{')
		for i, d := range row {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, aws.ToString(t.columns[i].Name))
			b = append(b, ':')
			b = appendDatum(b, d, t.columns[i].Type)
		}
		b = append(b, '}', '\n')
	}
	_, err := w.Write(b)
	return err
}

// cell is a datum as text; nested values are JSON.
func cell(d types.Datum, null string) string {
	switch {
	case d.ScalarValue != nil:
		return *d.ScalarValue
	case aws.ToBool(d.NullValue):
		return null
	}
	return string(appendDatum(nil, d, nil))
}

func appendString(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always can be
	return append(b, text...)
}

// appendDatum writes d as JSON. typ may be nil, when scalars are written as text.
func appendDatum(b []byte, d types.Datum, typ *types.Type) []byte {
	switch {
	case d.ScalarValue != nil:
		if typ != nil && bare(typ.ScalarType, *d.ScalarValue) {
			return append(b, *d.ScalarValue...)
		}
		return appendString(b, *d.ScalarValue)
	case d.ArrayValue != nil:
		return appendList(b, d.ArrayValue, func(int) *types.Type {
			if typ == nil || typ.ArrayColumnInfo == nil {
				return nil
			}
			return typ.ArrayColumnInfo.Type
		})
	case d.RowValue != nil:
		return appendList(b, d.RowValue.Data, func(i int) *types.Type {
			if typ == nil || i >= len(typ.RowColumnInfo) {
				return nil
			}
			return typ.RowColumnInfo[i].Type
		})
	case d.TimeSeriesValue != nil:
		b = append(b, '[')
		for i, p := range d.TimeSeriesValue {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"time":`...)
			b = appendString(b, aws.ToString(p.Time))
			b = append(b, `,"value":`...)
			var value *types.Type
			if typ != nil && typ.TimeSeriesMeasureValueColumnInfo != nil {
				value = typ.TimeSeriesMeasureValueColumnInfo.Type
			}
			b = append(appendDatum(b, *p.Value, value), '}')
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

func appendList(b []byte, list []types.Datum, typ func(i int) *types.Type) []byte {
	b = append(b, '[')
	for i, d := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendDatum(b, d, typ(i))
	}
	return append(b, ']')
}

// bare reports whether a scalar's text is JSON as it stands.
func bare(t types.ScalarType, text string) bool {
	switch t {
	case types.ScalarTypeBigint, types.ScalarTypeInteger, types.ScalarTypeBoolean:
		return true
	case types.ScalarTypeDouble:
		return json.Valid([]byte(text)) // not NaN and the infinities
	}
	return false
}
