package syntax

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	// MaxDepth is how deep a query may nest: parentheses, subqueries, CASE, signs, types.
	MaxDepth = 500

	// maxHeight is how high a tree may grow by chains, which do not nest: a + b + c …, JOIN.
	// Whoever walks a tree recursively needs that many frames of stack. Chains of || and of set operations
	// are walked without recursion and do not count.
	maxHeight = 12_000

	// maxLength keeps offsets within their type; the service's own limit is far below.
	maxLength = 1 << 24
)

// Parse parses one statement, with an optional semicolon behind it. The error is an [*Error].
// The caller bounds the length of sql (256 KiB in the service); depth is bounded here.
func Parse(sql string) (Statement, error) { return ParseDialect(sql, Timestream) }

// ParseExpr parses a single expression, as a rule or a tool holds it.
func ParseExpr(text string) (e Expr, err error) {
	err = parse(text, Timestream, func(p *parser) Node {
		e = p.expr()
		return e
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// usedTokens are tokens of texts that were parsed, as *[]token, none of them of a huge text: they were a tenth of
// what planning a small query allocates.
var usedTokens = sync.Pool{New: func() any { return new([]token) }}

const maxUsedTokens = 4096

// parse runs read over the tokens of text and checks that it took all of them.
func parse(text string, d Dialect, read func(*parser) Node) (err error) {
	if err := checkText(text); err != nil {
		return err
	}
	p := &parser{src: text, postgres: d == Postgres}
	toks := usedTokens.Get().(*[]token) // the tree keeps none
	p.toks, p.bad = lex(text, d, (*toks)[:0])
	defer func() {
		if cap(p.toks) <= maxUsedTokens {
			*toks = p.toks
			usedTokens.Put(toks)
		}
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	root := read(p)
	if p.tok().kind != tokEOF {
		p.fail("the end of the query")
	}
	return checkHeight(root)
}

// checkText refuses what has no sensible positions: bytes that are not UTF-8, and huge texts.
func checkText(text string) error {
	if len(text) > maxLength {
		return syntaxError(Pos{1, 1}, fmt.Sprintf("a text of %d bytes", len(text)), fmt.Sprintf("at most %d", maxLength))
	}
	if utf8.ValidString(text) {
		return nil
	}
	at := Pos{1, 1}
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)) {
			break
		}
		if at.Col++; r == '\n' {
			at = Pos{at.Line + 1, 1}
		}
	}
	return syntaxError(at, "bytes that are not UTF-8", "")
}

// checkHeight refuses a tree that is too high to be walked recursively.
func checkHeight(root Node) error {
	var err error
	w := walker{visit: func(n Node, height int) bool {
		if height > maxHeight && err == nil {
			err = tooDeep(n.Pos())
		}
		return err == nil
	}}
	w.node(root)
	return err
}

func tooDeep(at Pos) *Error {
	return &Error{
		At:    at,
		Msg:   fmt.Sprintf("%s: The query is nested too deep (limits: %d levels, %d links of a chain)", at, MaxDepth, maxHeight),
		Found: "a query nested too deep",
	}
}

// parser reads tokens by recursive descent. Its methods return trees and leave an error by
// panicking with the *Error, which parse recovers: nearly every line could fail otherwise.
type parser struct {
	src   string
	toks  []token // the last is a tokEOF or a tokBad and is never passed
	i     int     // of the current token
	depth int     // of the recursion, in the terms of MaxDepth
	bad   string  // what is wrong with the tokBad

	postgres bool // the text is of that dialect
}

// ---- the current token

func (p *parser) tok() token          { return p.toks[p.i] }
func (p *parser) pos() Pos            { return p.toks[p.i].pos() }
func (p *parser) text(t token) string { return p.src[t.start:t.end] }

// ahead returns the token n behind the current one, or the last one.
func (p *parser) ahead(n int) token { return p.at(p.i + n) }

// at returns token i, or the last one.
func (p *parser) at(i int) token { return p.toks[min(i, len(p.toks)-1)] }

func (p *parser) advance() token {
	t := p.toks[p.i]
	if p.i < len(p.toks)-1 {
		p.i++
	}
	return t
}

// is reports whether the current token is of kind k; word, whether it is the keyword.
func (p *parser) is(k kind) bool      { return p.toks[p.i].kind == k }
func (p *parser) word(k keyword) bool { return p.toks[p.i].kw == k }

// accept takes the current token if it is of kind k; acceptWord, if it is the keyword.
func (p *parser) accept(k kind) bool {
	if p.is(k) {
		p.advance()
		return true
	}
	return false
}

func (p *parser) acceptWord(k keyword) bool {
	if p.word(k) {
		p.advance()
		return true
	}
	return false
}

// acceptWords takes two keywords in a row or none.
func (p *parser) acceptWords(a, b keyword) bool {
	if p.word(a) && p.ahead(1).kw == b {
		p.i += 2
		return true
	}
	return false
}

// expect takes a token of kind k or fails; spelled is the symbol.
func (p *parser) expect(k kind, spelled string) token {
	if !p.is(k) {
		p.fail(spelled)
	}
	return p.advance()
}

func (p *parser) expectWord(k keyword) token {
	if !p.word(k) {
		p.fail(strings.ToUpper(keywordNames[k]))
	}
	return p.advance()
}

// ---- errors and limits

// fail ends the parse at the current token.
func (p *parser) fail(wanted string) { p.failAt(p.tok(), wanted) }

func (p *parser) failAt(t token, wanted string) {
	found := p.bad
	switch t.kind {
	case tokBad:
		wanted = ""
	case tokEOF:
		found = "the end of the query"
	default:
		found = abbreviate(p.text(t))
	}
	panic(syntaxError(t.pos(), found, wanted))
}

// abbreviate returns a text short enough for a message.
func abbreviate(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	end := limit
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// enter counts one level of nesting, which the caller leaves by p.depth--.
func (p *parser) enter() {
	if p.depth++; p.depth > MaxDepth {
		panic(tooDeep(p.pos()))
	}
}

// ---- names, strings, numbers

// isName reports whether t can be a name: quoted, or a word that is not reserved.
func isName(t token) bool {
	return t.kind == tokQuoted || t.kind == tokWord && !t.kw.reserved()
}

func (p *parser) ident(wanted string) Ident {
	if !isName(p.tok()) {
		p.fail(wanted)
	}
	return p.identOf(p.advance())
}

func (p *parser) identOf(t token) Ident {
	s := p.text(t)
	if t.kind == tokQuoted {
		return Ident{At: t.pos(), Name: unquote(s, `"`), Quoted: true}
	}
	// The type of measure_value::double is spelled in any case and has one name.
	if at := len(measureValue); len(s) > at && s[at] == ':' {
		s = s[:at] + strings.ToLower(s[at:])
	}
	return Ident{At: t.pos(), Name: s}
}

// idents reads "(a, b, …)".
func (p *parser) idents(wanted string) []Ident {
	p.expect(tokLParen, "(")
	list := []Ident{p.ident(wanted)}
	for p.accept(tokComma) {
		list = append(list, p.ident(wanted))
	}
	p.expect(tokRParen, ")")
	return list
}

func (p *parser) tableName() TableName {
	name := TableName{Table: p.ident("a table name")}
	if p.accept(tokDot) {
		name.Database, name.Table = name.Table, p.ident("a table name")
	}
	return name
}

func (p *parser) stringLit(wanted string) *StringLit {
	switch t := p.tok(); t.kind {
	case tokString:
		p.advance()
		return &StringLit{At: t.pos(), Value: unquote(p.text(t), "'")}
	case tokUnicode:
		return p.unicodeLit()
	case tokEscaped:
		return p.escapedLit()
	}
	p.fail(wanted)
	return nil
}

// unquote removes the quotes around s and the doubling of those inside.
func unquote(s, quote string) string {
	s = s[1 : len(s)-1]
	if strings.Contains(s, quote) {
		s = strings.ReplaceAll(s, quote+quote, quote)
	}
	return s
}

// unicodeLit reads U&'…' [UESCAPE 'c'].
func (p *parser) unicodeLit() *StringLit {
	t := p.advance()
	escape := byte('\\')
	if p.acceptWord(kwUescape) {
		c := p.expect(tokString, "a string of one character")
		s := unquote(p.text(c), "'")
		// Trino refuses as the escape what could be part of a code or of the literal.
		if len(s) != 1 || strings.ContainsAny(s, `0123456789abcdefABCDEF+'" `) || s[0] >= utf8.RuneSelf {
			p.failAt(c, "an escape of one ASCII character that is no hexadecimal digit, plus, quote or blank")
		}
		escape = s[0]
	}
	value, ok := decodeUnicode(unquote(p.text(t)[2:], "'"), escape)
	if !ok {
		p.failAt(t, "four hexadecimal digits, or + and six, behind each escape")
	}
	return &StringLit{At: t.pos(), Value: value}
}

// decodeUnicode replaces \XXXX, \+XXXXXX and \\, for the escape character given.
func decodeUnicode(s string, escape byte) (string, bool) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, escape)
		if i < 0 {
			b.WriteString(s)
			return b.String(), true
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if strings.HasPrefix(s, string(escape)) {
			b.WriteByte(escape)
			s = s[1:]
			continue
		}
		digits := 4
		if strings.HasPrefix(s, "+") {
			digits, s = 6, s[1:]
		}
		if len(s) < digits {
			return "", false
		}
		code, err := strconv.ParseUint(s[:digits], 16, 32)
		if err != nil || !utf8.ValidRune(rune(code)) {
			return "", false
		}
		b.WriteRune(rune(code))
		s = s[digits:]
	}
}

// integer reads digits that fit 64 bits.
func (p *parser) integer(wanted string) *IntegerLit {
	t := p.expect(tokInteger, wanted)
	v, err := strconv.ParseInt(p.text(t), 10, 64)
	if err != nil {
		p.failAt(t, "a number of at most 64 bits")
	}
	return &IntegerLit{At: t.pos(), Value: v}
}

func (p *parser) doubleLit() *DoubleLit {
	t := p.advance()
	v, err := strconv.ParseFloat(p.text(t), 64)
	if err != nil || math.IsInf(v, 0) {
		p.failAt(t, "a number in the range of double")
	}
	return &DoubleLit{At: t.pos(), Value: v}
}

func (p *parser) durationLit() *DurationLit {
	t := p.advance()
	digits := strings.TrimRight(p.text(t), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		p.failAt(t, "a count of at most 64 bits")
	}
	return &DurationLit{At: t.pos(), Count: n, Unit: t.unit}
}
