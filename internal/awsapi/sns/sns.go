// Package sns is the door of topics: the parts of the SNS API (2010-03-31, Query protocol)
// that create topics, subscribe to them and publish. What a topic does is in package
// messaging. Nothing here keeps state.
package sns

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/messaging"
)

var kinds = map[fault.Kind]wire.Shape{
	fault.Internal:    {Name: "InternalError", Status: 500, Receiver: true},
	fault.Invalid:     {Name: "InvalidParameter", Status: 400},
	fault.Unavailable: {Name: "InternalError", Status: 500, Receiver: true},
	fault.Denied:      {Name: "AuthorizationError", Status: 403},
	fault.Throttled:   {Name: "Throttled", Status: 429},
}

var codes = map[messaging.Code]wire.Shape{
	messaging.NotFound:         {Name: "NotFound", Status: 404},
	messaging.InvalidParameter: {Name: "InvalidParameter", Status: 400},
	messaging.OverLimit:        {Name: "TopicLimitExceeded", Status: 403},
	messaging.InvalidValue:     {Name: "ParameterValueInvalid", Status: 400},
}

type door struct{ m *messaging.Service }

// New returns the service.
func New(m *messaging.Service) *wire.Service {
	d := &door{m}
	return &wire.Service{
		Name: "sns", Version: "2010-03-31", XMLNamespace: "http://sns.amazonaws.com/doc/2010-03-31/", Errors: kinds,
		Operations: map[string]wire.Handler{
			"CreateTopic":               op(d.createTopic),
			"DeleteTopic":               op(d.deleteTopic),
			"ListTopics":                op(d.listTopics),
			"GetTopicAttributes":        op(d.getTopicAttributes),
			"SetTopicAttributes":        op(d.setTopicAttributes),
			"Subscribe":                 d.subscribe,
			"ConfirmSubscription":       op(d.confirmSubscription),
			"Unsubscribe":               op(d.unsubscribe),
			"ListSubscriptions":         op(d.listSubscriptions),
			"ListSubscriptionsByTopic":  op(d.listSubscriptions),
			"GetSubscriptionAttributes": op(d.getSubscriptionAttributes),
			"SetSubscriptionAttributes": op(d.setSubscriptionAttributes),
			"Publish":                   op(d.publish),
			"PublishBatch":              op(d.publishBatch),
			"TagResource":               op(d.tagResource),
			"UntagResource":             op(d.untagResource),
			"ListTagsForResource":       op(d.listTags),
		},
	}
}

// op makes a handler of f and gives the errors of messaging their codes.
func op[In any](f func(ctx context.Context, in *In) (any, error)) wire.Handler {
	return wire.Typed(func(ctx context.Context, _ *wire.Call, in *In) (any, error) {
		out, err := f(ctx, in)
		var refused *messaging.Error
		if errors.As(err, &refused) {
			shape, ok := codes[refused.Code]
			if !ok {
				shape = kinds[fault.Invalid]
			}
			return nil, wire.Newf(shape, "%s", refused.Message)
		}
		return out, err
	})
}

func invalid(text string) error { return fault.New(fault.Invalid, "Invalid parameter: %s", text) }

type tag struct{ Key, Value string }

type createTopicIn struct {
	Name       string
	Attributes map[string]string
	Tags       []tag
}

type topicARN struct {
	TopicARN string `wire:"TopicArn"`
}

func (d *door) createTopic(_ context.Context, in *createTopicIn) (any, error) {
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[t.Key] = t.Value
	}
	t, err := d.m.CreateTopic(in.Name, in.Attributes, tags)
	if err != nil {
		return nil, err
	}
	return topicARN{t.ARN}, nil
}

func (d *door) deleteTopic(_ context.Context, in *topicARN) (any, error) {
	return nil, d.m.DeleteTopic(in.TopicARN)
}

// pageSize is that of the lists (SNS API).
const pageSize = 100

// page returns the part of a list that a token asks for, and the next token.
func page[T any](all []T, token string) (part []T, next string, err error) {
	from := 0
	if token != "" {
		text, bad := base64.RawURLEncoding.DecodeString(token)
		if from, err = strconv.Atoi(string(text)); bad != nil || err != nil || from < 0 {
			return nil, "", invalid("NextToken")
		}
	}
	all = all[min(from, len(all)):]
	if len(all) > pageSize {
		all = all[:pageSize]
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(from + pageSize)))
	}
	return all, next, nil
}

