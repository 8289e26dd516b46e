package syntax

import (
	"fmt"

	"github.com/weir-db/weir/internal/fault"
)

// Error says that a text is not a statement. Its message is the service's own, which
// gives away the place only; Found and Wanted say more to weir's own tools.
type Error struct {
	At     Pos
	Msg    string // the client's text
	Found  string // what stands at the place, as a person would name it
	Wanted string // what could have stood there; may be empty

	// Unsupported says that the text is right in its dialect and has no meaning here.
	Unsupported bool
}

// Error returns Msg.
func (e *Error) Error() string { return e.Msg }

// FaultKind returns fault.Invalid.
func (e *Error) FaultKind() fault.Kind { return fault.Invalid }

// Detail returns what was found and what was wanted, as "line 1:8: found FROM, want an expression".
func (e *Error) Detail() string {
	if e.Wanted == "" {
		return fmt.Sprintf("%s: %s", e.At, e.Found)
	}
	return fmt.Sprintf("%s: found %s, want %s", e.At, e.Found, e.Wanted)
}

// Unknown returns the error of a statement that the service does not have, for those who parse more
// than they take.
func Unknown(s Statement, word string) error { return syntaxError(s.Pos(), word, "a statement") }

// syntaxError returns the error of a text that does not follow the grammar. The text of the message is
// what clients of the service have seen (reference: sql.md section 15).
func syntaxError(at Pos, found, wanted string) *Error {
	return &Error{
		At:     at,
		Msg:    fmt.Sprintf("The query syntax is invalid at line %d:%d", at.Line, at.Col),
		Found:  found,
		Wanted: wanted,
	}
}
