package attack

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// user makes a user with one policy, or none, and returns its keys.
func (s *target) user(name, policy string) aws.Credentials {
	s.Helper()
	c := iam.NewFromConfig(s.config())
	_, err := c.CreateUser(s.Context(), &iam.CreateUserInput{UserName: &name})
	if err == nil && policy != "" {
		_, err = c.PutUserPolicy(s.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy})
	}
	if err != nil {
		s.Fatal(err)
	}
	made, err := c.CreateAccessKey(s.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		s.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: *made.AccessKey.AccessKeyId, SecretAccessKey: *made.AccessKey.SecretAccessKey}
}

// role makes a role with one policy, or none, and returns its ARN.
func (s *target) role(name, trust, policy string) string {
	s.Helper()
	c := iam.NewFromConfig(s.config())
	made, err := c.CreateRole(s.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err == nil && policy != "" {
		_, err = c.PutRolePolicy(s.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy})
	}
	if err != nil {
		s.Fatal(err)
	}
	return *made.Role.Arn
}

// tables makes the tables a and b in the database d, with a row each.
func (s *target) tables() {
	s.Helper()
	s.passes(s.sign(timestream("CreateDatabase", `{"DatabaseName":"d"}`)))
	for _, name := range []string{"a", "b"} {
		s.passes(s.sign(timestream("CreateTable", `{"DatabaseName":"d","TableName":"`+name+`"}`)))
		s.passes(s.sign(timestream("WriteRecords", records(name))))
	}
}

func records(table string) string {
	return fmt.Sprintf(`{"DatabaseName":"d","TableName":%q,"Records":[{"Dimensions":[{"Name":"k","Value":"v"}],"MeasureName":"m","MeasureValue":"1","MeasureValueType":"BIGINT","Time":"%d"}]}`, table, time.Now().UnixMilli())
}

func query(sql string) request { return timestream("Query", fmt.Sprintf(`{"QueryString":%q}`, sql)) }

func as(keys aws.Credentials, r request) request {
	r.keys = keys
	return r
}

func statement(effect, actions, resources string) string {
	return fmt.Sprintf(`{"Effect":%q,"Action":[%s],"Resource":[%s]}`, effect, actions, resources)
}

func policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

const tableA = `"arn:aws:timestream:us-east-1:000000000000:database/d/table/a"`

