package query

import (
	"container/list"
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/exec/spill"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/unload"
)

// Options configure a [Service]. Catalog, Functions and Clock are required, Render by who asks for pages.
type Options struct {
	Catalog   *catalog.Catalog
	Functions *fn.Registry
	Clock     *clock.Clock // now() and ago(); the times below run on the machine's clock
	Render    Render       // of the rows of pages

	Objects unload.Objects  // that UNLOAD writes to; nil refuses it
	Journal *unload.Journal // of UNLOADs; the service cleans it up. nil: none

	// Authorize is asked before a query runs, with the tables it reads; nil allows all. SHOW TABLES tells a
	// database alone, if it names one.
	Authorize func(ctx context.Context, caller string, action string, tables []plan.TableRef) error

	// AuthorizeObject is asked before an UNLOAD runs, with what it does ("s3:PutObject") to which objects, an
	// ARN that ends in *; nil allows all.
	AuthorizeObject func(ctx context.Context, caller, action, resource string) error

	// Observe is told of every query that ended, however it did; nil: nobody.
	Observe func(o Observation)

	Limits Limits // of results and UNLOAD

	// AllowDelete takes DELETE FROM; without it that is no statement, as on AWS.
	AllowDelete bool

	// SortUnloads has the rows of an UNLOAD with partitions sorted by them, so that one object is open at a
	// time: for stores where an open object costs memory.
	SortUnloads bool

	PageBytes        int64         // of JSON per page; default 1 MB (Query API)
	Patience         time.Duration // after which a call answers with an empty page; default 10 s
	UnloadPatience   time.Duration // the same for UNLOAD, whose callers may not ask again; default 50 s (clients wait 60 s, Query API)
	TimeLimit        time.Duration // of one query, pages included; default 1 h (Timestream quotas)
	RetainFor        time.Duration // a result that nobody reads, or a page kept for a retry; default 1 h (Query API)
	Grace            time.Duration // a query goes on after its last caller has left; default 1 min
	MemoryLimitBytes int64         // of one query's operators; default 1 GiB
	TotalMemoryBytes int64         // of all queries' operators; default 2 GiB
	Spill            *spill.Space  // where operators put what exceeds these; nil: the query fails
	RetainBytes      int64         // of pages kept for retries or made ahead, all queries; default 64 MiB
	MaxOpen          int           // results with pages left; default 1000
	Parallel         int           // pages being made at once; default 16 per processor
	History          int           // queries that ended and are remembered; default 1000
	HistoryBytes     int64         // of their texts; default 8 MiB
	SlowQuery        time.Duration // a query that is busy for so long is logged as Info, others as Debug; default 10 s
	Log              *slog.Logger  // nil: discard

	// DisabledRules are names of optimizer rules that are not applied.
	DisabledRules []string
}

func (o Options) withDefaults() Options {
	def(&o.PageBytes, 1_000_000)
	def(&o.Patience, 10*time.Second)
	def(&o.UnloadPatience, 50*time.Second)
	o.Limits = o.Limits.withDefaults()
	def(&o.TimeLimit, time.Hour)
	def(&o.RetainFor, time.Hour)
	def(&o.Grace, time.Minute)
	def(&o.MemoryLimitBytes, 1<<30)
	def(&o.TotalMemoryBytes, 2<<30)
	def(&o.RetainBytes, 64<<20)
	def(&o.MaxOpen, 1000)
	def(&o.History, 1000)
	def(&o.HistoryBytes, 8<<20)
	def(&o.SlowQuery, 10*time.Second)
	def(&o.Parallel, 16*runtime.GOMAXPROCS(0))
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

// Service answers queries. It is safe for concurrent use.
type Service struct {
	opts     Options
	disabled map[string]bool
	slots    chan struct{} // one is held while a page is made
	memory   *exec.Budget  // of all queries
	unloads  rate
	tokens   *clientTokens
	history  *history

	mu        sync.Mutex // guards the fields below, and those of results that say so
	results   map[string]*result
	clients   map[clientKey]*result // whose first page may be asked for again
	open      int                   // results that have not ended
	kept      *list.List            // of *result that hold a page or an ending, least recently used first
	keptBytes int64                 // of their pages, and of rows left of pages that were cut anew
	ahead     int                   // pages made, or in the making, that nobody has asked for yet
	closed    bool

	cancel context.CancelFunc // ends the cleaning up
	wg     sync.WaitGroup     // that, calls of Query, and pages being made
}

// clientKey makes a first call idempotent (Query API, ClientToken).
type clientKey struct{ caller, token string }

// New returns a Service. The caller must Close it.
func New(o Options) *Service {
	o = o.withDefaults()
	s := &Service{
		opts:     o,
		disabled: map[string]bool{},
		slots:    make(chan struct{}, o.Parallel),
		memory:   &exec.Budget{LimitBytes: o.TotalMemoryBytes, Setting: "--memory-limit"},
		tokens:   newClientTokens(),
		history:  newHistory(o.History, o.HistoryBytes),
		results:  map[string]*result{},
		clients:  map[clientKey]*result{},
		kept:     list.New(),
	}
	for _, name := range o.DisabledRules {
		s.disabled[name] = true
	}
	var ctx context.Context
	if ctx, s.cancel = context.WithCancel(context.Background()); o.Journal != nil {
		s.wg.Go(func() { o.Journal.Clean(ctx) })
	}
	return s
}

// Close ends the queries that are open and waits until nothing runs.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	var open []*result
	for _, r := range s.results {
		open = append(open, r)
	}
	s.mu.Unlock()
	s.cancel()
	for _, r := range open {
		s.stop(r, errClosed)
	}
	s.wg.Wait()
}

