package ingest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
)

// ErrorReport is an object that tells what was not stored: of a run of a scheduled query, or of late records that
// lost. Its JSON is that of AWS's error reports (Timestream guide, "Scheduled query error reports").
type ErrorReport struct {
	Errors []*ReportedError `json:"errors"`
}

// ReportedError is a reason with the records, or the row, that it is about, or alone.
type ReportedError struct {
	Reason  string           `json:"reason"`
	Records []ReportedRecord `json:"records,omitempty"`
	RawLine string           `json:"rawLine,omitempty"`
}

// ReportedRecord is a record as reports write it: all members are there, times are in ns.
type ReportedRecord struct {
	Dimensions       []ReportedDimension `json:"dimensions"`
	MeasureName      string              `json:"measureName"`
	MeasureValue     *string             `json:"measureValue"`
	MeasureValues    []ReportedValue     `json:"measureValues"`
	MeasureValueType string              `json:"measureValueType"`
	Time             string              `json:"time"`
	TimeUnit         string              `json:"timeUnit"`
	Version          *int64              `json:"version"`
}

// ReportedDimension is a dimension of a [ReportedRecord].
type ReportedDimension struct {
	Name               string  `json:"name"`
	Value              string  `json:"value"`
	DimensionValueType *string `json:"dimensionValueType"`
}

// ReportedValue is a measure value of a [ReportedRecord].
type ReportedValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

// Record notes a record that was not stored. Records of one reason that follow each other share an entry.
func (r *ErrorReport) Record(reason string, rec ReportedRecord) {
	if n := len(r.Errors); n == 0 || r.Errors[n-1].Reason != reason || r.Errors[n-1].Records == nil {
		r.Errors = append(r.Errors, &ReportedError{Reason: reason})
	}
	last := r.Errors[len(r.Errors)-1]
	last.Records = append(last.Records, rec)
}

// Row notes a row that is no record.
func (r *ErrorReport) Row(reason, line string) {
	r.Errors = append(r.Errors, &ReportedError{Reason: reason, RawLine: line})
}

// General notes a reason that is about no record.
func (r *ErrorReport) General(reason string) {
	r.Errors = append(r.Errors, &ReportedError{Reason: reason})
}

// JSON returns the report with an id of its own, and a UUID that can name its object.
func (r *ErrorReport) JSON() (body []byte, uuid string) {
	var id, name [16]byte
	rand.Read(id[:]) // never fails
	rand.Read(name[:])
	name[6], name[8] = name[6]&0x0f|0x40, name[8]&0x3f|0x80 // RFC 9562, version 4
	body, err := json.Marshal(struct {
		ReportID string `json:"reportId"`
		*ErrorReport
	}{fmt.Sprintf("%X", id), r})
	if err != nil {
		panic("bug: " + err.Error())
	}
	return body, fmt.Sprintf("%x-%x-%x-%x-%x", name[:4], name[4:6], name[6:8], name[8:10], name[10:])
}

// Reported is a record of a request, merged with nothing, as reports write it.
func Reported(rec *Record) ReportedRecord {
	out := ReportedRecord{
		Dimensions: []ReportedDimension{}, MeasureName: rec.MeasureName, MeasureValueType: string(rec.Type), Time: rec.Time, TimeUnit: string(rec.TimeUnit),
	}
	for _, d := range rec.Dimensions {
		out.Dimensions = append(out.Dimensions, ReportedDimension{Name: d.Name, Value: d.Value})
	}
	if rec.Type != Multi {
		value := rec.MeasureValue
		out.MeasureValue = &value
	}
	for _, v := range rec.MeasureValues {
		out.MeasureValues = append(out.MeasureValues, ReportedValue{v.Name, v.Value, string(v.Type)})
	}
	return out
}
