package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// leastHeap makes the garbage collector let the heap grow to a number of bytes before it works, while
// what lives is small: the usual doubling of some megabytes would have it run several times in one query.
// Beyond, the heap may grow by half that number, or by as much as there is to follow: see percentFor. The memory
// limit applies in any case. A GOGC in the environment is left alone.
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
		list := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"}}
		metrics.Read(list)
		read := func(i int) int64 { return int64(list[i].Value.Uint64()) }
		percent := percentFor(heap{live: read(0), scanned: read(1), roots: read(2) + read(3)}, bytes)
		if d := percent - before; d > before/8 || -d > before/8 { // a change stops the world
			debug.SetGCPercent(percent)
		} else {
			percent = before
		}
		(&heapWatch{percent: percent}).watch(bytes)
	}, w.percent)
}

// heap is what a collection found, in bytes.
type heap struct {
	live    int64
	scanned int64 // of live, what the collector looks at for pointers
	roots   int64 // of variables and stacks
}

// percentFor returns the setting by which a heap may grow to least, or by half of least, or by as much as
// the collector has to look at and half of the rest, whichever is most. Usually the room is all that lives; but
// rows in memory are columns of numbers, which are not looked at, so to collect more often costs little beside what
// it saves: while 60 MB of rows were written the heap peaked at 120 MB. The percentage is of what lives and of the roots.
func percentFor(h heap, least int64) int {
	if h.live <= 0 {
		return leastPercent
	}
	room := max(least-h.live, least/2, h.scanned+(h.live-h.scanned)/2)
	return int(100 * room / (h.live + h.roots))
}
