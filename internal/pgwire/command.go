package pgwire

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/weir-db/weir/internal/vec"
)

// writing are statements of Postgres that weir does not have, since this door reads only.
var writing = map[string]bool{"insert": true, "update": true, "delete": true, "merge": true, "truncate": true, "create": true, "alter": true, "drop": true,
	"grant": true, "revoke": true, "comment": true, "vacuum": true, "analyze": true, "reindex": true, "cluster": true, "refresh": true, "lock": true}

var unsupported = map[string]bool{"copy": true, "prepare": true, "execute": true, "call": true, "do": true, "unload": true}

// sessionStatement fills in a statement that is about the session; handled is false for others, which are queries.
func (c *session) sessionStatement(st *statement, verb string) (handled bool, err error) {
	switch {
	case writing[verb]:
		return true, errorf(stateReadOnly, "cannot execute %s in a read-only transaction: this door takes queries only", strings.ToUpper(verb))
	case unsupported[verb]:
		return true, errorf(stateUnsupported, "%s is not supported", strings.ToUpper(verb))
	}
	switch verb {
	case "set", "reset", "show", "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "discard", "deallocate", "listen", "unlisten",
		"declare", "fetch", "move", "close":
	default:
		return false, nil
	}
	st.words = wordsOf(st.text)
	switch verb {
	case "show":
		name, ok := shown(st.words[1:])
		if !ok {
			return false, nil // SHOW DATABASES and its like
		}
		st.show = name
	case "fetch", "move":
		st.cursor, err = cursorCallOf(st.words)
	default:
		st.command = commands[verb]
	}
	return true, err
}

var commands = map[string]command{
	"set": (*session).set, "reset": (*session).reset,
	"begin": (*session).begin, "start": (*session).begin, "commit": (*session).commit, "end": (*session).commit, "rollback": (*session).rollback, "abort": (*session).rollback,
	"savepoint": (*session).savepoint, "release": (*session).release,
	"discard": (*session).discard, "deallocate": (*session).deallocate, "close": (*session).closeCursor,
	"listen": (*session).harmless, "unlisten": (*session).harmless,
}

// runCommand carries out a statement about the session, and says how it ended.
func (p *portal) runCommand() error {
	c, st := p.session, p.statement
	c.server.meters.statements.Add(1)
	switch {
	case st.show != "":
		return c.runShow(st)
	case st.cursor != nil:
		return c.fetch(p)
	}
	run := st.command
	if is(st.words, "declare") {
		run = func(c *session, _ []word) (string, error) { return c.declareCursor(st) }
	}
	tag, err := run(c, st.words)
	if err != nil {
		return err
	}
	c.send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
	return nil
}

func textOf(words []word) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && w.text != "," && words[i-1].text != "-" && words[i-1].text != "." && w.text != "." {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

func is(words []word, texts ...string) bool {
	if len(words) < len(texts) {
		return false
	}
	for i, t := range texts {
		if words[i].text != t || words[i].quoted {
			return false
		}
	}
	return true
}

// set is SET; SET LOCAL lasts as long as the session, too, since no query here depends on it.
func (c *session) set(words []word) (string, error) {
	rest := words[1:]
	if is(rest, "session", "characteristics") || is(rest, "transaction") || is(rest, "constraints") || is(rest, "role") || is(rest, "session", "authorization") {
		if is(rest, "role") && !is(rest, "role", "none") || is(rest, "session", "authorization") && !is(rest, "session", "authorization", "default") {
			return "", errorf(stateUnsupported, "another role cannot be taken")
		}
		return "SET", nil
	}
	if is(rest, "session") || is(rest, "local") {
		rest = rest[1:]
	}
	if is(rest, "time", "zone") {
		rest = append([]word{{text: "timezone"}, {text: "to"}}, rest[2:]...)
	}
	at := slices.IndexFunc(rest, func(w word) bool { return !w.quoted && (w.text == "=" || w.text == "to") })
	if at < 1 || at+1 >= len(rest) {
		return "", errorf(stateSyntax, "SET wants a name, TO and a value")
	}
	name := strings.ReplaceAll(textOf(rest[:at]), " ", "")
	if is(rest[at+1:], "default") {
		return "SET", c.resetOne(name)
	}
	return "SET", c.setOne(name, textOf(rest[at+1:]))
}

func (c *session) setOne(name, value string) error {
	if err := c.settings.set(name, value); err != nil {
		return err
	}
	for _, told := range reported {
		if strings.EqualFold(told, name) {
			c.send(&pgproto3.ParameterStatus{Name: told, Value: c.settings.values[strings.ToLower(name)]})
		}
	}
	return nil
}

func (c *session) resetOne(name string) error {
	first, ok := c.settings.first[strings.ToLower(name)]
	if !ok && !strings.Contains(name, ".") {
		return errorf(stateUnknownSetting, "unrecognized configuration parameter %q", name)
	}
	if fixed[strings.ToLower(name)] {
		return nil
	}
	return c.setOne(name, first)
}

func (c *session) reset(words []word) (string, error) {
	if len(words) < 2 {
		return "", errorf(stateSyntax, "RESET wants a name or ALL")
	}
	if is(words[1:], "all") {
		c.settings.values = maps.Clone(c.settings.first)
		return "RESET", nil
	}
	if is(words[1:], "session", "authorization") {
		return "RESET", nil
	}
	return "RESET", c.resetOne(strings.ReplaceAll(textOf(words[1:]), " ", ""))
}

// shown returns the setting that SHOW asks for; ok is false for the statements of weir that begin like that.
func shown(words []word) (name string, ok bool) {
	switch {
	case len(words) == 0 || is(words, "databases") || is(words, "tables") || is(words, "measures"):
		return "", false
	case is(words, "time", "zone"):
		return "timezone", true
	case is(words, "transaction", "isolation", "level"):
		return "transaction_isolation", true
	}
	return strings.ReplaceAll(textOf(words), " ", ""), true
}

func (c *session) showColumns(st *statement) []output {
	text := typeOf(vec.VarcharType)
	if st.show == "all" {
		return []output{{told: text, name: "name"}, {told: text, name: "setting"}, {told: text, name: "description"}}
	}
	return []output{{told: text, name: st.show}}
}

func (c *session) runShow(st *statement) error {
	if st.show == "all" {
		for _, name := range slices.Sorted(maps.Keys(c.settings.values)) {
			c.send(&pgproto3.DataRow{Values: [][]byte{[]byte(name), []byte(c.settings.values[name]), {}}})
		}
	} else {
		value, ok := c.settings.values[strings.ToLower(st.show)]
		if !ok {
			return errorf(stateUnknownSetting, "unrecognized configuration parameter %q", st.show)
		}
		c.send(&pgproto3.DataRow{Values: [][]byte{[]byte(value)}})
	}
	c.send(&pgproto3.CommandComplete{CommandTag: []byte("SHOW")})
	return nil
}

func (c *session) warn(state, text string) {
	c.send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: state, Message: text})
}

