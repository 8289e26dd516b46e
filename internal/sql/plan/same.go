package plan

import "github.com/weir-db/weir/internal/vec"

// Same reports whether a and b are the same expression, part by part: what GROUP BY
// matches the select list with. Two calls of a volatile function are not the same.
func Same(a, b Expr) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	switch a := a.(type) {
	case *Const:
		b, ok := b.(*Const)
		return ok && a.Value.Type.Equal(b.Value.Type) && vec.EqualValues(a.Value, b.Value)
	case *Column:
		b, ok := b.(*Column)
		return ok && a.Index == b.Index
	case *Param:
		b, ok := b.(*Param)
		return ok && a.Index == b.Index
	case *aggRef:
		b, ok := b.(*aggRef)
		return ok && a.index == b.index
	case *windowRef:
		b, ok := b.(*windowRef)
		return ok && a.index == b.index
	case *Call:
		b, ok := b.(*Call)
		return ok && a.Call.Func == b.Call.Func && !a.Call.Func.Volatile && a.Type().Equal(b.Type()) && sameAll(a.Args, b.Args)
	case *Cast:
		b, ok := b.(*Cast)
		return ok && a.Try == b.Try && a.To.Equal(b.To) && Same(a.X, b.X)
	case *And:
		b, ok := b.(*And)
		return ok && sameAll(a.Terms, b.Terms)
	case *Or:
		b, ok := b.(*Or)
		return ok && sameAll(a.Terms, b.Terms)
	case *Not:
		b, ok := b.(*Not)
		return ok && Same(a.X, b.X)
	case *IsNull:
		b, ok := b.(*IsNull)
		return ok && Same(a.X, b.X)
	case *Case:
		b, ok := b.(*Case)
		if !ok || len(a.Whens) != len(b.Whens) || !Same(a.Else, b.Else) {
			return false
		}
		for i, w := range a.Whens {
			if !Same(w.Cond, b.Whens[i].Cond) || !Same(w.Then, b.Whens[i].Then) {
				return false
			}
		}
		return true
	case *Coalesce:
		b, ok := b.(*Coalesce)
		return ok && sameAll(a.Args, b.Args)
	case *Try:
		b, ok := b.(*Try)
		return ok && Same(a.X, b.X)
	case *In:
		b, ok := b.(*In)
		return ok && Same(a.X, b.X) && sameAll(a.List, b.List)
	case *Field:
		b, ok := b.(*Field)
		return ok && a.Index == b.Index && Same(a.X, b.X)
	case *MakeArray:
		b, ok := b.(*MakeArray)
		return ok && a.T.Equal(b.T) && sameAll(a.Elems, b.Elems)
	case *MakeRow:
		b, ok := b.(*MakeRow)
		return ok && a.T.Equal(b.T) && sameAll(a.Elems, b.Elems)
	case *Lambda:
		b, ok := b.(*Lambda)
		return ok && len(a.Params) == len(b.Params) && sameAll(a.Captures, b.Captures) && Same(a.Body, b.Body)
	}
	return false // subqueries, unless the very same
}

func sameAll(a, b []Expr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Same(a[i], b[i]) {
			return false
		}
	}
	return true
}

// sameKeys is sameAll for orders.
func sameKeys(a, b []SortKey) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Desc != b[i].Desc || a[i].NullsFirst != b[i].NullsFirst || !Same(a[i].Expr, b[i].Expr) {
			return false
		}
	}
	return true
}
