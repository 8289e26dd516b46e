package fn

import (
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// formats is date_format and date_parse (MySQL specifiers), format_datetime and
// parse_datetime (Joda-Time patterns), and the ISO 8601 functions (sql.md section 8.4).
func formats() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"date and time", text, example, result}, Eval: eval}
	}
	const ts = "TIMESTAMP '2031-02-03 04:05:06.007'"
	return []Scalar{
		f("date_format(timestamp, varchar) -> varchar", "The timestamp in a format of MySQL specifiers.", "date_format("+ts+", '%Y-%m-%d %H:%i:%s')", "2031-02-03 04:05:06", formatKernel(mysqlFormat)),
		f("date_parse(varchar, varchar) -> timestamp", "The timestamp that a text spells in a format of MySQL specifiers.", "date_parse('3.2.31 4 PM', '%e.%c.%y %l %p')", "2031-02-03 16:00:00.000000000", parseKernel(mysqlFormat, "date_parse")),
		f("format_datetime(timestamp, varchar) -> varchar", "The timestamp in a Joda-Time pattern.", "format_datetime("+ts+", 'EEE d MMM yyyy HH:mm:ss.SSS')", "Mon 3 Feb 2031 04:05:06.007", formatKernel(jodaFormat)),
		f("parse_datetime(varchar, varchar) -> timestamp", "The timestamp that a text spells in a Joda-Time pattern; an offset in the text is applied.", "parse_datetime('2031/02/03 04:05 +02:00', 'yyyy/MM/dd HH:mm Z')", "2031-02-03 02:05:00.000000000", parseKernel(jodaFormat, "parse_datetime")),
		f("from_iso8601_timestamp(varchar) -> timestamp", "The timestamp that an ISO 8601 text spells; an offset is applied.", "from_iso8601_timestamp('2031-02-03T04:05:06.5+01:00')", "2031-02-03 03:05:06.500000000", fn1e(fromISOTimestamp)),
		f("from_iso8601_date(varchar) -> date", "The date that an ISO 8601 text spells: y-m-d, y-Www-d or y-ddd.", "from_iso8601_date('2031-W06-1')", "2031-02-03", fn1e(fromISODate)),
		f("to_iso8601(timestamp) -> varchar", "The timestamp in ISO 8601.", "to_iso8601("+ts+")", "2031-02-03T04:05:06.007000000Z", fn1(toISOTimestamp)),
		f("to_iso8601(date) -> varchar", "The date in ISO 8601.", "to_iso8601(DATE '2031-02-03')", "2031-02-03", fn1(func(d int64) string { return string(vec.AppendDate(nil, d)) })),
	}
}

func toISOTimestamp(ns int64) string {
	return string(append(vec.AppendTimestamp(make([]byte, 0, 30), ns, 'T'), 'Z'))
}

// formatPart is one item of a format: text, or a field with a way to print it and
// perhaps one to read it.
type formatPart struct {
	text  string
	print func(dst []byte, f *civil) []byte
	read  func(r *reader) bool
}

// format is a compiled format.
type format []formatPart

// civil is a timestamp taken apart.
type civil struct {
	ns                 int64 // of the day
	days               int64
	year, month, day   int64
	weekYear, week     int64
	hour, minute, secs int64
	fraction           int64
}

func civilOf(ts int64) *civil {
	f := &civil{days: dayOf(ts), ns: vec.FloorMod(ts, vec.Day)}
	f.year, f.month, f.day = vec.CivilOf(f.days)
	f.weekYear, f.week = isoWeek(f.days)
	f.hour, f.minute, f.secs, f.fraction = f.ns/vec.Hour, f.ns/vec.Minute%60, f.ns/vec.Second%60, f.ns%vec.Second
	return f
}

// half returns the hour of a half day, 1 to 12.
func (f *civil) half() int64 { return (f.hour+11)%12 + 1 }

// formatKernel and parseKernel compile the format when it changes.
func formatKernel(compile func(string) (format, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		ts, pattern := colOf[int64](args[0]), colOf[string](args[1])
		var m memo[string, format]
		var buf []byte
		return collect(c, n, func(i int) (string, bool, error) {
			parts, err := m.get(pattern.at(i), compile)
			if err != nil {
				return "", false, err
			}
			buf = buf[:0]
			f := civilOf(ts.at(i))
			for _, p := range parts {
				if buf = append(buf, p.text...); p.print != nil {
					buf = p.print(buf, f)
				}
			}
			return string(buf), true, nil
		})
	}
}

