package batchload

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/ingest"
)

// Writer stores records; *ingest.Service is one. Its limit of records per request should
// be at least [Options.BatchRecords].
type Writer interface {
	Write(ctx context.Context, req *ingest.Request) (ingest.Result, error)
}

// Documents keeps the tasks, JSON texts by id.
type Documents interface {
	// Each calls f for every document, in any order. f may keep doc.
	Each(f func(key string, doc []byte) error) error
	// Apply makes all changes durable or none; a nil document deletes its key.
	Apply(changes map[string][]byte) error
}

// Object is an object of a bucket.
type Object struct {
	Key       string
	SizeBytes int64
}

// Objects is the buckets that tasks read from and report to.
type Objects interface {
	// List returns the first objects whose keys begin with prefix, up to most, in the order of keys.
	List(ctx context.Context, bucket, prefix string, most int) ([]Object, error)
	// Open opens an object from offset on.
	Open(ctx context.Context, bucket, key string, offset int64) (io.ReadCloser, error)
	// Put makes an object durable.
	Put(ctx context.Context, bucket, key string, body []byte) error
}

// Options of a service. Documents, Objects, Writer and Catalog are required.
type Options struct {
	Documents Documents
	Objects   Objects
	Writer    Writer
	Catalog   *catalog.Catalog
	Clock     *clock.Clock // nil: the machine's

	ActiveTasks    int   // at once; default 10 (Timestream quotas)
	TasksPerTable  int   // active, of one table; default 5
	FilesPerTask   int   // default 100
	FileBytes      int64 // of one file; default 5 GB
	BatchRecords   int   // written at once; default 1000
	KeepFinished   int   // tasks remembered after their end; default 1000
	SaveEveryBytes int64 // read between two saved places; default 8 MiB

	Log *slog.Logger // nil: discard
}

