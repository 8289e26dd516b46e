// Package constraint words what is wrong with the shape of an AWS request: lengths,
// ranges, patterns, enums and members that must be there.
//
// The texts are those of the framework in front of the AWS services: "<n>
// validation errors detected: Value '<value>' at '<path>' failed to satisfy
// constraint: <constraint>; …", where path members are lowerCamelCase and list
// items are ".N.member" counted from 1.
package constraint

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/fault"
)

// maxListed bounds the length of a message: further violations are not told.
const maxListed = 20

// maxValueBytes is how much of a bad value a message repeats.
const maxValueBytes = 512

// Violations collects what is wrong with one request. The zero value is ready.
type Violations struct{ texts []string }

// Full reports whether further violations would not be told, so that a walk may stop.
func (v *Violations) Full() bool { return len(v.texts) >= maxListed }

// Add notes that the value at path breaks a constraint.
func (v *Violations) Add(path, value, constraint string) {
	v.add("Value '" + cut(value) + "' at '" + path + "' failed to satisfy constraint: " + constraint)
}

// Hidden is Add for members whose values must not be repeated (QueryString, ClientToken).
func (v *Violations) Hidden(path, constraint string) {
	v.add("Value at '" + path + "' failed to satisfy constraint: " + constraint)
}

// Null notes that the required member at path is missing.
func (v *Violations) Null(path string) {
	v.add("Value null at '" + path + "' failed to satisfy constraint: Member must not be null")
}

func (v *Violations) add(text string) {
	if !v.Full() {
		v.texts = append(v.texts, text)
	}
}

// Err returns nil if nothing was noted, else an [*Error].
func (v *Violations) Err() error {
	switch n := len(v.texts); n {
	case 0:
		return nil
	case 1:
		return &Error{"1 validation error detected: " + v.texts[0]}
	default:
		return &Error{fmt.Sprintf("%d validation errors detected: %s", n, strings.Join(v.texts, "; "))}
	}
}

// Error is what the framework refuses, of kind fault.Invalid. It is a type of its own
// because AWS sends it under another namespace than an operation's own refusals.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

// FaultKind makes it the caller's fault.
func (e *Error) FaultKind() fault.Kind { return fault.Invalid }

func cut(value string) string {
	if len(value) <= maxValueBytes {
		return value
	}
	return strings.ToValidUTF8(value[:maxValueBytes], "") + "..."
}

// MinLength words a least length, of a string or list.
func MinLength(n int) string {
	return "Member must have length greater than or equal to " + strconv.Itoa(n)
}

// MaxLength words a greatest length, of a string or list.
func MaxLength(n int) string {
	return "Member must have length less than or equal to " + strconv.Itoa(n)
}

// Min words a least value.
func Min(n int64) string {
	return fmt.Sprintf("Member must have value greater than or equal to %d", n)
}

// Max words a greatest value.
func Max(n int64) string { return fmt.Sprintf("Member must have value less than or equal to %d", n) }

// Pattern words a regular expression.
func Pattern(p string) string { return "Member must satisfy regular expression pattern: " + p }

// Enum words a set of values.
func Enum(set ...string) string {
	return "Member must satisfy enum value set: [" + strings.Join(set, ", ") + "]"
}

// LengthOver reports whether s has more than n characters.
func LengthOver(s string, n int) bool { return len(s) > n && utf8.RuneCountInString(s) > n }
