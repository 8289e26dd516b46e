package iotrule

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

// Message is a published message.
type Message struct {
	Topic     string
	Payload   []byte // must not change while the message is in use
	ClientID  string // of the publisher; "" if it came by HTTP
	Principal string // who published, as principal() tells it
	QoS       byte
	Retain    bool

	// Properties of MQTT 5.
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	UTF8Payload     bool   // payload format indicator 1
	ExpirySeconds   uint32 // 0: never
	UserProperties  []iotsql.Property

	depth int // how many republish actions led to it
}

// basicIngestPrefix begins topics that name the one rule to run.
const basicIngestPrefix = "$aws/rules/"

// maxDepth bounds rules that republish to one another; AWS has no such bound.
const maxDepth = 8

// execution is one rule at work on one message.
type execution struct {
	rule    *compiled
	message *Message
	input   *iotsql.Input
	result  iotsql.Result
}

// job is prepared work of one action. It may run on another goroutine than the one
// that prepared it.
type job func(ctx context.Context) error

// task is an action of an execution with its job and, in the end, its error.
type task struct {
	x      *execution
	action *action
	job    job
	err    error
}

// Publish runs the rules that take m, or the one rule that a Basic Ingest topic
// names. When it returns, all their writes are durable or have failed.
//
// What is wrong with a rule or with the message for it (an unknown table, a value
// that is refused) is no error here. The error, of kind fault.Unavailable, says that the
// server could not do its part, because of a full disk for example: then the message must
// not be acknowledged, so that its publisher sends it again.
func (s *Service) Publish(ctx context.Context, m *Message) error {
	var few [8]*compiled
	topic := m.Topic
	rules := few[:0]
	if rest, ok := strings.CutPrefix(topic, basicIngestPrefix); ok {
		var name string
		name, topic, _ = strings.Cut(rest, "/")
		if rules = s.named(rules, name); len(rules) == 0 {
			return nil
		}
	} else if rules = s.snap.Load().index.match(rules, topic); len(rules) == 0 {
		return nil
	}
	in := &iotsql.Input{
		Topic: topic, Payload: m.Payload, ClientID: m.ClientID, Principal: m.Principal,
		AccountID: s.opt.AccountID, Now: s.opt.Clock.Now(),
		ContentType: m.ContentType, ResponseTopic: m.ResponseTopic, CorrelationData: m.CorrelationData,
		UTF8Payload: m.UTF8Payload, UserProperties: m.UserProperties,
	}
	var fewTasks [4]task
	tasks := fewTasks[:0]
	for _, c := range rules {
		tasks = s.evaluate(tasks, &execution{rule: c, message: m, input: in})
	}
	runAll(ctx, tasks)
	return s.settle(ctx, tasks)
}

// named appends the rule that Basic Ingest asks for, if it is there and runs.
func (s *Service) named(dst []*compiled, name string) []*compiled {
	c := s.snap.Load().byName[name]
	if c != nil && !c.Disabled && c.stmt != nil {
		return append(dst, c)
	}
	if c != nil { // a metric for any name that a client invents would be unbounded
		s.meters.byRule("RuleNotFound", name).Observe(1)
	}
	s.meters.reg.Counter("weir_iot_rule_not_found_total", "Basic Ingest messages to a rule that is missing or disabled.").Add(1)
	s.missing.warn(s.opt.Log, "message for a rule that does not run", fmt.Errorf("rule %.128q not found", name))
	return dst
}

// evaluate runs the statement of x and appends its actions' tasks.
func (s *Service) evaluate(tasks []task, x *execution) []task {
	c := x.rule
	c.meters.match.Observe(1)
	s.meters.executed.Observe(1)
	c.meters.executed.Observe(1)
	var err error
	if x.result, err = c.stmt.Eval(x.input); err != nil {
		var payload *iotsql.PayloadError
		if errors.As(err, &payload) {
			c.meters.parseError.Observe(1)
		}
		c.log.warn(s.opt.Log, "topic rule failed", err, "rule", c.Name, "topic", x.message.Topic)
		return tasks
	}
	if !x.result.Fired {
		return tasks
	}
	for _, a := range c.actions {
		t := task{x: x, action: a}
		t.job, t.err = a.do.prepare(x)
		tasks = append(tasks, t)
	}
	return tasks
}

