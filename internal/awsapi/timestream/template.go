package timestream

import (
	"strings"

	"github.com/weir-db/weir/internal/ingest"
)

// Devices write the same text over and over: of a record only the time, the values and the
// dimensions change, of a record's dimensions nothing does, from one request to the next. So the
// decoder keeps texts that it has read with what they mean, and where the body goes on with such a
// text, it compares instead of reading. What a record means depends on its own bytes alone, so
// equal bytes mean the same, in whatever order or spacing members are written.

// template is a record as it was written, with holes where values were.
type template struct {
	text   []byte // own memory: what is around the holes
	holes  []hole // in the order of the text
	record ingest.Record
	values []ingest.MeasureValue // of record; all strings are own memory, and texts of holes are left out
	run    uint64                // the last list of records that has such a one, or 0
	first  int                   // 1 + index of the first of them, which is written out
}

// hole is a place where records that are written alike may differ.
type hole struct {
	end  int // of the text before it
	kind holeKind
}

type holeKind uint8

const (
	listHole    holeKind = iota // Dimensions, of any form
	timeHole                    // Time, a string
	valueHole                   // MeasureValue, a string
	versionHole                 // Version, a number
	measureHole                 // Value of the next of MeasureValues, a string
	holeKinds
)

// Bounds of what a decoder keeps of records: texts of maxTemplate bytes, maxTemplates of them, so
// about 2 MB, if all are that long.
const (
	maxTemplates = 16
	maxTemplate  = 32 << 10
)

// templates is what a decoder remembers of records, and what it is learning of the record at hand.
type templates struct {
	list []template
	last int // the one that matched last: what followed it then is likely to follow again
	next [maxTemplates]int

	watching bool
	found    []foundHole
}

// foundHole is a hole in a body.
type foundHole struct {
	from, to int
	kind     holeKind
}

// hole notes a hole of the record at hand, which ends where the decoder is.
func (d *decoder) hole(from int, kind holeKind) {
	if d.templates.watching {
		d.templates.found = append(d.templates.found, foundHole{from, d.at, kind})
	}
}

// knownRecord reads a record that is written like one before, and reports whether it is; if not,
// nothing is consumed.
func (d *decoder) knownRecord(r *ingest.Record) bool {
	t := &d.templates
	if len(t.list) == 0 {
		return false
	}
	guess := t.next[t.last]
	if guess < len(t.list) && d.matches(&t.list[guess], r) {
		t.last = guess
		return true
	}
	for i := range t.list {
		if i != guess && d.matches(&t.list[i], r) {
			t.next[t.last], t.last = i, i
			return true
		}
	}
	return false
}

// matches reads a record that is written as t says, and reports whether it is.
func (d *decoder) matches(t *template, r *ingest.Record) bool {
	start, scratch, texts, dims := d.at, len(d.scratch), len(d.texts), len(d.dims)
	undo := func() bool {
		d.at, d.scratch, d.texts, d.dims = start, d.scratch[:scratch], d.texts[:texts], d.dims[:dims]
		*r = ingest.Record{}
		return false
	}
	from := 0
	for i := range t.holes {
		h := &t.holes[i]
		if !d.literal(t.text[from:h.end]) {
			return undo()
		}
		if h.kind == measureHole { // what fill does, without the call: most of a record is values
			if d.body[d.at] != '"' {
				return undo()
			}
			d.texts = append(d.texts, d.str())
		} else if !d.fill(h.kind, r) {
			return undo()
		}
		if d.err != nil {
			return true // the body is wrong within the hole, and so is the request
		}
		from = h.end
	}
	if !d.literal(t.text[from:]) {
		return undo()
	}
	d.like(t, r, d.texts[texts:len(d.texts):len(d.texts)])
	return true
}

// literal consumes text, if the body goes on with it and with something behind it.
func (d *decoder) literal(text []byte) bool {
	rest := d.body[d.at:]
	if len(rest) <= len(text) || string(rest[:len(text)]) != string(text) {
		return false
	}
	d.at += len(text)
	return true
}

