package timestream

import (
	"bytes"
	"hash/maphash"

	"github.com/weir-db/weir/internal/ingest"
)

// Bounds of what a decoder keeps of lists of dimensions: at most learnedLists, of at most
// maxLearned bytes and maxLearnedDimensions dimensions, so 4 MB, if all are that long.
const (
	learnedLists         = 2048 // a power of two
	maxLearned           = 1024
	maxLearnedDimensions = 16
)

// dimensionList is a list of dimensions as it was written. Texts with escapes are not kept, since
// their strings are not in the body.
type dimensionList struct {
	text    []byte // own memory; empty matches nothing
	dims    []ingest.Dimension
	list    ingest.DimensionList // of dims, whose strings are in text
	request uint64               // the last one that uses it
	next    *dimensionList       // what followed it the last time
}

// dimensionLists is a cache of lists by the hash of their text up to its first closing
// bracket, which no list ends before.
type dimensionLists struct {
	lists []dimensionList
	last  *dimensionList // that the body had
	stamp uint64         // of the last change of any list
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

// knownList reads a list of dimensions that was read before. If it was not, it returns the place
// for it, or nil, and nothing is consumed. Gateways send their devices in the same order each
// time, so what followed the list before is looked at first.
func (d *decoder) knownList(r *ingest.Record) (place *dimensionList, known bool) {
	c := &d.lists
	if c.last != nil && c.last.next != nil && d.stands(c.last.next, r) {
		c.last = c.last.next
		return nil, true
	}
	l := c.slot(d.body[d.at:])
	if l == nil || !d.stands(l, r) {
		return l, false
	}
	if c.last != nil {
		c.last.next = l
	}
	c.last = l
	return nil, true
}

// stands reads a list of dimensions that stands in l, and reports whether it does.
func (d *decoder) stands(l *dimensionList, r *ingest.Record) bool {
	if len(l.text) == 0 || !bytes.HasPrefix(d.body[d.at:], l.text) {
		return false
	}
	d.at += len(l.text)
	l.request = d.request
	r.Dimensions, r.List = l.list.Dims, &l.list
	return true
}

// keep puts the list dims that was read from start on into l, unless the current request
// uses what is there.
func (d *decoder) keep(l *dimensionList, dims []ingest.Dimension, start int) {
	if l == nil || l.request == d.request || d.err != nil || d.at-start > maxLearned || !d.valid(start) || len(dims) > maxLearnedDimensions {
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
	d.lists.stamp++
	l.list.Reset(l.dims[:len(l.dims):len(l.dims)], d.lists.stamp)
}
