package syntax

import "slices"

// Walk calls visit for n and then, if it returned true, for the nodes below n, parents first and
// from left to right. Visited are statements, bodies, relations, expressions, windows and type names, all of them
// pointers; items such as [SelectItem] or [SortItem] are passed over to what they hold.
// A nil n, also a typed nil, is not visited.
func Walk(n Node, visit func(Node) bool) {
	w := walker{visit: func(n Node, _ int) bool { return visit(n) }}
	w.node(n)
}

// walker is passed by value, so that height counts the nodes above.
type walker struct {
	visit  func(n Node, height int) bool
	height int
}

func (w walker) node(n Node) {
	if isNil(n) || !w.visit(n, w.height) {
		return
	}
	w.height++
	switch n := n.(type) {
	case Statement:
		w.statement(n)
	case Body:
		w.body(n)
	case Relation:
		w.relation(n)
	case Expr:
		w.expr(n)
	case *Window:
		w.exprs(n.Partition)
		w.sortItems(n.OrderBy)
		if n.Frame != nil {
			w.optional(n.Frame.Start.Offset)
			w.optional(n.Frame.End.Offset)
		}
	case *TypeName:
		w.typeName(n)
	}
}

// optional visits an expression that may be absent.
func (w walker) optional(e Expr) {
	if e != nil {
		w.node(e)
	}
}

func (w walker) exprs(list []Expr) {
	for _, e := range list {
		w.node(e)
	}
}

func (w walker) sortItems(list []SortItem) {
	for _, s := range list {
		w.node(s.Expr)
	}
}

func (w walker) statement(s Statement) {
	switch s := s.(type) {
	case *Query:
		for _, c := range s.With {
			w.node(c.Query)
		}
		w.node(s.Body)
		w.sortItems(s.OrderBy)
		w.node(s.Limit)
		w.node(s.Offset)
	case *ShowDatabases:
		w.node(s.Like)
	case *ShowTables:
		w.node(s.Like)
	case *ShowMeasures:
		w.node(s.Like)
	case *Unload:
		w.node(s.Query)
		w.node(s.To)
		for _, o := range s.Options {
			w.node(o.Value)
		}
	case *Explain:
		w.node(s.Query)
	case *Delete:
		w.optional(s.Where)
	}
}

func (w walker) body(b Body) {
	switch b := b.(type) {
	case *Select:
		for _, item := range b.Items {
			w.optional(item.Expr)
		}
		for _, r := range b.From {
			w.node(r)
		}
		w.optional(b.Where)
		if b.GroupBy != nil {
			for _, item := range b.GroupBy.Items {
				for _, set := range item.Sets {
					w.exprs(set)
				}
			}
		}
		w.optional(b.Having)
	case *Values:
		w.exprs(b.Rows)
	case *SetOp:
		// A chain is not walked by recursion: it is as long as the text allows.
		ops, left := []*SetOp{b}, b.Left
		for {
			op, ok := left.(*SetOp)
			if !ok {
				w.node(left)
				break
			}
			if !w.visit(op, w.height) {
				break
			}
			ops, left = append(ops, op), op.Left
		}
		for i := len(ops) - 1; i >= 0; i-- {
			w.node(ops[i].Right)
		}
	}
}

func (w walker) relation(r Relation) {
	switch r := r.(type) {
	case *DerivedTable:
		w.node(r.Query)
	case *Unnest:
		w.exprs(r.Exprs)
	case *Join:
		w.node(r.Left)
		w.node(r.Right)
		w.optional(r.On)
	case *Aliased:
		w.node(r.Rel)
	}
}

func (w walker) expr(e Expr) {
	switch e := e.(type) {
	case *FieldAccess:
		w.node(e.X)
	case *Subscript:
		w.node(e.X)
		w.node(e.Index)
	case *TypedLit:
		w.node(e.Type)
	case *ArrayExpr:
		w.exprs(e.Elems)
	case *RowExpr:
		w.exprs(e.Elems)
	case *Unary:
		w.node(e.X)
	case *Binary:
		w.binary(e)
	case *And:
		w.exprs(e.Terms)
	case *Or:
		w.exprs(e.Terms)
	case *Not:
		w.node(e.X)
	case *Between:
		w.node(e.X)
		w.node(e.Low)
		w.node(e.High)
	case *In:
		w.node(e.X)
		w.exprs(e.List)
		w.node(e.Query)
	case *Like:
		w.node(e.X)
		w.node(e.Pattern)
		w.optional(e.Escape)
	case *IsNull:
		w.node(e.X)
	case *IsDistinct:
		w.node(e.L)
		w.node(e.R)
	case *Quantified:
		w.node(e.X)
		w.node(e.Query)
	case *Exists:
		w.node(e.Query)
	case *Subquery:
		w.node(e.Query)
	case *Case:
		w.optional(e.Operand)
		for _, when := range e.Whens {
			w.node(when.Cond)
			w.node(when.Then)
		}
		w.optional(e.Else)
	case *Cast:
		w.node(e.X)
		w.node(e.Type)
	case *Extract:
		w.node(e.X)
	case *Call:
		w.exprs(e.Args)
		w.sortItems(e.OrderBy)
		w.optional(e.Filter)
		w.node(e.Over)
	case *Lambda:
		w.node(e.Body)
	}
}

// binary walks the operands of e. As with set operations, a chain of || is no deeper than one.
func (w walker) binary(e *Binary) {
	ops, left := []*Binary{e}, e.L
	for e.Op == Concat {
		op, ok := left.(*Binary)
		if !ok || op.Op != Concat {
			break
		}
		if !w.visit(op, w.height) {
			left = nil
			break
		}
		ops, left = append(ops, op), op.L
	}
	w.optional(left)
	for i := len(ops) - 1; i >= 0; i-- {
		w.node(ops[i].R)
	}
}

func (w walker) typeName(t *TypeName) {
	w.node(t.Elem)
	for _, f := range t.Fields {
		w.node(f.Type)
	}
}

// isNil reports whether n holds nothing: optional parts of the tree are pointers, which are not nil
// once they are a Node.
func isNil(n Node) bool {
	switch n := n.(type) {
	case nil:
		return true
	case *Query:
		return n == nil
	case *IntegerLit:
		return n == nil
	case *StringLit:
		return n == nil
	case *Window:
		return n == nil
	case *TypeName:
		return n == nil
	}
	return false
}

// Concats returns the operands of a chain of ||, first to last, and the place of each operator, if e is
// one; otherwise nil.
func Concats(e *Binary) (operands []Expr, at []Pos) {
	if e.Op != Concat {
		return nil, nil
	}
	for {
		operands, at = append(operands, e.R), append(at, e.At)
		left, ok := e.L.(*Binary)
		if !ok || left.Op != Concat {
			operands = append(operands, e.L)
			slices.Reverse(operands)
			slices.Reverse(at)
			return operands, at
		}
		e = left
	}
}

// Chain returns the set operations that s is the last of, first to last, and the body that the first
// of them begins with: of a UNION b UNION c, both operations and a.
func Chain(s *SetOp) (ops []*SetOp, first Body) {
	for {
		ops = append(ops, s)
		left, ok := s.Left.(*SetOp)
		if !ok {
			slices.Reverse(ops)
			return ops, s.Left
		}
		s = left
	}
}
