package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/http1"
)

// start serves h on a loopback port and returns its address.
func start(t testing.TB, h http.Handler, change ...func(*http.Server)) (*http1.Server, string) {
	t.Helper()
	config := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	for _, f := range change {
		f(config)
	}
	ln := listen(t)
	s := http1.New(config)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return s, ln.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func post(body string, headers ...string) string {
	head := "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	return head + "\r\n" + body
}

// echo answers with all that it was told, and how it was told.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	if r.Header.Get("X-Close") != "" {
		w.Header().Set("Connection", "close")
	}
	fmt.Fprintln(w, r.Method, r.RequestURI, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.ContentLength, r.TransferEncoding, r.Close)
	for _, k := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "%s: %q\n", k, r.Header[k])
	}
	fmt.Fprintf(w, "%d bytes %x %v\n", len(body), sha256.Sum256(body), err)
})

// unread answers without a look at the body, as much as X-Size says, and with the length where X-Declare is set.
var unread = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	var size int
	fmt.Sscan(r.Header.Get("X-Size"), &size)
	size = min(size, 1<<20)
	if r.Header.Get("X-Declare") != "" {
		w.Header().Set("Content-Length", fmt.Sprint(size))
	}
	if r.Header.Get("X-Status") != "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	for size > 0 {
		n := min(size, 10_000)
		w.Write(bytes.Repeat([]byte("answer "), n)[:n])
		size -= n
	}
})

func routes(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Unread") != "" {
		unread(w, r)
	} else {
		echo(w, r)
	}
}

// answer is what a client sees of an answer, but for its framing: the loop tells the length of larger ones than net/http does.
func answer(r *http.Response) string {
	body, err := io.ReadAll(r.Body)
	r.Header.Del("Date")
	r.Header.Del("Content-Length")
	return fmt.Sprintln(r.Proto, r.Status, r.Header, r.Close, err) + string(body)
}

// converse sends a client's bytes, ends its side and returns the answers.
func converse(t testing.TB, addr string, sent []byte) (answers []string) {
	c := dial(t, addr)
	defer c.Close()
	_ = c.SetLinger(0) // ports are free again at once
	go func() {
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
	}()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadResponse(in, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("no end after %q and %.1000q", sent, answers)
		}
		if err != nil {
			return answers
		}
		answers = append(answers, answer(r))
		if r.StatusCode == http.StatusContinue {
			continue
		}
		r.Body.Close()
	}
}

