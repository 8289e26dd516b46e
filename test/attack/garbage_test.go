package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/server"
	"github.com/weir-db/weir/weirtest"
)

// operations of the two Timestream APIs.
var operations = []string{
	"DescribeEndpoints", "CreateDatabase", "DescribeDatabase", "ListDatabases", "UpdateDatabase", "DeleteDatabase", "CreateTable", "DescribeTable", "ListTables", "UpdateTable", "DeleteTable",
	"WriteRecords", "CreateBatchLoadTask", "DescribeBatchLoadTask", "ListBatchLoadTasks", "ResumeBatchLoadTask", "TagResource", "UntagResource", "ListTagsForResource", "Query", "CancelQuery", "PrepareQuery",
	"DescribeAccountSettings", "UpdateAccountSettings", "CreateScheduledQuery", "DescribeScheduledQuery", "ListScheduledQueries", "UpdateScheduledQuery", "DeleteScheduledQuery", "ExecuteScheduledQuery",
}

// open is a server that takes everybody's requests, so that garbage comes as far as it can.
func open(t *testing.T) *target {
	t.Helper()
	return start(t, func(o *server.Options) { o.Auth = server.AuthOff })
}

// survives sends a request whose answer may be anything but the server's own fault.
func (s *target) survives(what string, req *http.Request) {
	s.Helper()
	status, body := s.send(req)
	if status >= 500 && status != http.StatusNotImplemented {
		s.Errorf("%s: %d %.300s", what, status, body)
	}
}

func TestGarbageInJSONIsTheSendersFault(t *testing.T) {
	t.Parallel()
	s := open(t)
	deep := strings.Repeat(`{"a":`, 20_000)
	bodies := []string{
		"", "null", "[]", `""`, "0", "true", "{", "}", `{"a"`, `{"a":}`, "{}{}", "\x00", "\xef\xbb\xbf{}", "{\"DatabaseName\":\"\xff\"}", `{"DatabaseName":"\ud800"}`, `{"DatabaseName":null,"TableName":null,"Records":null,"QueryString":null}`,
		`{"DatabaseName":{"a":1},"TableName":[],"Records":{},"QueryString":7,"ResourceARN":false}`, `{"MaxResults":1e999999,"MaxRows":-1e999999}`, `{"MaxResults":99999999999999999999}`, `{"InvocationTime":1e300,"ScheduledQueryArn":"a"}`,
		`{"Records":[null],"DatabaseName":"a","TableName":"b"}`, `{"Records":[[]],"DatabaseName":"a","TableName":"b"}`, `{"Tags":[null],"ResourceARN":"a","DatabaseName":"a"}`, `{"TagKeys":[null,1],"ResourceARN":"a"}`,
		deep, strings.Repeat("[", 100_000), `{"Records":` + strings.Repeat("[", 50_000), `{"Records":[{"MeasureValues":` + strings.Repeat(`[{"Value":`, 10_000), `{"QueryString":"` + strings.Repeat("(", 100_000) + `"}`,
		`{"QueryString":"SELECT ` + strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000) + `"}`, `{"QueryString":"SELECT ` + strings.Repeat("- ", 50_000) + `1"}`, `{"QueryString":"SELECT 1 ` + strings.Repeat("UNION SELECT 1 ", 5_000) + `"}`,
		`{"QueryString":"SELECT ` + strings.Repeat("1+", 30_000) + `1"}`, `{"QueryString":"SELECT ` + strings.Repeat("NOT ", 30_000) + `true","ValidateOnly":true}`, `{"QueryString":"\u0000\ufeff'\u2028"}`,
		`{"` + strings.Repeat("k", 1_000_000) + `":1}`, `{"NextToken":"` + strings.Repeat("A", 2000) + `"}`, `{"NextToken":"////"}`, `{"NextToken":"eA"}`,
	}
	for _, op := range append(operations, "", "NoSuch", strings.Repeat("x", 5000)) {
		for i, body := range bodies {
			s.survives(fmt.Sprintf("%.20s, body %d", op, i), s.plain(timestream(op, body)))
		}
	}
	s.passes(s.plain(timestream("ListDatabases", "{}")))
}

