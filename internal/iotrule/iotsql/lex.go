package iotsql

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokName
	tokString
	tokNumber
	tokVar   // @name
	tokPunct // one of the operators and brackets
)

type token struct {
	kind tokenKind
	text string // a string without its quotes; a variable without its @
	pos  int    // byte offset of its first character
	end  int    // byte offset after its last one
}

// is reports whether t is the keyword or operator s; keywords in any case.
func (t token) is(s string) bool {
	switch t.kind {
	case tokPunct:
		return t.text == s
	case tokName:
		return strings.EqualFold(t.text, s)
	}
	return false
}

func (t token) describe() string {
	switch t.kind {
	case tokEnd:
		return "the end"
	case tokString:
		return "the string " + strconv.Quote(t.text)
	case tokVar:
		return "'@" + t.text + "'"
	}
	return "'" + t.text + "'"
}

type lexer struct {
	src string
	pos int
}

func (l *lexer) errorAt(pos int, message string) *SyntaxError {
	before := l.src[:min(pos, len(l.src))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return &SyntaxError{Line: line, Column: column, Message: message}
}

// punctuation, longest first.
var punctuation = []string{"<=", ">=", "<>", "!=", "==", "(", ")", "{", "}", "[", "]", ",", ".", ":", "*", "/", "%", "+", "-", "<", ">", "="}

// next returns the next token.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) && strings.IndexByte(" \t\r\n\f", l.src[l.pos]) >= 0 {
		l.pos++
	}
	pos := l.pos
	if pos == len(l.src) {
		return token{pos: pos, end: pos}, nil
	}
	switch c := l.src[pos]; {
	case isNameStart(c):
		return l.take(tokName, pos, nameEnd(l.src, pos)), nil
	case c == '@' && pos+1 < len(l.src) && isNamePart(l.src[pos+1]):
		t := l.take(tokVar, pos+1, nameEnd(l.src, pos+1))
		t.pos = pos
		return t, nil
	case c-'0' <= 9:
		return l.number(pos)
	case c == '\'' || c == '"':
		return l.quoted(pos)
	}
	for _, p := range punctuation {
		if strings.HasPrefix(l.src[pos:], p) {
			return l.take(tokPunct, pos, pos+len(p)), nil
		}
	}
	r, _ := utf8.DecodeRuneInString(l.src[pos:])
	return token{}, l.errorAt(pos, "unexpected character "+strconv.QuoteRune(r))
}

func (l *lexer) take(kind tokenKind, from, to int) token {
	l.pos = to
	return token{kind: kind, text: l.src[from:to], pos: from, end: to}
}

func isNameStart(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isNamePart(c byte) bool  { return isNameStart(c) || c-'0' <= 9 }

func nameEnd(s string, i int) int {
	for i < len(s) && isNamePart(s[i]) {
		i++
	}
	return i
}

// number takes digits, a fraction and an exponent, as in JSON.
func (l *lexer) number(pos int) (token, error) {
	digits := func(i int) int {
		for i < len(l.src) && l.src[i]-'0' <= 9 {
			i++
		}
		return i
	}
	i := digits(pos)
	if i+1 < len(l.src) && l.src[i] == '.' && l.src[i+1]-'0' <= 9 {
		i = digits(i + 1)
	}
	if i < len(l.src) && l.src[i]|0x20 == 'e' {
		j := i + 1
		if j < len(l.src) && (l.src[j] == '-' || l.src[j] == '+') {
			j++
		}
		if k := digits(j); k > j {
			i = k
		}
	}
	if i < len(l.src) && isNamePart(l.src[i]) {
		return token{}, l.errorAt(i, "a name cannot start with a digit; use get() for such a key")
	}
	return l.take(tokNumber, pos, i), nil
}

// quoted takes a string in either quote; a doubled quote stands for itself.
func (l *lexer) quoted(pos int) (token, error) {
	quote := l.src[pos]
	doubled := false
	for i := pos + 1; i < len(l.src); i++ {
		if l.src[i] != quote {
			continue
		}
		if i+1 < len(l.src) && l.src[i+1] == quote {
			doubled = true
			i++
			continue
		}
		t := token{kind: tokString, text: l.src[pos+1 : i], pos: pos, end: i + 1}
		if doubled {
			q := string(quote)
			t.text = strings.ReplaceAll(t.text, q+q, q)
		}
		l.pos = i + 1
		return t, nil
	}
	return token{}, l.errorAt(pos, "a string does not end")
}