type tokenIn struct {
	TopicARN  string `wire:"TopicArn"`
	NextToken string
}

func (d *door) listTopics(_ context.Context, in *tokenIn) (any, error) {
	part, next, err := page(d.m.Topics(), in.NextToken)
	out := struct {
		Topics    []topicARN
		NextToken string
	}{[]topicARN{}, next}
	for _, t := range part {
		out.Topics = append(out.Topics, topicARN{t.ARN})
	}
	return out, err
}

type attributesOut struct{ Attributes map[string]string }

const defaultDelivery = `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false}}`

func (d *door) getTopicAttributes(_ context.Context, in *topicARN) (any, error) {
	t, err := d.m.Topic(in.TopicARN)
	if err != nil {
		return nil, err
	}
	owner := strings.Split(t.ARN, ":")[4]
	confirmed, pending := 0, 0
	for _, s := range d.m.Subscriptions(t.ARN) {
		if s.Confirmed() {
			confirmed++
		} else {
			pending++
		}
	}
	out := map[string]string{
		"TopicArn": t.ARN, "Owner": owner, "DisplayName": "", "SubscriptionsConfirmed": strconv.Itoa(confirmed), "SubscriptionsPending": strconv.Itoa(pending), "SubscriptionsDeleted": "0",
		"EffectiveDeliveryPolicy": defaultDelivery,
		"Policy": `{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},` +
			`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],` +
			`"Resource":"` + t.ARN + `","Condition":{"StringEquals":{"AWS:SourceOwner":"` + owner + `"}}}]}`,
	}
	if t.FIFO() {
		out["ContentBasedDeduplication"] = "false"
	}
	for name, v := range t.Attributes {
		out[name] = v
	}
	return attributesOut{out}, nil
}

type setAttributeIn struct {
	TopicARN        string `wire:"TopicArn"`
	SubscriptionARN string `wire:"SubscriptionArn"`
	AttributeName   string
	AttributeValue  string
}

func (d *door) setTopicAttributes(_ context.Context, in *setAttributeIn) (any, error) {
	return nil, d.m.SetTopicAttribute(in.TopicARN, in.AttributeName, in.AttributeValue)
}

type subscribeIn struct {
	TopicARN              string `wire:"TopicArn"`
	Protocol              string
	Endpoint              string
	Attributes            map[string]string
	ReturnSubscriptionARN bool `wire:"ReturnSubscriptionArn"`
}

type subscriptionARN struct {
	SubscriptionARN string `wire:"SubscriptionArn"`
}

// subscribe asks also whether the caller may itself send to a queue or an MQTT topic of this server, which have no
// policies of their own to say whose topics may.
func (d *door) subscribe(ctx context.Context, c *wire.Call) (wire.Response, error) {
	return op(func(_ context.Context, in *subscribeIn) (any, error) {
		if err := maySend(c, in); err != nil {
			return nil, err
		}
		return d.addSubscription(in)
	})(ctx, c)
}

func maySend(c *wire.Call, in *subscribeIn) error {
	switch in.Protocol {
	case "sqs":
		return c.Check("sqs:SendMessage", in.Endpoint)
	case "mqtt":
		if at, err := arn.Parse(in.TopicARN); err == nil {
			return c.Check("iot:Publish", arn.New("iot", at.Region, at.AccountID, "topic/"+in.Endpoint).String())
		}
	}
	return nil
}

func (d *door) addSubscription(in *subscribeIn) (any, error) {
	raw := false
	for name, v := range in.Attributes {
		if err := subscriptionAttribute(name, v, &raw); err != nil {
			return nil, err
		}
	}
	s, err := d.m.Subscribe(in.TopicARN, in.Protocol, in.Endpoint, raw)
	if err != nil {
		return nil, err
	}
	if !s.Confirmed() && !in.ReturnSubscriptionARN {
		return subscriptionARN{"pending confirmation"}, nil
	}
	return subscriptionARN{s.ARN}, nil
}

