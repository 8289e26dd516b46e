package fn

import (
	"math"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// datetimes is the functions of sql.md section 8.4 but for formatting.
func datetimes() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"date and time", text, example, result}, Eval: eval}
	}
	const ds, ym = "interval day to second", "interval year to month"
	out := []Scalar{
		f("now() -> timestamp", "The start of the query.", "now()", "", fn0(nowNs)),
		f("current_timestamp() -> timestamp", "The start of the query.", "current_timestamp", "", fn0(nowNs)),
		f("localtimestamp() -> timestamp", "The start of the query.", "localtimestamp", "", fn0(nowNs)),
		f("current_date() -> date", "The day of the start of the query.", "current_date", "", fn0(func(c *Context) int64 { return vec.FloorDiv(nowNs(c), vec.Day) })),
		f("current_time() -> time", "The time of day of the start of the query.", "current_time", "", fn0(clockNow)),
		f("localtime() -> time", "The time of day of the start of the query.", "localtime", "", fn0(clockNow)),
		f("current_timezone() -> varchar", "The session's time zone, always UTC.", "current_timezone()", "UTC", fn0(func(*Context) string { return "UTC" })),
		f("ago("+ds+") -> timestamp", "now() minus the span.", "ago(15m)", "", ago(addSpan)),
		f("ago("+ym+") -> timestamp", "now() minus the span.", "ago(1month)", "", ago(addMonths)),
		f("bin(timestamp, "+ds+") -> timestamp", "The timestamp rounded down to a multiple of the span since 1970.", "bin(TIMESTAMP '2031-02-03 04:19:06', 15m)", "2031-02-03 04:15:00.000000000", bin),
		f("date(timestamp) -> date", "The day of the timestamp.", "date(TIMESTAMP '2031-02-03 04:05:06')", "2031-02-03", fn1e(func(ns int64) (int64, error) { return checkDate(dayOf(ns)) })),
		f("date(date) -> date", "The date itself.", "date(DATE '2031-02-03')", "2031-02-03", fn1(same[int64])),
		f("date(varchar) -> date", "The date that the text spells.", "date('2031-02-03')", "2031-02-03", fn1e(textToDate)),
		f("last_day_of_month(timestamp) -> date", "The last day of the month.", "last_day_of_month(TIMESTAMP '2032-02-03 04:05:06')", "2032-02-29", fn1e(func(ns int64) (int64, error) { return checkDate(lastDay(dayOf(ns))) })),
		f("last_day_of_month(date) -> date", "The last day of the month.", "last_day_of_month(DATE '2032-02-03')", "2032-02-29", fn1e(func(d int64) (int64, error) { return checkDate(lastDay(d)) })),
		f("from_milliseconds(bigint) -> timestamp", "Milliseconds since 1970 as a timestamp.", "from_milliseconds(1927857906123)", "2031-02-03 04:05:06.123000000", fn1e(fromMillis)),
		f("from_nanoseconds(bigint) -> timestamp", "Nanoseconds since 1970 as a timestamp.", "from_nanoseconds(1927857906123456789)", "2031-02-03 04:05:06.123456789", fn1(same[int64])),
		f("from_unixtime(double) -> timestamp", "Seconds since 1970, with a fraction, as a timestamp.", "from_unixtime(1927857906.5)", "2031-02-03 04:05:06.500000000", fn1e(fromUnix)),
		f("to_milliseconds(timestamp) -> bigint", "Milliseconds since 1970, cut.", "to_milliseconds(TIMESTAMP '2031-02-03 04:05:06.1239')", "1927857906123", fn1(toMillis)),
		f("to_milliseconds("+ds+") -> bigint", "Milliseconds of the span, cut.", "to_milliseconds(90s)", "90000", fn1(func(ns int64) int64 { return ns / vec.Millisecond })),
		f("to_nanoseconds(timestamp) -> bigint", "Nanoseconds since 1970.", "to_nanoseconds(TIMESTAMP '1970-01-01 00:00:01')", "1000000000", fn1(same[int64])),
		f("to_nanoseconds("+ds+") -> bigint", "Nanoseconds of the span.", "to_nanoseconds(2us)", "2000", fn1(same[int64])),
		f("to_unixtime(timestamp) -> double", "Seconds since 1970.", "to_unixtime(TIMESTAMP '1970-01-02 00:00:00.5')", "86400.5", fn1(func(ns int64) float64 { return float64(ns) / 1e9 })),
		f("date_trunc(varchar, timestamp) -> timestamp", "The timestamp cut to second, minute, hour, day, week (Monday), month, quarter or year.", "date_trunc('week', TIMESTAMP '2031-02-06 04:05:06')", "2031-02-03 00:00:00.000000000", truncTimestamps),
		f("date_trunc(varchar, date) -> date", "The date cut to week, month, quarter or year.", "date_trunc('month', DATE '2031-02-06')", "2031-02-01", withUnit(truncDate)),
		f("date_add(varchar, bigint, timestamp) -> timestamp", "The timestamp moved by n units; months, quarters and years clamp to the month's end.", "date_add('month', 1, TIMESTAMP '2031-01-31 04:05:06')", "2031-02-28 04:05:06.000000000", dateAdd(addTimestampUnits)),
		f("date_add(varchar, bigint, date) -> date", "The date moved by n units.", "date_add('day', -3, DATE '2031-01-31')", "2031-01-28", dateAdd(addDateUnits)),
		f("date_add(varchar, bigint, time) -> time", "The time of day moved by n units; it wraps at midnight.", "date_add('hour', 3, TIME '22:30')", "01:30:00.000000000", dateAdd(addTimeUnits)),
		f("date_diff(varchar, timestamp, timestamp) -> bigint", "Whole units from the first to the second.", "date_diff('hour', TIMESTAMP '2031-02-03 04:05:06', TIMESTAMP '2031-02-04 06:00:00')", "25", dateDiff(diffTimestamps)),
		f("date_diff(varchar, date, date) -> bigint", "Whole units from the first to the second.", "date_diff('month', DATE '2031-01-31', DATE '2031-02-28')", "1", dateDiff(diffDates)),
		f("date_diff(varchar, time, time) -> bigint", "Whole units from the first to the second.", "date_diff('minute', TIME '10:00', TIME '9:30')", "-30", dateDiff(diffTimes)),
		f("parse_duration(varchar) -> "+ds, "A number and a unit as a span.", "parse_duration('1.25 h')", "0 01:15:00.000000000", fn1e(parseDuration)),
	}
	return append(out, extractions()...)
}

