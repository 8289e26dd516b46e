package exec_test

import (
	"context"
	"slices"
	"testing"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// askedTable notes which devices the scans of i were told to read.
type askedTable struct {
	*benchTable
	asked *[]string
}

func (t askedTable) Resolve(string, string) (storage.Table, bool, error) { return t, false, nil }
func (t askedTable) Scan(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	for _, p := range spec.Where {
		if p.Op != storage.Match || !slices.Contains(spec.Columns, "i") {
			continue
		}
		*t.asked = nil // the latest scan counts: one whose filters are left to the executor is begun anew
		for _, name := range []string{"device-00000", "device-00001", "device-00002", "device-00003"} {
			if p.Matches(name, false) {
				*t.asked = append(*t.asked, name)
			}
		}
		if p.Matches("", true) {
			*t.asked = append(*t.asked, "null")
		}
	}
	return t.benchTable.Scan(ctx, spec)
}

func TestJoinsTellScansWhichSeriesToRead(t *testing.T) {
	t.Parallel()
	some := []string{"device-00001", "device-00003"}
	for _, x := range []struct {
		sql  string
		want []string
	}{
		{"SELECT count(*), sum(r.i) FROM d.t r JOIN (VALUES ('device-00001', 7), ('device-00003', 8), (NULL, 9)) v (k, n) ON r.k = v.k WHERE r.i > 3", some},
		{"SELECT count(*), sum(r.i) FROM (SELECT k AS x, i FROM d.t) r RIGHT JOIN (VALUES 'device-00001', 'device-00003', 'none') v (k) ON r.x = v.k", some},
		{"SELECT count(*), sum(r.i) FROM d.t r WHERE EXISTS (SELECT 1 FROM (VALUES 'device-00001', 'device-00003') v (k) WHERE r.k = v.k)", some},
		{"SELECT count(*), sum(r.i) FROM d.t r LEFT JOIN (VALUES 'device-00001', 'device-00003') v (k) ON r.k = v.k", nil},
		{"SELECT count(*), sum(r.i) FROM d.t r WHERE NOT EXISTS (SELECT 1 FROM (VALUES 'device-00001', 'device-00003') v (k) WHERE r.k = v.k)", nil},
	} {
		var answers [2][]string
		for i, off := range []bool{false, true} {
			var asked []string
			table := askedTable{newBenchTable(5, 40), &asked}
			stmt, err := syntax.Parse(x.sql)
			if err != nil {
				t.Fatal(err)
			}
			q, err := plan.Build(stmt.(*syntax.Query), plan.Env{Catalog: table, Functions: sqltest.Functions(), Now: sqltest.Start,
				Disabled: map[string]bool{"narrow-scans": off}})
			if err != nil {
				t.Fatal(err)
			}
			c, err := exec.Open(context.Background(), q, exec.Options{Analyze: true})
			if err != nil {
				t.Fatal(err)
			}
			answers[i] = rowTexts(t, c)
			want := x.want
			if off {
				want = nil
			}
			if !slices.Equal(asked, want) {
				t.Errorf("%s: was told to read %v, want %v\n%s", x.sql, asked, want, c.Explain())
			}
			c.Close()
		}
		if !slices.Equal(answers[0], answers[1]) {
			t.Errorf("%s: %v, without the rule %v", x.sql, answers[0], answers[1])
		}
	}
}
