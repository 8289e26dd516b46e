package syntax

// statement reads a whole statement. What the service does not have, INSERT or CREATE for example, is no
// statement.
func (p *parser) statement() Statement {
	switch {
	case p.word(kwShow):
		return p.show()
	case p.word(kwDescribe):
		at := p.advance().pos()
		return &Describe{At: at, Table: p.tableName()}
	case p.word(kwUnload):
		return p.unload()
	case p.word(kwExplain):
		at := p.advance().pos()
		analyze := p.acceptWord(kwAnalyze)
		return &Explain{At: at, Analyze: analyze, Query: p.query()}
	case p.word(kwDelete):
		return p.delete()
	case p.is(tokLParen) || opensQuery(p.tok()):
		return p.query()
	}
	p.fail("a statement")
	return nil
}

func (p *parser) delete() *Delete {
	d := &Delete{At: p.expectWord(kwDelete).pos()}
	p.expectWord(kwFrom)
	d.Table = p.tableName()
	if p.acceptWord(kwWhere) {
		d.Where = p.expr()
	}
	return d
}

func (p *parser) show() Statement {
	at := p.expectWord(kwShow).pos()
	switch {
	case p.acceptWord(kwDatabases):
		return &ShowDatabases{At: at, Like: p.likePattern()}
	case p.acceptWord(kwTables):
		s := &ShowTables{At: at}
		if p.acceptWord(kwFrom) {
			s.Database = p.ident("a database name")
		}
		s.Like = p.likePattern()
		return s
	case p.acceptWord(kwMeasures):
		p.expectWord(kwFrom)
		return &ShowMeasures{At: at, Table: p.tableName(), Like: p.likePattern()}
	}
	p.fail("DATABASES, TABLES or MEASURES")
	return nil
}

func (p *parser) likePattern() *StringLit {
	if !p.acceptWord(kwLike) {
		return nil
	}
	return p.stringLit("a pattern in quotes")
}

func (p *parser) unload() *Unload {
	u := &Unload{At: p.expectWord(kwUnload).pos()}
	u.Query = p.queryInParens()
	p.expectWord(kwTo)
	u.To = p.stringLit("a URI in quotes")
	if !p.acceptWord(kwWith) {
		return u
	}
	p.expect(tokLParen, "(")
	for {
		name := p.ident("the name of an option")
		p.expect(tokEq, "=")
		u.Options = append(u.Options, Option{Name: name, Value: p.expr()})
		if !p.accept(tokComma) {
			break
		}
	}
	p.expect(tokRParen, ")")
	return u
}

// ---- queries

// opensQuery reports whether t is a word that only a query begins with.
func opensQuery(t token) bool {
	return t.kw == kwSelect || t.kw == kwWith || t.kw == kwValues || t.kw == kwTable
}

// queryAhead reports whether the "(" at token i holds a query rather than an expression, a relation or
// a list that happens to begin with a query. "((SELECT …" decides itself by what stands behind the
// inner parentheses: the end or a clause of the outer query, or something else.
func (p *parser) queryAhead(i int) bool {
	if p.at(i).kind != tokLParen {
		return false
	}
	inner := i + 1
	for p.at(inner).kind == tokLParen {
		// Refused later for its depth, whatever it holds.
		if inner++; inner-i > MaxDepth {
			return false
		}
	}
	if !opensQuery(p.at(inner)) {
		return false
	}
	for k := i + 1; k < inner; k++ {
		if end := int(p.at(k).match); end == 0 || !p.continuesQuery(end+1) {
			return false
		}
	}
	return true
}

// continuesQuery reports whether token i can stand behind a query in parentheses that is itself
// part of a query.
func (p *parser) continuesQuery(i int) bool {
	switch t := p.at(i); {
	case t.kind == tokRParen:
		return true
	case t.kw == kwUnion || t.kw == kwExcept || t.kw == kwIntersect || t.kw == kwOrder:
		return true
	}
	return p.limitsAt(i)
}

// limitsAt reports whether a LIMIT, OFFSET or FETCH clause begins at token i. The words are not reserved, so
// what follows them decides.
func (p *parser) limitsAt(i int) bool {
	next := p.at(i + 1)
	switch p.at(i).kw {
	case kwLimit:
		return next.kind == tokInteger || next.kw == kwAll
	case kwOffset:
		return next.kind == tokInteger
	case kwFetch:
		return next.kw == kwFirst || next.kw == kwNext
	}
	return false
}

