package unload

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/sql/plan"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/unloadfiles"
	"github.com/weir-db/weir/internal/vec"
	"github.com/weir-db/weir/internal/vfs"
)

func parse(t *testing.T, to, options string) (*Spec, error) {
	t.Helper()
	sql := "UNLOAD (SELECT 1) TO '" + to + "'"
	if options != "" {
		sql += " WITH (" + options + ")"
	}
	stmt, err := syntax.Parse(sql)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(stmt.(*syntax.Unload))
}

func TestOptionsAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	s, err := parse(t, "s3://bucket/a/b/", `partitioned_by = ARRAY ['x', 'y'], FORMAT = 'parquet', compression = 'none', field_delimiter = '\t', escaped_by = '\', kms_key = 'k', encryption = 'SSE_KMS', include_header='true', max_file_size='4.5GB'`)
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{Bucket: "bucket", Prefix: "a/b", Format: Parquet, Encryption: "SSE_KMS", KMSKey: "k", PartitionedBy: []string{"x", "y"}, Delimiter: '\t', Escape: `\`, Header: true, MaxFileBytes: 9 << 29}
	if fmt.Sprint(*s) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", *s, want)
	}
	if s, err = parse(t, "s3://bucket", ""); err != nil || s.Prefix != "" || s.Format != CSV || !s.Gzip || s.MaxFileBytes != 78<<30 || s.Delimiter != ',' {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	for options, text := range map[string]string{
		"format='orc'":                          "line 1:51: Invalid value 'orc' for UNLOAD option format: it must be CSV or PARQUET",
		"format=1":                              "UNLOAD option format must be a text in quotes",
		"format='csv', format='csv'":            "UNLOAD option format is given twice",
		"colour='red'":                          "Unknown UNLOAD option: colour",
		"compression='ZSTD'":                    "it must be GZIP or NONE",
		"field_delimiter=',,'":                  "one ASCII character",
		"field_delimiter='é'":                   "one ASCII character",
		"escaped_by=''":                         "one character",
		"field_delimiter='\\', escaped_by='\\'": "must differ",
		"max_file_size='15MB'":                  "between 16MB and 78GB",
		"max_file_size='79GB'":                  "between 16MB and 78GB",
		"max_file_size='1e3MB'":                 "between 16MB and 78GB",
		"include_header='yes'":                  "it must be true or false",
		"partitioned_by='x'":                    "must be an array of column names",
		"partitioned_by=ARRAY[1]":               "must be an array of column names",
		"encryption='none'":                     "SSE_S3 or SSE_KMS",
	} {
		if _, err := parse(t, "s3://bucket/p", options); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %s", options, err, text)
		}
	}
	for _, to := range []string{"bucket/x", "s3://", "s3:///x", "s3://UPPER/x", "http://bucket/x"} {
		if _, err := parse(t, to, ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func newBuckets(t *testing.T) *objstore.Buckets {
	t.Helper()
	b, err := objstore.OpenBuckets(vfs.NewMem(), nil)
	if err == nil {
		err = b.CreateBucket("bucket", "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// feed gives batches and then err, or the end.
func feed(err error, batches ...*vec.Batch) func(context.Context) (*vec.Batch, error) {
	return func(ctx context.Context) (*vec.Batch, error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if len(batches) == 0 {
			return nil, err
		}
		b := batches[0]
		batches = batches[1:]
		return b, nil
	}
}

func run(t *testing.T, b *objstore.Buckets, options string, columns []plan.OutputColumn, batches ...*vec.Batch) (unloadfiles.Manifest, error) {
	t.Helper()
	spec, err := parse(t, "s3://bucket/out", options)
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(t.Context(), InBuckets(b), spec, "QID", columns)
	if err != nil {
		return unloadfiles.Manifest{}, err
	}
	row, err := j.Run(t.Context(), feed(nil, batches...))
	if err != nil {
		return unloadfiles.Manifest{}, err
	}
	var m unloadfiles.Manifest
	if err := json.Unmarshal(read(t, b, row.Columns[2].Str(0)), &m); err != nil {
		t.Fatal(err)
	}
	if row.Columns[0].Int(0) != m.QueryMetadata.Rows || !bytes.Contains(read(t, b, row.Columns[1].Str(0)), []byte(`"ColumnInfo"`)) {
		t.Errorf("answer %v, manifest %+v", row.Columns[0].Int(0), m)
	}
	return m, nil
}

func read(t *testing.T, b *objstore.Buckets, uri string) []byte {
	t.Helper()
	p, err := b.Read("bucket", strings.TrimPrefix(uri, "s3://bucket/"), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func column(name string, t vec.Type) plan.OutputColumn { return plan.OutputColumn{Name: name, Type: t} }

func TestCSVQuotesAndEscapes(t *testing.T) {
	t.Parallel()
	texts := []string{"plain", "a,b", `say "hi"`, `back\slash`, "two\nlines", "", "x", "é;"}
	nulls := make([]bool, len(texts))
	nulls[6] = true
	columns := []plan.OutputColumn{column("a,b", vec.VarcharType), column("n", vec.BigintType)}
	batch := &vec.Batch{Len: len(texts), Columns: []*vec.Vector{vec.OfStrs(texts, nulls), vec.Const(vec.Int(vec.BigintType, 7), len(texts))}}
	b := newBuckets(t)
	m, err := run(t, b, "compression='none', include_header='true'", columns, batch)
	if err != nil {
		t.Fatal(err)
	}
	want := "\"a,b\",n\nplain,7\n\"a,b\",7\n\"say \\\"hi\\\"\",7\n\"back\\\\slash\",7\n\"two\nlines\",7\n,7\n,7\né;,7\n"
	if got := string(read(t, b, m.ResultFiles[0].URL)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if f := m.ResultFiles[0]; !strings.HasPrefix(f.URL, "s3://bucket/out/results/QID_") || !strings.HasSuffix(f.URL, ".csv") || f.Metadata.Rows != 8 || f.Metadata.Bytes != int64(len(want)) {
		t.Errorf("%+v", f)
	}
	m, err = run(t, b, `escaped_by='"', field_delimiter=';'`, columns, batch)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(read(t, b, m.ResultFiles[0].URL)))
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(z)
	r.Comma = ';'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row[0] != texts[i] && !nulls[i] {
			t.Errorf("row %d: %q, want %q", i, row[0], texts[i])
		}
	}
}

func nested() ([]plan.OutputColumn, *vec.Batch) {
	series := vec.TimeSeriesOf(vec.DoubleType)
	array := vec.ArrayOf(vec.VarcharType)
	record := vec.RowOf(vec.Field{Name: "a", Type: vec.IntegerType}, vec.Field{Type: vec.ArrayOf(vec.BigintType)})
	ns := int64(1_700_000_000_123_456_789)
	columns := []plan.OutputColumn{column("z", series), column("a", array), column("m", record), column("t", vec.TimestampType)}
	return columns, &vec.Batch{Len: 3, Columns: []*vec.Vector{
		vec.OfNested(series, []int32{0, 2, 2, 2}, []bool{false, false, true}, vec.OfInts(vec.TimestampType, []int64{ns, -1}, nil), vec.OfFloats([]float64{1.5, 0}, []bool{false, true})),
		vec.OfNested(array, []int32{0, 0, 1, 3}, nil, vec.OfStrs([]string{`q"`, "", "x"}, []bool{false, true, false})),
		vec.OfRows(record, 3, []bool{false, false, true}, vec.OfInts(vec.IntegerType, []int64{1, 2, 0}, []bool{false, true, false}),
			vec.OfNested(vec.ArrayOf(vec.BigintType), []int32{0, 2, 2, 2}, nil, vec.OfInts(vec.BigintType, []int64{7, 8}, nil))),
		vec.OfInts(vec.TimestampType, []int64{ns, 0, -1}, nil),
	}}
}

