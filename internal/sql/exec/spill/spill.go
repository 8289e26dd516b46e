// Package spill keeps batches of columns in temporary files, for operators that need more
// memory than they may have.
//
// A [Space] is the folder of a server with a limit on all that is in it. A query has an
// [Area] there, with a limit of its own, and writes any number of runs: a [Writer] appends
// batches, [Writer.Finish] makes them a [Run], which any number of [Reader] read from its
// beginning. A run's disk space is free again after [Run.Remove], everything of a query after
// [Area.Close], and what a killed process left after the next [Open].
//
// # Files
//
// A run is one file, query-N/M.run: frames end to end, each one batch as encode.go writes it,
// compressed with S2 where that makes it smaller. Where a frame begins, how long it is and
// its CRC-32C stay in memory: no process but the one that wrote a run ever reads it, so
// the files have no header, no version and are never synced. A frame that does not come
// back as it was written is a fault.Corrupt error that names file and offset.
//
// # Concurrency
//
// Space and Area may be used from any goroutine, a Writer or Reader from one at a time, a
// finished Run from any for reading.
package spill

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vfs"
)

// Options of a [Space]. The zero value works.
type Options struct {
	LimitBytes   int64  // of all queries' files together; default 32 GiB
	Setting      string // names the setting behind it in errors; default "the limit on temporary files"
	QueryBytes   int64  // of one query's files; default 16 GiB
	QuerySetting string // names that setting; default "the query's limit on temporary files"
}

func (o Options) withDefaults() Options {
	if o.LimitBytes <= 0 {
		o.LimitBytes = 32 << 30
	}
	if o.QueryBytes <= 0 {
		o.QueryBytes = 16 << 30
	}
	if o.Setting == "" {
		o.Setting = "the limit on temporary files"
	}
	if o.QuerySetting == "" {
		o.QuerySetting = "the query's limit on temporary files"
	}
	return o
}

// Space is a folder for temporary files, which belongs to one process.
type Space struct {
	fsys vfs.FS
	opts Options
	lock vfs.Unlocker
	next atomic.Int64 // number of the latest area
	used atomic.Int64
}

const (
	lockName   = "lock"
	areaPrefix = "query-"
	runSuffix  = ".run"
)

// Open takes the root of fsys as a space and removes what an earlier process left there,
// and nothing else. The error is vfs.ErrLocked if another process uses the folder.
func Open(fsys vfs.FS, o Options) (*Space, error) {
	lock, err := fsys.Lock(lockName)
	if err != nil {
		return nil, err
	}
	s := &Space{fsys: fsys, opts: o.withDefaults(), lock: lock}
	if err := s.clean(); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return s, nil
}

func (s *Space) clean() error {
	names, err := s.fsys.List(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if n, ok := strings.CutPrefix(name, areaPrefix); ok && isNumber(n) {
			if err := s.removeFolder(name); err != nil {
				return fmt.Errorf("remove temporary files of an earlier run: %w", err)
			}
		}
	}
	return nil
}

func isNumber(text string) bool {
	_, err := strconv.ParseInt(text, 10, 64)
	return err == nil
}

// removeFolder removes a folder of runs.
func (s *Space) removeFolder(dir string) error {
	names, err := s.fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, runSuffix) {
			if err := s.fsys.Remove(path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return s.fsys.Remove(dir)
}

// Close gives the folder back. No area may be open.
func (s *Space) Close() error { return s.lock.Unlock() }

// UsedBytes returns what all queries have on disk now.
func (s *Space) UsedBytes() int64 { return s.used.Load() }

// Area returns a new area, for one query. It costs nothing until the first write. The caller
// must Close it.
func (s *Space) Area() *Area {
	return &Area{space: s, dir: areaPrefix + strconv.FormatInt(s.next.Add(1), 10)}
}

// Area is the temporary files of one query.
type Area struct {
	space *Space
	dir   string

	used    atomic.Int64
	written atomic.Int64

	mu   sync.Mutex // guards the fields below
	made bool       // the folder is there
	next int        // number of the latest run
	runs map[string]*Run
}

// UsedBytes returns what the query has on disk now.
func (a *Area) UsedBytes() int64 { return a.used.Load() }

// WrittenBytes returns what the query has written in all.
func (a *Area) WrittenBytes() int64 { return a.written.Load() }

// Close removes all files of the area. Writers and readers of it must not be used again. It may
// be called twice.
func (a *Area) Close() {
	a.mu.Lock()
	runs := a.runs
	a.runs = nil
	a.mu.Unlock()
	for _, r := range runs {
		r.remove()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made {
		// What cannot be removed now goes at the next start.
		_ = a.space.fsys.Remove(a.dir)
		a.made = false
	}
}

// create makes the file of a new run.
func (a *Area) create() (*Run, vfs.File, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.made {
		if err := a.space.fsys.MkdirAll(a.dir); err != nil {
			return nil, nil, a.diskError(err)
		}
		a.made = true
	}
	a.next++
	r := &Run{area: a, name: path.Join(a.dir, strconv.Itoa(a.next)+runSuffix)}
	f, err := a.space.fsys.Create(r.name)
	if err != nil {
		return nil, nil, a.diskError(err)
	}
	if a.runs == nil {
		a.runs = map[string]*Run{}
	}
	a.runs[r.name] = r
	return r, f, nil
}

// forget drops a run from the list; it reports whether it was there.
func (a *Area) forget(r *Run) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.runs[r.name]
	delete(a.runs, r.name)
	return ok
}

// take charges bytes to query and server.
func (a *Area) take(bytes int64) error {
	if used := a.used.Add(bytes); used > a.space.opts.QueryBytes {
		a.used.Add(-bytes)
		return fault.New(fault.Execution, "Query exceeded its limit of %s on temporary files; raise %s or narrow the query",
			SizeText(a.space.opts.QueryBytes), a.space.opts.QuerySetting)
	}
	if used := a.space.used.Add(bytes); used > a.space.opts.LimitBytes {
		a.give(bytes)
		return fault.New(fault.Throttled, "The queries that run now exceed their common limit of %s on temporary files; try again later or raise %s",
			SizeText(a.space.opts.LimitBytes), a.space.opts.Setting)
	}
	a.written.Add(bytes)
	return nil
}

func (a *Area) give(bytes int64) {
	a.used.Add(-bytes)
	a.space.used.Add(-bytes)
}

// diskError explains to the client what the disk said. A full disk is told with the limits that
// should have been lower.
func (a *Area) diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fault.Wrap(fault.Execution, err, "The disk for temporary files is full after %s of this query and %s of all: the limits %s (%s) and %s (%s) are more than it has; free space, lower them, or narrow the query",
			SizeText(a.UsedBytes()), SizeText(a.space.UsedBytes()),
			a.space.opts.QuerySetting, SizeText(a.space.opts.QueryBytes), a.space.opts.Setting, SizeText(a.space.opts.LimitBytes))
	}
	return fault.Wrap(fault.Unavailable, err, "Temporary files of the query cannot be written or read")
}

// SizeText returns bytes in the largest unit that divides it; sums that no unit divides are rounded down
// to two digits and a unit.
func SizeText(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	u, whole := 0, bytes
	for u < len(units)-1 && whole >= 1024 && whole%1024 == 0 {
		u, whole = u+1, whole/1024
	}
	if whole < 10<<10 || u > 0 {
		return fmt.Sprintf("%d %s", whole, units[u])
	}
	f := float64(bytes)
	for u < len(units)-1 && f >= 1024 {
		u, f = u+1, f/1024
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// isGone reports whether a file is not there.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
