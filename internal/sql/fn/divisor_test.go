package fn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

func TestDivisorDividesLikeDivision(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 9))
	divisors := []int64{2, 3, 5, 7, 10, 12, 60, 1000, 1 << 31, 1<<31 + 1, vec.Minute, vec.Day, vec.Week, 1 << 62, 1<<62 + 1, math.MaxInt64 - 1, math.MaxInt64}
	for range 2000 {
		if d := int64(r.Uint64() >> (1 + r.UintN(61))); d > 1 {
			divisors = append(divisors, d)
		}
	}
	for _, d := range divisors {
		v := divisorOf(d)
		check := func(x int64) {
			if got, want := v.truncated(x), x/d; got != want {
				t.Fatalf("truncated %d / %d = %d, want %d", x, d, got, want)
			}
			if got, want := v.floor(x), vec.FloorDiv(x, d); got != want {
				t.Fatalf("floor %d / %d = %d, want %d", x, d, got, want)
			}
		}
		for _, x := range []int64{0, 1, -1, d, d - 1, d + 1, -d, 1 - d, -d - 1, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1, math.MaxInt64 / d * d, math.MaxInt64/d*d - 1, math.MinInt64 / d * d, math.MinInt64/d*d + 1} {
			check(x)
		}
		for range 50 {
			check(int64(r.Uint64()) >> r.UintN(64))
		}
	}
}
