package iot

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

// data is the data plane.
type data struct{ Options }

func (s *data) service() *wire.Service {
	return &wire.Service{
		Name:         "iotdata",
		SigningNames: []string{"iotdata", "iotdevicegateway"},
		Operations: map[string]wire.Handler{
			"Publish":              s.publish,
			"GetRetainedMessage":   s.getRetained,
			"ListRetainedMessages": s.listRetained,
			"DeleteConnection":     s.deleteConnection,
		},
		Routes: []wire.Route{
			{Method: "POST", Pattern: "/topics/{topic...}", Operation: "Publish"},
			{Method: "GET", Pattern: "/retainedMessage/{topic...}", Operation: "GetRetainedMessage"},
			{Method: "GET", Pattern: "/retainedMessage", Operation: "ListRetainedMessages"},
			{Method: "DELETE", Pattern: "/connections/{clientId}", Operation: "DeleteConnection"},
		},
		Errors: map[fault.Kind]wire.Shape{
			fault.Internal:    {Name: "InternalFailureException", Status: 500, Receiver: true},
			fault.Invalid:     invalidRequest,
			fault.NotFound:    notFound,
			fault.Conflict:    {Name: "ConflictException", Status: 409},
			fault.Throttled:   {Name: "ThrottlingException", Status: 429},
			fault.Denied:      unauthorized,
			fault.Cancelled:   unavailable,
			fault.Unavailable: unavailable,
		},
	}
}

// maxPayload bounds a message, as over MQTT.
const maxPayload = 128 << 10

// publish answers when what the rules wrote is durable.
func (s *data) publish(ctx context.Context, c *wire.Call) (wire.Response, error) {
	if len(c.Body) > maxPayload {
		return wire.Response{}, wire.Newf(tooLarge, "The payload has %d bytes, more than %d.", len(c.Body), maxPayload)
	}
	m := &iotrule.Message{
		Topic:         c.Path["topic"],
		Payload:       slices.Clone(c.Body), // the broker may keep it
		Principal:     c.Caller.UserID,
		ContentType:   c.Param("contentType"),
		ResponseTopic: c.Param("responseTopic"),
	}
	if err := publishOptions(c, m); err != nil {
		return wire.Response{}, err
	}
	if m.Retain {
		if err := c.Check("iot:RetainPublish", s.Rules.TopicARN(m.Topic)); err != nil {
			return wire.Response{}, err
		}
	}
	if err := s.Broker.Publish(ctx, m); err != nil {
		return wire.Response{}, err
	}
	return wire.Value(struct {
		Message string `wire:"message"`
		TraceID string `wire:"traceId"`
	}{"OK", iotsql.NewUUID()}), nil
}

func publishOptions(c *wire.Call, m *iotrule.Message) error {
	switch qos := c.Param("qos"); qos {
	case "", "0":
	case "1":
		m.QoS = 1
	default:
		return invalid("qos must be 0 or 1, not %q.", qos)
	}
	switch retain := c.Param("retain"); retain {
	case "", "false":
	case "true":
		m.Retain = true
	default:
		return invalid("retain must be true or false, not %q.", retain)
	}
	if text := c.Param("messageExpiry"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return invalid("messageExpiry must be a number of seconds, not %q.", text)
		}
		m.ExpirySeconds = uint32(n)
	}
	h := c.HTTP.Header
	switch format := h.Get("X-Amz-Mqtt5-Payload-Format-Indicator"); format {
	case "", "UNSPECIFIED_BYTES":
	case "UTF8_DATA":
		m.UTF8Payload = true
	default:
		return invalid("The payload format indicator must be UNSPECIFIED_BYTES or UTF8_DATA, not %q.", format)
	}
	if text := h.Get("X-Amz-Mqtt5-Correlation-Data"); text != "" {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return invalid("The correlation data is not base64.")
		}
		m.CorrelationData = b
	}
	if text := h.Get("X-Amz-Mqtt5-User-Properties"); text != "" {
		return readUserProperties(text, m)
	}
	return nil
}

// readUserProperties reads base64 of a JSON array of objects with one key each.
func readUserProperties(text string, m *iotrule.Message) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return invalid("The user properties are not base64.")
	}
	var quoted string
	if json.Unmarshal(b, &quoted) == nil { // boto3 encodes a text once more
		b = []byte(quoted)
	}
	var list []map[string]string
	if err := json.Unmarshal(b, &list); err != nil {
		return invalid("The user properties are not a JSON array of objects with one key and text.")
	}
	for _, o := range list {
		if len(o) != 1 {
			return invalid("An object of the user properties has %d keys instead of one.", len(o))
		}
		for k, v := range o {
			m.UserProperties = append(m.UserProperties, iotsql.Property{Key: k, Value: v})
		}
	}
	return nil
}

func (s *data) getRetained(_ context.Context, c *wire.Call) (wire.Response, error) {
	topic := c.Path["topic"]
	m, ok := s.Broker.RetainedMessage(topic)
	if !ok {
		return wire.Response{}, wire.Newf(notFound, "No retained message found for topic: %.256s", topic)
	}
	out := struct {
		Topic            string `wire:"topic"`
		Payload          []byte `wire:"payload"`
		QoS              int    `wire:"qos"`
		LastModifiedTime int64  `wire:"lastModifiedTime"` // ms since 1970
		UserProperties   []byte `wire:"userProperties"`
	}{Topic: m.Topic, Payload: m.Payload, QoS: int(m.QoS), LastModifiedTime: m.At.UnixMilli()}
	if len(m.UserProperties) > 0 {
		list := make([]map[string]string, len(m.UserProperties))
		for i, p := range m.UserProperties {
			list[i] = map[string]string{p.Key: p.Value}
		}
		var err error
		if out.UserProperties, err = json.Marshal(list); err != nil {
			return wire.Response{}, err
		}
	}
	return wire.Value(out), nil
}

type retainedItem struct {
	Topic            string `wire:"topic"`
	PayloadSize      int    `wire:"payloadSize"`
	QoS              int    `wire:"qos"`
	LastModifiedTime int64  `wire:"lastModifiedTime"`
}

func (s *data) listRetained(_ context.Context, c *wire.Call) (wire.Response, error) {
	limit, after, err := page(c, 200)
	if err != nil {
		return wire.Response{}, err
	}
	out := struct {
		RetainedTopics []retainedItem `wire:"retainedTopics"`
		NextToken      string         `wire:"nextToken"`
	}{RetainedTopics: []retainedItem{}}
	for _, m := range s.Broker.Retained() {
		if after != "" && m.Topic <= after {
			continue
		}
		if len(out.RetainedTopics) == limit {
			out.NextToken = token(out.RetainedTopics[limit-1].Topic)
			break
		}
		out.RetainedTopics = append(out.RetainedTopics, retainedItem{m.Topic, len(m.Payload), int(m.QoS), m.At.UnixMilli()})
	}
	return wire.Value(out), nil
}

func (s *data) deleteConnection(_ context.Context, c *wire.Call) (wire.Response, error) {
	id := c.Path["clientId"]
	if !s.Broker.Disconnect(id) {
		return wire.Response{}, wire.Newf(notFound, "The client %.128s has no connection.", id)
	}
	return wire.Response{}, nil
}
