package wire

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// jsonWriter appends JSON.
type jsonWriter struct {
	dst  []byte
	next bool // a comma is due before the next member or item
}

func (w *jsonWriter) comma() {
	if w.next {
		w.dst = append(w.dst, ',')
	}
	w.next = false
}

func (w *jsonWriter) begin(c byte) { w.dst, w.next = append(w.dst, c), false }
func (w *jsonWriter) end(c byte)   { w.dst, w.next = append(w.dst, c), true }

func (w *jsonWriter) open()      { w.begin('{') }
func (w *jsonWriter) close()     { w.end('}') }
func (w *jsonWriter) openList()  { w.begin('[') }
func (w *jsonWriter) closeList() { w.end(']') }
func (w *jsonWriter) openMap()   { w.begin('{') }
func (w *jsonWriter) closeMap()  { w.end('}') }
func (w *jsonWriter) item()      { w.comma() }
func (w *jsonWriter) endItem()   { w.next = true }
func (w *jsonWriter) endField()  { w.next = true }
func (w *jsonWriter) endEntry()  { w.next = true }

func (w *jsonWriter) entry(key string) { w.field(key) }
func (w *jsonWriter) field(name string) {
	w.comma()
	w.dst = append(AppendString(w.dst, name), ':')
}

func (w *jsonWriter) raw(b []byte)    { w.dst, w.next = append(w.dst, b...), true }
func (w *jsonWriter) str(s string)    { w.dst, w.next = AppendString(w.dst, s), true }
func (w *jsonWriter) integer(n int64) { w.dst, w.next = strconv.AppendInt(w.dst, n, 10), true }
func (w *jsonWriter) boolean(b bool)  { w.dst, w.next = strconv.AppendBool(w.dst, b), true }
func (w *jsonWriter) time(t time.Time) {
	w.dst, w.next = AppendTime(w.dst, t), true
}
func (w *jsonWriter) float(f float64) {
	if s, special := notANumber(f); special {
		w.str(s)
		return
	}
	w.dst, w.next = appendFloat(w.dst, f), true
}

// appendFloat appends f so that it reads back as the same float and, as AWS
// writes them, never looks like an integer.
func appendFloat(dst []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.AppendFloat(dst, f, 'f', 1, 64)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// notANumber words the values that JSON has no number for, as AWS does.
func notANumber(f float64) (string, bool) {
	switch {
	case math.IsNaN(f):
		return "NaN", true
	case math.IsInf(f, 1):
		return "Infinity", true
	case math.IsInf(f, -1):
		return "-Infinity", true
	}
	return "", false
}

// AppendTime appends t as AWS JSON writes times: seconds since 1970 with up to
// three digits of fraction.
func AppendTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return strconv.AppendInt(dst, ms/1000, 10)
	}
	return strconv.AppendFloat(dst, float64(ms)/1000, 'f', -1, 64)
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			_, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, '\\', 'n')
		case b == '\r':
			dst = append(dst, '\\', 'r')
		case b == '\t':
			dst = append(dst, '\\', 't')
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		default:
			dst = append(dst, "\ufffd"...)
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// xmlWriter appends the XML of Query answers: a list's items are <member>, a
// map's pairs <entry><key/><value/></entry>.
type xmlWriter struct {
	dst   []byte
	names []string // of the open elements
}

func (w *xmlWriter) field(name string) {
	w.names = append(w.names, name)
	w.dst = append(append(append(w.dst, '<'), name...), '>')
}

func (w *xmlWriter) endField() {
	name := w.names[len(w.names)-1]
	w.names = w.names[:len(w.names)-1]
	w.dst = append(append(append(w.dst, "</"...), name...), '>')
}

func (w *xmlWriter) leaf(name, text string) {
	w.field(name)
	w.str(text)
	w.endField()
}

func (w *xmlWriter) open()      {}
func (w *xmlWriter) close()     {}
func (w *xmlWriter) openList()  {}
func (w *xmlWriter) closeList() {}
func (w *xmlWriter) openMap()   {}
func (w *xmlWriter) closeMap()  {}
func (w *xmlWriter) item()      { w.field("member") }
func (w *xmlWriter) endItem()   { w.endField() }
func (w *xmlWriter) entry(key string) {
	w.field("entry")
	w.leaf("key", key)
	w.field("value")
}
func (w *xmlWriter) endEntry() {
	w.endField()
	w.endField()
}

