// Package s3 is the door for Amazon S3 (REST-XML, 2006-03-01) over the buckets in the data
// folder: what SDKs, the CLI and data tools need to put files beside a database and take its
// exports away. Path style, and virtual-hosted style below localhost and the public host name.
//
// Bodies are streams: nothing is held in memory, and nothing is stored before the request's
// signature, hash and checksums were found right. Sub-resources and headers that ask for more than this
// door has end in NotImplemented, never in silence; encryption and storage class are echoed.
//
// A Handler is safe for concurrent use.
package s3

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/sigv4"
	"github.com/weir-db/weir/internal/telemetry"
)

// Options of the door. Buckets is required.
type Options struct {
	Buckets *objstore.Buckets

	// Keys finds access keys; nil takes every request, signed by whatever key or not at all.
	Keys interface {
		Credential(accessKeyID, token string) (iam.Identity, error)
	}
	Verifier *sigv4.Verifier // with Keys

	// Authorize decides whether a caller may do an action ("s3:PutObject") to a bucket or an object, by ARN; nil
	// allows everything. Its error goes to the client as AccessDenied.
	Authorize func(ctx context.Context, caller wire.Caller, action, resource string) error

	AccountID      string
	Region         string
	PublicHost     string // host[:port] below which buckets are sub-domains; "" for none but localhost
	MaxObjectBytes int64  // of one PUT; default 5 GiB, as on AWS

	Telemetry *telemetry.Registry // nil counts nothing
	Log       *slog.Logger        // nil discards
}

// Handler is the door; see [New].
type Handler struct{ Options }

// New returns the door.
func New(o Options) *Handler {
	if o.MaxObjectBytes <= 0 {
		o.MaxObjectBytes = 5 << 30
	}
	if o.Verifier == nil {
		o.Verifier = &sigv4.Verifier{}
	}
	if o.Telemetry == nil {
		o.Telemetry = telemetry.New(telemetry.Options{})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{o}
}

// Claims reports whether a request is for S3: it is signed for it, in a form that only S3
// takes, or not signed at all and names a bucket that exists.
func (h *Handler) Claims(r *http.Request) bool {
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "Timestream_") {
		return false // most requests: spares parsing what is parsed again
	}
	s, err := sigv4.Parse(r)
	if err == nil {
		return s.Service == "s3"
	}
	if isV2(r) {
		return true
	}
	if r.Header.Get("Authorization") != "" || r.Header.Get("X-Amz-Target") != "" || strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-amz-") {
		return false
	}
	bucket, _ := h.split(r)
	_, err = h.Buckets.Bucket(bucket)
	return err == nil
}

// isV2 reports whether a request has a signature of version 2, which only S3 and old clients know.
func isV2(r *http.Request) bool {
	if strings.HasPrefix(r.Header.Get("Authorization"), "AWS ") {
		return true
	}
	return strings.Contains(r.URL.RawQuery, "AWSAccessKeyId=") && strings.Contains(r.URL.RawQuery, "Signature=")
}

