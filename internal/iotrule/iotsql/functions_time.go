package iotsql

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones by name on machines that have no zone files
)

var timeFunctions = map[string]*function{
	"parse_time":    {min: 2, max: 3, eval: parseTimeFn, check: checkPattern(0, printable)},
	"time_to_epoch": {min: 2, max: 2, eval: timeToEpoch, check: checkPattern(1, readable)},
}

// The letters of time patterns that are built, of Joda's and java.time's.
const (
	printable = "GyYuMdDEaHhkKmsSzZ"
	readable  = "GyuMdEaHhkKmsSzZXxV"
)

// run is a piece of a time pattern: n times a letter, or literal text.
type run struct {
	letter byte // 0 for text
	n      int
	text   string
}

func splitPattern(pattern string) []run {
	var runs []run
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			var b strings.Builder
			i++
			if i < len(pattern) && pattern[i] == '\'' {
				b.WriteByte('\'')
				i++
			} else {
				for i < len(pattern) {
					if pattern[i] == '\'' {
						i++
						if i == len(pattern) || pattern[i] != '\'' {
							break
						}
					}
					b.WriteByte(pattern[i])
					i++
				}
			}
			runs = append(runs, run{text: b.String()})
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			runs = append(runs, run{letter: c, n: n})
			i += n
		default:
			n := 1
			runs = append(runs, run{text: pattern[i : i+n]})
			i += n
		}
	}
	return runs
}

// checkPattern refuses a pattern that is written out and has letters that are not
// built.
func checkPattern(arg int, letters string) func(args []expr) string {
	return func(args []expr) string {
		if arg >= len(args) {
			return ""
		}
		lit, ok := args[arg].(literal)
		if !ok || lit.v.kind != Str {
			return ""
		}
		for _, r := range splitPattern(lit.v.s) {
			if r.letter != 0 && strings.IndexByte(letters, r.letter) < 0 {
				return "the letter " + string(r.letter) + " of time patterns is not supported"
			}
		}
		return ""
	}
}

func parseTimeFn(_ *env, a []Value) Value {
	pattern := a[0]
	ms, ok := a[1].toNum()
	if pattern.kind != Str || !ok || ms.kind != Num {
		return Value{}
	}
	n, ok := toInt(ms, truncate).Int64()
	if !ok || n > 253402300799999 || n < -62135596800000 { // years 1 to 9999
		return Value{}
	}
	zone := time.UTC
	if len(a) == 3 {
		var err error
		if zone, err = loadZone(a[2].s); err != nil || a[2].kind != Str {
			return Value{}
		}
	}
	t := time.UnixMilli(n).In(zone)
	var b []byte
	for _, r := range splitPattern(pattern.s) {
		if b, ok = appendRun(b, t, r); !ok || len(b) > maxText {
			return Value{}
		}
	}
	return text(string(b))
}

func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, strconv.ErrSyntax
	}
	return time.LoadLocation(name)
}

func padded(b []byte, n, width int) []byte {
	s := strconv.Itoa(n)
	for i := len(s); i < width && i < 64; i++ {
		b = append(b, '0')
	}
	return append(b, s...)
}

func or(n, zero int) int {
	if n == 0 {
		return zero
	}
	return n
}

func appendRun(b []byte, t time.Time, r run) ([]byte, bool) {
	switch r.letter {
	case 0:
		return append(b, r.text...), true
	case 'G':
		return append(b, "AD"...), true
	case 'y', 'Y', 'u':
		if r.n == 2 {
			return padded(b, t.Year()%100, 2), true
		}
		return padded(b, t.Year(), r.n), true
	case 'M':
		switch {
		case r.n >= 4:
			return append(b, t.Month().String()...), true
		case r.n == 3:
			return append(b, t.Month().String()[:3]...), true
		}
		return padded(b, int(t.Month()), r.n), true
	case 'd':
		return padded(b, t.Day(), r.n), true
	case 'D':
		return padded(b, t.YearDay(), r.n), true
	case 'E':
		if r.n >= 4 {
			return append(b, t.Weekday().String()...), true
		}
		return append(b, t.Weekday().String()[:3]...), true
	case 'a':
		return t.AppendFormat(b, "PM"), true
	case 'H':
		return padded(b, t.Hour(), r.n), true
	case 'k':
		return padded(b, or(t.Hour(), 24), r.n), true
	case 'h':
		return padded(b, or(t.Hour()%12, 12), r.n), true
	case 'K':
		return padded(b, t.Hour()%12, r.n), true
	case 'm':
		return padded(b, t.Minute(), r.n), true
	case 's':
		return padded(b, t.Second(), r.n), true
	case 'S':
		digits := padded(nil, t.Nanosecond(), 9)
		for i := range min(r.n, 64) {
			if i < len(digits) {
				b = append(b, digits[i])
			} else {
				b = append(b, '0')
			}
		}
		return b, true
	case 'z':
		return t.AppendFormat(b, "MST"), true
	case 'Z':
		switch r.n {
		case 1:
			return t.AppendFormat(b, "-0700"), true
		case 2:
			return t.AppendFormat(b, "-07:00"), true
		}
		return append(b, t.Location().String()...), true
	}
	return b, false
}

