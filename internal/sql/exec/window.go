package exec

import (
	"context"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// windowOp keeps all rows, sorts them by partition and order, and computes one column
// per call (sql.md section 10). Rows leave in that order.
type windowOp struct {
	f     *frame
	n     *plan.Window
	in    operator
	keys  *sortSpec // the partition's expressions, then the order's
	calls []*windowCall
	mem   charge
	out   *emitter
}

// windowCall is one compiled function.
type windowCall struct {
	plan.WindowCall
	args       []*expr
	filter     *expr
	start, end *expr // offsets of the frame, or nil
}

func newWindow(f *frame, n *plan.Window) (operator, error) {
	var keys []plan.SortKey
	for _, p := range n.Partition {
		keys = append(keys, plan.SortKey{Expr: p})
	}
	spec, err := compileKeys(append(keys, n.Order...))
	if err != nil {
		return nil, err
	}
	o := &windowOp{f: f, n: n, keys: spec, mem: charge{of: &f.run.memory}}
	for _, c := range n.Calls {
		call := &windowCall{WindowCall: c}
		if call.args, err = compileAll(c.Args); err != nil {
			return nil, err
		}
		for _, opt := range []struct {
			from plan.Expr
			to   **expr
		}{{c.Filter, &call.filter}, {c.Frame.Start.Offset, &call.start}, {c.Frame.End.Offset, &call.end}} {
			if opt.from == nil {
				continue
			}
			if *opt.to, err = compile(opt.from); err != nil {
				return nil, err
			}
		}
		o.calls = append(o.calls, call)
	}
	o.in, err = build(f, n.Input)
	return o, err
}

func (o *windowOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.out == nil {
		b, err := o.compute(ctx)
		if err != nil {
			return nil, err
		}
		o.out = &emitter{b: b}
	}
	return o.out.next(o.f.run.opt.BatchRows), nil
}

func (o *windowOp) compute(ctx context.Context) (*vec.Batch, error) {
	b, order, err := sortAll(ctx, o.f, o.in, o.n.Input.Types(), o.keys, &o.mem)
	if err != nil || b.Len == 0 {
		return b, err
	}
	b = b.Gather(order)
	if err := o.mem.set(2 * o.mem.held); err != nil {
		return nil, err
	}
	w := &windowRows{ctx: ctx, f: o.f, b: b}
	vecs, err := evalAll(ctx, o.f, o.keys.exprs, b)
	if err != nil {
		return nil, err
	}
	w.order = vecs[len(o.n.Partition):]
	w.desc = o.keys.desc[len(o.n.Partition):]
	w.cut(vecs[:len(o.n.Partition)])
	out := &vec.Batch{Len: b.Len, Columns: append([]*vec.Vector(nil), b.Columns...)}
	for _, c := range o.calls {
		v, err := w.call(c)
		if err != nil {
			return nil, err
		}
		out.Columns = append(out.Columns, retype(v, c.T))
	}
	return out, nil
}

func (o *windowOp) close() {
	o.in.close()
	o.mem.release()
	o.out = &emitter{b: &vec.Batch{}}
}

// windowRows is the rows of a window node, sorted and cut.
type windowRows struct {
	ctx   context.Context
	f     *frame
	b     *vec.Batch
	order []*vec.Vector
	desc  []bool
	// Of each row: where its partition and its peers begin and end.
	partStart, partEnd, peerStart, peerEnd []int32
}

// cut finds partitions and peers.
func (w *windowRows) cut(partition []*vec.Vector) {
	same := make([]bool, w.b.Len)
	for i := range same {
		same[i] = i > 0
	}
	for _, v := range partition {
		clearChanged(v, same)
	}
	w.partStart, w.partEnd = bounds(same)
	for _, v := range w.order {
		clearChanged(v, same)
	}
	w.peerStart, w.peerEnd = bounds(same)
}

// bounds returns the start and end of each row's run; same says which rows continue one.
func bounds(same []bool) (start, end []int32) {
	n := len(same)
	start, end = make([]int32, n), make([]int32, n)
	for i := range same {
		if !same[i] {
			start[i] = int32(i)
		} else {
			start[i] = start[i-1]
		}
	}
	for i := n - 1; i >= 0; i-- {
		if i == n-1 || !same[i+1] {
			end[i] = int32(i + 1)
		} else {
			end[i] = end[i+1]
		}
	}
	return start, end
}

// call computes one function for all rows.
func (w *windowRows) call(c *windowCall) (*vec.Vector, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	args, err := evalAll(w.ctx, w.f, c.args, w.b)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Agg != nil:
		return w.aggregate(c, args)
	case len(args) == 0:
		return w.rank(c.Name), nil
	}
	switch c.Name {
	case "ntile":
		return w.ntile(args[0])
	case "lead":
		return w.offset(c, args, 1)
	case "lag":
		return w.offset(c, args, -1)
	}
	return w.frameValue(c, args)
}