func TestGarbageInOtherProtocolsIsTheSendersFault(t *testing.T) {
	t.Parallel()
	s := open(t)
	var forms []string
	for _, head := range []string{"Action=CreateRole&Version=2010-05-08", "Action=PutMetricData&Version=2010-08-01", "Action=GetMetricStatistics&Version=2010-08-01", "Action=AssumeRole&Version=2011-06-15", "Action=CreateTopic&Version=2010-03-31", "Action=SendMessageBatch&Version=2012-11-05", "Action=&Version=", "Action"} {
		for _, more := range []string{"", "&%zz=1", "&Tags.member.999999999999.Key=x", "&Tags.member.-1.Key=x&Tags.member.a=1", "&Tags.member.1=x&Tags.member.1.Key=y", "&Dimensions.member.1.Name.a.b.c.d.e.f=1", "&" + strings.Repeat("a.", 5000) + "b=1", strings.Repeat("&x=1", 20_000),
			"&Tags.member.9223372036854775807.Key=x&Tags.member.-9223372036854775808.Key=y", "&StartTime=999999-99-99&Period=-1&EndTime=x", "&RoleArn=" + strings.Repeat("%ff", 3000), "&;;;=&=&&"} {
			forms = append(forms, head+more)
		}
	}
	for i, body := range forms {
		s.survives(fmt.Sprint("form ", i), s.plain(form("", body)))
	}
	cbor := http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}}
	for i, body := range []string{"", "\xff", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "\x7b\x7f\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("\x81", 100_000), strings.Repeat("\xa1\x61a", 100_000), strings.Repeat("\xc1", 50_000), "\xbf", "\xa1\x69Namespace\xf6", "\xa1\x69StartTime\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\xa2\x61a\x01\x61a\x02"} {
		for _, op := range []string{"ListMetrics", "GetMetricStatistics", "GetMetricData", "NoSuch"} {
			s.survives(fmt.Sprint("CBOR ", op, i), s.plain(request{method: "POST", path: "/service/GraniteServiceVersion20100801/operation/" + op, body: body, header: cbor}))
		}
	}
	for i, path := range []string{"/rules/x", "/rules/%00", "/rules/" + strings.Repeat("r", 5000), "/topics/%2f%2f", "/topics/" + strings.Repeat("a/", 3000), "/retainedMessage/%ff", "/service/", "/service/x/operation/", "/service//operation//", "//"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X"} {
			s.survives(fmt.Sprint(method, " path ", i), s.plain(request{method: method, path: path, body: `{"sql":` + strings.Repeat("[", 1000)}))
		}
	}
	s.passes(s.plain(timestream("ListDatabases", "{}")))
}

func TestGarbageInXMLIsTheSendersFault(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.passes(s.sign(object("PUT", "/box", "")))
	laughs := `<!DOCTYPE d [<!ENTITY a "` + strings.Repeat("ha", 100) + `">` + strings.Repeat(`<!ENTITY b "&a;&a;&a;&a;&a;">`, 20) + `]>`
	for i, body := range []string{"", "<", "<a/>", "x", "<Delete>", "<Delete></Delete>", laughs + "<Delete><Object><Key>&b;</Key></Object></Delete>", strings.Repeat("<a>", 50_000), "<Delete><Object>" + strings.Repeat("<Key>", 20_000),
		"<Delete><Object><Key>../../x</Key></Object></Delete>", `<?xml version="1.0" encoding="UTF-7"?><Delete/>`, "<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", 1001) + "</Delete>", "<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber></Part></CompleteMultipartUpload>", "\xff\xfe<\x00"} {
		s.survives(fmt.Sprint("DeleteObjects ", i), s.sign(object("POST", "/box?delete=", body)))
		s.survives(fmt.Sprint("CompleteMultipartUpload ", i), s.sign(object("POST", "/box/k?uploadId=x", body)))
		s.survives(fmt.Sprint("CreateBucket ", i), s.sign(object("PUT", "/box2", body)))
	}
	for i, query := range []string{"list-type=2&max-keys=-1", "list-type=2&max-keys=999999999999999999999", "list-type=2&continuation-token=%00", "list-type=2&prefix=..%2f", "uploads=&max-uploads=x", "uploadId=..%2f..%2f&partNumber=1", "uploadId=%00", "partNumber=0&uploadId=x", "versionId=x", "delimiter=%00&list-type=2"} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "HEAD"} {
			s.survives(fmt.Sprint(method, " ", i), s.sign(object(method, "/box?"+query, "")))
			s.survives(fmt.Sprint(method, " key ", i), s.sign(object(method, "/box/key?"+query, "")))
		}
	}
	r := object("GET", "/box/key", "")
	for _, ranges := range []string{"bytes=-", "bytes=9-1", "bytes=99999999999999999999-", "bytes=0-1,2-3", strings.Repeat("bytes=0-", 2000)} {
		r.header.Set("Range", ranges)
		s.survives(ranges[:7], s.sign(r))
	}
}

