package timestream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/timestream"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vec"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

// script is a query service that answers from a list of pages.
type script struct {
	mu    sync.Mutex
	pages []*query.Page
	asked []query.Request
	err   error
}

func (s *script) Query(_ context.Context, req query.Request) (*query.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, req)
	if s.err != nil {
		return nil, s.err
	}
	p := s.pages[0]
	s.pages = s.pages[1:]
	return p, nil
}

func (s *script) Cancel(_ context.Context, _, id string) (string, error) {
	if id != "Q1" {
		return "", fault.New(fault.Invalid, "no query %s", id)
	}
	return "cancelled", nil
}

func (s *script) Prepare(_ context.Context, _, sql string) (*query.Prepared, error) {
	return &query.Prepared{
		SQL:        sql,
		Columns:    []plan.OutputColumn{{Name: "time", Type: vec.TimestampType, Database: "db", Table: "t"}, {Type: vec.ArrayOf(vec.DoubleType), Aliased: true}},
		Parameters: []query.Parameter{{Name: "p", Type: vec.BigintType}},
	}, nil
}

// door is both APIs over HTTP and the naive backend.
type door struct {
	t       testing.TB
	server  *httptest.Server
	queries *script
	service *wire.Service
	calls   chan wire.Call // the last call of each request, for its counts
}

