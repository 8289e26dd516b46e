package iotsql

import (
	"strings"
	"unicode/utf8"
)

// Kind is the type of a [Value].
type Kind uint8

// The types of the dialect. Int and Decimal are one kind, see [Value.IsInt].
const (
	Undefined Kind = iota
	Null
	Bool
	Num
	Str
	Arr
	Obj
)

var kindNames = [...]string{"Undefined", "Null", "Boolean", "Number", "String", "Array", "Object"}

// String returns the kind's name in the dialect's words.
func (k Kind) String() string { return kindNames[k] }

// Value is one value; the zero Value is Undefined. Values are immutable and may
// share memory with the message that they came from.
type Value struct {
	kind Kind
	dec  bool  // Num: a Decimal rather than an Int
	exp  int32 // Num: the value is coefficient × 10^exp; 0 for an Int
	n    int64 // Num: the coefficient unless ref holds it; Bool: 0 or 1
	s    string
	ref  *node
}

// node holds what few values need.
type node struct {
	arr []Value
	obj []Member
	num *bigCoef
}

// Member is one key of an object with its value.
type Member struct {
	Key   string
	Value Value
}

var null = Value{kind: Null}

func boolean(b bool) Value {
	if b {
		return Value{kind: Bool, n: 1}
	}
	return Value{kind: Bool}
}

// maxText bounds what functions and conversions may build.
const maxText = 1 << 20

// text returns a String, or Undefined if it is longer than maxText.
func text(s string) Value {
	if len(s) > maxText {
		return Value{}
	}
	return Value{kind: Str, s: s}
}

func array(items []Value) Value     { return Value{kind: Arr, ref: &node{arr: items}} }
func object(members []Member) Value { return Value{kind: Obj, ref: &node{obj: members}} }

// Kind returns the type of v.
func (v Value) Kind() Kind { return v.kind }

// Bool returns the value of a Boolean.
func (v Value) Bool() bool { return v.n != 0 }

// Str returns the text of a String; "" for other kinds.
func (v Value) Str() string { return v.s }

// Items returns the elements of an Array, which must not be changed.
func (v Value) Items() []Value {
	if v.kind != Arr {
		return nil
	}
	return v.ref.arr
}

// Members returns the members of an Object in their order, which must not be changed.
func (v Value) Members() []Member {
	if v.kind != Obj {
		return nil
	}
	return v.ref.obj
}

// Member returns the member of an Object with that key, else Undefined.
func (v Value) Member(key string) Value {
	if v.kind != Obj {
		return Value{}
	}
	members := v.ref.obj
	for i := range members {
		if members[i].Key == key {
			return members[i].Value
		}
	}
	return Value{}
}

// equal is the = of two defined values: mismatched types are unequal, objects
// compare regardless of key order.
func equal(a, b Value) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case Bool:
		return a.n == b.n
	case Num:
		return compare(a, b) == 0
	case Str:
		return a.s == b.s
	case Arr:
		x, y := a.Items(), b.Items()
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
	case Obj:
		return equalObjects(a, b)
	}
	return true
}

func equalObjects(a, b Value) bool {
	x, y := a.Members(), b.Members()
	if len(x) != len(y) {
		return false
	}
	lookup := b.Member
	if len(y) > indexFrom {
		byKey := make(map[string]Value, len(y))
		for _, m := range y {
			byKey[m.Key] = m.Value
		}
		lookup = func(key string) Value { return byKey[key] }
	}
	for _, m := range x {
		if o := lookup(m.Key); o.kind == Undefined || !equal(m.Value, o) {
			return false
		}
	}
	return true
}

// toBool converts for AND, OR, NOT and WHERE; ok is false for Undefined.
func (v Value) toBool() (b, ok bool) {
	switch v.kind {
	case Bool:
		return v.n != 0, true
	case Str:
		switch {
		case strings.EqualFold(v.s, "true"):
			return true, true
		case strings.EqualFold(v.s, "false"):
			return false, true
		}
	}
	return false, false
}

// toNum converts to a number as operators and functions do: numbers and numeric
// strings, the latter as Decimals. ok is false for everything else, Null included.
func (v Value) toNum() (n Value, ok bool) {
	switch v.kind {
	case Num:
		return v, true
	case Str:
		return parseNumber(v.s, numeric)
	}
	return Value{}, false
}

// toText converts to a String as operators, functions and templates do; ok is
// false for Null and Undefined, and for what would be over 1 MiB.
func (v Value) toText() (s string, ok bool) {
	switch v.kind {
	case Str:
		return v.s, true
	case Bool:
		if v.n != 0 {
			return "true", true
		}
		return "false", true
	case Num:
		return string(v.appendNum(nil)), true
	case Arr, Obj:
		b, err := v.AppendJSON(nil, maxText)
		return string(b), err == nil
	}
	return "", false
}

// Text returns v as a substitution template prints it; ok is false for Null and
// Undefined.
func (v Value) Text() (s string, ok bool) { return v.toText() }

func runeLen(s string) int { return utf8.RuneCountInString(s) }
