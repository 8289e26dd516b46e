package awsapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/sigv4"
)

// routes finds the operation of a request.
type routes struct {
	byTarget  map[string]*wire.Service
	byVersion map[string][]*wire.Service
	rest      []restRoute
}

type restRoute struct {
	service   *wire.Service
	method    string
	segments  []string // text, {name} or {name...}
	operation string
}

func newRoutes(services []*wire.Service) (*routes, error) {
	rt := &routes{byTarget: map[string]*wire.Service{}, byVersion: map[string][]*wire.Service{}}
	for _, s := range services {
		if s.TargetPrefix != "" {
			if other := rt.byTarget[s.TargetPrefix]; other != nil {
				return nil, fmt.Errorf("services %s and %s share the target prefix %s", other.Name, s.Name, s.TargetPrefix)
			}
			rt.byTarget[s.TargetPrefix] = s
		}
		if s.Version != "" {
			rt.byVersion[s.Version] = append(rt.byVersion[s.Version], s)
		}
		for _, r := range s.Routes {
			if s.Operations[r.Operation] == nil {
				return nil, fmt.Errorf("service %s routes %s %s to %s, which it lacks", s.Name, r.Method, r.Pattern, r.Operation)
			}
			rt.rest = append(rt.rest, restRoute{service: s, method: r.Method, operation: r.Operation, segments: strings.Split(strings.TrimPrefix(r.Pattern, "/"), "/")})
		}
	}
	return rt, nil
}

// protocolOf tells the protocol of a request from its form alone.
func protocolOf(r *http.Request) wire.Protocol {
	contentType := r.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(contentType, "application/x-amz-json-1.1"):
		return wire.JSON11
	case r.Header.Get("X-Amz-Target") != "":
		return wire.JSON10
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor", isCBORPath(r.URL.Path):
		return wire.CBOR
	case isQueuePath(r.URL.Path) && strings.HasPrefix(contentType, "application/x-www-form-urlencoded"):
		return wire.Query
	case r.URL.Path != "/" && r.URL.Path != "":
		return wire.REST
	case strings.HasPrefix(contentType, "application/x-www-form-urlencoded"), r.URL.Query().Has("Action"):
		return wire.Query
	}
	return wire.JSON10
}

// isQueuePath reports whether a path is that of a queue's URL, /<account>/<name>, where some
// SDKs send their Query requests.
func isQueuePath(path string) bool {
	parts := strings.Split(path, "/")
	return len(parts) == 3 && len(parts[1]) == 12 && strings.Trim(parts[1], "0123456789") == ""
}

func isCBORPath(path string) bool {
	return strings.HasPrefix(path, "/service/") && strings.Contains(path, "/operation/")
}

// scopeOf returns the credential scope a request claims, unverified, or nil.
func scopeOf(r *http.Request) *sigv4.Signature {
	s, err := sigv4.Parse(r)
	if err != nil {
		return nil
	}
	return s
}

// find sets c's service, operation, protocol and path values and returns the operation.
func (rt *routes) find(c *wire.Call, scope *sigv4.Signature) (wire.Handler, error) {
	switch c.Protocol {
	case wire.JSON10, wire.JSON11:
		prefix, op, _ := strings.Cut(c.HTTP.Header.Get("X-Amz-Target"), ".")
		c.Service = rt.byTarget[prefix]
		return operation(c, op)
	case wire.CBOR:
		parts := strings.Split(c.HTTP.URL.Path, "/") // "", service, S, operation, O
		if len(parts) != 5 || parts[1] != "service" || parts[3] != "operation" {
			return nil, wire.UnknownOperation()
		}
		c.Service = rt.byTarget[parts[2]]
		return operation(c, parts[4])
	case wire.Query:
		return rt.findQuery(c, scope)
	}
	return rt.findREST(c, scope)
}

// operation runs only what a POST asks for; what AWS's front end says to
// anything else is the same as to an unknown operation.
func operation(c *wire.Call, name string) (wire.Handler, error) {
	if c.Service == nil || c.HTTP.Method != http.MethodPost {
		return nil, wire.UnknownOperation()
	}
	return named(c, name)
}

func named(c *wire.Call, name string) (wire.Handler, error) {
	op := c.Service.Operations[name]
	if op == nil {
		return nil, wire.UnknownOperation()
	}
	c.Operation = name
	return op, nil
}

func (rt *routes) findQuery(c *wire.Call, scope *sigv4.Signature) (wire.Handler, error) {
	if len(c.Body) == 0 {
		c.Body = []byte(c.HTTP.URL.RawQuery) // presigned: the parameters are in the URL
	}
	if err := c.ParseForm(); err != nil {
		return nil, err
	}
	action := c.FormValue("Action")
	candidates := rt.byVersion[c.FormValue("Version")]
	c.Service = choose(candidates, scope, func(s *wire.Service) bool { return s.Operations[action] != nil })
	if c.Service == nil {
		return nil, unknownAction(action, c.FormValue("Version"))
	}
	op, err := named(c, action)
	if err != nil {
		return nil, unknownAction(action, c.FormValue("Version"))
	}
	return op, nil
}

