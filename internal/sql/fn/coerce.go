package fn

import (
	"strings"

	"github.com/weir-db/weir/internal/vec"
)

// Coercible reports whether from converts to to without a CAST (sql.md section 4).
func Coercible(from, to vec.Type) bool {
	_, ok := coercionCost(from, to, true)
	return ok
}

// coercionCost returns how far from is from to: 0 for the same type (a bounded varchar
// is as good as an unbounded one), more the further. text allows varchar where a
// date, time or timestamp is wanted; arithmetic does not.
func coercionCost(from, to vec.Type, text bool) (int, bool) {
	if from.Kind == vec.Unknown {
		if to.Kind == vec.Unknown {
			return 0, true
		}
		return 1, true
	}
	switch [2]vec.Kind{from.Kind, to.Kind} {
	case [2]vec.Kind{vec.Varchar, vec.Varchar}:
		return 0, to.Length == 0 || from.Length != 0 && from.Length <= to.Length
	case [2]vec.Kind{vec.Integer, vec.Bigint}:
		return 1, true
	case [2]vec.Kind{vec.Bigint, vec.Double}:
		return 2, true
	case [2]vec.Kind{vec.Integer, vec.Double}:
		return 3, true
	case [2]vec.Kind{vec.Date, vec.Timestamp}:
		return 2, true
	case [2]vec.Kind{vec.Varchar, vec.Timestamp}:
		return 10, text
	case [2]vec.Kind{vec.Varchar, vec.Date}:
		return 11, text
	case [2]vec.Kind{vec.Varchar, vec.Time}:
		return 12, text
	case [2]vec.Kind{vec.Array, vec.Array}, [2]vec.Kind{vec.TimeSeries, vec.TimeSeries}:
		return coercionCost(*from.Elem, *to.Elem, text)
	case [2]vec.Kind{vec.Row, vec.Row}:
		return rowCost(from, to, text)
	}
	return 0, from.Equal(to)
}

func rowCost(from, to vec.Type, text bool) (int, bool) {
	if len(from.Fields) != len(to.Fields) {
		return 0, false
	}
	total := 0
	for i, f := range from.Fields {
		g := to.Fields[i]
		if f.Name != "" && g.Name != "" && !strings.EqualFold(f.Name, g.Name) {
			return 0, false
		}
		c, ok := coercionCost(f.Type, g.Type, text)
		if !ok {
			return 0, false
		}
		total += c
	}
	return total, true
}

// CommonType returns the least type that all types coerce to; of no types, unknown.
func CommonType(types ...vec.Type) (vec.Type, bool) {
	common := vec.UnknownType
	for i, t := range types {
		if i == 0 {
			common = t
			continue
		}
		var ok bool
		if common, ok = commonOf(common, t); !ok {
			return vec.Type{}, false
		}
	}
	return common, true
}

func commonOf(a, b vec.Type) (vec.Type, bool) {
	switch {
	case Coercible(a, b):
		return b, true
	case Coercible(b, a):
		return a, true
	case a.Kind != b.Kind:
		return vec.Type{}, false
	}
	switch a.Kind {
	case vec.Varchar: // of two bounded ones the longer was found above
		return vec.VarcharType, true
	case vec.Array, vec.TimeSeries:
		elem, ok := commonOf(*a.Elem, *b.Elem)
		return vec.Type{Kind: a.Kind, Elem: &elem}, ok
	case vec.Row:
		return commonRow(a, b)
	}
	return vec.Type{}, false
}

// commonRow keeps the field names that both agree on.
func commonRow(a, b vec.Type) (vec.Type, bool) {
	if len(a.Fields) != len(b.Fields) {
		return vec.Type{}, false
	}
	out := vec.Type{Kind: vec.Row}
	for i, f := range a.Fields {
		g := b.Fields[i]
		t, ok := commonOf(f.Type, g.Type)
		if !ok {
			return vec.Type{}, false
		}
		name := f.Name
		if name == "" || g.Name != "" && !strings.EqualFold(name, g.Name) {
			name = g.Name
		}
		if f.Name != "" && g.Name != "" && !strings.EqualFold(f.Name, g.Name) {
			name = ""
		}
		out.Fields = append(out.Fields, vec.Field{Name: name, Type: t})
	}
	return out, true
}
