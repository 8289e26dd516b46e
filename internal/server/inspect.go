package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/weir-db/weir/internal/meta"
	"github.com/weir-db/weir/internal/storage/embedded"
	"github.com/weir-db/weir/internal/vfs"
)

// InspectStoreFile prints a file of the storage engine, found in dir, and checks it.
func InspectStoreFile(w io.Writer, dir, name string) error {
	fsys, err := vfs.Real(dir)
	if err != nil {
		return err
	}
	return embedded.Inspect(w, fsys, name)
}

// CheckFolder verifies the data folder of o, which no server has open: see embedded.Check. Of o it reads
// DataDir, MagneticStore and what that needs.
func CheckFolder(ctx context.Context, w io.Writer, o Options) error {
	if err := refuseUnfinished(o.DataDir); err != nil {
		return err
	}
	remote, err := openMagnetic(ctx, o)
	if err != nil {
		return err
	}
	stuck, err := checkFolder(ctx, w, o.DataDir, remote)
	return errors.Join(errors.Join(stuck...), err)
}

// checkFolder is [CheckFolder]; stuck are records that keep their tables, and nothing else, from being written.
func checkFolder(ctx context.Context, w io.Writer, dir string, remote *embedded.Remote) (stuck []error, err error) {
	if _, err := os.Stat(filepath.Join(dir, "store")); err != nil {
		return nil, fmt.Errorf("%s is no data folder: %w", dir, err)
	}
	documents := meta.Dump(io.Discard, filepath.Join(dir, "meta.db"))
	if documents == nil {
		fmt.Fprintln(w, "documents: whole")
	}
	fsys, err := vfs.Real(filepath.Join(dir, "store"))
	if err != nil {
		return nil, err
	}
	stuck, err = embedded.Check(ctx, w, fsys, remote)
	return stuck, errors.Join(documents, err)
}
