package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Snapshot is the store as it was at one moment: a manifest, the segments that it names
// and the log as far as it was durable, which together are what a crash at that moment would
// have left. It holds no lock of the store; merges, flushes and retention go on and the
// segments are deleted, if they are to be, when the snapshot is closed.
//
// One goroutine uses a snapshot. It may be used while the store closes, and after.
type Snapshot struct {
	store    *Store
	manifest []byte
	segments []*segmentFile // pinned
	log      []openLogFile
}

type openLogFile struct {
	name string
	file vfs.File
	size int64
}

// Snapshot takes a snapshot, in which every record is whose Write returned before the call.
// It waits for no write and no flush. The caller closes it.
func (s *Store) Snapshot() (*Snapshot, error) {
	// While the manifest stands still the log may only lose files that it does not need, and every
	// view has just the segments that it names.
	s.manifestMu.Lock()
	defer s.manifestMu.Unlock()
	// The copy has all segments in its folder, and is another store to the remote one.
	manifest, err := s.manifest.local().encode()
	if err != nil {
		return nil, err
	}
	snap := &Snapshot{store: s, manifest: manifest}
	if err := snap.openLog(); err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot of the log: %w", err), snap.Close())
	}
	for _, t := range s.all() {
		for _, f := range t.view.Load().segments {
			f.pin()
			snap.segments = append(snap.segments, f)
		}
	}
	return snap, nil
}

// openLog opens the log's files. One that is gone was not needed, and neither were those before.
func (p *Snapshot) openLog() error {
	for _, d := range p.store.log.DurableFiles() {
		f, err := p.store.fs.Open(d.Name)
		if errors.Is(err, fs.ErrNotExist) {
			if err := p.closeLog(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		p.log = append(p.log, openLogFile{d.Name, f, d.SizeBytes})
	}
	return p.openCopies()
}

// openCopies opens the copies of records that cannot be applied: those that were passed over are to be so in the snapshot too.
func (p *Snapshot) openCopies() error {
	found, damaged, err := readCopies(p.store.fs)
	if err != nil || damaged != nil {
		return errors.Join(err, damaged)
	}
	for _, c := range found {
		f, err := p.store.fs.Open(c.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its table was dropped
		}
		if err != nil {
			return err
		}
		size, err := f.Size()
		p.log = append(p.log, openLogFile{c.name, f, size})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Snapshot) closeLog() error {
	var errs []error
	for _, l := range p.log {
		errs = append(errs, l.file.Close())
	}
	p.log = nil
	return errors.Join(errs...)
}

// Each calls each for every file of the snapshot, with its name below the store's folder and its
// content, of size bytes, and ends with its first error. Every checksum of a segment is verified before it
// is shown: damage ends Each with an error of kind fault.Corrupt that names the segment.
func (p *Snapshot) Each(ctx context.Context, each func(name string, size int64, content io.Reader) error) error {
	if err := each(manifestName, int64(len(p.manifest)), bytes.NewReader(p.manifest)); err != nil {
		return err
	}
	// The log first: its files are open, and a log that shrinks gives back disk once they are closed.
	for _, l := range p.log {
		if err := each(l.name, l.size, io.NewSectionReader(l.file, 0, l.size)); err != nil {
			return err
		}
	}
	if err := p.closeLog(); err != nil {
		return err
	}
	for len(p.segments) > 0 {
		if err := ctx.Err(); err != nil {
			return fault.Wrap(fault.Cancelled, err, "The snapshot was cancelled.")
		}
		f := p.segments[0]
		if err := p.segment(ctx, f, each); err != nil {
			return fmt.Errorf("segment %s: %w", f.meta.Name, err)
		}
		p.segments = p.segments[1:]
		f.unpin()
	}
	return nil
}

func (p *Snapshot) segment(ctx context.Context, f *segmentFile, each func(string, int64, io.Reader) error) error {
	if err := checkSegment(ctx, f.objects(), f.meta); err != nil {
		return err
	}
	o, err := f.objects().Open(ctx, f.meta.Name)
	if err != nil {
		return err
	}
	defer o.Close()
	return each(path.Join("segments", f.meta.Name), o.SizeBytes(), io.NewSectionReader(o, 0, o.SizeBytes()))
}

// Close lets go of what Each has not come to.
func (p *Snapshot) Close() error {
	for _, f := range p.segments {
		f.unpin()
	}
	p.segments = nil
	return p.closeLog()
}

// pin keeps the segment's file, unlike acquire not its index in memory.
func (f *segmentFile) pin() {
	f.mu.Lock()
	f.pins++
	f.mu.Unlock()
}

func (f *segmentFile) unpin() {
	f.mu.Lock()
	f.pins--
	last := f.lastLocked()
	f.mu.Unlock()
	if last {
		f.delete()
	}
}

// lastLocked reports whether the caller is the one to delete the file.
func (f *segmentFile) lastLocked() bool {
	last := f.retired && f.refs == 0 && f.pins == 0 && !f.done
	f.done = f.done || last
	return last
}
