package syntax

import (
	"math"
	"strings"
)

// exprs reads a list of at least one expression.
func (p *parser) exprs() []Expr {
	list := []Expr{p.expr()}
	for p.accept(tokComma) {
		list = append(list, p.expr())
	}
	return list
}

// expr reads an expression. From the loosest operator to the tightest: OR, AND, NOT, predicates, ||, + -,
// * / %, signs (reference: sql.md section 5).
func (p *parser) expr() Expr {
	p.enter()
	var e Expr
	if p.lambdaAhead() {
		e = p.lambda()
	} else {
		e = p.or()
	}
	p.depth--
	return e
}

func (p *parser) or() Expr {
	first := p.and()
	if !p.word(kwOr) {
		return first
	}
	e := &Or{At: p.pos(), Terms: []Expr{first}}
	for p.acceptWord(kwOr) {
		e.Terms = append(e.Terms, p.and())
	}
	return e
}

func (p *parser) and() Expr {
	first := p.not()
	if !p.word(kwAnd) {
		return first
	}
	e := &And{At: p.pos(), Terms: []Expr{first}}
	for p.acceptWord(kwAnd) {
		e.Terms = append(e.Terms, p.not())
	}
	return e
}

func (p *parser) not() Expr {
	if !p.word(kwNot) {
		return p.predicate()
	}
	p.enter()
	e := &Not{At: p.advance().pos()}
	e.X = p.not()
	p.depth--
	return e
}

// predicate reads a value and at most one comparison or predicate behind it: they do not chain.
func (p *parser) predicate() Expr {
	x := p.value()
	if p.postgres {
		if e := p.postgresPredicate(x); e != nil {
			return e
		}
	}
	at := p.pos()
	if op, ok := comparison(p.tok().kind); ok {
		p.advance()
		if q := p.tok().kw; (q == kwAll || q == kwAny || q == kwSome) && p.ahead(1).kind == tokLParen {
			p.advance()
			return &Quantified{At: at, Op: op, X: x, All: q == kwAll, Query: p.queryInParens()}
		}
		return &Binary{At: at, Op: op, L: x, R: p.value()}
	}
	if p.acceptWord(kwIs) {
		return p.isPredicate(at, x)
	}
	not := p.acceptWord(kwNot)
	switch {
	case p.acceptWord(kwBetween):
		e := &Between{At: at, Not: not, X: x, Low: p.value()}
		p.expectWord(kwAnd)
		e.High = p.value()
		return e
	case p.acceptWord(kwIn):
		return p.in(at, not, x)
	case p.acceptWord(kwLike):
		e := &Like{At: at, Not: not, X: x, Pattern: p.value()}
		if p.acceptWord(kwEscape) {
			e.Escape = p.value()
		}
		return e
	case not:
		p.fail("BETWEEN, IN or LIKE")
	}
	return x
}

func comparison(k kind) (Op, bool) {
	switch k {
	case tokEq:
		return Eq, true
	case tokNe:
		return Ne, true
	case tokLt:
		return Lt, true
	case tokLe:
		return Le, true
	case tokGt:
		return Gt, true
	case tokGe:
		return Ge, true
	}
	return 0, false
}

// isPredicate reads what follows IS.
func (p *parser) isPredicate(at Pos, x Expr) Expr {
	not := p.acceptWord(kwNot)
	if p.acceptWord(kwNull) {
		return &IsNull{At: at, Not: not, X: x}
	}
	if !p.acceptWord(kwDistinct) {
		p.fail("NULL or DISTINCT FROM")
	}
	p.expectWord(kwFrom)
	return &IsDistinct{At: at, Not: not, L: x, R: p.value()}
}

func (p *parser) in(at Pos, not bool, x Expr) Expr {
	e := &In{At: at, Not: not, X: x}
	if p.queryAhead(p.i) {
		e.Query = p.queryInParens()
		return e
	}
	p.expect(tokLParen, "(")
	e.List = p.exprs()
	p.expect(tokRParen, ")")
	return e
}

// value reads an operand of a predicate.
func (p *parser) value() Expr { return p.arithmetic(concatLevel) }

// Levels of the operators between values; a higher one binds tighter.
const (
	concatLevel = 1 + iota
	addLevel
	mulLevel
)

func arithmeticOp(k kind) (op Op, level int) {
	switch k {
	case tokConcat:
		return Concat, concatLevel
	case tokPlus:
		return Add, addLevel
	case tokMinus:
		return Sub, addLevel
	case tokStar:
		return Mul, mulLevel
	case tokSlash:
		return Div, mulLevel
	case tokPercent:
		return Mod, mulLevel
	}
	return 0, 0
}

