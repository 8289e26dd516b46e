package embedded

import (
	"context"

	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/storage/embedded/series"
)

type segmentFile struct{ meta segmentMeta }

func (s *segmentFile) retire() {}

type segmentScan struct{}

func (s *segmentScan) appendRuns(w *worker, id series.ID) error { return nil }

func (p *plan) openSegments() error { return nil }
func (p *plan) release()            {}

func (t *table) openSegments([]segmentMeta) error { return nil }

func (t *table) lookupSegments(v *view, id series.ID, time int64) (memstore.Row, bool) {
	return memstore.Row{}, false
}

func (s *Store) start(ctx context.Context)       {}
func (s *Store) wake()                           {}
func (s *Store) written(grown int64)             { s.memory.Add(grown) }
func (s *Store) admit(ctx context.Context) error { return nil }
func (s *Store) replayed() error                 { return nil }
func (s *Store) flushAll() error                 { return nil }
func (s *Store) mergeAll(context.Context) error  { return nil }
func (s *Store) closeSegments()                  {}
