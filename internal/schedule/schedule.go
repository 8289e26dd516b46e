package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
)

// Documents keeps the queries, JSON texts by key: a meta.Bucket.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Reports takes error reports.
type Reports interface {
	// Put stores an object durably; a bucket that does not exist is an error.
	Put(ctx context.Context, bucket, key string, body []byte) error
}

// Notifier takes notifications.
type Notifier interface {
	// Publish hands a message with string attributes to a topic. It does not wait for
	// the topic's subscribers.
	Publish(ctx context.Context, topicARN string, body []byte, attributes map[string]string) error
}

// Options configure a Service. Catalog, Queries and Ingest are required.
type Options struct {
	Catalog   *catalog.Catalog
	Queries   *query.Service
	Ingest    *ingest.Service
	Documents Documents    // nil: nothing is kept, for tests
	Clock     *clock.Clock // nil: the machine's
	Region    string       // in ARNs; "us-east-1"
	AccountID string       // in ARNs; "000000000000"

	Reports Reports  // nil: reports cannot be written, and failures say so
	Notify  Notifier // nil: nobody is told

	// AssumeRole returns the ARN that a role's queries run as; its error disables
	// the query. nil: the role's own ARN, for any role.
	AssumeRole func(ctx context.Context, roleARN string) (string, error)

	// Authorize says whether a role may do action ("timestream:WriteRecords") to a resource, by ARN. Its
	// error about the target disables the query, about a notification or a report ("sns:Publish", "s3:PutObject") it
	// keeps that from being sent. nil allows everything.
	Authorize func(roleARN, action, resource string) error

	// Watch is told of every write, by whoever writes; nil: late data is not noticed.
	Watch *Watch

	// Observe is told of every run that ended, as its worker goes on; nil: nobody.
	Observe func(q *Query, r *Run)

	MaxQueries int           // quota; 10000
	MaxPending int           // runs that one query can wait for; 1000
	Parallel   int           // runs at one time; 4
	SaveAfter  time.Duration // how long the end of a run may be in memory only, on the machine's clock; 1 s
	RetryAfter time.Duration // before work that was refused for now is tried again, on the machine's clock; 200 ms
	Log        *slog.Logger  // nil: discard
}

