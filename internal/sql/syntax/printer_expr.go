package syntax

import "strings"

// Levels of expressions: an operand must bind at least as tight as its operator asks, or it
// is put in parentheses. The levels follow parser.expr.
const (
	lambdaLevel = iota
	orLevel
	andLevel
	notLevel
	predicateLevel
	concatOperand
	addOperand
	mulOperand
	unaryOperand
	primaryLevel
)

func exprLevel(e Expr) int {
	switch e := e.(type) {
	case *Lambda:
		return lambdaLevel
	case *Or:
		return orLevel
	case *And:
		return andLevel
	case *Not:
		return notLevel
	case *Between, *In, *Like, *IsNull, *IsDistinct, *Quantified:
		return predicateLevel
	case *Binary:
		return operatorLevel(e.Op)
	case *Unary:
		return unaryOperand
	case *IntegerLit:
		if e.Value < 0 {
			return unaryOperand
		}
	}
	return primaryLevel
}

func operatorLevel(op Op) int {
	switch op {
	case Mul, Div, Mod:
		return mulOperand
	case Add, Sub:
		return addOperand
	case Concat:
		return concatOperand
	}
	return predicateLevel
}

func (w *printer) exprs(list []Expr) {
	w.list(len(list), func(i int) { w.expr(list[i], lambdaLevel) })
}

// expr writes e, in parentheses if it binds looser than least.
func (w *printer) expr(e Expr, least int) {
	if exprLevel(e) < least {
		w.parens(func() { w.bare(e) })
		return
	}
	w.bare(e)
}

func (w *printer) bare(e Expr) {
	switch e := e.(type) {
	case *Ref:
		for i, part := range e.Parts {
			if i > 0 {
				w.put(".")
			}
			w.ident(part)
		}
	case *Param:
		w.put("@", e.Name)
	case *FieldAccess:
		w.fieldBase(e.X)
		w.put(".")
		w.ident(e.Field)
	case *Subscript:
		w.subscriptBase(e.X)
		w.put("[")
		w.expr(e.Index, lambdaLevel)
		w.put("]")
	case *IntegerLit, *DoubleLit, *StringLit, *BooleanLit, *NullLit, *TypedLit, *DurationLit, *IntervalLit:
		w.literal(e)
	case *ArrayExpr:
		w.put("ARRAY[")
		w.exprs(e.Elems)
		w.put("]")
	case *RowExpr:
		w.put("ROW")
		w.parens(func() { w.exprs(e.Elems) })
	case *Unary, *Binary, *And, *Or, *Not:
		w.operator(e)
	case *Between, *In, *Like, *IsNull, *IsDistinct, *Quantified:
		w.predicate(e)
	default:
		w.form(e)
	}
}

// fieldBase writes x where ".field" follows. A name in parentheses there is a row, without them part
// of a dotted name.
func (w *printer) fieldBase(x Expr) {
	switch x.(type) {
	case *Call, *Subscript, *FieldAccess, *RowExpr, *Cast:
		w.bare(x)
	default:
		w.parens(func() { w.bare(x) })
	}
}

// subscriptBase writes x where "[" follows, which behind the name array would begin an array.
func (w *printer) subscriptBase(x Expr) {
	if r, ok := x.(*Ref); ok && len(r.Parts) == 1 && !r.Parts[0].Quoted && strings.EqualFold(r.Parts[0].Name, "array") {
		w.parens(func() { w.bare(x) })
		return
	}
	w.expr(x, primaryLevel)
}

// unitSuffixes are the units as duration literals have them.
var unitSuffixes = [...]string{
	Nanosecond: "ns", Microsecond: "us", Millisecond: "ms", Second: "s", Minute: "m", Hour: "h", Day: "d", Month: "month", Year: "y",
}