// leastRequests are all operations that the product has, as requests that say as little as each takes.
func leastRequests() map[string]request {
	all := map[string]request{"timestream:Query": query("SELECT 1"), "timestream:PrepareQuery": timestream("PrepareQuery", `{"QueryString":"SELECT 1","ValidateOnly":true}`)}
	for _, op := range strings.Fields(`DescribeEndpoints TagResource UntagResource ListTagsForResource CreateDatabase DescribeDatabase UpdateDatabase DeleteDatabase ListDatabases CreateTable
		DescribeTable UpdateTable DeleteTable ListTables WriteRecords CreateBatchLoadTask DescribeBatchLoadTask ListBatchLoadTasks ResumeBatchLoadTask CreateScheduledQuery DescribeScheduledQuery ListScheduledQueries
		UpdateScheduledQuery DeleteScheduledQuery ExecuteScheduledQuery CancelQuery DescribeAccountSettings UpdateAccountSettings`) {
		all["timestream:"+op] = timestream(op, `{}`)
	}
	forms := map[string]string{
		"sns 2010-03-31": `CreateTopic DeleteTopic ListTopics GetTopicAttributes SetTopicAttributes Subscribe ConfirmSubscription Unsubscribe ListSubscriptions ListSubscriptionsByTopic GetSubscriptionAttributes
			SetSubscriptionAttributes Publish PublishBatch TagResource UntagResource ListTagsForResource`,
		"sqs 2012-11-05": `CreateQueue GetQueueUrl ListQueues DeleteQueue PurgeQueue GetQueueAttributes SetQueueAttributes SendMessage SendMessageBatch ReceiveMessage DeleteMessage DeleteMessageBatch ChangeMessageVisibility
			ChangeMessageVisibilityBatch TagQueue UntagQueue ListQueueTags`,
		"iam 2010-05-08": `CreateRole GetRole ListRoles UpdateRole UpdateRoleDescription DeleteRole UpdateAssumeRolePolicy PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy AttachRolePolicy DetachRolePolicy
			ListAttachedRolePolicies TagRole UntagRole ListRoleTags ListInstanceProfilesForRole CreateUser GetUser ListUsers DeleteUser PutUserPolicy GetUserPolicy ListUserPolicies DeleteUserPolicy AttachUserPolicy
			DetachUserPolicy ListAttachedUserPolicies CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey CreatePolicy GetPolicy GetPolicyVersion ListPolicies DeletePolicy`,
		"monitoring 2010-08-01": `GetMetricStatistics GetMetricData ListMetrics PutMetricData`,
	}
	for service, names := range forms {
		name, version, _ := strings.Cut(service, " ")
		for _, op := range strings.Fields(names) {
			all[name+":"+op] = form(name, url.Values{"Action": {op}, "Version": {version}}.Encode())
		}
	}
	rest := func(name, method, path, body string) {
		all[name] = request{method: method, path: path, body: body, service: name[:strings.IndexByte(name, ':')], at: time.Now(), keys: root, region: "us-east-1", header: http.Header{}}
	}
	const rule = `{"sql":"SELECT * FROM 't'","actions":[{"republish":{"roleArn":"arn:aws:iam::000000000000:role/r","topic":"x"}}]}`
	rest("iot:CreateTopicRule", "POST", "/rules/r", rule)
	rest("iot:ReplaceTopicRule", "PATCH", "/rules/r", rule)
	rest("iot:GetTopicRule", "GET", "/rules/r", "")
	rest("iot:ListTopicRules", "GET", "/rules", "")
	rest("iot:DeleteTopicRule", "DELETE", "/rules/r", "")
	rest("iot:EnableTopicRule", "POST", "/rules/r/enable", "")
	rest("iot:DisableTopicRule", "POST", "/rules/r/disable", "")
	rest("iot:TagResource", "POST", "/tags", `{"resourceArn":"arn:aws:iot:us-east-1:000000000000:rule/r","tags":[]}`)
	rest("iot:UntagResource", "POST", "/untag", `{"resourceArn":"arn:aws:iot:us-east-1:000000000000:rule/r","tagKeys":[]}`)
	rest("iot:ListTagsForResource", "GET", "/tags?resourceArn=arn%3Aaws%3Aiot%3Aus-east-1%3A000000000000%3Arule%2Fr", "")
	rest("iot:DescribeEndpoint", "GET", "/endpoint", "")
	const certificate = "arn:aws:iot:us-east-1:000000000000:cert/0000000000000000000000000000000000000000000000000000000000000000"
	for name, paths := range map[string]string{
		"POST":   "CreateThing /things/t CreateKeysAndCertificate /keys-and-certificate CreateCertificateFromCsr /certificates RegisterCertificateWithoutCA /certificate/register-no-ca CreatePolicy /policies/p DetachPolicy /target-policies/p ListTargetsForPolicy /policy-targets/p",
		"GET":    "DescribeThing /things/t ListThings /things ListThingPrincipals /things/t/principals ListPrincipalThings /principals/things DescribeCertificate /certificates/c ListCertificates /certificates GetPolicy /policies/p ListPolicies /policies",
		"PATCH":  "UpdateThing /things/t",
		"PUT":    "AttachThingPrincipal /things/t/principals UpdateCertificate /certificates/c AttachPolicy /target-policies/p",
		"DELETE": "DeleteThing /things/t DetachThingPrincipal /things/t/principals DeleteCertificate /certificates/c DeletePolicy /policies/p",
	} {
		for words := strings.Fields(paths); len(words) > 0; words = words[2:] {
			rest("iot:"+words[0], name, words[1], `{"target":"`+certificate+`"}`)
		}
	}
	rest("iot:ListAttachedPolicies", "POST", "/attached-policies/"+url.PathEscape(certificate), "")
	rest("iotdata:Publish", "POST", "/topics/a/b", "{}")
	rest("iotdata:GetRetainedMessage", "GET", "/retainedMessage/a", "")
	rest("iotdata:ListRetainedMessages", "GET", "/retainedMessage", "")
	rest("iotdata:DeleteConnection", "DELETE", "/connections/c", "")
	all["s3:ListBuckets"] = object("GET", "/", "")
	all["s3:CreateBucket"] = object("PUT", "/bucket", "")
	all["s3:PutObject"] = object("PUT", "/bucket/key", "x")
	all["s3:GetObject"] = object("GET", "/bucket/key", "")
	all["s3:ListObjects"] = object("GET", "/bucket", "")
	all["s3:DeleteObject"] = object("DELETE", "/bucket/key", "")
	all["s3:DeleteBucket"] = object("DELETE", "/bucket", "")
	return all
}

