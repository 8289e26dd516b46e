// Package series gives the series of one table small integer ids.
//
// A series is a measure name and a set of dimensions. Its canonical key is
//
//	len(measure) measure { len(name) name len(value) value }
//
// with lengths as uvarints and dimensions sorted by name (bytes). Ids are dense,
// from 0, in the order of registration; they live as long as the process and are
// never written to disk, where series are known by their keys.
//
// Measure names and dimension values are coded by dictionaries, so that a predicate is
// evaluated once per distinct value. The names of a series are its shape, which series share. A series
// costs a shape, a hash and a place in a table, eight bytes per dimension, and what its new values take in the
// dictionaries: about 30 bytes, and 40 with their text for a value of its own.
//
// A [Registry] is safe for concurrent use. All of it only grows, so a [View] is a
// few slice headers and stays valid.
package series

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/weir-db/weir/internal/storage"
)

// ID is a series of a table.
type ID = uint32

// AppendKey appends the canonical key. dims may come in any order.
func AppendKey(dst []byte, measure string, dims []storage.Dim) []byte {
	dst = appendString(dst, measure)
	for i := 1; i < len(dims); i++ {
		if dims[i].Name < dims[i-1].Name {
			return appendSorted(dst, dims)
		}
	}
	for i := range dims {
		dst = appendString(dst, dims[i].Name)
		dst = appendString(dst, dims[i].Value)
	}
	return dst
}

// appendSorted appends dimensions by name. Their own order means something to the schema, so it is
// numbers that are sorted.
func appendSorted(dst []byte, dims []storage.Dim) []byte {
	var room [storage.MaxDimensionsPerTable]int32
	order := room[:0]
	for i := range dims {
		at := len(order)
		for at > 0 && dims[order[at-1]].Name > dims[i].Name {
			at--
		}
		order = append(order, 0)
		copy(order[at+1:], order[at:])
		order[at] = int32(i)
	}
	for _, i := range order {
		dst = appendString(dst, dims[i].Name)
		dst = appendString(dst, dims[i].Value)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// ParseKey splits a canonical key; the strings are copies.
func ParseKey(key []byte) (measure string, dims []storage.Dim, err error) {
	text := string(key)
	next := func() string {
		n, width := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
		if width <= 0 || n > uint64(len(text)-width) {
			err = fmt.Errorf("series key of %d bytes is cut short", len(key))
			text = ""
			return ""
		}
		s := text[width : width+int(n)]
		text = text[width+int(n):]
		return s
	}
	measure = next()
	for text != "" && err == nil {
		d := storage.Dim{Name: next()}
		d.Value = next()
		if len(dims) > 0 && d.Name <= dims[len(dims)-1].Name && err == nil {
			err = fmt.Errorf("series key has dimension %q after %q", d.Name, dims[len(dims)-1].Name)
		}
		dims = append(dims, d)
	}
	return measure, dims, err
}

// Registry holds the series of a table.
type Registry struct {
	seed  maphash.Seed
	token *int64

	mu     sync.RWMutex      // guards the fields below; elements of the view once written are not changed
	slots  []uint32          // open addressing by hash; id+1, 0 is free; a power of two long
	hashes []uint32          // of each series' key
	before []uint32          // beside v.codes: the series before with the same value, plus one
	shapes map[string]uint32 // by shapeKey
	v      View

	shapeKey []byte // scratch: a measure's code and the ids of dimensions' names, u32 each
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{seed: maphash.MakeSeed(), token: new(int64), slots: make([]uint32, 64), shapes: map[string]uint32{}}
	r.v.measures = newDictionary(0)
	r.v.dims = map[string]*dictionary{}
	return r
}

// View is the series registered at one moment.
type View struct {
	shape    []uint32 // of each series, index into shapes
	at       []uint32 // where the values of each series begin in codes
	codes    []uint32 // of the values of all series, each in the order of its shape's dimensions
	shapes   []shape
	names    []string // of dimensions, by name id
	measures *dictionary
	dims     map[string]*dictionary // replaced, not modified, when a name is added
	byName   []*dictionary          // the same by name id, for those who ask once per value
}

// shape is a measure and the dimensions that come with it, sorted by name.
type shape struct {
	measure uint32
	dims    []uint32 // name ids
}

// Token stands for the registry, and does not keep it in memory.
func (r *Registry) Token() *int64 { return r.token }

// Series returns the measure name and the dimensions, sorted by name, of a series.
func (r *Registry) Series(id ID) (measure string, dims []storage.Dim) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.v.Series(id)
}

// AppendKeyOf appends the length of a series' canonical key, as uvarint, and the key.
func (r *Registry) AppendKeyOf(dst []byte, id ID) []byte {
	measure, dims := r.Series(id)
	size := stringSize(measure)
	for i := range dims {
		size += stringSize(dims[i].Name) + stringSize(dims[i].Value)
	}
	return AppendKey(binary.AppendUvarint(dst, uint64(size)), measure, dims)
}

// stringSize is how much appendString appends.
func stringSize(s string) int {
	n := 1
	for v := len(s); v >= 0x80; v >>= 7 {
		n++
	}
	return n + len(s)
}

// Len returns the number of series.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.v.Len()
}