// arithmetic reads operators of at least the level given, which associate to the left.
func (p *parser) arithmetic(least int) Expr {
	left := p.unary()
	for {
		op, level := arithmeticOp(p.tok().kind)
		if level < least || level == 0 {
			return left
		}
		at := p.advance().pos()
		left = &Binary{At: at, Op: op, L: left, R: p.arithmetic(level + 1)}
	}
}

// leastBigint are the digits that fit 64 bits only with a minus sign.
const leastBigint = "9223372036854775808"

func (p *parser) unary() Expr {
	op := Sub
	switch p.tok().kind {
	case tokMinus:
		if next := p.ahead(1); next.kind == tokInteger && strings.TrimLeft(p.text(next), "0") == leastBigint {
			at := p.advance().pos()
			p.advance()
			return &IntegerLit{At: at, Value: math.MinInt64}
		}
	case tokPlus:
		op = Add
	default:
		return p.postfix(p.primary())
	}
	p.enter()
	e := &Unary{At: p.advance().pos(), Op: op}
	e.X = p.unary()
	p.depth--
	return e
}

// postfix reads subscripts and fields behind x.
func (p *parser) postfix(x Expr) Expr {
	for {
		switch {
		case p.accept(tokLBracket):
			s := &Subscript{At: x.Pos(), X: x, Index: p.expr()}
			p.expect(tokRBracket, "]")
			x = s
		case p.accept(tokDot):
			x = &FieldAccess{At: x.Pos(), X: x, Field: p.ident("the name of a field")}
		case p.postgres && p.postgresSuffix(&x):
		default:
			return x
		}
	}
}

// ---- primaries

func (p *parser) primary() Expr {
	t := p.tok()
	switch t.kind {
	case tokInteger:
		return p.integer("a number")
	case tokDouble:
		return p.doubleLit()
	case tokDuration:
		return p.durationLit()
	case tokString, tokUnicode, tokEscaped:
		return p.stringLit("a string")
	case tokParam:
		p.advance()
		return &Param{At: t.pos(), Name: p.text(t)[1:]}
	case tokLParen:
		return p.parenthesised()
	case tokQuoted:
		return p.name()
	case tokWord:
		if t.kw.reserved() {
			return p.reservedPrimary(t)
		}
		return p.wordPrimary(t)
	}
	p.fail("an expression")
	return nil
}

// parenthesised reads a subquery, a row without the word ROW, or an expression in parentheses.
func (p *parser) parenthesised() Expr {
	at := p.pos()
	if p.queryAhead(p.i) {
		return &Subquery{At: at, Query: p.queryInParens()}
	}
	p.expect(tokLParen, "(")
	list := p.exprs()
	p.expect(tokRParen, ")")
	if len(list) == 1 {
		return list[0]
	}
	return &RowExpr{At: at, Elems: list}
}

// reservedPrimary reads the expressions that begin with a reserved word.
func (p *parser) reservedPrimary(t token) Expr {
	at := t.pos()
	switch t.kw {
	case kwNull:
		p.advance()
		return &NullLit{At: at}
	case kwTrue, kwFalse:
		p.advance()
		return &BooleanLit{At: at, Value: t.kw == kwTrue}
	case kwCurrentDate, kwCurrentTime, kwCurrentTimestamp, kwCurrentUser, kwLocaltime, kwLocaltimestamp:
		p.advance()
		return &KeywordCall{At: at, Name: keywordNames[t.kw]}
	case kwCase:
		return p.caseExpr()
	case kwCast:
		return p.cast()
	case kwExtract:
		return p.extract()
	case kwNormalize:
		return p.normalize()
	case kwExists:
		p.advance()
		return &Exists{At: at, Query: p.queryInParens()}
	}
	p.fail("an expression")
	return nil
}

// wordPrimary reads what begins with a word that is not reserved. The next token tells the special forms
// from a name.
func (p *parser) wordPrimary(t token) Expr {
	next := p.ahead(1)
	switch {
	case next.kind == tokString && t.kw != kwInterval:
		return p.typedLit(1)
	case next.kw == kwPrecision && p.ahead(2).kind == tokString && strings.EqualFold(p.text(t), "double"):
		return p.typedLit(2)
	case t.kw == kwInterval && p.intervalAhead():
		return p.intervalLit()
	case t.kw == kwArray && next.kind == tokLBracket:
		return p.array()
	case next.kind != tokLParen:
		return p.name()
	}
	switch t.kw {
	case kwRow:
		return p.row()
	case kwTryCast:
		return p.cast()
	case kwPosition:
		return p.position()
	case kwAll, kwAny, kwSome:
		p.fail("an expression") // or x = ALL (…) could be the call of a function
	}
	return p.name()
}

