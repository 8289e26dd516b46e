package weirtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// APIError is an exception of the AWS API.
type APIError struct {
	Status  int    // of HTTP
	Type    string // e.g. "ValidationException"
	Message string
	Body    []byte // all of it, for members such as RejectedRecords
}

func (e *APIError) Error() string { return e.Type + ": " + e.Message }

// Call calls an operation of timestream-write or timestream-query by its name, such as
// "DescribeTable", with an input and an output in the API's JSON; out may be nil. What the
// API answers with an exception is returned as an [*APIError]. Call suits what has no
// method here and needs no SDK.
func (s *Server) Call(operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return apiError(resp.StatusCode, answer)
	case out == nil || len(answer) == 0:
		return nil
	}
	return json.Unmarshal(answer, out)
}

func apiError(status int, body []byte) error {
	e := &APIError{Status: status, Body: body}
	var shape struct {
		Type    string `json:"__type"`
		Message string
	}
	if json.Unmarshal(body, &shape) != nil {
		e.Message = string(body)
	}
	e.Type, e.Message = shape.Type[strings.LastIndex(shape.Type, "#")+1:], shape.Message
	return e
}

// CreateTable creates a table, and its database if that is missing, with its retention in
// the memory store (in whole hours) and in the magnetic store (in whole days). Late
// records are accepted into the magnetic store.
func (s *Server) CreateTable(database, table string, memory, magnetic time.Duration) {
	s.t.Helper()
	err := s.Call("CreateDatabase", map[string]any{"DatabaseName": database}, nil)
	if e, ok := err.(*APIError); ok && e.Type == "ConflictException" {
		err = nil
	}
	if err == nil {
		err = s.Call("CreateTable", map[string]any{
			"DatabaseName": database, "TableName": table,
			"RetentionProperties": map[string]any{
				"MemoryStoreRetentionPeriodInHours":  memory / time.Hour,
				"MagneticStoreRetentionPeriodInDays": magnetic / (24 * time.Hour),
			},
			"MagneticStoreWriteProperties": map[string]any{"EnableMagneticStoreWrites": true},
		}, nil)
	}
	if err != nil {
		s.t.Fatalf("weirtest: create table %s.%s: %v", database, table, err)
	}
}

// Record is a multi-measure record.
type Record struct {
	Time       time.Time // zero: the server's now
	Measure    string    // its measure_name; empty: "metrics"
	Dimensions map[string]string
	// Values are float64 (DOUBLE), int and int64 (BIGINT), bool, string (VARCHAR) and
	// time.Time (TIMESTAMP).
	Values  map[string]any
	Version int64 // 0: 1
}

// WriteRecords writes records to a table, at most 100. Records that are refused are an
// [*APIError] of type RejectedRecordsException; the others are stored.
func (s *Server) WriteRecords(database, table string, records ...Record) error {
	in := make([]map[string]any, len(records))
	for i, r := range records {
		shape, err := s.shapeOf(r)
		if err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		in[i] = shape
	}
	return s.Call("WriteRecords", map[string]any{"DatabaseName": database, "TableName": table, "Records": in}, nil)
}

func (s *Server) shapeOf(r Record) (map[string]any, error) {
	if r.Time.IsZero() {
		r.Time = s.Now()
	}
	if r.Measure == "" {
		r.Measure = "metrics"
	}
	var dimensions, values []map[string]string
	for _, name := range slices.Sorted(maps.Keys(r.Dimensions)) {
		dimensions = append(dimensions, map[string]string{"Name": name, "Value": r.Dimensions[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		text, typ, err := valueText(r.Values[name])
		if err != nil {
			return nil, fmt.Errorf("value %s: %w", name, err)
		}
		values = append(values, map[string]string{"Name": name, "Value": text, "Type": typ})
	}
	return map[string]any{
		"Time": strconv.FormatInt(r.Time.UnixNano(), 10), "TimeUnit": "NANOSECONDS", "Version": max(r.Version, 1),
		"Dimensions": dimensions, "MeasureName": r.Measure, "MeasureValueType": "MULTI", "MeasureValues": values,
	}, nil
}

func valueText(v any) (text, typ string, err error) {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), "DOUBLE", nil
	case int:
		return strconv.Itoa(v), "BIGINT", nil
	case int64:
		return strconv.FormatInt(v, 10), "BIGINT", nil
	case bool:
		return strconv.FormatBool(v), "BOOLEAN", nil
	case string:
		return v, "VARCHAR", nil
	case time.Time:
		return strconv.FormatInt(v.UnixNano(), 10), "TIMESTAMP", nil
	}
	return "", "", fmt.Errorf("%T has no measure value type", v)
}
