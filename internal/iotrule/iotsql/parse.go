package iotsql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a statement. The depth keeps recursion off the stack's end; the
// variables' are AWS's.
const (
	maxNesting  = 100
	maxVars     = 10
	maxVarName  = 64
	maxVarBytes = 128 << 10
)

// Statement is a compiled rule statement.
type Statement struct {
	sql     string
	version Version
	filter  string
	hasFrom bool
	vars    []variable
	query   selection
	// readsAttributes: SET or SELECT reads attributes, so that a payload which is not
	// JSON is an error and not merely Undefined.
	readsAttributes bool
}

type variable struct {
	name string
	expr expr
}

// selection is the part that top level and nested SELECTs share.
type selection struct {
	value bool // SELECT VALUE
	items []item
	where expr // nil without WHERE
}

// lone reports whether the selection is * and nothing else.
func (s *selection) lone() bool {
	if len(s.items) != 1 {
		return false
	}
	_, star := s.items[0].expr.(starExpr)
	return star && (s.value || s.items[0].path == nil)
}

type item struct {
	expr expr
	path []string // where the value goes; nil for a * without alias
}

// Filter returns the topic filter of FROM; ok is false without one.
func (s *Statement) Filter() (filter string, ok bool) { return s.filter, s.hasFrom }

// Version returns the dialect version that s was parsed with.
func (s *Statement) Version() Version { return s.version }

// Parse compiles a rule's statement. Its error is a [*SyntaxError].
func Parse(sql string, version Version) (*Statement, error) {
	if !utf8.ValidString(sql) {
		return nil, errNotUTF8
	}
	p := &parser{lexer: lexer{src: sql}}
	s := &Statement{sql: sql, version: version}
	if err := p.statement(s); err != nil {
		return nil, err
	}
	return s, nil
}

var errNotUTF8 = &SyntaxError{Line: 1, Column: 1, Message: "the text is not UTF-8"}

// parser is a recursive descent over one token of lookahead.
type parser struct {
	lexer
	tok   token
	depth int
	vars  []variable // declared so far
	paths bool       // an attribute path was seen
}

func (p *parser) advance() error {
	t, err := p.next()
	if err != nil {
		return err
	}
	p.tok = t
	return nil
}

func (p *parser) fail(format string, args ...any) error {
	return p.errorAt(p.tok.pos, fmt.Sprintf(format, args...))
}

// accept consumes the keyword or operator s if it comes next.
func (p *parser) accept(s string) (bool, error) {
	if !p.tok.is(s) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) expect(s string) error {
	ok, err := p.accept(s)
	if err == nil && !ok {
		return p.fail("expected '%s', found %s", s, p.tok.describe())
	}
	return err
}

// peekToken returns the token after the current one.
func (p *parser) peekToken() token {
	ahead := p.lexer
	t, err := ahead.next()
	if err != nil {
		return token{}
	}
	return t
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return p.fail("the statement is nested more than %d levels deep", maxNesting)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) statement(s *Statement) error {
	if err := p.advance(); err != nil {
		return err
	}
	if p.tok.is("SET") {
		if err := p.set(); err != nil {
			return err
		}
		s.vars = p.vars
	}
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	if err := p.items(&s.query); err != nil {
		return err
	}
	s.readsAttributes = p.paths
	ok, err := p.accept("FROM")
	if err != nil {
		return err
	}
	if ok {
		if p.tok.kind != tokString {
			return p.fail("expected a topic filter in quotes after FROM, found %s", p.tok.describe())
		}
		if err := CheckFilter(p.tok.text); err != nil {
			return p.fail("%s", err)
		}
		s.filter, s.hasFrom = p.tok.text, true
		if err := p.advance(); err != nil {
			return err
		}
	}
	if s.query.where, err = p.optionalWhere(); err != nil {
		return err
	}
	if p.tok.kind != tokEnd {
		return p.fail("unexpected %s", p.tok.describe())
	}
	return nil
}

