package vec

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// The parsers below take the forms of literals and of casts from varchar (sql.md
// sections 2.3, 2.4 and 4) and report whether the text is one. They never allocate
// on success.

// scanner reads a text from the left.
type scanner struct {
	s  string
	at int
}

func (p *scanner) end() bool { return p.at == len(p.s) }

func (p *scanner) peek() byte {
	if p.at < len(p.s) {
		return p.s[p.at]
	}
	return 0
}

// take skips c if it is next.
func (p *scanner) take(c byte) bool {
	if p.peek() != c || p.end() {
		return false
	}
	p.at++
	return true
}

// number reads least to most digits.
func (p *scanner) number(least, most int) (n int64, ok bool) {
	start := p.at
	for p.at < len(p.s) && p.at-start < most && isDigit(p.s[p.at]) {
		n = n*10 + int64(p.s[p.at]-'0')
		p.at++
	}
	return n, p.at-start >= least
}

// fraction reads 1 to 9 digits as nanoseconds.
func (p *scanner) fraction() (int64, bool) {
	start := p.at
	n, ok := p.number(1, 9)
	for digits := p.at - start; digits < 9; digits++ {
		n *= 10
	}
	return n, ok
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *scanner) date() (days int64, ok bool) {
	y, ok1 := p.number(1, 6)
	ok1 = ok1 && p.take('-')
	m, ok2 := p.number(1, 2)
	ok2 = ok2 && p.take('-')
	d, ok3 := p.number(1, 2)
	if !ok1 || !ok2 || !ok3 || !ValidDate(y, m, d) {
		return 0, false
	}
	return DaysOf(y, m, d), true
}

// clock reads h:m[:s[.fff]] as nanoseconds since midnight.
func (p *scanner) clock() (ns int64, ok bool) {
	h, ok1 := p.number(1, 2)
	ok1 = ok1 && p.take(':')
	m, ok2 := p.number(1, 2)
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	ns = h*Hour + m*Minute
	if !p.take(':') {
		return ns, true
	}
	s, ok := p.number(1, 2)
	if !ok || s > 59 {
		return 0, false
	}
	ns += s * Second
	if p.take('.') {
		f, ok := p.fraction()
		return ns + f, ok
	}
	return ns, true
}

// offset reads a zone: Z, UTC, GMT, or ±h[h][[:]mm], as nanoseconds east of UTC.
func (p *scanner) offset() (ns int64, ok bool) {
	rest := p.s[p.at:]
	if rest == "Z" || rest == "z" || strings.EqualFold(rest, "UTC") || strings.EqualFold(rest, "GMT") {
		p.at = len(p.s)
		return 0, true
	}
	sign := int64(1)
	if p.take('-') {
		sign = -1
	} else if !p.take('+') {
		return 0, false
	}
	h, ok := p.number(1, 2)
	if !ok || h > 18 {
		return 0, false
	}
	var m int64
	if p.take(':') || !p.end() {
		if m, ok = p.number(2, 2); !ok || m > 59 {
			return 0, false
		}
	}
	return sign * (h*Hour + m*Minute), true
}

// ParseDate reads y-m-d as days since the epoch.
func ParseDate(s string) (days int64, ok bool) {
	p := scanner{s: strings.TrimSpace(s)}
	days, ok = p.date()
	return days, ok && p.end()
}

// ParseTime reads h:m[:s[.fff…]], up to 9 digits, as nanoseconds since midnight.
func ParseTime(s string) (ns int64, ok bool) {
	p := scanner{s: strings.TrimSpace(s)}
	ns, ok = p.clock()
	return ns, ok && p.end()
}

// ParseTimestamp reads y-m-d[ h:m[:s[.fff…]]] as nanoseconds since the epoch. T may
// stand for the blank, and a zone may follow the time, with or without a blank: Z, UTC, +hhmm,
// +hh:mm; it is applied. Times beyond the range of the type are refused.
func ParseTimestamp(s string) (ns int64, ok bool) {
	p := scanner{s: strings.TrimSpace(s)}
	days, ok := p.date()
	if !ok {
		return 0, false
	}
	if p.end() {
		return TimestampOf(days, 0)
	}
	if !p.take('T') && !p.take('t') {
		if !p.take(' ') {
			return 0, false
		}
		for p.take(' ') {
		}
	}
	clock, ok := p.clock()
	if !ok {
		return 0, false
	}
	if p.end() {
		return TimestampOf(days, clock)
	}
	for p.take(' ') {
	}
	offset, ok := p.offset()
	if !ok || !p.end() {
		return 0, false
	}
	return TimestampOf(days, clock-offset)
}

// TimestampOf joins days and nanoseconds into a timestamp; ok is false beyond its range.
func TimestampOf(days, ns int64) (int64, bool) {
	const limit = math.MaxInt64 / Day
	switch {
	case days >= -limit && days < limit && ns > -Day && ns < Day:
		return days*Day + ns, true
	case days < -limit-2 || days > limit+2:
		return 0, false
	}
	t := new(big.Int).Mul(big.NewInt(days), big.NewInt(Day))
	t.Add(t, big.NewInt(ns))
	return t.Int64(), t.IsInt64()
}

