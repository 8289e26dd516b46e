package schedule

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/weir-db/weir/internal/ingest"
)

// maxReported bounds the records and rows that one report lists.
const maxReported = 10_000

// report collects what a run could not store. Its JSON is that of AWS's error reports
// (Timestream guide, "Scheduled query error reports").
type report struct {
	ReportID string         `json:"reportId"`
	Errors   []*reportError `json:"errors"`
	listed   int
	left     int // not listed
}

// reportError is a reason with the records, or the row, that it is about, or alone.
type reportError struct {
	Reason  string           `json:"reason"`
	Records []reportedRecord `json:"records,omitempty"`
	RawLine string           `json:"rawLine,omitempty"`
}

type reportedRecord struct {
	Dimensions       []reportedDimension `json:"dimensions"`
	MeasureName      string              `json:"measureName"`
	MeasureValue     *string             `json:"measureValue"`
	MeasureValues    []reportedValue     `json:"measureValues"`
	MeasureValueType string              `json:"measureValueType"`
	Time             string              `json:"time"`
	TimeUnit         string              `json:"timeUnit"`
	Version          *int64              `json:"version"`
}

type reportedDimension struct {
	Name               string  `json:"name"`
	Value              string  `json:"value"`
	DimensionValueType *string `json:"dimensionValueType"`
}

type reportedValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

func (r *report) empty() bool { return len(r.Errors) == 0 }

// full notes one more entry and reports whether it is too many.
func (r *report) full() bool {
	if r.listed == maxReported {
		r.left++
		return true
	}
	r.listed++
	return false
}

// record notes a record that was refused. Records of one reason that follow each other share
// an entry.
func (r *report) record(reason string, rec *ingest.Record) {
	if r.full() {
		return
	}
	if n := len(r.Errors); n == 0 || r.Errors[n-1].Reason != reason || r.Errors[n-1].Records == nil {
		r.Errors = append(r.Errors, &reportError{Reason: reason})
	}
	last := r.Errors[len(r.Errors)-1]
	last.Records = append(last.Records, reported(rec))
}

func reported(rec *ingest.Record) reportedRecord {
	out := reportedRecord{
		Dimensions: []reportedDimension{}, MeasureName: rec.MeasureName, MeasureValueType: string(rec.Type), Time: rec.Time, TimeUnit: string(rec.TimeUnit),
	}
	for _, d := range rec.Dimensions {
		out.Dimensions = append(out.Dimensions, reportedDimension{Name: d.Name, Value: d.Value})
	}
	if rec.Type != ingest.Multi {
		value := rec.MeasureValue
		out.MeasureValue = &value
	}
	for _, v := range rec.MeasureValues {
		out.MeasureValues = append(out.MeasureValues, reportedValue{v.Name, v.Value, string(v.Type)})
	}
	return out
}

// row notes a row that could not be mapped.
func (r *report) row(reason, line string) {
	if !r.full() {
		r.Errors = append(r.Errors, &reportError{Reason: reason, RawLine: line})
	}
}

// general notes a reason that is about no record.
func (r *report) general(reason string) { r.Errors = append(r.Errors, &reportError{Reason: reason}) }

// write stores the report of a run and returns its place.
func (s *Service) writeReport(ctx context.Context, q *Query, run *Run, r *report) (*Object, error) {
	if s.opts.Reports == nil {
		return nil, fmt.Errorf("there is no object store")
	}
	if r.left > 0 {
		r.general(fmt.Sprintf("%d more records or rows could not be stored.", r.left))
	}
	r.ReportID = strings.ToUpper(randomHex(16))
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	at := &Object{Bucket: q.Report.Bucket, Key: reportKey(q, run)}
	return at, s.opts.Reports.Put(ctx, at.Bucket, at.Key, body)
}

// reportKey is <prefix>/<name-suffix>/<invocation s>/<AUTO|MANUAL>/<trigger ms>/<uuid>.
func reportKey(q *Query, run *Run) string {
	kind := "AUTO"
	if run.Manual {
		kind = "MANUAL"
	}
	key := fmt.Sprintf("%s/%d/%s/%d/%s", idOf(q.ARN), run.Invocation.Unix(), kind, run.Trigger.UnixMilli(), uuid())
	if prefix := strings.TrimSuffix(q.Report.Prefix, "/"); prefix != "" {
		key = prefix + "/" + key
	}
	return key
}

// idOf returns the last part of a scheduled query's ARN, name and suffix.
func idOf(arn string) string {
	_, id, _ := strings.Cut(arn, ":scheduled-query/")
	return id
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func uuid() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
