package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// leastHeap makes the garbage collector let the heap grow to a number of bytes before it works, while
// what lives is small: the usual doubling of some megabytes would have it run several times in one query. From half
// the number on the usual applies, and the memory limit in any case. A GOGC in the environment is left alone.
func leastHeap(bytes int64) {
	if os.Getenv("GOGC") == "" {
		(&heapWatch{percent: leastPercent}).watch(bytes)
	}
}

// heapWatch dies with each collection and is born again, which is when the live heap is known.
type heapWatch struct {
	percent int
	_       *int // the runtime puts small objects without pointers together, which then live longer
}

// leastPercent is the runtime's default.
const leastPercent = 100

func (w *heapWatch) watch(bytes int64) {
	runtime.AddCleanup(w, func(before int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		percent := percentFor(int64(live[0].Value.Uint64()), bytes)
		if d := percent - before; d > before/8 || -d > before/8 { // a change stops the world
			debug.SetGCPercent(percent)
		} else {
			percent = before
		}
		(&heapWatch{percent: percent}).watch(bytes)
	}, w.percent)
}

// percentFor returns by how much a live heap may grow, so that it may reach least.
func percentFor(live, least int64) int {
	if live <= 0 || live >= least/2 {
		return leastPercent
	}
	return int(100 * (least - live) / live)
}
