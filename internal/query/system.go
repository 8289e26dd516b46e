package query

import (
	"context"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// SystemDatabase is the database of what the server tells of itself. It is in no list of databases, and a
// database of that name that somebody creates takes its place.
const SystemDatabase = "information_schema"

// systemTables are the tables of [SystemDatabase].
var systemTables = []string{"queries"}

// tables is the catalog as queries see it: with the system tables.
type tables struct {
	s    *Service
	seen func() string // whose queries these show; "": everybody's
}

// AdminAction is what a caller must be allowed, as timestream:UpdateAccountSettings, to see the queries of others: it
// governs how all queries of the account run, and is in no policy for reading.
const AdminAction = "UpdateAccountSettings"

// seenBy returns a function that tells whose queries a caller may see: its own, or with "" everybody's.
func (s *Service) seenBy(ctx context.Context, caller string) func() string {
	return func() string {
		if s.authorize(ctx, caller, AdminAction, nil) == nil {
			return ""
		}
		return caller
	}
}

// Resolve implements plan.Catalog.
func (c tables) Resolve(database, table string) (storage.Table, bool, error) {
	t, missing, err := c.s.opts.Catalog.Resolve(database, table)
	if err == nil || !missing || !strings.EqualFold(database, SystemDatabase) {
		return t, missing, err
	}
	if c.s.isSystemTable(database, table) {
		return queriesTable{c.s.history, c.seen()}, false, nil
	}
	return nil, false, fault.New(fault.NotFound, "The table %s does not exist.", table)
}

// isSystem reports whether a database is that of the system tables.
func (s *Service) isSystem(database string) bool {
	if !strings.EqualFold(database, SystemDatabase) {
		return false
	}
	_, err := s.opts.Catalog.Database(database)
	return err != nil
}

// isSystemTable reports whether that is a system table.
func (s *Service) isSystemTable(database, table string) bool {
	return s.isSystem(database) && strings.EqualFold(table, systemTables[0])
}

// declared are the tables among refs that the catalog has.
func (s *Service) declared(refs []plan.TableRef) []plan.TableRef {
	var out []plan.TableRef
	for _, ref := range refs {
		if !s.isSystem(ref.Database) {
			out = append(out, ref)
		}
	}
	return out
}

// queriesTable is the history as a table. A scan gives the queries as they are when it begins, the one
// that asks among them.
type queriesTable struct {
	history *history
	caller  string // whose queries; "": everybody's
}

var texts = vec.ArrayOf(vec.VarcharType)

// queryColumns are the columns of information_schema.queries (docs/sql.md tells what they mean).
var queryColumns = []struct {
	name  string
	t     vec.Type
	value func(*Observation) vec.Value
}{
	{"query_id", vec.VarcharType, func(o *Observation) vec.Value { return vec.Str(o.QueryID) }},
	{"state", vec.VarcharType, func(o *Observation) vec.Value { return vec.Str(string(o.State)) }},
	{"kind", vec.VarcharType, func(o *Observation) vec.Value { return textOrNull(o.Kind) }},
	{"caller", vec.VarcharType, func(o *Observation) vec.Value { return vec.Str(o.Caller) }},
	{"query", vec.VarcharType, func(o *Observation) vec.Value { return vec.Str(o.SQL) }},
	{storage.TimeColumnName, vec.TimestampType, func(o *Observation) vec.Value { return vec.Int(vec.TimestampType, o.Started.UnixNano()) }},
	{"elapsed_ms", vec.DoubleType, func(o *Observation) vec.Value { return milliseconds(o.Elapsed) }},
	{"busy_ms", vec.DoubleType, func(o *Observation) vec.Value { return milliseconds(o.Duration) }},
	{"planning_ms", vec.DoubleType, func(o *Observation) vec.Value { return milliseconds(o.Planning) }},
	{"output_rows", vec.BigintType, func(o *Observation) vec.Value { return count(o.Rows) }},
	{"output_bytes", vec.BigintType, func(o *Observation) vec.Value { return count(o.OutputBytes) }},
	{"bytes_scanned", vec.BigintType, func(o *Observation) vec.Value { return count(o.BytesScanned) }},
	{"bytes_metered", vec.BigintType, func(o *Observation) vec.Value { return count(o.BytesMetered) }},
	{"rows_scanned", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.RowsScanned) }},
	{"series_read", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.SeriesRead) }},
	{"series_skipped", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.SeriesSkipped) }},
	{"segments_read", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.SegmentsRead) }},
	{"segments_skipped", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.SegmentsSkipped) }},
	{"blocks_read", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.BlocksRead) }},
	{"blocks_skipped", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.Storage.BlocksSkipped) }},
	{"peak_memory_bytes", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.PeakMemoryBytes) }},
	{"spilled_bytes", vec.BigintType, func(o *Observation) vec.Value { return count(o.Scanned.SpilledBytes) }},
	{"tables", texts, func(o *Observation) vec.Value {
		names := make([]string, len(o.Tables))
		for i, t := range o.Tables {
			names[i] = t.Database + "." + t.Table
		}
		return textList(names)
	}},
	{"rules", texts, func(o *Observation) vec.Value { return textList(o.Rules) }},
	{"pushed", texts, func(o *Observation) vec.Value { return textList(o.Pushed) }},
	{"error_kind", vec.VarcharType, func(o *Observation) vec.Value {
		if o.Err == nil {
			return vec.Null(vec.VarcharType)
		}
		return vec.Str(fault.KindOf(o.Err).String())
	}},
	{"error", vec.VarcharType, func(o *Observation) vec.Value {
		if o.Err == nil {
			return vec.Null(vec.VarcharType)
		}
		return textOrNull(fault.MessageOf(o.Err))
	}},
}

