package exec

import (
	"context"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
)

// Delete runs a DELETE and returns how many rows there were, or -1 if they are deleted and were
// not counted. A condition that fails for a value of its column (CAST(device AS bigint) of a name) ends it before
// anything is deleted, although the value's rows may be ruled out by another condition.
func Delete(ctx context.Context, d *plan.Delete, opt Options) (int64, error) {
	f := &frame{run: newRun(d.Query, opt.withDefaults())}
	s, err := newScanOp(f, d.Scan)
	if err != nil {
		return 0, err
	}
	return d.Scan.Table.Delete(ctx, storage.Deletion{
		From: d.Scan.Spec.From, To: d.Scan.Spec.To, Where: s.predicates(),
		Confirm: func() error {
			for i := range s.failed {
				if s.failed[i].Load() {
					return fault.New(fault.Execution, "A condition of DELETE cannot be evaluated for every value of its column: %s", d.Scan.Filters[i].Pred.Text)
				}
			}
			return nil
		},
	})
}
