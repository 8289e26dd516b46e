package syntax

import "fmt"

// Pos is a place in the text of a query. Line and column count from 1; columns are
// characters (code points), and only a line feed ends a line. The zero Pos is
// unknown, as in nodes made by hand.
type Pos struct{ Line, Col int }

// String returns the form that messages begin with: "line 1:8".
func (p Pos) String() string { return fmt.Sprintf("line %d:%d", p.Line, p.Col) }

// Node is any part of the tree that has a place.
type Node interface{ Pos() Pos }

// Statement is what Parse returns: [*Query], [*ShowDatabases], [*ShowTables],
// [*ShowMeasures], [*Describe], [*Unload], [*Explain] or [*Delete].
type Statement interface {
	Node
	statement()
}

// Body is what a query is made of before ORDER BY: [*Select], [*Values], [*SetOp], or a
// [*Query] in parentheses that has clauses of its own.
type Body interface {
	Node
	body()
}

// Relation is an item of FROM: [*TableRef], [*DerivedTable], [*Unnest], [*Join] or [*Aliased].
type Relation interface {
	Node
	relation()
}

// Expr is an expression.
type Expr interface {
	Node
	expr()
}

// Ident is a name as written, without its quotes. Its case is never folded. The zero Ident
// (an empty name) stands for an absent one; the parser refuses "".
type Ident struct {
	At     Pos
	Name   string
	Quoted bool
}

// TableName names a table, or a query of WITH when Database is absent.
type TableName struct {
	Database Ident // absent in an unqualified name
	Table    Ident
}

// ---- statements

type (
	// Query is a whole query, at the top, as a subquery or as a query of WITH.
	Query struct {
		At      Pos
		With    []CTE
		Body    Body
		OrderBy []SortItem
		Limit   *IntegerLit // nil: none (also LIMIT ALL)
		Offset  *IntegerLit // nil: none
	}

	// CTE is one named query of WITH.
	CTE struct {
		Name    Ident
		Columns []Ident // nil: the query's own names
		Query   *Query
	}

	// ShowDatabases is SHOW DATABASES [LIKE p].
	ShowDatabases struct {
		At   Pos
		Like *StringLit // or nil
	}

	// ShowTables is SHOW TABLES [FROM db] [LIKE p].
	ShowTables struct {
		At       Pos
		Database Ident      // absent: the tables of all databases
		Like     *StringLit // or nil
	}

	// ShowMeasures is SHOW MEASURES FROM db.t [LIKE p].
	ShowMeasures struct {
		At    Pos
		Table TableName
		Like  *StringLit // or nil
	}

	// Describe is DESCRIBE db.t.
	Describe struct {
		At    Pos
		Table TableName
	}

	// Unload is UNLOAD (query) TO 'uri' [WITH (option = value, …)].
	Unload struct {
		At      Pos
		Query   *Query
		To      *StringLit
		Options []Option // in the order written; names are not checked here
	}

	// Option is one name = value of UNLOAD. Value is usually a [*StringLit] or an [*ArrayExpr] of them.
	Option struct {
		Name  Ident
		Value Expr
	}

	// Delete is DELETE FROM db.t [WHERE cond], an addition of weir.
	Delete struct {
		At    Pos
		Table TableName
		Where Expr // nil: none
	}

	// Explain is EXPLAIN [ANALYZE] query, an addition of weir.
	Explain struct {
		At      Pos
		Analyze bool
		Query   *Query
	}
)

// ---- bodies of queries

