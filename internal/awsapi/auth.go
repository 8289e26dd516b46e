package awsapi

import (
	"errors"
	"net/http"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/sigv4"
)

// Authenticator says who sent a request. c is routed; claim is the signature that the
// request has, unverified, or unsigned says why there is none; body is what was sent and
// signed. A refusal is a [*sigv4.Error],
// iam.ErrUnknownKey or iam.ErrExpired.
type Authenticator interface {
	Authenticate(r *http.Request, c *wire.Call, claim *sigv4.Signature, unsigned error, body []byte) (wire.Caller, error)
}

// errWrongScope refuses a signature made for another service.
var errWrongScope = &sigv4.Error{Reason: sigv4.Mismatch, Text: "Credential should be scoped to correct service."}

// Credentials finds access keys; [*iam.Directory] does. The token is the session
// token that came with the key, or "". The error is iam.ErrUnknownKey or iam.ErrExpired.
type Credentials interface {
	Credential(accessKeyID, token string) (iam.Identity, error)
}

func callerOf(id iam.Identity, accessKeyID string) wire.Caller {
	return wire.Caller{AccountID: id.AccountID, ARN: id.ARN, UserID: id.UserID, AccessKeyID: accessKeyID}
}

// Root returns the account's root user.
func Root(accountID string) wire.Caller {
	return wire.Caller{AccountID: accountID, ARN: "arn:aws:iam::" + accountID + ":root", UserID: accountID}
}

// Anyone takes every request, signed by whatever key or not at all. A key that
// Known knows acts as its owner, so that what AssumeRole gave is told back by
// GetCallerIdentity; every other acts as the account's root.
type Anyone struct {
	AccountID string
	Known     Credentials // may be nil
}

// Authenticate never refuses.
func (a Anyone) Authenticate(_ *http.Request, _ *wire.Call, s *sigv4.Signature, unsigned error, _ []byte) (wire.Caller, error) {
	caller := Root(a.AccountID)
	if unsigned != nil {
		return caller, nil
	}
	caller.AccessKeyID = s.AccessKeyID
	if a.Known != nil {
		if known, err := a.Known.Credential(s.AccessKeyID, s.Token); err == nil {
			return callerOf(known, s.AccessKeyID), nil
		}
	}
	return caller, nil
}

// Signed takes only requests with a valid signature of a known key.
type Signed struct {
	Keys     Credentials
	Verifier *sigv4.Verifier
}

// Authenticate verifies the request's signature.
func (a Signed) Authenticate(r *http.Request, c *wire.Call, s *sigv4.Signature, unsigned error, body []byte) (wire.Caller, error) {
	if unsigned != nil {
		return wire.Caller{}, unsigned
	}
	if !signsFor(c.Service, s.Service) {
		return wire.Caller{}, errWrongScope
	}
	key, err := a.Keys.Credential(s.AccessKeyID, s.Token)
	if err != nil {
		return wire.Caller{}, err
	}
	if err := a.Verifier.Verify(r, body, s, key.Secret); err != nil {
		return wire.Caller{}, err
	}
	return callerOf(key, s.AccessKeyID), nil
}

// authException gives a refusal the name and status that the clients of c's
// protocol know it by: JSON services say 400, Query and REST services 403.
func authException(c *wire.Call, err error) error {
	var shape wire.Shape
	var refused *sigv4.Error
	text := err.Error()
	switch {
	case errors.As(err, &refused):
		switch refused.Reason {
		case sigv4.Missing:
			shape = wire.Shape{Name: "MissingAuthenticationTokenException", QueryCode: "MissingAuthenticationToken"}
		case sigv4.Incomplete, sigv4.Uncovered:
			shape = wire.Shape{Name: "IncompleteSignatureException", QueryCode: "IncompleteSignature"}
		default:
			shape = wire.Shape{Name: "InvalidSignatureException", QueryCode: "SignatureDoesNotMatch"}
		}
	case errors.Is(err, iam.ErrUnknownKey):
		text = "The security token included in the request is invalid."
		shape = wire.Shape{Name: "UnrecognizedClientException", QueryCode: "InvalidClientTokenId"}
	case errors.Is(err, iam.ErrExpired):
		text = "The security token included in the request is expired"
		shape = wire.Shape{Name: "ExpiredTokenException", QueryCode: "ExpiredToken"}
	default:
		return err
	}
	shape.Status = http.StatusBadRequest
	if c.Protocol == wire.Query || c.Protocol == wire.REST {
		shape.Status = http.StatusForbidden
	}
	return &wire.Exception{Shape: shape, Namespace: wire.NamespaceCoral, Message: text}
}
