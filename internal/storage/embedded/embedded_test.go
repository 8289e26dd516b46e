package embedded

import (
	"context"
	"errors"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

// open opens a store whose log has small files, if the test does not say: a file is zeroed ahead, which costs in
// memory what it costs on a disk, each time.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.LogFileBytes == 0 {
		o.LogFileBytes = 2 << 20
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// suite runs the conformance tests with small files and the given disturbances.
func suite(t *testing.T, o Options, disturb func(t *testing.T, s *Store), reopen func(t *testing.T, s *Store) vfs.FS) {
	t.Helper()
	t.Parallel()
	with := func(clk *clock.Clock, fsys vfs.FS) Options {
		o := o
		o.FS, o.Clock, o.LogFileBytes = fsys, clk, 256<<10
		return o
	}
	s := storagetest.Suite{Open: func(t *testing.T, clk *clock.Clock) storage.Backend { return open(t, with(clk, vfs.NewMem())) }}
	if disturb != nil {
		s.Disturb = func(t *testing.T, b storage.Backend) { disturb(t, b.(*Store)) }
	}
	if reopen != nil {
		s.Reopen = func(t *testing.T, clk *clock.Clock, b storage.Backend) storage.Backend {
			return open(t, with(clk, reopen(t, b.(*Store))))
		}
	}
	s.Run(t)
}

func flushNow(t *testing.T, s *Store) {
	if err := s.flushAll(context.Background()); err != nil {
		t.Errorf("flush: %v", err)
	}
}

func mergeNow(t *testing.T, s *Store) {
	flushNow(t, s)
	if err := errors.Join(s.purgeDue(context.Background()), s.mergeAll(context.Background())); err != nil {
		t.Errorf("merge: %v", err)
	}
}

func purgeNow(t *testing.T, s *Store) {
	flushNow(t, s)
	if err := s.purgeDue(context.Background()); err != nil {
		t.Errorf("purge: %v", err)
	}
}

func closed(t *testing.T, s *Store) vfs.FS {
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return s.fs
}

func crashed(t *testing.T, s *Store) vfs.FS {
	if s.remote != nil { // what it deletes there after the crash would be missing
		s.stop()
		s.workers.Wait()
	}
	left := s.fs.(*vfs.Mem).Crash(nil)
	s.Close()
	return left
}

func TestStoreInMemoryPassesTheSuite(t *testing.T)  { suite(t, Options{}, nil, nil) }
func TestStoreFlushedPassesTheSuite(t *testing.T)   { suite(t, Options{}, flushNow, nil) }
func TestStoreMergedPassesTheSuite(t *testing.T)    { suite(t, Options{}, mergeNow, nil) }
func TestStorePurgedPassesTheSuite(t *testing.T)    { suite(t, Options{}, purgeNow, crashed) }
func TestStoreReopenedPassesTheSuite(t *testing.T)  { suite(t, Options{}, nil, closed) }
func TestStoreCrashedPassesTheSuite(t *testing.T)   { suite(t, Options{}, nil, crashed) }
func TestStoreDisturbedPassesTheSuite(t *testing.T) { suite(t, Options{}, mergeNow, crashed) }

func TestStoreOfTinyLimitsPassesTheSuite(t *testing.T) {
	suite(t, Options{MemoryLimitBytes: 64 << 10, LogLimitBytes: 256 << 10}, nil, crashed)
}
