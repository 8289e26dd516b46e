package pgwire_test

import (
	"testing"

	"github.com/weir-db/weir/internal/pgwire"
)

// TestQueriesAreInTheSpellingOfPostgres asks over the wire what only that dialect has.
func TestQueriesAreInTheSpellingOfPostgres(t *testing.T) {
	t.Parallel()
	_, addr := serve(t, pgwire.Options{})
	c := connect(t, addr)
	for _, x := range []struct{ sql, want string }{
		{"SELECT ('1'::int8 + 1)::text", "2"},
		{"SELECT 'ABC' ILIKE 'a%'", "t"},
		{`SELECT E'it\'s; one'`, "it's; one"},
		{"SELECT current_database()", "d"},
		{"SELECT (timestamp '2024-01-01T00:00:00Z' + interval '90 minutes')::text", "2024-01-01 01:30:00.000000000"},
		{"SELECT count(*) AS \"Total\" FROM (VALUES (1), (2), (3)) AS v(x) WHERE x = ANY (ARRAY[1, 3])", "2"},
	} {
		rows, err := c.PgConn().Exec(t.Context(), x.sql).ReadAll()
		if err != nil || len(rows) != 1 || len(rows[0].Rows) != 1 || string(rows[0].Rows[0][0]) != x.want {
			t.Errorf("%s: got %v, %v, want %s", x.sql, rows, err, x.want)
		}
	}
	for sql, want := range map[string]string{
		"SELECT '1'::numeric(10,2)":                 "0A000",
		"SELECT extract(second FROM now())":         "0A000",
		"SELECT $1":                                 "42P02",
		"SELECT * FROM nowhere":                     "3F000",
		"SELECT 'a' COLLATE \"de_DE\"":              "0A000",
		"INSERT INTO t VALUES ($tag$x$tag$)":        "25006",
		"SELECT count(*) FROM (VALUES (1)) v WHERE": "42601",
	} {
		if _, err := c.PgConn().Exec(t.Context(), sql).ReadAll(); state(err) != want {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
	var n int64
	if err := c.QueryRow(t.Context(), "SELECT $2::int8 - $1::int8", 2, 44).Scan(&n); err != nil || n != 42 {
		t.Errorf("parameters out of order: %d, %v", n, err)
	}
}
