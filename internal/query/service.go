package query

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
)

// Options configure a [Service]. Catalog, Functions and Clock are required.
type Options struct {
	Catalog   *catalog.Catalog
	Functions *fn.Registry
	Clock     *clock.Clock // now() and ago(); time limits run on the machine's clock

	// Authorize is asked before a query runs, with the tables it reads; nil allows all.
	Authorize func(ctx context.Context, caller string, action string, tables []plan.TableRef) error

	// Observe is told of every query that ended, however it did; nil: nobody.
	Observe func(o Observation)

	PageBytes        int64         // of JSON per page; default 1 MB (Query API)
	TimeLimit        time.Duration // of one query, pages included; default 1 h
	MemoryLimitBytes int64         // of one query's operators; default 1 GiB
	RetainBytes      int64         // of pages kept for retries, all queries; default 64 MiB
	RetainFor        time.Duration // an open result or a page kept for a retry; default 1 h
	MaxOpen          int           // results with pages left; default 1000
	Parallel         int           // pages being made at once; default four per processor
	Log              *slog.Logger  // nil: discard

	// DisabledRules are names of optimizer rules that are not applied.
	DisabledRules []string
}

func (o Options) withDefaults() Options {
	def(&o.PageBytes, 1_000_000)
	def(&o.TimeLimit, time.Hour)
	def(&o.MemoryLimitBytes, 1<<30)
	def(&o.RetainBytes, 64<<20)
	def(&o.RetainFor, time.Hour)
	def(&o.MaxOpen, 1000)
	def(&o.Parallel, 4*runtime.GOMAXPROCS(0))
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Observation is what one query came to, for accounting and metrics.
type Observation struct {
	QueryID      string
	SQL          string
	Caller       string
	Tables       []plan.TableRef
	Rows         int64
	BytesScanned int64
	BytesMetered int64
	Duration     time.Duration
	Err          error
}

// Service answers queries. It is safe for concurrent use.
type Service struct {
	opts     Options
	disabled map[string]bool
	slots    chan struct{} // one is held while a page is made

	mu       sync.Mutex // guards the fields below; taken after a result's mu, never before
	results  map[string]*result
	clients  map[string]*clientToken
	retained int64 // bytes of the pages of all results
	swept    time.Time
	closed   bool

	wg sync.WaitGroup // callers inside Query
}

// clientToken makes a first call idempotent (Query API, ClientToken).
type clientToken struct {
	id      string // of the result
	sql     string
	maxRows int
	caller  string
	made    time.Time
}

// New returns a Service.
func New(o Options) *Service {
	o = o.withDefaults()
	return &Service{
		opts:     o,
		disabled: setOf(o.DisabledRules),
		slots:    make(chan struct{}, o.Parallel),
		results:  map[string]*result{},
		clients:  map[string]*clientToken{},
	}
}

// Close cancels the queries that are open and waits for the calls in flight.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	for _, r := range s.results {
		r.cancel(errClosed)
	}
	s.mu.Unlock()
	s.wg.Wait()
	for _, r := range s.results {
		r.mu.Lock()
		r.close()
		r.mu.Unlock()
	}
}

var errClosed = fault.New(fault.Unavailable, "The server is shutting down.")

// Query starts a query and returns its first page, or returns a following page.
//
// Errors: fault.Invalid for what is wrong with the request or the statement,
// fault.NotFound never (an unknown table is a mistake in the statement),
// fault.Execution for what goes wrong while running, fault.Cancelled after Cancel,
// fault.Throttled when too many results are open. If ctx ends while the first page is made
// the query ends too; later pages are finished and kept for the retry.
func (s *Service) Query(ctx context.Context, req Request) (*Page, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()

	if req.NextToken != "" {
		return s.following(ctx, &req)
	}
	return s.first(ctx, &req)
}

