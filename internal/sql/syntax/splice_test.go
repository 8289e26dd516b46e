package syntax

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
)

var spliceSeed = flag.Uint64("seed", 1, "first seed of TestSplicedStatementsParseBack")

// fragments are expressions that are easily printed wrong: names that are keywords elsewhere, and
// operators of every level.
var fragments = []string{
	"all", "interval", "array", "date", "limit", "unbounded", "current", "row", "nulls", "filter", `"quoted"`, "double", "any", "to", "day",
	"x -> y", "() -> 1", "(a, b) -> a OR b", "a AND b", "a OR b", "NOT a", "-1", "- -a", "-9223372036854775808", "a + b", "a * b", "a || b",
	"a = b", "a IN (1)", "a IN (SELECT 1)", "a IS NULL", "a BETWEEN 1 AND 2", "a NOT LIKE 'p'", "a = ALL (SELECT 1)", "a IS DISTINCT FROM b",
	"(SELECT 1)", "(SELECT 1 LIMIT 1) + 1", "EXISTS (SELECT 1)", "(SELECT 1 UNION SELECT 2)", "(r).f", "(f(x)).g", "a[1]", "(array)[1]", "(a, b)", "ROW(1)",
	"5", "2.5", "1h", "INTERVAL -'1' DAY", "interval - '1'", "DATE 'x'", "'s'", "NULL", "@p", "current_date",
	"position(a, b)", "position(a IN b)", "substring(a FROM 1)", "CASE a WHEN 1 THEN 2 END", "CAST(a AS row(interval day, double precision))",
	"f(DISTINCT a)", "f(all)", "f(ALL all)", "count(*) FILTER (WHERE a) OVER ()", "lag(a) IGNORE NULLS OVER (ORDER BY b ROWS (unbounded) PRECEDING)",
}

// TestSplicedStatementsParseBack puts fragments, in parentheses, in place of names in the statements of the other
// tests, some levels deep. Printing what parses must give the same tree.
func TestSplicedStatementsParseBack(t *testing.T) {
	t.Parallel()
	var pool []string
	for _, c := range prints {
		pool = append(pool, c.sql)
	}
	pool = append(pool, clientQueries...)
	const rounds = 4000
	parsed := 0
	for seed := *spliceSeed; seed < *spliceSeed+rounds; seed++ {
		rng := rand.New(rand.NewPCG(seed, 0))
		sql := pool[rng.IntN(len(pool))]
		for range 1 + rng.IntN(6) {
			sql = splice(rng, sql)
		}
		stmt, err := Parse(sql)
		if err != nil {
			continue
		}
		parsed++
		printed := Format(stmt)
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("seed %d: %q prints as %q: %s", seed, sql, printed, detail(err))
		}
		if !same(stmt, again) {
			t.Fatalf("seed %d: %q prints as %q, which is another tree and prints as %q", seed, sql, printed, Format(again))
		}
	}
	if parsed < rounds/8 {
		t.Errorf("only %d of %d statements parsed", parsed, rounds)
	}
}

// splice replaces one name or literal of sql by a fragment, mostly in parentheses.
func splice(rng *rand.Rand, sql string) string {
	toks, _ := lex(sql, Timestream, nil)
	var at []token
	for _, tok := range toks {
		if isName(tok) || tok.kind == tokInteger || tok.kind == tokString {
			at = append(at, tok)
		}
	}
	if len(at) == 0 {
		return sql
	}
	tok, fragment := at[rng.IntN(len(at))], fragments[rng.IntN(len(fragments))]
	if rng.IntN(4) > 0 {
		fragment = "(" + fragment + ")"
	}
	return strings.Join([]string{sql[:tok.start], fragment, sql[tok.end:]}, "")
}
