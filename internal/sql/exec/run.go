package exec

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// operator is a running plan node.
type operator interface {
	// next returns a batch that is not empty, or nil at the end.
	next(ctx context.Context) (*vec.Batch, error)
	// close releases the operator and its inputs; it may be called twice.
	close()
}

// run is the state of one query, shared by its operators.
type run struct {
	query      *plan.Query
	opt        Options
	memory     account
	area       *spill.Area                  // of temporary files; nil: none
	shared     map[*plan.Shared]*sharedRows // of subplans without parameters
	subqueries map[*plan.Subquery]*subqueryMemo
	measures   map[plan.Node]*measure          // nil without Options.Analyze
	working    atomic.Pointer[measure]         // of the operator that runs now, with Options.Analyze
	small      atomic.Bool                     // scans that have more than smallEffort to do fail with ErrLarge
	asked      atomic.Pointer[context.Context] // of the Next that runs, or ran last

	mu       sync.Mutex // guards the fields below
	scanners []storage.Scanner
	finished storage.ScanStats // of scanners no longer in the list
	origins  []plan.TableRef   // of each scanner in the list
	tables   tableScans        // of scanners no longer in it
}

func newRun(q *plan.Query, opt Options) *run {
	r := &run{query: q, opt: opt, shared: map[*plan.Shared]*sharedRows{}, subqueries: map[*plan.Subquery]*subqueryMemo{}}
	if opt.Analyze {
		r.measures = map[plan.Node]*measure{}
	}
	r.memory.run = r
	r.memory.limit, r.memory.setting, r.memory.budget = opt.MemoryLimitBytes, opt.MemorySetting, opt.Budget
	if opt.Spill != nil {
		r.area = opt.Spill.Area()
		r.memory.canSpill, r.memory.spillAfter = true, opt.SpillAfterBytes
	}
	return r
}

// ended reports whether the Next that runs is to end. What is computed after that is never returned (see [Cursor.Next]), so who
// has no context at hand may leave anything half done.
func (r *run) ended() bool {
	ctx := r.asked.Load()
	return ctx != nil && (*ctx).Err() != nil
}

// addScanner makes a scanner of a table part of the statistics.
func (r *run) addScanner(ref plan.TableRef, s storage.Scanner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scanners, r.origins = append(r.scanners, s), append(r.origins, ref)
}

// dropScanner closes s and keeps its figures.
func (r *run) dropScanner(s storage.Scanner) {
	s.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.scanners {
		if r.scanners[i] == s {
			r.finished = addStats(r.finished, s.Stats())
			r.tables = r.tables.add(r.origins[i], s.Stats(), s.Applied())
			r.scanners, r.origins = slices.Delete(r.scanners, i, i+1), slices.Delete(r.origins, i, i+1)
			return
		}
	}
}

func (r *run) scanStats() storage.ScanStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.finished
	for _, s := range r.scanners {
		sum = addStats(sum, s.Stats())
	}
	return sum
}

func addStats(a, b storage.ScanStats) storage.ScanStats {
	a.RowsScanned += b.RowsScanned
	a.BytesScanned += b.BytesScanned
	a.SeriesRead += b.SeriesRead
	a.SeriesSkipped += b.SeriesSkipped
	a.SegmentsRead += b.SegmentsRead
	a.SegmentsSkipped += b.SegmentsSkipped
	a.BlocksRead += b.BlocksRead
	a.BlocksSkipped += b.BlocksSkipped
	return a
}

// close drops what outlives single operators.
func (r *run) close() {
	r.mu.Lock()
	open := append([]storage.Scanner(nil), r.scanners...)
	r.mu.Unlock()
	for _, s := range open {
		r.dropScanner(s)
	}
	r.shared, r.subqueries = nil, nil
	_ = r.memory.grow(-r.memory.held(), nil)
	if r.area != nil {
		r.area.Close()
	}
}

// frame is what the operators of one plan instance see: the query, and the
// parameters of the correlated subquery they belong to.
type frame struct {
	run    *run
	params []vec.Value
	shared map[*plan.Shared]*sharedRows // of subplans that read params
}