func newDoor(t testing.TB) *door {
	d := &door{t: t, queries: &script{}, calls: make(chan wire.Call, 100)}
	clk := clock.Manual(now)
	c, err := catalog.Open(t.Context(), catalog.Options{Backend: storagetest.NewNaive(clk), Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	service := timestream.New(timestream.Options{Catalog: c, Ingest: ingest.New(ingest.Options{Catalog: c}), Queries: d.queries})
	for name, handler := range service.Operations {
		service.Operations[name] = func(ctx context.Context, c *wire.Call) (wire.Response, error) {
			defer func() {
				select {
				case d.calls <- *c:
				default:
				}
			}()
			return handler(ctx, c)
		}
	}
	d.service = service
	h, err := awsapi.New(awsapi.Options{Services: []*wire.Service{service}})
	if err != nil {
		t.Fatal(err)
	}
	d.server = httptest.NewServer(h)
	t.Cleanup(d.server.Close)
	return d
}

// call sends a body and returns status and body of the answer.
func (d *door) call(operation, body string, header ...string) (int, string) {
	d.t.Helper()
	req, err := http.NewRequest("POST", d.server.URL, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := d.server.Client().Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String()
}

// answers checks a successful answer to the byte.
func (d *door) answers(operation, body, want string) {
	d.t.Helper()
	if status, got := d.call(operation, body); status != 200 || got != want {
		d.t.Errorf("%s %s: %d\ngot  %s\nwant %s", operation, body, status, got, want)
	}
}

// refuses checks status, type and text of an exception.
func (d *door) refuses(operation, body string, status int, kind, text string) {
	d.t.Helper()
	got, out := d.call(operation, body)
	var e struct {
		Type     string `json:"__type"`
		Message  string
		Message2 string `json:"message"`
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		d.t.Errorf("%s: %v in %s", operation, err, out)
	}
	if got != status || e.Type != kind || !strings.Contains(e.Message, text) {
		d.t.Errorf("%s %.200s:\ngot  %d %s\nwant %d %s %s", operation, body, got, out, status, kind, text)
	}
}

const (
	validation = "com.amazonaws.timestream.v20181101#ValidationException"
	framework  = "com.amazon.coral.validate#ValidationException"
	notFound   = "com.amazonaws.timestream.v20181101#ResourceNotFoundException"
	conflict   = "com.amazonaws.timestream.v20181101#ConflictException"
	serialize  = "com.amazon.coral.service#SerializationException"
)

const tableT = `{"Arn":"arn:aws:timestream:us-east-1:000000000000:database/db/table/t","TableName":"t","DatabaseName":"db","TableStatus":"ACTIVE",` +
	`"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":6,"MagneticStoreRetentionPeriodInDays":73000},"CreationTime":1772600767.89,"LastUpdatedTime":1772600767.89,` +
	`"MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":false},"Schema":{"CompositePartitionKey":[{"Type":"MEASURE"}]}}`

func TestDatabasesAndTablesHaveTheShapesOfTheAPI(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	database := func(tables int) string {
		return fmt.Sprintf(`{"Arn":"arn:aws:timestream:us-east-1:000000000000:database/db","DatabaseName":"db","TableCount":%d,"KmsKeyId":"arn:aws:kms:us-east-1:000000000000:key/7e1a0d3c-5b42-4c8f-9a60-1f2e3d4c5b6a","CreationTime":1772600767.89,"LastUpdatedTime":1772600767.89}`, tables)
	}
	d.answers("CreateDatabase", `{"DatabaseName":"db","Tags":[{"Key":"k","Value":""}],"Unknown":{"a":[1]}}`, `{"Database":`+database(0)+`}`)
	d.answers("CreateTable", `{"DatabaseName":"db","TableName":"t","Tags":null}`, `{"Table":`+tableT+`}`)
	d.answers("DescribeDatabase", `{"DatabaseName":"db"}`, `{"Database":`+database(1)+`}`)
	d.answers("DescribeTable", `{"DatabaseName":"db","TableName":"t"}`, `{"Table":`+tableT+`}`)
	d.answers("UpdateTable", `{"DatabaseName":"db","TableName":"t"}`, `{"Table":`+tableT+`}`)
	d.answers("ListDatabases", `{}`, `{"Databases":[`+database(1)+`]}`)
	d.answers("ListDatabases", ``, `{"Databases":[`+database(1)+`]}`)
	d.answers("ListTables", `{}`, `{"Tables":[`+tableT+`]}`)
	d.answers("ListTables", `{"DatabaseName":"db","NextToken":null}`, `{"Tables":[`+tableT+`]}`)
	d.answers("ListTagsForResource", `{"ResourceARN":"arn:aws:timestream:us-east-1:000000000000:database/db"}`, `{"Tags":[{"Key":"k","Value":""}]}`)
	d.answers("UpdateTable", `{"DatabaseName":"db","TableName":"t","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":24,"MagneticStoreRetentionPeriodInDays":365},
		"MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true,"MagneticStoreRejectedDataLocation":{"S3Configuration":{"BucketName":"bucket","ObjectKeyPrefix":"pre/fix"}}}}`,
		`{"Table":`+strings.NewReplacer(`"MemoryStoreRetentionPeriodInHours":6,"MagneticStoreRetentionPeriodInDays":73000`, `"MemoryStoreRetentionPeriodInHours":24,"MagneticStoreRetentionPeriodInDays":365`,
			`"EnableMagneticStoreWrites":false`, `"EnableMagneticStoreWrites":true,"MagneticStoreRejectedDataLocation":{"S3Configuration":{"BucketName":"bucket","ObjectKeyPrefix":"pre/fix"}}`).Replace(tableT)+`}`)
	d.answers("CreateTable", `{"DatabaseName":"db","TableName":"p","Schema":{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"host"}]}}`,
		`{"Table":`+strings.NewReplacer(`"t"`, `"p"`, `table/t`, `table/p`, `{"Type":"MEASURE"}`, `{"Type":"DIMENSION","Name":"host","EnforcementInRecord":"OPTIONAL"}`).Replace(tableT)+`}`)
	d.answers("DeleteTable", `{"DatabaseName":"db","TableName":"t"}`, `{}`)
	d.answers("DeleteTable", `{"DatabaseName":"db","TableName":"p"}`, `{}`)
	d.answers("DeleteDatabase", `{"DatabaseName":"db"}`, `{}`)
	d.refuses("DescribeDatabase", `{"DatabaseName":"db"}`, 404, notFound, "The database db does not exist.")
}

func TestControlPlaneErrors(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.call("CreateDatabase", `{"DatabaseName":"db"}`)
	d.call("CreateTable", `{"DatabaseName":"db","TableName":"t"}`)
	const failed = " failed to satisfy constraint: "
	d.refuses("CreateDatabase", `{"DatabaseName":"db"}`, 409, conflict, "The database db already exists.")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"t"}`, 409, conflict, "The table t already exists.")
	d.refuses("CreateTable", `{"DatabaseName":"none","TableName":"t"}`, 404, notFound, "The database none does not exist.")
	d.refuses("DescribeTable", `{"DatabaseName":"db","TableName":"none"}`, 404, notFound, "The table none does not exist.")
	d.refuses("ListTables", `{"DatabaseName":"none"}`, 404, notFound, "The database none does not exist.")
	d.refuses("DeleteDatabase", `{"DatabaseName":"db"}`, 400, validation, "Delete its tables first.")
	d.refuses("CreateDatabase", `{}`, 400, framework, "1 validation error detected: Value null at 'databaseName'"+failed+"Member must not be null")
	d.refuses("CreateDatabase", `{"DatabaseName":"a b","KmsKeyId":""}`, 400, framework, "2 validation errors detected: Value 'a b' at 'databaseName'"+failed+"Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'kmsKeyId'"+failed+"Member must have length greater than or equal to 1")
	d.refuses("CreateDatabase", `{"DatabaseName":"`+strings.Repeat("a", 257)+`"}`, 400, validation, "256")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"x","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":8767}}`, 400, framework,
		"2 validation errors detected: Value '8767' at 'retentionProperties.memoryStoreRetentionPeriodInHours'"+failed+"Member must have value less than or equal to 8766; Value null at 'retentionProperties.magneticStoreRetentionPeriodInDays'"+failed+"Member must not be null")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"x","Tags":[{"Key":"a","Value":"b"},{"Key":""}]}`, 400, framework,
		"2 validation errors detected: Value '' at 'tags.2.member.key'"+failed+"Member must have length greater than or equal to 1; Value null at 'tags.2.member.value'"+failed+"Member must not be null")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"x","Schema":{"CompositePartitionKey":[]}}`, 400, framework,
		"Value '[]' at 'schema.compositePartitionKey'"+failed+"Member must have length greater than or equal to 1")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"x","Schema":{"CompositePartitionKey":[{"Type":"X"}]}}`, 400, framework,
		"Value 'X' at 'schema.compositePartitionKey.1.member.type'"+failed+"Member must satisfy enum value set: [DIMENSION, MEASURE]")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"x","Schema":{"CompositePartitionKey":[{"Type":"MEASURE"},{"Type":"MEASURE"}]}}`, 400, validation, "too many partition keys")
	d.refuses("UpdateTable", `{"DatabaseName":"db","TableName":"t","MagneticStoreWriteProperties":{}}`, 400, framework, "'magneticStoreWriteProperties.enableMagneticStoreWrites'"+failed+"Member must not be null")
	d.refuses("CreateTable", `{"DatabaseName":"db","TableName":"x","MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true,"MagneticStoreRejectedDataLocation":{"S3Configuration":{"BucketName":"B!","ObjectKeyPrefix":"/"}}}}`, 400, framework,
		"3 validation errors detected: Value 'B!' at 'magneticStoreWriteProperties.magneticStoreRejectedDataLocation.s3Configuration.bucketName'"+failed+"Member must have length greater than or equal to 3")
	d.refuses("ListDatabases", `{"MaxResults":21}`, 400, framework, "Value '21' at 'maxResults'"+failed+"Member must have value less than or equal to 20")
	d.refuses("ListDatabases", `{"MaxResults":0}`, 400, framework, "Member must have value greater than or equal to 1")
	d.refuses("ListDatabases", `{"NextToken":"nonsense"}`, 400, validation, "Invalid pagination token")
	d.refuses("ListDatabases", `{"MaxResults":"1"}`, 400, serialize, "MaxResults")
	d.refuses("TagResource", `{"ResourceARN":"arn:x","Tags":[]}`, 404, notFound, "arn:x")
	d.refuses("TagResource", `{"ResourceARN":"arn:x"}`, 400, framework, "Value null at 'tags'")
	d.refuses("CreateDatabase", `{"DatabaseName":5}`, 400, serialize, "DatabaseName must be a string")
	d.refuses("CreateDatabase", `{`, 400, serialize, "")
}

