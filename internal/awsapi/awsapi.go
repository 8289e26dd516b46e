// Package awsapi is the AWS endpoint: all services on one port. A request is
// read under its limit, routed to a service and an operation, authenticated,
// authorised, run, answered in its own protocol, and counted.
//
// A request is told apart, in this order, by the X-Amz-Target header (AWS JSON), a
// path /service/S/operation/O (Smithy RPC v2 CBOR), a method and path that a
// service declared (REST-JSON), or the Action and Version of a form (Query);
// where two services would do, the credential scope decides. S3 comes before all of
// them, when a request is signed for it or names a bucket ([ObjectDoor]). Answers to what has no
// service are the front end's own errors (reference/api.md, section 2).
//
// A [Handler] is read-only after New but for its caches, and may be called
// concurrently. Handlers of operations may keep nothing of a call.
package awsapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/sigv4"
	"github.com/weir-db/weir/internal/telemetry"
)

// Options of the endpoint. Services is needed; the rest has defaults.
type Options struct {
	Services []*wire.Service

	// Objects is S3, which streams and answers by itself; nil: there is none.
	Objects ObjectDoor

	// Auth says who calls; nil takes every caller as the root of AccountID.
	Auth Authenticator
	// Authorize is asked before each operation runs; nil allows everything.
	Authorize Authorizer

	Region    string // of requests that name none; default "us-east-1"
	AccountID string // 12 digits; default "000000000000"

	MaxBodyBytes int64 // of a request, also once decompressed; default 4 MiB
	// BodyTimeout is how long a client may take to send a body; default 60 s.
	BodyTimeout time.Duration

	// Origins are the web origins (scheme://host:port, or "*") whose pages may call.
	// Pages on loopback addresses always may, unless AnyOrigin is set, which admits
	// all: right where every request must be signed, as on AWS, and wrong where
	// unsigned requests are taken, since any page in a user's browser could send them.
	Origins   []string
	AnyOrigin bool

	Telemetry *telemetry.Registry // nil counts nothing
	Log       *slog.Logger        // nil discards
}

func (o Options) withDefaults() Options {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.AccountID == "" {
		o.AccountID = "000000000000"
	}
	if o.Auth == nil {
		o.Auth = Anyone{AccountID: o.AccountID}
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = 4 << 20
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = time.Minute
	}
	if o.Telemetry == nil {
		o.Telemetry = telemetry.New(telemetry.Options{})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// ObjectDoor is a service whose bodies are too large for a [wire.Call]: it authenticates,
// authorises and counts what it claims.
type ObjectDoor interface {
	Claims(r *http.Request) bool
	http.Handler
}

// Authorizer decides whether c.Caller may run c.Operation. A refusal is a fault
// of kind Denied, worded as AWS does. It sees the call before its input is
// decoded, and sets c.Decoded and c.Allow for what depends on the input. The
// operation runs with the context that it returns.
type Authorizer interface {
	Authorize(ctx context.Context, c *wire.Call) (context.Context, error)
}

// Handler is the endpoint; see [New].
type Handler struct {
	opt    Options
	routes *routes
	meters meters
}

// New returns the endpoint. It fails if two services claim the same requests.
func New(opt Options) (*Handler, error) {
	opt = opt.withDefaults()
	rt, err := newRoutes(opt.Services)
	if err != nil {
		return nil, err
	}
	return &Handler{opt: opt, routes: rt, meters: meters{reg: opt.Telemetry}}, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &wire.Call{
		Protocol:  protocolOf(r),
		Region:    h.opt.Region,
		RequestID: wire.NewRequestID(),
		HTTP:      r,
		Secure:    r.TLS != nil,
	}
	if !h.checkOrigin(w, r) {
		h.fail(w, c, forbiddenOrigin(), began)
		return
	}
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	if h.isForObjects(r) {
		h.opt.Objects.ServeHTTP(w, r)
		return
	}
	body, err := h.readBody(w, r)
	if err != nil {
		h.fail(w, c, err, began)
		return
	}
	defer body.release()
	c.Body = body
	resp, err := h.run(r, c)
	if err != nil {
		h.fail(w, c, err, began)
		return
	}
	status := resp.Status
	if status == 0 {
		status = http.StatusOK
	}
	// Counted before it is sent: who has the answer can see it in the metrics.
	h.done(c, status, began)
	if err := wire.WriteResponse(w, c, resp); err != nil {
		h.opt.Log.Debug("answer not delivered", "request_id", c.RequestID, "err", err)
	}
}

// run takes the call from its route to its answer.
func (h *Handler) run(r *http.Request, c *wire.Call) (resp wire.Response, err error) {
	scope, unsigned := sigv4.Parse(r)
	if unsigned != nil {
		scope = nil
	}
	signed := c.Body
	op, err := h.routes.find(c, scope)
	if err != nil {
		return wire.Response{}, err
	}
	if scope != nil && scope.Region != "" {
		c.Region = scope.Region
	}
	if c.Caller, err = h.opt.Auth.Authenticate(r, c, scope, unsigned, signed); err != nil {
		return wire.Response{}, authException(c, err)
	}
	if err := h.inflate(r, c); err != nil {
		return wire.Response{}, err
	}
	ctx := r.Context()
	if h.opt.Authorize != nil {
		if ctx, err = h.opt.Authorize.Authorize(ctx, c); err != nil {
			return wire.Response{}, err
		}
	}
	// A bug in one operation must not take the client's connection with it.
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			err = fmt.Errorf("bug: panic: %v\n%s", p, debug.Stack())
		} else if p != nil {
			panic(p)
		}
	}()
	return op(ctx, c)
}

func (h *Handler) fail(w http.ResponseWriter, c *wire.Call, err error, began time.Time) {
	e := wire.ExceptionOf(c, err)
	if e.Status >= 500 {
		h.opt.Log.Error("request failed", "request_id", c.RequestID, "op", c.Operation, "err", err)
	}
	h.done(c, e.Status, began)
	if err := wire.WriteError(w, c, e); err != nil {
		h.opt.Log.Debug("answer not delivered", "request_id", c.RequestID, "err", err)
	}
}

func (h *Handler) done(c *wire.Call, status int, began time.Time) {
	took := time.Since(began)
	h.meters.count(c, status, took)
	if h.opt.Log.Enabled(context.Background(), slog.LevelDebug) {
		h.opt.Log.Debug("request", "request_id", c.RequestID, "op", c.Operation, "status", status, "dur", took, "bytes", len(c.Body))
	}
}

// drain reads what is left of a refused body, up to a bound and to the read deadline, so
// that the client sees the answer: closing a connection that has unread bytes resets it, and
// clients then report a network error and try again.
func drain(r io.Reader) { _, _ = io.CopyN(io.Discard, r, 64<<20) }
