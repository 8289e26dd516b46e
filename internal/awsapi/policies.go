package awsapi

import (
	"context"
	"reflect"
	"strings"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
)

// Policies is the [Authorizer] that asks the policies of users and roles: a table says what
// each operation does to which resource (reference/api.md, section 17.1, and the service
// authorization reference). An operation that the table does not have is denied to all but the
// root user.
type Policies struct {
	Directory *iam.Directory
	Region    string
	AccountID string

	// ResourceTags returns the tags of a Timestream resource, for conditions; nil: none.
	ResourceTags func(arn string) map[string]string
}

// access is what an operation does.
type access struct {
	action   string // "" is the operation's own name
	resource string // "" is "*"; {Name} stands for a member of the input, {/name} for a part of the path
	also     []access
	free     bool // everybody may
	own      bool // decided by the operation, by Call.Check or by the caller's ARN
	assume   bool // the role's trust policy has a say too
}

const (
	database  = "arn:aws:timestream:{}:database/{DatabaseName}"
	table     = database + "/table/{TableName}"
	scheduled = "{ScheduledQueryArn}"
	tagged    = "{ResourceARN}"
	rule      = "arn:aws:iot:{}:rule/{/ruleName}"
	thing     = "arn:aws:iot:{}:thing/{/thingName}"
	cert      = "arn:aws:iot:{}:cert/{/certificateId}"
	iotPolicy = "arn:aws:iot:{}:policy/{/policyName}"
	topic     = "{TopicArn}"
	queue     = "arn:aws:sqs:{}:{QueueUrl}"
	role      = "role:{RoleName}" // by name: the directory knows its path
	user      = "user:{UserName}"
	policy    = "{PolicyArn}"
)

func on(resource string) access { return access{resource: resource} }

var everything = access{}

