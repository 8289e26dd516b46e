package sql_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

var (
	seed    = flag.Uint64("seed", 0, "replay one random query")
	queries = flag.Int("queries", 200, "how many random queries to try")
	export  = flag.String("export", "", "file to write random queries and their answers into, for test/sql/duckdb")
)

// TestRandomQueriesGiveTheSameEverywhere runs random queries without optimizer and
// pushdown, and then with them, in small batches and on the embedded engine: all must
// give the same rows.
func TestRandomQueriesGiveTheSameEverywhere(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), uint64(*queries)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	off := map[string]bool{plan.ShareCTEs: true}
	for _, r := range plan.Rules {
		off[r.Name] = true
	}
	model := randomEngine(t, sqltest.Local{Off: off, Exec: exec.Options{NoPushdown: true}}, false)
	space, err := spill.Open(vfs.NewMem(), spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	others := map[string]*sqltest.Local{
		"spilling":          randomEngine(t, sqltest.Local{Exec: exec.Options{Spill: space, SpillAfterBytes: 1, BatchRows: 5}}, false),
		"optimized":         randomEngine(t, sqltest.Local{}, false),
		"pushing":           randomEngine(t, sqltest.Local{Push: true, Exec: exec.Options{BatchRows: 3}}, false),
		"embedded":          randomEngine(t, sqltest.Local{}, true),
		"pushing, no rules": randomEngine(t, sqltest.Local{Push: true, Off: off}, false),
	}
	for s := first; s <= last; s++ {
		g := &generator{rng: rand.New(rand.NewPCG(s, 7))}
		sql := g.query(3)
		want, err := answer(model, sql)
		if err != nil {
			t.Errorf("-seed %d: %s\nfails: %v", s, sql, err)
			continue
		}
		for name, l := range others {
			got, err := answer(l, sql)
			if err != nil {
				t.Errorf("-seed %d, %s: %s\nfails: %v", s, name, sql, err)
			} else if !slices.EqualFunc(got, want, sqltest.SameRow) {
				q, _ := l.Plan(sql)
				t.Errorf("-seed %d, %s: %s\n%s\ngot:\n%s\nwant:\n%s", s, name, sql, plan.Format(q.Root), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// TestExportRandomQueries writes random queries and their answers for another engine to check.
func TestExportRandomQueries(t *testing.T) {
	if *export == "" {
		t.Skip("no -export")
	}
	f, err := os.Create(*export)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, out := randomEngine(t, sqltest.Local{}, false), json.NewEncoder(f)
	data, err := l.Query(context.Background(), "SELECT a, b, measure_name, time, i, f, s, ok FROM d.r")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Encode(map[string]any{"data": data.Rows}); err != nil {
		t.Fatal(err)
	}
	for s := uint64(1); s <= uint64(*queries); s++ {
		sql := (&generator{rng: rand.New(rand.NewPCG(s, 7))}).query(3)
		r, err := l.Query(context.Background(), sql)
		if err != nil {
			t.Fatalf("-seed %d: %s\nfails: %v", s, sql, err)
		}
		if err := out.Encode(map[string]any{"seed": s, "sql": sql, "rows": r.Rows}); err != nil {
			t.Fatal(err)
		}
	}
}

func answer(l *sqltest.Local, sql string) ([]string, error) {
	r, err := l.Query(context.Background(), sql)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		for k, text := range row {
			if text == "-0.0" { // which of two equal values DISTINCT keeps is open
				row[k] = "0.0"
			}
		}
		lines[i] = strings.Join(row, " | ")
	}
	slices.Sort(lines)
	return lines, nil
}

// randomEngine returns l over a store with the same random table d.r.
func randomEngine(t *testing.T, l sqltest.Local, onDisk bool) *sqltest.Local {
	l.Clock = clock.Manual(sqltest.Start)
	l.Backend = storagetest.NewNaive(l.Clock)
	if onDisk {
		store, err := embedded.Open(context.Background(), embedded.Options{FS: vfs.NewMem(), Clock: l.Clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		l.Backend = store
	}
	if err := l.CreateTable(context.Background(), "d", "r"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	maybe := func(list []storagetest.NamedValue, v storagetest.NamedValue) []storagetest.NamedValue {
		if rng.IntN(4) > 0 {
			list = append(list, v)
		}
		return list
	}
	var b storagetest.Batch
	for i := range 70 {
		p := storagetest.Point{Measure: []string{"m", "n"}[rng.IntN(2)], TimeNs: sqltest.Start.Add(-time.Duration(i*17) * time.Minute).UnixNano()}
		if rng.IntN(5) > 0 {
			p.Dims = append(p.Dims, "a", []string{"x", "y", "z"}[rng.IntN(3)])
		}
		if rng.IntN(3) > 0 {
			p.Dims = append(p.Dims, "b", []string{"x", "q"}[rng.IntN(2)])
		}
		v := []storagetest.NamedValue{storagetest.I("i", int64(rng.IntN(9))-3)}
		v = maybe(v, storagetest.F("f", float64(rng.IntN(12))/4-1))
		v = maybe(v, storagetest.S("s", []string{"x", "Zeta", "", "ä"}[rng.IntN(4)]))
		p.Values = maybe(v, storagetest.B("ok", rng.IntN(2) == 0))
		b.Add(p)
	}
	if err := l.Write(context.Background(), "d", "r", &b.Rows); err != nil {
		t.Fatal(err)
	}
	return &l
}

// generator writes random queries that cannot fail.
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
	text, columns := g.selection(depth, nil)
	if g.chance(15) {
		text = "SELECT * FROM (" + text + ") UNION " + g.pick("", "ALL ") + "SELECT * FROM (" + text + ")"
	}
	if g.chance(40) {
		var keys []string
		for i := range columns {
			keys = append(keys, fmt.Sprint(i+1)+g.pick("", " DESC", " NULLS FIRST"))
		}
		g.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		text += " ORDER BY " + strings.Join(keys, ", ") + fmt.Sprintf(" LIMIT %d", g.rng.IntN(20))
	}
	return with + text
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
		if len(keys) > 0 {
			tail = " GROUP BY " + strings.Join(keys, ", ")
			if g.chance(25) {
				expr, typ := g.aggregate(columns)
				tail += " HAVING " + g.compare(expr, typ)
			}
		}
	default:
		for range 1 + g.rng.IntN(4) {
			if g.chance(12) {
				add(g.window(columns))
				continue
			}
			typ := g.pick("int", "double", "text", "bool", "time")
			add(g.expr(all, typ, 2), typ)
		}
	}
	distinct := ""
	if g.chance(12) {
		distinct = "DISTINCT "
	}
	return "SELECT " + distinct + strings.Join(items, ", ") + " FROM " + from + where + tail, out
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
	}
	return "d.r " + name, qualify(tableColumns)
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
		return g.pick("("+sub("int")+" + 1)", "(- "+g.column(columns, "int")+")", "length("+sub("text")+")", "abs("+sub("int")+")")
	case "double":
		return g.pick("("+sub("double")+" * 0.5)", "("+sub("double")+" - "+sub("int")+")", "round("+sub("double")+")")
	case "text":
		return g.pick("upper("+sub("text")+")", "("+sub("text")+" || 'x')", "nullif("+sub("text")+", 'x')")
	case "bool":
		return "(" + g.cond(columns, depth-1) + ")"
	}
	return g.pick("bin("+sub("time")+", 1h)", "date_trunc('hour', "+sub("time")+")")
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

// subquery is a condition with a query in it, which may look at columns around it.
func (g *generator) subquery(depth int, columns []column) string {
	outer := []column(nil)
	if g.chance(60) {
		outer = columns
	}
	text, out := g.selection(depth, outer)
	switch g.rng.IntN(3) {
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
