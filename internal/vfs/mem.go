package vfs

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is a file system in memory that knows what a crash would leave.
type Mem struct {
	mu    sync.Mutex // guards everything below, the nodes too
	names map[string]*node
	kept  map[string]*node // what the names would be after a crash
	locks map[string]bool
}

// node is a file's content, or a folder (dir).
type node struct {
	dir    bool
	data   []byte
	synced []byte // what a crash leaves for sure
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	root := &node{dir: true}
	return &Mem{names: map[string]*node{".": root}, kept: map[string]*node{".": root}, locks: map[string]bool{}}
}

// Crash returns the file system as a crash now might leave it. With random nil that is
// the least that was promised: names as of the last SyncDir of their folder, content as of
// the last Sync. Otherwise each change since may have reached the disk or not, by itself:
// a name is there as it was or as it is, and a file has its synced content, its current
// content, or a mix of both by sectors or up to a random place. A name in a folder that
// did not survive is gone. The receiver goes on unharmed, for a writer that has not
// noticed yet.
func (m *Mem) Crash(random *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.survivingNamesLocked(random)
	names := slices.Sorted(maps.Keys(left)) // the same seed gives the same crash
	after := NewMem()
	copies := map[*node]*node{}
	for _, name := range names {
		n := left[name]
		if n == nil || name == "." || after.names[path.Dir(name)] == nil {
			continue
		}
		copied := copies[n] // two names of one file after a rename that is half there
		if copied == nil {
			copied = &node{dir: n.dir, data: survivor(n, random)}
			copied.synced = slices.Clone(copied.data)
			copies[n] = copied
		}
		after.names[name], after.kept[name] = copied, copied
	}
	return after
}

// survivingNamesLocked picks, for each name that was or is, what it stands for after a
// crash; nil for nothing.
func (m *Mem) survivingNamesLocked(random *rand.Rand) map[string]*node {
	left := maps.Clone(m.kept)
	if random == nil {
		return left
	}
	all := maps.Clone(m.kept)
	maps.Copy(all, m.names)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if m.names[name] != m.kept[name] && random.IntN(2) == 0 {
			left[name] = m.names[name]
		}
	}
	return left
}

const sectorBytes = 512

func survivor(n *node, random *rand.Rand) []byte {
	if random == nil {
		return slices.Clone(n.synced)
	}
	switch random.IntN(4) {
	case 0:
		return slices.Clone(n.synced)
	case 1:
		return slices.Clone(n.data)
	case 2: // some sectors were written, in no order
		mixed := make([]byte, max(len(n.synced), len(n.data)))
		copy(mixed, n.synced)
		for at := 0; at < len(n.data); at += sectorBytes {
			if random.IntN(2) == 0 {
				copy(mixed[at:min(at+sectorBytes, len(mixed))], n.data[at:])
			}
		}
		return mixed
	}
	// The disk wrote some of what was new, up to a random place, and not the rest.
	tear := random.IntN(len(n.data) + 1)
	torn := slices.Clone(n.data[:tear])
	if len(n.synced) > tear {
		torn = append(torn, n.synced[tear:]...)
	}
	return torn
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// Create makes an empty file.
func (m *Mem) Create(name string) (File, error) {
	name = path.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.parentLocked("create", name); err != nil {
		return nil, err
	}
	n := m.names[name]
	switch {
	case n == nil:
		n = &node{}
		m.names[name] = n
	case n.dir:
		return nil, pathError("create", name, fs.ErrInvalid)
	}
	n.data = nil
	return &memFile{m: m, n: n, name: name, writable: true}, nil
}

func (m *Mem) parentLocked(op, name string) error {
	if p := m.names[path.Dir(name)]; p == nil || !p.dir {
		return pathError(op, name, fs.ErrNotExist)
	}
	return nil
}

// Open opens a file for reading.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenReadWrite opens a file for reading and writing.
func (m *Mem) OpenReadWrite(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	name = path.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil || n.dir {
		return nil, pathError("open", name, fs.ErrNotExist)
	}
	return &memFile{m: m, n: n, name: name, writable: writable}, nil
}

// Rename moves a file.
func (m *Mem) Rename(oldName, newName string) error {
	oldName, newName = path.Clean(oldName), path.Clean(newName)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[oldName]
	if n == nil {
		return pathError("rename", oldName, fs.ErrNotExist)
	}
	if err := m.parentLocked("rename", newName); err != nil {
		return err
	}
	delete(m.names, oldName)
	m.names[newName] = n
	return nil
}

// Remove deletes a file or an empty folder.
func (m *Mem) Remove(name string) error {
	name = path.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if n.dir {
		for other := range m.names {
			if path.Dir(other) == name && other != name {
				return pathError("remove", name, fs.ErrExist)
			}
		}
	}
	delete(m.names, name)
	return nil
}

// MkdirAll makes a folder and those above it. As on a journaling file system, a new
// folder is lost in a crash unless the one above it was synced.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir := path.Clean(name); dir != "."; dir = path.Dir(dir) {
		n := m.names[dir]
		if n != nil && !n.dir {
			return pathError("mkdir", dir, fs.ErrExist)
		}
		if n == nil {
			m.names[dir] = &node{dir: true}
		}
	}
	return nil
}

