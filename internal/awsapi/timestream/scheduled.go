package timestream

import (
	"context"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/schedule"
)

// The nested shapes serve as input and, in the same form, as output.

type scheduleConfiguration struct {
	ScheduleExpression *string `check:"required len=1..256"`
}

type notificationConfiguration struct {
	SnsConfiguration *snsConfiguration `check:"required"`
}

type snsConfiguration struct {
	TopicArn *string `check:"required len=1..2048"`
}

type errorReportConfiguration struct {
	S3Configuration *runReportConfiguration `check:"required"`
}

type runReportConfiguration struct {
	BucketName       *string `check:"required len=3..63 pattern=bucket"`
	ObjectKeyPrefix  *string `check:"len=1..896 pattern=prefix"`
	EncryptionOption *string `check:"enum=SSE_S3,SSE_KMS"`
}

type targetConfiguration struct {
	TimestreamConfiguration *timestreamTarget `check:"required"`
}

type timestreamTarget struct {
	DatabaseName         *string           `check:"required"`
	TableName            *string           `check:"required"`
	TimeColumn           *string           `check:"required"`
	DimensionMappings    []resultDimension `check:"required"`
	MultiMeasureMappings *resultMulti
	MixedMeasureMappings []resultMixed `check:"len=1.."`
	MeasureNameColumn    *string
}

type resultDimension struct {
	Name               *string `check:"required"`
	DimensionValueType *string `check:"required enum=VARCHAR"`
}

type resultMulti struct {
	TargetMultiMeasureName        *string
	MultiMeasureAttributeMappings []resultAttribute `check:"required len=1.."`
}

type resultAttribute struct {
	SourceColumn                    *string `check:"required"`
	TargetMultiMeasureAttributeName *string
	MeasureValueType                *string `check:"required enum=BIGINT,BOOLEAN,DOUBLE,VARCHAR,TIMESTAMP"`
}

type resultMixed struct {
	MeasureName                   *string
	SourceColumn                  *string
	TargetMeasureName             *string
	MeasureValueType              *string           `check:"required enum=BIGINT,BOOLEAN,DOUBLE,VARCHAR,MULTI"`
	MultiMeasureAttributeMappings []resultAttribute `check:"len=1.."`
}

func (t *targetConfiguration) target() *schedule.Target {
	if t == nil {
		return nil
	}
	c := t.TimestreamConfiguration
	out := &schedule.Target{
		Database: *c.DatabaseName, Table: *c.TableName, TimeColumn: *c.TimeColumn, MeasureNameColumn: value(c.MeasureNameColumn),
	}
	for _, d := range c.DimensionMappings {
		out.Dimensions = append(out.Dimensions, *d.Name)
	}
	if m := c.MultiMeasureMappings; m != nil {
		out.Multi = &schedule.Multi{Name: value(m.TargetMultiMeasureName), Attributes: resultAttributes(m.MultiMeasureAttributeMappings)}
	}
	for _, m := range c.MixedMeasureMappings {
		out.Mixed = append(out.Mixed, schedule.Mixed{
			MeasureName: value(m.MeasureName), Column: value(m.SourceColumn), Name: value(m.TargetMeasureName),
			Type: ingest.ValueType(*m.MeasureValueType), Attributes: resultAttributes(m.MultiMeasureAttributeMappings),
		})
	}
	return out
}

func resultAttributes(list []resultAttribute) []schedule.Attribute {
	var out []schedule.Attribute
	for _, a := range list {
		out = append(out, schedule.Attribute{Column: *a.SourceColumn, Name: value(a.TargetMultiMeasureAttributeName), Type: ingest.ValueType(*a.MeasureValueType)})
	}
	return out
}

func targetShape(t *schedule.Target) *targetConfiguration {
	if t == nil {
		return nil
	}
	varchar := "VARCHAR"
	c := &timestreamTarget{
		DatabaseName: &t.Database, TableName: &t.Table, TimeColumn: &t.TimeColumn, MeasureNameColumn: given(t.MeasureNameColumn),
		DimensionMappings: []resultDimension{},
	}
	for i := range t.Dimensions {
		c.DimensionMappings = append(c.DimensionMappings, resultDimension{&t.Dimensions[i], &varchar})
	}
	if t.Multi != nil {
		c.MultiMeasureMappings = &resultMulti{given(t.Multi.Name), resultAttributesShape(t.Multi.Attributes)}
	}
	for _, m := range t.Mixed {
		c.MixedMeasureMappings = append(c.MixedMeasureMappings, resultMixed{
			given(m.MeasureName), given(m.Column), given(m.Name), given(string(m.Type)), resultAttributesShape(m.Attributes),
		})
	}
	return &targetConfiguration{c}
}

