// Package messaging is topics and queues: as much of SNS and SQS as makes notifications work
// without another service. Topics fan messages out to queues, to HTTP(S) endpoints and to
// topics of the MQTT broker; queues keep messages until somebody deletes them.
//
// Everything that is acknowledged is a document in [Documents]: topics, subscriptions,
// queues, the messages of queues, and deliveries to HTTP endpoints that were not
// done yet. A publish to any number of subscribers is one change of the documents. What is in
// memory alone is who is reading which message: after a restart all messages that were not
// deleted are visible again, as the at-least-once promise of SQS allows.
//
// Visibility timeouts, delays, retention, deduplication and retries live on the injected
// clock; only the waiting of a long poll is on the machine's.
//
// Keys of documents: topic/<name>, subscription/<topic>:<id>, queue/<name>,
// message/<queue>/<number>, delivery/<number>; numbers have 20 digits and only grow.
//
// A [Service] is safe for concurrent use.
package messaging

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
)

// Documents keeps the state, JSON texts by key: a meta.Bucket.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Options configure a Service. The zero value works.
type Options struct {
	Documents Documents    // nil: nothing is kept, for tests
	Clock     *clock.Clock // nil: the machine's
	Region    string       // in ARNs; "us-east-1"
	AccountID string       // in ARNs; "000000000000"

	// MQTT hands a message to the subscribers of an MQTT topic; nil: subscriptions of
	// protocol mqtt are refused.
	MQTT func(ctx context.Context, topic string, payload []byte) error
	// URL is this server's endpoint, for the links in messages to HTTP endpoints.
	URL func() string
	// HTTP sends to HTTP endpoints; nil: a client with a timeout of 15 s.
	HTTP *http.Client

	MaxTopics   int          // 1000
	MaxQueues   int          // 1000
	MaxMessages int          // per queue; 100000
	Log         *slog.Logger // nil: discard
}

func (o Options) withDefaults() Options {
	def(&o.Region, "us-east-1")
	def(&o.AccountID, "000000000000")
	def(&o.MaxTopics, 1000)
	def(&o.MaxQueues, 1000)
	def(&o.MaxMessages, 100_000)
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.URL == nil {
		o.URL = func() string { return "" }
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Code says what is wrong in the words of the two APIs' error codes.
type Code string

// The codes that the doors translate.
const (
	NotFound         Code = "NotFound" // topic or subscription
	InvalidParameter Code = "InvalidParameter"
	NoQueue          Code = "NonExistentQueue"
	QueueExists      Code = "QueueAlreadyExists"
	InvalidAttribute Code = "InvalidAttributeName"
	InvalidValue     Code = "InvalidAttributeValue"
	InvalidHandle    Code = "ReceiptHandleIsInvalid"
	NotInFlight      Code = "MessageNotInflight"
	MissingParameter Code = "MissingParameter"
	OverLimit        Code = "OverLimit"
)

// Error is a refusal.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// FaultKind makes an Error the caller's fault.
func (e *Error) FaultKind() fault.Kind {
	switch e.Code {
	case NotFound, NoQueue:
		return fault.NotFound
	case QueueExists:
		return fault.Conflict
	case OverLimit:
		return fault.Quota
	}
	return fault.Invalid
}

func refuse(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Value is a message attribute's value. DataType is String, Number or Binary, maybe
// with a suffix after a dot; Text is not used with Binary.
type Value struct {
	DataType string
	Text     string
	Binary   []byte `json:",omitempty"`
}

func (v *Value) isBinary() bool { return strings.HasPrefix(v.DataType, "Binary") }

// Service holds topics and queues. See [Open].
type Service struct {
	opts   Options
	ctx    context.Context // ends polls and deliveries
	cancel context.CancelFunc
	wg     sync.WaitGroup

	changing sync.Mutex // held across a change's write to disk; taken before mu

	mu            sync.Mutex // guards the fields below and what they hold
	topics        map[string]*Topic
	subscriptions map[string]*Subscription // by ARN
	queues        map[string]*queue
	deliveries    map[string]*delivery // by key
	number        uint64               // last one given
	wake          context.CancelFunc   // ends the delivery loop's wait
}

// Open returns a Service with what its documents hold and goes on with deliveries. A
// document that cannot be read is damage (fault.Corrupt).
func Open(o Options) (*Service, error) {
	s := &Service{
		opts: o.withDefaults(), topics: map[string]*Topic{}, subscriptions: map[string]*Subscription{}, queues: map[string]*queue{}, deliveries: map[string]*delivery{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.opts.Documents != nil {
		messages := map[string][]byte{}
		err := s.opts.Documents.Each(func(key string, doc []byte) error {
			if strings.HasPrefix(key, "message/") { // after their queues
				messages[key] = doc
				return nil
			}
			return s.load(key, doc)
		})
		if err == nil {
			err = s.loadMessages(messages)
		}
		if err != nil {
			return nil, err
		}
	}
	s.wg.Go(s.deliverLoop)
	return s, nil
}

func (s *Service) load(key string, doc []byte) error {
	var err error
	kind, name, _ := strings.Cut(key, "/")
	switch kind {
	case "topic":
		t := &Topic{}
		err = json.Unmarshal(doc, t)
		s.topics[name] = t
	case "subscription":
		sub := &Subscription{}
		err = json.Unmarshal(doc, sub)
		s.subscriptions[sub.ARN] = sub
	case "queue":
		q := &Queue{}
		err = json.Unmarshal(doc, q)
		s.queues[name] = newQueue(q)
	case "delivery":
		d := &delivery{key: key}
		err = json.Unmarshal(doc, d)
		s.deliveries[key] = d
		s.sawNumber(name)
	default:
		err = fmt.Errorf("a document of this kind is not known to this version")
	}
	return fault.Wrap(fault.Corrupt, err, "the document %q of topics and queues cannot be read", key)
}

func (s *Service) loadMessages(docs map[string][]byte) error {
	keys := make([]string, 0, len(docs))
	for key := range docs {
		keys = append(keys, key)
	}
	slices.Sort(keys) // by number, in each queue
	for _, key := range keys {
		parts := strings.Split(key, "/")
		m := &message{key: key}
		err := json.Unmarshal(docs[key], m)
		if err == nil && (len(parts) != 3 || s.queues[parts[1]] == nil) {
			err = fmt.Errorf("its queue does not exist")
		}
		if err != nil {
			return fault.Wrap(fault.Corrupt, err, "the document %q of topics and queues cannot be read", key)
		}
		s.sawNumber(parts[2])
		s.queues[parts[1]].addLocked(m)
	}
	return nil
}

func (s *Service) sawNumber(text string) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		s.number = max(s.number, n)
	}
}

// nextNumber returns the next number as 20 digits; the caller holds changing.
func (s *Service) nextNumber() string {
	s.number++
	return fmt.Sprintf("%020d", s.number)
}

// Stop ends polls and deliveries without waiting for them; publishing and sending go on.
func (s *Service) Stop() { s.cancel() }

// Close stops and waits; what was not delivered is tried again after the next Open.
func (s *Service) Close() {
	s.cancel()
	s.wg.Wait()
}

// apply makes changes durable; the caller holds changing.
func (s *Service) apply(changes map[string]any) error {
	if s.opts.Documents == nil || len(changes) == 0 {
		return nil
	}
	docs := make(map[string][]byte, len(changes))
	for key, v := range changes {
		if v == nil {
			docs[key] = nil
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		docs[key] = text
	}
	return s.opts.Documents.Apply(docs)
}

func (s *Service) arn(service, resource string) string {
	return arn.New(service, s.opts.Region, s.opts.AccountID, resource).String()
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
