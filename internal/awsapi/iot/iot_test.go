package iot_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/iot"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/iotrule"
	"github.com/weir-db/weir/internal/mqtt"
)

// notebook is a Writer that keeps what it is given.
type notebook struct {
	mu   sync.Mutex // guards reqs
	reqs []string
}

func (n *notebook) Write(_ context.Context, req *ingest.Request) (ingest.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range req.Records {
		n.reqs = append(n.reqs, req.Common.Dimensions[0].Value+" "+r.MeasureName+" "+string(r.Type)+" "+r.MeasureValue)
		for _, v := range r.MeasureValues {
			n.reqs = append(n.reqs, "  "+v.Name+" "+string(v.Type)+" "+v.Value)
		}
	}
	return ingest.Result{Total: len(req.Records)}, nil
}

func (n *notebook) written() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.reqs
	n.reqs = nil
	return out
}

// start returns the door's URL, a client of it, and what its rules write.
func start(t *testing.T) (string, *sdk.Client, *notebook) {
	t.Helper()
	n := &notebook{}
	rules, err := iotrule.Open(iotrule.Options{Writer: n, AccountID: "123456789012"})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := mqtt.New(mqtt.Options{OnMessage: func(ctx context.Context, m *iotrule.Message) error { return rules.Publish(ctx, m) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close(context.Background()) })
	h, err := awsapi.New(awsapi.Options{Services: iot.New(iot.Options{Rules: rules, Broker: broker})})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL, sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &srv.URL, Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""), RetryMaxAttempts: 1,
	}), n
}

func payload(sql string) *types.TopicRulePayload {
	return &types.TopicRulePayload{
		Sql: aws.String(sql), AwsIotSqlVersion: aws.String("2016-03-23"), Description: aws.String("readings"),
		Actions: []types.Action{{Timestream: &types.TimestreamAction{
			RoleArn: aws.String("arn:aws:iam::999999999999:role/r"), DatabaseName: aws.String("d"), TableName: aws.String("t"),
			Dimensions: []types.TimestreamDimension{{Name: aws.String("device_id"), Value: aws.String("${device_id}")}},
			Timestamp:  &types.TimestreamTimestamp{Value: aws.String("${timestamp()}"), Unit: aws.String("MILLISECONDS")},
		}}},
	}
}

func TestRulesLiveTheirLife(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url, c, n := start(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.CreateTopicRule(ctx, &sdk.CreateTopicRuleInput{RuleName: aws.String("r1"), TopicRulePayload: payload("SELECT * FROM 'sensors/+/data'"), Tags: aws.String("team=a%20b&x=y")})
	must(err)
	got, err := c.GetTopicRule(ctx, &sdk.GetTopicRuleInput{RuleName: aws.String("r1")})
	must(err)
	r := got.Rule
	ts := r.Actions[0].Timestream
	if *got.RuleArn != "arn:aws:iot:us-east-1:123456789012:rule/r1" || *r.RuleName != "r1" || *r.Sql != "SELECT * FROM 'sensors/+/data'" || *r.AwsIotSqlVersion != "2016-03-23" ||
		*r.Description != "readings" || *r.RuleDisabled || r.CreatedAt.IsZero() || *ts.DatabaseName != "d" || *ts.Dimensions[0].Value != "${device_id}" || *ts.Timestamp.Unit != "MILLISECONDS" {
		t.Errorf("rule: %+v", r)
	}
	publish := func() []string {
		t.Helper()
		resp, err := http.Post(url+"/topics/sensors/d1/data?qos=1", "", strings.NewReader(`{"device_id":"d1","temperature":20.5}`))
		must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(err)
		var out struct{ Message, TraceID string }
		if json.Unmarshal(body, &out); resp.StatusCode != 200 || out.Message != "OK" || len(out.TraceID) != 36 {
			t.Errorf("publish: %s %s", resp.Status, body)
		}
		return n.written()
	}
	if w := publish(); !slices.Equal(w, []string{"d1 device_id VARCHAR d1", "d1 temperature DOUBLE 20.5"}) {
		t.Errorf("written: %q", w)
	}
	_, err = c.DisableTopicRule(ctx, &sdk.DisableTopicRuleInput{RuleName: aws.String("r1")})
	must(err)
	if w := publish(); len(w) != 0 {
		t.Errorf("a disabled rule wrote %q", w)
	}
	_, err = c.EnableTopicRule(ctx, &sdk.EnableTopicRuleInput{RuleName: aws.String("r1")})
	must(err)
	_, err = c.ReplaceTopicRule(ctx, &sdk.ReplaceTopicRuleInput{RuleName: aws.String("r1"), TopicRulePayload: payload("SELECT temperature AS t FROM 'sensors/#'")})
	must(err)
	if w := publish(); !slices.Equal(w, []string{"d1 t DOUBLE 20.5"}) {
		t.Errorf("written: %q", w)
	}

	// Tags, and the one that means something here.
	arn := got.RuleArn
	tags, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: arn})
	must(err)
	if len(tags.Tags) != 2 || *tags.Tags[0].Key != "team" || *tags.Tags[0].Value != "a b" {
		t.Errorf("tags: %+v", tags.Tags)
	}
	_, err = c.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String(iotrule.MultiMeasureTag), Value: aws.String("m")}}})
	must(err)
	if w := publish(); !slices.Equal(w, []string{"d1 m MULTI ", "  t DOUBLE 20.5"}) {
		t.Errorf("written: %q", w)
	}
	_, err = c.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: arn, TagKeys: []string{iotrule.MultiMeasureTag, "x"}})
	must(err)
	if tags, err = c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: arn}); err != nil || len(tags.Tags) != 1 {
		t.Errorf("tags: %+v, %v", tags, err)
	}

	// Pages.
	for _, name := range []string{"r2", "r3"} {
		_, err := c.CreateTopicRule(ctx, &sdk.CreateTopicRuleInput{RuleName: &name, TopicRulePayload: payload("SELECT * FROM 'other'")})
		must(err)
	}
	var names []string
	pages := sdk.NewListTopicRulesPaginator(c, &sdk.ListTopicRulesInput{MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		must(err)
		for _, r := range p.Rules {
			names = append(names, *r.RuleName+" "+*r.TopicPattern)
		}
	}
	if !slices.Equal(names, []string{"r1 sensors/#", "r2 other", "r3 other"}) {
		t.Errorf("rules: %q", names)
	}
	matching, err := c.ListTopicRules(ctx, &sdk.ListTopicRulesInput{Topic: aws.String("sensors/x")})
	must(err)
	if len(matching.Rules) != 1 || *matching.Rules[0].RuleName != "r1" {
		t.Errorf("rules on sensors/x: %+v", matching.Rules)
	}
	for range 2 {
		_, err = c.DeleteTopicRule(ctx, &sdk.DeleteTopicRuleInput{RuleName: aws.String("r1")})
		must(err)
	}
	e, err := c.DescribeEndpoint(ctx, &sdk.DescribeEndpointInput{EndpointType: aws.String("iot:Data-ATS")})
	must(err)
	if *e.EndpointAddress != "127.0.0.1" {
		t.Errorf("endpoint %s", *e.EndpointAddress)
	}
}

