package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/importer"
	"github.com/weir-db/weir/weirtest"
)

func TestImportCreatesTheTableAndWritesTheRows(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.At(time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)))
	name := filepath.Join(t.TempDir(), "r.csv")
	if err := os.WriteFile(name, []byte("time,device,v\n1999-01-01 00:00:00.000000001,d1,1\n2031-02-03T13:00:00+02:00,d1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--endpoint", s.URL, "--table", "db.t"}
	if err := runImport(t.Context(), append(args, name)); err == nil || !strings.Contains(err.Error(), "--create makes it") {
		t.Errorf("a table that is missing: got %v", err)
	}
	if err := runImport(t.Context(), append(args, "--create", name)); err != nil {
		t.Fatal(err)
	}
	rows := s.Query(`SELECT time, device, v FROM db.t ORDER BY time`)
	if len(rows) != 2 || rows[0][0] != "1999-01-01 00:00:00.000000001" || rows[1][0] != "2031-02-03 11:00:00.000000000" {
		t.Errorf("got %q", rows)
	}
}

func TestImportRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"x.csv"}, {"--table", "t", "x.csv"}, {"--table", "db.t"}, {"--table", "db.t", "--types", "a=b", "x.csv"},
		{"--table", "db.t", "--constant", "a", "x.csv"}, {"--table", "db.t", "--connections", "0", "x.csv"},
	} {
		if _, ok := runImport(t.Context(), args).(*usageError); !ok {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestImportShowsABarOnTerminalsAndLinesElsewhere(t *testing.T) {
	t.Parallel()
	p := importer.Progress{Bytes: 50, AllBytes: 100, Rows: 12345, Rejected: 1, Took: 15 * time.Second}
	check := func(bar bool, want string) {
		t.Helper()
		var b strings.Builder
		m := &importMeter{out: &b, bar: bar}
		m.progress(p)
		m.progress(importer.Progress{Took: 16 * time.Second})
		m.clear()
		if !strings.HasPrefix(b.String(), want) || !bar && strings.Count(b.String(), "\n") != 1 {
			t.Errorf("got %q, want %q", b.String(), want)
		}
	}
	check(true, "\r\x1b[K[###############...............]  50%  12,345 rows  823/s  1 rejected  15s left")
	check(false, " 50%  12,345 rows  823/s  1 rejected  15s left\n")
}
