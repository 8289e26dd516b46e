package conformance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// endpointForms shows the address in the form that each SDK takes (clients.md, section 4).
func endpointForms(s *suite) {
	at, err := url.Parse(s.URL)
	ok(s.T, err)
	for _, c := range []struct{ promise, agent, host, want string }{
		{"botocore gets a URL", "Boto3/1.43.11 md/Botocore#1.43.11", at.Host, s.URL},
		{"the CLI gets a URL", "aws-cli/2.9.19 Python/3.11.2", at.Host, s.URL},
		{".NET gets a URL", "aws-sdk-dotnet-coreclr/3.7", at.Host, s.URL},
		{"JavaScript gets a host without port", "aws-sdk-js/3.1138.0", at.Host, at.Hostname()},
		{"every other client gets host and port", "aws-sdk-rust/1.3", at.Host, at.Host},
		{"the name that the caller used", "aws-sdk-php/3", "weir.example:8470", "weir.example:8470"},
		{"never a name of AWS's own, which SDKs would go to", "aws-sdk-go-v2/1.30", "ingest.timestream.us-east-1.amazonaws.com", at.Host},
	} {
		s.shows(success, c.promise, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(`{"Operation":"Query","Identifiers":{}}`))
			ok(t, err)
			req.Host = c.host
			req.Header = http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"Timestream_20181101.DescribeEndpoints"}, "User-Agent": {c.agent}}
			req.Close = true
			resp, err := http.DefaultClient.Do(req)
			ok(t, err)
			defer resp.Body.Close()
			var out struct{ Endpoints []struct{ Address string } }
			ok(t, json.NewDecoder(resp.Body).Decode(&out))
			same(t, "address", out.Endpoints[0].Address, c.want)
		})
	}
}
