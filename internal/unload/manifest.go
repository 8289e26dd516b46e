package unload

import (
	"encoding/json"
	"strconv"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/unloadfiles"
	"github.com/weir-db/weir/internal/vec"
)

func manifestOf(format Format, files []unloadfiles.ResultFile) ([]byte, error) {
	m := unloadfiles.Manifest{ResultFiles: files}
	if m.ResultFiles == nil {
		m.ResultFiles = []unloadfiles.ResultFile{}
	}
	m.QueryMetadata.Format, m.QueryMetadata.Version = string(format), "Amazon Timestream version 1.0.0"
	m.Sum()
	m.Author.Name, m.Author.Version = "Amazon Timestream", "1.0"
	return json.MarshalIndent(m, "", "  ")
}

func metadataOf(columns []plan.OutputColumn) ([]byte, error) {
	var m unloadfiles.Metadata
	for i, c := range columns {
		m.ColumnInfo = append(m.ColumnInfo, unloadfiles.ColumnInfo{Name: columnName(c, i), Type: typeOf(c.Type)})
	}
	m.Author.Name, m.Author.MetadataFileVersion = "Amazon Timestream", "1.0"
	return json.MarshalIndent(m, "", "  ")
}

var scalarTypes = map[vec.Kind]string{
	vec.Boolean: "BOOLEAN", vec.Integer: "INTEGER", vec.Bigint: "BIGINT", vec.Double: "DOUBLE", vec.Varchar: "VARCHAR", vec.Timestamp: "TIMESTAMP",
	vec.Date: "DATE", vec.IntervalDay: "INTERVAL_DAY_TO_SECOND", vec.IntervalYear: "INTERVAL_YEAR_TO_MONTH",
}

func typeOf(t vec.Type) unloadfiles.TypeInfo {
	switch t.Kind {
	case vec.Array:
		return unloadfiles.TypeInfo{ArrayColumnInfo: &unloadfiles.ColumnInfo{Type: typeOf(*t.Elem)}}
	case vec.TimeSeries:
		return unloadfiles.TypeInfo{TimeSeriesMeasureValueColumnInfo: &unloadfiles.ColumnInfo{Type: typeOf(*t.Elem)}}
	case vec.Row:
		out := unloadfiles.TypeInfo{}
		for i, f := range t.Fields {
			name := f.Name
			if name == "" {
				name = "field" + strconv.Itoa(i)
			}
			out.RowColumnInfo = append(out.RowColumnInfo, unloadfiles.ColumnInfo{Name: name, Type: typeOf(f.Type)})
		}
		return out
	}
	return unloadfiles.TypeInfo{ScalarType: scalarTypes[t.Kind]}
}
