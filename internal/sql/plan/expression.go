package plan

import (
	"errors"
	"math"
	"strings"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// analyser types the expressions of one clause.
type analyser struct {
	*builder
	scope   *scope
	with    *with
	aggs    *aggregates // nil where aggregates may not stand
	windows *windows    // nil where window functions may not stand
	clause  string      // for messages: "WHERE clause"

	// inner is the scope of the arguments of aggregates, in ORDER BY, where they do not
	// see the names of outputs; nil: scope.
	inner *scope
}

func (a *analyser) expr(e syntax.Expr) (Expr, error) {
	if err := a.enter(e.Pos()); err != nil {
		return nil, err
	}
	defer a.leave()
	x, err := a.exprOf(e)
	if err == nil && typeSize(x.Type(), maxTypeSize) > maxTypeSize {
		return nil, errorAt(e.Pos(), "The type of the expression has more than %d parts", maxTypeSize)
	}
	return x, err
}

// maxTypeSize bounds a type. ROW(a, a) doubles one, and subqueries nest deep enough to make
// it larger than memory.
const maxTypeSize = 10_000

// typeSize counts the types that t is made of, up to a little more than limit.
func typeSize(t vec.Type, limit int) int {
	n := 1
	if t.Elem != nil {
		n += typeSize(*t.Elem, limit-n)
	}
	for _, f := range t.Fields {
		if n > limit {
			break
		}
		n += typeSize(f.Type, limit-n)
	}
	return n
}

func (a *analyser) exprOf(e syntax.Expr) (Expr, error) {
	switch e := e.(type) {
	case *syntax.Ref:
		x, _, err := a.scope.resolve(e)
		return x, err
	case *syntax.IntegerLit:
		if e.Value >= math.MinInt32 && e.Value <= math.MaxInt32 {
			return &Const{vec.Int(vec.IntegerType, e.Value)}, nil
		}
		return &Const{vec.Int(vec.BigintType, e.Value)}, nil
	case *syntax.DoubleLit:
		return &Const{vec.Float(e.Value)}, nil
	case *syntax.StringLit:
		return &Const{vec.Str(e.Value)}, nil
	case *syntax.BooleanLit:
		return &Const{vec.Bool(e.Value)}, nil
	case *syntax.NullLit:
		return &Const{vec.Null(vec.UnknownType)}, nil
	case *syntax.TypedLit:
		return a.typedLiteral(e)
	case *syntax.DurationLit:
		s, err := e.Span()
		return span(e.At, s, err, syntax.FormatExpr(e))
	case *syntax.IntervalLit:
		s, err := e.Span()
		return span(e.At, s, err, e.Text)
	case *syntax.Param:
		v, ok := a.env.Params[e.Name]
		if !ok {
			return nil, errorAt(e.At, "Parameter @%s has no value", e.Name)
		}
		k := &Const{v}
		a.params[k] = e.Name
		return k, nil
	case *syntax.ArrayExpr:
		return a.array(e)
	case *syntax.RowExpr:
		return a.row(e)
	case *syntax.FieldAccess:
		x, err := a.expr(e.X)
		if err != nil {
			return nil, err
		}
		return fieldOf(x, e.Field)
	case *syntax.Subscript:
		return a.operator("[]", e.At, e.X, e.Index)
	case *syntax.Unary:
		return a.unary(e)
	case *syntax.Binary:
		if operands, at := syntax.Concats(e); len(operands) > 2 {
			return a.concat(operands, at)
		}
		return a.operator(e.Op.String(), e.At, e.L, e.R)
	case *syntax.And:
		terms, err := a.conditions(e.Terms, "AND")
		return &And{terms}, err
	case *syntax.Or:
		terms, err := a.conditions(e.Terms, "OR")
		return &Or{terms}, err
	case *syntax.Not:
		x, err := a.condition(e.X, "NOT")
		return &Not{x}, err
	case *syntax.Between:
		return a.between(e)
	case *syntax.In:
		return a.in(e)
	case *syntax.Like:
		return a.like(e)
	case *syntax.IsNull:
		x, err := a.expr(e.X)
		return negate(&IsNull{x}, e.Not), err
	case *syntax.IsDistinct:
		x, err := a.operator("is distinct from", e.At, e.L, e.R)
		return negate(x, e.Not), err
	case *syntax.Case:
		return a.caseExpr(e)
	case *syntax.Cast:
		return a.cast(e)
	case *syntax.Extract:
		return a.extract(e)
	case *syntax.KeywordCall:
		return a.keyword(e)
	case *syntax.Call:
		return a.call(e)
	case *syntax.Lambda:
		return nil, errorAt(e.At, "A lambda expression can only be an argument of a function")
	case *syntax.Quantified, *syntax.Exists, *syntax.Subquery:
		return a.subquery(e)
	}
	return nil, errorAt(e.Pos(), "This expression is not supported")
}

func (a *analyser) exprs(list []syntax.Expr) ([]Expr, error) {
	out := make([]Expr, len(list))
	for i, e := range list {
		var err error
		if out[i], err = a.expr(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func negate(e Expr, not bool) Expr {
	if not {
		return &Not{e}
	}
	return e
}

// condition analyses an operand that has to be boolean.
func (a *analyser) condition(e syntax.Expr, of string) (Expr, error) {
	x, err := a.expr(e)
	if err != nil {
		return nil, err
	}
	switch x.Type().Kind {
	case vec.Boolean:
		return x, nil
	case vec.Unknown:
		return a.coerce(x, vec.BooleanType, e.Pos())
	}
	return nil, errorAt(e.Pos(), "%s must evaluate to a boolean (actual: %s)", of, x.Type())
}

func (a *analyser) conditions(list []syntax.Expr, op string) ([]Expr, error) {
	out := make([]Expr, len(list))
	for i, e := range list {
		var err error
		if out[i], err = a.condition(e, "Logical "+op+" term"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// operator resolves an operator, which is a function under its spelling.
func (a *analyser) operator(name string, at syntax.Pos, operands ...syntax.Expr) (Expr, error) {
	args, err := a.exprs(operands)
	if err != nil {
		return nil, err
	}
	return a.scalar(name, at, args, places(operands))
}

// concat is a chain of ||. A long one of texts becomes a tree of little height: joining texts is
// associative.
func (a *analyser) concat(operands []syntax.Expr, at []syntax.Pos) (Expr, error) {
	const long = 64
	args, err := a.exprs(operands)
	if err != nil {
		return nil, err
	}
	texts := len(args) > long
	for _, x := range args {
		texts = texts && x.Type().Kind == vec.Varchar
	}
	if texts {
		return a.concatTree(args, at, places(operands))
	}
	x := args[0]
	for i, op := range at {
		if x, err = a.scalar("||", op, []Expr{x, args[i+1]}, places(operands[i:i+2])); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (a *analyser) concatTree(args []Expr, at []syntax.Pos, place func(int) syntax.Pos) (Expr, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	half := len(args) / 2
	left, err := a.concatTree(args[:half], at[:half-1], place)
	if err != nil {
		return nil, err
	}
	right, err := a.concatTree(args[half:], at[half:], place)
	if err != nil {
		return nil, err
	}
	return a.scalar("||", at[half-1], []Expr{left, right}, place)
}

func places(list []syntax.Expr) func(int) syntax.Pos {
	return func(i int) syntax.Pos { return list[i].Pos() }
}

// scalar resolves a scalar call over analysed arguments.
func (b *builder) scalar(name string, at syntax.Pos, args []Expr, argAt func(int) syntax.Pos) (Expr, error) {
	types := make([]vec.Type, len(args))
	for i, x := range args {
		types[i] = x.Type()
	}
	call, err := b.env.Functions.Scalar(name, types)
	if err != nil {
		return nil, resolveError(at, err)
	}
	args, err = b.coerceAll(args, call.Args, argAt)
	if err != nil {
		return nil, err
	}
	out := &Call{call, args}
	return out, b.checkPattern(out, argAt)
}

// resolveError puts the place before what the registry says.
func resolveError(at syntax.Pos, err error) error {
	var r *fn.ResolveError
	if errors.As(err, &r) {
		return errorAt(at, "%s", r.Text)
	}
	return err
}

func (a *analyser) unary(e *syntax.Unary) (Expr, error) {
	x, err := a.expr(e.X)
	if err != nil {
		return nil, err
	}
	if e.Op == syntax.Add {
		switch k := x.Type().Kind; {
		case k.Numeric(), k == vec.IntervalDay, k == vec.IntervalYear, k == vec.Unknown:
			return x, nil
		}
		return nil, errorAt(e.At, "'+' cannot be applied to %s", x.Type())
	}
	return a.scalar("-", e.At, []Expr{x}, places([]syntax.Expr{e.X}))
}

func (a *analyser) array(e *syntax.ArrayExpr) (Expr, error) {
	elems, err := a.exprs(e.Elems)
	if err != nil {
		return nil, err
	}
	elems, t, ok, err := a.common(elems, places(e.Elems))
	if err == nil && !ok {
		err = errorAt(e.At, "All ARRAY elements must be the same type")
	}
	return &MakeArray{elems, vec.ArrayOf(t)}, err
}

func (a *analyser) row(e *syntax.RowExpr) (Expr, error) {
	elems, err := a.exprs(e.Elems)
	if err != nil {
		return nil, err
	}
	t := vec.Type{Kind: vec.Row}
	for _, x := range elems {
		t.Fields = append(t.Fields, vec.Field{Type: x.Type()})
	}
	return &MakeRow{elems, t}, nil
}

func (a *analyser) between(e *syntax.Between) (Expr, error) {
	args, err := a.exprs([]syntax.Expr{e.X, e.Low, e.High})
	if err != nil {
		return nil, err
	}
	list := []syntax.Expr{e.X, e.Low, e.High}
	same, _, ok, err := a.common(args, places(list))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errorAt(e.At, "Cannot check if %s is BETWEEN %s and %s", args[0].Type(), args[1].Type(), args[2].Type())
	}
	args = same
	low, err := a.scalar(">=", e.At, args[:2], places(list[:2]))
	if err != nil {
		return nil, err
	}
	high, err := a.scalar("<=", e.At, []Expr{args[0], args[2]}, places([]syntax.Expr{e.X, e.High}))
	return negate(&And{[]Expr{low, high}}, e.Not), err
}

func (a *analyser) in(e *syntax.In) (Expr, error) {
	if e.Query != nil {
		x, err := a.inQuery(e)
		return negate(x, e.Not), err
	}
	list := append([]syntax.Expr{e.X}, e.List...)
	args, err := a.exprs(list)
	if err != nil {
		return nil, err
	}
	same, _, ok, err := a.common(args, places(list))
	if err != nil {
		return nil, err
	}
	if !ok {
		for i, x := range args[1:] {
			if _, ok := fn.CommonType(args[0].Type(), x.Type()); !ok {
				return nil, errorAt(e.List[i].Pos(), "IN value and list items must be the same type: %s", args[0].Type())
			}
		}
		return nil, errorAt(e.At, "IN value and list items must be the same type: %s", args[0].Type())
	}
	return negate(&In{same[0], same[1:]}, e.Not), nil
}

func (a *analyser) like(e *syntax.Like) (Expr, error) {
	list := []syntax.Expr{e.X, e.Pattern}
	if e.Escape != nil {
		list = append(list, e.Escape)
	}
	x, err := a.operator("like", e.At, list...)
	return negate(x, e.Not), err
}

func (a *analyser) caseExpr(e *syntax.Case) (Expr, error) {
	var operand Expr
	var err error
	if e.Operand != nil {
		if operand, err = a.expr(e.Operand); err != nil {
			return nil, err
		}
	}
	out := &Case{}
	var results []Expr
	var from []syntax.Expr
	for _, w := range e.Whens {
		cond, err := a.when(operand, e.Operand, w.Cond)
		if err != nil {
			return nil, err
		}
		then, err := a.branch(w.Then)
		if err != nil {
			return nil, err
		}
		out.Whens = append(out.Whens, When{Cond: cond})
		results, from = append(results, then), append(from, w.Then)
	}
	if e.Else != nil {
		otherwise, err := a.branch(e.Else)
		if err != nil {
			return nil, err
		}
		results, from = append(results, otherwise), append(from, e.Else)
	}
	return a.finishCase(out, results, from, e.Else != nil, "All CASE results must be the same type: %s")
}

// branch analyses what may not be evaluated.
func (a *analyser) branch(e syntax.Expr) (Expr, error) {
	a.guarded++
	defer func() { a.guarded-- }()
	return a.expr(e)
}

func (a *analyser) branches(list []syntax.Expr) ([]Expr, error) {
	a.guarded++
	defer func() { a.guarded-- }()
	return a.exprs(list)
}

// when is the condition of one branch.
func (a *analyser) when(operand Expr, operandAt, cond syntax.Expr) (Expr, error) {
	if operand == nil {
		return a.condition(cond, "CASE WHEN clause")
	}
	x, err := a.expr(cond)
	if err != nil {
		return nil, err
	}
	return a.scalar("=", cond.Pos(), []Expr{operand, x}, places([]syntax.Expr{operandAt, cond}))
}

// finishCase gives the branches of c their results; the last is ELSE if there is one.
func (a *analyser) finishCase(c *Case, results []Expr, from []syntax.Expr, hasElse bool, message string) (Expr, error) {
	same, t, ok, err := a.common(results, places(from))
	if err != nil {
		return nil, err
	}
	if !ok {
		for i := range results {
			if _, ok := fn.CommonType(results[0].Type(), results[i].Type()); !ok {
				return nil, errorAt(from[i].Pos(), message, results[0].Type())
			}
		}
		return nil, errorAt(from[0].Pos(), message, results[0].Type())
	}
	c.T = t
	for i := range c.Whens {
		c.Whens[i].Then = same[i]
	}
	if hasElse {
		c.Else = same[len(same)-1]
	}
	return c, nil
}

func (a *analyser) cast(e *syntax.Cast) (Expr, error) {
	x, err := a.expr(e.X)
	if err != nil {
		return nil, err
	}
	t, err := typeOf(e.Type)
	if err != nil {
		return nil, err
	}
	if x.Type().Equal(t) {
		return x, nil
	}
	if _, ok := fn.Cast(x.Type(), t, e.Try); !ok && x.Type().Kind != vec.Unknown {
		return nil, errorAt(e.At, "Cannot cast %s to %s", x.Type(), t)
	}
	if k, ok := x.(*Const); ok {
		a.want(k, t)
	}
	return &Cast{x, t, e.Try}, nil
}

// extractFields maps the fields of EXTRACT to functions.
var extractFields = map[string]string{
	"year": "year", "quarter": "quarter", "month": "month", "week": "week", "day": "day", "day_of_month": "day_of_month",
	"day_of_week": "day_of_week", "dow": "day_of_week", "day_of_year": "day_of_year", "doy": "day_of_year",
	"year_of_week": "year_of_week", "yow": "year_of_week", "hour": "hour", "minute": "minute", "second": "second",
}

func (a *analyser) extract(e *syntax.Extract) (Expr, error) {
	name, ok := extractFields[strings.ToLower(e.Field.Name)]
	if !ok {
		return nil, errorAt(e.Field.At, "Invalid EXTRACT field: %s", strings.ToUpper(e.Field.Name))
	}
	return a.operator(name, e.At, e.X)
}

func (a *analyser) keyword(e *syntax.KeywordCall) (Expr, error) {
	x, err := a.scalar(e.Name, e.At, nil, nil)
	if err != nil {
		return nil, errorAt(e.At, "%s is not supported", strings.ToUpper(e.Name))
	}
	return x, nil
}

// call analyses a function call of any kind.
func (a *analyser) call(e *syntax.Call) (Expr, error) {
	name := strings.ToLower(e.Name.Name)
	reg := a.env.Functions
	switch {
	case e.Over != nil:
		return a.window(e, name)
	case reg.IsAggregate(name):
		return a.aggregate(e, name)
	case reg.IsWindow(name):
		return nil, errorAt(e.At, "Window function %s requires an OVER clause", name)
	case e.Star, e.Distinct, e.Filter != nil, len(e.OrderBy) > 0:
		if !reg.IsScalar(name) {
			return nil, errorAt(e.At, "Function %s not registered", name)
		}
		return nil, errorAt(e.At, "%s is not an aggregate function: DISTINCT, ORDER BY, FILTER and * cannot be used with it", name)
	}
	switch name {
	case "if", "coalesce", "nullif", "try":
		return a.form(e, name)
	}
	args, err := a.arguments(e, name)
	if err != nil {
		return nil, err
	}
	if span, ok := monthsSpan(name, args); ok {
		return span, nil
	}
	x, err := a.scalar(name, e.At, args, places(e.Args))
	if err != nil {
		return nil, err
	}
	return a.finishLambdas(x.(*Call), e)
}

// monthsSpan evaluates parse_duration of a constant text of months or years here: its
// type is another than the function's (sql.md section 8.4).
func monthsSpan(name string, args []Expr) (Expr, bool) {
	if name != "parse_duration" || len(args) != 1 {
		return nil, false
	}
	c, ok := args[0].(*Const)
	if !ok || c.Value.Null || c.Value.Type.Kind != vec.Varchar {
		return nil, false
	}
	span, err := vec.ParseDuration(c.Value.Str)
	return &Const{span}, err == nil && span.Type.Kind == vec.IntervalYear
}

// form analyses the calls that do not evaluate all their arguments.
func (a *analyser) form(e *syntax.Call, name string) (Expr, error) {
	want := map[string][2]int{"if": {2, 3}, "coalesce": {2, math.MaxInt}, "nullif": {2, 2}, "try": {1, 1}}[name]
	if len(e.Args) < want[0] || len(e.Args) > want[1] {
		return nil, errorAt(e.At, "Invalid number of arguments for '%s' function", name)
	}
	switch name {
	case "if":
		cond, err := a.condition(e.Args[0], "IF condition")
		if err != nil {
			return nil, err
		}
		results, err := a.branches(e.Args[1:])
		if err != nil {
			return nil, err
		}
		return a.finishCase(&Case{Whens: []When{{Cond: cond}}}, results, e.Args[1:], len(results) == 2, "Result types for IF must be the same: %s")
	case "try":
		x, err := a.branch(e.Args[0])
		return &Try{x}, err
	}
	analyse := a.exprs
	if name == "coalesce" {
		analyse = a.branches
	}
	args, err := analyse(e.Args)
	if err != nil {
		return nil, err
	}
	if name == "nullif" {
		return a.nullif(e, args)
	}
	same, _, ok, err := a.common(args, places(e.Args))
	if err == nil && !ok {
		err = errorAt(e.At, "All COALESCE operands must be the same type: %s", args[0].Type())
	}
	return &Coalesce{same}, err
}

func (a *analyser) nullif(e *syntax.Call, args []Expr) (Expr, error) {
	same, _, ok, err := a.common(args, places(e.Args))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errorAt(e.At, "Types are not comparable with NULLIF: %s vs %s", args[0].Type(), args[1].Type())
	}
	eq, err := a.scalar("=", e.At, same, places(e.Args))
	if err != nil {
		return nil, err
	}
	t := args[0].Type()
	return &Case{Whens: []When{{eq, &Const{vec.Null(t)}}}, Else: args[0], T: t}, nil
}

// arguments analyses the arguments of a scalar function. Lambdas are typed once the others
// have told what their parameters are.
func (a *analyser) arguments(e *syntax.Call, name string) ([]Expr, error) {
	args := make([]Expr, len(e.Args))
	types := make([]vec.Type, len(e.Args))
	lambdas := false
	for i, arg := range e.Args {
		if l, ok := arg.(*syntax.Lambda); ok {
			lambdas = true
			types[i] = vec.Type{Kind: vec.Lambda, Fields: make([]vec.Field, len(l.Params))}
			continue
		}
		var err error
		if args[i], err = a.expr(arg); err != nil {
			return nil, err
		}
		types[i] = args[i].Type()
	}
	if !lambdas {
		return args, nil
	}
	params, err := a.env.Functions.LambdaParams(name, types)
	if err != nil {
		return nil, resolveError(e.At, err)
	}
	for i, arg := range e.Args {
		if l, ok := arg.(*syntax.Lambda); ok {
			if args[i], err = a.lambda(l, params[i]); err != nil {
				return nil, err
			}
		}
	}
	return args, nil
}

func (a *analyser) lambda(l *syntax.Lambda, params []vec.Type) (Expr, error) {
	if err := a.rejectAggregates(l.Body, "Lambda expression"); err != nil {
		return nil, err
	}
	inner := &scope{lambda: &lambdaScope{around: a.scope}}
	for i, p := range l.Params {
		inner.fields = append(inner.fields, field{name: p.Name, t: params[i]})
	}
	body := *a
	body.scope, body.aggs, body.windows, body.clause = inner, nil, nil, "Lambda expression"
	x, err := body.expr(l.Body)
	if err != nil {
		return nil, err
	}
	return &Lambda{Params: params, Captures: inner.lambda.captures, Body: x}, nil
}

// finishLambdas casts the bodies of lambdas to what the call wants.
func (a *analyser) finishLambdas(c *Call, e *syntax.Call) (Expr, error) {
	for i, arg := range c.Args {
		l, ok := arg.(*Lambda)
		if !ok || c.Call.Args[i].Elem == nil {
			continue
		}
		body, err := a.coerce(l.Body, *c.Call.Args[i].Elem, e.Args[i].Pos())
		if err != nil {
			return nil, err
		}
		c.Args[i] = &Lambda{l.Params, l.Captures, body}
	}
	return c, nil
}

// rejectAggregates refuses aggregates and window functions in a clause, as the
// service words it.
func (b *builder) rejectAggregates(e syntax.Expr, clause string) error {
	return b.rejectAggregatesIn(e, func() string { return clause })
}

func (b *builder) rejectAggregatesIn(e syntax.Expr, clause func() string) error {
	var found []string
	syntax.Walk(e, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Query:
			return false
		case *syntax.Call:
			if n.Over != nil || b.env.Functions.IsAggregate(n.Name.Name) {
				found = append(found, syntax.FormatExpr(n))
				return false
			}
		}
		return true
	})
	if found == nil {
		return nil
	}
	return errorAt(e.Pos(), "%s cannot contain aggregations, window functions or grouping operations: [%s]", clause(), strings.Join(found, ", "))
}

// subquery analyses a query that stands as a value.
func (a *analyser) subquery(e syntax.Expr) (Expr, error) {
	switch e := e.(type) {
	case *syntax.Exists:
		rel, f, err := a.nested(e.Query)
		if err != nil {
			return nil, err
		}
		return &Subquery{Kind: ExistsQuery, Plan: rel.node, Params: f.params, T: vec.BooleanType}, nil
	case *syntax.Subquery:
		rel, f, err := a.oneColumn(e.Query)
		if err != nil {
			return nil, err
		}
		return &Subquery{Kind: ScalarQuery, Plan: rel.node, Params: f.params, T: rel.fields[0].t}, nil
	case *syntax.Quantified:
		return a.quantified(e)
	}
	return nil, errorAt(e.Pos(), "This expression is not supported")
}

func (a *analyser) nested(q *syntax.Query) (*relation, *frame, error) {
	f := &frame{scope: a.scope}
	rel, err := a.query(q, f, a.with)
	return rel, f, err
}

func (a *analyser) oneColumn(q *syntax.Query) (*relation, *frame, error) {
	rel, f, err := a.nested(q)
	if err == nil && len(rel.fields) != 1 {
		err = errorAt(q.At, "Multiple columns returned by subquery are not yet supported. Found %d", len(rel.fields))
	}
	return rel, f, err
}

// inQuery is X IN (query), both sides cast to their common type.
func (a *analyser) inQuery(e *syntax.In) (Expr, error) {
	x, err := a.expr(e.X)
	if err != nil {
		return nil, err
	}
	rel, f, err := a.oneColumn(e.Query)
	if err != nil {
		return nil, err
	}
	t, ok := fn.CommonType(x.Type(), rel.fields[0].t)
	if !ok {
		return nil, errorAt(e.At, "value and result of subquery must be of the same type for IN expression: %s vs %s", x.Type(), rel.fields[0].t)
	}
	if x, err = a.coerce(x, t, e.X.Pos()); err != nil {
		return nil, err
	}
	op, err := a.env.Functions.Scalar("=", []vec.Type{t, t})
	if err != nil {
		return nil, resolveError(e.At, err)
	}
	node, err := a.castColumn(rel, t, e.Query.At)
	return &Subquery{Kind: InQuery, Plan: node, Params: f.params, X: x, Op: op, T: vec.BooleanType}, err
}

// castColumn is the one column of rel as type t.
func (a *analyser) castColumn(rel *relation, t vec.Type, at syntax.Pos) (Node, error) {
	if rel.fields[0].t.Equal(t) {
		return rel.node, nil
	}
	x, err := a.coerce(&Column{0, rel.fields[0].t}, t, at)
	return &Project{rel.node, []Expr{x}}, err
}

func (a *analyser) quantified(e *syntax.Quantified) (Expr, error) {
	x, err := a.expr(e.X)
	if err != nil {
		return nil, err
	}
	rel, f, err := a.oneColumn(e.Query)
	if err != nil {
		return nil, err
	}
	op, err := a.env.Functions.Scalar(e.Op.String(), []vec.Type{x.Type(), rel.fields[0].t})
	if err != nil {
		return nil, resolveError(e.At, err)
	}
	if x, err = a.coerce(x, op.Args[0], e.X.Pos()); err != nil {
		return nil, err
	}
	node, err := a.castColumn(rel, op.Args[1], e.Query.At)
	kind := AnyQuery
	if e.All {
		kind = AllQuery
	}
	return &Subquery{Kind: kind, Plan: node, Params: f.params, X: x, Op: op, T: vec.BooleanType}, err
}