func (w *xmlWriter) integer(n int64) { w.dst = strconv.AppendInt(w.dst, n, 10) }
func (w *xmlWriter) boolean(b bool)  { w.dst = strconv.AppendBool(w.dst, b) }
func (w *xmlWriter) float(f float64) {
	if s, special := notANumber(f); special {
		w.dst = append(w.dst, s...)
		return
	}
	w.dst = appendFloat(w.dst, f)
}

func (w *xmlWriter) time(t time.Time) {
	w.dst = t.UTC().Truncate(time.Millisecond).AppendFormat(w.dst, "2006-01-02T15:04:05.999Z")
}

// str escapes what XML 1.0 needs escaped; characters it cannot hold become U+FFFD.
func (w *xmlWriter) str(s string) {
	for _, r := range s {
		switch {
		case r == '&':
			w.dst = append(w.dst, "&amp;"...)
		case r == '<':
			w.dst = append(w.dst, "&lt;"...)
		case r == '>':
			w.dst = append(w.dst, "&gt;"...)
		case r == '"':
			w.dst = append(w.dst, "&quot;"...)
		case r == '\r':
			w.dst = append(w.dst, "&#13;"...)
		case r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			w.dst = utf8.AppendRune(w.dst, utf8.RuneError)
		default:
			w.dst = utf8.AppendRune(w.dst, r)
		}
	}
}

// cborWriter appends CBOR (RFC 8949); structures and lists have indefinite
// length, which Smithy RPC v2 allows.
type cborWriter struct{ dst []byte }

const (
	cborText     = 3 << 5
	cborNegative = 1 << 5
	cborStop     = 0xff
)

func (w *cborWriter) head(major byte, n uint64) {
	switch {
	case n < 24:
		w.dst = append(w.dst, major|byte(n))
	case n <= math.MaxUint8:
		w.dst = append(w.dst, major|24, byte(n))
	case n <= math.MaxUint16:
		w.dst = binary.BigEndian.AppendUint16(append(w.dst, major|25), uint16(n))
	case n <= math.MaxUint32:
		w.dst = binary.BigEndian.AppendUint32(append(w.dst, major|26), uint32(n))
	default:
		w.dst = binary.BigEndian.AppendUint64(append(w.dst, major|27), n)
	}
}

func (w *cborWriter) open()      { w.dst = append(w.dst, 0xbf) }
func (w *cborWriter) close()     { w.dst = append(w.dst, cborStop) }
func (w *cborWriter) openList()  { w.dst = append(w.dst, 0x9f) }
func (w *cborWriter) closeList() { w.dst = append(w.dst, cborStop) }
func (w *cborWriter) openMap()   { w.open() }
func (w *cborWriter) closeMap()  { w.close() }
func (w *cborWriter) item()      {}
func (w *cborWriter) endItem()   {}
func (w *cborWriter) endField()  {}
func (w *cborWriter) endEntry()  {}

func (w *cborWriter) field(name string) { w.str(name) }
func (w *cborWriter) entry(key string)  { w.str(key) }

func (w *cborWriter) str(s string) {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	w.head(cborText, uint64(len(s)))
	w.dst = append(w.dst, s...)
}

func (w *cborWriter) integer(n int64) {
	if n < 0 {
		w.head(cborNegative, uint64(-(n + 1)))
		return
	}
	w.head(0, uint64(n))
}

func (w *cborWriter) float(f float64) {
	w.dst = binary.BigEndian.AppendUint64(append(w.dst, 0xfb), math.Float64bits(f))
}

func (w *cborWriter) boolean(b bool) {
	if b {
		w.dst = append(w.dst, 0xf5)
	} else {
		w.dst = append(w.dst, 0xf4)
	}
}

func (w *cborWriter) time(t time.Time) {
	w.dst = append(w.dst, 0xc1) // tag 1: seconds since 1970
	w.float(float64(t.UnixMilli()) / 1000)
}
