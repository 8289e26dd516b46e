package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/objstore"
)

func (q *request) checkKey() error {
	if len(q.key) > objstore.MaxKeyBytes {
		return fail("KeyTooLongError", http.StatusBadRequest, "Your key is too long")
	}
	return nil
}

func (q *request) putObject() error {
	if err := q.checkKey(); err != nil {
		return err
	}
	if err := refuseUnsupported(q.r.Header); err != nil {
		return err
	}
	a, err := attributes(q.r.Header)
	if err != nil {
		return err
	}
	w, err := q.Buckets.Create(q.r.Context(), q.bucket, q.key, a)
	if err != nil {
		return err
	}
	defer w.Abort()
	w.Condition = writeCondition(q.r.Header)
	if w.Checksums, err = q.receive(w, w.MD5); err != nil {
		return err
	}
	o, err := w.Commit()
	if err != nil {
		return err
	}
	q.Header().Set("Etag", quoted(o.ETag))
	setSums(q.Header(), o.Checksums)
	setEncryption(q.Header(), a)
	return q.empty(http.StatusOK)
}

var errPrecondition = fail("PreconditionFailed", http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold")

// writeCondition is what If-Match and If-None-Match ask of the object that is replaced.
func writeCondition(h http.Header) func(objstore.ObjectInfo, bool) error {
	match, none := h.Get("If-Match"), h.Get("If-None-Match")
	if match == "" && none == "" {
		return nil
	}
	return func(old objstore.ObjectInfo, ok bool) error {
		switch {
		case match != "" && !ok:
			return objstore.ErrNoKey
		case match != "" && !matches(match, old.ETag), none != "" && ok && matches(none, old.ETag):
			return errPrecondition
		}
		return nil
	}
}

// matches reports whether a list of tags holds one, or is a star.
func matches(list, etag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		t = strings.Trim(strings.TrimPrefix(strings.TrimSpace(t), "W/"), `"`)
		if t == "*" || t == etag {
			return true
		}
	}
	return false
}

// readCondition checks the conditions of a read, or with the prefix "X-Amz-Copy-Source-" of a
// copy (RFC 9110, section 13.2.2).
func readCondition(h http.Header, prefix string, o objstore.ObjectInfo, unmodified error) error {
	modified := o.Modified.Truncate(time.Second)
	if tags := h.Get(prefix + "If-Match"); tags != "" {
		if !matches(tags, o.ETag) {
			return errPrecondition
		}
	} else if t, err := http.ParseTime(h.Get(prefix + "If-Unmodified-Since")); err == nil && modified.After(t) {
		return errPrecondition
	}
	if tags := h.Get(prefix + "If-None-Match"); tags != "" {
		if matches(tags, o.ETag) {
			return unmodified
		}
	} else if t, err := http.ParseTime(h.Get(prefix + "If-Modified-Since")); err == nil && !modified.After(t) {
		return unmodified
	}
	return nil
}

var errNotModified = fail("NotModified", http.StatusNotModified, "Not Modified")

// getObject answers GET and HEAD.
func (q *request) getObject() error {
	object, info, err := q.Buckets.Open(q.bucket, q.key)
	if err != nil {
		return err
	}
	defer object.Close()
	if err := readCondition(q.r.Header, "", info, errNotModified); err != nil {
		q.Header().Set("Etag", quoted(info.ETag))
		return err
	}
	from, to, partial, err := byteRange(q.r.Header.Get("Range"), info.SizeBytes)
	if err != nil {
		q.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(info.SizeBytes, 10))
		return err
	}
	v := q.r.URL.Query()
	if part := v.Get("partNumber"); part != "" {
		if part != "1" {
			return fail("InvalidPartNumber", http.StatusRequestedRangeNotSatisfiable, "The requested partnumber is not satisfiable")
		}
		partial = true
	}
	setAttributes(q.Header(), info, !partial && q.r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED")
	for _, name := range []string{"Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition", "Content-Encoding"} {
		if text := v.Get("response-" + strings.ToLower(name)); text != "" {
			q.Header().Set(name, text)
		}
	}
	q.Header().Set("Content-Length", strconv.FormatInt(to-from, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		q.Header().Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(to-1, 10)+"/"+strconv.FormatInt(info.SizeBytes, 10))
	}
	q.WriteHeader(status)
	if q.r.Method == http.MethodHead {
		return nil
	}
	_, err = io.CopyBuffer(onlyWriter{q.ResponseWriter}, onlyReader{io.NewSectionReader(object, from, to-from)}, make([]byte, 128<<10))
	q.sent(err)
	return nil
}

