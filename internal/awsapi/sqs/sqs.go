// Package sqs is the door of queues: the SQS API (2012-11-05) in AWS JSON 1.0, which
// today's SDKs speak, and in the Query protocol of older ones. What a queue does is in
// package messaging. Nothing here keeps state.
package sqs

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/messaging"
)

var kinds = map[fault.Kind]wire.Shape{
	fault.Internal:    {Name: "InternalError", Status: 500, Receiver: true},
	fault.Invalid:     {Name: "InvalidParameterValue", Status: 400},
	fault.Unavailable: {Name: "ServiceUnavailable", Status: 503, Receiver: true},
	fault.Denied:      {Name: "AccessDenied", Status: 403},
	fault.Throttled:   {Name: "RequestThrottled", Status: 403},
}

// codes have the names of the JSON protocol, and those of the Query protocol, which JSON
// answers carry in a header.
var codes = map[messaging.Code]wire.Shape{
	messaging.NoQueue:          {Name: "QueueDoesNotExist", Status: 400, QueryCode: "AWS.SimpleQueueService.NonExistentQueue"},
	messaging.QueueExists:      {Name: "QueueNameExists", Status: 400, QueryCode: "QueueAlreadyExists"},
	messaging.InvalidAttribute: {Name: "InvalidAttributeName", Status: 400},
	messaging.InvalidValue:     {Name: "InvalidParameterValue", Status: 400},
	messaging.InvalidHandle:    {Name: "ReceiptHandleIsInvalid", Status: 404},
	messaging.NotInFlight:      {Name: "MessageNotInflight", Status: 400, QueryCode: "AWS.SimpleQueueService.MessageNotInflight"},
	messaging.MissingParameter: {Name: "MissingParameter", Status: 400},
	messaging.OverLimit:        {Name: "OverLimit", Status: 403},
}

var (
	emptyBatch  = wire.Shape{Name: "EmptyBatchRequest", Status: 400, QueryCode: "AWS.SimpleQueueService.EmptyBatchRequest"}
	tooMany     = wire.Shape{Name: "TooManyEntriesInBatchRequest", Status: 400, QueryCode: "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"}
	notDistinct = wire.Shape{Name: "BatchEntryIdsNotDistinct", Status: 400, QueryCode: "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"}
)

// maxBatch is how many entries and messages one call handles.
const maxBatch = 10

type door struct {
	m       *messaging.Service
	account string
}

// New returns the service; accountID is in the URLs of queues.
func New(m *messaging.Service, accountID string) *wire.Service {
	d := &door{m, accountID}
	return &wire.Service{
		Name: "sqs", TargetPrefix: "AmazonSQS", Version: "2012-11-05", XMLNamespace: "http://queue.amazonaws.com/doc/2012-11-05/",
		ErrorNamespace: "com.amazonaws.sqs", QueryCompatible: true, Errors: kinds,
		Operations: map[string]wire.Handler{
			"CreateQueue":                  op(d.createQueue),
			"GetQueueUrl":                  op(d.getQueueURL),
			"ListQueues":                   op(d.listQueues),
			"DeleteQueue":                  op(d.deleteQueue),
			"PurgeQueue":                   op(d.purgeQueue),
			"GetQueueAttributes":           op(d.getAttributes),
			"SetQueueAttributes":           op(d.setAttributes),
			"SendMessage":                  op(d.send),
			"SendMessageBatch":             op(d.sendBatch),
			"ReceiveMessage":               op(d.receive),
			"DeleteMessage":                op(d.deleteMessage),
			"DeleteMessageBatch":           op(d.deleteBatch),
			"ChangeMessageVisibility":      op(d.changeVisibility),
			"ChangeMessageVisibilityBatch": op(d.changeBatch),
			"TagQueue":                     op(d.tagQueue),
			"UntagQueue":                   op(d.untagQueue),
			"ListQueueTags":                op(d.listTags),
		},
	}
}

// op makes a handler of f and gives the errors of messaging their codes.
func op[In any](f func(ctx context.Context, c *wire.Call, in *In) (any, error)) wire.Handler {
	return wire.Typed(func(ctx context.Context, c *wire.Call, in *In) (any, error) {
		out, err := f(ctx, c, in)
		return out, exception(err)
	})
}

