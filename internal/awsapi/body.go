package awsapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
)

// body is a request's bytes in a pooled buffer.
type body struct {
	bytes  []byte
	buffer *bytes.Buffer
}

var bodies = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 32<<10)) }}

func (b body) release() {
	if b.buffer != nil {
		b.buffer.Reset()
		bodies.Put(b.buffer)
	}
}

func tooLarge(limit int64) error {
	e := wire.Newf(wire.Shape{Name: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge},
		"The request body is larger than %d bytes.", limit)
	e.Namespace = wire.NamespaceCoral
	return e
}

// readBody reads at most MaxBodyBytes. A body that is larger is refused once it is read
// and thrown away (see drain), or unread if the client waits for leave to send it.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) (body, error) {
	limit := h.opt.MaxBodyBytes
	if r.ContentLength == 0 || r.Body == nil {
		return body{}, nil
	}
	rc := http.NewResponseController(w)
	if r.ContentLength > limit {
		_ = rc.SetReadDeadline(time.Now().Add(h.opt.BodyTimeout))
		if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			drain(r.Body)
		}
		w.Header().Set("Connection", "close")
		return body{}, tooLarge(limit)
	}
	buf := bodies.Get().(*bytes.Buffer)
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	// A client that stops half-way must not hold the buffer for ever. Not every
	// ResponseWriter has deadlines; those of tests do not need them.
	_ = rc.SetReadDeadline(time.Now().Add(h.opt.BodyTimeout))
	_, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(buf.Len()) <= limit {
		_ = rc.SetReadDeadline(time.Time{}) // else it also ends what net/http reads of the rest
	}
	b := body{bytes: buf.Bytes(), buffer: buf}
	if err == nil && int64(buf.Len()) > limit {
		drain(r.Body)
		w.Header().Set("Connection", "close")
		err = tooLarge(limit)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		e := wire.Newf(wire.Shape{Name: "RequestTimeoutException", Status: http.StatusRequestTimeout}, "The request body did not arrive in time.")
		e.Namespace, err = wire.NamespaceCoral, e
	} else if err != nil {
		err = wire.Serialization("The request body ended early: %v.", err)
	}
	if err != nil {
		b.release()
		return body{}, err
	}
	return b, nil
}

// inflate undoes Content-Encoding: gzip, which newer SDKs use for large
// PutMetricData requests. The signature covers the compressed bytes, so it runs
// after authentication.
func (h *Handler) inflate(r *http.Request, c *wire.Call) error {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return nil
	}
	z, err := gzip.NewReader(bytes.NewReader(c.Body))
	if err != nil {
		return wire.Serialization("The request body is not gzip: %v.", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, h.opt.MaxBodyBytes+1))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return wire.Serialization("The request body is not gzip: %v.", err)
	case int64(len(plain)) > h.opt.MaxBodyBytes:
		return tooLarge(h.opt.MaxBodyBytes)
	}
	c.Body = plain
	return nil
}
