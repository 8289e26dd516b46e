package unload

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/vec"
)

// csvWriter makes lines of CSV as UNLOAD writes them: values in quotes if they hold what would end them, and
// quotes and escape characters in values escaped; nulls are empty. Values with quotes
// or escapes are always in quotes, which readers of all schools take the same way.
type csvWriter struct {
	delimiter byte
	escape    string
	value     []byte
}

func (w *csvWriter) appendHeader(dst []byte, names []string) []byte {
	for i, n := range names {
		if i > 0 {
			dst = append(dst, w.delimiter)
		}
		dst = w.appendField(dst, []byte(n))
	}
	return append(dst, '\n')
}

func (w *csvWriter) appendRow(dst []byte, columns []*vec.Vector, i int) []byte {
	for k, c := range columns {
		if k > 0 {
			dst = append(dst, w.delimiter)
		}
		v, j := c.At(i)
		if v.Nulls != nil && v.Nulls[j] {
			continue
		}
		w.value = w.value[:0]
		if v.Type.Kind.Storage() == vec.StoreNested {
			w.value = appendJSON(w.value, v, j)
		} else {
			w.value = vec.AppendText(w.value, v, j)
		}
		dst = w.appendField(dst, w.value)
	}
	return append(dst, '\n')
}

func (w *csvWriter) appendField(dst, value []byte) []byte {
	if !w.needsQuotes(value) {
		return append(dst, value...)
	}
	dst = append(dst, '"')
	for i := 0; i < len(value); {
		n := 1
		if value[i] >= utf8.RuneSelf && len(w.escape) > 1 {
			_, n = utf8.DecodeRune(value[i:])
		}
		if c := value[i : i+n]; c[0] == '"' || string(c) == w.escape {
			dst = append(dst, w.escape...)
		}
		dst = append(dst, value[i:i+n]...)
		i += n
	}
	return append(dst, '"')
}

func (w *csvWriter) needsQuotes(value []byte) bool {
	for i, c := range value {
		if c == w.delimiter || c == '"' || c == '\n' || c == '\r' || c == w.escape[0] && (len(w.escape) == 1 || string(value[i:min(i+len(w.escape), len(value))]) == w.escape) {
			return true
		}
	}
	return false
}

// appendJSON appends row i of a vector as JSON text: arrays as arrays, rows as objects,
// series as arrays of {"time", "value"}. Numbers that JSON lacks, times and intervals are texts; the time of a
// point ends in Z (sql.md, section 13).
func appendJSON(dst []byte, v *vec.Vector, i int) []byte {
	v, i = v.At(i)
	if v.Type.Kind == vec.Unknown || v.Nulls != nil && v.Nulls[i] {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case vec.Boolean, vec.Integer, vec.Bigint:
		return vec.AppendText(dst, v, i)
	case vec.Double:
		if f := v.Floats[i]; math.IsNaN(f) || math.IsInf(f, 0) {
			return append(vec.AppendDouble(append(dst, '"'), f), '"')
		}
		return vec.AppendText(dst, v, i)
	case vec.Varchar:
		return appendJSONString(dst, v.Strs[i])
	case vec.Array:
		dst = append(dst, '[')
		for j := v.Offsets[i]; j < v.Offsets[i+1]; j++ {
			if j > v.Offsets[i] {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, v.Children[0], int(j))
		}
		return append(dst, ']')
	case vec.TimeSeries:
		dst = append(dst, '[')
		for j := v.Offsets[i]; j < v.Offsets[i+1]; j++ {
			if j > v.Offsets[i] {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"time":"`...)
			dst = vec.AppendText(dst, v.Children[0], int(j))
			dst = append(dst, `Z","value":`...)
			dst = append(appendJSON(dst, v.Children[1], int(j)), '}')
		}
		return append(dst, ']')
	case vec.Row:
		dst = append(dst, '{')
		for k, f := range v.Type.Fields {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, fieldName(f, k)), ':')
			dst = appendJSON(dst, v.Children[k], i)
		}
		return append(dst, '}')
	}
	dst = append(dst, '"')
	return append(vec.AppendText(dst, v, i), '"')
}

func fieldName(f vec.Field, i int) string {
	if f.Name == "" {
		return "field" + strconv.Itoa(i)
	}
	return f.Name
}

const hexDigits = "0123456789abcdef"

// appendJSONString escapes what JSON must, and nothing else.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