func TestListsPageByTokensThatServeOneListOnly(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	var want []string
	for _, db := range []string{"a", "b"} {
		d.call("CreateDatabase", `{"DatabaseName":"`+db+`"}`)
		for i := range 23 {
			d.call("CreateTable", fmt.Sprintf(`{"DatabaseName":"%s","TableName":"t%02d"}`, db, i))
			want = append(want, fmt.Sprintf("%s/t%02d", db, i))
		}
	}
	list := func(members string) (names []string, tokens []string) {
		var page struct {
			Tables    []struct{ DatabaseName, TableName string }
			NextToken *string
		}
		token := ""
		for {
			_, out := d.call("ListTables", `{`+members+token+`"X":1}`)
			page.NextToken, page.Tables = nil, nil
			if err := json.Unmarshal([]byte(out), &page); err != nil {
				t.Fatal(err, out)
			}
			for _, e := range page.Tables {
				names = append(names, e.DatabaseName+"/"+e.TableName)
			}
			if page.NextToken == nil {
				return names, tokens
			}
			tokens = append(tokens, *page.NextToken)
			token = `"NextToken":"` + *page.NextToken + `",`
		}
	}
	names, tokens := list("")
	if strings.Join(names, " ") != strings.Join(want, " ") || len(tokens) != 2 {
		t.Errorf("%d pages: %v", len(tokens)+1, names)
	}
	if names, tokens = list(`"DatabaseName":"b","MaxResults":7,`); strings.Join(names, " ") != strings.Join(want[23:], " ") || len(tokens) != 3 {
		t.Errorf("%d pages: %v", len(tokens)+1, names)
	}
	d.refuses("ListTables", `{"DatabaseName":"a","NextToken":"`+tokens[0]+`"}`, 400, validation, "Invalid pagination token")
	d.refuses("ListDatabases", `{"NextToken":"`+tokens[0]+`"}`, 400, validation, "Invalid pagination token")
}

