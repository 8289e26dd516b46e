package pgwire

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/vec"
)

// Text forms, as Postgres writes them with its settings at their defaults (DateStyle ISO, IntervalStyle postgres,
// extra_float_digits 1).

// appendText appends slot i of a flat vector, which is not null.
func (t *columnType) appendText(dst []byte, v *vec.Vector, i int) []byte {
	switch t.kind {
	case vec.Double:
		return appendFloat8(dst, v.Floats[i])
	case vec.Varchar:
		return appendClean(dst, v.Strs[i])
	case vec.Boolean:
		if v.Bools[i] {
			return append(dst, 't')
		}
		return append(dst, 'f')
	case vec.Integer, vec.Bigint:
		return strconv.AppendInt(dst, v.Ints[i], 10)
	case vec.Timestamp:
		return appendTimestamp(dst, v.Ints[i])
	case vec.Date:
		return appendDate(dst, v.Ints[i])
	case vec.Time:
		return appendTime(dst, v.Ints[i])
	case vec.IntervalDay, vec.IntervalYear:
		return appendInterval(dst, intervalOf(t.kind, v.Ints[i]))
	}
	if t.json {
		return appendJSON(dst, v, i)
	}
	return t.appendArray(dst, v, i)
}

// appendClean appends a text without its zero bytes, which a Postgres text cannot have.
func appendClean(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	if bytes.IndexByte(dst[start:], 0) < 0 {
		return dst
	}
	clean := dst[:start]
	for _, b := range dst[start:] {
		if b != 0 {
			clean = append(clean, b)
		}
	}
	return clean
}

// appendFloat8 appends the shortest digits that read back the same, without an exponent where 10^-4 <= |f| < 10^15 (Postgres source,
// d2s.c).
func appendFloat8(dst []byte, f float64) []byte {
	a := math.Abs(f)
	if a >= 1e-3 && a < 1e7 {
		dst = vec.AppendDouble(dst, f) // has ways of its own for measured values
		if n := len(dst); dst[n-1] == '0' && dst[n-2] == '.' {
			dst = dst[:n-2]
		}
		return dst
	}
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	case a == 0 || a >= 1e-4 && a < 1e15:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}

// appendTimestamp appends a time in ns, cut to microseconds.
func appendTimestamp(dst []byte, ns int64) []byte {
	days := vec.FloorDiv(ns, vec.Day)
	dst, bc := appendDay(dst, days)
	dst = append(dst, ' ')
	dst = appendTime(dst, ns-days*vec.Day)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendDate(dst []byte, days int64) []byte {
	dst, bc := appendDay(dst, days)
	if bc {
		dst = append(dst, " BC"...)
	}
	return dst
}

// appendDay appends a day without its era; bc says that it is one before Christ, who had no year 0.
func appendDay(dst []byte, days int64) (_ []byte, bc bool) {
	y, m, d := vec.CivilOf(days)
	if bc = y <= 0; bc {
		y = 1 - y
	}
	dst = appendPadded(dst, y, 4)
	dst = append(dst, '-', byte('0'+m/10), byte('0'+m%10), '-', byte('0'+d/10), byte('0'+d%10))
	return dst, bc
}

// appendTime appends ns since midnight, cut to microseconds, without zeros at the end.
func appendTime(dst []byte, ns int64) []byte {
	s := ns / vec.Second
	h, m, sec := s/3600, s/60%60, s%60
	dst = append(dst, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+sec/10), byte('0'+sec%10))
	return appendFraction(dst, ns%vec.Second/vec.Microsecond)
}