type (
	// Select is one SELECT without ORDER BY and LIMIT.
	Select struct {
		At       Pos
		Distinct bool
		Items    []SelectItem
		From     []Relation // joined crosswise; empty: one row without columns
		Where    Expr       // or nil
		GroupBy  *GroupBy   // or nil
		Having   Expr       // or nil
	}

	// SelectItem is one item of the select list: an expression with an alias or
	// without, or a star.
	SelectItem struct {
		At        Pos
		Star      bool    // * or qualifier.*
		Qualifier []Ident // of a star: one name or two (database, table); empty for a plain *
		Expr      Expr    // nil for a star
		Alias     Ident   // absent if there is none
	}

	// GroupBy is the GROUP BY clause. Every Item stands for one or more sets of expressions; grouping is by
	// the cross product of the items' sets.
	GroupBy struct {
		At       Pos
		Distinct bool // GROUP BY DISTINCT: equal sets count once
		Items    []GroupItem
	}

	// GroupItem is one item of GROUP BY. A plain expression, an ordinal included, is the kind [GroupPlain]
	// with one set of one; (a, b) is one set of two, () is one empty set. For ROLLUP and CUBE each
	// set is one unit of the list (usually a single expression); for GROUPING SETS the sets are as listed.
	GroupItem struct {
		At   Pos
		Kind GroupKind
		Sets [][]Expr
	}

	// SortItem is one key of ORDER BY.
	SortItem struct {
		Expr  Expr
		Desc  bool
		Nulls NullOrder
	}

	// Values is VALUES row, …. A row of several columns is a [*RowExpr]; any other
	// expression is a row of one column.
	Values struct {
		At   Pos
		Rows []Expr
	}

	// SetOp combines two bodies. At is the operator's place.
	SetOp struct {
		At    Pos
		Op    SetOperator
		All   bool
		Left  Body
		Right Body
	}
)

// GroupKind is the kind of a [GroupItem].
type GroupKind uint8

const (
	GroupPlain GroupKind = iota
	GroupRollup
	GroupCube
	GroupSets
)

// NullOrder says where nulls go in an order.
type NullOrder uint8

const (
	NullsDefault NullOrder = iota // last, both for ASC and DESC
	NullsFirst
	NullsLast
)

// SetOperator is UNION, EXCEPT or INTERSECT.
type SetOperator uint8

const (
	Union SetOperator = iota
	Except
	Intersect
)

// String returns the operator in SQL.
func (o SetOperator) String() string { return [...]string{"UNION", "EXCEPT", "INTERSECT"}[o] }

// ---- relations

type (
	// TableRef is a table or a query of WITH by name.
	TableRef struct {
		At   Pos
		Name TableName
	}

	// DerivedTable is a query in FROM.
	DerivedTable struct {
		At    Pos
		Query *Query
	}

	// Unnest is UNNEST(e, …) [WITH ORDINALITY].
	Unnest struct {
		At         Pos
		Exprs      []Expr
		Ordinality bool
	}

	// Join combines two relations. Except for CrossJoin it has either On or Using.
	Join struct {
		At    Pos
		Kind  JoinKind
		Left  Relation
		Right Relation
		On    Expr    // or nil
		Using []Ident // or nil
	}

	// Aliased gives a relation a name and, with Columns, its columns new names.
	Aliased struct {
		At      Pos
		Rel     Relation
		Alias   Ident
		Columns []Ident // or nil
	}
)

// JoinKind is the kind of a join.
type JoinKind uint8

const (
	CrossJoin JoinKind = iota
	InnerJoin
	LeftJoin
	RightJoin
	FullJoin
)

// String returns the kind in SQL, with the word JOIN.
func (k JoinKind) String() string {
	return [...]string{"CROSS JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"}[k]
}

// ---- expressions: names and literals

