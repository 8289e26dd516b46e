package fn

import "math/bits"

// divisor divides by a constant by multiplication, which is ten times as fast as the processor's division
// (T. Granlund, P. L. Montgomery: "Division by Invariant Integers using Multiplication", PLDI 1994): with
// l = ⌈log2 d⌉ and m = ⌈2^(63+l)/d⌉ < 2^64, n/d is m·n / 2^(63+l) for all 0 <= n <= 2^63.
type divisor struct {
	d     int64 // > 1
	m     uint64
	shift uint // l - 1
}

// divisorOf returns the divisor d; it must be greater than 1.
func divisorOf(d int64) divisor {
	l := uint(bits.Len64(uint64(d - 1)))
	// 2^(63+l) has 64+l bits: its upper word is 2^(l-1), and less than d.
	m, rest := bits.Div64(1<<(l-1), 0, uint64(d))
	if rest > 0 {
		m++
	}
	return divisor{d, m, l - 1}
}

// floor returns ⌊x/d⌋.
func (v divisor) floor(x int64) int64 {
	sign := uint64(x >> 63)
	hi, _ := bits.Mul64(v.m, uint64(x)^sign)
	return int64(hi>>(v.shift&63) ^ sign)
}

// truncated returns x/d as Go's division does, toward zero.
func (v divisor) truncated(x int64) int64 {
	sign := uint64(x >> 63)
	hi, _ := bits.Mul64(v.m, uint64(x)^sign-sign)
	return int64(hi>>(v.shift&63) ^ sign - sign)
}

// quotients puts the quotient of each value into out, cut toward zero.
func (v divisor) quotients(out, vals []int64) {
	for i, x := range vals[:len(out)] {
		out[i] = v.truncated(x)
	}
}

// rests puts the rest of each value into out, with the value's sign.
func (v divisor) rests(out, vals []int64) {
	for i, x := range vals[:len(out)] {
		out[i] = x - v.truncated(x)*v.d
	}
}
