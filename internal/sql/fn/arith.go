package fn

import (
	"math"
	"math/bits"

	"github.com/weir-db/weir/internal/vec"
)

// arithmetic is + - * / % over numbers, and + - * / over times and spans (sql.md section 5).
func arithmetic() []Scalar {
	op := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"operator", text, example, result}, Eval: eval, dense: true, noText: true}
	}
	return []Scalar{
		op("+(integer, integer) -> integer", "Sum; an overflow is an error.", "2 + 3", "5", intOp(addInts, "integer addition overflow: %d + %d", true)),
		op("+(bigint, bigint) -> bigint", "Sum; an overflow is an error.", "5000000000 + 3", "5000000003", intOp(addInts, "bigint addition overflow: %d + %d", false)),
		op("+(double, double) -> double", "Sum.", "0.5 + 1", "1.5", floatOp(addFloats)),
		op("-(integer, integer) -> integer", "Difference; an overflow is an error.", "2 - 3", "-1", intOp(subInts, "integer subtraction overflow: %d - %d", true)),
		op("-(bigint, bigint) -> bigint", "Difference; an overflow is an error.", "5000000000 - 3", "4999999997", intOp(subInts, "bigint subtraction overflow: %d - %d", false)),
		op("-(double, double) -> double", "Difference.", "0.5 - 1", "-0.5", floatOp(subFloats)),
		op("*(integer, integer) -> integer", "Product; an overflow is an error.", "4 * 3", "12", intOp(mulInts, "integer multiplication overflow: %d * %d", true)),
		op("*(bigint, bigint) -> bigint", "Product; an overflow is an error.", "5000000000 * 3", "15000000000", intOp(mulInts, "bigint multiplication overflow: %d * %d", false)),
		op("*(double, double) -> double", "Product.", "0.5 * 3", "1.5", floatOp(mulFloats)),
		op("/(integer, integer) -> integer", "Quotient, truncated toward zero.", "-7 / 2", "-3", intDivision(divInteger, divisor.quotients)),
		op("/(bigint, bigint) -> bigint", "Quotient, truncated toward zero.", "7000000000 / 2", "3500000000", intDivision(divBigint, divisor.quotients)),
		op("/(double, double) -> double", "Quotient; a zero divisor gives an infinity or NaN.", "1 / 4e0", "0.25", floatOp(divFloats)),
		op("%(integer, integer) -> integer", "Rest of the division, with the sign of the dividend.", "-7 % 3", "-1", intDivision(modInt, divisor.rests)),
		op("%(bigint, bigint) -> bigint", "Rest of the division, with the sign of the dividend.", "7000000000 % 3", "1", intDivision(modInt, divisor.rests)),
		op("%(double, double) -> double", "Rest of the division, with the sign of the dividend.", "7.5 % 2", "1.5", fn2(math.Mod)),
		op("-(integer) -> integer", "Negation.", "-(5)", "-5", fn1e(negInteger)),
		op("-(bigint) -> bigint", "Negation; of the least bigint an error.", "-(5000000000)", "-5000000000", fn1e(negBigint)),
		op("-(double) -> double", "Negation.", "-(0.5)", "-0.5", fn1(func(x float64) float64 { return -x })),
		op("+(integer) -> integer", "The number itself.", "+5", "5", fn1(same[int64])),
		op("+(bigint) -> bigint", "The number itself.", "+5000000000", "5000000000", fn1(same[int64])),
		op("+(double) -> double", "The number itself.", "+0.5", "0.5", fn1(same[float64])),
	}
}

func same[T element](x T) T { return x }

// The loops below take n values in out, and n in a, in b or in both; the other
// may be a single value for all rows.

func floatOp(loop func(out, a, b []float64)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, b := colOf[float64](args[0]), colOf[float64](args[1])
		if a.mask == 0 && b.mask == 0 {
			n = min(n, 1)
		}
		out := make([]float64, n)
		loop(out, a.vals, b.vals)
		return constantIf(a.mask|b.mask == 0, vec.OfFloats(out, nil), args[0].Len()), nil
	}
}

// constantIf makes the one row of v a constant of n rows.
func constantIf(constant bool, v *vec.Vector, n int) *vec.Vector {
	if !constant || n < 2 {
		return v
	}
	return vec.Const(v.Value(0), n)
}

func addFloats(out, a, b []float64) {
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			out[i] = a[i] + b[i]
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			out[i] = x + y
		}
	case len(b) == n:
		addFloats(out, b, a)
	}
}

func subFloats(out, a, b []float64) {
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			out[i] = a[i] - b[i]
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			out[i] = x - y
		}
	case len(b) == n:
		x := a[0]
		for i, y := range b {
			out[i] = x - y
		}
	}
}

func mulFloats(out, a, b []float64) {
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			out[i] = a[i] * b[i]
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			out[i] = x * y
		}
	case len(b) == n:
		mulFloats(out, b, a)
	}
}

func divFloats(out, a, b []float64) {
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			out[i] = a[i] / b[i]
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			out[i] = x / y
		}
	case len(b) == n:
		x := a[0]
		for i, y := range b {
			out[i] = x / y
		}
	}
}