func nowNs(c *Context) int64 { return c.Now.UnixNano() }

func clockNow(c *Context) int64 { return vec.FloorMod(nowNs(c), vec.Day) }

func dayOf(ns int64) int64 { return vec.FloorDiv(ns, vec.Day) }

func lastDay(days int64) int64 {
	y, m, _ := vec.CivilOf(days)
	return vec.DaysOf(y, m, vec.DaysIn(y, m))
}

func ago(add func(ts, span int64) (int64, error)) Kernel {
	back := subtracted(add)
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		now := nowNs(c)
		return fn1e(func(span int64) (int64, error) { return back(now, span) })(c, args, n)
	}
}

func fromMillis(ms int64) (int64, error) {
	ns, ok := mulInt(ms, vec.Millisecond)
	if !ok {
		return 0, errTimestampRange()
	}
	return ns, nil
}

func toMillis(ns int64) int64 { return vec.FloorDiv(ns, vec.Millisecond) }

func fromUnix(s float64) (int64, error) {
	whole := math.Floor(s)
	if !(whole > -9.3e9 && whole < 9.3e9) {
		return 0, errTimestampRange()
	}
	sec, ok := mulInt(int64(whole), vec.Second)
	if !ok {
		return 0, errTimestampRange()
	}
	return addSpan(sec, int64(math.Round((s-whole)*1e9)))
}

