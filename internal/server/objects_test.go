package server_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/server"
)

// TestObjectsOfAnotherStoreAreReadAndWritten runs a server whose buckets are those of a second one, which
// verifies signatures: UNLOAD, batch load and its report, a scheduled query's report, and one about late data.
func TestObjectsOfAnotherStoreAreReadAndWritten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := startServer(t, t.TempDir())
	bucket := s3Client(store, rootSecret)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(bucket.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	clk := clock.Manual(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	s, err := server.Start(ctx, server.Options{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", Clock: clk,
		S3Endpoint: store.URL(), S3Region: "us-east-1", S3Credentials: credentials.NewStaticCredentialsProvider(rootKey, rootSecret, ""),
	})
	must(nil, err)
	keys := credentials.NewStaticCredentialsProvider("any", "any", "")
	w := timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	q := timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})

	must(w.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}))
	must(w.CreateTable(ctx, &timestreamwrite.CreateTableInput{
		DatabaseName: aws.String("db"), TableName: aws.String("t"),
		MagneticStoreWriteProperties: &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true), MagneticStoreRejectedDataLocation: &types.MagneticStoreRejectedDataLocation{
			S3Configuration: &types.S3Configuration{BucketName: aws.String("box"), ObjectKeyPrefix: aws.String("late")}}},
	}))
	// Batch load: a good row, a bad one.
	must(bucket.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("csv/1.csv"), Body: strings.NewReader(fmt.Sprintf("at,device,v\n%d,a,1.5\nx,a,2.5\n", clk.Now().UnixMilli()))}))
	made, err := w.CreateBatchLoadTask(ctx, &timestreamwrite.CreateBatchLoadTaskInput{
		TargetDatabaseName: aws.String("db"), TargetTableName: aws.String("t"),
		DataSourceConfiguration: &types.DataSourceConfiguration{DataFormat: types.BatchLoadDataFormatCsv,
			DataSourceS3Configuration: &types.DataSourceS3Configuration{BucketName: aws.String("box"), ObjectKeyPrefix: aws.String("csv/")}},
		ReportConfiguration: &types.ReportConfiguration{ReportS3Configuration: &types.ReportS3Configuration{BucketName: aws.String("box"), ObjectKeyPrefix: aws.String("loads")}},
		DataModelConfiguration: &types.DataModelConfiguration{DataModel: &types.DataModel{
			TimeColumn: aws.String("at"), DimensionMappings: []types.DimensionMapping{{SourceColumn: aws.String("device")}},
			MultiMeasureMappings: &types.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []types.MultiMeasureAttributeMapping{{SourceColumn: aws.String("v")}}},
		}},
	})
	must(nil, err)
	for status := types.BatchLoadStatusCreated; status != types.BatchLoadStatusFailed; {
		d, err := w.DescribeBatchLoadTask(ctx, &timestreamwrite.DescribeBatchLoadTaskInput{TaskId: made.TaskId})
		must(nil, err)
		if status = d.BatchLoadTaskDescription.TaskStatus; status == types.BatchLoadStatusSucceeded {
			t.Fatal("a task with a bad row succeeded")
		}
	}
	// UNLOAD.
	for _, with := range []string{"format = 'CSV', compression = 'NONE', encryption = 'SSE_KMS', kms_key = 'k'", "format = 'PARQUET', partitioned_by = ARRAY['device']"} {
		must(q.Query(ctx, &timestreamquery.QueryInput{QueryString: aws.String("UNLOAD (SELECT time, v, device FROM db.t) TO 's3://box/out' WITH (" + with + ")")}))
	}
	if _, err := q.Query(ctx, &timestreamquery.QueryInput{QueryString: aws.String("UNLOAD (SELECT 1) TO 's3://nobox/out'")}); code(err) != "ValidationException" {
		t.Errorf("no such bucket: %v", err)
	}
	// A scheduled query whose row the target refuses.
	must(q.CreateScheduledQuery(ctx, &timestreamquery.CreateScheduledQueryInput{
		Name: aws.String("old"), ScheduleConfiguration: &querytypes.ScheduleConfiguration{ScheduleExpression: aws.String("rate(1 hour)")},
		QueryString:                    aws.String("SELECT device, TIMESTAMP '2099-01-01' AS at, v FROM db.t"),
		NotificationConfiguration:      &querytypes.NotificationConfiguration{SnsConfiguration: &querytypes.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none")}},
		ErrorReportConfiguration:       &querytypes.ErrorReportConfiguration{S3Configuration: &querytypes.S3Configuration{BucketName: aws.String("box"), ObjectKeyPrefix: aws.String("runs")}},
		ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/any"),
		TargetConfiguration: &querytypes.TargetConfiguration{TimestreamConfiguration: &querytypes.TimestreamConfiguration{
			DatabaseName: aws.String("db"), TableName: aws.String("t"), TimeColumn: aws.String("at"),
			DimensionMappings: []querytypes.DimensionMapping{{Name: aws.String("device"), DimensionValueType: querytypes.DimensionValueTypeVarchar}},
			MultiMeasureMappings: &querytypes.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []querytypes.MultiMeasureAttributeMapping{
				{SourceColumn: aws.String("v"), MeasureValueType: querytypes.ScalarMeasureValueTypeDouble}}},
		}},
	}))
	clk.Advance(time.Hour)
	must(nil, s.Settle(ctx))
	// Two late versions, the lower one second.
	for _, version := range []int64{2, 1} {
		must(w.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String("db"), TableName: aws.String("t"), Records: []types.Record{{
			Dimensions: []types.Dimension{{Name: aws.String("device"), Value: aws.String("z")}}, MeasureName: aws.String("x"), MeasureValue: aws.String(fmt.Sprint(version)),
			Time: aws.String(fmt.Sprint(clk.Now().AddDate(0, 0, -9).UnixMilli())), Version: aws.Int64(version)}}}))
	}
	must(nil, s.Close(context.Background()))

	listing, err := bucket.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("box")})
	must(nil, err)
	found := map[string]int{}
	for _, o := range listing.Contents {
		got, err := bucket.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: o.Key})
		must(nil, err)
		body, err := io.ReadAll(got.Body)
		must(nil, err)
		kind := *o.Key
		switch prefix, _, _ := strings.Cut(kind, "/"); {
		case strings.HasSuffix(kind, "_manifest.json"), strings.HasSuffix(kind, "_metadata.json"):
			kind = kind[strings.LastIndexByte(kind, '_')+1:]
		case strings.HasPrefix(kind, "out/results/device=a/"):
			kind = string(body[:4])
		case strings.HasSuffix(kind, ".csv") && prefix == "out":
			kind = "out " + string(body)
			if got.ServerSideEncryption != "aws:kms" || aws.ToString(got.SSEKMSKeyId) != "k" {
				t.Errorf("encryption %q, %q", got.ServerSideEncryption, aws.ToString(got.SSEKMSKeyId))
			}
		case strings.Contains(string(body), `"reason":`) || prefix == "loads" && strings.Contains(string(body), "lineRanges"):
			kind = prefix
		}
		found[kind]++
	}
	want := "map[PAR1:1 csv/1.csv:1 late:1 loads:1 manifest.json:2 metadata.json:2 out 2026-03-01 00:00:00.000000000,1.5,a\n:1 runs:1]"
	if got := fmt.Sprint(found); got != want {
		t.Errorf("objects\n%s, want\n%s", got, want)
	}
}
