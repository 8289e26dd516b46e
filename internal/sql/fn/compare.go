package fn

import (
	"cmp"

	"github.com/weir-db/weir/internal/vec"
)

// comparisons is = <> < <= > >= and IS DISTINCT FROM over all types, greatest and
// least, and typeof (sql.md sections 5 and 8.1).
func comparisons() []Scalar {
	var out []Scalar
	op := func(name, text, example, result string, r relation) {
		out = append(out, Scalar{Signature: name + "(T, T) -> boolean", Docs: Docs{"comparison", text, example, result}, Eval: compareKernel(r), dense: true})
	}
	op("=", "Whether the values are equal; NaN equals nothing.", "2 = 2.0", "true", equal)
	op("<>", "Whether the values differ.", "2 <> 3", "true", notEqual)
	op("!=", "Whether the values differ.", "2 != 2", "false", notEqual)
	op("<", "Whether the left value is less. Varchars compare by UTF-8 bytes.", "'a' < 'b'", "true", less)
	op("<=", "Whether the left value is less or equal.", "3 <= 2", "false", lessEqual)
	op(">", "Whether the left value is greater.", "time '10:00' > time '9:00'", "true", greater)
	op(">=", "Whether the left value is greater or equal.", "2 >= 2", "true", greaterEqual)
	return append(out,
		Scalar{Signature: "is distinct from(T, T) -> boolean", CalledOnNull: true, Eval: distinctFrom,
			Docs: Docs{"comparison", "Null-safe inequality: null differs from every value but null. NaN is not distinct from NaN.", "NULL IS DISTINCT FROM 3", "true"}},
		Scalar{Signature: "greatest(T, T...) -> T", Eval: extreme(1),
			Docs: Docs{"comparison", "The greatest argument; null if any is null.", "greatest(3, 7, 5)", "7"}},
		Scalar{Signature: "least(T, T...) -> T", Eval: extreme(-1),
			Docs: Docs{"comparison", "The least argument; null if any is null.", "least('pump', 'fan')", "fan"}},
		Scalar{Signature: "typeof(T) -> varchar", CalledOnNull: true, Eval: typeOf,
			Docs: Docs{"conditional", "The name of the argument's type.", "typeof(3 * 0.5)", "double"}},
	)
}

// relation is a comparison operator.
type relation uint8

const (
	equal relation = iota
	notEqual
	less
	lessEqual
	greater
	greaterEqual
)

// mirrored is the relation with its sides exchanged.
func (r relation) mirrored() relation {
	return [...]relation{equal: equal, notEqual: notEqual, less: greater, lessEqual: greaterEqual, greater: less, greaterEqual: lessEqual}[r]
}

// holds says whether r holds for a three-way comparison.
func (r relation) holds(c int) bool {
	switch r {
	case equal:
		return c == 0
	case notEqual:
		return c != 0
	case less:
		return c < 0
	case lessEqual:
		return c <= 0
	case greater:
		return c > 0
	}
	return c >= 0
}

func compareKernel(r relation) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		switch args[0].Type.Kind.Storage() {
		case vec.StoreInts:
			return compareColumns[int64](r, args, n), nil
		case vec.StoreFloats:
			return compareColumns[float64](r, args, n), nil
		case vec.StoreStrs:
			return compareColumns[string](r, args, n), nil
		case vec.StoreBools:
			a, b := colOf[bool](args[0]), colOf[bool](args[1])
			out := make([]bool, n)
			for i := range out {
				out[i] = r.holds(vec.CompareBools(a.at(i), b.at(i)))
			}
			return vec.OfBools(out, nil), nil
		case vec.StoreNested:
			return compareNested(r, args, n)
		}
		return vec.NullsOf(vec.BooleanType, n), nil
	}
}

func compareColumns[T int64 | float64 | string](r relation, args []*vec.Vector, n int) *vec.Vector {
	a, b := colOf[T](args[0]), colOf[T](args[1])
	out := make([]bool, n)
	switch {
	case b.mask == 0:
		compareWith(r, out, a, b.vals[0])
	case a.mask == 0:
		compareWith(r.mirrored(), out, b, a.vals[0])
	default:
		compareEach(r, out, a.vals[:n], b.vals[:n])
	}
	return vec.OfBools(out, nil)
}

func compareWith[T int64 | float64 | string](r relation, out []bool, a col[T], y T) {
	vals := a.vals
	if a.mask == 0 {
		for i := range out {
			out[i] = holds(r, vals[0], y)
		}
		return
	}
	vals = vals[:len(out)]
	switch r {
	case equal:
		for i, x := range vals {
			out[i] = x == y
		}
	case notEqual:
		for i, x := range vals {
			out[i] = x != y
		}
	case less:
		for i, x := range vals {
			out[i] = x < y
		}
	case lessEqual:
		for i, x := range vals {
			out[i] = x <= y
		}
	case greater:
		for i, x := range vals {
			out[i] = x > y
		}
	case greaterEqual:
		for i, x := range vals {
			out[i] = x >= y
		}
	}
}

