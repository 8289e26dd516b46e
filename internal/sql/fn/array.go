package fn

import (
	"math/rand/v2"

	"github.com/weir-db/weir/internal/vec"
)

// maxEntries is the most elements that sequence and repeat make.
const maxEntries = 10000

// arrayFunctions is sql.md section 8.7 without lambdas, and the operators [] and || over
// arrays.
func arrayFunctions() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"array", text, example, result}, Eval: eval, noText: true}
	}
	const ds, ym = "interval day to second", "interval year to month"
	shuffle := volatile(f("shuffle(array(T)) -> array(T)", "The elements in random order.", "cardinality(shuffle(ARRAY[3, 4]))", "2", regroup(shuffled)))
	repeat := f("repeat(T, bigint) -> array(T)", "An array of n times x, which may be null.", "repeat('a', 3)", "[a, a, a]", repeatKernel)
	repeat.CalledOnNull = true
	out := []Scalar{
		f("[](array(T), bigint) -> T", "Element i, from 1; outside the array an error.", "ARRAY[3, 4, 5][2]", "4", elementKernel(subscript)),
		f("||(array(T), array(T)) -> array(T)", "The arrays joined.", "ARRAY[3, 4] || ARRAY[5]", "[3, 4, 5]", concatArrays),
		f("||(array(T), T) -> array(T)", "The array with one element more at its end.", "ARRAY[3, 4] || 5", "[3, 4, 5]", concatArrays),
		f("||(T, array(T)) -> array(T)", "The array with one element more at its start.", "3 || ARRAY[4, 5]", "[3, 4, 5]", concatArrays),
		f("concat(array(T), array(T)...) -> array(T)", "The arrays joined.", "concat(ARRAY[3], ARRAY[4], ARRAY[5])", "[3, 4, 5]", concatArrays),
		f("array_distinct(array(T)) -> array(T)", "The elements without repetition, in the order of first occurrence.", "array_distinct(ARRAY[4, 3, 4, NULL, NULL])", "[4, 3, NULL]", regroup(distinctRows)),
		f("array_intersect(array(T), array(T)) -> array(T)", "The elements in both, without repetition.", "array_intersect(ARRAY[3, 4, 5], ARRAY[5, 4, 4])", "[4, 5]", setKernel(intersect)),
		f("array_union(array(T), array(T)) -> array(T)", "The elements in either, without repetition.", "array_union(ARRAY[3, 4], ARRAY[5, 4])", "[3, 4, 5]", setKernel(union)),
		f("array_except(array(T), array(T)) -> array(T)", "The elements of the first that are not in the second, without repetition.", "array_except(ARRAY[3, 4, 3], ARRAY[4])", "[3]", setKernel(except)),
		f("array_join(array(T), varchar) -> varchar", "The elements as texts with a separator; nulls are skipped.", "array_join(ARRAY[3, NULL, 5], '-')", "3-5", arrayJoin),
		f("array_join(array(T), varchar, varchar) -> varchar", "The elements as texts with a separator, and a text for nulls.", "array_join(ARRAY[3, NULL, 5], '-', '?')", "3-?-5", arrayJoin),
		f("array_max(array(T)) -> T", "The greatest element; null if there is none or one is null.", "array_max(ARRAY[3, 7, 5])", "7", elementKernel(best(1))),
		f("array_min(array(T)) -> T", "The least element; null if there is none or one is null.", "array_min(ARRAY[3, 7, 5])", "3", elementKernel(best(-1))),
		f("array_position(array(T), T) -> bigint", "Where x first occurs, or 0.", "array_position(ARRAY[3, 7, 5], 7)", "2", searchKernel(func(at int) int64 { return int64(at + 1) })),
		f("array_remove(array(T), T) -> array(T)", "The elements not equal to x.", "array_remove(ARRAY[3, 7, 3], 3)", "[7]", arrayRemove),
		f("array_sort(array(T)) -> array(T)", "The elements in ascending order, nulls last.", "array_sort(ARRAY[5, NULL, 3])", "[3, 5, NULL]", regroup(sortedRows)),
		f("arrays_overlap(array(T), array(T)) -> boolean", "Whether the arrays share an element; null if only a null could tell.", "arrays_overlap(ARRAY[3, 4], ARRAY[4, 5])", "true", arraysOverlap),
		f("cardinality(array(T)) -> bigint", "Number of elements.", "cardinality(ARRAY[3, 4])", "2", cardinality),
		f("contains(array(T), T) -> boolean", "Whether x is an element; null if only a null could tell.", "contains(ARRAY[3, 4], 4)", "true", containsKernel),
		f("element_at(array(T), bigint) -> T", "Element i, negative from the end; null outside the array.", "element_at(ARRAY[3, 4, 5], -1)", "5", elementKernel(elementAt)),
		f("flatten(array(array(T))) -> array(T)", "The elements of the elements.", "flatten(ARRAY[ARRAY[3, 4], ARRAY[5]])", "[3, 4, 5]", flattenKernel),
		repeat,
		f("reverse(array(T)) -> array(T)", "The elements in reverse order.", "reverse(ARRAY[3, 4])", "[4, 3]", regroup(reversedRows)),
		f("sequence(bigint, bigint) -> array(bigint)", "The whole numbers from a to b, up or down.", "sequence(3, 6)", "[3, 4, 5, 6]", sequenceInts),
		f("sequence(bigint, bigint, bigint) -> array(bigint)", "The numbers from a to b in steps.", "sequence(10, 3, -3)", "[10, 7, 4]", sequenceInts),
		f("sequence(timestamp, timestamp) -> array(timestamp)", "The timestamps from a to b in steps of a day.", "cardinality(sequence(TIMESTAMP '2031-02-03', TIMESTAMP '2031-02-05'))", "3", sequenceTimes),
		f("sequence(timestamp, timestamp, "+ds+") -> array(timestamp)", "The timestamps from a to b in steps.", "sequence(TIMESTAMP '2031-02-03 00:00', TIMESTAMP '2031-02-03 01:00', 45m)", "[2031-02-03 00:00:00.000000000, 2031-02-03 00:45:00.000000000]", sequenceTimes),
		f("sequence(timestamp, timestamp, "+ym+") -> array(timestamp)", "The timestamps from a to b in steps of months, each counted from a.", "sequence(TIMESTAMP '2031-01-31', TIMESTAMP '2031-03-31', 1month)[3]", "2031-03-31 00:00:00.000000000", sequenceMonths),
		shuffle,
		f("slice(array(T), bigint, bigint) -> array(T)", "So many elements from a position; a negative one counts from the end.", "slice(ARRAY[3, 4, 5], 2, 2)", "[4, 5]", slice),
		f("zip(array(T), array(U)) -> array(row(T, U))", "Rows of the elements at the same position, padded with nulls.", "zip(ARRAY[3, 4], ARRAY['a'])", "[(3, a), (4, NULL)]", zip),
		f("zip(array(T), array(U), array(V)) -> array(row(T, U, V))", "Rows of the elements at the same position, padded with nulls.", "zip(ARRAY[3], ARRAY['a'], ARRAY[true])", "[(3, a, true)]", zip),
		f("zip(array(T), array(U), array(V), array(W)) -> array(row(T, U, V, W))", "Rows of the elements at the same position, padded with nulls.", "cardinality(zip(ARRAY[3], ARRAY['a'], ARRAY[true], ARRAY[5]))", "1", zip),
		f("zip(array(T), array(U), array(V), array(W), array(X)) -> array(row(T, U, V, W, X))", "Rows of the elements at the same position, padded with nulls.", "cardinality(zip(ARRAY[3], ARRAY['a'], ARRAY[true], ARRAY[5], ARRAY[6]))", "1", zip),
	}
	for i := range out {
		if out[i].Signature[:8] == "sequence" {
			out[i].noText = false
		}
	}
	return out
}

