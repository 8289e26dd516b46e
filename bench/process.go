package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a child that is measured.
type process struct{ cmd *exec.Cmd }

// stop ends the process in order; it may be called again, and on nil.
func (p *process) stop() error {
	if p == nil || p.cmd.ProcessState != nil {
		return nil
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	done := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer done.Stop()
	err := p.cmd.Wait()
	if _, ok := err.(*exec.ExitError); ok && p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		return nil // some peers do not catch it
	}
	return err
}

// memory returns a line of /proc/PID/status, in bytes.
func (p *process) memory(line string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), line+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[0], 10, 64)
	return kb << 10
}

// cpu returns the processor time that the process used.
func (p *process) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// threads returns the processor time of the threads that the process has, to the nanosecond: what
// cpu rounds away is most of a query.
func (p *process) threads() time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	var total time.Duration
	for _, name := range files {
		b, _ := os.ReadFile(name)
		if fields := strings.Fields(string(b)); len(fields) > 0 {
			ns, _ := strconv.ParseInt(fields[0], 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// waitIdle waits until the process has used next to nothing of its processors for a second, so that what an
// engine does in the background after a restart is not measured with the questions; at most a minute.
func (p *process) waitIdle(ctx context.Context) error {
	for range 60 {
		before := p.threads()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if p.threads()-before < 20*time.Millisecond {
			return nil
		}
	}
	return nil
}

// diskUsage returns the bytes allocated below dir, preallocated log included.
func diskUsage(dir string) int64 {
	var total int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if info, err := d.Info(); err == nil {
				total += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		return nil
	})
	return total
}

// waitStill waits until the size of dir has stood for a time, at most a minute in all.
func waitStill(ctx context.Context, dir string, quiet time.Duration) error {
	began := time.Now()
	before, since := diskUsage(dir), began
	for time.Since(since) < quiet && time.Since(began) < time.Minute {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
		if now := diskUsage(dir); now != before {
			before, since = now, time.Now()
		}
	}
	return nil
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// do sends a request and reads the answer to its last byte.
func do(c *http.Client, req *http.Request) ([]byte, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer []byte
	if resp.ContentLength >= 0 { // io.ReadAll would copy a megabyte several times, for as long as the server took to make it
		answer = make([]byte, resp.ContentLength)
		_, err = io.ReadFull(resp.Body, answer)
	} else {
		answer, err = io.ReadAll(resp.Body)
	}
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.500s", resp.Status, answer)
	}
	return answer, err
}

func post(ctx context.Context, url string, body []byte) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
}

// waitReady asks url until it answers.
func waitReady(ctx context.Context, c *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return err
		}
		if _, err = do(c, req); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// chunkBytes is how much is rendered and signed ahead of sending it.
const chunkBytes = 128 << 20

// sendAll posts all batches over conns connections and returns the time that sending
// took. Requests are made (and signed) beforehand, a chunk at a time, while the clock stands.
func sendAll(c *http.Client, list iter.Seq[batch], conns int, request func(body []byte) (*http.Request, error)) (time.Duration, error) {
	var took time.Duration
	var reqs []*http.Request
	size := 0
	flush := func() error {
		began := time.Now()
		err := sendChunk(c, reqs, conns)
		took += time.Since(began)
		reqs, size = nil, 0
		return err
	}
	for b := range list {
		req, err := request(b.body)
		if err != nil {
			return 0, err
		}
		reqs = append(reqs, req)
		if size += len(b.body); size >= chunkBytes {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	err := flush()
	return took, err
}

func sendChunk(c *http.Client, reqs []*http.Request, conns int) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, conns)
	for range conns {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(reqs) {
					return
				}
				if _, err := do(c, reqs[i]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}