func unknownAction(action, version string) error {
	e := wire.UnknownOperation()
	e.Status = http.StatusBadRequest
	e.Message = fmt.Sprintf("Could not find operation %s for version %s", action, version)
	return e
}

// choose returns the candidate that the credential scope names, else the first
// that fits, else the first.
func choose(candidates []*wire.Service, scope *sigv4.Signature, fits func(*wire.Service) bool) *wire.Service {
	if len(candidates) == 0 {
		return nil
	}
	if scope != nil {
		for _, s := range candidates {
			if signsFor(s, scope.Service) {
				return s
			}
		}
	}
	for _, s := range candidates {
		if fits(s) {
			return s
		}
	}
	return candidates[0]
}

// signsFor reports whether requests to s may be signed for the given name.
func signsFor(s *wire.Service, signingName string) bool {
	if s.SigningNames == nil {
		return s.Name == signingName
	}
	return slices.Contains(s.SigningNames, signingName)
}

// findREST takes the route with the most literal segments that matches.
func (rt *routes) findREST(c *wire.Call, scope *sigv4.Signature) (wire.Handler, error) {
	segments := strings.Split(strings.TrimPrefix(c.HTTP.URL.EscapedPath(), "/"), "/")
	var best *restRoute
	bestScore := -1
	for i := range rt.rest {
		r := &rt.rest[i]
		score := r.match(c.HTTP.Method, segments)
		if score < 0 {
			continue
		}
		// A service that the client signed for comes before all others.
		if scope != nil && signsFor(r.service, scope.Service) {
			score += 1000
		}
		if score > bestScore {
			best, bestScore = r, score
		}
	}
	if best == nil {
		return nil, wire.UnknownOperation()
	}
	var err error
	if c.Path, err = best.values(segments); err != nil {
		return nil, wire.Serialization("The path is not well encoded: %v.", err)
	}
	c.Service = best.service
	return named(c, best.operation)
}

// match returns how many segments are literal, or -1.
func (r *restRoute) match(method string, segments []string) int {
	if r.method != method {
		return -1
	}
	literal := 0
	for i, want := range r.segments {
		if i >= len(segments) {
			return -1
		}
		switch {
		case strings.HasSuffix(want, "...}"):
			if segments[i] == "" && i == len(segments)-1 {
				return -1
			}
			return literal
		case strings.HasPrefix(want, "{"):
			if segments[i] == "" {
				return -1
			}
		case want != segments[i]:
			return -1
		default:
			literal++
		}
	}
	if len(segments) != len(r.segments) {
		return -1
	}
	return literal
}

func (r *restRoute) values(segments []string) (map[string]string, error) {
	var values map[string]string
	for i, want := range r.segments {
		name, ok := strings.CutPrefix(want, "{")
		if !ok {
			continue
		}
		raw := segments[i]
		name = strings.TrimSuffix(name, "}")
		if rest, greedy := strings.CutSuffix(name, "..."); greedy {
			name, raw = rest, strings.Join(segments[i:], "/")
		}
		value, err := url.PathUnescape(raw)
		if err != nil {
			return nil, err
		}
		if values == nil {
			values = make(map[string]string, 2)
		}
		values[name] = value
	}
	return values, nil
}

// Claims reports whether a request is for an AWS client's eyes: the rest of a
// server (console, health) may have what it does not claim.
func (h *Handler) Claims(r *http.Request) bool {
	if r.Method == http.MethodPost || r.Method == http.MethodOptions || r.Header.Get("X-Amz-Target") != "" || isCBORPath(r.URL.Path) {
		return true
	}
	if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "X-Amz-Signature") || r.URL.Query().Has("Action") {
		return true
	}
	return h.isForObjects(r) || h.routes.matches(r)
}

// isForObjects reports whether a request is for S3. A path of another service that happens to be a
// bucket's name is S3's only if the request is signed for it.
func (h *Handler) isForObjects(r *http.Request) bool {
	d := h.opt.Objects
	return d != nil && d.Claims(r) && (scopeOf(r) != nil || !h.routes.matches(r))
}

// SignedFor reports whether a request says that it is signed for a service, by its signing name.
func SignedFor(r *http.Request, service string) bool {
	if h := r.Header.Get("Authorization"); h != "" && !strings.Contains(h, "/"+service+"/") {
		return false // most requests: spares parsing what is parsed again
	}
	s := scopeOf(r)
	return s != nil && s.Service == service
}

// matches reports whether some REST route takes the request.
func (rt *routes) matches(r *http.Request) bool {
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i := range rt.rest {
		if rt.rest[i].match(r.Method, segments) >= 0 {
			return true
		}
	}
	return false
}
