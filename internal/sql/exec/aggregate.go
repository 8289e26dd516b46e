package exec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// aggregateOp groups rows by hash, or merges partial aggregates that storage computed.
//
// Each worker groups the rows that it gets in groups of its own, and these are combined at the end. Rows
// mostly come in series order, where most are of the group of the row before. Where they are not and a worker
// has more groups than its caches hold, it makes no new ones: rows of other groups are divided by their
// keys into parts (see partitions), and in the end part after part is grouped, in tables that are small
// again, together with what the workers have of its groups. The same happens when memory is short; then the
// parts go to disk, and a part that is too large is divided again.
type aggregateOp struct {
	f       *frame
	n       *plan.Aggregate
	in      *pipeline
	g       *grouping
	workers []*groupWorker

	returned int // of the groups of worker 0, the first ones: were returned already (DISTINCT)

	mem sharedCharge

	dividing    sync.Once
	near        bool // see divideBy and hashNear
	least, most int64

	final   bool // results are those of storage
	ready   bool
	phases  []*groupPhase // to do, the last first
	results []*vec.Batch  // ready, in order
	out     *emitter
	left    int64 // charged for results
}

func newAggregate(f *frame, n *plan.Aggregate) (operator, error) {
	measured := plan.Node(n)
	if first := distinctFirst(n); first != nil {
		n = first
	} else if parts := setsOf(n); parts != nil {
		return newDistinctSets(f, n, parts)
	}
	in, err := build(f, n.Input)
	if err != nil {
		return nil, err
	}
	o, err := aggregateOf(f, n, in, measured)
	if err != nil {
		in.close()
	}
	return o, err
}

// aggregateOf makes the operator; what it holds is put down to measured.
func aggregateOf(f *frame, n *plan.Aggregate, in operator, measured plan.Node) (*aggregateOp, error) {
	g, err := newGrouping(f.run, n.Keys, n.Aggs)
	if err != nil {
		return nil, err
	}
	readOnly(in, g.inputs)
	o := &aggregateOp{f: f, n: n, in: newPipeline(f, in), g: g, mem: sharedCharge{mem: f.run.chargeOf(measured)}}
	o.in.serial = !g.concurrent()
	o.reset()
	return o, nil
}

// distinctFirst returns a plan that does the same as n, where all aggregates are DISTINCT over the same
// arguments: first the distinct keys and arguments, which parallelise and spill, then plain
// aggregates over them. Otherwise it returns nil.
func distinctFirst(n *plan.Aggregate) *plan.Aggregate {
	if len(n.Aggs) == 0 || n.Pushed != nil {
		return nil
	}
	args := n.Aggs[0].Args
	for _, a := range n.Aggs {
		if !a.Distinct || a.Filter != nil || len(a.Order) > 0 || len(a.Args) == 0 || !slices.EqualFunc(a.Args, args, plan.Same) {
			return nil
		}
	}
	column := func(i int, e plan.Expr) plan.Expr { return &plan.Column{Index: i, T: e.Type()} }
	out := &plan.Aggregate{Input: &plan.Aggregate{Input: n.Input, Keys: append(slices.Clone(n.Keys), args...)}}
	for i, k := range n.Keys {
		out.Keys = append(out.Keys, column(i, k))
	}
	for _, a := range n.Aggs {
		a.Distinct, a.Args = false, slices.Clone(a.Args)
		for i, arg := range a.Args {
			if _, ok := arg.(*plan.Const); !ok { // some functions want their parameters constant
				a.Args[i] = column(len(n.Keys)+i, arg)
			}
		}
		out.Aggs = append(out.Aggs, a)
	}
	return out
}

// reset forgets all groups.
func (o *aggregateOp) reset() { o.workers = make([]*groupWorker, o.f.run.workers()) }

