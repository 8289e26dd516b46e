package s3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/vfs"
)

// newDoor returns a door that takes everybody, with a bucket called box.
func newDoor(t *testing.T) (*Handler, *objstore.Buckets) {
	t.Helper()
	b, err := objstore.OpenBuckets(vfs.NewMem(), nil)
	if err == nil {
		err = b.CreateBucket("box", "us-east-1")
	}
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Buckets: b, AccountID: "000000000000", Region: "us-east-1", PublicHost: "db.example:8470", MaxObjectBytes: 1 << 20}), b
}

// send returns "status code-of-an-error body".
func send(h http.Handler, method, target, body string, headers ...string) (string, http.Header) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text := w.Body.String()
	if _, after, ok := strings.Cut(text, "<Code>"); ok {
		text, _, _ = strings.Cut(after, "<")
	}
	return fmt.Sprint(w.Code, " ", text), w.Header()
}

func TestRangesAreThoseOfS3(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "0-10 false", "bytes=0-0": "0-1 true", "bytes=2-": "2-10 true", "bytes=-3": "7-10 true", "bytes=-30": "0-10 true", "bytes=9-99": "9-10 true",
		"bytes=10-": "error", "bytes=-0": "error", "bytes=5-4": "0-10 false", "bytes=0-1,4-5": "0-10 false", "lines=1-2": "0-10 false", "bytes=a-b": "0-10 false",
	} {
		from, to, partial, err := byteRange(header, 10)
		got := fmt.Sprintf("%d-%d %v", from, to, partial)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestBodiesAreCheckedBeforeTheyAreStored(t *testing.T) {
	t.Parallel()
	h, b := newDoor(t)
	sum := crc32.ChecksumIEEE([]byte("hello"))
	crc := base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	chunked := func(_ string, more ...string) []string {
		return append([]string{"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Decoded-Content-Length", "5", "Content-Encoding", "aws-chunked,gzip", "X-Amz-Trailer", "x-amz-checksum-crc32"}, more...)
	}
	for _, c := range []struct {
		name, body string
		headers    []string
		want       string
	}{
		{"whole", "3\r\nhel\r\n2\r\nlo\r\n0\r\nx-amz-checksum-crc32:" + crc + "\r\n\r\n", chunked(""), "200 "},
		{"wrong trailer", "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", chunked(""), "400 BadDigest"},
		{"cut short", "5\r\nhel", chunked(""), "400 IncompleteBody"},
		{"another length", "3\r\nhel\r\n0\r\n\r\n", chunked(""), "400 IncompleteBody"},
		{"no chunks", "hello\r\n", chunked(""), "400 InvalidChunkSizeError"},
		{"no length", "5\r\nhello\r\n0\r\n\r\n", []string{"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "411 MissingContentLength"},
		{"another hash", "hello", []string{"X-Amz-Content-Sha256", strings.Repeat("0", 64)}, "400 XAmzContentSHA256Mismatch"},
		{"another MD5", "hello", []string{"Content-Md5", "1B2M2Y8AsgTpgAmY7PhCfg=="}, "400 BadDigest"},
		{"no MD5", "hello", []string{"Content-Md5", "x"}, "400 InvalidDigest"},
		{"another checksum", "hello", []string{"X-Amz-Checksum-Crc32", "AAAAAA=="}, "400 BadDigest"},
		{"too large", strings.Repeat("x", 1<<20+1), nil, "400 EntityTooLarge"},
		{"public", "hello", []string{"X-Amz-Acl", "public-read"}, "501 NotImplemented"},
		{"tags", "hello", []string{"X-Amz-Tagging", "a=b"}, "501 NotImplemented"},
	} {
		got, _ := send(h, "PUT", "/box/k", c.body, c.headers...)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		content, err := b.Read("box", "k", 100)
		if stored := err == nil && string(content) == "hello"; stored != (c.want == "200 ") {
			t.Errorf("%s: stored %v: %q %v", c.name, stored, content, err)
		}
		if err := b.Delete("box", "k"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAttributesComeBack(t *testing.T) {
	t.Parallel()
	h, _ := newDoor(t)
	send(h, "PUT", "/box/k", "hello", "Content-Type", "text/x", "Content-Encoding", "aws-chunked, br", "X-Amz-Meta-Unit", "C", "Cache-Control", "no-store", "X-Amz-Server-Side-Encryption", "AES256")
	got, head := send(h, "GET", "/box/k?response-content-type=text/y", "")
	if got != "200 hello" || head.Get("Content-Type") != "text/y" || head.Get("Content-Encoding") != "br" || head.Get("X-Amz-Meta-Unit") != "C" ||
		head.Get("Cache-Control") != "no-store" || head.Get("X-Amz-Server-Side-Encryption") != "AES256" || head.Get("Etag") != `"5d41402abc4b2a76b9719d911017c592"` {
		t.Errorf("%s %v", got, head)
	}
	for _, c := range []struct{ method, target, name, value, want string }{
		{"GET", "/box/k", "If-None-Match", `"5d41402abc4b2a76b9719d911017c592"`, "304 "},
		{"GET", "/box/k", "If-Match", `"x"`, "412 PreconditionFailed"},
		{"GET", "/box/k", "If-Modified-Since", head.Get("Last-Modified"), "304 "},
		{"GET", "/box/k", "Range", "bytes=1-2", "206 el"},
		{"HEAD", "/box/none", "", "", "404 "},
		{"PUT", "/box/k", "If-None-Match", "*", "412 PreconditionFailed"},
		{"PUT", "/box/none", "If-Match", `"x"`, "404 NoSuchKey"},
		{"PUT", "/box/copy", "X-Amz-Copy-Source", "/box/none", "404 NoSuchKey"},
		{"PUT", "/box/copy", "X-Amz-Copy-Source", "box", "400 InvalidArgument"},
		{"GET", "/box/k?versionId=7", "", "", "404 NoSuchVersion"},
		{"GET", "/box/k?torrent", "", "", "501 NotImplemented"},
		{"GET", "/box?policy", "", "", "404 NoSuchBucketPolicy"},
		{"GET", "/box?max-keys=x", "", "", "400 InvalidArgument"},
		{"GET", "/box?list-type=2&continuation-token=%21", "", "", "400 InvalidArgument"},
		{"PUT", "/box?versioning", "", "", "501 NotImplemented"},
		{"PUT", "/Box", "", "", "400 InvalidBucketName"},
		{"PUT", "/box", "", "", "409 BucketAlreadyOwnedByYou"},
		{"DELETE", "/none", "", "", "404 NoSuchBucket"},
		{"DELETE", "/box", "", "", "409 BucketNotEmpty"},
		{"POST", "/box/k?uploadId=x", "", "", "404 NoSuchUpload"},
		{"POST", "/box?delete", "", "", "400 MalformedXML"},
		{"PUT", "/box/" + strings.Repeat("k", 1025), "", "", "400 KeyTooLongError"},
		{"DELETE", "/box/none", "", "", "204 "},
	} {
		var headers []string
		if c.name != "" {
			headers = []string{c.name, c.value}
		}
		if got, _ := send(h, c.method, c.target, "", headers...); got != c.want {
			t.Errorf("%s %.60s %s: %s, want %s", c.method, c.target, c.name, got, c.want)
		}
	}
}

func TestOnlyWhatIsForS3IsClaimed(t *testing.T) {
	t.Parallel()
	h, _ := newDoor(t)
	scope := func(service string) string {
		return "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/" + service + "/aws4_request, SignedHeaders=host, Signature=00"
	}
	check := func(want bool, target string, headers ...string) {
		t.Helper()
		r := httptest.NewRequest("GET", target, nil)
		r.Header.Set("X-Amz-Date", "20260101T000000Z")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if got := h.Claims(r); got != want {
			t.Errorf("%s %v: %v", target, headers, got)
		}
	}
	check(true, "/anything", "Authorization", scope("s3"))
	check(false, "/box/k", "Authorization", scope("iot"))
	check(true, "/box/k")
	check(false, "/rules")
	check(false, "/")
	check(false, "/box", "X-Amz-Target", "Timestream_20181101.Query")
	check(true, "/none/k", "Authorization", "AWS AK:sig")
	check(true, "/none/k?AWSAccessKeyId=AK&Signature=x&Expires=1")
	check(true, "http://box.localhost:8470/k")
	check(true, "http://box.db.example/k")
	check(false, "http://none.localhost/k")
	if bucket, key := h.split(httptest.NewRequest("GET", "http://box.s3.localhost:1/a//b%2Fc", nil)); bucket != "box" || key != "a//b/c" {
		t.Errorf("%q %q", bucket, key)
	}
	if bucket, key := h.split(httptest.NewRequest("GET", "http://127.0.0.1/box/a", nil)); bucket != "box" || key != "a" {
		t.Errorf("%q %q", bucket, key)
	}
}

func TestARefusedCallerChangesNothing(t *testing.T) {
	t.Parallel()
	h, b := newDoor(t)
	if _, err := b.Put(context.Background(), "box", "secret", strings.NewReader("x"), objstore.Attributes{}); err != nil {
		t.Fatal(err)
	}
	h.Authorize = func(_ context.Context, _ wire.Caller, action, resource string) error {
		if action == "s3:PutObject" && resource == "arn:aws:s3:::box/mine" {
			return nil
		}
		return fault.New(fault.Denied, "not allowed: %s on %s", action, resource)
	}
	for _, c := range []struct{ method, target, body, want string }{
		{"GET", "/box/secret", "", "403 AccessDenied"},
		{"DELETE", "/box/secret", "", "403 AccessDenied"},
		{"GET", "/", "", "403 AccessDenied"},
		{"PUT", "/box/mine", "x", "200 "},
		{"POST", "/box?delete", "<Delete><Object><Key>secret</Key></Object></Delete>", "200 AccessDenied"},
	} {
		if got, _ := send(h, c.method, c.target, c.body); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.target, got, c.want)
		}
	}
	if got, _ := send(h, "PUT", "/box/mine", "", "X-Amz-Copy-Source", "box/secret"); got != "403 AccessDenied" {
		t.Errorf("copy: %s", got)
	}
	if _, err := b.Stat("box", "secret"); err != nil {
		t.Error(err)
	}
}

func TestErrorsHaveTheirCodes(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		errors.New("secret detail"):                 "500 InternalError",
		fmt.Errorf("read: %w", io.ErrUnexpectedEOF): "400 IncompleteBody",
		fault.New(fault.Corrupt, "damage"):          "500 InternalError",
		fault.New(fault.Conflict, "busy"):           "409 OperationAborted",
		fmt.Errorf("x: %w", objstore.ErrNoBucket):   "404 NoSuchBucket",
		fail("EntityTooLarge", 400, "too large"):    "400 EntityTooLarge",
	} {
		e := errorOf(err)
		if got := fmt.Sprint(e.Status, " ", e.Code); got != want || strings.Contains(e.Message, "secret") {
			t.Errorf("%v: %s %s, want %s", err, got, e.Message, want)
		}
	}
}
