package exec

import (
	"cmp"
	"context"
	"slices"

	"github.com/weir-db/weir/internal/vec"
)

// merge merges sorted inputs; of equal rows that of the earlier input comes first. A tree of losers
// says which input is next: each inner node holds the input that lost there, so that a row costs one
// comparison per level.
type merge struct {
	most   int // rows in a batch
	keys   *sortSpec
	at     []int // columns of the keys
	types  []vec.Type
	inputs []*mergeInput
	losers []int // inner nodes 1 to len(inputs)-1; losers[0] is the winner
	ready  bool

	// The batch in the making: row k is row picked[k] of sources[from[k]].
	sources []*vec.Batch
	from    []int32
	picked  []int32
}

// mergeInput is one input and its batch in hand.
type mergeInput struct {
	in     batches
	b      *vec.Batch // nil at the end
	row    int
	source int32 // of b, once a row of it is picked; -1
	keys   []*vec.Vector
	nums   []mergeKey
}

// mergeKey is a key of a batch as numbers that compare across batches.
type mergeKey struct {
	nums  []uint64
	nulls []bool
	exact bool
}

func newMerge(most int, keys *sortSpec, at []int, types []vec.Type, inputs []batches) *merge {
	m := &merge{most: most, keys: keys, at: at, types: types}
	for _, in := range inputs {
		m.inputs = append(m.inputs, &mergeInput{in: in, source: -1})
	}
	return m
}

func (m *merge) next(ctx context.Context) (*vec.Batch, error) {
	if !m.ready {
		if err := m.start(ctx); err != nil {
			return nil, err
		}
		m.ready = true
	}
	for len(m.picked) < m.most {
		w := m.losers[0]
		in := m.inputs[w]
		if in.b == nil {
			break
		}
		if in.source < 0 {
			in.source = int32(len(m.sources))
			m.sources = append(m.sources, in.b)
		}
		m.from, m.picked = append(m.from, in.source), append(m.picked, int32(in.row))
		if in.row++; in.row == in.b.Len {
			if err := m.load(ctx, in); err != nil {
				return nil, err
			}
		}
		m.replay(w)
	}
	if len(m.picked) == 0 {
		return nil, nil
	}
	b := m.batch()
	m.sources, m.from, m.picked = m.sources[:0], m.from[:0], m.picked[:0]
	for _, in := range m.inputs {
		in.source = -1
	}
	return b, nil
}

// start loads all inputs and plays the tournament.
func (m *merge) start(ctx context.Context) error {
	for _, in := range m.inputs {
		if err := m.load(ctx, in); err != nil {
			return err
		}
	}
	n := len(m.inputs)
	m.losers = make([]int, max(1, n))
	winners := make([]int, 2*n)
	for i := range n {
		winners[n+i] = i
	}
	for node := n - 1; node > 0; node-- {
		a, b := winners[2*node], winners[2*node+1]
		if m.before(b, a) {
			a, b = b, a
		}
		winners[node], m.losers[node] = a, b
	}
	if n > 1 {
		m.losers[0] = winners[1]
	}
	return nil
}

// replay finds the winner after input w has moved on.
func (m *merge) replay(w int) {
	for node := (len(m.inputs) + w) / 2; node > 0; node /= 2 {
		if m.before(m.losers[node], w) {
			m.losers[node], w = w, m.losers[node]
		}
	}
	m.losers[0] = w
}

// before reports whether the row in hand of input a comes before that of input b.
func (m *merge) before(a, b int) bool {
	x, y := m.inputs[a], m.inputs[b]
	if x.b == nil || y.b == nil {
		return x.b != nil || y.b == nil && a < b
	}
	i, j := x.row, y.row
	for k := range x.nums {
		p, q := &x.nums[k], &y.nums[k]
		pn, qn := p.nulls != nil && p.nulls[i], q.nulls != nil && q.nulls[j]
		if pn || qn {
			if pn == qn {
				continue
			}
			return pn == m.keys.first[k]
		}
		if u, v := p.nums[i], q.nums[j]; u != v {
			return u < v
		}
		if !p.exact || !q.exact {
			if c := m.keys.compareKey(k, x.keys[k], i, y.keys[k], j); c != 0 {
				return c < 0
			}
		}
	}
	return cmp.Less(a, b)
}

