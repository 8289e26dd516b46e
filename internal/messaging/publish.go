package messaging

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Notification is what is published on a topic.
type Notification struct {
	Subject, Message        string
	Attributes              map[string]Value
	GroupID, Deduplication  string // of FIFO topics
	perProtocol             map[string]string
	messageID, sequence, at string
}

// maxMessageBytes bounds the text of a message (SNS and SQS quotas).
const maxMessageBytes = 256 << 10

// isoMillis is how SNS prints times.
const isoMillis = "2006-01-02T15:04:05.000Z"

// ByProtocol reads a message of MessageStructure json: texts by protocol, with a default.
func (n *Notification) ByProtocol() error {
	if err := json.Unmarshal([]byte(n.Message), &n.perProtocol); err != nil {
		return refuse(InvalidParameter, "Invalid parameter: Message Structure - JSON message body failed to parse")
	}
	if _, ok := n.perProtocol["default"]; !ok {
		return refuse(InvalidParameter, "Invalid parameter: Message Structure - No default entry in JSON message body")
	}
	return nil
}

func (n *Notification) textFor(protocol string) string {
	if n.perProtocol == nil {
		return n.Message
	}
	if text, ok := n.perProtocol[protocol]; ok {
		return text
	}
	return n.perProtocol["default"]
}

// Published is the answer to a publish.
type Published struct{ MessageID, SequenceNumber string }

// PublishMessage hands a notification to all confirmed subscribers of a topic. When it returns, the
// message is in their queues or on disk for the endpoints, and was given to the MQTT broker.
func (s *Service) PublishMessage(ctx context.Context, topicARN string, n Notification) (Published, error) {
	if n.Message == "" {
		return Published{}, refuse(InvalidParameter, "Invalid parameter: Empty message")
	}
	if len(n.Message) > maxMessageBytes {
		return Published{}, refuse(InvalidParameter, "Invalid parameter: Message too long")
	}
	if err := checkAttributes(n.Attributes); err != nil {
		return Published{}, err
	}
	s.changing.Lock()
	out, subs, err := s.fanOut(topicARN, &n)
	s.changing.Unlock()
	if err != nil {
		return Published{}, err
	}
	for _, sub := range subs {
		if err := s.opts.MQTT(ctx, sub.Endpoint, []byte(s.bodyFor(sub, &n))); err != nil {
			s.opts.Log.Warn("topic: MQTT subscriber not reached", "topic", topicARN, "endpoint", sub.Endpoint, "err", err)
		}
	}
	return out, nil
}

// Publish implements what scheduled queries need: a message with string attributes.
func (s *Service) Publish(ctx context.Context, topicARN string, body []byte, attributes map[string]string) error {
	n := Notification{Message: string(body), Attributes: map[string]Value{}}
	for name, text := range attributes {
		n.Attributes[name] = Value{DataType: "String", Text: text}
	}
	if strings.HasSuffix(topicARN, ".fifo") {
		n.GroupID, n.Deduplication = attributes["queryArn"], uuid()
		if n.GroupID == "" {
			n.GroupID = "default"
		}
	}
	_, err := s.PublishMessage(ctx, topicARN, n)
	return err
}