func resultAttributesShape(list []schedule.Attribute) []resultAttribute {
	var out []resultAttribute
	for _, a := range list {
		out = append(out, resultAttribute{given(a.Column), given(a.Name), given(string(a.Type))})
	}
	return out
}

type createScheduledQueryIn struct {
	Name                           *string                    `check:"required len=1..64 pattern=prefix"`
	QueryString                    *string                    `check:"required len=1..262144 secret"`
	ScheduleConfiguration          *scheduleConfiguration     `check:"required"`
	NotificationConfiguration      *notificationConfiguration `check:"required"`
	TargetConfiguration            *targetConfiguration
	ClientToken                    *string                   `check:"len=32..128 secret"`
	ScheduledQueryExecutionRoleArn *string                   `check:"required len=1..2048"`
	Tags                           []tagIn                   `check:"len=0..200"`
	KmsKeyId                       *string                   `check:"len=1..2048"`
	ErrorReportConfiguration       *errorReportConfiguration `check:"required"`
}

type createScheduledQueryOut struct{ Arn string }

func (s *service) createScheduledQuery(ctx context.Context, _ *wire.Call, in *createScheduledQueryIn) (any, error) {
	report := in.ErrorReportConfiguration.S3Configuration
	q, err := s.Scheduled.Create(ctx, schedule.Definition{
		Name: *in.Name, SQL: *in.QueryString, Expression: *in.ScheduleConfiguration.ScheduleExpression,
		TopicARN: *in.NotificationConfiguration.SnsConfiguration.TopicArn, RoleARN: *in.ScheduledQueryExecutionRoleArn,
		Report: schedule.Location{Bucket: *report.BucketName, Prefix: value(report.ObjectKeyPrefix), Encryption: value(report.EncryptionOption)},
		Target: in.TargetConfiguration.target(), KMSKeyID: value(in.KmsKeyId),
	}, tagsOf(in.Tags), value(in.ClientToken))
	if err != nil {
		return nil, err
	}
	return createScheduledQueryOut{q.ARN}, nil
}

type scheduledQueryIn struct {
	ScheduledQueryArn *string `check:"required len=1..2048"`
}

type scheduledQueryOut struct {
	Arn                            string
	Name                           string
	QueryString                    string
	CreationTime                   time.Time
	State                          string
	PreviousInvocationTime         time.Time
	NextInvocationTime             time.Time
	ScheduleConfiguration          scheduleConfiguration
	NotificationConfiguration      notificationConfiguration
	TargetConfiguration            *targetConfiguration
	ScheduledQueryExecutionRoleArn string
	KmsKeyId                       string
	ErrorReportConfiguration       *errorReportConfiguration
	LastRunSummary                 *runOut
	RecentlyFailedRuns             []*runOut
}

type runOut struct {
	InvocationTime        time.Time
	TriggerTime           time.Time
	RunStatus             string
	ExecutionStats        executionStats
	QueryInsightsResponse *insightsOut
	ErrorReportLocation   *errorReportLocation
	FailureReason         string
}

type executionStats struct {
	ExecutionTimeInMillis  int64
	DataWrites             int64
	BytesMetered           int64
	CumulativeBytesScanned int64
	RecordsIngested        int64
	QueryResultRows        int64
}

type errorReportLocation struct{ S3ReportLocation s3ReportLocation }

type s3ReportLocation struct{ BucketName, ObjectKey string }

func (s *service) runShape(r *schedule.Run) *runOut {
	if r == nil {
		return nil
	}
	out := &runOut{
		InvocationTime: r.Invocation, TriggerTime: r.Trigger, RunStatus: r.Status(), ExecutionStats: statsShape(&r.Stats), FailureReason: r.Reason,
	}
	if r.Insights != nil {
		out.QueryInsightsResponse = s.insightsShape(r.Insights)
	}
	if r.Report != nil {
		out.ErrorReportLocation = &errorReportLocation{s3ReportLocation{r.Report.Bucket, r.Report.Key}}
	}
	return out
}

func statsShape(st *schedule.Stats) executionStats {
	return executionStats{
		ExecutionTimeInMillis: st.Millis, DataWrites: st.DataWrites, BytesMetered: st.BytesMetered,
		CumulativeBytesScanned: st.BytesScanned, RecordsIngested: st.Ingested, QueryResultRows: st.ResultRows,
	}
}

func reportShape(l *schedule.Location) *errorReportConfiguration {
	return &errorReportConfiguration{&runReportConfiguration{&l.Bucket, given(l.Prefix), given(l.Encryption)}}
}