func (p *parser) queryInParens() *Query {
	p.expect(tokLParen, "(")
	q := p.query()
	p.expect(tokRParen, ")")
	return q
}

func (p *parser) query() *Query {
	p.enter()
	q := &Query{At: p.pos()}
	if p.acceptWord(kwWith) {
		q.With = p.ctes()
	}
	q.Body = p.unions()
	if p.acceptWord(kwOrder) {
		p.expectWord(kwBy)
		q.OrderBy = p.sortItems()
	}
	p.limits(q)
	p.depth--
	if inner, ok := q.Body.(*Query); ok && q.plain() {
		return inner
	}
	return q
}

// plain reports whether the query is nothing but its body.
func (q *Query) plain() bool {
	return q.With == nil && q.OrderBy == nil && q.Limit == nil && q.Offset == nil
}

func (p *parser) ctes() []CTE {
	var list []CTE
	for {
		c := CTE{Name: p.ident("the name of a query")}
		if p.is(tokLParen) {
			c.Columns = p.idents("a column name")
		}
		p.expectWord(kwAs)
		c.Query = p.queryInParens()
		list = append(list, c)
		if !p.accept(tokComma) {
			return list
		}
	}
}

// limits reads OFFSET, LIMIT and FETCH, each at most once and in any order.
func (p *parser) limits(q *Query) {
	var limited, offset bool
	for {
		switch {
		case p.word(kwLimit) && !limited:
			limited = true
			p.advance()
			if !p.acceptWord(kwAll) {
				q.Limit = p.integer("a number or ALL")
			}
		case p.word(kwOffset) && !offset:
			offset = true
			p.advance()
			q.Offset = p.integer("a number")
			_ = p.acceptWord(kwRow) || p.acceptWord(kwRows)
		case p.word(kwFetch) && !limited:
			limited = true
			q.Limit = p.fetch()
		default:
			return
		}
	}
}

// fetch reads FETCH FIRST [n] ROWS ONLY.
func (p *parser) fetch() *IntegerLit {
	n := &IntegerLit{At: p.expectWord(kwFetch).pos(), Value: 1}
	if !p.acceptWord(kwFirst) && !p.acceptWord(kwNext) {
		p.fail("FIRST or NEXT")
	}
	if p.is(tokInteger) {
		n = p.integer("a number")
	}
	if !p.acceptWord(kwRow) && !p.acceptWord(kwRows) {
		p.fail("ROW or ROWS")
	}
	p.expectWord(kwOnly)
	return n
}

func (p *parser) sortItems() []SortItem {
	var list []SortItem
	for {
		item := SortItem{Expr: p.expr()}
		if !p.acceptWord(kwAsc) {
			item.Desc = p.acceptWord(kwDesc)
		}
		switch {
		case p.acceptWords(kwNulls, kwFirst):
			item.Nulls = NullsFirst
		case p.acceptWords(kwNulls, kwLast):
			item.Nulls = NullsLast
		case p.postgres && item.Desc: // a null is above all values
			item.Nulls = NullsFirst
		}
		list = append(list, item)
		if !p.accept(tokComma) {
			return list
		}
	}
}

// unions reads terms joined by UNION and EXCEPT, intersections by INTERSECT, which binds tighter.
func (p *parser) unions() Body {
	left := p.intersections()
	for p.word(kwUnion) || p.word(kwExcept) {
		op := &SetOp{At: p.pos(), Op: Union, Left: left}
		if p.advance().kw == kwExcept {
			op.Op = Except
		}
		op.All = p.setQuantifier()
		op.Right = p.intersections()
		left = op
	}
	return left
}

func (p *parser) intersections() Body {
	left := p.term()
	for p.word(kwIntersect) {
		op := &SetOp{At: p.advance().pos(), Op: Intersect, Left: left}
		op.All = p.setQuantifier()
		op.Right = p.term()
		left = op
	}
	return left
}

// setQuantifier reads ALL or DISTINCT behind a set operator and reports whether it was ALL.
func (p *parser) setQuantifier() bool {
	if p.acceptWord(kwDistinct) {
		return false
	}
	return p.acceptWord(kwAll)
}

