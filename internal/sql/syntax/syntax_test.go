package syntax

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
)

// same reports whether two trees are equal apart from positions.
func same(a, b any) bool {
	return reflect.DeepEqual(withoutPos(reflect.ValueOf(a)).Interface(), withoutPos(reflect.ValueOf(b)).Interface())
}

var posType = reflect.TypeFor[Pos]()

// withoutPos returns a deep copy of v with all positions zero.
func withoutPos(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			p := reflect.New(v.Type().Elem())
			p.Elem().Set(withoutPos(v.Elem()))
			out.Set(p)
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(withoutPos(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(withoutPos(v.Index(i)))
			}
		}
	case reflect.Struct:
		if v.Type() != posType {
			for i := range v.NumField() {
				out.Field(i).Set(withoutPos(v.Field(i)))
			}
		}
	default:
		out.Set(v)
	}
	return out
}

// roundTrip parses sql, prints it and parses that, and returns the print.
func roundTrip(t *testing.T, sql string) string {
	t.Helper()
	first, err := Parse(sql)
	if err != nil {
		t.Errorf("Parse(%q): %s", sql, detail(err))
		return ""
	}
	printed := Format(first)
	second, err := Parse(printed)
	if err != nil {
		t.Errorf("Parse(%q) prints as %q, which does not parse: %s", sql, printed, detail(err))
	} else if !same(first, second) {
		t.Errorf("Parse(%q) prints as %q, which is another tree (it prints as %q)", sql, printed, Format(second))
	}
	return printed
}

func detail(err error) string {
	if e, ok := err.(*Error); ok {
		return e.Detail()
	}
	return err.Error()
}

