package plan_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
)

// each joins what f gives for 0 to n-1.
func each(n int, sep string, f func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = f(i)
	}
	return strings.Join(parts, sep)
}

// long are shapes of query whose text grows with n.
var long = map[string]func(n int) string{
	"cross": func(n int) string {
		return "SELECT 1 FROM " + each(n, ", ", func(i int) string { return fmt.Sprintf("db.t t%d", i) })
	},
	"crosswhere": func(n int) string {
		return "SELECT 1 FROM " + each(n, ", ", func(i int) string { return fmt.Sprintf("db.t t%d", i) }) + " WHERE " + each(n-1, " AND ", func(i int) string { return fmt.Sprintf("t%d.a = t%d.a", i, i+1) })
	},
	"joins": func(n int) string {
		return "SELECT 1 FROM db.t t0 " + each(n-1, " ", func(i int) string { return fmt.Sprintf("JOIN db.t t%d ON t%d.a = t%d.a", i+1, i, i+1) })
	},
	"leftjoins": func(n int) string {
		return "SELECT 1 FROM db.t t0 " + each(n-1, " ", func(i int) string { return fmt.Sprintf("LEFT JOIN db.t t%d ON t%d.a = t%d.a", i+1, i, i+1) })
	},
	"using": func(n int) string {
		return "SELECT 1 FROM db.t t0 " + each(n-1, " ", func(i int) string { return fmt.Sprintf("JOIN db.t t%d USING (a)", i+1) })
	},
	"star": func(n int) string {
		return "SELECT * FROM " + each(n, ", ", func(i int) string { return fmt.Sprintf("db.t t%d", i) })
	},
	"groupkeys": func(n int) string {
		return "SELECT " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d", i) }) + " FROM db.t GROUP BY " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d", i) })
	},
	"groupordinals": func(n int) string {
		return "SELECT " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d", i) }) + " FROM db.t GROUP BY " + each(n, ", ", func(i int) string { return fmt.Sprint(i + 1) })
	},
	"aggs": func(n int) string {
		return "SELECT " + each(n, ", ", func(i int) string { return fmt.Sprintf("sum(i + %d)", i) }) + " FROM db.t"
	},
	"pushedaggs": func(n int) string {
		return "SELECT a, " + each(n, ", ", func(i int) string { return fmt.Sprintf("sum(i) + %d", i) }) + " FROM db.t GROUP BY a"
	},
	"windows": func(n int) string {
		return "SELECT " + each(n, ", ", func(i int) string { return fmt.Sprintf("sum(i + %d) OVER (PARTITION BY i + %d)", i, i) }) + " FROM db.t"
	},
	"order": func(n int) string {
		return "SELECT i FROM db.t ORDER BY " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d", i) })
	},
	"selectorder": func(n int) string {
		return "SELECT " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d AS c%d", i, i) }) + " FROM db.t ORDER BY " + each(n, ", ", func(i int) string { return fmt.Sprintf("c%d", i) })
	},
	"and": func(n int) string {
		return "SELECT 1 FROM db.t WHERE " + each(n, " AND ", func(i int) string { return fmt.Sprintf("i <> %d", i) })
	},
	"or": func(n int) string {
		return "SELECT 1 FROM db.t WHERE " + each(n, " OR ", func(i int) string { return fmt.Sprintf("i = %d", i) })
	},
	"ordims": func(n int) string {
		return "SELECT 1 FROM db.t WHERE " + each(n, " OR ", func(i int) string { return fmt.Sprintf("a = '%d'", i) })
	},
	"in": func(n int) string {
		return "SELECT 1 FROM db.t WHERE i IN (" + each(n, ", ", func(i int) string { return fmt.Sprint(i) }) + ")"
	},
	"concat": func(n int) string {
		return "SELECT " + each(n, " || ", func(i int) string { return "a" }) + " FROM db.t"
	},
	"concatconst": func(n int) string { return "SELECT " + each(n, " || ", func(i int) string { return "'x'" }) },
	"plus": func(n int) string {
		return "SELECT " + each(n, " + ", func(i int) string { return "i" }) + " FROM db.t"
	},
	"plusgroup": func(n int) string {
		return "SELECT " + each(n, " + ", func(i int) string { return "sum(i)" }) + " FROM db.t GROUP BY a"
	},
	"union": func(n int) string {
		return each(n, " UNION ALL ", func(i int) string { return "SELECT a, i FROM db.t" })
	},
	"uniond": func(n int) string { return each(n, " UNION ", func(i int) string { return "SELECT 1" }) },
	"unionmix": func(n int) string {
		return each(n, " UNION ALL ", func(i int) string { return []string{"SELECT 1", "SELECT 1.5"}[i%2] })
	},
	"except": func(n int) string { return each(n, " EXCEPT ", func(i int) string { return "SELECT 1" }) },
	"ctes": func(n int) string {
		return "WITH c0 AS (SELECT a, i FROM db.t), " + each(n, ", ", func(i int) string { return fmt.Sprintf("c%d AS (SELECT * FROM c%d)", i+1, i) }) + fmt.Sprintf(" SELECT * FROM c%d", n)
	},
	"ctestwice": func(n int) string {
		return "WITH c0 AS (SELECT a, i FROM db.t), " + each(n, ", ", func(i int) string {
			return fmt.Sprintf("c%d AS (SELECT x.a, x.i FROM c%d x UNION ALL SELECT * FROM c%d)", i+1, i, i)
		}) + fmt.Sprintf(" SELECT * FROM c%d", n)
	},
	"values": func(n int) string {
		return "SELECT * FROM (VALUES " + each(n, ", ", func(i int) string { return fmt.Sprintf("(%d, 'x')", i) }) + ")"
	},
	"case": func(n int) string {
		return "SELECT CASE " + each(n, " ", func(i int) string { return fmt.Sprintf("WHEN i = %d THEN %d", i, i) }) + " END FROM db.t"
	},
	"subqueries": func(n int) string {
		return "SELECT 1 FROM db.t WHERE " + each(n, " AND ", func(i int) string {
			return fmt.Sprintf("EXISTS (SELECT 1 FROM db.t u WHERE u.a = t.a AND u.i > %d)", i)
		})
	},
	"scalars": func(n int) string {
		return "SELECT " + each(n, ", ", func(i int) string {
			return fmt.Sprintf("(SELECT max(u.i) FROM db.t u WHERE u.a = t.a AND u.i > %d)", i)
		}) + " FROM db.t"
	},
	"unnests": func(n int) string {
		return "SELECT 1 FROM db.t " + each(n, " ", func(i int) string { return fmt.Sprintf("CROSS JOIN UNNEST(ARRAY[i]) AS u%d (x%d)", i, i) })
	},
	"groupingsets": func(n int) string {
		return "SELECT 1 FROM db.t GROUP BY GROUPING SETS (" + each(n, ", ", func(i int) string { return fmt.Sprintf("(a, i + %d)", i) }) + ")"
	},
	"array": func(n int) string {
		return "SELECT ARRAY[" + each(n, ", ", func(i int) string { return "i" }) + "] FROM db.t"
	},
	"params": func(n int) string {
		return "SELECT (SELECT " + each(n, " + ", func(i int) string { return fmt.Sprintf("(t.i + %d)", i) }) + ") FROM db.t"
	},
	"items": func(n int) string { return "SELECT " + each(n, ", ", func(i int) string { return "a" }) + " FROM db.t" },
	"distinct": func(n int) string {
		return "SELECT DISTINCT " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d", i) }) + " FROM db.t ORDER BY " + each(n, ", ", func(i int) string { return fmt.Sprintf("i + %d", i) })
	},
	"having": func(n int) string {
		return "SELECT a FROM db.t GROUP BY a HAVING " + each(n, " AND ", func(i int) string { return fmt.Sprintf("sum(i + %d) > %d", i, i) })
	},
}

