package schedule

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// LateDataTag is the key of the tag that makes a query run an invocation again once rows came
// into the window of time that the invocation reads, after it ran: with the next scheduled
// run, so that many late rows cost one run. Its value says how old an invocation may be for that: a
// number with m, h or d, such as 7d. It is an addition of ours; AWS takes the tag and ignores it.
const LateDataTag = "weir:rerun-late-data"

// maxWindows bounds the invocations of a query that are watched, the latest ones.
const maxWindows = 1000

// Watch notices rows that runs of scheduled queries have missed. Whatever writes tells it, from
// before its Service is open on. The zero value is ready to use; it is safe for concurrent use.
type Watch struct {
	tables atomic.Pointer[map[plan.TableRef][]*lateWatch] // replaced, never modified
}

// Observe takes note of a write, as ingest.Options.Observe. When it returns, what has to run again
// is on disk: a writer whose records are acknowledged can rely on it.
func (w *Watch) Observe(o *ingest.Observation) {
	tables := w.tables.Load()
	if tables == nil || o.Result.Total == 0 {
		return
	}
	table := plan.TableRef{Database: o.Table.ID.Database, Table: o.Table.ID.Table}
	for _, l := range (*tables)[table] {
		l.observe(table, o.Rows, o.Rejections)
	}
}

// lateWatch is the windows of one query.
type lateWatch struct {
	service *Service
	arn     string
	back    time.Duration
	tables  []plan.TableRef

	edge atomic.Int64 // ns: rows from here on are in no window; math.MaxInt64 before windows are known

	mu      sync.Mutex // guards the fields below; taken before Service.mu
	windows []window   // of invocations up to the latest one, in order
	known   time.Time  // windows has every invocation up to this one
}

// window is what an invocation reads.
type window struct {
	invocation time.Time
	ranges     []query.Range
}

func parseLookback(text string) (time.Duration, error) {
	units := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if n := len(text) - 1; n > 0 && units[text[n]] > 0 {
		count, err := strconv.ParseUint(text[:n], 10, 32)
		if d := time.Duration(count) * units[text[n]]; err == nil && d > 0 && d <= 366*24*time.Hour {
			return d, nil
		}
	}
	return 0, invalid("The value '%s' of the tag %s is not valid: it must be a number with m, h or d, at most 366d.", text, LateDataTag)
}

// lateWatch returns the watch that the tags of q ask for; nil if they ask for none. Errors are of kind
// fault.Invalid.
func (s *Service) lateWatch(q *Query) (*lateWatch, error) {
	i := slices.IndexFunc(q.Tags, func(t catalog.Tag) bool { return t.Key == LateDataTag })
	if i < 0 {
		return nil, nil
	}
	back, err := parseLookback(q.Tags[i].Value)
	if err != nil {
		return nil, err
	}
	tables, err := s.watched(&q.Definition)
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 {
		return nil, invalid("The tag %s needs a query that reads a table between two times that follow from @%s, and does not write to it.", LateDataTag, parameter)
	}
	w := &lateWatch{service: s, arn: q.ARN, back: back, tables: tables}
	w.edge.Store(math.MaxInt64)
	return w, nil
}

// watched returns the tables whose rows q reads through a window that moves with the
// invocation, and does not write itself.
func (s *Service) watched(q *Definition) ([]plan.TableRef, error) {
	// Far enough apart to tell, whatever the window is rounded to.
	at := s.opts.Clock.Now()
	early, err := s.ranges(q, at.AddDate(-2, 0, 0))
	if err != nil {
		return nil, err
	}
	late, err := s.ranges(q, at)
	if err != nil {
		return nil, err
	}
	var tables []plan.TableRef
	for i, r := range late {
		moves := i < len(early) && early[i].From < r.From && early[i].To < r.To
		if moves && r.Bounded() && !slices.Contains(tables, r.Table) {
			tables = append(tables, r.Table)
		}
	}
	return tables, nil
}

// ranges returns what an invocation reads of tables other than the target.
func (s *Service) ranges(q *Definition, invocation time.Time) ([]query.Range, error) {
	ranges, err := s.opts.Queries.Ranges(q.SQL, map[string]vec.Value{parameter: vec.Int(vec.TimestampType, invocation.UnixNano())})
	if q.Target != nil {
		target := plan.TableRef{Database: q.Target.Database, Table: q.Target.Table}
		ranges = slices.DeleteFunc(ranges, func(r query.Range) bool { return r.Table == target })
	}
	return ranges, err
}

// checkLate refuses a tag that could not be obeyed.
func (s *Service) checkLate(q *Query) error {
	_, err := s.lateWatch(q)
	return err
}

// rewatchLocked puts the watches of all queries in place, new ones for those of again.
func (s *Service) rewatchLocked(again ...*entry) {
	for _, e := range again {
		var err error
		if e.late, err = s.lateWatch(&e.doc.Query); err != nil {
			// Its table is gone, so its next run will disable it.
			s.opts.Log.Warn("scheduled query: late data is not watched", "query", e.doc.Name, "err", err)
		}
	}
	tables := map[plan.TableRef][]*lateWatch{}
	for _, e := range s.byARN {
		if e.late == nil {
			continue
		}
		for _, t := range e.late.tables {
			tables[t] = append(tables[t], e.late)
		}
	}
	s.opts.Watch.tables.Store(&tables)
}