// Keys is a list of canonical keys, end to end.
type Keys struct {
	Bytes []byte
	Ends  []int // key i ends before Bytes[Ends[i]]
}

// Key returns key i.
func (k *Keys) Key(i int) []byte {
	from := 0
	if i > 0 {
		from = k.Ends[i-1]
	}
	return k.Bytes[from:k.Ends[i]]
}

// Resolve appends the ids of keys to dst, registering those that are new. It
// fails only on a key that is not canonical. It is quickest if series come in the order in which they were registered, as those of
// segments do, which all have one order, and those of a request that is like the one before: see guess.
func (r *Registry) Resolve(dst []ID, keys *Keys) ([]ID, error) {
	g := guess{}
	if n := len(dst); n > 0 {
		g.next = dst[n-1] + 1
	}
	i := 0
	r.mu.RLock()
	for ; i < len(keys.Ends); i++ {
		id, ok := r.guessed(&g, keys.Key(i))
		if !ok {
			break
		}
		dst = append(dst, id)
	}
	r.mu.RUnlock()
	if i == len(keys.Ends) {
		return dst, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; i < len(keys.Ends); i++ {
		id, err := r.addLocked(keys.Key(i))
		if err != nil {
			return dst, err
		}
		dst = append(dst, id)
	}
	return dst, nil
}

// guess is that a key is of the series after that of the key before. To compare takes a few dozen bytes that are likely to be in
// the processor's cache; with a million series, looking up the hash waits for memory several times.
type guess struct {
	next  ID
	wrong int // guesses in a row
}

// mostWrong is how many wrong guesses in a row end them: an order of its own costs little more than before.
const mostWrong = 8

// guessed returns the id of a key.
func (r *Registry) guessed(g *guess, key []byte) (ID, bool) {
	if g.wrong < mostWrong && int(g.next) < r.v.Len() {
		if r.has(g.next, key) {
			g.next, g.wrong = g.next+1, 0
			return g.next - 1, true
		}
		g.wrong++
	}
	id, ok := r.find(key, maphash.Bytes(r.seed, key))
	g.next = id + 1
	return id, ok
}

// Find returns the id of a key without registering it.
func (r *Registry) Find(key []byte) (ID, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(key, maphash.Bytes(r.seed, key))
}

func (r *Registry) find(key []byte, hash uint64) (ID, bool) {
	mask := uint32(len(r.slots) - 1)
	for at := uint32(hash) & mask; ; at = (at + 1) & mask {
		slot := r.slots[at]
		if slot == 0 {
			return 0, false
		}
		if id := slot - 1; r.hashes[id] == uint32(hash) && r.has(id, key) {
			return id, true
		}
	}
}

// has reports whether a series has that key.
func (r *Registry) has(id ID, key []byte) bool {
	s := &r.v.shapes[r.v.shape[id]]
	codes := r.v.codes[r.v.at[id]:]
	key, ok := cut(key, r.v.measures.values[s.measure])
	for k, name := range s.dims {
		if ok {
			key, ok = cut(key, r.v.names[name])
		}
		if ok {
			key, ok = cut(key, r.v.byName[name].values[codes[k]])
		}
	}
	return ok && len(key) == 0
}

// cut takes s, as appendString writes it, from the front of key.
func cut(key []byte, s string) (rest []byte, ok bool) {
	n := len(s)
	if n < 0x80 {
		if len(key) <= n || key[0] != byte(n) || string(key[1:1+n]) != s {
			return nil, false
		}
		return key[1+n:], true
	}
	length, width := binary.Uvarint(key)
	if width <= 0 || length != uint64(n) || len(key)-width < n || string(key[width:width+n]) != s {
		return nil, false
	}
	return key[width+n:], true
}

func (r *Registry) addLocked(key []byte) (ID, error) {
	hash := maphash.Bytes(r.seed, key)
	if id, ok := r.find(key, hash); ok {
		return id, nil
	}
	if err := checkKey(key); err != nil {
		return 0, err
	}
	n := r.v.Len()
	if 4*n >= 3*len(r.slots) {
		r.growLocked(2 * len(r.slots))
	}
	id := ID(n)
	r.v.at = append(r.v.at, uint32(len(r.v.codes)))
	measure, rest := next(key)
	r.shapeKey = binary.LittleEndian.AppendUint32(r.shapeKey[:0], r.v.measures.code(measure))
	for len(rest) > 0 {
		var name, value []byte
		name, rest = next(rest)
		value, rest = next(rest)
		dict := r.dimensionLocked(name)
		code := dict.code(value)
		r.shapeKey = binary.LittleEndian.AppendUint32(r.shapeKey, dict.name)
		r.v.codes = append(r.v.codes, code)
		r.before = append(r.before, dict.heads[code])
		dict.heads[code] = id + 1
	}
	r.v.shape = append(r.v.shape, r.shapeLocked())
	r.hashes = append(r.hashes, uint32(hash))
	r.insertLocked(id, uint32(hash))
	return id, nil
}

// next takes a string, which is there, from the front of a key.
func next(key []byte) (s, rest []byte) {
	n, width := uint64(key[0]), 1
	if n >= 0x80 {
		n, width = binary.Uvarint(key)
	}
	return key[width : width+int(n)], key[width+int(n):]
}

// checkKey reports what is wrong with a key that is not canonical.
func checkKey(key []byte) error {
	var last []byte
	for i, rest := 0, key; i == 0 || len(rest) > 0; i++ {
		n, width := binary.Uvarint(rest)
		if width <= 0 || n > uint64(len(rest)-width) || width > 1 && rest[width-1] == 0 || i > 0 && i%2 == 1 && int(n)+width == len(rest) {
			return fmt.Errorf("series key of %d bytes is cut short", len(key))
		}
		text := rest[width : width+int(n)]
		rest = rest[width+int(n):]
		if i%2 == 0 {
			continue
		}
		if i > 1 && bytes.Compare(text, last) <= 0 {
			return fmt.Errorf("series key has dimension %q after %q", text, last)
		}
		last = text
	}
	return nil
}

// shapeLocked returns the shape of r.shapeKey.
func (r *Registry) shapeLocked() uint32 {
	n, ok := r.shapes[string(r.shapeKey)]
	if !ok {
		n = uint32(len(r.v.shapes))
		r.shapes[string(r.shapeKey)] = n
		s := shape{measure: binary.LittleEndian.Uint32(r.shapeKey)}
		for rest := r.shapeKey[4:]; len(rest) > 0; rest = rest[4:] {
			s.dims = append(s.dims, binary.LittleEndian.Uint32(rest))
		}
		r.v.shapes = append(r.v.shapes, s)
	}
	return n
}

func (r *Registry) dimensionLocked(text []byte) *dictionary {
	if dict := r.v.dims[string(text)]; dict != nil {
		return dict
	}
	dict, name := newDictionary(uint32(len(r.v.names))), string(text)
	dims := maps.Clone(r.v.dims)
	dims[name] = dict
	r.v.dims = dims
	r.v.names = append(r.v.names, name)
	r.v.byName = append(r.v.byName, dict)
	return dict
}

func (r *Registry) insertLocked(id ID, hash uint32) {
	mask := uint32(len(r.slots) - 1)
	at := hash & mask
	for r.slots[at] != 0 {
		at = (at + 1) & mask
	}
	r.slots[at] = id + 1
}

// Reserve makes room for n more series that have some dimensions together, with so many different values each.
func (r *Registry) Reserve(n, dimensions int, values map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.v.shape, r.v.at, r.hashes = slices.Grow(r.v.shape, n), slices.Grow(r.v.at, n), slices.Grow(r.hashes, n)
	r.v.codes, r.before = slices.Grow(r.v.codes, dimensions), slices.Grow(r.before, dimensions)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		r.dimensionLocked([]byte(name)).reserve(values[name])
	}
	size := len(r.slots)
	for 4*(r.v.Len()+n) >= 3*size {
		size *= 2
	}
	if size > len(r.slots) {
		r.growLocked(size)
	}
}