// accesses is the table, by service and operation.
var accesses = map[string]map[string]access{
	"timestream": {
		"DescribeEndpoints": everything,
		"TagResource":       on(tagged), "UntagResource": on(tagged), "ListTagsForResource": on(tagged),
		"CreateDatabase": on(database), "DescribeDatabase": on(database), "UpdateDatabase": on(database), "DeleteDatabase": on(database),
		"ListDatabases": everything,
		"CreateTable":   on(table), "DescribeTable": on(table), "UpdateTable": on(table), "DeleteTable": on(table), "ListTables": on(database),
		"WriteRecords": {own: true},
		"CreateBatchLoadTask": {resource: "arn:aws:timestream:{}:database/{TargetDatabaseName}/table/{TargetTableName}",
			also: []access{{action: "timestream:WriteRecords", resource: "arn:aws:timestream:{}:database/{TargetDatabaseName}/table/{TargetTableName}"}}},
		"DescribeBatchLoadTask": everything, "ListBatchLoadTasks": everything, "ResumeBatchLoadTask": everything,
		"CreateScheduledQuery":   {also: []access{{action: "iam:PassRole", resource: "{ScheduledQueryExecutionRoleArn}"}}},
		"DescribeScheduledQuery": on(scheduled), "UpdateScheduledQuery": on(scheduled), "DeleteScheduledQuery": on(scheduled), "ExecuteScheduledQuery": on(scheduled),
		"ListScheduledQueries": everything,
		"Query":                {own: true}, "PrepareQuery": {own: true},
		"CancelQuery":             everything,
		"DescribeAccountSettings": everything, "UpdateAccountSettings": everything,
	},
	"iot": {
		"CreateTopicRule": {own: true}, "ReplaceTopicRule": {own: true},
		"GetTopicRule": on(rule), "DeleteTopicRule": on(rule), "EnableTopicRule": on(rule), "DisableTopicRule": on(rule),
		"ListTopicRules": everything, "DescribeEndpoint": everything,
		"TagResource": {own: true}, "UntagResource": {own: true}, "ListTagsForResource": {own: true},
		"CreateThing": on(thing), "DescribeThing": on(thing), "UpdateThing": on(thing), "DeleteThing": on(thing), "ListThings": everything,
		"AttachThingPrincipal": on(thing), "DetachThingPrincipal": on(thing), "ListThingPrincipals": on(thing), "ListPrincipalThings": everything,
		"CreateKeysAndCertificate": everything, "CreateCertificateFromCsr": everything, "RegisterCertificateWithoutCA": everything, "ListCertificates": everything,
		"DescribeCertificate": on(cert), "UpdateCertificate": on(cert), "DeleteCertificate": on(cert),
		"CreatePolicy": on(iotPolicy), "GetPolicy": on(iotPolicy), "DeletePolicy": on(iotPolicy), "ListPolicies": everything, "ListTargetsForPolicy": on(iotPolicy),
		"AttachPolicy": {own: true}, "DetachPolicy": {own: true}, "ListAttachedPolicies": {own: true},
	},
	"iotdata": {
		"Publish":              {action: "iot:Publish", resource: "arn:aws:iot:{}:topic/{/topic}"},
		"GetRetainedMessage":   {action: "iot:GetRetainedMessage", resource: "arn:aws:iot:{}:topic/{/topic}"},
		"ListRetainedMessages": {action: "iot:ListRetainedMessages"},
		"DeleteConnection":     {action: "iot:DeleteConnection", resource: "arn:aws:iot:{}:client/{/clientId}"},
	},
	"monitoring": {
		"GetMetricStatistics": {action: "cloudwatch:GetMetricStatistics"}, "GetMetricData": {action: "cloudwatch:GetMetricData"},
		"ListMetrics": {action: "cloudwatch:ListMetrics"}, "PutMetricData": {action: "cloudwatch:PutMetricData"},
	},
	"sns": {
		"CreateTopic": on("arn:aws:sns:{}:{Name}"), "DeleteTopic": on(topic), "ListTopics": everything,
		"GetTopicAttributes": on(topic), "SetTopicAttributes": on(topic), "Subscribe": on(topic), "ConfirmSubscription": on(topic), "Unsubscribe": everything,
		"ListSubscriptions": everything, "ListSubscriptionsByTopic": on(topic),
		"GetSubscriptionAttributes": everything, "SetSubscriptionAttributes": everything,
		"Publish": on("{TopicArn|TargetArn}"), "PublishBatch": {action: "sns:Publish", resource: topic},
		"TagResource": on("{ResourceArn}"), "UntagResource": on("{ResourceArn}"), "ListTagsForResource": on("{ResourceArn}"),
	},
	"sqs": {
		"CreateQueue": on("arn:aws:sqs:{}:{QueueName}"), "GetQueueUrl": on("arn:aws:sqs:{}:{QueueName}"), "ListQueues": everything,
		"DeleteQueue": on(queue), "PurgeQueue": on(queue), "GetQueueAttributes": on(queue), "SetQueueAttributes": on(queue),
		"SendMessage": on(queue), "SendMessageBatch": {action: "sqs:SendMessage", resource: queue},
		"ReceiveMessage": on(queue), "DeleteMessage": on(queue), "DeleteMessageBatch": {action: "sqs:DeleteMessage", resource: queue},
		"ChangeMessageVisibility": on(queue), "ChangeMessageVisibilityBatch": {action: "sqs:ChangeMessageVisibility", resource: queue},
		"TagQueue": on(queue), "UntagQueue": on(queue), "ListQueueTags": on(queue),
	},
	"sts": {
		"GetCallerIdentity": {free: true},
		"AssumeRole":        {assume: true},
	},
	"iam": {
		"CreateRole": on("arn:aws:iam::{account}:role{Path}{RoleName}"), "GetRole": on(role), "ListRoles": everything, "UpdateRole": on(role), "UpdateRoleDescription": on(role), "DeleteRole": on(role),
		"UpdateAssumeRolePolicy": on(role), "PutRolePolicy": on(role), "GetRolePolicy": on(role), "ListRolePolicies": on(role), "DeleteRolePolicy": on(role),
		"AttachRolePolicy": on(role), "DetachRolePolicy": on(role), "ListAttachedRolePolicies": on(role), "TagRole": on(role), "UntagRole": on(role), "ListRoleTags": on(role),
		"ListInstanceProfilesForRole": on(role),
		"CreateUser":                  on("arn:aws:iam::{account}:user{Path}{UserName}"), "GetUser": on(user), "ListUsers": everything, "DeleteUser": on(user),
		"PutUserPolicy": on(user), "GetUserPolicy": on(user), "ListUserPolicies": on(user), "DeleteUserPolicy": on(user),
		"AttachUserPolicy": on(user), "DetachUserPolicy": on(user), "ListAttachedUserPolicies": on(user),
		"CreateAccessKey": on(user), "ListAccessKeys": on(user), "UpdateAccessKey": on(user), "DeleteAccessKey": on(user),
		"CreatePolicy": on("arn:aws:iam::{account}:policy{Path}{PolicyName}"), "GetPolicy": on(policy), "GetPolicyVersion": on(policy), "ListPolicies": everything, "DeletePolicy": on(policy),
	},
}

