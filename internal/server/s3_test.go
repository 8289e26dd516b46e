package server_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/internal/server"
)

const rootKey, rootSecret = "AKIAROOTROOTROOTROOT", "root-secret"

// startServer runs a server that verifies signatures, in dir, until stop or the test's end.
func startServer(t *testing.T, dir string) (s *server.Server, stop func()) {
	t.Helper()
	s, err := server.Start(t.Context(), server.Options{
		DataDir: dir, Listen: "127.0.0.1:0", Auth: server.AuthIAM, RootAccessKeyID: rootKey, RootSecretAccessKey: rootSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func s3Client(s *server.Server, secret string, more ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(rootKey, secret, ""),
	}, more...)
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestTheSDKKeepsObjectsInTheDataFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := startServer(t, dir)
	c := s3Client(s, rootSecret)
	ctx := t.Context()
	must[*s3.CreateBucketOutput](t)(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}); code(err) != "BucketAlreadyOwnedByYou" {
		t.Errorf("again: %v", err)
	}
	text := "temperature,1.5\n"
	for _, key := range []string{"a/b.csv", "a/c d+e%é.csv", "z//", "../odd", "a"} {
		put := must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String("box"), Key: &key, Body: strings.NewReader(text), ContentType: aws.String("text/csv"), Metadata: map[string]string{"unit": "°C"},
		}))
		if want := fmt.Sprintf(`"%x"`, md5.Sum([]byte(text))); *put.ETag != want {
			t.Errorf("ETag %s, want %s", *put.ETag, want)
		}
	}
	got := must[*s3.GetObjectOutput](t)(c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("a/c d+e%é.csv"), ChecksumMode: types.ChecksumModeEnabled}))
	if b, err := io.ReadAll(got.Body); err != nil || string(b) != text || *got.ContentType != "text/csv" || got.Metadata["unit"] != "°C" || *got.ContentLength != int64(len(text)) {
		t.Errorf("%q %v %+v", b, err, got)
	}
	part := must[*s3.GetObjectOutput](t)(c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("a"), Range: aws.String("bytes=-4")}))
	if b, _ := io.ReadAll(part.Body); string(b) != "1.5\n" || *part.ContentRange != "bytes 12-15/16" {
		t.Errorf("range: %q %s", b, *part.ContentRange)
	}
	must[*s3.HeadObjectOutput](t)(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("a/b.csv")}))
	if _, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("nothing")}); code(err) != "NotFound" {
		t.Errorf("head of nothing: %v", err)
	}
	if _, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("nobox"), Key: aws.String("x")}); code(err) != "NoSuchBucket" {
		t.Errorf("get from nowhere: %v", err)
	}
	if _, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("a"), Range: aws.String("bytes=99-")}); code(err) != "InvalidRange" {
		t.Errorf("range behind the end: %v", err)
	}
	must[*s3.CopyObjectOutput](t)(c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("box"), Key: aws.String("copy"), CopySource: aws.String("box/a/b.csv")}))
	var keys []string
	for pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String("box"), MaxKeys: aws.Int32(2)}); pages.HasMorePages(); {
		for _, o := range must[*s3.ListObjectsV2Output](t)(pages.NextPage(ctx)).Contents {
			keys = append(keys, *o.Key)
		}
	}
	if want := []string{"../odd", "a", "a/b.csv", "a/c d+e%é.csv", "copy", "z//"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	v1 := must[*s3.ListObjectsOutput](t)(c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String("box"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(3)}))
	if len(v1.CommonPrefixes) != 2 || len(v1.Contents) != 1 || !*v1.IsTruncated || *v1.NextMarker != "a/" {
		t.Errorf("v1: %+v", v1)
	}
	stop()
	s, _ = startServer(t, dir)

	c = s3Client(s, rootSecret)
	if l := must[*s3.ListBucketsOutput](t)(c.ListBuckets(ctx, nil)); len(l.Buckets) != 1 || *l.Buckets[0].Name != "box" {
		t.Errorf("after a restart: %+v", l)
	}
	if _, err := c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("box")}); code(err) != "BucketNotEmpty" {
		t.Errorf("delete of a full bucket: %v", err)
	}
	var ids []types.ObjectIdentifier
	for _, k := range keys {
		ids = append(ids, types.ObjectIdentifier{Key: &k})
	}
	if d := must[*s3.DeleteObjectsOutput](t)(c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("box"), Delete: &types.Delete{Objects: ids}})); len(d.Deleted) != len(keys) || len(d.Errors) > 0 {
		t.Errorf("%+v", d)
	}
	must[*s3.DeleteBucketOutput](t)(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("box")}))
}

func TestUploadsInPartsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := startServer(t, dir)
	c := s3Client(s, rootSecret)
	ctx := t.Context()
	must[*s3.CreateBucketOutput](t)(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	u := must[*s3.CreateMultipartUploadOutput](t)(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("box"), Key: aws.String("big")}))
	content := make([]byte, 11<<20)
	rand.Read(content)
	var parts []types.CompletedPart
	upload := func(n int, p []byte) {
		out := must[*s3.UploadPartOutput](t)(c.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: aws.String("box"), Key: aws.String("big"), UploadId: u.UploadId, PartNumber: aws.Int32(int32(n)), Body: bytes.NewReader(p),
		}))
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(int32(n)), ETag: out.ETag})
	}
	upload(1, content[:5<<20])
	stop()
	s, _ = startServer(t, dir)
	c = s3Client(s, rootSecret)
	upload(2, content[5<<20:10<<20])
	upload(3, content[10<<20:])
	if l := must[*s3.ListPartsOutput](t)(c.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: u.UploadId})); len(l.Parts) != 3 {
		t.Errorf("parts: %+v", l)
	}
	done := must[*s3.CompleteMultipartUploadOutput](t)(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String("box"), Key: aws.String("big"), UploadId: u.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}))
	if !strings.HasSuffix(*done.ETag, `-3"`) {
		t.Errorf("ETag %s", *done.ETag)
	}
	got := must[*s3.GetObjectOutput](t)(c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("big")}))
	if b, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: u.UploadId}); code(err) != "NoSuchUpload" {
		t.Errorf("abort after the end: %v", err)
	}
}

func TestWhatIsNotSignedRightIsNotStored(t *testing.T) {
	t.Parallel()
	s, _ := startServer(t, t.TempDir())
	c := s3Client(s, rootSecret)
	ctx := t.Context()
	must[*s3.CreateBucketOutput](t)(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	if _, err := s3Client(s, "wrong").PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("x"), Body: strings.NewReader("x")}); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("a wrong secret: %v", err)
	}
	resp, err := http.Get(s.URL() + "/box/x")
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %v %v", resp.StatusCode, err)
	}
	resp.Body.Close()

	presigner := s3.NewPresignClient(c)
	signed, err := presigner.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("a b/é")})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, url, body string, h http.Header) int {
		r, _ := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		for k, v := range h {
			r.Header[k] = v
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := send("PUT", signed.URL, "presigned", signed.SignedHeader); got != 200 {
		t.Errorf("presigned: %d", got)
	}
	if got := send("PUT", strings.Replace(signed.URL, "/box/", "/box/other", 1), "x", signed.SignedHeader); got != 403 {
		t.Errorf("another key: %d", got)
	}
	md5 := func(o *s3.PutObjectInput) { o.ContentMD5 = aws.String("1B2M2Y8AsgTpgAmY7PhCfg==") }
	in := &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("bad"), Body: strings.NewReader("x")}
	md5(in)
	if _, err := c.PutObject(ctx, in); code(err) != "BadDigest" {
		t.Errorf("another MD5: %v", err)
	}
	in = &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("bad"), Body: strings.NewReader("x"), ChecksumSHA256: aws.String("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")}
	if _, err := c.PutObject(ctx, in); code(err) != "BadDigest" {
		t.Errorf("another checksum: %v", err)
	}
	if l := must[*s3.ListObjectsV2Output](t)(c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("box")})); len(l.Contents) != 1 || *l.Contents[0].Key != "a b/é" {
		t.Errorf("stored: %+v", l.Contents)
	}
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("a b/é"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")}); code(err) != "PreconditionFailed" {
		t.Errorf("If-None-Match: %v", err)
	}
	if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String("box"), VersioningConfiguration: &types.VersioningConfiguration{Status: "Enabled"}}); code(err) != "NotImplemented" {
		t.Errorf("versioning: %v", err)
	}
}

func TestBucketsAreHostNamesBelowLocalhost(t *testing.T) {
	t.Parallel()
	s, _ := startServer(t, t.TempDir())
	_, port, err := net.SplitHostPort(s.Addr("aws"))
	if err != nil {
		t.Fatal(err)
	}
	// Not every machine resolves names below localhost.
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Addr("aws"))
	}
	c := s3Client(s, rootSecret, func(o *s3.Options) {
		o.UsePathStyle, o.BaseEndpoint = false, aws.String("http://localhost:"+port)
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: dial}}
	})
	ctx := t.Context()
	must[*s3.CreateBucketOutput](t)(c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	must[*s3.PutObjectOutput](t)(c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("a/b c"), Body: strings.NewReader("x")}))
	if l := must[*s3.ListObjectsV2Output](t)(s3Client(s, rootSecret).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("box")})); len(l.Contents) != 1 || *l.Contents[0].Key != "a/b c" {
		t.Errorf("%+v", l.Contents)
	}
}
