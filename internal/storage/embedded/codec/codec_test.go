package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func roundInts(t testing.TB, vals []int64) []byte {
	t.Helper()
	b := AppendInts([]byte("x"), vals)[1:]
	got := make([]int64, len(vals))
	rest, err := DecodeInts(got, append(slices.Clone(b), "rest"...))
	if err != nil || string(rest) != "rest" || !slices.Equal(got, vals) {
		t.Fatalf("got %v, rest %q, %v; want %v", got, rest, err, vals)
	}
	return b
}

func roundFloats(t testing.TB, vals []float64) []byte {
	t.Helper()
	b := AppendFloats(nil, vals)
	got := make([]float64, len(vals))
	var d Decoder
	rest, err := d.Floats(got, append(slices.Clone(b), "rest"...))
	if err != nil || string(rest) != "rest" {
		t.Fatalf("rest %q, %v", rest, err)
	}
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(vals[i]) {
			t.Fatalf("value %d: got %v, want %v", i, got[i], vals[i])
		}
	}
	return b
}

// roundCoded encodes blocks of one column with prefix codes and returns their sizes.
func roundCoded(t testing.TB, blocks ...[]int64) []int {
	t.Helper()
	var e Encoder
	var sizes []int
	var all []byte
	for _, vals := range blocks {
		before := len(all)
		all = e.Ints(all, vals)
		sizes = append(sizes, len(all)-before)
	}
	tables, rest, err := ParseTables(e.AppendTables(nil))
	if err != nil || len(rest) > 0 {
		t.Fatalf("tables: rest %q, %v", rest, err)
	}
	d := Decoder{Tables: tables}
	for _, vals := range blocks {
		got := make([]int64, len(vals))
		if all, err = d.Ints(got, all); err != nil || !slices.Equal(got, vals) {
			t.Fatalf("got %v, %v; want %v", got, err, vals)
		}
	}
	if len(all) > 0 {
		t.Fatalf("%d bytes are left", len(all))
	}
	return sizes
}

func series(n int, f func(r *rand.Rand, i int) int64) []int64 {
	r := rand.New(rand.NewPCG(1, 2))
	vals := make([]int64, n)
	for i := range vals {
		vals[i] = f(r, i)
	}
	return vals
}

func TestIntegersComeBackAndAreSmall(t *testing.T) {
	check := func(what string, vals []int64, most int) {
		t.Helper()
		if b := roundInts(t, vals); len(b) > most {
			t.Errorf("%s: %d bytes for %d values, at most %d wanted", what, len(b), len(vals), most)
		}
	}
	const day = 1_700_000_000_000_000_000
	check("one", []int64{-5}, 4)
	check("constant", slices.Repeat([]int64{7}, 1024), 4)
	check("regular timestamps", series(1024, func(_ *rand.Rand, i int) int64 { return day + int64(i)*10e9 }), 24)
	check("timestamps with gaps", series(1024, func(r *rand.Rand, i int) int64 { return day + int64(i)*10e9 + int64(i/100)*3600e9 }), 160)
	check("timestamps with 5 ms jitter", series(1024, func(r *rand.Rand, i int) int64 { return day + int64(i)*10e9 + r.Int64N(5e6)*1000/1000 }), 1024*23/8+64)
	check("small numbers", series(1024, func(r *rand.Rand, _ int) int64 { return r.Int64N(100) }), 1024*7/8+16)
	check("extremes", []int64{math.MaxInt64, math.MinInt64, 0, -1, math.MaxInt64}, 56)
	// An outlier at either end costs itself, not the width of all others.
	outliers := series(1024, func(r *rand.Rand, i int) int64 { return int64(i)*10 + r.Int64N(8) })
	for _, i := range []int{100, 300, 500} {
		outliers[i] -= 1 << 40
	}
	check("values with outliers", outliers, 1024*5/8+96)
}

// TestNumbersSpreadEvenlyHaveNoPrefixCode: it would save next to nothing, and decoding takes twice as long with it.
func TestNumbersSpreadEvenlyHaveNoPrefixCode(t *testing.T) {
	check := func(below int64, want string) {
		t.Helper()
		var e Encoder
		b := e.Ints(nil, series(1024, func(r *rand.Rand, _ int) int64 { return r.Int64N(below) }))
		if got := DescribeInts(b); got != want {
			t.Errorf("numbers below %d are stored as %s, want %s", below, got, want)
		}
	}
	check(1000, "frame")
	check(1_000_000, "frame")
	check(1e15, "frame")
	check(700, "coded values + 6 bits, code 0") // of 10 bits a twentieth
}

