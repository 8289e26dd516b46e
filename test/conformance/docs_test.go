package conformance

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	matrixPage  = "../../docs/compatibility.md"
	answersPage = "../../docs/conformance.md"
	begin       = "<!-- made by go test ./test/conformance -update -->\n"
	end         = "<!-- end of what is made -->\n"
)

// columns are the exceptions that have a column of the table; the others share one.
var columns = []struct{ exception, title string }{
	{"ValidationException", "Validation"}, {"ResourceNotFoundException", "NotFound"}, {"ConflictException", "Conflict"}, {"ServiceQuotaExceededException", "Quota"},
}

// checkDocs compares the two pages with what was found, or writes them.
func checkDocs(t *testing.T, results map[*operation][]finding) {
	t.Helper()
	page := readDoc(t, matrixPage)
	head, rest, opened := bytes.Cut(page, []byte(begin))
	_, tail, closed := bytes.Cut(rest, []byte(end))
	if !opened || !closed {
		t.Fatalf("%s lacks the lines %q and %q", matrixPage, begin, end)
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(begin)
	matrix(&b, results)
	b.WriteString(end)
	b.Write(tail)
	checkDoc(t, matrixPage, page, b.Bytes())

	b = bytes.Buffer{}
	answers(&b, results)
	checkDoc(t, answersPage, readDoc(t, answersPage), b.Bytes())
}

// matrix writes the table operation × aspect. A number is how many checks passed; "none" is
// documented and not raised, with a footnote; an empty cell is not documented by AWS.
func matrix(b *bytes.Buffer, results map[*operation][]finding) {
	var notes []string
	note := func(text string) string {
		i := slices.Index(notes, text)
		if i < 0 {
			i = len(notes)
			notes = append(notes, text)
		}
		return fmt.Sprintf("none [%d]", i+1)
	}
	for _, s := range services {
		fmt.Fprintf(b, "\n| %s | success |", s.name)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", c.title)
		}
		b.WriteString(" others | paging | idempotency |\n| --- | --- |" + strings.Repeat(" --- |", len(columns)) + " --- | --- | --- |\n")
		for i := range s.operations {
			o := &s.operations[i]
			counts := map[aspect]int{}
			for _, f := range results[o] {
				counts[f.aspect]++
			}
			fmt.Fprintf(b, "| `%s` |", o.name)
			b.WriteString(cell(counts[success], o.unseen[string(success)], note))
			for _, c := range columns {
				b.WriteString(cell(counts[aspect(c.exception)], o.unseen[c.exception], note))
				delete(counts, aspect(c.exception))
			}
			b.WriteString(others(counts))
			b.WriteString(cell(counts[paging], "", note))
			b.WriteString(cell(counts[idempotency], "", note) + "\n")
		}
	}
	b.WriteString("\n")
	for i, text := range notes {
		fmt.Fprintf(b, "[%d] %s.  \n", i+1, text)
	}
	b.WriteString(modelledEverywhere)
}

func cell(n int, unseen string, note func(string) string) string {
	switch {
	case n > 0:
		return fmt.Sprintf(" %d |", n)
	case unseen != "":
		return " " + note(unseen) + " |"
	}
	return " |"
}

func others(counts map[aspect]int) string {
	var list []string
	for a, n := range counts {
		if name, ok := strings.CutSuffix(string(a), "Exception"); ok {
			list = append(list, fmt.Sprintf("%s %d", name, n))
		}
	}
	slices.Sort(list)
	return strings.TrimSuffix(" "+strings.Join(list, ", "), " ") + " |"
}

// answers writes every check with its text.
func answers(b *bytes.Buffer, results map[*operation][]finding) {
	b.WriteString("# What every operation answers\n\n")
	b.WriteString("Made by `go test ./test/conformance -update` from checks that run on every commit, over the wire: successes through the AWS SDK for Go, errors as\n")
	b.WriteString("plain HTTP, each with its status and its exact text. The table is in [compatibility.md](compatibility.md#operations-as-tested).\n")
	for _, s := range services {
		fmt.Fprintf(b, "\n## %s\n", s.name)
		for i := range s.operations {
			o := &s.operations[i]
			fmt.Fprintf(b, "\n### %s %s\n\n", strings.TrimPrefix(s.name, "timestream-"), o.name)
			list := slices.Clone(results[o])
			slices.SortStableFunc(list, func(x, y finding) int { return rank(x.aspect) - rank(y.aspect) })
			for _, f := range list {
				fmt.Fprintf(b, "- %s: %s\n", f.aspect, f.promise)
				if f.text != "" {
					fmt.Fprintf(b, "  `%d` `%s`\n", statusOf[string(f.aspect)], shortened(f.text))
				}
			}
		}
	}
}

// rank orders what is told of an operation: success, pages, idempotency, errors.
func rank(a aspect) int {
	if i := slices.Index([]aspect{success, paging, idempotency}, a); i >= 0 {
		return i
	}
	return 3
}

// generated matches ids that are others in every run: of queries, tasks and scheduled queries.
var generated = regexp.MustCompile(`\b[A-Z0-9]{32,}\b|\b[0-9a-f]{16}\b`)

// shortened leaves out the middle of what only repeats an input, and ids.
func shortened(s string) string {
	s = generated.ReplaceAllString(s, "…")
	if len(s) > 600 {
		s = s[:200] + " … " + s[len(s)-200:]
	}
	return strings.ReplaceAll(s, "`", "'")
}
