package storage

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/weir-db/weir/internal/vec"
)

// ScanSpec says what to read.
//
// From and To and Columns always apply. All else is an offer: the scanner may
// leave any of it to the caller, and [Scanner.Applied] says what it took on. A
// caller must be able to finish what was not applied, so that every pushdown can
// be switched off without a change in the answer.
type ScanSpec struct {
	From, To int64 // ns, From <= time < To; see AllTime

	// Columns are names of the schema; the scanner's batches have them in this order.
	// A name the schema does not have is an error of kind fault.Invalid. Ignored when
	// Aggregation is applied.
	Columns []string

	// Where is a conjunction. Predicates on columns that the spec does not list are fine.
	Where []Predicate

	// Aggregation, if not nil, asks for partial aggregates in place of rows. A scanner
	// may apply it only if it applies every predicate of Where.
	Aggregation *Aggregation

	// Limit, if positive, is how many rows the caller will read at most.
	Limit int64

	// NewestFirst asks for rows by time descending across all series, for ORDER BY
	// time DESC LIMIT n; honoured only together with Limit, see Applied.
	NewestFirst bool

	// Bound, if not nil, tells which rows a consumer of ORDER BY … LIMIT n still wants; it tightens while the scan
	// runs. The scanner may leave out rows that are not wanted, any or none of them.
	Bound *Bound

	// Reuse says that the caller is done with a batch when it asks for the next one, or closes the scanner, and
	// keeps nothing of it but strings and the dictionaries of its vectors: then the scanner may use its memory again.
	Reuse bool

	// Order asks for rows in this order, for ORDER BY and windows; ties come in any order. Keys are
	// dimensions and measure_name, each once, and time as the last one. With Limit it asks for the
	// first rows in that order. It is not asked for together with NewestFirst or Aggregation.
	Order []OrderKey
}

// OrderKey is one key of an order: a dimension, measure_name or time. Varchars compare by bytes.
type OrderKey struct {
	Column     string
	Desc       bool
	NullsFirst bool // whether Desc or not; otherwise they come last
}

// Bound is a value of a column of bigints, doubles or timestamps: rows that come after it in the order of ORDER BY are
// not wanted, those that are equal are. NaN is the greatest double, and nulls come first or last. It is safe for
// concurrent use.
type Bound struct {
	Column           string
	Desc, NullsFirst bool

	at atomic.Pointer[vec.Value] // replaced, never modified
}

// Set moves the bound to v, which is not null. It comes before the bound that was set before, or is equal.
func (b *Bound) Set(v vec.Value) { b.at.Store(&v) }

// Value returns the bound now, or nil if all rows are wanted. The same bound is the same pointer.
func (b *Bound) Value() *vec.Value { return b.at.Load() }

// AllTime is the widest time range of a scan, [AllTime.From, AllTime.To).
var AllTime = struct{ From, To int64 }{math.MinInt64, math.MaxInt64}

// Op is the comparison of a predicate.
type Op uint8

const (
	Eq        Op = iota // column = Values[0]
	Ne                  // column <> Values[0]
	Lt                  // column < Values[0]
	Le                  // column <= Values[0]
	Gt                  // column > Values[0]
	Ge                  // column >= Values[0]
	In                  // column equals one of Values
	IsNull              // no values
	IsNotNull           // no values
	Match               // Matches reports true; dimensions and measure_name only
)

// Predicate keeps the rows for which it is true; a null column value makes every
// comparison not true. Values have the column's type and are never null. Doubles
// compare as in SQL (NaN equals nothing), varchars by bytes.
type Predicate struct {
	Column string
	Op     Op
	Values []vec.Value
	// Matches, for Match, is called at least once per distinct value of the column
	// and must depend on nothing else; null says that the series lacks the dimension.
	// It must be safe for concurrent use. Text describes it for EXPLAIN.
	Matches func(value string, null bool) bool
	Text    string

	// MatchesAll, if not nil, sets in match what Matches says of each of some values, none null, and is quicker: columns may have a million.
	MatchesAll func(values []string, match []bool)
}

// Aggregation asks for partial aggregates: one or more rows per group, whose states
// the caller merges unless [Applied].Final says that there is one. Batches have the keys in order, then the state columns of each
// aggregate in order (see [AggFunc.States]).
type Aggregation struct {
	Keys []GroupKey
	Aggs []Agg
}

