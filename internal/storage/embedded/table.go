package embedded

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vec"
)

// table is one table of a [Store].
//
// Its state is a function of the log: a request is judged against the window of
// acceptance and written to the log first; once durable it is applied, in the order
// of the log, and only then judged by names, types and versions. A replay after a
// crash applies the same records in the same order and comes to the same state, and
// readers never see a row that a crash could take away.
//
// Whoever waits for a request applies all durable ones before it too, so there is
// no goroutine that applies and no turn to wait for.
type table struct {
	id    storage.TableID
	uid   uint64 // names the table in the log; never used twice
	store *Store

	rules    atomic.Pointer[rules]
	observed atomic.Pointer[observed]
	view     atomic.Pointer[view]
	registry *series.Registry
	dropped  atomic.Bool
	doubt    doubt
	stuck    halt     // applying and flushing rows: see contain.go
	kept     halt     // merging, purging and expiring segments
	held     heldBack // since the start; not changed after it

	late sync.RWMutex // held by who writes late rows, from the question to the judgement: see late.go; taken before applyMu

	submitMu sync.Mutex // guards the fields below, and keeps the order of pending that of the log
	pending  []*request
	epoch    wal.Position // at which the numbers of series in the log begin
	era      uint64       // of the log, in which they do
	numbered []uint64     // by series, a bit: its number is in the log since then
	numbers  bool         // the log has records of the epoch

	applyMu   sync.Mutex // guards the fields below and replacing view; taken before submitMu
	names     *names
	accepted  []acceptedKinds // by series: what names need no more judging
	flushed   []int64         // by series: greatest time in segments written since the start
	openMax   int64           // greatest time in segments that were there at the start
	applied   wal.Position    // of the last record applied
	first     wal.Position    // from which on the log is needed for the records applied since the last freeze, if unflushed
	unflushed bool
	bytes     int64          // of active, as far as the store has counted them
	values    int64          // likewise, as weigh counts them
	uncounted bool           // the store counts nothing of the table any more: it was dropped
	cols      []memstore.Col // scratch
	lookups   lookups        // blocks read to judge versions
}

// minTime is before all times.
const minTime = math.MinInt64

// rules is a table's policy and what it has deleted; replaced, never modified.
type rules struct {
	policy storage.Policy
	low    int64 // rows before are deleted for good
}

// view is where a table's rows are. Scans load it once. It is replaced, never
// modified; rows move from active to frozen to segments, and a newer view holds all
// that an older one held.
type view struct {
	active   *memstore.Store
	frozen   []*frozenStore // oldest first
	segments []*segmentFile // oldest first
	deletes  []*deletion    // that sources are subject to, in the order of the log: see delete.go
}

// acceptedKinds is what kinds of records of a series have passed the judgement of
// names: such records need only their columns looked up.
type acceptedKinds struct {
	multi  bool
	single vec.Kind
}

// request is one Write on its way.
type request struct {
	rows    *storage.Rows
	pick    []int32     // rows that passed the window
	ids     []series.ID // of the picked rows
	missing []int32     // of ids that are to be looked up by keys, in their order
	keys    series.Keys
	found   []series.ID  // scratch
	live    bool         // from a caller, and not replayed
	asked   bool         // remote segments, before it was logged: see late.go
	answers []answer     // of theirs, by row
	memory  int64        // rows older belong to the magnetic store
	epoch   wal.Position // from which on the log is needed to replay the record
	ticket  wal.Ticket
	receipt storage.Receipt
	encoder recordEncoder
	fresh   []int32 // scratch

	// While the log is replayed, rows come without their measure name and dimensions, which are looked
	// up for the few that need them. The order of each row's dimensions is in names; see numbered.
	orders []int32
	names  [][]string

	deletion *deletion // a Delete and no Write
	before   *plan     // once it is applied: to count its rows
}

func newTable(s *Store, id storage.TableID, uid uint64, r rules, n *names) *table {
	t := &table{id: id, uid: uid, store: s, registry: series.NewRegistry(), names: n, openMax: minTime}
	t.rules.Store(&r)
	t.observed.Store(n.observed)
	t.view.Store(&view{active: memstore.New()})
	return t
}

// Schema implements [storage.Table].
func (t *table) Schema() *storage.Schema { return &t.observed.Load().Schema }

