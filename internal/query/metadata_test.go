package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

func newMetadataEnv(t *testing.T) *env {
	e := newEnv(t, 1, 1, query.Options{})
	for _, name := range []string{"b_%", "b_a", "alpha"} {
		if _, err := e.catalog.CreateDatabase(t.Context(), strings.ReplaceAll(name, "%", "x"), "", nil); err != nil {
			t.Fatal(err)
		}
	}
	var b storagetest.Batch
	ns := start.UnixNano()
	b.Add(storagetest.Point{Measure: "zz", Dims: []string{"region", "r", "az", "a"}, TimeNs: ns, Single: true, Values: []storagetest.NamedValue{storagetest.F("measure_value::double", 1)}})
	b.Add(storagetest.Point{Measure: "cpu", Dims: []string{"region", "r"}, TimeNs: ns, Single: true, Values: []storagetest.NamedValue{storagetest.I("measure_value::bigint", 1)}})
	b.Add(storagetest.Point{Measure: "cpu", Dims: []string{"az", "r"}, TimeNs: ns + 1, Values: []storagetest.NamedValue{storagetest.B("ok", true)}})
	b.Add(storagetest.Point{Measure: "metrics", Dims: []string{"az", "r"}, TimeNs: ns, Values: []storagetest.NamedValue{storagetest.B("ok", true), storagetest.T("at", 1), storagetest.S("s", "")}})
	e.write("mixed", &b)
	return e
}

func TestShowAndDescribeHaveTheirColumnsAndRows(t *testing.T) {
	t.Parallel()
	e := newMetadataEnv(t)
	check := func(sql, wantColumns string, want ...string) {
		t.Helper()
		p := e.page(query.Request{SQL: sql, MaxRows: 1}) // one page, whatever is asked for
		if columns(p) != wantColumns || !slices.Equal(rows(p), want) || p.NextToken != "" || p.Progress != 100 {
			t.Errorf("%s: columns %s\n%s\nwant %s\n%s", sql, columns(p), strings.Join(rows(p), "\n"), wantColumns, strings.Join(want, "\n"))
		}
	}
	const database, table = "Database varchar", "Table varchar"
	check("SHOW DATABASES", database, "alpha", "b_a", "b_x", "d")
	check("SHOW DATABASES LIKE 'b%'", database, "b_a", "b_x")
	check("SHOW DATABASES LIKE '_'", database, "d")
	check("SHOW DATABASES LIKE 'none'", database)
	check("SHOW TABLES", table, "mixed", "t")
	check("SHOW TABLES FROM alpha", table)
	check("SHOW TABLES FROM d LIKE '%x%'", table, "mixed")
	const measures = "measure_name varchar, data_type varchar, dimensions array(row(dimension_name varchar, data_type varchar))"
	check("SHOW MEASURES FROM d.mixed", measures,
		"cpu|bigint|[(region, varchar)]",
		"cpu|multi|[(az, varchar)]",
		"metrics|multi|[(az, varchar)]",
		"zz|double|[(region, varchar), (az, varchar)]")
	check("SHOW MEASURES FROM d.mixed LIKE 'm%'", measures, "metrics|multi|[(az, varchar)]")
	check("DESCRIBE d.mixed", "Column varchar, Type varchar, Timestream attribute type varchar",
		"region|varchar|DIMENSION",
		"az|varchar|DIMENSION",
		"measure_name|varchar|MEASURE_NAME",
		"time|timestamp|TIMESTAMP",
		"measure_value::double|double|MEASURE_VALUE",
		"measure_value::bigint|bigint|MEASURE_VALUE",
		"ok|boolean|MULTI",
		"at|timestamp|MULTI",
		"s|varchar|MULTI")
}

func TestMetadataOfWhatIsNotThereSaysWhere(t *testing.T) {
	t.Parallel()
	e := newMetadataEnv(t)
	for sql, text := range map[string]string{
		"SHOW TABLES FROM none":     "Requested database 'none' not found",
		"DESCRIBE none.t":           "Requested database 'none' not found for identifier 'none.t' at line 1:10",
		"DESCRIBE d.none":           "Requested table 'none' not found for identifier 'd.none' at line 1:10",
		"SHOW MEASURES FROM d.none": "Requested table 'none' not found for identifier 'd.none' at line 1:20",
	} {
		_, err := e.ask(query.Request{SQL: sql})
		fails(t, err, fault.Invalid, text)
	}
}

func TestExplainGivesThePlanAndAnalyzeTheCost(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 2, 10, query.Options{})
	plain := e.page(query.Request{SQL: "EXPLAIN SELECT k, sum(i) FROM d.t GROUP BY k", MaxRows: 1})
	if columns(plain) != "Query Plan varchar" || len(rows(plain)) < 2 || plain.BytesScanned != 0 {
		t.Errorf("EXPLAIN: %s\n%s", columns(plain), strings.Join(rows(plain), "\n"))
	}
	ran := rows(e.page(query.Request{SQL: "EXPLAIN ANALYZE SELECT k, sum(i) FROM d.t GROUP BY k"}))
	if len(ran) != len(rows(plain))+2 || !strings.HasPrefix(ran[len(ran)-2], "rows: 2 in ") || !strings.HasPrefix(ran[len(ran)-1], "scanned: 20 rows") {
		t.Errorf("EXPLAIN ANALYZE:\n%s", strings.Join(ran, "\n"))
	}
	for _, joined := range []string{"JOIN", "LEFT JOIN"} { // columns of a join that nobody reads are not made
		ran = rows(e.page(query.Request{SQL: "EXPLAIN ANALYZE SELECT count(*) FROM d.t a " + joined + " d.t b ON a.k = b.k AND a.i = b.i AND a.time = b.time"}))
		if len(ran) < 2 || !strings.HasPrefix(ran[len(ran)-2], "rows: 1 in ") {
			t.Errorf("EXPLAIN ANALYZE of a %s:\n%s", joined, strings.Join(ran, "\n"))
		}
	}
	_, err := e.ask(query.Request{SQL: "EXPLAIN SELECT x FROM d.t"})
	fails(t, err, fault.Invalid, "Column 'x' does not exist")
}

func TestPrepareTellsColumnsAndParameters(t *testing.T) {
	t.Parallel()
	e := newEnv(t, 1, 1, query.Options{})
	sql := "SELECT k, i AS n, f + 1, max(s) FROM d.t WHERE time < @scheduled_runtime AND i < @limit AND f > @limit GROUP BY k, i, f"
	p, err := e.Prepare(t.Context(), me, sql)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range p.Columns {
		got = append(got, fmt.Sprint(c.Name, " ", c.Type, " ", c.Database, ".", c.Table, " ", c.Aliased))
	}
	want := []string{"k varchar d.t false", "n bigint d.t true", "_col2 double . false", "_col3 varchar . false"}
	if p.SQL != sql || !slices.Equal(got, want) {
		t.Errorf("columns:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if s := fmt.Sprint(p.Parameters); s != "[{scheduled_runtime timestamp} {limit bigint}]" {
		t.Errorf("parameters = %s", s)
	}
	for sql, text := range map[string]string{
		"SHOW TABLES":                "Only SELECT can be prepared.",
		"SELECT a FROM d.t":          "line 1:8: Column 'a' does not exist",
		"SELECT i FROM d.t WHERE k ": "",
	} {
		_, err := e.Prepare(t.Context(), me, sql)
		fails(t, err, fault.Invalid, text)
	}
	_, err = e.ask(query.Request{SQL: "SELECT @x"})
	fails(t, err, fault.Invalid, "line 1:8: Parameter @x has no value")
}
