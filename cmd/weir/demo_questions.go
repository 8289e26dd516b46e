package main

import "strings"

// Where the demo keeps its data.
const (
	demoDatabase = "building"
	demoTable    = "climate"
	demoMeasure  = "climate"
	demoRule     = "climate"
	demoFilter   = "sensors/+/data"
)

// question is asked in SQL; of its answer, the demo shows up to rows rows (0: all).
type question struct {
	title string
	sql   string
	rows  int
}

// demoQuestions are the five usual ones about sensors.
var demoQuestions = []question{
	{title: "What does each device say now?", sql: `
SELECT device, room,
       max_by(temperature, time) AS temperature, max_by(humidity, time) AS humidity, max_by(battery, time) AS battery
FROM building.climate
WHERE time > ago(1h)
GROUP BY device, room
ORDER BY device`},

	{title: "How did it go, in quarters of an hour?", rows: 6, sql: `
SELECT device, bin(time, 15m) AS quarter, count(*) AS readings,
       round(avg(temperature), 2) AS mean, min(temperature) AS coldest, max(temperature) AS warmest
FROM building.climate
WHERE measure_name = 'climate' AND time > ago(24h)
GROUP BY device, bin(time, 15m)
ORDER BY device, quarter DESC`},

	{title: "Which readings of the last hour are more than 3 standard deviations off their device's mean?", sql: `
WITH usual AS (
  SELECT device, avg(temperature) AS mean, stddev(temperature) AS deviation
  FROM building.climate
  WHERE time > ago(7d)
  GROUP BY device
)
SELECT c.device, c.time, c.temperature, round(u.mean, 2) AS mean, round(abs(c.temperature - u.mean) / u.deviation, 1) AS z
FROM building.climate c
JOIN usual u ON u.device = c.device
WHERE c.time > ago(1h) AND abs(c.temperature - u.mean) > 3 * u.deviation
ORDER BY c.time DESC`},

	{title: "Which batteries are low, and how fast are they draining?", sql: `
SELECT device, room, max_by(battery, time) AS battery, round(min_by(battery, time) - max_by(battery, time), 2) AS used_in_24h
FROM building.climate
WHERE time > ago(24h)
GROUP BY device, room
HAVING max_by(battery, time) < 20
ORDER BY used_in_24h DESC`},

	{title: "Which devices are hot?", sql: `
SELECT room, device, max(temperature) AS warmest
FROM building.climate
WHERE time > ago(1h) AND temperature > 40
GROUP BY room, device
ORDER BY warmest DESC`},
}

// text is the statement without the line breaks around it.
func (q *question) text() string { return strings.TrimSpace(q.sql) }