func compareEach[T int64 | float64 | string](r relation, out []bool, a, b []T) {
	switch r {
	case equal:
		for i, x := range a {
			out[i] = x == b[i]
		}
	case notEqual:
		for i, x := range a {
			out[i] = x != b[i]
		}
	case less:
		for i, x := range a {
			out[i] = x < b[i]
		}
	case lessEqual:
		for i, x := range a {
			out[i] = x <= b[i]
		}
	case greater, greaterEqual:
		compareEach(r.mirrored(), out, b, a)
	}
}

// holds compares two values as the operators do: every comparison with NaN but <> is
// false.
func holds[T cmp.Ordered](r relation, x, y T) bool {
	switch r {
	case equal:
		return x == y
	case notEqual:
		return x != y
	case less:
		return x < y
	case lessEqual:
		return x <= y
	case greater:
		return x > y
	}
	return x >= y
}

// compareNested compares arrays and rows element by element. Equality is null when
// nulls leave it undecided; order over elements that are null is an error, as in the
// inherited engine.
func compareNested(r relation, args []*vec.Vector, n int) (*vec.Vector, error) {
	a, b := args[0], args[1]
	out := make([]bool, n)
	var nulls []bool
	for i := range out {
		if r == equal || r == notEqual {
			same, known := nestedEqual(a, i, b, i)
			out[i] = same == (r == equal)
			if !known {
				if nulls == nil {
					nulls = make([]bool, n)
				}
				nulls[i] = true
			}
			continue
		}
		if hasNull(a, i) || hasNull(b, i) {
			return nil, fail("%s comparison not supported for elements that are null", a.Type.Kind)
		}
		out[i] = r.holds(vec.Compare(a, i, b, i))
	}
	return vec.OfBools(out, nulls), nil
}

// nestedEqual compares with =; known is false when nulls leave the answer open.
func nestedEqual(a *vec.Vector, i int, b *vec.Vector, j int) (same, known bool) {
	a, i = a.At(i)
	b, j = b.At(j)
	if a.IsNull(i) || b.IsNull(j) {
		return false, false
	}
	if a.Type.Kind.Storage() == vec.StoreFloats {
		return a.Floats[i] == b.Floats[j], true
	}
	if a.Type.Kind.Storage() != vec.StoreNested {
		return vec.Equal(a, i, b, j), true
	}
	x, xEnd, y, yEnd := i, i+1, j, j+1
	if a.Type.Kind != vec.Row {
		x, xEnd, y, yEnd = int(a.Offsets[i]), int(a.Offsets[i+1]), int(b.Offsets[j]), int(b.Offsets[j+1])
	}
	if xEnd-x != yEnd-y {
		return false, true
	}
	known = true
	for ; x < xEnd; x, y = x+1, y+1 {
		for f := range a.Children {
			same, sure := nestedEqual(a.Children[f], x, b.Children[f], y)
			if sure && !same {
				return false, true
			}
			known = known && sure
		}
	}
	return true, known
}

// hasNull reports whether row i or anything inside it is null.
func hasNull(v *vec.Vector, i int) bool {
	v, i = v.At(i)
	if v.IsNull(i) {
		return true
	}
	if v.Type.Kind.Storage() != vec.StoreNested {
		return false
	}
	from, to := i, i+1
	if v.Type.Kind != vec.Row {
		from, to = int(v.Offsets[i]), int(v.Offsets[i+1])
	}
	for c := from; c < to; c++ {
		for _, ch := range v.Children {
			if hasNull(ch, c) {
				return true
			}
		}
	}
	return false
}

func distinctFrom(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	out := make([]bool, n)
	for i := range out {
		out[i] = !vec.Equal(args[0], i, args[1], i)
	}
	return vec.OfBools(out, nil), nil
}

// extreme keeps, per row, the argument that compares as sign to the best so far. NaN is
// the greatest double here.
func extreme(sign int) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		if len(args) == 1 {
			return args[0].Flat(), nil
		}
		switch args[0].Type.Kind.Storage() {
		case vec.StoreInts:
			return extremeOf(c, args, n, func(x, best int64) bool { return cmp.Compare(x, best) == sign }), nil
		case vec.StoreFloats:
			return extremeOf(c, args, n, func(x, best float64) bool { return vec.CompareFloats(x, best) == sign }), nil
		case vec.StoreStrs:
			return extremeOf(c, args, n, func(x, best string) bool { return cmp.Compare(x, best) == sign }), nil
		}
		b := vec.NewBuilder(c.Return, n)
		for i := range n {
			best := args[0]
			for _, a := range args[1:] {
				if vec.Compare(a, i, best, i) == sign {
					best = a
				}
			}
			b.AppendFrom(best, i)
		}
		return b.Vector(), nil
	}
}

func extremeOf[T element](c *Context, args []*vec.Vector, n int, better func(x, best T) bool) *vec.Vector {
	out := make([]T, n)
	first := colOf[T](args[0])
	for i := range out {
		out[i] = first.at(i)
	}
	for _, a := range args[1:] {
		x := colOf[T](a)
		for i := range out {
			if v := x.at(i); better(v, out[i]) {
				out[i] = v
			}
		}
	}
	return vecOf(c.Return, out, nil)
}

func typeOf(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	return vec.Const(vec.Str(c.Args[0].String()), n), nil
}
