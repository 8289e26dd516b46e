package fn

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
)

// mathFunctions is sql.md sections 8.5 and 8.8.
func mathFunctions() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"math", text, example, result}, Eval: eval, noText: true}
	}
	// double is a function of one double that is harmless anywhere.
	double := func(name, text, arg, result string, g func(float64) float64) Scalar {
		s := f(name+"(double) -> double", text, name+"("+arg+")", result, fn1(g))
		s.dense = true
		return s
	}
	test := func(name, text, example, result string, g func(float64) bool) Scalar {
		return f(name+"(double) -> boolean", text, example, result, fn1(g))
	}
	var out []Scalar
	// whole lists the integer overloads before the double one, so that an exact match is found
	// and a null literal takes the first.
	whole := func(name, params, text, intExample, intResult, bigExample, bigResult string, eval Kernel) {
		for _, t := range []struct{ name, example, result string }{{"integer", intExample, intResult}, {"bigint", bigExample, bigResult}} {
			out = append(out, f(name+"("+t.name+params+") -> "+t.name, text, t.example, t.result, eval))
		}
	}
	out = append(out,
		f("abs(integer) -> integer", "The absolute value.", "abs(-5)", "5", fn1e(absInteger)),
		f("abs(bigint) -> bigint", "The absolute value.", "abs(-5000000000)", "5000000000", fn1e(absBigint)),
		double("abs", "The absolute value.", "-0.5", "0.5", math.Abs))
	for _, r := range []struct {
		name, text, arg, result string
		g                       func(float64) float64
	}{
		{"ceil", "The least whole number that is not less.", "2.1", "3.0", math.Ceil},
		{"ceiling", "The least whole number that is not less.", "2.1", "3.0", math.Ceil},
		{"floor", "The greatest whole number that is not greater.", "2.9", "2.0", math.Floor},
		{"round", "The nearest whole number, half away from zero.", "-2.5", "-3.0", math.Round},
	} {
		whole(r.name, "", r.text, r.name+"(7)", "7", r.name+"(5000000000)", "5000000000", fn1(same[int64]))
		out = append(out, double(r.name, r.text, r.arg, r.result, r.g))
	}
	whole("round", ", integer", "The number rounded to d digits after the point; d may be negative.", "round(149, -2)", "100", "round(5000000050, -2)", "5000000100", fn2e(roundInt))
	whole("sign", "", "-1, 0 or 1.", "sign(-7)", "-1", "sign(5000000000)", "1", fn1(signInt))
	out = append(out,
		f("round(double, integer) -> double", "The number rounded to d digits after the point; d may be negative.", "round(2.345, 2)", "2.35", fn2(roundTo)),
		double("sign", "-1.0, 0.0 or 1.0; NaN for NaN.", "-0.5", "-1.0", signFloat),
		double("truncate", "The number without its fraction.", "-2.9", "-2.0", math.Trunc),
		double("cbrt", "The cube root.", "27", "3.0", math.Cbrt),
		double("sqrt", "The square root; NaN for negative numbers.", "2.25", "1.5", math.Sqrt),
		double("exp", "e to the power of x.", "0", "1.0", math.Exp),
		double("ln", "The natural logarithm.", "1", "0.0", math.Log),
		double("log2", "The logarithm to base 2.", "8", "3.0", log2),
		double("log10", "The logarithm to base 10.", "1000", "3.0", math.Log10),
		double("degrees", "Radians as degrees.", "pi()", "180.0", func(x float64) float64 { return x * 180 / math.Pi }),
		double("radians", "Degrees as radians.", "180", "3.141592653589793", func(x float64) float64 { return x / 180 * math.Pi }),
		double("acos", "The arc cosine, in radians.", "1", "0.0", math.Acos),
		double("asin", "The arc sine, in radians.", "0", "0.0", math.Asin),
		double("atan", "The arc tangent, in radians.", "0", "0.0", math.Atan),
		double("cos", "The cosine of radians.", "0", "1.0", math.Cos),
		double("cosh", "The hyperbolic cosine.", "0", "1.0", math.Cosh),
		double("sin", "The sine of radians.", "0", "0.0", math.Sin),
		double("tan", "The tangent of radians.", "0", "0.0", math.Tan),
		double("tanh", "The hyperbolic tangent.", "0", "0.0", math.Tanh),
		f("atan2(double, double) -> double", "The angle of the point (x, y), in radians.", "atan2(0, 1)", "0.0", fn2(math.Atan2)),
		f("pow(double, double) -> double", "x to the power of p.", "pow(2, 10)", "1024.0", fn2(pow)),
		f("power(double, double) -> double", "x to the power of p.", "power(2, 10)", "1024.0", fn2(pow)),
		f("mod(integer, integer) -> integer", "The rest of the division, with the sign of the dividend.", "mod(-7, 3)", "-1", fn2e(modInt)),
		f("mod(bigint, bigint) -> bigint", "The rest of the division, with the sign of the dividend.", "mod(5000000000, 3)", "2", fn2e(modInt)),
		f("mod(double, double) -> double", "The rest of the division, with the sign of the dividend.", "mod(7.5, 2)", "1.5", fn2(math.Mod)),
		f("e() -> double", "Euler's number.", "e()", "2.718281828459045", fn0(func(*Context) float64 { return math.E })),
		f("pi() -> double", "The ratio of a circle's circumference to its diameter.", "pi()", "3.141592653589793", fn0(func(*Context) float64 { return math.Pi })),
		f("infinity() -> double", "Positive infinity.", "infinity()", "Infinity", fn0(func(*Context) float64 { return math.Inf(1) })),
		f("nan() -> double", "Not a number.", "nan()", "NaN", fn0(func(*Context) float64 { return math.NaN() })),
		test("is_finite", "Whether x is neither infinite nor NaN.", "is_finite(2.5)", "true", func(x float64) bool { return x-x == 0 }),
		test("is_infinite", "Whether x is an infinity.", "is_infinite(1 / 0.0)", "true", func(x float64) bool { return math.IsInf(x, 0) }),
		test("is_nan", "Whether x is NaN.", "is_nan(nan())", "true", math.IsNaN),
		f("from_base(varchar, bigint) -> bigint", "The number that digits in a base spell.", "from_base('-ff', 16)", "-255", fn2e(fromBase)),
		f("to_base(bigint, bigint) -> varchar", "The number in digits of a base.", "to_base(-255, 16)", "-ff", fn2e(toBase)),
	)
	for _, name := range []string{"rand", "random"} {
		out = append(out, volatile(f(name+"() -> double", "A random number from 0 up to 1; a new one for every row.", name+"()", "", fn0(func(*Context) float64 { return rand.Float64() }))))
		for _, t := range []string{"integer", "bigint"} {
			out = append(out, volatile(f(name+"("+t+") -> "+t, "A random whole number from 0 up to n.", name+"(1)", "0", fn1e(randomInt))))
		}
		out = append(out, volatile(f(name+"(double) -> double", "A random number from 0 up to n.", name+"(2.5) < 2.5", "true", fn1e(randomFloat))))
	}
	return append(out, bitwise()...)
}