func exception(err error) error {
	var refused *messaging.Error
	if !errors.As(err, &refused) {
		return err
	}
	shape, ok := codes[refused.Code]
	if !ok {
		shape = kinds[fault.Invalid]
	}
	return wire.Newf(shape, "%s", refused.Message)
}

func missing(parameter string) error {
	return wire.Newf(codes[messaging.MissingParameter], "The request must contain the parameter %s.", parameter)
}

func invalid(parameter, value, reason string) error {
	return wire.Newf(kinds[fault.Invalid], "Value %s for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

// nameOf returns the queue's name in a URL, of whatever host and account. Query requests of
// some SDKs go to the queue's URL and name it nowhere else.
func nameOf(c *wire.Call, url string) string {
	if url == "" && c.Protocol == wire.Query {
		url = c.HTTP.URL.Path
	}
	return url[strings.LastIndexByte(url, '/')+1:]
}

func (d *door) urlOf(c *wire.Call, name string) string {
	scheme := "http://"
	if c.Secure {
		scheme = "https://"
	}
	return scheme + c.HTTP.Host + "/" + d.account + "/" + name
}

type createQueueIn struct {
	QueueName  string
	Attributes map[string]string `flat:"Attribute"`
	Tags       map[string]string `wire:"tags" flat:"Tag,Key"`
}

type queueURL struct {
	QueueURL string `wire:"QueueUrl"`
}

func (d *door) createQueue(_ context.Context, c *wire.Call, in *createQueueIn) (any, error) {
	if in.QueueName == "" {
		return nil, missing("QueueName")
	}
	q, err := d.m.CreateQueue(in.QueueName, in.Attributes, in.Tags)
	if err != nil {
		return nil, err
	}
	return queueURL{d.urlOf(c, q.Name)}, nil
}

type getQueueURLIn struct {
	QueueName              string
	QueueOwnerAWSAccountID string `wire:"QueueOwnerAWSAccountId"`
}

func (d *door) getQueueURL(_ context.Context, c *wire.Call, in *getQueueURLIn) (any, error) {
	q, err := d.m.Queue(in.QueueName)
	if err != nil {
		return nil, err
	}
	return queueURL{d.urlOf(c, q.Name)}, nil
}

type listQueuesIn struct {
	QueueNamePrefix string
	NextToken       string
	MaxResults      *int
}

type listQueuesOut struct {
	QueueURLs []string `wire:"QueueUrls" flat:"QueueUrl"`
	NextToken string
}

func (d *door) listQueues(_ context.Context, c *wire.Call, in *listQueuesIn) (any, error) {
	size := 1000
	if in.MaxResults != nil {
		if size = *in.MaxResults; size < 1 || size > 1000 {
			return nil, invalid("MaxResults", strconv.Itoa(size), "Must be an integer from 1 to 1000.")
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return nil, invalid("NextToken", in.NextToken, "It was not given out by this service.")
	}
	var out listQueuesOut
	for _, q := range d.m.Queues(in.QueueNamePrefix) {
		switch {
		case q.Name <= string(after):
		case len(out.QueueURLs) < size:
			out.QueueURLs = append(out.QueueURLs, d.urlOf(c, q.Name))
		case in.MaxResults != nil && out.NextToken == "":
			last := out.QueueURLs[size-1]
			out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(last[strings.LastIndexByte(last, '/')+1:]))
		}
	}
	return out, nil
}

func (d *door) deleteQueue(_ context.Context, c *wire.Call, in *queueURL) (any, error) {
	return nil, d.m.DeleteQueue(nameOf(c, in.QueueURL))
}

func (d *door) purgeQueue(_ context.Context, c *wire.Call, in *queueURL) (any, error) {
	return nil, d.m.Purge(nameOf(c, in.QueueURL))
}

type getAttributesIn struct {
	QueueURL       string   `wire:"QueueUrl"`
	AttributeNames []string `flat:"AttributeName"`
}

type attributesOut struct {
	Attributes map[string]string `flat:"Attribute"`
}

func (d *door) getAttributes(_ context.Context, c *wire.Call, in *getAttributesIn) (any, error) {
	all, err := d.m.QueueAttributes(nameOf(c, in.QueueURL))
	if err != nil {
		return nil, err
	}
	if slices.Contains(in.AttributeNames, "All") {
		return attributesOut{all}, nil
	}
	var out attributesOut
	for _, name := range in.AttributeNames {
		if v, ok := all[name]; ok {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[name] = v
		}
	}
	return out, nil
}

type setAttributesIn struct {
	QueueURL   string            `wire:"QueueUrl"`
	Attributes map[string]string `flat:"Attribute"`
}

func (d *door) setAttributes(_ context.Context, c *wire.Call, in *setAttributesIn) (any, error) {
	return nil, d.m.SetQueueAttributes(nameOf(c, in.QueueURL), in.Attributes)
}

type attributeValue struct {
	DataType    string
	StringValue string
	BinaryValue []byte
}

func attributesOf(in map[string]attributeValue) map[string]messaging.Value {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]messaging.Value, len(in))
	for name, v := range in {
		out[name] = messaging.Value{DataType: v.DataType, Text: v.StringValue, Binary: v.BinaryValue}
	}
	return out
}

