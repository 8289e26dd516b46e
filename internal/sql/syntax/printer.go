package syntax

import (
	"bytes"
	"strconv"
	"strings"
)

// Format returns stmt as text on one line, keywords in upper case and names as they were
// written. Parsing the text gives an equal tree.
func Format(stmt Statement) string {
	var w printer
	w.statement(stmt)
	return string(w.buf)
}

// FormatExpr returns e as text, as messages show it.
func FormatExpr(e Expr) string {
	var w printer
	w.expr(e, lambdaLevel)
	return string(w.buf)
}

// Key returns a text that two expressions share exactly if they are [Equal]. It is for use as a key of maps.
func Key(e Expr) string {
	w := printer{fold: true}
	w.expr(e, lambdaLevel)
	return string(w.buf)
}

// Equal reports whether a and b have the same structure, wherever they stand in the text. Names that were
// not quoted, of functions too, are the same in any case: Temp and temp, but not "Temp" and
// "temp". The expression of GROUP BY is found in the select list this way. A nil Expr equals nil only.
//
// A planner that has resolved the names knows better: Temp and temp can be two columns.
func Equal(a, b Expr) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	w := printer{fold: true}
	w.expr(a, lambdaLevel)
	end := len(w.buf)
	w.expr(b, lambdaLevel)
	return bytes.Equal(w.buf[:end], w.buf[end:])
}

// printer appends text to buf. With fold it writes a canonical form, in which all names are
// quoted and those that were not are in lower case.
type printer struct {
	buf  []byte
	fold bool
}

func (w *printer) put(parts ...string) {
	for _, s := range parts {
		w.buf = append(w.buf, s...)
	}
}

// list calls item for 0 to n-1, with commas between.
func (w *printer) list(n int, item func(i int)) {
	for i := range n {
		if i > 0 {
			w.put(", ")
		}
		item(i)
	}
}

// parens writes what inside writes between parentheses.
func (w *printer) parens(inside func()) {
	w.put("(")
	inside()
	w.put(")")
}

// ---- statements

func (w *printer) statement(s Statement) {
	switch s := s.(type) {
	case *Query:
		w.query(s)
	case *ShowDatabases:
		w.put("SHOW DATABASES")
		w.like(s.Like)
	case *ShowTables:
		w.put("SHOW TABLES")
		if s.Database.Name != "" {
			w.put(" FROM ")
			w.ident(s.Database)
		}
		w.like(s.Like)
	case *ShowMeasures:
		w.put("SHOW MEASURES FROM ")
		w.tableName(s.Table)
		w.like(s.Like)
	case *Describe:
		w.put("DESCRIBE ")
		w.tableName(s.Table)
	case *Unload:
		w.unload(s)
	case *Delete:
		w.put("DELETE FROM ")
		w.tableName(s.Table)
		if s.Where != nil {
			w.put(" WHERE ")
			w.expr(s.Where, lambdaLevel)
		}
	case *Explain:
		w.put("EXPLAIN ")
		if s.Analyze {
			w.put("ANALYZE ")
		}
		w.query(s.Query)
	}
}

func (w *printer) like(pattern *StringLit) {
	if pattern != nil {
		w.put(" LIKE ")
		w.string(pattern.Value)
	}
}

func (w *printer) unload(u *Unload) {
	w.put("UNLOAD ")
	w.subquery(u.Query)
	w.put(" TO ")
	w.string(u.To.Value)
	if u.Options == nil {
		return
	}
	w.put(" WITH ")
	w.parens(func() {
		w.list(len(u.Options), func(i int) {
			w.ident(u.Options[i].Name)
			w.put(" = ")
			w.expr(u.Options[i].Value, lambdaLevel)
		})
	})
}

// ---- queries

func (w *printer) subquery(q *Query) { w.parens(func() { w.query(q) }) }

func (w *printer) query(q *Query) {
	if q.With != nil {
		w.put("WITH ")
		w.list(len(q.With), func(i int) { w.cte(q.With[i]) })
		w.put(" ")
	}
	w.body(q.Body, unionLevel)
	if q.OrderBy != nil {
		w.put(" ORDER BY ")
		w.sortItems(q.OrderBy)
	}
	if q.Offset != nil {
		w.put(" OFFSET ")
		w.integer(q.Offset.Value)
	}
	if q.Limit != nil {
		w.put(" LIMIT ")
		w.integer(q.Limit.Value)
	}
}

