// Package batchload turns CSV objects into records: tasks that read every object below
// a prefix, map columns to dimensions and measures by a data model, write through
// package ingest, and report what they could not write.
//
// # A task's life
//
//	CREATED → IN_PROGRESS → SUCCEEDED | FAILED | PROGRESS_STOPPED
//	PROGRESS_STOPPED → (Resume) PENDING_RESUME → IN_PROGRESS
//
// FAILED means that at least one row, file or the task itself had an error; the good rows
// are stored. PROGRESS_STOPPED means that the server could not go on (it could not
// store). Tasks are durable with the place they have reached: a task that a crash or a
// shutdown interrupted goes on from there at the next start. Rows behind the last saved place
// are read twice, which changes nothing: they have the same version and values.
//
// Rules and texts: reference/api.md, section 10; where nothing is published, ours.
// A [Service] is safe for concurrent use.
package batchload

import (
	"slices"
	"time"

	"github.com/weir-db/weir/internal/fault"
)

// Status is where a task is in its life.
type Status string

// The statuses, as the API writes them.
const (
	Created       Status = "CREATED"
	InProgress    Status = "IN_PROGRESS"
	Failed        Status = "FAILED"
	Succeeded     Status = "SUCCEEDED"
	Stopped       Status = "PROGRESS_STOPPED"
	PendingResume Status = "PENDING_RESUME"
)

// active reports whether a task in this status counts against the quota of active ones.
func (s Status) active() bool { return s == Created || s == InProgress || s == PendingResume }

// Location is an object, or the objects below a prefix.
type Location struct {
	Bucket string
	Key    string // or prefix
}

// Report is where the error report goes.
type Report struct {
	Location
	Encryption string // SSE_S3 or SSE_KMS; only echoed
	KMSKeyID   string
}

// CSV says how the objects are written. Zero fields are the defaults.
type CSV struct {
	Separator string // one character; ","
	Quote     string // one character; `"`
	Escape    string // one character; the quote, doubled
	Null      string // a field that stands for no value, beside the empty one
	Trim      bool   // white space around fields
}

// Model maps columns to records (API: DataModel). Field names are the API's, because it may
// also come as a JSON object from a bucket.
type Model struct {
	TimeColumn           string
	TimeUnit             string             `json:",omitempty"`
	DimensionMappings    []DimensionMapping `json:",omitempty"`
	MultiMeasureMappings *MultiMapping      `json:",omitempty"`
	MixedMeasureMappings []MixedMapping     `json:",omitempty"`
	MeasureNameColumn    string             `json:",omitempty"`
}

// DimensionMapping makes a column a dimension.
type DimensionMapping struct {
	SourceColumn      string
	DestinationColumn string `json:",omitempty"` // default: SourceColumn
}

// MultiMapping makes one multi-measure record of each row.
type MultiMapping struct {
	TargetMultiMeasureName        string `json:",omitempty"`
	MultiMeasureAttributeMappings []AttributeMapping
}

// AttributeMapping makes a column an attribute of a multi-measure record.
type AttributeMapping struct {
	SourceColumn                    string
	TargetMultiMeasureAttributeName string `json:",omitempty"` // default: SourceColumn
	MeasureValueType                string `json:",omitempty"` // default: DOUBLE
}

// MixedMapping makes one record of a row: of one measure, or of several.
type MixedMapping struct {
	MeasureName                   string `json:",omitempty"`
	SourceColumn                  string `json:",omitempty"`
	TargetMeasureName             string `json:",omitempty"`
	MeasureValueType              string
	MultiMeasureAttributeMappings []AttributeMapping `json:",omitempty"`
}

// Config is what a task is created with.
type Config struct {
	Database, Table string
	Model           *Model    // or
	ModelAt         *Location // an object that holds it
	Source          Location
	CSV             *CSV // nil: not given
	Report          Report
	RecordVersion   int64 // 0: not given, which means 1
}

// Progress counts what a task did.
type Progress struct {
	RecordsProcessed        int64
	RecordsIngested         int64
	ParseFailures           int64
	RecordIngestionFailures int64
	FileFailures            int64
	BytesMetered            int64
}

// Task is a task and how far it is.
type Task struct {
	ID     string
	Config Config
	Token  string // ClientToken

	Status   Status
	Error    string // ErrorMessage
	Progress Progress
	Created  time.Time
	Updated  time.Time
	// ResumableUntil is set once a task is stopped.
	ResumableUntil time.Time

	Place  place
	Errors errorReport
}

