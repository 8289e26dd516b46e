package monitoring

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/telemetry"
)

const (
	listPage = 500
	// listed is how long after its last data a metric is listed; recently is
	// what RecentlyActive=PT3H narrows it to.
	listed   = 14 * 24 * time.Hour
	recently = 3 * time.Hour
)

type listMetricsIn struct {
	Namespace      string
	MetricName     string
	Dimensions     []dimension // an empty value stands for any
	NextToken      string
	RecentlyActive string
}

type metricOut struct {
	Namespace  string
	MetricName string
	Dimensions []dimension
}

type listMetricsOut struct {
	Metrics   []metricOut
	NextToken string
}

func (in *listMetricsIn) check() error {
	var v wire.Violations
	v.Length("", "dimensions", len(in.Dimensions), 0, 10)
	for i, d := range in.Dimensions {
		v.Length(d.Name, fmt.Sprintf("dimensions.%d.member.name", i+1), len(d.Name), 1, 255)
	}
	if in.RecentlyActive != "" {
		v.Enum(in.RecentlyActive, "recentlyActive", "PT3H")
	}
	return firstError(v.Err(), checkNames(in.Namespace, in.MetricName, nil))
}

func (d *door) listMetrics(_ context.Context, _ *wire.Call, in *listMetricsIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return nil, wire.Newf(invalidToken, "The next token specified is invalid.")
	}
	window := listed
	if in.RecentlyActive != "" {
		window = recently
	}
	oldest := d.reg.Now().Add(-window)
	out := listMetricsOut{Metrics: []metricOut{}}
	last := ""
	for _, m := range d.reg.Metrics() {
		if m.Key() <= string(after) && in.NextToken != "" || m.LastMinute().Before(oldest) || !in.wants(m) {
			continue
		}
		if len(out.Metrics) == listPage {
			out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		last = m.Key()
		one := metricOut{Namespace: m.Namespace, MetricName: m.Name, Dimensions: []dimension{}}
		for _, dim := range m.Dims {
			one.Dimensions = append(one.Dimensions, dimension(dim))
		}
		out.Metrics = append(out.Metrics, one)
	}
	return out, nil
}

func (in *listMetricsIn) wants(m *telemetry.Metric) bool {
	if in.Namespace != "" && in.Namespace != m.Namespace || in.MetricName != "" && in.MetricName != m.Name {
		return false
	}
	for _, want := range in.Dimensions {
		found := false
		for _, have := range m.Dims {
			found = found || want.Name == have.Name && (want.Value == "" || want.Value == have.Value)
		}
		if !found {
			return false
		}
	}
	return true
}

type statisticSet struct{ SampleCount, Sum, Minimum, Maximum *float64 }

type metricDatum struct {
	MetricName      string
	Dimensions      []dimension
	Timestamp       time.Time
	Value           *float64
	StatisticValues *statisticSet
	Values          []float64
	Counts          []float64
	Unit            string
}

type putMetricDataIn struct {
	Namespace  string
	MetricData []metricDatum
}

func (d *door) putMetricData(_ context.Context, _ *wire.Call, in *putMetricDataIn) (any, error) {
	if err := firstError(required("Namespace", in.Namespace != ""), required("MetricData", len(in.MetricData) > 0)); err != nil {
		return nil, err
	}
	if strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, wire.Newf(invalidValue, "The value %s for parameter Namespace is invalid: names that begin with AWS/ are reserved.", in.Namespace)
	}
	var v wire.Violations
	v.Length("", "metricData", len(in.MetricData), 1, 1000)
	if err := v.Err(); err != nil {
		return nil, err
	}
	// Nothing is recorded unless all of it is sound.
	for i := range in.MetricData {
		if err := in.MetricData[i].check(in.Namespace, d.reg.Now(), i+1); err != nil {
			return nil, err
		}
	}
	for i := range in.MetricData {
		d.record(in.Namespace, &in.MetricData[i])
	}
	return nil, nil
}

func (m *metricDatum) check(namespace string, now time.Time, n int) error {
	name := fmt.Sprintf("MetricData.member.%d", n)
	if err := firstError(required(name+".MetricName", m.MetricName != ""), checkNames(namespace, m.MetricName, m.Dimensions), checkUnit(m.Unit)); err != nil {
		return err
	}
	if !m.Timestamp.IsZero() && (m.Timestamp.Before(now.Add(-listed)) || m.Timestamp.After(now.Add(2*time.Hour))) {
		return wire.Newf(invalidValue, "The value %s for parameter %s.Timestamp must be at most two weeks past and two hours ahead.", m.Timestamp.Format(time.RFC3339), name)
	}
	given := 0
	for _, is := range []bool{m.Value != nil, m.StatisticValues != nil, len(m.Values) > 0} {
		if is {
			given++
		}
	}
	if given == 0 {
		return wire.Newf(missing, "At least one of the parameters %s.Value, %s.Values or %s.StatisticValues must be specified.", name, name, name)
	}
	if given > 1 {
		return wire.Newf(invalidCombination, "The parameters %s.Value, %s.Values and %s.StatisticValues are mutually exclusive and you have specified more than one.", name, name, name)
	}
	if s := m.StatisticValues; s != nil {
		if s.SampleCount == nil || s.Sum == nil || s.Minimum == nil || s.Maximum == nil {
			return wire.Newf(missing, "The parameters SampleCount, Sum, Minimum and Maximum of %s.StatisticValues are required.", name)
		}
		return checkValues(name, *s.Sum, *s.Minimum, *s.Maximum)
	}
	if len(m.Values) > 150 || len(m.Counts) > 0 && len(m.Counts) != len(m.Values) {
		return wire.Newf(invalidValue, "The parameters %s.Values and %s.Counts must have the same length, up to 150.", name, name)
	}
	if m.Value != nil {
		return checkValues(name, *m.Value)
	}
	return checkValues(name, m.Values...)
}

func checkValues(name string, values ...float64) error {
	for _, f := range values {
		if math.IsNaN(f) || math.Abs(f) > math.Pow(2, 360) {
			return wire.Newf(invalidValue, "The value %v for parameter %s.Value is invalid.", f, name)
		}
	}
	return nil
}

func (d *door) record(namespace string, m *metricDatum) {
	unit := m.Unit
	if unit == "" {
		unit = "None"
	}
	at := m.Timestamp
	if at.IsZero() {
		at = d.reg.Now()
	}
	metric := d.reg.Metric(namespace, m.MetricName, unit, dims(m.Dimensions)...)
	switch s := m.StatisticValues; {
	case s != nil:
		metric.ObserveSet(at, *s.SampleCount, *s.Sum, *s.Minimum, *s.Maximum)
	case m.Value != nil:
		metric.ObserveN(at, *m.Value, 1)
	}
	for i, f := range m.Values {
		n := 1.0
		if len(m.Counts) > 0 {
			n = m.Counts[i]
		}
		metric.ObserveN(at, f, n)
	}
}
