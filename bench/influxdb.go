package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// influxDB is version 1: line protocol and InfluxQL.
type influxDB struct {
	bin   string
	conns int
	proc  *process
	dir   string
	url   string
	http  *http.Client
}

func newInfluxDB(s *settings) (engine, error) {
	bin, err := findBinary(s.influxDB, "influxd")
	if err != nil {
		return nil, missing{"influxdb", err.Error(), "install the package influxdb (1.x) or give its path with -influxd"}
	}
	return &influxDB{bin: bin, conns: s.conns, http: newClient()}, nil
}

func (v *influxDB) child() *process { return v.proc }
func (v *influxDB) stop() error     { return v.proc.stop() }

func (v *influxDB) start(ctx context.Context, dir string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	conf := fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "%[1]s/meta"
[data]
dir = "%[1]s/data"
wal-dir = "%[1]s/wal"
query-log-enabled = false
cache-snapshot-write-cold-duration = "2s"
compact-full-write-cold-duration = "3s"
max-series-per-database = 0
[monitor]
store-enabled = false
[http]
bind-address = "%[2]s"
log-enabled = false
max-row-limit = 0
`, dir, addr)
	path := filepath.Join(dir, "influxdb.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(v.bin, "-config", path)
	if err := cmd.Start(); err != nil {
		return err
	}
	v.proc, v.dir, v.url = &process{cmd}, dir, "http://"+addr
	return waitReady(ctx, v.http, v.url+"/ping")
}

func (v *influxDB) load(ctx context.Context, w *workload) (time.Duration, error) {
	if _, err := v.query(ctx, "CREATE DATABASE bench"); err != nil {
		return 0, err
	}
	return sendAll(v.http, w.lineProtocol(), v.conns, func(body []byte) (*http.Request, error) {
		return post(ctx, v.url+"/write?db=bench&precision=ms", body)
	})
}

// settle waits until compaction has nothing left to do.
func (v *influxDB) settle(ctx context.Context, _ *workload) error {
	return waitStill(ctx, v.dir, 6*time.Second)
}

func (v *influxDB) query(ctx context.Context, q string) ([]byte, error) {
	req, err := post(ctx, v.url+"/query?"+url.Values{"db": {"bench"}, "q": {q}, "epoch": {"ms"}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	raw, err := do(v.http, req)
	if err == nil && bytes.Contains(raw, []byte(`"error":`)) {
		err = fmt.Errorf("%.300s\n%s", raw, q)
	}
	return raw, err
}

func (v *influxDB) ask(ctx context.Context, c *class, d *draw) (int, time.Duration, error) {
	if c.flux == nil {
		return 0, 0, errNotAsked
	}
	began := time.Now()
	raw, err := v.query(ctx, c.flux(d))
	return bytes.Count(raw, []byte("],[")) + bytes.Count(raw, []byte(`"values":`)), time.Since(began), err
}
