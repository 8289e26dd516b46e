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