type (
	// Ref is a name or a dotted name: column, alias.column, database.table.column, and
	// each of them with fields of a row behind it. The planner decides which it is.
	// measure_value::double is one part, spelled with a lower-case type.
	Ref struct {
		At    Pos
		Parts []Ident // one or more
	}

	// FieldAccess is a field of a row that is not a mere name: f(x).time, a[1].b, (r).b.
	FieldAccess struct {
		At    Pos
		X     Expr
		Field Ident
	}

	// Subscript is X[Index].
	Subscript struct {
		At    Pos
		X     Expr
		Index Expr
	}

	// Param is @name; Name comes without the @.
	Param struct {
		At   Pos
		Name string
	}

	// IntegerLit is digits. It is an integer if it fits 32 bits, else a bigint; what
	// exceeds 64 bits is refused by the parser. Value is negative only for the
	// least bigint, whose digits fit no other way.
	IntegerLit struct {
		At    Pos
		Value int64
	}

	// DoubleLit is a number with a point or an exponent; Value is finite and not negative.
	DoubleLit struct {
		At    Pos
		Value float64
	}

	// StringLit is '…' or U&'…', decoded.
	StringLit struct {
		At    Pos
		Value string
	}

	// BooleanLit is TRUE or FALSE.
	BooleanLit struct {
		At    Pos
		Value bool
	}

	// NullLit is NULL.
	NullLit struct{ At Pos }

	// TypedLit is TYPE 'text', as TIMESTAMP '2031-02-03'. Neither the type nor the text is
	// checked here.
	TypedLit struct {
		At   Pos
		Type *TypeName // a plain name
		Text string
	}

	// DurationLit is a number with a unit glued to it: 15m. See [DurationLit.Span].
	DurationLit struct {
		At    Pos
		Count int64
		Unit  Unit // never Week
	}

	// IntervalLit is INTERVAL [-] 'text' unit [TO unit]. See [IntervalLit.Span].
	IntervalLit struct {
		At       Pos
		Negative bool
		Text     string
		From     Unit
		To       Unit // NoUnit without TO
	}

	// ArrayExpr is ARRAY[…].
	ArrayExpr struct {
		At    Pos
		Elems []Expr
	}

	// RowExpr is ROW(…), or (a, b, …) with at least two elements.
	RowExpr struct {
		At    Pos
		Elems []Expr
	}
)

// ---- expressions: operators and predicates

type (
	// Unary is - or + before an operand.
	Unary struct {
		At Pos
		Op Op // Sub or Add
		X  Expr
	}

	// Binary is arithmetic, concatenation or a comparison. At is the operator's place.
	Binary struct {
		At   Pos
		Op   Op
		L, R Expr
	}

	// And is a chain of at least two terms; At is the place of the first AND.
	And struct {
		At    Pos
		Terms []Expr
	}

	// Or is a chain of at least two terms; At is the place of the first OR.
	Or struct {
		At    Pos
		Terms []Expr
	}

	// Not is NOT X. The NOT inside of NOT IN and its like is a flag there.
	Not struct {
		At Pos
		X  Expr
	}

	// Between is X [NOT] BETWEEN Low AND High.
	Between struct {
		At        Pos
		Not       bool
		X         Expr
		Low, High Expr
	}

	// In is X [NOT] IN (list) or X [NOT] IN (query).
	In struct {
		At    Pos
		Not   bool
		X     Expr
		List  []Expr // nil with Query
		Query *Query // nil with List
	}

	// Like is X [NOT] LIKE Pattern [ESCAPE Escape].
	Like struct {
		At      Pos
		Not     bool
		X       Expr
		Pattern Expr
		Escape  Expr // or nil
	}

	// IsNull is X IS [NOT] NULL.
	IsNull struct {
		At  Pos
		Not bool
		X   Expr
	}

	// IsDistinct is L IS [NOT] DISTINCT FROM R.
	IsDistinct struct {
		At   Pos
		Not  bool
		L, R Expr
	}

	// Quantified is X op ALL (query), or with ANY or SOME, which mean the same.
	Quantified struct {
		At    Pos
		Op    Op // a comparison
		X     Expr
		All   bool // otherwise ANY
		Query *Query
	}

	// Exists is EXISTS (query).
	Exists struct {
		At    Pos
		Query *Query
	}

	// Subquery is a query used as one value.
	Subquery struct {
		At    Pos
		Query *Query
	}
)

// Op is an operator of [Unary], [Binary] or [Quantified].
type Op uint8

const (
	Add    Op = iota // +
	Sub              // -
	Mul              // *
	Div              // /
	Mod              // %
	Concat           // ||
	Eq               // =
	Ne               // <>
	Lt               // <
	Le               // <=
	Gt               // >
	Ge               // >=
)

// String returns the operator in SQL, as messages show it.
func (o Op) String() string {
	return [...]string{"+", "-", "*", "/", "%", "||", "=", "<>", "<", "<=", ">", ">="}[o]
}

// IsComparison reports whether o compares.
func (o Op) IsComparison() bool { return o >= Eq }

// ---- expressions: calls and forms with keywords

