package attack

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// objects makes a bucket with a public and a secret object.
func objects(t *testing.T) *target {
	t.Helper()
	s := start(t)
	s.passes(s.sign(object("PUT", "/box", "")))
	s.passes(s.sign(object("PUT", "/box/public", "everybody's")))
	s.passes(s.sign(object("PUT", "/box/secret", "nobody's")))
	return s
}

func (s *target) content(key, want string) {
	s.Helper()
	if status, body := s.send(s.sign(object("GET", "/box/"+key, ""))); status != 200 || body != want {
		s.Errorf("%s: %d %q, want %q", key, status, body, want)
	}
}

func TestAnObjectChangedOnItsWayIsNotStored(t *testing.T) {
	t.Parallel()
	s := objects(t)
	req := withBody(s.sign(object("PUT", "/box/public", "mine")), "evil")
	s.refused("another body", req, 400, "XAmzContentSHA256Mismatch")
	req = s.sign(object("PUT", "/box/public", "mine"))
	req.URL.Path = "/box/secret"
	s.refused("another key", req, 403, "SignatureDoesNotMatch")
	req = s.sign(object("PUT", "/box/public", "mine"))
	req.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	s.refused("a body declared to be unsigned", withBody(req, "evil"), 403, "SignatureDoesNotMatch")
	req = s.sign(object("GET", "/box/public", ""))
	req.Method = "DELETE"
	s.refused("another method", req, 403, "SignatureDoesNotMatch")
	req = s.sign(object("GET", "/box/public", ""))
	req.URL.RawQuery = "tagging"
	s.refused("a sub-resource", req, 403, "SignatureDoesNotMatch")
	s.content("public", "everybody's")
	s.content("secret", "nobody's")
}

func TestHeadersThatWereNotSignedChangeNothing(t *testing.T) {
	t.Parallel()
	s := objects(t)
	req := s.sign(object("PUT", "/box/public", "mine"))
	req.Header.Set("X-Amz-Copy-Source", "/box/secret")
	s.refused("a copy made of a PUT", req, 403, "AccessDenied")
	r := object("PUT", "/box/public", "")
	r.header = http.Header{}
	req = s.presign(r, "60")
	req.Header.Set("X-Amz-Copy-Source", "/box/secret")
	s.refused("a copy made of a URL to upload to", req, 403, "AccessDenied")
	req = s.presign(r, "60")
	req.Header.Set("X-Amz-Meta-Owner", "me")
	s.refused("metadata", req, 403, "AccessDenied")
	s.content("public", "everybody's")
	s.passes(withBody(s.presign(r, "60"), "through the URL"))
	s.content("public", "through the URL")
}

func TestPresignedURLsOfObjectsExpire(t *testing.T) {
	t.Parallel()
	s := objects(t)
	r := object("GET", "/box/public", "")
	r.header = http.Header{}
	s.passes(s.presign(r, "60"))
	r.at = time.Now().Add(-2 * time.Minute)
	if status, body := s.send(s.presign(r, "60")); status != 403 {
		t.Errorf("past its end: %d %s", status, body)
	}
	r.at = time.Now()
	req := s.presign(r, "60")
	req.URL.Path = "/box/secret"
	s.refused("another key", req, 403, "SignatureDoesNotMatch")
	for _, expires := range []string{"604801", "-5", "x"} {
		s.refused("expires in "+expires, s.presign(r, expires), 400, "AuthorizationHeaderMalformed")
	}
}

