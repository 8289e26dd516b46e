package weirtest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"

	"github.com/weir-db/weir/weirtest"
)

func TestScheduledQueriesFollowTheClockAndSurviveARestart(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("home", "rooms", 48*hour, 365*day)
	s.CreateTable("home", "hourly", 48*hour, 365*day)
	config := aws.Config{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider("any", "keys", "")}
	queries, topics, queues := timestreamquery.NewFromConfig(config), sns.NewFromConfig(config), sqs.NewFromConfig(config)
	ctx := t.Context()
	write := func(degrees float64) {
		t.Helper()
		if err := s.WriteRecords("home", "rooms", weirtest.Record{Dimensions: map[string]string{"room": "attic"}, Values: map[string]any{"temperature": degrees, "humidity": 40.0}}); err != nil {
			t.Fatal(err)
		}
	}
	write(20)
	topic, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("runs.fifo"), Attributes: map[string]string{"FifoTopic": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("runs.fifo"), Attributes: map[string]string{"FifoQueue": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:runs.fifo")}); err != nil {
		t.Fatal(err)
	}
	made, err := queries.CreateScheduledQuery(ctx, &timestreamquery.CreateScheduledQueryInput{
		Name: aws.String("hourly"), ScheduleConfiguration: &types.ScheduleConfiguration{ScheduleExpression: aws.String("cron(0 * * * ? *)")},
		QueryString: aws.String(`SELECT room, BIN(time, 1h) AS hour, MAX(temperature) AS hottest FROM home.rooms
			WHERE time >= @scheduled_runtime - 1h AND time < @scheduled_runtime GROUP BY room, BIN(time, 1h)`),
		NotificationConfiguration:      &types.NotificationConfiguration{SnsConfiguration: &types.SnsConfiguration{TopicArn: topic.TopicArn}},
		ErrorReportConfiguration:       &types.ErrorReportConfiguration{S3Configuration: &types.S3Configuration{BucketName: aws.String("reports")}},
		ScheduledQueryExecutionRoleArn: aws.String("arn:aws:iam::000000000000:role/any"),
		TargetConfiguration: &types.TargetConfiguration{TimestreamConfiguration: &types.TimestreamConfiguration{
			DatabaseName: aws.String("home"), TableName: aws.String("hourly"), TimeColumn: aws.String("hour"),
			DimensionMappings:    []types.DimensionMapping{{Name: aws.String("room"), DimensionValueType: types.DimensionValueTypeVarchar}},
			MixedMeasureMappings: []types.MixedMeasureMapping{{SourceColumn: aws.String("hottest"), MeasureValueType: types.MeasureValueTypeDouble}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Advance(hour)
	s.Settle()
	s.Restart()
	write(25)
	s.Advance(23 * hour)
	s.Settle()
	got := s.Query("SELECT room, time, measure_name, measure_value::double FROM home.hourly ORDER BY time")
	want := [][]string{{"attic", "2031-02-03 12:00:00.000000000", "hottest", "20.0"}, {"attic", "2031-02-03 13:00:00.000000000", "hottest", "25.0"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	q, err := queries.DescribeScheduledQuery(ctx, &timestreamquery.DescribeScheduledQueryInput{ScheduledQueryArn: made.Arn})
	if err != nil || !q.ScheduledQuery.PreviousInvocationTime.Equal(noon.Add(day)) || !q.ScheduledQuery.NextInvocationTime.Equal(noon.Add(25*time.Hour)) {
		t.Errorf("described %+v, %v", q, err)
	}
	// The queue holds what was told before and after the restart, in order.
	var kinds []string
	for {
		out, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			_, rest, _ := strings.Cut(*m.Body, `{\"type\":\"`)
			kind, _, _ := strings.Cut(rest, `\"`)
			kinds = append(kinds, kind)
			if _, err := queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(kinds) != 26 || kinds[0] != "SCHEDULED_QUERY_CREATING" || kinds[1] != "SCHEDULED_QUERY_CREATED" || kinds[2] != "AUTO_TRIGGER_SUCCESS" || kinds[25] != "AUTO_TRIGGER_SUCCESS" {
		t.Errorf("%d notifications: %v", len(kinds), kinds)
	}
}
