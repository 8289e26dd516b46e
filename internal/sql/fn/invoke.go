package fn

import "github.com/weir-db/weir/internal/vec"

// Invoke evaluates a resolved call over n rows of args, which have call.Args' types:
// it applies the null rule, evaluates constants once and dictionaries once per
// distinct value, and calls the kernel for the rest. Kernels get flat or constant
// vectors only. c.Return and c.Args need not be set.
func Invoke(call *Call, c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	own := *c
	own.Return, own.Args = call.Return, call.Args
	out, err := invoke(call.Func, &own, args, n)
	if err == nil {
		err = CheckSize(out)
	}
	if err != nil || out.Type.Equal(call.Return) {
		return out, err
	}
	if out.Type.Kind == vec.Unknown {
		return vec.NullsOf(call.Return, n), nil
	}
	return out.Retype(call.Return), nil
}

func invoke(f *Scalar, c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	if n == 0 {
		return vec.NewBuilder(c.Return, 0).Vector(), nil
	}
	if f.Volatile || hasLambda(args) {
		// A lambda may read columns of the row, so equal arguments are not equal calls.
		return invokeFlat(f, c, args, n)
	}
	dict := -1
	for i, a := range args {
		switch a.Form {
		case vec.Flat:
			return invokeFlat(f, c, args, n)
		case vec.Dictionary:
			if dict >= 0 || a.Dict.Len() > n {
				return invokeFlat(f, c, args, n)
			}
			dict = i
		}
	}
	if dict < 0 {
		return invokeOnce(f, c, args, n)
	}
	return invokeDict(f, c, args, dict, n)
}

func hasLambda(args []*vec.Vector) bool {
	for _, a := range args {
		if a == nil {
			return true
		}
	}
	return false
}

// invokeFlat evaluates row by row, with dictionaries in flat form. A dictionary of long
// arrays, such as a cross join makes, may be too large for that.
func invokeFlat(f *Scalar, c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	for _, a := range args {
		if a != nil && a.Form == vec.Dictionary {
			if err := CheckSize(a); err != nil {
				return nil, err
			}
		}
	}
	return invokeRows(f, c, flatten0(args), n)
}

// flatten0 returns args with dictionaries in flat form.
func flatten0(args []*vec.Vector) []*vec.Vector {
	out := args
	for i, a := range args {
		if a == nil || a.Form != vec.Dictionary {
			continue
		}
		if &out[0] == &args[0] {
			out = append([]*vec.Vector(nil), args...)
		}
		out[i] = a.Flat()
	}
	return out
}

// invokeOnce evaluates constants for one row.
func invokeOnce(f *Scalar, c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	one := make([]*vec.Vector, len(args))
	for i, a := range args {
		one[i] = a.Slice(0, 1)
	}
	out, err := invokeRows(f, c, one, 1)
	if err != nil {
		return nil, err
	}
	if err := CheckConstant(out); err != nil {
		return nil, err
	}
	return vec.Const(out.Value(0), n), nil
}

// invokeDict evaluates once per entry of the dictionary of argument d. A dictionary may
// hold values that no row has, and those may fail: then the rows decide.
func invokeDict(f *Scalar, c *Context, args []*vec.Vector, d, n int) (*vec.Vector, error) {
	dict := args[d].Dict
	byEntry := make([]*vec.Vector, len(args))
	for i, a := range args {
		byEntry[i] = a.Slice(0, min(a.Len(), dict.Len()))
	}
	byEntry[d] = dict
	out, err := invokeRows(f, c, byEntry, dict.Len())
	if err != nil {
		return invokeFlat(f, c, args, n)
	}
	return vec.OfDict(args[d].Index, out.Flat()), nil
}

// invokeRows applies the null rule to flat and constant arguments.
func invokeRows(f *Scalar, c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
	if f.CalledOnNull {
		return f.Eval(c, args, n)
	}
	nulls, count, all := nullMask(args, n)
	switch {
	case all:
		return vec.NullsOf(c.Return, n), nil
	case count == 0:
		return f.Eval(c, args, n)
	}
	if f.dense {
		// The kernel is cheap and harmless: compute the null slots too. If one of them
		// failed, or a real one did, the slow path below tells.
		if out, err := f.Eval(c, args, n); err == nil {
			return withNulls(out.Flat(), nulls), nil
		}
	}
	return invokeGathered(f, c, args, nulls, n-count)
}

// nullMask returns which rows have a null argument and how many; all says that a
// constant null makes every row null.
func nullMask(args []*vec.Vector, n int) (nulls []bool, count int, all bool) {
	shared := true
	for _, a := range args {
		if a == nil || !a.HasNulls() {
			continue
		}
		if a.Form == vec.Constant || a.Type.Kind == vec.Unknown {
			if a.IsNull(0) {
				return nil, n, true
			}
			continue
		}
		if nulls == nil {
			nulls = a.Nulls
			continue
		}
		if shared {
			nulls, shared = append([]bool(nil), nulls...), false
		}
		for i, null := range a.Nulls {
			nulls[i] = nulls[i] || null
		}
	}
	for _, null := range nulls {
		if null {
			count++
		}
	}
	return nulls, count, nulls != nil && count == n
}

// withNulls returns v (flat, built by a kernel) with more nulls.
func withNulls(v *vec.Vector, nulls []bool) *vec.Vector {
	out := *v
	out.Nulls = nulls
	if v.Nulls != nil {
		out.Nulls = make([]bool, len(nulls))
		for i := range nulls {
			out.Nulls[i] = nulls[i] || v.Nulls[i]
		}
	}
	return &out
}

// invokeGathered evaluates the m rows without null arguments and spreads the result.
func invokeGathered(f *Scalar, c *Context, args []*vec.Vector, nulls []bool, m int) (*vec.Vector, error) {
	rows := make([]int32, 0, m)
	back := make([]int32, len(nulls)) // row of the gathered result; m for null
	for i, null := range nulls {
		back[i] = int32(m)
		if !null {
			back[i] = int32(len(rows))
			rows = append(rows, int32(i))
		}
	}
	gathered := make([]*vec.Vector, len(args))
	for i, a := range args {
		if a != nil {
			gathered[i] = a.Gather(rows)
		}
	}
	out, err := f.Eval(throughRows(c, rows), gathered, m)
	if err != nil {
		return nil, err
	}
	return spread(out.Flat(), back, nulls), nil
}

// throughRows makes captures of lambdas name the rows before gathering.
func throughRows(c *Context, rows []int32) *Context {
	if c.Lambdas == nil {
		return c
	}
	own := *c
	own.Lambdas = make([]Lambda, len(c.Lambdas))
	for i, l := range c.Lambdas {
		if l == nil {
			continue
		}
		own.Lambdas[i] = func(params []*vec.Vector, capture []int32) (*vec.Vector, error) {
			outer := make([]int32, len(capture))
			for k, r := range capture {
				outer[k] = rows[r]
			}
			return l(params, outer)
		}
	}
	return &own
}

// spread returns the vector whose row i is row back[i] of v, or null where nulls[i].
func spread(v *vec.Vector, back []int32, nulls []bool) *vec.Vector {
	if v.Len() == 0 {
		return vec.NullsOf(v.Type, len(back))
	}
	for i, null := range nulls {
		if null {
			back[i] = 0 // any row: the value in a null slot is unspecified
		}
	}
	if v.Type.Kind == vec.Unknown {
		return v.Gather(back)
	}
	return withNulls(v.Gather(back), nulls)
}
