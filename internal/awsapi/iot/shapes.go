package iot

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

// The shapes of the API, read by encoding/json and written by wire.

type topicRulePayload struct {
	SQL              *string                      `json:"sql"`
	Description      string                       `json:"description"`
	Actions          []map[string]json.RawMessage `json:"actions"`
	RuleDisabled     bool                         `json:"ruleDisabled"`
	AwsIotSqlVersion string                       `json:"awsIotSqlVersion"`
	ErrorAction      map[string]json.RawMessage   `json:"errorAction"`
}

type topicRule struct {
	RuleName         string    `wire:"ruleName"`
	SQL              string    `wire:"sql"`
	Description      string    `wire:"description"`
	CreatedAt        time.Time `wire:"createdAt"`
	Actions          []action  `wire:"actions"`
	RuleDisabled     bool      `wire:"ruleDisabled"`
	AwsIotSqlVersion string    `wire:"awsIotSqlVersion"`
	ErrorAction      *action   `wire:"errorAction"`
}

type action struct {
	Timestream *timestreamAction `wire:"timestream"`
	Republish  *republishAction  `wire:"republish"`
}

type timestreamAction struct {
	RoleArn      string      `json:"roleArn" wire:"roleArn"`
	DatabaseName string      `json:"databaseName" wire:"databaseName"`
	TableName    string      `json:"tableName" wire:"tableName"`
	Dimensions   []dimension `json:"dimensions" wire:"dimensions"`
	Timestamp    *timestamp  `json:"timestamp" wire:"timestamp"`
}

type dimension struct {
	Name  string `json:"name" wire:"name"`
	Value string `json:"value" wire:"value"`
}

type timestamp struct {
	Value string `json:"value" wire:"value"`
	Unit  string `json:"unit" wire:"unit"`
}

type republishAction struct {
	RoleArn string   `json:"roleArn" wire:"roleArn"`
	Topic   string   `json:"topic" wire:"topic"`
	QoS     int      `json:"qos" wire:"qos"`
	Headers *headers `json:"headers" wire:"headers"`
}

type headers struct {
	PayloadFormatIndicator string         `json:"payloadFormatIndicator" wire:"payloadFormatIndicator"`
	ContentType            string         `json:"contentType" wire:"contentType"`
	ResponseTopic          string         `json:"responseTopic" wire:"responseTopic"`
	CorrelationData        string         `json:"correlationData" wire:"correlationData"`
	MessageExpiry          string         `json:"messageExpiry" wire:"messageExpiry"`
	UserProperties         []userProperty `json:"userProperties" wire:"userProperties"`
}

type userProperty struct {
	Key   string `json:"key" wire:"key"`
	Value string `json:"value" wire:"value"`
}

// otherActions are the members of Action in the service model that are not built.
var otherActions = []string{
	"dynamoDB", "dynamoDBv2", "lambda", "sns", "sqs", "kinesis", "s3", "firehose", "cloudwatchMetric", "cloudwatchAlarm", "cloudwatchLogs",
	"elasticsearch", "salesforce", "iotAnalytics", "iotEvents", "iotSiteWise", "stepFunctions", "http", "kafka", "openSearch", "location",
}

// maxRuleBytes bounds a rule's payload (AWS IoT Core quotas).
const maxRuleBytes = 128 << 10

