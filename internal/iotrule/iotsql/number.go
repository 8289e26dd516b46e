package iotsql

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
)

// Numbers are decimals: coefficient × 10^exp with at most 34 significant digits.
// A coefficient that fits in an int64, as nearly all do, is held in the value
// itself. An Int has exp 0; a Decimal has no trailing zeros in its coefficient.

type bigCoef = big.Int

const (
	maxDigits   = 34
	maxExponent = 999 // of the first digit
)

// Int returns an Int.
func Int(n int64) Value { return Value{kind: Num, n: n} }

// IsInt reports whether v is a number without a fraction by the rules of its
// rule's version, so that it is stored as a BIGINT.
func (v Value) IsInt() bool { return v.kind == Num && !v.dec }

// Int64 returns the value of an Int that fits.
func (v Value) Int64() (n int64, ok bool) {
	return v.n, v.kind == Num && !v.dec && v.ref == nil
}

// Float64 returns the nearest double of a number.
func (v Value) Float64() float64 {
	if v.ref == nil && v.n > -1<<53 && v.n < 1<<53 && v.exp >= -22 && v.exp <= 22 {
		// Both operands are exact, so the one operation rounds correctly.
		if v.exp < 0 {
			return float64(v.n) / pow10f[-v.exp]
		}
		return float64(v.n) * pow10f[v.exp]
	}
	f, _ := strconv.ParseFloat(string(v.appendNum(nil)), 64)
	return f
}

var pow10f = func() (p [23]float64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

var pow10i = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

func pow10(n int) *big.Int {
	if n < len(pow10i) {
		return big.NewInt(pow10i[n])
	}
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// fromFloat returns a Decimal for the shortest text of f, Undefined if f is not
// finite.
func fromFloat(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	var buf [32]byte
	v, _ := parseNumber(string(strconv.AppendFloat(buf[:0], f, 'e', -1, 64)), anyExponent)
	v.dec = true
	return v.normal()
}

// coef returns the coefficient of a number; it must not be changed.
func (v Value) coef() *big.Int {
	if v.ref != nil {
		return v.ref.num
	}
	return big.NewInt(v.n)
}

// number makes a value of any coefficient and exponent: rounded half to even to
// 34 digits, Undefined beyond the largest magnitude, zero below the smallest.
func number(coef *big.Int, exp int, dec bool) Value {
	if coef.Sign() == 0 {
		return Value{kind: Num, dec: dec}
	}
	digits := digitsOf(coef)
	if digits > maxDigits {
		coef = roundHalfEven(coef, digits-maxDigits)
		exp += digits - maxDigits
		dec = true // an Int of more than 34 digits is no Int
		digits = digitsOf(coef)
	}
	if exp != 0 && !dec {
		dec = true
	}
	switch first := exp + digits - 1; {
	case first > maxExponent:
		return Value{}
	case first < -maxExponent:
		return Value{kind: Num, dec: dec}
	}
	v := Value{kind: Num, dec: dec, exp: int32(exp)}
	if coef.IsInt64() {
		v.n = coef.Int64()
	} else {
		v.ref = &node{num: coef}
	}
	return v.normal()
}

func digitsOf(n *big.Int) int {
	text := n.String() // at most some thousand digits: exponents are bounded
	if n.Sign() < 0 {
		return len(text) - 1
	}
	return len(text)
}

// roundHalfEven drops n decimal digits.
func roundHalfEven(coef *big.Int, n int) *big.Int {
	unit := pow10(n)
	q, r := new(big.Int).QuoRem(coef, unit, new(big.Int))
	twice := new(big.Int).Abs(r)
	twice.Lsh(twice, 1)
	if c := twice.Cmp(unit); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(coef.Sign())))
	}
	return q
}

