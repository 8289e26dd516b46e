// Package wire says what an operation of the AWS API is, and turns the five wire
// protocols into it and back: AWS JSON 1.0 and 1.1, Query/XML, REST-JSON and
// Smithy RPC v2 CBOR.
//
// A service is a table of operations ([Service]). The router (package awsapi)
// finds the service and the operation, fills in a [Call] and runs the handler; the
// handler's [Response] or error is written by [WriteResponse] and [WriteError] in
// the protocol of the request. A service that speaks only AWS JSON may read
// [Call.Body] and build its JSON itself, in a buffer of [Call.Buffer]; a service that
// speaks several protocols uses [Call.Decode] and [Response.Value], and never
// learns which one it was.
//
// Values cross as Go structs whose exported field names are the API's member
// names; a tag `wire:"Name"` renames a field, `wire:"-"` hides one. Members of types
// pointer, slice, map, string and time.Time are left out of an answer while
// they are nil, "" or the zero time (an empty, non-nil slice is written); numbers and
// booleans are always written, so an optional one is a pointer. Members of a
// request that a struct lacks are ignored, as AWS does. Times are epoch seconds in
// JSON, ISO 8601 in XML, tag 1 in CBOR. A tag `flat:"Name"` says that a list or map is flattened
// in forms and XML, with items of that name (SQS); a map's have a Name and a Value, or with
// `flat:"Name,Key"` a Key and a Value.
//
// Nothing here keeps state but buffer pools and caches; all functions may be
// called concurrently. A Call belongs to one request.
package wire

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/weir-db/weir/internal/fault"
)

// Protocol is how a request and its answer are written.
type Protocol uint8

// The protocols that AWS clients speak.
const (
	JSON10 Protocol = iota // POST /, X-Amz-Target, application/x-amz-json-1.0
	JSON11                 // the same with 1.1
	Query                  // a form with Action and Version; XML back
	REST                   // REST-JSON: method, path, query string, JSON body
	CBOR                   // POST /service/S/operation/O, Smithy RPC v2
)

var protocolNames = [...]string{"json-1.0", "json-1.1", "query", "rest-json", "rpc-v2-cbor"}

// String returns the protocol's name, for logs.
func (p Protocol) String() string { return protocolNames[p] }

// Handler runs one operation. It may keep nothing of the call after it returned.
// Its error is an [*Exception], or any error, which the service's table of kinds
// turns into one (see [Service.Errors]).
type Handler func(ctx context.Context, c *Call) (Response, error)

// Typed makes a handler of a function that works on structs, whatever the
// protocol: in is decoded from the request, what f returns is encoded; nil is
// an answer without a result.
func Typed[In any](f func(ctx context.Context, c *Call, in *In) (any, error)) Handler {
	return func(ctx context.Context, c *Call) (Response, error) {
		in := new(In)
		if err := c.Decode(in); err != nil {
			return Response{}, err
		}
		out, err := f(ctx, c, in)
		return Response{Value: out}, err
	}
}

// Service is a set of operations under one name. It is read-only once it is
// given to the router.
type Service struct {
	Name         string   // for logs and policies, e.g. "timestream"
	SigningNames []string // accepted in the credential scope; nil means {Name}

	TargetPrefix   string // X-Amz-Target before the dot, and the service name of CBOR paths
	Version        string // API version in Query requests; "" if Query is not spoken
	XMLNamespace   string // of Query answers
	ErrorNamespace string // put before "#Name" in JSON and CBOR errors

	// QueryCompatible services name the old error code in x-amzn-query-error.
	QueryCompatible bool

	// MetricNamespace is where the router counts the service's calls, e.g.
	// "AWS/Timestream"; "" means that it does not.
	MetricNamespace string

	Operations map[string]Handler
	Routes     []Route              // for REST-JSON; each names an entry of Operations
	Errors     map[fault.Kind]Shape // kinds that are missing become the Internal one
}