// dropShared lets go of the subplans that read params.
func (f *frame) dropShared() {
	for _, s := range f.shared {
		s.drop()
	}
}

// account is the memory that the operators of a query keep. It is safe for concurrent use: several
// goroutines may work for one operator.
type account struct {
	run     *run
	limit   int64
	setting string
	budget  *Budget // of the server, or nil
	peak    atomic.Int64

	mu   sync.Mutex // guards used
	used int64

	canSpill   bool
	spillAfter int64 // see Options.SpillAfterBytes
}

// grow charges bytes (fewer than none: gives them back), and fails once the sum is
// over a limit. They count until they are given back even so. m is the operator's measure, if known.
func (a *account) grow(bytes int64, m *measure) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used += bytes
	if a.used > a.peak.Load() {
		a.peak.Store(a.used)
	}
	if m == nil {
		m = a.run.working.Load()
	}
	if m != nil {
		m.held += bytes
		m.peak = max(m.peak, m.held)
	}
	crowded := a.budget.grow(bytes)
	switch {
	case bytes <= 0:
		return nil
	case a.used > a.limit:
		return fault.New(fault.Execution, "Query exceeded its memory limit of %s; raise %s or narrow the query", spill.SizeText(a.limit), a.setting)
	}
	return crowded
}

// Budget is the memory that several queries may keep together. It is safe for concurrent use.
type Budget struct {
	LimitBytes int64
	Setting    string // names the setting behind it in the error of the query that is one too many

	used atomic.Int64
}

// Used returns the bytes that queries keep now.
func (b *Budget) Used() int64 { return b.used.Load() }

// grow is account.grow for all queries; a nil budget has no limit.
func (b *Budget) grow(bytes int64) error {
	if b == nil || b.used.Add(bytes) <= b.LimitBytes || bytes <= 0 {
		return nil
	}
	return fault.New(fault.Throttled, "The queries that run now exceed their common memory limit of %s; try again later or raise %s", spill.SizeText(b.LimitBytes), b.Setting)
}

// held returns what all operators keep now.
func (a *account) held() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// charge is one operator's part of an account. Its methods are called by one goroutine at a time.
type charge struct {
	of   *account
	held int64
	m    *measure // of the operator; nil: the one that runs
}

// set changes what the operator holds to bytes.
func (c *charge) set(bytes int64) error {
	d := bytes - c.held
	c.held = bytes
	return c.of.grow(d, c.m)
}

// release gives all back.
func (c *charge) release() { _ = c.set(0) }

// build makes the operator of n.
func build(f *frame, n plan.Node) (operator, error) {
	op, err := operatorOf(f, n)
	if err != nil || f.run.measures == nil {
		return op, err
	}
	return &measured{op, f.run, f.run.measureOf(n)}, nil
}

func operatorOf(f *frame, n plan.Node) (operator, error) {
	switch n := n.(type) {
	case *plan.Scan:
		return newScan(f, n)
	case *plan.Values:
		return newValues(f, n)
	case *plan.Filter:
		return newFilter(f, n)
	case *plan.Project:
		return newProject(f, n)
	case *plan.Join:
		return newJoin(f, n)
	case *plan.Aggregate:
		return newAggregate(f, n)
	case *plan.Window:
		return newWindow(f, n)
	case *plan.Sort:
		return newSort(f, n)
	case *plan.TopN:
		return newTopN(f, n)
	case *plan.TimeSlices:
		return newSlices(f, n)
	case *plan.Limit:
		return newLimit(f, n)
	case *plan.Distinct:
		return newDistinct(f, n)
	case *plan.SetOp:
		return newSetOp(f, n)
	case *plan.Unnest:
		return newUnnest(f, n)
	case *plan.Shared:
		return newShared(f, n)
	}
	return nil, fmt.Errorf("bug: exec does not know the plan node %T", n)
}

// buildAll builds several inputs, or none.
func buildAll(f *frame, nodes ...plan.Node) ([]operator, error) {
	ops := make([]operator, 0, len(nodes))
	for _, n := range nodes {
		op, err := build(f, n)
		if err != nil {
			for _, o := range ops {
				o.close()
			}
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}