// place is up to where a task has read.
type place struct {
	Key    string // of the object; "" before the first
	Offset int64  // of the next row
	Line   int64  // its line, from 1
}

var measureTypes = []string{"DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR", "TIMESTAMP"}

// check refuses a model that cannot be followed.
func (m *Model) check() error {
	bad := func(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
	switch {
	case m.TimeColumn == "":
		return bad("The data model needs a TimeColumn.")
	case m.TimeUnit != "" && !slices.Contains([]string{"MILLISECONDS", "SECONDS", "MICROSECONDS", "NANOSECONDS"}, m.TimeUnit):
		return bad("The data model's TimeUnit %q is none of MILLISECONDS, SECONDS, MICROSECONDS, NANOSECONDS.", m.TimeUnit)
	case len(m.DimensionMappings) == 0:
		return bad("The data model needs at least one dimension mapping.")
	case (m.MultiMeasureMappings == nil) == (len(m.MixedMeasureMappings) == 0):
		return bad("The data model needs either MultiMeasureMappings or MixedMeasureMappings.")
	}
	for _, d := range m.DimensionMappings {
		if d.SourceColumn == "" {
			return bad("A dimension mapping of the data model has no SourceColumn.")
		}
	}
	if mm := m.MultiMeasureMappings; mm != nil {
		if (mm.TargetMultiMeasureName == "") == (m.MeasureNameColumn == "") {
			return bad("Multi-measure mappings need either TargetMultiMeasureName or MeasureNameColumn.")
		}
		return checkAttributes(mm.MultiMeasureAttributeMappings)
	}
	for _, x := range m.MixedMeasureMappings {
		if err := x.check(m.MeasureNameColumn != ""); err != nil {
			return err
		}
	}
	return nil
}

func (x *MixedMapping) check(byName bool) error {
	switch {
	case byName && x.MeasureName == "":
		return fault.New(fault.Invalid, "With a MeasureNameColumn every mixed-measure mapping needs a MeasureName.")
	case x.MeasureValueType == "MULTI":
		if x.name() == "" {
			return fault.New(fault.Invalid, "A mixed-measure mapping of type MULTI needs a MeasureName or TargetMeasureName.")
		}
		return checkAttributes(x.MultiMeasureAttributeMappings)
	case x.SourceColumn == "":
		return fault.New(fault.Invalid, "A mixed-measure mapping has no SourceColumn.")
	case !slices.Contains(measureTypes[:4], x.MeasureValueType):
		return fault.New(fault.Invalid, "A mixed-measure mapping has the MeasureValueType %q; want DOUBLE, BIGINT, BOOLEAN, VARCHAR or MULTI.", x.MeasureValueType)
	}
	return nil
}

// name is the measure name of the records: TargetMeasureName, else MeasureName, else
// SourceColumn.
func (x *MixedMapping) name() string {
	for _, n := range []string{x.TargetMeasureName, x.MeasureName, x.SourceColumn} {
		if n != "" {
			return n
		}
	}
	return ""
}

func checkAttributes(list []AttributeMapping) error {
	if len(list) == 0 {
		return fault.New(fault.Invalid, "A multi-measure mapping has no attribute mappings.")
	}
	for _, a := range list {
		if a.SourceColumn == "" {
			return fault.New(fault.Invalid, "An attribute mapping has no SourceColumn.")
		}
		if a.MeasureValueType != "" && !slices.Contains(measureTypes, a.MeasureValueType) {
			return fault.New(fault.Invalid, "The attribute mapping of %q has the MeasureValueType %q; want one of DOUBLE, BIGINT, BOOLEAN, VARCHAR, TIMESTAMP.", a.SourceColumn, a.MeasureValueType)
		}
	}
	return nil
}

// check refuses a CSV configuration that cannot be followed.
func (c *CSV) check() error {
	if c == nil {
		return nil
	}
	if c.Separator != "" && !slices.Contains([]string{",", "|", ";", "\t", " "}, c.Separator) {
		return fault.New(fault.Invalid, "The ColumnSeparator %q is none of comma, pipe, semicolon, tab and blank.", c.Separator)
	}
	if c.Quote != "" && c.Quote != `"` && c.Quote != "'" {
		return fault.New(fault.Invalid, "The QuoteChar %q is neither a double nor a single quote.", c.Quote)
	}
	return nil
}