func (w *printer) literal(e Expr) {
	switch e := e.(type) {
	case *IntegerLit:
		w.integer(e.Value)
	case *DoubleLit:
		w.double(e.Value)
	case *StringLit:
		w.string(e.Value)
	case *BooleanLit:
		if e.Value {
			w.put("TRUE")
		} else {
			w.put("FALSE")
		}
	case *NullLit:
		w.put("NULL")
	case *TypedLit:
		w.put(strings.ToUpper(e.Type.Name), " ")
		w.string(e.Text)
	case *DurationLit:
		w.integer(e.Count)
		w.put(unitSuffixes[e.Unit])
	case *IntervalLit:
		w.put("INTERVAL ")
		if e.Negative {
			w.put("-")
		}
		w.string(e.Text)
		w.put(" ", strings.ToUpper(e.From.String()))
		if e.To != NoUnit {
			w.put(" TO ", strings.ToUpper(e.To.String()))
		}
	}
}

func (w *printer) operator(e Expr) {
	switch e := e.(type) {
	case *Unary:
		w.put(e.Op.String())
		start := len(w.buf)
		w.expr(e.X, unaryOperand)
		// Two minus signs in a row would begin a comment.
		if rest := w.buf[start:]; rest[0] == '-' {
			w.buf = append(w.buf[:start], append([]byte(" "), rest...)...)
		}
	case *Binary:
		level := operatorLevel(e.Op)
		left := level
		if e.Op.IsComparison() {
			left++
		}
		if operands, _ := Concats(e); operands != nil {
			w.concats(operands)
			return
		}
		w.expr(e.L, left)
		w.put(" ", e.Op.String(), " ")
		w.expr(e.R, level+1)
	case *And:
		w.chain(e.Terms, " AND ", andLevel+1)
	case *Or:
		w.chain(e.Terms, " OR ", orLevel+1)
	case *Not:
		w.put("NOT ")
		w.expr(e.X, notLevel)
	}
}

func (w *printer) concats(operands []Expr) {
	for i, x := range operands {
		least := concatOperand + 1
		if i == 0 {
			least = concatOperand
		} else {
			w.put(" || ")
		}
		w.expr(x, least)
	}
}

func (w *printer) chain(terms []Expr, word string, least int) {
	for i, t := range terms {
		if i > 0 {
			w.put(word)
		}
		w.expr(t, least)
	}
}

func (w *printer) predicate(e Expr) {
	operand := func(x Expr) { w.expr(x, predicateLevel+1) }
	begin := func(x Expr, not bool, word string) {
		operand(x)
		if not {
			w.put(" NOT")
		}
		w.put(word)
	}
	switch e := e.(type) {
	case *Between:
		begin(e.X, e.Not, " BETWEEN ")
		operand(e.Low)
		w.put(" AND ")
		operand(e.High)
	case *In:
		begin(e.X, e.Not, " IN ")
		if e.Query != nil {
			w.subquery(e.Query)
		} else {
			w.parens(func() { w.exprs(e.List) })
		}
	case *Like:
		begin(e.X, e.Not, " LIKE ")
		operand(e.Pattern)
		if e.Escape != nil {
			w.put(" ESCAPE ")
			operand(e.Escape)
		}
	case *IsNull:
		w.is(e.X, e.Not, "NULL")
	case *IsDistinct:
		w.is(e.L, e.Not, "DISTINCT FROM ")
		operand(e.R)
	case *Quantified:
		operand(e.X)
		w.put(" ", e.Op.String())
		if e.All {
			w.put(" ALL ")
		} else {
			w.put(" ANY ")
		}
		w.subquery(e.Query)
	}
}

func (w *printer) is(x Expr, not bool, what string) {
	w.expr(x, predicateLevel+1)
	w.put(" IS ")
	if not {
		w.put("NOT ")
	}
	w.put(what)
}