// isDenial says whether an answer is the refusal of a policy.
func isDenial(status int, body string) bool {
	return (status == 403 || status == 401) && strings.Contains(body, "is not authorized to perform")
}

func TestAUserWithoutPoliciesMayDoNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	nobody, admin := s.user("nobody", ""), s.user("admin", policy(statement("Allow", `"*"`, `"*"`)))
	for name, r := range leastRequests() {
		if status, body := s.send(s.sign(as(nobody, r))); !isDenial(status, body) {
			t.Errorf("%s without a policy: %d %s", name, status, body)
		}
	}
	for name, r := range leastRequests() {
		if status, body := s.send(s.sign(as(admin, r))); isDenial(status, body) {
			t.Errorf("%s of who may do all: %d %s", name, status, body)
		}
	}
	s.passes(s.sign(as(nobody, form("sts", "Action=GetCallerIdentity&Version=2011-06-15"))))
}

func TestAPolicyOpensWhatItNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.tables()
	writer := s.user("writer", policy(statement("Allow", `"timestream:WriteRecords","timestream:Select"`, tableA), statement("Allow", `"timestream:DescribeEndpoints"`, `"*"`)))
	s.passes(s.sign(as(writer, timestream("DescribeEndpoints", `{}`))))
	s.passes(s.sign(as(writer, timestream("WriteRecords", records("a")))))
	s.passes(s.sign(as(writer, query("SELECT count(*) FROM d.a"))))
	for what, r := range map[string]request{
		"another table":                 timestream("WriteRecords", records("b")),
		"the name in other letters":     timestream("WriteRecords", records("A")),
		"reading another table":         query("SELECT count(*) FROM d.b"),
		"a join with it":                query("SELECT count(*) FROM d.a JOIN d.b ON d.a.k = d.b.k"),
		"it in a subquery":              query("SELECT (SELECT count(*) FROM d.b)"),
		"it in a WITH that is not used": query("WITH x AS (SELECT * FROM d.b) SELECT 1"),
		"an explanation of it":          query("EXPLAIN ANALYZE SELECT count(*) FROM d.b"),
		"its columns":                   query("DESCRIBE d.b"),
		"its measures":                  query("SHOW MEASURES FROM d.b"),
		"tables":                        query("SHOW TABLES FROM d"),
		"databases":                     query("SHOW DATABASES"),
		"what others asked":             query("SELECT query FROM information_schema.queries"),
		"no table":                      query("SELECT 1"),
		"an unload":                     query("UNLOAD (SELECT * FROM d.a) TO 's3://bucket/x'"),
		"dropping the table":            timestream("DeleteTable", `{"DatabaseName":"d","TableName":"a"}`),
	} {
		if status, body := s.send(s.sign(as(writer, r))); !isDenial(status, body) {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	_, body := s.send(s.sign(as(writer, timestream("WriteRecords", records("b")))))
	const want = `User: arn:aws:iam::000000000000:user/writer is not authorized to perform: timestream:WriteRecords on resource: arn:aws:timestream:us-east-1:000000000000:database/d/table/b because no identity-based policy allows the timestream:WriteRecords action`
	if !strings.Contains(body, want) || code(body) != "AccessDeniedException" {
		t.Errorf("the refusal reads %s", body)
	}
}

func TestADenialWinsOverWhatAllows(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.tables()
	keys := s.user("most", policy(statement("Allow", `"timestream:*"`, `"*"`), statement("Deny", `"timestream:Select"`, tableA)))
	s.passes(s.sign(as(keys, query("SELECT count(*) FROM d.b"))))
	_, body := s.send(s.sign(as(keys, query("SELECT count(*) FROM d.a"))))
	if !strings.Contains(body, "with an explicit deny in an identity-based policy") {
		t.Errorf("got %s", body)
	}
}

func TestAnUnloadNeedsLeaveToWriteToItsBucket(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.tables()
	s.passes(s.sign(object("PUT", "/mine", "")))
	s.passes(s.sign(object("PUT", "/others", "")))
	keys := s.user("unloader", policy(statement("Allow", `"timestream:*"`, `"*"`), statement("Allow", `"s3:*"`, `"arn:aws:s3:::mine/*"`)))
	s.passes(s.sign(as(keys, query("UNLOAD (SELECT * FROM d.a) TO 's3://mine/x'"))))
	if status, body := s.send(s.sign(as(keys, query("UNLOAD (SELECT * FROM d.a) TO 's3://others/x'")))); !isDenial(status, body) {
		t.Errorf("into another bucket: %d %s", status, body)
	}
	s.refused("reading another bucket", s.sign(as(keys, object("GET", "/others/x", ""))), 403, "AccessDenied")
}

func TestARoleIsAssumedByThoseItTrustsAlone(t *testing.T) {
	t.Parallel()
	s := start(t)
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole","Condition":{%s}}]}`
	ann := s.user("ann", "")
	bob := s.user("bob", policy(statement("Allow", `"sts:AssumeRole"`, `"*"`)))
	reads := policy(statement("Allow", `"timestream:ListDatabases"`, `"*"`))
	byName := s.role("by-name", fmt.Sprintf(trust, "arn:aws:iam::000000000000:user/ann", ""), reads)
	byAccount := s.role("by-account", fmt.Sprintf(trust, "arn:aws:iam::000000000000:root", ""), reads)
	byID := s.role("by-id", fmt.Sprintf(trust, "000000000000", `"StringEquals":{"sts:ExternalId":"secret"}`), reads)
	assume := func(keys aws.Credentials, role, external string) (aws.Credentials, error) {
		cfg := s.config()
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil })
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("me")}
		if external != "" {
			in.ExternalId = &external
		}
		out, err := sts.NewFromConfig(cfg).AssumeRole(t.Context(), in)
		if err != nil {
			return aws.Credentials{}, err
		}
		return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}, nil
	}
	for _, c := range []struct {
		who            aws.Credentials
		role, external string
		may            bool
	}{
		{ann, byName, "", true}, {bob, byName, "", false},
		{ann, byAccount, "", false}, {bob, byAccount, "", true},
		{bob, byID, "", false}, {bob, byID, "guess", false}, {bob, byID, "secret", true},
	} {
		got, err := assume(c.who, c.role, c.external)
		if (err == nil) != c.may {
			t.Errorf("%s with %q: %v, want %v", c.role, c.external, err, c.may)
		}
		if err == nil {
			s.passes(s.sign(as(got, timestream("ListDatabases", `{}`))))
			s.refused("what the role may not", s.sign(as(got, timestream("CreateDatabase", `{"DatabaseName":"x"}`))), 403, "AccessDeniedException")
		}
	}
}

