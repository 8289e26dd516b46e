package embedded

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vfs"
)

// A record of the log may be whole and yet not be applied when a store is opened: it does not parse, or a bug panics. It is
// poison to its own table only. That is stuck from there on (contain.go): what was applied before is read, nothing is written, and
// the log keeps the record and all that come after it, so a start of a program that can apply them loses nothing.
//
// The record is copied beside the log, as <position, 16 hex digits>.poison:
//
//	weir-record 1 <CRC-32C of the rest, 8 hex digits>\n
//	<JSON: asideHead>\n
//	<payload>
//
// Whoever renames the copy to .passed has the next start pass over this record, of this position and
// content, and apply those after it. That copy is never deleted: it is all that is left of the record once the log
// needs it no more. A copy that is not renamed goes when its record is no poison any more: it could be applied, or its
// table was dropped.
//
// Of a table, at most mostCopies records have copies; those after them have theirs once these are passed over.
//
// A record that no table can be told for, or of a kind that this program does not know, ends the start; it is copied too, and
// passed over in the same way.
const (
	poisonSuffix = ".poison"
	passedSuffix = ".passed"
	asideMagic   = "weir-record 1 "
)

// walDir is the folder of the log.
const walDir = "wal"

// asideHead says what record a copy is of, and why it was made.
type asideHead struct {
	Position wal.Position `json:"position"`
	Kind     byte         `json:"kind"`
	UID      uint64       `json:"uid,omitempty"` // of the table
	Database string       `json:"database,omitempty"`
	Table    string       `json:"table,omitempty"`
	Why      string       `json:"why"`
	Bytes    int          `json:"bytes"` // of the payload
}

// poisoned is why a table is stuck: a record of the log that could not be applied when the store was opened.
type poisoned struct {
	at  wal.Position
	err error
}

func (p *poisoned) Error() string {
	return fmt.Sprintf("the record at position %d of the log cannot be applied: %v", p.at, p.err)
}

func (p *poisoned) Unwrap() error { return p.err }

// remedy says what can be done.
func (p *poisoned) remedy() string {
	return fmt.Sprintf("start a version of the server that can apply it, or drop the table, or rename the record's copy %s in the store's folder to %s and start again, which goes on without that record",
		asideName(p.at, poisonSuffix), path.Base(asideName(p.at, passedSuffix)))
}

func asideName(at wal.Position, suffix string) string {
	return path.Join(walDir, fmt.Sprintf("%016x%s", uint64(at), suffix))
}

// mostCopies is how many records of a table are copied at one start. What is wrong with one may be wrong with a million after it, whose
// copies would take as much of the disk as the log again.
const mostCopies = 100

// heldBack is what the log keeps for a table that got stuck while the store was opened.
type heldBack struct {
	from    wal.Position // the log is needed from here on; 0: nothing is held back
	records int64
	copies  []string // files of those that cannot be applied
}

// keep holds a record back.
func (h *heldBack) keep(needs wal.Position) {
	if h.records++; h.from == 0 || needs < h.from {
		h.from = needs
	}
}

// copied is a copy of a record, as found when the store is opened or checked.
type copied struct {
	asideHead
	name   string
	passed bool
	seen   bool   // its record is in the log
	sum    uint32 // of the payload
}

// of reports whether it is the copy of a record.
func (c *copied) of(at wal.Position, kind byte, payload []byte) bool {
	return c != nil && c.Position == at && c.Kind == kind && c.Bytes == len(payload) && c.sum == crc32.Checksum(payload, castagnoli)
}