// List returns the names in a folder.
func (m *Mem) List(dir string) ([]string, error) {
	dir = path.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[dir]; n == nil || !n.dir {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	names := []string{}
	for name := range m.names {
		if path.Dir(name) == dir && name != "." {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Stat returns size and kind.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	name = path.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return nil, pathError("stat", name, fs.ErrNotExist)
	}
	return memInfo{path.Base(name), int64(len(n.data)), n.dir}, nil
}

// SyncDir makes the names in a folder durable, deletions and renames included. The
// folder itself survives a crash only if it was synced in turn.
func (m *Mem) SyncDir(dir string) error {
	dir = path.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[dir]; n == nil || !n.dir {
		return pathError("sync", dir, fs.ErrNotExist)
	}
	for name := range m.kept {
		if path.Dir(name) == dir && name != "." && m.names[name] == nil {
			m.dropLocked(name)
		}
	}
	for name, n := range m.names {
		if path.Dir(name) == dir && name != "." {
			m.kept[name] = n
		}
	}
	return nil
}

// dropLocked forgets a kept name and, if it is a folder, all below it.
func (m *Mem) dropLocked(name string) {
	for other := range m.kept {
		if other == name || strings.HasPrefix(other, name+"/") {
			delete(m.kept, other)
		}
	}
}

// Lock takes a lock that ends with Unlock. A crashed copy has no locks.
func (m *Mem) Lock(name string) (Unlocker, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, ErrLocked
	}
	m.locks[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	m    *Mem
	name string
}

func (l memLock) Unlock() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

type memFile struct {
	m        *Mem
	n        *node
	name     string
	writable bool
	closed   bool
}

// usableLocked refuses work on a closed file, or writing on one opened for reading.
func (f *memFile) usableLocked(op string, write bool) error {
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	if write && !f.writable {
		return pathError(op, f.name, fs.ErrPermission)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usableLocked("read", false); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usableLocked("write", true); err != nil {
		return 0, err
	}
	f.n.growLocked(off + int64(len(p)))
	return copy(f.n.data[off:], p), nil
}

func (n *node) growLocked(size int64) {
	if extra := size - int64(len(n.data)); extra > 0 {
		n.data = append(n.data, make([]byte, extra)...)
	}
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usableLocked("sync", false); err != nil {
		return err
	}
	f.n.synced = slices.Clone(f.n.data)
	return nil
}

func (f *memFile) Preallocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usableLocked("preallocate", true); err != nil {
		return err
	}
	f.n.growLocked(size)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usableLocked("truncate", true); err != nil {
		return err
	}
	f.n.growLocked(size)
	f.n.data = f.n.data[:size:size]
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), f.usableLocked("stat", false)
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.usableLocked("close", false)
	f.closed = true
	return err
}

type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string { return i.name }
func (i memInfo) Size() int64  { return i.size }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
