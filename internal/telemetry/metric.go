package telemetry

import (
	"math"
	"slices"
	"sort"
	"sync"
	"time"
)

// Metric is one CloudWatch metric; see [Registry.Metric].
type Metric struct {
	Namespace string
	Name      string
	Unit      string // CloudWatch's word, e.g. "Milliseconds"
	Dims      []Dim  // sorted by name

	reg     *Registry
	discard bool

	mu     sync.Mutex // guards the fields below
	points []point    // sorted by minute; the last one is usually still growing
}

// point is what was recorded in one or more minutes.
type point struct {
	minute   int64 // the first, since 1970
	count    float64
	sum      float64
	min, max float64
	sketch   sketch
}

// pointBytes is what a point costs in memory, without its sketch's cells.
const pointBytes = 64

// Observe records v in the current minute.
func (m *Metric) Observe(v float64) { m.ObserveN(m.reg.opt.Now(), v, 1) }

// ObserveAll records v in the current minute of each metric of a list, all of one registry: one
// happening that several sets of dimensions count.
func ObserveAll(list []*Metric, v float64) {
	if len(list) == 0 || !finite(v) {
		return
	}
	s := set{minute: floorDiv(list[0].reg.opt.Now().Unix(), 60), count: 1, sum: v, min: v, max: v, bucket: bucketOf(v)}
	for _, m := range list {
		m.add(s)
	}
}

// ObserveN records v n times in the minute of at. Values that are not finite and counts
// that are not positive are ignored.
func (m *Metric) ObserveN(at time.Time, v, n float64) {
	m.ObserveSet(at, n, v*n, v, v)
}

// ObserveSet records count values in the minute of at, of which only sum, minimum and
// maximum are known; for percentiles they all count as their average.
func (m *Metric) ObserveSet(at time.Time, count, sum, min, max float64) {
	if m.discard || !(count > 0) || !finite(count) || !finite(sum) || !finite(min) || !finite(max) {
		return
	}
	m.add(set{floorDiv(at.Unix(), 60), count, sum, min, max, bucketOf(sum / count)})
}

// set is values that were observed in one minute.
type set struct {
	minute               int64
	count, sum, min, max float64
	bucket               int16 // of the average
}

func (m *Metric) add(s set) {
	if m.discard {
		return
	}
	m.mu.Lock()
	before := len(m.points)
	p := m.pointLocked(s.minute)
	cells := len(p.sketch)
	if p.count == 0 {
		p.min, p.max = s.min, s.max
	}
	p.count += s.count
	p.sum += s.sum
	p.min = math.Min(p.min, s.min)
	p.max = math.Max(p.max, s.max)
	p.sketch.add(s.bucket, s.count)
	grown := (len(m.points)-before)*pointBytes + (len(p.sketch)-cells)*cellBytes
	m.mu.Unlock()
	if grown != 0 {
		m.reg.bytes.Add(int64(grown))
		m.reg.maybeCompact(s.minute)
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// pointLocked returns the point of a minute, made if need be. Clocks can be set
// back, so it need not be the last.
func (m *Metric) pointLocked(minute int64) *point {
	n := len(m.points)
	if n > 0 && m.points[n-1].minute == minute {
		return &m.points[n-1]
	}
	if n == 0 || m.points[n-1].minute < minute {
		m.points = append(m.points, point{minute: minute})
		return &m.points[n]
	}
	i := m.searchLocked(minute)
	if m.points[i].minute != minute {
		m.points = slices.Insert(m.points, i, point{minute: minute})
	}
	return &m.points[i]
}

// searchLocked returns the index of the first point at or after minute.
func (m *Metric) searchLocked(minute int64) int {
	return sort.Search(len(m.points), func(i int) bool { return m.points[i].minute >= minute })
}

// LastMinute returns the newest minute with data, or the zero time.
func (m *Metric) LastMinute() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.points) == 0 {
		return time.Time{}
	}
	return time.Unix(m.points[len(m.points)-1].minute*60, 0).UTC()
}

// Bucket is what a metric recorded in one period.
type Bucket struct {
	Start    time.Time // UTC
	Count    float64
	Sum      float64
	Min, Max float64

	sketch sketch
}

// Average returns Sum / Count.
func (b *Bucket) Average() float64 { return b.Sum / b.Count }

