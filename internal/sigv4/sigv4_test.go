package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-db/weir/internal/sigv4"
)

const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var signedAt = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func at(t time.Time) *sigv4.Verifier { return &sigv4.Verifier{Now: func() time.Time { return t }} }

// verify sends req over a real connection, so that net/http does to it whatever it does.
func verify(t *testing.T, v *sigv4.Verifier, req *http.Request, change func(*http.Request)) error {
	t.Helper()
	result := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if change != nil {
			change(r)
		}
		s, err := sigv4.Parse(r)
		if err == nil {
			if s.AccessKeyID != keyID || s.Region != "eu-west-1" || s.Service != "timestream" {
				t.Errorf("parsed %+v", s)
			}
			err = v.Verify(r, body, s, secret)
		}
		result <- err
	}))
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.URL.Host = req.URL.Host, u.Host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return <-result
}

func newRequest(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, "http://db.example:8470"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func hash(body string) string {
	h := sha256.Sum256([]byte(body))
	return hex.EncodeToString(h[:])
}

func signHeader(t *testing.T, req *http.Request, payload string) *http.Request {
	t.Helper()
	creds := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: req.Header.Get("want-token")}
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, req, payload, "timestream", "eu-west-1", signedAt); err != nil {
		t.Fatal(err)
	}
	return req
}

func TestTheExampleOfTheIAMUserGuideVerifies(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "http://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := at(signedAt).Verify(r, nil, s, secret); err != nil {
		t.Fatal(err)
	}
	if err := at(signedAt).Verify(r, nil, s, secret+"x"); err == nil {
		t.Fatal("a wrong secret verifies")
	}
	if err := at(signedAt).Verify(r, []byte("x"), s, secret); err == nil {
		t.Fatal("another body verifies")
	}
}

func TestWhatTheGoSDKSignsVerifies(t *testing.T) {
	t.Parallel()
	const body = `{"DatabaseName":"d"}`
	for _, target := range []string{"/", "/rules/a%2Fb", "/topics/a%20b/c?qos=1&retain=&a=x%20y", "/?b=2&b=1&a1=x&a=y&A=%2B", "/topics/%E2%82%AC", "/a=b:c@d"} {
		req := newRequest(t, "POST", target, body)
		req.Header.Set("X-Amz-Target", "Timestream_20181101.WriteRecords")
		req.Header.Set("X-Amz-User-Agent", "  aws-sdk   x  ")
		req.Header.Set("Content-Type", "application/x-amz-json-1.0")
		if err := verify(t, at(signedAt), signHeader(t, req, hash(body)), nil); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestUnsignedPayloadAndDeclaredHash(t *testing.T) {
	t.Parallel()
	for payload, change := range map[string]string{"UNSIGNED-PAYLOAD": "", hash("abc"): ""} {
		req := newRequest(t, "POST", "/", "abc")
		req.Header.Set("X-Amz-Content-Sha256", payload)
		if err := verify(t, at(signedAt), signHeader(t, req, payload), nil); err != nil {
			t.Errorf("%s%s: %v", payload, change, err)
		}
	}
	req := newRequest(t, "POST", "/", "another body")
	req.Header.Set("X-Amz-Content-Sha256", hash("abc"))
	if err := verify(t, at(signedAt), signHeader(t, req, hash("abc")), nil); err == nil {
		t.Error("a declared hash that is not the body's verifies")
	}
}

func TestChunkedBodiesVerify(t *testing.T) {
	t.Parallel()
	req := newRequest(t, "POST", "/", "")
	req.Body = io.NopCloser(bytes.NewBufferString("abc"))
	req.ContentLength = -1
	req.TransferEncoding = []string{"chunked"}
	if err := verify(t, at(signedAt), signHeader(t, req, hash("abc")), nil); err != nil {
		t.Error(err)
	}
}

func TestPresignedRequestsVerifyUntilTheyExpire(t *testing.T) {
	t.Parallel()
	presign := func(body string) *http.Request {
		req := newRequest(t, "GET", "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", body)
		signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: "tok/+="}, req, hash(body), "timestream", "eu-west-1", signedAt)
		if err != nil {
			t.Fatal(err)
		}
		req, err = http.NewRequest("GET", signed, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	if err := verify(t, at(signedAt.Add(59*time.Second)), presign(""), nil); err != nil {
		t.Error(err)
	}
	wantReason(t, verify(t, at(signedAt.Add(61*time.Second)), presign(""), nil), sigv4.Stale)
	wantReason(t, verify(t, at(signedAt), presign(""), func(r *http.Request) {
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "GetCallerIdentity", "AssumeRole", 1)
	}), sigv4.Mismatch)
}

func TestTheFormThatBotocoreNormalisesVerifies(t *testing.T) {
	t.Parallel()
	req := signHeader(t, newRequest(t, "POST", "/topics/a/b", "x"), hash("x"))
	if err := verify(t, at(signedAt), req, func(r *http.Request) { r.RequestURI, r.URL.Path = "/topics//a/./b", "/topics//a/./b" }); err != nil {
		t.Error(err)
	}
}

func wantReason(t *testing.T, err error, want sigv4.Reason) {
	t.Helper()
	var e *sigv4.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Errorf("got %v, want reason %d", err, want)
	}
}

