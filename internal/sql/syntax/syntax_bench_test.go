package syntax

import "testing"

// BenchmarkParse measures queries of the size that devices' dashboards send.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, sql string }{
		{"constant", "SELECT 1"},
		{"aggregate", `SELECT pump_id, BIN(time, 15m) AS interval, AVG(flow) AS mean, MIN(flow) AS low, MAX(flow) AS high
			FROM factory.pumps WHERE time > ago(36h) AND measure_name = 'pump' GROUP BY pump_id, BIN(time, 15m) ORDER BY pump_id, interval DESC`},
		{"join", `WITH usual AS (SELECT pump_id, AVG(flow) AS mean, STDDEV(flow) AS spread FROM factory.pumps WHERE time > ago(30d) GROUP BY pump_id)
			SELECT p.pump_id, p.time, p.flow, u.mean, u.spread, ABS(p.flow - u.mean) / u.spread AS z FROM factory.pumps p JOIN usual u ON p.pump_id = u.pump_id
			WHERE p.time > ago(1h) AND ABS(p.flow - u.mean) > 2 * u.spread ORDER BY z DESC`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.sql)))
			for b.Loop() {
				if _, err := Parse(c.sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEqual(b *testing.B) {
	x, _ := ParseExpr("BIN(time, 15m)")
	y, _ := ParseExpr("bin(time, 15m)")
	b.ReportAllocs()
	for b.Loop() {
		if !Equal(x, y) {
			b.Fatal("not equal")
		}
	}
}