func parseKernel(compile func(string) (format, error), name string) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		text, pattern := colOf[string](args[0]), colOf[string](args[1])
		var m memo[string, format]
		return collect(c, n, func(i int) (int64, bool, error) {
			parts, err := m.get(pattern.at(i), compile)
			if err != nil {
				return 0, false, err
			}
			ts, at, ok := parts.parse(text.at(i))
			if !ok {
				if at >= len(text.at(i)) {
					return 0, false, fail("Invalid format: \"%s\" is too short", text.at(i))
				}
				return 0, false, fail("Invalid format: \"%s\" is malformed at \"%s\"", text.at(i), text.at(i)[at:])
			}
			return ts, true, nil
		})
	}
}

// reader is a text being parsed, and the fields seen so far; -1 is not seen.
type reader struct {
	s  string
	at int

	year, month, day   int64
	weekYear, week     int64
	weekday, yearDay   int64
	hour, minute, secs int64
	fraction, offset   int64
	pm                 int64 // 0 for AM, 1 for PM
	half               bool  // hour is of a half day
}

// parse reads the whole of s. Fields that the format lacks are those of 1970-01-01.
func (parts format) parse(s string) (ts int64, at int, ok bool) {
	r := &reader{s: s, year: 1970, month: 1, day: 1, weekYear: -1, week: -1, weekday: -1, yearDay: -1, pm: -1}
	for _, p := range parts {
		at = r.at
		if !strings.HasPrefix(s[r.at:], p.text) {
			return 0, at, false
		}
		r.at += len(p.text)
		at = r.at
		if p.read != nil && !p.read(r) {
			return 0, at, false
		}
	}
	if r.at != len(s) {
		return 0, r.at, false
	}
	ts, ok = r.timestamp()
	return ts, 0, ok
}

func (r *reader) timestamp() (int64, bool) {
	days, ok := r.date()
	if !ok || r.minute > 59 || r.secs > 59 || r.hour > 24 {
		return 0, false
	}
	if r.half {
		if r.hour < 1 || r.hour > 12 {
			return 0, false
		}
		r.hour %= 12
		if r.pm == 1 {
			r.hour += 12
		}
	}
	if r.hour > 23 {
		return 0, false
	}
	return vec.TimestampOf(days, r.hour*vec.Hour+r.minute*vec.Minute+r.secs*vec.Second+r.fraction-r.offset)
}

func (r *reader) date() (int64, bool) {
	switch {
	case r.week >= 0:
		year := r.weekYear
		if year < 0 {
			year = r.year
		}
		return isoWeekDay(year, r.week, max(r.weekday, 1))
	case r.yearDay >= 0:
		return ordinalDay(r.year, r.yearDay)
	}
	return vec.DaysOf(r.year, r.month, r.day), vec.ValidDate(r.year, r.month, r.day)
}

// isoWeekDay returns the day of an ISO week date.
func isoWeekDay(year, week, day int64) (int64, bool) {
	fourth := vec.DaysOf(year, 1, 4) // always in week 1
	days := fourth - weekday(fourth) + (week-1)*7 + day
	gotYear, gotWeek := isoWeek(days)
	return days, day >= 1 && day <= 7 && gotYear == year && gotWeek == week
}

// ordinalDay returns day n of a year.
func ordinalDay(year, n int64) (int64, bool) {
	days := vec.DaysOf(year, 1, 1) + n - 1
	y, _, _ := vec.CivilOf(days)
	return days, n >= 1 && y == year
}

// digits reads least to most digits.
func (r *reader) digits(least, most int) (int64, bool) {
	start := r.at
	var n int64
	for r.at < len(r.s) && r.at-start < most && isDigit(r.s[r.at]) {
		n = n*10 + int64(r.s[r.at]-'0')
		r.at++
	}
	return n, r.at-start >= least
}

