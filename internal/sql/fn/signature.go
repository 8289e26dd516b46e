package fn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// signature is a parsed Scalar.Signature or Aggregate.Signature.
type signature struct {
	name     string
	params   []pattern
	variadic bool // the last parameter repeats, zero times included
	result   pattern
}

// pattern is a type with variables in it.
type pattern struct {
	variable byte     // from firstVariable on; 0 for a concrete type
	t        vec.Type // the concrete type; of nested patterns only its Kind counts
	elems    []pattern
	names    []string // of the fields of a row
}

// Variables are the letters R to X. There are few because the types of all of them are cleared for every overload that
// a call is compared with.
const (
	firstVariable = 'R'
	lastVariable  = 'X'
)

// bindings holds the type of each variable; the zero Kind (unknown) with set false
// means not bound.
type bindings [lastVariable - firstVariable + 1]struct {
	t   vec.Type
	set bool
}

var typeNames = map[string]vec.Type{
	"boolean": vec.BooleanType, "integer": vec.IntegerType, "bigint": vec.BigintType, "double": vec.DoubleType,
	"varchar": vec.VarcharType, "timestamp": vec.TimestampType, "date": vec.DateType, "time": vec.TimeType,
	"interval day to second": vec.IntervalDayType, "interval year to month": vec.IntervalYearType, "unknown": vec.UnknownType,
}

// parseSignature reads text as the package comment describes it. "point(T)" stands for
// row(time timestamp, value T), the element of a series that lambdas see.
func parseSignature(text string) (*signature, error) {
	head, result, ok := strings.Cut(text, " -> ")
	open := strings.IndexByte(head, '(')
	if !ok || open <= 0 || !strings.HasSuffix(head, ")") {
		return nil, fmt.Errorf("signature %q is not name(types) -> type", text)
	}
	s := &signature{name: head[:open]}
	for _, p := range splitTypes(head[open+1 : len(head)-1]) {
		p, repeats := strings.CutSuffix(p, "...")
		if s.variadic {
			return nil, fmt.Errorf("signature %q repeats a parameter that is not the last", text)
		}
		s.variadic = repeats
		pat, err := parsePattern(p)
		if err != nil {
			return nil, fmt.Errorf("signature %q: %w", text, err)
		}
		s.params = append(s.params, pat)
	}
	var err error
	if s.result, err = parsePattern(result); err != nil {
		return nil, fmt.Errorf("signature %q: %w", text, err)
	}
	return s, nil
}

