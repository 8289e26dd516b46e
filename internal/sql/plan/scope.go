package plan

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

// scope is the names that an expression sees, and how they become columns of the
// input that it is evaluated over.
type scope struct {
	fields []field    // column i of the input
	names  *nameIndex // of fields, or nil
	outer  *frame     // the subquery this scope is inside of, or nil
	lambda *lambdaScope

	// outputs is the select list, whose names come first in ORDER BY.
	outputs     []selectItem
	outputNames map[string][]int32 // of outputs, by folded name, once there are many
}

// nameIndex finds fields by name where there are many. It grows with the relation it belongs to, and may
// know more fields than a scope has.
type nameIndex struct {
	fields int                // that are in the maps
	plain  map[string][]int32 // by folded name
	of     map[string][]int32 // by folded relation, a NUL and folded name
}

// many is from how many names on an index pays.
const many = 32

// named returns the index of a relation's names, which it makes if there is none.
func (r *relation) named() *nameIndex {
	if r.names == nil {
		r.names = &nameIndex{}
	}
	return r.names
}

func (r *relation) scope(outer *frame) *scope {
	return &scope{fields: r.fields, names: r.named(), outer: outer}
}

// grow takes all of fields into the index, the first of which are there.
func (n *nameIndex) grow(fields []field) {
	if n.plain == nil {
		n.plain, n.of = map[string][]int32{}, map[string][]int32{}
	}
	for ; n.fields < len(fields); n.fields++ {
		f := &fields[n.fields]
		name, i := fold(f.name), int32(n.fields)
		n.plain[name] = append(n.plain[name], i)
		rel := fold(f.rel) + "\x00" + name
		n.of[rel] = append(n.of[rel], i)
	}
}

// fold returns a text that names share exactly if strings.EqualFold takes them for the same.
func fold(name string) string {
	upper := false
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return strings.Map(leastFold, name)
		}
		upper = upper || 'A' <= name[i] && name[i] <= 'Z'
	}
	if upper {
		return strings.Map(leastFold, name)
	}
	return name
}

// leastFold is the letter that stands for all that fold to each other: the lower case of ASCII.
func leastFold(r rune) rune {
	least := r
	for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
		least = min(least, x)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
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
		for _, i := range s.outputsNamed(r.Parts[0].Name) {
			item := &s.outputs[i]
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

// outputsNamed lists the output columns of that name, in any case.
func (s *scope) outputsNamed(name string) []int32 {
	if s.outputNames == nil {
		s.outputNames = make(map[string][]int32, len(s.outputs))
		for i := range s.outputs {
			key := fold(s.outputs[i].field.name)
			s.outputNames[key] = append(s.outputNames[key], int32(i))
		}
	}
	return s.outputNames[fold(name)]
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
		found, several := -1, false
		if s.names == nil || len(s.fields) < many {
			for i := range s.fields {
				found, several = s.matches(i, parts, exact == 1, found, several)
			}
		} else {
			for _, i := range s.named(parts) {
				if int(i) < len(s.fields) {
					found, several = s.matches(int(i), parts, exact == 1, found, several)
				}
			}
		}
		switch {
		case several:
			return -1, errorAt(r.At, "Column '%s' is ambiguous", dotted(parts))
		case found >= 0:
			return found, nil
		}
	}
	return -1, nil
}

// matches is one step of match: field i beside what was found.
func (s *scope) matches(i int, parts []syntax.Ident, exact bool, found int, several bool) (int, bool) {
	if !s.fields[i].is(parts, exact) {
		return found, several
	}
	return i, several || found >= 0
}

// named lists the fields that may be of that name, and perhaps more.
func (s *scope) named(parts []syntax.Ident) []int32 {
	s.names.grow(s.fields)
	last := len(parts) - 1
	name := fold(parts[last].Name)
	if last == 0 {
		return s.names.plain[name]
	}
	return s.names.of[fold(parts[last-1].Name)+"\x00"+name]
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