// TestPrefixCodesComeNearTheEntropy: of blocks after the first, which pays for the code.
func TestPrefixCodesComeNearTheEntropy(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	walk := func(sigma float64, drift int64) []int64 {
		v := r.Int64N(1000)
		vals := make([]int64, 1024)
		for i := range vals {
			v += drift + int64(math.Round(r.NormFloat64()*sigma))
			vals[i] = v
		}
		return vals
	}
	check := func(what string, perValue float64, block func() []int64) {
		t.Helper()
		sizes := roundCoded(t, block(), block(), block())
		if got := float64(sizes[2]) / 1024; got > perValue {
			t.Errorf("%s: %.3f bytes a value, at most %.3f wanted", what, got, perValue)
		}
	}
	check("walk of unit steps", 0.295, func() []int64 { return walk(1, 0) })
	check("walk of steps of 5", 0.57, func() []int64 { return walk(5, 0) })
	check("walk of steps of 5000", 1.85, func() []int64 { return walk(5000, 0) })
	check("a counter", 1.0, func() []int64 { return walk(50, 100_000) })
	check("noise", 0.58, func() []int64 {
		return series(1024, func(*rand.Rand, int) int64 { return 700 + int64(r.NormFloat64()*5) })
	})
	check("seldom a change", 0.09, func() []int64 {
		v := int64(900)
		return series(1024, func(*rand.Rand, int) int64 {
			if r.IntN(10) == 0 {
				v--
			}
			return v
		})
	})
	// Outliers are exceptions.
	check("walk with outliers", 0.4, func() []int64 {
		vals := walk(1, 0)
		for _, i := range []int{1, 511, 512, 1023} {
			vals[i] = math.MaxInt64 - int64(i)
		}
		return vals
	})
}

func TestEveryCountOfCodedValuesComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := 1; n < 2*maxHalf+3; n += 1 + n/16 {
		v := int64(math.MaxInt64 - 50) // differences wrap around
		vals := make([]int64, n)
		for i := range vals {
			v += int64(r.NormFloat64() * 3)
			vals[i] = v
		}
		roundCoded(t, vals, vals[:1+r.IntN(n)])
	}
}

// TestCodedBlocksAreChecked: each cut and each damaged byte is an error or other values,
// never a panic.
func TestCodedBlocksAreChecked(t *testing.T) {
	vals := floatShapes()["load"]
	b, d := coded(vals)
	got := make([]float64, len(vals))
	for i := range b {
		if _, err := d.Floats(got, b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at byte %d of %d: %v", i, len(b), err)
		}
		bad := slices.Clone(b)
		bad[i] ^= 0xff
		d.Floats(got, bad)
	}
	if _, err := new(Decoder).Floats(got, b); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("without tables: %v", err)
	}
	var e Encoder
	e.Floats(nil, vals)
	tables := e.AppendTables(nil)
	for i := range tables {
		bad := slices.Clone(tables)
		bad[i]++
		if _, _, err := ParseTables(bad); err == nil {
			t.Fatalf("tables with byte %d changed are taken", i)
		}
	}
}

func TestEveryWidthAndCountComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 7, 8, 9, 131, 511, 512, 513, 1024, 1027, 1536} {
		for width := range 65 {
			vals := make([]uint64, n)
			want := make([]int64, n)
			base := r.Int64()
			for i := range vals {
				vals[i] = r.Uint64() >> 1 >> (63 - max(width-1, 0))
				if width == 0 {
					vals[i] = 0
				} else if width == 64 {
					vals[i] = r.Uint64()
				}
				want[i] = int64(vals[i]) + base
			}
			b := appendPacked(nil, vals, width)
			if len(b) != packedBytes(n, width) {
				t.Fatalf("%d values of %d bits take %d bytes, want %d", n, width, len(b), packedBytes(n, width))
			}
			got := make([]int64, n)
			rest, err := unpack(got, append(b, '!'), width, base)
			if err != nil || string(rest) != "!" || !slices.Equal(got, want) {
				t.Fatalf("%d values of %d bits: rest %q, %v", n, width, rest, err)
			}
			if n > 1 && width > 0 {
				if _, err := unpack(got, b[:len(b)-1], width, 0); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%d values of %d bits, cut short: %v", n, width, err)
				}
			}
			roundInts(t, want)
		}
	}
}

// TestTheLayoutOfBlocksStays: files with these bytes exist.
func TestTheLayoutOfBlocksStays(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var all []byte
	for width := range 65 {
		for _, n := range []int{5, 512, 1100} {
			vals := make([]int64, n)
			for i := range vals {
				if vals[i] = int64(r.Uint64()); width < 64 {
					vals[i] &= 1<<width - 1
				}
			}
			all = AppendInts(all, vals)
		}
	}
	for _, name := range []string{"times-regular", "times-jitter", "times-gaps", "counter"} {
		all = AppendInts(all, intShapes()[name])
	}
	decimals, full := make([]float64, 1024), make([]float64, 1024)
	for i := range decimals {
		decimals[i], full[i] = float64(r.IntN(10_000))/100, math.Float64frombits(r.Uint64())
	}
	decimals[77] = math.NaN()
	all = AppendFloats(AppendFloats(all, decimals), full)
	if got, want := crc32.ChecksumIEEE(all), uint32(0x7589ca92); got != want {
		t.Errorf("%d bytes with checksum %#08x, want %#08x: a change needs new form numbers", len(all), got, want)
	}
}

