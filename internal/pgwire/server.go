// Package pgwire is the Postgres door: version 3 of the protocol of Postgres (Postgres manual, "Frontend/Backend Protocol"),
// so that its clients can ask weir. It reads only; every statement but those about the session ends in [query.Service.Stream],
// and no rule about statements or results lives here.
//
// Values are told in the types of Postgres that are nearest: see [typeOf]. Times are cut, not rounded, to microseconds. Rows
// are written to the client as they are read, straight from columns, so a result takes a batch of memory, however large it is.
//
// # Concurrency and bounds
//
// A connection is served by one goroutine, which also runs its queries. Another looks, while a query runs, whether the client is still
// there. Connections, those that have not logged in yet, statements and portals of a connection, and the size of messages are
// bounded; whoever does not log in within [Options.LoginTimeout], or takes nothing for [Options.WriteTimeout], is cut off.
package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/telemetry"
)

// Options configure a Server. Queries is required.
type Options struct {
	Queries *query.Service

	// Credential finds access keys: users log in with one and its secret. nil takes everybody as Anyone.
	Credential func(accessKeyID string) (iam.Identity, error)
	Anyone     string // ARN
	Region     string // for conditions of policies

	TLS *tls.Config // nil: clients that ask for TLS are told that there is none

	MaxConnections  int           // that are logged in; default 200
	MaxMessageBytes int           // of a message of a client that is logged in; default 1 MiB
	MaxStatements   int           // prepared, and of portals, of a connection; default 256
	LoginTimeout    time.Duration // from the first byte to being logged in; default 10 s
	FailedLogin     time.Duration // that the answer to a failed login takes; default 500 ms
	WriteTimeout    time.Duration // for a client to take some bytes; default 5 min

	Telemetry *telemetry.Registry // nil: counts go nowhere
	Log       *slog.Logger        // nil: discard
}

func (o Options) withDefaults() Options {
	def(&o.MaxConnections, 200)
	def(&o.MaxMessageBytes, 1<<20)
	def(&o.MaxStatements, 256)
	def(&o.LoginTimeout, 10*time.Second)
	def(&o.FailedLogin, 500*time.Millisecond)
	def(&o.WriteTimeout, 5*time.Minute)
	if o.Telemetry == nil {
		o.Telemetry = telemetry.New(telemetry.Options{})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server serves connections. See [New].
type Server struct {
	opts   Options
	meters meters
	salts  []byte // key of the salts of this process

	ctx    context.Context // of all queries; done when Close gives up waiting
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // Serve loops and connections

	mu        sync.Mutex // guards the fields below
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	byKey     map[uint64]*session // by process id and secret
	pending   int                 // not logged in yet
	draining  bool
}

var errShutdown = &pgError{state: stateShutdown, message: "terminating connection due to administrator command", fatal: true}

// New returns a server that serves nothing yet.
func New(o Options) *Server {
	o = o.withDefaults()
	s := &Server{opts: o, salts: make([]byte, 32), listeners: map[net.Listener]struct{}{}, sessions: map[*session]struct{}{}, byKey: map[uint64]*session{}}
	rand.Read(s.salts)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.meters = newMeters(o.Telemetry, s.connections)
	return s
}

// meters are what /metrics says of this door.
type meters struct {
	logins, refused, failedLogins, statements, errors, rows, bytes *telemetry.Counter
}

func newMeters(reg *telemetry.Registry, open func() float64) meters {
	reg.GaugeFunc("weir_pg_connections", "Connections of Postgres clients that are logged in.", open)
	return meters{
		logins:       reg.Counter("weir_pg_logins_total", "Logins of Postgres clients."),
		failedLogins: reg.Counter("weir_pg_failed_logins_total", "Logins of Postgres clients that were refused for their user or password."),
		refused:      reg.Counter("weir_pg_refused_total", "Connections of Postgres clients that were refused because too many are open."),
		statements:   reg.Counter("weir_pg_statements_total", "Statements of Postgres clients."),
		errors:       reg.Counter("weir_pg_errors_total", "Errors told to Postgres clients."),
		rows:         reg.Counter("weir_pg_rows_total", "Rows sent to Postgres clients."),
		bytes:        reg.Counter("weir_pg_sent_bytes_total", "Bytes sent to Postgres clients."),
	}
}

func (s *Server) connections() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(len(s.byKey))
}

// Serve accepts connections until Close; then it returns nil. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return ln.Close()
	}
	s.listeners[ln] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	defer ln.Close()
	for wait := time.Duration(0); ; {
		c, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			s.accept(c)
		case errors.Is(err, net.ErrClosed):
			return nil
		default: // out of file descriptors, most likely
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			s.opts.Log.Debug("Postgres connection not accepted", "err", err)
			select {
			case <-time.After(wait):
			case <-s.ctx.Done():
				return nil
			}
		}
	}
}

