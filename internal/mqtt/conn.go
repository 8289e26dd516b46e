package mqtt

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
)

const (
	connectTimeout = 10 * time.Second // from accept to a whole CONNECT
	writeTimeout   = 10 * time.Second // for one write to be taken by the client
	closeTimeout   = time.Second      // for the last bytes before a close
	flushAfter     = time.Millisecond // acknowledgements wait at most this long for company
	maxBuffered    = 32 << 10         // bytes
)

// conn coalesces the small writes of a broker. While its reader still has input to
// work on, writes are gathered; the next Read sends them before it blocks. So the
// acknowledgements of a burst leave in one segment (and one TLS record), and a lone
// one leaves at once. A timer sends what waits while the reader is busy, for example
// with a commit.
//
// One goroutine reads; any number may write.
type conn struct {
	net.Conn
	reading atomic.Bool // the reader waits for input, so nothing is gathered

	mu    sync.Mutex // guards the fields below; held while writing to the socket
	out   []byte
	err   error // of the first failed write; all later ones fail too
	timer *time.Timer

	overTLS bool // read-only
	// publisher delivers what the client publishes, where that may have to be stored; only
	// the reader uses it.
	publisher *mochi.Client
	ahead     *ahead

	client // what the broker knows about who is at the other end
}

// client is set before the session is established and read-only after, but for
// the atomic fields.
type client struct {
	id        string
	principal string
	version   byte        // of the protocol: 3, 4 or 5; 0 before CONNECT
	hash      atomic.Bool // a filter of the session ends in #
	cause     atomic.Pointer[string]

	// Of the SUBSCRIBE being processed; only the reader writes it.
	pending atomic.Pointer[[]verdict]
}

// verdict is the answer to one filter of a SUBSCRIBE: 0, or why it is refused.
type verdict struct {
	filter string
	code   byte
}

func newConn(c net.Conn, h *hook) *conn {
	// The library sets no deadline before CONNECT.
	_ = c.SetReadDeadline(time.Now().Add(connectTimeout))
	_, overTLS := c.(*tls.Conn)
	return &conn{Conn: c, overTLS: overTLS, ahead: &ahead{hook: h}}
}

// Read sends what was gathered, then reads.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reading.Store(true)
	err := c.flushLocked()
	c.mu.Unlock()
	if err != nil {
		c.reading.Store(false)
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.reading.Store(false)
	c.ahead.see(c, p[:n])
	return n, err
}

// Write sends p now if the reader waits, else soon. Errors of a delayed write
// come with the next call.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.version != 0 && c.version < 5 && isDisconnect(p) {
		return len(p), nil // MQTT 3 has no DISCONNECT from the server; the close says it
	}
	first := len(c.out) == 0
	c.out = append(c.out, p...)
	if c.reading.Load() || len(c.out) > maxBuffered {
		if err := c.flushLocked(); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if first {
		if c.timer == nil {
			c.timer = time.AfterFunc(flushAfter, c.flush)
		} else {
			c.timer.Reset(flushAfter)
		}
	}
	return len(p), nil
}

func isDisconnect(p []byte) bool { return len(p) >= 2 && p[0] == 0xe0 && int(p[1]) == len(p)-2 }

func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.flushLocked()
}

func (c *conn) flushLocked() error {
	if len(c.out) == 0 || c.err != nil {
		return c.err
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		c.err = err
		return err
	}
	if _, c.err = c.Conn.Write(c.out); c.err != nil {
		c.out = nil
		_ = c.Conn.Close() // wakes the reader
		return c.err
	}
	if cap(c.out) > maxBuffered {
		c.out = nil
	} else {
		c.out = c.out[:0]
	}
	return nil
}

// SetDeadline sets the reader's deadline only: the library means its keep alive,
// which may be half an hour, far too long for a write to wait.
func (c *conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing; every write has its own.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Close sends what is left, if no other write is stuck, and closes.
func (c *conn) Close() error {
	if c.mu.TryLock() {
		if len(c.out) > 0 && c.err == nil {
			_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
			_, _ = c.Conn.Write(c.out)
			c.out = nil
		}
		if c.err == nil {
			c.err = net.ErrClosed
		}
		if c.timer != nil {
			c.timer.Stop()
		}
		c.mu.Unlock()
	}
	return c.Conn.Close()
}
