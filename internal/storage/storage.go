// Package storage is the contract between weir and whatever keeps its records.
//
// A [Backend] holds tables; a [Table] takes rows, judges them against the state of
// the table (window of acceptance, versions, types, limits) and gives them back in
// scans. Two implementations pass the suite in storagetest: the embedded engine
// and a naive model in memory.
//
// # Data model
//
// A row is one record: a series, a time in nanoseconds, a version, and the values
// of some value columns. A series is a measure name and a set of dimensions. Rows
// are unique by (series, time). The columns of a table are its dimensions, then
// measure_name, then time, then value columns: "measure_value::T" for
// single-measure records and one per attribute of multi-measure records, each
// group in the order of first appearance. A value column keeps its type for ever.
//
// Declared settings belong to the catalog, which hands the part that storage needs
// over as a [Policy]; observed columns belong to the table ([Schema]).
package storage

import (
	"context"
	"time"

	"github.com/weir-db/weir/internal/vec"
)

// TableID names a table. An id is used once: a table dropped and created anew has
// another Incarnation, so its old rows cannot come back.
type TableID struct {
	Database    string
	Table       string
	Incarnation uint64
}

// Policy is what storage needs to know of a table's declared settings.
type Policy struct {
	MemoryRetention   time.Duration // age at which rows leave the memory store
	MagneticRetention time.Duration // further age at which they are deleted
	MagneticWrites    bool          // late rows are accepted into the magnetic store
	// RequiredDimension, if not empty, must be among each row's dimensions (a
	// customer-defined partition key with REQUIRED enforcement).
	RequiredDimension string
}

// Backend is a store of tables. It is safe for concurrent use.
type Backend interface {
	// CreateTable makes an empty table durable. Creating an id that exists is not an
	// error and changes its policy: the catalog repeats calls after a crash.
	CreateTable(ctx context.Context, id TableID, p Policy) error
	// SetPolicy changes a table's policy; it takes effect at once. Rows beyond the
	// old or the new retention are deleted for good: a longer retention brings nothing
	// back, and writes older than what was deleted are outside the window until the
	// new retention has filled up (Timestream: changing retention).
	SetPolicy(ctx context.Context, id TableID, p Policy) error
	// DropTable deletes a table and its rows. Dropping what is not there is not an error.
	DropTable(ctx context.Context, id TableID) error
	// Tables lists what the backend holds, in no order; the catalog drops what it
	// does not know.
	Tables() []TableID
	// Table returns an open table, or an error of kind fault.NotFound.
	Table(id TableID) (Table, error)
	// Close stops background work and flushes. No other call may be in flight.
	Close() error
}

// Table is one table. It is safe for concurrent use.
type Table interface {
	// Write judges and stores rows in their order. Rows that are refused are in the
	// Receipt's Rejections; all others are durable and visible when Write returns
	// nil. After an error none of the rows may be assumed stored or not stored.
	// Errors: fault.Throttled when the disk cannot follow, fault.Unavailable after a
	// write error of the log, fault.NotFound when the table was dropped.
	Write(ctx context.Context, rows *Rows) (Receipt, error)
	// Scan reads. See [ScanSpec] for what may be ignored and [Scanner] for the result.
	// A scan sees every row whose Write returned before Scan was called.
	Scan(ctx context.Context, spec ScanSpec) (Scanner, error)
	// Delete deletes rows for good and returns how many there were; -1 if they could not be
	// counted. When it returns nil the deletion is durable, no later Scan sees a row that it names, and
	// versions of such rows count no more; rows whose Write began after Delete returned stay. Of
	// what is written meanwhile, rows are deleted or stay by an order that all agree on. The schema
	// stays as it is. After an error nothing may be assumed deleted or not deleted, but after
	// fault.Invalid nothing is. Errors: those of Write, and those of Scan: what holds rows must be readable.
	Delete(ctx context.Context, d Deletion) (int64, error)
	// Schema returns the columns observed so far. It is immutable and is replaced as
	// new names are written.
	Schema() *Schema
	// Stats returns sizes for metrics and query planning; the figures may lag.
	Stats() TableStats
}

// Limits of the service on a table (Timestream quotas: dimensions, measure names
// and multi-measure attributes per table).
const (
	MaxDimensionsPerTable   = 128
	MaxMeasureNamesPerTable = 8192
	MaxAttributesPerTable   = 1024
)

// Role is what a column is to the table.
type Role uint8

const (
	Dimension    Role = iota
	MeasureName       // the column "measure_name"
	TimeColumn        // the column "time"
	MeasureValue      // "measure_value::T" of single-measure records
	Attribute         // an attribute of multi-measure records
)

// Names of the two columns that every table has.
const (
	MeasureNameColumn = "measure_name"
	TimeColumnName    = "time"
)

