// Package exporter writes a table, or the result of a query, to a folder or a bucket, by UNLOAD through the
// public API: what importer reads.
//
// A table is exported in slices of time, each by an UNLOAD of its own, in a folder (or prefix) of its own:
//
//	<destination>/weir-export.json      what is exported, the table's settings, and how far the export is
//	<destination>/<slice>/results/…     as UNLOAD writes them
//	<destination>/<slice>/…_metadata.json, …_manifest.json
//
// For a folder, the server writes to a bucket that is made for the export, whose objects are then fetched, compared with
// the manifest and deleted. The manifest comes last, so where there is one, the slice is whole.
//
// An export goes on where an earlier one ended: weir-export.json is written before each UNLOAD, with a token by
// which the server knows it again, and after it. What an interrupted one left goes away.
package exporter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"

	"github.com/weir-db/weir/internal/objstore/s3client"
)

// Options say what to export, and where to.
type Options struct {
	Query   *timestreamquery.Client
	Write   *timestreamwrite.Client
	Objects *s3client.Client // of the store that the server writes to

	Endpoint        string // for the state
	Database, Table string
	SQL             string // a SELECT, instead of a table
	To              string // a folder or s3://bucket/prefix

	Format      string // csv or parquet; empty: parquet
	Compression string // gzip or none; empty: gzip
	PartitionBy []string
	MaxFileSize string // such as 1GB; empty: UNLOAD's
	Header      bool   // of CSV
	From, Until time.Time
	Slice       time.Duration // of a table; 0: so that each has about sliceRows
	Restart     bool
	Notice      func(text string)
	Progress    func(now Progress)
	sliceRows   int64 // 5,000,000
}

// Progress is how far an export is.
type Progress struct {
	Slice        string
	Done         int // slices
	Slices       int
	Rows, All    int64 // exported, and what there was to export at the start; -1: not known
	Percent      float64
	BytesFetched int64
	Took         time.Duration
}

// Result counts what was exported, with what earlier runs did.
type Result struct {
	Rows, Bytes int64
	Files       int
	Slices      int
	Expected    int64 // rows that there were at the start; -1: not known
}

// run is one export.
type run struct {
	o     Options
	dest  destination
	state *state
	began time.Time
	bytes int64 // fetched by this run
}

// Run exports. After an error the same call goes on where this one ended.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.sliceRows == 0 {
		o.sliceRows = 5_000_000
	}
	if err := o.check(); err != nil {
		return Result{}, err
	}
	r := &run{o: o, dest: destinationOf(o), began: time.Now()}
	if err := r.begin(ctx); err != nil {
		return Result{}, err
	}
	for i := range r.state.Slices {
		if r.state.Slices[i].Done {
			continue
		}
		if err := r.slice(ctx, &r.state.Slices[i]); err != nil {
			return r.result(), err
		}
	}
	return r.result(), r.end(ctx)
}

