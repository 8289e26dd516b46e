package importer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/weir-db/weir/internal/importer"
	"github.com/weir-db/weir/weirtest"
)

var noon = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

func start(t *testing.T) (*weirtest.Server, *timestreamwrite.Client) {
	t.Helper()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("db", "t", 24*time.Hour, 3650*24*time.Hour)
	return s, writer(s.URL, 3)
}

func writer(endpoint string, attempts int) *timestreamwrite.Client {
	return timestreamwrite.New(timestreamwrite.Options{
		BaseEndpoint: aws.String(endpoint), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "keys", ""),
		EndpointDiscovery: timestreamwrite.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, time.Millisecond, ratelimit.None
		}),
	})
}

func write(t *testing.T, text string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func options(w importer.Writer, paths ...string) importer.Options {
	return importer.Options{Paths: paths, Database: "db", Table: "t", Writer: w, ShowRejected: 20}
}

// counts runs an import that must not fail and checks its counts.
func counts(t *testing.T, o importer.Options, ingested, rejected int64) importer.Result {
	t.Helper()
	r, err := importer.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != ingested+rejected || r.Ingested != ingested || r.Rejected != rejected {
		t.Fatalf("got %+v, want %d ingested and %d rejected", r, ingested, rejected)
	}
	return r
}

func same(t *testing.T, got, want [][]string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

const unloadMetadata = `{"ColumnInfo":[{"Name":"device","Type":{"ScalarType":"VARCHAR"}},{"Name":"measure_name","Type":{"ScalarType":"VARCHAR"}},
 {"Name":"time","Type":{"ScalarType":"TIMESTAMP"}},{"Name":"measure_value::double","Type":{"ScalarType":"DOUBLE"}},{"Name":"note","Type":{"ScalarType":"VARCHAR"}},
 {"Name":"n","Type":{"ScalarType":"BIGINT"}},{"Name":"ok","Type":{"ScalarType":"BOOLEAN"}},{"Name":"seen","Type":{"ScalarType":"TIMESTAMP"}},
 {"Name":"site","Type":{"ScalarType":"VARCHAR"}}],"Author":{"Name":"Amazon Timestream","MetadataFileVersion":"1.0"}}`

// writeUnload lays out files as UNLOAD does: key below the destination to text and rows.
func writeUnload(t *testing.T, format, meta string, files map[string]string, rows map[string]int) string {
	t.Helper()
	dir, list, total := t.TempDir(), []string{}, 0
	for key, text := range files {
		write(t, text, dir, key)
		list = append(list, fmt.Sprintf(`{"url":"s3://bucket/some/prefix/%s","file_metadata":{"content_length_in_bytes":%d,"row_count":%d}}`, key, len(text), rows[key]))
		total += rows[key]
	}
	write(t, meta, dir, "Q1_U1_metadata.json")
	write(t, fmt.Sprintf(`{"result_files":[%s],"query_metadata":{"content_length_in_bytes":1,"total_row_count":%d,"result_format":%q,"result_version":"Amazon Timestream version 1.0.0"},
 "author":{"name":"Amazon Timestream","manifest_file_version":"1.0"}}`, strings.Join(list, ","), total, format), dir, "Q1_U1_manifest.json")
	return dir
}

func TestUnloadedCSVComesBackAsItWas(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	a, b := "results/site=north%2Fwest/Q1_a.gz", "results/site=south/Q1_b.gz"
	dir := writeUnload(t, "CSV", unloadMetadata, map[string]string{
		a: zipped(t, "d1,multi,2031-02-03 10:00:00.000000001,,\"say \\\"hi\\\", \\\\ twice\nover\",-9007199254740993,true,1999-01-01 00:00:00.000000009\n"+
			"d1,temp,2031-02-03 10:00:00.000000002,2.5E-4,,,,\n"),
		b: zipped(t, "device,measure_name,time,measure_value::double,note,n,ok,seen\n,multi,2031-02-03 11:00:00.123456789,,plain,,false,\n"),
	}, map[string]int{a: 2, b: 1})
	write(t, "what a query that failed left", dir, "results", "site=south", "Q0_x.gz")
	r := counts(t, options(client, dir), 3, 0)
	if r.Files != 2 || len(r.Wrong) != 0 {
		t.Errorf("got %+v", r)
	}
	same(t, s.Query(`SELECT device, site, measure_name, time, measure_value::double, note, n, ok, seen FROM db.t ORDER BY time`), [][]string{
		{"d1", "north/west", "multi", "2031-02-03 10:00:00.000000001", "NULL", "say \"hi\", \\ twice\nover", "-9007199254740993", "true", "1999-01-01 00:00:00.000000009"},
		{"d1", "north/west", "temp", "2031-02-03 10:00:00.000000002", "2.5E-4", "NULL", "NULL", "NULL", "NULL"},
		{"NULL", "south", "multi", "2031-02-03 11:00:00.123456789", "NULL", "plain", "NULL", "false", "NULL"},
	})
	described := s.Query(`DESCRIBE db.t`) // in the order of first appearance, which connections race for
	slices.SortFunc(described, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	same(t, described, [][]string{
		{"device", "varchar", "DIMENSION"}, {"measure_name", "varchar", "MEASURE_NAME"}, {"measure_value::double", "double", "MEASURE_VALUE"},
		{"n", "bigint", "MULTI"}, {"note", "varchar", "MULTI"}, {"ok", "boolean", "MULTI"}, {"seen", "timestamp", "MULTI"},
		{"site", "varchar", "DIMENSION"}, {"time", "timestamp", "TIMESTAMP"},
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "*weir-import*")); left != nil {
		t.Errorf("an import that is done leaves %v", left)
	}
}

func TestManifestsThatDoNotHoldAreErrors(t *testing.T) {
	t.Parallel()
	files := map[string]string{"results/a.csv": "d1,m,2031-02-03 10:00:00.000000001,1.0,,,,,s\n"}
	run := func(dir string) (importer.Result, error) { return importer.Run(t.Context(), options(nil, dir)) }

	r, err := run(writeUnload(t, "CSV", unloadMetadata, files, map[string]int{"results/a.csv": 2}))
	if err != nil || len(r.Wrong) != 1 || !strings.Contains(r.Wrong[0], "has 1 rows, the manifest says 2") {
		t.Errorf("too few rows: got %+v, %v", r, err)
	}
	dir := writeUnload(t, "CSV", unloadMetadata, files, map[string]int{"results/a.csv": 1})
	write(t, "shorter", dir, "results/a.csv")
	if _, err = run(dir); err == nil || !strings.Contains(err.Error(), "copy it again") {
		t.Errorf("wrong size: got %v", err)
	}
	if err = os.Remove(filepath.Join(dir, "results/a.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err = run(dir); err == nil || !strings.Contains(err.Error(), "copy the whole folder") {
		t.Errorf("missing file: got %v", err)
	}
	if err = os.Remove(filepath.Join(dir, "Q1_U1_metadata.json")); err != nil {
		t.Fatal(err)
	}
	if _, err = run(dir); err == nil || !strings.Contains(err.Error(), "copy it too") {
		t.Errorf("missing metadata: got %v", err)
	}
}

type parquetRow struct {
	Device string           `parquet:"device,optional"`
	Time   deprecated.Int96 `parquet:"time"`
	Milli  int64            `parquet:"milli,timestamp(millisecond)"`
	Nano   *int64           `parquet:"nano,optional,timestamp(nanosecond)"`
	Day    int32            `parquet:"day,date"`
	F32    float32          `parquet:"f32"`
	F64    *float64         `parquet:"f64,optional"`
	Price  int64            `parquet:"price,decimal(2:18)"`
	Big    uint64           `parquet:"big"`
	OK     bool             `parquet:"ok"`
	List   []int32          `parquet:"list,list"`
	Last   int32            `parquet:"last"`
}

// int96 is a time as Impala and Spark write it.
func int96(at time.Time) deprecated.Int96 {
	ns := at.UnixNano()
	of := ns % 86_400_000_000_000
	return deprecated.Int96{uint32(of), uint32(of >> 32), uint32(ns/86_400_000_000_000 + 2_440_588)}
}

func writeParquet(t *testing.T, rows []parquetRow) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rows.parquet")
	if err := parquet.WriteFile(name, rows); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestParquetKeepsTypesAndNanoseconds(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	at, f := noon.Add(-time.Hour+7), 1e300
	nano := at.Add(1).UnixNano()
	name := writeParquet(t, []parquetRow{
		{Device: "d1", Time: int96(at), Milli: at.UnixMilli(), Nano: &nano, Day: int32(at.Unix() / 86400), F32: 0.1, F64: &f, Price: -5, Big: 1 << 62, OK: true, List: []int32{1, 2, 3}, Last: 9},
		{Device: "d2", Time: int96(at), Milli: 1, Big: 1 << 63, Last: 10},
		{Device: "d3", Time: int96(at.Add(1)), Milli: 1, Last: 11},
	})
	o := options(client, name)
	if _, err := importer.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--skip list") {
		t.Fatalf("a list: got %v", err)
	}
	o.Columns.Skip = []string{"list"}
	r := counts(t, o, 2, 1)
	if x := r.Rejects[0]; x.Line != 2 || !strings.Contains(x.Reason, "column big: 9223372036854775808 does not fit a bigint") {
		t.Errorf("got %+v", x)
	}
	same(t, s.Query(`SELECT device, measure_name, time, milli, nano, day, f32, f64, price, big, ok, last FROM db.t ORDER BY device`), [][]string{
		{"d1", "metrics", "2031-02-03 11:00:00.000000007", "2031-02-03 11:00:00.000000000", "2031-02-03 11:00:00.000000008", "2031-02-03 00:00:00.000000000", "0.1", "1.0E300", "-0.05", "4611686018427387904", "true", "9"},
		{"d3", "metrics", "2031-02-03 11:00:00.000000008", "1970-01-01 00:00:00.001000000", "NULL", "1970-01-01 00:00:00.000000000", "0.0", "NULL", "0.0", "0", "false", "11"},
	})
}

func TestPlainCSVIsUnderstoodByItsNamesAndValues(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	name := write(t, "\xef\xbb\xbfts,device,serial,temp,count,ok,empty\r\n"+
		"1927879200000,d1,007,21.5,3,true,\r\n\r\n1927879200000,d2,008,-4,5000000000,FALSE,x\r\n"+
		"1927879201000,d1,007,,,,\r\nsoon,d1,007,1,1,true,\r\n1927879202000,d1,007,1,1.5,true,\r\n1927879203000,d1,007\r\n", t.TempDir(), "r.csv")
	o := options(client, name)
	o.Columns.Types = nil
	if err := o.Columns.ParseType("count", "bigint"); err != nil {
		t.Fatal(err)
	}
	if _, err := importer.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "column ts, the time, holds varchar") {
		t.Fatalf("a time column with words: got %v", err)
	}
	o.Columns.Unit = "ms"
	if err := o.Columns.ParseType("ts", "bigint"); err != nil {
		t.Fatal(err)
	}
	r := counts(t, o, 2, 4)
	var got []string
	for _, x := range r.Rejects {
		got = append(got, fmt.Sprintf("%d %s", x.Line, x.Reason))
	}
	want := []string{"5 has no value in any colum", `6 column ts: "soon" is no`, `7 column count: "1.5" is`, "8 has 3 fields, want 7"}
	for i, w := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], w) {
			t.Errorf("reject %d: got %q, want %q", i, got, w)
		}
	}
	same(t, s.Query(`SELECT device, serial, empty, time, temp, count, ok FROM db.t ORDER BY device`), [][]string{
		{"d1", "007", "NULL", "2031-02-03 10:00:00.000000000", "21.5", "3", "true"},
		{"d2", "008", "x", "2031-02-03 10:00:00.000000000", "-4.0", "5000000000", "false"},
	})
}

