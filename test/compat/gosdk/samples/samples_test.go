// Package samples runs the flows of AWS's sample applications for Timestream with the AWS
// SDK for Go, against the server that AWS_ENDPOINT_URL names: that variable, a region and any
// keys are all the settings there are, and endpoint discovery is on, as it is by default.
package samples

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	qtypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

// sample is the clients of one flow, and the database that it has for itself.
type sample struct {
	*testing.T
	config   aws.Config
	write    *timestreamwrite.Client
	query    *timestreamquery.Client
	database string
}

func start(t *testing.T, database string) *sample {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL does not name a server (make e2e runs this)")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &sample{T: t, config: cfg, write: timestreamwrite.NewFromConfig(cfg), query: timestreamquery.NewFromConfig(cfg), database: database}
	_, err = s.write.CreateDatabase(t.Context(), &timestreamwrite.CreateDatabaseInput{DatabaseName: &database})
	s.ok(err)
	return s
}

func (s *sample) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *sample) check(what string, got, want any) {
	s.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		s.Fatalf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}

// rows runs a statement to its last page and returns its scalars.
func (s *sample) rows(sql string) (rows [][]string) {
	s.Helper()
	pages := timestreamquery.NewQueryPaginator(s.query, &timestreamquery.QueryInput{QueryString: &sql})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.Context())
		s.ok(err)
		for _, r := range page.Rows {
			row := []string{}
			for _, d := range r.Data {
				row = append(row, aws.ToString(d.ScalarValue))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (s *sample) table(name string, key ...types.PartitionKey) {
	s.Helper()
	in := &timestreamwrite.CreateTableInput{
		DatabaseName: &s.database, TableName: &name,
		RetentionProperties: &types.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(24), MagneticStoreRetentionPeriodInDays: aws.Int64(7)},
		MagneticStoreWriteProperties: &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true), MagneticStoreRejectedDataLocation: &types.MagneticStoreRejectedDataLocation{
			S3Configuration: &types.S3Configuration{BucketName: aws.String("rejected-records"), EncryptionOption: types.S3EncryptionOptionSseS3}}},
	}
	if key != nil {
		in.Schema = &types.Schema{CompositePartitionKey: key}
	}
	_, err := s.write.CreateTable(s.Context(), in)
	s.ok(err)
}

func (s *sample) bucket(name string) *s3.Client {
	s.Helper()
	c := s3.NewFromConfig(s.config)
	_, err := c.CreateBucket(s.Context(), &s3.CreateBucketInput{Bucket: &name})
	s.ok(err)
	return c
}

