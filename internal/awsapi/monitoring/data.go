package monitoring

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
)

const (
	maxQueries = 500
	// maxPageDatapoints is how many datapoints one answer of GetMetricData holds.
	maxPageDatapoints = 100_800
)

type metricStat struct {
	Metric *struct {
		Namespace  string
		MetricName string
		Dimensions []dimension
	}
	Period *int32
	Stat   string
	Unit   string
}

type metricDataQuery struct {
	ID         string `wire:"Id"`
	MetricStat *metricStat
	Expression string
	Label      string
	ReturnData *bool
	Period     *int32
}

type getMetricDataIn struct {
	MetricDataQueries  []metricDataQuery
	StartTime, EndTime time.Time
	NextToken          string
	ScanBy             string
	MaxDatapoints      *int
}

type metricDataResult struct {
	ID         string `wire:"Id"`
	Label      string
	Timestamps []time.Time
	Values     []float64
	StatusCode string
}

type getMetricDataOut struct {
	MetricDataResults []metricDataResult
	NextToken         string
	Messages          []struct{ Code, Value string }
}

var idPattern = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

func (in *getMetricDataIn) check() error {
	err := firstError(
		required("MetricDataQueries", len(in.MetricDataQueries) > 0),
		required("StartTime", !in.StartTime.IsZero()),
		required("EndTime", !in.EndTime.IsZero()))
	if err != nil {
		return err
	}
	var v wire.Violations
	v.Length("", "metricDataQueries", len(in.MetricDataQueries), 1, maxQueries)
	if in.ScanBy != "" {
		v.Enum(in.ScanBy, "scanBy", "TimestampDescending", "TimestampAscending")
	}
	if in.MaxDatapoints != nil {
		v.Range("maxDatapoints", int64(*in.MaxDatapoints), 1, maxPageDatapoints)
	}
	if err := firstError(v.Err(), checkRange(in.StartTime, in.EndTime)); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range in.MetricDataQueries {
		q := &in.MetricDataQueries[i]
		if seen[q.ID] {
			return validation("The values for parameter id in MetricDataQueries must be unique: %s", q.ID)
		}
		seen[q.ID] = true
		if err := q.check(); err != nil {
			return err
		}
	}
	return nil
}

func validation(format string, args ...any) error {
	return wire.Newf(wire.Shape{Name: "ValidationException", Status: 400, QueryCode: "ValidationError"}, format, args...)
}

func (q *metricDataQuery) check() error {
	switch {
	case !idPattern.MatchString(q.ID) || len(q.ID) > 255:
		return validation("The value %q for parameter MetricDataQueries.member.N.Id must start with a lower-case letter and hold letters, digits and underscores only.", q.ID)
	case q.MetricStat == nil && q.Expression == "":
		return validation("The query %s must have either MetricStat or Expression.", q.ID)
	case q.MetricStat != nil && q.Expression != "":
		return validation("The query %s must not have both MetricStat and Expression.", q.ID)
	case q.Expression != "":
		return validation("Error in expression '%s': metric math, SEARCH and SELECT are not supported here; ask for the metrics themselves with MetricStat.", q.ID)
	}
	s := q.MetricStat
	err := firstError(
		required("MetricDataQueries.member.N.MetricStat.Metric", s.Metric != nil),
		required("MetricDataQueries.member.N.MetricStat.Period", s.Period != nil),
		required("MetricDataQueries.member.N.MetricStat.Stat", s.Stat != ""))
	if err != nil {
		return err
	}
	return firstError(
		required("MetricDataQueries.member.N.MetricStat.Metric.Namespace", s.Metric.Namespace != ""),
		required("MetricDataQueries.member.N.MetricStat.Metric.MetricName", s.Metric.MetricName != ""),
		checkNames(s.Metric.Namespace, s.Metric.MetricName, s.Metric.Dimensions),
		checkPeriod(*s.Period), checkUnit(s.Unit))
}

// getMetricData answers all queries anew for each page; the token says how many
// datapoints came before.
func (d *door) getMetricData(_ context.Context, _ *wire.Call, in *getMetricDataIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	skip, err := decodeToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	limit := maxPageDatapoints
	if in.MaxDatapoints != nil {
		limit = *in.MaxDatapoints
	}
	out := getMetricDataOut{MetricDataResults: []metricDataResult{}, Messages: []struct{ Code, Value string }{}}
	left := limit
	for i := range in.MetricDataQueries {
		q := &in.MetricDataQueries[i]
		r, err := d.answer(q, in)
		if err != nil {
			return nil, err
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		n := len(r.Values)
		if skip > 0 && n <= skip { // told on an earlier page
			skip -= n
			continue
		}
		r.Timestamps, r.Values = r.Timestamps[skip:], r.Values[skip:]
		skip = 0
		if len(r.Values) > left {
			r.Timestamps, r.Values, r.StatusCode = r.Timestamps[:left], r.Values[:left], "PartialData"
		}
		left -= len(r.Values)
		out.MetricDataResults = append(out.MetricDataResults, r)
		if r.StatusCode == "PartialData" {
			before, _ := decodeToken(in.NextToken)
			out.NextToken = encodeToken(before + limit)
			break
		}
	}
	return out, nil
}

func (d *door) answer(q *metricDataQuery, in *getMetricDataIn) (metricDataResult, error) {
	r := metricDataResult{ID: q.ID, Label: q.label(in.MetricDataQueries), Timestamps: []time.Time{}, Values: []float64{}, StatusCode: "Complete"}
	stat, err := statisticFor(q.MetricStat.Stat)
	if err != nil {
		return r, err
	}
	of := q.MetricStat.Metric
	m := d.reg.Lookup(of.Namespace, of.MetricName, dims(of.Dimensions)...)
	if m == nil || q.MetricStat.Unit != "" && q.MetricStat.Unit != m.Unit {
		return r, nil
	}
	// Unlike GetMetricStatistics, periods start at multiples of the period.
	period := max(time.Duration(*q.MetricStat.Period)*time.Second, time.Minute)
	from := time.Unix(in.StartTime.Unix()-mod(in.StartTime.Unix(), int64(period/time.Second)), 0)
	buckets := m.Buckets(from, in.EndTime, period)
	if in.ScanBy != "TimestampAscending" {
		slices.Reverse(buckets)
	}
	for i := range buckets {
		r.Timestamps = append(r.Timestamps, buckets[i].Start)
		r.Values = append(r.Values, stat(&buckets[i]))
	}
	return r, nil
}

func mod(a, b int64) int64 { return (a%b + b) % b }

// label returns what a query's result is called: its metric's name, with the
// values of the dimensions where another query has the same name.
func (q *metricDataQuery) label(all []metricDataQuery) string {
	if q.Label != "" {
		return q.Label
	}
	name := q.MetricStat.Metric.MetricName
	for i := range all {
		if o := &all[i]; o.ID != q.ID && o.MetricStat.Metric.MetricName == name {
			var parts []string
			for _, d := range q.MetricStat.Metric.Dimensions {
				parts = append(parts, d.Value)
			}
			return strings.Join(append(parts, name), " ")
		}
	}
	return name
}

func encodeToken(n int) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "datapoints:%d", n))
}

func decodeToken(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	digits, ok := strings.CutPrefix(string(raw), "datapoints:")
	n, convErr := strconv.Atoi(digits)
	if err != nil || !ok || convErr != nil || n < 0 {
		return 0, wire.Newf(invalidToken, "The next token specified is invalid.")
	}
	return n, nil
}
