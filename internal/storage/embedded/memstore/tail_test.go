package memstore

import (
	"math/rand/v2"
	"testing"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// TestRowsOfTheTailAreSeen appends rows of one and of other forms, late ones among them, looks some up, and compares
// snapshots with all that was stored.
func TestRowsOfTheTailAreSeen(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 2))
	cols := []Col{{0, vec.Double}, {1, vec.Bigint}, {2, vec.Double}, {3, vec.Varchar}}
	for range 60 {
		st := New()
		want := map[int64]Row{}
		time := int64(0)
		odd := []int{0, 30, 300}[r.IntN(3)]
		for range 2500 {
			row := Row{Time: time + 2, Version: 1}
			vals := []storage.Val{{Column: 0, Bits: r.Uint64()}, {Column: 1, Bits: r.Uint64()}, {Column: 2, Bits: r.Uint64()}}
			if odd > 0 && r.IntN(odd) == 0 {
				switch r.IntN(4) {
				case 0:
					vals = vals[:1+r.IntN(2)]
				case 1:
					row.Version = 7
				case 2:
					row.Time = 1 + 2*r.Int64N(time+1) // odd: between others
				case 3:
					row.Time = max(1, time-1-2*r.Int64N(tailRows)) // likewise, and just overtaken
				}
			}
			if odd > 0 && r.IntN(20*odd) == 0 {
				vals = append(vals, storage.Val{Column: 3, Str: "text"})
			}
			for _, v := range vals {
				row.Cells = append(row.Cells, Cell{Col: cols[v.Column], Bits: v.Bits, Str: v.Str})
			}
			if !st.Append(5, row.Time, row.Version, vals, cols) {
				st.Put(5, row)
			}
			want[row.Time] = row
			time = max(time, row.Time)
			if r.IntN(50) == 0 {
				at := r.Int64N(time + 2)
				got, ok := st.Lookup(5, at)
				if stored, there := want[at]; ok != there || ok && (!got.Same(&stored) || got.Version != stored.Version) {
					t.Fatalf("Lookup(%d) = %+v, %v, want %+v, %v", at, got, ok, stored, there)
				}
			}
			if r.IntN(400) == 0 {
				compare(t, st, want)
			}
		}
		compare(t, st, want)
	}
}

// TestOvertakenRowsNeedNoSideBuffer appends rows as several connections deliver them, each up to a line of
// others late: all find their place as they come.
func TestOvertakenRowsNeedNoSideBuffer(t *testing.T) {
	t.Parallel()
	cols := []Col{{0, vec.Double}, {1, vec.Double}}
	st := New()
	want := map[int64]Row{}
	add := func(time int64) {
		row := Row{Time: time, Version: 1, Cells: []Cell{{Col: cols[0], Bits: uint64(time)}, {Col: cols[1], Bits: 1}}}
		vals := []storage.Val{{Column: 0, Bits: uint64(time)}, {Column: 1, Bits: 1}}
		if !st.Append(5, time, 1, vals, cols) {
			t.Fatalf("the row of time %d was refused", time)
		}
		if st.Append(5, time, 1, vals, cols) {
			t.Fatalf("the row of time %d was taken twice", time)
		}
		want[time] = row
	}
	for time := range int64(tailFrom/2 + lineRows) {
		add(time)
	}
	r := rand.New(rand.NewPCG(4, 2))
	for at := int64(tailFrom/2 + lineRows); at < ChunkRows-2*lineRows; at += lineRows {
		for _, i := range r.Perm(lineRows) {
			add(at + int64(i))
		}
	}
	compare(t, st, want)
}

func compare(t *testing.T, st *Store, want map[int64]Row) {
	t.Helper()
	n, last := 0, int64(-1)
	for _, c := range st.Series(5).Snapshot(st, nil) {
		for i := range c.N {
			got := c.Row(i)
			stored, ok := want[got.Time]
			if !ok || !got.Same(&stored) || got.Version != stored.Version || got.Time <= last {
				t.Fatalf("row %d: %+v, want %+v", n, got, stored)
			}
			last = got.Time
			n++
		}
	}
	if n != len(want) {
		t.Fatalf("%d rows, want %d", n, len(want))
	}
}