// pick returns the vector whose row k is row rows[k] of v, null where rows[k] < 0.
func pick(c *Context, v *vec.Vector, rows []int32) *vec.Vector {
	var nulls []bool
	for k, r := range rows {
		if r >= 0 {
			continue
		}
		if nulls == nil {
			nulls = make([]bool, len(rows))
		}
		nulls[k] = true
	}
	if nulls == nil {
		return v.Gather(rows)
	}
	if v.Len() == 0 || v.Type.Kind == vec.Unknown {
		return vec.NullsOf(c.Return, len(rows))
	}
	return spread(v.Flat(), rows, nulls)
}

// elementKernel picks one element per row; at returns its child row, or -1 for null.
func elementKernel(at func(p *pace, elems *vec.Vector, from, to int, i int64) (int, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		elems := args[0].Children[0]
		index := col[int64]{vals: []int64{0}}
		if len(args) > 1 {
			index = colOf[int64](args[1])
		}
		rows := make([]int32, n)
		p := pace{c: c}
		for i := range rows {
			from, to := span(args[0], i)
			r, err := at(&p, elems, from, to, index.at(i))
			if err != nil {
				return nil, err
			}
			rows[i] = int32(r)
		}
		return pick(c, elems, rows), nil
	}
}

func subscript(_ *pace, _ *vec.Vector, from, to int, i int64) (int, error) {
	switch {
	case i == 0:
		return 0, fail("SQL array indices start at 1")
	case i < 0:
		return 0, fail("Array subscript is negative: %d", i)
	case i > int64(to-from):
		return 0, fail("Array subscript out of bounds")
	}
	return from + int(i) - 1, nil
}