// splitTypes cuts at the commas outside parentheses.
func splitTypes(s string) []string {
	var out []string
	depth, start := 0, 0
	for i, c := range s {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(s[start:]); last != "" {
		out = append(out, last)
	}
	return out
}

func parsePattern(s string) (pattern, error) {
	if len(s) == 1 && firstVariable <= s[0] && s[0] <= lastVariable {
		return pattern{variable: s[0]}, nil
	}
	if t, ok := typeNames[s]; ok {
		return pattern{t: t}, nil
	}
	name, inner, ok := strings.Cut(s, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !ok || !closed {
		return pattern{}, fmt.Errorf("no type %q", s)
	}
	var p pattern
	for _, e := range splitTypes(inner) {
		elem, err := parsePattern(e)
		if err != nil {
			return pattern{}, err
		}
		p.elems = append(p.elems, elem)
	}
	switch name {
	case "array":
		p.t.Kind = vec.Array
	case "timeseries":
		p.t.Kind = vec.TimeSeries
	case "function":
		p.t.Kind = vec.Lambda
	case "row":
		p.t.Kind = vec.Row
		p.names = make([]string, len(p.elems))
	case "point":
		p.t.Kind = vec.Row
		p.elems = []pattern{{t: vec.TimestampType}, p.elems[0]}
		p.names = []string{"time", "value"}
	default:
		return pattern{}, fmt.Errorf("no type %q", s)
	}
	return p, nil
}

// param returns the pattern of argument i.
func (s *signature) param(i int) pattern {
	return s.params[min(i, len(s.params)-1)]
}

// takes reports whether n arguments fit.
func (s *signature) takes(n int) bool {
	if s.variadic {
		return n >= len(s.params)-1
	}
	return n == len(s.params)
}

// instantiate returns the type with variables replaced; unbound ones are unknown.
func (p pattern) instantiate(b *bindings) vec.Type {
	if p.variable != 0 {
		return b[p.variable-firstVariable].t
	}
	switch p.t.Kind {
	case vec.Array:
		return vec.ArrayOf(p.elems[0].instantiate(b))
	case vec.TimeSeries:
		return vec.TimeSeriesOf(p.elems[0].instantiate(b))
	case vec.Row:
		t := vec.Type{Kind: vec.Row}
		for i, e := range p.elems {
			t.Fields = append(t.Fields, vec.Field{Name: p.names[i], Type: e.instantiate(b)})
		}
		return t
	case vec.Lambda:
		last := len(p.elems) - 1
		result := p.elems[last].instantiate(b)
		t := vec.Type{Kind: vec.Lambda, Elem: &result}
		for _, e := range p.elems[:last] {
			t.Fields = append(t.Fields, vec.Field{Type: e.instantiate(b)})
		}
		return t
	}
	return p.t
}

// bind widens the variables of p so that a value of type t fits. It reports false
// when none could; whether t coerces to the result is checked afterwards.
func (p pattern) bind(t vec.Type, b *bindings) bool {
	if p.variable != 0 {
		v := &b[p.variable-firstVariable]
		if t.Kind == vec.Lambda {
			return false
		}
		if !v.set {
			v.t, v.set = t, true
			return true
		}
		common, ok := CommonType(v.t, t)
		v.t = common
		return ok
	}
	if t.Kind == vec.Unknown || len(p.elems) == 0 {
		return true
	}
	if p.t.Kind != t.Kind {
		return false
	}
	switch t.Kind {
	case vec.Array, vec.TimeSeries:
		return p.elems[0].bind(*t.Elem, b)
	case vec.Row:
		if len(t.Fields) != len(p.elems) {
			return false
		}
		for i, f := range t.Fields {
			if !p.elems[i].bind(f.Type, b) {
				return false
			}
		}
	}
	return true
}

// bindLambda binds the variables that only a lambda's result determines.
func (p pattern) bindLambda(t vec.Type, b *bindings) {
	result := p.elems[len(p.elems)-1]
	if t.Elem == nil {
		return
	}
	if result.variable != 0 && b[result.variable-firstVariable].set {
		return // the state of reduce: the result must coerce to it
	}
	result.bind(*t.Elem, b)
}

// cost returns what the coercions of the arguments cost, or false if they do not fit.
func (s *signature) cost(args []vec.Type, text bool) (total int, ok bool) {
	var b bindings
	if !s.bindAll(args, &b) {
		return 0, false
	}
	for i, a := range args {
		param := s.param(i).instantiate(&b)
		var c int
		if a.Kind == vec.Lambda {
			c, ok = lambdaCost(a, param)
		} else {
			c, ok = coercionCost(a, param, text)
		}
		if !ok {
			return 0, false
		}
		total += c
	}
	return total, true
}

// types returns the parameter types for arguments that fit, and the result. Where the arguments are of these types,
// they are the list.
func (s *signature) types(args []vec.Type) (params []vec.Type, result vec.Type) {
	var b bindings
	s.bindAll(args, &b)
	params = args
	for i := range args {
		t := s.param(i).instantiate(&b)
		if !t.Equal(args[i]) && &params[0] == &args[0] {
			params = slices.Clone(args)
		}
		params[i] = t
	}
	return params, s.result.instantiate(&b)
}

// bindAll binds the variables from all arguments.
func (s *signature) bindAll(args []vec.Type, b *bindings) bool {
	if !s.bindArgs(args, b) {
		return false
	}
	for i, a := range args {
		if a.Kind == vec.Lambda {
			s.param(i).bindLambda(a, b)
		}
	}
	return true
}

// bindArgs binds the variables from the arguments that are no lambdas.
func (s *signature) bindArgs(args []vec.Type, b *bindings) bool {
	if !s.takes(len(args)) {
		return false
	}
	for i, a := range args {
		p := s.param(i)
		if isLambda := p.t.Kind == vec.Lambda; isLambda || a.Kind == vec.Lambda {
			if !isLambda || a.Kind != vec.Lambda || len(a.Fields) != len(p.elems)-1 {
				return false
			}
			continue
		}
		if !p.bind(a, b) {
			return false
		}
	}
	return true
}

// lambdaCost compares the results only: the parameters were typed from the signature.
func lambdaCost(a, param vec.Type) (int, bool) {
	if a.Elem == nil {
		return 0, true
	}
	return coercionCost(*a.Elem, *param.Elem, false)
}

// parameterList returns the signature without its result, as error texts show it.
func parameterList(text string) string {
	head, _, _ := strings.Cut(text, " -> ")
	return head
}
