package syntax

import (
	"fmt"
	"strings"
)

// This file and its neighbours postgres_*.go read what PostgreSQL spells otherwise, onto the trees that the
// service's dialect has. Where a form means something else there and here, it is translated, and where it cannot be,
// it is refused ([Error.Unsupported]): an answer that only looks right is worse than none. docs/postgres.md lists it.

// postgresToken takes the tokens that only this dialect has; taken tells whether it was one.
func (l *lexer) postgresToken(t token) (more, taken bool) {
	rest := l.src[l.off:]
	switch {
	case strings.HasPrefix(rest, "::"):
		l.push(t, tokCast, l.off+2)
	case strings.HasPrefix(rest, "!~*"):
		l.push(t, tokMatch, l.off+3)
	case strings.HasPrefix(rest, "!~"), strings.HasPrefix(rest, "~*"):
		l.push(t, tokMatch, l.off+2)
	case rest[0] == '~':
		l.push(t, tokMatch, l.off+1)
	case rest[0] == '$' && isDigit(l.peek(1)):
		l.push(t, tokParam, l.digitsEnd(l.off+1))
	case (rest[0] == 'E' || rest[0] == 'e') && l.peek(1) == '\'':
		return l.escaped(t), true
	default:
		return false, false
	}
	return true, true
}

// escaped takes E'…', in which a backslash takes the meaning of the character behind it.
func (l *lexer) escaped(t token) bool {
	for end := l.off + 2; end < len(l.src); end++ {
		switch l.src[end] {
		case '\\':
			end++
		case '\'':
			if end+1 < len(l.src) && l.src[end+1] == '\'' {
				end++
				continue
			}
			l.pass(end + 1)
			l.push(t, tokEscaped, end+1)
			return true
		}
	}
	return l.refuse(t, "a string without its closing quote")
}

// escapes are what a backslash and a letter stand for in E'…'; codes by number are refused.
var escapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escapedLit reads E'…'.
func (p *parser) escapedLit() *StringLit {
	t := p.advance()
	text := p.text(t)[2 : t.end-t.start-1]
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\'' {
			i++ // the second of two
		}
		if c == '\\' {
			i++
			c = text[i]
			if isDigit(c) || c == 'x' || c == 'u' || c == 'U' {
				p.unsupported(t.pos(), "A character by its number in a string")
			}
			if plain, ok := escapes[c]; ok {
				c = plain
			}
		}
		b.WriteByte(c)
	}
	return &StringLit{At: t.pos(), Value: b.String()}
}

// unsupported refuses a form of the dialect that has no meaning here.
func (p *parser) unsupported(at Pos, what string) {
	panic(&Error{At: at, Msg: fmt.Sprintf("%s: %s is not supported", at, what), Found: what, Unsupported: true})
}

// spelled reports whether the current token is that word, in any case and not quoted.
func (p *parser) spelled(word string) bool {
	return p.is(tokWord) && strings.EqualFold(p.text(p.tok()), word)
}

// ---- predicates

// postgresPredicate reads a predicate of this dialect behind x; nil: there is none, or one of both dialects.
func (p *parser) postgresPredicate(x Expr) Expr {
	at := p.pos()
	switch {
	case p.is(tokMatch):
		return p.match(at, p.text(p.advance()), x)
	case p.spelled("operator") && p.ahead(1).kind == tokLParen:
		return p.operator(at, x)
	case p.word(kwIs):
		return p.isTruth(at, x)
	}
	if op, ok := comparison(p.tok().kind); ok {
		q := p.ahead(1)
		if (q.kw == kwAny || q.kw == kwSome || q.kw == kwAll) && p.ahead(2).kind == tokLParen && !p.queryAhead(p.i+2) {
			p.i += 2
			return p.quantifiedArray(at, op, q.kw == kwAll, x)
		}
		return nil
	}
	from := p.i
	not := p.acceptWord(kwNot)
	fold := p.spelled("ilike")
	if !fold && !p.word(kwLike) {
		p.i = from
		return nil
	}
	p.advance()
	return p.like(at, not, fold, x)
}