// unitOf returns the type and the count of a unit of durations (sql.md section 2.4):
// nanoseconds for interval day to second, months for interval year to month.
func unitOf(name string) (t Type, count int64, ok bool) {
	switch strings.ToLower(name) {
	case "ns", "nanosecond":
		return IntervalDayType, 1, true
	case "us", "microsecond":
		return IntervalDayType, Microsecond, true
	case "ms", "millisecond":
		return IntervalDayType, Millisecond, true
	case "s", "second":
		return IntervalDayType, Second, true
	case "m", "minute":
		return IntervalDayType, Minute, true
	case "h", "hour":
		return IntervalDayType, Hour, true
	case "d", "day":
		return IntervalDayType, Day, true
	case "month":
		return IntervalYearType, 1, true
	case "y", "year":
		return IntervalYearType, 12, true
	}
	return Type{}, 0, false
}

// IsDurationUnit reports whether name is a unit of duration literals, such as the
// "ms" of 250ms. Letter case is ignored.
func IsDurationUnit(name string) bool {
	_, _, ok := unitOf(name)
	return ok
}

// ParseDuration reads a number, blanks and a unit, as parse_duration and duration
// literals have it. The value is an interval of the unit's type. The error's text is
// the one of the inherited parser.
func ParseDuration(s string) (Value, error) {
	bad := func() (Value, error) {
		return Value{}, fmt.Errorf("duration is not a valid data duration string: %s", s)
	}
	p := scanner{s: strings.TrimSpace(s)}
	start := p.at
	for p.at < len(p.s) && (isDigit(p.s[p.at]) || p.s[p.at] == '.') {
		p.at++
	}
	number := p.s[start:p.at]
	unit := strings.TrimLeft(p.s[p.at:], " \t\r\n")
	if number == "" || strings.Count(number, ".") > 1 || number == "." || len(number) > 64 || unit == "" || !letters(unit) {
		return bad()
	}
	t, count, ok := unitOf(unit)
	if !ok {
		return Value{}, textError("Unknown time unit: " + unit)
	}
	n, ok := scaled(number, count)
	if !ok {
		return bad()
	}
	return Int(t, n), nil
}

func letters(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// scaled returns number (digits with perhaps a point) times count, rounded half up.
func scaled(number string, count int64) (int64, bool) {
	whole, frac, _ := strings.Cut(number, ".")
	n, ok := new(big.Int).SetString("0"+whole+frac, 10)
	if !ok {
		return 0, false
	}
	n.Mul(n, big.NewInt(count))
	if frac != "" {
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(frac))), nil)
		n.Add(n, new(big.Int).Rsh(scale, 1))
		n.Quo(n, scale)
	}
	return n.Int64(), n.IsInt64()
}

// intervalFields are the units of INTERVAL literals from the largest.
var intervalFields = [...]string{"year", "month", "day", "hour", "minute", "second"}

// ParseInterval reads the text of INTERVAL 'text' from [TO to] (sql.md section 2.4):
// a number, or a range such as '3 04:05:06.5' DAY TO SECOND and '5-11' YEAR TO MONTH. An empty to
// means from alone. A sign may lead the text. Unit names ignore case; from may also be
// week, millisecond, microsecond, nanosecond, to only a field after from.
func ParseInterval(text, from, to string) (Value, bool) {
	p := scanner{s: strings.TrimSpace(text)}
	sign := int64(1)
	if p.take('-') {
		sign = -1
	} else {
		p.take('+')
	}
	v, ok := p.interval(strings.ToLower(from), strings.ToLower(to))
	v.Int *= sign
	return v, ok && p.end()
}

func (p *scanner) interval(from, to string) (Value, bool) {
	if to == "" || to == from {
		return p.intervalField(from)
	}
	i, j := -1, -1
	for k, name := range intervalFields {
		if name == from {
			i = k
		}
		if name == to {
			j = k
		}
	}
	if i < 0 || j <= i || i < 2 != (j < 2) {
		return Value{}, false
	}
	var total Value
	for k := i; k <= j; k++ {
		if k > i && !p.take([]byte{0, '-', 0, ' ', ':', ':'}[k]) {
			return Value{}, false
		}
		v, ok := p.intervalField(intervalFields[k])
		if !ok || k > i && v.Int >= [...]int64{0, 12, 0, Day, Hour, Minute}[k] || total.Int > math.MaxInt64-v.Int {
			return Value{}, false
		}
		total = Int(v.Type, total.Int+v.Int)
	}
	return total, true
}

// intervalField reads digits, for seconds with a fraction, as a count of unit.
func (p *scanner) intervalField(unit string) (Value, bool) {
	t, count, ok := unitOf(unit)
	if unit == "week" {
		t, count, ok = IntervalDayType, Week, true
	}
	n, digits := p.number(1, 18)
	if !ok || !digits || n > math.MaxInt64/count {
		return Value{}, false
	}
	n *= count
	if unit == "second" && p.take('.') {
		f, ok := p.fraction()
		if !ok || n > math.MaxInt64-f {
			return Value{}, false
		}
		n += f
	}
	return Int(t, n), true
}

// textError is a message in the wording of the inherited engine, capital and all.
type textError string

func (e textError) Error() string { return string(e) }