// subscriptionAttribute reads the one attribute that subscriptions have here. Filter
// policies and the like would change what is sent, so they are refused.
func subscriptionAttribute(name, value string, raw *bool) error {
	if name != "RawMessageDelivery" {
		return invalid("AttributeName " + name + " is not supported; RawMessageDelivery is")
	}
	if value != "true" && value != "false" {
		return invalid("Attributes Reason: RawMessageDelivery: Invalid value [" + value + "]. Must be true or false.")
	}
	*raw = value == "true"
	return nil
}

type confirmIn struct {
	TopicARN string `wire:"TopicArn"`
	Token    string
}

func (d *door) confirmSubscription(_ context.Context, in *confirmIn) (any, error) {
	s, err := d.m.Confirm(in.TopicARN, in.Token)
	if err != nil {
		return nil, err
	}
	return subscriptionARN{s.ARN}, nil
}

func (d *door) unsubscribe(_ context.Context, in *subscriptionARN) (any, error) {
	return nil, d.m.Unsubscribe(in.SubscriptionARN)
}

type subscriptionOut struct {
	SubscriptionARN string `wire:"SubscriptionArn"`
	Owner           string
	Protocol        string
	Endpoint        string
	TopicARN        string `wire:"TopicArn"`
}

func (d *door) listSubscriptions(_ context.Context, in *tokenIn) (any, error) {
	if in.TopicARN != "" {
		if _, err := d.m.Topic(in.TopicARN); err != nil {
			return nil, err
		}
	}
	part, next, err := page(d.m.Subscriptions(in.TopicARN), in.NextToken)
	out := struct {
		Subscriptions []subscriptionOut
		NextToken     string
	}{[]subscriptionOut{}, next}
	for _, s := range part {
		o := subscriptionOut{s.ARN, strings.Split(s.ARN, ":")[4], s.Protocol, s.Endpoint, s.TopicARN}
		if !s.Confirmed() {
			o.SubscriptionARN = "PendingConfirmation"
		}
		out.Subscriptions = append(out.Subscriptions, o)
	}
	return out, err
}

func (d *door) getSubscriptionAttributes(_ context.Context, in *subscriptionARN) (any, error) {
	s, err := d.m.Subscription(in.SubscriptionARN)
	if err != nil {
		return nil, err
	}
	return attributesOut{map[string]string{
		"SubscriptionArn": s.ARN, "TopicArn": s.TopicARN, "Owner": strings.Split(s.ARN, ":")[4], "Protocol": s.Protocol, "Endpoint": s.Endpoint,
		"RawMessageDelivery": strconv.FormatBool(s.Raw), "PendingConfirmation": strconv.FormatBool(!s.Confirmed()), "ConfirmationWasAuthenticated": strconv.FormatBool(s.Confirmed()),
	}}, nil
}

func (d *door) setSubscriptionAttributes(_ context.Context, in *setAttributeIn) (any, error) {
	raw := false
	if err := subscriptionAttribute(in.AttributeName, in.AttributeValue, &raw); err != nil {
		return nil, err
	}
	return nil, d.m.SetRaw(in.SubscriptionARN, raw)
}

type attributeValue struct {
	DataType    string
	StringValue string
	BinaryValue []byte
}

func attributesOf(in map[string]attributeValue) map[string]messaging.Value {
	out := make(map[string]messaging.Value, len(in))
	for name, v := range in {
		out[name] = messaging.Value{DataType: v.DataType, Text: v.StringValue, Binary: v.BinaryValue}
	}
	return out
}

type message struct {
	Subject                string
	Message                string
	MessageStructure       string
	MessageAttributes      map[string]attributeValue
	MessageGroupID         string `wire:"MessageGroupId"`
	MessageDeduplicationID string `wire:"MessageDeduplicationId"`
}

func (m *message) notification() (messaging.Notification, error) {
	n := messaging.Notification{
		Subject: m.Subject, Message: m.Message, Attributes: attributesOf(m.MessageAttributes), GroupID: m.MessageGroupID, Deduplication: m.MessageDeduplicationID,
	}
	switch m.MessageStructure {
	case "":
		return n, nil
	case "json":
		return n, n.ByProtocol()
	}
	return n, invalid("MessageStructure")
}