func (o *aggregateOp) next(ctx context.Context) (*vec.Batch, error) {
	if !o.ready {
		if err := o.consume(ctx); err != nil {
			return nil, err
		}
		if err := o.finish(ctx); err != nil {
			return nil, err
		}
		o.ready = true
	}
	for {
		if o.out != nil {
			if b := o.out.next(o.f.run.opt.BatchRows); b != nil {
				return b, nil
			}
			o.out = nil
		}
		if len(o.results) == 0 {
			if more, err := o.advance(ctx); err != nil || !more {
				return nil, err
			}
			continue
		}
		o.out = &emitter{b: o.results[0]}
		o.results = o.results[1:]
	}
}

func (o *aggregateOp) consume(ctx context.Context) error {
	if done, err := o.pushed(ctx); done || err != nil {
		return err
	}
	return o.in.run(ctx, func(w int) emitFunc { return o.worker(w).add })
}

// worker returns worker w, which is new at first.
func (o *aggregateOp) worker(w int) *groupWorker {
	if o.workers[w] == nil {
		o.workers[w] = &groupWorker{o: o, groups: newGroups(o.g)}
	}
	return o.workers[w]
}

// pushed lets storage group, if it takes that on, and reports whether it has.
func (o *aggregateOp) pushed(ctx context.Context) (bool, error) {
	in := o.in.source
	if m, ok := in.(*measured); ok {
		in = m.operator
	}
	scan, ok := in.(*scanOp)
	if !ok || len(o.in.stages) > 0 || o.n.Pushed == nil || o.f.run.opt.NoPushdown || scan.n.Spec.From >= scan.n.Spec.To {
		return false, nil
	}
	applied, err := scan.start(ctx, &o.n.Pushed.Spec)
	if err != nil || !applied {
		return false, err
	}
	fits, err := o.mergeAll(ctx, scan)
	if err != nil || fits && !scan.matchFailed() {
		return true, err
	}
	// Look at the rows: there are more groups than memory may hold, or some row may belong to no
	// group, or fail the query.
	o.reset()
	o.mem.release()
	o.final, o.results, o.left = false, nil, 0
	_, err = scan.start(ctx, nil)
	return false, err
}

// mergeAll reads partial aggregates to their end, or until they do not fit into memory.
func (o *aggregateOp) mergeAll(ctx context.Context, scan *scanOp) (fits bool, err error) {
	push := o.n.Pushed
	keys, err := compileAll(push.Keys)
	if err != nil {
		return false, err
	}
	o.final = scan.applied.Final && o.g.keys > 0 && push.KeepsKeys()
	var w *groupWorker
	if !o.final {
		w = o.worker(0)
	}
	for {
		b, err := scan.raw(ctx)
		if err != nil || b == nil {
			return true, err
		}
		vecs, err := evalAll(ctx, o.f, keys, b)
		if err != nil {
			return false, err
		}
		for i, v := range vecs {
			vecs[i] = retype(v, keys[i].t)
		}
		if o.final {
			fits, err = o.settle(vecs, b)
		} else {
			fits, err = o.mergeStates(w, vecs, b)
		}
		if !fits || err != nil {
			return false, err
		}
	}
}

// mergeStates adds a batch of partial aggregates to the groups of w, unless they do not fit into memory.
func (o *aggregateOp) mergeStates(w *groupWorker, keys []*vec.Vector, b *vec.Batch) (fits bool, err error) {
	s := w.groups
	ids := s.assign(keys, b.Len)
	for i := range s.aggs {
		if err := o.mergeInto(s.aggs[i].acc, i, ids, s.count(), b); err != nil {
			return false, err
		}
	}
	full, err := o.mem.hold(&w.charged, s.sizeBytes())
	return !full, err
}

