package fn

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/vec"
)

func TestArithmeticFailsWithTheDialectsTexts(t *testing.T) {
	checkTexts(t,
		"2147483647 + 1", "error: integer addition overflow: 2147483647 + 1",
		"9223372036854775807 + 1", "error: bigint addition overflow: 9223372036854775807 + 1",
		"5000000000 * 5000000000", "error: bigint multiplication overflow: 5000000000 * 5000000000",
		"-2147483647 - 2", "error: integer subtraction overflow: -2147483647 - 2",
		"7 / 0", "error: Division by zero",
		"7 % 0", "error: Division by zero",
		"7 / 0.0", "Infinity",
		"0 / 0.0", "NaN",
		"-7 % 3.0", "-1.0",
		"NULL + 1", "NULL",
		"DATE '2031-02-03' + 1h", "error: Cannot add hour, minutes or seconds to a date",
		"TIME '00:30' - 1h", "error: Time is negative: the result is before 00:00:00",
		"1h - 2h", "error: Interval is negative: the result is below zero",
		"bin(TIMESTAMP '2031-02-03 04:05:06', 0s)", "error: Division by zero",
		"DATE '1970-01-01' - 1d", "error: Date is out of range: 1969-12-31",
	)
}

func TestResolutionSaysWhatWasWrong(t *testing.T) {
	check := func(name, want string, args ...vec.Type) {
		t.Helper()
		_, err := registry.Scalar(name, args)
		if err == nil || err.Error() != want {
			t.Errorf("%s(%v): %v, want %s", name, args, err, want)
		}
	}
	check("+", "'+' cannot be applied to varchar, integer", vec.VarcharType, vec.IntegerType)
	check("-", "'-' cannot be applied to timestamp, timestamp", vec.TimestampType, vec.TimestampType)
	check("+", "'+' cannot be applied to interval day to second, interval year to month", vec.IntervalDayType, vec.IntervalYearType)
	check("=", "'=' cannot be applied to varchar, bigint", vec.VarcharType, vec.BigintType)
	check("Nix", "Function nix not registered", vec.VarcharType)
	check("bin", "Unexpected parameters (bigint, interval day to second) for function bin. Expected: bin(timestamp, interval day to second)", vec.BigintType, vec.IntervalDayType)
	check("ago", "Unexpected parameters (varchar) for function ago. Expected: ago(interval day to second), ago(interval year to month)", vec.VarcharType)
}

func TestResolutionPicksTheLeastCoercion(t *testing.T) {
	check := func(name, want string, args ...vec.Type) {
		t.Helper()
		call, err := registry.Scalar(name, args)
		if err != nil || call.Func.Signature != want {
			t.Errorf("%s(%v) = %v, %v; want %s", name, args, call, err, want)
		}
	}
	check("+", "+(bigint, bigint) -> bigint", vec.IntegerType, vec.BigintType)
	check("+", "+(double, double) -> double", vec.BigintType, vec.DoubleType)
	check("year", "year(timestamp) -> bigint", vec.VarcharType)
	check("date", "date(varchar) -> date", vec.VarcharType)
	check("date_trunc", "date_trunc(varchar, timestamp) -> timestamp", vec.VarcharType, vec.VarcharType)
	if call, err := registry.Scalar("=", []vec.Type{vec.VarcharType, vec.TimestampType}); err != nil || call.Args[0].Kind != vec.Timestamp {
		t.Errorf("text = timestamp compares as %v, %v", call, err)
	}
}

func TestComparisonTreatsNaNAndNullsAsSQLDoes(t *testing.T) {
	checkTexts(t,
		"0 / 0.0 = 0 / 0.0", "false",
		"0 / 0.0 <> 0 / 0.0", "true",
		"0 / 0.0 > 1", "false",
		"1 <= 0 / 0.0", "false",
		"NULL = 1", "NULL",
		"NULL IS DISTINCT FROM NULL", "false",
		"1 IS DISTINCT FROM NULL", "true",
		"ARRAY[1, NULL] = ARRAY[1, 2]", "NULL",
		"ARRAY[1, NULL] = ARRAY[2, 2]", "false",
		"ARRAY[1, 2] < ARRAY[1, 2, 3]", "true",
		"(1, 'a') = (1, 'a')", "true",
		"false < true", "true",
		"DATE '2031-02-03' = TIMESTAMP '2031-02-03 00:00:00'", "true",
		"'2031-02-03' <= TIMESTAMP '2031-02-03 04:00:00'", "true",
		"greatest(1, NULL)", "NULL",
	)
}

func TestLikeMatchesTheWholeText(t *testing.T) {
	check := func(s, pattern, escape string, want bool) {
		t.Helper()
		p, err := CompileLike(pattern, escape)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(s); got != want {
			t.Errorf("%q LIKE %q = %v", s, pattern, got)
		}
	}
	check("", "", "", true)
	check("a", "", "", false)
	check("", "%", "", true)
	check("abc", "a%c", "", true)
	check("abcb", "a%c", "", false)
	check("abcbc", "a%bc", "", true)
	check("aXbXc", "%X_", "", true)
	check("äöü", "___", "", true)
	check("äöü", "__", "", false)
	check("aab", "%ab", "", true)
	check("mississippi", "m%iss%ip%", "", true)
	check("mississippi", "%s_s_p%", "", false)
	check("10%", "10!%", "!", true)
	check("100", "10!%", "!", false)
	check("ab", "_%_", "", true)
	check("a", "_%_", "", false)
	check("abab", "%ab", "", true)
	for _, bad := range []string{"a!b", "a!"} {
		if _, err := CompileLike(bad, "!"); err == nil {
			t.Errorf("escape in %q was taken", bad)
		}
	}
}

