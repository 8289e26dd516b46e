package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"time"
)

// victoriaMetrics takes line protocol and answers MetricsQL. It does not sync a request
// to disk before it answers.
type victoriaMetrics struct {
	bin   string
	conns int
	proc  *process
	dir   string
	url   string
	http  *http.Client
}

func newVictoriaMetrics(s *settings) (engine, error) {
	bin, err := findBinary(s.victoriaMetrics, "victoria-metrics", "victoria-metrics-prod")
	if err != nil {
		return nil, missing{"victoriametrics", err.Error(), "install the package victoria-metrics or give its path with -victoriametrics"}
	}
	return &victoriaMetrics{bin: bin, conns: s.conns, http: newClient()}, nil
}

// findBinary returns given if it is a program, or the first of names in the PATH.
func findBinary(given string, names ...string) (string, error) {
	if given != "" {
		return exec.LookPath(given)
	}
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s in the PATH", names[0])
}

func (v *victoriaMetrics) child() *process { return v.proc }
func (v *victoriaMetrics) stop() error     { return v.proc.stop() }

func (v *victoriaMetrics) start(ctx context.Context, dir string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	cmd := exec.Command(v.bin, "-storageDataPath", dir, "-httpListenAddr", addr, "-retentionPeriod", "1y", "-search.latencyOffset", "1ms", "-loggerLevel", "ERROR")
	if err := cmd.Start(); err != nil {
		return err
	}
	v.proc, v.dir, v.url = &process{cmd}, dir, "http://"+addr
	return waitReady(ctx, v.http, v.url+"/health")
}

func (v *victoriaMetrics) load(ctx context.Context, w *workload) (time.Duration, error) {
	took, err := sendAll(v.http, w.lineProtocol(), v.conns, func(body []byte) (*http.Request, error) {
		return post(ctx, v.url+"/write?precision=ms", body)
	})
	if err != nil {
		return 0, err
	}
	return took, v.get(ctx, "/internal/force_flush")
}

// settle merges. The call returns at once, and version 1.79 does not end in order while a
// merge runs.
func (v *victoriaMetrics) settle(ctx context.Context, _ *workload) error {
	if err := v.get(ctx, "/internal/force_merge"); err != nil {
		return err
	}
	return waitStill(ctx, v.dir, 4*time.Second)
}

func (v *victoriaMetrics) get(ctx context.Context, path string) error {
	_, err := v.fetch(ctx, path)
	return err
}

func (v *victoriaMetrics) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", v.url+path, nil)
	if err != nil {
		return nil, err
	}
	return do(v.http, req)
}

func (v *victoriaMetrics) ask(ctx context.Context, c *class, d *draw) (int, time.Duration, error) {
	if c.prom == nil {
		return 0, 0, errNotAsked
	}
	q := c.prom(d)
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	// nocache keeps it from rounding the range to the step, which random windows would not get.
	values, path := url.Values{"query": {q.expr}, "nocache": {"1"}}, "/api/v1/query?"
	if q.step > 0 {
		path = "/api/v1/query_range?"
		values.Set("start", seconds(q.start))
		values.Set("end", seconds(q.end))
		values.Set("step", strconv.Itoa(int(q.step.Seconds()))+"s")
	} else {
		values.Set("time", seconds(q.end))
	}
	began := time.Now()
	raw, err := v.fetch(ctx, path+values.Encode())
	if err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", err, q.expr)
	}
	return bytes.Count(raw, []byte(`{"metric":`)), time.Since(began), nil
}