func (p *parser) term() Body {
	at := p.pos()
	switch {
	case p.word(kwSelect):
		return p.selectBody()
	case p.acceptWord(kwValues):
		return &Values{At: at, Rows: p.exprs()}
	case p.acceptWord(kwTable):
		from := &TableRef{At: p.pos(), Name: p.tableName()}
		return &Select{At: at, Items: []SelectItem{{At: at, Star: true}}, From: []Relation{from}}
	case p.is(tokLParen):
		q := p.queryInParens()
		if q.plain() {
			return q.Body
		}
		return q
	}
	p.fail("SELECT, VALUES or a query in parentheses")
	return nil
}

func (p *parser) selectBody() *Select {
	s := &Select{At: p.expectWord(kwSelect).pos()}
	s.Distinct = p.distinct()
	s.Items = []SelectItem{p.selectItem()}
	for p.accept(tokComma) {
		s.Items = append(s.Items, p.selectItem())
	}
	if p.acceptWord(kwFrom) {
		s.From = []Relation{p.relation()}
		for p.accept(tokComma) {
			s.From = append(s.From, p.relation())
		}
	}
	if p.acceptWord(kwWhere) {
		s.Where = p.expr()
	}
	if p.word(kwGroup) {
		s.GroupBy = p.groupBy()
	}
	if p.acceptWord(kwHaving) {
		s.Having = p.expr()
	}
	return s
}

// distinct reads DISTINCT or ALL before a list of expressions and reports whether it was DISTINCT.
func (p *parser) distinct() bool {
	if p.acceptWord(kwDistinct) {
		return true
	}
	// ALL is not reserved: without an expression behind it, it is one itself.
	if p.word(kwAll) && p.startsExpr(p.i+1) {
		p.advance()
	}
	return false
}

// startsExpr reports whether an item of a list can begin at token i.
func (p *parser) startsExpr(i int) bool {
	switch t := p.at(i); t.kind {
	case tokQuoted, tokString, tokUnicode, tokEscaped, tokInteger, tokDouble, tokDuration, tokParam, tokLParen, tokPlus, tokMinus, tokStar:
		return true
	case tokWord:
		switch t.kw {
		case kwNull, kwTrue, kwFalse, kwCase, kwCast, kwExtract, kwExists, kwNot, kwNormalize, kwRollup, kwCube, kwGrouping,
			kwCurrentDate, kwCurrentTime, kwCurrentTimestamp, kwCurrentUser, kwLocaltime, kwLocaltimestamp:
			return true
		}
		return !t.kw.reserved() && !p.limitsAt(i)
	}
	return false
}

func (p *parser) selectItem() SelectItem {
	item := SelectItem{At: p.pos()}
	if p.accept(tokStar) {
		item.Star = true
		return item
	}
	if parts := p.qualifiedStar(); parts > 0 {
		item.Star = true
		for range parts {
			item.Qualifier = append(item.Qualifier, p.ident("a name"))
			p.expect(tokDot, ".")
		}
		p.expect(tokStar, "*")
		return item
	}
	item.Expr = p.expr()
	item.Alias = p.alias()
	if p.postgres && item.Alias.Name == "" {
		item.Alias = columnName(item)
	}
	return item
}

// qualifiedStar returns how many names stand before a ".*", or 0 if that is not what comes.
func (p *parser) qualifiedStar() int {
	for parts := 1; parts <= 2; parts++ {
		if !isName(p.ahead(2*parts-2)) || p.ahead(2*parts-1).kind != tokDot {
			return 0
		}
		if p.ahead(2*parts).kind == tokStar {
			return parts
		}
	}
	return 0
}

// alias reads [AS] name, or nothing.
func (p *parser) alias() Ident {
	if p.acceptWord(kwAs) || isName(p.tok()) && !p.limitsAt(p.i) {
		return p.ident("an alias")
	}
	return Ident{}
}

func (p *parser) groupBy() *GroupBy {
	g := &GroupBy{At: p.expectWord(kwGroup).pos()}
	p.expectWord(kwBy)
	g.Distinct = p.distinct()
	g.Items = []GroupItem{p.groupItem()}
	for p.accept(tokComma) {
		g.Items = append(g.Items, p.groupItem())
	}
	return g
}