// name reads a function call or a dotted name.
func (p *parser) name() Expr {
	first := p.ident("a name")
	if p.postgres && p.catalogCall(&first) {
		return p.call(first)
	}
	if p.is(tokLParen) {
		return p.call(first)
	}
	one := &struct { // most names have one part
		Ref
		part [1]Ident
	}{part: [1]Ident{first}}
	r := &one.Ref
	r.At, r.Parts = first.At, one.part[:]
	for p.accept(tokDot) {
		r.Parts = append(r.Parts, p.ident("a column name"))
	}
	return r
}

// typedLit reads a type of the given number of words and a string.
func (p *parser) typedLit(words int) Expr {
	if p.postgres {
		return p.postgresTypedLit()
	}
	first := p.tok()
	p.i += words
	text := p.expect(tokString, "a string")
	t := &TypeName{At: first.pos(), Name: strings.ToLower(p.text(first))}
	return &TypedLit{At: first.pos(), Type: t, Text: unquote(p.text(text), "'")}
}

// intervalAhead reports whether the word INTERVAL begins a literal; otherwise it is a name. A sign needs the
// quotes behind it: interval - 5 is a subtraction.
func (p *parser) intervalAhead() bool {
	value := p.ahead(1).kind
	switch value {
	case tokString, tokInteger:
		return true
	case tokPlus, tokMinus:
		return p.ahead(2).kind == tokString && intervalUnit(p.text(p.ahead(3))) != NoUnit
	}
	return false
}

func (p *parser) intervalLit() Expr {
	e := &IntervalLit{At: p.expectWord(kwInterval).pos()}
	if !p.accept(tokPlus) {
		e.Negative = p.accept(tokMinus)
	}
	if p.is(tokInteger) {
		e.Text = p.text(p.advance())
	} else {
		e.Text = unquote(p.text(p.expect(tokString, "a string")), "'")
	}
	e.From = intervalUnit(p.text(p.tok()))
	if e.From == NoUnit && p.postgres {
		return p.postgresInterval(e.At, e.Text)
	}
	if e.From == NoUnit {
		p.fail("a unit of time")
	}
	p.advance()
	if to := intervalUnit(p.text(p.ahead(1))); p.word(kwTo) && to != NoUnit {
		p.advance()
		if !validRange(e.From, to) {
			p.fail("a range of units, such as DAY TO SECOND")
		}
		p.advance()
		e.To = to
	}
	return e
}

func intervalUnit(word string) Unit {
	if strings.EqualFold(word, "week") {
		return Week
	}
	return durationUnit(word)
}

func validRange(from, to Unit) bool {
	return from == Year && to == Month || from <= Day && to >= Second && to < from
}

func (p *parser) array() Expr {
	e := &ArrayExpr{At: p.expectWord(kwArray).pos()}
	p.expect(tokLBracket, "[")
	if !p.is(tokRBracket) {
		e.Elems = p.exprs()
	}
	p.expect(tokRBracket, "]")
	return e
}

func (p *parser) row() Expr {
	e := &RowExpr{At: p.expectWord(kwRow).pos()}
	p.expect(tokLParen, "(")
	e.Elems = p.exprs()
	p.expect(tokRParen, ")")
	return e
}

func (p *parser) caseExpr() Expr {
	e := &Case{At: p.expectWord(kwCase).pos()}
	if !p.word(kwWhen) {
		e.Operand = p.expr()
	}
	for {
		p.expectWord(kwWhen)
		w := When{Cond: p.expr()}
		p.expectWord(kwThen)
		w.Then = p.expr()
		e.Whens = append(e.Whens, w)
		if !p.word(kwWhen) {
			break
		}
	}
	if p.acceptWord(kwElse) {
		e.Else = p.expr()
	}
	p.expectWord(kwEnd)
	return e
}

// cast reads CAST or TRY_CAST.
func (p *parser) cast() Expr {
	t := p.advance()
	e := &Cast{At: t.pos(), Try: t.kw == kwTryCast}
	p.expect(tokLParen, "(")
	e.X = p.expr()
	p.expectWord(kwAs)
	e.Type = p.typeName()
	p.expect(tokRParen, ")")
	if p.postgres {
		return p.postgresCast(e)
	}
	return e
}

