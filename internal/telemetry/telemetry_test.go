package telemetry_test

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/telemetry"
)

var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func TestBucketsSumWhatMinutesHold(t *testing.T) {
	t.Parallel()
	c := clock.Manual(start)
	r := telemetry.New(telemetry.Options{Now: c.Now})
	m := r.Metric("NS", "Latency", "Milliseconds", telemetry.Dim{Name: "B", Value: "2"}, telemetry.Dim{Name: "A", Value: "1"})
	for i := range 10 { // minutes 0 to 9 with values 1 to 10
		m.Observe(float64(i + 1))
		c.Advance(time.Minute)
	}
	got := m.Buckets(start, start.Add(10*time.Minute), 5*time.Minute)
	if len(got) != 2 {
		t.Fatalf("got %d buckets, want 2", len(got))
	}
	b := got[1]
	if !b.Start.Equal(start.Add(5*time.Minute)) || b.Count != 5 || b.Sum != 40 || b.Min != 6 || b.Max != 10 || b.Average() != 8 {
		t.Errorf("second bucket %+v", b)
	}
	if got := m.Buckets(start.Add(time.Minute), start.Add(3*time.Minute), time.Minute); len(got) != 2 || got[0].Sum != 2 {
		t.Errorf("the range is not half-open: %+v", got)
	}
	if r.Lookup("NS", "Latency", m.Dims...) != m || r.Lookup("NS", "Latency") != nil {
		t.Error("a metric is not found by its exact dimensions")
	}
}

func TestPercentilesAreWithinTheSketchsError(t *testing.T) {
	t.Parallel()
	r := telemetry.New(telemetry.Options{Now: clock.Manual(start).Now})
	m := r.Metric("NS", "L", "Milliseconds")
	for i := 1; i <= 10000; i++ {
		m.Observe(float64(i) / 100)
	}
	b := m.Buckets(start, start.Add(time.Minute), time.Minute)[0]
	for _, p := range []float64{10, 50, 90, 99, 99.9} {
		if got := b.Percentile(p); math.Abs(got-p)/p > 0.03 {
			t.Errorf("p%v = %v", p, got)
		}
	}
	if b.Percentile(100) != 100 || b.Percentile(0) < b.Min {
		t.Errorf("p100 = %v, p0 = %v", b.Percentile(100), b.Percentile(0))
	}
}

