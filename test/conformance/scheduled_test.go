package conformance

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"

	"github.com/weir-db/weir/weirtest"
)

const (
	noQuery    = "The scheduled query " + noneARN + " does not exist."
	hourlySQL  = "SELECT room, bin(time, 1h) AS hour, max(temperature) AS hottest FROM home.rooms WHERE time < @scheduled_runtime GROUP BY room, bin(time, 1h)"
	hourlyGoal = `{"TimestreamConfiguration":{"DatabaseName":"home","TableName":"hourly","TimeColumn":"hour","DimensionMappings":[{"Name":"room","DimensionValueType":"VARCHAR"}],
		"MultiMeasureMappings":{"TargetMultiMeasureName":"m","MultiMeasureAttributeMappings":[{"SourceColumn":"hottest","MeasureValueType":"DOUBLE"}]}}}`
)

// definition is an input of CreateScheduledQuery in the API's JSON, with a member replaced.
func definition(name, member, value string) string {
	members := map[string]string{
		"Name":                           quoted(name),
		"QueryString":                    quoted(hourlySQL),
		"ScheduleConfiguration":          `{"ScheduleExpression":"rate(1 hour)"}`,
		"NotificationConfiguration":      `{"SnsConfiguration":{"TopicArn":"arn:aws:sns:us-east-1:000000000000:runs"}}`,
		"ErrorReportConfiguration":       `{"S3Configuration":{"BucketName":"reports","ObjectKeyPrefix":"errors"}}`,
		"ScheduledQueryExecutionRoleArn": `"arn:aws:iam::000000000000:role/any"`,
		"TargetConfiguration":            hourlyGoal,
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

// derivable makes the tables home.rooms, with a row, and home.hourly.
func (s *suite) derivable() {
	s.T.Helper()
	s.CreateTable("home", "rooms", 48*hour, 365*day)
	s.CreateTable("home", "hourly", 48*hour, 365*day)
	ok(s.T, s.WriteRecords("home", "rooms", weirtest.Record{Time: noon.Add(-hour), Dimensions: map[string]string{"room": "attic"}, Values: map[string]any{"temperature": 20.5}}))
}

// scheduled makes a scheduled query over tables of its own and returns its ARN; more are
// members with a comma behind.
func (s *suite) scheduled(name, more string) string {
	s.T.Helper()
	s.derivable()
	return s.must("CreateScheduledQuery", strings.Replace(definition(name, "", ""), "{", "{"+more, 1))["Arn"].(string)
}

func createScheduledQuery(s *suite) {
	s.derivable()
	input := func(name string) *timestreamquery.CreateScheduledQueryInput {
		return &timestreamquery.CreateScheduledQueryInput{
			Name: &name, QueryString: aws.String(hourlySQL), ScheduleConfiguration: &types.ScheduleConfiguration{ScheduleExpression: aws.String("cron(0 * * * ? *)")},
			NotificationConfiguration:      &types.NotificationConfiguration{SnsConfiguration: &types.SnsConfiguration{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:runs")}},
			ErrorReportConfiguration:       &types.ErrorReportConfiguration{S3Configuration: &types.S3Configuration{BucketName: aws.String("reports")}},
			ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/any"), Tags: []types.Tag{queryTag("a=b")}, KmsKeyId: aws.String("alias/mine"),
			TargetConfiguration: &types.TargetConfiguration{TimestreamConfiguration: &types.TimestreamConfiguration{
				DatabaseName: aws.String("home"), TableName: aws.String("hourly"), TimeColumn: aws.String("hour"),
				DimensionMappings:    []types.DimensionMapping{{Name: aws.String("room"), DimensionValueType: types.DimensionValueTypeVarchar}},
				MixedMeasureMappings: []types.MixedMeasureMapping{{SourceColumn: aws.String("hottest"), TargetMeasureName: aws.String("peak"), MeasureValueType: types.MeasureValueTypeDouble}},
			}},
		}
	}
	s.shows(success, "an ARN with 16 hex digits behind the name; it is enabled, and runs on its schedule", func(t *testing.T) {
		out, err := s.query.CreateScheduledQuery(t.Context(), input("hourly"))
		ok(t, err)
		if !regexp.MustCompile(`^arn:aws:timestream:us-east-1:000000000000:scheduled-query/hourly-[0-9a-f]{16}$`).MatchString(*out.Arn) {
			t.Errorf("ARN %s", *out.Arn)
		}
		s.Set(noon.Add(hour))
		s.Settle()
		same(t, "derived", s.Query("SELECT room, time, measure_name, measure_value::double FROM home.hourly"), [][]string{{"attic", "2031-02-03 11:00:00.000000000", "peak", "20.5"}})
		s.Set(noon)
	})
	s.shows(success, "without a target, which computes and drops", func(t *testing.T) {
		s.must("CreateScheduledQuery", definition("dropped", "TargetConfiguration", ""))
	})
	s.shows(idempotency, "a ClientToken with the same definition gives the same ARN", func(t *testing.T) {
		in := input("once")
		in.ClientToken = aws.String(long(32))
		first, err := s.query.CreateScheduledQuery(t.Context(), in)
		ok(t, err)
		second, err := s.query.CreateScheduledQuery(t.Context(), in)
		ok(t, err)
		same(t, "ARN", *second.Arn, *first.Arn)
	})
	s.refuses("Conflict", "a ClientToken of another definition", strings.Replace(definition("other", "", ""), "{", `{"ClientToken":"`+long(32)+`",`, 1), "The ClientToken was used before with other parameters.")
	s.refuses("Conflict", "a name that exists", definition("hourly", "", ""), "A scheduled query with the name hourly already exists.")
	for _, member := range []string{"Name", "QueryString", "ScheduleConfiguration", "NotificationConfiguration", "ErrorReportConfiguration", "ScheduledQueryExecutionRoleArn"} {
		s.refuses("Validation", "no "+member, definition("x1", member, ""), missing(strings.ToLower(member[:1])+member[1:]))
	}
	for _, c := range []struct{ promise, member, value, text string }{
		{"a name of one character", "Name", `"x"`, constraint("x", "name", prefixPattern)},
		{"a name of 65 characters", "Name", quoted(long(65)), constraint(long(65), "name", "Member must have length less than or equal to 64")},
		{"a topic without its ARN", "NotificationConfiguration", `{"SnsConfiguration":{}}`, missing("notificationConfiguration.snsConfiguration.topicArn")},
		{"a report without its bucket", "ErrorReportConfiguration", `{"S3Configuration":{}}`, missing("errorReportConfiguration.s3Configuration.bucketName")},
		{"a short ClientToken", "ClientToken", `"short"`, hidden("clientToken", "Member must have length greater than or equal to 32")},
		{"no schedule at all", "ScheduleConfiguration", `{"ScheduleExpression":"hourly"}`, "The schedule expression 'hourly' is not valid: it must be rate(value unit) or cron(minutes hours day-of-month month day-of-week year)."},
		{"rate with the wrong number", "ScheduleConfiguration", `{"ScheduleExpression":"rate(2 hour)"}`, "The schedule expression 'rate(2 hour)' is not valid: the unit of rate must be singular for 1 and plural for more."},
		{"rate faster than a minute", "ScheduleConfiguration", `{"ScheduleExpression":"rate(30 seconds)"}`, "The schedule expression 'rate(30 seconds)' is not valid: the unit of rate must be minute, minutes, hour, hours, day or days."},
		{"cron with five fields", "ScheduleConfiguration", `{"ScheduleExpression":"cron(0 * * * ?)"}`, "The schedule expression 'cron(0 * * * ?)' is not valid: cron needs six fields: minutes hours day-of-month month day-of-week year."},
		{"cron with both days", "ScheduleConfiguration", `{"ScheduleExpression":"cron(0 * 1 * 1 *)"}`, "The schedule expression 'cron(0 * 1 * 1 *)' is not valid: one of day-of-month and day-of-week, and only one, must be ?."},
		{"SQL with a column that does not exist, by the text of Query", "QueryString", `"SELECT nope FROM home.rooms"`, "line 1:8: Column 'nope' does not exist"},
		{"SQL with a table that does not exist", "QueryString", `"SELECT * FROM home.none"`, "Requested table 'none' not found for identifier 'home.none' at line 1:15"},
		{"another parameter", "QueryString", `"SELECT @x AS x, room, time AS hour FROM home.rooms"`, "The parameter @x is not supported in scheduled queries; only @scheduled_runtime is."},
		{"a target that does not exist", "TargetConfiguration", strings.Replace(hourlyGoal, `"hourly"`, `"none"`, 1), "The target of the scheduled query is not valid: The table none does not exist."},
		{"a time column that is none", "TargetConfiguration", strings.Replace(hourlyGoal, `"hour"`, `"room"`, 1), "The column 'room', which the target configuration uses as the time column, has the type varchar, not TIMESTAMP."},
		{"a column that the result does not have", "TargetConfiguration", strings.Replace(hourlyGoal, `"hottest"`, `"nope"`, 1), "The column 'nope', which the target configuration uses as an attribute, is not a column of the query's result."},
		{"a column of another type", "TargetConfiguration", strings.Replace(hourlyGoal, `"DOUBLE"`, `"BIGINT"`, 1), "The column 'hottest', which the target configuration uses as an attribute, has the type double, not BIGINT."},
		{"an unknown type", "TargetConfiguration", strings.Replace(hourlyGoal, `"DOUBLE"`, `"FLOAT"`, 1),
			constraint("FLOAT", "targetConfiguration.timestreamConfiguration.multiMeasureMappings.multiMeasureAttributeMappings.1.member.measureValueType", "Member must satisfy enum value set: [BIGINT, BOOLEAN, DOUBLE, VARCHAR, TIMESTAMP]")},
		{"multi and mixed measures", "TargetConfiguration", strings.Replace(hourlyGoal, `"MultiMeasureMappings"`, `"MixedMeasureMappings":[{"SourceColumn":"hottest","MeasureValueType":"DOUBLE"}],"MultiMeasureMappings"`, 1),
			"The target configuration must have exactly one of MultiMeasureMappings and MixedMeasureMappings."},
	} {
		s.refuses("Validation", c.promise, definition("x1", c.member, c.value), c.text)
	}
	s.must("CreateTable", `{"DatabaseName":"home","TableName":"keyed","Schema":{"CompositePartitionKey":[{"Type":"DIMENSION","Name":"floor","EnforcementInRecord":"REQUIRED"}]}}`)
	s.refuses("Validation", "a target whose required partition key the mapping leaves out", definition("x1", "TargetConfiguration", strings.Replace(hourlyGoal, `"hourly"`, `"keyed"`, 1)), "The target table requires the dimension floor, which the target configuration does not map.")
}

func describeScheduledQuery(s *suite) {
	arn := s.scheduled("hourly", `"KmsKeyId":"alias/mine",`)
	describe := func(t *testing.T) *types.ScheduledQueryDescription {
		out, err := s.query.DescribeScheduledQuery(t.Context(), &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: &arn})
		ok(t, err)
		return out.ScheduledQuery
	}
	s.shows(success, "the definition as it was given, the state, the next invocation", func(t *testing.T) {
		q := describe(t)
		same(t, "query", []any{*q.Arn, *q.Name, q.State, *q.QueryString, *q.ScheduleConfiguration.ScheduleExpression, *q.KmsKeyId, *q.CreationTime, *q.NextInvocationTime, q.PreviousInvocationTime, q.LastRunSummary},
			[]any{arn, "hourly", types.ScheduledQueryStateEnabled, hourlySQL, "rate(1 hour)", "alias/mine", noon, noon.Add(hour), (*time.Time)(nil), (*types.ScheduledQueryRunSummary)(nil)})
		same(t, "target", *q.TargetConfiguration.TimestreamConfiguration.MultiMeasureMappings.MultiMeasureAttributeMappings[0].SourceColumn, "hottest")
		same(t, "report", []any{*q.ErrorReportConfiguration.S3Configuration.BucketName, *q.ErrorReportConfiguration.S3Configuration.ObjectKeyPrefix}, []any{"reports", "errors"})
	})
	s.shows(success, "after a run: its times, its status, what it read and wrote", func(t *testing.T) {
		s.Advance(hour)
		s.Settle()
		q := describe(t)
		run := q.LastRunSummary
		same(t, "run", []any{run.RunStatus, *run.InvocationTime, run.ExecutionStats.RecordsIngested, run.ExecutionStats.QueryResultRows, run.ExecutionStats.DataWrites, *q.PreviousInvocationTime, *q.NextInvocationTime},
			[]any{types.ScheduledQueryRunStatusAutoTriggerSuccess, noon.Add(hour), int64(1), int64(1), int64(1024), noon.Add(hour), noon.Add(2 * hour)})
	})
	s.shows(success, "the last five failed runs, each with the place of its report", func(t *testing.T) {
		_, err := s.buckets().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("reports")})
		ok(t, err)
		s.must("UpdateTable", `{"DatabaseName":"home","TableName":"hourly","MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":false},"RetentionProperties":{"MemoryStoreRetentionPeriodInHours":1,"MagneticStoreRetentionPeriodInDays":1}}`)
		for range 7 {
			s.Advance(hour)
			s.Settle()
		}
		q := describe(t)
		same(t, "failed runs", len(q.RecentlyFailedRuns), 5)
		run := q.RecentlyFailedRuns[0]
		same(t, "run", []any{run.RunStatus, *run.FailureReason}, []any{types.ScheduledQueryRunStatusAutoTriggerFailure, "Schedule encountered some errors and is incomplete. Please take a look at error report for further details"})
		at := run.ErrorReportLocation.S3ReportLocation
		object, err := s.buckets().GetObject(t.Context(), &s3.GetObjectInput{Bucket: at.BucketName, Key: at.ObjectKey})
		ok(t, err)
		report, err := io.ReadAll(object.Body)
		ok(t, err)
		if !strings.Contains(string(report), `"reason":"The record timestamp is outside the time range [`) || !strings.HasPrefix(*at.ObjectKey, "errors/hourly-") {
			t.Errorf("report %s: %s", *at.ObjectKey, report)
		}
	})
	s.refuses("Validation", "no ARN", `{}`, missing("scheduledQueryArn"))
	s.refuses("ResourceNotFound", "no such query", `{"ScheduledQueryArn":"`+noneARN+`"}`, noQuery)
	s.refuses("ResourceNotFound", "its name instead of its ARN", `{"ScheduledQueryArn":"hourly"}`, "The scheduled query hourly does not exist.")
}

func listScheduledQueries(s *suite) {
	s.shows(success, "without any", func(t *testing.T) {
		out, err := s.query.ListScheduledQueries(t.Context(), &timestreamquery.ListScheduledQueriesInput{})
		ok(t, err)
		same(t, "queries", len(out.ScheduledQueries), 0)
	})
	s.derivable()
	for i := range 23 {
		s.must("CreateScheduledQuery", definition(fmt.Sprintf("q%02d", 22-i), "", ""))
	}
	list := func(t *testing.T, size *int32) (all []types.ScheduledQuery, sizes []int) {
		pages := timestreamquery.NewListScheduledQueriesPaginator(s.query, &timestreamquery.ListScheduledQueriesInput{MaxResults: size})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			ok(t, err)
			all, sizes = append(all, out.ScheduledQueries...), append(sizes, len(out.ScheduledQueries))
		}
		return all, sizes
	}
	s.shows(success, "in the order of names, each with its state, times, target, report and last status", func(t *testing.T) {
		s.Advance(hour)
		s.Settle()
		all, _ := list(t, nil)
		q := all[0]
		same(t, "first", []any{len(all), *q.Name, q.State, *q.CreationTime, *q.NextInvocationTime, *q.PreviousInvocationTime, *q.TargetDestination.TimestreamDestination.TableName, *q.ErrorReportConfiguration.S3Configuration.BucketName, q.LastRunStatus},
			[]any{23, "q00", types.ScheduledQueryStateEnabled, noon, noon.Add(2 * hour), noon.Add(hour), "hourly", "reports", types.ScheduledQueryRunStatusAutoTriggerSuccess})
	})
	s.shows(paging, "20 by default; MaxResults", func(t *testing.T) {
		_, sizes := list(t, nil)
		same(t, "sizes", sizes, []int{20, 3})
		_, sizes = list(t, aws.Int32(10))
		same(t, "sizes", sizes, []int{10, 10, 3})
	})
	s.refuses("Validation", "MaxResults 0", `{"MaxResults":0}`, constraint("0", "maxResults", "Member must have value greater than or equal to 1"))
	s.refuses("Validation", "MaxResults 1,001", `{"MaxResults":1001}`, constraint("1001", "maxResults", "Member must have value less than or equal to 1000"))
	s.refuses("Validation", "a token of nobody", `{"NextToken":"x"}`, badPageToken)
}

