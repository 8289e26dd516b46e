package exec

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// scanOp reads a table. It offers the predicates to storage and applies those that
// storage leaves.
//
// A predicate of kind storage.Match comes from the planner without its function: the
// function is the filter's expression, evaluated on one value of the column. Where
// that fails (CAST(dimension AS double) of a value that is no number) there may be no row
// that anybody asked for, so the value counts as matching and from then on the filter is
// also evaluated on the rows, which reports the error if it is due.
type scanOp struct {
	f       *frame
	n       *plan.Scan
	conds   []*expr       // per filter; nil until storage leaves one to us or asks for a Match
	failed  []atomic.Bool // per filter: its Match could not be evaluated for some value
	open    storage.Scanner
	applied storage.Applied
	columns []int               // indexes into n.Spec.Columns of the scanner's columns
	reuse   bool                // see borrow
	bound   *storage.Bound      // of the TopN above, or nil
	narrow  []storage.Predicate // of joins above, which do without them
	rows    *scanReader         // of next, once that was called
	done    bool
}

// scanReader gives the rows of a scan, or of a part of it, to one goroutine.
type scanReader struct {
	s    *scanOp
	in   storage.Reader
	todo *vec.Batch // placed, and given up to row at
	at   int
	lent lender // of a reader whose batches are valid until the next call
}

func newScan(f *frame, n *plan.Scan) (operator, error) { return newScanOp(f, n) }

func newScanOp(f *frame, n *plan.Scan) (*scanOp, error) {
	s := &scanOp{f: f, n: n, failed: make([]atomic.Bool, len(n.Filters))}
	if f.run.opt.NoPushdown || slices.ContainsFunc(n.Filters, func(f plan.Filtered) bool { return f.Pred.Op == storage.Match }) {
		return s, s.compile()
	}
	return s, nil
}

// compile compiles the filters, unless that is done.
func (s *scanOp) compile() error {
	if s.conds != nil {
		return nil
	}
	conds := make([]*expr, len(s.n.Filters))
	for i, filter := range s.n.Filters {
		var err error
		if conds[i], err = compile(filter.Expr); err != nil {
			return err
		}
	}
	s.conds = conds
	return nil
}

// start opens the scanner. With agg it offers the aggregation and reports whether
// storage took it; otherwise rows follow.
func (s *scanOp) start(ctx context.Context, agg *storage.Aggregation) (aggregated bool, err error) {
	spec := s.n.Spec
	spec.Aggregation, spec.Where, spec.Reuse = nil, nil, s.reuse
	if s.f.run.opt.NoPushdown {
		spec.Limit, spec.NewestFirst, spec.Order = 0, false, nil
		return false, s.scan(ctx, spec, s.allColumns())
	}
	spec.Where, spec.Aggregation, spec.Bound = append(s.predicates(), s.narrow...), agg, s.bound
	if err := s.scan(ctx, spec, s.leastColumns()); err != nil {
		return false, err
	}
	if s.applied.Aggregation {
		return true, nil
	}
	left := slices.Contains(s.applied.Where, false)
	if !left && (spec.Limit == 0 || spec.NewestFirst == s.applied.NewestFirst && s.ordered()) {
		return false, nil
	}
	// Filters or the order are left to us: that takes the columns of the filters, and more
	// rows than a limit asks for.
	columns := s.columns
	if left {
		columns = s.allColumns()
	}
	spec.Limit, spec.NewestFirst, spec.Aggregation = 0, false, nil
	return false, s.scan(ctx, spec, columns)
}

func (s *scanOp) scan(ctx context.Context, spec storage.ScanSpec, columns []int) error {
	s.stop()
	spec.Columns = make([]string, len(columns))
	for i, c := range columns {
		spec.Columns[i] = s.n.Spec.Columns[c]
	}
	scanner, err := s.scanner(ctx, spec)
	if err != nil {
		return err
	}
	s.open, s.columns, s.applied = scanner, columns, scanner.Applied()
	s.applied.Where = s.applied.Where[:min(len(s.n.Filters), len(s.applied.Where))]
	s.f.run.addScanner(s.n.Ref, scanner)
	if slices.Contains(s.applied.Where, false) || len(s.applied.Where) < len(s.n.Filters) {
		if err := s.compile(); err != nil {
			return err
		}
	}
	if s.f.run.measures != nil {
		s.f.run.measureOf(s.n).noteScan(scanner, &s.applied)
	}
	return nil
}

