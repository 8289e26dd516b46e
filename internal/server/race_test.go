package server_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/server"
)

// TestOfCallsThatRaceToCreateOneWins: all others are told of the conflict, and calls with one ClientToken of what was made.
func TestOfCallsThatRaceToCreateOneWins(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := server.Start(ctx, server.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	keys := credentials.NewStaticCredentialsProvider("any", "any", "")
	w := timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	q := timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	scheduled := func(name string, token *string) (*timestreamquery.CreateScheduledQueryOutput, error) {
		return q.CreateScheduledQuery(ctx, &timestreamquery.CreateScheduledQueryInput{
			Name: aws.String(name), ClientToken: token, QueryString: aws.String("SELECT 1"),
			ScheduleConfiguration:          &querytypes.ScheduleConfiguration{ScheduleExpression: aws.String("rate(1 day)")},
			NotificationConfiguration:      &querytypes.NotificationConfiguration{SnsConfiguration: &querytypes.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none")}},
			ErrorReportConfiguration:       &querytypes.ErrorReportConfiguration{S3Configuration: &querytypes.S3Configuration{BucketName: aws.String("reports")}},
			ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/any"),
		})
	}
	load := func(column string) (*timestreamwrite.CreateBatchLoadTaskOutput, error) {
		return w.CreateBatchLoadTask(ctx, &timestreamwrite.CreateBatchLoadTaskInput{
			ClientToken: aws.String("one"), TargetDatabaseName: aws.String("db"), TargetTableName: aws.String("t"),
			DataSourceConfiguration: &types.DataSourceConfiguration{DataFormat: types.BatchLoadDataFormatCsv,
				DataSourceS3Configuration: &types.DataSourceS3Configuration{BucketName: aws.String("box")}},
			ReportConfiguration: &types.ReportConfiguration{ReportS3Configuration: &types.ReportS3Configuration{BucketName: aws.String("box")}},
			DataModelConfiguration: &types.DataModelConfiguration{DataModel: &types.DataModel{
				TimeColumn: aws.String(column), DimensionMappings: []types.DimensionMapping{{SourceColumn: aws.String("d")}},
				MultiMeasureMappings: &types.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []types.MultiMeasureAttributeMapping{{SourceColumn: aws.String("v")}}},
			}},
		})
	}
	race := func(what string, wantErr string, create func() (id string, err error)) {
		t.Helper()
		var wg sync.WaitGroup
		var made atomic.Int64
		var mu sync.Mutex
		ids := map[string]bool{}
		for range 8 {
			wg.Go(func() {
				id, err := create()
				switch {
				case err == nil:
					made.Add(1)
					mu.Lock()
					ids[id] = true
					mu.Unlock()
				case wantErr == "" || code(err) != wantErr:
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || wantErr != "" && made.Load() != 1 {
			t.Errorf("%s: %d calls succeeded, with %d ids", what, made.Load(), len(ids))
		}
	}
	race("CreateDatabase", "ConflictException", func() (string, error) {
		_, err := w.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")})
		return "", err
	})
	race("CreateTable", "ConflictException", func() (string, error) {
		_, err := w.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String("t")})
		return "", err
	})
	race("CreateScheduledQuery", "ConflictException", func() (string, error) {
		_, err := scheduled("racing", nil)
		return "", err
	})
	race("CreateScheduledQuery with one token", "", func() (string, error) {
		out, err := scheduled("tokens", aws.String("0123456789012345678901234567890123456789"))
		if err != nil {
			return "", err
		}
		return *out.Arn, nil
	})
	race("CreateBatchLoadTask with one token", "", func() (string, error) {
		out, err := load("time")
		if err != nil {
			return "", err
		}
		return *out.TaskId, nil
	})
	if _, err := load("other"); code(err) != "ConflictException" {
		t.Errorf("the token of another task: %v", err)
	}
	if _, err := scheduled("again", aws.String("0123456789012345678901234567890123456789")); code(err) != "ConflictException" {
		t.Errorf("the token of another scheduled query: %v", err)
	}
	ask := func(sql string) error {
		_, err := q.Query(ctx, &timestreamquery.QueryInput{QueryString: aws.String(sql), ClientToken: aws.String("0123456789012345678901234567890123456789")})
		return err
	}
	if err := ask("SELECT 1"); err != nil {
		t.Error(err)
	}
	if err := ask("SELECT 2"); code(err) != "ValidationException" {
		t.Errorf("the token of another query: %v", err)
	}
}
