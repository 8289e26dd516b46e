package vec

import (
	"math"
	"strconv"
)

// AppendText appends the API text of row i of a scalar vector (sql.md section 3):
// the text of ScalarValue, which CAST to varchar gives too. Row i must not be null.
// Arrays, rows and series are written as their texts in brackets, for messages only.
func AppendText(dst []byte, v *Vector, i int) []byte {
	f, j := v.At(i)
	switch f.Type.Kind.Storage() {
	case StoreInts:
		return appendIntText(dst, f.Type.Kind, f.Ints[j])
	case StoreFloats:
		return AppendDouble(dst, f.Floats[j])
	case StoreBools:
		return strconv.AppendBool(dst, f.Bools[j])
	case StoreStrs:
		return append(dst, f.Strs[j]...)
	}
	return append(dst, f.Value(j).String()...)
}

// String returns the API text of a value, NULL for a null.
func (v Value) String() string {
	if v.Null {
		return "NULL"
	}
	switch v.Type.Kind.Storage() {
	case StoreInts:
		return string(appendIntText(nil, v.Type.Kind, v.Int))
	case StoreFloats:
		return string(AppendDouble(nil, v.Float))
	case StoreBools:
		return strconv.FormatBool(v.Bool)
	case StoreStrs:
		return v.Str
	case StoreNested:
		open, end := byte('['), byte(']')
		if v.Type.Kind == Row {
			open, end = '(', ')'
		}
		b := []byte{open}
		for i, e := range v.List {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(b, e.String()...)
		}
		return string(append(b, end))
	}
	return "NULL"
}

func appendIntText(dst []byte, k Kind, n int64) []byte {
	switch k {
	case Timestamp:
		return AppendTimestamp(dst, n, ' ')
	case Date:
		return AppendDate(dst, n)
	case Time:
		return AppendTime(dst, n)
	case IntervalDay:
		return AppendIntervalDay(dst, n)
	case IntervalYear:
		return AppendIntervalYear(dst, n)
	}
	return strconv.AppendInt(dst, n, 10)
}

// AppendDouble appends f as Java's Double.toString writes it: the fewest digits that
// read back the same, at least one after the point, and an exponent outside
// 10^-3 <= |f| < 10^7.
func AppendDouble(dst []byte, f float64) []byte {
	if n := int(f); n > 0 && n < len(smallWholes) && float64(n) == f {
		return append(dst, smallWholes[n]...)
	}
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	if a := math.Abs(f); a >= 1e-3 && a < 1e7 || a == 0 {
		if out, ok := appendShortDecimal(dst, f); ok {
			return out
		}
		if out, ok := appendFullDecimal(dst, f); ok {
			return out
		}
		start := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		for _, c := range dst[start:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, '.', '0')
	}
	var buf [32]byte
	s := strconv.AppendFloat(buf[:0], f, 'e', -1, 64)
	if math.Abs(f) < 1e-320 && len(s) <= len("-5e-324") {
		// So near zero one digit may do, but Java writes two and picks the nearest.
		s = strconv.AppendFloat(buf[:0], f, 'e', 1, 64)
	}
	e := len(s) - 1
	for s[e] != 'e' {
		e--
	}
	point := false
	for _, c := range s[:e] {
		point = point || c == '.'
	}
	dst = append(dst, s[:e]...)
	if !point {
		dst = append(dst, '.', '0')
	}
	dst = append(dst, 'E')
	exp := s[e+1:]
	if exp[0] == '-' {
		dst = append(dst, '-')
	}
	exp = exp[1:]
	for len(exp) > 1 && exp[0] == '0' {
		exp = exp[1:]
	}
	return append(dst, exp...)
}

// smallWholes are the texts of small whole numbers, which counts and percentages are.
var smallWholes = func() (texts [1000]string) {
	for n := range texts {
		texts[n] = strconv.Itoa(n) + ".0"
	}
	return texts
}()

// appendShortDecimal appends f, |f| < 1e7, if it is a decimal of at most four places, as
// measured values mostly are. Such an f is the double nearest to n/10^4, whose at most
// eleven digits no other decimal of up to fifteen shares with it, so n/10^4 without its
// trailing zeros is the shortest text, too. It takes a third of strconv's search
// (BenchmarkAppendDouble).
func appendShortDecimal(dst []byte, f float64) (out []byte, ok bool) {
	n := int64(f*1e4 + math.Copysign(0.5, f))
	if float64(n)/1e4 != f || n == 0 { // n is 0 for -0.0 too
		return dst, false
	}
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	dst = strconv.AppendInt(dst, n/1e4, 10)
	places := n % 1e4
	dst = append(dst, '.', byte('0'+places/1000))
	for places = places % 1000 * 10; places > 0; places = places % 1000 * 10 {
		dst = append(dst, byte('0'+places/1000))
	}
	return dst, true
}

// AppendTimestamp appends ns since the epoch as YYYY-MM-DD HH:MM:SS.nnnnnnnnn, with
// sep between date and time.
func AppendTimestamp(dst []byte, ns int64, sep byte) []byte {
	days := FloorDiv(ns, Day)
	dst = AppendDate(dst, days)
	dst = append(dst, sep)
	return AppendTime(dst, ns-days*Day)
}

// AppendDate appends days since the epoch as YYYY-MM-DD.
func AppendDate(dst []byte, days int64) []byte {
	y, m, d := CivilOf(days)
	if y < 0 || y > 9999 {
		dst = strconv.AppendInt(dst, y, 10)
	} else {
		dst = appendPadded(dst, y, 4)
	}
	return append(dst, '-', byte('0'+m/10), byte('0'+m%10), '-', byte('0'+d/10), byte('0'+d%10))
}

// AppendTime appends ns since midnight as HH:MM:SS.nnnnnnnnn.
func AppendTime(dst []byte, ns int64) []byte {
	s := ns / Second
	dst = append2(dst, s/3600)
	dst = append(dst, ':')
	dst = append2(dst, s/60%60)
	dst = append(dst, ':')
	dst = append2(dst, s%60)
	switch ns %= Second; {
	case ns == 0:
		return append(dst, ".000000000"...)
	case ns%1e6 == 0: // most devices tell ms
		return append(appendPadded(append(dst, '.'), ns/1e6, 3), "000000"...)
	}
	return appendPadded(append(dst, '.'), ns, 9)
}

// AppendIntervalDay appends a span of ns as D HH:MM:SS.nnnnnnnnn, days unpadded.
func AppendIntervalDay(dst []byte, ns int64) []byte {
	u := uint64(ns)
	if ns < 0 {
		dst = append(dst, '-')
		u = -u
	}
	dst = strconv.AppendUint(dst, u/uint64(Day), 10)
	dst = append(dst, ' ')
	return AppendTime(dst, int64(u%uint64(Day)))
}

// AppendIntervalYear appends a span of months as Y-M, unpadded.
func AppendIntervalYear(dst []byte, months int64) []byte {
	if months < 0 {
		dst = append(dst, '-')
		months = -months
	}
	dst = strconv.AppendInt(dst, months/12, 10)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, months%12, 10)
}

func append2(dst []byte, n int64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// appendPadded appends n >= 0 in width digits, with leading zeros.
func appendPadded(dst []byte, n int64, width int) []byte {
	end := len(dst) + width
	for range width {
		dst = append(dst, '0')
	}
	for i := end - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
