package sql_test

import (
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
	"github.com/weir-db/weir/test/sql/sqltest"
)

var (
	seed    = flag.Uint64("seed", 0, "replay one random query")
	first   = flag.Uint64("first", 1, "seed of the first random query to try")
	queries = flag.Int("queries", 200, "how many random queries to try")
	export  = flag.String("export", "", "file to write random queries and their answers into, for test/sql/duckdb")
)

// TestRandomQueriesGiveTheSameEverywhere runs random queries without optimizer and
// pushdown, and then with them, in small batches and on the embedded engine: all must
// give the same rows.
func TestRandomQueriesGiveTheSameEverywhere(t *testing.T) {
	t.Parallel()
	from, to := seeds()
	off := map[string]bool{plan.ShareCTEs: true}
	for _, r := range plan.Rules {
		off[r.Name] = true
	}
	model := randomEngine(t, sqltest.Local{Off: off, Exec: exec.Options{NoPushdown: true}}, false)
	space, err := spill.Open(vfs.NewMem(), spill.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	others := map[string]*sqltest.Local{
		"spilling":          randomEngine(t, sqltest.Local{Exec: exec.Options{Spill: space, SpillAfterBytes: 1, BatchRows: 5}}, false),
		"optimized":         randomEngine(t, sqltest.Local{}, false),
		"pushing":           randomEngine(t, sqltest.Local{Push: true, Exec: exec.Options{BatchRows: 3}}, false),
		"embedded":          randomEngine(t, sqltest.Local{}, true),
		"pushing, no rules": randomEngine(t, sqltest.Local{Push: true, Off: off}, false),
	}
	for s := from; s <= to; s++ {
		g := &generator{rng: rand.New(rand.NewPCG(s, 7))}
		sql := g.query(3)
		want, err := answer(model, sql)
		if err != nil {
			t.Errorf("-seed %d: %s\nfails: %v", s, sql, err)
			continue
		}
		for name, l := range others {
			got, err := answer(l, sql)
			if err != nil {
				t.Errorf("-seed %d, %s: %s\nfails: %v", s, name, sql, err)
			} else if !slices.EqualFunc(got, want, sqltest.SameRow) {
				q, _ := l.Plan(sql)
				t.Errorf("-seed %d, %s: %s\n%s\ngot:\n%s\nwant:\n%s", s, name, sql, plan.Format(q.Root), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// TestExportRandomQueries writes random queries and their answers for another engine to check.
func TestExportRandomQueries(t *testing.T) {
	if *export == "" {
		t.Skip("no -export")
	}
	f, err := os.Create(*export)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, out := randomEngine(t, sqltest.Local{}, false), json.NewEncoder(f)
	data, err := l.Query(context.Background(), "SELECT a, b, measure_name, time, i, f, s, ok FROM d.r")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Encode(map[string]any{"data": data.Rows}); err != nil {
		t.Fatal(err)
	}
	from, to := seeds()
	for s := from; s <= to; s++ {
		sql := (&generator{rng: rand.New(rand.NewPCG(s, 7))}).query(3)
		r, err := l.Query(context.Background(), sql)
		if err != nil {
			t.Fatalf("-seed %d: %s\nfails: %v", s, sql, err)
		}
		if err := out.Encode(map[string]any{"seed": s, "sql": sql, "rows": r.Rows}); err != nil {
			t.Fatal(err)
		}
	}
}

// seeds returns the first and the last seed that the flags ask for.
func seeds() (from, to uint64) {
	if *seed != 0 {
		return *seed, *seed
	}
	return *first, *first + uint64(*queries) - 1
}

func answer(l *sqltest.Local, sql string) ([]string, error) {
	r, err := l.Query(context.Background(), sql)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(r.Rows))
	for i, row := range r.Rows {
		for k, text := range row {
			if text == "-0.0" { // which of two equal values DISTINCT keeps is open
				row[k] = "0.0"
			}
		}
		lines[i] = strings.Join(row, " | ")
	}
	slices.Sort(lines)
	return lines, nil
}

// randomEngine returns l over a store with the same random table d.r.
func randomEngine(t *testing.T, l sqltest.Local, onDisk bool) *sqltest.Local {
	l.Clock = clock.Manual(sqltest.Start)
	l.Backend = storagetest.NewNaive(l.Clock)
	if onDisk {
		store, err := embedded.Open(context.Background(), embedded.Options{FS: vfs.NewMem(), Clock: l.Clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		l.Backend = store
	}
	if err := l.CreateTable(context.Background(), "d", "r"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	maybe := func(list []storagetest.NamedValue, v storagetest.NamedValue) []storagetest.NamedValue {
		if rng.IntN(4) > 0 {
			list = append(list, v)
		}
		return list
	}
	var b storagetest.Batch
	for i := range 70 {
		p := storagetest.Point{Measure: []string{"m", "n"}[rng.IntN(2)], TimeNs: sqltest.Start.Add(-time.Duration(i*17) * time.Minute).UnixNano()}
		if rng.IntN(5) > 0 {
			p.Dims = append(p.Dims, "a", []string{"x", "y", "z"}[rng.IntN(3)])
		}
		if rng.IntN(3) > 0 {
			p.Dims = append(p.Dims, "b", []string{"x", "q"}[rng.IntN(2)])
		}
		v := []storagetest.NamedValue{storagetest.I("i", int64(rng.IntN(9))-3)}
		v = maybe(v, storagetest.F("f", float64(rng.IntN(12))/4-1))
		v = maybe(v, storagetest.S("s", []string{"x", "Zeta", "", "ä"}[rng.IntN(4)]))
		p.Values = maybe(v, storagetest.B("ok", rng.IntN(2) == 0))
		b.Add(p)
	}
	if err := l.Write(context.Background(), "d", "r", &b.Rows); err != nil {
		t.Fatal(err)
	}
	return &l
}
