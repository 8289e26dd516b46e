package query

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/exec"
	"github.com/weir-db/weir/internal/sql/plan"
)

// result is one execution, from its start until it is forgotten.
//
// Pages are numbered from 1 and made one at a time by a
// goroutine that outlives the call that asked: a retry waits for the same page. Only the first page of a query that has
// little to read is made by the call itself, which saves waking others. Once a caller has
// come back for a second page, the following one is made ahead, while he reads; if he then wants another number of
// rows, it is cut anew. A page
// made belongs to nobody until a call hands it out under the next number; an
// empty page, for a caller who waited long enough, takes a number too, because
// no token may be given twice (api.md, section 11.1). The latest page handed out is
// kept for retries until the next one replaces it.
type result struct {
	account
	client   clientKey // zero: none
	maxRows  int       // of the first call
	paged    bool      // rows are rendered as they are read; else they stay valid, for a stream
	unload   bool      // it works on although nobody asks
	insights bool
	session  session // of a stream
	columns  []plan.OutputColumn
	costs                // as they will be in account.ready
	spans    []tableSpan // time ranges that the plan reads
	total    int64       // rows in the tables, for the progress

	ctx    context.Context // of the execution, which outlives the calls that read it
	cancel context.CancelCauseFunc

	// cut is used by the goroutine that makes a page while one does, and otherwise by the
	// holder of Service.mu.
	cut cutter

	// Guarded by Service.mu.
	number   int           // of the latest page handed out; 0: none yet
	page     *Page         // that page, or nil when it was given up
	making   chan struct{} // closed when the page in the making is made; nil: none is
	made     *piece        // made and not handed out yet
	ahead    bool          // nobody has asked for what is being made or was made; counted in Service.ahead
	waiting  int           // calls that wait for a page
	rows     int64         // handed out
	bytes    int64         // of these, as JSON
	progress float64
	busy     time.Duration
	ended    bool  // there will be no further page
	failed   error // why it ended, if not with its last page; what later calls get
	limit    *time.Timer
	idle     *time.Timer
	place    *list.Element // in Service.kept, or nil
	size     int64         // of page, counted in Service.keptBytes
	aside    int64         // of the rows behind the latest page made, counted there, too
	used     time.Time     // last time, while in Service.kept
}

// admit makes r known. If a call with the same ClientToken was quicker, its result is
// returned and r is dropped.
func (s *Service) admit(r *result, req *Request) (*result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.againLocked(req)
	switch {
	case err != nil || first != nil:
	case s.closed:
		err = errClosed
	case s.open >= s.opts.MaxOpen:
		err = s.tooManyLocked()
	default:
		s.open++
		s.results[r.id] = r
		if r.client.token != "" {
			s.clients[r.client] = r
		}
		limit := fault.New(fault.Execution, "Query exceeded the time limit of %v.", s.opts.TimeLimit)
		r.limit = time.AfterFunc(s.opts.TimeLimit, func() { s.stop(r, limit) })
		r.idle = time.AfterFunc(s.opts.RetainFor, func() { s.abandon(r) })
		return r, nil
	}
	r.cancel(nil)
	r.cut.close()
	s.history.forget(&r.account)
	return first, err
}

// tooManyLocked is the error of a result beyond the bound.
func (s *Service) tooManyLocked() error {
	return fault.New(fault.Throttled, "%d results are open, the most that this server keeps; read them to the end or cancel them.", s.open)
}

// answer returns page number of r, and makes it if it is the next one.
func (s *Service) answer(ctx context.Context, r *result, number, maxRows int) (*Page, error) {
	var late <-chan time.Time
	s.mu.Lock()
	for {
		switch {
		case r.failed != nil:
			err := r.failed
			s.mu.Unlock()
			return nil, err
		case number == r.number && r.page != nil: // a retry
			page := r.page
			page.text.hold()
			s.useLocked(r)
			s.mu.Unlock()
			return page, nil
		case number != r.number+1 || r.ended:
			s.mu.Unlock()
			return nil, errToken
		case r.made != nil && (r.made.maxRows == maxRows || r.made.failed != nil):
			p := r.made
			r.made = nil
			return s.handOut(r, p, maxRows)
		case r.made != nil:
			r.cut.putBack(r.made)
			r.made = nil
		}
		s.makeLocked(r, maxRows)
		s.wantedLocked(r)
		making := r.making
		if making == nil { // it is made
			continue
		}
		if late == nil && r.rows == 0 {
			patience := s.opts.Patience
			if r.unload {
				patience = s.opts.UnloadPatience
			}
			timer := time.NewTimer(patience)
			defer timer.Stop()
			late = timer.C
		}
		r.waiting++
		r.idle.Stop()
		s.mu.Unlock()
		var left, tired bool
		select {
		case <-making:
		case <-r.ctx.Done():
		case <-ctx.Done():
			left = true
		case <-late:
			tired = true
		}
		s.mu.Lock()
		r.waiting--
		switch {
		case left:
			return nil, s.leave(r)
		case tired && r.made == nil && r.making != nil && !r.ended && number == r.number+1:
			return s.handOut(r, &piece{}, maxRows)
		}
	}
}

