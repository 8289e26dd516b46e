package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// In soak, an hour of the server passes in soakTick, and its data lives for two days.
const (
	soakTick    = 3 * time.Second
	soakDevices = 200
)

// sample is what the server takes.
type sample struct{ memory, goroutines, files, disk float64 }

// soakFor lets the server live under load and compares what it takes in the last third of the time with
// the middle third.
func soakFor(bin string, d time.Duration, writers int) error {
	dir, err := os.MkdirTemp("", "weir-soak")
	if err != nil {
		return err
	}
	s, err := start(bin, dir)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := s.create(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, writers+1)
	for w := range writers {
		wg.Go(func() { errs[w] = soakWriter(ctx, s, w) })
	}
	wg.Go(func() { errs[writers] = soakClock(ctx, s) })
	var thirds [3][]sample
	began := time.Now()
	for tick := time.NewTicker(max(d/300, 100*time.Millisecond)); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-tick.C:
			x, err := s.sample(dir)
			if err != nil {
				return err
			}
			third := min(2, int(3*time.Since(began)/d))
			thirds[third] = append(thirds[third], x)
			if n := len(thirds[third]); n%25 == 0 {
				fmt.Printf("%v: %s\n", time.Since(began).Round(time.Second), x)
			}
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	middle, last := mean(thirds[1]), mean(thirds[2])
	fmt.Printf("middle third: %s\nlast third:   %s\n", middle, last)
	if err := grown(middle, last); err != nil {
		return fmt.Errorf("%w (data in %s)", err, dir)
	}
	return os.RemoveAll(dir)
}

func (x sample) String() string {
	return fmt.Sprintf("%.1f MiB of memory, %.0f goroutines, %.0f open files, %.1f MiB of disk", x.memory/(1<<20), x.goroutines, x.files, x.disk/(1<<20))
}

func mean(list []sample) (m sample) {
	n := float64(max(1, len(list)))
	for _, x := range list {
		m.memory += x.memory / n
		m.goroutines += x.goroutines / n
		m.files += x.files / n
		m.disk += x.disk / n
	}
	return m
}

// grown says what grew by more than a fifth and a little.
func grown(before, after sample) error {
	var errs []error
	check := func(what string, before, after, little float64) {
		if after > before*1.2+little {
			errs = append(errs, fmt.Errorf("%s grew from %.0f to %.0f", what, before, after))
		}
	}
	check("memory", before.memory, after.memory, 16<<20)
	check("goroutines", before.goroutines, after.goroutines, 10)
	check("open files", before.files, after.files, 10)
	check("disk", before.disk, after.disk, 8<<20)
	return errors.Join(errs...)
}

// soakWriter writes records of now into the table that forgets, deletes some and asks for some.
func soakWriter(ctx context.Context, s *server, writer int) error {
	for k := 0; ctx.Err() == nil; k++ {
		now, err := s.advance(ctx, 0)
		if err != nil {
			return err
		}
		var b strings.Builder
		b.WriteString(`{"DatabaseName":"torture","TableName":"x","CommonAttributes":{"MeasureName":"m","MeasureValueType":"MULTI"},"Records":[`)
		for i := range 50 {
			if i > 0 {
				b.WriteByte(',')
			}
			device := (writer*50 + k*50 + i) % soakDevices
			fmt.Fprintf(&b, `{"Dimensions":[{"Name":"d","Value":"%d"}],"Time":"%d","MeasureValues":[{"Name":"x","Value":"%d.5","Type":"DOUBLE"}]}`, device, now.UnixMilli()+int64(i), k%1000)
		}
		b.WriteString("]}")
		if _, err := s.call(ctx, "WriteRecords", b.String()); err != nil {
			return err
		}
		if k%100 == 99 {
			if _, err := s.query(ctx, fmt.Sprintf("DELETE FROM torture.x WHERE d = '%d' AND time < ago(1h)", k/100%soakDevices)); err != nil {
				return err
			}
		}
		if k%20 == 19 {
			if _, err := s.query(ctx, "SELECT d, bin(time, 1h), avg(x), count(*) FROM torture.x WHERE time > ago(6h) GROUP BY d, bin(time, 1h) ORDER BY 3 DESC LIMIT 10"); err != nil {
				return err
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

func soakClock(ctx context.Context, s *server) error {
	for ctx.Err() == nil {
		if _, err := s.advance(ctx, time.Hour/100); err != nil {
			return err
		}
		time.Sleep(soakTick / 100)
	}
	return nil
}

var goroutines = regexp.MustCompile(`(?m)^weir_goroutines (\d+)`)

func (s *server) sample(dir string) (x sample, err error) {
	req, err := http.NewRequest("GET", s.url+"/metrics", nil)
	if err != nil {
		return x, err
	}
	b, err := s.send(req)
	if err != nil {
		return x, err
	}
	if m := goroutines.FindSubmatch(b); m != nil {
		x.goroutines = float64(number(string(m[1])))
	}
	proc := fmt.Sprintf("/proc/%d", s.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return x, err
	}
	var kb float64
	if _, after, ok := strings.Cut(string(status), "VmRSS:"); ok {
		fmt.Sscan(after, &kb)
	}
	x.memory = kb * 1024
	open, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return x, err
	}
	x.files = float64(len(open))
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it went away
		}
		if info, err := d.Info(); err == nil {
			x.disk += float64(info.Size())
		}
		return nil
	})
	return x, err
}
