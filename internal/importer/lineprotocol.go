package importer

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

// lineRecords reads Influx line protocol (InfluxDB documentation, "Line protocol"):
//
//	measurement[,tag=value…] field=value[,field=value…] timestamp
//
// A line becomes a multi-measure record: tags are dimensions, the measurement is the measure
// name, fields are measures; unsigned integers are bigints. Empty lines and comments are no rows.
type lineRecords struct {
	in        *bufio.Reader
	close     func() error
	unit      int64 // of timestamps, ns
	constants []types.Dimension
	buf       []byte
	at, nextN int64
}

func newLineRecords(in io.Reader, closer func() error, unit int64, constants []types.Dimension) *lineRecords {
	return &lineRecords{in: bufio.NewReaderSize(in, 256<<10), close: closer, unit: unit, constants: constants, nextN: 1}
}

func (r *lineRecords) line() int64        { return r.at }
func (r *lineRecords) Close() error       { return r.close() }
func (r *lineRecords) skip(n int64) error { return skipRows(n, r.scan) }

func (r *lineRecords) next() (types.Record, error) {
	text, err := r.scan()
	if err != nil {
		return types.Record{}, err
	}
	return r.parse(text)
}

// scan returns the next line that is a row; a line break in a quoted field value is part of it.
func (r *lineRecords) scan() (string, error) {
	for {
		if err := r.scanLine(); err != nil {
			return "", err
		}
		text := strings.TrimSpace(string(r.buf))
		if text != "" && text[0] != '#' {
			return text, nil
		}
	}
}

func (r *lineRecords) scanLine() error {
	r.buf, r.at = r.buf[:0], r.nextN
	inFields, inQuotes, comment := false, false, false
	for {
		c, err := r.in.ReadByte()
		switch {
		case err == io.EOF && inQuotes:
			return fmt.Errorf("line %d: a quote is not closed", r.at)
		case err == io.EOF && len(r.buf) > 0:
			return nil
		case err != nil:
			return err
		}
		if c == '\n' {
			r.nextN++
			if !inQuotes {
				return nil
			}
		}
		if len(r.buf) == 0 && c == '#' {
			comment = true
		}
		escaped := len(r.buf) > 0 && r.buf[len(r.buf)-1] == '\\' && oddBackslashes(r.buf)
		switch {
		case comment || escaped:
		case c == ' ' && len(r.buf) > 0:
			inFields = true
		case c == '"' && inFields:
			inQuotes = !inQuotes
		}
		if r.buf = append(r.buf, c); len(r.buf) > maxRowBytes {
			return fmt.Errorf("line %d: more than %d MiB; is a quote not closed?", r.at, maxRowBytes>>20)
		}
	}
}

func oddBackslashes(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func (r *lineRecords) parse(text string) (types.Record, error) {
	var rec types.Record
	head, rest := cutUnescaped(text, ' ')
	series := splitUnescaped(head, ',')
	measurement := unescape(series[0])
	if measurement == "" {
		return rec, badRow("has no measurement")
	}
	rec.MeasureName, rec.MeasureValueType = aws.String(measurement), types.MeasureValueTypeMulti
	rec.Dimensions = append(rec.Dimensions, r.constants...)
	for _, tag := range series[1:] {
		name, value := cutUnescaped(tag, '=')
		if name, value = unescape(name), unescape(value); name == "" || value == "" {
			return rec, badRow("tag %q: want name=value", tag)
		}
		rec.Dimensions = append(rec.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(value)})
	}
	// Rows of a series go through one connection, which its tags choose in whatever order they are.
	slices.SortFunc(rec.Dimensions, func(a, b types.Dimension) int { return strings.Compare(*a.Name, *b.Name) })
	if len(rec.Dimensions) == 0 {
		return rec, badRow("has no tag, and a record needs a dimension: give --constant name=value")
	}
	fields, stamp := cutFields(strings.TrimLeft(rest, " "))
	if fields == "" {
		return rec, badRow("has no fields; want measurement,tag=value field=value timestamp")
	}
	if stamp == "" {
		return rec, badRow("has no timestamp")
	}
	n, err := parseTime(stamp, r.unit)
	if err != nil {
		return rec, badRow("%v", err)
	}
	if n < 0 {
		return rec, badRow("time %s is before 1970", stamp)
	}
	rec.Time = aws.String(strconv.FormatInt(n, 10))
	for _, f := range splitFields(fields) {
		name, value := cutUnescaped(f, '=')
		v, err := fieldValue(value)
		if name = unescape(name); name == "" || err != nil {
			return rec, badRow("field %q: want name=value with a number, 1i, 1u, true, false or a \"text\"", f)
		}
		if v.Value != nil {
			v.Name = aws.String(name)
			rec.MeasureValues = append(rec.MeasureValues, v)
		}
	}
	if len(rec.MeasureValues) == 0 {
		return rec, badRow("holds nothing but empty texts")
	}
	return rec, nil
}

