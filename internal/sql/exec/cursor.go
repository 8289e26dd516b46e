// Package exec runs plans: it turns the nodes of a [plan.Query] into operators that
// pass batches of columns, and hands the rows of the last one to a [Cursor].
//
// # Operators
//
// An operator is pulled: next gives a batch that is not empty, or nil at the end.
// Batches are immutable, so an operator may pass its input's columns on; they stay valid, unless their consumer
// said that it keeps none (see borrow), or is the sink of a pipeline. Scan, Filter,
// Project, Limit, Unnest and UNION ALL stream; Sort, TopN, Aggregate, Distinct, Window, the build side of
// a join and shared subplans keep rows, and charge them to the query's memory account. They
// go on in temporary files when that is full: see [spill.Space], spill.go and partition.go.
//
// Aggregate takes its input in parallel, through the filters, projections and probes of joins between it and
// the next operator that keeps rows (pipeline.go), once a query has read so many rows that it pays. Then the
// order of its groups and the last digits of sums of doubles may differ from run to run.
//
// Keys of grouping, joins, DISTINCT and set operations are packed into words (keys.go) and numbered by
// flat tables (hash.go).
//
// # Expressions
//
// An expression is compiled once per operator and evaluated batch by batch. What
// must not see every row (AND, OR, CASE, COALESCE) is evaluated over the rows that
// need it, gathered into a smaller batch of the columns it reads. Constants and
// dictionaries keep their form through functions, casts and logic.
//
// # Pushdown
//
// A scan offers its predicates, aggregation and order to storage and finishes what
// [storage.Scanner.Applied] says was not taken on, so answers never depend on it;
// [Options.NoPushdown] offers nothing.
//
// A Cursor is used by one goroutine at a time; Stats may be called from any.
package exec

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Options says how to run a query. The zero value works.
type Options struct {
	Now time.Time // the start of the query, as now() gave it to the planner

	// MemoryLimitBytes is how much the operators may keep; default 1 GiB.
	MemoryLimitBytes int64
	// MemorySetting names the setting behind MemoryLimitBytes in the error that a query
	// over it gets; default "the query memory limit".
	MemorySetting string
	// Spill takes what does not fit into memory; nil: a query that needs more fails.
	Spill *spill.Space
	// SpillAfterBytes makes an operator spill when it holds more, whatever the limits are; for tests.
	// Default 0: by the limits.
	SpillAfterBytes int64
	// Budget is shared by all queries of a server; nil: there is no limit on them together.
	Budget *Budget

	BatchRows    int // rows an operator aims at per batch; default 2048
	Workers      int // goroutines of an operator at most; default GOMAXPROCS
	ParallelRows int // rows that one goroutine reads before others join in; default 65536

	Lend       bool // batches of the cursor are valid until the next call of Next only
	NoPushdown bool // offer nothing to storage but columns and the time range
	Analyze    bool // measure every operator, for [Cursor.Explain]
}

func (o Options) withDefaults() Options {
	if o.MemoryLimitBytes <= 0 {
		o.MemoryLimitBytes = 1 << 30
	}
	if o.MemorySetting == "" {
		o.MemorySetting = "the query memory limit"
	}
	if o.BatchRows <= 0 {
		o.BatchRows = 2048
	}
	return o
}

// Stats is what a query has cost so far.
type Stats struct {
	Storage         storage.ScanStats // of all scans together
	Rows            int64             // returned by Next
	PeakMemoryBytes int64             // most that operators kept at one time, as accounted
	SpilledBytes    int64             // written to temporary files
}

// Cursor is a running query.
type Cursor struct {
	run  *run
	root operator
	rows atomic.Int64
	done bool
	err  error
}

// Open starts a query. Nothing is read before the first Next. The caller must Close
// the cursor.
func Open(ctx context.Context, q *plan.Query, opt Options) (*Cursor, error) {
	r := newRun(q, opt.withDefaults())
	root, err := build(&frame{run: r}, q.Root)
	if err != nil {
		return nil, err
	}
	if opt.Lend {
		borrow(root)
	}
	return &Cursor{run: r, root: root}, nil
}

// Next returns the next batch, which is not empty and, without Options.Lend, stays valid, or nil at the
// end. Errors that the query is to blame for are of kind fault.Execution; when ctx is
// done the error is of kind fault.Cancelled. After an error every call returns it.
func (c *Cursor) Next(ctx context.Context) (*vec.Batch, error) {
	if c.done || c.err != nil {
		return nil, c.err
	}
	c.run.asked.Store(&ctx)
	b, err := c.root.next(ctx)
	switch {
	case ctx.Err() != nil: // also without an error, see run.ended
		c.err = fault.Wrap(fault.Cancelled, context.Cause(ctx), "The query was cancelled.")
	case err != nil:
		c.err = err
	case b == nil:
		c.done = true
	default:
		checkBatch(b, c.run.query.Root.Types())
		c.rows.Add(int64(b.Len))
	}
	if c.err != nil {
		return nil, c.err
	}
	return b, nil
}

// ErrLarge is why NextIfSmall did nothing.
var ErrLarge = errors.New("the query may take long")

// smallEffort is how many values a query looks at, at most, that somebody may wait for without being able to leave: some
// milliseconds of work. Storage has one goroutine do as much, too.
const smallEffort = 100_000

// NextIfSmall is the first Next for callers who would rather not have another goroutine wait for it. Unless the plan and what
// storage expects to read say that it takes no more than some milliseconds, it fails with ErrLarge, and the cursor is
// as before.
func (c *Cursor) NextIfSmall(ctx context.Context) (*vec.Batch, error) {
	if !plan.Single(c.run.query.Root) {
		return nil, ErrLarge
	}
	c.run.small.Store(true)
	b, err := c.Next(ctx)
	c.run.small.Store(false)
	if !errors.Is(err, ErrLarge) {
		return b, err
	}
	c.root.close()
	if c.root, c.err = build(&frame{run: c.run}, c.run.query.Root); c.err != nil {
		return nil, c.err
	}
	return nil, ErrLarge
}

// Stats may be called at any time, also after Close and from other goroutines.
func (c *Cursor) Stats() Stats {
	s := Stats{Storage: c.run.scanStats(), Rows: c.rows.Load(), PeakMemoryBytes: c.run.memory.peak.Load()}
	if c.run.area != nil {
		s.SpilledBytes = c.run.area.WrittenBytes()
	}
	return s
}

// TableScans returns what the query has read of each table so far, by name. It may be called at any
// time, as Stats.
func (c *Cursor) TableScans() []TableScan { return c.run.tableStats() }

// Explain returns the plan with what each operator gave and took so far, its inputs
// included, and which offers storage did not take on. It needs Options.Analyze.
func (c *Cursor) Explain() string {
	return plan.FormatWith(c.run.query.Root, c.run.note)
}

// Close releases what the query holds. It may be called twice.
func (c *Cursor) Close() {
	c.done = true
	if c.root != nil {
		c.root.close()
		c.root = nil
	}
	c.run.close()
}