func (s *Service) first(ctx context.Context, req *Request) (*Page, error) {
	if page, err := s.replay(req); page != nil || err != nil {
		return page, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	began := time.Now()
	r, err := s.start(ctx, req)
	if err != nil {
		s.observe(Observation{SQL: req.SQL, Caller: req.Caller, Duration: time.Since(began), Err: err})
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { r.cancel(fault.Wrap(fault.Cancelled, ctx.Err(), "The caller left.")) })
	r.mu.Lock()
	page, err := r.makePage(req.MaxRows, s.opts.PageBytes)
	if err == nil && req.Insights {
		page.Insights = r.insights()
	}
	o := r.observation(err, time.Since(began))
	r.mu.Unlock()
	stop()
	s.settle(r, req, page, o)
	return page, err
}

// replay returns the first page of an earlier call with the same ClientToken.
func (s *Service) replay(req *Request) (*Page, error) {
	if req.ClientToken == "" {
		return nil, nil
	}
	s.mu.Lock()
	c := s.clients[req.ClientToken]
	if c == nil || time.Since(c.made) > 4*time.Hour {
		s.mu.Unlock()
		return nil, nil
	}
	if c.sql != req.SQL || c.maxRows != req.MaxRows || c.caller != req.Caller {
		s.mu.Unlock()
		return nil, fault.New(fault.Invalid, "The ClientToken was used before with other parameters.")
	}
	r := s.results[c.id]
	s.mu.Unlock()
	if r == nil {
		return nil, nil // forgotten: run again, which reads only
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number != 1 {
		return nil, nil
	}
	return r.page, r.failed
}

func (s *Service) following(ctx context.Context, req *Request) (*Page, error) {
	id, number, err := parseToken(req.NextToken)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	r := s.results[id]
	s.mu.Unlock()
	if r == nil || r.caller != req.Caller || req.SQL != "" && req.SQL != r.sql {
		return nil, errToken
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	began := time.Now()
	r.mu.Lock()
	var page *Page
	fresh := false
	switch {
	case r.failed != nil:
		err = r.failed
	case number == r.number && r.page != nil:
		page = r.page // a retry
	case number == r.number+1 && (r.src != nil || r.ahead != nil):
		page, err = r.makePage(req.MaxRows, s.opts.PageBytes)
		fresh = true
	default:
		err = errToken
	}
	o := r.observation(err, time.Since(began))
	r.mu.Unlock()
	if fresh {
		s.settle(r, req, page, o)
	}
	return page, err
}

// enter waits for a slot to make a page in.
func (s *Service) enter(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Throttled, ctx.Err(), "Too many queries are running; none ended in time.")
	}
}

func (s *Service) leave() { <-s.slots }

// settle keeps a fresh page for retries, within the budget, and tells the observer
// when the query has ended.
func (s *Service) settle(r *result, req *Request, page *Page, o Observation) {
	ended := o.Err != nil || page.NextToken == ""
	s.mu.Lock()
	now := time.Now()
	r.touched = now
	r.done = ended
	switch {
	case o.Err != nil && !r.cancelled:
		s.forgetLocked(r)
	case s.results[r.id] == r:
		s.retained -= r.bytes
		r.bytes = pageSize(page)
		s.retained += r.bytes
		if req.NextToken == "" && req.ClientToken != "" && page != nil {
			s.clients[req.ClientToken] = &clientToken{r.id, req.SQL, req.MaxRows, req.Caller, now}
		}
	}
	s.evictLocked(now)
	s.mu.Unlock()
	if ended {
		s.observe(o)
	}
}

func (s *Service) observe(o Observation) {
	if s.opts.Observe != nil {
		s.opts.Observe(o)
	}
}

// pageSize estimates what a kept page holds in memory: the metadata, and text as JSON.
func pageSize(p *Page) int64 {
	if p == nil {
		return 0
	}
	size := int64(1 << 10)
	for _, b := range p.Batches {
		_, bytes := fitRows(b, b.Len, 1<<62)
		size += bytes
	}
	return size
}

// evictLocked forgets results that are too old, and the oldest kept pages of ended
// queries while the budget is exceeded.
func (s *Service) evictLocked(now time.Time) {
	crowded := s.retained > s.opts.RetainBytes || len(s.results) > 2*s.opts.MaxOpen
	if !crowded && now.Sub(s.swept) < time.Second {
		return // not worth a walk at every call
	}
	s.swept = now
	for _, r := range s.results {
		if now.Sub(r.touched) > s.opts.RetainFor {
			r.cancel(errToken)
			s.forgetLocked(r)
		}
	}
	for s.retained > s.opts.RetainBytes || len(s.results) > 2*s.opts.MaxOpen {
		var oldest *result
		for _, r := range s.results {
			if r.done && (oldest == nil || r.touched.Before(oldest.touched)) {
				oldest = r
			}
		}
		if oldest == nil {
			return // only open results are left; MaxOpen bounds them
		}
		s.forgetLocked(oldest)
	}
	for token, c := range s.clients {
		if _, kept := s.results[c.id]; !kept {
			delete(s.clients, token)
		}
	}
}

func (s *Service) forgetLocked(r *result) {
	if s.results[r.id] == r {
		delete(s.results, r.id)
		s.retained -= r.bytes
		r.bytes = 0
	}
}

// Cancel ends a query and returns the sentence for the caller; cancelling again is not
// an error. The error is of kind fault.Invalid for a query that has ended or was never
// there (clients.md, P10).
func (s *Service) Cancel(_ context.Context, caller, id string) (message string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.results[id]
	switch {
	case r == nil || r.caller != caller:
		return "", fault.New(fault.Invalid, "The query %s does not exist or has ended.", id)
	case r.cancelled:
		return "The query " + id + " was cancelled already.", nil
	case r.done:
		return "", fault.New(fault.Invalid, "The query %s has ended and cannot be cancelled.", id)
	}
	r.cancelled, r.done = true, true
	r.cancel(errCancelled)
	// Whoever makes a page now stops by itself; nobody else reads the source again.
	go func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failed == nil {
			r.fail(errCancelled)
		}
	}()
	return "The query " + id + " is being cancelled.", nil
}

var errCancelled = fault.New(fault.Cancelled, "Unable to poll results for a cancelled query.")

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}
