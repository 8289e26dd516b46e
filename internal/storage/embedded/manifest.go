package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

// The manifest says what the store consists of: tables, their policies, the columns
// of their flushed rows, their live segments, the deletions that these are subject to, and up
// to where each table's part of the log is in segments. It is one file, replaced as a whole by a rename:
//
//	weir-manifest 2 <CRC-32C of the rest, 8 hex digits>\n
//	<JSON>
//
// Version 1 had no deletions, and is read as such: a program that does not know them would
// bring rows back, so it must refuse version 2.
const (
	manifestName    = "manifest"
	manifestNewName = "manifest.new"
	manifestMagic   = "weir-manifest 2 "
	manifestMagic1  = "weir-manifest 1 "
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type manifest struct {
	NextTable   uint64          `json:"next_table"`
	NextSegment uint64          `json:"next_segment"`
	StoreID     string          `json:"store_id,omitempty"`    // before the keys of its objects in a remote store
	RemoteName  string          `json:"remote_name,omitempty"` // of that store, as people know it
	Owner       string          `json:"owner,omitempty"`       // token of the latest start that used it: see owner.go
	OwnerBefore string          `json:"owner_before,omitempty"`
	Tables      []tableManifest `json:"tables"`
}

type tableManifest struct {
	ID       storage.TableID   `json:"id"`
	UID      uint64            `json:"uid"`
	Policy   storage.Policy    `json:"policy"`
	Low      int64             `json:"low"`     // rows before are deleted
	Flushed  wal.Position      `json:"flushed"` // records up to here are in segments
	Columns  []columnManifest  `json:"columns"`
	Measures []storage.Measure `json:"measures"`
	Segments []segmentMeta     `json:"segments"` // oldest first

	Deletes []*deletion `json:"deletes,omitempty"` // that segments are subject to, as far as Flushed; by position
}

type columnManifest struct {
	Name string       `json:"name"`
	Kind vec.Kind     `json:"kind"`
	Role storage.Role `json:"role"`
	ID   int32        `json:"id"`
}

// segmentMeta is what the manifest knows of a segment.
type segmentMeta struct {
	Name    string `json:"name"`     // object key
	MinTime int64  `json:"min_time"` // of its rows
	MaxTime int64  `json:"max_time"`
	Rows    int64  `json:"rows"`
	Series  int64  `json:"series"`
	Bytes   int64  `json:"bytes"`

	Deleted wal.Position `json:"deleted,omitempty"` // deletions up to here are done in it
	Remote  bool         `json:"remote,omitempty"`  // it is in the remote store and not in the folder
	Judged  wal.Position `json:"judged,omitempty"`  // records up to here were judged against its file: see late.go
}

// maxManifestBytes bounds what a damaged store can make us read.
const maxManifestBytes = 1 << 30

func readManifest(fsys vfs.FS) (*manifest, error) {
	f, err := fsys.Open(manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return &manifest{NextTable: 1, NextSegment: 1}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open manifest: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("open manifest: %w", err)
	}
	if size > maxManifestBytes {
		return nil, fault.New(fault.Corrupt, "The manifest has %d bytes, want at most %d.", size, maxManifestBytes)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return parseManifest(data)
}

func parseManifest(data []byte) (*manifest, error) {
	head, body, ok := bytes.Cut(data, []byte("\n"))
	if !ok || !bytes.HasPrefix(head, []byte(manifestMagic)) && !bytes.HasPrefix(head, []byte(manifestMagic1)) {
		return nil, fault.New(fault.Corrupt, "The file manifest does not begin as a manifest of this version does.")
	}
	if want := fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)); string(head[len(manifestMagic):]) != want {
		return nil, fault.New(fault.Corrupt, "The manifest's checksum is %s, its content has %s.", head[len(manifestMagic):], want)
	}
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fault.Wrap(fault.Corrupt, err, "The manifest does not parse.")
	}
	return &m, nil
}

// encode returns the manifest as it is stored.
func (m *manifest) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	data := fmt.Appendf(nil, "%s%08x\n", manifestMagic, crc32.Checksum(body, castagnoli))
	return append(data, body...), nil
}

// write replaces the manifest durably.
func (m *manifest) write(fsys vfs.FS) error {
	data, err := m.encode()
	if err != nil {
		return err
	}
	f, err := fsys.Create(manifestNewName)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := errors.Join(fsys.Rename(manifestNewName, manifestName), fsys.SyncDir(".")); err != nil {
		return fmt.Errorf("%w: %w", errUnsure, err)
	}
	return nil
}

// errUnsure says that a crash may leave the new manifest or the old one, so the files of both must stay.
var errUnsure = errors.New("write manifest")

func (t *tableManifest) setObserved(o *observed) {
	t.Columns = make([]columnManifest, len(o.Columns))
	for i, c := range o.Columns {
		t.Columns[i] = columnManifest{c.Name, c.Type.Kind, c.Role, o.ids[i]}
	}
	t.Measures = o.Measures
}

// observed returns the stored schema, or nil for a table that never had a row.
func (t *tableManifest) observed() *observed {
	if len(t.Columns) == 0 {
		return nil
	}
	o := &observed{}
	for _, c := range t.Columns {
		o.Columns = append(o.Columns, storage.Column{Name: c.Name, Type: vec.Type{Kind: c.Kind}, Role: c.Role})
		o.ids = append(o.ids, c.ID)
	}
	o.Measures = t.Measures
	return o
}

// withPolicy returns the rules after a change of policy at now: what is older than the
// old or the new retention is deleted for good.
func (r rules) withPolicy(p storage.Policy, now time.Time) rules {
	if p.MemoryRetention+p.MagneticRetention != r.policy.MemoryRetention+r.policy.MagneticRetention {
		r.low = max(r.low, r.policy.Expiry(now), p.Expiry(now))
	}
	r.policy = p
	return r
}
