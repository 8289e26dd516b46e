package schedule

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// expression is a parsed schedule expression (Timestream guide, "Schedule expressions for
// scheduled queries"; the grammar of the fields is EventBridge's). Times are UTC, to the minute.
type expression struct {
	every time.Duration // of rate(); 0 for cron()
	cron  *cron
}

// cron is the six fields of cron(minute hour day-of-month month day-of-week year).
type cron struct {
	minutes, hours uint64 // bit n: n is meant
	months         uint64 // bit 1 to 12
	years          [maxYear - minYear + 1]bool

	days     uint64  // of the month, bit 1 to 31
	lastDay  bool    // L: the last day
	lastWork bool    // LW: the last weekday
	work     []int   // nW: the weekday nearest to day n, in the same month
	anyDay   bool    // the day of the month is "?"
	weekdays uint64  // bit 1 (Sunday) to 7
	lastOf   [8]bool // nL: the last such day of the month
	nth      [2]int  // n#k: day n of the week, its k-th in the month; zero: none
}

const (
	minYear = 1970
	maxYear = 2199
)

func badExpression(text, format string, args ...any) error {
	return fault.New(fault.Invalid, "The schedule expression '%s' is not valid: "+format+".", append([]any{text}, args...)...)
}

// parseExpression reads rate(…) or cron(…). The error has kind fault.Invalid.
func parseExpression(text string) (*expression, error) {
	inner, isRate := argument(text, "rate")
	if isRate {
		return parseRate(text, inner)
	}
	inner, isCron := argument(text, "cron")
	if isCron {
		return parseCron(text, inner)
	}
	return nil, badExpression(text, "it must be rate(value unit) or cron(minutes hours day-of-month month day-of-week year)")
}

func argument(text, name string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), name+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ")")
}

func parseRate(text, inner string) (*expression, error) {
	parts := strings.Fields(inner)
	if len(parts) != 2 {
		return nil, badExpression(text, "rate needs a value and a unit")
	}
	n, err := strconv.ParseInt(parts[0], 10, 32)
	if err != nil || n < 1 {
		return nil, badExpression(text, "the value of rate must be a positive integer")
	}
	unit, plural := strings.CutSuffix(parts[1], "s")
	length := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[unit]
	switch {
	case length == 0:
		return nil, badExpression(text, "the unit of rate must be minute, minutes, hour, hours, day or days")
	case plural != (n > 1):
		return nil, badExpression(text, "the unit of rate must be singular for 1 and plural for more")
	case n > int64(200*366*24*time.Hour/length):
		return nil, badExpression(text, "the value of rate is too large")
	}
	return &expression{every: time.Duration(n) * length}, nil
}

// next returns the first invocation after t, or the zero time if there is none. rate()
// counts from created.
func (e *expression) next(t, created time.Time) time.Time {
	if e.cron != nil {
		return e.cron.next(t.UTC())
	}
	if t.Before(created) {
		return created.Add(e.every)
	}
	return created.Add(t.Sub(created).Truncate(e.every) + e.every)
}

