// Package vec is the one value model of storage and SQL: types, vectors with
// nulls, and batches of vectors.
//
// A [Vector] holds n values of one [Type] in one of three forms: flat (one slot
// per row), constant (one slot for all rows) or dictionary (small indexes into a
// vector of distinct values). Kernels switch on the kind of the type and read
// the typed slices directly; [Vector.Flat] gives any vector in flat form.
// Vectors are immutable once handed on: whoever builds one owns it until it
// passes it to somebody else, and nobody writes to it after that.
package vec

import (
	"fmt"
	"strings"
)

// Kind is the family of a type. The order has no meaning.
type Kind uint8

const (
	Unknown      Kind = iota // the type of NULL alone
	Boolean                  // Bools
	Integer                  // Ints, 32-bit range
	Bigint                   // Ints
	Double                   // Floats
	Varchar                  // Strs, UTF-8
	Timestamp                // Ints, nanoseconds since 1970-01-01 UTC
	Date                     // Ints, days since 1970-01-01
	Time                     // Ints, nanoseconds since midnight
	IntervalDay              // Ints, nanoseconds ("interval day to second")
	IntervalYear             // Ints, months ("interval year to month")
	Array                    // Offsets and one child
	Row                      // one child per field, each as long as the vector
	TimeSeries               // Offsets and two children: times (Timestamp), values
	Lambda                   // only as an argument type of functions, never of a vector
)

// Type is an SQL type. Types are compared with [Type.Equal].
type Type struct {
	Kind   Kind
	Length int     // of varchar(n); 0 = unbounded
	Elem   *Type   // of arrays: the element; of time series: the value
	Fields []Field // of rows
}

// Field is one field of a row type. Name may be empty.
type Field struct {
	Name string
	Type Type
}

// The scalar types.
var (
	UnknownType      = Type{Kind: Unknown}
	BooleanType      = Type{Kind: Boolean}
	IntegerType      = Type{Kind: Integer}
	BigintType       = Type{Kind: Bigint}
	DoubleType       = Type{Kind: Double}
	VarcharType      = Type{Kind: Varchar}
	TimestampType    = Type{Kind: Timestamp}
	DateType         = Type{Kind: Date}
	TimeType         = Type{Kind: Time}
	IntervalDayType  = Type{Kind: IntervalDay}
	IntervalYearType = Type{Kind: IntervalYear}
)

// ArrayOf returns array(elem).
func ArrayOf(elem Type) Type { return Type{Kind: Array, Elem: &elem} }

// TimeSeriesOf returns timeseries(value).
func TimeSeriesOf(value Type) Type { return Type{Kind: TimeSeries, Elem: &value} }

// RowOf returns row(fields…).
func RowOf(fields ...Field) Type { return Type{Kind: Row, Fields: fields} }

// Equal reports whether t and u are the same type, lengths and field names included.
func (t Type) Equal(u Type) bool {
	if t.Kind != u.Kind || t.Length != u.Length || len(t.Fields) != len(u.Fields) {
		return false
	}
	if (t.Elem == nil) != (u.Elem == nil) || t.Elem != nil && !t.Elem.Equal(*u.Elem) {
		return false
	}
	for i := range t.Fields {
		if t.Fields[i].Name != u.Fields[i].Name || !t.Fields[i].Type.Equal(u.Fields[i].Type) {
			return false
		}
	}
	return true
}

// Storage says which slice of a vector holds the values of a kind.
type Storage uint8

const (
	StoreNone   Storage = iota // Unknown: nulls only
	StoreInts                  // Vector.Ints
	StoreFloats                // Vector.Floats
	StoreBools                 // Vector.Bools
	StoreStrs                  // Vector.Strs
	StoreNested                // Vector.Offsets and Vector.Children
)

// Storage returns where vectors of this kind keep their values.
func (k Kind) Storage() Storage {
	switch k {
	case Integer, Bigint, Timestamp, Date, Time, IntervalDay, IntervalYear:
		return StoreInts
	case Double:
		return StoreFloats
	case Boolean:
		return StoreBools
	case Varchar:
		return StoreStrs
	case Array, Row, TimeSeries:
		return StoreNested
	}
	return StoreNone
}

// Numeric reports whether k is integer, bigint or double.
func (k Kind) Numeric() bool { return k == Integer || k == Bigint || k == Double }

var kindNames = [...]string{
	Unknown: "unknown", Boolean: "boolean", Integer: "integer", Bigint: "bigint", Double: "double",
	Varchar: "varchar", Timestamp: "timestamp", Date: "date", Time: "time",
	IntervalDay: "interval day to second", IntervalYear: "interval year to month",
	Array: "array", Row: "row", TimeSeries: "timeseries", Lambda: "function",
}

// String returns the name of the family, for example "array".
func (k Kind) String() string { return kindNames[k] }

// String returns the type as typeof() prints it, for example "array(bigint)".
func (t Type) String() string {
	switch t.Kind {
	case Varchar:
		if t.Length > 0 {
			return fmt.Sprintf("varchar(%d)", t.Length)
		}
	case Array, TimeSeries:
		return kindNames[t.Kind] + "(" + t.Elem.String() + ")"
	case Row:
		var b strings.Builder
		b.WriteString("row(")
		for i, f := range t.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			if f.Name != "" {
				b.WriteString(f.Name)
				b.WriteByte(' ')
			}
			b.WriteString(f.Type.String())
		}
		b.WriteByte(')')
		return b.String()
	}
	return kindNames[t.Kind]
}
