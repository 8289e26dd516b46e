package syntax

// Dialect is a spelling of SQL. All of them give the same trees.
type Dialect uint8

const (
	Timestream Dialect = iota // the service's own; what [Parse] reads
	Postgres                  // PostgreSQL's, as far as it has a meaning here; see postgres.go
)

// ParseDialect parses one statement as [Parse] does, in a dialect.
func ParseDialect(sql string, d Dialect) (stmt Statement, err error) {
	err = parse(sql, d, func(p *parser) Node {
		stmt = p.statement()
		p.accept(tokSemicolon)
		return stmt
	})
	if err != nil {
		return nil, err
	}
	return stmt, nil
}
