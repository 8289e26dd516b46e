package plan_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
)

// TestSlicesCoverTheRangeOnce checks that slices follow each other without gap, that only the outer ends of the
// range cut a bin, and that there are few of them.
func TestSlicesCoverTheRangeOnce(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	const now = int64(1_900_000_000_000_000_000)
	ends := func() int64 {
		switch rng.IntN(5) {
		case 0:
			return storage.AllTime.From
		case 1:
			return storage.AllTime.To
		case 2:
			return rng.Int64N(1_000_000)
		}
		return now - rng.Int64N(1<<rng.IntN(61)) + rng.Int64N(1<<rng.IntN(50))
	}
	for range 20_000 {
		from, to := ends(), ends()
		if from >= to {
			continue
		}
		width := 1 + rng.Int64N(1<<rng.IntN(48))
		n := &plan.TimeSlices{
			WidthNs: width, FirstNs: width * (1 + rng.Int64N(100)), Ascending: rng.IntN(2) == 0 && from != storage.AllTime.From, NewestNs: now,
			Input: &plan.Scan{Spec: storage.ScanSpec{From: from, To: to}},
		}
		next := n.Slices()
		var all []plan.Slice
		for {
			s, ok := next()
			if !ok {
				break
			}
			all = append(all, s)
		}
		if !n.Ascending {
			for i, k := 0, len(all)-1; i < k; i, k = i+1, k-1 {
				all[i], all[k] = all[k], all[i]
			}
		}
		if len(all) == 0 || len(all) > 40 || all[0].From != from || all[len(all)-1].To != to {
			t.Fatalf("[%d, %d) in bins of %d, ascending %v: %d slices %v", from, to, width, n.Ascending, len(all), all)
		}
		for i := 1; i < len(all); i++ {
			if at := all[i].From; at != all[i-1].To || at%width != 0 || at == math.MinInt64 {
				t.Fatalf("[%d, %d) in bins of %d, ascending %v: slice %d of %v begins at %d", from, to, width, n.Ascending, i, all, at)
			}
		}
	}
}
