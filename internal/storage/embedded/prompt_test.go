package embedded

import (
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

func TestOnlySmallScansAreDoneAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, Options{FS: vfs.NewMem(), Clock: clock.Manual(benchStart)})
	defer s.Close()
	table := fill(t, s) // 20 sensors × 50 rows, flushed
	check := func(spec storage.ScanSpec, effort int64, small bool) {
		t.Helper()
		spec.From, spec.To = storage.AllTime.From, storage.AllTime.To
		scanner, err := table.(storage.PromptScanner).ScanPrompt(t.Context(), spec, effort)
		if err != nil || (scanner != nil) != small {
			t.Fatalf("%+v within %d values: %v, %v; want one: %t", spec, effort, scanner, err, small)
		}
		if scanner == nil {
			return
		}
		defer scanner.Close()
		if b, err := scanner.Next(t.Context()); b == nil || err != nil {
			t.Errorf("batch %v, %v", b, err)
		}
	}
	one := []storage.Predicate{{Column: "sensor", Op: storage.Eq, Values: []vec.Value{vec.Str("7")}}}
	columns := []string{"sensor", "n"}
	check(storage.ScanSpec{Columns: columns}, 1500, false)
	check(storage.ScanSpec{Columns: columns}, 2500, true)
	check(storage.ScanSpec{Columns: columns, Where: one}, 150, true)
	check(storage.ScanSpec{Columns: columns, NewestFirst: true, Limit: 5}, 1500, false)
	last := &storage.Aggregation{Keys: []storage.GroupKey{{Column: "sensor"}}, Aggs: []storage.Agg{{Func: storage.Count, Column: "n"}}}
	check(storage.ScanSpec{Aggregation: last}, 250, true) // from statistics
	check(storage.ScanSpec{Aggregation: last}, 150, false)
}