func (s *sample) object(c *s3.Client, bucket, key string) []byte {
	s.Helper()
	out, err := c.GetObject(s.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	s.ok(err)
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	s.ok(err)
	return body
}

func dimensions(pairs ...string) (list []types.Dimension) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, types.Dimension{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return list
}

func now() *string { return aws.String(strconv.FormatInt(time.Now().UnixMilli(), 10)) }

func TestCRUDAndSimpleIngestion(t *testing.T) {
	s := start(t, "go_crud")
	ctx := t.Context()
	s.table("host_metrics")
	described, err := s.write.DescribeDatabase(ctx, &timestreamwrite.DescribeDatabaseInput{DatabaseName: &s.database})
	s.ok(err)
	s.check("tables", described.Database.TableCount, 1)
	_, err = s.write.UpdateDatabase(ctx, &timestreamwrite.UpdateDatabaseInput{DatabaseName: &s.database, KmsKeyId: aws.String("alias/sample")})
	s.ok(err)
	found := false
	in := &timestreamwrite.ListDatabasesInput{MaxResults: aws.Int32(1)}
	for more := true; more; more = in.NextToken != nil {
		out, err := s.write.ListDatabases(ctx, in)
		s.ok(err)
		found = found || *out.Databases[0].DatabaseName == s.database && *out.Databases[0].KmsKeyId == "alias/sample"
		in.NextToken = out.NextToken
	}
	s.check("the database is in the list, with its new key", found, true)
	updated, err := s.write.UpdateTable(ctx, &timestreamwrite.UpdateTableInput{DatabaseName: &s.database, TableName: aws.String("host_metrics"),
		RetentionProperties: &types.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(24), MagneticStoreRetentionPeriodInDays: aws.Int64(7 * 365)}})
	s.ok(err)
	s.check("retention", *updated.Table.RetentionProperties.MagneticStoreRetentionPeriodInDays, 2555)

	host := dimensions("region", "us-east-1", "az", "az1", "hostname", "host1")
	at := now()
	write := func(common *types.Record, records ...types.Record) error {
		_, err := s.write.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: &s.database, TableName: aws.String("host_metrics"), CommonAttributes: common, Records: records})
		return err
	}
	cpu, memory := types.Record{MeasureName: aws.String("cpu_utilization"), MeasureValue: aws.String("13.5")}, types.Record{MeasureName: aws.String("memory_utilization"), MeasureValue: aws.String("40")}
	version := time.Now().UnixMilli()
	common := func(version int64) *types.Record {
		return &types.Record{Dimensions: host, MeasureValueType: types.MeasureValueTypeDouble, Time: at, Version: &version}
	}
	s.ok(write(common(version), cpu, memory))
	s.ok(write(common(version), cpu, memory)) // the same again is fine
	var rejected *types.RejectedRecordsException
	if err := write(common(version-1), cpu); !errors.As(err, &rejected) || *rejected.RejectedRecords[0].ExistingVersion != version {
		t.Fatalf("a lower version: %v", err)
	}
	cpu.MeasureValue, memory.MeasureValue = aws.String("14.5"), aws.String("50")
	if err := write(common(version), cpu, memory); !errors.As(err, &rejected) || len(rejected.RejectedRecords) != 2 {
		t.Fatalf("another value with the same version: %v", err)
	}
	s.ok(write(common(version+1), cpu, memory))
	s.check("upserted", s.rows("SELECT measure_name, measure_value::double FROM go_crud.host_metrics ORDER BY 1"), "[[cpu_utilization 14.5] [memory_utilization 50.0]]")
	s.ok(write(&types.Record{Dimensions: host, Time: at, MeasureName: aws.String("computational_utilization"), MeasureValueType: types.MeasureValueTypeMulti}, types.Record{MeasureValues: []types.MeasureValue{
		{Name: aws.String("cpu_utilization"), Value: aws.String("13.5"), Type: types.MeasureValueTypeDouble}, {Name: aws.String("active_cores"), Value: aws.String("4"), Type: types.MeasureValueTypeBigint},
	}}, types.Record{MeasureName: aws.String("is_healthy"), MeasureValueType: types.MeasureValueTypeBoolean, MeasureValue: aws.String("true")}))
	s.check("types", s.rows("SELECT cpu_utilization, active_cores, measure_value::boolean FROM go_crud.host_metrics WHERE measure_name IN ('computational_utilization', 'is_healthy') ORDER BY measure_name"), "[[13.5 4 ] [  true]]")

	_, err = s.write.DeleteTable(ctx, &timestreamwrite.DeleteTableInput{DatabaseName: &s.database, TableName: aws.String("host_metrics")})
	s.ok(err)
	_, err = s.write.DeleteDatabase(ctx, &timestreamwrite.DeleteDatabaseInput{DatabaseName: &s.database})
	s.ok(err)
	var missing *types.ResourceNotFoundException
	if _, err := s.write.DescribeDatabase(ctx, &timestreamwrite.DescribeDatabaseInput{DatabaseName: &s.database}); !errors.As(err, &missing) {
		t.Fatalf("after its deletion: %v", err)
	}
}

// host metrics as in the samples' CSV file: name and value of three dimensions, then measure,
// value and type.
const (
	hosts   = 5
	samples = 400 // a host
)

