package conformance

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

var taskID = regexp.MustCompile(`^[A-Z0-9]{3,32}$`)

// buckets returns an S3 client of the server.
func (s *suite) buckets() *s3.Client {
	return s3.New(s3.Options{BaseEndpoint: &s.URL, Region: "us-east-1", UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("any", "keys", "")})
}

// loadable makes the table home.rooms, and buckets with files.
func (s *suite) loadable() {
	s.T.Helper()
	s.CreateTable("home", "rooms", 12*hour, 5*day)
	for _, name := range []string{"source", "reports"} {
		_, err := s.buckets().CreateBucket(s.T.Context(), &s3.CreateBucketInput{Bucket: &name})
		ok(s.T, err)
	}
	s.object("source", "good/1.csv", fmt.Sprintf("time,room,temperature\n%s,attic,20.5\n%s,cellar,12\n", millis(noon), millis(noon)))
	s.object("source", "bad/1.csv", fmt.Sprintf("time,room,temperature\n%s,attic,x\n%s,cellar,12\n1,attic,3\n", millis(noon), millis(noon)))
}

func (s *suite) object(bucket, key, content string) {
	s.T.Helper()
	_, err := s.buckets().PutObject(s.T.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	ok(s.T, err)
}

func loadInput(prefix string) *timestreamwrite.CreateBatchLoadTaskInput {
	return &timestreamwrite.CreateBatchLoadTaskInput{
		TargetDatabaseName: aws.String("home"), TargetTableName: aws.String("rooms"),
		DataSourceConfiguration: &types.DataSourceConfiguration{
			DataFormat: types.BatchLoadDataFormatCsv, DataSourceS3Configuration: &types.DataSourceS3Configuration{BucketName: aws.String("source"), ObjectKeyPrefix: &prefix},
		},
		ReportConfiguration: &types.ReportConfiguration{ReportS3Configuration: &types.ReportS3Configuration{BucketName: aws.String("reports"), ObjectKeyPrefix: aws.String("loads")}},
		DataModelConfiguration: &types.DataModelConfiguration{DataModel: &types.DataModel{
			TimeColumn: aws.String("time"), TimeUnit: types.TimeUnitMilliseconds, DimensionMappings: []types.DimensionMapping{{SourceColumn: aws.String("room"), DestinationColumn: aws.String("room")}},
			MultiMeasureMappings: &types.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []types.MultiMeasureAttributeMapping{
				{SourceColumn: aws.String("temperature"), MeasureValueType: types.ScalarMeasureValueTypeDouble}}},
		}},
	}
}

// load creates a task and waits for its end.
func (s *suite) load(t *testing.T, prefix string) *types.BatchLoadTaskDescription {
	t.Helper()
	made, err := s.write.CreateBatchLoadTask(t.Context(), loadInput(prefix))
	ok(t, err)
	for {
		out, err := s.write.DescribeBatchLoadTask(t.Context(), &timestreamwrite.DescribeBatchLoadTaskInput{TaskId: made.TaskId})
		ok(t, err)
		switch d := out.BatchLoadTaskDescription; d.TaskStatus {
		case types.BatchLoadStatusCreated, types.BatchLoadStatusInProgress:
			time.Sleep(time.Millisecond) // a poll, as clients do
		default:
			return d
		}
	}
}

// loadBody is an input in the API's JSON, with a member replaced.
func loadBody(member, value string) string {
	members := map[string]string{
		"TargetDatabaseName":      `"home"`,
		"TargetTableName":         `"rooms"`,
		"DataSourceConfiguration": `{"DataFormat":"CSV","DataSourceS3Configuration":{"BucketName":"source","ObjectKeyPrefix":"good/"}}`,
		"ReportConfiguration":     `{"ReportS3Configuration":{"BucketName":"reports"}}`,
		"DataModelConfiguration":  `{"DataModel":{"TimeColumn":"time","DimensionMappings":[{"SourceColumn":"room"}],"MultiMeasureMappings":{"TargetMultiMeasureName":"m","MultiMeasureAttributeMappings":[{"SourceColumn":"temperature"}]}}}`,
	}
	if value == "" {
		delete(members, member)
	} else {
		members[member] = value
	}
	var list []string
	for k, v := range members {
		list = append(list, `"`+k+`":`+v)
	}
	return "{" + strings.Join(list, ",") + "}"
}