func (p *parser) extract() Expr {
	e := &Extract{At: p.expectWord(kwExtract).pos()}
	p.expect(tokLParen, "(")
	e.Field = p.ident("a field")
	p.expectWord(kwFrom)
	e.X = p.expr()
	p.expect(tokRParen, ")")
	if p.postgres {
		return p.postgresExtract(e)
	}
	return e
}

// normalize reads normalize(s [, form]), whose form is a bare word, as a call with a string.
func (p *parser) normalize() Expr {
	t := p.advance()
	c := &Call{At: t.pos(), Name: Ident{At: t.pos(), Name: keywordNames[kwNormalize]}}
	p.expect(tokLParen, "(")
	c.Args = []Expr{p.expr()}
	if p.accept(tokComma) {
		if p.is(tokString) {
			c.Args = append(c.Args, p.stringLit("a form"))
		} else {
			form := p.ident("a form")
			c.Args = append(c.Args, &StringLit{At: form.At, Value: strings.ToUpper(form.Name)})
		}
	}
	p.expect(tokRParen, ")")
	return c
}

// ---- calls

func (p *parser) call(name Ident) Expr {
	c := &Call{At: name.At, Name: name}
	p.expect(tokLParen, "(")
	if p.accept(tokStar) {
		c.Star = true
	} else {
		c.Distinct = p.distinct()
		if c.Distinct || !p.is(tokRParen) && !p.word(kwOrder) {
			c.Args = p.exprs()
		}
		if p.word(kwFrom) && len(c.Args) == 1 && !name.Quoted && keywordOf(name.Name) == kwSubstring {
			p.substringFrom(c)
		}
		p.callOrder(c)
	}
	p.expect(tokRParen, ")")
	p.callSuffix(c)
	if p.postgres {
		return p.postgresCall(c)
	}
	return c
}

func (p *parser) callOrder(c *Call) {
	if p.acceptWord(kwOrder) {
		p.expectWord(kwBy)
		c.OrderBy = p.sortItems()
	}
}

// callSuffix reads FILTER, the treatment of nulls and OVER. Their words are not reserved and otherwise
// an alias of the call.
func (p *parser) callSuffix(c *Call) {
	if p.word(kwFilter) && p.ahead(1).kind == tokLParen {
		p.i += 2
		p.expectWord(kwWhere)
		c.Filter = p.expr()
		p.expect(tokRParen, ")")
	}
	switch {
	case p.acceptWords(kwIgnore, kwNulls):
		c.Nulls = IgnoreNulls
	case p.acceptWords(kwRespect, kwNulls):
		c.Nulls = RespectNulls
	}
	if c.Nulls != NullsUnsaid && !p.word(kwOver) {
		p.fail("OVER")
	}
	if p.word(kwOver) && (c.Nulls != NullsUnsaid || p.ahead(1).kind == tokLParen) {
		c.Over = p.window()
	}
}

// substringFrom reads the rest of substring(s FROM a [FOR b]), which is substr(s, a, b).
func (p *parser) substringFrom(c *Call) {
	p.expectWord(kwFrom)
	c.Name.Name = "substr"
	c.Args = append(c.Args, p.value())
	if p.acceptWord(kwFor) {
		c.Args = append(c.Args, p.value())
	}
}

// position reads position(a IN s), which is strpos(s, a), or a plain call.
func (p *parser) position() Expr {
	name := p.identOf(p.advance())
	c := &Call{At: name.At, Name: name}
	p.expect(tokLParen, "(")
	c.Args = []Expr{p.value()}
	if p.acceptWord(kwIn) {
		c.Name.Name = "strpos"
		c.Args = []Expr{p.value(), c.Args[0]}
	} else {
		for p.accept(tokComma) {
			c.Args = append(c.Args, p.expr())
		}
	}
	p.expect(tokRParen, ")")
	return c
}

func (p *parser) lambdaAhead() bool {
	t := p.tok()
	if t.kind == tokLParen {
		return t.match != 0 && p.at(int(t.match)+1).kind == tokArrow
	}
	return p.ahead(1).kind == tokArrow && isName(t)
}

func (p *parser) lambda() Expr {
	e := &Lambda{At: p.pos()}
	switch {
	case !p.is(tokLParen):
		e.Params = []Ident{p.ident("a parameter")}
	case p.ahead(1).kind == tokRParen:
		p.i += 2
	default:
		e.Params = p.idents("a parameter")
	}
	p.expect(tokArrow, "->")
	e.Body = p.expr()
	return e
}