func metricsCSV() string {
	var b strings.Builder
	for i := range hosts * samples {
		fmt.Fprintf(&b, "region,us-east-1,az,us-east-1%c,hostname,host-%d,cpu_utilization,%s,DOUBLE\n", 'a'+i%hosts%3, i%hosts, strconv.FormatFloat(cpuOf(i), 'f', -1, 64))
	}
	return b.String()
}

// cpuOf is the value in line i; host 4 is the busiest.
func cpuOf(i int) float64 { return float64(10*(i%hosts)+i/hosts%8) + 0.25 }

func TestCSVIngestionAndQueries(t *testing.T) {
	s := start(t, "go_csv")
	s.table("host_metrics")
	lines, err := csv.NewReader(strings.NewReader(metricsCSV())).ReadAll()
	s.ok(err)
	end := time.Now().Truncate(30 * time.Second).UnixMilli()
	var batch []types.Record
	for i, f := range lines {
		batch = append(batch, types.Record{
			Dimensions: dimensions(f[0:6]...), MeasureName: &f[6], MeasureValue: &f[7], MeasureValueType: types.MeasureValueType(f[8]),
			Time: aws.String(strconv.FormatInt(end-int64(i/hosts)*1000, 10)),
		})
		if len(batch) == 100 || i == len(lines)-1 {
			out, err := s.write.WriteRecords(t.Context(), &timestreamwrite.WriteRecordsInput{DatabaseName: &s.database, TableName: aws.String("host_metrics"), Records: batch, CommonAttributes: &types.Record{}})
			s.ok(err)
			s.check("ingested", out.RecordsIngested.Total, len(batch))
			batch = nil
		}
	}
	const from = " FROM go_csv.host_metrics WHERE measure_name = 'cpu_utilization' AND time > ago(2h) "
	s.check("all", s.rows("SELECT COUNT(*), COUNT(DISTINCT hostname)"+from), "[[2000 5]]")
	s.check("pages", len(s.rows("SELECT * FROM go_csv.host_metrics LIMIT 1500")), 1500)

	// Every host has 8 values over and over, 3.5 + 0.25 above its tens in the mean.
	s.check("busier than the fleet by a tenth", s.rows(`WITH fleet AS (SELECT AVG(measure_value::double) AS mean`+from+`), host AS (SELECT hostname, AVG(measure_value::double) AS mean`+from+`GROUP BY hostname)
		SELECT hostname, ROUND(host.mean, 2) FROM fleet, host WHERE host.mean > 1.1 * fleet.mean ORDER BY 2 DESC`), "[[host-4 43.75] [host-3 33.75]]")
	binned := s.rows(`SELECT BIN(time, 30s) AS binned_timestamp, hostname, ROUND(AVG(measure_value::double), 2), ROUND(APPROX_PERCENTILE(measure_value::double, 0.9), 2)` + from + `AND hostname = 'host-1' GROUP BY hostname, BIN(time, 30s) ORDER BY binned_timestamp ASC`)
	s.check("bins", len(binned), 15) // 400 seconds, with the end of the last bin
	view := `WITH view AS (SELECT hostname, INTERPOLATE_%s(CREATE_TIME_SERIES(time, measure_value::double), SEQUENCE(min(time), max(time), 500ms)%s) AS cpu` + from + `AND hostname = 'host-0' GROUP BY hostname) `
	for kind, more := range map[string]string{"LINEAR": "", "LOCF": "", "FILL": ", 0e0", "SPLINE_CUBIC": ""} {
		got := s.rows(fmt.Sprintf(view, kind, more) + "SELECT time, value FROM view CROSS JOIN UNNEST(cpu)")
		s.check(kind+": points", len(got), 2*samples-1)
		first, err := strconv.ParseFloat(got[0][1], 64)
		s.ok(err)
		if math.Abs(first-cpuOf(5*(samples-1))) > 1e-9 {
			t.Fatalf("%s begins with %v", kind, got[0])
		}
	}
	s.check("above a threshold", s.rows(fmt.Sprintf(view, "LOCF", "") + `SELECT REDUCE(FILTER(cpu, x -> x.value > 7.0), 0, (s, x) -> s + 1, s -> s),
		REDUCE(cpu, CAST(ROW(0.0, 0) AS ROW(sum DOUBLE, count INTEGER)), (s, x) -> CAST(ROW(x.value + s.sum, s.count + 1) AS ROW(sum DOUBLE, count INTEGER)), s -> IF(s.count = 0, NULL, s.sum / s.count)) FROM view`)[0][0], "100")
	page, err := s.query.Query(t.Context(), &timestreamquery.QueryInput{QueryString: aws.String(fmt.Sprintf(view, "LINEAR", "") + "SELECT FILTER(cpu, x -> x.value < 1) FROM view")})
	s.ok(err)
	if page.ColumnInfo[0].Type.TimeSeriesMeasureValueColumnInfo == nil || len(page.Rows[0].Data[0].TimeSeriesValue) == 0 {
		t.Fatalf("a filtered series: %+v", page.ColumnInfo[0])
	}

	// A query that is cancelled between its pages.
	first, err := s.query.Query(t.Context(), &timestreamquery.QueryInput{QueryString: aws.String("SELECT * FROM go_csv.host_metrics"), MaxRows: aws.Int32(10)})
	s.ok(err)
	cancelled, err := s.query.CancelQuery(t.Context(), &timestreamquery.CancelQueryInput{QueryId: first.QueryId})
	s.ok(err)
	if aws.ToString(cancelled.CancellationMessage) == "" {
		t.Fatal("no message")
	}
}

