// Package sigv4 verifies AWS Signature Version 4 on HTTP requests, in the
// header form (Authorization) and the presigned form (query string), over
// whatever headers the client signed.
//
// [Parse] reads who claims to have signed, [Verifier.Verify] checks the claim.
// The rules are those of "Signature Version 4 signing process" in the IAM user
// guide, as services other than S3 apply them: the path is encoded once more than it
// is on the wire, and the body counts by its hash, unless the client declares
// UNSIGNED-PAYLOAD. A Verifier may be used concurrently.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reason says why a request was refused.
type Reason uint8

// The reasons, each an error of its own in AWS's answers.
const (
	Missing    Reason = iota // there is no signature at all
	Incomplete               // there is one, but it cannot be read
	Mismatch                 // it is not what the key and the request give
	Stale                    // its time is too far from ours
	Uncovered                // it leaves out something that decides what the request means
)

// Error is why a request was refused. Its text is meant for the client.
type Error struct {
	Reason Reason
	Text   string
}

func (e *Error) Error() string { return e.Text }

func refuse(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Text: fmt.Sprintf(format, args...)}
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	unsigned   = "UNSIGNED-PAYLOAD"

	// MaxSkew is how far a signature's time may be from the verifier's.
	MaxSkew = 5 * time.Minute
	// maxExpiry is the longest life of a presigned request.
	maxExpiry = 7 * 24 * time.Hour
)

// Signature is what a request says about its own signature.
type Signature struct {
	AccessKeyID   string
	Date          string // of the credential scope, YYYYMMDD
	Region        string
	Service       string
	Token         string // X-Amz-Security-Token, or ""
	Time          time.Time
	Presigned     bool
	Expires       time.Duration // of a presigned request
	SignedHeaders []string      // lower case, in the order given

	signature string
}

// Parse reads the signature of r without verifying anything. The error is an
// [*Error] whose Reason is Missing or Incomplete.
func Parse(r *http.Request) (*Signature, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		return parseHeader(r, h)
	}
	if strings.Contains(r.URL.RawQuery, "X-Amz-") {
		if q := r.URL.Query(); q.Has("X-Amz-Signature") {
			return parseQuery(q)
		}
	}
	return nil, refuse(Missing, "Missing Authentication Token")
}

func parseHeader(r *http.Request, h string) (*Signature, error) {
	rest, ok := strings.CutPrefix(h, algorithm)
	if !ok {
		return nil, refuse(Incomplete, "Authorization header must use %s.", algorithm)
	}
	s := &Signature{Token: r.Header.Get("X-Amz-Security-Token")}
	credential, signedHeaders := "", ""
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signedHeaders = value
		case "Signature":
			s.signature = value
		}
	}
	date := r.Header.Get("X-Amz-Date")
	var err error
	if s.Time, err = time.Parse(timeFormat, date); err != nil {
		if s.Time, err = http.ParseTime(r.Header.Get("Date")); err != nil || date != "" {
			return nil, refuse(Incomplete, "Authorization header requires existence of either a valid 'X-Amz-Date' or a 'Date' header.")
		}
	}
	return s, s.complete(credential, signedHeaders)
}