func (w *printer) cte(c CTE) {
	w.ident(c.Name)
	if c.Columns != nil {
		w.put(" ")
		w.idents(c.Columns)
	}
	w.put(" AS ")
	w.subquery(c.Query)
}

// Levels of bodies: what stands beside an operator must bind at least as tight.
const (
	unionLevel = iota
	intersectLevel
	termLevel
)

func bodyLevel(b Body) int {
	if op, ok := b.(*SetOp); ok {
		if op.Op == Intersect {
			return intersectLevel
		}
		return unionLevel
	}
	return termLevel
}

func (w *printer) body(b Body, least int) {
	if bodyLevel(b) < least {
		w.parens(func() { w.body(b, unionLevel) })
		return
	}
	switch b := b.(type) {
	case *Query:
		w.subquery(b)
	case *Select:
		w.selectBody(b)
	case *Values:
		w.put("VALUES ")
		w.list(len(b.Rows), func(i int) { w.valuesRow(b.Rows[i]) })
	case *SetOp:
		ops, first := Chain(b)
		start := 0 // the operations before it are in parentheses, or bind tighter
		for i := len(ops) - 1; i > 0 && start == 0; i-- {
			if bodyLevel(ops[i-1]) != bodyLevel(ops[i]) {
				start, first = i, ops[i-1]
			}
		}
		w.body(first, bodyLevel(ops[start]))
		for _, op := range ops[start:] {
			w.put(" ", op.Op.String(), " ")
			if op.All {
				w.put("ALL ")
			}
			w.body(op.Right, bodyLevel(op)+1)
		}
	}
}

// valuesRow writes a row of several columns without the word ROW, as people do.
func (w *printer) valuesRow(row Expr) {
	if r, ok := row.(*RowExpr); ok && len(r.Elems) > 1 {
		w.parens(func() { w.exprs(r.Elems) })
		return
	}
	w.expr(row, lambdaLevel)
}

func (w *printer) selectBody(s *Select) {
	w.put("SELECT ")
	w.distinctList(s.Distinct, func() {
		w.list(len(s.Items), func(i int) { w.selectItem(s.Items[i]) })
	})
	if s.From != nil {
		w.put(" FROM ")
		w.list(len(s.From), func(i int) { w.relation(s.From[i]) })
	}
	if s.Where != nil {
		w.put(" WHERE ")
		w.expr(s.Where, lambdaLevel)
	}
	if s.GroupBy != nil {
		w.put(" GROUP BY ")
		w.distinctList(s.GroupBy.Distinct, func() {
			w.list(len(s.GroupBy.Items), func(i int) { w.groupItem(s.GroupBy.Items[i]) })
		})
	}
	if s.Having != nil {
		w.put(" HAVING ")
		w.expr(s.Having, lambdaLevel)
	}
}

// distinctList writes DISTINCT, if asked for, and what items writes. A list that begins with the name "all"
// needs the word ALL before it, or the name would be taken for that.
func (w *printer) distinctList(distinct bool, items func()) {
	if distinct {
		w.put("DISTINCT ")
		items()
		return
	}
	start := len(w.buf)
	items()
	first := w.buf[start:]
	if len(first) >= 3 && bytes.EqualFold(first[:3], []byte("all")) && (len(first) == 3 || !isLetter(first[3]) && !isDigit(first[3])) {
		w.buf = append(w.buf[:start], append([]byte("ALL "), first...)...)
	}
}

func (w *printer) selectItem(item SelectItem) {
	if item.Star {
		for _, part := range item.Qualifier {
			w.ident(part)
			w.put(".")
		}
		w.put("*")
		return
	}
	w.expr(item.Expr, lambdaLevel)
	if item.Alias.Name != "" {
		w.put(" AS ")
		w.ident(item.Alias)
	}
}

func (w *printer) groupItem(item GroupItem) {
	switch item.Kind {
	case GroupPlain:
		w.groupSet(item.Sets[0])
		return
	case GroupRollup:
		w.put("ROLLUP ")
	case GroupCube:
		w.put("CUBE ")
	case GroupSets:
		w.put("GROUPING SETS ")
	}
	w.parens(func() {
		w.list(len(item.Sets), func(i int) { w.groupSet(item.Sets[i]) })
	})
}

