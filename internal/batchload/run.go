package batchload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
)

// run is one execution of a task, from its place to its end.
type run struct {
	s *Service
	t Task // the run's own copy; published by save

	batch   []ingest.Record
	rows    []batchRow // of the records in batch
	saved   int64      // bytes read since the last saved place
	version int64
}

// batchRow is a row whose records wait in the batch.
type batchRow struct {
	first, last int64 // lines
	records     int
}

// stopError says that the server could not go on; the task can be resumed.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

func (s *Service) run(id string) {
	task, err := s.Task(id)
	if err != nil {
		return
	}
	r := &run{s: s, t: task, version: max(1, task.Config.RecordVersion)}
	r.t.Errors.FileErrors = slices.Clone(task.Errors.FileErrors)
	r.t.Status = InProgress
	if err := r.save(); err != nil {
		s.opts.Log.Error("batch load task not begun", "task", id, "err", err)
		return
	}
	err = r.load(s.ctx)
	if s.ctx.Err() != nil {
		r.save() // the next start goes on from here
		return
	}
	r.finish(err)
}

// save publishes the task and makes it durable.
func (r *run) save() error {
	t := r.t
	// What is published must not change; the report grows in place.
	t.Errors.FileErrors = cloneErrors(r.t.Errors.FileErrors)
	t.Errors.TaskErrors = slices.Clone(r.t.Errors.TaskErrors)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.saved = 0
	return r.s.saveLocked(&t)
}

func cloneErrors(list []fileErrors) []fileErrors {
	out := make([]fileErrors, len(list))
	for i, f := range list {
		out[i] = fileErrors{f.FileName, make([]lineErrors, len(f.Errors))}
		for k, l := range f.Errors {
			out[i].Errors[k] = lineErrors{l.Reason, slices.Clone(l.LineRanges)}
		}
	}
	return out
}

// finish writes the report and the last status.
func (r *run) finish(err error) {
	now := r.s.opts.Clock.Now()
	var stop *stopError
	switch {
	case errors.As(err, &stop):
		r.t.Status, r.t.Error, r.t.ResumableUntil = Stopped, fault.MessageOf(stop.err), now.Add(resumable)
	case err != nil:
		r.t.Status, r.t.Error = Failed, fault.MessageOf(err)
		r.t.Errors.TaskErrors = append(r.t.Errors.TaskErrors, taskError{r.t.Error})
	case r.t.Errors.empty() && r.t.Progress.ParseFailures+r.t.Progress.RecordIngestionFailures+r.t.Progress.FileFailures == 0:
		r.t.Status = Succeeded
	default:
		r.t.Status, r.t.Error = Failed, "The task had errors; see its error report."
	}
	if r.t.Status == Failed {
		rep := r.t.Config.Report
		key := path.Join(rep.Key, r.t.ID, "errors.json")
		if err := r.s.opts.Objects.Put(r.s.ctx, rep.Bucket, key, r.t.Errors.json(r.t.ID)); err != nil {
			r.t.Error += " The error report could not be written: " + fault.MessageOf(err)
		}
	}
	if err := r.save(); err != nil {
		r.s.opts.Log.Error("end of a batch load task not saved", "task", r.t.ID, "err", err)
	}
	r.s.opts.Log.Info("batch load task ended", "task", r.t.ID, "status", string(r.t.Status), "rows", r.t.Progress.RecordsProcessed)
}

// load reads every file from the task's place on.
func (r *run) load(ctx context.Context) error {
	model, err := r.model(ctx)
	if err != nil {
		return err
	}
	src := r.t.Config.Source
	objects, err := r.s.opts.Objects.List(ctx, src.Bucket, src.Key, r.s.opts.FilesPerTask+1)
	if err != nil {
		return err
	}
	if len(objects) == 0 {
		return fault.New(fault.Invalid, "No object in the bucket %s has a key that begins with %q.", src.Bucket, src.Key)
	}
	if len(objects) > r.s.opts.FilesPerTask {
		return fault.New(fault.Invalid, "More than %d objects match; a batch load task reads no more.", r.s.opts.FilesPerTask)
	}
	for _, o := range objects {
		if o.Key < r.t.Place.Key {
			continue // read before
		}
		if o.Key > r.t.Place.Key {
			r.t.Place = place{Key: o.Key}
		}
		err := r.file(ctx, o, model)
		var whole *fileError
		if errors.As(err, &whole) {
			r.t.Progress.FileFailures++
			r.t.Errors.file(o.Key, whole.text)
			err = nil
		}
		if err != nil {
			return err
		}
		// Behind this object, whatever its size.
		r.t.Place = place{Key: o.Key + "\x00"}
		if err := r.save(); err != nil {
			return &stopError{err}
		}
	}
	return nil
}

// model returns the data model, checked.
func (r *run) model(ctx context.Context) (*Model, error) {
	c := &r.t.Config
	if c.Model != nil {
		return c.Model, nil
	}
	in, err := r.s.opts.Objects.Open(ctx, c.ModelAt.Bucket, c.ModelAt.Key, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	doc, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return nil, err
	}
	m := new(Model)
	d := json.NewDecoder(bytes.NewReader(doc))
	if err := d.Decode(m); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The data model in %s/%s is not a JSON object of that form.", c.ModelAt.Bucket, c.ModelAt.Key)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	table, err := r.s.opts.Catalog.Table(c.Database, c.Table)
	if err != nil {
		return nil, err
	}
	return m, requireKey(table, m)
}