func createBatchLoadTask(s *suite) {
	s.loadable()
	s.shows(success, "rows of every file below a prefix become records", func(t *testing.T) {
		d := s.load(t, "good/")
		same(t, "task", []any{d.TaskStatus, d.ProgressReport.RecordsProcessed, d.ProgressReport.RecordsIngested}, []any{types.BatchLoadStatusSucceeded, int64(2), int64(2)})
		same(t, "rows", s.Query("SELECT room, temperature FROM home.rooms ORDER BY room"), [][]string{{"attic", "20.5"}, {"cellar", "12.0"}})
	})
	s.shows(success, "with a data model from a bucket, mixed measures, and options of CSV", func(t *testing.T) {
		s.object("source", "model.json", `{"TimeColumn":"at","TimeUnit":"SECONDS","DimensionMappings":[{"SourceColumn":"d","DestinationColumn":"room"}],"MixedMeasureMappings":[{"SourceColumn":"h","TargetMeasureName":"humidity","MeasureValueType":"DOUBLE"}]}`)
		s.object("source", "mixed/1.csv", fmt.Sprintf("at|d|h\n%d|'the |loft'|-\n%d|'the |loft'| 33 \n", noon.Unix(), noon.Unix()-1))
		in := loadInput("mixed/1.csv")
		in.DataModelConfiguration = &types.DataModelConfiguration{DataModelS3Configuration: &types.DataModelS3Configuration{BucketName: aws.String("source"), ObjectKey: aws.String("model.json")}}
		in.DataSourceConfiguration.CsvConfiguration = &types.CsvConfiguration{ColumnSeparator: aws.String("|"), QuoteChar: aws.String("'"), NullValue: aws.String("-"), TrimWhiteSpace: aws.Bool(true)}
		_, err := s.write.CreateBatchLoadTask(t.Context(), in)
		ok(t, err)
		for len(s.Query("SELECT 1 FROM home.rooms WHERE measure_name = 'humidity'")) == 0 {
			time.Sleep(time.Millisecond)
		}
		same(t, "rows", s.Query("SELECT room, measure_value::double FROM home.rooms WHERE measure_name = 'humidity'"), [][]string{{"the |loft", "33.0"}})
	})
	s.shows(idempotency, "a ClientToken with the same task gives that task", func(t *testing.T) {
		in := loadInput("good/")
		in.ClientToken = aws.String("token-1")
		first, err := s.write.CreateBatchLoadTask(t.Context(), in)
		ok(t, err)
		second, err := s.write.CreateBatchLoadTask(t.Context(), in)
		ok(t, err)
		same(t, "task", *second.TaskId, *first.TaskId)
	})
	s.refuses("Conflict", "a ClientToken of another task", strings.Replace(loadBody("", ""), "{", `{"ClientToken":"token-1",`, 1), "The ClientToken was used before for another task.")
	s.refuses("ResourceNotFound", "no such table", loadBody("TargetTableName", `"none"`), noTable)
	s.refuses("ResourceNotFound", "no such database", loadBody("TargetDatabaseName", `"none"`), noDatabase)
	s.refuses("Validation", "no source", loadBody("DataSourceConfiguration", ""), missing("dataSourceConfiguration"))
	s.refuses("Validation", "no report", loadBody("ReportConfiguration", ""), missing("reportConfiguration"))
	s.refuses("Validation", "a report without a bucket", loadBody("ReportConfiguration", `{}`), "ReportConfiguration needs a ReportS3Configuration.")
	s.refuses("Validation", "a report with SSE_KMS and no key", loadBody("ReportConfiguration", `{"ReportS3Configuration":{"BucketName":"reports","EncryptionOption":"SSE_KMS"}}`), "The report's EncryptionOption SSE_KMS needs a KmsKeyId.")
	s.refuses("Validation", "another format", loadBody("DataSourceConfiguration", `{"DataFormat":"JSON","DataSourceS3Configuration":{"BucketName":"source"}}`), constraint("JSON", "dataSourceConfiguration.dataFormat", "Member must satisfy enum value set: [CSV]"))
	s.refuses("Validation", "a separator of two characters", loadBody("DataSourceConfiguration", `{"DataFormat":"CSV","DataSourceS3Configuration":{"BucketName":"source"},"CsvConfiguration":{"ColumnSeparator":"||"}}`),
		constraint("||", "dataSourceConfiguration.csvConfiguration.columnSeparator", "Member must have length less than or equal to 1"))
	s.refuses("Validation", "a separator that is none", loadBody("DataSourceConfiguration", `{"DataFormat":"CSV","DataSourceS3Configuration":{"BucketName":"source"},"CsvConfiguration":{"ColumnSeparator":"x"}}`),
		`The ColumnSeparator "x" is none of comma, pipe, semicolon, tab and blank.`)
	s.refuses("Validation", "no data model", loadBody("DataModelConfiguration", ""), "A batch load task needs a data model, either inline or in a bucket.")
	for _, c := range []struct{ promise, model, text string }{
		{"a model without a time", `{"DimensionMappings":[{"SourceColumn":"a"}],"MultiMeasureMappings":{"TargetMultiMeasureName":"m","MultiMeasureAttributeMappings":[{"SourceColumn":"b"}]}}`, "The data model needs a TimeColumn."},
		{"a model without a dimension", `{"TimeColumn":"t","DimensionMappings":[]}`, constraint("[]", "dataModelConfiguration.dataModel.dimensionMappings", atLeastOne)},
		{"a model without measures", `{"TimeColumn":"t","DimensionMappings":[{"SourceColumn":"a"}]}`, "The data model needs either MultiMeasureMappings or MixedMeasureMappings."},
		{"a model with an unknown unit", `{"TimeColumn":"t","TimeUnit":"DAYS","DimensionMappings":[{"SourceColumn":"a"}]}`, constraint("DAYS", "dataModelConfiguration.dataModel.timeUnit", "Member must satisfy enum value set: [MILLISECONDS, SECONDS, MICROSECONDS, NANOSECONDS]")},
		{"a multi-measure mapping without a name", `{"TimeColumn":"t","DimensionMappings":[{"SourceColumn":"a"}],"MultiMeasureMappings":{"MultiMeasureAttributeMappings":[{"SourceColumn":"b"}]}}`, "Multi-measure mappings need either TargetMultiMeasureName or MeasureNameColumn."},
	} {
		s.refuses("Validation", c.promise, loadBody("DataModelConfiguration", `{"DataModel":`+c.model+`}`), c.text)
	}
	s.refuses("Validation", "RecordVersion 0", loadBody("RecordVersion", "0"), "RecordVersion must be at least 1.")
	s.must("CreateTable", `{"DatabaseName":"home","TableName":"keyed","Schema":{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"floor","EnforcementInRecord":"REQUIRED"}]}}`)
	s.refuses("Validation", "a model without the required partition key", loadBody("TargetTableName", `"keyed"`), "The table requires the dimension floor, which the data model does not map.")
	s.refuses("Validation", "a ClientToken of 65 characters", strings.Replace(loadBody("", ""), "{", `{"ClientToken":"`+long(65)+`",`, 1), hidden("clientToken", "Member must have length less than or equal to 64"))
}

