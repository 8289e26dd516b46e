package memstore

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

var testCols = []Col{{0, vec.Double}, {1, vec.Varchar}, {2, vec.Bigint}, {3, vec.Varchar}}

// put writes as the engine does: append, or look up and put.
func put(s *Store, id uint32, time, version int64, vals []storage.Val) {
	if s.Append(id, time, version, vals, testCols) {
		return
	}
	row := Row{Time: time, Version: version}
	for _, v := range vals {
		row.Cells = append(row.Cells, Cell{Col: testCols[v.Column], Bits: v.Bits, Str: v.Str})
	}
	s.Put(id, row)
}

func TestRowsAgreeWithAMap(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := New()
		type key struct {
			id   uint32
			time int64
		}
		model := map[key]Row{}
		spread := int64(1 + r.IntN(4000))
		for i := range 4000 {
			k := key{uint32(r.IntN(3)), int64(i)}
			if r.IntN(3) == 0 {
				k.time -= r.Int64N(spread)
			}
			row := Row{Time: k.time, Version: int64(1 + i*r.IntN(2))}
			var vals []storage.Val
			for c := range testCols {
				if c == 0 || r.IntN(5) > 0 {
					v := storage.Val{Column: int32(c)}
					if testCols[c].Kind == vec.Varchar {
						v.Str = fmt.Sprint(i % 3)
					} else {
						v.Bits = uint64(i)
					}
					vals = append(vals, v)
					row.Cells = append(row.Cells, Cell{Col: testCols[c], Bits: v.Bits, Str: v.Str})
				}
			}
			put(s, k.id, k.time, row.Version, vals)
			model[k] = row
			if got, ok := s.Lookup(k.id, k.time); !ok || got.Version != row.Version || !got.Same(&row) {
				t.Fatalf("seed %d: lookup of %v: %+v, want %+v", seed, k, got, row)
			}
		}
		n := 0
		for id := range uint32(3) {
			last := int64(-1 << 62)
			for _, c := range s.Series(id).Snapshot(s, nil) {
				for i := range c.N {
					got, want := c.Row(i), model[key{id, c.Time(i)}]
					if got.Time <= last || got.Version != want.Version || !got.Same(&want) {
						t.Fatalf("seed %d: got %+v, want %+v", seed, got, want)
					}
					last = got.Time
					n++
				}
			}
		}
		if n != len(model) {
			t.Fatalf("seed %d: %d rows, want %d", seed, n, len(model))
		}
	}
}

func TestSnapshotIsStableUnderWrites(t *testing.T) {
	s := New()
	vals := []storage.Val{{Column: 0}, {Column: 1, Str: "x"}}
	put(s, 0, 0, 1, vals)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := int64(1); i < 5000; i++ {
			time := i
			if i%7 == 0 {
				time -= 5
			}
			vals[0].Bits = uint64(i)
			put(s, 0, time, i, vals[:1+i%2])
		}
	})
	for range 200 {
		chunks := s.Series(0).Snapshot(s, nil)
		sum := func() (n uint64) {
			for _, c := range chunks {
				for k := range c.Layout.Cols {
					if c.Layout.Cols[k].Kind == vec.Varchar {
						for _, v := range c.Strs(k) {
							n += uint64(len(v))
						}
						continue
					}
					for _, v := range c.Bits(k) {
						n += v
					}
				}
				for i := range c.N {
					n += uint64(c.Time(i)) + uint64(c.Version(i))
				}
			}
			return n
		}
		if a, b := sum(), sum(); a != b {
			t.Fatalf("a snapshot changed: %d, then %d", a, b)
		}
	}
	wg.Wait()
}

func BenchmarkAppend(b *testing.B) {
	var cols []Col
	var vals []storage.Val
	for i := range 10 {
		cols = append(cols, Col{int32(i), vec.Double})
		vals = append(vals, storage.Val{Column: int32(i), Bits: uint64(i)})
	}
	s := New()
	i := 0
	for b.Loop() {
		s.Append(uint32(i%1000), int64(i), 1, vals, cols)
		i++
	}
	b.ReportMetric(float64(s.Bytes())/float64(i), "B/row")
}