// fanOut stores n for queues and endpoints in one change and returns the subscriptions of
// MQTT topics. The caller holds changing.
func (s *Service) fanOut(topicARN string, n *Notification) (Published, []*Subscription, error) {
	t, err := s.Topic(topicARN)
	if err != nil {
		return Published{}, nil, err
	}
	switch {
	case t.FIFO() && n.GroupID == "":
		return Published{}, nil, refuse(InvalidParameter, "Invalid parameter: The MessageGroupId parameter is required for FIFO topics")
	case t.FIFO() && n.Deduplication == "" && t.Attributes["ContentBasedDeduplication"] != "true":
		return Published{}, nil, refuse(InvalidParameter, "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	n.messageID, n.at = uuid(), s.opts.Clock.Now().UTC().Format(isoMillis)
	if t.FIFO() {
		n.sequence = s.nextNumber()
		if n.Deduplication == "" {
			n.Deduplication = contentHash(n.Message)
		}
	}
	changes := map[string]any{}
	var sends []func()
	var mqtt []*Subscription
	for _, sub := range s.Subscriptions(topicARN) {
		switch {
		case !sub.Confirmed():
		case sub.Protocol == "mqtt":
			mqtt = append(mqtt, sub)
		case sub.Protocol == "sqs":
			send, err := s.toQueue(sub, n, changes)
			if err != nil {
				s.opts.Log.Warn("topic: queue not reached", "topic", topicARN, "endpoint", sub.Endpoint, "err", err)
				continue
			}
			sends = append(sends, send)
		default:
			d := s.newDelivery(sub, "Notification", n.messageID, s.bodyFor(sub, n))
			changes[d.key] = d
			sends = append(sends, func() { s.deliveries[d.key] = d })
		}
	}
	if err := s.apply(changes); err != nil {
		return Published{}, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range sends {
		f()
	}
	s.wakeLocked()
	return Published{n.messageID, n.sequence}, mqtt, nil
}

// toQueue prepares n as a message of the subscription's queue.
func (s *Service) toQueue(sub *Subscription, n *Notification, changes map[string]any) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queueOfARNLocked(sub.Endpoint)
	if q == nil {
		return nil, fmt.Errorf("the queue does not exist")
	}
	out := Outgoing{Body: s.bodyFor(sub, n), GroupID: n.GroupID, Deduplication: n.Deduplication}
	if sub.Raw {
		out.Attributes = n.Attributes
	}
	if !q.FIFO() {
		out.GroupID, out.Deduplication = "", ""
	}
	m, fresh, err := s.messageLocked(q, out)
	if err != nil {
		return nil, err
	}
	if !fresh {
		return func() {}, nil
	}
	changes[m.key] = m
	return func() { q.addLocked(m) }, nil
}

// envelope is a notification as subscribers get it. AWS's signature is left out: nobody but
// AWS can make one.
type envelope struct {
	Type             string
	MessageID        string `json:"MessageId"`
	SequenceNumber   string `json:",omitempty"`
	Token            string `json:",omitempty"`
	TopicARN         string `json:"TopicArn"`
	Subject          string `json:",omitempty"`
	Message          string
	SubscribeURL     string                       `json:",omitempty"`
	Timestamp        string                       `json:"Timestamp"`
	UnsubscribeURL   string                       `json:",omitempty"`
	MessageAttribute map[string]envelopeAttribute `json:"MessageAttributes,omitempty"`
}

type envelopeAttribute struct{ Type, Value string }

func (s *Service) bodyFor(sub *Subscription, n *Notification) string {
	text := n.textFor(sub.Protocol)
	if sub.Raw {
		return text
	}
	e := envelope{
		Type: "Notification", MessageID: n.messageID, SequenceNumber: n.sequence, TopicARN: sub.TopicARN, Subject: n.Subject, Message: text, Timestamp: n.at,
		UnsubscribeURL: s.link("Unsubscribe", "SubscriptionArn", sub.ARN),
	}
	for name, v := range n.Attributes {
		if e.MessageAttribute == nil {
			e.MessageAttribute = map[string]envelopeAttribute{}
		}
		value := v.Text
		if v.isBinary() {
			value = base64.StdEncoding.EncodeToString(v.Binary)
		}
		e.MessageAttribute[name] = envelopeAttribute{v.DataType, value}
	}
	return jsonText(e)
}

// jsonText writes v without escaping <, > and &, which AWS does not.
func jsonText(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("bug: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// link is an operation of the SNS API as a URL that can be opened.
func (s *Service) link(action string, pairs ...string) string {
	v := url.Values{"Action": {action}, "Version": {"2010-03-31"}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return s.opts.URL() + "/?" + v.Encode()
}

// delivery is a message for an HTTP endpoint that has not taken it yet.
type delivery struct {
	SubscriptionARN, TopicARN, URL string
	Type, MessageID, Body          string
	Raw                            bool
	Attempts                       int
	Due                            time.Time

	key  string
	busy bool
}

// Retries of HTTP deliveries (SNS guide, "Message delivery retries": the default policy).
const (
	maxAttempts = 4
	retryAfter  = 20 * time.Second
	senders     = 8 // deliveries at one time
)

// newDelivery makes a delivery that is due now; the caller holds changing.
func (s *Service) newDelivery(sub *Subscription, kind, id, body string) *delivery {
	return &delivery{
		SubscriptionARN: sub.ARN, TopicARN: sub.TopicARN, URL: sub.Endpoint, Type: kind, MessageID: id, Body: body, Raw: sub.Raw && kind == "Notification",
		Due: s.opts.Clock.Now(), key: "delivery/" + s.nextNumber(),
	}
}

func (s *Service) confirmation(sub *Subscription) *delivery {
	id := uuid()
	return s.newDelivery(sub, "SubscriptionConfirmation", id, jsonText(envelope{
		Type: "SubscriptionConfirmation", MessageID: id, Token: sub.Token, TopicARN: sub.TopicARN, Timestamp: s.opts.Clock.Now().UTC().Format(isoMillis),
		Message:      "You have chosen to subscribe to the topic " + sub.TopicARN + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.",
		SubscribeURL: s.link("ConfirmSubscription", "TopicArn", sub.TopicARN, "Token", sub.Token),
	}))
}

func (s *Service) wakeLocked() {
	if s.wake != nil {
		s.wake()
	}
}

// deliverLoop sends what is due and waits for what is next. Open starts it; it ends with
// the service's context.
func (s *Service) deliverLoop() {
	slots := make(chan struct{}, senders)
	for s.ctx.Err() == nil {
		wait, cancel := context.WithCancel(s.ctx)
		now := s.opts.Clock.Now()
		next := now.Add(1000 * time.Hour)
		s.mu.Lock()
		s.wake = cancel
		for _, d := range s.deliveries {
			switch {
			case d.busy:
			case d.Due.After(now):
				if d.Due.Before(next) {
					next = d.Due
				}
			default:
				select {
				case slots <- struct{}{}:
					d.busy = true
					s.wg.Go(func() {
						s.deliver(d)
						<-slots
						s.mu.Lock()
						s.wakeLocked()
						s.mu.Unlock()
					})
				default: // the next sender that is done looks again
				}
			}
		}
		s.mu.Unlock()
		s.opts.Clock.Wait(wait, next)
		cancel()
	}
}

// deliver makes one attempt and notes its outcome.
func (s *Service) deliver(d *delivery) {
	again, err := s.post(d)
	if s.ctx.Err() != nil {
		return // after the next Open
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *d
	next.busy = false
	next.Attempts++
	next.Due = s.opts.Clock.Now().Add(retryAfter)
	s.mu.Lock()
	wanted := d.Type != "Notification" || s.subscriptions[d.SubscriptionARN] != nil
	s.mu.Unlock()
	done := err == nil || !again || next.Attempts >= maxAttempts || !wanted
	change := map[string]any{d.key: &next}
	if done {
		change[d.key] = nil
	}
	if err := s.apply(change); err != nil {
		s.opts.Log.Error("topic: delivery not noted", "url", d.URL, "err", err)
	}
	if err != nil {
		s.opts.Log.Warn("topic: delivery failed", "url", d.URL, "attempt", next.Attempts, "gives_up", done, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if done {
		delete(s.deliveries, d.key)
	} else {
		s.deliveries[d.key] = &next
	}
}

// post sends a delivery. again says whether trying again can help.
func (s *Service) post(d *delivery) (again bool, err error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, d.URL, strings.NewReader(d.Body))
	if err != nil {
		return false, err
	}
	h := req.Header
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("User-Agent", "Amazon Simple Notification Service Agent")
	h.Set("x-amz-sns-message-type", d.Type)
	h.Set("x-amz-sns-message-id", d.MessageID)
	h.Set("x-amz-sns-topic-arn", d.TopicARN)
	if d.Type == "Notification" {
		h.Set("x-amz-sns-subscription-arn", d.SubscriptionARN)
	}
	if d.Raw {
		h.Set("x-amz-sns-rawdelivery", "true")
	}
	resp, err := s.opts.HTTP.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch code := resp.StatusCode; {
	case code < 300:
		return false, nil
	case code == 429 || code >= 500:
		return true, fmt.Errorf("status %d", code)
	default:
		return false, fmt.Errorf("status %d", code)
	}
}
