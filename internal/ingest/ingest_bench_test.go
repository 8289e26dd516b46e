package ingest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/storage"
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

func sinkService(tb testing.TB) *Service {
	c, err := catalog.Open(tb.Context(), catalog.Options{Backend: sink{}})
	if err == nil {
		_, err = c.CreateDatabase(tb.Context(), "db", "", nil)
	}
	if err == nil {
		_, err = c.CreateTable(tb.Context(), catalog.NewTable{Database: "db", Name: "t"})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return New(Options{Catalog: c})
}

// typical is a request of records with a number of double measures each.
func typical(records, measures int) *Request {
	req := &Request{Database: "db", Table: "t"}
	req.Common.Dimensions = []Dimension{{Name: "region", Value: "eu-west-1"}}
	for i := range records {
		r := Record{
			Dimensions:  []Dimension{{Name: "device_id", Value: fmt.Sprintf("device-%04d", i)}, {Name: "location", Value: "hall-3"}},
			MeasureName: "metrics", Type: Multi, Time: "1772600767890",
		}
		for j := range measures {
			r.MeasureValues = append(r.MeasureValues, MeasureValue{Name: strings.Clone(fmt.Sprintf("measure_%d", j)), Value: fmt.Sprintf("%d.%03d", 20+i, j*37), Type: Double})
		}
		req.Records = append(req.Records, r)
	}
	return req
}

func TestARecordCostsNoAllocationOnceWarm(t *testing.T) {
	s, req := sinkService(t), typical(100, 10)
	ctx := context.Background()
	write := func() {
		if _, err := s.Write(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	write()
	// The pool may be emptied meanwhile, and is at random under the race detector; a
	// builder made anew costs a handful.
	if n := testing.AllocsPerRun(50, write); n > 20 {
		t.Errorf("%v allocations per request of 100 records", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, measures := range []int{1, 10} {
		b.Run(fmt.Sprintf("records=100/measures=%d", measures), func(b *testing.B) {
			s, req := sinkService(b), typical(100, measures)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Write(ctx, req); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "records/s")
		})
	}
}