func TestNestedValuesAreJSONInCSV(t *testing.T) {
	t.Parallel()
	columns, batch := nested()
	b := newBuckets(t)
	m, err := run(t, b, `compression='none', field_delimiter='|', escaped_by='"'`, columns, batch)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(read(t, b, m.ResultFiles[0].URL)))
	r.Comma = '|'
	got, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{`[{"time":"2023-11-14 22:13:20.123456789Z","value":1.5},{"time":"1969-12-31 23:59:59.999999999Z","value":null}]`, `[]`, `{"a":1,"field1":[7,8]}`, "2023-11-14 22:13:20.123456789"},
		{`[]`, `["q\""]`, `{"a":null,"field1":[]}`, "1970-01-01 00:00:00.000000000"},
		{``, `[null,"x"]`, ``, "1969-12-31 23:59:59.999999999"},
	}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("got  %q\nwant %q", got[i], want[i])
		}
	}
}

func TestParquetKeepsColumnsNestingAndNanoseconds(t *testing.T) {
	t.Parallel()
	columns, batch := nested()
	b := newBuckets(t)
	m, err := run(t, b, "format='parquet'", columns, batch, batch)
	if err != nil {
		t.Fatal(err)
	}
	content := read(t, b, m.ResultFiles[0].URL)
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range f.Root().Columns() {
		names = append(names, c.Name())
	}
	if !slices.Equal(names, []string{"z", "a", "m", "t"}) || f.NumRows() != 6 {
		t.Fatalf("columns %v, %d rows", names, f.NumRows())
	}
	rows := make([]parquet.Row, 3)
	if n, err := f.RowGroups()[0].Rows().ReadRows(rows); n != 3 {
		t.Fatal(n, err)
	}
	last := rows[0][len(rows[0])-1].Int96()
	if nanos, day := uint64(last[0])|uint64(last[1])<<32, last[2]; day != 2_460_263 || nanos != 80_000_123_456_789 {
		t.Errorf("day %d, %d ns", day, nanos)
	}
	if got := fmt.Sprintf("%+v", rows[2]); !strings.Contains(got, "x") {
		t.Errorf("third row %s", got)
	}
}

