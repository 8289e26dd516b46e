package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// class is one kind of question. The same draws go to every engine, in its own
// language; an engine whose text is empty is not asked.
type class struct {
	name string
	goal float64 // median, ms; 0 is none
	draw func(r *rand.Rand, w *workload) draw
	sql  func(d *draw, x *dialect) string
	prom func(d *draw) promQuery
	flux func(d *draw) string // InfluxQL

	// inside: rows are dropped where they are made, without a wire: by an OFFSET behind them in weir, batch
	// by batch in DuckDB. Other engines are not asked.
	inside bool
}

// draw is one question's random part.
type draw struct {
	w        *workload
	names    []string // of the first dimension
	site     string
	from, to time.Time
}

// dialect is how an SQL engine writes what differs.
type dialect struct {
	table   func(w *workload) string
	bin     func(width time.Duration) string // of time
	at      func(t time.Time) string
	maxBy   string
	minBy   string
	stddev  string
	hasWith bool
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

var weirSQL = &dialect{
	table: func(w *workload) string { return "bench." + w.table },
	bin:   func(d time.Duration) string { return fmt.Sprintf("bin(time, %dm)", int(d.Minutes())) },
	at:    func(t time.Time) string { return fmt.Sprintf("from_milliseconds(%d)", t.UnixMilli()) },
	maxBy: "max_by", minBy: "min_by", stddev: "stddev", hasWith: true,
}

var duckSQL = &dialect{
	table: func(w *workload) string { return w.table },
	bin: func(d time.Duration) string {
		return fmt.Sprintf("time_bucket(INTERVAL '%d minutes', time)", int(d.Minutes()))
	},
	at:    func(t time.Time) string { return fmt.Sprintf("make_timestamp(%d)", t.UnixMicro()) },
	maxBy: "max_by", minBy: "min_by", stddev: "stddev", hasWith: true,
}

var chdbSQL = &dialect{
	table: func(w *workload) string { return "bench." + w.table },
	bin: func(d time.Duration) string {
		return fmt.Sprintf("toStartOfInterval(time, INTERVAL %d minute)", int(d.Minutes()))
	},
	at:    func(t time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", t.UnixMilli()) },
	maxBy: "argMax", minBy: "argMin", stddev: "stddevSamp", hasWith: true,
}

// clickhouseSQL is for version 18, which has no times below a second: time is ms.
var clickhouseSQL = &dialect{
	table: func(w *workload) string { return "bench." + w.table },
	bin: func(d time.Duration) string {
		return fmt.Sprintf("intDiv(time, %d) * %[1]d", d.Milliseconds())
	},
	at:    func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) },
	maxBy: "argMax", minBy: "argMin", stddev: "stddevSamp",
}

// promQuery is a question for VictoriaMetrics: a range query if step is given, else
// an instant one at end.
type promQuery struct {
	expr       string
	start, end time.Time
	step       time.Duration
}

// window draws a range of length d within the data, not aligned to anything, and n series.
func (w *workload) window(r *rand.Rand, d time.Duration, n int) draw {
	total := time.Duration(w.steps) * w.step
	from := w.begin().Add(time.Duration(r.Int64N(int64(max(1, total-d))))).Truncate(time.Millisecond)
	out := draw{w: w, from: from, to: from.Add(d)}
	for _, i := range r.Perm(len(w.series))[:min(n, len(w.series))] {
		out.names = append(out.names, w.series[i][0])
		out.site = w.series[i][1]
	}
	return out
}

// last is the range of length d that ends with the data; all of it if d is 0.
func (w *workload) last(d time.Duration) draw {
	if d == 0 {
		return draw{w: w, from: w.begin(), to: w.end.Add(time.Millisecond)}
	}
	return draw{w: w, from: w.end.Add(-d), to: w.end.Add(time.Millisecond)}
}

func (d *draw) span(x *dialect) string {
	return fmt.Sprintf("time >= %s AND time < %s", x.at(d.from), x.at(d.to))
}