func volatile(s Scalar) Scalar {
	s.Volatile = true
	return s
}

func absInteger(x int64) (int64, error) {
	if x == math.MinInt32 {
		return 0, fail("Value %d is out of range for abs(integer)", x)
	}
	return max(x, -x), nil
}

func absBigint(x int64) (int64, error) {
	if x == math.MinInt64 {
		return 0, fail("Value %d is out of range for abs(bigint)", x)
	}
	return max(x, -x), nil
}

func signInt(x int64) int64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func signFloat(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zeros and NaN
}

func log2(x float64) float64 { return math.Log(x) / math.Ln2 }

// pow is Java's: unlike C's, 1 to the power of NaN is NaN, and so is ±1 to ±Infinity.
func pow(x, p float64) float64 {
	if p != p || math.Abs(x) == 1 && math.IsInf(p, 0) {
		return math.NaN()
	}
	return math.Pow(x, p)
}

// roundTo is round(x * 10^d) / 10^d.
func roundTo(x float64, d int64) float64 {
	scale := math.Pow10(int(max(min(d, 400), -400)))
	scaled := x * scale
	switch {
	case x-x != 0 || d > 0 && scaled-scaled != 0:
		return x // no finite number, or more digits than doubles have
	case scale == 0:
		return math.Copysign(0, x)
	}
	return math.Round(scaled) / scale
}