func elementAt(_ *pace, _ *vec.Vector, from, to int, i int64) (int, error) {
	switch n := int64(to - from); {
	case i == 0:
		return 0, fail("SQL array indices start at 1")
	case i > n || i < -n:
		return -1, nil
	case i < 0:
		return to + int(i), nil
	}
	return from + int(i) - 1, nil
}

func best(sign int) func(p *pace, elems *vec.Vector, from, to int, _ int64) (int, error) {
	return func(p *pace, elems *vec.Vector, from, to int, _ int64) (int, error) {
		at := -1
		for r := from; r < to; r++ {
			if err := p.step(); err != nil {
				return -1, err
			}
			if elems.IsNull(r) {
				return -1, nil
			}
			if at < 0 || vec.Compare(elems, r, elems, at) == sign {
				at = r
			}
		}
		return at, nil
	}
}

// regroup makes a kernel of a function that appends, for one array, the child rows of
// the result.
func regroup(f func(p *pace, rows []int32, elems *vec.Vector, from, to int) ([]int32, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		elems := args[0].Children[0]
		offsets := make([]int32, 1, n+1)
		var rows []int32
		p := pace{c: c}
		for i := range n {
			from, to := span(args[0], i)
			var err error
			if rows, err = f(&p, rows, elems, from, to); err != nil {
				return nil, err
			}
			offsets = append(offsets, int32(len(rows)))
		}
		return vec.OfNested(c.Return, offsets, nil, elems.Gather(rows)), nil
	}
}

func rowsOf(rows []int32, from, to int) []int32 {
	for r := from; r < to; r++ {
		rows = append(rows, int32(r))
	}
	return rows
}

func shuffled(_ *pace, rows []int32, _ *vec.Vector, from, to int) ([]int32, error) {
	start := len(rows)
	rows = rowsOf(rows, from, to)
	own := rows[start:]
	rand.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
	return rows, nil
}

func reversedRows(_ *pace, rows []int32, _ *vec.Vector, from, to int) ([]int32, error) {
	for r := to - 1; r >= from; r-- {
		rows = append(rows, int32(r))
	}
	return rows, nil
}

