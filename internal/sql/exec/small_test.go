package exec_test

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/storage"
)

// prompt is a backend whose tables take scans to be small if they read at most so many values.
type prompt struct {
	storage.Backend
	effort int64
}

func (p prompt) Table(id storage.TableID) (storage.Table, error) {
	t, err := p.Backend.Table(id)
	return promptTable{t, p.effort}, err
}

type promptTable struct {
	storage.Table
	effort int64
}

func (t promptTable) ScanPrompt(ctx context.Context, spec storage.ScanSpec, effort int64) (storage.Scanner, error) {
	if t.effort > effort {
		return nil, nil
	}
	return t.Scan(ctx, spec)
}

func TestNextIfSmallReadsOnlySmallQueriesAndElseNothing(t *testing.T) {
	t.Parallel()
	check := func(sql string, effort int64, rows int, small bool) {
		t.Helper()
		l := engine(t, 3, 4)
		if effort > 0 {
			l.Backend = prompt{l.Backend, effort}
		}
		c := open(t, l, sql, exec.Options{})
		b, err := c.NextIfSmall(t.Context())
		if small != (err == nil) || err != nil && !errors.Is(err, exec.ErrLarge) {
			t.Errorf("%s with %d values: %v, want small: %t", sql, effort, err, small)
		}
		n, err := drain(t.Context(), c)
		if b != nil {
			n += b.Len
		}
		if n != rows || err != nil {
			t.Errorf("%s: %d rows, %v; want %d", sql, n, err, rows)
		}
	}
	check("SELECT 1", 0, 1, true)
	check("SELECT * FROM d.t", 0, 12, false) // the backend cannot tell
	for _, sql := range []string{
		"SELECT * FROM d.t",
		"SELECT i FROM d.t WHERE i % 1 = 0 ORDER BY f LIMIT 12",
		"SELECT DISTINCT i FROM d.t",
		"SELECT i, count(*) FROM d.t GROUP BY i ORDER BY 1",
	} {
		check(sql, 100, 12, true)
		check(sql, 10_000_000, 12, false)
	}
	check("SELECT * FROM d.t a JOIN d.t b ON a.i = b.i", 1, 12, false)
	check("SELECT * FROM d.t UNION ALL SELECT * FROM d.t", 1, 24, false)
	check("SELECT i, sum(i) OVER (ORDER BY i) FROM d.t", 1, 12, false)
	check("SELECT i FROM d.t WHERE i IN (SELECT i FROM d.t)", 1, 12, false)
	check("SELECT i, x FROM d.t CROSS JOIN UNNEST(ARRAY[1, 2]) AS u (x)", 1, 24, false)
}