func TestInvokeAgreesOverAllFormsAndNulls(t *testing.T) {
	call, err := registry.Scalar("/", []vec.Type{vec.BigintType, vec.BigintType})
	if err != nil {
		t.Fatal(err)
	}
	num := vec.OfInts(vec.BigintType, []int64{10, 20, 30}, nil)
	den := vec.OfInts(vec.BigintType, []int64{5, 0, 3}, []bool{false, true, false})
	check := func(want string, args ...*vec.Vector) {
		t.Helper()
		out, err := Invoke(call, &Context{}, args, 3)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(out.Value(0), out.Value(1), out.Value(2))
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check("2 NULL 10", num, den) // the zero under the null divides nothing
	check("2 NULL 10", num, vec.OfDict([]int32{0, 1, 2}, den))
	dict := vec.OfInts(vec.BigintType, []int64{5, 0}, nil)
	ten := vec.Const(vec.Int(vec.BigintType, 10), 3)
	check("2 2 2", ten, vec.OfDict([]int32{0, 0, 0}, dict)) // no row has the zero
	check("Division by zero", ten, vec.OfDict([]int32{0, 0, 1}, dict))
	check("1 1 1", ten, ten)
	check("NULL NULL NULL", num, vec.NullsOf(vec.BigintType, 3))
}

func TestBinFloorsAnyTimeAndWidth(t *testing.T) {
	widths := []int64{1, 7, 999, 10001, vec.Millisecond, 7 * vec.Second, 15 * vec.Minute, 7 * vec.Day, math.MaxInt64}
	x := uint64(12345)
	for range 20000 {
		x = x*6364136223846793005 + 1442695040888963407
		v := int64(x) >> (x % 40)
		for _, w := range widths {
			out := []int64{0}
			want := vec.FloorDiv(v, w) * w
			if ok := binEach(out, []int64{v}, w); ok != (want <= v) || ok && out[0] != want {
				t.Fatalf("bin(%d, %d) = %d, %v; want %d", v, w, out[0], ok, want)
			}
		}
	}
}

func benchInts(t vec.Type, n int, f func(i int) int64) *vec.Vector {
	vals := make([]int64, n)
	for i := range vals {
		vals[i] = f(i)
	}
	return vec.OfInts(t, vals, nil)
}

// cpuTime is what the process has used so far: on a busy machine it says more than the clock.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkInvoke(b *testing.B) {
	const n = 4096
	floats := make([]float64, n)
	for i := range floats {
		floats[i] = float64(i) * 0.5
	}
	doubles := vec.OfFloats(floats, nil)
	ints := benchInts(vec.BigintType, n, func(i int) int64 { return int64(i) })
	narrow := benchInts(vec.IntegerType, n, func(i int) int64 { return int64(i) })
	sorted := benchInts(vec.TimestampType, n, func(i int) int64 { return int64(i)*10*vec.Second + 1927857906123456789 })
	random := benchInts(vec.TimestampType, n, func(i int) int64 { return int64(uint64(i*i) * 6364136223846793005 >> 3) })
	strs, nulls := make([]string, n), make([]bool, n)
	for i := range strs {
		strs[i], nulls[i] = fmt.Sprintf("pump-%d", i), i%10 == 0
	}
	texts := vec.OfStrs(strs, nil)
	width := vec.Const(vec.Int(vec.IntervalDayType, 15*vec.Minute), n)
	run := func(label, name string, args ...*vec.Vector) {
		types := make([]vec.Type, len(args))
		for i, a := range args {
			types[i] = a.Type
		}
		call, err := registry.Scalar(name, types)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(label, func(b *testing.B) {
			began := cpuTime()
			for b.Loop() {
				if _, err := Invoke(call, &Context{}, args, n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/(cpuTime()-began).Seconds()/1e6, "Mvalues/cpu-s")
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
	run("op=+/double", "+", doubles, doubles)
	run("op=+/bigint", "+", ints, ints)
	run("op=+/integer", "+", narrow, narrow)
	run("op=*/bigint", "*", ints, ints)
	run("op=</double", "<", doubles, vec.Const(vec.Float(700), n))
	run("op=</bigint", "<", ints, ints)
	run("op=bin/sorted", "bin", sorted, width)
	run("op=bin/random", "bin", random, width)
	run("op=year", "year", sorted)
	run("op=hour", "hour", random)
	run("op=%/bigint", "%", random.Retype(vec.BigintType), vec.Const(vec.Int(vec.BigintType, 1000), n))
	run("op=//bigint", "/", random.Retype(vec.BigintType), vec.Const(vec.Int(vec.BigintType, 1000), n))
	run("op=date_trunc/hour", "date_trunc", vec.Const(vec.Str("hour"), n), sorted)
	run("op=like", "like", texts, vec.Const(vec.Str("pump-%7"), n))
	run("op=regexp_like", "regexp_like", texts, vec.Const(vec.Str(`^pump-\d+7$`), n))
	run("op=+/double-nulls", "+", vec.OfFloats(floats, nulls), doubles)
}