func (o Options) withDefaults() Options {
	def(&o.Region, "us-east-1")
	def(&o.AccountID, "000000000000")
	def(&o.MaxQueries, 10_000)
	def(&o.MaxPending, 1000)
	def(&o.Parallel, 4)
	def(&o.SaveAfter, time.Second)
	def(&o.RetryAfter, 200*time.Millisecond)
	if o.Clock == nil {
		o.Clock = clock.New()
	}
	if o.Watch == nil {
		o.Watch = &Watch{}
	}
	if o.Observe == nil {
		o.Observe = func(*Query, *Run) {}
	}
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

// Service holds the scheduled queries and runs them. See [Open].
type Service struct {
	opts   Options
	slots  chan struct{} // one is held by each run
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // the loops and the workers

	changing sync.Mutex          // held across a change's write to disk; taken before mu
	unsaved  map[*entry]struct{} // whose document is not on disk; guarded by changing
	dirty    chan struct{}       // holds a value while unsaved has some that saveLoop does not know of

	mu      sync.Mutex // guards the fields below and those of entries
	byARN   map[string]*entry
	byName  map[string]*entry
	wake    context.CancelFunc // ends the loop's wait
	changed chan struct{}      // closed and replaced when a run ends
}

// entry is a query in the service.
type entry struct {
	doc     *document // replaced, never modified
	when    *expression
	late    *lateWatch // nil: late data does not matter to it
	working bool       // a worker runs or is about to run what is due
	removed bool
	ctx     context.Context // of the runs; ends with the query's deletion
	cancel  context.CancelFunc
}

// Open returns a Service with the queries that its documents hold and begins to run
// them; see the package comment for what came due meanwhile. A document that
// is no scheduled query is damage (fault.Corrupt).
func Open(o Options) (*Service, error) {
	o = o.withDefaults()
	s := &Service{
		opts: o, slots: make(chan struct{}, o.Parallel), byARN: map[string]*entry{}, byName: map[string]*entry{}, changed: make(chan struct{}),
		unsaved: map[*entry]struct{}{}, dirty: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if o.Documents != nil {
		if err := o.Documents.Each(s.load); err != nil {
			return nil, err
		}
	}
	s.rewatchLocked(slices.Collect(maps.Values(s.byARN))...)
	s.wg.Go(s.loop)
	s.wg.Go(s.saveLoop)
	return s, nil
}

func (s *Service) load(key string, text []byte) error {
	var doc document
	err := json.Unmarshal(text, &doc)
	if err == nil && idOf(doc.ARN) != key {
		err = fmt.Errorf("it is about %q", doc.ARN)
	}
	var when *expression
	if err == nil {
		when, err = parseExpression(doc.Expression)
	}
	if err != nil {
		return fault.Wrap(fault.Corrupt, err, "the document %q of a scheduled query cannot be read", key)
	}
	if now := s.opts.Clock.Now(); doc.Enabled && !doc.Next.IsZero() && !doc.Next.After(now) {
		// It may have begun, and written with this trigger time or an earlier one.
		doc.take(doc.Next)
		doc.Next = when.next(now, doc.Created)
		doc.LastTrigger = latest(doc.LastTrigger, now)
	}
	doc.LastTrigger = latest(doc.LastTrigger, doc.Reserved)
	s.addLocked(&doc, when)
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *Service) addLocked(doc *document, when *expression) *entry {
	e := &entry{doc: doc, when: when}
	e.ctx, e.cancel = context.WithCancel(s.ctx)
	s.byARN[doc.ARN], s.byName[doc.Name] = e, e
	return e
}

// Close stops. Runs that are going on are cut short, and run again after the next Open.
func (s *Service) Close() {
	s.cancel()
	s.wg.Wait()
	s.saveRuns()
}

// save makes documents durable, all at once; the caller holds changing.
func (s *Service) save(docs ...*document) error {
	if s.opts.Documents == nil {
		return nil
	}
	changes := map[string][]byte{}
	for _, doc := range docs {
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		changes[idOf(doc.ARN)] = text
	}
	return s.opts.Documents.Apply(changes)
}

// saveLater has saveLoop save a query. The caller holds changing.
func (s *Service) saveLater(e *entry) {
	s.unsaved[e] = struct{}{}
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// saveLoop saves the runs that ended, those of all queries within SaveAfter together. Open starts it; it
// ends with the service's context, and Close saves what is left.
func (s *Service) saveLoop() {
	for {
		select {
		case <-s.dirty:
		case <-s.ctx.Done():
			return
		}
		if !pause(s.ctx, s.opts.SaveAfter) {
			return
		}
		s.saveRuns()
	}
}

func (s *Service) saveRuns() {
	s.changing.Lock()
	defer s.changing.Unlock()
	var docs []*document
	for e := range s.unsaved {
		docs = append(docs, e.doc) // only holders of changing replace it
	}
	if len(docs) == 0 {
		return
	}
	if err := s.save(docs...); err != nil {
		// The schedules go on in memory; what the disk says leads to runs too many.
		s.opts.Log.Error("scheduled queries: runs not saved", "queries", len(docs), "err", err)
		if s.ctx.Err() == nil {
			select {
			case s.dirty <- struct{}{}:
			default:
			}
		}
		return
	}
	clear(s.unsaved)
}

// assume returns whom a role's queries run as.
func (s *Service) assume(ctx context.Context, role string) (string, error) {
	if s.opts.AssumeRole == nil {
		return role, nil
	}
	return s.opts.AssumeRole(ctx, role)
}

// may asks whether a query's role may do action to a resource.
func (s *Service) may(role, action, resource string) error {
	if s.opts.Authorize == nil {
		return nil
	}
	return s.opts.Authorize(role, action, resource)
}

// mayWrite asks whether a query's role may write to its target.
func (s *Service) mayWrite(role string, target *Target) error {
	if target == nil {
		return nil
	}
	return s.may(role, "timestream:WriteRecords", arn.Table(s.opts.Region, s.opts.AccountID, target.Database, target.Table))
}

// Query returns the query of that ARN; the error is fault.NotFound.
func (s *Service) Query(arn string) (*Query, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byARN[arn]; e != nil {
		return &e.doc.Query, nil
	}
	return nil, notFound(arn)
}

func notFound(arn string) error {
	return fault.New(fault.NotFound, "The scheduled query %s does not exist.", arn)
}

// Is reports whether an ARN names a scheduled query, one that exists or not.
func Is(arnText string) bool {
	a, err := arn.Parse(arnText)
	return err == nil && a.Service == "timestream" && idOf(arnText) != ""
}

// Queries returns up to max queries whose names follow after, in order of their names, and
// whether there are more.
func (s *Service) Queries(after string, max int) (list []*Query, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.byName))
	at, found := slices.BinarySearch(names, after)
	if found {
		at++
	}
	for _, name := range names[at:] {
		if len(list) == max {
			return list, true
		}
		list = append(list, &s.byName[name].doc.Query)
	}
	return list, false
}
