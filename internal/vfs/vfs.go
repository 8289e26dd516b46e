// Package vfs is the files below one folder, as the storage engine sees them: the
// machine's ([Real]), ones in memory that can crash ([NewMem]), and either of them
// with injected faults ([Inject]).
//
// Names are slash-separated and relative to the root. What is promised about
// durability is POSIX's least: file content is durable up to the last Sync of the
// file, and the names in a folder up to the last SyncDir of that folder. All file
// systems are safe for concurrent use; a File by one writer and any readers.
package vfs

import (
	"io"
	"io/fs"
	"path"
)

// FS is a file system. Errors are *fs.PathError or wrap fs.ErrNotExist,
// fs.ErrExist and syscall.ENOSPC as the os package's do.
type FS interface {
	// Create makes an empty file for reading and writing, truncating one that exists.
	Create(name string) (File, error)
	// Open opens a file for reading only.
	Open(name string) (File, error)
	// OpenReadWrite opens a file that exists for reading and writing.
	OpenReadWrite(name string) (File, error)
	// Rename moves a file, replacing what has the new name.
	Rename(oldName, newName string) error
	// Remove deletes a file or an empty folder.
	Remove(name string) error
	// MkdirAll makes a folder and those above it.
	MkdirAll(name string) error
	// List returns the names in a folder, sorted. A folder that is not there is an error
	// that wraps fs.ErrNotExist.
	List(dir string) ([]string, error)
	// Stat returns size and kind of a file.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock that ends with the process at the latest. The error is
	// ErrLocked if somebody else holds it.
	Lock(name string) (Unlocker, error)
}

// File is an open file.
type File interface {
	// ReadAt and WriteAt are those of io.ReaderAt and io.WriterAt. A write past the end
	// extends the file with zeros between.
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Sync makes content and size durable.
	Sync() error
	// Preallocate reserves size bytes of disk and extends the file with zeros to that
	// size, so that later writes within it need no new blocks. It may do nothing but extend.
	Preallocate(size int64) error
	Truncate(size int64) error
	Size() (int64, error)
	Close() error
}

// Unlocker gives a lock back.
type Unlocker interface{ Unlock() error }

// MakeDir makes a folder, and those above it, whose names survive a crash. It
// syncs even where the folder exists: who made it may not have come so far.
func MakeDir(fsys FS, dir string) error {
	dir = path.Clean(dir)
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for dir != "." && dir != "/" {
		dir = path.Dir(dir)
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// ReadFile returns all of a file, which is small.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, size))
}

// ErrLocked says that another process uses the folder.
var ErrLocked = lockedError{}

type lockedError struct{}

func (lockedError) Error() string { return "in use by another process" }
