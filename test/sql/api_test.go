package sql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/test/sql/sqltest"
	"github.com/weir-db/weir/weirtest"
)

// The scripts again, through everything a client's call goes through: JSON, the checks of
// WriteRecords, the store on disk, pages.
func TestScriptsOverTheAWSAPI(t *testing.T) {
	t.Parallel()
	if *sqltest.Rewrite {
		t.Skip("answers are written by TestScripts")
	}
	files, err := filepath.Glob("*.test")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			sqltest.RunFile(t, file, &overAPI{weirtest.Start(t, weirtest.At(sqltest.Start))})
		})
	}
}

// overAPI is a whole server as an engine for scripts.
type overAPI struct{ s *weirtest.Server }

func (e *overAPI) SetNow(t time.Time) { e.s.Set(t) }

func (e *overAPI) CreateTable(_ context.Context, database, table string) error {
	e.s.CreateTable(database, table, 8766*time.Hour, 73000*24*time.Hour)
	return nil
}

func (e *overAPI) Query(_ context.Context, sql string) (*sqltest.Result, error) {
	r, err := e.s.TryQuery(sql)
	var exception *weirtest.APIError
	switch {
	case errors.As(err, &exception):
		return nil, errors.New(exception.Message)
	case err != nil:
		return nil, err
	}
	return &sqltest.Result{Columns: r.Columns, Rows: r.Rows}, nil
}

// Spell implements [sqltest.Speller]: ColumnInfo has no length of a varchar, and a name for
// each field of a row.
func (e *overAPI) Spell(columns string) string {
	columns = varcharLength.ReplaceAllString(columns, "varchar")
	return unnamedFields.ReplaceAllStringFunc(columns, func(row string) string {
		types := strings.Split(row[len("row("):len(row)-1], ", ")
		for i := range types {
			types[i] = fmt.Sprint("field", i, " ", types[i])
		}
		return "row(" + strings.Join(types, ", ") + ")"
	})
}

var (
	varcharLength = regexp.MustCompile(`varchar\(\d+\)`)
	unnamedFields = regexp.MustCompile(`row\([a-z]+(, [a-z]+)*\)`)
)

func (e *overAPI) Write(_ context.Context, database, table string, rows *storage.Rows) error {
	for batch := range slices.Chunk(rows.Rows, 100) {
		records := make([]map[string]any, len(batch))
		for i := range batch {
			records[i] = recordOf(rows.Columns, &batch[i])
		}
		err := e.s.Call("WriteRecords", map[string]any{"DatabaseName": database, "TableName": table, "Records": records}, nil)
		var exception *weirtest.APIError
		if errors.As(err, &exception) {
			return fmt.Errorf("%w %s", err, json.RawMessage(exception.Body))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recordOf is a row as WriteRecords takes it.
func recordOf(columns []storage.Column, row *storage.Row) map[string]any {
	dimensions := []map[string]string{}
	for _, d := range row.Dimensions {
		dimensions = append(dimensions, map[string]string{"Name": d.Name, "Value": d.Value})
	}
	record := map[string]any{
		"Time": strconv.FormatInt(row.TimeNs, 10), "TimeUnit": "NANOSECONDS", "Version": row.Version,
		"Dimensions": dimensions, "MeasureName": row.Measure,
	}
	if !row.Multi {
		typ, text := valueOf(columns, row.Values[0])
		record["MeasureValueType"], record["MeasureValue"] = typ, text
		return record
	}
	var values []map[string]string
	for _, v := range row.Values {
		typ, text := valueOf(columns, v)
		values = append(values, map[string]string{"Name": columns[v.Column].Name, "Type": typ, "Value": text})
	}
	record["MeasureValueType"], record["MeasureValues"] = "MULTI", values
	return record
}

func valueOf(columns []storage.Column, v storage.Val) (typ, text string) {
	switch columns[v.Column].Type.Kind {
	case vec.Double:
		return "DOUBLE", strconv.FormatFloat(math.Float64frombits(v.Bits), 'g', -1, 64)
	case vec.Boolean:
		return "BOOLEAN", strconv.FormatBool(v.Bits != 0)
	case vec.Varchar:
		return "VARCHAR", v.Str
	case vec.Timestamp:
		return "TIMESTAMP", strconv.FormatInt(int64(v.Bits), 10)
	}
	return "BIGINT", strconv.FormatInt(int64(v.Bits), 10)
}
