package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/storage/embedded/segment"
	"github.com/weir-db/weir/internal/storage/embedded/wal"
	"github.com/weir-db/weir/internal/vfs"
)

// Inspect prints a file that the engine wrote: the manifest, a log file, the copy of one of its records, or a segment. It
// checks every checksum; damage is an error of kind fault.Corrupt that says where.
func Inspect(w io.Writer, fsys vfs.FS, name string) error {
	if name == manifestName || name == manifestNewName {
		return inspectManifest(w, fsys, name)
	}
	if strings.HasSuffix(name, ".wal") {
		return wal.Dump(w, fsys, name)
	}
	if suffix := path.Ext(name); suffix == poisonSuffix || suffix == passedSuffix {
		return inspectCopy(w, fsys, name)
	}
	objects, err := objstore.Local(readOnly{fsys}, ".")
	if err != nil {
		return err
	}
	r, err := segment.Open(context.Background(), objects, name, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Dump(w, true)
}

// readOnly keeps looking at a folder from tidying it up.
type readOnly struct{ vfs.FS }

func (readOnly) MkdirAll(string) error { return nil }
func (readOnly) Remove(string) error   { return nil }

func inspectManifest(w io.Writer, fsys vfs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > maxManifestBytes {
		return fault.New(fault.Corrupt, "The manifest has %d bytes, want at most %d.", size, maxManifestBytes)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return err
	}
	m, err := parseManifest(data)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "manifest of %d tables\n", len(m.Tables))
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return err
	}
	_, err = text.WriteTo(w)
	return err
}
