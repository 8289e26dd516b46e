package server

import (
	"bytes"
	"context"
	"io"

	"github.com/weir-db/weir/internal/batchload"
	"github.com/weir-db/weir/internal/objstore"
)

// loadObjects gives batch load the buckets.
type loadObjects struct{ *objstore.Buckets }

// List implements [batchload.Objects].
func (b loadObjects) List(ctx context.Context, bucket, prefix string) ([]batchload.Object, error) {
	listing, err := b.Buckets.List(ctx, bucket, objstore.ListOptions{Prefix: prefix})
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
func (b loadObjects) Open(_ context.Context, bucket, key string, offset int64) (io.ReadCloser, error) {
	o, info, err := b.Buckets.Open(bucket, key)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(o, offset, max(0, info.SizeBytes-offset)), o}, nil
}

// Put implements [batchload.Objects].
func (b loadObjects) Put(ctx context.Context, bucket, key string, body []byte) error {
	_, err := b.Buckets.Put(ctx, bucket, key, bytes.NewReader(body), objstore.Attributes{ContentType: "application/json"})
	return err
}
