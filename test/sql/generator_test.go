package sql_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator writes random queries that cannot fail, in the subset that test/sql/duckdb can ask
// DuckDB too: what both spell alike, and answers that follow from the query (no LIMIT
// without a total order, no window that tells peers apart).
type generator struct {
	rng   *rand.Rand
	names int
	ctes  []relation
}

// relation is something to select from: its text, alias and columns by type.
type relation struct {
	name    string
	columns []column
}

type column struct {
	name string // qualified
	typ  string // one of int, double, text, bool, time
}

func (g *generator) pick(list ...string) string { return list[g.rng.IntN(len(list))] }

func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }

func (g *generator) alias() string {
	g.names++
	return fmt.Sprintf("t%d", g.names)
}

var tableColumns = []column{{"a", "text"}, {"b", "text"}, {"measure_name", "text"}, {"time", "time"}, {"i", "int"}, {"f", "double"}, {"s", "text"}, {"ok", "bool"}}

// query is a whole query; its columns are called c0, c1, …
func (g *generator) query(depth int) string {
	with := ""
	if depth >= 3 && g.chance(30) {
		text, columns := g.selection(depth-1, nil)
		name := "w" + g.alias()
		with = "WITH " + name + " AS (" + text + ") "
		g.ctes = append(g.ctes, relation{name, columns})
	}
	var text string
	var columns []column
	switch {
	case g.chance(15):
		text, columns = g.setOps(depth)
	default:
		text, columns = g.selection(depth, nil)
		if g.chance(10) {
			text = "SELECT * FROM (" + text + ") UNION " + g.pick("", "ALL ") + "SELECT * FROM (" + text + ")"
		}
	}
	if g.chance(40) {
		text += g.first(len(columns))
	}
	return with + text
}

// first is ORDER BY all of n columns, and a LIMIT.
func (g *generator) first(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprint(i+1)+g.pick("", " DESC", " NULLS FIRST", " DESC NULLS FIRST"))
	}
	g.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return " ORDER BY " + strings.Join(keys, ", ") + g.pick("", "", fmt.Sprintf(" OFFSET %d", g.rng.IntN(4))) + fmt.Sprintf(" LIMIT %d", g.rng.IntN(20))
}

// setOps is set operations over some SELECTs, nested and not.
func (g *generator) setOps(depth int) (string, []column) {
	var columns []column
	for i := range 1 + g.rng.IntN(3) {
		columns = append(columns, column{fmt.Sprintf("c%d", i), g.pick("int", "double", "text", "bool", "time", "int", "text")})
	}
	widened := slices.Clone(columns)
	text := g.setOp(depth, columns, widened, true)
	return text, widened
}

// setOp is a tree of set operations whose leaves have the given columns; those that some leaf has as double
// and not as int are noted in widened.
func (g *generator) setOp(depth int, columns, widened []column, top bool) string {
	if !top && g.chance(55) {
		return g.branch(depth, columns, widened)
	}
	side := func() string {
		text := g.setOp(depth-1, columns, widened, false)
		switch {
		case g.chance(20):
			return "(" + text + g.first(len(columns)) + ")"
		case g.chance(50):
			return "(" + text + ")"
		}
		return text
	}
	left := side()
	op := g.pick(" UNION ", " UNION ALL ", " INTERSECT ", " EXCEPT ", " INTERSECT ALL ", " EXCEPT ALL ", " UNION DISTINCT ")
	return left + op + side()
}

// branch is one SELECT of a set operation.
func (g *generator) branch(depth int, columns, widened []column) string {
	from, have := g.from(max(depth, 1))
	items := make([]string, len(columns))
	for i, c := range columns {
		typ := c.typ
		if typ == "int" && g.chance(10) {
			typ, widened[i].typ = "double", "double"
		}
		items[i] = g.expr(have, typ, 1) + " AS " + c.name
	}
	text := "SELECT " + g.pick("", "", "DISTINCT ") + strings.Join(items, ", ") + " FROM " + from
	if g.chance(50) {
		text += " WHERE " + g.cond(have, 1)
	}
	return text
}

