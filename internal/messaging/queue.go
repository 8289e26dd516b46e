package messaging

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Queue is a queue as declared. A *Queue is immutable: a change publishes another.
type Queue struct {
	Name       string
	ARN        string
	Attributes map[string]string // as given; see [Service.QueueAttributes] for the rest
	Tags       map[string]string `json:",omitempty"`
	Created    time.Time
	Modified   time.Time
}

// FIFO reports whether the queue keeps the order of its messages.
func (q *Queue) FIFO() bool { return strings.HasSuffix(q.Name, ".fifo") }

// queue is a queue and its messages. The service's mu guards it.
type queue struct {
	*Queue
	messages []*message        // in order of arrival
	seen     map[string]sentAs // of a FIFO queue: deduplication ids of the last minutes
	polls    map[*poll]bool    // who waits for a message
}

type sentAs struct {
	m  *message
	at time.Time
}

// poll is a call that waits; cancel has it look again.
type poll struct{ cancel func() }

// message is one message of a queue; its exported fields are its document.
type message struct {
	ID            string
	Body          string
	Attributes    map[string]Value `json:",omitempty"`
	GroupID       string           `json:",omitempty"`
	Deduplication string           `json:",omitempty"`
	Sent          time.Time
	VisibleAt     time.Time // of a delayed message

	key      string // of the document; its number orders messages
	received int
	first    time.Time
	handle   string // of the latest receive
	inFlight bool
}

func (m *message) number() string { return m.key[strings.LastIndexByte(m.key, '/')+1:] }

func newQueue(q *Queue) *queue {
	return &queue{Queue: q, seen: map[string]sentAs{}, polls: map[*poll]bool{}}
}

func (q *queue) addLocked(m *message) {
	q.messages = append(q.messages, m)
	if q.FIFO() {
		q.seen[m.Deduplication] = sentAs{m, m.Sent}
	}
	q.wakeLocked()
}

func (q *queue) wakeLocked() {
	for p := range q.polls {
		p.cancel()
	}
}

// number returns an attribute that is a number, or its default.
func (q *queue) setting(name string) time.Duration {
	n, err := strconv.Atoi(q.Attributes[name])
	if err != nil {
		n = numeric[name].otherwise
	}
	return time.Duration(n) * time.Second
}

// numeric are the attributes that are numbers: their limits and defaults (SQS API, SetQueueAttributes).
var numeric = map[string]struct{ from, to, otherwise int }{
	"DelaySeconds":                  {0, 900, 0},
	"MaximumMessageSize":            {1024, 1048576, maxMessageBytes},
	"MessageRetentionPeriod":        {60, 1209600, 345600},
	"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
	"VisibilityTimeout":             {0, 43200, 30},
	"KmsDataKeyReusePeriodSeconds":  {60, 86400, 300},
}

// echoed are the other attributes that can be set. Policies and keys are stored and told.
var echoed = map[string]bool{
	"Policy": true, "FifoQueue": true, "ContentBasedDeduplication": true, "DeduplicationScope": true, "FifoThroughputLimit": true,
	"KmsMasterKeyId": true, "SqsManagedSseEnabled": true, "RedrivePolicy": true, "RedriveAllowPolicy": true,
}

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// redrive is the RedrivePolicy attribute.
type redrive struct {
	Target string      `json:"deadLetterTargetArn"`
	Max    json.Number `json:"maxReceiveCount"`
}

