package timestream_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	tsquery "github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	querytypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	tswrite "github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/query"
)

func (d *door) config() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &d.server.URL, HTTPClient: &http.Client{},
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func TestTheGoSDKWritesUnchanged(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	c := tswrite.NewFromConfig(d.config()) // with endpoint discovery, as by default
	ctx := t.Context()
	database, err := c.CreateDatabase(ctx, &tswrite.CreateDatabaseInput{DatabaseName: aws.String("iot"), Tags: []writetypes.Tag{{Key: aws.String("Environment"), Value: aws.String("production")}}})
	if err != nil || *database.Database.DatabaseName != "iot" || !database.Database.CreationTime.Equal(now) {
		t.Fatalf("CreateDatabase: %+v, %v", database, err)
	}
	table, err := c.CreateTable(ctx, &tswrite.CreateTableInput{
		DatabaseName: aws.String("iot"), TableName: aws.String("sensors"),
		RetentionProperties:          &writetypes.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(24), MagneticStoreRetentionPeriodInDays: aws.Int64(365)},
		MagneticStoreWriteProperties: &writetypes.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true)},
	})
	if err != nil || table.Table.TableStatus != writetypes.TableStatusActive || table.Table.Schema.CompositePartitionKey[0].Type != writetypes.PartitionKeyTypeMeasure {
		t.Fatalf("CreateTable: %+v, %v", table, err)
	}
	var conflict *writetypes.ConflictException
	if _, err := c.CreateDatabase(ctx, &tswrite.CreateDatabaseInput{DatabaseName: aws.String("iot")}); !errors.As(err, &conflict) {
		t.Errorf("CreateDatabase again: %v", err)
	}

	var records []writetypes.Record
	for i := range 100 {
		records = append(records, writetypes.Record{
			Dimensions: []writetypes.Dimension{{Name: aws.String("device_id"), Value: aws.String(fmt.Sprint("device-", i))}},
			MeasureValues: []writetypes.MeasureValue{
				{Name: aws.String("temperature"), Value: aws.String("21.5"), Type: writetypes.MeasureValueTypeDouble},
				{Name: aws.String("battery"), Value: aws.String("97"), Type: writetypes.MeasureValueTypeBigint},
			},
		})
	}
	input := &tswrite.WriteRecordsInput{
		DatabaseName: aws.String("iot"), TableName: aws.String("sensors"), Records: records,
		CommonAttributes: &writetypes.Record{MeasureName: aws.String("metrics"), MeasureValueType: writetypes.MeasureValueTypeMulti, Time: aws.String(fmt.Sprint(now.UnixMilli())), Version: aws.Int64(3)},
	}
	out, err := c.WriteRecords(ctx, input)
	if err != nil || out.RecordsIngested.Total != 100 || out.RecordsIngested.MemoryStore != 100 {
		t.Fatalf("WriteRecords: %+v, %v", out, err)
	}
	input.CommonAttributes.Version = aws.Int64(2)
	var rejected *writetypes.RejectedRecordsException
	if _, err = c.WriteRecords(ctx, input); !errors.As(err, &rejected) || len(rejected.RejectedRecords) != 100 ||
		rejected.RejectedRecords[99].RecordIndex != 99 || *rejected.RejectedRecords[99].ExistingVersion != 3 {
		t.Errorf("WriteRecords of a lower version: %+v, %v", rejected, err)
	}
	input.TableName = aws.String("none")
	var missing *writetypes.ResourceNotFoundException
	if _, err = c.WriteRecords(ctx, input); !errors.As(err, &missing) || missing.ErrorMessage() != "The table none does not exist." {
		t.Errorf("WriteRecords to no table: %v", err)
	}
	input.Records = append(records, records[0])
	var invalid *writetypes.ValidationException
	if _, err = c.WriteRecords(ctx, input); !errors.As(err, &invalid) {
		t.Errorf("WriteRecords of 101 records: %v", err)
	}
	tags, err := c.ListTagsForResource(ctx, &tswrite.ListTagsForResourceInput{ResourceARN: database.Database.Arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "production" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	for _, del := range []func() error{
		func() error {
			_, err := c.DeleteTable(ctx, &tswrite.DeleteTableInput{DatabaseName: aws.String("iot"), TableName: aws.String("sensors")})
			return err
		},
		func() error {
			_, err := c.DeleteDatabase(ctx, &tswrite.DeleteDatabaseInput{DatabaseName: aws.String("iot")})
			return err
		},
	} {
		if err := del(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheGoSDKReadsResultsUnchanged(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	c := tsquery.NewFromConfig(d.config())
	empty := result()
	empty.Rows, empty.NextToken = nil, "more"
	d.queries.pages = []*query.Page{empty, result()}
	pages := tsquery.NewQueryPaginator(c, &tsquery.QueryInput{QueryString: aws.String("SELECT 1")})
	var rows []querytypes.Row
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if *page.QueryId != "Q1" || len(page.ColumnInfo) != 15 || page.QueryStatus.ProgressPercentage != 100 {
			t.Errorf("page = %+v", page)
		}
		rows = append(rows, page.Rows...)
	}
	if len(rows) != 2 || *rows[0].Data[4].ScalarValue != "35.0" || rows[0].Data[4].NullValue != nil || !*rows[1].Data[4].NullValue ||
		*rows[0].Data[13].TimeSeriesValue[0].Value.ScalarValue != "1" || *rows[0].Data[12].RowValue.Data[1].ScalarValue != "x" {
		t.Errorf("rows = %+v", rows)
	}
	if tokens := []string{d.queries.asked[0].NextToken, d.queries.asked[1].NextToken}; !slices.Equal(tokens, []string{"", "more"}) {
		t.Errorf("tokens = %q", tokens)
	}
	d.queries.err = fault.New(fault.Cancelled, "Unable to poll results for a cancelled query.")
	var conflict *querytypes.ConflictException
	if _, err := c.Query(t.Context(), &tsquery.QueryInput{QueryString: aws.String("SELECT 1")}); !errors.As(err, &conflict) {
		t.Errorf("cancelled: %v", err)
	}
	if out, err := c.DescribeAccountSettings(t.Context(), &tsquery.DescribeAccountSettingsInput{}); err != nil || *out.MaxQueryTCU != 200 {
		t.Errorf("account: %+v, %v", out, err)
	}
}
