package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
)

// Querier is the part of the SDK's client that reads. It repeats what was throttled or lost.
type Querier interface {
	Query(context.Context, *timestreamquery.QueryInput, ...func(*timestreamquery.Options)) (*timestreamquery.QueryOutput, error)
}

// Remote is a table of another Timestream endpoint, which is read through its Query API: a window of time of one
// measure name after the other. A window that an earlier run did not end is read again from its start.
type Remote struct {
	Query           Querier
	Endpoint        string // for the state and messages
	Database, Table string
	From, Until     time.Time // zero: all
	RowsPerSecond   int       // read at most; 0: any number

	pageRows   int32 // MaxRows; 0: as many as fit
	windowRows int64 // about how many a window has; 0: 250,000
}

func (r *Remote) String() string { return r.Database + "." + r.Table + " at " + r.Endpoint }

// window is the rows of one measure name in a range of time.
type window struct {
	Measure     string
	From, Until int64 // ns, half open
	Rows        int64 // when the copy began
}

func (r *Remote) table() string { return quoted(r.Database) + "." + quoted(r.Table) }

func quoted(name string) string  { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func (w *window) where() string {
	return fmt.Sprintf("measure_name = %s AND time >= from_nanoseconds(%d) AND time < from_nanoseconds(%d)", literal(w.Measure), w.From, w.Until)
}

// each calls f for every row of an answer.
func (r *Remote) each(ctx context.Context, sql string, f func(row []types.Datum) error) error {
	in := &timestreamquery.QueryInput{QueryString: aws.String(sql)}
	for {
		out, err := r.Query.Query(ctx, in)
		if err != nil {
			return fmt.Errorf("query %s: %w", r, err)
		}
		for i := range out.Rows {
			if err := f(out.Rows[i].Data); err != nil {
				return err
			}
		}
		if out.NextToken == nil {
			return nil
		}
		in.NextToken = out.NextToken
	}
}

// describe returns the columns of the table, and which are dimensions.
func (r *Remote) describe(ctx context.Context) (columns []column, dimensions []string, err error) {
	err = r.each(ctx, "DESCRIBE "+r.table(), func(row []types.Datum) error {
		if len(row) != 3 {
			return fmt.Errorf("DESCRIBE answers %d columns, want 3", len(row))
		}
		name, typ, role := aws.ToString(row[0].ScalarValue), aws.ToString(row[1].ScalarValue), aws.ToString(row[2].ScalarValue)
		k := kindNames[strings.ToLower(typ)]
		if k == unknown {
			return fmt.Errorf("column %s of %s has the type %s, which no record can hold", name, r, typ)
		}
		columns = append(columns, column{name: name, kind: k})
		if strings.EqualFold(role, "DIMENSION") {
			dimensions = append(dimensions, name)
		}
		return nil
	})
	return columns, dimensions, err
}

// bounds are the conditions of From and Until.
func (r *Remote) bounds() string {
	var list []string
	if !r.From.IsZero() {
		list = append(list, fmt.Sprintf("time >= from_nanoseconds(%d)", r.From.UnixNano()))
	}
	if !r.Until.IsZero() {
		list = append(list, fmt.Sprintf("time < from_nanoseconds(%d)", r.Until.UnixNano()))
	}
	if list == nil {
		return ""
	}
	return " WHERE " + strings.Join(list, " AND ")
}

// windows divides the table.
func (r *Remote) windows(ctx context.Context) ([]window, error) {
	var total, first, last int64
	err := r.each(ctx, "SELECT COUNT(*), to_nanoseconds(MIN(time)), to_nanoseconds(MAX(time)) FROM "+r.table()+r.bounds(), func(row []types.Datum) (err error) {
		if total, err = integer(row, 0); err != nil || total == 0 {
			return err
		}
		if first, err = integer(row, 1); err == nil {
			last, err = integer(row, 2)
		}
		return err
	})
	if err != nil || total == 0 {
		return nil, err
	}
	rows := r.windowRows
	if rows == 0 {
		rows = 250_000
	}
	seconds := max(1, (last-first)/int64(time.Second)/((total+rows-1)/rows)+1)
	var list []window
	sql := fmt.Sprintf("SELECT measure_name, to_nanoseconds(BIN(time, %ds)), COUNT(*) FROM %s%s GROUP BY 1, 2 ORDER BY 2, 1", seconds, r.table(), r.bounds())
	err = r.each(ctx, sql, func(row []types.Datum) error {
		from, err := integer(row, 1)
		if err != nil {
			return err
		}
		n, err := integer(row, 2)
		w := window{Measure: aws.ToString(row[0].ScalarValue), From: from, Until: math.MaxInt64, Rows: n}
		if from < math.MaxInt64-seconds*int64(time.Second) {
			w.Until = from + seconds*int64(time.Second)
		}
		if !r.From.IsZero() {
			w.From = max(w.From, r.From.UnixNano())
		}
		if !r.Until.IsZero() {
			w.Until = min(w.Until, r.Until.UnixNano())
		}
		list = append(list, w)
		return err
	})
	return list, err
}

func integer(row []types.Datum, i int) (int64, error) {
	if i >= len(row) || row[i].ScalarValue == nil {
		return 0, errors.New("an answer lacks a number")
	}
	return strconv.ParseInt(*row[i].ScalarValue, 10, 64)
}

// count is how many rows a window has now.
func (r *Remote) count(ctx context.Context, w *window) (n int64, err error) {
	err = r.each(ctx, "SELECT COUNT(*) FROM "+r.table()+" WHERE "+w.where(), func(row []types.Datum) (err error) {
		n, err = integer(row, 0)
		return err
	})
	return n, err
}

// remoteSources are the windows of the table, those of an earlier run if there are any.
func (r *run) remoteSources(ctx context.Context) error {
	remote := r.o.Remote
	columns, dimensions, err := remote.describe(ctx)
	if err != nil {
		return err
	}
	if len(r.o.Columns.Dimensions)+len(r.o.Columns.Measures) == 0 {
		r.o.Columns.Dimensions = dimensions
	}
	if err := r.openState(); err != nil {
		return err
	}
	if r.state.Windows == nil {
		if r.state.Windows, err = remote.windows(ctx); err != nil {
			return err
		}
	}
	for i := range r.state.Windows {
		w := &r.state.Windows[i]
		name := fmt.Sprintf("%s.%s/%s/%s", remote.Database, remote.Table, w.Measure, time.Unix(0, w.From).UTC().Format(time.RFC3339))
		r.sources = append(r.sources, &source{file: file{name: name, size: w.Rows}, window: w, columns: slices.Clone(columns), want: w.Rows})
		r.allBytes += w.Rows
	}
	r.o.Notice(fmt.Sprintf("%s: %d windows", remote, len(r.sources)))
	if r.o.Writer == nil {
		return nil
	}
	return r.state.save(r.stateAt)
}

// recount decides about a window whose rows were not as many as when the copy began: they are right if
// there are so many now.
func (r *run) recount(ctx context.Context, s *source, got int64) error {
	now, err := r.o.Remote.count(ctx, s.window)
	if err != nil {
		return err
	}
	if now == got {
		r.o.Notice(fmt.Sprintf("%s had %d rows when the copy began and has %d now: all %d are copied", s.name, s.want, now, got))
		return nil
	}
	r.result.Wrong = append(r.result.Wrong, fmt.Sprintf("%s gave %d rows, but has %d", s.name, got, now))
	return nil
}

// remoteRows reads a window.
type remoteRows struct {
	ctx    context.Context // of the copy
	remote *Remote
	in     *timestreamquery.QueryInput
	cols   []column
	page   []types.Row
	last   bool
	row    []cell
	n      int64
	began  time.Time
	done   *atomic.Int64
}

func (r *run) openWindow(ctx context.Context, s *source) *remoteRows {
	var names []string
	for _, c := range s.columns {
		names = append(names, quoted(c.name))
	}
	sql := "SELECT " + strings.Join(names, ", ") + " FROM " + r.o.Remote.table() + " WHERE " + s.window.where()
	q := &remoteRows{ctx: ctx, remote: r.o.Remote, in: &timestreamquery.QueryInput{QueryString: aws.String(sql)}, cols: s.columns, row: make([]cell, len(s.columns)), began: time.Now(), done: &r.offset}
	if n := r.o.Remote.pageRows; n > 0 {
		q.in.MaxRows = aws.Int32(n)
	}
	return q
}

func (q *remoteRows) columns() []column { return q.cols }
func (q *remoteRows) line() int64       { return q.n }
func (q *remoteRows) Close() error      { return nil }

func (q *remoteRows) skip(n int64) error {
	return skipRows(n, q.read)
}

func (q *remoteRows) read() ([]cell, error) {
	for len(q.page) == 0 {
		if q.last {
			return nil, io.EOF
		}
		if err := q.turn(); err != nil {
			return nil, err
		}
	}
	data := q.page[0].Data
	q.page = q.page[1:]
	q.n++
	q.done.Store(q.n)
	if len(data) != len(q.row) {
		return nil, badRow("has %d values, want %d", len(data), len(q.row))
	}
	for i := range data {
		text := aws.ToString(data[i].ScalarValue)
		q.row[i] = cell{text, data[i].ScalarValue == nil || text == ""}
	}
	return q.row, nil
}

// turn reads the next page, when the rate allows it.
func (q *remoteRows) turn() error {
	if perSecond := q.remote.RowsPerSecond; perSecond > 0 {
		due := q.began.Add(time.Duration(float64(q.n) / float64(perSecond) * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-q.ctx.Done():
			return q.ctx.Err()
		}
	}
	out, err := q.remote.Query.Query(q.ctx, q.in)
	if err != nil {
		return fmt.Errorf("query %s: %w", q.remote, err)
	}
	q.page, q.in.NextToken, q.last = out.Rows, out.NextToken, out.NextToken == nil
	return nil
}