func (p *parser) set() error {
	for {
		if err := p.advance(); err != nil { // SET or a comma
			return err
		}
		if p.tok.kind != tokVar {
			return p.fail("expected a variable such as @name, found %s", p.tok.describe())
		}
		name := p.tok.text
		switch {
		case len(name) > maxVarName:
			return p.fail("the name of @%s is longer than %d characters", name, maxVarName)
		case p.variable(name) >= 0:
			return p.fail("@%s is assigned twice", name)
		case len(p.vars) == maxVars:
			return p.fail("a statement can have at most %d variables", maxVars)
		}
		if err := p.advance(); err != nil {
			return err
		}
		if err := p.expect("="); err != nil {
			return err
		}
		e, err := p.expr()
		if err != nil {
			return err
		}
		p.vars = append(p.vars, variable{name, e})
		if !p.tok.is(",") {
			return nil
		}
	}
}

func (p *parser) variable(name string) int {
	for i := range p.vars {
		if p.vars[i].name == name {
			return i
		}
	}
	return -1
}

func (p *parser) optionalWhere() (expr, error) {
	ok, err := p.accept("WHERE")
	if err != nil || !ok {
		return nil, err
	}
	return p.expr()
}

// items reads what follows SELECT.
func (p *parser) items(s *selection) error {
	value, err := p.valueKeyword()
	if err != nil {
		return err
	}
	for {
		it, err := p.item(value)
		if err != nil {
			return err
		}
		s.items = append(s.items, it)
		ok, err := p.accept(",")
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if value {
			return p.fail("SELECT VALUE takes one expression")
		}
	}
	s.value = value
	return nil
}

// valueKeyword consumes VALUE if it is the keyword and not an attribute of that
// name, which is so when an expression follows it that no operator begins.
func (p *parser) valueKeyword() (bool, error) {
	if !p.tok.is("VALUE") {
		return false, nil
	}
	keyword := false
	switch t := p.peekToken(); t.kind {
	case tokString, tokNumber, tokVar:
		keyword = true
	case tokName:
		keyword = !t.is("FROM") && !t.is("WHERE") && !t.is("AS") && !t.is("AND") && !t.is("OR") && !t.is("IN")
	case tokPunct:
		keyword = t.is("(") || t.is("{") || t.is("[")
		if t.is("*") {
			ahead := lexer{src: p.src, pos: t.end}
			after, err := ahead.next()
			keyword = err == nil && (after.kind == tokEnd || after.is("FROM") || after.is("WHERE") || after.is(")"))
		}
	}
	if !keyword {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) item(value bool) (item, error) {
	from := p.tok.pos
	var e expr
	if p.tok.is("*") {
		if err := p.advance(); err != nil {
			return item{}, err
		}
		e = starExpr{}
	} else {
		var err error
		if e, err = p.expr(); err != nil {
			return item{}, err
		}
	}
	to := p.tok.pos
	ok, err := p.accept("AS")
	switch {
	case err != nil:
		return item{}, err
	case ok && value:
		return item{}, p.fail("SELECT VALUE takes no alias")
	case ok:
		path, err := p.path()
		return item{e, path}, err
	}
	return item{e, defaultPath(e, strings.TrimSpace(p.src[from:to]))}, nil
}

// defaultPath names an item without alias: a path by its last segment, a call by its
// function, anything else by its text.
func defaultPath(e expr, source string) []string {
	switch e := e.(type) {
	case starExpr:
		return nil
	case *pathExpr:
		return e.segments[len(e.segments)-1:]
	case *memberExpr:
		return []string{e.name}
	case *callExpr:
		return []string{e.name}
	case *castExpr:
		return []string{"cast"}
	case *varExpr:
		return []string{e.name}
	}
	return []string{source}
}

// path reads name { "." name }.
func (p *parser) path() ([]string, error) {
	var path []string
	for {
		// Also a string, so that AS 'my key' can name what dots cannot.
		if p.tok.kind != tokName && p.tok.kind != tokString {
			return nil, p.fail("expected a name, found %s", p.tok.describe())
		}
		path = append(path, p.tok.text)
		if err := p.advance(); err != nil {
			return nil, err
		}
		ok, err := p.accept(".")
		if err != nil {
			return nil, err
		}
		if !ok {
			return path, nil
		}
		if len(path) == maxNesting {
			return nil, p.fail("the path has more than %d parts", maxNesting)
		}
	}
}

func (p *parser) expr() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	return p.logical("OR", opOr, func() (expr, error) {
		return p.logical("AND", opAnd, p.not)
	})
}

