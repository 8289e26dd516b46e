package iotrule

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iotrule/iotsql"
)

// Rule is a topic rule as it was declared. A rule that came from the Service must
// not be modified.
type Rule struct {
	Name        string         `json:"name"`
	SQL         string         `json:"sql"`
	Description string         `json:"description,omitempty"`
	Version     iotsql.Version `json:"version,omitempty"` // "" means 2015-10-08
	Disabled    bool           `json:"disabled,omitempty"`
	Actions     []Action       `json:"actions"`
	ErrorAction *Action        `json:"errorAction,omitempty"`
	Tags        []Tag          `json:"tags,omitempty"` // sorted by key
	CreatedAt   time.Time      `json:"createdAt"`
}

// Roles returns the ARNs of the roles that the actions are done as.
func (r *Rule) Roles() []string {
	var roles []string
	add := func(a *Action) {
		switch {
		case a.Timestream != nil:
			roles = append(roles, a.Timestream.RoleARN)
		case a.Republish != nil:
			roles = append(roles, a.Republish.RoleARN)
		}
	}
	for i := range r.Actions {
		add(&r.Actions[i])
	}
	if r.ErrorAction != nil {
		add(r.ErrorAction)
	}
	return roles
}

// Tag is a key and its value.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Action is what a rule does with its output. Exactly one field is set.
type Action struct {
	Timestream *Timestream `json:"timestream,omitempty"`
	Republish  *Republish  `json:"republish,omitempty"`
}

// Timestream writes records. All texts but RoleARN and the dimensions' names may
// hold substitution templates.
type Timestream struct {
	RoleARN    string      `json:"roleArn"`
	Database   string      `json:"database"`
	Table      string      `json:"table"`
	Dimensions []Dimension `json:"dimensions"`
	Timestamp  *Timestamp  `json:"timestamp,omitempty"` // nil: when the rule ran
}

// Dimension is a dimension's name and the template of its value.
type Dimension struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Timestamp is the template of an integer, in Unit since 1970 UTC.
type Timestamp struct {
	Value string `json:"value"`
	Unit  string `json:"unit,omitempty"` // "" means MILLISECONDS
}

// Republish publishes the output on another topic. Topic may hold substitution
// templates; a leading $$ stands for one $.
type Republish struct {
	RoleARN string   `json:"roleArn"`
	Topic   string   `json:"topic"`
	QoS     byte     `json:"qos,omitempty"`
	Headers *Headers `json:"headers,omitempty"`
}

// Headers are MQTT 5 properties of a republished message, as templates.
type Headers struct {
	PayloadFormatIndicator string            `json:"payloadFormatIndicator,omitempty"`
	ContentType            string            `json:"contentType,omitempty"`
	ResponseTopic          string            `json:"responseTopic,omitempty"`
	CorrelationData        string            `json:"correlationData,omitempty"`
	MessageExpiry          string            `json:"messageExpiry,omitempty"`
	UserProperties         []iotsql.Property `json:"userProperties,omitempty"`
}

// Limits of a rule (AWS IoT Core quotas, rules engine).
const (
	maxNameLength = 128
	maxActions    = 10
	maxDimensions = 128
	maxTags       = 50
	maxTagKey     = 128
	maxTagValue   = 256
	maxRuleTexts  = 128 << 10
)

// MultiMeasureTag is the key of the tag that makes a rule's timestream actions
// write one multi-measure record per message instead of one record per attribute.
// Its value is the measure name; empty, it is the rule's name. It is an addition of
// ours: AWS IoT takes the tag and ignores it.
const MultiMeasureTag = "weir:multi-measure"

func invalid(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// checkName says whether name can be a rule's.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxNameLength
	for i := range len(name) {
		c := name[i]
		ok = ok && (c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9 || c == '_')
	}
	if !ok {
		return invalid("Rule name %q is invalid: it must be 1 to %d characters of [a-zA-Z0-9_].", name, maxNameLength)
	}
	return nil
}

func checkTags(tags []Tag) error {
	if len(tags) > maxTags {
		return invalid("A rule can have at most %d tags, not %d.", maxTags, len(tags))
	}
	for i, t := range tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTagKey || utf8.RuneCountInString(t.Value) > maxTagValue:
			return invalid("Tag keys must be 1 to %d characters long and values at most %d.", maxTagKey, maxTagValue)
		case !utf8.ValidString(t.Key) || !utf8.ValidString(t.Value):
			return invalid("Tags must be UTF-8.")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return invalid("Tag keys must not start with aws: (%s).", t.Key)
		case i > 0 && tags[i-1].Key == t.Key:
			return invalid("The tag %s is given twice.", t.Key)
		}
	}
	return nil
}

