package segment

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// shape is a day of a table: few long series, or many short ones.
type shape struct{ series, rows int }

var shapes = []shape{{100, 8640}, {40_000, 24}}

var benchColumns = []storage.Column{
	{Name: "temperature", Type: vec.DoubleType, Role: storage.Attribute},
	{Name: "humidity", Type: vec.DoubleType, Role: storage.Attribute},
	{Name: "battery", Type: vec.DoubleType, Role: storage.Attribute},
}

func (s shape) String() string { return fmt.Sprintf("series=%d/rows=%d", s.series, s.rows) }

func (s shape) write(b *testing.B, out io.Writer) int64 {
	r := rand.New(rand.NewPCG(1, 2))
	w := NewWriter(out, benchColumns)
	times := make([]int64, s.rows)
	data := make([]Data, len(benchColumns))
	for c := range data {
		data[c].Floats = make([]float64, s.rows)
		v := 20.0
		for i := range s.rows {
			v += r.NormFloat64() * 0.05
			data[c].Floats[i] = math.Round(v*100) / 100
		}
	}
	for i := range times {
		times[i] = 1_700_000_000_000_000_000 + int64(i)*86_400e9/int64(s.rows)
	}
	for k := range s.series {
		name := Series{Measure: "reading", Dims: []storage.Dim{{Name: "device", Value: fmt.Sprintf("device-%06d", k)}, {Name: "site", Value: fmt.Sprint("site-", k%20)}}}
		if err := w.Add(name, times, nil, data); err != nil {
			b.Fatal(err)
		}
	}
	size, err := w.Finish()
	if err != nil {
		b.Fatal(err)
	}
	return size
}

func BenchmarkWrite(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.String(), func(b *testing.B) {
			var size int64
			for b.Loop() {
				size = s.write(b, io.Discard)
			}
			s.report(b, size)
		})
	}
}

func (s shape) report(b *testing.B, size int64) {
	rows := float64(s.series) * float64(s.rows)
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(size)/rows, "B/row")
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.String(), func(b *testing.B) {
			store := stored(b, s)
			for b.Loop() {
				r, err := Open(b.Context(), store, "s", nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.EachSeries(func(int, SeriesInfo) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func stored(b *testing.B, s shape) objstore.Store {
	var file bytes.Buffer
	s.write(b, &file)
	store := objstore.NewMem()
	if err := store.Put(b.Context(), "s", &file); err != nil {
		b.Fatal(err)
	}
	return store
}

// BenchmarkRead reads times and one column of every block.
func BenchmarkRead(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.String(), func(b *testing.B) {
			r, err := Open(b.Context(), stored(b, s), "s", nil)
			if err != nil {
				b.Fatal(err)
			}
			var times []int64
			var d Data
			for b.Loop() {
				for i := range r.NumBlocks() {
					if times, err = r.Times(i, times); err != nil {
						b.Fatal(err)
					}
					if err = r.Column(i, 0, &d); err != nil {
						b.Fatal(err)
					}
				}
			}
			s.report(b, r.SizeBytes())
		})
	}
}