// selection is a SELECT; outer are columns of a query around it.
func (g *generator) selection(depth int, outer []column) (string, []column) {
	from, columns := g.from(depth)
	all := append(slices.Clone(columns), outer...)
	where := ""
	if g.chance(60) {
		where = " WHERE " + g.cond(all, 2)
		if depth > 1 && g.chance(25) {
			where += g.pick(" AND ", " OR ") + g.subquery(depth-1, columns)
		}
	}
	var items []string
	var out []column
	add := func(expr, typ string) {
		name := fmt.Sprintf("c%d", len(items))
		items = append(items, expr+" AS "+name)
		out = append(out, column{name, typ})
	}
	tail := ""
	switch {
	case g.chance(45):
		var keys []string
		for range g.rng.IntN(3) {
			k, typ := g.groupKey(columns)
			keys = append(keys, k)
			add(k, typ)
		}
		for range 1 + g.rng.IntN(3) {
			add(g.aggregate(columns))
		}
		if g.chance(15) {
			add(g.windowOfGroups(keys, columns))
		}
		if len(keys) > 0 {
			tail = " GROUP BY " + g.groupBy(keys)
			if g.chance(25) {
				expr, typ := g.aggregate(columns)
				tail += " HAVING " + g.compare(expr, typ)
			}
		}
	default:
		if g.chance(20) {
			add(g.orderedWindow(columns))
		}
		for range 1 + g.rng.IntN(4) {
			switch {
			case g.chance(15):
				add(g.window(columns))
			case depth > 1 && g.chance(10):
				add(g.scalarQuery(depth-1, columns))
			default:
				typ := g.pick("int", "double", "text", "bool", "time")
				add(g.expr(all, typ, 2), typ)
			}
		}
	}
	distinct := ""
	if g.chance(12) {
		distinct = "DISTINCT "
	}
	return "SELECT " + distinct + strings.Join(items, ", ") + " FROM " + from + where + tail, out
}

// groupBy is the keys of GROUP BY, or sets of them.
func (g *generator) groupBy(keys []string) string {
	if !g.chance(25) {
		return strings.Join(keys, ", ")
	}
	list := "(" + strings.Join(keys, ", ") + ")"
	switch g.rng.IntN(4) {
	case 0:
		return "ROLLUP " + list
	case 1:
		return "CUBE " + list
	case 2:
		return "GROUPING SETS (" + list + ", (" + keys[0] + "), ())"
	}
	return keys[0] + ", GROUPING SETS (" + list + ", ())"
}

// from is one relation, or two joined.
func (g *generator) from(depth int) (string, []column) {
	text, columns := g.relation(depth)
	if depth < 2 || !g.chance(35) {
		return text, columns
	}
	right, more := g.relation(depth - 1)
	both := append(slices.Clone(columns), more...)
	var on []string
	typ := g.pick("text", "int")
	on = append(on, g.column(columns, typ)+" = "+g.column(more, typ))
	if g.chance(40) {
		on = append(on, g.cond(both, 1))
	}
	text += g.pick(" JOIN ", " JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ") + right + " ON " + strings.Join(on, " AND ")
	if depth >= 3 && g.chance(30) {
		third, last := g.relation(1)
		text += g.pick(" JOIN ", " JOIN ", " LEFT JOIN ") + third + " ON " + g.column(both, typ) + " = " + g.column(last, typ)
		both = append(both, last...)
	}
	return text, both
}