func TestPartitionsArePathsWithoutTheirColumns(t *testing.T) {
	t.Parallel()
	columns := []plan.OutputColumn{column("n", vec.BigintType), column("p", vec.VarcharType)}
	batch := &vec.Batch{Len: 4, Columns: []*vec.Vector{
		vec.OfInts(vec.BigintType, []int64{1, 2, 3, 4}, nil), vec.OfStrs([]string{"a/b", "c", "a/b", ""}, []bool{false, false, false, true}),
	}}
	b := newBuckets(t)
	m, err := run(t, b, "partitioned_by=ARRAY['p'], compression='none'", columns, batch, batch)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"p=a%2Fb": "1\n3\n1\n3\n", "p=c": "2\n2\n", "p=__HIVE_DEFAULT_PARTITION__": "4\n4\n"}
	for _, f := range m.ResultFiles {
		part := strings.Split(f.URL, "/")[5]
		if got := string(read(t, b, f.URL)); got != want[part] {
			t.Errorf("%s: %q", f.URL, got)
		}
		delete(want, part)
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	n, p := column("n", vec.BigintType), column("p", vec.VarcharType)
	strs := func(s ...string) *vec.Batch {
		return &vec.Batch{Len: len(s), Columns: []*vec.Vector{vec.Const(vec.Int(vec.BigintType, 1), len(s)), vec.OfStrs(s, nil)}}
	}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprint(i))
	}
	for _, c := range []struct {
		options string
		columns []plan.OutputColumn
		batch   *vec.Batch
		kind    fault.Kind
		text    string
	}{
		{"", []plan.OutputColumn{column("x", vec.ArrayOf(vec.TimeType))}, nil, fault.Invalid, "does not support the data type time of column 'x'"},
		{"", []plan.OutputColumn{column("x", vec.UnknownType)}, nil, fault.Invalid, "does not support the data type unknown of column 'x'"},
		{"partitioned_by=ARRAY['n']", []plan.OutputColumn{n, p}, nil, fault.Invalid, "must be the last columns"},
		{"partitioned_by=ARRAY['p']", []plan.OutputColumn{p}, nil, fault.Invalid, "at least one column"},
		{"partitioned_by=ARRAY['p']", []plan.OutputColumn{n, column("p", vec.ArrayOf(vec.BigintType))}, nil, fault.Invalid, "must be scalars"},
		{"format='parquet'", []plan.OutputColumn{n, n}, nil, fault.Invalid, "'n' is there twice"},
		{"partitioned_by=ARRAY['p']", []plan.OutputColumn{n, p}, strs("Größe"), fault.Execution, "not ASCII"},
		{"partitioned_by=ARRAY['p']", []plan.OutputColumn{n, p}, strs(many...), fault.Execution, "limit of 100 partitions"},
		{"partitioned_by=ARRAY['p']", []plan.OutputColumn{n, p}, strs(strings.Repeat("x", 1000)), fault.Execution, "The generated S3 object key: out/results/p=xxx"},
	} {
		batches := []*vec.Batch{c.batch}
		if c.batch == nil {
			batches = nil
		}
		if _, err := run(t, b, c.options, c.columns, batches...); !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s", c.options, err, c.text)
		}
	}
	for to, text := range map[string]string{
		"s3://elsewhere/x":                         "The S3 bucket elsewhere of the UNLOAD destination does not exist.",
		"s3://bucket/" + strings.Repeat("p", 1000): "UNLOAD result file key when using the S3 prefix [ppp",
	} {
		spec, err := parse(t, to, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), InBuckets(b), spec, "Q", []plan.OutputColumn{n}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%.40s: %v", to, err)
		}
	}
	l, err := b.List(t.Context(), "bucket", objstore.ListOptions{})
	if err != nil || slices.ContainsFunc(l.Objects, func(o objstore.ObjectInfo) bool { return strings.HasSuffix(o.Key, "_manifest.json") }) {
		t.Errorf("a failure left a manifest: %v %v", l.Objects, err)
	}
}