func (p *parser) groupItem() GroupItem {
	item := GroupItem{At: p.pos()}
	switch {
	case p.acceptWord(kwRollup):
		item.Kind = GroupRollup
	case p.acceptWord(kwCube):
		item.Kind = GroupCube
	case p.acceptWord(kwGrouping):
		p.expectWord(kwSets)
		item.Kind = GroupSets
	default:
		item.Sets = [][]Expr{p.groupSet()}
		return item
	}
	p.expect(tokLParen, "(")
	item.Sets = append(item.Sets, p.groupSet())
	for p.accept(tokComma) {
		item.Sets = append(item.Sets, p.groupSet())
	}
	p.expect(tokRParen, ")")
	return item
}

// groupSet reads an expression, or a set of them in parentheses, which may be empty.
func (p *parser) groupSet() []Expr {
	if !p.setAhead() {
		return []Expr{p.expr()}
	}
	p.expect(tokLParen, "(")
	set := []Expr{}
	if !p.is(tokRParen) {
		set = p.exprs()
	}
	p.expect(tokRParen, ")")
	return set
}

// setAhead reports whether the current "(" encloses a whole item of GROUP BY and not merely the beginning
// of its expression.
func (p *parser) setAhead() bool {
	if !p.is(tokLParen) || p.queryAhead(p.i) {
		return false
	}
	end := int(p.tok().match)
	if end == 0 {
		return false
	}
	switch t := p.at(end + 1); t.kind {
	case tokEOF, tokSemicolon, tokComma:
		return true
	case tokWord:
		return t.kw == kwHaving || p.continuesQuery(end+1)
	}
	return p.continuesQuery(end + 1)
}

// ---- relations

func (p *parser) relation() Relation {
	p.enter()
	r := p.relationPrimary()
	for p.joinAhead() {
		r = p.join(r)
	}
	p.depth--
	return r
}

func (p *parser) joinAhead() bool {
	switch p.tok().kw {
	case kwCross, kwInner, kwJoin, kwLeft, kwRight, kwFull:
		return true
	}
	return false
}

// join reads a join whose left side is given. The right side may be a join itself when the
// conditions follow later: a JOIN b JOIN c ON … ON ….
func (p *parser) join(left Relation) Relation {
	p.enter()
	j := &Join{At: left.Pos(), Kind: p.joinKind(), Left: left}
	j.Right = p.relationPrimary()
	if j.Kind != CrossJoin {
		for p.joinAhead() {
			j.Right = p.join(j.Right)
		}
		if p.acceptWord(kwOn) {
			j.On = p.expr()
		} else if p.acceptWord(kwUsing) {
			j.Using = p.idents("a column name")
		} else {
			p.fail("ON or USING")
		}
	}
	p.depth--
	return j
}

func (p *parser) joinKind() JoinKind {
	kind := InnerJoin
	switch p.tok().kw {
	case kwCross:
		kind = CrossJoin
		p.advance()
	case kwInner:
		p.advance()
	case kwLeft, kwRight, kwFull:
		switch p.advance().kw {
		case kwLeft:
			kind = LeftJoin
		case kwRight:
			kind = RightJoin
		case kwFull:
			kind = FullJoin
		}
		p.acceptWord(kwOuter)
	}
	p.expectWord(kwJoin)
	return kind
}

func (p *parser) relationPrimary() Relation {
	at := p.pos()
	rel := p.bareRelation()
	alias := p.alias()
	if alias.Name == "" {
		return rel
	}
	a := &Aliased{At: at, Rel: rel, Alias: alias}
	if p.is(tokLParen) {
		a.Columns = p.idents("a column name")
	}
	return a
}

func (p *parser) bareRelation() Relation {
	at := p.pos()
	switch {
	case p.queryAhead(p.i):
		return &DerivedTable{At: at, Query: p.queryInParens()}
	case p.accept(tokLParen):
		r := p.relation()
		p.expect(tokRParen, ")")
		return r
	case p.acceptWord(kwUnnest):
		p.expect(tokLParen, "(")
		u := &Unnest{At: at, Exprs: p.exprs()}
		p.expect(tokRParen, ")")
		u.Ordinality = p.acceptWords(kwWith, kwOrdinality)
		return u
	}
	return &TableRef{At: at, Name: p.tableName()}
}
