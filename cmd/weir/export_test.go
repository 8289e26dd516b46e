package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-db/weir/weirtest"
)

func TestExportAndImportMakeTheSameTableElsewhere(t *testing.T) {
	t.Parallel()
	now := weirtest.At(time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC))
	from, to := weirtest.Start(t, now), weirtest.Start(t, now)
	from.CreateTable("db", "t", 7*time.Hour, 30*24*time.Hour)
	for i := range 3 {
		if err := from.WriteRecords("db", "t", weirtest.Record{Time: from.Now().Add(-time.Duration(i) * time.Hour), Measure: "m", Dimensions: map[string]string{"d": "x"}, Values: map[string]any{"v": i}}); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := runExport(t.Context(), []string{"--endpoint", from.URL, "--table", "db.t", "--slice", "1h", dir}); err != nil {
		t.Fatal(err)
	}
	if err := runImport(t.Context(), []string{"--endpoint", to.URL, "--table", "copy.t", "--create", dir}); err != nil {
		t.Fatal(err)
	}
	if rows := to.Query(`SELECT d, time, v FROM copy.t ORDER BY time`); len(rows) != 3 || rows[2][1] != "2031-02-03 12:00:00.000000000" {
		t.Errorf("got %q", rows)
	}
	var table struct {
		Table struct {
			RetentionProperties struct{ MemoryStoreRetentionPeriodInHours, MagneticStoreRetentionPeriodInDays int }
		}
	}
	if err := to.Call("DescribeTable", map[string]string{"DatabaseName": "copy", "TableName": "t"}, &table); err != nil {
		t.Fatal(err)
	}
	if p := table.Table.RetentionProperties; p.MemoryStoreRetentionPeriodInHours != 7 || p.MagneticStoreRetentionPeriodInDays != 30 {
		t.Errorf("retention %+v", p)
	}
}

func TestExportRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"x"}, {"--table", "t", "x"}, {"--table", "db.t"}, {"--table", "db.t", "--query", "SELECT 1", "x"}, {"--table", "db.t", "--from", "soon", "x"},
		{"--table", "db.t", "--slice", "1 day", "x"}, {"--table", "db.t", "x", "y"},
	} {
		if _, ok := runExport(t.Context(), args).(*usageError); !ok {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestImportCopiesADatabaseOfAnotherEndpoint(t *testing.T) {
	t.Parallel()
	now := weirtest.At(time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC))
	from, to := weirtest.Start(t, now), weirtest.Start(t, now)
	for _, name := range []string{"a", "b"} {
		from.CreateTable("db", name, 7*time.Hour, 30*24*time.Hour)
		if err := from.WriteRecords("db", name, weirtest.Record{Time: from.Now(), Measure: "m", Dimensions: map[string]string{"d": name}, Values: map[string]any{"v": 1.5}}); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(t.TempDir(), "state")
	args := []string{"--endpoint", to.URL, "--from-endpoint", from.URL, "--state", state, "--create", "--table", "db.*"}
	if err := runImport(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if rows := to.Query(`SELECT d, time, v FROM db.` + name); len(rows) != 1 || rows[0][0] != name {
			t.Errorf("%s: got %q", name, rows)
		}
	}
	if err := runImport(t.Context(), []string{"--endpoint", to.URL, "--from-endpoint", from.URL, "--from-table", "db.a", "--state", state, "--create", "--table", "other.c"}); err != nil {
		t.Fatal(err)
	}
	if rows := to.Query(`SELECT d FROM other.c`); len(rows) != 1 {
		t.Errorf("got %q", rows)
	}
}
