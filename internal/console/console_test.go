package console

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New().ServeHTTP(w, r)
	return w.Result()
}

func TestThePageNamesFilesThatAreThereAndMayBeKept(t *testing.T) {
	t.Parallel()
	page := get(t, Path)
	body, _ := io.ReadAll(page.Body)
	if page.StatusCode != 200 || page.Header.Get("Cache-Control") != "no-cache" || !strings.Contains(page.Header.Get("Content-Security-Policy"), "script-src 'self';") {
		t.Fatalf("page: %d %v", page.StatusCode, page.Header)
	}
	names := regexp.MustCompile(`console-[0-9a-f]{12}\.(js|css)`).FindAllString(string(body), -1)
	if len(names) != 2 {
		t.Fatalf("page names %v, want a script and a style", names)
	}
	for _, name := range names {
		if f := get(t, Path+name); f.StatusCode != 200 || !strings.Contains(f.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, f.StatusCode, f.Header)
		}
	}
}

func TestAFileIsSentZippedToWhoTakesIt(t *testing.T) {
	t.Parallel()
	plain, _ := io.ReadAll(get(t, Path).Body)
	r := get(t, Path, "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(z); string(got) != string(plain) {
		t.Error("zipped and plain page differ")
	}
	if r := get(t, Path, "Accept-Encoding", "gzip;q=0"); r.Header.Get("Content-Encoding") != "" {
		t.Error("zipped for a client that refuses it")
	}
}

func TestAKnownTagIsAnsweredWithoutABody(t *testing.T) {
	t.Parallel()
	tag := get(t, Path).Header.Get("ETag")
	if r := get(t, Path, "If-None-Match", `"other", W/`+tag); r.StatusCode != http.StatusNotModified {
		t.Errorf("got %d, want 304", r.StatusCode)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	t.Parallel()
	for _, p := range []string{Path + "x", Path + "index.html", Path + "dist/", Path + "../console.go"} {
		if r := get(t, p); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", p, r.StatusCode)
		}
	}
}

func TestOnlyABrowserIsSentToTheConsole(t *testing.T) {
	t.Parallel()
	check := func(method, target, accept, auth string, want bool) {
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Accept", accept)
		r.Header.Set("Authorization", auth)
		if Wanted(r) != want {
			t.Errorf("%s %s, Accept %q, Authorization %q: got %v", method, target, accept, auth, !want)
		}
	}
	check("GET", "/", "text/html,*/*", "", true)
	check("GET", "/", "*/*", "", false)
	check("GET", "/", "text/html", "AWS4-HMAC-SHA256 x", false)
	check("GET", "/?X-Amz-Signature=1", "text/html", "", false)
	check("POST", "/", "text/html", "", false)
}
