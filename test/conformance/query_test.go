package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"

	"github.com/weir-db/weir/weirtest"
)

const (
	ten = "SELECT x FROM UNNEST(sequence(1, 10)) AS t (x)"
)

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// sql is an input of Query or PrepareQuery with more members.
func sql(text, more string) string { return `{"QueryString":` + quoted(text) + more + `}` }

func query(s *suite) {
	s.CreateTable("home", "rooms", 12*hour, 5*day)
	for i, room := range []string{"attic", "cellar", "hall"} {
		ok(s.T, s.WriteRecords("home", "rooms", weirtest.Record{Dimensions: map[string]string{"room": room}, Values: map[string]any{"temperature": 20.5 + float64(i), "n": i, "open": i == 1, "note": "a \"b\"\n", "seen": noon}}))
	}
	run := func(t *testing.T, in *timestreamquery.QueryInput) *timestreamquery.QueryOutput {
		t.Helper()
		out, err := s.query.Query(t.Context(), in)
		ok(t, err)
		return out
	}
	s.shows(success, "rows, columns with their types, a query id, and what was read", func(t *testing.T) {
		out := run(t, &timestreamquery.QueryInput{QueryString: aws.String(`SELECT room, temperature, n, open, note, seen, time FROM home.rooms ORDER BY room`)})
		var columns []string
		for _, c := range out.ColumnInfo {
			columns = append(columns, *c.Name+" "+string(c.Type.ScalarType))
		}
		same(t, "columns", columns, []string{"room VARCHAR", "temperature DOUBLE", "n BIGINT", "open BOOLEAN", "note VARCHAR", "seen TIMESTAMP", "time TIMESTAMP"})
		var row []string
		for _, d := range out.Rows[1].Data {
			row = append(row, *d.ScalarValue)
		}
		same(t, "row", row, []string{"cellar", "21.5", "1", "true", "a \"b\"\n", "2031-02-03 12:00:00.000000000", "2031-02-03 12:00:00.000000000"})
		if len(*out.QueryId) < 20 || out.NextToken != nil || out.QueryStatus.ProgressPercentage != 100 || out.QueryStatus.CumulativeBytesScanned == 0 || out.QueryStatus.CumulativeBytesMetered != 10_000_000 {
			t.Errorf("id %s, token %v, status %+v", *out.QueryId, out.NextToken, out.QueryStatus)
		}
	})
	s.shows(success, "no rows: both lists are there, and empty; metadata costs nothing", func(t *testing.T) {
		page := s.must("Query", sql("SELECT room FROM home.rooms WHERE room = 'none'", ""))
		same(t, "lists", []int{len(page["Rows"].([]any)), len(page["ColumnInfo"].([]any))}, []int{0, 1})
		page = s.must("Query", sql("SHOW DATABASES", ""))
		same(t, "metered", page["QueryStatus"].(map[string]any)["CumulativeBytesMetered"], 0.0)
	})
	s.shows(success, "QueryInsights tell how much of the table was read", func(t *testing.T) {
		out := run(t, &timestreamquery.QueryInput{QueryString: aws.String(`SELECT * FROM home.rooms WHERE time > ago(1h)`), QueryInsights: &types.QueryInsights{Mode: types.QueryInsightsModeEnabledWithRateControl}})
		i := out.QueryInsightsResponse
		same(t, "insights", []any{*i.OutputRows, *i.QueryTableCount, *i.QuerySpatialCoverage.Max.TableArn, i.QuerySpatialCoverage.Max.PartitionKey}, []any{int64(3), int64(1), roomsARN, []string{"measure_name"}})
		out = run(t, &timestreamquery.QueryInput{QueryString: aws.String(`SELECT 1`), QueryInsights: &types.QueryInsights{Mode: types.QueryInsightsModeDisabled}})
		same(t, "without them", out.QueryInsightsResponse, (*types.QueryInsightsResponse)(nil))
	})
	s.shows(success, "UNLOAD writes files, a manifest and the columns to a bucket", func(t *testing.T) {
		_, err := s.buckets().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("exports")})
		ok(t, err)
		out := run(t, &timestreamquery.QueryInput{QueryString: aws.String(`UNLOAD (SELECT room, n FROM home.rooms) TO 's3://exports/x' WITH (compression='NONE')`)})
		same(t, "rows", *out.Rows[0].Data[0].ScalarValue, "3")
		for i, name := range []string{"rows", "metadataFile", "manifestFile"} {
			same(t, "column", *out.ColumnInfo[i].Name, name)
		}
		_, key, _ := strings.Cut(*out.Rows[0].Data[2].ScalarValue, "s3://exports/")
		object, err := s.buckets().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("exports"), Key: &key})
		ok(t, err)
		manifest, err := io.ReadAll(object.Body)
		ok(t, err)
		if !strings.Contains(string(manifest), `"total_row_count": 3`) {
			t.Errorf("manifest %s", manifest)
		}
	})
	s.shows(paging, "MaxRows: one query id, a token that is another on every page and absent on the last", func(t *testing.T) {
		pages := timestreamquery.NewQueryPaginator(s.query, &timestreamquery.QueryInput{QueryString: aws.String(ten), MaxRows: aws.Int32(4)})
		var sizes []int
		seen := map[string]bool{}
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			ok(t, err)
			sizes = append(sizes, len(out.Rows))
			seen[*out.QueryId+"/"+aws.ToString(out.NextToken)] = true
		}
		same(t, "sizes", sizes, []int{4, 4, 2})
		same(t, "different tokens", len(seen), 3)
	})
	s.shows(paging, "a token twice gives the same page; one whose successor was used is gone; a follow-up may leave the text out", func(t *testing.T) {
		first := s.must("Query", sql(ten, `,"MaxRows":3`))
		token := `,"MaxRows":3,"NextToken":` + quoted(first["NextToken"].(string))
		second := s.must("Query", sql(ten, token))
		same(t, "the same page", s.must("Query", sql(ten, token)), second)
		s.must("Query", `{"NextToken":`+quoted(second["NextToken"].(string))+`}`)
		resp, _, err := s.post("Query", sql(ten, token))
		ok(t, err)
		same(t, "status", resp.StatusCode, 400)
	})
	s.shows(paging, "a page has a megabyte at most", func(t *testing.T) {
		_, body, err := s.post("Query", sql("SELECT x, lpad('', 1000, 'y') AS y FROM UNNEST(sequence(1, 2000)) AS t (x)", ""))
		ok(t, err)
		if len(body) > 1_001_000 || len(body) < 700_000 || !strings.Contains(string(body), `"NextToken"`) {
			t.Errorf("%d bytes", len(body))
		}
	})
	s.shows(idempotency, "a ClientToken with the same query gives the first page again", func(t *testing.T) {
		in := &timestreamquery.QueryInput{QueryString: aws.String("SELECT random() AS r"), ClientToken: aws.String(long(32))}
		first, second := run(t, in), run(t, in)
		same(t, "answers", []string{*second.QueryId, *second.Rows[0].Data[0].ScalarValue}, []string{*first.QueryId, *first.Rows[0].Data[0].ScalarValue})
	})

	s.refuses("Validation", "no text", `{}`, missing("queryString"))
	s.refuses("Validation", "an empty text", `{"QueryString":""}`, hidden("queryString", atLeastOne))
	s.refuses("Validation", "a text of 262,145 characters", sql("SELECT 1 -- "+long(262133), ""), hidden("queryString", "Member must have length less than or equal to 262144"))
	s.refuses("Validation", "MaxRows 0", sql("SELECT 1", `,"MaxRows":0`), constraint("0", "maxRows", "Member must have value greater than or equal to 1"))
	s.refuses("Validation", "MaxRows 1,001", sql("SELECT 1", `,"MaxRows":1001`), constraint("1001", "maxRows", "Member must have value less than or equal to 1000"))
	s.refuses("Validation", "a short ClientToken", sql("SELECT 1", `,"ClientToken":"short"`), hidden("clientToken", "Member must have length greater than or equal to 32"))
	s.refuses("Validation", "a ClientToken of another query", sql("SELECT 2", `,"ClientToken":"`+long(32)+`"`), "The ClientToken was used before with other parameters.")
	s.refuses("Validation", "insights of an unknown mode", sql("SELECT 1", `,"QueryInsights":{"Mode":"ON"}`), constraint("ON", "queryInsights.mode", "Member must satisfy enum value set: [ENABLED_WITH_RATE_CONTROL, DISABLED]"))
	s.refuses("Validation", "a token of nobody", sql("SELECT 1", `,"NextToken":"abc"`), badPageToken)
	token := s.must("Query", sql(ten, `,"MaxRows":3`))["NextToken"].(string)
	s.refuses("Validation", "a token of another query", sql("SELECT 1", `,"NextToken":`+quoted(token)), badPageToken)
	for _, c := range []struct{ promise, sql, text string }{
		{"no SQL", "SELEC 1", "The query syntax is invalid at line 1:1"},
		{"a column that does not exist", "SELECT\n  nope FROM home.rooms", "line 2:3: Column 'nope' does not exist"},
		{"a database that does not exist", "SELECT * FROM none.rooms", "Requested database 'none' not found for identifier 'none.rooms' at line 1:15"},
		{"a table that does not exist", "SELECT * FROM home.none", "Requested table 'none' not found for identifier 'home.none' at line 1:15"},
		{"a function that does not exist", "SELECT nope(1)", "line 1:8: Function nope not registered"},
		{"types that do not fit", "SELECT 'a' + 1", "line 1:12: '+' cannot be applied to varchar, integer"},
		{"a parameter, which only prepared and scheduled queries have", "SELECT @x", "line 1:8: Parameter @x has no value"},
		{"a statement that changes something", "DROP TABLE home.rooms", "The query syntax is invalid at line 1:1"},
		{"UNLOAD to a bucket that does not exist", "UNLOAD (SELECT 1 AS x) TO 's3://none-such/x'", "The S3 bucket none-such of the UNLOAD destination does not exist."},
	} {
		s.refuses("Validation", c.promise, sql(c.sql, ""), c.text)
	}
	for _, c := range []struct{ promise, sql, text string }{
		{"division by zero", "SELECT 1 / n FROM home.rooms", "Division by zero"},
		{"a text that is no number", "SELECT cast(room AS bigint) FROM home.rooms WHERE room = 'attic'", "Cannot cast 'attic' to BIGINT"},
		{"a number past its type", "SELECT 9223372036854775807 + n FROM home.rooms WHERE n = 1", "bigint addition overflow: 9223372036854775807 + 1"},
		{"a row of more than a megabyte", "SELECT lpad('', 600000, 'x') AS a, lpad('', 600000, 'x') AS b", "Query aborted as max page response size has been exceeded by the output result row"},
	} {
		s.refuses("QueryExecution", c.promise, sql(c.sql, ""), c.text)
	}
	s.refuses(serialization, "a body that is no JSON", `x`, notJSON)
	page := s.must("Query", sql(ten, `,"MaxRows":3`))
	s.must("CancelQuery", `{"QueryId":"`+page["QueryId"].(string)+`"}`)
	s.refuses("Conflict", "the next page of a cancelled query", sql(ten, `,"MaxRows":3,"NextToken":`+quoted(page["NextToken"].(string))), "Unable to poll results for a cancelled query.")
	for {
		resp, body, err := s.post("Query", sql(ten, `,"MaxRows":1`))
		ok(s.T, err)
		if resp.StatusCode != 200 {
			if resp.StatusCode != 429 {
				s.T.Fatalf("%d %s", resp.StatusCode, body)
			}
			break
		}
	}
	s.refuses("Throttling", "more results open than the server keeps", sql(ten, `,"MaxRows":1`), "1000 results are open, the most that this server keeps; read them to the end or cancel them.")
}

