// Package terraform makes the calls of the AWS provider of Terraform for its Timestream
// resources, in its order and with its waiters: create, read, tags, update, delete. What the
// provider compares with the configuration must come back as it was given, or a plan
// never settles.
package terraform

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	qtypes "github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
)

type provider struct {
	*testing.T
	write *timestreamwrite.Client
	query *timestreamquery.Client
	iam   *iam.Client
}

// role makes a role with one policy, until the test ends.
func (p *provider) role(name, trust, policy string) {
	p.Helper()
	_, err := p.iam.CreateRole(p.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	p.ok(err)
	_, err = p.iam.PutRolePolicy(p.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("all"), PolicyDocument: &policy})
	p.ok(err)
	p.Cleanup(func() {
		_, err := p.iam.DeleteRolePolicy(context.Background(), &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: aws.String("all")})
		p.ok(err)
		_, err = p.iam.DeleteRole(context.Background(), &iam.DeleteRoleInput{RoleName: &name})
		p.ok(err)
	})
}

// configure makes the clients as the provider does: endpoints from its configuration, or, with
// "", from the environment.
func configure(t *testing.T, endpoint string) *provider {
	t.Helper()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Fatal("AWS_ENDPOINT_URL does not name a server (make e2e runs this)")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{T: t, iam: iam.NewFromConfig(cfg)}
	p.write = timestreamwrite.NewFromConfig(cfg, func(o *timestreamwrite.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	p.query = timestreamquery.NewFromConfig(cfg, func(o *timestreamquery.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	return p
}

func (p *provider) ok(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *provider) same(what string, got, want any) {
	p.Helper()
	if !reflect.DeepEqual(got, want) {
		p.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// tags reads the tags, as the provider does after every read.
func (p *provider) tags(arn *string) map[string]string {
	p.Helper()
	out, err := p.write.ListTagsForResource(p.Context(), &timestreamwrite.ListTagsForResourceInput{ResourceARN: arn})
	p.ok(err)
	got := map[string]string{}
	for _, t := range out.Tags {
		got[*t.Key] = *t.Value
	}
	return got
}

// each runs a test with the endpoint in the provider's configuration and in the environment.
func each(t *testing.T, test func(*provider)) {
	for name, endpoint := range map[string]string{"endpoints block": os.Getenv("AWS_ENDPOINT_URL"), "environment": ""} {
		t.Run(name, func(t *testing.T) { test(configure(t, endpoint)) })
	}
}

func writeTags(kv ...string) (list []types.Tag) {
	for i := 0; i < len(kv); i += 2 {
		list = append(list, types.Tag{Key: &kv[i], Value: &kv[i+1]})
	}
	return list
}

func TestDatabase(t *testing.T) {
	each(t, func(p *provider) {
		ctx, name := p.Context(), aws.String("tf_database")
		created, err := p.write.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: name, Tags: writeTags("key1", "value1")})
		p.ok(err)
		read := func() *types.Database {
			p.Helper()
			out, err := p.write.DescribeDatabase(ctx, &timestreamwrite.DescribeDatabaseInput{DatabaseName: name})
			p.ok(err)
			return out.Database
		}
		p.same("after creation", read(), created.Database)
		p.same("tags", p.tags(created.Database.Arn), map[string]string{"key1": "value1"})
		if !strings.HasPrefix(*created.Database.KmsKeyId, "arn:aws:kms:") {
			p.Fatalf("the provider checks that kms_key_id is an ARN: %s", *created.Database.KmsKeyId)
		}

		key := aws.String("arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555")
		_, err = p.write.UpdateDatabase(ctx, &timestreamwrite.UpdateDatabaseInput{DatabaseName: name, KmsKeyId: key})
		p.ok(err)
		p.same("key", read().KmsKeyId, key)
		_, err = p.write.UntagResource(ctx, &timestreamwrite.UntagResourceInput{ResourceARN: created.Database.Arn, TagKeys: []string{"key1"}})
		p.ok(err)
		_, err = p.write.TagResource(ctx, &timestreamwrite.TagResourceInput{ResourceARN: created.Database.Arn, Tags: writeTags("key2", "value2")})
		p.ok(err)
		p.same("tags", p.tags(created.Database.Arn), map[string]string{"key2": "value2"})

		_, err = p.write.DeleteDatabase(ctx, &timestreamwrite.DeleteDatabaseInput{DatabaseName: name})
		p.ok(err)
		var gone *types.ResourceNotFoundException
		if _, err := p.write.DescribeDatabase(ctx, &timestreamwrite.DescribeDatabaseInput{DatabaseName: name}); !errors.As(err, &gone) {
			p.Fatalf("after deletion: %v", err)
		}
	})
}

func TestTableWithEveryOption(t *testing.T) {
	each(t, func(p *provider) {
		ctx, database, name := p.Context(), aws.String("tf_tables"), aws.String("table")
		_, err := p.write.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: database})
		p.ok(err)
		in := &timestreamwrite.CreateTableInput{
			DatabaseName: database, TableName: name, Tags: writeTags("Name", "a table"),
			RetentionProperties: &types.RetentionProperties{MagneticStoreRetentionPeriodInDays: aws.Int64(30), MemoryStoreRetentionPeriodInHours: aws.Int64(8)},
			MagneticStoreWriteProperties: &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(true), MagneticStoreRejectedDataLocation: &types.MagneticStoreRejectedDataLocation{
				S3Configuration: &types.S3Configuration{BucketName: aws.String("tf-rejected"), ObjectKeyPrefix: aws.String("prefix"), EncryptionOption: types.S3EncryptionOptionSseS3}}},
			Schema: &types.Schema{CompositePartitionKey: []types.PartitionKey{{Type: types.PartitionKeyTypeDimension, Name: aws.String("host"), EnforcementInRecord: types.PartitionKeyEnforcementLevelRequired}}},
		}
		created, err := p.write.CreateTable(ctx, in)
		p.ok(err)
		read := func() *types.Table {
			p.Helper()
			out, err := p.write.DescribeTable(ctx, &timestreamwrite.DescribeTableInput{DatabaseName: database, TableName: name})
			p.ok(err)
			return out.Table
		}
		got := read()
		p.same("after creation", got, created.Table)
		p.same("blocks", []any{got.RetentionProperties, got.MagneticStoreWriteProperties, got.Schema}, []any{in.RetentionProperties, in.MagneticStoreWriteProperties, in.Schema})
		p.same("tags", p.tags(got.Arn), map[string]string{"Name": "a table"})

		// An update sends the changed blocks alone; the others stay.
		retention := &types.RetentionProperties{MagneticStoreRetentionPeriodInDays: aws.Int64(7), MemoryStoreRetentionPeriodInHours: aws.Int64(24)}
		_, err = p.write.UpdateTable(ctx, &timestreamwrite.UpdateTableInput{DatabaseName: database, TableName: name, RetentionProperties: retention})
		p.ok(err)
		got = read()
		p.same("blocks", []any{got.RetentionProperties, got.MagneticStoreWriteProperties, got.Schema}, []any{retention, in.MagneticStoreWriteProperties, in.Schema})
		magnetic := &types.MagneticStoreWriteProperties{EnableMagneticStoreWrites: aws.Bool(false)}
		_, err = p.write.UpdateTable(ctx, &timestreamwrite.UpdateTableInput{DatabaseName: database, TableName: name, MagneticStoreWriteProperties: magnetic})
		p.ok(err)
		p.same("magnetic writes", read().MagneticStoreWriteProperties, magnetic)
		in.Schema.CompositePartitionKey[0].EnforcementInRecord = types.PartitionKeyEnforcementLevelOptional
		_, err = p.write.UpdateTable(ctx, &timestreamwrite.UpdateTableInput{DatabaseName: database, TableName: name, Schema: in.Schema})
		p.ok(err)
		p.same("key", read().Schema, in.Schema)

		// Without options, the provider's computed blocks take what the server tells.
		plain, err := p.write.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: database, TableName: aws.String("plain"), Tags: []types.Tag{}})
		p.ok(err)
		p.same("defaults", []any{*plain.Table.MagneticStoreWriteProperties.EnableMagneticStoreWrites, *plain.Table.RetentionProperties.MemoryStoreRetentionPeriodInHours, plain.Table.Schema.CompositePartitionKey}, []any{false, int64(6), []types.PartitionKey{{Type: types.PartitionKeyTypeMeasure}}})

		for _, table := range []string{"table", "plain"} {
			_, err = p.write.DeleteTable(ctx, &timestreamwrite.DeleteTableInput{DatabaseName: database, TableName: &table})
			p.ok(err)
			var gone *types.ResourceNotFoundException
			if _, err := p.write.DescribeTable(ctx, &timestreamwrite.DescribeTableInput{DatabaseName: database, TableName: &table}); !errors.As(err, &gone) {
				p.Fatalf("after deletion: %v", err)
			}
		}
		_, err = p.write.DeleteDatabase(ctx, &timestreamwrite.DeleteDatabaseInput{DatabaseName: database})
		p.ok(err)
	})
}

