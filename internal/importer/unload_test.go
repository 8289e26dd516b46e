package importer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/importer"
	"github.com/weir-db/weir/weirtest"
)

func TestAnImportOfAnExportIsTheIdentity(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	if err := os.MkdirAll(filepath.Join(s.Dir, "objects", "exports"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		err := s.WriteRecords("db", "t", weirtest.Record{
			Time: noon.Add(time.Duration(-i) * time.Minute), Measure: "multi", Dimensions: map[string]string{"device": fmt.Sprint("d", i%3), "site": `a "b", \c`},
			Values: map[string]any{"v": float64(i) / 3, "n": int64(1)<<62 + int64(i), "note": "x, \"y\"\n\\", "ok": i%2 == 0, "at": noon.Add(time.Duration(i))},
		})
		if err == nil {
			err = s.Call("WriteRecords", map[string]any{"DatabaseName": "db", "TableName": "t", "Records": []map[string]any{{
				"Time": fmt.Sprint(noon.UnixMilli() - int64(i)), "MeasureName": "temp", "MeasureValue": "21.5", "Dimensions": []map[string]string{{"Name": "device", "Value": "single"}},
			}}}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const columns = `site, measure_name, time, v, n, note, ok, at, measure_value::double, device`
	want := s.Query(`SELECT ` + columns + ` FROM db.t ORDER BY device, time`)
	for i, with := range []string{
		"", "format = 'CSV', compression = 'NONE', include_header = 'true'", "format = 'PARQUET'", "format = 'PARQUET', compression = 'NONE', partitioned_by = ARRAY['device']",
		"format = 'CSV', partitioned_by = ARRAY['device']",
	} {
		prefix, table := fmt.Sprint("p", i), fmt.Sprint("t", i)
		statement := fmt.Sprintf(`UNLOAD (SELECT %s FROM db.t) TO 's3://exports/%s'`, columns, prefix)
		if with != "" {
			statement += " WITH (" + with + ")"
		}
		s.Query(statement)
		s.CreateTable("db", table, 24*time.Hour, 3650*24*time.Hour)
		o := options(client, filepath.Join(s.Dir, "objects", "exports", prefix))
		o.Table, o.State = table, filepath.Join(t.TempDir(), "state")
		// device stands behind the measures, where partition columns must, which says that it
		// is a dimension only where it is in the path.
		o.Columns.Dimensions = []string{"device", "site"}
		r, err := importer.Run(t.Context(), o)
		if err != nil || r.Ingested != int64(len(want)) || r.Rejected != 0 || len(r.Wrong) != 0 {
			t.Fatalf("%s: got %+v, %v", with, r, err)
		}
		same(t, s.Query(`SELECT `+columns+` FROM db.`+table+` ORDER BY device, time`), want)
	}
}
