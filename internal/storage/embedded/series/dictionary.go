package series

import (
	"hash/maphash"
	"slices"
	"unsafe"
)

// dictionary codes the distinct values of one dimension, or the measure names. Codes are
// dense, from 0.
type dictionary struct {
	name   uint32   // id of the dimension's name
	values []string // append-only; in chunks of text
	heads  []uint32 // by code: the last series with the value, plus one; see Registry.before
	slots  []uint32 // open addressing; code+1, 0 is free; a power of two long
	text   []byte   // the chunk that new values go to
}

// seed is of all dictionaries.
var seed = maphash.MakeSeed()

// Bounds of a chunk of text: many values are few allocations, few values are little memory.
const minText, maxText = 64, 64 << 10

func newDictionary(name uint32) *dictionary {
	return &dictionary{name: name, slots: make([]uint32, 8)}
}

// freeze returns the dictionary as far as it is now, for reading values.
func (d *dictionary) freeze() *dictionary { return &dictionary{name: d.name, values: d.values} }

// find returns the code of a value.
func (d *dictionary) find(s []byte) (code uint32, ok bool) {
	slot := *d.slot(s)
	return slot - 1, slot != 0
}

// slot returns where the code of a value is or would be.
func (d *dictionary) slot(s []byte) *uint32 {
	mask := uint32(len(d.slots) - 1)
	for at := uint32(maphash.Bytes(seed, s)) & mask; ; at = (at + 1) & mask {
		slot := &d.slots[at]
		if *slot == 0 || d.values[*slot-1] == string(s) {
			return slot
		}
	}
}

// code returns the code of a value, a new one if there is none. It keeps a copy.
func (d *dictionary) code(s []byte) uint32 {
	slot := d.slot(s)
	if *slot != 0 {
		return *slot - 1
	}
	code := uint32(len(d.values))
	d.values = append(d.values, d.keep(s))
	d.heads = append(d.heads, 0)
	*slot = code + 1
	if 4*len(d.values) >= 3*len(d.slots) {
		d.grow(2 * len(d.slots))
	}
	return code
}

func (d *dictionary) grow(size int) {
	d.slots = make([]uint32, size)
	for code, value := range d.values {
		*d.slot(unsafe.Slice(unsafe.StringData(value), len(value))) = uint32(code) + 1
	}
}

// reserve makes room for n more values.
func (d *dictionary) reserve(n int) {
	d.values, d.heads = slices.Grow(d.values, n), slices.Grow(d.heads, n)
	size := len(d.slots)
	for 4*(len(d.values)+n) >= 3*size {
		size *= 2
	}
	if size > len(d.slots) {
		d.grow(size)
	}
}

// keep copies s into the chunk at hand, or a new one.
func (d *dictionary) keep(s []byte) string {
	if len(s) == 0 {
		return ""
	}
	if cap(d.text)-len(d.text) < len(s) {
		d.text = make([]byte, 0, max(len(s), min(max(minText, 2*cap(d.text)), maxText)))
	}
	from := len(d.text)
	d.text = append(d.text, s...)
	return unsafe.String(&d.text[from], len(s))
}
