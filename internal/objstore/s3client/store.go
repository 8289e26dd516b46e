package s3client

import (
	"bufio"
	"context"
	"io"
	"path"
	"strings"
	"time"

	"github.com/aws/smithy-go/middleware"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
)

// attemptTimeout bounds one attempt: what comes after the retries in the stack of calls.
func attemptTimeout(d time.Duration) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("weir:AttemptTimeout",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				ctx, cancel := context.WithTimeout(ctx, d)
				defer cancel()
				return next.HandleFinalize(ctx, in)
			}), "Retry", middleware.After)
	}
}

// ranges is an object read by ranges.
type ranges struct {
	ctx         context.Context // of the reader that Open returned
	c           *Client
	bucket, key string
}

func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	return r.c.ReadAt(r.ctx, r.bucket, r.key, p, off)
}

// streamBytes is how much of a stream is asked for at a time.
const streamBytes = 4 << 20

func bufferedSection(r io.ReaderAt, from, size int64) io.Reader {
	rest := max(0, size-from)
	return bufio.NewReaderSize(io.NewSectionReader(r, from, rest), int(min(max(rest, 16), streamBytes)))
}

// Store returns the objects of a bucket whose keys begin with prefix and a slash, as a store of their
// own; an empty prefix is the whole bucket.
func (c *Client) Store(bucket, prefix string) objstore.Store {
	prefix = strings.Trim(prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &store{c, bucket, prefix}
}

type store struct {
	c      *Client
	bucket string
	prefix string // empty, or with a slash behind
}

func (s *store) key(key string) (string, error) {
	if clean := path.Clean(key); key == "" || clean != key || clean == "." || strings.HasPrefix(clean, "..") || strings.HasPrefix(clean, "/") {
		return "", fault.New(fault.Invalid, "%q is not a key of an object", key)
	}
	return s.prefix + key, nil
}

// Put implements [objstore.Store].
func (s *store) Put(ctx context.Context, key string, r io.Reader) error {
	key, err := s.key(key)
	if err == nil {
		_, err = s.c.Put(ctx, s.bucket, key, r, objstore.Attributes{})
	}
	return err
}

// Open implements [objstore.Store].
func (s *store) Open(ctx context.Context, key string) (objstore.Object, error) {
	key, err := s.key(key)
	if err != nil {
		return nil, err
	}
	info, err := s.c.Head(ctx, s.bucket, key)
	if err != nil {
		return nil, err
	}
	return &object{context.WithoutCancel(ctx), s.c, s.bucket, key, info.SizeBytes}, nil
}

// ReadRange reads a part of an object without asking for its size first.
func (s *store) ReadRange(ctx context.Context, key string, p []byte, off int64) (int, error) {
	key, err := s.key(key)
	if err != nil {
		return 0, err
	}
	return s.c.ReadAt(ctx, s.bucket, key, p, off)
}

// List implements [objstore.Store].
func (s *store) List(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := s.c.Each(ctx, s.bucket, s.prefix+prefix, func(o objstore.ObjectInfo) error {
		keys = append(keys, strings.TrimPrefix(o.Key, s.prefix))
		return nil
	})
	return keys, err
}

// Delete implements [objstore.Store].
func (s *store) Delete(ctx context.Context, key string) error {
	key, err := s.key(key)
	if err != nil {
		return err
	}
	return s.c.Delete(ctx, s.bucket, key)
}

// object is an object of a store. Closing it needs nothing.
type object struct {
	ctx         context.Context // of reads
	c           *Client
	bucket, key string
	size        int64
}

func (o *object) ReadAt(p []byte, off int64) (int, error) {
	return o.c.ReadAt(o.ctx, o.bucket, o.key, p, off)
}

// In implements [objstore.Distant].
func (o *object) In(ctx context.Context) objstore.Object {
	bound := *o
	bound.ctx = ctx
	return &bound
}

func (o *object) SizeBytes() int64 { return o.size }

func (o *object) Close() error { return nil }