func parseQuery(q url.Values) (*Signature, error) {
	if q.Get("X-Amz-Algorithm") != algorithm {
		return nil, refuse(Incomplete, "X-Amz-Algorithm must be %s.", algorithm)
	}
	s := &Signature{Presigned: true, Token: q.Get("X-Amz-Security-Token"), signature: q.Get("X-Amz-Signature")}
	var err error
	if s.Time, err = time.Parse(timeFormat, q.Get("X-Amz-Date")); err != nil {
		return nil, refuse(Incomplete, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\".")
	}
	seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
	if err != nil || seconds < 0 || seconds > int(maxExpiry/time.Second) {
		// The parameter is optional for services other than S3; 15 minutes is their default.
		if q.Has("X-Amz-Expires") {
			return nil, refuse(Incomplete, "X-Amz-Expires must be a number of seconds between 0 and %d.", int(maxExpiry/time.Second))
		}
		seconds = 900
	}
	s.Expires = time.Duration(seconds) * time.Second
	return s, s.complete(q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"))
}

// complete reads the credential scope and the list of signed headers.
func (s *Signature) complete(credential, signedHeaders string) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 || parts[n-1] != "aws4_request" {
		return refuse(Incomplete, "Credential must have the form KEY/DATE/REGION/SERVICE/aws4_request.")
	}
	s.AccessKeyID = strings.Join(parts[:n-4], "/")
	s.Date, s.Region, s.Service = parts[n-4], parts[n-3], parts[n-2]
	if s.AccessKeyID == "" || s.signature == "" || signedHeaders == "" {
		return refuse(Incomplete, "Authorization requires 'Credential', 'SignedHeaders' and 'Signature'.")
	}
	if s.Date != s.Time.UTC().Format("20060102") {
		return refuse(Incomplete, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	s.SignedHeaders = strings.Split(strings.ToLower(signedHeaders), ";")
	if !slices.Contains(s.SignedHeaders, "host") {
		return refuse(Incomplete, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// Verifier checks signatures. The zero Verifier is ready.
type Verifier struct {
	// Now is the verifier's clock, default time.Now. It is the machine's clock on
	// purpose: clients sign with theirs, whatever time a test has set.
	Now func() time.Time

	mu   sync.Mutex // guards keys
	keys map[scope][sha256.Size]byte
}

type scope struct{ secret, date, region, service string }

// maxKeys bounds the cache of signing keys; a full cache is emptied.
const maxKeys = 1024

// Verify checks that s, which Parse read from r, was made with secret over r and
// body, and that it is not too old. The error is an [*Error].
func (v *Verifier) Verify(r *http.Request, body []byte, s *Signature, secret string) error {
	if err := v.checkTime(s); err != nil {
		return err
	}
	if err := checkCoverage(r, s); err != nil {
		return err
	}
	key := v.signingKey(scope{secret, s.Date, s.Region, s.Service})
	given, err := hex.DecodeString(s.signature)
	if err != nil {
		return mismatch()
	}
	payload := payloadHash(r, body)
	for _, path := range canonicalPaths(r) {
		if signs(given, key, r, s, path, payload) || s.Presigned && signs(given, key, r, s, path, unsigned) {
			return nil
		}
	}
	return mismatch()
}

func mismatch() error {
	return refuse(Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

func (v *Verifier) checkTime(s *Signature) error {
	now := time.Now().UTC()
	if v.Now != nil {
		now = v.Now().UTC()
	}
	oldest := now.Add(-MaxSkew)
	if s.Presigned {
		oldest = now.Add(-s.Expires)
	}
	at := s.Time.UTC()
	if at.Before(oldest) {
		return refuse(Stale, "Signature expired: %s is now earlier than %s (%s - %d min.)",
			at.Format(timeFormat), oldest.Format(timeFormat), now.Format(timeFormat), int(now.Sub(oldest)/time.Minute))
	}
	if newest := now.Add(MaxSkew); at.After(newest) {
		return refuse(Stale, "Signature not yet current: %s is still later than %s (%s + %d min.)",
			at.Format(timeFormat), newest.Format(timeFormat), now.Format(timeFormat), int(MaxSkew/time.Minute))
	}
	return nil
}

// checkCoverage refuses a signature that leaves out what decides the meaning
// of the request: someone could change it in transit.
func checkCoverage(r *http.Request, s *Signature) error {
	for _, name := range [...]struct{ canonical, lower string }{{"X-Amz-Target", "x-amz-target"}, {"X-Amz-Date", "x-amz-date"}, {"X-Amz-Tagging", "x-amz-tagging"}} {
		if r.Header.Get(name.canonical) != "" && !slices.Contains(s.SignedHeaders, name.lower) {
			return refuse(Uncovered, "'%s' must be a 'SignedHeader' in the AWS Authorization.", name.canonical)
		}
	}
	return nil
}

// checkObjectCoverage is checkCoverage for S3, where headers decide nearly everything: whoever has a URL to
// upload to could add X-Amz-Copy-Source, and so read what the URL's maker can. The declared hash of the body is a part
// of what is signed anyhow; the others are no business of S3's.
func checkObjectCoverage(r *http.Request, s *Signature) error {
	for name := range r.Header {
		lower := strings.ToLower(name)
		switch {
		case !strings.HasPrefix(lower, "x-amz-"), slices.Contains(s.SignedHeaders, lower),
			lower == "x-amz-content-sha256", lower == "x-amz-user-agent", strings.HasPrefix(lower, "x-amz-cf-"):
		default:
			return refuse(Uncovered, "There were headers present in the request which were not signed: %s", lower)
		}
	}
	return nil
}

func (v *Verifier) signingKey(sc scope) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if key, ok := v.keys[sc]; ok {
		return key[:]
	}
	if v.keys == nil || len(v.keys) >= maxKeys {
		v.keys = make(map[scope][sha256.Size]byte)
	}
	key := hmacSHA256([]byte("AWS4"+sc.secret), sc.date)
	key = hmacSHA256(key, sc.region)
	key = hmacSHA256(key, sc.service)
	key = hmacSHA256(key, "aws4_request")
	v.keys[sc] = [sha256.Size]byte(key)
	return key
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signs reports whether given is the signature with key over r, whose path and body count as path and payload.
func signs(given, key []byte, r *http.Request, s *Signature, path, payload string) bool {
	canonical := sha256.Sum256(appendCanonicalRequest(make([]byte, 0, 1024), r, s, path, payload))
	text := append(make([]byte, 0, 256), algorithm+"\n"...)
	text = s.Time.UTC().AppendFormat(text, timeFormat)
	for _, part := range [...]string{"\n", s.Date, "/", s.Region, "/", s.Service, "/aws4_request\n"} {
		text = append(text, part...)
	}
	h := hmac.New(sha256.New, key)
	h.Write(hex.AppendEncode(text, canonical[:]))
	return subtle.ConstantTimeCompare(given, h.Sum(text[:0])) == 1
}

func appendCanonicalRequest(b []byte, r *http.Request, s *Signature, path, payload string) []byte {
	for _, part := range [...]string{r.Method, "\n", path, "\n", canonicalQuery(r.URL.RawQuery), "\n"} {
		b = append(b, part...)
	}
	b = append(appendCanonicalHeaders(b, r, s.SignedHeaders), '\n')
	for i, name := range s.SignedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, payload...)
}

// payloadHash returns what stands for the body. A hash that the client
// declares is not believed; if it is not the body's, the signature will not match.
// For the body of a presigned request UNSIGNED-PAYLOAD may stand too.
func payloadHash(r *http.Request, body []byte) string {
	if r.Header.Get("X-Amz-Content-Sha256") == unsigned {
		return unsigned
	}
	hash := sha256.Sum256(body)
	return hex.EncodeToString(hash[:])
}

// canonicalPaths returns the forms of the path that SDKs sign: as it is on the
// wire, encoded once more; and for those that normalise it (botocore), without
// empty and dot segments.
func canonicalPaths(r *http.Request) []string {
	path := r.URL.EscapedPath()
	if raw, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(raw, "/") {
		path = raw
	}
	if path == "" {
		path = "/"
	}
	paths := []string{encode(path, true)}
	if strings.Contains(path, "//") || strings.Contains(path, "/.") {
		paths = append(paths, encode(normalize(path), true))
	}
	return paths
}

func normalize(path string) string {
	var kept []string
	for seg := range strings.SplitSeq(path, "/") {
		switch seg {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, seg)
		}
	}
	out := "/" + strings.Join(kept, "/")
	if strings.HasSuffix(path, "/") && len(kept) > 0 {
		out += "/"
	}
	return out
}

func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs []string
	for part := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, value = decode(name), decode(value)
		if part == "" || name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, encode(name, false)+"="+encode(value, false))
	}
	// "=" sorts after the digits and before the letters, so whole pairs cannot
	// be compared: a name must come before its own extensions.
	slices.SortFunc(pairs, func(a, b string) int {
		an, av, _ := strings.Cut(a, "=")
		bn, bv, _ := strings.Cut(b, "=")
		if c := strings.Compare(an, bn); c != 0 {
			return c
		}
		return strings.Compare(av, bv)
	})
	return strings.Join(pairs, "&")
}

func decode(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

const upperHex = "0123456789ABCDEF"

// encode percent-encodes all but the unreserved characters of RFC 3986, and
// slashes if path is set.
func encode(s string, path bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func appendCanonicalHeaders(b []byte, r *http.Request, signed []string) []byte {
	for _, name := range signed {
		b = append(append(b, name...), ':')
		switch name {
		// net/http takes these out of the header.
		case "host":
			b = append(b, r.Host...)
		case "content-length":
			if r.ContentLength >= 0 {
				b = strconv.AppendInt(b, r.ContentLength, 10)
			}
		case "transfer-encoding":
			b = append(b, strings.Join(r.TransferEncoding, ",")...)
		default:
			for i, v := range r.Header[http.CanonicalHeaderKey(name)] {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendTrimmed(b, v)
			}
		}
		b = append(b, '\n')
	}
	return b
}

// appendTrimmed appends v without spaces at its ends and with runs of spaces as one.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.Trim(v, " ")
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' {
			b = append(b, v[i])
		}
	}
	return b
}
