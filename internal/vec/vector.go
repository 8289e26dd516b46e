package vec

// Form is how a vector lays out its values.
type Form uint8

const (
	Flat       Form = iota // slot i is row i
	Constant               // slot 0 is every row
	Dictionary             // row i is row Index[i] of Dict
)

// Vector is n values of one type.
//
// Flat and Constant vectors keep their values in the slice that
// Type.Kind.Storage() names, with n slots and one slot. Nulls is nil when there is
// no null, else as long as the values; the value in a null slot is unspecified.
// A Dictionary vector has Index (n entries, each a row of Dict) and Dict (flat);
// nulls are rows of Dict that are null, and its own Nulls is nil.
//
// Arrays and time series: element j of row i is row Offsets[i]+j of the children,
// up to Offsets[i+1] (so Offsets has one entry more than slots). Rows: field f of
// row i is row i of Children[f].
type Vector struct {
	Type     Type
	Form     Form
	Nulls    []bool
	Ints     []int64
	Floats   []float64
	Bools    []bool
	Strs     []string
	Offsets  []int32
	Children []*Vector
	Index    []int32
	Dict     *Vector
	n        int
}

// Len returns the number of rows.
func (v *Vector) Len() int { return v.n }

// OfInts returns a flat vector of an integer-like type over vals; nulls may be nil.
func OfInts(t Type, vals []int64, nulls []bool) *Vector {
	return &Vector{Type: t, Ints: vals, Nulls: nulls, n: len(vals)}
}

// OfFloats returns a flat double vector over vals; nulls may be nil.
func OfFloats(vals []float64, nulls []bool) *Vector {
	return &Vector{Type: DoubleType, Floats: vals, Nulls: nulls, n: len(vals)}
}

// OfBools returns a flat boolean vector over vals; nulls may be nil.
func OfBools(vals []bool, nulls []bool) *Vector {
	return &Vector{Type: BooleanType, Bools: vals, Nulls: nulls, n: len(vals)}
}

// OfStrs returns a flat varchar vector over vals; nulls may be nil.
func OfStrs(vals []string, nulls []bool) *Vector {
	return &Vector{Type: VarcharType, Strs: vals, Nulls: nulls, n: len(vals)}
}

// OfDict returns a dictionary vector: row i is row index[i] of dict (flat).
func OfDict(index []int32, dict *Vector) *Vector {
	return &Vector{Type: dict.Type, Form: Dictionary, Index: index, Dict: dict, n: len(index)}
}

// OfNested returns a flat array or time series vector of len(offsets)-1 rows.
func OfNested(t Type, offsets []int32, nulls []bool, children ...*Vector) *Vector {
	return &Vector{Type: t, Offsets: offsets, Children: children, Nulls: nulls, n: len(offsets) - 1}
}

// OfRows returns a flat row vector of n rows, one child per field.
func OfRows(t Type, n int, nulls []bool, children ...*Vector) *Vector {
	return &Vector{Type: t, Children: children, Nulls: nulls, n: n}
}

// NullsOf returns n nulls of type t.
func NullsOf(t Type, n int) *Vector { return Const(Value{Type: t, Null: true}, n) }

// Const returns a constant vector of n rows.
func Const(val Value, n int) *Vector {
	if !val.Null { // most are scalars, for which one piece of memory does
		switch val.Type.Kind.Storage() {
		case StoreInts:
			v, slot := slotOf(val.Type, n, val.Int)
			v.Ints = slot
			return v
		case StoreFloats:
			v, slot := slotOf(val.Type, n, val.Float)
			v.Floats = slot
			return v
		case StoreStrs:
			v, slot := slotOf(val.Type, n, val.Str)
			v.Strs = slot
			return v
		}
	}
	b := NewBuilder(val.Type, 1)
	b.Append(val)
	v := b.Vector()
	v.Form, v.n = Constant, n
	return v
}

// slotOf returns a constant vector that has no value yet, and one in the same piece of memory.
func slotOf[T any](t Type, n int, val T) (*Vector, []T) {
	one := &struct {
		v    Vector
		slot [1]T
	}{Vector{Type: t, Form: Constant, n: n}, [1]T{val}}
	return &one.v, one.slot[:]
}