func (g *generator) relation(depth int) (string, []column) {
	name := g.alias()
	qualify := func(columns []column) []column {
		out := slices.Clone(columns)
		for i := range out {
			out[i].name = name + "." + out[i].name
		}
		return out
	}
	switch {
	case len(g.ctes) > 0 && g.chance(50):
		c := g.ctes[0]
		return c.name + " " + name, qualify(c.columns)
	case depth > 1 && g.chance(30):
		text, columns := g.selection(depth-1, nil)
		return "(" + text + ") " + name, qualify(columns)
	case depth > 1 && g.chance(8):
		text, columns := g.setOps(depth - 1)
		return "(" + text + ") " + name, qualify(columns)
	case depth > 1 && g.chance(8):
		text, columns := g.joinUsing()
		return "(" + text + ") " + name, qualify(columns)
	case g.chance(4):
		return "(VALUES (1, 'x', 5e-1), (2, NULL, 15e-1), (NULL, 'y', -1e0), (2, 'x', NULL)) " + name + " (k, l, m)",
			qualify([]column{{"k", "int"}, {"l", "text"}, {"m", "double"}})
	case g.chance(4):
		return "(SELECT * FROM d.r ORDER BY " + g.pick("i, time DESC", "time", "s DESC, time") + " LIMIT 9) " + name, qualify(tableColumns)
	case g.chance(5):
		return "d.r " + name + " CROSS JOIN UNNEST(ARRAY[" + name + ".i, 7, NULL]) u" + name + " (v)", append(qualify(tableColumns), column{"u" + name + ".v", "int"})
	}
	return "d.r " + name, qualify(tableColumns)
}

