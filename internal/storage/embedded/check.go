package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/vfs"
)

// Check verifies a store that nobody has open: the manifest, every frame of the log, every
// checksum of every segment, and that segments are what the manifest says. Those in the remote store
// are read from there; without it they are counted only. It prints what it looked at to w and returns all
// damage, joined: nil means that the store is whole. Stuck are the records of the log that are whole and cannot be applied; a server
// starts with them, and their tables take no records (poison.go).
func Check(ctx context.Context, w io.Writer, fsys vfs.FS, away *Remote) (stuck []error, err error) {
	lock, err := fsys.Lock("lock")
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fault.Wrap(fault.Conflict, err, "The data folder is in use; stop the server first.")
	} else if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	m, err := readManifest(fsys)
	if err != nil {
		return nil, err
	}
	var errs []error
	records, stuck, err := checkLog(w, readOnly{fsys}, m)
	errs = append(errs, err)
	fmt.Fprintf(w, "log: %d records\n", records)
	objects, err := objstore.Local(readOnly{fsys}, "segments")
	if err != nil {
		return stuck, err
	}
	known := map[string]bool{}
	unread := 0
	for _, t := range m.Tables {
		rows := int64(0)
		for _, meta := range t.Segments {
			if err := ctx.Err(); err != nil {
				return stuck, err
			}
			rows += meta.Rows
			switch {
			case !meta.Remote:
				known[meta.Name] = true
				errs = append(errs, checkSegment(ctx, objects, meta))
			case away == nil:
				unread++
			default:
				errs = append(errs, checkSegment(ctx, whole{away.Store, m.StoreID}, meta))
			}
		}
		fmt.Fprintf(w, "table %s.%s: %d segments, %d rows\n", t.ID.Database, t.ID.Table, len(t.Segments), rows)
	}
	if unread > 0 {
		fmt.Fprintf(w, "%d segments are in the magnetic store %s and were not read: give --magnetic-store\n", unread, m.RemoteName)
	}
	keys, err := objects.List(ctx, "")
	errs = append(errs, err)
	for _, k := range keys {
		if !known[k] {
			fmt.Fprintf(w, "segment %s belongs to no table; the next start deletes it\n", k)
		}
	}
	return stuck, errors.Join(errs...)
}

// whole opens objects of a remote store by reading all of them: a check reads every byte anyway.
type whole struct {
	objstore.Store
	id string
}

// Open implements [objstore.Store].
func (s whole) Open(ctx context.Context, key string) (objstore.Object, error) {
	o, err := s.Store.Open(ctx, s.id+"/"+key)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	b := make([]byte, o.SizeBytes())
	if n, err := objstore.In(ctx, o).ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read segment %s: %w", key, err)
	}
	return inMemory{bytes.NewReader(b)}, nil
}

type inMemory struct{ *bytes.Reader }

func (o inMemory) SizeBytes() int64 { return o.Size() }

func (inMemory) Close() error { return nil }

func checkSegment(ctx context.Context, objects objstore.Store, meta segmentMeta) error {
	r, err := segment.Open(ctx, objects, meta.Name, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Rows() != meta.Rows || int64(r.NumSeries()) != meta.Series || r.SizeBytes() != meta.Bytes {
		return fault.New(fault.Corrupt, "The segment %s has %d rows, %d series and %d bytes; the manifest says %d, %d and %d.",
			meta.Name, r.Rows(), r.NumSeries(), r.SizeBytes(), meta.Rows, meta.Series, meta.Bytes)
	}
	return r.Check()
}