// cutUnescaped cuts text at the first sep that no backslash precedes.
func cutUnescaped(text string, sep byte) (before, after string) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case sep:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

func splitUnescaped(text string, sep byte) []string {
	var parts []string
	from := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case sep:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[from:])
}

// cutFields cuts at the first blank outside of quotes.
func cutFields(text string) (fields, stamp string) {
	if i := outsideQuotes(text, 0, ' '); i >= 0 {
		return text[:i], strings.TrimSpace(text[i+1:])
	}
	return text, ""
}

func splitFields(text string) []string {
	var parts []string
	for {
		i := outsideQuotes(text, 0, ',')
		if i < 0 {
			return append(parts, text)
		}
		parts, text = append(parts, text[:i]), text[i+1:]
	}
}

// outsideQuotes finds sep from i on, outside of quotes and not escaped; -1 if there is none.
func outsideQuotes(text string, i int, sep byte) int {
	quoted := false
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return i
		}
	}
	return -1
}

// unescape takes the backslash from before a comma, an equals sign and a blank; elsewhere it is
// itself.
func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	return unescaper.Replace(text)
}

var (
	unescaper     = strings.NewReplacer(`\,`, `,`, `\=`, `=`, `\ `, ` `)
	textUnescaper = strings.NewReplacer(`\"`, `"`, `\\`, `\`)
)

// fieldValue reads a field's value; an empty text gives no value, as no record can hold it.
func fieldValue(text string) (types.MeasureValue, error) {
	bad := fmt.Errorf("no value")
	value := func(t types.MeasureValueType, s string) (types.MeasureValue, error) {
		return types.MeasureValue{Type: t, Value: aws.String(s)}, nil
	}
	switch text {
	case "":
		return types.MeasureValue{}, bad
	case "t", "T", "true", "True", "TRUE":
		return value(types.MeasureValueTypeBoolean, "true")
	case "f", "F", "false", "False", "FALSE":
		return value(types.MeasureValueTypeBoolean, "false")
	}
	last := text[len(text)-1]
	switch {
	case text[0] == '"' && last == '"' && len(text) > 1:
		if len(text) == 2 {
			return types.MeasureValue{}, nil
		}
		return value(types.MeasureValueTypeVarchar, textUnescaper.Replace(text[1:len(text)-1]))
	case last == 'i':
		if _, err := strconv.ParseInt(text[:len(text)-1], 10, 64); err != nil {
			return types.MeasureValue{}, bad
		}
		return value(types.MeasureValueTypeBigint, text[:len(text)-1])
	case last == 'u':
		if n, err := strconv.ParseUint(text[:len(text)-1], 10, 64); err != nil || n > math.MaxInt64 {
			return types.MeasureValue{}, bad
		}
		return value(types.MeasureValueTypeBigint, text[:len(text)-1])
	}
	if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsNaN(f) || math.IsInf(f, 0) || strings.ContainsAny(text, "xX_") {
		return types.MeasureValue{}, bad
	}
	return value(types.MeasureValueTypeDouble, text)
}
