// Package s3client speaks to buckets of an S3-compatible object store over HTTP, for exports to
// other people's buckets and for the magnetic store.
//
// Every call ends: each attempt has a timeout, and attempts are few. What the store answers with 5xx,
// or not at all, is tried again with a growing pause. Objects are sent with a CRC-32C that the store compares, in
// parts when they are large, so that no more than one part is in memory. What is read is not
// verified here: S3 has no checksum of a range, and formats have their own.
//
// Errors: an object or a bucket that is not there is of kind fault.NotFound (with objstore.ErrNoKey or
// objstore.ErrNoBucket); whatever else is of kind fault.Unavailable, and says which endpoint and object.
//
// A Client is safe for concurrent use.
package s3client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
)

// Options of a client. The zero value is for Amazon S3 with credentials and a region from where
// AWS's own tools take them: the variables AWS_ACCESS_KEY_ID and so on, the shared files, the
// container's or the machine's role.
type Options struct {
	Endpoint    string                  // URL of another store than Amazon's; buckets are then named in the path
	Region      string                  // default: from the environment, else us-east-1
	Credentials aws.CredentialsProvider // default: from the environment

	Timeout   time.Duration // of one attempt; default 20 s
	Attempts  int           // default 4
	PartBytes int64         // of a large object, in memory while it is sent; default 8 MiB, at least 5 MiB on most stores
}

// SplitURI returns the bucket and the key of s3://bucket/key.
func SplitURI(uri string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	return bucket, key
}

// Client is a client. Make it with [New].
type Client struct {
	api  *s3.Client
	opts Options
}

// New makes a client. It calls nobody yet but, at most, looks up the region.
func New(ctx context.Context, o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Attempts <= 0 {
		o.Attempts = 4
	}
	if o.PartBytes <= 0 {
		o.PartBytes = 8 << 20
	}
	cfg, err := config.LoadDefaultConfig(ctx, func(l *config.LoadOptions) error {
		l.Region, l.Credentials = o.Region, o.Credentials
		// Buildable: AWS_CA_BUNDLE adds its certificates.
		l.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = o.Timeout
			t.TLSHandshakeTimeout = min(o.Timeout, 5*time.Second)
			t.MaxIdleConnsPerHost = 32
		}).WithDialerOptions(func(d *net.Dialer) { d.Timeout = min(o.Timeout, 5*time.Second) })
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("settings of the object store: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	o.Region = cfg.Region
	api := s3.NewFromConfig(cfg, func(s *s3.Options) {
		if o.Endpoint != "" {
			s.BaseEndpoint = aws.String(o.Endpoint)
			s.UsePathStyle = true
		}
		// Sums are sent as plain headers, which stores that do not know them pass over.
		s.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		s.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = o.Attempts, 3*time.Second
			// The default bucket of tokens would refuse to retry at all once many calls failed.
			r.RateLimiter = noLimit{}
		})
	})
	return &Client{api, o}, nil
}

type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noLimit) AddTokens(uint) error { return nil }

// Endpoint names the store in messages.
func (c *Client) Endpoint() string {
	if c.opts.Endpoint != "" {
		return c.opts.Endpoint
	}
	return "S3 in " + c.opts.Region
}

// bounded is a context for one call: all its attempts and the pauses between.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.opts.Timeout*time.Duration(c.opts.Attempts)+10*time.Second)
}

// attempt makes one attempt end.
func (c *Client) attempt(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, attemptTimeout(c.opts.Timeout))
}

// explain makes an error one of the kinds that the package promises. what is a bucket, or a
// bucket and a key.
func (c *Client) explain(ctx context.Context, err error, what string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		// A connection that ends is not an object that ends: nobody may take it for that.
		err = errors.New(err.Error())
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound": // HEAD has no body that could say which
			return fault.Wrap(fault.NotFound, errors.Join(objstore.ErrNoKey, err), "The object %s does not exist.", what)
		case "NoSuchBucket":
			return fault.Wrap(fault.NotFound, errors.Join(objstore.ErrNoBucket, err), "The bucket %s does not exist.", what)
		}
		return fault.Wrap(fault.Unavailable, err, "The object store %s refused %s: %s: %s", c.Endpoint(), what, api.ErrorCode(), api.ErrorMessage())
	}
	if ctx.Err() != nil {
		return fault.Wrap(fault.Cancelled, err, "The access to %s was cancelled.", what)
	}
	return fault.Wrap(fault.Unavailable, err, "The object store %s cannot be reached, for %s.", c.Endpoint(), what)
}

