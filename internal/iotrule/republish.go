package iotrule

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

const kindRepublish = "republish"

// maxPayload bounds a republished message, as the broker bounds others.
const maxPayload = 128 << 10

// republishAction publishes a rule's output on a topic: to other rules and to
// subscribers.
type republishAction struct {
	service *Service
	role    string // that publishes
	topic   *iotsql.Template
	qos     byte

	format, contentType, responseTopic, correlation, expiry *iotsql.Template // nil: absent
	userKeys, userValues                                    []*iotsql.Template
}

func (s *Service) compileRepublish(c *compiled, p *Republish, at string) (*action, error) {
	at += ".republish"
	if err := checkRole(p.RoleARN, at+".roleArn"); err != nil {
		return nil, err
	}
	if p.QoS > 1 {
		return nil, invalid("%s.qos must be 0 or 1, not %d.", at, p.QoS)
	}
	a := &republishAction{service: s, role: p.RoleARN, qos: p.QoS}
	var err error
	if a.topic, err = template(c.stmt, p.Topic, at+".topic"); err != nil {
		return nil, err
	}
	if h := p.Headers; h != nil {
		if err := a.setHeaders(c, h, at+".headers"); err != nil {
			return nil, err
		}
	}
	return &action{kind: kindRepublish, failed: "RepublishAction", resource: p.Topic, do: a}, nil
}

func (a *republishAction) setHeaders(c *compiled, h *Headers, at string) (err error) {
	optional := func(into **iotsql.Template, text, name string) {
		if text != "" && err == nil {
			*into, err = template(c.stmt, text, at+"."+name)
		}
	}
	optional(&a.format, h.PayloadFormatIndicator, "payloadFormatIndicator")
	optional(&a.contentType, h.ContentType, "contentType")
	optional(&a.responseTopic, h.ResponseTopic, "responseTopic")
	optional(&a.correlation, h.CorrelationData, "correlationData")
	optional(&a.expiry, h.MessageExpiry, "messageExpiry")
	for _, p := range h.UserProperties {
		var key, value *iotsql.Template
		optional(&key, p.Key, "userProperties.key")
		optional(&value, p.Value, "userProperties.value")
		if key != nil && value != nil {
			a.userKeys, a.userValues = append(a.userKeys, key), append(a.userValues, value)
		}
	}
	return err
}

func (a *republishAction) prepare(x *execution) (job, error) {
	m := &Message{ClientID: x.message.ClientID, Principal: x.message.Principal, QoS: a.qos, depth: x.message.depth + 1}
	if m.depth > maxDepth {
		return nil, invalid("The message was republished %d times by rules; the chain ends here.", maxDepth)
	}
	var err error
	if m.Topic, err = substitute(x, a.topic, "topic"); err != nil {
		return nil, err
	}
	if strings.HasPrefix(m.Topic, "$$") {
		m.Topic = m.Topic[1:]
	} else if strings.HasPrefix(m.Topic, "$") {
		return nil, invalid("The topic %s is reserved; write it with a doubled dollar sign.", m.Topic)
	}
	if err := CheckTopic(m.Topic); err != nil {
		return nil, err
	}
	if err := a.service.authorize(a.role, "iot:Publish", a.service.TopicARN(m.Topic)); err != nil {
		return nil, err
	}
	if m.Payload, err = payloadOf(x); err != nil {
		return nil, err
	}
	if err := a.headers(x, m); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := a.service.Publish(ctx, m); err != nil {
			return err
		}
		if deliver := a.service.deliver.Load(); deliver != nil && !strings.HasPrefix(m.Topic, basicIngestPrefix) {
			return (*deliver)(ctx, m)
		}
		return nil
	}, nil
}

// payloadOf is the payload itself for SELECT *, else the output as JSON; of
// SELECT VALUE with a string, the string.
func payloadOf(x *execution) ([]byte, error) {
	v := x.result.Value
	switch {
	case x.result.Raw:
		return x.message.Payload, nil
	case v.Kind() == iotsql.Undefined:
		return nil, nil
	case v.Kind() == iotsql.Str:
		return []byte(v.Str()), nil
	}
	b, err := v.AppendJSON(nil, maxPayload)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The output of the rule is larger than %d bytes.", maxPayload)
	}
	return b, nil
}

func (a *republishAction) headers(x *execution, m *Message) error {
	text := func(t *iotsql.Template) string {
		if t == nil {
			return ""
		}
		s, _ := t.Eval(x.input, &x.result)
		return s
	}
	m.ContentType, m.ResponseTopic = text(a.contentType), text(a.responseTopic)
	switch format := text(a.format); format {
	case "", "UNSPECIFIED_BYTES":
	case "UTF8_DATA":
		m.UTF8Payload = true
	default:
		return invalid("The payloadFormatIndicator %q is invalid: it must be UNSPECIFIED_BYTES or UTF8_DATA.", format)
	}
	if s := text(a.correlation); s != "" {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The correlationData is not base64.")
		}
		m.CorrelationData = b
	}
	if s := text(a.expiry); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "The messageExpiry %q is not a number of seconds.", s)
		}
		m.ExpirySeconds = uint32(n)
	}
	for i := range a.userKeys {
		m.UserProperties = append(m.UserProperties, iotsql.Property{Key: text(a.userKeys[i]), Value: text(a.userValues[i])})
	}
	return nil
}

// CheckTopic says what keeps a topic from being published to, with kind
// fault.Invalid: its length, its levels, wildcards, or that it is reserved.
func CheckTopic(topic string) error {
	levels := topic
	if rest, ok := strings.CutPrefix(topic, basicIngestPrefix); ok {
		_, levels, _ = strings.Cut(rest, "/")
	} else if strings.HasPrefix(topic, "$") {
		return invalid("The topic %.256q is reserved.", topic)
	}
	switch {
	case topic == "":
		return invalid("The topic is empty.")
	case len(levels) > iotsql.MaxTopicBytes:
		return invalid("The topic has %d bytes, more than %d.", len(levels), iotsql.MaxTopicBytes)
	case strings.Count(levels, "/") > iotsql.MaxTopicSlashes:
		return invalid("The topic %.256q has more than %d slashes.", topic, iotsql.MaxTopicSlashes)
	case strings.ContainsAny(topic, "+#\x00"):
		return invalid("The topic %.256q has a wildcard or a zero character.", topic)
	}
	return nil
}
