package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite/types"

	"github.com/weir-db/weir/internal/clock"
	"github.com/weir-db/weir/internal/server"
)

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return fmt.Sprint(r.StatusCode, " ", string(b))
}

// TestOldDataLivesInABucket runs a server whose magnetic store is a bucket of a second one, behind a
// connection that is cut in the end.
func TestOldDataLivesInABucket(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := startServer(t, t.TempDir())
	target, _ := url.Parse(store.URL())
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // which is signed
	}}
	var cut atomic.Bool
	link := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cut.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer link.Close()
	bucket := s3Client(store, rootSecret)
	if _, err := bucket.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("cold")}); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clk := clock.Manual(start)
	o := server.Options{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", Clock: clk, MagneticStore: "s3://cold/plant",
		S3Endpoint: link.URL, S3Region: "us-east-1", S3Credentials: credentials.NewStaticCredentialsProvider(rootKey, rootSecret, ""),
	}
	s, err := server.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	keys := credentials.NewStaticCredentialsProvider("any", "any", "")
	w := timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.CreateDatabase(ctx, &timestreamwrite.CreateDatabaseInput{DatabaseName: aws.String("db")}))
	must(w.CreateTable(ctx, &timestreamwrite.CreateTableInput{DatabaseName: aws.String("db"), TableName: aws.String("t"),
		RetentionProperties: &types.RetentionProperties{MemoryStoreRetentionPeriodInHours: aws.Int64(1), MagneticStoreRetentionPeriodInDays: aws.Int64(100)}}))
	write := func(w *timestreamwrite.Client, device string) {
		t.Helper()
		must(w.WriteRecords(ctx, &timestreamwrite.WriteRecordsInput{DatabaseName: aws.String("db"), TableName: aws.String("t"), Records: []types.Record{{
			Dimensions: []types.Dimension{{Name: aws.String("device"), Value: aws.String(device)}}, MeasureName: aws.String("v"), MeasureValue: aws.String("1"),
			Time: aws.String(fmt.Sprint(clk.Now().UnixMilli())), TimeUnit: types.TimeUnitMilliseconds}}}))
	}
	write(w, "old")
	must(nil, s.Close(ctx))
	clk.Set(start.Add(5 * 24 * time.Hour))
	s, err = server.Start(ctx, o)
	must(nil, err)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if !strings.Contains(get(t, s.URL()+"/metrics"), "weir_magnetic_store_bytes 0\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing comes to the bucket")
		}
		clk.Advance(time.Minute) // maintenance
	}
	must(nil, s.Close(ctx))
	// A segment, and the mark of whose it is.
	if l, err := bucket.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("cold"), Prefix: aws.String("plant/")}); err != nil || len(l.Contents) != 2 {
		t.Fatalf("objects %v, %v", l, err)
	}

	// Without the bucket the server starts, takes data, and answers what is recent.
	cut.Store(true)
	s, err = server.Start(ctx, o)
	must(nil, err)
	defer s.Close(ctx)
	w = timestreamwrite.New(timestreamwrite.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys})
	q := timestreamquery.New(timestreamquery.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: keys, RetryMaxAttempts: 1})
	count := func(where string) string {
		out, err := q.Query(ctx, &timestreamquery.QueryInput{QueryString: aws.String("SELECT count(*) FROM db.t WHERE " + where)})
		if err != nil {
			return err.Error()
		}
		return aws.ToString(out.Rows[0].Data[0].ScalarValue)
	}
	write(w, "new")
	if got := count("time > ago(1h)"); got != "1" {
		t.Errorf("recent: %s", got)
	}
	if got := count("time > ago(10d)"); !strings.Contains(got, "Rows of db.t of 2026-03-01 cannot be read") || !strings.Contains(got, "s3://cold/plant") {
		t.Errorf("without the bucket: %s", got)
	}
	if got := get(t, s.URL()+"/health"); !strings.HasPrefix(got, "200 ok\nthe magnetic store s3://cold/plant") {
		t.Errorf("health: %s", got)
	}
	if got := get(t, s.URL()+"/metrics"); !strings.Contains(got, "weir_magnetic_store_up 0") {
		t.Errorf("metrics without weir_magnetic_store_up 0")
	}
	cut.Store(false)
	for deadline := time.Now().Add(20 * time.Second); count("time > ago(10d)") != "2"; {
		if time.Now().After(deadline) {
			t.Fatalf("with the bucket: %s", count("time > ago(10d)"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