func (o *Options) check() error {
	o.Format, o.Compression = strings.ToUpper(or(o.Format, "parquet")), strings.ToUpper(or(o.Compression, "gzip"))
	switch {
	case (o.SQL == "") == (o.Table == ""):
		return errors.New("either a table or a query is exported")
	case o.Format != "CSV" && o.Format != "PARQUET":
		return fmt.Errorf("--format %s: want csv or parquet", strings.ToLower(o.Format))
	case o.Compression != "GZIP" && o.Compression != "NONE":
		return fmt.Errorf("--compression %s: want gzip or none", strings.ToLower(o.Compression))
	case o.To == "":
		return errors.New("no destination is named")
	case o.SQL != "" && (!o.From.IsZero() || !o.Until.IsZero() || o.Slice != 0):
		return errors.New("--from, --until and --slice are about a table; a query has its own WHERE")
	}
	return nil
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (r *run) result() Result {
	out := Result{Expected: r.state.Rows}
	for _, s := range r.state.Slices {
		if s.Done {
			out.Slices++
			out.Rows, out.Bytes, out.Files = out.Rows+s.Rows, out.Bytes+s.Bytes, out.Files+s.Files
		}
	}
	return out
}

// begin goes on with an earlier run, or decides what is to be done.
func (r *run) begin(ctx context.Context) error {
	var err error
	if r.state, err = r.loadState(ctx); err != nil || r.state != nil {
		if err != nil {
			return err
		}
		r.o.Notice(fmt.Sprintf("going on with the export that began at %s: %d of %d slices are done", r.state.Began.Format(time.RFC3339), r.result().Slices, len(r.state.Slices)))
		return r.dest.prepare(ctx, r.state.Bucket)
	}
	s := &state{Version: stateVersion, Endpoint: r.o.Endpoint, What: r.what(), Began: time.Now().UTC().Truncate(time.Second), Rows: -1}
	if r.o.Table != "" {
		if err := r.describe(ctx, s); err != nil {
			return err
		}
		if err := r.cut(ctx, s); err != nil {
			return err
		}
	} else {
		s.Slices = []slice{{Name: "all"}}
	}
	s.Bucket = r.dest.bucket(rand.Text())
	r.state = s
	// The state comes first: whatever is made is known to the next run.
	if err := r.save(ctx); err != nil {
		return err
	}
	return r.dest.prepare(ctx, s.Bucket)
}

// cut divides the table's time into slices.
func (r *run) cut(ctx context.Context, s *state) error {
	row, err := r.row(ctx, "SELECT COUNT(*), MIN(time), MAX(time) FROM "+r.table()+where(r.o.From, r.o.Until))
	if err != nil {
		return err
	}
	if s.Rows, err = strconv.ParseInt(row[0], 10, 64); err != nil {
		return err
	}
	if s.Rows == 0 {
		s.Slices = []slice{{Name: "all", From: r.o.From, Until: r.o.Until}}
		return nil
	}
	first, err1 := parseTime(row[1])
	last, err2 := parseTime(row[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	until := last.Add(1)
	length := r.o.Slice
	if length == 0 {
		n := (s.Rows + r.o.sliceRows - 1) / r.o.sliceRows
		length = (until.Sub(first)/time.Duration(n) + time.Hour).Truncate(time.Hour)
	}
	for from := first; from.Before(until); {
		next := from.Truncate(length).Add(length)
		if next.After(until) {
			next = until
		}
		s.Slices = append(s.Slices, slice{Name: from.Format("20060102T150405Z"), From: from, Until: next})
		from = next
	}
	return nil
}

func where(from, until time.Time) string {
	var list []string
	if !from.IsZero() {
		list = append(list, "time >= from_nanoseconds("+strconv.FormatInt(from.UnixNano(), 10)+")")
	}
	if !until.IsZero() {
		list = append(list, "time < from_nanoseconds("+strconv.FormatInt(until.UnixNano(), 10)+")")
	}
	if list == nil {
		return ""
	}
	return " WHERE " + strings.Join(list, " AND ")
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (r *run) table() string { return quoted(r.o.Database) + "." + quoted(r.o.Table) }

// statement is the UNLOAD of a slice.
func (r *run) statement(s *slice) string {
	query := r.o.SQL
	if query == "" {
		var columns []string
		for _, c := range r.state.Columns {
			if !contains(r.o.PartitionBy, c.Name) {
				columns = append(columns, quoted(c.Name))
			}
		}
		for _, p := range r.o.PartitionBy {
			columns = append(columns, quoted(p))
		}
		query = "SELECT " + strings.Join(columns, ", ") + " FROM " + r.table() + where(s.From, s.Until)
	}
	with := []string{"format = '" + r.o.Format + "'", "compression = '" + r.o.Compression + "'"}
	if len(r.o.PartitionBy) > 0 {
		list := make([]string, len(r.o.PartitionBy))
		for i, p := range r.o.PartitionBy {
			list[i] = literal(p)
		}
		with = append(with, "partitioned_by = ARRAY["+strings.Join(list, ", ")+"]")
	}
	if r.o.MaxFileSize != "" {
		with = append(with, "max_file_size = "+literal(r.o.MaxFileSize))
	}
	if r.o.Header {
		with = append(with, "include_header = 'true'")
	}
	return "UNLOAD (" + query + ") TO " + literal(r.dest.uri(r.state.Bucket, s.path())) + " WITH (" + strings.Join(with, ", ") + ")"
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func contains(list []string, name string) bool {
	for _, l := range list {
		if l == name {
			return true
		}
	}
	return false
}

// slice exports one slice.
func (r *run) slice(ctx context.Context, s *slice) error {
	err := error(nil)
	if s.Manifest == "" {
		if err = r.unload(ctx, s); err == nil {
			err = r.save(ctx)
		}
	}
	if err == nil {
		err = r.dest.take(ctx, r, s)
	}
	if err != nil {
		return fmt.Errorf("export of slice %s: %w", s.Name, err)
	}
	s.Done = true
	r.progress(s, 0)
	if err := r.save(ctx); err != nil {
		return err
	}
	return r.dest.tidy(ctx, r, s)
}

// unload has the server write a slice. What an earlier run asked for is taken on, if the server still knows of it.
func (r *run) unload(ctx context.Context, s *slice) error {
	if s.Token != "" {
		row, err := r.ask(ctx, s)
		var unknown *types.ValidationException
		if err == nil || !errors.As(err, &unknown) || !strings.Contains(unknown.ErrorMessage(), "ClientToken") {
			if err == nil {
				err = r.answered(s, row)
			}
			return err
		}
	}
	// A new place: whatever became of the earlier one, nothing of it is mixed with this.
	s.Attempt++
	s.Token = rand.Text() + rand.Text()
	if err := r.dest.reset(s); err != nil {
		return err
	}
	if err := r.save(ctx); err != nil {
		return err
	}
	row, err := r.ask(ctx, s)
	if err != nil {
		return err
	}
	return r.answered(s, row)
}

func (r *run) answered(s *slice, row []string) (err error) {
	if len(row) != 3 {
		return fmt.Errorf("the answer to UNLOAD has %d columns, want 3", len(row))
	}
	s.Manifest = row[2]
	s.Rows, err = strconv.ParseInt(row[0], 10, 64)
	return err
}

// ask runs the UNLOAD of a slice and returns the row of its answer.
func (r *run) ask(ctx context.Context, s *slice) ([]string, error) {
	in := &timestreamquery.QueryInput{QueryString: aws.String(r.statement(s)), ClientToken: aws.String(s.Token)}
	return r.pages(ctx, in, func(percent float64) { r.progress(s, percent) })
}

func (r *run) row(ctx context.Context, sql string) ([]string, error) {
	return r.pages(ctx, &timestreamquery.QueryInput{QueryString: aws.String(sql)}, func(float64) {})
}

// pages reads the pages of an answer that has one row.
func (r *run) pages(ctx context.Context, in *timestreamquery.QueryInput, tell func(percent float64)) (row []string, err error) {
	for {
		out, err := r.o.Query.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, found := range out.Rows {
			row = nil
			for _, d := range found.Data {
				row = append(row, aws.ToString(d.ScalarValue))
			}
		}
		if out.NextToken == nil {
			if row == nil {
				err = errors.New("the answer has no row")
			}
			return row, err
		}
		if out.QueryStatus != nil {
			tell(out.QueryStatus.ProgressPercentage)
		}
		in.NextToken, in.ClientToken = out.NextToken, nil
	}
}

func (r *run) progress(s *slice, percent float64) {
	now := Progress{Slice: s.Name, Slices: len(r.state.Slices), All: r.state.Rows, BytesFetched: r.bytes, Took: time.Since(r.began)}
	for _, other := range r.state.Slices {
		if other.Done {
			now.Done++
			now.Rows += other.Rows
		}
	}
	now.Percent = (float64(now.Done)*100 + percent) / float64(max(now.Slices, 1))
	r.o.Progress(now)
}

// end clears up, once all slices are done.
func (r *run) end(ctx context.Context) error {
	if err := r.dest.finish(ctx, r); err != nil {
		return err
	}
	r.state.Bucket, r.state.Complete = "", true
	for i := range r.state.Slices {
		r.state.Slices[i].Token = ""
	}
	return r.save(ctx)
}

func parseTime(text string) (time.Time, error) {
	return time.ParseInLocation("2006-01-02 15:04:05.999999999", text, time.UTC)
}
