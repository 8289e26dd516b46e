package timestream

import (
	"fmt"
	"testing"

	"github.com/weir-db/weir/internal/ingest"
)

func TestDecodeDoesNotAllocateOnceWarm(t *testing.T) {
	b := body(100, 10, true)
	d := new(decoder)
	decode := func() {
		if _, err := d.decode(b, ingest.Limits{Records: 100, Measures: 256}); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(20, decode); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, measures := range []int{1, 10} {
		for _, blanks := range []bool{false, true} {
			b.Run(fmt.Sprintf("records=100/measures=%d/blanks=%v", measures, blanks), func(b *testing.B) {
				text := body(100, measures, blanks)
				d := new(decoder)
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.decode(text, ingest.Limits{Records: 100, Measures: 256}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDecodeManyLists decodes requests of devices of which there are more than lists are kept of.
func BenchmarkDecodeManyLists(b *testing.B) {
	const requests, records = 400, 100
	var bodies [][]byte
	for i := range requests {
		text := []byte(`{"DatabaseName":"db","TableName":"t","CommonAttributes":{"MeasureName":"m","MeasureValueType":"MULTI"},"Records":[`)
		for k := range records {
			if k > 0 {
				text = append(text, ',')
			}
			n := i*records + k
			text = fmt.Appendf(text, `{"Dimensions":[{"Name":"device_id","Value":"device-%07d"},{"Name":"location","Value":"site-%02d"}],"MeasureValues":[{"Name":"temperature","Value":"%d.25","Type":"DOUBLE"}],"Time":"1772600%06d"}`, n, n%20, n%40, n)
		}
		bodies = append(bodies, append(text, `]}`...))
	}
	d := new(decoder)
	b.ReportAllocs()
	for b.Loop() {
		for _, text := range bodies {
			if _, err := d.decode(text, ingest.Limits{Records: records, Measures: 256}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/requests/records, "ns/record")
}
