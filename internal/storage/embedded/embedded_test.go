package embedded

import (
	"context"
	"testing"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
	"github.com/weir-db/weir/internal/vfs"
)

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func TestStorePassesTheSuite(t *testing.T) {
	options := func(clk *clock.Clock, fsys vfs.FS) Options {
		return Options{FS: fsys, Clock: clk, LogFileBytes: 1 << 20}
	}
	t.Run("kept open", func(t *testing.T) {
		storagetest.Run(t, func(t *testing.T, clk *clock.Clock) storage.Backend { return open(t, options(clk, vfs.NewMem())) })
	})
	t.Run("closed and opened", func(t *testing.T) {
		storagetest.Suite{
			Open: func(t *testing.T, clk *clock.Clock) storage.Backend { return open(t, options(clk, vfs.NewMem())) },
			Reopen: func(t *testing.T, clk *clock.Clock, b storage.Backend) storage.Backend {
				s := b.(*Store)
				if err := s.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
				return open(t, options(clk, s.fs))
			},
		}.Run(t)
	})
	t.Run("crashed", func(t *testing.T) {
		storagetest.Suite{
			Open: func(t *testing.T, clk *clock.Clock) storage.Backend { return open(t, options(clk, vfs.NewMem())) },
			Reopen: func(t *testing.T, clk *clock.Clock, b storage.Backend) storage.Backend {
				s := b.(*Store)
				crashed := s.fs.(*vfs.Mem).Crash(nil)
				s.Close()
				return open(t, options(clk, crashed))
			},
		}.Run(t)
	})
}
