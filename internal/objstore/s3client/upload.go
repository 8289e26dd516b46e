package s3client

import (
	"context"
	"errors"
	"io"

	"github.com/weir-db/weir/internal/objstore"
)

// Upload is an object that is being written. It is used by one goroutine, and ends with Commit or Abort.
type Upload struct {
	pipe *io.PipeWriter
	size int64
	done chan struct{} // closed when the store has the object, or will not have it
	info objstore.ObjectInfo
	err  error // both are set before done is closed
}

// errAborted ends an upload that its writer gives up.
var errAborted = errors.New("the upload was given up")

// Create begins an object, of which nothing is seen before Commit; ctx ends it. What is written is sent as [Client.Put]
// does, at most a part of it is in memory.
func (c *Client) Create(ctx context.Context, bucket, key string, a objstore.Attributes) *Upload {
	in, out := io.Pipe()
	u := &Upload{pipe: out, done: make(chan struct{})}
	go func() {
		u.info, u.err = c.Put(ctx, bucket, key, in, a)
		in.CloseWithError(u.err) // a writer that is ahead learns of it
		close(u.done)
	}()
	return u
}

// Write appends to the object. The error of a store that does not take it comes with a later call.
func (u *Upload) Write(p []byte) (int, error) {
	n, err := u.pipe.Write(p)
	u.size += int64(n)
	return n, err
}

// SizeBytes returns how much was written.
func (u *Upload) SizeBytes() int64 { return u.size }

// Commit returns when the store has the object.
func (u *Upload) Commit() (objstore.ObjectInfo, error) {
	u.pipe.Close()
	<-u.done
	return u.info, u.err
}

// Abort gives the object up, with the parts that were sent; it waits for that. After Commit it does nothing, so it can be
// deferred.
func (u *Upload) Abort() {
	u.pipe.CloseWithError(errAborted)
	<-u.done
}
