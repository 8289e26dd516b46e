package embedded

import (
	"context"
	"errors"
	"sync"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
)

// replay applies the log when a store is opened, as it was applied when it was written. Records are
// decoded by the goroutine that reads the log, and applied by another one, in order.
type replay struct {
	ctx    context.Context
	store  *Store
	tables map[uint64]*replayTable  // by uid
	copies map[wal.Position]*copied // as found: see poison.go

	mu    sync.Mutex // guards aside
	aside []string   // copies of records that cannot be applied

	work, free chan *replayed
	applier    sync.WaitGroup
	failed     chan struct{} // closed by the applier when it gives up
	err        error         // why; valid once failed is closed
}

// replayTable is a table whose records are replayed.
type replayTable struct {
	*table
	flushed wal.Position // records up to it are in segments
	numbers numbers
}

// replayed is a record on its way from the reader to the applier.
type replayed struct {
	at      wal.Position
	kind    byte
	payload []byte
	table   *table // nil: there is nothing to apply
	broken  error  // why it does not parse, or nil
	decoder recordDecoder
	request request
}

func (i *replayed) begin(p wal.Position, kind byte, payload []byte) {
	i.at, i.kind, i.payload, i.table, i.broken, i.request.deletion = p, kind, payload, nil, nil, nil
}

// inFlight is how many decoded records may wait to be applied.
const inFlight = 16

func newReplay(ctx context.Context, s *Store) *replay {
	r := &replay{ctx: ctx, store: s, tables: map[uint64]*replayTable{}, work: make(chan *replayed, inFlight),
		free: make(chan *replayed, inFlight+2), failed: make(chan struct{})}
	for range cap(r.free) {
		r.free <- new(replayed)
	}
	r.applier.Go(r.apply)
	return r
}

// record takes a record of the log.
func (r *replay) record(p wal.Position, kind byte, payload []byte) error {
	var item *replayed
	select {
	case <-r.failed:
		return r.err
	case <-r.ctx.Done():
		return r.ctx.Err()
	case item = <-r.free:
	}
	item.begin(p, kind, payload)
	if err := r.decode(item); err != nil {
		r.setAside(item, nil, err)
		return err
	}
	if item.table == nil { // dropped, in segments, or to be passed over
		r.free <- item
		return nil
	}
	r.work <- item
	return nil
}

// decode reads a record. One that does not parse is for its table to suffer (item.broken); the error is that no table can be told.
func (r *replay) decode(item *replayed) error {
	passed := r.passes(item)
	d := &decoder{rest: item.payload}
	t := r.tables[d.uvarint()]
	if d.err != nil || item.kind < recordRows || item.kind > recordDelete {
		return r.strange(item, passed, d.err)
	}
	if t == nil {
		return nil
	}
	needs := item.at
	if t.numbers.epoch > 0 {
		needs = min(needs, t.numbers.epoch)
	}
	err := surviving(func() error {
		switch item.kind {
		case recordRows:
			return r.decodeRows(item, t)
		case recordNumbered:
			return r.decodeNumbered(item, t)
		}
		return r.decodeDelete(item, t)
	})
	switch {
	case item.at <= t.flushed: // its rows are stored; if it lacks numbers, those who need them tell
		item.table = nil
	case passed: // its numbers count
		item.table = nil
		r.tell("a record of the log is passed over, because its copy is named so", item)
	case err != nil:
		item.table, item.broken, item.request.epoch = t.table, err, needs
	}
	return nil
}

// strange is what becomes of a record that belongs to no table that one could tell.
func (r *replay) strange(item *replayed, passed bool, err error) error {
	if passed {
		r.tell("a record of the log is passed over, because its copy is named so", item)
		return nil
	}
	p := &poisoned{at: item.at}
	if err != nil {
		return fault.Wrap(fault.Corrupt, err, "The log at %d has a record that belongs to no table. To go on: %s.", item.at, p.remedy())
	}
	return fault.New(fault.Corrupt, "The log at %d has a record of kind %d, which this version does not know. To go on: %s.", item.at, item.kind, p.remedy())
}

func (r *replay) tell(message string, item *replayed) {
	if r.store != nil {
		r.store.opts.Log.Warn(message, "position", item.at, "file", asideName(item.at, passedSuffix))
	}
}

func (r *replay) decodeRows(item *replayed, t *replayTable) error {
	if item.at <= t.flushed {
		return nil
	}
	record, err := decodeRecord(item.payload)
	if err != nil {
		return err
	}
	q := &item.request
	q.reset(&record.rows)
	q.memory, q.epoch, q.orders = record.memory, item.at, nil
	if q.ids, err = t.registry.Resolve(q.ids, &record.keys); err != nil {
		return err
	}
	q.pickAll()
	item.table = t.table
	return nil
}

func (r *replay) decodeNumbered(item *replayed, t *replayTable) error {
	d := &item.decoder
	d.begin(item.payload)
	memory, err := d.head(&t.numbers, t.registry)
	if err != nil || item.at <= t.flushed { // later records may use its numbers
		return err
	}
	if err := d.tail(&t.numbers); err != nil {
		return err
	}
	q := &item.request
	q.reset(&d.rows)
	q.memory, q.epoch = memory, t.numbers.epoch
	q.ids = append(q.ids, d.ids...)
	q.orders, q.names = d.orders, t.numbers.orders
	q.asked, q.answers = d.asked, append(q.answers, d.answers...)
	q.pickAll()
	item.table = t.table
	return nil
}

func (r *replay) decodeDelete(item *replayed, t *replayTable) error {
	if item.at <= t.flushed {
		return nil
	}
	d, err := decodeDeletion(item.payload)
	if err != nil {
		return err
	}
	item.request.deletion, item.table = d, t.table
	// Rows that follow may use numbers of the epoch that goes on.
	if item.request.epoch = item.at; t.numbers.epoch > 0 {
		item.request.epoch = min(item.at, t.numbers.epoch)
	}
	return nil
}

func (r *request) pickAll() {
	for i := range r.rows.Rows {
		r.pick = append(r.pick, int32(i))
	}
}

// apply applies records until there are no more.
func (r *replay) apply() {
	for item := range r.work {
		if r.err == nil {
			if r.err = r.one(item); r.err != nil {
				close(r.failed)
			}
		}
		r.free <- item
	}
}

// one applies a record, if its table is not stuck. The error, of the disk or of ctx, is one that ends the start.
func (r *replay) one(item *replayed) error {
	t := item.table
	switch {
	case item.broken != nil:
		r.poison(item, item.broken)
		return nil
	case t.stuck.err() != nil:
		t.held.keep(item.request.epoch)
		return nil
	}
	err := surviving(func() error {
		if item.request.deletion != nil {
			return r.store.replayDelete(r.ctx, t, &item.request, item.at)
		}
		r.store.memory.Add(t.replay(&item.request, item.at))
		return nil
	})
	switch {
	case errors.As(err, new(*panicked)):
		r.poison(item, err)
		return nil
	case err != nil && t.stuck.err() == nil:
		return err
	}
	return r.store.replayed(r.ctx)
}

// replay applies rows of the log when the store is opened, and returns by how much memory grew.
func (t *table) replay(r *request, at wal.Position) (grown int64) {
	t.applyMu.Lock()
	defer t.applyMu.Unlock()
	t.applyLocked(r, at)
	return t.countLocked()
}

// end waits until all records are applied.
func (r *replay) end() error {
	close(r.work)
	r.applier.Wait()
	return r.err
}