// settle makes results of a batch of partial aggregates, each of which is all there is of its group, unless
// they do not fit into memory.
func (o *aggregateOp) settle(keys []*vec.Vector, b *vec.Batch) (fits bool, err error) {
	out := &vec.Batch{Len: b.Len, Columns: append(make([]*vec.Vector, 0, len(keys)+len(o.g.aggs)), keys...)}
	var ids []int32
	size := int64(8 * b.Len * len(keys))
	for i := range o.g.aggs {
		call := o.g.aggs[i].n.Call
		acc := call.Func.New(call.Args, call.Return)
		if s, ok := acc.(fn.Settler); ok {
			if v := s.Settle(o.statesOf(i, b)); v != nil {
				out.Columns = append(out.Columns, retype(v, call.Return))
				size += int64(9 * b.Len)
				continue
			}
		}
		if ids == nil {
			ids = allRows(b.Len)
		}
		if err := o.mergeInto(acc, i, ids, b.Len, b); err != nil {
			return false, err
		}
		v, err := acc.Result()
		if err != nil {
			return false, err
		}
		out.Columns = append(out.Columns, retype(v, call.Return))
		size += acc.SizeBytes()
	}
	o.results = append(o.results, out)
	full, err := o.mem.hold(&o.left, o.left+size)
	return !full, err
}

// mergeInto adds the states of aggregate i in b to n groups.
func (o *aggregateOp) mergeInto(acc fn.Accumulator, i int, ids []int32, n int, b *vec.Batch) error {
	m, ok := acc.(fn.Merger)
	if !ok {
		return fmt.Errorf("bug: %s was pushed down and cannot merge", o.n.Aggs[i].Call.Func.Name)
	}
	m.Resize(n)
	return m.Merge(ids, o.statesOf(i, b))
}

// statesOf is the columns of b with the states of aggregate i.
func (o *aggregateOp) statesOf(i int, b *vec.Batch) []*vec.Vector {
	at := o.n.Pushed.States[i]
	return b.Columns[at : at+o.n.Pushed.Widths[i]]
}

// groupWorker is one worker's groups and the rows that it set aside.
type groupWorker struct {
	o      *aggregateOp
	groups *groups
	mode   groupMode
	parts  *partitions // nil until needed

	rows       int64 // seen
	tried, hit int64 // looked up in mode hitting, and found
	hashes     []uint64
	charged    int64
}

type groupMode uint8

const (
	growing groupMode = iota // new groups are made
	hitting                  // rows of known groups are added, others set aside
	passing                  // all rows are set aside
)

// cachedGroups is how many groups a worker makes where rows come in no order: their table and states
// fit into a core's second-level cache.
const cachedGroups = 1 << 15

func (w *groupWorker) add(ctx context.Context, b *vec.Batch) error {
	in, err := w.o.g.eval(ctx, w.o.f, b)
	if err != nil {
		return err
	}
	w.rows += int64(b.Len)
	switch w.mode {
	case growing:
		if err := w.groups.add(in, b.Len); err != nil {
			return err
		}
		if w.o.g.keys > 0 && w.groups.entries() > cachedGroups && 4*w.groups.table.heads > w.rows {
			w.stop(hitting)
		}
	case hitting:
		if err := w.addHits(in, b.Len); err != nil {
			return err
		}
	case passing:
		w.setAside(in, b.Len)
	}
	return w.account(ctx)
}

// stop makes no more groups.
func (w *groupWorker) stop(mode groupMode) {
	for i := range w.o.g.aggs {
		if a := &w.o.g.aggs[i]; a.n.Distinct || a.order != nil {
			mode = passing // they grow without new groups
		}
	}
	w.mode = max(w.mode, mode)
	if w.parts == nil {
		w.o.divideBy(w.groups.table)
		w.parts = newPartitions(w.o.f.run, w.o.mem.mem.m, w.o.g.types, 0)
	}
}

// addHits adds the rows whose groups are there and sets the others aside. Where few are there, it
// does not pay to look.
func (w *groupWorker) addHits(in []*vec.Vector, n int) error {
	ids := w.groups.table.lookup(in[:w.o.g.keys], n, w.groups.ids)
	w.groups.ids = ids
	hits, misses := make([]int32, 0, n), make([]int32, 0, n)
	for i, g := range ids {
		if g >= 0 {
			hits = append(hits, int32(i))
		} else {
			misses = append(misses, int32(i))
		}
	}
	w.tried, w.hit = w.tried+int64(n), w.hit+int64(len(hits))
	if w.tried > 8*partitionChunk && 2*w.hit < w.tried {
		w.mode = passing
	}
	if len(misses) == 0 {
		return w.groups.feed(ids, in, n)
	}
	w.setAside(gatherAll(in, misses), len(misses))
	if len(hits) == 0 {
		return nil
	}
	return w.groups.feed(gather(ids, hits), gatherAll(in, hits), len(hits))
}