// intOp runs a loop that reports the first row whose result overflows, or -1. narrow
// says that results must fit 32 bits.
func intOp(loop func(out, a, b []int64) int, overflow string, narrow bool) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, b := colOf[int64](args[0]), colOf[int64](args[1])
		if a.mask == 0 && b.mask == 0 {
			n = min(n, 1)
		}
		out := make([]int64, n)
		bad := loop(out, a.vals, b.vals)
		if narrow && bad < 0 {
			bad = firstWide(out)
		}
		if bad >= 0 {
			return nil, fail(overflow, a.at(bad), b.at(bad))
		}
		return constantIf(a.mask|b.mask == 0, vec.OfInts(c.Return, out, nil), args[0].Len()), nil
	}
}

// firstWide returns the first value beyond 32 bits, or -1.
func firstWide(vals []int64) int {
	var wide int64
	for _, x := range vals {
		wide |= x - int64(int32(x))
	}
	if wide == 0 {
		return -1
	}
	for i, x := range vals {
		if x != int64(int32(x)) {
			return i
		}
	}
	return -1
}

// The integer loops collect overflow in the sign of a word, so that the loop has no
// branch, and look for the row afterwards.

func addInts(out, a, b []int64) int {
	var over int64
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			x, y := a[i], b[i]
			s := x + y
			out[i] = s
			over |= (x ^ s) & (y ^ s)
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			s := x + y
			out[i] = s
			over |= (x ^ s) & (y ^ s)
		}
	case len(b) == n:
		return addInts(out, b, a)
	}
	if over >= 0 {
		return -1
	}
	return firstRow(out, a, b, func(x, y, s int64) bool { return (x^s)&(y^s) < 0 })
}

func subInts(out, a, b []int64) int {
	var over int64
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			x, y := a[i], b[i]
			s := x - y
			out[i] = s
			over |= (x ^ y) & (x ^ s)
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			s := x - y
			out[i] = s
			over |= (x ^ y) & (x ^ s)
		}
	case len(b) == n:
		x := a[0]
		for i, y := range b {
			s := x - y
			out[i] = s
			over |= (x ^ y) & (x ^ s)
		}
	}
	if over >= 0 {
		return -1
	}
	return firstRow(out, a, b, func(x, y, s int64) bool { return (x^y)&(x^s) < 0 })
}

func mulInts(out, a, b []int64) int {
	var over int64
	switch n := len(out); {
	case len(a) == n && len(b) == n:
		a, b = a[:n], b[:n]
		for i := range out {
			p, o := mulOver(a[i], b[i])
			out[i] = p
			over |= o
		}
	case len(a) == n:
		y := b[0]
		for i, x := range a {
			p, o := mulOver(x, y)
			out[i] = p
			over |= o
		}
	case len(b) == n:
		return mulInts(out, b, a)
	}
	if over == 0 {
		return -1
	}
	return firstRow(out, a, b, func(x, y, _ int64) bool {
		_, o := mulOver(x, y)
		return o != 0
	})
}

// mulOver returns the lower word of x*y, and what is not 0 if the product needs more.
func mulOver(x, y int64) (product, over int64) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	high := int64(hi) - x>>63&y - y>>63&x
	return int64(lo), high ^ int64(lo)>>63
}

// intDivision makes the kernel of a division. Most divisors are constant: then loop does it, which gets none
// of the special ones.
func intDivision(each func(a, b int64) (int64, error), loop func(v divisor, out, vals []int64)) Kernel {
	general := fn2e(each)
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, b := colOf[int64](args[0]), colOf[int64](args[1])
		if a.mask == 0 || b.mask != 0 || b.vals[0] < 2 {
			return general(c, args, n)
		}
		v := divisorOf(b.vals[0])
		out := make([]int64, n)
		loop(v, out, a.vals[:n])
		return vec.OfInts(c.Return, out, nil), nil
	}
}

// mulInt returns x*y and whether it fits.
func mulInt(x, y int64) (int64, bool) {
	if int64(int32(x)) == x && int64(int32(y)) == y {
		return x * y, true
	}
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	h := int64(hi)
	if x < 0 {
		h -= y
	}
	if y < 0 {
		h -= x
	}
	return int64(lo), h == int64(lo)>>63
}

func firstRow(out, a, b []int64, bad func(x, y, s int64) bool) int {
	for i, s := range out {
		if bad(a[min(i, len(a)-1)], b[min(i, len(b)-1)], s) {
			return i
		}
	}
	return -1
}

func divInteger(a, b int64) (int64, error) {
	if a == math.MinInt32 && b == -1 {
		return 0, fail("integer division overflow: %d / %d", a, b)
	}
	return divBigint(a, b)
}

func divBigint(a, b int64) (int64, error) {
	switch {
	case b == 0:
		return 0, fail("Division by zero")
	case a == math.MinInt64 && b == -1:
		return 0, fail("bigint division overflow: %d / %d", a, b)
	}
	return a / b, nil
}

func modInt(a, b int64) (int64, error) {
	switch b {
	case 0:
		return 0, fail("Division by zero")
	case -1:
		return 0, nil
	}
	return a % b, nil
}

func negInteger(x int64) (int64, error) {
	if x == math.MinInt32 {
		return 0, fail("integer negation overflow: %d", x)
	}
	return -x, nil
}

func negBigint(x int64) (int64, error) {
	if x == math.MinInt64 {
		return 0, fail("bigint negation overflow: %d", x)
	}
	return -x, nil
}
