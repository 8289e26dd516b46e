// Package iot is the door for AWS IoT: the control plane of topic rules, things,
// certificates and policies (iot, 2015-05-28) and the data plane over HTTPS (iot-data), both REST-JSON.
//
// It turns requests into calls of iotrule, registry and a [Broker] and their errors into
// AWS IoT's exceptions; what a rule means is not decided here. Of the actions that a
// rule can have, timestream and republish are taken; the others are refused by name
// when the rule is created, never accepted and ignored.
//
// The services are stateless and may be called concurrently.
package iot

import (
	"context"
	"errors"
	"net"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
	"github.com/weir-db/weir/internal/registry"
)

// Broker is what the data plane publishes to; *mqtt.Broker is one.
type Broker interface {
	Publish(ctx context.Context, m *iotrule.Message) error
	Retained() []iotrule.Retained
	RetainedMessage(topic string) (m iotrule.Retained, ok bool)
	Disconnect(clientID string) (ok bool)
}

// Options of the door. Rules and Broker are required.
type Options struct {
	Rules  *iotrule.Service
	Broker Broker
	// Registry has the things, certificates and policies; nil: the door has no
	// operations on them.
	Registry  *registry.Registry
	AccountID string // the owner of certificates
	// Endpoint is the host name that DescribeEndpoint tells; "" means the one by
	// which the client called.
	Endpoint string
}

// New returns the control plane and the data plane.
func New(opt Options) []*wire.Service {
	c := &control{opt}
	d := &data{opt}
	return []*wire.Service{c.service(), d.service()}
}

var (
	invalidRequest = wire.Shape{Name: "InvalidRequestException", Status: 400}
	unauthorized   = wire.Shape{Name: "UnauthorizedException", Status: 401}
	notFound       = wire.Shape{Name: "ResourceNotFoundException", Status: 404}
	alreadyExists  = wire.Shape{Name: "ResourceAlreadyExistsException", Status: 409}
	sqlParse       = wire.Shape{Name: "SqlParseException", Status: 400}
	tooLarge       = wire.Shape{Name: "RequestEntityTooLargeException", Status: 413}
	unavailable    = wire.Shape{Name: "ServiceUnavailableException", Status: 503, Receiver: true}
)

func invalid(format string, args ...any) error { return wire.Newf(invalidRequest, format, args...) }

// control is the control plane.
type control struct{ Options }

func (s *control) service() *wire.Service {
	sv := &wire.Service{
		Name: "iot",
		// SDKs of 2022 and before sign for execute-api.
		SigningNames: []string{"iot", "execute-api"},
		Operations: map[string]wire.Handler{
			"CreateTopicRule":     s.createTopicRule,
			"GetTopicRule":        s.getTopicRule,
			"ListTopicRules":      s.listTopicRules,
			"ReplaceTopicRule":    s.replaceTopicRule,
			"DeleteTopicRule":     s.deleteTopicRule,
			"EnableTopicRule":     s.setDisabled(false),
			"DisableTopicRule":    s.setDisabled(true),
			"TagResource":         s.tagResource,
			"UntagResource":       s.untagResource,
			"ListTagsForResource": s.listTags,
			"DescribeEndpoint":    s.describeEndpoint,
		},
		Routes: []wire.Route{
			{Method: "POST", Pattern: "/rules/{ruleName}", Operation: "CreateTopicRule"},
			{Method: "GET", Pattern: "/rules/{ruleName}", Operation: "GetTopicRule"},
			{Method: "GET", Pattern: "/rules", Operation: "ListTopicRules"},
			{Method: "PATCH", Pattern: "/rules/{ruleName}", Operation: "ReplaceTopicRule"},
			{Method: "DELETE", Pattern: "/rules/{ruleName}", Operation: "DeleteTopicRule"},
			{Method: "POST", Pattern: "/rules/{ruleName}/enable", Operation: "EnableTopicRule"},
			{Method: "POST", Pattern: "/rules/{ruleName}/disable", Operation: "DisableTopicRule"},
			{Method: "POST", Pattern: "/tags", Operation: "TagResource"},
			{Method: "POST", Pattern: "/untag", Operation: "UntagResource"},
			{Method: "GET", Pattern: "/tags", Operation: "ListTagsForResource"},
			{Method: "GET", Pattern: "/endpoint", Operation: "DescribeEndpoint"},
		},
		Errors: map[fault.Kind]wire.Shape{
			fault.Internal: {Name: "InternalException", Status: 500, Receiver: true},
			fault.Invalid:  invalidRequest,
			// The model has no not-found error for rules; AWS answers this one.
			fault.NotFound:    unauthorized,
			fault.Conflict:    {Name: "ConflictingResourceUpdateException", Status: 409},
			fault.Quota:       {Name: "LimitExceededException", Status: 410},
			fault.Throttled:   {Name: "ThrottlingException", Status: 400},
			fault.Denied:      unauthorized,
			fault.Cancelled:   unavailable,
			fault.Unavailable: unavailable,
		},
	}
	if s.Registry != nil {
		s.registered(sv)
	}
	return sv
}

// refine words what the table of kinds cannot.
func (s *control) refine(name string, err error) error {
	var syntax *iotsql.SyntaxError
	switch {
	case errors.As(err, &syntax) && fault.KindOf(err) == fault.Internal:
		return wire.Newf(sqlParse, "The SQL of the rule cannot be parsed: %s", syntax)
	case fault.Is(err, fault.Conflict):
		e := wire.Newf(alreadyExists, "%s", fault.MessageOf(err))
		e.Extra = []wire.Member{
			{Name: "resourceId", JSON: wire.AppendString(nil, name)},
			{Name: "resourceArn", JSON: wire.AppendString(nil, s.Rules.ARN(name))},
		}
		return e
	}
	return err
}

// describeEndpoint tells a host without scheme and port, which clients put between
// "https://" and ":8883".
func (s *control) describeEndpoint(_ context.Context, c *wire.Call) (wire.Response, error) {
	switch t := c.Param("endpointType"); t {
	case "", "iot:Data", "iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs":
	default:
		return wire.Response{}, invalid("The endpoint type %q is invalid: it must be iot:Data, iot:Data-ATS, iot:CredentialProvider or iot:Jobs.", t)
	}
	host := s.Endpoint
	if host == "" {
		host = c.HTTP.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return wire.Value(struct {
		EndpointAddress string `wire:"endpointAddress"`
	}{host}), nil
}