// number reads digits into a field.
func number(field func(r *reader) *int64, most int, lo, hi int64) func(r *reader) bool {
	return func(r *reader) bool {
		n, ok := r.digits(1, most)
		*field(r) = n
		return ok && n >= lo && n <= hi
	}
}

func hourOfHalf(r *reader) bool {
	n, ok := r.digits(1, 2)
	r.hour, r.half = n, true
	return ok && n >= 1 && n <= 12
}

// readFraction reads up to 9 digits of a second.
func readFraction(r *reader) bool {
	start := r.at
	n, ok := r.digits(1, 9)
	for range 9 - (r.at - start) {
		n *= 10
	}
	r.fraction = n
	return ok
}

func readHalf(r *reader) bool {
	if r.at+2 > len(r.s) {
		return false
	}
	switch strings.ToUpper(r.s[r.at : r.at+2]) {
	case "AM":
		r.pm = 0
	case "PM":
		r.pm = 1
	default:
		return false
	}
	r.at += 2
	return true
}

var months = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}

var weekdays = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// name reads one of names, long or cut to three letters, without case, into a field from 1.
func name(names []string, field func(r *reader) *int64) func(r *reader) bool {
	return func(r *reader) bool {
		rest := r.s[r.at:]
		for _, size := range []int{0, 3} {
			for i, n := range names {
				if size > 0 {
					n = n[:size]
				}
				if len(rest) >= len(n) && strings.EqualFold(rest[:len(n)], n) {
					*field(r) = int64(i + 1)
					r.at += len(n)
					return true
				}
			}
		}
		return false
	}
}

func yearField(r *reader) *int64     { return &r.year }
func monthField(r *reader) *int64    { return &r.month }
func dayField(r *reader) *int64      { return &r.day }
func yearDayField(r *reader) *int64  { return &r.yearDay }
func weekYearField(r *reader) *int64 { return &r.weekYear }
func weekField(r *reader) *int64     { return &r.week }
func weekdayField(r *reader) *int64  { return &r.weekday }
func hourField(r *reader) *int64     { return &r.hour }
func minuteField(r *reader) *int64   { return &r.minute }
func secondField(r *reader) *int64   { return &r.secs }

// padded prints a field in at least width digits.
func padded(width int, field func(f *civil) int64) func(dst []byte, f *civil) []byte {
	return func(dst []byte, f *civil) []byte { return appendWidth(dst, field(f), width) }
}

func appendWidth(dst []byte, n int64, width int) []byte {
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	digits := strconv.FormatInt(n, 10)
	for range width - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// mysqlFormat compiles the specifiers of date_format.
func mysqlFormat(text string) (format, error) {
	var out format
	lit := ""
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			lit += text[i : i+1]
			continue
		}
		i++
		switch c := text[i]; {
		case strings.IndexByte("DUuVwX", c) >= 0:
			return nil, fail("%%%c not supported in date format string", c)
		case c == 'r' || c == 'T':
			inner, err := mysqlFormat(map[byte]string{'r': "%I:%i:%S %p", 'T': "%H:%i:%S"}[c])
			if err != nil {
				return nil, err
			}
			inner[0].text = lit + inner[0].text
			out, lit = append(out, inner...), ""
		default:
			p, ok := mysqlPart(c)
			if !ok {
				lit += string(c)
				continue
			}
			p.text, lit = lit, ""
			out = append(out, p)
		}
	}
	return append(out, formatPart{text: lit}), nil
}

