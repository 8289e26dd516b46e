package attack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/weir-db/weir/internal/server"
	"github.com/weir-db/weir/weirtest"
)

const (
	rootKey    = "AKIAROOTROOTROOTROOT"
	rootSecret = "the root's secret, which nobody else has"
)

var root = aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}

// target is a server that verifies every request.
type target struct {
	*testing.T
	*weirtest.Server
	http http.Client
}

func start(t *testing.T, more ...weirtest.Option) *target {
	t.Helper()
	verified := func(o *server.Options) {
		o.Auth, o.RootAccessKeyID, o.RootSecretAccessKey = server.AuthIAM, rootKey, rootSecret
	}
	s := &target{T: t, Server: weirtest.Start(t, append([]weirtest.Option{verified}, more...)...)}
	s.http.Transport = &http.Transport{DisableKeepAlives: true}
	return s
}

// config is of an SDK with the root's keys.
func (s *target) config() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.URL, HTTPClient: &s.http, Credentials: credentials.NewStaticCredentialsProvider(rootKey, rootSecret, ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// request is a request before it is signed.
type request struct {
	method, path, body string
	header             http.Header
	service            string
	payload            string // hash to sign; "" for that of the body
	at                 time.Time
	keys               aws.Credentials
	region             string
}

// timestream is a call that succeeds when it is signed and sent as it is.
func timestream(operation, body string) request {
	return request{
		method: http.MethodPost, path: "/", body: body, service: "timestream", at: time.Now(), keys: root, region: "us-east-1",
		header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"Timestream_20181101." + operation}},
	}
}

// form is a call in the Query protocol.
func form(service, body string) request {
	return request{
		method: http.MethodPost, path: "/", body: body, service: service, at: time.Now(), keys: root, region: "us-east-1",
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
}

// object is a call of S3.
func object(method, path, body string) request {
	return request{method: method, path: path, body: body, service: "s3", at: time.Now(), keys: root, region: "us-east-1", header: http.Header{"X-Amz-Content-Sha256": {hash(body)}}}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// sign returns the request with a signature in its header.
func (s *target) sign(r request) *http.Request {
	s.Helper()
	req := s.plain(r)
	if r.payload == "" {
		r.payload = hash(r.body)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = r.service == "s3" })
	if err := signer.SignHTTP(context.Background(), r.keys, req, r.payload, r.service, r.region, r.at); err != nil {
		s.Fatal(err)
	}
	return req
}

// plain returns the request without a signature.
func (s *target) plain(r request) *http.Request {
	s.Helper()
	req, err := http.NewRequest(r.method, s.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		s.Fatal(err)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	return req
}

// presign returns the request with its signature in the query string.
func (s *target) presign(r request, expires string) *http.Request {
	s.Helper()
	req := s.plain(r)
	q := req.URL.Query()
	if expires != "" {
		q.Set("X-Amz-Expires", expires)
	}
	req.URL.RawQuery = q.Encode()
	if r.payload == "" {
		r.payload = "UNSIGNED-PAYLOAD"
	}
	uri, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = r.service == "s3" }).PresignHTTP(context.Background(), r.keys, req, r.payload, r.service, r.region, r.at)
	if err != nil {
		s.Fatal(err)
	}
	signed, err := http.NewRequest(r.method, uri, strings.NewReader(r.body))
	if err != nil {
		s.Fatal(err)
	}
	return signed
}

// send returns status and body of the answer.
func (s *target) send(req *http.Request) (int, string) {
	s.Helper()
	resp, err := s.http.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// code returns the name of an error in a body, in whatever protocol.
func code(body string) string {
	var j struct {
		Type string `json:"__type"`
	}
	if json.Unmarshal([]byte(body), &j) == nil && j.Type != "" {
		return j.Type[strings.LastIndexByte(j.Type, '#')+1:]
	}
	var x struct {
		Code  string
		Error struct{ Code string }
	}
	if xml.Unmarshal([]byte(body), &x) == nil && x.Code+x.Error.Code != "" {
		return x.Code + x.Error.Code
	}
	return body
}

// passes checks that a request succeeds: without the attack there would be nothing to see.
func (s *target) passes(req *http.Request) {
	s.Helper()
	if status, body := s.send(req); status != 200 {
		s.Fatalf("%s %s: %d %s", req.Method, req.URL, status, body)
	}
}

// refused checks that a request ends in an error of that name.
func (s *target) refused(what string, req *http.Request, status int, name string) {
	s.Helper()
	if got, body := s.send(req); got != status || code(body) != name {
		s.Errorf("%s: got %d %s, want %d %s", what, got, body, status, name)
	}
}

// raw sends bytes as they are and returns the statuses of all answers until the server hangs up.
func (s *target) raw(text string) (statuses []int) {
	s.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		s.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
}

// dump writes a signed request as it goes over the wire.
func dump(req *http.Request) string {
	var b bytes.Buffer
	req.Write(&b)
	return b.String()
}

// resign signs a request that was changed.
func resign(s *target, req *http.Request, r request) *http.Request {
	s.Helper()
	if r.payload == "" {
		r.payload = hash(r.body)
	}
	if err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(), r.keys, req, r.payload, r.service, r.region, r.at); err != nil {
		s.Fatal(err)
	}
	return req
}
