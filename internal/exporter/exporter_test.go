package exporter_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"

	"github.com/weir-db/weir/internal/exporter"
	"github.com/weir-db/weir/internal/importer"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/objstore/s3client"
	"github.com/weir-db/weir/weirtest"
)

var noon = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

var keys = credentials.NewStaticCredentialsProvider("any", "keys", "")

// start runs a server with a table of all types, both kinds of records, and missing values.
func start(t *testing.T) *weirtest.Server {
	t.Helper()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("db", "t", 240*time.Hour, 3650*24*time.Hour)
	for i := range 40 {
		values := map[string]any{"v": float64(i) / 3, "n": int64(1)<<62 + int64(i), "note": "é, \"y\"\n\\", "ok": i%2 == 0, "at": noon.Add(time.Duration(i))}
		delete(values, []string{"v", "n", "note", "ok", "at"}[i%5])
		err := s.WriteRecords("db", "t", weirtest.Record{
			Time: noon.Add(time.Duration(-i) * 5 * time.Hour).Add(time.Duration(i)), Measure: "multi", Dimensions: map[string]string{"device": fmt.Sprint("d", i%3), "site": `a "b", \c=%/`}, Values: values,
		})
		single := []map[string]any{}
		for k, typ := range []string{"DOUBLE", "BIGINT", "VARCHAR", "BOOLEAN"} {
			single = append(single, map[string]any{
				"Time": fmt.Sprint(noon.UnixMilli() - int64(i)), "MeasureName": strings.ToLower(typ), "MeasureValue": []string{"1.5E-300", "-9007199254740993", "text", "true"}[k], "MeasureValueType": typ,
				"Dimensions": []map[string]string{{"Name": "device", "Value": "single"}},
			})
		}
		if err == nil {
			err = s.Call("WriteRecords", map[string]any{"DatabaseName": "db", "TableName": "t", "Records": single}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func options(t *testing.T, endpoint, to string) exporter.Options {
	t.Helper()
	objects, err := s3client.New(t.Context(), s3client.Options{Endpoint: endpoint, Region: "us-east-1", Credentials: keys, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	return exporter.Options{
		Endpoint: endpoint, Database: "db", Table: "t", To: to, Objects: objects,
		Query: timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(endpoint), Region: "us-east-1", Credentials: keys, RetryMaxAttempts: 3,
			EndpointDiscovery: timestreamquery.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled}}),
		Write: timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(endpoint), Region: "us-east-1", Credentials: keys,
			EndpointDiscovery: timestreamwrite.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryDisabled}}),
	}
}

const columns = `device, site, measure_name, time, v, n, note, ok, at, measure_value::double, measure_value::bigint, measure_value::varchar, measure_value::boolean`

// comesBack imports what is at from into a new table and compares it with the exported one.
func comesBack(t *testing.T, s *weirtest.Server, o exporter.Options, table string) {
	t.Helper()
	s.CreateTable("db", table, 240*time.Hour, 3650*24*time.Hour)
	want := s.Query(`SELECT ` + columns + ` FROM db.t ORDER BY device, time, measure_name`)
	r, err := importer.Run(t.Context(), importer.Options{
		Paths: []string{o.To}, Objects: o.Objects, Database: "db", Table: table, Writer: o.Write, ShowRejected: 5, State: filepath.Join(t.TempDir(), "state"),
	})
	if err != nil || r.Ingested != int64(len(want)) || r.Rejected != 0 || len(r.Wrong) != 0 {
		t.Fatalf("import of %s: %+v, %v", o.To, r, err)
	}
	if got := s.Query(`SELECT ` + columns + ` FROM db.` + table + ` ORDER BY device, time, measure_name`); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %d rows\n%q, want %d\n%q", o.To, len(got), got, len(want), want)
	}
	roles := func(table string) map[string]string {
		out := map[string]string{}
		for _, row := range s.Query("DESCRIBE db." + table) {
			out[row[0]] = row[1] + " " + row[2]
		}
		return out
	}
	if got, want := roles(table), roles("t"); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: columns %v, want %v", o.To, got, want)
	}
}