// nearSpan is how far apart numbers may lie for parts of them to have arrays: of 2^16 entries then, 256 KiB.
const nearSpan = 1 << (16 + partitionBits)

// divideBy decides how rows are divided, by the groups of the worker that is the first to ask.
func (o *aggregateOp) divideBy(t *groupTable) {
	o.dividing.Do(func() {
		if t.wholes {
			o.least, o.most = t.bounds()
			o.near = o.least <= o.most && uint64(o.most)-uint64(o.least) < nearSpan
		}
	})
}

// hash returns the hashes by which rows with these keys are divided.
func (o *aggregateOp) hash(keys []*vec.Vector, n int, h []uint64) []uint64 {
	if o.near {
		return hashNear(keys[0], n, h)
	}
	return hashKeys(keys, n, h)
}

func gatherAll(in []*vec.Vector, rows []int32) []*vec.Vector {
	out := make([]*vec.Vector, len(in))
	for i, v := range in {
		out[i] = v.Gather(rows)
	}
	return out
}

func (w *groupWorker) setAside(in []*vec.Vector, n int) {
	w.hashes = w.o.hash(in[:w.o.g.keys], n, w.hashes)
	w.parts.add(in, w.hashes)
}

func (w *groupWorker) sizeBytes() int64 {
	size := w.groups.sizeBytes() + 8*int64(cap(w.hashes))
	if w.parts != nil {
		size += w.parts.bytes
	}
	return size
}

// account charges what the worker holds, and spills if that is too much.
func (w *groupWorker) account(ctx context.Context) error {
	r := w.o.f.run
	size := w.sizeBytes()
	if w.o.g.keys > 0 && w.mode < passing && r.canSpill() && size*int64(r.workers()) > r.memory.limit/4 {
		w.stop(passing) // groups stay in memory to the end
	}
	if w.o.g.keys == 0 {
		return w.o.mem.insist(&w.charged, size)
	}
	full, err := w.o.mem.hold(&w.charged, size)
	if err != nil || !full {
		return err
	}
	w.stop(passing)
	if w.parts.bytes >= w.parts.spillLeast() {
		if err := w.parts.flush(ctx); err != nil {
			return err
		}
	}
	return w.o.mem.insist(&w.charged, w.sizeBytes())
}

// finish combines what the workers have, or leaves that to advance.
func (o *aggregateOp) finish(ctx context.Context) error {
	if o.final {
		return nil
	}
	o.worker(0) // without rows, there may be one group
	ph := &groupPhase{o: o}
	divided := o.returned > 0
	others := 0
	for w, worker := range o.workers {
		if worker == nil {
			continue
		}
		if w > 0 {
			others += worker.groups.count()
		}
		ph.sets, ph.known = append(ph.sets, worker.groups), append(ph.known, 0)
		if worker.parts == nil {
			continue
		}
		divided = true
		if err := worker.parts.finish(); err != nil {
			return err
		}
		ph.parts = append(ph.parts, worker.parts)
	}
	ph.known[0] = o.returned
	if !divided && (others <= cachedGroups || o.g.keys == 0) {
		return o.combineAll(ctx, ph.sets)
	}
	o.divideBy(ph.sets[0].table)
	o.phases = append(o.phases, ph)
	return nil
}

// combineAll adds all groups to those of the first.
func (o *aggregateOp) combineAll(ctx context.Context, sets []*groups) error {
	for _, other := range sets[1:] {
		if err := sets[0].combine(other, other.table.columns(), allRows(other.count())); err != nil {
			return err
		}
	}
	if err := o.mem.insist(&o.left, sets[0].sizeBytes()); err != nil {
		return err
	}
	b, err := sets[0].result(ctx)
	o.results = []*vec.Batch{b}
	return err
}