func mysqlPart(c byte) (formatPart, bool) {
	part := func(print func([]byte, *civil) []byte, read func(*reader) bool) (formatPart, bool) {
		return formatPart{print: print, read: read}, true
	}
	switch c {
	case 'a':
		return part(func(b []byte, f *civil) []byte { return append(b, weekdays[weekday(f.days)-1][:3]...) }, name(weekdays[:], weekdayField))
	case 'W':
		return part(func(b []byte, f *civil) []byte { return append(b, weekdays[weekday(f.days)-1]...) }, name(weekdays[:], weekdayField))
	case 'b':
		return part(func(b []byte, f *civil) []byte { return append(b, months[f.month-1][:3]...) }, name(months[:], monthField))
	case 'M':
		return part(func(b []byte, f *civil) []byte { return append(b, months[f.month-1]...) }, name(months[:], monthField))
	case 'c', 'm':
		return part(padded(map[byte]int{'c': 1, 'm': 2}[c], func(f *civil) int64 { return f.month }), number(monthField, 2, 1, 12))
	case 'd', 'e':
		return part(padded(map[byte]int{'e': 1, 'd': 2}[c], func(f *civil) int64 { return f.day }), number(dayField, 2, 1, 31))
	case 'f':
		return part(padded(6, func(f *civil) int64 { return f.fraction / 1000 }), readFraction)
	case 'H', 'k':
		return part(padded(map[byte]int{'k': 1, 'H': 2}[c], func(f *civil) int64 { return f.hour }), number(hourField, 2, 0, 23))
	case 'h', 'I', 'l':
		return part(padded(map[byte]int{'l': 1, 'h': 2, 'I': 2}[c], (*civil).half), hourOfHalf)
	case 'i':
		return part(padded(2, func(f *civil) int64 { return f.minute }), number(minuteField, 2, 0, 59))
	case 'j':
		return part(padded(3, func(f *civil) int64 { return dayOfYear(f.days) }), number(yearDayField, 3, 1, 366))
	case 'p':
		return part(appendHalf, readHalf)
	case 'S', 's':
		return part(padded(2, func(f *civil) int64 { return f.secs }), number(secondField, 2, 0, 59))
	case 'v':
		return part(padded(2, func(f *civil) int64 { return f.week }), number(weekField, 2, 1, 53))
	case 'x':
		return part(padded(4, func(f *civil) int64 { return f.weekYear }), number(weekYearField, 4, 0, 9999))
	case 'Y':
		return part(padded(4, func(f *civil) int64 { return f.year }), number(yearField, 4, 0, 9999))
	case 'y':
		return part(padded(2, func(f *civil) int64 { return vec.FloorMod(f.year, 100) }), twoDigitYear)
	}
	return formatPart{}, false
}

func appendHalf(b []byte, f *civil) []byte {
	if f.hour < 12 {
		return append(b, "AM"...)
	}
	return append(b, "PM"...)
}

// twoDigitYear reads 70 to 99 as 1970 to 1999 and 00 to 69 as 2000 to 2069.
func twoDigitYear(r *reader) bool {
	n, ok := r.digits(2, 2)
	r.year = 1900 + n
	if n < 70 {
		r.year += 100
	}
	return ok
}

// jodaFormat compiles a pattern of Joda-Time's DateTimeFormat; the letters u and L of
// java.time are taken as y and M.
func jodaFormat(text string) (format, error) {
	var out format
	lit := ""
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\'':
			quoted, size, err := jodaQuote(text[i:])
			if err != nil {
				return nil, err
			}
			lit += quoted
			i += size
		case !isLetter(c):
			lit += text[i : i+1]
			i++
		default:
			n := 1
			for i+n < len(text) && text[i+n] == c {
				n++
			}
			p, ok := jodaPart(c, n)
			if !ok {
				return nil, fail("Illegal pattern component: %s", text[i:i+n])
			}
			// Two number fields in a row: the first takes just its letters' count of digits.
			if next := i + n; next < len(text) && isLetter(text[next]) && p.adjacent != nil {
				p.read = p.adjacent
			}
			p.text, lit = lit, ""
			out = append(out, p.formatPart)
			i += n
		}
	}
	return append(out, formatPart{text: lit}), nil
}

// jodaQuote reads quoted text; ” is a quote, inside or outside.
func jodaQuote(s string) (text string, size int, err error) {
	if strings.HasPrefix(s, "''") {
		return "'", 2, nil
	}
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			text += s[i : i+1]
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			text += "'"
			i++
			continue
		}
		return text, i + 1, nil
	}
	return "", 0, fail("Invalid format: the pattern has an open quote")
}

type jodaItem struct {
	formatPart
	adjacent func(r *reader) bool // reads when another field follows directly
}