func TestCompositePartitionKey(t *testing.T) {
	s := start(t, "go_key")
	key := func(level types.PartitionKeyEnforcementLevel) types.PartitionKey {
		return types.PartitionKey{Type: types.PartitionKeyTypeDimension, Name: aws.String("hostId"), EnforcementInRecord: level}
	}
	write := func(table, dimension string) error {
		_, err := s.write.WriteRecords(t.Context(), &timestreamwrite.WriteRecordsInput{
			DatabaseName: &s.database, TableName: &table, CommonAttributes: &types.Record{Dimensions: dimensions("region", "us-east-1", dimension, "host1"), Time: now()},
			Records: []types.Record{{MeasureName: aws.String("cpu_utilization"), MeasureValue: aws.String("13.5")}, {MeasureName: aws.String("cpu_memory"), MeasureValueType: types.MeasureValueTypeMulti,
				MeasureValues: []types.MeasureValue{{Name: aws.String("memory_utilization"), Value: aws.String("40"), Type: types.MeasureValueTypeDouble}}}},
		})
		return err
	}
	s.table("by_dimension", key(types.PartitionKeyEnforcementLevelOptional))
	s.ok(write("by_dimension", "hostIdDiff")) // optional: the key may be missing
	_, err := s.write.UpdateTable(t.Context(), &timestreamwrite.UpdateTableInput{DatabaseName: &s.database, TableName: aws.String("by_dimension"), Schema: &types.Schema{CompositePartitionKey: []types.PartitionKey{key(types.PartitionKeyEnforcementLevelRequired)}}})
	s.ok(err)
	described, err := s.write.DescribeTable(t.Context(), &timestreamwrite.DescribeTableInput{DatabaseName: &s.database, TableName: aws.String("by_dimension")})
	s.ok(err)
	s.check("level", described.Table.Schema.CompositePartitionKey[0].EnforcementInRecord, "REQUIRED")
	s.ok(write("by_dimension", "hostId"))
	var rejected *types.RejectedRecordsException
	if err := write("by_dimension", "hostIdDiff"); !errors.As(err, &rejected) || len(rejected.RejectedRecords) != 2 {
		t.Fatalf("without the required key: %v", err)
	}
	s.check("by key", s.rows(`SELECT measure_name FROM "go_key"."by_dimension" WHERE "hostId" = 'host1' ORDER BY 1`), "[[cpu_memory] [cpu_utilization]]")
	s.table("by_measure", types.PartitionKey{Type: types.PartitionKeyTypeMeasure})
	s.ok(write("by_measure", "hostId"))
	s.check("by measure", s.rows(`SELECT memory_utilization FROM "go_key"."by_measure" WHERE measure_name = 'cpu_memory'`), "[[40.0]]")
}