// like reads the pattern of LIKE or ILIKE. A backslash is the escape of a pattern that names none.
func (p *parser) like(at Pos, not, fold bool, x Expr) Expr {
	e := &Like{At: at, Not: not, X: x, Pattern: p.value()}
	if p.acceptWord(kwEscape) {
		e.Escape = p.value()
		if s, ok := e.Escape.(*StringLit); ok && s.Value == "" {
			e.Escape = nil
		}
	} else if s, ok := e.Pattern.(*StringLit); !ok || strings.Contains(s.Value, `\`) {
		e.Escape = &StringLit{At: e.Pattern.Pos(), Value: `\`}
	}
	if fold {
		e.X, e.Pattern = callOf(at, "lower", e.X), callOf(at, "lower", e.Pattern)
	}
	return e
}

func callOf(at Pos, name string, args ...Expr) *Call {
	return &Call{At: at, Name: Ident{At: at, Name: name}, Args: args}
}

// match is x ~ pattern and its like. Patterns are those of regexp_like.
func (p *parser) match(at Pos, op string, x Expr) Expr {
	pattern := p.value()
	if strings.HasSuffix(op, "*") {
		pattern = &Binary{At: at, Op: Concat, L: &StringLit{At: at, Value: "(?i)"}, R: pattern}
	}
	e := callOf(at, "regexp_like", x, pattern)
	if strings.HasPrefix(op, "!") {
		return &Not{At: at, X: e}
	}
	return e
}

// operator reads OPERATOR(schema.op), which psql writes.
func (p *parser) operator(at Pos, x Expr) Expr {
	p.i += 2
	if isName(p.tok()) {
		p.advance()
		p.expect(tokDot, ".")
	}
	t := p.advance()
	p.expect(tokRParen, ")")
	if t.kind == tokMatch {
		return p.match(at, p.text(t), x)
	}
	op, ok := comparison(t.kind)
	if !ok {
		p.failAt(t, "an operator that compares")
	}
	return &Binary{At: at, Op: op, L: x, R: p.value()}
}

// isTruth reads IS [NOT] TRUE, FALSE or UNKNOWN; nil: it is another IS.
func (p *parser) isTruth(at Pos, x Expr) Expr {
	n := 1
	if p.ahead(1).kw == kwNot {
		n = 2
	}
	t := p.ahead(n)
	not := n == 2
	switch {
	case t.kw == kwTrue || t.kw == kwFalse:
		p.i += n + 1
		return &IsDistinct{At: at, Not: !not, L: x, R: &BooleanLit{At: t.pos(), Value: t.kw == kwTrue}}
	case t.kind == tokWord && strings.EqualFold(p.text(t), "unknown"):
		p.i += n + 1
		return &IsNull{At: at, Not: not, X: x}
	}
	return nil
}

// quantifiedArray reads the array of x = ANY (array) and x <> ALL (array), whose elements must be in the text.
func (p *parser) quantifiedArray(at Pos, op Op, all bool, x Expr) Expr {
	if all != (op == Ne) || op != Eq && op != Ne {
		p.unsupported(at, "This operator with ANY or ALL of an array")
	}
	p.expect(tokLParen, "(")
	arg := p.expr()
	p.expect(tokRParen, ")")
	list, ok := elementsOf(arg)
	if !ok {
		p.unsupported(at, "ANY or ALL of an array that is no constant")
	}
	if len(list) == 0 {
		return &BooleanLit{At: at, Value: all}
	}
	return &In{At: at, Not: all, X: x, List: list}
}

// elementsOf returns the elements of ARRAY[…] or of '{a,b}', also under a cast to an array.
func elementsOf(e Expr) ([]Expr, bool) {
	switch e := e.(type) {
	case *ArrayExpr:
		return e.Elems, true
	case *Cast:
		list, ok := elementsOf(e.X)
		if !ok || e.Type.Elem == nil {
			return nil, false
		}
		out := make([]Expr, len(list))
		for i, x := range list {
			out[i] = &Cast{At: e.At, X: x, Type: e.Type.Elem}
		}
		return out, true
	case *StringLit:
		inner, open := strings.CutPrefix(e.Value, "{")
		inner, closed := strings.CutSuffix(inner, "}")
		if !open || !closed || strings.ContainsAny(inner, `{}"\`) {
			return nil, false
		}
		var out []Expr
		for s := range strings.SplitSeq(inner, ",") {
			s = strings.TrimSpace(s)
			switch {
			case s == "" && inner == "":
			case s == "":
				return nil, false
			case strings.EqualFold(s, "null"):
				out = append(out, &NullLit{At: e.At})
			default:
				out = append(out, &StringLit{At: e.At, Value: s})
			}
		}
		return out, true
	}
	return nil, false
}

// ---- what stands behind a value

// postgresSuffix reads ::type, COLLATE or AT TIME ZONE behind x and reports whether there was one.
func (p *parser) postgresSuffix(x *Expr) bool {
	at := (*x).Pos()
	switch {
	case p.accept(tokCast):
		*x = p.postgresCast(&Cast{At: at, X: *x, Type: p.typeName()})
	case p.spelled("collate"):
		p.collation(p.advance().pos())
	case p.spelled("at") && strings.EqualFold(p.text(p.ahead(1)), "time") && strings.EqualFold(p.text(p.ahead(2)), "zone"):
		at := p.pos()
		p.i += 3
		if zone := p.stringLit("a time zone in quotes").Value; !strings.EqualFold(zone, "UTC") && !strings.EqualFold(zone, "GMT") {
			p.unsupported(at, "A time zone other than UTC")
		}
	default:
		return false
	}
	return true
}

// collation reads the name of a collation that orders as text is ordered here: by code points.
func (p *parser) collation(at Pos) {
	name := p.ident("a collation").Name
	for p.accept(tokDot) {
		name = p.ident("a collation").Name
	}
	switch strings.ToLower(name) {
	case "c", "posix", "default", "ucs_basic":
		return
	}
	p.unsupported(at, "The collation "+abbreviate(name))
}

// ---- names of columns

// columnName is how PostgreSQL names a column of the result that has no alias.
func columnName(item SelectItem) Ident {
	if _, ok := item.Expr.(*Ref); ok {
		return Ident{}
	}
	name := nameOf(item.Expr)
	if name == "" {
		name = "?column?"
	}
	return Ident{At: item.At, Name: name, Quoted: true}
}

func nameOf(e Expr) string {
	switch e := e.(type) {
	case *Ref:
		return e.Parts[len(e.Parts)-1].Name
	case *FieldAccess:
		return e.Field.Name
	case *Call:
		return strings.ToLower(e.Name.Name)
	case *KeywordCall:
		return e.Name
	case *Param:
		return strings.TrimPrefix(e.Name, SessionParam)
	case *Extract:
		return "extract"
	case *Case:
		return "case"
	case *Exists:
		return "exists"
	case *ArrayExpr:
		return "array"
	case *RowExpr:
		return "row"
	case *Cast:
		if name := nameOf(e.X); name != "" {
			return name
		}
		return e.Type.Name
	}
	return ""
}
