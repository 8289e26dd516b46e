package awsapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/sigv4"
	"github.com/weir-db/weir/internal/telemetry"
)

type echo struct {
	Service, Operation, Protocol, Region, Body, ARN string
	Path                                            map[string]string
}

func echoOp(_ context.Context, c *wire.Call) (wire.Response, error) {
	return wire.Value(echo{c.Service.Name, c.Operation, c.Protocol.String(), c.Region, string(c.Body), c.Caller.ARN, c.Path}), nil
}

func services() []*wire.Service {
	ops := func(names ...string) map[string]wire.Handler {
		m := map[string]wire.Handler{}
		for _, n := range names {
			m[n] = echoOp
		}
		return m
	}
	ts := &wire.Service{Name: "timestream", TargetPrefix: "Timestream_20181101", ErrorNamespace: "com.amazonaws.timestream.v20181101",
		MetricNamespace: "AWS/Timestream", Operations: ops("Query", "DescribeEndpoints")}
	ts.Operations["WriteRecords"] = func(_ context.Context, c *wire.Call) (wire.Response, error) {
		c.Database, c.Table, c.Records, c.BytesMetered = "d", "t", 7, 100
		return wire.Recycled(append(c.Buffer(), `{"ok":true}`...)), nil
	}
	ts.Operations["Missing"] = func(context.Context, *wire.Call) (wire.Response, error) {
		return wire.Response{}, fault.New(fault.NotFound, "The table t does not exist.")
	}
	ts.Operations["Panic"] = func(context.Context, *wire.Call) (wire.Response, error) { panic("secret") }
	ts.Operations["Fail"] = func(context.Context, *wire.Call) (wire.Response, error) {
		return wire.Response{}, errors.New("secret")
	}
	return []*wire.Service{
		ts,
		{Name: "monitoring", TargetPrefix: "GraniteServiceVersion20100801", Version: "2010-08-01", XMLNamespace: "http://monitoring/", QueryCompatible: true, Operations: ops("ListMetrics")},
		{Name: "iam", Version: "2010-05-08", XMLNamespace: "https://iam/", Operations: ops("CreateRole")},
		{Name: "sts", Version: "2011-06-15", XMLNamespace: "https://sts/", Operations: ops("GetCallerIdentity")},
		{Name: "iot", SigningNames: []string{"iot", "execute-api"}, Operations: ops("CreateTopicRule", "ListTopicRules", "EnableTopicRule", "Publish"), Routes: []wire.Route{
			{Method: "POST", Pattern: "/rules/{ruleName}", Operation: "CreateTopicRule"},
			{Method: "GET", Pattern: "/rules", Operation: "ListTopicRules"},
			{Method: "POST", Pattern: "/rules/{ruleName}/enable", Operation: "EnableTopicRule"},
			{Method: "POST", Pattern: "/topics/{topic...}", Operation: "Publish"},
		}},
	}
}