type sendIn struct {
	QueueURL               string `wire:"QueueUrl"`
	MessageBody            string
	DelaySeconds           *int
	MessageAttributes      map[string]attributeValue `flat:"MessageAttribute"`
	MessageGroupID         string                    `wire:"MessageGroupId"`
	MessageDeduplicationID string                    `wire:"MessageDeduplicationId"`
}

type sendOut struct {
	MD5OfMessageBody       string
	MD5OfMessageAttributes string
	MessageID              string `wire:"MessageId"`
	SequenceNumber         string
}

func (d *door) put(queue string, in *sendIn) (*sendOut, error) {
	out := messaging.Outgoing{Body: in.MessageBody, Attributes: attributesOf(in.MessageAttributes), GroupID: in.MessageGroupID, Deduplication: in.MessageDeduplicationID}
	if in.DelaySeconds != nil {
		delay := time.Duration(*in.DelaySeconds) * time.Second
		if delay < 0 || delay > 15*time.Minute {
			return nil, invalid("DelaySeconds", strconv.Itoa(*in.DelaySeconds), "DelaySeconds must be >= 0 and <= 900.")
		}
		out.Delay = &delay
	}
	sent, err := d.m.Send(queue, out)
	if err != nil {
		return nil, exception(err)
	}
	return &sendOut{messaging.BodyMD5(in.MessageBody), messaging.AttributesMD5(out.Attributes), sent.MessageID, sent.SequenceNumber}, nil
}

func (d *door) send(_ context.Context, c *wire.Call, in *sendIn) (any, error) {
	out, err := d.put(nameOf(c, in.QueueURL), in)
	if err != nil {
		return nil, err
	}
	return out, nil
}

type failedEntry struct {
	ID          string `wire:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

// batch runs f for every entry of a batch and collects the refusals.
func batch[E any](entries []E, id func(*E) string, f func(*E) error) ([]failedEntry, error) {
	switch n := len(entries); {
	case n == 0:
		return nil, wire.Newf(emptyBatch, "There should be at least one entry in the request.")
	case n > maxBatch:
		return nil, wire.Newf(tooMany, "Maximum number of entries per request are %d. You have sent %d.", maxBatch, n)
	}
	seen := map[string]bool{}
	for i := range entries {
		if name := id(&entries[i]); seen[name] {
			return nil, wire.Newf(notDistinct, "Id %s repeated.", name)
		} else {
			seen[name] = true
		}
	}
	failed := []failedEntry{}
	for i := range entries {
		err := exception(f(&entries[i]))
		var e *wire.Exception
		switch {
		case err == nil:
		case errors.As(err, &e) && e.Name != codes[messaging.NoQueue].Name:
			code := e.QueryCode
			if code == "" {
				code = e.Name
			}
			failed = append(failed, failedEntry{id(&entries[i]), code, e.Message, !e.Receiver})
		default:
			return nil, err
		}
	}
	return failed, nil
}

type sendBatchIn struct {
	QueueURL string      `wire:"QueueUrl"`
	Entries  []sendEntry `flat:"SendMessageBatchRequestEntry"`
}

type sendEntry struct {
	ID                     string `wire:"Id"`
	MessageBody            string
	DelaySeconds           *int
	MessageAttributes      map[string]attributeValue `flat:"MessageAttribute"`
	MessageGroupID         string                    `wire:"MessageGroupId"`
	MessageDeduplicationID string                    `wire:"MessageDeduplicationId"`
}

type sentEntry struct {
	ID                     string `wire:"Id"`
	MessageID              string `wire:"MessageId"`
	MD5OfMessageBody       string
	MD5OfMessageAttributes string
	SequenceNumber         string
}

func (d *door) sendBatch(_ context.Context, c *wire.Call, in *sendBatchIn) (any, error) {
	name := nameOf(c, in.QueueURL)
	out := struct {
		Successful []sentEntry   `flat:"SendMessageBatchResultEntry"`
		Failed     []failedEntry `flat:"BatchResultErrorEntry"`
	}{Successful: []sentEntry{}}
	var err error
	out.Failed, err = batch(in.Entries, func(e *sendEntry) string { return e.ID }, func(e *sendEntry) error {
		sent, err := d.put(name, &sendIn{"", e.MessageBody, e.DelaySeconds, e.MessageAttributes, e.MessageGroupID, e.MessageDeduplicationID})
		if err == nil {
			out.Successful = append(out.Successful, sentEntry{e.ID, sent.MessageID, sent.MD5OfMessageBody, sent.MD5OfMessageAttributes, sent.SequenceNumber})
		}
		return err
	})
	return out, err
}

type receiveIn struct {
	QueueURL                    string   `wire:"QueueUrl"`
	AttributeNames              []string `flat:"AttributeName"`
	MessageSystemAttributeNames []string `flat:"MessageSystemAttributeName"`
	MessageAttributeNames       []string `flat:"MessageAttributeName"`
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

type receivedOut struct {
	MessageID              string `wire:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string `flat:"Attribute"`
	MD5OfMessageAttributes string
	MessageAttributes      map[string]receivedValue `flat:"MessageAttribute"`
}

