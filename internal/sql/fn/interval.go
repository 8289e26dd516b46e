package fn

import (
	"math"

	"github.com/weir-db/weir/internal/vec"
)

// intervals is + - * / over times and spans (sql.md section 5). There is no ts - ts and
// no date - date: the documentation sends those to date_diff.
func intervals() []Scalar {
	op := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"operator", text, example, result}, Eval: eval, dense: true, noText: true}
	}
	const ds, ym = "interval day to second", "interval year to month"
	var out []Scalar
	for _, t := range []struct {
		name, text       string
		addDay, addMonth func(x, span int64) (int64, error)
		examples         [6][2]string // + ds, + ym, - ds, - ym, ds +, ym +
	}{
		{"timestamp", "Moves a timestamp; months clamp the day to the end of the month.", addSpan, addMonths, [6][2]string{
			{"TIMESTAMP '2031-01-31 00:00' + 90m", "2031-01-31 01:30:00.000000000"}, {"TIMESTAMP '2031-01-31 00:00' + 1month", "2031-02-28 00:00:00.000000000"},
			{"TIMESTAMP '2031-01-31 00:00' - 1s", "2031-01-30 23:59:59.000000000"}, {"TIMESTAMP '2031-01-31 00:00' - 1y", "2030-01-31 00:00:00.000000000"},
			{"90m + TIMESTAMP '2031-01-31 00:00'", "2031-01-31 01:30:00.000000000"}, {"1month + TIMESTAMP '2031-01-31 00:00'", "2031-02-28 00:00:00.000000000"}}},
		{"date", "Moves a date by whole days, months or years.", addDays, addDateMonths, [6][2]string{
			{"DATE '2031-01-31' + 1d", "2031-02-01"}, {"DATE '2031-01-31' + 1month", "2031-02-28"},
			{"DATE '2031-01-31' - 48h", "2031-01-29"}, {"DATE '2031-03-31' - 1month", "2031-02-28"},
			{"1d + DATE '2031-01-31'", "2031-02-01"}, {"1month + DATE '2031-01-31'", "2031-02-28"}}},
		{"time", "Moves a time of day; a sum wraps at midnight, a difference below it is an error.", addClock, nil, [6][2]string{
			{"TIME '23:30' + 1h", "00:30:00.000000000"}, {}, {"TIME '23:30' - 1h", "22:30:00.000000000"}, {}, {"1h + TIME '23:30'", "00:30:00.000000000"}, {}}},
	} {
		plus := func(sig string, example [2]string, f func(x, span int64) (int64, error)) {
			out = append(out, op(sig, t.text, example[0], example[1], fn2e(f)))
		}
		plus("+("+t.name+", "+ds+") -> "+t.name, t.examples[0], t.addDay)
		plus("+("+ds+", "+t.name+") -> "+t.name, t.examples[4], swapped(t.addDay))
		plus("-("+t.name+", "+ds+") -> "+t.name, t.examples[2], subtracted(t.addDay))
		if t.addMonth == nil {
			continue
		}
		plus("+("+t.name+", "+ym+") -> "+t.name, t.examples[1], t.addMonth)
		plus("+("+ym+", "+t.name+") -> "+t.name, t.examples[5], swapped(t.addMonth))
		plus("-("+t.name+", "+ym+") -> "+t.name, t.examples[3], subtracted(t.addMonth))
	}
	for _, t := range []struct{ name, a, b, sum, diff, one, zero, minusZero, twice, half string }{
		{ds, "2h", "30m", "0 02:30:00.000000000", "0 01:30:00.000000000", "0 02:00:00.000000000", "-(0s)", "0 00:00:00.000000000", "0 04:00:00.000000000", "0 01:00:00.000000000"},
		{ym, "2y", "6month", "2-6", "1-6", "2-0", "-(0y)", "0-0", "4-0", "1-0"},
	} {
		pair := "(" + t.name + ", " + t.name + ") -> " + t.name
		out = append(out,
			op("+"+pair, "Sum of two spans.", t.a+" + "+t.b, t.sum, fn2e(addSpans)),
			op("-"+pair, "Difference of two spans; a negative one is an error.", t.a+" - "+t.b, t.diff, fn2e(subSpans)),
			op("-("+t.name+") -> "+t.name, "Negation; a negative span is an error.", t.zero, t.minusZero, fn1e(func(x int64) (int64, error) { return subSpans(0, x) })),
			op("+("+t.name+") -> "+t.name, "The span itself.", "+"+t.a, t.one, fn1(same[int64])),
			op("*("+t.name+", bigint) -> "+t.name, "The span so many times.", t.a+" * 2", t.twice, fn2e(mulSpan)),
			op("*(bigint, "+t.name+") -> "+t.name, "The span so many times.", "2 * "+t.a, t.twice, fn2e(swapped(mulSpan))),
			op("*("+t.name+", double) -> "+t.name, "The span so many times, rounded.", t.a+" * 0.5", t.half, fn2e(scaleSpan)),
			op("*(double, "+t.name+") -> "+t.name, "The span so many times, rounded.", "0.5 * "+t.a, t.half, fn2e(func(f float64, x int64) (int64, error) { return scaleSpan(x, f) })),
			op("/("+t.name+", bigint) -> "+t.name, "The span divided, truncated.", t.a+" / 2", t.half, fn2e(divSpan)),
			op("/("+t.name+", double) -> "+t.name, "The span divided, rounded.", t.a+" / 2.0", t.half, fn2e(func(x int64, f float64) (int64, error) { return scaleSpan(x, 1/f) })),
		)
	}
	return out
}

