package storagetest

import (
	"math"

	"github.com/weir-db/weir/internal/storage"
	"github.com/weir-db/weir/internal/vec"
)

// Batch builds [storage.Rows] in tests. The zero value is empty.
type Batch struct{ Rows storage.Rows }

// Point is one row in the form that tests write.
type Point struct {
	Measure string
	Dims    []string // name, value, name, value, …
	TimeNs  int64
	Version int64 // 0 means 1
	Values  []NamedValue
	Single  bool // a single-measure record: the column is named after the type
}

// NamedValue is a value of a column.
type NamedValue struct {
	Name  string
	Value vec.Value
}

// F, I, S, B and T make values of a multi-measure record.
func F(name string, f float64) NamedValue { return NamedValue{name, vec.Float(f)} }

// I is a bigint.
func I(name string, i int64) NamedValue { return NamedValue{name, vec.Int(vec.BigintType, i)} }

// S is a varchar.
func S(name string, s string) NamedValue { return NamedValue{name, vec.Str(s)} }

// B is a boolean.
func B(name string, b bool) NamedValue { return NamedValue{name, vec.Bool(b)} }

// T is a timestamp.
func T(name string, ns int64) NamedValue { return NamedValue{name, vec.Int(vec.TimestampType, ns)} }

// Add appends a point and returns the batch.
func (b *Batch) Add(p Point) *Batch {
	row := storage.Row{Measure: p.Measure, TimeNs: p.TimeNs, Version: max(p.Version, 1), Multi: !p.Single}
	for i := 0; i < len(p.Dims); i += 2 {
		row.Dimensions = append(row.Dimensions, storage.Dim{Name: p.Dims[i], Value: p.Dims[i+1]})
	}
	for _, v := range p.Values {
		c := storage.Column{Name: v.Name, Type: v.Value.Type, Role: storage.Attribute}
		if p.Single {
			c.Name, c.Role = "measure_value::"+v.Value.Type.String(), storage.MeasureValue
		}
		row.Values = append(row.Values, valOf(b.column(c), v.Value))
	}
	b.Rows.Rows = append(b.Rows.Rows, row)
	return b
}

func (b *Batch) column(c storage.Column) int32 {
	for i, have := range b.Rows.Columns {
		if have.Name == c.Name && have.Type.Equal(c.Type) {
			return int32(i)
		}
	}
	b.Rows.Columns = append(b.Rows.Columns, c)
	return int32(len(b.Rows.Columns) - 1)
}

func valOf(column int32, v vec.Value) storage.Val {
	out := storage.Val{Column: column, Str: v.Str}
	switch v.Type.Kind {
	case vec.Double:
		out.Bits = math.Float64bits(v.Float)
	case vec.Boolean:
		out.Bits = uint64(b2i(v.Bool))
	case vec.Varchar:
	default:
		out.Bits = uint64(v.Int)
	}
	return out
}