func newServer(t *testing.T, opt awsapi.Options) *httptest.Server {
	t.Helper()
	opt.Services = services()
	h, err := awsapi.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if id := resp.Header.Get("x-amzn-RequestId"); len(id) != 26 && resp.StatusCode != 204 {
		t.Errorf("%s %s: request id %q", req.Method, req.URL, id)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func request(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

const form = "application/x-www-form-urlencoded; charset=utf-8"

func TestRequestsFindTheirOperation(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{})
	check := func(want, method, path, body string, headers ...string) {
		t.Helper()
		got := do(t, request(t, method, srv.URL+path, body, headers...))
		if got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s %s: %d %s, want %s", method, path, got.status, got.body, want)
		}
	}
	check(`"Operation":"Query","Protocol":"json-1.0","Region":"us-east-1","Body":"{}"`, "POST", "/", "{}", "X-Amz-Target", "Timestream_20181101.Query")
	check(`"Service":"monitoring","Operation":"ListMetrics","Protocol":"json-1.0"`, "POST", "/", "{}", "X-Amz-Target", "GraniteServiceVersion20100801.ListMetrics")
	check(`<Operation>ListMetrics</Operation><Protocol>query</Protocol>`, "POST", "/", "Action=ListMetrics&Version=2010-08-01", "Content-Type", form)
	check(`<CreateRoleResponse xmlns="https://iam/"><CreateRoleResult><Service>iam</Service>`, "POST", "/", "Action=CreateRole&Version=2010-05-08", "Content-Type", form)
	check(`<Service>sts</Service>`, "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "")
	check("hProtocolkrpc-v2-cbor", "POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", "\xa0", "Smithy-Protocol", "rpc-v2-cbor")
	check(`"Operation":"CreateTopicRule","Protocol":"rest-json","Region":"us-east-1","Body":"{}","ARN":"arn:aws:iam::000000000000:root","Path":{"ruleName":"r"}`, "POST", "/rules/r", "{}")
	check(`"Operation":"EnableTopicRule"`, "POST", "/rules/r/enable", "")
	check(`"Operation":"ListTopicRules"`, "GET", "/rules?maxResults=1", "")
	check(`"Path":{"topic":"a/b/c d"}`, "POST", "/topics/a%2Fb/c%20d", "x")
	check(`"Path":{"topic":"a//b"}`, "POST", "/topics/a//b", "x")
}

func TestWhatHasNoOperationIsAnsweredAsAWSDoes(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{})
	check := func(status int, want, method, path, body string, headers ...string) {
		t.Helper()
		got := do(t, request(t, method, srv.URL+path, body, headers...))
		if got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("%s %s %v: %d %q, want %d %q", method, path, headers, got.status, got.body, status, want)
		}
	}
	const unknown = `{"__type":"com.amazon.coral.service#UnknownOperationException"}`
	check(404, unknown, "POST", "/", "{}", "X-Amz-Target", "Timestream_20181101.Nope")
	check(404, unknown, "POST", "/", "{}", "X-Amz-Target", "DynamoDB_20120810.PutItem")
	check(404, unknown, "POST", "/", "{}", "X-Amz-Target", "Query")
	check(404, unknown, "GET", "/", "", "X-Amz-Target", "Timestream_20181101.Query")
	check(404, unknown, "POST", "/", "{}")
	check(404, "UnknownOperationException", "POST", "/service/X/operation/Y", "\xa0")
	check(404, "{}", "DELETE", "/rules/a/b/c", "")
	check(404, "{}", "POST", "/topics/", "")
	check(400, "<Code>InvalidAction</Code><Message>Could not find operation Nope for version 2010-05-08</Message>", "POST", "/", "Action=Nope&Version=2010-05-08", "Content-Type", form)
	check(400, "<Code>InvalidAction</Code>", "POST", "/", "Action=CreateRole&Version=1999-01-01", "Content-Type", form)
	check(400, "<Code>MalformedInput</Code>", "POST", "/", "%zz", "Content-Type", form)
	check(404, `"Message":"The table t does not exist."`, "POST", "/", "{}", "X-Amz-Target", "Timestream_20181101.Missing")
}

func TestInternalErrorsAndPanicsStayInTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	srv := newServer(t, awsapi.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, op := range []string{"Panic", "Fail"} {
		got := do(t, request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101."+op))
		id := got.header.Get("x-amzn-RequestId")
		if got.status != 500 || strings.Contains(got.body, "secret") || !strings.Contains(got.body, id) {
			t.Errorf("%s: %d %s", op, got.status, got.body)
		}
		if text := log.String(); !strings.Contains(text, id) || !strings.Contains(text, "secret") {
			t.Errorf("%s: the log lacks the cause: %s", op, text)
		}
	}
}

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{MaxBodyBytes: 1000})
	send := func(n int, chunked bool) answer {
		req := request(t, "POST", srv.URL, strings.Repeat("x", n), "X-Amz-Target", "Timestream_20181101.Query")
		if chunked {
			req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", n)))
			req.ContentLength = -1
		}
		return do(t, req)
	}
	for _, chunked := range []bool{false, true} {
		if got := send(1000, chunked); got.status != 200 {
			t.Errorf("chunked=%v: a body at the limit: %d %s", chunked, got.status, got.body)
		}
		if got := send(1001, chunked); got.status != 413 || !strings.Contains(got.body, "larger than 1000 bytes") {
			t.Errorf("chunked=%v: a body over the limit: %d %s", chunked, got.status, got.body)
		}
	}
	// More than what sockets buffer: a refusal before the end of the body would meet a
	// client that still writes, and reset its connection.
	for _, chunked := range []bool{false, true} {
		if got := send(20<<20, chunked); got.status != 413 {
			t.Errorf("chunked=%v: a body of 20 MiB: %d %s", chunked, got.status, got.body)
		}
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(make([]byte, 100_000))
	w.Close()
	got := do(t, request(t, "POST", srv.URL, z.String(), "X-Amz-Target", "Timestream_20181101.Query", "Content-Encoding", "gzip"))
	if got.status != 413 {
		t.Errorf("a bomb: %d %s", got.status, got.body)
	}
	got = do(t, request(t, "POST", srv.URL, "not gzip", "X-Amz-Target", "Timestream_20181101.Query", "Content-Encoding", "gzip"))
	if got.status != 400 {
		t.Errorf("not gzip: %d %s", got.status, got.body)
	}
}

