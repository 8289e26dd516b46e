// Package query is the life of a query: parse, plan, authorise, run, page, cancel,
// prepare, account. Query of the AWS API, the Postgres door, UNLOAD and scheduled queries
// all come in here.
//
// # Pages
//
// The first call plans the query and opens its rows. Pages are cut from them when they are
// asked for, and from the second on one ahead, so a result that nobody reads costs what its operators hold and at most a page's work. A
// page is made by a goroutine of its own: the call that asked may leave and come
// back. One that is not ready in time is answered by an empty page with a fresh token,
// as long as no rows were handed out; that is how a caller learns the id of a
// long query, and can cancel it.
//
// Rows are rendered, by the function that the door gave, as soon as they are read, by the goroutine that makes the
// page: so the next page's work goes on while this one is sent, what scans decoded is used while it is in the
// processor's cache, and their memory serves again for the next rows.
//
// A token names the query and the number of a page. Only the latest page can be asked
// for again, and gives the same rows; asking for the next one makes it the latest.
//
// # Bounds
//
// At most MaxOpen results are unread at a time and at most Parallel pages in the making.
// A result ends with its last page, an error, Cancel, its time limit, when its first page
// is awaited by nobody any more, or when nobody came back for RetainFor. Then its rows
// are closed at once; its last page or its error is kept for retries, within RetainBytes.
//
// # Concurrency
//
// Everything in this package may be called from any goroutine. There is one mutex,
// [Service].mu; nothing runs under it that reads rows or waits.
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

// Render writes rows for the pages of a door: it appends those of b to dst, each complete in itself, and to ends
// the length that dst has after each row. It keeps nothing of b.
type Render func(dst []byte, b *vec.Batch, ends []int) ([]byte, []int)

// Page is one page of a result. Who was given one releases it after use; without that its memory is
// not used again, but no harm is done.
type Page struct {
	QueryID   string
	Columns   []plan.OutputColumn // complete on every page
	Rows      []byte              // as Options.Render wrote them, in order; valid until Release
	NextToken string              // empty on the last page

	Progress     float64 // percent, never falling
	BytesScanned int64
	BytesMetered int64
	Insights     *Insights // when asked for

	text *text // that Rows are of
}

// Release gives the page's memory back. It is called once for each return of [Service.Query].
func (p *Page) Release() { p.text.release() }

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