// leave takes note that a caller has gone. It is called with the lock held and gives it back.
func (s *Service) leave(r *result) error {
	var o *Observation
	if r.waiting == 0 && !r.ended {
		// Nobody has a token, or will have one; but a retry finds an UNLOAD by its ClientToken.
		if r.number == 0 && !(r.unload && r.client.token != "") {
			ended := s.endLocked(r, errLeft)
			o = &ended
		} else {
			r.idle.Reset(s.opts.Grace)
		}
	}
	s.mu.Unlock()
	if o != nil {
		s.observe(&r.account, *o)
	}
	return errLeft
}

// abandon ends a result that nobody came back to. A page that was made within the
// grace period stays for the rest of the usual time.
func (s *Service) abandon(r *result) {
	s.mu.Lock()
	if r.ended || r.waiting > 0 || r.unload && r.making != nil { // an UNLOAD ends, whoever waits for it
		s.mu.Unlock()
		return
	}
	cause := error(errToken)
	if r.made != nil && r.made.failed != nil {
		cause = r.made.failed
	}
	o := s.endLocked(r, cause)
	s.mu.Unlock()
	s.observe(&r.account, o)
}

// makeLocked has the next page made, unless that goes on already; a small first page is made on return. The caller is inside
// Query, which Close waits for. The lock is given back for a while.
func (s *Service) makeLocked(r *result, maxRows int) {
	if r.making != nil {
		return
	}
	r.making = make(chan struct{})
	lastKept := r.number > 0 || r.client.token != ""
	if r.number == 0 && !r.unload {
		s.mu.Unlock()
		done := s.makeSmall(r, maxRows, lastKept)
		s.mu.Lock()
		if done {
			return
		}
	}
	s.wg.Go(func() { s.make(r, maxRows, lastKept) })
}

// makeSmall makes the first page if that takes no time to speak of, and reports whether it did.
func (s *Service) makeSmall(r *result, maxRows int, lastKept bool) bool {
	select {
	case s.slots <- struct{}{}:
	default:
		return false
	}
	began := time.Now()
	p, err := survive(func() (*piece, error) {
		if err := r.cut.readSmall(r.ctx); err != nil {
			return nil, err
		}
		return r.cut.next(r.ctx, maxRows, s.opts.PageBytes, s.opts.Patience)
	})
	<-s.slots
	if errors.Is(err, exec.ErrLarge) {
		return false
	}
	s.madePage(r, p, err, lastKept, began)
	return true
}

// aheadLocked has the page after the one that is handed out now made ahead. Its caller came back for
// that one, so he will for the next. Demanded pages have precedence, and memory is bounded: a page ahead
// counts as a full one.
func (s *Service) aheadLocked(r *result, maxRows int) {
	if r.number < 2 || r.making != nil || r.unload || len(s.slots) > cap(s.slots)/2 ||
		s.keptBytes+int64(s.ahead+1)*s.opts.PageBytes > s.opts.RetainBytes {
		return
	}
	r.ahead = true
	s.ahead++
	s.makeLocked(r, maxRows)
}

// wantedLocked notes that r has no page ahead any more: it was asked for, or nobody will.
func (s *Service) wantedLocked(r *result) {
	if r.ahead {
		r.ahead = false
		s.ahead--
	}
}

// make makes one page. lastKept says that the last page may be asked for again.
func (s *Service) make(r *result, maxRows int, lastKept bool) {
	began := time.Now()
	p, err := s.cutPage(r, maxRows)
	s.madePage(r, p, err, lastKept, began)
}

// madePage takes what came of making a page.
func (s *Service) madePage(r *result, p *piece, err error, lastKept bool, began time.Time) {
	if err == nil && (!p.last || lastKept) {
		p.compact()
	}

	aside := r.cut.back.memory()
	s.mu.Lock()
	close(r.making)
	r.making = nil
	r.busy += time.Since(began)
	if err == nil && r.bytes+p.bytes > s.opts.Limits.ResultBytes {
		err = s.tooLarge()
	}
	var o *Observation
	switch {
	case r.ended: // meanwhile; nobody else closes what was in use
		r.cut.close()
		p.drop()
	case err != nil && r.ahead: // the page before may be asked for again
		r.cut.close()
		s.asideLocked(r, 0)
		r.made = &piece{failed: err}
	case err != nil:
		ended := s.endLocked(r, err)
		o = &ended
	default:
		r.made = p
		s.asideLocked(r, aside)
		if r.waiting == 0 {
			r.idle.Reset(s.opts.RetainFor)
		}
	}
	s.mu.Unlock()
	if o != nil {
		s.observe(&r.account, *o)
	}
}