func TestABodyThatNeverComesIsGivenUp(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{BodyTimeout: 10 * time.Millisecond})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Timestream_20181101.Query\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn) // the server closes the connection
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") || !strings.Contains(string(got), "did not arrive in time") {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestPagesOfOtherOriginsMayNotCall(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{Origins: []string{"https://grafana.example"}})
	open := newServer(t, awsapi.Options{AnyOrigin: true})
	check := func(srv *httptest.Server, origin string, status int) {
		t.Helper()
		got := do(t, request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101.Query", "Origin", origin))
		if got.status != status || status == 200 && got.header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("%s: %d %v", origin, got.status, got.header)
		}
	}
	check(srv, "http://localhost:3000", 200)
	check(srv, "http://127.0.0.1:8470", 200)
	check(srv, "https://grafana.example", 200)
	check(srv, "https://evil.example", 403)
	check(srv, "http://localhost.evil.example", 403)
	check(srv, "null", 403)
	check(open, "https://evil.example", 200)
	got := do(t, request(t, "OPTIONS", srv.URL, "", "Origin", "http://localhost:3000", "Access-Control-Request-Headers", "x-amz-target,authorization"))
	if got.status != 204 || got.header.Get("Access-Control-Allow-Headers") != "x-amz-target,authorization" {
		t.Errorf("preflight: %d %v", got.status, got.header)
	}
}

type key struct {
	iam.Identity
	token string
}

type keys map[string]key

func (k keys) Credential(id, token string) (iam.Identity, error) {
	c, ok := k[id]
	switch {
	case id == "EXPIRED":
		return iam.Identity{}, iam.ErrExpired
	case !ok || c.token != token:
		return iam.Identity{}, iam.ErrUnknownKey
	}
	return c.Identity, nil
}

func sign(t *testing.T, req *http.Request, body, id, secret, token, service string) *http.Request {
	t.Helper()
	h := sha256.Sum256([]byte(body))
	err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, req, hex.EncodeToString(h[:]), service, "eu-west-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestSignedModeVerifiesEveryRequest(t *testing.T) {
	t.Parallel()
	known := keys{
		"ROOT": {Identity: iam.Identity{Secret: "s", ARN: "arn:aws:iam::123456789012:root"}},
		"ASIA": {Identity: iam.Identity{Secret: "s", ARN: "arn:aws:sts::1:assumed-role/r/s"}, token: "tok"},
	}
	srv := newServer(t, awsapi.Options{Auth: awsapi.Signed{Keys: known, Verifier: &sigv4.Verifier{}}})
	json := func() *http.Request {
		return request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101.Query")
	}
	check := func(req *http.Request, status int, want string) {
		t.Helper()
		if got := do(t, req); got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("got %d %s, want %d %s", got.status, got.body, status, want)
		}
	}
	check(sign(t, json(), "{}", "ROOT", "s", "", "timestream"), 200, `"Region":"eu-west-1","Body":"{}","ARN":"arn:aws:iam::123456789012:root"`)
	check(sign(t, json(), "{}", "ASIA", "s", "tok", "timestream"), 200, "assumed-role/r/s")
	check(json(), 400, "com.amazon.coral.service#MissingAuthenticationTokenException")
	check(sign(t, json(), "{}", "ROOT", "wrong", "", "timestream"), 400, "com.amazon.coral.service#InvalidSignatureException")
	check(sign(t, json(), "{", "ROOT", "s", "", "timestream"), 400, "#InvalidSignatureException")
	check(sign(t, json(), "{}", "ROOT", "s", "", "s3"), 400, "#InvalidSignatureException")
	check(sign(t, json(), "{}", "OTHER", "s", "", "timestream"), 400, "#UnrecognizedClientException")
	check(sign(t, json(), "{}", "ASIA", "s", "", "timestream"), 400, "#UnrecognizedClientException")
	check(sign(t, json(), "{}", "EXPIRED", "s", "t", "timestream"), 400, "#ExpiredTokenException")
	const body = "Action=CreateRole&Version=2010-05-08"
	q := func() *http.Request { return request(t, "POST", srv.URL, body, "Content-Type", form) }
	check(sign(t, q(), body, "ROOT", "s", "", "iam"), 200, "<Service>iam</Service>")
	check(q(), 403, "<Code>MissingAuthenticationToken</Code>")
	check(sign(t, q(), body, "ROOT", "x", "", "iam"), 403, "<Code>SignatureDoesNotMatch</Code>")
	rest := request(t, "POST", srv.URL+"/rules/r", "{}")
	check(sign(t, rest, "{}", "ROOT", "s", "", "execute-api"), 200, "CreateTopicRule")
}

