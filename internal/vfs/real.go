package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Real returns the files below root on this machine. root is made, durably, if it is
// missing.
func Real(root string) (FS, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	missing := []string{}
	for dir := abs; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return nil, err
	}
	for _, dir := range missing {
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return nil, err
		}
	}
	return realFS{abs}, nil
}

type realFS struct{ root string }

func (r realFS) path(name string) string { return filepath.Join(r.root, filepath.FromSlash(name)) }

func (r realFS) Create(name string) (File, error) {
	return open(r.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (r realFS) Open(name string) (File, error) { return open(r.path(name), os.O_RDONLY) }

func (r realFS) OpenReadWrite(name string) (File, error) { return open(r.path(name), os.O_RDWR) }

func open(path string, flag int) (File, error) {
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return realFile{f}, nil
}

func (r realFS) Rename(oldName, newName string) error {
	return os.Rename(r.path(oldName), r.path(newName))
}

func (r realFS) Remove(name string) error { return os.Remove(r.path(name)) }

func (r realFS) MkdirAll(name string) error { return os.MkdirAll(r.path(name), 0o755) }

func (r realFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(r.path(dir))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return names, nil
}

func (r realFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(r.path(name)) }

func (r realFS) SyncDir(dir string) error { return syncDir(r.path(dir)) }

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r realFS) Lock(name string) (Unlocker, error) { return lockFile(r.path(name)) }

type realFile struct{ *os.File }

func (f realFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