func parseDuration(s string) (int64, error) {
	v, err := vec.ParseDuration(s)
	if err != nil {
		return 0, fail("%s", err.Error())
	}
	if v.Type.Kind != vec.IntervalDay {
		return 0, fail("parse_duration of months or years takes a constant: %s", s)
	}
	return v.Int, nil
}

func bin(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	ts, width := colOf[int64](args[0]), colOf[int64](args[1])
	out := make([]int64, n)
	if width.mask == 0 && ts.mask != 0 {
		if err := checkBin(width.at(0)); err != nil {
			return nil, err
		}
		if !binEach(out, ts.vals[:n], width.at(0)) {
			return nil, errTimestampRange()
		}
		return vec.OfInts(c.Return, out, nil), nil
	}
	for i := range out {
		w := width.at(i)
		if err := checkBin(w); err != nil {
			return nil, err
		}
		if !binEach(out[i:i+1], []int64{ts.at(i)}, w) {
			return nil, errTimestampRange()
		}
	}
	return vec.OfInts(c.Return, out, nil), nil
}

func checkBin(width int64) error {
	switch {
	case width == 0:
		return fail("Division by zero")
	case width < 0:
		return fail("bin takes a positive interval")
	}
	return nil
}

// Bin returns the greatest multiple of width (> 0) that is not above ns.
func Bin(ns, width int64) int64 { return vec.FloorDiv(ns, width) * width }

// binEach puts the bin of each value into out, false if one is below the range.
func binEach(out, vals []int64, width int64) bool {
	if width == 1 {
		copy(out, vals)
		return true
	}
	v := divisorOf(width)
	var below int64 // its sign: a negative value has a bin that is not, having wrapped
	for i, x := range vals[:len(out)] {
		lo := v.floor(x) * width
		below |= x &^ lo
		out[i] = lo
	}
	return below >= 0
}

// unit is a unit of date_trunc, date_add and date_diff: of fixed length ns, or months.
type unit struct {
	name       string
	ns, months int64
}

func unitOf(name string) (unit, bool) {
	u := unit{name: strings.ToLower(name)}
	switch u.name {
	case "nanosecond":
		u.ns = 1
	case "microsecond":
		u.ns = vec.Microsecond
	case "millisecond":
		u.ns = vec.Millisecond
	case "second":
		u.ns = vec.Second
	case "minute":
		u.ns = vec.Minute
	case "hour":
		u.ns = vec.Hour
	case "day":
		u.ns = vec.Day
	case "week":
		u.ns = vec.Week
	case "month":
		u.months = 1
	case "quarter":
		u.months = 3
	case "year":
		u.months = 12
	default:
		return u, false
	}
	return u, true
}

// family is what a function over units calls its values in errors, and the lengths
// it takes.
type family struct {
	name   string
	fields func(u unit) bool
}

var (
	timestampUnits = family{"Timestamp", func(unit) bool { return true }}
	dateUnits      = family{"DATE", func(u unit) bool { return u.months > 0 || u.ns >= vec.Day }}
	timeUnits      = family{"Time", func(u unit) bool { return u.months == 0 && u.ns < vec.Day }}
)

func (f family) unit(name string) (unit, error) {
	u, ok := unitOf(name)
	if !ok || !f.fields(u) {
		return unit{}, fail("'%s' is not a valid %s field", name, f.name)
	}
	return u, nil
}

// withUnit makes the kernel of f(unit, x).
func withUnit(f func(name string) (func(x int64) (int64, error), error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		var m memo[string, func(int64) (int64, error)]
		names, x := colOf[string](args[0]), colOf[int64](args[1])
		return collect(c, n, func(i int) (int64, bool, error) {
			g, err := m.get(names.at(i), f)
			if err != nil {
				return 0, false, err
			}
			r, err := g(x.at(i))
			return r, true, err
		})
	}
}

