package pgwire

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/syntax"
)

// SQLSTATEs that this door gives (Postgres manual, appendix A).
const (
	stateProtocol        = "08P01"
	stateUnsupported     = "0A000"
	stateSyntax          = "42601"
	stateBadValue        = "22023"
	stateBadParameter    = "22P02"
	stateBadBinary       = "22P03"
	stateNoTransaction   = "25P01"
	stateAborted         = "25P02"
	stateReadOnly        = "25006"
	stateNoParameter     = "42P02"
	stateNoStatement     = "26000"
	stateBadAuth         = "28P01"
	stateNoPortal        = "34000"
	stateNoSavepoint     = "3B001"
	stateDuplicate       = "42P03"
	stateDuplicatePrep   = "42P05"
	stateUnknownSetting  = "42704"
	stateTooMany         = "53300"
	stateProgramLimit    = "54000"
	stateShutdown        = "57P01"
	stateCancelled       = "57014"
	statePlanChanged     = "0A000"
	stateUnknownDatatype = "42704"
)

// stateOfKind is the one table of what kinds of error clients are told.
var stateOfKind = map[fault.Kind]string{
	fault.Internal:    "XX000",
	fault.Invalid:     stateSyntax,
	fault.NotFound:    "42P01",
	fault.Conflict:    "55000",
	fault.Quota:       "53400",
	fault.Throttled:   "53000",
	fault.Denied:      "42501",
	fault.Execution:   "22000",
	fault.Cancelled:   stateCancelled,
	fault.Unavailable: "58030",
	fault.Corrupt:     "XX001",
}

// pgError is an error of this door, with its SQLSTATE.
type pgError struct {
	state, message, hint string
	fatal                bool // the session ends
}

func (e *pgError) Error() string { return e.message }

func errorf(state, format string, args ...any) error {
	return &pgError{state: state, message: fmt.Sprintf(format, args...)}
}

func fatalf(state, format string, args ...any) *pgError {
	return &pgError{state: state, message: fmt.Sprintf(format, args...), fatal: true}
}

var place = regexp.MustCompile(`\bline (\d+):(\d+)`)

// response is the message for err, which the statement at offset base of text caused.
func response(err error, text string, base int) *pgproto3.ErrorResponse {
	if e, ok := err.(*pgError); ok {
		severity := "ERROR"
		if e.fatal {
			severity = "FATAL"
		}
		return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: e.state, Message: e.message, Hint: e.hint}
	}
	kind := fault.KindOf(err)
	m := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: stateOfKind[kind], Message: fault.MessageOf(err)}
	if kind == fault.Internal {
		m.Message = "internal error; the server's log says more"
	}
	if kind == fault.Invalid && !strings.HasPrefix(m.Message, "The query syntax") {
		m.Code = stateOfMeaning(m.Message)
	}
	var refused *syntax.Error
	if errors.As(err, &refused) && refused.Unsupported {
		m.Code = stateUnsupported
	}
	if at := place.FindStringSubmatch(m.Message); at != nil {
		line, _ := strconv.Atoi(at[1])
		col, _ := strconv.Atoi(at[2])
		m.Position = positionOf(text, base, line, col)
	}
	return m
}

// stateOfMeaning tells apart what is wrong with a statement whose syntax is right: clients ask for some of these.
func stateOfMeaning(message string) string {
	low := strings.ToLower(message)
	switch {
	case strings.Contains(low, "requested table"), strings.Contains(low, "table") && strings.Contains(low, "does not exist"):
		return "42P01"
	case strings.Contains(low, "requested database"), strings.Contains(low, "database") && strings.Contains(low, "does not exist"):
		return "3F000"
	case strings.Contains(low, "column") && strings.Contains(low, "does not exist"), strings.Contains(low, "cannot be resolved"):
		return "42703"
	case strings.Contains(low, "function") && (strings.Contains(low, "not registered") || strings.Contains(low, "unexpected parameters")):
		return "42883"
	case strings.Contains(low, "parameter @") && strings.Contains(low, "has no value"):
		return stateNoParameter
	}
	return stateSyntax
}

// positionOf returns the place in text, in characters from 1, of a line and column of the statement at offset base; 0 if there
// is no such place.
func positionOf(text string, base, line, col int) int32 {
	if base > len(text) {
		return 0
	}
	at := base
	for ; line > 1; line-- {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return 0
		}
		at += n + 1
	}
	return int32(utf8.RuneCountInString(text[:at]) + col)
}
