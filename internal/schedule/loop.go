package schedule

import (
	"context"
	"slices"
	"time"
)

// farOff is when the loop looks again although nothing is due.
const farOff = 100 * 365 * 24 * time.Hour

// loop gives every query that has something to do a worker, and waits for the next due
// time. Open starts it; it ends with the service's context.
func (s *Service) loop() {
	for s.ctx.Err() == nil {
		wait, cancel := context.WithCancel(s.ctx)
		s.mu.Lock()
		s.wake = cancel
		next := s.startDueLocked()
		s.mu.Unlock()
		s.opts.Clock.Wait(wait, next) // or until something changes
		cancel()
	}
}

// startDueLocked starts workers and returns when the next query is due.
func (s *Service) startDueLocked() time.Time {
	now := s.opts.Clock.Now()
	earliest := now.Add(farOff)
	for _, e := range s.byARN {
		switch {
		case e.working: // looks for itself when it is done
		case e.dueLocked(now):
			e.working = true
			s.wg.Go(func() { s.work(e) })
		case e.doc.Enabled && !e.doc.Next.IsZero() && e.doc.Next.Before(earliest):
			earliest = e.doc.Next
		}
	}
	return earliest
}

func (e *entry) dueLocked(now time.Time) bool {
	return len(e.doc.Pending) > 0 || e.doc.Enabled && !e.doc.Next.IsZero() && !e.doc.Next.After(now)
}

// wakeLocked has the loop look again.
func (s *Service) wakeLocked() {
	if s.wake != nil {
		s.wake()
	}
}

// endedLocked tells [Service.Settle] and the loop that a worker ended.
func (s *Service) endedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
	s.wakeLocked()
}

// work runs what is due of one query until nothing is.
func (s *Service) work(e *entry) {
	var done *Run
	for {
		t, trigger, q := s.step(e, done)
		if done != nil {
			s.opts.Observe(q, done)
			s.notifyRun(s.ctx, q, done)
		}
		if t == nil {
			break
		}
		if done = s.runIn(e, q, *t, trigger); done == nil {
			break // cut short
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.working = false
	s.endedLocked()
}

// runIn runs one task once there is a slot; nil means that it was cut short.
func (s *Service) runIn(e *entry, q *Query, t task, trigger time.Time) *Run {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-e.ctx.Done():
		return nil
	}
	s.mu.Lock()
	late := e.late
	s.mu.Unlock()
	if late != nil {
		late.extend()
	}
	return s.execute(e.ctx, q, t, trigger)
}

// step notes the run that ended (nil: none did) and takes what is to run next. A nil task means
// nothing. What it notes is on disk soon: until then the disk says that the run is due, and load makes
// of that what a crash needs.
func (s *Service) step(e *entry, done *Run) (*task, time.Time, *Query) {
	s.changing.Lock()
	defer s.changing.Unlock()
	next := *e.doc // only holders of changing replace it
	if done != nil {
		next.note(done)
	}
	now, frozen := s.opts.Clock.State()
	if len(next.Pending) == 0 && next.Enabled && !next.Next.IsZero() && !next.Next.After(now) {
		s.takeDue(e, &next, now, frozen)
	}
	var t *task
	if s.ctx.Err() == nil && e.ctx.Err() == nil && len(next.Pending) > 0 {
		t = &next.Pending[0]
		// Versions come from trigger times, so those of a query only grow.
		trigger := now.Truncate(time.Millisecond)
		if !trigger.After(next.LastTrigger) {
			trigger = next.LastTrigger.Add(time.Millisecond)
		}
		next.LastTrigger = trigger
		s.reserve(e, &next, now)
	}
	if !e.removed && done != nil {
		s.saveLater(e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.doc = &next
	return t, next.LastTrigger, &next.Query
}

// reserve sees to it that triggers after a crash are later than that of next, although the disk does
// not know it. A clock that is past it tells as much; a trigger ahead of the clock, on a frozen one, is covered by
// a reserve on disk.
func (s *Service) reserve(e *entry, next *document, now time.Time) {
	if e.removed || !next.LastTrigger.After(now) || !next.LastTrigger.After(next.Reserved) {
		return
	}
	next.Reserved = next.LastTrigger.Add(time.Second)
	if err := s.save(next); err != nil {
		s.opts.Log.Error("scheduled query: state not saved", "query", next.Name, "err", err)
	}
}

// takeDue moves the invocation that is due into doc.Pending: the first one on a frozen clock,
// the latest one on a clock that runs.
func (s *Service) takeDue(e *entry, doc *document, now time.Time, frozen bool) {
	due := doc.Next
	doc.Next = e.when.next(due, doc.Created)
	for !frozen && !doc.Next.IsZero() && !doc.Next.After(now) {
		due, doc.Next = doc.Next, e.when.next(doc.Next, doc.Created)
	}
	doc.take(due)
}

// maxFailures is how many failed runs a query remembers (DescribeScheduledQuery).
const maxFailures = 5

// note enters a run that ended.
func (doc *document) note(r *Run) {
	doc.Pending = slices.Clone(doc.Pending[1:])
	doc.LastRun = r
	if r.Failed {
		doc.Failures = append([]Run{*r}, doc.Failures[:min(len(doc.Failures), maxFailures-1)]...)
	}
	if r.disable {
		doc.Enabled, doc.Next = false, time.Time{}
	}
}

// Settle blocks until no run is due or going on at the clock's present time, or ctx is done.
func (s *Service) Settle(ctx context.Context) error {
	for {
		s.mu.Lock()
		now, busy := s.opts.Clock.Now(), false
		for _, e := range s.byARN {
			busy = busy || e.working || e.dueLocked(now)
		}
		changed := s.changed
		s.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}
