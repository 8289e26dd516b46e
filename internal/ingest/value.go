package ingest

import (
	"math"
	"strconv"

	"github.com/weir-db/weir/internal/vec"
)

// multiKind stands for MULTI where a vec.Kind is told; no value has it.
const multiKind = vec.Row

// kindOf returns the kind of a value type's values, multiKind for MULTI, and 0
// (vec.Unknown) for what is not a value type.
func kindOf(t ValueType) vec.Kind {
	switch t {
	case Double:
		return vec.Double
	case Bigint:
		return vec.Bigint
	case Varchar:
		return vec.Varchar
	case Boolean:
		return vec.Boolean
	case Timestamp:
		return vec.Timestamp
	case Multi:
		return multiKind
	}
	return vec.Unknown
}

// scale returns the unit in ns, 0 if it is not a unit. An empty unit is milliseconds.
func (u TimeUnit) scale() int64 {
	switch u {
	case Milliseconds:
		return 1e6
	case Seconds:
		return 1e9
	case Microseconds:
		return 1e3
	case Nanoseconds:
		return 1
	}
	return 0
}

// powersOfTen are those that a double holds exactly.
var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// parseDouble reads a decimal or scientific number. NaN, infinities, overflow
// and negative zero are not ok: the service does not store them.
//
// A number of at most 2^53 and 22 decimals is one correctly rounded division of
// two exact doubles; all others go to strconv.
func parseDouble(s string) (f float64, ok bool) {
	start := 0
	if len(s) > 0 && s[0] == '-' {
		start = 1
	}
	if len(s)-start > 19 { // longer ones may not fit in a mantissa
		return parseDoubleSlow(s)
	}
	var mantissa uint64
	i := start
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			break
		}
		mantissa = mantissa*10 + uint64(c)
	}
	digits, decimals := i-start, 0
	if i < len(s) {
		if s[i] != '.' {
			return parseDoubleSlow(s)
		}
		for i++; i < len(s); i++ {
			c := s[i] - '0'
			if c > 9 {
				return parseDoubleSlow(s)
			}
			mantissa = mantissa*10 + uint64(c)
			decimals++
		}
	}
	if digits += decimals; digits == 0 || digits > 18 || mantissa > 1<<53 || mantissa == 0 && start > 0 {
		return parseDoubleSlow(s)
	}
	f = float64(mantissa)
	if decimals > 0 {
		f /= powersOfTen[decimals]
	}
	if start > 0 {
		f = -f
	}
	return f, true
}

func parseDoubleSlow(s string) (float64, bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c-'0' <= 9, c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return 0, false // the words and hexadecimal forms of strconv
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f == 0 && math.Signbit(f) {
		return 0, false
	}
	return f, true
}

// parseInt reads a decimal 64-bit integer with an optional sign.
func parseInt(s string) (n int64, ok bool) {
	i, negative := 0, false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		i, negative = 1, s[0] == '-'
	}
	if i == len(s) || len(s)-i > 18 {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	if negative {
		n = -n
	}
	return n, true
}

// parseBool reads true or false in any case.
func parseBool(s string) (v, ok bool) {
	switch len(s) {
	case 4:
		return true, s == "true" || equalFoldASCII(s, "true")
	case 5:
		return false, s == "false" || equalFoldASCII(s, "false")
	}
	return false, false
}

func equalFoldASCII(s, lower string) bool {
	for i := range len(lower) {
		if s[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// scaled multiplies without wrapping: what does not fit is the nearest end of the
// range, and exact is false.
func scaled(n, scale int64) (ns int64, exact bool) {
	switch {
	case n > math.MaxInt64/scale:
		return math.MaxInt64, false
	case n < math.MinInt64/scale:
		return math.MinInt64, false
	}
	return n * scale, true
}

// parseValue reads the text of one measure value; unit is of timestamps.
func parseValue(kind vec.Kind, text string, unit int64) (bits uint64, str string, ok bool) {
	switch kind {
	case vec.Double:
		f, ok := parseDouble(text)
		return math.Float64bits(f), "", ok
	case vec.Bigint:
		n, ok := parseInt(text)
		return uint64(n), "", ok
	case vec.Boolean:
		v, ok := parseBool(text)
		if v {
			bits = 1
		}
		return bits, "", ok
	case vec.Timestamp:
		n, ok := parseInt(text)
		ns, exact := scaled(n, unit)
		return uint64(ns), "", ok && exact && ns >= 0
	}
	return 0, text, true
}
