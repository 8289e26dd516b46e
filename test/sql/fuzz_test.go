package sql_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/test/sql/sqltest"
)

// FuzzQuery plans and runs whatever parses: no text may crash the engine or fail as
// if that were the engine's fault.
func FuzzQuery(f *testing.F) {
	files, _ := filepath.Glob("*.test")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "\n\n") {
			head, rest, _ := strings.Cut(block, "\n")
			if strings.HasPrefix(head, "query") || head == "error" {
				sql, _, _ := strings.Cut(rest, "\n----")
				f.Add(sql)
			}
		}
	}
	for _, sql := range []string{
		"SELECT a, i FROM d.r WHERE f > 0 OR b IN ('x', a) ORDER BY time DESC LIMIT 3",
		"SELECT a, sum(i) OVER (PARTITION BY b ORDER BY time ROWS 2 PRECEDING) FROM d.r",
		"SELECT (SELECT max(y.i) FROM d.r y WHERE y.a = x.a) FROM d.r x WHERE EXISTS (SELECT 1 FROM d.r z WHERE z.b = x.b)",
		"SELECT bin(time, 1h), a, avg(f), stddev(i), count(DISTINCT s) FROM d.r GROUP BY CUBE (1, a) HAVING count(*) > 1",
		"SELECT x FROM d.r CROSS JOIN UNNEST(ARRAY[i, 2], filter(ARRAY[f], e -> e > i)) WITH ORDINALITY AS u (x, y, n)",
	} {
		f.Add(sql)
	}
	for s := range uint64(60) {
		f.Add((&generator{rng: rand.New(rand.NewPCG(s, 11))}).query(3))
	}
	var engine *sqltest.Local
	f.Fuzz(func(t *testing.T, sql string) {
		if engine == nil {
			engine = randomEngine(t, sqltest.Local{Push: true, Exec: exec.Options{MemoryLimitBytes: 32 << 20, BatchRows: 16}}, false)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := engine.Query(ctx, sql)
		if err != nil && fault.KindOf(err) == fault.Internal && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s\nfails as if by our fault: %v", sql, err)
		}
	})
}
