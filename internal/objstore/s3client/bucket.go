package s3client

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateBucket makes a bucket in the client's region.
func (c *Client) CreateBucket(ctx context.Context, bucket string) error {
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if c.opts.Region != "us-east-1" { // S3 refuses it as a constraint
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.opts.Region)}
	}
	call, cancel := c.bounded(ctx)
	defer cancel()
	_, err := c.api.CreateBucket(call, in, c.attempt)
	return c.explain(ctx, err, bucket)
}

// DeleteBucket removes an empty bucket.
func (c *Client) DeleteBucket(ctx context.Context, bucket string) error {
	call, cancel := c.bounded(ctx)
	defer cancel()
	_, err := c.api.DeleteBucket(call, &s3.DeleteBucketInput{Bucket: &bucket}, c.attempt)
	return c.explain(ctx, err, bucket)
}

// AbortUploads ends the unfinished multipart uploads of objects whose keys begin with prefix and which ours
// wants, as a process that was killed leaves them.
func (c *Client) AbortUploads(ctx context.Context, bucket, prefix string, ours func(key string) bool) error {
	in := &s3.ListMultipartUploadsInput{Bucket: &bucket, Prefix: &prefix}
	for {
		call, cancel := c.bounded(ctx)
		page, err := c.api.ListMultipartUploads(call, in, c.attempt)
		cancel()
		if err != nil {
			return c.explain(ctx, err, bucket+"/"+prefix)
		}
		for _, u := range page.Uploads {
			if !ours(aws.ToString(u.Key)) {
				continue
			}
			call, cancel := c.bounded(ctx)
			_, err := c.api.AbortMultipartUpload(call, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: u.Key, UploadId: u.UploadId}, c.attempt)
			cancel()
			if err != nil {
				return c.explain(ctx, err, bucket+"/"+aws.ToString(u.Key))
			}
		}
		if !aws.ToBool(page.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.UploadIdMarker = page.NextKeyMarker, page.NextUploadIdMarker
	}
}