func (r *Registry) growLocked(size int) {
	r.slots = make([]uint32, size)
	for id, hash := range r.hashes {
		r.insertLocked(ID(id), hash)
	}
}

// With returns the series of v whose dimension has one of the values, ascending.
func (r *Registry) With(v *View, dimension string, values []string) []ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	dict := r.v.dims[dimension]
	if dict == nil {
		return nil
	}
	places := r.v.placesOf(dict.name)
	var ids []ID
	for _, value := range values {
		code, ok := dict.find([]byte(value))
		if !ok {
			continue
		}
		for next := dict.heads[code]; next != 0; {
			id := next - 1
			if int(id) < v.Len() {
				ids = append(ids, id)
			}
			next = r.before[int(r.v.at[id])+int(places[r.v.shape[id]])]
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids) // a value may be listed twice
}

// View returns what is registered now.
func (r *Registry) View() *View {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v := r.v
	// The dictionaries grow in place: freeze their lengths too.
	v.measures = v.measures.freeze()
	dims := make(map[string]*dictionary, len(v.dims))
	v.byName = make([]*dictionary, len(v.names))
	for name, d := range v.dims {
		frozen := d.freeze()
		dims[name], v.byName[d.name] = frozen, frozen
	}
	v.dims = dims
	return &v
}