// one restricts to the drawn names.
func (d *draw) one() string {
	return d.w.dimensions[0] + " IN ('" + strings.Join(d.names, "', '") + "')"
}

func (d *draw) aggs(format string, n int) string {
	var parts []string
	for _, m := range d.w.measures[:n] {
		parts = append(parts, fmt.Sprintf(format, m))
	}
	return strings.Join(parts, ", ")
}

// metrics is a selector of the first n measures' time series of the drawn names.
func (d *draw) metrics(n int) string {
	sel := fmt.Sprintf(`__name__=~"%s_(%s)"`, d.w.table, strings.Join(d.w.measures[:n], "|"))
	if n == 1 {
		sel = fmt.Sprintf(`__name__="%s_%s"`, d.w.table, d.w.measures[0])
	}
	if len(d.names) > 0 {
		sel += fmt.Sprintf(`,%s=~"%s"`, d.w.dimensions[0], strings.Join(d.names, "|"))
	}
	return "{" + sel + "}"
}

func (d *draw) fluxSpan() string {
	return fmt.Sprintf("time >= %dms AND time < %dms", d.from.UnixMilli(), d.to.UnixMilli())
}

func (d *draw) fluxOne() string {
	var parts []string
	for _, n := range d.names {
		parts = append(parts, fmt.Sprintf("%s = '%s'", d.w.dimensions[0], n))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// cpuClasses are the twelve classes of TSBS devops cpu-only.
func cpuClasses() []class {
	byTime := func(name string, goal float64, metrics, hosts int, width, span time.Duration) class {
		return class{
			name: name, goal: goal,
			draw: func(r *rand.Rand, w *workload) draw { return w.window(r, span, hosts) },
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT %s AS bucket, %s FROM %s WHERE %s AND %s GROUP BY %s ORDER BY 1",
					x.bin(width), d.aggs("max(%s)", metrics), x.table(d.w), d.one(), d.span(x), x.bin(width))
			},
			prom: func(d *draw) promQuery {
				return promQuery{fmt.Sprintf("max(max_over_time(%s[%dm])) by (__name__)", d.metrics(metrics), int(width.Minutes())), d.from, d.to, width}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT %s FROM %s WHERE %s AND %s GROUP BY time(%dm)", d.aggs("max(%s)", metrics), d.w.table, d.fluxOne(), d.fluxSpan(), int(width.Minutes()))
			},
		}
	}
	double := func(name string, goal float64, metrics int) class {
		return class{
			name: name, goal: goal,
			draw: func(r *rand.Rand, w *workload) draw { return w.window(r, 12*time.Hour, 0) },
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT hostname, %s AS bucket, %s FROM %s WHERE %s GROUP BY hostname, %s ORDER BY 1, 2",
					x.bin(time.Hour), d.aggs("avg(%s)", metrics), x.table(d.w), d.span(x), x.bin(time.Hour))
			},
			prom: func(d *draw) promQuery {
				return promQuery{fmt.Sprintf("avg(avg_over_time(%s[1h])) by (__name__, hostname)", d.metrics(metrics)), d.from, d.to, time.Hour}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT %s FROM %s WHERE %s GROUP BY time(1h), hostname", d.aggs("mean(%s)", metrics), d.w.table, d.fluxSpan())
			},
		}
	}
	high := func(name string, goal float64, hosts int) class {
		return class{
			name: name, goal: goal,
			draw: func(r *rand.Rand, w *workload) draw { return w.window(r, 12*time.Hour, hosts) },
			sql: func(d *draw, x *dialect) string {
				where := d.span(x)
				if hosts > 0 {
					where += " AND " + d.one()
				}
				return fmt.Sprintf("SELECT * FROM %s WHERE usage_user > 90 AND %s", x.table(d.w), where)
			},
			flux: func(d *draw) string {
				where := d.fluxSpan()
				if hosts > 0 {
					where += " AND " + d.fluxOne()
				}
				return fmt.Sprintf("SELECT * FROM %s WHERE usage_user > 90 AND %s", d.w.table, where)
			},
		}
	}
	return []class{
		byTime("single-groupby-1-1-1", 0.3, 1, 1, time.Minute, time.Hour),
		byTime("single-groupby-1-8-1", 0.45, 1, 8, time.Minute, time.Hour),
		byTime("single-groupby-5-8-1", 1, 5, 8, time.Minute, time.Hour),
		byTime("cpu-max-all-1", 0.5, 10, 1, time.Hour, 8*time.Hour),
		byTime("cpu-max-all-8", 1.8, 10, 8, time.Hour, 8*time.Hour),
		double("double-groupby-1", 3, 1),
		double("double-groupby-5", 7, 5),
		double("double-groupby-all", 12, 10),
		high("high-cpu-1", 1.5, 1),
		high("high-cpu-all", 45, 0),
		{
			name: "lastpoint", goal: 1,
			draw: func(_ *rand.Rand, w *workload) draw { return w.last(0) },
			sql: func(d *draw, x *dialect) string {
				var parts []string
				for _, m := range d.w.measures {
					parts = append(parts, fmt.Sprintf("%s(%s, time)", x.maxBy, m))
				}
				return fmt.Sprintf("SELECT hostname, max(time), %s FROM %s GROUP BY hostname ORDER BY hostname", strings.Join(parts, ", "), x.table(d.w))
			},
			prom: func(d *draw) promQuery {
				return promQuery{expr: fmt.Sprintf("last_over_time(%s[25h])", d.metrics(10)), end: d.to}
			},
			flux: func(d *draw) string { return "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1" },
		},
		{
			name: "groupby-orderby-limit", goal: 1,
			draw: func(r *rand.Rand, w *workload) draw {
				d := w.last(0)
				d.to = w.end.Add(-time.Duration(r.Int64N(int64(w.step) * int64(w.steps) / 2)))
				return d
			},
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT %s AS bucket, max(usage_user) FROM %s WHERE time < %s GROUP BY %s ORDER BY bucket DESC LIMIT 5",
					x.bin(time.Minute), x.table(d.w), x.at(d.to), x.bin(time.Minute))
			},
			prom: func(d *draw) promQuery {
				return promQuery{"max(max_over_time(cpu_usage_user[1m]))", d.to.Add(-5 * time.Minute), d.to, time.Minute}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT max(usage_user) FROM cpu WHERE time < %dms GROUP BY time(1m) ORDER BY time DESC LIMIT 5", d.to.UnixMilli())
			},
		},
	}
}

