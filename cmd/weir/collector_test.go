package main

import "testing"

func TestSmallHeapsMayGrowAndLargeOnesAreTreatedAsUsual(t *testing.T) {
	const least = 64 << 20
	for live, want := range map[int64]int{0: 100, 1 << 20: 6300, 8 << 20: 700, 32<<20 - 1: 100, 32 << 20: 100, 1 << 30: 100} {
		if got := percentFor(live, least); got != want {
			t.Errorf("%d bytes live: %d percent, want %d", live, got, want)
		}
	}
}
