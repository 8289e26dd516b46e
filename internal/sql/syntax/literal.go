package syntax

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Unit is a unit of duration and interval literals.
type Unit uint8

const (
	NoUnit Unit = iota
	Nanosecond
	Microsecond
	Millisecond
	Second
	Minute
	Hour
	Day
	Week // of INTERVAL only
	Month
	Year
)

var unitNames = [...]string{"", "nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "year"}

// String returns the unit's whole name in lower case.
func (u Unit) String() string { return unitNames[u] }

// perUnit is the length of each unit: in months for month and year, else in nanoseconds.
var perUnit = [...]int64{
	Nanosecond: 1, Microsecond: 1e3, Millisecond: 1e6, Second: 1e9, Minute: 60e9, Hour: 3600e9,
	Day: 86400e9, Week: 7 * 86400e9, Month: 1, Year: 12,
}

// Span is the value of a duration or interval literal.
type Span struct {
	YearMonth bool  // an interval year to month; otherwise day to second
	N         int64 // months, or nanoseconds
}

// errSpanRange and errSpanText are wrapped by nobody; the planner adds the place.
var (
	errSpanRange = errors.New("out of range")
	errSpanText  = errors.New("not a valid interval literal")
)

// Span returns the value of the literal, or an error if it exceeds 64 bits of nanoseconds or of months.
func (d *DurationLit) Span() (Span, error) { return spanOf(d.Count, d.Unit) }

func spanOf(n int64, u Unit) (Span, error) {
	v, ok := mulAdd(0, n, perUnit[u])
	if !ok {
		return Span{}, errSpanRange
	}
	return Span{YearMonth: u >= Month, N: v}, nil
}

// mulAdd returns sum + n*per, all of them not negative, and whether it fits.
func mulAdd(sum, n, per int64) (int64, bool) {
	if n > (math.MaxInt64-sum)/per {
		return 0, false
	}
	return sum + n*per, true
}

// Span returns the value of the literal. The error says that the text is not one of the units named
// or is out of range; it does not name the literal.
//
// Forms (Trino, interval literals): 'n' with any unit; 'y-m' for YEAR TO MONTH; for ranges from DAY,
// HOUR or MINUTE down to SECOND, 'd h:m:s.f' or the part of it that the range names. The
// text may carry a sign of its own, which multiplies with the literal's.
func (i *IntervalLit) Span() (Span, error) {
	text, negative := strings.TrimSpace(i.Text), i.Negative
	if rest, found := strings.CutPrefix(text, "-"); found {
		text, negative = rest, !negative
	} else {
		text = strings.TrimPrefix(text, "+")
	}
	n, err := i.magnitude(text)
	if err != nil {
		return Span{}, err
	}
	if negative {
		n = -n
	}
	return Span{YearMonth: i.From >= Month, N: n}, nil
}

func (i *IntervalLit) magnitude(text string) (int64, error) {
	to := i.To
	if to == NoUnit {
		to = i.From
	}
	if to > i.From {
		return 0, errSpanText
	}
	var sum int64
	for u := i.From; ; u = smaller(u) {
		part := text
		if u != to {
			at := strings.IndexByte(text, separatorAfter(u))
			if at < 0 {
				return 0, errSpanText
			}
			part, text = text[:at], text[at+1:]
			if u == Day {
				text = strings.TrimLeft(text, " ")
			}
		}
		v, err := unitValue(part, u)
		if err != nil {
			return 0, err
		}
		var ok bool
		if sum, ok = mulAdd(sum, v, 1); !ok {
			return 0, errSpanRange
		}
		if u == to {
			return sum, nil
		}
	}
}

// smaller returns the unit below u in a range of units.
func smaller(u Unit) Unit { return u - 1 }

func separatorAfter(u Unit) byte {
	switch u {
	case Year:
		return '-'
	case Day:
		return ' '
	}
	return ':'
}

// unitValue returns digits (for seconds and below with a fraction) as nanoseconds or months.
func unitValue(text string, u Unit) (int64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	if !digitsOnly(whole) || point && (u != Second || !digitsOnly(fraction) || len(fraction) > 9) {
		return 0, errSpanText
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, errSpanRange
	}
	sum, ok := mulAdd(0, n, perUnit[u])
	if !ok {
		return 0, errSpanRange
	}
	if !point {
		return sum, nil
	}
	f, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if sum, ok = mulAdd(sum, f, 1); !ok {
		return 0, errSpanRange
	}
	return sum, nil
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
