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
//	index     blocks and their chunks
//	footer    schema and the places of the two before
//	trailer   footer length u32, footer CRC-32C u32, format version u32, "weirseg1"
//
// A chunk is a validity byte (0: no null, 1: all null and nothing follows, 2: one
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
	"math"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// BlockRows is how many rows a block aims at; MaxBlockRows bounds it.
const (
	BlockRows    = 1024
	MaxBlockRows = BlockRows + BlockRows/2
	// ownRows is from how many rows on a series gets blocks of its own.
	ownRows = BlockRows / 2
)

const (
	formatVersion = 1
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

// Stats is what is known of a chunk without reading it. Bits are those of
// storage.Val: the value of bigint and timestamp, the bits of a double, 0 or 1 for boolean.
// Varchar chunks have counts only.
type Stats struct {
	NonNull int32
	// HasRange: Min and Max are set: some value is not null, and no double is NaN.
	HasRange bool
	// HasSum: Sum is set, of doubles in the order of rows, or of bigints without overflow.
	HasSum   bool
	Min, Max uint64
	Sum      uint64
	// First and Last are the values of the first and last row; meaningful by time only
	// in a block of one run. FirstNull and LastNull say that they are null.
	First, Last         uint64
	FirstNull, LastNull bool
}

// statsOf computes the statistics of n rows.
func statsOf(kind vec.Kind, d *Data, n int) Stats {
	if d.AllNull() {
		return Stats{FirstNull: true, LastNull: true}
	}
	null := func(i int) bool { return d.Nulls != nil && d.Nulls[i] }
	s := Stats{FirstNull: null(0), LastNull: null(n - 1)}
	for i := range n {
		if !null(i) {
			s.NonNull++
		}
	}
	switch kind.Storage() {
	case vec.StoreFloats:
		floatStats(&s, d, n)
	case vec.StoreInts:
		intStats(&s, d, n)
	case vec.StoreBools:
		boolStats(&s, d, n)
	}
	return s
}

func floatStats(s *Stats, d *Data, n int) {
	lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
	nan := false
	for i, v := range d.Floats[:n] {
		if d.Nulls != nil && d.Nulls[i] {
			continue
		}
		nan = nan || v != v
		lo, hi, sum = min(lo, v), max(hi, v), sum+v
	}
	s.HasRange = s.NonNull > 0 && !nan
	s.HasSum = s.NonNull > 0
	s.Min, s.Max, s.Sum = math.Float64bits(lo), math.Float64bits(hi), math.Float64bits(sum)
	s.First, s.Last = math.Float64bits(d.Floats[0]), math.Float64bits(d.Floats[n-1])
}

func intStats(s *Stats, d *Data, n int) {
	lo, hi, sum := int64(math.MaxInt64), int64(math.MinInt64), int64(0)
	overflow := false
	for i, v := range d.Ints[:n] {
		if d.Nulls != nil && d.Nulls[i] {
			continue
		}
		lo, hi = min(lo, v), max(hi, v)
		next := sum + v
		overflow = overflow || (next > sum) != (v > 0) && v != 0
		sum = next
	}
	s.HasRange = s.NonNull > 0
	s.HasSum = s.NonNull > 0 && !overflow
	s.Min, s.Max, s.Sum = uint64(lo), uint64(hi), uint64(sum)
	s.First, s.Last = uint64(d.Ints[0]), uint64(d.Ints[n-1])
}

func boolStats(s *Stats, d *Data, n int) {
	bit := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	lo, hi := uint64(1), uint64(0)
	for i, v := range d.Bools[:n] {
		if d.Nulls == nil || !d.Nulls[i] {
			lo, hi = min(lo, bit(v)), max(hi, bit(v))
		}
	}
	s.HasRange = s.NonNull > 0
	s.Min, s.Max = lo, hi
	s.First, s.Last = bit(d.Bools[0]), bit(d.Bools[n-1])
}