func TestRulesAndScheduledQueriesDoWhatTheirRoleMay(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.tables()
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`
	device := s.role("device", fmt.Sprintf(trust, "iot.amazonaws.com"), policy(statement("Allow", `"timestream:WriteRecords"`, tableA)))
	untrusting := s.role("untrusting", fmt.Sprintf(trust, "timestream.amazonaws.com"), policy(statement("Allow", `"timestream:*"`, `"*"`)))
	iot := func(method, path, body string) request {
		return request{method: method, path: path, body: body, service: "iot", at: time.Now(), keys: root, region: "us-east-1", header: http.Header{}}
	}
	rule := func(name, role, table string) {
		s.passes(s.sign(iot("POST", "/rules/"+name, fmt.Sprintf(`{"sql":"SELECT value FROM '%s'","actions":[{"timestream":{"roleArn":%q,"databaseName":"d","tableName":%q,"dimensions":[{"name":"device","value":"x"}]}}]}`, name, role, table))))
		publish := iot("POST", "/topics/"+name, `{"value":1}`)
		publish.service = "iotdata"
		s.passes(s.sign(publish))
	}
	rule("allowed", device, "a")
	rule("elsewhere", device, "b")
	rule("nobody", untrusting, "a")
	if got := s.count("SELECT count(*) FROM d.a WHERE device = 'x'"); got != "1" {
		t.Errorf("%s rows came through the rules into the one table that a role may write, want 1", got)
	}
	if got := s.count("SELECT count(*) FROM d.b"); got != "1" {
		t.Errorf("%s rows are in the other table, want the 1 from before", got)
	}

	scheduled := func(name, role string) request {
		return timestream("CreateScheduledQuery", fmt.Sprintf(`{"Name":%q,"QueryString":"SELECT k, time, measure_value::bigint AS v FROM d.a","ScheduleConfiguration":{"ScheduleExpression":"rate(1 hour)"},
			"NotificationConfiguration":{"SnsConfiguration":{"TopicArn":"arn:aws:sns:us-east-1:000000000000:t"}},"ScheduledQueryExecutionRoleArn":%q,"ErrorReportConfiguration":{"S3Configuration":{"BucketName":"bucket"}},
			"TargetConfiguration":{"TimestreamConfiguration":{"DatabaseName":"d","TableName":"b","TimeColumn":"time","DimensionMappings":[{"Name":"k","DimensionValueType":"VARCHAR"}],
			"MultiMeasureMappings":{"TargetMultiMeasureName":"m","MultiMeasureAttributeMappings":[{"SourceColumn":"v","MeasureValueType":"BIGINT"}]}}}}`, name, role))
	}
	asTimestream := fmt.Sprintf(trust, "timestream.amazonaws.com")
	s.refused("a role that trusts another service", s.sign(scheduled("q1", device)), 403, "AccessDeniedException")
	s.refused("a role that does not exist", s.sign(scheduled("q2", "arn:aws:iam::000000000000:role/none")), 403, "AccessDeniedException")
	s.refused("a role that may not read", s.sign(scheduled("q3", s.role("writes", asTimestream, policy(statement("Allow", `"timestream:WriteRecords"`, `"*"`))))), 403, "AccessDeniedException")
	s.refused("a role that may not write", s.sign(scheduled("q4", s.role("reads", asTimestream, policy(statement("Allow", `"timestream:Select"`, `"*"`))))), 403, "AccessDeniedException")
	s.passes(s.sign(scheduled("q5", s.role("both", asTimestream, policy(statement("Allow", `"timestream:Select"`, tableA), statement("Allow", `"timestream:WriteRecords"`, strings.Replace(tableA, "table/a", "table/b", 1)))))))

	owner := s.user("owner", policy(statement("Allow", `"iot:*"`, `"*"`), `{"Effect":"Allow","Action":"iam:PassRole","Resource":"`+device+`","Condition":{"StringEquals":{"iam:PassedToService":"iot.amazonaws.com"}}}`))
	republish := func(role string) request {
		return as(owner, iot("POST", "/rules/r", fmt.Sprintf(`{"sql":"SELECT * FROM 't'","actions":[{"republish":{"roleArn":%q,"topic":"x"}}]}`, role)))
	}
	if status, body := s.send(s.sign(republish(untrusting))); !isDenial(status, body) {
		t.Errorf("a role that the caller may not pass: %d %s", status, body)
	}
	s.passes(s.sign(republish(device)))
}

// count returns the first value of a query's answer.
func (s *target) count(sql string) string {
	s.Helper()
	_, body := s.send(s.sign(query(sql)))
	_, rest, _ := strings.Cut(body, `"ScalarValue":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestDevicesPublishAndSubscribeWherePoliciesSay(t *testing.T) {
	t.Parallel()
	s := start(t)
	const topics = `"arn:aws:iot:us-east-1:000000000000:topic/sensors/${aws:username}/*"`
	keys := s.user("pump-7", policy(statement("Allow", `"iot:Connect"`, `"arn:aws:iot:us-east-1:000000000000:client/pump-*"`), statement("Allow", `"iot:Publish","iot:Receive"`, topics),
		statement("Allow", `"iot:Subscribe"`, `"arn:aws:iot:us-east-1:000000000000:topicfilter/sensors/${aws:username}/#"`)))
	connect := func(id string) (mqtt.Client, error) {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + s.MQTTAddr).SetClientID(id).SetUsername(keys.AccessKeyID).SetPassword(keys.SecretAccessKey).SetAutoReconnect(false).SetConnectRetry(false)
		c := mqtt.NewClient(o)
		token := c.Connect()
		token.WaitTimeout(10 * time.Second)
		return c, token.Error()
	}
	if _, err := connect("other"); err == nil {
		t.Error("a client id that the policy does not name may connect")
	}
	c, err := connect("pump-7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(0)
	wait := func(token mqtt.Token) error {
		if !token.WaitTimeout(10 * time.Second) {
			return fmt.Errorf("no answer within 10 s")
		}
		return token.Error()
	}
	if err := wait(c.Publish("sensors/pump-7/data", 1, false, `{}`)); err != nil {
		t.Errorf("its own topic: %v", err)
	}
	granted := func(filter string) byte {
		token := c.Subscribe(filter, 1, func(mqtt.Client, mqtt.Message) {})
		wait(token)
		return token.(*mqtt.SubscribeToken).Result()[filter]
	}
	if got := granted("sensors/pump-7/#"); got != 1 {
		t.Errorf("its own topics: granted %#x", got)
	}
	if got := granted("sensors/+/data"); got != 0x80 {
		t.Errorf("topics of others: granted %#x", got)
	}
	// MQTT 3.1.1 has no refusal of a PUBLISH but the end of the connection.
	wait(c.Publish("sensors/pump-8/data", 1, false, `{}`))
	if c.IsConnectionOpen() {
		t.Error("it may publish as another")
	}
}

// TestADenialCannotBeWalkedAround asks for what a user is denied by other names and other doors.
func TestADenialCannotBeWalkedAround(t *testing.T) {
	t.Parallel()
	s := start(t)
	sns := func(query string) request { return form("sns", query+"&Version=2010-03-31") }
	iamForm := func(query string) request { return form("iam", query+"&Version=2010-05-08") }
	iot := func(service, method, path, body string) request {
		return request{method: method, path: path, body: body, service: service, at: time.Now(), keys: root, region: "us-east-1", header: http.Header{}}
	}
	s.passes(s.sign(sns("Action=CreateTopic&Name=mine")))
	s.passes(s.sign(sns("Action=CreateTopic&Name=others")))
	s.passes(s.sign(form("sqs", "Action=CreateQueue&QueueName=q&Version=2012-11-05")))
	s.passes(s.sign(object("PUT", "/bucket", "")))
	s.passes(s.sign(object("PUT", "/bucket/secret", "x")))
	s.passes(s.sign(timestream("CreateDatabase", `{"DatabaseName":"d"}`)))
	s.passes(s.sign(iot("iot", "POST", "/rules/r", `{"sql":"SELECT * FROM 't'","actions":[{"republish":{"roleArn":"arn:aws:iam::000000000000:role/r","topic":"x"}}]}`)))
	s.user("victim", "")
	const sqsQ, topicX = `"arn:aws:sqs:us-east-1:000000000000:q"`, `"arn:aws:iot:us-east-1:000000000000:topic/x"`
	keys := s.user("weak", policy(statement("Allow", `"*"`, `"*"`),
		statement("Deny", `"sns:Publish"`, `"arn:aws:sns:us-east-1:000000000000:others"`), statement("Deny", `"sqs:SendMessage"`, sqsQ), statement("Deny", `"iot:RetainPublish","iot:Publish"`, topicX),
		statement("Deny", `"iot:RetainPublish"`, `"*"`), statement("Deny", `"iot:TagResource"`, `"arn:aws:iot:us-east-1:000000000000:rule/r"`),
		statement("Deny", `"iam:CreateRole","iam:CreateUser"`, `"arn:aws:iam::000000000000:*/admin/*"`), statement("Deny", `"s3:PutObject"`, `"arn:aws:s3:::bucket/*"`),
		`{"Effect":"Deny","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AdministratorAccess"}}}`,
		`{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`,
		`{"Effect":"Deny","Action":"s3:ListBucket","Resource":"*","Condition":{"StringLike":{"s3:prefix":"secret*"}}}`))
	const mine, others = "arn:aws:sns:us-east-1:000000000000:mine", "arn:aws:sns:us-east-1:000000000000:others"
	trust := url.QueryEscape(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`)
	for what, r := range map[string]request{
		"a topic by the member TargetArn":      sns("Action=Publish&Message=x&TargetArn=" + others),
		"a queue through a topic":              sns("Action=Subscribe&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:000000000000:q&TopicArn=" + mine),
		"an MQTT topic through a topic":        sns("Action=Subscribe&Protocol=mqtt&Endpoint=x&TopicArn=" + mine),
		"a retained message over HTTP":         iot("iotdata", "POST", "/topics/y?retain=true", "{}"),
		"a rule by the ARN of another region":  iot("iot", "POST", "/tags", `{"resourceArn":"arn:aws:iot:eu-west-1:111111111111:rule/r","tags":[{"Key":"a","Value":"b"}]}`),
		"a role below a path":                  iamForm("Action=CreateRole&RoleName=x&Path=/admin/&AssumeRolePolicyDocument=" + trust),
		"a user below a path":                  iamForm("Action=CreateUser&UserName=x&Path=/admin/"),
		"a policy that may not be attached":    iamForm("Action=AttachUserPolicy&UserName=victim&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess"),
		"an object without TLS":                object("GET", "/bucket/secret", ""),
		"a list of a prefix":                   object("GET", "/bucket?prefix=secret", ""),
		"a bucket through reports of refusals": timestream("CreateTable", `{"DatabaseName":"d","TableName":"t","MagneticStoreWriteProperties":{"EnableMagneticStoreWrites":true,"MagneticStoreRejectedDataLocation":{"S3Configuration":{"BucketName":"bucket","EncryptionOption":"SSE_S3"}}}}`),
	} {
		if status, body := s.send(s.sign(as(keys, r))); !isDenial(status, body) {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	for _, r := range []request{
		sns("Action=Publish&Message=x&TargetArn=" + mine), sns("Action=Subscribe&Protocol=mqtt&Endpoint=y&TopicArn=" + mine), iot("iotdata", "POST", "/topics/y", "{}"),
		iamForm("Action=CreateRole&RoleName=y&AssumeRolePolicyDocument=" + trust), object("GET", "/bucket?prefix=open", ""),
	} {
		s.passes(s.sign(as(keys, r)))
	}
	plain := s.user("plain", policy(statement("Allow", `"*"`, `"*"`), `{"Effect":"Deny","Action":"iot:Connect","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`))
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.MQTTAddr).SetClientID("p").SetUsername(plain.AccessKeyID).SetPassword(plain.SecretAccessKey).SetAutoReconnect(false).SetConnectRetry(false))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() == nil {
		c.Disconnect(0)
		t.Error("MQTT without TLS is taken")
	}
	o := mqtt.NewClientOptions().AddBroker("tcp://"+s.MQTTAddr).SetClientID("c").SetUsername(keys.AccessKeyID).SetPassword(keys.SecretAccessKey).SetAutoReconnect(false).SetConnectRetry(false).SetWill("y", "gone", 1, true)
	c = mqtt.NewClient(o)
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() == nil {
		c.Disconnect(0)
		t.Error("a will that is retained is taken")
	}
}