type (
	// Case is CASE [Operand] WHEN … THEN … [ELSE …] END.
	Case struct {
		At      Pos
		Operand Expr // nil in the searched form
		Whens   []When
		Else    Expr // or nil
	}

	// When is one branch of a [Case]; Cond is a value to compare in the simple form.
	When struct{ Cond, Then Expr }

	// Cast is CAST(X AS Type) or TRY_CAST.
	Cast struct {
		At   Pos
		Try  bool
		X    Expr
		Type *TypeName
	}

	// Extract is EXTRACT(Field FROM X). Field is any word; the planner knows which exist.
	Extract struct {
		At    Pos
		Field Ident
		X     Expr
	}

	// Call is a function call: scalar, aggregate or window function.
	Call struct {
		At       Pos
		Name     Ident // functions are looked up without case
		Args     []Expr
		Star     bool // f(*), without Args
		Distinct bool
		OrderBy  []SortItem    // inside the parentheses
		Filter   Expr          // FILTER (WHERE …), or nil
		Nulls    NullTreatment // only with Over
		Over     *Window       // or nil
	}

	// KeywordCall is a function called without parentheses. Name is current_date, current_time,
	// current_timestamp, current_user, localtime or localtimestamp.
	KeywordCall struct {
		At   Pos
		Name string
	}

	// Lambda is x -> Body or (a, b) -> Body.
	Lambda struct {
		At     Pos
		Params []Ident
		Body   Expr
	}

	// Window is what stands in OVER (…).
	Window struct {
		At        Pos
		Partition []Expr
		OrderBy   []SortItem
		Frame     *Frame // nil: RANGE UNBOUNDED PRECEDING
	}

	// Frame is the frame of a [Window]. A single bound in the text is Start, with
	// CURRENT ROW for End.
	Frame struct {
		At         Pos
		Rows       bool // ROWS; otherwise RANGE
		Start, End Bound
	}

	// Bound is one end of a [Frame].
	Bound struct {
		Kind   BoundKind
		Offset Expr // for Preceding and Following, else nil
	}
)

// NullTreatment says what a window function does with nulls.
type NullTreatment uint8

const (
	NullsUnsaid NullTreatment = iota // as RESPECT NULLS
	RespectNulls
	IgnoreNulls
)

// BoundKind is the kind of a frame's end.
type BoundKind uint8

const (
	UnboundedPreceding BoundKind = iota
	Preceding
	CurrentRow
	Following
	UnboundedFollowing
)

// TypeName is a type as written in CAST. Name is in lower case, the words of multi-word
// names joined by single blanks ("interval day to second"); "double precision" is "double",
// "int" stays. Which names are types is for the planner to say.
type TypeName struct {
	At     Pos
	Name   string
	Length *int64      // of varchar(n) and its like; nil without
	Elem   *TypeName   // of array(T), array<T> and timeseries(T)
	Fields []TypeField // of row(…)
}

// TypeField is a field of a row type; Name may be absent.
type TypeField struct {
	Name Ident
	Type *TypeName
}

func (n *Query) Pos() Pos         { return n.At }
func (n *ShowDatabases) Pos() Pos { return n.At }
func (n *ShowTables) Pos() Pos    { return n.At }
func (n *ShowMeasures) Pos() Pos  { return n.At }
func (n *Describe) Pos() Pos      { return n.At }
func (n *Unload) Pos() Pos        { return n.At }
func (n *Delete) Pos() Pos        { return n.At }
func (n *Explain) Pos() Pos       { return n.At }

func (n *Select) Pos() Pos    { return n.At }
func (n SelectItem) Pos() Pos { return n.At }
func (n *GroupBy) Pos() Pos   { return n.At }
func (n GroupItem) Pos() Pos  { return n.At }
func (n *Values) Pos() Pos    { return n.At }
func (n *SetOp) Pos() Pos     { return n.At }

func (n Ident) Pos() Pos { return n.At }
func (n TableName) Pos() Pos {
	if n.Database.Name != "" {
		return n.Database.At
	}
	return n.Table.At
}
func (n *TableRef) Pos() Pos     { return n.At }
func (n *DerivedTable) Pos() Pos { return n.At }
func (n *Unnest) Pos() Pos       { return n.At }
func (n *Join) Pos() Pos         { return n.At }
func (n *Aliased) Pos() Pos      { return n.At }

