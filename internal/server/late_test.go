package server_test

import (
	"context"
	"encoding/json"
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

// TestALateRecordThatLosesIsReportedInTheTablesBucket: the call succeeds, the report follows.
func TestALateRecordThatLosesIsReportedInTheTablesBucket(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s, err := server.Start(ctx, server.Options{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := vfs.Real(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	c := timestreamwrite.New(timestreamwrite.Options{
		BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	buckets, err := objstore.OpenBuckets(files, nil)
	must(nil, err)
	must(nil, buckets.CreateBucket("late-reports", "us-east-1"))
	must(c.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}))
	must(c.CreateTable(ctx, &timestreamwrite.CreateTableInput{
		DatabaseName: aws.String("db"), TableName: aws.String("t"),
		MagneticStoreWriteProperties: &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true), MagneticStoreRejectedDataLocation: &types.MagneticStoreRejectedDataLocation{
			S3Configuration: &types.S3Configuration{BucketName: aws.String("late-reports"), ObjectKeyPrefix: aws.String("lost")}}},
	}))
	at := time.Now().Add(-10 * 24 * time.Hour).UnixMilli()
	write := func(value string, version int64) {
		t.Helper()
		out, err := c.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String("db"), TableName: aws.String("t"), Records: []types.Record{{
			Dimensions: []types.Dimension{{Name: aws.String("d"), Value: aws.String("x")}}, MeasureName: aws.String("m"), MeasureValue: aws.String(value),
			Time: aws.String(fmt.Sprint(at)), Version: aws.Int64(version)}}})
		if err != nil || out.RecordsIngested.MagneticStore != 1 {
			t.Fatalf("late write: %+v, %v", out, err)
		}
	}
	write("2.5", 7)
	write("1.5", 3)
	if err := s.Close(context.Background()); err != nil { // waits for the report
		t.Fatal(err)
	}
	list, err := buckets.List(ctx, "late-reports", objstore.ListOptions{})
	if err != nil || len(list.Objects) != 1 || !strings.HasPrefix(list.Objects[0].Key, "lost/db/t/") {
		t.Fatalf("objects %+v, %v", list.Objects, err)
	}
	body, err := buckets.Read("late-reports", list.Objects[0].Key, 1<<20)
	must(nil, err)
	var report struct {
		ReportID string
		Errors   []struct {
			Reason  string
			Records []struct {
				MeasureName, MeasureValue, MeasureValueType, Time, TimeUnit string
				Version                                                     int64
			}
		}
	}
	must(nil, json.Unmarshal(body, &report))
	e := report.Errors[0]
	if len(report.ReportID) != 32 || e.Reason != "The record version 3 is lower than the existing version 7. A higher version is required to update the measure value." ||
		e.Records[0].MeasureValue != "1.5" || e.Records[0].MeasureValueType != "DOUBLE" || e.Records[0].Time != fmt.Sprint(at)+"000000" || e.Records[0].Version != 3 {
		t.Fatalf("report %s", body)
	}
}