// scanner is the table's, or ErrLarge where only a small one will do.
func (s *scanOp) scanner(ctx context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	if !s.f.run.small.Load() {
		return s.n.Table.Scan(ctx, spec)
	}
	prompt, ok := s.n.Table.(storage.PromptScanner)
	if !ok {
		return nil, ErrLarge
	}
	scanner, err := prompt.ScanPrompt(ctx, spec, smallEffort)
	if scanner == nil && err == nil {
		err = ErrLarge
	}
	return scanner, err
}

func (s *scanOp) allColumns() []int {
	out := make([]int, len(s.n.Spec.Columns))
	for i := range out {
		out[i] = i
	}
	return out
}

// leastColumns is the output and what Match predicates, if they fail, are evaluated on.
func (s *scanOp) leastColumns() []int {
	out := s.allColumns()[:s.n.Output]
	for i, f := range s.n.Filters {
		if f.Pred.Op == storage.Match {
			out = append(out, s.conds[i].cols...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *scanOp) predicates() []storage.Predicate {
	where := make([]storage.Predicate, len(s.n.Filters))
	for i, f := range s.n.Filters {
		where[i] = f.Pred
		if f.Pred.Op == storage.Match && f.Pred.Matches == nil {
			where[i].Matches, where[i].MatchesAll = s.matcher(i), s.matcherOfAll(i)
		}
	}
	return where
}

// matcher is filter i as a function of its one column's value.
func (s *scanOp) matcher(i int) func(string, bool) bool {
	column := slices.Index(s.n.Spec.Columns, s.n.Filters[i].Pred.Column)
	return func(value string, null bool) bool {
		v := vec.Str(value)
		v.Null = null
		in := &vec.Batch{Len: 1, Columns: make([]*vec.Vector, len(s.n.Spec.Columns))}
		in.Columns[column] = vec.Const(v, 1)
		out, err := s.conds[i].eval(context.Background(), s.f, in)
		if err != nil {
			s.failed[i].Store(true)
			return true
		}
		return !out.IsNull(0) && out.Bool(0)
	}
}

// matcherOfAll is matcher for many values, which are evaluated as batches.
func (s *scanOp) matcherOfAll(i int) func([]string, []bool) {
	column := slices.Index(s.n.Spec.Columns, s.n.Filters[i].Pred.Column)
	const batch = 1024
	return func(values []string, match []bool) {
		for from := 0; from < len(values); from += batch {
			piece, into := values[from:min(from+batch, len(values))], match[from:]
			in := &vec.Batch{Len: len(piece), Columns: make([]*vec.Vector, len(s.n.Spec.Columns))}
			in.Columns[column] = vec.OfStrs(piece, nil)
			out, err := s.conds[i].eval(context.Background(), s.f, in)
			if err != nil {
				s.failed[i].Store(true)
			}
			for k := range piece {
				into[k] = err != nil || !out.IsNull(k) && out.Bool(k)
			}
		}
	}
}

// matchFailed reports whether some Match let values through that it could not judge.
func (s *scanOp) matchFailed() bool {
	for i := range s.failed {
		if s.failed[i].Load() {
			return true
		}
	}
	return false
}

// raw returns the scanner's next batch as it is.
func (s *scanOp) raw(ctx context.Context) (*vec.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.open.Next(ctx)
}

func (s *scanOp) next(ctx context.Context) (*vec.Batch, error) {
	if s.done {
		return nil, nil
	}
	if ok, err := s.begin(ctx); !ok || err != nil {
		return nil, err
	}
	if s.rows == nil {
		s.rows = &scanReader{s: s, in: s.open, lent: lender{on: s.reuse}}
	}
	b, err := s.rows.next(ctx)
	s.done = b == nil && err == nil
	return b, err
}

// begin opens the scanner, unless there is nothing to read.
func (s *scanOp) begin(ctx context.Context) (ok bool, err error) {
	if s.open != nil {
		return true, nil
	}
	if s.n.Spec.From >= s.n.Spec.To {
		s.done = true
		return false, nil
	}
	_, err = s.start(ctx, nil)
	return err == nil, err
}

// readers implements [dividedSource].
func (s *scanOp) readers(ctx context.Context, most int, forced bool) ([]reader, error) {
	if s.done || s.rows != nil {
		return nil, nil
	}
	if ok, err := s.begin(ctx); !ok || err != nil || !concurrent(s.conds) {
		return nil, err
	}
	d, ok := s.open.(storage.Divided)
	if !ok {
		return nil, nil
	}
	if !forced {
		most = min(most, d.Readers())
	}
	s.done = true // for next
	var list []reader
	for _, r := range d.Divide(most) {
		list = append(list, &scanReader{s: s, in: r, lent: lender{on: true}})
	}
	return list, nil
}

func (r *scanReader) next(ctx context.Context) (*vec.Batch, error) {
	s := r.s
	for {
		b, err := r.piece(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		rows, all, err := filterRows(ctx, s.f, s.left(), b)
		if err != nil {
			return nil, err
		}
		b = &vec.Batch{Len: b.Len, Columns: b.Columns[:s.n.Output]}
		switch {
		case all:
			return b, nil
		case len(rows) > 0:
			return b.Gather(rows), nil
		}
	}
}

// left is the filters that storage did not apply.
func (s *scanOp) left() []*expr {
	var conds []*expr
	for i, cond := range s.conds { // none: storage applied all
		if i >= len(s.applied.Where) || !s.applied.Where[i] || s.failed[i].Load() {
			conds = append(conds, cond)
		}
	}
	return conds
}

// piece returns the next rows, at most BatchRows, with each column in its place.
func (r *scanReader) piece(ctx context.Context) (*vec.Batch, error) {
	if r.todo == nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := r.in.Next(ctx)
		if err != nil || b == nil {
			return nil, err
		}
		r.todo, r.at = r.s.place(r.lent.lend(b)), 0
	}
	b, from, to := r.todo, r.at, min(r.at+r.s.f.run.opt.BatchRows, r.todo.Len)
	if r.at = to; to == b.Len {
		r.todo = nil
	}
	if from == 0 && to == b.Len {
		return b, nil
	}
	out := &vec.Batch{Len: to - from, Columns: make([]*vec.Vector, len(b.Columns))}
	for i, c := range b.Columns {
		if c != nil {
			out.Columns[i] = c.Slice(from, to)
		}
	}
	return out, nil
}

func (s *scanOp) place(b *vec.Batch) *vec.Batch {
	if len(s.columns) == len(s.n.Spec.Columns) {
		return b
	}
	out := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(s.n.Spec.Columns))}
	for i, c := range s.columns {
		out.Columns[c] = b.Columns[i]
	}
	return out
}

// borrow tells an operator that its consumer is done with a batch when it asks for the next one, so that scans
// may use the memory of their batches again. It is called before the first batch.
func borrow(in operator) {
	switch o := in.(type) {
	case *measured:
		borrow(o.operator)
	case *filterOp:
		borrow(o.in)
	case *projectOp:
		borrow(o.in)
	case *limitOp:
		borrow(o.in)
	case *scanOp:
		o.reuse = true
	}
}

// boundOf gives the scan that in is rows of a bound, if its plan has one.
func boundOf(in operator) *storage.Bound {
	switch o := in.(type) {
	case *measured:
		return boundOf(o.operator)
	case *filterOp:
		return boundOf(o.in)
	case *projectOp:
		return boundOf(o.in)
	case *scanOp:
		if top := o.n.Top; top != nil {
			o.bound = &storage.Bound{Column: o.n.Spec.Columns[top.Column], Desc: top.Desc, NullsFirst: top.NullsFirst}
			return o.bound
		}
	}
	return nil
}

// stop closes the scanner, if one is open.
func (s *scanOp) stop() {
	if s.open != nil {
		s.f.run.dropScanner(s.open)
		if s.f.run.measures != nil {
			s.f.run.measureOf(s.n).noteScan(nil, nil)
		}
		s.open, s.rows = nil, nil
	}
}

func (s *scanOp) close() {
	s.stop()
	s.done = true
}
