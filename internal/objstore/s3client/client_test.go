package s3client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/weir-db/weir/internal/awsapi/s3"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/internal/vfs"
)

// bucket is a store that speaks S3, with a bucket called box, whose trouble a test makes.
type bucket struct {
	*httptest.Server
	*objstore.Buckets
	calls   atomic.Int64
	trouble atomic.Pointer[func(n int64, w http.ResponseWriter, r *http.Request) bool] // true: it has answered
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	files, err := objstore.OpenBuckets(vfs.NewMem(), nil)
	if err == nil {
		err = files.CreateBucket("box", "us-east-1")
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{Buckets: files}
	door := s3.New(s3.Options{Buckets: files, AccountID: "000000000000", Region: "us-east-1"})
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := b.calls.Add(1)
		if f := b.trouble.Load(); f != nil && (*f)(n, w, r) {
			return
		}
		door.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bucket) make(f func(n int64, w http.ResponseWriter, r *http.Request) bool) {
	b.calls.Store(0)
	b.trouble.Store(&f)
}

func (b *bucket) client(t *testing.T, timeout time.Duration) *s3client.Client {
	t.Helper()
	c, err := s3client.New(t.Context(), s3client.Options{
		Endpoint: b.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
		Timeout: timeout, PartBytes: 5 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestObjectsComeBackAsTheyWereSent(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	c := b.client(t, 10*time.Second)
	for _, size := range []int{0, 1, 1<<20 + 1, 5 << 20, 11<<20 + 17} {
		content := noise(size)
		info, err := c.Put(t.Context(), "box", "a/b c", bytes.NewReader(content), objstore.Attributes{ContentType: "text/plain"})
		if err != nil || info.SizeBytes != int64(size) || info.ETag == "" {
			t.Fatalf("Put of %d bytes = %+v, %v", size, info, err)
		}
		head, err := c.Head(t.Context(), "box", "a/b c")
		if err != nil || head.SizeBytes != int64(size) || head.ETag != info.ETag || head.ContentType != "text/plain" {
			t.Fatalf("Head = %+v, %v", head, err)
		}
		r, err := c.Open(t.Context(), "box", "a/b c", int64(size/2))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[size/2:]) {
			t.Fatalf("read %d of %d bytes: %v", len(got), size, err)
		}
	}
}

func TestAStoreInABucketIsAnObjectStore(t *testing.T) {
	t.Parallel()
	s := newBucket(t).client(t, 10*time.Second).Store("box", "/weir/segments/")
	for _, key := range []string{"t1/a", "t1/b", "t2/a"} {
		if err := s.Put(t.Context(), key, strings.NewReader(key)); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Open(t.Context(), "t1/b")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := o.ReadAt(p, 1); n != 3 || err != io.EOF || string(p[:3]) != "1/b" {
		t.Errorf("ReadAt past the end = %d, %v", n, err)
	}
	if n, err := o.ReadAt(p[:2], 1); n != 2 || err != nil {
		t.Errorf("ReadAt = %d, %v", n, err)
	}
	if n, err := o.ReadAt(p, 100); n != 0 || err != io.EOF {
		t.Errorf("ReadAt behind the end = %d, %v", n, err)
	}
	if keys, err := s.List(t.Context(), "t1"); err != nil || !slices.Equal(keys, []string{"t1/a", "t1/b"}) {
		t.Errorf("List = %v, %v", keys, err)
	}
	if err := errors.Join(s.Delete(t.Context(), "t1/b"), s.Delete(t.Context(), "t1/b")); err != nil {
		t.Error(err)
	}
	if _, err := s.Open(t.Context(), "t1/b"); !fault.Is(err, fault.NotFound) || !errors.Is(err, objstore.ErrNoKey) {
		t.Errorf("Open of nothing = %v", err)
	}
}

func TestLongListsArePaged(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	for i := range 1003 {
		if _, err := b.Put(t.Context(), "box", fmt.Sprint("p/", i), strings.NewReader(""), objstore.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if err := b.client(t, 10*time.Second).Each(t.Context(), "box", "p/", func(objstore.ObjectInfo) error { n++; return nil }); err != nil || n != 1003 {
		t.Fatalf("%d objects, %v", n, err)
	}
}

func TestTroubleThatPassesIsNotNoticed(t *testing.T) {
	t.Parallel()
	content := noise(6 << 20)
	for name, trouble := range map[string]func(n int64, w http.ResponseWriter, r *http.Request) bool{
		"every other answer is 503": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n%2 == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n%2 == 1
		},
		"every other connection is cut": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n%2 == 1 {
				panic(http.ErrAbortHandler)
			}
			return false
		},
		"the first answers break off": func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if n <= 2 && r.Method == http.MethodGet {
				w.Header().Set("Content-Length", "6291456")
				w.WriteHeader(http.StatusPartialContent)
				w.Write(content[:1<<20])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucket(t)
			b.Config.ErrorLog = nil
			c := b.client(t, 5*time.Second)
			b.make(trouble)
			if name == "the first answers break off" {
				if _, err := b.Put(t.Context(), "box", "k", bytes.NewReader(content), objstore.Attributes{}); err != nil {
					t.Fatal(err)
				}
				// Both broken answers begin with what the object does.
				got := make([]byte, 1<<20)
				if _, err := c.ReadAt(t.Context(), "box", "k", got, 0); err != nil || !bytes.Equal(got, content[:1<<20]) {
					t.Fatal(err)
				}
				return
			}
			if _, err := c.Put(t.Context(), "box", "k", bytes.NewReader(content), objstore.Attributes{}); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(content))
			if _, err := c.ReadAt(t.Context(), "box", "k", got, 0); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestTroubleThatStaysIsAClearErrorInTime(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	slow := newBucket(t)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) }) // before the server's
	slow.make(func(n int64, w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-over:
		}
		return true
	})
	cut := newBucket(t)
	cut.make(func(int64, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	for name, url := range map[string]string{"gone": gone.URL, "slow": slow.URL, "cut": cut.URL} {
		c, err := s3client.New(t.Context(), s3client.Options{
			Endpoint: url, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
			Timeout: 50 * time.Millisecond, Attempts: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, read := c.ReadAt(t.Context(), "box", "k", make([]byte, 10), 0)
		_, put := c.Put(t.Context(), "box", "k", strings.NewReader("x"), objstore.Attributes{})
		_, head := c.Head(t.Context(), "box", "k")
		for _, err := range []error{read, put, head, c.Delete(t.Context(), "box", "k")} {
			if !fault.Is(err, fault.Unavailable) || errors.Is(err, io.EOF) || !strings.Contains(fault.MessageOf(err), url) || !strings.Contains(fault.MessageOf(err), "box/k") {
				t.Errorf("%s: %v (%v), want unavailable, with the endpoint and the object", name, err, fault.KindOf(err))
			}
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

func TestAContentThatTheNetworkChangesIsNotStored(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	b.make(func(n int64, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			body, _ := io.ReadAll(r.Body)
			body[len(body)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return false
	})
	if _, err := b.client(t, 5*time.Second).Put(t.Context(), "box", "k", strings.NewReader("content"), objstore.Attributes{}); err == nil {
		t.Error("it was stored")
	}
	if _, _, err := b.Buckets.Open("box", "k"); err == nil {
		t.Error("it is there")
	}
}

// broken is a source that fails.
type broken struct{ left int }

func (b *broken) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("no more")
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func TestABrokenUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBucket(t)
	c := b.client(t, 5*time.Second)
	for _, after := range []int{10, 6 << 20} {
		if _, err := c.Put(t.Context(), "box", "k", &broken{after}, objstore.Attributes{}); err == nil || err.Error() != "no more" {
			t.Errorf("Put = %v, want the source's error", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Put(ctx, "box", "k", bytes.NewReader(noise(after)), objstore.Attributes{}); !fault.Is(err, fault.Cancelled) {
			t.Errorf("cancelled Put = %v", err)
		}
	}
	if _, _, err := b.Buckets.Open("box", "k"); !errors.Is(err, objstore.ErrNoKey) {
		t.Errorf("Open = %v", err)
	}
	uploads, err := b.Uploads("box")
	if err != nil || len(uploads) != 0 {
		t.Errorf("unfinished uploads %v, %v", uploads, err)
	}
}
