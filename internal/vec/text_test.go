package vec

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDoublesPrintAsJavaDoes(t *testing.T) {
	check := func(f float64, want string) {
		t.Helper()
		if got := Float(f).String(); got != want {
			t.Errorf("text of %g = %q, want %q", f, got, want)
		}
	}
	check(0, "0.0")
	check(math.Copysign(0, -1), "-0.0")
	check(3, "3.0")
	check(0.25, "0.25")
	check(0.001, "0.001")
	check(0.00025, "2.5E-4")
	check(9999999.5, "9999999.5")
	check(1e7, "1.0E7")
	check(-6.02e23, "-6.02E23")
	check(math.MaxFloat64, "1.7976931348623157E308")
	check(5e-324, "4.9E-324")
	check(math.NaN(), "NaN")
	check(math.Inf(-1), "-Infinity")
}

func TestTimesPrintWithNineDigits(t *testing.T) {
	check := func(v Value, want string) {
		t.Helper()
		if got := v.String(); got != want {
			t.Errorf("text = %q, want %q", got, want)
		}
	}
	check(Int(TimestampType, 0), "1970-01-01 00:00:00.000000000")
	check(Int(TimestampType, -1), "1969-12-31 23:59:59.999999999")
	check(Int(TimestampType, math.MaxInt64), "2262-04-11 23:47:16.854775807")
	check(Int(TimestampType, math.MinInt64), "1677-09-21 00:12:43.145224192")
	check(Int(DateType, 0), "1970-01-01")
	check(Int(TimeType, 6*Hour+7*Minute+8*Second+9), "06:07:08.000000009")
	check(Int(IntervalDayType, 3*Day+4*Hour+5*Minute+6*Second), "3 04:05:06.000000000")
	check(Int(IntervalDayType, -Second), "-0 00:00:01.000000000")
	check(Int(IntervalYearType, 71), "5-11")
	check(Int(IntervalYearType, -13), "-1-1")
	check(Value{Type: ArrayOf(BigintType), List: []Value{Int(BigintType, 1), Null(BigintType)}}, "[1, NULL]")
}

func TestCalendarAgreesWithPackageTime(t *testing.T) {
	for days := int64(-200000); days < 200000; days += 13 {
		y, m, d := CivilOf(days)
		want := time.Unix(days*86400, 0).UTC()
		if int(y) != want.Year() || int(m) != int(want.Month()) || int(d) != want.Day() || DaysOf(y, m, d) != days {
			t.Fatalf("day %d is %d-%d-%d and back %d, want %s", days, y, m, d, DaysOf(y, m, d), want)
		}
	}
	if got := AddMonths(DaysOf(2024, 1, 31), 13); got != DaysOf(2025, 2, 28) {
		t.Fatalf("13 months after 2024-01-31 = %s", AppendDate(nil, got))
	}
}

func TestParseTimestampTakesEveryForm(t *testing.T) {
	check := func(s, want string) {
		t.Helper()
		ns, ok := ParseTimestamp(s)
		if got := Int(TimestampType, ns).String(); !ok || got != want {
			t.Errorf("ParseTimestamp(%q) = %s, %v; want %s", s, got, ok, want)
		}
	}
	check("2031-8-9", "2031-08-09 00:00:00.000000000")
	check("2031-08-09 6:7", "2031-08-09 06:07:00.000000000")
	check("2031-08-09 06:07:08", "2031-08-09 06:07:08.000000000")
	check("2031-08-09 06:07:08.5", "2031-08-09 06:07:08.500000000")
	check("2031-08-09T06:07:08.123456789", "2031-08-09 06:07:08.123456789")
	check("2031-08-09T06:07:08Z", "2031-08-09 06:07:08.000000000")
	check("2031-08-09 06:07:08 +0200", "2031-08-09 04:07:08.000000000")
	check("2031-08-09 06:07:08-05:30", "2031-08-09 11:37:08.000000000")
	check("2262-04-11 23:47:16.854775807", "2262-04-11 23:47:16.854775807")
	for _, bad := range []string{"", "x", "2031-13-01", "2031-02-29", "2031-08-09 24:00", "2031-08-09 06:60", "2031-08-09 06",
		"2031-08-09 06:07:08.1234567890", "2262-04-11 23:47:16.854775808", "999999-01-01", "2031-08-09 x", "2031-08-09 06:07:08 +"} {
		if ns, ok := ParseTimestamp(bad); ok {
			t.Errorf("ParseTimestamp(%q) = %d, want a refusal", bad, ns)
		}
	}
}

func TestParseDurationScalesAndNamesTheFault(t *testing.T) {
	check := func(s, want string) {
		t.Helper()
		v, err := ParseDuration(s)
		got := v.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("ParseDuration(%q) = %s, want %s", s, got, want)
		}
	}
	check("250ms", "0 00:00:00.250000000")
	check("1.25 h", "0 01:15:00.000000000")
	check("36000s", "0 10:00:00.000000000")
	check("5minute", "0 00:05:00.000000000")
	check("2Y", "2-0")
	check("7month", "0-7")
	check("3 fortnight", "Unknown time unit: fortnight")
	check("h", "duration is not a valid data duration string: h")
	check("99999999d", "duration is not a valid data duration string: 99999999d")
}

