package conformance

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/weirtest"
)

// The tests below are the rules that all clients together impose on results, R1 to R15, each
// by the client that breaks when it is not kept.

// typed gives one column of every type, with a row of values and a row of nulls.
const typed = `SELECT * FROM (
	SELECT 'x' AS s, 1 AS i, 9000000000 AS b, 35e0 AS d, true AS t, cast('2031-02-03 12:00:00.123456789' AS timestamp) AS ts, date '2031-02-03' AS da, time '12:00:00.5' AS ti,
		1d AS dts, 1year AS ytm, ARRAY[1, NULL] AS a, row(1, 'x') AS r, create_time_series(time, temperature) AS ser FROM home.rooms WHERE room = 'attic'
	UNION ALL
	SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) ORDER BY s NULLS LAST`

// ruleServer is a server with three rooms and a reading of each.
func ruleServer(t *testing.T) *suite {
	t.Helper()
	t.Parallel()
	s := newSuite(t, &operation{name: "Query"})
	s.CreateTable("home", "rooms", 12*hour, 5*day)
	for i, room := range []string{"attic", "cellar", "hall"} {
		ok(t, s.WriteRecords("home", "rooms", weirtest.Record{Dimensions: map[string]string{"room": room}, Values: map[string]any{"temperature": 20.5 + float64(i), "n": i, "open": i == 1, "note": "a"}}))
	}
	return s
}

// page is an answer of Query with the members that are there.
type page map[string]json.RawMessage

func (s *suite) page(body string) page {
	s.T.Helper()
	resp, answer, err := s.post("Query", body)
	if err != nil || resp.StatusCode != 200 {
		s.T.Fatalf("%s: %v %s", body, err, answer)
	}
	p := page{}
	ok(s.T, json.Unmarshal(answer, &p))
	return p
}

func (p page) text(t *testing.T, member string) (text string) {
	t.Helper()
	ok(t, json.Unmarshal(p[member], &text))
	return text
}

// data returns the datums of every row.
func (p page) data(t *testing.T) (rows [][]map[string]any) {
	t.Helper()
	var list []struct{ Data []map[string]any }
	ok(t, json.Unmarshal(p["Rows"], &list))
	for _, r := range list {
		rows = append(rows, r.Data)
	}
	return rows
}

// names returns the names of the columns.
func (p page) names(t *testing.T) (names []string) {
	t.Helper()
	var list []struct{ Name string }
	ok(t, json.Unmarshal(p["ColumnInfo"], &list))
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

// pages follows the tokens to the end.
func (s *suite) pages(text, more string) (list []page) {
	s.T.Helper()
	token := ""
	for {
		p := s.page(sql(text, more+token))
		list = append(list, p)
		if p["NextToken"] == nil {
			return list
		}
		token = `,"NextToken":` + string(p["NextToken"])
	}
}

// JDBC dereferences Rows, awswrangler the key QueryId.
func TestR1QueryIdRowsAndColumnInfoAreInEveryPage(t *testing.T) {
	s := ruleServer(t)
	id := ""
	for _, p := range append(s.pages(ten, `,"MaxRows":3`), s.page(sql("SELECT room FROM home.rooms WHERE false", "")), s.page(sql("SHOW TABLES FROM home LIKE 'none'", ""))) {
		if p["Rows"] == nil || p["Rows"][0] != '[' || p["ColumnInfo"] == nil || p["ColumnInfo"][0] != '[' || p.text(t, "QueryId") == "" {
			t.Errorf("page %v", p)
		}
	}
	for _, p := range s.pages(ten, `,"MaxRows":3`) {
		if id == "" {
			id = p.text(t, "QueryId")
		}
		same(t, "one id on all pages", p.text(t, "QueryId"), id)
	}
}

// awswrangler cuts the last three characters of a timestamp and parses six digits.
func TestR2TimesHaveNineDigitsAndNoZone(t *testing.T) {
	s := ruleServer(t)
	p := s.page(sql("SELECT time, cast('2031-02-03 12:00:00.1' AS timestamp), time '12:00:00.5', date '2031-02-03', create_time_series(time, n) FROM home.rooms WHERE room = 'attic' GROUP BY time", ""))
	row := p.data(t)[0]
	for i, want := range []string{"2031-02-03 12:00:00.000000000", "2031-02-03 12:00:00.100000000", "12:00:00.500000000", "2031-02-03"} {
		same(t, p.names(t)[i], row[i]["ScalarValue"], any(want))
	}
	same(t, "a point", row[4]["TimeSeriesValue"].([]any)[0].(map[string]any)["Time"], any("2031-02-03 12:00:00.000000000"))
}

// The Prometheus connector tests NullValue for being there; samples count keys.
func TestR3ADatumHasExactlyOneKey(t *testing.T) {
	s := ruleServer(t)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if v["Time"] != nil {
				walk(v["Value"])
				return
			}
			if len(v) != 1 {
				t.Errorf("a datum with %d keys: %v", len(v), v)
			}
			for k, inner := range v {
				switch k {
				case "NullValue":
					same(t, k, inner, any(true))
				case "ScalarValue":
				case "ArrayValue", "TimeSeriesValue", "Data":
					walk(inner)
				case "RowValue":
					walk(inner.(map[string]any)["Data"])
				default:
					t.Errorf("a datum with the key %s", k)
				}
			}
		}
	}
	rows := s.page(sql(typed, "")).data(t)
	same(t, "rows", len(rows), 2)
	for _, r := range rows {
		for _, d := range r {
			walk(d)
		}
	}
	for i, d := range rows[1] {
		same(t, fmt.Sprint("null of column ", i), d, map[string]any{"NullValue": true})
	}
}