// Stats implements [storage.Table].
func (t *table) Stats() storage.TableStats {
	v := t.view.Load()
	s := storage.TableStats{Rows: v.active.Rows(), MemoryBytes: v.active.Bytes(), Series: int64(t.registry.Len())}
	for _, m := range v.frozen {
		s.Rows += m.Rows()
		s.MemoryBytes += m.Bytes()
	}
	for _, seg := range v.segments {
		s.Rows += seg.meta.Rows
		s.MagneticBytes += seg.meta.Bytes
		s.Series = max(s.Series, seg.meta.Series)
	}
	return s
}

func (t *table) gone() error {
	return fault.New(fault.NotFound, "The table %s does not exist.", t.id.Table)
}

var requests = sync.Pool{New: func() any { return new(request) }}

// Write implements [storage.Table].
func (t *table) Write(ctx context.Context, rows *storage.Rows) (storage.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return storage.Receipt{}, fault.Wrap(fault.Cancelled, err, "The write was cancelled.")
	}
	if t.dropped.Load() {
		return storage.Receipt{}, t.gone()
	}
	if err := errors.Join(t.takes(), t.sure()); err != nil {
		return storage.Receipt{}, err
	}
	if err := t.store.admit(ctx); err != nil {
		return storage.Receipt{}, err
	}
	r := requests.Get().(*request)
	r.reset(rows)
	t.admitRows(r)
	if len(r.pick) > 0 {
		t.resolve(r)
		if t.store.remote != nil && r.late() {
			t.late.RLock()
			defer t.late.RUnlock()
		}
		if err := t.ask(ctx, r); err != nil {
			return storage.Receipt{}, err
		}
		// A request that failed is not used again: a table that is stuck keeps those it could not apply
		// in its queue, where the first tells what of the log is needed.
		if err := t.log(r); err != nil {
			return storage.Receipt{}, err
		}
	}
	receipt := r.receipt
	r.receipt, r.rows = storage.Receipt{}, nil
	requests.Put(r)
	return receipt, nil
}

func (r *request) reset(rows *storage.Rows) {
	r.rows, r.receipt, r.asked, r.answers = rows, storage.Receipt{}, false, r.answers[:0]
	r.pick, r.ids, r.missing = r.pick[:0], r.ids[:0], r.missing[:0]
	r.keys.Bytes, r.keys.Ends = r.keys.Bytes[:0], r.keys.Ends[:0]
}

// admitRows judges rows by what needs no order: the window and the required dimension.
func (t *table) admitRows(r *request) {
	rules := t.rules.Load()
	from, to, memory := rules.policy.Window(t.store.clock.Now())
	from = max(from, rules.low)
	r.memory = memory
	for i := range r.rows.Rows {
		row := &r.rows.Rows[i]
		switch need := rules.policy.RequiredDimension; {
		case row.TimeNs < from || row.TimeNs >= to:
			r.receipt.Rejections = append(r.receipt.Rejections,
				storage.Rejection{Row: i, Cause: storage.OutsideWindow, Version: row.Version, WindowFrom: from, WindowTo: to})
		case need != "" && !hasDimension(row, need):
			r.receipt.Rejections = append(r.receipt.Rejections,
				storage.Rejection{Row: i, Cause: storage.MissingDimension, Version: row.Version, Column: need})
		default:
			r.pick = append(r.pick, int32(i))
			if m := row.Memo; m != nil && m.Owner == t.registry.Token() {
				r.ids = append(r.ids, series.ID(m.ID))
				continue
			}
			r.missing = append(r.missing, int32(len(r.ids)))
			r.ids = append(r.ids, 0)
			r.keys.Bytes = series.AppendKey(r.keys.Bytes, row.Measure, row.Dimensions)
			r.keys.Ends = append(r.keys.Ends, len(r.keys.Bytes))
		}
	}
}

// resolve looks up the series that admitRows did not find in memos, and notes them there.
func (t *table) resolve(r *request) {
	if len(r.missing) == 0 {
		return
	}
	var err error
	if r.found, err = t.registry.Resolve(r.found[:0], &r.keys); err != nil {
		panic("bug: " + err.Error()) // we made the keys
	}
	for k, i := range r.missing {
		r.ids[i] = r.found[k]
		if m := r.rows.Rows[r.pick[i]].Memo; m != nil {
			*m = storage.Memo{Owner: t.registry.Token(), ID: uint64(r.found[k])}
		}
	}
}