func (s *Service) checkQueueAttributes(attributes map[string]string) error {
	for name, value := range attributes {
		limits, isNumber := numeric[name]
		switch {
		case isNumber:
			if n, err := strconv.Atoi(value); err != nil || n < limits.from || n > limits.to {
				return refuse(InvalidValue, "Invalid value for the parameter %s. Reason: Must be an integer from %d to %d.", name, limits.from, limits.to)
			}
		case !echoed[name]:
			return refuse(InvalidAttribute, "Unknown Attribute %s.", name)
		case name == "RedrivePolicy" && value != "":
			var r redrive
			err := json.Unmarshal([]byte(value), &r)
			n, err2 := r.Max.Int64()
			if err != nil || err2 != nil || n < 1 || n > 1000 {
				return refuse(InvalidValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Amazon SQS can't create the redrive policy, as it's in an unsupported format.", value)
			}
			s.mu.Lock()
			dead := s.queueOfARNLocked(r.Target)
			s.mu.Unlock()
			if dead == nil {
				return refuse(InvalidValue, "Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.", value)
			}
		}
	}
	return nil
}

// CreateQueue makes a queue, or returns the one of that name if its attributes are the
// same.
func (s *Service) CreateQueue(name string, attributes, tags map[string]string) (*Queue, error) {
	fifo := attributes["FifoQueue"] == "true"
	base := strings.TrimSuffix(name, ".fifo")
	if !queueName.MatchString(base) || len(name) > 80 || (base != name) != fifo {
		return nil, refuse(InvalidValue, "The name of a queue has 1 to 80 letters, digits, hyphens and underscores; that of a FIFO queue, and of no other, ends in .fifo.")
	}
	if v, ok := attributes["FifoQueue"]; ok && v != "true" {
		return nil, refuse(InvalidAttribute, "Unknown Attribute FifoQueue.")
	}
	if err := s.checkQueueAttributes(attributes); err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	old, count := s.queues[name], len(s.queues)
	s.mu.Unlock()
	if old != nil {
		for a, v := range attributes {
			if has := s.attribute(old.Queue, a); has != v {
				return nil, refuse(QueueExists, "A queue already exists with the same name and a different value for attribute %s", a)
			}
		}
		return old.Queue, nil
	}
	if count >= s.opts.MaxQueues {
		return nil, refuse(OverLimit, "The limit of %d queues is reached.", s.opts.MaxQueues)
	}
	now := s.opts.Clock.Now()
	q := &Queue{Name: name, ARN: s.arn("sqs", name), Attributes: maps.Clone(attributes), Tags: maps.Clone(tags), Created: now, Modified: now}
	if err := s.apply(map[string]any{"queue/" + name: q}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name] = newQueue(q)
	return q, nil
}

// attribute returns a settable attribute with its default.
func (s *Service) attribute(q *Queue, name string) string {
	if v, ok := q.Attributes[name]; ok {
		return v
	}
	if n, ok := numeric[name]; ok {
		return strconv.Itoa(n.otherwise)
	}
	switch name {
	case "SqsManagedSseEnabled":
		return "true"
	case "ContentBasedDeduplication":
		return "false"
	}
	return ""
}

func noQueue() error { return refuse(NoQueue, "The specified queue does not exist.") }

func (s *Service) queueLocked(name string) (*queue, error) {
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, noQueue()
}

func (s *Service) queueOfARNLocked(arn string) *queue {
	if q := s.queues[arn[strings.LastIndexByte(arn, ':')+1:]]; q != nil && q.ARN == arn {
		return q
	}
	return nil
}

// Queue returns the queue of that name.
func (s *Service) Queue(name string) (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(name)
	if err != nil {
		return nil, err
	}
	return q.Queue, nil
}

// Queues returns the queues whose names begin with prefix, by name.
func (s *Service) Queues(prefix string) []*Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Queue
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		if strings.HasPrefix(name, prefix) {
			list = append(list, s.queues[name].Queue)
		}
	}
	return list
}