// Authorize decides what does not depend on the input, and arms c to decide the rest.
func (p *Policies) Authorize(ctx context.Context, c *wire.Call) (context.Context, error) {
	keys := p.keys(c)
	ctx = iam.WithContext(ctx, keys)
	if strings.HasSuffix(c.Caller.ARN, ":root") && c.Caller.AccountID == p.AccountID {
		return ctx, nil
	}
	a, ok := accesses[c.Service.Name][c.Operation]
	if !ok {
		return ctx, fault.New(fault.Denied, "User: %s is not authorized to perform: %s:%s", c.Caller.ARN, c.Service.Name, c.Operation)
	}
	var input any // once it is decoded
	c.Allow = func(action, resource string) error {
		return p.Directory.Allow(iam.Request{Principal: c.Caller.ARN, Action: action, Resource: resource, Context: p.about(keys, resource, input)})
	}
	switch {
	case a.free, a.own:
		return ctx, nil
	case a.assume:
		c.Decoded = func(in any) error { return p.assume(c, keys, in) }
		return ctx, nil
	}
	if !strings.Contains(a.resource, "{") || strings.Contains(a.resource, "{/") {
		return ctx, p.check(c, &a, nil)
	}
	c.Decoded = func(in any) error {
		input = in
		return p.check(c, &a, in)
	}
	return ctx, nil
}

// assume asks the trust policy of a role of this account. Roles of others are the operation's to refuse.
func (p *Policies) assume(c *wire.Call, keys func(string) []string, in any) error {
	roleARN, external := member(in, "RoleArn"), member(in, "ExternalId")
	r, err := p.Directory.Role(roleARN[strings.LastIndexByte(roleARN, '/')+1:])
	if err != nil || r.ARN != roleARN {
		return nil
	}
	return p.Directory.MayAssume(&r, c.Caller.ARN, func(key string) []string {
		if key == "sts:externalid" && external != "" {
			return []string{external}
		}
		return keys(key)
	})
}

func (p *Policies) check(c *wire.Call, a *access, in any) error {
	action := a.action
	if action == "" {
		action = c.Service.Name + ":" + c.Operation
	}
	resource, ok := p.resource(c, a.resource, in)
	if !ok { // the input lacks what names it: the operation will say so, to those who may do it at all
		resource = "*"
	}
	if err := c.Allow(action, resource); err != nil {
		return err
	}
	for i := range a.also {
		if err := p.check(c, &a.also[i], in); err != nil {
			return err
		}
	}
	return nil
}