// GroupKey is a dimension or measure_name, or a bin of time.
type GroupKey struct {
	Column string // a dimension, "measure_name" or "time"
	BinNs  int64  // for time: bin width, > 0; the key is floor(time/BinNs)*BinNs (Timestream bin)
}

// AggFunc is a partial aggregate that storage can compute.
type AggFunc uint8

const (
	CountRows AggFunc = iota // of rows; Column empty
	Count                    // of non-null values
	Sum                      // double or bigint column
	Min                      // any scalar column, time included
	Max
	First   // value (null included) of the row with the least time
	Last    // value (null included) of the row with the greatest time
	Moments // count, mean and sum of squared deviations (Welford), of a double or bigint column
)

// Agg is one aggregate.
type Agg struct {
	Func   AggFunc
	Column string
}

// States returns the types of the state columns of f over a column of type t:
//
//	CountRows, Count  bigint
//	Sum               t; null when no value (bigint: an overflow is an error of the scan)
//	Min, Max          t; null when no value
//	First, Last       timestamp, t: the time of that row and its value, which may be null
//	Moments           bigint n, double mean, double m2
func (f AggFunc) States(t vec.Type) []vec.Type {
	switch f {
	case CountRows, Count:
		return []vec.Type{vec.BigintType}
	case First, Last:
		return []vec.Type{vec.TimestampType, t}
	case Moments:
		return []vec.Type{vec.BigintType, vec.DoubleType, vec.DoubleType}
	}
	return []vec.Type{t}
}

// Applied says which offers of a ScanSpec the scanner took on.
type Applied struct {
	Where       []bool // per predicate: every row returned satisfies it
	Aggregation bool
	Final       bool // of an aggregation: no two rows of all batches have the same keys
	NewestFirst bool // rows come newest first, and at least Limit of them if there are that many
	Order       bool // rows come in that order, and at least Limit of them if there are that many
}

// Scanner iterates over the answer of a scan. It is used by one goroutine.
type Scanner interface {
	// Applied is valid from the start.
	Applied() Applied
	// Next returns the next batch, not empty, or nil at the end. Rows come in the
	// order (series, time), series in no particular order but each in one run, unless
	// another order is applied; one row per (series, time): the highest version. Dimensions and measure_name come
	// as dictionary or constant vectors. The batch stays valid after later calls, unless
	// the spec says Reuse: then until the next call of Next or Close.
	// Next returns soon after ctx is done.
	Next(ctx context.Context) (*vec.Batch, error)
	// Stats may be called at any time, also after Close.
	Stats() ScanStats
	// Close releases what the scan holds. It may be called twice.
	Close()
}

// Divided is a Scanner that several goroutines can read together, each decoding what it reads.
type Divided interface {
	Scanner
	// Readers is how many goroutines are worth their start, at least 1.
	Readers() int
	// Divide returns n readers that give the rows of the scan together, each row once. A reader takes a piece of
	// the work whenever it needs one, so that all of them end at about the same time, and gives the rows of a
	// piece as Scanner.Next does; a series is in one piece. Where an order is applied, rows that are equal in all its
	// keys but time are in one piece, and the rows of each reader are in that order. It is called at most once, and in
	// place of Next.
	Divide(n int) []Reader
}

// Reader is one of the readers of a divided scan, for one goroutine. The scanner is closed when none of them is
// in use any more.
type Reader interface {
	// Next is like Scanner.Next; the batch is valid until the next call of the same reader, as with Reuse.
	Next(ctx context.Context) (*vec.Batch, error)
}

// PromptScanner is a Table that tells small scans from others. It is optional.
type PromptScanner interface {
	// ScanPrompt is Scan for a spec with which scanning waits for nothing but local reads and looks at no more than about
	// effort values. For any other it returns nil.
	ScanPrompt(ctx context.Context, spec ScanSpec, effort int64) (Scanner, error)
}

// ScanStats is what a scan cost.
type ScanStats struct {
	RowsScanned     int64 // rows looked at
	BytesScanned    int64 // decoded bytes looked at, as metering counts them
	SeriesRead      int64 // series that the filters leave, also those without a row in the time range
	SeriesSkipped   int64 // other series of the table; 0 where the backend does not know its series
	SegmentsRead    int64
	SegmentsSkipped int64
	BlocksRead      int64
	BlocksSkipped   int64 // of the segments read: by time, series or statistics, or not wanted yet
}
