package pgwire

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	flushBytes = 32 << 10 // of output that are gathered
	idleBytes  = 4 << 10  // of output that a connection keeps room for
)

// session is one connection. Its goroutine owns all fields but those that say otherwise.
type session struct {
	server   *Server
	raw      net.Conn // the socket; deadlines may be set by anybody
	conn     net.Conn // the same, or TLS over it
	messages *pgproto3.Backend
	out      []byte // messages that are not sent yet
	failed   error  // of sending

	user, secret, database, caller string
	key                            uint64 // process id and secret for requests to cancel
	loggedIn                       bool   // guarded by Server.mu until the session's end
	settings                       *settings

	transaction byte // 'I' none, 'T' in one, 'E' in one that failed
	savepoints  []string
	statements  map[string]*statement
	portals     map[string]*portal
	skipping    bool // until Sync, after an error

	draining atomic.Bool

	mu      sync.Mutex // guards running
	running context.CancelCauseFunc
}

func newSession(s *Server, nc net.Conn) *session {
	return &session{server: s, raw: nc, conn: nc, transaction: 'I', statements: map[string]*statement{}, portals: map[string]*portal{}}
}

// end gives back what the session holds.
func (c *session) end() {
	c.closePortals(true)
	c.conn.Close()
	c.raw.Close()
}

// drain ends the session when it has nothing to do. Anybody may call it.
func (c *session) drain() {
	c.draining.Store(true)
	c.raw.SetReadDeadline(time.Unix(1, 0))
}

// cancelRunning ends what runs, if anything does. Anybody may call it.
func (c *session) cancelRunning(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		c.running(cause)
	}
}

// work runs f while it can be cancelled by cancel: by the client's wish, or because it has gone.
func (c *session) work(cancel context.CancelCauseFunc, f func() error) error {
	c.mu.Lock()
	c.running = cancel
	c.mu.Unlock()
	stop := c.watch(cancel)
	err := f()
	stop()
	c.mu.Lock()
	c.running = nil
	c.mu.Unlock()
	return err
}

// send appends a message to the output, which is sent when there is enough of it.
func (c *session) send(m pgproto3.BackendMessage) {
	out, err := m.Encode(c.out)
	if err != nil {
		if c.failed == nil {
			c.failed = err
		}
		return
	}
	c.out = out
	if len(c.out) > flushBytes {
		c.flush()
	}
}

// flush sends the output.
func (c *session) flush() error {
	if c.failed == nil && len(c.out) > 0 {
		c.raw.SetWriteDeadline(time.Now().Add(c.server.opts.WriteTimeout))
		_, c.failed = c.conn.Write(c.out)
		c.server.meters.bytes.Add(int64(len(c.out)))
	}
	c.out = c.out[:0]
	return c.failed
}

// sendError tells an error that the statement at offset base of text caused, and notes that the transaction has failed.
func (c *session) sendError(err error, text string, base int) {
	c.server.meters.errors.Add(1)
	c.send(response(err, text, base))
	if c.transaction == 'T' {
		c.transaction = 'E'
	}
}

func (c *session) ready() error {
	if c.transaction == 'I' {
		c.closePortals(false)
	}
	c.send(&pgproto3.ReadyForQuery{TxStatus: c.transaction})
	err := c.flush()
	if cap(c.out) > idleBytes {
		c.out = nil
	}
	return err
}

func isFatal(err error) bool {
	var e *pgError
	return errors.As(err, &e) && e.fatal
}

// serve answers messages until the client leaves, is not understood, or the server ends.
func (c *session) serve() error {
	for {
		m, err := c.messages.Receive()
		if err != nil {
			return c.farewell(err)
		}
		if err := c.answer(m); err != nil {
			return err
		}
	}
}

// farewell tells a client why it is not served any more, unless it left by itself.
func (c *session) farewell(err error) error {
	var tooLong *pgproto3.ExceededMaxBodyLenErr
	var network net.Error
	switch {
	case errors.As(err, &tooLong):
		c.send(response(fatalf(stateProgramLimit, "the message has %d bytes, at most %d are taken", tooLong.ActualBodyLen, tooLong.MaxExpectedBodyLen), "", 0))
	case c.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		c.send(response(errShutdown, "", 0))
	case errors.As(err, &network) || strings.Contains(err.Error(), "EOF"):
		return err
	default:
		c.send(response(fatalf(stateProtocol, "invalid message: %v", err), "", 0))
	}
	c.flush()
	return err
}

var errLeft = errors.New("client left")

// answer acts on one message; an error ends the session.
func (c *session) answer(m pgproto3.FrontendMessage) error {
	if c.skipping {
		switch m.(type) {
		case *pgproto3.Sync, *pgproto3.Terminate:
		default:
			return nil
		}
	}
	switch m := m.(type) {
	case *pgproto3.Query:
		return c.simple(m.String)
	case *pgproto3.Sync:
		c.skipping = false
		return c.ready()
	case *pgproto3.Flush:
		return c.flush()
	case *pgproto3.Terminate:
		return errLeft
	case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
		return nil // of a COPY that failed, as in Postgres
	}
	if err := c.extended(m); err != nil {
		var text string
		if p, ok := m.(*pgproto3.Parse); ok {
			text = p.Query
		}
		c.sendError(err, text, 0)
		if isFatal(err) {
			c.flush()
			return err
		}
		c.skipping = true
	}
	return c.failed
}

// simple runs the statements of a text, until one fails.
func (c *session) simple(text string) error {
	pieces := split(text)
	if len(pieces) == 0 {
		c.send(&pgproto3.EmptyQueryResponse{})
	}
	for _, piece := range pieces {
		if err := c.simpleOne(piece.text); err != nil {
			c.sendError(err, text, piece.at)
			if isFatal(err) {
				c.flush()
				return err
			}
			break
		}
	}
	return c.ready()
}

func (c *session) simpleOne(text string) error {
	st, err := c.newStatement(text, nil, false)
	if err != nil {
		return err
	}
	p := &portal{session: c, statement: st}
	defer p.close()
	if err := p.open(); err != nil {
		return err
	}
	if columns := p.columns(); columns != nil {
		c.send(p.description(columns))
	}
	return p.run(0)
}
