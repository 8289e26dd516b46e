// Package segment is the immutable columnar file: the rows of some series of one table,
// sorted by series and time.
//
// # Blocks
//
// Rows are cut into blocks of about a thousand. A long series fills blocks of its own;
// short ones share a block, which then lists runs: which series, how many rows. A block's
// columns are separate chunks, each with a checksum and, apart from the data, its
// statistics; so a reader touches only the blocks and columns it needs, and often none.
//
// # File
//
//	chunks    for each block: times, versions (if one is not 1), value columns in order
//	series    the series table
//	index     blocks, their chunks and statistics, and the prefix codes of each column
//	footer    schema and the places of the two before
//	trailer   footer length u32, footer CRC-32C u32, format version u32, "weirseg1"
//
// A chunk of times is absent if the rows of the block are one series' at equal distances; else
// it is a form byte (0: the times as integers; 1: each run is at equal distances: first times,
// then distances, as integers). Another chunk is a validity byte (0: no null, 1: all null and nothing follows, 2: one
// null flag per row, as codec booleans, then the values that are not null) and a block
// of package codec. Its CRC-32C is in the index. Series, index and footer are compressed
// with zstd behind their length (uvarint), and have a CRC-32C, kept in the footer or the trailer.
//
// docs/format/segment.md draws the bytes. A [Writer] is used by one goroutine; a [Reader]
// may be used by many.
package segment

import (
	"fmt"
	"hash/crc32"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
)

// BlockRows is how many rows a block aims at; MaxBlockRows bounds it.
const (
	BlockRows    = 1024
	MaxBlockRows = BlockRows + BlockRows/2
	// ownRows is from how many rows on a series gets blocks of its own, whose statistics answer for it: the sum or the last value of one of 360 rows takes 0.2 µs and
	// not 1.1 (BenchmarkFewOfMany), for 0.01 bytes a value more. Shorter series are decoded nearly as quickly, and statistics of each would cost too much of what they take.
	ownRows = BlockRows / 4
)

// Versions 1 and 2 differ in the index and in the chunks of times; version 2 has prefix
// codes besides.
const (
	formatVersion = 2
	trailerBytes  = 20
)

var (
	magic      = [8]byte{'w', 'e', 'i', 'r', 's', 'e', 'g', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// CorruptError says that a segment holds something that the writer did not write.
type CorruptError struct {
	Path   string // the object's key
	Offset int64  // of the part in doubt
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment %s is damaged at byte %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }

// FaultKind makes it fault.Corrupt.
func (e *CorruptError) FaultKind() fault.Kind { return fault.Corrupt }

// Series names a series.
type Series struct {
	Measure string
	Dims    []storage.Dim // sorted by name
	// Codes are numbers of the values, each the same for the same value of a name, small and dense; nil if the
	// values have none. A [Writer] finds values by them sooner than by their text.
	Codes []uint32
}

// Run is the rows of one series in a block.
type Run struct {
	Series int32 // index into the segment's series
	Rows   int32
}

// Block is what is known of a block without reading it. Its rows are those of the runs,
// in order.
type Block struct {
	Rows             int
	MinTime, MaxTime int64 // ns, inclusive
	Runs             []Run
}

// Data is the values of one column, one slot per row, in the slice of the column's
// storage. All slices nil means that every row is null.
type Data struct {
	Ints   []int64
	Floats []float64
	Bools  []bool
	Strs   []string
	Nulls  []bool // nil: no row is null (unless all are)
}

// AllNull reports whether no row has a value.
func (d *Data) AllNull() bool {
	return d.Ints == nil && d.Floats == nil && d.Bools == nil && d.Strs == nil
}