// groupPhase is groups and rows of the same keys, to be grouped part by part.
type groupPhase struct {
	o     *aggregateOp
	level int
	sets  []*groups
	known []int           // per set: how many groups, the first ones, were returned already
	parts []*partitions   // of this level
	next  int             // part
	keys  [][]*vec.Vector // of sets
	lists [][][]int32     // of sets: per part the groups
	held  int64           // charged for sets, of a phase made of a part
}

// divide divides the groups of the sets.
func (ph *groupPhase) divide() {
	for _, s := range ph.sets {
		keys := s.table.columns()
		ph.keys = append(ph.keys, keys)
		ph.lists = append(ph.lists, byPartition(ph.o.hash(keys, s.count(), nil), ph.level))
	}
}

// groupSome does the next n parts of a phase, in parallel, and returns what is charged for their results. Those that are too large
// after all become phases of their own.
func (o *aggregateOp) groupSome(ctx context.Context, ph *groupPhase, n int) (held int64, err error) {
	first := ph.next
	ph.next += n
	results, subs, sizes := make([]*vec.Batch, n), make([]*groupPhase, n), make([]int64, n)
	err = inParallel(ctx, o.f.run.workers(), n, func(i int) (err error) {
		results[i], subs[i], err = ph.group(ctx, first+i, &sizes[i])
		return err
	})
	for i, sub := range subs {
		switch {
		case sub != nil:
			sub.held = sizes[i]
			o.phases = append(o.phases, sub)
			continue
		case results[i] != nil && results[i].Len > 0:
			o.results = append(o.results, results[i])
		}
		held += sizes[i]
	}
	return held, err
}

// group groups part p. A part that memory cannot hold becomes a phase of its own in place of a result.
func (ph *groupPhase) group(ctx context.Context, p int, held *int64) (*vec.Batch, *groupPhase, error) {
	o := ph.o
	if ph.empty(p) {
		return &vec.Batch{}, nil, nil
	}
	s := newGroups(o.g)
	expect := ph.expect(p)
	if o.near {
		s.table.step = partitionBits
	}
	if !o.near || !s.table.makeRoom(o.least, o.most, expect) {
		s.table.reserve(expect)
	}
	known := 0
	for i, other := range ph.sets {
		rows := ph.lists[i][p]
		old, _ := slices.BinarySearch(rows, int32(ph.known[i]))
		if err := s.combine(other, ph.keys[i], rows[:old]); err != nil {
			return nil, nil, err
		}
	}
	known = s.table.len()
	for i, other := range ph.sets {
		rows := ph.lists[i][p]
		old, _ := slices.BinarySearch(rows, int32(ph.known[i]))
		if err := s.combine(other, ph.keys[i], rows[old:]); err != nil {
			return nil, nil, err
		}
	}
	var sub *groupPhase
	add := func(ctx context.Context, b *vec.Batch) error {
		if sub != nil {
			return sub.setAside(ctx, b, held)
		}
		if err := s.add(b.Columns, b.Len); err != nil {
			return err
		}
		full, err := o.mem.hold(held, s.sizeBytes())
		if err != nil || !full {
			return err
		}
		if ph.level+1 < partitionLevels {
			sub = &groupPhase{o: o, level: ph.level + 1, sets: []*groups{s}, known: []int{known},
				parts: []*partitions{newPartitions(o.f.run, o.mem.mem.m, o.g.types, ph.level+1)}}
		}
		return o.mem.insist(held, s.sizeBytes())
	}
	for _, parts := range ph.parts {
		freed := parts.parts[p].held
		if err := parts.read(ctx, p, add); err != nil {
			return nil, nil, err
		}
		if err := o.mem.insist(&freed, 0); err != nil {
			return nil, nil, err
		}
	}
	if sub != nil {
		return nil, sub, sub.parts[0].finish()
	}
	b, err := s.result(ctx)
	if err == nil && known > 0 {
		b = b.Slice(known, b.Len)
	}
	return b, nil, err
}