func TestAnyChangeToWhatWasSignedIsRefused(t *testing.T) {
	t.Parallel()
	check := func(name string, want sigv4.Reason, change func(r *http.Request)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			req := newRequest(t, "POST", "/p?a=1", "abc")
			req.Header.Set("X-Amz-Target", "T.Op")
			wantReason(t, verify(t, at(signedAt), signHeader(t, req, hash("abc")), change), want)
		})
	}
	check("target", sigv4.Mismatch, func(r *http.Request) { r.Header.Set("X-Amz-Target", "T.Other") })
	check("method", sigv4.Mismatch, func(r *http.Request) { r.Method = "PUT" })
	check("path", sigv4.Mismatch, func(r *http.Request) { r.RequestURI = "/q?a=1" })
	check("query", sigv4.Mismatch, func(r *http.Request) { r.URL.RawQuery = "a=2" })
	check("host", sigv4.Mismatch, func(r *http.Request) { r.Host = "other" })
	check("no signature", sigv4.Missing, func(r *http.Request) { r.Header.Del("Authorization") })
	check("other algorithm", sigv4.Incomplete, func(r *http.Request) { r.Header.Set("Authorization", "Basic eDp5") })
	check("no date", sigv4.Incomplete, func(r *http.Request) { r.Header.Del("X-Amz-Date") })
	check("target left unsigned", sigv4.Uncovered, func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), ";x-amz-target", "", 1))
	})
	check("signature is not hex", sigv4.Mismatch, func(r *http.Request) {
		h := r.Header.Get("Authorization")
		r.Header.Set("Authorization", h[:len(h)-64]+"zz")
	})
}

func TestSkewOfMoreThanFiveMinutesIsRefused(t *testing.T) {
	t.Parallel()
	send := func(now time.Time) error {
		return verify(t, at(now), signHeader(t, newRequest(t, "POST", "/", "x"), hash("x")), nil)
	}
	for _, d := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
		if err := send(signedAt.Add(d)); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	wantReason(t, send(signedAt.Add(5*time.Minute+time.Second)), sigv4.Stale)
	wantReason(t, send(signedAt.Add(-5*time.Minute-time.Second)), sigv4.Stale)
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request, SignedHeaders=host, Signature=00", "", "20150830T123600Z")
	f.Add("", "X-Amz-Signature=00&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20150830T123600Z&X-Amz-Credential=A/20150830/r/s/aws4_request&X-Amz-SignedHeaders=host", "")
	f.Fuzz(func(t *testing.T, authorization, query, date string) {
		r := &http.Request{Method: "POST", URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		s, err := sigv4.Parse(r)
		if err == nil && at(s.Time).Verify(r, nil, s, "secret") == nil {
			t.Error("garbage verifies")
		}
	})
}

// An empty body shows what a verification costs besides the body's hash.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{0, 32 << 10} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			req, _ := http.NewRequest("POST", "http://h/", nil)
			req.Header.Set("X-Amz-Target", "Timestream_20181101.WriteRecords")
			req.Header.Set("Content-Type", "application/x-amz-json-1.0")
			body := bytes.Repeat([]byte("x"), size)
			creds := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}
			if err := v4.NewSigner().SignHTTP(context.Background(), creds, req, hash(string(body)), "timestream", "eu-west-1", signedAt); err != nil {
				b.Fatal(err)
			}
			req.Host = "h"
			v := at(signedAt)
			b.ReportAllocs()
			for b.Loop() {
				s, err := sigv4.Parse(req)
				if err != nil {
					b.Fatal(err)
				}
				if err := v.Verify(req, body, s, secret); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	req := httptest.NewRequest("POST", "http://localhost/", strings.NewReader("{}"))
	req.Header.Set("X-Amz-Target", "Timestream_20181101.WriteRecords")
	sum := sha256.Sum256([]byte("{}"))
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, req, hex.EncodeToString(sum[:]), "timestream", "eu-west-1", signedAt); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sigv4.Parse(req); err != nil {
			b.Fatal(err)
		}
	}
}
