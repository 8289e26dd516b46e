package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/server"
)

// hostile are statements that ask for more than anything can hold, or for numbers at the end of their range. The
// series d.a has one row.
var hostile = []string{
	// More memory than there is.
	"SELECT sequence(1, 9223372036854775807)",
	"SELECT cardinality(sequence(-9223372036854775808, 9223372036854775807, 9223372036854775807))",
	"SELECT sequence(1, 3, 0)",
	"SELECT sequence(1, 3, -1)",
	"SELECT sequence(from_nanoseconds(0), now(), 1ns)",
	"SELECT rpad('x', 2147483647, 'y')",
	"SELECT lpad('x', 9223372036854775807, 'y')",
	"SELECT rpad('x', -1, 'y')",
	"SELECT lpad('x', 5, '')",
	"SELECT reduce(sequence(1, 60), ARRAY[1], (s, x) -> s || s, s -> cardinality(s))",
	"SELECT reduce(sequence(1, 60), 'x', (s, x) -> s || s, s -> length(s))",
	"SELECT transform(sequence(1, 10000), x -> transform(sequence(1, 10000), y -> sequence(1, 10000)))",
	"SELECT combinations(sequence(1, 40), 5)",
	"SELECT ngrams(sequence(1, 10000), 5000)",
	"SELECT flatten(transform(sequence(1, 10000), x -> sequence(1, 10000)))",
	"SELECT count(*) FROM UNNEST(sequence(1, 10000)) a (x) CROSS JOIN UNNEST(sequence(1, 10000)) b (y) CROSS JOIN UNNEST(transform(sequence(1, 10000), z -> sequence(1, 10000))) c (z)",
	"SELECT array_agg(x) FROM UNNEST(sequence(1, 10000)) a (x) CROSS JOIN UNNEST(sequence(1, 10000)) b (y)",
	"SELECT x, y FROM UNNEST(sequence(1, 1000)) a (x) CROSS JOIN UNNEST(sequence(1, 2000)) b (y) ORDER BY y, x LIMIT 9223372036854775807",
	"SELECT DISTINCT x * 10000 + y FROM UNNEST(sequence(1, 200)) a (x) CROSS JOIN UNNEST(sequence(1, 10000)) b (y) LIMIT 3",
	"SELECT replace(rpad('x', 1000000, 'x'), 'x', rpad('y', 1000000, 'y'))",
	"SELECT array_join(transform(sequence(1, 10000), x -> rpad('y', 1000000, 'y')), '')",
	"SELECT split(rpad('x', 1000000, 'x'), '')",
	"SELECT split(rpad('x', 1000000, 'x'), 'x', 0)",
	"SELECT interpolate_linear(create_time_series(time, measure_value::bigint), sequence(min(time), max(time) + 3650d, 1ms)) FROM d.a",
	"SELECT interpolate_fill(create_time_series(time, measure_value::bigint), sequence(now(), now() - 1d, 1s), 0) FROM d.a",

	// Patterns that backtrack, or compile to much.
	"SELECT regexp_like(rpad('a', 40, 'a') || '!', '(a+)+$')",
	"SELECT regexp_like(rpad('a', 40, 'a'), '(a|aa)*b')",
	`SELECT regexp_replace(rpad('a', 5000, 'a'), '(.*)(.*)(.*)(.*)x', '$1')`,
	"SELECT regexp_like('a', 'a{1000}{1000}{1000}')",
	"SELECT regexp_like('a', '(((((a{99}){99}){99}){99}){99})')",
	"SELECT regexp_like('a', '" + strings.Repeat("(", 5000) + strings.Repeat(")", 5000) + "')",
	"SELECT regexp_extract('a', '(a)', 9223372036854775807)",
	"SELECT regexp_replace('a', '(a)', '$9$10$')",
	"SELECT rpad('a', 100000, 'a') LIKE '" + strings.Repeat("%a", 500) + "b'",
	"SELECT 'a' LIKE 'a!' ESCAPE '!'",
	"SELECT 'a' LIKE 'a' ESCAPE 'ab'",

	// Numbers and times at the end of their range.
	"SELECT -9223372036854775808 / -1",
	"SELECT -9223372036854775808 % -1",
	"SELECT abs(-9223372036854775808), - -9223372036854775808",
	"SELECT 9223372036854775807 + 1",
	"SELECT " + strings.Repeat("9", 10_000),
	"SELECT CAST('" + strings.Repeat("9", 10_000) + "' AS bigint)",
	"SELECT CAST('1e" + strings.Repeat("9", 10_000) + "' AS double)",
	"SELECT CAST(1e300 AS bigint), CAST(nan() AS integer)",
	"SELECT power(10, 1e308), exp(1e308), log(0), sqrt(-1)",
	"SELECT round(1.5, 2147483647), round(1.5, -2147483648), truncate(1e308)",
	"SELECT substr('abc', -9223372036854775808, 9223372036854775807)",
	"SELECT element_at(ARRAY[1], -9223372036854775808), slice(ARRAY[1], -9223372036854775808, 9223372036854775807)",
	"SELECT repeat(1, 9223372036854775807)",
	"SELECT bitwise_left_shift(1, 9223372036854775807), bitwise_right_shift(1, -1)",
	"SELECT to_base(-9223372036854775808, 36), from_base('z', 37)",
	"SELECT width_bucket(1, 1, 1, 9223372036854775807)",
	"SELECT chr(9223372036854775807), chr(-1), chr(55296)",
	"SELECT bin(now(), 0s)", "SELECT bin(now(), -1s)", "SELECT bin(from_nanoseconds(-9223372036854775808), 106751d)",
	"SELECT now() + 9223372036854775807d", "SELECT 9223372036854775807d * 9223372036854775807",
	"SELECT date_add('year', 9223372036854775807, now()), date_add('month', -9223372036854775808, now())",
	"SELECT from_milliseconds(9223372036854775807), from_iso8601_timestamp('999999999-12-31T00:00:00Z')",
	"SELECT date_diff('nanosecond', from_nanoseconds(-9223372036854775808), from_nanoseconds(9223372036854775807))",
	"SELECT ago(9223372036854775807ns), parse_duration('" + strings.Repeat("9", 400) + "d')",
	"SELECT format_datetime(now(), '" + strings.Repeat("y", 100_000) + "')",
	"SELECT date_format(now(), '%" + strings.Repeat("%", 10_001) + "')",

	// Windows, limits and sketches at the end of their range.
	"SELECT x FROM UNNEST(sequence(1, 100)) a (x) OFFSET 9223372036854775807 LIMIT 9223372036854775807",
	"SELECT x FROM UNNEST(sequence(1, 100)) a (x) LIMIT -1",
	"SELECT x FROM UNNEST(sequence(1, 100)) a (x) ORDER BY 9223372036854775807",
	"SELECT ntile(9223372036854775807) OVER (ORDER BY x), lag(x, 9223372036854775807) OVER (ORDER BY x), lead(x, -1) OVER (ORDER BY x) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT sum(x) OVER (ORDER BY x ROWS BETWEEN 9223372036854775807 PRECEDING AND 9223372036854775807 FOLLOWING) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT nth_value(x, 0) OVER (ORDER BY x), nth_value(x, 9223372036854775807) OVER (ORDER BY x) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT approx_percentile(x, 2), approx_percentile(x, ARRAY[-1]) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT numeric_histogram(9223372036854775807, x) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT max(x, 9223372036854775807), min(x, -1) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT approx_distinct(x, 0), approx_distinct(x, 1e308) FROM UNNEST(sequence(1, 100)) a (x)",
	"SELECT sum(x) FROM UNNEST(ARRAY[9223372036854775807, 9223372036854775807]) a (x)",

	// Names, comments and quotes.
	`SELECT 1 AS "` + strings.Repeat("x", 100_000) + `"`,
	"SELECT '" + strings.Repeat("''", 50_000) + "'",
	strings.Repeat("/*", 50_000), "SELECT 1 --" + strings.Repeat("-", 100_000), "SELECT '\x00\u202e'", `SELECT "`, "SELECT '", "SELECT 1;;", ";", "-- ", "@a", "SELECT @a",
	"WITH a AS (SELECT * FROM a) SELECT * FROM a",
	"WITH RECURSIVE a (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT * FROM a",
}

// TestHostileStatementsEndInAnAnswerOrAnError: none ends the server, none is the server's fault, and none keeps it
// from answering the next.
func TestHostileStatementsEndInAnAnswerOrAnError(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *server.Options) { o.Auth, o.QueryMemoryLimitBytes = server.AuthOff, 32<<20 })
	s.tables()
	s.http.Timeout = time.Minute // none takes a second
	for i, sql := range hostile {
		what := fmt.Sprintf("statement %d, %.60s", i, sql)
		input, err := json.Marshal(map[string]string{"QueryString": sql})
		if err != nil {
			t.Fatal(err)
		}
		status, body := s.send(s.plain(timestream("Query", string(input))))
		if status != http.StatusOK && status != http.StatusBadRequest {
			s.Errorf("%s: %d %.300s", what, status, body)
		}
	}
	s.passes(s.plain(query("SELECT 1")))
}
