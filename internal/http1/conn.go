package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// headBytes bounds the head of a plain request; a longer one is net/http's. It is what an idle connection holds.
	headBytes = 8 << 10
	// noticed is how many bytes net/http wants to see of a further request before it takes it for one.
	noticed = 4
	// restBytes is how much of a body that the handler left unread is read to keep the connection; net/http's figure.
	restBytes = 256 << 10
	// restTimeout is how long a client may take to send it, and lingerTimeout how long one that is refused may go on sending
	// before the connection is reset under it.
	restTimeout, lingerTimeout = 10 * time.Second, 500 * time.Millisecond
	// idleSlack is how much shorter an idle connection may live than was set, so that not every request moves its end.
	idleSlack = 10 * time.Second
)

// The states of a connection, for who closes the idle ones.
const (
	idle int32 = iota
	working
	closed
)

// conn is a connection of plain requests. All but state and end belongs to the goroutine of serve.
type conn struct {
	s     *Server
	tcp   *net.TCPConn
	raw   syscall.RawConn
	blank *http.Request   // what each request begins as
	ctx   context.Context // of its requests
	end   context.CancelFunc
	state atomic.Int32

	in         []byte // in[r:w] is read and not yet used
	r, w       int
	served     bool      // a request was answered
	names      []name    // of the latest request's headers
	idleSince  time.Time // when the read deadline was set to the idle timeout; zero: it is something else
	headEnds   bool      // the read deadline is one of waiting for a head, not of the handler's
	lookAt     *time.Timer
	endMu      sync.Mutex         // guards the fields below
	endRequest context.CancelFunc // of the request in work, or nil
	requests   uint64             // begun so far
	seen       uint64             // of these, when the socket was last thought of
	looking    bool               // lookAt runs
}

func newConn(s *Server, tcp *net.TCPConn) *conn {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	c := &conn{s: s, tcp: tcp, raw: raw, in: make([]byte, headBytes)}
	c.ctx, c.end = context.WithCancel(context.WithValue(s.base, http.LocalAddrContextKey, tcp.LocalAddr()))
	c.blank = &http.Request{
		Method: http.MethodPost, RequestURI: "/", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
		RemoteAddr: tcp.RemoteAddr().String(),
	}
	c.lookAt = time.AfterFunc(time.Hour, c.look)
	c.lookAt.Stop()
	return c
}

var errNotPlain = errors.New("not a plain request")

// serve answers requests until the connection ends or is handed over.
func (c *conn) serve() {
	keep := true
	for keep {
		head, err := c.readHead()
		var f fields
		if err == nil && !c.parse(head, &f) {
			err = errNotPlain
		}
		if errors.Is(err, errNotPlain) {
			c.handOver()
			return
		}
		if err != nil {
			break
		}
		c.r += len(head)
		c.served = true
		keep = c.answer(&f) && !c.s.closing.Load()
		c.state.Store(idle)
		if c.s.closing.Load() { // set before the idle ones were closed
			break
		}
	}
	c.tcp.Close()
	c.end()
	c.s.remove(c)
}

// handOver gives the connection, with what was read of it, to net/http.
func (c *conn) handOver() {
	_ = c.tcp.SetReadDeadline(time.Time{})
	rest := c.in[c.r:c.w]
	for i := 0; c.served && i < noticed && len(rest) > 0 && (rest[0] == '\r' || rest[0] == '\n'); i++ {
		rest = rest[1:] // old clients end a POST with an empty line, which net/http passes over
	}
	c.in = nil
	c.end()
	c.s.handOver(&begun{TCPConn: c.tcp, rest: rest})
	c.s.remove(c) // afterwards, so that Shutdown misses it nowhere
}

// closeIdle closes the connection unless a request is in work.
func (c *conn) closeIdle() {
	if c.state.CompareAndSwap(idle, closed) {
		c.tcp.Close()
	}
}

// begun is a connection of which something was read.
type begun struct {
	*net.TCPConn
	rest []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		b.rest = nil
		return b.TCPConn.Read(p)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo keeps io.Copy from reading past rest.
func (b *begun) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b})
}

var endOfHead = []byte("\r\n\r\n")

// readHead reads up to the empty line after the next head and returns the head with it. It returns errNotPlain as soon as
// the bytes cannot be those of a plain request.
func (c *conn) readHead() ([]byte, error) {
	c.headEnds = true
	if c.r == c.w {
		c.r, c.w = 0, 0
		if err := c.awaitRequest(); err != nil {
			return nil, err
		}
	} else if !c.state.CompareAndSwap(idle, working) {
		return nil, net.ErrClosed
	}
	for began := false; ; began = true {
		have := c.in[c.r:c.w]
		if i := bytes.Index(have, endOfHead); i >= 0 {
			if began {
				c.idleSince = time.Time{}
				_ = c.tcp.SetReadDeadline(time.Time{})
			}
			return have[:i+len(endOfHead)], nil
		}
		if len(have) >= noticed && !mayBePlain(have) {
			return nil, errNotPlain
		}
		if c.r > 0 {
			c.w = copy(c.in, have)
			c.r = 0
		}
		if c.w == len(c.in) {
			return nil, errNotPlain
		}
		if !began && c.s.http.ReadHeaderTimeout > 0 {
			c.idleSince = time.Time{}
			_ = c.tcp.SetReadDeadline(time.Now().Add(c.s.http.ReadHeaderTimeout))
		}
		n, err := c.tcp.Read(c.in[c.w:])
		if c.w += n; n == 0 {
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, err
			}
			if c.served && c.w < noticed {
				return nil, err
			}
			return nil, errNotPlain // a head that ends early has an answer
		}
	}
}