// prints is a table of statements and the text that their trees print as; an empty text is the statement itself.
var prints = []struct{ sql, want string }{
	// Statements.
	{"SELECT 1", ""},
	{"select 1 ;", "SELECT 1"},
	{"-- a comment\nSELECT /* another\n -- */ 1 -- the end", "SELECT 1"},
	{"SHOW DATABASES", ""},
	{"show databases like 'pl%'", "SHOW DATABASES LIKE 'pl%'"},
	{"SHOW TABLES", ""},
	{`SHOW TABLES FROM "plant-7"`, ""},
	{`SHOW TABLES FROM "plant" LIKE 'line\_%'`, ""},
	{`SHOW MEASURES FROM "plant"."line.4"`, ""},
	{`SHOW MEASURES FROM plant.line LIKE 'k_'`, ""},
	{`describe "plant"."line"`, `DESCRIBE "plant"."line"`},
	{"EXPLAIN SELECT 1", ""},
	{"explain analyze (select 1)", "EXPLAIN ANALYZE SELECT 1"},
	{"UNLOAD(SELECT site, to_nanoseconds(time) FROM plant.meters) TO 's3://bucket/p' WITH (format='csv', include_header='true')",
		"UNLOAD (SELECT site, to_nanoseconds(time) FROM plant.meters) TO 's3://bucket/p' WITH (format = 'csv', include_header = 'true')"},
	{`UNLOAD (SELECT a FROM d.t) TO 's3://b/' WITH (partitioned_by = ARRAY ['c', 'd'], escaped_by = '\')`,
		`UNLOAD (SELECT a FROM d.t) TO 's3://b/' WITH (partitioned_by = ARRAY['c', 'd'], escaped_by = '\')`},
	{"UNLOAD ((SELECT 1) UNION (SELECT 2)) TO 's3://b'", "UNLOAD (SELECT 1 UNION SELECT 2) TO 's3://b'"},

	// Names.
	{`SELECT a, "fuel rate", "say ""hi""", _x1 FROM sampleDb.DevOps`, ""},
	{"SELECT measure_value::double, t.measure_value::BIGINT, \"measure_value::double\" FROM d.t t",
		"SELECT measure_value::double, t.measure_value::bigint, \"measure_value::double\" FROM d.t AS t"},
	{"SELECT db.t.col, a.b.c.d FROM db.t", ""},
	{"SELECT day, hour, minute, date, time, timestamp, rank, row, rows, count, sum, value, start, at, first, last, filter, interval, tables, show FROM d.t", ""},
	{"SELECT 1 day, 2 interval, 3 time, 4 limit, 5 offset, 6 all, 7 over, 8 filter FROM d.t limit LIMIT 5",
		"SELECT 1 AS day, 2 AS interval, 3 AS time, 4 AS limit, 5 AS offset, 6 AS all, 7 AS over, 8 AS filter FROM d.t AS limit LIMIT 5"},
	{"SELECT bin(time, 15m) AS interval FROM d.t ORDER BY device, interval DESC", ""},
	{"SELECT count(*) filter, sum(x) over FROM d.t", "SELECT count(*) AS filter, sum(x) AS over FROM d.t"},

	// Literals.
	{"SELECT 'it''s', '', 'two\nlines'", ""},
	{`SELECT U&'\00e9\+01F600\\', u&'!0041!!' UESCAPE '!'`, `SELECT 'é😀\', 'A!'`},
	{"SELECT 0, 007, 2147483648, 9223372036854775807, -9223372036854775808, -5",
		"SELECT 0, 7, 2147483648, 9223372036854775807, -9223372036854775808, -5"},
	{"SELECT 2.75, .5, 3., 2E3, 2.5e-1, 1e100", "SELECT 2.75, 0.5, 3.0, 2000.0, 0.25, 1e+100"},
	{"SELECT TRUE, false, NULL", "SELECT TRUE, FALSE, NULL"},
	{"SELECT date '2031-8-9', TIME '1:2', timestamp '2031-08-09 1:02:03.000000004', bigint '5', double '2', double precision '3', varchar 'x'",
		"SELECT DATE '2031-8-9', TIME '1:2', TIMESTAMP '2031-08-09 1:02:03.000000004', BIGINT '5', DOUBLE '2', DOUBLE '3', VARCHAR 'x'"},
	{"SELECT 4h, 36000s, 5minute, 250ms, 3ns, 2us, 1D, 7month, 2y, 4 h",
		"SELECT 4h, 36000s, 5m, 250ms, 3ns, 2us, 1d, 7month, 2y, 4 AS h"},
	{"SELECT 2h + 30m, -1d, now() - 1h", ""},
	{"SELECT INTERVAL '3' DAY, interval -'2' week, INTERVAL + '1' year, INTERVAL 30 MINUTE, interval '1-2' year to month, interval '1 2:3:4.5' day to second",
		"SELECT INTERVAL '3' DAY, INTERVAL -'2' WEEK, INTERVAL '1' YEAR, INTERVAL '30' MINUTE, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '1 2:3:4.5' DAY TO SECOND"},
	{"SELECT interval - 5, interval FROM d.t", ""},
	{"SELECT ARRAY[1, 2], array[], ROW(1, 'a'), (1, 'a')", "SELECT ARRAY[1, 2], ARRAY[], ROW(1, 'a'), ROW(1, 'a')"},

	// Operators.
	{"SELECT a + b * c - d / e % f", ""},
	{"SELECT (a + b) * c - (d - e), a - (b + c), a || b || (c || d)", ""},
	{"SELECT a || b + c, (a || b) + c", ""},
	{"SELECT - -x, -(-5), +x, -(a + b), --x\n y", "SELECT - -x, - -5, +x, -(a + b), y"},
	{"SELECT a FROM t WHERE a = 1 OR b <> 2 AND NOT c != 3 OR d IS NULL", "SELECT a FROM t WHERE a = 1 OR b <> 2 AND NOT c <> 3 OR d IS NULL"},
	{"SELECT a FROM t WHERE (a = 1 OR b = 2) AND NOT (c = 3 AND d = 4) AND (e AND f)", ""},
	{"SELECT a FROM t WHERE a BETWEEN 1 AND 2 AND b NOT BETWEEN x AND y + 1", ""},
	{"SELECT a FROM t WHERE a IN (1, 2) AND b NOT IN ('x') AND c IN (SELECT 1) AND (d, e) IN (VALUES (1, 2))",
		"SELECT a FROM t WHERE a IN (1, 2) AND b NOT IN ('x') AND c IN (SELECT 1) AND ROW(d, e) IN (VALUES (1, 2))"},
	{"SELECT a FROM t WHERE a LIKE '%x' AND b NOT LIKE 'y\\_' ESCAPE '\\'", ""},
	{"SELECT a IS NULL, a IS NOT NULL, a IS DISTINCT FROM b, a IS NOT DISTINCT FROM b + 1", ""},
	{"SELECT a = ALL (SELECT 1), a < any (VALUES 1, 2), a <> SOME (SELECT 2)", "SELECT a = ALL (SELECT 1), a < ANY (VALUES 1, 2), a <> ANY (SELECT 2)"},
	{"SELECT (a = b) = c, (a IS NULL) IS NOT NULL, (NOT a) = b", ""},
	{"SELECT a FROM t WHERE EXISTS (SELECT 1) AND NOT EXISTS (SELECT 2)", ""},
	{"SELECT a[1], a[b + 1][2], f(x)[1].y, f(x).time, (r).b, (array)[1], (1, 2)[1], r.a.b",
		"SELECT a[1], a[b + 1][2], f(x)[1].y, f(x).time, (r).b, (array)[1], ROW(1, 2)[1], r.a.b"},

	// Calls and forms.
	{"SELECT CASE x WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END, CASE WHEN a > 1 THEN 2 END", ""},
	{"SELECT CAST(a AS varchar(10)), try_cast(b AS DOUBLE PRECISION), cast(c AS array<array(int)>), cast(d AS ROW(x bigint, \"y z\" timestamp, double)), CAST(e AS interval day TO second), CAST(f AS interval year to month)",
		"SELECT CAST(a AS varchar(10)), TRY_CAST(b AS double), CAST(c AS array(array(int))), CAST(d AS row(x bigint, \"y z\" timestamp, double)), CAST(e AS interval day to second), CAST(f AS interval year to month)"},
	{"SELECT extract(YEAR FROM time), EXTRACT(day_of_week FROM '2031-01-02')", "SELECT EXTRACT(YEAR FROM time), EXTRACT(day_of_week FROM '2031-01-02')"},
	{"SELECT position('a' IN s || 'x'), position(a, b), substring(s FROM 2), substring(s FROM 2 FOR 3), substring(s, 2)",
		"SELECT strpos(s || 'x', 'a'), position(a, b), substr(s, 2), substr(s, 2, 3), substring(s, 2)"},
	{"SELECT normalize(s), NORMALIZE(s, nfd)", "SELECT normalize(s), normalize(s, 'NFD')"},
	{"SELECT current_date, CURRENT_TIME, current_timestamp, localtime, localtimestamp, current_timezone()",
		"SELECT current_date, current_time, current_timestamp, localtime, localtimestamp, current_timezone()"},
	{"SELECT count(*), COUNT(DISTINCT a), sum(ALL b), array_agg(a ORDER BY b DESC NULLS FIRST, c), count(*) FILTER (WHERE a > 1)",
		"SELECT count(*), COUNT(DISTINCT a), sum(b), array_agg(a ORDER BY b DESC NULLS FIRST, c), count(*) FILTER (WHERE a > 1)"},
	{"SELECT filter(s, p -> p.value > 1), reduce(s, 0.0, (a, p) -> a + p.value, a -> a), f(() -> 1)", ""},
	{"SELECT if(a, 1), coalesce(a, b), nullif(a, b), try(a / b)", ""},
	{"SELECT rank() OVER (ORDER BY a DESC), lag(x, 1) IGNORE NULLS OVER (PARTITION BY a, b ORDER BY time), f() respect nulls over ()",
		"SELECT rank() OVER (ORDER BY a DESC), lag(x, 1) IGNORE NULLS OVER (PARTITION BY a, b ORDER BY time), f() RESPECT NULLS OVER ()"},
	{"SELECT sum(x) OVER (ORDER BY t ROWS 2 PRECEDING), sum(x) OVER (ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND 1h FOLLOWING), sum(x) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
		"SELECT sum(x) OVER (ORDER BY t ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), sum(x) OVER (ORDER BY t RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND 1h FOLLOWING), sum(x) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"},
	{"SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY b) FROM t", ""},
	{"SELECT a FROM t WHERE time < @scheduled_runtime - 1h", ""},

	// Select, relations.
	{"SELECT * FROM d.t", ""},
	{"SELECT t.*, d.t.*, x FROM d.t", ""},
	{"SELECT DISTINCT a, b FROM t", ""},
	{"SELECT ALL a FROM t", "SELECT a FROM t"},
	{"SELECT all FROM t", "SELECT ALL all FROM t"},
	{"SELECT a FROM d.t1 x, d.t2 AS y (p, q), (SELECT 1) z, (VALUES 1, 2) AS v (n)",
		"SELECT a FROM d.t1 AS x, d.t2 AS y (p, q), (SELECT 1) AS z, (VALUES 1, 2) AS v (n)"},
	{"SELECT a FROM x JOIN y ON x.a = y.a LEFT OUTER JOIN z USING (b, c) CROSS JOIN w FULL JOIN v ON true RIGHT JOIN u ON 1 = 1",
		"SELECT a FROM x JOIN y ON x.a = y.a LEFT JOIN z USING (b, c) CROSS JOIN w FULL JOIN v ON TRUE RIGHT JOIN u ON 1 = 1"},
	{"SELECT a FROM x INNER JOIN y JOIN z ON y.a = z.a ON x.a = y.a", "SELECT a FROM x JOIN (y JOIN z ON y.a = z.a) ON x.a = y.a"},
	{"SELECT a FROM (x JOIN y ON TRUE) AS j, ((t)) u", "SELECT a FROM (x JOIN y ON TRUE) AS j, t AS u"},
	{"SELECT a FROM ((SELECT 1) a CROSS JOIN (SELECT 2) b)", "SELECT a FROM (SELECT 1) AS a CROSS JOIN (SELECT 2) AS b"},
	{"SELECT a FROM (t AS a) AS b", ""},
	{"SELECT t, v FROM s CROSS JOIN UNNEST(s.points) AS u (t, v)", ""},
	{"SELECT * FROM UNNEST(ARRAY[1], b) WITH ORDINALITY AS u (a, b, n)", ""},
	{"SELECT a FROM t WHERE a > 1 GROUP BY a, bin(time, 15m), 2 HAVING count(*) > 1", ""},
	{"SELECT a FROM t GROUP BY (), (a, b), (a), (a) + 1, (SELECT 1)", "SELECT a FROM t GROUP BY (), (a, b), a, a + 1, (SELECT 1)"},
	{"SELECT a FROM t GROUP BY ALL a", "SELECT a FROM t GROUP BY a"},
	{"SELECT a FROM t GROUP BY DISTINCT ROLLUP (a, (b, c)), CUBE (a), GROUPING SETS ((a), (), (b, c))",
		"SELECT a FROM t GROUP BY DISTINCT ROLLUP (a, (b, c)), CUBE (a), GROUPING SETS (a, (), (b, c))"},
	{"SELECT a FROM t ORDER BY 1, a DESC NULLS FIRST, b ASC NULLS LAST LIMIT 10", "SELECT a FROM t ORDER BY 1, a DESC NULLS FIRST, b NULLS LAST LIMIT 10"},
	{"SELECT a FROM t LIMIT ALL", "SELECT a FROM t"},
	{"SELECT a FROM t OFFSET 5 LIMIT 10", ""},
	{"SELECT a FROM t LIMIT 10 OFFSET 5 ROWS", "SELECT a FROM t OFFSET 5 LIMIT 10"},
	{"SELECT a FROM t FETCH FIRST 3 ROWS ONLY", "SELECT a FROM t LIMIT 3"},
	{"SELECT a FROM t FETCH NEXT ROW ONLY", "SELECT a FROM t LIMIT 1"},
	{"SELECT 1 WHERE false", "SELECT 1 WHERE FALSE"},

	// Queries.
	{"VALUES 4, 5", ""},
	{"VALUES (4, 'p'), ROW(5, 'q'), ((6, 'r'))", "VALUES (4, 'p'), (5, 'q'), (6, 'r')"},
	{"VALUES ROW(1)", ""},
	{"TABLE d.t", "SELECT * FROM d.t"},
	{"WITH a AS (SELECT 1), b (x, y) AS (SELECT 1, 2) SELECT * FROM a, b", ""},
	{"SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a)", ""},
	{"SELECT 1 UNION SELECT 2 UNION ALL SELECT 3 EXCEPT DISTINCT SELECT 4", "SELECT 1 UNION SELECT 2 UNION ALL SELECT 3 EXCEPT SELECT 4"},
	{"SELECT 1 UNION SELECT 2 INTERSECT SELECT 3 ORDER BY 1", ""},
	{"(SELECT 1 UNION SELECT 2) INTERSECT SELECT 3", ""},
	{"SELECT 1 EXCEPT (SELECT 2 EXCEPT SELECT 3)", ""},
	{"(SELECT 1 LIMIT 1) UNION (SELECT 2 ORDER BY 1 LIMIT 1) LIMIT 3", ""},
	{"((SELECT 1 LIMIT 1))", "SELECT 1 LIMIT 1"},
	{"(SELECT 1 LIMIT 2) LIMIT 1", ""},
	{"SELECT ((SELECT 1)), ((SELECT 1) + 2), ((SELECT 1) UNION (SELECT 2)), ((SELECT 1), 2), ((SELECT 1) LIMIT 1)",
		"SELECT (SELECT 1), (SELECT 1) + 2, (SELECT 1 UNION SELECT 2), ROW((SELECT 1), 2), (SELECT 1 LIMIT 1)"},
	{"SELECT * FROM (SELECT a FROM t ORDER BY a DESC LIMIT 3) LIMIT 0", ""},
	{"SELECT (SELECT max(x) FROM u WHERE u.id = t.id) FROM t", ""},
}

