package codec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// floatShapes and intShapes are blocks as devices fill them.
func floatShapes() map[string][]float64 {
	r := rand.New(rand.NewPCG(1, 2))
	shapes := map[string][]float64{}
	walk, v := make([]float64, 1024), 20.0
	whole, full := make([]float64, 1024), make([]float64, 1024)
	for i := range walk {
		v += r.NormFloat64() * 0.05
		walk[i] = math.Round(v*100) / 100
		whole[i] = float64(r.IntN(100))
		full[i] = v
	}
	load, battery := make([]float64, 1024), make([]float64, 1024)
	l, left := 50.0, 90.0
	for i := range load {
		l = min(100, max(0, math.Round(l+r.NormFloat64())))
		left -= 0.02 * r.Float64()
		load[i], battery[i] = l, math.Round(left*10)/10
	}
	shapes["load"], shapes["battery"] = load, battery
	shapes["two-decimals"], shapes["whole-numbers"], shapes["full-precision"] = walk, whole, full
	return shapes
}

// coded returns a block with prefix codes, and its decoder.
func coded(vals []float64) ([]byte, *Decoder) {
	var e Encoder
	b := e.Floats(nil, vals)
	tables, _, err := ParseTables(e.AppendTables(nil))
	if err != nil {
		panic(err)
	}
	return b, &Decoder{Tables: tables}
}

func intShapes() map[string][]int64 {
	const day = 1_700_000_000_000_000_000
	total := int64(0)
	return map[string][]int64{
		"times-regular": series(1024, func(_ *rand.Rand, i int) int64 { return day + int64(i)*10e9 }),
		"times-jitter":  series(1024, func(r *rand.Rand, i int) int64 { return day + int64(i)*10e9 + r.Int64N(5e6) }),
		"times-gaps":    series(1024, func(r *rand.Rand, i int) int64 { return day + int64(i)*10e9 + int64(i/100)*3600e9 }),
		"counter":       series(1024, func(r *rand.Rand, _ int) int64 { total += r.Int64N(100_000); return total }),
	}
}

func report(b *testing.B, encoded []byte) {
	b.ReportMetric(float64(len(encoded))/1024, "B/value")
	b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}

func BenchmarkDecode(b *testing.B) {
	for name, vals := range floatShapes() {
		b.Run("shape="+name, func(b *testing.B) {
			src, d := coded(vals)
			dst := make([]float64, len(vals))
			for b.Loop() {
				d.Floats(dst, src)
			}
			report(b, src)
		})
		b.Run("plain/shape="+name, func(b *testing.B) {
			var d Decoder
			src, dst := AppendFloats(nil, vals), make([]float64, len(vals))
			for b.Loop() {
				d.Floats(dst, src)
			}
			report(b, src)
		})
	}
	for name, vals := range intShapes() {
		b.Run("shape="+name, func(b *testing.B) {
			src, dst := AppendInts(nil, vals), make([]int64, len(vals))
			for b.Loop() {
				DecodeInts(dst, src)
			}
			report(b, src)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, vals := range floatShapes() {
		b.Run("shape="+name, func(b *testing.B) {
			var e Encoder
			var dst []byte
			for b.Loop() {
				dst = e.Floats(dst[:0], vals)
			}
			report(b, dst)
		})
	}
	for name, vals := range intShapes() {
		b.Run("shape="+name, func(b *testing.B) {
			var dst []byte
			for b.Loop() {
				dst = AppendInts(dst[:0], vals)
			}
			report(b, dst)
		})
	}
}