func TestLineProtocolBecomesRecords(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	name := write(t, "# a comment, with \"a quote\n\n"+
		`we\ ather,lo\,c=a\=b,x=y temp=21.5,n=-3i,u=7u,ok=t,say="two`+"\n"+`lines, \"and\" = a \\" 1927879200000000001`+"\n"+
		"m,host=h v=1e-3 1927879200000000002\r\nm,host=h v=abc 1927879200000000003\nm v=1 1927879200000000003\nm,host=h v=1\n", t.TempDir(), "r.lp")
	r := counts(t, options(client, name), 2, 3)
	for i, want := range []string{"6: field", "7: has no tag", "8: has no timestamp"} {
		if got := fmt.Sprintf("%d: %s", r.Rejects[i].Line, r.Rejects[i].Reason); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	same(t, s.Query(`SELECT measure_name, "lo,c", x, host, time, temp, n, u, ok, say, v FROM db.t ORDER BY time`), [][]string{
		{"we ather", "a=b", "y", "NULL", "2031-02-03 10:00:00.000000001", "21.5", "-3", "7", "true", "two\nlines, \"and\" = a \\", "NULL"},
		{"m", "NULL", "NULL", "h", "2031-02-03 10:00:00.000000002", "NULL", "NULL", "NULL", "NULL", "NULL", "0.001"},
	})
}

func TestColumnsThatCannotBePlacedSayWhatToDo(t *testing.T) {
	t.Parallel()
	check := func(csv string, change func(*importer.Columns), want string) {
		t.Helper()
		o := options(nil, write(t, csv, t.TempDir(), "r.csv"))
		if change != nil {
			change(&o.Columns)
		}
		if _, err := importer.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", csv, err, want)
		}
	}
	check("", nil, "the file is empty")
	check("a,b\n1,x\n", nil, "name one with --time")
	check("a,b,d\n2031-01-01,2031-01-01,x\n", nil, "choose with --time")
	check("time,v\n2031-01-01,1\n", nil, "name some with --dimensions")
	check("time,d\n2031-01-01,x\n", nil, "name some with --measures")
	check("time,d,v,w\n2031-01-01,x,1,\n", nil, "--types w=double")
	check("time,d,v\n17,x,1\n", nil, "--time-unit")
	check("time,d,d\n2031-01-01,x,1\n", nil, `two columns are named "d"`)
	check("time,d,v\n2031-01-01,x,1\n", func(c *importer.Columns) { c.Skip = []string{"w"} }, `--skip names the column "w"`)
	check("time,d,v\n2031-01-01,\"x,1\n", nil, "line 2: a quote is not closed")
}

