package monitoring

import (
	"context"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/telemetry"
)

// maxDatapoints is how many GetMetricStatistics may be asked for.
const maxDatapoints = 1440

type getMetricStatisticsIn struct {
	Namespace          string
	MetricName         string
	Dimensions         []dimension
	StartTime, EndTime time.Time
	Period             *int32
	Statistics         []string
	ExtendedStatistics []string
	Unit               string
}

type datapoint struct {
	Timestamp                                   time.Time
	SampleCount, Average, Sum, Minimum, Maximum *float64
	Unit                                        string
	ExtendedStatistics                          map[string]float64
}

type getMetricStatisticsOut struct {
	Label      string
	Datapoints []datapoint
}

func (in *getMetricStatisticsIn) check() error {
	err := firstError(
		required("Namespace", in.Namespace != ""),
		required("MetricName", in.MetricName != ""),
		required("StartTime", !in.StartTime.IsZero()),
		required("EndTime", !in.EndTime.IsZero()),
		required("Period", in.Period != nil),
		checkNames(in.Namespace, in.MetricName, in.Dimensions),
		checkUnit(in.Unit))
	if err != nil {
		return err
	}
	if err := firstError(checkPeriod(*in.Period), checkRange(in.StartTime, in.EndTime)); err != nil {
		return err
	}
	switch {
	case len(in.Statistics) == 0 && len(in.ExtendedStatistics) == 0:
		return wire.Newf(invalidCombination, "Must specify either Statistics or ExtendedStatistics.")
	case len(in.Statistics) > 0 && len(in.ExtendedStatistics) > 0:
		return wire.Newf(invalidCombination, "Statistics and ExtendedStatistics may not be specified together.")
	}
	var v wire.Violations
	v.Length("", "statistics", len(in.Statistics), 0, 5)
	v.Length("", "extendedStatistics", len(in.ExtendedStatistics), 0, 10)
	if err := v.Err(); err != nil {
		return err
	}
	period := time.Duration(*in.Period) * time.Second
	if n := (in.EndTime.Sub(in.StartTime) + period - 1) / period; n > maxDatapoints {
		return wire.Newf(invalidCombination, "You have requested up to %d datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", int64(n))
	}
	return nil
}

func (d *door) getMetricStatistics(_ context.Context, _ *wire.Call, in *getMetricStatisticsIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	for _, name := range in.Statistics {
		if statistics[name] == nil {
			return nil, wire.Newf(invalidValue, "The value %s for parameter Statistics is not in the set [ SampleCount, Average, Sum, Minimum, Maximum ].", name)
		}
	}
	extended := make(map[string]statistic, len(in.ExtendedStatistics))
	for _, name := range in.ExtendedStatistics {
		var err error
		if extended[name], err = percentile(name); err != nil {
			return nil, err
		}
	}
	out := getMetricStatisticsOut{Label: in.MetricName, Datapoints: []datapoint{}}
	m := d.reg.Lookup(in.Namespace, in.MetricName, dims(in.Dimensions)...)
	if m == nil || in.Unit != "" && in.Unit != m.Unit {
		return out, nil
	}
	buckets := m.Buckets(in.StartTime, in.EndTime, time.Duration(*in.Period)*time.Second)
	for i := range buckets {
		out.Datapoints = append(out.Datapoints, newDatapoint(&buckets[i], m.Unit, in.Statistics, extended))
	}
	return out, nil
}

func newDatapoint(b *telemetry.Bucket, unit string, names []string, extended map[string]statistic) datapoint {
	p := datapoint{Timestamp: b.Start, Unit: unit}
	for _, name := range names {
		v := statistics[name](b)
		switch name {
		case "SampleCount":
			p.SampleCount = &v
		case "Average":
			p.Average = &v
		case "Sum":
			p.Sum = &v
		case "Minimum":
			p.Minimum = &v
		case "Maximum":
			p.Maximum = &v
		}
	}
	if len(extended) > 0 {
		p.ExtendedStatistics = make(map[string]float64, len(extended))
		for name, f := range extended {
			p.ExtendedStatistics[name] = f(b)
		}
	}
	return p
}

// statisticFor finds what MetricStat.Stat names.
func statisticFor(name string) (statistic, error) {
	if f := statistics[name]; f != nil {
		return f, nil
	}
	if strings.HasPrefix(name, "p") || trimmedPattern.MatchString(name) {
		return percentile(name)
	}
	return nil, wire.Newf(invalidValue, "The value %s for parameter MetricDataQueries.member.N.MetricStat.Stat is not supported.", name)
}
