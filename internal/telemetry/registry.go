// Package telemetry holds what the server counts about itself, in a [Registry]
// that is passed to those who count and is never global.
//
// It has two faces. A [Metric] is what CloudWatch calls one: a namespace, a name
// and an exact set of dimensions, with count, sum, minimum, maximum and a sketch
// for percentiles per minute. [Counter], [Gauge] and [Histogram] are what
// Prometheus scrapes; [Registry.WritePrometheus] prints them.
//
// Look a handle up once and keep it: using one costs a few atomic operations
// (counters) or a short lock (metrics), looking one up builds a key and takes a
// map's lock. All methods may be called concurrently.
//
// Memory is bounded. Metrics keep single minutes for a day and five minutes for
// fifteen days; when all points together pass Options.MaxBytes, older points are
// rolled up further and, in the end, dropped, oldest first. Past
// Options.MaxMetrics new metrics are counted as dropped and record nothing.
// Nothing is stored on disk: a restart starts from zero.
package telemetry

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a registry; the zero value works.
type Options struct {
	Now        func() time.Time // tells the minute; default time.Now
	MaxBytes   int              // of all minutes kept; default 32 MiB
	MaxMetrics int              // default 20,000
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxMetrics <= 0 {
		o.MaxMetrics = 20_000
	}
	return o
}

// Registry is where metrics live. See [New].
type Registry struct {
	opt   Options
	bytes atomic.Int64 // of the points of all metrics

	mu       sync.RWMutex // guards the fields below; taken before a Metric's
	metrics  map[string]*Metric
	families map[string]*family
	overflow *Metric // takes what comes past MaxMetrics; never read

	dropped     *Counter
	nextCompact atomic.Int64 // minute since 1970
	compacting  sync.Mutex
}

// New returns an empty registry.
func New(opt Options) *Registry {
	r := &Registry{
		opt:      opt.withDefaults(),
		metrics:  make(map[string]*Metric),
		families: make(map[string]*family),
	}
	r.overflow = &Metric{reg: r, discard: true}
	r.dropped = r.Counter("weir_telemetry_metrics_dropped_total", "Metrics not kept because there are too many.")
	return r
}

// Dim is one dimension of a metric.
type Dim struct{ Name, Value string }

// Metric returns the metric of that namespace, name and exact set of dimensions
// (in any order), made if need be. The first unit given stays.
func (r *Registry) Metric(namespace, name, unit string, dims ...Dim) *Metric {
	sorted := slices.Clone(dims)
	slices.SortFunc(sorted, func(a, b Dim) int { return strings.Compare(a.Name, b.Name) })
	key := metricKey(namespace, name, sorted)
	r.mu.RLock()
	m := r.metrics[key]
	r.mu.RUnlock()
	if m != nil {
		return m
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m = r.metrics[key]; m != nil {
		return m
	}
	if len(r.metrics) >= r.opt.MaxMetrics {
		r.dropped.Add(1)
		return r.overflow
	}
	m = &Metric{Namespace: namespace, Name: name, Unit: unit, Dims: sorted, reg: r}
	r.metrics[key] = m
	return m
}

// Lookup returns the metric of that namespace, name and exact set of
// dimensions, or nil.
func (r *Registry) Lookup(namespace, name string, dims ...Dim) *Metric {
	sorted := slices.Clone(dims)
	slices.SortFunc(sorted, func(a, b Dim) int { return strings.Compare(a.Name, b.Name) })
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.metrics[metricKey(namespace, name, sorted)]
}

// Metrics returns all metrics that have been recorded to, ordered by namespace,
// name and dimensions.
func (r *Registry) Metrics() []*Metric {
	r.mu.RLock()
	keys := make([]string, 0, len(r.metrics))
	for k := range r.metrics {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	all := make([]*Metric, 0, len(keys))
	for _, k := range keys {
		all = append(all, r.metrics[k])
	}
	r.mu.RUnlock()
	return slices.DeleteFunc(all, func(m *Metric) bool { return m.LastMinute().IsZero() })
}

// Now returns the time on the registry's clock.
func (r *Registry) Now() time.Time { return r.opt.Now().UTC() }

// Key returns a text by which metrics are ordered and told apart.
func (m *Metric) Key() string { return metricKey(m.Namespace, m.Name, m.Dims) }

func metricKey(namespace, name string, sorted []Dim) string {
	var b strings.Builder
	b.WriteString(namespace)
	b.WriteByte(0)
	b.WriteString(name)
	for _, d := range sorted {
		b.WriteByte(0)
		b.WriteString(d.Name)
		b.WriteByte(1)
		b.WriteString(d.Value)
	}
	return b.String()
}

// minute returns the current minute since 1970.
func (r *Registry) minute() int64 { return floorDiv(r.opt.Now().Unix(), 60) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