// sortTags returns a sorted copy.
func sortTags(tags []Tag) []Tag {
	sorted := slices.Clone(tags)
	slices.SortFunc(sorted, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return sorted
}

func (r *Rule) tag(key string) (value string, ok bool) {
	for _, t := range r.Tags {
		if t.Key == key {
			return t.Value, true
		}
	}
	return "", false
}

// version returns the dialect version that applies.
func (r *Rule) version() iotsql.Version {
	if r.Version == "" {
		return iotsql.V2015
	}
	return r.Version
}

// compiled is a rule ready to run. It is immutable.
type compiled struct {
	Rule
	stmt    *iotsql.Statement
	filter  string // "" for a rule that only Basic Ingest reaches
	actions []*action
	onError *action // nil without an error action
	meters  ruleMeters
	log     *failureLog // of failures of the statement
}

// action is a compiled action of a rule with its counters.
type action struct {
	kind     string // as in the API: "timestream"
	failed   string // as in error messages: "TimestreamAction"
	resource string // what the declared texts name, for messages
	do       preparer
	meters   actionMeters
	log      failureLog
}

// preparer turns the output of a rule into the work to be done. prepare runs on
// the goroutine that owns the message; the job may run on another one.
type preparer interface {
	prepare(x *execution) (job, error)
}

// compile checks a rule and makes it ready. Errors: *iotsql.SyntaxError for the
// statement, fault.Invalid for the rest.
func (s *Service) compile(r Rule) (*compiled, error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	if err := checkTags(r.Tags); err != nil {
		return nil, err
	}
	switch {
	case r.SQL == "":
		return nil, invalid("The rule has no sql.")
	case !r.version().Valid():
		return nil, invalid("awsIotSqlVersion %q is invalid: it must be 2015-10-08, 2016-03-23 or beta.", r.Version)
	case len(r.Actions) > maxActions:
		return nil, invalid("A rule can have at most %d actions, not %d.", maxActions, len(r.Actions))
	case len(r.SQL)+len(r.Description) > maxRuleTexts:
		return nil, invalid("The rule is larger than %d bytes.", maxRuleTexts)
	}
	stmt, err := iotsql.Parse(r.SQL, r.version())
	if err != nil {
		return nil, err
	}
	c := &compiled{Rule: r, stmt: stmt, meters: s.meters.rule(r.Name), log: &failureLog{}}
	c.filter, _ = stmt.Filter()
	if strings.HasPrefix(c.filter, basicIngestPrefix) {
		return nil, invalid("A rule cannot listen on %s: such messages go to one rule only.", c.filter)
	}
	for i := range r.Actions {
		a, err := s.compileAction(c, &r.Actions[i], fmt.Sprintf("actions.%d", i+1))
		if err != nil {
			return nil, err
		}
		c.actions = append(c.actions, a)
	}
	if r.ErrorAction != nil {
		if c.onError, err = s.compileAction(c, r.ErrorAction, "errorAction"); err != nil {
			return nil, err
		}
		c.onError.meters.success, c.onError.meters.failure = s.meters.errorAction(r.Name, c.onError.kind)
	}
	return c, nil
}

// compileAction compiles one action; at says where it is in the rule.
func (s *Service) compileAction(c *compiled, a *Action, at string) (*action, error) {
	var out *action
	var err error
	switch {
	case a.Timestream != nil && a.Republish != nil:
		return nil, invalid("%s: an action must be exactly one of timestream and republish.", at)
	case a.Timestream != nil:
		out, err = s.compileTimestream(c, a.Timestream, at)
	case a.Republish != nil:
		out, err = s.compileRepublish(c, a.Republish, at)
	default:
		return nil, invalid("%s: the action is empty.", at)
	}
	if err != nil {
		return nil, err
	}
	out.meters.success, out.meters.failure = s.meters.action(c.Name, out.kind)
	return out, nil
}

func checkRole(role, at string) error {
	a, err := arn.Parse(role)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "role/") {
		return invalid("%s: unable to assume role: %q is not the ARN of a role (sts:AssumeRole).", at, role)
	}
	return nil
}

// template compiles a required text.
func template(stmt *iotsql.Statement, text, at string) (*iotsql.Template, error) {
	if text == "" {
		return nil, invalid("%s is missing.", at)
	}
	t, err := stmt.Template(text)
	if err != nil {
		return nil, invalid("%s: the substitution template %q is invalid: %v.", at, text, err)
	}
	return t, nil
}
