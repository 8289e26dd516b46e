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
)

// Options configure a Service. Catalog is required.
type Options struct {
	Catalog *catalog.Catalog
	Limits  Limits               // zero fields: the service's quotas
	Observe func(o *Observation) // called after every Write that reached a table; nil: nobody
	Log     *slog.Logger         // nil: discard
}

// Observation is what one Write did, for metrics. It is valid during the call.
type Observation struct {
	Table        *catalog.Table
	Result       Result
	Rejected     int
	Superseded   int   // late records that lost against a stored version, told asynchronously
	BytesMetered int64 // Timestream metering: whole KiB per request
}

// Service takes records. It is safe for concurrent use.
type Service struct {
	catalog *catalog.Catalog
	limits  Limits
	observe func(o *Observation)
	log     *slog.Logger
}

// New returns a Service.
func New(o Options) *Service {
	s := &Service{catalog: o.Catalog, limits: o.Limits.withDefaults(), observe: o.Observe, log: o.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.observe == nil {
		s.observe = func(*Observation) {}
	}
	return s
}

// Write stores the records of req. When it returns nil, or a [RejectedError] for the
// records not listed in it, they are durable and visible to every later query.
//
// Errors: *RejectedError (partial or total refusal; the Result counts what was
// stored), fault.Invalid (nothing was stored), fault.NotFound (no such database or
// table), and what storage.Table.Write returns.
func (s *Service) Write(ctx context.Context, req *Request) (Result, error) {
	panic("bug: not landed yet")
}
