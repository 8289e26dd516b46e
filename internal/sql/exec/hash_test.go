package exec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/vec"
)

// TestGroupsOfWholeNumbersAreThoseOfAMap numbers whole numbers that lie close together, apart, or first one
// and then the other, with nulls among them.
func TestGroupsOfWholeNumbersAreThoseOfAMap(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 5))
	near := func(base, span int64) func(int) int64 { return func(int) int64 { return base + rng.Int64N(span) } }
	far := func(int) int64 { return int64(rng.Uint64()) }
	for name, draw := range map[string]func(i int) int64{
		"few":                near(-3, 7),
		"close":              near(1e15, 50_000),
		"far":                far,
		"the least":          near(math.MinInt64, 9000),
		"the greatest":       near(math.MaxInt64-9000, 9000),
		"falling":            func(i int) int64 { return int64(-i) },
		"close, then far":    func(i int) int64 { return map[bool]func(int) int64{true: near(0, 900), false: far}[i < 6000](i) },
		"denser and denser":  near(0, 60_000),
		"both ends":          func(i int) int64 { return []int64{math.MinInt64, math.MaxInt64, 0, -1}[rng.IntN(4)] },
		"of one part":        func(i int) int64 { return rng.Int64N(3000) << partitionBits },
		"of one part, apart": func(i int) int64 { return rng.Int64N(3e12) << partitionBits },
	} {
		for _, withNulls := range []bool{false, true} {
			table := newGroupTable([]vec.Type{vec.BigintType})
			if strings.HasPrefix(name, "of one part") {
				table.step = partitionBits
			}
			want := map[any]int32{}
			for from := 0; from < 20_000; from += 1000 {
				vals, nulls := make([]int64, 1000), make([]bool, 1000)
				for i := range vals {
					vals[i], nulls[i] = draw(from+i), withNulls && rng.IntN(9) == 0
				}
				v := vec.OfInts(vec.BigintType, vals, nulls)
				if from == 9000 {
					table.reserve(20_000)
				}
				ids := table.assign([]*vec.Vector{v}, 1000, nil)
				again := table.lookup([]*vec.Vector{v}, 1000, nil)
				for i, g := range ids {
					key := v.Value(i).String()
					if _, ok := want[key]; !ok {
						want[key] = int32(len(want))
					}
					if g != want[key] || again[i] != g {
						t.Fatalf("%s: row %d, %s, is of group %d, then %d, want %d", name, from+i, key, g, again[i], want[key])
					}
				}
			}
			if table.len() != len(want) {
				t.Errorf("%s: %d groups, want %d", name, table.len(), len(want))
			}
			keys := table.columns()[0]
			for g := range table.len() {
				if want[keys.Value(g).String()] != int32(g) {
					t.Fatalf("%s: group %d has key %v", name, g, keys.Value(g))
				}
			}
			for _, x := range []int64{math.MinInt64, -4, 1e15 - 1, math.MaxInt64} {
				x &^= 1<<table.step - 1
				ids := table.lookup([]*vec.Vector{vec.OfInts(vec.BigintType, []int64{x, x}, nil)}, 2, nil)
				if g, ok := want[strconv.FormatInt(x, 10)]; ok != (ids[0] >= 0) || ok && g != ids[0] {
					t.Errorf("%s: %d has group %d", name, x, ids[0])
				}
			}
		}
	}
}

// TestTextsHaveOneNumberEach numbers texts of all lengths, some of which differ in their last letter alone.
func TestTextsHaveOneNumberEach(t *testing.T) {
	t.Parallel()
	var texts []string
	for n := range 40 {
		text := strings.Repeat("x", n)
		texts = append(texts, text, text+"y", text+"\x00", text+"x\x00")
	}
	texts = append(texts, strings.Repeat("long", mostBlock), strings.Repeat("long", mostBlock/3), strings.Repeat("long", mostBlock)+"!")
	for i := range int64(5000) {
		texts = append(texts, strconv.FormatInt(i, 10), "a text that is no short one "+strconv.FormatInt(i, 10))
	}
	table, want := newTextTable(), map[string]uint32{}
	words := make([]uint64, len(texts))
	for round := range 2 {
		clear(words)
		table.codes(words, 1, 0, texts, nil, true)
		for i, s := range texts {
			if _, ok := want[s]; !ok {
				want[s] = uint32(len(want) + 1)
			}
			if words[i] != uint64(want[s]) || table.code(s, false) != want[s] {
				t.Fatalf("round %d: %.50q is %d, want %d", round, s, words[i], want[s])
			}
		}
	}
	all := table.texts()
	for s, code := range want {
		if all[code] != s {
			t.Errorf("text %d is %.50q, want %.50q", code, all[code], s)
		}
		if _, there := want[s+"?"]; !there && table.code(s+"?", false) != missing {
			t.Errorf("%.50q is there", s+"?")
		}
	}
	if len(all) != len(want)+1 || table.len() != len(all) {
		t.Errorf("%d texts, want %d", len(all), len(want)+1)
	}
}

// TestTextsOfOneHashHaveTheirOwnCodes finds two texts of one length, one beginning and one upper half of the hash.
func TestTextsOfOneHashHaveTheirOwnCodes(t *testing.T) {
	t.Parallel()
	seen := map[uint32]string{}
	for i := 0; ; i++ {
		text := fmt.Sprintf("text%012d", i)
		_, hash := keyOf(text)
		other, found := seen[uint32(hash>>32)]
		if !found {
			seen[uint32(hash>>32)] = text
			continue
		}
		table := newTextTable()
		if a, b := table.code(other, true), table.code(text, true); a == b {
			t.Errorf("%q and %q both have the code %d", other, text, a)
		}
		return
	}
}

func TestEmptyTextsBehindAFullPieceAreEmpty(t *testing.T) {
	t.Parallel()
	var heap textHeap
	text := strings.Repeat("x", 16)
	for heap.open.Len() < 1<<pieceBits {
		heap.last = "" // as if another text had come between
		heap.add(text)
	}
	if ref := heap.add(""); heap.at(ref) != "" {
		t.Errorf("an empty text is read as %q", heap.at(ref))
	}
}
