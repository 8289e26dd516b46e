package fn

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/weir-db/weir/internal/vec"
)

// This file evaluates the SQL expressions of the documented examples: a parser for
// literals, calls, operators, CAST, arrays, rows and lambdas, over single rows. It is
// enough for examples and serves no other purpose.

var testNow = time.Date(2031, 2, 3, 4, 5, 6, 7000008, time.UTC)

var registry = New()

// node is an expression: typ types it under the types of variables, eval gives it n rows.
type node struct {
	typ    vec.Type
	eval   func(env map[string]*vec.Vector, n int) (*vec.Vector, error)
	lambda *lambdaNode
}

type lambdaNode struct {
	params []string
	body   string
}

type exprParser struct {
	s     string
	at    int
	types map[string]vec.Type
	table *table // of aggregates in the expression
}

type parseFault struct{ error }

func (p *exprParser) fail(format string, args ...any) {
	panic(parseFault{fmt.Errorf("%s at %q: %s", p.s, p.s[min(p.at, len(p.s)):], fmt.Sprintf(format, args...))})
}

func (p *exprParser) space() {
	for p.at < len(p.s) && p.s[p.at] == ' ' {
		p.at++
	}
}

// sym takes a symbol or, without case, a word.
func (p *exprParser) sym(s string) bool {
	p.space()
	if len(p.s)-p.at < len(s) || !strings.EqualFold(p.s[p.at:p.at+len(s)], s) {
		return false
	}
	if end := p.at + len(s); isWord(s[0]) && end < len(p.s) && isWord(p.s[end]) {
		return false
	}
	p.at += len(s)
	return true
}

func isWord(c byte) bool { return c == '_' || unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) }

func (p *exprParser) want(s string) {
	if !p.sym(s) {
		p.fail("want %q", s)
	}
}

func (p *exprParser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.s) && isWord(p.s[p.at]) {
		p.at++
	}
	return p.s[start:p.at]
}

func (p *exprParser) str() string {
	p.want("'")
	var b strings.Builder
	for {
		if p.at >= len(p.s) {
			p.fail("open string")
		}
		if p.s[p.at] == '\'' {
			p.at++
			if p.at >= len(p.s) || p.s[p.at] != '\'' {
				return b.String()
			}
		}
		b.WriteByte(p.s[p.at])
		p.at++
	}
}

func constNode(v vec.Value) node {
	return node{typ: v.Type, eval: func(_ map[string]*vec.Vector, n int) (*vec.Vector, error) { return vec.Const(v, n), nil }}
}

var levels = [][]string{{"IS DISTINCT FROM", "LIKE", "<>", "!=", "<=", ">=", "=", "<", ">"}, {"||"}, {"+", "-"}, {"*", "/", "%"}}

func (p *exprParser) expr() node { return p.binary(0) }

func (p *exprParser) binary(level int) node {
	if level == len(levels) {
		return p.unary()
	}
	left := p.binary(level + 1)
	for {
		found := ""
		for _, op := range levels[level] {
			if (op != "-" || !strings.HasPrefix(p.s[p.at:], " ->") && !strings.HasPrefix(p.s[p.at:], "->")) && p.sym(op) {
				found = op
				break
			}
		}
		if found == "" {
			return left
		}
		args := []node{left, p.binary(level + 1)}
		if found == "LIKE" && p.sym("ESCAPE") {
			args = append(args, p.binary(level+1))
		}
		left = p.call(strings.ToLower(found), args)
	}
}

func (p *exprParser) unary() node {
	for _, op := range []string{"-", "+"} {
		if p.sym(op) {
			return p.call(op, []node{p.unary()})
		}
	}
	x := p.primary()
	for {
		switch {
		case p.sym("["):
			i := p.expr()
			p.want("]")
			x = p.call("[]", []node{x, i})
		case p.sym("."):
			x = p.field(x, p.word())
		default:
			return x
		}
	}
}

func (p *exprParser) field(x node, name string) node {
	for i, f := range x.typ.Fields {
		if strings.EqualFold(f.Name, name) {
			return node{typ: f.Type, eval: func(env map[string]*vec.Vector, n int) (*vec.Vector, error) {
				v, err := x.eval(env, n)
				if err != nil {
					return nil, err
				}
				b := vec.NewBuilder(f.Type, n)
				for r := range n {
					if val := v.Value(r); val.Null {
						b.AppendNull()
					} else {
						b.Append(val.List[i])
					}
				}
				return b.Vector(), nil
			}}
		}
	}
	p.fail("no field %s", name)
	return node{}
}

