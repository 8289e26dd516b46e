package messaging

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Received is a message as a consumer gets it.
type Received struct {
	ID, Handle, Body       string
	Attributes             map[string]Value
	GroupID, Deduplication string
	SequenceNumber         string // of FIFO queues
	Sent, First            time.Time
	Count                  int
}

// ReceiveOptions say what a receive wants. Nil means what the queue says.
type ReceiveOptions struct {
	Max        int // 1 to 10
	Visibility *time.Duration
	Wait       *time.Duration // on the machine's clock
}

// Receive returns up to Max messages and hides them for the visibility timeout. Without
// any it waits; it returns none when the wait is over, ctx is done or the service closes.
func (s *Service) Receive(ctx context.Context, name string, o ReceiveOptions) ([]Received, error) {
	var timer <-chan time.Time
	for {
		p := &poll{}
		wait, cancel := context.WithCancel(ctx)
		p.cancel = cancel
		list, next, q, err := s.take(name, o, p)
		if err != nil || len(list) > 0 {
			cancel()
			return list, err
		}
		if timer == nil {
			long := q.setting("ReceiveMessageWaitTimeSeconds")
			if o.Wait != nil {
				long = *o.Wait
			}
			t := time.NewTimer(long)
			defer t.Stop()
			timer = t.C
		}
		over := s.waitFor(wait, cancel, next, timer)
		cancel()
		s.mu.Lock()
		delete(q.polls, p)
		s.mu.Unlock()
		if over || ctx.Err() != nil || s.ctx.Err() != nil {
			return nil, nil
		}
	}
}

// waitFor blocks until the clock shows next, wait is done or the timer fires, which it reports.
func (s *Service) waitFor(wait context.Context, cancel func(), next time.Time, timer <-chan time.Time) (over bool) {
	visible := make(chan struct{})
	go func() {
		defer close(visible)
		s.opts.Clock.Wait(wait, next)
	}()
	select {
	case <-visible:
	case <-timer:
		over = true
	case <-s.ctx.Done():
	}
	cancel()
	<-visible
	return over
}