// truncTimestamps is date_trunc of timestamps; a constant unit of fixed length that
// starts with the epoch is a bin.
func truncTimestamps(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	names, ts := colOf[string](args[0]), colOf[int64](args[1])
	if names.mask == 0 && ts.mask != 0 {
		u, err := timestampUnits.unit(names.at(0))
		if err != nil {
			return nil, err
		}
		if out := make([]int64, n); u.months == 0 && u.name != "week" {
			if !binEach(out, ts.vals[:n], u.ns) {
				return nil, errTimestampRange()
			}
			return vec.OfInts(c.Return, out, nil), nil
		}
	}
	return withUnit(truncTimestamp)(c, args, n)
}

func truncTimestamp(name string) (func(int64) (int64, error), error) {
	u, err := timestampUnits.unit(name)
	if err != nil {
		return nil, err
	}
	if u.months == 0 && u.name != "week" {
		return func(ns int64) (int64, error) { return Bin(ns, u.ns), nil }, nil
	}
	return func(ns int64) (int64, error) { return dateToTimestamp(truncDay(u, dayOf(ns))) }, nil
}

func truncDate(name string) (func(int64) (int64, error), error) {
	u, err := dateUnits.unit(name)
	if err != nil {
		return nil, err
	}
	return func(days int64) (int64, error) { return checkDate(truncDay(u, days)) }, nil
}

func truncDay(u unit, days int64) int64 {
	switch u.name {
	case "day":
		return days
	case "week":
		return days - weekday(days) + 1
	}
	y, m, _ := vec.CivilOf(days)
	return vec.DaysOf(y, (m-1)/u.months*u.months+1, 1)
}

// weekday is 1 for Monday to 7 for Sunday; day 0 was a Thursday.
func weekday(days int64) int64 { return vec.FloorMod(days+3, 7) + 1 }

func dateAdd(f func(name string) (func(n, x int64) (int64, error), error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		var m memo[string, func(n, x int64) (int64, error)]
		names, count, x := colOf[string](args[0]), colOf[int64](args[1]), colOf[int64](args[2])
		return collect(c, n, func(i int) (int64, bool, error) {
			g, err := m.get(names.at(i), f)
			if err != nil {
				return 0, false, err
			}
			r, err := g(count.at(i), x.at(i))
			return r, true, err
		})
	}
}

func addTimestampUnits(name string) (func(n, x int64) (int64, error), error) {
	u, err := timestampUnits.unit(name)
	return func(n, ts int64) (int64, error) {
		span, ok := mulInt(n, max(u.ns, u.months))
		switch {
		case !ok:
			return 0, errTimestampRange()
		case u.months > 0:
			return addMonths(ts, span)
		}
		return addSpan(ts, span)
	}, err
}

func addDateUnits(name string) (func(n, x int64) (int64, error), error) {
	u, err := dateUnits.unit(name)
	return func(n, days int64) (int64, error) {
		span, ok := mulInt(n, max(u.ns/vec.Day, u.months))
		switch {
		case !ok || span > 1<<40 || span < -1<<40:
			return 0, fail("Date is out of range")
		case u.months > 0:
			return addDateMonths(days, span)
		}
		return checkDate(days + span)
	}, err
}

func addTimeUnits(name string) (func(n, x int64) (int64, error), error) {
	u, err := timeUnits.unit(name)
	return func(n, t int64) (int64, error) {
		perDay := vec.Day / max(u.ns, 1)
		return vec.FloorMod(t+n%perDay*u.ns, vec.Day), nil
	}, err
}

func dateDiff(f func(name string) (func(a, b int64) int64, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		var m memo[string, func(a, b int64) int64]
		names, a, b := colOf[string](args[0]), colOf[int64](args[1]), colOf[int64](args[2])
		return collect(c, n, func(i int) (int64, bool, error) {
			g, err := m.get(names.at(i), f)
			if err != nil {
				return 0, false, err
			}
			from, to := a.at(i), b.at(i)
			d := g(from, to)
			if from <= to && d < 0 || from > to && d > 0 { // of nanoseconds alone
				return 0, false, fail("bigint subtraction overflow: %d - %d", to, from)
			}
			return d, true, nil
		})
	}
}

