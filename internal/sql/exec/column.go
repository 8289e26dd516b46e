package exec

import (
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// column is a column that grows: flat, or for strings a dictionary as long as that lasts. Values already in it never change, so a
// vector taken from it stays valid while it grows.
type column struct {
	t        vec.Type
	n        int
	nulls    []bool // nil until the first null
	ints     []int64
	floats   []float64
	bools    []bool
	strs     []string
	strBytes int64
	offsets  []int32 // of arrays and series
	children []*column
	words    *words       // of a varchar column that keeps dictionary form, else nil
	packed   *packedTexts // of a varchar column that copies its texts, else nil
}

// packedTexts is texts end to end, without a pointer each.
type packedTexts struct {
	letters strings.Builder
	ends    []int
}

func (p *packedTexts) add(s string) {
	p.letters.WriteString(s)
	p.ends = append(p.ends, p.letters.Len())
}

func (p *packedTexts) list() []string {
	all, from := p.letters.String(), 0
	out := make([]string, len(p.ends))
	for i, end := range p.ends {
		out[i], from = all[from:end], end
	}
	return out
}

// appendPacked adds the given rows of v, or all if rows is nil.
func (c *column) appendPacked(v *vec.Vector, rows []int32) {
	if rows == nil {
		rows = allRows(v.Len())
	}
	if v.HasNulls() || c.nulls != nil {
		if c.nulls == nil {
			c.nulls = make([]bool, c.n, max(c.n+len(rows), cap(c.packed.ends)))
		}
		for _, r := range rows {
			c.nulls = append(c.nulls, v.IsNull(int(r)))
		}
	}
	switch {
	case v.Type.Kind == vec.Unknown:
		for range rows {
			c.packed.add("")
		}
	case v.Form == vec.Flat:
		for _, r := range rows {
			c.packed.add(v.Strs[r])
		}
	default:
		for _, r := range rows {
			c.packed.add(v.Str(int(r)))
		}
	}
	c.n += len(rows)
}

// words is a varchar column in dictionary form: while all that is appended are
// dictionaries (each kept once) and constants, a row costs four bytes and no pointer.
type words struct {
	index []int32
	dict  *column
	base  map[*vec.Vector]int32 // where the entries of a dictionary begin in dict
}

func newColumn(t vec.Type) *column {
	c := &column{t: t}
	switch t.Kind {
	case vec.Array:
		c.offsets = []int32{0}
		c.children = []*column{newColumn(*t.Elem)}
	case vec.TimeSeries:
		c.offsets = []int32{0}
		c.children = []*column{newColumn(vec.TimestampType), newColumn(*t.Elem)}
	case vec.Row:
		for _, f := range t.Fields {
			c.children = append(c.children, newColumn(f.Type))
		}
	}
	return c
}

func newColumns(types []vec.Type) []*column {
	cols := make([]*column, len(types))
	for i, t := range types {
		cols[i] = newColumn(t)
	}
	return cols
}

// append adds all rows of v.
func (c *column) append(v *vec.Vector) {
	switch {
	case v.Len() == 0:
		return
	case c.packed != nil:
		c.appendPacked(v, nil)
		return
	case c.appendWords(v):
		return
	case v.Type.Kind == vec.Unknown:
		c.appendNulls(v.Len())
		return
	case v.Form == vec.Flat:
		c.appendFlat(v)
		return
	}
	c.appendNullFlags(v)
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		for i := range v.Len() {
			c.ints = append(c.ints, v.Int(i))
		}
	case vec.StoreFloats:
		for i := range v.Len() {
			c.floats = append(c.floats, v.Float(i))
		}
	case vec.StoreBools:
		for i := range v.Len() {
			c.bools = append(c.bools, v.Bool(i))
		}
	case vec.StoreStrs:
		for i := range v.Len() {
			s := v.Str(i)
			c.strs = append(c.strs, s)
			c.strBytes += int64(len(s))
		}
	case vec.StoreNested:
		c.appendNested(v.Flat())
	}
	c.n += v.Len()
}

