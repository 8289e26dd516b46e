package iotsql

import (
	"strings"
	"unicode/utf8"
)

// Template is a text with substitution templates, ${expression}.
type Template struct {
	version Version
	parts   []part
}

// part is literal text, or an expression with its source for messages.
type part struct {
	text   string
	expr   expr
	source string // "${…}" as written
}

// Template compiles a parameter of one of the rule's actions; the variables of SET
// are visible in it, the aliases of SELECT are not. Its error is a [*SyntaxError].
func (s *Statement) Template(src string) (*Template, error) {
	if !utf8.ValidString(src) {
		return nil, errNotUTF8
	}
	t := &Template{version: s.version}
	p := &parser{lexer: lexer{src: src}, vars: s.vars}
	for rest := 0; ; {
		i := strings.Index(src[rest:], "${")
		if i < 0 {
			t.literal(src[rest:])
			return t, nil
		}
		i += rest
		t.literal(src[rest:i])
		p.pos = i + 2
		if err := p.advance(); err != nil {
			return nil, err
		}
		e, err := p.templateExpr()
		if err != nil {
			return nil, err
		}
		// The closing bracket is read but nothing past it, so no token of the text
		// that follows is ever formed.
		if !p.tok.is("}") {
			return nil, p.fail("expected '}', found %s", p.tok.describe())
		}
		rest = p.tok.end
		t.parts = append(t.parts, part{expr: e, source: src[i:rest]})
	}
}

// templateExpr is an expression, or * for the payload.
func (p *parser) templateExpr() (expr, error) {
	if p.tok.is("*") {
		return starExpr{}, p.advance()
	}
	return p.expr()
}

func (t *Template) literal(s string) {
	if s != "" {
		t.parts = append(t.parts, part{text: s})
	}
}

// Constant returns the text of a template without expressions.
func (t *Template) Constant() (s string, ok bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].expr == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// Attribute returns the name of the payload's top-level attribute that t is the
// value of, if t is nothing else: "a" for ${a}.
func (t *Template) Attribute() (name string, ok bool) {
	if len(t.parts) != 1 {
		return "", false
	}
	path, ok := t.parts[0].expr.(*pathExpr)
	if !ok || len(path.segments) != 1 {
		return "", false
	}
	return path.segments[0], true
}

// Eval substitutes for a message whose statement gave r (the zero Result if the
// statement has no variables). missing names the first expression that gave
// nothing, Undefined or Null, and so was left out; it is "" if all gave a text.
func (t *Template) Eval(in *Input, r *Result) (s, missing string) {
	if len(t.parts) == 1 {
		return t.parts[0].eval(t.version, in, r)
	}
	var b strings.Builder
	for i := range t.parts {
		piece, none := t.parts[i].eval(t.version, in, r)
		if missing == "" {
			missing = none
		}
		if b.Len()+len(piece) <= maxText {
			b.WriteString(piece)
		}
	}
	return b.String(), missing
}

func (p *part) eval(version Version, in *Input, r *Result) (s, missing string) {
	if p.expr == nil {
		return p.text, ""
	}
	e := env{in: in, version: version, vars: r.vars}
	if _, star := p.expr.(starExpr); star {
		if _, err := in.doc(version); err != nil {
			return string(in.Payload), ""
		}
	}
	s, ok := p.expr.eval(&e).toText()
	if !ok || e.err != nil {
		return "", p.source
	}
	return s, ""
}
