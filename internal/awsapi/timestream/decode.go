package timestream

import (
	"runtime"
	"strconv"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/ingest"
)

// decoder turns the body of WriteRecords into an ingest.Request, in one pass and,
// once warm, without allocation. Members may come in any order; unknown ones are
// skipped; of a name that comes twice the last counts; null is absence.
//
// The request points into the body and the decoder, and is valid until the next
// decode. How much it holds is bounded by the limits plus one, which is enough for
// ingest to see that there is too much.
type decoder struct {
	scanner
	limits  ingest.Limits
	req     ingest.Request
	records []ingest.Record
	dims    []ingest.Dimension    // of all records, end to end
	values  []ingest.MeasureValue // of all records written out, end to end
	texts   []string              // of all values of records that are like others, end to end

	// Kept from request to request.
	request   uint64 // number of the one at hand
	run       uint64 // number of the list of records at hand
	templates templates
	lists     dimensionLists
	example   listExample
}

// decoders are those at rest. Not a sync.Pool, which forgets them with every collection: what they remember
// is worth more than their memory.
var decoders = make(chan *decoder, 2*runtime.GOMAXPROCS(0))

func takeDecoder() *decoder {
	select {
	case d := <-decoders:
		return d
	default:
		return new(decoder)
	}
}

// decode reads body. The error is a SerializationException.
func (d *decoder) decode(body []byte, limits ingest.Limits) (*ingest.Request, error) {
	d.limits = limits
	d.dims, d.values, d.texts = d.dims[:0], d.values[:0], d.texts[:0]
	d.req = ingest.Request{}
	d.request++
	d.reset(body)
	if !d.object(d.requestMember) && d.err == nil {
		d.err = wire.Serialization("The request body is not a JSON object.")
	}
	d.end()
	if (d.err != nil || d.high != 0) && !utf8.Valid(body) {
		d.err = wire.Serialization("The request body is not UTF-8.")
	}
	return &d.req, d.err
}

// valid reports whether what was read from start on is UTF-8.
func (d *decoder) valid(start int) bool { return d.high == 0 || utf8.Valid(d.body[start:d.at]) }

// release forgets everything that points into the body and gives d back.
func (d *decoder) release() {
	clear(d.records[:cap(d.records)])
	clear(d.dims)
	clear(d.values)
	clear(d.texts)
	d.req = ingest.Request{}
	d.reset(nil)
	select {
	case decoders <- d:
	default:
	}
}

func (d *decoder) requestMember(name string) {
	switch name {
	case "DatabaseName":
		d.req.Database, _ = d.text(name)
	case "TableName":
		d.req.Table, _ = d.text(name)
	case "CommonAttributes":
		d.record(name, &d.req.Common)
	case "Records":
		d.recordList(name)
	default:
		d.skip(1)
	}
}

func (d *decoder) recordList(name string) {
	d.req.Records = nil
	if d.null() {
		return
	}
	d.records = append(d.records[:0], ingest.Record{})[:0] // not nil
	d.run++
	ok := d.array(func() {
		if len(d.records) > d.limits.Records {
			d.skip(2)
			return
		}
		d.records = append(d.records, ingest.Record{})
		d.listed(&d.records[len(d.records)-1])
	})
	if !ok {
		d.mismatch(name, "a list")
	}
	d.req.Records = d.records
}

// listed reads a record of the list into r.
func (d *decoder) listed(r *ingest.Record) {
	d.peek()
	if d.knownRecord(r) {
		return
	}
	start := d.at
	d.templates.watching, d.templates.found = true, d.templates.found[:0]
	d.record("Records", r)
	d.templates.watching = false
	d.learn(r, start)
}

// record reads a Record into r. Null is an empty one.
func (d *decoder) record(name string, r *ingest.Record) {
	*r = ingest.Record{}
	if d.null() {
		return
	}
	if d.peek() != '{' {
		d.mismatch(name, "a structure")
		return
	}
	d.at++
	if d.peek() == '}' {
		d.at++
		return
	}
	// The loop of scanner.object, without a closure per record.
	for d.err == nil {
		member := d.memberName()
		d.recordMember(r, member)
		if !d.more('}') {
			return
		}
	}
}

// memberName reads a member's name and its colon.
func (d *decoder) memberName() string {
	if d.peek() != '"' {
		d.syntax("no member name")
		return ""
	}
	name := d.str()
	if d.peek() != ':' {
		d.syntax("no colon after a member name")
		return ""
	}
	d.at++
	return name
}

func (d *decoder) recordMember(r *ingest.Record, name string) {
	switch name {
	case "Dimensions":
		from := d.at
		d.dimensions(r)
		d.hole(from, listHole)
	case "MeasureName":
		r.MeasureName = d.given(r, ingest.GivenMeasureName, name)
	case "MeasureValue":
		r.MeasureValue = d.varying(r, ingest.GivenMeasureValue, name, valueHole)
	case "MeasureValueType":
		r.Type = ingest.ValueType(d.given(r, ingest.GivenType, name))
	case "MeasureValues":
		d.measureValues(r)
	case "Time":
		r.Time = d.varying(r, ingest.GivenTime, name, timeHole)
	case "TimeUnit":
		r.TimeUnit = ingest.TimeUnit(d.given(r, ingest.GivenTimeUnit, name))
	case "Version":
		d.version(r)
	default:
		d.skip(3)
	}
}

