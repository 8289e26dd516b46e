// Package unloadfiles is the form of the two files that UNLOAD writes next to its results, the
// manifest and the metadata (api.md, section 14.4): unload writes them, exporter and importer read
// them, as clients of any server that speaks the API. It knows names and JSON, no storage.
package unloadfiles

import (
	"fmt"
	"strings"
)

const (
	manifestEnd = "_manifest.json"
	metadataEnd = "_metadata.json"
)

// Manifest lists what was written. Its presence says that all of it is there: it is written last.
type Manifest struct {
	ResultFiles   []ResultFile  `json:"result_files"`
	QueryMetadata QueryMetadata `json:"query_metadata"`
	Author        struct {
		Name    string `json:"name"`
		Version string `json:"manifest_file_version"`
	} `json:"author"`
}

// ResultFile is one object with rows.
type ResultFile struct {
	URL      string       `json:"url"` // s3://bucket/key
	Metadata FileMetadata `json:"file_metadata"`
}

// FileMetadata tells the size of an object as it is stored, compressed or not.
type FileMetadata struct {
	Bytes int64 `json:"content_length_in_bytes"`
	Rows  int64 `json:"row_count"`
}

// QueryMetadata tells the sums over all files.
type QueryMetadata struct {
	Bytes   int64  `json:"content_length_in_bytes"`
	Rows    int64  `json:"total_row_count"`
	Format  string `json:"result_format"` // CSV or PARQUET
	Version string `json:"result_version"`
}

// Sum fills the sums of the query from the files.
func (m *Manifest) Sum() {
	m.QueryMetadata.Bytes, m.QueryMetadata.Rows = m.sums()
}

// Check returns an error if the files have other sums of rows than the query.
func (m *Manifest) Check() error {
	if _, rows := m.sums(); rows != m.QueryMetadata.Rows {
		return fmt.Errorf("the files have %d rows, total_row_count is %d", rows, m.QueryMetadata.Rows)
	}
	return nil
}

func (m *Manifest) sums() (bytes, rows int64) {
	for _, f := range m.ResultFiles {
		bytes += f.Metadata.Bytes
		rows += f.Metadata.Rows
	}
	return bytes, rows
}

// Metadata tells the columns of the query, partition columns too, as Query does.
type Metadata struct {
	ColumnInfo []ColumnInfo
	Author     struct {
		Name                string
		MetadataFileVersion string
	}
}

// ColumnInfo is a column, or a field of a row.
type ColumnInfo struct {
	Name string `json:",omitempty"`
	Type TypeInfo
}

// TypeInfo has one of its fields set.
type TypeInfo struct {
	ScalarType                       string       `json:",omitempty"` // BIGINT, VARCHAR and so on
	ArrayColumnInfo                  *ColumnInfo  `json:",omitempty"`
	TimeSeriesMeasureValueColumnInfo *ColumnInfo  `json:",omitempty"`
	RowColumnInfo                    []ColumnInfo `json:",omitempty"`
}

// IsManifest says whether a file or an object of this name is a manifest.
func IsManifest(name string) bool { return strings.HasSuffix(name, manifestEnd) }

// IsMetadata says whether a file or an object of this name is a metadata file.
func IsMetadata(name string) bool { return strings.HasSuffix(name, metadataEnd) }

// Names returns where the manifest and the metadata of one UNLOAD are, both below prefix.
func Names(prefix string) (manifest, metadata string) {
	return prefix + manifestEnd, prefix + metadataEnd
}

// MetadataOf returns where the metadata that belongs to a manifest is.
func MetadataOf(manifest string) string {
	return strings.TrimSuffix(manifest, manifestEnd) + metadataEnd
}
