//go:build invariants

package exec

import (
	"math"

	"github.com/weir-db/weir/internal/vec"
)

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

// lender gives copies of batches that are valid until the next one, and spoils each when it ends, so that whoever
// keeps one shows, whatever table it is of.
type lender struct {
	on   bool
	last *vec.Batch
}

func (l *lender) lend(b *vec.Batch) *vec.Batch {
	if !l.on {
		return b
	}
	if l.last != nil {
		for _, c := range l.last.Columns {
			spoil(c)
		}
	}
	l.last = &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(b.Columns))}
	for i, c := range b.Columns {
		rows := make([]int32, b.Len)
		for k := range rows {
			rows[k] = int32(k)
		}
		l.last.Columns[i] = c.Gather(rows)
	}
	return l.last
}

// spoil overwrites what a batch does not share with others.
func spoil(v *vec.Vector) {
	if v.Form == vec.Constant {
		return
	}
	for i := range v.Index {
		v.Index[i] = math.MinInt32
	}
	for i := range v.Ints {
		v.Ints[i] = math.MinInt64 + 666
	}
	for i := range v.Floats {
		v.Floats[i] = -666e66
	}
	for i := range v.Strs {
		v.Strs[i] = "a batch was read after its end"
	}
	for i := range v.Bools {
		v.Bools[i] = !v.Bools[i]
	}
	for i := range v.Nulls {
		v.Nulls[i] = !v.Nulls[i]
	}
}