func TestRequestsCannotBeSmuggledIntoOneAnother(t *testing.T) {
	t.Parallel()
	s := start(t)
	signed := dump(s.sign(timestream("ListDatabases", list)))
	evil := "POST / HTTP/1.1\r\nHost: " + strings.TrimPrefix(s.URL, "http://") + "\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: Timestream_20181101.CreateDatabase\r\nContent-Length: 22\r\nConnection: close\r\n\r\n{\"DatabaseName\":\"evil\"}"
	head, body, _ := strings.Cut(signed, "\r\n\r\n")
	for name, text := range map[string]string{
		"two requests on one connection": signed + evil,
		"a length too short":             strings.Replace(signed, "Content-Length: 16", "Content-Length: 2", 1) + evil,
		"two lengths":                    head + "\r\nContent-Length: 0\r\n\r\n" + evil,
		"a length with a sign":           strings.Replace(signed, "Content-Length: 16", "Content-Length: +16", 1) + evil,
		"length and chunks":              head + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil,
		"chunks in disguise":             head + "\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + evil,
		"a blank before the colon":       head + "\r\nTransfer-Encoding : chunked\r\n\r\n" + body + evil,
		"a folded header":                head + "\r\nX-Fold: a\r\n Transfer-Encoding: chunked\r\n\r\n" + body + evil,
		"line feeds alone":               strings.ReplaceAll(head, "\r\n", "\n") + "\n\n" + body + evil,
		"a bare return in a header":      head + "\r\nX-A: b\rContent-Length: 0\r\n\r\n" + body + evil,
		"two hosts":                      strings.Replace(signed, "\r\n", "\r\nHost: elsewhere\r\n", 1),
		"no host":                        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
		"a null in a header":             head + "\r\nX-A: \x00\r\n\r\n" + body,
		"an absolute address":            strings.Replace(signed, "POST / ", "POST http://elsewhere/ ", 1),
		"HTTP/0.9":                       "GET /\r\n\r\n",
		"HTTP/2 without being asked":     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"TLS":                            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 200),
		"not HTTP at all":                strings.Repeat("\xff", 5000),
	} {
		for i, status := range s.raw(text) {
			if status == 200 && i > 0 || status >= 500 && status != 501 && status != 505 {
				t.Errorf("%s: answer %d is %d", name, i, status)
			}
		}
	}
	if status, answer := s.send(s.sign(timestream("ListDatabases", "{}"))); status != 200 || answer != `{"Databases":[]}` {
		t.Errorf("afterwards: %d %s", status, answer)
	}
}

func TestGiantRequestsAreRefusedAndCostLittle(t *testing.T) {
	t.Parallel()
	s := start(t)
	host := strings.TrimPrefix(s.URL, "http://")
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"a header of a megabyte":           {"POST / HTTP/1.1\r\nHost: " + host + "\r\nX-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", 431},
		"a hundred thousand headers":       {"POST / HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Repeat("X-A: b\r\n", 100_000) + "\r\n", 431},
		"an address of a megabyte":         {"GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 431},
		"a length that is no number":       {"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
		"a chunk of more than all numbers": {"POST / HTTP/1.1\r\nHost: " + host + "\r\nX-Amz-Target: Timestream_20181101.Query\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n", 400},
	} {
		statuses := s.raw(c.text)
		// The server may hang up before all is sent; then there is no answer to read.
		if len(statuses) > 0 && statuses[0] != c.want {
			t.Errorf("%s: %v, want %d", name, statuses, c.want)
		}
	}
	s.refused("a body of five megabytes", s.sign(timestream("WriteRecords", `{"a":"`+strings.Repeat("x", 5<<20)+`"}`)), 413, "RequestEntityTooLargeException")
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 100 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	packed := timestream("ListDatabases", bomb.String())
	packed.header.Set("Content-Encoding", "gzip")
	s.refused("a hundred megabytes in a few kilobytes", s.sign(packed), 413, "RequestEntityTooLargeException")
	// Four terabytes are promised, none are sent: nothing may be set aside for them.
	if statuses := s.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\nX-Amz-Target: Timestream_20181101.Query\r\nExpect: 100-continue\r\nContent-Length: 4000000000000\r\n\r\n"); len(statuses) != 1 || statuses[0] != 413 {
		t.Errorf("a promise of four terabytes: %v", statuses)
	}
	s.passes(s.sign(timestream("ListDatabases", list)))
}

func TestSlowAndSilentConnectionsDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	host := strings.TrimPrefix(s.URL, "http://")
	var held []net.Conn
	for i := range 600 {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		switch i % 3 { // silent; in the middle of a header; in the middle of a body
		case 1:
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nX-A: ", host)
		case 2:
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nX-Amz-Target: Timestream_20181101.Query\r\nContent-Length: 100000\r\n\r\n{", host)
		}
	}
	began := time.Now()
	for range 20 {
		s.passes(s.sign(timestream("ListDatabases", list)))
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("20 calls took %v", took)
	}
	for _, conn := range held {
		conn.Close()
	}
}

func TestTheClockIsMovedOnlyByTheRoot(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)
	s := start(t, weirtest.At(at))
	move := func(body string) request {
		return request{method: "PUT", path: "/admin/clock", body: body, service: "weir", at: time.Now(), keys: root, region: "us-east-1", header: http.Header{"Content-Type": {"application/json"}}}
	}
	denied := func(what string, req *http.Request) {
		t.Helper()
		if status, body := s.send(req); status != 403 || !s.Now().Equal(at) {
			t.Errorf("%s: %d %s; the clock shows %v", what, status, body, s.Now())
		}
	}
	denied("unsigned", s.plain(move(`{"advance":"1h"}`)))
	r := move(`{"advance":"1h"}`)
	r.keys.SecretAccessKey = "guess"
	denied("with a wrong secret", s.sign(r))
	denied("changed on its way", withBody(s.sign(move(`{"advance":"1h"}`)), `{"advance":"9h"}`))
	r = move(`{"advance":"1h"}`)
	r.service = "timestream"
	denied("signed for another service", s.sign(r))
	r = move(`{"advance":"1h"}`)
	r.at = r.at.Add(-time.Hour)
	denied("old", s.sign(r))
	denied("to the end of time, unsigned", s.plain(move(`{"set":"9999-12-31T23:59:59Z"}`)))
	for _, body := range []string{"", "{", "[]", `{"advance":"x"}`, `{"advance":"99999999999h"}`, `{"set":"x"}`, `{"nope":1}`, strings.Repeat(" ", 5000) + "{}"} {
		if status, answer := s.send(s.sign(move(body))); status != 400 || !s.Now().Equal(at) {
			t.Errorf("%.20s: %d %s", body, status, answer)
		}
	}
	s.passes(s.sign(move(`{"advance":"1h"}`)))
	if !s.Now().Equal(at.Add(time.Hour)) {
		t.Errorf("the clock shows %v", s.Now())
	}
}