type receivedValue struct {
	StringValue string
	BinaryValue []byte
	DataType    string
}

func seconds(parameter string, in *int, most int) (*time.Duration, error) {
	if in == nil {
		return nil, nil
	}
	if *in < 0 || *in > most {
		return nil, invalid(parameter, strconv.Itoa(*in), "Must be an integer from 0 to "+strconv.Itoa(most)+".")
	}
	d := time.Duration(*in) * time.Second
	return &d, nil
}

func (d *door) receive(ctx context.Context, c *wire.Call, in *receiveIn) (any, error) {
	o := messaging.ReceiveOptions{Max: 1}
	if in.MaxNumberOfMessages != nil {
		o.Max = *in.MaxNumberOfMessages
	}
	if o.Max < 1 || o.Max > maxBatch {
		return nil, invalid("MaxNumberOfMessages", strconv.Itoa(o.Max), "Must be between 1 and 10, if provided.")
	}
	var err error
	if o.Visibility, err = seconds("VisibilityTimeout", in.VisibilityTimeout, 43200); err != nil {
		return nil, err
	}
	if o.Wait, err = seconds("WaitTimeSeconds", in.WaitTimeSeconds, 20); err != nil {
		return nil, err
	}
	list, err := d.m.Receive(ctx, nameOf(c, in.QueueURL), o)
	if err != nil {
		return nil, err
	}
	var out struct {
		Messages []receivedOut `flat:"Message"`
	}
	for i := range list {
		out.Messages = append(out.Messages, d.shape(&list[i], append(in.AttributeNames, in.MessageSystemAttributeNames...), in.MessageAttributeNames))
	}
	return out, nil
}

func (d *door) shape(m *messaging.Received, system, names []string) receivedOut {
	out := receivedOut{MessageID: m.ID, ReceiptHandle: m.Handle, MD5OfBody: messaging.BodyMD5(m.Body), Body: m.Body}
	all := map[string]string{
		"SenderId": d.account, "SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.First.UnixMilli(), 10), "ApproximateReceiveCount": strconv.Itoa(m.Count),
	}
	if m.GroupID != "" {
		all["MessageGroupId"] = m.GroupID
	}
	if m.SequenceNumber != "" {
		all["MessageDeduplicationId"], all["SequenceNumber"] = m.Deduplication, m.SequenceNumber
	}
	for name, v := range all {
		if slices.Contains(system, "All") || slices.Contains(system, name) {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[name] = v
		}
	}
	chosen := map[string]messaging.Value{}
	for name, v := range m.Attributes {
		if wanted(name, names) {
			chosen[name] = v
			if out.MessageAttributes == nil {
				out.MessageAttributes = map[string]receivedValue{}
			}
			out.MessageAttributes[name] = receivedValue{v.Text, v.Binary, v.DataType}
		}
	}
	out.MD5OfMessageAttributes = messaging.AttributesMD5(chosen)
	return out
}