// take hides and returns messages that are visible. If there are none, p waits, and next is
// when the next message becomes visible.
func (s *Service) take(name string, o ReceiveOptions, p *poll) (list []Received, next time.Time, q *queue, err error) {
	if err := s.bury(name); err != nil {
		return nil, next, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, err = s.queueLocked(name); err != nil {
		return nil, next, nil, err
	}
	now := s.opts.Clock.Now()
	next = now.Add(1000 * time.Hour)
	hide := q.setting("VisibilityTimeout")
	if o.Visibility != nil {
		hide = *o.Visibility
	}
	blocked := map[string]bool{} // groups of which an earlier message is not done
	for _, m := range q.messages {
		if len(list) == o.Max {
			break
		}
		if m.VisibleAt.After(now) || q.FIFO() && blocked[m.GroupID] {
			if m.VisibleAt.After(now) && m.VisibleAt.Before(next) {
				next = m.VisibleAt
			}
			blocked[m.GroupID] = true
			continue
		}
		m.inFlight, m.VisibleAt = true, now.Add(hide)
		m.received++
		if m.received == 1 {
			m.first = now
		}
		m.handle = uuid() + "#" + m.number()
		r := Received{
			ID: m.ID, Handle: m.handle, Body: m.Body, Attributes: m.Attributes, GroupID: m.GroupID, Deduplication: m.Deduplication, Sent: m.Sent, First: m.first, Count: m.received,
		}
		if q.FIFO() {
			r.SequenceNumber = m.number()
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		q.polls[p] = true
	}
	return list, next, q, nil
}

// bury removes messages that are too old, and moves those that were received too often to
// the queue that the RedrivePolicy names.
func (s *Service) bury(name string) error {
	s.mu.Lock()
	q, err := s.queueLocked(name)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	fate := s.fatesLocked(q)
	quiet := !slices.ContainsFunc(q.messages, func(m *message) bool { return fate(m) != stays })
	s.mu.Unlock()
	if quiet {
		return nil
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	changes := map[string]any{}
	var gone, moved []*message
	target, _ := q.redrive()
	dead := s.queueOfARNLocked(target)
	fate = s.fatesLocked(q)
	for _, m := range q.messages {
		f := fate(m)
		if f == stays {
			continue
		}
		gone = append(gone, m)
		changes[m.key] = nil
		if f == moves {
			next := &message{ID: m.ID, Body: m.Body, Attributes: m.Attributes, GroupID: m.GroupID, Deduplication: m.Deduplication, Sent: m.Sent, key: "message/" + dead.Name + "/" + s.nextNumber()}
			changes[next.key] = next
			moved = append(moved, next)
		}
	}
	s.mu.Unlock()
	if err := s.apply(changes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(q, gone...)
	for _, m := range moved {
		dead.addLocked(m)
	}
	return nil
}

const (
	stays = iota
	goes  // too old
	moves // to the dead letter queue
)

// fatesLocked returns what is to become of each message of q.
func (s *Service) fatesLocked(q *queue) func(m *message) int {
	now, keep := s.opts.Clock.Now(), q.setting("MessageRetentionPeriod")
	target, max := q.redrive()
	dead := s.queueOfARNLocked(target)
	return func(m *message) int {
		switch {
		case now.Sub(m.Sent) > keep:
			return goes
		case max > 0 && m.received >= max && !m.VisibleAt.After(now) && dead != nil && dead != q:
			return moves
		}
		return stays
	}
}

// redrive returns the dead letter queue's ARN and after how many receives; 0 is never.
func (q *queue) redrive() (target string, max int) {
	text := q.Attributes["RedrivePolicy"]
	if text == "" {
		return "", 0
	}
	var r redrive
	if json.Unmarshal([]byte(text), &r) != nil {
		return "", 0
	}
	n, err := r.Max.Int64()
	if err != nil {
		return "", 0
	}
	return r.Target, int(n)
}

func (s *Service) removeLocked(q *queue, gone ...*message) {
	for _, m := range gone {
		if at, found := slices.BinarySearchFunc(q.messages, m.key, byKey); found {
			q.messages = slices.Delete(q.messages, at, at+1)
		}
	}
	q.wakeLocked() // the next one of a group may be visible now
}

// findLocked returns the message of a receipt handle, nil if it is gone.
func (s *Service) findLocked(q *queue, handle string) (*message, error) {
	_, number, ok := strings.Cut(handle, "#")
	if _, err := strconv.ParseUint(number, 10, 64); !ok || err != nil {
		return nil, refuse(InvalidHandle, "The input receipt handle \"%s\" is not a valid receipt handle.", handle)
	}
	at, found := slices.BinarySearchFunc(q.messages, "message/"+q.Name+"/"+number, byKey)
	if !found {
		return nil, nil
	}
	return q.messages[at], nil
}

// byKey compares by number: messages are in that order.
func byKey(m *message, key string) int { return strings.Compare(m.key, key) }

// DeleteMessage removes a message that was received. A message that is gone is not an error; on a
// FIFO queue, a handle that a later receive replaced is.
func (s *Service) DeleteMessage(name, handle string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	q, err := s.queueLocked(name)
	var m *message
	if err == nil {
		m, err = s.findLocked(q, handle)
	}
	if err == nil && m != nil && q.FIFO() && m.handle != handle {
		err = refuse(InvalidValue, "Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
	}
	s.mu.Unlock()
	if err != nil || m == nil {
		return err
	}
	if err := s.apply(map[string]any{m.key: nil}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(q, m)
	return nil
}

// ChangeVisibility hides a message that is in flight for d from now; zero shows it.
func (s *Service) ChangeVisibility(name, handle string, d time.Duration) error {
	if d < 0 || d > 12*time.Hour {
		return refuse(InvalidValue, "Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", int64(d/time.Second))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(name)
	if err != nil {
		return err
	}
	m, err := s.findLocked(q, handle)
	if err != nil {
		return err
	}
	now := s.opts.Clock.Now()
	if m == nil || m.handle != handle || !m.VisibleAt.After(now) {
		return refuse(NotInFlight, "Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", handle)
	}
	m.VisibleAt = now.Add(d)
	q.wakeLocked()
	return nil
}