func TestTagsComeInPagesForTheQueryAPI(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.call("CreateDatabase", `{"DatabaseName":"db"}`)
	const arn = `"ResourceARN":"arn:aws:timestream:us-east-1:000000000000:database/db"`
	d.answers("TagResource", `{`+arn+`,"Tags":[{"Key":"c","Value":"3"},{"Key":"a","Value":"1"},{"Key":"b","Value":"2"},{"Key":"d","Value":"4"}]}`, `{}`)
	d.answers("UntagResource", `{`+arn+`,"TagKeys":["d","x"]}`, `{}`)
	d.answers("ListTagsForResource", `{`+arn+`,"MaxResults":2}`, `{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}],"NextToken":"dGFnczpi"}`)
	d.answers("ListTagsForResource", `{`+arn+`,"MaxResults":2,"NextToken":"dGFnczpi"}`, `{"Tags":[{"Key":"c","Value":"3"}]}`)
}

func TestEndpointsSuitEachSDK(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	hostPort := strings.TrimPrefix(d.server.URL, "http://")
	host := hostPort[:strings.LastIndexByte(hostPort, ':')]
	for agent, want := range map[string]string{
		"Boto3/1.43.11 md/Botocore": d.server.URL, "Botocore/1.29": d.server.URL, "aws-cli/2.9.19 Python": d.server.URL, "aws-sdk-dotnet-coreclr/3.7": d.server.URL,
		"aws-sdk-js/3.1137.0": host, "aws-sdk-go-v2/1.30 os/linux": hostPort, "aws-sdk-php/3": hostPort, "": hostPort,
	} {
		status, got := d.call("DescribeEndpoints", `{"Operation":"Query","Identifiers":{}}`, "User-Agent", agent)
		if status != 200 || got != `{"Endpoints":[{"Address":"`+want+`","CachePeriodInMinutes":1440}]}` {
			t.Errorf("%s: %d %s, want %s", agent, status, got, want)
		}
	}
	if _, got := d.call("DescribeEndpoints", `{}`, "User-Agent", "Mozilla/5.0", "X-Amz-User-Agent", "aws-sdk-js/3.1"); !strings.Contains(got, `"Address":"`+host+`"`) {
		t.Errorf("browser: %s", got)
	}
}

