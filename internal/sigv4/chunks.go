package sigv4

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// S3 differs from the other services: bodies are streams. The signature covers what the header
// X-Amz-Content-Sha256 says of the body (a hash, or one of the words below), and the body proves itself
// while it is read (S3 API reference, "Authenticating requests: using the Authorization header").
const (
	streamSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// What can be wrong with a body while it is read.
var (
	ErrBodyHash  = errors.New("the body does not have the declared X-Amz-Content-Sha256")
	ErrChunk     = errors.New("the chunks of the body are malformed")
	ErrChunkSign = errors.New("the signature of a chunk does not match")
)

// Chain checks the signatures of a body's chunks, each of which covers the one before.
type Chain struct {
	key      []byte
	preamble string // what a string to sign has behind its algorithm
	previous string // hex
}

// VerifyHead checks that s, which Parse read from r, was made for S3 with secret over r and what r
// declares of its body, which [Body] then checks. The error is an [*Error].
func (v *Verifier) VerifyHead(r *http.Request, s *Signature, secret string) (*Chain, error) {
	if err := v.checkTime(s); err != nil {
		return nil, err
	}
	if err := checkObjectCoverage(r, s); err != nil {
		return nil, err
	}
	declared := r.Header.Get("X-Amz-Content-Sha256")
	if s.Presigned && declared == "" {
		declared = unsigned
	}
	if declared == "" {
		return nil, refuse(Incomplete, "Missing required header for this request: x-amz-content-sha256")
	}
	key := v.signingKey(scope{secret, s.Date, s.Region, s.Service})
	given, err := hex.DecodeString(s.signature)
	if err != nil {
		return nil, mismatch()
	}
	for _, path := range objectPaths(r) {
		if signs(given, key, r, s, path, declared) {
			preamble := s.Time.UTC().Format(timeFormat) + "\n" + s.Date + "/" + s.Region + "/" + s.Service + "/aws4_request\n"
			return &Chain{key: key, preamble: preamble, previous: s.signature}, nil
		}
	}
	return nil, mismatch()
}

// objectPaths returns the forms of an S3 path: encoded once, and as it is on the wire.
func objectPaths(r *http.Request) []string {
	wire := r.URL.EscapedPath()
	if raw, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(raw, "/") {
		wire = raw
	}
	if wire == "" {
		wire = "/"
	}
	return []string{encode(r.URL.Path, true), wire}
}

func (c *Chain) next(algorithm, hashes string) string {
	c.previous = hex.EncodeToString(hmacSHA256(c.key, algorithm+"\n"+c.preamble+c.previous+"\n"+hashes))
	return c.previous
}

// Body returns the content of an S3 request: what remains once chunks are undone. Reading it to
// its end checks what the request declares; errors are ErrBodyHash, ErrChunk, ErrChunkSign,
// io.ErrUnexpectedEOF and the body's own. A nil chain leaves the signatures of chunks unchecked.
// Trailers are in the map once the end is read.
func Body(r *http.Request, chain *Chain) (content io.Reader, trailer http.Header) {
	trailer = http.Header{}
	switch declared := r.Header.Get("X-Amz-Content-Sha256"); declared {
	case "", unsigned:
		return r.Body, trailer
	case streamSigned, streamSignedTrailer, streamUnsignedTrailer:
		c := &chunks{r: bufio.NewReaderSize(r.Body, 64<<10), trailer: trailer, sum: sha256.New()}
		c.trailers = declared != streamSigned
		if declared != streamUnsignedTrailer {
			c.chain, c.signed = chain, true
		}
		return c, trailer
	default:
		return &hashed{r: r.Body, want: declared, sum: sha256.New()}, trailer
	}
}

// hashed checks a body against its declared hash.
type hashed struct {
	r    io.Reader
	want string
	sum  hash.Hash
}

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(h.sum.Sum(nil)) != h.want {
		err = ErrBodyHash
	}
	return n, err
}

// chunks undoes the content encoding aws-chunked:
//
//	size in hex [;chunk-signature=…] CRLF content CRLF, …, 0 [;chunk-signature=…] CRLF
//	[name:value CRLF …] CRLF
//
// Content is handed out before its chunk's signature is known to be right; who reads must not use
// it before the end.
type chunks struct {
	r        *bufio.Reader
	chain    *Chain // nil: signatures are not checked
	signed   bool
	trailers bool
	trailer  http.Header

	sum   hash.Hash // of the chunk in hand
	left  int64     // of it
	given string    // its signature
	open  bool
	err   error
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.read(p)
	c.err = err
	return n, err
}

func (c *chunks) read(p []byte) (int, error) {
	for c.left == 0 {
		if err := c.nextChunk(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.sum.Write(p[:n])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// nextChunk ends the chunk in hand and begins the next; after the last one it is io.EOF.
func (c *chunks) nextChunk() error {
	if c.open {
		if line, err := c.line(); err != nil || line != "" {
			return malformed(err)
		}
		if err := c.checkChunk(); err != nil {
			return err
		}
	}
	line, err := c.line()
	if err != nil {
		return malformed(err)
	}
	size, signature, _ := strings.Cut(line, ";")
	c.left, err = strconv.ParseInt(size, 16, 64)
	if err != nil || c.left < 0 {
		return ErrChunk
	}
	c.given = strings.TrimPrefix(signature, "chunk-signature=")
	c.sum.Reset()
	c.open = true
	if c.left > 0 {
		return nil
	}
	if err := c.checkChunk(); err != nil {
		return err
	}
	return c.readTrailer()
}

func (c *chunks) checkChunk() error {
	if c.chain == nil {
		return nil
	}
	want := c.chain.next("AWS4-HMAC-SHA256-PAYLOAD", emptyHash+"\n"+hex.EncodeToString(c.sum.Sum(nil)))
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.given)) != 1 {
		return ErrChunkSign
	}
	return nil
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (c *chunks) readTrailer() error {
	canonical, signature := "", ""
	for range 32 {
		line, err := c.line()
		if err == io.EOF && !c.signed || err == nil && line == "" {
			return c.checkTrailer(canonical, signature)
		}
		if err != nil {
			return malformed(err)
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !c.trailers {
			return ErrChunk
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "x-amz-trailer-signature" {
			signature = value
			continue
		}
		canonical += name + ":" + value + "\n"
		c.trailer.Set(name, value)
	}
	return ErrChunk
}

// checkTrailer returns io.EOF if all is well.
func (c *chunks) checkTrailer(canonical, signature string) error {
	if c.chain == nil || !c.trailers {
		return io.EOF
	}
	sum := sha256.Sum256([]byte(canonical))
	if subtle.ConstantTimeCompare([]byte(c.chain.next("AWS4-HMAC-SHA256-TRAILER", hex.EncodeToString(sum[:]))), []byte(signature)) != 1 {
		return ErrChunkSign
	}
	return io.EOF
}

// line reads a line without its end; it is short.
func (c *chunks) line() (string, error) {
	b, err := c.r.ReadSlice('\n')
	if err != nil {
		if err == io.EOF && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	return strings.TrimSuffix(string(b[:len(b)-1]), "\r"), nil
}

func malformed(err error) error {
	switch err {
	case nil, bufio.ErrBufferFull:
		return ErrChunk
	case io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
