package exec_test

import (
	"slices"
	"testing"

	"github.com/weir-db/weir/internal/sql/exec"
)

// TestWindowsDoNotDependOnBatches compares partitions that are computed where they stand in large batches with those
// that are put together of small ones.
func TestWindowsDoNotDependOnBatches(t *testing.T) {
	t.Parallel()
	table := newBenchTable(24, 1440)
	for _, sql := range []string{
		"SELECT i, row_number() OVER (PARTITION BY i / 7 ORDER BY f), max(f) OVER (PARTITION BY i / 7 ORDER BY f, i DESC) FROM d.t",
		"SELECT k, f, i, sum(i) OVER (PARTITION BY k ORDER BY f, i ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) FROM d.t",
		"SELECT i, lag(f) OVER (PARTITION BY i % 3 ORDER BY i), rank() OVER (PARTITION BY i % 3 ORDER BY i) FROM d.t",
		"SELECT i, dense_rank() OVER (ORDER BY f) FROM d.t",
	} {
		want := rowTexts(t, openTable(t, table, sql, exec.Options{BatchRows: 100, Workers: 1}))
		for _, workers := range []int{1, 3} {
			if got := rowTexts(t, openTable(t, table, sql, exec.Options{Workers: workers})); !slices.Equal(got, want) {
				t.Errorf("%s: %d workers give other rows, or in another order", sql, workers)
			}
		}
	}
}
