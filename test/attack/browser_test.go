package attack

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weir-db/weir/internal/server"
)

// TestPagesCannotUseWhoeverOpensThem is about servers that take unsigned requests on loopback: a page
// in a user's browser can reach them.
func TestPagesCannotUseWhoeverOpensThem(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *server.Options) {
		o.Auth, o.RootAccessKeyID, o.RootSecretAccessKey = server.AuthAuto, "", ""
	})
	const action = "/?Action=CreateUser&Version=2010-05-08&UserName=eve"
	browser := http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept-Language": {"de"}}
	with := func(h http.Header, kv ...string) http.Header {
		h = h.Clone()
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	jsonType := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"Timestream_20181101.CreateDatabase"}}
	for name, c := range map[string]struct {
		request
		host string
	}{
		"an image":                        {request{method: "GET", path: action, header: with(browser, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors")}, ""},
		"a link":                          {request{method: "GET", path: action, header: with(browser, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")}, ""},
		"a page of a neighbour":           {request{method: "GET", path: action, header: with(browser, "Sec-Fetch-Site", "same-site")}, ""},
		"a form":                          {request{method: "POST", path: "/", body: "Action=CreateUser&Version=2010-05-08&UserName=eve", header: with(browser, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example")}, ""},
		"a form of a page without origin": {request{method: "POST", path: "/", body: "Action=CreateUser&Version=2010-05-08&UserName=eve", header: with(browser, "Content-Type", "application/x-www-form-urlencoded", "Origin", "null")}, ""},
		"a script":                        {request{method: "POST", path: "/", body: `{"DatabaseName":"eve"}`, header: with(jsonType, "Origin", "https://evil.example")}, ""},
		"a rebound name, GET":             {request{method: "GET", path: action, header: browser}, "evil.example:8470"},
		"a rebound name, POST":            {request{method: "POST", path: "/", body: `{"DatabaseName":"eve"}`, header: with(jsonType, "Origin", "http://evil.example:8470")}, "evil.example:8470"},
		"the clock by a rebound name":     {request{method: "PUT", path: "/admin/clock", body: `{"advance":"1h"}`, header: with(browser, "Content-Type", "application/json", "Origin", "http://evil.example:8470")}, "evil.example:8470"},
	} {
		req := s.plain(c.request)
		if c.host != "" {
			req.Host = c.host
		}
		if status, body := s.send(req); status != 403 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if _, body := s.send(s.plain(request{method: "GET", path: "/?Action=ListUsers&Version=2010-05-08"})); strings.Contains(body, "eve") {
		t.Errorf("the user was made: %s", body)
	}
	// What is no page's, or its user's own wish, goes on.
	for name, c := range map[string]struct {
		request
		host string
	}{
		"curl":                          {request{method: "GET", path: "/?Action=ListUsers&Version=2010-05-08"}, ""},
		"an address typed in":           {request{method: "GET", path: "/?Action=ListUsers&Version=2010-05-08", header: with(browser, "Sec-Fetch-Site", "none")}, ""},
		"a client by another name":      {timestream("ListDatabases", list), "weir.example:8470"},
		"a page on this machine":        {request{method: "POST", path: "/", body: `{}`, header: with(jsonType, "Origin", "http://localhost:3000", "X-Amz-Target", "Timestream_20181101.ListDatabases")}, ""},
		"a browser at a localhost name": {request{method: "GET", path: "/?Action=ListUsers&Version=2010-05-08", header: browser}, "localhost:8470"},
	} {
		req := s.plain(c.request)
		if c.host != "" {
			req.Host = c.host
		}
		if status, body := s.send(req); status != 200 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