// appendWords adds v in dictionary form, if column and v allow it. Otherwise the column is
// flat from now on.
func (c *column) appendWords(v *vec.Vector) bool {
	if c.t.Kind != vec.Varchar || c.words == nil && c.n > 0 {
		return false
	}
	var from *vec.Vector
	switch {
	case v.Form == vec.Dictionary && v.Dict.Form == vec.Flat:
		from = v.Dict
	case v.Form == vec.Constant:
		from = v.Slice(0, 1).Flat()
	}
	w := c.words
	if w == nil && from != nil {
		w = &words{dict: &column{t: c.t}, base: map[*vec.Vector]int32{}}
	}
	base, known := int32(0), false
	if from != nil {
		base, known = w.base[from]
	}
	if from == nil || !known && from.Len() > v.Len() {
		c.flatten()
		return false
	}
	c.words = w
	switch {
	case known:
	case v.Form == vec.Constant && w.dict.n > 0 && w.dict.sameAs(w.dict.n-1, from, 0):
		base = int32(w.dict.n - 1)
	default:
		base = int32(w.dict.n)
		w.dict.appendFlat(from)
		if v.Form == vec.Dictionary {
			w.base[from] = base
		}
	}
	if v.Form == vec.Constant {
		for range v.Len() {
			w.index = append(w.index, base)
		}
	} else {
		for _, i := range v.Index {
			w.index = append(w.index, base+i)
		}
	}
	c.n += v.Len()
	return true
}

// flatten gives up dictionary form.
func (c *column) flatten() {
	w := c.words
	if w == nil {
		return
	}
	n := c.n
	c.words, c.n = nil, 0
	if n > 0 {
		c.appendFlat(vec.OfDict(w.index, w.dict.vector()).Flat())
	}
}

func (c *column) appendFlat(v *vec.Vector) {
	c.appendNullFlags(v)
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints = append(c.ints, v.Ints...)
	case vec.StoreFloats:
		c.floats = append(c.floats, v.Floats...)
	case vec.StoreBools:
		c.bools = append(c.bools, v.Bools...)
	case vec.StoreStrs:
		c.strs = append(c.strs, v.Strs...)
		for _, s := range v.Strs {
			c.strBytes += int64(len(s))
		}
	case vec.StoreNested:
		c.appendNested(v)
	}
	c.n += v.Len()
}

// appendNullFlags extends nulls by the rows of v.
func (c *column) appendNullFlags(v *vec.Vector) {
	if !v.HasNulls() {
		if c.nulls != nil {
			c.nulls = append(c.nulls, make([]bool, v.Len())...)
		}
		return
	}
	if c.nulls == nil {
		c.nulls = make([]bool, c.n, c.n+v.Len())
	}
	if v.Form == vec.Flat {
		c.nulls = append(c.nulls, v.Nulls...)
		return
	}
	for i := range v.Len() {
		c.nulls = append(c.nulls, v.IsNull(i))
	}
}

// appendNested adds the values, not the null flags, of flat v.
func (c *column) appendNested(v *vec.Vector) {
	if c.t.Kind == vec.Row {
		for f, child := range c.children {
			child.append(v.Children[f])
		}
		return
	}
	from, to := v.Offsets[0], v.Offsets[v.Len()]
	base := c.offsets[len(c.offsets)-1] - from
	for _, o := range v.Offsets[1 : v.Len()+1] {
		c.offsets = append(c.offsets, o+base)
	}
	for k, child := range c.children {
		child.append(v.Children[k].Slice(int(from), int(to)))
	}
}

// appendNulls adds n nulls.
func (c *column) appendNulls(n int) {
	c.flatten()
	if c.nulls == nil {
		c.nulls = make([]bool, c.n, c.n+n)
	}
	for range n {
		c.nulls = append(c.nulls, true)
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints = append(c.ints, make([]int64, n)...)
	case vec.StoreFloats:
		c.floats = append(c.floats, make([]float64, n)...)
	case vec.StoreBools:
		c.bools = append(c.bools, make([]bool, n)...)
	case vec.StoreStrs:
		c.strs = append(c.strs, make([]string, n)...)
	case vec.StoreNested:
		if c.t.Kind == vec.Row {
			for _, child := range c.children {
				child.appendNulls(n)
			}
			break
		}
		last := c.offsets[len(c.offsets)-1]
		for range n {
			c.offsets = append(c.offsets, last)
		}
	}
	c.n += n
}

// appendRow adds row i of v.
func (c *column) appendRow(v *vec.Vector, i int) {
	c.flatten()
	f, j := v.At(i)
	if f.Type.Kind == vec.Unknown || f.Nulls != nil && f.Nulls[j] {
		c.appendNulls(1)
		return
	}
	if c.nulls != nil {
		c.nulls = append(c.nulls, false)
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints = append(c.ints, f.Ints[j])
	case vec.StoreFloats:
		c.floats = append(c.floats, f.Floats[j])
	case vec.StoreBools:
		c.bools = append(c.bools, f.Bools[j])
	case vec.StoreStrs:
		c.strs = append(c.strs, f.Strs[j])
		c.strBytes += int64(len(f.Strs[j]))
	case vec.StoreNested:
		c.appendNested(v.Gather([]int32{int32(i)}).Flat())
	}
	c.n++
}

