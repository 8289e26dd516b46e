// Command bench measures weir from outside, over the wire, as docs/benchmarks.md
// reports it: start-up, ingest through WriteRecords with every answer durable, the
// usual questions over HTTP, size on disk, a million series, and opening a large store.
//
// It starts the server binary itself, on fresh folders, with signatures checked. Peers are
// measured in the same run, in turns: loads one after the other within each repeat, queries
// one draw for each engine before the next draw. Client and servers share the machine; figures
// vary from run to run on shared machines, so compare ratios within one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

type settings struct {
	bin     string
	conns   int
	rounds  int
	repeats int
	scale   int
	parts   []string
	classes []string // parts of their names; none: all
	peers   []string
	json    string
	profile string

	victoriaMetrics, influxDB, clickHouse, python string
}

// part is a group of measurements that can be asked for by name.
type part struct {
	name, what string
	run        func(ctx context.Context, b *bench) error
	long       bool // only where it is asked for
}

var parts = []part{
	{"start", "from exec to the first answer, and what the process holds then", benchStart, false},
	{"cpu", "100 hosts × 10 s × 24 h, ten values a row: ingest, size, twelve classes of queries", benchCPU, false},
	{"single", "the same data as one single-measure record per value, a row a request", benchSingle, false},
	{"hosts", "4,000 hosts × 10 s × 1 h: ingest, size", benchHosts, false},
	{"iot", "1,000 devices × 60 s × 24 h, three values a row: ingest, size, seven classes of queries", benchIoT, false},
	{"wide", "a million devices: memory per series, last values", benchWide, false},
	{"wide24", "the same with 24 rows a device", benchWide24, true},
	{"wide10m", "10,000,000 devices with a row each", benchWide10M, true},
	{"operators", "sorting, windows, grouping and joining of ten million rows, inside the server", benchOperators, false},
	{"bulk", "a hundred million values out and in: UNLOAD, weir export, weir import", benchBulk, false},
	{"open", "opening a store of ten million rows, in order and after kill -9", benchOpen, false},
	{"open100", "the same with a hundred million rows", benchOpen100, true},
}

func main() {
	if dir := os.Getenv(limitFolder); dir != "" {
		fmt.Fprintln(os.Stderr, "bench:", serveLimit(dir))
		os.Exit(1)
	}
	var s settings
	var names []string
	for _, p := range parts {
		if !p.long {
			names = append(names, p.name)
		}
	}
	flag.StringVar(&s.bin, "bin", "../weir", "weir `binary`")
	flag.IntVar(&s.conns, "conns", 2, "connections that write")
	flag.IntVar(&s.rounds, "rounds", 60, "draws per query class, after 5 to warm up")
	flag.IntVar(&s.repeats, "repeats", 3, "loads per engine; the median counts")
	flag.IntVar(&s.scale, "scale", 1, "steps and devices divided by this, for a quick look")
	list := flag.String("parts", strings.Join(names, ","), "what to measure; wide24, wide10m and open100 only if they are named")
	classList := flag.String("classes", "", "query classes to ask: those whose names contain one of these texts, separated by commas; empty: all")
	peerList := flag.String("peers", "", "who else to measure, of victoriametrics, influxdb, clickhouse, duckdb, chdb, and limit and limit-device: the least that a durable server can do with bodies of either shape")
	flag.StringVar(&s.json, "json", "", "`file` for the results in JSON")
	flag.StringVar(&s.profile, "profile", "", "`folder` for CPU profiles of weir; builds it with profiling from ../cmd/weir")
	flag.StringVar(&s.victoriaMetrics, "victoriametrics", "", "VictoriaMetrics `binary` (default: victoria-metrics in the PATH)")
	flag.StringVar(&s.influxDB, "influxd", "", "InfluxDB 1.x `binary` (default: influxd in the PATH)")
	flag.StringVar(&s.clickHouse, "clickhouse", "", "ClickHouse `binary` (default: clickhouse-server in the PATH)")
	flag.StringVar(&s.python, "python", "python3", "interpreter `binary` with the modules duckdb and chdb")
	flag.Parse()
	s.parts = strings.Split(*list, ",")
	if *classList != "" {
		s.classes = strings.Split(*classList, ",")
	}
	if *peerList != "" {
		s.peers = strings.Split(*peerList, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s *settings) error {
	for _, name := range s.parts {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("unknown part %q; there are:%s", name, partHelp())
		}
	}
	b := &bench{settings: s, report: newReport(os.Stdout), warm: 5}
	for _, name := range s.peers {
		start, ok := peers[name]
		if !ok {
			return fmt.Errorf("unknown peer %q; there are victoriametrics, influxdb, clickhouse, duckdb, chdb, limit, limit-device", name)
		}
		_, err := start(s)
		var m missing
		switch {
		case errors.As(err, &m):
			fmt.Fprintln(os.Stderr, "bench: measured without", m)
		case err != nil:
			return err
		default:
			b.peers = append(b.peers, name)
		}
	}
	if s.profile != "" {
		if err := b.buildProfiling(ctx); err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.bin); err != nil {
		return fmt.Errorf("no weir binary: %w; make build, or give its path with -bin", err)
	}
	// What was measured before a part fails is worth having.
	var failed error
	for _, p := range parts {
		if !slices.Contains(s.parts, p.name) || failed != nil {
			continue
		}
		if err := p.run(ctx, b); err != nil {
			failed = fmt.Errorf("%s: %w", p.name, err)
		}
	}
	b.report.tables(os.Stdout)
	if s.json != "" {
		failed = errors.Join(failed, b.report.writeJSON(s.json))
	}
	return failed
}

func partHelp() string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "\n  %-8s %s", p.name, p.what)
	}
	return b.String()
}
