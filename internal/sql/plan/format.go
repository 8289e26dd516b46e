package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Format returns the plan below n as an indented tree, one node a line, as EXPLAIN
// shows it. Columns are written by name above a scan as long as they keep one, else as #n.
func Format(n Node) string { return FormatWith(n, func(Node) string { return "" }) }

// FormatWith is Format with a note, such as what a node cost, behind each node.
func FormatWith(n Node, note func(Node) string) string {
	f := formatter{note: note, shared: map[*Shared]int{}}
	f.node(n, 0)
	return f.text.String()
}

type formatter struct {
	text   strings.Builder
	note   func(Node) string
	shared map[*Shared]int // by number, those that are written
}

func (f *formatter) node(n Node, depth int) {
	f.text.WriteString(strings.Repeat("  ", min(depth, maxIndent)))
	f.text.WriteString(describe(n))
	if s, ok := n.(*Shared); ok {
		at, again := f.shared[s]
		if !again {
			at = len(f.shared) + 1
			f.shared[s] = at
		}
		fmt.Fprintf(&f.text, " %d", at)
		if again {
			f.text.WriteString(", see above\n")
			return
		}
	}
	f.text.WriteString(f.note(n))
	f.text.WriteByte('\n')
	exprsOf(n, func(e Expr) {
		walkExpr(e, func(x Expr) bool {
			if s, ok := x.(*Subquery); ok {
				fmt.Fprintf(&f.text, "%s· subquery of %d parameters\n", strings.Repeat("  ", min(depth+1, maxIndent)), len(s.Params))
				f.node(s.Plan, depth+2)
			}
			return true
		})
	})
	for _, in := range Inputs(n) {
		f.node(in, depth+1)
	}
}

// maxIndent bounds what a plan of thousands of levels would take.
const maxIndent = 60

var joinNames = [...]string{"InnerJoin", "LeftJoin", "RightJoin", "FullJoin", "SemiJoin", "AntiJoin"}

func describe(n Node) string {
	switch n := n.(type) {
	case *Scan:
		return n.describe()
	case *Values:
		return fmt.Sprintf("Values %d rows", len(n.Rows))
	case *Filter:
		return "Filter " + FormatExpr(n.Cond, names(n.Input))
	case *Project:
		return "Project " + list(n.Exprs, names(n.Input))
	case *Join:
		return n.describe()
	case *Aggregate:
		return n.describe()
	case *Window:
		return n.describe()
	case *Sort:
		return "Sort " + keys(n.Keys, names(n.Input)) + asRead(n.Ordered)
	case *TopN:
		return fmt.Sprintf("TopN %d by %s%s", n.N, keys(n.Keys, names(n.Input)), asRead(n.Ordered))
	case *Limit:
		text := "Limit"
		if n.N >= 0 {
			text += fmt.Sprintf(" %d", n.N)
		}
		if n.Offset > 0 {
			text += fmt.Sprintf(" offset %d", n.Offset)
		}
		return text
	case *TimeSlices:
		order := "newest"
		if n.Ascending {
			order = "oldest"
		}
		return fmt.Sprintf("TimeSlices of %v, %s first, until %d rows", time.Duration(n.FirstNs), order, n.N)
	case *Distinct:
		return "Distinct"
	case *SetOp:
		text := [...]string{"Union", "Intersect", "Except"}[n.Kind]
		if n.All {
			text += "All"
		}
		return text
	case *Unnest:
		return "Unnest " + list(n.Exprs, names(n.Input))
	case *Shared:
		return "Shared"
	}
	return fmt.Sprintf("%T", n)
}

// asRead says that rows are asked for in the order that is needed.
func asRead(ordered bool) string {
	if ordered {
		return " as read"
	}
	return ""
}