// appendRows adds the given rows of v.
func (c *column) appendRows(v *vec.Vector, rows []int32) {
	if c.packed != nil {
		c.appendPacked(v, rows)
		return
	}
	if v.Type.Kind == vec.Unknown {
		c.appendNulls(len(rows))
		return
	}
	s := c.t.Kind.Storage()
	if v.Form == vec.Constant || s == vec.StoreNested {
		c.append(v.Gather(rows))
		return
	}
	c.flatten()
	index := v.Index
	from := v
	if v.Form == vec.Dictionary {
		from = v.Dict
	}
	if from.Nulls != nil || c.nulls != nil {
		if c.nulls == nil {
			c.nulls = make([]bool, c.n, max(c.n+len(rows), cap(c.ints), cap(c.floats), cap(c.strs)))
		}
		for _, r := range rows {
			c.nulls = append(c.nulls, v.IsNull(int(r)))
		}
	}
	switch s {
	case vec.StoreInts:
		c.ints = appendGathered(c.ints, from.Ints, index, rows)
	case vec.StoreFloats:
		c.floats = appendGathered(c.floats, from.Floats, index, rows)
	case vec.StoreBools:
		c.bools = appendGathered(c.bools, from.Bools, index, rows)
	case vec.StoreStrs:
		c.strs = appendGathered(c.strs, from.Strs, index, rows)
		for _, t := range c.strs[c.n:] {
			c.strBytes += int64(len(t))
		}
	}
	c.n += len(rows)
}

// appendGathered appends the given rows of a flat vector's values or, with index, of a dictionary's.
func appendGathered[T any](dst, from []T, index, rows []int32) []T {
	n := len(dst)
	if n+len(rows) > cap(dst) {
		dst = append(make([]T, 0, max(n+len(rows), 2*cap(dst))), dst...)
	}
	dst = dst[:n+len(rows)]
	out := dst[n:]
	if index != nil {
		for k, r := range rows {
			out[k] = from[index[r]]
		}
		return dst
	}
	for k, r := range rows {
		out[k] = from[r]
	}
	return dst
}

// vector returns the rows so far.
func (c *column) vector() *vec.Vector {
	if w := c.words; w != nil {
		return vec.OfDict(w.index[:c.n:c.n], w.dict.vector())
	}
	if c.packed != nil {
		return vec.OfStrs(c.packed.list(), c.nulls).Retype(c.t)
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		return vec.OfInts(c.t, c.ints[:c.n:c.n], c.nulls)
	case vec.StoreFloats:
		return vec.OfFloats(c.floats[:c.n:c.n], c.nulls)
	case vec.StoreBools:
		return vec.OfBools(c.bools[:c.n:c.n], c.nulls)
	case vec.StoreStrs:
		return vec.OfStrs(c.strs[:c.n:c.n], c.nulls).Retype(c.t)
	case vec.StoreNested:
		children := make([]*vec.Vector, len(c.children))
		for i, child := range c.children {
			children[i] = child.vector()
		}
		if c.t.Kind == vec.Row {
			return vec.OfRows(c.t, c.n, c.nulls, children...)
		}
		return vec.OfNested(c.t, c.offsets[:c.n+1:c.n+1], c.nulls, children...)
	}
	return vec.NullsOf(c.t, c.n)
}

// sizeBytes estimates what the column holds.
func (c *column) sizeBytes() int64 {
	size := int64(cap(c.nulls)+cap(c.bools)) + 8*int64(cap(c.ints)+cap(c.floats)) + 16*int64(cap(c.strs)) + c.strBytes + 4*int64(cap(c.offsets))
	for _, child := range c.children {
		size += child.sizeBytes()
	}
	if c.packed != nil {
		size += 8*int64(cap(c.packed.ends)) + int64(c.packed.letters.Cap())
	}
	if c.words != nil {
		size += 4*int64(cap(c.words.index)) + c.words.dict.sizeBytes()
	}
	return size
}

// rows is materialised rows in columns.
type rows struct {
	cols []*column // nil for columns that are left out
	n    int
}

func newRows(types []vec.Type) *rows { return &rows{cols: newColumns(types)} }

func (r *rows) append(b *vec.Batch) {
	for i, c := range r.cols {
		if c != nil {
			c.append(b.Columns[i])
		}
	}
	r.n += b.Len
}

