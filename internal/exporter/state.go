package exporter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	writetypes "github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/objstore/s3client"
)

const stateVersion = 1

// StateFile is the name of the state in the destination; importer reads it too.
const StateFile = "weir-export.json"

// state is what weir-export.json holds.
type state struct {
	Version  int
	Endpoint string
	What     string // the statement's parts that change what is written
	Began    time.Time
	Rows     int64  // at the start; -1: not counted
	Bucket   string `json:",omitempty"` // that the server writes to, for a folder
	Complete bool
	Table    *Table   `json:",omitempty"`
	Columns  []Column `json:",omitempty"`
	Slices   []slice
}

// Table is the settings of the table that was exported.
type Table struct {
	Database, Table      string
	MemoryRetentionHours int64
	MagneticDays         int64
	MagneticWrites       bool
	PartitionKeys        []PartitionKey `json:",omitempty"`
}

// PartitionKey is a customer-defined partition key.
type PartitionKey struct {
	Name        string
	Type        string
	Enforcement string `json:",omitempty"`
}

// Column is a column of the table as DESCRIBE tells it.
type Column struct {
	Name, Type string
	Role       string // DIMENSION, MEASURE_NAME, TIMESTAMP, MEASURE_VALUE or MULTI
}

type slice struct {
	Name        string
	From, Until time.Time `json:",omitzero"`
	Attempt     int
	Token       string `json:",omitempty"` // ClientToken of the last attempt
	Manifest    string `json:",omitempty"` // URI
	Rows, Bytes int64
	Files       int
	Done        bool
}

// path is where the slice's attempt is below the destination; the first one has the plain name.
func (s *slice) path() string {
	if s.Attempt <= 1 {
		return s.Name
	}
	return fmt.Sprintf("%s.%d", s.Name, s.Attempt)
}

func (r *run) what() string {
	return fmt.Sprintf("%q %q %q %s %s %q %s %v %s %s %v", r.o.Database, r.o.Table, r.o.SQL, r.o.Format, r.o.Compression, r.o.PartitionBy, r.o.MaxFileSize, r.o.Header,
		r.o.From.Format(time.RFC3339Nano), r.o.Until.Format(time.RFC3339Nano), r.o.Slice)
}

// loadState returns the state of an earlier run to go on with, or nil.
func (r *run) loadState(ctx context.Context) (*state, error) {
	text, err := r.dest.read(ctx, StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, r.dest.empty(ctx)
	}
	if err != nil {
		return nil, err
	}
	var s state
	switch err := json.Unmarshal(text, &s); {
	case err != nil || s.Version != stateVersion:
		return nil, fmt.Errorf("%s in %s is of no export that this version can read", StateFile, r.o.To)
	case r.o.Restart:
		return nil, r.dest.clear(ctx, r, &s)
	case s.Complete:
		return nil, fmt.Errorf("%s holds a complete export of %s; --restart replaces it", r.o.To, s.Began.Format(time.RFC3339))
	case s.Endpoint != r.o.Endpoint || s.What != r.what():
		return nil, fmt.Errorf("%s holds another export, which did not end: the same command goes on with it, --restart replaces it", r.o.To)
	}
	return &s, nil
}

func (r *run) save(ctx context.Context) error {
	text, err := json.MarshalIndent(r.state, "", "  ")
	if err != nil {
		return err
	}
	return r.dest.write(ctx, StateFile, append(text, '\n'))
}

// describe notes the table's settings and columns.
func (r *run) describe(ctx context.Context, s *state) error {
	var err error
	if s.Table, err = Describe(ctx, r.o.Write, r.o.Database, r.o.Table); err != nil {
		return err
	}
	if s.Columns, err = columnsOf(ctx, r.o.Query, r.o.Database, r.o.Table); err != nil {
		return err
	}
	for _, p := range r.o.PartitionBy {
		found := false
		for _, c := range s.Columns {
			found = found || c.Name == p
		}
		if !found {
			return fmt.Errorf("--partition-by: %s.%s has no column %q", r.o.Database, r.o.Table, p)
		}
	}
	return nil
}

// Describe asks for the settings of a table.
func Describe(ctx context.Context, c *timestreamwrite.Client, database, table string) (*Table, error) {
	out, err := c.DescribeTable(ctx, &timestreamwrite.DescribeTableInput{DatabaseName: aws.String(database), TableName: aws.String(table)})
	if err != nil {
		return nil, err
	}
	return tableOf(out.Table), nil
}

func tableOf(t *writetypes.Table) *Table {
	out := &Table{Database: aws.ToString(t.DatabaseName), Table: aws.ToString(t.TableName)}
	if p := t.RetentionProperties; p != nil {
		out.MemoryRetentionHours, out.MagneticDays = aws.ToInt64(p.MemoryStoreRetentionPeriodInHours), aws.ToInt64(p.MagneticStoreRetentionPeriodInDays)
	}
	if m := t.MagneticStoreWriteProperties; m != nil {
		out.MagneticWrites = aws.ToBool(m.EnableMagneticStoreWrites)
	}
	if t.Schema != nil {
		for _, k := range t.Schema.CompositePartitionKey {
			out.PartitionKeys = append(out.PartitionKeys, PartitionKey{aws.ToString(k.Name), string(k.Type), string(k.EnforcementInRecord)})
		}
	}
	return out
}

// columnsOf asks for the columns of a table.
func columnsOf(ctx context.Context, c *timestreamquery.Client, database, table string) ([]Column, error) {
	var list []Column
	in := &timestreamquery.QueryInput{QueryString: aws.String("DESCRIBE " + quoted(database) + "." + quoted(table))}
	for {
		out, err := c.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, row := range out.Rows {
			if len(row.Data) != 3 {
				return nil, fmt.Errorf("DESCRIBE answers %d columns, want 3", len(row.Data))
			}
			list = append(list, Column{aws.ToString(row.Data[0].ScalarValue), aws.ToString(row.Data[1].ScalarValue), strings.ToUpper(aws.ToString(row.Data[2].ScalarValue))})
		}
		if out.NextToken == nil {
			return list, nil
		}
		in.NextToken = out.NextToken
	}
}

// TableOf returns the settings of the table that an export in a folder, or in s3://bucket/prefix of objects, was made of; nil
// if there is no export of a table.
func TableOf(ctx context.Context, objects *s3client.Client, at string) (*Table, error) {
	text, err := destinationOf(Options{Objects: objects, To: at}).read(ctx, StateFile)
	if err != nil {
		return nil, nil // no folder, or none with an export
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s in %s: %w", StateFile, at, err)
	}
	if s.Table != nil && !s.Complete {
		return nil, fmt.Errorf("the export in %s has not ended: run it again to its end", at)
	}
	return s.Table, nil
}

// Keys are the table's partition keys as CreateTable takes them; nil if they are the default.
func (t *Table) Keys() []writetypes.PartitionKey {
	var keys []writetypes.PartitionKey
	for _, k := range t.PartitionKeys {
		if k.Type == string(writetypes.PartitionKeyTypeDimension) {
			keys = append(keys, writetypes.PartitionKey{Type: writetypes.PartitionKeyTypeDimension, Name: aws.String(k.Name), EnforcementInRecord: writetypes.PartitionKeyEnforcementLevel(k.Enforcement)})
		}
	}
	return keys
}
