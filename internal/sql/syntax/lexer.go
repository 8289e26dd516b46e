package syntax

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// lexer cuts a text into tokens. It goes through the text once; whether a word is a
// keyword or a name is left to the parser.
type lexer struct {
	src  string
	off  int // of the next byte to read
	toks []token

	line      int // of off
	lineStart int // offset at which that line begins
	wide      int // bytes from there to off that continue a character

	open []int32 // indexes of the "(" not closed yet
	bad  string  // why the tokBad is one

	postgres bool // the text is of that dialect
}

// lex returns the tokens of src, which must be valid UTF-8. The last one is a tokEOF or a
// tokBad, for which the second result says what is wrong. They are appended to toks, which is empty.
func lex(src string, d Dialect, toks []token) ([]token, string) {
	l := lexer{src: src, line: 1, postgres: d == Postgres, toks: slices.Grow(toks, len(src)/4+8)}
	for l.next() {
	}
	return l.toks, l.bad
}

// next appends one token and reports whether there may be more.
func (l *lexer) next() bool {
	if !l.skipBlanks() {
		return l.refuse(l.place(), "a comment without its end")
	}
	t := l.place()
	if l.off == len(l.src) {
		l.push(t, tokEOF, l.off)
		return false
	}
	if l.postgres {
		if more, taken := l.postgresToken(t); taken {
			return more
		}
	}
	switch c := l.src[l.off]; {
	case isLetter(c):
		return l.word(t)
	case isDigit(c), c == '.' && isDigit(l.peek(1)):
		return l.number(t)
	case c == '\'':
		return l.quoted(t, tokString, l.off, "a string without its closing quote")
	case c == '"':
		if strings.HasPrefix(l.src[l.off:], `""`) && l.peek(2) != '"' {
			return l.refuse(t, "an empty name")
		}
		return l.quoted(t, tokQuoted, l.off, "a quoted name without its closing quote")
	case c == '@':
		end := l.wordEnd(l.off + 1)
		if end == l.off+1 || isDigit(l.src[l.off+1]) {
			return l.refuse(t, "@ without the name of a parameter")
		}
		l.push(t, tokParam, end)
		return true
	}
	return l.symbol(t)
}

// place returns a token that begins at off.
func (l *lexer) place() token {
	return token{start: int32(l.off), line: int32(l.line), col: int32(l.off - l.lineStart - l.wide + 1)}
}

// push appends t, which ends at end, and moves there.
func (l *lexer) push(t token, k kind, end int) {
	t.kind, t.end = k, int32(end)
	l.off = end
	l.toks = append(l.toks, t)
}

// refuse ends the tokens with one that cannot be read.
func (l *lexer) refuse(t token, why string) bool {
	l.bad = why
	l.push(t, tokBad, len(l.src))
	return false
}

// peek returns the byte n behind the next one, or 0.
func (l *lexer) peek(n int) byte {
	if l.off+n < len(l.src) {
		return l.src[l.off+n]
	}
	return 0
}

// pass moves to end over bytes that may hold line feeds and wide characters.
func (l *lexer) pass(end int) {
	for ; l.off < end; l.off++ {
		switch c := l.src[l.off]; {
		case c == '\n':
			l.line, l.lineStart, l.wide = l.line+1, l.off+1, 0
		case !utf8.RuneStart(c):
			l.wide++
		}
	}
}

// skipBlanks moves to the next byte that is neither blank nor comment. It returns false, and stays
// there, at a comment that does not end.
func (l *lexer) skipBlanks() bool {
	for l.off < len(l.src) {
		rest := l.src[l.off:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n':
			l.pass(l.off + 1)
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			l.pass(l.off + end)
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return false
			}
			l.pass(l.off + 2 + end + 2)
		default:
			return true
		}
	}
	return true
}

// measureValue begins the one kind of name that holds colons.
const measureValue = "measure_value"

func (l *lexer) word(t token) bool {
	end := l.wordEnd(l.off)
	if next := l.off + 2; strings.HasPrefix(l.src[l.off+1:], "&'") && (l.src[l.off] == 'U' || l.src[l.off] == 'u') {
		return l.quoted(t, tokUnicode, next, "a string without its closing quote")
	}
	if end-l.off == len(measureValue) && strings.HasPrefix(l.src[end:], "::") && strings.EqualFold(l.src[l.off:end], measureValue) {
		if typeEnd := l.wordEnd(end + 2); typeEnd > end+2 {
			end = typeEnd
		}
	}
	t.kw = keywordOf(l.src[l.off:end])
	l.push(t, tokWord, end)
	return true
}

