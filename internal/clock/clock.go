// Package clock is the one source of time for everything a user can observe:
// now(), ago(), the window of acceptance, retention, tier moves and schedules.
//
// A [Clock] follows the machine's clock until it is frozen; a frozen clock moves
// only by [Clock.Set] and [Clock.Advance]. Background work waits with
// [Clock.Wait], which also wakes when a clock is set, so a test that advances
// the clock by a day sees a day's work done.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time. It is safe for concurrent use. The zero value is not
// usable; see [New] and [Manual].
type Clock struct {
	mu      sync.Mutex    // guards the fields below
	frozen  bool          // now is the time; else the machine's clock plus offset
	now     time.Time     // while frozen
	offset  time.Duration // while running
	changed chan struct{} // closed and replaced by each change
}

// New returns a clock that follows the machine's clock.
func New() *Clock { return &Clock{changed: make(chan struct{})} }

// Manual returns a clock frozen at t.
func Manual(t time.Time) *Clock {
	return &Clock{frozen: true, now: t.UTC(), changed: make(chan struct{})}
}

// Now returns the current time in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() time.Time {
	if c.frozen {
		return c.now
	}
	return time.Now().Add(c.offset).UTC()
}

// State returns the time and whether the clock is frozen.
func (c *Clock) State() (now time.Time, frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked(), c.frozen
}

// Freeze stops the clock at its current time.
func (c *Clock) Freeze() { c.update(func() { c.now, c.frozen = c.nowLocked(), true }) }

// Set moves the clock to t, forwards or back. A frozen clock stays frozen there;
// a running one runs on from there.
func (c *Clock) Set(t time.Time) {
	c.update(func() {
		if c.frozen {
			c.now = t.UTC()
		} else {
			c.offset = time.Until(t)
		}
	})
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.update(func() {
		if c.frozen {
			c.now = c.now.Add(d)
		} else {
			c.offset += d
		}
	})
}

// Resume lets a frozen clock run on from the time it shows.
func (c *Clock) Resume() {
	c.update(func() {
		if c.frozen {
			c.offset, c.frozen = time.Until(c.now), false
		}
	})
}

// Reset makes the clock follow the machine's clock again.
func (c *Clock) Reset() { c.update(func() { c.offset, c.frozen = 0, false }) }

func (c *Clock) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Wait blocks until the clock shows t or later, however it got there, and
// returns nil; or until ctx is done, and returns its error.
func (c *Clock) Wait(ctx context.Context, t time.Time) error {
	for {
		c.mu.Lock()
		now, frozen, changed := c.nowLocked(), c.frozen, c.changed
		c.mu.Unlock()
		if !now.Before(t) {
			return ctx.Err()
		}
		if err := wait(ctx, changed, t.Sub(now), frozen); err != nil {
			return err
		}
	}
}

// wait blocks until changed is closed, ctx is done, whose error it returns, or d has passed, unless the clock is frozen.
func wait(ctx context.Context, changed <-chan struct{}, d time.Duration, frozen bool) error {
	var due <-chan time.Time
	if !frozen {
		timer := time.NewTimer(d)
		defer timer.Stop() // one for each change of the clock, and there may be many within one Wait
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-due:
	}
	return nil
}