func roundInt(x, d int64) (int64, error) {
	if d >= 0 {
		return x, nil
	}
	if d < -18 {
		return 0, nil
	}
	scale := int64(math.Pow10(int(-d)))
	half := scale / 2
	rest := x % scale
	x -= rest
	switch {
	case rest >= half:
		return addExact(x, scale)
	case rest <= -half:
		return addExact(x, -scale)
	}
	return x, nil
}

func addExact(x, y int64) (int64, error) {
	s := x + y
	if (x^s)&(y^s) < 0 {
		return 0, fail("bigint addition overflow: %d + %d", x, y)
	}
	return s, nil
}

func randomInt(n int64) (int64, error) {
	if n <= 0 {
		return 0, fail("bound must be positive")
	}
	return rand.Int64N(n), nil
}

func randomFloat(n float64) (float64, error) {
	if !(n > 0) {
		return 0, fail("bound must be positive")
	}
	return rand.Float64() * n, nil
}

func checkRadix(radix int64) error {
	if radix < 2 || radix > 36 {
		return fail("Radix must be between 2 and 36")
	}
	return nil
}

func fromBase(s string, radix int64) (int64, error) {
	if err := checkRadix(radix); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, int(radix), 64)
	if err != nil || strings.Contains(s, "_") {
		return 0, fail("Not a valid base-%d number: %s", radix, s)
	}
	return n, nil
}

func toBase(n, radix int64) (string, error) {
	if err := checkRadix(radix); err != nil {
		return "", err
	}
	return strconv.FormatInt(n, int(radix)), nil
}

// bitwise is sql.md section 8.8: two's complement over bigint.
func bitwise() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"bitwise", text, example, result}, Eval: eval, noText: true}
	}
	return []Scalar{
		f("bit_count(bigint, bigint) -> bigint", "Number of ones in x as a signed number of so many bits.", "bit_count(-7, 8)", "6", fn2e(bitCount)),
		f("bitwise_and(bigint, bigint) -> bigint", "The bits set in both.", "bitwise_and(12, 10)", "8", fn2(func(x, y int64) int64 { return x & y })),
		f("bitwise_or(bigint, bigint) -> bigint", "The bits set in either.", "bitwise_or(12, 10)", "14", fn2(func(x, y int64) int64 { return x | y })),
		f("bitwise_xor(bigint, bigint) -> bigint", "The bits set in exactly one.", "bitwise_xor(12, 10)", "6", fn2(func(x, y int64) int64 { return x ^ y })),
		f("bitwise_not(bigint) -> bigint", "The bits inverted.", "bitwise_not(12)", "-13", fn1(func(x int64) int64 { return ^x })),
	}
}

func bitCount(x, width int64) (int64, error) {
	if width < 2 || width > 64 {
		return 0, fail("Bits specified in bit_count must be between 2 and 64, got %d", width)
	}
	least := int64(-1) << (width - 1)
	if x < least || x > ^least {
		return 0, fail("Number must be representable with the bits specified. %d can not be represented with %d bits", x, width)
	}
	return int64(bits.OnesCount64(uint64(x) & (math.MaxUint64 >> (64 - width)))), nil
}
