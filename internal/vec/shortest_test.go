package vec

import (
	"flag"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

var doubles = flag.Int("doubles", 100_000, "how many doubles of each kind are compared with strconv's text")

// TestFullDecimalsReadAsStrconvWritesThem compares averages, sums, fractions of powers of two, the neighbours of powers
// of ten and any bits.
func TestFullDecimalsReadAsStrconvWritesThem(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	kinds := map[string]func() float64{
		"averages":  func() float64 { return float64(r.Int64N(1e7)) / 100 / float64(1+r.IntN(1000)) },
		"roots":     func() float64 { return math.Sqrt(r.Float64() * 1e4) },
		"fractions": func() float64 { return float64(r.Int64N(1<<uint(1+r.IntN(53)))) / float64(uint64(1)<<uint(r.IntN(63))) },
		"neighbours": func() float64 {
			f := math.Pow10(r.IntN(11)-3) * float64(1+r.IntN(9))
			return math.Float64frombits(math.Float64bits(f) + uint64(r.IntN(9)) - 4)
		},
		"bits": func() float64 {
			low, high := math.Float64bits(1e-3), math.Float64bits(1e7)
			return math.Float64frombits(low + r.Uint64N(high-low))
		},
	}
	for name, next := range kinds {
		taken := 0
		var got, want []byte
		for range *doubles {
			f := next()
			if f < 1e-3 || f >= 1e7 {
				continue
			}
			if r.IntN(2) == 0 {
				f = -f
			}
			ok := false
			if got, ok = appendFullDecimal(got[:0], f); !ok {
				continue
			}
			taken++
			want = strconv.AppendFloat(want[:0], f, 'f', -1, 64)
			if f == math.Trunc(f) {
				want = append(want, ".0"...)
			}
			if string(got) != string(want) {
				t.Fatalf("%s: %b is %s, want %s", name, f, got, want)
			}
		}
		if t.Logf("%s: %d of %d taken", name, taken, *doubles); taken < *doubles/100 {
			t.Errorf("%s: only %d of %d were compared", name, taken, *doubles)
		}
	}
}