func (p *exprParser) primary() node {
	p.space()
	if p.at >= len(p.s) {
		p.fail("want an expression")
	}
	switch c := p.s[p.at]; {
	case c == '\'':
		return constNode(vec.Str(p.str()))
	case c == '(':
		return p.parens()
	case c >= '0' && c <= '9':
		return p.number()
	}
	start := p.at
	name := p.word()
	if name == "" {
		p.fail("want an expression")
	}
	if t, ok := p.types[name]; ok {
		return node{typ: t, eval: func(env map[string]*vec.Vector, _ int) (*vec.Vector, error) { return env[name], nil }}
	}
	switch strings.ToLower(name) {
	case "null":
		return constNode(vec.Null(vec.UnknownType))
	case "true", "false":
		return constNode(vec.Bool(strings.EqualFold(name, "true")))
	case "timestamp", "date", "time", "interval":
		if p.space(); p.at < len(p.s) && p.s[p.at] == '\'' {
			return p.typed(strings.ToLower(name))
		}
	case "array":
		p.want("[")
		return p.array(p.list("]"))
	case "row":
		p.want("(")
		return p.row(p.list(")"))
	case "cast", "try_cast":
		p.want("(")
		x := p.expr()
		p.want("AS")
		t := p.typeName()
		p.want(")")
		return p.cast(x, t, strings.EqualFold(name, "try_cast"))
	}
	if p.sym("->") {
		return p.lambdaBody([]string{name})
	}
	if !p.sym("(") {
		return p.call(name, nil) // current_date and the like
	}
	if p.table != nil && registry.IsAggregate(name) {
		return p.aggregate(name)
	}
	args := p.list(")")
	if !registry.IsScalar(name) {
		p.at = start
		p.fail("no function %s", name)
	}
	return p.call(name, args)
}

func (p *exprParser) list(end string) []node {
	var out []node
	for !p.sym(end) {
		if len(out) > 0 {
			p.want(",")
		}
		out = append(out, p.expr())
	}
	return out
}

func (p *exprParser) parens() node {
	start := p.at
	p.want("(")
	var names []string
	for {
		names = append(names, p.word())
		if !p.sym(",") {
			break
		}
	}
	if p.sym(")") && p.sym("->") {
		return p.lambdaBody(names)
	}
	p.at = start
	p.want("(")
	items := p.list(")")
	if len(items) > 1 {
		return p.row(items)
	}
	return items[0]
}

// lambdaBody takes the text up to the end of the argument; the call parses it once
// the parameter types are known.
func (p *exprParser) lambdaBody(params []string) node {
	start, depth, quoted := p.at, 0, false
	for ; p.at < len(p.s); p.at++ {
		c := p.s[p.at]
		if c == '\'' {
			quoted = !quoted
		}
		if quoted {
			continue
		}
		if strings.IndexByte("([", c) >= 0 {
			depth++
		}
		if strings.IndexByte(")]", c) >= 0 {
			depth--
		}
		if depth < 0 || depth == 0 && c == ',' {
			break
		}
	}
	t := vec.Type{Kind: vec.Lambda, Fields: make([]vec.Field, len(params))}
	return node{typ: t, lambda: &lambdaNode{params, p.s[start:p.at]}}
}

func (p *exprParser) number() node {
	start := p.at
	for p.at < len(p.s) && isDigit(p.s[p.at]) {
		p.at++
	}
	rest := p.s[p.at:]
	unit := rest[:strings.IndexFunc(rest+" ", func(r rune) bool { return !unicode.IsLetter(r) })]
	if vec.IsDurationUnit(unit) {
		p.at += len(unit)
		v, err := vec.ParseDuration(p.s[start:p.at])
		if err != nil {
			p.fail("%v", err)
		}
		return constNode(v)
	}
	for p.at < len(p.s) && (isDigit(p.s[p.at]) || strings.IndexByte(".eE", p.s[p.at]) >= 0 || p.s[p.at] == '-' && p.s[p.at-1]|0x20 == 'e') {
		p.at++
	}
	text := p.s[start:p.at]
	if strings.ContainsAny(text, ".eE") {
		f, err := textToDouble(text)
		if err != nil {
			p.fail("%v", err)
		}
		return constNode(vec.Float(f))
	}
	n, ok := parseInt(text)
	if !ok {
		p.fail("number")
	}
	if n == int64(int32(n)) {
		return constNode(vec.Int(vec.IntegerType, n))
	}
	return constNode(vec.Int(vec.BigintType, n))
}

