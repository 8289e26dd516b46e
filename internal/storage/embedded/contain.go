package embedded

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
)

// A bug that panics ends what it happened in and not the server, as far as what is left can be trusted:
//
//   - in a scan: the scan (surviving).
//   - in a write to the log: all writes, until a restart (package wal).
//   - while rows of a table are applied or flushed: the table is stuck. It answers queries and takes no more
//     records; what is in memory stays there and in the log, which the next start replays. Other tables go on, and the log
//     grows past its limit. If the replay comes to the same bug, see poison.go.
//   - in a merge, a purge or the expiry of segments: the table's segments are left as they are.
//   - while segments are moved to the remote store: none are moved any more.
//
// What has ended stays so until a restart: a bug that panicked once does it again, and each time may leave something half done.
// Locks are released on the way, and the disk has the old state or the new one, because the manifest is replaced as a
// whole. It is said in the log, in [Store.Trouble] and so in /health, and counted.

// panicked is a bug that panicked.
type panicked struct {
	what  any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("bug: panic: %v\n%s", p.what, p.stack) }

// surviving calls f, and makes an error of a bug that panics.
func surviving(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	return f()
}

// halt says why a kind of work on a table has ended; the zero value says that it goes on.
type halt struct{ why atomic.Pointer[error] }

func (h *halt) err() error {
	if why := h.why.Load(); why != nil {
		return *why
	}
	return nil
}

// keep does background work on the table's segments, unless a bug has ended it.
func (t *table) keep(f func() error) error {
	if t.kept.err() != nil {
		return nil // it has been said
	}
	err := surviving(f)
	if errors.As(err, new(*panicked)) {
		t.end(&t.kept, err, "a defect ends the merging, purging and expiry of a table's segments until the next start")
		return nil
	}
	return err
}

// unstuck does work on the rows in memory, unless a bug has ended it. A table that is stuck is an error of kind
// fault.Unavailable.
func (t *table) unstuck(f func() error) error {
	if err := t.takes(); err != nil {
		return err
	}
	err := surviving(f)
	if errors.As(err, new(*panicked)) {
		t.jam(err)
		return t.takes()
	}
	return err
}

// jam makes the table stuck because of a bug.
func (t *table) jam(err error) {
	message := "a defect keeps a table's rows in memory and in the log: it takes no records until the next start"
	if errors.As(err, new(*poisoned)) {
		message = "a table takes no records, and the log keeps what is not applied"
	}
	t.end(&t.stuck, err, message)
}

// takes returns the error of a table that takes no records because of a bug, or nil.
func (t *table) takes() error {
	var p *poisoned
	if err := t.stuck.err(); errors.As(err, &p) {
		return fault.Wrap(fault.Unavailable, err, "The table %s takes no records: the one at position %d of the server's log could not be applied when the server started. "+
			"What was applied before can be read, the rest is kept in the log. To go on: %s.", t.id.Table, p.at, p.remedy())
	} else if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The table %s takes no records until the server is started again: its rows could not be kept in order because of a defect, which is in the server's log.", t.id.Table)
	}
	return nil
}

func (t *table) end(h *halt, err error, message string) {
	if !h.why.CompareAndSwap(nil, &err) {
		return
	}
	t.store.panics.Add(1)
	if h == &t.stuck {
		t.store.stuck.Add(1)
		t.store.wake() // its memory is not counted any more
	}
	t.store.opts.Log.Error(message, "db", t.id.Database, "table", t.id.Table, "err", err)
}

// jammed is how many bytes of memory are in tables that are stuck, and values in their active stores: no flush frees them.
func (s *Store) jammed() (bytes, values int64) {
	if s.stuck.Load() == 0 {
		return 0, 0
	}
	for _, t := range s.all() {
		if t.stuck.err() != nil {
			bytes += t.Stats().MemoryBytes
			values += weigh(t.view.Load().active)
		}
	}
	return bytes, values
}

// inMemory is how many bytes of memory are in tables that are not stuck, and values in their active stores.
func (s *Store) inMemory() (bytes, values int64) {
	bytes, values = s.jammed()
	return s.memory.Load() - bytes, s.active.Load() - values
}

// Trouble is what works no more until somebody acts, a sentence each; empty while all is well.
func (s *Store) Trouble() (out []string) {
	if err := s.log.Err(); err != nil {
		out = append(out, "records are refused, because the log cannot be written: "+firstLine(err))
	}
	for _, t := range s.all() {
		name := t.id.Database + "." + t.id.Table
		var p *poisoned
		if err := t.stuck.err(); errors.As(err, &p) {
			out = append(out, fmt.Sprintf("the table %s takes no records: that at position %d of the log cannot be applied (%s); the log, of %d bytes, keeps it and %d after it until somebody acts: %s",
				name, p.at, firstLine(p.err), s.log.SizeBytes(), t.held.records-1, p.remedy()))
		} else if err != nil {
			out = append(out, "the table "+name+" takes no records until the next start: "+firstLine(err))
		}
		if err := t.kept.err(); err != nil {
			out = append(out, "the segments of "+name+" are not merged, purged or expired until the next start: "+firstLine(err))
		}
	}
	return out
}

// Panics counts the bugs that ended work on a table since the start.
func (s *Store) Panics() int64 { return s.panics.Load() }

// firstLine leaves out a stack.
func firstLine(err error) string {
	var p *panicked
	if errors.As(err, &p) {
		return fmt.Sprintf("bug: panic: %v", p.what)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
