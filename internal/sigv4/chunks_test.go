package sigv4_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/weir-db/weir/internal/sigv4"
)

// The example of the S3 API reference, "Signature calculations for the authorization
// header: transferring payload in multiple chunks".
const (
	guideKey    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	guideChunk1 = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
	guideChunk2 = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
	guideChunk3 = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
)

func guideBody() string {
	return "10000;chunk-signature=" + guideChunk1 + "\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=" + guideChunk2 + "\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=" + guideChunk3 + "\r\n\r\n"
}

func guideRequest(t *testing.T, body string) (io.Reader, error) {
	t.Helper()
	r := httptest.NewRequest("PUT", "/examplebucket/chunkObject.txt", iotest.HalfReader(strings.NewReader(body)))
	r.Host = "s3.amazonaws.com"
	r.ContentLength = 66824
	for k, v := range map[string]string{
		"X-Amz-Date": "20130524T000000Z", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY", "Content-Encoding": "aws-chunked",
		"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "X-Amz-Decoded-Content-Length": "66560",
		"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	} {
		r.Header.Set(k, v)
	}
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := at(time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)).VerifyHead(r, s, guideKey)
	if err != nil {
		return nil, err
	}
	content, _ := sigv4.Body(r, chain)
	return content, nil
}

func TestTheExampleOfChunksVerifies(t *testing.T) {
	t.Parallel()
	content, err := guideRequest(t, guideBody())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(content)
	if err != nil || string(got) != strings.Repeat("a", 66560) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestATamperedChunkIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"another byte":    {strings.Replace(guideBody(), "aaa", "aba", 1), sigv4.ErrChunkSign},
		"a chunk removed": {guideBody()[:strings.Index(guideBody(), "400;")] + guideBody()[strings.Index(guideBody(), "\r\n0;")+2:], sigv4.ErrChunkSign},
		"cut short":       {guideBody()[:50_000], io.ErrUnexpectedEOF},
		"no last chunk":   {guideBody()[:strings.Index(guideBody(), "\r\n0;")+2], io.ErrUnexpectedEOF},
		"no size":         {"zz;chunk-signature=x\r\n", sigv4.ErrChunk},
		"negative":        {"-1\r\n", sigv4.ErrChunk},
		"long line":       {strings.Repeat("1", 1<<17), sigv4.ErrChunk},
		"trailer":         {strings.TrimSuffix(guideBody(), "\r\n") + "a:b\r\n\r\n", sigv4.ErrChunk},
	} {
		content, err := guideRequest(t, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(content); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUnsignedChunksHaveTrailers(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("PUT", "/b/k", strings.NewReader("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"))
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	content, trailer := sigv4.Body(r, nil)
	got, err := io.ReadAll(content)
	if err != nil || string(got) != "hello" || trailer.Get("X-Amz-Checksum-Crc32") != "NhCmhg==" {
		t.Fatalf("%q %v %v", got, trailer, err)
	}
	r = httptest.NewRequest("PUT", "/b/k", strings.NewReader("hellO"))
	r.Header.Set("X-Amz-Content-Sha256", hash("hello"))
	content, _ = sigv4.Body(r, nil)
	if _, err := io.ReadAll(content); !errors.Is(err, sigv4.ErrBodyHash) {
		t.Fatalf("another body than declared: %v", err)
	}
}

func FuzzChunks(f *testing.F) {
	f.Add(guideBody())
	f.Add("5\r\nhello\r\n0\r\na:b\r\n\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("PUT", "/b/k", strings.NewReader(body))
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		content, _ := sigv4.Body(r, nil)
		n, _ := io.Copy(io.Discard, content)
		if n > int64(len(body)) {
			t.Fatalf("%d bytes from %d", n, len(body))
		}
	})
}