// reading is a time text being read by a pattern.
type reading struct {
	s                        string
	year, month, day         int
	hour, minute, sec, nanos int
	pm, half                 bool
	zone                     *time.Location
}

func timeToEpoch(_ *env, a []Value) Value {
	if a[0].kind != Str || a[1].kind != Str {
		return Value{}
	}
	in := reading{s: a[0].s, year: 1970, month: 1, day: 1, zone: time.UTC}
	runs := splitPattern(a[1].s)
	for i, r := range runs {
		// A run of digits right before another letter takes just its own width.
		tight := i+1 < len(runs) && runs[i+1].letter != 0
		if !in.read(r, tight) {
			return Value{}
		}
	}
	if in.half {
		in.hour %= 12
		if in.pm {
			in.hour += 12
		}
	}
	t := time.Date(in.year, time.Month(in.month), in.day, in.hour, in.minute, in.sec, in.nanos, in.zone)
	if in.s != "" || t.Month() != time.Month(in.month) || t.Day() != in.day || in.hour > 23 || in.minute > 59 || in.sec > 59 {
		return Value{}
	}
	return Int(t.UnixMilli())
}

// number takes min to max digits.
func (in *reading) number(min, max int, into *int) bool {
	n, v := 0, 0
	for n < len(in.s) && n < max && in.s[n]-'0' <= 9 {
		v = v*10 + int(in.s[n]-'0')
		n++
	}
	*into = v
	in.s = in.s[n:]
	return n >= min
}

func (in *reading) prefix(p string) bool {
	if len(in.s) < len(p) || !strings.EqualFold(in.s[:len(p)], p) {
		return false
	}
	in.s = in.s[len(p):]
	return true
}

func (in *reading) read(r run, tight bool) bool {
	two := func(into *int) bool {
		if r.n == 1 && !tight {
			return in.number(1, 2, into)
		}
		return in.number(r.n, max(r.n, 1), into)
	}
	switch r.letter {
	case 0:
		if !strings.HasPrefix(in.s, r.text) {
			return false
		}
		in.s = in.s[len(r.text):]
		return true
	case 'G':
		return in.prefix("AD")
	case 'y', 'u':
		if r.n == 2 {
			ok := in.number(2, 2, &in.year)
			in.year += 2000
			return ok
		}
		if tight {
			return in.number(r.n, r.n, &in.year)
		}
		return in.number(1, 9, &in.year)
	case 'M':
		if r.n < 3 {
			return two(&in.month)
		}
		for m := time.January; m <= time.December; m++ {
			name := m.String()
			if r.n == 3 {
				name = name[:3]
			}
			if in.prefix(name) {
				in.month = int(m)
				return true
			}
		}
		return false
	case 'E':
		for d := time.Sunday; d <= time.Saturday; d++ {
			if r.n >= 4 && in.prefix(d.String()) || r.n < 4 && in.prefix(d.String()[:3]) {
				return true
			}
		}
		return false
	case 'd':
		return two(&in.day)
	case 'a':
		in.half = true
		if in.prefix("PM") {
			in.pm = true
			return true
		}
		return in.prefix("AM")
	case 'H', 'k':
		ok := two(&in.hour)
		if r.letter == 'k' {
			in.hour %= 24
		}
		return ok
	case 'h', 'K':
		in.half = true
		return two(&in.hour) && in.hour <= 12
	case 'm':
		return two(&in.minute)
	case 's':
		return two(&in.sec)
	case 'S':
		if r.n > 9 || !in.number(r.n, r.n, &in.nanos) {
			return false
		}
		for range 9 - r.n {
			in.nanos *= 10
		}
		return true
	case 'Z', 'X', 'x':
		return in.offset()
	case 'z', 'V':
		return in.zoneName()
	}
	return false
}

// offset reads Z, ±hh, ±hhmm or ±hh:mm.
func (in *reading) offset() bool {
	if in.prefix("Z") {
		return true
	}
	if in.s == "" || in.s[0] != '+' && in.s[0] != '-' {
		return false
	}
	neg := in.s[0] == '-'
	in.s = in.s[1:]
	var h, m int
	if !in.number(2, 2, &h) {
		return false
	}
	in.s = strings.TrimPrefix(in.s, ":")
	if in.s != "" && in.s[0]-'0' <= 9 && !in.number(2, 2, &m) {
		return false
	}
	seconds := h*3600 + m*60
	if neg {
		seconds = -seconds
	}
	in.zone = time.FixedZone("", seconds)
	return h <= 18 && m <= 59
}

// zoneName reads a zone id or an abbreviation that is one.
func (in *reading) zoneName() bool {
	n := 0
	for n < len(in.s) && (isNamePart(in.s[n]) || in.s[n] == '/' || in.s[n] == '-' || in.s[n] == '+') {
		n++
	}
	name := in.s[:n]
	if name == "Z" {
		name = "UTC"
	}
	zone, err := loadZone(name)
	if err != nil {
		return false
	}
	in.zone, in.s = zone, in.s[n:]
	return true
}
