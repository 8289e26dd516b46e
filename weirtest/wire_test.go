package weirtest_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-db/weir/weirtest"
)

// post sends a body to the Query operation and returns the answer's body.
func post(s *weirtest.Server, body string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "Timestream_20181101.Query")
	req.Close = true // servers of other tests may have had this port
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return string(answer), err
}

// metric reads a counter of /metrics.
func metric(t *testing.T, s *weirtest.Server, name string) int {
	t.Helper()
	resp, err := http.Get(s.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("/metrics has no %s:\n%s", name, text)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAClientThatHangsUpEndsItsQuery(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"QueryString": "SELECT count(*) FROM UNNEST(sequence(1, 10000)) AS a (x), UNNEST(sequence(1, 10000)) AS b (y), UNNEST(sequence(1, 10000)) AS c (z) WHERE x + y + z < 0"}`
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: weir\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: Timestream_20181101.Query\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	s.Query("SELECT 1") // another one is not held up
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both queries have ended", func() bool { return metric(t, s, "weir_queries_total") == 2 })
	if n := metric(t, s, "weir_query_errors_total"); n != 1 {
		t.Errorf("%d queries failed, want the one whose caller left", n)
	}
}

func TestPagesHaveAMegabyteAtMost(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	sql := `SELECT x, x / 3.0e0 AS d, lpad('', 400, '\"\\ü') AS s, from_milliseconds(x) AS t, ARRAY[x, -x] AS a FROM UNNEST(sequence(1, 5000)) AS u (x)`
	token, pages := "", 0
	for more := true; more; pages++ {
		page, err := post(s, fmt.Sprintf(`{"QueryString": "%s"%s}`, sql, token))
		if err != nil {
			t.Fatal(err)
		}
		// A kilobyte is for what is not rows.
		if len(page) > 1_001_000 {
			t.Errorf("page %d has %d bytes", pages, len(page))
		}
		m := regexp.MustCompile(`"NextToken":"([^"]*)"`).FindStringSubmatch(page)
		if more = m != nil; more {
			token = fmt.Sprintf(`, "NextToken": "%s"`, m[1])
			if len(page) < 700_000 {
				t.Errorf("page %d has only %d bytes, and more follow", pages, len(page))
			}
		}
	}
	if pages < 3 {
		t.Errorf("%d pages, want several", pages)
	}
}
