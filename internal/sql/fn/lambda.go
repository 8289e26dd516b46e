package fn

import (
	"github.com/weir-db/weir/internal/vec"
)

// lambdaFunctions is what takes lambdas over arrays and time series (sql.md sections 8.2
// and 11.2). A lambda is called once for the elements of all rows together; reduce calls
// it once per position.
func lambdaFunctions() []Scalar {
	f := func(sig, text, example, result string, eval Kernel) Scalar {
		return Scalar{Signature: sig, Docs: Docs{"lambda", text, example, result}, Eval: eval}
	}
	const from = " FROM (VALUES (TIMESTAMP '2031-02-03 00:00', 1.0), (TIMESTAMP '2031-02-03 00:10', 3.0)) AS t(time, v)"
	onNull := func(s Scalar) Scalar {
		s.CalledOnNull = true
		return s
	}
	return []Scalar{
		f("transform(array(T), function(T, U)) -> array(U)", "The results of the lambda for each element.", "transform(ARRAY[3, 4], x -> x * 10)", "[30, 40]", transform),
		f("filter(array(T), function(T, boolean)) -> array(T)", "The elements for which the lambda is true.", "filter(ARRAY[3, 4, NULL], x -> x > 3)", "[4]", filterKernel),
		f("filter(timeseries(T), function(point(T), boolean)) -> timeseries(T)", "The points for which the lambda is true.", "filter(create_time_series(time, v), p -> p.value > 2)"+from, "[(2031-02-03 00:10:00.000000000, 3.0)]", filterKernel),
		onNull(f("reduce(array(T), S, function(S, T, S), function(S, R)) -> R", "The last state, from an initial one, of a lambda over (state, element) in order; a second lambda makes the result of it.", "reduce(ARRAY[3, 4], 0, (s, x) -> s + x, s -> s * 2)", "14", reduceKernel)),
		onNull(f("reduce(timeseries(T), S, function(S, point(T), S), function(S, R)) -> R", "The last state, from an initial one, of a lambda over (state, point) in time order; a second lambda makes the result of it.", "reduce(create_time_series(time, v), 0.0, (s, p) -> s + p.value, s -> s / 2)"+from, "2.0", reduceKernel)),
		f("zip_with(array(T), array(U), function(T, U, R)) -> array(R)", "The results of the lambda for the elements at each position, padded with nulls.", "zip_with(ARRAY[3, 4], ARRAY[10, 20], (x, y) -> x * y)", "[30, 80]", zipWith),
		f("any_match(array(T), function(T, boolean)) -> boolean", "Whether the lambda is true for some element.", "any_match(ARRAY[3, 4], x -> x > 3)", "true", matchKernel(true, true)),
		f("all_match(array(T), function(T, boolean)) -> boolean", "Whether the lambda is true for all elements.", "all_match(ARRAY[3, 4], x -> x > 3)", "false", matchKernel(false, false)),
		f("none_match(array(T), function(T, boolean)) -> boolean", "Whether the lambda is true for no element.", "none_match(ARRAY[3, 4], x -> x > 9)", "true", matchKernel(true, false)),
	}
}

// elements returns the elements of an array, or the points of a series as rows.
func elements(v *vec.Vector) *vec.Vector {
	if v.Type.Kind == vec.TimeSeries {
		return vec.OfRows(vec.PointType(*v.Type.Elem), v.Children[0].Len(), nil, v.Children...)
	}
	return v.Children[0]
}

// opened is the elements of n arrays end to end, and the row each belongs to.
type opened struct {
	rows    []int32 // child rows
	owner   []int32
	offsets []int32
}

func open(v *vec.Vector, n int) (opened, error) {
	o := opened{offsets: make([]int32, 1, n+1)}
	m := newElementMeter()
	for i := range n {
		from, to := span(v, i)
		if err := m.add(to - from); err != nil {
			return o, err
		}
		for r := from; r < to; r++ {
			o.rows = append(o.rows, int32(r))
			o.owner = append(o.owner, int32(i))
		}
		o.offsets = append(o.offsets, int32(len(o.rows)))
	}
	return o, nil
}

// call evaluates lambda k over the elements of v.
func (o opened) call(c *Context, k int, v *vec.Vector) (*vec.Vector, error) {
	out, err := c.Lambdas[k]([]*vec.Vector{elements(v).Gather(o.rows)}, o.owner)
	if err != nil {
		return nil, err
	}
	return flat(out)
}

// flat is Flat for what a lambda returned: an array that is the same for all elements becomes an array for each.
func flat(v *vec.Vector) (*vec.Vector, error) {
	if v.Form != vec.Flat {
		if err := CheckSize(v); err != nil {
			return nil, err
		}
	}
	return v.Flat(), nil
}

