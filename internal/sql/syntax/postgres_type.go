package syntax

import (
	"strings"
	"time"
)

// typeNames are PostgreSQL's names for the types of the service. Those that it has not keep their name, which the
// planner refuses.
var typeNames = map[string]string{
	"bool": "boolean", "int2": "integer", "smallint": "integer", "int4": "integer", "int8": "bigint",
	"float4": "double", "real": "double", "float8": "double", "float": "double", "numeric": "double", "decimal": "double",
	"text": "varchar", "name": "varchar", "timestamptz": "timestamp",
}

// postgresType reads a type: a name of one word or more, with [] behind it for arrays.
func (p *parser) postgresType() *TypeName {
	p.enter()
	if p.spelled("pg_catalog") && p.ahead(1).kind == tokDot {
		p.i += 2
	}
	n := p.scalarType()
	for p.is(tokLBracket) && p.ahead(1).kind == tokRBracket {
		p.i += 2
		n = &TypeName{At: n.At, Name: "array", Elem: n}
	}
	p.depth--
	return n
}

func (p *parser) scalarType() *TypeName {
	t := p.tok()
	word := strings.ToLower(p.text(t))
	switch {
	case t.kind != tokWord || t.kw.reserved():
		p.fail("a type")
	case word == "interval" && p.ahead(2).kw != kwTo:
		p.advance()
		return &TypeName{At: t.pos(), Name: daySecondType}
	case word == "timestamp" || word == "timestamptz" || word == "time":
		return p.timeType(word)
	case word == "numeric" || word == "decimal" || word == "float":
		p.advance()
		if p.is(tokLParen) {
			p.unsupported(t.pos(), "A number of a given precision")
		}
		return &TypeName{At: t.pos(), Name: "double"}
	case word == "character" && strings.EqualFold(p.text(p.ahead(1)), "varying"):
		p.advance() // varying takes its length as varchar does
		n := p.ownType()
		n.At, n.Name = t.pos(), "varchar"
		return n
	}
	n := p.ownType()
	if own, ok := typeNames[n.Name]; ok {
		n.Name = own
	}
	return n
}

// timeType reads TIMESTAMP or TIME with what may follow.
func (p *parser) timeType(word string) *TypeName {
	n := &TypeName{At: p.advance().pos(), Name: strings.TrimSuffix(word, "tz")}
	if p.accept(tokLParen) {
		if p.integer("a precision").Value < 6 {
			p.unsupported(n.At, "A time of less than six digits behind the point")
		}
		p.expect(tokRParen, ")")
	}
	if !p.spelled("without") && !p.word(kwWith) || !strings.EqualFold(p.text(p.ahead(1)), "time") {
		return n
	}
	zoned := p.word(kwWith)
	p.i += 2
	if !p.spelled("zone") {
		p.fail("ZONE")
	}
	p.advance()
	if zoned && n.Name == "time" {
		n.Name = "time with time zone"
	}
	return n
}

// postgresTypedLit reads a type and a string: timestamptz '…'.
func (p *parser) postgresTypedLit() Expr {
	at := p.pos()
	t := p.typeName()
	text := p.expect(tokString, "a string")
	lit := &StringLit{At: text.pos(), Value: unquote(p.text(text), "'")}
	return p.postgresCast(&Cast{At: at, X: lit, Type: t})
}

// postgresCast is a cast. Of a text in the query it reads what PostgreSQL would: intervals in words, times in
// the form of ISO 8601.
func (p *parser) postgresCast(c *Cast) Expr {
	lit, ok := c.X.(*StringLit)
	if !ok {
		return c
	}
	switch c.Type.Name {
	case daySecondType:
		return p.postgresInterval(c.At, lit.Value)
	case "timestamp":
		c.X = &StringLit{At: lit.At, Value: PostgresTimestamp(lit.Value)}
	}
	return c
}

// PostgresTimestamp returns text as the service writes times, in UTC, if it is a time in one of the forms with
// an offset or a T that PostgreSQL reads and the service does not, and text itself otherwise.
func PostgresTimestamp(text string) string {
	s := strings.TrimSpace(text)
	for _, layout := range []string{
		"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00",
		"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Format("2006-01-02 15:04:05.000000000")
		}
	}
	return text
}