// load takes the next batch of an input in hand.
func (m *merge) load(ctx context.Context, in *mergeInput) error {
	b, err := in.in.next(ctx)
	in.b, in.row, in.source = b, 0, -1
	if err != nil || b == nil {
		return err
	}
	// Flat columns are gathered quickest.
	flat := &vec.Batch{Len: b.Len, Columns: make([]*vec.Vector, len(b.Columns))}
	for i, c := range b.Columns {
		if flat.Columns[i] = c; c.Type.Kind.Storage() != vec.StoreNested && c.Type.Kind != vec.Unknown {
			flat.Columns[i] = c.Flat()
		}
	}
	in.b = flat
	in.keys, in.nums = make([]*vec.Vector, len(m.at)), make([]mergeKey, len(m.at))
	for k, c := range m.at {
		v := flat.Columns[c]
		in.keys[k] = v
		in.nums[k] = numbersOf(v, m.keys.desc[k])
	}
	return nil
}

// numbersOf returns numbers that compare as v does, also with those of other vectors.
func numbersOf(v *vec.Vector, desc bool) mergeKey {
	v = v.Flat()
	key := mergeKey{nums: make([]uint64, v.Len()), nulls: v.Nulls, exact: true}
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		for i, n := range v.Ints {
			key.nums[i] = uint64(n) ^ 1<<63
		}
	case vec.StoreFloats:
		for i, f := range v.Floats {
			key.nums[i] = floatOrder(f)
		}
	case vec.StoreBools:
		for i, b := range v.Bools {
			if b {
				key.nums[i] = 1
			}
		}
	case vec.StoreStrs:
		for i, s := range v.Strs {
			var all bool
			key.nums[i], all = stringOrder(s)
			key.exact = key.exact && all
		}
	case vec.StoreNone:
		key.nulls = slices.Repeat([]bool{true}, v.Len())
	default:
		key.exact = false // the values decide
		return key
	}
	if desc {
		for i := range key.nums {
			key.nums[i] = ^key.nums[i]
		}
	}
	return key
}

// batch gathers the picked rows.
func (m *merge) batch() *vec.Batch {
	n := len(m.picked)
	b := &vec.Batch{Len: n, Columns: make([]*vec.Vector, len(m.types))}
	if len(m.sources) == 1 {
		return m.sources[0].Gather(m.picked)
	}
	columns := make([]*vec.Vector, len(m.sources))
	for c, t := range m.types {
		for i, s := range m.sources {
			columns[i] = s.Columns[c]
		}
		b.Columns[c] = interleave(t, columns, m.from, m.picked)
	}
	return b
}

// interleave returns the vector whose row k is row rows[k] of sources[from[k]].
func interleave(t vec.Type, sources []*vec.Vector, from, rows []int32) *vec.Vector {
	n := len(rows)
	kind := t.Kind.Storage()
	if kind == vec.StoreNested || kind == vec.StoreNone {
		return interleaveAny(t, sources, from, rows)
	}
	var nulls []bool
	for _, s := range sources {
		if s.HasNulls() {
			nulls = make([]bool, n)
			break
		}
	}
	if nulls != nil {
		for k, r := range rows {
			nulls[k] = sources[from[k]].IsNull(int(r))
		}
	}
	switch kind {
	case vec.StoreInts:
		out := make([]int64, n)
		for k, r := range rows {
			out[k] = sources[from[k]].Ints[r]
		}
		return vec.OfInts(t, out, nulls)
	case vec.StoreFloats:
		out := make([]float64, n)
		for k, r := range rows {
			out[k] = sources[from[k]].Floats[r]
		}
		return vec.OfFloats(out, nulls)
	case vec.StoreBools:
		out := make([]bool, n)
		for k, r := range rows {
			out[k] = sources[from[k]].Bools[r]
		}
		return vec.OfBools(out, nulls)
	}
	out := make([]string, n)
	for k, r := range rows {
		out[k] = sources[from[k]].Strs[r]
	}
	return vec.OfStrs(out, nulls).Retype(t)
}

// interleaveAny is interleave by pieces.
func interleaveAny(t vec.Type, sources []*vec.Vector, from, rows []int32) *vec.Vector {
	places, picks := make([][]int32, len(sources)), make([][]int32, len(sources))
	for k, s := range from {
		places[s], picks[s] = append(places[s], int32(k)), append(picks[s], rows[k])
	}
	parts := make([]*vec.Vector, len(sources))
	for i, s := range sources {
		parts[i] = retype(s.Gather(picks[i]), t)
	}
	return scatter(t, len(rows), places, parts)
}

func (m *merge) close() {
	for _, in := range m.inputs {
		in.in.close()
		in.b = nil
	}
	m.sources = nil
}