// Column is one column of a table. Names are unique within a table.
type Column struct {
	Name string
	Type vec.Type
	Role Role
}

// Schema is the columns observed in a table, in the order of SELECT *.
type Schema struct {
	Columns  []Column
	Measures []Measure // in order of first appearance
}

// Measure is a measure name with one of its kinds, for SHOW MEASURES.
type Measure struct {
	Name       string
	Type       vec.Type // of single-measure records; Unknown for multi-measure ones
	Multi      bool
	Dimensions []string // seen with this measure, in order of first appearance
}

// Lookup returns the index of the column of that exact name, or -1.
func (s *Schema) Lookup(name string) int {
	for i := range s.Columns {
		if s.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// TableStats is sizes of a table.
type TableStats struct {
	Rows          int64 // stored rows, superseded versions included
	Series        int64
	MemoryBytes   int64 // resident in the memory store
	MagneticBytes int64 // in segments
}

// Rows is a batch to write. Its strings may point into a request body: they are
// valid until Write returns, and a backend copies what it keeps.
type Rows struct {
	// Columns are the value columns that rows of this batch use, deduplicated.
	Columns []Column
	Rows    []Row
}

// Row is one record to write.
type Row struct {
	Measure    string
	Dimensions []Dim // unique names, any order
	TimeNs     int64
	Version    int64 // at least 1
	Multi      bool  // a multi-measure record; else exactly one value, of a MeasureValue column
	Values     []Val // unique columns, any order

	// Memo, if not nil, belongs to the row's measure name and dimensions: rows with the same
	// Memo are of the same series, also in later calls. It is for the backend alone.
	Memo *Memo
}

// Memo is what a backend remembers of a series on behalf of a caller that writes it again and
// again. The zero value remembers nothing. One call of Write at a time may see a Memo.
type Memo struct {
	Owner *int64 // who made the note; nobody else may read it
	ID    uint64
}

// Dim is a dimension of a series.
type Dim struct{ Name, Value string }

// Val is a value of a row.
type Val struct {
	Column int32 // index into Rows.Columns
	// Bits holds bigint and timestamp as they are, double as math.Float64bits,
	// boolean as 0 or 1.
	Bits uint64
	Str  string // varchar
}

// Receipt says what became of the rows of a Write.
type Receipt struct {
	Memory     int // rows accepted into the memory store, repeats included
	Magnetic   int // rows accepted into the magnetic store
	Rejections []Rejection
	// Superseded counts rows accepted into the magnetic store that lost against a
	// stored version; AWS reports these asynchronously.
	Superseded []Rejection
}

// Cause is why a row was refused.
type Cause uint8

const (
	OutsideWindow     Cause = iota + 1 // see WindowFrom, WindowTo
	SameVersion                        // same key and version, other value
	LowerVersion                       // see Existing
	TypeConflict                       // Column has type Have, the row brought Want
	NameConflict                       // Column is a dimension and an attribute at once
	TooManyDimensions                  // the table would exceed MaxDimensionsPerTable
	TooManyMeasures                    // … MaxMeasureNamesPerTable
	TooManyAttributes                  // … MaxAttributesPerTable
	MissingDimension                   // the partition key's dimension, Column, is required
)

// Rejection is one refused row.
type Rejection struct {
	Row   int // index into Rows.Rows
	Cause Cause

	Existing int64 // stored version, for LowerVersion and SameVersion
	Version  int64 // the row's version

	WindowFrom, WindowTo int64 // ns, half open, for OutsideWindow

	Column     string   // for the conflicts and MissingDimension
	Have, Want vec.Type // for TypeConflict: stored and brought
}

// Window slack: rows are accepted up to LateSlack older than the retention and up
// to EarlySlack in the future (Timestream reference, ingestion window: the printed
// windows are retention + 40 minutes long, 15 of them in the future).
const (
	LateSlack  = 25 * time.Minute
	EarlySlack = 15 * time.Minute
)

// Window returns the acceptance window [from, to) in ns for rows written at now,
// and the time from which on accepted rows belong to the memory store.
func (p Policy) Window(now time.Time) (from, to, memory int64) {
	memory = now.Add(-p.MemoryRetention - LateSlack).UnixNano()
	from = memory
	if p.MagneticWrites {
		from = now.Add(-p.MemoryRetention - p.MagneticRetention - LateSlack).UnixNano()
	}
	return from, now.Add(EarlySlack).UnixNano(), memory
}

// Expiry returns the time in ns before which rows are deleted at now: older than
// both retentions together. The slack of the window is added, so that a row that
// may be written may also be read.
func (p Policy) Expiry(now time.Time) int64 {
	return now.Add(-p.MemoryRetention - p.MagneticRetention - LateSlack).UnixNano()
}
