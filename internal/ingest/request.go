package ingest

import (
	"fmt"

	"github.com/weir-db/weir/internal/fault"
)

// Request is one WriteRecords call. Its strings may point into the caller's
// buffer: they are read until Write returns and never kept. Strings must be UTF-8.
type Request struct {
	Database, Table string
	Common          Record // CommonAttributes; the zero value adds nothing
	Records         []Record
}

// Record is one record, or the attributes common to all, as text. A member counts
// as given when it is not its zero value or its bit is in Given; so Go callers
// fill in what they have, and the AWS door sets the bits to tell an empty string
// from an absent member.
type Record struct {
	Dimensions    []Dimension
	MeasureName   string
	MeasureValue  string
	MeasureValues []MeasureValue // of a MULTI record
	Type          ValueType      // default DOUBLE
	Time          string         // integer digits, in TimeUnit since 1970 UTC
	TimeUnit      TimeUnit       // default MILLISECONDS; also of TIMESTAMP measure values
	Version       int64          // at least 1; default 1
	Given         Members

	// Like, if not 0, is 1 + the index of an earlier record of the request, whose own Like is 0, that
	// this record is written like: all that may differ is Dimensions, List and Alike, MeasureValue, Time and
	// Version, which are here, and the values of MeasureValues, which are Values. All else here is
	// zero. It saves the caller to write and Write to judge the same again; [Request.Whole]
	// undoes it.
	Like   int
	Values []string

	// List, if not nil, holds the same as Dimensions, and what Write found out about it.
	List *DimensionList

	// Alike, if not nil, is a list that has the same as Dimensions but for the texts of the values, of which none is absent. What
	// Write found out about it holds but for these, and for the series that they name.
	Alike *DimensionList
}

// Whole returns record i with all members, also if it is Like another. The values are
// appended to dst.
func (q *Request) Whole(i int, dst []MeasureValue) Record {
	r := &q.Records[i]
	if r.Like == 0 {
		return *r
	}
	w := q.Records[r.Like-1]
	w.Dimensions, w.List, w.Alike = r.Dimensions, r.List, r.Alike
	w.MeasureValue, w.Time, w.Version = r.MeasureValue, r.Time, r.Version
	start := len(dst)
	dst = append(dst, w.MeasureValues...)
	for k, text := range r.Values {
		dst[start+k].Value = text
	}
	if w.MeasureValues != nil {
		w.MeasureValues = dst[start:len(dst):len(dst)]
	}
	return w
}

// Members is a set of members of a [Record].
type Members uint8

// The members whose zero value differs from their absence.
const (
	GivenMeasureName Members = 1 << iota
	GivenMeasureValue
	GivenType
	GivenTime
	GivenTimeUnit
	GivenVersion
)

// Dimension is a dimension's name and value. Type is empty or "VARCHAR".
type Dimension struct {
	Name, Value string
	Type        ValueType
	Absent      Absent // required members that the request left out
	TypeGiven   bool   // Type was given although it is empty
}

// MeasureValue is one measure of a MULTI record.
type MeasureValue struct {
	Name, Value string
	Type        ValueType
	Absent      Absent
}

// Absent is a set of required members that a request left out or set to null.
type Absent uint8

// The required members.
const (
	AbsentName Absent = 1 << iota
	AbsentValue
	AbsentType
)

// ValueType is a MeasureValueType of the API. Other texts are refused by Write.
type ValueType string

// The measure value types.
const (
	Double    ValueType = "DOUBLE"
	Bigint    ValueType = "BIGINT"
	Varchar   ValueType = "VARCHAR"
	Boolean   ValueType = "BOOLEAN"
	Timestamp ValueType = "TIMESTAMP" // only inside MULTI
	Multi     ValueType = "MULTI"
)

// TimeUnit is a TimeUnit of the API. Other texts are refused by Write.
type TimeUnit string

// The time units.
const (
	Milliseconds TimeUnit = "MILLISECONDS"
	Seconds      TimeUnit = "SECONDS"
	Microseconds TimeUnit = "MICROSECONDS"
	Nanoseconds  TimeUnit = "NANOSECONDS"
)

// Result counts the records that a Write stored.
type Result struct {
	Total    int // Memory + Magnetic
	Memory   int // into the memory store
	Magnetic int // into the magnetic store

	BytesMetered int64 // Timestream metering: whole KiB per request, refused records included
}

// RejectedError says that some records of a request were refused because of the
// state of the table; all others are stored. Its kind is fault.Invalid, and the AWS
// door answers RejectedRecordsException.
type RejectedError struct {
	Records []Rejected // by index, ascending
}

// Rejected is one refused record.
type Rejected struct {
	Index           int    // into Request.Records
	Reason          string // the API's text
	ExistingVersion int64  // 0 when the API does not tell it
}

// RejectedMessage is the text of RejectedRecordsException.
const RejectedMessage = "One or more records have been rejected. See RejectedRecords for details."

// Error returns the first reason with the number of records refused, for logs.
func (e *RejectedError) Error() string {
	if len(e.Records) == 0 {
		return RejectedMessage
	}
	return fmt.Sprintf("%d records rejected, record %d first: %s", len(e.Records), e.Records[0].Index, e.Records[0].Reason)
}

// FaultKind makes a RejectedError the caller's fault.
func (e *RejectedError) FaultKind() fault.Kind { return fault.Invalid }
