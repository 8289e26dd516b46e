package vfs

import (
	"io/fs"
	"sync"
	"syscall"
)

// Op is one kind of operation that can be made to fail.
type Op string

// The operations that change something on disk, and reading.
const (
	OpCreate      Op = "create"
	OpRead        Op = "read"
	OpWrite       Op = "write"
	OpSync        Op = "sync"
	OpSyncDir     Op = "syncdir"
	OpRename      Op = "rename"
	OpRemove      Op = "remove"
	OpPreallocate Op = "preallocate"
	OpTruncate    Op = "truncate"
)

// Injector is asked before each operation; a non-nil error is what the operation
// returns instead of being done. For a write, half of the bytes are written first.
// It may be called concurrently.
type Injector func(op Op, name string) error

// Inject returns base with faults.
func Inject(base FS, f Injector) FS { return &injected{base, f} }

// FailAfter returns an injector that lets n changing operations pass and then fails
// each with err, and a function that heals it.
func FailAfter(n int, err error) (f Injector, heal func()) {
	var mu sync.Mutex
	healed := false
	f = func(op Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if healed || op == OpRead {
			return nil
		}
		if n > 0 {
			n--
			return nil
		}
		return err
	}
	return f, func() {
		mu.Lock()
		defer mu.Unlock()
		healed = true
	}
}

// DiskFull is the error of a device without space.
var DiskFull error = syscall.ENOSPC

type injected struct {
	FS
	check Injector
}

func (i *injected) before(op Op, name string) error {
	if err := i.check(op, name); err != nil {
		return &fs.PathError{Op: string(op), Path: name, Err: err}
	}
	return nil
}

func (i *injected) Create(name string) (File, error) {
	if err := i.before(OpCreate, name); err != nil {
		return nil, err
	}
	return i.file(name)(i.FS.Create(name))
}

func (i *injected) Open(name string) (File, error) { return i.file(name)(i.FS.Open(name)) }

func (i *injected) OpenReadWrite(name string) (File, error) {
	return i.file(name)(i.FS.OpenReadWrite(name))
}

func (i *injected) file(name string) func(f File, err error) (File, error) {
	return func(f File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &injectedFile{f, i, name}, nil
	}
}

func (i *injected) Rename(oldName, newName string) error {
	if err := i.before(OpRename, newName); err != nil {
		return err
	}
	return i.FS.Rename(oldName, newName)
}

func (i *injected) Remove(name string) error {
	if err := i.before(OpRemove, name); err != nil {
		return err
	}
	return i.FS.Remove(name)
}

func (i *injected) SyncDir(dir string) error {
	if err := i.before(OpSyncDir, dir); err != nil {
		return err
	}
	return i.FS.SyncDir(dir)
}

type injectedFile struct {
	File
	fs   *injected
	name string
}

func (f *injectedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpRead, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *injectedFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpWrite, f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *injectedFile) Sync() error {
	if err := f.fs.before(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *injectedFile) Preallocate(size int64) error {
	if err := f.fs.before(OpPreallocate, f.name); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

func (f *injectedFile) Truncate(size int64) error {
	if err := f.fs.before(OpTruncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}