// normal strips the trailing zeros of a Decimal.
func (v Value) normal() Value {
	if !v.dec {
		return v
	}
	if v.ref == nil {
		if v.n == 0 {
			v.exp = 0
			return v
		}
		for v.n%10 == 0 {
			v.n /= 10
			v.exp++
		}
		return v
	}
	ten, c := big.NewInt(10), v.ref.num
	for {
		q, r := new(big.Int).QuoRem(c, ten, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		c = q
		v.exp++
	}
	if c.IsInt64() {
		v.n, v.ref = c.Int64(), nil
	} else if c != v.ref.num {
		v.ref = &node{num: c}
	}
	return v
}

// wholeAsInt turns a Decimal without a fraction into an Int, the rule of version
// 2016-03-23, if it has at most 34 digits.
func (v Value) wholeAsInt() Value {
	if v.kind != Num || !v.dec || v.exp < 0 {
		return v
	}
	if v.ref == nil && v.exp < int32(len(pow10i)) {
		if hi, lo := bits.Mul64(absU(v.n), uint64(pow10i[v.exp])); hi == 0 && lo <= math.MaxInt64 {
			return Int(v.n * pow10i[v.exp])
		}
	}
	c := v.coef()
	if digitsOf(c)+int(v.exp) > maxDigits {
		return v
	}
	return number(new(big.Int).Mul(c, pow10(int(v.exp))), 0, false)
}

// asDecimal marks a number as a Decimal, as in version 2015-10-08.
func (v Value) asDecimal() Value {
	if v.kind == Num {
		v.dec = true
		v = v.normal()
	}
	return v
}

func absU(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// grammar says which number texts parseNumber takes.
type grammar uint8

const (
	jsonNumber  grammar = iota // RFC 8259
	numeric                    // -?\d+(\.\d+)?([eE]-?\d+)?, what a String converts by; always a Decimal
	anyExponent                // our own texts
)

// parseNumber reads a whole text as a number. An integer text is an Int (but see
// numeric). A number beyond the largest magnitude is ok and Undefined.
func parseNumber(s string, g grammar) (v Value, ok bool) {
	i, neg := 0, false
	if i < len(s) && s[i] == '-' {
		neg = true
		i++
	}
	start := i
	var coef int64
	digits, exp := 0, 0 // significant digits seen
	big34 := false
	eat := func(fraction bool) bool {
		from := i
		for i < len(s) && s[i]-'0' <= 9 {
			d := int64(s[i] - '0')
			if digits > 0 || d != 0 {
				digits++
			}
			if digits <= 18 {
				coef = coef*10 + d
			} else {
				big34 = true
			}
			if fraction {
				exp--
			}
			i++
		}
		return i > from
	}
	if !eat(false) {
		return Value{}, false
	}
	if g == jsonNumber && s[start] == '0' && i > start+1 {
		return Value{}, false
	}
	dec := g == numeric
	if i < len(s) && s[i] == '.' {
		i++
		dec = true
		if !eat(true) {
			return Value{}, false
		}
	}
	mantissa := s[start:i]
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		dec = true
		e, n, good := parseExponent(s[i:], g)
		if !good {
			return Value{}, false
		}
		i += n
		exp += e
	}
	if i != len(s) {
		return Value{}, false
	}
	if neg {
		coef = -coef
	}
	if !big34 && exp > -900 && exp < 900 {
		v = Value{kind: Num, dec: dec, exp: int32(exp), n: coef}
		return v.normal(), true
	}
	c, good := new(big.Int).SetString(withoutPoint(mantissa), 10)
	if !good {
		return Value{}, false
	}
	if neg {
		c.Neg(c)
	}
	return number(c, exp, dec), true
}

func parseExponent(s string, g grammar) (e, n int, ok bool) {
	neg := false
	if n < len(s) && (s[n] == '-' || s[n] == '+' && g != numeric) {
		neg = s[n] == '-'
		n++
	}
	from := n
	for n < len(s) && s[n]-'0' <= 9 {
		// Beyond any magnitude, and small enough for all that is added to it.
		if e = e*10 + int(s[n]-'0'); e > 1<<28 {
			e = 1 << 28
		}
		n++
	}
	if neg {
		e = -e
	}
	return e, n, n > from
}

func withoutPoint(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] != '.' {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// appendNum appends a number as text: an Int in digits, a Decimal with at least
// one digit after the point, or in scientific form if it is very large or small.
func (v Value) appendNum(dst []byte) []byte {
	if !v.dec {
		if v.ref == nil {
			return strconv.AppendInt(dst, v.n, 10)
		}
		return v.ref.num.Append(dst, 10)
	}
	var buf [48]byte
	digits := buf[:0]
	if v.ref == nil {
		digits = strconv.AppendInt(digits, v.n, 10)
	} else {
		digits = v.ref.num.Append(digits, 10)
	}
	if digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	first := len(digits) - 1 + int(v.exp) // exponent of the first digit
	switch {
	case v.exp >= 0 && first < maxDigits:
		dst = append(dst, digits...)
		for range v.exp {
			dst = append(dst, '0')
		}
		return append(dst, '.', '0')
	case v.exp < 0 && first >= 0:
		point := len(digits) + int(v.exp)
		dst = append(dst, digits[:point]...)
		dst = append(dst, '.')
		return append(dst, digits[point:]...)
	case v.exp < 0 && first >= -7:
		dst = append(dst, '0', '.')
		for range -first - 1 {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(dst, '.')
		dst = append(dst, digits[1:]...)
	}
	dst = append(dst, 'E')
	return strconv.AppendInt(dst, int64(first), 10)
}

func sign(v Value) int {
	if v.ref != nil {
		return v.ref.num.Sign()
	}
	switch {
	case v.n > 0:
		return 1
	case v.n < 0:
		return -1
	}
	return 0
}

// compare orders two numbers by value.
func compare(a, b Value) int {
	if a.ref == nil && b.ref == nil && a.exp == b.exp {
		switch {
		case a.n < b.n:
			return -1
		case a.n > b.n:
			return 1
		}
		return 0
	}
	if s, t := sign(a), sign(b); s != t {
		if s < t {
			return -1
		}
		return 1
	}
	x, y, _ := align(a, b)
	return x.Cmp(y)
}

// align brings two numbers to one exponent. Exponents are within ±1033, so the
// coefficients stay below some thousand digits.
func align(a, b Value) (x, y *big.Int, exp int) {
	x, y, exp = a.coef(), b.coef(), int(min(a.exp, b.exp))
	if d := int(a.exp) - exp; d > 0 {
		x = new(big.Int).Mul(x, pow10(d))
	}
	if d := int(b.exp) - exp; d > 0 {
		y = new(big.Int).Mul(y, pow10(d))
	}
	return x, y, exp
}

func add(a, b Value) Value {
	if a.ref == nil && b.ref == nil && a.exp == b.exp {
		if s := a.n + b.n; (s > a.n) == (b.n > 0) {
			return Value{kind: Num, dec: a.dec || b.dec, exp: a.exp, n: s}.normal()
		}
	}
	x, y, exp := align(a, b)
	return number(new(big.Int).Add(x, y), exp, a.dec || b.dec)
}

func negate(v Value) Value {
	if v.ref == nil && v.n != math.MinInt64 {
		v.n = -v.n
		return v
	}
	return number(new(big.Int).Neg(v.coef()), int(v.exp), v.dec)
}

func multiply(a, b Value) Value {
	dec := a.dec || b.dec
	if a.ref == nil && b.ref == nil {
		if hi, lo := bits.Mul64(absU(a.n), absU(b.n)); hi == 0 && lo <= math.MaxInt64 {
			return bounded(Value{kind: Num, dec: dec, exp: a.exp + b.exp, n: a.n * b.n}.normal())
		}
	}
	return number(new(big.Int).Mul(a.coef(), b.coef()), int(a.exp)+int(b.exp), dec)
}

// bounded applies the limits of magnitude to a small value.
func bounded(v Value) Value {
	if v.exp > -900 && v.exp < 900 {
		return v
	}
	return number(v.coef(), int(v.exp), v.dec)
}

// divide truncates Int / Int and keeps 34 digits otherwise; by zero it is Undefined.
func divide(a, b Value) Value {
	if sign(b) == 0 {
		return Value{}
	}
	if !a.dec && !b.dec {
		return number(new(big.Int).Quo(a.coef(), b.coef()), 0, false)
	}
	x, y := a.coef(), b.coef()
	shift := max(0, maxDigits+3+digitsOf(y)-digitsOf(x))
	q, r := new(big.Int).QuoRem(new(big.Int).Mul(x, pow10(shift)), y, new(big.Int))
	exp := int(a.exp) - int(b.exp) - shift
	if r.Sign() != 0 {
		// A sticky digit, so that rounding sees that something follows.
		one := int64(x.Sign() * y.Sign())
		q = q.Add(q.Mul(q, big.NewInt(10)), big.NewInt(one))
		exp--
	}
	return number(q, exp, true)
}

// remainder has the sign of the dividend; by zero it is Undefined.
func remainder(a, b Value) Value {
	if sign(b) == 0 {
		return Value{}
	}
	x, y, exp := align(a, b)
	return number(new(big.Int).Rem(x, y), exp, a.dec || b.dec)
}

type rounding uint8

const (
	truncate rounding = iota
	down              // towards minus infinity
	up                // towards plus infinity
	halfAway          // to the nearest, halves away from zero
)

// toInt returns a number as an Int.
func toInt(v Value, r rounding) Value {
	if v.exp >= 0 {
		if w := v.wholeAsInt(); !w.dec {
			return w
		}
		return v // more than 34 digits: it has no fraction to lose
	}
	unit := pow10(int(-v.exp))
	q, rest := new(big.Int).QuoRem(v.coef(), unit, new(big.Int))
	step := false
	switch r {
	case down:
		step = rest.Sign() < 0
	case up:
		step = rest.Sign() > 0
	case halfAway:
		step = new(big.Int).Lsh(new(big.Int).Abs(rest), 1).Cmp(unit) >= 0
	}
	if step {
		q.Add(q, big.NewInt(int64(sign(v))))
	}
	return number(q, 0, false)
}

// smallInt returns a number without its fraction, clamped to [lo, hi].
func smallInt(v Value, lo, hi int) int {
	i := toInt(v, truncate)
	n, ok := i.Int64()
	switch {
	case !ok && sign(i) < 0:
		return lo
	case !ok:
		return hi
	}
	return int(max(int64(lo), min(int64(hi), n)))
}

// AppendNumber appends the text of a number; nothing for other kinds.
func (v Value) AppendNumber(dst []byte) []byte {
	if v.kind != Num {
		return dst
	}
	return v.appendNum(dst)
}
