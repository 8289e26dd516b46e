package ingest

import (
	"fmt"
	"strconv"

	"github.com/weir-db/weir/internal/constraint"
)

// The shape limits of the API model, in characters and members; they are part of
// the protocol, unlike [Limits].
const (
	maxDimensions  = 128  // per list
	maxValueLength = 2048 // StringValue2048
	maxTimeLength  = 256  // StringValue256
)

var (
	enumValueType = constraint.Enum("DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN", "TIMESTAMP", "MULTI")
	enumTimeUnit  = constraint.Enum("MILLISECONDS", "SECONDS", "MICROSECONDS", "NANOSECONDS")
	enumDimension = constraint.Enum("VARCHAR")
)

// shape walks a request and notes what the framework in front of the service
// would refuse. Paths are only built for what is wrong.
type shape struct {
	constraint.Violations
	record int // index of the record at hand, -1 for the common attributes
}

func checkShape(req *Request, limits *Limits) error {
	s := shape{record: -1}
	if req.Database == "" {
		s.Null("databaseName")
	}
	if req.Table == "" {
		s.Null("tableName")
	}
	s.check(&req.Common)
	switch n := len(req.Records); {
	case req.Records == nil:
		s.Null("records")
	case n == 0:
		s.Add("records", "[]", constraint.MinLength(1))
	case n > limits.Records:
		s.Add("records", listText(n), constraint.MaxLength(limits.Records))
		return s.Err() // not walked: there may be any number of them
	}
	var scratch []MeasureValue
	for i := range req.Records {
		s.record = i
		r := &req.Records[i]
		if r.Like > 0 {
			if s.fits(r, &req.Records[r.Like-1]) {
				continue
			}
			whole := req.Whole(i, scratch[:0])
			scratch, r = whole.MeasureValues, &whole
		}
		s.check(r)
		if s.Full() {
			break
		}
	}
	return s.Err()
}

func listText(n int) string { return fmt.Sprintf("[%d members]", n) }

// fits reports whether there is nothing to say about a record that is like another, about
// which there is nothing to say. It may say no to one that is all right.
func (s *shape) fits(r, other *Record) bool {
	// In bytes, of which there are at least as many as characters.
	fits := func(text string, given Members, max int) bool {
		return len(text) <= max && (text != "" || other.Given&given == 0)
	}
	ok := s.Err() == nil && fits(r.MeasureValue, GivenMeasureValue, maxValueLength) && fits(r.Time, GivenTime, maxTimeLength) &&
		(r.Version > 0 || other.Given&GivenVersion == 0 && r.Version == 0) && (len(r.Dimensions) == 0 || r.List.good() || r.Alike.good())
	for _, text := range r.Values {
		ok = ok && uint(len(text)-1) < maxValueLength
	}
	return ok
}

func (s *shape) check(r *Record) {
	if !r.List.good() {
		s.dimensions(r.Dimensions)
	}
	if r.Given&GivenMeasureName != 0 && r.MeasureName == "" {
		s.Add(s.path("measureName"), "", constraint.MinLength(1))
	}
	if r.Given&GivenMeasureValue != 0 || r.MeasureValue != "" {
		s.text("measureValue", r.MeasureValue, maxValueLength)
	}
	if (r.Given&GivenType != 0 || r.Type != "") && kindOf(r.Type) == 0 {
		s.Add(s.path("measureValueType"), string(r.Type), enumValueType)
	}
	s.measures(r.MeasureValues)
	if r.Given&GivenTime != 0 || r.Time != "" {
		s.text("time", r.Time, maxTimeLength)
	}
	if (r.Given&GivenTimeUnit != 0 || r.TimeUnit != "") && r.TimeUnit.scale() == 0 {
		s.Add(s.path("timeUnit"), string(r.TimeUnit), enumTimeUnit)
	}
	if (r.Given&GivenVersion != 0 || r.Version != 0) && r.Version < 1 {
		s.Add(s.path("version"), strconv.FormatInt(r.Version, 10), constraint.Min(1))
	}
}

func (s *shape) dimensions(dims []Dimension) {
	if len(dims) > maxDimensions {
		s.Add(s.path("dimensions"), listText(len(dims)), constraint.MaxLength(maxDimensions))
		return
	}
	for j := range dims {
		d := &dims[j]
		switch {
		case d.Absent&AbsentName != 0:
			s.Null(s.member("dimensions", j, "name"))
		case d.Name == "":
			s.Add(s.member("dimensions", j, "name"), "", constraint.MinLength(1))
		}
		if d.Absent&AbsentValue != 0 {
			s.Null(s.member("dimensions", j, "value"))
		}
		if d.Type != Varchar && (d.Type != "" || d.TypeGiven) {
			s.Add(s.member("dimensions", j, "dimensionValueType"), string(d.Type), enumDimension)
		}
	}
}

func (s *shape) measures(values []MeasureValue) {
	for j := range values {
		m := &values[j]
		switch {
		case m.Absent&AbsentName != 0:
			s.Null(s.member("measureValues", j, "name"))
		case m.Name == "":
			s.Add(s.member("measureValues", j, "name"), "", constraint.MinLength(1))
		}
		switch {
		case m.Absent&AbsentValue != 0:
			s.Null(s.member("measureValues", j, "value"))
		case m.Value == "":
			s.Add(s.member("measureValues", j, "value"), "", constraint.MinLength(1))
		case constraint.LengthOver(m.Value, maxValueLength):
			s.Add(s.member("measureValues", j, "value"), m.Value, constraint.MaxLength(maxValueLength))
		}
		switch {
		case m.Absent&AbsentType != 0:
			s.Null(s.member("measureValues", j, "type"))
		case kindOf(m.Type) == 0:
			s.Add(s.member("measureValues", j, "type"), string(m.Type), enumValueType)
		}
		if s.Full() {
			return
		}
	}
}

// text checks a string of 1 to max characters.
func (s *shape) text(name, value string, max int) {
	if value == "" {
		s.Add(s.path(name), "", constraint.MinLength(1))
	} else if constraint.LengthOver(value, max) {
		s.Add(s.path(name), value, constraint.MaxLength(max))
	}
}

func (s *shape) path(name string) string {
	if s.record < 0 {
		return "commonAttributes." + name
	}
	return "records." + strconv.Itoa(s.record+1) + ".member." + name
}

func (s *shape) member(list string, j int, name string) string {
	return s.path(list) + "." + strconv.Itoa(j+1) + ".member." + name
}
