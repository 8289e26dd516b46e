// Package importer writes files into a table through the public API: the results of UNLOAD, CSV,
// Parquet and Influx line protocol, and tables of other Timestream endpoints.
//
// A file is a run of rows, each of which becomes one record or is rejected with a reason: by this
// package if it cannot be a record, by the server otherwise. Rows are counted: what was read is what was
// ingested plus what was rejected, and, for UNLOAD, what the manifest says.
//
// Rows of one series go through one connection in the order of the file, so that of two rows with one series
// and time the first wins, however many connections there are.
//
// An import goes on where an earlier one ended: a state file tells, per file, how many rows at its
// start are done. It is written after their acknowledgement; rows after it may be sent twice, which the
// server takes for one record (api.md, section 6.3), so that each row is there once.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/objstore/s3client"
)

// Writer is the part of the SDK's client that writes. It repeats what was throttled or lost.
type Writer interface {
	WriteRecords(context.Context, *timestreamwrite.WriteRecordsInput, ...func(*timestreamwrite.Options)) (*timestreamwrite.WriteRecordsOutput, error)
}

// Options say what to import, and where to.
type Options struct {
	Paths    []string         // files and folders, and s3://bucket/… of Objects
	Objects  *s3client.Client // nil: no paths in buckets
	Remote   *Remote          // instead of paths: a table of another endpoint
	Format   string           // csv, parquet or line; empty: by content and name
	Endpoint string           // for the state
	Database string
	Table    string
	Writer   Writer // nil: a dry run, which reads and checks everything and writes nothing

	Columns   Columns
	Delimiter string   // of CSV; empty: a comma, a tab in .tsv
	Escape    string   // escape character of CSV; empty: none, a backslash in results of UNLOAD
	Null      string   // text of CSV that means null, besides the empty one
	Names     []string // columns of CSV without a header

	Version      int64  // of the records; 0: 1
	Connections  int    // requests in flight; 0: 4
	State        string // state file; empty: next to the first path
	Restart      bool   // forget an earlier run
	ShowRejected int    // how many rejected rows Result lists

	Notice   func(text string)  // what is being done, line by line; nil: nobody is told
	Progress func(now Progress) // called a few times a second; nil: nobody is told

	saveRows int64 // save the state after so many rows; 0: 50,000, and each second
}

// Progress is how far an import is.
type Progress struct {
	File             string // being read
	Bytes, AllBytes  int64  // read, of all files
	Rows             int64  // done, with those of earlier runs
	Rejected         int64
	Took             time.Duration
	RowsOfEarlierRun int64
}

// Reject is a row that did not become a record.
type Reject struct {
	File   string
	Line   int64 // row number in Parquet files
	Reason string
}

// Result counts what was done, by this run and those that it went on from.
type Result struct {
	Files    int
	Rows     int64 // read
	Ingested int64
	Rejected int64
	Earlier  int64    // rows of earlier runs
	Rejects  []Reject // of this run, the first of them
	Wrong    []string // what does not agree with a manifest
}

const (
	maxBatch       = 100 // WriteRecords takes no more
	maxSampleFiles = 100
	flushRows      = 10_000 // partly filled batches wait no longer than this
)

// run is one import.
type run struct {
	o        Options
	dialect  csvDialect
	names    []column
	sources  []*source
	plans    map[*source]*plan
	state    *state
	stateAt  string
	began    time.Time
	saved    time.Time
	allBytes int64
	doneByte int64        // of the files before the one being read
	offset   atomic.Int64 // in the one being read
	rejects  rejects
	result   Result
}

// Run imports. The result is valid with an error too, as far as the import got; a state file then
// stays, with which the same call goes on. Once all files are done the state file is removed.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if o.saveRows == 0 {
		o.saveRows = 50_000
	}
	if o.Connections <= 0 {
		o.Connections = 4
	}
	r := &run{o: o, plans: map[*source]*plan{}, began: time.Now()}
	r.rejects.limit = o.ShowRejected
	if err := r.prepare(ctx); err != nil {
		return r.result, err
	}
	for _, s := range r.sources {
		if err := r.file(ctx, s); err != nil {
			return r.finish(), err
		}
	}
	if o.Writer != nil {
		if err := os.Remove(r.stateAt); err != nil && !errors.Is(err, os.ErrNotExist) {
			return r.finish(), err
		}
	}
	return r.finish(), nil
}

func (r *run) finish() Result {
	r.result.Rejects = r.rejects.list
	return r.result
}

