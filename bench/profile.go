package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// profilingSource is a file that the profiling build adds to weir's main package: the
// signal USR1 starts and ends a CPU profile.
//
//go:embed profile_weir.go.txt
var profilingSource []byte

// buildProfiling builds weir with profilingSource laid over its sources, and uses it.
func (b *bench) buildProfiling(ctx context.Context) error {
	folder, err := filepath.Abs(b.profile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	target, err := filepath.Abs("../cmd/weir/profile_bench.go")
	if err != nil {
		return err
	}
	source, overlay := filepath.Join(folder, "profile_bench.go"), filepath.Join(folder, "overlay.json")
	list, _ := json.Marshal(map[string]any{"Replace": map[string]string{target: source}})
	if err := os.WriteFile(source, profilingSource, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(overlay, list, 0o644); err != nil {
		return err
	}
	b.bin = filepath.Join(folder, "weir")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", b.bin, "./cmd/weir")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build with profiling: %w: %s", err, out)
	}
	return os.Setenv("WEIR_BENCH_PROFILE", filepath.Join(folder, "cpu"))
}

// profileSignal starts or ends a profile of e, if it is weir and profiles are wanted.
// Files are numbered in the order of the work: a load, then each class.
func (b *bench) profileSignal(e engine) {
	if own, ok := e.(*weir); ok && b.profile != "" {
		own.proc.cmd.Process.Signal(syscall.SIGUSR1)
		time.Sleep(20 * time.Millisecond) // let it begin before the work does
	}
}
