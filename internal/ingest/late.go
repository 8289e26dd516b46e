package ingest

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// LateReport tells of late records that were accepted into the magnetic store and lost
// against a stored version: AWS writes such reports to the bucket that a table's
// MagneticStoreRejectedDataLocation names. Errors has the form of the service's other error
// reports.
type LateReport struct {
	Table  *catalog.Table
	Errors json.RawMessage // the list "errors"
}

// lateError is a reason with the records it is about.
type lateError struct {
	Reason  string       `json:"reason"`
	Records []lateRecord `json:"records"`
}

type lateRecord struct {
	Dimensions       []lateDimension `json:"dimensions"`
	MeasureName      string          `json:"measureName"`
	MeasureValue     *string         `json:"measureValue"`
	MeasureValues    []lateValue     `json:"measureValues"`
	MeasureValueType string          `json:"measureValueType"`
	Time             string          `json:"time"`
	TimeUnit         string          `json:"timeUnit"`
	Version          *int64          `json:"version"`
}

type lateDimension struct {
	Name               string  `json:"name"`
	Value              string  `json:"value"`
	DimensionValueType *string `json:"dimensionValueType"`
}

type lateValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

// lateReport words what lost. It copies all it needs from rows.
func lateReport(table *catalog.Table, rows *storage.Rows, lost []storage.Rejection) LateReport {
	var list []lateError
	for i := range lost {
		list = append(list, lateError{reason(table, &lost[i]), []lateRecord{recordOf(rows, &rows.Rows[lost[i].Row])}})
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return LateReport{Table: table, Errors: b}
}

func recordOf(rows *storage.Rows, row *storage.Row) lateRecord {
	r := lateRecord{
		Dimensions: []lateDimension{}, MeasureName: row.Measure, MeasureValueType: "MULTI",
		Time: strconv.FormatInt(row.TimeNs, 10), TimeUnit: "NANOSECONDS", Version: &row.Version,
	}
	for _, d := range row.Dimensions {
		r.Dimensions = append(r.Dimensions, lateDimension{Name: d.Name, Value: d.Value})
	}
	for _, v := range row.Values {
		c := &rows.Columns[v.Column]
		text, typ := valueText(c.Type.Kind, v), typeWord(c.Type.Kind)
		if !row.Multi {
			r.MeasureValue, r.MeasureValueType = &text, typ
			break
		}
		r.MeasureValues = append(r.MeasureValues, lateValue{c.Name, text, typ})
	}
	return r
}

func valueText(k vec.Kind, v storage.Val) string {
	switch k {
	case vec.Double:
		return string(vec.AppendText(nil, vec.OfFloats([]float64{math.Float64frombits(v.Bits)}, nil), 0))
	case vec.Boolean:
		return strconv.FormatBool(v.Bits != 0)
	case vec.Varchar:
		return v.Str
	}
	return strconv.FormatInt(int64(v.Bits), 10)
}