// Put stores what r gives, up to its end, and returns what is known of the object: size and ETag.
// Of a, ContentType, User and the headers of server-side encryption are kept.
func (c *Client) Put(ctx context.Context, bucket, key string, r io.Reader, a objstore.Attributes) (objstore.ObjectInfo, error) {
	info := objstore.ObjectInfo{Key: key, Attributes: a}
	part := make([]byte, min(c.opts.PartBytes, 1<<20))
	n, err := fill(&part, r, c.opts.PartBytes)
	if err != nil {
		return info, err
	}
	if int64(n) == c.opts.PartBytes {
		return c.putParts(ctx, bucket, key, part, r, info)
	}
	call, cancel := c.bounded(ctx)
	defer cancel()
	out, err := c.api.PutObject(call, &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: bytes.NewReader(part[:n]), ContentLength: aws.Int64(int64(n)),
		ContentType: text(a.ContentType), Metadata: a.User, ChecksumCRC32C: sum(part[:n]),
		ServerSideEncryption: types.ServerSideEncryption(a.Headers[sseHeader]), SSEKMSKeyId: text(a.Headers[sseKeyHeader]),
	}, c.attempt)
	if err != nil {
		return info, c.explain(ctx, err, bucket+"/"+key)
	}
	info.SizeBytes, info.ETag = int64(n), strings.Trim(aws.ToString(out.ETag), `"`)
	return info, nil
}

const (
	sseHeader    = "X-Amz-Server-Side-Encryption"
	sseKeyHeader = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
)

// fill reads up to most bytes into *b, which grows as needed: a small object needs no large buffer.
func fill(b *[]byte, r io.Reader, most int64) (n int, err error) {
	for int64(n) < most && err == nil {
		if n == len(*b) {
			*b = append(*b, make([]byte, min(int64(len(*b)), most-int64(n)))...)
		}
		var k int
		k, err = io.ReadFull(r, (*b)[n:])
		n += k
	}
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the CRC-32C as S3 writes it.
func sum(b []byte) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli))))
}

// growParts is after how many parts they become larger, so that 10,000 of them, the most that S3
// takes, hold any object.
const growParts = 1000

// putParts sends a large object, whose first part is at hand.
func (c *Client) putParts(ctx context.Context, bucket, key string, part []byte, r io.Reader, info objstore.ObjectInfo) (objstore.ObjectInfo, error) {
	what := bucket + "/" + key
	call, cancel := c.bounded(ctx)
	upload, err := c.api.CreateMultipartUpload(call, &s3.CreateMultipartUploadInput{
		Bucket: &bucket, Key: &key, ContentType: text(info.ContentType), Metadata: info.User, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		ServerSideEncryption: types.ServerSideEncryption(info.Headers[sseHeader]), SSEKMSKeyId: text(info.Headers[sseKeyHeader]),
	}, c.attempt)
	cancel()
	if err != nil {
		return info, c.explain(ctx, err, what)
	}
	// The caller may have gone; the parts should go too.
	abort := func(err error) (objstore.ObjectInfo, error) {
		call, cancel := c.bounded(context.WithoutCancel(ctx))
		defer cancel()
		c.api.AbortMultipartUpload(call, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: upload.UploadId}, c.attempt)
		return info, err
	}
	var parts []types.CompletedPart
	size, n := c.opts.PartBytes, len(part)
	for n > 0 {
		number := int32(len(parts) + 1)
		call, cancel := c.bounded(ctx)
		sent, err := c.api.UploadPart(call, &s3.UploadPartInput{
			Bucket: &bucket, Key: &key, UploadId: upload.UploadId, PartNumber: &number,
			Body: bytes.NewReader(part[:n]), ContentLength: aws.Int64(int64(n)), ChecksumCRC32C: sum(part[:n]),
		}, c.attempt)
		cancel()
		if err != nil {
			return abort(c.explain(ctx, err, what))
		}
		parts = append(parts, types.CompletedPart{ETag: sent.ETag, PartNumber: &number, ChecksumCRC32C: sum(part[:n])})
		info.SizeBytes += int64(n)
		if len(parts)%growParts == 0 {
			size *= 2
		}
		if n, err = fill(&part, r, size); err != nil {
			return abort(err)
		}
	}
	call, cancel = c.bounded(ctx)
	defer cancel()
	done, err := c.api.CompleteMultipartUpload(call, &s3.CompleteMultipartUploadInput{
		Bucket: &bucket, Key: &key, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}, c.attempt)
	if err != nil {
		return abort(c.explain(ctx, err, what))
	}
	info.ETag = strings.Trim(aws.ToString(done.ETag), `"`)
	return info, nil
}

