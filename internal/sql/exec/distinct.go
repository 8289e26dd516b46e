package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// distinctOp drops rows that were there before. It hands rows on as they come, for LIMIT; once there are
// more than its caches or memory hold, it leaves the rest to an aggregation without aggregates, which works
// in parallel and spills.
type distinctOp struct {
	f     *frame
	in    operator
	types []vec.Type
	node  plan.Node   // that it is measured as
	table *groupTable // nil once rest has it
	rows  int64       // seen
	rest  *aggregateOp
	done  bool
	mem   charge
}

func newDistinct(f *frame, n *plan.Distinct) (operator, error) {
	in, err := build(f, n.Input)
	if err != nil {
		return nil, err
	}
	return distinctOf(f, in, n.Types(), n), nil
}

func distinctOf(f *frame, in operator, types []vec.Type, n plan.Node) *distinctOp {
	return &distinctOp{f: f, in: in, types: types, node: n, table: newGroupTable(types).endBy(f.run.ended), mem: f.run.chargeOf(n)}
}

func (o *distinctOp) next(ctx context.Context) (*vec.Batch, error) {
	for !o.done {
		if o.rest != nil {
			return o.rest.next(ctx)
		}
		if err := ctx.Err(); err != nil { // long runs of rows that were there before give nothing
			return nil, err
		}
		b, err := o.in.next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		if len(o.types) == 0 { // all rows are equal
			o.done = true
			return b.Slice(0, 1), nil
		}
		o.table.assign(b.Columns, b.Len, nil)
		o.rows += int64(b.Len)
		fresh := append([]int32(nil), o.table.fresh...)
		if err := o.account(); err != nil {
			return nil, err
		}
		switch {
		case len(fresh) == b.Len:
			return b, nil
		case len(fresh) > 0:
			return b.Gather(fresh), nil
		}
	}
	return nil, nil
}

// account charges the table, or hands it on if it is too large.
func (o *distinctOp) account() error {
	size := o.table.sizeBytes()
	large := o.table.len() > cachedGroups && 4*o.table.heads > o.rows
	if !large && !o.mem.full(size) {
		return o.mem.set(size)
	}
	keys := make([]plan.Expr, len(o.types))
	for i, t := range o.types {
		keys[i] = &plan.Column{Index: i, T: t}
	}
	rest, err := aggregateOf(o.f, &plan.Aggregate{Keys: keys}, o.in, o.node)
	if err != nil {
		return err
	}
	w := rest.worker(0)
	w.groups.table, rest.returned = o.table, o.table.len()
	w.stop(hitting)
	o.rest, o.table = rest, nil
	o.mem.release()
	return rest.mem.insist(&w.charged, w.sizeBytes())
}

func (o *distinctOp) close() {
	if o.rest != nil {
		o.rest.close()
	}
	o.in.close()
	o.mem.release()
	o.done = true
}
