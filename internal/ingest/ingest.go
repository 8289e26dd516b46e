// Package ingest is the meaning of WriteRecords, for every way in: the AWS door,
// topic rules, batch load and scheduled queries.
//
// [Service.Write] merges CommonAttributes into each record, checks everything that
// can be checked without the table's state (any fault refuses the whole request,
// fault.Invalid), types the values, and hands the rows to the table's store, which
// judges them by time, version, type and per-table limits. What the store refuses
// comes back as a [RejectedError] with the index and the API's reason; all other
// records of the request are then durable and visible.
//
// Texts and rules are those of the Timestream API (WriteRecords, quotas); where the
// service publishes none, the text is our own and stable.
package ingest

import (
	"context"
	"log/slog"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/storage"
)

// Options configure a Service. Catalog is required.
type Options struct {
	Catalog *catalog.Catalog
	Limits  Limits               // zero fields: the service's quotas
	Observe func(o *Observation) // called after every Write that reached a table; nil: nobody
	// ReportLate is called when late records of a table with a place for reports lost
	// against stored versions. It must not block. nil: nobody.
	ReportLate func(r LateReport)
	Log        *slog.Logger // nil: discard
}

// Observation is what one Write did, for metrics of every way in. It is valid
// during the call.
type Observation struct {
	Table      *catalog.Table
	Result     Result
	Rejected   int
	Superseded int // late records that lost against a stored version, told asynchronously

	Rows       []storage.Row       // of the request, those that were refused too
	Rejections []storage.Rejection // which rows those are
}

// Service takes records. It is safe for concurrent use.
type Service struct {
	catalog *catalog.Catalog
	limits  Limits
	observe func(o *Observation)
	late    func(r LateReport)
	log     *slog.Logger
}

// New returns a Service.
func New(o Options) *Service {
	s := &Service{catalog: o.Catalog, limits: o.Limits.withDefaults(), observe: o.Observe, late: o.ReportLate, log: o.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.observe == nil {
		s.observe = func(*Observation) {}
	}
	return s
}

// Limits returns the limits in force.
func (s *Service) Limits() Limits { return s.limits }

// Write stores the records of req. When it returns nil, or a [RejectedError] for the
// records not listed in it, they are durable and visible to every later query.
//
// Errors: *RejectedError (partial or total refusal; the Result counts what was
// stored), fault.Invalid (nothing was stored), fault.NotFound (no such database or
// table), and what storage.Table.Write returns.
func (s *Service) Write(ctx context.Context, req *Request) (Result, error) {
	if err := checkShape(req, &s.limits); err != nil {
		return Result{}, err
	}
	table, err := s.catalog.Table(req.Database, req.Table)
	if err != nil {
		return Result{}, err
	}
	b := builders.Get().(*builder)
	defer func() { b.reset(); builders.Put(b) }()
	if err := b.build(req, &s.limits); err != nil {
		return Result{}, err
	}
	receipt, err := table.Store.Write(ctx, &b.rows)
	if err != nil {
		return Result{}, writeError(err, table)
	}
	result := Result{
		Total: receipt.Memory + receipt.Magnetic, Memory: receipt.Memory, Magnetic: receipt.Magnetic, BytesMetered: wholeKiB(b.metered),
	}
	s.observe(&Observation{
		Table: table, Result: result, Rejected: len(receipt.Rejections), Superseded: len(receipt.Superseded), Rows: b.rows.Rows, Rejections: receipt.Rejections,
	})
	if at := table.Magnetic.Rejected; len(receipt.Superseded) > 0 && at != nil && at.S3 && s.late != nil {
		s.late(lateReport(table, &b.rows, receipt.Superseded))
	}
	if len(receipt.Rejections) > 0 {
		return result, rejected(table, receipt.Rejections)
	}
	return result, nil
}

// writeError words a table that was dropped while we held it like one that never was.
func writeError(err error, table *catalog.Table) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.NotFound, err, "The table %s does not exist.", table.ID.Table)
	}
	return err
}

// wholeKiB rounds up as the service meters requests.
func wholeKiB(bytes int64) int64 { return (bytes + 1023) &^ 1023 }
