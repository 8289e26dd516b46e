// Package gosdkold writes and reads with a Go SDK that obeys DescribeEndpoints, by
// AWS_ENDPOINT_URL alone.
package gosdkold

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

func TestWriteAndQuery(t *testing.T) {
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL does not name a server (make e2e runs this)")
	}
	ctx := t.Context()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	write, query := timestreamwrite.NewFromConfig(cfg), timestreamquery.NewFromConfig(cfg)
	database, table := aws.String("old_sdk"), aws.String("readings")
	if _, err := write.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: database}); err != nil {
		t.Fatal(err)
	}
	if _, err := write.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: database, TableName: table}); err != nil {
		t.Fatal(err)
	}
	var records []types.Record
	end := time.Now().UnixMilli()
	for i := range 100 {
		records = append(records, types.Record{
			Dimensions: []types.Dimension{{Name: aws.String("device"), Value: aws.String("d")}}, MeasureName: aws.String("m"), MeasureValue: aws.String(strconv.Itoa(i)),
			Time: aws.String(strconv.FormatInt(end-int64(i), 10)),
		})
	}
	out, err := write.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: database, TableName: table, Records: records})
	if err != nil || out.RecordsIngested.Total != 100 {
		t.Fatalf("%+v, %v", out, err)
	}
	rows := 0
	in := &timestreamquery.QueryInput{QueryString: aws.String("SELECT * FROM old_sdk.readings"), MaxRows: aws.Int32(40)}
	for more := true; more; more = in.NextToken != nil {
		page, err := query.Query(ctx, in)
		// This SDK at times closes a connection under its own hands, whatever the server.
		for range 10 {
			if err != nil && strings.Contains(err.Error(), "use of closed network connection") {
				page, err = query.Query(ctx, in)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		rows += len(page.Rows)
		in.NextToken = page.NextToken
	}
	if rows != 100 {
		t.Errorf("%d rows", rows)
	}
}
