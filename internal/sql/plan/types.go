package plan

import (
	"slices"

	"math"

	"github.com/weir-db/weir/internal/sql/fn"
	"github.com/weir-db/weir/internal/sql/syntax"
	"github.com/weir-db/weir/internal/vec"
)

var scalarTypes = map[string]vec.Type{
	"boolean": vec.BooleanType, "int": vec.IntegerType, "integer": vec.IntegerType, "bigint": vec.BigintType,
	"double": vec.DoubleType, "varchar": vec.VarcharType, "timestamp": vec.TimestampType, "date": vec.DateType,
	"time": vec.TimeType, "interval day to second": vec.IntervalDayType, "interval year to month": vec.IntervalYearType,
}

// typeOf returns the type that a type name means.
func typeOf(n *syntax.TypeName) (vec.Type, error) {
	if t, ok := scalarTypes[n.Name]; ok {
		switch {
		case n.Length == nil:
			return t, nil
		case t.Kind == vec.Varchar && *n.Length >= 1 && *n.Length <= math.MaxInt32:
			t.Length = int(*n.Length)
			return t, nil
		}
		return vec.Type{}, errorAt(n.At, "Unknown type: %s(%d)", n.Name, *n.Length)
	}
	switch {
	case n.Name == "array" && n.Elem != nil:
		elem, err := typeOf(n.Elem)
		return vec.ArrayOf(elem), err
	case n.Name == "timeseries" && n.Elem != nil:
		elem, err := typeOf(n.Elem)
		return vec.TimeSeriesOf(elem), err
	case n.Name == "row" && len(n.Fields) > 0:
		row := vec.Type{Kind: vec.Row}
		for _, f := range n.Fields {
			t, err := typeOf(f.Type)
			if err != nil {
				return vec.Type{}, err
			}
			row.Fields = append(row.Fields, vec.Field{Name: f.Name.Name, Type: t})
		}
		return row, nil
	}
	return vec.Type{}, errorAt(n.At, "Unknown type: %s", n.Name)
}

// typedLiteral is TYPE 'text'.
func (b *builder) typedLiteral(n *syntax.TypedLit) (Expr, error) {
	t, err := typeOf(n.Type)
	if err != nil {
		return nil, err
	}
	v, ok := b.castConst(vec.Str(n.Text), t)
	if !ok {
		return nil, errorAt(n.At, "'%s' is not a valid %s literal", n.Text, t)
	}
	return &Const{v}, nil
}

// castConst casts a value now; ok is false when that fails or cannot be done.
func (b *builder) castConst(v vec.Value, to vec.Type) (vec.Value, bool) {
	if v.Type.Equal(to) {
		return v, true
	}
	kernel, ok := fn.Cast(v.Type, to, false)
	if !ok {
		return vec.Value{}, false
	}
	out, err := kernel(&fn.Context{Now: b.env.Now, Return: to, Args: []vec.Type{v.Type}}, vec.Const(v, 1))
	if err != nil {
		return vec.Value{}, false
	}
	cast := out.Value(0)
	cast.Type = to
	return cast, true
}

// span makes the constant of an interval.
func span(at syntax.Pos, s syntax.Span, err error, text string) (Expr, error) {
	if err != nil {
		return nil, errorAt(at, "'%s' is not a valid interval literal: %v", text, err)
	}
	if s.YearMonth {
		return &Const{vec.Int(vec.IntervalYearType, s.N)}, nil
	}
	return &Const{vec.Int(vec.IntervalDayType, s.N)}, nil
}

// coerce makes e of type to where fn.Coercible allows it. A constant varchar that is no
// time is refused here, with the place.
func (b *builder) coerce(e Expr, to vec.Type, at syntax.Pos) (Expr, error) {
	from := e.Type()
	if from.Equal(to) {
		return e, nil
	}
	if k, ok := e.(*Const); ok && from.Kind == vec.Varchar && to.Kind != vec.Varchar && !k.Value.Null {
		text := k.Value
		if b.env.Dialect == syntax.Postgres && to.Kind == vec.Timestamp {
			text.Str = syntax.PostgresTimestamp(text.Str)
		}
		v, ok := b.castConst(text, to)
		if !ok {
			return nil, errorAt(at, "'%s' is not a valid %s literal", k.Value.Str, to)
		}
		return &Const{v}, nil
	}
	if k, ok := e.(*Const); ok && k.Value.Null {
		b.want(k, to)
		return &Const{vec.Null(to)}, nil
	}
	return &Cast{X: e, To: to}, nil
}

// coerceAll coerces a list to its parameter types; the place of each is its own. A list that fits is returned as it is.
func (b *builder) coerceAll(exprs []Expr, to []vec.Type, at func(i int) syntax.Pos) ([]Expr, error) {
	out, own := exprs, false
	for i, e := range exprs {
		if _, ok := e.(*Lambda); ok {
			continue
		}
		x, err := b.coerce(e, to[i], at(i))
		if err != nil {
			return nil, err
		}
		if x != e && !own {
			out, own = slices.Clone(exprs), true
		}
		out[i] = x
	}
	return out, nil
}

// common coerces expressions to their common type; ok is false if they have none.
func (b *builder) common(exprs []Expr, at func(i int) syntax.Pos) (out []Expr, t vec.Type, ok bool, err error) {
	types := make([]vec.Type, len(exprs))
	for i, e := range exprs {
		types[i] = e.Type()
	}
	t, ok = fn.CommonType(types...)
	if !ok {
		return nil, t, false, nil
	}
	out = make([]Expr, len(exprs))
	for i, e := range exprs {
		if out[i], err = b.coerce(e, t, at(i)); err != nil {
			return nil, t, true, err
		}
	}
	return out, t, true, nil
}

// want notes what a parameter of unknown type is coerced to.
func (b *builder) want(k *Const, t vec.Type) {
	name, ok := b.params[k]
	if _, known := b.wanted[name]; ok && !known && k.Value.Type.Kind == vec.Unknown {
		b.wanted[name] = t
	}
}
