package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// newClient is the HTTP client of all servers: keep-alive, no compression, and as little work as can be, because it shares
// the processors with the server that is measured. [http.Transport] has two goroutines for each connection, and hands
// each request and each answer from one to the other.
func newClient() *http.Client {
	return &http.Client{Transport: &transport{idle: map[string][]*line{}}}
}

// transport sends a request and reads its answer in the caller's goroutine. It does not look at the request's context
// and speaks HTTP alone.
type transport struct {
	mu   sync.Mutex
	idle map[string][]*line // by host:port
}

// line is a connection.
type line struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
}

const lineBytes = 128 << 10 // of each buffer: a request of 100 records is one system call

// RoundTrip is [http.RoundTripper]'s.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		l, used, err := t.take(req.URL.Host)
		if err != nil {
			return nil, err
		}
		resp, err := l.ask(req)
		if err == nil {
			resp.Body = &answerBody{ReadCloser: resp.Body, t: t, l: l, host: req.URL.Host, keep: !resp.Close}
			return resp, nil
		}
		l.Close()
		if !used {
			return nil, err
		}
		if req.GetBody != nil { // the server had closed a connection that it found idle
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func (t *transport) take(host string) (l *line, used bool, err error) {
	t.mu.Lock()
	if n := len(t.idle[host]); n > 0 {
		l, t.idle[host] = t.idle[host][n-1], t.idle[host][:n-1]
	}
	t.mu.Unlock()
	if l != nil {
		return l, true, nil
	}
	c, err := net.Dial("tcp", host)
	if err != nil {
		return nil, false, err
	}
	return &line{c, bufio.NewReaderSize(c, lineBytes), bufio.NewWriterSize(c, lineBytes)}, false, nil
}

func (l *line) ask(req *http.Request) (*http.Response, error) {
	if err := req.Write(l.out); err != nil {
		return nil, err
	}
	if err := l.out.Flush(); err != nil {
		return nil, err
	}
	return http.ReadResponse(l.in, req)
}

// answerBody gives its connection back when it is closed at its end.
type answerBody struct {
	io.ReadCloser
	t    *transport
	l    *line
	host string
	keep bool
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close() // reads the rest
	if err != nil || !b.keep {
		b.l.Close()
		return err
	}
	b.t.mu.Lock()
	b.t.idle[b.host] = append(b.t.idle[b.host], b.l)
	b.t.mu.Unlock()
	return nil
}
