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
// reads each body of the gateway shape, hashes it as a signature needs it, makes one block of a file durable and
// answers. It understands nothing and keeps nothing, so no server of this protocol can take more with this client on
// the same processors. It is not asked.
type limit struct {
	conns int
	proc  *process
	url   string
	http  *http.Client
}

const limitFolder = "WEIR_BENCH_LIMIT" // in the environment of the child: its folder

func newLimit(s *settings) (engine, error) { return &limit{conns: s.conns, http: newClient()}, nil }

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
	return sendAll(v.http, w.writeRecords(gateway), v.conns, func(body []byte) (*http.Request, error) { return post(ctx, v.url, body) })
}

func (v *limit) settle(context.Context, *workload) error { return nil }

func (v *limit) ask(context.Context, *class, *draw) (int, time.Duration, error) {
	return 0, 0, errNotAsked
}

// serveLimit is the child's main: it says its address in a line and serves until it is told to end.
func serveLimit(dir string) error {
	const block = 4096
	type place struct {
		body []byte
		log  *os.File
		at   int64
	}
	places := make(chan *place, 64)
	for i := range cap(places) {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err == nil { // blocks that exist need no journal when they are written again
			_, err = f.Write(make([]byte, 256*block))
		}
		if err = errors.Join(err, f.Sync()); err != nil {
			return err
		}
		places <- &place{log: f}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		p := <-places
		defer func() { places <- p }()
		if int64(cap(p.body)) < req.ContentLength {
			p.body = make([]byte, req.ContentLength)
		}
		p.body = p.body[:req.ContentLength]
		if _, err := io.ReadFull(req.Body, p.body); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		sum := sha256.Sum256(p.body)
		_, err := p.log.WriteAt(sum[:], p.at%256*block)
		p.at++
		if err = errors.Join(err, syscall.Fdatasync(int(p.log.Fd()))); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		}
	}))
}