// awaitRequest reads the first bytes of a request.
func (c *conn) awaitRequest() error {
	if first := c.s.http.ReadHeaderTimeout; !c.served && first > 0 {
		_ = c.tcp.SetReadDeadline(time.Now().Add(first)) // who says nothing at all is not waited for as long
	} else if limit := c.s.http.IdleTimeout; limit > 0 {
		if now := time.Now(); now.Sub(c.idleSince) > min(idleSlack, limit/2) {
			c.idleSince = now
			_ = c.tcp.SetReadDeadline(now.Add(limit))
		}
	} else {
		_ = c.tcp.SetReadDeadline(time.Time{})
	}
	n, err := c.tcp.Read(c.in)
	if n == 0 {
		return errors.Join(io.EOF, err)
	}
	c.w = n
	if !c.state.CompareAndSwap(idle, working) {
		return net.ErrClosed
	}
	return nil
}

// answer runs the handler and reports whether the connection can be used again.
func (c *conn) answer(f *fields) (keep bool) {
	ctx, end := context.WithCancel(c.ctx)
	req, body := c.blank.WithContext(ctx), &body{c: c, left: f.length}
	req.URL, req.Host, req.Header, req.ContentLength = &url.URL{Path: "/"}, f.host, f.header, f.length
	if f.length > 0 {
		req.Body = body
	}
	w := &response{c: c, body: body, header: make(http.Header, 8), declared: unknown, cancel: end}
	c.begin(end)
	defer func() {
		c.begin(nil)
		end()
		if p := recover(); p != nil {
			keep = false
			body.closed.Store(true)
			w.release()
			if p != http.ErrAbortHandler {
				c.s.logf("http: panic serving %v: %v\n%s", req.RemoteAddr, p, debug.Stack())
			}
		}
	}()
	c.s.http.Handler.ServeHTTP(w, req)
	return w.finish()
}

// begin makes end what a client's end calls; nil: no request is in work. The timer is not stopped with each request and started
// with the next: to start one wakes a thread.
func (c *conn) begin(end context.CancelFunc) {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	c.endRequest = end
	if end == nil {
		return
	}
	c.requests++
	if !c.looking {
		c.looking, c.seen = true, c.requests
		c.lookAt.Reset(LookEvery)
	}
}

// look ends the context of the request in work if the client has gone. A request that is newer than the last look can wait for the
// next one.
func (c *conn) look() {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.looking = c.endRequest != nil; !c.looking {
		return
	}
	if c.requests == c.seen {
		gone := false
		if err := c.raw.Control(func(fd uintptr) { gone = hasEnded(fd) }); err != nil || gone {
			c.endRequest()
			c.looking = false
			return
		}
	}
	c.seen = c.requests
	c.lookAt.Reset(LookEvery)
}

// body is what the handler reads.
type body struct {
	c      *conn
	left   int64
	closed atomic.Bool // the request is answered
	failed bool        // the handler knows that the rest does not come
}

func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.left == 0:
		return 0, io.EOF
	case int64(len(p)) > b.left:
		p = p[:b.left]
	}
	c := b.c
	n, err := copy(p, c.in[c.r:c.w]), error(nil)
	if n > 0 {
		c.r += n
	} else {
		if c.headEnds {
			c.headEnds, c.idleSince = false, time.Time{}
			_ = c.tcp.SetReadDeadline(time.Time{})
		}
		n, err = c.tcp.Read(p)
	}
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	b.failed = err != nil
	return n, err
}

// Close forgets the rest of the body for the handler; the connection still reads it.
func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

// tooLong reports whether the handler left more than is worth reading.
func (b *body) tooLong() bool { return b.left-int64(b.c.w-b.c.r) > restBytes }

// pass reads what the handler left, and reports whether the next request follows.
func (b *body) pass() bool {
	b.closed.Store(true)
	c := b.c
	n := min(b.left, int64(c.w-c.r))
	c.r += int(n)
	if b.left -= n; b.left == 0 {
		return true
	}
	c.idleSince = time.Time{}
	_ = c.tcp.SetReadDeadline(time.Now().Add(restTimeout))
	n, err := io.CopyN(io.Discard, c.tcp, b.left)
	b.left -= n
	return err == nil
}
