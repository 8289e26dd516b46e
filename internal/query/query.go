// Package query is the life of a query: parse, plan, authorise, run, page, cancel,
// prepare, account. Query of the AWS API, the Postgres door, UNLOAD and scheduled queries
// all come in here.
package query

import (
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// Request asks for the first or a following page of a query.
type Request struct {
	Caller      string // principal's ARN; a token serves only the caller it was made for
	SQL         string // may be empty with a NextToken (the Athena connector does that)
	NextToken   string
	ClientToken string
	MaxRows     int // 0: as many as fit the page size
	Insights    bool
}

// Page is one page of a result.
type Page struct {
	QueryID   string
	Columns   []plan.OutputColumn // complete on every page
	Batches   []*vec.Batch        // the rows of this page, in order; not empty batches
	NextToken string              // empty on the last page

	Progress     float64 // percent, never falling
	BytesScanned int64
	BytesMetered int64
	Insights     *Insights // when asked for
}

// Insights is what the Query API calls QueryInsightsResponse.
type Insights struct {
	SpatialCoverage float64 // share of the partitions read, 0 to 1, of the worst table
	SpatialTable    plan.TableRef
	PartitionKey    []string
	TemporalRangeNs int64 // time range read, of the worst table
	TemporalTable   plan.TableRef
	Tables          int64
	OutputRows      int64
	OutputBytes     int64
}

// Prepared is the answer to PrepareQuery.
type Prepared struct {
	SQL        string
	Columns    []plan.OutputColumn
	Parameters []Parameter
}

// Parameter is an "@name" in a query. Type is Unknown where it cannot be told.
type Parameter struct {
	Name string
	Type vec.Type
}
