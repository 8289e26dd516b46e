package exec

import (
	"context"
	"testing"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
)

// TestTablesGrowOnlyForQueriesThatGoOn: moving millions of groups takes longer than a cancelled query may go on.
func TestTablesGrowOnlyForQueriesThatGoOn(t *testing.T) {
	const n = 100_000
	near, far, texts := make([]int64, n), make([]int64, n), make([]string, n)
	for i := range near {
		near[i], far[i], texts[i] = int64(i), int64(i)*7919_7919, "text number "+string(rune('a'+i%26))+vec.Int(vec.BigintType, int64(i)).String()
	}
	ints := func(v []int64) *vec.Vector { return vec.OfInts(vec.BigintType, v, nil) }
	check := func(name string, keys ...*vec.Vector) {
		t.Helper()
		types := make([]vec.Type, len(keys))
		for i, k := range keys {
			types[i] = k.Type
		}
		asked := 0
		table := newGroupTable(types).endBy(func() bool { asked++; return false })
		table.assign(keys, n, nil)
		if table.len() != n || asked < n/moved {
			t.Errorf("%s: %d groups, want %d; asked %d times whether the query has ended, want %d", name, table.len(), n, asked, n/moved)
		}
		// From the first time on that the answer is yes nothing is moved any more.
		all, asked2 := asked, 0
		table = newGroupTable(types).endBy(func() bool { asked2++; return true })
		table.assign(keys, n, nil)
		if asked2 >= all {
			t.Errorf("%s: asked %d times of %d after the query had ended", name, asked2, all)
		}
	}
	check("an array", ints(near))
	check("slots", ints(far))
	check("two keys", ints(near), ints(far))
	check("texts", vec.OfStrs(texts, nil))
}

// TestNothingIsReturnedAfterTheEnd: what was computed after it may be half done.
func TestNothingIsReturnedAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cursor{run: &run{}, root: cancelling(cancel)}
	if b, err := c.Next(ctx); b != nil || fault.KindOf(err) != fault.Cancelled {
		t.Errorf("a batch: %v, error %v", b != nil, err)
	}
}

// cancelling is an operator that cancels its query and goes on.
type cancelling func()

func (f cancelling) next(context.Context) (*vec.Batch, error) {
	f()
	return &vec.Batch{Len: 1}, nil
}

func (f cancelling) close() {}
