package query

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// prepareExplain answers EXPLAIN [ANALYZE], an addition of weir: the plan as text, one
// row per line. With ANALYZE the query runs, its rows are counted and dropped, and what
// it cost follows.
func (s *Service) prepareExplain(ctx context.Context, r *result, stmt *syntax.Explain) error {
	now := s.opts.Clock.Now()
	q, err := s.build(stmt.Query, now, session{}, s.seenBy(ctx, r.caller))
	if err != nil {
		return err
	}
	if err := s.authorize(ctx, r.caller, "Select", q.Tables); err != nil {
		return err
	}
	lines := append(planLines(plan.Format(q.Root)), rulesLine(q))
	r.columns = varchars("Query Plan")
	r.cut = cutter{src: newStatic(vec.OfStrs(lines, nil)), whole: true}
	if !stmt.Analyze {
		r.tables, r.rules = q.Tables, q.Rules
		return nil
	}
	s.describeReads(r, q, now)
	opt := s.execOptions(now)
	opt.Analyze = true
	cursor, err := exec.Open(r.ctx, q, opt)
	if err != nil {
		return err
	}
	r.cut.src = &analysis{cursorSource: cursorSource{cursor}, rules: rulesLine(q)}
	return nil
}

// rulesLine says which optimizer rules changed the plan.
func rulesLine(q *plan.Query) string {
	if len(q.Rules) == 0 {
		return "rules: none"
	}
	return "rules: " + strings.Join(q.Rules, ", ")
}

func planLines(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }

// analysis is a source that runs a query and gives its plan, with what each operator
// gave and took, and what it cost in all.
type analysis struct {
	cursorSource
	rules string
	given bool
}

func (a *analysis) Next(ctx context.Context) (*vec.Batch, error) {
	if a.given {
		return nil, nil
	}
	began := time.Now()
	for {
		b, err := a.Cursor.Next(ctx)
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
	}
	lines := append(append(planLines(a.Cursor.Explain()), a.rules), costLines(a.Cursor.Stats(), time.Since(began))...)
	a.given = true
	return newStatic(vec.OfStrs(lines, nil)).Next(ctx)
}

func costLines(c exec.Stats, took time.Duration) []string {
	st := c.Storage
	return []string{
		fmt.Sprintf("rows: %d in %v, peak memory %d bytes, spilled %d bytes", c.Rows, took.Round(time.Microsecond), c.PeakMemoryBytes, c.SpilledBytes),
		fmt.Sprintf("scanned: %d rows, %d bytes; series read %d, skipped %d; segments read %d, skipped %d; blocks read %d, skipped %d",
			st.RowsScanned, st.BytesScanned, st.SeriesRead, st.SeriesSkipped, st.SegmentsRead, st.SegmentsSkipped, st.BlocksRead, st.BlocksSkipped),
	}
}

// tableSpan is a time range that a scan reads of a table.
type tableSpan struct {
	table  plan.TableRef
	fromNs int64
	toNs   int64 // not included
}

// spansOf returns the time ranges that the scans of a plan read, within what their tables
// may hold at now.
func (s *Service) spansOf(root plan.Node, now time.Time) []tableSpan {
	var spans []tableSpan
	plan.EachScan(root, func(scan *plan.Scan) {
		if t, err := s.opts.Catalog.Table(scan.Ref.Database, scan.Ref.Table); err == nil {
			policy := t.Policy()
			_, latest, _ := policy.Window(now)
			spans = append(spans, tableSpan{scan.Ref, max(scan.Spec.From, policy.Expiry(now)), min(scan.Spec.To, latest)})
		}
	})
	return spans
}

// insightsOf describes how much of the tables the query has read so far (QueryInsightsResponse).
func (s *Service) insightsOf(r *result) *Insights {
	tables := s.declared(r.tables)
	in := &Insights{Tables: int64(len(tables)), OutputRows: r.rows, OutputBytes: r.bytes}
	if len(tables) == 0 {
		return in
	}
	in.TemporalTable, in.SpatialTable = tables[0], tables[0]
	for _, span := range r.spans {
		if width := span.toNs - span.fromNs; width > in.TemporalRangeNs {
			in.TemporalRangeNs, in.TemporalTable = width, span.table
		}
	}
	for _, scan := range r.scans() {
		if covered := s.coverage(scan); covered > in.SpatialCoverage {
			in.SpatialCoverage, in.SpatialTable = covered, scan.Table
		}
	}
	in.PartitionKey = []string{storage.MeasureNameColumn}
	if t, err := s.opts.Catalog.Table(in.SpatialTable.Database, in.SpatialTable.Table); err == nil && t.Key.Dimension != "" {
		in.PartitionKey = []string{t.Key.Dimension}
	}
	return in
}

// coverage is the share of a table that a scan read, 0 to 1: of its blocks or, as long as all is in memory, of
// its rows.
func (s *Service) coverage(scan exec.TableScan) float64 {
	st := scan.Storage
	if blocks := st.BlocksRead + st.BlocksSkipped; blocks > 0 {
		return float64(st.BlocksRead) / float64(blocks)
	}
	t, err := s.opts.Catalog.Table(scan.Table.Database, scan.Table.Table)
	if err != nil {
		return 0
	}
	rows := t.Store.Stats().Rows
	if rows == 0 {
		return 0
	}
	return min(1, float64(st.RowsScanned)/float64(rows))
}