// fileError is an error of one whole file.
type fileError struct{ text string }

func (e *fileError) Error() string { return e.text }

// file loads one object.
func (r *run) file(ctx context.Context, o Object, model *Model) error {
	if o.SizeBytes > r.s.opts.FileBytes {
		return &fileError{fmt.Sprintf("The file has %d bytes; at most %d are allowed.", o.SizeBytes, r.s.opts.FileBytes)}
	}
	src := r.t.Config.Source
	head, err := r.s.opts.Objects.Open(ctx, src.Bucket, o.Key, 0)
	if err != nil {
		return &fileError{fault.MessageOf(err)}
	}
	defer head.Close()
	in := newCSVReader(head, r.t.Config.CSV, place{})
	if mark, _ := in.in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		return &fileError{"The file begins with a byte order mark."}
	}
	header, _, _, err := in.row()
	if err != nil {
		return &fileError{"The file has no header row."}
	}
	header = slices.Clone(header)
	m, err := bind(model, r.t.Config.CSV, header, r.version)
	if err != nil {
		return err
	}
	if r.t.Place.Offset > 0 {
		rest, err := r.s.opts.Objects.Open(ctx, src.Bucket, o.Key, r.t.Place.Offset)
		if err != nil {
			return &fileError{fault.MessageOf(err)}
		}
		defer rest.Close()
		in = newCSVReader(rest, r.t.Config.CSV, r.t.Place)
	}
	return r.readRows(ctx, in, m, len(header))
}

// readRows loads the rows of an open file.
func (r *run) readRows(ctx context.Context, in *csvReader, m *mapping, columns int) error {
	key := r.t.Place.Key
	for {
		before := in.offset
		fields, first, last, err := in.row()
		r.saved += in.offset - before
		var bad *rowError
		switch {
		case errors.Is(err, io.EOF):
			return r.flush(ctx, in)
		case err != nil && !errors.As(err, &bad):
			return &stopError{fmt.Errorf("read %s: %w", key, err)}
		case err == nil && len(fields) != columns:
			bad = &rowError{fmt.Sprintf("The row has %d fields, the header %d.", len(fields), columns)}
		case err == nil:
			n := len(r.batch)
			if r.batch, err = m.records(r.batch, fields); err != nil {
				r.batch = r.batch[:n]
				errors.As(err, &bad)
				break
			}
			r.rows = append(r.rows, batchRow{first, last, len(r.batch) - n})
		}
		r.t.Progress.RecordsProcessed++
		if bad != nil {
			r.t.Progress.ParseFailures++
			r.t.Errors.lines(key, bad.text, first, last)
		}
		if len(r.batch) >= r.s.opts.BatchRecords || r.saved >= r.s.opts.SaveEveryBytes {
			if err := r.flush(ctx, in); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// flush writes the batch and notes the place behind it.
func (r *run) flush(ctx context.Context, in *csvReader) error {
	if err := r.write(ctx, r.batch, r.rows); err != nil {
		return err
	}
	clear(r.batch)
	r.batch, r.rows = r.batch[:0], r.rows[:0]
	r.t.Place.Offset, r.t.Place.Line = in.offset, in.line
	if r.saved < r.s.opts.SaveEveryBytes {
		return nil
	}
	if err := r.save(); err != nil {
		return &stopError{err}
	}
	return nil
}

// write stores records. When the request as a whole is refused because of some record, it
// is cut in halves until that record's row is alone.
func (r *run) write(ctx context.Context, records []ingest.Record, rows []batchRow) error {
	if len(rows) == 0 {
		return nil
	}
	result, err := r.store(ctx, records)
	r.t.Progress.BytesMetered += result.BytesMetered
	var rejected *ingest.RejectedError
	switch {
	case err == nil:
		r.t.Progress.RecordsIngested += int64(result.Total)
		return nil
	case errors.As(err, &rejected):
		r.t.Progress.RecordsIngested += int64(result.Total)
		r.rejected(rejected, rows)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case fault.KindOf(err) == fault.NotFound:
		return err // the table was dropped
	case fault.KindOf(err) != fault.Invalid:
		return &stopError{err}
	}
	if len(rows) == 1 {
		r.fail(rows[0], fault.MessageOf(err), rows[0].records)
		return nil
	}
	half, n := len(rows)/2, 0
	for _, row := range rows[:half] {
		n += row.records
	}
	if err := r.write(ctx, records[:n], rows[:half]); err != nil {
		return err
	}
	return r.write(ctx, records[n:], rows[half:])
}

// store writes, and waits and tries again while the server is too busy.
func (r *run) store(ctx context.Context, records []ingest.Record) (ingest.Result, error) {
	req := &ingest.Request{Database: r.t.Config.Database, Table: r.t.Config.Table, Records: records}
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		result, err := r.s.opts.Writer.Write(ctx, req)
		if fault.KindOf(err) != fault.Throttled || err == nil || wait > 5*time.Second {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// rejected reports the rows of refused records.
func (r *run) rejected(e *ingest.RejectedError, rows []batchRow) {
	k, end := 0, 0
	for _, row := range rows {
		end += row.records
		for ; k < len(e.Records) && e.Records[k].Index < end; k++ {
			r.fail(row, e.Records[k].Reason, 1)
		}
	}
}

func (r *run) fail(row batchRow, reason string, records int) {
	r.t.Progress.RecordIngestionFailures += int64(records)
	r.t.Errors.lines(r.t.Place.Key, reasonOf(reason), row.first, row.last)
}
