// Package weirtest runs a whole weir server inside a Go test: on loopback ports of its
// own, in a temporary folder, with a clock that the test can set. Point any AWS client at
// its URL, and any MQTT client at its MQTTAddr:
//
//	func TestMyService(t *testing.T) {
//		s := weirtest.Start(t, weirtest.At(time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)))
//		client := timestreamwrite.NewFromConfig(aws.Config{
//			BaseEndpoint: aws.String(s.URL), Region: "us-east-1",
//			Credentials: credentials.NewStaticCredentialsProvider("any", "keys", ""),
//		})
//		…
//	}
//
// Everything that depends on time reads the server's clock: now() and ago() in queries, the
// window in which records are accepted, retention, the move from the memory store to
// the magnetic store, and scheduled queries. [Server.Advance] makes a year of retention a matter of milliseconds.
//
// Any credentials are taken. Tests may run in parallel, each with a server of its own; a
// server starts in some milliseconds. Its methods may be called from any goroutine, but
// those that can fail a test only from the test's own, as with [testing.TB.Fatal].
package weirtest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/server"
)

// Option changes how [Start] starts a server.
type Option func(*server.Options)

// At freezes the server's clock at t. Without it the clock follows the machine's.
func At(t time.Time) Option {
	return func(o *server.Options) { o.Clock = clock.Manual(t) }
}

// Dir keeps the data in a folder of the caller's, which may hold that of an earlier
// server. Without it the data goes away with the test.
func Dir(path string) Option {
	return func(o *server.Options) { o.DataDir = path }
}

// Server is a running server; the test's end closes it.
type Server struct {
	URL      string // endpoint of all AWS services, http://127.0.0.1:port
	MQTTAddr string // host:port of the MQTT broker
	Dir      string // data folder

	t    testing.TB
	opts server.Options
	http http.Client // with connections of its own, which end with the server

	mu  sync.Mutex // guards srv
	srv *server.Server
}

// Start starts a server that runs until the test and its subtests have ended. If it
// cannot start, the test fails. The server's log is printed when the test has failed.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	o := server.Options{Listen: "127.0.0.1:0", MQTTListen: "127.0.0.1:0", ClockControl: true}
	for _, change := range options {
		change(&o)
	}
	if o.DataDir == "" {
		o.DataDir = t.TempDir()
	}
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	log := &logBuffer{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	s := &Server{t: t, Dir: o.DataDir, opts: o, http: http.Client{Transport: new(http.Transport)}}
	s.start()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the log of the weir server at %s:\n%s", s.URL, log.text())
		}
	})
	return s
}

func (s *Server) start() {
	s.t.Helper()
	srv, err := server.Start(context.Background(), s.opts)
	if err != nil {
		s.t.Fatalf("weirtest: start the server: %v", err)
	}
	s.mu.Lock()
	s.srv = srv
	s.mu.Unlock()
	s.URL, s.MQTTAddr = srv.URL(), srv.Addr("mqtt")
	// The next start, after Restart, is on the same ports.
	s.opts.Listen, s.opts.MQTTListen = srv.Addr("aws"), srv.Addr("mqtt")
}

// stopTimeout is how long calls in flight have to end.
const stopTimeout = 5 * time.Second

func (s *Server) stop() {
	s.mu.Lock()
	srv := s.srv
	s.srv = nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	// A connection kept from before a restart would break the first call after it.
	defer s.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := srv.Close(ctx); err != nil {
		s.t.Errorf("weirtest: close the server: %v", err)
	}
}

// Restart stops the server and starts it again over the same data, on the same ports and
// clock. What was acknowledged is there afterwards; open results and sessions are not.
func (s *Server) Restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

// Now returns the time of the server's clock.
func (s *Server) Now() time.Time { return s.opts.Clock.Now() }

// Set moves the clock to t, forwards or back. A frozen clock stays frozen there; a
// running one runs on from there.
func (s *Server) Set(t time.Time) { s.opts.Clock.Set(t) }

// Advance moves the clock by d. What retention ends with that is gone from queries when
// Advance returns; files follow in the background.
func (s *Server) Advance(d time.Duration) { s.opts.Clock.Advance(d) }

// Settle waits until the scheduled queries that became due have run; after a minute it
// gives up and the test fails.
func (s *Server) Settle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.mu.Lock()
	srv := s.srv
	s.mu.Unlock()
	if err := srv.Settle(ctx); err != nil {
		s.t.Fatalf("weirtest: scheduled queries are not done: %v", err)
	}
}

// Freeze stops the clock where it is.
func (s *Server) Freeze() { s.opts.Clock.Freeze() }

// Resume lets a frozen clock run on from the time it shows.
func (s *Server) Resume() { s.opts.Clock.Resume() }

// logBuffer keeps the latest lines of a log.
type logBuffer struct {
	mu    sync.Mutex // guards lines and size
	lines [][]byte
	size  int
}

var _ io.Writer = (*logBuffer)(nil)

// logLimit is how many bytes of log are kept.
const logLimit = 1 << 20

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, bytes.Clone(line))
	for b.size += len(line); b.size > logLimit; b.lines = b.lines[1:] {
		b.size -= len(b.lines[0])
	}
	return len(line), nil
}

func (b *logBuffer) text() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Join(b.lines, nil)
}
