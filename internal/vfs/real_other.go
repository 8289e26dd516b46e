//go:build !linux

package vfs

import (
	"errors"
	"io/fs"
	"os"
)

func (f realFile) Preallocate(size int64) error { return f.Truncate(size) }

// lockFile takes the lock by making the file, which a crash leaves behind: only Linux
// has locks that end with the process here.
func lockFile(path string) (Unlocker, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return madeFile{path}, f.Close()
}

type madeFile struct{ path string }

func (m madeFile) Unlock() error { return os.Remove(m.path) }