// prepare finds the files and decides what their columns become, before anything is written.
func (r *run) prepare(ctx context.Context) error {
	if err := r.checkOptions(); err != nil {
		return err
	}
	if r.o.Remote != nil {
		if err := r.remoteSources(ctx); err != nil {
			return err
		}
		return r.planAll()
	}
	list, ignored, err := r.discover(ctx, formatNames[r.o.Format])
	if err != nil {
		return err
	}
	r.sources = list
	if len(ignored) > 0 {
		r.o.Notice(fmt.Sprintf("%d files are left out, as they are not data that a manifest lists or a name ends in: %s", len(ignored), shorten(ignored)))
	}
	for _, s := range list {
		r.allBytes += s.size
	}
	if err := r.planAll(); err != nil {
		return err
	}
	return r.openState()
}

func shorten(list []string) string {
	if len(list) > 3 {
		list = append(slices.Clone(list[:3]), "…")
	}
	return strings.Join(list, ", ")
}

func (r *run) checkOptions() error {
	var err error
	switch {
	case len(r.o.Paths) == 0 && r.o.Remote == nil:
		return errors.New("no file or folder is named")
	case r.o.Format != "" && formatNames[r.o.Format] == 0:
		return fmt.Errorf("--format %s: want csv, parquet or line", r.o.Format)
	case len(r.o.Escape) > 1:
		return fmt.Errorf("--escape %q: want one ASCII character", r.o.Escape)
	case r.o.Columns.Unit != "" && units[r.o.Columns.Unit] == 0:
		return fmt.Errorf("--time-unit %s: want s, ms, us or ns", r.o.Columns.Unit)
	}
	if r.dialect.delimiter, err = delimiterOf(r.o.Delimiter); err != nil {
		return err
	}
	if r.o.Escape != "" {
		r.dialect.escape = r.o.Escape[0]
	}
	r.dialect.null = r.o.Null
	for _, n := range r.o.Names {
		r.names = append(r.names, column{name: n})
	}
	return nil
}

func (r *run) dialectOf(s *source) csvDialect {
	d := r.dialect
	if s.unload && r.o.Escape == "" {
		d.escape = '\\'
	}
	if r.o.Delimiter == "" && strings.HasSuffix(strings.TrimSuffix(strings.ToLower(s.name), ".gz"), ".tsv") {
		d.delimiter = '\t'
	}
	return d
}