// expect estimates the groups of part p: as many as there are rows, if those that the workers saw before
// they set rows aside were of ever new groups; else as many as that many different ones in so many rows tell.
func (ph *groupPhase) expect(p int) int {
	rows, sets := 0, 0
	for _, parts := range ph.parts {
		rows += parts.parts[p].rows
	}
	for i := range ph.sets {
		sets += len(ph.lists[i][p])
	}
	most := float64(rows + sets)
	if t := ph.sets[0].table; rows > 0 && float64(t.n) < 0.95*float64(t.heads) {
		// n = all · (1 - e^(-heads/all)), solved by halving.
		low, high := float64(t.n), 64*float64(t.n)
		for range 20 {
			all := (low + high) / 2
			if all*(1-math.Exp(-float64(t.heads)/all)) < float64(t.n) {
				low = all
			} else {
				high = all
			}
		}
		most = min(most, 1.1*high/partitionCount)
	}
	return min(int(most), 1<<20)
}

// empty reports whether there is nothing in part p.
func (ph *groupPhase) empty(p int) bool {
	for i := range ph.sets {
		if len(ph.lists[i][p]) > 0 {
			return false
		}
	}
	for _, parts := range ph.parts {
		if !parts.parts[p].empty() {
			return false
		}
	}
	return true
}

// setAside adds rows to a phase that is yet to begin.
func (ph *groupPhase) setAside(ctx context.Context, b *vec.Batch, held *int64) error {
	parts := ph.parts[0]
	parts.add(b.Columns, ph.o.hash(b.Columns[:ph.o.g.keys], b.Len, nil))
	size := ph.sets[0].sizeBytes() + parts.bytes
	full, err := ph.o.mem.hold(held, size)
	if err != nil || !full {
		return err
	}
	if parts.bytes >= parts.spillLeast() {
		if err := parts.flush(ctx); err != nil {
			return err
		}
		size = ph.sets[0].sizeBytes()
	}
	return ph.o.mem.insist(held, size)
}

// advance does the next parts of what was divided; false: there is none.
func (o *aggregateOp) advance(ctx context.Context) (bool, error) {
	for len(o.phases) > 0 {
		ph := o.phases[len(o.phases)-1]
		if ph.next == partitionCount {
			o.phases = o.phases[:len(o.phases)-1]
			ph.drop()
			if err := o.mem.insist(&ph.held, 0); err != nil {
				return false, err
			}
			continue
		}
		if ph.next == 0 {
			ph.divide()
		}
		// What the last parts held is gone, their rows were returned.
		if err := o.mem.insist(&o.left, 0); err != nil {
			return false, err
		}
		held, err := o.groupSome(ctx, ph, ph.together())
		if o.left = held; err != nil {
			return false, err
		}
		if len(o.results) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// together is how many of the next parts are done before their results are returned: as many as take no more
// than half of the memory that is left before operators spill. A row that makes a group takes up to four times what it took
// when it was set aside: its key, states and place in a table that is half full.
func (ph *groupPhase) together() int {
	r := ph.o.f.run
	room := r.memory.reach() / 4 * 3
	if after := r.memory.spillAfter; after > 0 {
		room = after
	}
	room = (room - ph.o.mem.charged()) / 2
	groupBytes := make([]int64, len(ph.sets))
	for i, s := range ph.sets {
		groupBytes[i] = s.sizeBytes() / int64(max(s.count(), 1))
	}
	n := 0
	for p := ph.next; p < partitionCount; p++ {
		for i, size := range groupBytes {
			room -= size * int64(len(ph.lists[i][p]))
		}
		for _, parts := range ph.parts {
			room -= 4 * parts.rowBytes() * int64(parts.parts[p].rows)
		}
		if n > 0 && room < 0 {
			break
		}
		n++
	}
	return n
}

// drop lets go of the rows that a phase had on disk.
func (ph *groupPhase) drop() {
	for _, p := range ph.parts {
		p.drop()
	}
}

func (o *aggregateOp) close() {
	o.in.close()
	for _, w := range o.workers {
		if w != nil && w.parts != nil {
			w.parts.drop()
		}
	}
	for _, ph := range o.phases {
		ph.drop()
	}
	o.workers, o.phases, o.results = nil, nil, nil
	o.mem.release()
	o.ready, o.out = true, nil
}