// ReadAt fills p from the object's byte off on; fewer bytes come with io.EOF.
func (c *Client) ReadAt(ctx context.Context, bucket, key string, p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	call, cancel := c.bounded(ctx)
	defer cancel()
	n, err := 0, error(nil)
	// The SDK's retries end with the answer's head; a connection that breaks within the body is ours.
	for try := 0; try < c.opts.Attempts; try++ {
		var k int
		k, err = c.readOnce(call, bucket, key, p[n:], off+int64(n))
		n += k
		if err == nil || !errors.Is(err, errBroken) || call.Err() != nil {
			break
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "InvalidRange" {
		return n, io.EOF
	}
	if err == io.EOF {
		return n, err
	}
	return n, c.explain(ctx, err, bucket+"/"+key)
}

// errBroken says that an answer ended before its end.
var errBroken = errors.New("the answer broke off")

func (c *Client) readOnce(ctx context.Context, bucket, key string, p []byte, off int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout*time.Duration(c.opts.Attempts))
	defer cancel()
	out, err := c.api.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
	})
	if err != nil {
		return 0, err
	}
	defer out.Body.Close()
	// A body that stalls is as bad as one that breaks.
	stall := time.AfterFunc(c.opts.Timeout, cancel)
	defer stall.Stop()
	n, err := io.ReadFull(out.Body, p)
	if err == nil {
		return n, nil
	}
	if size := aws.ToInt64(out.ContentLength); int64(n) == size && size < int64(len(p)) {
		return n, io.EOF // the object ends here
	}
	return n, errors.Join(errBroken, err)
}

// Open streams an object from its byte offset on. The reader ends with an error if the store stops
// answering; ctx must live as long as it.
func (c *Client) Open(ctx context.Context, bucket, key string, offset int64) (io.ReadCloser, error) {
	info, err := c.Head(ctx, bucket, key)
	if err != nil {
		return nil, err
	}
	at := &ranges{ctx: ctx, c: c, bucket: bucket, key: key}
	return io.NopCloser(bufferedSection(at, offset, info.SizeBytes)), nil
}

// Head returns what is known of an object without its content.
func (c *Client) Head(ctx context.Context, bucket, key string) (objstore.ObjectInfo, error) {
	call, cancel := c.bounded(ctx)
	defer cancel()
	out, err := c.api.HeadObject(call, &s3.HeadObjectInput{Bucket: &bucket, Key: &key}, c.attempt)
	if err != nil {
		return objstore.ObjectInfo{}, c.explain(ctx, err, bucket+"/"+key)
	}
	return objstore.ObjectInfo{
		Key: key, SizeBytes: aws.ToInt64(out.ContentLength), ETag: strings.Trim(aws.ToString(out.ETag), `"`), Modified: aws.ToTime(out.LastModified),
		Attributes: objstore.Attributes{ContentType: aws.ToString(out.ContentType), User: out.Metadata},
	}, nil
}

// HeadBucket returns nil if the bucket is there and may be used.
func (c *Client) HeadBucket(ctx context.Context, bucket string) error {
	call, cancel := c.bounded(ctx)
	defer cancel()
	_, err := c.api.HeadBucket(call, &s3.HeadBucketInput{Bucket: &bucket}, c.attempt)
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NotFound" {
		return fault.Wrap(fault.NotFound, errors.Join(objstore.ErrNoBucket, err), "The bucket %s does not exist.", bucket)
	}
	return c.explain(ctx, err, bucket)
}

// Each calls each for the objects whose keys begin with prefix, in the order of their keys, and ends with
// its first error.
func (c *Client) Each(ctx context.Context, bucket, prefix string, each func(objstore.ObjectInfo) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}
	for {
		call, cancel := c.bounded(ctx)
		page, err := c.api.ListObjectsV2(call, in, c.attempt)
		cancel()
		if err != nil {
			return c.explain(ctx, err, bucket+"/"+prefix)
		}
		for _, o := range page.Contents {
			info := objstore.ObjectInfo{Key: aws.ToString(o.Key), SizeBytes: aws.ToInt64(o.Size), ETag: strings.Trim(aws.ToString(o.ETag), `"`), Modified: aws.ToTime(o.LastModified)}
			if err := each(info); err != nil {
				return err
			}
		}
		if in.ContinuationToken = page.NextContinuationToken; !aws.ToBool(page.IsTruncated) || in.ContinuationToken == nil {
			return nil
		}
	}
}

// Delete removes an object; removing what is not there is not an error.
func (c *Client) Delete(ctx context.Context, bucket, key string) error {
	call, cancel := c.bounded(ctx)
	defer cancel()
	_, err := c.api.DeleteObject(call, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}, c.attempt)
	if err = c.explain(ctx, err, bucket+"/"+key); errors.Is(err, objstore.ErrNoKey) {
		return nil
	}
	return err
}
