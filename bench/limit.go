package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// limit is what the machine, and not an engine, sets as the limit of a durable write over signed HTTP: a server that
// reads each body, hashes it as a signature needs it, makes one block of a file durable and answers, in one goroutine for each
// connection. It understands nothing and keeps nothing, so no server of this protocol can take much more with this client on
// the same processors. It is not asked.
type limit struct {
	shape shape
	conns int
	proc  *process
	url   string
	http  *http.Client
}

const limitFolder = "WEIR_BENCH_LIMIT" // in the environment of the child: its folder

// newLimit returns what makes the engine for bodies of a shape.
func newLimit(shape shape) func(*settings) (engine, error) {
	return func(s *settings) (engine, error) { return &limit{shape: shape, conns: s.conns, http: newClient()}, nil }
}

func (v *limit) child() *process { return v.proc }
func (v *limit) stop() error     { return v.proc.stop() }

func (v *limit) start(_ context.Context, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), limitFolder+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	v.proc = &process{cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	v.url = "http://" + strings.TrimSpace(line)
	return err
}

func (v *limit) load(ctx context.Context, w *workload) (time.Duration, error) {
	return sendAll(v.http, w.writeRecords(v.shape), v.conns, func(body []byte) (*http.Request, error) { return post(ctx, v.url, body) })
}

func (v *limit) settle(context.Context, *workload) error { return nil }

func (v *limit) ask(context.Context, *class, *draw) (int, time.Duration, error) {
	return 0, 0, errNotAsked
}

// serveLimit is the child's main: it says its address in a line and serves until it is told to end.
func serveLimit(dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for i := 0; ; i++ {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := serveLine(c, filepath.Join(dir, fmt.Sprint(i))); !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "limit:", err)
			}
		}()
	}
}

// serveLine answers the requests of one connection, which has a file of its own.
func serveLine(c net.Conn, name string) error {
	const block, blocks = 4096, 256
	log, err := os.Create(name)
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err = log.Write(make([]byte, blocks*block)); err == nil { // blocks that exist need no journal when they are written again
		err = log.Sync()
	}
	in := bufio.NewReaderSize(c, 1<<20)
	var body []byte
	for at := int64(0); err == nil; at++ {
		req, bad := http.ReadRequest(in)
		if bad != nil {
			return bad
		}
		if int64(cap(body)) < req.ContentLength {
			body = make([]byte, req.ContentLength)
		}
		body = body[:req.ContentLength]
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		if _, err := log.WriteAt(sum[:], at%blocks*block); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(log.Fd())); err != nil {
			return err
		}
		_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	return err
}