func TestWriteRecordsAnswersAndCounts(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.call("CreateDatabase", `{"DatabaseName":"db"}`)
	d.call("CreateTable", `{"DatabaseName":"db","TableName":"t"}`)
	<-d.calls
	<-d.calls
	const record = `{"Dimensions":[{"Name":"host","Value":"a"}],"MeasureName":"cpu","MeasureValue":"1.5","Time":"1772600767890"`
	d.answers("WriteRecords", `{"DatabaseName":"db","TableName":"t","CommonAttributes":{},"Records":[`+record+`}]}`, `{"RecordsIngested":{"Total":1,"MemoryStore":1,"MagneticStore":0}}`)
	if c := <-d.calls; c.Database != "db" || c.Table != "t" || c.Records != 1 || c.BytesMetered != 1024 {
		t.Errorf("call = %+v", c)
	}
	status, got := d.call("WriteRecords", `{"DatabaseName":"db","TableName":"t","Records":[`+record+`},`+record+`,"Version":5},`+record+`,"Version":4}]}`)
	want := `{"__type":"com.amazonaws.timestream.v20181101#RejectedRecordsException","Message":"One or more records have been rejected. See RejectedRecords for details.","message":"One or more records have been rejected. See RejectedRecords for details.",` +
		`"RejectedRecords":[{"RecordIndex":2,"Reason":"The record version 4 is lower than the existing version 5. A higher version is required to update the measure value.","ExistingVersion":5}]}`
	if status != 419 || got != want {
		t.Errorf("%d\ngot  %s\nwant %s", status, got, want)
	}
	if c := <-d.calls; c.Records != 2 {
		t.Errorf("call = %+v", c)
	}
	write := func(rest string) string { return `{"DatabaseName":"db","TableName":"t",` + rest + `}` }
	d.refuses("WriteRecords", write(`"Records":[`+record+`,"Version":0}]`), 400, framework, "'records.1.member.version'")
	d.refuses("WriteRecords", write(`"Records":[`+strings.TrimSuffix(strings.Repeat("{},", 101), ",")+`]`), 400, framework, "at 'records' failed to satisfy constraint: Member must have length less than or equal to 100")
	d.refuses("WriteRecords", write(`"Records":[{}]`), 400, validation, "At least one dimension is required for a record.")
	d.refuses("WriteRecords", write(`"Records":[`+record+`,"TimeUnit":3}]`), 400, serialize, "TimeUnit must be a string")
	d.refuses("WriteRecords", `{"DatabaseName":"db","TableName":"none","Records":[`+record+`}]}`, 404, notFound, "The table none does not exist.")
	d.refuses("WriteRecords", `{"DatabaseName":"db","Records":[`+record+`}]}`, 400, framework, "Value null at 'tableName'")
}