func TestParseIntervalReadsFieldsAndRanges(t *testing.T) {
	check := func(text, from, to, want string) {
		t.Helper()
		v, ok := ParseInterval(text, from, to)
		got := v.String()
		if !ok {
			got = "bad"
		}
		if got != want {
			t.Errorf("INTERVAL '%s' %s %s = %s, want %s", text, from, to, got, want)
		}
	}
	check("30", "MINUTE", "", "0 00:30:00.000000000")
	check("2", "week", "", "14 00:00:00.000000000")
	check("-3", "day", "", "-3 00:00:00.000000000")
	check("1.5", "second", "", "0 00:00:01.500000000")
	check("1.5", "day", "", "bad")
	check("3 04:05:06.5", "day", "second", "3 04:05:06.500000000")
	check("4:05", "hour", "minute", "0 04:05:00.000000000")
	check("5-11", "year", "month", "5-11")
	check("5-12", "year", "month", "bad")
	check("3 24", "day", "hour", "bad")
	check("1-1", "month", "day", "bad")
}

func TestEqualRowsHashAlike(t *testing.T) {
	f := OfFloats([]float64{0, math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff8000000000abc), 1}, nil)
	if !Equal(f, 0, f, 1) || !Equal(f, 2, f, 3) || Equal(f, 0, f, 4) {
		t.Error("grouping identity of doubles")
	}
	if f.HashRow(0) != f.HashRow(1) || f.HashRow(2) != f.HashRow(3) || f.HashRow(0) == f.HashRow(4) {
		t.Error("hashes of doubles")
	}
	s := OfStrs([]string{"b", "a", ""}, []bool{false, false, true})
	d := OfDict([]int32{0, 1, 2, 0}, s)
	flat, byDict := make([]uint64, 4), make([]uint64, 4)
	d.Flat().Hash(flat)
	d.Hash(byDict)
	for i := range flat {
		if flat[i] != byDict[i] {
			t.Errorf("row %d hashes differently in dictionary form", i)
		}
	}
	if Compare(f, 2, f, 4) != 1 || Compare(s, 1, s, 0) != -1 {
		t.Error("order")
	}
}

func FuzzParseTimestamp(f *testing.F) {
	for _, s := range []string{"2031-08-09 06:07:08.123456789", "2031-8-9", "2031-08-09T06:07:08+02:00", "1677-09-21 00:12:44"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ns, ok := ParseTimestamp(s); ok {
			if again, ok := ParseTimestamp(Int(TimestampType, ns).String()); !ok || again != ns {
				t.Fatalf("%q is %d, its text gives %d, %v", s, ns, again, ok)
			}
		}
		ParseDate(s)
		ParseTime(s)
		ParseDuration(s)
		ParseInterval(s, "day", "second")
	})
}

func FuzzDoubleText(f *testing.F) {
	f.Add(1.5)
	f.Add(1e-4)
	f.Fuzz(func(t *testing.T, x float64) {
		s := Float(x).String()
		if x != x || math.IsInf(x, 0) {
			return
		}
		if back, err := strconv.ParseFloat(s, 64); err != nil || back != x || !strings.Contains(s, ".") {
			t.Fatalf("%v prints as %s", x, s)
		}
	})
}

func BenchmarkAppendTimestamp(b *testing.B) {
	v := OfInts(TimestampType, []int64{1943936828123456789}, nil)
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf = AppendText(buf[:0], v, 0)
	}
}

func TestShortDecimalsReadAsStrconvWritesThem(t *testing.T) {
	t.Parallel()
	check := func(f float64) {
		t.Helper()
		want := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(want, ".") {
			want += ".0"
		}
		if got := string(AppendDouble(nil, f)); got != want {
			t.Fatalf("AppendDouble(%v) = %s, want %s", f, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		f := float64(r.Int64N(2e11)-1e11) / 1e4 / math.Pow10(r.IntN(6))
		for _, f := range []float64{f, math.Nextafter(f, 1e9), math.Nextafter(f, -1e9)} {
			if a := math.Abs(f); a >= 1e-3 && a < 1e7 {
				check(f)
			}
		}
	}
	for _, f := range []float64{0, 1, -1, 0.1, 0.001, 0.0010000000000000002, 9999999.9999, 9999999.999999998, 99.99, 1234.5678, 1e6, -0.25} {
		check(f)
	}
}

func BenchmarkAppendDouble(b *testing.B) {
	for _, c := range []struct {
		name string
		f    float64
	}{{"whole", 73}, {"two places", 21.37}, {"full precision", 21.373333333333335}} {
		b.Run(c.name, func(b *testing.B) {
			var dst []byte
			for b.Loop() {
				dst = AppendDouble(dst[:0], c.f)
			}
		})
	}
}
