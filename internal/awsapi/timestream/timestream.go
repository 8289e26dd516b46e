// Package timestream is the door of the two Timestream APIs, timestream-write and
// timestream-query (both 2018-11-01): it turns calls into those of catalog, ingest
// and query, and their answers into the shapes of the API. No rule of the product
// lives here but those of the framework in front of AWS's services: lengths, ranges,
// patterns, enums and required members, which the inputs declare in tags.
//
// The two APIs share one target prefix, so they are one [wire.Service]. WriteRecords
// is decoded by a scanner of its own, and results of Query are encoded straight from
// columns; all other operations use structs.
//
// Everything here may be called concurrently.
package timestream

import (
	"context"
	"errors"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/constraint"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/schedule"
)

// Queries is what the door needs of the query service.
type Queries interface {
	// Query returns the first or a following page.
	Query(ctx context.Context, req query.Request) (*query.Page, error)
	// Cancel ends a running query and returns the sentence for the caller. Cancelling
	// again is not an error; an unknown or finished id is of kind fault.Invalid.
	Cancel(ctx context.Context, caller, queryID string) (message string, err error)
	// Prepare checks a query without running it.
	Prepare(ctx context.Context, caller, sql string) (*query.Prepared, error)
}

// Options of the door. All but PublicHost are required.
type Options struct {
	Catalog *catalog.Catalog
	Ingest  *ingest.Service
	Queries Queries
	Loads   Loads

	Scheduled *schedule.Service

	// PublicHost is the host[:port] that DescribeEndpoints tells, for servers
	// behind a proxy; "" means the one that the caller used.
	PublicHost string
}

type service struct{ Options }

// New returns the operations of both APIs.
func New(o Options) *wire.Service {
	s := &service{o}
	operations := map[string]wire.Handler{
		"DescribeEndpoints":   s.describeEndpoints,
		"TagResource":         operation(s.tagResource),
		"UntagResource":       operation(s.untagResource),
		"ListTagsForResource": operation(s.listTags),

		"CreateDatabase":   operation(s.createDatabase),
		"DescribeDatabase": operation(s.describeDatabase),
		"UpdateDatabase":   operation(s.updateDatabase),
		"DeleteDatabase":   operation(s.deleteDatabase),
		"ListDatabases":    operation(s.listDatabases),
		"CreateTable":      operation(s.createTable),
		"DescribeTable":    operation(s.describeTable),
		"UpdateTable":      operation(s.updateTable),
		"DeleteTable":      operation(s.deleteTable),
		"ListTables":       operation(s.listTables),
		"WriteRecords":     s.writeRecords,

		"CreateBatchLoadTask":   operation(s.createLoad),
		"DescribeBatchLoadTask": operation(s.describeLoad),
		"ListBatchLoadTasks":    operation(s.listLoads),
		"ResumeBatchLoadTask":   operation(s.resumeLoad),

		"CreateScheduledQuery":   operation(s.createScheduledQuery),
		"DescribeScheduledQuery": operation(s.describeScheduledQuery),
		"ListScheduledQueries":   operation(s.listScheduledQueries),
		"UpdateScheduledQuery":   operation(s.updateScheduledQuery),
		"DeleteScheduledQuery":   operation(s.deleteScheduledQuery),
		"ExecuteScheduledQuery":  operation(s.executeScheduledQuery),

		"Query":                   s.query,
		"CancelQuery":             operation(s.cancelQuery),
		"PrepareQuery":            operation(s.prepareQuery),
		"DescribeAccountSettings": operation(s.describeAccountSettings),
		"UpdateAccountSettings":   operation(s.updateAccountSettings),
	}
	return &wire.Service{
		Name:            "timestream",
		TargetPrefix:    "Timestream_20181101",
		Version:         "2018-11-01",
		ErrorNamespace:  "com.amazonaws.timestream.v20181101",
		MetricNamespace: "AWS/Timestream",
		Operations:      operations,
		Errors:          wire.TimestreamErrors,
	}
}

// operation makes a handler of a function from an input, whose tags are checked
// (see check), to an output struct or nil.
func operation[In any](f func(ctx context.Context, c *wire.Call, in *In) (any, error)) wire.Handler {
	return func(ctx context.Context, c *wire.Call) (wire.Response, error) {
		in := new(In)
		if err := c.Decode(in); err != nil {
			return wire.Response{}, err
		}
		if err := check(in); err != nil {
			return wire.Response{}, exception(err)
		}
		out, err := f(ctx, c, in)
		if err != nil {
			return wire.Response{}, exception(err)
		}
		return wire.Value(out), nil
	}
}

// exception gives the errors that have a form of their own that form.
func exception(err error) error {
	var violation *constraint.Error
	if errors.As(err, &violation) {
		e := wire.Newf(wire.TimestreamErrors[fault.Invalid], "%s", violation.Message)
		e.Namespace = wire.NamespaceValidate
		return e
	}
	var rejected *ingest.RejectedError
	if errors.As(err, &rejected) {
		return rejectedException(rejected)
	}
	return err
}

// locate notes in the call which database and table it is about, for metrics; only
// names that exist are told.
func (s *service) locate(c *wire.Call, database, table string) {
	d, err := s.Catalog.Database(database)
	if err != nil {
		return
	}
	c.Database = d.Name
	if t, err := s.Catalog.Table(database, table); err == nil {
		c.Table = t.ID.Table
	}
}