func TestErrorsAreAWSs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	_, c, _ := start(t)
	create := func(name string, p *types.TopicRulePayload) error {
		_, err := c.CreateTopicRule(ctx, &sdk.CreateTopicRuleInput{RuleName: &name, TopicRulePayload: p})
		return err
	}
	if err := create("r", payload("SELECT * FROM 'a'")); err != nil {
		t.Fatal(err)
	}
	var exists *types.ResourceAlreadyExistsException
	if err := create("r", payload("SELECT * FROM 'a'")); !errors.As(err, &exists) || *exists.ResourceId != "r" || *exists.ResourceArn != "arn:aws:iot:us-east-1:123456789012:rule/r" {
		t.Errorf("create twice: %v", err)
	}
	var parse *types.SqlParseException
	if err := create("q", payload("SELECT * FORM 'a'")); !errors.As(err, &parse) || !strings.Contains(*parse.Message, "line 1:10") {
		t.Errorf("bad SQL: %v", err)
	}
	if err := create("q", payload("SELECT aws_lambda('f', 1) FROM 'a'")); !errors.As(err, &parse) {
		t.Errorf("external function: %v", err)
	}
	var invalid *types.InvalidRequestException
	p := payload("SELECT * FROM 'a'")
	p.Actions = []types.Action{{Lambda: &types.LambdaAction{FunctionArn: aws.String("arn:aws:lambda:us-east-1:1:function:f")}}}
	if err := create("q", p); !errors.As(err, &invalid) || !strings.Contains(*invalid.Message, "lambda is not supported") {
		t.Errorf("lambda: %v", err)
	}
	if err := create("bad-name", payload("SELECT * FROM 'a'")); !errors.As(err, &invalid) {
		t.Errorf("bad name: %v", err)
	}
	p = payload("SELECT * FROM 'a'")
	p.Actions = slices.Repeat(p.Actions, 11)
	if err := create("q", p); !errors.As(err, &invalid) {
		t.Errorf("11 actions: %v", err)
	}
	var denied *types.UnauthorizedException
	if _, err := c.GetTopicRule(ctx, &sdk.GetTopicRuleInput{RuleName: aws.String("nobody")}); !errors.As(err, &denied) || *denied.Message != "Access to topic rule 'nobody' was denied" {
		t.Errorf("get of a missing rule: %v", err)
	}
	if _, err := c.EnableTopicRule(ctx, &sdk.EnableTopicRuleInput{RuleName: aws.String("nobody")}); !errors.As(err, &denied) {
		t.Errorf("enable of a missing rule: %v", err)
	}
	var missing *types.ResourceNotFoundException
	if _, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:iot:us-east-1:123456789012:rule/nobody")}); !errors.As(err, &missing) {
		t.Errorf("tags of a missing rule: %v", err)
	}
}