func TestBadChunksAreNotStored(t *testing.T) {
	t.Parallel()
	s := objects(t)
	put := func(declared, body string, decoded int) *http.Request {
		r := object("PUT", "/box/public", body)
		r.payload = declared
		r.header = http.Header{"X-Amz-Content-Sha256": {declared}, "Content-Encoding": {"aws-chunked"}, "X-Amz-Decoded-Content-Length": {fmt.Sprint(decoded)}}
		if strings.HasSuffix(declared, "TRAILER") {
			r.header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		}
		return s.sign(r)
	}
	const signed, unsigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	zero := strings.Repeat("0", 64)
	for name, req := range map[string]*http.Request{
		"a chunk with a made-up signature":     put(signed, "4;chunk-signature="+zero+"\r\nevil\r\n0;chunk-signature="+zero+"\r\n\r\n", 4),
		"a chunk without a signature":          put(signed, "4\r\nevil\r\n0\r\n\r\n", 4),
		"only the last chunk":                  put(signed, "0;chunk-signature="+zero+"\r\n\r\n", 0),
		"no chunks":                            put(signed, "evil", 4),
		"a size past all numbers":              put(unsigned, "ffffffffffffffffff\r\nevil\r\n0\r\n\r\n", 4),
		"a negative size":                      put(unsigned, "-4\r\nevil\r\n0\r\n\r\n", 4),
		"another length than declared":         put(unsigned, "4\r\nevil\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 400),
		"a wrong checksum in the trailer":      put(unsigned, "4\r\nevil\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 4),
		"no trailer where one was promised":    put(unsigned, "4\r\nevil\r\n0\r\n\r\n", 4),
		"cut off":                              put(unsigned, "40\r\nevil", 64),
		"signed chunks said to be unsigned":    withHeader(put(signed, "4\r\nevil\r\n0\r\n\r\n", 4), "X-Amz-Content-Sha256", unsigned),
		"a trailer with a signature made up":   put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "0;chunk-signature="+zero+"\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-trailer-signature:"+zero+"\r\n\r\n", 0),
		"a stream of a kind that is not known": put("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "4\r\nevil\r\n0\r\n\r\n", 4),
	} {
		if status, body := s.send(req); status < 400 || status == 500 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	s.content("public", "everybody's")
}

func withHeader(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

func TestKeysStayInsideTheirBucket(t *testing.T) {
	t.Parallel()
	s := objects(t)
	for _, path := range []string{"/box/../../escaped", "/box/%2e%2e/%2e%2e/escaped", "/box/..%2f..%2fescaped", "/box/a/../../../escaped", "/..%2fescaped", "/%2e%2e/escaped", "/box/..\\escaped", "/box/\x00escaped",
		"/box/.bucket", "/box/.tmp/escaped", "/.tmp/escaped", "/.uploads/escaped", "/box/a%00escaped"} {
		raw := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\n", path, strings.TrimPrefix(s.URL, "http://"))
		statuses := s.raw(raw + "Content-Length: 4\r\nConnection: close\r\n\r\nevil") // unsigned: whatever the path is
		if len(statuses) != 1 || statuses[0] < 400 || statuses[0] >= 500 {
			t.Errorf("unsigned %s: %v", path, statuses)
		}
	}
	for _, key := range []string{"../../escaped", "..", ".", "a/../../../escaped", "/escaped", "//escaped", ".bucket", "..\\escaped", "a/.b.meta", strings.Repeat("../", 300) + "escaped"} {
		r := object("PUT", "/box/", "evil")
		req := s.plain(r)
		req.URL.Path = "/box/" + key
		req = resign(s, req, r)
		if status, body := s.send(req); status >= 500 {
			t.Errorf("%s: %d %s", key, status, body)
		}
	}
	var found []string
	outside := filepath.Dir(s.Dir)
	filepath.Walk(outside, func(path string, info os.FileInfo, err error) error {
		if err == nil && strings.Contains(info.Name(), "escaped") && !strings.HasPrefix(path, filepath.Join(s.Dir, "objects", "box")+"/") {
			found = append(found, path)
		}
		return nil
	})
	if found != nil {
		t.Errorf("files outside the bucket: %v", found)
	}
	s.content("public", "everybody's")
	if status, body := s.send(s.sign(object("GET", "/box?list-type=2", ""))); status != 200 {
		t.Errorf("the bucket cannot be listed any more: %d %s", status, body)
	}
}
