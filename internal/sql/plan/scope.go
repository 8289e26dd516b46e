package plan

import (
	"strings"

	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// scope is the names that an expression sees, and how they become columns of the
// input that it is evaluated over.
type scope struct {
	fields []field // column i of the input
	outer  *frame  // the subquery this scope is inside of, or nil
	lambda *lambdaScope

	// outputs is the select list, whose names come first in ORDER BY.
	outputs []selectItem
}

// lambdaScope is the scope of a lambda's body: fields are the parameters, and names
// from around it are captured.
type lambdaScope struct {
	around   *scope
	captures []Expr // over around's input; column len(params)+i of the body's input
}

// resolve returns the expression that a name stands for, and the field if it is a
// plain column of this scope.
func (s *scope) resolve(r *syntax.Ref) (Expr, *field, error) {
	e, f, err := s.find(r)
	if err == nil && e == nil {
		err = errorAt(r.At, "Column '%s' does not exist", dotted(r.Parts))
	}
	return e, f, err
}

// find is resolve that returns nil for a name that is nowhere.
func (s *scope) find(r *syntax.Ref) (Expr, *field, error) {
	if len(r.Parts) == 1 && s.outputs != nil {
		e, err := s.output(r)
		if e != nil || err != nil {
			return e, nil, err
		}
	}
	i, rest, err := s.column(r)
	if err != nil {
		return nil, nil, err
	}
	if i >= 0 {
		var e Expr = &Column{i, s.fields[i].t}
		if len(rest) == 0 {
			return e, &s.fields[i], nil
		}
		e, err := fields(e, rest)
		return e, nil, err
	}
	switch {
	case s.lambda != nil:
		e, _, err := s.lambda.around.find(r)
		if e == nil || err != nil {
			return nil, nil, err
		}
		return s.capture(e), nil, nil
	case s.outer != nil:
		e, _, err := s.outer.scope.find(r)
		if e == nil || err != nil {
			return nil, nil, err
		}
		return s.outer.param(e), nil, nil
	}
	return nil, nil, nil
}

// output looks a name up among the output columns.
func (s *scope) output(r *syntax.Ref) (Expr, error) {
	var found Expr
	for exact := 1; exact >= 0 && found == nil; exact-- {
		for _, item := range s.outputs {
			if !nameMatches(item.field.name, r.Parts[0].Name, exact == 1) {
				continue
			}
			if found != nil && !Same(found, item.expr) {
				return nil, errorAt(r.At, "Column '%s' is ambiguous", r.Parts[0].Name)
			}
			found = item.expr
		}
	}
	return found, nil
}

// capture returns e, an expression around a lambda, as a column of its body's input.
func (s *scope) capture(e Expr) Expr {
	if _, ok := e.(*Param); ok {
		return e // the same everywhere in the plan
	}
	l := s.lambda
	for i, c := range l.captures {
		if Same(c, e) {
			return &Column{len(s.fields) + i, e.Type()}
		}
	}
	l.captures = append(l.captures, e)
	return &Column{len(s.fields) + len(l.captures) - 1, e.Type()}
}

// column finds the column that the first parts of a name are, or -1; rest is the
// parts behind it, fields of a row. Longer qualifications are tried first only where the
// name has that many parts: a.b is column b of relation a, else field b of column a.
func (s *scope) column(r *syntax.Ref) (i int, rest []syntax.Ident, err error) {
	parts := r.Parts
	for used := min(3, len(parts)); used >= 1; used-- {
		i, err := s.match(r, parts[:used])
		if i >= 0 && used < len(parts) && s.fields[i].t.Kind != vec.Row {
			continue // what follows is no field
		}
		if i >= 0 || err != nil {
			return i, parts[used:], err
		}
	}
	return -1, nil, nil
}

// match finds the column of the name [[database.]relation.]column: letter by letter, or
// else without case.
func (s *scope) match(r *syntax.Ref, parts []syntax.Ident) (int, error) {
	for exact := 1; exact >= 0; exact-- {
		found := -1
		for i := range s.fields {
			if !s.fields[i].is(parts, exact == 1) {
				continue
			}
			if found >= 0 {
				return -1, errorAt(r.At, "Column '%s' is ambiguous", dotted(parts))
			}
			found = i
		}
		if found >= 0 {
			return found, nil
		}
	}
	return -1, nil
}

func (f *field) is(parts []syntax.Ident, exact bool) bool {
	n := len(parts)
	if !nameMatches(f.name, parts[n-1].Name, exact) || n == 1 && f.hidden {
		return false
	}
	if n >= 2 && !nameMatches(f.rel, parts[n-2].Name, false) {
		return false
	}
	return n < 3 || nameMatches(f.database, parts[0].Name, exact)
}

func nameMatches(have, want string, exact bool) bool {
	if exact {
		return have == want && have != ""
	}
	return have != "" && strings.EqualFold(have, want)
}

// fields applies the names of row fields to e.
func fields(e Expr, names []syntax.Ident) (Expr, error) {
	for _, n := range names {
		var err error
		if e, err = fieldOf(e, n); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func fieldOf(e Expr, name syntax.Ident) (Expr, error) {
	t := e.Type()
	if t.Kind != vec.Row {
		return nil, errorAt(name.At, "Expression of type %s has no field '%s'", t, name.Name)
	}
	for exact := 1; exact >= 0; exact-- {
		for i, f := range t.Fields {
			if nameMatches(f.Name, name.Name, exact == 1) {
				return &Field{e, i}, nil
			}
		}
	}
	return nil, errorAt(name.At, "Column '%s' does not exist", name.Name)
}

func dotted(parts []syntax.Ident) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Name
	}
	return strings.Join(names, ".")
}
