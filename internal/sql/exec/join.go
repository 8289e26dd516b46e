package exec

import (
	"context"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// joinOp joins by hash. One side, the build side, is kept: its rows are chained per distinct
// key. The rows of the other, the probe side, look up the chain of their key (without keys, all
// rows are one chain) and make pairs, of which the residual condition keeps some. Pairs are
// made in batches, so a join that explodes neither fills memory nor outlives its context.
type joinOp struct {
	f            *frame
	n            *plan.Join
	build, probe operator
	buildLeft    bool
	buildKeys    []*expr
	probeKeys    []*expr
	residual     []*expr
	buildTypes   []vec.Type
	probeTypes   []vec.Type

	keepProbe bool // probe rows without a match are returned with nulls
	keepBuild bool
	semi      bool // returns probe rows alone, at most once: with a match, or without one if anti
	anti      bool

	ready   bool
	kept    *vec.Batch
	table   *groupTable
	head    []int32 // per key: first build row, or -1
	chain   []int32 // per build row: next of the same key, or -1
	matched []bool  // per build row, if keepBuild
	mem     charge

	// The probe batch in hand.
	cur     *vec.Batch
	groups  []int32 // per row: key number, or -1
	row     int     // next row to look at
	link    int32   // next build row of row's chain, if started
	started bool
	hit     []bool // per row: had a match

	left *emitter // build rows without a match, at the end
}

func newJoin(f *frame, n *plan.Join) (operator, error) {
	o := &joinOp{f: f, n: n, mem: charge{of: &f.run.memory}, semi: n.Kind == plan.SemiJoin || n.Kind == plan.AntiJoin, anti: n.Kind == plan.AntiJoin}
	o.buildLeft = n.BuildLeft && !o.semi
	leftKeys, err := compileAll(n.LeftKeys)
	if err != nil {
		return nil, err
	}
	rightKeys, err := compileAll(n.RightKeys)
	if err != nil {
		return nil, err
	}
	if n.Residual != nil {
		if o.residual, err = conjuncts(n.Residual); err != nil {
			return nil, err
		}
	}
	in, err := buildAll(f, n.Left, n.Right)
	if err != nil {
		return nil, err
	}
	keepLeft := n.Kind == plan.LeftJoin || n.Kind == plan.FullJoin
	keepRight := n.Kind == plan.RightJoin || n.Kind == plan.FullJoin
	if o.buildLeft {
		o.build, o.buildKeys, o.buildTypes, o.keepBuild = in[0], leftKeys, n.Left.Types(), keepLeft
		o.probe, o.probeKeys, o.probeTypes, o.keepProbe = in[1], rightKeys, n.Right.Types(), keepRight
	} else {
		o.build, o.buildKeys, o.buildTypes, o.keepBuild = in[1], rightKeys, n.Right.Types(), keepRight
		o.probe, o.probeKeys, o.probeTypes, o.keepProbe = in[0], leftKeys, n.Left.Types(), keepLeft
	}
	return o, nil
}

func (o *joinOp) next(ctx context.Context) (*vec.Batch, error) {
	if !o.ready {
		if err := o.hash(ctx); err != nil {
			return nil, err
		}
		o.ready = true
	}
	for o.left == nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.cur == nil {
			if err := o.fetch(ctx); err != nil {
				return nil, err
			}
			if o.cur == nil {
				o.left = o.unmatchedBuild()
				break
			}
		}
		b, err := o.step(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil && b.Len > 0 {
			return b, nil
		}
	}
	b := o.left.next(o.f.run.opt.BatchRows)
	if b == nil {
		return nil, nil
	}
	return o.combine(nullsOf(o.probeTypes, b.Len), b), nil
}

// hash reads the build side.
func (o *joinOp) hash(ctx context.Context) error {
	kept, err := drain(ctx, o.build, o.buildTypes, &o.mem)
	if err != nil {
		return err
	}
	o.build.close()
	o.kept = kept.batch()
	n := o.kept.Len
	o.chain = make([]int32, n)
	if o.keepBuild {
		o.matched = make([]bool, n)
	}
	if len(o.buildKeys) == 0 {
		for i := range o.chain {
			o.chain[i] = int32(i) + 1
		}
		o.head = []int32{-1}
		if n > 0 {
			o.chain[n-1], o.head[0] = -1, 0
		}
		return nil
	}
	return o.hashKeys(ctx, kept.sizeBytes())
}

func (o *joinOp) hashKeys(ctx context.Context, keptBytes int64) error {
	keys, err := evalAll(ctx, o.f, o.buildKeys, o.kept)
	if err != nil {
		return err
	}
	types := make([]vec.Type, len(o.buildKeys))
	for i, k := range o.buildKeys {
		types[i] = k.t
	}
	o.table = newGroupTable(types)
	groups := make([]int32, 0, o.kept.Len)
	const step = 1 << 14
	for from := 0; from < o.kept.Len; from += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+step, o.kept.Len)
		part := (&vec.Batch{Len: o.kept.Len, Columns: keys}).Slice(from, to)
		groups = append(groups, o.table.assign(part.Columns, part.Len, nil)...)
		if err := o.mem.set(keptBytes + o.table.sizeBytes() + 12*int64(o.kept.Len)); err != nil {
			return err
		}
	}
	o.head = make([]int32, o.table.len())
	for g := range o.head {
		o.head[g] = -1
	}
	// Backwards, so that chains run forwards.
	partial := mayNeverEqual(keys)
	for i := o.kept.Len - 1; i >= 0; i-- {
		o.chain[i] = -1
		if !partial || !neverEqual(keys, i) {
			o.chain[i], o.head[groups[i]] = o.head[groups[i]], int32(i)
		}
	}
	return nil
}