// asideLocked counts the rows that r has behind the latest page made: what is left of a page that was cut anew.
func (s *Service) asideLocked(r *result, bytes int64) {
	s.keptBytes += bytes - r.aside
	r.aside = bytes
}

// cutPage waits for a slot and cuts a page from the source.
func (s *Service) cutPage(r *result, maxRows int) (*piece, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
	return survive(func() (*piece, error) { return r.cut.next(r.ctx, maxRows, s.opts.PageBytes, s.opts.Patience) })
}

// survive calls f, and makes an error of a bug that panics: it is to end the query, and
// not the server.
func survive[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("bug: a query panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// handOut gives p as the next page. It is called with the lock held and gives it back.
func (s *Service) handOut(r *result, p *piece, maxRows int) (*Page, error) {
	s.wantedLocked(r)
	if p.failed != nil {
		o := s.endLocked(r, p.failed)
		s.mu.Unlock()
		s.observe(&r.account, o)
		return nil, p.failed
	}
	r.number++
	r.rows += int64(p.rows)
	r.bytes += p.bytes
	page := s.pageLocked(r, p)
	p.text.hold() // for the caller
	if !p.last {
		r.idle.Reset(s.opts.RetainFor)
		s.keepLocked(r, page, p.memory())
		s.aheadLocked(r, maxRows)
		s.mu.Unlock()
		return page, nil
	}
	if r.number > 1 || r.client.token != "" {
		s.keepLocked(r, page, p.memory())
	} else {
		p.text.release()
	}
	o := s.endLocked(r, nil)
	s.mu.Unlock()
	s.observe(&r.account, o)
	return page, nil
}

// pageLocked dresses p with the state of r.
func (s *Service) pageLocked(r *result, p *piece) *Page {
	stats := r.stats().Storage
	switch {
	case p.last:
		r.progress = 100
	case r.total > 0:
		r.progress = max(r.progress, min(99, 100*float64(stats.RowsScanned)/float64(r.total)))
	}
	page := &Page{
		QueryID: r.id, Columns: r.columns, text: p.text, Progress: r.progress,
		BytesScanned: stats.BytesScanned, BytesMetered: r.meter(stats.BytesScanned),
	}
	if p.text != nil {
		page.Rows = p.text.bytes
	}
	if r.insights {
		page.Insights = s.insightsOf(r)
	}
	if !p.last {
		page.NextToken = tokenFor(r.id, r.number+1)
	}
	return page
}

// endLocked ends r, with err or, if that is nil, with its last page, and says what it came to.
func (s *Service) endLocked(r *result, err error) Observation {
	r.made.drop()
	r.ended, r.failed, r.made = true, err, nil
	s.wantedLocked(r)
	s.asideLocked(r, 0)
	s.open--
	r.cancel(err) // also wakes those who wait
	r.limit.Stop()
	r.idle.Stop()
	if r.making == nil {
		r.cut.close()
	}
	switch {
	case err == nil && r.page == nil: // the only page, which nobody can ask for again
		s.dropLocked(r)
	case err == nil:
	case r.number == 0 && err != errCancelled: // a retry is a new start
		s.dropLocked(r)
	default:
		s.keepLocked(r, nil, 0) // the ending
	}
	o := r.observation()
	o.Rows, o.OutputBytes, o.Duration, o.Err = r.rows, r.bytes, r.busy, err
	return o
}

// keepLocked keeps page (nil: none) in place of the one before, and gives up pages that
// were not used for longest while there are too many.
func (s *Service) keepLocked(r *result, page *Page, bytes int64) {
	const overhead = 1 << 10
	if r.page != nil {
		r.page.text.release()
	}
	r.page = page
	s.keptBytes += bytes + overhead - r.size
	r.size = bytes + overhead
	s.useLocked(r)
	for front := s.kept.Front(); front != nil; front = s.kept.Front() {
		oldest := front.Value.(*result)
		if s.keptBytes <= s.opts.RetainBytes && s.kept.Len() <= 2*s.opts.MaxOpen && time.Since(oldest.used) <= s.opts.RetainFor {
			return
		}
		s.dropLocked(oldest)
	}
}

// useLocked moves r to the end of those whose page may be given up.
func (s *Service) useLocked(r *result) {
	r.used = time.Now()
	if r.place == nil {
		r.place = s.kept.PushBack(r)
		return
	}
	s.kept.MoveToBack(r.place)
}

// dropLocked gives up the page of r, and forgets r if it has ended.
func (s *Service) dropLocked(r *result) {
	if r.place != nil {
		s.kept.Remove(r.place)
		s.keptBytes -= r.size
		r.place, r.size = nil, 0
	}
	if r.page != nil {
		r.page.text.release()
	}
	r.page = nil
	if !r.ended {
		return
	}
	delete(s.results, r.id)
	if s.clients[r.client] == r {
		delete(s.clients, r.client)
	}
}