func cancelQuery(s *suite) {
	s.shows(success, "a query that runs ends; its caller gets a ConflictException", func(t *testing.T) {
		first := s.must("Query", sql(ten, `,"MaxRows":1`))
		out, err := s.query.CancelQuery(t.Context(), &timestreamquery.CancelQueryInput{QueryId: aws.String(first["QueryId"].(string))})
		ok(t, err)
		same(t, "message", *out.CancellationMessage, "The query "+first["QueryId"].(string)+" is being cancelled.")
		_, err = s.query.Query(t.Context(), &timestreamquery.QueryInput{QueryString: aws.String(ten), NextToken: aws.String(first["NextToken"].(string))})
		same(t, "the next page", code(err), "ConflictException")
	})
	s.shows(idempotency, "cancelling again is not an error, and says so", func(t *testing.T) {
		id := s.must("Query", sql(ten, `,"MaxRows":1`))["QueryId"].(string)
		s.must("CancelQuery", `{"QueryId":"`+id+`"}`)
		same(t, "message", s.must("CancelQuery", `{"QueryId":"`+id+`"}`)["CancellationMessage"], any("The query "+id+" was cancelled already."))
	})
	s.refuses("Validation", "no id", `{}`, missing("queryId"))
	s.refuses("Validation", "an id that cannot be", `{"QueryId":"a-b"}`, constraint("a-b", "queryId", "Member must satisfy regular expression pattern: [a-zA-Z0-9]+"))
	s.refuses("Validation", "an id of 65 characters", `{"QueryId":"`+long(65)+`"}`, constraint(long(65), "queryId", "Member must have length less than or equal to 64"))
	s.refuses("Validation", "an id that was never given", `{"QueryId":"ABC"}`, "The query ABC does not exist or has ended.")
	done := s.must("Query", sql("SELECT 1", ""))["QueryId"].(string)
	s.refuses("Validation", "a query that has ended", `{"QueryId":"`+done+`"}`, "The query "+done+" does not exist or has ended.")
}

