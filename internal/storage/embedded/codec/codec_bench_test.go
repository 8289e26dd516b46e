package codec

import (
	"math"
	"math/rand/v2"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	walk := make([]float64, 1024)
	v := 20.0
	for i := range walk {
		v += r.NormFloat64() * 0.05
		walk[i] = math.Round(v*100) / 100
	}
	whole := make([]float64, 1024)
	for i := range whole {
		whole[i] = float64(r.IntN(100))
	}
	times := series(1024, func(r *rand.Rand, i int) int64 { return 1_700_000_000_000_000_000 + int64(i)*10e9 + r.Int64N(5e6) })
	var d FloatDecoder
	for _, c := range []struct {
		name string
		vals []float64
	}{{"two decimals", walk}, {"whole numbers", whole}} {
		b.Run(c.name, func(b *testing.B) {
			src := AppendFloats(nil, c.vals, nil)
			dst := make([]float64, len(c.vals))
			for b.Loop() {
				d.Decode(dst, src)
			}
			b.ReportMetric(float64(len(src))/1024, "B/value")
			b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
	b.Run("timestamps with jitter", func(b *testing.B) {
		src := AppendInts(nil, times)
		dst := make([]int64, len(times))
		for b.Loop() {
			DecodeInts(dst, src)
		}
		b.ReportMetric(float64(len(src))/1024, "B/value")
		b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
	})
}

func BenchmarkEncode(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	walk := make([]float64, 1024)
	v := 20.0
	for i := range walk {
		v += r.NormFloat64() * 0.05
		walk[i] = math.Round(v*100) / 100
	}
	var hint FloatHint
	var dst []byte
	for b.Loop() {
		dst = AppendFloats(dst[:0], walk, &hint)
	}
	b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}