func (s *service) describeScheduledQuery(_ context.Context, _ *wire.Call, in *scheduledQueryIn) (any, error) {
	q, err := s.Scheduled.Query(*in.ScheduledQueryArn)
	if err != nil {
		return nil, err
	}
	out := &scheduledQueryOut{
		Arn: q.ARN, Name: q.Name, QueryString: q.SQL, CreationTime: q.Created, State: q.State(),
		PreviousInvocationTime: q.Previous, NextInvocationTime: q.Next,
		ScheduleConfiguration:          scheduleConfiguration{&q.Expression},
		NotificationConfiguration:      notificationConfiguration{&snsConfiguration{&q.TopicARN}},
		TargetConfiguration:            targetShape(q.Target),
		ScheduledQueryExecutionRoleArn: q.RoleARN, KmsKeyId: q.KMSKeyID,
		ErrorReportConfiguration: reportShape(&q.Report),
		LastRunSummary:           s.runShape(q.LastRun),
	}
	for i := range q.Failures {
		out.RecentlyFailedRuns = append(out.RecentlyFailedRuns, s.runShape(&q.Failures[i]))
	}
	return struct{ ScheduledQuery *scheduledQueryOut }{out}, nil
}

type listScheduledQueriesIn struct {
	MaxResults *int64 `check:"value=1..1000"`
	NextToken  *string
}

type listScheduledQueriesOut struct {
	ScheduledQueries []listedScheduledQuery
	NextToken        string
}

type listedScheduledQuery struct {
	Arn                      string
	Name                     string
	CreationTime             time.Time
	State                    string
	PreviousInvocationTime   time.Time
	NextInvocationTime       time.Time
	ErrorReportConfiguration *errorReportConfiguration
	TargetDestination        *targetDestination
	LastRunStatus            string
}

type targetDestination struct {
	TimestreamDestination struct{ DatabaseName, TableName string }
}

func (s *service) listScheduledQueries(_ context.Context, _ *wire.Call, in *listScheduledQueriesIn) (any, error) {
	after, err := readToken(in.NextToken, "scheduled")
	if err != nil {
		return nil, err
	}
	list, more := s.Scheduled.Queries(after, int(valueOr(in.MaxResults, defaultPage)))
	out := listScheduledQueriesOut{ScheduledQueries: []listedScheduledQuery{}}
	for _, q := range list {
		l := listedScheduledQuery{
			Arn: q.ARN, Name: q.Name, CreationTime: q.Created, State: q.State(), PreviousInvocationTime: q.Previous, NextInvocationTime: q.Next,
			ErrorReportConfiguration: reportShape(&q.Report),
		}
		if q.Target != nil {
			l.TargetDestination = &targetDestination{}
			l.TargetDestination.TimestreamDestination.DatabaseName, l.TargetDestination.TimestreamDestination.TableName = q.Target.Database, q.Target.Table
		}
		if q.LastRun != nil {
			l.LastRunStatus = q.LastRun.Status()
		}
		out.ScheduledQueries = append(out.ScheduledQueries, l)
	}
	if more {
		out.NextToken = token("scheduled", list[len(list)-1].Name)
	}
	return out, nil
}

type updateScheduledQueryIn struct {
	ScheduledQueryArn *string `check:"required len=1..2048"`
	State             *string `check:"required enum=ENABLED,DISABLED"`
}

func (s *service) updateScheduledQuery(ctx context.Context, _ *wire.Call, in *updateScheduledQueryIn) (any, error) {
	return nil, s.Scheduled.SetEnabled(ctx, *in.ScheduledQueryArn, *in.State == "ENABLED")
}

func (s *service) deleteScheduledQuery(ctx context.Context, _ *wire.Call, in *scheduledQueryIn) (any, error) {
	return nil, s.Scheduled.Delete(ctx, *in.ScheduledQueryArn)
}

type executeScheduledQueryIn struct {
	ScheduledQueryArn *string    `check:"required len=1..2048"`
	InvocationTime    *time.Time `check:"required"`
	ClientToken       *string    `check:"len=32..128 secret"` // AWS does not use it either
	QueryInsights     *struct {
		Mode *string `check:"required enum=ENABLED_WITH_RATE_CONTROL,DISABLED"`
	}
}

func (s *service) executeScheduledQuery(_ context.Context, _ *wire.Call, in *executeScheduledQueryIn) (any, error) {
	insights := in.QueryInsights != nil && *in.QueryInsights.Mode != "DISABLED"
	return nil, s.Scheduled.Execute(*in.ScheduledQueryArn, *in.InvocationTime, insights)
}
