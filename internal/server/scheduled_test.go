package server_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/server"
)

// TestAScheduledQueryWithTheTagFollowsLateWrites goes all the way, by the official clients.
func TestAScheduledQueryWithTheTagFollowsLateWrites(t *testing.T) {
	t.Parallel()
	ctx, clk := t.Context(), clock.Manual(time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC))
	s, err := server.Start(ctx, server.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	keys := credentials.NewStaticCredentialsProvider("any", "any", "")
	w := timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	q := timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}))
	for _, name := range []string{"raw", "out"} {
		must(w.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String(name), RetentionProperties: &types.RetentionProperties{
			MemoryStoreRetentionPeriodInHours: aws.Int64(24), MagneticStoreRetentionPeriodInDays: aws.Int64(7)}}))
	}
	write := func(value string, at time.Time) {
		t.Helper()
		must(w.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String("db"), TableName: aws.String("raw"), Records: []types.Record{{
			Dimensions: []types.Dimension{{Name: aws.String("d"), Value: aws.String("x")}}, MeasureName: aws.String("m"), MeasureValue: aws.String(value),
			Time: aws.String(fmt.Sprint(at.UnixMilli()))}}}))
	}
	advance := func() {
		t.Helper()
		clk.Advance(time.Hour)
		must(nil, s.Settle(ctx))
	}
	start := clk.Now()
	write("1", start)
	must(q.CreateScheduledQuery(ctx, &timestreamquery.CreateScheduledQueryInput{
		Name: aws.String("hourly"), ScheduleConfiguration: &querytypes.ScheduleConfiguration{ScheduleExpression: aws.String("rate(1 hour)")},
		QueryString:                    aws.String("SELECT d, BIN(time, 1h) AS hour, SUM(measure_value::double) AS total FROM db.raw WHERE time BETWEEN @scheduled_runtime - 1h AND @scheduled_runtime GROUP BY d, BIN(time, 1h)"),
		NotificationConfiguration:      &querytypes.NotificationConfiguration{SnsConfiguration: &querytypes.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none")}},
		ErrorReportConfiguration:       &querytypes.ErrorReportConfiguration{S3Configuration: &querytypes.S3Configuration{BucketName: aws.String("reports")}},
		ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/any"),
		TargetConfiguration: &querytypes.TargetConfiguration{TimestreamConfiguration: &querytypes.TimestreamConfiguration{
			DatabaseName: aws.String("db"), TableName: aws.String("out"), TimeColumn: aws.String("hour"),
			DimensionMappings: []querytypes.DimensionMapping{{Name: aws.String("d"), DimensionValueType: querytypes.DimensionValueTypeVarchar}},
			MultiMeasureMappings: &querytypes.MultiMeasureMappings{TargetMultiMeasureName: aws.String("m"), MultiMeasureAttributeMappings: []querytypes.MultiMeasureAttributeMapping{
				{SourceColumn: aws.String("total"), MeasureValueType: querytypes.ScalarMeasureValueTypeDouble}}},
		}},
		Tags: []querytypes.Tag{{Key: aws.String("weir:rerun-late-data"), Value: aws.String("12h")}},
	}))
	advance()
	write("41", start.Add(time.Minute))
	advance()
	got, err := q.Query(ctx, &timestreamquery.QueryInput{QueryString: aws.String("SELECT total FROM db.out")})
	must(nil, err)
	if len(got.Rows) != 1 || *got.Rows[0].Data[0].ScalarValue != "42.0" {
		t.Errorf("rows %+v, want 42.0", got.Rows)
	}
}
