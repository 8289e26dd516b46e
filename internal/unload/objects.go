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

func (b inBuckets) Create(ctx context.Context, bucket, key string, a objstore.Attributes) (Writer, error) {
	w, err := b.Buckets.Create(ctx, bucket, key, a)
	if err != nil {
		return nil, err
	}
	return w, nil
}