// mayNeverEqual reports whether neverEqual can be true for a row of keys.
func mayNeverEqual(keys []*vec.Vector) bool {
	for _, k := range keys {
		if k.HasNulls() || k.Type.Kind == vec.Double {
			return true
		}
	}
	return false
}

// neverEqual reports whether row i has a key that = is true for nothing: null or NaN.
func neverEqual(keys []*vec.Vector, i int) bool {
	for _, k := range keys {
		if k.IsNull(i) || isNaN(k, i) {
			return true
		}
	}
	return false
}

// fetch takes the next probe batch in hand and looks its keys up.
func (o *joinOp) fetch(ctx context.Context) error {
	b, err := o.probe.next(ctx)
	if err != nil || b == nil {
		return err
	}
	o.cur, o.row, o.started = b, 0, false
	o.hit = resize(o.hit, b.Len)
	clear(o.hit)
	if len(o.probeKeys) == 0 {
		o.groups = resize(o.groups, b.Len)
		clear(o.groups)
		return nil
	}
	keys, err := evalAll(ctx, o.f, o.probeKeys, b)
	if err != nil {
		return err
	}
	o.groups = o.table.lookup(keys, b.Len, o.groups)
	if mayNeverEqual(keys) {
		for i, g := range o.groups {
			if g >= 0 && neverEqual(keys, i) {
				o.groups[i] = -1
			}
		}
	}
	return nil
}

// step makes one batch of pairs from the probe batch in hand. After the last pair it
// returns the rows of the batch that had no match, if they are wanted, and lets go of it.
func (o *joinOp) step(ctx context.Context) (*vec.Batch, error) {
	limit := max(o.f.run.opt.BatchRows, 1)
	room := min(limit, o.cur.Len)
	probeRows, buildRows := make([]int32, 0, room), make([]int32, 0, room)
	for len(probeRows) < limit && o.row < o.cur.Len {
		if !o.started {
			o.link, o.started = -1, true
			if g := o.groups[o.row]; g >= 0 {
				o.link = o.head[g]
			}
		}
		for ; o.link >= 0 && len(probeRows) < limit; o.link = o.chain[o.link] {
			if o.semi && o.hit[o.row] {
				o.link = -1
				break
			}
			probeRows, buildRows = append(probeRows, int32(o.row)), append(buildRows, o.link)
			if o.semi && o.residual == nil {
				o.link = -1
				break
			}
		}
		if o.link >= 0 {
			break
		}
		o.row, o.started = o.row+1, false
	}
	if len(probeRows) == 0 {
		return o.endBatch(), nil
	}
	return o.pairs(ctx, probeRows, buildRows)
}

// pairs returns the pairs that pass the residual condition.
func (o *joinOp) pairs(ctx context.Context, probeRows, buildRows []int32) (*vec.Batch, error) {
	var out *vec.Batch
	if !o.semi || o.residual != nil {
		out = o.combine(o.cur.Gather(probeRows), o.kept.Gather(buildRows))
	}
	if o.residual != nil {
		rows, all, err := filterRows(ctx, o.f, o.residual, out)
		if err != nil {
			return nil, err
		}
		if !all {
			probeRows, buildRows, out = gather(probeRows, rows), gather(buildRows, rows), out.Gather(rows)
		}
	}
	for _, r := range probeRows {
		o.hit[r] = true
	}
	if o.matched != nil {
		for _, r := range buildRows {
			o.matched[r] = true
		}
	}
	if o.semi {
		return nil, nil // endBatch returns the rows
	}
	return out, nil
}

// endBatch lets go of the probe batch and returns what is due of it besides pairs.
func (o *joinOp) endBatch() *vec.Batch {
	b := o.cur
	o.cur = nil
	if !o.semi && !o.keepProbe {
		return nil
	}
	want := o.semi && !o.anti
	rows := make([]int32, 0, b.Len)
	for i := range b.Len {
		if o.hit[i] == want {
			rows = append(rows, int32(i))
		}
	}
	switch {
	case len(rows) == 0:
		return nil
	case len(rows) < b.Len:
		b = b.Gather(rows)
	}
	if o.semi {
		return b
	}
	return o.combine(b, nullsOf(o.buildTypes, b.Len))
}

// unmatchedBuild returns the build rows that are due at the end.
func (o *joinOp) unmatchedBuild() *emitter {
	order := []int32{}
	for i, m := range o.matched {
		if !m {
			order = append(order, int32(i))
		}
	}
	return &emitter{b: o.kept, order: order}
}

// combine puts probe and build columns side by side, left before right.
func (o *joinOp) combine(probe, build *vec.Batch) *vec.Batch {
	left, right := probe.Columns, build.Columns
	if o.buildLeft {
		left, right = right, left
	}
	cols := make([]*vec.Vector, 0, len(left)+len(right))
	return &vec.Batch{Len: probe.Len, Columns: append(append(cols, left...), right...)}
}

func nullsOf(types []vec.Type, n int) *vec.Batch {
	b := &vec.Batch{Len: n, Columns: make([]*vec.Vector, len(types))}
	for i, t := range types {
		b.Columns[i] = vec.NullsOf(t, n)
	}
	return b
}

func (o *joinOp) close() {
	o.build.close()
	o.probe.close()
	o.mem.release()
	o.kept, o.ready = &vec.Batch{}, true
	o.left = &emitter{b: &vec.Batch{}}
}
