package query

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// source gives the rows of one execution. It is used by one goroutine.
type source interface {
	// Next returns the next batch, not empty, or nil at the end.
	Next(ctx context.Context) (*vec.Batch, error)
	Stats() storage.ScanStats
	Close()
}

// result is one execution and the page of it that was handed out last.
//
// Pages are cut from a source on demand. The latest page is kept, so that a token
// used twice (an SDK's retry) gives the same rows; asking for the next page forgets
// it. One batch is always read ahead: that is how the last page is known to be the
// last, and gets no token.
type result struct {
	id      string
	caller  string
	sql     string
	columns []plan.OutputColumn
	tables  []plan.TableRef
	onePage bool  // metadata statements are never cut (clients.md, R10)
	total   int64 // rows in the tables, for the progress
	meter   func(scanned int64) int64

	ctx    context.Context // ends with cancel, the time limit, or Close of the service
	cancel context.CancelCauseFunc

	mu        sync.Mutex // guards the fields below; held while a page is made
	src       source     // nil once exhausted, failed or cancelled
	ahead     *vec.Batch // read but not handed out, or nil
	number    int        // of the latest page, from 1; 0 before the first
	page      *Page
	failed    error // what every later call gets
	outRows   int64
	outBytes  int64
	progress  float64
	scanStats storage.ScanStats

	// Guarded by the service's mutex.
	bytes     int64 // size of page, counted against the service's budget
	touched   time.Time
	cancelled bool
	done      bool // no page after the latest
}

// makePage cuts the next page. The caller holds r.mu.
func (r *result) makePage(maxRows int, pageBytes int64) (*Page, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	if maxRows <= 0 {
		maxRows = math.MaxInt
	}
	page := &Page{QueryID: r.id, Columns: r.columns}
	rows, size := 0, int64(0)
	for {
		if r.ahead == nil {
			if err := r.readAhead(); err != nil {
				return nil, err
			}
		}
		if r.ahead == nil {
			break // the end
		}
		n, bytes := r.fit(maxRows-rows, pageBytes-size)
		if n == 0 {
			if rows == 0 {
				return nil, r.fail(fault.New(fault.Execution, "Query aborted as max page response size has been exceeded by the output result row"))
			}
			break // full
		}
		page.Batches = append(page.Batches, r.ahead.Slice(0, n))
		rows, size = rows+n, size+bytes
		if n < r.ahead.Len {
			r.ahead = r.ahead.Slice(n, r.ahead.Len)
			break
		}
		r.ahead = nil
	}
	r.number++
	r.outRows += int64(rows)
	r.outBytes += size
	r.account(page)
	r.page = page
	return page, nil
}

// fit returns how many rows of the batch read ahead go on a page with room for
// rows and size more, and their size.
func (r *result) fit(rows int, size int64) (int, int64) {
	if r.onePage {
		return r.ahead.Len, 0
	}
	return fitRows(r.ahead, rows, size)
}

// readAhead reads the next batch; at the end it closes the source.
func (r *result) readAhead() error {
	if r.src == nil {
		return nil
	}
	b, err := r.src.Next(r.ctx)
	if cause := context.Cause(r.ctx); cause != nil && err != nil {
		err = cause
	}
	r.scanStats = r.src.Stats()
	if err != nil {
		return r.fail(err)
	}
	if b == nil {
		r.close()
		return nil
	}
	r.ahead = b
	return nil
}

// account fills in the page's status.
func (r *result) account(page *Page) {
	last := r.src == nil && r.ahead == nil
	switch {
	case last:
		r.progress = 100
	case r.total > 0:
		r.progress = max(r.progress, min(99, 100*float64(r.scanStats.RowsScanned)/float64(r.total)))
	}
	page.Progress = r.progress
	page.BytesScanned = r.scanStats.BytesScanned
	page.BytesMetered = r.meter(r.scanStats.BytesScanned)
	if !last {
		page.NextToken = tokenFor(r.id, r.number+1)
	}
}

func (r *result) fail(err error) error {
	r.failed = err
	r.close()
	r.ahead, r.page = nil, nil
	return err
}

// observation is what the query came to so far. The caller holds r.mu.
func (r *result) observation(err error, took time.Duration) Observation {
	return Observation{
		QueryID: r.id, SQL: r.sql, Caller: r.caller, Tables: r.tables, Rows: r.outRows, Duration: took, Err: err,
		BytesScanned: r.scanStats.BytesScanned, BytesMetered: r.meter(r.scanStats.BytesScanned),
	}
}

func (r *result) close() {
	if r.src != nil {
		r.src.Close()
		r.src = nil
		r.cancel(nil)
	}
}

// Bytes of JSON around a row and around a value, as the Query API writes them.
const (
	rowOverhead   = len(`{"Data":[]},`)
	datumOverhead = len(`{"ScalarValue":""},`)
)

// fitRows returns the largest n such that rows 0 to n-1 of b are at most rows and
// need at most size bytes of JSON, and those bytes. Sizes are estimates from above
// for all but nested values and text that needs escaping.
func fitRows(b *vec.Batch, rows int, size int64) (int, int64) {
	rows = min(rows, b.Len)
	fixed := int64(rowOverhead)
	var varying []*vec.Vector
	for _, c := range b.Columns {
		if w := fixedWidth(c.Type.Kind); w > 0 {
			fixed += int64(datumOverhead + w)
		} else {
			varying = append(varying, c)
		}
	}
	if len(varying) == 0 {
		n := min(int64(rows), size/fixed)
		return int(n), n * fixed
	}
	total := int64(0)
	for i := range rows {
		row := fixed
		for _, c := range varying {
			row += valueSize(c, i)
		}
		if total+row > size {
			return i, total
		}
		total += row
	}
	return rows, total
}

// fixedWidth returns the longest usual text of a kind, or 0 where it varies much.
func fixedWidth(k vec.Kind) int {
	switch k {
	case vec.Boolean:
		return 5
	case vec.Integer, vec.IntervalYear, vec.Date, vec.Unknown:
		return 11
	case vec.Bigint, vec.Double, vec.Time:
		return 20
	case vec.Timestamp, vec.IntervalDay:
		return 29
	}
	return 0
}

func valueSize(v *vec.Vector, i int) int64 {
	f, j := v.At(i)
	if f.IsNull(j) {
		return int64(datumOverhead)
	}
	switch f.Type.Kind {
	case vec.Varchar:
		return int64(datumOverhead + len(f.Strs[j]))
	case vec.Row:
		size := int64(2 * datumOverhead)
		for _, c := range f.Children {
			size += valueSize(c, j)
		}
		return size
	case vec.Array, vec.TimeSeries:
		size := int64(datumOverhead)
		for e := int(f.Offsets[j]); e < int(f.Offsets[j+1]); e++ {
			for _, c := range f.Children {
				size += valueSize(c, e)
			}
		}
		return size
	}
	return int64(datumOverhead + fixedWidth(f.Type.Kind))
}