func diffTimestamps(name string) (func(a, b int64) int64, error) {
	u, err := timestampUnits.unit(name)
	return func(a, b int64) int64 {
		if u.months > 0 {
			return monthsBetween(a, b) / u.months
		}
		return diffNs(a, b, u.ns)
	}, err
}

// diffNs is (b-a)/unit toward zero, though b-a may not fit 64 bits.
func diffNs(a, b, unit int64) int64 {
	if b < a {
		return -int64((uint64(a) - uint64(b)) / uint64(unit))
	}
	return int64((uint64(b) - uint64(a)) / uint64(unit))
}

func diffDates(name string) (func(a, b int64) int64, error) {
	u, err := dateUnits.unit(name)
	return func(a, b int64) int64 {
		if u.months > 0 {
			return monthsBetween(a*vec.Day, b*vec.Day) / u.months
		}
		return (b - a) / (u.ns / vec.Day)
	}, err
}

func diffTimes(name string) (func(a, b int64) int64, error) {
	u, err := timeUnits.unit(name)
	return func(a, b int64) int64 { return (b - a) / u.ns }, err
}

// monthsBetween counts the months that fit between two timestamps; a month fits when
// adding it, clamped to the month's end, does not pass b.
func monthsBetween(a, b int64) int64 {
	if b < a {
		return -monthsBetween(b, a)
	}
	dayA, dayB := dayOf(a), dayOf(b)
	ya, ma, _ := vec.CivilOf(dayA)
	yb, mb, _ := vec.CivilOf(dayB)
	months := (yb-ya)*12 + mb - ma
	reached := vec.AddMonths(dayA, months)
	if reached > dayB || reached == dayB && a-dayA*vec.Day > b-dayB*vec.Day {
		months--
	}
	return months
}

