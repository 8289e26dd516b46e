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
	"strings"
	"time"
)

// clickHouse is a server of version 18 or later, asked over HTTP for JSON.
type clickHouse struct {
	bin   string
	conns int
	proc  *process
	dir   string
	url   string
	http  *http.Client
}

func newClickHouse(s *settings) (engine, error) {
	bin, err := findBinary(s.clickHouse, "clickhouse-server", "clickhouse")
	if err != nil {
		return nil, missing{"clickhouse", err.Error(), "install the package clickhouse-server or give its path with -clickhouse"}
	}
	return &clickHouse{bin: bin, conns: s.conns, http: newClient()}, nil
}

func (v *clickHouse) child() *process { return v.proc }
func (v *clickHouse) stop() error     { return v.proc.stop() }

func (v *clickHouse) start(ctx context.Context, dir string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	tcp, err := freeAddr()
	if err != nil {
		return err
	}
	port := func(a string) string { return a[strings.LastIndexByte(a, ':')+1:] }
	conf := fmt.Sprintf(`<yandex>
<logger><level>error</level><console>0</console></logger>
<http_port>%s</http_port><tcp_port>%s</tcp_port><listen_host>127.0.0.1</listen_host>
<path>%s/</path><tmp_path>%[3]s/tmp/</tmp_path><users_config>%[3]s/users.xml</users_config>
<mark_cache_size>1073741824</mark_cache_size><default_profile>default</default_profile><default_database>default</default_database>
</yandex>`, port(addr), port(tcp), dir)
	users := `<yandex><profiles><default><max_threads>2</max_threads></default></profiles>
<users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
<quotas><default></default></quotas></yandex>`
	if err := os.WriteFile(filepath.Join(dir, "users.xml"), []byte(users), 0o600); err != nil {
		return err
	}
	path := filepath.Join(dir, "config.xml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	args := []string{"--config-file=" + path}
	if filepath.Base(v.bin) == "clickhouse" {
		args = append([]string{"server"}, args...)
	}
	cmd := exec.Command(v.bin, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	v.proc, v.dir, v.url = &process{cmd}, dir, "http://"+addr
	return waitReady(ctx, v.http, v.url+"/ping")
}

func (v *clickHouse) load(ctx context.Context, w *workload) (time.Duration, error) {
	columns := []string{"time Int64"}
	for _, d := range w.dimensions {
		columns = append(columns, d+" String")
	}
	for _, m := range w.measures {
		columns = append(columns, m+" Float64")
	}
	table := fmt.Sprintf("CREATE TABLE bench.%s (%s) ENGINE = MergeTree ORDER BY (%s, time) SETTINGS old_parts_lifetime = 1, cleanup_delay_period = 1", w.table, strings.Join(columns, ", "), w.dimensions[0])
	for _, q := range []string{"CREATE DATABASE IF NOT EXISTS bench", table} {
		if _, err := v.query(ctx, q); err != nil {
			return 0, err
		}
	}
	insert := v.url + "/?query=" + url.QueryEscape("INSERT INTO bench."+w.table+" FORMAT RowBinary")
	return sendAll(v.http, w.rowBinary(), v.conns, func(body []byte) (*http.Request, error) { return post(ctx, insert, body) })
}

func (v *clickHouse) settle(ctx context.Context, w *workload) error {
	if _, err := v.query(ctx, "OPTIMIZE TABLE bench."+w.table+" FINAL"); err != nil {
		return err
	}
	return waitStill(ctx, v.dir, 4*time.Second) // merged parts go a little later
}

func (v *clickHouse) query(ctx context.Context, q string) ([]byte, error) {
	req, err := post(ctx, v.url+"/", []byte(q))
	if err != nil {
		return nil, err
	}
	return do(v.http, req)
}

func (v *clickHouse) ask(ctx context.Context, c *class, d *draw) (int, time.Duration, error) {
	q := c.sql(d, clickhouseSQL)
	if strings.HasPrefix(q, "WITH ") {
		return 0, 0, errNotAsked // version 18 has no common table expressions
	}
	began := time.Now()
	raw, err := v.query(ctx, q+" FORMAT JSONCompact")
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, q)
	}
	return bytes.Count(raw, []byte("\n\t\t[")), time.Since(began), err
}