func sortedRows(p *pace, rows []int32, elems *vec.Vector, from, to int) ([]int32, error) {
	start := len(rows)
	rows = rowsOf(rows, from, to)
	err := p.sort(rows[start:], func(a, b int32) int {
		switch an, bn := elems.IsNull(int(a)), elems.IsNull(int(b)); {
		case an && bn:
			return 0
		case an:
			return 1
		case bn:
			return -1
		}
		return vec.Compare(elems, int(a), elems, int(b))
	})
	return rows, err
}

func distinctRows(p *pace, rows []int32, elems *vec.Vector, from, to int) ([]int32, error) {
	s := valueSet{elems: elems}
	for r := from; r < to; r++ {
		if err := p.step(); err != nil {
			return nil, err
		}
		if s.add(r) {
			rows = append(rows, int32(r))
		}
	}
	return rows, nil
}

// valueSet is a set of rows of a vector, by value; null is a value.
type valueSet struct {
	elems *vec.Vector
	rows  map[uint64][]int32
}

func (s *valueSet) add(r int) bool {
	if s.has(s.elems, r) {
		return false
	}
	if s.rows == nil {
		s.rows = map[uint64][]int32{}
	}
	h := s.elems.HashRow(r)
	s.rows[h] = append(s.rows[h], int32(r))
	return true
}

func (s *valueSet) has(v *vec.Vector, r int) bool {
	if len(s.rows) == 0 {
		return false
	}
	for _, own := range s.rows[v.HashRow(r)] {
		if vec.Equal(s.elems, int(own), v, r) {
			return true
		}
	}
	return false
}

// rowSpan is the child rows of one array.
type rowSpan struct{ from, to int }

// setKernel makes a kernel of a set operation on two spans of rows of one vector.
func setKernel(f func(p *pace, rows []int32, elems *vec.Vector, a, b rowSpan) ([]int32, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		elems := joined(c.Return.Elem, args[0].Children[0], args[1].Children[0])
		shift := args[0].Children[0].Len()
		offsets := make([]int32, 1, n+1)
		var rows []int32
		p := pace{c: c}
		for i := range n {
			var a, b rowSpan
			a.from, a.to = span(args[0], i)
			b.from, b.to = span(args[1], i)
			var err error
			if rows, err = f(&p, rows, elems, a, rowSpan{b.from + shift, b.to + shift}); err != nil {
				return nil, err
			}
			offsets = append(offsets, int32(len(rows)))
		}
		return vec.OfNested(c.Return, offsets, nil, elems.Gather(rows)), nil
	}
}

// joined returns the rows of some vectors of one type, one after the other.
func joined(t *vec.Type, parts ...*vec.Vector) *vec.Vector {
	b := vec.NewBuilder(*t, 0)
	for _, p := range parts {
		for i := range p.Len() {
			b.AppendFrom(p, i)
		}
	}
	return b.Vector()
}

func union(p *pace, rows []int32, elems *vec.Vector, a, b rowSpan) ([]int32, error) {
	s := valueSet{elems: elems}
	for _, part := range []rowSpan{a, b} {
		for r := part.from; r < part.to; r++ {
			if err := p.step(); err != nil {
				return nil, err
			}
			if s.add(r) {
				rows = append(rows, int32(r))
			}
		}
	}
	return rows, nil
}

func intersect(p *pace, rows []int32, elems *vec.Vector, a, b rowSpan) ([]int32, error) {
	return chosen(p, rows, elems, a, b, true)
}

func except(p *pace, rows []int32, elems *vec.Vector, a, b rowSpan) ([]int32, error) {
	return chosen(p, rows, elems, a, b, false)
}

