package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

func newSetOp(f *frame, n *plan.SetOp) (operator, error) {
	in, err := buildAll(f, n.Inputs...)
	if err != nil {
		return nil, err
	}
	if n.Kind == plan.Union {
		union := &unionOp{in: in, types: n.Types()}
		if n.All {
			return union, nil
		}
		return distinctOf(f, union, n.Types()), nil
	}
	return &subsetOp{
		f: f, left: in[0], right: in[1], all: n.All, except: n.Kind == plan.Except,
		table: newGroupTable(n.Types()), mem: charge{of: &f.run.memory},
	}, nil
}

// unionOp is one input after the other.
type unionOp struct {
	in    []operator
	types []vec.Type
	at    int
}

func (o *unionOp) next(ctx context.Context) (*vec.Batch, error) {
	for ; o.at < len(o.in); o.at++ {
		b, err := o.in[o.at].next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			o.in[o.at].close()
			continue
		}
		out := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(b.Columns))}
		for i, c := range b.Columns {
			out.Columns[i] = retype(c, o.types[i]) // field names may differ
		}
		return out, nil
	}
	return nil, nil
}

func (o *unionOp) close() {
	for _, in := range o.in {
		in.close()
	}
}

// subsetOp is INTERSECT or EXCEPT: it counts the rows of the right input and then lets rows
// of the left one pass, or not.
type subsetOp struct {
	f           *frame
	left, right operator
	all         bool
	except      bool
	table       *groupTable
	counts      []int32 // per key: rows of the right input that were not used up
	passed      []bool  // per key, without ALL: was returned
	ready       bool
	mem         charge
}

func (o *subsetOp) next(ctx context.Context) (*vec.Batch, error) {
	if !o.ready {
		if err := o.count(ctx); err != nil {
			return nil, err
		}
		o.ready = true
	}
	for {
		b, err := o.left.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		ids := o.table.assign(b.Columns, b.Len, nil)
		o.grow()
		rows := make([]int32, 0, b.Len)
		for i, id := range ids {
			if o.pass(id) {
				rows = append(rows, int32(i))
			}
		}
		if err := o.mem.set(o.table.sizeBytes() + 5*int64(len(o.counts))); err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			return b.Gather(rows), nil
		}
	}
}

func (o *subsetOp) count(ctx context.Context) error {
	for {
		b, err := o.right.next(ctx)
		if err != nil || b == nil {
			return err
		}
		ids := o.table.assign(b.Columns, b.Len, nil)
		o.grow()
		for _, id := range ids {
			o.counts[id]++
		}
		if err := o.mem.set(o.table.sizeBytes() + 5*int64(len(o.counts))); err != nil {
			return err
		}
	}
}

func (o *subsetOp) grow() {
	for len(o.counts) < o.table.len() {
		o.counts, o.passed = append(o.counts, 0), append(o.passed, false)
	}
}

// pass decides one row of the left input with key id.
func (o *subsetOp) pass(id int32) bool {
	there := o.counts[id] > 0
	if !o.all {
		if o.passed[id] || there == o.except {
			return false
		}
		o.passed[id] = true
		return true
	}
	if there {
		o.counts[id]--
	}
	return there != o.except
}

func (o *subsetOp) close() {
	o.left.close()
	o.right.close()
	o.mem.release()
}
