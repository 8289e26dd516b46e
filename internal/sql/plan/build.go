package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// Env is what a plan is built against.
type Env struct {
	Catalog   Catalog
	Functions *fn.Registry
	Now       time.Time            // the start of the query: now(), ago() and their like
	Params    map[string]vec.Value // of @name, by name without the @
	Database  string               // of tables without a database in front; "": they have to have one
	Dialect   syntax.Dialect       // of the text: which forms of times a constant text may have

	// Disabled switches optimizer rules off by name (see [Rules]).
	Disabled map[string]bool
}

// Build analyses a query and plans it. Errors of the query are of kind fault.Invalid
// and say where: "line 1:8: …". Now and Params are constants of the plan.
func Build(q *syntax.Query, env Env) (*Query, error) {
	b := &builder{env: env, params: map[*Const]string{}, wanted: map[string]vec.Type{}}
	rel, err := b.query(q, nil, nil)
	if err != nil {
		return nil, err
	}
	out := &Query{Root: rel.node, Tables: b.tables, Columns: make([]OutputColumn, 0, len(rel.fields)), b: b}
	for i, f := range rel.fields {
		out.Columns = append(out.Columns, f.output(i))
	}
	out.Params = b.wanted
	optimize(out, b)
	return out, nil
}

// builder is the state of one Build.
type builder struct {
	env       Env
	tables    []TableRef
	depth     int
	relations relationCount       // of the FROM clause in hand
	guarded   int                 // how many TRY and branches of CASE and its like are around what is analysed
	changes   int                 // that optimizer rules made, to tell which of them did something
	params    map[*Const]string   // constants that stand for @name
	wanted    map[string]vec.Type // what they were coerced to first
}

// Bounds on one FROM clause. Each relation costs the executor an operator, and batches get wider by its
// columns; each USING makes a list of all columns so far.
const (
	maxRelations = 5_000
	maxUsing     = 250
)

// relationCount counts what a FROM clause has.
type relationCount struct{ all, using int }

// maxDepth bounds nesting of the analysis. The parser is stricter; this is for trees made by hand.
const maxDepth = 20_000

// enter guards recursion; the caller defers leave.
func (b *builder) enter(at syntax.Pos) error {
	if b.depth++; b.depth > maxDepth {
		return errorAt(at, "The query is nested too deeply")
	}
	return nil
}

func (b *builder) leave() { b.depth-- }

// errorAt returns an error of kind fault.Invalid that says where.
func errorAt(at syntax.Pos, format string, args ...any) error {
	return fault.New(fault.Invalid, "%s: %s", at, fmt.Sprintf(format, args...))
}

// relation is a node whose columns have names.
type relation struct {
	node   Node
	fields []field    // one per column of node
	names  *nameIndex // of fields, or nil; shared with the relations that it is the beginning of
}

// field is a named column.
type field struct {
	database string // of the table, when the relation goes by the table's name
	rel      string // alias or table name; empty: none
	name     string // empty: it cannot be named
	t        vec.Type
	// hidden columns are reached by a qualified name only (keys of USING).
	hidden  bool
	table   *TableRef // the table whose column it is unchanged, or nil
	aliased bool
}

// output is the result column that f makes at position i.
func (f *field) output(i int) OutputColumn {
	name := f.name
	if name == "" {
		name = fmt.Sprintf("_col%d", i)
	}
	out := OutputColumn{Name: name, Type: f.t, Aliased: f.aliased}
	if f.table != nil {
		out.Database, out.Table = f.table.Database, f.table.Table
	}
	return out
}

// with is the queries of WITH clauses in scope, innermost first.
type with struct {
	name  string // lower case
	cte   *cte
	outer *with
}

// cte is one analysed query of WITH. Each reference reads the same [Shared] node.
type cte struct {
	shared *Shared
	fields []field
	frame  *frame
}

func (w *with) lookup(name string) *cte {
	name = strings.ToLower(name)
	for ; w != nil; w = w.outer {
		if w.name == name {
			return w.cte
		}
	}
	return nil
}

// frame is one subquery that may be correlated: where it stands, and which values of
// that place it reads.
type frame struct {
	scope  *scope
	params []Expr // over scope's input
}

// param returns the parameter that stands for e, which is over the frame's place.
func (f *frame) param(e Expr) Expr {
	for i, p := range f.params {
		if Same(p, e) {
			return &Param{i, e.Type()}
		}
	}
	f.params = append(f.params, e)
	return &Param{len(f.params) - 1, e.Type()}
}