func (n *Ref) Pos() Pos         { return n.At }
func (n *FieldAccess) Pos() Pos { return n.At }
func (n *Subscript) Pos() Pos   { return n.At }
func (n *Param) Pos() Pos       { return n.At }
func (n *IntegerLit) Pos() Pos  { return n.At }
func (n *DoubleLit) Pos() Pos   { return n.At }
func (n *StringLit) Pos() Pos   { return n.At }
func (n *BooleanLit) Pos() Pos  { return n.At }
func (n *NullLit) Pos() Pos     { return n.At }
func (n *TypedLit) Pos() Pos    { return n.At }
func (n *DurationLit) Pos() Pos { return n.At }
func (n *IntervalLit) Pos() Pos { return n.At }
func (n *ArrayExpr) Pos() Pos   { return n.At }
func (n *RowExpr) Pos() Pos     { return n.At }
func (n *Unary) Pos() Pos       { return n.At }
func (n *Binary) Pos() Pos      { return n.At }
func (n *And) Pos() Pos         { return n.At }
func (n *Or) Pos() Pos          { return n.At }
func (n *Not) Pos() Pos         { return n.At }
func (n *Between) Pos() Pos     { return n.At }
func (n *In) Pos() Pos          { return n.At }
func (n *Like) Pos() Pos        { return n.At }
func (n *IsNull) Pos() Pos      { return n.At }
func (n *IsDistinct) Pos() Pos  { return n.At }
func (n *Quantified) Pos() Pos  { return n.At }
func (n *Exists) Pos() Pos      { return n.At }
func (n *Subquery) Pos() Pos    { return n.At }
func (n *Case) Pos() Pos        { return n.At }
func (n *Cast) Pos() Pos        { return n.At }
func (n *Extract) Pos() Pos     { return n.At }
func (n *Call) Pos() Pos        { return n.At }
func (n *KeywordCall) Pos() Pos { return n.At }
func (n *Lambda) Pos() Pos      { return n.At }
func (n *Window) Pos() Pos      { return n.At }
func (n *Frame) Pos() Pos       { return n.At }
func (n *TypeName) Pos() Pos    { return n.At }

func (*Query) statement()         {}
func (*ShowDatabases) statement() {}
func (*ShowTables) statement()    {}
func (*ShowMeasures) statement()  {}
func (*Describe) statement()      {}
func (*Unload) statement()        {}
func (*Delete) statement()        {}
func (*Explain) statement()       {}

func (*Query) body()  {}
func (*Select) body() {}
func (*Values) body() {}
func (*SetOp) body()  {}

func (*TableRef) relation()     {}
func (*DerivedTable) relation() {}
func (*Unnest) relation()       {}
func (*Join) relation()         {}
func (*Aliased) relation()      {}

func (*Ref) expr()         {}
func (*FieldAccess) expr() {}
func (*Subscript) expr()   {}
func (*Param) expr()       {}
func (*IntegerLit) expr()  {}
func (*DoubleLit) expr()   {}
func (*StringLit) expr()   {}
func (*BooleanLit) expr()  {}
func (*NullLit) expr()     {}
func (*TypedLit) expr()    {}
func (*DurationLit) expr() {}
func (*IntervalLit) expr() {}
func (*ArrayExpr) expr()   {}
func (*RowExpr) expr()     {}
func (*Unary) expr()       {}
func (*Binary) expr()      {}
func (*And) expr()         {}
func (*Or) expr()          {}
func (*Not) expr()         {}
func (*Between) expr()     {}
func (*In) expr()          {}
func (*Like) expr()        {}
func (*IsNull) expr()      {}
func (*IsDistinct) expr()  {}
func (*Quantified) expr()  {}
func (*Exists) expr()      {}
func (*Subquery) expr()    {}
func (*Case) expr()        {}
func (*Cast) expr()        {}
func (*Extract) expr()     {}
func (*Call) expr()        {}
func (*KeywordCall) expr() {}
func (*Lambda) expr()      {}