func describeBatchLoadTask(s *suite) {
	s.loadable()
	s.shows(success, "what was asked for, the progress, and both times", func(t *testing.T) {
		d := s.load(t, "good/")
		in := loadInput("good/")
		same(t, "task", []any{d.TaskStatus, *d.TargetDatabaseName, *d.TargetTableName, d.RecordVersion, *d.CreationTime, d.DataSourceConfiguration, d.DataModelConfiguration, d.ReportConfiguration},
			[]any{types.BatchLoadStatusSucceeded, "home", "rooms", int64(1), noon, in.DataSourceConfiguration, in.DataModelConfiguration, in.ReportConfiguration})
		if !taskID.MatchString(*d.TaskId) {
			t.Errorf("TaskId %q", *d.TaskId)
		}
	})
	s.shows(success, "a task with bad rows is FAILED, its good rows are stored, its report tells the lines", func(t *testing.T) {
		d := s.load(t, "bad/")
		p := d.ProgressReport
		same(t, "task", []any{d.TaskStatus, p.RecordsProcessed, p.RecordsIngested, p.ParseFailures, p.RecordIngestionFailures, p.FileFailures}, []any{types.BatchLoadStatusFailed, int64(3), int64(1), int64(0), int64(2), int64(0)})
		out, err := s.buckets().GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("reports"), Key: aws.String("loads/" + *d.TaskId + "/errors.json")})
		ok(t, err)
		report, err := io.ReadAll(out.Body)
		ok(t, err)
		for _, want := range []string{`"taskId":"` + *d.TaskId + `"`, `"fileName":"bad/1.csv"`, `"lineRanges":[[2,2]]`, `"lineRanges":[[4,4]]`, "The record timestamp is outside the time range of the data ingestion window."} {
			if !strings.Contains(string(report), want) {
				t.Errorf("the report lacks %s: %s", want, report)
			}
		}
	})
	s.shows(success, "a task without any file is FAILED, with the reason", func(t *testing.T) {
		d := s.load(t, "none/")
		same(t, "task", []any{d.TaskStatus, *d.ErrorMessage}, []any{types.BatchLoadStatusFailed, `No object in the bucket source has a key that begins with "none/".`})
	})
	s.refuses("Validation", "no id", `{}`, missing("taskId"))
	s.refuses("Validation", "an id in lower case", `{"TaskId":"abc"}`, constraint("abc", "taskId", "Member must satisfy regular expression pattern: [A-Z0-9]+"))
	s.refuses("ResourceNotFound", "no such task", `{"TaskId":"ABC123"}`, "The batch load task ABC123 does not exist.")
}

