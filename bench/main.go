// Command bench measures weir from outside, over the wire, as docs/benchmarks.md
// reports it: start-up, ingest through WriteRecords with every answer durable, the
// usual IoT questions over HTTP, size on disk, and opening a large store.
//
// It starts the server binary itself, on a fresh folder, with signatures checked. Client and
// server share the machine. Figures vary from run to run on shared machines; compare
// ratios within one run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

type settings struct {
	bin      string
	conns    int
	rounds   int
	scale    int
	workload string
	keep     string
	profile  string
}

func main() {
	var s settings
	flag.StringVar(&s.bin, "bin", "../weir", "server `binary`")
	flag.IntVar(&s.conns, "conns", 2, "connections that write")
	flag.IntVar(&s.rounds, "rounds", 60, "draws per query class, after 5 to warm up")
	flag.IntVar(&s.scale, "scale", 1, "hours or devices divided by this, for a quick look")
	flag.StringVar(&s.workload, "workload", "start,cpu-gateway,cpu-device,iot", "what to run, of start, cpu-gateway, cpu-device, iot")
	flag.StringVar(&s.keep, "keep", "", "data `folder` to use and keep (default: a temporary one)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	known := []string{"start", "cpu-gateway", "cpu-device", "iot"}
	for _, w := range strings.Split(s.workload, ",") {
		if !slices.Contains(known, w) {
			return fmt.Errorf("unknown workload %q; there are %s", w, strings.Join(known, ", "))
		}
		var err error
		switch w {
		case "start":
			err = benchStart(ctx, s)
		case "cpu-gateway":
			err = benchIngest(ctx, s, w, cpuWorkload(s.scale), gateway)
		case "cpu-device":
			err = benchIngest(ctx, s, w, cpuWorkload(s.scale), device)
		case "iot":
			err = benchIngest(ctx, s, w, iotWorkload(s.scale), gateway)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

// benchStart measures the time from exec to the first answer of SELECT 1 on an empty
// store, and what the process holds then.
func benchStart(ctx context.Context, s settings) error {
	var took []time.Duration
	var rss int64
	for range 9 {
		dir, err := os.MkdirTemp("", "weir-bench")
		if err != nil {
			return err
		}
		began := time.Now()
		srv, err := startServer(s.bin, dir)
		if err != nil {
			return err
		}
		if _, err := srv.query(ctx, "SELECT 1"); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		rss = max(rss, srv.memory("VmHWM"))
		if err := srv.stop(); err != nil {
			return err
		}
		os.RemoveAll(dir)
	}
	fmt.Printf("start: first SELECT 1 after %v median (%v max), resident peak %.1f MiB\n", median(took), slices.Max(took), mib(rss))
	return nil
}

// benchIngest writes a workload, asks the queries that belong to it, and opens the store again.
func benchIngest(ctx context.Context, s settings, name string, w workload, shape shape) error {
	dir := s.keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "weir-bench"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	srv, err := startServer(s.bin, dir)
	if err != nil {
		return err
	}
	defer func() { srv.stop() }() // whichever runs at the end
	if err := srv.createTable(ctx, w.table); err != nil {
		return err
	}
	bodies := w.render(shape)
	cpu := srv.cpu()
	began := time.Now()
	if err := srv.writeAll(ctx, bodies, s.conns); err != nil {
		return err
	}
	took := time.Since(began)
	used := srv.cpu() - cpu
	rows, values := float64(w.rows()), float64(w.rows()*len(w.measures))
	fmt.Printf("%s: %.0f rows in %v: %.0f rows/s, %.2f M values/s, %.2f M values per server CPU second, peak %.0f MiB\n",
		name, rows, took.Round(time.Millisecond), rows/took.Seconds(), values/took.Seconds()/1e6, values/used.Seconds()/1e6, mib(srv.memory("VmHWM")))
	if err := askAll(ctx, srv, w, s.rounds); err != nil {
		return err
	}
	if err := srv.stop(); err != nil {
		return err
	}
	size := diskUsage(dir)
	began = time.Now()
	if srv, err = startServer(s.bin, dir); err != nil {
		return err
	}
	answer, err := srv.query(ctx, "SELECT count(*) FROM bench."+w.table)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.3f bytes per value on disk; reopened and counted %s rows in %v\n", name, float64(size)/values, answer.first(), time.Since(began).Round(time.Millisecond))
	if answer.first() != fmt.Sprint(w.rows()) {
		return fmt.Errorf("counted %s rows, wrote %d", answer.first(), w.rows())
	}
	return askAll(ctx, srv, w, s.rounds)
}

func mib(b int64) float64 { return float64(b) / (1 << 20) }

func median(d []time.Duration) time.Duration { return percentile(d, 0.5) }

func percentile(d []time.Duration, p float64) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[min(len(d)-1, int(p*float64(len(d))))]
}