// split returns the bucket and the key of a request; both may be empty.
func (h *Handler) split(r *http.Request) (bucket, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if bucket := h.hosted(r.Host); bucket != "" {
		return bucket, path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

// hosted returns the bucket that a host name stands for, or "".
func (h *Handler) hosted(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if net.ParseIP(host) != nil {
		return ""
	}
	public, _, err := net.SplitHostPort(h.PublicHost)
	if err != nil {
		public = h.PublicHost
	}
	for _, base := range []string{".s3.localhost", ".localhost", ".s3." + public, "." + public} {
		if len(base) < 2 || strings.HasSuffix(base, ".") {
			continue
		}
		if bucket, ok := strings.CutSuffix(host, base); ok && bucket != "s3" && objstore.ValidBucketName(bucket) {
			return bucket
		}
	}
	return ""
}

// request is a request on its way through an operation.
type request struct {
	*Handler
	http.ResponseWriter
	r           *http.Request
	bucket, key string
	id          string
	caller      wire.Caller
	chain       *sigv4.Chain
	status      int
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	q := &request{Handler: h, ResponseWriter: w, r: r, id: wire.NewRequestID()}
	q.bucket, q.key = h.split(r)
	head := w.Header()
	head.Set("X-Amz-Request-Id", q.id)
	head.Set("X-Amz-Id-2", q.id)
	head.Set("Server", "weir")
	op, err := q.operation()
	if err == nil {
		err = q.authenticate()
	}
	if err == nil {
		err = q.authorize(op)
	}
	if err == nil {
		err = op.run(q)
	}
	if err != nil {
		q.fail(err)
	}
	h.Telemetry.Counter("weir_requests_total", "Requests by service, operation and HTTP status.",
		"service", "s3", "operation", op.name, "status", strconv.Itoa(max(q.status, http.StatusOK))).Add(1)
	h.Telemetry.Histogram("weir_request_seconds", "Time from a request's header to its answer being ready.",
		telemetry.DurationBounds, "service", "s3", "operation", op.name).Observe(time.Since(began).Seconds())
}

// WriteHeader notes the status.
func (q *request) WriteHeader(status int) {
	if q.status == 0 {
		q.status = status
	}
	q.ResponseWriter.WriteHeader(status)
}

func (q *request) authenticate() error {
	root := wire.Caller{AccountID: q.AccountID, ARN: "arn:aws:iam::" + q.AccountID + ":root", UserID: q.AccountID}
	if q.Keys == nil {
		q.caller = root
		return nil
	}
	if isV2(q.r) {
		return fail("InvalidRequest", http.StatusBadRequest, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
	}
	s, err := sigv4.Parse(q.r)
	if err != nil {
		return err
	}
	key, err := q.Keys.Credential(s.AccessKeyID, s.Token)
	if err != nil {
		return err
	}
	if q.chain, err = q.Verifier.VerifyHead(q.r, s, key.Secret); err != nil {
		return err
	}
	region := s.Region
	if region == "" {
		region = q.Region
	}
	q.r = q.r.WithContext(iam.WithContext(q.r.Context(), q.keys(region)))
	q.caller = wire.Caller{AccountID: key.AccountID, ARN: key.ARN, UserID: key.UserID, AccessKeyID: s.AccessKeyID}
	return nil
}

// keys returns the condition keys of the request, with those that S3 has of its own: what a list is asked for.
func (q *request) keys(region string) func(string) []string {
	all, v := iam.RequestKeys(q.r, region), q.r.URL.Query()
	return func(key string) []string {
		switch key {
		case "s3:prefix", "s3:delimiter", "s3:max-keys":
			return v[key[len("s3:"):]]
		}
		return all(key)
	}
}

func (q *request) authorize(op operation) error {
	if q.Authorize == nil || op.name == "DeleteObjects" { // which asks for each
		return nil
	}
	resource := "arn:aws:s3:::" + q.bucket
	switch {
	case q.bucket == "":
		resource = "*"
	case q.key != "":
		resource += "/" + q.key
	}
	return q.Authorize(q.r.Context(), q.caller, op.action, resource)
}

// body returns the request's content, which is checked when it is read to its end.
func (q *request) body() (io.Reader, http.Header) {
	q.r.Body = &patient{ReadCloser: q.r.Body, rc: http.NewResponseController(q.ResponseWriter)}
	return sigv4.Body(q.r, q.chain)
}

// patient waits for a slow client, but not for a silent one.
type patient struct {
	io.ReadCloser
	rc   *http.ResponseController
	next time.Time
}

const silence = 60 * time.Second

func (p *patient) Read(b []byte) (int, error) {
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(time.Second)
		_ = p.rc.SetReadDeadline(now.Add(silence)) // writers of tests have none
	}
	n, err := p.ReadCloser.Read(b)
	if err == io.EOF {
		_ = p.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// decode reads a small XML body.
func (q *request) decode(v any) error {
	body, _ := q.body()
	doc, err := io.ReadAll(io.LimitReader(body, maxDocument+1))
	if err != nil {
		return err
	}
	if len(doc) > maxDocument {
		return fail("MaxMessageLengthExceeded", http.StatusBadRequest, "Your request was too big.")
	}
	if err := q.checkMD5(doc); err != nil {
		return err
	}
	if err := xml.Unmarshal(doc, v); err != nil {
		return errMalformedXML
	}
	return nil
}

const maxDocument = 2 << 20

// answer writes an XML document.
func (q *request) answer(v any) error {
	doc, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	q.Header().Set("Content-Type", "application/xml")
	q.Header().Set("Content-Length", strconv.Itoa(len(xml.Header)+len(doc)))
	q.WriteHeader(http.StatusOK)
	_, err = io.WriteString(q, xml.Header+string(doc))
	q.sent(err)
	return nil
}

// sent notes that an answer did not arrive, which is nobody's error.
func (q *request) sent(err error) {
	if err != nil {
		q.Log.Debug("answer not delivered", "request_id", q.id, "err", err)
	}
}

func (q *request) empty(status int) error {
	q.WriteHeader(status)
	return nil
}

const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func quoted(etag string) string { return `"` + etag + `"` }

type owner struct{ ID, DisplayName string }

func (q *request) owner() owner { return owner{q.AccountID, "root"} }

var errNotImplemented = fail("NotImplemented", http.StatusNotImplemented, "A header or parameter you provided implies functionality that is not implemented.")

var errMalformedXML = fail("MalformedXML", http.StatusBadRequest, "The XML you provided was not well-formed or did not validate against our published schema")

func fail(code string, status int, format string, args ...any) error {
	return &apiError{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

func (q *request) fail(err error) {
	e := errorOf(err)
	if e.Status >= 500 && e.Status != http.StatusNotImplemented {
		q.Log.Error("request failed", "request_id", q.id, "op", q.r.Method, "err", err)
	}
	if q.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: the client must see that it broke
	}
	e.Resource, e.RequestID, e.HostID = q.r.URL.Path, q.id, q.id
	if e.Status == http.StatusNotModified {
		q.WriteHeader(e.Status)
		return
	}
	doc, mErr := xml.Marshal(e)
	if mErr != nil {
		panic("bug: " + mErr.Error())
	}
	q.Header().Set("Content-Type", "application/xml")
	q.Header().Set("Content-Length", strconv.Itoa(len(xml.Header)+len(doc)))
	q.WriteHeader(e.Status)
	if q.r.Method != http.MethodHead {
		_, wErr := io.WriteString(q, xml.Header+string(doc))
		q.sent(wErr)
	}
}