func TestScheduledQuery(t *testing.T) {
	each(t, func(p *provider) {
		ctx, database := p.Context(), aws.String("tf_scheduled")
		_, err := p.write.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: database})
		p.ok(err)
		for _, table := range []string{"source", "results"} {
			_, err := p.write.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: database, TableName: &table})
			p.ok(err)
		}
		// The query is analysed when it is created, so its columns must be there.
		_, err = p.write.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: database, TableName: aws.String("source"), Records: []types.Record{{
			Dimensions:  []types.Dimension{{Name: aws.String("az"), Value: aws.String("a")}, {Name: aws.String("region"), Value: aws.String("r")}, {Name: aws.String("hostname"), Value: aws.String("h")}},
			MeasureName: aws.String("metrics"), MeasureValueType: types.MeasureValueTypeMulti, Time: aws.String(strconv.FormatInt(time.Now().UnixMilli(), 10)),
			MeasureValues: []types.MeasureValue{{Name: aws.String("cpu_utilization"), Value: aws.String("1"), Type: types.MeasureValueTypeDouble}},
		}}})
		p.ok(err)
		dimension := func(name string) qtypes.DimensionMapping {
			return qtypes.DimensionMapping{Name: &name, DimensionValueType: qtypes.DimensionValueTypeVarchar}
		}
		in := &timestreamquery.CreateScheduledQueryInput{
			Name: aws.String("tf_query"), ClientToken: aws.String("terraform-20310203040506789000000001"), Tags: []qtypes.Tag{{Key: aws.String("key1"), Value: aws.String("value1")}},
			QueryString: aws.String(`SELECT region, az, hostname, BIN(time, 15s) AS binned_timestamp, ROUND(AVG(cpu_utilization), 2) AS avg_cpu_utilization
				FROM tf_scheduled.source WHERE measure_name = 'metrics' AND time > ago(2h) GROUP BY region, hostname, az, BIN(time, 15s) ORDER BY binned_timestamp ASC LIMIT 5`),
			ScheduleConfiguration:          &qtypes.ScheduleConfiguration{ScheduleExpression: aws.String("rate(1 hour)")},
			NotificationConfiguration:      &qtypes.NotificationConfiguration{SnsConfiguration: &qtypes.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none")}},
			ErrorReportConfiguration:       &qtypes.ErrorReportConfiguration{S3Configuration: &qtypes.S3Configuration{BucketName: aws.String("tf-none"), ObjectKeyPrefix: aws.String("errors"), EncryptionOption: qtypes.S3EncryptionOptionSseS3}},
			ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/tf_query"),
			TargetConfiguration: &qtypes.TargetConfiguration{TimestreamConfiguration: &qtypes.TimestreamConfiguration{
				DatabaseName: database, TableName: aws.String("results"), TimeColumn: aws.String("binned_timestamp"),
				DimensionMappings: []qtypes.DimensionMapping{dimension("az"), dimension("region"), dimension("hostname")},
				MultiMeasureMappings: &qtypes.MultiMeasureMappings{TargetMultiMeasureName: aws.String("multi-metrics"), MultiMeasureAttributeMappings: []qtypes.MultiMeasureAttributeMapping{
					{SourceColumn: aws.String("avg_cpu_utilization"), MeasureValueType: qtypes.ScalarMeasureValueTypeDouble}}},
			}},
		}
		p.role("tf_query", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"timestream.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"timestream:*","Resource":"*"}]}`)
		created, err := p.query.CreateScheduledQuery(ctx, in)
		p.ok(err)
		read := func() *qtypes.ScheduledQueryDescription {
			p.Helper()
			out, err := p.query.DescribeScheduledQuery(ctx, &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: created.Arn})
			p.ok(err)
			return out.ScheduledQuery
		}
		state := func(want qtypes.ScheduledQueryState) { // the waiter wants it twice in a row
			p.Helper()
			for range 2 {
				p.same("state", read().State, want)
			}
		}
		state(qtypes.ScheduledQueryStateEnabled)
		got := read()
		p.same("blocks", []any{got.QueryString, got.ScheduleConfiguration, got.NotificationConfiguration, got.ErrorReportConfiguration, got.ScheduledQueryExecutionRoleArn, got.TargetConfiguration},
			[]any{in.QueryString, in.ScheduleConfiguration, in.NotificationConfiguration, in.ErrorReportConfiguration, in.ScheduledQueryExecutionRoleArn, in.TargetConfiguration})
		if got.NextInvocationTime == nil || got.CreationTime == nil {
			p.Fatalf("times: %+v", got)
		}
		tags, err := p.query.ListTagsForResource(ctx, &timestreamquery.ListTagsForResourceInput{ResourceARN: created.Arn})
		p.ok(err)
		p.same("tags", *tags.Tags[0].Value, "value1")
		for _, to := range []qtypes.ScheduledQueryState{qtypes.ScheduledQueryStateDisabled, qtypes.ScheduledQueryStateEnabled} {
			_, err := p.query.UpdateScheduledQuery(ctx, &timestreamquery.UpdateScheduledQueryInput{ScheduledQueryArn: created.Arn, State: to})
			p.ok(err)
			state(to)
		}
		_, err = p.query.DeleteScheduledQuery(ctx, &timestreamquery.DeleteScheduledQueryInput{ScheduledQueryArn: created.Arn})
		p.ok(err)
		var gone *qtypes.ResourceNotFoundException
		if _, err := p.query.DescribeScheduledQuery(ctx, &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: created.Arn}); !errors.As(err, &gone) {
			p.Fatalf("after deletion: %v", err)
		}
		for _, table := range []string{"source", "results"} {
			_, err := p.write.DeleteTable(ctx, &timestreamwrite.DeleteTableInput{DatabaseName: database, TableName: &table})
			p.ok(err)
		}
		_, err = p.write.DeleteDatabase(ctx, &timestreamwrite.DeleteDatabaseInput{DatabaseName: database})
		p.ok(err)
	})
}
