package ingest

import (
	"math"
	"strconv"

	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// LateReport tells of late records that were accepted into the magnetic store and lost
// against a stored version: AWS writes such reports to the bucket that a table's
// MagneticStoreRejectedDataLocation names.
type LateReport struct {
	Table *catalog.Table
	Body  []byte // the report's object
	UUID  string // to name it
}

// lateReport words what lost. It copies all it needs from rows.
func lateReport(table *catalog.Table, rows *storage.Rows, lost []storage.Rejection) LateReport {
	var report ErrorReport
	for i := range lost {
		report.Record(reason(table, &lost[i]), recordOf(rows, &rows.Rows[lost[i].Row]))
	}
	body, uuid := report.JSON()
	return LateReport{table, body, uuid}
}

func recordOf(rows *storage.Rows, row *storage.Row) ReportedRecord {
	r := ReportedRecord{
		Dimensions: []ReportedDimension{}, MeasureName: row.Measure, MeasureValueType: "MULTI",
		Time: strconv.FormatInt(row.TimeNs, 10), TimeUnit: "NANOSECONDS", Version: &row.Version,
	}
	for _, d := range row.Dimensions {
		r.Dimensions = append(r.Dimensions, ReportedDimension{Name: d.Name, Value: d.Value})
	}
	for _, v := range row.Values {
		c := &rows.Columns[v.Column]
		text, typ := valueText(c.Type.Kind, v), typeWord(c.Type.Kind)
		if !row.Multi {
			r.MeasureValue, r.MeasureValueType = &text, typ
			break
		}
		r.MeasureValues = append(r.MeasureValues, ReportedValue{c.Name, text, typ})
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
