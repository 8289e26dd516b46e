package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-db/weir/internal/server"
)

// BenchmarkQueryOverHTTP is a signed call of Query from the socket to the last byte of its answer, all pages, by a client that
// costs next to nothing: requests are signed beforehand, answers are read and dropped. Reported are the processor
// time and how often a thread of the process had to wait, per call.
func BenchmarkQueryOverHTTP(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // about what cmd/weir makes of it for a server with little in memory
	dir := b.TempDir()
	start := time.Now().Add(-25 * time.Hour).Truncate(time.Hour)
	s := benchServer(b, dir)
	writeHosts(b, s, start)
	s.Close(context.Background()) // the rows go to segments
	s = benchServer(b, dir)
	b.Cleanup(func() { s.Close(context.Background()) })

	var maxima, means []string
	for m := range benchMeasures {
		maxima = append(maxima, fmt.Sprintf("max(m%d)", m))
		means = append(means, fmt.Sprintf("avg(m%d)", m))
	}
	hosts := func(n, r int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("'host_%d'", (r+i)%benchHosts))
		}
		return "hostname IN (" + strings.Join(names, ", ") + ")"
	}
	// between is a span that moves with r.
	between := func(span time.Duration, r int) string {
		from := start.Add(time.Duration(r*7919*int(time.Second)) % (benchSteps*10*time.Second - span))
		return fmt.Sprintf("time >= from_milliseconds(%d) AND time < from_milliseconds(%d)", from.UnixMilli(), from.Add(span).UnixMilli())
	}
	// Every text is asked with other literals each time, as the load of bench does, so that nothing can be known from the last time.
	const texts = 64
	for _, bm := range []struct {
		name string
		sql  func(r int) string
	}{
		{"constant", func(r int) string { return fmt.Sprint("SELECT ", r) }},
		{"single-groupby-1-1-1", func(r int) string {
			return "SELECT bin(time, 60s) AS bucket, max(m0) FROM bench.cpu WHERE " + hosts(1, r) + " AND " + between(time.Hour, r) + " GROUP BY bin(time, 60s) ORDER BY 1"
		}},
		{"single-groupby-1-8-1", func(r int) string {
			return "SELECT bin(time, 60s) AS bucket, max(m0) FROM bench.cpu WHERE " + hosts(8, r) + " AND " + between(time.Hour, r) + " GROUP BY bin(time, 60s) ORDER BY 1"
		}},
		{"cpu-max-all-1", func(r int) string {
			return "SELECT bin(time, 3600s) AS bucket, " + strings.Join(maxima, ", ") + " FROM bench.cpu WHERE " + hosts(1, r) + " AND " + between(8*time.Hour, r) + " GROUP BY bin(time, 3600s) ORDER BY 1"
		}},
		{"one device by hour", func(r int) string {
			return "SELECT bin(time, 3600s) AS bucket, avg(m0), min(m0), max(m0) FROM bench.cpu WHERE " + hosts(1, r) + " AND " + between(23*time.Hour, r) + " GROUP BY bin(time, 3600s) ORDER BY 1"
		}},
		{"high-cpu-1", func(r int) string {
			return "SELECT * FROM bench.cpu WHERE m0 > 99 AND " + between(12*time.Hour, r) + " AND " + hosts(1, r)
		}},
		{"groupby-orderby-limit", func(r int) string {
			return fmt.Sprintf("SELECT bin(time, 60s) AS bucket, max(m0) FROM bench.cpu WHERE time < from_milliseconds(%d) GROUP BY bin(time, 60s) ORDER BY bucket DESC LIMIT 5",
				start.Add(time.Duration(12*3600+r*601)*time.Second).UnixMilli())
		}},
		{"lastpoint", func(int) string {
			return "SELECT hostname, max(time), max_by(m0, time), max_by(m1, time) FROM bench.cpu GROUP BY hostname ORDER BY hostname"
		}},
		{"double-groupby-all", func(r int) string {
			return "SELECT hostname, bin(time, 3600s) AS bucket, " + strings.Join(means, ", ") + " FROM bench.cpu WHERE " + between(12*time.Hour, r) + " GROUP BY hostname, bin(time, 3600s) ORDER BY 1, 2"
		}},
		{"all columns", func(r int) string { return "SELECT * FROM bench.cpu WHERE " + between(2*time.Hour, r) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c := dialBench(b, s)
			var sql [texts]string
			var requests [texts][]byte
			for r := range texts {
				sql[r] = bm.sql(r)
				requests[r] = c.request(b, sql[r], "")
			}
			c.all(b, sql[0], requests[0])
			b.ReportAllocs()
			before := usage()
			for i := 0; b.Loop(); i++ {
				c.all(b, sql[i%texts], requests[i%texts])
			}
			after := usage()
			b.ReportMetric(float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(after.Nvcsw-before.Nvcsw)/float64(b.N), "waits/op")
		})
	}
}