func TestFormatGivesTheStatementBack(t *testing.T) {
	t.Parallel()
	for _, c := range prints {
		want := c.want
		if want == "" {
			want = c.sql
		}
		if got := roundTrip(t, c.sql); got != "" && got != want {
			t.Errorf("%q\n got %q\nwant %q", c.sql, got, want)
		}
	}
}

// clientQueries are the shapes that unmodified clients send (reference: clients.md section 5), and queries as dashboards
// and reports over devices have them.
var clientQueries = []string{
	"SELECT 1",
	"SHOW DATABASES",
	`SHOW TABLES FROM "factory"`,
	`SHOW MEASURES FROM "factory"."pumps"`,
	`DESCRIBE "factory"."pumps"`,
	`SELECT * FROM "factory"."pumps" WHERE time BETWEEN from_milliseconds(1924905600000) AND from_milliseconds(1924992000000)`,
	"SELECT bin(time, 30000ms), bin(time, 1m), bin(time, 1h), bin(time, 1d), 1924905600000 FROM factory.pumps",
	"SELECT count(*) FROM factory.pumps WHERE time > from_iso8601_timestamp('2031-02-03T04:05:06Z')",
	"SELECT site, CREATE_TIME_SERIES(time, measure_value::double) AS flow FROM factory.pumps GROUP BY site",
	"SHOW DATABASES LIKE '%'",
	`SHOW TABLES FROM "factory" LIKE 'pu_ps'`,
	"SELECT * FROM (SELECT site, max(time) AS t FROM factory.pumps GROUP BY site ORDER BY t) LIMIT 0",
	`describe "factory"."pumps"`,
	"SELECT * FROM (SELECT * FROM (SELECT a FROM d.t) AS \"inner\") AS \"outer\" WHERE t >= CAST('2031-01-31 10:00:00.0000000' AS timestamp) OFFSET 20 LIMIT 10",
	`SELECT "a"."site" AS "site", SUM("b"."flow") AS "sum:flow:ok" FROM (SELECT * FROM "factory"."pumps") "a" INNER JOIN "factory"."sites" "b" ON ("a"."site" = "b"."site") GROUP BY "a"."site"`,
	`SELECT * FROM "prom"."metrics" WHERE "measure_name" = 'up' AND "job" = 'node' AND REGEXP_LIKE("zone", '^(?!x).*$') AND NOT REGEXP_LIKE("host", 'a|b') AND time BETWEEN FROM_UNIXTIME(1924905600) AND FROM_UNIXTIME(1924905900)`,
	"SELECT \"site\",\n\t\"time\"\r\nFROM \"factory\".\"pumps\"\nWHERE (\"site\" >= 'a' AND \"site\" < 'f') OR \"site\" IN ('x','y') OR (zone IS NULL)",
	`WITH t1 AS (SELECT site FROM factory.pumps) SELECT t1.site FROM t1`,
	`UNLOAD (SELECT site, time FROM factory.pumps) TO 's3://bucket/out/' WITH (partitioned_by = ARRAY ['site'], format = 'PARQUET', compression = 'GZIP', field_delimiter = ',', escaped_by = '\', kms_key = 'key', encryption = 'SSE_S3')`,
	"UNLOAD(SELECT site, to_nanoseconds(time), DATE_FORMAT(time,'%Y-%m-%d') FROM factory.pumps) TO 's3://bucket/out' WITH (format='csv', compression='none', max_file_size='4.9GB', include_header='true')",
	"SELECT avg(flow) FROM factory.pumps WHERE time BETWEEN @scheduled_runtime - 1h AND @scheduled_runtime",

	// The latest value of each pump.
	`SELECT pump_id, hall, MAX_BY(flow, time) AS flow_now, MAX_BY(pressure, time) AS pressure_now
	 FROM factory.pumps WHERE time > ago(2h) GROUP BY pump_id, hall ORDER BY pump_id`,
	// A value per quarter of an hour.
	`SELECT pump_id, BIN(time, 15m) AS interval, AVG(flow) AS mean, MIN(flow) AS low, MAX(flow) AS high
	 FROM factory.pumps WHERE time > ago(36h) AND measure_name = 'pump' GROUP BY pump_id, BIN(time, 15m) ORDER BY pump_id, interval DESC`,
	// Pumps far from their own mean.
	`WITH usual AS (
	   SELECT pump_id, AVG(flow) AS mean, STDDEV(flow) AS spread FROM factory.pumps WHERE time > ago(30d) GROUP BY pump_id
	 )
	 SELECT p.pump_id, p.time, p.flow, u.mean, u.spread, ABS(p.flow - u.mean) / u.spread AS z
	 FROM factory.pumps p JOIN usual u ON p.pump_id = u.pump_id
	 WHERE p.time > ago(1h) AND ABS(p.flow - u.mean) > 2 * u.spread ORDER BY z DESC`,
	// Oil that is low and falling.
	`SELECT pump_id, MAX_BY(oil, time) AS now, MIN_BY(oil, time) AS then_, MAX_BY(oil, time) - MIN_BY(oil, time) AS lost
	 FROM factory.pumps WHERE time > ago(1d) GROUP BY pump_id HAVING MAX_BY(oil, time) < 15 ORDER BY lost DESC`,
	// Hot pumps.
	`SELECT pump_id, MAX(heat) AS hottest FROM factory.pumps WHERE time > ago(1h) AND heat > 90 GROUP BY pump_id ORDER BY hottest DESC`,
	// Energy from an uneven meter.
	`WITH p AS (
	   SELECT site, create_time_series(time, kw) AS s, min(time) AS lo, max(time) AS hi
	   FROM plant.meters WHERE measure_name = 'power' AND time >= ago(3d) GROUP BY site)
	 SELECT site, integral_trapezoidal(interpolate_locf(s, sequence(bin(lo, 1m), hi, 1m)), 1h) AS kwh FROM p ORDER BY kwh DESC`,
}

