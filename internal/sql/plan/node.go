// Package plan turns a parsed query into a typed plan: names and types bound,
// coercions explicit, rules applied.
//
// [Build] analyses (every error carries the line and column of its cause) and then
// runs the list of optimizer rules; each rule has a name and can be switched off
// without a change in any answer. The result is a tree of [Node]s whose columns are
// numbered, which package exec runs. Constants, now() among them, are fixed when the
// plan is built, so a plan serves one execution.
package plan

import (
	"slices"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Node is an operator of the plan. Types are the types of its output columns.
type Node interface{ Types() []vec.Type }

type (
	// Scan reads a table. Its output is the first Output of Spec.Columns; the columns
	// after those serve Filters only.
	Scan struct {
		Ref     TableRef
		Table   storage.Table
		Spec    storage.ScanSpec // Where holds the Pred of each filter, in order
		Filters []Filtered
		Output  int
		Cols    []vec.Type     // of Spec.Columns
		Roles   []storage.Role // of Spec.Columns
		Top     *ScanTop       // or nil
	}

	// Values is constant rows; a SELECT without FROM is one row without columns.
	Values struct {
		Rows [][]Expr // evaluated without input (Params allowed)
		T    []vec.Type
	}

	// Filter keeps the rows for which Cond is true.
	Filter struct {
		Input Node
		Cond  Expr
	}

	// Project computes Exprs over each row.
	Project struct {
		Input Node
		Exprs []Expr
	}

	// Join combines two inputs. Output: the columns of Left, then of Right. LeftKeys[i]
	// = RightKeys[i] must hold (null keys never match), and Residual, over the columns
	// of both, must be true. Without keys every pair is tried.
	Join struct {
		Kind      JoinKind
		Left      Node
		Right     Node
		LeftKeys  []Expr
		RightKeys []Expr
		Residual  Expr       // or nil
		BuildLeft bool       // hash the left side; otherwise the right one
		Narrows   *Narrowing // or nil
	}

	// Aggregate groups. Output: the keys, then the aggregates. Without keys there is
	// exactly one group, also for no rows; with GlobalEmpty false and keys there is a
	// row per group.
	Aggregate struct {
		Input Node
		Keys  []Expr
		Aggs  []Agg
		// Pushed, if not nil, offers the grouping to Input, which is then a *Scan.
		Pushed *Pushdown
	}

	// Window computes functions over partitions. Output: the columns of Input, then
	// one per call. All calls of a node share Partition and Order.
	Window struct {
		Input     Node
		Partition []Expr
		Order     []SortKey
		Calls     []WindowCall

		Ordered bool // the scan below is asked for this order, by Partition and then Order
		Whole   bool // and rows of one partition are in one piece of it, if it is divided
	}

	// Sort orders rows; equal rows keep their order.
	Sort struct {
		Input   Node
		Keys    []SortKey
		Ordered bool // the scan below is asked for this order
	}

	// TopN is Sort and then Limit N.
	TopN struct {
		Input Node
		Keys  []SortKey
		N     int64

		Ordered bool // the scan below is asked for this order
	}

	// Limit skips Offset rows and passes at most N (N < 0: all).
	Limit struct {
		Input  Node
		N      int64
		Offset int64
	}

	// Distinct drops rows equal to an earlier one; nulls are equal.
	Distinct struct{ Input Node }

	// SetOp combines inputs of the same types, two or, for Union, more; nulls are equal.
	SetOp struct {
		Kind   SetKind
		All    bool
		Inputs []Node
		T      []vec.Type
	}

	// Unnest expands, for each input row, arrays and series into rows. Output: the
	// columns of Input, then per expression one column (array; one per field for an
	// array of rows) or two (time series: time, value), then the ordinality.
	Unnest struct {
		Input      Node
		Exprs      []Expr
		Ordinality bool
		// KeepEmpty keeps an input row whose arrays are all empty, with nulls (LEFT JOIN
		// UNNEST … ON true).
		KeepEmpty bool
	}

	// Shared is a subplan used in several places (a CTE). Nodes with the same *Shared
	// pointer run once and keep their rows.
	Shared struct{ Input Node }
)

// Filtered is a predicate of a scan in both forms: as storage may take it, and as the
// executor evaluates it over the scan's columns when storage does not.
type Filtered struct {
	Pred storage.Predicate
	Expr Expr
}

// Narrowing says that the scan on the side of a join that is not hashed, below filters and projections alone, need not read
// the series for whose Column the other side has no key number Key: rows without a match are not returned.
type Narrowing struct {
	Key    int
	Column string // a dimension or measure_name
}

// JoinKind is the kind of a join.
type JoinKind uint8

const (
	InnerJoin JoinKind = iota
	LeftJoin
	RightJoin
	FullJoin
	SemiJoin // rows of Left with a match; output: the columns of Left
	AntiJoin // rows of Left without a match; output: the columns of Left
)

// SetKind is the kind of a set operation.
type SetKind uint8

const (
	Union SetKind = iota
	Intersect
	Except
)

// Agg is one aggregate of an [Aggregate] node.
type Agg struct {
	Call     *fn.AggCall
	Args     []Expr // over the input, of Call.Args' types
	Distinct bool
	Filter   Expr      // FILTER (WHERE …), or nil
	Order    []SortKey // ORDER BY inside the call
}

// Pushdown is an aggregation offered to storage. If the scanner applies it, the
// executor reads its batches (keys, then states), evaluates Keys over the key columns to get
// the final groups, and merges the states of aggregate i, which start at column States[i], with
// fn.Merger.
type Pushdown struct {
	Spec   storage.Aggregation
	Keys   []Expr // one per key of the node, over the columns of the partial batch
	States []int
	Widths []int // number of state columns of each aggregate
}

// KeepsKeys reports whether rows of different keys of the partial batch are of different groups.
func (p *Pushdown) KeepsKeys() bool {
	for i := range p.Spec.Keys {
		if !slices.ContainsFunc(p.Keys, func(e Expr) bool { c, ok := e.(*Column); return ok && c.Index == i }) {
			return false
		}
	}
	return true
}

// SortKey is one key of an order. Nulls come last unless NullsFirst.
type SortKey struct {
	Expr       Expr
	Desc       bool
	NullsFirst bool
}

// WindowCall is one function of a [Window] node.
type WindowCall struct {
	Name        string      // of a window function, when Agg is nil
	Agg         *fn.AggCall // an aggregate over the frame
	Args        []Expr
	Filter      Expr // of an aggregate, or nil
	T           vec.Type
	IgnoreNulls bool
	Frame       Frame
}

// Frame is the rows of the partition that a window function looks at.
type Frame struct {
	Rows       bool // ROWS; otherwise RANGE
	Start, End Bound
}

// Bound is one end of a frame.
type Bound struct {
	Kind   BoundKind
	Offset Expr // for Preceding and Following
}

// BoundKind is the kind of a frame's end.
type BoundKind uint8

const (
	UnboundedPreceding BoundKind = iota
	Preceding
	CurrentRow
	Following
	UnboundedFollowing
)

// TableRef is a table that a query reads.
type TableRef struct{ Database, Table string }

// Column is one column of a query's result.
type OutputColumn struct {
	Name     string
	Type     vec.Type
	Database string // of the table column it is, unchanged; else empty (PrepareQuery)
	Table    string
	Aliased  bool
}

// Query is a planned query.
type Query struct {
	Root    Node
	Columns []OutputColumn // one per column of Root
	Tables  []TableRef     // every table read, once each, for authorization

	// Params is the types that the places want where the parameters of Env.Params of
	// unknown type stand, as far as they can be told (PrepareQuery).
	Params map[string]vec.Type

	// Rules is the names of the optimizer rules that changed the plan, in the order of their work.
	Rules []string

	b *builder // nil in a query that was not made by Build
}

// Catalog is what the planner asks about tables.
type Catalog interface {
	// Resolve returns the open table. The error is of kind fault.NotFound; MissingDatabase
	// says that the database is what is missing.
	Resolve(database, table string) (t storage.Table, missingDatabase bool, err error)
}

func (n *Scan) Types() []vec.Type    { return n.Cols[:n.Output] }
func (n *Values) Types() []vec.Type  { return n.T }
func (n *Filter) Types() []vec.Type  { return n.Input.Types() }
func (n *Project) Types() []vec.Type { return typesOf(n.Exprs) }
func (n *Join) Types() []vec.Type {
	if n.Kind == SemiJoin || n.Kind == AntiJoin {
		return n.Left.Types()
	}
	return appendTypes(make([]vec.Type, 0, Width(n)), n)
}
func (n *Aggregate) Types() []vec.Type {
	types := make([]vec.Type, 0, len(n.Keys)+len(n.Aggs))
	for _, k := range n.Keys {
		types = append(types, k.Type())
	}
	for _, a := range n.Aggs {
		types = append(types, a.Call.Return)
	}
	return types
}
func (n *Window) Types() []vec.Type {
	return appendTypes(make([]vec.Type, 0, Width(n)), n)
}
func (n *Sort) Types() []vec.Type     { return n.Input.Types() }
func (n *TopN) Types() []vec.Type     { return n.Input.Types() }
func (n *Limit) Types() []vec.Type    { return n.Input.Types() }
func (n *Distinct) Types() []vec.Type { return n.Input.Types() }
func (n *SetOp) Types() []vec.Type    { return n.T }
func (n *Unnest) Types() []vec.Type {
	return appendTypes(make([]vec.Type, 0, Width(n)), n)
}
func (n *Shared) Types() []vec.Type { return n.Input.Types() }

// appendTypes appends the types of n, without a copy per level of a chain of joins.
func appendTypes(dst []vec.Type, n Node) []vec.Type {
	switch n := n.(type) {
	case *Join:
		dst = appendTypes(dst, n.Left)
		if n.Kind == SemiJoin || n.Kind == AntiJoin {
			return dst
		}
		return appendTypes(dst, n.Right)
	case *Window:
		dst = appendTypes(dst, n.Input)
		for _, c := range n.Calls {
			dst = append(dst, c.T)
		}
		return dst
	case *Unnest:
		dst = appendTypes(dst, n.Input)
		for _, e := range n.Exprs {
			dst = append(dst, UnnestTypes(e.Type())...)
		}
		if n.Ordinality {
			dst = append(dst, vec.BigintType)
		}
		return dst
	}
	return append(dst, n.Types()...)
}

// Width is how many columns n has.
func Width(n Node) int {
	more := 0
	for {
		switch x := n.(type) {
		case *Scan:
			return more + x.Output
		case *Values:
			return more + len(x.T)
		case *Project:
			return more + len(x.Exprs)
		case *Aggregate:
			return more + len(x.Keys) + len(x.Aggs)
		case *SetOp:
			return more + len(x.T)
		case *Join:
			if x.Kind != SemiJoin && x.Kind != AntiJoin {
				more += Width(x.Right)
			}
			n = x.Left
		case *Window:
			more += len(x.Calls)
			n = x.Input
		case *Unnest:
			for _, e := range x.Exprs {
				more += len(UnnestTypes(e.Type()))
			}
			if x.Ordinality {
				more++
			}
			n = x.Input
		case *Filter:
			n = x.Input
		case *Sort:
			n = x.Input
		case *TopN:
			n = x.Input
		default:
			n = Inputs(n)[0]
		}
	}
}

// UnnestTypes returns the columns that a value of type t expands to.
func UnnestTypes(t vec.Type) []vec.Type {
	switch {
	case t.Kind == vec.TimeSeries:
		return []vec.Type{vec.TimestampType, *t.Elem}
	case t.Kind == vec.Array && t.Elem.Kind == vec.Row:
		var types []vec.Type
		for _, f := range t.Elem.Fields {
			types = append(types, f.Type)
		}
		return types
	case t.Kind == vec.Array:
		return []vec.Type{*t.Elem}
	}
	return nil
}

func typesOf(exprs []Expr) []vec.Type {
	types := make([]vec.Type, len(exprs))
	for i, e := range exprs {
		types[i] = e.Type()
	}
	return types
}
