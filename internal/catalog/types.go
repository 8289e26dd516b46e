package catalog

import (
	"time"

	"github.com/weir-db/weir/internal/storage"
)

// Database is one database. A *Database is immutable: a change publishes another.
type Database struct {
	Name     string
	ARN      string
	KMSKeyID string // the key's ARN as reported; only echoed
	Created  time.Time
	Updated  time.Time

	tables map[string]*Table
	names  []string // of tables, sorted
	tags   []Tag    // sorted by key
}

// TableCount returns the number of tables.
func (d *Database) TableCount() int { return len(d.tables) }

// Table is one table as declared, with its store. A *Table is immutable: a change
// publishes another.
type Table struct {
	ID        storage.TableID
	ARN       string
	Retention Retention
	Magnetic  MagneticWrites
	Key       PartitionKey
	Created   time.Time
	Updated   time.Time
	Store     storage.Table // open as long as the table exists

	tags []Tag // sorted by key
}

// Policy returns what storage must know of the table's settings.
func (t *Table) Policy() storage.Policy {
	p := storage.Policy{
		MemoryRetention:   time.Duration(t.Retention.MemoryHours) * time.Hour,
		MagneticRetention: time.Duration(t.Retention.MagneticDays) * 24 * time.Hour,
		MagneticWrites:    t.Magnetic.Enabled,
	}
	if t.Key.Required {
		p.RequiredDimension = t.Key.Dimension
	}
	return p
}

// Retention is a table's RetentionProperties.
type Retention struct {
	MemoryHours  int64 // 1..8766
	MagneticDays int64 // 1..73000
}

// DefaultRetention is that of a table made without RetentionProperties.
var DefaultRetention = Retention{MemoryHours: 6, MagneticDays: 73000}

// MagneticWrites is a table's MagneticStoreWriteProperties.
type MagneticWrites struct {
	Enabled  bool
	Rejected *RejectedLocation // nil when the request gave none
}

// RejectedLocation is where reports about refused late records go: the members
// of S3Configuration as given, empty where they were not. S3 is false when the
// location came without an S3Configuration.
type RejectedLocation struct {
	S3                                   bool
	Bucket, Prefix, Encryption, KMSKeyID string
}

// PartitionKey is the one key of a table's CompositePartitionKey. The zero value
// is the default, partitioning by measure name.
type PartitionKey struct {
	Dimension string // empty: the key's Type is MEASURE
	Required  bool   // EnforcementInRecord REQUIRED, else OPTIONAL; of dimensions only
}

// Tag is a key and a value on a database or table.
type Tag struct{ Key, Value string }
