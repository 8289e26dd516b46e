package sns_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/sns"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/messaging"
)

func TestTheGoSDKUsesTopicsUnchanged(t *testing.T) {
	t.Parallel()
	url := ""
	m, err := messaging.Open(messaging.Options{URL: func() string { return url }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	h, err := awsapi.New(awsapi.Options{Services: []*wire.Service{sns.New(m)}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	url = server.URL
	c := awssns.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{}, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	ctx := t.Context()
	topic, err := c.CreateTopic(ctx, &awssns.CreateTopicInput{Name: aws.String("t"), Attributes: map[string]string{"DisplayName": "d"}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	if err != nil || *topic.TopicArn != "arn:aws:sns:us-east-1:000000000000:t" {
		t.Fatalf("create: %+v, %v", topic, err)
	}
	if again, err := c.CreateTopic(ctx, &awssns.CreateTopicInput{Name: aws.String("t")}); err != nil || *again.TopicArn != *topic.TopicArn {
		t.Errorf("create again: %+v, %v", again, err)
	}

	q, err := m.CreateQueue("q", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: &q.ARN})
	if err != nil || !strings.HasPrefix(*sub.SubscriptionArn, *topic.TopicArn+":") {
		t.Fatalf("subscribe: %+v, %v", sub, err)
	}
	posted := make(chan map[string]string, 10)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m map[string]string
		json.NewDecoder(r.Body).Decode(&m)
		posted <- m
	}))
	t.Cleanup(listener.Close)
	pending, err := c.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("http"), Endpoint: &listener.URL})
	if err != nil || *pending.SubscriptionArn != "pending confirmation" {
		t.Errorf("subscribe: %+v, %v", pending, err)
	}
	if resp, err := http.Get((<-posted)["SubscribeURL"]); err != nil || resp.StatusCode != 200 {
		t.Errorf("visit the SubscribeURL: %+v, %v", resp, err)
	}
	attributes, err := c.GetTopicAttributes(ctx, &awssns.GetTopicAttributesInput{TopicArn: topic.TopicArn})
	if err != nil || attributes.Attributes["SubscriptionsConfirmed"] != "2" || attributes.Attributes["DisplayName"] != "d" || attributes.Attributes["Owner"] != "000000000000" {
		t.Errorf("attributes: %+v, %v", attributes, err)
	}
	sent, err := c.Publish(ctx, &awssns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("hello"), MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("x")}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-posted; got["MessageId"] != *sent.MessageId || got["Message"] != "hello" {
		t.Errorf("posted %+v", got)
	}
	list, err := m.Receive(ctx, "q", messaging.ReceiveOptions{Max: 1})
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Body, `"MessageAttributes":{"a":{"Type":"String","Value":"x"}}`) {
		t.Errorf("queue: %+v, %v", list, err)
	}
	if _, err := c.SetSubscriptionAttributes(ctx, &awssns.SetSubscriptionAttributesInput{SubscriptionArn: sub.SubscriptionArn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true")}); err != nil {
		t.Error(err)
	}
	if got, err := c.GetSubscriptionAttributes(ctx, &awssns.GetSubscriptionAttributesInput{SubscriptionArn: sub.SubscriptionArn}); err != nil || got.Attributes["RawMessageDelivery"] != "true" {
		t.Errorf("subscription: %+v, %v", got, err)
	}
	batch, err := c.PublishBatch(ctx, &awssns.PublishBatchInput{TopicArn: topic.TopicArn, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{{Id: aws.String("1"), Message: aws.String("m")}, {Id: aws.String("2"), Message: aws.String("")}}})
	if err != nil || len(batch.Successful) != 1 || len(batch.Failed) != 1 {
		t.Errorf("batch: %+v, %v", batch, err)
	}
	if list, err := c.ListSubscriptionsByTopic(ctx, &awssns.ListSubscriptionsByTopicInput{TopicArn: topic.TopicArn}); err != nil || len(list.Subscriptions) != 2 {
		t.Errorf("subscriptions: %+v, %v", list, err)
	}
	if tags, err := c.ListTagsForResource(ctx, &awssns.ListTagsForResourceInput{ResourceArn: topic.TopicArn}); err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "v" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	if list, err := c.ListTopics(ctx, &awssns.ListTopicsInput{}); err != nil || len(list.Topics) != 1 {
		t.Errorf("topics: %+v, %v", list, err)
	}

	var invalid *types.InvalidParameterException
	if _, err := c.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sms"), Endpoint: aws.String("+1")}); !errors.As(err, &invalid) {
		t.Errorf("a protocol that does not exist here: %v", err)
	}
	if _, err := c.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: &q.ARN, Attributes: map[string]string{"FilterPolicy": "{}"}}); !errors.As(err, &invalid) {
		t.Errorf("a filter policy: %v", err)
	}
	if _, err := c.Unsubscribe(ctx, &awssns.UnsubscribeInput{SubscriptionArn: sub.SubscriptionArn}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteTopic(ctx, &awssns.DeleteTopicInput{TopicArn: topic.TopicArn}); err != nil {
		t.Error(err)
	}
	var missing *types.NotFoundException
	if _, err := c.Publish(ctx, &awssns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("m")}); !errors.As(err, &missing) {
		t.Errorf("publish on a deleted topic: %v", err)
	}
}