func TestParseTakesWhatClientsSend(t *testing.T) {
	t.Parallel()
	for _, sql := range clientQueries {
		roundTrip(t, sql)
	}
}

func TestSyntaxErrorTellsItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, place, detail string }{
		{"", "1:1", "found the end of the query, want a statement"},
		{"  \n  ", "2:3", "found the end of the query, want a statement"},
		{"INSERT INTO d.t VALUES 1", "1:1", "found INSERT, want a statement"},
		{"CREATE TABLE t (a int)", "1:1", ""},
		{"DELETE d.t", "1:8", "found d, want FROM"},
		{"DELETE FROM d.t WHERE", "1:22", ""},
		{"DELETE FROM d.t WHERE a = 1 LIMIT 1", "1:29", "found LIMIT, want the end of the query"},
		{"SET x = 1", "1:1", ""},
		{"SELECT", "1:7", ""},
		{"SELECT FROM t", "1:8", "found FROM, want an expression"},
		{"SELECT 1,", "1:10", ""},
		{"SELECT 1 FROM", "1:14", ""},
		{"SELECT 1; SELECT 2", "1:11", "found SELECT, want the end of the query"},
		{"SELECT 1;;", "1:10", ""},
		{"SELECT a\nFROM t\nWHERE a >", "3:10", ""},
		{"SELECT 'ä€😀' é", "1:14", "a character that has no meaning here"},
		{"SELECT '\né' )", "2:4", "found ), want the end of the query"},
		{"SELECT 'open", "1:8", "a string without its closing quote"},
		{"SELECT \"open", "1:8", "a quoted name without its closing quote"},
		{"SELECT \"\"", "1:8", "an empty name"},
		{"SELECT /* open", "1:8", ""},
		{"SELECT 5x", "1:8", "a number with letters behind it that are no unit of time"},
		{"SELECT 1.5h", "1:8", ""},
		{"SELECT 5hours", "1:8", ""},
		{"SELECT 3quarter", "1:8", ""},
		{"SELECT 9223372036854775808", "1:8", "found 9223372036854775808, want a number of at most 64 bits"},
		{"SELECT 1e999", "1:8", ""},
		{"SELECT 99999999999999999999d", "1:8", ""},
		{"SELECT U&'\\00g1'", "1:8", ""},
		{"SELECT U&'\\d800'", "1:8", ""},
		{"SELECT x::bigint FROM t", "1:9", "a character that has no meaning here"},
		{"SELECT ?", "1:8", ""},
		{"SELECT @1", "1:8", "@ without the name of a parameter"},
		{"SELECT a = b = c", "1:14", ""},
		{"SELECT a IS NULL IS NULL", "1:18", ""},
		{"SELECT a NOT b", "1:14", "found b, want BETWEEN, IN or LIKE"},
		{"SELECT a b c", "1:12", ""},
		{"SELECT ()", "1:9", ""},
		{"SELECT (1", "1:10", ""},
		{"SELECT a FROM t WHERE a IN ()", "1:29", ""},
		{"SELECT a FROM t GROUP", "1:22", "found the end of the query, want BY"},
		{"SELECT a FROM t JOIN u", "1:23", "found the end of the query, want ON or USING"},
		{"SELECT a FROM t NATURAL JOIN u", "1:17", ""},
		{"SELECT a FROM LATERAL (SELECT 1)", "1:23", ""},
		{"SELECT a FROM a.b.c", "1:18", ""},
		{"SELECT a FROM t LIMIT -1", "1:23", ""},
		{"SELECT a FROM t LIMIT 1 LIMIT 2", "1:25", ""},
		{"SELECT a FROM t AS select", "1:20", ""},
		{"SELECT table FROM t", "1:8", ""},
		{"WITH RECURSIVE a AS (SELECT 1) SELECT 1", "1:6", ""},
		{"WITH a AS SELECT 1", "1:11", ""},
		{"SELECT CASE END", "1:13", ""},
		{"SELECT CAST(a AS)", "1:17", ""},
		{"SELECT CAST(a AS interval day)", "1:27", ""},
		{"SELECT INTERVAL '1'", "1:20", "found the end of the query, want a unit of time"},
		{"SELECT INTERVAL '1' second to day", "1:31", ""},
		{"SELECT time AT TIME ZONE 'UTC'", "1:16", ""},
		{"SELECT any(x)", "1:8", ""},
		{"SELECT lag(x) IGNORE NULLS FROM t", "1:28", "found FROM, want OVER"},
		{"SELECT sum(x) OVER (ROWS 1) FROM t", "1:27", "found ), want PRECEDING or FOLLOWING"},
		{"SHOW", "1:5", ""},
		{"SHOW COLUMNS FROM d.t", "1:6", "found COLUMNS, want DATABASES, TABLES or MEASURES"},
		{"SHOW MEASURES", "1:14", ""},
		{"SHOW TABLES LIKE x", "1:18", ""},
		{"DESCRIBE", "1:9", ""},
		{"UNLOAD SELECT 1 TO 's3://b'", "1:8", ""},
		{"UNLOAD (SELECT 1) TO b", "1:22", ""},
		{"EXPLAIN SHOW TABLES", "1:9", ""},
		{"SELECT a \xff", "1:10", "bytes that are not UTF-8"},
	} {
		stmt, err := Parse(c.sql)
		if err == nil {
			t.Errorf("Parse(%q) = %s, want an error at %s", c.sql, Format(stmt), c.place)
			continue
		}
		if got, want := err.Error(), "The query syntax is invalid at line "+c.place; got != want {
			t.Errorf("Parse(%q): got %q, want %q (%s)", c.sql, got, want, detail(err))
		}
		if got := detail(err); c.detail != "" && got != "line "+c.place+": "+c.detail {
			t.Errorf("Parse(%q): got detail %q, want %q", c.sql, got, c.detail)
		}
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("Parse(%q): got kind %s, want invalid", c.sql, fault.KindOf(err))
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	repeat := strings.Repeat
	const n = 50_000
	for name, sql := range map[string]string{
		"parentheses":  "SELECT " + repeat("(", n) + "1" + repeat(")", n),
		"unclosed":     "SELECT " + repeat("(", n),
		"subqueries":   repeat("(SELECT ", n/2) + "1" + repeat(")", n/2),
		"half queries": repeat("((SELECT ", n/4) + "1" + repeat(") + 1)", n/4),
		"signs":        "SELECT " + repeat("- ", n) + "1",
		"not":          "SELECT " + repeat("NOT ", n) + "a",
		"calls":        "SELECT " + repeat("substring(", n/2) + "a" + repeat(" FROM 1)", n/2),
		"types":        "SELECT CAST(a AS " + repeat("array(", n) + "int" + repeat(")", n) + ")",
		"relations":    "SELECT 1 FROM " + repeat("(", n) + "t" + repeat(")", n),
		"joins":        "SELECT 1 FROM " + repeat("t JOIN ", n) + "t",
		"lambdas":      "SELECT " + repeat("x -> ", n) + "x",
		"chain":        "SELECT 1" + repeat(" + 1", n),
		"subscripts":   "SELECT a" + repeat("[1]", n),
	} {
		_, err := Parse(sql)
		if err == nil || !strings.Contains(err.Error(), "nested too deep") || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want an invalid query that is nested too deep", name, err)
		}
	}
	for name, sql := range map[string]string{
		"parentheses": "SELECT " + repeat("(", 400) + "1" + repeat(")", 400),
		"chain":       "SELECT 1" + repeat(" + 1", 5000),
		"and":         "SELECT a" + repeat(" AND a", n/2),
		"unions":      "SELECT 1" + repeat(" UNION SELECT 1", n/4),
		"texts":       "SELECT a" + repeat(" || a", n),
		"list":        "SELECT a IN (1" + repeat(", 1", n) + ")",
	} {
		if _, err := Parse(sql); err != nil {
			t.Errorf("%s: got %v, want a query", name, err)
		}
	}
}