// Grafana crashed on an empty series (#168).
func TestR4AnEmptySeriesIsASeriesOrNull(t *testing.T) {
	s := ruleServer(t)
	for _, text := range []string{
		"SELECT create_time_series(time, temperature) FROM home.rooms WHERE room = 'none'",
		"SELECT filter(create_time_series(time, temperature), x -> x.value > 1000) FROM home.rooms",
		"SELECT room, create_time_series(time, temperature) FROM home.rooms WHERE room = 'none' GROUP BY room",
	} {
		for _, r := range s.page(sql(text, "")).data(t) {
			d := r[len(r)-1]
			if series, is := d["TimeSeriesValue"].([]any); (!is || series == nil) && d["NullValue"] != true {
				t.Errorf("%s: %v", text, d)
			}
		}
	}
}

// ODBC compares the words of DESCRIBE and SHOW MEASURES exactly, SDKs the enum of ColumnInfo.
func TestR5TypesAreEnumWordsInColumnInfoAndLowerCaseInRows(t *testing.T) {
	s := ruleServer(t)
	p := s.page(sql(typed, ""))
	var columns []struct {
		Type map[string]json.RawMessage
	}
	ok(t, json.Unmarshal(p["ColumnInfo"], &columns))
	var got []string
	for _, c := range columns {
		for k, v := range c.Type {
			if k == "ScalarType" {
				k = strings.Trim(string(v), `"`)
			}
			got = append(got, k)
		}
	}
	same(t, "types", got, []string{"VARCHAR", "INTEGER", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE", "TIME", "INTERVAL_DAY_TO_SECOND", "INTERVAL_YEAR_TO_MONTH", "ArrayColumnInfo", "RowColumnInfo", "TimeSeriesMeasureValueColumnInfo"})
	p = s.page(sql("SELECT NULL AS x", ""))
	if !strings.Contains(string(p["ColumnInfo"]), `"UNKNOWN"`) {
		t.Errorf("a null's type: %s", p["ColumnInfo"])
	}
	same(t, "DESCRIBE", s.Query(`DESCRIBE "home"."rooms"`), [][]string{
		{"room", "varchar", "DIMENSION"}, {"measure_name", "varchar", "MEASURE_NAME"}, {"time", "timestamp", "TIMESTAMP"},
		{"n", "bigint", "MULTI"}, {"note", "varchar", "MULTI"}, {"open", "boolean", "MULTI"}, {"temperature", "double", "MULTI"},
	})
	same(t, "SHOW MEASURES", s.Query(`SHOW MEASURES FROM "home"."rooms"`), [][]string{{"metrics", "multi", "[(room, varchar)]"}})
}

// Grafana dereferences the name of every row field.
func TestR6EveryColumnAndEveryFieldOfARowHasAName(t *testing.T) {
	s := ruleServer(t)
	type column struct {
		Name *string
		Type struct{ RowColumnInfo []json.RawMessage }
	}
	var columns []column
	ok(t, json.Unmarshal(s.page(sql("SELECT 1, room, count(*), row(1, row('x', 2)), cast(row(1) AS row(a bigint)) FROM home.rooms GROUP BY room", ""))["ColumnInfo"], &columns))
	var named func(c column)
	named = func(c column) {
		if c.Name == nil || *c.Name == "" {
			t.Errorf("no name: %+v", c)
		}
		for _, f := range c.Type.RowColumnInfo {
			var field column
			ok(t, json.Unmarshal(f, &field))
			named(field)
		}
	}
	for _, c := range columns {
		named(c)
	}
}

// awswrangler loops while the key is there.
func TestR7TheLastPageHasNoToken(t *testing.T) {
	s := ruleServer(t)
	for _, body := range []string{sql("SELECT 1", ""), sql(ten, `,"MaxRows":10`), sql("SHOW DATABASES", `,"MaxRows":1`)} {
		if p := s.page(body); p["NextToken"] != nil {
			t.Errorf("%s: token %s", body, p["NextToken"])
		}
	}
	all := s.pages(ten, `,"MaxRows":5`)
	same(t, "pages", len(all), 2) // no empty one at the end
}

// ODBC takes an empty page behind one with rows as the end.
func TestR8AfterAPageWithRowsNoneIsEmptyButTheLast(t *testing.T) {
	s := ruleServer(t)
	seen := false
	for i, p := range s.pages("SELECT a.x FROM UNNEST(sequence(1, 3000)) AS a (x), UNNEST(sequence(1, 300)) AS b (y) WHERE (a.x * b.y) % 997 = 0", `,"MaxRows":100`) {
		rows := p.data(t)
		if seen && len(rows) == 0 && p["NextToken"] != nil {
			t.Errorf("page %d is empty and not the last", i)
		}
		seen = seen || len(rows) > 0
	}
}

// SDKs repeat a request; the Athena connector asks for a page without the text.
func TestR9ATokenServesTheSameResultAgainAndWithoutItsText(t *testing.T) {
	s := ruleServer(t)
	first := s.page(sql("SELECT random() AS r FROM UNNEST(sequence(1, 9)) AS t (x)", `,"MaxRows":3`))
	body := `{"MaxRows":3,"NextToken":` + string(first["NextToken"]) + `}`
	second := s.page(body)
	same(t, "the second page again", s.page(body), second)
	s.refuses("Validation", "another text", sql("SELECT 1", `,"NextToken":`+string(second["NextToken"])), badPageToken)
}

// Grafana reads only the first page of SHOW; Athena's request for a second is malformed.
func TestR10ShowAndDescribeFitInOnePage(t *testing.T) {
	s := ruleServer(t)
	for i := range 300 {
		s.must("CreateTable", fmt.Sprintf(`{"DatabaseName":"home","TableName":"t%03d"}`, i))
	}
	for text, want := range map[string]int{"SHOW DATABASES": 1, `SHOW TABLES FROM "home"`: 301, `DESCRIBE "home"."rooms"`: 7, `SHOW MEASURES FROM "home"."rooms"`: 1} {
		p := s.page(sql(text, `,"MaxRows":2`))
		if n := len(p.data(t)); n != want || p["NextToken"] != nil {
			t.Errorf("%s: %d rows, want %d; token %s", text, n, want, p["NextToken"])
		}
	}
}

// Grafana walks Data[2].ArrayValue[].RowValue.Data[0].ScalarValue.
func TestR11ShowMeasuresHasThreeColumnsAndTheDimensionsAreAnArrayOfRows(t *testing.T) {
	s := ruleServer(t)
	p := s.page(sql(`SHOW MEASURES FROM "home"."rooms"`, ""))
	same(t, "columns", p.names(t), []string{"measure_name", "data_type", "dimensions"})
	first := p.data(t)[0][2]["ArrayValue"].([]any)[0].(map[string]any)["RowValue"].(map[string]any)["Data"].([]any)
	same(t, "first dimension", first, []any{map[string]any{"ScalarValue": "room"}, map[string]any{"ScalarValue": "varchar"}})
	if !strings.Contains(string(p["ColumnInfo"]), `"dimension_name"`) || !strings.Contains(string(p["ColumnInfo"]), `"data_type"`) {
		t.Errorf("names of the fields: %s", p["ColumnInfo"])
	}
}

// Athena throws unless DESCRIBE has three columns; all read by position and by these names.
func TestR12NamesOfMetadataColumns(t *testing.T) {
	s := ruleServer(t)
	for text, want := range map[string][]string{
		`DESCRIBE "home"."rooms"`: {"Column", "Type", "Timestream attribute type"}, `describe "home"."rooms"`: {"Column", "Type", "Timestream attribute type"},
		"SHOW DATABASES": {"Database"}, `SHOW TABLES FROM "home"`: {"Table"},
	} {
		same(t, text, s.page(sql(text, "")).names(t), want)
	}
}

// Grafana shows the figures; the copy tool waits for the percentage.
func TestR13TheStatusIsInEveryPageAndNeverFalls(t *testing.T) {
	s := ruleServer(t)
	var before struct {
		ProgressPercentage                             float64
		CumulativeBytesScanned, CumulativeBytesMetered int64
	}
	for i, p := range s.pages("SELECT * FROM home.rooms", `,"MaxRows":1`) {
		now := before
		for _, member := range []string{"ProgressPercentage", "CumulativeBytesScanned", "CumulativeBytesMetered"} {
			if !strings.Contains(string(p["QueryStatus"]), `"`+member+`":`) {
				t.Errorf("page %d lacks %s: %s", i, member, p["QueryStatus"])
			}
		}
		ok(t, json.Unmarshal(p["QueryStatus"], &now))
		if now.ProgressPercentage < before.ProgressPercentage || now.CumulativeBytesScanned < before.CumulativeBytesScanned || now.CumulativeBytesMetered < before.CumulativeBytesMetered {
			t.Errorf("page %d: %+v after %+v", i, now, before)
		}
		before = now
	}
	same(t, "in the end", before.ProgressPercentage, 100.0)
}

// The health check of Grafana, the connection test of JDBC and ODBC.
func TestR14SelectOneAnswersOne(t *testing.T) {
	s := ruleServer(t)
	for _, text := range []string{"SELECT 1", "select 1;", " SELECT 1 -- ping"} {
		same(t, text, s.page(sql(text, "")).data(t), [][]map[string]any{{{"ScalarValue": "1"}}})
	}
}

// Grafana uses ParseInt and ParseFloat.
func TestR15NumbersAreReadByEveryParser(t *testing.T) {
	s := ruleServer(t)
	row := s.page(sql("SELECT -9223372036854775807 - 1, 2147483647, 35e0, 1e10, 1e-9, 1e300, 0.1e0 + 0.2e0, true, false, nan(), infinity(), -infinity()", "")).data(t)[0]
	text := func(i int) string { return row[i]["ScalarValue"].(string) }
	for i := range 2 {
		if _, err := strconv.ParseInt(text(i), 10, 64); err != nil {
			t.Error(err)
		}
	}
	for i, want := range []float64{35, 1e10, 1e-9, 1e300, 0.1 + 0.2} {
		if f, err := strconv.ParseFloat(text(i+2), 64); err != nil || math.Abs(f-want) > want*1e-15 {
			t.Errorf("%s, want %g: %v", text(i+2), want, err)
		}
	}
	var rest []string
	for i := 7; i < 12; i++ {
		rest = append(rest, text(i))
	}
	same(t, "words", rest, []string{"true", "false", "NaN", "Infinity", "-Infinity"})
}

// TestGrafanasCalls makes the calls of Grafana's data source from its health check to a panel
// that is left before it is full.
func TestGrafanasCalls(t *testing.T) {
	s := ruleServer(t)
	same(t, "health", s.Query("SELECT 1"), [][]string{{"1"}})
	same(t, "databases", s.Query("SHOW DATABASES"), [][]string{{"home"}})
	same(t, "tables", s.Query(`SHOW TABLES FROM "home"`), [][]string{{"rooms"}})
	same(t, "measures", s.Query(`SHOW MEASURES FROM "home"."rooms"`)[0][0], "metrics")
	from, to := noon.Add(-time.Hour).UnixMilli(), noon.Add(time.Minute).UnixMilli()
	panel := fmt.Sprintf(`SELECT room, CREATE_TIME_SERIES(time, temperature) AS temperature FROM "home"."rooms"
		WHERE time BETWEEN from_milliseconds(%d) AND from_milliseconds(%d) AND measure_name = 'metrics' GROUP BY room ORDER BY room`, from, to)
	rows := s.page(sql(panel, "")).data(t)
	if len(rows) != 3 || rows[0][1]["TimeSeriesValue"] == nil {
		t.Errorf("panel: %v", rows)
	}
	binned := fmt.Sprintf(`SELECT BIN(time, 30000ms) AS t, avg(temperature) FROM "home"."rooms" WHERE time BETWEEN from_milliseconds(%d) AND from_milliseconds(%d) GROUP BY 1 ORDER BY 1`, from, to)
	same(t, "binned", s.Query(binned), [][]string{{"2031-02-03 12:00:00.000000000", "21.5"}})
	first := s.page(sql("SELECT * FROM \"home\".\"rooms\"", `,"MaxRows":1`))
	s.must("CancelQuery", `{"QueryId":`+string(first["QueryId"])+`}`)
	s.must("CancelQuery", `{"QueryId":`+string(first["QueryId"])+`}`)
}

// TestJDBCsCalls makes the calls of the JDBC driver: connection, metadata, a prepared statement,
// pages fetched ahead, a statement that is cancelled.
func TestJDBCsCalls(t *testing.T) {
	s := ruleServer(t)
	same(t, "connect", s.Query("SELECT 1"), [][]string{{"1"}})
	same(t, "getSchemas", s.Query("SHOW DATABASES LIKE 'h%'"), [][]string{{"home"}})
	same(t, "getTables", s.Query(`SHOW TABLES FROM "home" LIKE 'r__ms'`), [][]string{{"rooms"}})
	same(t, "getTables of none", s.Query(`SHOW TABLES FROM "home" LIKE 'x%'`), [][]string(nil))
	same(t, "getColumns", len(s.Query(`DESCRIBE "home"."rooms"`)), 7)
	prepared := s.page(sql(`SELECT * FROM (SELECT room, max(temperature) AS hottest FROM "home"."rooms" GROUP BY room ORDER BY 2 DESC LIMIT 2) LIMIT 0`, ""))
	same(t, "prepared", prepared.names(t), []string{"room", "hottest"})
	same(t, "rows of a prepared one", len(prepared.data(t)), 0)
	rows := 0
	for _, p := range s.pages("SELECT x FROM UNNEST(sequence(1, 2500)) AS t (x)", `,"MaxRows":1000`) {
		rows += len(p.data(t))
	}
	same(t, "rows", rows, 2500)
	first := s.page(sql(ten, `,"MaxRows":1`))
	s.must("CancelQuery", `{"QueryId":`+string(first["QueryId"])+`}`)
	s.refuses("Conflict", "fetching after cancel()", sql(ten, `,"MaxRows":1,"NextToken":`+string(first["NextToken"])), "Unable to poll results for a cancelled query.")
}

// TestPrometheusConnectorsCalls reads as the connector does, and checks the texts that it
// turns into empty results or refusals.
func TestPrometheusConnectorsCalls(t *testing.T) {
	s := ruleServer(t)
	s.must("WriteRecords", written(scalar(`"MeasureName":"up","Dimensions":[{"Name":"job","Value":"node-1"}],"MeasureValue":"1.000000"`)))
	text := func(label, filter string) string {
		return fmt.Sprintf(`SELECT * FROM "home"."rooms" WHERE "measure_name" = 'up' AND "%s" = 'node-1' AND %s AND time BETWEEN FROM_UNIXTIME(%d) AND FROM_UNIXTIME(%d)`, label, filter, noon.Unix()-60, noon.Unix()+60)
	}
	p := s.page(sql(text("job", `REGEXP_LIKE("job", '^(?!x)node-\d$') AND NOT REGEXP_LIKE("job", '(e)\1')`), ""))
	at := slices.Index(p.names(t), "measure_value::double")
	if at < 0 || p.data(t)[0][at]["ScalarValue"] != "1.0" {
		t.Errorf("columns %v, row %v", p.names(t), p.data(t))
	}
	s.refuses("Validation", "a label that does not exist", sql(text("nope", "true"), ""), "line 1:62: Column 'nope' does not exist")
	resp, body, err := s.post("Query", sql(text("job", `REGEXP_LIKE("job", '(')`), ""))
	if err != nil || resp.StatusCode != 400 || !regexp.MustCompile(`"[^"]*#ValidationException"`).Match(body) {
		t.Errorf("a bad expression: %d %s, %v; the connector wants a ValidationException", resp.StatusCode, body, err)
	}
}
