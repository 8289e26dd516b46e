package server

import (
	"io"

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