func (c *session) begin(words []word) (string, error) {
	tag := "BEGIN"
	if words[0].text == "start" {
		tag = "START TRANSACTION"
	}
	if c.transaction == 'T' {
		c.warn("25001", "there is already a transaction in progress")
	}
	c.transaction = 'T'
	return tag, nil
}

func (c *session) commit([]word) (string, error) {
	tag := "COMMIT"
	switch c.transaction {
	case 'I':
		c.warn(stateNoTransaction, "there is no transaction in progress")
	case 'E':
		tag = "ROLLBACK"
	}
	c.endTransaction()
	return tag, nil
}

func (c *session) endTransaction() { c.transaction, c.savepoints = 'I', nil }

func (c *session) rollback(words []word) (string, error) {
	if at := slices.IndexFunc(words, func(w word) bool { return w.text == "to" && !w.quoted }); at > 0 && at+1 < len(words) {
		name := words[len(words)-1].text
		i := c.savepointAt(name)
		if c.transaction == 'I' {
			return "", errorf(stateNoTransaction, "ROLLBACK TO SAVEPOINT can only be used in transaction blocks")
		}
		if i < 0 {
			return "", errorf(stateNoSavepoint, "savepoint %q does not exist", name)
		}
		c.savepoints, c.transaction = c.savepoints[:i+1], 'T'
		return "ROLLBACK", nil
	}
	if c.transaction == 'I' {
		c.warn(stateNoTransaction, "there is no transaction in progress")
	}
	c.endTransaction()
	return "ROLLBACK", nil
}

func (c *session) savepointAt(name string) int {
	for i := len(c.savepoints) - 1; i >= 0; i-- {
		if c.savepoints[i] == name {
			return i
		}
	}
	return -1
}

func (c *session) savepoint(words []word) (string, error) {
	switch {
	case len(words) < 2:
		return "", errorf(stateSyntax, "SAVEPOINT wants a name")
	case c.transaction == 'I':
		return "", errorf(stateNoTransaction, "SAVEPOINT can only be used in transaction blocks")
	case len(c.savepoints) >= c.server.opts.MaxStatements:
		return "", errorf(stateProgramLimit, "a transaction may have %d savepoints", c.server.opts.MaxStatements)
	}
	c.savepoints = append(c.savepoints, words[1].text)
	return "SAVEPOINT", nil
}

func (c *session) release(words []word) (string, error) {
	name := words[len(words)-1].text
	i := c.savepointAt(name)
	if i < 0 {
		return "", errorf(stateNoSavepoint, "savepoint %q does not exist", name)
	}
	c.savepoints = c.savepoints[:i]
	return "RELEASE", nil
}

func (c *session) harmless(words []word) (string, error) { return strings.ToUpper(words[0].text), nil }