func TestScheduledQueryWithNotificationsAndErrorReport(t *testing.T) {
	s := start(t, "go_sq")
	ctx := t.Context()
	s.table("host_metrics")
	s.table("results")
	_, err := s.write.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: &s.database, TableName: aws.String("host_metrics"), Records: []types.Record{{
		Dimensions: dimensions("region", "us-east-1", "hostname", "host1"), MeasureName: aws.String("metrics"), MeasureValueType: types.MeasureValueTypeMulti, Time: now(),
		MeasureValues: []types.MeasureValue{{Name: aws.String("cpu_utilization"), Value: aws.String("13.5"), Type: types.MeasureValueTypeDouble}}}}})
	s.ok(err)
	objects := s.bucket("go-sq-errors")
	topics, queues := sns.NewFromConfig(s.config), sqs.NewFromConfig(s.config)
	fifo := map[string]string{"FifoTopic": "true", "ContentBasedDeduplication": "true"}
	topic, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("go_sq.fifo"), Attributes: fifo})
	s.ok(err)
	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("go_sq.fifo"), Attributes: map[string]string{"FifoQueue": "true"}})
	s.ok(err)
	attributes, err := queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
	s.ok(err)
	_, err = topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(attributes.Attributes["QueueArn"])})
	s.ok(err)
	role, err := iam.NewFromConfig(s.config).CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("GoScheduledQuery"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"timestream.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	s.ok(err)
	_, err = iam.NewFromConfig(s.config).PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("GoScheduledQuery"), PolicyName: aws.String("all"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["timestream:*","sns:Publish","s3:PutObject","s3:GetBucketAcl"],"Resource":"*"}]}`)})
	s.ok(err)

	// next returns the next notification.
	next := func() (kind string, body struct {
		Type, ARN string
		Summary   struct {
			RunStatus           string
			ErrorReportLocation struct {
				S3ReportLocation struct{ BucketName, ObjectKey string }
			}
			ExecutionStats struct{ RecordsIngested int }
		} `json:"scheduledQueryRunSummary"`
	}) {
		t.Helper()
		out, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 1, WaitTimeSeconds: 20})
		s.ok(err)
		if len(out.Messages) != 1 {
			t.Fatal("no notification within 20 s")
		}
		var envelope struct {
			Message           string
			MessageAttributes map[string]struct{ Value string }
		}
		s.ok(json.Unmarshal([]byte(*out.Messages[0].Body), &envelope))
		s.ok(json.Unmarshal([]byte(envelope.Message), &body))
		_, err = queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: out.Messages[0].ReceiptHandle})
		s.ok(err)
		s.check("attribute", envelope.MessageAttributes["notificationType"].Value, body.Type)
		return body.Type, body
	}
	create := func(name, sql string, target *qtypes.TimestreamConfiguration) *string {
		t.Helper()
		target.DatabaseName, target.TableName = &s.database, aws.String("results")
		out, err := s.query.CreateScheduledQuery(ctx, &timestreamquery.CreateScheduledQueryInput{
			Name: &name, QueryString: &sql, ScheduleConfiguration: &qtypes.ScheduleConfiguration{ScheduleExpression: aws.String("cron(0/1 * * * ? *)")},
			NotificationConfiguration: &qtypes.NotificationConfiguration{SnsConfiguration: &qtypes.SnsConfiguration{TopicArn: topic.TopicArn}},
			ErrorReportConfiguration:  &qtypes.ErrorReportConfiguration{S3Configuration: &qtypes.S3Configuration{BucketName: aws.String("go-sq-errors")}},
			TargetConfiguration:       &qtypes.TargetConfiguration{TimestreamConfiguration: target}, ScheduledQueryExecutionRoleArn: role.Role.Arn,
		})
		s.ok(err)
		for _, want := range []string{"SCHEDULED_QUERY_CREATING", "SCHEDULED_QUERY_CREATED"} {
			kind, _ := next()
			s.check("told", kind, want)
		}
		return out.Arn
	}
	dimension := func(name string) qtypes.DimensionMapping {
		return qtypes.DimensionMapping{Name: &name, DimensionValueType: qtypes.DimensionValueTypeVarchar}
	}
	good := create("valid", `SELECT region, hostname, BIN(time, 15s) AS binned_timestamp, ROUND(AVG(cpu_utilization), 2) AS avg_cpu, ROUND(APPROX_PERCENTILE(cpu_utilization, 0.9), 2) AS p90_cpu
		FROM go_sq.host_metrics WHERE measure_name = 'metrics' AND time > ago(2h) GROUP BY region, hostname, BIN(time, 15s) ORDER BY binned_timestamp ASC LIMIT 5`, &qtypes.TimestreamConfiguration{
		TimeColumn: aws.String("binned_timestamp"), DimensionMappings: []qtypes.DimensionMapping{dimension("region"), dimension("hostname")},
		MultiMeasureMappings: &qtypes.MultiMeasureMappings{TargetMultiMeasureName: aws.String("multi-metrics"), MultiMeasureAttributeMappings: []qtypes.MultiMeasureAttributeMapping{
			{SourceColumn: aws.String("avg_cpu"), MeasureValueType: qtypes.ScalarMeasureValueTypeDouble}, {SourceColumn: aws.String("p90_cpu"), MeasureValueType: qtypes.ScalarMeasureValueTypeDouble}}},
	})
	_, err = s.query.ExecuteScheduledQuery(ctx, &timestreamquery.ExecuteScheduledQueryInput{ScheduledQueryArn: good, InvocationTime: aws.Time(time.Now())})
	s.ok(err)
	kind, body := next()
	s.check("told", fmt.Sprint(kind, " ", body.Summary.RunStatus, " ", body.Summary.ExecutionStats.RecordsIngested), "MANUAL_TRIGGER_SUCCESS MANUAL_TRIGGER_SUCCESS 1")
	passAMinute(s)
	kind, _ = next()
	s.check("told", kind, "AUTO_TRIGGER_SUCCESS")
	s.check("results", s.rows("SELECT hostname, avg_cpu, p90_cpu FROM go_sq.results"), "[[host1 13.5 13.5]]")
	_, err = s.query.UpdateScheduledQuery(ctx, &timestreamquery.UpdateScheduledQueryInput{ScheduledQueryArn: good, State: qtypes.ScheduledQueryStateDisabled})
	s.ok(err)
	kind, _ = next()
	s.check("told", kind, "SCHEDULED_QUERY_UPDATED")

	bad := create("invalid", "SELECT cast('2199-12-16' as TIMESTAMP) as timestamp, 1.0e0 as random_measure_value, '1' as dim0", &qtypes.TimestreamConfiguration{
		TimeColumn: aws.String("timestamp"), DimensionMappings: []qtypes.DimensionMapping{dimension("dim0")},
		MixedMeasureMappings: []qtypes.MixedMeasureMapping{{SourceColumn: aws.String("random_measure_value"), MeasureValueType: qtypes.MeasureValueTypeDouble}},
	})
	_, err = s.query.ExecuteScheduledQuery(ctx, &timestreamquery.ExecuteScheduledQueryInput{ScheduledQueryArn: bad, InvocationTime: aws.Time(time.Now())})
	s.ok(err)
	kind, body = next()
	s.check("told", kind, "MANUAL_TRIGGER_FAILURE")
	at := body.Summary.ErrorReportLocation.S3ReportLocation
	var report struct {
		Errors []struct {
			Reason  string
			Records []struct{ MeasureName string }
		}
	}
	s.ok(json.Unmarshal(s.object(objects, at.BucketName, at.ObjectKey), &report))
	if e := report.Errors[0]; !strings.HasPrefix(e.Reason, "The record timestamp is outside the time range [") || e.Records[0].MeasureName != "random_measure_value" {
		t.Fatalf("report %+v", report)
	}
	for _, arn := range []*string{good, bad} {
		_, err := s.query.DeleteScheduledQuery(ctx, &timestreamquery.DeleteScheduledQueryInput{ScheduledQueryArn: arn})
		s.ok(err)
		kind, _ = next()
		s.check("told", kind, "SCHEDULED_QUERY_DELETED")
	}
}

// passAMinute moves the server's clock, for a run of the schedule, and lets the run end.
func passAMinute(s *sample) {
	s.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, os.Getenv("AWS_ENDPOINT_URL")+"/admin/clock", strings.NewReader(`{"advance":"61s","settle":true}`))
	s.ok(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	s.ok(err)
	resp.Body.Close()
	s.check("status of the clock", resp.StatusCode, 200)
}

func TestUnload(t *testing.T) {
	s := start(t, "go_unload")
	s.table("shopping")
	var records []types.Record
	end := time.Now().UnixMilli()
	for i := range 60 {
		r := types.Record{Dimensions: dimensions("channel", []string{"Referral", "Social media", "Direct"}[i%3], "user_id", strconv.Itoa(i%7)), MeasureName: aws.String("metrics"), MeasureValueType: types.MeasureValueTypeMulti,
			Time: aws.String(strconv.FormatInt(end-int64(i)*50, 10)), MeasureValues: []types.MeasureValue{{Name: aws.String("product"), Value: aws.String(fmt.Sprintf("Blade %d, 2/32GB", i)), Type: types.MeasureValueTypeVarchar}}}
		if i%2 == 0 {
			r.MeasureValues = append(r.MeasureValues, types.MeasureValue{Name: aws.String("quantity"), Value: aws.String(strconv.Itoa(i)), Type: types.MeasureValueTypeDouble})
		}
		records = append(records, r)
	}
	_, err := s.write.WriteRecords(t.Context(), &timestreamwrite.WriteRecordsInput{DatabaseName: &s.database, TableName: aws.String("shopping"), Records: records})
	s.ok(err)
	objects := s.bucket("go-unload")
	for options, columns := range map[string]string{
		"format='CSV', compression='NONE', include_header='true', partitioned_by=ARRAY['channel']": "user_id, product, quantity, time, channel",
		"format='PARQUET', compression='GZIP'":                                                     "channel, user_id, product, quantity, time",
	} {
		got := s.rows("UNLOAD (SELECT " + columns + " FROM go_unload.shopping WHERE time > ago(2h)) TO 's3://go-unload/out' WITH (" + options + ", max_file_size='20MB')")
		s.check("rows", got[0][0], 60)
		var manifest struct {
			Files []struct {
				URL  string
				File struct {
					Bytes int `json:"content_length_in_bytes"`
					Rows  int `json:"row_count"`
				} `json:"file_metadata"`
			} `json:"result_files"`
		}
		key := func(uri string) string { return strings.TrimPrefix(uri, "s3://go-unload/") }
		s.ok(json.Unmarshal(s.object(objects, "go-unload", key(got[0][2])), &manifest))
		rows := 0
		for _, f := range manifest.Files {
			content := s.object(objects, "go-unload", key(f.URL))
			s.check("size", len(content), f.File.Bytes)
			rows += f.File.Rows
			if strings.HasSuffix(f.URL, ".csv") {
				lines, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
				s.ok(err)
				s.check("lines", len(lines), f.File.Rows+1)
				s.check("header", lines[0], "[user_id product quantity time]")
			}
		}
		s.check("rows in all files", rows, 60)
		var metadata struct{ ColumnInfo []struct{ Name string } }
		s.ok(json.Unmarshal(s.object(objects, "go-unload", key(got[0][1])), &metadata))
		s.check("first column", metadata.ColumnInfo[0].Name, strings.Split(columns, ",")[0])
	}
}
