package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What work in the background may add to a write.
const (
	stallAtMedian = 10 * time.Millisecond
	stallAtP999   = 100 * time.Millisecond
)

// stallSlice is how long the two servers of a stall run are written to in turn, so that both get the machine's other load alike.
const stallSlice = time.Second

// The clock of a server that has work to do moves by stallStep at each look, 25 a second: a day is long enough to have segments to merge, and
// short enough for many days to be dropped. After so many steps another table gets rows that are left to get cold.
const (
	stallLook   = 40 * time.Millisecond
	stallStep   = 12 * time.Minute
	stallToCold = 150
)

// subject is a server of a stall run and what its writers saw.
type subject struct {
	*server
	dir   string
	moves bool // its clock does, so that it flushes, merges, moves rows between the tiers and drops days
	next  int  // request
	took  []time.Duration
	files map[string]bool // segments that were there when last looked at
	steps int             // of its clock

	// What was seen to happen to them between two looks.
	flushes, merges, drops int
}

// stallFor compares how long writes take beside flushes, merges, moves and retention with how long they take
// without: two servers are written to in turn, second by second, and the clock of one moves five hours in each.
func stallFor(bin string, d time.Duration, writers int) error {
	dir, err := os.MkdirTemp("", "weir-stall")
	if err != nil {
		return err
	}
	quiet, busy := &subject{dir: filepath.Join(dir, "quiet")}, &subject{dir: filepath.Join(dir, "busy"), moves: true}
	for _, s := range []*subject{quiet, busy} {
		more := []string{"--memory-limit", "1GiB"} // the quiet one has no reason to flush
		if s.moves {
			more = nil
		}
		if s.server, err = start(bin, s.dir, more...); err != nil {
			return err
		}
		defer s.kill()
		if err := s.create(); err != nil {
			return err
		}
	}
	for began := time.Now(); time.Since(began) < d; {
		if err := errors.Join(quiet.slice(writers), busy.slice(writers)); err != nil {
			return err
		}
	}
	fmt.Printf("without work in the background: %s\nbeside it: %s\n", quiet, busy)
	if err := busy.worked(); err != nil {
		return err
	}
	if err := stalled(quiet.took, busy.took); err != nil {
		return fmt.Errorf("%w (data in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

// slice writes for a moment, with as many writers.
func (s *subject) slice(writers int) error {
	ctx, cancel := context.WithTimeout(context.Background(), stallSlice)
	defer cancel()
	took := make([][]time.Duration, writers)
	errs := make([]error, writers+1)
	var wg sync.WaitGroup
	first := s.next
	for w := range writers {
		wg.Go(func() { took[w], errs[w] = s.write(ctx, first+w, writers) })
	}
	wg.Go(func() { errs[writers] = s.live(ctx) })
	wg.Wait()
	for _, t := range took {
		s.took = append(s.took, t...)
		s.next = max(s.next, first+(len(t)+1)*writers)
	}
	return errors.Join(errs...)
}

// write sends every step-th request, one after the other, of rows of the server's now, and returns how long each took. Its last
// one may end after ctx: a stall does not go unseen because the slice was over.
func (s *subject) write(ctx context.Context, first, step int) (took []time.Duration, err error) {
	for k := first; ctx.Err() == nil; k += step {
		now, err := s.advance(context.Background(), 0)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		b.WriteString(`{"DatabaseName":"torture","TableName":"x","CommonAttributes":{"MeasureName":"m","MeasureValueType":"MULTI"},"Records":[`)
		for i := range 100 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"Dimensions":[{"Name":"d","Value":"%d"}],"Time":"%d","TimeUnit":"NANOSECONDS","MeasureValues":[{"Name":"x","Value":"%d.5","Type":"DOUBLE"},{"Name":"n","Value":"%d","Type":"BIGINT"}]}`,
				(k*100+i)%soakDevices, now.UnixNano()+int64(k), i*k%1000, k)
		}
		b.WriteString("]}")
		began := time.Now()
		if _, err := s.call(context.Background(), "WriteRecords", b.String()); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// live moves the clock, if that is what the server is for, and counts what becomes of its files.
func (s *subject) live(ctx context.Context) error {
	for ctx.Err() == nil {
		if s.moves {
			if err := s.step(); err != nil {
				return err
			}
		}
		s.look()
		time.Sleep(stallLook)
	}
	return nil
}

// step moves the clock, and now and then writes rows that nothing follows: they are moved to the magnetic store when their time has come.
func (s *subject) step() error {
	now, err := s.advance(context.Background(), stallStep)
	if err != nil {
		return err
	}
	s.steps++
	if s.steps%stallToCold == 0 {
		_, err = s.call(context.Background(), "WriteRecords", fmt.Sprintf(`{"DatabaseName":"torture","TableName":"t","Records":[{"Dimensions":[{"Name":"d","Value":"cold"}],
			"MeasureName":"v","MeasureValue":"%d","MeasureValueType":"BIGINT","Time":"%d"}]}`, s.steps, now.UnixMilli()))
	}
	return err
}

// look counts the segments that came and went since it was called last.
func (s *subject) look() {
	files := make(map[string]bool)
	_ = filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".seg") { // an error is a file that went away
			files[path] = true
		}
		return nil
	})
	made, gone := without(files, s.files), without(s.files, files)
	switch {
	case made > 0 && gone > 1:
		s.merges++
	case made > 0:
		s.flushes++
	case gone > 0:
		s.drops++
	}
	s.files = files
}

// without counts the files of a set that another lacks.
func without(set, other map[string]bool) (n int) {
	for f := range set {
		if !other[f] {
			n++
		}
	}
	return n
}

// worked says whether there was work in the background at all.
func (s *subject) worked() error {
	if s.flushes == 0 || s.merges == 0 || s.drops == 0 {
		return fmt.Errorf("%s: too little work in the background to compare; let it run longer", s)
	}
	return nil
}

func (s *subject) String() string {
	return fmt.Sprintf("%d writes, median %v, p99 %v, p99.9 %v, longest %v; %d flushes, %d merges, %d times retention", len(s.took),
		quantile(s.took, 0.5), quantile(s.took, 0.99), quantile(s.took, 0.999), quantile(s.took, 1), s.flushes, s.merges, s.drops)
}

// stalled says whether work in the background adds more to writes than it may.
func stalled(quiet, busy []time.Duration) error {
	var errs []error
	check := func(what string, q float64, most time.Duration) {
		if more := quantile(busy, q) - quantile(quiet, q); more > most {
			errs = append(errs, fmt.Errorf("work in the background adds %v to the %s of writes, want at most %v", more, what, most))
		}
	}
	check("median", 0.5, stallAtMedian)
	check("99.9th percentile", 0.999, stallAtP999)
	return errors.Join(errs...)
}

// quantile returns the smallest time that a share q of all do not exceed, or 0 of none.
func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)].Round(10 * time.Microsecond)
}