// joinUsing is a SELECT from the table joined with itself by columns of the same name.
func (g *generator) joinUsing() (string, []column) {
	l, r := g.alias(), g.alias()
	keys := []column{{"a", "text"}, {"b", "text"}}
	if g.chance(50) {
		keys = []column{{"time", "time"}, {"measure_name", "text"}}
	}
	keys = keys[:1+g.rng.IntN(2)]
	var using []string
	items := []column{{l + ".i", "int"}, {r + ".i", "int"}, {r + ".f", "double"}, {l + ".s", "text"}}
	for _, k := range keys {
		using, items = append(using, k.name), append(items, k)
	}
	var list []string
	var columns []column
	for i, c := range items {
		name := fmt.Sprintf("c%d", i)
		list, columns = append(list, c.name+" AS "+name), append(columns, column{name, c.typ})
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM d.r " + l + g.pick(" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ") + "d.r " + r +
		" USING (" + strings.Join(using, ", ") + ")", columns
}

// column names a column of that type, or a literal if there is none.
func (g *generator) column(columns []column, typ string) string {
	var of []string
	for _, c := range columns {
		if c.typ == typ {
			of = append(of, c.name)
		}
	}
	if len(of) == 0 {
		return g.literal(typ)
	}
	return g.pick(of...)
}

func (g *generator) literal(typ string) string {
	switch typ {
	case "int":
		return g.pick("0", "1", "2", "5", "-1", "CAST(NULL AS bigint)")
	case "double":
		return g.pick("0.5", "1.0", "-0.25", "2e0")
	case "text":
		return g.pick("'x'", "'y'", "''", "'q'", "'m'")
	case "bool":
		return g.pick("true", "false", "CAST(NULL AS boolean)")
	}
	return g.pick("now()", "ago(5h)", "TIMESTAMP '2031-02-03 06:00:00'", "ago(1d)")
}

func (g *generator) expr(columns []column, typ string, depth int) string {
	if depth == 0 || g.chance(40) {
		if g.chance(80) {
			return g.column(columns, typ)
		}
		return g.literal(typ)
	}
	sub := func(t string) string { return g.expr(columns, t, depth-1) }
	if g.chance(25) {
		switch g.rng.IntN(3) {
		case 0:
			return "CASE WHEN " + g.cond(columns, depth-1) + " THEN " + sub(typ) + " ELSE " + sub(typ) + " END"
		case 1:
			return "coalesce(" + sub(typ) + ", " + sub(typ) + ")"
		}
		return "if(" + g.cond(columns, depth-1) + ", " + sub(typ) + ")"
	}
	switch typ {
	case "int":
		return g.pick("("+sub("int")+" + 1)", "(- "+g.column(columns, "int")+")", "length("+sub("text")+")", "abs("+sub("int")+")",
			"CAST(round("+sub("double")+") AS bigint)", "CAST("+sub("bool")+" AS bigint)", "CAST(CAST("+sub("int")+" AS varchar) AS bigint)",
			"TRY_CAST("+sub("text")+" AS bigint)", "mod("+sub("int")+", 3)", "sign("+sub("int")+")", "strpos("+sub("text")+", 'x')",
			"EXTRACT("+g.pick("HOUR", "DAY", "MONTH", "YEAR", "QUARTER", "DOY", "WEEK", "MINUTE")+" FROM "+sub("time")+")",
			"greatest(coalesce("+sub("int")+", 0), coalesce("+sub("int")+", 1))")
	case "double":
		return g.pick("("+sub("double")+" * 0.5)", "("+sub("double")+" - "+sub("int")+")", "round("+sub("double")+")",
			"CAST("+sub("int")+" AS double)", "floor("+sub("double")+")", "ceil("+sub("double")+")", "TRY_CAST("+sub("text")+" AS double)", "abs("+sub("double")+")")
	case "text":
		return g.pick("upper("+sub("text")+")", "("+sub("text")+" || 'x')", "nullif("+sub("text")+", 'x')",
			"CAST("+sub("int")+" AS varchar)", "CAST("+sub("bool")+" AS varchar)", "substr("+sub("text")+", 2, 2)", "reverse("+sub("text")+")",
			"lower("+sub("text")+")", "replace("+sub("text")+", 'x', 'yy')", "lpad("+sub("text")+", 3, '*')", "least(coalesce("+sub("text")+", 'b'), coalesce("+sub("text")+", 'c'))")
	case "bool":
		return "(" + g.cond(columns, depth-1) + ")"
	}
	return g.pick("bin("+sub("time")+", 1h)", "date_trunc('"+g.pick("hour", "day", "month", "week")+"', "+sub("time")+")", "("+sub("time")+" + 90m)",
		"CAST(CAST("+sub("time")+" AS date) AS timestamp)")
}

func (g *generator) cond(columns []column, depth int) string {
	if depth > 0 && g.chance(45) {
		switch g.rng.IntN(5) {
		case 0, 1:
			return "(" + g.cond(columns, depth-1) + " AND " + g.cond(columns, depth-1) + ")"
		case 2, 3:
			return "(" + g.cond(columns, depth-1) + " OR " + g.cond(columns, depth-1) + ")"
		}
		return "NOT " + g.cond(columns, depth-1)
	}
	typ := g.pick("int", "double", "text", "time", "text", "time")
	x := g.column(columns, typ)
	if g.chance(30) {
		x = g.expr(columns, typ, 1)
	}
	switch g.rng.IntN(9) {
	case 0:
		return x + g.pick(" IS NULL", " IS NOT NULL")
	case 1:
		return x + g.pick(" IN (", " NOT IN (") + g.literal(typ) + ", " + g.literal(typ) + ")"
	case 2:
		return x + g.pick(" BETWEEN ", " NOT BETWEEN ") + g.literal(typ) + " AND " + g.literal(typ)
	case 3:
		if typ == "text" {
			return x + g.pick(" LIKE ", " NOT LIKE ") + g.pick("'x%'", "'%e_a'", "'_'")
		}
		return x + " IS DISTINCT FROM " + g.column(columns, typ)
	case 4:
		return g.column(columns, "bool")
	case 5:
		return x + g.pick(" = ", " < ", " <> ") + g.column(columns, typ)
	}
	return g.compare(x, typ)
}

func (g *generator) compare(x, typ string) string {
	return x + g.pick(" = ", " <> ", " < ", " <= ", " > ", " >= ") + g.literal(typ)
}

func (g *generator) groupKey(columns []column) (string, string) {
	typ := g.pick("text", "text", "time", "int", "bool")
	c := g.column(columns, typ)
	switch {
	case !strings.Contains(c, "."):
		return "upper(" + g.column(columns, "text") + " || 'k')", "text" // an ordinal is no literal
	case typ == "time":
		return g.pick("bin("+c+", 3h)", "date_trunc('day', "+c+")", "bin("+c+", 90m)"), typ
	case typ == "text" && g.chance(30):
		return "upper(" + c + ")", typ
	}
	return c, typ
}

func (g *generator) aggregate(columns []column) (string, string) {
	typ := g.pick("int", "double", "double", "text", "time")
	c := g.column(columns, typ)
	if g.chance(15) {
		c = g.expr(columns, typ, 1)
	}
	filter := ""
	if g.chance(12) {
		filter = " FILTER (WHERE " + g.cond(columns, 1) + ")"
	}
	if g.chance(12) { // a pivot, or an aggregate of a dimension
		when := g.pick("measure_name = 'm'", "a = 'x'", "a IN ('x', 'y')", "b IS NULL", "upper(a) = 'X' AND b = 'q'")
		if !isTable(columns) {
			when = g.cond(columns, 1)
		}
		return g.pick("sum(", "max(", "count(", "min(") + "CASE WHEN " + when + " THEN " + g.column(columns, "int") + " END)", "int"
	}
	switch g.rng.IntN(8) {
	case 0:
		return "count(*)" + filter, "int"
	case 1:
		return "count(" + g.pick("", "DISTINCT ") + c + ")" + filter, "int"
	case 2, 3:
		return g.pick("min(", "max(") + c + ")" + filter, typ
	}
	if typ != "int" && typ != "double" {
		return "max(" + c + ")" + filter, typ
	}
	switch g.rng.IntN(3) {
	case 0:
		return "round(stddev(" + c + "), 6)" + "", "double"
	case 1:
		return "round(avg(" + c + ")" + filter + ", 6)", "double"
	}
	return "sum(" + c + ")" + filter, typ
}

// isTable reports whether columns are those of the table once, whose names are unambiguous.
func isTable(columns []column) bool {
	return len(columns) == len(tableColumns) && strings.HasSuffix(columns[0].name, ".a")
}

// window is a window function whose value does not depend on the order of peers.
func (g *generator) window(columns []column) (string, string) {
	order := g.pick("int", "text", "time")
	over := " OVER (ORDER BY " + g.column(columns, order) + g.pick("", " DESC") + g.pick("", " NULLS FIRST")
	if g.chance(70) {
		over = " OVER (PARTITION BY " + g.column(columns, g.pick("text", "bool")) + over[len(" OVER ("):]
		over = strings.Replace(over, "ORDER", " ORDER", 1)
	}
	switch g.rng.IntN(4) {
	case 0:
		over += g.pick(" RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING")
	case 1:
		if order == "int" && !strings.Contains(over, "NULLS FIRST") {
			over += g.pick(" RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING", " RANGE BETWEEN 3 PRECEDING AND 1 PRECEDING")
		}
	}
	over += ")"
	typ := g.pick("int", "double")
	c := g.column(columns, typ)
	switch g.rng.IntN(6) {
	case 0:
		return g.pick("rank()", "dense_rank()") + over, "int"
	case 1:
		return "round(" + g.pick("percent_rank()", "cume_dist()") + over + ", 6)", "double"
	case 2:
		return "count(" + c + ")" + over, "int"
	case 3:
		return "round(avg(" + c + ")" + over + ", 6)", "double"
	}
	return g.pick("sum(", "min(", "max(") + c + ")" + over, typ
}

// orderedWindow is a window function that tells rows apart: all columns are keys of its order, so only
// rows that are the same have a choice.
func (g *generator) orderedWindow(columns []column) (string, string) {
	var keys []string
	for _, c := range columns {
		keys = append(keys, c.name+g.pick("", "", " DESC", " NULLS FIRST", " DESC NULLS FIRST"))
	}
	g.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	over := " OVER ("
	if g.chance(70) {
		over += "PARTITION BY " + g.column(columns, g.pick("text", "bool", "int")) + " "
	}
	over += "ORDER BY " + strings.Join(keys, ", ") + g.rowsFrame() + ")"
	typ := g.pick("int", "double", "text", "time", "bool")
	c, nulls := g.column(columns, typ), g.pick("", "", " IGNORE NULLS", " RESPECT NULLS")
	k := g.pick("1", "2", "3", "5")
	switch g.rng.IntN(9) {
	case 0:
		return "row_number()" + over, "int"
	case 1:
		return "ntile(" + k + ")" + over, "int"
	case 2:
		return g.pick("lag(", "lead(") + c + g.pick("", ", "+k, ", 0") + ")" + over, typ
	case 3:
		return g.pick("lag(", "lead(") + c + ", " + k + g.pick("", ", "+g.literal(typ)) + ")" + nulls + over, typ
	case 4, 5:
		return g.pick("first_value(", "last_value(") + c + ")" + nulls + over, typ
	case 6:
		return "nth_value(" + c + ", " + k + ")" + nulls + over, typ
	}
	return g.windowAggregate(columns) + over, "double"
}

// windowAggregate is an aggregate whose value is rounded.
func (g *generator) windowAggregate(columns []column) string {
	c := g.column(columns, g.pick("int", "double"))
	filter := ""
	if g.chance(20) {
		filter = " FILTER (WHERE " + g.cond(columns, 1) + ")"
	}
	return g.pick("sum("+c+")", "min("+c+")", "max("+c+")", "count("+c+")", "count(*)") + filter
}

// rowsFrame is a frame in rows, or none.
func (g *generator) rowsFrame() string {
	if g.chance(30) {
		return ""
	}
	n := func() string { return fmt.Sprint(g.rng.IntN(4)) }
	bounds := []string{"UNBOUNDED PRECEDING", n() + " PRECEDING", "CURRENT ROW", n() + " FOLLOWING", "UNBOUNDED FOLLOWING"}
	if g.chance(15) {
		return " ROWS " + bounds[g.rng.IntN(3)]
	}
	from := g.rng.IntN(4)
	to := max(1, from) + g.rng.IntN(5-max(1, from))
	last := bounds[to]
	if from == to && to != 2 { // may be empty
		last = n() + bounds[to][1:]
	}
	return " ROWS BETWEEN " + bounds[from] + " AND " + last
}

// windowOfGroups is a window function over the groups of a SELECT.
func (g *generator) windowOfGroups(keys []string, columns []column) (string, string) {
	c := g.column(columns, "int")
	over := " OVER (ORDER BY " + g.pick("count(*)", "max("+c+")") + g.pick("", " DESC") + ")"
	if len(keys) > 0 && g.chance(50) {
		over = " OVER (PARTITION BY " + keys[0] + ")"
	}
	return g.pick("sum(sum("+c+"))", "max(count("+c+"))", "rank()", "count(*)") + over, "int"
}

// scalarQuery is a query that gives one value, and looks at columns around it.
func (g *generator) scalarQuery(depth int, columns []column) (string, string) {
	from, have := g.from(depth)
	agg, typ := g.aggregate(have)
	text := "(SELECT " + agg + " FROM " + from
	if g.chance(80) {
		key := g.pick("text", "int", "time")
		text += " WHERE " + g.column(have, key) + g.pick(" = ", " = ", " < ") + g.column(columns, key)
		if g.chance(40) {
			text += g.pick(" AND ", " OR ") + g.cond(append(slices.Clone(have), columns...), 1)
		}
	}
	return text + ")", typ
}

// subquery is a condition with a query in it, which may look at columns around it.
func (g *generator) subquery(depth int, columns []column) string {
	outer := []column(nil)
	if g.chance(60) {
		outer = columns
	}
	text, out := g.selection(depth, outer)
	switch g.rng.IntN(4) {
	case 3:
		c := out[0]
		return g.column(columns, c.typ) + g.pick(" = ", " <> ", " < ", " >= ") + g.pick("ALL (", "ANY (", "SOME (") + "SELECT " + c.name + " FROM (" + text + "))"
	case 0:
		return g.pick("EXISTS (", "NOT EXISTS (") + text + ")"
	case 1:
		c := out[0]
		return g.column(columns, c.typ) + g.pick(" IN (", " NOT IN (") + "SELECT " + c.name + " FROM (" + text + "))"
	}
	c := out[0]
	agg := g.pick("max", "min", "count")
	if c.typ == "bool" {
		agg = "count"
	}
	typ := c.typ
	if agg == "count" {
		typ = "int"
	}
	return g.column(columns, typ) + g.pick(" = ", " < ", " >= ") + "(SELECT " + agg + "(" + c.name + ") FROM (" + text + "))"
}
