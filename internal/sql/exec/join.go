package exec

import (
	"context"
	"sync"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// joinOp joins by hash. One side, the build side, is kept in a joinTable. The rows of the other, the
// probe side, look their keys up and make pairs, of which the residual condition keeps some. Pairs are
// made in batches, so a join that explodes neither fills memory nor outlives its context. Probing is a
// stage: any number of workers may do it. A build side that memory cannot hold is divided by the hash of
// the keys, and the probe side with it (see splitOp); without keys it goes to a run, which is read once for each block of
// probe rows (see loops.go).
type joinOp struct {
	joinSpec
	f            *frame
	build, probe operator
	level        int
	narrows      *plan.Narrowing

	hashed bool
	table  *joinTable
	split  *splitOp   // in place of the table, once that was too large
	pages  *keptRows  // or without keys: the build side
	loose  *looseRows // of pages, once the probe side is done: rows without a match
	mem    charge
	blocks sharedCharge // of the probers, with pages

	mu      sync.Mutex // guards probers
	probers []*prober

	one      *prober // of next
	probed   bool    // the probe side is at its end
	finished bool    // and all of it was looked up
	left     *emitter
}

// joinSpec is what a join does, compiled; it is shared by the joins of the parts.
type joinSpec struct {
	buildLeft  bool
	buildKeys  []*expr
	probeKeys  []*expr
	residual   []*expr
	buildTypes []vec.Type
	probeTypes []vec.Type

	keepProbe bool // probe rows without a match are returned with nulls
	keepBuild bool
	semi      bool // returns probe rows alone, at most once: with a match, or without one if anti
	anti      bool
	unused    []bool // per output column: nobody reads it; nil: all are read
	unjudged  []bool // per output column: the residual condition does not read it either; nil: it reads all
}

func newJoin(f *frame, n *plan.Join) (operator, error) {
	o := &joinOp{f: f, narrows: n.Narrows, mem: f.run.chargeOf(n)}
	o.semi, o.anti = n.Kind == plan.SemiJoin || n.Kind == plan.AntiJoin, n.Kind == plan.AntiJoin
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

// readOnly tells the operator that only the columns that exprs read are looked at.
func readOnly(in operator, exprs []*expr) {
	if m, ok := in.(*measured); ok {
		in = m.operator
	}
	o, ok := in.(*joinOp)
	if !ok || o.semi {
		return
	}
	without := func(exprs []*expr) []bool {
		unread := make([]bool, len(o.buildTypes)+len(o.probeTypes))
		fill(unread, true)
		for _, e := range exprs {
			for _, c := range e.cols {
				unread[c] = false
			}
		}
		return unread
	}
	o.unused, o.unjudged = without(exprs), without(o.residual)
}

func (o *joinOp) next(ctx context.Context) (*vec.Batch, error) {
	if err := o.ready(ctx); err != nil {
		return nil, err
	}
	if o.one == nil {
		o.one = o.prober()
	}
	for !o.finished {
		if o.one.b == nil {
			if err := o.feed(ctx); err != nil {
				return nil, err
			}
		}
		b, err := o.one.step(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil && b.Len > 0 {
			return b, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return o.last(ctx)
}

// feed gives the one prober more of the probe side.
func (o *joinOp) feed(ctx context.Context) error {
	if !o.probed {
		b, err := o.probe.next(ctx)
		if err != nil {
			return err
		}
		if b != nil {
			return o.one.take(ctx, b)
		}
		o.probed = true
	}
	if o.one.beginBlock() {
		return nil
	}
	o.finished = true
	return o.endProbe()
}

// ready reads the build side.
func (o *joinOp) ready(ctx context.Context) error {
	if o.hashed {
		return nil
	}
	o.hashed = true
	borrow(o.build)
	kept := newRows(o.buildTypes)
	for {
		b, err := o.build.next(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		kept.append(b)
		// Hashing takes some 40 bytes a row more.
		size := kept.sizeBytes()
		switch full := o.mem.full(size + 40*int64(kept.n)); {
		case full && len(o.buildKeys) == 0:
			return o.page(ctx, kept)
		case full && o.canSplit():
			return o.divide(ctx, kept)
		}
		if err := o.mem.set(size); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	o.build.close()
	var err error
	if o.table, err = newJoinTable(ctx, o.f, kept, o.buildKeys, &o.mem); err == nil {
		o.narrow()
	}
	return err
}

func (o *joinOp) canSplit() bool { return len(o.buildKeys) > 0 && o.level < partitionLevels }

// divide gives up on a table: both sides go to a splitOp, this one now.
func (o *joinOp) divide(ctx context.Context, kept *rows) error {
	o.split = newSplit(o.f, o.mem.m, o.level, func(build, probe operator) (operator, error) {
		return &joinOp{joinSpec: o.joinSpec, f: o.f, build: build, probe: probe, level: o.level + 1, mem: charge{of: o.mem.of, m: o.mem.m}}, nil
	})
	o.split.left.types, o.split.left.keys = o.buildTypes, o.buildKeys
	o.split.right.types, o.split.right.keys = o.probeTypes, o.probeKeys
	d := o.split.divider(&o.split.left)
	if err := d.read(ctx, &emitter{b: kept.batch()}, giveBack{o.build, &o.mem}); err != nil {
		return err
	}
	return o.split.left.ready()
}

// giveBack is an operator with the first call of which a charge ends.
type giveBack struct {
	operator
	c *charge
}

func (o giveBack) next(ctx context.Context) (*vec.Batch, error) {
	o.c.release()
	return o.operator.next(ctx)
}

// endProbe is called when all probe rows were taken.
func (o *joinOp) endProbe() error {
	if o.split != nil {
		return o.split.right.ready()
	}
	switch {
	case !o.keepBuild:
	case o.pages != nil:
		o.loose = &looseRows{in: o.pages.read(o.f.run.opt.BatchRows), probers: o.probers}
	default:
		o.left = o.table.unmatched(o.probers)
	}
	return nil
}

// last returns what is due after the probe side: the parts, or build rows without a match.
func (o *joinOp) last(ctx context.Context) (*vec.Batch, error) {
	if o.split != nil {
		return o.split.next(ctx)
	}
	var b *vec.Batch
	switch {
	case o.loose != nil:
		var err error
		if b, err = o.loose.next(ctx); err != nil {
			return nil, err
		}
	case o.left != nil:
		b = o.left.next(o.f.run.opt.BatchRows)
	}
	if b == nil {
		return nil, nil
	}
	return o.combine(nullsOf(o.probeTypes, b.Len), b), nil
}

func (o *joinOp) input() operator { return o.probe }

// concurrent implements [stage]. A join that was pulled may have a batch in hand, so it goes on being pulled.
func (o *joinOp) concurrent() bool {
	return o.one == nil && concurrent(o.probeKeys) && concurrent(o.residual)
}

func (o *joinOp) worker() worker { return o.prober() }

func (o *joinOp) rest(ctx context.Context, emit emitFunc) error {
	for _, p := range o.probers {
		p.beginBlock()
		if err := p.drain(ctx, emit); err != nil {
			return err
		}
	}
	if err := o.endProbe(); err != nil {
		return err
	}
	for {
		b, err := o.last(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := emit(ctx, b); err != nil {
			return err
		}
	}
}

// combine puts probe and build columns side by side, left before right.
func (o *joinSpec) combine(probe, build *vec.Batch) *vec.Batch {
	left, right := probe.Columns, build.Columns
	if o.buildLeft {
		left, right = right, left
	}
	cols := make([]*vec.Vector, 0, len(left)+len(right))
	return &vec.Batch{Len: probe.Len, Columns: append(append(cols, left...), right...)}
}

// pickRead is b.Gather without the columns that are unread, if that is known; first is the first of b's in the output.
func pickRead(b *vec.Batch, unread []bool, first int, rows []int32) *vec.Batch {
	if unread == nil {
		return b.Gather(rows)
	}
	some := &vec.Batch{Len: b.Len}
	for i, c := range b.Columns {
		if !unread[first+i] {
			some.Columns = append(some.Columns, c)
		}
	}
	some = some.Gather(rows)
	out := &vec.Batch{Len: len(rows), Columns: make([]*vec.Vector, len(b.Columns))}
	k := 0
	for i := range b.Columns {
		if !unread[first+i] {
			out.Columns[i] = some.Columns[k]
			k++
		}
	}
	return out
}

// firsts returns where the columns of each side begin in the output.
func (o *joinSpec) firsts() (probe, build int) {
	if o.buildLeft {
		return len(o.buildTypes), 0
	}
	return 0, len(o.probeTypes)
}

// pairs puts the given rows of both sides together, but for columns that are unread.
func (o *joinSpec) pairs(probe, build *vec.Batch, unread []bool, probeRows, buildRows []int32) *vec.Batch {
	probeFirst, buildFirst := o.firsts()
	p := probe
	if !isWhole(probeRows, probe.Len) {
		p = pickRead(probe, unread, probeFirst, probeRows)
	}
	return o.combine(p, pickRead(build, unread, buildFirst, buildRows))
}

// isWhole reports whether rows, which ascend, are 0 to n-1 once each.
func isWhole(rows []int32, n int) bool {
	if len(rows) != n {
		return false
	}
	for i, r := range rows {
		if r != int32(i) {
			return false
		}
	}
	return true
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
	if o.split != nil {
		o.split.close()
	}
	o.closeLoops()
	o.mem.release()
	o.table, o.probers, o.one = nil, nil, nil
	o.hashed, o.probed, o.finished, o.left = true, true, true, nil
}

// joinTable is the build side: its rows are chained per distinct key. Without keys, all rows are one
// chain. It does not change once made.
type joinTable struct {
	rows  *vec.Batch
	keys  *groupTable // nil without keys
	head  []int32     // per key: first row, or -1; nil: row g has key g
	chain []int32     // per row: next of the same key, or -1; nil: no two rows have the same key
}

func newJoinTable(ctx context.Context, f *frame, kept *rows, keys []*expr, mem *charge) (*joinTable, error) {
	t := &joinTable{rows: kept.batch()}
	n := t.rows.Len
	if len(keys) == 0 {
		return oneChain(t.rows), mem.set(kept.sizeBytes() + 4*int64(n))
	}
	types := make([]vec.Type, len(keys))
	for i, k := range keys {
		types[i] = k.t
	}
	t.keys = newGroupTable(types).endBy(f.run.ended)
	ids := make([]int32, n)
	unique, partial := true, false
	const step = 1 << 14
	for from := 0; from < n; from += step {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := t.rows.Slice(from, min(from+step, n))
		vecs, err := evalAll(ctx, f, keys, part)
		if err != nil {
			return nil, err
		}
		out := ids[from : from+part.Len]
		t.keys.assign(vecs, part.Len, out)
		if mayNeverEqual(vecs) {
			for i := range out {
				if neverEqual(vecs, i) {
					out[i], partial = -1, true
				}
			}
		}
		unique = unique && t.keys.len() == from+part.Len
		if from == 0 && 2*t.keys.len() > part.Len {
			t.keys.reserve(int(int64(n) * int64(t.keys.len()) / int64(part.Len)))
		}
		if err := mem.set(kept.sizeBytes() + t.keys.sizeBytes() + 12*int64(n)); err != nil {
			return nil, err
		}
	}
	if unique && !partial {
		return t, nil
	}
	t.head = make([]int32, t.keys.len())
	fill(t.head, -1)
	if !unique {
		t.chain = make([]int32, n)
	}
	// Backwards, so that chains run forwards. Keys that equal nothing have no chain.
	for i := n - 1; i >= 0; i-- {
		g := ids[i]
		if t.chain != nil {
			t.chain[i] = -1
		}
		if g < 0 {
			continue
		}
		if t.chain != nil {
			t.chain[i] = t.head[g]
		}
		t.head[g] = int32(i)
	}
	return t, nil
}

// oneChain is a table without keys.
func oneChain(rows *vec.Batch) *joinTable {
	t := &joinTable{rows: rows, head: []int32{-1}, chain: make([]int32, rows.Len)}
	for i := range t.chain {
		t.chain[i] = int32(i) + 1
	}
	if n := rows.Len; n > 0 {
		t.chain[n-1], t.head[0] = -1, 0
	}
	return t
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

// unmatched returns the rows that no prober found.
func (t *joinTable) unmatched(probers []*prober) *emitter {
	order := []int32{}
	for i := range t.rows.Len {
		found := false
		for _, p := range probers {
			found = found || p.matched != nil && p.matched[i]
		}
		if !found {
			order = append(order, int32(i))
		}
	}
	return &emitter{b: t.rows, order: order}
}

// prober looks probe rows up, for one goroutine. take gives it a batch; step makes the batches that come of
// it, until b is nil.
type prober struct {
	o       *joinOp
	divider *divider    // of a join that is split
	loop    *proberLoop // of one whose build side is in a run
	table   *joinTable  // the join's, or a page of the run, then nil before the first
	reader  *keyReader
	matched []bool // per build row, if those without a match are wanted

	b       *vec.Batch
	ids     []int32 // per row: key number, or -1
	row     int     // next row to look at
	link    int32   // next build row of row's chain, if started
	started bool
	hit     []bool // per row: had a match; if wanted

	probeRows, buildRows []int32 // scratch of step
}

func (o *joinOp) prober() *prober {
	p := &prober{o: o, table: o.table}
	switch {
	case o.split != nil:
		p.divider = o.split.divider(&o.split.right)
		return p
	case o.pages != nil:
		p.loop = &proberLoop{block: newRows(o.probeTypes)}
	case o.table.keys != nil:
		p.reader = &keyReader{layout: &o.table.keys.layout}
	}
	switch {
	case o.keepBuild && o.pages != nil:
		p.matched = make([]bool, o.pages.disk.Rows())
	case o.keepBuild:
		p.matched = make([]bool, o.table.rows.Len)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probers = append(o.probers, p)
	return p
}

func (p *prober) apply(ctx context.Context, b *vec.Batch, emit emitFunc) error {
	if err := p.take(ctx, b); err != nil {
		return err
	}
	return p.drain(ctx, emit)
}

// drain emits what comes of the batch in hand, if there is one.
func (p *prober) drain(ctx context.Context, emit emitFunc) error {
	for p.b != nil {
		out, err := p.step(ctx)
		if err != nil {
			return err
		}
		if out != nil && out.Len > 0 {
			if err := emit(ctx, out); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// take looks the keys of a batch up.
func (p *prober) take(ctx context.Context, b *vec.Batch) error {
	if p.divider != nil {
		return p.divider.add(ctx, b)
	}
	if p.loop != nil {
		return p.collect(b)
	}
	o := p.o
	p.hold(b)
	if p.reader == nil {
		return nil
	}
	keys, err := evalAll(ctx, o.f, o.probeKeys, b)
	if err != nil {
		return err
	}
	p.ids = o.table.keys.lookupWith(p.reader, keys, b.Len, p.ids)
	if head := o.table.head; head != nil && o.table.chain == nil {
		for i, g := range p.ids {
			if g >= 0 {
				p.ids[i] = head[g]
			}
		}
	}
	return nil
}

// hold takes a batch in hand, whose rows have the one key of a table without keys.
func (p *prober) hold(b *vec.Batch) {
	p.b, p.row, p.started = b, 0, false
	if p.o.semi || p.o.keepProbe {
		p.hit = resize(p.hit, b.Len)
		clear(p.hit)
	}
	if p.reader == nil {
		p.ids = resize(p.ids, b.Len)
		clear(p.ids)
	}
}

// step makes one batch of pairs from the batch in hand. After the last pair it returns the rows
// of the batch that had no match, if they are wanted, and lets go of it.
func (p *prober) step(ctx context.Context) (*vec.Batch, error) {
	if p.b == nil {
		return nil, nil
	}
	if p.table == nil {
		if more, err := p.turn(ctx); err != nil {
			return nil, err
		} else if !more {
			return p.end(), nil
		}
	}
	if p.o.keepProbe && p.o.residual == nil && p.table.chain == nil {
		return p.outer(), nil
	}
	var probeRows, buildRows []int32
	if p.table.chain == nil {
		probeRows, buildRows = p.singles()
	} else {
		probeRows, buildRows = p.links()
	}
	switch {
	case len(probeRows) > 0:
	case p.loop != nil:
		p.table = nil // the next page's turn
		return nil, nil
	default:
		return p.end(), nil
	}
	return p.pairs(ctx, probeRows, buildRows)
}

// singles returns all pairs of a batch where no key has two build rows. They are valid until the next step.
func (p *prober) singles() (probeRows, buildRows []int32) {
	n := p.b.Len
	if p.row == n {
		return nil, nil
	}
	p.row = n
	probeRows, buildRows = resize(p.probeRows, n), resize(p.buildRows, n)
	p.probeRows, p.buildRows = probeRows, buildRows
	k := 0
	for i, r := range p.ids[:n] {
		probeRows[k], buildRows[k] = int32(i), r
		if r >= 0 {
			k++
		}
	}
	return probeRows[:k], buildRows[:k]
}

// links returns the next pairs, about a batch of them. They are valid until the next step.
func (p *prober) links() (probeRows, buildRows []int32) {
	o, t := p.o, p.table
	limit := max(o.f.run.opt.BatchRows, 1)
	probeRows, buildRows = p.probeRows[:0], p.buildRows[:0]
	defer func() { p.probeRows, p.buildRows = probeRows, buildRows }()
	for len(probeRows) < limit && p.row < p.b.Len {
		if !p.started {
			p.link, p.started = -1, true
			if g := p.ids[p.row]; g >= 0 {
				p.link = t.head[g]
			}
		}
		for ; p.link >= 0 && len(probeRows) < limit; p.link = t.chain[p.link] {
			if o.semi && p.hit[p.row] {
				p.link = -1
				break
			}
			probeRows, buildRows = append(probeRows, int32(p.row)), append(buildRows, p.link)
			if o.semi && o.residual == nil {
				p.link = -1
				break
			}
		}
		if p.link >= 0 {
			break
		}
		p.row, p.started = p.row+1, false
	}
	return probeRows, buildRows
}

// pairs returns the pairs that pass the residual condition.
func (p *prober) pairs(ctx context.Context, probeRows, buildRows []int32) (*vec.Batch, error) {
	o := p.o
	if o.residual != nil {
		rows, all, err := filterRows(ctx, o.f, o.residual, o.pairs(p.b, p.table.rows, o.unjudged, probeRows, buildRows))
		if err != nil {
			return nil, err
		}
		if !all { // rows ascend, so each is taken before it is overwritten
			for k, r := range rows {
				probeRows[k], buildRows[k] = probeRows[r], buildRows[r]
			}
			probeRows, buildRows = probeRows[:len(rows)], buildRows[:len(rows)]
		}
	}
	if p.o.semi || p.o.keepProbe {
		for _, r := range probeRows {
			p.hit[r] = true
		}
	}
	if p.matched != nil {
		first := 0
		if p.loop != nil {
			first = p.loop.first
		}
		for _, r := range buildRows {
			p.matched[first+int(r)] = true
		}
	}
	if o.semi {
		return nil, nil // end returns the rows
	}
	return o.pairs(p.b, p.table.rows, o.unused, probeRows, buildRows), nil
}

// outer lets go of the batch in hand and returns its rows with their build rows, or nulls where there is none: all that is due
// of it where no key has two build rows and no condition is left.
func (p *prober) outer() *vec.Batch {
	b, o := p.b, p.o
	p.b = nil
	build := o.table.rows
	rows, misses := resize(p.buildRows, b.Len), []int32(nil)
	p.buildRows = rows
	for i, r := range p.ids[:b.Len] {
		switch {
		case r < 0:
			misses = append(misses, int32(i))
		case p.matched != nil:
			p.matched[r] = true
		}
		rows[i] = max(r, 0)
	}
	if len(misses) == b.Len {
		return o.combine(b, nullsOf(o.buildTypes, b.Len))
	}
	_, first := o.firsts()
	out := pickRead(build, o.unused, first, rows)
	if len(misses) == 0 {
		return o.combine(b, out)
	}
	for i, v := range out.Columns {
		if v != nil {
			out.Columns[i] = withNullAt(v, misses)
		}
	}
	return o.combine(b, out)
}

// withNullAt is v, that nobody else reads, with more nulls.
func withNullAt(v *vec.Vector, rows []int32) *vec.Vector {
	if v.Type.Kind == vec.Unknown {
		return v
	}
	u := *v.Flat()
	nulls := make([]bool, u.Len())
	copy(nulls, u.Nulls)
	for _, r := range rows {
		nulls[r] = true
	}
	u.Nulls = nulls
	return &u
}

// end lets go of the batch in hand and returns what is due of it besides pairs.
func (p *prober) end() *vec.Batch {
	b, o := p.b, p.o
	p.b = nil
	if !o.semi && !o.keepProbe {
		return nil
	}
	want := o.semi && !o.anti
	rows := make([]int32, 0, b.Len)
	for i := range b.Len {
		if p.hit[i] == want {
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