func jodaPart(c byte, n int) (jodaItem, bool) {
	text := func(print func([]byte, *civil) []byte, read func(*reader) bool) (jodaItem, bool) {
		return jodaItem{formatPart: formatPart{print: print, read: read}}, true
	}
	digits := func(print func(f *civil) int64, field func(*reader) *int64, most int, lo, hi int64) (jodaItem, bool) {
		return jodaItem{
			formatPart: formatPart{print: padded(n, print), read: number(field, max(n, most), lo, hi)},
			adjacent:   number(field, n, lo, hi),
		}, true
	}
	switch c {
	case 'y', 'Y', 'u', 'x':
		return jodaYear(c, n)
	case 'M', 'L':
		switch {
		case n > 3:
			return text(func(b []byte, f *civil) []byte { return append(b, months[f.month-1]...) }, name(months[:], monthField))
		case n == 3:
			return text(func(b []byte, f *civil) []byte { return append(b, months[f.month-1][:3]...) }, name(months[:], monthField))
		}
		return digits(func(f *civil) int64 { return f.month }, monthField, 2, 1, 12)
	case 'd':
		return digits(func(f *civil) int64 { return f.day }, dayField, 2, 1, 31)
	case 'D':
		return digits(func(f *civil) int64 { return dayOfYear(f.days) }, yearDayField, 3, 1, 366)
	case 'E':
		if n > 3 {
			return text(func(b []byte, f *civil) []byte { return append(b, weekdays[weekday(f.days)-1]...) }, name(weekdays[:], weekdayField))
		}
		return text(func(b []byte, f *civil) []byte { return append(b, weekdays[weekday(f.days)-1][:3]...) }, name(weekdays[:], weekdayField))
	case 'e':
		return digits(func(f *civil) int64 { return weekday(f.days) }, weekdayField, 1, 1, 7)
	case 'w':
		return digits(func(f *civil) int64 { return f.week }, weekField, 2, 1, 53)
	case 'H':
		return digits(func(f *civil) int64 { return f.hour }, hourField, 2, 0, 23)
	case 'k':
		return text(padded(n, func(f *civil) int64 { return (f.hour+23)%24 + 1 }), hourFromOne)
	case 'K':
		return text(padded(n, func(f *civil) int64 { return f.hour % 12 }), hourOfHalfFromZero)
	case 'h':
		return text(padded(n, (*civil).half), hourOfHalf)
	case 'a':
		return text(appendHalf, readHalf)
	case 'm':
		return digits(func(f *civil) int64 { return f.minute }, minuteField, 2, 0, 59)
	case 's':
		return digits(func(f *civil) int64 { return f.secs }, secondField, 2, 0, 59)
	case 'S':
		return jodaFraction(n)
	case 'z':
		return text(func(b []byte, _ *civil) []byte { return append(b, "UTC"...) }, readOffset)
	case 'Z':
		zone := map[int]string{1: "+0000", 2: "+00:00"}[n]
		if zone == "" {
			zone = "UTC"
		}
		return text(func(b []byte, _ *civil) []byte { return append(b, zone...) }, readOffset)
	}
	return jodaItem{}, false
}

// jodaYear is y, Y, u and x; two letters print and read two digits.
func jodaYear(c byte, n int) (jodaItem, bool) {
	year, field := func(f *civil) int64 { return f.year }, yearField
	if c == 'x' {
		year, field = func(f *civil) int64 { return f.weekYear }, weekYearField
	}
	if n != 2 {
		return jodaItem{
			formatPart: formatPart{print: padded(n, year), read: number(field, max(n, 4), 0, 9999)},
			adjacent:   number(field, n, 0, 9999),
		}, true
	}
	read := func(r *reader) bool {
		before := r.year
		ok := twoDigitYear(r)
		if two := r.year; c == 'x' {
			r.year, r.weekYear = before, two
		}
		return ok
	}
	return jodaItem{formatPart: formatPart{print: padded(2, func(f *civil) int64 { return vec.FloorMod(year(f), 100) }), read: read}}, true
}

// jodaFraction prints n digits of the fraction and reads up to as many, nine at most.
func jodaFraction(n int) (jodaItem, bool) {
	print := func(b []byte, f *civil) []byte {
		nine := appendWidth(nil, f.fraction, 9)
		for len(nine) < n {
			nine = append(nine, '0')
		}
		return append(b, nine[:n]...)
	}
	return jodaItem{formatPart: formatPart{print: print, read: readFraction}}, true
}

