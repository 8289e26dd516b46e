package telemetry

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// family is all instruments of one Prometheus name.
type family struct {
	name, help, kind string
	members          map[string]instrument // by rendered labels
}

type instrument interface {
	append(dst []byte, name, labels string) []byte
}

// Counter only grows. See [Registry.Counter].
type Counter struct{ n atomic.Int64 }

// Add adds n, which must not be negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Value returns the count.
func (c *Counter) Value() int64 { return c.n.Load() }

// Gauge is a value that goes up and down.
type Gauge struct{ bits atomic.Uint64 }

// Set sets the value.
func (g *Gauge) Set(v float64) { g.bits.Store(math.Float64bits(v)) }

// Value returns the value.
func (g *Gauge) Value() float64 { return math.Float64frombits(g.bits.Load()) }

type gaugeFunc func() float64

// Histogram counts values by ranges.
type Histogram struct {
	bounds []float64 // upper bounds, ascending
	counts []atomic.Int64
	sum    atomic.Uint64 // float64 bits
}

// Observe counts v.
func (h *Histogram) Observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// DurationBounds are bounds in seconds that suit requests: 50 µs to 10 s.
var DurationBounds = []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// Counter returns the counter of that name and labels (name, value, name, value, …),
// made if need be. A name belongs to one kind of instrument; anything else is a bug.
func (r *Registry) Counter(name, help string, labels ...string) *Counter {
	return r.instrument(name, help, "counter", labels, func() instrument { return new(Counter) }).(*Counter)
}

// Gauge returns the gauge of that name and labels, made if need be.
func (r *Registry) Gauge(name, help string, labels ...string) *Gauge {
	return r.instrument(name, help, "gauge", labels, func() instrument { return new(Gauge) }).(*Gauge)
}

// GaugeFunc registers a gauge whose value f tells when it is asked for. f must
// be quick and safe for concurrent use. The first f of a name and labels stays.
func (r *Registry) GaugeFunc(name, help string, f func() float64, labels ...string) {
	r.instrument(name, help, "gauge", labels, func() instrument { return gaugeFunc(f) })
}

// Histogram returns the histogram of that name and labels, made if need be with
// the given upper bounds, ascending.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...string) *Histogram {
	return r.instrument(name, help, "histogram", labels, func() instrument {
		return &Histogram{bounds: bounds, counts: make([]atomic.Int64, len(bounds)+1)}
	}).(*Histogram)
}

func (r *Registry) instrument(name, help, kind string, labels []string, make func() instrument) instrument {
	key := renderLabels(labels)
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.families[name]
	if f == nil {
		f = &family{name: name, help: help, kind: kind, members: map[string]instrument{}}
		r.families[name] = f
	}
	if f.kind != kind {
		panic(fmt.Sprintf("bug: %s is a %s and a %s", name, f.kind, kind))
	}
	m := f.members[key]
	if m == nil {
		m = make()
		f.members[key] = m
	}
	return m
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// renderLabels returns a="b",c="d", in the order given.
func renderLabels(labels []string) string {
	if len(labels)%2 != 0 {
		panic("bug: a label without a value")
	}
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(labels[i] + `="` + labelEscaper.Replace(strings.ToValidUTF8(labels[i+1], "\ufffd")) + `"`)
	}
	return b.String()
}

// WritePrometheus writes all instruments in the text format 0.0.4, ordered by
// name and labels.
func (r *Registry) WritePrometheus(w io.Writer) error {
	_, err := w.Write(r.appendPrometheus(nil))
	return err
}

func (r *Registry) appendPrometheus(dst []byte) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range sortedKeys(r.families) {
		f := r.families[name]
		dst = fmt.Appendf(dst, "# HELP %s %s\n# TYPE %s %s\n", name, f.help, name, f.kind)
		for _, labels := range sortedKeys(f.members) {
			dst = f.members[labels].append(dst, name, labels)
		}
	}
	return dst
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func appendSample(dst []byte, name, labels string, v float64) []byte {
	dst = append(dst, name...)
	if labels != "" {
		dst = append(append(append(dst, '{'), labels...), '}')
	}
	dst = append(dst, ' ')
	switch {
	case math.IsInf(v, 1):
		dst = append(dst, "+Inf"...)
	default:
		dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
	}
	return append(dst, '\n')
}

func (c *Counter) append(dst []byte, name, labels string) []byte {
	return appendSample(dst, name, labels, float64(c.Value()))
}

func (g *Gauge) append(dst []byte, name, labels string) []byte {
	return appendSample(dst, name, labels, g.Value())
}

func (g gaugeFunc) append(dst []byte, name, labels string) []byte {
	return appendSample(dst, name, labels, g())
}

func (h *Histogram) append(dst []byte, name, labels string) []byte {
	comma := ""
	if labels != "" {
		comma = ","
	}
	total := int64(0)
	for i := range h.counts {
		total += h.counts[i].Load()
		le := "+Inf"
		if i < len(h.bounds) {
			le = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		dst = appendSample(dst, name+"_bucket", labels+comma+`le="`+le+`"`, float64(total))
	}
	dst = appendSample(dst, name+"_sum", labels, math.Float64frombits(h.sum.Load()))
	return appendSample(dst, name+"_count", labels, float64(total))
}
