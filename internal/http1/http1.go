// Package http1 is the socket of the AWS door: it serves the plain request of an AWS JSON client, POST / over HTTP/1.1
// with a Content-Length, by a loop of its own, and leaves every other connection to net/http.
//
// net/http starts a goroutine for each body that it has read, to see the client go, and takes it back when the
// handler ends; on two processors these hand-overs cost as much as all else that a small durable write does
// (docs/decisions/045). Here one goroutine reads, calls the handler and answers. A timer looks at the socket of a
// request that lasts, so that its context still ends within two [LookEvery] of the client's end.
//
// The loop judges nothing. Bytes that are not the plain request, to the letter, go to net/http unread, with the rest of their
// connection: other methods, paths and versions, chunked bodies, Expect, Upgrade, Connection other than keep-alive,
// long or faulty heads, TLS. So there is one answer to each request, that of net/http; FuzzAnswersLikeNetHTTP holds the
// loop to it.
package http1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// LookEvery is how often the socket of a request in work is looked at for the client's end, from when it has lasted as long, or twice
// as long after other requests of the connection.
const LookEvery = 20 * time.Millisecond

// Server serves plain requests itself and others by an [http.Server]. See [New].
type Server struct {
	http    *http.Server // handler, timeouts and log of both
	handed  handed
	base    context.Context // of all requests
	release context.CancelFunc

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	changed   chan struct{} // closed and made anew when a connection is gone
	closing   atomic.Bool
}

// New returns a server with the Handler, ReadHeaderTimeout, IdleTimeout and ErrorLog of h, which serves what is not
// plain. Of the other settings of h, those of the whole of a request (ReadTimeout, WriteTimeout) and the hooks
// (ConnState, BaseContext, ConnContext) are not for plain requests and must not be set.
func New(h *http.Server) *Server {
	s := &Server{
		http:      h,
		handed:    handed{conns: make(chan net.Conn), closed: make(chan struct{})},
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
		changed:   make(chan struct{}),
	}
	s.base, s.release = context.WithCancel(context.WithValue(context.Background(), http.ServerContextKey, h))
	return s
}

// Serve accepts connections until the server is closed, then returns [http.ErrServerClosed].
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	if s.closing.Load() {
		ln.Close()
		return http.ErrServerClosed
	}
	s.handed.addr = ln.Addr()
	others := make(chan error, 1)
	go func() { others <- s.http.Serve(&s.handed) }()
	err := s.accept(ln)
	s.handed.Close()
	<-others
	return err
}

func (s *Server) accept(ln net.Listener) error {
	const least, most = 5 * time.Millisecond, time.Second
	wait := least
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			wait = least
			s.start(c)
		case s.closing.Load():
			return http.ErrServerClosed
		case outOfFiles(err): // others end and give theirs back
			s.logf("http1: accept: %v; again in %v", err, wait)
			time.Sleep(wait)
			wait = min(2*wait, most)
		default:
			return err
		}
	}
}

// start serves a new connection.
func (s *Server) start(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || !canLook {
		go s.handOver(nc)
		return
	}
	c := newConn(s, tcp)
	if c == nil || !s.add(c) {
		nc.Close()
		return
	}
	go c.serve()
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

// handOver gives a connection to net/http.
func (s *Server) handOver(c net.Conn) {
	select {
	case s.handed.conns <- c:
	case <-s.handed.closed:
		c.Close()
	}
}

// Shutdown closes the listeners and idle connections, waits until requests in work are answered, and then does the same for
// what net/http serves. It returns ctx.Err() if ctx ends first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close(func(c *conn) { c.closeIdle() })
	s.http.SetKeepAlivesEnabled(false) // its connections take no more requests while plain ones are waited for
	for {
		s.mu.Lock()
		left, changed := len(s.conns), s.changed
		s.mu.Unlock()
		if left == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.http.Shutdown(ctx)
}

// Close closes everything at once: contexts of requests in work end, answers are cut.
func (s *Server) Close() error {
	s.close(func(c *conn) { c.tcp.Close() })
	s.release()
	return s.http.Close()
}

// close lets no new connection in and calls f for those that there are.
func (s *Server) close(f func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		f(c)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.http.ErrorLog != nil {
		s.http.ErrorLog.Printf(format, args...)
	}
}

// handed is the listener by which net/http gets its connections.
type handed struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handed) Addr() net.Addr { return h.addr }

func outOfFiles(err error) bool {
	var e interface{ Temporary() bool } // of net.Error; what net/http itself goes by
	return errors.As(err, &e) && e.Temporary()
}