// reserve makes room for n rows, before the first.
func (r *rows) reserve(n int) {
	for _, c := range r.cols {
		if c.t.Kind.Storage() != vec.StoreStrs { // which may come as dictionaries
			c.reserve(n)
		}
	}
}

func (r *rows) batch() *vec.Batch {
	b := &vec.Batch{Len: r.n, Columns: make([]*vec.Vector, len(r.cols))}
	for i, c := range r.cols {
		if c != nil {
			b.Columns[i] = c.vector()
		}
	}
	return b
}

func (r *rows) sizeBytes() int64 {
	size := int64(0)
	for _, c := range r.cols {
		if c != nil {
			size += c.sizeBytes()
		}
	}
	return size
}

// emitter hands a materialised batch out in pieces, optionally in another order.
type emitter struct {
	b     *vec.Batch
	order []int32 // nil: as it stands
	at    int
}

// next returns at most n rows, or nil at the end.
func (e *emitter) next(n int) *vec.Batch {
	total := e.b.Len
	if e.order != nil {
		total = len(e.order)
	}
	if e.at >= total {
		return nil
	}
	from, to := e.at, min(e.at+n, total)
	e.at = to
	if e.order != nil {
		return e.b.Gather(e.order[from:to])
	}
	if from == 0 && to == total {
		return e.b
	}
	return e.b.Slice(from, to)
}

// allRows returns 0, 1, …, n-1.
func allRows(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// scatter puts pieces together: row rows[k][i] of the result is row i of parts[k].
// Together the rows lists hold 0 to n-1 once each.
func scatter(t vec.Type, n int, rowLists [][]int32, parts []*vec.Vector) *vec.Vector {
	if len(parts) == 1 && len(rowLists[0]) == n {
		return retype(parts[0], t)
	}
	c := newColumn(t)
	perm := make([]int32, n)
	for k, part := range parts {
		for i, r := range rowLists[k] {
			perm[r] = int32(c.n + i)
		}
		c.append(part)
	}
	return c.vector().Gather(perm)
}

// sameAs is vec.Equal for row i of the column and row j of v.
func (c *column) sameAs(i int, v *vec.Vector, j int) bool {
	v, j = v.At(j)
	cn := c.t.Kind == vec.Unknown || c.nulls != nil && c.nulls[i]
	vn := v.Type.Kind == vec.Unknown || v.Nulls != nil && v.Nulls[j]
	if cn || vn {
		return cn == vn
	}
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		return c.ints[i] == v.Ints[j]
	case vec.StoreFloats:
		x, y := c.floats[i], v.Floats[j]
		return x == y || x != x && y != y
	case vec.StoreBools:
		return c.bools[i] == v.Bools[j]
	case vec.StoreStrs:
		return c.strs[i] == v.Strs[j]
	}
	return vec.Equal(c.vector(), i, v, j)
}

// clearChanged clears same[i] where row i of v differs from row i-1.
func clearChanged(v *vec.Vector, same []bool) {
	switch {
	case v.Form == vec.Constant:
	case v.Form == vec.Dictionary:
		for i := 1; i < len(same); i++ {
			if v.Index[i] != v.Index[i-1] && !vec.Equal(v, i, v, i-1) {
				same[i] = false
			}
		}
	case v.Type.Kind.Storage() == vec.StoreInts && v.Nulls == nil:
		for i := 1; i < len(same); i++ {
			if v.Ints[i] != v.Ints[i-1] {
				same[i] = false
			}
		}
	case v.Type.Kind.Storage() == vec.StoreFloats && v.Nulls == nil:
		for i := 1; i < len(same); i++ {
			if x, y := v.Floats[i], v.Floats[i-1]; x != y && (x == x || y == y) {
				same[i] = false
			}
		}
	default:
		for i := 1; i < len(same); i++ {
			if same[i] && !vec.Equal(v, i, v, i-1) {
				same[i] = false
			}
		}
	}
}

// retype gives v the type t of the same storage, without copying.
func retype(v *vec.Vector, t vec.Type) *vec.Vector {
	if v.Type.Kind == vec.Unknown && t.Kind != vec.Unknown {
		return vec.NullsOf(t, v.Len())
	}
	if v.Type.Equal(t) {
		return v
	}
	return v.Retype(t)
}

// reserve makes room for n values in an empty column.
func (c *column) reserve(n int) {
	switch c.t.Kind.Storage() {
	case vec.StoreInts:
		c.ints = make([]int64, 0, n)
	case vec.StoreFloats:
		c.floats = make([]float64, 0, n)
	case vec.StoreBools:
		c.bools = make([]bool, 0, n)
	case vec.StoreStrs:
		c.strs = make([]string, 0, n)
	}
}