// chosen appends the distinct elements of a that are (or are not) in b.
func chosen(p *pace, rows []int32, elems *vec.Vector, a, b rowSpan, in bool) ([]int32, error) {
	other, seen := valueSet{elems: elems}, valueSet{elems: elems}
	for r := b.from; r < b.to; r++ {
		if err := p.step(); err != nil {
			return nil, err
		}
		other.add(r)
	}
	for r := a.from; r < a.to; r++ {
		if err := p.step(); err != nil {
			return nil, err
		}
		if other.has(elems, r) == in && seen.add(r) {
			rows = append(rows, int32(r))
		}
	}
	return rows, nil
}

// concatArrays joins arrays and single elements, whichever the arguments are.
func concatArrays(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	b := vec.NewBuilder(*c.Return.Elem, n)
	offsets := make([]int32, 1, n+1)
	whole := make([]bool, len(args)) // the argument is an array to open
	for k := range args {
		whole[k] = c.Args[k].Equal(c.Return)
	}
	if err := CheckSize(args...); err != nil {
		return nil, err
	}
	for i := range n {
		for k, a := range args {
			if !whole[k] {
				b.AppendFrom(a, i)
				continue
			}
			from, to := span(a, i)
			for r := from; r < to; r++ {
				b.AppendFrom(a.Children[0], r)
			}
		}
		offsets = append(offsets, int32(b.Len()))
	}
	return vec.OfNested(c.Return, offsets, nil, b.Vector()), nil
}

func arrayJoin(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	elems := args[0].Children[0]
	if elems.Type.Kind.Storage() == vec.StoreNested {
		return nil, fail("Input type %s not supported", args[0].Type)
	}
	sep := colOf[string](args[1])
	var missing col[string]
	if len(args) == 3 {
		missing = colOf[string](args[2])
	}
	var buf []byte
	p := pace{c: c}
	return collect(c, n, func(i int) (string, bool, error) {
		buf = buf[:0]
		first := true
		from, to := span(args[0], i)
		for r := from; r < to; r++ {
			if err := p.step(); err != nil {
				return "", false, err
			}
			null := elems.IsNull(r)
			if null && len(args) < 3 {
				continue
			}
			if !first {
				buf = append(buf, sep.at(i)...)
			}
			first = false
			if null {
				buf = append(buf, missing.at(i)...)
			} else {
				buf = vec.AppendText(buf, elems, r)
			}
			if len(buf) > maxTextBytes {
				return "", false, errTextTooLong()
			}
		}
		return string(buf), true, nil
	})
}

// find returns the child row of the first element equal to row i of x, or -1; nulls
// says that a null was met before.
func find(p *pace, elems *vec.Vector, from, to int, x *vec.Vector, i int) (at int, nulls bool, err error) {
	for r := from; r < to; r++ {
		if err := p.step(); err != nil {
			return -1, false, err
		}
		same, known := nestedEqual(elems, r, x, i)
		if known && same {
			return r, nulls, nil
		}
		nulls = nulls || !known
	}
	return -1, nulls, nil
}

func searchKernel(f func(at int) int64) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		out := make([]int64, n)
		p := pace{c: c}
		for i := range out {
			from, to := span(args[0], i)
			at, _, err := find(&p, args[0].Children[0], from, to, args[1], i)
			if err != nil {
				return nil, err
			}
			if at >= 0 {
				out[i] = f(at - from)
			}
		}
		return vec.OfInts(c.Return, out, nil), nil
	}
}

func containsKernel(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	p := pace{c: c}
	return collect(c, n, func(i int) (bool, bool, error) {
		from, to := span(args[0], i)
		at, nulls, err := find(&p, args[0].Children[0], from, to, args[1], i)
		return at >= 0, at >= 0 || !nulls, err
	})
}

func arrayRemove(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	elems := args[0].Children[0]
	offsets := make([]int32, 1, n+1)
	var rows []int32
	p := pace{c: c}
	for i := range n {
		from, to := span(args[0], i)
		for r := from; r < to; r++ {
			if err := p.step(); err != nil {
				return nil, err
			}
			if same, known := nestedEqual(elems, r, args[1], i); !known || !same {
				rows = append(rows, int32(r))
			}
		}
		offsets = append(offsets, int32(len(rows)))
	}
	return vec.OfNested(c.Return, offsets, nil, elems.Gather(rows)), nil
}