// result is a page with a column of every type and rows with and without nulls.
func result() *query.Page {
	point := func(ts int64, v vec.Value) vec.Value {
		return vec.Value{Type: vec.PointType(vec.BigintType), List: []vec.Value{vec.Int(vec.TimestampType, ts), v}}
	}
	row := vec.RowOf(vec.Field{Name: "a", Type: vec.BigintType}, vec.Field{Type: vec.VarcharType})
	columns := []vec.Value{
		vec.Str("a\"b\\\n\x01é<😀"), vec.Bool(true), vec.Int(vec.IntegerType, -5), vec.Int(vec.BigintType, 1<<62), vec.Float(35), vec.Float(1e10),
		vec.Int(vec.TimestampType, 1575486000000000001), vec.Int(vec.DateType, 18000), vec.Int(vec.TimeType, 3723000000004),
		vec.Int(vec.IntervalDayType, 93784000000000), vec.Int(vec.IntervalYearType, 14),
		{Type: vec.ArrayOf(vec.DoubleType), List: []vec.Value{vec.Float(1.5), vec.Null(vec.DoubleType)}},
		{Type: row, List: []vec.Value{vec.Int(vec.BigintType, 7), vec.Str("x")}},
		{Type: vec.TimeSeriesOf(vec.BigintType), List: []vec.Value{point(0, vec.Int(vec.BigintType, 1)), point(1e9, vec.Null(vec.BigintType))}},
		vec.Null(vec.UnknownType),
	}
	p := &query.Page{QueryID: "Q1", Progress: 100, BytesScanned: 12, BytesMetered: 10000000}
	b := &vec.Batch{Len: 1}
	nulls := &vec.Batch{Len: 1}
	for i, v := range columns {
		p.Columns = append(p.Columns, plan.OutputColumn{Name: fmt.Sprint("c", i), Type: v.Type})
		b.Columns = append(b.Columns, vec.Const(v, 1))
		nulls.Columns = append(nulls.Columns, vec.NullsOf(v.Type, 1))
	}
	p.Columns[1].Name = ""
	p.Rows, _ = timestream.AppendRows(nil, b, nil)
	p.Rows, _ = timestream.AppendRows(p.Rows, nulls, nil)
	return p
}

func TestResultsHaveTheFormThatEveryClientReads(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.queries.pages = []*query.Page{result()}
	want := `{"QueryId":"Q1","Rows":[{"Data":[{"ScalarValue":"a\"b\\\n\u0001é<😀"},{"ScalarValue":"true"},{"ScalarValue":"-5"},{"ScalarValue":"4611686018427387904"},{"ScalarValue":"35.0"},{"ScalarValue":"1.0E10"},` +
		`{"ScalarValue":"2019-12-04 19:00:00.000000001"},{"ScalarValue":"2019-04-14"},{"ScalarValue":"01:02:03.000000004"},{"ScalarValue":"1 02:03:04.000000000"},{"ScalarValue":"1-2"},` +
		`{"ArrayValue":[{"ScalarValue":"1.5"},{"NullValue":true}]},{"RowValue":{"Data":[{"ScalarValue":"7"},{"ScalarValue":"x"}]}},` +
		`{"TimeSeriesValue":[{"Time":"1970-01-01 00:00:00.000000000","Value":{"ScalarValue":"1"}},{"Time":"1970-01-01 00:00:01.000000000","Value":{"NullValue":true}}]},{"NullValue":true}]},` +
		`{"Data":[` + strings.TrimSuffix(strings.Repeat(`{"NullValue":true},`, 15), ",") + `]}],` +
		`"ColumnInfo":[{"Name":"c0","Type":{"ScalarType":"VARCHAR"}},{"Name":"_col1","Type":{"ScalarType":"BOOLEAN"}},{"Name":"c2","Type":{"ScalarType":"INTEGER"}},{"Name":"c3","Type":{"ScalarType":"BIGINT"}},{"Name":"c4","Type":{"ScalarType":"DOUBLE"}},{"Name":"c5","Type":{"ScalarType":"DOUBLE"}},` +
		`{"Name":"c6","Type":{"ScalarType":"TIMESTAMP"}},{"Name":"c7","Type":{"ScalarType":"DATE"}},{"Name":"c8","Type":{"ScalarType":"TIME"}},{"Name":"c9","Type":{"ScalarType":"INTERVAL_DAY_TO_SECOND"}},{"Name":"c10","Type":{"ScalarType":"INTERVAL_YEAR_TO_MONTH"}},` +
		`{"Name":"c11","Type":{"ArrayColumnInfo":{"Type":{"ScalarType":"DOUBLE"}}}},{"Name":"c12","Type":{"RowColumnInfo":[{"Name":"a","Type":{"ScalarType":"BIGINT"}},{"Name":"field1","Type":{"ScalarType":"VARCHAR"}}]}},` +
		`{"Name":"c13","Type":{"TimeSeriesMeasureValueColumnInfo":{"Type":{"ScalarType":"BIGINT"}}}},{"Name":"c14","Type":{"ScalarType":"UNKNOWN"}}],` +
		`"QueryStatus":{"ProgressPercentage":100,"CumulativeBytesScanned":12,"CumulativeBytesMetered":10000000}}`
	d.answers("Query", `{"QueryString":"SELECT 1"}`, want)
	if c := <-d.calls; c.BytesMetered != 10000000 {
		t.Errorf("call = %+v", c)
	}
	d.queries.pages = []*query.Page{{QueryID: "Q2", NextToken: "T", Progress: 12.5}}
	d.answers("Query", `{"QueryString":"SELECT 1"}`, `{"QueryId":"Q2","NextToken":"T","Rows":[],"ColumnInfo":[],"QueryStatus":{"ProgressPercentage":12.5,"CumulativeBytesScanned":0,"CumulativeBytesMetered":0}}`)
}