func (n *Scan) describe() string {
	text := fmt.Sprintf("Scan %s.%s [%s]", n.Ref.Database, n.Ref.Table, strings.Join(n.Spec.Columns[:n.Output], ", "))
	if n.Spec.From >= n.Spec.To {
		return text + " nothing"
	}
	if n.Spec.From != storage.AllTime.From {
		text += " from " + timeText(n.Spec.From)
	}
	if n.Spec.To != storage.AllTime.To {
		text += " to " + timeText(n.Spec.To)
	}
	for i, f := range n.Filters {
		word := " and "
		if i == 0 {
			word = " where "
		}
		text += word + FormatExpr(f.Expr, n.Spec.Columns)
	}
	if n.Spec.NewestFirst {
		text += " newest"
	}
	for i, k := range n.Spec.Order {
		word := ", "
		if i == 0 {
			word = " in order "
		}
		text += word + k.Column
		if k.Desc {
			text += " DESC"
		}
		if k.NullsFirst {
			text += " NULLS FIRST"
		}
	}
	if t := n.Top; t != nil {
		text += " bounded by " + n.Spec.Columns[t.Column]
	}
	if n.Spec.Limit > 0 {
		text += fmt.Sprintf(" limit %d", n.Spec.Limit)
	}
	return text
}

func timeText(ns int64) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.999999999")
}

func (n *Join) describe() string {
	left, right := names(n.Left), names(n.Right)
	text := joinNames[n.Kind]
	for i := range n.LeftKeys {
		word := " and "
		if i == 0 {
			word = " on "
		}
		text += word + FormatExpr(n.LeftKeys[i], left) + " = " + FormatExpr(n.RightKeys[i], right)
	}
	if n.Residual != nil {
		text += " if " + FormatExpr(n.Residual, append(append([]string(nil), left...), right...))
	}
	if n.BuildLeft {
		text += " build left"
	}
	if n.Narrows != nil {
		text += " narrows " + n.Narrows.Column
	}
	return text
}

func (n *Aggregate) describe() string {
	in := names(n.Input)
	text := "Aggregate " + list(n.Keys, in)
	for _, a := range n.Aggs {
		text += " " + a.Call.Func.Name + "("
		if a.Distinct {
			text += "DISTINCT "
		}
		text += inner(a.Args, in)
		if len(a.Order) > 0 {
			text += " ORDER BY " + keys(a.Order, in)
		}
		text += ")"
		if a.Filter != nil {
			text += " FILTER " + FormatExpr(a.Filter, in)
		}
	}
	if n.Pushed != nil {
		text += " pushed down"
	}
	return text
}

func (n *Window) describe() string {
	in := names(n.Input)
	text := "Window partition " + list(n.Partition, in) + " order " + keys(n.Order, in) + asRead(n.Ordered)
	for _, c := range n.Calls {
		text += " " + c.Name + "(" + inner(c.Args, in) + ")"
	}
	return text
}

// names returns what to call the columns of n.
func names(n Node) []string {
	switch n := n.(type) {
	case *Scan:
		return n.Spec.Columns[:n.Output]
	case *Filter:
		return names(n.Input)
	case *Sort:
		return names(n.Input)
	case *TopN:
		return names(n.Input)
	case *Limit:
		return names(n.Input)
	case *TimeSlices:
		return names(n.Input)
	case *Distinct:
		return names(n.Input)
	case *Join:
		left := append([]string(nil), names(n.Left)...)
		if n.Kind == SemiJoin || n.Kind == AntiJoin {
			return left
		}
		return append(left, names(n.Right)...)
	case *Project:
		return namesOf(n.Exprs, names(n.Input), len(n.Exprs))
	case *Aggregate:
		return namesOf(n.Keys, names(n.Input), len(n.Keys)+len(n.Aggs))
	}
	return namesOf(nil, nil, Width(n))
}

func namesOf(exprs []Expr, in []string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("#%d", i)
		if i < len(exprs) {
			if c, ok := exprs[i].(*Column); ok {
				out[i] = in[c.Index]
			}
		}
	}
	return out
}

func list(exprs []Expr, in []string) string { return "[" + inner(exprs, in) + "]" }