func arraysOverlap(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	a, b := args[0].Children[0], args[1].Children[0]
	p := pace{c: c}
	return collect(c, n, func(i int) (bool, bool, error) {
		aFrom, aTo := span(args[0], i)
		bFrom, bTo := span(args[1], i)
		s := valueSet{elems: b}
		nulls := false
		for r := bFrom; r < bTo; r++ {
			if err := p.step(); err != nil {
				return false, false, err
			}
			if b.IsNull(r) {
				nulls = true
			} else {
				s.add(r)
			}
		}
		for r := aFrom; r < aTo; r++ {
			if err := p.step(); err != nil {
				return false, false, err
			}
			switch {
			case a.IsNull(r):
				nulls = true
			case s.has(a, r):
				return true, true, nil
			}
		}
		return false, !nulls || aFrom == aTo || bFrom == bTo, nil
	})
}

func cardinality(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	out := make([]int64, n)
	for i := range out {
		from, to := span(args[0], i)
		out[i] = int64(to - from)
	}
	return vec.OfInts(c.Return, out, nil), nil
}

func flattenKernel(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	inner := args[0].Children[0].Flat()
	if inner.Type.Kind == vec.Unknown {
		return vec.OfNested(c.Return, make([]int32, n+1), nil, vec.NewBuilder(*c.Return.Elem, 0).Vector()), nil
	}
	offsets := make([]int32, 1, n+1)
	var rows []int32
	for i := range n {
		from, to := span(args[0], i)
		for r := from; r < to; r++ {
			if !inner.IsNull(r) {
				rows = rowsOf(rows, int(inner.Offsets[r]), int(inner.Offsets[r+1]))
			}
		}
		offsets = append(offsets, int32(len(rows)))
	}
	return vec.OfNested(c.Return, offsets, nil, inner.Children[0].Gather(rows)), nil
}

func repeatKernel(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	x, count := args[0], args[1]
	meter := newElementMeter()
	offsets := make([]int32, 1, n+1)
	var rows []int32
	var nulls []bool
	for i := range n {
		if count.IsNull(i) {
			if nulls == nil {
				nulls = make([]bool, n)
			}
			nulls[i] = true
			offsets = append(offsets, int32(len(rows)))
			continue
		}
		switch k := count.Int(i); {
		case k < 0:
			return nil, fail("count argument of repeat function must be greater than or equal to 0")
		case k > maxEntries:
			return nil, fail("count argument of repeat function must be less than or equal to %d", maxEntries)
		default:
			if err := meter.add(int(k) * weight(x, i)); err != nil {
				return nil, err
			}
			for range k {
				rows = append(rows, int32(i))
			}
		}
		offsets = append(offsets, int32(len(rows)))
	}
	return vec.OfNested(c.Return, offsets, nulls, x.Flat().Gather(rows)), nil
}

func slice(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	starts, counts := colOf[int64](args[1]), colOf[int64](args[2])
	offsets := make([]int32, 1, n+1)
	var rows []int32
	for i := range n {
		from, to := span(args[0], i)
		start, count := starts.at(i), counts.at(i)
		switch {
		case start == 0:
			return nil, fail("SQL array indices start at 1")
		case count < 0:
			return nil, fail("length must be greater than or equal to 0")
		case start < 0:
			start += int64(to - from)
		default:
			start--
		}
		if size := int64(to - from); start >= 0 && start < size {
			end := start + min(count, size-start)
			rows = rowsOf(rows, from+int(start), from+int(end))
		}
		offsets = append(offsets, int32(len(rows)))
	}
	return vec.OfNested(c.Return, offsets, nil, args[0].Children[0].Gather(rows)), nil
}

