package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// joinBytes is how much of an answer is put behind its head to be sent by one call; larger pieces are sent from where
	// they are.
	joinBytes = 32 << 10
	unknown   = -1 // length of a body
)

// buffers hold the heads and small bodies of answers.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// response is the [http.ResponseWriter] of one request. It is for one goroutine.
//
// A body whose length the handler does not declare is kept up to joinBytes, so that the length can be told, and is
// chunked if it grows larger. Headers count until the first byte of the body or the handler's end.
type response struct {
	c      *conn
	body   *body
	cancel context.CancelFunc
	header http.Header
	status int // 0: not yet said

	out      *bytes.Buffer // not yet sent: head and body, or the body alone while begun is false
	begun    bool          // the head is in out, or sent
	declared int64         // Content-Length of the handler, or unknown
	written  int64         // bytes of the body
	chunked  bool
	close    bool // the connection ends with this answer
	bounded  bool // there is a write deadline
	settled  bool // the handler cannot read the body any more, and:
	all      bool // it has been read to its end
	refused  bool // too much of it is left
	err      error
}

// Header is [http.ResponseWriter]'s.
func (w *response) Header() http.Header { return w.header }

// WriteHeader is [http.ResponseWriter]'s. Interim answers (1xx) are not sent: nobody who waits for one comes here.
func (w *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("http1: invalid status " + strconv.Itoa(status))
	}
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write is [http.ResponseWriter]'s. It keeps nothing of p.
func (w *response) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.out == nil {
		w.out = buffers.Get().(*bytes.Buffer)
		w.WriteHeader(http.StatusOK)
		w.declare(p)
	}
	if !w.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	if w.declared != unknown && w.written+int64(len(p)) > w.declared {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.out.Len()+len(p) <= joinBytes {
		if w.chunked {
			w.chunk(p)
		} else {
			w.out.Write(p)
		}
		return len(p), nil
	}
	if !w.begun {
		w.begin()
	}
	if w.chunked {
		w.chunk(p)
		w.send(nil)
	} else {
		w.send(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// declare notes what the headers say of the body, which begins with p.
func (w *response) declare(p []byte) {
	w.header.Del("Transfer-Encoding") // is for the loop to say
	if n, ok := length(w.header.Get("Content-Length")); ok {
		w.declared = n
	} else {
		w.header.Del("Content-Length")
	}
	if _, said := w.header["Content-Type"]; !said && len(p) > 0 && w.mayHaveBody() && w.header.Get("Content-Encoding") == "" {
		w.header.Set("Content-Type", http.DetectContentType(p))
	}
	if w.declared != unknown {
		w.head()
	}
}

// begin puts the head before a body of unknown length, which is chunked from here on.
func (w *response) begin() {
	first := bytes.Clone(w.out.Bytes())
	w.out.Reset()
	if w.mayHaveBody() {
		w.chunked = true
		w.header.Set("Transfer-Encoding", "chunked")
	}
	w.head()
	if w.chunked {
		w.chunk(first)
	}
}

// settle ends the reading of the body, which an answer comes after: clients of HTTP/1.1 may send all before they read.
func (w *response) settle() {
	if w.settled {
		return
	}
	w.settled, w.refused = true, w.body.tooLong()
	if w.refused {
		w.body.closed.Store(true)
		w.close = true
	} else if w.all = w.body.pass(); !w.all && !w.body.failed {
		w.close = true
	}
}

// head puts status line and headers into out.
func (w *response) head() {
	w.begun = true
	w.settle()
	if w.c.s.closing.Load() {
		w.close = true
	}
	if strings.EqualFold(w.header.Get("Connection"), "close") {
		w.close = true
	} else if w.close {
		w.header.Set("Connection", "close")
	}
	w.out.WriteString("HTTP/1.1 ")
	w.out.WriteString(strconv.Itoa(w.status))
	w.out.WriteByte(' ')
	if text := http.StatusText(w.status); text != "" {
		w.out.WriteString(text)
	} else {
		w.out.WriteString("status code ")
		w.out.WriteString(strconv.Itoa(w.status))
	}
	w.out.WriteString("\r\n")
	_ = w.header.Write(w.out) // sorted; a buffer does not fail
	if _, said := w.header["Date"]; !said {
		w.out.WriteString(date())
	}
	w.out.WriteString("\r\n")
}

func (w *response) chunk(p []byte) {
	if len(p) == 0 {
		return // would end the body
	}
	w.out.Write(strconv.AppendInt(w.out.AvailableBuffer(), int64(len(p)), 16))
	w.out.WriteString("\r\n")
	w.out.Write(p)
	w.out.WriteString("\r\n")
}

// send sends what is in out, and p behind it.
func (w *response) send(p []byte) {
	if w.err != nil {
		return
	}
	var err error
	switch {
	case len(p) == 0 && w.out.Len() > 0:
		_, err = w.c.tcp.Write(w.out.Bytes())
	case len(p) > 0 && w.out.Len() == 0:
		_, err = w.c.tcp.Write(p)
	case len(p) > 0:
		pieces := net.Buffers{w.out.Bytes(), p}
		_, err = pieces.WriteTo(w.c.tcp)
	}
	w.out.Reset()
	if err != nil {
		w.err = err
		w.cancel() // nobody will read the rest
	}
}

// finish sends what is left once the handler has returned, and reports whether the connection can be used again.
func (w *response) finish() (keep bool) {
	defer w.release()
	w.settle()
	if w.out == nil {
		w.out = buffers.Get().(*bytes.Buffer)
		w.WriteHeader(http.StatusOK)
		w.declare(nil)
	}
	switch {
	case w.chunked:
		w.out.WriteString("0\r\n\r\n")
	case !w.begun:
		first := bytes.Clone(w.out.Bytes())
		w.out.Reset()
		if w.mayHaveBody() {
			w.header.Set("Content-Length", strconv.Itoa(len(first)))
		}
		w.head()
		w.out.Write(first)
	case w.declared != w.written && w.mayHaveBody():
		w.close = true // the client sees that something is missing
	}
	w.send(nil)
	if w.bounded {
		_ = w.c.tcp.SetWriteDeadline(time.Time{})
	}
	if w.err == nil && w.refused {
		w.linger()
	}
	return w.err == nil && w.all && !w.close
}

// linger reads on for a moment after the answer to a request that was not read to its end: to close a connection that has unread bytes
// resets it, and the client may lose the answer.
func (w *response) linger() {
	if w.c.tcp.CloseWrite() == nil {
		_ = w.c.tcp.SetReadDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.Copy(io.Discard, io.LimitReader(struct{ io.Reader }{w.c.tcp}, w.body.left))
	}
}

// release gives the buffer back.
func (w *response) release() {
	if w.out != nil && w.out.Cap() <= 2*joinBytes {
		w.out.Reset()
		buffers.Put(w.out)
	}
	w.out = nil
	if w.err == nil {
		w.err = errAnswered
	}
}

var errAnswered = errors.New("http1: the request is answered")

func (w *response) mayHaveBody() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// Flush is [http.Flusher]'s.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what was written so far; see [http.ResponseController].
func (w *response) FlushError() error {
	if w.out == nil && w.err == nil {
		w.out = buffers.Get().(*bytes.Buffer)
		w.WriteHeader(http.StatusOK)
		w.declare(nil)
	}
	if w.err == nil && !w.begun {
		w.begin()
	}
	w.send(nil)
	return w.err
}

// SetReadDeadline bounds the reading of the body; see [http.ResponseController].
func (w *response) SetReadDeadline(t time.Time) error {
	w.c.headEnds, w.c.idleSince = false, time.Time{}
	return w.c.tcp.SetReadDeadline(t)
}

// SetWriteDeadline bounds the sending of the answer; see [http.ResponseController]. It ends with the answer.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.bounded = true
	return w.c.tcp.SetWriteDeadline(t)
}

// stamp is the Date header of a second.
type stamp struct {
	second int64
	line   string
}

var latest atomic.Pointer[stamp]

func date() string {
	now := time.Now()
	s := latest.Load()
	if s == nil || s.second != now.Unix() {
		s = &stamp{now.Unix(), "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
		latest.Store(s)
	}
	return s.line
}
