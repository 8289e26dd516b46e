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
// Dimension values are coded by a dictionary per dimension, so that a predicate is
// evaluated once per distinct value. A series costs its key, eight
// bytes per dimension and about 30 bytes more.
//
// A [Registry] is safe for concurrent use. All of it only grows, so a [View] is a
// few slice headers and stays valid.
package series

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
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

	mu    sync.RWMutex // guards the fields below; elements once written are not changed
	slots []uint32     // open addressing by hash; id+1, 0 is free; a power of two long
	v     View
	// Chains of the dimensions of equal value, by index into v.pairs plus one: a
	// dictionary's heads has the latest, before the one before it.
	before []uint32
	owner  []ID // series of each pair
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{seed: maphash.MakeSeed(), token: new(int64), slots: make([]uint32, 64)}
	r.v.keyEnds = []uint64{0}
	r.v.pairEnds = []uint32{0}
	r.v.measures = newDictionary()
	r.v.dims = map[string]*dictionary{}
	return r
}

// View is the series registered at one moment.
type View struct {
	hashes   []uint32 // low half of each key's hash
	keys     []byte   // all keys end to end
	keyEnds  []uint64 // key i is keys[keyEnds[i]:keyEnds[i+1]]
	measure  []uint32 // measure of each series, index into measures
	pairs    []pair   // dimensions of all series end to end
	pairEnds []uint32
	names    []string // of dimensions, by name id
	measures *dictionary
	dims     map[string]*dictionary // replaced, not modified, when a name is added
}

type pair struct{ name, value uint32 }

// dictionary codes the distinct values of one dimension, or the measure names.
type dictionary struct {
	name   uint32 // id of the dimension's name
	ids    map[string]uint32
	values []string // append-only
	heads  []uint32 // by code; see Registry.before
}

func newDictionary() *dictionary { return &dictionary{ids: map[string]uint32{}} }

func (d *dictionary) code(s string) uint32 {
	id, ok := d.ids[s]
	if !ok {
		id = uint32(len(d.values))
		s = strings.Clone(s)
		d.ids[s] = id
		d.values = append(d.values, s)
	}
	return id
}

// Token stands for the registry, and does not keep it in memory.
func (r *Registry) Token() *int64 { return r.token }

// Series returns the measure name and the dimensions, sorted by name, of a series.
func (r *Registry) Series(id ID) (measure string, dims []storage.Dim) {
	r.mu.RLock()
	key := r.v.Key(id)
	r.mu.RUnlock()
	measure, dims, err := ParseKey(key)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return measure, dims
}

// AppendKeyOf appends the length of a series' canonical key, as uvarint, and the key.
func (r *Registry) AppendKeyOf(dst []byte, id ID) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	key := r.v.Key(id)
	return append(binary.AppendUvarint(dst, uint64(len(key))), key...)
}

