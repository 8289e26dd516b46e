package sqltest

import (
	"context"
	"flag"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/storage/storagetest"
)

// Rewrite is the flag -rewrite of tests that use this package: answers are written into the
// scripts instead of compared.
var Rewrite = flag.Bool("rewrite", false, "write what queries gave into the scripts")

// Engine is what a script runs on.
type Engine interface {
	// SetNow sets the clock that the engine reads.
	SetNow(t time.Time)
	// CreateTable creates a table, and its database if need be. Retention must reach
	// back some years.
	CreateTable(ctx context.Context, database, table string) error
	// Write writes rows; a rejection is an error.
	Write(ctx context.Context, database, table string, rows *storage.Rows) error
	// Query runs a statement to its end. The text of an error is the client's.
	Query(ctx context.Context, sql string) (*Result, error)
}

// Speller is an engine that cannot tell columns as exactly as scripts do.
type Speller interface {
	// Spell returns the line of columns as the engine tells it.
	Spell(columns string) string
}

// Result is an answer as text.
type Result struct {
	Columns []string   // "name type", the type as typeof() spells it
	Rows    [][]string // API text; NULL is null
}

// Start is the time that a script begins at.
var Start = time.Date(2031, 2, 3, 12, 0, 0, 0, time.UTC)

// RunFile runs the script at path on e. With the flag -rewrite it writes the answers
// into the script instead of comparing them.
func RunFile(t *testing.T, path string, e Engine) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	r := &runner{t: t, path: path, e: e, tables: map[string]bool{}, got: map[int][]string{}}
	e.SetNow(Start)
	for _, b := range blocks {
		r.run(b)
	}
	if *Rewrite {
		if err := os.WriteFile(path, []byte(r.rewritten(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type runner struct {
	t      *testing.T
	path   string
	e      Engine
	tables map[string]bool
	got    map[int][]string // by line of the block
}

func (r *runner) run(b block) {
	ctx := context.Background()
	fail := func(format string, args ...any) {
		r.t.Helper()
		r.t.Errorf("%s:%d: "+format, append([]any{r.path, b.line}, args...)...)
	}
	switch b.words[0] {
	case "now":
		ns, err := ParseTime(strings.Join(b.words[1:], " "))
		if err != nil {
			fail("%v", err)
			return
		}
		r.e.SetNow(time.Unix(0, ns).UTC())
	case "create", "write":
		if err := r.write(ctx, b); err != nil {
			r.t.Fatalf("%s:%d: %v", r.path, b.line, err)
		}
	case "query":
		got, err := r.e.Query(ctx, strings.Join(b.body, "\n"))
		if err != nil {
			fail("%s\nfails: %v", strings.Join(b.body, "\n"), err)
			return
		}
		lines := append([]string{strings.Join(got.Columns, " | ")}, textRows(got.Rows)...)
		want := slices.Clone(b.want)
		if e, ok := r.e.(Speller); ok && len(want) > 0 {
			want[0] = e.Spell(want[0])
		}
		if slices.Contains(b.words, "sorted") {
			slices.Sort(lines[1:])
			if len(want) > 1 {
				slices.Sort(want[1:])
			}
		}
		r.got[b.line] = lines
		if !*Rewrite && !sameLines(lines, want) {
			fail("%s\ngot:\n%s\nwant:\n%s", strings.Join(b.body, "\n"), strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	case "error":
		got, err := r.e.Query(ctx, strings.Join(b.body, "\n"))
		if err == nil {
			fail("%s\ngives %v, want the error %s", strings.Join(b.body, "\n"), got.Rows, strings.Join(b.want, "\n"))
			return
		}
		r.got[b.line] = []string{err.Error()}
		if !*Rewrite && err.Error() != strings.Join(b.want, "\n") {
			fail("%s\nfails with: %v\nwant:       %s", strings.Join(b.body, "\n"), err, strings.Join(b.want, "\n"))
		}
	}
}

func (r *runner) write(ctx context.Context, b block) error {
	database, table, _ := strings.Cut(b.words[1], ".")
	if !r.tables[b.words[1]] {
		r.tables[b.words[1]] = true
		if err := r.e.CreateTable(ctx, database, table); err != nil {
			return err
		}
	}
	if len(b.body) == 0 {
		return nil
	}
	var batch storagetest.Batch
	for _, line := range b.body {
		p, err := parsePoint(line)
		if err != nil {
			return err
		}
		batch.Add(p)
	}
	return r.e.Write(ctx, database, table, &batch.Rows)
}

func textRows(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = strings.Join(row, " | ")
	}
	return out
}

func sameLines(got, want []string) bool {
	return slices.EqualFunc(got, want, SameRow)
}

// SameRow reports whether two rows, their values joined by " | ", are the same but for the
// last digits of doubles.
func SameRow(a, b string) bool {
	return a == b || slices.EqualFunc(strings.Split(a, " | "), strings.Split(b, " | "), sameText)
}

// sameText compares values; doubles by their leading digits.
func sameText(a, b string) bool {
	if a == b {
		return true
	}
	if !strings.Contains(a, ".") || !strings.Contains(b, ".") {
		return false
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y))
}

// rewritten returns the script with what was got in place of what was expected.
func (r *runner) rewritten(text string) string {
	var out []string
	var got []string
	skipping := false
	for i, line := range strings.Split(text, "\n") {
		if lines, ok := r.got[i+1]; ok {
			got = lines
		}
		switch {
		case strings.TrimSpace(line) == "":
			skipping = false
		case skipping && !strings.HasPrefix(line, "#"):
			continue
		}
		out = append(out, line)
		if line == "----" && got != nil {
			out, got, skipping = append(out, got...), nil, true
		}
	}
	return strings.Join(out, "\n")
}
