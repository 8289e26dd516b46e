package importer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"
	"golang.org/x/sync/errgroup"
)

// chunkRows is how many rows of a file are counted together: what the state can tell apart.
const chunkRows = 1000

// chunk is a run of rows of which some are on their way.
type chunk struct {
	rows, open         int64
	ingested, rejected int64
	full               bool // no row is added any more
}

// tracker counts the rows of a file; those at its start whose fate is known make its state,
// whatever order the answers come in.
type tracker struct {
	mu     sync.Mutex // guards the fields below
	base   fileState  // rows at the start of the file that are done
	chunks []*chunk   // after those, in the file's order
}

// add counts a row in the chunk that is being filled.
func (t *tracker) add() *chunk {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.chunks); n == 0 || t.chunks[n-1].full {
		t.chunks = append(t.chunks, &chunk{})
	}
	c := t.chunks[len(t.chunks)-1]
	c.rows++
	c.open++
	c.full = c.rows == chunkRows
	return c
}

// done counts the fate of a row of c.
func (t *tracker) done(c *chunk, ingested bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.open--; ingested {
		c.ingested++
	} else {
		c.rejected++
	}
	for len(t.chunks) > 0 && t.chunks[0].full && t.chunks[0].open == 0 {
		t.base = t.base.plus(t.chunks[0])
		t.chunks = t.chunks[1:]
	}
}

// end says that no row follows.
func (t *tracker) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.chunks); n > 0 && t.chunks[n-1].open == 0 && n == 1 {
		t.base = t.base.plus(t.chunks[0])
		t.chunks = nil
	}
}

func (f fileState) plus(c *chunk) fileState {
	f.Rows += c.rows
	f.Ingested += c.ingested
	f.Rejected += c.rejected
	return f
}

// counted are the rows at the start of the file that are done.
func (t *tracker) counted() fileState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base
}

// all counts also what is done beyond a row that is not.
func (t *tracker) all() fileState {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.base
	for _, c := range t.chunks {
		f.Rows += c.rows - c.open
		f.Ingested += c.ingested
		f.Rejected += c.rejected
	}
	return f
}

// rejects keeps the first of the rejected rows.
type rejects struct {
	limit int
	mu    sync.Mutex // guards list
	list  []Reject
}

func (l *rejects) add(file string, line int64, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) < l.limit {
		l.list = append(l.list, Reject{file, line, reason})
	}
}

// item is a record on its way.
type item struct {
	rec   types.Record
	line  int64
	chunk *chunk
}

// lanes are the batches that are being filled, one for each connection.
type lanes struct {
	out   []chan []item
	batch [][]item
	seed  maphash.Seed
}