// wanted reports whether a message attribute is asked for: by name, by prefix.*, or by All.
func wanted(name string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, isPrefix := strings.CutSuffix(n, ".*")
		return n == "All" || n == ".*" || n == name || isPrefix && strings.HasPrefix(name, prefix)
	})
}

type handleIn struct {
	QueueURL          string `wire:"QueueUrl"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

func (d *door) deleteMessage(_ context.Context, c *wire.Call, in *handleIn) (any, error) {
	return nil, d.m.DeleteMessage(nameOf(c, in.QueueURL), in.ReceiptHandle)
}

func (d *door) changeVisibility(_ context.Context, c *wire.Call, in *handleIn) (any, error) {
	return nil, d.hide(nameOf(c, in.QueueURL), in.ReceiptHandle, in.VisibilityTimeout)
}

func (d *door) hide(name, handle string, timeout *int) error {
	if timeout == nil {
		return missing("VisibilityTimeout")
	}
	return d.m.ChangeVisibility(name, handle, time.Duration(*timeout)*time.Second)
}

type handleEntry struct {
	ID                string `wire:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

func (e *handleEntry) id() string { return e.ID }

type entryID struct {
	ID string `wire:"Id"`
}

type deleteBatchIn struct {
	QueueURL string        `wire:"QueueUrl"`
	Entries  []handleEntry `flat:"DeleteMessageBatchRequestEntry"`
}

func (d *door) deleteBatch(_ context.Context, c *wire.Call, in *deleteBatchIn) (any, error) {
	name := nameOf(c, in.QueueURL)
	out := struct {
		Successful []entryID     `flat:"DeleteMessageBatchResultEntry"`
		Failed     []failedEntry `flat:"BatchResultErrorEntry"`
	}{Successful: []entryID{}}
	var err error
	out.Failed, err = batch(in.Entries, (*handleEntry).id, func(e *handleEntry) error {
		err := d.m.DeleteMessage(name, e.ReceiptHandle)
		if err == nil {
			out.Successful = append(out.Successful, entryID{e.ID})
		}
		return err
	})
	return out, err
}

type changeBatchIn struct {
	QueueURL string        `wire:"QueueUrl"`
	Entries  []handleEntry `flat:"ChangeMessageVisibilityBatchRequestEntry"`
}

func (d *door) changeBatch(_ context.Context, c *wire.Call, in *changeBatchIn) (any, error) {
	name := nameOf(c, in.QueueURL)
	out := struct {
		Successful []entryID     `flat:"ChangeMessageVisibilityBatchResultEntry"`
		Failed     []failedEntry `flat:"BatchResultErrorEntry"`
	}{Successful: []entryID{}}
	var err error
	out.Failed, err = batch(in.Entries, (*handleEntry).id, func(e *handleEntry) error {
		err := d.hide(name, e.ReceiptHandle, e.VisibilityTimeout)
		if err == nil {
			out.Successful = append(out.Successful, entryID{e.ID})
		}
		return err
	})
	return out, err
}

type tagsIn struct {
	QueueURL string            `wire:"QueueUrl"`
	Tags     map[string]string `flat:"Tag,Key"`
	TagKeys  []string          `flat:"TagKey"`
}

func (d *door) tagQueue(_ context.Context, c *wire.Call, in *tagsIn) (any, error) {
	return nil, d.m.ChangeQueue(nameOf(c, in.QueueURL), func(q *messaging.Queue) error {
		for key, v := range in.Tags {
			q.Tags[key] = v
		}
		return nil
	})
}

func (d *door) untagQueue(_ context.Context, c *wire.Call, in *tagsIn) (any, error) {
	return nil, d.m.ChangeQueue(nameOf(c, in.QueueURL), func(q *messaging.Queue) error {
		for _, key := range in.TagKeys {
			delete(q.Tags, key)
		}
		return nil
	})
}

func (d *door) listTags(_ context.Context, c *wire.Call, in *queueURL) (any, error) {
	q, err := d.m.Queue(nameOf(c, in.QueueURL))
	if err != nil {
		return nil, err
	}
	out := struct {
		Tags map[string]string `flat:"Tag,Key"`
	}{}
	if len(q.Tags) > 0 {
		out.Tags = q.Tags
	}
	return out, nil
}
