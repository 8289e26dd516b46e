// Package catalog is what was declared: databases, tables, their retention,
// partition keys and tags. What was observed (columns, measures) belongs to
// storage.
//
// The catalog keeps its documents in internal/meta and its tables in a
// storage.Backend. A table is created in the backend first and dropped from the
// documents first, so after a crash the backend may hold tables that the catalog
// does not know, which [Open] drops; a table known and not held is damage, and
// Open refuses it.
//
// Readers use an immutable snapshot and take no lock; changes are made one at a
// time and are durable when the call returns.
package catalog

import (
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
)

// Catalog is safe for concurrent use.
type Catalog struct {
	snap atomic.Pointer[snapshot] // replaced, never modified
}

// snapshot is the whole catalog at one moment.
type snapshot struct {
	databases map[string]*Database
	names     []string // of databases, sorted
	tables    int      // in all databases
}

// Table returns the table of that name, which the caller must not modify. The
// error has kind fault.NotFound and the API's text. It takes no lock and keeps
// neither string.
func (c *Catalog) Table(database, table string) (*Table, error) {
	d, err := c.Database(database)
	if err != nil {
		return nil, err
	}
	if t := d.tables[table]; t != nil {
		return t, nil
	}
	return nil, fault.New(fault.NotFound, "The table %s does not exist.", table)
}

// Database returns the database of that name; see [Catalog.Table].
func (c *Catalog) Database(name string) (*Database, error) {
	if d := c.snap.Load().databases[name]; d != nil {
		return d, nil
	}
	return nil, fault.New(fault.NotFound, "The database %s does not exist.", name)
}