func listBatchLoadTasks(s *suite) {
	s.loadable()
	s.shows(success, "without any", func(t *testing.T) {
		out, err := s.write.ListBatchLoadTasks(t.Context(), &timestreamwrite.ListBatchLoadTasksInput{})
		ok(t, err)
		same(t, "tasks", len(out.BatchLoadTasks), 0)
	})
	var ids []string
	for i, prefix := range []string{"good/", "bad/", "good/", "bad/", "good/"} {
		s.Set(noon.Add(time.Duration(i) * time.Second))
		ids = append(ids, *s.load(s.T, prefix).TaskId)
	}
	list := func(t *testing.T, in timestreamwrite.ListBatchLoadTasksInput) (got []string, sizes []int) {
		for {
			out, err := s.write.ListBatchLoadTasks(t.Context(), &in)
			ok(t, err)
			sizes = append(sizes, len(out.BatchLoadTasks))
			for _, b := range out.BatchLoadTasks {
				got = append(got, *b.TaskId)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return got, sizes
			}
		}
	}
	s.shows(success, "the newest first; by status", func(t *testing.T) {
		got, _ := list(t, timestreamwrite.ListBatchLoadTasksInput{})
		same(t, "all", got, []string{ids[4], ids[3], ids[2], ids[1], ids[0]})
		got, _ = list(t, timestreamwrite.ListBatchLoadTasksInput{TaskStatus: types.BatchLoadStatusFailed})
		same(t, "failed", got, []string{ids[3], ids[1]})
	})
	s.shows(paging, "MaxResults, also of a status", func(t *testing.T) {
		_, sizes := list(t, timestreamwrite.ListBatchLoadTasksInput{MaxResults: aws.Int32(2)})
		same(t, "sizes", sizes, []int{2, 2, 1})
		got, sizes := list(t, timestreamwrite.ListBatchLoadTasksInput{MaxResults: aws.Int32(1), TaskStatus: types.BatchLoadStatusSucceeded})
		same(t, "sizes", sizes, []int{1, 1, 1})
		same(t, "succeeded", got, []string{ids[4], ids[2], ids[0]})
	})
	s.refuses("Validation", "MaxResults 101", `{"MaxResults":101}`, constraint("101", "maxResults", "Member must have value less than or equal to 100"))
	s.refuses("Validation", "an unknown status", `{"TaskStatus":"DONE"}`, constraint("DONE", "taskStatus", "Member must satisfy enum value set: [CREATED, IN_PROGRESS, FAILED, SUCCEEDED, PROGRESS_STOPPED, PENDING_RESUME]"))
	s.refuses("Validation", "a token of nobody", `{"NextToken":"x"}`, badPageToken)
}

func resumeBatchLoadTask(s *suite) {
	s.loadable()
	done := *s.load(s.T, "good/").TaskId
	s.refuses("Validation", "no id", `{}`, missing("taskId"))
	s.refuses("Validation", "a task that has ended", `{"TaskId":"`+done+`"}`, "The batch load task "+done+" has the status SUCCEEDED; only one in PROGRESS_STOPPED can be resumed.")
	s.refuses("ResourceNotFound", "no such task", `{"TaskId":"ABC123"}`, "The batch load task ABC123 does not exist.")
}
