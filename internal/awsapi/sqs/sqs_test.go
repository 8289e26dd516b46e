package sqs_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/sqs"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/messaging"
)

func newServer(t *testing.T) (*httptest.Server, *awssqs.Client) {
	t.Helper()
	m, err := messaging.Open(messaging.Options{Clock: clock.Manual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	h, err := awsapi.New(awsapi.Options{Services: []*wire.Service{sqs.New(m, "000000000000")}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server, awssqs.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{}, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
}

func TestTheGoSDKUsesQueuesUnchanged(t *testing.T) {
	t.Parallel()
	server, c := newServer(t)
	ctx := t.Context()
	made, err := c.CreateQueue(ctx, &awssqs.CreateQueueInput{
		QueueName: aws.String("q.fifo"), Attributes: map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"}, Tags: map[string]string{"k": "v"},
	})
	if err != nil || *made.QueueUrl != server.URL+"/000000000000/q.fifo" {
		t.Fatalf("create: %+v, %v", made, err)
	}
	found, err := c.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String("q.fifo")})
	if err != nil || *found.QueueUrl != *made.QueueUrl {
		t.Errorf("url: %+v, %v", found, err)
	}
	attributes, err := c.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: made.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn, types.QueueAttributeNameFifoQueue}})
	if err != nil || len(attributes.Attributes) != 2 || attributes.Attributes["QueueArn"] != "arn:aws:sqs:us-east-1:000000000000:q.fifo" {
		t.Errorf("attributes: %+v, %v", attributes, err)
	}
	sent, err := c.SendMessage(ctx, &awssqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("hello"), MessageGroupId: aws.String("g"),
		MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String("x")}, "b": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}}}})
	if err != nil || len(*sent.SequenceNumber) != 20 { // the SDK has checked the MD5 of the body
		t.Fatalf("send: %+v, %v", sent, err)
	}
	batch, err := c.SendMessageBatch(ctx, &awssqs.SendMessageBatchInput{QueueUrl: made.QueueUrl, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("1"), MessageBody: aws.String("two"), MessageGroupId: aws.String("g")}, {Id: aws.String("2"), MessageBody: aws.String("no group")},
	}})
	if err != nil || len(batch.Successful) != 1 || len(batch.Failed) != 1 || *batch.Failed[0].Code != "MissingParameter" {
		t.Errorf("batch: %+v, %v", batch, err)
	}
	got, err := c.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: made.QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil || len(got.Messages) != 2 {
		t.Fatalf("receive: %+v, %v", got, err)
	}
	m := got.Messages[0]
	if *m.Body != "hello" || string(m.MessageAttributes["b"].BinaryValue) != "\x00\x01" || *m.MD5OfMessageAttributes != *sent.MD5OfMessageAttributes ||
		m.Attributes["MessageGroupId"] != "g" || m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["SequenceNumber"] != *sent.SequenceNumber {
		t.Errorf("message: %+v", m)
	}
	if _, err := c.ChangeMessageVisibility(ctx, &awssqs.ChangeMessageVisibilityInput{QueueUrl: made.QueueUrl, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 60}); err != nil {
		t.Error(err)
	}
	deleted, err := c.DeleteMessageBatch(ctx, &awssqs.DeleteMessageBatchInput{QueueUrl: made.QueueUrl, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("x"), ReceiptHandle: m.ReceiptHandle}}})
	if err != nil || len(deleted.Successful) != 1 {
		t.Errorf("delete: %+v, %v", deleted, err)
	}
	if tags, err := c.ListQueueTags(ctx, &awssqs.ListQueueTagsInput{QueueUrl: made.QueueUrl}); err != nil || tags.Tags["k"] != "v" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	if list, err := c.ListQueues(ctx, &awssqs.ListQueuesInput{}); err != nil || len(list.QueueUrls) != 1 {
		t.Errorf("list: %+v, %v", list, err)
	}
	if _, err := c.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: made.QueueUrl}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: made.QueueUrl}); err != nil {
		t.Error(err)
	}
	var gone *types.QueueDoesNotExist
	if _, err := c.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String("q.fifo")}); !errors.As(err, &gone) {
		t.Errorf("a deleted queue: %v", err)
	}
	var api smithy.APIError
	if _, err := c.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"DelaySeconds": "x"}}); !errors.As(err, &api) || api.ErrorCode() != "InvalidParameterValue" {
		t.Errorf("a wrong attribute: %v", err)
	}
}

func TestTheQueryProtocolIsFlattened(t *testing.T) {
	t.Parallel()
	server, _ := newServer(t)
	call := func(path, form, want string) string {
		t.Helper()
		resp, err := http.Post(server.URL+path, "application/x-www-form-urlencoded; charset=utf-8", strings.NewReader(form+"&Version=2012-11-05"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if !strings.Contains(string(body), want) {
			t.Errorf("%s %s: got %s, want %s", path, form, body, want)
		}
		return string(body)
	}
	const at = "/000000000000/q"
	call("/", "Action=CreateQueue&QueueName=q&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=40&Tag.1.Key=k&Tag.1.Value=v",
		`<CreateQueueResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><CreateQueueResult><QueueUrl>`+server.URL+at+`</QueueUrl></CreateQueueResult>`)
	call(at, "Action=GetQueueAttributes&AttributeName.1=VisibilityTimeout", `<GetQueueAttributesResult><Attribute><Name>VisibilityTimeout</Name><Value>40</Value></Attribute></GetQueueAttributesResult>`)
	call(at, "Action=SendMessage&MessageBody=one&MessageAttribute.1.Name=a&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=x", `<MD5OfMessageBody>f97c5d29941bfb1b2fdab0874906ab82</MD5OfMessageBody>`)
	call(at, "Action=SendMessageBatch&SendMessageBatchRequestEntry.1.Id=i&SendMessageBatchRequestEntry.1.MessageBody=two", `<SendMessageBatchResult><SendMessageBatchResultEntry><Id>i</Id><MessageId>`)
	got := call("/", "Action=ReceiveMessage&MaxNumberOfMessages=10&MessageAttributeName.1=a&AttributeName.1=ApproximateReceiveCount&QueueUrl="+url.QueryEscape(server.URL+at), `<ReceiveMessageResult><Message><MessageId>`)
	for _, want := range []string{`<Body>two</Body>`, `<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute>`, `<MessageAttribute><Name>a</Name><Value><StringValue>x</StringValue><DataType>String</DataType></Value></MessageAttribute>`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	call(at, "Action=ListQueueTags", `<ListQueueTagsResult><Tag><Key>k</Key><Value>v</Value></Tag></ListQueueTagsResult>`)
	call("/", "Action=ListQueues", `<ListQueuesResult><QueueUrl>`)
	call("/", "Action=GetQueueUrl&QueueName=none", `<Error><Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>`)
	call(at, "Action=DeleteQueue", `<DeleteQueueResponse`)
}
