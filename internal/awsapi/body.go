package awsapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
)

// body is a request's bytes in a buffer that is used again.
type body []byte

// bodies are buffers at rest. Not a sync.Pool, which forgets them with every collection: to make and clear
// a buffer costs more than to read a request into it.
var bodies = make(chan body, 2*runtime.GOMAXPROCS(0))

// maxKeptBody is the largest buffer that is kept for a later request.
const maxKeptBody = 1 << 20

// takeBody returns an empty buffer with room for at least size bytes.
func takeBody(size int) body {
	select {
	case b := <-bodies:
		if cap(b) >= size {
			return b[:0]
		}
	default:
	}
	return make(body, 0, max(32<<10, size+size/8))
}

func (b body) release() {
	if cap(b) == 0 || cap(b) > maxKeptBody {
		return
	}
	select {
	case bodies <- b:
	default:
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
		return nil, nil
	}
	rc := http.NewResponseController(w)
	if r.ContentLength > limit {
		_ = rc.SetReadDeadline(time.Now().Add(h.opt.BodyTimeout))
		if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			drain(r.Body)
		}
		w.Header().Set("Connection", "close")
		return nil, tooLarge(limit)
	}
	// A client that stops half-way must not hold the buffer for ever. Not every
	// ResponseWriter has deadlines; those of tests do not need them.
	_ = rc.SetReadDeadline(time.Now().Add(h.opt.BodyTimeout))
	b, err := h.receive(r)
	if err == nil && int64(len(b)) <= limit {
		_ = rc.SetReadDeadline(time.Time{}) // else it also ends what net/http reads of the rest
		return b, nil
	}
	if err == nil {
		drain(r.Body)
		w.Header().Set("Connection", "close")
		err = tooLarge(limit)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		e := wire.Newf(wire.Shape{Name: "RequestTimeoutException", Status: http.StatusRequestTimeout}, "The request body did not arrive in time.")
		e.Namespace, err = wire.NamespaceCoral, e
	} else {
		err = wire.Serialization("The request body ended early: %v.", err)
	}
	b.release()
	return nil, err
}

// receive reads a body: all that was announced, or of one of unknown length at most a byte more than the limit.
func (h *Handler) receive(r *http.Request) (body, error) {
	if n := r.ContentLength; n > 0 {
		b := takeBody(int(n))[:n]
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	buf := bytes.NewBuffer(takeBody(0))
	_, err := buf.ReadFrom(io.LimitReader(r.Body, h.opt.MaxBodyBytes+1))
	return buf.Bytes(), err
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