func hasDimension(row *storage.Row, name string) bool {
	for i := range row.Dimensions {
		if row.Dimensions[i].Name == name {
			return true
		}
	}
	return false
}

// log makes a request durable and applies it.
func (t *table) log(r *request) error {
	rest := r.encoder.encodeRest(r)
	if err := t.submit(r, rest); err != nil {
		return err
	}
	if err := r.ticket.Wait(); err != nil {
		t.withdraw(r)
		return err
	}
	grown, err := t.apply(r.ticket.Position)
	if err != nil {
		return err
	}
	t.store.written(grown)
	return nil
}

// apply applies all queued requests up to a durable position, and returns by how much memory grew. If a bug panics, the table is stuck:
// what is in memory is not what the log says any more.
func (t *table) apply(upTo wal.Position) (grown int64, err error) {
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	// With the lock held: nobody may go on from what a bug left half done.
	err = t.unstuck(func() error {
		t.applyDurableLocked(upTo)
		grown = t.countLocked()
		return nil
	})
	return grown, err
}

// submit gives the record to the log, with the numbers of its series that the log does not
// have yet, and queues the request in the log's order.
func (t *table) submit(r *request, rest []byte) (err error) {
	t.submitMu.Lock()
	defer t.submitMu.Unlock()
	if t.dropped.Load() {
		return t.gone()
	}
	if t.numbered == nil {
		t.beginEpochLocked()
	}
	for {
		r.fresh = t.numberLocked(r.fresh[:0], r.ids)
		head := r.encoder.encodeHead(t, t.epoch, r.memory, r, r.fresh)
		r.ticket, err = t.store.log.EnqueueIn(t.era, recordNumbered, head, rest)
		if err == nil {
			break
		}
		// Numbers that the log has not, or may have lost, are given out anew.
		t.beginEpochLocked()
		if err != wal.ErrLost {
			return err
		}
	}
	r.epoch, t.numbers = t.epoch, true
	t.pending = append(t.pending, r)
	return nil
}

// beginEpochLocked makes the records from here on independent of those before.
func (t *table) beginEpochLocked() {
	t.era, t.epoch, t.numbers = t.store.log.Era(), t.store.log.Mark(), false
	clear(t.numbered)
	if t.numbered == nil {
		t.numbered = make([]uint64, 1)
	}
}

// numberLocked appends the places in ids of the series that the log has no number for, and
// notes that it has.
func (t *table) numberLocked(fresh []int32, ids []series.ID) []int32 {
	for i, id := range ids {
		word, bit := int(id/64), uint64(1)<<(id%64)
		if word >= len(t.numbered) {
			t.numbered = append(t.numbered, make([]uint64, max(word+1, 2*len(t.numbered))-len(t.numbered))...)
		}
		if t.numbered[word]&bit == 0 {
			t.numbered[word] |= bit
			fresh = append(fresh, int32(i))
		}
	}
	return fresh
}

// freeze takes the active store out of the writers' way, and sees to it that the log is not needed
// for records that come after.
func (t *table) freeze() error {
	t.submitMu.Lock()
	if t.numbered != nil {
		t.beginEpochLocked()
	}
	var last wal.Ticket
	if n := len(t.pending); n > 0 {
		last = t.pending[n-1].ticket
	}
	t.submitMu.Unlock()
	// Requests under way are of the epoch before: they go with what is frozen.
	under := last.Position > 0 && last.Wait() == nil
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	return t.unstuck(func() error {
		if under {
			t.applyDurableLocked(last.Position)
		}
		t.store.memory.Add(t.countLocked()) // of what is frozen now
		t.freezeLocked()
		return nil
	})
}

// withdraw takes a request that did not become durable out of the queue.
func (t *table) withdraw(r *request) {
	t.submitMu.Lock()
	defer t.submitMu.Unlock()
	if at := slices.Index(t.pending, r); at >= 0 {
		t.pending = slices.Delete(t.pending, at, at+1)
	}
}