func textOrNull(s string) vec.Value {
	v := vec.Str(s)
	v.Null = s == ""
	return v
}

func textList(list []string) vec.Value {
	v := vec.Value{Type: texts, List: []vec.Value{}}
	for _, s := range list {
		v.List = append(v.List, vec.Str(s))
	}
	return v
}

func milliseconds(d time.Duration) vec.Value { return vec.Float(float64(d) / 1e6) }
func count(n int64) vec.Value                { return vec.Int(vec.BigintType, n) }

var queriesSchema = func() *storage.Schema {
	s := &storage.Schema{}
	for _, c := range queryColumns {
		role := storage.Attribute
		if c.name == storage.TimeColumnName {
			role = storage.TimeColumn
		}
		s.Columns = append(s.Columns, storage.Column{Name: c.name, Type: c.t, Role: role})
	}
	return s
}()

func (t queriesTable) Schema() *storage.Schema { return queriesSchema }

func (t queriesTable) Stats() storage.TableStats {
	return storage.TableStats{Rows: int64(t.history.maxQueries)}
}

// Delete implements [storage.Table]: nobody deletes here.
func (queriesTable) Delete(context.Context, storage.Deletion) (int64, error) {
	return 0, fault.New(fault.Invalid, "Rows of this table cannot be deleted.")
}

func (t queriesTable) Write(context.Context, *storage.Rows) (storage.Receipt, error) {
	return storage.Receipt{}, fault.New(fault.Invalid, "System tables cannot be written.")
}

// Scan implements [storage.Table]. It takes on nothing but columns and the time range.
func (t queriesTable) Scan(_ context.Context, spec storage.ScanSpec) (storage.Scanner, error) {
	builders := make([]*vec.Builder, len(spec.Columns))
	at := make([]int, len(spec.Columns))
	queries := t.history.list()
	for i, name := range spec.Columns {
		if at[i] = queriesSchema.Lookup(name); at[i] < 0 {
			return nil, fault.New(fault.Invalid, "The column %s does not exist.", name)
		}
		builders[i] = vec.NewBuilder(queryColumns[at[i]].t, len(queries))
	}
	b := &vec.Batch{}
	for i := range queries {
		o := &queries[i]
		if started := o.Started.UnixNano(); started < spec.From || started >= spec.To || t.caller != "" && t.caller != o.Caller {
			continue
		}
		b.Len++
		for k := range builders {
			builders[k].Append(queryColumns[at[k]].value(o))
		}
	}
	for _, builder := range builders {
		b.Columns = append(b.Columns, builder.Vector())
	}
	return &queriesScanner{batch: b, applied: storage.Applied{Where: make([]bool, len(spec.Where))}}, nil
}

// queriesScanner gives one batch. It counts nothing: the history is no data of anybody.
type queriesScanner struct {
	batch   *vec.Batch
	applied storage.Applied
}

func (s *queriesScanner) Applied() storage.Applied { return s.applied }

func (s *queriesScanner) Next(context.Context) (*vec.Batch, error) {
	b := s.batch
	s.batch = nil
	if b == nil || b.Len == 0 {
		return nil, nil
	}
	return b, nil
}

func (s *queriesScanner) Stats() storage.ScanStats { return storage.ScanStats{} }
func (s *queriesScanner) Close()                   {}