func TestAThousandClientsAtOnceAreAllAnswered(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.passes(s.sign(timestream("CreateDatabase", `{"DatabaseName":"db"}`)))
	s.passes(s.sign(timestream("CreateTable", `{"DatabaseName":"db","TableName":"t"}`)))
	const clients = 1000
	reqs := make([][]*http.Request, clients)
	for i := range reqs {
		record := fmt.Sprintf(`{"DatabaseName":"db","TableName":"t","Records":[{"Dimensions":[{"Name":"client","Value":"c%d"}],"MeasureName":"m","MeasureValue":"%d","Time":"%d"}]}`, i, i, time.Now().UnixMilli())
		reqs[i] = []*http.Request{s.sign(timestream("WriteRecords", record)), s.sign(timestream("Query", fmt.Sprintf(`{"QueryString":"SELECT count(*) FROM db.t WHERE client = 'c%d'"}`, i)))}
	}
	failures := make(chan string, clients)
	begin := make(chan struct{})
	var ready sync.WaitGroup
	dialling := make(chan struct{}, 50) // more at once than the kernel's queue holds wait for seconds
	for _, list := range reqs {
		ready.Add(1)
		go func() {
			own := http.Transport{}
			defer own.CloseIdleConnections()
			client := http.Client{Transport: &own}
			dialling <- struct{}{}
			resp, err := client.Get(s.URL + "/health")
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			<-dialling
			ready.Done()
			<-begin
			for _, req := range list {
				resp, err := client.Do(req)
				if err != nil {
					failures <- err.Error()
					return
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				answer := string(body)
				if resp.StatusCode != 200 {
					failures <- fmt.Sprint(resp.StatusCode, " ", answer)
					return
				}
				if strings.Contains(answer, `"Rows"`) && !strings.Contains(answer, `"ScalarValue":"1"`) {
					failures <- "its own write is not in a client's query: " + answer
					return
				}
			}
			failures <- ""
		}()
	}
	ready.Wait()
	close(begin)
	seen := map[string]int{}
	for range clients {
		seen[<-failures]++
	}
	if seen[""] != clients {
		t.Errorf("answers: %v", seen)
	}
	if status, body := s.send(s.sign(timestream("Query", `{"QueryString":"SELECT count(*), count(DISTINCT client) FROM db.t"}`))); status != 200 || strings.Count(body, `"1000"`) != 2 {
		t.Errorf("in the end: %d %s", status, body)
	}
}