// QueueAttributes returns all attributes of a queue as the API tells them.
func (s *Service) QueueAttributes(name string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(name)
	if err != nil {
		return nil, err
	}
	out := map[string]string{
		"QueueArn": q.ARN, "CreatedTimestamp": strconv.FormatInt(q.Created.Unix(), 10), "LastModifiedTimestamp": strconv.FormatInt(q.Modified.Unix(), 10),
		"SqsManagedSseEnabled": "true",
	}
	for name := range numeric {
		if name != "KmsDataKeyReusePeriodSeconds" {
			out[name] = s.attribute(q.Queue, name)
		}
	}
	if q.FIFO() {
		out["FifoQueue"], out["ContentBasedDeduplication"] = "true", "false"
		out["DeduplicationScope"], out["FifoThroughputLimit"] = "queue", "perQueue"
	}
	for name, v := range q.Attributes {
		if v != "" {
			out[name] = v
		}
	}
	now := s.opts.Clock.Now()
	visible, hidden, delayed := 0, 0, 0
	for _, m := range q.messages {
		switch {
		case now.Sub(m.Sent) > q.setting("MessageRetentionPeriod"):
		case !m.VisibleAt.After(now):
			visible++
		case m.inFlight:
			hidden++
		default:
			delayed++
		}
	}
	out["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	out["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(hidden)
	out["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	return out, nil
}

// ChangeQueue replaces a queue by what f makes of a copy, whose maps f may change.
func (s *Service) ChangeQueue(name string, f func(q *Queue) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	q, err := s.Queue(name)
	if err != nil {
		return err
	}
	next := *q
	next.Attributes, next.Tags = map[string]string{}, map[string]string{}
	maps.Copy(next.Attributes, q.Attributes)
	maps.Copy(next.Tags, q.Tags)
	next.Modified = s.opts.Clock.Now()
	if err := f(&next); err != nil {
		return err
	}
	if err := s.apply(map[string]any{"queue/" + name: &next}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[name].Queue = &next
	return nil
}

// SetQueueAttributes changes attributes; an empty value removes one.
func (s *Service) SetQueueAttributes(name string, attributes map[string]string) error {
	if _, ok := attributes["FifoQueue"]; ok {
		return refuse(InvalidAttribute, "Unknown Attribute FifoQueue.")
	}
	if err := s.checkQueueAttributes(attributes); err != nil {
		return err
	}
	return s.ChangeQueue(name, func(q *Queue) error {
		for a, v := range attributes {
			if v == "" {
				delete(q.Attributes, a)
			} else {
				q.Attributes[a] = v
			}
		}
		return nil
	})
}

// DeleteQueue removes a queue and its messages.
func (s *Service) DeleteQueue(name string) error { return s.empty(name, true) }

// Purge removes the messages of a queue.
func (s *Service) Purge(name string) error { return s.empty(name, false) }

func (s *Service) empty(name string, remove bool) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	q, err := s.queueLocked(name)
	changes := map[string]any{}
	if err == nil {
		for _, m := range q.messages {
			changes[m.key] = nil
		}
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if remove {
		changes["queue/"+name] = nil
	}
	if err := s.apply(changes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q.messages = nil
	if remove {
		delete(s.queues, name)
		q.wakeLocked()
	}
	return nil
}

// Outgoing is a message to send.
type Outgoing struct {
	Body                   string
	Attributes             map[string]Value
	GroupID, Deduplication string
	Delay                  *time.Duration // nil: the queue's
}

// Sent is the answer to a send.
type Sent struct{ MessageID, SequenceNumber string }

// Send puts a message into a queue, durably.
func (s *Service) Send(name string, out Outgoing) (Sent, error) {
	if out.Body == "" {
		return Sent{}, refuse(MissingParameter, "The request must contain the parameter MessageBody.")
	}
	if err := checkAttributes(out.Attributes); err != nil {
		return Sent{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	q, err := s.queueLocked(name)
	var m *message
	var fresh bool
	if err == nil {
		m, fresh, err = s.messageLocked(q, out)
	}
	s.mu.Unlock()
	if err != nil {
		return Sent{}, err
	}
	if fresh {
		if err := s.apply(map[string]any{m.key: m}); err != nil {
			return Sent{}, err
		}
		s.mu.Lock()
		q.addLocked(m)
		s.mu.Unlock()
	}
	sent := Sent{MessageID: m.ID}
	if q.FIFO() {
		sent.SequenceNumber = m.number()
	}
	return sent, nil
}

// dedupWindow is how long a FIFO queue remembers deduplication ids (SQS guide).
const dedupWindow = 5 * time.Minute

// messageLocked makes a message for q; fresh is false if it was sent before. The caller holds changing too.
func (s *Service) messageLocked(q *queue, out Outgoing) (m *message, fresh bool, err error) {
	now := s.opts.Clock.Now()
	if limit, _ := strconv.Atoi(s.attribute(q.Queue, "MaximumMessageSize")); len(out.Body) > limit {
		return nil, false, refuse(InvalidValue, "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	if len(q.messages) >= s.opts.MaxMessages {
		return nil, false, refuse(OverLimit, "The queue holds %d messages, the most that this server keeps.", len(q.messages))
	}
	m = &message{ID: uuid(), Body: out.Body, Attributes: out.Attributes, Sent: now, VisibleAt: now.Add(q.setting("DelaySeconds"))}
	if out.Delay != nil && !q.FIFO() {
		m.VisibleAt = now.Add(*out.Delay)
	}
	switch {
	case !q.FIFO() && out.Deduplication != "":
		return nil, false, refuse(InvalidValue, "Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", out.Deduplication)
	case q.FIFO() && out.GroupID == "":
		return nil, false, refuse(MissingParameter, "The request must contain the parameter MessageGroupId.")
	case q.FIFO():
		m.Deduplication = out.Deduplication
		if m.Deduplication == "" {
			if q.Attributes["ContentBasedDeduplication"] != "true" {
				return nil, false, refuse(InvalidValue, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
			}
			m.Deduplication = contentHash(out.Body)
		}
		maps.DeleteFunc(q.seen, func(_ string, was sentAs) bool { return now.Sub(was.at) > dedupWindow })
		if was, ok := q.seen[m.Deduplication]; ok {
			return was.m, false, nil
		}
	}
	m.GroupID = out.GroupID
	m.key = "message/" + q.Name + "/" + s.nextNumber()
	return m, true, nil
}

func contentHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

var dataType = regexp.MustCompile(`^(String|Number|Binary)(\..{1,249})?$`)

func checkAttributes(attributes map[string]Value) error {
	for name, v := range attributes {
		switch {
		case name == "" || len(name) > 256:
			return refuse(InvalidValue, "Message attribute name must have 1 to 256 characters.")
		case !dataType.MatchString(v.DataType):
			return refuse(InvalidValue, "The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
		case v.isBinary() && len(v.Binary) == 0, !v.isBinary() && v.Text == "":
			return refuse(InvalidValue, "The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", name, v.DataType)
		}
	}
	return nil
}

// BodyMD5 is the MD5 of a text, as clients check it.
func BodyMD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// AttributesMD5 is the MD5 of message attributes (SQS guide, "Calculating the MD5 message
// digest for message attributes"), or "" without any.
func AttributesMD5(attributes map[string]Value) string {
	if len(attributes) == 0 {
		return ""
	}
	var b []byte
	add := func(text string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v := attributes[name]
		add(name)
		add(v.DataType)
		if v.isBinary() {
			b = append(b, 2)
			add(string(v.Binary))
		} else {
			b = append(b, 1)
			add(v.Text)
		}
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
