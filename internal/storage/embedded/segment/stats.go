package segment

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/weir-db/weir/internal/storage/embedded/codec"
	"github.com/weir-db/weir/internal/vec"
)

// Stats is what is known of a chunk without reading it. Bits are those of
// storage.Val: the value of bigint and timestamp, the bits of a double, 0 or 1 for boolean.
// Varchar chunks have counts only.
type Stats struct {
	NonNull int32
	// HasRange: Min and Max are set: some value is not null, and no double is NaN.
	HasRange bool
	// HasSum: Sum is set, of doubles, or of bigints without overflow.
	HasSum bool
	// HasM2: M2 is set, the sum of squared distances from the mean, of doubles and bigints.
	HasM2    bool
	Min, Max uint64
	Sum      uint64
	M2       float64
	// First and Last are the values of the first and last row; meaningful by time only
	// in a block of one run. FirstNull and LastNull say that they are null.
	First, Last         uint64
	FirstNull, LastNull bool
}

// statsOf computes the statistics of n rows.
func statsOf(kind vec.Kind, d *Data, n int) Stats {
	if d.AllNull() {
		return Stats{FirstNull: true, LastNull: true}
	}
	null := func(i int) bool { return d.Nulls != nil && d.Nulls[i] }
	s := Stats{FirstNull: null(0), LastNull: null(n - 1)}
	for i := range n {
		if !null(i) {
			s.NonNull++
		}
	}
	switch kind.Storage() {
	case vec.StoreFloats:
		floatStats(&s, d, n)
	case vec.StoreInts:
		intStats(&s, d, n)
	case vec.StoreBools:
		boolStats(&s, d, n)
	}
	return s
}

func floatStats(s *Stats, d *Data, n int) {
	lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
	nan := false
	for i, v := range d.Floats[:n] {
		if d.Nulls != nil && d.Nulls[i] {
			continue
		}
		nan = nan || v != v
		lo, hi, sum = min(lo, v), max(hi, v), sum+v
	}
	s.HasRange = s.NonNull > 0 && !nan
	s.HasSum = s.NonNull > 0
	s.Min, s.Max, s.Sum = math.Float64bits(lo), math.Float64bits(hi), math.Float64bits(sum)
	setM2(s, d.Floats[:n], d.Nulls, sum)
	s.First, s.Last = math.Float64bits(d.Floats[0]), math.Float64bits(d.Floats[n-1])
}

// setM2 sets the sum of squared distances from the mean, if it is finite.
func setM2[T int64 | float64](s *Stats, vals []T, nulls []bool, sum float64) {
	mean := sum / float64(s.NonNull)
	for i, v := range vals {
		if nulls == nil || !nulls[i] {
			d := float64(v) - mean
			s.M2 += d * d
		}
	}
	if s.HasM2 = s.M2-s.M2 == 0; !s.HasM2 {
		s.M2 = 0
	}
}

func intStats(s *Stats, d *Data, n int) {
	lo, hi, sum := int64(math.MaxInt64), int64(math.MinInt64), int64(0)
	overflow := false
	for i, v := range d.Ints[:n] {
		if d.Nulls != nil && d.Nulls[i] {
			continue
		}
		lo, hi = min(lo, v), max(hi, v)
		next := sum + v
		overflow = overflow || (next > sum) != (v > 0) && v != 0
		sum = next
	}
	s.HasRange = s.NonNull > 0
	s.HasSum = s.NonNull > 0 && !overflow
	s.Min, s.Max, s.Sum = uint64(lo), uint64(hi), uint64(sum)
	if s.HasSum {
		setM2(s, d.Ints[:n], d.Nulls, float64(sum))
	}
	s.First, s.Last = uint64(d.Ints[0]), uint64(d.Ints[n-1])
}

func boolStats(s *Stats, d *Data, n int) {
	bit := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	lo, hi := uint64(1), uint64(0)
	for i, v := range d.Bools[:n] {
		if d.Nulls == nil || !d.Nulls[i] {
			lo, hi = min(lo, bit(v)), max(hi, bit(v))
		}
	}
	s.HasRange = s.NonNull > 0
	s.Min, s.Max = lo, hi
	s.First, s.Last = bit(d.Bools[0]), bit(d.Bools[n-1])
}

// decimalStats is statistics of integers, or of doubles that are integers / 10^exponent: exact,
// and small when stored.
type decimalStats struct {
	ok          bool // the rest is set
	exponent    int
	n           int64 // values
	min, max    int64
	first, last int64
	sum         int64  // of distances from min
	squares     uint64 // of these distances
}

// decimalLimit bounds the integers: their differences, and sums of a block, fit 64 bits.
const decimalLimit = 1 << 50