func TestPositionsAreThoseOfMessages(t *testing.T) {
	t.Parallel()
	// The text is marked below with the place of each node that a message can point at.
	const sql = "SELECT a + b, f(x) FROM d.t\nWHERE c NOT IN (1) AND 'é' || s LIKE p OR u.v IS NULL"
	stmt, err := Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	sel := stmt.(*Query).Body.(*Select)
	or := sel.Where.(*Or)
	and := or.Terms[0].(*And)
	like := and.Terms[1].(*Like)
	for _, c := range []struct {
		what string
		node Node
		want Pos
	}{
		{"query", stmt, Pos{1, 1}},
		{"+", sel.Items[0].Expr, Pos{1, 10}},
		{"item", sel.Items[0], Pos{1, 8}},
		{"call", sel.Items[1].Expr, Pos{1, 15}},
		{"table", sel.From[0], Pos{1, 25}},
		{"NOT IN", and.Terms[0], Pos{2, 9}},
		{"AND", and, Pos{2, 20}},
		{"LIKE", like, Pos{2, 33}},
		{"||", like.X, Pos{2, 28}},
		{"OR", or, Pos{2, 40}},
		{"IS", or.Terms[1], Pos{2, 47}},
		{"u.v", or.Terms[1].(*IsNull).X, Pos{2, 43}},
	} {
		if got := c.node.Pos(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

func TestEqualIgnoresPlaceAndCaseOfNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"bin(time, 15m)", " BIN( Time,\n15minute)", true},
		{"a.b + 1", "A.B + 1", true},
		{`"a"`, "A", true},
		{`"A"`, "a", false},
		{"'x'", "'X'", false},
		{"a + b", "b + a", false},
		{"(a + b) + c", "a + (b + c)", false},
		{"a AND b AND c", "a AND (b AND c)", false},
		{"(r).b", "r.b", false},
		{"1", "1.0", false},
		{"count(*)", "count()", false},
		{"CAST(a AS INT)", "cast(A as int)", true},
		{"CAST(a AS int)", "TRY_CAST(a AS int)", false},
		{"x IN (SELECT Y FROM t)", "X IN (SELECT y FROM T)", true},
		{`"a.b"`, "a.b", false},
	} {
		a, errA := ParseExpr(c.a)
		b, errB := ParseExpr(c.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := Equal(a, b); got != c.want {
			t.Errorf("Equal(%s, %s) = %t, want %t", c.a, c.b, got, c.want)
		}
		if got := Key(a) == Key(b); got != c.want {
			t.Errorf("Key(%s) == Key(%s) is %t, want %t", c.a, c.b, got, c.want)
		}
	}
	if Equal(nil, &NullLit{}) || !Equal(nil, nil) {
		t.Error("a nil expression equals another one than nil")
	}
}

func TestSpanOfLiterals(t *testing.T) {
	t.Parallel()
	const hour, day = int64(3600e9), int64(24 * 3600e9)
	for _, c := range []struct {
		sql  string
		want Span
		err  string
	}{
		{"15m", Span{N: 15 * 60e9}, ""},
		{"7month", Span{YearMonth: true, N: 7}, ""},
		{"2y", Span{YearMonth: true, N: 24}, ""},
		{"3ns", Span{N: 3}, ""},
		{"9223372036854775807d", Span{}, "out of range"},
		{"INTERVAL '3' DAY", Span{N: 3 * day}, ""},
		{"INTERVAL -'3' week", Span{N: -21 * day}, ""},
		{"INTERVAL '-3' HOUR", Span{N: -3 * hour}, ""},
		{"INTERVAL -'-3' HOUR", Span{N: 3 * hour}, ""},
		{"INTERVAL '1.5' SECOND", Span{N: 15e8}, ""},
		{"INTERVAL '1-2' YEAR TO MONTH", Span{YearMonth: true, N: 14}, ""},
		{"INTERVAL '1 02:03:04.000000005' DAY TO SECOND", Span{N: day + 2*hour + 3*60e9 + 4e9 + 5}, ""},
		{"INTERVAL '2:30' HOUR TO MINUTE", Span{N: 2*hour + 30*60e9}, ""},
		{"INTERVAL 'x' DAY", Span{}, "not a valid interval literal"},
		{"INTERVAL '1.5' DAY", Span{}, "not a valid interval literal"},
		{"INTERVAL '1' YEAR TO MONTH", Span{}, "not a valid interval literal"},
		{"INTERVAL '' DAY", Span{}, "not a valid interval literal"},
		{"INTERVAL '300' YEAR", Span{YearMonth: true, N: 3600}, ""},
		{"INTERVAL '107000' DAY", Span{}, "out of range"},
	} {
		e, err := ParseExpr(c.sql)
		if err != nil {
			t.Fatal(c.sql, err)
		}
		got, err := e.(interface{ Span() (Span, error) }).Span()
		if got != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: got %v, %v, want %v, %q", c.sql, got, err, c.want, c.err)
		}
	}
}