func TestQueryPassesOnWhatItWasGiven(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.queries.pages = []*query.Page{{}, {}}
	token := strings.Repeat("t", 32)
	d.call("Query", `{"QueryString":"SELECT 1","ClientToken":"`+token+`","MaxRows":1000,"QueryInsights":{"Mode":"ENABLED_WITH_RATE_CONTROL"}}`)
	d.call("Query", `{"NextToken":"N","QueryInsights":{"Mode":"DISABLED"}}`) // the Athena connector's follow-up
	caller := d.queries.asked[0].Caller
	if got, want := d.queries.asked[0], (query.Request{Caller: caller, SQL: "SELECT 1", ClientToken: token, MaxRows: 1000, Insights: true}); got != want || caller == "" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := d.queries.asked[1], (query.Request{Caller: caller, NextToken: "N"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	const failed = " failed to satisfy constraint: "
	d.refuses("Query", `{}`, 400, framework, "1 validation error detected: Value null at 'queryString'"+failed+"Member must not be null")
	d.refuses("Query", `{"QueryString":""}`, 400, framework, "Value at 'queryString'"+failed+"Member must have length greater than or equal to 1")
	d.refuses("Query", `{"QueryString":"`+strings.Repeat("x", 262145)+`"}`, 400, framework, "Value at 'queryString'"+failed+"Member must have length less than or equal to 262144")
	d.refuses("Query", `{"QueryString":"x","ClientToken":"short","MaxRows":1001}`, 400, framework, "2 validation errors detected: Value at 'clientToken'"+failed+"Member must have length greater than or equal to 32; Value '1001' at 'maxRows'"+failed+"Member must have value less than or equal to 1000")
	d.refuses("Query", `{"QueryString":"x","QueryInsights":{"Mode":"ON"}}`, 400, framework, "[ENABLED_WITH_RATE_CONTROL, DISABLED]")
	d.queries.err = fault.New(fault.Execution, "Division by zero")
	d.refuses("Query", `{"QueryString":"x"}`, 400, "com.amazonaws.timestream.v20181101#QueryExecutionException", "Division by zero")
	d.queries.err = fault.New(fault.Invalid, "line 1:8: Column 'x' does not exist")
	d.refuses("Query", `{"QueryString":"x"}`, 400, validation, "line 1:8: Column 'x' does not exist")
}

func TestInsightsNameTheTables(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.call("CreateDatabase", `{"DatabaseName":"db"}`)
	d.call("CreateTable", `{"DatabaseName":"db","TableName":"t"}`)
	ref := plan.TableRef{Database: "db", Table: "t"}
	d.queries.pages = []*query.Page{
		{Insights: &query.Insights{SpatialCoverage: 0.5, SpatialTable: ref, PartitionKey: []string{"measure_name"}, TemporalRangeNs: 9, TemporalTable: ref, Tables: 1, OutputRows: 2, OutputBytes: 3}},
		{Insights: &query.Insights{OutputRows: 1, OutputBytes: 8}},
	}
	const arn = "arn:aws:timestream:us-east-1:000000000000:database/db/table/t"
	for _, want := range []string{
		`,"QueryInsightsResponse":{"QuerySpatialCoverage":{"Max":{"Value":0.5,"TableArn":"` + arn + `","PartitionKey":["measure_name"]}},"QueryTemporalRange":{"Max":{"Value":9,"TableArn":"` + arn + `"}},"QueryTableCount":1,"OutputRows":2,"OutputBytes":3}}`,
		`,"QueryInsightsResponse":{"QueryTableCount":0,"OutputRows":1,"OutputBytes":8}}`,
	} {
		if _, got := d.call("Query", `{"QueryString":"x"}`); !strings.HasSuffix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestCancelPrepareAndAccountSettings(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.answers("CancelQuery", `{"QueryId":"Q1"}`, `{"CancellationMessage":"cancelled"}`)
	d.refuses("CancelQuery", `{"QueryId":"Q2"}`, 400, validation, "no query Q2")
	d.refuses("CancelQuery", `{"QueryId":"no-id"}`, 400, framework, "[a-zA-Z0-9]+")
	d.answers("PrepareQuery", `{"QueryString":"SELECT @p","ValidateOnly":true}`,
		`{"QueryString":"SELECT @p","Columns":[{"Name":"time","Type":{"ScalarType":"TIMESTAMP"},"DatabaseName":"db","TableName":"t","Aliased":false},{"Name":"_col1","Type":{"ArrayColumnInfo":{"Type":{"ScalarType":"DOUBLE"}}},"Aliased":true}],"Parameters":[{"Name":"p","Type":{"ScalarType":"BIGINT"}}]}`)
	d.refuses("PrepareQuery", `{"QueryString":"SELECT 1"}`, 400, validation, "ValidateOnly must be true")
	d.answers("DescribeAccountSettings", `{}`, `{"MaxQueryTCU":200,"QueryPricingModel":"COMPUTE_UNITS","QueryCompute":{"ComputeMode":"ON_DEMAND"}}`)
	d.answers("UpdateAccountSettings", `{"MaxQueryTCU":8,"QueryPricingModel":"COMPUTE_UNITS"}`, `{"MaxQueryTCU":8,"QueryPricingModel":"COMPUTE_UNITS","QueryCompute":{"ComputeMode":"ON_DEMAND"}}`)
	d.refuses("UpdateAccountSettings", `{"MaxQueryTCU":6}`, 400, validation, "multiple of 4")
	d.refuses("UpdateAccountSettings", `{"QueryPricingModel":"BYTES_SCANNED"}`, 400, validation, "COMPUTE_UNITS")
	d.refuses("UpdateAccountSettings", `{"QueryCompute":{"ComputeMode":"PROVISIONED"}}`, 400, validation, "needs a ProvisionedCapacity")
}

func FuzzWriteRecordsNeverPanics(f *testing.F) {
	f.Add(`{"DatabaseName":"db","TableName":"t","Records":[{"Dimensions":[{"Name":"host","Value":"a"}],"MeasureName":"cpu","MeasureValue":"1.5","Time":"1772600767890"}]}`)
	f.Add(`{"DatabaseName":"db","TableName":"t","CommonAttributes":{"MeasureValueType":"MULTI","MeasureName":"m","Time":"1772600767","TimeUnit":"SECONDS"},"Records":[{"Dimensions":[{"Name":"a","Value":""}],"MeasureValues":[{"Name":"x","Value":"true","Type":"BOOLEAN"}]},{"Version":3}]}`)
	d := newDoor(f)
	d.call("CreateDatabase", `{"DatabaseName":"db"}`)
	d.call("CreateTable", `{"DatabaseName":"db","TableName":"t"}`)
	write := d.service.Operations["WriteRecords"]
	f.Fuzz(func(t *testing.T, body string) {
		_, err := write(t.Context(), &wire.Call{Body: []byte(body)})
		if e := wire.ExceptionOf(&wire.Call{}, err); err != nil && e.Status >= 500 {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