// decimalsOf computes the statistics of values that are not null, in the order of rows.
func decimalsOf(vals []int64, exponent int) decimalStats {
	d := decimalStats{exponent: exponent, n: int64(len(vals)), min: vals[0], max: vals[0], first: vals[0], last: vals[len(vals)-1]}
	for _, v := range vals {
		d.min, d.max = min(d.min, v), max(d.max, v)
	}
	if d.min <= -decimalLimit || d.max >= decimalLimit || d.max-d.min >= 1<<25 {
		return decimalStats{}
	}
	base := d.min
	for _, v := range vals {
		v -= base
		d.sum += v
		d.squares += uint64(v * v)
	}
	d.ok = true
	return d
}

// scale changes the exponent to a greater one, if the numbers allow.
func (d *decimalStats) scale(exponent int) {
	for d.ok && d.exponent < exponent {
		if d.min <= -decimalLimit/10 || d.max >= decimalLimit/10 || d.max-d.min >= 1<<25/10 {
			d.ok = false
			return
		}
		d.exponent++
		d.min, d.max, d.first, d.last, d.sum, d.squares = 10*d.min, 10*d.max, 10*d.first, 10*d.last, 10*d.sum, 100*d.squares
	}
}

// m2 is exact but for its rounding: the difference is taken of 128 bits.
func (d *decimalStats) m2() float64 {
	high, low := bits.Mul64(uint64(d.n), d.squares)
	high2, low2 := bits.Mul64(uint64(d.sum), uint64(d.sum))
	low, borrow := bits.Sub64(low, low2, 0)
	high, _ = bits.Sub64(high, high2, borrow)
	p := codec.Pow10(d.exponent)
	return (float64(high)*(1<<64) + float64(low)) / float64(d.n) / p / p
}

// apply sets the fields of s, whose flags are set.
func (d *decimalStats) apply(s *Stats, kind vec.Kind) {
	value := func(v int64) uint64 {
		if kind == vec.Double {
			return math.Float64bits(float64(v) / codec.Pow10(d.exponent))
		}
		return uint64(v)
	}
	s.Min, s.Max, s.Sum = value(d.min), value(d.max), value(d.sum+d.n*d.min)
	s.First, s.Last = value(d.first), value(d.last)
	s.M2 = d.m2()
}

const (
	flagRange = 1 << iota
	flagSum
	flagFirstNull
	flagLastNull
	flagM2
	flagDecimal // stored as decimalStats
)

func flagsOf(s *Stats) (f uint8) {
	for i, set := range []bool{s.HasRange, s.HasSum, s.FirstNull, s.LastNull, s.HasM2} {
		if set {
			f |= 1 << i
		}
	}
	return f
}

func setFlags(s *Stats, f uint8) {
	s.HasRange, s.HasSum, s.HasM2 = f&flagRange != 0, f&flagSum != 0, f&flagM2 != 0
	s.FirstNull, s.LastNull = f&flagFirstNull != 0, f&flagLastNull != 0
}

// statFields are the values of a Stats as bits, in the order of the file.
var statFields = []func(*Stats) *uint64{
	func(s *Stats) *uint64 { return &s.Min },
	func(s *Stats) *uint64 { return &s.Max },
	func(s *Stats) *uint64 { return &s.Sum },
	func(s *Stats) *uint64 { return &s.First },
	func(s *Stats) *uint64 { return &s.Last },
}

// decimalFields are what is stored of decimalStats: small numbers, because neighbouring
// blocks are alike and a block's values are near each other.
func (d *decimalStats) fields() [6]int64 {
	return [...]int64{d.first, d.first - d.min, d.max - d.first, d.last - d.min, d.sum, int64(d.squares)}
}

func (d *decimalStats) setFields(f [6]int64) {
	d.first, d.min, d.max, d.sum, d.squares = f[0], f[0]-f[1], f[0]+f[2], f[4], uint64(f[5])
	d.last = d.min + f[3]
}

// appendStats writes the statistics of one column, block by block: non-null values,
// flags, the greatest exponent, the fields of decimal ones, and bits and M2 of the others.
func appendStats(b []byte, kind vec.Kind, chunks []*chunk, decimals []*decimalStats, e *codec.Encoder) []byte {
	n := len(chunks)
	nonNull, flags := make([]int64, n), make([]int64, n)
	exponent := 0
	for _, d := range decimals {
		if d.ok {
			exponent = max(exponent, d.exponent)
		}
	}
	var fields [6][]int64
	var others []*Stats
	for i, ch := range chunks {
		nonNull[i], flags[i] = int64(ch.stats.NonNull), int64(flagsOf(&ch.stats))
		d := decimals[i]
		if d.scale(exponent); !d.ok {
			others = append(others, &ch.stats)
			continue
		}
		flags[i] |= flagDecimal
		for k, v := range d.fields() {
			fields[k] = append(fields[k], v)
		}
	}
	b = appendList(b, nonNull, e)
	b = appendList(b, flags, e)
	b = append(b, byte(exponent))
	for _, list := range fields {
		b = appendList(b, list, e)
	}
	for _, f := range statFields {
		bits := make([]int64, len(others))
		for i, s := range others {
			bits[i] = int64(*f(s))
		}
		if kind != vec.Double {
			b = appendList(b, bits, e)
			continue
		}
		b = codec.AppendFloats(b, asFloats(bits))
	}
	m2 := make([]float64, len(others))
	for i, s := range others {
		m2[i] = s.M2
	}
	return codec.AppendFloats(b, m2)
}

