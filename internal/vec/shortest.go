package vec

import (
	"math"
	"math/bits"
	"strconv"
)

// powersOfTen are those of 64 bits.
var powersOfTen = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// appendFullDecimal appends the shortest decimal that reads back as f, the nearest to f of those of its length, as
// strconv does; 1e-3 <= |f| < 1e7. It refuses powers of two and values half way between two candidates, which are rare.
//
// In this range no table of rounded powers of ten is needed, as Ryū or Dragonbox have one: f is m / 2^s with m below
// 2^53, and with the places that make it a number of 17 digits, m * 10^places is exact in 128 bits. What reads back as f
// lies within half of 10^places to both sides of that. Neither bound is a whole multiple of 2^s, since s is at least 29
// and places at most 19, so it does not matter whether the bounds belong to f. Between them lie 1 to 23 whole numbers,
// of which one at most is a multiple of a hundred: where there is one, it is the shortest. It takes three fifths of
// strconv's time (BenchmarkAppendDouble/full_precision).
func appendFullDecimal(dst []byte, f float64) (out []byte, ok bool) {
	b := math.Float64bits(f)
	m := b & (1<<52 - 1)
	if m == 0 {
		return dst, false
	}
	m |= 1 << 52
	s := uint(1075 - b>>52&0x7ff)
	places := 19
	for p := 1e-2; math.Abs(f) >= p && places > 10; p *= 10 {
		places--
	}

	scale := powersOfTen[places]
	hi, lo := bits.Mul64(m, scale)
	exact := hi<<(64-s) | lo>>s
	if exact < 1e16 || exact >= 1e17 {
		return dst, false // p is rounded: f is next to a power of ten
	}
	upLo, carry := bits.Add64(lo, scale/2, 0)
	downLo, borrow := bits.Sub64(lo, scale/2, 0)
	last := (hi+carry)<<(64-s) | upLo>>s
	first := ((hi-borrow)<<(64-s) | downLo>>s) + 1
	above := lo & (1<<s - 1) // what exact lacks of f, in 2^-s

	digits := last - last%100
	switch {
	case digits >= first:
		for digits%10 == 0 && places > 1 {
			digits, places = digits/10, places-1
		}
	case last-last%10 >= first:
		rest := exact % 10
		if rest == 5 && above == 0 {
			return dst, false
		}
		digits = exact / 10
		if rest >= 5 {
			digits++
		}
		places--
	default:
		half := uint64(1) << (s - 1)
		if above == half {
			return dst, false
		}
		digits = exact
		if above > half {
			digits++
		}
	}

	if b>>63 != 0 {
		dst = append(dst, '-')
	}
	whole := m >> s // of digits too: a whole number between f and its text would be the text of itself
	dst = strconv.AppendUint(dst, whole, 10)
	point := len(dst)
	// A digit 1 before the places keeps their zeros, and gives way to the point.
	dst = strconv.AppendUint(dst, digits-whole*powersOfTen[places]+powersOfTen[places], 10)
	dst[point] = '.'
	return dst, true
}
