package syntax

import (
	"strings"
	"time"
)

// SessionParam begins the names of the parameters that stand for what a session knows of itself: version(),
// current_database(), current_catalog and current_schema(). Whoever plans the tree gives them values.
const SessionParam = "session."

// sessionCalls are the functions that are such a parameter.
var sessionCalls = []string{"version", "current_database", "current_schema"}

// catalogCall reads the rest of pg_catalog.f, whose f is then the name of a function that is called.
func (p *parser) catalogCall(name *Ident) bool {
	if !strings.EqualFold(name.Name, "pg_catalog") || !p.is(tokDot) || p.ahead(2).kind != tokLParen {
		return false
	}
	p.advance()
	*name = p.ident("the name of a function")
	return true
}

// postgresCall is a call whose function PostgreSQL has and the service has under another name, with other
// arguments, or with another meaning.
func (p *parser) postgresCall(c *Call) Expr {
	name := strings.ToLower(c.Name.Name)
	for _, s := range sessionCalls {
		if s == name && len(c.Args) == 0 && !c.Star {
			return &Param{At: c.At, Name: SessionParam + name}
		}
	}
	switch name {
	case "to_timestamp":
		if len(c.Args) == 1 {
			c.Name.Name = "from_unixtime"
		}
	case "log":
		if len(c.Args) == 1 {
			c.Name.Name = "log10"
		}
	case "time_bucket", "date_bin":
		return p.bucket(c, name)
	case "date_part":
		if field, ok := textOf(c); ok && len(c.Args) == 2 {
			return p.postgresExtract(&Extract{At: c.At, Field: Ident{At: c.At, Name: field}, X: c.Args[1]})
		}
	case "concat": // a null counts as no text
		for i, x := range c.Args {
			text := &Cast{At: x.Pos(), X: x, Type: &TypeName{At: x.Pos(), Name: "varchar"}}
			c.Args[i] = callOf(x.Pos(), "coalesce", text, &StringLit{At: x.Pos()})
		}
	case "greatest", "least": // of those that are not null
		if len(c.Args) > 2 {
			p.unsupported(c.At, name+" of more than two values")
		}
		if len(c.Args) == 2 {
			return callOf(c.At, "coalesce", c, c.Args[0], c.Args[1])
		}
	case "regexp_replace", "array_position":
		p.unsupported(c.At, "PostgreSQL's "+name)
	}
	return c
}

// textOf returns the first argument if it is a text of the query.
func textOf(c *Call) (string, bool) {
	if len(c.Args) == 0 {
		return "", false
	}
	lit, ok := c.Args[0].(*StringLit)
	if !ok {
		return "", false
	}
	return lit.Value, true
}

// bucketOrigin is where the buckets of time_bucket begin (TimescaleDB, time_bucket), in ns since 1970.
var bucketOrigin = time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC).UnixNano()

// bucket is time_bucket(width, time) or date_bin(width, time, origin) as bin(time, width), whose buckets begin at
// 1970: an origin from which others would follow is refused.
func (p *parser) bucket(c *Call, name string) Expr {
	origin, args := bucketOrigin, 2
	if name == "date_bin" {
		args = 3
	}
	if len(c.Args) != args {
		p.unsupported(c.At, name+" with these arguments")
	}
	if args == 3 {
		var ok bool
		if origin, ok = timeOf(c.Args[2]); !ok {
			p.unsupported(c.At, "An origin of date_bin that is no constant")
		}
	}
	width, ok := c.Args[0].(*IntervalLit)
	if lit, text := c.Args[0].(*StringLit); text {
		width, ok = p.postgresInterval(lit.At, lit.Value), true
	}
	if !ok {
		p.unsupported(c.At, "A width of "+name+" that is no constant")
	}
	span, err := width.Span()
	if err != nil || span.YearMonth || span.N <= 0 || origin%span.N != 0 {
		p.unsupported(c.At, "This width of "+name)
	}
	return callOf(c.At, "bin", c.Args[1], width)
}

// timeOf returns a constant time in ns since 1970.
func timeOf(e Expr) (int64, bool) {
	if cast, ok := e.(*Cast); ok {
		e = cast.X
	}
	lit, ok := e.(*StringLit)
	if !ok {
		return 0, false
	}
	text := PostgresTimestamp(lit.Value)
	for _, layout := range []string{"2006-01-02 15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 1700 && t.Year() < 2200 {
			return t.UnixNano(), true
		}
	}
	return 0, false
}

// postgresExtract is EXTRACT of a field that means the same in both dialects, or can be had.
func (p *parser) postgresExtract(e *Extract) Expr {
	switch strings.ToLower(e.Field.Name) {
	case "epoch":
		return callOf(e.At, "to_unixtime", e.X)
	case "dow": // Sunday is 0
		day := &Extract{At: e.At, Field: Ident{At: e.At, Name: "dow"}, X: e.X}
		return &Binary{At: e.At, Op: Mod, L: day, R: &IntegerLit{At: e.At, Value: 7}}
	case "isodow":
		e.Field.Name = "dow"
	case "year", "quarter", "month", "week", "day", "doy", "hour", "minute":
	default:
		p.unsupported(e.At, "The field "+abbreviate(e.Field.Name)+" of a time")
	}
	return e
}