var (
	errClosed    = fault.New(fault.Unavailable, "The server is shutting down.")
	errToken     = fault.New(fault.Invalid, "Invalid pagination token")
	errCancelled = fault.New(fault.Cancelled, "Unable to poll results for a cancelled query.")
	errLeft      = fault.New(fault.Cancelled, "The caller left before the answer was ready.")
)

// Query starts a query and returns its first page, or returns a following page. A page
// that is not ready within Options.Patience is answered by an empty one, unless rows were
// handed out before (clients.md, R8).
//
// Errors: fault.Invalid for what is wrong with the request or the statement (an unknown
// table is a mistake in the statement), fault.Denied, fault.Execution for what goes
// wrong while running, fault.Cancelled after Cancel, fault.Throttled when too many
// results are open. If ctx ends before the first page, the query ends too; a later
// page is finished and kept for a retry.
func (s *Service) Query(ctx context.Context, req Request) (*Page, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()

	r, number, err := s.find(ctx, &req)
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, r, number, req.MaxRows)
}

// find returns the result and the number of the page that a request asks for, and
// starts a query if the request does.
func (s *Service) find(ctx context.Context, req *Request) (r *result, number int, err error) {
	if req.NextToken == "" {
		if err := s.tokens.use(req); err != nil {
			return nil, 0, err
		}
		if r, err = s.again(req); r == nil && err == nil {
			r, err = s.start(ctx, req)
		}
		return r, 1, err
	}
	id, number, ok := parseToken(req.NextToken)
	if !ok {
		return nil, 0, errToken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r = s.results[id]
	if r == nil || r.caller != req.Caller || req.SQL != "" && req.SQL != r.sql {
		return nil, 0, errToken
	}
	return r, number, nil
}

// again returns the result that an earlier call with the same ClientToken started, if
// its first page can still be had. Otherwise the query runs again, which does no harm.
func (s *Service) again(req *Request) (*result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.againLocked(req)
}

func (s *Service) againLocked(req *Request) (*result, error) {
	if req.ClientToken == "" {
		return nil, nil
	}
	r := s.clients[clientKey{req.Caller, req.ClientToken}]
	switch {
	case r == nil || r.sql != req.SQL || r.maxRows != req.MaxRows || r.insights != req.Insights: // none, or one long ago
		return nil, nil
	case r.number == 0 || r.number == 1 && r.page != nil:
		return r, nil
	}
	return nil, nil
}

// Cancel ends a query and returns the sentence for the caller; cancelling again is not
// an error. The error is of kind fault.Invalid for a query that has ended or was never
// there (clients.md, P10). What runs stops soon after Cancel has returned.
func (s *Service) Cancel(_ context.Context, caller, id string) (message string, err error) {
	s.mu.Lock()
	r := s.results[id]
	switch {
	case r == nil || r.caller != caller:
		s.mu.Unlock()
		return "", fault.New(fault.Invalid, "The query %s does not exist or has ended.", id)
	case r.failed == errCancelled:
		s.mu.Unlock()
		return "The query " + id + " was cancelled already.", nil
	case r.ended:
		s.mu.Unlock()
		return "", fault.New(fault.Invalid, "The query %s has ended and cannot be cancelled.", id)
	}
	o := s.endLocked(r, errCancelled)
	s.mu.Unlock()
	s.observe(&r.account, o)
	return "The query " + id + " is being cancelled.", nil
}

// stop ends a query for a cause that is not its caller's wish, if it has not ended.
func (s *Service) stop(r *result, cause error) {
	s.mu.Lock()
	if r.ended {
		s.mu.Unlock()
		return
	}
	o := s.endLocked(r, cause)
	s.mu.Unlock()
	s.observe(&r.account, o)
}