// planAll looks at every file's columns, and into some of the files for types.
func (r *run) planAll() error {
	g := &guesses{map[string]kind{}, map[string]string{}}
	columns := map[*source][]column{}
	for i, s := range r.sources {
		if s.format == formatLine {
			continue
		}
		if s.window != nil {
			columns[s] = s.columns
			continue
		}
		t, err := s.openRows(r.dialectOf(s), r.names, &r.offset)
		if err != nil {
			return err
		}
		columns[s] = t.columns()
		if !s.unload && i < maxSampleFiles {
			err = g.look(t)
		}
		if err = errors.Join(err, t.Close()); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	var told []string
	files := map[string]int{}
	for _, s := range r.sources {
		text := "line protocol: tags are dimensions, measurements measure names, fields measures"
		if s.format != formatLine {
			p, err := r.o.Columns.planFor(g.settle(columns[s], r.o.Columns.Types), g)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			r.plans[s], text = p, p.String()
		}
		if files[text]++; files[text] == 1 {
			told = append(told, text)
		}
	}
	for _, text := range told {
		r.o.Notice(fmt.Sprintf("%d file(s): %s", files[text], text))
	}
	return nil
}

func (r *run) openState() error {
	if r.stateAt = r.o.State; r.stateAt == "" {
		r.stateAt = r.o.statePath()
	}
	how := fmt.Sprintf("%+v", struct {
		Format, Time, Unit, Measure, Name string
		Constants                         []string
		Dimensions, Measures, Skip        []string
		Types                             map[string]kind
		Delimiter, Escape, Null           string
		Names                             []string
		Version                           int64
	}{
		r.o.Format, r.o.Columns.Time, r.o.Columns.Unit, r.o.Columns.Measure, r.o.Columns.Name, pairs(r.o.Columns.Constants),
		r.o.Columns.Dimensions, r.o.Columns.Measures, r.o.Columns.Skip, r.o.Columns.Types,
		r.o.Delimiter, r.o.Escape, r.o.Null, r.o.Names, r.o.Version,
	})
	into := fmt.Sprintf("%s.%s at %s", r.o.Database, r.o.Table, r.o.Endpoint)
	if from := r.o.Remote; from != nil {
		how += fmt.Sprintf(" from %s, %v to %v", from, from.From, from.Until)
	}
	var err error
	if r.state, err = loadState(r.stateAt, into, how, r.o.Restart || r.o.Writer == nil); err != nil {
		return err
	}
	if r.o.Writer == nil {
		return nil
	}
	return r.state.save(r.stateAt)
}

func pairs(dims []types.Dimension) []string {
	var out []string
	for _, d := range dims {
		out = append(out, *d.Name+"="+*d.Value)
	}
	return out
}

// open opens a file as records.
func (r *run) open(ctx context.Context, s *source) (records, error) {
	r.offset.Store(0)
	if s.window != nil {
		return &tableRecords{r.openWindow(ctx, s), r.plans[s]}, nil
	}
	if s.format == formatLine {
		in, closer, err := s.openText(&r.offset)
		if err != nil {
			return nil, err
		}
		unit := units[r.o.Columns.Unit]
		if unit == 0 {
			unit = 1
		}
		return newLineRecords(in, closer, unit, r.o.Columns.Constants), nil
	}
	t, err := s.openRows(r.dialectOf(s), r.names, &r.offset)
	if err != nil {
		return nil, err
	}
	return &tableRecords{t, r.plans[s]}, nil
}

// file imports what is left of one file.
func (r *run) file(ctx context.Context, s *source) error {
	id, err := s.identity()
	if err != nil {
		return err
	}
	at, err := r.state.file(id, s.file)
	if err != nil {
		return err
	}
	if s.window != nil && !at.Done { // the order of its rows is not the same again
		at.Rows, at.Ingested, at.Rejected = 0, 0, 0
	}
	r.result.Earlier += at.Rows
	t := &tracker{base: *at}
	if !at.Done {
		err = r.read(ctx, s, t)
	}
	counted := t.counted()
	if err == nil {
		counted.Done = true
	}
	*at = counted
	r.result.Rows += at.Rows
	r.result.Ingested += at.Ingested
	r.result.Rejected += at.Rejected
	r.doneByte += s.size
	r.offset.Store(0)
	if r.o.Writer != nil {
		err = errors.Join(err, r.state.save(r.stateAt))
	}
	if err != nil {
		return err
	}
	r.result.Files++
	switch {
	case at.Rows != at.Ingested+at.Rejected:
		return fmt.Errorf("bug: %s has %d rows, but %d records were ingested and %d rejected", s.name, at.Rows, at.Ingested, at.Rejected)
	case s.window != nil && at.Rows != s.want:
		return r.recount(ctx, s, at.Rows)
	case s.want >= 0 && at.Rows != s.want:
		r.result.Wrong = append(r.result.Wrong, fmt.Sprintf("%s has %d rows, the manifest says %d", s.name, at.Rows, s.want))
	}
	return nil
}

// read sends the rows that an earlier run left.
func (r *run) read(ctx context.Context, s *source, t *tracker) error {
	in, err := r.open(ctx, s)
	if err != nil {
		return err
	}
	defer in.Close()
	if t.base.Rows > 0 {
		if err := in.skip(t.base.Rows); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.o.Notice(fmt.Sprintf("%s: going on after %d rows of an earlier run", s.name, t.base.Rows))
	}
	stop := r.report(s, t)
	defer stop()
	return r.send(ctx, s, in, t)
}

// report tells the progress until stop is called, which waits for the end of it.
func (r *run) report(s *source, t *tracker) (stop func()) {
	if r.o.Progress == nil {
		return func() {}
	}
	tell := func() {
		now := t.all()
		r.o.Progress(Progress{
			File: s.name, Bytes: r.doneByte + min(r.offset.Load(), s.size), AllBytes: r.allBytes, Took: time.Since(r.began),
			Rows: r.result.Rows + now.Rows, Rejected: r.result.Rejected + now.Rejected, RowsOfEarlierRun: r.result.Earlier,
		})
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				tell()
				return
			case <-tick.C:
				tell()
			}
		}
	}()
	return func() { close(quit); <-done }
}

// saveIfDue saves the state now and then; only the goroutine that reads calls it.
func (r *run) saveIfDue(s *source, t *tracker) error {
	if r.o.Writer == nil {
		return nil
	}
	now := t.counted()
	id, err := s.identity()
	if err != nil {
		return err
	}
	at := r.state.Files[id]
	if now.Rows-at.Rows < r.o.saveRows && (now.Rows == at.Rows || time.Since(r.saved) < time.Second) {
		return nil
	}
	*at, r.saved = now, time.Now()
	return r.state.save(r.stateAt)
}

func isRowError(err error) bool {
	var row *rowError
	return errors.As(err, &row)
}

// isEnd tells the end of a source from a connection that was lost, whose error may wrap io.EOF.
func isEnd(err error) bool { return err == io.EOF }