// FuzzAnswersLikeNetHTTP sends the same bytes to the loop and to net/http: the answers are the same.
func FuzzAnswersLikeNetHTTP(f *testing.F) {
	for _, s := range []string{
		post("hello"),
		post(""),
		post("one") + post("two") + post("three"),
		post("one") + "G", post("one") + "\r\n" + post("two"), post("one") + "\r\n\r\n\r\n" + post("two"), post("one") + "GET ", post("one") + "POST", "G",
		post("one") + "GET /x HTTP/1.1\r\nHost: a\r\n\r\n" + post("three"),
		post("hello", "X-Amz-Target: Timestream_20181101.WriteRecords", "x-amz-date: 20260101T000000Z", "content-type:application/x-amz-json-1.0"),
		post("hello", "A: 1", "a: 2", "A:\t3 \t"),
		post("hello", "Connection: keep-alive") + post("more", "Connection: close") + post("unread"),
		post("hello", "X-Close: 1") + post("unread"),
		post("hello", "Expect: 100-continue"),
		post("hello", "Content-Length: 5"), post("hello", "Content-Length: 6"), post("hello", "content-length: +5"),
		post("hello", "Transfer-Encoding: chunked"), post("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
		post("hello", "Host: other"), post("hello", "Upgrade: websocket"), post("hello", " folded: x"), post("hello", "A: \x01"), post("hello", "A: \xe4"), post("hello", "A B: c"), post("hello", ": c"),
		post("hello", "Pragma: no-cache"), post("hello", "Trailer: A"), post("hello", "Te: trailers"),
		post("hello", "X-Unread: 1", "X-Size: 5"), post("hello", "X-Unread: 1", "X-Size: 100000"), post("hello", "X-Unread: 1", "X-Size: 100000", "X-Declare: 1") + post("next"),
		post("hello", "X-Unread: 1", "X-Size: 0", "X-Declare: 1"), post("hello", "X-Unread: 1", "X-Status: 204") + post("next"), post("hello", "X-Unread: 1", "X-Size: 5", "X-Declare: 1"),
		post(strings.Repeat("long ", 20_000)) + post("next"), post(strings.Repeat("long ", 20_000), "X-Unread: 1") + post("next"),
		post("hello", "Long: "+strings.Repeat("x", 9000)), post("hello", "Long: "+strings.Repeat("x", 90_000)), post("hello", slices.Repeat([]string{"Many: x"}, 70)...),
		"POST / HTTP/1.1\nHost: a\n\n", "POST / HTTP/1.1\r\nHost:00\r\r\n\r\n", "POST / HTTP/1.1\r\nHost:\r\nHost:00\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\nContent-Length: 1\n\nx", "POST / HTTP/1.1\r\nHost: a\r\n\nx", "POST / HTTP/1.0\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "POST /", "\r\n\r\n", "\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nshort", "POST / HTTP/1.1\r\nHost: a\r\nX-Unread: 1\r\nContent-Length: 10\r\n\r\nshort", "POST / HTTP/1.1\r\nHost: a\r\nContent-Le", "POST / HTTP/1.1\r\nHost: a b\r\n\r\n", "POST / HTTP/1.1\r\nHost:\r\n\r\n", "POST http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	} {
		f.Add([]byte(s))
	}
	handler := http.HandlerFunc(routes)
	_, mine := start(f, handler)
	ln := listen(f)
	other := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go other.Serve(ln)
	f.Cleanup(func() { other.Close() })
	f.Fuzz(func(t *testing.T, sent []byte) {
		want, got := converse(t, ln.Addr().String(), sent), converse(t, mine, sent)
		if !slices.Equal(want, got) {
			t.Errorf("answers to %q\nof net/http: %.2000q\nof the loop: %.2000q", sent, want, got)
		}
	})
}

func TestARequestInPiecesIsOneRequest(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(routes))
	text := post("hello", "X-Some: header") + post("again")
	whole := converse(t, addr, []byte(text))
	if len(whole) != 2 {
		t.Fatalf("answers: %q", whole)
	}
	c := dial(t, addr)
	if err := c.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := range len(text) {
			_, _ = c.Write([]byte{text[i]})
		}
		_ = c.CloseWrite()
	}()
	in := bufio.NewReader(c)
	for i := range whole {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer(r); got != whole[i] {
			t.Errorf("answer %d: %q, want %q", i, got, whole[i])
		}
	}
}

func TestGoClientsOfManyKindsAreServed(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(routes))
	var clients sync.WaitGroup
	for i := range 100 {
		clients.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr}
			for j := range 10 {
				text := strings.Repeat(fmt.Sprintln(i, j), 1+i*j)
				var body io.Reader = strings.NewReader(text)
				if j%3 == 2 {
					body = io.MultiReader(body) // of unknown length: chunked
				}
				req, err := http.NewRequest([]string{"POST", "PUT"}[j%5/4], "http://"+addr+[]string{"/", "/a/b"}[j%4/3], body)
				if err != nil {
					t.Error(err)
					return
				}
				r, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				got := answer(r)
				r.Body.Close()
				if want := fmt.Sprintf("%d bytes %x <nil>\n", len(text), sha256.Sum256([]byte(text))); !strings.HasSuffix(got, want) {
					t.Errorf("answer %q, want one that ends with %q", got, want)
				}
			}
		})
	}
	clients.Wait()
}

func TestTheContextEndsWithTheClient(t *testing.T) {
	for _, how := range []string{"ends", "resets", "ends after other requests"} {
		t.Run(how, func(t *testing.T) {
			working, ended := make(chan bool), make(chan time.Time, 1)
			_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Header.Get("X-Short") != "" {
					return
				}
				working <- true
				<-r.Context().Done()
				ended <- time.Now()
			}))
			c := dial(t, addr)
			if how == "ends after other requests" {
				in := bufio.NewReader(c)
				for range 10 {
					fmt.Fprint(c, post("hello", "X-Short: 1"))
					if _, err := http.ReadResponse(in, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			fmt.Fprint(c, post("hello"))
			<-working
			if how == "resets" {
				_ = c.SetLinger(0)
			}
			left := time.Now()
			c.Close()
			if took := (<-ended).Sub(left); took > 10*time.Second {
				t.Errorf("seen after %v", took)
			}
		})
	}
}

func TestTheContextLastsWhileTheClientWaits(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			http.Error(w, "ended", http.StatusInternalServerError)
		case <-time.After(5 * http1.LookEvery):
		}
	}))
	if got := converse(t, addr, []byte(post("hello")))[0]; !strings.Contains(got, "500") {
		t.Errorf("a client that has ended its side is not there any more, as net/http has it; got %q", got)
	}
	c := dial(t, addr)
	fmt.Fprint(c, post("one")+post("two")) // the second request is there already, which is no end
	in := bufio.NewReader(c)
	for range 2 {
		r, err := http.ReadResponse(in, nil)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", r, err)
		}
	}
}

