package unload

import (
	"context"
	"io"

	"github.com/weir-db/weir/internal/objstore"
)

// Objects is where results go.
type Objects interface {
	// CheckBucket returns nil if there is such a bucket, else objstore.ErrNoBucket.
	CheckBucket(ctx context.Context, bucket string) error
	// Create begins an object, of which nothing is seen before its Commit; ctx ends it.
	Create(ctx context.Context, bucket, key string, a objstore.Attributes) (Writer, error)
	// Delete removes an object; removing what is not there is not an error.
	Delete(ctx context.Context, bucket, key string) error
	// Remove removes the objects whose keys begin with prefix and which ours wants, asked in the order of keys, and what
	// unfinished writes of a dead process left of them.
	Remove(ctx context.Context, bucket, prefix string, ours func(key string) bool) error
}

// Writer writes one object. It is used by one goroutine.
type Writer interface {
	io.Writer
	SizeBytes() int64 // written so far
	// Commit makes the object durable and visible.
	Commit() (objstore.ObjectInfo, error)
	// Abort drops the object; after Commit it does nothing.
	Abort()
}

// InBuckets returns the buckets of this server as a place for results.
func InBuckets(b *objstore.Buckets) Objects { return inBuckets{b} }

type inBuckets struct{ *objstore.Buckets }

func (b inBuckets) CheckBucket(_ context.Context, bucket string) error {
	_, err := b.Bucket(bucket)
	return err
}

func (b inBuckets) Delete(_ context.Context, bucket, key string) error {
	return b.Buckets.Delete(bucket, key)
}

func (b inBuckets) Remove(ctx context.Context, bucket, prefix string, ours func(key string) bool) error {
	for after := ""; ; {
		page, err := b.List(ctx, bucket, objstore.ListOptions{Prefix: prefix, After: after, Limit: 1000})
		if err != nil {
			return err
		}
		for _, o := range page.Objects {
			if !ours(o.Key) {
				continue
			}
			if err := b.Buckets.Delete(bucket, o.Key); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

func (b inBuckets) Create(ctx context.Context, bucket, key string, a objstore.Attributes) (Writer, error) {
	w, err := b.Buckets.Create(ctx, bucket, key, a)
	if err != nil {
		return nil, err
	}
	return w, nil
}
