//go:build invariants

package exec

import "github.com/weir-db/weir/internal/vec"

// checkBatch ends the process when an operator hands on a batch whose shape is wrong.
func checkBatch(b *vec.Batch, types []vec.Type) {
	if err := b.Check(); err != nil {
		panic("bug: " + err.Error())
	}
	for i, c := range b.Columns {
		if c.Type.Kind != types[i].Kind && c.Type.Kind != vec.Unknown {
			panic("bug: a column of type " + c.Type.String() + ", the plan says " + types[i].String())
		}
	}
}