func TestTheContextEndsWithTheAnswer(t *testing.T) {
	var ctx context.Context
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ctx = r.Context() }))
	converse(t, addr, []byte(post("hello")))
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

func TestAHeadThatDoesNotComeEndsTheConnection(t *testing.T) {
	_, addr := start(t, echo, func(h *http.Server) { h.ReadHeaderTimeout = 30 * time.Millisecond })
	for _, sent := range []string{"", "P", "POST / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"} {
		c := dial(t, addr)
		fmt.Fprint(c, sent)
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("after %q: %q, %v", sent, got, err)
		}
	}
}

func TestAnIdleConnectionEnds(t *testing.T) {
	_, addr := start(t, echo, func(h *http.Server) { h.IdleTimeout = 30 * time.Millisecond })
	for _, sent := range []string{"", post("hello")} {
		c := dial(t, addr)
		fmt.Fprint(c, sent)
		if got, err := io.ReadAll(c); err != nil || len(got) > 0 != (sent != "") {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestAPanicEndsItsConnectionAlone(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Panic") {
		case "early":
			panic("early")
		case "late":
			fmt.Fprint(w, "half of an ans")
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "fine")
	}))
	steady := dial(t, addr)
	in := bufio.NewReader(steady)
	for _, sent := range []string{post("", "X-Panic: early"), post("", "X-Panic: late")} {
		if got := converse(t, addr, []byte(sent)); len(got) > 0 {
			t.Errorf("%q is answered: %q", sent, got)
		}
		fmt.Fprint(steady, post(""))
		if r, err := http.ReadResponse(in, nil); err != nil || !strings.HasSuffix(answer(r), "fine") {
			t.Errorf("the other connection: %v, %v", r, err)
		}
	}
}

func TestAnAnswerThatIsShorterThanDeclaredIsSeenToBe(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "short")
		if _, err := fmt.Fprint(w, "too much"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("more than declared: %v", err)
		}
	}))
	got := converse(t, addr, []byte(post("")+post("")))
	if len(got) != 1 || !strings.Contains(got[0], io.ErrUnexpectedEOF.Error()) {
		t.Errorf("%q", got)
	}
}

func TestTheFramingOfAnAnswerIsNotTheHandlersToBreak(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "gzip")
		w.Header().Set("Content-Length", r.Header.Get("X-Length"))
		w.Header().Set("X-Lines", "one\r\nX-More: two")
		fmt.Fprint(w, "hello")
	}))
	for _, length := range []string{"5", "+5", "five"} {
		c := dial(t, addr)
		fmt.Fprint(c, post("", "X-Length: "+length, "X-Close: 1"))
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.TransferEncoding != nil || r.ContentLength != 5 || r.Header.Get("X-More") != "" || !strings.HasSuffix(answer(r), "hello") {
			t.Errorf("with a length of %s: %v", length, r)
		}
	}
}

func TestARefusedBodyDoesNotCostTheAnswer(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))
	r, err := http.Post("http://"+addr, "text/plain", bytes.NewReader(make([]byte, 4<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusRequestEntityTooLarge || !r.Close {
		t.Errorf("%v, close %v", r.Status, r.Close)
	}
}

func TestFlushedPiecesArriveAtOnce(t *testing.T) {
	next := make(chan bool)
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintln(w, i)
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	r, err := http.Post("http://"+addr, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	in := bufio.NewReader(r.Body)
	for i := range 3 {
		if line, err := in.ReadString('\n'); line != fmt.Sprintln(i) || err != nil {
			t.Errorf("%q, %v", line, err)
		}
		next <- true
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTheBodyOfAnAnsweredRequestCannotBeRead(t *testing.T) {
	bodies := make(chan io.Reader, 2)
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { bodies <- r.Body }))
	converse(t, addr, []byte(post("hello")+post("next", "Connection: close")))
	if _, err := (<-bodies).Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("its body can be read: %v", err)
	}
}

func TestShutdownAnswersWhatIsInWork(t *testing.T) {
	working, goOn := make(chan bool), make(chan bool)
	s, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		working <- true
		<-goOn
		fmt.Fprint(w, "done")
	}))
	waiting := dial(t, addr) // never asks
	answers := make(chan []string, 2)
	for _, sent := range []string{post("plain"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c := dial(t, addr)
		fmt.Fprint(c, sent)
		go func() {
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				answers <- []string{err.Error()}
				return
			}
			answers <- []string{answer(r)}
		}()
		<-working
	}
	shut := make(chan error)
	go func() { shut <- s.Shutdown(context.Background()) }()
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection goes on")
	}
	for range 2 {
		goOn <- true
		if got := <-answers; !strings.HasSuffix(got[0], "done") {
			t.Errorf("%q", got)
		}
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a new connection is taken")
	}
}

