package main

import "testing"

func TestSmallHeapsMayGrowAndLargeOnesByWhatIsFollowed(t *testing.T) {
	const least = 64 << 20
	for _, c := range []struct {
		heap
		want int
	}{
		{heap{}, 100},
		{heap{live: 1 << 20, scanned: 1 << 20}, 6300},
		{heap{live: 8 << 20}, 700},
		{heap{live: 8 << 20, roots: 6 << 20}, 400},
		{heap{live: 32 << 20}, 100},
		{heap{live: 64 << 20, scanned: 1 << 20}, 50}, // half of least
		{heap{live: 64 << 20, scanned: 64 << 20}, 100},
		{heap{live: 1 << 30, scanned: 1 << 30}, 100}, // all that is followed
		{heap{live: 1 << 30}, 50},
		{heap{live: 1 << 30, scanned: 1 << 29}, 75},
	} {
		if got := percentFor(c.heap, least); got != c.want {
			t.Errorf("%+v: %d percent, want %d", c.heap, got, c.want)
		}
	}
}
