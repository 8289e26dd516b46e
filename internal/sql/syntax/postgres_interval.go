package syntax

import (
	"fmt"
	"strconv"
	"strings"
)

// intervalWords are the units that PostgreSQL's texts of intervals name (PostgreSQL, interval input).
var intervalWords = map[string]Unit{
	"us": Microsecond, "usec": Microsecond, "microsecond": Microsecond, "ms": Millisecond, "msec": Millisecond, "millisecond": Millisecond,
	"s": Second, "sec": Second, "second": Second, "m": Minute, "min": Minute, "minute": Minute, "h": Hour, "hr": Hour, "hour": Hour,
	"d": Day, "day": Day, "w": Week, "week": Week, "mon": Month, "month": Month, "y": Year, "yr": Year, "year": Year,
}

// postgresInterval is the literal of an interval in words: '15 minutes', '1 day 02:30:00'. One of months and of
// shorter units at once has no type here.
func (p *parser) postgresInterval(at Pos, text string) *IntervalLit {
	months, ns, ok := intervalText(text)
	if !ok {
		panic(&Error{At: at, Msg: fmt.Sprintf("%s: '%s' is not a valid interval literal", at, abbreviate(text)), Found: "an interval that cannot be read"})
	}
	e := &IntervalLit{At: at, From: Second}
	n := ns
	if months != 0 {
		if ns != 0 {
			p.unsupported(at, "An interval of months and days or less")
		}
		e.From, n = Month, months
	}
	if e.Negative = n < 0; e.Negative {
		n = -n
	}
	if e.Text = strconv.FormatInt(n, 10); e.From == Second {
		e.Text = fmt.Sprintf("%d.%09d", n/perUnit[Second], n%perUnit[Second])
	}
	return e
}

// intervalText reads numbers with units and at most one hh:mm:ss.
func intervalText(text string) (months, ns int64, ok bool) {
	words := strings.Fields(strings.ToLower(text))
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if strings.Contains(word, ":") {
			n, ok := clockText(word)
			if !ok || !addWithin(&ns, n) {
				return 0, 0, false
			}
			continue
		}
		end := strings.LastIndexAny(word, "0123456789.") + 1
		number, name := word[:end], word[end:]
		if name == "" && len(words) > 0 {
			name, words = words[0], words[1:]
		}
		unit := Second
		if name != "" {
			if unit = intervalWords[name]; unit == NoUnit {
				unit = intervalWords[strings.TrimSuffix(name, "s")]
			}
		}
		n, ok := unitsText(number, unit)
		sum := &ns
		if unit >= Month {
			sum = &months
		}
		if !ok || !addWithin(sum, n) {
			return 0, 0, false
		}
	}
	return months, ns, strings.TrimSpace(text) != ""
}

// longest is how long an interval may be, in either direction, in ns or months.
const longest = 1 << 62

// addWithin adds n and reports whether the sum is within bounds.
func addWithin(sum *int64, n int64) bool {
	if n > longest || n < -longest {
		return false
	}
	*sum += n
	return *sum <= longest && *sum >= -longest
}

// signed takes the sign off a number.
func signed(s string) (digits string, negative bool) {
	if rest, found := strings.CutPrefix(s, "-"); found {
		return rest, true
	}
	return strings.TrimPrefix(s, "+"), false
}

// unitsText reads a number of units, with a fraction where it is exact.
func unitsText(number string, u Unit) (int64, bool) {
	digits, negative := signed(number)
	whole, fraction, point := strings.Cut(digits, ".")
	if u == NoUnit || !digitsOnly(whole) || point && (u >= Month || !digitsOnly(fraction)) {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, false
	}
	sum, ok := mulAdd(0, n, perUnit[u])
	if !ok {
		return 0, false
	}
	if point {
		per := perUnit[u]
		for i := range len(fraction) {
			if per%10 != 0 && fraction[i] != '0' {
				return 0, false
			}
			per /= 10
			if sum, ok = mulAdd(sum, int64(fraction[i]-'0'), max(per, 1)); !ok {
				return 0, false
			}
		}
	}
	if negative {
		sum = -sum
	}
	return sum, true
}

// clockText reads [-]hh:mm[:ss[.f]].
func clockText(s string) (int64, bool) {
	digits, negative := signed(s)
	parts := strings.Split(digits, ":")
	if len(parts) > 3 {
		return 0, false
	}
	var sum int64
	for i, part := range parts {
		if strings.HasPrefix(part, "-") || strings.HasPrefix(part, "+") || i < 2 && strings.Contains(part, ".") {
			return 0, false
		}
		n, ok := unitsText(part, Hour-Unit(i))
		if !ok || !addWithin(&sum, n) {
			return 0, false
		}
	}
	if negative {
		sum = -sum
	}
	return sum, true
}