func (c *session) discard(words []word) (string, error) {
	if !is(words, "discard", "all") {
		return textUpper(words), nil
	}
	if c.transaction != 'I' {
		return "", errorf("25001", "DISCARD ALL cannot run inside a transaction block")
	}
	c.closePortals(true)
	clear(c.statements)
	c.settings.values = maps.Clone(c.settings.first)
	return "DISCARD ALL", nil
}

func textUpper(words []word) string { return strings.ToUpper(textOf(words)) }

func (c *session) deallocate(words []word) (string, error) {
	rest := words[1:]
	if is(rest, "prepare") && len(rest) > 1 {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return "", errorf(stateSyntax, "DEALLOCATE wants a name or ALL")
	}
	if is(rest, "all") {
		clear(c.statements)
		return "DEALLOCATE ALL", nil
	}
	if _, err := c.statement(rest[0].text); err != nil {
		return "", err
	}
	delete(c.statements, rest[0].text)
	return "DEALLOCATE", nil
}

func (c *session) closeCursor(words []word) (string, error) {
	switch {
	case len(words) < 2:
		return "", errorf(stateSyntax, "CLOSE wants a cursor or ALL")
	case is(words[1:], "all"):
		c.closePortals(true)
		return "CLOSE CURSOR ALL", nil
	case c.portals[words[1].text] == nil:
		return "", errorf(stateNoPortal, "cursor %q does not exist", words[1].text)
	}
	c.closePortal(words[1].text)
	return "CLOSE CURSOR", nil
}

// declareCursor makes a cursor of the statement; its query is not run before rows are fetched, but planned.
func (c *session) declareCursor(st *statement) (string, error) {
	words := st.words
	at := slices.IndexFunc(words, func(w word) bool { return w.text == "for" && !w.quoted })
	if at < 3 || at+1 >= len(words) || !slices.ContainsFunc(words[2:at], func(w word) bool { return w.text == "cursor" }) {
		return "", errorf(stateSyntax, "DECLARE wants a name, CURSOR FOR and a query")
	}
	name, hold := words[1].text, false
	format := []int16(nil)
	for i := 2; i < at; i++ {
		switch {
		case is(words[i:], "no", "scroll"):
			i++
		case is(words[i:], "scroll"):
			return "", errorf(stateUnsupported, "cursors scroll forward only")
		case is(words[i:], "with", "hold"):
			hold = true
		case is(words[i:], "binary"):
			format = []int16{1}
		}
	}
	if !hold && c.transaction == 'I' {
		return "", errorf(stateNoTransaction, "DECLARE CURSOR can only be used in transaction blocks")
	}
	inner, err := c.newStatement(st.text[words[at+1].at:], nil, false)
	if err != nil {
		return "", err
	}
	if inner.sql == "" || len(inner.params) > 0 {
		return "", errorf(stateUnsupported, "cursors are for queries without parameters")
	}
	p := &portal{session: c, statement: inner, formats: format, hold: hold}
	if err := c.addPortal(name, p); err != nil {
		return "", err
	}
	if err := p.open(); err != nil {
		c.closePortal(name)
		return "", err
	}
	return "DECLARE CURSOR", nil
}

// cursorCall is FETCH or MOVE of count rows, all if negative.
type cursorCall struct {
	name  string
	count int
	move  bool
}

func cursorCallOf(words []word) (*cursorCall, error) {
	call := &cursorCall{count: 1, move: words[0].text == "move"}
	rest := words[1:]
	backward := errorf("55000", "cursor can only scan forward")
	for len(rest) > 1 {
		w := rest[0]
		n, err := strconv.Atoi(w.text)
		switch {
		case w.quoted:
			return nil, errorf(stateSyntax, "FETCH wants a direction and a cursor")
		case w.text == "next" || w.text == "forward" || w.text == "from" || w.text == "in":
		case w.text == "all":
			call.count = -1
		case err == nil:
			call.count = n
		default:
			return nil, backward
		}
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return nil, errorf(stateSyntax, "FETCH wants a cursor")
	}
	call.name = rest[0].text
	return call, nil
}

// fetch sends rows of a cursor, or passes over them. 0 rows are none: the position is not kept for reading a row again.
func (c *session) fetch(p *portal) error {
	call := p.statement.cursor
	target := c.portals[call.name]
	if target == nil {
		return errorf(stateNoPortal, "cursor %q does not exist", call.name)
	}
	n, err := int64(0), error(nil)
	switch {
	case call.count == 0 || target.done:
	case call.move:
		target.silent = true
		n, err = target.rows(max(call.count, 0))
		target.silent = false
	default:
		n, err = target.rows(max(call.count, 0))
	}
	if err != nil {
		return err
	}
	tag := "FETCH "
	if call.move {
		tag = "MOVE "
	}
	c.send(&pgproto3.CommandComplete{CommandTag: strconv.AppendInt([]byte(tag), n, 10)})
	return nil
}
