package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-db/weir/weirtest"
)

func TestBenchWritesAllRowsAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	for _, shape := range []string{"gateway", "device"} {
		// 7 devices x 143 steps: neither is a multiple of the batch.
		o := benchOptions{endpoint: s.URL, region: "us-east-1", shape: shape, rows: 1000, devices: 7, batch: 30, conns: 3, asks: 2, keep: true}
		var out strings.Builder
		if err := o.run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		got := s.Query(`SELECT count(*), count(DISTINCT device), count(DISTINCT time), count(battery) FROM weir_bench.climate`)[0]
		if want := []string{"1001", "7", "143", "1001"}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: rows, devices, times and batteries are %q, want %q", shape, got, want)
		}
		if text := out.String(); !regexp.MustCompile(`writing 1,001 rows of 3 values: 7 devices(?s:.*) rows/s(?s:.*)What does each device say now\? +7 `).MatchString(text) {
			t.Errorf("got %s", text)
		}
		if err := o.run(t.Context(), &out); err == nil || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("over a database that is there: got %v", err)
		}
		o.keep = false
		if err := o.drop(t.Context(), writeClient(s.URL, "us-east-1", 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	o := benchOptions{endpoint: s.URL, region: "us-east-1", shape: "device", rows: 10, devices: 1, batch: 100, conns: 1, asks: 1}
	if err := o.run(t.Context(), &strings.Builder{}); err != nil {
		t.Fatal(err)
	}
	if rows := s.Query(`SHOW DATABASES`); len(rows) != 0 {
		t.Errorf("left behind: %q", rows)
	}
}

func TestBenchRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"x"}, {"--shape", "both"}, {"--batch", "101"}, {"--batch", "0"}, {"--connections", "0"}, {"--devices", "0"}, {"--rounds", "0"},
		{"--rows", strconv.Itoa(1 << 60)}, {"--rows", "4000000", "--devices", "1"},
	} {
		if err, ok := runBench(t.Context(), args).(*usageError); !ok {
			t.Errorf("%q is taken: %v", args, err)
		}
	}
}
