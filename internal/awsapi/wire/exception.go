package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weir-db/weir/internal/fault"
)

// Namespaces of the errors that AWS's front end raises before an operation runs.
const (
	NamespaceCoral    = "com.amazon.coral.service"
	NamespaceValidate = "com.amazon.coral.validate"
)

// Shape is an exception without its text: how an API names one class of error.
type Shape struct {
	Name      string // e.g. "ValidationException"
	Status    int    // HTTP status
	QueryCode string // code in Query/XML answers; "" means Name
	Receiver  bool   // the server's fault, not the sender's
}

// Exception is an error as an AWS client sees it. As an error it can travel
// up from a handler; the router writes it as it is.
type Exception struct {
	Shape
	Message   string   // "" leaves the message out of the body
	Namespace string   // "" means the service's
	Extra     []Member // further members at the top level of the body, in order
	Err       error    // the cause, for the log; may be nil
}

// Member is one further member of an exception's body.
type Member struct {
	Name  string
	JSON  []byte // ready-made JSON; used by the JSON protocols if set
	Value any    // else a value for any protocol
}

func (e *Exception) Error() string {
	s := e.Name
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, or nil.
func (e *Exception) Unwrap() error { return e.Err }

// Newf returns an exception of the given shape with the formatted text.
func Newf(s Shape, format string, args ...any) *Exception {
	return &Exception{Shape: s, Message: fmt.Sprintf(format, args...)}
}

// TimestreamErrors is the table of both Timestream APIs (statuses as the live
// service sends them; reference/api.md, section 3.2).
var TimestreamErrors = map[fault.Kind]Shape{
	fault.Internal:    {Name: "InternalServerException", Status: 500, Receiver: true},
	fault.Invalid:     {Name: "ValidationException", Status: 400},
	fault.NotFound:    {Name: "ResourceNotFoundException", Status: 404},
	fault.Conflict:    {Name: "ConflictException", Status: 409},
	fault.Quota:       {Name: "ServiceQuotaExceededException", Status: 402},
	fault.Throttled:   {Name: "ThrottlingException", Status: 429},
	fault.Denied:      {Name: "AccessDeniedException", Status: 403},
	fault.Execution:   {Name: "QueryExecutionException", Status: 400},
	fault.Cancelled:   {Name: "ConflictException", Status: 409},
	fault.Unavailable: {Name: "InternalServerException", Status: 500, Receiver: true},
}

// hidden reports whether the text of a kind stays in the log.
func hidden(k fault.Kind) bool { return k == fault.Internal || k == fault.Corrupt }

// ExceptionOf turns err into the exception that c's client sees. An
// [*Exception] in the chain is taken as it is; else the service's table decides
// by kind. Internal and Corrupt errors become one sentence with the request id.
func ExceptionOf(c *Call, err error) *Exception {
	var e *Exception
	if errors.As(err, &e) {
		return e
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		kind = fault.Cancelled
		err = fault.Wrap(kind, err, "The request was cancelled.")
	}
	var table map[fault.Kind]Shape
	if c.Service != nil {
		table = c.Service.Errors
	}
	if table == nil {
		table = TimestreamErrors
	}
	shape, ok := table[kind]
	if !ok {
		shape, ok = table[fault.Internal]
	}
	if !ok {
		shape = TimestreamErrors[fault.Internal]
	}
	if hidden(kind) {
		what := "The request could not be completed because of an internal error"
		if kind == fault.Corrupt {
			what = "Stored data is damaged; the server's log says where"
		}
		return &Exception{Shape: shape, Message: fmt.Sprintf("%s (request id %s).", what, c.RequestID), Err: err}
	}
	return &Exception{Shape: shape, Message: fault.MessageOf(err), Err: err}
}

// Serialization says that a request's body does not have the form of its protocol.
func Serialization(format string, args ...any) *Exception {
	return &Exception{
		Shape:     Shape{Name: "SerializationException", Status: 400, QueryCode: "MalformedInput"},
		Namespace: NamespaceCoral,
		Message:   fmt.Sprintf(format, args...),
	}
}

// UnknownOperation is the answer to an operation that does not exist; its body
// carries only its type, as AWS's does.
func UnknownOperation() *Exception {
	return &Exception{
		Shape:     Shape{Name: "UnknownOperationException", Status: 404, QueryCode: "InvalidAction"},
		Namespace: NamespaceCoral,
	}
}

// Violations collects what the framework of AWS's services checks before an
// operation runs, and words it as they do: "1 validation error detected: Value
// 'x' at 'tableName' failed to satisfy constraint: …". The zero value is ready.
type Violations struct{ texts []string }

// Add notes that the value at path (lower camel case, list items as
// ".N.member" from 1) does not satisfy the constraint.
func (v *Violations) Add(value, path, constraint string) {
	v.texts = append(v.texts, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, path, constraint))
}

// AddSecret is Add for a member whose value must not be repeated.
func (v *Violations) AddSecret(path, constraint string) {
	v.texts = append(v.texts, fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", path, constraint))
}

// AddNull notes that a required member is missing.
func (v *Violations) AddNull(path string) {
	v.texts = append(v.texts, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", path))
}

// Length notes a string or list whose length is not in [min, max]; max < 0
// means no upper limit. value is what is shown for it.
func (v *Violations) Length(value, path string, length, min, max int) {
	switch {
	case length < min:
		v.Add(value, path, fmt.Sprintf("Member must have length greater than or equal to %d", min))
	case max >= 0 && length > max:
		v.Add(value, path, fmt.Sprintf("Member must have length less than or equal to %d", max))
	}
}

// Range notes a number that is not in [min, max].
func (v *Violations) Range(path string, n, min, max int64) {
	switch {
	case n < min:
		v.Add(fmt.Sprint(n), path, fmt.Sprintf("Member must have value greater than or equal to %d", min))
	case n > max:
		v.Add(fmt.Sprint(n), path, fmt.Sprintf("Member must have value less than or equal to %d", max))
	}
}

// Enum notes a value that is not one of set.
func (v *Violations) Enum(value, path string, set ...string) {
	for _, s := range set {
		if value == s {
			return
		}
	}
	v.Add(value, path, "Member must satisfy enum value set: ["+strings.Join(set, ", ")+"]")
}

// Empty reports whether nothing was noted.
func (v *Violations) Empty() bool { return len(v.texts) == 0 }

// Text returns the sentence for all that was noted, or "".
func (v *Violations) Text() string {
	if v.Empty() {
		return ""
	}
	plural := ""
	if len(v.texts) > 1 {
		plural = "s"
	}
	return fmt.Sprintf("%d validation error%s detected: %s", len(v.texts), plural, strings.Join(v.texts, "; "))
}

// Err returns nil or the ValidationException for all that was noted.
func (v *Violations) Err() error {
	if v.Empty() {
		return nil
	}
	return &Exception{
		Shape:     Shape{Name: "ValidationException", Status: 400, QueryCode: "ValidationError"},
		Namespace: NamespaceValidate,
		Message:   v.Text(),
	}
}
