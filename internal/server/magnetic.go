package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/internal/storage/embedded"
)

// Writers and queries may wait for the magnetic store's bucket, so less patience than for exports.
const (
	magneticTimeout  = 8 * time.Second // of one attempt
	magneticAttempts = 2
)

// openMagnetic returns what [Options.MagneticStore] says, or nil. The bucket is not asked: a server
// starts without it.
func openMagnetic(ctx context.Context, o Options) (*embedded.Remote, error) {
	if o.MagneticStore == "" {
		return nil, nil
	}
	bucket, prefix, err := ParseMagneticStore(o.MagneticStore)
	if err != nil {
		return nil, err
	}
	endpoint := o.S3Endpoint
	if endpoint == AmazonS3 {
		endpoint = ""
	}
	c, err := s3client.New(ctx, s3client.Options{
		Endpoint: endpoint, Region: o.S3Region, Credentials: o.S3Credentials, Timeout: magneticTimeout, Attempts: magneticAttempts,
	})
	if err != nil {
		return nil, fmt.Errorf("magnetic store %s: %w", o.MagneticStore, err)
	}
	return &embedded.Remote{Store: c.Store(bucket, prefix), Name: o.MagneticStore + " at " + c.Endpoint(), CacheBytes: o.MagneticCacheBytes}, nil
}

// ParseMagneticStore splits a value of [Options.MagneticStore].
func ParseMagneticStore(uri string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || !objstore.ValidBucketName(bucket) {
		return "", "", fmt.Errorf("magnetic store %s: want s3://bucket or s3://bucket/prefix", uri)
	}
	return bucket, strings.Trim(prefix, "/"), nil
}
