package server_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/server"
	"github.com/weir-db/weir/internal/vfs"
)

// TestBatchLoadThroughTheSDK loads a CSV object of a bucket by the official client.
func TestBatchLoadThroughTheSDK(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	files, err := vfs.Real(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	buckets, err := objstore.OpenBuckets(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{"source", "reports"} {
		if err := buckets.CreateBucket(b, "us-east-1"); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf("%d,a,1.5", time.Now().Add(-time.Minute).UnixMilli())
	text := "at,device,t\n" + good + "\n1970,a,2.5\n" // the second row is a time in 1970
	if _, err := buckets.Put(ctx, "source", "csv/1.csv", strings.NewReader(text), objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(ctx, server.Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	c := timestreamwrite.New(timestreamwrite.Options{
		BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	if _, err := c.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String("t")}); err != nil {
		t.Fatal(err)
	}
	made, err := c.CreateBatchLoadTask(ctx, &timestreamwrite.CreateBatchLoadTaskInput{
		TargetDatabaseName: aws.String("db"), TargetTableName: aws.String("t"),
		DataSourceConfiguration: &types.DataSourceConfiguration{
			DataFormat:                types.BatchLoadDataFormatCsv,
			DataSourceS3Configuration: &types.DataSourceS3Configuration{BucketName: aws.String("source"), ObjectKeyPrefix: aws.String("csv/")},
		},
		ReportConfiguration: &types.ReportConfiguration{ReportS3Configuration: &types.ReportS3Configuration{BucketName: aws.String("reports"), ObjectKeyPrefix: aws.String("bl")}},
		DataModelConfiguration: &types.DataModelConfiguration{DataModel: &types.DataModel{
			TimeColumn: aws.String("at"), DimensionMappings: []types.DimensionMapping{{SourceColumn: aws.String("device")}},
			MultiMeasureMappings: &types.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []types.MultiMeasureAttributeMapping{{SourceColumn: aws.String("t")}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var task *types.BatchLoadTaskDescription
	for task == nil || task.TaskStatus == types.BatchLoadStatusCreated || task.TaskStatus == types.BatchLoadStatusInProgress {
		d, err := c.DescribeBatchLoadTask(ctx, &timestreamwrite.DescribeBatchLoadTaskInput{TaskId: made.TaskId})
		if err != nil {
			t.Fatal(err)
		}
		task = d.BatchLoadTaskDescription
	}
	if p := task.ProgressReport; task.TaskStatus != types.BatchLoadStatusFailed || p.RecordsProcessed != 2 || p.RecordsIngested != 1 || p.RecordIngestionFailures != 1 {
		t.Fatalf("%s %+v", task.TaskStatus, p)
	}
	report, err := buckets.Read("reports", "bl/"+*made.TaskId+"/errors.json", 1<<20)
	if err != nil || !strings.Contains(string(report), `"reason":"The record timestamp is outside the time range of the memory store.","lineRanges":[[3,3]]`) {
		t.Fatalf("report %s, %v", report, err)
	}
	list, err := c.ListBatchLoadTasks(ctx, &timestreamwrite.ListBatchLoadTasksInput{TaskStatus: types.BatchLoadStatusFailed})
	if err != nil || len(list.BatchLoadTasks) != 1 || *list.BatchLoadTasks[0].TaskId != *made.TaskId {
		t.Fatalf("list %+v, %v", list, err)
	}
	if _, err := c.ResumeBatchLoadTask(ctx, &timestreamwrite.ResumeBatchLoadTaskInput{TaskId: made.TaskId}); err == nil || !strings.Contains(err.Error(), "only one in PROGRESS_STOPPED") {
		t.Fatalf("resume = %v", err)
	}
}