// listBlock is how many numbers of a list of the index make an encoded block.
const listBlock = 1024

func appendList(b []byte, list []int64, e *codec.Encoder) []byte {
	for len(list) > listBlock {
		b = e.Ints(b, list[:listBlock])
		list = list[listBlock:]
	}
	return e.Ints(b, list)
}

// takeList fills list and returns what follows it.
func takeList(list []int64, b []byte, d *codec.Decoder) (rest []byte, err error) {
	for len(list) > listBlock {
		if b, err = d.Ints(list[:listBlock], b); err != nil {
			return nil, err
		}
		list = list[listBlock:]
	}
	return d.Ints(list, b)
}

func asFloats(bits []int64) []float64 {
	floats := make([]float64, len(bits))
	for i, v := range bits {
		floats[i] = math.Float64frombits(uint64(v))
	}
	return floats
}

// parseStats is the reverse of appendStats; it sets the statistics of chunks 0, step, 2*step, …
func parseStats(b []byte, kind vec.Kind, chunks []chunk, step int, decoder *codec.Decoder) ([]byte, error) {
	n := (len(chunks) + step - 1) / step
	var err error
	ints := func(count int) []int64 {
		out := make([]int64, count)
		if err == nil {
			b, err = takeList(out, b, decoder)
		}
		return out
	}
	nonNull, flags := ints(n), ints(n)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] > maxExponent {
		return nil, fmt.Errorf("statistics with an exponent out of range")
	}
	exponent := int(b[0])
	b = b[1:]
	decimals := 0
	for i := range n {
		s := &chunks[i*step].stats
		if nonNull[i] < 0 || nonNull[i] > MaxBlockRows {
			return nil, fmt.Errorf("a block with %d values", nonNull[i])
		}
		s.NonNull = int32(nonNull[i])
		setFlags(s, uint8(flags[i]))
		if flags[i]&flagDecimal != 0 {
			if s.NonNull == 0 {
				return nil, fmt.Errorf("statistics of no value")
			}
			decimals++
		}
	}
	var fields [6][]int64
	for k := range fields {
		fields[k] = ints(decimals)
	}
	others := n - decimals
	var bits [5][]int64
	var d codec.Decoder
	floats := make([]float64, others)
	for k := range bits {
		if kind != vec.Double {
			bits[k] = ints(others)
			continue
		}
		bits[k] = make([]int64, others)
		if err == nil {
			b, err = d.Floats(floats, b)
		}
		for i, v := range floats {
			bits[k][i] = int64(math.Float64bits(v))
		}
	}
	if err == nil {
		b, err = d.Floats(floats, b)
	}
	if err != nil {
		return nil, err
	}
	at, other := 0, 0
	for i := range n {
		s := &chunks[i*step].stats
		if flags[i]&flagDecimal != 0 {
			var f [6]int64
			for k := range f {
				f[k] = fields[k][at]
			}
			at++
			ds := decimalStats{exponent: exponent, n: int64(s.NonNull)}
			ds.setFields(f)
			ds.apply(s, kind)
			continue
		}
		for k, field := range statFields {
			*field(s) = uint64(bits[k][other])
		}
		s.M2 = floats[other]
		other++
	}
	return b, nil
}

// parseStatsV1 reads the statistics of version 1.
func parseStatsV1(b []byte, kind vec.Kind, chunks []chunk, step int) ([]byte, error) {
	n := (len(chunks) + step - 1) / step
	ints, floats := make([]int64, n), make([]float64, n)
	var d codec.Decoder
	next := func() (err error) {
		b, err = codec.DecodeInts(ints, b)
		return err
	}
	if err := next(); err != nil {
		return nil, err
	}
	for i := range n {
		chunks[i*step].stats.NonNull = int32(ints[i])
	}
	if err := next(); err != nil {
		return nil, err
	}
	for i := range n {
		setFlags(&chunks[i*step].stats, uint8(ints[i])&^flagM2)
	}
	for _, field := range statFields {
		if kind == vec.Double {
			rest, err := d.Floats(floats, b)
			if err != nil {
				return nil, err
			}
			b = rest
			for i := range n {
				ints[i] = int64(math.Float64bits(floats[i]))
			}
		} else if err := next(); err != nil {
			return nil, err
		}
		for i := range n {
			*field(&chunks[i*step].stats) = uint64(ints[i])
		}
	}
	return b, nil
}

// maxExponent is the greatest of a block of decimals.
const maxExponent = 15
