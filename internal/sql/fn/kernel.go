package fn

import (
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/vec"
)

// fail returns an execution error, whose text the client sees.
func fail(format string, args ...any) error { return fault.New(fault.Execution, format, args...) }

// element is the Go type of a scalar value in a vector.
type element interface {
	int64 | float64 | bool | string
}

// col reads a flat or constant vector: at(i) is row i.
type col[T element] struct {
	vals []T
	mask int // 0 for a constant, else all ones
}

func (c col[T]) at(i int) T { return c.vals[i&c.mask] }

// colOf returns v, flat or constant, for reading. T must be the type that v's kind
// is stored in.
func colOf[T element](v *vec.Vector) col[T] {
	c := col[T]{mask: -1}
	if v.Form == vec.Constant {
		c.mask = 0
	}
	switch p := any(&c.vals).(type) {
	case *[]int64:
		*p = v.Ints
	case *[]float64:
		*p = v.Floats
	case *[]bool:
		*p = v.Bools
	case *[]string:
		*p = v.Strs
	}
	return c
}

// vecOf returns a flat vector of type t over vals; nulls may be nil.
func vecOf[T element](t vec.Type, vals []T, nulls []bool) *vec.Vector {
	switch v := any(vals).(type) {
	case []int64:
		return vec.OfInts(t, v, nulls)
	case []float64:
		return vec.OfFloats(v, nulls)
	case []bool:
		return vec.OfBools(v, nulls)
	case []string:
		return vec.OfStrs(v, nulls)
	}
	panic("bug: no such element type")
}

// The functions below make kernels out of Go functions over single values. An e in the
// name takes one that may fail, an n one that may also give null.

func fn0[R element](f func(c *Context) R) Kernel {
	return func(c *Context, _ []*vec.Vector, n int) (*vec.Vector, error) {
		out := make([]R, n)
		for i := range out {
			out[i] = f(c)
		}
		return vecOf(c.Return, out, nil), nil
	}
}

func fn1[A, R element](f func(A) R) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, out := colOf[A](args[0]), make([]R, n)
		for i := range out {
			out[i] = f(a.at(i))
		}
		return vecOf(c.Return, out, nil), nil
	}
}

func fn1e[A, R element](f func(A) (R, error)) Kernel {
	return fn1n(func(a A) (R, bool, error) {
		r, err := f(a)
		return r, true, err
	})
}

func fn1n[A, R element](f func(A) (R, bool, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a := colOf[A](args[0])
		return collect(c, n, func(i int) (R, bool, error) { return f(a.at(i)) })
	}
}

func fn2[A, B, R element](f func(A, B) R) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, b, out := colOf[A](args[0]), colOf[B](args[1]), make([]R, n)
		for i := range out {
			out[i] = f(a.at(i), b.at(i))
		}
		return vecOf(c.Return, out, nil), nil
	}
}

func fn2e[A, B, R element](f func(A, B) (R, error)) Kernel {
	return fn2n(func(a A, b B) (R, bool, error) {
		r, err := f(a, b)
		return r, true, err
	})
}

func fn2n[A, B, R element](f func(A, B) (R, bool, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, b := colOf[A](args[0]), colOf[B](args[1])
		return collect(c, n, func(i int) (R, bool, error) { return f(a.at(i), b.at(i)) })
	}
}

func fn3e[A, B, C, R element](f func(A, B, C) (R, error)) Kernel {
	return fn3n(func(a A, b B, x C) (R, bool, error) {
		r, err := f(a, b, x)
		return r, true, err
	})
}

func fn3n[A, B, C, R element](f func(A, B, C) (R, bool, error)) Kernel {
	return func(c *Context, args []*vec.Vector, n int) (*vec.Vector, error) {
		a, b, x := colOf[A](args[0]), colOf[B](args[1]), colOf[C](args[2])
		return collect(c, n, func(i int) (R, bool, error) { return f(a.at(i), b.at(i), x.at(i)) })
	}
}

// patientRows is how many rows collect computes between two looks at whether the query ends: the slowest
// functions that do not look themselves take about a millisecond a row.
const patientRows = 16

// collect makes a vector of n rows of the values f gives; false is null.
func collect[R element](c *Context, n int, f func(i int) (R, bool, error)) (*vec.Vector, error) {
	out := make([]R, n)
	texts, _ := any(out).([]string)
	meter := newTextMeter()
	var nulls []bool
	for i := range out {
		if i%patientRows == patientRows-1 {
			if err := c.interrupted(); err != nil {
				return nil, err
			}
		}
		r, ok, err := f(i)
		if err != nil {
			return nil, err
		}
		out[i] = r
		if texts != nil {
			if err := meter.add(len(texts[i])); err != nil {
				return nil, err
			}
		}
		if !ok {
			if nulls == nil {
				nulls = make([]bool, n)
			}
			nulls[i] = true
		}
	}
	return vecOf(c.Return, out, nulls), nil
}

// textList is texts end to end in one piece of memory: a call that makes one for every row allocates once.
type textList struct {
	b    strings.Builder
	ends []int
}

// newTextList expects n texts of so many bytes together.
func newTextList(n, bytes int) *textList {
	l := &textList{ends: make([]int, 0, n)}
	l.b.Grow(bytes)
	return l
}

func (l *textList) add(text []byte) {
	l.b.Write(text)
	l.ends = append(l.ends, l.b.Len())
}

func (l *textList) addTwo(a, b string) {
	l.b.WriteString(a)
	l.b.WriteString(b)
	l.ends = append(l.ends, l.b.Len())
}

func (l *textList) list() []string {
	all, from := l.b.String(), 0
	out := make([]string, len(l.ends))
	for i, end := range l.ends {
		out[i], from = all[from:end], end
	}
	return out
}

// memo remembers the result for the last key: arguments such as patterns and formats
// are nearly always the same from row to row.
type memo[K comparable, V any] struct {
	key   K
	val   V
	err   error
	valid bool
}

func (m *memo[K, V]) get(key K, make func(K) (V, error)) (V, error) {
	if !m.valid || m.key != key {
		m.val, m.err = make(key)
		m.key, m.valid = key, true
	}
	return m.val, m.err
}

// span returns the child rows of row i of a flat or constant array or series.
func span(v *vec.Vector, i int) (from, to int) {
	if v.Form == vec.Constant {
		i = 0
	}
	return int(v.Offsets[i]), int(v.Offsets[i+1])
}

// list is a group of overloads of one kind of function.
type list func() []Scalar

// scalarLists is every scalar function and operator.
var scalarLists = []list{arithmetic, intervals, comparisons, patterns, datetimes, formats, mathFunctions, stringFunctions, arrayFunctions, lambdaFunctions, seriesFunctions, regexpFunctions}

// aggregateLists is every aggregate.
var aggregateLists = []func() []Aggregate{basicAggregates, byAggregates, momentAggregates, collectAggregates, approxAggregates}
