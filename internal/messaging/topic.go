package messaging

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Topic is a topic as declared. A *Topic is immutable: a change publishes another.
type Topic struct {
	Name       string
	ARN        string
	Attributes map[string]string
	Tags       map[string]string `json:",omitempty"`
}

// FIFO reports whether the topic keeps the order of its messages.
func (t *Topic) FIFO() bool { return strings.HasSuffix(t.Name, ".fifo") }

var topicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// topicAttributes are those that SetTopicAttributes takes, and that are stored and echoed.
var topicAttributes = map[string]bool{
	"DisplayName": true, "Policy": true, "DeliveryPolicy": true, "KmsMasterKeyId": true, "TracingConfig": true, "SignatureVersion": true,
	"ContentBasedDeduplication": true, "FifoTopic": true, "FifoThroughputScope": true, "ArchivePolicy": true, "DataProtectionPolicy": true,
}

// CreateTopic makes a topic, or returns the one of that name.
func (s *Service) CreateTopic(name string, attributes, tags map[string]string) (*Topic, error) {
	fifo := attributes["FifoTopic"] == "true"
	if base := strings.TrimSuffix(name, ".fifo"); !topicName.MatchString(base) || (base != name) != fifo {
		return nil, refuse(InvalidParameter, "Invalid parameter: Topic Name")
	}
	for a := range attributes {
		if !topicAttributes[a] {
			return nil, refuse(InvalidParameter, "Invalid parameter: Attributes Reason: Unknown attribute %s", a)
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	old, count := s.topics[name], len(s.topics)
	s.mu.Unlock()
	if old != nil {
		for a, v := range attributes {
			if old.Attributes[a] != v {
				return nil, refuse(InvalidParameter, "Invalid parameter: Attributes Reason: Topic already exists with different attributes")
			}
		}
		return old, nil
	}
	if count >= s.opts.MaxTopics {
		return nil, refuse(OverLimit, "The limit of %d topics is reached.", s.opts.MaxTopics)
	}
	t := &Topic{Name: name, ARN: s.arn("sns", name), Attributes: maps.Clone(attributes), Tags: maps.Clone(tags)}
	return t, s.putTopic(t)
}

func (s *Service) putTopic(t *Topic) error {
	if err := s.apply(map[string]any{"topic/" + t.Name: t}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[t.Name] = t
	return nil
}

// Topic returns the topic of that ARN.
func (s *Service) Topic(arn string) (*Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topicLocked(arn)
}

func (s *Service) topicLocked(arn string) (*Topic, error) {
	if t := s.topics[arn[strings.LastIndexByte(arn, ':')+1:]]; t != nil && t.ARN == arn {
		return t, nil
	}
	if strings.Count(arn, ":") != 5 {
		return nil, refuse(InvalidParameter, "Invalid parameter: TopicArn")
	}
	return nil, refuse(NotFound, "Topic does not exist")
}

// Topics returns all topics by name.
func (s *Service) Topics() []*Topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.topics), func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
}

// ChangeTopic replaces a topic by what f makes of a copy, whose maps f may change.
func (s *Service) ChangeTopic(arn string, f func(t *Topic) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	t, err := s.Topic(arn)
	if err != nil {
		return err
	}
	next := &Topic{t.Name, t.ARN, map[string]string{}, map[string]string{}}
	maps.Copy(next.Attributes, t.Attributes)
	maps.Copy(next.Tags, t.Tags)
	if err := f(next); err != nil {
		return err
	}
	return s.putTopic(next)
}

// SetTopicAttribute changes one attribute.
func (s *Service) SetTopicAttribute(arn, name, value string) error {
	return s.ChangeTopic(arn, func(t *Topic) error {
		if !topicAttributes[name] || name == "FifoTopic" {
			return refuse(InvalidParameter, "Invalid parameter: AttributeName")
		}
		t.Attributes[name] = value
		return nil
	})
}

// DeleteTopic removes a topic and its subscriptions; one that is not there is not an error.
func (s *Service) DeleteTopic(arn string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	t, err := s.Topic(arn)
	if err != nil {
		if e := err.(*Error); e.Code == NotFound {
			return nil
		}
		return err
	}
	changes := map[string]any{"topic/" + t.Name: nil}
	gone := s.Subscriptions(arn)
	for _, sub := range gone {
		changes[sub.key()] = nil
	}
	if err := s.apply(changes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.topics, t.Name)
	for _, sub := range gone {
		delete(s.subscriptions, sub.ARN)
	}
	return nil
}

// Subscription is one subscriber. A *Subscription is immutable.
type Subscription struct {
	ARN, TopicARN, Protocol, Endpoint string
	Token                             string // of the confirmation that is awaited; "" once confirmed
	Raw                               bool   // RawMessageDelivery: without the envelope
}

func (sub *Subscription) key() string {
	parts := strings.SplitN(sub.ARN, ":", 6)
	return "subscription/" + parts[5]
}

// Confirmed reports whether messages are sent.
func (sub *Subscription) Confirmed() bool { return sub.Token == "" }

// Subscribe adds a subscriber, or returns the one that is there. A queue of this server
// and an MQTT topic are confirmed at once; an HTTP(S) endpoint is sent a request for
// confirmation first, as by AWS.
func (s *Service) Subscribe(topicARN, protocol, endpoint string, raw bool) (*Subscription, error) {
	if err := s.checkEndpoint(protocol, endpoint); err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	t, err := s.Topic(topicARN)
	if err != nil {
		return nil, err
	}
	for _, sub := range s.Subscriptions(topicARN) {
		if sub.Protocol == protocol && sub.Endpoint == endpoint && (sub.Confirmed() || protocol == "sqs" || protocol == "mqtt") {
			return sub, nil
		}
	}
	sub := &Subscription{ARN: t.ARN + ":" + uuid(), TopicARN: t.ARN, Protocol: protocol, Endpoint: endpoint, Raw: raw}
	changes := map[string]any{sub.key(): sub}
	var d *delivery
	if protocol == "http" || protocol == "https" {
		sub.Token = strings.ReplaceAll(uuid()+uuid(), "-", "")
		d = s.confirmation(sub)
		changes[d.key] = d
	}
	if err := s.apply(changes); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions[sub.ARN] = sub
	if d != nil {
		s.deliveries[d.key] = d
		s.wakeLocked()
	}
	return sub, nil
}

func (s *Service) checkEndpoint(protocol, endpoint string) error {
	bad := refuse(InvalidParameter, "Invalid parameter: Endpoint")
	switch protocol {
	case "http", "https":
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != protocol || u.Host == "" {
			return bad
		}
		return nil
	case "sqs":
		s.mu.Lock()
		defer s.mu.Unlock()
		if q := s.queueOfARNLocked(endpoint); q == nil {
			return refuse(InvalidParameter, "Invalid parameter: SQS endpoint ARN")
		}
		return nil
	case "mqtt":
		if s.opts.MQTT == nil || endpoint == "" || strings.ContainsAny(endpoint, "#+\x00") || len(endpoint) > 256 {
			return bad
		}
		return nil
	}
	return refuse(InvalidParameter, "Invalid parameter: Protocol %s is not supported; http, https, sqs and mqtt are", protocol)
}

// Confirm confirms a subscription by its token.
func (s *Service) Confirm(topicARN, token string) (*Subscription, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if _, err := s.Topic(topicARN); err != nil {
		return nil, err
	}
	for _, sub := range s.Subscriptions(topicARN) {
		if sub.Token == token && token != "" {
			next := *sub
			next.Token = ""
			return &next, s.putSubscription(&next)
		}
	}
	return nil, refuse(InvalidParameter, "Invalid token")
}

func (s *Service) putSubscription(sub *Subscription) error {
	if err := s.apply(map[string]any{sub.key(): sub}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions[sub.ARN] = sub
	return nil
}

// Subscription returns the subscription of that ARN.
func (s *Service) Subscription(arn string) (*Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subscriptions[arn]; sub != nil {
		return sub, nil
	}
	return nil, refuse(NotFound, "Subscription does not exist")
}

// Subscriptions returns the subscriptions of a topic, or all if topicARN is "", by ARN.
func (s *Service) Subscriptions(topicARN string) []*Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subscriptionsLocked(topicARN)
}

func (s *Service) subscriptionsLocked(topicARN string) []*Subscription {
	var list []*Subscription
	for _, sub := range s.subscriptions {
		if topicARN == "" || sub.TopicARN == topicARN {
			list = append(list, sub)
		}
	}
	slices.SortFunc(list, func(a, b *Subscription) int { return cmp.Compare(a.ARN, b.ARN) })
	return list
}

// SetRaw turns RawMessageDelivery on or off.
func (s *Service) SetRaw(arn string, raw bool) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	sub, err := s.Subscription(arn)
	if err != nil {
		return err
	}
	next := *sub
	next.Raw = raw
	return s.putSubscription(&next)
}

// Unsubscribe removes a subscription; one that is not there is not an error.
func (s *Service) Unsubscribe(arn string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	sub, err := s.Subscription(arn)
	if err != nil {
		return nil
	}
	if err := s.apply(map[string]any{sub.key(): nil}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, arn)
	return nil
}