// applyDurableLocked applies all queued requests up to a durable position. One before
// it may have failed and not been withdrawn yet, when the log went on after an error.
func (t *table) applyDurableLocked(upTo wal.Position) {
	for {
		t.submitMu.Lock()
		if len(t.pending) == 0 || t.pending[0].ticket.Position > upTo {
			t.submitMu.Unlock()
			return
		}
		r := t.pending[0]
		t.pending[0] = nil
		t.pending = t.pending[1:]
		// Done already, so this does not block. Once withdraw gets the lock, a failed one is used again.
		failed := r.ticket.Wait() != nil
		t.submitMu.Unlock()
		if failed {
			continue
		}
		if r.deletion != nil {
			t.applyDeleteLocked(r, r.ticket.Position)
		} else {
			t.applyLocked(r, r.ticket.Position)
		}
	}
}

// countLocked tells the store by how much the active store has grown since the last call, and
// returns the bytes. Values of series that have few rows yet count half: their flush and each merge cost by the series more than
// by the row, and twice the rows halve the work (BenchmarkManySeries: 3.8 µs of CPU a row with 2 rows a series in a flush, 2.4 with 4) and take no more memory.
func (t *table) countLocked() int64 {
	if t.uncounted {
		return 0
	}
	active := t.view.Load().active
	bytes, values := active.Bytes(), weigh(active)
	grown := bytes - t.bytes
	t.store.active.Add(values - t.values)
	t.bytes, t.values = bytes, values
	return grown
}

// weigh counts the values of a store. Those of series that have few rows yet count half: their flush and each merge cost by the series more than
// by the row, and twice the rows halve the work (BenchmarkManySeries: 3.8 µs of CPU a row with 2 rows a series in a flush, 2.4 with 4) and take no more memory.
func weigh(m *memstore.Store) int64 {
	if m.Sparse() {
		return m.Values() / 2
	}
	return m.Values()
}

// applyLocked judges the rows of a durable request and stores those accepted.
func (t *table) applyLocked(r *request, at wal.Position) {
	t.applied = at
	if !t.unflushed {
		t.unflushed, t.first = true, r.epoch
	}
	t.cols = t.names.resolve(t.cols[:0], r.rows.Columns)
	refused := len(r.receipt.Rejections)
	active := t.view.Load().active
	defer active.Publish()
	for i, at := range r.pick {
		if rejection := t.applyRow(r, &r.rows.Rows[at], int(at), i); rejection != nil {
			rejection.Row, rejection.Version = int(at), r.rows.Rows[at].Version
			r.receipt.Rejections = append(r.receipt.Rejections, *rejection)
		}
	}
	if refused > 0 && len(r.receipt.Rejections) > refused {
		slices.SortFunc(r.receipt.Rejections, func(a, b storage.Rejection) int { return a.Row - b.Row })
	}
	if t.observed.Load() != t.names.observed {
		t.observed.Store(t.names.observed)
	}
}

// applyRow judges and stores the picked row i, which is number at of the request.
func (t *table) applyRow(r *request, row *storage.Row, at, i int) *storage.Rejection {
	id := r.ids[i]
	known := t.knownNames(r.rows, row, id)
	magnetic := row.TimeNs < r.memory
	if known && t.newest(id, row.TimeNs) && t.view.Load().active.Append(id, row.TimeNs, row.Version, row.Values, t.cols) {
		if magnetic {
			r.receipt.Magnetic++
		} else {
			r.receipt.Memory++
		}
		return nil
	}
	if !known {
		if r.orders != nil {
			t.complete(row, id, r.names, r.orders[i])
		}
		if rejection := t.names.judge(r.rows, row); rejection != nil {
			return rejection
		}
	}
	lost, add := t.decide(r, row, i)
	if lost != nil && !magnetic {
		return lost
	}
	if !known {
		t.names.grow(r.rows, row)
		t.cols = t.names.resolve(t.cols[:0], r.rows.Columns)
		t.accept(r.rows, row, id)
	}
	if add {
		t.add(r.rows, row, id)
	}
	if magnetic {
		r.receipt.Magnetic++
	} else {
		r.receipt.Memory++
	}
	if lost != nil {
		lost.Row, lost.Version = at, row.Version
		r.receipt.Superseded = append(r.receipt.Superseded, *lost)
	}
	return nil
}

// newest reports whether a time is after all that is stored of a series outside the active
// store, as that of nearly all rows is. It may say no when it is.
func (t *table) newest(id series.ID, time int64) bool {
	for _, f := range t.view.Load().frozen {
		if _, newest := f.Times(); time <= newest {
			return false
		}
	}
	return t.afterSegments(id, time)
}

