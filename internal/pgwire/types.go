package pgwire

import (
	"github.com/weir-db/weir/internal/vec"
)

// Types of Postgres by their object identifiers (Postgres source, pg_type.dat).
const (
	oidBool          = 16
	oidBytea         = 17
	oidName          = 19
	oidInt8          = 20
	oidInt2          = 21
	oidInt4          = 23
	oidText          = 25
	oidOID           = 26
	oidJSON          = 114
	oidFloat4        = 700
	oidFloat8        = 701
	oidUnknown       = 705
	oidBoolArray     = 1000
	oidInt4Array     = 1007
	oidTextArray     = 1009
	oidBPChar        = 1042
	oidVarchar       = 1043
	oidInt8Array     = 1016
	oidFloat8Array   = 1022
	oidDate          = 1082
	oidTime          = 1083
	oidTimestamp     = 1114
	oidTimestampArr  = 1115
	oidDateArray     = 1182
	oidTimeArray     = 1183
	oidTimestamptz   = 1184
	oidInterval      = 1186
	oidIntervalArray = 1187
	oidNumeric       = 1700
	oidJSONB         = 3802
)

// pgType is how values of a type are told to clients.
type pgType struct {
	oid     uint32
	size    int16       // -1: varies
	array   uint32      // the type of arrays of it
	element *columnType // of arrays
}

// columnType is a type of weir with its counterpart in Postgres. Rows and series, and arrays of arrays, rows and series, have
// none: they are json.
type columnType struct {
	pgType
	kind vec.Kind
	json bool
}

var scalarTypes = map[vec.Kind]pgType{
	vec.Boolean:      {oid: oidBool, size: 1, array: oidBoolArray},
	vec.Integer:      {oid: oidInt4, size: 4, array: oidInt4Array},
	vec.Bigint:       {oid: oidInt8, size: 8, array: oidInt8Array},
	vec.Double:       {oid: oidFloat8, size: 8, array: oidFloat8Array},
	vec.Varchar:      {oid: oidText, size: -1, array: oidTextArray},
	vec.Unknown:      {oid: oidText, size: -1, array: oidTextArray},
	vec.Timestamp:    {oid: oidTimestamp, size: 8, array: oidTimestampArr},
	vec.Date:         {oid: oidDate, size: 4, array: oidDateArray},
	vec.Time:         {oid: oidTime, size: 8, array: oidTimeArray},
	vec.IntervalDay:  {oid: oidInterval, size: 16, array: oidIntervalArray},
	vec.IntervalYear: {oid: oidInterval, size: 16, array: oidIntervalArray},
}

// typeOf returns the counterpart of a type.
func typeOf(t vec.Type) columnType {
	if p, ok := scalarTypes[t.Kind]; ok {
		return columnType{pgType: p, kind: t.Kind}
	}
	if t.Kind == vec.Array {
		if e, ok := scalarTypes[t.Elem.Kind]; ok {
			element := columnType{pgType: e, kind: t.Elem.Kind}
			return columnType{pgType: pgType{oid: e.array, size: -1, element: &element}, kind: vec.Array}
		}
	}
	return columnType{pgType: pgType{oid: oidJSON, size: -1}, kind: t.Kind, json: true}
}

// vecTypeOf returns the type of a parameter that a client declares; ok is false for types that have no counterpart.
func vecTypeOf(oid uint32) (t vec.Type, ok bool) {
	switch oid {
	case 0, oidUnknown:
		return vec.UnknownType, true
	case oidBool:
		return vec.BooleanType, true
	case oidInt2, oidInt4:
		return vec.IntegerType, true
	case oidInt8, oidOID:
		return vec.BigintType, true
	case oidFloat4, oidFloat8, oidNumeric:
		return vec.DoubleType, true
	case oidText, oidVarchar, oidBPChar, oidName, oidJSON, oidJSONB:
		return vec.VarcharType, true
	case oidTimestamp, oidTimestamptz:
		return vec.TimestampType, true
	case oidDate:
		return vec.DateType, true
	case oidTime:
		return vec.TimeType, true
	case oidInterval:
		return vec.IntervalDayType, true
	case oidBoolArray:
		return vec.ArrayOf(vec.BooleanType), true
	case oidInt4Array:
		return vec.ArrayOf(vec.IntegerType), true
	case oidInt8Array:
		return vec.ArrayOf(vec.BigintType), true
	case oidFloat8Array:
		return vec.ArrayOf(vec.DoubleType), true
	case oidTextArray, 1015: // varchar[]
		return vec.ArrayOf(vec.VarcharType), true
	case oidTimestampArr, 1185: // timestamptz[]
		return vec.ArrayOf(vec.TimestampType), true
	case oidDateArray:
		return vec.ArrayOf(vec.DateType), true
	}
	return vec.UnknownType, false
}
