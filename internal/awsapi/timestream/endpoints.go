package timestream

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/weir-db/weir/internal/awsapi/wire"
)

// cacheMinutes is how long SDKs may keep an endpoint.
const cacheMinutes = 1440

type endpointsOut struct{ Endpoints []endpointOut }

type endpointOut struct {
	Address              string
	CachePeriodInMinutes int64
}

// describeEndpoints answers with this server, in the form that the caller's SDK can
// use (reference/clients.md, section 4: measured). The input has no meaning.
func (s *service) describeEndpoints(_ context.Context, c *wire.Call) (wire.Response, error) {
	host := s.PublicHost
	if host == "" {
		host = hostOf(c.HTTP)
	}
	return wire.Value(endpointsOut{[]endpointOut{{address(host, c.Secure, userAgent(c.HTTP)), cacheMinutes}}}), nil
}

// address words host[:port] for an SDK:
//
//   - botocore puts https:// before anything that does not begin with http, and so
//     does .NET;
//   - the JavaScript SDK replaces the host name alone and keeps scheme and port;
//   - all others keep their scheme and take host:port. Go takes only hosts that end in
//     an AWS suffix, and stays with the endpoint it has otherwise.
func address(host string, secure bool, agent string) string {
	switch {
	case hasAnyPrefix(agent, "boto3/", "botocore/", "aws-cli/", "aws-sdk-dotnet"):
		if secure {
			return "https://" + host
		}
		return "http://" + host
	case hasAnyPrefix(agent, "aws-sdk-js/"):
		if bare, _, err := net.SplitHostPort(host); err == nil {
			if strings.Contains(bare, ":") {
				return "[" + bare + "]"
			}
			return bare
		}
	}
	return host
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// userAgent returns the SDK's own header, which browsers cannot suppress, or else the
// usual one, in lower case.
func userAgent(r *http.Request) string {
	agent := r.Header.Get("User-Agent")
	if own := r.Header.Get("X-Amz-User-Agent"); own != "" && !hasAnyPrefix(strings.ToLower(agent), "aws-sdk-", "boto") {
		agent = own
	}
	return strings.ToLower(agent)
}

// hostOf returns the host[:port] that the caller used. A name of AWS's own, which
// somebody resolved to us, must not go back: SDKs would leave for the real one.
func hostOf(r *http.Request) string {
	host := r.Host
	name := strings.ToLower(host)
	if bare, _, err := net.SplitHostPort(name); err == nil {
		name = bare
	}
	if strings.HasSuffix(name, ".amazonaws.com") || strings.HasSuffix(name, ".api.aws") || host == "" {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			return local.String()
		}
	}
	return host
}
