// Package sql_test runs the scripts of this folder on the SQL engine alone. The
// answers must not move with the size of batches, the optimizer or what storage takes on.
package sql_test

import (
	"path/filepath"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/test/sql/sqltest"
)

func TestScripts(t *testing.T) {
	off := map[string]bool{}
	for _, r := range plan.Rules {
		off[r.Name] = true
	}
	variants := []struct {
		name string
		l    sqltest.Local
	}{
		{"naive", sqltest.Local{}},
		{"pushing", sqltest.Local{Push: true}},
		{"two-row batches", sqltest.Local{Push: true, Exec: exec.Options{BatchRows: 2}}},
		{"no pushdown", sqltest.Local{Push: true, Exec: exec.Options{NoPushdown: true}}},
		{"no rules", sqltest.Local{Push: true, Off: off}},
	}
	for _, r := range plan.Rules {
		variants = append(variants, struct {
			name string
			l    sqltest.Local
		}{"without " + r.Name, sqltest.Local{Push: true, Off: map[string]bool{r.Name: true}}})
	}
	files, err := filepath.Glob("*.test")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for _, file := range files {
				t.Run(file, func(t *testing.T) {
					l := v.l
					l.Clock = clock.Manual(sqltest.Start)
					l.Backend = storagetest.NewNaive(l.Clock)
					sqltest.RunFile(t, file, &l)
				})
			}
		})
	}
}