func TestWalkVisitsEveryExpressionOnce(t *testing.T) {
	t.Parallel()
	const sql = `WITH c AS (SELECT n1) SELECT n2 + n3, CASE n4 WHEN n5 THEN n6 ELSE n7 END, f(DISTINCT n8 ORDER BY n9) FILTER (WHERE n10)
		OVER (PARTITION BY n11 ORDER BY n12 ROWS BETWEEN n13 PRECEDING AND n14 FOLLOWING), CAST(n15 AS row(a int)), x -> n16, (n17)[n18], (n19).f
		FROM UNNEST(n20) JOIN (VALUES n21) ON n22 IN (n23, n24) AND n25 LIKE n26 ESCAPE n27 CROSS JOIN (SELECT n28) AS q
		WHERE n29 BETWEEN n30 AND n31 OR NOT EXISTS (SELECT n32) OR n33 = ANY (SELECT n34) OR n35 IS NULL OR n36 IS DISTINCT FROM -n37
		GROUP BY ROLLUP (n38, (n39, n40)) HAVING extract(year FROM n41) = (SELECT n42) UNION SELECT ARRAY[n43] || ROW(n44) ORDER BY n45 LIMIT 46`
	stmt, err := Parse(sql)
	if err != nil {
		t.Fatal(detail(err))
	}
	seen := map[string]int{}
	Walk(stmt, func(n Node) bool {
		switch n := n.(type) {
		case *Ref:
			seen[n.Parts[0].Name]++
		case *IntegerLit:
			seen["n46"]++
		}
		return true
	})
	if len(seen) != 46 {
		t.Errorf("visited %d names, want 46: %v", len(seen), seen)
	}
	for name, times := range seen {
		if times != 1 {
			t.Errorf("visited %s %d times, want once", name, times)
		}
	}
	Walk(stmt, func(n Node) bool {
		if _, inner := n.(*Ref); inner {
			t.Error("went below a node for which visit returned false")
		}
		return n == Node(stmt) && false
	})
}

// FuzzParse: no text panics, and what a tree prints parses to the same tree.
func FuzzParse(f *testing.F) {
	for _, c := range prints {
		f.Add(c.sql)
	}
	for _, sql := range clientQueries {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if e, err := ParseExpr(sql); err == nil {
			checkExpr(t, e)
		}
		stmt, err := Parse(sql)
		if err != nil {
			return
		}
		printed := Format(stmt)
		again, err := Parse(printed)
		if err != nil && strings.Contains(err.Error(), "too deep") {
			return // the parentheses that the printer adds count
		}
		if err != nil {
			t.Fatalf("%q prints as %q: %s", sql, printed, detail(err))
		}
		if !same(stmt, again) {
			t.Fatalf("%q prints as %q, which is another tree and prints as %q", sql, printed, Format(again))
		}
	})
}

func checkExpr(t *testing.T, e Expr) {
	printed := FormatExpr(e)
	again, err := ParseExpr(printed)
	if err != nil && strings.Contains(err.Error(), "too deep") {
		return
	}
	if err != nil {
		t.Fatalf("an expression prints as %q: %s", printed, detail(err))
	}
	if !same(e, again) || !Equal(e, again) {
		t.Fatalf("%q is another expression than what it was printed from", printed)
	}
}