// wordEnd returns the end of the letters, digits and underscores from i on.
func (l *lexer) wordEnd(i int) int {
	for i < len(l.src) && (isLetter(l.src[i]) || isDigit(l.src[i])) {
		i++
	}
	return i
}

// quoted takes a text whose opening quote is at i, up to the same quote not doubled.
func (l *lexer) quoted(t token, k kind, i int, unclosed string) bool {
	quote := l.src[i]
	for end := i + 1; ; {
		n := strings.IndexByte(l.src[end:], quote)
		if n < 0 {
			return l.refuse(t, unclosed)
		}
		end += n + 1
		if end < len(l.src) && l.src[end] == quote {
			end++
			continue
		}
		l.pass(end)
		l.push(t, k, end)
		return true
	}
}

// number takes an integer, a double or a duration. The unit of a duration follows its digits without a blank;
// a letter behind any other number is an error, so that 5x is not 5 under the alias x.
func (l *lexer) number(t token) bool {
	k, end := tokInteger, l.digitsEnd(l.off)
	if end < len(l.src) && l.src[end] == '.' {
		k, end = tokDouble, l.digitsEnd(end+1)
	}
	if e := l.exponentEnd(end); e > end {
		k, end = tokDouble, e
	}
	if word := l.wordEnd(end); word > end {
		t.unit = durationUnit(l.src[end:word])
		if k != tokInteger || t.unit == NoUnit {
			return l.refuse(t, "a number with letters behind it that are no unit of time")
		}
		k, end = tokDuration, word
	}
	l.push(t, k, end)
	return true
}

func (l *lexer) digitsEnd(i int) int {
	for i < len(l.src) && isDigit(l.src[i]) {
		i++
	}
	return i
}

// exponentEnd returns the end of the exponent at i, or i if there is none.
func (l *lexer) exponentEnd(i int) int {
	j := i
	if j < len(l.src) && (l.src[j] == 'e' || l.src[j] == 'E') {
		j++
		if j < len(l.src) && (l.src[j] == '+' || l.src[j] == '-') {
			j++
		}
		if end := l.digitsEnd(j); end > j {
			return end
		}
	}
	return i
}

// durationUnit returns the unit of a duration literal, in its short form or whole, in any case.
func durationUnit(word string) Unit {
	switch strings.ToLower(word) {
	case "ns", "nanosecond":
		return Nanosecond
	case "us", "microsecond":
		return Microsecond
	case "ms", "millisecond":
		return Millisecond
	case "s", "second":
		return Second
	case "m", "minute":
		return Minute
	case "h", "hour":
		return Hour
	case "d", "day":
		return Day
	case "month":
		return Month
	case "y", "year":
		return Year
	}
	return NoUnit
}

// symbols are the kinds of the tokens of one byte.
var symbols = [128]kind{
	'(': tokLParen, ')': tokRParen, '[': tokLBracket, ']': tokRBracket, ',': tokComma, '.': tokDot, ';': tokSemicolon,
	'+': tokPlus, '-': tokMinus, '*': tokStar, '/': tokSlash, '%': tokPercent, '=': tokEq, '<': tokLt, '>': tokGt,
}

func (l *lexer) symbol(t token) bool {
	if k := doubleSymbol(l.src[l.off:]); k != tokEOF {
		l.push(t, k, l.off+2)
		return true
	}
	c := l.src[l.off]
	if c >= utf8.RuneSelf || symbols[c] == tokEOF {
		return l.refuse(t, "a character that has no meaning here")
	}
	l.push(t, symbols[c], l.off+1)
	switch last := int32(len(l.toks) - 1); {
	case c == '(':
		l.open = append(l.open, last)
	case c == ')' && len(l.open) > 0:
		top := len(l.open) - 1
		l.toks[l.open[top]].match = last
		l.open = l.open[:top]
	}
	return true
}

// doubleSymbol returns the kind of the token of two bytes that s begins with, or tokEOF.
func doubleSymbol(s string) kind {
	if len(s) < 2 {
		return tokEOF
	}
	switch s[:2] {
	case "<>", "!=":
		return tokNe
	case "<=":
		return tokLe
	case ">=":
		return tokGe
	case "||":
		return tokConcat
	case "->":
		return tokArrow
	}
	return tokEOF
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