func (o Options) withDefaults() Options {
	def(&o.ActiveTasks, 10)
	def(&o.TasksPerTable, 5)
	def(&o.FilesPerTask, 100)
	def(&o.FileBytes, 5_000_000_000)
	def(&o.BatchRecords, 1000)
	def(&o.KeepFinished, 1000)
	def(&o.SaveEveryBytes, 8<<20)
	if o.Clock == nil {
		o.Clock = clock.New()
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

// resumable is how long a stopped task can be resumed.
const resumable = 24 * time.Hour

// Service runs batch load tasks. See the package comment.
type Service struct {
	opts Options

	mu      sync.Mutex       // guards the fields below
	tasks   map[string]*Task // replaced, never modified
	closing bool

	ctx  context.Context // of the runs; ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Open reads the tasks and goes on with those that a shutdown interrupted.
func Open(o Options) (*Service, error) {
	s := &Service{opts: o.withDefaults(), tasks: map[string]*Task{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	err := s.opts.Documents.Each(func(id string, doc []byte) error {
		t := new(Task)
		if err := json.Unmarshal(doc, t); err != nil {
			return fault.Wrap(fault.Corrupt, err, "The batch load task %s cannot be read.", id)
		}
		s.tasks[id] = t
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, t := range s.tasks {
		if t.Status.active() {
			s.wg.Go(func() { s.run(id) })
		}
	}
	return s, nil
}

// Close ends the runs, each with its place saved, and waits for them.
func (s *Service) Close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.stop()
	s.wg.Wait()
}

// Create begins a task and returns its id. A ClientToken that was used before for the same
// task gives that task's id. Errors: fault.NotFound without the table, fault.Conflict for a
// token used for another task, fault.Quota, fault.Invalid.
func (s *Service) Create(c Config, token string) (id string, err error) {
	if err := s.check(&c); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return "", fault.New(fault.Unavailable, "The server is shutting down.")
	}
	active, ofTable := 0, 0
	for _, t := range s.tasks {
		if token != "" && t.Token == token {
			if !reflect.DeepEqual(t.Config, c) {
				return "", fault.New(fault.Conflict, "The ClientToken was used before for another task.")
			}
			return t.ID, nil
		}
		if t.Status.active() {
			active++
			if t.Config.Database == c.Database && t.Config.Table == c.Table {
				ofTable++
			}
		}
	}
	if active >= s.opts.ActiveTasks || ofTable >= s.opts.TasksPerTable {
		return "", fault.New(fault.Quota, "At most %d batch load tasks may be active, %d of one table.", s.opts.ActiveTasks, s.opts.TasksPerTable)
	}
	now := s.opts.Clock.Now()
	t := &Task{ID: newID(), Config: c, Token: token, Status: Created, Created: now, Updated: now}
	if err := s.saveLocked(t); err != nil {
		return "", err
	}
	s.forgetLocked()
	s.wg.Go(func() { s.run(t.ID) })
	return t.ID, nil
}

// check refuses what can be seen to fail.
func (s *Service) check(c *Config) error {
	table, err := s.opts.Catalog.Table(c.Database, c.Table)
	if err != nil {
		return err
	}
	if (c.Model == nil) == (c.ModelAt == nil) {
		return fault.New(fault.Invalid, "A batch load task needs a data model, either inline or in a bucket.")
	}
	if err := c.CSV.check(); err != nil {
		return err
	}
	if c.Report.Encryption == "SSE_KMS" && c.Report.KMSKeyID == "" {
		return fault.New(fault.Invalid, "The report's EncryptionOption SSE_KMS needs a KmsKeyId.")
	}
	if c.Model == nil {
		return nil
	}
	if err := c.Model.check(); err != nil {
		return err
	}
	return requireKey(table, c.Model)
}

// requireKey refuses a model that leaves out a partition key that every record must have.
func requireKey(t *catalog.Table, m *Model) error {
	want := t.Policy().RequiredDimension
	if want == "" || slices.ContainsFunc(m.DimensionMappings, func(d DimensionMapping) bool { return or(d.DestinationColumn, d.SourceColumn) == want }) {
		return nil
	}
	return fault.New(fault.Invalid, "The table requires the dimension %s, which the data model does not map.", want)
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("%X", b)
}

// Task returns a task as it is now. The error is fault.NotFound.
func (s *Service) Task(id string) (Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil {
		return *t, nil
	}
	return Task{}, fault.New(fault.NotFound, "The batch load task %s does not exist.", id)
}

// Tasks returns up to max tasks in this status ("" for any) whose ids follow after, newest
// first, and whether there are more.
func (s *Service) Tasks(status Status, after string, max int) (list []Task, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.SortedFunc(maps.Values(s.tasks), func(a, b *Task) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if after != "" {
		i := slices.IndexFunc(all, func(t *Task) bool { return t.ID == after })
		all = all[i+1:]
	}
	for _, t := range all {
		if status != "" && t.Status != status {
			continue
		}
		if len(list) == max {
			return list, true
		}
		list = append(list, *t)
	}
	return list, false
}

// Resume goes on with a stopped task. Errors: fault.NotFound; fault.Invalid in any other
// status, or too late.
func (s *Service) Resume(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.tasks[id]
	switch {
	case old == nil:
		return fault.New(fault.NotFound, "The batch load task %s does not exist.", id)
	case old.Status != Stopped:
		return fault.New(fault.Invalid, "The batch load task %s has the status %s; only one in PROGRESS_STOPPED can be resumed.", id, old.Status)
	case s.opts.Clock.Now().After(old.ResumableUntil):
		return fault.New(fault.Invalid, "The batch load task %s could be resumed until %s.", id, old.ResumableUntil.Format(time.RFC3339))
	case s.closing:
		return fault.New(fault.Unavailable, "The server is shutting down.")
	}
	t := *old
	t.Status, t.Error, t.ResumableUntil = PendingResume, "", time.Time{}
	if err := s.saveLocked(&t); err != nil {
		return err
	}
	s.wg.Go(func() { s.run(id) })
	return nil
}

func (s *Service) saveLocked(t *Task) error {
	t.Updated = s.opts.Clock.Now()
	doc, err := json.Marshal(t)
	if err != nil {
		panic("bug: " + err.Error())
	}
	if err := s.opts.Documents.Apply(map[string][]byte{t.ID: doc}); err != nil {
		return err
	}
	s.tasks[t.ID] = t
	return nil
}

// forgetLocked drops the oldest finished tasks beyond those kept.
func (s *Service) forgetLocked() {
	var finished []*Task
	for _, t := range s.tasks {
		if t.Status == Succeeded || t.Status == Failed {
			finished = append(finished, t)
		}
	}
	if len(finished) <= s.opts.KeepFinished {
		return
	}
	slices.SortFunc(finished, func(a, b *Task) int { return a.Updated.Compare(b.Updated) })
	gone := map[string][]byte{}
	for _, t := range finished[:len(finished)-s.opts.KeepFinished] {
		gone[t.ID] = nil
	}
	if err := s.opts.Documents.Apply(gone); err != nil {
		s.opts.Log.Warn("old batch load tasks not forgotten", "err", err)
		return
	}
	for id := range gone {
		delete(s.tasks, id)
	}
}