// accept serves a connection, unless as many as may be open wait to be logged in.
func (s *Server) accept(nc net.Conn) {
	ses := newSession(s, nc)
	s.mu.Lock()
	if s.draining || s.pending >= max(64, s.opts.MaxConnections) {
		s.mu.Unlock()
		s.meters.refused.Add(1)
		nc.Close()
		return
	}
	s.pending++
	s.sessions[ses] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go s.handle(ses)
}

func (s *Server) handle(ses *session) {
	defer s.wg.Done()
	defer func() {
		// Bytes from the network must not end the process.
		if p := recover(); p != nil {
			s.opts.Log.Error("Postgres client dropped", "err", fmt.Errorf("bug: panic: %v", p), "stack", string(debug.Stack()))
		}
		ses.end()
		s.mu.Lock()
		delete(s.sessions, ses)
		if ses.loggedIn {
			delete(s.byKey, ses.key)
		} else {
			s.pending--
		}
		s.mu.Unlock()
	}()
	if err := ses.start(); err != nil {
		s.opts.Log.Debug("Postgres client not logged in", "remote", ses.raw.RemoteAddr(), "err", err)
		return
	}
	err := ses.serve()
	s.opts.Log.Debug("Postgres client left", "remote", ses.raw.RemoteAddr(), "err", err)
}

// login counts a session among those that are logged in and gives it the key that cancels its queries.
func (s *Server) login(ses *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byKey) >= s.opts.MaxConnections {
		s.meters.refused.Add(1)
		return fatalf(stateTooMany, "sorry, too many clients already: --pg-max-connections is %d", s.opts.MaxConnections)
	}
	for ses.key == 0 || s.byKey[ses.key] != nil {
		var b [8]byte
		rand.Read(b[:])
		ses.key = binary.BigEndian.Uint64(b[:]) &^ (1 << 63) // process ids are positive
	}
	s.byKey[ses.key], ses.loggedIn = ses, true
	s.pending--
	s.meters.logins.Add(1)
	return nil
}

var errCancelRequest = fault.New(fault.Cancelled, "canceling statement due to user request")

// cancelQuery ends what the session with a key is doing, if there is one and it does something.
func (s *Server) cancelQuery(key uint64) {
	s.mu.Lock()
	ses := s.byKey[key]
	s.mu.Unlock()
	if ses != nil {
		ses.cancelRunning(errCancelRequest)
	}
}

// Close takes no connections any more, ends those that do nothing, and waits for the queries that run, at most until
// ctx is done; then it cancels them.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for ln := range s.listeners {
		ln.Close()
	}
	for ses := range s.sessions {
		ses.drain()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cancel(errShutdown)
		return nil
	case <-ctx.Done():
	}
	s.cancel(fault.New(fault.Unavailable, "The server is shutting down."))
	s.mu.Lock()
	for ses := range s.sessions {
		ses.raw.SetDeadline(time.Now().Add(200 * time.Millisecond))
	}
	s.mu.Unlock()
	<-done
	return fmt.Errorf("close the Postgres door: %w", ctx.Err())
}