func TestImportOfAnExportIsTheIdentity(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := options(t, s.URL, "").Objects.CreateBucket(t.Context(), "exports"); err != nil {
		t.Fatal(err)
	}
	for i, change := range []func(o *exporter.Options){
		func(o *exporter.Options) {},
		func(o *exporter.Options) { o.Slice = 24 * time.Hour },
		func(o *exporter.Options) { o.Format, o.Header, o.Compression = "csv", true, "none" },
		func(o *exporter.Options) {
			o.Format, o.PartitionBy, o.Slice = "csv", []string{"site", "device"}, 100*time.Hour
		},
		func(o *exporter.Options) { o.PartitionBy = []string{"ok"} }, // no dimension
		func(o *exporter.Options) { o.To, o.Slice = "s3://exports/of/t", 48*time.Hour },
	} {
		o := options(t, s.URL, filepath.Join(t.TempDir(), "to"))
		change(&o)
		r, err := exporter.Run(t.Context(), o)
		if err != nil || r.Rows != 200 || r.Expected != 200 || r.Files == 0 {
			t.Fatalf("export %d: %+v, %v", i, r, err)
		}
		comesBack(t, s, o, fmt.Sprint("t", i))
		if _, err := exporter.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "complete export") {
			t.Errorf("a second export to the same place: %v", err)
		}
		if table, err := exporter.TableOf(t.Context(), o.Objects, o.To); err != nil || table == nil || table.MemoryRetentionHours != 240 || table.MagneticDays != 3650 {
			t.Errorf("settings %+v, %v", table, err)
		}
	}
	left, err := buckets(s)
	if err != nil || left != 1 {
		t.Errorf("%d buckets are left, %v; want the one of s3://exports", left, err)
	}
}

// flaky passes requests on to a server until a number of them is reached, then breaks them all.
type flaky struct {
	*httptest.Server
	left atomic.Int64
}

func newFlaky(t *testing.T, url_ string) *flaky {
	t.Helper()
	at, err := url.Parse(url_)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(at)
	f := &flaky{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.left.Add(-1) < 0 {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	f.Config.ErrorLog = nil
	t.Cleanup(f.Close)
	return f
}

func TestAnExportThatIsCutAnywhereGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, toBucket := range []bool{false, true} {
		f := newFlaky(t, s.URL)
		to := filepath.Join(t.TempDir(), "to")
		if toBucket {
			to = "s3://cut/t"
			if err := options(t, s.URL, "").Objects.CreateBucket(t.Context(), "cut"); err != nil {
				t.Fatal(err)
			}
		}
		o := options(t, f.URL, to)
		o.Slice = 100 * time.Hour
		var r exporter.Result
		err := errors.New("not begun")
		cuts := 0
		for ; err != nil && cuts < 200; cuts++ {
			// One more request each time it got nowhere.
			f.left.Store(int64(3 + cuts/2))
			r, err = exporter.Run(t.Context(), o)
		}
		if err != nil || r.Rows != 200 || cuts < 3 {
			t.Fatalf("after %d runs: %+v, %v", cuts, r, err)
		}
		f.left.Store(1 << 30)
		comesBack(t, s, o, fmt.Sprint("cut", toBucket))
		if !toBucket {
			err := filepath.WalkDir(to, func(name string, d fs.DirEntry, err error) error {
				if strings.HasSuffix(name, ".part") {
					t.Errorf("%s is left", name)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		manifests := map[string]int{}
		err = o.Objects.Each(t.Context(), "cut", "t/", func(i objstore.ObjectInfo) error {
			if strings.HasSuffix(i.Key, "_manifest.json") {
				manifests[strings.Split(i.Key, "/")[1]]++
			}
			return nil
		})
		if err != nil || len(manifests) != r.Slices {
			t.Errorf("manifests %v, %v; want one for each of %d slices", manifests, err, r.Slices)
		}
	}
}

func TestAnExportOfAQueryAndOfNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	o := options(t, s.URL, filepath.Join(t.TempDir(), "to"))
	o.Database, o.Table, o.SQL = "", "", "SELECT device, count(*) AS n, max(time) AS time FROM db.t GROUP BY device"
	if r, err := exporter.Run(t.Context(), o); err != nil || r.Rows != 4 || r.Expected != -1 {
		t.Errorf("query: %+v, %v", r, err)
	}
	s.CreateTable("db", "empty", time.Hour, 24*time.Hour)
	o = options(t, s.URL, filepath.Join(t.TempDir(), "to"))
	o.Table = "empty"
	if r, err := exporter.Run(t.Context(), o); err != nil || r.Rows != 0 {
		t.Errorf("nothing: %+v, %v", r, err)
	}
	r, err := importer.Run(context.Background(), importer.Options{Paths: []string{o.To}, Database: "db", Table: "t", Writer: o.Write})
	if err != nil || r.Rows != 0 {
		t.Errorf("import of nothing: %+v, %v", r, err)
	}
}

// buckets counts the buckets of a server.
func buckets(s *weirtest.Server) (int, error) {
	list, err := filepath.Glob(filepath.Join(s.Dir, "objects", "[a-z]*"))
	return len(list), err
}
