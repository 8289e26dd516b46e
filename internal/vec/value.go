package vec

// Value is one value of any type, boxed: for literals, parameters and the cold
// paths. Operators work on vectors.
type Value struct {
	Type  Type
	Null  bool
	Int   int64   // integer-like kinds
	Float float64 // double
	Bool  bool    // boolean
	Str   string  // varchar
	// List holds the elements of an array, the fields of a row, or the points of a
	// time series, each a Row value of two: time and value.
	List []Value
}

// Null returns the null of type t.
func Null(t Type) Value { return Value{Type: t, Null: true} }

// Int returns an integer-like value of type t.
func Int(t Type, i int64) Value { return Value{Type: t, Int: i} }

// Float returns a double.
func Float(f float64) Value { return Value{Type: DoubleType, Float: f} }

// Bool returns a boolean.
func Bool(b bool) Value { return Value{Type: BooleanType, Bool: b} }

// Str returns a varchar.
func Str(s string) Value { return Value{Type: VarcharType, Str: s} }

// Value returns row i boxed.
func (v *Vector) Value(i int) Value {
	f, j := v.At(i)
	val := Value{Type: f.Type}
	if f.Type.Kind == Unknown || f.Nulls != nil && f.Nulls[j] {
		val.Null = true
		return val
	}
	switch f.Type.Kind.Storage() {
	case StoreInts:
		val.Int = f.Ints[j]
	case StoreFloats:
		val.Float = f.Floats[j]
	case StoreBools:
		val.Bool = f.Bools[j]
	case StoreStrs:
		val.Str = f.Strs[j]
	case StoreNested:
		val.List = f.list(j)
	}
	return val
}

func (v *Vector) list(j int) []Value {
	if v.Type.Kind == Row {
		list := make([]Value, len(v.Children))
		for k, c := range v.Children {
			list[k] = c.Value(j)
		}
		return list
	}
	list := make([]Value, 0, v.Offsets[j+1]-v.Offsets[j])
	for c := v.Offsets[j]; c < v.Offsets[j+1]; c++ {
		if v.Type.Kind == Array {
			list = append(list, v.Children[0].Value(int(c)))
			continue
		}
		list = append(list, Value{
			Type: PointType(*v.Type.Elem),
			List: []Value{v.Children[0].Value(int(c)), v.Children[1].Value(int(c))},
		})
	}
	return list
}

// PointType is the row type of one point of timeseries(value), as lambdas see it.
func PointType(value Type) Type {
	return RowOf(Field{Name: "time", Type: TimestampType}, Field{Name: "value", Type: value})
}

// Builder makes a flat vector value by value. It is not safe for concurrent use.
type Builder struct {
	v        *Vector
	children []*Builder
}

// NewBuilder returns a builder of vectors of type t with room for capacity rows.
func NewBuilder(t Type, capacity int) *Builder {
	b := &Builder{v: &Vector{Type: t}}
	switch t.Kind.Storage() {
	case StoreInts:
		b.v.Ints = make([]int64, 0, capacity)
	case StoreFloats:
		b.v.Floats = make([]float64, 0, capacity)
	case StoreBools:
		b.v.Bools = make([]bool, 0, capacity)
	case StoreStrs:
		b.v.Strs = make([]string, 0, capacity)
	case StoreNested:
		b.nested(t, capacity)
	}
	return b
}

func (b *Builder) nested(t Type, capacity int) {
	switch t.Kind {
	case Array:
		b.v.Offsets = append(make([]int32, 0, capacity+1), 0)
		b.children = []*Builder{NewBuilder(*t.Elem, capacity)}
	case TimeSeries:
		b.v.Offsets = append(make([]int32, 0, capacity+1), 0)
		b.children = []*Builder{NewBuilder(TimestampType, capacity), NewBuilder(*t.Elem, capacity)}
	case Row:
		for _, f := range t.Fields {
			b.children = append(b.children, NewBuilder(f.Type, capacity))
		}
	}
}

// Len returns the number of rows so far.
func (b *Builder) Len() int { return b.v.n }

// Append adds one row; a null of any type is taken as a null of the builder's.
func (b *Builder) Append(val Value) {
	if val.Null {
		b.AppendNull()
		return
	}
	switch b.v.Type.Kind.Storage() {
	case StoreInts:
		b.v.Ints = append(b.v.Ints, val.Int)
	case StoreFloats:
		b.v.Floats = append(b.v.Floats, val.Float)
	case StoreBools:
		b.v.Bools = append(b.v.Bools, val.Bool)
	case StoreStrs:
		b.v.Strs = append(b.v.Strs, val.Str)
	case StoreNested:
		b.appendNested(val)
	}
	b.done(false)
}

func (b *Builder) appendNested(val Value) {
	switch b.v.Type.Kind {
	case Array:
		for _, e := range val.List {
			b.children[0].Append(e)
		}
		b.v.Offsets = append(b.v.Offsets, int32(b.children[0].Len()))
	case TimeSeries:
		for _, p := range val.List {
			b.children[0].Append(p.List[0])
			b.children[1].Append(p.List[1])
		}
		b.v.Offsets = append(b.v.Offsets, int32(b.children[0].Len()))
	case Row:
		for i, e := range val.List {
			b.children[i].Append(e)
		}
	}
}

// AppendNull adds a null row.
func (b *Builder) AppendNull() {
	switch b.v.Type.Kind.Storage() {
	case StoreInts:
		b.v.Ints = append(b.v.Ints, 0)
	case StoreFloats:
		b.v.Floats = append(b.v.Floats, 0)
	case StoreBools:
		b.v.Bools = append(b.v.Bools, false)
	case StoreStrs:
		b.v.Strs = append(b.v.Strs, "")
	case StoreNested:
		if b.v.Type.Kind == Row {
			for _, c := range b.children {
				c.AppendNull()
			}
		} else {
			b.v.Offsets = append(b.v.Offsets, int32(b.children[0].Len()))
		}
	}
	b.done(true)
}

// AppendFrom adds row i of v, which has the builder's type.
func (b *Builder) AppendFrom(v *Vector, i int) {
	f, j := v.At(i)
	if f.Type.Kind == Unknown || f.Nulls != nil && f.Nulls[j] {
		b.AppendNull()
		return
	}
	switch b.v.Type.Kind.Storage() {
	case StoreInts:
		b.v.Ints = append(b.v.Ints, f.Ints[j])
	case StoreFloats:
		b.v.Floats = append(b.v.Floats, f.Floats[j])
	case StoreBools:
		b.v.Bools = append(b.v.Bools, f.Bools[j])
	case StoreStrs:
		b.v.Strs = append(b.v.Strs, f.Strs[j])
	case StoreNested:
		b.appendNested(f.Value(j))
	}
	b.done(false)
}

// done counts a row and keeps the null flags in step.
func (b *Builder) done(null bool) {
	if null && b.v.Nulls == nil {
		b.v.Nulls = make([]bool, b.v.n, b.v.n+8)
	}
	if b.v.Nulls != nil {
		b.v.Nulls = append(b.v.Nulls, null)
	}
	b.v.n++
}

// View returns the rows so far, while the builder goes on. It may be called concurrently with itself.
func (b *Builder) View() *Vector {
	u := *b.v
	u.Children = nil
	for _, c := range b.children {
		u.Children = append(u.Children, c.View())
	}
	return &u
}

// Vector returns the rows so far as a flat vector. The builder must not be used after.
func (b *Builder) Vector() *Vector {
	for _, c := range b.children {
		b.v.Children = append(b.v.Children, c.Vector())
	}
	return b.v
}
