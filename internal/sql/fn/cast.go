package fn

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/vec"
)

// CastKernel casts a vector of any form.
type CastKernel = func(c *Context, v *vec.Vector) (*vec.Vector, error)

// Cast returns the kernel that casts from one type to another, or false when the
// pair is impossible (an analysis error). The kernel fails on the first value that
// cannot be cast; with try, such values become null. Rules: sql.md section 8.3.
func Cast(from, to vec.Type, try bool) (CastKernel, bool) {
	flat, ok := flatCast(from, to, try)
	if !ok {
		return nil, false
	}
	return func(c *Context, v *vec.Vector) (*vec.Vector, error) {
		out, err := castForm(v, flat)
		if err != nil || out.Type.Equal(to) {
			return out, err
		}
		return out.Retype(to), nil
	}, true
}

// flatKernel casts a flat vector.
type flatKernel func(v *vec.Vector) (*vec.Vector, error)

// castForm casts constants once, and dictionaries once per entry unless an entry,
// which perhaps no row has, fails.
func castForm(v *vec.Vector, cast flatKernel) (*vec.Vector, error) {
	switch {
	case v.Form == vec.Constant && v.Len() > 0:
		out, err := cast(v.Slice(0, 1).Flat())
		if err != nil {
			return nil, err
		}
		return vec.Const(out.Value(0), v.Len()), nil
	case v.Form == vec.Dictionary && v.Dict.Len() <= v.Len():
		if out, err := cast(v.Dict.Flat()); err == nil {
			return vec.OfDict(v.Index, out.Flat()), nil
		}
	}
	return cast(v.Flat())
}

func flatCast(from, to vec.Type, try bool) (flatKernel, bool) {
	f, t := from.Kind, to.Kind
	switch {
	case f == vec.Unknown:
		return func(v *vec.Vector) (*vec.Vector, error) { return vec.NullsOf(to, v.Len()).Flat(), nil }, true
	case t == vec.Varchar && f == vec.Varchar:
		return castLength(from, to), true
	case t == vec.Varchar && f.Storage() != vec.StoreNested:
		return castToText(to, try), true
	case f == t && f.Storage() != vec.StoreNested:
		return func(v *vec.Vector) (*vec.Vector, error) { return v, nil }, true
	case f == vec.Varchar:
		return castFromText(to, try)
	case f == vec.Array && t == vec.Array, f == vec.TimeSeries && t == vec.TimeSeries:
		return castElements(from, to, try)
	case f == vec.Row && t == vec.Row && len(from.Fields) == len(to.Fields):
		return castFields(from, to, try)
	}
	return castScalar(f, to, try)
}