type publishIn struct {
	TopicARN               string `wire:"TopicArn"`
	TargetARN              string `wire:"TargetArn"`
	PhoneNumber            string
	Subject                string
	Message                string
	MessageStructure       string
	MessageAttributes      map[string]attributeValue
	MessageGroupID         string `wire:"MessageGroupId"`
	MessageDeduplicationID string `wire:"MessageDeduplicationId"`
}

type publishOut struct {
	MessageID      string `wire:"MessageId"`
	SequenceNumber string
}

func (d *door) publish(ctx context.Context, in *publishIn) (any, error) {
	if in.TopicARN == "" {
		in.TopicARN = in.TargetARN
	}
	if in.PhoneNumber != "" {
		return nil, invalid("PhoneNumber is not supported; TopicArn is")
	}
	m := message{in.Subject, in.Message, in.MessageStructure, in.MessageAttributes, in.MessageGroupID, in.MessageDeduplicationID}
	n, err := m.notification()
	if err != nil {
		return nil, err
	}
	out, err := d.m.PublishMessage(ctx, in.TopicARN, n)
	return publishOut{out.MessageID, out.SequenceNumber}, err
}

type publishBatchIn struct {
	TopicARN                   string `wire:"TopicArn"`
	PublishBatchRequestEntries []struct {
		ID                     string `wire:"Id"`
		Subject                string
		Message                string
		MessageStructure       string
		MessageAttributes      map[string]attributeValue
		MessageGroupID         string `wire:"MessageGroupId"`
		MessageDeduplicationID string `wire:"MessageDeduplicationId"`
	}
}

type batchDone struct {
	ID             string `wire:"Id"`
	MessageID      string `wire:"MessageId"`
	SequenceNumber string
}

type batchFailed struct {
	ID          string `wire:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

func (d *door) publishBatch(ctx context.Context, in *publishBatchIn) (any, error) {
	if n := len(in.PublishBatchRequestEntries); n == 0 || n > 10 {
		return nil, invalid("PublishBatchRequestEntries: 1 to 10 entries are allowed")
	}
	if _, err := d.m.Topic(in.TopicARN); err != nil {
		return nil, err
	}
	out := struct {
		Successful []batchDone
		Failed     []batchFailed
	}{[]batchDone{}, []batchFailed{}}
	for _, e := range in.PublishBatchRequestEntries {
		m := message{e.Subject, e.Message, e.MessageStructure, e.MessageAttributes, e.MessageGroupID, e.MessageDeduplicationID}
		n, err := m.notification()
		var sent messaging.Published
		if err == nil {
			sent, err = d.m.PublishMessage(ctx, in.TopicARN, n)
		}
		var refused *messaging.Error
		switch {
		case err == nil:
			out.Successful = append(out.Successful, batchDone{e.ID, sent.MessageID, sent.SequenceNumber})
		case errors.As(err, &refused), fault.Is(err, fault.Invalid):
			out.Failed = append(out.Failed, batchFailed{e.ID, "InvalidParameter", fault.MessageOf(err), true})
		default:
			return nil, err
		}
	}
	return out, nil
}

type tagsIn struct {
	ResourceARN string `wire:"ResourceArn"`
	Tags        []tag
	TagKeys     []string
}

func (d *door) tagResource(_ context.Context, in *tagsIn) (any, error) {
	return struct{}{}, d.m.ChangeTopic(in.ResourceARN, func(t *messaging.Topic) error {
		for _, tag := range in.Tags {
			t.Tags[tag.Key] = tag.Value
		}
		return nil
	})
}

func (d *door) untagResource(_ context.Context, in *tagsIn) (any, error) {
	return struct{}{}, d.m.ChangeTopic(in.ResourceARN, func(t *messaging.Topic) error {
		for _, key := range in.TagKeys {
			delete(t.Tags, key)
		}
		return nil
	})
}

func (d *door) listTags(_ context.Context, in *tagsIn) (any, error) {
	t, err := d.m.Topic(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	out := struct{ Tags []tag }{[]tag{}}
	for _, key := range slices.Sorted(maps.Keys(t.Tags)) {
		out.Tags = append(out.Tags, tag{key, t.Tags[key]})
	}
	return out, nil
}
