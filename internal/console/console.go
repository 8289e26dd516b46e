// Package console holds weir's web console: the pages below [Path], built from web/ (make web) and
// embedded. They are static and the same for everybody; what they show they ask of the AWS API of the
// same origin, signed like any client's request.
//
// Files whose names carry the hash of their content may be kept for ever; the page that names them is asked
// for again each time (ETag). Nothing is loaded from elsewhere, which the Content-Security-Policy
// holds a browser to. A [Handler] may be used concurrently.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Path is where the console's page is.
const Path = "/console/"

//go:embed dist
var dist embed.FS

// Scripts and styles come from files of this origin alone; requests go to it alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type file struct {
	contentType, etag, caching string
	plain, zipped              []byte
}

// Handler serves the files below [Path], and 404 for what is none.
type Handler struct {
	files map[string]*file // by path below Path; "" is the page
}

// New makes the handler of the embedded build.
func New() *Handler {
	h := &Handler{files: map[string]*file{}}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		h.files[strings.TrimSuffix(strings.TrimPrefix(name, "dist/"), "index.html")] = newFile(name, data)
		return nil
	})
	if err != nil {
		panic("bug: embedded console: " + err.Error())
	}
	return h
}

func newFile(name string, data []byte) *file {
	types := map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
	f := &file{plain: data, contentType: types[path.Ext(name)], caching: "public, max-age=31536000, immutable"}
	if f.contentType == "" {
		f.contentType = "application/octet-stream"
	}
	if path.Ext(name) == ".html" {
		f.caching = "no-cache"
	}
	f.etag = fmt.Sprintf(`"%x"`, sha256.Sum256(data))[:33] + `"`
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	z.Write(data)
	z.Close()
	f.zipped = b.Bytes()
	return f
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "the console's pages are only read", http.StatusMethodNotAllowed)
		return
	}
	f := h.files[strings.TrimPrefix(r.URL.Path, Path)]
	if f == nil {
		head.Set("Cache-Control", "no-store")
		http.Error(w, "the console has no such page", http.StatusNotFound)
		return
	}
	zipped := acceptsGzip(r)
	etag, body := f.etag, f.plain
	if zipped { // a strong tag names one sequence of bytes
		etag, body = strings.TrimSuffix(f.etag, `"`)+`-gz"`, f.zipped
	}
	head.Set("Cache-Control", f.caching)
	head.Set("Vary", "Accept-Encoding")
	head.Set("ETag", etag)
	if sameTag(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Type", f.contentType)
	if zipped {
		head.Set("Content-Encoding", "gzip")
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body)
	}
}

// Wanted reports whether a request for "/" is a person's browser asking for a page, not a client of the API.
func Wanted(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.RawQuery == "" && r.Header.Get("Authorization") == "" &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && coding == "gzip" {
			q, err := strconv.ParseFloat(params["q"], 64)
			return params["q"] == "" || err == nil && q > 0
		}
	}
	return false
}

func sameTag(list, etag string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.TrimPrefix(strings.TrimSpace(part), "W/") == etag {
			return true
		}
	}
	return false
}