func updateScheduledQuery(s *suite) {
	arn := s.scheduled("hourly", "")
	state := func(t *testing.T, to types.ScheduledQueryState) {
		_, err := s.query.UpdateScheduledQuery(t.Context(), &timestreamquery.UpdateScheduledQueryInput{ScheduledQueryArn: &arn, State: to})
		ok(t, err)
		out, err := s.query.DescribeScheduledQuery(t.Context(), &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: &arn})
		ok(t, err)
		same(t, "state", out.ScheduledQuery.State, to)
	}
	s.shows(success, "a disabled query does not run; enabled again it goes on with the next invocation", func(t *testing.T) {
		state(t, types.ScheduledQueryStateDisabled)
		s.Advance(5 * hour)
		s.Settle()
		same(t, "derived", s.Query("SELECT count(*) FROM home.hourly"), [][]string{{"0"}})
		state(t, types.ScheduledQueryStateEnabled)
		s.Advance(hour)
		s.Settle()
		same(t, "derived", s.Query("SELECT count(*) FROM home.hourly"), [][]string{{"1"}})
	})
	s.shows(idempotency, "the same state again", func(t *testing.T) {
		state(t, types.ScheduledQueryStateEnabled)
		state(t, types.ScheduledQueryStateEnabled)
	})
	s.refuses("Validation", "no state", `{"ScheduledQueryArn":"`+arn+`"}`, missing("state"))
	s.refuses("Validation", "an unknown state", `{"ScheduledQueryArn":"`+arn+`","State":"PAUSED"}`, constraint("PAUSED", "state", "Member must satisfy enum value set: [ENABLED, DISABLED]"))
	s.refuses("ResourceNotFound", "no such query", `{"ScheduledQueryArn":"`+noneARN+`","State":"ENABLED"}`, noQuery)
}