func TestOnlyAWholeResultHasAManifest(t *testing.T) {
	t.Parallel()
	columns := []plan.OutputColumn{column("n", vec.BigintType)}
	batch := &vec.Batch{Len: 3, Columns: []*vec.Vector{vec.OfInts(vec.BigintType, []int64{1, 2, 3}, nil)}}
	spec, err := parse(t, "s3://bucket/out", "")
	if err != nil {
		t.Fatal(err)
	}
	keys := func(b *objstore.Buckets) string {
		l, err := b.List(context.Background(), "bucket", objstore.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, o := range l.Objects {
			out = append(out, o.Key)
		}
		return strings.Join(out, " ")
	}
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		b, err := objstore.OpenBuckets(mem, nil)
		if err == nil {
			err = b.CreateBucket("bucket", "")
		}
		if err != nil {
			t.Fatal(err)
		}
		inject, _ := vfs.FailAfter(n, errors.New("power cut"))
		done := false
		docs := documents{}
		if b, err := objstore.OpenBuckets(vfs.Inject(mem, inject), nil); err == nil {
			if j, err := New(t.Context(), InBuckets(b), spec, "Q", columns); err == nil {
				j.Journal = journal(t, docs, b)
				_, err = j.Run(t.Context(), feed(nil, batch))
				done = err == nil
			}
		}
		if n%2 == 0 && !done { // the power goes before the end is noted
			docs["Q"] = []byte(`{"Bucket":"bucket","Prefix":"out"}`)
		}
		after, err := objstore.OpenBuckets(mem.Crash(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		listed := keys(after)
		if hasManifest := strings.Contains(listed, "_manifest.json"); hasManifest && (!strings.Contains(listed, ".gz") || !strings.Contains(listed, "_metadata.json")) || done && !hasManifest {
			t.Fatalf("crash before operation %d: done %v, there is %q", n, done, listed)
		}
		_, err = after.Put(t.Context(), "bucket", "out/results/another.gz", strings.NewReader("x"), objstore.Attributes{})
		if err != nil {
			t.Fatal(err)
		}
		journal(t, docs, after).Clean(t.Context())
		whole := strings.Contains(listed, "_manifest.json")
		if cleaned := keys(after); len(docs) != 0 || !whole && cleaned != "out/results/another.gz" || whole && strings.Count(cleaned, " ") != 3 {
			t.Fatalf("crash before operation %d: whole %v, after the next start %q, journal %v", n, whole, cleaned, docs)
		}
		if done {
			break
		}
	}
	b := newBuckets(t)
	j, err := New(t.Context(), InBuckets(b), spec, "Q", columns)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke")
	if _, err := j.Run(t.Context(), feed(broken, batch)); !errors.Is(err, broken) || keys(b) != "" {
		t.Errorf("%v, left %q", err, keys(b))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	j, _ = New(t.Context(), InBuckets(b), spec, "Q", columns)
	stopped := fault.New(fault.Cancelled, "stopped")
	_, err = j.Run(ctx, func(context.Context) (*vec.Batch, error) { cancel(stopped); return batch, nil })
	if !errors.Is(err, stopped) || keys(b) != "" {
		t.Errorf("cancelled: %v, left %q", err, keys(b))
	}
}

type documents map[string][]byte

func (d documents) Each(f func(key string, doc []byte) error) error {
	for k, v := range d {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (d documents) Apply(changes map[string][]byte) error {
	for k, v := range changes {
		if d[k] = v; v == nil {
			delete(d, k)
		}
	}
	return nil
}

func journal(t *testing.T, docs documents, b *objstore.Buckets) *Journal {
	t.Helper()
	j, err := OpenJournal(docs, InBuckets(b), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestFilesAreCutAtTheirSize(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	columns := []plan.OutputColumn{column("s", vec.VarcharType)}
	text := strings.Repeat("x", 1<<16)
	batch := &vec.Batch{Len: 64, Columns: []*vec.Vector{vec.Const(vec.Str(text), 64)}} // 4 MiB
	m, err := run(t, b, "compression='none', max_file_size='16MB'", columns, batch, batch, batch, batch, batch, batch)
	if err != nil || len(m.ResultFiles) != 2 || m.ResultFiles[0].Metadata.Rows != 256 {
		t.Fatalf("%+v, %v", m, err)
	}
}

func BenchmarkUnload(b *testing.B) {
	const rows = 4096
	strs, ints, floats := make([]string, rows), make([]int64, rows), make([]float64, rows)
	for i := range rows {
		strs[i], ints[i], floats[i] = fmt.Sprintf("device-%d", i%100), 1_700_000_000_000_000_000+int64(i)*1e9, float64(i)/8
	}
	columns := []plan.OutputColumn{column("device", vec.VarcharType), column("time", vec.TimestampType), column("v", vec.DoubleType)}
	batch := &vec.Batch{Len: rows, Columns: []*vec.Vector{vec.OfStrs(strs, nil), vec.OfInts(vec.TimestampType, ints, nil), vec.OfFloats(floats, nil)}}
	for _, format := range []Format{CSV, Parquet} {
		b.Run(string(format), func(b *testing.B) {
			fsys, err := vfs.Real(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			buckets, err := objstore.OpenBuckets(fsys, nil)
			if err == nil {
				err = buckets.CreateBucket("bucket", "")
			}
			if err != nil {
				b.Fatal(err)
			}
			spec := &Spec{Bucket: "bucket", Format: format, Gzip: true, Delimiter: ',', Escape: `\`, MaxFileBytes: maxFileBytes}
			j, err := New(b.Context(), InBuckets(buckets), spec, "Q", columns)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := j.Run(b.Context(), func(context.Context) (*vec.Batch, error) {
				if n++; n > b.N {
					return nil, nil
				}
				return batch, nil
			}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