// afterSegments reports whether segments have nothing of a series from a time on.
func (t *table) afterSegments(id series.ID, time int64) bool {
	return time > t.openMax && (int(id) >= len(t.flushed) || time > t.flushed[id])
}

// knownNames reports whether a row's names and types have all been judged before.
func (t *table) knownNames(rows *storage.Rows, row *storage.Row, id series.ID) bool {
	if int(id) >= len(t.accepted) {
		return false
	}
	kinds := &t.accepted[id]
	if row.Multi && !kinds.multi || !row.Multi && kinds.single != rows.Columns[row.Values[0].Column].Type.Kind {
		return false
	}
	for k := range row.Values {
		if t.cols[row.Values[k].Column].ID < 0 {
			return false
		}
	}
	return true
}

func (t *table) accept(rows *storage.Rows, row *storage.Row, id series.ID) {
	for int(id) >= len(t.accepted) {
		t.accepted = append(t.accepted, make([]acceptedKinds, max(64, len(t.accepted)))...)
	}
	if row.Multi {
		t.accepted[id].multi = true
	} else {
		t.accepted[id].single = rows.Columns[row.Values[0].Column].Type.Kind
	}
}

// decide applies the rule of versions (api.md §6.3): whether the row is to be added,
// and if it is refused, why. Neither means a repeat of what is stored.
func (t *table) decide(r *request, row *storage.Row, i int) (lost *storage.Rejection, add bool) {
	stored, ok := t.lookup(r, r.ids[i], row.TimeNs)
	version, same := stored.Version, ok && sameValues(t.cols, &stored, row)
	if a, asked := r.answer(i); asked && (!ok || a.version > version) {
		version, same, ok = a.version, a.same, true
	}
	switch {
	case !ok || row.Version > version:
		return nil, true
	case row.Version < version:
		return &storage.Rejection{Cause: storage.LowerVersion, Existing: version}, false
	case !same:
		return &storage.Rejection{Cause: storage.SameVersion, Existing: version}, false
	}
	return nil, false
}

// sameValues reports whether a row has the values of a stored one. cols are the columns of its request.
func sameValues(cols []memstore.Col, stored *memstore.Row, row *storage.Row) bool {
	if len(stored.Cells) != len(row.Values) {
		return false
	}
	for k := range row.Values {
		v := &row.Values[k]
		same := false
		for _, cell := range stored.Cells {
			if cell.ID == cols[v.Column].ID {
				same = cell.Kind == vec.Varchar && cell.Str == v.Str || cell.Kind != vec.Varchar && cell.Bits == v.Bits
				break
			}
		}
		if !same {
			return false
		}
	}
	return true
}

// lookup returns the stored row of a key, wherever it is. Rows newer than all of
// their series, which is nearly all, cost two comparisons.
func (t *table) lookup(r *request, id series.ID, time int64) (memstore.Row, bool) {
	v := t.view.Load()
	if row, ok := v.active.Lookup(id, time); ok {
		return row, true
	}
	for i := len(v.frozen) - 1; i >= 0; i-- {
		if row, ok := v.frozen[i].Lookup(id, time); ok {
			if t.deleted(v, v.frozen[i].last, id, time) {
				return memstore.Row{}, false // and so is all that is older
			}
			return row, true
		}
	}
	if t.afterSegments(id, time) {
		return memstore.Row{}, false
	}
	return t.lookupSegments(v, r, id, time)
}

func (t *table) add(rows *storage.Rows, row *storage.Row, id series.ID) {
	active := t.view.Load().active
	if active.Append(id, row.TimeNs, row.Version, row.Values, t.cols) {
		return
	}
	boxed := memstore.Row{Time: row.TimeNs, Version: row.Version, Cells: make([]memstore.Cell, len(row.Values))}
	for k, v := range row.Values {
		boxed.Cells[k] = memstore.Cell{Col: t.cols[v.Column], Bits: v.Bits}
		if boxed.Cells[k].Kind == vec.Varchar {
			boxed.Cells[k] = memstore.Cell{Col: t.cols[v.Column], Str: strings.Clone(v.Str)}
		}
	}
	active.Put(id, boxed)
}