func TestShutdownEndsInItsTime(t *testing.T) {
	working, ended := make(chan bool), make(chan bool)
	s, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		working <- true
		<-r.Context().Done()
		close(ended)
	}))
	fmt.Fprint(dial(t, addr), post("hello"))
	<-working
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	s.Close()
	<-ended
}

func TestAThousandConnectionsWaitAndAsk(t *testing.T) {
	var calls atomic.Int64
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls.Add(1) }))
	conns := make([]*net.TCPConn, 1000)
	for i := range conns {
		conns[i] = dial(t, addr)
	}
	for range 2 {
		for _, c := range conns {
			fmt.Fprint(c, post("hello"))
		}
		for _, c := range conns {
			if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != http.StatusOK {
				t.Fatalf("%v, %v", r, err)
			}
		}
	}
	if calls.Load() != 2000 {
		t.Errorf("%d calls", calls.Load())
	}
}

// TestRequestsOfSDKsArePlain holds the loop to what it is for. The heads are those of boto3 1.44, the JavaScript SDK 3.1137 and
// the Go SDK 2.
func TestRequestsOfSDKsArePlain(t *testing.T) {
	_, addr := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, theirs := w.(http.Hijacker); theirs { // net/http's is one
			http.Error(w, "not plain", http.StatusInternalServerError)
		}
	}))
	const authorization = "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261126/us-east-1/timestream/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=57c7842bbb5c344242dfe1c823d2ca5a70d45fe45238a82edcb84f7089155474\r\n"
	for client, head := range map[string]string{
		"boto3": "POST / HTTP/1.1\r\nHost: 127.0.0.1:8086\r\nAccept-Encoding: identity\r\nX-Amz-Target: Timestream_20181101.WriteRecords\r\nContent-Type: application/x-amz-json-1.0\r\n" +
			"User-Agent: Boto3/1.44.8 md/Botocore#1.44.8 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.11.7 md/pyimpl#CPython m/E,Z,e,N,b cfg/retry-mode#standard Botocore/1.44.8\r\n" +
			"X-Amz-Date: 20261126T023128Z\r\nX-Amz-Security-Token: " + strings.Repeat("token", 300) + "\r\n" + authorization +
			"amz-sdk-invocation-id: a3e279d2-1d11-4757-b377-c9c983e816be\r\namz-sdk-request: attempt=1; max=1\r\nContent-Length: 2\r\n\r\n{}",
		"JavaScript": "POST / HTTP/1.1\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: Timestream_20181101.ListDatabases\r\ncontent-length: 2\r\nx-amz-user-agent: aws-sdk-js/3.1137.0\r\n" +
			"user-agent: aws-sdk-js/3.1137.0 ua/2.1 os/linux#6.18 lang/js md/nodejs#20.20.2 api/timestream-write#3.1137.0 m/N,E,e\r\nhost: localhost:44033\r\n" +
			"amz-sdk-invocation-id: f37a0c80-20d1-40e1-8cc0-0858c36e4e1d\r\namz-sdk-request: attempt=1; max=1\r\nx-amz-date: 20261126T023122Z\r\n" +
			"x-amz-content-sha256: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\r\n" + authorization + "Connection: keep-alive\r\n\r\n{}",
		"Go": "POST / HTTP/1.1\r\nHost: weir.example.com\r\nUser-Agent: aws-sdk-go-v2/1.48.0 ua/2.1 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/timestreamwrite#1.36.0 m/E,e\r\nContent-Length: 2\r\n" +
			"Amz-Sdk-Invocation-Id: 1\r\nAmz-Sdk-Request: attempt=1; max=3\r\n" + authorization + "Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20261126T023128Z\r\nX-Amz-Target: Timestream_20181101.WriteRecords\r\nAccept-Encoding: gzip\r\n\r\n{}",
	} {
		got := converse(t, addr, []byte(head+head))
		if len(got) != 2 || strings.Contains(got[0]+got[1], "not plain") {
			t.Errorf("%s: %q", client, got)
		}
	}
}