func deleteScheduledQuery(s *suite) {
	arn := s.scheduled("hourly", "")
	s.shows(success, "it is gone at once, and its name is free", func(t *testing.T) {
		_, err := s.query.DeleteScheduledQuery(t.Context(), &timestreamquery.DeleteScheduledQueryInput{ScheduledQueryArn: &arn})
		ok(t, err)
		_, err = s.query.DescribeScheduledQuery(t.Context(), &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: &arn})
		same(t, "described", code(err), "ResourceNotFoundException")
		s.must("CreateScheduledQuery", definition("hourly", "", ""))
	})
	s.refuses("Validation", "no ARN", `{}`, missing("scheduledQueryArn"))
	s.refuses("ResourceNotFound", "a second time", `{"ScheduledQueryArn":"`+arn+`"}`, "The scheduled query "+arn+" does not exist.")
}

func executeScheduledQuery(s *suite) {
	arn := s.scheduled("hourly", "")
	s.shows(success, "a run as if it were invoked at that time, also of a disabled query; the schedule does not move", func(t *testing.T) {
		s.must("UpdateScheduledQuery", `{"ScheduledQueryArn":"`+arn+`","State":"DISABLED"}`)
		_, err := s.query.ExecuteScheduledQuery(t.Context(), &timestreamquery.ExecuteScheduledQueryInput{ScheduledQueryArn: &arn, InvocationTime: aws.Time(noon.Add(-30 * time.Minute)),
			QueryInsights: &types.ScheduledQueryInsights{Mode: types.ScheduledQueryInsightsModeEnabledWithRateControl}})
		ok(t, err)
		s.Settle()
		out, err := s.query.DescribeScheduledQuery(t.Context(), &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: &arn})
		ok(t, err)
		run := out.ScheduledQuery.LastRunSummary
		same(t, "run", []any{run.RunStatus, *run.InvocationTime, *run.TriggerTime, run.ExecutionStats.RecordsIngested, *run.QueryInsightsResponse.OutputRows, out.ScheduledQuery.PreviousInvocationTime},
			[]any{types.ScheduledQueryRunStatusManualTriggerSuccess, noon.Add(-30 * time.Minute), noon, int64(1), int64(1), (*time.Time)(nil)})
	})
	s.refuses("Validation", "no time", `{"ScheduledQueryArn":"`+arn+`"}`, missing("invocationTime"))
	s.refuses("Validation", "no ARN", `{"InvocationTime":1}`, missing("scheduledQueryArn"))
	s.refuses("Validation", "insights of an unknown mode", `{"ScheduledQueryArn":"`+arn+`","InvocationTime":1,"QueryInsights":{"Mode":"ON"}}`, constraint("ON", "queryInsights.mode", "Member must satisfy enum value set: [ENABLED_WITH_RATE_CONTROL, DISABLED]"))
	s.refuses(serialization, "a time that is a text of no time", `{"ScheduledQueryArn":"`+arn+`","InvocationTime":"soon"}`, "InvocationTime must be a timestamp, not a string.")
	s.refuses("ResourceNotFound", "no such query", `{"ScheduledQueryArn":"`+noneARN+`","InvocationTime":1}`, noQuery)
}
