package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
)

type documents struct {
	mu    sync.Mutex
	byKey map[string][]byte
}

func (d *documents) Each(f func(key string, doc []byte) error) error {
	d.mu.Lock()
	all := maps.Clone(d.byKey)
	d.mu.Unlock()
	for k, v := range all {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (d *documents) Apply(changes map[string][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, v := range changes {
		if v == nil {
			delete(d.byKey, k)
		} else {
			d.byKey[k] = v
		}
	}
	return nil
}

func (d *documents) count(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for k := range d.byKey {
		if strings.HasPrefix(k, prefix) {
			n++
		}
	}
	return n
}

type env struct {
	t    *testing.T
	clk  *clock.Clock
	docs documents
	mqtt []string
	*Service
}

func newEnv(t *testing.T) *env {
	e := &env{t: t, clk: clock.Manual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), docs: documents{byKey: map[string][]byte{}}}
	e.open()
	t.Cleanup(func() { e.Close() })
	return e
}

func (e *env) open() {
	e.t.Helper()
	var err error
	e.Service, err = Open(Options{
		Documents: &e.docs, Clock: e.clk, URL: func() string { return "http://weir" },
		MQTT: func(_ context.Context, topic string, payload []byte) error {
			e.mqtt = append(e.mqtt, topic+" "+string(payload))
			return nil
		},
	})
	e.ok(err)
}

func (e *env) ok(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) queue(name string, attributes ...string) *Queue {
	e.t.Helper()
	a := map[string]string{}
	for i := 0; i < len(attributes); i += 2 {
		a[attributes[i]] = attributes[i+1]
	}
	q, err := e.CreateQueue(name, a, nil)
	e.ok(err)
	return q
}

func (e *env) send(queue, body string, more ...string) {
	e.t.Helper()
	out := Outgoing{Body: body}
	if len(more) > 0 {
		out.GroupID, out.Deduplication = more[0], body
	}
	_, err := e.Send(queue, out)
	e.ok(err)
}

// bodies receives at once and returns the texts and handles.
func (e *env) bodies(queue string, max int) (texts string, handles []string) {
	e.t.Helper()
	list, err := e.Receive(e.t.Context(), queue, ReceiveOptions{Max: max})
	e.ok(err)
	var all []string
	for _, m := range list {
		all, handles = append(all, m.Body), append(handles, m.Handle)
	}
	return strings.Join(all, " "), handles
}

func (e *env) check(what, got, want string) {
	e.t.Helper()
	if got != want {
		e.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestAReceivedMessageIsHiddenUntilItsTimeoutOrDeleted(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.queue("q")
	e.send("q", "a")
	e.send("q", "b")
	got, handles := e.bodies("q", 10)
	e.check("first", got, "a b")
	got, _ = e.bodies("q", 10)
	e.check("hidden", got, "")
	e.ok(e.DeleteMessage("q", handles[0]))
	e.clk.Advance(30 * time.Second)
	got, handles = e.bodies("q", 10)
	e.check("again", got, "b")
	e.ok(e.ChangeVisibility("q", handles[0], 0))
	got, handles = e.bodies("q", 10)
	e.check("shown", got, "b")
	e.ok(e.DeleteMessage("q", handles[0]))
	e.ok(e.DeleteMessage("q", handles[0]))
	if n := e.docs.count("message/"); n != 0 {
		t.Errorf("%d messages on disk", n)
	}
	if err := e.DeleteMessage("q", "nonsense"); err == nil || err.(*Error).Code != InvalidHandle {
		t.Errorf("a wrong handle: %v", err)
	}
	if err := e.ChangeVisibility("q", handles[0], 0); err == nil || err.(*Error).Code != NotInFlight {
		t.Errorf("a message that is gone: %v", err)
	}
}

func TestWhatWasAcknowledgedSurvivesARestart(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	q := e.queue("q", "VisibilityTimeout", "60")
	topic, err := e.CreateTopic("t", nil, map[string]string{"k": "v"})
	e.ok(err)
	_, err = e.Subscribe(topic.ARN, "sqs", q.ARN, true)
	e.ok(err)
	e.send("q", "a")
	e.send("q", "b")
	_, handles := e.bodies("q", 1)
	e.ok(e.DeleteMessage("q", handles[0]))
	e.bodies("q", 1) // in flight when the server ends
	e.Close()
	e.open()
	e.ok(e.Publish(t.Context(), topic.ARN, []byte("c"), nil))
	got, _ := e.bodies("q", 10)
	e.check("messages", got, "b c")
	attributes, err := e.QueueAttributes("q")
	e.ok(err)
	e.check("attribute", attributes["VisibilityTimeout"], "60")
	again, err := e.Topic(topic.ARN)
	e.ok(err)
	e.check("tags", fmt.Sprint(again.Tags), "map[k:v]")
}

func TestAFIFOQueueKeepsTheOrderOfAGroupAndDropsDuplicates(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.queue("q.fifo", "FifoQueue", "true")
	for _, m := range []string{"a1", "a2", "b1", "a1"} {
		e.send("q.fifo", m, m[:1])
	}
	got, handles := e.bodies("q.fifo", 1)
	e.check("first", got, "a1")
	got, _ = e.bodies("q.fifo", 10)
	e.check("the group is busy", got, "b1")
	e.ok(e.DeleteMessage("q.fifo", handles[0]))
	got, _ = e.bodies("q.fifo", 10)
	e.check("then the next of it", got, "a2")
	e.send("q.fifo", "a1", "a")
	got, _ = e.bodies("q.fifo", 10)
	e.check("a duplicate", got, "")
	e.clk.Advance(6 * time.Minute)
	e.send("q.fifo", "a1", "a")
	got, _ = e.bodies("q.fifo", 10)
	e.check("after the window", got, "a2 b1 a1")
	if _, err := e.Send("q.fifo", Outgoing{Body: "x"}); err == nil || err.(*Error).Code != MissingParameter {
		t.Errorf("no group: %v", err)
	}
}

func TestALongPollEndsWhenAMessageComes(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.queue("q")
	wait := 20 * time.Second
	got := make(chan []Received)
	poll := func() {
		list, _ := e.Receive(t.Context(), "q", ReceiveOptions{Max: 1, Wait: &wait})
		got <- list
	}
	go poll()
	e.send("q", "a")
	if list := <-got; len(list) != 1 || list[0].Body != "a" {
		t.Errorf("got %+v", list)
	}
	go poll()
	for n := 0; n == 0; { // until it waits
		e.mu.Lock()
		n = len(e.queues["q"].polls)
		e.mu.Unlock()
	}
	e.clk.Advance(31 * time.Second)
	if list := <-got; len(list) != 1 || list[0].Count != 2 {
		t.Errorf("after the visibility timeout: %+v", list)
	}
	go poll()
	e.Stop()
	if list := <-got; len(list) != 0 {
		t.Errorf("at the end: %+v", list)
	}
}

func TestDelaysRetentionAndDeadLetters(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	dead := e.queue("dead")
	e.queue("q", "DelaySeconds", "10", "MessageRetentionPeriod", "600", "RedrivePolicy", `{"deadLetterTargetArn":"`+dead.ARN+`","maxReceiveCount":"2"}`)
	e.send("q", "a")
	got, _ := e.bodies("q", 1)
	e.check("delayed", got, "")
	attributes, _ := e.QueueAttributes("q")
	e.check("counted", attributes["ApproximateNumberOfMessagesDelayed"], "1")
	for range 2 {
		e.clk.Advance(31 * time.Second)
		got, _ = e.bodies("q", 1)
		e.check("received", got, "a")
	}
	e.clk.Advance(31 * time.Second)
	got, _ = e.bodies("q", 1)
	e.check("received too often", got, "")
	got, _ = e.bodies("dead", 1)
	e.check("dead letter", got, "a")
	e.send("q", "old")
	e.clk.Advance(11 * time.Minute)
	got, _ = e.bodies("q", 1)
	e.check("too old", got, "")
	if n := e.docs.count("message/q/"); n != 0 {
		t.Errorf("%d messages on disk", n)
	}
}

func TestQueuesAreRefusedAsBySQS(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.queue("q", "VisibilityTimeout", "5")
	e.queue("q") // the same again
	check := func(code Code, err error) {
		t.Helper()
		if err == nil || err.(*Error).Code != code {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	create := func(name string, attributes ...string) error {
		a := map[string]string{}
		for i := 0; i < len(attributes); i += 2 {
			a[attributes[i]] = attributes[i+1]
		}
		_, err := e.CreateQueue(name, a, nil)
		return err
	}
	check(QueueExists, create("q", "VisibilityTimeout", "6"))
	check(InvalidValue, create("bad name"))
	check(InvalidValue, create("q.fifo"))
	check(InvalidValue, create("r", "DelaySeconds", "901"))
	check(InvalidAttribute, create("r", "Colour", "red"))
	check(InvalidValue, create("r", "RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:none","maxReceiveCount":1}`))
	_, err := e.Send("none", Outgoing{Body: "x"})
	check(NoQueue, err)
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("kind of %v", err)
	}
	_, err = e.Send("q", Outgoing{})
	check(MissingParameter, err)
	_, err = e.Send("q", Outgoing{Body: strings.Repeat("x", maxMessageBytes+1)})
	check(InvalidValue, err)
	e.send("q", "a")
	e.ok(e.Purge("q"))
	e.ok(e.DeleteQueue("q"))
	check(NoQueue, e.DeleteQueue("q"))
	if n := e.docs.count(""); n != 0 {
		t.Errorf("%d documents left", n)
	}
}

// endpoint is an HTTP subscriber.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    chan map[string]any
}

func newEndpoint(t *testing.T) *endpoint {
	ep := &endpoint{status: 200, got: make(chan map[string]any, 10)}
	ep.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := map[string]any{"header": r.Header.Get("x-amz-sns-message-type")}
		json.Unmarshal(body, &m)
		ep.mu.Lock()
		w.WriteHeader(ep.status)
		ep.mu.Unlock()
		ep.got <- m
	}))
	t.Cleanup(ep.Server.Close)
	return ep
}

func (ep *endpoint) answer(status int) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.status = status
}

func TestATopicReachesQueuesEndpointsAndTheBroker(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	topic, err := e.CreateTopic("t", nil, nil)
	e.ok(err)
	q := e.queue("q")
	ep := newEndpoint(t)
	_, err = e.Subscribe(topic.ARN, "sqs", q.ARN, false)
	e.ok(err)
	_, err = e.Subscribe(topic.ARN, "mqtt", "alerts/all", true)
	e.ok(err)
	sub, err := e.Subscribe(topic.ARN, "http", ep.URL, false)
	e.ok(err)
	if sub.Confirmed() {
		t.Error("confirmed without asking")
	}
	ask := <-ep.got
	e.check("confirmation", fmt.Sprint(ask["header"], ask["Type"], ask["TopicArn"]), "SubscriptionConfirmationSubscriptionConfirmation"+topic.ARN)
	if u := ask["SubscribeURL"].(string); !strings.HasPrefix(u, "http://weir/?Action=ConfirmSubscription&Token=") {
		t.Errorf("SubscribeURL %s", u)
	}
	_, err = e.Confirm(topic.ARN, ask["Token"].(string))
	e.ok(err)
	sent, err := e.PublishMessage(t.Context(), topic.ARN, Notification{Subject: "s", Message: "<m>", Attributes: map[string]Value{"queryArn": {DataType: "String", Text: "arn"}}})
	e.ok(err)
	got := <-ep.got
	e.check("endpoint", fmt.Sprint(got["Type"], got["MessageId"], got["Message"], got["MessageAttributes"]), "Notification"+sent.MessageID+"<m>map[queryArn:map[Type:String Value:arn]]")
	body, _ := e.bodies("q", 1)
	want := `{"Type":"Notification","MessageId":"` + sent.MessageID + `","TopicArn":"` + topic.ARN + `","Subject":"s","Message":"<m>","Timestamp":"2026-01-01T00:00:00.000Z","UnsubscribeURL":"`
	if !strings.HasPrefix(body, want) || !strings.HasSuffix(body, `"MessageAttributes":{"queryArn":{"Type":"String","Value":"arn"}}}`) {
		t.Errorf("envelope %s", body)
	}
	e.check("broker", strings.Join(e.mqtt, ";"), "alerts/all <m>")
	e.ok(e.DeleteTopic(topic.ARN))
	if len(e.Subscriptions("")) != 0 {
		t.Error("subscriptions outlive their topic")
	}
}

func TestADeliveryThatFailsIsTriedAgainAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	topic, err := e.CreateTopic("t", nil, nil)
	e.ok(err)
	ep := newEndpoint(t)
	_, err = e.Subscribe(topic.ARN, "http", ep.URL, false)
	e.ok(err)
	_, err = e.Confirm(topic.ARN, (<-ep.got)["Token"].(string))
	e.ok(err)
	ep.answer(503)
	e.ok(e.Publish(t.Context(), topic.ARN, []byte("m"), nil))
	<-ep.got
	e.eventually("noted", func() bool { return e.attempts() == 1 })
	e.Close()
	e.open()
	e.clk.Advance(20 * time.Second)
	<-ep.got
	e.eventually("noted", func() bool { return e.attempts() == 2 })
	ep.answer(200)
	e.clk.Advance(20 * time.Second)
	e.check("third attempt", (<-ep.got)["Message"].(string), "m")
	e.eventually("done", func() bool { return e.docs.count("delivery/") == 0 })
	ep.answer(404) // not worth trying again
	e.ok(e.Publish(t.Context(), topic.ARN, []byte("m"), nil))
	<-ep.got
	e.eventually("given up", func() bool { return e.docs.count("delivery/") == 0 })
}

// attempts returns those of the one delivery.
func (e *env) attempts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.deliveries {
		return d.Attempts
	}
	return 0
}

func (e *env) eventually(what string, f func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatal(what)
		}
	}
}

func TestADamagedDocumentIsRefused(t *testing.T) {
	t.Parallel()
	for key, doc := range map[string]string{"topic/t": "{", "other/x": "{}", "message/none/00000000000000000001": "{}"} {
		if _, err := Open(Options{Documents: &documents{byKey: map[string][]byte{key: []byte(doc)}}}); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestAttributesMD5IsThatOfSQS(t *testing.T) {
	t.Parallel()
	got := AttributesMD5(map[string]Value{"timestamp": {DataType: "Number", Text: "1493147359900"}})
	if got != "235c5c510d26fb653d073faed50ae77c" || AttributesMD5(nil) != "" {
		t.Errorf("got %s", got)
	}
}