func prepareQuery(s *suite) {
	s.CreateTable("home", "rooms", 12*hour, 5*day)
	ok(s.T, s.WriteRecords("home", "rooms", weirtestRecord()))
	s.shows(success, "columns with their origin, parameters with their types; nothing runs", func(t *testing.T) {
		text := "SELECT room, temperature AS t, 1 / 0 AS boom FROM home.rooms WHERE temperature > @min AND room = @room"
		out, err := s.query.PrepareQuery(t.Context(), &timestreamquery.PrepareQueryInput{QueryString: &text, ValidateOnly: aws.Bool(true)})
		ok(t, err)
		same(t, "text", *out.QueryString, text)
		var got []string
		for _, c := range out.Columns {
			got = append(got, fmt.Sprint(*c.Name, " ", c.Type.ScalarType, " ", aws.ToString(c.DatabaseName), ".", aws.ToString(c.TableName), " ", aws.ToBool(c.Aliased)))
		}
		for _, p := range out.Parameters {
			got = append(got, "@"+*p.Name+" "+string(p.Type.ScalarType))
		}
		same(t, "columns and parameters", got, []string{"room VARCHAR home.rooms false", "t DOUBLE home.rooms true", "boom INTEGER . true", "@min DOUBLE", "@room VARCHAR"})
	})
	s.refuses("Validation", "no text", `{"ValidateOnly":true}`, missing("queryString"))
	s.refuses("Validation", "without ValidateOnly", sql("SELECT 1", ""), "ValidateOnly must be true. Timestream only supports validation of the query.")
	s.refuses("Validation", "ValidateOnly false", sql("SELECT 1", `,"ValidateOnly":false`), "ValidateOnly must be true. Timestream only supports validation of the query.")
	s.refuses("Validation", "a statement that is no SELECT", sql("SHOW DATABASES", `,"ValidateOnly":true`), "Only SELECT can be prepared.")
	s.refuses("Validation", "a column that does not exist", sql("SELECT nope FROM home.rooms", `,"ValidateOnly":true`), "line 1:8: Column 'nope' does not exist")
	s.refuses("Validation", "no SQL", sql("SELECT", `,"ValidateOnly":true`), "The query syntax is invalid at line 1:7")
}