// observe marks the invocations that missed rows.
func (w *lateWatch) observe(table plan.TableRef, rows []storage.Row, refused []storage.Rejection) {
	edge := w.edge.Load()
	if !slices.ContainsFunc(rows, func(r storage.Row) bool { return r.TimeNs < edge }) {
		return
	}
	var missed []time.Time
	w.mu.Lock()
	w.learn()
	for i := range w.windows {
		if w.windows[i].misses(table, rows, refused) {
			missed = append(missed, w.windows[i].invocation)
		}
	}
	w.mu.Unlock()
	if len(missed) > 0 {
		w.service.markLate(w.arn, missed)
	}
}

func (win *window) misses(table plan.TableRef, rows []storage.Row, refused []storage.Rejection) bool {
	for _, r := range win.ranges {
		if r.Table != table {
			continue
		}
		for i := range rows {
			in := rows[i].TimeNs >= r.From && rows[i].TimeNs < r.To
			if in && !slices.ContainsFunc(refused, func(x storage.Rejection) bool { return x.Row == i }) {
				return true
			}
		}
	}
	return false
}

// extend makes the window of an invocation known that is about to run: a row that is stored from now on may
// be missed by it.
func (w *lateWatch) extend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learn()
}

// learn brings windows up to the latest invocation, and forgets those that are too old. The caller holds mu.
func (w *lateWatch) learn() {
	s := w.service
	s.mu.Lock()
	e := s.byARN[w.arn]
	if e == nil || e.late != w {
		s.mu.Unlock()
		return
	}
	doc, when := e.doc, e.when
	s.mu.Unlock()

	oldest := s.opts.Clock.Now().Add(-w.back)
	w.windows = slices.DeleteFunc(w.windows, func(win window) bool { return win.invocation.Before(oldest) })
	if w.known.Before(oldest) {
		w.known = oldest.Add(-1)
	}
	if w.known.Before(doc.Created) {
		w.known = doc.Created
	}
	var news []time.Time
	for at := when.next(w.known, doc.Created); !at.IsZero() && !at.After(doc.Previous); at = when.next(at, doc.Created) {
		news = append(news, at)
		w.known = at
	}
	if len(news) > maxWindows {
		news = news[len(news)-maxWindows:]
	}
	for _, at := range news {
		if win := (window{at, w.bounded(&doc.Definition, at)}); win.ranges != nil {
			w.windows = append(w.windows, win)
		}
	}
	if n := len(w.windows); n > maxWindows {
		w.windows = slices.Clone(w.windows[n-maxWindows:])
	}
	edge := int64(math.MinInt64)
	for _, win := range w.windows {
		for _, r := range win.ranges {
			edge = max(edge, r.To)
		}
	}
	w.edge.Store(edge)
}

// bounded returns the ranges of an invocation that have both ends. A query that cannot be planned any more has
// none: its runs fail.
func (w *lateWatch) bounded(q *Definition, at time.Time) []query.Range {
	ranges, err := w.service.ranges(q, at)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(ranges, func(r query.Range) bool { return !r.Bounded() })
}

// markLate has invocations run again with the next scheduled one, durably. Those that wait already, and have not begun, see
// the row without that.
func (s *Service) markLate(arn string, missed []time.Time) {
	s.mu.Lock()
	e := s.byARN[arn]
	if e == nil {
		s.mu.Unlock()
		return
	}
	// What is in e.doc is on disk, or about to run.
	missed = slices.DeleteFunc(missed, e.doc.waits)
	s.mu.Unlock()
	if len(missed) == 0 {
		return
	}
	_, err := s.change(arn, func(_ *entry, next *document) (bool, error) {
		next.Late = slices.Clone(next.Late)
		for _, at := range missed {
			if i, found := slices.BinarySearchFunc(next.Late, at, time.Time.Compare); !found {
				next.Late = slices.Insert(next.Late, i, at)
			}
		}
		return true, nil
	})
	if err != nil {
		s.opts.Log.Error("scheduled query: invocations that missed late data will not run again", "query", idOf(arn), "err", err)
	}
}

// waits reports whether an invocation is going to run and has not begun.
func (doc *document) waits(invocation time.Time) bool {
	if _, found := slices.BinarySearchFunc(doc.Late, invocation, time.Time.Compare); found {
		return true
	}
	return len(doc.Pending) > 1 && slices.ContainsFunc(doc.Pending[1:], func(t task) bool { return t.Invocation.Equal(invocation) })
}

// take moves an invocation that is due, and those that missed late data, into Pending.
func (doc *document) take(due time.Time) {
	doc.Previous = due
	doc.Pending = append(slices.Clip(doc.Pending), task{Invocation: due})
	for _, at := range doc.Late {
		if !at.Equal(due) {
			doc.Pending = append(doc.Pending, task{Invocation: at})
		}
	}
	doc.Late = nil
}
