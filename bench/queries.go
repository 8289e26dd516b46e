package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// askAll runs every query class of w: 5 to warm up, then rounds draws, on one connection.
func askAll(ctx context.Context, srv *server, w workload, rounds int) error {
	for _, c := range w.queries {
		r := rand.New(rand.NewPCG(11, 13))
		var took []time.Duration
		rows := 0
		for k := range rounds + 5 {
			sql := c.sql(r, &w)
			began := time.Now()
			answer, err := srv.query(ctx, sql)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", c.name, err, sql)
			}
			if k >= 5 {
				took = append(took, time.Since(began))
			}
			rows = answer.rows
		}
		fmt.Printf("  %-24s median %8.3f ms, p95 %8.3f ms, %d rows\n", c.name, ms(median(took)), ms(percentile(took, 0.95)), rows)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// window returns a random range of length d within the data, not aligned to anything.
func (w *workload) window(r *rand.Rand, d time.Duration) string {
	total := time.Duration(w.steps) * w.step
	from := w.end.Add(-total).Add(time.Duration(r.Int64N(int64(max(1, total-d)))))
	return fmt.Sprintf("time >= from_milliseconds(%d) AND time < from_milliseconds(%d)", from.UnixMilli(), from.Add(d).UnixMilli())
}

// some returns n different hosts as an IN list.
func (w *workload) some(r *rand.Rand, n int) string {
	var names []string
	for _, i := range r.Perm(len(w.series))[:n] {
		names = append(names, "'"+w.series[i][0]+"'")
	}
	return "hostname IN (" + strings.Join(names, ", ") + ")"
}

func (w *workload) each(agg string, n int) string {
	var parts []string
	for _, m := range w.measures[:n] {
		parts = append(parts, fmt.Sprintf("%s(%s) AS %s_%s", agg, m, agg, m))
	}
	return strings.Join(parts, ", ")
}

// cpuQueries are the twelve classes of TSBS devops cpu-only.
func cpuQueries() []class {
	single := func(metrics, hosts int) func(*rand.Rand, *workload) string {
		return func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT bin(time, 1m) AS minute, %s FROM bench.cpu WHERE %s AND %s GROUP BY bin(time, 1m) ORDER BY 1", w.each("max", metrics), w.some(r, hosts), w.window(r, time.Hour))
		}
	}
	maxAll := func(hosts int) func(*rand.Rand, *workload) string {
		return func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT bin(time, 1h) AS hour, %s FROM bench.cpu WHERE %s AND %s GROUP BY bin(time, 1h) ORDER BY 1", w.each("max", 10), w.some(r, hosts), w.window(r, 8*time.Hour))
		}
	}
	double := func(metrics int) func(*rand.Rand, *workload) string {
		return func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT hostname, bin(time, 1h) AS hour, %s FROM bench.cpu WHERE %s GROUP BY hostname, bin(time, 1h) ORDER BY 1, 2", w.each("avg", metrics), w.window(r, 12*time.Hour))
		}
	}
	return []class{
		{"single-groupby-1-1-1", single(1, 1)},
		{"single-groupby-1-8-1", single(1, 8)},
		{"single-groupby-5-8-1", single(5, 8)},
		{"cpu-max-all-1", maxAll(1)},
		{"cpu-max-all-8", maxAll(8)},
		{"double-groupby-1", double(1)},
		{"double-groupby-5", double(5)},
		{"double-groupby-all", double(10)},
		{"high-cpu-1", func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT * FROM bench.cpu WHERE usage_user > 90 AND %s AND %s", w.some(r, 1), w.window(r, 12*time.Hour))
		}},
		{"high-cpu-all", func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT * FROM bench.cpu WHERE usage_user > 90 AND %s", w.window(r, 12*time.Hour))
		}},
		{"lastpoint", func(r *rand.Rand, w *workload) string {
			var parts []string
			for _, m := range w.measures {
				parts = append(parts, fmt.Sprintf("max_by(%s, time) AS %s", m, m))
			}
			return "SELECT hostname, max(time) AS time, " + strings.Join(parts, ", ") + " FROM bench.cpu GROUP BY hostname ORDER BY hostname"
		}},
		{"groupby-orderby-limit", func(r *rand.Rand, w *workload) string {
			before := w.end.Add(-time.Duration(r.Int64N(int64(w.step) * int64(w.steps) / 2)))
			return fmt.Sprintf("SELECT bin(time, 1m) AS minute, max(usage_user) AS m FROM bench.cpu WHERE time < from_milliseconds(%d) GROUP BY bin(time, 1m) ORDER BY minute DESC LIMIT 5", before.UnixMilli())
		}},
	}
}

// iotQueries are the questions people ask of device data.
func iotQueries() []class {
	fixed := func(sql string) func(*rand.Rand, *workload) string {
		return func(*rand.Rand, *workload) string { return sql }
	}
	return []class{
		{"latest reading, last hour", fixed(`SELECT device_id, location, max_by(temperature, time) AS t, max_by(humidity, time) AS h, max_by(battery_level, time) AS b
FROM bench.iot WHERE time > ago(1h) GROUP BY device_id, location ORDER BY device_id`)},
		{"last value per device", fixed("SELECT device_id, max(time) AS time, max_by(temperature, time) AS t FROM bench.iot GROUP BY device_id ORDER BY device_id")},
		{"one device by hour", func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT bin(time, 1h) AS hour, avg(temperature), min(temperature), max(temperature) FROM bench.iot WHERE device_id = '%s' AND %s GROUP BY bin(time, 1h) ORDER BY 1",
				w.series[r.IntN(len(w.series))][0], w.window(r, 23*time.Hour))
		}},
		{"one site by hour", func(r *rand.Rand, w *workload) string {
			return fmt.Sprintf("SELECT bin(time, 1h) AS hour, avg(temperature), min(temperature), max(temperature) FROM bench.iot WHERE location = '%s' AND %s GROUP BY bin(time, 1h) ORDER BY 1",
				w.series[r.IntN(len(w.series))][1], w.window(r, 23*time.Hour))
		}},
		{"15-minute averages", fixed(`SELECT device_id, bin(time, 15m) AS b, avg(temperature), min(temperature), max(temperature) FROM bench.iot
WHERE time > ago(24h) AND measure_name = 'metrics' GROUP BY device_id, bin(time, 15m) ORDER BY device_id, b DESC`)},
		{"outliers", fixed(`WITH s AS (SELECT device_id, avg(temperature) AS mean, stddev(temperature) AS dev FROM bench.iot WHERE time > ago(7d) GROUP BY device_id)
SELECT r.device_id, r.time, r.temperature, s.mean, s.dev, abs(r.temperature - s.mean) / s.dev AS z FROM bench.iot r JOIN s ON r.device_id = s.device_id
WHERE r.time > ago(1h) AND abs(r.temperature - s.mean) > 2 * s.dev ORDER BY z DESC`)},
		{"low battery", fixed(`SELECT device_id, location, max_by(battery_level, time) AS now, min_by(battery_level, time) AS before,
max_by(battery_level, time) - min_by(battery_level, time) AS drain FROM bench.iot WHERE time > ago(24h)
GROUP BY device_id, location HAVING max_by(battery_level, time) < 20 ORDER BY drain DESC`)},
	}
}