// iotClasses are the questions people ask of device data.
func iotClasses() []class {
	fixed := func(span time.Duration) func(*rand.Rand, *workload) draw {
		return func(_ *rand.Rand, w *workload) draw { return w.last(span) }
	}
	byHour := func(name string, goal float64, where, flux, sel func(d *draw) string) class {
		return class{
			name: name, goal: goal,
			draw: func(r *rand.Rand, w *workload) draw { return w.window(r, 23*time.Hour, 1) },
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT %s AS bucket, avg(temperature), min(temperature), max(temperature) FROM %s WHERE %s AND %s GROUP BY %s ORDER BY 1",
					x.bin(time.Hour), x.table(d.w), where(d), d.span(x), x.bin(time.Hour))
			},
			prom: func(d *draw) promQuery {
				m := fmt.Sprintf("%s_temperature{%s}[1h]", d.w.table, sel(d))
				return promQuery{fmt.Sprintf(`union(alias(avg(avg_over_time(%s)), "avg"), alias(min(min_over_time(%[1]s)), "min"), alias(max(max_over_time(%[1]s)), "max"))`, m), d.from, d.to, time.Hour}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT mean(temperature), min(temperature), max(temperature) FROM %s WHERE %s AND %s GROUP BY time(1h)", d.w.table, flux(d), d.fluxSpan())
			},
		}
	}
	site := func(d *draw) string { return "location = '" + d.site + "'" }
	return []class{
		{
			name: "latest reading, last hour", goal: 10, // the article's first query
			draw: fixed(time.Hour),
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT device_id, location, %s(temperature, time), %[1]s(humidity, time), %[1]s(battery_level, time) FROM %s WHERE %s GROUP BY device_id, location ORDER BY device_id",
					x.maxBy, x.table(d.w), d.span(x))
			},
			prom: func(d *draw) promQuery {
				return promQuery{expr: fmt.Sprintf("last_over_time(%s[1h])", d.metrics(3)), end: d.to}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT last(temperature), last(humidity), last(battery_level) FROM %s WHERE %s GROUP BY device_id, location", d.w.table, d.fluxSpan())
			},
		},
		{
			name: "last value per device", goal: 3,
			draw: fixed(0),
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT device_id, max(time), %s(temperature, time) FROM %s GROUP BY device_id ORDER BY device_id", x.maxBy, x.table(d.w))
			},
			prom: func(d *draw) promQuery {
				return promQuery{expr: fmt.Sprintf("last_over_time(%s[25h])", d.metrics(1)), end: d.to}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT last(temperature) FROM %s GROUP BY device_id", d.w.table)
			},
		},
		byHour("one device by hour", 0.4, (*draw).one, (*draw).fluxOne, func(d *draw) string { return fmt.Sprintf(`device_id="%s"`, d.names[0]) }),
		byHour("one site by hour", 5, site, site, func(d *draw) string { return fmt.Sprintf(`location="%s"`, d.site) }),
		{
			name: "15-minute averages",
			draw: fixed(24 * time.Hour),
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf("SELECT device_id, %s AS bucket, avg(temperature), min(temperature), max(temperature) FROM %s WHERE %s GROUP BY device_id, %s ORDER BY device_id, bucket DESC",
					x.bin(15*time.Minute), x.table(d.w), d.span(x), x.bin(15*time.Minute))
			},
			prom: func(d *draw) promQuery {
				m := d.w.table + "_temperature[15m]"
				return promQuery{fmt.Sprintf(`union(alias(avg_over_time(%s), "avg"), alias(min_over_time(%[1]s), "min"), alias(max_over_time(%[1]s), "max"))`, m), d.from, d.to, 15 * time.Minute}
			},
			flux: func(d *draw) string {
				return fmt.Sprintf("SELECT mean(temperature), min(temperature), max(temperature) FROM %s WHERE %s GROUP BY time(15m), device_id", d.w.table, d.fluxSpan())
			},
		},
		{
			name: "outliers", goal: 10,
			draw: fixed(24 * time.Hour),
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf(`WITH s AS (SELECT device_id, avg(temperature) AS mean, %s(temperature) AS dev FROM %s WHERE %s GROUP BY device_id)
SELECT r.device_id, r.time, r.temperature, s.mean, s.dev, abs(r.temperature - s.mean) / s.dev AS z FROM %[2]s r JOIN s ON r.device_id = s.device_id
WHERE r.time >= %[4]s AND abs(r.temperature - s.mean) > 2 * s.dev ORDER BY z DESC`, x.stddev, x.table(d.w), d.span(x), x.at(d.to.Add(-time.Hour)))
			},
		},
		{
			name: "low battery", goal: 4,
			draw: fixed(24 * time.Hour),
			sql: func(d *draw, x *dialect) string {
				return fmt.Sprintf(`SELECT device_id, location, %[1]s(battery_level, time), %[2]s(battery_level, time) - %[1]s(battery_level, time) AS drain FROM %[3]s WHERE %[4]s
GROUP BY device_id, location HAVING %[1]s(battery_level, time) < 20 ORDER BY drain DESC`, x.maxBy, x.minBy, x.table(d.w), d.span(x))
			},
			prom: func(d *draw) promQuery {
				m := d.w.table + "_battery_level[24h]"
				return promQuery{expr: fmt.Sprintf("(first_over_time(%s) - last_over_time(%[1]s)) and (last_over_time(%[1]s) < 20)", m), end: d.to}
			},
		},
	}
}