const benchHosts, benchSteps, benchMeasures = 10, 8640, 10

func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u
}

func benchServer(b *testing.B, dir string) *server.Server {
	s, err := server.Start(b.Context(), server.Options{
		DataDir: dir, Listen: "127.0.0.1:0", Auth: server.AuthIAM, RootAccessKeyID: rootKey, RootSecretAccessKey: rootSecret,
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// writeHosts writes a row every ten seconds for each host, 100 rows a request.
func writeHosts(b *testing.B, s *server.Server, start time.Time) {
	c := dialBench(b, s)
	c.do(b, c.signed(b, "CreateDatabase", []byte(`{"DatabaseName":"bench"}`)))
	c.do(b, c.signed(b, "CreateTable", []byte(`{"DatabaseName":"bench","TableName":"cpu","RetentionProperties":{"MemoryStoreRetentionPeriodInHours":48,"MagneticStoreRetentionPeriodInDays":365}}`)))
	for h := range benchHosts {
		for from := 0; from < benchSteps; from += 100 {
			var records []any
			for step := from; step < min(from+100, benchSteps); step++ {
				var values []any
				for m := range benchMeasures {
					values = append(values, map[string]string{"Name": fmt.Sprintf("m%d", m), "Type": "DOUBLE", "Value": fmt.Sprint((h*31 + step*(m+7)) % 101)})
				}
				records = append(records, map[string]any{"Time": fmt.Sprint(start.Add(time.Duration(step) * 10 * time.Second).UnixMilli()), "MeasureValues": values})
			}
			body, err := json.Marshal(map[string]any{
				"DatabaseName": "bench", "TableName": "cpu", "Records": records,
				"CommonAttributes": map[string]any{
					"MeasureName": "metrics", "MeasureValueType": "MULTI",
					"Dimensions": []any{map[string]string{"Name": "hostname", "Value": fmt.Sprintf("host_%d", h)}, map[string]string{"Name": "region", "Value": "eu-1"}},
				},
			})
			if err != nil {
				b.Fatal(err)
			}
			c.do(b, c.signed(b, "WriteRecords", body))
		}
	}
}

// benchClient is one connection.
type benchClient struct {
	host   string
	conn   net.Conn
	in     *bufio.Reader
	answer []byte // the latest
}

func dialBench(b *testing.B, s *server.Server) *benchClient {
	conn, err := net.Dial("tcp", s.Addr("aws"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &benchClient{host: s.Addr("aws"), conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// signed is a whole request, ready to be sent.
func (c *benchClient) signed(b *testing.B, operation string, body []byte) []byte {
	req, err := http.NewRequest("POST", "http://"+c.host+"/", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101."+operation)
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}
	if err := v4.NewSigner().SignHTTP(b.Context(), creds, req, hex.EncodeToString(sum[:]), "timestream", "us-east-1", time.Now()); err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	out.Grow(len(body) + 1<<10)
	if err := req.Write(&out); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

func (c *benchClient) request(b *testing.B, sql, token string) []byte {
	in := map[string]string{"QueryString": sql}
	if token != "" {
		in["NextToken"] = token
	}
	body, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	return c.signed(b, "Query", body)
}

// do sends a request and leaves its answer in c.
func (c *benchClient) do(b *testing.B, request []byte) {
	if _, err := c.conn.Write(request); err != nil {
		b.Fatal(err)
	}
	length, ok := 0, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if v, is := bytes.CutPrefix(line, []byte("Content-Length: ")); is {
			length = 0
			for _, d := range bytes.TrimSpace(v) {
				length = 10*length + int(d-'0')
			}
		}
		ok = ok || bytes.HasPrefix(line, []byte("HTTP/1.1 200 "))
		if len(line) == len("\r\n") {
			break
		}
	}
	if cap(c.answer) < length {
		c.answer = make([]byte, length)
	}
	c.answer = c.answer[:length]
	if _, err := io.ReadFull(c.in, c.answer); err != nil {
		b.Fatal(err)
	}
	if !ok {
		b.Fatalf("%s", c.answer)
	}
}

// all sends the request for a query's first page, and asks for what follows.
func (c *benchClient) all(b *testing.B, sql string, first []byte) {
	c.do(b, first)
	for {
		_, rest, ok := bytes.Cut(c.answer[:min(len(c.answer), 1<<10)], []byte(`"NextToken":"`))
		if !ok {
			return
		}
		token, _, _ := bytes.Cut(rest, []byte(`"`))
		c.do(b, c.request(b, sql, string(token)))
	}
}
