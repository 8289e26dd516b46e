package schedule

import (
	"time"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/ingest"
	"github.com/weir-db/weir/internal/query"
)

// Definition is a scheduled query as it was asked for. Nothing of it changes later.
type Definition struct {
	Name       string
	SQL        string // may use @scheduled_runtime
	Expression string // rate(…) or cron(…)
	TopicARN   string // of notifications
	RoleARN    string // the query runs as this role
	Report     Location
	Target     *Target // nil: results are computed and dropped
	KMSKeyID   string  // only echoed
}

// Location is where error reports go: ErrorReportConfiguration.S3Configuration, with
// empty strings for what was not given.
type Location struct{ Bucket, Prefix, Encryption string }

// Target says how the columns of the result become records (TimestreamConfiguration).
// Exactly one of Multi and Mixed is set.
type Target struct {
	Database, Table   string
	TimeColumn        string
	Dimensions        []string // columns; a dimension has its column's name
	MeasureNameColumn string   // "": the mappings name the measures
	Multi             *Multi
	Mixed             []Mixed
}

// Multi maps columns to one multi-measure record per row (MultiMeasureMappings).
type Multi struct {
	Name       string // TargetMultiMeasureName; not used with a MeasureNameColumn
	Attributes []Attribute
}

// Attribute maps a column to an attribute of a multi-measure record.
type Attribute struct {
	Column string
	Name   string // "": the column's
	Type   ingest.ValueType
}

// Mixed maps columns to one record (MixedMeasureMappings). With a MeasureNameColumn, rows
// whose value there is MeasureName give one; otherwise every row does.
type Mixed struct {
	MeasureName string
	Column      string // not for MULTI
	Name        string // TargetMeasureName; else MeasureName, else Column
	Type        ingest.ValueType
	Attributes  []Attribute // of MULTI
}

// Query is a scheduled query and its state. It is immutable: a change publishes another.
type Query struct {
	Definition
	ARN      string
	Created  time.Time // whole seconds; rate() counts from it
	Enabled  bool
	Tags     []catalog.Tag // sorted by key
	Previous time.Time     // the latest scheduled invocation that ran; zero: none
	Next     time.Time     // zero: disabled, or the schedule has ended
	LastRun  *Run
	Failures []Run // the last five, newest first
}

// Run is one run (ScheduledQueryRunSummary).
type Run struct {
	Invocation time.Time // @scheduled_runtime
	Trigger    time.Time // when it began; ms
	Manual     bool      // by Execute
	Failed     bool
	Stats      Stats
	Insights   *query.Insights // when asked for
	Report     *Object         // of a failed run that left a report
	Reason     string          // of a failure

	disable bool // the query cannot run any more
}

// Status is the run's RunStatus in the API.
func (r *Run) Status() string {
	status := "AUTO_TRIGGER_"
	if r.Manual {
		status = "MANUAL_TRIGGER_"
	}
	if r.Failed {
		return status + "FAILURE"
	}
	return status + "SUCCESS"
}

// Stats are the costs of a run (ExecutionStats).
type Stats struct {
	Millis       int64 // on the machine's clock
	DataWrites   int64 // bytes metered by the writes: whole KiB per request
	BytesMetered int64
	BytesScanned int64
	Ingested     int64 // records stored
	ResultRows   int64
}

// Object is a report's place.
type Object struct{ Bucket, Key string }

// task is a run that is asked for.
type task struct {
	Invocation time.Time
	Manual     bool
	Insights   bool
}

// document is how a query is kept. Members may be added; never reuse a name.
type document struct {
	Query
	Token       string `json:",omitempty"` // ClientToken of its creation
	Fingerprint string // of the definition and the tags, to tell a retry from another request
	LastTrigger time.Time
	Reserved    time.Time   // runs may have had triggers up to this one
	Pending     []task      `json:",omitempty"` // in order; the first one may be running
	Late        []time.Time `json:",omitempty"` // invocations that missed rows; to run again with the next one
}
