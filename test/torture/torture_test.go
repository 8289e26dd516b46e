package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// build builds the server.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds and kills servers")
	}
	bin := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/weir-db/weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func TestKilledServersLoseNothingAndBringNothingBack(t *testing.T) {
	t.Parallel()
	if err := torture(build(t), 4, 2, uint64(time.Now().UnixNano())); err != nil {
		t.Fatal(err)
	}
}

func TestWhatGrowsIsFound(t *testing.T) {
	t.Parallel()
	before := sample{memory: 100 << 20, goroutines: 50, files: 30, disk: 50 << 20}
	if err := grown(before, before); err != nil {
		t.Error(err)
	}
	for _, after := range []sample{{memory: 200 << 20}, {goroutines: 100}, {files: 60}, {disk: 100 << 20}} {
		if grown(before, after) == nil {
			t.Errorf("%s is not found", after)
		}
	}
}

func TestStalledWritesAreFound(t *testing.T) {
	t.Parallel()
	quiet := make([]time.Duration, 2000)
	for i := range quiet {
		quiet[i] = time.Millisecond
	}
	check := func(slow int, by time.Duration, found bool) {
		t.Helper()
		busy := append([]time.Duration(nil), quiet...)
		for i := range slow {
			busy[i] += by
		}
		if err := stalled(quiet, busy); (err != nil) != found {
			t.Errorf("%d of %d slower by %v: %v", slow, len(busy), by, err)
		}
	}
	check(0, 0, false)
	check(1200, 9*time.Millisecond, false)
	check(1200, 11*time.Millisecond, true)
	check(2, time.Second, false)
	check(3, 99*time.Millisecond, false)
	check(3, 101*time.Millisecond, true)
}
