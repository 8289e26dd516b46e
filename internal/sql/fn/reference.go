package fn

import (
	"bytes"
	"fmt"
	"strings"
)

// categories is the order of the reference.
var categories = []string{
	"operator", "comparison", "conditional", "date and time", "math", "bitwise", "string", "regular expression",
	"array", "lambda", "time series", "aggregate", "window",
}

// entry is one overload in the reference.
type entry struct {
	signature string
	docs      Docs
}

// Reference returns the function reference as Markdown: a table per category.
func (r *Registry) Reference() []byte {
	byCategory := map[string][]entry{}
	add := func(signature string, d Docs) {
		byCategory[d.Category] = append(byCategory[d.Category], entry{signature, d})
	}
	for _, s := range r.Scalars() {
		add(s.Signature, s.Docs)
	}
	for _, a := range r.Aggregates() {
		add(a.Signature, a.Docs)
	}
	for _, w := range r.Windows() {
		add(w.Signature, w.Docs)
	}
	var b bytes.Buffer
	b.WriteString(`# SQL functions

Printed from the program's own registry; a test keeps it current and runs every example.

A capital letter in a signature is any type, the same one wherever it appears; ` + "`...`" + ` repeats the last parameter; ` + "`point(T)`" + ` is a row of
time and value. The result is null where an argument is null, unless the text says otherwise. AND, OR, NOT, IN, BETWEEN, CASE, IF, COALESCE, NULLIF,
TRY, CAST, TRY_CAST and EXTRACT are part of the grammar and not listed.
`)
	for _, c := range categories {
		fmt.Fprintf(&b, "\n## %s%s\n\n| signature | what it gives | example |\n| --- | --- | --- |\n", strings.ToUpper(c[:1]), c[1:])
		for _, e := range byCategory[c] {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cell(e.signature), cell(e.docs.Text), example(e.docs))
		}
	}
	return b.Bytes()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func example(d Docs) string {
	switch {
	case d.Example == "":
		return ""
	case d.Result == "":
		return "`" + cell(d.Example) + "`"
	}
	return "`" + cell(d.Example) + "` → `" + cell(d.Result) + "`"
}
