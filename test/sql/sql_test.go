// Package sql_test runs the scripts of this folder: on the SQL engine alone over each
// backend, and over the AWS API of a whole server. The answers must not move with the way,
// the size of batches, the optimizer or what storage takes on.
package sql_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// variant is one way to run the scripts.
type variant struct {
	name     string
	l        sqltest.Local
	embedded bool
	segments bool // rows leave memory at once, for files
}

func variants() []variant {
	off := map[string]bool{plan.ShareCTEs: true}
	for _, r := range plan.Rules {
		off[r.Name] = true
	}
	out := []variant{
		{"naive", sqltest.Local{}, false, false},
		{"pushing", sqltest.Local{Push: true}, false, false},
		{"two-row batches", sqltest.Local{Push: true, Exec: exec.Options{BatchRows: 2}}, false, false},
		{"no pushdown", sqltest.Local{Push: true, Exec: exec.Options{NoPushdown: true}}, false, false},
		{"no rules", sqltest.Local{Push: true, Off: off}, false, false},
		{"embedded", sqltest.Local{}, true, false},
		{"embedded, two-row batches", sqltest.Local{Exec: exec.Options{BatchRows: 2}}, true, false},
		{"embedded, in segments", sqltest.Local{}, true, true},
	}
	for name := range off {
		out = append(out, variant{"without " + name, sqltest.Local{Push: true, Off: map[string]bool{name: true}}, false, false})
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