var (
	monthNames = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	dayNames   = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

func parseCron(text, inner string) (*expression, error) {
	f := strings.Fields(strings.ToUpper(inner))
	if len(f) != 6 {
		return nil, badExpression(text, "cron needs six fields: minutes hours day-of-month month day-of-week year")
	}
	if (f[2] == "?") == (f[4] == "?") {
		return nil, badExpression(text, "one of day-of-month and day-of-week, and only one, must be ?")
	}
	c := &cron{}
	parse := func(field, name string, from, to int, names []string, set func(int), special func(string) (bool, bool)) error {
		for item := range strings.SplitSeq(field, ",") {
			if special != nil {
				if taken, ok := special(item); !ok {
					return badExpression(text, "'%s' is not a %s", item, name)
				} else if taken {
					continue
				}
			}
			if !parseItem(item, from, to, names, set) {
				return badExpression(text, "'%s' is not a %s", item, name)
			}
		}
		return nil
	}
	bit := func(mask *uint64) func(int) { return func(n int) { *mask |= 1 << n } }
	err := parse(f[0], "minute", 0, 59, nil, bit(&c.minutes), nil)
	if err == nil {
		err = parse(f[1], "hour", 0, 23, nil, bit(&c.hours), nil)
	}
	if err == nil && f[2] == "?" {
		c.anyDay = true
	} else if err == nil {
		err = parse(f[2], "day of the month", 1, 31, nil, bit(&c.days), c.specialDay)
	}
	if err == nil {
		err = parse(f[3], "month", 1, 12, monthNames, bit(&c.months), nil)
	}
	if err == nil && f[4] != "?" {
		err = parse(f[4], "day of the week", 1, 7, dayNames, bit(&c.weekdays), func(item string) (bool, bool) {
			if strings.Contains(item, "#") && item != f[4] {
				return true, false // # is for one day alone
			}
			return c.specialWeekday(item)
		})
	}
	if err == nil {
		err = parse(f[5], "year", minYear, maxYear, nil, func(n int) { c.years[n-minYear] = true }, nil)
	}
	if err != nil {
		return nil, err
	}
	return &expression{cron: c}, nil
}

// parseItem reads *, n, a-b, each with /step, and calls set for every value meant. A range
// that ends before it begins goes over the end (FRI-MON).
func parseItem(item string, from, to int, names []string, set func(int)) bool {
	item, stepText, hasStep := strings.Cut(item, "/")
	step := 1
	if hasStep {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > to {
			return false
		}
	}
	if item == "*" {
		for n := from; n <= to; n += step {
			set(n)
		}
		return true
	}
	firstText, lastText, isRange := strings.Cut(item, "-")
	first, ok := number(firstText, from, to, names)
	if !ok {
		return false
	}
	last := first
	switch {
	case isRange:
		if last, ok = number(lastText, from, to, names); !ok {
			return false
		}
	case hasStep:
		last = to
	}
	span := last - first
	if span < 0 {
		span += to - from + 1
	}
	for n := 0; n <= span; n += step {
		set(from + (first-from+n)%(to-from+1))
	}
	return true
}

func number(text string, from, to int, names []string) (int, bool) {
	for i, name := range names {
		if text == name {
			return from + i, true
		}
	}
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, _ := strconv.Atoi(text)
	return n, n >= from && n <= to
}

func (c *cron) specialDay(item string) (taken, ok bool) {
	switch {
	case item == "L":
		c.lastDay = true
	case item == "LW":
		c.lastWork = true
	case strings.HasSuffix(item, "W"):
		n, ok := number(strings.TrimSuffix(item, "W"), 1, 31, nil)
		if !ok {
			return true, false
		}
		c.work = append(c.work, n)
	default:
		return false, true
	}
	return true, true
}

func (c *cron) specialWeekday(item string) (taken, ok bool) {
	if item == "L" {
		c.weekdays |= 1 << 7 // the last day of the week
		return true, true
	}
	if day, k, isNth := strings.Cut(item, "#"); isNth {
		n, ok := number(day, 1, 7, dayNames)
		kth, ok2 := number(k, 1, 5, nil)
		c.nth = [2]int{n, kth}
		return true, ok && ok2
	}
	if day, isLast := strings.CutSuffix(item, "L"); isLast {
		n, ok := number(day, 1, 7, dayNames)
		if ok {
			c.lastOf[n] = true
		}
		return true, ok
	}
	return false, true
}

// next returns the first minute after t that the fields mean, or the zero time.
func (c *cron) next(t time.Time) time.Time {
	t = t.Truncate(time.Minute).Add(time.Minute)
	year, month, day := t.Date()
	clock := t.Hour()*60 + t.Minute()
	for ; year <= maxYear; year, month, day, clock = year+1, 1, 1, 0 {
		if year < minYear || !c.years[year-minYear] {
			continue
		}
		for ; month <= 12; month, day, clock = month+1, 1, 0 {
			if c.months&(1<<month) == 0 {
				continue
			}
			days := c.daysOf(year, month)
			for ; day <= 31; day, clock = day+1, 0 {
				if days&(1<<day) == 0 {
					continue
				}
				if at, ok := c.timeFrom(clock); ok {
					return time.Date(year, month, day, at/60, at%60, 0, 0, time.UTC)
				}
			}
		}
	}
	return time.Time{}
}

// timeFrom returns the first minute of the day from clock on that is meant.
func (c *cron) timeFrom(clock int) (int, bool) {
	for hour := clock / 60; hour < 24; hour++ {
		if c.hours&(1<<hour) == 0 {
			continue
		}
		from := 0
		if hour == clock/60 {
			from = clock % 60
		}
		if rest := c.minutes >> from; rest != 0 {
			return hour*60 + from + bits.TrailingZeros64(rest), true
		}
	}
	return 0, false
}

// daysOf returns the days of a month that are meant, as bits.
func (c *cron) daysOf(year int, month time.Month) uint64 {
	first := int(time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()) // 0: Sunday
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	weekday := func(day int) int { return (first+day-1)%7 + 1 } // 1: Sunday
	var days uint64
	if !c.anyDay {
		days = c.days
		if c.lastDay {
			days |= 1 << last
		}
		if c.lastWork {
			days |= 1 << nearestWorkday(last, last, weekday)
		}
		for _, n := range c.work {
			if n <= last {
				days |= 1 << nearestWorkday(n, last, weekday)
			}
		}
		return days & (1<<(last+1) - 1)
	}
	for day := 1; day <= last; day++ {
		w := weekday(day)
		if c.weekdays&(1<<w) != 0 || c.lastOf[w] && day+7 > last || c.nth[0] == w && (day-1)/7+1 == c.nth[1] {
			days |= 1 << day
		}
	}
	return days
}

// nearestWorkday returns the day from Monday to Friday that is nearest to day without
// leaving the month.
func nearestWorkday(day, last int, weekday func(int) int) int {
	switch weekday(day) {
	case 7: // Saturday
		if day == 1 {
			return 3
		}
		return day - 1
	case 1: // Sunday
		if day == last {
			return day - 2
		}
		return day + 1
	}
	return day
}