func TestUnsignedModeTakesNonsenseSignatures(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{AccountID: "123456789012"})
	for _, authorization := range []string{"", "Bearer x", "AWS4-HMAC-SHA256 Credential=x/20150101/ap-south-1/timestream/aws4_request, SignedHeaders=host, Signature=zz"} {
		got := do(t, request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101.Query", "Authorization", authorization, "X-Amz-Date", "20150101T000000Z"))
		if got.status != 200 || !strings.Contains(got.body, "arn:aws:iam::123456789012:root") {
			t.Errorf("%q: %d %s", authorization, got.status, got.body)
		}
		if strings.HasPrefix(authorization, "AWS4") != strings.Contains(got.body, `"Region":"ap-south-1"`) {
			t.Errorf("%q: %s", authorization, got.body)
		}
	}
}

type denyAll struct{}

func (denyAll) Authorize(_ context.Context, c *wire.Call) (context.Context, error) {
	return nil, fault.New(fault.Denied, "User: %s is not authorized to perform: %s:%s", c.Caller.ARN, c.Service.Name, c.Operation)
}

func TestTheAuthorizerIsAskedBeforeTheOperation(t *testing.T) {
	t.Parallel()
	srv := newServer(t, awsapi.Options{Authorize: denyAll{}})
	got := do(t, request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101.WriteRecords"))
	if got.status != 403 || !strings.Contains(got.body, "AccessDeniedException") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestCallsAreCountedWhereArticlesLook(t *testing.T) {
	t.Parallel()
	reg := telemetry.New(telemetry.Options{})
	srv := newServer(t, awsapi.Options{Telemetry: reg})
	for range 3 {
		do(t, request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101.WriteRecords"))
	}
	do(t, request(t, "POST", srv.URL, "{}", "X-Amz-Target", "Timestream_20181101.Missing"))
	sum := func(name string, dims ...telemetry.Dim) float64 {
		m := reg.Lookup("AWS/Timestream", name, dims...)
		if m == nil {
			return 0
		}
		total := 0.0
		for _, b := range m.Buckets(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), time.Hour) {
			total += b.Sum
		}
		return total
	}
	op, db, table := telemetry.Dim{Name: "Operation", Value: "WriteRecords"}, telemetry.Dim{Name: "DatabaseName", Value: "d"}, telemetry.Dim{Name: "TableName", Value: "t"}
	for _, dims := range [][]telemetry.Dim{{}, {op}, {db}, {db, table}, {table, op, db}} {
		if got := sum("SuccessfulRequestCount", dims...); got != 3 {
			t.Errorf("SuccessfulRequestCount %v = %v, want 3", dims, got)
		}
		if got := sum("NumberOfRecords", dims...); got != 21 {
			t.Errorf("NumberOfRecords %v = %v, want 21", dims, got)
		}
	}
	if got := sum("UserErrors", telemetry.Dim{Name: "Operation", Value: "Missing"}); got != 1 {
		t.Errorf("UserErrors = %v, want 1", got)
	}
	var text strings.Builder
	if err := reg.WritePrometheus(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`weir_requests_total{service="timestream",operation="WriteRecords",status="200"} 3`,
		`weir_records_total{operation="WriteRecords",database="d",table="t"} 21`,
		`weir_successful_requests_total{operation="WriteRecords",database="d",table="t"} 3`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("/metrics lacks %s in\n%s", want, text.String())
		}
	}
}

func TestServicesThatClaimTheSameRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := &wire.Service{Name: "a", TargetPrefix: "P"}
	if _, err := awsapi.New(awsapi.Options{Services: []*wire.Service{s, {Name: "b", TargetPrefix: "P"}}}); err == nil {
		t.Error("two services share a prefix")
	}
	if _, err := awsapi.New(awsapi.Options{Services: []*wire.Service{{Name: "c", Routes: []wire.Route{{Method: "GET", Pattern: "/x", Operation: "X"}}}}}); err == nil {
		t.Error("a route leads nowhere")
	}
}

func TestClaimsLeavesPagesToOthers(t *testing.T) {
	t.Parallel()
	h, err := awsapi.New(awsapi.Options{Services: services()})
	if err != nil {
		t.Fatal(err)
	}
	check := func(want bool, method, path string) {
		t.Helper()
		if got := h.Claims(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s %s: %v", method, path, got)
		}
	}
	check(true, "POST", "/")
	check(true, "GET", "/rules")
	check(true, "GET", "/?Action=GetCallerIdentity&Version=2011-06-15")
	check(false, "GET", "/")
	check(false, "GET", "/console/index.html")
}

func BenchmarkServe(b *testing.B) {
	h, err := awsapi.New(awsapi.Options{Services: services()})
	if err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat("x", 20_000)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "Timestream_20181101.WriteRecords")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
