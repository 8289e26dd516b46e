package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// benchOperators compares operators over ten million rows where they are made, without the wire.
func benchOperators(ctx context.Context, b *bench) error {
	settings := *b.settings
	settings.repeats, settings.rounds = 1, min(settings.rounds, 5)
	one := &bench{settings: &settings, peers: b.peers, report: b.report, settled: true, warm: 1}
	if err := one.compare(ctx, "operators", operatorsWorkload(b.scaled(7000), 1440), []shape{device}); err != nil {
		return err
	}
	b.report.ratios("operators", "weir device", "duckdb")
	return nil
}

// operatorsWorkload is devices × 60 s × 24 h: a walk of two decimals, a double that is random
// within 0 to 1000, and whole numbers of which there are a million and a thousand.
func operatorsWorkload(devices, steps int) *workload {
	w := &workload{
		table:      "ops",
		dimensions: []string{"device_id", "site"},
		measures:   []string{"temperature", "reading", "code", "kind"},
		steps:      steps,
		step:       time.Minute,
		decimals:   []int{2, 12, -1, -1},
		start:      func(r *rand.Rand, m int) float64 { return 20 },
		value: func(r *rand.Rand, m int, before float64) float64 {
			switch m {
			case 0:
				return before + 0.05*r.NormFloat64()
			case 1:
				return math.Floor(r.Float64()*1e15) / 1e12
			case 2:
				return float64(r.IntN(1_000_000))
			}
			return float64(r.IntN(1000))
		},
		phase:   func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(60000)) * time.Millisecond },
		end:     time.Now().Truncate(time.Second),
		classes: operatorClasses(),
	}
	for d := range devices {
		w.series = append(w.series, []string{fmt.Sprintf("device-%05d", d), fmt.Sprintf("site-%02d", d%20)})
	}
	return w
}

// operatorClasses are questions of which every row passes an operator.
func operatorClasses() []class {
	var list []class
	add := func(name, sql string) {
		list = append(list, class{
			name: name, inside: true,
			draw: func(_ *rand.Rand, w *workload) draw { return w.last(0) },
			sql:  func(d *draw, x *dialect) string { return fmt.Sprintf(sql, x.table(d.w)) },
		})
	}
	add("scan", "SELECT time, device_id, reading, code FROM %s")

	add("sort double", "SELECT reading FROM %s ORDER BY reading")
	add("sort double, four columns", "SELECT reading, time, device_id, code FROM %s ORDER BY reading")
	add("sort bigint, time desc", "SELECT code, time, device_id, reading FROM %s ORDER BY code, time DESC")
	add("sort site, double", "SELECT site, reading, time FROM %s ORDER BY site, reading")
	add("sort device, time (order helps)", "SELECT device_id, time, reading FROM %s ORDER BY device_id, time")
	add("top 100 by double", "SELECT reading, time, device_id FROM %s ORDER BY reading DESC LIMIT 100")

	add("row_number by kind over double", "SELECT kind, reading, row_number() OVER (PARTITION BY kind ORDER BY reading) FROM %s")
	add("rank over bigint", "SELECT code, rank() OVER (ORDER BY code) FROM %s")
	add("moving sum by site over double", "SELECT site, reading, sum(reading) OVER (PARTITION BY site ORDER BY reading ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) FROM %s")
	add("running max by code over time", "SELECT code, time, max(reading) OVER (PARTITION BY code ORDER BY time) FROM %s")
	add("lag by device over time (order helps)", "SELECT device_id, time, lag(temperature) OVER (PARTITION BY device_id ORDER BY time) FROM %s")

	add("group by kind (1,000 groups)", "SELECT kind, count(*), sum(reading) FROM %s GROUP BY kind")
	add("group by code (1 M groups)", "SELECT code, count(*), sum(reading) FROM %s GROUP BY code")
	add("group by code, kind (10 M groups)", "SELECT code, kind, max(reading) FROM %s GROUP BY code, kind")
	add("group by text (1 M texts)", "SELECT 'code-' || CAST(code AS varchar), count(*), sum(reading) FROM %s GROUP BY 1")
	add("group by device (order helps)", "SELECT device_id, avg(reading), min(reading), max(reading), count(code) FROM %s GROUP BY device_id")
	add("count distinct code", "SELECT count(DISTINCT code) FROM %s")
	add("count distinct code by site", "SELECT site, count(DISTINCT code) FROM %s GROUP BY site")
	add("distinct code, site", "SELECT count(*) FROM (SELECT DISTINCT code, site FROM %s)")

	const thousand = "(SELECT kind AS k, max(reading) AS m FROM %[1]s WHERE device_id IN ('device-00001', 'device-00002', 'device-00003', 'device-00004', 'device-00005', 'device-00006', 'device-00007') GROUP BY kind)"
	const million = "(SELECT code AS c, max(reading) AS m FROM %[1]s WHERE site IN ('site-01', 'site-02', 'site-03') GROUP BY code)"
	add("join 10 M with 1 K", "SELECT count(*), sum(s.m) FROM %[1]s t JOIN "+thousand+" s ON t.kind = s.k")
	add("join 10 M with 0.8 M", "SELECT count(*), sum(s.m) FROM %[1]s t JOIN "+million+" s ON t.code = s.c")
	add("left join 10 M with 0.8 M", "SELECT count(*), count(s.m), sum(t.reading) FROM %[1]s t LEFT JOIN "+million+" s ON t.code = s.c")
	add("rows above their device's average", "SELECT count(*) FROM %[1]s t JOIN (SELECT device_id AS d, avg(reading) AS m FROM %[1]s GROUP BY device_id) s ON t.device_id = s.d WHERE t.reading > s.m")
	add("codes that a site never had", "SELECT count(*) FROM (SELECT code FROM %[1]s EXCEPT SELECT code FROM %[1]s WHERE site = 'site-01')")
	return list
}