// At returns the flat vector and slot that hold row i. For flat vectors it is
// (v, i).
func (v *Vector) At(i int) (*Vector, int) {
	switch v.Form {
	case Constant:
		return v, 0
	case Dictionary:
		return v.Dict.At(int(v.Index[i]))
	}
	return v, i
}

// IsNull reports whether row i is null.
func (v *Vector) IsNull(i int) bool {
	f, j := v.At(i)
	return f.Type.Kind == Unknown || f.Nulls != nil && f.Nulls[j]
}

// HasNulls reports whether some row may be null.
func (v *Vector) HasNulls() bool {
	if v.Form == Dictionary {
		return v.Dict.HasNulls()
	}
	return v.Type.Kind == Unknown || v.Nulls != nil
}

// Int, Float, Bool and Str return row i of a vector of that storage; the result
// is unspecified where the row is null.
func (v *Vector) Int(i int) int64 {
	f, j := v.At(i)
	return f.Ints[j]
}

// Float returns row i of a double vector.
func (v *Vector) Float(i int) float64 {
	f, j := v.At(i)
	return f.Floats[j]
}

// Bool returns row i of a boolean vector.
func (v *Vector) Bool(i int) bool {
	f, j := v.At(i)
	return f.Bools[j]
}

// Str returns row i of a varchar vector.
func (v *Vector) Str(i int) string {
	f, j := v.At(i)
	return f.Strs[j]
}

// Flat returns v in flat form: v itself if it is flat, else a copy.
func (v *Vector) Flat() *Vector {
	switch v.Form {
	case Flat:
		return v
	case Constant:
		index := make([]int32, v.n)
		return v.slots().Gather(index)
	default:
		return v.Dict.Gather(v.Index)
	}
}

// slots returns a constant vector's single slot as a flat vector of one row.
func (v *Vector) slots() *Vector {
	u := *v
	u.Form, u.n = Flat, 1
	return &u
}

// Gather returns the vector whose row k is row rows[k] of v. Constant and
// dictionary vectors keep their form.
func (v *Vector) Gather(rows []int32) *Vector {
	switch v.Form {
	case Constant:
		u := *v
		u.n = len(rows)
		return &u
	case Dictionary:
		return OfDict(gather(v.Index, rows), v.Dict)
	}
	u := &Vector{Type: v.Type, n: len(rows)}
	if v.Nulls != nil {
		u.Nulls = gather(v.Nulls, rows)
	}
	switch v.Type.Kind.Storage() {
	case StoreInts:
		u.Ints = gather(v.Ints, rows)
	case StoreFloats:
		u.Floats = gather(v.Floats, rows)
	case StoreBools:
		u.Bools = gather(v.Bools, rows)
	case StoreStrs:
		u.Strs = gather(v.Strs, rows)
	case StoreNested:
		v.gatherNested(u, rows)
	}
	return u
}

func (v *Vector) gatherNested(u *Vector, rows []int32) {
	childRows := rows
	if v.Type.Kind != Row {
		u.Offsets = make([]int32, 1, len(rows)+1)
		childRows = nil
		for _, r := range rows {
			for c := v.Offsets[r]; c < v.Offsets[r+1]; c++ {
				childRows = append(childRows, c)
			}
			u.Offsets = append(u.Offsets, int32(len(childRows)))
		}
	}
	for _, child := range v.Children {
		u.Children = append(u.Children, child.Gather(childRows))
	}
}

func gather[T any](from []T, rows []int32) []T {
	out := make([]T, len(rows))
	for k, r := range rows {
		out[k] = from[r]
	}
	return out
}

// askRows is how many rows are gathered between two questions: a millisecond or two, where each is a cache miss.
const askRows = 1 << 14