var errRange = fail("InvalidRange", http.StatusRequestedRangeNotSatisfiable, "The requested range is not satisfiable")

// byteRange reads a Range header: from and to (exclusive). What is no single range of bytes asks
// for everything, as on S3.
func byteRange(header string, size int64) (from, to int64, partial bool, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return 0, size, false, nil
	}
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && errB == nil && b >= 0: // the last b bytes
		if b == 0 || size == 0 {
			return 0, 0, false, errRange
		}
		return max(0, size-b), size, true, nil
	case errA != nil || a < 0 || last != "" && (errB != nil || b < a):
		return 0, size, false, nil
	case a >= size:
		return 0, 0, false, errRange
	case last == "" || b >= size:
		return a, size, true, nil
	}
	return a, b + 1, true, nil
}

func (q *request) deleteObject() error {
	if err := q.Buckets.Delete(q.bucket, q.key); err != nil {
		return err
	}
	return q.empty(http.StatusNoContent)
}

func (q *request) objectACL() error {
	if _, err := q.Buckets.Stat(q.bucket, q.key); err != nil {
		return err
	}
	return q.answerACL()
}

func (q *request) objectTags() error {
	if _, err := q.Buckets.Stat(q.bucket, q.key); err != nil {
		return err
	}
	return q.answer(struct {
		XMLName xml.Name `xml:"Tagging"`
		NS      string   `xml:"xmlns,attr"`
		TagSet  struct{}
	}{NS: namespace})
}

// source opens what a copy reads.
func (q *request) source() (objstore.Object, objstore.ObjectInfo, error) {
	text, version, _ := strings.Cut(q.r.Header.Get("X-Amz-Copy-Source"), "?versionId=")
	text, err := url.PathUnescape(text)
	bucket, key, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	if err != nil || !ok || version != "" && version != "null" {
		return nil, objstore.ObjectInfo{}, fail("InvalidArgument", http.StatusBadRequest, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if q.Authorize != nil {
		if err := q.Authorize(q.r.Context(), q.caller, "s3:GetObject", "arn:aws:s3:::"+bucket+"/"+key); err != nil {
			return nil, objstore.ObjectInfo{}, err
		}
	}
	o, info, err := q.Buckets.Open(bucket, key)
	if err != nil {
		return nil, info, err
	}
	if err := readCondition(q.r.Header, "X-Amz-Copy-Source-", info, errPrecondition); err != nil {
		o.Close()
		return nil, info, err
	}
	return o, info, nil
}

type copied struct {
	XMLName      xml.Name
	NS           string `xml:"xmlns,attr"`
	LastModified string
	ETag         string
}

func (q *request) copyObject() error {
	if err := q.checkKey(); err != nil {
		return err
	}
	if err := refuseUnsupported(q.r.Header); err != nil {
		return err
	}
	from, info, err := q.source()
	if err != nil {
		return err
	}
	defer from.Close()
	a, err := attributes(q.r.Header)
	if err != nil {
		return err
	}
	if q.r.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		a = info.Attributes
	}
	a.Checksums = info.Checksums
	w, err := q.Buckets.Create(q.r.Context(), q.bucket, q.key, a)
	if err != nil {
		return err
	}
	defer w.Abort()
	w.Condition = writeCondition(q.r.Header)
	if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{io.NewSectionReader(from, 0, info.SizeBytes)}, make([]byte, 128<<10)); err != nil {
		return err
	}
	o, err := w.Commit()
	if err != nil {
		return err
	}
	setEncryption(q.Header(), a)
	return q.answer(copied{XMLName: xml.Name{Local: "CopyObjectResult"}, NS: namespace, LastModified: stamp(o.Modified), ETag: quoted(o.ETag)})
}

// partNumber reads the number of a part.
func (q *request) partNumber() (int, error) {
	n, err := strconv.Atoi(q.r.URL.Query().Get("partNumber"))
	if err != nil {
		return 0, fault.New(fault.Invalid, "Part number must be an integer between 1 and %d, inclusive", objstore.MaxParts)
	}
	return n, nil
}