// ruleOf reads the payload of CreateTopicRule and ReplaceTopicRule, which is the body
// itself.
func ruleOf(name string, body []byte) (iotrule.Rule, error) {
	var p topicRulePayload
	if len(body) > maxRuleBytes {
		return iotrule.Rule{}, invalid("The rule has %d bytes, more than %d.", len(body), maxRuleBytes)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return iotrule.Rule{}, invalid("The topic rule payload is not valid: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	switch {
	case p.SQL == nil:
		return iotrule.Rule{}, invalid("The topic rule payload lacks sql.")
	case p.Actions == nil:
		return iotrule.Rule{}, invalid("The topic rule payload lacks actions.")
	}
	r := iotrule.Rule{
		Name: name, SQL: *p.SQL, Description: p.Description, Disabled: p.RuleDisabled, Version: iotsql.Version(p.AwsIotSqlVersion),
		Actions: make([]iotrule.Action, len(p.Actions)),
	}
	for i, members := range p.Actions {
		if err := readAction(members, &r.Actions[i]); err != nil {
			return iotrule.Rule{}, err
		}
	}
	if len(p.ErrorAction) > 0 {
		r.ErrorAction = &iotrule.Action{}
		if err := readAction(p.ErrorAction, r.ErrorAction); err != nil {
			return iotrule.Rule{}, err
		}
	}
	return r, nil
}

// readAction reads a union: exactly one member may be set.
func readAction(members map[string]json.RawMessage, into *iotrule.Action) error {
	maps.DeleteFunc(members, func(_ string, raw json.RawMessage) bool { return string(raw) == "null" })
	if len(members) != 1 {
		return invalid("An action must have exactly one member, such as timestream; this one has %d.", len(members))
	}
	for kind, raw := range members {
		switch {
		case kind == "timestream":
			return readTimestream(raw, into)
		case kind == "republish":
			return readRepublish(raw, into)
		case slices.Contains(otherActions, kind):
			return invalid("The action %s is not supported by this server; timestream and republish are.", kind)
		default:
			return invalid("The action %q does not exist.", kind)
		}
	}
	return nil
}

func readMember(raw json.RawMessage, kind string, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("The action %s is not valid: %s.", kind, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func readTimestream(raw json.RawMessage, into *iotrule.Action) error {
	var a timestreamAction
	if err := readMember(raw, "timestream", &a); err != nil {
		return err
	}
	t := &iotrule.Timestream{RoleARN: a.RoleArn, Database: a.DatabaseName, Table: a.TableName}
	for _, d := range a.Dimensions {
		t.Dimensions = append(t.Dimensions, iotrule.Dimension(d))
	}
	if a.Timestamp != nil {
		ts := iotrule.Timestamp(*a.Timestamp)
		t.Timestamp = &ts
	}
	into.Timestream = t
	return nil
}

func readRepublish(raw json.RawMessage, into *iotrule.Action) error {
	var a republishAction
	if err := readMember(raw, "republish", &a); err != nil {
		return err
	}
	if a.QoS < 0 || a.QoS > 1 {
		return invalid("The qos of a republish action must be 0 or 1, not %d.", a.QoS)
	}
	into.Republish = &iotrule.Republish{RoleARN: a.RoleArn, Topic: a.Topic, QoS: byte(a.QoS)}
	if h := a.Headers; h != nil {
		out := &iotrule.Headers{
			PayloadFormatIndicator: h.PayloadFormatIndicator, ContentType: h.ContentType, ResponseTopic: h.ResponseTopic,
			CorrelationData: h.CorrelationData, MessageExpiry: h.MessageExpiry,
		}
		for _, p := range h.UserProperties {
			out.UserProperties = append(out.UserProperties, iotsql.Property(p))
		}
		into.Republish.Headers = out
	}
	return nil
}

func shapeOf(r *iotrule.Rule) topicRule {
	out := topicRule{
		RuleName: r.Name, SQL: r.SQL, Description: r.Description, CreatedAt: r.CreatedAt, RuleDisabled: r.Disabled,
		AwsIotSqlVersion: string(r.Version), Actions: make([]action, len(r.Actions)),
	}
	if out.AwsIotSqlVersion == "" {
		out.AwsIotSqlVersion = string(iotsql.V2015)
	}
	for i := range r.Actions {
		out.Actions[i] = writeAction(&r.Actions[i])
	}
	if r.ErrorAction != nil {
		a := writeAction(r.ErrorAction)
		out.ErrorAction = &a
	}
	return out
}

func writeAction(a *iotrule.Action) action {
	var out action
	if t := a.Timestream; t != nil {
		out.Timestream = &timestreamAction{RoleArn: t.RoleARN, DatabaseName: t.Database, TableName: t.Table}
		for _, d := range t.Dimensions {
			out.Timestream.Dimensions = append(out.Timestream.Dimensions, dimension(d))
		}
		if t.Timestamp != nil {
			ts := timestamp(*t.Timestamp)
			out.Timestream.Timestamp = &ts
		}
	}
	if p := a.Republish; p != nil {
		out.Republish = &republishAction{RoleArn: p.RoleARN, Topic: p.Topic, QoS: int(p.QoS)}
		if h := p.Headers; h != nil {
			out.Republish.Headers = &headers{
				PayloadFormatIndicator: h.PayloadFormatIndicator, ContentType: h.ContentType, ResponseTopic: h.ResponseTopic,
				CorrelationData: h.CorrelationData, MessageExpiry: h.MessageExpiry,
			}
			for _, u := range h.UserProperties {
				out.Republish.Headers.UserProperties = append(out.Republish.Headers.UserProperties, userProperty(u))
			}
		}
	}
	return out
}