func TestAClockThatIsSetBackKeepsMinutesInOrder(t *testing.T) {
	t.Parallel()
	c := clock.Manual(start)
	r := telemetry.New(telemetry.Options{Now: c.Now})
	m := r.Metric("NS", "N", "Count")
	for _, d := range []time.Duration{10, 5, 10, 5, 7} {
		c.Set(start.Add(d * time.Minute))
		m.Observe(1)
	}
	got := m.Buckets(start, start.Add(time.Hour), time.Minute)
	if len(got) != 3 || got[0].Sum != 2 || got[1].Sum != 1 || got[2].Sum != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestOldMinutesAreRolledUpAndNothingIsLostForFifteenDays(t *testing.T) {
	t.Parallel()
	c := clock.Manual(start)
	r := telemetry.New(telemetry.Options{Now: c.Now})
	m := r.Metric("NS", "N", "Count")
	const minutes = 3 * 24 * 60
	for range minutes {
		m.Observe(1)
		c.Advance(time.Minute)
	}
	days := m.Buckets(start, start.Add(72*time.Hour), 24*time.Hour)
	if len(days) != 3 || days[0].Sum != 1440 || days[2].Sum != 1440 {
		t.Fatalf("got %+v", days)
	}
	if fine := m.Buckets(start.Add(71*time.Hour), start.Add(72*time.Hour), time.Minute); len(fine) != 60 {
		t.Errorf("the last hour has %d points, want 60", len(fine))
	}
	if coarse := m.Buckets(start, start.Add(time.Hour), time.Minute); len(coarse) != 12 {
		t.Errorf("the first hour has %d points, want 12", len(coarse))
	}
	c.Advance(16 * 24 * time.Hour)
	m.Observe(1)
	if old := m.Buckets(start, start.Add(72*time.Hour), time.Hour); len(old) != 0 {
		t.Errorf("points older than 15 days are still there: %d", len(old))
	}
}

func TestMemoryStaysUnderItsLimit(t *testing.T) {
	t.Parallel()
	c := clock.Manual(start)
	r := telemetry.New(telemetry.Options{Now: c.Now, MaxBytes: 64 << 10, MaxMetrics: 50})
	for minute := range 200 {
		for i := range 60 {
			r.Metric("NS", "N", "Count", telemetry.Dim{Name: "I", Value: fmt.Sprint(i)}).Observe(float64(minute))
		}
		c.Advance(time.Minute)
	}
	all := r.Metrics()
	if len(all) != 50 {
		t.Errorf("%d metrics, want 50", len(all))
	}
	points := 0
	for _, m := range all {
		points += len(m.Buckets(start, c.Now(), time.Minute))
	}
	if points == 0 || points > (64<<10)/64+50 {
		t.Errorf("%d points are kept", points)
	}
	if got := all[0].Buckets(c.Now().Add(-time.Minute), c.Now(), time.Minute); len(got) != 1 {
		t.Errorf("the newest minute is gone")
	}
}

func TestNonsenseIsIgnored(t *testing.T) {
	t.Parallel()
	r := telemetry.New(telemetry.Options{Now: clock.Manual(start).Now})
	m := r.Metric("NS", "N", "Count")
	m.Observe(math.NaN())
	m.Observe(math.Inf(1))
	m.ObserveN(start, 1, -1)
	m.ObserveN(start, 1, 0)
	if len(r.Metrics()) != 0 {
		t.Error("nonsense was recorded")
	}
}

func TestConcurrentUseLosesNothing(t *testing.T) {
	t.Parallel()
	c := clock.Manual(start)
	r := telemetry.New(telemetry.Options{Now: c.Now})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				r.Metric("NS", "N", "Count").Observe(1)
				r.Counter("c_total", "C.").Add(1)
				r.Histogram("h", "H.", telemetry.DurationBounds).Observe(0.5)
			}
		})
	}
	wg.Wait()
	if b := r.Metric("NS", "N", "Count").Buckets(start, start.Add(time.Minute), time.Minute); b[0].Sum != 8000 {
		t.Errorf("sum = %v", b[0].Sum)
	}
	if n := r.Counter("c_total", "C.").Value(); n != 8000 {
		t.Errorf("counter = %d", n)
	}
}

func TestPrometheusText(t *testing.T) {
	t.Parallel()
	r := telemetry.New(telemetry.Options{})
	r.Counter("a_total", "A.", "op", `x"\`+"\n").Add(3)
	r.Gauge("b", "B.").Set(1.5)
	r.GaugeFunc("c", "C.", func() float64 { return math.Inf(1) })
	h := r.Histogram("d_seconds", "D.", []float64{1, 2}, "l", "v")
	h.Observe(1)
	h.Observe(3)
	var b strings.Builder
	if err := r.WritePrometheus(&b); err != nil {
		t.Fatal(err)
	}
	const want = `# HELP a_total A.
# TYPE a_total counter
a_total{op="x\"\\\n"} 3
# HELP b B.
# TYPE b gauge
b 1.5
# HELP c C.
# TYPE c gauge
c +Inf
# HELP d_seconds D.
# TYPE d_seconds histogram
d_seconds_bucket{l="v",le="1"} 1
d_seconds_bucket{l="v",le="2"} 1
d_seconds_bucket{l="v",le="+Inf"} 2
d_seconds_sum{l="v"} 4
d_seconds_count{l="v"} 2
`
	if got := b.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	r := telemetry.New(telemetry.Options{})
	m := r.Metric("NS", "L", "Milliseconds")
	for i := range b.N {
		m.Observe(float64(i & 15))
	}
}