// GatherAsking is Gather of rows that may be many millions: it calls ask now and then, and ends with its error.
func (v *Vector) GatherAsking(rows []int32, ask func() error) (*Vector, error) {
	if len(rows) <= askRows || v.Form != Flat || v.Type.Kind.Storage() == StoreNested {
		if err := ask(); err != nil {
			return nil, err
		}
		return v.Gather(rows), nil
	}
	u := &Vector{Type: v.Type, n: len(rows)}
	if v.Nulls != nil {
		u.Nulls = make([]bool, len(rows))
	}
	switch v.Type.Kind.Storage() {
	case StoreInts:
		u.Ints = make([]int64, len(rows))
	case StoreFloats:
		u.Floats = make([]float64, len(rows))
	case StoreBools:
		u.Bools = make([]bool, len(rows))
	case StoreStrs:
		u.Strs = make([]string, len(rows))
	}
	for at := 0; at < len(rows); at += askRows {
		if err := ask(); err != nil {
			return nil, err
		}
		some := rows[at:min(at+askRows, len(rows))]
		gatherTo(u.Nulls, at, v.Nulls, some)
		gatherTo(u.Ints, at, v.Ints, some)
		gatherTo(u.Floats, at, v.Floats, some)
		gatherTo(u.Bools, at, v.Bools, some)
		gatherTo(u.Strs, at, v.Strs, some)
	}
	return u, nil
}

// gatherTo writes what from has in rows to out, which may be nil, from place at on.
func gatherTo[T any](out []T, at int, from []T, rows []int32) {
	if out == nil {
		return
	}
	out = out[at:]
	for k, r := range rows {
		out[k] = from[r]
	}
}

// Slice returns rows from <= i < to, sharing memory with v.
func (v *Vector) Slice(from, to int) *Vector {
	u := *v
	u.n = to - from
	switch v.Form {
	case Constant:
		return &u
	case Dictionary:
		u.Index = v.Index[from:to]
		return &u
	}
	if v.Nulls != nil {
		u.Nulls = v.Nulls[from:to]
	}
	switch v.Type.Kind.Storage() {
	case StoreInts:
		u.Ints = v.Ints[from:to]
	case StoreFloats:
		u.Floats = v.Floats[from:to]
	case StoreBools:
		u.Bools = v.Bools[from:to]
	case StoreStrs:
		u.Strs = v.Strs[from:to]
	case StoreNested:
		if v.Type.Kind != Row {
			u.Offsets = v.Offsets[from : to+1]
			return &u
		}
		u.Children = make([]*Vector, len(v.Children))
		for i, c := range v.Children {
			u.Children[i] = c.Slice(from, to)
		}
	}
	return &u
}

// Retype returns v's rows under another type of the same storage, sharing memory:
// integer as bigint, varchar(n) as varchar, a row with other field names.
func (v *Vector) Retype(t Type) *Vector {
	u := *v
	u.Type = t
	if u.Dict != nil {
		u.Dict = u.Dict.Retype(t)
	}
	return &u
}

// Batch is rows in columns: every vector has Len rows.
type Batch struct {
	Len     int
	Columns []*Vector
}

// Slice returns rows from <= i < to of every column, sharing memory.
func (b *Batch) Slice(from, to int) *Batch {
	out := &Batch{Len: to - from, Columns: make([]*Vector, len(b.Columns))}
	for i, c := range b.Columns {
		out.Columns[i] = c.Slice(from, to)
	}
	return out
}

// Gather returns the batch whose row k is row rows[k] of b. Columns of long lists
// become dictionaries: joins and UNNEST repeat a row thousands of times.
func (b *Batch) Gather(rows []int32) *Batch {
	out := &Batch{Len: len(rows), Columns: make([]*Vector, len(b.Columns))}
	for i, c := range b.Columns {
		if c.longLists(rows) {
			out.Columns[i] = OfDict(append([]int32(nil), rows...), c)
			continue
		}
		out.Columns[i] = c.Gather(rows)
	}
	return out
}

// longLists reports whether v is flat and copying its arrays or series at rows would
// copy a million elements.
func (v *Vector) longLists(rows []int32) bool {
	if v.Form != Flat || v.Type.Kind != Array && v.Type.Kind != TimeSeries {
		return false
	}
	elements := 0
	for _, r := range rows {
		elements += int(v.Offsets[r+1] - v.Offsets[r])
	}
	return elements >= 1<<20
}
