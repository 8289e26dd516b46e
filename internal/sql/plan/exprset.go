package plan

import (
	"math"

	"github.com/weir-db/weir/internal/vec"
)

// exprSet numbers expressions: those that are [Same] get one number. Looking one up costs its
// size, however many there are. The zero value is empty.
type exprSet struct {
	list  []Expr
	index map[uint64][]int32 // by hash
}

// few is how many expressions are compared one by one, without an index.
const few = 8

// find returns the number of e, or -1.
func (s *exprSet) find(e Expr) int {
	if s.index == nil {
		for i, have := range s.list {
			if Same(have, e) {
				return i
			}
		}
		return -1
	}
	return s.findHashed(e, hashOf(e))
}

func (s *exprSet) findHashed(e Expr, hash uint64) int {
	for _, i := range s.index[hash] {
		if Same(s.list[i], e) {
			return int(i)
		}
	}
	return -1
}

// add returns the number of e, a new one if it has none.
func (s *exprSet) add(e Expr) int {
	if i := s.find(e); i >= 0 {
		return i
	}
	s.list = append(s.list, e)
	switch {
	case s.index != nil:
		s.note(len(s.list) - 1)
	case len(s.list) > few:
		s.index = map[uint64][]int32{}
		for i := range s.list {
			s.note(i)
		}
	}
	return len(s.list) - 1
}

func (s *exprSet) note(i int) {
	h := hashOf(s.list[i])
	s.index[h] = append(s.index[h], int32(i))
}

// replace returns e with the largest parts that found knows replaced. One pass hashes all
// parts, so the cost is the size of e.
func (s *exprSet) replace(e Expr, with func(i int) Expr, other func(Expr) Expr) Expr {
	var hashes map[Expr]uint64
	if s.index != nil {
		hashes = map[Expr]uint64{}
		hashParts(e, hashes)
	}
	var visit func(Expr) Expr
	visit = func(e Expr) Expr {
		at := -1
		if s.index != nil {
			at = s.findHashed(e, hashes[e])
		} else {
			at = s.find(e)
		}
		if at >= 0 {
			return with(at)
		}
		if x := other(e); x != nil {
			return x
		}
		return mapOperands(e, visit)
	}
	return visit(e)
}

// hashOf returns a hash that expressions which are [Same] share.
func hashOf(e Expr) uint64 { return hashParts(e, nil) }

// hashParts is hashOf that also notes the hash of every part, if parts is not nil.
func hashParts(e Expr, parts map[Expr]uint64) uint64 {
	if e == nil {
		return 0
	}
	h := ownHash(e)
	operands(e, func(x Expr) { h = mix(h, hashParts(x, parts)) })
	if parts != nil {
		parts[e] = h
	}
	return h
}

// ownHash hashes what e is apart from its operands.
func ownHash(e Expr) uint64 {
	const (
		column = 1 + iota
		param
		agg
		window
		call
		cast
		field
		other
	)
	switch e := e.(type) {
	case *Const:
		return constHash(e.Value)
	case *Column:
		return mix(column, uint64(e.Index))
	case *Param:
		return mix(param, uint64(e.Index))
	case *aggRef:
		return mix(agg, uint64(e.index))
	case *windowRef:
		return mix(window, uint64(e.index))
	case *Call:
		return mix(call, textHash(e.Call.Func.Name))
	case *Cast:
		return mix(cast, uint64(e.To.Kind))
	case *Field:
		return mix(field, uint64(e.Index))
	}
	return other
}

func constHash(v vec.Value) uint64 {
	h := mix(uint64(v.Type.Kind)+100, uint64(v.Type.Length))
	if v.Null {
		return h
	}
	switch v.Type.Kind.Storage() {
	case vec.StoreInts:
		return mix(h, uint64(v.Int))
	case vec.StoreFloats:
		return mix(h, math.Float64bits(v.Float+0)) // -0.0 + 0 is 0.0, which it equals
	case vec.StoreStrs:
		return mix(h, textHash(v.Str))
	}
	return mix(h, uint64(len(v.List)))
}

func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func textHash(s string) uint64 {
	h := uint64(len(s))
	for i := range len(s) {
		h = mix(h, uint64(s[i]))
	}
	return h
}