// fill reads what is in a hole that is not a measureHole into r. It reports false if that is of another form than
// the template's.
func (d *decoder) fill(kind holeKind, r *ingest.Record) bool {
	switch kind {
	case listHole:
		d.dimensions(r)
		return true
	case versionHole:
		if c := d.body[d.at]; c != '-' && c-'0' > 9 {
			return false
		}
		d.version(r)
		r.Given = 0
		return true
	}
	if d.body[d.at] != '"' {
		return false
	}
	s := d.str()
	switch kind {
	case timeHole:
		r.Time = s
	case valueHole:
		r.MeasureValue = s
	}
	return true
}

// like completes a record that is written as t says.
func (d *decoder) like(t *template, r *ingest.Record, texts []string) {
	if t.run == d.run {
		r.Like, r.Values = t.first, texts
		return
	}
	t.run, t.first = d.run, len(d.records)
	whole := t.record
	whole.Dimensions, whole.List, whole.Alike = r.Dimensions, r.List, r.Alike
	whole.Time, whole.MeasureValue, whole.Version = r.Time, r.MeasureValue, r.Version
	if t.values != nil {
		start := len(d.values)
		d.values = append(d.values, t.values...)
		whole.MeasureValues = d.values[start:len(d.values):len(d.values)]
		for i := range texts {
			whole.MeasureValues[i].Value = texts[i]
		}
	}
	*r = whole
}

// learn makes a template of the record r, which was read from start on while holes were watched.
func (d *decoder) learn(r *ingest.Record, start int) {
	var seen [holeKinds]int
	for _, h := range d.templates.found {
		seen[h.kind]++
	}
	if d.err != nil || d.at-start > maxTemplate || len(r.MeasureValues) > d.limits.Measures || !d.valid(start) {
		return
	}
	// A member given twice, or once as null, is not worth the trouble.
	once := func(kind holeKind, bit ingest.Members) bool {
		return (seen[kind] == 1) == (r.Given&bit != 0) && seen[kind] <= 1
	}
	if seen[listHole] > 1 || !once(timeHole, ingest.GivenTime) || !once(valueHole, ingest.GivenMeasureValue) ||
		!once(versionHole, ingest.GivenVersion) || seen[measureHole] != len(r.MeasureValues) {
		return
	}
	for i := range r.MeasureValues {
		if r.MeasureValues[i].Absent&ingest.AbsentValue != 0 {
			return
		}
	}
	t := d.templates.place(d.run)
	if t == nil {
		return
	}
	t.run, t.first = d.run, len(d.records)
	t.text, t.holes = t.text[:0], t.holes[:0]
	from := start
	for _, h := range d.templates.found {
		t.text = append(t.text, d.body[from:h.from]...)
		t.holes = append(t.holes, hole{len(t.text), h.kind})
		from = h.to
	}
	t.text = append(t.text, d.body[from:d.at]...)

	t.record = *r
	t.record.Dimensions, t.record.List, t.record.Alike, t.record.MeasureValues = nil, nil, nil, nil
	t.record.Time, t.record.MeasureValue, t.record.Version = "", "", 0
	t.record.MeasureName = strings.Clone(r.MeasureName)
	t.record.Type, t.record.TimeUnit = ingest.ValueType(strings.Clone(string(r.Type))), ingest.TimeUnit(strings.Clone(string(r.TimeUnit)))
	t.values = append(t.values[:0], r.MeasureValues...)
	for i := range t.values {
		v := &t.values[i]
		v.Name, v.Type, v.Value = strings.Clone(v.Name), ingest.ValueType(strings.Clone(string(v.Type))), ""
	}
	if r.MeasureValues == nil {
		t.values = nil
	}
}

// place returns a template to fill: a new one, or the one that was not used for longest, or nil if
// all are of this run.
func (t *templates) place(run uint64) *template {
	if len(t.list) < maxTemplates {
		if t.list == nil {
			t.list = make([]template, 0, maxTemplates)
		}
		t.list = append(t.list, template{})
		return &t.list[len(t.list)-1]
	}
	oldest := &t.list[0]
	for i := range t.list {
		if t.list[i].run < oldest.run {
			oldest = &t.list[i]
		}
	}
	if oldest.run == run {
		return nil
	}
	return oldest
}