func (p *exprParser) typed(name string) node {
	text := p.str()
	var n int64
	var ok bool
	var t vec.Type
	switch name {
	case "timestamp":
		n, ok = vec.ParseTimestamp(text)
		t = vec.TimestampType
	case "date":
		n, ok = vec.ParseDate(text)
		t = vec.DateType
	case "time":
		n, ok = vec.ParseTime(text)
		t = vec.TimeType
	default:
		from, to := p.word(), ""
		if p.sym("TO") {
			to = p.word()
		}
		v, good := vec.ParseInterval(text, from, to)
		n, ok, t = v.Int, good, v.Type
	}
	if !ok {
		p.fail("literal %q", text)
	}
	return constNode(vec.Int(t, n))
}

func (p *exprParser) typeName() vec.Type {
	start, depth := p.at, 0
	for ; p.at < len(p.s); p.at++ {
		if p.s[p.at] == '(' {
			depth++
		}
		if p.s[p.at] == ')' {
			if depth == 0 {
				break
			}
			depth--
		}
	}
	return p.parseType(strings.TrimSpace(p.s[start:p.at]))
}

func (p *exprParser) parseType(s string) vec.Type {
	s = strings.ToLower(s)
	if fields, ok := strings.CutPrefix(s, "row("); ok {
		t := vec.Type{Kind: vec.Row}
		for _, f := range splitTypes(strings.TrimSuffix(fields, ")")) {
			name, typ, _ := strings.Cut(f, " ")
			t.Fields = append(t.Fields, vec.Field{Name: name, Type: p.parseType(typ)})
		}
		return t
	}
	var n int
	if _, err := fmt.Sscanf(s, "varchar(%d)", &n); err == nil {
		return vec.Type{Kind: vec.Varchar, Length: n}
	}
	pat, err := parsePattern(s)
	if err != nil {
		p.fail("%v", err)
	}
	return pat.instantiate(&bindings{})
}

func (p *exprParser) cast(x node, t vec.Type, try bool) node {
	if x.typ.Equal(t) {
		return x
	}
	kernel, ok := Cast(x.typ, t, try)
	if !ok {
		p.fail("cannot cast %s to %s", x.typ, t)
	}
	return node{typ: t, eval: func(env map[string]*vec.Vector, n int) (*vec.Vector, error) {
		v, err := x.eval(env, n)
		if err != nil {
			return nil, err
		}
		return kernel(&Context{Now: testNow, Return: t}, v)
	}}
}

func (p *exprParser) build(t vec.Type, items []node) node {
	return node{typ: t, eval: func(env map[string]*vec.Vector, n int) (*vec.Vector, error) {
		vals := make([]*vec.Vector, len(items))
		for i, it := range items {
			v, err := it.eval(env, n)
			if err != nil {
				return nil, err
			}
			vals[i] = v
		}
		b := vec.NewBuilder(t, n)
		for r := range n {
			row := vec.Value{Type: t, List: []vec.Value{}}
			for _, v := range vals {
				row.List = append(row.List, v.Value(r))
			}
			b.Append(row)
		}
		return b.Vector(), nil
	}}
}

func (p *exprParser) array(items []node) node {
	types := make([]vec.Type, len(items))
	for i, it := range items {
		types[i] = it.typ
	}
	elem, ok := CommonType(types...)
	if !ok {
		p.fail("no common type")
	}
	for i := range items {
		items[i] = p.cast(items[i], elem, false)
	}
	return p.build(vec.ArrayOf(elem), items)
}

func (p *exprParser) row(items []node) node {
	t := vec.Type{Kind: vec.Row}
	for _, it := range items {
		t.Fields = append(t.Fields, vec.Field{Type: it.typ})
	}
	return p.build(t, items)
}

