package exec

import (
	"cmp"
	"slices"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
)

// TableScan is what the scans of one table cost, and which offers storage took on in any of them.
type TableScan struct {
	Table       plan.TableRef
	Storage     storage.ScanStats
	Filters     bool
	Aggregation bool
	Order       bool // the newest rows first, or by dimensions and time
}

// add adds the figures and offers of another scan of the table.
func (t *TableScan) add(s storage.ScanStats, a storage.Applied) {
	t.Storage = addStats(t.Storage, s)
	t.Filters = t.Filters || slices.Contains(a.Where, true)
	t.Aggregation = t.Aggregation || a.Aggregation
	t.Order = t.Order || a.NewestFirst || a.Order
}

// tableScans is what the scans of each table came to, by name.
type tableScans []TableScan

// add returns m with another scan of table ref.
func (m tableScans) add(ref plan.TableRef, s storage.ScanStats, a storage.Applied) tableScans {
	i, ok := slices.BinarySearchFunc(m, ref, func(t TableScan, ref plan.TableRef) int {
		return cmp.Or(cmp.Compare(t.Table.Database, ref.Database), cmp.Compare(t.Table.Table, ref.Table))
	})
	if !ok {
		m = slices.Insert(m, i, TableScan{Table: ref})
	}
	m[i].add(s, a)
	return m
}

// tableStats is the figures of each table, by name.
func (r *run) tableStats() []TableScan {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.tables)
	for i, s := range r.scanners {
		all = all.add(r.origins[i], s.Stats(), s.Applied())
	}
	return all
}
