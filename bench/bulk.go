package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// benchBulk moves a hundred million values out and in: UNLOAD in its formats and with a thousand partitions, weir export and
// weir import, each with a server that was just started, for its peak of memory.
func benchBulk(ctx context.Context, b *bench) error {
	w := cpuWorkload(b.scaled(1160), 8640)
	w.classes = nil
	e := newWeir(b.settings, device)
	os.Setenv("WEIR_LIMITS", "roomy") // more partitions than AWS's 100
	defer os.Unsetenv("WEIR_LIMITS")
	return inFolder(func(dir string) error {
		data, out := filepath.Join(dir, "data"), filepath.Join(dir, "export")
		if err := e.start(ctx, data); err != nil {
			return err
		}
		defer func() { e.stop() }() // whichever runs at the end
		took, err := e.load(ctx, w)
		if err != nil {
			return err
		}
		b.bulkFigures(e, w, "WriteRecords", took, 0)
		if err := os.MkdirAll(filepath.Join(data, "objects", "bulk"), 0o755); err != nil {
			return err
		}
		for _, form := range []struct{ name, columns, with string }{
			{"UNLOAD, Parquet, gzip", "*", "format = 'PARQUET'"},
			{"UNLOAD, CSV, gzip", "*", "format = 'CSV'"},
			{fmt.Sprintf("UNLOAD, CSV, %d partitions", len(w.series)), "time, usage_user, usage_system, usage_idle, usage_nice, usage_iowait, usage_irq, usage_softirq, usage_steal, usage_guest, usage_guest_nice, hostname",
				"format = 'CSV', compression = 'NONE', partitioned_by = ARRAY['hostname']"},
		} {
			if err := e.again(ctx, data); err != nil {
				return err
			}
			began := time.Now()
			a, err := e.query(ctx, fmt.Sprintf("UNLOAD (SELECT %s FROM bench.cpu) TO 's3://bulk/x' WITH (%s)", form.columns, form.with))
			if err == nil && a.first() != fmt.Sprint(w.rows()) {
				err = fmt.Errorf("%s wrote %s rows, want %d", form.name, a.first(), w.rows())
			}
			if err != nil {
				return err
			}
			b.bulkFigures(e, w, form.name, time.Since(began), 0)
			if err := os.RemoveAll(filepath.Join(data, "objects", "bulk", "x")); err != nil {
				return err
			}
		}
		for _, step := range []struct {
			name string
			args []string
		}{
			{"weir export, Parquet", []string{"export", "--table", "bench.cpu", out}},
			{"weir import of it", []string{"import", "--table", "bench.copy", "--create", "--connections", fmt.Sprint(b.conns), out}},
		} {
			if err := e.again(ctx, data); err != nil {
				return err
			}
			cmd := exec.CommandContext(ctx, e.bin, step.args...)
			cmd.Env = append(os.Environ(), "WEIR_ENDPOINT="+e.url, "AWS_ACCESS_KEY_ID="+rootKey, "AWS_SECRET_ACCESS_KEY="+rootSecret)
			began := time.Now()
			peak, err := runMeasured(cmd)
			if err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
			b.bulkFigures(e, w, step.name, time.Since(began), peak)
		}
		a, err := e.query(ctx, "SELECT count(*) FROM bench.copy")
		if err == nil && a.first() != fmt.Sprint(w.rows()) {
			err = fmt.Errorf("the import has %s rows, want %d", a.first(), w.rows())
		}
		return err
	})
}

// again restarts the server.
func (s *weir) again(ctx context.Context, dir string) error {
	if err := s.stop(); err != nil {
		return err
	}
	return s.start(ctx, dir)
}

// runMeasured runs a command and returns its peak of memory. That of the kernel's resource usage would be no less than this
// process's own, which the child begins as.
func runMeasured(cmd *exec.Cmd) (peak int64, err error) {
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	p := &process{cmd}
	for tick := time.Tick(50 * time.Millisecond); ; {
		select {
		case err := <-done:
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, text.String())
			}
			return peak, err
		case <-tick:
			peak = max(peak, p.memory("VmHWM"))
		}
	}
}

// bulkFigures adds the rates and peaks of a step; client is the peak of the command that drove it, if there was one.
func (b *bench) bulkFigures(e *weir, w *workload, step string, took time.Duration, client int64) {
	add := func(measure, unit string, value float64) {
		b.report.add(result{Part: "bulk", Engine: step, Measure: measure, Unit: unit, Rows: w.rows()}, value)
	}
	add("rate", "M values/s", float64(w.values())/took.Seconds()/1e6)
	add("rate per CPU second of the server", "M values", float64(w.values())/e.proc.cpu().Seconds()/1e6)
	add("peak memory of the server", "MiB", mib(e.proc.memory("VmHWM")))
	if client > 0 {
		add("peak memory of the command", "MiB", mib(client))
	}
}