// Route ties a method and a path to an operation of a REST-JSON service. A segment
// of the pattern is text, {name} for one segment, or, at the end, {name...} for one or
// more. Segments are matched undecoded and handed over decoded, so %2F is part
// of a value.
type Route struct {
	Method    string
	Pattern   string // e.g. "/rules/{ruleName}/enable"
	Operation string
}

// Caller says who calls. The zero Caller is nobody.
type Caller struct {
	AccountID   string // 12 digits
	ARN         string // e.g. arn:aws:iam::000000000000:root
	UserID      string // unique id, as GetCallerIdentity tells it
	AccessKeyID string // "" for an unsigned request
}

// Call is one request to an operation.
type Call struct {
	Service   *Service
	Operation string
	Protocol  Protocol
	Region    string // of the credential scope, else the server's
	RequestID string // 26 characters, also in the answer's header and in the log
	Caller    Caller
	Secure    bool // the request came over TLS

	// Body is the request's body, undecoded. It is valid until the handler returns.
	Body []byte
	HTTP *http.Request     // its Body is already read; see Body
	Path map[string]string // the values of a REST route's {names}, decoded

	// What follows is for the operation to set, so that the call is counted where
	// CloudWatch clients look for it. Keep them to names that exist: each
	// pair becomes a metric.
	Database, Table string
	Records         int64 // NumberOfRecords: records stored
	BytesMetered    int64 // CumulativeBytesMetered: bytes taken in or scanned

	// Decoded, if set, gets the input that Decode read, before the operation has it, and refuses the
	// call by an error. Allow, if set, says whether the caller may do action ("iot:CreateTopicRule")
	// to a resource, for operations that know it otherwise; ask by [Call.Check].
	Decoded func(in any) error
	Allow   func(action, resource string) error

	form *form // the decoded form of a Query request
}

// Check asks whether the caller may do action to a resource; the error is of kind fault.Denied.
func (c *Call) Check(action, resource string) error {
	if c.Allow == nil {
		return nil
	}
	return c.Allow(action, resource)
}

// Param returns the first value of name in the URL's query string, or "".
func (c *Call) Param(name string) string { return c.HTTP.URL.Query().Get(name) }

// Response is what an operation answers. The zero Response is an empty success.
// At most one of JSON and Value is set.
type Response struct {
	JSON  []byte // a whole JSON document, for services that speak only JSON
	Value any    // a struct or pointer to one, encoded in the request's protocol

	Status int         // 0 means 200
	Header http.Header // added to the answer's; may be nil

	rest    [][]byte // of the document, after JSON
	sent    func()
	recycle bool
}

// JSON answers with ready-made JSON bytes, which must not change until they are sent.
func JSON(b []byte) Response { return Response{JSON: b} }

// Value answers with a struct, encoded in the request's protocol.
func Value(v any) Response { return Response{Value: v} }

// Recycled answers with JSON in a buffer that came from [Call.Buffer] (grown or
// not). The router takes it back once it is sent.
func Recycled(b []byte) Response { return Response{JSON: b, recycle: true} }

// Pieces answers with a JSON document in pieces, which saves copying a large one together: head, which is
// [Recycled], and the rest, which must not change until sent is called. That is when the answer was written;
// it is not called if it could not be.
func Pieces(sent func(), head []byte, rest ...[]byte) Response {
	return Response{JSON: head, rest: rest, sent: sent, recycle: true}
}

// maxRecycled keeps one huge answer from being held for ever.
const maxRecycled = 4 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// Buffer returns an empty buffer with room, for the answer's JSON. Append to it and
// return it as [Recycled]; a buffer that is dropped instead is merely lost to the pool.
func (c *Call) Buffer() []byte { return *buffers.Get().(*[]byte) }

func recycle(b []byte) {
	if cap(b) > 0 && cap(b) <= maxRecycled {
		b = b[:0]
		buffers.Put(&b)
	}
}

// NewRequestID returns 26 characters of upper-case base32, the form AWS uses.
func NewRequestID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw[:])
}