// runAll does the jobs, several at a time, so that they share one commit.
func runAll(ctx context.Context, tasks []task) {
	var wg sync.WaitGroup
	for i := range tasks {
		t := &tasks[i]
		switch {
		case t.err != nil || t.job == nil:
		case i == len(tasks)-1:
			t.err = t.job(ctx)
		default:
			wg.Go(func() { t.err = t.job(ctx) })
		}
	}
	wg.Wait()
}

// settle counts what became of the tasks and tells the error actions. The tasks
// of a rule follow each other. Its error is Publish's.
func (s *Service) settle(ctx context.Context, tasks []task) (unstored error) {
	for from := 0; from < len(tasks); {
		to := from
		var failed []*task
		for ; to < len(tasks) && tasks[to].x == tasks[from].x; to++ {
			t := &tasks[to]
			if t.err == nil {
				t.action.meters.success.Observe(1)
				continue
			}
			t.action.meters.failure.Observe(1)
			t.action.log.warn(s.opt.Log, "rule action failed", t.err,
				"rule", t.x.rule.Name, "action", t.action.kind, "resource", t.action.resource, "topic", t.x.message.Topic)
			failed = append(failed, t)
			if unstored == nil && ours(t.err) {
				unstored = fault.Wrap(fault.Unavailable, t.err, "The message could not be stored.")
			}
		}
		if len(failed) > 0 && failed[0].x.rule.onError != nil {
			s.runErrorAction(ctx, failed)
		}
		from = to
	}
	return unstored
}

// ours reports whether err is the server's trouble and not the rule's.
func ours(err error) bool {
	switch fault.KindOf(err) {
	case fault.Internal, fault.Throttled, fault.Unavailable, fault.Corrupt, fault.Cancelled:
		return true
	}
	return false
}

// errorMessage is the output that an error action gets (AWS IoT guide, "Error
// message format").
type errorMessage struct {
	RuleName              string    `json:"ruleName"`
	Topic                 string    `json:"topic"`
	CloudwatchTraceID     string    `json:"cloudwatchTraceId"`
	ClientID              string    `json:"clientId"`
	Base64OriginalPayload string    `json:"base64OriginalPayload"`
	Failures              []failure `json:"failures"`
}

type failure struct {
	FailedAction   string `json:"failedAction"`
	FailedResource string `json:"failedResource"`
	ErrorMessage   string `json:"errorMessage"`
}

// runErrorAction tells all failures of one rule and message to its error action,
// whose templates see the original message.
func (s *Service) runErrorAction(ctx context.Context, failed []*task) {
	x := failed[0].x
	msg := errorMessage{
		RuleName: x.rule.Name, Topic: x.message.Topic, CloudwatchTraceID: x.input.TraceID(), ClientID: x.message.ClientID,
		Base64OriginalPayload: base64.StdEncoding.EncodeToString(x.message.Payload),
	}
	if msg.ClientID == "" {
		msg.ClientID = "N/A"
	}
	for _, t := range failed {
		msg.Failures = append(msg.Failures, failure{
			FailedAction: t.action.failed, FailedResource: t.action.resource,
			ErrorMessage: fmt.Sprintf("%s Message arrived on: %s, Action: %s, Resource: %s", told(t.err), x.message.Topic, t.action.kind, t.action.resource),
		})
	}
	a := x.rule.onError
	err := func() error {
		doc, err := json.Marshal(msg)
		if err != nil {
			return fmt.Errorf("encode the error message: %w", err)
		}
		v, err := iotsql.ParseJSON(string(doc), true)
		if err != nil {
			return fmt.Errorf("read the error message: %w", err)
		}
		told := *x
		told.result.Value, told.result.Raw = v, false
		do, err := a.do.prepare(&told)
		if err != nil || do == nil {
			return err
		}
		return do(ctx)
	}()
	if err != nil {
		a.meters.failure.Observe(1)
		a.log.warn(s.opt.Log, "error action failed", err, "rule", x.rule.Name, "action", a.kind, "resource", a.resource)
		return
	}
	a.meters.success.Observe(1)
}

// told returns what an error action may be told of err; internal causes stay in
// the log.
func told(err error) string {
	if k := fault.KindOf(err); k == fault.Internal || k == fault.Corrupt {
		return "The action failed because of an internal error."
	}
	return fault.MessageOf(err)
}

// Retained is a message that a broker keeps for later subscribers.
type Retained struct {
	Message
	At time.Time // when it was published
}
