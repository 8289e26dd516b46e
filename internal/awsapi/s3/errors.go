package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"syscall"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/objstore"
	"github.com/weir-db/weir/internal/sigv4"
)

// apiError is an error as S3 writes it (S3 API reference, "Error responses").
type apiError struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`

	Status int `xml:"-"`
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// errorOf turns any error into S3's; the result may be changed.
func errorOf(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		copied := *e
		return &copied
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			text := k.text
			if text == "" {
				text = fault.MessageOf(err)
			}
			return &apiError{Code: k.code, Status: k.status, Message: text}
		}
	}
	var refused *sigv4.Error
	if errors.As(err, &refused) {
		return refusal(refused)
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return &apiError{Code: "InvalidArgument", Status: 400, Message: fault.MessageOf(err)}
	case fault.Conflict:
		return &apiError{Code: "OperationAborted", Status: 409, Message: fault.MessageOf(err)}
	case fault.Denied:
		return &apiError{Code: "AccessDenied", Status: 403, Message: fault.MessageOf(err)}
	}
	return &apiError{Code: "InternalError", Status: 500, Message: "We encountered an internal error. Please try again."}
}

// known are the causes with an error of their own; no text means the cause's.
var known = []struct {
	err    error
	code   string
	status int
	text   string
}{
	{objstore.ErrNoBucket, "NoSuchBucket", 404, "The specified bucket does not exist"},
	{objstore.ErrNoKey, "NoSuchKey", 404, "The specified key does not exist."},
	{objstore.ErrNotEmpty, "BucketNotEmpty", 409, "The bucket you tried to delete is not empty"},
	{objstore.ErrNoUpload, "NoSuchUpload", 404, ""},
	{objstore.ErrPart, "InvalidPart", 400, ""},
	{objstore.ErrPartOrder, "InvalidPartOrder", 400, ""},
	{objstore.ErrPartSize, "EntityTooSmall", 400, ""},
	{sigv4.ErrBodyHash, "XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
	{sigv4.ErrChunk, "InvalidChunkSizeError", 400, "The body is not encoded as aws-chunked."},
	{sigv4.ErrChunkSign, "SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
	{io.ErrUnexpectedEOF, "IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header"},
	{os.ErrDeadlineExceeded, "RequestTimeout", 400, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."},
	{context.Canceled, "RequestTimeout", 400, "The client left."},
	{syscall.ENOSPC, "SlowDown", 503, "The server has no room left for objects."},
	{iam.ErrUnknownKey, "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."},
	{iam.ErrExpired, "ExpiredToken", 400, "The provided token has expired."},
}

func refusal(r *sigv4.Error) *apiError {
	switch r.Reason {
	case sigv4.Missing:
		return &apiError{Code: "AccessDenied", Status: 403, Message: "Access Denied"}
	case sigv4.Incomplete:
		return &apiError{Code: "AuthorizationHeaderMalformed", Status: http.StatusBadRequest, Message: r.Text}
	case sigv4.Uncovered:
		return &apiError{Code: "AccessDenied", Status: 403, Message: r.Text}
	case sigv4.Stale:
		return &apiError{Code: "RequestTimeTooSkewed", Status: 403, Message: r.Text}
	}
	return &apiError{Code: "SignatureDoesNotMatch", Status: 403, Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
}