func TestWireForms(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t)
	const good = `{"sql":"SELECT * FROM 'a'","actions":[{"timestream":{"roleArn":"arn:aws:iam::1:role/r","databaseName":"d","tableName":"t","dimensions":[{"name":"k","value":"v"}]}}]}`
	do := func(method, path, body string, headers ...string) (int, string, string) {
		t.Helper()
		req, err := http.NewRequest(method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("X-Amzn-Errortype"), string(b)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		name               string
		text               string
	}{
		{"POST", "/rules/r", good, 200, "", ""},
		{"GET", "/rules/r", "", 200, "", `"awsIotSqlVersion":"2015-10-08"`},
		{"POST", "/rules/s", `{"sql":"SELECT * FROM 'a'"}`, 400, "InvalidRequestException", "lacks actions"},
		{"POST", "/rules/s", `{"topicRulePayload":` + good + `}`, 400, "InvalidRequestException", "lacks sql"},
		{"POST", "/rules/s", `{"sql":`, 400, "InvalidRequestException", "not valid"},
		{"POST", "/rules/s", `{"sql":"SELECT * FROM 'a'","actions":[{"timestream":{},"republish":{}}]}`, 400, "InvalidRequestException", "exactly one member"},
		{"POST", "/rules/s", `{"sql":"SELECT * FROM 'a'","actions":[{"teleport":{}}]}`, 400, "InvalidRequestException", "does not exist"},
		{"POST", "/rules/s", `{"sql":"SELECT * FROM 'a'","actions":[{"timestream":{"dimensions":3}}]}`, 400, "InvalidRequestException", "timestream is not valid"},
		{"GET", "/rules?maxResults=0", "", 400, "InvalidRequestException", "maxResults"},
		{"GET", "/rules?nextToken=!!", "", 400, "InvalidRequestException", "nextToken"},
		{"GET", "/endpoint?endpointType=iot:Nope", "", 400, "InvalidRequestException", "endpoint type"},
		{"POST", "/topics/a%2Fb?qos=0", "x", 200, "", `"message":"OK"`},
		{"POST", "/topics/a/b?qos=2", "x", 400, "InvalidRequestException", "qos"},
		{"POST", "/topics/a%2F%23", "x", 400, "InvalidRequestException", "wildcard"},
		{"POST", "/topics/$aws/things/x", "x", 400, "InvalidRequestException", "reserved"},
		{"POST", "/topics/$aws/rules/r/x", "{}", 200, "", "OK"},
		{"POST", "/topics/a", strings.Repeat("x", 128<<10+1), 413, "RequestEntityTooLargeException", "131073"},
		{"GET", "/retainedMessage/none", "", 404, "ResourceNotFoundException", "none"},
		{"DELETE", "/connections/none", "", 404, "ResourceNotFoundException", "none"},
	} {
		status, name, body := do(c.method, c.path, c.body)
		if status != c.status || name != c.name || !strings.Contains(body, c.text) {
			t.Errorf("%s %s: got %d %s %s; want %d %s with %s", c.method, c.path, status, name, body, c.status, c.name, c.text)
		}
	}

	user := base64.StdEncoding.EncodeToString([]byte(`[{"k":"v"}]`))
	if status, _, body := do("POST", "/topics/kept%2F1?retain=true&qos=1", "payload", "x-amz-mqtt5-user-properties", user); status != 200 {
		t.Errorf("retain: %d %s", status, body)
	}
	do("POST", "/topics/kept%2F2?retain=true", "2")
	var kept struct {
		Topic            string
		Payload          []byte
		QoS              int
		LastModifiedTime int64
		UserProperties   []byte
	}
	_, _, body := do("GET", "/retainedMessage/kept%2F1", "")
	if err := json.Unmarshal([]byte(body), &kept); err != nil || kept.Topic != "kept/1" || string(kept.Payload) != "payload" || kept.QoS != 1 || kept.LastModifiedTime == 0 || string(kept.UserProperties) != `[{"k":"v"}]` {
		t.Errorf("retained: %s, %v", body, err)
	}
	var list struct {
		RetainedTopics []struct {
			Topic       string
			PayloadSize int
		}
		NextToken string
	}
	var topics []string
	for first := true; first || list.NextToken != ""; first = false {
		_, _, body := do("GET", "/retainedMessage?maxResults=1&nextToken="+list.NextToken, "")
		list.NextToken = ""
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.RetainedTopics) != 1 {
			t.Fatalf("%s, %v", body, err)
		}
		topics = append(topics, list.RetainedTopics[0].Topic)
	}
	if !slices.Equal(topics, []string{"kept/1", "kept/2"}) {
		t.Errorf("retained topics: %q", topics)
	}
}
