package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/weirtest"
)

var update = flag.Bool("update", false, "write the tables in docs anew")

// noon is where the clock of every server stands.
var noon = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

// aspect is what a check shows of an operation.
type aspect string

const (
	success     aspect = "success"
	paging      aspect = "paging"
	idempotency aspect = "idempotency"
	// The others are names of exceptions.
)

// finding is a check that went well.
type finding struct {
	aspect  aspect
	promise string
	text    string // of an exception
}

// suite is the test of one operation: a server of its own, and the SDK's clients of it.
type suite struct {
	*testing.T
	*weirtest.Server
	operation *operation
	write     *timestreamwrite.Client
	query     *timestreamquery.Client
	found     []finding
}

func newSuite(t *testing.T, o *operation) *suite {
	s := &suite{T: t, operation: o, Server: weirtest.Start(t, weirtest.At(noon))}
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.URL, // A connection of its own for each call: one that a restart has just ended may look idle still.
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Credentials: credentials.NewStaticCredentialsProvider("any", "keys", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	s.write, s.query = timestreamwrite.NewFromConfig(config), timestreamquery.NewFromConfig(config)
	return s
}

// shows runs a check and notes what it found.
func (s *suite) shows(a aspect, promise string, check func(t *testing.T)) {
	s.T.Helper()
	if s.T.Run(strings.ReplaceAll(string(a)+": "+promise, "/", "|"), check) {
		s.found = append(s.found, finding{aspect: a, promise: promise})
	}
}

// refuses checks that a body, in the API's JSON, ends in the exception of that name (without
// its "Exception"), with its status and exactly this text in every place where SDKs look.
func (s *suite) refuses(name, promise, body, text string) {
	s.T.Helper()
	s.refusesWith(name, promise, text, func() (*http.Response, []byte, error) { return s.post(s.operation.name, body) })
}

func (s *suite) refusesWith(name, promise, text string, call func() (*http.Response, []byte, error)) {
	s.T.Helper()
	name += "Exception"
	if s.T.Run(name+": "+strings.ReplaceAll(promise, "/", "|"), func(t *testing.T) {
		resp, body, err := call()
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Type  string `json:"__type"`
			Upper string `json:"Message"`
			Lower string `json:"message"`
		}
		// encoding/json would take either key for either field.
		members := map[string]json.RawMessage{}
		if err := errors.Join(json.Unmarshal(body, &e), json.Unmarshal(body, &members)); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		json.Unmarshal(members["Message"], &e.Upper)
		json.Unmarshal(members["message"], &e.Lower)
		kind := e.Type[strings.LastIndexByte(e.Type, '#')+1:]
		if kind != name || resp.StatusCode != statusOf[name] || e.Upper != text || e.Lower != text {
			t.Errorf("got  %d %s\nwant %d %s\n     %s", resp.StatusCode, body, statusOf[name], name, text)
		}
		if resp.Header.Get("X-Amzn-Requestid") == "" || resp.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
			t.Errorf("header of the answer: %v", resp.Header)
		}
	}) {
		s.found = append(s.found, finding{aspect: aspect(name), promise: promise, text: text})
	}
}

// statusOf is section 3.2 of the API reference for implementers: as the live service sends them.
var statusOf = map[string]int{
	"ValidationException": 400, "QueryExecutionException": 400, "SerializationException": 400, "ServiceQuotaExceededException": 402, "AccessDeniedException": 403,
	"ResourceNotFoundException": 404, "ConflictException": 409, "RejectedRecordsException": 419, "ThrottlingException": 429,
}

// post sends a body to an operation and returns the answer, read.
func (s *suite) post(operation, body string) (*http.Response, []byte, error) {
	req, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp, answer, err
}

// must fails the test if a call of its preparation failed.
func (s *suite) must(operation, body string) map[string]any {
	s.T.Helper()
	resp, answer, err := s.post(operation, body)
	if err != nil || resp.StatusCode != 200 {
		s.T.Fatalf("%s %s: %v %s", operation, body, err, answer)
	}
	out := map[string]any{}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			s.T.Fatalf("%s: %v in %s", operation, err, answer)
		}
	}
	return out
}

// ok fails t for an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what a client sees with what it should.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// code returns the name of an SDK's error.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestConformance(t *testing.T) {
	results := map[*operation][]finding{}
	suites := map[*operation]*suite{}
	passed := t.Run("of", func(t *testing.T) {
		for i := range services {
			for j := range services[i].operations {
				o := &services[i].operations[j]
				s := &suite{}
				suites[o] = s
				t.Run(services[i].name+" "+o.name, func(t *testing.T) {
					t.Parallel()
					*s = *newSuite(t, o)
					o.test(s)
					checkComplete(t, o, s.found)
				})
			}
		}
	})
	for o, s := range suites {
		results[o] = s.found
	}
	if partial := flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != ""; !passed || partial {
		return
	}
	checkDocs(t, results)
}

// checkComplete demands that everything the model says of an operation is shown, or told
// why it is not.
func checkComplete(t *testing.T, o *operation, found []finding) {
	t.Helper()
	has := func(a aspect) bool { return slices.ContainsFunc(found, func(f finding) bool { return f.aspect == a }) }
	var want []aspect
	if o.unseen[string(success)] == "" {
		want = append(want, success)
	}
	for e := range strings.FieldsSeq(o.errors) {
		if o.unseen[e+"Exception"] == "" {
			want = append(want, aspect(e+"Exception"))
		}
	}
	if o.pages {
		want = append(want, paging)
	}
	if o.again {
		want = append(want, idempotency)
	}
	for _, a := range want {
		if !has(a) && !t.Failed() {
			t.Errorf("no check shows %s", a)
		}
	}
}

// TestEveryOperationOfTheSDKIsCovered compares the list with the clients' methods.
func TestEveryOperationOfTheSDKIsCovered(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]any{"timestream-write": (*timestreamwrite.Client)(nil), "timestream-query": (*timestreamquery.Client)(nil)} {
		i := slices.IndexFunc(services, func(s service) bool { return s.name == name })
		for m := range reflect.TypeOf(client).Methods() {
			if m.Type.NumIn() < 3 || !strings.HasSuffix(m.Type.In(2).String(), "Input") {
				continue
			}
			if !slices.ContainsFunc(services[i].operations, func(o operation) bool { return o.name == m.Name }) {
				t.Errorf("%s: %s has no test", name, m.Name)
			}
		}
	}
}

// long is a text of n bytes.
func long(n int) string { return strings.Repeat("x", n) }

// constraint is the text of the framework for one value that does not fit.
func constraint(value, path, what string) string {
	if len(value) > 512 {
		value = value[:512] + "..."
	}
	if value != "null" {
		value = "'" + value + "'"
	}
	return "1 validation error detected: Value " + value + " at '" + path + "' failed to satisfy constraint: " + what
}

// missing is the text for a required member that is not there.
func missing(path string) string { return constraint("null", path, "Member must not be null") }

// hidden is the text for a member whose value is not repeated.
func hidden(path, what string) string {
	return "1 validation error detected: Value at '" + path + "' failed to satisfy constraint: " + what
}

// readDoc reads a page of docs.
func readDoc(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !(*update && errors.Is(err, os.ErrNotExist)) {
		t.Fatal(err)
	}
	return text
}

// checkDoc compares a page with what it should be, or writes it.
func checkDoc(t *testing.T, path string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	if *update {
		ok(t, os.WriteFile(path, want, 0o644))
		return
	}
	t.Errorf("%s is stale: run go test ./test/conformance -update", path)
}
