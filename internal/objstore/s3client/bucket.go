package s3client

import (
	"context"

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