// rank computes the functions without arguments.
func (w *windowRows) rank(name string) *vec.Vector {
	n := w.b.Len
	if name == "percent_rank" || name == "cume_dist" {
		out := make([]float64, n)
		for i := range out {
			rows := float64(w.partEnd[i] - w.partStart[i])
			switch {
			case name == "cume_dist":
				out[i] = float64(w.peerEnd[i]-w.partStart[i]) / rows
			case rows > 1:
				out[i] = float64(w.peerStart[i]-w.partStart[i]) / (rows - 1)
			}
		}
		return vec.OfFloats(out, nil)
	}
	out := make([]int64, n)
	for i := range out {
		switch name {
		case "row_number":
			out[i] = int64(i) - int64(w.partStart[i]) + 1
		case "rank":
			out[i] = int64(w.peerStart[i]-w.partStart[i]) + 1
		case "dense_rank":
			switch {
			case int(w.partStart[i]) == i:
				out[i] = 1
			case int(w.peerStart[i]) == i:
				out[i] = out[i-1] + 1
			default:
				out[i] = out[i-1]
			}
		}
	}
	return vec.OfInts(vec.BigintType, out, nil)
}

func (w *windowRows) ntile(buckets *vec.Vector) (*vec.Vector, error) {
	out, nulls := make([]int64, w.b.Len), make([]bool, w.b.Len)
	for i := range out {
		if buckets.IsNull(i) {
			nulls[i] = true
			continue
		}
		n := buckets.Int(i)
		if n <= 0 {
			return nil, fault.New(fault.Execution, "Buckets must be greater than 0")
		}
		rows, at := int64(w.partEnd[i]-w.partStart[i]), int64(i)-int64(w.partStart[i])
		size, rest := rows/n, rows%n
		if at < rest*(size+1) {
			out[i] = at/(size+1) + 1
		} else {
			out[i] = (at-rest*(size+1))/size + rest + 1
		}
	}
	return vec.OfInts(vec.BigintType, out, nulls), nil
}

// offset is lead (dir 1) and lag (dir -1): the frame does not matter.
func (w *windowRows) offset(c *windowCall, args []*vec.Vector, dir int) (*vec.Vector, error) {
	x := args[0]
	var skip *nonNulls
	if c.IgnoreNulls {
		skip = newNonNulls(x)
	}
	out := newColumn(c.T)
	for i := range w.b.Len {
		at := -1
		if len(args) < 2 || !args[1].IsNull(i) {
			k := int64(1)
			if len(args) >= 2 {
				k = args[1].Int(i)
			}
			if k < 0 {
				return nil, fault.New(fault.Execution, "Offset must be at least 0")
			}
			at = w.shifted(i, k, dir, skip)
		}
		switch {
		case at >= 0:
			out.appendRow(x, at)
		case len(args) == 3:
			out.appendRow(args[2], i)
		default:
			out.appendNulls(1)
		}
	}
	return out.vector(), nil
}

// shifted returns the row k rows from row i in direction dir within the partition, not
// counting rows that skip leaves out, or -1.
func (w *windowRows) shifted(i int, k int64, dir int, skip *nonNulls) int {
	lo, hi := int(w.partStart[i]), int(w.partEnd[i])
	if skip == nil || k == 0 {
		if k > int64(w.b.Len) {
			return -1
		}
		if at := i + dir*int(k); at >= lo && at < hi {
			return at
		}
		return -1
	}
	// before[j] counts the rows before j that are not null.
	first := skip.before[i] - k
	if dir > 0 {
		first = skip.before[i+1] + k - 1
	}
	if first < 0 || first >= int64(len(skip.rows)) {
		return -1
	}
	if at := int(skip.rows[first]); at >= lo && at < hi {
		return at
	}
	return -1
}

// nonNulls lists the rows of a vector that are not null.
type nonNulls struct {
	rows   []int32
	before []int64 // per row, and one more: how many of rows are before it
}

func newNonNulls(v *vec.Vector) *nonNulls {
	s := &nonNulls{before: make([]int64, v.Len()+1)}
	for i := range v.Len() {
		s.before[i] = int64(len(s.rows))
		if !v.IsNull(i) {
			s.rows = append(s.rows, int32(i))
		}
	}
	s.before[v.Len()] = int64(len(s.rows))
	return s
}

// frameValue is first_value, last_value and nth_value.
func (w *windowRows) frameValue(c *windowCall, args []*vec.Vector) (*vec.Vector, error) {
	starts, ends, err := w.frames(c)
	if err != nil {
		return nil, err
	}
	var skip *nonNulls
	if c.IgnoreNulls {
		skip = newNonNulls(args[0])
	}
	picks := make([]int32, w.b.Len)
	for i := range picks {
		k := int64(1) // from the start; 0: the last
		switch c.Name {
		case "last_value":
			k = 0
		case "nth_value":
			if args[1].IsNull(i) {
				picks[i] = -1
				continue
			}
			if k = args[1].Int(i); k < 1 {
				return nil, fault.New(fault.Execution, "Offset must be at least 1")
			}
		}
		picks[i] = nth(starts[i], ends[i], k, skip)
	}
	return gatherOrNull(args[0], picks), nil
}

// nth returns the k-th row of start <= row < end, or the last for k = 0, among those
// that skip leaves; -1 if there is none.
func nth(start, end int32, k int64, skip *nonNulls) int32 {
	if start >= end {
		return -1
	}
	if skip == nil {
		switch {
		case k == 0:
			return end - 1
		case k > int64(end-start):
			return -1
		}
		return start + int32(k) - 1
	}
	from, to := skip.before[start], skip.before[end]
	switch {
	case from >= to || k > to-from:
		return -1
	case k == 0:
		return skip.rows[to-1]
	}
	return skip.rows[from+k-1]
}
