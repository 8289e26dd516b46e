// Package iotsql is the SQL dialect of AWS IoT topic rules: lexer, parser, values
// and evaluator, and the substitution templates ${…} that use its expressions.
//
// A [Statement] is compiled once by [Parse] and evaluated per message against an
// [Input], which parses the payload at most once per dialect version, and only if
// something reads it. Statements and templates are immutable and safe for
// concurrent use; an Input belongs to one goroutine.
//
// The rules come from the AWS IoT Core developer guide, "AWS IoT SQL reference";
// where it is silent or contradicts itself, docs/iot.md says what was chosen.
// What is not built is refused by Parse with a [SyntaxError] that names it, so
// that a rule which was accepted never computes something else than AWS would.
//
// Evaluation cannot fail half-way in surprising ways: a wrong argument gives
// Undefined, as on AWS. Work is bounded: texts over 1 MiB become Undefined, and
// a statement whose nested SELECTs visit more than a million elements ends in an
// error.
package iotsql

import "fmt"

// Version is the dialect version of a rule, awsIotSqlVersion.
type Version string

// The dialect versions. V2015 is what an absent version means.
const (
	V2015 Version = "2015-10-08"
	V2016 Version = "2016-03-23"
	VBeta Version = "beta" // treated as V2016
)

// Valid reports whether v is a known version.
func (v Version) Valid() bool { return v == V2015 || v == V2016 || v == VBeta }

// whole reports whether decimals without a fraction are Ints (from 2016-03-23).
func (v Version) whole() bool { return v != V2015 }

// SyntaxError says why a statement or template does not parse.
type SyntaxError struct {
	Line, Column int // from 1
	Message      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d:%d: %s", e.Line, e.Column, e.Message)
}