func (w *printer) groupSet(set []Expr) {
	if len(set) == 1 {
		w.expr(set[0], lambdaLevel)
		return
	}
	w.parens(func() { w.exprs(set) })
}

func (w *printer) sortItems(items []SortItem) {
	w.list(len(items), func(i int) {
		w.expr(items[i].Expr, lambdaLevel)
		if items[i].Desc {
			w.put(" DESC")
		}
		w.put([...]string{"", " NULLS FIRST", " NULLS LAST"}[items[i].Nulls])
	})
}

// ---- relations

func (w *printer) relation(r Relation) {
	switch r := r.(type) {
	case *TableRef:
		w.tableName(r.Name)
	case *DerivedTable:
		w.subquery(r.Query)
	case *Unnest:
		w.put("UNNEST")
		w.parens(func() { w.exprs(r.Exprs) })
		if r.Ordinality {
			w.put(" WITH ORDINALITY")
		}
	case *Aliased:
		w.relationPrimary(r.Rel, true)
		w.put(" AS ")
		w.ident(r.Alias)
		if r.Columns != nil {
			w.put(" ")
			w.idents(r.Columns)
		}
	case *Join:
		w.join(r)
	}
}

func (w *printer) join(j *Join) {
	w.relation(j.Left)
	w.put(" ", j.Kind.String(), " ")
	w.relationPrimary(j.Right, false)
	switch {
	case j.On != nil:
		w.put(" ON ")
		w.expr(j.On, lambdaLevel)
	case j.Using != nil:
		w.put(" USING ")
		w.idents(j.Using)
	}
}

// relationPrimary writes r in parentheses if it is a join or, where an alias follows, has an alias.
func (w *printer) relationPrimary(r Relation, aliased bool) {
	_, join := r.(*Join)
	_, named := r.(*Aliased)
	if join || named && aliased {
		w.parens(func() { w.relation(r) })
		return
	}
	w.relation(r)
}

// ---- names and values

func (w *printer) ident(i Ident) {
	if w.fold {
		name := i.Name
		if !i.Quoted {
			name = strings.ToLower(name)
		}
		w.quote(name, '"')
		return
	}
	if i.Quoted || !isBareName(i.Name) {
		w.quote(i.Name, '"')
		return
	}
	w.put(i.Name)
}

// isBareName reports whether s is a name without quotes.
func isBareName(s string) bool {
	toks, _ := lex(s, Timestream, nil)
	return len(toks) == 2 && toks[0].kind == tokWord && isName(toks[0]) && int(toks[0].end) == len(s) && toks[0].start == 0
}

func (w *printer) idents(list []Ident) {
	w.parens(func() { w.list(len(list), func(i int) { w.ident(list[i]) }) })
}

func (w *printer) tableName(n TableName) {
	if n.Database.Name != "" {
		w.ident(n.Database)
		w.put(".")
	}
	w.ident(n.Table)
}

func (w *printer) string(s string) { w.quote(s, '\'') }

// quote writes s between quotes, doubling those inside.
func (w *printer) quote(s string, quote byte) {
	w.buf = append(w.buf, quote)
	for i := range len(s) {
		if s[i] == quote {
			w.buf = append(w.buf, quote)
		}
		w.buf = append(w.buf, s[i])
	}
	w.buf = append(w.buf, quote)
}

func (w *printer) integer(v int64) { w.buf = strconv.AppendInt(w.buf, v, 10) }

// double writes v with a point or an exponent, which make it a double.
func (w *printer) double(v float64) {
	start := len(w.buf)
	w.buf = strconv.AppendFloat(w.buf, v, 'g', -1, 64)
	if !bytes.ContainsAny(w.buf[start:], ".e") {
		w.put(".0")
	}
}

func (w *printer) typeName(t *TypeName) {
	w.put(t.Name)
	switch {
	case t.Length != nil:
		w.parens(func() { w.integer(*t.Length) })
	case t.Elem != nil:
		w.parens(func() { w.typeName(t.Elem) })
	case t.Fields != nil:
		w.parens(func() {
			w.list(len(t.Fields), func(i int) {
				if t.Fields[i].Name.Name != "" {
					w.ident(t.Fields[i].Name)
					w.put(" ")
				}
				w.typeName(t.Fields[i].Type)
			})
		})
	}
}