// resource fills in a pattern of the table.
func (p *Policies) resource(c *wire.Call, pattern string, in any) (string, bool) {
	if pattern == "" {
		return "*", true
	}
	if kind, _, ok := strings.Cut(pattern, ":{"); ok && (kind == "role" || kind == "user") {
		return p.principal(c, kind, member(in, strings.Trim(pattern[len(kind)+1:], "{}")))
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(pattern, "{")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		name, after, _ := strings.Cut(rest, "}")
		pattern = after
		value := ""
		switch {
		case name == "":
			value = p.Region + ":" + p.AccountID
		case name == "account":
			value = p.AccountID
		case name[0] == '/':
			value = c.Path[name[1:]]
		case name == "QueueUrl":
			url := member(in, name)
			value = url[strings.LastIndexByte(url, '/')+1:]
			if url == "" && c.Protocol == wire.Query { // the path of the request names it
				value = c.HTTP.URL.Path[strings.LastIndexByte(c.HTTP.URL.Path, '/')+1:]
			}
		case name == "Path":
			if value = member(in, name); value == "" {
				value = "/"
			}
		default:
			for name := range strings.SplitSeq(name, "|") { // the first that is there
				if value = member(in, name); value != "" {
					break
				}
			}
		}
		if value == "" {
			return "", false
		}
		b.WriteString(value)
	}
}

// principal returns the ARN of a role or a user; a user that is not named is the caller.
func (p *Policies) principal(c *wire.Call, kind, name string) (string, bool) {
	if kind == "role" {
		if r, err := p.Directory.Role(name); err == nil {
			return r.ARN, true
		}
	} else {
		if name == "" {
			return c.Caller.ARN, true
		}
		if u, err := p.Directory.User(name); err == nil {
			return u.ARN, true
		}
	}
	return arn.New("iam", "", p.AccountID, kind+"/"+name).String(), name != ""
}

// member returns a text of the input by its name on the wire, "" if it is not there.
func member(in any, name string) string {
	v := reflect.Indirect(reflect.ValueOf(in))
	if v.Kind() != reflect.Struct {
		return ""
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		wireName := f.Tag.Get("wire")
		if wireName == "" {
			wireName = f.Name
		}
		if wireName != name {
			continue
		}
		if value := reflect.Indirect(v.FieldByIndex(f.Index)); value.Kind() == reflect.String {
			return value.String()
		}
	}
	return ""
}

// givenTags returns the tags, or the keys of tags, that an input has.
func givenTags(in any) (names, values []string) {
	v := reflect.Indirect(reflect.ValueOf(in))
	if v.Kind() != reflect.Struct {
		return nil, nil
	}
	if list := v.FieldByName("TagKeys"); list.IsValid() && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			names = append(names, list.Index(i).String())
		}
	}
	if list := v.FieldByName("Tags"); list.IsValid() && list.Kind() == reflect.Slice {
		for i := range list.Len() {
			tag := list.Index(i).Addr().Interface()
			names, values = append(names, member(tag, "Key")), append(values, member(tag, "Value"))
		}
	}
	return names, values
}

// keys returns the condition keys that a request carries.
func (p *Policies) keys(c *wire.Call) func(string) []string {
	all := iam.RequestKeys(c.HTTP, c.Region)
	return func(key string) []string {
		if key == "iam:passedtoservice" && (c.Service.Name == "timestream" || c.Service.Name == "iot") {
			return []string{c.Service.Name + ".amazonaws.com"} // to which a scheduled query or a topic rule hands its role
		}
		return all(key)
	}
}

// about adds the tags of a resource, and those that the input gives it, to the condition keys.
func (p *Policies) about(keys func(string) []string, resource string, in any) func(string) []string {
	return func(key string) []string {
		if key == "iam:policyarn" {
			if arn := member(in, "PolicyArn"); arn != "" {
				return []string{arn}
			}
			return nil
		}
		if key == "aws:tagkeys" {
			names, _ := givenTags(in)
			return names
		}
		if tag, ok := strings.CutPrefix(key, "aws:requesttag/"); ok {
			names, values := givenTags(in)
			for i, name := range names {
				if strings.EqualFold(name, tag) {
					return values[i : i+1]
				}
			}
			return nil
		}
		tag, ok := strings.CutPrefix(key, "aws:resourcetag/")
		if !ok {
			tag, ok = strings.CutPrefix(key, "timestream:resourcetag/")
		}
		if !ok || p.ResourceTags == nil {
			return keys(key)
		}
		for name, value := range p.ResourceTags(resource) {
			if strings.EqualFold(name, tag) {
				return []string{value}
			}
		}
		return nil
	}
}