// send reads the rows that are left and writes them.
func (r *run) send(ctx context.Context, s *source, in records, t *tracker) error {
	group, ctx := errgroup.WithContext(ctx)
	l := &lanes{seed: maphash.MakeSeed()}
	for range r.o.Connections {
		lane := make(chan []item, 4)
		l.out, l.batch = append(l.out, lane), append(l.batch, nil)
		group.Go(func() error {
			for batch := range lane {
				if err := r.write(ctx, s, t, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer func() {
			for _, lane := range l.out {
				close(lane)
			}
		}()
		if err := r.fill(ctx, s, in, t, l); err != nil {
			return err
		}
		return l.flush(ctx)
	})
	err := group.Wait()
	if err == nil {
		t.end()
	}
	return err
}

// fill reads to the end of the file.
func (r *run) fill(ctx context.Context, s *source, in records, t *tracker, l *lanes) error {
	for n := 1; ; n++ {
		rec, err := in.next()
		switch {
		case isEnd(err):
			return nil
		case isRowError(err):
			r.rejects.add(s.name, in.line(), err.Error())
			t.done(t.add(), false)
		case err != nil:
			return fmt.Errorf("%s: %w", s.name, err)
		default:
			if err := l.add(ctx, item{rec, in.line(), t.add()}); err != nil {
				return err
			}
		}
		if n%flushRows == 0 {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
		if n%100 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.saveIfDue(s, t); err != nil {
				return err
			}
		}
	}
}

// add puts a record into the batch of its series' connection.
func (l *lanes) add(ctx context.Context, it item) error {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(*it.rec.MeasureName)
	for _, d := range it.rec.Dimensions {
		_ = h.WriteByte(0)
		_, _ = h.WriteString(*d.Name)
		_ = h.WriteByte('=')
		_, _ = h.WriteString(*d.Value)
	}
	i := int(h.Sum64() % uint64(len(l.out)))
	l.batch[i] = append(l.batch[i], it)
	if len(l.batch[i]) < maxBatch {
		return nil
	}
	return l.push(ctx, i)
}

func (l *lanes) push(ctx context.Context, i int) error {
	select {
	case l.out[i] <- l.batch[i]:
		l.batch[i] = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lanes) flush(ctx context.Context) error {
	for i := range l.batch {
		if len(l.batch[i]) > 0 {
			if err := l.push(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// write sends one batch. A request that the API refuses as a whole is halved until the record at fault
// is alone.
func (r *run) write(ctx context.Context, s *source, t *tracker, batch []item) error {
	var rejected *types.RejectedRecordsException
	var invalid *types.ValidationException
	err := r.request(ctx, batch)
	switch {
	case err == nil:
		for _, it := range batch {
			t.done(it.chunk, true)
		}
		return nil
	case errors.As(err, &rejected):
		return r.rejected(s, t, batch, rejected.RejectedRecords)
	case errors.As(err, &invalid) && len(batch) == 1:
		r.rejects.add(s.name, batch[0].line, invalid.ErrorMessage())
		t.done(batch[0].chunk, false)
		return nil
	case errors.As(err, &invalid):
		half := len(batch) / 2
		if err := r.write(ctx, s, t, batch[:half]); err != nil {
			return err
		}
		return r.write(ctx, s, t, batch[half:])
	}
	return fmt.Errorf("write %d records to %s.%s: %w", len(batch), r.o.Database, r.o.Table, err)
}

// sameSeries reports whether all records are of one series, which then needs to be said once. It looks at where the
// dimensions are: rows of one series that follow each other share them.
func sameSeries(batch []item) bool {
	first := &batch[0].rec
	for i := range batch {
		rec := &batch[i].rec
		if &rec.Dimensions[0] != &first.Dimensions[0] || *rec.MeasureName != *first.MeasureName {
			return false
		}
	}
	return true
}

func (r *run) request(ctx context.Context, batch []item) error {
	if r.o.Writer == nil {
		return ctx.Err()
	}
	in := &timestreamwrite.WriteRecordsInput{
		DatabaseName: aws.String(r.o.Database), TableName: aws.String(r.o.Table),
		CommonAttributes: &types.Record{TimeUnit: types.TimeUnitNanoseconds, Version: aws.Int64(max(r.o.Version, 1))},
		Records:          make([]types.Record, len(batch)),
	}
	common := sameSeries(batch)
	if common {
		in.CommonAttributes.Dimensions, in.CommonAttributes.MeasureName = batch[0].rec.Dimensions, batch[0].rec.MeasureName
	}
	for i, it := range batch {
		if in.Records[i] = it.rec; common {
			in.Records[i].Dimensions, in.Records[i].MeasureName = nil, nil
		}
	}
	out, err := r.o.Writer.WriteRecords(ctx, in)
	if err != nil {
		return err
	}
	if out.RecordsIngested == nil || int(out.RecordsIngested.Total) != len(batch) {
		return fmt.Errorf("the server answered a request of %d records with %+v ingested", len(batch), out.RecordsIngested)
	}
	return nil
}

// rejected counts a batch of which some records were refused; the others were written.
func (r *run) rejected(s *source, t *tracker, batch []item, list []types.RejectedRecord) error {
	reasons := map[int]string{}
	for _, x := range list {
		reason := aws.ToString(x.Reason)
		if x.ExistingVersion != nil {
			reason = strings.TrimSuffix(reason, ".") + fmt.Sprintf(" (existing version: %d).", *x.ExistingVersion)
		}
		if int(x.RecordIndex) >= len(batch) || x.RecordIndex < 0 {
			return fmt.Errorf("the server rejected record %d of %d", x.RecordIndex, len(batch))
		}
		reasons[int(x.RecordIndex)] = reason
	}
	for i, it := range batch {
		reason, bad := reasons[i]
		if bad {
			r.rejects.add(s.name, it.line, reason)
		}
		t.done(it.chunk, !bad)
	}
	return nil
}
