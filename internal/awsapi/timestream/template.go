package timestream

import (
	"bytes"
	"hash/maphash"

	"github.com/weir-db/weir/internal/ingest"
)

// Devices write the same text over and over: of a measure only the value changes, of a
// record's dimensions nothing does, from one request to the next. So the decoder keeps texts
// that it has read with what they mean, and where the body goes on with such a text, it
// compares instead of reading. What a structure means depends on its own bytes alone,
// so equal bytes mean the same, in whatever order or spacing members are written.
// Texts with escapes are not kept, since their strings are not in the body.

// template is a measure value as the record before wrote the one at its place: all bytes
// from where the decoder stood to the closing brace, without the text of Value and its quotes.
// The zero value matches nothing.
type template struct {
	text       []byte // own memory
	cut        int    // where the value was
	name, kind place  // in text
	absent     ingest.Absent
}

// place is where a string is in a text; both are 0 for an empty string.
type place struct{ from, to int }

// in returns the bytes at the place, shifted, as a string that shares them.
func (s place) in(body []byte, shift int) string {
	if s.to == 0 {
		return ""
	}
	return view(body[s.from+shift : s.to+shift])
}

// repeated reads a measure value that is written as t says, and reports whether it
// was; if not, nothing is consumed.
func (d *decoder) repeated(t *template, v *ingest.MeasureValue) bool {
	start, mark := d.at, len(d.scratch)
	body := d.body
	if t.cut == 0 || len(body)-start <= len(t.text) || string(body[start:start+t.cut]) != string(t.text[:t.cut]) || body[start+t.cut] != '"' {
		return false
	}
	d.at = start + t.cut
	value := d.str()
	rest := t.text[t.cut:]
	if d.err == nil && (len(body)-d.at < len(rest) || string(body[d.at:d.at+len(rest)]) != string(rest)) {
		d.at, d.scratch = start, d.scratch[:mark]
		return false
	}
	shift := d.at - start - t.cut // of what comes after the value
	*v = ingest.MeasureValue{Value: value, Absent: t.absent}
	if d.err != nil {
		return true // the body ends within the value, and so does the request
	}
	at := func(s place) string {
		if s.from >= t.cut {
			return s.in(body, start+shift)
		}
		return s.in(body, start)
	}
	v.Name, v.Type = at(t.name), ingest.ValueType(at(t.kind))
	d.at += len(rest)
	return true
}

// learn makes t the template of the measure value v that was read from start on.
func (d *decoder) learn(t *template, v *ingest.MeasureValue, start int) {
	t.cut = 0
	if v.Value == "" || d.err != nil || d.at-start > maxLearned {
		return
	}
	from := offset(d.body, v.Value) - 1 // with the quotes
	to := from + len(v.Value) + 2
	t.text = append(append(t.text[:0], d.body[start:from]...), d.body[to:d.at]...)
	t.cut, t.absent = from-start, v.Absent
	find := func(s string) place {
		if s == "" {
			return place{}
		}
		p := offset(d.body, s)
		if p > from {
			p -= to - from
		}
		return place{p - start, p - start + len(s)}
	}
	t.name, t.kind = find(v.Name), find(string(v.Type))
}

// Bounds of what a decoder keeps: at most learnedLists lists of dimensions, of at most
// maxLearned bytes and maxLearnedDimensions dimensions, so 4 MB, if all are that long.
const (
	learnedLists         = 2048 // a power of two
	maxLearned           = 1024
	maxLearnedDimensions = 16
)

// dimensionList is a list of dimensions as it was written.
type dimensionList struct {
	text    []byte             // own memory; empty matches nothing
	dims    []ingest.Dimension // with strings in text
	request uint64             // the last one that uses text and dims
}

// dimensionLists is a cache of lists by the hash of their text up to its first closing
// bracket, which no list ends before.
type dimensionLists struct {
	lists   []dimensionList
	request uint64 // the current one's number
}

var seed = maphash.MakeSeed()

// slot returns the place for the list that text begins with, nil if it cannot be one.
func (c *dimensionLists) slot(text []byte) *dimensionList {
	n := bytes.IndexByte(text[:min(len(text), maxLearned)], ']')
	if n < 0 {
		return nil
	}
	if c.lists == nil {
		c.lists = make([]dimensionList, learnedLists)
	}
	return &c.lists[maphash.Bytes(seed, text[:n])%learnedLists]
}

// known reads a list of dimensions that stands in l, and reports whether it does.
func (d *decoder) known(l *dimensionList, r *ingest.Record) bool {
	if l == nil || len(l.text) == 0 || !bytes.HasPrefix(d.body[d.at:], l.text) {
		return false
	}
	d.at += len(l.text)
	l.request = d.lists.request
	r.Dimensions = l.dims[:len(l.dims):len(l.dims)]
	return true
}

// keep puts the list dims that was read from start on into l, unless the current request
// uses what is there.
func (d *decoder) keep(l *dimensionList, dims []ingest.Dimension, start int) {
	if l == nil || l.request == d.lists.request || d.err != nil || d.at-start > maxLearned || len(dims) > maxLearnedDimensions {
		return
	}
	l.text = append(l.text[:0], d.body[start:d.at]...)
	l.dims = append(l.dims[:0], dims...)
	own := func(s string) string {
		if s == "" {
			return "" // which must not hold on to the body
		}
		from := offset(d.body, s) - start
		return view(l.text[from : from+len(s)])
	}
	for i := range l.dims {
		dim := &l.dims[i]
		dim.Name, dim.Value, dim.Type = own(dim.Name), own(dim.Value), ingest.ValueType(own(string(dim.Type)))
	}
}
