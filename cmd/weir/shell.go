package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/peterh/liner"
)

// shell asks statements and prints answers.
type shell struct {
	client   *timestreamquery.Client
	endpoint string
	out      io.Writer
	render   renderer
	timing   bool
}

// all runs every statement of text and stops at the first that fails.
func (s *shell) all(ctx context.Context, text string) error {
	list, rest := statements(text)
	if rest != "" {
		list = append(list, rest)
	}
	for _, sql := range list {
		if err := s.one(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func (s *shell) one(ctx context.Context, sql string) error {
	began := time.Now()
	t, err := ask(ctx, s.client, sql)
	if err != nil {
		return err
	}
	if err := s.render(s.out, t); err != nil {
		return err
	}
	if s.timing {
		fmt.Fprintf(s.out, "Time: %.3f ms\n", float64(time.Since(began))/1e6)
	}
	return nil
}

const shellHelp = `Statements end with a semicolon and may span lines.

  \l             databases
  \d             tables of all databases
  \d DB          tables of a database
  \d DB.TABLE    columns of a table, and its measures
  \format F      output as table, csv or json
  \timing        show or hide how long statements take
  \?             this help
  \q             leave (also Ctrl-D)
`

// interact reads statements and commands until the user leaves.
func (s *shell) interact(ctx context.Context) error {
	line := liner.NewLiner()
	defer line.Close()
	line.SetCtrlCAborts(true)
	line.SetMultiLineMode(true)
	defer loadHistory(line)()
	fmt.Fprintf(s.out, "weir %s, asking %s. \\? for help.\n", versionText(), s.endpoint)
	pending := ""
	for ctx.Err() == nil {
		prompt := "weir> "
		if pending != "" {
			prompt = "   -> "
		}
		text, err := line.Prompt(prompt)
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			pending = ""
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if pending == "" && strings.HasPrefix(strings.TrimSpace(text), `\`) {
			line.AppendHistory(text)
			if !s.command(ctx, strings.Fields(text)) {
				return nil
			}
			continue
		}
		list, rest := statements(pending + text + "\n")
		pending = rest
		if pending != "" {
			pending += "\n"
		}
		for _, sql := range list {
			line.AppendHistory(strings.Join(strings.Fields(sql), " ") + ";")
			s.interruptible(ctx, sql)
		}
	}
	return nil
}

// loadHistory reads the history of earlier sessions, if there is a home to keep it in,
// and returns the function that saves it.
func loadHistory(line *liner.State) (save func()) {
	home, err := os.UserHomeDir()
	if err != nil {
		return func() {}
	}
	name := filepath.Join(home, ".weir_history")
	if f, err := os.Open(name); err == nil {
		line.ReadHistory(f)
		f.Close()
	}
	return func() {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return
		}
		line.WriteHistory(f)
		f.Close()
	}
}

// interruptible runs one statement, which Ctrl-C ends, and prints its error.
func (s *shell) interruptible(ctx context.Context, sql string) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if err := s.one(ctx, sql); err != nil {
		fmt.Fprintln(s.out, err)
	}
}

// command runs a backslash command; false means leave.
func (s *shell) command(ctx context.Context, words []string) bool {
	arg := strings.Trim(strings.Join(words[1:], " "), ";")
	switch words[0] {
	case `\q`, `\quit`, `\exit`:
		return false
	case `\?`, `\h`, `\help`:
		fmt.Fprint(s.out, shellHelp)
	case `\l`:
		s.interruptible(ctx, "SHOW DATABASES")
	case `\d`, `\dt`:
		s.describe(ctx, arg)
	case `\timing`:
		s.timing = !s.timing
		fmt.Fprintln(s.out, "timing:", s.timing)
	case `\format`:
		if r, ok := renderers[arg]; ok {
			s.render = r
		} else {
			fmt.Fprintln(s.out, `\format wants table, csv or json`)
		}
	default:
		fmt.Fprintf(s.out, "unknown command %s; \\? lists them\n", words[0])
	}
	return true
}

func (s *shell) describe(ctx context.Context, what string) {
	database, name, isTable := strings.Cut(strings.ReplaceAll(what, `"`, ""), ".")
	switch {
	case isTable:
		id := quote(database) + "." + quote(name)
		s.interruptible(ctx, "DESCRIBE "+id)
		s.interruptible(ctx, "SHOW MEASURES FROM "+id)
	case what != "":
		s.interruptible(ctx, "SHOW TABLES FROM "+quote(database))
	default:
		s.allTables(ctx)
	}
}

// allTables lists database and table together, which SHOW TABLES does not.
func (s *shell) allTables(ctx context.Context) {
	dbs, err := ask(ctx, s.client, "SHOW DATABASES")
	if err != nil {
		fmt.Fprintln(s.out, err)
		return
	}
	var names []string
	for _, d := range dbs.rows {
		db := *d[0].ScalarValue
		tables, err := ask(ctx, s.client, "SHOW TABLES FROM "+quote(db))
		if err != nil {
			fmt.Fprintln(s.out, err)
			return
		}
		for _, t := range tables.rows {
			names = append(names, db+"."+*t[0].ScalarValue)
		}
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintln(s.out, n)
	}
	fmt.Fprintf(s.out, "(%d tables)\n", len(names))
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