func (p *exprParser) call(name string, args []node) node {
	types := make([]vec.Type, len(args))
	lambdas := false
	for i, a := range args {
		types[i] = a.typ
		lambdas = lambdas || a.lambda != nil
	}
	if lambdas {
		p.typeLambdas(name, args, types)
	}
	call, err := registry.Scalar(name, types)
	if err != nil {
		p.fail("%v", err)
	}
	for i := range args {
		if args[i].lambda == nil {
			args[i] = p.cast(args[i], call.Args[i], false)
		} else {
			l := args[i].lambda
			args[i] = p.cast(args[i], *call.Args[i].Elem, false)
			args[i].lambda = l
		}
	}
	return node{typ: call.Return, eval: func(env map[string]*vec.Vector, n int) (*vec.Vector, error) {
		return invokeNode(call, args, env, n, lambdas)
	}}
}

// typeLambdas parses the bodies; the node of a lambda becomes its body, whose
// variables p0, p1 … are passed in the environment under the lambda's names.
func (p *exprParser) typeLambdas(name string, args []node, types []vec.Type) {
	params, err := registry.LambdaParams(name, types)
	if err != nil {
		p.fail("%v", err)
	}
	for i := range args {
		l := args[i].lambda
		if l == nil {
			continue
		}
		inner := &exprParser{s: l.body, types: map[string]vec.Type{}}
		for k, t := range p.types {
			inner.types[k] = t
		}
		for k, t := range params[i] {
			inner.types[l.params[k]] = t
		}
		body := inner.expr()
		elem := body.typ
		types[i].Elem = &elem
		args[i] = node{typ: body.typ, eval: body.eval, lambda: l}
	}
}

func invokeNode(call *Call, args []node, env map[string]*vec.Vector, n int, lambdas bool) (*vec.Vector, error) {
	c := &Context{Now: testNow}
	vals := make([]*vec.Vector, len(args))
	if lambdas {
		c.Lambdas = make([]Lambda, len(args))
	}
	for i, a := range args {
		if call.Args[i].Kind != vec.Lambda {
			v, err := a.eval(env, n)
			if err != nil {
				return nil, err
			}
			vals[i] = v
			continue
		}
		c.Lambdas[i] = func(params []*vec.Vector, capture []int32) (*vec.Vector, error) {
			own := map[string]*vec.Vector{}
			for k, v := range env {
				own[k] = v.Gather(capture)
			}
			for k, v := range params {
				own[a.lambda.params[k]] = v
			}
			return a.eval(own, len(capture))
		}
	}
	return Invoke(call, c, vals, n)
}

// evalText evaluates an expression and returns the API text of the result or the error's.
func evalText(expr string) (text string) {
	defer func() {
		if f, ok := recover().(parseFault); ok {
			text = "error: " + f.Error()
		}
	}()
	head, from, _ := strings.Cut(expr, " FROM ")
	p := &exprParser{s: expr}
	if strings.HasPrefix(from, "(VALUES") {
		p = &exprParser{s: head, table: parseTable(from)}
	}
	x := p.expr()
	if p.space(); p.at != len(p.s) {
		p.fail("rest")
	}
	v, err := x.eval(nil, 1)
	if err != nil {
		return "error: " + err.Error()
	}
	if !v.Type.Equal(x.typ) {
		return fmt.Sprintf("error: result has type %s, want %s", v.Type, x.typ)
	}
	return v.Value(0).String()
}

// checkTexts evaluates pairs of expression and result.
func checkTexts(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := evalText(pairs[i]); got != pairs[i+1] {
			t.Errorf("%s = %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

func TestEveryScalarExampleGivesItsResult(t *testing.T) {
	for _, s := range registry.Scalars() {
		if s.Docs.Category == "" || s.Docs.Text == "" || s.Docs.Example == "" {
			t.Errorf("%s has no docs", s.Signature)
			continue
		}
		got := evalText(s.Docs.Example)
		if s.Docs.Result == "" && !strings.HasPrefix(got, "error") {
			continue
		}
		if got != s.Docs.Result {
			t.Errorf("%s: %s = %s, want %s", s.Signature, s.Docs.Example, got, s.Docs.Result)
		}
	}
}
