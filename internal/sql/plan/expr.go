package plan

import (
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/vec"
)

// Expr is a typed expression over the columns of one input. All coercions are
// explicit [Cast]s; names are gone.
type Expr interface{ Type() vec.Type }

type (
	// Const is a literal, or a part of the query folded at planning time.
	Const struct{ Value vec.Value }

	// Column is column Index of the input.
	Column struct {
		Index int
		T     vec.Type
	}

	// Param is value Index of the parameters of the enclosing [Subquery], which is how
	// a correlated subquery sees the row outside.
	Param struct {
		Index int
		T     vec.Type
	}

	// Call applies a scalar function or operator. Lambda arguments are [*Lambda].
	Call struct {
		Call *fn.Call
		Args []Expr
	}

	// Cast converts; with Try, what cannot be cast is null.
	Cast struct {
		X   Expr
		To  vec.Type
		Try bool
	}

	// And is the conjunction of at least two terms, in three-valued logic. A term is
	// not evaluated for rows that an earlier term made false.
	And struct{ Terms []Expr }

	// Or is the disjunction; a term is not evaluated for rows already true.
	Or struct{ Terms []Expr }

	// Not negates.
	Not struct{ X Expr }

	// IsNull is never null itself.
	IsNull struct{ X Expr }

	// Case is the searched form; simple CASE, IF and NULLIF are rewritten to it. Only
	// the chosen branch of a row is evaluated. Else is nil for null.
	Case struct {
		Whens []When
		Else  Expr
		T     vec.Type
	}

	// Coalesce is the first non-null of Args, which share one type; later ones are
	// evaluated only for rows that need them.
	Coalesce struct{ Args []Expr }

	// Try is X, or null where X fails.
	Try struct{ X Expr }

	// In compares X with a list of the same type.
	In struct {
		X    Expr
		List []Expr
	}

	// Field is field Index of a row value.
	Field struct {
		X     Expr
		Index int
	}

	// MakeArray and MakeRow construct nested values.
	MakeArray struct {
		Elems []Expr
		T     vec.Type
	}
	MakeRow struct {
		Elems []Expr
		T     vec.Type
	}

	// Lambda is a function argument. Body's input is the parameters, then Captures
	// evaluated over the caller's input.
	Lambda struct {
		Params   []vec.Type
		Captures []Expr
		Body     Expr
	}

	// Subquery runs a plan and looks at its rows. Params are evaluated over the
	// current input and bound to the plan's [Param]s; without any, the plan runs once.
	Subquery struct {
		Kind   SubqueryKind
		Plan   Node
		Params []Expr
		X      Expr     // InQuery, AllQuery, AnyQuery: the left operand, cast to the column's type
		Op     *fn.Call // AllQuery, AnyQuery: the comparison, (X, column) -> boolean; InQuery: =
		T      vec.Type
	}
)

// When is one branch of a [Case].
type When struct{ Cond, Then Expr }

// SubqueryKind says how a [Subquery]'s rows become a value.
type SubqueryKind uint8

const (
	ScalarQuery SubqueryKind = iota // the one value; null for no row; more rows are an error
	ExistsQuery                     // whether there is a row
	InQuery                         // X IN (rows)
	AllQuery                        // X op ALL (rows)
	AnyQuery                        // X op ANY (rows)
)

func (e *Const) Type() vec.Type     { return e.Value.Type }
func (e *Column) Type() vec.Type    { return e.T }
func (e *Param) Type() vec.Type     { return e.T }
func (e *Call) Type() vec.Type      { return e.Call.Return }
func (e *Cast) Type() vec.Type      { return e.To }
func (e *And) Type() vec.Type       { return vec.BooleanType }
func (e *Or) Type() vec.Type        { return vec.BooleanType }
func (e *Not) Type() vec.Type       { return vec.BooleanType }
func (e *IsNull) Type() vec.Type    { return vec.BooleanType }
func (e *Case) Type() vec.Type      { return e.T }
func (e *Coalesce) Type() vec.Type  { return e.Args[0].Type() }
func (e *Try) Type() vec.Type       { return e.X.Type() }
func (e *In) Type() vec.Type        { return vec.BooleanType }
func (e *Field) Type() vec.Type     { return e.X.Type().Fields[e.Index].Type }
func (e *MakeArray) Type() vec.Type { return e.T }
func (e *MakeRow) Type() vec.Type   { return e.T }
func (e *Lambda) Type() vec.Type {
	t := e.Body.Type()
	lambda := vec.Type{Kind: vec.Lambda, Elem: &t}
	for _, p := range e.Params {
		lambda.Fields = append(lambda.Fields, vec.Field{Type: p})
	}
	return lambda
}
func (e *Subquery) Type() vec.Type { return e.T }