// TestPlanningCostsNoMoreThanTheTextGrows plans each shape at two lengths: four times the text must not take
// much more than four times the work, which bytes allocated stand for.
func TestPlanningCostsNoMoreThanTheTextGrows(t *testing.T) {
	l := local(t)
	bytesOf := func(name, sql string) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := l.Plan(sql); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	for name, shape := range long {
		limit, n := 6.0, 100
		switch name {
		case "using", "groupingsets", "windows", "unnests": // have a bound, or wider batches at every step
			limit, n = 20, 40
		}
		bytesOf(name, shape(10))
		small, large := bytesOf(name, shape(n)), bytesOf(name, shape(4*n))
		if large > limit*small+4<<20 {
			t.Errorf("%s: %d parts take %.1f MB, %d parts %.1f MB", name, n, small/1e6, 4*n, large/1e6)
		}
	}
}

func TestWhatCannotBePlannedWellIsRefused(t *testing.T) {
	t.Parallel()
	l := local(t)
	for name, want := range map[string]string{
		"cross": "line 1:58905: The FROM clause has more than 5000 relations",
		"using": "line 1:15: The FROM clause has more than 250 joins with USING; use ON",
		"plus":  "nested too deep",
	} {
		_, err := l.Plan(long[name](map[string]int{"plus": 13_000}[name] + 10_000))
		if err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

// TestSharedSubplansAreLookedAtOnce has a query that doubles with every CTE if it is written out.
func TestSharedSubplansAreLookedAtOnce(t *testing.T) {
	t.Parallel()
	l := local(t)
	ctes := func(join string) string {
		return "WITH c0 AS (SELECT a, i FROM db.t LIMIT 5), " + each(60, ", ", func(i int) string {
			return fmt.Sprintf("c%d AS (SELECT x.a, x.i FROM c%d x %s c%d y %s LIMIT 5)", i+1, i, join, i, map[string]string{"JOIN": "ON x.a = y.a"}[join])
		})
	}
	for _, sql := range []string{
		ctes("JOIN") + " SELECT a, (SELECT max(i) FROM c60) FROM c60",
		ctes("CROSS JOIN") + " SELECT a FROM db.t WHERE EXISTS (SELECT 1 FROM c60 WHERE c60.a = t.a)",
	} {
		q, err := l.Plan(sql)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(plan.Format(q.Root)); n > 100_000 {
			t.Errorf("the plan's text has %d bytes", n)
		}
	}
}