// text reads a string; given is false for null.
func (d *decoder) text(name string) (s string, given bool) {
	if d.peek() == '"' {
		return d.str(), true
	}
	if !d.null() {
		d.mismatch(name, "a string")
	}
	return "", false
}

// given reads a string of a record and notes in r whether it is there.
func (d *decoder) given(r *ingest.Record, bit ingest.Members, name string) string {
	s, given := d.text(name)
	r.Given &^= bit
	if given {
		r.Given |= bit
	}
	return s
}

// varying is given for a member that is a hole in templates.
func (d *decoder) varying(r *ingest.Record, bit ingest.Members, name string, kind holeKind) string {
	d.peek()
	from := d.at
	s := d.given(r, bit, name)
	if r.Given&bit != 0 {
		d.hole(from, kind)
	}
	return s
}

func (d *decoder) version(r *ingest.Record) {
	r.Version, r.Given = 0, r.Given&^ingest.GivenVersion
	if d.null() {
		return
	}
	if c := d.peek(); c != '-' && c-'0' > 9 {
		d.mismatch("Version", "a number")
		return
	}
	from := d.at
	digits := d.number()
	if d.err != nil {
		return
	}
	d.hole(from, versionHole)
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		d.mismatch("Version", "a 64-bit integer")
		return
	}
	r.Version, r.Given = n, r.Given|ingest.GivenVersion
}

// openList consumes the start of a list that is not empty; name says which it is.
func (d *decoder) openList(name string) bool {
	if d.null() {
		return false
	}
	if d.peek() != '[' {
		d.mismatch(name, "a list")
		return false
	}
	d.at++
	if d.peek() == ']' {
		d.at++
		return false
	}
	return d.err == nil
}

// openStructure does the same for the structures in a list.
func (d *decoder) openStructure(name string) bool {
	if d.null() {
		return false
	}
	if d.peek() != '{' {
		d.mismatch(name, "a structure")
		return false
	}
	d.at++
	if d.peek() == '}' {
		d.at++
		return false
	}
	return d.err == nil
}

// maxListedDimensions is the API's limit on a list of dimensions.
const maxListedDimensions = 128

func (d *decoder) dimensions(r *ingest.Record) {
	r.Dimensions, r.List, r.Alike = nil, nil, nil
	from, mark := d.at, len(d.scratch)
	place, known := d.knownList(r)
	if known {
		return
	}
	// One that is to be kept is read in full, so that all its strings are in the body.
	if place.list == nil && d.alikeList(r) || !d.openList("Dimensions") {
		return
	}
	start := len(d.dims)
	for d.err == nil {
		if len(d.dims)-start > maxListedDimensions {
			d.skip(4)
		} else {
			d.dims = append(d.dims, ingest.Dimension{Absent: ingest.AbsentName | ingest.AbsentValue})
			d.dimension(&d.dims[len(d.dims)-1])
		}
		if !d.more(']') {
			break
		}
	}
	r.Dimensions = d.dims[start:len(d.dims):len(d.dims)]
	if len(d.scratch) == mark {
		d.keep(place, r.Dimensions, from)
		d.exemplify(r, from)
	}
}

func (d *decoder) dimension(dim *ingest.Dimension) {
	if !d.openStructure("Dimensions") {
		return
	}
	for d.err == nil {
		switch name := d.memberName(); name {
		case "Name":
			dim.Name = d.required(&dim.Absent, ingest.AbsentName, name)
		case "Value":
			dim.Value = d.required(&dim.Absent, ingest.AbsentValue, name)
		case "DimensionValueType":
			var text string
			text, dim.TypeGiven = d.text(name)
			dim.Type = ingest.ValueType(text)
		default:
			d.skip(5)
		}
		if !d.more('}') {
			return
		}
	}
}

// required reads a string and notes whether it is absent.
func (d *decoder) required(absent *ingest.Absent, bit ingest.Absent, name string) string {
	if d.peek() == '"' {
		*absent &^= bit
		return d.str()
	}
	*absent |= bit
	s, _ := d.text(name)
	return s
}

func (d *decoder) measureValues(r *ingest.Record) {
	r.MeasureValues = nil
	if !d.openList("MeasureValues") {
		return
	}
	start := len(d.values)
	for d.err == nil {
		if len(d.values)-start > d.limits.Measures {
			d.skip(4)
		} else {
			d.values = append(d.values, ingest.MeasureValue{})
			d.measureValue(&d.values[len(d.values)-1])
		}
		if !d.more(']') {
			break
		}
	}
	r.MeasureValues = d.values[start:len(d.values):len(d.values)]
}

func (d *decoder) measureValue(v *ingest.MeasureValue) {
	v.Absent = ingest.AbsentName | ingest.AbsentValue | ingest.AbsentType
	if !d.openStructure("MeasureValues") {
		return
	}
	for d.err == nil {
		switch name := d.memberName(); name {
		case "Name":
			v.Name = d.required(&v.Absent, ingest.AbsentName, name)
		case "Value":
			d.peek()
			from := d.at
			if v.Value = d.required(&v.Absent, ingest.AbsentValue, name); v.Absent&ingest.AbsentValue == 0 {
				d.hole(from, measureHole)
			}
		case "Type":
			v.Type = ingest.ValueType(d.required(&v.Absent, ingest.AbsentType, name))
		default:
			d.skip(5)
		}
		if !d.more('}') {
			return
		}
	}
}
