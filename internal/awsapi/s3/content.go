package s3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/objstore"
)

// checksumPrefix begins the headers that carry a checksum of the content.
const checksumPrefix = "X-Amz-Checksum-"

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5) // CRC-64/NVME, reflected
)

// newChecksum returns the hash of an algorithm (lower case), or nil.
func newChecksum(algorithm string) hash.Hash {
	switch algorithm {
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(castagnoli)
	case "crc64nvme":
		return crc64.New(nvme)
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	}
	return nil
}

// checksums are the algorithms that a request names, by header or by trailer.
func checksums(h http.Header) map[string]hash.Hash {
	out := map[string]hash.Hash{}
	add := func(name string) {
		if algorithm, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(name)), strings.ToLower(checksumPrefix)); ok {
			if sum := newChecksum(algorithm); sum != nil {
				out[algorithm] = sum
			}
		}
	}
	for name := range h {
		add(name)
	}
	for name := range strings.SplitSeq(h.Get("X-Amz-Trailer"), ",") {
		add(name)
	}
	return out
}

// receive copies the request's content to w and checks all that the request says of it. It returns
// the checksums that were checked, base64 by algorithm.
func (q *request) receive(w io.Writer, md5sum func() []byte) (map[string]string, error) {
	body, trailer := q.body()
	want, err := q.contentLength()
	if err != nil {
		return nil, err
	}
	sums := checksums(q.r.Header)
	writers := []io.Writer{w}
	for _, s := range sums {
		writers = append(writers, s)
	}
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(writers...)}, onlyReader{io.LimitReader(body, q.MaxObjectBytes+1)}, make([]byte, 128<<10))
	switch {
	case err != nil:
		return nil, err
	case n > q.MaxObjectBytes:
		return nil, errTooLarge
	case want >= 0 && n != want:
		return nil, io.ErrUnexpectedEOF
	}
	if err := compareMD5(q.r.Header, md5sum()); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(q.r.Header.Get("X-Amz-Trailer"), ",") {
		if name = strings.TrimSpace(name); name != "" && trailer.Get(name) == "" {
			return nil, errTrailer
		}
	}
	return compareSums(sums, q.r.Header, trailer)
}

type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

var (
	errTooLarge  = fail("EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size")
	errTrailer   = fail("MalformedTrailerError", http.StatusBadRequest, "The request contained trailing data that was not well-formed or did not conform to our published schema.")
	errBadDigest = fail("BadDigest", http.StatusBadRequest, "The Content-MD5 you specified did not match what we received.")
)

// contentLength is how many bytes the content should have, or -1 if it is not said.
func (q *request) contentLength() (int64, error) {
	length := q.r.ContentLength
	if text := q.r.Header.Get("X-Amz-Decoded-Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return 0, fail("InvalidArgument", http.StatusBadRequest, "X-Amz-Decoded-Content-Length is no number.")
		}
		length = n
	} else if strings.HasPrefix(q.r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return 0, fail("MissingContentLength", http.StatusLengthRequired, "You must provide the x-amz-decoded-content-length HTTP header.")
	}
	if length > q.MaxObjectBytes {
		return 0, errTooLarge
	}
	return length, nil
}

func compareMD5(h http.Header, got []byte) error {
	text := h.Get("Content-Md5")
	if text == "" {
		return nil
	}
	want, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(want) != md5.Size {
		return fail("InvalidDigest", http.StatusBadRequest, "The Content-MD5 you specified is not valid.")
	}
	if hex.EncodeToString(want) != hex.EncodeToString(got) {
		return errBadDigest
	}
	return nil
}

// checkMD5 checks a small body.
func (q *request) checkMD5(doc []byte) error {
	sum := md5.Sum(doc)
	if err := compareMD5(q.r.Header, sum[:]); err != nil {
		return err
	}
	sums := checksums(q.r.Header)
	for _, s := range sums {
		s.Write(doc)
	}
	_, err := compareSums(sums, q.r.Header, nil)
	return err
}

