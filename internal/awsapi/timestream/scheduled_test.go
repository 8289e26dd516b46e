package timestream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	tsquery "github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/timestream"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

type objects struct {
	mu   sync.Mutex
	keys []string
}

func (o *objects) Put(_ context.Context, bucket, key string, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys = append(o.keys, bucket+"/"+key)
	return nil
}

// newScheduledDoor is a door over real services; db.t has one record of a device.
func newScheduledDoor(t *testing.T) (*door, *schedule.Service, *clock.Clock) {
	d := &door{t: t}
	clk := clock.Manual(now)
	c, err := catalog.Open(t.Context(), catalog.Options{Backend: storagetest.NewNaive(clk), Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	records := ingest.New(ingest.Options{Catalog: c})
	queries := query.New(query.Options{Catalog: c, Functions: fn.New(), Clock: clk, Render: timestream.AppendRows})
	t.Cleanup(queries.Close)
	scheduled, err := schedule.Open(schedule.Options{Catalog: c, Queries: queries, Ingest: records, Clock: clk, Reports: &objects{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(scheduled.Close)
	h, err := awsapi.New(awsapi.Options{Services: []*wire.Service{timestream.New(timestream.Options{Catalog: c, Ingest: records, Queries: queries, Scheduled: scheduled})}})
	if err != nil {
		t.Fatal(err)
	}
	d.server = httptest.NewServer(h)
	t.Cleanup(d.server.Close)
	d.call("CreateDatabase", `{"DatabaseName":"db"}`)
	d.call("CreateTable", `{"DatabaseName":"db","TableName":"t"}`)
	d.call("CreateTable", `{"DatabaseName":"db","TableName":"out"}`)
	d.call("WriteRecords", fmt.Sprintf(`{"DatabaseName":"db","TableName":"t","Records":[{"Dimensions":[{"Name":"device","Value":"a"}],"MeasureName":"m","MeasureValue":"2.5","Time":"%d"}]}`, now.UnixMilli()))
	return d, scheduled, clk
}

func hourlyInput() *tsquery.CreateScheduledQueryInput {
	return &tsquery.CreateScheduledQueryInput{
		Name: aws.String("hourly"), QueryString: aws.String("SELECT device, BIN(time, 1h) AS hour, AVG(measure_value::double) AS mean FROM db.t WHERE time < @scheduled_runtime GROUP BY device, BIN(time, 1h)"),
		ScheduleConfiguration:          &querytypes.ScheduleConfiguration{ScheduleExpression: aws.String("rate(1 hour)")},
		NotificationConfiguration:      &querytypes.NotificationConfiguration{SnsConfiguration: &querytypes.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:topic")}},
		ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
		ErrorReportConfiguration:       &querytypes.ErrorReportConfiguration{S3Configuration: &querytypes.S3Configuration{BucketName: aws.String("reports"), ObjectKeyPrefix: aws.String("errors")}},
		Tags:                           []querytypes.Tag{{Key: aws.String("team"), Value: aws.String("x")}},
		TargetConfiguration: &querytypes.TargetConfiguration{TimestreamConfiguration: &querytypes.TimestreamConfiguration{
			DatabaseName: aws.String("db"), TableName: aws.String("out"), TimeColumn: aws.String("hour"),
			DimensionMappings: []querytypes.DimensionMapping{{Name: aws.String("device"), DimensionValueType: querytypes.DimensionValueTypeVarchar}},
			MultiMeasureMappings: &querytypes.MultiMeasureMappings{TargetMultiMeasureName: aws.String("stats"), MultiMeasureAttributeMappings: []querytypes.MultiMeasureAttributeMapping{
				{SourceColumn: aws.String("mean"), MeasureValueType: querytypes.ScalarMeasureValueTypeDouble},
			}},
		}},
	}
}

func TestTheGoSDKSchedulesQueriesUnchanged(t *testing.T) {
	t.Parallel()
	d, scheduled, clk := newScheduledDoor(t)
	c := tsquery.NewFromConfig(d.config())
	ctx := t.Context()
	made, err := c.CreateScheduledQuery(ctx, hourlyInput())
	if err != nil || !strings.HasPrefix(*made.Arn, "arn:aws:timestream:us-east-1:000000000000:scheduled-query/hourly-") {
		t.Fatalf("create: %+v, %v", made, err)
	}
	describe := func() *querytypes.ScheduledQueryDescription {
		t.Helper()
		out, err := c.DescribeScheduledQuery(ctx, &tsquery.DescribeScheduledQueryInput{ScheduledQueryArn: made.Arn})
		if err != nil {
			t.Fatal(err)
		}
		return out.ScheduledQuery
	}
	q, in := describe(), hourlyInput()
	if *q.Name != "hourly" || q.State != querytypes.ScheduledQueryStateEnabled || *q.QueryString != *in.QueryString || *q.ScheduleConfiguration.ScheduleExpression != "rate(1 hour)" ||
		*q.NotificationConfiguration.SnsConfiguration.TopicArn != *in.NotificationConfiguration.SnsConfiguration.TopicArn || *q.ScheduledQueryExecutionRoleArn != *in.ScheduledQueryExecutionRoleArn ||
		*q.ErrorReportConfiguration.S3Configuration.ObjectKeyPrefix != "errors" || q.ErrorReportConfiguration.S3Configuration.EncryptionOption != "" ||
		*q.TargetConfiguration.TimestreamConfiguration.MultiMeasureMappings.MultiMeasureAttributeMappings[0].SourceColumn != "mean" ||
		!q.CreationTime.Equal(now.Truncate(time.Second)) || !q.NextInvocationTime.Equal(now.Truncate(time.Second).Add(time.Hour)) || q.PreviousInvocationTime != nil || q.LastRunSummary != nil {
		t.Errorf("describe: %+v", q)
	}
	clk.Advance(time.Hour)
	if err := scheduled.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	q = describe()
	run := q.LastRunSummary
	if run == nil || run.RunStatus != querytypes.ScheduledQueryRunStatusAutoTriggerSuccess || run.ExecutionStats.RecordsIngested != 1 || run.ExecutionStats.DataWrites != 1024 ||
		!run.InvocationTime.Equal(*q.PreviousInvocationTime) || run.QueryInsightsResponse != nil || run.ErrorReportLocation != nil {
		t.Errorf("after a run: %+v", q)
	}
	if _, err := c.UpdateScheduledQuery(ctx, &tsquery.UpdateScheduledQueryInput{ScheduledQueryArn: made.Arn, State: querytypes.ScheduledQueryStateDisabled}); err != nil {
		t.Fatal(err)
	}
	if q := describe(); q.State != querytypes.ScheduledQueryStateDisabled || q.NextInvocationTime != nil {
		t.Errorf("disabled: %+v", q)
	}
	if _, err := c.ExecuteScheduledQuery(ctx, &tsquery.ExecuteScheduledQueryInput{
		ScheduledQueryArn: made.Arn, InvocationTime: aws.Time(now.Add(time.Minute)),
		QueryInsights: &querytypes.ScheduledQueryInsights{Mode: querytypes.ScheduledQueryInsightsModeEnabledWithRateControl},
	}); err != nil {
		t.Fatal(err)
	}
	if err := scheduled.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if run := describe().LastRunSummary; run.RunStatus != querytypes.ScheduledQueryRunStatusManualTriggerSuccess || *run.QueryInsightsResponse.OutputRows != 1 || *run.QueryInsightsResponse.QuerySpatialCoverage.Max.TableArn == "" {
		t.Errorf("executed: %+v", run)
	}
	page, err := c.Query(ctx, &tsquery.QueryInput{QueryString: aws.String("SELECT mean FROM db.out")})
	if err != nil || len(page.Rows) != 1 || *page.Rows[0].Data[0].ScalarValue != "2.5" {
		t.Errorf("the target: %+v, %v", page, err)
	}

	if _, err := c.TagResource(ctx, &tsquery.TagResourceInput{ResourceARN: made.Arn, Tags: []querytypes.Tag{{Key: aws.String("more"), Value: aws.String("")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UntagResource(ctx, &tsquery.UntagResourceInput{ResourceARN: made.Arn, TagKeys: []string{"team"}}); err != nil {
		t.Fatal(err)
	}
	if tags, err := c.ListTagsForResource(ctx, &tsquery.ListTagsForResourceInput{ResourceARN: made.Arn}); err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "more" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	for i := range 3 {
		in := hourlyInput()
		in.Name = aws.String(fmt.Sprint("more-", i))
		if _, err := c.CreateScheduledQuery(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for p := tsquery.NewListScheduledQueriesPaginator(c, &tsquery.ListScheduledQueriesInput{MaxResults: aws.Int32(3)}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range out.ScheduledQueries {
			names = append(names, *q.Name)
			if *q.TargetDestination.TimestreamDestination.TableName != "out" {
				t.Errorf("listed %+v", q)
			}
		}
	}
	if strings.Join(names, " ") != "hourly more-0 more-1 more-2" {
		t.Errorf("names %v", names)
	}
	if _, err := c.DeleteScheduledQuery(ctx, &tsquery.DeleteScheduledQueryInput{ScheduledQueryArn: made.Arn}); err != nil {
		t.Fatal(err)
	}
	var missing *querytypes.ResourceNotFoundException
	if _, err := c.DescribeScheduledQuery(ctx, &tsquery.DescribeScheduledQueryInput{ScheduledQueryArn: made.Arn}); !errors.As(err, &missing) {
		t.Errorf("describe a deleted one: %v", err)
	}
	var conflict *querytypes.ConflictException
	in = hourlyInput()
	in.Name = aws.String("more-1")
	if _, err := c.CreateScheduledQuery(ctx, in); !errors.As(err, &conflict) {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestScheduledQueryErrors(t *testing.T) {
	t.Parallel()
	d, _, _ := newScheduledDoor(t)
	const failed = " failed to satisfy constraint: "
	const rest = `"ScheduleConfiguration":{"ScheduleExpression":"rate(1 hour)"},"NotificationConfiguration":{"SnsConfiguration":{"TopicArn":"arn:t"}},` +
		`"ScheduledQueryExecutionRoleArn":"arn:r","ErrorReportConfiguration":{"S3Configuration":{"BucketName":"reports"}}`
	d.refuses("CreateScheduledQuery", `{}`, 400, framework, "6 validation errors detected: Value null at 'name'"+failed+"Member must not be null")
	d.refuses("CreateScheduledQuery", `{"Name":"x","QueryString":"SELECT 1",`+rest+`}`, 400, framework, "Value 'x' at 'name'"+failed+"Member must satisfy regular expression pattern: [a-zA-Z0-9|!\\-_*'\\(\\)]([a-zA-Z0-9]|[!\\-_*'\\(\\)\\/.])+")
	d.refuses("CreateScheduledQuery", `{"Name":"xy","QueryString":"SELECT 1","ClientToken":"short",`+rest+`}`, 400, framework, "Value at 'clientToken'"+failed+"Member must have length greater than or equal to 32")
	d.refuses("CreateScheduledQuery", `{"Name":"xy","QueryString":"SELECT none FROM db.t",`+rest+`}`, 400, validation, "line 1:8: Column 'none' does not exist")
	d.refuses("CreateScheduledQuery", `{"Name":"xy","QueryString":"SELECT 1",`+strings.Replace(rest, "rate(1 hour)", "rate(1 hours)", 1)+`}`, 400, validation, "The schedule expression 'rate(1 hours)' is not valid")
	d.refuses("CreateScheduledQuery", `{"Name":"xy","QueryString":"SELECT 1","TargetConfiguration":{"TimestreamConfiguration":{"DatabaseName":"db","TableName":"none","TimeColumn":"c","DimensionMappings":[]}},`+rest+`}`, 400, validation, "The table none does not exist.")
	const arn = `{"ScheduledQueryArn":"arn:aws:timestream:us-east-1:000000000000:scheduled-query/none-0123456789abcdef"`
	for op, more := range map[string]string{"DescribeScheduledQuery": "}", "DeleteScheduledQuery": "}", "UpdateScheduledQuery": `,"State":"ENABLED"}`, "ExecuteScheduledQuery": `,"InvocationTime":1772600767}`} {
		d.refuses(op, arn+more, 404, notFound, "The scheduled query arn:aws:timestream:us-east-1:000000000000:scheduled-query/none-0123456789abcdef does not exist.")
	}
	d.refuses("UpdateScheduledQuery", arn+`,"State":"ON"}`, 400, framework, "Member must satisfy enum value set: [ENABLED, DISABLED]")
	d.refuses("ExecuteScheduledQuery", arn+`}`, 400, framework, "Value null at 'invocationTime'")
	d.refuses("ListScheduledQueries", `{"MaxResults":1001}`, 400, framework, "less than or equal to 1000")
	d.refuses("ListScheduledQueries", `{"NextToken":"x"}`, 400, validation, "Invalid pagination token")
	d.answers("ListScheduledQueries", `{}`, `{"ScheduledQueries":[]}`)
	d.refuses("ListTagsForResource", strings.Replace(arn, "ScheduledQueryArn", "ResourceARN", 1)+"}", 404, notFound, "does not exist")
	status, body := d.call("CreateScheduledQuery", `{"Name":"xy","QueryString":"SELECT 1","KmsKeyId":"key",`+rest+`}`)
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	_, body = d.call("DescribeScheduledQuery", `{"ScheduledQueryArn":`+strings.TrimPrefix(body, `{"Arn":`))
	if !strings.Contains(body, `"KmsKeyId":"key"`) || strings.Contains(body, "TargetConfiguration") {
		t.Errorf("describe: %s", body)
	}
}
