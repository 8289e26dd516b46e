//go:build !invariants

package exec

import "github.com/weir-db/weir/internal/vec"

// checkBatch does nothing; builds with the tag invariants check every batch.
func checkBatch(*vec.Batch, []vec.Type) {}

// lender does nothing; builds with the tag invariants spoil every batch after its end.
type lender struct{ on bool }

func (*lender) lend(b *vec.Batch) *vec.Batch { return b }