func hourFromOne(r *reader) bool {
	n, ok := r.digits(1, 2)
	r.hour = n % 24
	return ok && n >= 1 && n <= 24
}

func hourOfHalfFromZero(r *reader) bool {
	n, ok := r.digits(1, 2)
	r.half, r.hour = true, n
	if n == 0 {
		r.hour = 12
	}
	return ok && n <= 11
}

// readOffset reads Z, UTC, GMT, +hh, +hhmm or +hh:mm.
func readOffset(r *reader) bool {
	rest := r.s[r.at:]
	for _, zone := range []string{"UTC", "GMT", "Z"} {
		if len(rest) >= len(zone) && strings.EqualFold(rest[:len(zone)], zone) {
			r.at += len(zone)
			return true
		}
	}
	if rest == "" || rest[0] != '+' && rest[0] != '-' {
		return false
	}
	r.at++
	h, ok := r.digits(2, 2)
	if !ok || h > 18 {
		return false
	}
	var m int64
	if r.at < len(r.s) && r.s[r.at] == ':' {
		r.at++
		m, ok = r.digits(2, 2)
	} else if r.at < len(r.s) && isDigit(r.s[r.at]) {
		m, ok = r.digits(2, 2)
	}
	r.offset = h*vec.Hour + m*vec.Minute
	if rest[0] == '-' {
		r.offset = -r.offset
	}
	return ok && m < 60
}

// readISODate reads y-m-d, y-m, y, y-Www[-d] or y-ddd.
func (r *reader) readISODate() (days int64, ok bool) {
	if r.year, ok = r.digits(4, 4); !ok {
		return 0, false
	}
	next := func() bool {
		if r.at < len(r.s) && r.s[r.at] == '-' {
			r.at++
			return true
		}
		return false
	}
	if !next() {
		return r.date()
	}
	if r.at < len(r.s) && r.s[r.at] == 'W' {
		r.at++
		if r.week, ok = r.digits(2, 2); !ok {
			return 0, false
		}
		r.weekYear = r.year
		if next() {
			if r.weekday, ok = r.digits(1, 1); !ok {
				return 0, false
			}
		}
		return r.date()
	}
	start := r.at
	n, ok := r.digits(1, 3)
	if r.at-start == 3 {
		r.yearDay = n
		return r.date()
	}
	if r.month = n; ok && next() {
		r.day, ok = r.digits(1, 2)
	}
	if !ok {
		return 0, false
	}
	return r.date()
}

func isoReader(s string) *reader {
	return &reader{s: s, month: 1, day: 1, weekYear: -1, week: -1, weekday: -1, yearDay: -1}
}

func fromISODate(s string) (int64, error) {
	r := isoReader(s)
	days, ok := r.readISODate()
	if !ok || r.at != len(s) {
		return 0, fail("Invalid format: \"%s\"", s)
	}
	return checkDate(days)
}

func fromISOTimestamp(s string) (int64, error) {
	r := isoReader(s)
	days, ok := r.readISODate()
	if ok && r.at < len(s) {
		if ok = s[r.at] == 'T' || s[r.at] == 't'; ok {
			r.at++
			ok = r.readISOTime()
		}
	}
	if !ok || r.at != len(s) {
		return 0, fail("Invalid format: \"%s\"", s)
	}
	ns, ok := vec.TimestampOf(days, r.hour*vec.Hour+r.minute*vec.Minute+r.secs*vec.Second+r.fraction-r.offset)
	if !ok {
		return 0, errTimestampRange()
	}
	return ns, nil
}

// readISOTime reads h[:m[:s[.f]]] and an offset.
func (r *reader) readISOTime() bool {
	fields := []func(*reader) bool{number(hourField, 2, 0, 23), number(minuteField, 2, 0, 59), number(secondField, 2, 0, 59)}
	for i, read := range fields {
		if i > 0 {
			if r.at == len(r.s) || r.s[r.at] != ':' {
				break
			}
			r.at++
		}
		if !read(r) {
			return false
		}
	}
	if r.at < len(r.s) && (r.s[r.at] == '.' || r.s[r.at] == ',') {
		r.at++
		if !readFraction(r) {
			return false
		}
	}
	return r.at == len(r.s) || readOffset(r)
}
