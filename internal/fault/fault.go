// Package fault holds the kinds of error that every door translates.
//
// Lower floors return errors of a [Kind] with a text meant for the caller;
// the doors turn [KindOf] an error into an AWS exception, an MQTT reason code or
// an exit status, each in one table. An error without a kind is [Internal]: its
// text goes to the log, never to the client.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what class of trouble an error is, independent of any protocol.
type Kind uint8

const (
	Internal    Kind = iota // our fault; the text stays in the log
	Invalid                 // the request is wrong as it stands (AWS: ValidationException)
	NotFound                // a named thing does not exist (ResourceNotFoundException)
	Conflict                // a thing exists already, or changed meanwhile (ConflictException)
	Quota                   // a count limit is reached (ServiceQuotaExceededException)
	Throttled               // try again later: a rate, queue or memory limit (ThrottlingException)
	Denied                  // authenticated, but not allowed (AccessDeniedException)
	Execution               // a valid query failed while running (QueryExecutionException)
	Cancelled               // the caller, or CancelQuery, ended the work
	Unavailable             // the disk or a backend refuses work for now
	Corrupt                 // stored bytes are not what this program wrote
)

var kindNames = [...]string{"internal", "invalid", "not found", "conflict", "quota", "throttled", "denied", "execution", "cancelled", "unavailable", "corrupt"}

// String returns the kind in lower-case words, for logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is an error with a kind. Message is a whole sentence for the client;
// Err, if any, is the cause for the log.
type Error struct {
	Kind    Kind
	Message string
	Err     error
}

// New returns an error of kind k whose message is the formatted text.
func New(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of kind k with a message for the client and err as its
// cause. Wrap of a nil err is nil.
func Wrap(k Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...), Err: err}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return strings.TrimSuffix(e.Message, ".") + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Err }

// FaultKind lets other error types carry a kind of their own; see [KindOf].
func (e *Error) FaultKind() Kind { return e.Kind }

// KindOf returns the kind of the first error in err's chain that has one
// (a method FaultKind() Kind), and [Internal] if none has.
func KindOf(err error) Kind {
	var k interface{ FaultKind() Kind }
	if errors.As(err, &k) {
		return k.FaultKind()
	}
	return Internal
}

// Is reports whether err has kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// MessageOf returns the client's text of err: the Message of the first
// [*Error] in its chain, else err's own text.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}
