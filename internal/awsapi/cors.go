package awsapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/awsapi/wire"
)

// checkOrigin sets the CORS headers of a browser's request and reports whether
// its page may call. Requests without an Origin are not a page's. The check is
// not left to the browser: it sends simple requests without asking first, and
// a name that was rebound to a loopback address makes any page "same origin".
func (h *Handler) checkOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return h.opt.AnyOrigin || !fromPage(r)
	}
	if !h.opt.AnyOrigin && !slices.Contains(h.opt.Origins, "*") && !slices.Contains(h.opt.Origins, origin) && !isLoopback(origin) {
		return false
	}
	head := w.Header()
	head.Set("Access-Control-Allow-Origin", origin)
	head.Add("Vary", "Origin")
	head.Set("Access-Control-Expose-Headers", "x-amzn-RequestId, x-amzn-ErrorType, x-amzn-query-error, Date")
	return true
}

// fromPage reports whether a request without an Origin is a web page's all the same. Browsers name
// none for images, links and forms that GET, which the Query protocol would take as calls, and
// none for what a page GETs from its own host, whose name may have been rebound to this machine.
func fromPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.URL.Query().Has("Action")
	}
	browser := strings.HasPrefix(r.UserAgent(), "Mozilla/") || r.Header.Get("Accept-Language") != ""
	return browser && isRebound(r)
}

// isRebound reports whether a request to a loopback address names a host that is none.
func isRebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return false
	}
	return host != "localhost" && !strings.HasSuffix(host, ".localhost")
}

func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

func preflight(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		head.Set("Access-Control-Allow-Headers", asked)
	}
	// Chrome asks this before a public page may reach a private address.
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		head.Set("Access-Control-Allow-Private-Network", "true")
	}
	head.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
}

func forbiddenOrigin() error {
	return wire.Newf(wire.Shape{Name: "AccessDeniedException", Status: http.StatusForbidden, QueryCode: "AccessDenied"},
		"Pages of this web origin may not call this server.")
}