func (p *parser) logical(word string, op operator, operand func() (expr, error)) (expr, error) {
	return p.chain(operand, func() operator {
		if p.tok.is(word) {
			return op
		}
		return opNone
	})
}

// chain reads left-associative operators. A long chain makes a deep tree, so it
// counts as nesting.
func (p *parser) chain(operand func() (expr, error), operatorOf func() operator) (expr, error) {
	left, err := operand()
	links := 0
	defer func() { p.depth -= links }()
	for err == nil {
		op := operatorOf()
		if op == opNone {
			return left, nil
		}
		links++
		if err = p.enter(); err != nil {
			break
		}
		if err = p.advance(); err != nil {
			break
		}
		var right expr
		if right, err = operand(); err == nil {
			left = &binaryExpr{op, left, right}
		}
	}
	return nil, err
}

func (p *parser) not() (expr, error) {
	if !p.tok.is("NOT") {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.not()
	return &notExpr{x}, err
}

var comparisons = map[string]operator{
	"=": opEqual, "==": opEqual, "<>": opUnequal, "!=": opUnequal,
	"<": opLess, "<=": opLessEqual, ">": opGreater, ">=": opGreaterEqual,
}

func (p *parser) comparison() (expr, error) {
	return p.chain(p.sum, func() operator {
		switch {
		case p.tok.kind == tokPunct:
			return comparisons[p.tok.text]
		case p.tok.is("IN"):
			return opIn
		}
		return opNone
	})
}

func (p *parser) sum() (expr, error) {
	return p.chain(p.product, func() operator {
		switch {
		case p.tok.is("+"):
			return opAdd
		case p.tok.is("-"):
			return opSubtract
		}
		return opNone
	})
}

func (p *parser) product() (expr, error) {
	return p.chain(p.unary, func() operator {
		switch {
		case p.tok.is("*"):
			return opMultiply
		case p.tok.is("/"):
			return opDivide
		case p.tok.is("%"):
			return opRemainder
		}
		return opNone
	})
}

func (p *parser) unary() (expr, error) {
	if !p.tok.is("-") {
		return p.postfix()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.unary()
	if lit, ok := x.(literal); ok && lit.v.kind == Num {
		return literal{negate(lit.v)}, err
	}
	return &negateExpr{x}, err
}

// postfix reads a primary and the .names after it.
func (p *parser) postfix() (expr, error) {
	e, err := p.primary()
	for n := 0; err == nil && p.tok.is("."); n++ {
		if n == maxNesting {
			return nil, p.fail("the path has more than %d parts", maxNesting)
		}
		if err = p.advance(); err != nil {
			break
		}
		if p.tok.kind != tokName {
			return nil, p.fail("expected a name after '.', found %s", p.tok.describe())
		}
		if path, ok := e.(*pathExpr); ok {
			path.segments = append(path.segments, p.tok.text)
		} else {
			e = &memberExpr{e, p.tok.text}
		}
		err = p.advance()
	}
	return e, err
}

// reserved names are never attributes at the start of an expression.
var reserved = map[string]bool{
	"SELECT": true, "FROM": true, "WHERE": true, "AS": true, "AND": true, "OR": true, "NOT": true,
	"IN": true, "WHEN": true, "THEN": true, "ELSE": true, "END": true, "EXISTS": true, "SET": true,
}

func (p *parser) primary() (expr, error) {
	t := p.tok
	switch t.kind {
	case tokString:
		return literal{Value{kind: Str, s: t.text}}, p.advance()
	case tokNumber:
		v, ok := parseNumber(t.text, anyExponent)
		if !ok || v.kind == Undefined {
			return nil, p.fail("%s is not a number", t.describe())
		}
		return literal{v}, p.advance()
	case tokVar:
		i := p.variable(t.text)
		if i < 0 {
			return nil, p.fail("the variable @%s is not assigned", t.text)
		}
		return &varExpr{t.text, i}, p.advance()
	case tokName:
		return p.named(t)
	case tokPunct:
		switch t.text {
		case "(":
			return p.parenthesis()
		case "[":
			items, err := p.list("]")
			return &arrayExpr{items}, err
		case "{":
			return p.objectLiteral()
		}
	}
	return nil, p.fail("expected an expression, found %s", t.describe())
}

// named reads what begins with a name: a word with a meaning, a call or a path.
func (p *parser) named(t token) (expr, error) {
	call := p.peekToken().is("(")
	switch strings.ToUpper(t.text) {
	case "TRUE":
		return literal{boolean(true)}, p.advance()
	case "FALSE":
		return literal{boolean(false)}, p.advance()
	case "NULL":
		return literal{null}, p.advance()
	case "CASE":
		if !call {
			if next := p.peekToken(); next.kind == tokName || next.kind == tokString || next.kind == tokNumber || next.kind == tokVar {
				return p.caseExpr()
			}
			break
		}
		return p.caseExpr()
	case "EXISTS":
		if call {
			return p.exists()
		}
	case "CAST":
		if call {
			return p.cast()
		}
	}
	if reserved[strings.ToUpper(t.text)] {
		return nil, p.fail("expected an expression, found %s", t.describe())
	}
	if call {
		return p.call(t)
	}
	p.paths = true
	return &pathExpr{segments: []string{t.text}}, p.advance()
}

func (p *parser) parenthesis() (expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	var e expr
	var err error
	if p.tok.is("SELECT") {
		e, err = p.subquery()
	} else {
		e, err = p.expr()
	}
	if err != nil {
		return nil, err
	}
	return e, p.expect(")")
}

// subquery reads SELECT … FROM path [AS name] [WHERE …] up to the bracket.
func (p *parser) subquery() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	q := &subquery{}
	if err := p.items(&q.selection); err != nil {
		return nil, err
	}
	if err := p.expect("FROM"); err != nil {
		return nil, err
	}
	var err error
	if q.source, err = p.source(); err != nil {
		return nil, err
	}
	ok, err := p.accept("AS")
	if err != nil {
		return nil, err
	}
	if ok {
		if p.tok.kind != tokName {
			return nil, p.fail("expected a name, found %s", p.tok.describe())
		}
		q.name = p.tok.text
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	q.where, err = p.optionalWhere()
	return q, err
}

// source reads what a nested SELECT goes over: a path, a variable, a call or a
// bracket.
func (p *parser) source() (expr, error) {
	if p.tok.kind == tokString {
		return nil, p.fail("a nested SELECT goes over an attribute, not over a topic")
	}
	return p.postfix()
}

func (p *parser) exists() (expr, error) {
	if err := p.advance(); err != nil { // EXISTS
		return nil, err
	}
	if err := p.advance(); err != nil { // (
		return nil, err
	}
	if !p.tok.is("SELECT") {
		return nil, p.fail("expected a nested SELECT after EXISTS, found %s", p.tok.describe())
	}
	q, err := p.subquery()
	if err != nil {
		return nil, err
	}
	return &existsExpr{q.(*subquery)}, p.expect(")")
}

func (p *parser) caseExpr() (expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.is("WHEN") {
		return nil, p.fail("CASE needs a value before WHEN; the form without one is not part of the dialect")
	}
	c := &caseExpr{}
	var err error
	if c.value, err = p.expr(); err != nil {
		return nil, err
	}
	for p.tok.is("WHEN") {
		var w when
		if err = p.advance(); err != nil {
			return nil, err
		}
		if w.test, err = p.expr(); err != nil {
			return nil, err
		}
		if err = p.expect("THEN"); err != nil {
			return nil, err
		}
		if w.result, err = p.expr(); err != nil {
			return nil, err
		}
		c.whens = append(c.whens, w)
	}
	if len(c.whens) == 0 {
		return nil, p.fail("expected 'WHEN', found %s", p.tok.describe())
	}
	ok, err := p.accept("ELSE")
	if err != nil {
		return nil, err
	}
	if ok {
		if c.otherwise, err = p.expr(); err != nil {
			return nil, err
		}
	}
	return c, p.expect("END")
}

var castTypes = map[string]castType{
	"STRING": castString, "NVARCHAR": castString, "TEXT": castString, "NTEXT": castString, "VARCHAR": castString,
	"INT": castInt, "INTEGER": castInt,
	"DECIMAL": castDecimal, "DOUBLE": castDouble,
	"BOOL": castBool, "BOOLEAN": castBool,
}

func (p *parser) cast() (expr, error) {
	if err := p.advance(); err != nil { // cast
		return nil, err
	}
	if err := p.advance(); err != nil { // (
		return nil, err
	}
	x, err := p.expr()
	if err != nil {
		return nil, err
	}
	if err := p.expect("AS"); err != nil {
		return nil, err
	}
	to, ok := castTypes[strings.ToUpper(p.tok.text)]
	if !ok || p.tok.kind != tokName {
		return nil, p.fail("expected a type after AS, found %s", p.tok.describe())
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return &castExpr{x, to}, p.expect(")")
}

// list reads expressions up to the closing bracket; the opening one is current.
func (p *parser) list(closing string) ([]expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	var list []expr
	if ok, err := p.accept(closing); ok || err != nil {
		return list, err
	}
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		ok, err := p.accept(",")
		if err != nil {
			return nil, err
		}
		if !ok {
			return list, p.expect(closing)
		}
	}
}

func (p *parser) objectLiteral() (expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	o := &objectExpr{}
	if ok, err := p.accept("}"); ok || err != nil {
		return o, err
	}
	for {
		if p.tok.kind != tokString && p.tok.kind != tokName {
			return nil, p.fail("expected a key in quotes, found %s", p.tok.describe())
		}
		o.keys = append(o.keys, p.tok.text)
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		o.values = append(o.values, e)
		ok, err := p.accept(",")
		if err != nil {
			return nil, err
		}
		if !ok {
			return o, p.expect("}")
		}
	}
}

// external functions reach other services; rules that call them are refused.
var external = map[string]bool{
	"aws_lambda": true, "get_dynamodb": true, "get_secret": true, "get_thing_shadow": true,
	"get_registry_data": true, "machinelearning_predict": true,
}

func (p *parser) call(name token) (expr, error) {
	lower := strings.ToLower(name.text)
	if external[lower] {
		return nil, p.fail("the function %s calls another service and is not supported", name.text)
	}
	fn := functions[lower]
	if fn == nil {
		return nil, p.fail("the function %s is not supported", name.text)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	c := &callExpr{name: name.text, fn: fn, args: args}
	if fn.check != nil {
		if message := fn.check(args); message != "" {
			return nil, p.errorAt(name.pos, message)
		}
	}
	return c, nil
}

// arguments is list with the addition that an argument may be *, the payload.
func (p *parser) arguments() ([]expr, error) {
	if !p.peekToken().is("*") {
		return p.list(")")
	}
	if err := p.advance(); err != nil { // (
		return nil, err
	}
	if err := p.advance(); err != nil { // *
		return nil, err
	}
	args := []expr{starExpr{}}
	if p.tok.is(",") {
		rest, err := p.list(")")
		return append(args, rest...), err
	}
	return args, p.expect(")")
}
