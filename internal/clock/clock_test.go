package clock_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-db/weir/internal/clock"
)

func TestWaitEndsWhenAFrozenClockIsAdvanced(t *testing.T) {
	start := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	c := clock.Manual(start)
	done := make(chan error, 1)
	go func() { done <- c.Wait(context.Background(), start.Add(time.Hour)) }()
	c.Advance(59 * time.Minute)
	select {
	case <-done:
		t.Fatal("Wait returned a minute early")
	default:
	}
	c.Advance(time.Minute)
	if err := <-done; err != nil {
		t.Fatalf("Wait: %v", err)
	}
	if got := c.Now(); !got.Equal(start.Add(time.Hour)) {
		t.Fatalf("Now = %v", got)
	}
}

func TestWaitFollowsARunningClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.New()
		began := time.Now()
		if err := c.Wait(t.Context(), c.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != time.Minute {
			t.Fatalf("waited %v, want 1m", d)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := clock.Manual(time.Unix(0, 0))
	if err := c.Wait(ctx, time.Unix(1, 0)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Wait = %v, want context.Canceled", err)
	}
}

func TestResumeRunsOnFromTheFrozenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
		c := clock.Manual(at)
		c.Resume()
		time.Sleep(time.Second) // synthetic time
		if got := c.Now(); !got.Equal(at.Add(time.Second)) {
			t.Fatalf("Now = %v, want %v", got, at.Add(time.Second))
		}
	})
}

func TestAWaitKeepsNothingOfEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.New()
		ctx, cancel := context.WithCancel(context.Background())
		go c.Wait(ctx, c.Now().Add(1000*time.Hour))
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		const changes = 5000
		for range changes {
			synctest.Wait() // until the other one waits again
			c.Advance(time.Millisecond)
		}
		if after := heap(); after > before+50*changes {
			t.Errorf("%d bytes are kept of %d changes", after-before, changes)
		}
		cancel()
	})
}