func TestDoublesComeBackToTheBitAndDecimalsAreSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	walk := func(n int, decimals, sigma float64) []float64 {
		vals := make([]float64, n)
		v := 20.0
		for i := range vals {
			v += r.NormFloat64() * sigma
			vals[i] = math.Round(v*decimals) / decimals
		}
		return vals
	}
	check := func(what string, vals []float64, perValue float64) {
		t.Helper()
		if got := float64(len(roundFloats(t, vals))) / float64(len(vals)); got > perValue {
			t.Errorf("%s: %.2f bytes a value, at most %.2f wanted", what, got, perValue)
		}
	}
	check("two decimals", walk(1024, 100, 0.05), 0.7)
	check("one decimal", walk(1024, 10, 0.2), 0.7)
	check("whole numbers", walk(1024, 1, 1), 0.6)
	full := make([]float64, 1024)
	for i := range full {
		full[i] = r.Float64()
	}
	check("full precision", full, 8.01)
	special := walk(1024, 100, 0.05)
	for i, v := range []float64{math.NaN(), math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.Float64frombits(0x7ff8000000000001)} {
		special[i*100+3] = v
	}
	check("decimals with exceptions", special, 0.85)
	whole := walk(1024, 1, 1)
	for i, v := range []float64{math.NaN(), math.Copysign(0, -1), math.Inf(1), 1<<51 - 1, 1 << 51, -1 << 51, 1<<53 - 1, 1 << 53, -1 << 63, 1 << 63, 0.5} {
		whole[i*90+3] = v
	}
	check("whole numbers with exceptions", whole, 8.01)
	roundFloats(t, []float64{math.NaN(), math.NaN()})
	roundFloats(t, []float64{0, math.Copysign(0, -1)})
	roundFloats(t, []float64{1e300, 1e-300, 0.1})
}

func TestBooleansAndStringsComeBack(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, 1000} {
		vals := make([]bool, n)
		for i := range vals {
			vals[i] = i%3 == 0
		}
		got := make([]bool, n)
		if rest, err := DecodeBools(got, AppendBools(nil, vals)); err != nil || len(rest) != 0 || !slices.Equal(got, vals) {
			t.Fatalf("n=%d: %v, %v", n, got, err)
		}
	}
	check := func(vals []string) {
		t.Helper()
		b := AppendStrings(nil, vals)
		dict, index, rest, err := DecodeStrings(len(vals), append(b, '!'))
		if err != nil || string(rest) != "!" {
			t.Fatalf("rest %q, %v", rest, err)
		}
		for i, want := range vals {
			got := ""
			if index == nil {
				got = dict[i]
			} else {
				got = dict[index[i]]
			}
			if got != want {
				t.Fatalf("string %d: got %q, want %q", i, got, want)
			}
		}
	}
	check([]string{""})
	check([]string{"a", "b", "a", "", "b"})
	check(strings.Fields(strings.Repeat("ok ok failed ok ", 256)))
	var distinct []string
	for i := range 500 {
		distinct = append(distinct, fmt.Sprintf("message number %d from somewhere", i))
	}
	check(distinct)
}

// FuzzDecode: garbage gives an error or values, never a panic.
func FuzzDecode(f *testing.F) {
	f.Add(AppendInts(nil, []int64{1, 2, 4, 8, 1000000}), 5)
	f.Add(AppendFloats(nil, []float64{1.5, 2.5, math.NaN(), 7, 7.25}), 5)
	f.Add(AppendStrings(nil, []string{"a", "b", "a", "a", "b"}), 5)
	f.Add(AppendStrings(nil, strings.Fields(strings.Repeat("abc def ghi ", 100))), 300)
	walk, d := coded(floatShapes()["load"])
	tables := d.Tables
	f.Add(walk, 1024)
	battery, _ := coded(floatShapes()["battery"])
	f.Add(battery[3:], 1024)
	f.Fuzz(func(t *testing.T, src []byte, n int) {
		ParseTables(src)
		if n < 0 || n > 2048 {
			return
		}
		d := Decoder{Tables: tables}
		_, e1 := d.Ints(make([]int64, n), src)
		_, e2 := d.Floats(make([]float64, n), src)
		_, e3 := DecodeBools(make([]bool, n), src)
		_, _, _, e4 := DecodeStrings(n, src)
		for _, err := range []error{e1, e2, e3, e4} {
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v does not wrap ErrCorrupt", err)
			}
		}
	})
}

// FuzzRoundTrip: whatever bits go in come out.
func FuzzRoundTrip(f *testing.F) {
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 9))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var ints []int64
		var floats []float64
		for ; len(raw) >= 8 && len(ints) < 2048; raw = raw[8:] {
			u := binary.LittleEndian.Uint64(raw)
			ints, floats = append(ints, int64(u)), append(floats, math.Float64frombits(u))
		}
		roundInts(t, ints)
		roundCoded(t, ints, ints)
		roundFloats(t, floats)
	})
}