func inner(exprs []Expr, in []string) string {
	texts := make([]string, len(exprs))
	for i, e := range exprs {
		texts[i] = FormatExpr(e, in)
	}
	return strings.Join(texts, ", ")
}

func keys(ks []SortKey, in []string) string {
	texts := make([]string, len(ks))
	for i, k := range ks {
		texts[i] = FormatExpr(k.Expr, in)
		if k.Desc {
			texts[i] += " DESC"
		}
		if k.NullsFirst {
			texts[i] += " NULLS FIRST"
		}
	}
	return strings.Join(texts, ", ")
}

// FormatExpr returns e as text over an input whose columns are called in.
func FormatExpr(e Expr, in []string) string {
	sub := func(x Expr) string { return FormatExpr(x, in) }
	switch e := e.(type) {
	case nil:
		return "NULL"
	case *Const:
		return constText(e.Value)
	case *Column:
		if e.Index < len(in) {
			return in[e.Index]
		}
		return fmt.Sprintf("#%d", e.Index)
	case *Param:
		return fmt.Sprintf("$%d", e.Index)
	case *Call:
		return callText(e, in)
	case *Cast:
		if e.Try {
			return "TRY_CAST(" + sub(e.X) + " AS " + e.To.String() + ")"
		}
		return "CAST(" + sub(e.X) + " AS " + e.To.String() + ")"
	case *And:
		return joined(e.Terms, " AND ", in)
	case *Or:
		return joined(e.Terms, " OR ", in)
	case *Not:
		return "NOT " + sub(e.X)
	case *IsNull:
		return sub(e.X) + " IS NULL"
	case *Case:
		text := "CASE"
		for _, w := range e.Whens {
			text += " WHEN " + sub(w.Cond) + " THEN " + sub(w.Then)
		}
		if e.Else != nil {
			text += " ELSE " + sub(e.Else)
		}
		return text + " END"
	case *Coalesce:
		return "COALESCE(" + inner(e.Args, in) + ")"
	case *Try:
		return "TRY(" + sub(e.X) + ")"
	case *In:
		return sub(e.X) + " IN (" + inner(e.List, in) + ")"
	case *Field:
		return sub(e.X) + "." + fmt.Sprint(e.Index)
	case *MakeArray:
		return "ARRAY" + list(e.Elems, in)
	case *MakeRow:
		return "ROW(" + inner(e.Elems, in) + ")"
	case *Lambda:
		return "lambda"
	case *Subquery:
		return [...]string{"scalar", "EXISTS", "IN", "ALL", "ANY"}[e.Kind] + " subquery"
	}
	return fmt.Sprintf("%T", e)
}

func joined(terms []Expr, op string, in []string) string {
	texts := make([]string, len(terms))
	for i, t := range terms {
		texts[i] = FormatExpr(t, in)
	}
	return "(" + strings.Join(texts, op) + ")"
}

func callText(e *Call, in []string) string {
	name := e.Call.Func.Name
	letter := name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z'
	switch {
	case name == "[]" && len(e.Args) == 2:
		return FormatExpr(e.Args[0], in) + "[" + FormatExpr(e.Args[1], in) + "]"
	case (!letter || name == "like" || name == "is distinct from") && len(e.Args) == 2:
		return "(" + FormatExpr(e.Args[0], in) + " " + strings.ToUpper(name) + " " + FormatExpr(e.Args[1], in) + ")"
	}
	return name + "(" + inner(e.Args, in) + ")"
}

func constText(v vec.Value) string {
	if v.Null {
		return "NULL"
	}
	switch v.Type.Kind {
	case vec.Varchar:
		return "'" + strings.ReplaceAll(v.Str, "'", "''") + "'"
	case vec.Timestamp, vec.Date, vec.Time, vec.IntervalDay, vec.IntervalYear:
		return v.Type.String() + " '" + v.String() + "'"
	}
	return v.String()
}
