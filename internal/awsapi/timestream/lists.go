package timestream

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/weir-db/weir/internal/ingest"
)

// Bounds of what a decoder keeps of lists of dimensions: at most learnedLists, of at most
// maxLearned bytes and maxLearnedDimensions dimensions, so 4 MB, if all are that long.
const (
	learnedLists         = listSets * listWays
	listSets             = 512 // a power of two
	listWays             = 4
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
// bracket, which no list ends before. Once a set is full, a list is kept when it is seen the second time within a
// short while: of a million devices none is, so those that are not kept cost a look at one line of memory, and not
// the copy of each list and a look at another one's text, which were a seventh of the server's work.
type dimensionLists struct {
	sets  []listSet
	lists []dimensionList // listWays of each set
	last  *dimensionList  // that the body had
	stamp uint64          // of the last change of any list
}

// listSet is hashes of lists, 0 is none: of those that are kept, and of the latest that were not. It is as large as a line of the
// processor's cache.
type listSet struct {
	kept [listWays]uint64
	seen [listWays]uint64
}

// listPlace is where a list may be kept.
type listPlace struct {
	list *dimensionList // nil: nowhere
	kept *uint64
	hash uint64
}

var seed = maphash.MakeSeed()

// knownList reads a list of dimensions that was read before. If it was not, it returns the place
// for it, and nothing is consumed. Gateways send their devices in the same order each
// time, so what followed the list before is looked at first.
func (d *decoder) knownList(r *ingest.Record) (place listPlace, known bool) {
	c := &d.lists
	if c.last != nil && c.last.next != nil && d.stands(c.last.next, r) {
		c.last = c.last.next
		return place, true
	}
	text := d.body[d.at:]
	n := bytes.IndexByte(text[:min(len(text), maxLearned)], ']')
	if n < 0 {
		return place, false
	}
	if c.lists == nil {
		c.sets, c.lists = make([]listSet, listSets), make([]dimensionList, learnedLists)
	}
	hash := maphash.Bytes(seed, text[:n]) | 1
	at := hash >> 1 % listSets
	set, lists := &c.sets[at], c.lists[at*listWays:][:listWays]
	for way := range lists {
		if set.kept[way] == hash && d.stands(&lists[way], r) {
			if c.last != nil {
				c.last.next = &lists[way]
			}
			c.last = &lists[way]
			return place, true
		}
	}
	if way := set.choose(lists, hash); way >= 0 {
		place = listPlace{&lists[way], &set.kept[way], hash}
	}
	return place, false
}

// choose returns which of a set's lists is to make room for one that is not kept, or -1.
func (s *listSet) choose(lists []dimensionList, hash uint64) int {
	if free := slices.Index(s.kept[:], 0); free >= 0 {
		return free
	}
	if !slices.Contains(s.seen[:], hash) {
		copy(s.seen[1:], s.seen[:])
		s.seen[0] = hash
		return -1
	}
	oldest := 0
	for way := range lists {
		if lists[way].request < lists[oldest].request {
			oldest = way
		}
	}
	return oldest
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

// keep puts the list dims that was read from start on into its place, unless the current request
// uses what is there.
func (d *decoder) keep(place listPlace, dims []ingest.Dimension, start int) {
	l := place.list
	if l == nil || l.request == d.request || d.err != nil || d.at-start > maxLearned || !d.valid(start) || len(dims) > maxLearnedDimensions {
		return
	}
	*place.kept = place.hash
	d.remember(l, dims, start)
}

// remember makes l the list dims that was read from start on.
func (d *decoder) remember(l *dimensionList, dims []ingest.Dimension, start int) {
	l.request = d.request
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

// listExample is a list of dimensions that others are written like, but for the values: those of a kind of device. Where lists
// are too many to be kept, this is what spares to read and judge names over and over.
type listExample struct {
	dimensionList
	ends []int // of the text before each value
}

// alikeList reads a list of dimensions that is written like the example, and reports whether it is; if not, nothing is
// consumed.
func (d *decoder) alikeList(r *ingest.Record) bool {
	e := &d.example
	if len(e.text) == 0 {
		return false
	}
	start, scratch, dims := d.at, len(d.scratch), len(d.dims)
	from := 0
	for k, end := range e.ends {
		if !d.literal(e.text[from:end]) || d.body[d.at] != '"' {
			d.at, d.dims = start, d.dims[:dims]
			return false
		}
		d.dims = append(d.dims, e.dims[k])
		d.dims[len(d.dims)-1].Value = d.str()
		if d.err != nil || len(d.scratch) > scratch { // values with escapes are rare
			d.at, d.err, d.scratch, d.dims = start, nil, d.scratch[:scratch], d.dims[:dims]
			return false
		}
		from = end + len(e.dims[k].Value) + 2
	}
	if !d.literal(e.text[from:]) {
		d.at, d.dims = start, d.dims[:dims]
		return false
	}
	e.request = d.request
	r.Dimensions, r.Alike = d.dims[dims:len(d.dims):len(d.dims)], &e.list
	return true
}

// exemplify makes the list of a record, which was read from start on, the example, unless the current request uses that which is there.
func (d *decoder) exemplify(r *ingest.Record, start int) {
	e, dims := &d.example, r.Dimensions
	if e.request == d.request || d.err != nil || d.at-start > maxLearned || len(dims) == 0 || len(dims) > maxLearnedDimensions || !d.valid(start) {
		return
	}
	at := start
	for i := range dims {
		if dims[i].Absent != 0 || dims[i].Value == "" || offset(d.body, dims[i].Value) < at {
			return
		}
		at = offset(d.body, dims[i].Value)
	}
	e.ends = e.ends[:0]
	for i := range dims {
		e.ends = append(e.ends, offset(d.body, dims[i].Value)-1-start)
	}
	d.remember(&e.dimensionList, dims, start)
	r.Dimensions, r.List = e.list.Dims, &e.list
}
