package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/smithy-go"

	"github.com/weir-db/weir/internal/batchload"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/internal/unload"
)

// objects is where UNLOAD, batch load and reports find their buckets: those of this server, or those of
// [Options.S3Endpoint].
type objects interface {
	unload.Objects
	batchload.Objects
}

// AmazonS3 as [Options.S3Endpoint] is Amazon's own, in the region.
const AmazonS3 = "aws"

func openObjects(ctx context.Context, o Options, local *objstore.Buckets) (objects, error) {
	if o.S3Endpoint == "" {
		return localObjects{unload.InBuckets(local), local}, nil
	}
	endpoint := o.S3Endpoint
	if endpoint == AmazonS3 {
		endpoint = ""
	}
	c, err := s3client.New(ctx, s3client.Options{Endpoint: endpoint, Region: o.S3Region, Credentials: o.S3Credentials})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", o.S3Endpoint, err)
	}
	return remoteObjects{c}, nil
}

// reportType is the content type of reports.
var reportType = objstore.Attributes{ContentType: "application/json"}

// localObjects is the buckets of this server.
type localObjects struct {
	unload.Objects
	buckets *objstore.Buckets
}

// List implements [batchload.Objects].
func (l localObjects) List(ctx context.Context, bucket, prefix string, most int) ([]batchload.Object, error) {
	listing, err := l.buckets.List(ctx, bucket, objstore.ListOptions{Prefix: prefix, Limit: most})
	if err != nil {
		return nil, err
	}
	var out []batchload.Object
	for _, o := range listing.Objects {
		out = append(out, batchload.Object{Key: o.Key, SizeBytes: o.SizeBytes})
	}
	return out, nil
}

// Open implements [batchload.Objects].
func (l localObjects) Open(_ context.Context, bucket, key string, offset int64) (io.ReadCloser, error) {
	o, info, err := l.buckets.Open(bucket, key)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(o, offset, max(0, info.SizeBytes-offset)), o}, nil
}

// Put implements [batchload.Objects].
func (l localObjects) Put(ctx context.Context, bucket, key string, body []byte) error {
	_, err := l.buckets.Put(ctx, bucket, key, bytes.NewReader(body), reportType)
	return err
}

// remoteObjects is the buckets of another store.
type remoteObjects struct{ client *s3client.Client }

// CheckBucket implements [unload.Objects].
func (r remoteObjects) CheckBucket(ctx context.Context, bucket string) error {
	return r.client.HeadBucket(ctx, bucket)
}

// Create implements [unload.Objects].
func (r remoteObjects) Create(ctx context.Context, bucket, key string, a objstore.Attributes) (unload.Writer, error) {
	return throttledUpload{r.client.Create(ctx, bucket, key, a)}, nil
}

// Delete implements [unload.Objects].
func (r remoteObjects) Delete(ctx context.Context, bucket, key string) error {
	return r.client.Delete(ctx, bucket, key)
}

// Remove implements [unload.Objects].
func (r remoteObjects) Remove(ctx context.Context, bucket, prefix string, ours func(key string) bool) error {
	var keys []string
	err := r.client.Each(ctx, bucket, prefix, func(o objstore.ObjectInfo) error {
		if ours(o.Key) {
			keys = append(keys, o.Key)
		}
		return nil
	})
	for _, key := range keys {
		err = errors.Join(err, r.client.Delete(ctx, bucket, key))
	}
	if err != nil {
		return err
	}
	return r.client.AbortUploads(ctx, bucket, prefix, ours)
}

// throttledUpload tells a store that asks to slow down, after all attempts, from one that is gone.
type throttledUpload struct{ *s3client.Upload }

// Write implements [unload.Writer].
func (u throttledUpload) Write(p []byte) (int, error) {
	n, err := u.Upload.Write(p)
	return n, throttled(err)
}

// Commit implements [unload.Writer].
func (u throttledUpload) Commit() (objstore.ObjectInfo, error) {
	info, err := u.Upload.Commit()
	return info, throttled(err)
}

func throttled(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && (api.ErrorCode() == "SlowDown" || api.ErrorCode() == "ServiceUnavailable") {
		return fault.Wrap(fault.Throttled, err, "%s", fault.MessageOf(err))
	}
	return err
}

// errEnough ends a list.
var errEnough = errors.New("enough objects")

// List implements [batchload.Objects].
func (r remoteObjects) List(ctx context.Context, bucket, prefix string, most int) ([]batchload.Object, error) {
	var out []batchload.Object
	err := r.client.Each(ctx, bucket, prefix, func(o objstore.ObjectInfo) error {
		if out = append(out, batchload.Object{Key: o.Key, SizeBytes: o.SizeBytes}); len(out) == most {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

// Open implements [batchload.Objects].
func (r remoteObjects) Open(ctx context.Context, bucket, key string, offset int64) (io.ReadCloser, error) {
	return r.client.Open(ctx, bucket, key, offset)
}

// Put implements [batchload.Objects].
func (r remoteObjects) Put(ctx context.Context, bucket, key string, body []byte) error {
	_, err := r.client.Put(ctx, bucket, key, bytes.NewReader(body), reportType)
	return err
}
