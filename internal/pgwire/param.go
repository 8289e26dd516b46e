package pgwire

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/vec"
)

// value reads the value of a parameter, nil for NULL, in text (format 0) or binary form (1).
func (p *parameter) value(b []byte, format int16) (vec.Value, error) {
	t := p.typ
	if t.Kind == vec.Unknown {
		t = vec.VarcharType
	}
	if b == nil {
		return vec.Null(t), nil
	}
	if format != 0 && format != 1 {
		return vec.Value{}, errorf(stateProtocol, "unsupported format code: %d", format)
	}
	var v vec.Value
	ok := false
	if t.Kind == vec.Varchar {
		ok = utf8.Valid(b)
		v = vec.Str(string(b))
		if !ok {
			return v, errorf("22021", "invalid byte sequence for encoding \"UTF8\"")
		}
		return v, nil
	}
	if format == 1 {
		if v, ok = p.binary(t, b); !ok {
			return v, errorf(stateBadBinary, "incorrect binary data of a parameter of type %s", t)
		}
		return v, nil
	}
	if v, ok = textValue(t, strings.TrimSpace(string(b))); !ok {
		return v, errorf(stateBadParameter, "invalid input syntax for type %s: %q", t, string(b))
	}
	return v, nil
}

func textValue(t vec.Type, s string) (vec.Value, bool) {
	switch t.Kind {
	case vec.Boolean:
		switch strings.ToLower(s) {
		case "t", "true", "on", "yes", "y", "1":
			return vec.Bool(true), true
		case "f", "false", "off", "no", "n", "0":
			return vec.Bool(false), true
		}
	case vec.Integer:
		n, err := strconv.ParseInt(s, 10, 32)
		return vec.Int(t, n), err == nil
	case vec.Bigint:
		n, err := strconv.ParseInt(s, 10, 64)
		return vec.Int(t, n), err == nil
	case vec.Double:
		f, err := strconv.ParseFloat(s, 64)
		return vec.Float(f), err == nil
	case vec.Timestamp:
		n, ok := parseTimestamp(s)
		return vec.Int(t, n), ok
	case vec.Date:
		n, ok := parseTimestamp(s)
		return vec.Int(t, vec.FloorDiv(n, vec.Day)), ok
	}
	return vec.Value{}, false
}

// binary reads a value in the binary form of the type that the client was told.
func (p *parameter) binary(t vec.Type, b []byte) (vec.Value, bool) {
	n, isNumber := number(b)
	switch t.Kind {
	case vec.Boolean:
		return vec.Bool(len(b) == 1 && b[0] != 0), len(b) == 1
	case vec.Integer, vec.Bigint:
		return vec.Int(t, n), isNumber && int64(int32(n)) == n || isNumber && t.Kind == vec.Bigint
	case vec.Double:
		switch {
		case p.oid == oidNumeric:
			return vec.Value{}, false
		case len(b) == 8:
			return vec.Float(math.Float64frombits(uint64(n))), true
		case len(b) == 4:
			return vec.Float(float64(math.Float32frombits(binary.BigEndian.Uint32(b)))), true
		}
	case vec.Timestamp:
		const most = math.MaxInt64/1000 - epochMicros
		return vec.Int(t, (n+epochMicros)*1000), len(b) == 8 && n < most && n > -most-2*epochMicros
	case vec.Date:
		return vec.Int(t, n+epochDays), len(b) == 4
	case vec.Time:
		return vec.Int(t, n*1000), len(b) == 8 && n >= 0 && n < vec.Day/1000
	}
	return vec.Value{}, false
}

// parseTimestamp reads a time in ns, which is taken to be UTC if it names no zone.
func parseTimestamp(s string) (int64, bool) {
	if ns, ok := vec.ParseTimestamp(s); ok {
		return ns, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07",
		"2006-01-02T15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 1677 && t.Year() < 2262 {
			return t.UnixNano(), true
		}
	}
	return 0, false
}

// number reads a big-endian number of a parameter in binary form.
func number(b []byte) (int64, bool) {
	switch len(b) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b))), true
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b))), true
	case 8:
		return int64(binary.BigEndian.Uint64(b)), true
	}
	return 0, false
}
