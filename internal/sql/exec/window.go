package exec

import (
	"context"
	"slices"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// windowOp sorts its rows by partition and order, and computes one column per call (sql.md section 10). Rows
// leave in that order. It takes whole partitions in hand, many small ones at a time. Of a partition that memory
// does not hold, only the columns that the calls read are kept: the rows wait in a run.
type windowOp struct {
	f     *frame
	n     *plan.Window
	in    operator
	keys  *sortSpec // the partition's expressions, then the order's
	calls []*windowCall
	reads []bool // per carried column: whether calls or keys read it

	sorted  *sorter
	sortMem charge
	src     batches
	ended   bool

	mem     charge
	workers int
	hand    *windowHand

	streams   bool // partitions may be computed in pieces; anywhere: which may end amid peers
	anywhere  bool
	streaming bool // they are, from now on
	carry     *windowCarry

	borrowed  bool        // batches of the input are valid until the next
	keepOrder bool        // somebody relies on the order of the rows
	parts     []*windowOp // that compute it, each a part of the partitions, see readers
	shared    reader      // of parts, for next

	pending  []*vec.Batch // complete partitions
	portions int          // of about windowRowsAtOnce rows, that these are: one for each worker is wanted
	out      batches      // of partitions that are computed
}

// windowHand is the rows in hand: partitions that are complete, and behind them the one that is not.
type windowHand struct {
	rows     *rows
	complete int          // rows of complete partitions
	away     *spillWriter // whole rows of a partition that memory does not hold; rows then has what calls read
}

// windowCall is one compiled function.
type windowCall struct {
	plan.WindowCall
	index      int // among the calls of the window
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
	o := &windowOp{f: f, n: n, keys: spec, mem: f.run.chargeOf(n), sortMem: f.run.chargeOf(n)}
	for _, c := range n.Calls {
		call := &windowCall{WindowCall: c, index: len(o.calls)}
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
	o.sorted = newSorter(f, spec, n.Input.Types(), &o.sortMem)
	o.sorted.most = max(windowRowsAtOnce, f.run.opt.BatchRows)
	if f.run.opt.BatchRows < 1024 {
		o.sorted.most = f.run.opt.BatchRows // as tests ask for
	}
	o.note()
	o.streams, o.anywhere = true, true
	for _, c := range o.calls {
		ok, anywhere := c.streams()
		o.streams, o.anywhere = o.streams && ok, o.anywhere && anywhere
	}
	o.workers = 1
	if o.concurrent() {
		o.workers = sortWorkers(manyItems, f.run.opt.Workers)
	}
	o.in, err = build(f, n.Input)
	return o, err
}

// note finds out which columns are read.
func (o *windowOp) note() {
	o.reads = make([]bool, len(o.sorted.kept))
	for _, c := range o.sorted.at {
		o.reads[c] = true
	}
	for _, c := range o.calls {
		for _, e := range c.exprs() {
			for _, at := range e.cols {
				o.reads[at] = true
			}
		}
	}
}

// concurrent reports whether calls may be computed by several goroutines at a time.
func (o *windowOp) concurrent() bool {
	for _, c := range o.calls {
		if !concurrent(c.exprs()) {
			return false
		}
	}
	return true
}

// exprs is all that the call evaluates.
func (c *windowCall) exprs() []*expr {
	list := append([]*expr(nil), c.args...)
	for _, e := range []*expr{c.filter, c.start, c.end} {
		if e != nil {
			list = append(list, e)
		}
	}
	return list
}

func (o *windowOp) next(ctx context.Context) (*vec.Batch, error) {
	if o.shared != nil {
		return o.shared.next(ctx)
	}
	if o.src == nil {
		switch ordered, err := o.inOrder(ctx); {
		case err != nil:
			return nil, err
		case ordered:
			shared, err := o.parallel(ctx)
			if err != nil {
				return nil, err
			}
			if shared {
				return o.shared.next(ctx)
			}
			o.begin(o.in)
		}
	}
	if o.src == nil {
		if err := o.sorted.add(ctx, o.in); err != nil {
			return nil, err
		}
		o.in.close()
		var err error
		if o.src, err = o.sorted.finish(ctx); err != nil {
			return nil, err
		}
		if len(o.sorted.carried) > 0 {
			o.src = o.sorted.out // with the keys
		}
		o.hand = o.newHand()
	}
	for {
		if o.out != nil {
			b, err := o.out.next(ctx)
			if err != nil || b != nil {
				return b, err
			}
			o.out.close()
			o.out = nil
		}
		if o.ended {
			return nil, nil
		}
		if err := o.gather(ctx); err != nil {
			return nil, err
		}
	}
}

// windowRowsAtOnce is how many rows are computed together, if partitions allow it: enough to be worth
// while, few enough to stay in the processor's cache.
const windowRowsAtOnce = 1 << 14

// gather takes rows in hand until there are enough of complete partitions, and computes these.
func (o *windowOp) gather(ctx context.Context) error {
	for {
		b, err := o.src.next(ctx)
		if err != nil {
			return err
		}
		h := o.hand
		if b == nil {
			o.ended = true
			o.sorted.close() // all its rows are in hand
			h.complete = h.rows.n
			return o.compute(ctx, nil)
		}
		first, last := o.boundaries(b)
		switch {
		case first < 0 && h.complete > 0 && o.mem.full(o.bytes(h.rows.n+b.Len, h.rows.sizeBytes())):
			return o.compute(ctx, b)
		case first < 0: // more of the same partition
			err = o.take(ctx, b)
		case h.away != nil: // the partition that waits on disk ends here
			if first > 0 {
				err = o.take(ctx, b.Slice(0, first))
			}
			if err == nil {
				h.complete = h.rows.n
				return o.compute(ctx, b.Slice(first, b.Len))
			}
		case h.rows.n == 0 && last >= windowRowsAtOnce/2 && !o.borrowed:
			return o.computeIn(ctx, b, 0, last)
		case h.rows.n > 0 && last-first >= windowRowsAtOnce/2 && !o.borrowed:
			return o.computeIn(ctx, b, first, last)
		case h.rows.n+last >= windowRowsAtOnce:
			if last > 0 {
				err = o.take(ctx, b.Slice(0, last))
			}
			if err == nil {
				h.complete = h.rows.n
				return o.compute(ctx, b.Slice(last, b.Len))
			}
		default:
			h.complete = h.rows.n + last
			err = o.take(ctx, b)
		}
		if err != nil {
			return err
		}
	}
}

// computeIn computes the rows in hand, whose last partition ends where row first of b is, and those from there to row last,
// which need not be copied. The others are in hand then.
func (o *windowOp) computeIn(ctx context.Context, b *vec.Batch, first, last int) error {
	if h := o.hand; h.rows.n > 0 {
		if first > 0 {
			if err := o.take(ctx, b.Slice(0, first)); err != nil {
				return err
			}
		}
		if h.away != nil {
			h.complete = h.rows.n
			return o.compute(ctx, b.Slice(first, b.Len))
		}
		o.pending = append(o.pending, h.rows.batch())
		o.hand = o.newHand()
	}
	o.pending = append(o.pending, b.Slice(first, last))
	o.portions++
	return o.compute(ctx, b.Slice(last, b.Len))
}

// boundaries returns the first and the last row of b that begin a partition, or a piece of one, with regard to the
// rows in hand; -1 if none does.
func (o *windowOp) boundaries(b *vec.Batch) (first, last int) {
	keys := len(o.n.Partition)
	if o.streaming {
		if keys = len(o.sorted.at); o.anywhere {
			return 0, b.Len - 1
		}
	}
	same := make([]bool, b.Len)
	for i := range same {
		same[i] = true
	}
	for _, at := range o.sorted.at[:keys] {
		v := b.Columns[at]
		if n := o.hand.rows.n; n > 0 && same[0] {
			same[0] = vec.Equal(o.hand.rows.cols[at].vector(), n-1, v, 0)
		}
		clearChanged(v, same)
	}
	first, last = slices.Index(same, false), len(same)-1
	if first < 0 {
		return -1, -1
	}
	for same[last] {
		last--
	}
	return first, last
}

// newHand returns an empty hand.
func (o *windowOp) newHand() *windowHand {
	h := &windowHand{rows: newRows(o.sorted.kept)}
	if len(o.n.Partition) == 0 && !o.ended && !o.streaming && len(o.sorted.runs) == 0 {
		h.rows.reserve(o.sorted.store.n) // all of them are one partition
	}
	return h
}

// take adds rows to the hand.
func (o *windowOp) take(ctx context.Context, b *vec.Batch) error {
	h := o.hand
	if h.away == nil && o.mem.full(o.bytes(h.rows.n+b.Len, h.rows.sizeBytes())) && h.complete == 0 {
		if o.streams && !o.streaming {
			o.stream()
		}
		if h.complete == 0 {
			if err := o.putAway(ctx); err != nil {
				return err
			}
		}
	}
	if h.away != nil {
		if err := h.away.append(ctx, b); err != nil {
			return err
		}
	}
	h.rows.append(b)
	return o.mem.set(o.bytes(h.rows.n, h.rows.sizeBytes()))
}

// stream begins to compute partitions in pieces, one after the other.
func (o *windowOp) stream() {
	o.streaming, o.workers = true, 1
	h := o.hand
	if h.complete = h.rows.n; o.anywhere || h.rows.n == 0 {
		return
	}
	b := h.rows.batch()
	o.hand = &windowHand{rows: newRows(o.sorted.kept)}
	_, h.complete = o.boundaries(b)
	h.complete = max(h.complete, 0)
	o.hand = h
}

// putAway writes the rows in hand to a run and keeps what calls read.
func (o *windowOp) putAway(ctx context.Context) error {
	h := o.hand
	h.away = o.f.run.newSpill(o.sorted.kept)
	kept := newRows(o.sorted.kept)
	for i, read := range o.reads {
		if !read {
			kept.cols[i] = nil
		}
	}
	if h.rows.n > 0 {
		b := h.rows.batch()
		if err := h.away.append(ctx, b); err != nil {
			return err
		}
		kept.append(b)
	}
	h.rows = kept
	return nil
}

// bytes is what computing n rows takes, which themselves take size: their partitions and peers, a result per
// call, and once the frames of a call, or what it adds up.
func (o *windowOp) bytes(n int, size int64) int64 {
	perRow := 17 + 9*len(o.calls)
	for _, c := range o.calls {
		if c.Agg != nil || len(c.args) > 0 {
			perRow += 8
			break
		}
	}
	return size + int64(n)*int64(perRow)
}

// compute makes the output of the complete partitions in hand, once there are enough for all workers. Then
// rest, and what follows them, is in hand.
func (o *windowOp) compute(ctx context.Context, rest *vec.Batch) error {
	h := o.hand
	all := h.rows.batch()
	o.hand = o.newHand()
	if h.complete < all.Len {
		o.hand.rows.append(all.Slice(h.complete, all.Len))
		all = all.Slice(0, h.complete)
	}
	if rest != nil {
		o.hand.rows.append(rest)
	}
	if h.away != nil {
		return o.computeAway(ctx, h, all)
	}
	if all.Len > 0 {
		o.pending = append(o.pending, all)
		o.portions++
	}
	rows := 0
	for _, b := range o.pending {
		rows += b.Len
	}
	if o.portions < o.workers && rows < manyItems && !o.ended {
		return nil
	}
	return o.flush(ctx)
}

// flush computes what is pending.
func (o *windowOp) flush(ctx context.Context) error {
	if len(o.pending) == 0 {
		return nil
	}
	size := o.hand.rows.sizeBytes()
	for _, b := range o.pending {
		for _, c := range b.Columns {
			size += vectorBytes(c)
		}
		size = o.bytes(b.Len, size)
	}
	if err := o.mem.set(size); err != nil {
		return err
	}
	outs := make(sequence, len(o.pending))
	err := inParallel(ctx, o.workers, len(outs), func(i int) error {
		b := o.pending[i]
		workers := 1
		if len(outs) == 1 && b.Len >= manyItems {
			workers = o.workers
		}
		results, err := o.results(ctx, b, workers)
		if err == nil {
			width := len(o.n.Input.Types())
			out := &vec.Batch{Len: b.Len, Columns: append(b.Columns[:width:width], results...)}
			outs[i] = &emitted{emitter{b: out}, o.f.run.opt.BatchRows}
		}
		return err
	})
	if err != nil {
		return err
	}
	o.pending, o.portions = nil, 0
	o.out = &outs
	return nil
}

// computeAway is compute for a partition whose rows are in a run; b has what the calls read.
func (o *windowOp) computeAway(ctx context.Context, h *windowHand, b *vec.Batch) error {
	var outs sequence
	if len(o.pending) > 0 {
		if err := o.flush(ctx); err != nil {
			return err
		}
		outs = append(outs, o.out)
	}
	run, err := h.away.finish(ctx)
	if err != nil {
		return err
	}
	results, err := o.results(ctx, b, o.workers)
	if err != nil {
		return err
	}
	outs = append(outs, &windowResults{rows: &runRows{run: run, reader: run.Read()}, width: len(o.n.Input.Types()), results: results})
	o.out = &outs
	return o.mem.set(int64(b.Len)*int64(9*len(o.calls)) + 2*run.BatchBytes() + o.hand.rows.sizeBytes())
}

// results computes all calls over b.
func (o *windowOp) results(ctx context.Context, b *vec.Batch, workers int) ([]*vec.Vector, error) {
	keys := make([]*vec.Vector, len(o.sorted.at))
	for k, at := range o.sorted.at {
		keys[k] = b.Columns[at]
	}
	p := len(o.n.Partition)
	w := &windowRows{ctx: ctx, f: o.f, b: b, order: keys[p:], desc: o.keys.desc[p:]}
	if err := w.cut(keys[:p]); err != nil {
		return nil, err
	}
	if o.streaming {
		w.parts = make([]carriedPart, len(o.calls))
		w.continues(o.carry, keys, p)
	}
	out := make([]*vec.Vector, len(o.calls))
	err := inParallel(ctx, workers, len(out), func(i int) error {
		v, err := w.call(o.calls[i])
		if err == nil {
			out[i] = retype(v, o.calls[i].T)
		}
		return err
	})
	if o.streaming && err == nil {
		o.carry = w.carryOn(keys)
	}
	return out, err
}

func (o *windowOp) close() {
	if x, ok := o.shared.(*exchange); ok {
		x.close()
	}
	for _, part := range o.parts {
		part.close()
	}
	if o.in != nil {
		o.in.close()
	}
	if o.out != nil {
		o.out.close()
	}
	o.sorted.close()
	o.mem.release()
	o.src, o.hand, o.ended, o.out = noRows{}, nil, true, nil
}

// windowResults puts results behind rows that come from a run.
type windowResults struct {
	rows    batches
	width   int // columns of the rows that leave
	results []*vec.Vector
	at      int
}

func (o *windowResults) next(ctx context.Context) (*vec.Batch, error) {
	b, err := o.rows.next(ctx)
	if err != nil || b == nil {
		return nil, err
	}
	out := &vec.Batch{Len: b.Len, Columns: b.Columns[:o.width:o.width]}
	for _, v := range o.results {
		out.Columns = append(out.Columns, v.Slice(o.at, o.at+b.Len))
	}
	o.at += b.Len
	return out, nil
}

func (o *windowResults) close() { o.rows.close() }

// windowRows is the rows of a window node, sorted and cut.
type windowRows struct {
	ctx   context.Context
	f     *frame
	b     *vec.Batch
	order []*vec.Vector
	desc  []bool
	// Of each row: where its partition and its peers begin and end.
	partStart, partEnd, peerStart, peerEnd []int32

	// With partitions in pieces: what came before the first row, if that was of its partition, whether its peers
	// were there, and what the calls leave to the next piece.
	carry     *windowCarry
	samePeers bool
	parts     []carriedPart
}

// done returns why the query ends, if it does. Loops over the rows ask from time to time, by the row they are at.
func (w *windowRows) done(row int) error {
	if row%sortChunk != 0 {
		return nil
	}
	return w.ctx.Err()
}

// cut finds partitions and peers.
func (w *windowRows) cut(partition []*vec.Vector) error {
	same := make([]bool, w.b.Len)
	for i := range same {
		same[i] = i > 0
	}
	for _, v := range partition {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		clearChanged(v, same)
	}
	w.partStart, w.partEnd = bounds(same)
	for _, v := range w.order {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		clearChanged(v, same)
	}
	w.peerStart, w.peerEnd = bounds(same)
	return w.ctx.Err()
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
	w.shift(name, out)
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
	picks := make([]int32, w.b.Len)
	for i := range picks {
		if err := w.done(i); err != nil {
			return nil, err
		}
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
		picks[i] = int32(at)
	}
	if len(args) < 3 {
		return gatherOrNull(x, picks), nil
	}
	var found, missing, from []int32
	for i, at := range picks {
		if at >= 0 {
			found, from = append(found, int32(i)), append(from, at)
		} else {
			missing = append(missing, int32(i))
		}
	}
	parts := []*vec.Vector{retype(x.Gather(from), c.T), retype(args[2].Gather(missing), c.T)}
	return scatter(c.T, w.b.Len, [][]int32{found, missing}, parts), nil
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
		if err := w.done(i); err != nil {
			return nil, err
		}
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