// Len returns the number of series.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.v.measure)
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
// fails only on a key that is not canonical.
func (r *Registry) Resolve(dst []ID, keys *Keys) ([]ID, error) {
	missing := false
	from := len(dst)
	r.mu.RLock()
	for i := range keys.Ends {
		key := keys.Key(i)
		id, ok := r.find(key, maphash.Bytes(r.seed, key))
		if !ok {
			id, missing = ^uint32(0), true
		}
		dst = append(dst, id)
	}
	r.mu.RUnlock()
	if !missing {
		return dst, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range keys.Ends {
		if dst[from+i] != ^uint32(0) {
			continue
		}
		id, err := r.addLocked(keys.Key(i))
		if err != nil {
			return dst, err
		}
		dst[from+i] = id
	}
	return dst, nil
}

// Find returns the id of a key without registering it.
func (r *Registry) Find(key []byte) (ID, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(key, maphash.Bytes(r.seed, key))
}

func (r *Registry) find(key []byte, hash uint64) (ID, bool) {
	mask := uint64(len(r.slots) - 1)
	for at := hash >> 32 & mask; ; at = (at + 1) & mask {
		slot := r.slots[at]
		if slot == 0 {
			return 0, false
		}
		if id := slot - 1; r.v.hashes[id] == uint32(hash) && bytes.Equal(r.v.Key(id), key) {
			return id, true
		}
	}
}

func (r *Registry) addLocked(key []byte) (ID, error) {
	hash := maphash.Bytes(r.seed, key)
	if id, ok := r.find(key, hash); ok {
		return id, nil
	}
	measure, dims, err := ParseKey(key)
	if err != nil {
		return 0, err
	}
	if 4*len(r.v.measure) >= 3*len(r.slots) {
		r.growLocked()
	}
	id := ID(len(r.v.measure))
	r.v.keys = append(r.v.keys, key...)
	r.v.keyEnds = append(r.v.keyEnds, uint64(len(r.v.keys)))
	r.v.hashes = append(r.v.hashes, uint32(hash))
	r.v.measure = append(r.v.measure, r.v.measures.code(measure))
	for _, d := range dims {
		dict := r.dimensionLocked(d.Name)
		code := dict.code(d.Value)
		if int(code) == len(dict.heads) {
			dict.heads = append(dict.heads, 0)
		}
		r.v.pairs = append(r.v.pairs, pair{dict.name, code})
		r.before = append(r.before, dict.heads[code])
		r.owner = append(r.owner, id)
		dict.heads[code] = uint32(len(r.v.pairs))
	}
	r.v.pairEnds = append(r.v.pairEnds, uint32(len(r.v.pairs)))
	r.insertLocked(id, hash)
	return id, nil
}

func (r *Registry) dimensionLocked(name string) *dictionary {
	if dict := r.v.dims[name]; dict != nil {
		return dict
	}
	dict := newDictionary()
	dict.name = uint32(len(r.v.names))
	name = strings.Clone(name)
	dims := make(map[string]*dictionary, len(r.v.dims)+1)
	for n, d := range r.v.dims {
		dims[n] = d
	}
	dims[name] = dict
	r.v.dims = dims
	r.v.names = append(r.v.names, name)
	return dict
}

func (r *Registry) insertLocked(id ID, hash uint64) {
	mask := uint64(len(r.slots) - 1)
	at := hash >> 32 & mask
	for r.slots[at] != 0 {
		at = (at + 1) & mask
	}
	r.slots[at] = id + 1
}

func (r *Registry) growLocked() {
	r.slots = make([]uint32, 2*len(r.slots))
	for id := range r.v.measure {
		r.insertLocked(ID(id), maphash.Bytes(r.seed, r.v.Key(ID(id))))
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
	var ids []ID
	for i, value := range values {
		code, ok := dict.ids[value]
		if !ok || slices.Contains(values[:i], value) {
			continue
		}
		for at := dict.heads[code]; at != 0; at = r.before[at-1] {
			if id := r.owner[at-1]; int(id) < v.Len() {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// View returns what is registered now.
func (r *Registry) View() *View {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v := r.v
	// The dictionaries grow in place: freeze their lengths too.
	v.measures = v.measures.freeze()
	dims := make(map[string]*dictionary, len(v.dims))
	for name, d := range v.dims {
		dims[name] = d.freeze()
	}
	v.dims = dims
	return &v
}

func (d *dictionary) freeze() *dictionary { return &dictionary{name: d.name, values: d.values} }

// Len returns the number of series.
func (v *View) Len() int { return len(v.measure) }

// Key returns the canonical key of a series; it must not be modified.
func (v *View) Key(id ID) []byte { return v.keys[v.keyEnds[id]:v.keyEnds[id+1]] }

// Measure returns the measure name of a series.
func (v *View) Measure(id ID) string { return v.measures.values[v.measure[id]] }

// MeasureCode returns the code of a series' measure name, an index into Measures.
func (v *View) MeasureCode(id ID) uint32 { return v.measure[id] }

// Measures returns the distinct measure names by code.
func (v *View) Measures() []string { return v.measures.values }

// Dimension is one dimension of a view.
type Dimension struct {
	Values []string // distinct values by code
	name   uint32
	v      *View
	known  bool
}

// Dimension returns a dimension by name; one that no series has is empty.
func (v *View) Dimension(name string) Dimension {
	dict := v.dims[name]
	if dict == nil {
		return Dimension{v: v}
	}
	return Dimension{Values: dict.values, name: dict.name, v: v, known: true}
}

// Code returns the code of a series' value, or false if the series lacks the dimension.
func (d *Dimension) Code(id ID) (uint32, bool) {
	if !d.known {
		return 0, false
	}
	for _, p := range d.v.pairs[d.v.pairEnds[id]:d.v.pairEnds[id+1]] {
		if p.name == d.name {
			return p.value, true
		}
	}
	return 0, false
}
