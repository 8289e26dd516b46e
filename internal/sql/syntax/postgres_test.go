package syntax

import (
	"errors"
	"testing"
)

// TestPostgresReadsOntoTheServicesTrees says what each form of the dialect is in the service's own.
func TestPostgresReadsOntoTheServicesTrees(t *testing.T) {
	t.Parallel()
	check := func(postgres, own string) {
		t.Helper()
		got, err := ParseDialect("SELECT a FROM t WHERE "+postgres, Postgres)
		if err != nil {
			t.Errorf("%s: %v", postgres, err)
			return
		}
		want, err := Parse("SELECT a FROM t WHERE " + own)
		if err != nil {
			t.Fatal(err)
		}
		if Format(got) != Format(want) {
			t.Errorf("%s\n got %s\nwant %s", postgres, Format(got), Format(want))
		}
	}
	check("a::int8 = 1", "CAST(a AS bigint) = 1")
	check("-a::text = b", "-CAST(a AS varchar) = b")
	check("a ~ 'p' AND a !~* 'p'", "regexp_like(a, 'p') AND NOT regexp_like(a, '(?i)' || 'p')")
	check("a OPERATOR(pg_catalog.=) 1", "a = 1")
	check("a NOT ILIKE 'P%'", "lower(a) NOT LIKE lower('P%')")
	check(`a LIKE 'p\_'`, `a LIKE 'p\_' ESCAPE '\'`)
	check("a = ANY ('{x,y}')", "a IN ('x', 'y')")
	check("a <> ALL (ARRAY[1, 2])", "a NOT IN (1, 2)")
	check("a = ANY ('{}')", "FALSE")
	check("a IS NOT TRUE", "a IS DISTINCT FROM TRUE")
	check("a > now() - interval '15 minutes'", "a > now() - INTERVAL '900.000000000' SECOND")
	check("a = interval '1 day -02:30'", "a = INTERVAL '77400.000000000' SECOND")
	check("a = interval '1 year 2 mons'", "a = INTERVAL '14' MONTH")
	check("a = timestamptz '2024-01-01T00:00:00+01'", "a = CAST('2023-12-31 23:00:00.000000000' AS timestamp)")
	check("time_bucket('15 minutes', a) = b", "bin(a, INTERVAL '900.000000000' SECOND) = b")
	check("extract(dow FROM a) = 0", "EXTRACT(dow FROM a) % 7 = 0")
	check(`a = E'\'\n'`, "a = U&'\\0027\\000A'")
	check(`a COLLATE "C" = b`, "a = b")
	check("a = 1 ORDER BY b DESC LIMIT 5 OFFSET 2", "a = 1 ORDER BY b DESC NULLS FIRST OFFSET 2 LIMIT 5")
	check("pg_catalog.lower(a) = 'b'", "lower(a) = 'b'")
}

func TestPostgresRefusesWhatWouldMeanSomethingElse(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SELECT a::numeric(10,2)", "SELECT extract(second FROM a)", "SELECT interval '1 month 1 day'", "SELECT a AT TIME ZONE 'Europe/Paris'",
		"SELECT regexp_replace(a, 'b', 'c')", "SELECT a < ANY (ARRAY[1])", "SELECT time_bucket('7 hours', a)", "SELECT greatest(a, b, c)",
		`SELECT a COLLATE "de_DE"`, `SELECT E'\x41'`,
	} {
		_, err := ParseDialect(sql, Postgres)
		var e *Error
		if !errors.As(err, &e) || !e.Unsupported {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
