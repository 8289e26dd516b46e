package embedded

import (
	"context"
	"sync"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
)

// replay applies the log when a store is opened, as it was applied when it was written. Records are
// decoded by the goroutine that reads the log, and applied by another one, in order.
type replay struct {
	ctx    context.Context
	store  *Store
	tables map[uint64]*replayTable // by uid

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
	table   *table
	at      wal.Position
	decoder recordDecoder
	request request
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
	item.at, item.table, item.request.deletion = p, nil, nil
	var err error
	switch kind {
	case recordRows:
		err = r.decodeRows(item, payload)
	case recordNumbered:
		err = r.decodeNumbered(item, payload)
	case recordDelete:
		err = r.decodeDelete(item, payload)
	default:
		return fault.New(fault.Corrupt, "The log at %d has a record of kind %d, which this version does not know.", p, kind)
	}
	if err != nil {
		return fault.Wrap(fault.Corrupt, err, "The log at %d has a record that does not parse.", p)
	}
	if item.table == nil { // dropped, or in segments
		r.free <- item
		return nil
	}
	r.work <- item
	return nil
}

func (r *replay) decodeRows(item *replayed, payload []byte) error {
	t := r.tables[(&decoder{rest: payload}).uvarint()]
	if t == nil || item.at <= t.flushed {
		return nil
	}
	record, err := decodeRecord(payload)
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

func (r *replay) decodeNumbered(item *replayed, payload []byte) error {
	d := &item.decoder
	t := r.tables[d.begin(payload)]
	if t == nil {
		return nil
	}
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
	q.pickAll()
	item.table = t.table
	return nil
}

func (r *replay) decodeDelete(item *replayed, payload []byte) error {
	t := r.tables[(&decoder{rest: payload}).uvarint()]
	if t == nil || item.at <= t.flushed {
		return nil
	}
	d, err := decodeDeletion(payload)
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

func (r *replay) one(item *replayed) error {
	t := item.table
	if item.request.deletion != nil {
		return r.store.replayDelete(r.ctx, t, &item.request, item.at)
	}
	t.applyMu.Lock()
	t.applyLocked(&item.request, item.at)
	grown := t.countLocked()
	t.applyMu.Unlock()
	r.store.memory.Add(grown)
	return r.store.replayed(r.ctx)
}

// end waits until all records are applied.
func (r *replay) end() error {
	close(r.work)
	r.applier.Wait()
	return r.err
}
