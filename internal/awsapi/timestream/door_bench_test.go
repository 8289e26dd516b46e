package timestream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// sink is a backend whose tables take everything and keep nothing.
type sink struct{ storage.Backend }

func (sink) CreateTable(context.Context, storage.TableID, storage.Policy) error { return nil }
func (sink) Tables() []storage.TableID                                          { return nil }
func (sink) Table(storage.TableID) (storage.Table, error)                       { return drain{}, nil }

type drain struct{ storage.Table }

func (drain) Write(_ context.Context, rows *storage.Rows) (storage.Receipt, error) {
	return storage.Receipt{Memory: len(rows.Rows)}, nil
}

// BenchmarkWriteRecords is the call without HTTP and without a store: decode, check, type.
func BenchmarkWriteRecords(b *testing.B) {
	c, err := catalog.Open(b.Context(), catalog.Options{Backend: sink{}})
	if err == nil {
		_, err = c.CreateDatabase(b.Context(), "db", "", nil)
	}
	if err == nil {
		_, err = c.CreateTable(b.Context(), catalog.NewTable{Database: "db", Name: "t"})
	}
	if err != nil {
		b.Fatal(err)
	}
	s := &service{Options{Catalog: c, Ingest: ingest.New(ingest.Options{Catalog: c})}}
	for _, measures := range []int{1, 10} {
		b.Run(fmt.Sprintf("records=100/measures=%d", measures), func(b *testing.B) {
			call := &wire.Call{Body: body(100, measures, true)}
			b.SetBytes(int64(len(call.Body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.writeRecords(b.Context(), call); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkRows(b *testing.B) {
	const rows = 1000
	var times []int64
	var values []float64
	var index []int32
	for i := range rows {
		times = append(times, 1772600767890000000+int64(i)*60e9)
		values = append(values, float64(i)/8)
		index = append(index, int32(i%7))
	}
	device := vec.OfDict(index, vec.OfStrs([]string{"device-0", "device-1", "device-2", "device-3", "device-4", "device-5", "device-6"}, nil))
	columns := []*vec.Vector{device, vec.OfInts(vec.TimestampType, times, nil), vec.OfFloats(values, nil)}
	b.Run("one value", func(b *testing.B) { benchRows(b, &vec.Batch{Len: rows, Columns: columns}) })
	r := rand.New(rand.NewPCG(1, 1))
	measured := func(value func() float64) *vec.Batch {
		out := &vec.Batch{Len: rows, Columns: columns[1:2:2]}
		for d := range 10 {
			out.Columns = append(out.Columns, vec.Const(vec.Str(fmt.Sprint("dimension-", d)), rows))
		}
		for range 10 {
			list := make([]float64, rows)
			for i := range list {
				list[i] = value()
			}
			out.Columns = append(out.Columns, vec.OfFloats(list, nil))
		}
		return out
	}
	b.Run("ten percentages", func(b *testing.B) { benchRows(b, measured(func() float64 { return float64(r.IntN(101)) })) })
	b.Run("ten decimals", func(b *testing.B) { benchRows(b, measured(func() float64 { return float64(r.IntN(1e6)) / 100 })) })
	b.Run("ten averages", func(b *testing.B) { benchRows(b, measured(func() float64 { return float64(r.IntN(9000)) / 90 })) })
}

func benchRows(b *testing.B, batch *vec.Batch) {
	var dst []byte
	var ends []int
	b.ReportAllocs()
	for b.Loop() {
		dst, ends = AppendRows(dst[:0], batch, ends[:0])
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(float64(b.N*batch.Len)/b.Elapsed().Seconds(), "rows/s")
}