// extractions is year, month, … over the types that have the field.
func extractions() []Scalar {
	var out []Scalar
	kernel := func(names []string, arg, text, example, result string, eval Kernel) {
		for _, name := range names {
			out = append(out, Scalar{Signature: name + "(" + arg + ") -> bigint", Eval: eval, dense: true,
				Docs: Docs{"date and time", text, name + "(" + example + ")", result}})
		}
	}
	add := func(names []string, arg, text, example, result string, f func(x int64) int64) {
		kernel(names, arg, text, example, result, fn1(f))
	}
	// Timestamps first: where a null literal fits several, the first stands.
	days := func(names []string, text, result string, f func(days int64) int64) {
		kernel(names, "timestamp", text, "TIMESTAMP '2031-02-03 04:05:06.007000008'", result, ofDay(f))
		add(names, "date", text, "DATE '2031-02-03'", result, f)
	}
	clock := func(name, text, result string, per, count int64, f func(ns int64) int64) {
		eval := clockField(per, count)
		kernel([]string{name}, "timestamp", text, "TIMESTAMP '2031-02-03 04:05:06.007000008'", result, eval)
		kernel([]string{name}, "time", text, "TIME '04:05:06.007000008'", result, eval)
		add([]string{name}, "interval day to second", text, "INTERVAL '3 04:05:06.007000008' DAY TO SECOND", result, func(ns int64) int64 { return f(ns % vec.Day) })
	}
	days([]string{"year"}, "The year.", "2031", func(d int64) int64 { y, _, _ := vec.CivilOf(d); return y })
	days([]string{"quarter"}, "The quarter, 1 to 4.", "1", func(d int64) int64 { _, m, _ := vec.CivilOf(d); return (m + 2) / 3 })
	days([]string{"month"}, "The month, 1 to 12.", "2", func(d int64) int64 { _, m, _ := vec.CivilOf(d); return m })
	days([]string{"week", "week_of_year"}, "The ISO week, 1 to 53.", "6", func(d int64) int64 { _, w := isoWeek(d); return w })
	days([]string{"day", "day_of_month"}, "The day of the month.", "3", func(d int64) int64 { _, _, day := vec.CivilOf(d); return day })
	days([]string{"day_of_week", "dow"}, "The day of the week, Monday 1 to Sunday 7.", "1", weekday)
	days([]string{"day_of_year", "doy"}, "The day of the year, from 1.", "34", dayOfYear)
	days([]string{"year_of_week", "yow"}, "The year that the ISO week belongs to.", "2031", func(d int64) int64 { y, _ := isoWeek(d); return y })
	add([]string{"year"}, "interval year to month", "The years of the span.", "INTERVAL '5-11' YEAR TO MONTH", "5", func(m int64) int64 { return m / 12 })
	add([]string{"month"}, "interval year to month", "The months of the span past its years, 0 to 11.", "INTERVAL '5-11' YEAR TO MONTH", "11", func(m int64) int64 { return m % 12 })
	add([]string{"day", "day_of_month"}, "interval day to second", "The days of the span.", "INTERVAL '3 04:05:06' DAY TO SECOND", "3", func(ns int64) int64 { return ns / vec.Day })
	clock("hour", "The hour, 0 to 23.", "4", vec.Hour, 24, func(ns int64) int64 { return ns / vec.Hour })
	clock("minute", "The minute, 0 to 59.", "5", vec.Minute, 60, func(ns int64) int64 { return ns / vec.Minute % 60 })
	clock("second", "The second, 0 to 59.", "6", vec.Second, 60, func(ns int64) int64 { return ns / vec.Second % 60 })
	clock("millisecond", "The milliseconds of the second.", "7", vec.Millisecond, 1000, func(ns int64) int64 { return ns % vec.Second / vec.Millisecond })
	clock("nanosecond", "The nanoseconds of the second.", "7000008", 1, vec.Second, func(ns int64) int64 { return ns % vec.Second })
	return out
}

// clockField makes the kernel of how many spans of length per have passed, from 0 to count-1 and over again.
func clockField(per, count int64) Kernel {
	all := divisorOf(per * count)
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		x := colOf[int64](args[0])
		out := make([]int64, n)
		if x.mask == 0 {
			x.vals = slices.Repeat(x.vals[:1], n)
		}
		vals := x.vals[:n]
		if per > 1 {
			v := divisorOf(per)
			for i, x := range vals {
				out[i] = v.floor(x) - all.floor(x)*count
			}
		} else {
			for i, x := range vals {
				out[i] = x - all.floor(x)*count
			}
		}
		return vec.OfInts(c.Return, out, nil), nil
	}
}

// ofDay makes the kernel of a function of the day of timestamps. Neighbours share a day
// mostly, so the last answer is kept.
func ofDay(f func(days int64) int64) Kernel {
	perDay := divisorOf(vec.Day)
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		ts, out := colOf[int64](args[0]), make([]int64, n)
		day := perDay.floor(ts.at(0))
		answer, start := f(day), uint64(day)*uint64(vec.Day)
		for i := range out {
			if x := ts.at(i); uint64(x)-start >= uint64(vec.Day) {
				day = perDay.floor(x)
				answer, start = f(day), uint64(day)*uint64(vec.Day)
			}
			out[i] = answer
		}
		return vec.OfInts(c.Return, out, nil), nil
	}
}

func dayOfYear(days int64) int64 {
	y, _, _ := vec.CivilOf(days)
	return days - vec.DaysOf(y, 1, 1) + 1
}

// isoWeek returns the year and number of the ISO week: that of its Thursday.
func isoWeek(days int64) (year, week int64) {
	thursday := days - weekday(days) + 4
	year, _, _ = vec.CivilOf(thursday)
	return year, (dayOfYear(thursday)-1)/7 + 1
}