// Percentile returns the value below which p percent (0 to 100) of the recorded values
// lie, within about 2.5 % of it.
func (b *Bucket) Percentile(p float64) float64 {
	v := b.sketch.quantile(p/100, b.Count)
	return math.Min(math.Max(v, b.Min), b.Max)
}

// Buckets returns what was recorded with from <= time < to, in periods that are
// counted from from, oldest first; periods without data are left out. Period and from are
// truncated to whole minutes (period at least one).
func (m *Metric) Buckets(from, to time.Time, period time.Duration) []Bucket {
	step := max(1, int64(period/time.Minute))
	first := floorDiv(from.Unix(), 60)
	end := floorDiv(to.Add(time.Minute-1).Unix(), 60)
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Bucket
	for i := m.searchLocked(first); i < len(m.points) && m.points[i].minute < end; i++ {
		p := &m.points[i]
		start := time.Unix((first+(p.minute-first)/step*step)*60, 0).UTC()
		if n := len(out); n == 0 || !out[n-1].Start.Equal(start) {
			out = append(out, Bucket{Start: start, Min: p.min, Max: p.max})
		}
		b := &out[len(out)-1]
		b.Count += p.count
		b.Sum += p.sum
		b.Min = math.Min(b.Min, p.min)
		b.Max = math.Max(b.Max, p.max)
		b.sketch.merge(p.sketch)
	}
	return out
}

// rollUpLocked merges points older than each horizon into the steps of horizons,
// which go from young to old, and drops those older than the last. It returns by
// how many bytes the metric shrank.
func (m *Metric) rollUpLocked(now int64, horizons []horizon) int {
	before := m.bytesLocked()
	kept := m.points[:0]
	for _, p := range m.points {
		step, keep := stepFor(now-p.minute, horizons)
		if !keep {
			continue
		}
		p.minute = floorDiv(p.minute, step) * step
		if n := len(kept); n > 0 && kept[n-1].minute >= p.minute {
			kept[n-1].merge(&p)
			continue
		}
		kept = append(kept, p)
	}
	clear(m.points[len(kept):])
	m.points = kept
	if cap(kept) > 2*len(kept)+16 {
		m.points = slices.Clone(kept)
	}
	return before - m.bytesLocked()
}

func (m *Metric) bytesLocked() int {
	n := len(m.points) * pointBytes
	for i := range m.points {
		n += len(m.points[i].sketch) * cellBytes
	}
	return n
}

func (p *point) merge(q *point) {
	p.count += q.count
	p.sum += q.sum
	p.min = math.Min(p.min, q.min)
	p.max = math.Max(p.max, q.max)
	p.sketch.merge(q.sketch)
}

// horizon says that points younger than age minutes are kept in steps of step
// minutes.
type horizon struct{ age, step int64 }

const (
	hour = 60
	day  = 24 * hour
)

// levels are tried from the first on until everything fits in Options.MaxBytes.
var levels = [][]horizon{
	{{day, 1}, {15 * day, 5}},
	{{3 * hour, 1}, {day, 5}, {15 * day, hour}},
	{{hour, 1}, {6 * hour, 5}, {5 * day, hour}},
	{{15, 1}, {hour, 5}, {day, hour}},
	{{5, 1}, {hour, 5}},
	{{1, 1}},
}

func stepFor(age int64, horizons []horizon) (step int64, keep bool) {
	for _, h := range horizons {
		if age < h.age {
			return h.step, true
		}
	}
	return 0, false
}

// maybeCompact rolls old points up once an hour, and at once when memory is short.
func (r *Registry) maybeCompact(minute int64) {
	over := r.bytes.Load() > int64(r.opt.MaxBytes)
	if !over && minute < r.nextCompact.Load() {
		return
	}
	if !r.compacting.TryLock() {
		return // someone else is at it
	}
	defer r.compacting.Unlock()
	if r.nextCompact.Swap(minute+hour) == 0 && !over {
		return
	}
	now := r.minute()
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, level := range levels {
		for _, m := range r.metrics {
			m.mu.Lock()
			r.bytes.Add(-int64(m.rollUpLocked(now, level)))
			m.mu.Unlock()
		}
		// Stop well below the limit, so that the next minute does not start over.
		if r.bytes.Load() <= int64(r.opt.MaxBytes)*3/4 {
			return
		}
	}
}