func TestARequestThatIsRefusedCostsOnlyTheRecordAtFault(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	var b strings.Builder
	b.WriteString("time,device,v,note\n")
	for i := range 250 {
		note := "x"
		if i == 120 {
			note = strings.Repeat("long", 1000)
		}
		fmt.Fprintf(&b, "2031-02-03 10:00:00.%03d,d%d,%d,%s\n", i, i%3, i, note)
	}
	b.WriteString("1999-01-01,d1,1,x\n2031-02-03 10:00:00.000,d0,7,x\n")
	o := options(client, write(t, b.String(), t.TempDir(), "r.csv"))
	o.Columns.Dimensions = []string{"device"}
	r := counts(t, o, 249, 3)
	lines := map[int64]string{}
	for _, x := range r.Rejects {
		lines[x.Line] = x.Reason
	}
	if lines[122] == "" || !strings.Contains(lines[252], "time") || !strings.Contains(lines[253], "version") {
		t.Errorf("got %v", lines)
	}
	same(t, s.Query(`SELECT count(*), sum(v) FROM db.t`), [][]string{{"249", strconv.Itoa(249*250/2 - 120)}})
}

// killed writes through a client until so many requests were acknowledged, and then keeps what
// the state file says, as a kill at that moment would.
type killed struct {
	importer.Writer
	left  atomic.Int64
	state string
	kept  []byte
}

