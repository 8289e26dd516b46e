package embedded

import (
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/embedded/memstore"
	"github.com/weir-db/weir/internal/vec"
)

// boundTest is the bound of a scan for ORDER BY … LIMIT, as a predicate where it says the same.
type boundTest struct {
	*storage.Bound
	col    memstore.Col
	onTime bool
}

// newBoundTest returns nil for columns that the scan cannot bound.
func newBoundTest(b *storage.Bound, c *scanColumn) *boundTest {
	switch c.Role {
	case storage.TimeColumn:
		return &boundTest{b, memstore.Col{ID: -1, Kind: vec.Timestamp}, true}
	case storage.Dimension, storage.MeasureName:
		return nil
	}
	switch c.Type.Kind {
	case vec.Double, vec.Bigint, vec.Timestamp:
		return &boundTest{b, c.col, false}
	}
	return nil
}

// bounded looks at a span in the light of the bound as it is now: none says that no row of it is wanted, test
// that w.bound keeps exactly those that are.
func (w *worker) bounded(s *span) (test, none bool) {
	b := w.p.bound
	at := b.Value()
	if at == nil || at.Float != at.Float {
		return false, false // NaN: all are wanted, or there is no telling by a predicate
	}
	if at != w.boundAt {
		p := &storage.Predicate{Column: b.Column, Op: storage.Le, Values: []vec.Value{*at}}
		if b.Desc {
			p.Op = storage.Ge
		}
		w.boundAt, w.bound = at, valueTest{p: p, col: b.col, onTime: b.onTime}
	}
	if b.onTime {
		_, first, last := s.span()
		if b.Desc {
			return first < at.Int, last < at.Int
		}
		return last > at.Int, first > at.Int
	}
	// A predicate leaves out nulls and NaN. They are wanted where they come first.
	stats := s.bounds(b.col)
	switch {
	case stats == nil:
		return !b.NullsFirst && (b.col.Kind != vec.Double || !b.Desc), false
	case b.NullsFirst && stats.nonNull < stats.rows:
		return false, false
	case stats.nonNull > 0 && !stats.hasMinMax && b.Desc: // NaN
		return false, false
	}
	return true, w.bound.excludes(stats)
}