func zip(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	offsets := make([]int32, 1, n+1)
	builders := make([]*vec.Builder, len(args))
	for k, f := range c.Return.Elem.Fields {
		builders[k] = vec.NewBuilder(f.Type, n)
	}
	total := 0
	for i := range n {
		longest := 0
		for _, a := range args {
			from, to := span(a, i)
			longest = max(longest, to-from)
		}
		for k, a := range args {
			from, to := span(a, i)
			for r := range longest {
				if from+r < to {
					builders[k].AppendFrom(a.Children[0], from+r)
				} else {
					builders[k].AppendNull()
				}
			}
		}
		total += longest
		offsets = append(offsets, int32(total))
	}
	fields := make([]*vec.Vector, len(args))
	for k, b := range builders {
		fields[k] = b.Vector()
	}
	return vec.OfNested(c.Return, offsets, nil, vec.OfRows(*c.Return.Elem, total, nil, fields...)), nil
}

// sequence appends a, a+step, … up to b to vals.
func sequence(vals []int64, a, b, step int64, next func(k int64) (int64, error)) ([]int64, error) {
	if step == 0 {
		return nil, fail("step must not be zero")
	}
	if step > 0 && b < a || step < 0 && b > a {
		return nil, fail("sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start")
	}
	for k := int64(0); ; k++ {
		x, err := next(k)
		if err != nil || step > 0 && x > b || step < 0 && x < b {
			return vals, nil // past the end, or past the type's range
		}
		if k == maxEntries {
			return nil, fail("result of sequence function must not have more than %d entries", maxEntries)
		}
		vals = append(vals, x)
	}
}

// sequenceKernel makes sequences of n rows; step gives the step of a row and the k-th value
// from a.
func sequenceKernel(c *Context, args []*vec.Vector, n int, row func(i int, a, b int64) (step int64, next func(k int64) (int64, error))) (*vec.Vector, error) {
	a, b := colOf[int64](args[0]), colOf[int64](args[1])
	offsets := make([]int32, 1, n+1)
	var vals []int64
	for i := range n {
		step, next := row(i, a.at(i), b.at(i))
		var err error
		if vals, err = sequence(vals, a.at(i), b.at(i), step, next); err != nil {
			return nil, err
		}
		if len(vals) > maxElements {
			return nil, errTooManyElements()
		}
		offsets = append(offsets, int32(len(vals)))
	}
	return vec.OfNested(c.Return, offsets, nil, vec.OfInts(*c.Return.Elem, vals, nil)), nil
}

// linear returns the function k -> a + k*step, which is asked for k = 0, 1, 2 and so on. It adds up, because k*step
// may be past the type's range where a + k*step is not.
func linear(a, step int64) func(k int64) (int64, error) {
	x := a
	return func(k int64) (int64, error) {
		if k == 0 {
			return x, nil
		}
		var err error
		x, err = addSpan(x, step)
		return x, err
	}
}

func sequenceInts(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	return sequenceKernel(c, args, n, func(i int, a, b int64) (int64, func(int64) (int64, error)) {
		step := int64(1)
		if len(args) == 3 {
			step = colOf[int64](args[2]).at(i)
		} else if b < a {
			step = -1
		}
		return step, linear(a, step)
	})
}

func sequenceTimes(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	return sequenceKernel(c, args, n, func(i int, a, b int64) (int64, func(int64) (int64, error)) {
		step := vec.Day
		if len(args) == 3 {
			step = colOf[int64](args[2]).at(i)
		}
		return step, linear(a, step)
	})
}

func sequenceMonths(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	return sequenceKernel(c, args, n, func(i int, a, b int64) (int64, func(int64) (int64, error)) {
		step := colOf[int64](args[2]).at(i)
		return step, func(k int64) (int64, error) {
			months, ok := mulInt(k, step)
			if !ok {
				return 0, errTimestampRange()
			}
			return addMonths(a, months)
		}
	})
}
