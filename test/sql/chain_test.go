package sql_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// TestLongChainsAreAnswered runs queries that are flat to whoever writes them and deep to a parser, as
// generated ones are.
func TestLongChainsAreAnswered(t *testing.T) {
	t.Parallel()
	const n = 10_000
	each := func(n int, sep, part string) string {
		return strings.Join(slices.Repeat([]string{part}, n), sep)
	}
	l := &sqltest.Local{Clock: clock.Manual(sqltest.Start)}
	l.Backend = storagetest.NewNaive(l.Clock)
	for _, c := range []struct{ name, sql, want string }{
		{"union all", "SELECT count(*) FROM (" + each(n, " UNION ALL ", "SELECT 1") + ")", "10000"},
		{"union", "SELECT count(*) FROM (" + each(n, " UNION ", "SELECT 1") + ")", "1"},
		{"mixed", "SELECT count(*) FROM (" + each(n/10, " UNION ", "SELECT 1 UNION ALL SELECT 1") + ")", "2"},
		{"except", "SELECT count(*) FROM (SELECT 2 EXCEPT " + each(n/4, " EXCEPT ", "SELECT 1") + ")", "1"},
		{"intersect", "SELECT count(*) FROM (" + each(n/4, " INTERSECT ", "SELECT 1") + ")", "1"},
		{"and", "SELECT count(*) FROM (VALUES 1) AS t (a) WHERE " + each(n, " AND ", "a = 1"), "1"},
		{"or", "SELECT count(*) FROM (VALUES 1) AS t (a) WHERE " + each(n, " OR ", "a = 2"), "0"},
		{"concat", "SELECT length(" + each(n, " || ", "a") + ") FROM (VALUES 'x') AS t (a)", "10000"},
		{"plus", "SELECT " + each(n, " + ", "a") + " FROM (VALUES 1) AS t (a)", "10000"},
		{"cross", "SELECT count(*) FROM " + each(1000, ", ", "(VALUES 1)"), "1"},
		{"joins", "SELECT count(*) FROM (VALUES 1) AS t (a)" + each(1000, "", " JOIN (VALUES 1) ON true"), "1"},
		{"left joins", "SELECT count(*) FROM (VALUES 1) AS t (a)" + each(1000, "", " LEFT JOIN (VALUES 1) ON true"), "1"},
		{"case", "SELECT CASE " + each(n, " ", "WHEN a = 2 THEN 3") + " ELSE 4 END FROM (VALUES 1) AS t (a)", "4"},
		{"in", "SELECT count(*) FROM (VALUES 1) AS t (a) WHERE a IN (" + each(n, ", ", "1") + ")", "1"},
		{"greatest", "SELECT greatest(" + each(n, ", ", "a") + ") FROM (VALUES 1) AS t (a)", "1"},
		{"items", "SELECT count(*) FROM (SELECT " + each(n, ", ", "a") + " FROM (VALUES 1) AS t (a))", "1"},
		{"keys", "SELECT count(*) FROM (SELECT 1 FROM (VALUES 1) AS t (a) GROUP BY " + each(n, ", ", "a") + ")", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := l.Query(context.Background(), c.sql)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got.Rows) != "[["+c.want+"]]" {
				t.Errorf("got %v, want %s", got.Rows, c.want)
			}
		})
	}
}