// appendFraction appends microseconds of a second as .nnnnnn, without zeros at the end.
func appendFraction(dst []byte, micros int64) []byte {
	if micros == 0 {
		return dst
	}
	dst = append(dst, '.')
	dst = appendPadded(dst, micros, 6)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendPadded appends n >= 0 in at least width digits.
func appendPadded(dst []byte, n int64, width int) []byte {
	for limit := pow10(width - 1); limit > n && limit > 1; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, n, 10)
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// interval is an interval of Postgres: its parts do not turn into each other.
type interval struct{ months, days, micros int64 }

// intervalOf returns the interval that is shown for n, in ns or months.
func intervalOf(k vec.Kind, n int64) interval {
	if k == vec.IntervalYear {
		return interval{months: n}
	}
	return interval{days: n / vec.Day, micros: n % vec.Day / vec.Microsecond}
}

// appendInterval appends an interval in the style "postgres": a sign of its own for each part, and a + before what is
// positive behind a negative one (Postgres source, EncodeInterval).
func appendInterval(dst []byte, v interval) []byte {
	start, negative := len(dst), false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		if negative && n > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, n, 10)
		dst = append(dst, ' ')
		dst = append(dst, unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
		negative = n < 0
	}
	part(v.months/12, "year")
	part(v.months%12, "mon")
	part(v.days, "day")
	if v.micros == 0 && len(dst) > start {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	us := v.micros
	if us < 0 {
		dst, us = append(dst, '-'), -us
	} else if negative {
		dst = append(dst, '+')
	}
	dst = appendPadded(dst, us/3_600_000_000, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, us/60_000_000%60, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, us/1_000_000%60, 2)
	return appendFraction(dst, us%1_000_000)
}

// appendArray appends an array of scalars as {1,NULL,"a b"}.
func (t *columnType) appendArray(dst []byte, v *vec.Vector, i int) []byte {
	dst = append(dst, '{')
	for c := v.Offsets[i]; c < v.Offsets[i+1]; c++ {
		if c > v.Offsets[i] {
			dst = append(dst, ',')
		}
		e, k := v.Children[0].At(int(c))
		if isNull(e, k) {
			dst = append(dst, "NULL"...)
			continue
		}
		start := len(dst)
		dst = t.element.appendText(dst, e, k)
		if needsQuotes(dst[start:]) {
			dst = quoteElement(dst, start)
		}
	}
	return append(dst, '}')
}

func isNull(v *vec.Vector, i int) bool {
	return v.Type.Kind == vec.Unknown || v.Nulls != nil && v.Nulls[i]
}

// needsQuotes says whether an element would be read as something else (Postgres source, array_out).
func needsQuotes(s []byte) bool {
	if len(s) == 0 || len(s) == 4 && bytes.EqualFold(s, []byte("NULL")) {
		return true
	}
	for _, b := range s {
		switch b {
		case '"', '\\', '{', '}', ',', ' ', '\t', '\n', '\r', '\v', '\f':
			return true
		}
	}
	return false
}

// quoteElement puts dst[start:] in double quotes.
func quoteElement(dst []byte, start int) []byte {
	text := bytes.Clone(dst[start:])
	dst = append(dst[:start], '"')
	for _, b := range text {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}

// appendJSON appends slot i, of any type, as JSON: rows are objects, or lists if a field has no name or two have the same;
// series are lists of objects with time and value. Numbers that JSON lacks are texts, as in Postgres.
func appendJSON(dst []byte, v *vec.Vector, i int) []byte {
	v, i = v.At(i)
	if isNull(v, i) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case vec.Boolean:
		return strconv.AppendBool(dst, v.Bools[i])
	case vec.Integer, vec.Bigint:
		return strconv.AppendInt(dst, v.Ints[i], 10)
	case vec.Double:
		if f := v.Floats[i]; !math.IsNaN(f) && !math.IsInf(f, 0) {
			return appendFloat8(dst, f)
		}
	case vec.Timestamp: // ISO 8601, as to_json writes it
		dst = append(dst, '"')
		start := len(dst)
		dst = appendTimestamp(dst, v.Ints[i])
		if at := bytes.IndexByte(dst[start:], ' '); at >= 0 {
			dst[start+at] = 'T'
		}
		return append(dst, '"')
	case vec.Array:
		return appendList(dst, v.Offsets[i], v.Offsets[i+1], func(dst []byte, c int) []byte { return appendJSON(dst, v.Children[0], c) })
	case vec.TimeSeries:
		return appendList(dst, v.Offsets[i], v.Offsets[i+1], func(dst []byte, c int) []byte {
			dst = appendJSON(append(dst, `{"time":`...), v.Children[0], c)
			dst = appendJSON(append(dst, `,"value":`...), v.Children[1], c)
			return append(dst, '}')
		})
	case vec.Row:
		return appendRow(dst, v, i)
	}
	t := typeOf(v.Type)
	return appendJSONText(dst, t.appendText(nil, v, i))
}

func appendList(dst []byte, from, to int32, element func(dst []byte, c int) []byte) []byte {
	dst = append(dst, '[')
	for c := from; c < to; c++ {
		if c > from {
			dst = append(dst, ',')
		}
		dst = element(dst, int(c))
	}
	return append(dst, ']')
}

func appendRow(dst []byte, v *vec.Vector, i int) []byte {
	fields := v.Type.Fields
	if !named(fields) {
		return appendList(dst, 0, int32(len(fields)), func(dst []byte, f int) []byte { return appendJSON(dst, v.Children[f], i) })
	}
	dst = append(dst, '{')
	for f := range fields {
		if f > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONText(dst, []byte(fields[f].Name))
		dst = appendJSON(append(dst, ':'), v.Children[f], i)
	}
	return append(dst, '}')
}

func named(fields []vec.Field) bool {
	for i, f := range fields {
		if f.Name == "" {
			return false
		}
		for _, g := range fields[:i] {
			if g.Name == f.Name {
				return false
			}
		}
	}
	return true
}

func appendJSONText(dst, text []byte) []byte {
	plain := utf8.Valid(text)
	for _, b := range text {
		plain = plain && b >= ' ' && b != '"' && b != '\\'
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, text...)
		return append(dst, '"')
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(text)); err != nil {
		panic("bug: " + err.Error())
	}
	return append(dst, bytes.TrimRight(buf.Bytes(), "\n")...)
}