func swapped(f func(x, span int64) (int64, error)) func(span, x int64) (int64, error) {
	return func(span, x int64) (int64, error) { return f(x, span) }
}

func subtracted(f func(x, span int64) (int64, error)) func(x, span int64) (int64, error) {
	return func(x, span int64) (int64, error) {
		if span == math.MinInt64 {
			return 0, errTimestampRange()
		}
		return f(x, -span)
	}
}

func errTimestampRange() error {
	return fail("Timestamp is out of range: the result is not between 1677-09-21 and 2262-04-11")
}

func addSpan(ts, ns int64) (int64, error) {
	sum := ts + ns
	if (ts^sum)&(ns^sum) < 0 {
		return 0, errTimestampRange()
	}
	return sum, nil
}

// maxMonths bounds spans of months in date arithmetic; more leaves every range anyway.
const maxMonths = 12 * 100000

func addMonths(ts, months int64) (int64, error) {
	if months > maxMonths || months < -maxMonths {
		return 0, errTimestampRange()
	}
	days := vec.FloorDiv(ts, vec.Day)
	ns, ok := vec.TimestampOf(vec.AddMonths(days, months), ts-days*vec.Day)
	if !ok {
		return 0, errTimestampRange()
	}
	return ns, nil
}

func addDays(days, ns int64) (int64, error) {
	if ns%vec.Day != 0 {
		return 0, fail("Cannot add hour, minutes or seconds to a date")
	}
	return checkDate(days + ns/vec.Day)
}

func addDateMonths(days, months int64) (int64, error) {
	if months > maxMonths || months < -maxMonths {
		return 0, fail("Date is out of range")
	}
	return checkDate(vec.AddMonths(days, months))
}

func addClock(t, ns int64) (int64, error) {
	if ns < 0 && t+ns < 0 {
		return 0, fail("Time is negative: the result is before 00:00:00")
	}
	return vec.FloorMod(t+ns%vec.Day, vec.Day), nil
}

// checkSpan refuses negative results: the documentation calls a negative time an error.
func checkSpan(x int64, ok bool) (int64, error) {
	switch {
	case !ok:
		return 0, fail("Interval is out of range")
	case x < 0:
		return 0, fail("Interval is negative: the result is below zero")
	}
	return x, nil
}

func addSpans(x, y int64) (int64, error) {
	s := x + y
	return checkSpan(s, (x^s)&(y^s) >= 0)
}

func subSpans(x, y int64) (int64, error) {
	s := x - y
	return checkSpan(s, (x^y)&(x^s) >= 0)
}

func mulSpan(x, n int64) (int64, error) { return checkSpan(mulInt(x, n)) }

func divSpan(x, n int64) (int64, error) {
	if n == 0 {
		return 0, fail("Division by zero")
	}
	return checkSpan(x/n, n != -1 || x != math.MinInt64)
}

func scaleSpan(x int64, f float64) (int64, error) {
	r := math.Round(float64(x) * f)
	if !(r > -(1<<63) && r < 1<<63) {
		return 0, fail("Interval is out of range")
	}
	return checkSpan(int64(r), true)
}
