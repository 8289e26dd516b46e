package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

//go:embed inprocess.py
var inProcessDriver string

// inProcess is an engine that lives in a Python process: DuckDB or chDB. It loads a CSV
// file, and its times are taken in that process, so they leave out what a server adds:
// the wire, JSON, signatures.
type inProcess struct {
	name   string
	python string
	sql    *dialect
	proc   *process
	dir    string
	in     io.WriteCloser
	out    *bufio.Reader
}

func newInProcess(s *settings, name string, sql *dialect) (engine, error) {
	modules := name
	if name == "duckdb" {
		modules += ", pyarrow" // for the transfer of results
	}
	if out, err := exec.Command(s.python, "-c", "import "+modules).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return nil, missing{name, fmt.Sprintf("%s cannot import it (%s)", s.python, strings.TrimSpace(lines[len(lines)-1]+" "+err.Error())), "pip install " + strings.ReplaceAll(modules, ",", "") + ", and give the interpreter with -python if it is another one"}
	}
	return &inProcess{name: name, python: s.python, sql: sql}, nil
}

func (v *inProcess) child() *process { return v.proc }

func (v *inProcess) stop() error {
	if v.in != nil {
		v.in.Close() // the driver ends with its input
		v.in = nil
		return v.proc.cmd.Wait()
	}
	return nil
}

func (v *inProcess) start(ctx context.Context, dir string) error {
	cmd := exec.Command(v.python, "-c", inProcessDriver, v.name, dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	v.proc, v.dir, v.in, v.out = &process{cmd}, dir, in, bufio.NewReader(out)
	_, err = v.call("SELECT 1", "query")
	return err
}

// reply is what the driver answers.
type reply struct {
	Rows    int
	Seconds float64
	Error   string
}

func (v *inProcess) call(sql, op string) (reply, error) {
	line, _ := json.Marshal(map[string]string{"op": op, "sql": sql})
	if _, err := v.in.Write(append(line, '\n')); err != nil {
		return reply{}, err
	}
	raw, err := v.out.ReadBytes('\n')
	if err != nil {
		return reply{}, fmt.Errorf("%s: the driver ended: %w", v.name, err)
	}
	var r reply
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("%s: %w: %s", v.name, err, raw)
	}
	if r.Error != "" {
		return r, errors.New(v.name + ": " + r.Error + "\n" + sql)
	}
	return r, nil
}

func (v *inProcess) load(ctx context.Context, w *workload) (time.Duration, error) {
	f, err := os.CreateTemp("", "weir-bench-*.csv")
	if err != nil {
		return 0, err
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := w.csv(f.Name()); err != nil {
		return 0, err
	}
	create, load := v.statements(w, f.Name())
	for _, q := range create {
		if _, err := v.call(q, "query"); err != nil {
			return 0, err
		}
	}
	r, err := v.call(load, "query")
	return time.Duration(r.Seconds * float64(time.Second)), err
}

func (v *inProcess) statements(w *workload, csv string) (create []string, load string) {
	text, double, stamp := "VARCHAR", "DOUBLE", "TIMESTAMP"
	if v.name == "chdb" {
		text, double, stamp = "LowCardinality(String)", "Float64", "DateTime64(3, 'UTC')"
	}
	columns := []string{"time " + stamp}
	for _, d := range w.dimensions {
		columns = append(columns, d+" "+text)
	}
	for i, m := range w.measures {
		if w.kind(i) == "BIGINT" {
			columns = append(columns, m+" BIGINT")
			continue
		}
		columns = append(columns, m+" "+double)
	}
	list := strings.Join(columns, ", ")
	if v.name == "chdb" {
		return []string{"CREATE DATABASE IF NOT EXISTS bench", fmt.Sprintf("CREATE TABLE bench.%s (%s) ENGINE = MergeTree ORDER BY (%s, time) SETTINGS old_parts_lifetime = 1, cleanup_delay_period = 1", w.table, list, w.dimensions[0])},
			fmt.Sprintf("INSERT INTO bench.%s SELECT * FROM file('%s', CSV, '%s')", w.table, csv, strings.ReplaceAll(list, "'", "\\'"))
	}
	return []string{"SET threads = 2", fmt.Sprintf("CREATE TABLE %s (%s)", w.table, list)}, fmt.Sprintf("COPY %s FROM '%s' (HEADER false)", w.table, csv)
}

func (v *inProcess) settle(ctx context.Context, w *workload) error {
	q := "CHECKPOINT"
	if v.name == "chdb" {
		q = "OPTIMIZE TABLE bench." + w.table + " FINAL"
	}
	if _, err := v.call(q, "query"); err != nil {
		return err
	}
	return waitStill(ctx, v.dir, 4*time.Second)
}

func (v *inProcess) ask(_ context.Context, c *class, d *draw) (int, time.Duration, error) {
	op := "query"
	if c.inside {
		op = "drain"
	}
	r, err := v.call(c.sql(d, v.sql), op)
	return r.Rows, time.Duration(r.Seconds * float64(time.Second)), err
}

// appendTime appends ms since 1970 as YYYY-MM-DD HH:MM:SS.mmm.
func appendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02 15:04:05.000")
}