func TestBytesTellOfTextsAndForgetTheSideBuffer(t *testing.T) {
	s, inOrder := New(), New()
	for i := range int64(512) {
		vals := []storage.Val{{Column: 0, Bits: uint64(i)}}
		put(s, 0, 512-i, 1, vals)
		put(inOrder, 0, i+1, 1, vals)
	}
	s.Series(0).Snapshot(s, nil)
	if got, want := s.Bytes(), inOrder.Bytes(); got > 2*want {
		t.Errorf("rows that came backwards are said to take %d bytes, in order %d", got, want)
	}
	before := s.Bytes()
	const rows = 100
	text := make([]byte, 2000)
	for i := range int64(rows) {
		text[0], text[1] = byte(i), 1
		put(s, 1, i, 1, []storage.Val{{Column: 1, Str: string(text)}})
		text[1] = 2
		put(s, 1, i, 2, []storage.Val{{Column: 1, Str: string(text)}}) // replaces it: by way of the side buffer
	}
	s.Publish()
	if got := s.Bytes() - before; got < 2*rows*int64(len(text)) {
		t.Errorf("%d texts of %d bytes are said to take %d", 2*rows, len(text), got)
	}
}

func TestStoresAreSparseUntilTheFirstChunksAreFull(t *testing.T) {
	t.Parallel()
	s := New()
	cols := []Col{{ID: 0, Kind: vec.Double}}
	for row := range int64(firstChunkRows) {
		for id := range uint32(10) {
			if s.Publish(); !s.Sparse() && row+int64(id) > 0 {
				t.Fatalf("with %d rows of 10 series: not sparse", s.Rows())
			}
			s.Append(id, row, 1, []storage.Val{{Column: 0, Bits: 1}}, cols)
		}
	}
	if s.Publish(); s.Sparse() {
		t.Errorf("with %d rows of 10 series: sparse", s.Rows())
	}
}

// TestFirstChunksThatAreReplacedAreCountedOnce has chunks of a piece of memory that many series share be replaced: their part of it
// stays, and is counted as long as they are, and what takes their place is counted while it is there.
func TestFirstChunksThatAreReplacedAreCountedOnce(t *testing.T) {
	vals := func(cols ...int32) (out []storage.Val) {
		for _, c := range cols {
			out = append(out, storage.Val{Column: c})
		}
		return out
	}
	const late, early, first = 100, 50, 8 * firstChunkRows // bytes of a column of the first chunk
	for _, c := range []struct {
		what   string
		change func(s *Store)
		bytes  int64
	}{
		{"merged with an earlier row", func(s *Store) { put(s, 0, early, 1, vals(0)); s.Series(0).Snapshot(s, nil) }, 2 * first},
		{"merged thrice", func(s *Store) {
			for v := range int64(3) {
				put(s, 0, early, 1+v, vals(0))
				s.Series(0).Snapshot(s, nil)
			}
		}, 3 * first}, // versions are a column too
		{"with a column more", func(s *Store) { put(s, 0, late+1, 1, vals(0, 2)) }, 3*first + 2*firstChunkRows},
		{"with a column more after it was merged", func(s *Store) {
			put(s, 0, early, 1, vals(0))
			s.Series(0).Snapshot(s, nil)
			put(s, 0, late+1, 1, vals(0, 2))
		}, 3*first + 2*firstChunkRows},
	} {
		s := New()
		put(s, 0, late, 1, vals(0))
		s.Publish()
		before := s.Bytes()
		c.change(s)
		s.Publish()
		if got := s.Bytes() - before; got != c.bytes {
			t.Errorf("%s: %d bytes more, want %d", c.what, got, c.bytes)
		}
	}
}
