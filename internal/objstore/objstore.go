// Package objstore is buckets of immutable objects: the magnetic store's segments,
// and the places that reports and exports go to.
//
// An object appears whole or not at all: after Put returns it is durable under its
// name, and a crash before leaves nothing under it. Keys are slash-separated. All stores
// are safe for concurrent use.
package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Store keeps objects. A missing object is an error of kind fault.NotFound.
type Store interface {
	// Put stores what r gives, up to its end, replacing an object of that key.
	Put(ctx context.Context, key string, r io.Reader) error
	// Open opens an object for reading at random.
	Open(ctx context.Context, key string) (Object, error)
	// List returns the keys that begin with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
	// Delete removes an object; removing what is not there is not an error.
	Delete(ctx context.Context, key string) error
}

// Object is an open object. It is safe for concurrent use.
type Object interface {
	// ReadAt reads as io.ReaderAt does.
	ReadAt(p []byte, off int64) (int, error)
	SizeBytes() int64
	Close() error
}

// Distant is an Object whose reads may take long.
type Distant interface {
	Object
	// In returns the object with reads that end when ctx is done. It needs no Close of its own.
	In(ctx context.Context) Object
}

// In returns o with reads that end when ctx is done, if they may take long.
func In(ctx context.Context, o Object) Object {
	if d, ok := o.(Distant); ok {
		return d.In(ctx)
	}
	return o
}

// Copy is an Object that is read from a copy of what the store has.
type Copy interface {
	Object
	// Refetch throws the copy of a range away: whoever read it found it damaged.
	Refetch(off, length int64)
}

// Local returns a store in a folder of fsys. Each object is a file; unfinished ones are
// named ".part" and removed when the store opens.
func Local(fsys vfs.FS, dir string) (Store, error) {
	s := &local{fs: fsys, dir: path.Clean(dir), made: map[string]bool{}}
	if err := s.makeDir(s.dir); err != nil {
		return nil, err
	}
	if err := s.removeParts(); err != nil {
		return nil, err
	}
	return s, nil
}

// NewMem returns a store in memory.
func NewMem() Store {
	s, err := Local(vfs.NewMem(), ".")
	if err != nil {
		panic("bug: " + err.Error()) // memory does not refuse
	}
	return s
}

const part = ".part"

type local struct {
	fs    vfs.FS
	dir   string
	parts atomic.Uint64 // numbers unfinished files: two may have one key

	mu   sync.Mutex      // guards made
	made map[string]bool // folders whose names are known to survive a crash
}

func (s *local) name(key string) (string, error) {
	clean := path.Clean(key)
	if key == "" || clean != key || clean == "." || strings.HasPrefix(clean, "..") || strings.HasPrefix(clean, "/") || strings.HasSuffix(clean, part) {
		return "", fault.New(fault.Invalid, "%q is not a key of an object", key)
	}
	return path.Join(s.dir, clean), nil
}

func (s *local) Put(ctx context.Context, key string, r io.Reader) error {
	name, err := s.name(key)
	if err != nil {
		return err
	}
	if err := s.makeDir(path.Dir(name)); err != nil {
		return err
	}
	unfinished := fmt.Sprintf("%s.%d%s", name, s.parts.Add(1), part)
	err = s.write(ctx, unfinished, r)
	if err == nil {
		err = s.fs.Rename(unfinished, name)
	}
	if err != nil {
		s.fs.Remove(unfinished)
		return fmt.Errorf("put %s: %w", key, err)
	}
	return s.fs.SyncDir(path.Dir(name))
}

// makeDir makes a folder whose name survives a crash. That a folder is there does not
// say so: another Put, or a process that was killed, may have made it and not come to
// the sync.
func (s *local) makeDir(dir string) error {
	s.mu.Lock()
	made := s.made[dir]
	s.mu.Unlock()
	if made {
		return nil
	}
	if err := vfs.MakeDir(s.fs, dir); err != nil {
		return err
	}
	s.mu.Lock()
	s.made[dir] = true
	s.mu.Unlock()
	return nil
}

func (s *local) write(ctx context.Context, name string, r io.Reader) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(&writer{ctx: ctx, f: f}, onlyReader{r}, make([]byte, 256<<10))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// onlyReader hides WriteTo, so that the copy has the buffer's size.
type onlyReader struct{ io.Reader }

type writer struct {
	ctx context.Context
	f   vfs.File
	off int64
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.f.WriteAt(p, w.off)
	w.off += int64(n)
	return n, err
}

func (s *local) Open(_ context.Context, key string) (Object, error) {
	name, err := s.name(key)
	if err != nil {
		return nil, err
	}
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(fault.NotFound, err, "The object %s does not exist.", key)
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &object{f, size}, nil
}

type object struct {
	vfs.File
	size int64
}

func (o *object) SizeBytes() int64 { return o.size }

func (s *local) List(_ context.Context, prefix string) ([]string, error) {
	// Only folders that can hold such keys are walked.
	start := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i]
	}
	keys, err := s.walk(start, nil)
	if err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) || strings.HasSuffix(k, part) })
	slices.Sort(keys)
	return keys, nil
}

// walk appends the keys of all files below a folder, unfinished ones too.
func (s *local) walk(dir string, keys []string) ([]string, error) {
	names, err := s.fs.List(path.Join(s.dir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return keys, nil
	}
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		key := path.Join(dir, n)
		info, err := s.fs.Stat(path.Join(s.dir, key))
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
		case err != nil:
			return nil, err
		case info.IsDir():
			if keys, err = s.walk(key, keys); err != nil {
				return nil, err
			}
		default:
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (s *local) removeParts() error {
	keys, err := s.walk("", nil)
	for _, k := range keys {
		if strings.HasSuffix(k, part) {
			err = errors.Join(err, s.fs.Remove(path.Join(s.dir, k)))
		}
	}
	return err
}

func (s *local) Delete(_ context.Context, key string) error {
	name, err := s.name(key)
	if err != nil {
		return err
	}
	err = s.fs.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.fs.SyncDir(path.Dir(name))
}