// window reads OVER ( … ).
func (p *parser) window() *Window {
	w := &Window{At: p.expectWord(kwOver).pos()}
	p.expect(tokLParen, "(")
	if p.acceptWords(kwPartition, kwBy) {
		w.Partition = p.exprs()
	}
	if p.acceptWord(kwOrder) {
		p.expectWord(kwBy)
		w.OrderBy = p.sortItems()
	}
	if p.word(kwRows) || p.word(kwRange) {
		w.Frame = p.frame()
	}
	p.expect(tokRParen, ")")
	return w
}

func (p *parser) frame() *Frame {
	t := p.advance()
	f := &Frame{At: t.pos(), Rows: t.kw == kwRows, End: Bound{Kind: CurrentRow}}
	between := p.acceptWord(kwBetween)
	f.Start = p.bound()
	if between {
		p.expectWord(kwAnd)
		f.End = p.bound()
	}
	return f
}

func (p *parser) bound() Bound {
	switch {
	case p.acceptWords(kwUnbounded, kwPreceding):
		return Bound{Kind: UnboundedPreceding}
	case p.acceptWords(kwUnbounded, kwFollowing):
		return Bound{Kind: UnboundedFollowing}
	case p.acceptWords(kwCurrent, kwRow):
		return Bound{Kind: CurrentRow}
	}
	b := Bound{Kind: Preceding, Offset: p.expr()}
	if !p.acceptWord(kwPreceding) {
		if !p.acceptWord(kwFollowing) {
			p.fail("PRECEDING or FOLLOWING")
		}
		b.Kind = Following
	}
	return b
}

// ---- types

// typeName reads a type. Names are not checked, so that the planner can say which type it does not know.
func (p *parser) typeName() *TypeName {
	if p.postgres {
		return p.postgresType()
	}
	return p.ownType()
}

// ownType reads a type as the service's dialect spells it.
func (p *parser) ownType() *TypeName {
	p.enter()
	t := p.tok()
	if t.kind != tokWord || t.kw.reserved() {
		p.fail("a type")
	}
	p.advance()
	n := &TypeName{At: t.pos(), Name: strings.ToLower(p.text(t))}
	switch n.Name {
	case "array", "timeseries":
		n.Elem = p.elementType()
	case "row":
		n.Fields = p.rowFields()
	case "interval":
		n.Name = p.intervalType()
	case "double":
		p.acceptWord(kwPrecision)
	default:
		if p.accept(tokLParen) {
			n.Length = &p.integer("a length").Value
			p.expect(tokRParen, ")")
		}
	}
	p.depth--
	return n
}

// elementType reads (T) or <T>.
func (p *parser) elementType() *TypeName {
	if p.accept(tokLt) {
		elem := p.typeName()
		p.expect(tokGt, ">")
		return elem
	}
	p.expect(tokLParen, "(")
	elem := p.typeName()
	p.expect(tokRParen, ")")
	return elem
}

const (
	daySecondType = "interval day to second"
	yearMonthType = "interval year to month"
)

// intervalType reads what follows the word INTERVAL of a type and returns the whole name.
func (p *parser) intervalType() string {
	from, to := p.text(p.tok()), p.text(p.ahead(2))
	if p.ahead(1).kw == kwTo {
		switch {
		case strings.EqualFold(from, "day") && strings.EqualFold(to, "second"):
			p.i += 3
			return daySecondType
		case strings.EqualFold(from, "year") && strings.EqualFold(to, "month"):
			p.i += 3
			return yearMonthType
		}
	}
	p.fail("DAY TO SECOND or YEAR TO MONTH")
	return ""
}

func (p *parser) rowFields() []TypeField {
	p.expect(tokLParen, "(")
	var list []TypeField
	for {
		var f TypeField
		if p.fieldNameAhead() {
			f.Name = p.ident("the name of a field")
		}
		f.Type = p.typeName()
		list = append(list, f)
		if !p.accept(tokComma) {
			break
		}
	}
	p.expect(tokRParen, ")")
	return list
}

// fieldNameAhead reports whether a field of a row type begins with a name and not with its type: then
// a type follows, unless the two words are a type together.
func (p *parser) fieldNameAhead() bool {
	t, next := p.tok(), p.ahead(1)
	switch {
	case t.kind == tokQuoted:
		return true
	case next.kind != tokWord || next.kw.reserved():
		return false
	case next.kw == kwPrecision:
		return !strings.EqualFold(p.text(t), "double")
	}
	return t.kw != kwInterval || p.ahead(2).kw != kwTo
}