func compareSums(sums map[string]hash.Hash, header, trailer http.Header) (map[string]string, error) {
	var out map[string]string
	for algorithm, s := range sums {
		name := checksumPrefix + algorithm
		want := header.Get(name)
		if want == "" {
			want = trailer.Get(name)
		}
		got := base64.StdEncoding.EncodeToString(s.Sum(nil))
		if want != got && want != "" {
			return nil, fail("BadDigest", http.StatusBadRequest, "The %s you specified did not match the calculated checksum.", strings.ToUpper(algorithm))
		}
		if out == nil {
			out = map[string]string{}
		}
		out[algorithm] = got
	}
	return out, nil
}

// kept are the headers that are stored with an object and given back with it.
var kept = []string{
	"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
	"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Storage-Class", "X-Amz-Website-Redirect-Location",
}

const userPrefix = "X-Amz-Meta-"

// maxUserBytes bounds x-amz-meta-… (S3 user guide, "Working with object metadata").
const maxUserBytes = 2 << 10

// attributes reads what a request says about the object it makes.
func attributes(h http.Header) (objstore.Attributes, error) {
	a := objstore.Attributes{ContentType: h.Get("Content-Type")}
	for _, name := range kept {
		value := h.Get(name)
		if name == "Content-Encoding" {
			value = withoutChunked(value)
		}
		if value == "" {
			continue
		}
		if a.Headers == nil {
			a.Headers = map[string]string{}
		}
		a.Headers[name] = value
	}
	size := 0
	for name, values := range h {
		if user, ok := strings.CutPrefix(name, userPrefix); ok {
			if a.User == nil {
				a.User = map[string]string{}
			}
			user = strings.ToLower(user)
			a.User[user] = strings.Join(values, ",")
			size += len(user) + len(a.User[user])
		}
	}
	if size > maxUserBytes {
		return a, fail("MetadataTooLarge", http.StatusBadRequest, "Your metadata headers exceed the maximum allowed metadata size")
	}
	return a, nil
}

// withoutChunked takes out the encoding that is the transfer's, not the object's.
func withoutChunked(encoding string) string {
	var left []string
	for e := range strings.SplitSeq(encoding, ",") {
		if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
			left = append(left, e)
		}
	}
	return strings.Join(left, ",")
}

// refuseHeaders refuses what this door does not do rather than leave it out.
func refuseHeaders(h http.Header, names ...string) error {
	for _, n := range names {
		if v := h.Get(n); v != "" && v != "false" {
			return errNotImplemented
		}
	}
	switch h.Get("X-Amz-Acl") {
	case "", "private", "bucket-owner-full-control", "bucket-owner-read", "aws-exec-read", "log-delivery-write":
	default:
		return errNotImplemented // nothing here is public
	}
	return nil
}

func refuseUnsupported(h http.Header) error {
	return refuseHeaders(h, "X-Amz-Server-Side-Encryption-Customer-Algorithm", "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm",
		"X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Legal-Hold", "X-Amz-Tagging", "X-Amz-Write-Offset-Bytes")
}

// setAttributes writes an object's headers.
func setAttributes(h http.Header, o objstore.ObjectInfo, withSums bool) {
	h.Set("Etag", quoted(o.ETag))
	h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", o.ContentType)
	if o.ContentType == "" {
		h.Set("Content-Type", "binary/octet-stream")
	}
	for name, value := range o.Headers {
		h.Set(name, value)
	}
	for name, value := range o.User {
		h[userPrefix+http.CanonicalHeaderKey(name)] = []string{value}
	}
	if withSums {
		setSums(h, o.Checksums)
	}
}

func setSums(h http.Header, sums map[string]string) {
	for algorithm, value := range sums {
		h.Set(checksumPrefix+algorithm, value)
		h.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
}

func setEncryption(h http.Header, a objstore.Attributes) {
	for _, name := range []string{"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"} {
		if v := a.Headers[name]; v != "" {
			h.Set(name, v)
		}
	}
}