// readCopies reads the copies beside the log, by their positions; one that is to be passed over counts more than another. damaged
// says, of kind fault.Corrupt, which cannot be read: they are as if they were not there.
func readCopies(fsys vfs.FS) (found map[wal.Position]*copied, damaged, err error) {
	names, err := fsys.List(walDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	found = map[wal.Position]*copied{}
	for _, name := range names {
		suffix := path.Ext(name)
		if suffix != poisonSuffix && suffix != passedSuffix {
			continue
		}
		c, _, err := readCopy(fsys, path.Join(walDir, name))
		switch {
		case fault.Is(err, fault.Corrupt):
			damaged = errors.Join(damaged, err)
		case err != nil:
			return nil, nil, err
		case found[c.Position] == nil || c.passed:
			found[c.Position] = c
		}
	}
	return found, damaged, nil
}

func readCopy(fsys vfs.FS, name string) (*copied, []byte, error) {
	data, err := vfs.ReadFile(fsys, name)
	if err != nil {
		return nil, nil, err
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	sum, ok := strings.CutPrefix(string(first), asideMagic)
	if !ok || sum != fmt.Sprintf("%08x", crc32.Checksum(rest, castagnoli)) {
		return nil, nil, fault.New(fault.Corrupt, "The file %s is not the copy of a record of the log that it was.", name)
	}
	head, payload, _ := bytes.Cut(rest, []byte("\n"))
	c := &copied{name: name, passed: strings.HasSuffix(name, passedSuffix), sum: crc32.Checksum(payload, castagnoli)}
	if err := json.Unmarshal(head, &c.asideHead); err != nil || c.Bytes != len(payload) {
		return nil, nil, fault.New(fault.Corrupt, "The file %s does not parse as the copy of a record of the log.", name)
	}
	return c, payload, nil
}

// writeCopy makes the copy of a record durable and returns its name.
func writeCopy(fsys vfs.FS, head asideHead, payload []byte) (string, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return "", err
	}
	rest := append(append(text, '\n'), payload...)
	name := asideName(head.Position, poisonSuffix)
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(append(fmt.Appendf(nil, "%s%08x\n", asideMagic, crc32.Checksum(rest, castagnoli)), rest...), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(name+".new", name)
	}
	if err != nil {
		_ = fsys.Remove(name + ".new") // nothing else looks for it, and the disk may be full
		return "", err
	}
	return name, fsys.SyncDir(walDir)
}

// inspectCopy prints the copy of a record.
func inspectCopy(w io.Writer, fsys vfs.FS, name string) error {
	c, payload, err := readCopy(fsys, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "copy of a record of the log, position %d, kind %d, %d bytes\n", c.Position, c.Kind, c.Bytes)
	if c.UID > 0 {
		fmt.Fprintf(w, "table %s.%s, uid %d\n", c.Database, c.Table, c.UID)
	}
	fmt.Fprintf(w, "it could not be applied: %s\n", c.Why)
	if c.passed {
		fmt.Fprintf(w, "a start passes over it\n")
	} else {
		fmt.Fprintf(w, "renamed to %s, the next start passes over it and applies the records after it\n", path.Base(asideName(c.Position, passedSuffix)))
	}
	d := hex.Dumper(w)
	if _, err := d.Write(payload); err != nil {
		return err
	}
	return d.Close()
}

// passes reports whether a record is to be passed over.
func (r *replay) passes(item *replayed) bool {
	c := r.copies[item.at]
	if !c.of(item.at, item.kind, item.payload) {
		return false
	}
	c.seen = true
	return c.passed
}

// poison makes the table of a record that cannot be applied stuck, and copies the record.
func (r *replay) poison(item *replayed, err error) {
	t := item.table
	t.jam(&poisoned{item.at, err})
	t.held.keep(item.request.epoch)
	if len(t.held.copies) == mostCopies {
		return // the start that passes over those finds it
	}
	if name := r.setAside(item, t, err); name != "" {
		t.held.copies = append(t.held.copies, name)
	}
}

// setAside copies a record beside the log, unless it is there. Without space for it the record is in the log still, and the
// next start tries again.
func (r *replay) setAside(item *replayed, t *table, why error) (name string) {
	log := r.store.opts.Log
	name = asideName(item.at, poisonSuffix)
	if c := r.copies[item.at]; !c.of(item.at, item.kind, item.payload) {
		head := asideHead{Position: item.at, Kind: item.kind, Why: why.Error(), Bytes: len(item.payload)}
		if t != nil {
			head.UID, head.Database, head.Table = t.uid, t.id.Database, t.id.Table
		}
		var err error
		if name, err = writeCopy(r.store.fs, head, item.payload); err != nil {
			log.Error("a record of the log that cannot be applied is not copied", "position", item.at, "err", err)
			return ""
		}
	}
	r.mu.Lock()
	r.aside = append(r.aside, name)
	r.mu.Unlock()
	log.Error("a record of the log cannot be applied: it stays there, and has a copy", "position", item.at, "file", name, "err", why)
	return name
}

// tidy deletes the copies of records that are no poison any more.
func (r *replay) tidy() {
	for _, c := range r.copies {
		if c.passed || slices.Contains(r.aside, c.name) {
			continue
		}
		if t := r.tables[c.UID]; !c.seen && t != nil && c.Position > t.flushed {
			r.store.opts.Log.Error("the copy of a record that the log has not: it is kept", "position", c.Position, "file", c.name)
			continue
		}
		r.store.opts.Log.Info("a record of the log that could not be applied is no trouble any more", "position", c.Position, "file", c.name)
		r.store.forgetCopies(c.name)
	}
}

// forgetCopies deletes copies that nobody needs. What stays behind is deleted by the next start.
func (s *Store) forgetCopies(names ...string) {
	for _, name := range names {
		if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.opts.Log.Warn("the copy of a record stays behind", "file", name, "err", err)
		}
	}
}

// recordsToRead is a replay that only reads: for a check.
func recordsToRead(m *manifest) *replay {
	r := &replay{tables: map[uint64]*replayTable{}}
	for i := range m.Tables {
		e := &m.Tables[i]
		t := newTable(nil, e.ID, e.UID, rules{policy: e.Policy, low: e.Low}, newNames(e.observed()))
		r.tables[e.UID] = &replayTable{table: t, flushed: e.Flushed}
	}
	return r
}

// checkLog verifies every frame of the log, and reads every record that a start would apply. It returns the number of records, those
// that cannot be applied, and damage.
func checkLog(w io.Writer, fsys vfs.FS, m *manifest) (records int64, stuck []error, err error) {
	copies, damaged, err := readCopies(fsys)
	if err != nil {
		return 0, nil, err
	}
	r := recordsToRead(m)
	r.copies = copies
	item := &replayed{}
	err = wal.Read(fsys, walDir, func(p wal.Position, kind byte, payload []byte) error {
		records++
		item.begin(p, kind, payload)
		why := r.decode(item)
		if item.table != nil {
			why = item.broken
		}
		c := copies[p]
		switch {
		case why == nil && (item.table == nil || c == nil || c.passed || !c.of(p, kind, payload)):
			return nil
		case why == nil: // it parses, and was found when it was applied
			why = errors.New(c.Why)
		}
		stuck = append(stuck, stuckRecord(p, item.table, why))
		return nil
	})
	for _, c := range copies {
		if c.passed {
			fmt.Fprintf(w, "log: the record at position %d is passed over, as %s says\n", c.Position, c.name)
		}
	}
	return records, stuck, errors.Join(err, damaged)
}

func stuckRecord(p wal.Position, t *table, why error) error {
	if t == nil {
		return why // it says all
	}
	e := &poisoned{p, why}
	return fault.New(fault.Corrupt, "The record at position %d of the log, of the table %s.%s, cannot be applied (%s); the table takes no records. Remedy: %s.",
		p, t.id.Database, t.id.Table, firstLine(why), e.remedy())
}
