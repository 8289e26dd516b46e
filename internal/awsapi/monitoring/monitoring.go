// Package monitoring is the door to package telemetry: the parts of the CloudWatch
// API (version 2010-08-01) that list and read metrics and put one's own. Old clients
// speak Query/XML, newer ones AWS JSON 1.0 or Smithy RPC v2 CBOR; package wire gives
// all three one shape (reference/api.md, section 16.2).
//
// Metrics are matched by their exact set of dimensions, as AWS does. Differences:
// metric math, metric insights and the trimmed statistics are refused; a period
// under a minute gives minutes; and minutes older than a day come as five minutes.
//
// The service keeps no state; it may be used concurrently.
package monitoring

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/telemetry"
)

// The exceptions of the API.
var (
	invalidValue       = wire.Shape{Name: "InvalidParameterValueException", Status: 400, QueryCode: "InvalidParameterValue"}
	invalidCombination = wire.Shape{Name: "InvalidParameterCombinationException", Status: 400, QueryCode: "InvalidParameterCombination"}
	missing            = wire.Shape{Name: "MissingRequiredParameterException", Status: 400, QueryCode: "MissingParameter"}
	invalidToken       = wire.Shape{Name: "InvalidNextToken", Status: 400}
	internalFault      = wire.Shape{Name: "InternalServiceFault", Status: 500, QueryCode: "InternalServiceError", Receiver: true}
)

// door answers from a registry.
type door struct{ reg *telemetry.Registry }

// Service returns the CloudWatch service over a registry.
func Service(reg *telemetry.Registry) *wire.Service {
	d := &door{reg}
	return &wire.Service{
		Name:            "monitoring",
		TargetPrefix:    "GraniteServiceVersion20100801",
		Version:         "2010-08-01",
		XMLNamespace:    "http://monitoring.amazonaws.com/doc/2010-08-01/",
		ErrorNamespace:  "com.amazonaws.cloudwatch.v2010_08_01",
		QueryCompatible: true,
		Errors: map[fault.Kind]wire.Shape{
			fault.Internal: internalFault,
			fault.Invalid:  invalidValue,
			fault.Denied:   {Name: "AccessDeniedException", Status: 403, QueryCode: "AccessDenied"},
		},
		Operations: map[string]wire.Handler{
			"GetMetricStatistics": wire.Typed(d.getMetricStatistics),
			"GetMetricData":       wire.Typed(d.getMetricData),
			"ListMetrics":         wire.Typed(d.listMetrics),
			"PutMetricData":       wire.Typed(d.putMetricData),
		},
	}
}

type dimension struct{ Name, Value string }

func dims(in []dimension) []telemetry.Dim {
	out := make([]telemetry.Dim, len(in))
	for i, d := range in {
		out[i] = telemetry.Dim(d)
	}
	return out
}

func required(name string, present bool) error {
	if present {
		return nil
	}
	return wire.Newf(missing, "The parameter %s is required.", name)
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkNames(namespace, metric string, dimensions []dimension) error {
	var v wire.Violations
	v.Length(namespace, "namespace", len(namespace), 0, 255)
	v.Length(metric, "metricName", len(metric), 0, 255)
	v.Length("", "dimensions", len(dimensions), 0, 30)
	for i, d := range dimensions {
		v.Length(d.Name, fmt.Sprintf("dimensions.%d.member.name", i+1), len(d.Name), 1, 255)
		v.Length(d.Value, fmt.Sprintf("dimensions.%d.member.value", i+1), len(d.Value), 1, 1024)
	}
	if strings.HasPrefix(namespace, ":") {
		v.Add(namespace, "namespace", "Member must satisfy regular expression pattern: [^:].*")
	}
	return v.Err()
}

func checkPeriod(seconds int32) error {
	switch {
	case seconds > 0 && seconds%60 == 0:
		return nil
	case slices.Contains([]int32{1, 5, 10, 20, 30}, seconds):
		return nil
	}
	return wire.Newf(invalidValue, "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
}

func checkRange(start, end time.Time) error {
	if !start.Before(end) {
		return wire.Newf(invalidValue, "The parameter StartTime must be less than the parameter EndTime.")
	}
	return nil
}

var units = []string{"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits",
	"Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second",
	"Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None"}

func checkUnit(unit string) error {
	if unit == "" || slices.Contains(units, unit) {
		return nil
	}
	return wire.Newf(invalidValue, "The parameter Unit must be a value in the set [ %s ].", strings.Join(units, ", "))
}

// statistic reads one number off a bucket.
type statistic func(*telemetry.Bucket) float64

var statistics = map[string]statistic{
	"SampleCount": func(b *telemetry.Bucket) float64 { return b.Count },
	"Sum":         func(b *telemetry.Bucket) float64 { return b.Sum },
	"Minimum":     func(b *telemetry.Bucket) float64 { return b.Min },
	"Maximum":     func(b *telemetry.Bucket) float64 { return b.Max },
	"Average":     (*telemetry.Bucket).Average,
}

var (
	percentilePattern = regexp.MustCompile(`^p(\d{1,2}(\.\d{1,10})?|100)$`)
	trimmedPattern    = regexp.MustCompile(`^(tm|tc|ts|wm)\d|^(TM|TC|TS|WM|PR)\(|^IQM$`)
)

// percentile reads p99, p99.9 and the like.
func percentile(name string) (statistic, error) {
	if !percentilePattern.MatchString(name) {
		if trimmedPattern.MatchString(name) {
			return nil, wire.Newf(invalidValue, "The statistic %s is not supported here; percentiles (p0 to p100) are.", name)
		}
		return nil, wire.Newf(invalidValue, "The value %s for parameter ExtendedStatistics is not supported.", name)
	}
	p, err := strconv.ParseFloat(name[1:], 64)
	return func(b *telemetry.Bucket) float64 { return b.Percentile(p) }, err
}