func (k *killed) WriteRecords(ctx context.Context, in *timestreamwrite.WriteRecordsInput, o ...func(*timestreamwrite.Options)) (*timestreamwrite.WriteRecordsOutput, error) {
	switch n := k.left.Add(-1); {
	case n == 0:
		k.kept, _ = os.ReadFile(k.state)
		fallthrough
	case n < 0:
		return nil, errors.New("killed")
	}
	return k.Writer.WriteRecords(ctx, in, o...)
}

func TestAnImportThatWasKilledGoesOnAndStoresEachRowOnce(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "parquet", "lp"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s, client := start(t)
			const rows = 6000
			dir := t.TempDir()
			var name string
			switch format {
			case "parquet":
				var list []parquetRow
				for i := range rows {
					list = append(list, parquetRow{Device: "d" + strconv.Itoa(i%7), Time: int96(noon.Add(time.Duration(i - rows))), Last: int32(i)})
				}
				name = writeParquet(t, list)
			default:
				var b strings.Builder
				if format == "csv" {
					b.WriteString("time,device,last\n")
				}
				for i := range rows {
					at := noon.Add(time.Duration(i - rows)).UnixNano()
					if format == "csv" {
						fmt.Fprintf(&b, "%d,d%d,%d\n", at, i%7, i)
					} else {
						fmt.Fprintf(&b, "m,device=d%d last=%di %d\n", i%7, i, at)
					}
				}
				name = write(t, b.String(), dir, "r."+format)
			}
			k := &killed{Writer: client, state: filepath.Join(dir, "state.json")}
			k.left.Store(45)
			o := options(k, name)
			o.State = k.state
			if format == "parquet" {
				o.Columns.Skip = []string{"list"}
			}
			importer.SaveEvery(&o, 500)
			if _, err := importer.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("got %v", err)
			}
			if err := os.WriteFile(k.state, k.kept, 0o644); err != nil {
				t.Fatal(err)
			}
			other := o
			other.Columns.Name = "another"
			if _, err := importer.Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "--restart") {
				t.Errorf("other flags: got %v", err)
			}
			o.Writer = client
			r := counts(t, o, rows, 0)
			if r.Earlier == 0 || r.Earlier >= 4400 {
				t.Errorf("went on after %d rows", r.Earlier)
			}
			same(t, s.Query(`SELECT count(*), count(DISTINCT last), sum(last) FROM db.t`), [][]string{{strconv.Itoa(rows), strconv.Itoa(rows), strconv.Itoa(rows * (rows - 1) / 2)}})
			if _, err := os.Stat(k.state); !os.IsNotExist(err) {
				t.Errorf("the state stays after the end: %v", err)
			}
		})
	}
}

