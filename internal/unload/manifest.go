package unload

import (
	"encoding/json"
	"strconv"

	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/vec"
)

// manifest lists what was written (api.md, section 14.4).
type manifest struct {
	ResultFiles   []resultFile  `json:"result_files"`
	QueryMetadata queryMetadata `json:"query_metadata"`
	Author        struct {
		Name    string `json:"name"`
		Version string `json:"manifest_file_version"`
	} `json:"author"`
}

type resultFile struct {
	URL      string       `json:"url"`
	Metadata fileMetadata `json:"file_metadata"`
}

type fileMetadata struct {
	Bytes int64 `json:"content_length_in_bytes"`
	Rows  int64 `json:"row_count"`
}

type queryMetadata struct {
	Bytes   int64  `json:"content_length_in_bytes"`
	Rows    int64  `json:"total_row_count"`
	Format  Format `json:"result_format"`
	Version string `json:"result_version"`
}

func manifestOf(format Format, files []resultFile) ([]byte, error) {
	m := manifest{ResultFiles: files}
	if m.ResultFiles == nil {
		m.ResultFiles = []resultFile{}
	}
	m.QueryMetadata.Format, m.QueryMetadata.Version = format, "Amazon Timestream version 1.0.0"
	for _, f := range files {
		m.QueryMetadata.Bytes += f.Metadata.Bytes
		m.QueryMetadata.Rows += f.Metadata.Rows
	}
	m.Author.Name, m.Author.Version = "Amazon Timestream", "1.0"
	return json.MarshalIndent(m, "", "  ")
}

// metadata tells the columns of the query, partition columns too, as Query does.
type metadata struct {
	ColumnInfo []columnInfo
	Author     struct {
		Name                string
		MetadataFileVersion string
	}
}

type columnInfo struct {
	Name string `json:",omitempty"`
	Type typeInfo
}

type typeInfo struct {
	ScalarType                       string       `json:",omitempty"`
	ArrayColumnInfo                  *columnInfo  `json:",omitempty"`
	TimeSeriesMeasureValueColumnInfo *columnInfo  `json:",omitempty"`
	RowColumnInfo                    []columnInfo `json:",omitempty"`
}

func metadataOf(columns []plan.OutputColumn) ([]byte, error) {
	var m metadata
	for i, c := range columns {
		m.ColumnInfo = append(m.ColumnInfo, columnInfo{columnName(c, i), typeOf(c.Type)})
	}
	m.Author.Name, m.Author.MetadataFileVersion = "Amazon Timestream", "1.0"
	return json.MarshalIndent(m, "", "  ")
}

var scalarTypes = map[vec.Kind]string{
	vec.Boolean: "BOOLEAN", vec.Integer: "INTEGER", vec.Bigint: "BIGINT", vec.Double: "DOUBLE", vec.Varchar: "VARCHAR", vec.Timestamp: "TIMESTAMP",
	vec.Date: "DATE", vec.IntervalDay: "INTERVAL_DAY_TO_SECOND", vec.IntervalYear: "INTERVAL_YEAR_TO_MONTH",
}

func typeOf(t vec.Type) typeInfo {
	switch t.Kind {
	case vec.Array:
		return typeInfo{ArrayColumnInfo: &columnInfo{Type: typeOf(*t.Elem)}}
	case vec.TimeSeries:
		return typeInfo{TimeSeriesMeasureValueColumnInfo: &columnInfo{Type: typeOf(*t.Elem)}}
	case vec.Row:
		out := typeInfo{}
		for i, f := range t.Fields {
			name := f.Name
			if name == "" {
				name = "field" + strconv.Itoa(i)
			}
			out.RowColumnInfo = append(out.RowColumnInfo, columnInfo{name, typeOf(f.Type)})
		}
		return out
	}
	return typeInfo{ScalarType: scalarTypes[t.Kind]}
}
