package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type closer func(context.Context) error

func (c closer) Close(ctx context.Context) error { return c(ctx) }

func TestAStopEndsInTimeWhateverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		stop := func(c closer) (time.Duration, error) {
			began := time.Now()
			err := closeWithin(c, 8*time.Second, time.Second, slog.New(slog.NewTextHandler(&log, nil)))
			return time.Since(began), err
		}
		if took, err := stop(func(ctx context.Context) error { <-ctx.Done(); return nil }); took != 8*time.Second || err != nil {
			t.Errorf("calls that end when cancelled: %v, %v", took, err)
		}
		if took, err := stop(func(context.Context) error { return errors.New("disk") }); took != 0 || err == nil || log.Len() > 0 {
			t.Errorf("an error: %v, %v, %s", took, err, log.String())
		}
		release := make(chan struct{})
		if took, err := stop(func(context.Context) error { <-release; return nil }); took != 9*time.Second || err != nil || !strings.Contains(log.String(), "abandoned") {
			t.Errorf("a call that never ends: %v, %v, %s", took, err, log.String())
		}
		close(release)
	})
}

func TestServeRefusesNamesThatWouldBreakARNs(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--account-id", "12"}, {"--account-id", "00000000000a"}, {"--region", "a/b"}, {"--region", ""}} {
		_, err := newServeFlags("serve", "").options(args, new(strings.Builder))
		var usage *usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%q: got %v, want a usage error that names the flag", args, err)
		}
	}
}
