package importer_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"

	"github.com/weir-db/weir/internal/importer"
	"github.com/weir-db/weir/weirtest"
)

// source runs a server with 600 rows of three measures in db.t.
func source(t *testing.T) *weirtest.Server {
	t.Helper()
	s := weirtest.Start(t, weirtest.At(noon))
	s.CreateTable("db", "t", 24*time.Hour, 3650*24*time.Hour)
	for i := range 200 {
		at := noon.Add(-time.Duration(i) * 5 * time.Minute).Add(time.Duration(i))
		var records []weirtest.Record
		for _, name := range []string{"it's", "mem"} {
			records = append(records, weirtest.Record{Time: at, Measure: name, Dimensions: map[string]string{"device": fmt.Sprint("d", i%3), "site": "north"},
				Values: map[string]any{"v": float64(i) / 3, "n": int64(1)<<62 + int64(i), "note": "x, \"y\"\n\\", "ok": i%2 == 0, "at": noon.Add(time.Duration(i))}})
		}
		err := s.WriteRecords("db", "t", records...)
		if err == nil {
			err = s.Call("WriteRecords", map[string]any{"DatabaseName": "db", "TableName": "t", "Records": []map[string]any{{
				"Time": fmt.Sprint(noon.UnixMilli() - int64(i)*300_000), "MeasureName": "temp", "MeasureValue": "21.5", "Dimensions": []map[string]string{{"Name": "device", "Value": "single"}},
			}}}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// remote is db.t at an endpoint; every request is tried so often. One attempt is too few even without faults: the SDK may close a
// request that was answered while its end is being written, and with it the connection.
func remote(endpoint string, attempts int) *importer.Remote {
	return &importer.Remote{Endpoint: endpoint, Database: "db", Table: "t", Query: timestreamquery.New(timestreamquery.Options{
		BaseEndpoint: aws.String(endpoint), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "keys", ""),
		EndpointDiscovery: timestreamquery.EndpointDiscoveryOptions{EnableEndpointDiscovery: aws.EndpointDiscoveryEnabled},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, time.Millisecond, ratelimit.None
		}),
	})}
}

func sameTable(t *testing.T, from, to *weirtest.Server) {
	t.Helper()
	const sql = `SELECT device, site, measure_name, time, v, n, note, ok, at, measure_value::double FROM db.t ORDER BY measure_name, device, time`
	same(t, to.Query(sql), from.Query(sql))
}

func TestACopyOfAnotherEndpointIsTheSameTable(t *testing.T) {
	t.Parallel()
	from := source(t)
	to, client := start(t)
	o := options(client)
	o.Remote, o.State = remote(from.URL, 5), filepath.Join(t.TempDir(), "state")
	o.Remote.SetWindowRows(50)
	r := counts(t, o, 600, 0)
	if r.Files < 20 || len(r.Wrong) != 0 {
		t.Errorf("got %+v", r)
	}
	sameTable(t, from, to)

	// A part of it, into another table.
	to.CreateTable("db", "part", 24*time.Hour, 3650*24*time.Hour)
	o.Table = "part"
	o.Remote.From, o.Remote.Until = noon.Add(-time.Hour), noon.Add(-30*time.Minute)
	counts(t, o, 18, 0)
	o.Writer = nil // a dry run
	counts(t, o, 18, 0)
}

// TestACopySurvivesFaultsAndGoesOnAfterThem breaks one request in five on both sides, in all ways, and now and then so
// many that the copy gives up.
func TestACopySurvivesFaultsAndGoesOnAfterThem(t *testing.T) {
	t.Parallel()
	from := source(t)
	to, _ := start(t)
	var calls atomic.Int64
	trouble := func(target string) *httptest.Server {
		at, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(at)
		rng := rand.New(rand.NewPCG(1, 2))
		var random = func() int { return rng.IntN(10) }
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := calls.Add(1)
			kind := random()
			if n%60 > 50 { // nothing gets through
				kind = 0
			}
			switch kind {
			case 0: // lost on the way there
				panic(http.ErrAbortHandler)
			case 1: // lost on the way back
				proxy.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			case 2:
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				w.WriteHeader(http.StatusTooManyRequests)
				fmt.Fprint(w, `{"__type":"com.amazonaws.timestream.v20181101#ThrottlingException","Message":"slow down"}`)
			case 3:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				proxy.ServeHTTP(w, r)
			}
		}))
		s.Config.ErrorLog = nil
		s.Config.SetKeepAlivesEnabled(false)
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	in, out := trouble(from.URL), trouble(to.URL)
	o := options(writer(out.URL, 4))
	o.Connections = 1 // the source of randomness is not for two
	o.State = filepath.Join(t.TempDir(), "state")
	var r importer.Result
	err, runs := error(nil), 0
	for ; runs < 100; runs++ {
		o.Remote = remote(in.URL, 4)
		o.Remote.SetWindowRows(30)
		if r, err = importer.Run(t.Context(), o); err == nil {
			break
		}
	}
	if err != nil || runs == 0 || r.Rows != 600 || r.Ingested != 600 || len(r.Wrong) != 0 {
		t.Fatalf("after %d runs: %+v, %v", runs+1, r, err)
	}
	sameTable(t, from, to)
}

func TestACopyToldTheRateTakesItsTime(t *testing.T) {
	t.Parallel()
	from := source(t)
	_, client := start(t)
	o := options(client)
	o.Remote, o.State = remote(from.URL, 5), filepath.Join(t.TempDir(), "state")
	o.Remote.RowsPerSecond = 1000
	o.Remote.SetPageRows(50)
	began := time.Now()
	counts(t, o, 600, 0)
	// Each measure's last page is asked for after 150 rows.
	if took := time.Since(began); took < 3*150*time.Millisecond {
		t.Errorf("600 rows took %v", took)
	}
}

func TestRowsThatComeWhileACopyGoesOnAreNotAnError(t *testing.T) {
	t.Parallel()
	from := source(t)
	_, client := start(t)
	o := options(client)
	o.Remote, o.State = remote(from.URL, 5), filepath.Join(t.TempDir(), "state")
	var told []string
	o.Notice = func(text string) {
		if told = append(told, text); strings.Contains(text, "windows") {
			if err := from.WriteRecords("db", "t", weirtest.Record{Time: noon.Add(-time.Second), Measure: "mem", Dimensions: map[string]string{"device": "new"}, Values: map[string]any{"v": 1.5}}); err != nil {
				t.Error(err)
			}
		}
	}
	r := counts(t, o, 601, 0)
	if len(r.Wrong) != 0 || !strings.Contains(strings.Join(told, "\n"), "are copied") {
		t.Errorf("%+v\n%q", r, told)
	}
}