func transform(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	o, err := open(args[0], n)
	if err != nil {
		return nil, err
	}
	out, err := o.call(c, 1, args[0])
	if err != nil {
		return nil, err
	}
	return vec.OfNested(c.Return, o.offsets, nil, out), nil
}

func filterKernel(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	o, err := open(args[0], n)
	if err != nil {
		return nil, err
	}
	keep, err := o.call(c, 1, args[0])
	if err != nil {
		return nil, err
	}
	offsets := make([]int32, 1, n+1)
	var rows []int32
	for i := range n {
		for k := o.offsets[i]; k < o.offsets[i+1]; k++ {
			if !keep.IsNull(int(k)) && keep.Bool(int(k)) {
				rows = append(rows, o.rows[k])
			}
		}
		offsets = append(offsets, int32(len(rows)))
	}
	children := make([]*vec.Vector, len(args[0].Children))
	for k, ch := range args[0].Children {
		children[k] = ch.Gather(rows)
	}
	return vec.OfNested(c.Return, offsets, nil, children...), nil
}

// matchKernel looks, per array, for an element whose result is decisive; found is the answer then.
// Without one, a null leaves the answer open.
func matchKernel(decisive, found bool) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		o, err := open(args[0], n)
		if err != nil {
			return nil, err
		}
		match, err := o.call(c, 1, args[0])
		if err != nil {
			return nil, err
		}
		return collect(c, n, func(i int) (bool, bool, error) {
			nulls := false
			for k := o.offsets[i]; k < o.offsets[i+1]; k++ {
				switch {
				case match.IsNull(int(k)):
					nulls = true
				case match.Bool(int(k)) == decisive:
					return found, true, nil
				}
			}
			return !found, !nulls, nil
		})
	}
}

func zipWith(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	offsets := make([]int32, 1, n+1)
	var rows [2][]int32
	var owner []int32
	m := newElementMeter()
	for i := range n {
		longest := 0
		for k := range rows {
			from, to := span(args[k], i)
			longest = max(longest, to-from)
		}
		if err := m.add(longest); err != nil {
			return nil, err
		}
		for k := range rows {
			from, to := span(args[k], i)
			for r := range longest {
				if from+r < to {
					rows[k] = append(rows[k], int32(from+r))
				} else {
					rows[k] = append(rows[k], -1)
				}
			}
		}
		for range longest {
			owner = append(owner, int32(i))
		}
		offsets = append(offsets, int32(len(owner)))
	}
	params := make([]*vec.Vector, 2)
	for k := range params {
		elems := args[k].Children[0]
		params[k] = pick(&Context{Return: elems.Type}, elems, rows[k])
	}
	out, err := c.Lambdas[2](params, owner)
	if err != nil {
		return nil, err
	}
	if out, err = flat(out); err != nil {
		return nil, err
	}
	return vec.OfNested(c.Return, offsets, nil, out), nil
}

// reduceKernel steps through all arrays together: position k of every array that is
// longer than k. Rows whose array has ended keep the state they have.
func reduceKernel(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	elems := elements(args[0])
	var rows []int32 // whose arrays are not null
	for i := range n {
		if !args[0].IsNull(i) {
			rows = append(rows, int32(i))
		}
	}
	if len(rows) == 0 {
		return vec.NullsOf(c.Return, n), nil
	}
	type slot struct {
		v *vec.Vector
		i int
	}
	last := make([]slot, n)
	state, active := args[1].Gather(rows), rows
	for k := 0; len(active) > 0; k++ {
		if err := c.interrupted(); err != nil {
			return nil, err
		}
		var next, at, elem []int32
		for j, r := range active {
			from, to := span(args[0], int(r))
			if from+k >= to {
				last[r] = slot{state, j}
				continue
			}
			next, at, elem = append(next, r), append(at, int32(j)), append(elem, int32(from+k))
		}
		if active = next; len(active) == 0 {
			break
		}
		out, err := c.Lambdas[2]([]*vec.Vector{state.Gather(at), elems.Gather(elem)}, active)
		if err != nil {
			return nil, err
		}
		state = out
	}
	final := vec.NewBuilder(args[1].Type, len(rows))
	for _, r := range rows {
		final.AppendFrom(last[r].v, last[r].i)
	}
	out, err := c.Lambdas[3]([]*vec.Vector{final.Vector()}, rows)
	if err != nil {
		return nil, err
	}
	back := make([]int32, n)
	for i := range back {
		back[i] = -1
	}
	for j, r := range rows {
		back[r] = int32(j)
	}
	return pick(c, out, back), nil
}
