package embedded

import (
	"context"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Reads of segments in the remote store may take long. Those of a merge end with its context. A scan outlives the call that
// began it, and each call of Next has a context of its own: its reads are bound to one that ends as soon as a
// Next is cancelled, after which the scan is of no use, or when it is closed. Goroutines that read ahead end with it.

// reads is the context of a scan's reads; nil in a plan that is no scan's.
type reads struct {
	ctx  context.Context
	stop context.CancelFunc
}

// patience returns the context of the plan's reads, where ctx is that of the call.
func (p *plan) patience(ctx context.Context) context.Context {
	if p.reads == nil {
		return ctx
	}
	if p.reads.ctx == nil {
		p.reads.ctx, p.reads.stop = context.WithCancel(context.Background())
	}
	return p.reads.ctx
}

// end ends all reads.
func (r *reads) end() {
	if r.stop != nil {
		r.stop()
	}
}

// awayScanner is a scanner that reads from the remote store.
type awayScanner struct {
	storage.Scanner
	reads *reads
}

// away makes what a plan with segments in the remote store needs of its scanner.
func (p *plan) away(s storage.Scanner) storage.Scanner {
	if p.reads == nil || p.reads.ctx == nil {
		return s
	}
	away := &awayScanner{s, p.reads}
	if d, ok := s.(storage.Divided); ok {
		return &awayDivided{away, d}
	}
	return away
}

// Next implements [storage.Scanner].
func (s *awayScanner) Next(ctx context.Context) (*vec.Batch, error) {
	return s.reads.within(ctx, s.Scanner.Next)
}

// Close implements [storage.Scanner].
func (s *awayScanner) Close() {
	s.reads.end()
	s.Scanner.Close()
}

// within calls next and ends all reads if ctx is done before it returns.
func (r *reads) within(ctx context.Context, next func(context.Context) (*vec.Batch, error)) (*vec.Batch, error) {
	defer context.AfterFunc(ctx, r.stop)()
	b, err := next(ctx)
	if err != nil && ctx.Err() != nil {
		err = cancelled(ctx.Err())
	}
	return b, err
}

// awayDivided is an awayScanner that several goroutines can read together.
type awayDivided struct {
	*awayScanner
	divided storage.Divided
}

// Readers implements [storage.Divided].
func (s *awayDivided) Readers() int { return s.divided.Readers() }

// Divide implements [storage.Divided].
func (s *awayDivided) Divide(n int) []storage.Reader {
	readers := s.divided.Divide(n)
	for i, r := range readers {
		readers[i] = &awayReader{r, s.reads}
	}
	return readers
}

type awayReader struct {
	reader storage.Reader
	reads  *reads
}

// Next implements [storage.Reader].
func (r *awayReader) Next(ctx context.Context) (*vec.Batch, error) {
	return r.reads.within(ctx, r.reader.Next)
}