// Len returns the number of series.
func (v *View) Len() int { return len(v.shape) }

// Series returns the measure name and the dimensions, sorted by name, of a series.
func (v *View) Series(id ID) (measure string, dims []storage.Dim) {
	measure, dims, _ = v.Coded(id, nil)
	return measure, dims
}

// Coded is Series, with the dimensions appended to dst, and the codes of their values, each one of those of its name. The codes
// must not be modified.
func (v *View) Coded(id ID, dst []storage.Dim) (measure string, dims []storage.Dim, codes []uint32) {
	s := &v.shapes[v.shape[id]]
	codes = v.codes[v.at[id]:][:len(s.dims):len(s.dims)]
	dims = slices.Grow(dst, len(s.dims))
	for k, name := range s.dims {
		dims = append(dims, storage.Dim{Name: v.names[name], Value: v.byName[name].values[codes[k]]})
	}
	return v.measures.values[s.measure], dims, codes
}

// Compare orders series by their canonical keys.
func (v *View) Compare(a, b ID) int {
	s, t := &v.shapes[v.shape[a]], &v.shapes[v.shape[b]]
	if s.measure != t.measure {
		return compareKeys(v.measures.values[s.measure], v.measures.values[t.measure])
	}
	x, y := v.codes[v.at[a]:], v.codes[v.at[b]:]
	for k := range min(len(s.dims), len(t.dims)) {
		if s.dims[k] != t.dims[k] {
			return compareKeys(v.names[s.dims[k]], v.names[t.dims[k]])
		}
		if x[k] != y[k] {
			values := v.byName[s.dims[k]].values
			return compareKeys(values[x[k]], values[y[k]])
		}
	}
	return cmp.Compare(len(s.dims), len(t.dims))
}

// compareKeys compares different strings as appendString writes them.
func compareKeys(a, b string) int {
	if len(a) != len(b) {
		if max(len(a), len(b)) < 0x80 {
			return cmp.Compare(len(a), len(b))
		}
		return bytes.Compare(binary.AppendUvarint(nil, uint64(len(a))), binary.AppendUvarint(nil, uint64(len(b))))
	}
	return strings.Compare(a, b)
}

// Measure returns the measure name of a series.
func (v *View) Measure(id ID) string { return v.measures.values[v.MeasureCode(id)] }

// MeasureCode returns the code of a series' measure name, an index into Measures.
func (v *View) MeasureCode(id ID) uint32 { return v.shapes[v.shape[id]].measure }

// Measures returns the distinct measure names by code.
func (v *View) Measures() []string { return v.measures.values }

// Dimension is one dimension of a view.
type Dimension struct {
	Values []string // distinct values by code
	v      *View
	places []int32 // see placesOf; nil if no series has the dimension
}

// Dimension returns a dimension by name; one that no series has is empty.
func (v *View) Dimension(name string) Dimension {
	dict := v.dims[name]
	if dict == nil {
		return Dimension{v: v}
	}
	return Dimension{Values: dict.values, v: v, places: v.placesOf(dict.name)}
}

// Distinct returns how many different values a dimension has.
func (v *View) Distinct(dimension string) int {
	if dict := v.dims[dimension]; dict != nil {
		return len(dict.values)
	}
	return 0
}

// placesOf returns the place of a dimension among those of each shape, or -1.
func (v *View) placesOf(name uint32) []int32 {
	places := make([]int32, len(v.shapes))
	for i := range v.shapes {
		places[i] = int32(slices.Index(v.shapes[i].dims, name))
	}
	return places
}

// Code returns the code of a series' value, or false if the series lacks the dimension.
func (d *Dimension) Code(id ID) (uint32, bool) {
	if d.places == nil {
		return 0, false
	}
	place := d.places[d.v.shape[id]]
	if place < 0 {
		return 0, false
	}
	return d.v.codes[int(d.v.at[id])+int(place)], true
}