// form writes the expressions that look like calls or are made of keywords.
func (w *printer) form(e Expr) {
	switch e := e.(type) {
	case *Exists:
		w.put("EXISTS ")
		w.subquery(e.Query)
	case *Subquery:
		w.subquery(e.Query)
	case *Case:
		w.caseExpr(e)
	case *Cast:
		if e.Try {
			w.put("TRY_")
		}
		w.put("CAST")
		w.parens(func() {
			w.expr(e.X, lambdaLevel)
			w.put(" AS ")
			w.typeName(e.Type)
		})
	case *Extract:
		w.put("EXTRACT")
		w.parens(func() {
			w.ident(e.Field)
			w.put(" FROM ")
			w.expr(e.X, lambdaLevel)
		})
	case *KeywordCall:
		w.put(e.Name)
	case *Lambda:
		if len(e.Params) == 1 {
			w.ident(e.Params[0])
		} else {
			w.idents(e.Params)
		}
		w.put(" -> ")
		w.expr(e.Body, lambdaLevel)
	case *Call:
		w.call(e)
	}
}

func (w *printer) caseExpr(e *Case) {
	w.put("CASE")
	if e.Operand != nil {
		w.put(" ")
		w.expr(e.Operand, lambdaLevel)
	}
	for _, when := range e.Whens {
		w.put(" WHEN ")
		w.expr(when.Cond, lambdaLevel)
		w.put(" THEN ")
		w.expr(when.Then, lambdaLevel)
	}
	if e.Else != nil {
		w.put(" ELSE ")
		w.expr(e.Else, lambdaLevel)
	}
	w.put(" END")
}

func (w *printer) call(c *Call) {
	// These two have a grammar of their own, with plain arguments only: the first one of position leaves
	// an IN to its special form, and NORMALIZE is reserved.
	position := !c.Name.Quoted && strings.EqualFold(c.Name.Name, "position")
	normalize := !c.Name.Quoted && strings.EqualFold(c.Name.Name, "normalize")
	if normalize && !w.fold {
		w.put(c.Name.Name)
	} else {
		w.ident(c.Name)
	}
	w.parens(func() {
		switch {
		case c.Star:
			w.put("*")
		case position && len(c.Args) > 0:
			w.expr(c.Args[0], concatOperand)
			for _, arg := range c.Args[1:] {
				w.put(", ")
				w.expr(arg, lambdaLevel)
			}
		case normalize:
			w.exprs(c.Args)
		default:
			w.distinctList(c.Distinct, func() { w.exprs(c.Args) })
		}
		w.callOrder(c)
	})
	if c.Filter != nil {
		w.put(" FILTER (WHERE ")
		w.expr(c.Filter, lambdaLevel)
		w.put(")")
	}
	w.put([...]string{"", " RESPECT NULLS", " IGNORE NULLS"}[c.Nulls])
	if c.Over != nil {
		w.put(" OVER ")
		w.window(c.Over)
	}
}

func (w *printer) callOrder(c *Call) {
	if c.OrderBy == nil {
		return
	}
	if c.Args != nil {
		w.put(" ")
	}
	w.put("ORDER BY ")
	w.sortItems(c.OrderBy)
}

func (w *printer) window(win *Window) {
	w.parens(func() {
		var parts int
		part := func(word string) {
			if parts++; parts > 1 {
				w.put(" ")
			}
			w.put(word)
		}
		if win.Partition != nil {
			part("PARTITION BY ")
			w.exprs(win.Partition)
		}
		if win.OrderBy != nil {
			part("ORDER BY ")
			w.sortItems(win.OrderBy)
		}
		if win.Frame != nil {
			part("")
			w.frame(win.Frame)
		}
	})
}

func (w *printer) frame(f *Frame) {
	if f.Rows {
		w.put("ROWS BETWEEN ")
	} else {
		w.put("RANGE BETWEEN ")
	}
	w.bound(f.Start)
	w.put(" AND ")
	w.bound(f.End)
}

func (w *printer) bound(b Bound) {
	if b.Offset != nil {
		// In parentheses where a name such as unbounded could be taken for a keyword, and where an AND would end it.
		if _, name := b.Offset.(*Ref); name {
			w.parens(func() { w.bare(b.Offset) })
		} else {
			w.expr(b.Offset, predicateLevel+1)
		}
		w.put(" ")
	}
	w.put([...]string{"UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING"}[b.Kind])
}