func TestTheFirstRowOfASeriesAndTimeWins(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	var b strings.Builder
	b.WriteString("time,device,v\n")
	for round := range 3 {
		for i := range 400 {
			fmt.Fprintf(&b, "2031-02-03 10:00:00,d%d,%d\n", i, round)
		}
	}
	counts(t, options(client, write(t, b.String(), t.TempDir(), "r.csv")), 400, 800)
	same(t, s.Query(`SELECT count(*), max(v) FROM db.t`), [][]string{{"400", "0"}})
}

func TestADryRunWritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, "time,v\n2031-02-03,1\n", dir, "device=d1", "a.csv")
	write(t, "time,v\n2031-02-04,x\n2031-02-04,2\n", dir, "device=d2", "b.csv.gz")
	o := options(nil, dir)
	var notices []string
	o.Notice = func(text string) { notices = append(notices, text) }
	if err := o.Columns.ParseType("v", "double"); err != nil {
		t.Fatal(err)
	}
	counts(t, o, 2, 1)
	if len(notices) != 1 || notices[0] != "2 file(s): time: time; measure name: always metrics; dimensions: device; measures: v double" {
		t.Errorf("got %q", notices)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.json*")); left != nil {
		t.Errorf("a dry run leaves %v", left)
	}
}

var _ importer.Writer = (*timestreamwrite.Client)(nil)
