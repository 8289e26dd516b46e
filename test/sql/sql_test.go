// Package sql_test runs the scripts of this folder: on the SQL engine alone over each
// backend, and over the AWS API of a whole server. The answers must not move with the way,
// the size of batches, the optimizer, what storage takes on or what is put on disk in between.
package sql_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// variant is one way to run the scripts.
type variant struct {
	name     string
	l        sqltest.Local
	embedded bool
	segments bool // rows leave memory at once, for files
	spilling bool // operators put on disk whatever they can
}

func variants() []variant {
	off := map[string]bool{plan.ShareCTEs: true}
	for _, r := range plan.Rules {
		off[r.Name] = true
	}
	spilling := exec.Options{SpillAfterBytes: 1}
	spillingPairs := exec.Options{SpillAfterBytes: 1, BatchRows: 2}
	out := []variant{
		{name: "naive"},
		{name: "pushing", l: sqltest.Local{Push: true}},
		{name: "two-row batches", l: sqltest.Local{Push: true, Exec: exec.Options{BatchRows: 2}}},
		{name: "no pushdown", l: sqltest.Local{Push: true, Exec: exec.Options{NoPushdown: true}}},
		{name: "four workers", l: sqltest.Local{Push: true, Exec: exec.Options{Workers: 4, ParallelRows: 1}}},
		{name: "no rules", l: sqltest.Local{Push: true, Off: off}},
		{name: "embedded", embedded: true},
		{name: "embedded, two-row batches", l: sqltest.Local{Exec: exec.Options{BatchRows: 2}}, embedded: true},
		{name: "embedded, in segments", embedded: true, segments: true},
		{name: "embedded, four workers", l: sqltest.Local{Exec: exec.Options{Workers: 4, ParallelRows: 1}}, embedded: true},
		{name: "spilling", l: sqltest.Local{Push: true, Exec: spilling}, spilling: true},
		{name: "spilling, two-row batches", l: sqltest.Local{Exec: spillingPairs}, spilling: true},
		{name: "spilling, no rules", l: sqltest.Local{Exec: spilling, Off: off}, spilling: true},
	}
	for name := range off {
		out = append(out, variant{name: "without " + name, l: sqltest.Local{Push: true, Off: map[string]bool{name: true}}})
	}
	return out
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("*.test")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for _, file := range files {
				t.Run(file, func(t *testing.T) {
					l := v.l
					l.Clock = clock.Manual(sqltest.Start)
					l.Backend = storagetest.NewNaive(l.Clock)
					if v.spilling {
						space, err := spill.Open(vfs.NewMem(), spill.Options{})
						if err != nil {
							t.Fatal(err)
						}
						defer space.Close()
						defer func() {
							if used := space.UsedBytes(); used != 0 {
								t.Errorf("%d bytes of temporary files are left", used)
							}
						}()
						l.Exec.Spill = space
					}
					if v.embedded {
						o := embedded.Options{Dir: t.TempDir(), Clock: l.Clock}
						if v.segments {
							o.LogLimitBytes = 1
						}
						store, err := embedded.Open(context.Background(), o)
						if err != nil {
							t.Fatal(err)
						}
						defer store.Close()
						l.Backend = store
					}
					sqltest.RunFile(t, file, &l)
				})
			}
		})
	}
}