// castScalar covers the pairs of numbers, booleans and times.
func castScalar(from vec.Kind, to vec.Type, try bool) (flatKernel, bool) {
	type pair [2]vec.Kind
	switch (pair{from, to.Kind}) {
	case pair{vec.Integer, vec.Bigint}:
		return func(v *vec.Vector) (*vec.Vector, error) { return v.Retype(to), nil }, true
	case pair{vec.Bigint, vec.Integer}:
		return castEach(to, try, narrowInt), true
	case pair{vec.Integer, vec.Double}, pair{vec.Bigint, vec.Double}:
		return castFloat, true
	case pair{vec.Double, vec.Bigint}:
		return castEach(to, try, roundToBigint), true
	case pair{vec.Double, vec.Integer}:
		return castEach(to, try, roundToInt), true
	case pair{vec.Integer, vec.Boolean}, pair{vec.Bigint, vec.Boolean}:
		return castEach(to, try, func(x int64) (bool, error) { return x != 0, nil }), true
	case pair{vec.Double, vec.Boolean}:
		return castEach(to, try, func(x float64) (bool, error) { return x != 0, nil }), true
	case pair{vec.Boolean, vec.Integer}, pair{vec.Boolean, vec.Bigint}:
		return castEach(to, try, func(x bool) (int64, error) { return boolInt(x), nil }), true
	case pair{vec.Boolean, vec.Double}:
		return castEach(to, try, func(x bool) (float64, error) { return float64(boolInt(x)), nil }), true
	case pair{vec.Timestamp, vec.Date}:
		return castEach(to, try, func(ns int64) (int64, error) { return checkDate(vec.FloorDiv(ns, vec.Day)) }), true
	case pair{vec.Timestamp, vec.Time}:
		return castEach(to, try, func(ns int64) (int64, error) { return vec.FloorMod(ns, vec.Day), nil }), true
	case pair{vec.Date, vec.Timestamp}:
		return castEach(to, try, dateToTimestamp), true
	}
	return nil, false
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// castEach casts value by value; with try a failure becomes null.
func castEach[A, R element](to vec.Type, try bool, f func(A) (R, error)) flatKernel {
	return func(v *vec.Vector) (*vec.Vector, error) {
		in, out := colOf[A](v).vals, make([]R, v.Len())
		nulls, owned := v.Nulls, false
		for i, x := range in {
			if nulls != nil && nulls[i] {
				continue
			}
			r, err := f(x)
			if err == nil {
				out[i] = r
				continue
			}
			if !try {
				return nil, err
			}
			if !owned {
				nulls, owned = append(make([]bool, 0, len(out)), nulls...), true
				nulls = nulls[:len(out)]
			}
			nulls[i] = true
		}
		return vecOf(to, out, nulls), nil
	}
}

func castFloat(v *vec.Vector) (*vec.Vector, error) {
	out := make([]float64, v.Len())
	for i, x := range v.Ints {
		out[i] = float64(x)
	}
	return vec.OfFloats(out, v.Nulls), nil
}

func narrowInt(x int64) (int64, error) {
	if x != int64(int32(x)) {
		return 0, fail("Out of range for integer: %d", x)
	}
	return x, nil
}

func roundToBigint(x float64) (int64, error) {
	r := math.Round(x)
	if !(r >= -(1<<63) && r < 1<<63) {
		return 0, fail("Unable to cast %s to bigint", vec.AppendDouble(nil, x))
	}
	return int64(r), nil
}

func roundToInt(x float64) (int64, error) {
	r := math.Round(x)
	if !(r >= math.MinInt32 && r <= math.MaxInt32) {
		return 0, fail("Out of range for integer: %s", vec.AppendDouble(nil, x))
	}
	return int64(r), nil
}

// maxDate is the last day of type date, 2262-04-11; the first is 1970-01-01.
const maxDate = math.MaxInt64 / vec.Day

// checkDate refuses days outside the range of type date (sql.md section 3).
func checkDate(days int64) (int64, error) {
	if days < 0 || days > maxDate {
		return 0, fail("Date is out of range: %s", vec.AppendDate(nil, days))
	}
	return days, nil
}

func dateToTimestamp(days int64) (int64, error) {
	ns, ok := vec.TimestampOf(days, 0)
	if !ok {
		return 0, fail("Timestamp is out of range: %s", vec.AppendDate(nil, days))
	}
	return ns, nil
}

// castToText gives every value its API text. A text that is longer than to allows is an error, as in Trino:
// the beginning of a number is another number.
func castToText(to vec.Type, try bool) flatKernel {
	return func(v *vec.Vector) (*vec.Vector, error) {
		n := v.Len()
		texts := newTextList(n, 12*n)
		var buf []byte
		for i := range n {
			if buf = buf[:0]; v.Nulls == nil || !v.Nulls[i] {
				buf = vec.AppendText(buf, v, i)
			}
			texts.add(buf)
		}
		out := texts.list()
		if to.Length == 0 {
			return vecOf(to, out, v.Nulls), nil
		}
		return castEach(to, try, func(s string) (string, error) {
			if len(s) > to.Length {
				return "", fail("Value %s cannot be represented as %s", s, to)
			}
			return s, nil
		})(vecOf(vec.VarcharType, out, v.Nulls))
	}
}

func castLength(from, to vec.Type) flatKernel {
	if to.Length == 0 || from.Length != 0 && from.Length <= to.Length {
		return func(v *vec.Vector) (*vec.Vector, error) { return v.Retype(to), nil }
	}
	return castEach(to, false, func(s string) (string, error) { return cutText(s, to.Length), nil })
}

// cutText returns the first n code points of s; n = 0 does not cut.
func cutText(s string, n int) string {
	if n == 0 || len(s) <= n {
		return s
	}
	at := 0
	for range n {
		if at == len(s) {
			return s
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at]
}

func castFromText(to vec.Type, try bool) (flatKernel, bool) {
	switch to.Kind {
	case vec.Integer:
		return castEach(to, try, textToInt), true
	case vec.Bigint:
		return castEach(to, try, textToBigint), true
	case vec.Double:
		return castEach(to, try, textToDouble), true
	case vec.Boolean:
		return castEach(to, try, textToBool), true
	case vec.Date:
		return castEach(to, try, textToDate), true
	case vec.Time:
		return castEach(to, try, textToTime), true
	case vec.Timestamp:
		return castEach(to, try, textToTimestamp), true
	}
	return nil, false
}

func textToInt(s string) (int64, error) {
	n, ok := parseInt(s)
	if !ok || n != int64(int32(n)) {
		return 0, fail("Cannot cast '%s' to INT", s)
	}
	return n, nil
}

func textToBigint(s string) (int64, error) {
	n, ok := parseInt(s)
	if !ok {
		return 0, fail("Cannot cast '%s' to BIGINT", s)
	}
	return n, nil
}

// parseInt reads an optional sign and digits.
func parseInt(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// textToDouble takes Java's Double.valueOf: blanks around, the words NaN and Infinity as
// spelled, a trailing d or f; not Go's underscores and other spellings.
func textToDouble(s string) (float64, error) {
	t := strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	bare := strings.TrimLeft(t, "+-")
	if len(t)-len(bare) <= 1 && (bare == "NaN" || bare == "Infinity") {
		f, _ := strconv.ParseFloat(t, 64)
		if bare == "NaN" {
			f = math.NaN()
		}
		return f, nil
	}
	if n := len(t); n > 1 && strings.IndexByte("dDfF", t[n-1]) >= 0 && (isDigit(t[n-2]) || t[n-2] == '.') && !strings.ContainsAny(t, "xX") {
		t = t[:n-1]
	}
	if strings.ContainsAny(t, "_iInN") {
		return 0, fail("Cannot cast '%s' to DOUBLE", s)
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil && !(math.IsInf(f, 0) && t != "") {
		return 0, fail("Cannot cast '%s' to DOUBLE", s)
	}
	return f, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func textToBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "t", "1":
		return true, nil
	case "false", "f", "0":
		return false, nil
	}
	return false, fail("Cannot cast '%s' to BOOLEAN", s)
}

func textToDate(s string) (int64, error) {
	days, ok := vec.ParseDate(s)
	if !ok {
		return 0, fail("Value cannot be cast to date: %s", s)
	}
	return checkDate(days)
}

func textToTime(s string) (int64, error) {
	ns, ok := vec.ParseTime(s)
	if !ok {
		return 0, fail("Value cannot be cast to time: %s", s)
	}
	return ns, nil
}

func textToTimestamp(s string) (int64, error) {
	ns, ok := vec.ParseTimestamp(s)
	if !ok {
		return 0, fail("Value cannot be cast to timestamp: %s", s)
	}
	return ns, nil
}

// nested completes the cast of a nested type. Vectors of nested values may hide
// elements that belong to no row (after Slice, or under null rows): when the cast of all
// of them fails, the rows that count are cast alone. With try, a value is null as a
// whole when some part of it cannot be cast.
func nested(to vec.Type, try bool, cast flatKernel) flatKernel {
	return func(v *vec.Vector) (*vec.Vector, error) {
		if out, err := cast(v); err == nil {
			return out, nil
		}
		b := vec.NewBuilder(to, v.Len())
		for i := range v.Len() {
			if v.IsNull(i) {
				b.AppendNull()
				continue
			}
			one, err := cast(v.Gather([]int32{int32(i)}))
			switch {
			case err == nil:
				b.AppendFrom(one, 0)
			case try:
				b.AppendNull()
			default:
				return nil, err
			}
		}
		return b.Vector(), nil
	}
}

// castElements casts the elements of arrays and the values of series.
func castElements(from, to vec.Type, try bool) (flatKernel, bool) {
	elem, ok := flatCast(*from.Elem, *to.Elem, false)
	if !ok {
		return nil, false
	}
	return nested(to, try, func(v *vec.Vector) (*vec.Vector, error) {
		last := len(v.Children) - 1
		vals, err := castForm(v.Children[last], elem)
		if err != nil {
			return nil, err
		}
		children := append([]*vec.Vector(nil), v.Children...)
		children[last] = vals.Flat().Retype(*to.Elem)
		return vec.OfNested(to, v.Offsets, v.Nulls, children...), nil
	}), true
}

func castFields(from, to vec.Type, try bool) (flatKernel, bool) {
	casts := make([]flatKernel, len(from.Fields))
	for i, f := range from.Fields {
		var ok bool
		if casts[i], ok = flatCast(f.Type, to.Fields[i].Type, false); !ok {
			return nil, false
		}
	}
	return nested(to, try, func(v *vec.Vector) (*vec.Vector, error) {
		children := make([]*vec.Vector, len(casts))
		for i, cast := range casts {
			out, err := castForm(v.Children[i], cast)
			if err != nil {
				return nil, err
			}
			children[i] = out.Flat().Retype(to.Fields[i].Type)
		}
		return vec.OfRows(to, v.Len(), v.Nulls, children...), nil
	}), true
}
