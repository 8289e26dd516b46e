package pgwire

import (
	"context"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/query"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// piece is one statement of a text, without spaces and comments around it.
type piece struct {
	text string
	at   int // offset in the text
}

// split divides a text at the semicolons between statements.
func split(text string) []piece {
	var pieces []piece
	start := 0
	add := func(end int) {
		at := start
		for at < end {
			if n := spaceAt(text[at:end]); n > 0 {
				at += n
				continue
			}
			break
		}
		if s := strings.TrimRight(text[at:end], " \t\r\n\f\v"); s != "" {
			pieces = append(pieces, piece{s, at})
		}
	}
	for i := 0; i < len(text); {
		if text[i] == ';' {
			add(i)
			i++
			start = i
			continue
		}
		i += tokenAt(text[i:])
	}
	add(len(text))
	return pieces
}

// spaceAt returns the length of the space or comment that s begins with, 0 if there is none.
func spaceAt(s string) int {
	switch {
	case strings.HasPrefix(s, "--"):
		if n := strings.IndexByte(s, '\n'); n >= 0 {
			return n + 1
		}
		return len(s)
	case strings.HasPrefix(s, "/*"):
		if n := strings.Index(s[2:], "*/"); n >= 0 {
			return n + 4
		}
		return len(s)
	case s != "" && strings.IndexByte(" \t\r\n\f\v", s[0]) >= 0:
		return 1
	}
	return 0
}

func isWordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b >= 0x80
}

// tokenAt returns the length of the space, comment, quoted text, word or sign that s, not empty, begins with.
func tokenAt(s string) int {
	if n := spaceAt(s); n > 0 {
		return n
	}
	if (s[0] == 'E' || s[0] == 'e') && len(s) > 1 && s[1] == '\'' {
		return 1 + escapedAt(s[1:])
	}
	if s[0] == '\'' || s[0] == '"' {
		for i := 1; i < len(s); i++ {
			if s[i] != s[0] {
				continue
			}
			if i+1 < len(s) && s[i+1] == s[0] {
				i++
				continue
			}
			return i + 1
		}
		return len(s)
	}
	n := 0
	for n < len(s) && isWordByte(s[n]) {
		n++
	}
	return max(n, 1)
}

// escapedAt returns the length of the quoted text that s begins with, in which a backslash takes the meaning of the character behind it.
func escapedAt(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == '\'':
			return i + 1
		}
	}
	return len(s)
}

// word is a token of a statement about the session.
type word struct {
	text   string // lower-case, or what was quoted
	quoted bool
	at     int // offset
}

func wordsOf(text string) []word {
	var words []word
	for i := 0; i < len(text); {
		n := tokenAt(text[i:])
		t := text[i : i+n]
		switch {
		case spaceAt(t) > 0:
		case t[0] == '\'' || t[0] == '"':
			q := t[:1]
			words = append(words, word{strings.ReplaceAll(strings.TrimSuffix(t[1:], q), q+q, q), true, i})
		default:
			words = append(words, word{strings.ToLower(t), false, i})
		}
		i += n
	}
	return words
}

// command acts on a statement about the session and returns its tag.
type command func(c *session, words []word) (tag string, err error)

// statement is a text that was looked at.
type statement struct {
	text    string
	words   []word // of one about the session
	command command
	cursor  *cursorCall // FETCH, MOVE
	show    string      // the setting of SHOW

	sql       string // for the query service
	params    []parameter
	described bool         // columns are known
	told      []columnType // then
	names     []string
}

// parameter is a $n.
type parameter struct {
	oid uint32
	typ vec.Type
}

// maxParameters is what the protocol can count.
const maxParameters = 65_535

// newStatement looks at a text. One that is prepared has its parameters and columns found out.
func (c *session) newStatement(text string, oids []uint32, prepared bool) (*statement, error) {
	pieces := split(text)
	switch {
	case len(pieces) > 1:
		return nil, errorf(stateSyntax, "cannot insert multiple commands into a prepared statement")
	case len(pieces) == 0:
		return &statement{}, nil
	}
	st := &statement{text: pieces[0].text}
	verb := strings.ToLower(st.text[:tokenAt(st.text)])
	if c.transaction == 'E' && verb != "rollback" && verb != "abort" && verb != "commit" && verb != "end" {
		return nil, errorf(stateAborted, "current transaction is aborted, commands ignored until end of transaction block")
	}
	if handled, err := c.sessionStatement(st, verb); handled || err != nil {
		return st, err
	}
	st.sql = st.text
	if !prepared {
		return st, nil
	}
	if err := c.stillAllowed(); err != nil {
		return nil, err
	}
	return st, c.describe(st, oids)
}

// request asks for what a statement says, in the dialect and the database of the session.
func (c *session) request(sql string, params map[string]vec.Value) query.StreamRequest {
	return query.StreamRequest{
		Caller: c.caller, SQL: sql, Params: params, Bounded: true,
		Dialect: syntax.Postgres, Database: c.database, Version: "PostgreSQL " + serverVersion + " (weir)",
	}
}

// describe finds out the parameters and columns of a statement.
func (c *session) describe(st *statement, oids []uint32) error {
	p, err := c.server.opts.Queries.Describe(c.conditions(context.WithoutCancel(c.server.ctx)), c.request(st.sql, nil))
	if err != nil {
		return err
	}
	n := len(oids)
	for _, q := range p.Parameters {
		i, err := strconv.Atoi(q.Name)
		switch {
		case err != nil:
			return errorf(stateSyntax, "parameters are written $1, not @%s", q.Name)
		case i < 1 || i > maxParameters:
			return errorf(stateNoParameter, "there is no parameter $%d", i)
		}
		n = max(n, i)
	}
	st.params = make([]parameter, n)
	for i := range st.params {
		st.params[i] = parameter{oidText, vec.UnknownType}
	}
	for _, q := range p.Parameters {
		if i, _ := strconv.Atoi(q.Name); q.Type.Kind != vec.Unknown {
			st.params[i-1] = parameter{typeOf(q.Type).oid, q.Type}
		}
	}
	for i, oid := range oids {
		t, ok := vecTypeOf(oid)
		if !ok {
			return errorf(stateUnknownDatatype, "parameter $%d has a type, with object identifier %d, that is not supported", i+1, oid)
		}
		if oid != 0 && oid != oidUnknown {
			st.params[i] = parameter{oid, t}
		}
	}
	st.described = true
	for _, col := range p.Columns {
		st.told, st.names = append(st.told, typeOf(col.Type)), append(st.names, columnName(col.Name))
	}
	return nil
}

func columnName(name string) string {
	if name == "" {
		return "?column?"
	}
	return name
}
